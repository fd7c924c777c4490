"""Explain: which event made a row wrong. Causes that reproduce the stored row exactly, and what they share."""

from __future__ import annotations

from workbench.analysis.classify import Classification
from workbench.analysis.diff import Diff
from workbench.analysis.explain.clusters import Clusters
from workbench.analysis.explain.divergence import Divergence
from workbench.analysis.explain.halves import Halves
from workbench.analysis.explain.histories import Histories
from workbench.analysis.explain.ranked import ranked
from workbench.analysis.explain.refold import Refolds
from workbench.analysis.explain.result import Explanation
from workbench.analysis.explain.searches import Searches
from workbench.analysis.explain.suspects import Suspects
from workbench.projections.projection import Projection

__all__ = ["Clusters", "Divergence", "Explanation", "Histories", "explain"]


def explain(diff: Diff) -> Explanation:
    """Search the causes of all rows that a diff found wrong.

    A cause counts only when it gives the stored row exactly, in each compared column. What is searched: the
    row stopped, or was never written; one event, or a run of consecutive ones, was skipped or applied
    twice; two neighbours were swapped; payloads were read without their upcaster; an event went to another
    row; two separate events (only where nothing simpler explains the row). The first
    hypothesis of a row is the simplest, not the proven one.
    """
    work = diff._owner
    assert isinstance(work, Classification)
    suspects = Suspects(work, diff._query)
    definition = diff.definition
    search: Searches | Refolds
    if isinstance(definition, Projection):
        halves = Halves(definition, suspects)
        search = Searches(halves)
        found, notes = search.run(), halves.notes
    else:
        search = Refolds(definition, suspects)
        found, notes = search.run(), search.notes
    ahead = diff.counts["ahead"]
    if ahead:
        notes.append(f"{ahead:,} rows are ahead of this log: nothing can be said about them")
    result = Explanation(
        diff._database,
        "-- searched step by step; log.diff(…).explain() does it again",
        title=f"Why {diff.model.name} differs from {definition.name}",
        notes=notes,
    )
    result._owner = (diff, suspects, search)
    result.diff, result.suspects = diff, suspects
    result.old = search.old
    result.kept, result._stored = ranked(suspects, found, search.old, search.incomplete, result)
    return result
