"""Saga: a process over several streams, declared by the events that show its steps."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from workbench.errors import ConfigError, ProjectionError, did_you_mean
from workbench.projections.columns import Types, types_of
from workbench.store.fields import Field, field

Role = Literal["start", "success", "failure", "compensation", "cancelled"]
Length = str | dt.timedelta

START: Final = "start"
"""What the beginning of a saga is called where its steps are listed."""

_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?) *(second|minute|hour|day|week)s?")
_UNITS: Final = ("second", "minute", "hour", "day", "week")


@dataclass(frozen=True, init=False)
class Step:
    """One step of a saga, known by the events that it leaves behind.

    Parameters
    ----------
    name
        What it does: ``"pay"``.
    success
        Event types that say it was done.
    failure
        Event types that say an attempt failed. It may be tried again.
    compensation
        Event types that say it was undone.
    part
        The field that tells the parts of a step apart, where it is done several times in one saga: the
        stream of each order line (``"event.stream_id"``), or ``"sku"``. Each part succeeds, fails and is
        compensated on its own. By default the step has one part.
    deadline
        How long the saga may be idle while it waits for this step: ``"2 hours"``, or a timedelta.
    optional
        Whether the saga may go on without it.

    Raises
    ------
    ConfigError
        The definition is not usable; the message says why.

    Examples
    --------
    >>> Step("pay", "PaymentProcessed", failure="PaymentFailed", compensation="PaymentRefunded", deadline="1 day")
    Step 'pay': PaymentProcessed, fails with PaymentFailed, undone by PaymentRefunded, within 1 day
    """

    name: str
    success: tuple[str, ...]
    failure: tuple[str, ...]
    compensation: tuple[str, ...]
    part: Field | None
    deadline: dt.timedelta | None
    optional: bool

    def __init__(
        self,
        name: str,
        success: Types,
        *,
        failure: Types = None,
        compensation: Types = None,
        part: str | None = None,
        deadline: Length | None = None,
        optional: bool = False,
    ) -> None:
        if not isinstance(name, str) or not name or name == START:
            message = f"a step cannot be called {name!r}."
            raise ConfigError(message, hint="give it the name of what it does: 'reserve', 'pay'")
        owner = f"step {name!r}"
        done = _types(success, owner)
        if not done:
            message = f"{owner} names no event that says it was done."
            raise ConfigError(message, hint=f"write Step({name!r}, 'PaymentProcessed')")
        set_ = object.__setattr__
        set_(self, "name", name)
        set_(self, "success", done)
        set_(self, "failure", _types(failure, owner))
        set_(self, "compensation", _types(compensation, owner))
        set_(self, "part", None if part is None else _field(part, owner))
        set_(self, "deadline", _length(deadline, owner))
        set_(self, "optional", bool(optional))

    @property
    def types(self) -> dict[str, Role]:
        """Event type -> what it says about the step."""
        roles: tuple[tuple[tuple[str, ...], Role], ...] = (
            (self.success, "success"),
            (self.failure, "failure"),
            (self.compensation, "compensation"),
        )
        return {kind: role for kinds, role in roles for kind in kinds}

    def __repr__(self) -> str:
        words = [" or ".join(self.success)]
        words += [f"fails with {' or '.join(self.failure)}"] if self.failure else []
        words += [f"undone by {' or '.join(self.compensation)}"] if self.compensation else []
        words += [f"one part for each {self.part.name}"] if self.part else []
        words += [f"within {length(self.deadline)}"] if self.deadline is not None else []
        words += ["optional"] if self.optional else []
        return f"Step {self.name!r}: {', '.join(words)}"


@dataclass(frozen=True, init=False)
class Saga:
    """A process over several streams: how it begins, its steps in order, how it ends.

    A saga is completed when its last step is done. What an instance of it has come to, and which rules it
    broke, is told by ``log.sagas(saga)``.

    Parameters
    ----------
    name
        What it is called.
    start
        Event types that begin it.
    steps
        Its steps, in order. The last one completes the saga, so it has one part and no compensation.
    cancelled
        Event types that end it in failure. By then all that was done should be undone. Without such a type, a
        saga that turned back has ended when nothing is left to undo.
    correlation
        The field that all events of one instance share: ``"event.correlation_id"``, or ``"orderId"``.
    deadline
        How long the whole may take: ``"30 days"``, or a timedelta.
    compensation_deadline
        How long it may be idle after a step has failed, or while it undoes steps.

    Raises
    ------
    ConfigError
        The definition is not usable; the message says why.

    Examples
    --------
    >>> checkout = Saga(
    ...     "checkout",
    ...     start="OrderCreated",
    ...     steps=[
    ...         Step("reserve", "InventoryReserved", compensation="InventoryReleased", part="event.stream_id"),
    ...         Step("pay", "PaymentProcessed", failure="PaymentFailed", deadline="1 day"),
    ...         Step("ship", "OrderShipped", deadline="5 days"),
    ...     ],
    ...     cancelled="OrderCancelled",
    ...     deadline="30 days",
    ... )
    >>> checkout
    Saga 'checkout': OrderCreated → reserve → pay → ship, or OrderCancelled; by event.correlation_id
      reserve: InventoryReserved, undone by InventoryReleased, one part for each event.stream_id
      pay: PaymentProcessed, fails with PaymentFailed, within 1 day
      ship: OrderShipped, within 5 days
      whole: within 30 days
    """

    name: str
    start: tuple[str, ...]
    steps: tuple[Step, ...]
    cancelled: tuple[str, ...]
    correlation: Field
    deadline: dt.timedelta | None
    compensation_deadline: dt.timedelta | None

    def __init__(
        self,
        name: str,
        start: Types,
        steps: Iterable[Step],
        *,
        cancelled: Types = None,
        correlation: str = "event.correlation_id",
        deadline: Length | None = None,
        compensation_deadline: Length | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            message = f"a saga cannot be called {name!r}."
            raise ConfigError(message, hint="give it the name of the process: 'checkout'")
        owner = f"saga {name!r}"
        begins = _types(start, owner)
        if not begins:
            message = f"{owner} names no event that begins it."
            raise ConfigError(message, hint="write start='OrderCreated'")
        set_ = object.__setattr__
        set_(self, "name", name)
        set_(self, "start", begins)
        set_(self, "steps", _steps(steps, owner))
        set_(self, "cancelled", _types(cancelled, owner))
        set_(self, "correlation", _field(correlation, owner))
        set_(self, "deadline", _length(deadline, owner))
        set_(self, "compensation_deadline", _length(compensation_deadline, owner))
        self._check_types(owner)

    def _check_types(self, owner: str) -> None:
        """Check that each event type says one thing."""
        said: dict[str, str] = {}
        for kind, role, at in self.roles:
            step = "the saga" if at is None else f"step {self.steps[at].name!r}"
            here = {"start": "it begins the saga", "cancelled": "it ends the saga"}.get(
                role, f"{role} of {step}"
            )
            if kind in said:
                message = f"{owner}: {kind} means two things: {said[kind]}, and {here}."
                raise ConfigError(message, hint="an event type has one meaning in a saga")
            said[kind] = here

    @property
    def roles(self) -> list[tuple[str, Role, int | None]]:
        """Each event type of the saga: what it says, and about which step (an index; None: the whole)."""
        found: list[tuple[str, Role, int | None]] = [(kind, "start", None) for kind in self.start]
        for at, step in enumerate(self.steps):
            found += [(kind, role, at) for kind, role in step.types.items()]
        return found + [(kind, "cancelled", None) for kind in self.cancelled]

    @property
    def types(self) -> tuple[str, ...]:
        """The event types of the saga."""
        return tuple(kind for kind, _, _ in self.roles)

    def step(self, name: str) -> Step:
        """Return a step by its name.

        Raises
        ------
        ConfigError
            There is no such step.
        """
        for step in self.steps:
            if step.name == name:
                return step
        message = f"saga {self.name!r} has no step {name!r}."
        raise ConfigError(message + did_you_mean(name, [step.name for step in self.steps]))

    def __repr__(self) -> str:
        way = " → ".join([" or ".join(self.start), *(step.name for step in self.steps)])
        other = f", or {' or '.join(self.cancelled)}" if self.cancelled else ""
        lines = [f"Saga {self.name!r}: {way}{other}; by {self.correlation.name}"]
        lines += [
            f"  {repr(step).replace('Step ', '', 1).replace(repr(step.name), step.name, 1)}"
            for step in self.steps
        ]
        if self.compensation_deadline is not None:
            lines.append(f"  compensation: within {length(self.compensation_deadline)}")
        if self.deadline is not None:
            lines.append(f"  whole: within {length(self.deadline)}")
        return "\n".join(lines)


def length(value: dt.timedelta) -> str:
    """Write a length of time in the largest unit that makes it a whole number.

    >>> length(dt.timedelta(hours=36)), length(dt.timedelta(days=1)), length(dt.timedelta(seconds=1.5))
    ('36 hours', '1 day', '1.5 seconds')
    """
    seconds = value.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0 and seconds:
            return f"{seconds // size:,.0f} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


def _steps(steps: object, owner: str) -> tuple[Step, ...]:
    if not isinstance(steps, Iterable) or isinstance(steps, str):
        message = f"{owner}: its steps are {type(steps).__name__}, not a list of steps."
        raise ConfigError(message, hint="write steps=[wb.Step('pay', 'PaymentProcessed'), …]")
    found = tuple(steps)
    for step in found:
        if not isinstance(step, Step):
            message = f"{owner}: {step!r} is no step."
            raise ConfigError(message, hint="write wb.Step('pay', 'PaymentProcessed')")
    if not found:
        message = f"{owner} has no steps."
        raise ConfigError(message, hint="write steps=[wb.Step('pay', 'PaymentProcessed'), …]")
    names = [step.name for step in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        message = f"{owner} has two steps {twice!r}."
        raise ConfigError(message, hint="a step that is done several times has parts: part='sku'")
    last = found[-1]
    if last.part is not None or last.compensation or last.optional:
        what = "has parts" if last.part else "is undone" if last.compensation else "is optional"
        message = f"{owner}: its last step, {last.name!r}, completes it, but {what}."
        raise ConfigError(
            message,
            hint="add a last step for the event that says the saga is complete: wb.Step('complete', 'OrderCompleted')",
        )
    return found


def _types(given: Types, owner: str) -> tuple[str, ...]:
    try:
        found = types_of(given) or ()
    except ProjectionError:
        message = f"{owner}: {given!r} names no event types."
        raise ConfigError(message, hint="write 'PaymentProcessed', or a list of types") from None
    return tuple(dict.fromkeys(found))


def _field(name: object, owner: str) -> Field:
    if not isinstance(name, str):
        message = f"{owner}: {name!r} names no field."
        raise ConfigError(message, hint="write 'orderId' or 'event.stream_id'")
    try:
        return field(name, None if name.startswith("event.") else "text")
    except ProjectionError as error:
        message = f"{owner}: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint=error.hint) from None


def _length(given: object, owner: str) -> dt.timedelta | None:
    """Read a length of time, longer than nothing."""
    if given is None:
        return None
    if isinstance(given, dt.timedelta):
        found = given
    elif isinstance(given, str) and (match := _LENGTH.fullmatch(given.strip())):
        found = dt.timedelta(**{f"{match[2]}s": float(match[1])})
    else:
        message = f"{owner}: {given!r} is no length of time."
        if isinstance(given, str) and (word := re.sub(r"[\d. ]", "", given)):
            message += did_you_mean(word.rstrip("s"), _UNITS)
        raise ConfigError(message, hint="write '2 hours', '5 days', or a timedelta")
    if found <= dt.timedelta():
        message = f"{owner}: a deadline of {given!r} is none."
        raise ConfigError(message, hint="leave it out for no deadline")
    return found
