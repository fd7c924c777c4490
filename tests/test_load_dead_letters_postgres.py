"""Loading dead letters from the tables of a real Postgres, and from dumps of these tables."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench as wb
from tests.dead_letters import known, letters
from tests.fix_postgres import Database
from workbench.errors import ConfigError
from workbench.sources.dead_letters.wolverine import EnvelopeError, envelope

ENQUEUED = dt.datetime(2026, 6, 30, 14, 2, 11, 123_456, dt.UTC)
HAPPENED = dt.datetime(2026, 6, 30, 14, 1, tzinfo=dt.UTC)

# As Hibernate makes it for the JPA entity, with Spring's names of columns; bytes are large objects or bytea.
AXON_JPA = """CREATE TABLE dead_letter_entry (
    dead_letter_id varchar(255) NOT NULL PRIMARY KEY, processing_group varchar(255) NOT NULL,
    sequence_identifier varchar(255) NOT NULL, sequence_index bigint NOT NULL,
    message_type varchar(255) NOT NULL, event_identifier varchar(255) NOT NULL, time_stamp varchar(255) NOT NULL,
    payload_type varchar(255) NOT NULL, payload_revision varchar(255), payload {bytes} NOT NULL, meta_data {bytes},
    type varchar(255), aggregate_identifier varchar(255), sequence_number bigint,
    token_type varchar(255), token {bytes},
    enqueued_at timestamptz NOT NULL, last_touched timestamptz, processing_started timestamptz,
    cause_type varchar(255), cause_message varchar(1023), diagnostics {bytes})"""

# As its JDBC schema makes it: names unquoted, so in lower case, and times as text.
AXON_JDBC = """CREATE TABLE DeadLetterEntry (
    deadLetterIdentifier varchar(255) NOT NULL PRIMARY KEY, processingGroup varchar(255) NOT NULL,
    sequenceIdentifier varchar(255) NOT NULL, sequenceIndex bigint NOT NULL,
    messageType varchar(255) NOT NULL, eventIdentifier varchar(255) NOT NULL, timeStamp varchar(255) NOT NULL,
    payloadType varchar(255) NOT NULL, payloadRevision varchar(255), payload bytea NOT NULL, metaData bytea,
    type varchar(255), aggregateIdentifier varchar(255), sequenceNumber bigint, tokenType varchar(255), token bytea,
    enqueuedAt varchar(255) NOT NULL, lastTouched varchar(255), processingStarted varchar(255),
    causeType varchar(255), causeMessage varchar(255), diagnostics bytea)"""

WOLVERINE = """CREATE TABLE wolverine_dead_letters (
    id uuid NOT NULL PRIMARY KEY, execution_time timestamptz DEFAULT NULL, body bytea NOT NULL,
    message_type varchar NOT NULL, received_at varchar, source varchar, exception_type varchar,
    exception_message varchar, sent_at timestamptz, replayable boolean)"""

MARTEN = """CREATE TABLE mt_doc_deadletterevent (
    id uuid NOT NULL PRIMARY KEY, data jsonb NOT NULL, mt_last_modified timestamptz DEFAULT transaction_timestamp(),
    mt_dotnet_type varchar, mt_version uuid)"""

PAYLOAD = b'{"amount": 1.10}'
META = b'{"traceId": "c-1", "correlationId": "cmd-1"}'


def source(database: Database, table: str, **arguments: Any) -> Any:
    return wb.dead_letters(wb.postgres(database.dsn, table=table, name="store", **arguments))


def park(
    database: Database, id: str, index: int, *, table: str = "dead_letter_entry", bytes: str = "%s",
    payload: bytes = PAYLOAD, cause: str | None = None, enqueued: Any = ENQUEUED,
) -> None:  # fmt: skip
    """Put a row behind the others of its sequence, as Axon does."""
    database.execute(
        f"INSERT INTO {table} VALUES (%s, 'limits', 'acc-1', %s, 'event', %s, '2026-06-30T14:01:00Z', 'org.shop.DepositMade', "
        f"'1', {bytes}, {bytes}, 'Account', 'acc-1', %s, NULL, NULL, %s, %s, NULL, %s, %s, NULL)",
        [
            id,
            index,
            f"e-{index}",
            payload,
            META,
            7 + index,
            enqueued,
            enqueued,
            cause,
            cause and "over 100",
        ],
    )


ROOT = {
    "format": "axon", "dead_lettered_at": ENQUEUED, "origin_at": HAPPENED, "consumer": "limits",
    "event_id": "e-0", "event_type": "org.shop.DepositMade", "stream_id": "acc-1", "version": 7,
    "correlation_id": "c-1", "causation_id": "cmd-1", "error_class": "org.shop.LimitException",
    "error_message": "over 100", "sequence_id": "acc-1", "sequence_index": 0, "data": PAYLOAD.decode(),
}  # fmt: skip


@pytest.mark.parametrize("stored", ["bytea", "oid"])
def test_axon_parks_a_sequence_and_only_its_first_row_failed(
    stored: str, database: Database
) -> None:
    database.execute(AXON_JPA.format(bytes=stored))
    bytes = "lo_from_bytea(0, %s)" if stored == "oid" else "%s"
    park(database, "b", 0, bytes=bytes, cause="org.shop.LimitException")
    park(database, "a", 1, bytes=bytes)
    with wb.open() as log:
        loaded = log.load(source(database, "dead_letter_entry"), progress=False)
        assert (loaded.read, loaded.stored, loaded.rejected) == (2, 2, 0)
        assert loaded.report.watermark == "2 rows of dead_letter_entry"
        root, follower = letters(log)
    assert known(root) == ROOT
    assert known(follower) == {
        **{name: value for name, value in ROOT.items() if not name.startswith("error_")},
        **{"event_id": "e-1", "version": 8, "sequence_index": 1},
    }
    assert (root["raw"], root["source_position"]) == (PAYLOAD, "dead_letter_entry/b")
    others = {one["name"]: one["value"] for one in root["headers"]}
    assert (others["meta_data"], others["type"], others["payload_revision"]) == (
        META,
        b"Account",
        b"1",
    )


def test_axon_with_its_jdbc_table(database: Database) -> None:
    database.execute(AXON_JDBC)
    at = "2026-06-30T14:02:11.123456Z"
    park(database, "b", 0, table="DeadLetterEntry", cause="org.shop.LimitException", enqueued=at)
    with wb.open() as log:
        log.load(source(database, "deadletterentry"), progress=False)
        assert known(letters(log)[0]) == ROOT


def test_a_letter_that_was_tried_again_is_another_and_a_claim_changes_nothing(
    database: Database,
) -> None:
    database.execute(AXON_JPA.format(bytes="bytea"))
    park(database, "b", 0, cause="org.shop.LimitException")
    with wb.open() as log:
        log.load(source(database, "dead_letter_entry"), progress=False)
        database.execute(
            "UPDATE dead_letter_entry SET processing_started = now(), diagnostics = 'x'"
        )
        claimed = log.load(source(database, "dead_letter_entry"), progress=False)
        assert (claimed.read, claimed.duplicate) == (1, 1)
        database.execute(
            "UPDATE dead_letter_entry SET last_touched = enqueued_at + interval '1 hour', cause_message = 'still over'"
        )
        again = log.load(source(database, "dead_letter_entry"), progress=False)
        assert (again.read, again.stored) == (1, 1)
        first, second = letters(log)
        assert (first["error_message"], second["error_message"]) == ("over 100", "still over")
        assert second["source_position"].startswith("dead_letter_entry/b@17828")


def test_what_axon_wrote_in_xml_is_kept_and_said(database: Database) -> None:
    database.execute(AXON_JPA.format(bytes="bytea"))
    park(database, "b", 0, payload=b"<deposit/>")
    park(database, "c", 1, payload=b"\xff\x00")
    database.execute(
        "UPDATE dead_letter_entry SET enqueued_at = 'infinity', time_stamp = 'noon' WHERE sequence_index = 1"
    )
    with wb.open() as log:
        log.load(source(database, "dead_letter_entry"), progress=False)
        xml, hostile = letters(log)
    assert (xml["data"], xml["raw"], xml["parse_error"]) == (
        None,
        b"<deposit/>",
        "payload is not JSON",
    )
    assert (hostile["data"], hostile["raw"], hostile["dead_lettered_at"]) == (
        None,
        b"\xff\x00",
        None,
    )
    for said in (
        "payload is not JSON",
        "enqueued_at is not a time",
        "time_stamp is not a time with an offset: noon",
    ):
        assert said in hostile["parse_error"]


def test_times_without_an_offset_need_a_zone(database: Database) -> None:
    database.execute(AXON_JPA.format(bytes="bytea"))
    database.execute(
        "ALTER TABLE dead_letter_entry ALTER enqueued_at TYPE timestamp, ALTER last_touched TYPE timestamp"
    )
    park(database, "b", 0, enqueued="2026-06-30T16:02:11.123456")
    with wb.open() as log, wb.open() as told:
        log.load(source(database, "dead_letter_entry"), progress=False)
        assert letters(log)[0]["dead_lettered_at"] is None
        assert "enqueued_at is not a time with an offset" in letters(log)[0]["parse_error"]
        told.load(source(database, "dead_letter_entry", timezone="Europe/Madrid"), progress=False)
        assert letters(told)[0]["dead_lettered_at"] == ENQUEUED


# -- Wolverine -------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """Write a string as .NET's BinaryWriter does."""
    raw, length, prefix = value.encode(), len(value.encode()), b""
    while length >= 0x80:
        prefix += bytes([length & 0x7F | 0x80])
        length >>= 7
    return prefix + bytes([length]) + raw


