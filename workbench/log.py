"""EventLog: the face of a log. Its verbs read as sentences and delegate to the analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import duckdb

from workbench.analysis.compare import Tolerance
from workbench.analysis.definition import Definition
from workbench.analysis.definition import check as check_definition
from workbench.analysis.diff import Diff, diff
from workbench.analysis.history import History, history
from workbench.analysis.rates import By, Rates, rates
from workbench.analysis.replay import Replay, replay
from workbench.analysis.timeline import Timeline, timeline
from workbench.errors import ConfigError, MomentError
from workbench.moments import Moment, Time, check_clock, parse_time
from workbench.progress import bar
from workbench.sources.base import Source
from workbench.sources.read_model import ReadModel
from workbench.store import ingest, settle, typed
from workbench.store.database import Database
from workbench.store.fingerprint import fingerprint
from workbench.store.health import Health, health
from workbench.store.query import check_query
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def open(path: str | Path | None = None, *, read_only: bool = False) -> EventLog:
    """Open a log: one DuckDB file, one investigation.

    Parameters
    ----------
    path
        The file; made when absent. None: a log in memory.
    read_only
        Never write to the file. (Without it, too, the file is taken over only while a load runs, so
        that several processes can look at it.)

    Returns
    -------
    EventLog

    Raises
    ------
    LogLocked, LogCorrupt, LogForeign, LogTooNew
        The file cannot be used; the message says why and what to do.
    """
    resolved = None if path is None or str(path) == ":memory:" else Path(path)
    return EventLog(View(Database(resolved, read_only=read_only)))


class EventLog:
    """The events of one DuckDB file, or a narrowed view of them; made by :func:`workbench.open`."""

    def __init__(self, view: View) -> None:
        self._view = view

    # -- filling ---------------------------------------------------------------------------------

    def load(
        self,
        source: Source,
        *,
        prepare: Iterable[Definition] = (),
        again: bool = False,
        progress: bool | Callable[[int, int | None], None] = True,
    ) -> ingest.Loaded:
        """Load a source, from where its last load ended.

        Each record is stored once, however often it is read; a load that was killed or interrupted goes
        on when it is run again.

        Parameters
        ----------
        source
            ``wb.postgres(…)``, ``wb.kafka(…)``, ``wb.files(…)``, or any other
            :class:`~workbench.sources.base.Source`.
        prepare
            Definitions whose fields get typed columns right away (see :meth:`prepare`).
        again
            Read from the start, as after a mapping was put right; what the log has is not stored twice.
        progress
            Show a progress bar, or call a function with (records read, about how many there are).

        Returns
        -------
        Loaded
            Counts (read = stored + duplicate + rejected) and what the source can vouch for.

        Raises
        ------
        SourceError, LoadError
            It broke off; what was committed stays.
        """
        self._require_whole("load")
        if not hasattr(source, "read"):
            message = f"log.load takes a source, and this is {type(source).__name__}."
            raise ConfigError(
                message,
                hint="wrap it: wb.files('events.parquet'), wb.postgres('postgresql://…'), wb.kafka(…)",
            )
        fields = [item for definition in prepare for item in check_definition(definition).fields]
        with bar(source.name, progress) as report:
            return ingest.load(
                self._view.database, source, prepare=fields, again=again, progress=report
            )

    # -- narrowing -------------------------------------------------------------------------------

    def where(
        self,
        *,
        types: str | Iterable[str] | None = None,
        stream: str | Iterable[str] | None = None,
        stream_type: str | Iterable[str] | None = None,
        correlation: str | Iterable[str] | None = None,
        actor: str | Iterable[str] | None = None,
        source: str | Iterable[str] | None = None,
        condition: str | None = None,
    ) -> EventLog:
        """Narrow the log; what comes back has the same face.

        Parameters
        ----------
        types, stream, stream_type, correlation, actor, source
            One value, or several of which any will do.
        condition
            A SQL condition over the columns of ``events``: ``"version > 3"``,
            ``"data->>'currency' = 'EUR'"``.
        """
        return EventLog(
            self._view.where(
                types=types,
                stream=stream,
                stream_type=stream_type,
                correlation=correlation,
                actor=actor,
                source=source,
                condition=condition,
            )
        )

    def as_of(
        self,
        time: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
    ) -> EventLog:
        """Return the log as it stood at a moment, which is inclusive.

        Parameters
        ----------
        time
            An aware datetime, or ISO text with an offset.
        clock
            ``"recorded"`` (what was known then) or ``"occurred"`` (what was true then). Without it, the
            clock on which the log knows more events; on a tie, recorded.
        known_at
            Both clocks: what was believed at ``known_at`` about ``time``.
        position, version
            Cut by the order of the log, or by the order in each stream.
        """
        moment = Moment.of(time, clock=clock, known_at=known_at, position=position, version=version)
        return EventLog(self._view.until(moment))

    def between(
        self, start: Time | None, end: Time | None, *, clock: str | None = None
    ) -> EventLog:
        """Narrow to ``start <= time < end``; None leaves that side open."""
        lower = None if start is None else parse_time(start, "start")
        upper = None if end is None else parse_time(end, "end")
        if lower is not None and upper is not None and lower > upper:
            message = f"start={start!s} is after end={end!s}."
            raise MomentError(message)
        return EventLog(self._view.between(lower, upper, check_clock(clock)))

    # -- reading ---------------------------------------------------------------------------------

    def sql(self, query: str) -> Table:
        """Run a SELECT in which ``events`` means the events of this log, as narrowed.

        Returns
        -------
        Table
            With ``.df()``, ``.arrow()``, ``.rows()`` and ``.relation``.

        Raises
        ------
        QueryError
            The query is wrong, or would write.
        """
        check_query(query)
        return Table(self._view.database, query, title="Query", setup=self._view.setup)

    @property
    def relation(self) -> duckdb.DuckDBPyRelation:
        """The events as a DuckDB relation, in the order of the log."""
        return self._events().relation

    def df(self) -> pd.DataFrame:
        """Return the events as a pandas DataFrame, in the order of the log."""
        return self._events().df()

    def arrow(self) -> pa.Table:
        """Return the events as an Arrow table, in the order of the log."""
        return self._events().arrow()

    def __len__(self) -> int:
        return self._view.count

    @property
    def types(self) -> dict[str, int]:
        """Event type -> number of events, most frequent first."""
        return self._view.types

    # -- rebuilding ------------------------------------------------------------------------------

    def replay(
        self,
        definition: Definition,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
        stream: str | None = None,
    ) -> Replay:
        """Rebuild the rows of a projection or a fold, as they stood at a moment.

        Parameters
        ----------
        definition
            A :class:`Projection` or a :class:`Fold`.
        as_of, clock, known_at, position, version
            The moment, as in :meth:`as_of`; by default the end of the log.
        stream
            Only this stream.

        Returns
        -------
        Replay
            One row for each key: the key, the definition's columns, ``version``, ``position``, ``events``.
            ``.sql`` shows how.
        """
        moment = Moment.of(
            as_of, clock=clock, known_at=known_at, position=position, version=version
        )
        return replay(self._view, definition, moment, stream=stream)

    def history(
        self,
        definition: Definition,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
        stream: str | None = None,
    ) -> History:
        """Rebuild every state that the rows of a definition ever had.

        Returns
        -------
        History
            The key, ``valid_from`` (inclusive), ``valid_to`` (exclusive; NULL: still so), the event that
            made the state, and the definition's columns.
        """
        moment = Moment.of(
            as_of, clock=clock, known_at=known_at, position=position, version=version
        )
        return history(self._view, definition, moment, stream=stream)

    def diff(
        self,
        definition: Definition,
        model: ReadModel,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        tolerance: Mapping[str, Tolerance] | None = None,
    ) -> Diff:
        """Compare a stored read model with the replay, and name each row for what it is.

        Parameters
        ----------
        definition
            What the read model should hold.
        model
            What it does hold: ``wb.read_model(…)``. With ``version=`` or ``position=`` there, each row is
            compared at its own checkpoint.
        as_of, clock, known_at, position
            The moment at which the read model was taken; by default the end of the log.
        tolerance
            Column -> a number, or a timedelta for times: differences up to there are none.

        Returns
        -------
        Diff
            One row for each key of either side, with its class: match, stale, missing, orphaned, corrupted
            or ahead.
        """
        if not isinstance(model, ReadModel):
            message = f"log.diff takes a read model, and this is {type(model).__name__}."
            raise ConfigError(message, hint="wrap it: wb.read_model(rows)")
        moment = Moment.of(as_of, clock=clock, known_at=known_at, position=position)
        return diff(self._view, definition, model, moment, tolerance=tolerance)

    # -- looking ---------------------------------------------------------------------------------

    def rates(
        self,
        *,
        every: str | None = None,
        by: By = "event_type",
        top: int = 8,
        clock: str | None = None,
    ) -> Rates:
        """Count events over time, by type (or ``stream_type``, ``source``, ``actor``).

        Parameters
        ----------
        every
            Length of a bucket, as ``"1 hour"``; by default one that gives 100 to 200 of them.
        by
            What to count apart.
        top
            So many of the most frequent; the others are gathered.

        Returns
        -------
        Rates
            ``moment`` (UTC), the column of ``by``, ``events``; ``.chart()`` draws it.
        """
        return rates(self._view, every=every, by=by, top=top, clock=check_clock(clock))

    def timeline(
        self,
        stream: str,
        definition: Definition | None = None,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
    ) -> Timeline:
        """List the events of one stream in order, with the state after each where a definition is given.

        Returns
        -------
        Timeline
            ``.chart()`` draws it.

        Raises
        ------
        StreamNotFound
            There is no such stream.
        """
        return timeline(self._view, stream, definition, moment=Moment.of(as_of, clock=clock))

    # -- house-keeping, for speed ----------------------------------------------------------------

    def prepare(self, *definitions: Definition) -> list[str]:
        """Give the fields that definitions read columns of their own, so that replays do not parse JSON.

        Later loads fill them too. Nothing that the log says changes.

        Returns
        -------
        list of str
            The names of the columns that are new in ``events``.
        """
        self._require_whole("prepare")
        fields = [
            item for definition in definitions for item in check_definition(definition).fields
        ]
        with self._view.database.writing() as con:
            return typed.prepare(con, fields)

    # -- trusting --------------------------------------------------------------------------------

    def health(self) -> Health:
        """Examine the log: counts, range of time, sources with their watermark, gaps, clashes, rejects."""
        return health(self._view)

    def loads(self) -> Table:
        """List the loads, latest first: counts, bookmark, watermark, open gaps, completeness, code version."""
        return Table(
            self._view.database, "FROM log.main.loads ORDER BY load_id DESC", title="Loads"
        )

    def rejects(self) -> Table:
        """List the records that could not become events: where they stand, why, and their bytes."""
        sql = "FROM log.main.rejects ORDER BY load_id, source_position"
        return Table(self._view.database, sql, title="Rejects")

    def duplicates(self) -> Table:
        """List records that repeat an event of the log: their coordinates, and the event's position."""
        sql = "FROM log.main.duplicates ORDER BY load_id, source_position"
        return Table(self._view.database, sql, title="Duplicates")

    def gaps(self) -> Table:
        """List holes in the versions of streams: ``stream_id``, ``after_version``, ``before_version``, ``missing``."""
        sql = (
            "SELECT stream_id, before AS after_version, version AS before_version, version - before - 1 AS missing "
            f"FROM (SELECT stream_id, version, lag(version) OVER (PARTITION BY stream_id ORDER BY version) AS before "
            f"FROM {EVENTS} WHERE {self._view.filter}) WHERE version > before + 1 ORDER BY stream_id, after_version"
        )
        return Table(self._view.database, sql, title="Version gaps")

    def fingerprint(self) -> str:
        """Return a hash of all that the events say: equal for two logs that hold the same events.

        The order in which they were loaded plays no part, and neither do typed columns. It finds
        accidents; against tampering a chain of hashes is needed.
        """
        return fingerprint(self._view)

    def __repr__(self) -> str:
        return repr(self.health())

    def _repr_html_(self) -> str:
        return self.health()._repr_html_()

    # -- house-keeping ---------------------------------------------------------------------------

    def settle(self) -> bool:
        """Put the events in order of stream and version now; loads do it when it pays."""
        self._require_whole("settle")
        with self._view.database.writing() as con:
            return settle.settle(con, force=True)

    def close(self) -> None:
        """Let go of the file; results that were not fetched yet can no longer be."""
        self._view.database.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------

    def _events(self) -> Table:
        return Table(self._view.database, self._view.sql, title="Events")

    def _require_whole(self, verb: str) -> None:
        if self._view.conditions:
            message = f"this is a narrowed view ({'; '.join(self._view.words)}); {verb} works on the whole log."
            raise MomentError(message, hint=f"call {verb} on the log that wb.open gave")
