"""What the notebook on schema evolution shows is true."""

from __future__ import annotations

from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from tests.fix_notebooks import Run
from tests.notebooks import Executed
from workbench.bundled import sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(run: Run) -> Executed:
    return run("06_schema_evolution")


@pytest.fixture(scope="module")
def deposits() -> list[dict[str, object]]:
    """The deposits, each with the currency of its account, read in plain Python."""
    import json

    events = pq.read_table(sample("bank").events).to_pylist()
    opened = {
        one["stream_id"]: json.loads(one["data"])["currency"]
        for one in events
        if one["event_type"] == "AccountOpened"
    }
    return [
        {
            "version": one["schema_version"],
            "currency": opened[one["stream_id"]],
            "amount": json.loads(one["data"], parse_float=Decimal)["amount"],
        }
        for one in events
        if one["event_type"] == "DepositMade"
    ]


def sums(deposits: list[dict[str, object]], version: str | None = None) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for one in deposits:
        if version in (None, one["version"]):
            found[str(one["currency"])] = found.get(str(one["currency"]), Decimal(0)) + Decimal(
                str(one["amount"])
            )
    return found


def test_what_is_left_out_at_first_is_said(
    executed: Executed, deposits: list[dict[str, object]]
) -> None:
    old = sum(one["version"] == "1" for one in deposits)
    assert f"{old:,} events have no currency, and touch no row" in executed.text("asked")
    assert {row["currency"]: Decimal(row["amount"]) for row in executed.rows("asked")} == sums(
        deposits, "2"
    )


def test_the_census_names_the_version_that_has_no_chain(executed: Executed) -> None:
    assert "no chain of upcasters leads to the newest version from DepositMade 1" in executed.text(
        "census"
    )
    assert executed.value("drift") == 0
    assert executed.value("decodes") is True


def test_channels_changed_over_one_by_one(executed: Executed) -> None:
    days = [row["first_day"] for row in executed.rows("channels")]
    assert len(days) == 5
    assert days == sorted(set(days))


def test_a_gap_is_refused(executed: Executed) -> None:
    assert "have a gap: 1 leads to 2 and no further" in executed.text("refused")


def test_the_claim_is_counted(executed: Executed, deposits: list[dict[str, object]]) -> None:
    claimed = {row["account_in"]: Decimal(row["amount"]) for row in executed.rows("claimed")}
    assert claimed == sums(deposits, "1")
    others = sum(one["version"] == "1" and one["currency"] != "EUR" for one in deposits)
    assert others == 301


def test_the_fork_has_the_answer(executed: Executed, deposits: list[dict[str, object]]) -> None:
    assert {row["currency"]: Decimal(row["amount"]) for row in executed.rows("fork")} == sums(
        deposits
    )
    assert {row["currency"]: Decimal(row["amount"]) for row in executed.rows("against")} == sums(
        deposits, "1"
    )


def test_the_impact_is_drawn_and_explained(executed: Executed) -> None:
    assert "122 changed, 12 passing" in executed.text("impact-chart")
    row = executed.rows("one-row")[0]
    assert row["event_type"] == "WithdrawalMade"
    assert 500 < Decimal(row["amount"]) <= 1000


def test_rules_in_metadata_are_read(executed: Executed) -> None:
    assert {row["stream_id"]: row["name"] for row in executed.rows("names")} == {
        "u-1": "Unknown",
        "u-2": "Bob",
    }
