"""Finding the sagas of a log, and judging each at a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from workbench._sql import any_of
from workbench.analysis.sagas.flows import Packing, flows_sql, packed_sql, packing
from workbench.analysis.sagas.result import COLUMNS, Sagas
from workbench.analysis.sagas.rules import Rules
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Clock, Moment
from workbench.projections.saga import Saga
from workbench.store.database import Database
from workbench.store.view import EVENTS, View

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Work:
    """The stages of an analysis, each a table in the workspace for as long as its results live."""

    def __init__(self, database: Database, rules: Rules, packed: str) -> None:
        self.rules = rules
        kept = database.keep(packed, self, "saga_packed")
        if database.rows(f"SELECT 1 FROM {kept} WHERE trace IS NULL LIMIT 1"):
            kept = database.keep(flows_sql(kept, rules.packing), self, "saga_flows")
        self.tables = {"flows": kept}
        named = {"flows": "flows"}
        whole = {"packed": packed, "flows": flows_sql("packed", rules.packing)}
        for name, query in rules.stages().items():
            self.tables[name] = database.keep(query(self.tables), self, f"saga_{name}")
            whole[name] = query(named)
            named[name] = name
        parts = ",\n".join(f"{name} AS MATERIALIZED ({sql})" for name, sql in whole.items())
        self.sql = f"WITH {parts}\nSELECT {', '.join(COLUMNS)} FROM rows"


def sagas(view: View, saga: Saga, moment: Moment) -> Sagas:
    """Judge each saga of a view at a moment.

    Parameters
    ----------
    view
        The events.
    saga
        The definition.
    moment
        The cut-off, and 'now' for deadlines. At the end of the log, now is the time of its last event.

    Raises
    ------
    ConfigError
        ``saga`` is no definition of a saga.
    MomentError
        No event says when it was, on that clock.
    """
    if not isinstance(saga, Saga):
        message = f"log.sagas takes a saga, and this is {type(saga).__name__}."
        raise ConfigError(message, hint="pass a wb.Saga, or workbench.bundled.checkout_saga")
    asked = view.until(moment)
    clock = view.clock(moment.clock)
    now = _now(asked, moment, clock)
    pack = packing(asked, saga, clock)
    work = Work(view.database, Rules(saga, pack, now), packed_sql(asked, saga, pack))
    at = "at no known time" if now is None else f"at {_shown(now)} ({clock})"
    result = Sagas(
        view.database,
        work.sql,
        title=f"Sagas of {saga.name!r}, {'; '.join([*view.words, at])}",
        notes=list(_notes(view, asked, saga, pack, work)),
        stored=f"(SELECT {', '.join(COLUMNS)} FROM {work.tables['rows']})",
    )
    result.saga, result.clock, result.moment = saga, clock, moment
    result.now = None if now is None else EPOCH + dt.timedelta(microseconds=now)
    result._work, result._view = work, asked
    return result


def _now(asked: View, moment: Moment, clock: Clock) -> int | None:
    """Return the time at which sagas are judged, in µs since 1970."""
    given = moment.time or moment.known_at
    if given is not None:
        return (given - EPOCH) // dt.timedelta(microseconds=1)
    found: int | None = asked.remember(
        f"SELECT max(epoch_us({clock}_at)) FILTER (isfinite({clock}_at)) FROM {EVENTS} WHERE {asked.filter}"
    )[0][0]
    return found


def _shown(now: int) -> str:
    time = EPOCH + dt.timedelta(microseconds=now)
    return time.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")


def _notes(view: View, asked: View, saga: Saga, pack: Packing, work: Work) -> Iterator[str]:
    """Say what was left out, and what looks misspelt."""
    known = View(view.database).types
    if known:
        for kind in saga.types:
            if kind not in known:
                others = set(known).difference(saga.types)
                yield f"no event of this log is a {kind}.{did_you_mean(kind, others)}"
    key = asked.read(saga.correlation).value
    types = any_of("event_type", saga.types)
    (lost,) = asked.remember(
        f"SELECT count(*) FROM {EVENTS} WHERE {asked.filter} AND {types} AND {key} IS NULL"
    )[0]
    if lost:
        yield f"{lost:,} events of these types have no {saga.correlation.name}, and belong to no saga"
    begun, events = asked.rows(
        f"SELECT coalesce(sum(sagas), 0), coalesce(sum(sagas * events), 0) FROM {work.tables['verdicts']} "
        "WHERE started IS NULL"
    )[0]
    if begun:
        yield (
            f"{int(begun):,} values of {saga.correlation.name} ({int(events):,} events) have no "
            f"{' or '.join(saga.start)}, so they begin no saga and are left out"
        )
    if pack.by_position:
        yield (
            f"some events do not say when they were {pack.clock}: all are taken in the order of the log, and no "
            "deadline is judged where a time is unknown"
        )
