"""Results whose rows Python had to make: they are kept in the workspace for as long as the result lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from workbench.analysis.definition import Rows
from workbench.store.database import Database
from workbench.store.table import Table


class KeptTable(Table):
    """A table of a query, or of rows that were computed."""

    @classmethod
    def of(cls, database: Database, rows: Rows, *, title: str, notes: Sequence[str] = ()) -> Self:
        """Make a result of rows."""
        result = cls(database, rows.sql, title=title, notes=notes)
        if rows.arrow is not None:
            result._stored = database.keep_arrow(rows.arrow, result)
        return result
