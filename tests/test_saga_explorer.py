"""SagaExplorer: outcomes, sagas that do not go on, broken rules, one opened; the code gives what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import workbench as wb
from tests.exploring import facts_of, html_of, labels, static, table_with, turn_through
from tests.fix_log import MakeLog
from tests.test_sagas import at, flow, trip
from workbench.analysis.sagas import Sagas
from workbench.bundled import checkout_saga, sample
from workbench.errors import ConfigError
from workbench.ui.explorer import PAGE
from workbench.ui.saga_explorer import ALL, BROKEN, STUCK, SagaExplorer

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def sagas() -> Iterator[Sagas]:
    with wb.open() as log:
        log.load(wb.files(sample("checkout").events, name="checkout"), progress=False)
        yield log.sagas(checkout_saga)


@pytest.fixture
def some(make_log: MakeLog) -> Sagas:
    return make_log(
        [
            *flow("Asked@0 SeatHeld:1@1 SeatHeld:2@2 Paid@3 TicketSent@5", "done"),
            *flow("Asked@24 SeatHeld:1@25 NotPaid@26 SeatFreed:1@27 GivenUp@28", "undone"),
            *flow("Asked@25 TicketSent@26", "jumped"),
            *flow("Asked@40 SeatHeld:1@41", "waits"),
            *flow("Asked@38", "waits longer"),
        ]
    ).sagas(trip, at(60))


def rows_of(explorer: SagaExplorer) -> list[Any]:
    """What the next cell would make of the code that is shown."""
    return list(eval(explorer.code, {"sagas": explorer.sagas}).rows())


# -- the list --------------------------------------------------------------------------------------


def test_the_buttons_say_how_many_sagas_came_to_each_outcome(sagas: Sagas) -> None:
    explorer = sagas.explore()
    assert {name: button.description for name, button in explorer._outcomes.items()} == {
        name: f"{name} {number:,}" for name, number in sagas.counts.items()
    }
    assert {name: button.disabled for name, button in explorer._outcomes.items()} == {
        name: number == 0 for name, number in sagas.counts.items()
    }


@pytest.mark.parametrize(
    ("which", "pressed", "part"),
    [
        (ALL, [], ""),
        (ALL, ["stuck"], ""),
        (ALL, ["failed", "compensated"], "00"),
        (ALL, [], """'"; -- ö"""),
        (STUCK, [], ""),
        (STUCK, [], "1"),
        (BROKEN, [], ""),
        (BROKEN, ["duplicate step", "step skipped"], ""),
        (BROKEN, ["event after the end"], "7"),
    ],
)
def test_the_code_gives_what_is_shown(
    sagas: Sagas, which: str, pressed: list[str], part: str
) -> None:
    explorer = sagas.explore()
    explorer._which.value = which
    for name, button in {**explorer._outcomes, **explorer._rules}.items():
        button.value = name in pressed
    explorer._part.value = part

    shown = explorer.value.rows()

    assert sorted(map(repr, rows_of(explorer))) == sorted(map(repr, shown))
    assert explorer._list.count == len(shown)
    kind = "violation" if which == BROKEN else "outcome"
    assert all(row[kind] in (pressed or row[kind]) for row in shown)
    assert all(part in row["saga_id"] for row in shown)


def test_outcomes_are_narrowed_to(some: Sagas) -> None:
    explorer = some.explore()
    assert explorer.code == "sagas"

    explorer._outcomes["stuck"].value = True
    explorer._outcomes["compensated"].value = True

    assert explorer.code == "sagas.of('compensated', 'stuck')"
    assert [row[0] for row in explorer._list.page] == ["undone", "waits longer", "waits"]


def test_those_that_do_not_go_on_are_listed_longest_idle_first_with_their_age(some: Sagas) -> None:
    explorer = some.explore()
    explorer._which.value = STUCK

    assert explorer.code == "sagas.stuck()"
    listed = [dict(zip(explorer._list.columns, row, strict=True)) for row in explorer._list.page]
    assert [(row["saga"], str(row["idle"]), str(row["age"])) for row in listed] == [
        ("waits longer", "22 h 0 min", "22 h 0 min"),
        ("waits", "19 h 0 min", "20 h 0 min"),
    ]
    assert [row["waits for"] for row in listed] == ["seat", "pay"]


def test_broken_rules_are_listed_with_what_shows_them(some: Sagas) -> None:
    explorer = some.explore()
    explorer._which.value = BROKEN
    rules = {name: button.description for name, button in explorer._rules.items()}
    assert rules == {name: f"{name} {n}" for name, n in some.violation_counts.items()}

    explorer._rules["step skipped"].value = True

    assert explorer.code == "sagas.violations('step skipped')"
    assert {row[0] for row in explorer._list.page} == {"jumped"}


def test_only_the_buttons_of_what_is_listed_are_there(some: Sagas) -> None:
    explorer = some.explore()
    shown = []
    for which in (ALL, STUCK, BROKEN):
        explorer._which.value = which
        rows = (explorer._outcome_row, explorer._rule_row)
        shown.append([row.layout.display != "none" for row in rows])
    assert shown == [[True, False], [False, False], [False, True]]


