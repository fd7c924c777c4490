"""Since when rows are wrong: the first event after which one was, and how many were at each moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench._sql import text
from workbench.analysis.buckets import choose
from workbench.analysis.explain import causes
from workbench.analysis.explain.histories import histories
from workbench.analysis.explain.words import counted
from workbench.store.table import Table

if TYPE_CHECKING:
    from workbench.analysis.explain.result import Explanation


class Divergence(Table):
    """How many rows were wrong at each moment, by cause.

    Columns: ``moment`` (TIMESTAMPTZ, UTC: the end of a bucket; ascending), ``cause``, ``rows`` (BIGINT: wrong by
    then). A row counts from the first event that its best hypothesis involves. Unexplained rows, and rows
    whose events say no time, are counted in a note: since when they are wrong cannot be known.

    Attributes
    ----------
    every
        The length of a bucket.
    causes
        In the order of the chart: most rows first.
    """

    every: str
    causes: tuple[str, ...]


def over_time(explanation: Explanation, *, every: str | None = None) -> Divergence:
    """Count rows from the first event of their best hypothesis on."""
    database = explanation._database
    since = (
        f"SELECT cause, first_at FROM {explanation.kept} WHERE rank = 1 AND first_at IS NOT NULL"
    )
    first, last = database.rows(
        f"SELECT epoch_us(min(first_at)), epoch_us(max(first_at)) FROM ({since})"
    )[0]
    step = choose(database, every, first, last)
    interval = f"CAST({text(step)} AS INTERVAL)"
    sql = (
        f"WITH since AS ({since}), counted AS (SELECT time_bucket({interval}, make_timestamp(epoch_us(first_at))) + {interval} "
        "AS bucket, cause, count(*) AS n FROM since GROUP BY ALL), "
        f"buckets AS (SELECT unnest(generate_series(min(bucket) - {interval}, max(bucket), {interval})) AS bucket FROM counted), "
        "kinds AS (SELECT cause, sum(n) AS total FROM counted GROUP BY ALL) "
        "SELECT make_timestamptz(epoch_us(bucket)) AS moment, cause, "
        "sum(coalesce(n, 0)) OVER (PARTITION BY cause ORDER BY bucket ROWS UNBOUNDED PRECEDING)::BIGINT AS rows "
        "FROM buckets CROSS JOIN kinds LEFT JOIN counted USING (bucket, cause) ORDER BY moment, total DESC, cause"
    )
    order = database.rows(f"SELECT cause FROM ({since}) GROUP BY 1 ORDER BY count(*) DESC, 1")
    (timed,) = database.rows(f"SELECT count(*) FROM ({since})")[0]
    unexplained = explanation.counts.get(causes.UNEXPLAINED, 0)
    untimed = sum(explanation.suspects.counts.values()) - unexplained - timed
    notes = [
        f"{counted(count, 'row')} {one if count == 1 else several}"
        for count, one, several in (
            (
                unexplained,
                "is unexplained: since when it is wrong cannot be known",
                "are unexplained: since when they are wrong cannot be known",
            ),
            (
                untimed,
                "has events that say no time, and is not counted",
                "have events that say no time, and are not counted",
            ),
        )
        if count
    ]
    result = Divergence(
        database,
        sql,
        title=f"Wrong rows of {explanation.diff.model.name} over time",
        notes=notes,
    )
    result._owner = explanation
    result.every, result.causes = step, tuple(row[0] for row in order)
    return result


def first_divergence(explanation: Explanation, best: dict[str, Any]) -> dict[str, Any] | None:
    """Find the first state in which the right history and the one with the cause in it differ."""
    if not best["exact"]:
        return None
    rows = histories(explanation, best).rows()
    wrong = [row for row in rows if not row["same"]]
    if not wrong:
        return None
    first = wrong[0]
    return {
        "position": first["position"],
        "version": first["version"],
        "event_type": first["event_type"],
        "moment": first["moment"],
        "cause": best["cause"],
        "healed": any(row["same"] for row in rows[rows.index(first) :]),
    }
