"""The timeline of an audit: who acted when, and where the record has holes."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import altair as alt

from workbench._sql import ident, text
from workbench.analysis.audit import Audit
from workbench.charts import theme
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.groups import colours, places, shapes
from workbench.charts.words import counted, heading, labels, said, short, span, stamp

ROW: Final = 24
MOST_ACTORS: Final = 10
MOST_TYPES: Final = 8
MOST_GAPS: Final = 8
"""So many rows of people, types with a colour of their own, and streams with holes are drawn."""

OTHERS: Final = "others"


def audit(result: Audit) -> alt.VConcatChart:
    """Draw who acted when, and the times within which versions are missing.

    Parameters
    ----------
    result
        What ``log.audit(…)`` gave.

    Returns
    -------
    altair.VConcatChart
        A row for each of the ten busiest actors. Up to 400 events are drawn one by one; more are gathered
        in 400 slices of time, the darker the more there are. Below, for each stream with holes, bars
        between the events on either side of a hole.
    """
    time = f"{result.clock}_at"
    (range_,) = ask(
        result,
        f"SELECT epoch_us(min({time})) AS first, epoch_us(max({time})) AS last, count({time}) AS timed "
        f"FROM result WHERE isfinite({time})",
    )
    gaps = _gaps(result, time)
    title, words = _words(result, range_, gaps)
    panels: list[alt.Chart | alt.LayerChart] = []
    if range_["timed"]:
        panels.append(_people(result, time, range_, last=not gaps))
        if gaps:
            panels.append(_holes(gaps, range_))
    else:
        panels.append(alt.Chart(inline([])).mark_point().properties(width=theme.WIDTH, height=ROW))
    chart: alt.VConcatChart = (
        alt.vconcat(*panels, spacing=12)
        .resolve_scale(x="shared", color="independent", shape="independent", y="independent")
        .properties(title=heading(title, words), description=said(title, words))
    )
    return chart


# -- who acted -----------------------------------------------------------------------------------


def _people(result: Audit, time: str, range_: dict[str, Any], *, last: bool) -> alt.Chart:
    actors, others = _top(result, "actor", MOST_ACTORS)
    kinds, rare = _top(result, "event_type", MOST_TYPES)
    few = range_["timed"] <= POINTS
    rows = (_each if few else _sliced)(result, time, range_)
    order = [*labels(actors), *([OTHERS] if others else [])]
    row_of = dict(zip(actors, order, strict=False))
    named = [*labels(kinds), *([OTHERS] if rare else [])]
    kind_of = dict(zip(kinds, named, strict=False))
    found = places(result, "event_type", [*kinds, *([OTHERS] if rare else [])], others=rare)
    drawn = [
        {
            "x": row["place"] / 1000,
            "who": row_of.get(row["who"], OTHERS),
            "type": kind_of.get(row["kind"], OTHERS),
            "when": stamp(_time(row["place"])),
            "event": short(row["kind"], 60),
            "events": row["n"],
            "reason": "" if row["reason"] is None else short(row["reason"], 80),
            "stream": "" if row["stream"] is None else short(row["stream"], 60),
        }
        for row in rows
    ]
    if not few:
        drawn = _merged(drawn)
    peaks: dict[str, int] = {}
    for row in drawn:
        peaks[row["who"]] = max(row["events"], peaks.get(row["who"], 0))
    for row in drawn:
        row["part"] = round(row["events"] / peaks[row["who"]], 3)
    y = alt.Y(
        "who",
        type="nominal",
        sort=order,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, grid=few, **theme.ROW_LABELS),
    )
    base = alt.Chart(inline(drawn)).encode(x=_x(range_, bare=not last), y=y)
    if few:
        panel = base.mark_point(filled=True, opacity=0.85, size=52).encode(
            color=alt.Color(
                "type",
                type="nominal",
                title=None,
                scale=alt.Scale(domain=named, range=colours(found)),
                legend=alt.Legend(orient="bottom", columns=4, symbolOpacity=1),
            ),
            shape=alt.Shape(
                "type", type="nominal", scale=alt.Scale(domain=named, range=shapes(found))
            ),
            tooltip=[
                alt.Tooltip(name, type="nominal")
                for name in ("event", "when", "who", "reason", "stream")
            ],
        )
    else:
        panel = base.mark_tick(thickness=2, size=ROW - 8, color=theme.BLUE).encode(
            opacity=theme.opacity("part"),
            tooltip=[
                alt.Tooltip("who", type="nominal"),
                alt.Tooltip("when", type="nominal"),
                alt.Tooltip("events", type="quantitative", format=",d"),
            ],
        )
    made: alt.Chart = panel.properties(
        width=theme.WIDTH, height=ROW * max(1, len(order)), title=theme.panel_title("who acted")
    )
    return made


def _top(result: Audit, column: str, most: int) -> tuple[list[str | None], bool]:
    """Return the most frequent values of a column, and whether there are others."""
    name = ident(column)
    rows = ask(
        result,
        f"SELECT {name} AS value FROM result GROUP BY value ORDER BY count(*) DESC, value NULLS LAST LIMIT {most + 1}",
    )
    values = [row["value"] for row in rows]
    return (values, False) if len(values) <= most else (values[: most - 1], True)


def _each(result: Audit, time: str, range_: dict[str, Any]) -> Rows:
    return ask(
        result,
        f"SELECT epoch_us({time}) AS place, actor AS who, event_type AS kind, reason, stream_id AS stream, 1 AS n "
        f"FROM result WHERE isfinite({time}) ORDER BY {time}, position",
    )


def _sliced(result: Audit, time: str, range_: dict[str, Any]) -> Rows:
    width = max(range_["last"] - range_["first"], 1)
    top, _ = _top(result, "actor", MOST_ACTORS)
    listed = ", ".join(text(name) for name in top if name is not None) or "''"
    return ask(
        result,
        f"SELECT min(epoch_us({time})) AS place, CASE WHEN actor IN ({listed}) THEN actor "
        f"WHEN actor IS NULL THEN NULL ELSE {text(OTHERS)} END AS who, NULL AS kind, NULL AS reason, NULL AS stream, "
        f"count(*) AS n FROM result WHERE isfinite({time}) GROUP BY who, least({POINTS - 1}, "
        f"(epoch_us({time}) - {range_['first']})::HUGEINT * {POINTS} // {width}) ORDER BY place, who NULLS LAST",
    )


def _merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up the marks that fall on the same place of a row."""
    found: dict[tuple[float, str], dict[str, Any]] = {}
    for row in rows:
        at = found.setdefault((row["x"], row["who"]), {**row, "events": 0})
        at["events"] += row["events"]
    return list(found.values())