@pytest.mark.parametrize("which", [ALL, STUCK, BROKEN])
def test_pages_hold_every_row_once(sagas: Sagas, which: str) -> None:
    explorer = sagas.explore()
    explorer._which.value = which

    pages = turn_through(explorer._list)

    turned = [row for page in pages for row in page]
    assert max(map(len, pages)) <= PAGE
    assert len(turned) == len(explorer.value)
    assert sorted(row[0] for row in turned) == sorted(
        row["saga_id"] for row in explorer.value.rows()
    )


# -- one saga --------------------------------------------------------------------------------------


def test_a_saga_is_opened_from_the_list(some: Sagas) -> None:
    explorer = some.explore()
    explorer._outcomes["compensated"].value = True
    explorer._list.select.index = 0

    assert explorer.instance.saga_id == "undone"
    assert "data:image/png;base64," in explorer._chart.value
    assert "Saga undone: compensated" in explorer._chart.value


def test_an_opened_saga_tells_how_long_it_has_waited(some: Sagas) -> None:
    explorer = some.explore()
    explorer.open_saga("waits")

    facts = facts_of(explorer._detail.value)

    assert facts["outcome"] == "stuck"
    assert facts["at step"] == "pay"
    assert facts["idle for"].startswith("19 h 0 min, since 2026-06-02 17:00:00Z")
    assert facts["age"].startswith("20 h 0 min at")


def test_an_opened_saga_lists_its_events_and_the_rules_it_broke(some: Sagas) -> None:
    explorer = some.explore()
    explorer.open_saga("jumped")

    events = table_with(explorer._detail.value, "payload")
    rules = table_with(explorer._detail.value, "broken rule")

    assert [row["event type"] for row in events] == ["Asked", "TicketSent"]
    assert {row["broken rule"] for row in rules} == set(
        some.query("FROM result WHERE saga_id = 'jumped'").rows()[0]["violations"]
    )
    assert {row["shown by"] for row in rules} == {"TicketSent"}


def test_a_saga_without_broken_rules_has_no_such_list(some: Sagas) -> None:
    explorer = some.explore()
    explorer.open_saga("done")
    assert "Broken rules" not in explorer._detail.value


def test_a_saga_that_is_not_there_is_an_error(some: Sagas) -> None:
    with pytest.raises(ConfigError, match=r"no saga 'undonne'.*Did you mean 'undone'"):
        some.explore().open_saga("undonne")


def test_a_narrower_list_closes_the_saga(some: Sagas) -> None:
    explorer = some.explore()
    explorer.open_saga("done")
    explorer._part.value = "waits"
    assert explorer.instance is None
    assert explorer._opened.layout.display == "none"


def test_the_code_under_a_saga_can_be_run(some: Sagas) -> None:
    explorer = some.explore()
    explorer.open_saga("waits longer")
    lines = labels(explorer._detail.value)
    assert lines == ["sagas.instance('waits longer').chart()", "sagas.events('waits longer')"]
    for line in lines:
        assert eval(line, {"sagas": some})


# -- what stays, what is hostile -------------------------------------------------------------------


def test_a_saved_notebook_keeps_counts_rows_and_what_is_open(some: Sagas) -> None:
    explorer = some.explore()
    explorer._which.value = STUCK
    explorer.open_saga("waits")

    text, html = static(explorer)

    for part in ("stuck 2", "waits longer", "sagas.stuck()"):
        assert part in text
    assert "waits longer" in html
    assert "data:image/png;base64," in html
    assert "<script" not in html


def test_hostile_text_stays_text(make_log: MakeLog) -> None:
    bad = flow("Asked@1 SeatHeld:1@2 SeatHeld:1@3", HOSTILE, actor=HOSTILE)
    bad += flow("<script>alert(2)</script>@4", HOSTILE)
    explorer = make_log(bad).sagas(trip, at(60)).explore()
    explorer._part.value = HOSTILE
    assert rows_of(explorer) == explorer.value.rows()
    explorer._list.select.index = 0

    shown = html_of(explorer) + static(explorer)[1]

    assert "&lt;img src=x" in shown
    assert "<img src=x" not in shown
    assert "<script" not in shown


def test_an_error_is_shown_in_the_widget(make_log: MakeLog) -> None:
    log = make_log(flow("Asked@0"))
    explorer = log.sagas(trip, at(60)).explore()
    log.close()

    explorer._which.value = BROKEN

    assert "is closed" in explorer._message.value
    assert 'role="alert"' in explorer._message.value


def test_a_saga_of_many_events_stays_bounded(make_log: MakeLog) -> None:
    words = "Asked@0 " + " ".join(f"SeatHeld:{n}@{n / 100}" for n in range(1, 300))
    explorer = make_log(flow(words)).sagas(trip, at(60)).explore()
    explorer.open_saga("t-1")
    assert len(table_with(explorer._detail.value, "payload")) == PAGE
    assert "300 events with this id; the first 50 are shown" in explorer._detail.value
