"""Bad input: each gives a clear error or a reject, and the log stays whole."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.source_contract import as_events, rejects, rows
from workbench.errors import ConfigError, LogError, SourceDataLost, SourceError
from workbench.store.ingest import Loaded

GOOD = b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": 1.10}}'


@pytest.fixture
def log() -> Any:
    with wb.open() as log:
        yield log


def load_lines(log: wb.EventLog, folder: Path, *lines: bytes, **arguments: Any) -> Loaded:
    """Load lines between two good ones."""
    (folder / "a.ndjson").write_bytes(b"\n".join([GOOD, *lines, GOOD, b""]))
    return log.load(wb.files(folder / "a.ndjson", **arguments), progress=False)


def only_reject(log: wb.EventLog, loaded: Loaded, good: int = 2) -> tuple[bytes, str]:
    """Make sure that one record was rejected and the good ones stored; return its bytes and the reason."""
    assert (loaded.read, loaded.stored, loaded.rejected) == (good + 1, good, 1)
    assert rows(log, "SELECT count(*) FROM events") == [(good,)]
    ((raw, reason, _),) = rejects(log)
    return raw, reason


def event(**members: Any) -> bytes:
    return json.dumps({"stream_id": "acc-1", "event_type": "DepositMade", **members}).encode()


# -- text that is no JSON, or no text ------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": 1.10}',
        b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": 1.10,}}',
        b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": NaN}}',
        b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": -Infinity}}',
        b'{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": 01}}',
        b"{'stream_id': 'acc-1'}",
        b'{"stream_id": "acc-1", "event_type": "Deposit\x00Made"}',
        b'{"stream_id": "acc-1", "event_type": "Deposit\tMade"}',
        b'{"stream_id": "acc-1", "event_type": "\\ud800"}',
        b'{"stream_id": "acc-1"} {"event_type": "DepositMade"}',
        b"[1, 2]",
        b'"text"',
        b"12",
        b"null",
        b"   ",
        b"\x00\x00\x00",
        b"<html>",
    ],
)
def test_a_line_that_is_no_json_object_is_a_reject(
    tmp_path: Path, log: wb.EventLog, line: bytes
) -> None:
    raw, reason = only_reject(log, load_lines(log, tmp_path, line))
    assert raw == line
    assert reason.startswith("the line is ")


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9"]
)
def test_bytes_that_are_no_utf8_are_a_reject(tmp_path: Path, log: wb.EventLog, bad: bytes) -> None:
    line = GOOD.replace(b"acc-1", bad)
    raw, reason = only_reject(log, load_lines(log, tmp_path, line))
    assert raw == line
    assert "UTF-8" in reason


def test_text_in_utf16_says_how_to_convert_it(tmp_path: Path, log: wb.EventLog) -> None:
    for name in ("a.ndjson", "a.csv"):
        (tmp_path / name).write_text("stream_id,event_type\n", encoding="utf-16")
        with pytest.raises(SourceError, match="iconv -f UTF-16 -t UTF-8"):
            log.load(wb.files(tmp_path / name), progress=False)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_payload_that_is_no_json_is_a_reject(
    tmp_path: Path, log: wb.EventLog, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        path.write_text('stream_id,event_type,data\na,T,{}\na,T,{"n: 1}\na,T,{}\n')
    else:
        pq.write_table(
            pa.table(
                {
                    "stream_id": ["a"] * 3,
                    "event_type": ["T"] * 3,
                    "data": ["{}", '{"n: 1}', "{}"],
                }
            ),
            path,
        )
    raw, reason = only_reject(log, log.load(wb.files(path), progress=False))
    assert b'{"n: 1}' in raw or rb"{\"n: 1}" in raw
    assert reason == "data is not valid JSON"


def test_nul_characters_are_kept(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.csv").write_bytes(b"stream_id,event_type,actor\na\x00b,T,\x00\n")
    log.load(wb.files(tmp_path / "a.csv"), progress=False)
    load_lines(log, tmp_path, b'{"stream_id": "n", "event_type": "T", "data": {"a": "\\u0000"}}')
    assert as_events(log.where(stream="a\x00b"), ["actor"]) == [{"actor": "\x00"}]
    assert as_events(log.where(stream="n"), ["data"]) == [{"data": r'{"a": "\u0000"}'}]


# -- records that are no events ------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["stream_id", "event_type"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_a_record_without_stream_or_type_is_a_reject(
    tmp_path: Path, log: wb.EventLog, missing: str, how: str
) -> None:
    record = json.loads(GOOD) | {missing: None}
    if how == "absent":
        del record[missing]
    _, reason = only_reject(log, load_lines(log, tmp_path, json.dumps(record).encode()))
    assert reason == f"no {missing}"


@pytest.mark.parametrize(
    "time",
    [
        "2026-06-30T14:02:00",
        "2026-06-30",
        "yesterday",
        "2026-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "infinity",
        "NaN",
        "",
        1782828120,
        {"at": "2026-06-30T14:02:00Z"},
    ],
)
def test_a_time_that_is_naive_or_no_time_is_a_reject(
    tmp_path: Path, log: wb.EventLog, time: Any
) -> None:
    good = event(occurred_at="2026-06-30T14:02:00Z")
    loaded = load_lines(log, tmp_path, good, event(occurred_at=time))
    _, reason = only_reject(log, loaded, good=3)
    assert reason.startswith("occurred_at is not a time with an offset")


@pytest.mark.parametrize(
    "make",
    [
        lambda zone: wb.files("events.ndjson", timezone=zone),
        lambda zone: wb.kafka("broker:9092", "events.*", timezone=zone),
        lambda zone: wb.postgres("postgresql://db/shop", timezone=zone),
        lambda zone: wb.dead_letters("dead.parquet", timezone=zone),
    ],
    ids=["files", "kafka", "postgres", "dead_letters"],
)
def test_a_zone_that_is_none_is_said_before_anything_is_read(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"no time zone 'Europe/Madird'.*Europe/Madrid"):
        make("Europe/Madird")


def test_a_naive_time_is_read_in_the_zone_that_is_given(tmp_path: Path, log: wb.EventLog) -> None:
    line = event(occurred_at="2026-06-30 14:02:00")
    load_lines(log, tmp_path, line, timezone="America/New_York")
    assert rows(log, "SELECT occurred_at FROM events WHERE occurred_at IS NOT NULL") == [
        (dt.datetime(2026, 6, 30, 18, 2, tzinfo=dt.UTC),)
    ]


def test_the_last_moment_of_year_9999_is_a_time(tmp_path: Path, log: wb.EventLog) -> None:
    load_lines(log, tmp_path, event(occurred_at="9999-12-31T23:59:59.999999Z"))
    assert rows(log, "SELECT max(occurred_at) FROM events") == [
        (dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),)
    ]


@pytest.mark.parametrize("version", [2**64, -(2**63) - 1, 1.5, "NaN", "two", True, 1e400, [1]])
def test_a_version_that_is_no_whole_number_of_64_bits_is_a_reject(
    tmp_path: Path, log: wb.EventLog, version: Any
) -> None:
    line = event(version=version).replace(b"Infinity", b"1e400")
    _, reason = only_reject(log, load_lines(log, tmp_path, event(version=1), line), good=3)
    assert reason.startswith("version is not a whole number")


def test_nan_in_a_typed_column_is_a_reject(tmp_path: Path, log: wb.EventLog) -> None:
    pq.write_table(
        pa.table(
            {
                "stream_id": ["a"] * 3,
                "event_type": ["T"] * 3,
                "version": [1.0, float("nan"), 3.0],
            }
        ),
        tmp_path / "a.parquet",
    )
    loaded = log.load(wb.files(tmp_path / "a.parquet"), progress=False)
    _, reason = only_reject(log, loaded)
    assert reason == "version is not a whole number: nan"


def test_numbers_beyond_64_bits_are_exact_in_a_payload(tmp_path: Path, log: wb.EventLog) -> None:
    text = '{"big": 123456789012345678901234567890.123456789, "tiny": 1e-400, "huge": 1E+400}'
    load_lines(log, tmp_path, GOOD.replace(b'{"amount": 1.10}', text.encode()))
    assert rows(log, "SELECT CAST(data AS VARCHAR) FROM events WHERE position = 2") == [(text,)]


def test_a_duplicate_in_another_file_is_counted_and_named(tmp_path: Path, log: wb.EventLog) -> None:
    same, other = event(event_id="e-1", data={"n": 1}), event(event_id="e-1", data={"n": 2})
    (tmp_path / "a.ndjson").write_bytes(same)
    (tmp_path / "b.ndjson").write_bytes(same + b"\n" + other)
    loaded = log.load(wb.files(tmp_path / "*.ndjson"), progress=False)
    assert (loaded.read, loaded.stored, loaded.duplicate, loaded.rejected) == (3, 1, 1, 1)
    ((raw, reason, at),) = rejects(log)
    assert b'"n": 2' in raw or rb"\"n\": 2" in raw
    assert "e-1" in reason
    assert at == "b.ndjson#2"


# -- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["ndjson", "csv", "parquet"])
def test_payloads_of_ten_megabytes_are_exact(tmp_path: Path, log: wb.EventLog, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = random.Random(7).randbytes(5_000_000).hex()
    payloads = [f'{{"n": {n}.10, "long": "{noise}"}}' for n in range(3)]
    if suffix == "ndjson":
        path.write_text(
            "".join(
                f'{{"stream_id": "a", "event_type": "T", "data": {payload}}}\n'
                for payload in payloads
            )
        )
    elif suffix == "csv":
        quoted = [payload.replace('"', '""') for payload in payloads]
        path.write_text(
            "stream_id,event_type,data\n" + "".join(f'a,T,"{text}"\n' for text in quoted)
        )
    else:
        pq.write_table(
            pa.table({"stream_id": ["a"] * 3, "event_type": ["T"] * 3, "data": payloads}), path
        )
    assert log.load(wb.files(path), progress=False).stored == 3
    found = rows(log, "SELECT CAST(data AS VARCHAR) FROM events ORDER BY position")
    assert [text for (text,) in found] == payloads


@pytest.mark.parametrize("levels", [10_000, 500_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_stored_or_rejected_and_crashes_nothing(
    tmp_path: Path, log: wb.EventLog, levels: int, opening: str
) -> None:
    closing = "]" if opening == "[" else "}"
    deep = opening * levels + "1" + closing * levels
    line = f'{{"stream_id": "a", "event_type": "T", "data": {{"deep": {deep}}}}}'.encode()
    loaded = load_lines(log, tmp_path, line)
    raw, reason = only_reject(log, loaded)
    assert raw == line
    assert "nested too deeply" in reason

    pq.write_table(
        pa.table({"stream_id": ["a"], "event_type": ["T"], "data": [deep]}), tmp_path / "a.parquet"
    )
    loaded = log.load(wb.files(tmp_path / "a.parquet"), progress=False)
    assert loaded.stored + loaded.rejected == 1
    kept = rows(log, "SELECT CAST(data AS VARCHAR) FROM events WHERE stream_id = 'a'")
    kept += [(raw.decode(),) for raw, _, at in rejects(log) if at == "a.parquet#1"]
    assert deep in kept[0][0].replace('\\"', '"')


# -- damaged files -------------------------------------------------------------------------------


def many(path: Path, count: int) -> bytes:
    noise = random.Random(3)
    table = pa.table(
        {
            "stream_id": [f"acc-{n % 7}" for n in range(count)],
            "event_type": ["DepositMade"] * count,
            "data": [json.dumps({"n": n, "noise": noise.randbytes(8).hex()}) for n in range(count)],
        }
    )
    pq.write_table(table, path, row_group_size=2_000, use_dictionary=False)
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_parquet_file_is_named(tmp_path: Path, log: wb.EventLog, keep: int) -> None:
    whole = many(tmp_path / "1.parquet", 100)
    log.load(wb.files(tmp_path / "*.parquet"), progress=False)
    (tmp_path / "2.parquet").write_bytes(whole[:keep])
    with pytest.raises(SourceError, match=r"2\.parquet cannot be read as Parquet[\s\S]*cut off"):
        log.load(wb.files(tmp_path / "*.parquet"), progress=False)
    assert rows(log, "SELECT count(*) FROM events") == [(100,)]
    (tmp_path / "2.parquet").write_bytes(whole)
    assert log.load(wb.files(tmp_path / "*.parquet"), progress=False).stored == 100


def test_what_stands_before_a_damaged_page_stays_and_the_load_goes_on(
    tmp_path: Path, log: wb.EventLog
) -> None:
    path = tmp_path / "a.parquet"
    whole = many(path, 200_000)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 60_000 + whole[middle + 60_000 :])
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read"):
        log.load(wb.files(path), progress=False)
    ((before,),) = rows(log, "SELECT count(*) FROM events")
    assert before < 200_000
    path.write_bytes(whole)
    assert log.load(wb.files(path), progress=False).stored == 200_000 - before
    assert rows(log, "SELECT count(DISTINCT source_position) FROM events") == [(200_000,)]


def test_what_stands_before_the_end_of_a_cut_archive_stays(
    tmp_path: Path, log: wb.EventLog
) -> None:
    path = tmp_path / "a.ndjson.gz"
    noise = random.Random(5)
    lines = [event(data={"noise": noise.randbytes(500).hex()}) for _ in range(30_000)]
    with gzip.open(path, "wb") as file:
        file.write(b"\n".join(lines) + b"\n")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(SourceError, match=r"a\.ndjson\.gz: the gzip compression is damaged"):
        log.load(wb.files(path), progress=False)
    ((before,),) = rows(log, "SELECT count(*) FROM events")
    assert 0 < before < 30_000
    path.write_bytes(whole)
    assert log.load(wb.files(path), progress=False).stored == 30_000 - before
    assert rows(log, "SELECT count(DISTINCT source_position) FROM events") == [(30_000,)]


def test_an_archive_that_became_shorter_than_what_was_read_is_an_error(
    tmp_path: Path, log: wb.EventLog
) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(gzip.compress((GOOD + b"\n") * 3))
    log.load(wb.files(path), progress=False)
    path.write_bytes(gzip.compress((GOOD + b"\n") * 2))
    with pytest.raises(SourceDataLost, match=r"a\.ndjson\.gz is not the file any more"):
        log.load(wb.files(path), progress=False)


def test_names_that_look_like_sql_are_names(tmp_path: Path, log: wb.EventLog) -> None:
    path = tmp_path / 'it\'s "x"; DROP TABLE events; --.csv'
    odd = 'a\'b""; DROP TABLE events; --'
    path.write_text(f'stream_id,event_type,"{odd}"\nacc-1,T,ann\n')
    columns = {
        "stream_id": "stream_id",
        "event_type": "event_type",
        "actor": odd.replace('""', '"'),
        "data": "*",
    }
    log.load(wb.files(path, columns=columns), progress=False)
    ((actor, position, data),) = rows(log, "SELECT actor, source_position, data FROM events")
    assert (actor, position) == ("ann", f"{path.name}#2")
    assert json.loads(data)[columns["actor"]] == "ann"


# -- a full disk ---------------------------------------------------------------------------------

LOAD_WITH_LITTLE_ROOM = """
import dataclasses, resource, sys
import workbench as wb
from workbench.sources.files.records import Limits
log = wb.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
source = dataclasses.replace(wb.files(sys.argv[2], name="bank"), limits=Limits(bytes=1 << 20))
try:
    log.load(source, progress=False)
