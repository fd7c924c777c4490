"""One row of a diff as HTML: stored beside replayed, the events behind it, the causes that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from workbench import _html
from workbench.analysis.diff import Diff
from workbench.analysis.explain import causes
from workbench.ui.explorer import PAGE
from workbench.ui.parts import excerpt, heading, scrolled, told

MOST_CAUSES: Final = 20
"""So many hypotheses are listed for one row."""
BEFORE: Final = 10
"""So many events are shown in front of the first guilty one."""
_EXCERPT: Final = 90
_MARKED: Final = "font-weight:600;background:rgba(230,159,0,0.18)"
"""Seen through, so that it reads on a light page and on a dark one."""
_CELL: Final = "padding:2px 14px 2px 6px;text-align:left;vertical-align:top;overflow-wrap:anywhere"

MEANS: Final = {
    "match": "equal, and up to date",
    "stale": "equal to an earlier state: late, not damaged",
    "missing": "the replay has the row, the read model does not",
    "orphaned": "the read model has a row that the log does not give",
    "corrupted": "equal to no state that it should have had",
    "ahead": "it has applied events that this log does not hold",
}


def said(row: dict[str, Any]) -> str:
    """Say what a row is, in a sentence."""
    kind = row["class"]
    parts = [MEANS[kind]]
    if kind == "stale":
        behind = row["lag_events"]
        if row["equals_version"] is not None:
            parts.append(f"the state at version {row['equals_version']:,}")
        if behind is not None:
            parts.append(f"{behind:,} event{'' if behind == 1 else 's'} behind")
        if row["stale_since"] is not None:
            parts.append(f"since {_html.visible(row['stale_since'])}")
    elif kind == "corrupted" and row["equals_version"] is not None:
        parts.append(f"though equal to the one at version {row['equals_version']:,}")
    return "; ".join(parts)


def html(diff: Diff, keys: Sequence[str], row: dict[str, Any]) -> str:
    """Write a row as stored beside as replayed; what differs is marked, by a sign and by weight."""
    at = "" if row["checkpoint"] is None else f" (at its checkpoint, {row['checkpoint']:,})"
    names = ["", "column", "stored", f"replayed{at}"]
    head = "".join(
        f'<th scope="col" style="{_CELL};border-bottom:1px solid var(--jp-border-color2,#e0e0e0);'
        f'color:var(--jp-ui-font-color2,#616161);font-weight:500">{_html.escape(name)}</th>'
        for name in names
    )
    body = ""
    for name in diff.compared:
        differs = name in row["columns"]
        mark = _MARKED if differs else ""
        values = "".join(
            f'<td style="{_CELL};{mark};font-variant-numeric:tabular-nums">{_html.escape(row[side + name])}</td>'
            for side in ("stored_", "replayed_")
        )
        sign = '<span title="differs" aria-label="differs">≠</span>' if differs else ""
        body += (
            f'<tr><td style="{_CELL}">{sign}</td><th scope="row" style="{_CELL};font-weight:400">'
            f"{_html.escape(name)}</th>{values}</tr>"
        )
    title = f"{', '.join(_html.visible(row[name]) for name in keys)}: {row['class']}"
    return (
        heading(title)
        + _html.note(said(row))
        + '<table style="border-collapse:collapse;margin:4px 0;background:none;color:var(--jp-ui-font-color1,#212121)">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def text(keys: Sequence[str], row: dict[str, Any]) -> str:
    """Write a row as plain text."""
    compared = [name.removeprefix("stored_") for name in row if name.startswith("stored_")]
    rows = [
        (
            "≠" if name in row["columns"] else "",
            name,
            row[f"stored_{name}"],
            row[f"replayed_{name}"],
        )
        for name in compared
    ]
    title = f"{', '.join(str(row[name]) for name in keys)}: {row['class']}; {said(row)}"
    return f"{_html.line(title)}\n{_html.text_table(['', 'column', 'stored', 'replayed'], rows)}"


def events_html(diff: Diff, key: Sequence[str], guilty: Sequence[int]) -> str:
    """Write the events behind a row: the last ones, or those around the first guilty one, which are marked."""
    events = diff.events(*key)
    count = len(events)
    columns = (
        "position, version, event_type, coalesce(recorded_at, occurred_at) AS at, "
        f"left(CAST(data AS VARCHAR), {_EXCERPT + 1})"
    )

    def ask(which: str) -> list[tuple[Any, ...]]:
        return diff._database.rows(f"SELECT {columns} FROM ({events.sql}) {which}")

    if guilty:
        first = int(guilty[0])
        rows = ask(f"WHERE position < {first} ORDER BY position DESC LIMIT {BEFORE}")[::-1]
        rows += ask(f"WHERE position >= {first} ORDER BY position LIMIT {PAGE - BEFORE}")
    else:
        rows = ask(f"ORDER BY position DESC LIMIT {PAGE}")[::-1]
    marked = set(guilty)
    shown = [["▶" if row[0] in marked else "", *row[:4], excerpt(row[4], _EXCERPT)] for row in rows]
    names = ["", "position", "version", "event type", "at (UTC)", "payload"]
    if guilty:
        own = any(row[0] in marked for row in rows)
        which = "around the marked one" if own else f"around position {guilty[0]:,} of another row"
    else:
        which = "the last ones"
    left = f"; {len(rows)} are shown, {which}" if len(rows) < count else ""
    about = f"{count:,} event{'' if count == 1 else 's'} behind it{left}"
    if not rows:
        return heading(about)
    table = _html.table(names, shown, numeric=[False, True, True])
    return heading(about) + scrolled(table)


def causes_html(found: Sequence[dict[str, Any]]) -> str:
    """Write the hypotheses of a row, best first."""
    rows = [
        [
            one["rank"],
            one["cause"],
            causes.MEANS[one["cause"]],
            _places(one["positions"], one["events"]),
            ", ".join(dict.fromkeys(one["event_types"])),
            one["first_at"] or "",
            " ".join(str(part) for part in (one["other"], one["detail"]) if part),
        ]
        for one in found[:MOST_CAUSES]
    ]
    names = ["", "cause", "which means", "at positions", "event types", "first at (UTC)", "other row, detail"]  # fmt: skip
    said_ = []
    if len(found) > MOST_CAUSES:
        said_.append(f"{MOST_CAUSES} of {len(found):,} hypotheses")
    if any(one["alike"] > 1 for one in found):
        said_.append("where several do, each is possible, and none is asserted")
    if not found[0]["complete"]:
        said_.append("this row has too many events for everything to be tried")
    return told(names, rows, numeric=[""]) + "".join(map(_html.note, said_))


def one_line(one: dict[str, Any]) -> str:
    """Name a hypothesis, for a dropdown."""
    return f"{one['rank']}: {one['cause']}, {_places(one['positions'], one['events'])}"


def _places(positions: Sequence[int], events: int) -> str:
    listed = ", ".join(f"{position:,}" for position in positions[:4])
    return f"{listed}, … ({events:,})" if events > 4 else listed
