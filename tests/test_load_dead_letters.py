"""Loading dead letters: each format from bytes built to its specification, and from files of every kind."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.dead_letters import (
    DATA,
    SENT_MS,
    STACK,
    VALUE,
    Message,
    connect,
    known,
    letters,
    masstransit,
    nservicebus,
    parquet,
    reference,
    smallrye,
    spring,
    spring_retry,
    streams,
)
from workbench import samples
from workbench.errors import ConfigError, LoadError, SourceDataLost
from workbench.event import DEAD_LETTER

FAILED = dt.datetime(2026, 6, 30, 14, 2, 11, 123_000, dt.UTC)
FAILED_EXACTLY = FAILED.replace(microsecond=123_456)
SENT = dt.datetime(2026, 6, 30, 14, 1, 40, tzinfo=dt.UTC)
HAPPENED = dt.datetime(2026, 6, 30, 14, 1, tzinfo=dt.UTC)
EVENT = {
    "event_id": "e-7", "event_type": "DepositMade", "stream_id": "acc-1", "version": 7,
    "correlation_id": "c-1", "causation_id": "cmd-1", "data": DATA,
}  # fmt: skip
ORIGIN = {"origin_topic": "accounts", "origin_partition": 5, "origin_offset": 4711}

Load = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write messages to a file and load it; return the dead letters that the log has then."""
    with wb.open() as log:

        def load(*messages: Message, format: str | None = None) -> list[dict[str, Any]]:
            path = parquet(tmp_path / "messages.parquet", messages)
            loaded = log.load(wb.dead_letters(path, format), progress=False)
            assert (loaded.read, loaded.stored) == (len(messages), len(messages))
            assert (loaded.duplicate, loaded.rejected) == (0, 0)
            return letters(log)

        yield load


# -- formats ---------------------------------------------------------------------------------------

