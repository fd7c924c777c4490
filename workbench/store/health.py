"""Health: what is in a log, and what an auditor should worry about, on one card."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Any

from workbench import _html
from workbench.store.view import EVENTS, View


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """One source, as its last load left it; the counts are of all its loads."""

    source: str
    kind: str
    status: str
    loaded_at: dt.datetime | None
    read: int
    stored: int
    duplicate: int
    rejected: int
    watermark: str | None
    open_gaps: int
    incomplete: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a log.

    Attributes
    ----------
    events, streams
        Numbers.
    types
        Event type -> number of events.
    first, last
        Range of time (UTC) on ``clock``.
    version_gaps
        Versions missing inside streams (between a stream's first and last).
    late_starts
        Streams whose first version in the log is above 1: their beginning is not here.
    version_clashes
        Events that share their stream and version with another.
    clock_regressions
        Events that are earlier on ``clock`` than the one before them in their stream.
    untimed, unversioned, uncorrelated
        Events without a time on ``clock``, a version, a correlation id.
    duplicates, rejects
        Records that said again what the log had; records that could not become events.
    dead_letters
        Messages that consumers gave up.
    """

    label: str
    events: int
    streams: int
    types: dict[str, int]
    clock: str
    first: dt.datetime | None
    last: dt.datetime | None
    version_gaps: int
    late_starts: int
    version_clashes: int
    clock_regressions: int
    untimed: int
    unversioned: int
    uncorrelated: int
    duplicates: int
    rejects: int
    sources: tuple[SourceHealth, ...]
    dead_letters: int = 0

    @property
    def concerns(self) -> list[str]:
        """What a reader should know before trusting an answer, in sentences; empty: nothing found."""
        found = []
        if self.version_gaps:
            found.append(
                f"{self.version_gaps:,} versions are missing inside streams: log.gaps() lists them"
            )
        if self.version_clashes:
            found.append(
                f"{self.version_clashes:,} events share their stream and version with another"
            )
        if self.late_starts:
            found.append(f"{self.late_starts:,} streams do not begin at their first version")
        if self.clock_regressions:
            found.append(
                f"{self.clock_regressions:,} events are earlier ({self.clock}) than the one before them in their stream"
            )
        if self.untimed:
            found.append(f"{self.untimed:,} events do not say when they were {self.clock}")
        if self.unversioned:
            found.append(
                f"{self.unversioned:,} events have no version: their order is that of loading"
            )
        if self.rejects:
            found.append(
                f"{self.rejects:,} records were rejected: log.rejects() shows them with their bytes"
            )
        for source in self.sources:
            if source.status != "complete":
                found.append(
                    f"the last load of {source.source} is {source.status}: run it again, it goes on"
                )
            if source.open_gaps:
                found.append(
                    f"{source.source} has {source.open_gaps:,} open gaps: load again later, they are read again"
                )
            found += [f"{source.source}: {part} is not complete" for part in source.incomplete]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**asdict(self), "concerns": self.concerns}

    @property
    def _title(self) -> str:
        return f"Log {self.label.removeprefix('a log ')}"

    def _facts(self) -> list[tuple[str, str]]:
        span = "no events"
        if self.first is not None and self.last is not None:
            span = f"{_html.visible(self.first)} to {_html.visible(self.last)} ({self.clock})"
        kinds = ", ".join(f"{name} {count:,}" for name, count in list(self.types.items())[:8])
        more = f", and {len(self.types) - 8} more" if len(self.types) > 8 else ""
        return [
            (
                "events",
                f"{self.events:,} in {self.streams:,} stream{'' if self.streams == 1 else 's'}",
            ),
            ("time", span),
            ("types", f"{kinds}{more}" or "none"),
            (
                "order",
                f"{self.version_gaps:,} version gaps, {self.version_clashes:,} clashes, {self.clock_regressions:,} clock regressions",
            ),
            ("loading", f"{self.duplicates:,} duplicates, {self.rejects:,} rejects"),
            *([("dead letters", f"{self.dead_letters:,}")] if self.dead_letters else []),
        ]

    def _source_rows(self) -> list[list[object]]:
        return [
            [
                item.source,
                item.status,
                f"{item.stored:,}",
                f"{item.duplicate:,}",
                f"{item.rejected:,}",
                item.watermark or "unknown",
                f"{item.open_gaps:,}",
            ]
            for item in self.sources
        ]

    def __repr__(self) -> str:
        lines = [_html.line(self._title)]
        lines += [f"  {name:<8} {_html.line(value)}" for name, value in self._facts()]
        if self.sources:
            table = _html.text_table(_SOURCE_COLUMNS, self._source_rows(), numeric=_SOURCE_NUMERIC)
            lines += ["  " + line for line in table.splitlines()]
        else:
            lines.append(
                "  nothing is loaded yet: log.load(wb.files('datasets/bank/events.parquet'))"
            )
        lines += [f"  ! {_html.line(concern)}" for concern in self.concerns]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = _html.facts(self._facts())
        if self.sources:
            body += _html.table(_SOURCE_COLUMNS, self._source_rows(), numeric=_SOURCE_NUMERIC)
        else:
            body += _html.note(
                "Nothing is loaded yet: log.load(wb.files('datasets/bank/events.parquet'))"
            )
        body += "".join(_html.warning(concern) for concern in self.concerns)
        return _html.card(self._title, body)


