"""Files as a source: names, mappings, resuming, formats. What all sources promise is in source_contract."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.source_contract import Dying, as_events, rejects, rows
from workbench.errors import ConfigError, SourceDataLost, SourceError, SourceUnavailable
from workbench.sources.files import Files
from workbench.sources.files.records import Limits
from workbench.store.ingest import Loaded

DEPOSIT = '{"stream_id": "acc-1", "event_type": "DepositMade", "data": {"amount": 1.10}}\n'


@pytest.fixture
def log() -> Any:
    with wb.open() as log:
        yield log


def load(log: wb.EventLog, source: Files) -> Loaded:
    return log.load(source, progress=False)


def deposit(n: int) -> str:
    return DEPOSIT.replace("1.10", f"{n}.10")


def parquet(path: Path, **columns: Any) -> Path:
    length = len(next(iter(columns.values())))
    filled = {"stream_id": ["acc-1"] * length, "event_type": ["DepositMade"] * length, **columns}
    pq.write_table(pa.table(filled), path)
    return path


def data(log: wb.EventLog) -> list[str]:
    return [event["data"] for event in in_order(log, "data")]


def in_order(log: wb.EventLog, *names: str) -> list[dict[str, Any]]:
    found = as_events(log, ["position", *names])
    return sorted(found, key=lambda event: event["position"])


def columns_of(source: Files, *names: str) -> list[list[Any]]:
    """Read raw records."""
    with source.read(None) as reading:
        tables = [batch.rows for batch in reading.batches() if batch.rows.num_rows]
    columns = [[value for table in tables for value in table[name].to_pylist()] for name in names]
    return [list(record) for record in zip(*columns, strict=True)]


# -- which files ---------------------------------------------------------------------------------


def test_files_are_read_by_name_and_placed_relative_to_the_fixed_folder(
    tmp_path: Path, log: wb.EventLog
) -> None:
    for name in ("b/2.ndjson", "a/1.ndjson", "a/x/3.ndjson"):
        path = tmp_path / "bank" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DEPOSIT * 2)
    load(log, wb.files(tmp_path / "bank/**/*.ndjson"))
    assert [event["source_position"] for event in in_order(log, "source_position")] == [
        "a/1.ndjson#1", "a/1.ndjson#2", "a/x/3.ndjson#1", "a/x/3.ndjson#2", "b/2.ndjson#1", "b/2.ndjson#2",
    ]  # fmt: skip


def test_the_name_is_the_pattern_as_given_unless_said(tmp_path: Path) -> None:
    assert wb.files("bank/*.parquet").name == "files:bank/*.parquet"
    assert wb.files(["a.csv", Path("b.csv")]).name == "files:a.csv,b.csv"
    assert wb.files("a.csv", name="bank").name == "bank"
    assert wb.files("a.csv").kind == "files"


def test_a_list_may_name_files_twice(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.ndjson").write_text(DEPOSIT)
    assert load(log, wb.files([tmp_path / "a.ndjson", tmp_path / "*.ndjson"])).read == 1


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(
    tmp_path: Path, log: wb.EventLog
) -> None:
    parquet(tmp_path / "day[1].parquet", data=["{}"])
    parquet(tmp_path / "day1.parquet", data=["{}", "{}"])
    assert load(log, wb.files(tmp_path / "day[1].parquet")).read == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("bank/evnts.ndjson", "Did you mean 'events.ndjson'"),
        ("bnk/events.ndjson", "Did you mean 'bank'"),
        ("bank/*.parquet", "no file matches"),
        ("bank", "is a folder"),
        ("bank/notes.txt", "does not say what is in the file"),
        ("bank/*", "suffix"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(
    tmp_path: Path, log: wb.EventLog, path: str, message: str
) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank/events.ndjson").write_text(DEPOSIT)
    (tmp_path / "bank/notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match=message):
        load(log, wb.files(tmp_path / path))


def test_two_formats_in_one_source_are_refused(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.ndjson").write_text(DEPOSIT)
    parquet(tmp_path / "a.parquet", data=["{}"])
    with pytest.raises(ConfigError, match=r"a\.ndjson \(ndjson\), a\.parquet \(parquet\)"):
        load(log, wb.files(tmp_path / "a.*"))


def test_the_format_may_be_said(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "events.log").write_text(DEPOSIT)
    assert load(log, wb.files(tmp_path / "events.log", format="ndjson")).stored == 1


@pytest.mark.parametrize(
    "arguments", [{"format": "xml"}, {"timezone": "Europe/Madrit"}, {"epoch": "sec"}]
)
def test_arguments_are_checked_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean|Known"):
        wb.files("a.csv", **arguments)


# -- which columns -------------------------------------------------------------------------------


def test_names_of_the_reference_table_are_known(tmp_path: Path, log: wb.EventLog) -> None:
    record = {
        "id": "e-1", "aggregate_id": "acc-1", "aggregate_type": "account", "type": "DepositMade", "version": 3,
        "timestamp": "2026-06-30T14:02:00Z", "payload": {"amount": 1}, "position": 77,
    }  # fmt: skip
    (tmp_path / "a.ndjson").write_text(json.dumps(record))
    load(log, wb.files(tmp_path / "a.ndjson"))
    names = ["event_id", "stream_id", "stream_type", "event_type", "version", "occurred_at", "data"]
    (found,) = as_events(log, names)
    assert list(found.values()) == [
        "e-1", "acc-1", "account", "DepositMade", 3, dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC), '{"amount": 1}',
    ]  # fmt: skip


def test_columns_that_are_not_found_are_an_error_that_lists_what_is_there(
    tmp_path: Path, log: wb.EventLog
) -> None:
    (tmp_path / "a.csv").write_text("streamId,kind,amount\nacc-1,DepositMade,1\n")
    with pytest.raises(ConfigError) as caught:
        load(log, wb.files(tmp_path / "a.csv"))
    message = str(caught.value)
    assert "no column is stream_id or event_type" in message
    assert "streamId, kind, amount" in message
    assert "Did you mean 'streamId'" in message
    assert "columns={'stream_id': '…', 'event_type': '…', …}" in message


@pytest.mark.parametrize("suffix", ["csv", "parquet", "ndjson"])
def test_a_mapping_to_a_missing_column_is_an_error(
    tmp_path: Path, log: wb.EventLog, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        parquet(path, user=["ann"])
    else:
        path.write_text(
            "stream_id,event_type,user\na,T,ann\n" if suffix == "csv" else '{"user": "ann"}\n'
        )
    with pytest.raises(ConfigError, match=r"'usr'.*Did you mean 'user'"):
        load(log, wb.files(path, columns={"stream_id": "user", "event_type": "=T", "actor": "usr"}))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "ndjson"])
def test_a_mapping_reads_columns_fields_constants_and_the_whole(
    tmp_path: Path, log: wb.EventLog, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(
            pa.table(
                {
                    "case:id": ["c-1"],
                    "meta": [{"user": {"id": "ann"}}],
                    "amount": pa.array([Decimal("1.10")], pa.decimal128(9, 2)),
                }
            ),
            path,
        )
        whole = '{"case:id": "c-1", "meta": {"user":{"id":"ann"}}, "amount": 1.10}'
    elif suffix == "csv":
        path.write_text('case:id;meta;amount\nc-1;"{""user"": {""id"": ""ann""}}";1.10\n')
        whole = (
            '{"case:id": "c-1", "meta": "{\\"user\\": {\\"id\\": \\"ann\\"}}", "amount": "1.10"}'
        )
    else:
        whole = '{"case:id": "c-1", "meta": {"user": {"id": "ann"}}, "amount": 1.10}'
        path.write_text(whole + "\n")
    columns = {
        "stream_id": "case:id",
        "event_type": "=Booked",
        "actor": ["meta.user.name", "meta.user.id"],
        "data": "*",
    }
    load(log, wb.files(path, columns=columns))
    assert as_events(log, list(columns)) == [
        {"stream_id": "c-1", "event_type": "Booked", "actor": "ann", "data": whole}
    ]


def test_a_key_that_the_first_records_lack_is_named_through_the_whole(
    tmp_path: Path, log: wb.EventLog
) -> None:
    late = '{"stream_id": "acc-1", "event_type": "Closed", "why": "fraud"}\n'
    (tmp_path / "a.ndjson").write_text(deposit(1) * 20_000 + late)
    columns = {"stream_id": "stream_id", "event_type": "event_type", "actor": "*.why"}
    load(log, wb.files(tmp_path / "a.ndjson", columns=columns))
    assert rows(log, "SELECT actor, count(*) FROM events GROUP BY ALL ORDER BY ALL") == [
        ("fraud", 1),
        (None, 20_000),
    ]


def test_a_file_without_a_column_of_the_others_is_noted(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "1.csv").write_text("stream_id,event_type\na,Opened\n")
    (tmp_path / "2.csv").write_text("event_type,actor,stream_id\nClosed,ann,a\n")
    loaded = load(log, wb.files(tmp_path / "*.csv"))
    assert [(e["event_type"], e["actor"]) for e in in_order(log, "event_type", "actor")] == [
        ("Opened", None),
        ("Closed", "ann"),
    ]
    assert "1.csv: has no column actor" in "".join(loaded.report.notes)


# -- going on ------------------------------------------------------------------------------------


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path, log: wb.EventLog) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(DEPOSIT)
    load(log, wb.files(path))
    before = path.stat()
    path.write_text("x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(log, wb.files(path)).read == 0  # had it been read, this would be another file


def test_a_file_that_was_only_touched_goes_on(tmp_path: Path, log: wb.EventLog) -> None:
    for path in (tmp_path / "a.ndjson", tmp_path / "a.parquet"):
        path.write_text(DEPOSIT) if path.suffix == ".ndjson" else parquet(path, data=["{}"])
        load(log, wb.files(path))
        os.utime(path, (1, 1))
        loaded = load(log, wb.files(path))
        assert loaded.read == 0
        assert loaded.report.completeness[0]["complete"]


@pytest.mark.parametrize("change", ["shorter", "other", "other end"])
def test_a_text_file_that_is_another_one_now_is_an_error(
    tmp_path: Path, log: wb.EventLog, change: str
) -> None:
    path = tmp_path / "a.ndjson"
    old = "".join(map(deposit, range(5000)))
    path.write_text(old)
    load(log, wb.files(path))
    new = {
        "shorter": old[:-1000],
        "other": old.replace("acc-1", "acc-2", 1) + DEPOSIT,
        "other end": old[:-90] + "x" * 90 + DEPOSIT,
    }
    path.write_text(new[change])
    with pytest.raises(SourceDataLost, match=r"a\.ndjson is not the file any more.*5,000 records"):
        load(log, wb.files(path))
    assert rows(log, "SELECT count(*) FROM events") == [(5000,)]


def test_a_parquet_file_that_was_replaced_is_an_error(tmp_path: Path, log: wb.EventLog) -> None:
    path = parquet(tmp_path / "a.parquet", data=["{}"] * 3)
    load(log, wb.files(path))
    parquet(path, data=["{}"] * 4)
    with pytest.raises(SourceDataLost, match=r"a\.parquet is not the file any more"):
        load(log, wb.files(path))


def test_a_file_that_is_gone_is_noted_when_it_was_done_and_an_error_when_not(
    tmp_path: Path, log: wb.EventLog
) -> None:
    (tmp_path / "a.ndjson").write_text(DEPOSIT)
    (tmp_path / "b.ndjson").write_text(DEPOSIT * 9)
    source = wb.files(tmp_path / "*.ndjson")
    with pytest.raises(SourceUnavailable):
        load(log, Dying(replace(source, limits=Limits(2)), 2))  # type: ignore[arg-type]  # a Source, too
    (tmp_path / "a.ndjson").unlink()
    assert "1 files that were loaded are not there any more" in "".join(
        load(log, source).report.notes
    )
    assert rows(log, "SELECT count(*) FROM events") == [(10,)]

    other = wb.files(tmp_path / "*.ndjson", name="other")
    with pytest.raises(SourceUnavailable):
        load(log, Dying(replace(other, limits=Limits(2)), 2))  # type: ignore[arg-type]  # a Source, too
    (tmp_path / "b.ndjson").rename(tmp_path / "c.ndjson")
    with pytest.raises(SourceDataLost, match=r"b\.ndjson is gone; 4 of its records"):
        load(log, other)


def test_a_half_written_line_is_left_for_the_next_load(tmp_path: Path, log: wb.EventLog) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(deposit(1) + deposit(2)[:50])
    loaded = load(log, wb.files(path))
    assert (loaded.read, loaded.rejected) == (1, 0)
    assert "the last 50 bytes are no whole record yet" in "".join(loaded.report.notes)
    assert not loaded.report.completeness[0]["complete"]
    path.write_text(deposit(1) + deposit(2) + deposit(3))
    assert load(log, wb.files(path)).stored == 2
    assert data(log) == [f'{{"amount": {n}.10}}' for n in (1, 2, 3)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", ["ndjson", "csv"])
def test_a_whole_last_line_is_read_without_its_newline_and_only_once(
    tmp_path: Path, log: wb.EventLog, suffix: str, end: str
) -> None:
    lines = {
        "ndjson": [deposit(n).rstrip() for n in (1, 2, 3)],
        "csv": ["stream_id,event_type,data", "acc-1,DepositMade,1", "acc-1,DepositMade,2"],
    }[suffix]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(end.join(lines[:2]).encode())
    load(log, wb.files(path))
    path.write_bytes(end.join(lines).encode())
    load(log, wb.files(path))
    path.write_bytes((end.join(lines) + end).encode())
    assert load(log, wb.files(path)).read == 0
    numbers = {"ndjson": ["1", "2", "3"], "csv": ["2", "3"]}[suffix]
    assert [event["source_position"] for event in in_order(log, "source_position")] == [
        f"a.{suffix}#{number}" for number in numbers
    ]


def test_a_record_that_was_written_on_after_it_was_read_is_an_error(
    tmp_path: Path, log: wb.EventLog
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("stream_id,event_type,data\nacc-1,DepositMade,1")
    load(log, wb.files(path))
    path.write_text("stream_id,event_type,data\nacc-1,DepositMade,100\n")
    with pytest.raises(SourceDataLost, match="line 2 had no newline"):
        load(log, wb.files(path))


def test_a_half_written_csv_record_is_left_for_the_next_load(
    tmp_path: Path, log: wb.EventLog
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("stream_id,event_type,data\nacc-1,DepositMade,1\nacc-1,Depo")
    loaded = load(log, wb.files(path))
    assert (loaded.read, loaded.rejected) == (1, 0)
    assert "10 bytes" in "".join(loaded.report.notes)


def test_an_empty_file_has_no_events_yet(tmp_path: Path, log: wb.EventLog) -> None:
    for suffix, header in (("ndjson", ""), ("csv", "stream_id,event_type,data\n")):
        path = tmp_path / f"a.{suffix}"
        path.write_text("")
        assert load(log, wb.files(path)).read == 0
        path.write_text(header)
        assert load(log, wb.files(path)).read == 0
        path.write_text(header + (DEPOSIT if not header else "acc-1,DepositMade,1\n"))
        assert load(log, wb.files(path)).stored == 1


def test_the_total_is_about_right(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(DEPOSIT * 1000)
    (tmp_path / "a.csv").write_text("stream_id,event_type\n" + "acc-1,Opened\n" * 1000)
    parquet(tmp_path / "a.parquet", data=["{}"] * 1000)
    for suffix in ("ndjson", "csv", "parquet"):
        with wb.files(tmp_path / f"a.{suffix}").read(None) as reading:
            assert reading.total == pytest.approx(1000, abs=1)
    with gzip.open(tmp_path / "a.ndjson.gz", "wt") as file:
        file.write(DEPOSIT)
    with wb.files(tmp_path / "a.ndjson.gz").read(None) as reading:
        assert reading.total is None


# -- NDJSON --------------------------------------------------------------------------------------


def test_empty_lines_are_no_records_but_count_as_lines(tmp_path: Path, log: wb.EventLog) -> None:
    path = tmp_path / "a.ndjson"
    record = DEPOSIT.strip().encode()
    path.write_bytes(b"\xef\xbb\xbf\r\n" + record + b"\r\n\r\n\n" + record + b"\r\n")
    loaded = load(log, replace(wb.files(path), limits=Limits(1, 10)))
    assert (loaded.read, loaded.stored) == (2, 2)
    assert [event["source_position"] for event in in_order(log, "source_position")] == [
        "a.ndjson#2",
        "a.ndjson#5",
    ]


def test_keys_written_with_escapes_are_the_same_keys(tmp_path: Path, log: wb.EventLog) -> None:
    line = r'{"stream\u005fid": "a\u002d1", "event_type": "T", "d\u0061ta": {"a\u0062": "\u00e9"}}'
    (tmp_path / "a.ndjson").write_text(line)
    load(log, wb.files(tmp_path / "a.ndjson"))
    assert as_events(log, ["stream_id", "data"]) == [
        {"stream_id": "a-1", "data": r'{"a\u0062": "\u00e9"}'}
    ]


def test_scalars_keep_their_digits_and_null_is_unknown(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.ndjson").write_text(
        '{"stream_id": 12345678901234567.890, "event_type": "T", "event_id": 123456789012345678901234567890, '
        '"version": 9007199254740993, "actor": null, "data": null}'
    )
    load(log, wb.files(tmp_path / "a.ndjson"))
    (found,) = as_events(log, ["stream_id", "event_id", "version", "actor", "data"])
    assert list(found.values()) == [
        "12345678901234567.890", "123456789012345678901234567890", 9007199254740993, None, None,
    ]  # fmt: skip


def test_a_json_array_is_told_apart(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.json").write_text("[\n" + DEPOSIT + "]")
    with pytest.raises(SourceError, match=r"one JSON array[\s\S]*jq"):
        load(log, wb.files(tmp_path / "a.json"))


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('a"\\{}[]:, é😀\n\0/')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", 'q"', ""]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
JUNK = st.text(st.sampled_from('{}[]:,"\\ a1é'), min_size=1, max_size=12).filter(
    lambda text: not is_object(text)
)


@settings(deadline=None, max_examples=60)
@given(
    written=st.lists(VALUES.map(lambda value: {"data": value}) | JUNK, min_size=1, max_size=8),
    ascii=st.booleans(),
    comma=st.sampled_from([",", ", "]),
)
def test_payloads_are_cut_out_as_they_stand_whatever_stands_beside_them(
    tmp_path_factory: pytest.TempPathFactory,
    written: Sequence[dict[str, Any] | str],
    ascii: bool,
    comma: str,
) -> None:
    lines = ['{"stream_id": "a", "event_type": "T", "data": null}'] + [
        item
        if isinstance(item, str)
        else json.dumps(
            {"stream_id": "a", "event_type": "T", **item},
            ensure_ascii=ascii,
            separators=(comma, " : "),
        )
        for item in written
    ]
    path = tmp_path_factory.getbasetemp() / "written.ndjson"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = columns_of(wb.files(path), "data", "*problem")[1:]
    for item, line, (value, problem) in zip(written, lines[1:], found, strict=True):
        if isinstance(item, str):
            assert problem is not None
        elif item["data"] is None:
            assert (value, problem) == (None, None)
        else:
            assert value in line
            assert json.loads(value) == item["data"]


# -- CSV -----------------------------------------------------------------------------------------

FIELDS = st.text(st.sampled_from('ab",\n\r;é \t'), max_size=5).filter(lambda text: "\r" not in text)


@given(
    written=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
    read_at_once=st.integers(1, 60),
)
@settings(deadline=None, max_examples=60)
def test_csv_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[str, str, str]],
    quoting: Any,
    delimiter: str,
    end: str,
    read_at_once: int,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, delimiter=delimiter, lineterminator=end)
    writer.writerow(["stream_id", "event_type", "data"])
    writer.writerows(written)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(text.getvalue().encode())
    source = replace(wb.files(path), limits=Limits(3, read_at_once))
    empty = "" if quoting == csv.QUOTE_ALL else None
    assert columns_of(source, "stream_id", "event_type", "data") == [
        [field or empty for field in record] for record in written
    ]


def test_a_quote_inside_a_bare_field_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'stream_id,event_type,data\na,T,1\n5" pipe,6" x 7",8\nb,T,"2,\n3"\nc,T,"say ""hi"""\n'
    )
    assert columns_of(
        wb.files(tmp_path / "a.csv"), "stream_id", "event_type", "data"
    ) == [
        ["a", "T", "1"], ['5" pipe', '6" x 7"', "8"], ["b", "T", "2,\n3"], ["c", "T", 'say "hi"'],
    ]  # fmt: skip


