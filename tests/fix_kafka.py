"""A real Kafka broker for the tests; one for the session, and topics of its own for each test.

``WORKBENCH_TEST_KAFKA`` chooses it: the address of a running broker, ``apache``, or ``noida``. Without it,
Apache Kafka is started where Java and Maven are on the path, else the embedded noida-db. A test that wants
a broker and gets none fails; it is never skipped.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import kafka_broker
from tests.servers.kafka_client import Client

GIVEN = os.environ.get("WORKBENCH_TEST_KAFKA")
KINDS = ("apache", "noida")
_ran: list[str] = []


class Kafka(Client):
    """The session's broker, with topics that no other test uses."""

    def __init__(self, bootstrap: str, label: str) -> None:
        super().__init__(bootstrap)
        self.label = label
        self._numbers = itertools.count(1)
        self._run = uuid.uuid4().hex[:8]

    def name(self, word: str = "events") -> str:
        """Return a name for a topic that is not there yet."""
        return f"{word}.{self._run}.{next(self._numbers)}"

    def topic(self, partitions: int = 1, **config: str) -> str:
        """Create a topic and return its name."""
        return self.create(self.name(), partitions, **config)


def _kind() -> str | None:
    return GIVEN if GIVEN in KINDS else None


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    if GIVEN and GIVEN not in KINDS:
        _ran.append(f"the broker at {GIVEN}")
        yield Kafka(GIVEN, f"given: {GIVEN}")
        return
    broker = _started()
    _ran.append(broker.label)
    try:
        yield Kafka(broker.bootstrap, broker.label)
    finally:
        broker.stop()


@pytest.fixture
def mortal_kafka() -> Iterator[tuple[Kafka, kafka_broker.Broker]]:
    """A broker of the test's own, that it may kill."""
    broker = _started()
    try:
        yield Kafka(broker.bootstrap, broker.label), broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[kafka_broker.ApacheKafka]:
    """A broker that also listens with TLS and asks for a password; always Apache Kafka."""
    try:
        broker = kafka_broker.ApacheKafka(secure=True)
    except kafka_broker.NoBrokerError as error:
        pytest.fail(f"no Kafka broker for the tests: {error}", pytrace=False)
    try:
        yield broker
    finally:
        broker.stop()


def _started() -> kafka_broker.Broker:
    try:
        return kafka_broker.start(_kind())
    except kafka_broker.NoBrokerError as error:
        pytest.fail(f"no Kafka broker for the tests: {error}", pytrace=False)


def pytest_report_header() -> str:
    if GIVEN and GIVEN not in KINDS:
        return f"kafka: the broker at {GIVEN} (WORKBENCH_TEST_KAFKA)"
    if GIVEN == "noida" or not (GIVEN or kafka_broker.has_maven()):
        return "kafka: noida-db, embedded, when a test asks for it"
    return (
        f"kafka: Apache Kafka {kafka_broker.apache_version()} from Maven, when a test asks for it"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that reports, where the tests are spread over several, what ran in this one."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["kafka"] = _ran


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _ran.extend(
        one for one in getattr(node, "workeroutput", {}).get("kafka", ()) if one not in _ran
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for label in _ran:
        terminalreporter.write_line(f"kafka: {label} ran")
