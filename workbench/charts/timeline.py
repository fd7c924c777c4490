"""One stream's timeline: its events by type, and under them the steps of its state."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import altair as alt

from workbench._sql import ident
from workbench.analysis.timeline import Timeline
from workbench.charts import theme
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.groups import colours, places, shapes
from workbench.charts.words import counted, heading, labels, number, said, short, span, stamp
from workbench.errors import ConfigError, did_you_mean

Along = Literal["time", "version"]

ROW_HEIGHT: Final = 22
STATE_HEIGHT: Final = 84
MOST_TYPES: Final = 12
MOST_COLUMNS: Final = 4
FEW: Final = 60
"""Up to so many events a line has points, so that events that changed nothing can be seen."""

_NUMERIC: Final = re.compile(r"U?(BIG|SMALL|TINY|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is drawn: where events lie along the axis, in how many slices, and how much is left out."""

    result: Timeline
    columns: tuple[str, ...]
    place: str
    """SQL for the place of an event: microseconds, or its version."""
    is_time: bool
    first: int
    last: int
    placed: int
    total: int

    @property
    def sliced(self) -> bool:
        return self.placed > POINTS

    @property
    def placed_sql(self) -> str:
        """The events that have a place, in order, each with its slice."""
        width = max(self.last - self.first, 1)
        order = (
            "occurred_at, version, position"
            if self.result.clock == "occurred"
            else "version, position"
        )
        return (
            f"(SELECT *, {self.place} AS place, row_number() OVER (ORDER BY {order}) AS ord, "
            f"least({POINTS - 1}, ({self.place} - {self.first})::HUGEINT * {POINTS} // {width}) AS slice "
            f"FROM result WHERE {self.place} IS NOT NULL)"
        )


def timeline(
    result: Timeline, *, along: Along = "time", columns: Sequence[str] | None = None
) -> alt.VConcatChart:
    """Draw the events of one stream, and its state after each.

    Parameters
    ----------
    result
        What ``log.timeline(…)`` gave.
    along
        ``"time"``, or ``"version"``: one step for each event, however close in time they are. Events
        without times are laid by version in any case.
    columns
        The numeric columns of the state to draw; by default the first four.

    Returns
    -------
    altair.VConcatChart
        Up to 400 events are drawn one by one. More are gathered in 400 slices: a mark is as large as its
        number of events, a line shows the last state in a slice, and a band its lowest and highest.

    Raises
    ------
    ConfigError
        ``columns`` names something else than numeric columns of the state.
    """
    chosen, left_out = _columns(result, columns)
    reading = _reading(result, along, chosen)
    events, states = _read(reading)
    kinds = _kinds(events)
    title, lines = _words(reading, len(kinds), left_out)
    panels: list[alt.Chart | alt.LayerChart] = [_events(events, kinds, reading)]
    panels += [_state(states, index, reading) for index in range(len(chosen))]
    chart: alt.VConcatChart = (
        alt.vconcat(*panels, spacing=10)
        .resolve_scale(x="shared", color="independent", shape="independent", opacity="independent")
        .properties(title=heading(title, lines), description=said(title, lines))
    )
    return chart


# -- reading -------------------------------------------------------------------------------------