def test_a_quote_that_is_never_closed_costs_one_line(tmp_path: Path, log: wb.EventLog) -> None:
    good = "".join(f"acc-1,DepositMade,{n}\n" for n in range(50))
    path = tmp_path / "a.csv"
    path.write_text(f'stream_id,event_type,data\n{good}acc-1,"DepositMade,1\n{good}')
    loaded = load(log, wb.files(path))
    assert (loaded.stored, loaded.rejected) == (100, 1)
    ((raw, reason, at),) = rejects(log)
    assert (raw, at) == (b'acc-1,"DepositMade,1', "a.csv#52")
    assert "not CSV" in reason


def test_coordinates_are_lines_also_where_fields_hold_newlines(
    tmp_path: Path, log: wb.EventLog
) -> None:
    (tmp_path / "a.csv").write_text('stream_id,event_type,data\n"a\n\nb",T,1\n\nc,T,2\nd,T\n')
    load(log, wb.files(tmp_path / "a.csv"))
    assert [event["source_position"] for event in in_order(log, "source_position")] == [
        "a.csv#2",
        "a.csv#6",
    ]
    assert rejects(log) == [(b"d,T", "2 fields where the header has 3", "a.csv#7")]


def test_the_header_may_be_one_long_quoted_line_with_a_byte_order_mark(
    tmp_path: Path, log: wb.EventLog
) -> None:
    (tmp_path / "a.csv").write_bytes('\ufeff"stream_id","event_type"\r\na,T\r\n'.encode())
    assert load(log, wb.files(tmp_path / "a.csv")).stored == 1


