"""What the notebook on dead letters shows is true."""

from __future__ import annotations

import json
from typing import Any

import pytest

import workbench as wb
from tests.fix_notebooks import Run
from tests.notebooks import Executed
from workbench.samples import path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(run: Run) -> Executed:
    return run("05_dead_letters")


@pytest.fixture(scope="module")
def truth() -> list[dict[str, Any]]:
    """Each letter as the generator knows it."""
    with wb.open() as log:
        file = path("checkout/dead_letters_truth.parquet")
        return log.sql(f"SELECT * FROM read_parquet('{file}')").rows()


@pytest.fixture(scope="module")
def incident(truth: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in truth if row["cause"] == "bundle_price_null"]


def test_all_formats_are_recognised(executed: Executed) -> None:
    about = json.loads(path("checkout/dead_letters_truth.json").read_text())
    found = {row["format"] for row in executed.rows("formats")}
    assert found == set(about["by_written_as"])


def test_a_rate_has_its_denominator(executed: Executed) -> None:
    rows = {row["event_type"]: row for row in executed.rows("rates")}
    reserved = rows["InventoryReserved"]
    assert float(reserved["rate"]) == pytest.approx(
        int(reserved["given_up"]) / int(reserved["events"]), abs=1e-6
    )


def test_the_incident_is_new(executed: Executed, incident: list[dict[str, Any]]) -> None:
    first, second = executed.rows("new")
    assert int(first["dead_letters"]) == len(incident)
    assert first["consumers"] == "[payment-service]"
    assert (
        min(row["dead_lettered_at"] for row in incident).isoformat(" ")[:19] in first["seen_from"]
    )
    assert second["types"] == "[PaymentRefunded]"


def test_in_its_days_every_seventh_reservation_was_given_up(
    executed: Executed, incident: list[dict[str, Any]]
) -> None:
    share = executed.value("share")
    given_up, events, rate = share["those days"]
    assert given_up == len(incident) == share["all the time"][0]
    assert 1 / 8 < rate < 1 / 6
    assert events < share["all the time"][1] / 20


def test_a_sequence_has_one_root(executed: Executed) -> None:
    rows = executed.rows("roles")
    assert {row["roles"] for row in rows} == {"[root, blocked]"}
    assert executed.value("by_role")["blocked"] > 0


def test_what_would_fail_late_is_held_back(
    executed: Executed, incident: list[dict[str, Any]]
) -> None:
    verdicts, counts = executed.value("verdicts")
    assert verdicts == {"folds": len(incident) - 2, "fails late": 2}
    assert counts == {"to send": len(incident) - 2, "held back": 2}
    held = executed.rows("held")
    since = {row["stream_id"]: row["later_events"] for row in executed.rows("streams")}
    assert {row["stream_id"] for row in held} == {
        stream for stream, later in since.items() if later != "0"
    }


def test_their_orders_were_cancelled(executed: Executed) -> None:
    rows = executed.rows("order")
    assert rows[-1]["event_type"] == "OrderCancelled"
    assert "InventoryReleased" in [row["event_type"] for row in rows]


def test_each_event_has_a_verdict_and_a_state(executed: Executed) -> None:
    verdicts, counts = executed.value("all")
    assert sum(verdicts.values()) == sum(counts.values())
    assert verdicts["unreadable"] > 0


def test_nothing_was_sent(executed: Executed) -> None:
    assert executed.value("redrives") == ("nothing was re-driven from this log",)
