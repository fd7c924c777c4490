"""The bank once more, as a fold that depends on order: a withdrawal that is not covered is refused.

In the log every withdrawal is covered. Where an event is skipped, doubled, swapped or misread, a later one may no longer
be, and what is stored then is more than the right row with one event less: no sum tells it, only folding does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from workbench.samples.domain import ReadModel
from workbench.samples.parts import PARTS, Layout, Part

NAME: Final = "account_guarded"

#: The causes that are put into its read model; none of them comes in bursts.
SHARES: Final[Mapping[str, int]] = {
    "skipped": 4,
    "doubled": 4,
    "swapped": 4,
    "stale": 2,
    "missing": 1,
    "orphaned": 1,
    "un-upcast": 3,
    "bad snapshot": 2,
    "doubled+skipped": 2,
    "skipped+stale": 2,
}
MOST: Final = 40
#: Its rows are explained by trying everything, so they are short.
LONGEST: Final = 30


class GuardedLayout(Layout):
    """The columns of ``account_guarded``. No sum says what was done to a row, and any two neighbours may matter."""

    def __init__(self) -> None:
        parts = {name: part for name, part in PARTS["bank"].items() if name != "risk_score"}
        super().__init__({**parts, "refused": Part("sum", "0")})
        self.plain = []
        self.depends_on_order = True

    def _next(self, now: list[Any] | None, added: tuple[Any, ...]) -> list[Any]:
        if added[0] < 0 and (0 if now is None else now[0]) + added[0] < 0:
            now = list(self._start) if now is None else now
            now[3] += 1
            return now
        return super()._next(now, added)


def guarded(model: ReadModel) -> ReadModel:
    """Return the read model of the fold, from that of the projection; in the log nothing is refused."""
    columns = {name: sql for name, sql in model.columns.items() if name != "risk_score"}
    return replace(model, name=NAME, columns={**columns, "refused": "CAST(0 AS BIGINT)"})
