"""How a field of an upcast payload is read: each operation wraps the way in which the field was read before.

A way of reading gives, for a type, a :class:`Reader`: SQL over the columns of ``events``. So a field that no
operation touches is read as ever, from its typed column where there is one, and no payload is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from workbench import _sql
from workbench._sql import DECIMAL, text
from workbench.projections.upcasting import Result
from workbench.store.fields import Field, FieldType, read_text
from workbench.store.view import Reader

Read = Callable[[Field], Reader]

_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode


class Value(Protocol):
    """A value of a payload, as it is after some operations."""

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""

    def beneath(self, path: str) -> Value:
        """What stands at a path inside it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands at a path of a payload."""

    path: str
    reads: Read

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        return self.reads(Field("data", self.path, kind))

    def beneath(self, path: str) -> Value:
        """What stands at a path inside it."""
        return Stored(f"{self.path}.{path}", self.reads)


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the upcaster states."""

    value: Any

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        if self.value is None:
            return _of_text("CAST(NULL AS VARCHAR)", kind)
        return of_json(json_of(self.value), kind, is_text=isinstance(self.value, str))

    def beneath(self, path: str) -> Value:
        """What stands at a path inside it."""
        value = self.value
        for key in _sql.json_keys(path):
            value = value.get(key) if isinstance(value, Mapping) else None
        return Given(value)


class _Plain:
    """A value that holds no other."""

    __slots__ = ()

    def beneath(self, path: str) -> Value:
        """What stands at a path inside it: nothing."""
        return NOTHING


NOTHING: Final = Given(None)


@dataclass(frozen=True, slots=True)
class Choice:
    """One value where something is there, and another where it is not."""

    test: Value
    then: Value
    otherwise: Value

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        is_there = self.test.read("text").present
        one, other = self.then.read(kind), self.otherwise.read(kind)
        same = self.test is self.then and one.unusable is None and kind != "json"

        def choose(left: str, right: str) -> str:
            if same:  # shorter, and SQL of chains grows fast
                return f"coalesce({left}, {right})"
            return f"CASE WHEN {is_there} THEN {left} ELSE {right} END"

        return Reader(
            value=choose(one.value, other.value),
            unusable=None
            if one.unusable is None and other.unusable is None
            else choose(one.unusable or "FALSE", other.unusable or "FALSE"),
            present=f"({one.present} OR {other.present})"
            if same
            else choose(one.present, other.present),
            raw=choose(_as_text(one.raw), _as_text(other.raw)),
            number=choose(one.number, other.number),
        )

    def beneath(self, path: str) -> Value:
        """What stands at a path inside it."""
        return Choice(self.test, self.then.beneath(path), self.otherwise.beneath(path))


@dataclass(frozen=True, slots=True)
class Part(_Plain):
    """A part of a text that was split; where there is no such part, nothing."""

    whole: Value
    at: str
    index: int
    is_last: bool

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        whole, at = self.whole.read("text").value, text(self.at)
        if not self.is_last:
            return _of_text(f"string_split({whole}, {at})[{self.index + 1}]", kind)
        rest = once(
            f"string_split({whole}, {at})[{self.index + 1}:]",
            lambda parts: f"CASE WHEN len({parts}) > 0 THEN array_to_string({parts}, {at}) END",
        )
        return _of_text(rest, kind)


@dataclass(frozen=True, slots=True)
class Joined(_Plain):
    """Several texts as one; nothing where none of them is there."""

    parts: tuple[Value, ...]
    by: str

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        listed = ", ".join(part.read("text").value for part in self.parts)
        present = " OR ".join(part.read("text").present for part in self.parts)
        return _of_text(f"CASE WHEN {present} THEN concat_ws({text(self.by)}, {listed}) END", kind)


