"""One way to run whatever defines rows: a projection in SQL, a fold in Python."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from workbench._sql import ident
from workbench.errors import ProjectionError
from workbench.moments import Clock, Moment
from workbench.projections.engines import duckdb_sql, python_fold
from workbench.projections.fold import Fold
from workbench.projections.projection import Projection
from workbench.store.view import View

Definition = Projection | Fold


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a definition: a query, and a table where Python had to make them first."""

    sql: str
    clock: Clock
    arrow: pa.Table | None = None


def check(definition: object) -> Definition:
    """Check that something defines rows.

    Raises
    ------
    ProjectionError
        It is neither a Projection nor a Fold.
    """
    if not isinstance(definition, Projection | Fold):
        message = f"{type(definition).__name__} is no definition of rows."
        raise ProjectionError(message, hint="pass a wb.Projection or a wb.Fold")
    return definition


def columns_of(definition: Definition, rows: list[str]) -> list[str]:
    """Return the definition's own columns among those of its rows."""
    added = {
        *definition.key,
        "version",
        "position",
        "events",
        "valid_from",
        "valid_to",
        "event_type",
    }
    return [name for name in rows if name not in added]


def replay_rows(definition: Definition, view: View, moment: Moment) -> Rows:
    """Run a definition up to a moment."""
    if isinstance(definition, Projection):
        compiled = duckdb_sql.replay_sql(definition, view, moment)
        return Rows(compiled.sql, compiled.clock)
    folded = python_fold.replay(definition, view, moment)
    return Rows(_fold_note(definition), folded.clock, folded.rows)


def history_rows(
    definition: Definition,
    view: View,
    moment: Moment,
    *,
    only: str | None = None,
    ends: bool = False,
) -> Rows:
    """Run a definition and keep every state, of all rows or of those whose keys ``only`` gives."""
    if isinstance(definition, Projection):
        compiled = duckdb_sql.history_sql(definition, view, moment, only=only, ends=ends)
        return Rows(compiled.sql, compiled.clock)
    folded = python_fold.history(definition, view, moment, only=only, ends=ends)
    return Rows(_fold_note(definition), folded.clock, folded.rows)


def narrow_to_stream(view: View, definition: Definition, stream: str | None) -> View:
    """Narrow to one stream, or to one row of a payload-keyed definition.

    Raises
    ------
    StreamNotFound
        There is no such stream.
    """
    if stream is None:
        return view
    view.require_stream(stream)
    if not definition.by_stream:
        message = f"{definition.name!r} has rows by {', '.join(definition.key)}, not by stream."
        raise ProjectionError(
            message,
            hint="narrow the log first: log.where(condition=…), or read all rows and filter",
        )
    return view.where(stream=stream)


def _fold_note(definition: Fold) -> str:
    keys = ", ".join(ident(name) for name in definition.key)
    return f"-- fold {definition.name} runs in Python, over the events ordered by {keys}; it has no SQL of its own"