_SOURCE_COLUMNS = [
    "source",
    "status",
    "stored",
    "duplicate",
    "rejected",
    "complete up to",
    "open gaps",
]
_SOURCE_NUMERIC = [False, False, True, True, True, False, True]


def health(view: View) -> Health:
    """Examine a log, or a narrowed view of it (loading is then told of the whole file)."""
    clock = view.clock(None) if view.count else "recorded"
    # One pass in the order of each stream. Versions and times are compared with the row before.
    order = view.rows(
        f"""SELECT count(DISTINCT stream_id), min(moment), max(moment),
            coalesce(sum(version - before - 1) FILTER (version > before + 1), 0), count(*) FILTER (version = before),
            count(*) FILTER (before IS NULL AND version > 1), count(*) FILTER (moment < moment_before),
            count(*) FILTER (moment IS NULL), count(*) FILTER (version IS NULL), count(*) FILTER (correlation_id IS NULL)
        FROM (SELECT stream_id, version, correlation_id, {clock}_at AS moment,
                lag(version) OVER w AS before, lag({clock}_at) OVER w AS moment_before
              FROM {EVENTS} WHERE {view.filter} WINDOW w AS (PARTITION BY stream_id ORDER BY version, position))"""
    )[0]
    duplicates, rejects, dead_letters = view.rows(
        "SELECT (SELECT count(*) FROM log.main.duplicates), (SELECT count(*) FROM log.main.rejects), "
        "(SELECT count(*) FROM log.main.dead_letters)"
    )[0]
    return Health(
        view.database.label + (f" where {'; '.join(view.words)}" if view.words else ""),
        view.count,
        int(order[0]),
        view.types,
        clock,
        _utc(order[1]),
        _utc(order[2]),
        int(order[3]),
        int(order[5]),
        int(order[4]),
        int(order[6]),
        int(order[7]),
        int(order[8]),
        int(order[9]),
        int(duplicates),
        int(rejects),
        _sources(view),
        int(dead_letters),
    )


def _sources(view: View) -> tuple[SourceHealth, ...]:
    rows = view.rows(
        "SELECT source, arg_max(kind, load_id), arg_max(status, load_id), arg_max(finished_at, load_id), "
        "sum(read)::BIGINT, sum(stored)::BIGINT, sum(duplicate)::BIGINT, sum(rejected)::BIGINT, "
        "arg_max(watermark, load_id), coalesce(arg_max(gaps, load_id), '[]'), "
        "coalesce(arg_max(completeness, load_id), '[]'), coalesce(arg_max(notes, load_id), '[]') "
        "FROM log.main.loads GROUP BY source ORDER BY min(load_id)"
    )
    found = []
    for row in rows:
        gaps = [gap for gap in json.loads(row[9]) if gap.get("state") != "dead"]
        parts = tuple(
            str(part.get("part")) for part in json.loads(row[10]) if not part.get("complete", True)
        )
        found.append(
            SourceHealth(
                source=row[0],
                kind=row[1],
                status=row[2],
                loaded_at=_utc(row[3]),
                read=row[4],
                stored=row[5],
                duplicate=row[6],
                rejected=row[7],
                watermark=row[8],
                open_gaps=len(gaps),
                incomplete=parts,
                notes=tuple(json.loads(row[11])),
            )
        )
    return tuple(found)


def _utc(value: dt.datetime | None) -> dt.datetime | None:
    return None if value is None else value.astimezone(dt.UTC)
