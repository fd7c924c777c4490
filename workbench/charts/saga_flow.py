"""The ways that sagas went: variants as rows of blocks, and the directly-follows graph."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any, Final

import altair as alt

from workbench.analysis.sagas import Graph, Variants
from workbench.charts import theme
from workbench.charts.data import Rows, ask, inline
from workbench.charts.lengths import lasting
from workbench.charts.words import counted, heading, said, short
from workbench.projections.saga import Role, Saga

#: What an event says about its step: how it is worded, and its colour.
ROLES: Final[dict[Role, tuple[str, str]]] = {
    "start": ("start", theme.QUIET),
    "success": ("done", theme.GREEN),
    "failure": ("failed", theme.VERMILION),
    "compensation": ("undone", theme.SKY),
    "cancelled": ("cancelled", theme.ORANGE),
}
MOST_VARIANTS: Final = 15
MOST_BLOCKS: Final = 12
ROW_HEIGHT: Final = 34
MOST_EDGES: Final = 40
LABELLED: Final = 16
CURVE: Final = 48
"""Points along the curve of an edge."""

_LANES: Final[dict[Role, float]] = {
    "start": 0.0,
    "success": 0.0,
    "failure": 1.0,
    "compensation": 2.0,
    "cancelled": 1.5,
}


def legend(entries: Sized) -> alt.Legend | None:
    """Make a legend below a chart; none where it would be empty, which Vega cannot size."""
    return alt.Legend(orient="bottom", columns=8, symbolType="square") if entries else None


def worded(saga: Saga) -> dict[str, tuple[str, Role]]:
    """Event type -> what it says in two words, and its role: ``("pay failed", "failure")``.

    >>> from workbench.bundled import checkout_saga
    >>> worded(checkout_saga)["PaymentFailed"]
    ('pay failed', 'failure')
    """
    found: dict[str, tuple[str, Role]] = {}
    for kind, role, at in saga.roles:
        step = "" if at is None else short(saga.steps[at].name, 16)
        words = {
            "start": "start",
            "cancelled": "cancelled",
            "success": step,
            "failure": f"{step} failed",
            "compensation": f"{step} undone",
        }
        found[kind] = (words[role], role)
    return found


def saga_variants(result: Variants, *, most: int = MOST_VARIANTS) -> alt.HConcatChart:
    """Draw the most frequent ways that sagas went.

    Parameters
    ----------
    result
        What ``sagas.variants()`` gave.
    most
        So many at most.

    Returns
    -------
    altair.HConcatChart
        A row for each variant: its share, and a block for each event in order.
    """
    rows = ask(result, f"FROM result ORDER BY variant LIMIT {int(most)}")
    (every,) = ask(result, "SELECT count(*) AS n, coalesce(sum(share), 0) AS share FROM result")
    words = worded(result.saga)
    blocks, names = [], []
    for row in rows:
        name = f"{row['variant']:,}"
        names.append(name)
        path = row["path"]
        for at, kind in enumerate(path[:MOST_BLOCKS]):
            cut = at == MOST_BLOCKS - 1 and len(path) > MOST_BLOCKS
            said_, role = words[kind]
            blocks.append(
                {
                    "variant": name,
                    "at": at,
                    "until": at + 0.94,
                    "middle": at + 0.47,
                    "what": f"… {len(path) - at} more" if cut else said_,
                    "role": ROLES[role][0],
                    "event_type": short(kind, 60),
                }
            )
    shares = [_share(row, names[at]) for at, row in enumerate(rows)]
    y = alt.Y(
        "variant",
        type="nominal",
        sort=names,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, **theme.ROW_LABELS),
        scale=alt.Scale(paddingInner=0.28),
    )
    longest = max((min(len(row["path"]), MOST_BLOCKS) for row in rows), default=1)
    height = ROW_HEIGHT * max(1, len(rows))
    top = max((row["share"] for row in shares), default=1)
    base = alt.Chart(inline(shares)).encode(y=y)
    scale = alt.Scale(domain=[0, top * 2.4], nice=False)
    x = alt.X("share", type="quantitative", axis=None, scale=scale)
    bars = base.mark_bar(color=theme.OTHER).encode(
        x=x,
        tooltip=[
            alt.Tooltip("written", type="nominal", title="sagas"),
            alt.Tooltip("outcome", type="nominal", title="mostly"),
            alt.Tooltip("violations", type="nominal"),
            alt.Tooltip("median", type="nominal", title="median time"),
        ],
    )
    numbers = base.mark_text(align="left", dx=5).encode(
        x=x, text=alt.Text("written", type="nominal")
    )
    left = alt.LayerChart(layer=[bars, numbers]).properties(width=190, height=height)

    used = [word for word, _ in ROLES.values() if any(block["role"] == word for block in blocks)]
    colour = dict(ROLES.values())
    across = alt.Scale(domain=[0, longest], nice=False)
    path = alt.Chart(inline(blocks)).encode(y=y.axis(None))
    boxes = path.mark_bar(cornerRadius=3).encode(
        x=alt.X("at", type="quantitative", axis=None, scale=across),
        x2="until",
        color=alt.Color(
            "role",
            type="nominal",
            sort=None,
            title=None,
            scale=alt.Scale(domain=used, range=[colour[word] for word in used]),
            legend=legend(used),
        ),
        opacity=alt.value(0.55),
        tooltip=[
            alt.Tooltip("event_type", type="nominal", title="event"),
            alt.Tooltip("role", type="nominal"),
        ],
    )
    width = theme.WIDTH - 130
    texts = path.mark_text(fontSize=10, limit=max(20, width // longest - 3)).encode(
        x=alt.X("middle", type="quantitative", axis=None, scale=across),
        text=alt.Text("what", type="nominal"),
    )
    right = alt.LayerChart(layer=[boxes, texts]).properties(width=width, height=height)
    covered = sum(row["share"] for row in rows)
    lines = [
        f"{counted(result.sagas, 'saga')} in {counted(int(every['n']), 'variant')}; "
        f"those drawn are {_percent(covered)} of the sagas",
        "the share of each, with the outcome that most of them had (!: it breaks a rule); then its events in order",
        *result.notes,
    ]
    found = "; ".join(f"{row['written']}: {row['path']}" for row in shares[:5])
    chart: alt.HConcatChart = (
        alt.HConcatChart(hconcat=[left, right], spacing=8)
        .resolve_scale(y="independent")
        .properties(
            title=heading(result.title, lines), description=said(result.title, [*lines, found])
        )
    )
    return chart


def _share(row: dict[str, Any], name: str) -> dict[str, Any]:
    broken = ", ".join(row["violations"] or [])
    return {
        "variant": name,
        "share": row["share"],
        "written": f"{_percent(row['share'])} {row['outcome']}" + (" !" if broken else ""),
        "outcome": row["outcome"],
        "violations": broken or "none",
        "median": "unknown" if row["median"] is None else lasting(row["median"].total_seconds()),
        "path": ", ".join(short(kind) for kind in row["path"][:MOST_BLOCKS]),
    }


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.001 else f"{share:.1%}"


# -- the graph -----------------------------------------------------------------------------------


def saga_graph(result: Graph, *, most: int = MOST_EDGES) -> alt.LayerChart:
    """Draw which event directly follows which.

    Parameters
    ----------
    result
        What ``sagas.graph()`` gave.
    most
        So many arrows at most, the most frequent ones.

    Returns
    -------
    altair.LayerChart
        Steps from left to right; failures below them, compensations below those. Arrows are the wider the
        more often one follows the other; the most frequent ones say how often, and the median time.
    """
    rows = ask(
        result,
        "SELECT source, target, transitions, epoch_us(p50) / 1e6 AS p50 FROM result "
        "WHERE source IS NOT NULL AND target IS NOT NULL ORDER BY transitions DESC, source, target",
    )
    drawn = rows[:most]
    places = _places(result.saga)
    seen = {row[end] for row in drawn for end in ("source", "target")}
    words = worded(result.saga)
    top = max((row["transitions"] for row in drawn), default=1)
    curves, heads, texts = [], [], []
    for number, row in enumerate(drawn):
        points = _curve(places[row["source"]], places[row["target"]])
        about = {
            "edge": number,
            "part": round(math.sqrt(row["transitions"] / top), 3),
            "from": short(row["source"], 60),
            "to": short(row["target"], 60),
            "times": f"{row['transitions']:,}",
            "median": lasting(row["p50"]),
        }
        curves += [{**about, "x": x, "y": y, "n": n} for n, (x, y) in enumerate(points)]
        (x1, y1), (x2, y2) = points[-3], points[-1]
        angle = math.degrees(math.atan2((x2 - x1) * _WIDE, (y1 - y2) * _HIGH))
        heads.append({**about, "x": x2, "y": y2, "angle": angle % 360})
        if number < LABELLED:
            x, y = points[len(points) // (2 if len(points) <= CURVE * 3 // 4 else 3)]
            texts.append(
                {**about, "x": x, "y": y, "written": f"{row['transitions']:,}\n{about['median']}"}
            )
    nodes = [
        {
            "x": places[kind][0],
            "y": places[kind][1],
            "what": words[kind][0],
            "role": ROLES[words[kind][1]][0],
            "event_type": short(kind, 60),
        }
        for kind in places
        if kind in seen
    ]
    return _assembled(result, curves, heads, texts, nodes, left_out=rows[most:])


_WIDE, _HIGH = 142.0, 112.0
"""Pixels of one column and of one lane."""
_BOX: Final = (88.0, 26.0)
"""Pixels of a node."""


def _places(saga: Saga) -> dict[str, tuple[float, float]]:
    """Place each event type: steps from left to right, what went wrong below."""
    found: dict[str, tuple[float, float]] = {}
    taken: dict[tuple[float, float], int] = {}
    for kind, role, at in saga.roles:
        column = 0.0 if role == "start" else float(len(saga.steps)) if at is None else float(at + 1)
        place = (column, _LANES[role])
        again = taken[place] = taken.get(place, -1) + 1
        found[kind] = (column, place[1] + 0.33 * again)
    return found


def _curve(source: tuple[float, float], target: tuple[float, float]) -> list[tuple[float, float]]:
    """Bend an arrow to its left, so that the way there and the way back are two; a loop where it turns to itself."""
    (x1, y1), (x2, y2) = source, target
    if source == target:
        turns = [math.radians(235 - 290 * n / CURVE) for n in range(CURVE + 1)]
        below = 1 if y1 >= _LANES["compensation"] else -1  # where fewer arrows come in
        middle_of_loop = y1 + below * (_BOX[1] / 2 / _HIGH + 0.13)
        return [
            (x1 + 0.15 * math.cos(turn), middle_of_loop + below * 0.16 * math.sin(turn))
            for turn in turns
        ]
    dx, dy = x2 - x1, y2 - y1
    bend = 0.4 if abs(dx) > 1.01 else 0.14
    middle = ((x1 + x2) / 2 + dy * bend * 0.6, (y1 + y2) / 2 - dx * bend)
    points = []
    for n in range(CURVE + 1):
        t = n / CURVE
        points.append(
            (
                (1 - t) ** 2 * x1 + 2 * t * (1 - t) * middle[0] + t * t * x2,
                (1 - t) ** 2 * y1 + 2 * t * (1 - t) * middle[1] + t * t * y2,
            )
        )
    outside = [
        point for point in points if not _inside(point, source) and not _inside(point, target)
    ]
    return outside if len(outside) >= 3 else points


def _inside(point: tuple[float, float], node: tuple[float, float]) -> bool:
    """Whether a point is under a node, or so near that an arrow's head would be."""
    wide, high = (abs(point[0] - node[0]) * _WIDE, abs(point[1] - node[1]) * _HIGH)
    return wide < _BOX[0] / 2 + 3 and high < _BOX[1] / 2 + 4


