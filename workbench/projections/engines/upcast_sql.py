"""Upcasting in SQL: how each field is read from events of any version.

For each (type, version) that a chain begins at, the operations are walked once, and what they do to a field is
folded into the expression that reads it. A field that they leave alone is read as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import duckdb

from workbench._sql import json_keys, number, text
from workbench.projections.engines.upcast_payload import Function, Steps, function_of
from workbench.projections.engines.upcast_values import (
    NOTHING,
    Choice,
    Computed,
    Given,
    Joined,
    Part,
    Read,
    Scaled,
    Stored,
    Value,
)
from workbench.projections.upcasting import (
    Add,
    Call,
    Chains,
    Compute,
    Merge,
    Operation,
    Pair,
    Remove,
    Rename,
    Scale,
    Split,
    Upcaster,
)
from workbench.store.database import Database
from workbench.store.fields import Field
from workbench.store.query import check_query, query_error
from workbench.store.view import Reader

_PAYLOAD = "wb_payload"


@dataclass(frozen=True)
class Upcasters:
    """A checked set of upcasters, as a view reads through them.

    Attributes
    ----------
    chains
        What leads from each (type, version) to the newest.
    """

    chains: Chains
    _functions: dict[tuple[Pair, int, bool], Function] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def of(cls, upcasters: Sequence[Upcaster]) -> Self:
        """Check a set of upcasters.

        Raises
        ------
        ConfigError
            Two begin at one (type, version), or the chains of a type have a gap or go round.
        """
        return cls(Chains().with_more(upcasters))

    def with_more(self, upcasters: Sequence[Upcaster]) -> Self:
        """Return these and others, checked together."""
        return type(self)(self.chains.with_more(upcasters))

    def check(self, database: Database) -> None:
        """Check the SQL expressions of the upcasters against DuckDB.

        Raises
        ------
        QueryError
            One is no expression of ``value``.
        """
        for upcaster in self.chains.upcasters:
            for operation in upcaster.operations:
                if isinstance(operation, Compute):
                    _check(operation.sql, database)

    @property
    def condition(self) -> str:
        """A condition on ``events``: the payload is not shown as it is stored."""
        return " OR ".join(f"({condition_of(pair)})" for pair in self.chains.pairs) or "FALSE"

    def changes(self, wanted: Field) -> bool:
        """Whether a field may be read otherwise than it is stored."""
        return any(
            self._changed(pair, wanted, _unread, None) is not None for pair in self.chains.pairs
        )

    def read(self, wanted: Field, stored: Callable[[Field], Reader], database: Database) -> Reader:
        """Say how to read a field, given how fields are read as they are stored."""
        plain = stored(wanted)
        cases: dict[Reader, list[str]] = {}
        for pair in self.chains.pairs:
            changed = self._changed(pair, wanted, stored, database)
            if changed is not None:
                cases.setdefault(changed(), []).append(condition_of(pair))
        if not cases:
            return plain

        def choose(part: Callable[[Reader], str]) -> str:
            whens = "".join(
                f"WHEN {' OR '.join(f'({one})' for one in conditions)} THEN {part(reader)} "
                for reader, conditions in cases.items()
            )
            return f"CASE {whens}ELSE {part(plain)} END"

        certain = all(reader.unusable is None for reader in [plain, *cases])
        return Reader(
            value=choose(lambda reader: reader.value),
            unusable=None if certain else choose(lambda reader: reader.unusable or "FALSE"),
            present=choose(lambda reader: reader.present),
            raw=choose(lambda reader: f"CAST({reader.raw} AS VARCHAR)"),
            number=choose(lambda reader: reader.number),
        )

    def failing(self, pair: Pair, stored: Read, database: Database) -> str | None:
        """A condition on events of this type and version: an upcaster fails on the payload; None: none can."""
        walk = self._walk(pair, stored, database)
        if any(isinstance(operation, Call) for _, operation in walk.steps):
            return f"{walk.payload(strict=False)} IS NULL"
        conditions = [value.read("json").unusable or "FALSE" for value in walk.computed]
        return " OR ".join(f"({one})" for one in conditions) or None

    def _walk(self, pair: Pair, stored: Read, database: Database | None) -> _Walk:
        walk = _Walk(self, pair, stored, database)
        for step in self.chains.of(*pair):
            for operation in step.operations:
                walk.apply(step.name, operation)
        return walk

    def _changed(
        self, pair: Pair, wanted: Field, stored: Read, database: Database | None
    ) -> Callable[[], Reader] | None:
        """How a field is read from an event of this type and version; None: as it is stored."""
        if not wanted.path and wanted.column == "schema_version":
            newest = text(str(self.chains.newest(pair[0])))
            return lambda: _column(newest)
        if wanted.column != "data":
            return None
        walk = self._walk(pair, stored, database)
        if not wanted.path:
            return (lambda: _column(f"CAST({walk.payload()} AS JSON)")) if walk.steps else None
        value = walk.get(wanted.path)
        if isinstance(value, Stored) and value.path == wanted.path and value.reads is stored:
            return None
        return lambda: value.read(wanted.type)

    def function(self, pair: Pair, steps: Steps, *, strict: bool) -> Function:
        """Return the function in Python for the first steps of a chain; the same one each time."""
        made = function_of(tuple(steps), strict=strict)
        return self._functions.setdefault((pair, len(steps), strict), made)


@dataclass
class _Walk:
    """A payload on its way along a chain: what was set in it, over what is stored.

    A function of the user sees the whole payload and may do anything to it: from there on fields are read
    from what it gave.
    """

    upcasters: Upcasters
    pair: Pair
    reads: Read
    database: Database | None
    steps: list[tuple[str, Operation]] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    computed: list[Value] = field(default_factory=list)

    def apply(self, name: str, operation: Operation) -> None:
        """Go one operation on."""
        match operation:
            case Add(path, default):
                if default is not None:
                    value = self.get(path)
                    self._set(path, Choice(value, value, Given(default)))
            case Rename(old, new):
                value, other = self.get(old), self.get(new)
                self._set(old, NOTHING)
                self._set(new, Choice(value, value, other))
            case Split(path, into, at):
                whole = self.get(path)
                others = [self.get(target) for target in into]
                self._set(path, NOTHING)
                for index, (target, other) in enumerate(zip(into, others, strict=True)):
                    part = Part(whole, at, index, index == len(into) - 1)
                    self._set(target, Choice(part, part, other))
            case Merge(paths, into, by):
                joined = Joined(tuple(self.get(path) for path in paths), by)
                other = self.get(into)
                for path in paths:
                    self._set(path, NOTHING)
                self._set(into, Choice(joined, joined, other))
            case Scale(path, factor):
                self._compute(path, Scaled(self.get(path), factor))
            case Compute(path, sql, result):
                self._compute(path, Computed(self.get(path), sql, result))
            case Remove(path):
                self._set(path, NOTHING)
        self.steps.append((name, operation))
        if isinstance(operation, Call):
            self.values.clear()
            self.reads = self._reads_payload()

    def get(self, path: str) -> Value:
        """What stands at a path now."""
        keys = json_keys(path)
        if any(_holds(keys, json_keys(known)) for known in self.values):
            # Something inside it was set: it has to be put together.
            return Stored(path, self._reads_payload())
        holding = [known for known in self.values if _holds(json_keys(known), keys)]
        if path in self.values:
            return self.values[path]
        if not holding:
            return Stored(path, self.reads)
        nearest = max(holding, key=lambda known: len(json_keys(known)))
        return self.values[nearest].beneath(_path(keys[len(json_keys(nearest)) :]))

    def payload(self, *, strict: bool = True) -> str:
        """SQL for the whole payload now, as JSON; where an upcaster fails it raises, or is NULL."""
        return _payload(self, len(self.steps), tuple(self.computed), strict=strict)

    def _set(self, path: str, value: Value) -> None:
        keys = json_keys(path)
        for inner in [known for known in self.values if _holds(keys, json_keys(known))]:
            del self.values[inner]
        self.values[path] = value

    def _compute(self, path: str, value: Value) -> None:
        self._set(path, value)
        self.computed.append(value)

    def _reads_payload(self) -> Read:
        steps, computed = len(self.steps), tuple(self.computed)
        return lambda wanted: read_payload(_payload(self, steps, computed), wanted)


def _payload(walk: _Walk, steps: int, computed: Sequence[Value], *, strict: bool = True) -> str:
    """SQL for the payload after so many steps; asking for it makes the function known to DuckDB."""
    if not steps:
        return "data"
    assert walk.database is not None, "fields are compared, not read, without a database"
    function = walk.upcasters.function(walk.pair, walk.steps[:steps], strict=strict)
    name = walk.database.function(function, ["BIGINT", "VARCHAR", "VARCHAR[]"], "VARCHAR")
    values = ", ".join(f"CAST({value.read('json').value} AS VARCHAR)" for value in computed)
    return f"{name}(position, CAST(data AS VARCHAR), CAST([{values}] AS VARCHAR[]))"


def read_payload(payload: str, wanted: Field) -> Reader:
    """Read a field from a payload that has to be computed: once for each use."""
    inner = Field(_PAYLOAD, wanted.path, wanted.type)

    def once(read: str) -> str:
        return f"list_transform([{payload}], lambda {_PAYLOAD}: {read})[1]"

    unusable = None
    if inner.may_be_unusable:
        unusable = once(f"{inner.present_sql} AND ({inner.value_sql}) IS NULL")
    return Reader(
        value=once(inner.value_sql),
        unusable=unusable,
        present=once(inner.present_sql),
        raw=once(inner.raw_sql),
        number=once(inner.read_sql(number)),
    )


def condition_of(pair: Pair) -> str:
    """A condition on ``events``: of this type and version."""
    kind, version = pair
    said = "schema_version IS NULL" if version is None else f"schema_version = {text(version)}"
    return f"event_type = {text(kind)} AND {said}"


def _check(sql: str, database: Database) -> None:
    # Without the parentheses too: 'value), (1' would reach beyond its own pair.
    for asked in (f"({sql}\n)", f"CASE WHEN TRUE THEN {sql}\nEND"):
        query = f"SELECT list_transform(['x'], lambda value: TRY({asked}))"
        check_query(query)
        try:
            database.cursor().execute(f"DESCRIBE {query}")
        except duckdb.Error as error:
            raise query_error(error, sql) from error


def _column(value: str) -> Reader:
    return Reader(value, None, f"({value}) IS NOT NULL", value, f"CAST({value} AS VARCHAR)")


def _holds(outer: Sequence[str], inner: Sequence[str]) -> bool:
    """Whether a path leads to something inside of what the other leads to."""
    return len(outer) < len(inner) and list(inner[: len(outer)]) == list(outer)


def _path(keys: Sequence[str]) -> str:
    return ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)


def _unread(_: Field) -> Reader:
    message = "this is only asked whether a field is changed"
    raise AssertionError(message)
