"""Time travel: at any position the widget shows what a replay to there gives, and says how to get it."""

from __future__ import annotations

import gc
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.fix_log import MakeLog
from tests.oracle import At, minute
from workbench.errors import ConfigError, MomentError, ProjectionError, StreamNotFound

ACCOUNT = wb.Projection(
    "account",
    {
        "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew"),
        "status": wb.latest("status", on="Noted"),
    },
    ends="Closed",
)


def deposited(balance: Decimal, amount: Decimal) -> Decimal:
    return balance + amount


def withdrew(balance: Decimal, amount: Decimal) -> Decimal:
    if amount > balance:
        message = "not enough money"
        raise ValueError(message)
    return balance - amount


BALANCE = wb.Fold("balance", Decimal(0), {"Deposited": deposited, "Withdrew": withdrew})


def event(stream: str, kind: str, data: Any = None, **columns: Any) -> dict[str, Any]:
    return {"stream_id": stream, "event_type": kind, "data": data, **columns}


STORY = [
    event("a", "Opened", {"owner": "Ada"}),
    event("a", "Deposited", '{"amount": 100.10}', recorded_at=minute(1)),
    event("b", "Deposited", '{"amount": 7}', recorded_at=minute(2), actor="teller"),
    event("a", "Withdrew", '{"amount": 30}', recorded_at=minute(3)),
    event("a", "Closed", recorded_at=minute(4)),
    event("b", "Noted", {"status": "good"}, recorded_at=minute(5)),
]


def part(travel: Any, kind: type, description: str = "") -> Any:
    """Find a control as a reader does: by what it is and what is written on it."""
    found = [
        one
        for one in _within(travel)
        if isinstance(one, kind) and description in getattr(one, "description", "")
    ]
    assert len(found) == 1, found
    return found[0]


def _within(widget: Any) -> list[Any]:
    return [
        widget,
        *(inner for child in getattr(widget, "children", ()) for inner in _within(child)),
    ]


def slide(travel: Any, value: int) -> None:
    part(travel, ipywidgets.IntSlider).value = value


def press(travel: Any, description: str) -> None:
    part(travel, ipywidgets.Button, description).click()


def shown(travel: Any) -> str:
    """Return all HTML that the browser has."""
    return "\n".join(one.value for one in _within(travel) if isinstance(one, ipywidgets.HTML))


def run(travel: Any, **names: Any) -> Any:
    """Run the code that is shown."""
    return eval(travel.code, names)


# -- it is the replay ----------------------------------------------------------------------------


def rows_of(log: wb.EventLog, definition: Any, position: int) -> list[dict[str, Any]]:
    return log.replay(definition, position=position).rows()


def one_of(rows: list[dict[str, Any]], key: dict[str, Any] | None) -> dict[str, Any] | None:
    found = [row for row in rows if key is not None and key.items() <= row.items()]
    return found[0] if found else None


@pytest.mark.parametrize("key", oracle.KEYS)
@given(data=st.data())
@oracle.examples(5)
def test_at_any_position_of_a_log_it_shows_the_replay(key: str, data: st.DataObject) -> None:
    projection = oracle.projection(**oracle.KEYS[key])
    events = data.draw(oracle.event_lists(most=20).filter(len))
    with oracle.log_of(events) as log:
        travel = log.time_travel(projection)
        for position in data.draw(st.lists(st.integers(1, len(events)), min_size=1, max_size=2)):
            slide(travel, position)
            step = travel.step
            after, before = (rows_of(log, projection, at) for at in (position, position - 1))
            assert travel.position == step.event["position"] == position
            assert step.after == one_of(after, step.key)
            assert step.before == one_of(before, step.key)
            assert travel.value == ([] if step.after is None else [step.after])
            assert run(travel, log=log, everything=projection) == travel.value
            # No other row than the one that is shown has changed, and the number of rows is right.
            assert [row for row in after if row not in before] == [
                row for row in travel.value if row != step.before
            ]
            expected = oracle.replay(projection, events, At(position=position, clock="recorded"))
            assert len(after) == len(expected)
            assert f">{len(after)} row" in shown(travel)


