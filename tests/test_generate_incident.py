"""One bad day of the checkout: five faults, in the log, in the read model and among the dead letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from workbench import samples
from workbench.errors import ConfigError

EVENTS = 12_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> samples.Generated:
    folder = tmp_path_factory.mktemp("incident")
    return samples.generate(
        "checkout", folder, events=EVENTS, seed=5, faults="incident", schema_versions=3
    )


@pytest.fixture(scope="module")
def truth(made: samples.Generated) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(made.truth.read_text())
    return told


@pytest.fixture(scope="module")
def incidents(truth: dict[str, Any]) -> dict[str, Any]:
    return {one["cause"]: one for one in truth["incidents"]}


def ask(made: samples.Generated, sql: str) -> list[tuple[Any, ...]]:
    """Ask the events, as ``logged``, the read model, as ``stored``, and the letters, as ``letters``."""
    folder = made.truth.parent
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for name, file in (
            ("logged", made.files[0]),
            ("stored", made.read_model),
            ("letters", folder / "dead_letters_truth.parquet"),
        ):
            con.execute(f"CREATE VIEW {name} AS FROM '{file}'")
        return con.execute(sql).fetchall()


def orders(made: samples.Generated, condition: str) -> set[str]:
    return {
        order for (order,) in ask(made, f"SELECT data->>'orderId' FROM logged WHERE {condition}")
    }


def test_there_are_five(incidents: dict[str, Any]) -> None:
    assert set(incidents) == {"held up", "un-upcast", "parked", "skipped", "doubled"}
    assert all(one["rows"] or one["unchanged"] for one in incidents.values())


def test_the_log_is_whole_and_ends_in_the_week(made: samples.Generated) -> None:
    ((events, first, last, gaps),) = ask(
        made,
        "SELECT count(*), min(position), max(position), "
        "(SELECT count(*) FROM (SELECT max(version) - count(*) AS gap FROM logged GROUP BY stream_id) WHERE gap <> 0) "
        "FROM logged",
    )
    assert (events, first, last, gaps) == (EVENTS, 1, EVENTS, 0)
    ((day,),) = ask(made, "SELECT CAST(max(recorded_at) AS DATE)::VARCHAR FROM logged")
    assert day in ("2026-04-25", "2026-04-26")


def test_nothing_happens_after_a_payment_that_was_held_up(
    made: samples.Generated, incidents: dict[str, Any]
) -> None:
    held = set(incidents["held up"]["unchanged"])
    last = ask(
        made,
        "SELECT data->>'orderId' AS o, max_by(event_type, position), max_by(position, position) FROM logged GROUP BY o",
    )
    assert {kind for order, kind, _ in last if order in held} == {"PaymentProcessed"}
    given_up = {
        position
        for (position,) in ask(
            made, "SELECT position FROM letters WHERE cause = 'carrier_token_expired'"
        )
    }
    assert given_up == {position for order, _, position in last if order in held}


def test_rows_that_were_held_up_are_right(truth: dict[str, Any], incidents: dict[str, Any]) -> None:
    assert incidents["held up"]["rows"] == []
    assert "held up" not in {
        cause for fault in truth["faults"] for cause in fault["fault"].split("+")
    }


def test_what_is_parked_was_misread_before(
    made: samples.Generated, truth: dict[str, Any], incidents: dict[str, Any]
) -> None:
    parked = set(incidents["parked"]["rows"])
    assert parked <= set(incidents["un-upcast"]["rows"])
    roots = ask(
        made,
        "SELECT position, event_type FROM letters WHERE service = 'order-summary' AND role = 'root'",
    )
    assert {kind for _, kind in roots} <= {"PaymentProcessed", None}
    assert len(roots) == len(parked)
    # Everything of these orders from the root on is a dead letter, and none of it was applied.
    lost = {
        event["position"]
        for fault in truth["faults"]
        for one in fault["injected"]
        if one["cause"] == "parked"
        for event in one["events"]
    }
    letters = ask(made, "SELECT position FROM letters WHERE service = 'order-summary'")
    assert {position for (position,) in letters} == lost
    for fault in truth["faults"]:
        if "parked" in fault["fault"]:
            assert fault["version"] < fault["head_version"]


def test_ids_of_parked_letters_differ_from_service_to_service(made: samples.Generated) -> None:
    table = made.truth.parent / "dead_letters_axon.parquet"
    ((rows, ids),) = duckdb.sql(
        f"SELECT count(*), count(DISTINCT \"deadLetterIdentifier\") FROM '{table}'"
    ).fetchall()
    assert rows == ids > 0


@pytest.mark.parametrize("cause", ["un-upcast", "skipped", "doubled"])
def test_a_burst_hits_all_rows_of_its_time(
    made: samples.Generated, incidents: dict[str, Any], cause: str
) -> None:
    one = incidents[cause]
    between = f"position BETWEEN {one['first_position']} AND {one['last_position']}"
    if cause == "un-upcast":
        between += " AND (event_type LIKE 'Inventory%d' OR event_type = 'OrderCreated') AND schema_version = '1'"
        between += " AND event_type <> 'InventoryReservationFailed'"
    assert set(one["rows"]) | set(one["unchanged"]) == orders(made, between)


def test_rows_without_a_fault_are_right(made: samples.Generated, truth: dict[str, Any]) -> None:
    wrong = {fault["key"] for fault in truth["faults"]}
    heads = {
        order: (status, version)
        for order, status, version in ask(
            made,
            "SELECT data->>'orderId' AS o, max_by(data->>'status', position), count(*) FROM logged GROUP BY o",
        )
    }
    stored = ask(made, "SELECT order_id, status, version FROM stored")
    assert {order for order, *_ in stored} | wrong == set(heads)
    assert all(
        heads[order] == (status, version) for order, status, version in stored if order not in wrong
    )


def test_the_same_seed_gives_the_same_bytes(made: samples.Generated, tmp_path: Path) -> None:
    again = samples.generate(
        "checkout", tmp_path, events=EVENTS, seed=5, faults="incident", schema_versions=3
    )
    for file in (made.truth, made.read_model, *made.files, *made.others):
        assert file.read_bytes() == (again.truth.parent / file.name).read_bytes()


@pytest.mark.parametrize(("domain", "versions"), [("bank", 3), ("checkout", 2)])
def test_it_is_for_the_checkout_with_three_versions(
    tmp_path: Path, domain: str, versions: Any
) -> None:
    with pytest.raises(ConfigError, match="checkout with three schema versions"):
        samples.generate(domain, tmp_path, faults="incident", schema_versions=versions)
