"""Fold: a state from events, one at a time, in ordinary Python; for what depends on order."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import inspect
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from workbench.errors import ProjectionError
from workbench.event import COLUMNS
from workbench.projections.columns import Types, types_of
from workbench.projections.projection import Key, by_stream, check_columns, parse_key
from workbench.store.fields import Field, FieldType, field

Handler = Callable[..., Any]

EVENT: Final = "event"
"""A handler whose second parameter has this name is given the whole event."""

_BY_ANNOTATION: Final[dict[Any, FieldType]] = {
    Decimal: "decimal",
    int: "integer",
    str: "text",
    bool: "boolean",
    dt.datetime: "time",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A handler, and the fields that it is given after the state; None: the whole event."""

    handler: Handler
    fields: tuple[Field, ...] | None


@dataclasses.dataclass(frozen=True, init=False)
class Fold:
    """A fold, written as one handler for each event type.

    Parameters
    ----------
    name
        As the read model is called.
    initial
        The state before the first event: a value, or a function that makes one (a class, ``dict``).
    handlers
        Event type -> ``handler(state, …)``. It returns the next state, or None when it changed the state
        in place. Its parameters after the state name what it is given: fields of the payload, or columns
        of the event (``occurred_at``, ``version``, …), typed by their annotations: Decimal (for money), int,
        str, bool, datetime; without one, text. A field that is absent is None. A handler
        ``(state, event)`` is given the whole event instead, which costs more.
    fields
        Parameter name -> field, where they differ: ``{"customer": "customer.id"}``.
    key, ends, stream_type, ignore
        As in :class:`Projection`.

    Examples
    --------
    >>> def deposited(balance, amount: Decimal):
    ...     return balance + amount
    >>> Fold("balance", Decimal(0), {"DepositMade": deposited})
    Fold 'balance': DepositMade by stream_id
    """

    name: str
    initial: Any
    steps: Mapping[str, Step]
    key: Mapping[str, Field]
    ends: tuple[str, ...]
    stream_type: str | None
    ignore: tuple[str, ...]
    _checked: set[tuple[str, ...]] = dataclasses.field(compare=False, repr=False)

    def __init__(
        self,
        name: str,
        initial: Any,
        handlers: Mapping[str, Handler],
        *,
        fields: Mapping[str, str] | None = None,
        key: Key = "event.stream_id",
        ends: Types = None,
        stream_type: str | None = None,
        ignore: Types = None,
    ) -> None:
        if not handlers:
            message = f"fold {name!r} has no handlers."
            raise ProjectionError(message, hint="give it some: {'DepositMade': deposited}")
        set_ = object.__setattr__
        set_(self, "name", name)
        set_(self, "initial", initial)
        set_(
            self,
            "steps",
            {kind: _step(name, kind, handler, fields or {}) for kind, handler in handlers.items()},
        )
        set_(self, "key", parse_key(key, name))
        set_(self, "ends", types_of(ends) or ())
        set_(self, "stream_type", stream_type)
        set_(self, "ignore", types_of(ignore or None) or ())
        set_(self, "_checked", set())
        try:
            start = self.start()
        except Exception as error:
            message = f"fold {name!r}: initial makes no state: {type(error).__name__}: {error}"
            raise ProjectionError(
                message, hint="give a value, or a function that needs no arguments"
            ) from error
        self.row(start)

    def __repr__(self) -> str:
        return f"Fold {self.name!r}: {', '.join(self.steps)} by {', '.join(self.key)}"

    @property
    def by_stream(self) -> bool:
        """Whether a row is a stream."""
        return by_stream(self.key)

    @property
    def types(self) -> tuple[str, ...]:
        """The event types that touch a row."""
        return tuple(sorted({*self.steps, *self.ends}))

    @property
    def fields(self) -> list[Field]:
        """The distinct fields that handlers are given, and those of the key."""
        found = [*self.key.values()]
        for step in self.steps.values():
            found += step.fields or ()
        return list(dict.fromkeys(found))

    def start(self) -> Any:
        """Return a fresh state."""
        # A copy: handlers may change a state in place, and no two rows share one.
        return self.initial() if callable(self.initial) else copy.deepcopy(self.initial)

    def row(self, state: Any) -> dict[str, Any]:
        """Return a state's columns: those of a mapping or of an object, or one called as the fold."""
        if isinstance(state, Mapping):
            row = dict(state)
        elif dataclasses.is_dataclass(state) and not isinstance(state, type):
            row = {item.name: getattr(state, item.name) for item in dataclasses.fields(state)}
        elif hasattr(state, "__dict__"):
            row = {name: value for name, value in vars(state).items() if not name.startswith("_")}
        else:
            row = {self.name: state}
        self._check_columns(row)
        return row

    def columns(self, states: Sequence[Any]) -> dict[str, list[Any]]:
        """Return the columns of many states, as :meth:`row` gives those of one."""
        if not states:
            return {name: [] for name in self.row(self.start())}
        kinds = {type(state) for state in states}
        if len(kinds) == 1 and dataclasses.is_dataclass(kind := kinds.pop()):
            names = [item.name for item in dataclasses.fields(kind)]
            self._check_columns(names)
            return {name: list(map(operator.attrgetter(name), states)) for name in names}
        rows = [self.row(state) for state in states]
        return {
            name: [row.get(name) for row in rows]
            for name in dict.fromkeys(name for row in rows for name in row)
        }

    def _check_columns(self, names: Iterable[str]) -> None:
        named = tuple(names)
        if named not in self._checked:
            check_columns(f"fold {self.name!r}", named, self.key)
            self._checked.add(named)


def _step(fold: str, kind: str, handler: Handler, renamed: Mapping[str, str]) -> Step:
    if not callable(handler):
        message = (
            f"fold {fold!r}: the handler of {kind} is {type(handler).__name__}, not a function."
        )
        raise ProjectionError(message)
    parameters = [
        item
        for item in inspect.signature(handler).parameters.values()
        if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    if not parameters:
        message = f"fold {fold!r}: the handler of {kind} takes no state."
        raise ProjectionError(message, hint="write def handler(state, amount: Decimal): …")
    names = [item.name for item in parameters[1:]]
    if names == [EVENT]:
        return Step(handler, None)
    try:
        hints = typing.get_type_hints(handler)
    except NameError:
        hints = {}  # an annotation that cannot be resolved says nothing to us
    return Step(
        handler, tuple(_parameter(fold, kind, name, hints.get(name), renamed) for name in names)
    )


def _parameter(
    fold: str, kind: str, name: str, annotation: Any, renamed: Mapping[str, str]
) -> Field:
    source = renamed.get(name, f"event.{name}" if name in COLUMNS else name)
    if source.startswith("event."):
        return field(source)
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    choices = typing.get_args(annotation) if is_union else (annotation,)
    wanted = next((item for item in choices if item in _BY_ANNOTATION), None)
    if wanted is None and annotation is not None:
        message = (
            f"fold {fold!r}, handler of {kind}: parameter {name!r} is annotated {annotation!r}."
        )
        raise ProjectionError(
            message, hint="annotate it Decimal, int, str, bool or datetime, or take (state, event)"
        )
    # Without an annotation a number is what a fold mostly wants, and text where it is none.
    return field(source, _BY_ANNOTATION[wanted] if wanted is not None else "text")
