"""What the notebook on sagas shows is true."""

from __future__ import annotations

import json

import pytest

from tests.fix_notebooks import Run
from tests.notebooks import Executed
from workbench.samples import path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(run: Run) -> Executed:
    return run("04_sagas")


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = json.loads(path("checkout/sagas_truth.json").read_text())
    return told


def test_outcomes_are_those_of_the_truth(
    executed: Executed, truth: dict[str, dict[str, int]]
) -> None:
    told = executed.text("sagas")
    for name, number in truth["outcomes"].items():
        assert f"{name} {number:,}" in told
    assert sum(executed.value("own").values()) == truth["sagas"]


def test_a_week_stands_out(executed: Executed) -> None:
    weeks = [(row["moment"][:10], int(row["failed"])) for row in executed.rows("weeks")]
    assert weeks[0][0] == "2026-06-29"
    assert weeks[0][1] >= 3 * weeks[1][1]


def test_most_losses_are_at_the_payment(executed: Executed) -> None:
    lost = {row["step"]: int(row["lost"]) for row in executed.rows("funnel")}
    assert max(lost, key=lambda step: lost[step]) == "pay"


def test_most_wait_for_a_shipment_that_was_paid(executed: Executed) -> None:
    waiting = executed.rows("waiting")
    assert waiting[0]["step"] == "ship"
    (money,) = executed.rows("money")
    assert money["payments"] == waiting[0]["sagas"]
    assert float(money["kept"]) > 0


def test_violations_are_those_of_the_truth(
    executed: Executed, truth: dict[str, dict[str, int]]
) -> None:
    found: dict[str, int] = {}
    for row in executed.rows("violations"):
        found[row["violation"]] = found.get(row["violation"], 0) + int(row["times"])
    assert found == truth["violations"]
    kept = sum(int(row["times"]) for row in executed.rows("violations")
               if (row["violation"], row["step"]) == ("missing compensation", "pay"))  # fmt: skip
    assert len(executed.rows("kept")) == kept


def test_the_one_in_the_wrong_order_releases_its_first_line_first(executed: Executed) -> None:
    released = [
        row["stream_id"]
        for row in executed.rows("events")
        if row["event_type"] == "InventoryReleased"
    ]
    assert released == sorted(released)
    assert len(released) == 3


def test_it_is_handed_over(executed: Executed, truth: dict[str, dict[str, int]]) -> None:
    files, events, _ = executed.value("exported")
    assert files == ["checkout.sqlite", "sagas.html", "stuck.csv", "violations.parquet"]
    assert events == truth["events"]
    assert executed.value("then")["now"] == truth["outcomes"]["stuck"]
