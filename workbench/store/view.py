"""A narrowed view of a log: immutable, cheap to make, and all that an analysis gets to see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import duckdb

from workbench._sql import any_of, ident, literal, text
from workbench._sql import number as number_text
from workbench.errors import MomentError, StreamNotFound, did_you_mean
from workbench.moments import Clock, Moment
from workbench.store.database import Database
from workbench.store.fields import DUCK_TYPES, Field, field
from workbench.store.query import check_query, query_error

EVENTS = "log.main.events"


@dataclass(frozen=True, slots=True)
class Reader:
    """How one field is read from the events of a view."""

    value: str
    unusable: str | None
    """A condition that finds values which are there but do not fit; None where there are none."""
    present: str
    """A condition: there is a value, readable or not."""
    raw: str
    """The value as it stands there, for messages."""
    number: str
    """A number as text, with all the digits that the payload has; NULL where it is none."""


class Upcasting(Protocol):
    """What stands between stored payloads and those that a view shows; made by ``log.upcast``."""

    def with_more(self, upcasters: Sequence[Any]) -> Self:
        """Return these and other upcasters, checked together."""

    def changes(self, wanted: Field) -> bool:
        """Whether a field may be read otherwise than it is stored."""

    def read(self, wanted: Field, stored: Callable[[Field], Reader], database: Database) -> Reader:
        """Say how to read a field, given how fields are read as they are stored."""

    @property
    def condition(self) -> str:
        """A condition on ``events``: the payload is not shown as it is stored."""


@dataclass(frozen=True)
class View:
    """Some events of a log.

    Attributes
    ----------
    database
        The file.
    conditions
        SQL conditions over the columns of ``events``; all hold.
    words
        The same in words, for titles.
    upcasters
        What turns old payloads into new ones as fields are read (:meth:`read`); None: read as stored.
        ``view.without_upcasters()`` reads the same events as they are stored, so one query can hold both:
        ``view.read(field).value`` beside ``view.without_upcasters().read(field).value``.
        ``view.upcasters.condition`` finds the events whose payload they change.
    """

    database: Database
    conditions: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    upcasters: Upcasting | None = None

    # -- narrowing -------------------------------------------------------------------------------

    def narrowed(self, condition: str, words: str) -> View:
        """Return a view in which ``condition`` holds too."""
        return replace(
            self,
            conditions=(*self.conditions, condition),
            words=(*self.words, words),
        )

    def upcast(self, upcasting: Upcasting) -> View:
        """Return a view of the same events that reads payloads through upcasters."""
        return replace(self, upcasters=upcasting)

    def without_upcasters(self) -> View:
        """Return a view of the same events that reads payloads as they are stored."""
        return replace(self, upcasters=None)

    @property
    def whole(self) -> View:
        """The view of all events of the log, read in the same way."""
        return replace(self, conditions=(), words=())

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
    ) -> View:
        """Narrow by any of the columns, or by a SQL condition over ``events``."""
        view = self
        for column, wanted in (
            ("event_type", types),
            ("stream_id", stream),
            ("stream_type", stream_type),
            ("correlation_id", correlation),
            ("actor", actor),
            ("source", source),
        ):
            if wanted is not None:
                values = [wanted] if isinstance(wanted, str) else list(wanted)
                view = view.narrowed(any_of(column, values), f"{column} {_listed(values)}")
        if condition is not None:
            # Without the parentheses too: 'TRUE) OR (TRUE' would reach beyond its own pair.
            events = f"({view._shown})"
            view._try(f"SELECT CASE WHEN {condition}\nTHEN 1 END FROM {events} LIMIT 0", condition)
            view._try(f"SELECT 1 FROM {events} WHERE ({condition}\n) LIMIT 0", condition)
            narrower = f"({condition}\n)"
            if view.upcasters is not None:  # it is about the payload that this view shows
                narrower = f"position IN (SELECT position FROM {events} WHERE {narrower})"
            view = view.narrowed(narrower, condition)
        return view

    def between(
        self, start: dt.datetime | None, end: dt.datetime | None, clock: Clock | None
    ) -> View:
        """Narrow to ``start <= time < end`` on a clock."""
        chosen = self.clock(clock)
        view = self
        if start is not None:
            view = view.narrowed(
                f"{chosen}_at >= {literal(start)}", f"{chosen} from {start:%Y-%m-%d %H:%M:%SZ}"
            )
        if end is not None:
            view = view.narrowed(
                f"{chosen}_at < {literal(end)}", f"{chosen} before {end:%Y-%m-%d %H:%M:%SZ}"
            )
        return view

    def until(self, moment: Moment) -> View:
        """Narrow to a moment, which is inclusive."""
        view = self
        if moment.time is not None:
            chosen = self.clock(moment.clock)
            resolved = replace(moment, clock=chosen, position=None, version=None, known_at=None)
            view = view.narrowed(f"{chosen}_at <= {literal(moment.time)}", str(resolved))
        if moment.known_at is not None:
            self.clock("recorded")
            known = Moment(known_at=moment.known_at)
            view = view.narrowed(f"recorded_at <= {literal(moment.known_at)}", str(known))
        if moment.position is not None:
            view = view.narrowed(
                f"position <= {moment.position}", f"up to position {moment.position:,}"
            )
        if moment.version is not None:
            view = view.narrowed(
                f"version <= {moment.version}", f"up to version {moment.version:,}"
            )
        return view

    # -- reading ---------------------------------------------------------------------------------

    @property
    def filter(self) -> str:
        """The conditions as one expression."""
        return " AND ".join(self.conditions) or "TRUE"

    @property
    def sql(self) -> str:
        """The query for the events of this view, in the order of the log."""
        return f"{self._shown} WHERE {self.filter} ORDER BY position"

    @property
    def setup(self) -> str:
        """Defines ``events`` as this view, for a query of the user."""
        return f"CREATE OR REPLACE TEMP VIEW events AS {self._shown} WHERE {self.filter}"

    @property
    def _shown(self) -> str:
        """All events of the log, with payloads (and what is derived from them) as this view reads them."""
        if self.upcasters is None:
            return f"SELECT * FROM {EVENTS}"
        columns = {
            "data": f"CAST({self.read(field('event.data')).value} AS JSON)",
            "schema_version": self.read(field("event.schema_version")).value,
        }
        for name, path, kind in self.remember(
            "SELECT column_name, path, type FROM log.main.typed_columns"
        ):
            column, _, inner = path.partition(".")
            item = Field(column, inner, kind)
            if self.upcasters.changes(item):
                columns[name] = f"CAST({self.read(item).value} AS {DUCK_TYPES[item.type]})"
        replaced = ", ".join(f"{sql} AS {ident(name)}" for name, sql in columns.items())
        return f"SELECT * REPLACE ({replaced}) FROM {EVENTS}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query of ours and return its rows."""
        return self.database.rows(sql)

    def remember(self, sql: str) -> list[tuple[Any, ...]]:
        """Like :meth:`rows`, but asked once for as long as nothing is written to the log."""
        return self.database.remember(sql)

    @property
    def count(self) -> int:
        """The number of events."""
        return int(self.remember(f"SELECT count(*) FROM {EVENTS} WHERE {self.filter}")[0][0])

    @property
    def types(self) -> dict[str, int]:
        """Event type -> number of events, most frequent first."""
        rows = self.remember(
            f"SELECT event_type, count(*) AS n FROM {EVENTS} WHERE {self.filter} GROUP BY 1 ORDER BY n DESC, 1"
        )
        return dict(rows)

    def clock(self, wanted: Clock | None) -> Clock:
        """Choose a clock: the one asked for, else recorded where the log has it, else occurred.

        Raises
        ------
        MomentError
            No event of the log has a time on that clock.
        """
        # Of the whole log: a narrowed view must not run on another clock than the log itself.
        recorded, occurred = self.remember(
            f"SELECT count(recorded_at), count(occurred_at) FROM {EVENTS}"
        )[0]
        if wanted is None:
            # The clock that knows more events; on a tie, what was known.
            wanted = "recorded" if recorded >= occurred and recorded else "occurred"
        if recorded + occurred and not (recorded if wanted == "recorded" else occurred):
            other: Clock = "occurred" if wanted == "recorded" else "recorded"
            message = f"{self.database.label}: no event says when it was {wanted}."
            raise MomentError(message, hint=f"use clock={other!r}")
        return wanted

    def without_time(self, clock: Clock) -> int:
        """The number of events that have no time on a clock, and so are at no moment of it."""
        return int(
            self.remember(
                f"SELECT count(*) FROM {EVENTS} WHERE {self.filter} AND {clock}_at IS NULL"
            )[0][0]
        )

    @property
    def versions_order_streams(self) -> bool:
        """Whether every event has a version and no two of a stream share one."""
        return not self.remember(
            f"SELECT 1 FROM {EVENTS} WHERE {self.filter} AND version IS NULL UNION ALL (SELECT 1 FROM {EVENTS} "
            f"WHERE {self.filter} GROUP BY stream_id, version HAVING count(*) > 1) LIMIT 1"
        )

    @property
    def is_settled(self) -> bool:
        """Whether all events lie in the order of stream and version."""
        return not self.remember("SELECT 1 FROM log.main.events_tail LIMIT 1")

    def read(self, wanted: Field) -> Reader:
        """Say how to read a field: through upcasters; from its typed column where exact, or the payload."""
        if self.upcasters is None:
            return self._read_stored(wanted)
        return self.upcasters.read(wanted, self._read_stored, self.database)

    def _read_stored(self, wanted: Field) -> Reader:
        if self._typed(wanted) is not None:
            value = ident(wanted.typed_column)
            there = f"{value} IS NOT NULL"
            return Reader(value, None, there, wanted.raw_sql, f"CAST({value} AS VARCHAR)")
        unusable = None
        if wanted.may_be_unusable:
            unusable = f"{wanted.present_sql} AND ({wanted.value_sql}) IS NULL"
        number = (
            wanted.read_sql(number_text) if wanted.path else f"CAST({wanted.raw_sql} AS VARCHAR)"
        )
        return Reader(wanted.value_sql, unusable, wanted.present_sql, wanted.raw_sql, number)

    def stored_fields(self, wanted: Field) -> list[Field]:
        """Return the fields of stored payloads from which a field is read: itself, and what upcasters take it from."""
        found = [wanted]

        def noted(item: Field) -> Reader:
            found.append(item)
            return self._read_stored(item)

        if self.upcasters is not None:
            self.upcasters.read(wanted, noted, self.database)
        return list(dict.fromkeys(found))

    def narrow(self, wanted: Field) -> bool:
        """Whether a decimal field is read from a typed column of at most four places, in a machine integer."""
        if self.upcasters is not None and self.upcasters.changes(wanted):
            return False
        return self._typed(wanted) is True

    def _typed(self, wanted: Field) -> bool | None:
        """Whether an exact typed column of a field is narrow; None when there is none."""
        found = self.remember(
            "SELECT column_name, narrow FROM log.main.typed_columns WHERE misfits = 0"
        )
        return dict(found).get(wanted.typed_column)

    def require_stream(self, stream: str) -> None:
        """Check that a stream is there.

        Raises
        ------
        StreamNotFound
            It is not; the message names those with close names.
        """
        if self.rows(
            f"SELECT 1 FROM {EVENTS} WHERE {self.filter} AND stream_id = {text(stream)} LIMIT 1"
        ):
            return
        near = self.rows(
            f"SELECT DISTINCT stream_id FROM {EVENTS} WHERE {self.filter} AND "
            f"(jaro_winkler_similarity(stream_id, {text(stream)}) > 0.85 OR contains(stream_id, {text(stream)})) LIMIT 500"
        )
        message = f"{self.database.label}: there is no stream {stream!r}{' in this view' if self.conditions else ''}."
        raise StreamNotFound(
            message + did_you_mean(stream, [row[0] for row in near]),
            hint="log.sql('SELECT DISTINCT stream_id FROM events') lists them",
        )

    def _try(self, sql: str, shown: str) -> None:
        check_query(sql)
        try:
            self.database.cursor().execute(sql)
        except duckdb.Error as error:
            raise query_error(error, shown) from error


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:3]) + (f", … ({len(values)})" if len(values) > 3 else "")
    return f"= {shown}" if len(values) == 1 else f"in {shown}"
