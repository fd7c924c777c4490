"""DeadLetterExplorer: by fingerprint, one opened, a dry run; the code gives what is shown, and nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import workbench as wb
from tests.exploring import facts_of, html_of, labels, static, table_with, turn_through
from tests.fix_log import MakeLog
from tests.given_up import at, give_up
from workbench.analysis.dead_letters import DeadLetters
from workbench.analysis.redrive.plan import RedrivePlan
from workbench.bundled import order_summary, sample
from workbench.errors import ConfigError
from workbench.ui.dead_letter_explorer import DeadLetterExplorer
from workbench.ui.explorer import PAGE

HOSTILE = "<img src=x onerror=alert(1)>"
STACK = "java.io.Gone: {}\n\tat shop.Pay.take(Pay.java:41)\n"


@pytest.fixture(scope="module")
def letters() -> Iterator[DeadLetters]:
    folder = sample("checkout").events.parent
    with wb.open() as log:
        log.load(wb.files(sample("checkout").events, name="checkout"), progress=False)
        for name in ("dead_letters", "dead_letters_axon"):
            log.load(wb.dead_letters(folder / f"{name}.parquet", name=name), progress=False)
        yield log.dead_letters()


@pytest.fixture
def few(make_log: MakeLog) -> DeadLetters:
    """An account of four events; the second was given up by two consumers, the third by one of them."""
    log = make_log(
        [
            {
                "stream_id": "acc-1",
                "event_id": f"e-{n}",
                "event_type": "Opened" if n == 1 else "Paid",
                "recorded_at": at(n).isoformat(),
                "data": {"amount": 1.10, "n": n},
            }
            for n in (1, 2, 3, 4)
        ]
    )
    give_up(
        log,
        {
            "event_id": "e-2", "consumer": "crm", "dead_lettered_at": at(2, 1), "error_class": "Gone",
            "error_message": "no answer", "error_stack": STACK.format("no answer"), "attempts": 4,
            "origin_topic": "accounts", "origin_partition": 1, "origin_offset": 7,
            "headers": [{"name": "x-try", "value": b"\x00\x00\x00\x04"}, {"name": "who", "value": b"crm"}],
            "data": {"amount": 1.10, "n": 2},
        },
        {"event_id": "e-3", "consumer": "crm", "dead_lettered_at": at(3, 1), "error_class": "Late"},
        {"event_id": "e-2", "consumer": None, "dead_lettered_at": None},
    )  # fmt: skip
    return log.dead_letters()


def rows_of(explorer: DeadLetterExplorer) -> list[Any]:
    """What the next cell would make of the code that is shown."""
    found = eval(explorer.code, {"dead_letters": explorer.letters})
    assert isinstance(found, DeadLetters)
    return list(found.rows())


# -- the list --------------------------------------------------------------------------------------


def test_fingerprints_are_chosen_from_new_ones_first(letters: DeadLetters) -> None:
    since = "2026-06-06T00:00Z"
    explorer = letters.explore(new_since=since)
    ways = letters.fingerprints(since).rows()

    values = [value for _, value in explorer._fingerprint.options]
    lines = [line.replace("\u00a0", " ") for line, _ in explorer._fingerprint.options]

    assert values == [..., *(row["fingerprint"] for row in ways)][: PAGE + 1]
    new = [line.startswith("new ") for line in lines[1:]]
    assert new == [row["new"] for row in ways]
    assert new == sorted(new, reverse=True)
    assert any(new)


def test_the_roles_say_how_many_there_are(letters: DeadLetters) -> None:
    explorer = letters.explore()
    counts = {row["role"]: row["dead_letters"] for row in letters.by("role").rows()}
    assert {name: button.description for name, button in explorer._roles.items()} == {
        name: f"{name} {counts.get(name, 0):,}" for name in ("root", "blocked", "follower")
    }


def test_the_code_gives_what_is_shown(letters: DeadLetters) -> None:
    explorer = letters.explore()
    assert explorer.code == "dead_letters"
    for way in letters.fingerprints().rows(3):
        explorer._fingerprint.value = way["fingerprint"]
        assert rows_of(explorer) == explorer.value.rows()
        assert len(explorer.value) == explorer._list.count == way["dead_letters"]
    explorer._fingerprint.value = ...
    for control, column in ((explorer._consumer, "consumer"), (explorer._type, "event_type")):
        for _, value in control.options[:4]:
            control.value = value
            assert rows_of(explorer) == explorer.value.rows()
            assert all(value is ... or row[column] == value for row in explorer.value.rows())
        control.value = ...
    explorer._roles["root"].value = True
    assert explorer.code == "dead_letters.where(role='root')"
    assert {row["role"] for row in explorer.value.rows()} == {"root"}
    explorer._roles["follower"].value = True
    assert rows_of(explorer) == explorer.value.rows()


def test_filters_hold_together(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer._consumer.value = "crm"
    explorer._roles["follower"].value = True
    assert explorer.code == "dead_letters.where(consumer='crm', role='follower')"
    assert [row["dead_letter_id"] for row in explorer.value.rows()] == [2]


def test_what_is_not_told_can_be_chosen_too(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer._consumer.value = None
    explorer._fingerprint.value = None
    assert [row["dead_letter_id"] for row in explorer.value.rows()] == [3]
    assert rows_of(explorer) == explorer.value.rows()


def test_the_latest_are_listed_first_and_those_of_unknown_time_last(few: DeadLetters) -> None:
    assert [row[0] for row in few.explore()._list.page] == [2, 1, 3]


def test_pages_hold_every_letter_once(letters: DeadLetters) -> None:
    pages = turn_through(letters.explore()._list)
    assert len(pages) > 2
    assert max(map(len, pages)) == PAGE
    ids = [row[0] for page in pages for row in page]
    assert sorted(ids) == [row["dead_letter_id"] for row in letters.rows()]


# -- one letter ------------------------------------------------------------------------------------


def test_a_letter_is_opened_with_its_error_and_where_it_came_from(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer._list.select.index = 1

    assert explorer.letter["dead_letter_id"] == 1
    shown = explorer._detail.value
    assert "Dead letter 1: Gone" in shown
    assert "no answer" in shown
    assert "java.io.Gone: no answer\n    at shop.Pay.take(Pay.java:41)" in shown
    facts = facts_of(shown)
    assert facts["event"] == "Paid, of acc-1, version 2, position 2"
    assert facts["attempts"] == "tried 4 times"
    assert facts["read from"] == "accounts/1/7"
    assert facts["role"] == "root: failed by itself"


def test_what_a_letter_does_not_tell_is_said_to_be_so(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(3)
    facts = facts_of(explorer._detail.value)
    assert {facts[name] for name in ("consumer", "given up", "attempts", "read from")} == {
        "not told"
    }


def test_a_payload_is_shown_as_it_was_received(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(1)
    assert "&quot;amount&quot;: 1.1" in explorer._detail.value
    explorer.open_letter(2)
    assert "not readable as a payload; 2 bytes as received" in explorer._detail.value


def test_headers_are_text_where_they_are_and_digits_where_not(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(1)
    headers = table_with(explorer._detail.value, "value")
    assert [(row["name"], row["value"]) for row in headers] == [
        ("x-try", "0x00000004"),
        ("who", "crm"),
    ]


def test_a_letter_tells_what_was_processed_of_its_stream_since(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(1)
    shown = explorer._detail.value
    assert "3 dead letters of 2 events; 2 failed by themselves" in shown
    assert "1 event processed since the first one that was given up" in shown
    later = table_with(shown, "event type")
    assert [(row[""], row["version"]) for row in later] == [("given up", "3"), ("processed", "4")]


def test_a_letter_of_an_unknown_event_says_so(make_log: MakeLog) -> None:
    log = make_log([])
    give_up(log, {"event_id": None, "stream_id": None})
    give_up(log, {"event_id": "e-9", "stream_id": "acc-9"})
    explorer = log.dead_letters().explore()

    explorer.open_letter(1)
    assert "Its stream is unknown" in explorer._detail.value
    explorer.open_letter(2)
    assert "not in this log" in explorer._detail.value
    assert "it is not known what was processed since" in explorer._detail.value


def test_every_bundled_letter_can_be_opened(letters: DeadLetters) -> None:
    explorer = letters.explore()
    for row in letters.query(
        "SELECT min(dead_letter_id) AS n FROM result GROUP BY format, role"
    ).rows():
        explorer.open_letter(row["n"])
        assert f"Dead letter {row['n']}:" in explorer._detail.value


def test_a_letter_that_is_not_there_is_an_error(few: DeadLetters) -> None:
    with pytest.raises(ConfigError, match="no dead letter 99 here"):
        few.explore().open_letter(99)


def test_the_code_under_a_letter_can_be_run(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(1)
    for line in labels(explorer._detail.value):
        assert len(eval(line, {"dead_letters": few})) == 1


# -- a re-drive ------------------------------------------------------------------------------------


def test_a_dry_run_plans_what_is_listed(letters: DeadLetters) -> None:
    explorer = letters.explore()
    explorer._consumer.value = next(
        value for _, value in explorer._consumer.options if value is not ...
    )
    assert explorer._dry.description == f"dry run of a re-drive: all {explorer._list.count} listed"

    explorer._dry.click()

    assert explorer.plan.rows() == explorer.value.redrive().rows()
    assert "a dry run: nothing was sent" in explorer._planned.value


def test_a_dry_run_plans_what_was_picked(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.open_letter(2)
    explorer._pick.click()
    assert explorer._dry.description == "dry run of a re-drive: 1 picked"
    explorer._dry.click()

    (line,) = labels(explorer._planned.value)
    assert [row["dead_letter_id"] for row in explorer.picked.rows()] == [2]
    assert explorer.plan.rows() == eval(line, {"dead_letters": few}).rows()
    assert [row["dead_letter_id"] for row in explorer.plan.rows()] == [2]


def test_a_pick_is_kept_while_filters_change_and_can_be_dropped(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer.pick(1, 2)
    explorer._consumer.value = None
    assert [row["dead_letter_id"] for row in explorer.picked.rows()] == [1, 2]

    explorer.open_letter(1)
    assert explorer._pick.description == "drop dead letter 1"
    explorer._pick.click()
    assert [row["dead_letter_id"] for row in explorer.picked.rows()] == [2]

    explorer._clear.click()
    assert explorer.picked is None
    assert explorer._clear.disabled


def test_a_plan_of_something_else_is_no_longer_shown(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer._dry.click()
    assert explorer.plan is not None

    explorer._consumer.value = "crm"

    assert explorer.plan is None
    assert explorer._planned.value == ""


def test_a_definition_tries_each_event_first(letters: DeadLetters) -> None:
    explorer = letters.explore(order_summary, to="retry")
    explorer._roles["root"].value = True
    explorer._dry.click()

    assert explorer.plan.definition is order_summary
    assert {row["to_topic"] for row in explorer.plan.rows()} == {"retry"}
    (line,) = labels(explorer._planned.value)
    assert line == "dead_letters.where(role='root').redrive(definition, to='retry')"
    again = eval(line, {"dead_letters": letters, "definition": order_summary})
    assert again.rows() == explorer.plan.rows()


def test_nothing_is_ever_sent(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(RedrivePlan, "send", lambda self, *a, **k: sent.append(self))
    explorer = letters.explore()
    explorer.open_letter(1)
    for button in (explorer._pick, explorer._dry, explorer._clear, explorer._dry):
        button.click()
    assert explorer.plan is not None
    assert sent == []


# -- what stays, what is hostile -------------------------------------------------------------------


def test_a_saved_notebook_keeps_fingerprints_letters_and_what_is_open(few: DeadLetters) -> None:
    explorer = few.explore()
    explorer._consumer.value = "crm"
    explorer._dry.click()
    explorer.open_letter(1)

    text, html = static(explorer)

    for part in (
        "Gone at shop.Pay.take",
        "dead_letters.where(consumer='crm')",
        "Dead letter 1: Gone",
    ):
        assert part in text
    assert "Dead letter 1: Gone" in html
    assert "nothing was sent" in html


def test_hostile_text_stays_text(make_log: MakeLog) -> None:
    log = make_log(
        [{"stream_id": HOSTILE, "event_id": "e-1", "event_type": HOSTILE, "data": {"a": HOSTILE}}]
    )
    everywhere = dict.fromkeys(
        [
            "consumer",
            "error_class",
            "error_message",
            "error_stack",
            "origin_topic",
            "parse_error",
            "format",
        ],
        f"{HOSTILE}</pre><script>alert(2)</script>\x1b[2J\u202e",
    )
    headers = [{"name": HOSTILE, "value": b"</td><script>alert(3)</script>"}]
    give_up(
        log, {"event_id": "e-1", "data": {"a": "</pre><script>"}, "headers": headers} | everywhere
    )
    letters = log.dead_letters()
    explorer = letters.explore()
    explorer._consumer.value = everywhere["consumer"]
    explorer._type.value = HOSTILE
    assert rows_of(explorer) == explorer.value.rows()
    assert len(explorer.value) == 1
    explorer._list.select.index = 0
    explorer._dry.click()

    shown = html_of(explorer) + static(explorer)[1]

    assert "&lt;img src=x" in shown
    assert "<img src=x" not in shown
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_huge_letter_is_cut_and_says_so(make_log: MakeLog) -> None:
    log = make_log([])
    give_up(
        log,
        {
            "error_message": "m" * 1_000_000,
            "error_stack": "at some.Place(File.java:1)\n" * 50_000,
            "data": {"a": "d" * 1_000_000},
            "headers": [{"name": "h" * 1_000_000, "value": b"v" * 1_000_000}] * 60,
        },
    )
    explorer = log.dead_letters().explore()
    explorer.open_letter(1)
    assert len(explorer._detail.value) < 60_000
    assert "1,350,000 characters in all" in explorer._detail.value
    assert "(1,000,009 characters)" in explorer._detail.value


def test_an_error_is_shown_in_the_widget(few: DeadLetters) -> None:
    explorer = few.explore()
    few._database.close()

    explorer._consumer.value = "crm"

    assert "is closed" in explorer._message.value
    assert 'role="alert"' in explorer._message.value


def test_a_log_without_dead_letters_says_what_to_do(make_log: MakeLog) -> None:
    explorer = make_log([]).dead_letters().explore()
    assert explorer._dry.disabled
    assert explorer._list.text() == "no such dead letter"
