"""Causes: how sound the causal links of a whole log are, in numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from workbench._sql import text
from workbench.analysis.causation import counted
from workbench.analysis.links import NONE, forest, links
from workbench.store.table import Table
from workbench.store.view import EVENTS, View


class Causes(Table):
    """How sound the causal links of a log are: ``what`` (VARCHAR), ``number`` (BIGINT), ``meaning``.

    Attributes
    ----------
    counts
        The same as a dictionary: ``events``, ``first``, ``caused``, ``orphans``, ``missing_causes``,
        ``itself``, ``cycles``, ``on_cycles``, ``across_streams``, ``backwards``, ``longest_chain``.
    """

    counts: dict[str, int]
    _flagged: str

    def _subtitle(self) -> str:
        return counted(self.counts["events"], "event")

    def orphans(self) -> Table:
        """List the events whose cause is not in this log, in its order."""
        return self._listed("orphan", "Events whose cause is not in this log")

    def cycles(self) -> Table:
        """List the events that are on a circle of causes, or name themselves, in the order of the log."""
        return self._listed("cycle", "Events on a circle of causes")

    def _listed(self, what: str, title: str) -> Table:
        table = Table(
            self._database,
            f"SELECT position, stream_id, version, event_type, event_id, causation_id, correlation_id FROM {EVENTS} "
            f"SEMI JOIN (SELECT position FROM {self._flagged} WHERE what = {text(what)}) USING (position) ORDER BY position",
            title=title,
        )
        table._owner = self
        return table


def causes(view: View) -> Causes:
    """Count how the events of a log are linked, and where the links are broken."""
    found = links(view, view.clock(None))
    tree = forest(found.parent)
    orphans = found.orphans
    wrong = tree.on_cycle | found.itself
    result = Causes(view.database, "", title="Causal links")
    flagged = pa.table(
        {
            "position": np.concatenate([found.position[orphans], found.position[wrong]]),
            "what": ["orphan"] * int(orphans.sum()) + ["cycle"] * int(wrong.sum()),
        }
    )
    result._flagged = view.database.keep_arrow(flagged, result, "causes")
    missing = view.rows(
        f"SELECT count(DISTINCT causation_id) FROM {EVENTS} SEMI JOIN "
        f"(SELECT position FROM {result._flagged} WHERE what = 'orphan') USING (position)"
    )[0][0]
    result.counts = {
        "events": len(found.position),
        "first": int((~found.names_cause).sum()),
        "caused": int((found.parent != NONE).sum()),
        "orphans": int(orphans.sum()),
        "missing_causes": int(missing),
        "itself": int(found.itself.sum()),
        "cycles": tree.cycles,
        "on_cycles": int(tree.on_cycle.sum()),
        "across_streams": int(found.across.sum()),
        "backwards": int(found.backwards.sum()),
        "longest_chain": int(tree.depth.max(initial=-1)) + 1,
    }
    rows = ", ".join(
        f"({index}, {text(name)}, {number}, {text(_MEANING[name])})"
        for index, (name, number) in enumerate(result.counts.items())
        if name != "events"
    )
    result.sql = (
        f"SELECT what, number, meaning FROM (VALUES {rows}) t(n, what, number, meaning) ORDER BY n"
    )
    result.notes = tuple(_concerns(result.counts))
    return result


_MEANING: Final[dict[str, str]] = {
    "first": "name no cause",
    "caused": "name a cause that is in this log",
    "orphans": "name a cause that is not in this log",
    "missing_causes": "different causes that are not in this log",
    "itself": "name themselves",
    "cycles": "circles of events that cause each other",
    "on_cycles": "events on such a circle",
    "across_streams": "caused by an event of another stream",
    "backwards": "earlier than their cause",
    "longest_chain": "events from a first one to the last that comes from it",
}


def _concerns(counts: dict[str, int]) -> list[str]:
    if not counts["events"]:
        return ["no events"]
    if counts["first"] == counts["events"]:
        return [
            "no event names a cause: the source does not record causation, or its layout does not map it"
        ]
    return []