EXPECTED = {
    "connect": (
        connect(),
        EVENT | ORIGIN | {
            "origin_at": SENT, "consumer": "accounts-jdbc", "error_message": "over 100", "error_stack": STACK,
            "error_class": "org.apache.kafka.connect.errors.DataException",
        },
    ),
    "streams": (
        streams(),
        EVENT | ORIGIN | {
            "origin_at": SENT, "error_class": "org.shop.LimitException", "error_message": "over 100", "error_stack": STACK,
        },
    ),
    "spring": (
        spring(),
        EVENT | ORIGIN | {
            "dead_lettered_at": FAILED, "origin_at": SENT, "consumer": "limits",
            "error_class": "org.shop.LimitException", "error_message": "Listener failed; over 100", "error_stack": STACK,
        },
    ),
    "spring_retry": (
        spring_retry(),
        EVENT | ORIGIN | {
            "dead_lettered_at": FAILED, "origin_at": SENT, "consumer": "limits", "attempts": 4,
            "error_class": "org.shop.LimitException", "error_message": "Listener failed; over 100", "error_stack": STACK,
        },
    ),
    "smallrye": (
        smallrye(),
        EVENT | ORIGIN | {
            "dead_lettered_at": FAILED, "origin_at": HAPPENED,
            "error_class": "org.shop.LimitException", "error_message": "over 100",
        },
    ),
    "nservicebus": (
        nservicebus(),
        {
            "dead_lettered_at": FAILED_EXACTLY, "origin_topic": "limits@host", "origin_at": SENT, "consumer": "Limits",
            "event_id": "e-7", "event_type": "Shop.DepositMade", "stream_id": "acc-1", "correlation_id": "c-1",
            "causation_id": "cmd-1", "error_class": "Shop.LimitException", "error_message": "over 100",
            "error_stack": "   at Shop.Limits.Check()", "attempts": 15,
            "data": '{"amount": 1.10, "aggregateId": "acc-1"}',
        },
    ),
    "masstransit": (
        masstransit(),
        {
            "dead_lettered_at": FAILED_EXACTLY, "origin_topic": "rabbitmq://host/limits", "origin_at": SENT,
            "consumer": "Shop.LimitsConsumer", "event_id": "e-7", "event_type": "Shop.DepositMade", "stream_id": "acc-1",
            "correlation_id": "c-1", "error_class": "Shop.LimitException", "error_message": "over 100",
            "error_stack": "   at Shop.Limits.Check()", "attempts": 8,
            "data": '{"amount": 1.10, "aggregateId": "acc-1"}',
        },
    ),
    "reference": (
        reference(),
        EVENT | {
            "dead_lettered_at": FAILED, "origin_at": HAPPENED, "error_class": "LimitError",
            "error_message": "LimitError: over 100", "attempts": 4,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("format", EXPECTED)
@pytest.mark.parametrize("asked", [False, True])
def test_each_format_says_all_that_it_knows_and_no_more(
    format: str, asked: bool, load: Load
) -> None:
    message, expected = EXPECTED[format]
    (letter,) = load(message, format=format if asked else None)
    assert known(letter) == expected | {"format": format}
    assert letter["raw"] == message.value
    assert letter["key"] == message.key
    assert [(one["name"], one["value"]) for one in letter["headers"] or ()] == list(message.headers)
    assert letter["source_position"] == "events.dlq/3/100"


def test_formats_may_stand_side_by_side(load: Load) -> None:
    found = load(*(message for message, _ in EXPECTED.values()), Message())
    assert [letter["format"] for letter in found] == [*EXPECTED, None]
    for letter, (_, expected) in zip(found, EXPECTED.values(), strict=False):
        assert known(letter, "format") == expected


def test_a_message_of_no_known_format_is_kept_and_says_so(load: Load) -> None:
    (letter,) = load(Message())
    assert known(letter) == EVENT | {
        "origin_at": HAPPENED,
        "parse_error": "no format of dead letters is recognised",
    }


def test_of_several_hops_the_first_origin_and_the_last_error_count(load: Load) -> None:
    first, hop = spring(), spring()
    again = hop.but(
        ("kafka_dlt-original-topic", b"accounts-dlt"),
        ("kafka_dlt-original-partition", (9).to_bytes(4, "big")),
        ("kafka_dlt-original-consumer-group", b"second"),
        ("kafka_dlt-exception-cause-fqcn", b"org.shop.Second"),
    )
    (letter,) = load(Message([*first.headers, *again.headers]))
    assert known(letter).items() >= ORIGIN.items()
    assert (letter["consumer"], letter["error_class"]) == ("second", "org.shop.Second")
    assert len(letter["headers"]) == 20


def test_spring_without_a_cause_is_known_by_its_exception(load: Load) -> None:
    headers = [(name, value) for name, value in spring().headers if "cause" not in name]
    (letter,) = load(Message(headers))
    assert letter["error_class"].endswith(".ListenerExecutionFailedException")


def test_a_key_that_could_not_be_read_is_an_error_of_spring_too(load: Load) -> None:
    headers = [
        (n.replace("exception-", "key-exception-"), v)
        for n, v in spring().headers
        if "cause" not in n
    ]
    (letter,) = load(Message(headers))
    assert letter["error_class"].endswith(".ListenerExecutionFailedException")
    assert letter["error_message"] == "Listener failed; over 100"


def test_smallrye_puts_this_time_before_the_last(load: Load) -> None:
    now, before = (
        smallrye(),
        smallrye().but(("dead-letter-reason", b"old"), ("dead-letter-offset", b"1")),
    )
    (letter,) = load(Message([*now.headers, *before.headers]))
    assert (letter["error_message"], letter["origin_offset"]) == ("over 100", 4711)


def test_attempts_in_one_byte_as_old_releases_of_spring_wrote_them(load: Load) -> None:
    (letter,) = load(spring_retry(attempts=b"\x03"))
    assert letter["attempts"] == 2


def test_connect_without_a_record_in_hand_leaves_the_origin_unknown(load: Load) -> None:
    prefix = "__connect.errors."
    (letter,) = load(
        connect().but(
            (f"{prefix}topic", b""), (f"{prefix}partition", b"-1"), (f"{prefix}offset", b"-1")
        )
    )
    assert (
        not {"origin_topic", "origin_partition", "origin_offset", "parse_error"}
        & known(letter).keys()
    )


def test_streams_message_may_be_null(load: Load) -> None:
    (letter,) = load(
        streams().but(
            ("__streams.errors.message", None),
            ("__streams.errors.exception", b"java.lang.NullPointerException"),
        )
    )
    assert letter["error_class"] == "java.lang.NullPointerException"
    assert (letter["error_message"], letter["parse_error"]) == (None, None)


def test_a_broker_that_stamps_messages_tells_when_connect_gave_up(tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", [connect()])
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT *, 'LogAppendTime' AS timestamp_type FROM '{path}') TO '{tmp_path}/s.parquet'"
        )
    with wb.open() as log:
        log.load(wb.dead_letters(tmp_path / "s.parquet"), progress=False)
        (letter,) = letters(log)
    assert (letter["dead_lettered_at"], letter["origin_at"]) == (SENT, HAPPENED)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("over 100", (None, "over 100", None)),
        ("the LimitError: over 100", (None, "the LimitError: over 100", None)),
        ("a.b.LimitException: over", ("a.b.LimitException", "a.b.LimitException: over", None)),
        (
            {"name": "LimitError", "message": "over 100", "stack": "LimitError\n  at f"},
            ("LimitError", "over 100", "LimitError\n  at f"),
        ),
        ({"type": "x.Y", "msg": "m"}, ("x.Y", "m", None)),
        ({"code": 7}, (None, '{"code": 7}', None)),
        (["a", 1], (None, '["a", 1]', None)),
        (7, (None, "7", None)),
        (None, (None, None, None)),
        ("TypeError: x\n    at f (a.js:1:2)", ("TypeError", "TypeError: x\n    at f (a.js:1:2)", "TypeError: x\n    at f (a.js:1:2)")),
    ],
)  # fmt: skip
def test_an_error_of_the_reference_is_a_sentence_or_an_object(
    error: Any, said: tuple[str | None, ...], load: Load
) -> None:
    (letter,) = load(reference(error))
    assert (letter["error_class"], letter["error_message"], letter["error_stack"]) == said
    assert letter["parse_error"] is None


