"""Completeness: what can be vouched for, what cannot, and what nobody can know, in plain sentences."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from workbench._sql import literal, text
from workbench.analysis.causation import has_dead_letters
from workbench.store.masks import RECORDED
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

SIGNS: Final[dict[bool | None, str]] = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    about
        What: versions, beginnings, order, …
    vouched
        True: it holds. False: it does not. None: the log cannot tell.
    finding
        The same as a sentence.
    """

    about: str
    vouched: bool | None
    finding: str


class Completeness(Table):
    """What was looked at: ``about`` (VARCHAR), ``vouched`` (BOOLEAN; NULL: cannot be known), ``finding``.

    Attributes
    ----------
    findings
        The same as values.
    """

    findings: tuple[Finding, ...]

    @property
    def sentences(self) -> list[str]:
        """The findings, each behind ✓ (it holds), ✗ (it does not) or ? (cannot be known)."""
        return [f"{SIGNS[item.vouched]} {item.finding}" for item in self.findings]


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass over the events found."""

    events: int
    streams: int
    first: dt.datetime | None
    last: dt.datetime | None
    last_position: int
    missing: int
    gaps: int
    gapped_streams: int
    late_starts: int
    clashes: int
    unversioned: int
    backwards: int
    untimed: int
    without_actor: int
    without_reason: int


def completeness(view: View, counts: Counts, clock: str) -> Completeness:
    """Look at the order of the events, and at how each source was loaded."""
    findings = (
        *_streams(view, counts),
        *_times(counts, clock),
        *_people(counts),
        *_sources(view),
        *_open_questions(),
    )
    rows = ", ".join(
        f"({number}, {text(item.about)}, CAST({literal(item.vouched)} AS BOOLEAN), {text(item.finding)})"
        for number, item in enumerate(findings)
    )
    result = Completeness(
        view.database,
        f"SELECT about, vouched, finding FROM (VALUES {rows}) t(n, about, vouched, finding) ORDER BY n",
        title="What can be vouched for",
    )
    result.findings = findings
    return result


def _of(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _streams(view: View, counts: Counts) -> Iterator[Finding]:
    these = "the stream" if counts.streams == 1 else f"the {counts.streams:,} streams"
    if not counts.events:
        yield Finding("events", None, "There are no events here, so there is nothing to vouch for.")
        return
    if counts.missing:
        where = (
            "" if counts.streams == 1 else f" in {_of(counts.gapped_streams, 'stream', 'streams')}"
        )
        yield Finding(
            "versions",
            False,
            f"{_of(counts.missing, 'version is', 'versions are')} missing in {_of(counts.gaps, 'gap', 'gaps')}{where}: "
            "what happened there is not in this log.",
        )
    elif counts.unversioned < counts.events:
        yield Finding(
            "versions",
            True,
            f"No version is missing between the first and the last event of {these}.",
        )
    if counts.unversioned:
        yield Finding(
            "versions",
            None,
            f"{_of(counts.unversioned, 'event has', 'events have')} no version: whether something is missing between them cannot be told.",
        )
    if counts.late_starts:
        yield Finding(
            "beginnings",
            False,
            f"{_of(counts.late_starts, 'stream does', 'streams do')} not begin at the first version: how it began is not in this log.",
        )
    elif counts.unversioned < counts.events:
        begins = "The stream begins at its" if counts.streams == 1 else "Each stream begins at its"
        yield Finding("beginnings", True, f"{begins} first version (0 or 1).")
    if counts.clashes:
        yield Finding(
            "order",
            False,
            f"{_of(counts.clashes, 'event shares its', 'events share their')} stream and version with another: two writers, or two histories.",
        )
    elif counts.unversioned < counts.events:
        yield Finding("order", True, "No two events of a stream share a version.")
    yield Finding(
        "ends",
        None,
        "Whether a stream goes on behind its last event here, only its source can tell: see how far each was read.",
    )


def _times(counts: Counts, clock: str) -> Iterator[Finding]:
    if not counts.events:
        return
    if counts.untimed:
        yield Finding(
            "times",
            None,
            f"{_of(counts.untimed, 'event does', 'events do')} not say when it was {clock}.",
        )
    if counts.backwards:
        yield Finding(
            "times",
            False,
            f"{_of(counts.backwards, 'event claims', 'events claim')} to be {clock} before the one that precedes it in its stream.",
        )
    elif counts.untimed < counts.events:
        yield Finding("times", True, f"In each stream times ({clock}) never go back.")


def _people(counts: Counts) -> Iterator[Finding]:
    if not counts.events:
        return
    if counts.without_actor:
        yield Finding(
            "actors",
            None,
            f"{_of(counts.without_actor, 'event does', 'events do')} not say who acted.",
        )
    else:
        yield Finding(
            "actors",
            True,
            "Each event says who acted; that it was them, only the system that wrote it can vouch for.",
        )


def _sources(view: View) -> Iterator[Finding]:
    """Look at the loads of each source that these events come from."""
    held = dict(view.rows(f"SELECT source, count(*) FROM {EVENTS} GROUP BY source"))
    if has_dead_letters(view):
        held |= dict(
            view.rows("SELECT source, count(*) FROM log.main.dead_letters GROUP BY source")
        )
    here = {
        row[0] for row in view.rows(f"SELECT DISTINCT source FROM {EVENTS} WHERE {view.filter}")
    }
    for load in loads(view):
        if load["source"] in here or not view.conditions:
            yield from _source(load, held.get(load["source"], 0))


def loads(view: View) -> list[dict[str, Any]]:
    """Return each source as its last load left it, with the counts of all its loads."""
    rows = view.rows(
        "SELECT source, arg_max(kind, load_id), arg_max(status, load_id), max(finished_at), sum(read)::BIGINT, "
        "sum(stored)::BIGINT, sum(duplicate)::BIGINT, sum(rejected)::BIGINT, arg_max(watermark, load_id), "
        "arg_max(bookmark, load_id), arg_max(gaps, load_id), arg_max(completeness, load_id), "
        "list(notes ORDER BY load_id), arg_max(code_version, load_id), count(*) "
        "FROM log.main.loads GROUP BY source ORDER BY source"
    )
    found = []
    for row in rows:
        notes = [note for item in row[12] if item for note in json.loads(item)]
        found.append(
            {
                "source": row[0],
                "kind": row[1],
                "status": row[2],
                "finished_at": None if row[3] is None else row[3].astimezone(dt.UTC),
                "read": row[4],
                "stored": row[5],
                "duplicate": row[6],
                "rejected": row[7],
                "watermark": row[8],
                "bookmark": json.loads(row[9]) if row[9] else None,
                "gaps": json.loads(row[10]) if row[10] else [],
                "completeness": json.loads(row[11]) if row[11] else [],
                "notes": list(dict.fromkeys(notes)),
                "code_version": row[13],
                "loads": row[14],
            }
        )
    return found


def _source(load: dict[str, Any], held: int) -> Iterator[Finding]:
    name = load["source"]
    when = "" if load["finished_at"] is None else f" on {load['finished_at']:%Y-%m-%d %H:%M}Z"
    open_gaps = [gap for gap in load["gaps"] if gap.get("state") != "dead"]
    parts = [
        str(part.get("part")) for part in load["completeness"] if not part.get("complete", True)
    ]
    if load["status"] != "complete":
        yield Finding(
            "source",
            False,
            f"The last load of {name} is {load['status']}: it was not read to its end.",
        )
    elif parts:
        yield Finding(
            "source", False, f"{name} was read{when}, and not to the end of {', '.join(parts[:4])}."
        )
    elif open_gaps:
        yield Finding(
            "source",
            False,
            f"{name} was read{when}, and {_of(len(open_gaps), 'position is', 'positions are')} still open there: events may come that belong before others.",
        )
    elif load["watermark"]:
        yield Finding(
            "source", True, f"{name} was read to its end{when}: complete up to {load['watermark']}."
        )
    else:
        yield Finding(
            "source",
            None,
            f"{name} was read to its end{when}; up to where that is complete, it does not say.",
        )
    if load["rejected"]:
        yield Finding(
            "rejects",
            False,
            f"{_of(load['rejected'], 'record', 'records')} of {name} could not become events, of whatever stream: log.rejects() holds them.",
        )
    else:
        yield Finding("rejects", True, f"Every record of {name} became an event, or repeats one.")
    if load["duplicate"]:
        yield Finding(
            "duplicates",
            True,
            f"{_of(load['duplicate'], 'record', 'records')} of {name} repeat an event; each event is here once.",
        )
    if load["read"] != load["stored"] + load["duplicate"] + load["rejected"]:
        yield Finding(
            "counts", False, f"The counts of {name} do not add up: read {load['read']:,}."
        )
    if held != load["stored"]:
        yield Finding(
            "counts",
            False,
            f"{load['stored']:,} of {name} were stored, and the log holds {held:,}: it was altered by other means than loading.",
        )
    else:
        yield Finding("counts", True, f"All {held:,} that were stored from {name} are in the log.")
    for note in load["notes"]:
        if note.startswith(RECORDED):
            yield Finding("masks", None, f"{name}, {note}. What stood there is not in this log.")


def _open_questions() -> Iterator[Finding]:
    yield Finding(
        "contents",
        None,
        "Whether the events still say what they said: hold the head of the chain against one noted down before, "
        "or read the source again: audit.check(…).",
    )
