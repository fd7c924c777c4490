"""Dead letters: their rate over time beside what it is a share of, the ways in which they failed, their attempts."""

from __future__ import annotations

from typing import Any, Final

import altair as alt

from workbench._sql import ident, text
from workbench.analysis.dead_letters import Attempts, DeadLetterRates, DeadLetters, Fingerprints
from workbench.analysis.dead_letters.groups import By, percent
from workbench.charts import theme
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.groups import colours, places
from workbench.charts.strips import ROW_HEIGHT, row_axis, strips
from workbench.charts.words import counted, heading, labels, said, short, span, stamp
from workbench.store.table import Table

RATE_HEIGHT: Final = 130
EVENTS_HEIGHT: Final = 60
MARKS_HEIGHT: Final = 18
_NO_RATE: Final = 0.01
LABEL_LIMIT: Final = 420
MOST_FINGERPRINTS: Final = 25
#: Columns that stand in events too: their groups have the same colours in every chart of a log.
_OF_EVENTS: Final = ("event_type", "source")


def dead_letters(result: DeadLetters, *, by: By = "event_type", **options: Any) -> alt.VConcatChart:
    """Draw dead letters over time; options are those of ``letters.over_time(…)``."""
    return dead_letter_rates(result.over_time(by=by, **options))


def dead_letter_rates(result: DeadLetterRates) -> alt.VConcatChart:
    """Draw the rate of dead letters over time.

    Parameters
    ----------
    result
        What ``letters.over_time(…)`` gave.

    Returns
    -------
    altair.VConcatChart
        A triangle where a fingerprint was seen for the first time; the rate of all dead letters; the events
        that it is a share of; and a row for each group, with its own two numbers.
    """
    merged = _merged(result.total)
    bars = _bars(result, merged)
    title, lines = _words(result, bars, merged)
    panels: list[alt.Chart | alt.LayerChart] = []
    domain = [bars[0]["moment"], bars[-1]["until"]] if bars else None
    scale = alt.Scale(type="utc") if domain is None else alt.Scale(type="utc", domain=_ms(domain))
    x = alt.X("moment", type="temporal", scale=scale, title=None)
    marks = _first_seen(result)
    if marks:
        panels.append(
            alt.Chart(inline(marks))
            .mark_point(
                shape="triangle-down", filled=True, size=60, opacity=0.9, color=theme.VERMILION
            )
            .encode(
                x=x.axis(None),
                tooltip=[
                    alt.Tooltip("when", type="nominal", title="first seen"),
                    alt.Tooltip("error", type="nominal"),
                    alt.Tooltip("dead_letters", type="quantitative", format=",d"),
                ],
            )
            .properties(width=theme.WIDTH, height=MARKS_HEIGHT)
        )
    data = inline(bars)
    tooltip = [
        alt.Tooltip("when", type="nominal", title="from"),
        alt.Tooltip("given_up", type="quantitative", title="events given up", format=",d"),
        alt.Tooltip("events", type="quantitative", title="of events", format=",d"),
        alt.Tooltip("written", type="nominal", title="rate"),
    ]
    most = max((bar["rate"] for bar in bars if bar["rate"] is not None), default=0)
    rate = alt.Y(
        "rate",
        type="quantitative",
        title="rate",
        # Where nothing was given up, the axis still begins at its foot.
        scale=alt.Scale() if most else alt.Scale(domain=[0, _NO_RATE]),
        axis=alt.Axis(tickCount=5, format=_rate_format(most or _NO_RATE)),
    )
    events = alt.Y(
        "events",
        type="quantitative",
        title="events",
        axis=theme.value_axis([bar["events"] for bar in bars], ticks=2),
    )
    panels.append(_bar_panel(data, x, rate, tooltip, theme.VERMILION, RATE_HEIGHT))
    panels.append(
        _bar_panel(data, x, events, tooltip, theme.OTHER, EVENTS_HEIGHT, last=not result.groups)
    )
    if result.groups:
        panels.append(_rows(result, merged, x))
    chart: alt.VConcatChart = (
        alt.vconcat(*panels, spacing=6)
        .resolve_scale(x="shared", color="independent")
        .properties(title=heading(title, lines), description=said(title, lines))
    )
    return chart


