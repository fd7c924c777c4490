"""A census: which versions of which types were written when, and which fields their payloads have."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import altair as alt

from workbench._sql import ident, text
from workbench.analysis.census import Census, Fields
from workbench.charts import theme
from workbench.charts.data import Rows, ask, buckets_at_once, inline
from workbench.charts.words import counted, heading, labels, said, short, span, stamp
from workbench.projections.versions import order_of

ROW_HEIGHT: Final = 24
CELL: Final = 74
MOST_ROWS: Final = 40
MOST_VERSIONS: Final = 8
NO_VERSION: Final = "no version"

#: What a census says of a version.
STATUSES: Final[dict[str, str]] = {
    "newest": theme.BLUE,
    "upcast": theme.GREEN,
    "no chain": theme.VERMILION,
    "failing": theme.PURPLE,
}


def census(result: Census) -> alt.LayerChart:
    """Draw which versions of each type were written when.

    Parameters
    ----------
    result
        What ``log.census()`` gave.

    Returns
    -------
    altair.LayerChart
        A row for each type and version: the darker, the larger its share of the type's events in that stretch of
        time. So one version is seen to take over from another. The colour says whether it decodes.
    """
    pairs = ask(
        result,
        "SELECT event_type, schema_version, events, first_seen, last_seen, status FROM result",
    )
    pairs.sort(key=lambda row: (row["event_type"], order_of(row["schema_version"])))
    if not pairs:
        return nothing(result.title, "there are no events")
    shown = pairs[:MOST_ROWS]
    named = dict(
        zip(
            [(row["event_type"], row["schema_version"]) for row in shown],
            labels([_pair(row) for row in shown], 44),
            strict=True,
        )
    )
    status = {(row["event_type"], row["schema_version"]): row["status"] for row in shown}
    bars = _bars(result, named, status)
    title, lines = result.title, _census_lines(result, pairs)
    there = [name for name in STATUSES if name in status.values()]
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            alt.Chart(inline(bars))
            .mark_bar(height=ROW_HEIGHT - 8)
            .encode(
                x=alt.X(
                    "moment",
                    type="temporal",
                    scale=alt.Scale(type="utc"),
                    title=None,
                    axis=theme.time_axis(),
                ),
                x2="until",
                y=alt.Y(
                    "label",
                    type="nominal",
                    sort=list(named.values()),
                    title=None,
                    scale=alt.Scale(domain=list(named.values())),
                    axis=alt.Axis(
                        domain=False,
                        ticks=False,
                        grid=False,
                        **{**theme.ROW_LABELS, "labelLimit": 320},
                    ),
                ),
                color=alt.Color(
                    "status",
                    type="nominal",
                    title=None,
                    scale=alt.Scale(domain=there, range=[STATUSES[name] for name in there]),
                    legend=alt.Legend(orient="top", direction="horizontal", symbolType="square"),
                ),
                opacity=theme.opacity("share"),
                tooltip=[
                    alt.Tooltip("label", type="nominal", title="version"),
                    alt.Tooltip("when", type="nominal", title="from"),
                    alt.Tooltip("events", type="quantitative", format=",d"),
                    alt.Tooltip("share", type="quantitative", format=".1%", title="of the type"),
                    alt.Tooltip("status", type="nominal"),
                ],
            )
        ]
    ).properties(
        width=theme.WIDTH - 60,
        height=ROW_HEIGHT * max(1, len(named)),
        title=heading(title, lines),
        description=said(title, [*lines, *(f"{named[key]}: {status[key]}" for key in named)]),
    )
    return chart


def nothing(title: str, words: str) -> alt.LayerChart:
    """Say that there is nothing to draw."""
    said_so = alt.Chart(inline([{"words": "nothing to draw"}])).mark_text(
        align="left", color=theme.QUIET
    )
    chart: alt.LayerChart = alt.LayerChart(
        layer=[said_so.encode(x=alt.value(0), text=alt.Text("words", type="nominal"))]
    ).properties(
        width=theme.WIDTH,
        height=2 * ROW_HEIGHT,
        title=heading(title, [words]),
        description=said(title, [words, "There is nothing to draw."]),
    )
    return chart


def _pair(row: dict[str, Any]) -> str:
    version = row["schema_version"]
    shown_as = NO_VERSION if version is None else f"v{short(version, 12)}"
    return f"{short(row['event_type'], 24)} {shown_as} · {row['events']:,}"


def _bars(result: Census, named: dict[tuple[str, str | None], str], status: dict[Any, str]) -> Rows:
    times = result.over_time()
    merged = buckets_at_once(times)
    rows = ask(
        times,
        "SELECT min(moment) AS moment, any_value(until) AS until, event_type, schema_version, "
        "CAST(sum(events) AS BIGINT) AS events FROM ("
        f"SELECT *, max(moment) OVER (PARTITION BY chunk) + INTERVAL {text(times.every)} AS until FROM ("
        f"SELECT *, (dense_rank() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result)) "
        "GROUP BY chunk, event_type, schema_version ORDER BY chunk",
    )
    totals: dict[tuple[dt.datetime, str], int] = {}
    for row in rows:
        key = (row["until"], row["event_type"])
        totals[key] = totals.get(key, 0) + row["events"]
    return [
        {
            "moment": row["moment"],
            "until": row["until"],
            "when": stamp(row["moment"]),
            "label": named[row["event_type"], row["schema_version"]],
            "status": status[row["event_type"], row["schema_version"]],
            "events": row["events"],
            "share": round(row["events"] / totals[row["until"], row["event_type"]], 4),
        }
        for row in rows
        if (row["event_type"], row["schema_version"]) in named
    ]


def _census_lines(result: Census, pairs: Rows) -> list[str]:
    events = sum(row["events"] for row in pairs)
    first = min((row["first_seen"] for row in pairs if row["first_seen"]), default=None)
    last = max((row["last_seen"] for row in pairs if row["last_seen"]), default=None)
    lines = [
        f"{counted(events, 'event')} in {counted(len(pairs), 'version')} of payloads, {span(first, last)} (UTC, {result.clock})",
        "the darker, the larger the version's share of its type's events in that time",
    ]
    if len(pairs) > MOST_ROWS:
        lines.append(f"{MOST_ROWS} of {len(pairs)} are drawn")
    return [*lines, *result.notes]


def census_fields(result: Fields) -> alt.LayerChart:
    """Draw which fields the payloads of each version have.

    Parameters
    ----------
    result
        What ``census.fields()`` or ``census.fields(type)`` gave.

    Returns
    -------
    altair.LayerChart
        A row for each field, a column for each version: the share of its events that have the field, and the
        type of its values. A field that drifted within a version is framed.
    """
    rows = ask(
        result,
        "SELECT event_type, schema_version, field, share, map_keys(types)[1] AS kind, drift, "
        f"before, after FROM result ORDER BY event_type, {ident('field')}",
    )
    if not rows:
        return nothing(result.title, "there are none")
    kinds = list(dict.fromkeys(row["event_type"] for row in rows))
    several = len(kinds) > 1
    fields = list(dict.fromkeys((row["event_type"], row["field"]) for row in rows))
    shown = fields[:MOST_ROWS]
    named = dict(
        zip(
            shown,
            labels([f"{short(k, 22)} · {short(f, 24)}" if several else f for k, f in shown], 48),
            strict=True,
        )
    )
    all_versions = sorted({row["schema_version"] for row in rows}, key=order_of)
    versions = all_versions[-MOST_VERSIONS:]
    columns = dict(
        zip(
            versions,
            labels([NO_VERSION if one is None else f"v{one}" for one in versions], 14),
            strict=True,
        )
    )
    stored = {(row["event_type"], row["schema_version"]) for row in rows}
    found = {(row["event_type"], row["field"], row["schema_version"]): row for row in rows}
    cells = []
    for kind, name in shown:
        for version in versions:
            if (kind, version) not in stored:
                continue
            row = found.get((kind, name, version))
            cells.append(
                {
                    "field": named[kind, name],
                    "version": columns[version],
                    "share": 0 if row is None else row["share"],
                    "written": "none" if row is None else _cell(row),
                    "kind": "" if row is None else row["kind"],
                    "drift": "" if row is None or row["drift"] is None
                    else f"{row['drift']}: {row['before']} → {row['after']}",
                }
            )  # fmt: skip
    title = result.title
    lines = [
        "share of the version's events that have the field, and the type of its values; "
        "framed: it changed within the version"
    ]
    if len(fields) > MOST_ROWS:
        lines.append(f"{MOST_ROWS} of {len(fields)} fields are drawn; .fields(event_type) narrows")
    if len(all_versions) > MOST_VERSIONS:
        lines.append(f"the newest {MOST_VERSIONS} of {len(all_versions)} versions are drawn")
    base = alt.Chart(inline(cells)).encode(
        x=alt.X(
            "version",
            type="nominal",
            sort=list(columns.values()),
            title=None,
            axis=alt.Axis(
                orient="top", labelAngle=0, domain=False, ticks=False, labelColor=theme.INK
            ),
        ),
        y=alt.Y(
            "field",
            type="nominal",
            sort=list(named.values()),
            title=None,
            axis=alt.Axis(
                domain=False, ticks=False, grid=False, **{**theme.ROW_LABELS, "labelLimit": 340}
            ),
        ),
    )
    drifted = alt.datum["drift"] != ""
    boxes = base.mark_rect(
        color=theme.BLUE, stroke=theme.PAPER, strokeOpacity=1, strokeWidth=2
    ).encode(
        fillOpacity=alt.FillOpacity(
            "share",
            type="quantitative",
            legend=None,
            scale=alt.Scale(domain=[0, 1], range=[0.0, 0.45]),
        ),
        tooltip=[
            alt.Tooltip("field", type="nominal"),
            alt.Tooltip("version", type="nominal"),
            alt.Tooltip("share", type="quantitative", format=".1%"),
            alt.Tooltip("kind", type="nominal", title="type"),
            alt.Tooltip("drift", type="nominal"),
        ],
    )
    frames = (
        base.mark_rect(fillOpacity=0, stroke=theme.VERMILION, strokeWidth=2)
        .transform_filter(drifted)
        .encode()
    )
    words = base.mark_text().encode(
        text=alt.Text("written", type="nominal"),
        color=alt.when(alt.datum["share"] > 0)
        .then(alt.value(theme.INK))
        .otherwise(alt.value(theme.QUIET)),
    )
    changed = [
        f"{cell['field']} {cell['version']}: {cell['drift']}" for cell in cells if cell["drift"]
    ]
    chart: alt.LayerChart = alt.LayerChart(layer=[boxes, frames, words]).properties(
        width=max(CELL, CELL * len(versions)) + 40,
        height=ROW_HEIGHT * max(1, len(shown)),
        title=heading(title, lines),
        description=said(title, [*lines, *changed[:10]]),
    )
    return chart


def _cell(row: dict[str, Any]) -> str:
    share = row["share"]
    percent = (
        "<1 %"
        if share < 0.01
        else ">99 %"
        if 0.99 < share < 1
        else f"{share:.0%}".replace("%", " %")
    )
    return str(row["kind"]) if share == 1 else f"{row['kind']} {percent}"
