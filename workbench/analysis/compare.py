"""When two values of a column are the same: types made comparable, tolerances applied, NULL equal to NULL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from workbench._sql import DECIMAL, aware_time, text
from workbench.errors import ConfigError, did_you_mean

Tolerance = int | float | Decimal | dt.timedelta

NUMBER = re.compile(r"^(?:U?(?:BIG|SMALL|TINY|HUGE)?INT(?:EGER)?|DOUBLE|FLOAT|DECIMAL.*)$")
#: The type of a column that holds nothing but NULL.
_UNTYPED: Final = '"NULL"'
AWARE_TIME: Final = "TIMESTAMP WITH TIME ZONE"
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
        """The stored value, as it is shown: as it was found, but times with their zone."""
        if self._naive:
            return f"timezone({text(str(self.timezone))}, CAST({stored} AS TIMESTAMP))"
        return stored

    def to_store(self, value: object) -> object:
        """A value of ours as the read model keeps it: a time without its zone, where it keeps none."""
        if self._naive and isinstance(value, dt.datetime):
            return value.astimezone(ZoneInfo(str(self.timezone))).replace(tzinfo=None)
        return value

    def equal_sql(self, stored: str, replayed: str) -> str:
        """A condition that is never NULL: what :meth:`stored_sql` gave and a replayed value are the same."""
        theirs = self.read_sql(stored)
        ours = f"CAST({replayed} AS VARCHAR)" if self._as_text else replayed
        exact = f"({theirs} IS NOT DISTINCT FROM {ours})"
        if theirs != stored:
            # What cannot be read is not the same as no value.
            exact = f"({exact} AND ({theirs} IS NOT NULL OR {stored} IS NULL))"
        if self.tolerance is None or self._as_text:
            return exact
        if isinstance(self.tolerance, dt.timedelta):
            within = f"abs(epoch_us({theirs}) - epoch_us({ours})) <= {self.tolerance // dt.timedelta(microseconds=1)}"
        else:
            within = f"abs({theirs} - {ours}) <= {Decimal(str(self.tolerance)):f}"
        return f"({exact} OR coalesce({within}, FALSE))"

    def read_sql(self, stored: str) -> str:
        """The stored value, made comparable with ours; NULL when that cannot be done."""
        if self._as_text:
            return f"CAST({stored} AS VARCHAR)"
        if self.theirs == "VARCHAR" and self.ours != "VARCHAR":
            return self._parsed(stored)
        if self.ours.endswith("[]") and self.theirs != self.ours:
            return f"try_cast({stored} AS {self.ours})"
        return stored

    def _parsed(self, stored: str) -> str:
        if NUMBER.match(self.ours):
            if self.ours in ("DOUBLE", "FLOAT"):
                return f"try_cast({stored} AS {self.ours})"
            # A cast to DECIMAL rounds in silence.
            too_long = text(r"\.\d{18}\d*[1-9]")
            return f"CASE WHEN NOT regexp_matches({stored}, {too_long}) THEN try_cast({stored} AS {DECIMAL}) END"
        if self.ours == AWARE_TIME:
            aware = aware_time(stored)
            if self.timezone is None:
                return aware
            return f"coalesce({aware}, timezone({text(self.timezone)}, try_cast({stored} AS TIMESTAMP)))"
        return f"try_cast({stored} AS {self.ours})"

    def naive_sql(self, stored: str) -> str | None:
        """A condition that finds texts which are times without a zone; None where that is no question."""
        if self.ours != AWARE_TIME or self.theirs != "VARCHAR" or self.timezone is not None:
            return None
        return f"({aware_time(stored)}) IS NULL AND try_cast({stored} AS TIMESTAMP) IS NOT NULL"

    @property
    def _naive(self) -> bool:
        return self.ours == AWARE_TIME and is_naive(self.theirs) and self.timezone is not None

    @property
    def _as_text(self) -> bool:
        """Whether the types have nothing in common but that both can be written down."""
        if _UNTYPED in (self.ours, self.theirs):
            return True
        return not (
            self.theirs == "VARCHAR"
            or self.ours == self.theirs
            or (NUMBER.match(self.ours) and NUMBER.match(self.theirs))
            or (_TIME.match(self.ours) and _TIME.match(self.theirs))
            or (self.ours.endswith("[]") and self.theirs.endswith("[]"))
        )


def is_naive(kind: str) -> bool:
    """Whether a type of times says no time zone."""
    return bool(_TIME.match(kind)) and kind != AWARE_TIME


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
        if kind == AWARE_TIME and is_naive(stored) and timezone is None:
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
