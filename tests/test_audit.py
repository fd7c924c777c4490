"""Audit: the timeline, what can be vouched for, and how an alteration shows."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
import workbench.charts
from tests.fix_log import MakeLog, Written
from workbench.analysis.audit import Audit, Head
from workbench.bundled import sample
from workbench.event import COLUMNS

EVENTS: list[dict[str, Any]] = [
    {
        "stream_id": "acc-1",
        "event_type": "Opened",
        "actor": "ada",
        "recorded_at": "2026-01-01T00:00Z",
        "data": {"owner": "Ada"},
    },
    {
        "stream_id": "acc-1",
        "event_type": "Frozen",
        "actor": "bob",
        "recorded_at": "2026-01-02T00:00Z",
        "data": {"reason": "a court order"},
    },
    {
        "stream_id": "acc-2",
        "event_type": "Opened",
        "recorded_at": "2026-01-03T00:00Z",
        "metadata": {"comment": "by phone"},
    },
]


def said(audit: Audit, about: str) -> list[str]:
    return [
        line
        for line, item in zip(
            audit.completeness.sentences, audit.completeness.findings, strict=True
        )
        if item.about == about
    ]


# -- timeline ------------------------------------------------------------------------------------


def test_who_did_what_and_why(make_log: MakeLog) -> None:
    rows = make_log(EVENTS).audit("acc-1").rows()
    assert [(row["version"], row["event_type"], row["actor"], row["reason"]) for row in rows] == [
        (1, "Opened", "ada", None),
        (2, "Frozen", "bob", "a court order"),
    ]


def test_reasons_are_looked_for_where_they_are_said_to_be(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    assert [row["reason"] for row in log.audit().rows()] == [None, "a court order", "by phone"]
    assert [row["reason"] for row in log.audit(reason="owner").rows()] == ["Ada", None, None]
    assert [row["reason"] for row in log.audit(reason=["event.actor"]).rows()] == [
        "ada",
        "bob",
        None,
    ]
    assert log.audit(reason=[]).notes == ("3 of 3 events give no reason",)


def test_a_stream_that_is_not_there(make_log: MakeLog) -> None:
    with pytest.raises(wb.errors.StreamNotFound, match="Did you mean 'acc-1'"):
        make_log(EVENTS).audit("acc1")


def test_missing_versions_clashes_and_times_that_go_back(make_log: MakeLog) -> None:
    log = make_log(
        [
            {"stream_id": "a", "version": 3, "recorded_at": "2026-01-01T00:00Z"},
            {"stream_id": "a", "version": 4, "recorded_at": "2026-01-02T00:00Z"},
            {"stream_id": "a", "version": 9, "recorded_at": "2026-01-01T12:00Z"},
            {"stream_id": "a", "version": 9, "recorded_at": "2026-01-04T00:00Z"},
        ]
    )
    audit = log.audit("a")
    assert [(row["missing_before"], row["clash"], row["backwards"]) for row in audit.rows()] == [
        (2, False, False), (0, False, False), (4, True, True), (0, True, False),
    ]  # fmt: skip
    assert said(audit, "versions") == [
        "✗ 4 versions are missing in 1 gap: what happened there is not in this log."
    ]
    assert said(audit, "beginnings")[0].startswith("✗ 1 stream does not begin at the first version")
    assert said(audit, "order")[0].startswith("✗ 2 events share their stream and version")
    assert said(audit, "times")[0].startswith("✗ 1 event claims to be recorded before the one")
    assert [tuple(row.values()) for row in audit.gaps().rows()] == [("a", 0, 3, 2), ("a", 4, 9, 4)]


def test_a_narrowed_log_makes_no_gaps(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a", "event_type": kind} for kind in "xyxyx"])
    assert log.where(types="x").audit().counts.missing == 0


def test_a_sound_log_says_so(make_log: MakeLog) -> None:
    audit = make_log(EVENTS[:2]).audit()
    assert [item.about for item in audit.completeness.findings if item.vouched is False] == []
    assert said(audit, "versions")[0].startswith("✓")
    assert said(audit, "ends")[0].startswith("?")
    assert said(audit, "contents")[0].startswith("?")


def test_rejects_and_duplicates_are_told(make_log: MakeLog) -> None:
    one = {**EVENTS[0], "event_id": "e1", "version": 1}
    audit = make_log([one, one, {**one, "data": {"owner": "Eve"}}]).audit()
    assert said(audit, "rejects") == [
        "✗ 1 record of test could not become events, of whatever stream: log.rejects() holds them."
    ]
    assert said(audit, "duplicates") == [
        "✓ 1 record of test repeat an event; each event is here once."
    ]


def test_events_that_were_taken_out_are_missed(tmp_path: Path) -> None:
    audit = altered(tmp_path, "DELETE FROM log.main.events_tail WHERE position = 3").audit()
    assert said(audit, "counts") == [
        "✗ 3 of test were stored, and the log holds 2: it was altered by other means than loading."
    ]


def test_an_empty_log_vouches_for_nothing() -> None:
    audit = wb.open().audit()
    assert audit.completeness.findings[0].vouched is None
    assert audit.head == Head(0, 0, hashlib.sha256().hexdigest())
    assert "no events" in repr(audit)


def test_the_card_tells_the_same_in_text_and_html(make_log: MakeLog) -> None:
    audit = make_log([*EVENTS, {"stream_id": "<script>x</script>", "version": 4}]).audit()
    assert "a court order" in repr(audit)
    assert "a court order" in audit._repr_html_()
    assert "<script>" not in audit._repr_html_()
    assert str(audit.head) in repr(audit)


# -- the chain -----------------------------------------------------------------------------------


def canonical(row: dict[str, Any]) -> bytes:
    """What the module's documentation says, written down again without any of its code."""
    parts = []
    for name, kind in COLUMNS.items():
        value = row[name]
        if kind in ("VARCHAR", "JSON"):
            raw = b"" if value is None else value.encode()
            parts.append((b"" if value is None else str(len(raw)).encode()) + b":" + raw)
        elif kind == "TIMESTAMPTZ":
            micros = None if value is None else (value - EPOCH) // dt.timedelta(microseconds=1)
            parts.append((b"" if micros is None else str(micros).encode()) + b";")
        else:
            parts.append((b"" if value is None else str(value).encode()) + b";")
    return b"".join(parts)


