"""The drivers' errors in the words of the workbench: what, where, what to do next; no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from workbench.errors import ConfigError, SourceUnavailable, WorkbenchError
from workbench.sources.postgres.dsn import Dsn

_RESUME: Final = "run the load again: it goes on after the last committed batch"

_STATE: Final = re.compile(r"SQLSTATE: (\w{5})")

#: SQLSTATE -> what to do. A shorter key stands for its whole class.
_HINTS: Final = {
    "57014": "the server stopped a statement: give statement_timeout= more seconds",
    "55P03": "another session holds a lock on the table: try again, or give lock_timeout= more seconds",
    "25P03": "the log took long between two batches; run the load again: it goes on",
    "40001": f"a replica dropped the snapshot; set hot_standby_feedback there, or {_RESUME}",
    "53": "the server is short of memory, disk or connections; try again later",
    "57P": _RESUME,
    "08": _RESUME,
}

_CONNECT_HINTS: Final = (
    ("password", "check user and password (PGPASSWORD, ~/.pgpass, or in the connection string)"),
    ("role", "check the user name"),
    (
        "pg_hba",
        "the server's pg_hba.conf does not let this user in from here, or asks for sslmode=require",
    ),
    ("unsupported startup parameter", "connect to the server itself, not to its pooler"),
    ("database", "check the database's name"),
    ("refused", "check host and port, and that the server runs"),
    ("could not translate", "check the host's name"),
    ("No such file", "check host and port, and that the server runs"),
    ("timeout", "check host, port and firewall"),
)


def unreachable(dsn: Dsn, error: Exception) -> SourceUnavailable:
    """Say why a connection could not be made."""
    told = dsn.scrub(_sentence(error))
    hint = next(
        (hint for sign, hint in _CONNECT_HINTS if sign in told),
        "check host, port, user and database",
    )
    return SourceUnavailable(f"cannot connect to Postgres {dsn.label}: {told}", hint=hint)


@contextmanager
def told(dsn: Dsn, where: str) -> Iterator[None]:
    """Turn the drivers' errors into those of the workbench; ``where`` is the table."""
    try:
        yield
    except (psycopg.Error, AdbcError, OSError, pa.ArrowException) as error:
        # Between two Arrow batches ADBC's errors arrive as pyarrow's, which are often an OSError.
        raise _translate(dsn, where, error) from error


def _translate(dsn: Dsn, where: str, error: Exception) -> WorkbenchError:
    found = _STATE.search(str(error))
    state = getattr(error, "sqlstate", None) or (found.group(1) if found else "")
    said = dsn.scrub(_sentence(error))
    if state == "42501":
        message = f"{where}: {said}"
        return ConfigError(
            message, hint="GRANT USAGE ON SCHEMA … and GRANT SELECT ON … to this user"
        )
    if state.startswith("42"):
        return ConfigError(f"{where}: {said}", hint="check the table's and the columns' names")
    hint = _HINTS.get(state) or _HINTS.get(state[:3]) or _HINTS.get(state[:2]) or _RESUME
    return SourceUnavailable(f"{where} at {dsn.label}: reading broke off: {said}", hint=hint)


def _sentence(error: Exception) -> str:
    """Return the first telling line of a driver's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    # ADBC puts its own layers in front of the server's words.
    return re.sub(r"^.*?(?:ERROR|FATAL): +", "", said)
