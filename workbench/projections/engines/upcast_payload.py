"""Upcasting a whole payload, in Python: what is shown as ``data``, and what functions of the user are given.

The same operations as :mod:`upcast_sql` compiles for one field; a property test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import pyarrow as pa

from workbench._sql import json_keys
from workbench.projections.upcasting import (
    Add,
    Call,
    Compute,
    Merge,
    Operation,
    Payload,
    Remove,
    Rename,
    Scale,
    Split,
)

#: Numbers keep all their digits on the way in and on the way out.
_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode

Function = Callable[[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray], pa.Array]
Steps = Sequence[tuple[str, Operation]]
"""Operations, each with the name of its upcaster."""


def function_of(steps: Steps, *, strict: bool) -> Function:
    """Make a function over batches: positions, payloads, what SQL has computed -> new payloads as JSON.

    Where an upcaster fails it raises ValueError naming it and the position; unless ``strict``, it gives None.
    """
    one = _one if strict else _one_or_none
    last: list[tuple[pa.ChunkedArray, pa.ChunkedArray, pa.Array]] = []

    def upcast(
        positions: pa.ChunkedArray, payloads: pa.ChunkedArray, computed: pa.ChunkedArray
    ) -> pa.Array:
        # Several columns ask for the same events in turn.
        for seen, given, made in last[:1]:
            if seen.equals(positions) and given.equals(payloads):
                return made
        rows = zip(positions.to_pylist(), payloads.to_pylist(), computed.to_pylist(), strict=True)
        result = pa.array([one(steps, *row) for row in rows], pa.string())
        last[:] = [(positions, payloads, result)]
        return result

    return upcast


def _one(
    steps: Steps, position: int, payload: str | None, computed: Sequence[str | None] | None
) -> str:
    values = iter(computed or ())
    name = steps[0][0] if steps else ""
    try:
        data: Any = None if payload is None else _DECODE(payload)
        for name, operation in steps:  # noqa: B007  -- the message below names it
            data = apply(operation, data, values)
        return _ENCODE(data).decode()
    except Exception as error:  # what functions of a user raise
        message = f"upcaster {name} failed on the event at position {position}: {type(error).__name__}: {error}"
        raise ValueError(message) from error


def _one_or_none(
    steps: Steps, position: int, payload: str | None, computed: Sequence[str | None] | None
) -> str | None:
    try:
        return _one(steps, position, payload, computed)
    except ValueError:
        return None


def apply(operation: Operation, data: Any, computed: Any) -> Any:
    """Apply one operation to a payload; ``computed`` yields the JSON that SQL made for each Compute."""
    if isinstance(operation, Call):
        given: Payload = data if isinstance(data, dict) else {}
        returned = operation.function(given)
        if returned is not None and not isinstance(returned, dict):
            message = f"it returned {type(returned).__name__}, and a payload is a dict"
            raise TypeError(message)
        return given if returned is None else returned
    match operation:
        case Add(name, default):
            if default is not None and _get(data, name) is None:
                data = set_field(data, name, default)
        case Rename(old, new):
            value = _get(data, old)
            data = drop_field(data, old)
            if value is not None:
                data = set_field(data, new, value)
        case Split(name, into, at):
            value = _text(_get(data, name))
            data = drop_field(data, name)
            parts = [] if value is None else value.split(at, len(into) - 1)
            for target, part in zip(into, parts, strict=False):
                data = set_field(data, target, part)
        case Merge(names, into, joined_by):
            found = [_text(_get(data, name)) for name in names]
            for name in names:
                data = drop_field(data, name)
            present = [part for part in found if part is not None]
            if present:
                data = set_field(data, into, joined_by.join(present))
        case Scale(name) | Compute(name):
            made: str | None = next(computed)
            value = _get(data, name)
            if made is not None:
                data = set_field(data, name, _DECODE(made))
            elif value is not None:
                message = f"{name} = {str(value)[:80]!r} cannot be converted"
                raise ValueError(message)
        case Remove(name):
            data = drop_field(data, name)
    return data


def _get(data: Any, path: str) -> Any:
    for key in json_keys(path):
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def set_field(data: Any, path: str, value: Any) -> Any:
    """Set a value; what is in the way and no object gives way to one."""
    root = data if isinstance(data, dict) else {}
    *parents, last = json_keys(path)
    here = root
    for key in parents:
        inner = here.get(key)
        if not isinstance(inner, dict):
            inner = here[key] = {}
        here = inner
    here[last] = value
    return root


def drop_field(data: Any, path: str) -> Any:
    """Take a field out of a payload."""
    *parents, last = json_keys(path)
    here = data
    for key in parents:
        here = here.get(key) if isinstance(here, dict) else None
    if isinstance(here, dict):
        here.pop(last, None)
    return data


def _text(value: Any) -> str | None:
    """The text of a value, as SQL reads it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        digits = str(value)
        near = float(value)
        # DuckDB writes numbers as the shortest DOUBLE that is the same, unless there is none.
        exact = len(digits) > 16 or not math.isfinite(near)
        return (digits.lower() if exact else repr(near)).replace("e+", "e")
    return _ENCODE(value).decode()