def body(payload: bytes = PAYLOAD, **headers: str) -> bytes:
    given = {
        "source": "Shop", "message-type": "Shop.DepositMade", "correlation-id": "c-1", "attempts": "3", "long": "x" * 300,
    } | headers  # fmt: skip
    written = b"".join(text(name) + text(value) for name, value in given.items())
    return struct.pack("<qi", 1, len(given)) + written + struct.pack("<i", len(payload)) + payload


ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def give_up(database: Database, id: str, content: bytes) -> None:
    database.execute(
        "INSERT INTO wolverine_dead_letters VALUES (%s, NULL, %s, 'Shop.DepositMade', 'local://limits/', 'Shop', "
        "'Shop.LimitException', 'over 100', %s, false)",
        [id, content, HAPPENED],
    )


def test_wolverine_keeps_an_envelope_in_its_body(database: Database) -> None:
    database.execute(WOLVERINE)
    give_up(database, ID, body())
    with wb.open() as log:
        loaded = log.load(source(database, "wolverine_dead_letters"), progress=False)
        database.execute("UPDATE wolverine_dead_letters SET replayable = true")
        again = log.load(source(database, "wolverine_dead_letters"), progress=False)
        (letter,) = letters(log)
    assert (loaded.stored, again.duplicate) == (1, 1)
    assert known(letter) == {
        "format": "wolverine", "origin_topic": "local://limits/", "origin_at": HAPPENED, "event_id": ID,
        "event_type": "Shop.DepositMade", "correlation_id": "c-1", "error_class": "Shop.LimitException",
        "error_message": "over 100", "attempts": 3, "data": PAYLOAD.decode(),
    }  # fmt: skip
    assert letter["raw"] == body()
    assert letter["source_position"] == f"wolverine_dead_letters/{ID}/local://limits/"
    assert {"name": "source", "value": b"Shop"} in letter["headers"]