@pytest.mark.parametrize(
    ("time", "read"),
    [
        (SENT_MS, SENT),
        (SENT_MS + 0.5, SENT.replace(microsecond=500)),
        ("2026-06-30T16:01:40+02:00", SENT),
        (None, dt.datetime(2026, 6, 30, 14, 2, 11, 128_000, dt.UTC)),  # the message's own
    ],
)
def test_a_time_of_the_reference_is_a_number_or_text(
    time: Any, read: dt.datetime, load: Load
) -> None:
    (letter,) = load(reference(timestamp=time))
    assert (letter["dead_lettered_at"], letter["parse_error"]) == (read, None)


def test_an_original_event_that_is_a_text_of_json_is_read(load: Load) -> None:
    (letter,) = load(reference(event=json.dumps(VALUE.decode()).encode()))
    assert known(letter).items() >= EVENT.items()
    assert letter["parse_error"] is None


def test_marks_of_a_redrive_are_recognised_in_every_format(load: Load) -> None:
    marks = [("workbench-redrive-id", b"r-1"), ("workbench-redrive-of", b"events.dlq/3/17")]
    found = load(
        *(Message([*message.headers, *marks], message.value) for message, _ in EXPECTED.values())
    )
    assert {(one["redrive_id"], one["redrive_of"]) for one in found} == {("r-1", "events.dlq/3/17")}
    assert [one["format"] for one in found] == list(EXPECTED)


# -- exactly once ----------------------------------------------------------------------------------


def test_a_dead_letter_is_stored_once_however_often_it_is_read(tmp_path: Path) -> None:
    first = parquet(tmp_path / "a.parquet", [spring(), reference()])
    with wb.open() as log:
        source = wb.dead_letters(first)
        log.load(source, progress=False)
        again = log.load(source, again=True, progress=False)
        assert (again.read, again.stored, again.duplicate, again.rejected) == (2, 0, 2, 0)
        assert log.load(source, progress=False).read == 0
        assert [one["dead_letter_id"] for one in letters(log)] == [1, 2]


def test_another_message_in_the_same_place_is_rejected_with_its_bytes(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [spring()])
    parquet(tmp_path / "b.parquet", [spring().but(value=b"other"), reference()])
    with wb.open() as log:
        loaded = log.load(wb.dead_letters(tmp_path / "*.parquet"), progress=False)
        assert (loaded.read, loaded.stored, loaded.rejected) == (3, 2, 1)
        (reject,) = log.rejects().rows()
        assert reject["raw"] == b"other"
        assert "events.dlq/3/100 is in the log with other content" in reject["reason"]


