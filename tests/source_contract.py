"""What every source promises; each source's tests subclass this.

A subclass gives three fixtures, and takes the parts of the contract that its source can keep::

    class TestMine(SourceContract, AppendContract, EventIdContract, RejectContract):
        @pytest.fixture
        def write(self, broker): ...       # write(events): put canonical events at the source, in order;
                                           # called again, it adds more
        @pytest.fixture
        def source(self, broker): ...      # source(rows=3): a Source on them, that hands over about so
                                           # many records in a batch (None: as it likes)
        @pytest.fixture
        def write_broken(self, broker): ...  # RejectContract: put one unreadable record there, return its bytes

An event is a dictionary of canonical columns; ``data`` and ``metadata`` are JSON text as it shall stand,
times are aware. What the source cannot carry is said by the class attributes below.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import SourceUnavailable
from workbench.event import MAPPABLE
from workbench.sources.base import Batch, Bookmark, Report, Shape, Source

Event = Mapping[str, Any]
Write = Callable[[Sequence[Event]], None]
MakeSource = Callable[..., Source]

_START = dt.datetime(2026, 6, 30, 14, 2, 0, 123456, tzinfo=dt.UTC)


def events(count: int = 23, streams: int = 4) -> list[dict[str, Any]]:
    """Return events of a few streams, interleaved, with every column filled."""
    made = []
    for n in range(count):
        stream = n * n % streams
        version = sum(m * m % streams == stream for m in range(n)) + 1
        made.append(
            {
                "stream_id": f"acc-{stream}",
                "stream_type": "account",
                "version": version,
                "event_id": f"e-{n}",
                "event_type": "AccountOpened" if version == 1 else "DepositMade",
                "schema_version": "2",
                "occurred_at": _START + dt.timedelta(seconds=n),
                "recorded_at": _START + dt.timedelta(seconds=n, milliseconds=250),
                "correlation_id": f"flow-{n // 3}",
                "causation_id": f"e-{n - 1}" if n % 3 else None,
                "actor": "ann" if n % 2 else "bob",
                "data": f'{{"n": {n}, "amount": {n}.10}}',
                "metadata": '{"ip": "10.0.0.1"}',
            }
        )
    return made


#: Texts that a reader is tempted to change. The spacing is PostgreSQL's, so that jsonb gives them back.
PAYLOADS = [
    '{"amount": 1.10}',
    '{"amount": 12345678901234567.89}',
    '{"amount": 123456789012345678901234567890}',
    '{"amount": -0.00000000000000000001}',
    '{"b": 1, "aa": 2, "zzz": 3}',
    '{"name": "Zoë Müller, 東京 🏦"}',
    r'{"text": "a \"quoted\" \\ back\\slash\\\\, new\nline\ttab"}',
    '{"text": "{\\"data\\": {\\"amount\\": 1}}, [1, 2]: null"}',
    '{"": "", "a.b": {"c d": [1.0, [2.50, {"e": []}], {}]}}',
    '{"none": null, "yes": true, "list": [null, false]}',
    '{"deep": ' + "[" * 200 + "1.0" + "]" * 200 + "}",
    '{"long": "' + "x" * 100_000 + '"}',
]


class SourceContract:
    """What holds for every source."""

    #: Canonical columns that the source can carry.
    fills: ClassVar[Sequence[str]] = [name for name in MAPPABLE if name != "source_position"]
    #: Columns without which there is no event at this source.
    needs: ClassVar[Sequence[str]] = ["stream_id", "event_type"]
    payloads: ClassVar[Sequence[str]] = PAYLOADS
    #: Whether two loads give the same order over all streams (not so over partitions).
    one_order: ClassVar[bool] = True
    #: How many interruptions are tried.
    interruptions: ClassVar[int] = 12

    @pytest.fixture
    def write(self) -> Write:
        raise NotImplementedError

    @pytest.fixture
    def source(self) -> MakeSource:
        raise NotImplementedError

    def content(self, log: wb.EventLog) -> list[tuple[Any, ...]]:
        """Everything that two loads of the same events have to agree on."""
        what = "*" if self.one_order else "* EXCLUDE position"
        return rows(log, f"SELECT {what} FROM events ORDER BY source_position")

    # -- what a load brings ----------------------------------------------------------------------

    def test_counts_add_up_and_every_event_is_stored(
        self, write: Write, source: MakeSource
    ) -> None:
        write(events())
        with wb.open() as log:
            loaded = log.load(source(), progress=False)
            assert (loaded.read, loaded.stored) == (23, 23)
            assert (loaded.duplicate, loaded.rejected) == (0, 0)
            assert rows(log, "SELECT count(*) FROM events") == [(23,)]

    def test_every_column_arrives_unchanged(self, write: Write, source: MakeSource) -> None:
        written = events()
        write(written)
        with wb.open() as log:
            log.load(source(), progress=False)
            found = as_events(log, self.fills)
        assert found == sorted(
            ({name: event[name] for name in self.fills} for event in written), key=_place
        )

    def test_order_within_a_stream_is_kept(self, write: Write, source: MakeSource) -> None:
        write(events())
        with wb.open() as log:
            log.load(source(rows=5), progress=False)
            by_position = rows(log, "SELECT stream_id, version FROM events ORDER BY position")
        for stream in {stream for stream, _ in by_position}:
            versions = [version for other, version in by_position if other == stream]
            assert versions == sorted(versions)

    def test_payload_text_is_exact(self, write: Write, source: MakeSource) -> None:
        write(
            [
                event | {"data": payload}
                for event, payload in zip(events(len(self.payloads)), self.payloads, strict=True)
            ]
        )
        with wb.open() as log:
            loaded = log.load(source(), progress=False)
            found = rows(log, "SELECT CAST(data AS VARCHAR) FROM events")
        assert loaded.rejected == 0
        assert sorted(text for (text,) in found) == sorted(self.payloads)

    def test_unknown_is_null(self, write: Write, source: MakeSource) -> None:
        bare = [{name: event[name] for name in self.needs} for event in events(3)]
        write(bare)
        with wb.open() as log:
            log.load(source(), progress=False)
            left_out = [name for name in self.fills if name not in (*self.needs, "event_id")]
            found = as_events(log, left_out)
        assert found == [dict.fromkeys(left_out)] * 3

    def test_coordinates_are_unique_and_stable(self, write: Write, source: MakeSource) -> None:
        write(events())
        query = "SELECT source_position FROM events ORDER BY ALL"
        with wb.open() as log, wb.open() as other:
            log.load(source(), progress=False)
            other.load(source(rows=4), progress=False)
            assert rows(log, query) == rows(other, query)
            assert len(set(rows(log, query))) == 23

    def test_the_report_vouches_for_all_parts(self, write: Write, source: MakeSource) -> None:
        write(events())
        with wb.open() as log:
            report = log.load(source(), progress=False).report
        assert report.completeness
        assert all(entry["complete"] for entry in report.completeness)

    # -- loading again ---------------------------------------------------------------------------

    def test_a_second_load_adds_nothing(self, write: Write, source: MakeSource) -> None:
        write(events())
        with wb.open() as log:
            log.load(source(), progress=False)
            before = self.content(log)
            again = log.load(source(), progress=False)
            assert (again.stored, again.rejected) == (0, 0)
            assert self.content(log) == before

    def test_a_source_that_dies_leaves_a_log_that_goes_on(
        self, write: Write, source: MakeSource
    ) -> None:
        write(events())
        with wb.open() as log:
            log.load(source(), progress=False)
            whole = self.content(log)

        @settings(max_examples=self.interruptions, deadline=None, database=None)
        @given(rows_a_batch=st.integers(1, 9), batches=st.integers(0, 25), rest=st.integers(1, 30))
        def check(rows_a_batch: int, batches: int, rest: int) -> None:
            with wb.open() as log:
                dying = Dying(source(rows=rows_a_batch), batches)
                with pytest.raises(SourceUnavailable, match="died"):
                    log.load(dying, progress=False)
                after = rows(log, "SELECT count(*) FROM events")[0][0]
                loaded = log.load(source(rows=rest), progress=False)
                assert (after + loaded.stored, loaded.duplicate) == (len(whole), 0)
                assert self.content(log) == whole

        check()

    def test_a_load_that_is_interrupted_goes_on(self, write: Write, source: MakeSource) -> None:
        write(events())
        with wb.open() as log:
            log.load(source(), progress=False)
            whole = self.content(log)
        with wb.open() as log:
            while True:
                steps: list[int] = []

                def stop_at_the_second(
                    read: int, total: int | None, steps: list[int] = steps
                ) -> None:
                    steps.append(read)
                    if len(steps) == 2:
                        raise KeyboardInterrupt

                try:
                    log.load(source(rows=3), progress=stop_at_the_second)
                except KeyboardInterrupt:
                    continue
                break
            assert self.content(log) == whole

    # -- the protocol ----------------------------------------------------------------------------

    def test_bookmarks_are_json_and_batches_small(self, write: Write, source: MakeSource) -> None:
        write(events())
        with source(rows=5).read(None) as reading:
            batches = list(reading.batches())
        for batch in batches:
            assert json.loads(json.dumps(batch.bookmark)) == batch.bookmark
        assert sum(batch.rows.num_rows for batch in batches) == 23

    def test_the_name_is_stable(self, write: Write, source: MakeSource) -> None:
        write(events())
        assert source().name == source(rows=3).name
        assert source().kind


class AppendContract:
    """What holds for a source that grows."""

    def test_a_later_load_adds_what_is_new(self, write: Write, source: MakeSource) -> None:
        written = events()
        write(written[:9])
        with wb.open() as log, wb.open() as other:
            first = log.load(source(), progress=False)
            write(written[9:])
            second = log.load(source(), progress=False)
            assert (first.stored, second.stored, second.duplicate) == (9, 14, 0)
            other.load(source(), progress=False)
            assert self.content(log) == self.content(other)  # type: ignore[attr-defined]  # of SourceContract

    def test_what_comes_between_an_interruption_and_the_next_load_is_read(
        self, write: Write, source: MakeSource
    ) -> None:
        written = events()
        write(written[:12])
        with wb.open() as log:
            with pytest.raises(SourceUnavailable):
                log.load(Dying(source(rows=5), 1), progress=False)
            write(written[12:])
            log.load(source(), progress=False)
            assert rows(log, "SELECT count(*), count(DISTINCT source_position) FROM events") == [
                (23, 23)
            ]


class EventIdContract:
    """What holds for a source whose events have ids of their own."""

    def test_an_event_that_is_there_twice_is_counted_as_duplicate(
        self, write: Write, source: MakeSource
    ) -> None:
        written = events()
        write([*written, *written[3:6]])
        with wb.open() as log:
            loaded = log.load(source(rows=7), progress=False)
            assert (loaded.read, loaded.stored, loaded.duplicate) == (26, 23, 3)
            assert loaded.rejected == 0

    def test_one_id_with_two_contents_is_a_reject(self, write: Write, source: MakeSource) -> None:
        written = events()
        write([*written, written[3] | {"data": '{"amount": 666}'}])
        with wb.open() as log:
            loaded = log.load(source(), progress=False)
            assert (loaded.stored, loaded.duplicate, loaded.rejected) == (23, 0, 1)
            ((raw, reason, _),) = rejects(log)
        assert "e-3" in reason
        assert b"666" in raw


class RejectContract:
    """What holds for a source that may hold what is no event: ``write_broken`` puts one there."""

    def test_an_unreadable_record_is_kept_and_stops_nothing(
        self, write: Write, source: MakeSource, write_broken: Callable[[], bytes]
    ) -> None:
        written = events()
        write(written[:5])
        broken = write_broken()
        write(written[5:])
        with wb.open() as log:
            loaded = log.load(source(rows=4), progress=False)
            assert (loaded.read, loaded.stored, loaded.rejected) == (24, 23, 1)
            ((raw, reason, at),) = rejects(log)
            assert raw == broken
            assert reason
            assert rows(log, f"SELECT count(*) FROM events WHERE source_position = '{at}'") == [
                (0,)
            ]
            assert log.load(source(), progress=False).read == 0


class SecretContract:
    """What holds for a source that is given a password: ``secret`` is one."""

    def test_a_secret_is_nowhere(
        self, write: Write, source: MakeSource, secret: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(events())
        with wb.open() as log:
            loaded = log.load(source(), progress=False)
            kept = log.loads().relation.fetchall()
        shown = capsys.readouterr()
        made = source()
        assert secret not in f"{made.name} {made!r} {loaded!r} {kept} {shown.out} {shown.err}"


# -- helpers -------------------------------------------------------------------------------------


def rows(log: wb.EventLog, query: str) -> list[tuple[Any, ...]]:
    """Run a query, as Python values."""
    relation = log.sql(query).relation
    return list(relation.fetchall())


def rejects(log: wb.EventLog) -> list[tuple[bytes, str, str]]:
    """Return the bytes, the reason and the coordinates of each reject."""
    found = log.rejects().relation.project("raw, reason, source_position").fetchall()
    return [(bytes(raw), reason, at) for raw, reason, at in found]


def as_events(log: wb.EventLog, names: Sequence[str]) -> list[dict[str, Any]]:
    """Read events back as dictionaries, in the order of streams and versions."""
    listed = ", ".join(
        f"CAST({name} AS VARCHAR)" if name in ("data", "metadata") else name for name in names
    )
    found = rows(log, f"SELECT {listed} FROM events ORDER BY stream_id, version")
    return [dict(zip(names, row, strict=True)) for row in found]


def _place(event: Event) -> tuple[str, int]:
    return event["stream_id"], event["version"]


@dataclass(frozen=True)
class Dying:
    """A source that dies after so many batches, as a killed server does."""

    inner: Source
    batches: int

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def kind(self) -> str:
        return self.inner.kind

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[_DyingReading]:
        with self.inner.read(bookmark) as reading:
            yield _DyingReading(reading, self.batches)


@dataclass(frozen=True)
class _DyingReading:
    inner: Any
    left: int

    @property
    def shape(self) -> Shape:
        return self.inner.shape

    @property
    def total(self) -> int | None:
        return self.inner.total

    def batches(self) -> Iterator[Batch]:
        for number, batch in enumerate(self.inner.batches()):
            if number == self.left:
                break
            yield batch
        message = "the source died"
        raise SourceUnavailable(message)

    def report(self) -> Report:
        return self.inner.report()
