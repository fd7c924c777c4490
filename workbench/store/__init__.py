"""The log on disk: one DuckDB file, its schema, exactly-once appending, and narrowed views of it."""

from workbench.store.database import Database
from workbench.store.table import Table
from workbench.store.view import View

__all__ = ["Database", "Table", "View"]