def test_two_columns_of_one_name_are_refused(tmp_path: Path, log: wb.EventLog) -> None:
    (tmp_path / "a.csv").write_text("stream_id,event_type,data,data\n")
    with pytest.raises(SourceError, match="names data more than once"):
        load(log, wb.files(tmp_path / "a.csv"))


# -- Parquet -------------------------------------------------------------------------------------


def test_nested_payloads_become_json_with_exact_decimals(tmp_path: Path, log: wb.EventLog) -> None:
    kind = pa.struct(
        [
            ("amount", pa.decimal128(10, 2)),
            ("lines", pa.list_(pa.struct([("price", pa.decimal128(38, 4))]))),
            ("tags", pa.map_(pa.string(), pa.int64())),
            ("at", pa.timestamp("us", "UTC")),
        ]
    )
    value = {
        "amount": Decimal("1.10"),
        "lines": [{"price": Decimal("1234567890123456789012345678901234.5600")}],
        "tags": [("é", 2**63 - 1)],
        "at": dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC),
    }
    parquet(tmp_path / "a.parquet", data=pa.array([value, None], kind))
    load(log, wb.files(tmp_path / "a.parquet"))
    assert data(log) == [
        '{"amount":1.10,"lines":[{"price":1234567890123456789012345678901234.5600}],'
        '"tags":{"é":9223372036854775807},"at":"2026-06-30 14:02:00+00"}',
        None,
    ]


