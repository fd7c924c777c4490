"""LogExplorer and Brush: what is shown is what the code gives, page by page, and nothing hostile runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import QueryError
from workbench.ui import opened
from workbench.ui.brush import Brush
from workbench.ui.filters import Filter
from workbench.ui.log_explorer import LogExplorer

DAY = "2026-06-{:02}T12:00Z"
ENDLESS = "SELECT max(hash(range)) FROM range(100_000_000_000_000)"
HOSTILE = "<script>window.pwned = true</script>"


def some(count: int = 6) -> list[dict[str, Any]]:
    """Events of two types on two streams, one a day; the payload of the third one is long with digits."""
    return [
        {
            "stream_id": "acc-1" if n % 2 else "acc-2",
            "event_type": "Deposited" if n % 3 else "Opened",
            "recorded_at": DAY.format(n + 1),
            "event_id": f"e{n}",
            "causation_id": f"e{n - 1}" if n % 3 else None,
            "correlation_id": f"flow-{n // 3}",
            "data": f'{{"amount":{n}.10,"to":"Café {n}","note":"100% \\"sure\\""}}',
        }
        for n in range(count)
    ]


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    return make_log(some())


def positions(log: Any) -> list[int]:
    return [row["position"] for row in log.sql("SELECT position FROM events ORDER BY 1").rows()]


def run(explorer: Any, log: wb.EventLog) -> Any:
    """Run the code that an explorer shows."""
    return eval(explorer.code, {"log": log})


def said(explorer: Any) -> str:
    return str(explorer._message.value)


# -- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("controls", "code", "found"),
    [
        ({}, "log", [1, 2, 3, 4, 5, 6]),
        ({"types": ("Opened",)}, 'log.where(types="Opened")', [1, 4]),
        ({"types": ("Deposited", "Opened")}, 'log.where(types=["Deposited", "Opened"])', [1, 2, 3, 4, 5, 6]),
        ({"stream": " acc-1 "}, 'log.where(stream="acc-1")', [2, 4, 6]),
        ({"correlation": "flow-1"}, 'log.where(correlation="flow-1")', [4, 5, 6]),
        (
            {"text": "CAFÉ 4"},
            "log.where(condition=\"contains(lower(data::VARCHAR), lower('CAFÉ 4'))\")",
            [5],
        ),
        ({"start": "2026-06-03T14:00+02:00"}, 'log.between("2026-06-03T12:00Z", None)', [3, 4, 5, 6]),
        ({"end": "2026-06-03T12:00Z"}, 'log.between(None, "2026-06-03T12:00Z")', [1, 2]),
        (
            {"types": ("Deposited",), "stream": "acc-1", "start": "2026-06-04T00:00:00.5Z"},
            'log.where(types="Deposited", stream="acc-1").between("2026-06-04T00:00:00.500000Z", None)',
            [6],
        ),
    ],
)  # fmt: skip
def test_filters_narrow_the_log_and_the_code_does_the_same(
    log: wb.EventLog, controls: dict[str, Any], code: str, found: list[int]
) -> None:
    explorer = log.explore()
    for name, value in controls.items():
        getattr(explorer, name).value = value
    assert said(explorer) == ""
    assert explorer.code == code
    assert positions(explorer.value) == found
    assert run(explorer, log).fingerprint() == explorer.value.fingerprint()
    assert [row[0] for row in explorer._listing.page] == found


@given(text=st.text(max_size=12), stream=st.text(max_size=8), types=st.lists(st.text(max_size=8)))
@settings(max_examples=60, deadline=None)
def test_the_code_gives_the_same_whatever_is_typed(
    text: str, stream: str, types: list[str]
) -> None:
    with wb.open() as log:
        asked = Filter(types=tuple(types), text=text, correlation=stream)
        view = asked.of(log._view)
        assert eval(asked.code("log"), {"log": log})._view.conditions == view.conditions


def test_long_code_is_broken_over_lines() -> None:
    code = Filter(types=("A" * 40, "B" * 40), stream="acc-1").code("log")
    assert code.splitlines() == [
        "log.where(", f'    types=["{"A" * 40}", "{"B" * 40}"],', '    stream="acc-1",', ")",
    ]  # fmt: skip


def test_the_next_cell_goes_on_with_the_value(log: wb.EventLog) -> None:
    explorer = log.explore()
    explorer.types.value = ("Deposited",)
    assert isinstance(explorer.value, wb.EventLog)
    assert explorer.value.replay(wb.Projection("sums", {"sum": wb.total("amount")})).rows()


def test_types_are_told_with_their_number(log: wb.EventLog) -> None:
    assert [label for label, _ in log.explore().types.options] == ["Deposited  (4)", "Opened  (2)"]


def test_clear_takes_all_filters_away(log: wb.EventLog) -> None:
    explorer = log.explore()
    explorer.types.value, explorer.text.value = ("Opened",), "café"
    explorer.clear.click()
    assert (explorer.code, len(explorer.value)) == ("log", 6)
    assert (explorer.types.value, explorer.text.value) == ((), "")


def test_a_narrowed_log_says_that_it_was_narrowed(log: wb.EventLog) -> None:
    narrow = log.where(stream="acc-1", condition="version > 1\n")
    explorer = narrow.explore()
    explorer.types.value = ("Opened",)
    first, second = explorer.code.splitlines()
    assert first == r"# the log is narrowed already: stream_id = acc-1; version > 1\n"
    assert second == 'log.where(types="Opened")'
    assert run(explorer, narrow).fingerprint() == explorer.value.fingerprint()
    assert positions(explorer.value) == [4]


def test_both_clocks(make_log: MakeLog) -> None:
    events = [{**event, "occurred_at": DAY.format(20 - n)} for n, event in enumerate(some())]
    log = make_log(events)
    explorer = log.explore()
    assert list(explorer.clock.options) == ["recorded", "occurred"]
    explorer.clock.value, explorer.start.value = "occurred", "2026-06-19T00:00Z"
    assert explorer.code == 'log.between("2026-06-19T00:00Z", None, clock="occurred")'
    assert positions(explorer.value) == [1, 2]
    assert run(explorer, log).fingerprint() == explorer.value.fingerprint()


def test_one_clock_is_no_choice(log: wb.EventLog) -> None:
    assert log.explore().clock.disabled


def test_a_log_without_times_or_events(make_log: MakeLog) -> None:
    explorer = make_log([{"stream_id": "a"}]).explore()
    assert len(explorer.value) == 1
    with wb.open() as empty:
        explorer = empty.explore()
        assert (explorer.code, len(explorer.value)) == ("log", 0)
        assert "no such event" in repr(explorer)


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "typed", "words"),
    [
        ("stream", "acc-11", ["there is no stream", "acc-1"]),
        ("start", "yesterday", ["no time that can be read", "2026-06-30T14:02Z"]),
        ("end", "2026-06-03T12:00", ["says no time zone", "2026-06-03T12:00Z"]),
    ],
)
def test_what_cannot_be_is_said_and_nothing_changes(
    log: wb.EventLog, control: str, typed: str, words: list[str]
) -> None:
    explorer = log.explore()
    explorer.types.value = ("Opened",)
    getattr(explorer, control).value = typed
    assert 'role="alert"' in said(explorer)
    assert all(word in said(explorer) for word in words)
    assert (explorer.code, positions(explorer.value)) == ('log.where(types="Opened")', [1, 4])
    assert [row[0] for row in explorer._listing.page] == [1, 4]


def test_times_the_wrong_way_round(log: wb.EventLog) -> None:
    explorer = log.explore()
    explorer.start.value = "2026-06-04T00:00Z"
    explorer.end.value = "2026-06-03T00:00Z"
    assert "from 2026-06-04T00:00Z is after 2026-06-03T00:00Z" in said(explorer)


def test_a_search_that_takes_too_long_is_broken_off(log: wb.EventLog) -> None:
    with pytest.raises(QueryError, match=r"no answer within 0\.2 seconds") as caught:
        opened.ask(log._view, ENDLESS, seconds=0.2)
    assert "narrow by type, stream or time first" in str(caught.value)
    assert opened.ask(log._view, "SELECT 1") == [(1,)]


# -- pages ---------------------------------------------------------------------------------------


def test_pages_hold_all_events_in_order_and_never_more_than_fifty(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": f"s{n % 7}"} for n in range(123)])
    explorer = log.explore()
    seen, sizes = [], []
    while True:
        sizes.append(len(explorer._listing.select.options))
        seen += [row[0] for row in explorer._listing.page]
        if explorer._listing.on.disabled:
            break
        explorer._listing.on.click()
    assert seen == list(range(1, 124))
    assert sizes == [50, 50, 23]
    explorer._listing.back.click()
    assert explorer._listing.page[0][0] == 51


def test_latest_first(make_log: MakeLog) -> None:
    explorer = make_log([{"stream_id": "s"} for _ in range(60)]).explore()
    explorer.latest.value = True
    explorer._listing.on.click()
    assert [row[0] for row in explorer._listing.page] == list(range(10, 0, -1))
    assert explorer.code == "log"


# -- one event -----------------------------------------------------------------------------------


def test_an_event_is_opened_with_every_digit_and_its_causes(log: wb.EventLog) -> None:
    explorer = log.explore()
    explorer._listing.select.index = 4
    assert explorer.opened == 5
    detail = explorer._detail.value
    assert "&quot;amount&quot;: 4.10" in detail
    assert "Café 4" in detail
    # e3 led to it, and it led to e5; it is marked in the tree.
    tree = detail[detail.index("comes from") :]
    assert tree.index("acc-1 v2") < tree.index("acc-2 v3") < tree.index("acc-1 v3")
    assert tree[tree.index("<b>") : tree.index("</b>")].count("acc-2 v3") == 1


def test_the_payload_is_there_before_the_causes_are_found(log: wb.EventLog) -> None:
    explorer, seen = log.explore(), []
    explorer._detail.observe(lambda change: seen.append(change.new), "value")
    explorer._listing.select.index = 4
    first, last = seen
    assert "Café 4" in first
    assert "looking for what it comes from" in first
    assert "this one" in last


def test_on_another_page_none_is_open(make_log: MakeLog) -> None:
    explorer = make_log([{"stream_id": "s"} for _ in range(60)]).explore()
    explorer._listing.select.index = 2
    assert explorer.opened == 3
    explorer._listing.on.click()
    assert explorer.opened is None
    assert "choose an event" in explorer._detail.value


def test_a_payload_is_shown_as_the_log_reads_it(log: wb.EventLog) -> None:
    newer = log.upcast(
        wb.Upcaster("Opened", from_version=None, to_version="2").rename("amount", "sum")
    )
    explorer = newer.explore()
    explorer.text.value = '"sum"'
    assert positions(explorer.value) == [1, 4]
    explorer._listing.select.index = 1
    assert "&quot;sum&quot;" in explorer._detail.value


def test_a_long_payload_is_cut_and_says_so(make_log: MakeLog) -> None:
    explorer = make_log([{"stream_id": "s", "data": {"text": "x" * 100_000}}]).explore()
    explorer._listing.select.index = 0
    assert len(explorer._detail.value) < 40_000
    assert "… (100,012 characters)" in explorer._detail.value


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (None, None),
        ("[1.10,{}]", "[\n  1.10,\n  {}\n]"),
        ('{"a":12345678901234567890.12,"a":1E+2}', '{\n  "a": 12345678901234567890.12,\n  "a": 1E+2\n}'),
        ("[" * 3_000 + "]" * 3_000, "[" * 3_000 + "]" * 3_000),
    ],
    ids=["none", "list", "digits and keys", "deep"],
)  # fmt: skip
def test_payloads_are_laid_out_and_never_changed(payload: str | None, shown: str | None) -> None:
    assert opened.laid_out(payload) == shown


def test_hostile_events_are_text(make_log: MakeLog) -> None:
    log = make_log(
        [
            {
                "stream_id": HOSTILE, "event_type": HOSTILE, "actor": HOSTILE, "event_id": HOSTILE,
                "recorded_at": DAY.format(1), "correlation_id": HOSTILE, "causation_id": HOSTILE,
                "data": {HOSTILE: HOSTILE}, "metadata": {"x": HOSTILE},
            }
        ]
    )  # fmt: skip
    explorer = log.explore()
    explorer.types.value, explorer.stream.value = (HOSTILE,), HOSTILE
    explorer._listing.select.index = 0
    brush = log.brush()
    pages = [
        explorer._detail.value, explorer._code.value, explorer._listing._head.value,
        explorer._repr_mimebundle_()["text/html"], brush._told.value, brush._repr_mimebundle_()["text/html"],
    ]  # fmt: skip
    assert all("<script" not in page for page in pages)
    assert "&lt;script&gt;" in pages[0]


# -- without a kernel ----------------------------------------------------------------------------


def test_a_saved_notebook_shows_the_page_and_the_event_that_was_open(log: wb.EventLog) -> None:
    explorer = log.explore()
    explorer.types.value = ("Opened",)
    explorer._listing.select.index = 1
    bundle = explorer._repr_mimebundle_()
    for shown in (bundle["text/plain"], bundle["text/html"]):
        assert "acc-2" in shown
        assert "acc-1" in shown
        assert "3.10" in shown
        assert "log.where(types=" in shown
    assert "<table" in bundle["text/html"]


# -- brushing ------------------------------------------------------------------------------------


def milliseconds(time: str) -> float:
    return dt.datetime.fromisoformat(time).timestamp() * 1000


def drag(brush: Brush, low: str, high: str) -> None:
    """Move the brush as the chart in the browser tells it."""
    moment = [milliseconds(low), milliseconds(high)]
    told = {"value": {"moment": moment}, "store": [{"values": [moment]}]}
    brush.chart._vl_selections = {"brush": told}


def test_a_brush_takes_every_bar_that_it_touches(log: wb.EventLog) -> None:
    brush = log.brush(every="1 day")
    drag(brush, "2026-06-02T17:00Z", "2026-06-04T01:00Z")
    assert brush.code == 'log.between("2026-06-02T00:00Z", "2026-06-05T00:00Z")'
    assert positions(brush.value) == [2, 3, 4]
    assert run(brush, log).fingerprint() == brush.value.fingerprint()
    assert "3 of 6 events" in brush._told.value
    assert (brush.start.value, brush.end.value) == ("2026-06-02T00:00Z", "2026-06-05T00:00Z")


@given(low=st.integers(0, 200), length=st.integers(0, 150))
@settings(max_examples=40, deadline=None)
def test_what_is_counted_is_what_the_bars_say(brushed: Any, low: int, length: int) -> None:
    log, brush = brushed
    first = dt.datetime(2026, 5, 31, tzinfo=dt.UTC) + dt.timedelta(hours=low)
    last = first + dt.timedelta(hours=length)
    drag(brush, first.isoformat(), last.isoformat())
    start, end = brush._range
    bars = brush._rates.query(
        f"SELECT sum(events) AS n FROM result WHERE moment >= '{start}' AND moment < '{end}'"
    ).rows()
    assert len(brush.value) == (bars[0]["n"] or 0)
    assert len(brush.value) == len(run(brush, log))


@pytest.fixture(scope="module")
def brushed() -> Any:
    from tests.fix_log import Written

    with wb.open() as log:
        log.load(Written(some()), progress=False)
        yield log, log.brush(every="6 hours")


def test_the_bars_are_those_of_the_rates(log: wb.EventLog) -> None:
    brush, rates = log.brush(every="1 day").chart.spec, log.rates(every="1 day").chart().to_dict()
    assert len(brush["datasets"][brush["data"]["name"]]) == 6
    assert brush["datasets"] == rates["datasets"]
    assert [panel.get("encoding") for panel in brush["vconcat"]] == [
        panel.get("encoding") for panel in rates["vconcat"]
    ]


def test_a_click_beside_the_brush_gives_the_whole_log_again(log: wb.EventLog) -> None:
    brush = log.brush(every="1 day")
    drag(brush, "2026-06-02T17:00Z", "2026-06-04T01:00Z")
    brush.chart._vl_selections = {"brush": {"value": {}, "store": []}}
    assert (brush.code, len(brush.value), brush.start.value) == ("log", 6, "")


def test_a_range_can_be_typed_and_the_chart_follows(log: wb.EventLog) -> None:
    brush = log.brush(every="1 day")
    brush.start.value = "2026-06-03T13:00Z"
    assert brush.code == 'log.between("2026-06-03T13:00Z", None)'
    assert positions(brush.value) == [4, 5, 6]
    (param,) = [one for one in brush.chart.spec["params"] if one["name"] == "brush"]
    assert param["value"]["x"] == [
        milliseconds("2026-06-03T13:00Z"),
        milliseconds("2026-06-07T00:00Z"),
    ]
    # The chart that was drawn anew is listened to as well.
    drag(brush, "2026-06-01T01:00Z", "2026-06-01T02:00Z")
    assert positions(brush.value) == [1]
    brush.clear.click()
    assert brush.code == "log"
    assert "value" not in brush.chart.spec["params"][0]


def test_a_typed_range_that_is_none(log: wb.EventLog) -> None:
    brush = log.brush()
    brush.start.value = "June"
    assert "no time that can be read" in said(brush)
    assert brush.code == "log"


def test_a_brush_on_the_other_clock(make_log: MakeLog) -> None:
    log = make_log([{**event, "occurred_at": DAY.format(20)} for event in some()])
    brush = log.brush(every="1 day", clock="occurred")
    drag(brush, "2026-06-20T01:00Z", "2026-06-20T02:00Z")
    assert brush.code.endswith('clock="occurred")')
    assert len(brush.value) == 6


def test_a_brush_keeps_a_picture(log: wb.EventLog) -> None:
    bundle = log.brush()._repr_mimebundle_()
    assert 'src="data:image/png;base64,' in bundle["text/html"]
    assert "6 of 6 events" in bundle["text/plain"]


def test_a_brush_over_nothing() -> None:
    with wb.open() as log:
        brush = log.brush()
        assert (brush.code, len(brush.value)) == ("log", 0)


def test_no_chart_asks_the_internet(log: wb.EventLog) -> None:
    brush = log.brush()
    assert "import" not in {
        line.strip().split(" ")[0] for line in brush.chart._esm.splitlines()[:50]
    }
    assert brush.chart._is_offline


def test_explorers_are_what_they_say(log: wb.EventLog) -> None:
    assert isinstance(log.explore(), LogExplorer)
    assert isinstance(log.brush(), Brush)