def _assembled(
    result: Graph, curves: Rows, heads: Rows, texts: Rows, nodes: Rows, *, left_out: Rows
) -> alt.LayerChart:
    columns = max((node["x"] for node in nodes), default=1)
    lanes = max((node["y"] for node in nodes), default=1)
    x = alt.X(
        "x",
        type="quantitative",
        axis=None,
        scale=alt.Scale(domain=[-0.5, columns + 0.5], nice=False),
    )
    y = alt.Y(
        "y",
        type="quantitative",
        axis=None,
        scale=alt.Scale(domain=[-0.75, lanes + 0.45], reverse=True, nice=False),
    )
    tooltip = [alt.Tooltip(name, type="nominal") for name in ("from", "to", "times", "median")]
    lines = (
        alt.Chart(inline(curves))
        .mark_line(color=theme.QUIET, interpolate="monotone")
        .encode(
            x=x,
            y=y,
            detail="edge:N",
            order="n:Q",
            strokeWidth=alt.StrokeWidth(
                "part",
                type="quantitative",
                legend=None,
                scale=alt.Scale(domain=[0, 1], range=[0.8, 7]),
            ),
            opacity=theme.opacity("part", darkest=0.7),
            tooltip=tooltip,
        )
    )
    node = alt.Chart(inline(nodes)).encode(x=x, y=y)
    paper = node.mark_rect(
        cornerRadius=4, width=_BOX[0], height=_BOX[1], color=theme.PAPER, opacity=1
    )
    boxes = node.mark_rect(cornerRadius=4, width=_BOX[0], height=_BOX[1]).encode(
        color=alt.Color(
            "role",
            type="nominal",
            sort=None,
            title=None,
            scale=alt.Scale(
                domain=[word for word, _ in ROLES.values()],
                range=[colour for _, colour in ROLES.values()],
            ),
            legend=legend(nodes),
        ),
        opacity=alt.value(0.55),
        tooltip=[alt.Tooltip("event_type", type="nominal", title="event")],
    )
    names = node.mark_text(fontSize=11, limit=_BOX[0] - 4).encode(
        text=alt.Text("what", type="nominal")
    )
    label = alt.Chart(inline(texts)).encode(x=x, y=y, text=alt.Text("written", type="nominal"))
    # Twice: a ground of paper first, so that lines do not run through the words.
    ground = label.mark_text(
        fontSize=10, lineBreak="\n", baseline="middle", dy=-5, stroke=theme.PAPER, strokeWidth=4
    )
    written = label.mark_text(fontSize=10, lineBreak="\n", baseline="middle", dy=-5)
    arrows = (
        alt.Chart(inline(heads))
        .mark_point(shape="triangle-up", filled=True, color=theme.QUIET, size=50, opacity=1)
        .encode(
            x=x,
            y=y,
            angle=alt.Angle(
                "angle", type="quantitative", scale=alt.Scale(domain=[0, 360], range=[0, 360])
            ),
            tooltip=tooltip,
        )
    )
    lines_ = [
        f"{counted(result.sagas, 'saga')}; how often one event directly follows the other, and the median time between",
        *result.notes,
    ]
    if left_out:
        rest = sum(int(row["transitions"]) for row in left_out)
        lines_.append(f"{counted(len(left_out), 'rarer arrow')} left out ({rest:,} transitions)")
    found = "; ".join(
        f"{text['from']} to {text['to']} {text['times']} times, {text['median']}"
        for text in texts[:6]
    )
    chart: alt.LayerChart = alt.LayerChart(
        layer=[lines, arrows, paper, boxes, names, ground, written]
    ).properties(
        width=max(theme.WIDTH, int(_WIDE * (columns + 1))),
        height=int(_HIGH * (lanes + 1.2)),
        title=heading(result.title, lines_),
        description=said(result.title, [*lines_, found]),
    )
    return chart
