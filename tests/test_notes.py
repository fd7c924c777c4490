"""Notes: a replay says what looks misspelt; a wrong name must not pass for an empty answer."""

from __future__ import annotations

from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import ConfigError, LogError, MomentError, ProjectionError, ReplayError

EVENTS: list[dict[str, Any]] = [
    {"stream_id": "a", "stream_type": "account", "event_type": "Opened", "data": {"owner": "Ana"}},
    {
        "stream_id": "a",
        "stream_type": "account",
        "event_type": "DepositMade",
        "data": {"amount": 5},
    },
]


def notes(make_log: MakeLog, **options: Any) -> str:
    columns = {"x": options.pop("column")}
    return "\n".join(make_log(EVENTS).replay(wb.Projection("p", columns, **options)).notes)


def test_a_misspelt_type_is_named(make_log: MakeLog) -> None:
    said = notes(make_log, column=wb.count(on="DepositMad"))
    assert "no event of this log is a DepositMad. Did you mean 'DepositMade'?" in said


def test_a_misspelt_field_is_named(make_log: MakeLog) -> None:
    said = notes(make_log, column=wb.total("amout", on="DepositMade"))
    assert "has a value at 'amout'. Did you mean 'amount'?" in said


def test_a_misspelt_stream_type_is_named(make_log: MakeLog) -> None:
    said = notes(make_log, column=wb.count(), stream_type="acount")
    assert "no stream of this log is a acount. Did you mean 'account'?" in said


def test_right_names_are_not_remarked_on(make_log: MakeLog) -> None:
    column = wb.total("amount", on="DepositMade")
    assert notes(make_log, column=column, on="Opened", stream_type="account") == ""


def test_one_type_to_ignore_may_be_a_string(make_log: MakeLog) -> None:
    assert notes(make_log, column=wb.count(on="DepositMade"), ignore="Opened") == ""


# -- slips that would drop something in silence --------------------------------------------------


def test_conditions_are_not_joined_by_words() -> None:
    with pytest.raises(ProjectionError, match="join conditions with &"):
        (wb.field("a") == "x") and (wb.field("b") > 1)
    with pytest.raises(ProjectionError, match="join conditions with &"):
        assert 1 < wb.field("a") < 5  # type: ignore[operator]  # what a newcomer writes


def test_a_time_in_a_condition_has_an_offset() -> None:
    with pytest.raises(MomentError, match="no time zone"):
        wb.count(where=wb.field("event.occurred_at") > "2026-01-01T00:00")


def test_a_condition_is_no_text() -> None:
    with pytest.raises(ProjectionError, match="is no condition"):
        wb.count(where="amount > 5")  # type: ignore[arg-type]  # what a newcomer writes


def test_a_handler_returns_the_next_state_where_the_state_cannot_change(make_log: MakeLog) -> None:
    def forgot(balance: int, amount: int) -> None:
        balance += amount

    with pytest.raises(ReplayError, match="return the next state"):
        make_log(EVENTS).replay(wb.Fold("f", 0, {"DepositMade": forgot}))


def test_a_path_is_no_source(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match=r"wb\.files"):
        make_log([]).load("events.parquet")  # type: ignore[arg-type]  # what a newcomer writes


def test_a_frame_is_no_read_model(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    definition = wb.Projection("p", {"n": wb.count()})
    with pytest.raises(ConfigError, match=r"wb\.read_model"):
        log.diff(definition, log.replay(definition).df())  # type: ignore[arg-type]  # as above


def test_a_closed_log_says_so(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    log.close()
    with pytest.raises(LogError, match="is closed"):
        log.settle()


def test_a_query_is_for_databases(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="for databases"):
        wb.read_model(tmp_path / "rows.parquet", query="SELECT 1")
