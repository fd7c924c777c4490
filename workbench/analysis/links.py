"""Who caused what, as arrays: each event has at most one cause, so the graph is trees, and cycles with trees on them.

Depths, roots and cycles are found by pointer doubling (Jaja, An Introduction to Parallel Algorithms, 1992,
section 2.2): each step looks twice as far, so five million events take some twenty passes of numpy, and a
cycle cannot make it run for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from workbench.store.query import query_error
from workbench.store.view import EVENTS, View

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Links:
    """Events in the order of the log, and the index of the cause of each.

    Attributes
    ----------
    position
        Positions, ascending.
    parent
        Index of the cause; -1 where there is none, or none that is known.
    names_cause
        Whether the event says what caused it.
    itself
        Whether it says that it caused itself.
    across, backwards
        Whether its cause is of another stream; whether it claims to be earlier than its cause.
    """

    position: Ints
    parent: Ints
    names_cause: Flags
    itself: Flags
    across: Flags
    backwards: Flags

    def of(self, keep: Flags, parent: Ints) -> Links:
        """Return some of the events, whose causes have these indices among them."""
        return Links(
            self.position[keep],
            parent,
            self.names_cause[keep],
            self.itself[keep],
            self.across[keep],
            self.backwards[keep],
        )

    @property
    def orphans(self) -> Flags:
        """Events whose cause is named, and not among these events."""
        found: Flags = self.names_cause & (self.parent == NONE) & ~self.itself
        return found


@dataclass(frozen=True, slots=True)
class Forest:
    """What pointer doubling finds.

    Attributes
    ----------
    parent
        As in the links; each cycle is cut open above its earliest event.
    depth
        Steps from the root; 0 for a root.
    root
        Index of the root.
    on_cycle
        Whether an event is one of a cycle.
    cycles
        Number of cycles.
    """

    parent: Ints
    depth: Ints
    root: Ints
    on_cycle: Flags
    cycles: int


def links(view: View, clock: str, among: str | None = None) -> Links:
    """Read the links between the events of a view, or those of them for which ``among`` holds."""
    condition = f"({view.filter})" + (f" AND ({among})" if among else "")
    # By hash first: eight bytes an event, and the ids only where these are equal.
    sql = (
        f"WITH chosen AS (SELECT position, stream_id, {clock}_at AS moment, event_id, causation_id, hash(event_id) AS h, "
        f"hash(causation_id) AS c FROM {EVENTS} WHERE {condition}) "
        "SELECT e.position, coalesce(cause.position, -1) AS cause, e.causation_id IS NOT NULL AS names_cause, "
        "coalesce(e.causation_id = e.event_id, FALSE) AS itself, coalesce(e.stream_id <> cause.stream_id, FALSE) AS across, "
        "coalesce(e.moment < cause.moment, FALSE) AS backwards "
        "FROM chosen e LEFT JOIN chosen cause ON e.c = cause.h AND e.causation_id = cause.event_id"
    )
    try:
        found = view.database.cursor().execute(sql).fetchnumpy()
    except duckdb.Error as error:
        raise query_error(error, sql) from error
    order = np.argsort(found["position"], kind="stable")
    position, cause, names, itself, across, backwards = (
        np.asarray(found[name])[order]
        for name in ("position", "cause", "names_cause", "itself", "across", "backwards")
    )
    parent = np.where(cause == NONE, NONE, np.searchsorted(position, cause))
    parent[itself] = NONE
    return Links(position, parent, names, itself, across, backwards)


def forest(parent: Ints) -> Forest:
    """Find depth and root of each event, and cut open the cycles."""
    on_cycle = _on_cycle(parent)
    cut = parent.copy()
    cycles = 0
    if on_cycle.any():
        members = np.flatnonzero(on_cycle)
        heads = members[_earliest(parent, members) == members]
        cut[heads] = NONE
        cycles = len(heads)
    here = np.arange(len(parent))
    up = np.where(cut == NONE, here, cut)
    depth = (cut != NONE).astype(np.int64)
    while True:
        further = up[up]
        if np.array_equal(further, up):
            return Forest(cut, depth, up, on_cycle, cycles)
        depth += depth[up]
        up = further


def _on_cycle(parent: Ints) -> Flags:
    """After more steps up than there are events, whoever has not run out is on a cycle."""
    size = len(parent)
    flags = np.zeros(size + 1, dtype=bool)
    up = np.append(np.where(parent == NONE, size, parent), size)  # what runs out stays at the end
    for _ in range(max(size, 1).bit_length()):
        further = up[up]
        if np.array_equal(further, up):
            break
        up = further
    flags[up] = True
    flags[size] = False
    found: Flags = flags[:size]
    return found


def _earliest(parent: Ints, members: Ints) -> Ints:
    """For each member of a cycle the earliest event of its cycle."""
    place = np.full(len(parent), NONE)
    place[members] = np.arange(len(members))
    up = place[parent[members]]
    least = members.copy()
    for _ in range(len(members).bit_length()):
        least = np.minimum(least, least[up])
        up = up[up]
    return least
