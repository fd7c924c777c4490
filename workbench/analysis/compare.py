"""When two values of a column are the same: types made comparable, tolerances applied, NULL equal to NULL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from workbench._sql import DECIMAL, text
from workbench.errors import ConfigError, did_you_mean

Tolerance = int | float | Decimal | dt.timedelta

_NUMBER = re.compile(r"^(?:U?(?:BIG|SMALL|TINY|HUGE)?INT(?:EGER)?|DOUBLE|FLOAT|DECIMAL.*)$")
_TIME = re.compile(r"^(?:TIMESTAMP|DATE).*$")


@dataclass(frozen=True, slots=True)
class Column:
    """One column on both sides.

    Attributes
    ----------
    name
        Its name in the definition.
    ours, theirs
        DuckDB types in the replay and in the read model.
    tolerance
        Differences up to here are none; None: exact.
    """

    name: str
    ours: str
    theirs: str
    timezone: str | None
    tolerance: Tolerance | None

    def stored_sql(self, stored: str) -> str:
        """The stored value, as it is compared and shown."""
        if self.theirs == self.ours:
            return stored
        if (
            self.theirs.startswith("TIMESTAMP")
            and self.theirs != "TIMESTAMP WITH TIME ZONE"
            and self.timezone
        ):
            return f"timezone({text(self.timezone)}, CAST({stored} AS TIMESTAMP))"
        if self._numeric and self.theirs == "VARCHAR":
            return f"try_cast({stored} AS {DECIMAL})"
        if self._numeric or (_TIME.match(self.ours) and _TIME.match(self.theirs)):
            return stored
        return (
            f"try_cast({stored} AS {self.ours})"
            if self.theirs == "VARCHAR"
            else f"CAST({stored} AS VARCHAR)"
        )

    def equal_sql(self, stored: str, replayed: str, *, stored_is_read: bool = False) -> str:
        """A condition that is never NULL: the two are the same."""
        theirs = stored if stored_is_read else self.stored_sql(stored)
        ours = (
            replayed
            if self.theirs == "VARCHAR" or self._comparable
            else f"CAST({replayed} AS VARCHAR)"
        )
        exact = f"({theirs} IS NOT DISTINCT FROM {ours})"
        if not stored_is_read and self.theirs == "VARCHAR" and self.ours != "VARCHAR":
            # Text that cannot be read is not the same as no value.
            exact = f"({exact} AND ({theirs} IS NOT NULL OR {stored} IS NULL))"
        if self.tolerance is None:
            return exact
        if isinstance(self.tolerance, dt.timedelta):
            within = f"abs(epoch_us({theirs}) - epoch_us({ours})) <= {int(self.tolerance / dt.timedelta(microseconds=1))}"
        else:
            within = f"abs({theirs} - {ours}) <= {Decimal(str(self.tolerance)):f}"
        return f"({exact} OR coalesce({within}, FALSE))"

    @property
    def _numeric(self) -> bool:
        return bool(_NUMBER.match(self.ours))

    @property
    def _comparable(self) -> bool:
        return (
            self.ours == self.theirs
            or bool(self._numeric and _NUMBER.match(self.theirs))
            or bool(_TIME.match(self.ours) and _TIME.match(self.theirs))
        )


def paired(
    ours: Mapping[str, str],
    theirs: Mapping[str, str],
    *,
    model: str,
    timezone: str | None,
    tolerances: Mapping[str, Tolerance],
) -> list[Column]:
    """Pair the columns that both sides have.

    Raises
    ------
    ConfigError
        A stored time says no zone, or a tolerance does not suit its column.
    """
    columns = []
    for name, kind in ours.items():
        if name not in theirs:
            continue
        stored = theirs[name]
        naive = stored.startswith("TIMESTAMP") and stored != "TIMESTAMP WITH TIME ZONE"
        if kind == "TIMESTAMP WITH TIME ZONE" and naive and timezone is None:
            message = f"{model}: column {name!r} is {stored}, which says no time zone."
            raise ConfigError(message, hint="say how to read it: wb.read_model(…, timezone='UTC')")
        tolerance = tolerances.get(name)
        is_time = bool(_TIME.match(kind))
        if tolerance is not None and isinstance(tolerance, dt.timedelta) != is_time:
            message = f"tolerance of {name!r}: a column of type {kind} wants a {'timedelta' if is_time else 'number'}."
            raise ConfigError(message)
        columns.append(Column(name, kind, stored, timezone, tolerance))
    return columns


def tolerances(
    given: Tolerance | Mapping[str, Tolerance] | None, columns: Collection[str]
) -> dict[str, Tolerance]:
    """Read a ``tolerance=`` argument: column -> tolerance.

    Raises
    ------
    ConfigError
        It names a column that is not there, or is negative.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        message = "tolerance= wants the columns' names."
        raise ConfigError(
            message, hint=f"write tolerance={{{next(iter(columns), 'balance')!r}: {given!r}}}"
        )
    for name, value in given.items():
        if name not in columns:
            message = f"tolerance names {name!r}, which is no column that is compared."
            raise ConfigError(message + did_you_mean(name, columns))
        if (value < dt.timedelta()) if isinstance(value, dt.timedelta) else (value < 0):
            message = f"tolerance of {name!r} is negative."
            raise ConfigError(message)
    return dict(given)
