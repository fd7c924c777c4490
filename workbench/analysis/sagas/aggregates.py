"""What is counted over sagas: outcomes over time, the funnel of steps, variants, broken rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench._sql import any_of, text
from workbench.analysis.sagas.words import MISSING, OUTCOMES, VIOLATIONS
from workbench.projections.saga import START
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.sagas.find import Work


def over_time(rows: str, every: str) -> str:
    """Count in buckets by start; then lay the counts over the grid of all buckets and outcomes."""
    interval = f"INTERVAL {text(every)}"
    kinds = ", ".join(f"({at}, {text(name)})" for at, name in enumerate(OUTCOMES))
    return (
        f"WITH counted AS (SELECT time_bucket({interval}, make_timestamp(epoch_us(started_at))) AS start, outcome, "
        f"count(*) AS n FROM {rows} WHERE started_at IS NOT NULL GROUP BY ALL), "
        f"buckets AS (SELECT unnest(generate_series(min(start), max(start), {interval})) AS start FROM counted) "
        "SELECT make_timestamptz(epoch_us(start)) AS moment, outcome, coalesce(n, 0) AS sagas, "
        "coalesce(n, 0) / nullif(sum(n) OVER (PARTITION BY start), 0) AS share "
        f"FROM buckets CROSS JOIN (VALUES {kinds}) kinds(ord, outcome) LEFT JOIN counted USING (start, outcome) "
        "ORDER BY moment, ord"
    )


def funnel(work: Work) -> str:
    """For each step: who came, who did it, and what became of the others."""
    tables, steps = work.tables, work.rules.saga.steps
    stays = [name for name in OUTCOMES if name != "completed"]
    by_outcome = ", ".join(
        f"coalesce(sum(n) FILTER (stays AND outcome = {text(name)}), 0)::BIGINT AS {name.replace(' ', '_')}"
        for name in ("running", *(name for name in stays if name != "running"))
    )
    return (
        f"WITH counted AS (SELECT variant, furthest, outcome, count(*) AS n FROM {tables['rows']} GROUP BY ALL), "
        f"done AS (SELECT DISTINCT variant, step, TRUE AS did FROM {tables['moves']} WHERE role = 'success'), "
        "met AS (SELECT step, name, outcome, n, coalesce(did, FALSE) AS did, "
        "did IS NULL AND furthest > step AS passed, did IS NULL AND furthest = step - 1 AS stays "
        f"FROM counted CROSS JOIN {work.rules.steps()} LEFT JOIN done USING (variant, step) "
        "WHERE furthest >= step - 1), "
        f"summed AS (SELECT step, any_value(name) AS name, sum(n)::BIGINT AS entered, "
        "coalesce(sum(n) FILTER (did), 0)::BIGINT AS done, coalesce(sum(n) FILTER (passed), 0)::BIGINT AS skipped, "
        f"{by_outcome} FROM met GROUP BY step), "
        f"begun AS (SELECT 0 AS step, {text(START)} AS name, coalesce(sum(n), 0)::BIGINT AS entered FROM counted), "
        f"all_steps AS (SELECT step, name, 0::BIGINT AS entered FROM {work.rules.steps()}), "
        "filled AS (SELECT step, name, entered, entered AS done FROM begun UNION ALL BY NAME "
        "SELECT * EXCLUDE (name), name FROM summed UNION ALL BY NAME "
        "SELECT * FROM all_steps WHERE step NOT IN (SELECT step FROM summed)) "
        "SELECT name AS step, entered, coalesce(done, 0) AS done, "
        + ", ".join(
            f"coalesce({name}, 0) AS {name}"
            for name in (
                "skipped",
                "running",
                *(_column(name) for name in stays if name != "running"),
            )
        )
        + ", "
        + " + ".join(f"coalesce({_column(name)}, 0)" for name in stays if name != "running")
        + " AS lost, coalesce(lost / nullif(entered, 0), 0) AS loss "
        f"FROM filled WHERE step <= {len(steps)} ORDER BY filled.step"
    )


def _column(outcome: str) -> str:
    return outcome.replace(" ", "_")


def variants(work: Work, *, repeats: bool) -> str:
    """Group traces by the types of their events; of one type in a row only the first counts, if asked."""
    tables = work.tables
    fold = "" if repeats else "WHERE before IS DISTINCT FROM code "
    pack = work.rules.packing
    length = f"{pack.us_of('flow[-1]')} - ({pack.us_of('flow[1]')})"
    return (
        "WITH paths AS (SELECT variant AS trace, list(event_type ORDER BY n) AS path FROM "
        "(SELECT *, lag(code) OVER (PARTITION BY variant ORDER BY n) AS before "
        f"FROM {tables['moves']}) {fold}GROUP BY variant), "
        f"seen AS (SELECT path, outcome, violations, {length} AS length "
        f"FROM {tables['rows']} JOIN paths ON trace = variant) "
        "SELECT row_number() OVER (ORDER BY count(*) DESC, path) AS variant, count(*) AS sagas, "
        "count(*) / sum(count(*)) OVER () AS share, path, mode(outcome) AS outcome, mode(violations) AS violations, "
        "to_microseconds(median(length)::BIGINT) AS median FROM seen GROUP BY path ORDER BY variant"
    )


def violations(work: Work, names: Sequence[str], *, saga_id: str | None = None) -> str:
    """List broken rules with their events, of all sagas or of one."""
    tables, rules = work.tables, work.rules
    rows = tables["rows"]
    if saga_id is not None:
        rows = f"(SELECT * FROM {rows} WHERE saga_id = {text(saga_id)})"
    pack = rules.packing
    order = f"list_position([{', '.join(map(text, VIOLATIONS))}], violation)"
    missing = (
        f"SELECT saga_id, {text(MISSING)} AS violation, parts.step, flow[last_done] AS x "
        f"FROM {rows} r JOIN {tables['parts']} parts USING (variant) "
        f"JOIN {rules.steps()} ON steps.step = parts.step WHERE outcome = 'failed' AND stands AND compensable"
    )
    found = (
        f"SELECT saga_id, violation, faults.step, flow[n] AS x FROM {rows} r "
        f"JOIN {tables['faults']} faults USING (variant)"
    )
    step = f"CASE step WHEN 0 THEN {text(START)} ELSE {rules.name_of('step')} END"
    return (
        f"WITH found AS MATERIALIZED (SELECT saga_id, violation, {step} AS step, "
        f"make_timestamptz({pack.us_of('x')}) AS event_at, {pack.position_of('x')} AS position FROM ({found} "
        f"UNION ALL {missing}) WHERE {any_of('violation', names)}) "
        "SELECT saga_id, violation, step, event_type, event_at, stream_id, version, position, event_id "
        f"FROM found JOIN (SELECT position, event_type, stream_id, version, event_id FROM {EVENTS}) USING (position) "
        f"ORDER BY saga_id, position, {order}, step"
    )