def heads_of(rows: list[dict[str, Any]]) -> tuple[dict[str, str], str]:
    streams: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        streams.setdefault(row["stream_id"], []).append(row)
    found, whole = {}, hashlib.sha256()
    for name in sorted(streams, key=str.encode):
        order = sorted(
            streams[name],
            key=lambda row: (row["version"] is None, row["version"] or 0, row["position"]),
        )
        found[name] = hashlib.sha256(b"".join(map(canonical, order))).hexdigest()
        line = f"{len(name.encode())}:{name} {len(order)} {found[name]}\n"
        whole.update(line.encode())
    return found, whole.hexdigest()


EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"stream_id": TEXT.filter(bool), "event_type": TEXT.filter(bool)},
            optional={
                "actor": TEXT,
                "version": st.one_of(st.none(), st.integers(-5, 2**62)),
                "data": st.dictionaries(TEXT, TEXT, max_size=2),
                "recorded_at": st.integers(-(2**50), 2**52).map(
                    lambda micros: (EPOCH + dt.timedelta(microseconds=micros)).isoformat()
                ),
            },
        ),
        max_size=8,
    )
)
def test_another_program_computes_the_same_heads(events: list[dict[str, Any]]) -> None:
    with wb.open() as log:
        log.load(Written(events), progress=False)
        audit = log.audit()
        streams, whole = heads_of(log.sql("FROM events").rows())
        assert {row["stream_id"]: row["sha256"] for row in audit.heads.rows()} == streams
        assert audit.head.sha256 == whole


def test_infinite_times_are_not_unknown_times(make_log: MakeLog) -> None:
    heads = {
        make_log([{"stream_id": "a", "recorded_at": value}]).audit().head.sha256
        for value in (None, "infinity", "-infinity")
    }
    assert len(heads) == 3


def test_the_head_does_not_depend_on_where_events_lie(tmp_path: Path) -> None:
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(wb.files(sample("bank").events), progress=False)
        before = log.audit().head
        log.settle()
        assert log.audit().head == before


def test_an_earlier_head_holds_when_events_have_come_since(tmp_path: Path) -> None:
    with wb.open() as log:
        log.load(Written(EVENTS[:2], name="one"), progress=False)
        earlier = str(log.audit().head)
        log.load(Written(EVENTS[2:], name="two"), progress=False)
        assert log.audit().check(earlier).ok
        assert str(log.audit().head) != earlier


