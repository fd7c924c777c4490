"""Appending to a log exactly once: a batch and its bookmark commit in one transaction.

A load that is killed at any moment and run again gives the same log as one that was never killed, since
the next one starts from the last committed bookmark. Each record ends in one of three places, and the
counts add up: read = stored + duplicate + rejected.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import duckdb

from workbench.errors import LoadError, SourceDataLost, SourceError
from workbench.sources.base import Bookmark, Report, Source
from workbench.store import schema, settle, typed
from workbench.store.append import Counts, append
from workbench.store.database import Database
from workbench.store.fields import Field
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection
Progress = Callable[[int, int | None], None]
"""Called after each committed batch with (records read, about how many there are)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load did.

    Attributes
    ----------
    source, kind
        Which source.
    read, stored, duplicate, rejected
        Numbers of records; read = stored + duplicate + rejected.
    report
        What the source can vouch for: watermark, open gaps, completeness by part, notes.
    words
        What was loaded: ``"events"`` or ``"dead letters"``.
    """

    load_id: int
    source: str
    kind: str
    read: int
    stored: int
    duplicate: int
    rejected: int
    report: Report
    words: str = "events"

    def __repr__(self) -> str:
        lines = [
            f"Loaded {self.stored:,} {self.words} from {self.source} "
            f"(read {self.read:,}, duplicate {self.duplicate:,}, rejected {self.rejected:,})"
        ]
        if self.report.watermark:
            lines.append(f"  complete up to {self.report.watermark}")
        gaps = [gap for gap in self.report.gaps if gap.get("state") != "dead"]
        if gaps:
            lines.append(f"  {len(gaps):,} open gaps: log.loads() shows them")
        if self.rejected:
            lines.append("  log.rejects() shows what was rejected, and why")
        lines.extend(f"  {note}" for note in self.report.notes)
        return "\n".join(lines)


def load(
    database: Database,
    source: Source,
    *,
    prepare: Iterable[Field] = (),
    again: bool = False,
    progress: Progress | None = None,
) -> Loaded:
    """Run one pass over a source, from its last bookmark on.

    Raises
    ------
    SourceError
        The source broke off. What was committed stays, and the same load goes on from there.
    LoadError
        The log could not be written (a full disk, say). What was committed stays.
    """
    with database.writing() as con:
        schema.refresh_hashes(con)
        typed.prepare(con, prepare)
        load_id, bookmark = _begin(con, source, again=again)
        counts = Counts()
        words = "events"
        try:
            with source.read(bookmark) as reading:
                words = reading.shape.table.replace("_", " ")
                try:
                    for batch in reading.batches():
                        with _writing_to(database, source, counts, words):
                            counts.add(append(con, load_id, source.name, reading.shape, batch))
                        if progress is not None:
                            progress(counts.read, reading.total)
                except BaseException:
                    with contextlib.suppress(duckdb.Error):  # what broke the load comes first
                        _end(con, load_id, "interrupted", reading.report())
                    raise
                report = reading.report()
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):
                _interrupt(con, load_id)
            if not isinstance(error, SourceError):
                raise
            message = f"{error}\n  {counts.stored:,} {words} of this load are committed and stay"
            hint = "run the same load again: it goes on from there"
            # Where the source has lost what comes next, running it again cannot help; it said what can.
            said = hint in message or isinstance(error, SourceDataLost)
            raise type(error)(message, hint=None if said else hint) from error
        with _writing_to(database, source, counts, words):
            _end(con, load_id, "complete", report)
        try:
            typed.widen(con)
            settle.settle(con)
        except duckdb.Error as error:
            message = f"{database.label}: all events are in, but putting them in order failed: {_first(error)}"
            raise LoadError(
                message, hint="free some disk space; the next load tries again"
            ) from error
    return Loaded(
        load_id, source.name, source.kind,
        counts.read, counts.stored, counts.duplicate, counts.rejected, report, words,
    )  # fmt: skip


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0]


@contextlib.contextmanager
def _writing_to(database: Database, source: Source, counts: Counts, words: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        message = (
            f"{database.label} could not take more from {source.name}: {_first(error)}\n"
            f"  {counts.stored:,} {words} of this load are committed and stay"
        )
        hint = "mend the cause (disk space?), then run the same load again: it goes on from there"
        raise LoadError(message, hint=hint) from error


# -- the load's own row --------------------------------------------------------------------------


def _begin(con: Con, source: Source, *, again: bool) -> tuple[int, Bookmark | None]:
    """Open a row in ``loads``; return its id and where the source's last load stood."""
    last = con.execute(
        "SELECT bookmark, kind FROM log.main.loads WHERE source = ? AND bookmark IS NOT NULL "
        "ORDER BY load_id DESC LIMIT 1",
        [source.name],
    ).fetchall()
    if last and last[0][1] != source.kind:
        message = f"this log already knows {source.name!r}, as a source of kind {last[0][1]}, not {source.kind}."
        raise LoadError(message, hint="give the new source a name of its own: name='…'")
    bookmark = json.loads(last[0][0]) if last and not again else None
    with transaction(con):
        # A load that still says 'running' was killed: no two can hold the file.
        con.execute("UPDATE log.main.loads SET status = 'interrupted' WHERE status = 'running'")
        (load_id,) = con.execute(
            "SELECT coalesce(max(load_id), 0) + 1 FROM log.main.loads"
        ).fetchall()[0]
        con.execute(
            "INSERT INTO log.main.loads (load_id, source, kind, started_at, status, read, stored, duplicate, "
            "rejected, bookmark, code_version) VALUES (?, ?, ?, now(), 'running', 0, 0, 0, 0, ?, ?)",
            [load_id, source.name, source.kind, _json(bookmark), schema.code_version()],
        )
    return int(load_id), bookmark


def _end(con: Con, load_id: int, status: str, report: Report) -> None:
    con.execute(
        "UPDATE log.main.loads SET status = ?, finished_at = now(), watermark = ?, gaps = ?, "
        "completeness = ?, notes = ? WHERE load_id = ?",
        [
            status,
            report.watermark,
            _json(list(report.gaps)),
            _json(list(report.completeness)),
            _json(list(report.notes)),
            load_id,
        ],
    )


def _interrupt(con: Con, load_id: int) -> None:
    """Close the row of a load that broke off; one whose source could not even be opened leaves none."""
    con.execute(
        "DELETE FROM log.main.loads WHERE load_id = ? AND status = 'running' AND read = 0 AND bookmark IS NULL",
        [load_id],
    )
    con.execute(
        "UPDATE log.main.loads SET status = 'interrupted', finished_at = now() "
        "WHERE load_id = ? AND status = 'running'",
        [load_id],
    )


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, default=str)
