"""What a pass over topics can vouch for, partition by partition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

from workbench.sources.base import Report
from workbench.sources.kafka.spans import Span

_SHOWN: Final = 12


def report(
    spans: Sequence[Span],
    reached: Mapping[TopicPartition, int],
    *,
    committed: bool,
    gone: Sequence[str],
) -> Report:
    """Compare how far each partition was read with where it ended.

    Parameters
    ----------
    spans
        What was to be read.
    reached
        Below which offset everything was handed over.
    committed
        Whether open transactions were waited out.
    gone
        Topics of earlier loads that are not among those read.
    """
    now = dt.datetime.now(dt.UTC).isoformat()
    entries: list[dict[str, Any]] = []
    notes = []
    gaps = []
    for span in spans:
        at = reached[span.partition]
        entry = {
            "part": span.label,
            "from": span.start,
            "to": at,
            "end": span.end,
            "log_start": span.first,
            "last_stable": span.stable,
            "high_water": span.high,
            "complete": at >= span.end,
            "note": _note(span, at, committed=committed),
        }
        entries.append(entry)
        if span.stable < span.high and committed:
            notes.append(
                f"{span.label}: {span.high - span.stable:,} offsets from {span.stable:,} on wait for an open "
                "transaction: load again when it has ended, or read them with isolation='read_uncommitted'"
            )
        if span.lost is not None:
            notes.append(f"{span.label}: {span.lost}; skipped, as lost='skip' says")
            gaps.append(
                {"position": span.label, "first_seen": now, "state": "dead", "evidence": span.lost}
            )
    notes += [f"the topic {topic!r} of an earlier load was not read this time" for topic in gone]
    return Report(
        watermark=_watermark(spans, reached),
        gaps=tuple(gaps),
        completeness=tuple(entries),
        notes=tuple(notes),
    )


def _note(span: Span, at: int, *, committed: bool) -> str:
    said = []
    if at < span.end:
        said.append("broken off")
    if span.excluded is not None:
        said.append(f"the first record left for later, by until=, is {span.excluded}")
    if committed and span.stable < span.high:
        said.append("stopped before an open transaction")
    if span.first > 0 and span.start == span.first:
        said.append(f"the broker's copy begins at {span.first}")
    return "; ".join(said)


def _watermark(spans: Sequence[Span], reached: Mapping[TopicPartition, int]) -> str | None:
    if not spans:
        return None
    marks = [f"{span.label}@{reached[span.partition]}" for span in spans[:_SHOWN]]
    more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
    return " ".join(marks) + more
