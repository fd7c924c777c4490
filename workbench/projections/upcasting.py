"""Upcasters: what turns a payload of an old version into one of a new version, while it is read.

The log keeps what it received. An upcaster is a passive value that tells how a payload of one version
becomes one of the next; ``log.upcast(…)`` gives a log that reads through a set of them.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from workbench.errors import ConfigError, ProjectionError, did_you_mean
from workbench.store.fields import field

PLACES: Final = 18
"""More places than these a number of the workbench has not."""

Result = Literal["text", "decimal", "integer", "boolean"]
Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Add:
    """Give a field a value where it has none (absent or null)."""

    field: str
    default: Any


@dataclass(frozen=True, slots=True)
class Rename:
    """Move a field; without a value there, ``new`` stays what it is."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Split:
    """Cut a text into several fields; the last takes the rest."""

    field: str
    into: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Join the texts of several fields, those that have one."""

    fields: tuple[str, ...]
    into: str
    joined_by: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply a number, exactly."""

    field: str
    factor: Decimal


@dataclass(frozen=True, slots=True)
class Compute:
    """Replace a value by a SQL expression of it, called ``value`` there (its text)."""

    field: str
    sql: str
    result: Result


@dataclass(frozen=True, slots=True)
class Remove:
    """Drop a field."""

    field: str


@dataclass(frozen=True, slots=True)
class Call:
    """Hand the whole payload to a function of the user."""

    function: Callable[[Payload], Payload | None]


Operation = Add | Rename | Split | Merge | Scale | Compute | Remove | Call


