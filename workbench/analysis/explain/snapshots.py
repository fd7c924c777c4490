"""States of other rows from which a fold's wrong rows may have gone on: which of them are worth a try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from workbench.analysis.explain.one_row import OneRow

MOST: Final = 1_000
"""So many states of other rows are tried for one row, of those whose numbers all fit; and so many of the rest."""


class Snapshots:
    """What states would lead to rows that nothing else explains, had they been taken for the rows' own.

    What a handler does is not known, but where it adds up, a state has to have certain numbers for the rest of
    the row's events to lead to the stored row. A state is tried where one of these is met; numbers that are
    not off say nothing, since what they were may have been replaced since.
    """

    def __init__(self, rows: Sequence[OneRow]) -> None:
        self.longest = 0
        """After so many events no state is wanted."""
        self.cut: set[int] = set()
        """Rows for which more states came into question than were tried."""
        self._tried: Counter[tuple[int, bool]] = Counter()
        self._wanted: dict[tuple[int, int, Any], list[tuple[OneRow, tuple[Any, ...]]]] = {}
        self._shown: dict[int, list[int]] = {}
        self._numbers = rows[0].numbers if rows else None
        for row in rows:
            shown = [index for index, value in enumerate(row.off) if value]
            self._shown[row.k] = shown
            for boundary in range(1, row.length):
                needed = row.needed(boundary)
                for index in shown:
                    self._wanted.setdefault((boundary, index, needed[index]), []).append(
                        (row, needed)
                    )
                    self.longest = max(self.longest, boundary)

    def met(self, state: Any, step: int) -> Iterator[tuple[OneRow, Any]]:
        """Try a state after so many events; yield each row that it leads to, with what comes of it."""
        assert self._numbers is not None
        numbers = self._numbers(state)
        wanted = {
            row.k: (row, needed)
            for index, value in enumerate(numbers)
            for row, needed in self._wanted.get((step, index, value), ())
        }
        for k, (row, needed) in wanted.items():
            # Small numbers are met by many states: these must not use up the tries of those that fit in all.
            fits = all(numbers[index] == needed[index] for index in self._shown[k])
            self._tried[k, fits] += 1
            if self._tried[k, fits] > MOST:
                self.cut.add(k)
                continue
            found = row.from_snapshot(state, step)
            if found is not None:
                yield row, found
