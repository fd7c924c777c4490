"""DiffExplorer: rows by class, one opened and explained; the code gives what is shown, and payloads stay text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets
import pandas as pd
import pytest

import workbench as wb
from tests.exploring import html_of, labels, static, table_with, turn_through
from tests.fix_log import MakeLog
from workbench.analysis.classify import WORST_FIRST
from workbench.analysis.diff import Diff
from workbench.bundled import account_summary, sample
from workbench.errors import ConfigError
from workbench.ui.diff_explorer import DiffExplorer
from workbench.ui.explorer import PAGE

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def diff() -> Iterator[Diff]:
    bank = sample("bank")
    with wb.open() as log:
        log.load(wb.files(bank.events, name="bank"), progress=False)
        yield log.diff(account_summary, wb.read_model(bank.read_model, version="version"))


def balance(**options: Any) -> wb.Projection:
    return wb.Projection(
        "balance",
        {"balance": wb.total("amount", on="Deposited"), "label": wb.latest("label")},
        **options,
    )


def deposits(stream: str, *amounts: int, **data: Any) -> list[dict[str, Any]]:
    return [
        {
            "stream_id": stream,
            "event_type": "Deposited",
            "recorded_at": f"2026-06-30T{14 + minute // 60}:{minute % 60:02}Z",
            "data": {"amount": amount} | data,
        }
        for minute, amount in enumerate(amounts)
    ]


def stored(*rows: tuple[str, int]) -> Any:
    return wb.read_model(pd.DataFrame([{"stream_id": name, "balance": n} for name, n in rows]))


def rows_of(explorer: DiffExplorer) -> list[Any]:
    """What the next cell would make of the code that is shown."""
    found = eval(explorer.code, {"diff": explorer.diff})
    return list(found.rows())


# -- the list --------------------------------------------------------------------------------------


def test_it_opens_on_all_that_is_wrong(diff: Diff) -> None:
    explorer = diff.explore()

    pressed = {name: button.value for name, button in explorer._classes.items()}
    assert pressed == {
        "corrupted": True, "orphaned": True, "missing": True, "stale": True, "ahead": False, "match": False,
    }  # fmt: skip
    assert len(explorer.value) == sum(diff.counts.values()) - diff.counts["match"] == 39


def test_the_buttons_say_how_many_rows_each_class_has(diff: Diff) -> None:
    explorer = diff.explore()
    assert [button.description for button in explorer._classes.values()] == [
        f"{name} {diff.counts[name]:,}" for name in explorer._classes
    ]
    assert explorer._classes["ahead"].disabled
    assert not explorer._classes["match"].disabled


@pytest.mark.parametrize(
    ("pressed", "column", "part", "count"),
    [
        (["corrupted"], ..., "", 14),
        (["corrupted", "stale"], ..., "", 29),
        (["corrupted", "stale"], "transaction_count", "", None),
        (["missing"], ..., "acc-0007", None),
        ([], ..., "acc-000774", 1),
        ([], ..., "nothing has this", 0),
        ([], ..., """'); DROP TABLE x; --" ö""", 0),
        (["corrupted", "orphaned", "missing", "stale", "match"], ..., "", 1000),
        ([], ..., "", 1000),
    ],
)
def test_the_code_gives_what_is_shown(
    diff: Diff, pressed: list[str], column: Any, part: str, count: int | None
) -> None:
    explorer = diff.explore()
    for name, button in explorer._classes.items():
        button.value = name in pressed
    explorer._column.value = column
    explorer._part.value = part

    shown = explorer.value.rows()

    assert rows_of(explorer) == shown
    assert explorer._list.count == len(shown)
    if count is not None:
        assert len(shown) == (len(diff) if count == 1000 else count)
    assert all(row["class"] in (pressed or row["class"]) for row in shown)
    assert all(column is ... or column in row["columns"] for row in shown)
    assert all(part in row["account_id"] for row in shown)


def test_whatever_is_shown_is_a_diff_that_can_be_asked_on(diff: Diff) -> None:
    explorer = diff.explore()
    assert explorer.value.columns == diff.columns


def test_pages_hold_every_row_once_worst_classes_first(diff: Diff) -> None:
    explorer = diff.explore()
    for button in explorer._classes.values():
        button.value = False

    pages = turn_through(explorer._list)

    assert max(map(len, pages)) == PAGE
    turned = [row[:2] for page in pages for row in page]
    every = [(row["account_id"], row["class"]) for row in diff.rows()]
    assert turned == sorted(every, key=lambda row: (WORST_FIRST.index(row[1]), row[0]))


