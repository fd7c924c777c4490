"""The parts of a report: each asks the log what a notebook would ask, shows the answer, and the code that gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from workbench._html import facts
from workbench._sql import ident
from workbench.analysis.audit.completeness import SIGNS
from workbench.analysis.audit.trail import AT_ONCE
from workbench.analysis.classify import CLASSES, rank
from workbench.analysis.diff import OF_EACH
from workbench.analysis.explain.words import counted
from workbench.errors import ConfigError
from workbench.report.figure import figure
from workbench.report.page import (
    Finding,
    Section,
    code,
    heading,
    listed,
    notes,
    paragraph,
    table,
)

if TYPE_CHECKING:
    from workbench.analysis.compare import Tolerance
    from workbench.analysis.definition import Definition
    from workbench.analysis.diff import Diff
    from workbench.analysis.explain import Explanation
    from workbench.analysis.repair import Repair
    from workbench.log import EventLog
    from workbench.projections.saga import Saga
    from workbench.sources.read_model import ReadModel
    from workbench.store.health import Health

CLUSTERS: Final = 8
STATEMENTS: Final = 24
"""So many groups of wrong rows, and lines of a repair, are in a report."""
#: The columns of each table that has more than fit a page.
_WAITING: Final = ("saga_id", "outcome", "step", "idle", "last_event", "last_at")
_RULES: Final = ("saga_id", "violation", "step", "event_type", "event_at", "stream_id", "version")
_TYPES: Final = (
    "event_type",
    "dead_letters",
    "given_up",
    "events",
    "rate",
    "streams",
    "fingerprints",
)
_WAYS: Final = ("fingerprint", "error", "dead_letters", "new", "first_at", "last_at")
_STREAMS: Final = ("stream_id", "given_up", "roots", "later_events", "last_event_at")
CONCERNS: Final = ("failed", "stuck", "timed out")
"""Outcomes of sagas that somebody has to look at."""


@dataclass(frozen=True)
class Stored:
    """A stored read model, and the definition of what it should hold."""

    definition: Definition
    model: ReadModel
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)


# -- the record ----------------------------------------------------------------------------------


def health(log: EventLog) -> Health:
    """Examine the log, which a report calls by its file's name: the folders of this machine are nobody's business."""
    found, path = log.health(), log._view.database.path
    if path is None:
        return found
    return replace(found, label=f"{path.name}{found.label.removeprefix(str(path))}")


def record(found: Health) -> Section:
    """What is in the log, and what to worry about."""
    concerns = found.concerns
    said = f"{counted(found.events, 'event')} in {counted(found.streams, 'stream')}; "
    said += counted(len(concerns), "thing") + " to know before trusting an answer"
    if not concerns:
        said = f"{counted(found.events, 'event')} in {counted(found.streams, 'stream')}, in order and whole"
    if not found.events:
        said = "the log is empty"
    return Section(
        "record",
        "The record",
        (Finding(bool(found.events and not concerns), said),),
        f'<div class="wide">{found._repr_html_()}</div>' + code("log.health()"),
    )


def vouching(log: EventLog) -> Section:
    """What can be vouched for."""
    found = log.audit()
    findings = found.completeness.findings
    failed = sum(item.vouched is False for item in findings)
    unknown = sum(item.vouched is None for item in findings)
    says = f"of {counted(len(findings), 'question')} about completeness {failed:,} failed, {unknown:,} cannot be answered"
    head = str(found.head) if found.counts.events <= AT_ONCE else "log.audit().head computes it"
    body = paragraph(
        f"{SIGNS[True]} holds, {SIGNS[False]} does not, {SIGNS[None]} cannot be known from this log."
    )
    body += facts((SIGNS[item.vouched], item.finding) for item in findings)
    body += facts([("head of the hash chain", head)])
    body += notes(
        ["note the head down: log.audit().check(head) shows later whether anything was altered"]
    )
    holes = found.gaps()
    if len(holes):
        body += heading("Missing versions") + table(holes)
    return Section(
        "vouching",
        "What can be vouched for",
        (Finding(not failed, says),),
        body + code("audit = log.audit()", "audit.completeness", "audit.gaps()", "audit.head"),
    )


def rates(log: EventLog) -> Section:
    """How many events there were, when, and of which types."""
    found = log.rates()
    types = log.sql(
        "SELECT event_type, count(*) AS events, count(DISTINCT stream_id) AS streams, "
        "count(*) / sum(count(*)) OVER () AS share FROM events GROUP BY ALL ORDER BY events DESC, event_type"
    )
    return Section(
        "rates",
        "Events over time",
        (),
        figure(found.chart())
        + table(types)
        + notes(found.notes)
        + code("log.rates().chart()", "log.types"),
    )


# -- a read model --------------------------------------------------------------------------------


def read_model(log: EventLog, stored: Stored) -> Section:
    """What is wrong in a stored read model, because of what, and what would put it right."""
    found = log.diff(stored.definition, stored.model, tolerance=stored.tolerance)
    counts = found.counts
    total = sum(counts.values())
    wrong = {name: rows for name, rows in counts.items() if rows and name != "match"}
    name = stored.model.name
    if not wrong:
        says = [Finding(True, f"all {counted(total, 'row')} of {name} equal the replay")]
        body = paragraph(found.title) + table(found.summary()) + notes(found.notes)
        return Section("read-model", "The read model", tuple(says), body + code(_DIFF))
    listed_classes = ", ".join(f"{rows:,} {kind}" for kind, rows in wrong.items())
    says = [
        Finding(
            False,
            f"{sum(wrong.values()):,} of {counted(total, 'row')} of {name} differ from the replay: {listed_classes}",
        )
    ]
    body = figure(found.chart()) + table(found.summary())
    body += heading("Columns that differ") + table(found.by_column())
    body += heading("Rows that differ") + _worst(found) + notes(found.notes) + code(_DIFF)
    explained = found.explain()
    if sum(explained.suspects.counts.values()):
        says.append(_because(explained))
        body += _causes(explained) + _one_row(found, explained)
        try:
            body += _repair(explained.repair())
        except ConfigError as error:  # a row that cannot be written as a statement
            body += notes([f"no repair was planned: {error}"])
    return Section("read-model", "The read model", tuple(says), body)


_DIFF: Final = "found = log.diff(definition, model)"


def _worst(found: Diff) -> str:
    """Show some rows of each class, worst classes first."""
    keys = ", ".join(map(ident, found.definition.key))
    some = found.query(
        "FROM result WHERE class <> 'match' "
        f"QUALIFY row_number() OVER (PARTITION BY class ORDER BY {keys}) <= {OF_EACH} "
        f"ORDER BY {rank('class')}, {keys}"
    )
    shown = ("class", "columns", "equals_version", "stale_since", "lag_events", "lag_time")
    return table(some, (*found.definition.key, *shown), most=OF_EACH * len(CLASSES))


def _because(explained: Explanation) -> Finding:
    total = sum(explained.suspects.counts.values())
    counts = dict(explained.counts)
    left = counts.pop("unexplained", 0)
    causes = ", ".join(f"{rows:,} {cause}" for cause, rows in counts.items())
    says = f"{total - left:,} of {counted(total, 'wrong row')} explained exactly by their events: {causes}"
    if left:
        says += f"; {left:,} by none of the causes that were tried"
    return Finding(None, says)


def _causes(explained: Explanation) -> str:
    rows = explained.clusters().rows()
    body = heading("Because of which events")
    body += paragraph(
        "A cause counts only when leaving an event out, applying it twice, and so on, gives the stored row exactly."
    )
    body += listed(row["says"] for row in rows[:CLUSTERS])
    if len(rows) > CLUSTERS:
        body += notes([f"and {len(rows) - CLUSTERS:,} more groups"])
    body += figure(explained.chart()) + table(explained.summary()) + notes(explained.notes)
    return body + code("why = found.explain()", "why.clusters()", "why.chart()")


def _one_row(found: Diff, explained: Explanation) -> str:
    """Show one row whose cause is known, with both of its histories, so that a reader can follow."""
    key = list(found.definition.key)
    first = explained.query(
        "FROM result WHERE rank = 1 AND exact AND class = 'corrupted' AND len(positions) > 0 "
        "ORDER BY alike, len(positions), positions[1] LIMIT 1"
    ).rows()
    if not first:
        return ""
    row = first[0]
    values = [row[name] for name in key]
    shown = ", ".join(map(str, values))
    called = ", ".join(repr(str(value)) for value in values)
    since = explained.first_divergence(*values)
    body = heading(f"One of them: {shown}")
    if since is not None:
        body += paragraph(
            f"{row['cause']}: {since['event_type']} at position {since['position']:,} (version {since['version']}); "
            "from there on the row is not what it should be."
        )
    cells = found.row(*values)
    body += facts(
        (name, f"stored {cells[f'stored_{name}']}, replayed {cells[f'replayed_{name}']}")
        for name in cells["columns"] or ()
    )
    body += figure(explained.histories(*values).chart())
    return body + code(f"why.row({called})", f"why.histories({called}).chart()")


def _repair(plan: Repair) -> str:
    lines = plan.script().splitlines()
    body = heading("What would put it right") + paragraph("A plan; nothing of it has been run.")
    body += table(plan.summary()) + notes(plan.notes)
    if plan.changes:
        body += code(*lines[:STATEMENTS], language="sql")
        if len(lines) > STATEMENTS:
            body += notes([f"{len(lines) - STATEMENTS:,} more lines: print(why.repair().script())"])
    return body + code("why.repair()", "print(why.repair().script())")


# -- processes and consumers ---------------------------------------------------------------------


def sagas(log: EventLog, saga: Saga) -> Section:
    """What became of a process."""
    found = log.sagas(saga)
    counts = {name: number for name, number in found.counts.items() if number}
    total = sum(counts.values())
    bad = {name: counts[name] for name in CONCERNS if name in counts}
    broken = {name: number for name, number in found.violation_counts.items() if number}
    says = f"{counted(total, 'saga')} of {saga.name}: " + ", ".join(
        f"{number:,} {name}" for name, number in counts.items()
    )
    findings = [Finding(not bad, says if total else f"no saga of {saga.name} is in this log")]
    if broken:
        listed_rules = ", ".join(f"{name} {number:,}" for name, number in broken.items())
        findings.append(Finding(False, f"broken rules, by sagas: {listed_rules}"))
    if not total:
        return Section("sagas", "Sagas", tuple(findings), code(_SAGAS))
    body = figure(found.chart()) + table(found.outcomes())
    body += heading("Steps") + table(found.funnel()) + notes(found.notes)
    waiting = found.stuck()
    if len(waiting):
        body += heading("Do not go on, longest idle first") + table(waiting, _WAITING)
    if broken:
        body += heading("Broken rules") + table(found.violations(), _RULES)
    return Section(
        "sagas",
        "Sagas",
        tuple(findings),
        body + code(_SAGAS, "found.stuck()", "found.violations()"),
    )


_SAGAS: Final = "found = log.sagas(saga)"


def dead_letters(log: EventLog) -> Section | None:
    """What consumers gave up; None where there is nothing of that."""
    found = log.dead_letters()
    number = len(found)
    if not number:
        return None
    said: dict[str, Any] = dict(found.facts())
    body = facts(said.items())
    over_time = found.over_time()
    if len(over_time):
        body += figure(over_time.chart()) + notes(over_time.notes)
    body += heading("By event type") + table(found.by("event_type"), _TYPES)
    body += heading("The ways in which they failed, new ones first") + table(
        found.fingerprints(), _WAYS
    )
    body += heading("Streams that went on without them") + table(found.streams(), _STREAMS)
    return Section(
        "dead-letters",
        "Dead letters",
        (Finding(False, f"dead letters: {said['letters']}"),),
        body
        + notes(found.notes)
        + code(
            "letters = log.dead_letters()",
            "letters.over_time().chart()",
            "letters.by('event_type')",
            "letters.fingerprints()",
            "letters.streams()",
        ),
    )