# -- what is missing -----------------------------------------------------------------------------


def _gaps(result: Audit, time: str) -> Rows:
    """Find the holes of the streams that lack most, with the moments of the events around them."""
    if not result.counts.missing:
        return []
    return ask(
        result,
        f"WITH told AS (SELECT *, lag({time}) OVER w AS since FROM result "
        "WINDOW w AS (PARTITION BY stream_id ORDER BY version, position)), "
        "holes AS (SELECT * FROM told WHERE missing_before > 0 AND since IS NOT NULL), "
        "worst AS (SELECT stream_id, sum(missing_before) AS lacking FROM holes GROUP BY 1 "
        f"ORDER BY lacking DESC, stream_id LIMIT {MOST_GAPS}) "
        f"SELECT stream_id AS stream, lacking::BIGINT AS lacking, epoch_us(since) AS first, epoch_us({time}) AS last, "
        "missing_before AS missing, version FROM holes JOIN worst USING (stream_id) "
        f"WHERE isfinite({time}) AND isfinite(since) ORDER BY lacking DESC, stream, version LIMIT {POINTS}",
    )


def _holes(gaps: Rows, range_: dict[str, Any]) -> alt.LayerChart:
    streams = list(dict.fromkeys(row["stream"] for row in gaps))
    lacking = {row["stream"]: row["lacking"] for row in gaps}
    rows_of = {
        stream: f"{label} · {lacking[stream]:,} missing"
        for stream, label in zip(streams, labels(streams, 20), strict=True)
    }
    rows = [
        {
            "x": row["first"] / 1000,
            "x2": row["last"] / 1000,
            "middle": (row["first"] + row["last"]) / 2000,
            "stream": rows_of[row["stream"]],
            "missing": f"{row['missing']:,}",
            "told": f"{row['missing']:,} missing before version {row['version']:,}",
            "between": f"{stamp(_time(row['first']))} and {stamp(_time(row['last']))}",
        }
        for row in gaps
    ]
    y = alt.Y(
        "stream",
        type="nominal",
        sort=list(rows_of.values()),
        title=None,
        axis=alt.Axis(domain=False, ticks=False, grid=False, **theme.ROW_LABELS),
    )
    base = alt.Chart(inline(rows)).encode(y=y)
    tooltip = [alt.Tooltip(name, type="nominal") for name in ("told", "between", "stream")]
    bars = base.mark_bar(
        height=9, color=theme.VERMILION, opacity=0.8, stroke=theme.VERMILION, strokeWidth=1.5
    ).encode(x=_x(range_, bare=False), x2="x2", tooltip=tooltip)
    layers: list[alt.Chart] = [bars]
    if len(rows) <= len(streams) * 3:  # more would lie over each other
        layers.append(
            base.mark_text(dy=-11, color=theme.INK, fontSize=10).encode(
                x=alt.X("middle", type="temporal"), text=alt.Text("missing", type="nominal")
            )
        )
    panel: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=theme.WIDTH,
        height=(ROW + 10) * len(streams),
        title=theme.panel_title("versions missing, between the events around them"),
    )
    return panel


# -- what both share -----------------------------------------------------------------------------


def _x(range_: dict[str, Any], *, bare: bool) -> alt.X:
    first, last = range_["first"] / 1000, range_["last"] / 1000
    margin = (last - first) * 0.01 or 4_000  # a moment has no width: show the seconds around it
    scale = alt.Scale(type="utc", domain=[first - margin, last + margin])
    return alt.X("x", type="temporal", scale=scale, title=None, axis=theme.time_axis(bare=bare))


def _time(microseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)


def _words(result: Audit, range_: dict[str, Any], gaps: Rows) -> tuple[str, list[str]]:
    counts = result.counts
    line = f"{counted(counts.events, 'event')} in {counted(counts.streams, 'stream')}"
    if range_["timed"]:
        line += f", {span(_time(range_['first']), _time(range_['last']))} (UTC, {result.clock})"
    lines = [line]
    untimed = counts.events - range_["timed"]
    if untimed:
        lines.append(f"{counted(untimed, 'event')} without a time not drawn")
    if counts.missing:
        lacking = f"{counted(counts.missing, 'version')} missing in {counted(counts.gapped_streams, 'stream')}"
        drawn = len({row["stream"] for row in gaps})
        more = counts.gapped_streams - drawn
        lines.append(lacking + (f"; the {drawn} that lack most are drawn" if more > 0 else ""))
    elif counts.events:
        lines.append("no version is missing between the first and the last event of a stream")
    if counts.late_starts:
        lines.append(f"{counted(counts.late_starts, 'stream')} without a beginning")
    if range_["timed"] > POINTS:
        lines.append(
            f"gathered in {POINTS} slices of time: marks are darkest where somebody is busiest"
        )
    return result.title, [*lines, *result.notes]
