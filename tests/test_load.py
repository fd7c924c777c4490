"""Loading: exactly once, whatever breaks; nothing lost, nothing changed, and the counts add up."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.fix_log import Written
from workbench.errors import LoadError, LogLocked, MomentError, SourceUnavailable
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.base import Batch, Bookmark, Report, Shape
from workbench.store import settle

Event = Mapping[str, Any]

#: Payloads as text: whether they are JSON is for the log to say.
SHAPE = Shape(
    {
        name: name if COLUMNS[name] == "JSON" else f"CAST({name} AS {COLUMNS[name]})"
        for name in MAPPABLE
    }
)


@dataclass(frozen=True)
class Listed:
    """A source of events that stand in a list, in batches, from a bookmark; it can break where a test wants."""

    events: Sequence[Event]
    rows: int = 4
    breaks_at: int | None = None  # raise before this batch of the pass
    error: Callable[[], BaseException] = lambda: SourceUnavailable("the line is dead")
    name: str = "listed"
    kind: str = "test"
    shape: Shape = SHAPE
    start: int = 0
    total: int | None = None
    unopenable: bool = False
    read_from: list[int] = field(default_factory=list)

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[Listed]:
        if self.unopenable:
            raise self.error()
        yield replace(self, start=bookmark["next"] if bookmark else 0)

    def batches(self) -> Iterator[Batch]:
        self.read_from.append(self.start)
        for nth, first in enumerate(range(self.start, len(self.events), self.rows)):
            if nth == self.breaks_at:
                raise self.error()
            chosen = self.events[first : first + self.rows]
            columns = {
                name: pa.array(
                    [_text(one, name, first + n) for n, one in enumerate(chosen)], pa.string()
                )
                for name in [*MAPPABLE, "raw"]
            }
            yield Batch(pa.table(columns), {"next": first + len(chosen)})

    def report(self) -> Report:
        return Report(watermark=f"row {len(self.events)}")


def _text(event: Event, name: str, place: int) -> str | None:
    value = event.get(name, place if name == "source_position" else None)
    return value if value is None or isinstance(value, str) else str(value)


def event(n: int, **columns: Any) -> dict[str, Any]:
    made = {"stream_id": f"s{n % 3}", "version": n // 3 + 1, "event_type": "Happened"}
    return {**made, "event_id": f"e{n}", "data": f'{{"n": {n}.10}}', **columns}


EVENTS = [event(n) for n in range(23)]


def content(log: wb.EventLog) -> list[tuple[Any, ...]]:
    """Everything that a log says of its events, positions and all."""
    return log.sql("SELECT * FROM events ORDER BY position").relation.fetchall()


def loaded_once(events: Sequence[Event] = EVENTS) -> tuple[str, list[tuple[Any, ...]]]:
    with wb.open() as log:
        log.load(Listed(events), progress=False)
        return log.fingerprint(), content(log)


def counted(log: wb.EventLog) -> None:
    """Check that every load's counts add up, and that the log holds what was stored."""
    loads = log.loads().rows()
    for load in loads:
        assert load["read"] == load["stored"] + load["duplicate"] + load["rejected"]
    assert len(log) == sum(load["stored"] for load in loads)
    assert len(log.rejects()) == sum(load["rejected"] for load in loads)


# -- exactly once --------------------------------------------------------------------------------


def test_a_second_load_adds_nothing() -> None:
    source = Listed(EVENTS)
    with wb.open() as log:
        first, second = (log.load(source, progress=False) for _ in range(2))
        assert (first.read, first.stored, second.read, second.stored) == (23, 23, 0, 0)
        assert source.read_from == [0, 23]
        assert (log.fingerprint(), content(log)) == loaded_once()
        counted(log)


def test_a_source_that_forgets_its_bookmark_adds_nothing_either() -> None:
    with wb.open() as log:
        log.load(Written(EVENTS), progress=False)
        again = log.load(Written(EVENTS), progress=False)
        assert (again.read, again.stored, again.duplicate) == (23, 0, 23)
        assert len(log.duplicates()) == 0  # the same record read again is no repetition
        counted(log)


def test_positions_count_up_without_holes_over_batches_and_loads() -> None:
    with wb.open() as log:
        log.load(Listed(EVENTS[:10], rows=3), progress=False)
        log.load(Listed(EVENTS, rows=5), progress=False)
        rows = log.sql("SELECT position, event_id FROM events ORDER BY position").rows()
    assert rows == [{"position": n + 1, "event_id": f"e{n}"} for n in range(23)]