HOSTILE = [
    b"", b"\x00", body()[:-1], body() + b"x", struct.pack("<qi", 1, -1), struct.pack("<qi", 1, 2**31 - 1),
    struct.pack("<qi", 1, 1) + b"\xff" * 10, struct.pack("<qi", 1, 1) + b"\x05ab", struct.pack("<qi", 1, 1) + b"\x01\xff\x01a",
    body()[:40],
]  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE)
def test_what_is_no_envelope_is_refused(content: bytes) -> None:
    with pytest.raises(EnvelopeError):
        envelope(content)


def test_hostile_bodies_survive_and_the_load_goes_on(database: Database) -> None:
    database.execute(WOLVERINE)
    given = [PAYLOAD, body(b"\xff"), body(attempts="many"), *HOSTILE[1:]]
    for number, content in enumerate(given):
        give_up(database, ID[:-2] + f"{number:02x}", content)
    with wb.open() as log:
        log.load(source(database, "wolverine_dead_letters"), progress=False)
        bare, binary, odd, *broken = letters(log)
    assert [one["raw"] for one in (bare, binary, odd, *broken)] == given
    assert (bare["data"], bare["parse_error"]) == (PAYLOAD.decode(), None)
    assert (binary["data"], binary["attempts"], binary["parse_error"]) == (
        None,
        3,
        "the message is not JSON",
    )
    assert (odd["attempts"], odd["data"]) == (None, PAYLOAD.decode())
    for letter in broken:
        assert letter["parse_error"].startswith("body is no envelope: ")
        assert (letter["data"], letter["error_message"]) == (None, "over 100")