def test_naive_times_need_a_time_zone(tmp_path: Path, log: wb.EventLog) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        occurred_at=pa.array([dt.datetime(2026, 6, 30, 14, 2)], pa.timestamp("ms")),  # noqa: DTZ001  # naive on purpose
    )
    with pytest.raises(ConfigError, match=r"says no time zone[\s\S]*timezone="):
        load(log, wb.files(path))
    load(log, wb.files(path, timezone="Europe/Madrid"))
    assert as_events(log, ["occurred_at"]) == [
        {"occurred_at": dt.datetime(2026, 6, 30, 12, 2, tzinfo=dt.UTC)}
    ]


def test_ids_of_any_type_become_text(tmp_path: Path, log: wb.EventLog) -> None:
    identity = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
    pq.write_table(
        pa.table(
            {
                "stream_id": pa.array([identity.bytes], pa.uuid()),
                "event_type": pa.array(["DepositMade"]).dictionary_encode(),
                "event_id": pa.array([b"e-1"], pa.binary()),
                "correlation_id": pa.array([2**64 - 1], pa.uint64()),
                "version": pa.array([7], pa.int16()),
            }
        ),
        tmp_path / "a.parquet",
    )
    load(log, wb.files(tmp_path / "a.parquet"))
    names = ["stream_id", "event_type", "event_id", "correlation_id", "version"]
    assert list(as_events(log, names)[0].values()) == [
        str(identity), "DepositMade", "e-1", str(2**64 - 1), 7,
    ]  # fmt: skip


