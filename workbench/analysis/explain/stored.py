"""What a row of a read model has stored, held against states of a fold: quickly, and never too strictly."""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from workbench.analysis.compare import Tolerance
from workbench.projections.fold import Fold


class Stored:
    """What a row has stored; says quickly whether a state may be it. The proof is made in SQL."""

    def __init__(
        self,
        fold: Fold,
        columns: Sequence[tuple[str, str, Tolerance | None]],
        values: Sequence[Any],
        numeric: Sequence[bool],
    ) -> None:
        # Which columns are numeric is said for all rows at once, so that the numbers of two rows can be compared.
        self.columns, self.values, self._fold = columns, values, fold
        start = fold.start()
        names = [name for name, _, _ in columns]
        self._of: Callable[[Any], Sequence[Any]]
        if dataclasses.is_dataclass(start):
            get = operator.attrgetter(*names)
            self._of = get if len(names) > 1 else lambda state: (get(state),)
        else:
            self._of = lambda state: [fold.row(state).get(name) for name in names]
        self._numeric = [index for index, is_one in enumerate(numeric) if is_one]

    def may_be(self, state: Any) -> bool:
        """Whether a state is the stored row, as far as Python's types can tell; never FALSE where it is."""
        return all(map(self._same, self.columns, self.values, self._of(state)))

    def _same(self, column: tuple[str, str, Tolerance | None], stored: Any, ours: Any) -> bool:
        tolerance = column[2]
        if stored is None or ours is None:
            return stored is ours
        if isinstance(tolerance, dt.timedelta):
            return not isinstance(stored, dt.datetime) or bool(abs(stored - ours) <= tolerance)
        if isinstance(stored, float) or isinstance(ours, float):
            return tolerance is not None or type(ours) is str or float(stored) == float(ours)
        if (
            isinstance(stored, int | Decimal)
            and isinstance(ours, int | Decimal)
            and type(ours) is not bool
        ):
            if tolerance is not None:
                return bool(abs(Decimal(stored) - Decimal(ours)) <= Decimal(str(tolerance)))
            return bool(stored == ours)
        if type(stored) is not type(ours):
            return True  # types that only SQL compares
        return bool(stored == ours)

    def numbers(self, state: Any) -> tuple[Any, ...]:
        """The numeric columns of a state; None where it has no exact number."""
        return self._numbers(self._of(state))

    @property
    def own_numbers(self) -> tuple[Any, ...]:
        """The numeric columns of the stored row; None where it has no exact number."""
        return self._numbers(self.values)

    def _numbers(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([_exact(values[index]) for index in self._numeric])


def is_number(value: Any) -> bool:
    """Whether it is an exact number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _exact(value: Any) -> Any:
    return value if is_number(value) else None