@dataclass(frozen=True, init=False)
class Upcaster:
    """How the payload of one version of an event type becomes one of another version.

    Say what changes by the methods below, in the order in which it shall happen; each gives a new upcaster.
    Fields are named as in a projection: ``"amount"``, ``"customer.name"``.

    Parameters
    ----------
    event_type
        The type, as stored.
    from_version, to_version
        Versions of the payload, as stored in ``schema_version``: text. ``from_version=None``: events
        that say no version.

    Raises
    ------
    ConfigError
        A name or a version is not usable.

    Examples
    --------
    >>> Upcaster("DepositMade", from_version="1", to_version="2").add("currency", "EUR").rename("amt", "amount")
    Upcaster DepositMade 1 → 2: add currency 'EUR', rename amt to amount
    """

    event_type: str
    from_version: str | None
    to_version: str
    operations: tuple[Operation, ...]

    def __init__(self, event_type: str, *, from_version: str | None, to_version: str) -> None:
        if not isinstance(event_type, str) or not event_type:
            message = f"an upcaster is for an event type, and {event_type!r} is none."
            raise ConfigError(message, hint="write wb.Upcaster('DepositMade', …)")
        for name, version in (("from_version", from_version), ("to_version", to_version)):
            if not isinstance(version, str) and not (name == "from_version" and version is None):
                message = f"upcaster of {event_type}: {name}={version!r} is no text."
                raise ConfigError(
                    message, hint="versions are text, as the log has them: '1', '2.1.0'"
                )
        if from_version == to_version:
            message = f"upcaster of {event_type}: it leads from version {to_version} to itself."
            raise ConfigError(message, hint="give it the next version: to_version=…")
        set_ = object.__setattr__
        set_(self, "event_type", event_type)
        set_(self, "from_version", from_version)
        set_(self, "to_version", to_version)
        set_(self, "operations", ())

    def __repr__(self) -> str:
        said = ", ".join(map(said_of, self.operations)) or "nothing changes"
        return f"Upcaster {self.name}: {said}"

    @property
    def name(self) -> str:
        """``DepositMade 1 → 2``."""
        return f"{self.event_type} {shown(self.from_version)} → {self.to_version}"

    def add(self, name: str, default: Any) -> Upcaster:
        """Give a field a value where it has none (absent or null).

        ``default`` is what JSON can hold; money is Decimal.
        """
        if not is_json(default):
            message = f"{self.name}: the default of {name!r} is {default!r}, which JSON cannot hold exactly."
            raise ConfigError(
                message, hint="use text, int, Decimal, bool, None, or lists and dicts of them"
            )
        return self._then(Add(self._field(name), default))

    def rename(self, old: str, new: str) -> Upcaster:
        """Move a field; where the old one has no value, the new one stays what it is."""
        self._apart((old,), (new,))
        return self._then(Rename(self._field(old), self._field(new)))

    def split(self, name: str, into: Sequence[str], *, at: str = " ") -> Upcaster:
        """Cut a text at a separator into several fields; the last takes the rest. The old field is gone."""
        if isinstance(into, str) or len(into) < 2 or not at:
            message = f"{self.name}: {name!r} is to be split into {into!r} at {at!r}."
            raise ConfigError(
                message, hint="write .split('name', ['first_name', 'last_name'], at=' ')"
            )
        self._apart((name,), into)
        return self._then(Split(self._field(name), tuple(map(self._field, into)), at))

    def merge(self, names: Sequence[str], into: str, *, joined_by: str = " ") -> Upcaster:
        """Join the texts of several fields into one; the old fields are gone."""
        if isinstance(names, str) or len(names) < 2:
            message = f"{self.name}: {names!r} names no fields to merge."
            raise ConfigError(message, hint="write .merge(['first_name', 'last_name'], 'name')")
        self._apart(names, (into,))
        return self._then(Merge(tuple(map(self._field, names)), self._field(into), joined_by))

    def convert(
        self,
        name: str,
        *,
        factor: int | Decimal | None = None,
        sql: str | None = None,
        result: Result = "text",
    ) -> Upcaster:
        """Convert a value: by a factor, or by a SQL expression.

        Parameters
        ----------
        name
            The field; without a value it stays so.
        factor
            A number is multiplied by it, exactly: ``Decimal("0.01")`` makes cents euros.
        sql
            An expression of ``value``, the field's text: ``"upper(value)"``,
            ``"CASE value WHEN 'm' THEN 'male' END"``.
        result
            What the expression gives: ``"text"``, ``"decimal"``, ``"integer"`` or ``"boolean"``.
        """
        if (factor is None) == (sql is None):
            message = f"{self.name}: to convert {name!r} takes either factor= or sql=."
            raise ConfigError(message)
        if sql is not None:
            if result not in get_args(Result):
                message = f"{self.name}: an expression gives no {result!r}."
                raise ConfigError(message + did_you_mean(str(result), get_args(Result)))
            return self._then(Compute(self._field(name), sql, result))
        if isinstance(factor, bool) or not isinstance(factor, int | Decimal):
            message = (
                f"{self.name}: the factor of {name!r} is {factor!r}, which is no exact number."
            )
            raise ConfigError(message, hint="write Decimal('0.01') instead of 0.01")
        exact = Decimal(factor)
        places = -int(exact.as_tuple().exponent) if exact.is_finite() else PLACES + 1
        if places > PLACES or exact.adjusted() > PLACES:
            message = f"{self.name}: the factor of {name!r} is {factor}, which has more than {PLACES} places."
            raise ConfigError(message, hint="use a factor that is exact: Decimal('0.01')")
        return self._then(Scale(self._field(name), exact))

    def remove(self, name: str) -> Upcaster:
        """Drop a field."""
        return self._then(Remove(self._field(name)))

    def using(self, function: Callable[[Payload], Payload | None]) -> Upcaster:
        """Hand the payload to a function of yours, as a dict; numbers with a point are Decimal.

        It returns the new payload, or None when it changed the dict in place. It has to give the same for
        the same payload. It runs once for each event of this version whose payload is read, in batches,
        which costs a few microseconds each; what the other methods can do is compiled to SQL.
        """
        if not callable(function):
            message = f"{self.name}: {function!r} is no function."
            raise ConfigError(
                message, hint="write .using(lambda data: {**data, 'currency': 'EUR'})"
            )
        return self._then(Call(function))

    def _then(self, operation: Operation) -> Upcaster:
        new = Upcaster(self.event_type, from_version=self.from_version, to_version=self.to_version)
        object.__setattr__(new, "operations", (*self.operations, operation))
        return new

    def _field(self, name: str) -> str:
        try:
            parsed = field(name)
        except ProjectionError as error:
            message = f"{self.name}: {error}"
            raise ConfigError(message) from error
        if parsed.column != "data" or not parsed.path:
            message = f"{self.name}: {name!r} is no field of the payload."
            raise ConfigError(message, hint="an upcaster changes the payload alone")
        return parsed.path

    def _apart(self, left: Sequence[str], right: Sequence[str]) -> None:
        """Check that no field is moved into itself, or into what lies beneath it."""
        names = [*left, *right]
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                if one == other or one.startswith(other + ".") or other.startswith(one + "."):
                    message = f"{self.name}: {one!r} and {other!r} are the same field, or one holds the other."
                    raise ConfigError(message)