def test_pages_can_be_turned_back(diff: Diff) -> None:
    explorer = diff.explore()
    explorer._classes["match"].value = True
    first = list(explorer._list.page)
    assert explorer._list.back.disabled

    explorer._list.on.click()
    assert explorer._list.page != first
    assert "51 to 100 of" in explorer._list._place.value

    explorer._list.back.click()
    assert explorer._list.page == first


def test_a_filter_begins_at_the_first_page_and_closes_the_row(diff: Diff) -> None:
    explorer = diff.explore()
    explorer._classes["match"].value = True
    explorer._list.on.click()
    explorer._list.select.index = 0
    assert explorer.row is not None

    explorer._classes["match"].value = False

    assert explorer._list.back.disabled
    assert explorer.row is None
    assert explorer._opened.layout.display == "none"


def test_a_key_of_two_parts(make_log: MakeLog) -> None:
    log = make_log(
        deposits("a", 1, who="x") + deposits("a", 2, who="y") + deposits("b", 3, who="x")
    )
    both = balance(key={"account": "event.stream_id", "who": "who"})
    model = wb.read_model(pd.DataFrame([{"account": "a", "who": "x", "balance": 7}]))
    diff = log.diff(both, model)
    explorer = diff.explore()

    explorer._part.value = "a, y"

    assert rows_of(explorer) == explorer.value.rows()
    explorer._list.select.index = 0
    assert (explorer.row["account"], explorer.row["who"]) == ("a", "y")


# -- one row ---------------------------------------------------------------------------------------


def test_a_row_is_opened_from_the_list(diff: Diff) -> None:
    explorer = diff.explore()
    explorer._list.select.index = 2

    assert explorer.row == diff.row(explorer.value.rows(3)[2]["account_id"])


