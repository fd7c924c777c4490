r"""The hash chain over a log: a head for each stream, and one over all of them.

* The head of a stream is the SHA-256 of the canonical bytes (see :mod:`~workbench.analysis.audit.canonical`)
  of its events, one after the other, by version, then position (unknown versions last). It commits to each
  event and to their order, and can be carried on when events are appended.
* The head of a log is the SHA-256 over one line for each stream, in the order of the bytes of their ids:
  ``<length of id in bytes>:<id> <events> <head in hex>\n``.

DuckDB writes the canonical bytes, and one call of SHA-256 takes those of all events of a stream that lie
together: nothing happens event by event.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from workbench.analysis.audit.canonical import canonical_sql
from workbench.errors import ConfigError
from workbench.store.query import query_error
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from hashlib import _Hash

ROWS: Final = 2_048
"""Events that are taken at once: with payloads of a megabyte each, that is all that is in memory."""

_HEAD = re.compile(r"(\d+)-(\d+)-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """What commits to all events of a log (or a narrowed one) up to a position.

    Written as ``<position>-<events>-<64 hex digits>``: noted down, or mailed to somebody else, it is what a
    log can be held against later.

    Attributes
    ----------
    position
        The last position in the log that it covers.
    events
        How many events it covers.
    sha256
        64 hex digits.
    """

    position: int
    events: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.position}-{self.events}-{self.sha256}"

    @staticmethod
    def is_one(written: str) -> bool:
        """Whether a text is a head."""
        return bool(_HEAD.fullmatch(written.strip()))

    @classmethod
    def parse(cls, written: str) -> Head:
        """Read a head as it is written.

        Raises
        ------
        ConfigError
            It is none.
        """
        found = _HEAD.fullmatch(written.strip())
        if not found:
            message = f"{written!r} is no head of a chain."
            raise ConfigError(
                message, hint="a head is what log.audit().head gave: 120-120-5f0c…, all of it"
            )
        return cls(int(found[1]), int(found[2]), found[3])


class Heads(Table):
    """The head of each stream: ``stream_id``, ``events``, ``sha256`` (hex); in the order of their ids.

    Attributes
    ----------
    head
        The head over all of them.
    """

    head: Head


def chain(view: View) -> Heads:
    """Compute the heads of a view's events.

    Returns
    -------
    Heads

    Raises
    ------
    LogCorrupt
        A block of the file does not match its checksum.
    """
    rows, sha256 = heads(view.database.cursor(), f"{EVENTS} WHERE {view.filter}")
    (last,) = view.rows(f"SELECT coalesce(max(position), 0) FROM {EVENTS} WHERE {view.filter}")[0]
    result = Heads(
        view.database,
        "-- the heads of the streams are computed by workbench.analysis.audit.chain",
        title="Heads of the hash chain",
    )
    result._stored = view.database.keep_arrow(rows, result)
    result.head = Head(int(last), pc.sum(rows["events"]).as_py() or 0, sha256)
    return result


def heads(con: duckdb.DuckDBPyConnection, events: str) -> tuple[pa.Table, str]:
    """Compute the head of each stream, and the one over all, of what stands behind FROM."""
    names: list[str] = []
    counts: list[int] = []
    digests: list[str] = []
    whole = hashlib.sha256()
    for name, count, digest in _streams(con, events):
        names.append(name)
        counts.append(count)
        digests.append(digest)
        raw = name.encode()
        whole.update(b"%d:%b %d %b\n" % (len(raw), raw, count, digest.encode()))
    rows = pa.table(
        {
            "stream_id": pa.array(names, pa.string()),
            "events": pa.array(counts, pa.int64()),
            "sha256": pa.array(digests, pa.string()),
        }
    )
    return rows, whole.hexdigest()


def _streams(con: duckdb.DuckDBPyConnection, events: str) -> Iterator[tuple[str, int, str]]:
    """Hash stream after stream; their events come in order, and nearly always lie so in the file."""
    sql = (
        f"SELECT stream_id, {canonical_sql()} AS bytes FROM {events} "
        "ORDER BY stream_id, version, position"
    )
    name: str | None = None
    count, running = 0, hashlib.sha256()
    for batch in _batches(con, sql):
        runs = pc.run_end_encode(batch.column(0))
        pieces = _Pieces(batch.column(1))
        start = 0
        for stream, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if stream != name:
                if name is not None:
                    yield name, count, running.hexdigest()
                name, count, running = stream, 0, hashlib.sha256()
            pieces.into(running, start, end)
            count += end - start
            start = end
    if name is not None:
        yield name, count, running.hexdigest()


def _batches(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[Any]:
    try:
        yield from con.sql(sql).to_arrow_reader(ROWS)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise query_error(duckdb.Error(str(error)), "the hash chain") from error


class _Pieces:
    """The texts of an Arrow column as they lie in memory, one after the other."""

    def __init__(self, column: Any) -> None:
        wide = pa.types.is_large_string(column.type)
        _, offsets, data = column.buffers()
        ends = memoryview(offsets).cast("q" if wide else "i")
        self._ends = ends[column.offset : column.offset + len(column) + 1]
        self._data = memoryview(data) if data is not None else memoryview(b"")

    def into(self, running: _Hash, start: int, end: int) -> None:
        running.update(self._data[self._ends[start] : self._ends[end]])