@pytest.mark.parametrize("head", ["", "12-12", f"1-1-{'g' * 64}", "not/a/folder"])
def test_what_is_no_head(make_log: MakeLog, head: str) -> None:
    with pytest.raises(wb.errors.ConfigError, match="is no head of a chain"):
        make_log(EVENTS).audit().check(head)


# -- alterations ---------------------------------------------------------------------------------


def altered(folder: Path, statement: str) -> wb.EventLog:
    """A log with a change that no load made; ``folder/pack`` and ``folder/head`` are from before."""
    log = wb.open(folder / "log.duckdb")
    log.load(Written(EVENTS), progress=False)
    audit = log.audit()
    (folder / "head").write_text(str(audit.head))
    audit.pack(folder / "pack")
    with log._view.database.writing() as con:
        con.execute(statement)
    return log


OTHER = {
    "BIGINT": "77",
    "VARCHAR": "'other'",
    "JSON": "'{\"a\": 1}'",
    "TIMESTAMPTZ": "'2020-01-01T00:00Z'",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_to_any_column_is_found_and_named(tmp_path: Path, column: str) -> None:
    change = f"UPDATE log.main.events_tail SET {column} = {OTHER[COLUMNS[column]]} WHERE event_id = 'test/1'"
    with altered(tmp_path, change) as log:
        audit = log.audit()
        checked = audit.check((tmp_path / "head").read_text())
        assert not checked.ok
        assert checked.verdict.startswith("altered: ")
        named = audit.check(tmp_path / "pack")
        if column == "event_id":  # the one that was there is gone, and another is there
            assert (named.counts["missing"], named.counts["added"]) == (1, 1)
        elif column == "position":  # it lies behind what the pack covers
            assert not named.ok
        else:
            (row,) = named.rows()
            assert (row["what"], row["event_id"], row["columns"]) == ("changed", "test/1", [column])


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ("DELETE FROM log.main.events_tail WHERE position = 2", (2, 0, 1, 0)),
        (
            "INSERT INTO log.main.events_tail (position, stream_id, event_id, event_type) VALUES (2, 'acc-1', 'new', 'Opened')",
            (3, 0, 0, 1),
        ),
        ("UPDATE log.main.events_tail SET data = replace(data, 'Ada', 'Eve')", (3, 1, 0, 0)),
        (
            "UPDATE log.main.events_tail SET data = replace(data, ':', ' :') WHERE position = 1",
            (3, 1, 0, 0),
        ),
    ],
)
def test_an_alteration_is_found_and_named(
    tmp_path: Path, change: str, counts: tuple[int, ...]
) -> None:
    with altered(tmp_path, change) as log:
        assert not log.audit().check((tmp_path / "head").read_text()).ok
        checked = log.audit().check(tmp_path / "pack")
        assert tuple(checked.counts.values()) == counts
        assert not checked.ok


def test_nothing_altered_is_nothing_found(tmp_path: Path) -> None:
    with altered(tmp_path, "SELECT 1") as log:
        checked = log.audit().check(tmp_path / "pack")
        assert (checked.ok, len(checked)) == (True, 0)
        assert checked.verdict == "3 events are the same on both sides"


# -- against the source --------------------------------------------------------------------------


def test_the_source_read_again_says_the_same(tmp_path: Path) -> None:
    with wb.open() as log:
        source = wb.files(sample("bank").events)
        log.load(source, progress=False)
        checked = log.audit("acc-000103").check(source)
        assert checked.ok
        assert checked.counts["compared"] == 70