def test_dead_letters_show_in_loads_and_health_and_leave_the_events_alone(tmp_path: Path) -> None:
    with wb.open() as log:
        before = log.fingerprint()
        loaded = log.load(
            wb.dead_letters(parquet(tmp_path / "a.parquet", [spring()])), progress=False
        )
        assert repr(loaded).startswith("Loaded 1 dead letters from dead letters of files:")
        (row,) = log.loads().rows()
        assert (row["kind"], row["status"], row["stored"]) == ("dead letters", "complete", 1)
        assert (len(log), log.fingerprint()) == (0, before)
        assert log.health().dead_letters == 1
        assert "dead letters 1" in repr(log.health())
        assert "dead letters" in log.health()._repr_html_()


def test_a_name_belongs_to_one_kind_of_source(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [spring()])
    with wb.open() as log:
        log.load(wb.dead_letters(path, name="shop"), progress=False)
        (tmp_path / "e.ndjson").write_text('{"stream_id": "a", "type": "T"}\n')
        with pytest.raises(LoadError, match="as a source of kind dead letters"):
            log.load(wb.files(tmp_path / "e.ndjson", name="shop"), progress=False)


def test_a_file_that_changed_is_not_read_as_the_one_it_was(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [spring()])
    with wb.open() as log:
        log.load(wb.dead_letters(path), progress=False)
        parquet(path, [spring(), spring(), reference()])
        with pytest.raises(SourceDataLost):
            log.load(wb.dead_letters(path), progress=False)


LOAD_AND_DIE = """
    import os, signal, sys, workbench as wb
    from workbench.sources.files.records import Limits
    source = wb.dead_letters(sys.argv[2])
    object.__setattr__(source.origin, "limits", Limits(rows=50))
    seen = 0
    def die(read, total):
        if read >= int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
    wb.open(sys.argv[1]).load(source, progress=die)
"""


def test_a_load_that_was_killed_goes_on_and_gives_the_same_log(tmp_path: Path) -> None:
    kinds = [message for message, _ in EXPECTED.values()]
    path = parquet(tmp_path / "a.parquet", [kinds[n % len(kinds)] for n in range(400)])
    for at in ("50", "150"):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                textwrap.dedent(LOAD_AND_DIE),
                tmp_path / "killed.duckdb",
                path,
                at,
            ],
            check=False,
            capture_output=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    with wb.open(tmp_path / "killed.duckdb") as killed, wb.open() as whole:
        before = len(letters(killed))
        assert 100 <= before < 400
        loaded = killed.load(wb.dead_letters(path), progress=False)
        assert (loaded.stored, loaded.duplicate) == (400 - before, 0)
        whole.load(wb.dead_letters(path), progress=False)
        without = [{**one, "load_id": None} for one in letters(killed)]
        assert without == [{**one, "load_id": None} for one in letters(whole)]
        assert killed.loads().rows()[-1]["status"] == "interrupted"


# -- files -----------------------------------------------------------------------------------------