@given(
    rows=st.integers(1, 9),
    breaks=st.lists(st.integers(0, 6), max_size=4),
    settles=st.booleans(),
    kind=st.sampled_from([SourceUnavailable, KeyboardInterrupt, RuntimeError]),
)
@oracle.examples(15)
def test_loads_that_break_are_in_the_end_one_load(
    rows: int, breaks: list[int], settles: bool, kind: type[BaseException]
) -> None:
    with wb.open() as log:
        for breaks_at in breaks:
            source = Listed(EVENTS, rows, breaks_at, lambda: kind("no"))
            if breaks_at * rows >= len(EVENTS) - len(log):
                log.load(source, progress=False)
            else:
                with pytest.raises(kind):
                    log.load(source, progress=False)
            if settles:
                log.settle()
        log.load(Listed(EVENTS, rows), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once()
        counted(log)


def test_a_progress_callback_that_raises_loses_nothing() -> None:
    def stop(read: int, total: int | None) -> None:
        if read >= 8:
            raise KeyboardInterrupt

    with wb.open() as log:
        with pytest.raises(KeyboardInterrupt):
            log.load(Listed(EVENTS), progress=stop)
        assert len(log) == 8
        log.load(Listed(EVENTS), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once()


def test_progress_is_told_after_each_batch() -> None:
    told: list[tuple[int, int | None]] = []
    with wb.open() as log:
        log.load(Listed(EVENTS, rows=10, total=25), progress=lambda *said: told.append(said))
    assert told == [(10, 25), (20, 25), (23, 25)]


KILLED = """
    import sys, time, workbench as wb
    from tests.test_load import Listed, event
    class Slow(Listed):
        def batches(self):
            for batch in super().batches():
                yield batch
                time.sleep(0.004)
    print("ready", flush=True)
    with wb.open(sys.argv[1]) as log:
        log.load(Slow([event(n) for n in range(600)], rows=7), progress=False)
"""


def test_a_load_that_is_killed_at_any_moment_is_in_the_end_one_load(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    chance = random.Random(10)
    finished = 0
    for _ in range(10):
        program = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path.cwd()) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.02, 0.4))
            process.send_signal(signal.SIGKILL)
            finished += process.wait() == 0
    assert finished < 10
    events = [event(n) for n in range(600)]
    with wb.open(path) as log:
        log.load(Listed(events, rows=7), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once(events)
        counted(log)


def test_a_load_that_was_killed_is_called_interrupted_by_the_next(tmp_path: Path) -> None:
    with wb.open(tmp_path / "log.duckdb") as log:
        with log._view.database.writing() as con:
            con.execute(
                "INSERT INTO log.main.loads (load_id, source, kind, status, read, stored, duplicate, rejected) "
                "VALUES (1, 'listed', 'test', 'running', 0, 0, 0, 0)"
            )
        log.load(Listed(EVENTS), progress=False)
        assert [row["status"] for row in log.loads().rows()] == ["complete", "interrupted"]


# -- duplicates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_an_event_that_is_there_twice_is_stored_once(rows: int) -> None:
    events = [event(0), event(1), event(0), event(2), event(0)]
    with wb.open() as log:
        loaded = log.load(Listed(events, rows), progress=False)
        assert (loaded.read, loaded.stored, loaded.duplicate) == (5, 3, 2)
        # Wherever the batches end, a duplicate says the same.
        assert [tuple(row.values())[2:] for row in log.duplicates().rows()] == [
            ("2", "e0", 1), ("4", "e0", 1),
        ]  # fmt: skip
        counted(log)


def test_an_event_of_another_source_is_a_duplicate_with_its_coordinates() -> None:
    with wb.open() as log:
        log.load(Listed(EVENTS), progress=False)
        loaded = log.load(Listed(EVENTS[5:], name="copy"), progress=False)
        assert (loaded.stored, loaded.duplicate) == (0, 18)
        assert log.duplicates().rows()[0] == {
            "load_id": 2, "source": "copy", "source_position": "0", "event_id": "e5", "position": 6,
        }  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "other",
    [
        {"data": '{"n": 0.1}'}, {"data": None}, {"stream_id": "s9"}, {"version": None},
        {"event_type": "Other"},
    ],
)  # fmt: skip
def test_the_same_id_with_other_content_is_rejected_with_its_bytes(
    rows: int, other: dict[str, Any]
) -> None:
    raw = '{"id": "e0",  "amount": 1.10, "path": "C:\\\\x41"}'
    shape = replace(SHAPE, raw="raw")
    with wb.open() as log:
        loaded = log.load(
            Listed([event(0), event(0, raw=raw, **other)], rows, shape=shape), progress=False
        )
        assert (loaded.stored, loaded.duplicate, loaded.rejected) == (1, 0, 1)
        (reject,) = log.rejects().rows()
        assert reject["source_position"] == "1"
        assert "event_id e0 is in the log with other content (listed 0)" in reject["reason"]
        assert reject["raw"] == raw.encode()
        assert log.df()["data"].tolist() == ['{"n": 0.10}']
        counted(log)


