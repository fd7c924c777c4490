"""One saga as bars in time: what each event took, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench._sql import any_of, literal, text
from workbench.analysis.sagas import aggregates
from workbench.analysis.sagas.words import VIOLATIONS
from workbench.projections.saga import START
from workbench.store.table import Table
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.sagas.result import Sagas


class Instance(Table):
    """One saga, one row for each of its events and one for what it waits for.

    Columns: ``n`` (order in the saga, from 1), ``step`` (``start``; NULL: the end), ``part`` (the value of
    the step's ``part`` field), ``role`` (``start``, ``success``, ``failure``, ``compensation``, ``cancelled``,
    ``waiting``), ``since`` and ``until`` (TIMESTAMPTZ, UTC), ``event_type``, ``stream_id``, ``version``,
    ``position``, ``event_id``, ``violations`` (VARCHAR[]: the rules that this event breaks).

    ``until`` is the time of the event. ``since`` is that of the event which caused it, where its ``causation_id``
    names one of this saga, and otherwise that of the event before. A saga that has not ended has a last row
    ``waiting``, from its last event to now.

    Attributes
    ----------
    saga_id, outcome
        Which saga, and what it came to.
    sagas
        The analysis that it is from.
    """

    saga_id: str
    outcome: str
    sagas: Sagas


def instance(sagas: Sagas, saga_id: str) -> Instance:
    """List one saga's events as bars."""
    work, view = sagas._work, sagas._view
    rules, tables = work.rules, work.tables
    pack = rules.packing
    key = view.read(sagas.saga.correlation).value
    parts = "".join(
        f"WHEN {any_of('event_type', step.types)} THEN CAST({view.read(step.part).value} AS VARCHAR) "
        for step in sagas.saga.steps
        if step.part is not None
    )
    part = f"CASE {parts}END" if parts else "NULL::VARCHAR"
    one = f"SELECT * FROM {tables['rows']} WHERE saga_id = {text(saga_id)}"
    step = f"CASE step WHEN 0 THEN {text(START)} ELSE {rules.name_of('step')} END"
    now = "NULL::TIMESTAMPTZ" if sagas.now is None else literal(sagas.now)
    broken = aggregates.violations(work, VIOLATIONS, saga_id=saga_id)
    sql = (
        f"WITH one AS ({one}), listed AS (SELECT variant, unnest(flow) AS x, generate_subscripts(flow, 1) AS n "
        f"FROM one), found AS (SELECT n, {step} AS step, role, make_timestamptz({pack.us_of('x')}) AS until, "
        f"{pack.position_of('x')} AS position FROM listed JOIN {tables['moves']} USING (variant, n)), "
        f"told AS (SELECT position, event_type, stream_id, version, event_id, causation_id, {part} AS part "
        f"FROM {EVENTS} WHERE {view.filter} AND {key} = {text(saga_id)}), "
        f"broken AS (SELECT position, list(DISTINCT violation) AS violations FROM ({broken}) "
        "GROUP BY position), "
        "joined AS (SELECT * FROM found JOIN told USING (position)), "
        "caused AS (SELECT e.n, max(c.until) AS since FROM joined e JOIN joined c ON c.event_id = e.causation_id AND c.n < e.n "
        "GROUP BY e.n) "
        "SELECT n, step, part, role, coalesce(caused.since, lag(until) OVER (ORDER BY n)) AS since, until, event_type, "
        "stream_id, version, position, event_id, coalesce(violations, []) AS violations "
        "FROM joined LEFT JOIN caused USING (n) LEFT JOIN broken USING (position) "
        f"UNION ALL SELECT events + 1, step, NULL, 'waiting', last_at, {now}, NULL, NULL, NULL, NULL, NULL, [] "
        "FROM one WHERE ended_n IS NULL ORDER BY n"
    )
    (outcome,) = view.rows(f"SELECT outcome FROM {tables['rows']} WHERE saga_id = {text(saga_id)}")[
        0
    ]
    result = Instance(view.database, sql, title=f"Saga {saga_id}: {outcome}")
    result._owner, result.sagas = sagas, sagas
    result.saga_id, result.outcome = saga_id, outcome
    return result