def test_ndjson_holds_a_dead_letter_of_the_reference_a_line(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    values = [
        reference().value or b"",
        b"{broken",
        b'{"originalEvent": null, "error": "x", "attempts": 2}',
    ]
    path.write_bytes(b"\n".join(values) + b"\n")
    with wb.open() as log:
        log.load(wb.dead_letters(path, "reference"), progress=False)
        sound, broken, eventless = letters(log)
        assert known(sound).items() >= EVENT.items()
        assert [one["source_position"] for one in letters(log)] == [
            "dead.ndjson#1",
            "dead.ndjson#2",
            "dead.ndjson#3",
        ]
        assert (broken["raw"], broken["format"]) == (b"{broken", "reference")
        assert broken["parse_error"].startswith("the event is not JSON")
        assert (eventless["attempts"], eventless["error_message"]) == (2, "x")
        with path.open("ab") as more:
            more.write((reference("late").value or b"") + b"\n")
        assert log.load(wb.dead_letters(path, "reference"), progress=False).stored == 1


def test_the_mapping_of_the_events_is_that_of_the_events(tmp_path: Path) -> None:
    value = b'{"orderId": "o-1", "kind": "Paid", "n": 3, "body": {"x": 1.10}, "at": 1782828100}'
    path = parquet(tmp_path / "a.parquet", [spring().but(value=value), reference(event=value)])
    source = wb.dead_letters(
        path,
        columns={
            "stream_id": "orderId",
            "event_type": "kind",
            "version": "n",
            "data": "body",
            "occurred_at": "at",
        },
        epoch="s",
    )
    with wb.open() as log:
        log.load(source, progress=False)
        for letter in letters(log):
            assert (letter["stream_id"], letter["event_type"], letter["version"]) == (
                "o-1",
                "Paid",
                3,
            )
            assert letter["data"] == '{"x": 1.10}'
            assert letter["parse_error"] is None
            assert letter["origin_at"] == SENT


def test_messages_may_lack_what_is_not_known(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [spring(), spring()])
    pq.write_table(pq.read_table(path, columns=["headers", "value"]), path)
    with wb.open() as log:
        log.load(wb.dead_letters(path), progress=False)
        found = letters(log)
        assert [one["source_position"] for one in found] == ["a.parquet#1", "a.parquet#2"]
        assert known(found[0]).items() >= ORIGIN.items()
        assert found[0]["dead_lettered_at"] is None


def test_generated_dead_letters_equal_their_truth(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    samples.generate("checkout", folder, events=10_000, seed=7)
    with wb.open() as log:
        for name in ("dead_letters", "dead_letters_axon", "dead_letters_wolverine"):
            log.load(wb.dead_letters(folder / f"{name}.parquet"), progress=False)
        truth = pq.read_table(folder / "dead_letters_truth.parquet")
        told = [name for name in truth.column_names if name in DEAD_LETTER]
        found = log.sql(f"SELECT {', '.join(told)} FROM log.main.dead_letters").rows()
    expected = truth.select(told).to_pylist()
    assert len(told) > 15
    assert len(expected) > 100
    by_place = {row["source_position"]: row for row in found}
    assert by_place == {row["source_position"]: row for row in expected}


# -- refusals --------------------------------------------------------------------------------------


def test_an_unknown_format_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'spring'"):
        wb.dead_letters("a.parquet", format="sprung")


def test_what_is_no_origin_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes wb.kafka\(…\), wb.postgres\(…\) or paths"):
        wb.dead_letters(7)  # type: ignore[arg-type]


def test_a_mapping_belongs_to_the_origin() -> None:
    with pytest.raises(ConfigError, match="said where the origin is"):
        wb.dead_letters(wb.kafka("b:1", "dlq"), columns={"stream_id": "x"})


def test_formats_of_tables_and_of_messages_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="are messages, and a table holds rows"):
        wb.dead_letters(wb.postgres("host=db", table="t"), "spring")
    with pytest.raises(ConfigError, match="are rows of a table"):
        wb.dead_letters(wb.kafka("b:1", "dlq"), "axon")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 1 AS customer) TO '{tmp_path}/a.parquet'")
        con.execute(f"COPY (SELECT 1 AS value, 'h' AS headers) TO '{tmp_path}/b.parquet'")
        con.execute(
            f"COPY (SELECT 'x'::BLOB AS value, 't' AS topic, TIMESTAMP '2026-01-01' AS timestamp) TO '{tmp_path}/c.parquet'"
        )
    (tmp_path / "d.csv").write_text("value,headers\na,b\n")
    for name, said in (
        ("a.parquet", "no table of dead letters that is known: its columns are customer"),
        ("b.parquet", "column headers of type string cannot be read"),
        ("c.parquet", "column timestamp .* it has no time zone"),
        ("d.csv", "dead letters hold bytes, and CSV holds text"),
    ):
        with wb.open() as log, pytest.raises(ConfigError, match=said):
            log.load(wb.dead_letters(tmp_path / name), progress=False)


def test_nothing_secret_shows() -> None:
    origin = wb.postgres("postgresql://ann:s3cret@db/shop", table="dead_letter_entry")
    source = wb.dead_letters(origin)
    assert source.name == "dead letters of postgres://db/shop/dead_letter_entry"
    assert repr(source) == "dead_letters('postgres://db/shop/dead_letter_entry')"
