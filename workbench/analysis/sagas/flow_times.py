"""How long it takes: each step, the whole, and from each event to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench._sql import text
from workbench.analysis.sagas.rules import microseconds

if TYPE_CHECKING:
    from workbench.analysis.sagas.find import Work


def graph(work: Work) -> str:
    """Count directly-follows pairs by trace; measure the times between over all sagas."""
    tables, pack = work.tables, work.rules.packing
    types = f"[{', '.join(map(text, work.rules.saga.types))}]"
    elapsed = f"({pack.us_of('b')}) - ({pack.us_of('a')})"
    return (
        "WITH pairs AS (SELECT variant, code AS source, lead(code) OVER (PARTITION BY variant ORDER BY n) AS target "
        f"FROM {tables['moves']} UNION ALL SELECT variant, NULL, code FROM {tables['moves']} WHERE n = 1), "
        "counted AS (SELECT source, target, sum(times * sagas)::BIGINT AS transitions, sum(sagas)::BIGINT AS sagas "
        "FROM (SELECT variant, source, target, count(*) AS times FROM pairs GROUP BY ALL) "
        f"JOIN {tables['verdicts']} USING (variant) WHERE started IS NOT NULL GROUP BY source, target), "
        f"timed AS (SELECT {pack.code_of('a')} AS source, {pack.code_of('b')} AS target, "
        f"quantile_cont({elapsed}, [0.5, 0.9]) AS q FROM (SELECT unnest(flow[:-2]) AS a, unnest(flow[2:]) AS b "
        f"FROM {tables['rows']}) GROUP BY ALL) "
        f"SELECT {types}[source] AS source, {types}[target] AS target, transitions, sagas, "
        "to_microseconds(q[1]::BIGINT) AS p50, to_microseconds(q[2]::BIGINT) AS p90 "
        "FROM counted LEFT JOIN timed USING (source, target) "
        "ORDER BY transitions DESC, counted.source NULLS FIRST, counted.target NULLS LAST"
    )


def durations(work: Work) -> str:
    """Find the two events of each step in each trace, then measure between them in each saga."""
    tables, rules = work.tables, work.rules
    saga, pack = rules.saga, rules.packing
    # A step is due when the one before was done: the last success of an earlier step before its own.
    spans = (
        "SELECT variant, p.step, max(m.n) AS since, any_value(p.until) AS until FROM "
        "(SELECT variant, step, min(first_done) AS done, max(first_done) AS until "
        f"FROM {tables['parts']} WHERE first_done IS NOT NULL GROUP BY ALL) p "
        f"JOIN {tables['moves']} m USING (variant) WHERE m.role IN ('start', 'success') AND m.step < p.step "
        "AND m.n < p.done GROUP BY ALL"
    )
    back = (
        "SELECT variant, min(n) FILTER (role IN ('failure', 'compensation')) AS since "
        f"FROM {tables['moves']} GROUP BY variant"
    )
    steps = (
        f"SELECT 'step' AS kind, spans.step AS step, {pack.us_of('flow[until]')} - "
        f"({pack.us_of('flow[since]')}) AS us FROM {tables['rows']} r JOIN ({spans}) spans USING (variant)"
    )
    whole = (
        "SELECT 'whole', NULL, epoch_us(ended_at) - epoch_us(started_at) "
        f"FROM {tables['rows']} WHERE outcome = 'completed'"
    )
    compensation = (
        f"SELECT 'compensation', NULL, epoch_us(ended_at) - ({pack.us_of('flow[since]')}) "
        f"FROM {tables['rows']} JOIN ({back}) USING (variant) WHERE outcome = 'compensated'"
    )
    allowed = " ".join(
        f"WHEN step = {at} THEN {microseconds(step.deadline)}"
        for at, step in enumerate(saga.steps, 1)
    )
    return (
        "WITH measured AS (SELECT kind, step, us, CASE "
        f"WHEN kind = 'whole' THEN {microseconds(saga.deadline)} "
        f"WHEN kind = 'compensation' THEN {microseconds(saga.compensation_deadline)} {allowed} END AS allowed "
        f"FROM ({steps} UNION ALL {whole} UNION ALL {compensation})), "
        "grouped AS (SELECT kind, step, count(us) AS sagas, quantile_cont(us, [0.5, 0.9, 0.99]) AS q, "
        "max(us) AS longest, any_value(allowed) AS allowed, count(*) FILTER (us > allowed) AS late "
        "FROM measured GROUP BY kind, step) "
        f"SELECT kind, {rules.name_of('grouped.step')} AS step, sagas, to_microseconds(q[1]::BIGINT) AS p50, "
        "to_microseconds(q[2]::BIGINT) AS p90, to_microseconds(q[3]::BIGINT) AS p99, "
        "to_microseconds(longest) AS longest, to_microseconds(allowed) AS deadline, late FROM grouped "
        "ORDER BY list_position(['step', 'whole', 'compensation'], kind), grouped.step"
    )