@given(data=st.data())
@oracle.examples(8)
def test_at_any_event_of_a_stream_it_shows_the_replay(data: st.DataObject) -> None:
    projection = oracle.projection(ends="Closed")
    events = data.draw(oracle.event_lists(most=20).filter(len))
    stream = data.draw(st.sampled_from([one["stream_id"] for one in events]))
    numbered = [n for n, one in enumerate(events, 1) if one["stream_id"] == stream]
    with oracle.log_of(events) as log:
        travel = log.time_travel(projection, stream)
        for number in data.draw(st.lists(st.integers(1, len(numbered)), min_size=1, max_size=2)):
            slide(travel, number)
            position = numbered[number - 1]
            assert travel.position == position
            assert travel.value == log.replay(projection, position=position, stream=stream).rows()
            assert run(travel, log=log, everything=projection) == travel.value
            at = At(position=position, clock="recorded")
            expected = oracle.replay(projection, events, at).get((stream,))
            assert travel.value == ([] if expected is None else [{"stream_id": stream} | expected])


def counting(state: dict[str, int], status: str) -> dict[str, int]:
    return {"n": state["n"] + 1, "a": state["a"] + (status == "a")}


@pytest.mark.parametrize("key", oracle.KEYS)
@given(data=st.data())
@oracle.examples(4)
def test_a_fold_is_shown_as_its_replay_gives_it(key: str, data: st.DataObject) -> None:
    handlers = dict.fromkeys(["Opened", "Deposited", "Withdrew"], counting)
    fold = wb.Fold("counted", {"n": 0, "a": 0}, handlers, **oracle.KEYS[key])
    events = data.draw(oracle.event_lists(most=20).filter(len))
    with oracle.log_of(events) as log:
        travel = log.time_travel(fold)
        for position in data.draw(st.lists(st.integers(1, len(events)), min_size=1, max_size=3)):
            slide(travel, position)
            step = travel.step
            after = rows_of(log, fold, position)
            assert step.after == one_of(after, step.key)
            assert step.before == one_of(rows_of(log, fold, position - 1), step.key)
            assert run(travel, log=log, counted=fold) == travel.value
            assert f">{len(after)} row" in shown(travel)


def test_events_that_arrived_out_of_their_order_count_from_their_position_on(
    make_log: MakeLog,
) -> None:
    # The closing has the lowest version and came last: what came after it in the stream stays.
    events = [event("a", "Deposited", {"amount": 5}, version=2), event("a", "Closed", version=1)]
    events += [event("b", "Deposited", {"amount": 5}, version=2), event("b", "Closed", version=3)]
    log = make_log(events)
    travel = log.time_travel(ACCOUNT, position=2)
    assert travel.value == log.replay(ACCOUNT, position=2).rows()
    assert "1 row in account" in shown(travel)
    slide(travel, 4)
    assert (travel.value, len(log.replay(ACCOUNT))) == ([], 1)
    assert "1 row in account (-1)" in shown(travel)


# -- moving --------------------------------------------------------------------------------------


def test_buttons_go_to_the_neighbours_in_the_row(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, position=4)
    press(travel, "Previous")
    assert travel.position == 2  # not 3, which is another row's
    press(travel, "Next")
    press(travel, "Next")
    assert travel.position == 5
    assert part(travel, ipywidgets.Button, "Next").disabled
    assert not part(travel, ipywidgets.Button, "Previous").disabled


def test_the_slider_of_a_stream_counts_its_events(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, "b")
    slider = part(travel, ipywidgets.IntSlider, "event")
    assert (slider.min, slider.max, slider.value) == (1, 2, 2)
    assert not slider.continuous_update
    slide(travel, 1)
    assert "Deposited · b · version 1 · position 3 · 2026-01-01 00:02:00Z" in shown(travel)


def test_it_begins_where_it_is_told_or_at_the_end(make_log: MakeLog) -> None:
    log = make_log(STORY)
    assert log.time_travel(ACCOUNT).position == 6
    assert log.time_travel(ACCOUNT, "a", position=3).position == 2  # the last of a up to there
    with pytest.raises(MomentError, match=r"no event up to position 2; the first is at 3"):
        log.time_travel(ACCOUNT, "b", position=2)


def test_the_whole_read_model_can_be_had_at_the_position_that_is_shown(make_log: MakeLog) -> None:
    log = make_log(STORY)
    found = log.time_travel(ACCOUNT, position=4).replay()
    assert len(found) == 2
    assert sorted(map(str, found.rows())) == sorted(map(str, log.replay(ACCOUNT, position=4).rows()))  # fmt: skip


def test_a_position_beyond_the_end_is_the_end(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, position=2)
    travel.position = 1_000
    assert travel.position == 6


def test_one_event_alone_can_be_looked_at(make_log: MakeLog) -> None:
    travel = make_log(STORY[:1]).time_travel(ACCOUNT)
    assert part(travel, ipywidgets.IntSlider).disabled
    assert travel.position == 1


