"""Reading the events themselves: SQL, frames, Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from workbench.log.face import Face
from workbench.store.query import check_query
from workbench.store.table import Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Reading(Face):
    """The verbs that give events as they are."""

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

    def _events(self) -> Table:
        return Table(self._view.database, self._view.sql, title="Events")
