"""The order of a causation tree, and its upper levels as lines: what the text and the chart both draw."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.analysis.links import NONE, Forest, Ints, Links

if TYPE_CHECKING:
    from workbench.analysis.causation import Causation


@dataclass(frozen=True, slots=True)
class Shape:
    """Where each event stands in the order of the tree, and how much is below it."""

    ord: Ints
    effects: Ints
    below: Ints

    def rows(self, links: Links, forest: Forest) -> pa.Table:
        """Write the nodes as rows, positions for indices."""
        known = forest.parent != NONE
        parent = np.where(known, links.position[forest.parent], NONE)
        cause = np.full(len(parent), "known", dtype=object)
        cause[~known] = "first"
        cause[links.orphans] = "unknown"
        cause[links.itself] = "itself"
        cause[forest.on_cycle & ~known] = "cycle"
        return pa.table(
            {
                "ord": self.ord,
                "position": links.position,
                "parent": pa.array(parent, pa.int64(), mask=~known),
                "depth": forest.depth,
                "effects": self.effects,
                "below": self.below,
                "cause": pa.array(cause, pa.string()),
            }
        )


def shape(links: Links, forest: Forest) -> Shape:
    """Number the events as a reader goes through the tree: each one, then all that it caused."""
    size = len(forest.parent)
    children: list[list[int]] = [[] for _ in range(size)]
    roots: list[int] = []
    for index, parent in enumerate(forest.parent.tolist()):
        (roots if parent == NONE else children[parent]).append(index)
    ord_ = np.zeros(size, dtype=np.int64)
    below = np.zeros(size, dtype=np.int64)
    order: list[int] = []
    stack = roots[::-1]
    while stack:
        index = stack.pop()
        ord_[index] = len(order)
        order.append(index)
        stack.extend(reversed(children[index]))
    parents = forest.parent.tolist()
    counts = [0] * size
    for index in reversed(order):
        if parents[index] != NONE:
            counts[parents[index]] += counts[index] + 1
    below[:] = counts
    effects = np.array([len(found) for found in children], dtype=np.int64)
    return Shape(ord_, effects, below)


@dataclass(slots=True)
class Line:
    """One line of a tree.

    Attributes
    ----------
    kind
        ``event``, ``dead letter``, or ``missing``: a cause that is not in the log.
    up
        The line of its cause, counted from 0.
    hidden
        How many below it are not shown.
    """

    kind: str
    depth: int
    name: str
    where: str
    up: int | None
    after: dt.timedelta | None
    remark: str
    hidden: int
    row: dict[str, Any]


def outline(result: Causation, limit: int) -> tuple[list[Line], int]:
    """Return the upper levels of a tree as lines, and how many trees are left out."""
    rows = result.query(
        f"SELECT * FROM (SELECT * FROM result ORDER BY depth, ord LIMIT {max(1, int(limit))}) ORDER BY ord"
    ).rows()
    missing: dict[str, int] = {}
    lines: list[Line] = []
    at: dict[int, int] = {}
    # Events that name the same unknown cause stand together below it.
    grouped: dict[str, list[list[dict[str, Any]]]] = {}
    trees: list[list[dict[str, Any]]] = []
    for row in rows:
        if row["depth"] == 0:
            trees.append([row])
            if row["cause"] == "unknown":
                grouped.setdefault(row["causation_id"], []).append(trees[-1])
        else:
            trees[-1].append(row)
    for tree in trees:
        first = tree[0]
        if first["cause"] != "unknown":
            _add(lines, at, tree, 0, None)
        elif first["causation_id"] not in missing:
            cause = first["causation_id"]
            missing[cause] = len(lines)
            lines.append(Line("missing", 0, cause, "", None, None, "not in this log", 0, {}))
            lines[-1].hidden = sum(1 + sibling[0]["below"] for sibling in grouped[cause])
            for sibling in grouped[cause]:
                _add(lines, at, sibling, 1, missing[cause])
    shown = sum(1 for row in rows if row["depth"] == 0)
    orphan_letters = result.query("SELECT count(*) AS n FROM result WHERE depth = 0").rows()[0]["n"]
    return lines, int(orphan_letters) - shown


def _add(
    lines: list[Line], at: dict[int, int], tree: list[dict[str, Any]], indent: int, top: int | None
) -> None:
    for row in tree:
        up = at.get(row["parent"], top) if row["depth"] else top
        version = "" if row["version"] is None else f" v{row['version']}"
        if row["kind"] == "dead letter":
            remark = row["error"] or "no error is told"
            name = f"dead letter of {row['event_type'] or 'an unknown type'}"
            where = row["actor"] or ""
        else:
            name, where = row["event_type"], f"{row['stream_id']}{version}"
            remark = {
                "cycle": "comes from itself: a circle",
                "itself": "names itself as its cause",
            }.get(row["cause"], "")
        if up is not None:
            lines[up].hidden -= 1 + row["below"] if row["kind"] == "event" else 0
        if row["position"] is not None:
            at[row["position"]] = len(lines)
        lines.append(
            Line(
                row["kind"],
                row["depth"] + indent,
                name,
                where,
                up,
                row["after"],
                remark,
                row["below"],
                row,
            )
        )
