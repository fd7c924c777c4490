"""What is asked of dead letters: rates with their denominator, fingerprints, roles, attempts, streams."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench as wb
from tests.benchmarks.truth_dead_letters import differences, load_files
from tests.fix_log import MakeLog, Written
from tests.given_up import at, give_up
from workbench.analysis.dead_letters import DeadLetters
from workbench.analysis.dead_letters.fingerprint import error_sql, fingerprint_sql, frame_sql
from workbench.errors import ConfigError, QueryError
from workbench.samples import path
from workbench.store.table import Table

JAVA = "java.lang.X: {}\n\tat lib.Listener.call(Listener.java:8)\nCaused by: java.io.Y: {}\n\tat shop.Pay.take(Pay.java:{})\n"


def events() -> list[dict[str, Any]]:
    """Three accounts; each opened on June 1st, and paid into on the days after."""
    made = []
    for number in (1, 2, 3):
        for version in range(1, 5):
            when = at(version, number).isoformat()
            made.append(
                {
                    "stream_id": f"acc-{number}",
                    "stream_type": "account",
                    "event_id": f"e-{number}-{version}",
                    "event_type": "Opened" if version == 1 else "Paid",
                    "recorded_at": when,
                    "occurred_at": when,
                    "data": {"amount": version},
                }
            )
    return made


def letter(event: str, **more: Any) -> dict[str, Any]:
    """A dead letter that tells nothing but the id of its event, and what is said."""
    return {"event_id": event} | more


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    return make_log(events())


def only(table: Table) -> dict[str, Any]:
    (row,) = table.rows()
    return row


# -- which event ---------------------------------------------------------------------------------


def test_what_the_log_knows_of_the_event_is_told(log: wb.EventLog) -> None:
    give_up(log, letter("e-2-3", event_type="com.bank.Paid", stream_id=None))

    row = only(log.dead_letters())

    assert (row["event_type"], row["stream_id"], row["version"]) == ("Paid", "acc-2", 3)
    assert (row["position"], row["recorded_at"]) == (7, at(3, 2))


def test_an_event_that_the_log_has_not_is_told_as_the_dead_letter_has_it(log: wb.EventLog) -> None:
    give_up(log, letter("e-9", event_type="Paid", stream_id="acc-9", version=4))

    row = only(log.dead_letters())

    assert (row["event_type"], row["stream_id"], row["version"], row["position"]) == (
        "Paid",
        "acc-9",
        4,
        None,
    )
    assert "the events of 1 are not in this log, or cannot be told" in log.dead_letters().notes


def test_an_unreadable_message_is_the_event_that_another_of_the_same_origin_names(
    log: wb.EventLog,
) -> None:
    place = {"origin_topic": "bank", "origin_partition": 0, "origin_offset": 7}
    give_up(log, {**place, "parse_error": "cut off"}, letter("e-1-2", **place))

    assert [row["version"] for row in log.dead_letters().rows()] == [2, 2]
    assert len({row["event_key"] for row in log.dead_letters().rows()}) == 1


def test_a_coordinate_of_a_file_is_not_taken_for_one_of_a_topic(log: wb.EventLog) -> None:
    give_up(log, {"origin_topic": "test", "origin_partition": 0, "origin_offset": 1})

    assert only(log.dead_letters())["position"] is None


def test_a_message_that_failed_again_after_a_re_drive_is_the_same_event(log: wb.EventLog) -> None:
    first = {"origin_topic": "bank", "origin_partition": 0, "origin_offset": 7}
    again = {"origin_topic": "bank", "origin_partition": 0, "redrive_id": "r"}
    give_up(
        log,
        first,
        {**again, "origin_offset": 90, "redrive_of": "events.dlq/0/1"},
        {**again, "origin_offset": 95, "redrive_of": "events.dlq/0/2"},
    )

    rows = log.dead_letters().rows()

    assert [row["redrives"] for row in rows] == [0, 1, 2]
    assert len({row["event_key"] for row in rows}) == 1
    assert only(log.dead_letters().by("format"))["given_up"] == 1


def test_marks_that_go_round_in_a_circle_end(log: wb.EventLog) -> None:
    give_up(log, {"redrive_of": "events.dlq/0/2"}, {"redrive_of": "events.dlq/0/1"})

    assert len(log.dead_letters()) == 2


# -- rates ---------------------------------------------------------------------------------------


def test_a_rate_stands_beside_both_of_its_numbers(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2"), letter("e-2-2"), letter("e-3-1"))

    found = {row["event_type"]: row for row in log.dead_letters().by("event_type").rows()}

    assert [found["Paid"][name] for name in ("dead_letters", "given_up", "events")] == [2, 2, 9]
    assert found["Paid"]["rate"] == pytest.approx(2 / 9)
    assert (found["Opened"]["given_up"], found["Opened"]["events"]) == (1, 3)


def test_an_event_that_two_consumers_gave_up_counts_once(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2", consumer="a"), letter("e-1-2", consumer="b"))

    row = only(log.dead_letters().by("event_type"))

    assert (row["dead_letters"], row["given_up"]) == (2, 1)
    assert [row["given_up"] for row in log.dead_letters().by("consumer").rows()] == [1, 1]


def test_a_consumer_is_measured_by_events_of_the_types_that_it_gave_up(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", consumer="pay"),
        letter("e-1-1", consumer="all"),
        letter("e-1-3", consumer="all"),
    )

    found = {row["consumer"]: row["events"] for row in log.dead_letters().by("consumer").rows()}

    assert found == {"pay": 9, "all": 12}


def test_without_a_type_the_denominator_is_unknown(log: wb.EventLog) -> None:
    give_up(log, {"origin_topic": "bank"})

    row = only(log.dead_letters().by("event_type"))

    assert (row["event_type"], row["given_up"], row["events"], row["rate"]) == (None, 1, None, None)


def test_buckets_hold_the_letters_of_their_time_and_all_events(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", dead_lettered_at=at(2, 5)),
        letter("e-2-2", dead_lettered_at=at(3, 1)),
        letter("e-3-2"),
    )

    rates = log.dead_letters().over_time(every="1 day", clock="recorded")

    found = [
        (row["moment"].day, row["dead_letters"], row["events"], row["rate"]) for row in rates.rows()
    ]
    assert found == [(1, 0, 0, None), (2, 1, 3, 1 / 3), (3, 1, 3, 1 / 3), (4, 0, 3, 0.0)]
    assert rates.untimed == 1
    assert [row["events"] for row in rates.total.rows()] == [3, 3, 3, 3]


def test_by_their_events_all_letters_have_a_time(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2", dead_lettered_at=at(9)), letter("e-3-2", format="connect"))

    rates = log.dead_letters().over_time(every="1 day", clock="occurred")

    assert [row["given_up"] for row in rates.rows()] == [0, 2, 0, 0]
    assert rates.untimed == 0


def test_the_clock_is_that_of_giving_up_where_any_letter_tells_it(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2", format="connect"))
    assert log.dead_letters().over_time().clock == "occurred"

    give_up(log, letter("e-1-3", dead_lettered_at=at(4)))
    assert log.dead_letters().over_time().clock == "recorded"


def test_a_log_without_times_of_recording_is_counted_by_when_events_occurred(
    make_log: MakeLog,
) -> None:
    log = make_log([{**event, "recorded_at": None} for event in events()])
    give_up(log, letter("e-1-2", dead_lettered_at=at(2, 5)))

    rates = log.dead_letters().over_time(every="1 day")

    assert [row["events"] for row in rates.total.rows()] == [3, 3, 3, 3]
    assert (
        "no event says when it was recorded: events are counted by when they occurred"
        in rates.notes
    )


def test_rare_groups_are_gathered_and_nothing_is_lost(log: wb.EventLog) -> None:
    give_up(
        log,
        *[
            letter(f"e-1-{1 + number % 4}", consumer=f"c-{number}", dead_lettered_at=at(4))
            for number in range(9)
        ],
    )

    rates = log.dead_letters().over_time(every="1 day", by="consumer", top=3)

    assert list(rates.groups)[-1] == "other (6 consumers)"
    assert sum(row["dead_letters"] for row in rates.rows()) == 9 == sum(rates.groups.values())


# -- fingerprints --------------------------------------------------------------------------------


def named(error_class: str | None, message: str | None, stack: str | None) -> str | None:
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE t AS SELECT ?::VARCHAR c, ?::VARCHAR m, ?::VARCHAR s",
        [error_class, message, stack],
    )
    sql = f"SELECT {error_sql('c', 'm', 'frame')} FROM (SELECT *, {frame_sql('s')} AS frame FROM t)"
    ((found,),) = con.execute(sql).fetchall()
    return found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # The frame of the root cause counts, and neither its line nor the message.
        (("java.io.Y", "for order-17", JAVA.format(1, 2, 57)), "java.io.Y at shop.Pay.take(Pay.java)"),
        (("TypeError", "x", "TypeError: x\n    at pay (/app/pay.js:88:17)\n    at y (z.js:1:1)"), "TypeError at pay (/app/pay.js)"),
        (("Shop.X", "x", "   at Shop.Pay.Take(Int32 n) in /src/Pay.cs:line 41"), "Shop.X at Shop.Pay.Take(Int# n) in /src/Pay.cs"),
        (
            ("KeyError", "'a'", 'Traceback:\n  File "/app/a.py", line 3, in run\n  File "/app/b.py", line 9, in pay\nKeyError'),
            'KeyError at File "/app/b.py", in pay',
        ),
        (("X", "x", "X\n\tat a.B$$Lambda$17/0x00c8ab.get(B.java)"), "X at a.B$$Lambda$#/#.get(B.java)"),
        (("X", "x", "X\n\tat a.B$$EnhancerBySpringCGLIB$$f8a7c.get(<generated>)"), "X at a.B$$EnhancerBySpringCGLIB#.get(<generated>)"),
        (("X", "x", "X\n\tat a.Order$add.call(Order.kt:7)"), "X at a.Order$add.call(Order.kt)"),
        (("X", "No rule 12 for order-0017", None), "X: No rule # for #"),
        ((None, "connect ETIMEDOUT 10.3.0.17:5432", None), "connect ETIMEDOUT #"),
        ((None, "user ann@example.com at 2026-06-30T14:02:11.123Z", None), "user #"),
        ((None, "id 5f0c1f5e-6a7b-4c1d-9e2f-aabbccddeeff, 12 ms\nsecond line", None), "id #"),
        (("X", None, None), "X"),
        ((None, None, None), None),
        ((" ", "", "no frames here"), None),
    ],
)  # fmt: skip
def test_a_fingerprint_is_what_does_not_change(
    error: tuple[str | None, str | None, str | None], expected: str | None
) -> None:
    found = named(*error)
    assert found is not None if expected else found is None
    if expected == "user #":
        assert found in ("user #", "user # at #")
    elif expected == "id #":
        assert found in ("id #", "id # ms")
    else:
        assert found == expected


def test_a_message_of_a_megabyte_makes_a_short_fingerprint() -> None:
    found = named("X" * 300, "word " * 200_000, "\tat " + "a." * 500_000)

    assert found is not None
    assert len(found) < 600


def test_letters_that_failed_in_the_same_way_have_one_fingerprint(log: wb.EventLog) -> None:
    stack = [JAVA.format(number, number, number) for number in range(3)]
    give_up(
        log,
        *[
            letter(
                f"e-1-{1 + n}", error_class="java.io.Y", error_message=f"{n}", error_stack=stack[n]
            )
            for n in range(3)
        ],
    )

    row = only(log.dead_letters().fingerprints())

    assert (row["dead_letters"], row["streams"], row["error"]) == (
        3,
        1,
        "java.io.Y at shop.Pay.take(Pay.java)",
    )
    assert (
        only(log.sql(f"SELECT {fingerprint_sql(repr(row['error']))} AS f"))["f"]
        == row["fingerprint"]
    )


def test_a_fingerprint_is_new_when_it_is_first_seen_in_the_last_bucket_or_since_a_moment(
    log: wb.EventLog,
) -> None:
    give_up(
        log,
        letter("e-1-1", error_class="Old", dead_lettered_at=at(1)),
        letter("e-1-2", error_class="Mid", dead_lettered_at=at(3)),
        letter("e-1-3", error_class="Old", dead_lettered_at=at(4, 5)),
        letter("e-1-4", error_class="New", dead_lettered_at=at(4, 6)),
    )

    def new(**options: Any) -> set[str]:
        return {
            row["error"] for row in log.dead_letters().fingerprints(**options).rows() if row["new"]
        }

    assert new(every="1 day") == {"New"}
    assert new(new_since="2026-06-02T00:00Z") == {"Mid", "New"}
    assert new(new_since=at(5)) == set()


def test_the_earliest_that_a_letter_can_be_is_when_its_event_came(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-3", error_class="X", format="connect"))

    row = only(log.dead_letters().fingerprints(new_since="2026-06-03T00:00Z"))

    assert (row["first_at"], row["seen_from"], row["new"]) == (None, at(3, 1), True)


# -- roles ---------------------------------------------------------------------------------------


def roles(log: wb.EventLog) -> list[str]:
    return [row["role"] for row in log.dead_letters().rows()]


def test_behind_the_head_of_a_parked_sequence_letters_are_blocked(log: wb.EventLog) -> None:
    parked: dict[str, Any] = {"format": "axon", "consumer": "p", "sequence_id": "order-1"}
    give_up(
        log,
        letter("e-1-1", sequence_index=3, **parked),  # what stood before it was evicted
        letter("e-1-2", sequence_index=4, **parked),
        letter("e-2-1", sequence_index=0, **(parked | {"sequence_id": "order-2"})),
    )

    assert roles(log) == ["root", "blocked", "root"]


def test_a_later_letter_of_a_stream_and_consumer_is_a_follower(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-3", consumer="a"),
        letter("e-1-2", consumer="a"),  # the earlier version
        letter("e-1-4", consumer="b"),
        letter("e-2-4", consumer="a"),
    )

    assert roles(log) == ["follower", "root", "root", "root"]


def test_without_a_consumer_the_dead_letter_topic_stands_for_it(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", source_position="a.dlq/0/1"),
        letter("e-1-3", source_position="b.dlq/0/1"),
        letter("e-1-4", source_position="a.dlq/0/2"),
    )

    assert roles(log) == ["root", "root", "follower"]


def test_the_same_event_again_is_no_follower_of_itself(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", consumer="a"),
        letter("e-1-2", consumer="a", redrive_of="events.dlq/0/1"),
    )

    assert roles(log) == ["root", "root"]


def test_a_narrowed_log_does_not_make_a_root_of_a_follower(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-1", consumer="a"), letter("e-1-2", consumer="a"))

    assert only(log.where(types="Paid").dead_letters())["role"] == "follower"


# -- attempts, time, streams ---------------------------------------------------------------------


def test_attempts_that_are_not_told_are_unknown_not_zero(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-1", attempts=4), letter("e-1-2", attempts=4), letter("e-1-3"))

    found = [(row["attempts"], row["dead_letters"]) for row in log.dead_letters().attempts().rows()]

    assert found == [(4, 2), (None, 1)]


def test_the_time_to_give_up_is_told_where_it_can_be_known(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-1", consumer="a", origin_at=at(1), dead_lettered_at=at(1, second=30)),
        letter(
            "e-1-2", consumer="a", dead_lettered_at=at(2, 1, second=50)
        ),  # its event: recorded at(2, 1)
        letter("e-1-3", consumer="sink", format="connect", origin_at=at(3)),
    )

    table = log.dead_letters().time_to_dead_letter()

    known, unknown = table.rows()
    assert (known["known"], known["p50"], known["longest"]) == (
        2,
        dt.timedelta(seconds=40),
        dt.timedelta(seconds=50),
    )
    assert (unknown["known"], unknown["p50"]) == (0, None)
    assert "connect" in unknown["note"]
    assert any("copy the source's timestamp" in note for note in table.notes)


def test_affected_streams_tell_what_was_processed_since(log: wb.EventLog) -> None:
    give_up(
        log, letter("e-1-2"), letter("e-1-3"), letter("e-2-4"), letter("e-9", stream_id="acc-9")
    )

    found = {row["stream_id"]: row for row in log.dead_letters().streams().rows()}

    assert found["acc-1"]["later_events"] == 1  # of versions 3 and 4, the third was given up itself
    assert found["acc-2"]["later_events"] == 0
    assert found["acc-9"]["later_events"] is None
    assert found["acc-1"]["given_up"] == 2


def test_the_risk_counts_events_that_a_narrowed_log_does_not_show(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-1"))

    narrowed = log.where(types="Opened").dead_letters().streams()

    assert only(narrowed)["later_events"] == 3


# -- narrowing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        (lambda log: log.where(types="Opened"), [1]),
        (lambda log: log.where(stream=["acc-2"]), [2]),
        (lambda log: log.where(stream_type="account"), [1, 2, 3]),
        (lambda log: log.where(condition="CAST(data->>'amount' AS INT) = 3"), [2]),
        (lambda log: log.as_of(at(2, 12)), [1]),  # given up by then
        (lambda log: log.between(at(3), at(4), clock="recorded"), [2]),
        (lambda log: log.as_of(at(3, 12), clock="occurred"), [1, 2]),
        (lambda log: log.as_of(position=4), [1]),
        (lambda log: log.where(types="Nothing"), []),
    ],
)
def test_a_narrowed_log_has_the_dead_letters_of_its_events(
    log: wb.EventLog, narrow: Any, expected: list[int]
) -> None:
    give_up(
        log,
        letter("e-1-1", dead_lettered_at=at(2)),
        letter("e-2-3", dead_lettered_at=at(3, 5), data={"amount": 3}),
        letter("e-3-4", dead_lettered_at=at(5), data={"amount": 4}),
    )

    assert [row["dead_letter_id"] for row in narrow(log).dead_letters().rows()] == expected


def test_a_narrowed_log_divides_by_its_own_events(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2"))

    assert only(log.where(stream="acc-1").dead_letters().by("event_type"))["events"] == 3


def test_letters_of_which_it_cannot_be_told_are_left_out_and_counted(log: wb.EventLog) -> None:
    give_up(log, {"error_class": "X"}, letter("e-1-2"))

    narrowed = log.where(types="Paid").dead_letters()

    assert len(narrowed) == 1
    assert any(note.startswith("1 dead letter does not say enough") for note in narrowed.notes)


def test_a_typed_column_can_be_asked_for(log: wb.EventLog) -> None:
    log.prepare(wb.Projection("sum", {"sum": wb.total("amount")}))
    give_up(log, letter("e-1-2", data={"amount": 2}), letter("e-1-3", data={"amount": 3}))

    narrowed = log.where(condition='"data.amount::decimal" > 2').dead_letters()

    assert only(narrowed)["version"] == 3


def test_letters_can_be_chosen_by_what_they_are(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-1", consumer="a", attempts=1),
        letter("e-1-2", consumer="b", attempts=5, error_class="X"),
    )

    assert only(log.dead_letters(consumer="b"))["dead_letter_id"] == 2
    assert only(log.dead_letters(condition="attempts < 3"))["dead_letter_id"] == 1
    assert only(log.dead_letters().where(error_class="X", types=["Paid"]))["dead_letter_id"] == 2
    fingerprint = log.dead_letters().fingerprints().rows()[0]["fingerprint"]
    assert only(log.dead_letters(fingerprint=fingerprint))["dead_letter_id"] == 2


@pytest.mark.parametrize("condition", ["TRUE) OR (TRUE", "1; DROP TABLE x", "nothing = 1"])
def test_a_condition_stays_a_condition(log: wb.EventLog, condition: str) -> None:
    give_up(log, letter("e-1-1"))

    with pytest.raises(QueryError):
        len(log.dead_letters(condition=condition))


def test_wrong_names_are_named(log: wb.EventLog) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'consumer'"):
        log.dead_letters().by("consummer")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a dead letter is root, blocked, follower"):
        log.dead_letters(role="victim")
    with pytest.raises(ConfigError, match="number of groups"):
        log.dead_letters().over_time(top=0)


# -- what a result is ----------------------------------------------------------------------------


def results(letters: DeadLetters) -> Mapping[str, Table]:
    over_time = letters.over_time()
    return {
        "letters": letters,
        "by": letters.by("error"),
        "over_time": over_time,
        "total": over_time.total,
        "firsts": over_time.fingerprints,
        "fingerprints": letters.fingerprints(),
        "attempts": letters.attempts(),
        "times": letters.time_to_dead_letter(),
        "streams": letters.streams(),
        "chosen": letters.where(role="root"),
        "messages": letters.messages(),
    }


def test_each_query_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    with wb.open(path) as log:
        log.load(Written(events()), progress=False)
        give_up(
            log,
            letter("e-1-1", dead_lettered_at=at(2), error_class="X", attempts=2),
            letter("e-2-3", dead_lettered_at=at(3, 5), error_message="no 1"),
            {"origin_topic": "t", "origin_partition": 0, "origin_offset": 1},
        )
        narrowed = log.where(condition="version > 0").dead_letters()
        found = [
            (name, table.sql, sorted(map(str, table.rows())))
            for letters in (log.dead_letters(), narrowed)
            for name, table in results(letters).items()
        ]
    con = duckdb.connect()
    con.execute(f"SET TimeZone = 'UTC'; ATTACH '{path}' AS log (READ_ONLY)")
    for name, sql, expected in found:
        cursor = con.execute(sql)
        names = [column[0] for column in cursor.description or []]
        assert len(cursor.fetchall()) == len(expected), name
        assert names, name


def test_empty_and_hostile_letters_are_shown(log: wb.EventLog) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m" + "'\"" * 50 + "$.$$" * 9
    assert "no dead letters are loaded" in repr(log.dead_letters())
    give_up(
        log,
        dict.fromkeys(
            ("consumer", "event_type", "stream_id", "error_class", "error_message", "error_stack"),
            hostile,
        ),
        {"format": None, "raw": None},
    )

    for table in results(log.dead_letters()).values():
        assert "<script>" not in table._repr_html_()
        assert "\x1b" not in repr(table)


# -- the bundled checkout ------------------------------------------------------------------------


def test_the_rates_of_the_bundled_checkout_are_those_of_its_truth() -> None:
    folder = path("checkout/events.ndjson.gz").parent
    with wb.open() as log:
        load_files(folder, [folder / "events.ndjson.gz"], log)
        assert differences(log, folder) == []
