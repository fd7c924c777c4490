"""Charts of results. Importing this makes Altair's charts show without the internet.

Each function takes a result and returns an Altair chart; ``result.chart()`` finds the one that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

from workbench.analysis.audit import Audit
from workbench.analysis.causation import Causation
from workbench.analysis.census import Census, Fields
from workbench.analysis.dead_letters import Attempts, DeadLetterRates, DeadLetters, Fingerprints
from workbench.analysis.definition import columns_of
from workbench.analysis.diff import Diff
from workbench.analysis.explain import Clusters, Divergence, Explanation, Histories
from workbench.analysis.history import History
from workbench.analysis.impact import Impact
from workbench.analysis.rates import Rates
from workbench.analysis.sagas import Durations, Funnel, Graph, Instance, OverTime, Sagas, Variants
from workbench.analysis.timeline import Timeline
from workbench.charts.audit import audit
from workbench.charts.causation import causation
from workbench.charts.census import census, census_fields
from workbench.charts.dead_letters import attempts, dead_letter_rates, dead_letters, fingerprints
from workbench.charts.diff import diff, diff_columns, diff_summary
from workbench.charts.explain import clusters, divergence, explanation
from workbench.charts.histories import histories
from workbench.charts.impact import impact
from workbench.charts.portfolio import portfolio
from workbench.charts.rates import rates
from workbench.charts.renderer import Chart, save
from workbench.charts.saga_flow import saga_graph, saga_variants
from workbench.charts.saga_instance import saga_instance
from workbench.charts.sagas import saga_durations, saga_funnel, saga_outcomes, sagas
from workbench.charts.timeline import timeline
from workbench.errors import ConfigError
from workbench.store.table import Table

__all__ = [
    "Chart",
    "attempts",
    "audit",
    "causation",
    "census",
    "census_fields",
    "clusters",
    "dead_letter_rates",
    "dead_letters",
    "diff",
    "diff_columns",
    "diff_summary",
    "divergence",
    "draw",
    "explanation",
    "fingerprints",
    "histories",
    "impact",
    "portfolio",
    "rates",
    "saga_durations",
    "saga_funnel",
    "saga_graph",
    "saga_instance",
    "saga_outcomes",
    "saga_variants",
    "sagas",
    "save",
    "timeline",
]

#: Tables that have no type of their own are known by their columns.
_BY_COLUMNS: Mapping[tuple[str, ...], Callable[..., Chart]] = {
    ("moment", "total", "rows"): portfolio,
    ("class", "rows", "share"): diff_summary,
    ("column_name", "class", "rows"): diff_columns,
}


@singledispatch
def draw(result: object, **options: Any) -> Chart:
    """Draw the chart that fits a result.

    Parameters
    ----------
    result
        Rates, a Timeline, a History (``column=`` names what to sum), its ``over_time``, a Diff, its
        ``summary()`` or ``by_column()``; an Explanation, its ``clusters()``, ``over_time()`` and
        ``histories(key)``; Sagas, and their ``over_time()``, ``funnel()``, ``durations()``,
        ``variants()``, ``graph()``, ``instance(id)``; dead letters, and their ``over_time()``,
        ``fingerprints()``, ``attempts()``.
    **options
        Those of the chart function.

    Returns
    -------
    Chart
        One of Altair's.

    Raises
    ------
    ConfigError
        There is no chart of such a result; the message says which there are.
    """
    raise _no_chart(result)


@draw.register
def _(result: Table, **options: Any) -> Chart:
    function = _BY_COLUMNS.get(result.columns)
    if function is None:
        raise _no_chart(result)
    return function(result, **options)


draw.register(Rates, rates)
draw.register(Timeline, timeline)
draw.register(Explanation, explanation)
draw.register(Clusters, clusters)
draw.register(Divergence, divergence)
draw.register(Histories, histories)
draw.register(Sagas, sagas)
draw.register(OverTime, saga_outcomes)
draw.register(Funnel, saga_funnel)
draw.register(Durations, saga_durations)
draw.register(Variants, saga_variants)
draw.register(Graph, saga_graph)
draw.register(Instance, saga_instance)
draw.register(Causation, causation)
draw.register(Census, census)
draw.register(Fields, census_fields)
draw.register(Impact, impact)
draw.register(Audit, audit)
draw.register(DeadLetters, dead_letters)
draw.register(DeadLetterRates, dead_letter_rates)
draw.register(Fingerprints, fingerprints)
draw.register(Attempts, attempts)


@draw.register
def _(result: History, column: str | None = None, *, every: str | None = None) -> Chart:
    if column is None:
        message = "a history is drawn as the sum of one of its columns, and none is named."
        own = ", ".join(columns_of(result.definition, list(result.columns)))
        raise ConfigError(message, hint=f"write .chart(column=…) with a numeric one of {own}")
    return portfolio(result.over_time(column, every=every))


draw.register(Diff, diff)


def _no_chart(result: object) -> ConfigError:
    what = repr(result.title) if isinstance(result, Table) else type(result).__name__
    return ConfigError(
        f"there is no chart of {what}.",
        hint="there are charts of log.rates(), log.timeline(stream, definition), log.history(…).over_time(column) "
        "and log.diff(…); for others take result.df() to Altair",
    )
