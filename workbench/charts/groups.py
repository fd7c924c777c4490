"""Which colour a group has: the same one in every chart of a log, however the log was narrowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workbench._sql import ident
from workbench.charts import theme
from workbench.charts.data import ask
from workbench.store.table import Table
from workbench.store.view import EVENTS

OTHERS: Final = -1
"""The place of what stands for several groups: it is grey, and belongs to none of them."""

Places = list[int]


def places(result: Table, column: str, shown: Sequence[str | None], *, others: bool) -> Places:
    """Give each group that a chart shows its place in the palette.

    The whole log decides, not the chart: its most frequent groups have places of their own, so a type is
    blue in the rates of all streams and in the timeline of one. A rarer group takes a place that is free
    in its chart; where none is, groups share one.

    Parameters
    ----------
    result
        What is drawn; it says which log.
    column
        The column of ``events`` that the groups are values of.
    shown
        The groups, in the order of the chart.
    others
        Whether the last of them stands for several groups.
    """
    name = ident(column)
    found = ask(
        result,
        f"SELECT {name} AS kind FROM {EVENTS} GROUP BY kind "
        f"ORDER BY count(*) DESC, kind NULLS LAST LIMIT {len(theme.GROUPS)}",
    )
    own = {row["kind"]: place for place, row in enumerate(found)}
    named = list(shown[: len(shown) - others])
    taken = {own[kind] for kind in named if kind in own}
    free = [place for place in range(len(theme.GROUPS)) if place not in taken]
    rare = [kind for kind in named if kind not in own]
    for index, kind in enumerate(rare):
        own[kind] = free[index] if index < len(free) else index % len(theme.GROUPS)
    return [own[kind] for kind in named] + [OTHERS] * others


def colours(found: Places) -> list[str]:
    """Return the colour of each place."""
    return [theme.OTHER if place == OTHERS else theme.GROUPS[place] for place in found]


def shapes(found: Places) -> list[str]:
    """Return the shape of each place; with its colour it tells a place from all others."""
    return [theme.SHAPES[place % len(theme.SHAPES)] for place in found]