def _bar_panel(
    data: alt.InlineData,
    x: alt.X,
    y: alt.Y,
    tooltip: list[alt.Tooltip],
    colour: str,
    height: int,
    *,
    last: bool = False,
) -> alt.Chart:
    """Draw one number of each bucket; the last panel has the axis of time."""
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_bar(color=colour)
        .encode(
            x=x.axis(theme.time_axis(bare=not last)), x2="until", y=y, y2="zero", tooltip=tooltip
        )
        .properties(width=theme.WIDTH, height=height)
    )
    return chart


def _ms(times: list[Any]) -> list[int]:
    return [round(time.timestamp() * 1000) for time in times]


def _merged(total: Table) -> int:
    """How many buckets are drawn as one."""
    buckets = ask(total, "SELECT count(*) AS n FROM result")[0]["n"]
    return -(-int(buckets) // POINTS) or 1


def _bars(result: DeadLetterRates, merged: int) -> Rows:
    rows = ask(
        result.total,
        "SELECT min(moment) AS moment, max(moment) + "
        f"INTERVAL {text(result.every)} AS until, sum(dead_letters)::BIGINT AS dead_letters, "
        "sum(given_up)::BIGINT AS given_up, sum(events)::BIGINT AS events FROM "
        f"(SELECT *, (row_number() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result) "
        "GROUP BY chunk ORDER BY moment",
    )
    for row in rows:
        row["rate"] = row["given_up"] / row["events"] if row["events"] else None
        row["written"] = percent(row["rate"]) or "no events"
        row["when"] = stamp(row["moment"])
        row["zero"] = 0  # with a width in time, a bar needs both of its ends
    return rows


def _rate_format(top: float) -> str:
    return ".0%" if top >= 0.05 else ".1%" if top >= 0.005 else ".2%"


def _first_seen(result: DeadLetterRates) -> Rows:
    rows = ask(
        result.fingerprints,
        "SELECT moment, error, dead_letters FROM result WHERE isfinite(moment) ORDER BY moment LIMIT 400",
    )
    return [{**row, "error": short(row["error"], 90), "when": stamp(row["moment"])} for row in rows]


def _rows(result: DeadLetterRates, merged: int, x: alt.X) -> alt.Chart:
    """One row for each group: as dark as many events were given up, with its own two numbers."""
    found = ask(
        result,
        f"SELECT min(moment) AS moment, max(moment) + INTERVAL {text(result.every)} AS until, kind, "
        "sum(dead_letters)::BIGINT AS dead_letters, sum(given_up)::BIGINT AS given_up, "
        "sum(events)::BIGINT AS events FROM "
        f"(SELECT *, {ident(result.by)} AS kind, "
        f"(dense_rank() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result) GROUP BY chunk, kind",
    )
    order = list(result.groups)
    named = dict(zip(order, _labels(result, found, order), strict=True))
    peaks = {
        kind: max((row["given_up"] for row in found if row["kind"] == kind), default=1) or 1
        for kind in order
    }
    cells = [
        {
            "moment": row["moment"],
            "until": row["until"],
            "when": stamp(row["moment"]),
            "label": named[row["kind"]],
            "given_up": row["given_up"],
            "events": row["events"],
            "written": _share(row["given_up"], row["events"]),
            "part": round(row["given_up"] / peaks[row["kind"]], 3),
        }
        for row in sorted(found, key=lambda row: (order.index(row["kind"]), row["moment"]))
        if row["dead_letters"]
    ]
    if result.by in _OF_EVENTS:
        colour = colours(places(result, result.by, order, others=result.gathered))
    else:
        colour = [theme.GROUPS[index % len(theme.GROUPS)] for index in range(len(order))]
        if result.gathered:
            colour[-1] = theme.OTHER
    return strips(
        inline(cells),
        x,
        list(named.values()),
        alt.Color(
            "label",
            type="nominal",
            sort=None,
            legend=None,
            scale=alt.Scale(domain=list(named.values()), range=colour),
        ),
        [
            alt.Tooltip("when", type="nominal", title="from"),
            alt.Tooltip("label", type="nominal", title=result.by.replace("_", " ")),
            alt.Tooltip("written", type="nominal", title="events given up"),
        ],
        label_limit=LABEL_LIMIT,
    )


def _labels(result: DeadLetterRates, rows: Rows, order: list[str | None]) -> list[str]:
    written = []
    for name, kind in zip(labels(order), order, strict=True):
        own = [row for row in rows if row["kind"] == kind]
        known = [row["events"] for row in own if row["events"] is not None]
        given_up = sum(row["given_up"] for row in own)
        dated = sum(row["dead_letters"] for row in own)
        undated = result.groups[kind] - dated
        # Of a group that never says when, a rate of 0% would be untrue.
        parts = [_share(given_up, sum(known) if known else None)] if dated else []
        parts += [f"{undated:,} undated"] if undated else []
        written.append(f"{name} · {', '.join(parts)}")
    return written


def _share(given_up: int, events: int | None) -> str:
    if events is None:
        return f"{given_up:,} of an unknown number"
    rate = f" ({percent(given_up / events)})" if events else ""
    return f"{given_up:,} of {events:,}{rate}"


def _words(result: DeadLetterRates, bars: Rows, merged: int) -> tuple[str, list[str]]:
    by = result.by.replace("_", " ")
    step = f"{merged} x {result.every}" if merged > 1 else result.every.removeprefix("1 ")
    title = f"Rate of dead letters per {step}, by {by}"
    given_up = sum(bar["given_up"] for bar in bars)
    if not given_up:
        what = "no dead letters say when" if result.groups else "no dead letters"
        beside = counted(sum(bar["events"] for bar in bars), "event")
        return title, [f"{what}; grey: {beside} that could have been given up", *result.notes]
    events = sum(bar["events"] for bar in bars)
    when = "they were given up" if result.clock == "recorded" else "they happened"
    lines = [
        f"{_share(given_up, events)} events given up, {span(bars[0]['moment'], bars[-1]['until'])} (UTC, by when {when})",
        "triangles: a fingerprint is seen for the first time; red: the rate; grey: the events that it is a share of",
        f"rows: dark where most events were given up; beside each {by}, how many of the events of its types",
    ]
    return title, [*lines, *result.notes]


def fingerprints(result: Fingerprints) -> alt.LayerChart:
    """Draw in which ways events failed, and which are new.

    Parameters
    ----------
    result
        What ``letters.fingerprints(…)`` gave.

    Returns
    -------
    altair.LayerChart
        A bar for each fingerprint, new ones first and marked.
    """
    rows = ask(
        result,
        "SELECT fingerprint, error, dead_letters, new, seen_from FROM result "
        f"ORDER BY new DESC, fingerprint IS NULL, dead_letters DESC, fingerprint LIMIT {MOST_FINGERPRINTS}",
    )
    ((total, new),) = [
        tuple(row.values())
        for row in ask(
            result, "SELECT count(fingerprint) AS n, count(*) FILTER (new) AS new FROM result"
        )
    ]
    names = labels(
        [row["error"] if row["fingerprint"] else "(no error is told)" for row in rows], 64
    )
    drawn = [
        {
            "label": name,
            "fingerprint": row["fingerprint"],
            "dead_letters": row["dead_letters"],
            "is_new": "new" if row["new"] else "known",
            "written": f"{row['dead_letters']:,}{', NEW' if row['new'] else ''}"
            + (f" since {row['seen_from']:%Y-%m-%d}" if row["seen_from"] else ""),
        }
        for name, row in zip(names, rows, strict=True)
    ]
    title = result.title
    lines = [
        f"{counted(total, 'fingerprint')}, {new:,} new; beside each bar, since when it is seen"
        if rows
        else "no dead letters",
        *result.notes,
    ]
    if total > len(rows):
        lines.append(f"{len(rows)} are drawn: new ones first, then those with most dead letters")
    top = max((row["dead_letters"] for row in rows), default=1)
    base = alt.Chart(inline(drawn)).encode(
        y=alt.Y(
            "label",
            type="nominal",
            sort=None,
            title=None,
            axis=row_axis(LABEL_LIMIT),
        ),
        x=alt.X(
            "dead_letters", type="quantitative", axis=None, scale=alt.Scale(domain=[0, top * 1.6])
        ),
    )
    bars = base.mark_bar(height=ROW_HEIGHT - 9).encode(
        color=alt.Color(
            "is_new",
            type="nominal",
            legend=None,
            scale=alt.Scale(domain=["new", "known"], range=[theme.VERMILION, theme.OTHER]),
        ),
        tooltip=[
            alt.Tooltip("fingerprint", type="nominal"),
            alt.Tooltip("label", type="nominal", title="error"),
            alt.Tooltip("written", type="nominal", title="dead letters"),
        ],
    )
    numbers = base.mark_text(align="left", dx=6).encode(text=alt.Text("written", type="nominal"))
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, numbers]).properties(
        width=theme.WIDTH // 2 + 60,
        height=ROW_HEIGHT * max(1, len(rows)),
        title=heading(title, lines),
        description=said(
            title, [*lines, *(f"{row['label']}: {row['written']}" for row in drawn[:5])]
        ),
    )
    return chart


