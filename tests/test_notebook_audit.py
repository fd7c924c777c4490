"""What the audit notebook shows is true."""

from __future__ import annotations

import pytest

from tests.fix_notebooks import Run
from tests.notebooks import Executed

pytestmark = pytest.mark.slow

ACCOUNT = "acc-000452"


@pytest.fixture(scope="module")
def executed(run: Run) -> Executed:
    return run("07_audit")


def test_the_account_has_a_whole_record(executed: Executed) -> None:
    told = executed.text("audit")
    assert "✓ No version is missing between the first and the last event of the stream." in told
    assert "✗" not in told


def test_the_freeze_has_a_reason_and_a_cause(executed: Executed) -> None:
    reasons = executed.rows("reasons")
    assert "AccountFrozen" in {row["event_type"] for row in reasons}
    lines = executed.text("causation").splitlines()
    assert lines[1].startswith("WithdrawalMade")
    assert any(line.strip().startswith("AccountFrozen") for line in lines[2:])


def test_an_alteration_is_found_by_the_head_the_pack_and_the_source(executed: Executed) -> None:
    assert executed.value("altered") == []
    assert executed.value("against-head").startswith("altered: of 25,000 events")
    for tag in ("against-pack", "against-source"):
        rows = executed.rows(tag)
        assert {(row["what"], row["stream_id"], row["columns"]) for row in rows} == {
            ("changed", ACCOUNT, "[data]")
        }


def test_the_pack_verifies_until_a_bit_is_flipped(executed: Executed) -> None:
    assert "verified: every byte is as it was written" in executed.text("verified")
    assert "events.parquet: does not match its hash in the manifest" in executed.text("flipped")


def test_the_masked_name_is_nowhere(executed: Executed) -> None:
    assert executed.value("masked") == {"owner is known here": True, "owner is in the pack": False}
    assert "masked: owner" in executed.text("pack")


def test_the_damaged_block_is_named(executed: Executed) -> None:
    assert "does not match its checksum" in executed.text("damaged")
    assert executed.value("tidied") is False