except wb.errors.WorkbenchError as error:
    print(type(error).__name__, error)
"""


# The first breaks a commit in mid-load; the second also the moving of what is committed into the file proper.
@pytest.mark.parametrize(("events", "room"), [(30_000, 5_000_000), (60_000, 20_000_000)])
def test_a_full_disk_is_said_and_the_log_goes_on(tmp_path: Path, events: int, room: int) -> None:
    noise = random.Random(11)
    with (tmp_path / "a.ndjson").open("wb") as file:
        for n in range(events):
            file.write(event(data={"n": n, "noise": noise.randbytes(300).hex()}) + b"\n")
    path = tmp_path / "bank.duckdb"
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_LITTLE_ROOM, path, tmp_path / "a.ndjson", str(room)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("LoadError"), done.stdout + done.stderr
    assert "File too large" in done.stdout
    assert "run the same load again" in done.stdout
    counts = "SELECT count(*), count(DISTINCT source_position) FROM events"
    with wb.open(path) as log:
        ((count, distinct),) = rows(log, counts)
        assert 0 < count == distinct
        loaded = log.load(wb.files(tmp_path / "a.ndjson", name="bank"), progress=False)
        assert loaded.stored == events - count
        assert rows(log, counts) == [(events, events)]
        assert rows(log, "SELECT sum(CAST(data->>'n' AS BIGINT)) FROM events") == [
            (sum(range(events)),)
        ]


def test_a_log_that_is_no_log_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LogError, match=r"a\.duckdb"):
        wb.open(tmp_path / "a.duckdb")