def attempts(result: Attempts) -> alt.LayerChart:
    """Draw how often consumers had tried.

    Parameters
    ----------
    result
        What ``letters.attempts()`` gave.

    Returns
    -------
    altair.LayerChart
        A column for each number of attempts; those of which it is not told stand apart, in grey.
    """
    rows = ask(
        result,
        "SELECT attempts, dead_letters, share FROM result ORDER BY attempts NULLS LAST LIMIT 40",
    )
    drawn = [
        {
            "attempts": "not told" if row["attempts"] is None else f"{row['attempts']:,}",
            "dead_letters": row["dead_letters"],
            "is_known": row["attempts"] is not None,
            "written": f"{row['dead_letters']:,}",
            "share": percent(row["share"]),
        }
        for row in rows
    ]
    order = [row["attempts"] for row in drawn]
    title = result.title
    total = sum(row["dead_letters"] for row in rows)
    lines = [
        f"{counted(total, 'dead letter')} by how often the consumer had tried"
        if rows
        else "no dead letters",
        *result.notes,
    ]
    top = max((row["dead_letters"] for row in rows), default=1)
    base = alt.Chart(inline(drawn)).encode(
        x=alt.X(
            "attempts",
            type="ordinal",
            sort=order,
            title="attempts" if rows else None,
            axis=alt.Axis(labelAngle=0, domain=False, ticks=False, labelColor=theme.INK),
        ),
        y=alt.Y(
            "dead_letters", type="quantitative", axis=None, scale=alt.Scale(domain=[0, top * 1.12])
        ),
    )
    bars = base.mark_bar().encode(
        color=alt.when("datum.is_known")
        .then(alt.value(theme.BLUE))
        .otherwise(alt.value(theme.OTHER)),
        tooltip=[
            alt.Tooltip("attempts", type="nominal"),
            alt.Tooltip("written", type="nominal", title="dead letters"),
            alt.Tooltip("share", type="nominal"),
        ],
    )
    numbers = base.mark_text(baseline="bottom", dy=-4).encode(
        text=alt.Text("written", type="nominal")
    )
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, numbers]).properties(
        width=min(theme.WIDTH, 64 * max(2, len(rows))),
        height=180 if rows else 1,
        title=heading(title, lines),
        description=said(
            title, [*lines, *(f"{row['attempts']}: {row['written']}" for row in drawn[:8])]
        ),
    )
    return chart