def test_a_rejected_event_whose_source_keeps_no_bytes_is_written_down_exactly() -> None:
    data = '{"b": 12345678901234567.10,  "b": 1}'
    with wb.open() as log:
        log.load(Listed([event(0), event(0, data=data)]), progress=False)
        (reject,) = log.rejects().rows()
    assert json.loads(reject["raw"])["data"] == data


def test_events_without_an_id_are_told_apart_by_where_they_stand() -> None:
    events = [{**event(n), "event_id": None, "data": "{}"} for n in (0, 0, 0)]
    with wb.open() as log:
        assert log.load(Listed(events), progress=False).stored == 3
        assert log.load(Listed(events, name="other"), progress=False).stored == 3
        assert log.sql("SELECT DISTINCT event_id FROM events ORDER BY 1").rows()[0] == {
            "event_id": "listed/0"
        }


# -- rejects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"stream_id": None}, "no stream_id"),
        ({"event_type": None}, "no event_type"),
        ({"source_position": None}, "no source_position"),
        ({"data": "{'n': 1}"}, "data is not valid JSON"),
        ({"data": ""}, "data is not valid JSON"),
        ({"data": '{"n": 1'}, "data is not valid JSON"),
        ({"data": '{"n": 1} {}'}, "data is not valid JSON"),
        ({"data": '{"n": 01}'}, "data is not valid JSON"),
        ({"metadata": "user=ann"}, "metadata is not valid JSON"),
        ({"data": '"\\ud800"'}, "data is not valid JSON"),
    ],
)
def test_a_record_that_is_no_event_is_rejected_with_its_bytes(
    columns: dict[str, Any], reason: str
) -> None:
    raw = r"as received: \x41 \n 'é' " + repr(columns)
    shape = replace(SHAPE, raw="raw")
    with wb.open() as log:
        source = Listed([event(0), event(1, raw=raw, **columns), event(2)], shape=shape)
        loaded = log.load(source, progress=False)
        assert (loaded.read, loaded.stored, loaded.rejected) == (3, 2, 1)
        (reject,) = log.rejects().rows()
        assert (reject["reason"], reject["raw"]) == (reason, raw.encode())
        assert [row["position"] for row in log.sql("FROM events ORDER BY position").rows()] == [
            1,
            2,
        ]
        counted(log)


def test_bytes_that_are_no_text_are_kept() -> None:
    raw = b"\xff\x00\\x41"
    shape = Shape({"source_position": "'0'"}, reject="'not UTF-8'", raw="bytes")

    class Bytes(Listed):
        def batches(self) -> Iterator[Batch]:
            yield Batch(pa.table({"bytes": pa.array([raw], pa.binary())}), {"next": 1})

    with wb.open() as log:
        log.load(Bytes([], shape=shape), progress=False)
        assert [(row["reason"], row["raw"]) for row in log.rejects().rows()] == [("not UTF-8", raw)]


# -- as received ---------------------------------------------------------------------------------

AS_RECEIVED = [
    '{"amount": 1.10}',
    '{"n": 123456789012345678901234567890, "m": 12345678901234567.890}',
    '{"b": 1, "a": 2, "b": 3}',
    '{ "spaces" :\t[ 1 , 2 ] }\n',
    r'{"escapes": "\u00e9\u0000\/\b\"\\", "path": "C:\\x41"}',
    '{"text": "é 東京 🏦"}',
    "null",
    '"text"',
    "1.0",
    "[]",
    '{"e": 1E5, "f": 1e-7, "g": -0}',
]


