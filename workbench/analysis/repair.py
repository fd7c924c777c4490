"""Repair: what would put the wrong rows right, as statements to be reviewed. Nothing here writes anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from workbench import _html
from workbench._sql import ident, literal, text
from workbench.analysis.explain import causes
from workbench.analysis.explain.words import counted
from workbench.errors import ConfigError, did_you_mean
from workbench.store.table import Table

if TYPE_CHECKING:
    from workbench.analysis.explain.result import Explanation

ACTIONS: Final[Mapping[str, str]] = {
    "stale": "republish",
    "missing": "rebuild",
    "corrupted": "reset and rebuild",
    "orphaned": "review",
}
DOES: Final[Mapping[str, str]] = {
    "republish": "publish the events after its version again, or bring the row to the head here",
    "rebuild": "insert the row as the replay has it",
    "reset and rebuild": "replace the row by the replay's; put the projector right first, or it comes back",
    "review": "no event explains it: find out who wrote it; it is deleted only when you ask for that",
}
REPAIRED: Final = ("stale", "missing", "corrupted")
"""The classes that a repair changes unless told otherwise; orphaned rows are left for people."""

Kind = Literal["update", "insert", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row to change, with the names of the read model's own columns.

    Attributes
    ----------
    was
        What the compared columns held when the diff read them.
    """

    kind: Kind
    key: Mapping[str, Any]
    values: Mapping[str, Any]
    was: Mapping[str, Any]


class Repair(Table):
    """A plan: one row for each wrong row, worst classes first. Nothing of it is run.

    Columns: the key; ``class``; ``cause``, the simplest; ``action``: ``republish``, ``rebuild``, ``reset and
    rebuild`` or ``review``; ``after_version``, from where to republish (stale rows); ``statement``, SQL for the read
    model's own table that brings the row to the head of the log (NULL where nothing is to be run).

    Attributes
    ----------
    changes
        The same statements as values, for ``log.reconcile(…, apply=…)``.
    table
        The table that the statements name.
    """

    changes: tuple[Change, ...]
    table: str

    def summary(self) -> Table:
        """Count rows by class and action: ``class``, ``action``, ``rows``, ``does``."""
        does = " ".join(f"WHEN {text(name)} THEN {text(told)}" for name, told in DOES.items())
        sql = (
            f"SELECT class, action, count(*) AS rows, CASE action {does} END AS does FROM ({self._query}) "
            "GROUP BY ALL ORDER BY rows DESC, class"
        )
        table = Table(self._database, sql, title=f"What to do about {self.table}")
        table._owner = self
        return table

    def script(self) -> str:
        """Return all statements as one transaction, to be reviewed and run by hand."""
        rows = self._run(
            f"SELECT class, cause, action, statement FROM ({self._query}) WHERE statement IS NOT NULL"
        ).fetchall()
        lines = ["BEGIN;"]
        for kind, cause, action, statement in rows:
            # A line break in a payload must not end the comment.
            lines.append(f"-- {_html.line(f'{kind}, {cause}: {action}')}")
            lines.append(f"{statement};")
        return "\n".join([*lines, "COMMIT;", ""])

    def __repr__(self) -> str:
        rows = self.summary().rows()
        lines = [f"{_html.line(self.title)} — a plan: nothing has been run"]
        lines += [
            f"  {counted(row['rows'], 'row')} {row['class']}: {row['action']} ({row['does']})"
            for row in rows
        ]
        return "\n".join([*lines, *(f"  {_html.line(note)}" for note in self._more_to_say(rows))])

    def _repr_html_(self) -> str:
        rows = self.summary().rows()
        body = _html.table(
            ["class", "rows", "action", "what that is"],
            [[row["class"], row["rows"], row["action"], row["does"]] for row in rows],
            numeric=[False, True],
        )
        body += "".join(_html.note(line) for line in self._more_to_say(rows))
        return _html.card(self.title, body, subtitle="a plan: nothing has been run")

    def _more_to_say(self, rows: list[dict[str, Any]]) -> list[str]:
        if not rows:
            return ["no row is wrong: there is nothing to do"]
        return [".script() is the SQL, to be reviewed; .df() has it row by row", *self.notes]