def test_a_narrowed_log_is_travelled_by_its_own_events(make_log: MakeLog) -> None:
    log = make_log(STORY).where(types=["Deposited", "Closed"])
    travel = log.time_travel(ACCOUNT)
    assert [one for n in (1, 2, 3) if (slide(travel, n), one := travel.position)[0] is None] == [2, 3, 5]  # fmt: skip
    press(travel, "Previous")
    assert travel.step.after == log.replay(ACCOUNT, position=2).rows()[0]
    assert run(travel, log=log, account=ACCOUNT) == travel.value


def test_events_loaded_later_do_not_change_what_it_shows(make_log: MakeLog) -> None:
    from tests.fix_log import Written

    log = make_log(STORY)
    travel = log.time_travel(ACCOUNT)
    log.load(Written([event("b", "Deposited", {"amount": 1})], name="more"), progress=False)
    slide(travel, 3)
    assert travel.value == log.replay(ACCOUNT, position=3, stream="b").rows()
    assert part(travel, ipywidgets.IntSlider).max == 6


# -- what is shown -------------------------------------------------------------------------------


def lines(travel: Any) -> list[str]:
    return repr(travel).splitlines()


def test_changed_fields_are_marked_by_words(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, "a", position=4)
    assert "balance  100.10  70.10  -30.00" in lines(travel)
    assert "status   NULL    NULL" in lines(travel)
    assert "version 2 → 4 · position 2 → 4 · events 1 → 2" not in lines(travel)
    assert "version 2 → 3 · position 2 → 4 · events 1 → 2" in lines(travel)
    marked = [cell for cell in shown(travel).split("<tr>") if "font-weight:600;background" in cell]
    assert len(marked) == 1
    assert ">70.10<" in marked[0]


def test_rows_that_appear_and_vanish_say_so(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, position=2)
    assert "Deposited brings the row into being." in lines(travel)
    assert "balance  no row  100.10  new" in lines(travel)
    assert "1 row in account (+1)" in lines(travel)
    slide(travel, 5)
    assert "Closed ends the row." in lines(travel)
    assert "balance  70.10   no row  gone" in lines(travel)
    assert "1 row in account (-1)" in lines(travel)


def test_an_event_that_changes_nothing_says_why(make_log: MakeLog) -> None:
    travel = make_log(STORY).time_travel(ACCOUNT, position=1)
    assert "No change: account does not apply Opened. There is no row here." in lines(travel)
    orders = wb.Projection("orders", {"n": wb.count()}, key="order.id")
    travel = make_log(STORY).time_travel(orders)
    assert any("the event has no id, so it touches no row" in line for line in lines(travel))
    other = wb.Projection("other", {"n": wb.count()}, stream_type="order")
    travel = make_log(STORY).time_travel(other)
    assert any("applies only streams of type order" in line for line in lines(travel))


def test_differences_are_exact(make_log: MakeLog) -> None:
    amounts = ["0.000000000000000002", "12345678901234567890.000000000000000001"]
    log = make_log([event("a", "Deposited", f'{{"amount": {one}}}') for one in amounts])
    travel = log.time_travel(ACCOUNT)
    assert travel.value[0]["balance"] == Decimal("12345678901234567890.000000000000000003")
    assert any(line.endswith("+12345678901234567890.000000000000000001") for line in lines(travel))


def test_a_payload_keeps_its_digits_its_order_and_its_keys(make_log: MakeLog) -> None:
    data = '{"b": 1.10, "a": 12345678901234567.890, "b": {"deep": [1, {}, []]}}'
    travel = make_log([event("a", "Deposited", data)]).time_travel(ACCOUNT)
    expected = [
        "{",
        '  "b": 1.10,',
        '  "a": 12345678901234567.890,',
        '  "b": {',
        '    "deep": [',
        "      1,",
        "      {},",
        "      []",
        "    ]",
        "  }",
        "}",
    ]
    text = lines(travel)
    assert text[text.index("{") : text.index("{") + len(expected)] == expected


@pytest.mark.parametrize(
    "data",
    [
        '{"note": "' + "x" * 3_000_000 + '"}',
        "[" * 500 + "]" * 500,
        "[" + "1," * 100_000 + "1]",
        '{"note": "' + "\\u0000" * 5_000 + '"}',
    ],
)
def test_a_large_payload_is_cut_and_says_so(make_log: MakeLog, data: str) -> None:
    travel = make_log([event("a", "Deposited", data)]).time_travel(ACCOUNT)
    assert len(shown(travel)) < 200_000
    assert "characters)" in shown(travel) or "lines)" in shown(travel)
    assert len(lines(travel)) < 450