def test_bytes_that_are_no_text_are_rejects(tmp_path: Path, log: wb.EventLog) -> None:
    parquet(tmp_path / "a.parquet", data=[b'{"n": 1}', b"\xff"])
    loaded = load(log, wb.files(tmp_path / "a.parquet"))
    assert (loaded.stored, loaded.rejected) == (1, 1)
    assert rejects(log)[0][1:] == ("data is not UTF-8 text", "a.parquet#2")


def test_folders_of_partitions_are_columns(tmp_path: Path, log: wb.EventLog) -> None:
    for kind in ("Opened", "Closed"):
        folder = tmp_path / f"event_type={kind}"
        folder.mkdir()
        pq.write_table(pa.table({"stream_id": ["a"]}), folder / "part.parquet")
    load(log, wb.files(tmp_path / "**/*.parquet"))
    found = in_order(log, "event_type", "source_position")
    assert [(event["event_type"], event["source_position"]) for event in found] == [
        ("Closed", "event_type=Closed/part.parquet#1"),
        ("Opened", "event_type=Opened/part.parquet#1"),
    ]


def test_columns_whose_types_do_not_agree_are_refused(tmp_path: Path, log: wb.EventLog) -> None:
    parquet(tmp_path / "1.parquet", version=pa.array([1], pa.int32()))
    parquet(tmp_path / "2.parquet", version=pa.array([2], pa.int64()))
    load(log, wb.files(tmp_path / "*.parquet", name="widths"))
    assert [event["version"] for event in in_order(log, "version")] == [1, 2]
    parquet(tmp_path / "3.parquet", version=["three"])
    with pytest.raises(ConfigError, match=r"version is INTEGER in 1\.parquet, but VARCHAR in 3"):
        load(log, wb.files(tmp_path / "*.parquet", name="kinds"))


