"""The page of an evidence pack: one HTML file without script, that asks nothing of any network."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from workbench import _html
from workbench._html import escape_text
from workbench.analysis.audit.completeness import SIGNS
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.audit.trail import Audit
    from workbench.analysis.replay import Replay

EVENTS_SHOWN: Final = 2_000
STATES_SHOWN: Final = 200
HEADS_SHOWN: Final = 200
GAPS_SHOWN: Final = 1_000
PAYLOAD: Final = 600

_STYLE: Final = """
body{font:14px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;margin:2rem auto;max-width:75rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th{text-align:left;color:#59636e;font-weight:500}
th,td{padding:3px 12px 3px 0;border-bottom:1px solid #d1d9e0;vertical-align:top;max-width:24rem;overflow-wrap:break-word}
td.c{min-width:22rem}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:12px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
ul{padding:0}li{list-style:none}.no{color:#9a3b00;font-weight:600}.unknown{color:#59636e}
.masked{border:2px solid #9a3b00;padding:.5rem 1rem}
@media print{body{margin:0;max-width:none}}
""".strip()


def page(
    whole: Audit,
    audit: Audit,
    about: dict[str, Any],
    sources: list[dict[str, Any]],
    states: Replay | None,
) -> str:
    """Write the page; every value of an event is escaped and bounded.

    ``audit`` is what is shown, masked perhaps; ``whole`` is the audit in its log, which knows what is missing.
    """
    missing = {
        row["position"]: row["missing_before"]
        for row in whole.query(
            f"SELECT position, missing_before FROM result WHERE missing_before > 0 ORDER BY position LIMIT {GAPS_SHOWN}"
        ).rows()
    }
    parts = [
        f"<h1>{escape_text(audit.title)}</h1>",
        _masked(about["masks"]),
        _facts(audit, about),
        _completeness(audit, about),
        _gaps(audit, missing),
        _events(audit, missing),
        _states(states),
        _sources(sources),
        _heads(audit),
        _how(about),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # Should anything ever slip through: a browser runs and fetches nothing from here.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape_text(audit.title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _masked(words: list[str]) -> str:
    if not words:
        return ""
    listed = "; ".join(words)
    return (
        f'<p class="masked"><strong>This pack is masked.</strong> {escape_text(listed)}. All hashes are over what is in '
        "the pack, and states are computed from the masked events.</p>"
    )


def _facts(audit: Audit, about: dict[str, Any]) -> str:
    counts, cut = audit.counts, about["cut_off"]
    rows = [
        (
            "events",
            f"{counts.events:,} in {counts.streams:,} stream{'' if counts.streams == 1 else 's'}",
        ),
        (
            "time",
            f"{_html.visible(counts.first)} to {_html.visible(counts.last)} (UTC, {cut['clock']})"
            if counts.first
            else "no event says when it was",
        ),
        ("cut-off", f"position {cut['position']:,} of the log"),
        ("head of the chain", str(audit.head)),
        ("written by", ", ".join(f"{name} {version}" for name, version in about["code"].items())),
    ]
    if about["selection"]:
        rows.insert(0, ("selection", "; ".join(about["selection"])))
    body = "".join(
        f"<tr><th>{escape_text(name)}</th><td><code>{escape_text(value)}</code></td></tr>"
        for name, value in rows
    )
    return f"<table>{body}</table>"


def _completeness(audit: Audit, about: dict[str, Any]) -> str:
    kinds = {"✗": ' class="no"', "?": ' class="unknown"'}
    items = "".join(
        f"<li{kinds.get(sentence[:1], '')}>{escape_text(sentence)}</li>"
        for sentence in about["completeness"]
    )
    key = f"{SIGNS[True]} holds, {SIGNS[False]} does not, {SIGNS[None]} cannot be known"
    return f"<h2>What can be vouched for</h2><p>{key}</p><ul>{items}</ul>"


def _gaps(audit: Audit, missing: dict[int, int]) -> str:
    if not missing:
        return ""
    listed = ", ".join(map(str, missing))
    found = audit.query(
        f"SELECT stream_id, version, position FROM result WHERE position IN ({listed}) ORDER BY stream_id, version"
    ).rows()
    rows = [
        [
            row["stream_id"],
            row["version"] - missing[row["position"]] - 1,
            row["version"],
            missing[row["position"]],
        ]
        for row in found
    ]
    return "<h2>Missing versions</h2>" + _table(
        ["stream", "after version", "before version", "missing"], rows
    )


def _events(audit: Audit, missing: dict[int, int]) -> str:
    order = "version, position" if audit.stream else "position"
    rows = audit.query(
        "SELECT r.position, r.stream_id, r.version, r.occurred_at, r.recorded_at, r.event_type, r.actor, r.reason, "
        f"left(CAST(e.data AS VARCHAR), {PAYLOAD + 1}) AS data "
        f"FROM (SELECT * FROM result ORDER BY {order} LIMIT {EVENTS_SHOWN}) r "
        f"JOIN {EVENTS} e ON e.position = r.position ORDER BY r.{order.replace(', ', ', r.')}"
    ).rows()
    # In the audit of one stream its name is above, and not in each row.
    left_out = ("stream_id",) if audit.stream else ()
    shown = []
    for row in rows:
        if row["position"] in missing:
            gap = {
                "stream_id": row["stream_id"],
                "event_type": f"— {missing[row['position']]:,} missing —",
            }
            shown.append([gap.get(name) for name in row if name not in left_out])
        shown.append([value for name, value in row.items() if name not in left_out])
    more = audit.counts.events - len(rows)
    note = f"<p>{more:,} more events are in events.parquet.</p>" if more > 0 else ""
    names = [name for name in _NAMES if name not in left_out]
    return (
        "<h2>Events</h2>"
        + _table([_NAMES[name] for name in names], shown, code=("payload",))
        + note
    )


_NAMES: Final = {
    "position": "position",
    "stream_id": "stream",
    "version": "version",
    "occurred_at": "occurred",
    "recorded_at": "recorded",
    "event_type": "type",
    "actor": "actor",
    "reason": "reason",
    "data": "payload",
}


def _states(states: Replay | None) -> str:
    if states is None:
        return ""
    rows = states.rows(STATES_SHOWN)
    more = len(states) - len(rows)
    note = f"<p>{more:,} more rows are in states.parquet.</p>" if more > 0 else ""
    return (
        f"<h2>States: {escape_text(states.definition.name)}</h2>"
        + _table(list(states.columns), [list(row.values()) for row in rows])
        + note
    )


def _sources(sources: list[dict[str, Any]]) -> str:
    names = [
        "source",
        "kind",
        "read until",
        "complete up to",
        "read",
        "stored",
        "duplicate",
        "rejected",
        "open gaps",
    ]
    rows = [
        [
            *(load["source"], load["kind"], load["finished_at"], load["watermark"], load["read"]),
            *(load["stored"], load["duplicate"], load["rejected"], len(load["gaps"])),
        ]
        for load in sources
    ]
    return "<h2>Sources</h2>" + _table(names, rows)


def _heads(audit: Audit) -> str:
    rows = audit.heads.rows(HEADS_SHOWN)
    more = len(audit.heads) - len(rows)
    note = f"<p>{more:,} more are in streams.parquet.</p>" if more > 0 else ""
    return (
        "<h2>Heads of the hash chain</h2>"
        + _table(
            ["stream", "events", "SHA-256"], [list(row.values()) for row in rows], code=("SHA-256",)
        )
        + note
    )


def _how(about: dict[str, Any]) -> str:
    return (
        "<h2>How to check this pack</h2><p>With the workbench: <code>workbench verify FOLDER</code>. With anything else: "
        "manifest.json names the SHA-256 of each file; hashes.parquet holds one for each event, and streams.parquet one for "
        "each stream, over the canonical bytes of its events by version, then position, one after the other.</p>"
        f"<p><code>{escape_text(str(about['chain']['rule']))}</code></p>"
    )


def _table(names: list[str], rows: list[list[Any]], *, code: tuple[str, ...] = ()) -> str:
    numeric = [any(_is_number(row[at]) for row in rows) for at in range(len(names))]
    head = "".join(
        f"<th{' class=n' if right else ''}>{escape_text(name)}</th>"
        for name, right in zip(names, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(_cell(value, name in code) for name, value in zip(names, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _cell(value: Any, code: bool) -> str:
    if value is None:
        return "<td></td>"
    number = _is_number(value)
    shown = escape_text(_html.visible(value, limit=PAYLOAD))
    kind = " class=n" if number else " class=c" if code else ""
    return f"<td{kind}>{f'<code>{shown}</code>' if code else shown}</td>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
