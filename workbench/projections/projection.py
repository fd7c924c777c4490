"""Projection: a fold over many streams, declared in columns, compiled to SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workbench.errors import ProjectionError
from workbench.projections.columns import Aggregate, Column, Types, aggregates, types_of
from workbench.store.fields import Field, field

RESERVED: Final = ("version", "position", "events", "valid_from", "valid_to", "event_type")
"""The columns that a replay or a history adds to those of the projection."""

_IN_QUERIES = re.compile(
    r"ord|kind|moment|since|next_moment|is_end|nth|life|last_end|stream_version|class|columns|checkpoint|"
    r"equals_version|equals_position|lag_events|lag_time|in_stored|in_replay|state|equal|"
    r"(?:value|unusable|stored|replayed|equal|reached|last|first|wb)_.*"
)
"""What the queries of replays and diffs call their own columns, beside those of the key."""

Key = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True, init=False)
class Projection:
    """A read model, declared: what each of its columns is, over the events of a row.

    Parameters
    ----------
    name
        As the read model is called.
    columns
        Column name -> what it is: :func:`total`, :func:`count`, :func:`latest`, :func:`first`,
        :func:`largest`, :func:`smallest`, :func:`collect`, and arithmetic over them.
    key
        What makes a row: by default the stream. A payload field (``"orderId"``), several
        (``["sku", "warehouse"]``), or ``{column name: field}``.
    on
        The event types that touch a row: those of columns that name none, and those that bring a row into
        being though no column counts them. By default all that the columns name.
    ends
        Event types that end a row: it is gone until the next event.
    stream_type
        Only streams of this kind.
    ignore
        Event types that are known and mean nothing here; others that no column names are reported.

    Examples
    --------
    >>> from workbench.projections.columns import count, total
    >>> Projection(
    ...     "account_summary",
    ...     {
    ...         "balance": total("amount", on="DepositMade") - total("amount", on="WithdrawalMade"),
    ...         "transactions": count(on=["DepositMade", "WithdrawalMade"]),
    ...     },
    ...     key={"account_id": "event.stream_id"},
    ...     ends="AccountClosed",
    ... )
    Projection 'account_summary': balance, transactions by account_id
    """

    name: str
    columns: Mapping[str, Column]
    key: Mapping[str, Field]
    on: tuple[str, ...] | None
    ends: tuple[str, ...]
    stream_type: str | None
    ignore: tuple[str, ...]

    def __init__(
        self,
        name: str,
        columns: Mapping[str, Column],
        *,
        key: Key = "event.stream_id",
        on: Types = None,
        ends: Types = None,
        stream_type: str | None = None,
        ignore: Types = None,
    ) -> None:
        keys = parse_key(key, name)
        if not isinstance(columns, Mapping):
            message = (
                f"projection {name!r}: its columns are {type(columns).__name__}, not a mapping."
            )
            raise ProjectionError(
                message, hint="write {'balance': total('amount', on='DepositMade')}"
            )
        if not columns:
            message = f"projection {name!r} has no columns."
            raise ProjectionError(
                message, hint="give it some: {'balance': total('amount', on='DepositMade')}"
            )
        check_columns(f"projection {name!r}", columns, keys)
        for column, value in columns.items():
            if not isinstance(value, Column):
                message = f"projection {name!r}: column {column!r} is {type(value).__name__}, not a column."
                raise ProjectionError(
                    message, hint="use total, count, latest, first, largest, smallest or collect"
                )
            if not aggregates(value):
                message = f"projection {name!r}: column {column!r} depends on no event."
                raise ProjectionError(message)
        default = types_of(on)
        set_ = object.__setattr__
        set_(self, "name", name)
        set_(
            self,
            "columns",
            {column: with_types(value, default) for column, value in columns.items()},
        )
        set_(self, "key", keys)
        set_(self, "on", default)
        set_(self, "ends", types_of(ends) or ())
        set_(self, "stream_type", stream_type)
        set_(self, "ignore", types_of(ignore or None) or ())

    def __repr__(self) -> str:
        return f"Projection {self.name!r}: {', '.join(self.columns)} by {', '.join(self.key)}"

    @property
    def by_stream(self) -> bool:
        """Whether a row is a stream."""
        return by_stream(self.key)

    @property
    def types(self) -> tuple[str, ...] | None:
        """The event types that touch a row; None: all of them."""
        return None if any(item.on is None for item in self.aggregates) else self.named

    @property
    def named(self) -> tuple[str, ...]:
        """The event types that are told apart."""
        found = {*self.ends, *(self.on or ())}
        for item in self.aggregates:
            found.update(item.on or ())
        return tuple(sorted(found))

    @property
    def aggregates(self) -> list[Aggregate]:
        """The distinct aggregates under the columns."""
        return list(
            dict.fromkeys(item for column in self.columns.values() for item in aggregates(column))
        )

    @property
    def fields(self) -> list[Field]:
        """The distinct fields that are read, those of the key and of conditions included."""
        found = [*self.key.values()]
        for item in self.aggregates:
            found += [item.field] if item.field else []
            found += [part[0] for part in item.where.parts] if item.where is not None else []
        return list(dict.fromkeys(found))


def parse_key(key: Key, name: str) -> dict[str, Field]:
    """Read a ``key=`` argument: column name -> field."""
    if isinstance(key, str):
        named = {_last(key): key}
    elif isinstance(key, Mapping):
        named = dict(key)
    elif not isinstance(key, Sequence):
        message = f"{name!r}: key={key!r} names no field."
        raise ProjectionError(
            message, hint="write key='orderId', a list of fields, or {column: field}"
        )
    else:
        named = {_last(item): item for item in key}
        if len(named) < len(key):
            message = f"projection {name!r}: two fields of its key have the same name."
            raise ProjectionError(message, hint="name them: key={'order': 'order.id', …}")
    if not named:
        message = f"projection {name!r} has no key."
        raise ProjectionError(message, hint="leave key= out for one row a stream")
    seen: set[str] = set()
    for column in named:
        if column.lower() in {*RESERVED, *seen} or _IN_QUERIES.fullmatch(column.lower()):
            message = f"projection {name!r}: a column of the key cannot be called {column!r}."
            raise ProjectionError(
                message, hint=f"give it another name: key={{'the_{column}': {named[column]!r}}}"
            )
        seen.add(column.lower())
    return {column: field(item) for column, item in named.items()}


def check_columns(owner: str, names: Iterable[str], key: Iterable[str]) -> None:
    """Check that a definition's columns can stand beside those of the key and of a replay.

    Raises
    ------
    ProjectionError
        One is taken, or differs from another by its case alone, which SQL does not see.
    """
    taken = {name.lower() for name in (*RESERVED, "is_end", "nth", *key)}
    for name in names:
        if name.lower() in taken:
            message = f"{owner}: a column cannot be called {name!r}."
            raise ProjectionError(
                message,
                hint=f"the key, the other columns (whatever their case) and these are taken: {', '.join(RESERVED)}",
            )
        taken.add(name.lower())


def by_stream(key: Mapping[str, Field]) -> bool:
    """Whether a key is the stream alone."""
    return [item.name for item in key.values()] == ["event.stream_id"]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def with_types(column: Column, default: tuple[str, ...] | None) -> Column:
    """Return a column whose aggregates know their types."""
    from workbench.projections.columns import Arithmetic, Clipped, Rounded

    match column:
        case Aggregate():
            return column.on_types(default)
        case Arithmetic(operator, left, right):
            return Arithmetic(operator, with_types(left, default), with_types(right, default))
        case Clipped(inner, low, high):
            return Clipped(with_types(inner, default), low, high)
        case Rounded(inner, places):
            return Rounded(with_types(inner, default), places)
        case _:
            return column
