"""The columns of a projection: aggregates over events, and arithmetic over them.

Each is a value that describes itself; ``engines`` turn it into SQL. ::

    total("amount", on="DepositMade") - total("amount", on="WithdrawalMade")
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Self

from workbench.errors import ProjectionError
from workbench.moments import parse_time
from workbench.store.fields import Field, FieldType
from workbench.store.fields import field as parse_field

Number = int | Decimal
Kind = Literal["total", "count", "latest", "first", "largest", "smallest", "collect"]
Types = str | Iterable[str] | None


class Column:
    """A column of a projection; ``+ - * /`` and the methods below make new ones."""

    __slots__ = ()

    def __add__(self, other: Column | Number) -> Column:
        return Arithmetic("+", _operand(self), _operand(other))

    def __radd__(self, other: Number) -> Column:
        return Arithmetic("+", _operand(other), _operand(self))

    def __sub__(self, other: Column | Number) -> Column:
        return Arithmetic("-", _operand(self), _operand(other))

    def __rsub__(self, other: Number) -> Column:
        return Arithmetic("-", _operand(other), _operand(self))

    def __mul__(self, other: Column | Number) -> Column:
        return Arithmetic("*", _operand(self), _operand(other))

    def __rmul__(self, other: Number) -> Column:
        return Arithmetic("*", _operand(other), _operand(self))

    def __truediv__(self, other: Column | Number) -> Column:
        return Arithmetic("/", _operand(self), _operand(other))

    def __neg__(self) -> Column:
        return Arithmetic("-", Constant(0), _operand(self))

    def clip(self, low: Number | None = None, high: Number | None = None) -> Column:
        """Keep the value within bounds."""
        return Clipped(
            _operand(self),
            None if low is None else _number(low),
            None if high is None else _number(high),
        )

    def round(self, places: int = 0) -> Column:
        """Round half away from zero to so many decimal places."""
        return Rounded(_operand(self), places)


@dataclass(frozen=True, slots=True)
class Constant(Column):
    """A number."""

    value: Number


@dataclass(frozen=True, slots=True)
class Arithmetic(Column):
    """Two columns, combined. A division gives a DOUBLE, and NULL where the divisor is zero."""

    operator: Literal["+", "-", "*", "/"]
    left: Column
    right: Column


@dataclass(frozen=True, slots=True)
class Clipped(Column):
    """A column kept within bounds."""

    inner: Column
    low: Number | None
    high: Number | None


@dataclass(frozen=True, slots=True)
class Rounded(Column):
    """A column rounded to so many places."""

    inner: Column
    places: int


@dataclass(frozen=True, slots=True)
class Condition:
    """``field operator value``; conditions are joined by ``&``."""

    parts: tuple[tuple[Field, str, str | Number | bool | dt.datetime], ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.parts + other.parts)

    def __bool__(self) -> bool:
        # 'and', 'or', 'in' and a < b < c ask for this, and would drop a condition in silence.
        message = "a condition is not true or false by itself."
        raise ProjectionError(
            message, hint="join conditions with &: (field('a') > 1) & (field('b') == 'x')"
        )


@dataclass(frozen=True, slots=True, eq=False)
class FieldOf:
    """A field of an event, to compare with a value: ``field("amount") > 1000``."""

    name: str
    type: FieldType | None = None

    def _against(self, operator: str, value: str | Number | bool | dt.datetime) -> Condition:
        kind = self.type or _type_of(value)
        parsed = parse_field(self.name, None if self.name.startswith("event.") else kind)
        if parsed.type == "time" and isinstance(value, str):
            value = parse_time(value, self.name)
        return Condition(((parsed, operator, value),))

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # a condition, as in SQL
        return self._against("=", _comparable(value))

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]  # a condition, as in SQL
        return self._against("<>", _comparable(value))

    def __gt__(self, value: Number | str | dt.datetime) -> Condition:
        return self._against(">", _comparable(value))

    def __ge__(self, value: Number | str | dt.datetime) -> Condition:
        return self._against(">=", _comparable(value))

    def __lt__(self, value: Number | str | dt.datetime) -> Condition:
        return self._against("<", _comparable(value))

    def __le__(self, value: Number | str | dt.datetime) -> Condition:
        return self._against("<=", _comparable(value))

    __hash__ = None  # type: ignore[assignment]  # not a key: == builds a condition


@dataclass(frozen=True, slots=True)
class Aggregate(Column):
    """One aggregate over the events of a row."""

    kind: Kind
    field: Field | None
    on: tuple[str, ...] | None
    where: Condition | None

    def __post_init__(self) -> None:
        if self.where is not None and not isinstance(self.where, Condition):
            message = f"where={self.where!r} is no condition."
            raise ProjectionError(message, hint="write where=wb.field('amount') > 1000")

    def on_types(self, default: tuple[str, ...] | None) -> Self:
        """Return the same column with the projection's own types where it names none."""
        return (
            self if self.on is not None else type(self)(self.kind, self.field, default, self.where)
        )