def _columns(
    result: Timeline, wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the columns to draw; return them, and the numeric ones that are left out."""
    types = {row["column_name"]: row["column_type"] for row in ask(result, "DESCRIBE FROM result")}
    numeric = tuple(name for name in result.state if _NUMERIC.fullmatch(types[name]))
    if wanted is None:
        return numeric[:MOST_COLUMNS], numeric[MOST_COLUMNS:]
    for name in wanted:
        if name not in numeric:
            message = f"{name!r} is no numeric column of this timeline's state."
            hint = (
                None
                if result.state
                else "give the timeline a definition: log.timeline(stream, projection)"
            )
            raise ConfigError(message + did_you_mean(name, numeric), hint=hint)
    return tuple(wanted), ()


def _reading(result: Timeline, along: Along, columns: tuple[str, ...]) -> _Reading:
    if along not in ("time", "version"):
        message = f"along={along!r}: a timeline runs along 'time' or 'version'."
        raise ConfigError(message)
    is_time = along == "time" and result.clock is not None
    time = f"{result.clock}_at"
    place = f"CASE WHEN isfinite({time}) THEN epoch_us({time}) END" if is_time else "version"
    if not is_time and not ask(result, "SELECT count(version) AS n FROM result")[0]["n"]:
        place = "position"
    row = ask(
        result,
        f"SELECT min({place}) AS first, max({place}) AS last, count({place}) AS placed, count(*) AS total FROM result",
    )[0]
    return _Reading(
        result,
        columns,
        place,
        is_time,
        row["first"] or 0,
        row["last"] or 0,
        row["placed"],
        row["total"],
    )


def _read(reading: _Reading) -> tuple[Rows, Rows]:
    """Read the marks of the events, and the states; with few events they are the same rows."""
    source = reading.placed_sql
    named = [(index, ident(name)) for index, name in enumerate(reading.columns)]
    if not reading.sliced:
        values = "".join(f", {name} AS last_{index}" for index, name in named)
        rows = ask(
            reading.result,
            f"SELECT place, event_type AS kind, 1 AS n, version, actor{values} FROM {source} ORDER BY ord",
        )
        return rows, rows
    events = ask(
        reading.result,
        f"SELECT min(place) AS place, event_type AS kind, count(*) AS n, min(version) AS version, "
        f"any_value(actor) FILTER (WHERE FALSE) AS actor "
        f"FROM {source} GROUP BY slice, kind ORDER BY slice, kind",
    )
    # The last state of a slice may be NULL: a struct around it keeps arg_max from skipping it.
    values = "".join(
        f", arg_max({{'value': {name}}}, ord).value AS last_{index}, min({name}) AS low_{index}, "
        f"max({name}) AS high_{index}"
        for index, name in named
    )
    states = ask(
        reading.result,
        f"SELECT max(place) AS place, max(version) AS version, count(*) AS n{values} FROM {source} "
        "GROUP BY slice ORDER BY slice",
    )
    return events, states


def _kinds(events: Rows) -> dict[str, str]:
    """Event type -> the label of its row; the most frequent first, the rarest ones share one."""
    counts: dict[str, int] = {}
    for row in events:
        counts[row["kind"]] = counts.get(row["kind"], 0) + row["n"]
    order = sorted(counts, key=lambda kind: (-counts[kind], kind))
    if len(order) <= MOST_TYPES:
        own, rest = order, []
    else:
        own, rest = order[: MOST_TYPES - 1], order[MOST_TYPES - 1 :]
    found = {
        kind: f"{label} · {counts[kind]:,}" for kind, label in zip(own, labels(own), strict=True)
    }
    shared = f"other ({len(rest)} types) · {sum(counts[kind] for kind in rest):,}"
    return found | dict.fromkeys(rest, shared)


def _time(microseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)


# -- drawing -------------------------------------------------------------------------------------


def _x(reading: _Reading, *, bare: bool) -> alt.X:
    """Lay marks along the axis, which only the last panel writes on."""
    if reading.is_time:
        scale = alt.Scale(type="utc", padding=8)
        if reading.first == reading.last:  # a moment has no width: show the seconds around it
            second = reading.first // 1_000_000
            scale = alt.Scale(type="utc", domain=[(second - 4) * 1000, (second + 5) * 1000])
        axis = theme.time_axis(bare=bare)
        return alt.X("x", type="temporal", scale=scale, title=None, axis=axis)
    scale = alt.Scale(zero=False, nice=False, padding=8)
    axis = alt.Axis(tickCount=8, tickMinStep=1, format="d")
    if bare:
        axis = alt.Axis(labels=False, ticks=False)
    title = None if bare else reading.place
    return alt.X("x", type="quantitative", scale=scale, title=title, axis=axis)


def _placed(row: dict[str, Any], reading: _Reading) -> dict[str, Any]:
    """Return where a row lies, and how its tooltip says so."""
    if not reading.is_time:
        return {"x": row["place"], "version": row["version"]}
    time = _time(row["place"])
    return {"x": row["place"] / 1000, "when": stamp(time), "version": row["version"]}


def _tooltip(reading: _Reading) -> list[alt.Tooltip]:
    when = [alt.Tooltip("when", type="nominal")] if reading.is_time else []
    return [*when, alt.Tooltip("version", type="quantitative", format="d")]


def _events(events: Rows, kinds: dict[str, str], reading: _Reading) -> alt.Chart:
    """Draw a row of marks for each type; where many fall together, a bar code."""
    order = list(dict.fromkeys(kinds.values()))
    rows = [
        {
            **_placed(row, reading),
            "label": kinds[row["kind"]],
            "type": short(row["kind"], 60),
            "events": row["n"],
            "actor": None if row["actor"] is None else short(row["actor"], 60),
        }
        for row in events
    ]
    peaks: dict[str, int] = {}
    for row in rows:
        peaks[row["label"]] = max(row["events"], peaks.get(row["label"], 0))
    for row in rows:
        row["part"] = round(row["events"] / peaks[row["label"]], 3)
    others = len(kinds) > len(order)
    found = places(reading.result, "event_type", list(kinds)[: len(order)], others=others)
    y = alt.Y(
        "label",
        type="nominal",
        sort=order,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, grid=not reading.sliced, **theme.ROW_LABELS),
    )
    colour = alt.Color(
        "label", type="nominal", legend=None, scale=alt.Scale(domain=order, range=colours(found))
    )
    tooltip = [alt.Tooltip("type", type="nominal"), *_tooltip(reading)]
    chart = alt.Chart().encode(x=_x(reading, bare=bool(reading.columns)), y=y, color=colour)
    if reading.sliced:
        drawn = chart.mark_tick(thickness=2, size=ROW_HEIGHT - 6).encode(
            opacity=theme.opacity("part"),
            tooltip=[*tooltip, alt.Tooltip("events", type="quantitative", format=",d")],
        )
    else:
        drawn = chart.mark_point(filled=True, opacity=0.85, size=50).encode(
            shape=alt.Shape(
                "label",
                type="nominal",
                legend=None,
                scale=alt.Scale(domain=order, range=shapes(found)),
            ),
            tooltip=[*tooltip, alt.Tooltip("actor", type="nominal")],
        )
    panel: alt.Chart = drawn.properties(
        data=inline(rows), width=theme.WIDTH, height=ROW_HEIGHT * max(1, len(order))
    )
    return panel


def _state(states: Rows, index: int, reading: _Reading) -> alt.LayerChart:
    """Draw the steps of one column; where many fall into a slice, with a band of what lies between."""
    last, low, high = f"last_{index}", f"low_{index}", f"high_{index}"
    rows = [
        {
            **_placed(row, reading),
            "value": row[last],
            "shown": number(row[last]),
            **({"low": row[low], "high": row[high]} if reading.sliced else {}),
        }
        for row in states
    ]
    name = short(reading.columns[index])
    tooltip = [alt.Tooltip("shown", type="nominal", title=name), *_tooltip(reading)]
    base = alt.Chart().encode(x=_x(reading, bare=index < len(reading.columns) - 1))
    axis = theme.value_axis([row["value"] for row in rows])
    y = alt.Y("value", type="quantitative", title=None, axis=axis)
    line = base.mark_line(interpolate="step-after", color=theme.BLUE, strokeWidth=1.5)
    few = len(rows) <= FEW
    dots = base.mark_circle(color=theme.BLUE, size=28 if few else 80, opacity=1 if few else 0)
    layers = [line.encode(y=y), dots.encode(y=y, tooltip=tooltip)]
    if reading.sliced:
        band = base.mark_area(interpolate="step-after", color=theme.SKY, opacity=0.4)
        lowest = alt.Y("low", type="quantitative", title=None, axis=axis)
        layers.insert(0, band.encode(y=lowest, y2="high"))
    ending = f"{name}, at the end {rows[-1]['shown']}" if rows else name
    panel: alt.LayerChart = alt.LayerChart(data=inline(rows), layer=layers).properties(
        width=theme.WIDTH, height=STATE_HEIGHT, title=theme.panel_title(ending)
    )
    return panel


# -- words ---------------------------------------------------------------------------------------


def _words(reading: _Reading, kinds: int, left_out: tuple[str, ...]) -> tuple[str, list[str]]:
    result = reading.result
    line = counted(reading.total, "event")
    if reading.is_time and reading.placed:
        line += f", {span(_time(reading.first), _time(reading.last))} (UTC, {result.clock})"
    elif reading.placed:
        line += f", {reading.place} {reading.first:,} to {reading.last:,}"
    lines = [line]
    unplaced = reading.total - reading.placed
    if unplaced:
        lines.append(
            f"{counted(unplaced, 'event')} without {'a time' if reading.is_time else 'a version'} not drawn"
        )
    if reading.sliced:
        lines.append(
            f"gathered in {POINTS} slices: marks are darkest where a type is busiest; lines are the last state of a slice, bands its lowest to highest"
        )
    if kinds > MOST_TYPES:
        lines.append(f"{kinds} types: the {MOST_TYPES - 1} most frequent have rows of their own")
    if left_out:
        lines.append(f"not drawn: {', '.join(left_out)}; columns=[…] chooses")
    return result.title, [*lines, *result.notes]
