"""Audit: who did what, when and why, whether the record is complete, and how to see that it was altered."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Final

from workbench import _html
from workbench._sql import json_text
from workbench.analysis.audit.chain import Head, Heads, chain
from workbench.analysis.audit.check import Check, check
from workbench.analysis.audit.completeness import Completeness, Counts, completeness
from workbench.analysis.audit.pack import Pack, pack
from workbench.analysis.definition import Definition
from workbench.moments import Clock
from workbench.sources.base import Source
from workbench.store.fields import field
from workbench.store.masks import Mask
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

REASONS: Final = ("reason", "metadata.reason", "metadata.comment")
"""Where reasons are looked for; the first that is there counts."""

AT_ONCE: Final = 200_000
"""Up to so many events the head of the chain is on the card; for more it is computed when asked for."""


class Audit(Table):
    """The events of a log as a record to be examined: one stream by version, several in the order of the log.

    Columns: ``position``, ``stream_id``, ``version``, ``occurred_at`` and ``recorded_at`` (TIMESTAMPTZ,
    UTC), ``event_type``, ``actor``, ``reason`` (VARCHAR; NULL: none is given), ``missing_before`` (BIGINT:
    versions of the stream that are missing before this one; 0: none; NULL: it has no version), ``clash``
    (BOOLEAN: another event of the stream has this version), ``backwards`` (BOOLEAN: earlier, on ``clock``,
    than the one before it in its stream), ``correlation_id``, ``causation_id``, ``event_id``, ``source``,
    ``source_position``.

    Attributes
    ----------
    stream
        The stream, where it is one.
    clock
        The clock that times are compared on.
    counts
        What one pass over the events found.
    completeness
        What can be vouched for, and what cannot.
    reasons
        The fields in which reasons are looked for.
    """

    stream: str | None
    clock: Clock
    counts: Counts
    completeness: Completeness
    reasons: tuple[str, ...]
    _view: View

    @cached_property
    def heads(self) -> Heads:
        """The head of the hash chain of each stream, computed once."""
        return chain(self._view)

    @property
    def head(self) -> Head:
        """The head over all events here. Noted down, it shows later whether anything was altered."""
        return self.heads.head

    def gaps(self) -> Table:
        """List where versions are missing: ``stream_id``, ``after_version``, ``before_version``, ``missing``."""
        return self.query(
            "SELECT stream_id, version - missing_before - 1 AS after_version, version AS before_version, "
            "missing_before AS missing FROM result WHERE missing_before > 0 ORDER BY stream_id, before_version",
            title="Missing versions",
        )

    def check(
        self, against: Source | Head | str | Path, *, mask: str | Mask | Iterable[str | Mask] = ()
    ) -> Check:
        """Hold these events against their source, against a head noted down before, or against a pack.

        Parameters
        ----------
        against
            A source: it is read again from the start, and compared event by event. A head
            (``"120-120-5f0c…"``): the chain is computed anew up to its position. The folder of a pack: the
            same, and what differs is named.
        mask
            For a source that was loaded with masks: the same masks.

        Returns
        -------
        Check
            One row for each event that was changed, is missing or was added; ``.ok``.
        """
        return check(self._view, against, mask=mask)

    def pack(
        self,
        folder: str | Path,
        definition: Definition | None = None,
        *,
        mask: str | Mask | Iterable[str | Mask] = (),
    ) -> Pack:
        """Write an evidence pack: events, hashes, states, a page to read, and a manifest.

        Parameters
        ----------
        folder
            Made; it must not be there, or be empty.
        definition
            A Projection or Fold whose states at the end of these events belong to the evidence.
        mask
            Fields that are masked in all of it, as in :meth:`~workbench.EventLog.load`.

        Returns
        -------
        Pack
            ``.seal`` is to be noted down apart from the pack. ``wb.verify(folder)`` checks it.
        """
        return pack(self, folder, definition, mask=mask)

    # -- looking ---------------------------------------------------------------------------------

    def _facts(self) -> list[tuple[str, str]]:
        span = "no event says when it was"
        if self.counts.first is not None:
            span = f"{_html.visible(self.counts.first)} to {_html.visible(self.counts.last)} ({self.clock})"
        head = str(self.head) if self.counts.events <= AT_ONCE else ".head computes it"
        return [("time", span), ("head", head)]

    def _subtitle(self) -> str:
        events, streams = self.counts.events, self.counts.streams
        return f"{events:,} event{'' if events == 1 else 's'} in {streams:,} stream{'' if streams == 1 else 's'}"

    def __repr__(self) -> str:
        names, numeric, rows, count = self._preview()
        lines = [_html.line(f"{self.title} — {self._subtitle()}")]
        lines += [f"  {name}  {_html.line(value)}" for name, value in self._facts()]
        lines += [f"  {_html.line(sentence)}" for sentence in self.completeness.sentences]
        lines.append(_html.text_table(names, rows, numeric=numeric))
        lines.extend(_html.line(note) for note in [self._more(count), *self.notes] if note)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names, numeric, rows, count = self._preview()
        body = _html.facts(self._facts())
        for item, sentence in zip(
            self.completeness.findings, self.completeness.sentences, strict=True
        ):
            body += _html.warning(item.finding) if item.vouched is False else _html.note(sentence)
        body += _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(line) for line in [self._more(count), *self.notes] if line)
        return _html.card(self.title, body, subtitle=self._subtitle())

    def _preview(self) -> tuple[list[str], list[bool], list[tuple[object, ...]], int]:
        """Show who, what, when and why; the ids are in the rows."""
        shown = ["version", self.clock + "_at", "event_type", "actor", "reason", "missing_before"]
        if self.stream is None:
            shown.insert(0, "stream_id")
        found = self.query(f"SELECT {', '.join(shown)} FROM result LIMIT 10").rows()
        numeric = [name in ("version", "missing_before") for name in shown]
        return shown, numeric, [tuple(row.values()) for row in found], self.counts.events


def audit(
    view: View,
    stream: str | None = None,
    *,
    reason: str | Iterable[str] = REASONS,
    clock: Clock | None = None,
) -> Audit:
    """Examine a stream, or the events of a view.

    Parameters
    ----------
    view
        The events.
    stream
        Only this stream.
    reason
        The fields that say why; of several, the first that is there counts.
    clock
        The clock that times are compared on; by default the one on which the log knows more events.

    Raises
    ------
    StreamNotFound
        There is no such stream.
    """
    if stream is not None:
        view.require_stream(stream)
        view = view.where(stream=stream)
    chosen = view.clock(clock)
    reasons = (reason,) if isinstance(reason, str) else tuple(reason)
    why = [_reason(name) for name in reasons]
    reason_sql = f"coalesce({', '.join(why)})" if why else "CAST(NULL AS VARCHAR)"
    of = stream if stream is not None else "; ".join(view.words) or view.database.label
    order = "version, position" if stream is not None else "position"
    result = Audit(
        view.database,
        f"{_rows_sql(view, reason_sql, chosen)} ORDER BY {order}",
        title=f"Audit of {of}",
    )
    result._view, result.stream, result.clock, result.reasons = view, stream, chosen, reasons
    result.counts = _counts(view, reason_sql, chosen)
    result.completeness = completeness(view, result.counts, chosen)
    lacking = result.counts.without_reason
    if lacking:
        result.notes = (f"{lacking:,} of {result.counts.events:,} events give no reason",)
    return result


def _reason(name: str) -> str:
    found = field(name)
    return (
        json_text(found.column, found.path) if found.path else f"CAST({found.raw_sql} AS VARCHAR)"
    )


def _order_sql(view: View, clock: str) -> str:
    """Put the events of the streams in order, without their payloads.

    Neighbours are those in the log: a narrowed view must not make gaps that are none.
    """
    streams = (
        f" SEMI JOIN (SELECT stream_id FROM {EVENTS} WHERE {view.filter}) USING (stream_id)"
        if view.conditions
        else ""
    )
    return (
        "SELECT position AS wb_position, stream_id AS wb_stream, version AS wb_version, "
        f"{clock}_at AS wb_time, lag(version) OVER w AS wb_before, lead(version) OVER w AS wb_after, "
        f"lag({clock}_at) OVER w AS wb_time_before, row_number() OVER w = 1 AS wb_first "
        f"FROM {EVENTS}{streams} WINDOW w AS (PARTITION BY stream_id ORDER BY version, position)"
    )


_MISSING: Final = "greatest(wb_version - 1 - CASE WHEN wb_first THEN 0 ELSE wb_before END, 0)"
_CLASH: Final = "coalesce(wb_version = wb_before OR wb_version = wb_after, FALSE)"
_BACKWARDS: Final = "coalesce(wb_time < wb_time_before, FALSE)"


def _rows_sql(view: View, reason: str, clock: str) -> str:
    return (
        f"SELECT position, stream_id, version, occurred_at, recorded_at, event_type, actor, {reason} AS reason, "
        f"{_MISSING} AS missing_before, {_CLASH} AS clash, {_BACKWARDS} AS backwards, correlation_id, causation_id, "
        f"event_id, source, source_position FROM {EVENTS} JOIN ({_order_sql(view, clock)}) ON wb_position = position "
        f"WHERE {view.filter}"
    )


def _counts(view: View, reason: str, clock: str) -> Counts:
    chosen = (
        f" SEMI JOIN (SELECT position FROM {EVENTS} WHERE {view.filter}) ON wb_position = position"
        if view.conditions
        else ""
    )
    row = view.rows(
        "SELECT count(*), count(DISTINCT wb_stream), min(wb_time), max(wb_time), coalesce(max(wb_position), 0), "
        "coalesce(sum(missing) FILTER (NOT wb_first), 0)::BIGINT, count(*) FILTER (missing > 0 AND NOT wb_first), "
        "count(DISTINCT wb_stream) FILTER (missing > 0 AND NOT wb_first), count(*) FILTER (missing > 0 AND wb_first), "
        f"count(*) FILTER ({_CLASH}), count(*) FILTER (wb_version IS NULL), count(*) FILTER ({_BACKWARDS}), "
        f"count(*) FILTER (wb_time IS NULL) FROM (SELECT *, {_MISSING} AS missing FROM ({_order_sql(view, clock)}){chosen})"
    )[0]
    said = view.rows(
        f"SELECT count(*) FILTER (actor IS NULL), count(*) FILTER ({reason} IS NULL) FROM {EVENTS} WHERE {view.filter}"
    )[0]
    return Counts(*row, *said)
