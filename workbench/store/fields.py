"""Fields of an event, by name and type, and the SQL that reads them exactly.

A field is named as users write it: ``"amount"`` or ``"customer.id"`` is in the payload,
``"metadata.user"`` in the envelope, ``"event.occurred_at"`` a column of the event itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from workbench import _sql
from workbench._sql import ident, json_exact, json_text
from workbench.errors import ProjectionError, did_you_mean
from workbench.event import COLUMNS

FieldType = Literal["decimal", "integer", "text", "boolean", "time", "json"]

DUCK_TYPES: Final[dict[str, str]] = {
    "decimal": _sql.DECIMAL,
    "integer": "BIGINT",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMPTZ",
    "json": "JSON",
}

_OF_COLUMN: Final[dict[str, FieldType]] = {
    "BIGINT": "integer",
    "VARCHAR": "text",
    "TIMESTAMPTZ": "time",
    "JSON": "json",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event, read as one type.

    Attributes
    ----------
    column
        ``data``, ``metadata``, or a column of the event itself.
    path
        The path inside ``data`` or ``metadata``; empty for a column.
    type
        How it is read. A value that is there but does not fit is *unusable*: NULL, and counted.
    """

    column: str
    path: str
    type: FieldType

    @property
    def name(self) -> str:
        """As a user writes it."""
        if not self.path:
            return f"event.{self.column}"
        return self.path if self.column == "data" else f"metadata.{self.path}"

    @property
    def typed_column(self) -> str:
        """The name of the column that holds this field once it is prepared."""
        return f"{self.column}.{self.path}::{self.type}"

    @property
    def raw_sql(self) -> str:
        """The value as it stands in the payload, as text."""
        if not self.path:
            return ident(self.column)
        if self.type == "json":
            return f"json_extract({self.column}, {_sql.text(_sql.json_path(self.path))})"
        return self.read_sql(lambda raw: raw)

    @property
    def value_sql(self) -> str:
        """The value, read as its type; NULL when absent or unusable."""
        if not self.path or self.type == "json":
            return self.raw_sql
        return self.read_sql(_READ[self.type])

    @property
    def present_sql(self) -> str:
        """Whether there is a value, readable or not."""
        if not self.path:
            return f"{ident(self.column)} IS NOT NULL"
        return f"{json_text(self.column, self.path)} IS NOT NULL"

    def read_sql(self, read: Callable[[str], str]) -> str:
        """Give the value's text in the payload to an expression; digits of numbers are not lost."""
        if self.type in ("decimal", "integer", "text"):
            return json_exact(self.column, self.path, read)
        return read(json_text(self.column, self.path))

    @property
    def may_be_unusable(self) -> bool:
        """Whether a value can be there and still not fit."""
        return bool(self.path) and self.type not in ("text", "json")


_READ: Final[dict[FieldType, Callable[[str], str]]] = {
    "decimal": _sql.decimal,
    "integer": lambda raw: (
        f"CASE WHEN regexp_full_match({raw}, '-?\\d+(\\.0+)?') THEN try_cast({raw} AS BIGINT) END"
    ),
    "text": lambda raw: raw,
    "boolean": lambda raw: f"CASE {raw} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
    "time": _sql.aware_time,
}


def read_text(kind: FieldType, raw: str) -> str:
    """Read a value from SQL that gives its text, as a type; NULL when it does not fit."""
    return _READ[kind](raw)


def field(name: str, type: FieldType | None = None) -> Field:
    r"""Parse a field's name.

    Raises
    ------
    ProjectionError
        The name is empty, names no column of an event, or the type is not known.

    Examples
    --------
    >>> field("customer.id", "time").raw_sql
    'json_extract_string(data, \'$."customer"."id"\')'
    >>> field("event.occurred_at").type
    'time'
    """
    if type is not None and type not in get_args(FieldType):
        message = f"field {name!r}: there is no type {type!r}."
        raise ProjectionError(message + did_you_mean(type, get_args(FieldType)))
    head, dot, rest = name.partition(".")
    if not name or (dot and not rest):
        message = f"a field needs a name, and {name!r} is none."
        raise ProjectionError(
            message, hint="write 'amount', 'customer.id', 'metadata.user' or 'event.occurred_at'"
        )
    if head == "event" and dot:
        if rest not in COLUMNS:
            message = f"field {name!r}: an event has no column {rest!r}."
            raise ProjectionError(message + did_you_mean(rest, COLUMNS))
        own = _OF_COLUMN[COLUMNS[rest]]
        if type is not None and type != own:
            message = f"field {name!r} is {own}, not {type}."
            raise ProjectionError(message)
        return Field(rest, "", own)
    column, path = (head, rest) if head in ("data", "metadata") and dot else ("data", name)
    if not {"", "*"}.isdisjoint(_sql.json_keys(path)):
        # DuckDB has no path to an empty key, and takes '*' for all keys even in quotes.
        message = f"field {name!r}: a key that is empty or '*' cannot be read."
        raise ProjectionError(message)
    return Field(column, path, type or "text")
