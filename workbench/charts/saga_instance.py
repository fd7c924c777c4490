"""One saga in time: a bar for each step and each compensation, and for what it waits for."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

import altair as alt

from workbench.analysis.sagas import Instance
from workbench.charts import theme
from workbench.charts.data import Rows, ask, inline
from workbench.charts.lengths import lasting, ticks
from workbench.charts.saga_flow import ROLES, legend, worded
from workbench.charts.words import heading, labels, said, short, stamp

ROW_HEIGHT: Final = 30
MOST_ROWS: Final = 60
WAITING: Final = "waiting"
UNEVEN: Final = 400
"""A saga that takes so many times longer than its shortest bar is drawn on a stretched axis."""
_THIN: Final = 0.006
"""The least that a bar is long, as a part of the axis, so that it can be seen."""


def saga_instance(result: Instance) -> alt.LayerChart:
    """Draw one saga in time.

    Parameters
    ----------
    result
        What ``sagas.instance(id)`` gave.

    Returns
    -------
    altair.LayerChart
        A bar for each event, from what caused it (or the event before) to itself: steps, failures and
        compensations by colour and word, broken rules in words behind them. The axis counts from the start;
        where seconds and days are in one saga, it is stretched so that both can be seen.
    """
    rows = ask(result, "FROM result ORDER BY n")
    shown = rows[:MOST_ROWS]
    timed = [row for row in shown if row["until"] is not None]
    start = min((row["since"] or row["until"] for row in timed), default=None)
    bars = _bars(result, shown, start)
    far = max((bar["to_s"] for bar in bars), default=0.0)
    gaps = [bar["to_s"] - bar["from_s"] for bar in bars if bar["to_s"] > bar["from_s"]]
    fine = min(gaps, default=1.0)
    stretched = bool(gaps) and far / fine > UNEVEN
    unit = max(fine, 0.001)

    def place(length: float) -> float:
        return math.log10(1 + length / unit) if stretched else length

    end = place(far) or 1.0
    for bar in bars:
        bar["from"], bar["to"] = place(bar["from_s"]), place(bar["to_s"])
        bar["from"] = max(0.0, min(bar["from"], bar["to"] - _THIN * end))
        bar["to"] = max(bar["to"], bar["from"] + _THIN * end)
    chart = _drawn(bars, place, far, end)
    lines = [_words(result, start, timed)]
    if stretched:
        lines.append("time since the start, stretched so that short and long can both be seen")
    if len(shown) < len(rows):
        lines.append(f"{len(shown)} of {len(rows):,} bars are drawn, the first ones")
    lines += list(result.notes)
    found = "; ".join(f"{bar['what']} {bar['written']}" for bar in bars[:12])
    title = f"Saga {short(result.saga_id, 50)}: {result.outcome}"
    finished: alt.LayerChart = chart.properties(
        title=heading(title, lines), description=said(title, [*lines, found])
    )
    return finished


def _bars(result: Instance, rows: Rows, start: dt.datetime | None) -> list[dict[str, Any]]:
    words = worded(result.sagas.saga)
    named = labels((_label(row, words) for row in rows), 40)
    found = []
    for row, name in zip(rows, named, strict=True):
        if row["until"] is None or start is None:
            continue
        since = row["since"] or row["until"]
        length = (row["until"] - since).total_seconds()
        role = WAITING if row["role"] == "waiting" else ROLES[row["role"]][0]
        broken = ", ".join(row["violations"] or [])
        took = "" if role == "start" else lasting(length)
        found.append(
            {
                "what": name,
                "role": role,
                "from_s": (since - start).total_seconds(),
                "to_s": (row["until"] - start).total_seconds(),
                "written": took,
                "broken": broken,
                "behind": f"{took}   ! {broken}" if broken else took,
                "is_broken": bool(broken),
                "event": short(row["event_type"], 60) if row["event_type"] else "none yet",
                "stream": short(row["stream_id"], 60) if row["stream_id"] else "",
                "when": row["until"]
                .isoformat(sep=" ", timespec="milliseconds")
                .replace("+00:00", "Z"),
            }
        )
    return found


def _label(row: dict[str, Any], words: dict[str, tuple[str, Any]]) -> str:
    if row["role"] == "waiting":
        return f"waiting for {short(row['step'], 18)}" if row["step"] else "waiting"
    what = words[row["event_type"]][0]
    return f"{what} · {short(row['part'], 20)}" if row["part"] else what


def _drawn(bars: list[dict[str, Any]], place: Any, far: float, end: float) -> alt.LayerChart:
    colours = {**dict(ROLES.values()), WAITING: theme.OTHER}
    used = [role for role in colours if any(bar["role"] == role for bar in bars)]
    at = _axis([bar["to_s"] for bar in bars], place, far)
    written = " : ".join(f"abs(datum.value - {where!r}) < 1e-9 ? {words!r}" for where, words in at)
    scale = alt.Scale(domain=[0, end * 1.38], nice=False)
    x = alt.X(
        "from",
        type="quantitative",
        title="since the start",
        scale=scale,
        axis=alt.Axis(values=[where for where, _ in at], labelExpr=f"{written} : ''", grid=True),
    )
    y = alt.Y(
        "what",
        type="nominal",
        sort=[bar["what"] for bar in bars],
        title=None,
        axis=alt.Axis(domain=False, ticks=False, **theme.ROW_LABELS),
        scale=alt.Scale(paddingInner=0.35),
    )
    base = alt.Chart(inline(bars)).encode(y=y)
    boxes = base.mark_bar(cornerRadius=2).encode(
        x=x,
        x2="to",
        color=alt.Color(
            "role",
            type="nominal",
            sort=None,
            title=None,
            scale=alt.Scale(domain=used, range=[colours[role] for role in used]),
            legend=legend(used),
        ),
        tooltip=[
            alt.Tooltip(name, type="nominal", title=title)
            for name, title in (
                ("event", "event"),
                ("stream", "stream"),
                ("when", "at"),
                ("written", "took"),
                ("broken", "broken rules"),
            )
        ],
    )
    texts = base.mark_text(align="left", dx=6).encode(
        x=alt.X("to", type="quantitative", scale=scale),
        text=alt.Text("behind", type="nominal"),
        color=alt.when("datum.is_broken")
        .then(alt.value(theme.VERMILION))
        .otherwise(alt.value(theme.INK)),
    )
    chart: alt.LayerChart = alt.LayerChart(layer=[boxes, texts]).properties(
        width=theme.WIDTH, height=ROW_HEIGHT * max(1, len(bars))
    )
    return chart


def _axis(lengths: list[float], place: Any, far: float) -> list[tuple[float, str]]:
    """Choose ticks: round lengths, no two closer than their labels need."""
    found = [(0.0, "0")]
    if far <= 0:
        return found
    linear = place(far) == far
    if linear:
        step = min((tick for tick in ticks([far]) if tick >= far / 6), default=far)
        candidates = [step * number for number in range(1, int(far / step) + 1)]
    else:
        candidates = [
            tick for tick in ticks([min(n for n in lengths if n > 0), far]) if tick <= far
        ]
    for tick in candidates:
        if place(tick) - found[-1][0] >= place(far) * 0.06:
            found.append((round(place(tick), 9), lasting(tick)))
    return found


def _words(result: Instance, start: dt.datetime | None, timed: Rows) -> str:
    if start is None:
        return "no time is known"
    clock = result.sagas.clock
    last = max(row["until"] for row in timed)
    return f"from {stamp(start)} to {stamp(last)} (UTC, {clock}), {lasting((last - start).total_seconds())}"