def shown(version: str | None) -> str:
    """Write a version; events that say none have 'no version'."""
    return "no version" if version is None else version


def said_of(operation: Operation) -> str:
    """Say an operation in a few words."""
    match operation:
        case Add(name, default):
            return f"add {name} {textwrap.shorten(repr(default), 40, placeholder='…')}"
        case Rename(old, new):
            return f"rename {old} to {new}"
        case Split(name, into):
            return f"split {name} into {', '.join(into)}"
        case Merge(names, into):
            return f"merge {', '.join(names)} into {into}"
        case Scale(name, factor):
            return f"multiply {name} by {factor}"
        case Compute(name, sql):
            return f"convert {name} by {sql}"
        case Remove(name):
            return f"remove {name}"
        case Call(function):
            return f"call {getattr(function, '__name__', 'a function')}"


def is_json(value: Any) -> bool:
    """Tell whether JSON can hold a value exactly: no float, and no key that is no text."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(is_json, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    if isinstance(value, Decimal):
        return value.is_finite()
    return value is None or isinstance(value, str | int)


# -- chains --------------------------------------------------------------------------------------

Pair = tuple[str, str | None]
"""An event type, and a version of its payload."""


@dataclass(frozen=True)
class Chains:
    """A set of upcasters, checked: for each (type, version), the chain that leads to the newest.

    Raises
    ------
    ConfigError
        Two upcasters begin at one (type, version), a chain comes back to where it was, or the chains of a
        type do not end at one version.
    """

    upcasters: tuple[Upcaster, ...] = ()
    _next: dict[Pair, Upcaster] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for item in self.upcasters:
            if not isinstance(item, Upcaster):
                message = f"{type(item).__name__} is no upcaster."
                raise ConfigError(
                    message,
                    hint="write wb.Upcaster('DepositMade', from_version='1', to_version='2')",
                )
            pair = (item.event_type, item.from_version)
            known = self._next.setdefault(pair, item)
            if known is not item:
                message = (
                    f"two upcasters begin at {item.event_type} {shown(item.from_version)}: "
                    f"one leads to {known.to_version}, the other to {item.to_version}."
                )
                raise ConfigError(message, hint="keep one of them")
        for kind in dict.fromkeys(item.event_type for item in self.upcasters):
            self._check(kind)

    def _check(self, kind: str) -> None:
        reached = {item.to_version for item in self.upcasters if item.event_type == kind}
        starts = [version for name, version in self._next if name == kind]
        ends: dict[str, str | None] = {}  # last version -> where a chain to it begins
        for start in starts:
            seen = [start]
            while (step := self._next.get((kind, seen[-1]))) is not None:
                if step.to_version in seen:
                    path = " → ".join(map(shown, [*seen, step.to_version]))
                    message = f"the upcasters of {kind} go round in a circle: {path}."
                    raise ConfigError(message, hint="a chain has to end at the newest version")
                seen.append(step.to_version)
            if start not in reached:
                ends.setdefault(str(seen[-1]), start)
        if len(ends) > 1:
            chains = "; ".join(
                f"{shown(start)} leads to {end} and no further" for end, start in ends.items()
            )
            message = f"the upcasters of {kind} have a gap: {chains}."
            (end, _), (_, start) = list(ends.items())[:2]
            raise ConfigError(
                message,
                hint=f"add the one between: wb.Upcaster({kind!r}, from_version={end!r}, to_version={start!r})",
            )

    def __bool__(self) -> bool:
        return bool(self.upcasters)

    def with_more(self, upcasters: Sequence[Upcaster]) -> Chains:
        """Return these and others, checked together; the same one twice counts once."""
        found = list(self.upcasters)
        found += [item for item in upcasters if item not in found]
        return Chains(tuple(found))

    @property
    def pairs(self) -> list[Pair]:
        """The (type, version) that are changed when they are read."""
        return list(self._next)

    def of(self, event_type: str, version: str | None) -> tuple[Upcaster, ...]:
        """Return the upcasters that a payload goes through; none where none begins there."""
        found = []
        while (step := self._next.get((event_type, version))) is not None:
            found.append(step)
            version = step.to_version
        return tuple(found)

    def newest(self, event_type: str) -> str | None:
        """Return the version at which the chains of a type end; None where it has none."""
        last = next((item for item in self.upcasters if item.event_type == event_type), None)
        return None if last is None else self.of(event_type, last.from_version)[-1].to_version
