"""What the notebook on an incident shows is true: five faults, each with its orders, and none invented."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.fix_notebooks import Run
from tests.notebooks import Executed
from workbench import samples

pytestmark = pytest.mark.slow

CAUSES = ("held up", "un-upcast", "parked", "skipped", "doubled")
OUTAGES = {
    "not upcast": "un-upcast",
    "never arrived": "skipped",
    "applied twice": "doubled",
}


@pytest.fixture(scope="module")
def executed(run: Run) -> Executed:
    return run("08_incident")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the generator says that it did, made once more."""
    folder = tmp_path_factory.mktemp("incident")
    made = samples.generate(
        "checkout", folder, events=20_000, seed=19, faults="incident", schema_versions=3
    )
    told: dict[str, Any] = json.loads(Path(made.truth).read_text())
    return told


@pytest.fixture(scope="module")
def incidents(truth: dict[str, Any]) -> dict[str, Any]:
    return {one["cause"]: one for one in truth["incidents"]}


def test_the_record_is_whole(executed: Executed) -> None:
    told = executed.text("loaded")
    assert "0 version gaps, 0 clashes, 0 clock regressions" in told
    assert "0 duplicates, 0 rejects" in told


def test_the_alert_is_true(executed: Executed, truth: dict[str, Any]) -> None:
    told = executed.value("alert")
    missing = sum(1 for fault in truth["faults"] if fault["class"] == "missing")
    assert told["in the table"].startswith(f"{truth['rows']:,} orders, ")
    assert told["by the events"].startswith(f"{truth['rows'] + missing:,} orders, ")
    nameless = sum(1 for fault in truth["faults"] if "total" in fault["columns"])
    assert f"{nameless} of them without a total" in told["in the table"]
    ordered, summed = (
        Decimal(told[side].rpartition(" ")[0].rpartition(" ")[2].replace(",", ""))
        for side in ("by the events", "in the table")
    )
    assert ordered > summed


def test_the_diff_is_the_truth(executed: Executed, truth: dict[str, Any]) -> None:
    told = executed.text("diff")
    for kind in ("stale", "missing", "corrupted"):
        rows = sum(1 for fault in truth["faults"] if fault["class"] == kind)
        assert f"{kind} {rows}" in told


def test_every_row_is_explained_exactly(executed: Executed, truth: dict[str, Any]) -> None:
    rows = len(truth["faults"])
    assert f"{rows} wrong rows, {rows} explained exactly" in executed.text("explained")


def test_each_outage_is_where_it_was(executed: Executed, incidents: dict[str, Any]) -> None:
    rows = executed.rows("outages")
    assert [row["what"] for row in rows] == list(OUTAGES)
    for row in rows:
        truth = incidents[OUTAGES[row["what"]]]
        ends = (truth["seen_first_position"], truth["seen_last_position"])
        assert (int(row["first"]), int(row["last"])) == ends
        assert int(row["rows"]) == len(truth["rows"])
        assert row["since"].startswith("Mon ")


def test_ambiguous_rows_are_those_of_the_truth(executed: Executed, truth: dict[str, Any]) -> None:
    ambiguous = {
        fault["key"]
        for fault in truth["faults"]
        if fault["class"] == "corrupted" and len(fault["explanations"]) > 1
    }
    rows = executed.rows("ambiguous")
    assert {row["order_id"] for row in rows} == ambiguous
    first = [row for row in rows if row["rank"] == "1"]
    assert {row["cause"] for row in first} == {"not upcast"}
    assert all(
        int(row["support"]) > max(int(other["support"]) for other in rows if other["rank"] != "1")
        for row in first
    )


def test_old_payloads_have_other_fields(executed: Executed) -> None:
    payloads = executed.value("payloads")
    assert '"total_cents":' in payloads["1"]
    assert '"total":' in payloads["2"]


def test_two_fingerprints_are_new(executed: Executed, incidents: dict[str, Any]) -> None:
    rows = {row["consumers"]: int(row["dead_letters"]) for row in executed.rows("new")}
    assert rows == {
        "[order-summary]": len(incidents["parked"]["rows"]),
        "[shipping-service]": len(incidents["held up"]["unchanged"]),
    }


def test_rows_stand_still_for_two_reasons(
    executed: Executed, truth: dict[str, Any], incidents: dict[str, Any]
) -> None:
    late = sum(1 for fault in truth["faults"] if fault["class"] == "stale")
    parked = len(incidents["parked"]["rows"])
    assert executed.value("behind") == {
        "behind": late + parked,
        "parked": parked,
        "never arrived": late,
        "for another reason": 0,
        "parked and not misread": 0,
    }
    assert f"{parked} root" in executed.text("parked")


def test_refused_payments_are_stuck_orders(executed: Executed, incidents: dict[str, Any]) -> None:
    held = len(incidents["held up"]["unchanged"])
    told = executed.value("held")
    assert told["letters"] == told["of them stuck before shipping"] == held
    assert told["stuck since Monday"] == held + told["of them without such a letter"]
    monday, second = executed.rows("stuck")[:2]
    assert monday["day"] == "2026-04-20"
    assert int(monday["orders"]) >= 4 * int(second["orders"])


def test_the_stories_cross(
    executed: Executed, truth: dict[str, Any], incidents: dict[str, Any]
) -> None:
    wrong = {fault["key"] for fault in truth["faults"]}
    both = wrong & set(incidents["held up"]["unchanged"])
    assert executed.value("money")["also wrong in the table"] == len(both) > 0


def test_the_repair_leaves_no_difference_and_touches_no_other_row(
    executed: Executed, truth: dict[str, Any]
) -> None:
    assert "nothing was written" in executed.text("plan")
    assert executed.value("script")[1] == "BEGIN;"
    missing = sum(1 for fault in truth["faults"] if fault["class"] == "missing")
    assert f"match {truth['rows'] + missing:,}\n" in executed.text("repaired")
    assert executed.value("untouched") == (len(truth["faults"]), True)


def test_what_is_parked_is_held_back(executed: Executed, incidents: dict[str, Any]) -> None:
    assert "to send" not in executed.text("parked-redrive")
    assert f"{len(incidents['held up']['unchanged'])} to send" in executed.text("redrive")


def test_all_five_are_named_and_none_is_invented(
    executed: Executed, incidents: dict[str, Any]
) -> None:
    assert set(incidents) == set(CAUSES)
    assert executed.value("truth") == {
        cause: (len(one["rows"] or one["unchanged"]), True) for cause, one in incidents.items()
    }


def test_it_is_handed_over(executed: Executed) -> None:
    files, evidence = executed.value("exported")
    assert files == [
        "explained.html",
        "outages.csv",
        "refused_payments.csv",
        "repair.sql",
        "sagas.html",
        "wrong_cells.csv",
    ]
    assert evidence.startswith("20,000 events, fingerprint ")
