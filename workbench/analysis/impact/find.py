"""Finding an impact: both sides are run over the whole history, and their states compared event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from workbench._sql import ident, text
from workbench.analysis.compare import Column
from workbench.analysis.definition import Definition, check
from workbench.analysis.impact.result import CLASSES, Impact
from workbench.analysis.impact.sides import END, Side, columns, keys_of
from workbench.analysis.notes import notes
from workbench.errors import ConfigError
from workbench.projections.engines.upcast_sql import Upcasters
from workbench.projections.upcasting import Upcaster, said_of
from workbench.store.fork import CHANGED, REPLACED, Fork
from workbench.store.view import EVENTS, View

AT_ONCE: Final = 200_000
"""So many states of a fold are held in memory at once."""


def of_definitions(
    view: View, before: Definition, after: Definition, *, passing: bool | None = None
) -> Impact:
    """Compare two definitions over the events of a view."""
    left, right = Side(view, check(before)), Side(view, check(after))
    names = [before.name, after.name]
    if names[0] == names[1]:
        names = [f"{names[0]} before", f"{names[1]} after"]
    return _Comparison(left, right).impact(
        f"Impact of {names[1]} in place of {names[0]}", passing=passing
    )


def of_upcasters(
    view: View,
    before: Sequence[Upcaster],
    after: Sequence[Upcaster],
    definition: Definition,
    *,
    passing: bool | None = None,
) -> Impact:
    """Compare two sets of upcasters under one definition."""
    sides = []
    for upcasters in (before, after):
        chosen = Upcasters.of(upcasters)
        chosen.check(view.database)
        read = view.upcast(chosen) if upcasters else view.without_upcasters()
        sides.append(Side(read, check(definition)))
    # By their names; with what they do where that is what tells them apart.
    same = [item.name for item in before] == [item.name for item in after]
    said = [_listed(upcasters, whole=same) for upcasters in (before, after)]
    return _Comparison(*sides).impact(
        f"Impact on {definition.name} of {said[1]} in place of {said[0]}", passing=passing
    )


def against(view: View, definition: Definition) -> Impact:
    """Compare a fork with the log that it was made from.

    Raises
    ------
    ConfigError
        The view is not of a fork.
    """
    if not isinstance(view.database, Fork):
        message = "this log is no fork, and there is nothing to hold it against."
        raise ConfigError(message, hint="make one: log.what_if(drop=[88120]).against(definition)")
    words = view.words[:-1] if view.words and view.words[-1] == view.database.words else view.words
    origin = View(view.database.origin, view.conditions, words, view.upcasters)
    comparison = _Comparison(Side(origin, check(definition)), Side(view, definition))
    return comparison.impact(f"Impact on {definition.name} of {view.database.words}")


def _listed(upcasters: Sequence[Upcaster], *, whole: bool) -> str:
    if not upcasters:
        return "no upcasters"
    names = [
        f"{item.name} ({', '.join(map(said_of, item.operations))})" if whole else item.name
        for item in upcasters[:3]
    ]
    shown = ", ".join(names)
    return shown + (f" and {len(upcasters) - 3} more" if len(upcasters) > 3 else "")


class _Comparison:
    """Both sides, and the steps from their states to the rows of an impact."""

    def __init__(self, before: Side, after: Side) -> None:
        self.before, self.after = before, after
        self.database = after.view.database
        # The rows at the end of the log; a fold is run for them once.
        self.becomes = after.rows(self.database, self)
        theirs = ours = self._types(self.becomes)
        self.was = ""
        if not isinstance(self.database, Fork):  # there the rows that may differ are known
            self.was = before.rows(self.database, self)
            theirs = self._types(self.was)
        self.columns, self.notes = columns(before, after, theirs, ours)
        self.keys = keys_of(after)

    def _types(self, rows: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.database.rows(f"DESCRIBE FROM {rows}")}

    def impact(self, title: str, *, passing: bool | None = None) -> Impact:
        """Compare, and return the rows that differ."""
        in_sql = self.before.is_sql and self.after.is_sql
        result = Impact(self.database, "", title=title)
        if isinstance(self.database, Fork):
            suspects = self._of_changed_events()
        elif in_sql and passing is not False:
            suspects = self._of_states()
        elif passing:
            suspects = self._of_all_events()
        else:
            suspects = self._of_rows()
            self.notes.append(
                "rows that differed only for a time are not looked for; passing=True does, event by event"
            )
        self._said()
        counts = self.database.rows(f"SELECT count(*) FROM {self.becomes}")[0][0]
        parts = [
            self._diverging(f"SELECT {self.keys} FROM {suspects} WHERE batch = {batch}")
            for batch in self._batches(suspects)
        ]
        result._stored = self.database.keep(self._ordered(parts), result, "impact")
        # The query that needs no table of ours: over all rows, where there is one.
        whole = in_sql and not isinstance(self.database, Fork)
        result.sql = self._ordered([self._sql(None)]) if whole else f"FROM {result._stored}"
        result._order = f"first_position, {self.keys}"
        result.title, result.notes = title, tuple(dict.fromkeys(self.notes))
        result.definition = self.after.definition
        result.compared = tuple(column.name for column in self.columns)
        result.of_rows = int(counts)
        return result

    def _said(self) -> None:
        """What has to be known about each side."""
        found = []
        for side in (self.before, self.after):
            clock = side.view.clock(None)
            found.append(notes(side.definition, side.view, END, clock))
        for words, own, other in (("before", found[0], found[1]), ("after", found[1], found[0])):
            self.notes += [line if line in other else f"{words}: {line}" for line in own]

    # -- rows that may differ --------------------------------------------------------------------

    def _of_states(self) -> str:
        """Rows with a state that differs, or that one side alone has: one join over all states."""
        left = self.before.states(self.database, self)
        right = self.after.states(self.database, self)
        apart = f"l.position IS NULL OR r.position IS NULL OR {_apart(self.columns, 'l', 'r')}"
        same = " AND ".join(
            f"l.{ident(name)} = r.{ident(name)}" for name in self.after.definition.key
        )
        keys = ", ".join(
            f"coalesce(l.{ident(name)}, r.{ident(name)}) AS {ident(name)}"
            for name in self.after.definition.key
        )
        return self._suspects(
            f"SELECT DISTINCT {keys}, 0 AS events FROM {left} l FULL JOIN {right} r ON {same} AND l.position = r.position WHERE {apart}"
        )

    def _of_rows(self) -> str:
        """Rows that differ at the end of the log, with how many events they have."""
        left, right = self.was, self.becomes
        key = list(self.after.definition.key)
        same = " AND ".join(f"l.{ident(name)} = r.{ident(name)}" for name in key)
        keys = ", ".join(
            f"coalesce(l.{ident(name)}, r.{ident(name)}) AS {ident(name)}" for name in key
        )
        equal = " AND ".join(
            column.equal_sql(f"l.{ident(column.name)}", f"r.{ident(column.name)}")
            for column in self.columns
        )
        return self._suspects(
            f"SELECT * EXCLUDE (differs) FROM (SELECT {keys}, greatest(l.events, r.events) AS events, "
            f"l.position IS NULL OR r.position IS NULL OR NOT ({equal}) AS differs "
            f"FROM {left} l FULL JOIN {right} r ON {same}) WHERE differs",
        )

    def _of_all_events(self) -> str:
        """All rows that there ever were, with how many events they have."""
        counted = " UNION ALL ".join(
            f"SELECT {self._read_keys(side)}, count(*) AS events FROM {EVENTS} "
            f"WHERE {side.view.filter} GROUP BY ALL"
            for side in (self.before, self.after)
        )
        return self._suspects(
            f"SELECT {self.keys}, max(events) AS events FROM ({counted}) WHERE {self._is_keyed} GROUP BY ALL",
        )

    def _read_keys(self, side: Side) -> str:
        return ", ".join(
            f"{side.view.read(item).value} AS {ident(name)}"
            for name, item in side.definition.key.items()
        )

    @property
    def _is_keyed(self) -> str:
        return " AND ".join(f"{ident(name)} IS NOT NULL" for name in self.after.definition.key)

    def _of_changed_events(self) -> str:
        """Rows that a changed event belongs to, before or after; all others are what they were."""
        found = []
        for side, positions in ((self.before, REPLACED), (self.after, CHANGED)):
            listed = self.database.rows(f"SELECT position FROM {positions}")
            numbers = (
                self.database.cursor().sql(f"SELECT position FROM {positions}").to_arrow_table()
            )
            within = side.view.database.keep_arrow(numbers, self, "positions")
            sql = (
                f"SELECT DISTINCT *, 0 AS events FROM (SELECT {self._read_keys(side)} FROM {EVENTS} WHERE {side.view.filter} "
                f"AND position IN (SELECT position FROM {within})) WHERE {self._is_keyed}"
            )
            if listed:
                rows = side.view.database.cursor().sql(sql).to_arrow_table()
                found.append(f"FROM {self.database.keep_arrow(rows, self, 'touched')}")
        return self._suspects(" UNION ".join(found))

    def _suspects(self, sql: str) -> str:
        """Keep the keys of rows that may differ, each with the number of the batch in which it is looked at.

        ``events`` is how many states have to be held in Python for a row: none where SQL does it.
        """
        batch = f"CAST(sum(events) OVER (ROWS UNBOUNDED PRECEDING) // {AT_ONCE} AS BIGINT)"
        return self.database.keep(
            f"SELECT * EXCLUDE (events), {batch} AS batch FROM ({sql})", self, "suspects"
        )

    def _batches(self, suspects: str) -> list[int]:
        rows = self.database.rows(f"SELECT DISTINCT batch FROM {suspects} ORDER BY batch")
        return [int(row[0]) for row in rows]

    # -- from which event on ---------------------------------------------------------------------

    def _diverging(self, only: str) -> str:
        """The rows of a batch that differ, kept in a table."""
        return self.database.keep(self._sql(only), self, "diverging")

    def _sql(self, only: str | None) -> str:
        """A query for the rows that differ, with the event from which on they do."""
        left, right = (
            side.states(self.database, self, only and self._there(side, only))
            for side in (self.before, self.after)
        )
        key = list(self.after.definition.key)
        same = " AND ".join(f"l.{ident(name)} = r.{ident(name)}" for name in key)
        keys = ", ".join(
            f"coalesce(l.{ident(name)}, r.{ident(name)}) AS {ident(name)}" for name in key
        )
        shared = ("position", "version", "event_type", "valid_from")
        both = ", ".join(f"coalesce(r.{name}, l.{name}) AS {name}" for name in shared)
        order = "version, position" if self.after.definition.by_stream else "position"
        past = f"OVER (PARTITION BY {self.keys} ORDER BY {order} ROWS UNBOUNDED PRECEDING)"
        alive = "{0} IS NOT NULL AND NOT {0}.is_end"
        before, after = alive.format("wb_was"), alive.format("wb_becomes")
        differing = ", ".join(
            f"CASE WHEN NOT {column.equal_sql('wb_was.' + ident(column.name), 'wb_becomes.' + ident(column.name))} "
            f"THEN {text(column.name)} END"
            for column in self.columns
        )
        pairs = ", ".join(
            f"CASE WHEN wb_last.before THEN wb_last.was.{ident(column.name)} END AS {ident('before_' + column.name)}, "
            f"CASE WHEN wb_last.after THEN wb_last.becomes.{ident(column.name)} END AS {ident('after_' + column.name)}"
            for column in self.columns
        )
        return f"""
        WITH joined AS (
            SELECT {keys}, {both}, {self._state("l")} AS own_was, {self._state("r")} AS own_becomes
            FROM {left} l FULL JOIN {right} r ON {same} AND l.position = r.position),
        carried AS (
            SELECT * EXCLUDE (own_was, own_becomes), row_number() {past} AS nth,
                last_value(own_was IGNORE NULLS) {past} AS wb_was,
                last_value(own_becomes IGNORE NULLS) {past} AS wb_becomes
            FROM joined),
        compared AS (
            SELECT *, {before} AS wb_before, {after} AS wb_after,
                CASE WHEN {before} AND {after} THEN list_filter([{differing}], lambda name: name IS NOT NULL)
                ELSE [] END AS wb_columns
            FROM carried),
        judged AS (SELECT *, wb_before <> wb_after OR len(wb_columns) > 0 AS wb_apart FROM compared),
        marked AS (
            SELECT *, wb_apart AND NOT coalesce(lag(wb_apart) OVER (PARTITION BY {self.keys} ORDER BY nth), FALSE)
                AS wb_parts FROM judged),
        summed AS (
            SELECT {self.keys},
                arg_max({{before: wb_before, after: wb_after, apart: wb_apart, names: wb_columns, was: wb_was,
                    becomes: wb_becomes}}, nth) AS wb_last,
                arg_min({{position: position, version: version, event_type: event_type, time: valid_from}}, nth)
                    FILTER (wb_apart) AS wb_first,
                arg_max({{position: position, time: valid_from}}, nth) FILTER (wb_parts) AS wb_since,
                count(*) FILTER (wb_apart) AS states_apart, count(*) AS states
            FROM marked GROUP BY {self.keys} HAVING bool_or(wb_apart))
        SELECT {self.keys}, CASE WHEN NOT wb_last.apart THEN 'passing'
                WHEN wb_last.before AND wb_last.after THEN 'changed'
                WHEN wb_last.after THEN 'added' ELSE 'removed' END AS class,
            wb_last.names AS columns, wb_first.position AS first_position, wb_first.version AS first_version,
            wb_first.event_type AS first_event_type, wb_first.time AS first_at,
            CASE WHEN wb_last.apart THEN wb_since.position END AS since_position,
            CASE WHEN wb_last.apart THEN wb_since.time END AS since, states_apart, states, {pairs}
        FROM summed"""

    def _there(self, side: Side, only: str) -> str:
        """The same keys in the workspace of a side."""
        if side.view.database is self.database:
            return only
        keys = self.database.cursor().sql(only).to_arrow_table()
        return f"FROM {side.view.database.keep_arrow(keys, self, 'only')}"

    def _state(self, side: str) -> str:
        pairs = ", ".join(
            f"{ident(column.name)}: {side}.{ident(column.name)}" for column in self.columns
        )
        return f"CASE WHEN {side}.position IS NOT NULL THEN {{is_end: {side}.is_end, {pairs}}} END"

    def _ordered(self, parts: list[str]) -> str:
        if not parts:  # no row can differ: the same columns, without rows
            parts = [self._diverging(f"SELECT {self.keys} FROM {self._nothing()}")]
        union = " UNION ALL ".join(
            f"FROM {part}" if part.startswith("memory.") else f"FROM ({part})" for part in parts
        )
        return f"FROM ({union}) ORDER BY list_position([{', '.join(map(text, CLASSES))}], class), first_position, {self.keys}"

    def _nothing(self) -> str:
        nothing = pa.table({name: pa.array([], pa.string()) for name in self.after.definition.key})
        return self.database.keep_arrow(nothing, self, "nothing")


def _apart(compared: Sequence[Column], left: str, right: str) -> str:
    """A condition: the states of two histories after one event are not the same."""
    equal = " AND ".join(
        column.equal_sql(f"{left}.{ident(column.name)}", f"{right}.{ident(column.name)}")
        for column in compared
    )
    return f"({left}.is_end <> {right}.is_end OR (NOT {left}.is_end AND NOT ({equal})))"
