"""All or nothing: what is written together commits together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb


@contextlib.contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what is written inside; when it breaks off, undo it all, and let the reason through."""
    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT")
    except BaseException:
        # An interrupt, or a COMMIT that failed, has rolled back already; that is not the reason.
        with contextlib.suppress(duckdb.Error):
            con.execute("ROLLBACK")
        raise