def test_a_row_shows_both_sides_with_what_differs_marked(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")

    table = table_with(explorer._detail.value, "stored")

    marked = [row["column"] for row in table if row[""] == "≠"]
    assert marked == diff.row("acc-000774")["columns"] == ["current_balance", "transaction_count"]
    assert [row["column"] for row in table] == list(diff.compared)


def test_a_row_shows_the_events_behind_it(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")

    table = table_with(explorer._detail.value, "payload")

    events = [str(row["position"]) for row in diff.events("acc-000774").rows()]
    assert [row["position"] for row in table] == events[-PAGE:]


def test_a_row_that_is_not_there_is_an_error(diff: Diff) -> None:
    with pytest.raises(ConfigError, match=r"neither .* nor the replay has a row acc-nowhere"):
        diff.explore().open_row("acc-nowhere")


# -- why -------------------------------------------------------------------------------------------


def test_causes_are_searched_when_the_button_is_pressed_and_for_this_row_alone(
    diff: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    explain = Diff.explain
    monkeypatch.setattr(
        Diff, "explain", lambda self, *key: (asked.append(key), explain(self, *key))[1]
    )
    explorer = diff.explore()
    explorer.open_row("acc-000774")
    assert asked == []

    explorer._explain.click()

    assert asked == [("acc-000774",)]
    assert sum(explorer.explanation.suspects.counts.values()) == 1


def test_an_explained_row_names_its_causes_and_draws_both_histories(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")
    explorer._explain.click()

    (cause,) = table_with(explorer._found.value, "cause")
    assert (cause["cause"], cause["at positions"]) == ("skipped", "17,097")
    assert "data:image/png;base64," in explorer._chart.value
    assert "as it should have been, and as it was" in explorer._chart.value


def test_the_guilty_event_is_marked_among_the_events(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")
    explorer._explain.click()

    table = table_with(explorer._detail.value, "payload")
    assert [row["position"] for row in table if row[""] == "▶"] == ["17097"]


def test_every_row_alone_is_explained_as_among_all(diff: Diff) -> None:
    whole = diff.explain()
    for row in diff.of("corrupted", "missing", "orphaned", "stale").rows():
        key = row["account_id"]
        told = ["cause", "rank", "exact", "positions", "event_types", "first_at", "detail"]
        alone = [{name: one[name] for name in told} for one in diff.explain(key).row(key)]
        assert alone == [{name: one[name] for name in told} for one in whole.row(key)]


def test_where_several_causes_fit_each_has_its_histories(make_log: MakeLog) -> None:
    log = make_log(deposits("a", 5, 5, 7, 5))
    diff = log.diff(balance(), stored(("a", 17)))
    explorer = diff.explore()
    explorer.open_row("a")
    explorer._explain.click()
    assert len(explorer._rank.options) == len(diff.explain("a").row("a")) > 2
    first = explorer._chart.value

    explorer._rank.value = explorer._rank.options[2][1]

    assert explorer._chart.value not in ("", first)


def test_an_event_that_went_to_another_row_is_found_among_all_rows(make_log: MakeLog) -> None:
    log = make_log(deposits("a", 1, 2, 40) + deposits("b", 3, 9) + deposits("c", 8))
    diff = log.diff(balance(), stored(("a", 3), ("b", 52), ("c", 8)))
    explorer = diff.explore()
    explorer.open_row("b")

    explorer._explain.click()
    assert "unexplained" in explorer._found.value
    assert "No cause gives the stored row exactly" in explorer._found.value
    explorer._search.click()
    assert "wrong key" in explorer._found.value

    # What was searched once is there for each row.
    explorer.open_row("a")
    assert "wrong key" in explorer._found.value


def test_there_is_nothing_to_explain_about_a_row_that_matches(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row(diff.of("match").rows(1)[0]["account_id"])
    assert explorer._explain.disabled
    assert explorer._search.disabled
    assert "nothing to explain" in explorer._explain.tooltip


def test_the_code_under_a_row_can_be_run(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")
    explorer._explain.click()
    lines = labels(explorer._detail.value) + labels(explorer._found.value)
    assert lines == [
        "diff.row('acc-000774')",
        "diff.events('acc-000774')",
        "diff.explain('acc-000774').row('acc-000774')",
        "diff.explain('acc-000774').histories('acc-000774', rank=1).chart()",
    ]
    for line in lines:
        assert eval(line, {"diff": diff})


# -- what stays, what is hostile -------------------------------------------------------------------


def test_a_saved_notebook_keeps_counts_rows_and_code(diff: Diff) -> None:
    explorer = diff.explore()
    text, html = static(explorer)
    for part in ("corrupted 14", "acc-000774", explorer.code):
        assert part in text
    assert "acc-000774" in html
    assert "<script" not in html


def test_a_saved_notebook_keeps_the_row_that_is_open_with_its_picture(diff: Diff) -> None:
    explorer = diff.explore()
    explorer.open_row("acc-000774")
    explorer._explain.click()
    text, html = static(explorer)
    assert "acc-000774: corrupted" in text
    assert "skipped" in html
    assert "data:image/png;base64," in html


def test_hostile_text_stays_text(make_log: MakeLog) -> None:
    log = make_log(deposits(HOSTILE, 5, 6, label="<script>alert(2)</script>\u202e\x1b[2J"))
    diff = log.diff(
        balance(),
        wb.read_model(pd.DataFrame([{"stream_id": HOSTILE, "balance": 5, "label": HOSTILE}])),
    )
    explorer = diff.explore()
    explorer._part.value = HOSTILE
    assert rows_of(explorer) == explorer.value.rows()
    explorer._list.select.index = 0
    explorer._explain.click()

    shown = html_of(explorer) + static(explorer)[1]

    assert "&lt;img src=x" in shown
    assert "<img src=x" not in shown
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_an_error_is_shown_in_the_widget(make_log: MakeLog) -> None:
    log = make_log(deposits("a", 1))
    explorer = log.diff(balance(), stored(("a", 2))).explore()
    log.close()

    explorer._part.value = "a"

    assert 'role="alert"' in explorer._message.value
    assert "is closed" in explorer._message.value


def test_the_browser_is_never_sent_more_than_a_page(make_log: MakeLog) -> None:
    rows = [event for n in range(300) for event in deposits(f"acc-{n:04}", 1)]
    log = make_log(rows + deposits("long", *range(1, 60), *range(1, 60), label="x" * 100_000))
    explorer = log.diff(balance(), stored(("long", 1))).explore()
    explorer.open_row("long")

    assert len(explorer._list.select.options) == PAGE
    assert len(html_of(explorer)) < 100_000
    assert isinstance(explorer, ipywidgets.VBox)


def test_the_list_has_headings_above_its_columns(diff: Diff) -> None:
    explorer = diff.explore()
    line = explorer._list.select.options[0][0]
    _, _, head = explorer._list._head.value.partition(">")
    assert head.index("account_id") == line.index("acc-") == 0
    assert head.index("class") == line.index("corrupted")
    assert "\\" not in head
