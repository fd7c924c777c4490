"""Connection strings, and what may be said about them: never the password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workbench.errors import ConfigError

_SHAPES: Final = "postgresql://user@host:5432/database, or: host=… port=… dbname=… user=…"
_ENCODE: Final = (
    f"write {_SHAPES}; in a URL, characters such as @ : / ? # % in the password are percent-encoded"
)
#: Given to the server only where the user says nothing else.
_DEFAULTS: Final = {
    "connect_timeout": "10",
    # A server that vanished is noticed in about a minute, not in hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


@dataclass(frozen=True, slots=True)
class Dsn:
    """A connection string whose secrets do not show.

    >>> parse("postgresql://ann:s3cret@db.example.org/bank")
    Dsn('db.example.org/bank')
    """

    parts: Mapping[str, str] = field(repr=False)

    def __repr__(self) -> str:
        return f"Dsn({self.label!r})"

    @property
    def label(self) -> str:
        """Server and database: ``host:port/database``."""
        if "service" in self.parts:
            return f"service={self.parts['service']}"
        host = self._get("host") or self._get("hostaddr") or "localhost"
        port = self._get("port") or "5432"
        database = self._get("dbname") or self._get("user") or "postgres"
        return f"{host}{'' if port == '5432' else ':' + port}/{database}"

    def _get(self, key: str) -> str:
        return self.parts.get(key) or _from_environment().get(key, "")

    def connection_string(self, settings: Mapping[str, str]) -> str:
        """Return what libpq takes, secrets included, with the server settings of a session."""
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        given = self._get("options")
        return make_conninfo(
            "",
            **{
                **_DEFAULTS,
                **self.parts,
                "application_name": "workbench",
                "client_encoding": "UTF8",
                "options": f"{given} {options}".strip(),
            },
        )

    def scrub(self, message: str) -> str:
        """Take the secrets out of a message of the driver."""
        for key in ("password", "sslpassword"):
            secret = self._get(key)
            if secret:
                message = message.replace(secret, "…")
        return message


def parse(dsn: str) -> Dsn:
    """Read a connection string: a URL or ``key=value`` pairs; what is left out comes from ``PG*``.

    Raises
    ------
    ConfigError
        It is not readable. Nothing of it is repeated, since a badly written one may show its password
        in any part.
    """
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    except ProgrammingError:
        message = "the Postgres connection string is not readable."
        raise ConfigError(message, hint=_ENCODE) from None
    # libpq splits 'user:pa/ss@host/db' in silence, with half of the password as a name.
    ports = parts.get("port", "")
    odd_port = not all(port.isdecimal() or not port for port in ports.split(","))
    if odd_port or "@" in parts.get("host", "")[1:] or "@" in parts.get("dbname", ""):
        message = "the Postgres connection string is not readable: its host, port or database is no such thing."
        raise ConfigError(message, hint=_ENCODE)
    return Dsn(parts)


def _from_environment() -> dict[str, str]:
    """Return what libpq would use where the connection string says nothing."""
    return {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None
    }