@pytest.mark.parametrize("suffix", ["ndjson", "csv", "parquet"])
def test_batches_are_bounded_by_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    payload = '{"long": "' + "x" * 50_000 + '"}'
    if suffix == "parquet":
        parquet(path, data=[payload] * 400)
    elif suffix == "csv":
        quoted = payload.replace('"', '""')
        path.write_text("stream_id,event_type,data\n" + f'a,T,"{quoted}"\n' * 400)
    else:
        path.write_text(f'{{"stream_id": "a", "event_type": "T", "data": {payload}}}\n' * 400)
    with replace(wb.files(path), limits=Limits(bytes=4 << 20)).read(None) as reading:
        sizes = [batch.rows.nbytes for batch in reading.batches()]
    assert max(sizes) < 16 << 20
    assert len(sizes) >= 3


def test_columns_that_the_mapping_leaves_out_are_named(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("stream_id,event_type,data,branch\nacc-1,AccountOpened,{},north\n")
    loaded = wb.open().load(wb.files(path), progress=False)
    assert loaded.report.notes == (
        "not loaded, since the mapping names no such column: branch (columns={'data': '*'} keeps whole records)",
    )


def test_another_spelling_of_a_path_is_the_same_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("events.ndjson").write_text('{"stream_id": "acc-1", "event_type": "AccountOpened"}\n')
    log = wb.open()
    log.load(wb.files("events.ndjson"), progress=False)
    again = log.load(wb.files("./events.ndjson"), progress=False)
    assert (again.read, len(log)) == (0, 1)
