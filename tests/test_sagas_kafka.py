"""Sagas of a log that comes from a broker: several topics, in an order that is nobody's."""

from __future__ import annotations

import pytest

import workbench as wb
from tests.benchmarks.through_broker import load_events
from tests.benchmarks.truth_sagas import compare
from tests.fix_kafka import Kafka
from workbench.bundled import checkout_saga
from workbench.samples import path

pytestmark = pytest.mark.kafka


def test_sagas_from_a_broker_are_what_the_truth_says(kafka: Kafka) -> None:
    with wb.open() as log:
        load_events(kafka, [path("checkout/events.ndjson.gz")], kafka.name(""), log)
        assert len(log) == 9_000
        # Topic by topic, partition by partition: the order of loading is not that of the events.
        late = "SELECT count(*) AS n FROM (SELECT recorded_at < lag(recorded_at) OVER (ORDER BY position) AS back FROM events) WHERE back"
        assert log.sql(late).rows()[0]["n"] > 0
        found = compare(log, path("checkout/sagas_truth.json").parent)
        assert found.equal, str(found)
        assert log.sagas(checkout_saga).notes == ()
