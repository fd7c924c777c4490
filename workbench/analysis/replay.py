"""Replay: the rows of a definition as they stood at a moment."""

from __future__ import annotations

from workbench._sql import ident
from workbench.analysis.definition import Definition, check, narrow_to_stream, replay_rows
from workbench.analysis.kept import KeptTable
from workbench.analysis.notes import notes
from workbench.moments import Moment
from workbench.store.view import View


class Replay(KeptTable):
    """The rows of a definition at a moment.

    Columns: the key, those of the definition, then ``version`` and ``position`` up to which events
    were applied, and ``events``, how many were. Rows are in no order (a preview is sorted by the key).

    Attributes
    ----------
    definition
        The Projection or Fold.
    moment
        The cut-off.
    """

    definition: Definition
    moment: Moment


def replay(
    view: View, definition: Definition, moment: Moment, *, stream: str | None = None
) -> Replay:
    """Replay a definition up to a moment, of all rows or of one stream."""
    check(definition)
    scope = narrow_to_stream(view, definition, stream)
    rows = replay_rows(definition, scope, moment)
    result = Replay.of(
        view.database,
        rows,
        title=f"{definition.name}, {_words(scope, moment, rows.clock)}",
        notes=notes(definition, scope, moment, rows.clock),
    )
    result.definition, result.moment = definition, moment
    result._order = ", ".join(map(ident, definition.key))
    return result


def _words(view: View, moment: Moment, clock: str) -> str:
    words = [*view.words, str(moment)]
    if moment.time is not None and moment.clock is None:
        words[-1] += f" ({clock})"
    return "; ".join(words)
