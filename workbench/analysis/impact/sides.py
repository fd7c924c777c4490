"""The two sides of an impact: a definition over a view, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from workbench._sql import ident
from workbench.analysis.compare import Column, paired
from workbench.analysis.definition import Definition, columns_of, history_rows, replay_rows
from workbench.errors import ConfigError
from workbench.moments import Moment
from workbench.projections.projection import Projection
from workbench.store.database import Database
from workbench.store.view import View

END: Final = Moment()


@dataclass(frozen=True)
class Side:
    """What gives the rows on one side."""

    view: View
    definition: Definition

    @property
    def is_sql(self) -> bool:
        """Whether all its states are one query away."""
        return isinstance(self.definition, Projection)

    def rows(self, database: Database, owner: object) -> str:
        """A query for the rows at the end of the log, that runs in a workspace for as long as ``owner`` lives."""
        rows = replay_rows(self.definition, self.view, END)
        return self._in(database, rows.sql, rows.arrow, owner)

    def states(self, database: Database, owner: object, only: str | None = None) -> str:
        """A query for every state, of all rows or of those that ``only`` gives, that runs in a workspace."""
        rows = history_rows(self.definition, self.view, END, only=only, ends=True)
        return self._in(database, rows.sql, rows.arrow, owner)

    def _in(self, database: Database, sql: str, arrow: pa.Table | None, owner: object) -> str:
        if arrow is None and database is not self.view.database:
            arrow = self.view.database.cursor().sql(sql).to_arrow_table()
        return f"({sql})" if arrow is None else database.keep_arrow(arrow, owner, "side")


def columns(
    before: Side, after: Side, theirs: Mapping[str, str], ours: Mapping[str, str]
) -> tuple[list[Column], list[str]]:
    """Pair the columns of both sides, given as name -> type; and say which are not compared.

    Raises
    ------
    ConfigError
        Their rows have different keys, or they have no column in common.
    """
    keys = [list(side.definition.key) for side in (before, after)]
    if keys[0] != keys[1]:
        message = (
            f"{before.definition.name!r} has rows by {', '.join(keys[0])}, "
            f"and {after.definition.name!r} by {', '.join(keys[1])}."
        )
        raise ConfigError(
            message, hint="give both the same key columns: key={'account_id': 'event.stream_id'}"
        )
    theirs = {name: theirs[name] for name in columns_of(before.definition, list(theirs))}
    ours = {name: ours[name] for name in columns_of(after.definition, list(ours))}
    found = paired(ours, theirs, model="before", timezone=None, tolerances={})
    if not found:
        message = f"the two have no column in common: {', '.join(theirs)}; {', '.join(ours)}."
        raise ConfigError(message, hint="give the columns that mean the same the same name")
    notes = []
    for names, other, words in ((theirs, ours, "before"), (ours, theirs, "after")):
        alone = [name for name in names if name not in other]
        if alone:
            notes.append(
                f"not compared, since only the definition {words} has them: {', '.join(alone)}"
            )
    return found, notes


def keys_of(side: Side) -> str:
    """The key columns, as a list in SQL."""
    return ", ".join(map(ident, side.definition.key))