def test_payloads_are_kept_as_they_were_received(tmp_path: Path) -> None:
    events = [event(n, data=text, metadata=text) for n, text in enumerate(AS_RECEIVED)]
    definition = wb.Projection("p", {"n": wb.total("amount"), "t": wb.latest("text")})
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Listed(events), progress=False)

        def received() -> list[Any]:
            sql = "SELECT data::VARCHAR AS d, metadata::VARCHAR AS m FROM events ORDER BY position"
            return [value for row in log.sql(sql).rows() for value in (row["d"], row["m"])]

        expected = [text for text in AS_RECEIVED for _ in range(2)]
        assert received() == expected
        log.settle()
        log.prepare(definition)
        assert received() == expected
        assert log.df().sort_values("position")["data"].tolist() == AS_RECEIVED


def test_columns_of_a_batch_may_be_called_as_those_of_an_event() -> None:
    """A shape reads the batch, never a column that another expression of it has made."""
    shape = Shape({**SHAPE.columns, "stream_id": "event_type", "event_type": "stream_id"})
    with wb.open() as log:
        log.load(Listed([event(0)], shape=shape), progress=False)
        assert log.types == {"s0": 1}


# -- typed columns and settling ------------------------------------------------------------------

AMOUNT = wb.Projection("p", {"x": wb.total("n")})