@dataclass(frozen=True, slots=True)
class Scaled(_Plain):
    """A number, multiplied; what cannot be multiplied exactly is unusable."""

    inner: Value
    factor: Decimal

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        number = self.inner.read("decimal")
        factor = _factor(self.factor)
        # A cast to fewer places rounds in silence; beyond 38 digits DuckDB raises.
        exact = once(
            number.value,
            lambda value: (
                f"TRY(CASE WHEN CAST({value} * {factor} AS {DECIMAL}) = {value} * {factor} "
                f"THEN CAST({value} * {factor} AS {DECIMAL}) END)"
            ),
        )
        failed = f"({number.present}) AND ({exact}) IS NULL"
        if kind == "decimal":
            digits = _plain(exact)
            return Reader(
                exact, failed, number.present, f"coalesce({digits}, {_as_text(number.raw)})", digits
            )
        read = of_json(_plain(exact), kind, is_text=False)
        return Reader(
            read.value,
            failed if read.unusable is None else f"(({failed}) OR ({read.unusable}))",
            number.present,
            f"coalesce({_as_text(read.raw)}, {_as_text(number.raw)})",
            read.number,
        )


@dataclass(frozen=True, slots=True)
class Computed(_Plain):
    """What a SQL expression of the user makes of a text."""

    inner: Value
    sql: str
    result: Result

    def read(self, kind: FieldType) -> Reader:
        """Read it as a type."""
        before = self.inner.read("text")
        # A scope of its own: the expression sees `value` and nothing else by that name.
        asked = f"list_transform([{before.value}], lambda value: TRY(CASE WHEN value IS NOT NULL THEN ({self.sql}\n) END))[1]"
        made = f"CAST({asked} AS VARCHAR)"
        if self.result != "text":
            made = f"CAST({read_text(self.result, made)} AS VARCHAR)"
        if self.result == "decimal":
            made = _plain(made)
        read = _of_text(made, kind) if self.result == "text" else of_json(made, kind, is_text=False)
        failed = f"({before.present}) AND ({made}) IS NULL"
        return Reader(
            read.value,
            failed if read.unusable is None else f"(({failed}) OR ({read.unusable}))",
            before.present,
            f"coalesce({_as_text(read.raw)}, {_as_text(before.raw)})",
            read.number,
        )


def json_of(value: Any) -> str:
    """Write a value that an upcaster states as a SQL literal of its JSON."""
    return text(_ENCODE(value).decode())


def of_json(json: str, kind: FieldType, *, is_text: bool) -> Reader:
    """Read a value from SQL that gives its JSON as text."""
    if kind == "json":
        value = f"CAST({json} AS JSON)"
        return Reader(value, None, f"json_type({value}) <> 'NULL'", json, json)
    if is_text:
        return _of_text(f"json_extract_string({json}, '$')", kind)
    # null is no value; everything else that is no text is read as it is written.
    return _of_text(f"nullif({json}, 'null')", kind)


def _of_text(value: str, kind: FieldType) -> Reader:
    """Read a value from SQL that gives its text."""
    if kind == "json":
        return Reader(f"to_json({value})", None, f"({value}) IS NOT NULL", value, value)
    unusable = None
    if kind != "text":
        unusable = once(
            value, lambda raw: f"{raw} IS NOT NULL AND ({read_text(kind, raw)}) IS NULL"
        )
    return Reader(
        value=once(value, lambda raw: read_text(kind, raw)),
        unusable=unusable,
        present=f"({value}) IS NOT NULL",
        raw=value,
        number=once(value, _sql.number),
    )


def once(value: str, use: Callable[[str], str]) -> str:
    """Use a value several times in an expression, and write (and compute) it once."""
    if len(value) < 100:
        return use(f"({value})")
    return f"list_transform([{value}], lambda wb_value: {use('wb_value')})[1]"


def _as_text(raw: str) -> str:
    return f"CAST({raw} AS VARCHAR)"


def _factor(factor: Decimal) -> str:
    places = max(0, -int(factor.as_tuple().exponent))
    if not places:
        return f"{factor:f}"
    return f"CAST('{factor:f}' AS DECIMAL({max(places + 1, len(f'{factor:f}'))},{places}))"


def _plain(value: str) -> str:
    """Write a decimal without empty places."""
    return f"regexp_replace(regexp_replace(CAST({value} AS VARCHAR), '(\\.\\d*?)0+$', '\\1'), '\\.$', '')"