def types_of(on: Types) -> tuple[str, ...] | None:
    """Read an ``on=`` argument."""
    if on is None:
        return None
    if not isinstance(on, str | Iterable):
        message = f"{on!r} names no event types."
        raise ProjectionError(message, hint="write 'DepositMade', or a list of types")
    names = (on,) if isinstance(on, str) else tuple(on)
    if not names or not all(isinstance(name, str) and name for name in names):
        message = f"on={on!r} names no event types."
        raise ProjectionError(
            message, hint="write on='DepositMade', or a list of types; leave it out for all"
        )
    return names


def field(name: str, type: FieldType | None = None) -> FieldOf:
    """Name a field of an event, to compare it with a value in ``where=``.

    >>> count(on="WithdrawalMade", where=field("amount") > 1000).where.parts[0][1:]
    ('>', 1000)
    """
    return FieldOf(name, type)


def total(name: str, *, on: Types = None, where: Condition | None = None) -> Column:
    """Sum a number exactly (DECIMAL); 0 while there is none."""
    return Aggregate("total", parse_field(name, _own(name, "decimal")), types_of(on), where)


def count(name: str | None = None, *, on: Types = None, where: Condition | None = None) -> Column:
    """Count events, or those in which a field has a value."""
    return Aggregate(
        "count",
        None if name is None else parse_field(name, _own(name, "text")),
        types_of(on),
        where,
    )


def latest(
    name: str, *, type: FieldType | None = None, on: Types = None, where: Condition | None = None
) -> Column:
    """Take the last value that is not NULL."""
    return Aggregate("latest", parse_field(name, type), types_of(on), where)


def first(
    name: str, *, type: FieldType | None = None, on: Types = None, where: Condition | None = None
) -> Column:
    """Take the first value that is not NULL."""
    return Aggregate("first", parse_field(name, type), types_of(on), where)


def largest(
    name: str, *, type: FieldType | None = None, on: Types = None, where: Condition | None = None
) -> Column:
    """Take the largest value."""
    return Aggregate(
        "largest", parse_field(name, type or _own(name, "decimal")), types_of(on), where
    )


def smallest(
    name: str, *, type: FieldType | None = None, on: Types = None, where: Condition | None = None
) -> Column:
    """Take the smallest value."""
    return Aggregate(
        "smallest", parse_field(name, type or _own(name, "decimal")), types_of(on), where
    )


def collect(
    name: str, *, type: FieldType | None = None, on: Types = None, where: Condition | None = None
) -> Column:
    """List the values that are not NULL, in order."""
    return Aggregate("collect", parse_field(name, type), types_of(on), where)


def aggregates(column: Column) -> list[Aggregate]:
    """Return the aggregates that a column is made of, left to right."""
    match column:
        case Aggregate():
            return [column]
        case Arithmetic():
            return aggregates(column.left) + aggregates(column.right)
        case Clipped() | Rounded():
            return aggregates(column.inner)
        case _:
            return []


def _own(name: str, default: FieldType) -> FieldType | None:
    """Columns of the event have a type of their own."""
    return None if name.startswith("event.") else default


def _operand(value: Column | Number) -> Column:
    if not isinstance(value, Column):
        return Constant(_number(value))
    if isinstance(value, Aggregate) and value.kind not in ("total", "count"):
        kind = "list" if value.kind == "collect" or value.field is None else value.field.type
        if kind not in ("decimal", "integer"):
            name = value.field.name if value.field else ""
            message = (
                f"{value.kind}({name!r}) is no number but {kind}, and cannot be calculated with."
            )
            raise ProjectionError(
                message, hint=f"say so if it is one: {value.kind}({name!r}, type='decimal')"
            )
    return value


def _number(value: Number) -> Number:
    finite = isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite())
    if isinstance(value, bool) or not finite:
        message = f"{value!r} is no exact number."
        raise ProjectionError(
            message, hint="write Decimal('0.1') instead of 0.1: money is never a float"
        )
    return value


def _comparable(value: object) -> str | Number | bool | dt.datetime:
    if isinstance(value, float):
        return _number(value)  # type: ignore[arg-type]  # raises, with the next step
    if isinstance(value, dt.datetime):
        return parse_time(value, "a time in a condition")
    if not isinstance(value, str | int | Decimal | bool):
        message = f"a field cannot be compared with {type(value).__name__}."
        raise ProjectionError(message)
    return value


def _type_of(value: str | Number | bool | dt.datetime) -> FieldType:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | Decimal):
        return "decimal"
    return "time" if isinstance(value, dt.datetime) else "text"