def test_what_the_source_says_otherwise_is_named(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    now = [
        EVENTS[0] | {"actor": "eve", "source_position": "0"},
        EVENTS[2] | {"source_position": "2"},
        EVENTS[1] | {"source_position": "9", "version": 2},
    ]
    checked = log.audit().check(Written(now))
    assert [(row["what"], row["event_id"], row["columns"]) for row in checked.rows()] == [
        ("changed", "test/0", ["actor"]),
        ("missing", "test/1", None),
        ("added", "test/9", None),
    ]
    assert checked.counts == {"compared": 2, "changed": 1, "missing": 1, "added": 1}
    assert len(checked.notes) == 2


def test_a_source_that_was_never_loaded(make_log: MakeLog) -> None:
    with pytest.raises(wb.errors.ConfigError, match="was not loaded from 'other'"):
        make_log(EVENTS).audit().check(Written(EVENTS, name="other"))


# -- a damaged file ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "bank.duckdb"
    with wb.open(path) as log:
        log.load(wb.files(sample("bank").events), progress=False)
    return path


def test_every_flipped_byte_of_a_file_is_found_and_named(bank: Path, tmp_path: Path) -> None:
    raw = bytearray(bank.read_bytes())
    assert wb.verify(bank).ok
    damaged = tmp_path / "damaged.duckdb"
    draw = random.Random(7)
    places = [
        0,
        5,
        4096,
        8191,
        12_288,
        len(raw) - 1,
        *(draw.randrange(len(raw)) for _ in range(24)),
    ]
    for place in places:
        raw[place] ^= 1 << draw.randrange(8)
        damaged.write_bytes(raw)
        (finding,) = wb.verify(damaged).findings
        start, end = finding.what.partition("(bytes ")[2].partition(")")[0].split(" to ")
        assert int(start.replace(",", "")) <= place <= int(end.replace(",", ""))
        raw[:] = bank.read_bytes()


def test_a_damaged_block_says_what_it_holds(bank: Path, tmp_path: Path) -> None:
    raw = bytearray(bank.read_bytes())
    place = raw.find(b"12345")  # any of the file's data will do
    place = place if place > 12_288 else 2_000_000
    raw[place] ^= 1
    (tmp_path / "damaged.duckdb").write_bytes(raw)
    (finding,) = wb.verify(tmp_path / "damaged.duckdb").findings
    assert "it holds events_base." in finding.what


def test_a_query_that_meets_a_damaged_block_says_which(bank: Path, tmp_path: Path) -> None:
    raw = bytearray(bank.read_bytes())
    size, first = 262_144, 12_288
    damaged = tmp_path / "damaged.duckdb"
    for block in range((len(raw) - first) // size):
        raw[first + block * size + 100_000] ^= 1
    damaged.write_bytes(raw)
    with (
        pytest.raises(wb.errors.LogCorrupt, match="damaged"),
        wb.open(damaged, read_only=True) as log,
    ):
        log.audit()
    raw[:] = bank.read_bytes()
    raw[first + 14 * size + 100_000] ^= 1
    damaged.write_bytes(raw)
    with (
        wb.open(damaged, read_only=True) as log,
        pytest.raises(wb.errors.LogCorrupt, match=r"block 14, at byte 3,682,304, does not match"),
    ):
        log.sql("SELECT * FROM events").df()


def test_a_file_that_was_cut_off_or_grew(bank: Path, tmp_path: Path) -> None:
    raw = bank.read_bytes()
    for name, content in (("cut", raw[:-300_000]), ("grown", raw + b"x")):
        (tmp_path / name).write_bytes(content)
        assert "the end of the file" in wb.verify(tmp_path / name).findings[-1].what
    (tmp_path / "none").write_bytes(b"short")
    with pytest.raises(wb.errors.LogCorrupt, match="ends within its headers"):
        wb.verify(tmp_path / "none")


def test_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(wb.errors.ConfigError, match="no folder of a pack"):
        wb.verify(tmp_path / "nothing")


# -- pictures ------------------------------------------------------------------------------------


def test_the_chart_shows_people_and_holes(make_log: MakeLog, tmp_path: Path) -> None:
    events = [
        {
            "stream_id": "a",
            "version": n,
            "actor": f"p{n % 3}",
            "recorded_at": f"2026-01-{n:02d}T00:00Z",
        }
        for n in (1, 2, 3, 7, 8)
    ]
    chart = make_log(events).audit().chart()
    assert "3 versions missing in 1 stream" in chart.to_dict()["description"]
    assert "3 missing before version 7" in json.dumps(chart.to_dict())
    workbench.charts.save(chart, tmp_path / "audit.png")


def test_the_chart_of_many_events_gathers_them(bank: Path, tmp_path: Path) -> None:
    with wb.open(bank, read_only=True) as log:
        chart = log.audit().chart()
        assert "gathered in 400 slices" in chart.to_dict()["description"]
        assert len(json.dumps(chart.to_dict())) < 1_500_000
        workbench.charts.save(chart, tmp_path / "audit.png")


def test_the_chart_of_events_without_times(make_log: MakeLog, tmp_path: Path) -> None:
    chart = make_log([{"stream_id": "a"}]).audit().chart()
    workbench.charts.save(chart, tmp_path / "audit.png")
    assert "1 event without a time not drawn" in chart.to_dict()["description"]