# -- others ----------------------------------------------------------------------------------------


def test_marten_tells_what_a_projection_skipped(database: Database) -> None:
    database.execute(MARTEN)
    document = (
        '{"Id": "x", "ProjectionName": "Limits", "ShardName": "All", "Timestamp": "2026-06-30T14:02:11.123456+00:00", '
        '"ExceptionType": "Shop.LimitException", "ExceptionMessage": "over 100", "EventSequence": 4711}'
    )
    database.execute(
        "INSERT INTO mt_doc_deadletterevent (id, data, mt_dotnet_type) VALUES (%s, %s, 'D')",
        [ID, document],
    )
    with wb.open() as log:
        log.load(source(database, "mt_doc_deadletterevent"), progress=False)
        assert known(letters(log)[0]) == {
            "format": "marten", "dead_lettered_at": ENQUEUED, "origin_offset": 4711, "consumer": "Limits",
            "error_class": "Shop.LimitException", "error_message": "over 100",
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["axon", "wolverine"])
def test_a_dump_of_a_table_says_the_same(kind: str, database: Database, tmp_path: Path) -> None:
    if kind == "axon":
        database.execute(AXON_JPA.format(bytes="bytea"))
        park(database, "b", 0, cause="org.shop.LimitException")
        park(database, "a", 1)
        table, columns = "dead_letter_entry", "* REPLACE (payload::BLOB AS payload)"
    else:
        database.execute(WOLVERINE)
        give_up(database, ID, body())
        table, columns = "wolverine_dead_letters", "*"
    from workbench.sources.postgres.table import read_table

    rows = read_table(database.dsn, table)  # noqa: F841 -- DuckDB reads it by its name
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"COPY (SELECT {columns} FROM rows) TO '{tmp_path}/dump.parquet'")
    with wb.open() as log, wb.open() as dumped:
        log.load(source(database, table), progress=False)
        dumped.load(
            wb.dead_letters(tmp_path / "dump.parquet", name="dead letters of store"), progress=False
        )
        order = "SELECT * EXCLUDE (dead_letter_id, load_id) FROM log.main.dead_letters ORDER BY source_position"
        assert dumped.sql(order).rows() == log.sql(order).rows()


def test_a_table_of_something_else_is_refused(database: Database) -> None:
    database.execute("CREATE TABLE customers (id int)")
    database.execute(MARTEN)
    with wb.open() as log:
        with pytest.raises(
            ConfigError, match="no table of dead letters that is known: its columns are id"
        ):
            log.load(source(database, "customers"), progress=False)
        axon = wb.dead_letters(wb.postgres(database.dsn, table="mt_doc_deadletterevent"), "axon")
        with pytest.raises(ConfigError, match="has no column 'processingGroup'"):
            log.load(axon, progress=False)
        with pytest.raises(ConfigError, match="there is no table 'dead_letter'"):
            log.load(source(database, "dead_letter"), progress=False)
        assert log.loads().rows() == []


def test_an_empty_table_is_complete(database: Database) -> None:
    database.execute(WOLVERINE)
    with wb.open() as log:
        loaded = log.load(source(database, "wolverine_dead_letters"), progress=False)
        assert (loaded.read, loaded.report.completeness[0]["complete"]) == (0, True)


def test_many_rows_come_in_batches_and_each_once(database: Database) -> None:
    database.execute(WOLVERINE)
    database.execute(
        "INSERT INTO wolverine_dead_letters SELECT gen_random_uuid(), NULL, convert_to('{\"n\": ' || i || '}', 'UTF8'), 'T', "
        "'local://q', 'S', 'E', 'm', now(), false FROM generate_series(1, 3000) i"
    )
    seen: list[int] = []
    with wb.open() as log:
        log.load(
            source(database, "wolverine_dead_letters", batch_rows=500),
            progress=lambda read, _: seen.append(read),
        )
        assert len(letters(log)) == 3000
    assert len(seen) > 1
