"""Would these events fold now? Each is tried in replay, and none of them stops the others.

A handler of a fold is tried twice on each event: *in its place* among the events of its row, and *behind all of
them*, on the state of a consumer that never saw the events that were given up: that is how a re-driven event
arrives. A projection in columns does not fail on order, only on values that it cannot read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import localcontext
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from workbench._html import visible
from workbench._sql import any_of, ident
from workbench.analysis.definition import Definition
from workbench.moments import Moment
from workbench.projections.engines.fold_input import Chunk, FoldInput
from workbench.projections.engines.python_fold import DIGITS
from workbench.projections.fold import Fold
from workbench.projections.projection import Projection
from workbench.store.fields import Field
from workbench.store.view import EVENTS, View

VERDICTS: Final = ("folds", "fails", "fails late", "ignored", "unreadable", "unknown")
"""In replay the event *folds*; *fails* in its place; *fails late*, behind the events that came since; is
*ignored*, since the definition takes no such event; is *unreadable*; or it is *unknown*, since its row fails
before it."""

_LONGEST: Final = 300

Verdict = tuple[str, str | None]


def verdicts(definition: Definition, view: View, positions: Sequence[int]) -> dict[int, Verdict]:
    """Try the events at some positions of a log: position -> verdict, and why."""
    if not positions:
        return {}
    # As a table: to parse a hundred thousand numbers in a query takes longer than to answer it.
    owner = _Owner()
    rows = pa.table({"position": pa.array(positions, pa.int64())})
    wanted = f"FROM {view.database.keep_arrow(rows, owner, 'positions')}"
    found = dict.fromkeys(
        positions, ("ignored", f"{definition.name!r} takes no such event, or it has no key")
    )
    if isinstance(definition, Projection):
        return found | _of_projection(definition, view, wanted)
    return found | _of_fold(definition, view, wanted, set(positions))


class _Owner:
    """As long as it lives, so do the positions in the workspace."""


# -- projections ---------------------------------------------------------------------------------


def _of_projection(definition: Projection, view: View, wanted: str) -> dict[int, Verdict]:
    problems = []
    for item in definition.aggregates:
        read = [item.field] if item.field else []
        read += [part[0] for part in item.where.parts] if item.where is not None else []
        of_types = "TRUE" if item.on is None else any_of("event_type", item.on)
        problems += [_problem(view, one, of_types) for one in read]
    problems += [_problem(view, one, "TRUE") for one in definition.key.values()]
    said = ", ".join(dict.fromkeys(problem for problem in problems if problem)) or "NULL"
    types = "TRUE" if definition.types is None else any_of("event_type", definition.types)
    keys = " AND ".join(f"{view.read(item).present}" for item in definition.key.values())
    rows = view.rows(
        f"SELECT position, nullif(array_to_string(list_distinct(list_filter([{said}], "
        f"lambda one: one IS NOT NULL)), '; '), '') FROM {EVENTS} SEMI JOIN ({wanted}) USING (position) "
        f"WHERE {types} AND {keys}"
    )
    return {at: ("folds", None) if why is None else ("fails", _short(why)) for at, why in rows}


def _problem(view: View, item: Field, condition: str) -> str | None:
    reader = view.read(item)
    if reader.unusable is None:
        return None
    name = item.name.replace("'", "''")
    return (
        f"CASE WHEN {condition} AND {reader.unusable} THEN '{name} = ' || left(CAST({reader.raw} AS VARCHAR), 80) "
        f"|| ' is no {item.type}' END"
    )


# -- folds ---------------------------------------------------------------------------------------


class _Lenient(FoldInput):
    """Notes values that do not fit their type, and goes on."""

    def __init__(self, fold: Fold, view: View, moment: Moment, *, only: str) -> None:
        super().__init__(fold, view, moment, only=only)
        self.broken: dict[int, str] = {}

    def _refuse_unusable(self, item: Field, batch: pa.RecordBatch, index: int) -> None:
        column = batch[f"unusable_{index}"]
        if column.null_count == batch.num_rows:
            return
        rows = pc.indices_nonzero(pc.is_valid(column))
        places = batch["position"].take(rows).to_pylist()
        for position, value in zip(places, column.take(rows).to_pylist(), strict=True):
            self.broken.setdefault(
                position, f"{item.name} = {visible(value, 80)} is no {item.type}"
            )


@dataclass
class _Row:
    """A row that is being folded: once with the events that were given up in their places, once without."""

    key: tuple[Any, ...]
    in_place: Any
    without: Any
    unsure: str | None = None
    late: list[tuple[int, Callable[..., Any], list[Any]]] = field(default_factory=list)


def _of_fold(fold: Fold, view: View, wanted: str, positions: set[int]) -> dict[int, Verdict]:
    keys = ", ".join(f"{view.read(item).value} AS {ident(name)}" for name, item in fold.key.items())
    only = f"SELECT DISTINCT {keys} FROM {EVENTS} SEMI JOIN ({wanted}) USING (position)"
    feed = _Lenient(fold, view, Moment(), only=only)
    found: dict[int, Verdict] = {}
    row: _Row | None = None
    with localcontext(prec=DIGITS):
        for chunk in feed.chunks():
            for first, end, key in chunk.runs:
                if row is None or row.key != key:
                    _arrive_late(row, found)
                    row = _Row(key, fold.start(), fold.start())
                _fold_run(fold, feed.broken, chunk, range(first, end), row, positions, found)
        _arrive_late(row, found)
    return found


def _fold_run(
    fold: Fold,
    broken: Mapping[int, str],
    chunk: Chunk,
    run: range,
    row: _Row,
    wanted: set[int],
    found: dict[int, Verdict],
) -> None:
    places = chunk.batch["position"][run.start : run.stop].to_pylist()
    for index, position in zip(run, places, strict=True):
        handler, columns = chunk.plan[chunk.kinds[index]]
        if handler is None:  # it ends the row: what was before it counts no more
            row.in_place, row.without, row.unsure = fold.start(), fold.start(), None
            if position in wanted:
                found[position] = ("folds", None)
            continue
        values = [column[index] for column in columns]
        if position in wanted:
            found[position] = _try_in_place(row, handler, values, broken.get(position))
            if found[position][0] == "folds":
                row.late.append((position, handler, values))
            continue
        try:
            if position in broken:
                raise ValueError(broken[position])  # noqa: TRY301 -- told as a handler's own failure is
            row.in_place = _applied(handler, row.in_place, values)
            row.without = _applied(handler, row.without, values)
        except Exception as error:
            row.unsure = f"the event at position {position} of its row fails: {_why(error)}"


def _try_in_place(
    row: _Row, handler: Callable[..., Any], values: list[Any], problem: str | None
) -> Verdict:
    if row.unsure is not None:
        return "unknown", row.unsure
    if problem is not None:
        return "fails", problem
    try:
        # On a copy: a handler that fails may have changed the state already.
        row.in_place = _applied(handler, copy.deepcopy(row.in_place), values)
    except Exception as error:
        return "fails", _why(error)
    return "folds", None


def _arrive_late(row: _Row | None, found: dict[int, Verdict]) -> None:
    """Apply the events that were given up to what the consumer has made of all others."""
    if row is None:
        return
    state = row.without
    for position, handler, values in row.late:
        if row.unsure is not None:
            found[position] = ("unknown", row.unsure)
            continue
        try:
            state = _applied(handler, copy.deepcopy(state), values)
        except Exception as error:
            found[position] = ("fails late", _why(error))


def _applied(handler: Callable[..., Any], state: Any, values: list[Any]) -> Any:
    new = handler(state, *values)
    return state if new is None else new


def _why(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _short(why: str) -> str:
    return visible(why, _LONGEST)


# -- events that the log does not have -----------------------------------------------------------


def of_unknown(definition: Definition, view: View, letters: pa.Table) -> dict[int, Verdict]:
    """Try events that only their dead letters tell of, in a copy of the rows that they touch.

    Parameters
    ----------
    letters
        ``dead_letter_id``, and the columns of ``events`` that a dead letter tells; in the order in which they
        would be sent.

    Returns
    -------
    dict
        ``dead_letter_id`` -> verdict, and why.
    """
    from workbench.store.database import Database

    if not letters.num_rows:
        return {}
    scratch = Database(None)
    try:
        con = scratch.cursor()
        first = int(view.rows(f"SELECT coalesce(max(position), 0) + 1 FROM {EVENTS}")[0][0])
        con.register("given_up", letters)
        con.execute(
            "INSERT INTO log.main.events_tail BY NAME SELECT * EXCLUDE (dead_letter_id, n), "
            f"n + {first} AS position FROM (SELECT *, row_number() OVER () - 1 AS n FROM given_up)"
        )
        theirs = replace(view.whole, database=scratch)
        keys = [theirs.read(item).value for item in definition.key.values()]
        listed = ", ".join(f"{sql} AS wb_key_{number}" for number, sql in enumerate(keys))
        wanted = con.sql(f"SELECT DISTINCT {listed} FROM {EVENTS}").to_arrow_table()
        log = view.database.cursor()
        log.register("wanted_rows", wanted)
        same = " AND ".join(
            f"({view.read(item).value}) = wb_key_{number}"
            for number, item in enumerate(definition.key.values())
        )
        events = log.sql(
            "SELECT position, stream_id, stream_type, version, event_id, event_type, schema_version, occurred_at, "
            "recorded_at, correlation_id, causation_id, actor, CAST(data AS VARCHAR) AS data, "
            f"CAST(metadata AS VARCHAR) AS metadata FROM {EVENTS} SEMI JOIN wanted_rows ON {same}"
        ).to_arrow_table()
        con.register("their_events", events)
        con.execute("INSERT INTO log.main.events_tail BY NAME SELECT * FROM their_events")
        scratch.generation += 1
        ids = letters["dead_letter_id"].to_pylist()
        found = verdicts(definition, theirs, range(first, first + len(ids)))
        return {ids[position - first]: verdict for position, verdict in found.items()}
    finally:
        scratch.close()