@pytest.mark.parametrize("at_a_time", [1, 7, 10, 39, 1_000])
def test_settling_a_slice_at_a_time_puts_all_events_in_order(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "SORTED_ROWS", at_a_time)
    streams = ["b", "", "ä", "b'", "a", "Z"]
    events = [event(n, stream_id=streams[n % 6], version=n // 6) for n in range(40)]
    with wb.open() as log:
        for some in (events[:25], events):
            log.load(Listed(some), progress=False)
            before = log.fingerprint()
            log.settle()
            assert log.fingerprint() == before
        rows = log.sql(
            "SELECT stream_id, version, position FROM log.main.events_base ORDER BY rowid"
        ).rows()
        assert len(rows) == 40
        assert rows == sorted(
            rows, key=lambda row: (row["stream_id"].encode(), row["version"], row["position"])
        )


def test_loads_fill_typed_columns_and_count_what_does_not_fit() -> None:
    with wb.open() as log:
        log.load(Listed(EVENTS[:4]), prepare=[AMOUNT], progress=False)
        log.load(Listed([*EVENTS[:4], event(4), event(5, data='{"n": "five"}')]), progress=False)
        rows = log.sql('SELECT "data.n::decimal" AS n FROM events ORDER BY position').rows()
        assert [row["n"] and str(row["n"].normalize()) for row in rows] == [
            "0.1", "1.1", "2.1", "3.1", "4.1", None,
        ]  # fmt: skip
        (typed,) = log.sql("SELECT misfits FROM log.main.typed_columns").rows()
        assert typed == {"misfits": 1}


@pytest.mark.parametrize("shares", [(0, 0.0), (0, 10.0)])
def test_loads_settle_the_log_and_keep_everything(
    monkeypatch: pytest.MonkeyPatch, shares: tuple[int, float]
) -> None:
    monkeypatch.setattr(settle, "TAIL_ROWS", shares[0])
    monkeypatch.setattr(settle, "TAIL_SHARE", shares[1])
    with wb.open() as log:
        for upto in (5, 11, 23):
            log.load(Listed(EVENTS[:upto]), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once()
        again = log.load(Written(EVENTS, name="again"), progress=False)
        assert again.duplicate == 23  # ids are known in the base as in the tail


# -- failing -------------------------------------------------------------------------------------


def test_a_source_that_breaks_says_what_is_safe_and_what_to_do() -> None:
    with wb.open() as log:
        with pytest.raises(SourceUnavailable) as failure:
            log.load(Listed(EVENTS, breaks_at=2), progress=False)
        assert "the line is dead" in str(failure.value)
        assert "8 events of this load are committed and stay" in str(failure.value)
        assert "run the same load again" in str(failure.value)
        (load,) = log.loads().rows()
        assert (load["status"], load["stored"], load["watermark"]) == ("interrupted", 8, "row 23")
        assert load["finished_at"] is not None


@pytest.mark.parametrize("error", [SourceUnavailable, RuntimeError, KeyboardInterrupt])
def test_a_source_that_could_never_be_opened_leaves_no_load(error: type[BaseException]) -> None:
    with wb.open() as log:
        with pytest.raises(error):
            log.load(Listed([], unopenable=True, error=lambda: error("no")), progress=False)
        assert log.loads().rows() == []


@pytest.mark.parametrize("error", [SourceUnavailable, RuntimeError, KeyboardInterrupt])
def test_a_known_source_that_cannot_be_opened_leaves_a_load_that_is_interrupted(
    error: type[BaseException],
) -> None:
    with wb.open() as log:
        log.load(Listed(EVENTS), progress=False)
        with pytest.raises(error):
            log.load(Listed([], unopenable=True, error=lambda: error("no")), progress=False)
        last, first = log.loads().rows()
        assert (first["status"], last["status"]) == ("complete", "interrupted")
        assert last["finished_at"] is not None


def test_a_log_that_cannot_be_written_says_so_and_keeps_what_it_has() -> None:
    shape = Shape(
        {**SHAPE.columns, "actor": "CASE WHEN event_id = 'e9' THEN error('disk full') END"}
    )
    with wb.open() as log:
        with pytest.raises(LoadError, match="disk full") as failure:
            log.load(Listed(EVENTS, shape=shape), progress=False)
        assert "8 events of this load are committed and stay" in str(failure.value)
        assert len(log) == 8
        log.load(Listed(EVENTS), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once()


def test_a_name_that_belongs_to_a_source_of_another_kind() -> None:
    with wb.open() as log:
        log.load(Listed(EVENTS), progress=False)
        with pytest.raises(
            LoadError, match=r"already knows 'listed', as a source of kind test"
        ) as failure:
            log.load(Listed(EVENTS, kind="other"), progress=False)
        assert "name=" in str(failure.value)
        assert len(log.loads()) == 1


def test_a_file_that_another_process_holds(tmp_path: Path) -> None:
    from tests.test_open import HOLD, python

    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Listed(EVENTS[:4]), progress=False)
        with python(HOLD, tmp_path / "log.duckdb", "reading") as other:
            with pytest.raises(LogLocked, match=f"process {other.pid}"):
                log.load(Listed(EVENTS), progress=False)
            assert len(log) == 4
        log.load(Listed(EVENTS), progress=False)
        assert (log.fingerprint(), content(log)) == loaded_once()


def test_a_narrowed_view_takes_no_load() -> None:
    with wb.open() as log, pytest.raises(MomentError, match="narrowed view"):
        log.where(stream="a").load(Listed(EVENTS), progress=False)


# -- what a load says ----------------------------------------------------------------------------


def test_a_load_says_what_it_did() -> None:
    with wb.open() as log:
        loaded = log.load(
            Listed([*EVENTS, event(0), event(9, data="x", event_id="x")]), progress=False
        )
    assert repr(loaded).splitlines() == [
        "Loaded 23 events from listed (read 25, duplicate 1, rejected 1)",
        "  complete up to row 25",
        "  log.rejects() shows what was rejected, and why",
    ]


def test_the_order_of_loading_plays_no_part_in_the_fingerprint() -> None:
    with wb.open() as log:
        for event_ in reversed([{**one, "source_position": n} for n, one in enumerate(EVENTS)]):
            log.load(Written([event_], name="listed"), progress=False)
        assert log.fingerprint() == loaded_once()[0]


@pytest.mark.parametrize(
    "column", ["stream_id", "version", "event_type", "data", "actor", "recorded_at"]
)
def test_any_other_content_has_another_fingerprint(column: str) -> None:
    other = {"version": 77, "data": "{}", "recorded_at": "2026-01-01T00:00Z"}.get(column, "other")
    assert loaded_once([event(0)])[0] != loaded_once([event(0, **{column: other})])[0]


def test_a_load_can_start_over_after_its_mapping_was_put_right() -> None:
    events = [{"stream_id": "a", "event_type": "Opened", "data": {"n": 1}}]
    wrong = replace(Written(events).shape, reject="'not yet'")
    with wb.open() as log:
        assert log.load(Written(events, shape=wrong), progress=False).rejected == 1
        again = log.load(Written(events), again=True, progress=False)
        assert (again.read, again.stored) == (1, 1)
        third = log.load(Written(events), again=True, progress=False)
        assert (third.read, third.stored, third.duplicate) == (1, 0, 1)