def test_hostile_text_stays_text(make_log: MakeLog) -> None:
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\"'`"
    events = [
        event(bad, bad, {"amount": bad, bad: bad}, actor=bad, correlation_id=bad, stream_type=bad),
        event(bad, "Noted", {"status": bad}),
    ]
    log = make_log(events)
    for travel in (log.time_travel(ACCOUNT, bad), log.time_travel(ACCOUNT)):
        for number in (1, 2):
            slide(travel, number)
            bundle = travel._repr_mimebundle_()
            for html in (shown(travel), bundle["text/html"]):
                assert "<script" not in html
                assert "<img" not in html
                assert "\u202e" not in html
            assert "\u202e" not in bundle["text/plain"]
        assert run(travel, log=log, account=ACCOUNT) == travel.value == log.replay(ACCOUNT).rows()
    by_status = wb.Projection("by status", {"n": wb.count()}, key="status")
    travel = log.time_travel(by_status)
    assert [row["n"] for row in run(travel, log=log, definition=by_status)] == [1]


def test_the_picture_that_stays_has_the_event_the_row_and_the_code(make_log: MakeLog) -> None:
    bundle = make_log(STORY).time_travel(ACCOUNT, "b", position=3)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    for twin in (bundle["text/html"], bundle["text/plain"]):
        for told in ("account of b", "Deposited", "amount", "7.00", "new", "log.replay(account"):
            assert told in twin
    assert "teller" in bundle["text/html"]


def test_payloads_are_shown_as_upcasters_read_them(make_log: MakeLog) -> None:
    renamed = wb.Upcaster("Deposited", from_version="1", to_version="2").rename("sum", "amount")
    events = [event("a", "Deposited", '{"sum": 5.0}', schema_version="1")]
    log = make_log(events).upcast(renamed)
    travel = log.time_travel(ACCOUNT)
    assert '  "amount": 5.0' in lines(travel)
    assert travel.value == log.replay(ACCOUNT, position=1).rows()
    assert travel.value[0]["balance"] == 5


# -- what cannot be shown ------------------------------------------------------------------------


def test_a_handler_that_fails_is_told_in_the_widget_and_the_next_move_works(
    make_log: MakeLog,
) -> None:
    log = make_log([*STORY[:4], event("a", "Withdrew", {"amount": 1_000})])
    travel = log.time_travel(BALANCE)
    assert 'role="alert"' in shown(travel)
    assert "not enough money" in shown(travel)
    assert "1000" in shown(travel)  # the event that broke it is there to be looked at
    assert travel.value is None
    press(travel, "Previous")
    assert travel.value == [{"stream_id": "a", "balance": Decimal("70.10"), "version": 3, "position": 4, "events": 2}]  # fmt: skip
    assert 'role="alert"' not in shown(travel)


def test_a_closed_log_is_told_in_the_widget(make_log: MakeLog) -> None:
    log = make_log(STORY)
    travel = log.time_travel(ACCOUNT)
    log.close()
    slide(travel, 2)
    assert 'role="alert"' in shown(travel)
    assert "is closed" in shown(travel)


def test_wrong_arguments_are_refused_at_once(make_log: MakeLog) -> None:
    log = make_log(STORY)
    with pytest.raises(StreamNotFound, match="no stream 'c'"):
        log.time_travel(ACCOUNT, "c")
    with pytest.raises(ProjectionError, match="no definition"):
        log.time_travel("account")  # type: ignore[arg-type]
    with pytest.raises(ProjectionError, match="not by stream"):
        log.time_travel(oracle.projection(key="order.id"), "a")
    with pytest.raises(ConfigError, match="no events to travel over in this view"):
        log.where(types="Never").time_travel(ACCOUNT)


# -- memory --------------------------------------------------------------------------------------


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("definition", [ACCOUNT, BALANCE], ids=["projection", "fold"])
def test_memory_stays_flat_over_200_moves(make_log: MakeLog, definition: Any) -> None:
    events = [event(f"s{n % 20}", "Deposited", {"amount": n, "note": "x" * 2_000}) for n in range(300)]  # fmt: skip
    log = make_log(events)
    log.prepare(definition)
    travel = log.time_travel(definition)
    tables = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'memory'"

    def move(first: int, last: int) -> tuple[int, int]:
        for n in range(first, last):
            slide(travel, n % 300 + 1)
        gc.collect()
        return resident(), int(log._view.rows(tables)[0][0])

    memory, kept = move(0, 60)
    more, still_kept = move(60, 260)
    assert still_kept == kept
    assert more - memory < 8_000_000