def plan(
    explanation: Explanation, *, table: str | None = None, classes: Iterable[str] = REPAIRED
) -> Repair:
    """Plan what puts wrong rows right.

    Parameters
    ----------
    explanation
        What ``diff.explain()`` gave.
    table
        The read model's table, where it was not read from one.
    classes
        Whose rows get statements; name ``"orphaned"`` too to have those deleted.

    Returns
    -------
    Repair

    Raises
    ------
    ConfigError
        There is no such class.
    """
    chosen = tuple(classes)
    for name in chosen:
        if name not in ACTIONS:
            message = f"rows of class {name!r} are not repaired."
            raise ConfigError(message + did_you_mean(name, ACTIONS))
    model = explanation.diff.model
    named = table or model.table or model.name
    found = _wrong_rows(explanation)
    changes: list[Change] = []
    rows: list[dict[str, Any]] = []
    keys = explanation.suspects.work.keys
    for row in found:
        change = _change(explanation, row) if row["class"] in chosen else None
        action = ACTIONS[row["class"]]
        if row["class"] == "orphaned" and change is not None:
            action = "delete"
        if change is not None:
            changes.append(change)
        rows.append(
            {
                **{name: row[name] for name in keys},
                "class": row["class"],
                "cause": row["cause"],
                "action": action,
                "after_version": row["equals_version"] if row["class"] == "stale" else None,
                "statement": None if change is None else statement(change, named),
            }
        )
    schema = {name: pa.string() for name in (*keys, "class", "cause", "action")}
    arrow = pa.Table.from_pylist(
        rows, pa.schema(schema | {"after_version": pa.int64(), "statement": pa.string()})
    )
    notes = []
    if model.version is None and model.position is None:
        notes.append(
            f"{model.name} keeps no checkpoint: stop its projector while the plan runs, or events that are on their way are applied twice"
        )
    result = Repair(
        explanation._database,
        "-- planned in Python",
        title=f"What would put {model.name} right",
        notes=notes,
    )
    result._stored = explanation._database.keep_arrow(arrow, result, "repair")
    result.changes, result.table = tuple(changes), named
    return result


def _wrong_rows(explanation: Explanation) -> list[dict[str, Any]]:
    """The wrong rows with what is stored, what the replay has at the head, and the best cause."""
    suspects, work = explanation.suspects, explanation.suspects.work
    same = " AND ".join(f"CAST(r.{ident(name)} AS VARCHAR) = s.{ident(name)}" for name in work.keys)
    keys = ", ".join(f"s.{ident(name)}" for name in work.keys)
    stored = "".join(f", s.{ident('stored_' + column.name)}" for column in work.columns)
    head = "".join(
        f", r.{ident(column.name)} AS {ident('head_' + column.name)}" for column in work.columns
    )
    number = "try_cast(regexp_extract(e.source_position, '(\\d+)$', 1) AS BIGINT)"
    sql = (
        f"SELECT {keys}, s.class, coalesce(h.cause, {text(causes.UNEXPLAINED)}) AS cause, t.wb_version AS equals_version, "
        f"r.{ident(work.keys[0])} IS NOT NULL AS in_replay, r.version AS head_version, r.position AS head_position, "
        f"{number} AS head_number{stored}{head} FROM {suspects.table} s LEFT JOIN {work.replayed} r ON {same} "
        f"LEFT JOIN (FROM {explanation.kept} WHERE rank = 1) h USING (wb_k) "
        f"LEFT JOIN {suspects.tape} t ON t.wb_k = s.wb_k AND t.wb_n = h.lo - 1 "
        "LEFT JOIN log.main.events e ON e.position = r.position ORDER BY s.wb_k"
    )
    table = Table(explanation._database, sql, title="Wrong rows")
    table._owner = suspects
    return table.rows()


def _change(explanation: Explanation, row: Mapping[str, Any]) -> Change | None:
    work, model = explanation.suspects.work, explanation.diff.model
    theirs = {ours: name for name, ours in model.columns.items()}
    key = {theirs.get(name, name): row[name] for name in work.keys}

    def side(prefix: str) -> dict[str, Any]:
        return {
            theirs.get(column.name, column.name): column.to_store(row[prefix + column.name])
            for column in work.columns
        }

    was = side("stored_")
    if not row["in_replay"]:
        # The events have ended this row, or never knew it.
        return Change("delete", key, {}, was)
    values = side("head_")
    if model.version is not None:
        values[theirs.get(model.version, model.version)] = row["head_version"]
    elif isinstance(model.position, str):
        at = row["head_position"] if model.positions == "log" else row["head_number"]
        values[theirs.get(model.position, model.position)] = at
    if row["class"] == "missing":
        return Change("insert", key, values, {})
    return Change("update", key, values, was)


def statement(change: Change, table: str) -> str:
    r"""Write a change as SQL, with every value escaped.

    >>> statement(Change("update", {"id": "o'1"}, {"total": 7}, {}), "shop.orders")
    'UPDATE "shop"."orders" SET "total" = 7 WHERE "id" = \'o\'\'1\''
    """
    name = ".".join(map(ident, table.split(".")))
    where = " AND ".join(
        f"{ident(column)} = {_value(value)}" for column, value in change.key.items()
    )
    if change.kind == "delete":
        return f"DELETE FROM {name} WHERE {where}"
    if change.kind == "insert":
        both = {**change.key, **change.values}
        return (
            f"INSERT INTO {name} ({', '.join(map(ident, both))}) VALUES "
            f"({', '.join(_value(value) for value in both.values())})"
        )
    sets = ", ".join(
        f"{ident(column)} = {_value(value)}" for column, value in change.values.items()
    )
    return f"UPDATE {name} SET {sets} WHERE {where}"


def _value(value: Any) -> str:
    """Write a value so that Postgres and DuckDB both read it; text of payloads stays text."""
    if isinstance(value, Decimal):
        return _html.plain(value)
    if isinstance(value, list | tuple):
        return f"ARRAY[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return text(json.dumps(value, default=str))
    if isinstance(value, str) and "\x00" in value:
        message = "a value holds a NUL character, which no text in Postgres can."
        raise ConfigError(message, hint="leave this row out, and look at its events")
    return literal(value)
