"""Forensics: events that became visible after a reader may have passed their position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench import _html
from workbench._sql import ident, text
from workbench.analysis.explain import Explanation, causes
from workbench.analysis.explain.words import counted
from workbench.errors import ConfigError
from workbench.sources.base import Source
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.sources.postgres.forensics import Commits


class LateCommits(Table):
    """Events that were committed after an event of a higher position was: a reader at ``position > last`` may have missed them.

    Columns: ``source_position`` (the source's own number); ``position``, ``stream_id``, ``version``, ``event_type``
    (in the log; NULL where it has not been loaded); ``committed_at``; ``passed_at``, when the first event of a higher
    position was committed, and ``passed_by``, that position; ``passable``, for how long a reader could pass
    it; ``transaction``, its number. Times are UTC, by the server's clock. In the order of the source.

    Attributes
    ----------
    known
        Whether the server keeps commit timestamps; without them there are no rows, and nothing is claimed.
    events
        How many events were looked at.
    unknown
        Of these, how many have no timestamp any more (frozen, or written before it was switched on).
    """

    known: bool
    events: int
    unknown: int

    def missed_by(self, explanation: Explanation) -> Table:
        """Return those that a wrong row lacks: the late commit is then what its skipping came from.

        Columns: those above, and ``cause`` and the key of the row.
        """
        keys = ", ".join(f"e.{name}" for name in map(ident, explanation.diff.definition.key))
        sql = (
            f"SELECT l.*, e.cause, {keys} FROM ({self._query}) l JOIN (SELECT *, unnest(positions) AS lacking "
            f"FROM ({explanation._query}) WHERE cause IN ({text(causes.SKIPPED)}, {text(causes.RUN_SKIPPED)}, "
            f"{text(causes.NOT_WRITTEN)}, {text(causes.STOPPED)})) e ON e.lacking = l.position ORDER BY l.source_position"
        )
        table = Table(self._database, sql, title="Late commits that rows lack")
        table._owner = (self, explanation)
        return table

    def __repr__(self) -> str:
        return "\n".join([f"{_html.line(self.title)}: {self._said()}", *self._body()])

    def _repr_html_(self) -> str:
        whole = super()._repr_html_() if self.known and len(self) else ""
        return (
            _html.card(self.title, "".join(map(_html.note, self.notes)), subtitle=self._said())
            + whole
        )

    def _said(self) -> str:
        if not self.known:
            return "cannot be known"
        return f"{counted(len(self), 'event')} of {self.events:,} became visible late"

    def _body(self) -> list[str]:
        rows = (
            super().__repr__().splitlines()[1:]
            if self.known and len(self)
            else [f"  {one}" for one in self.notes]
        )
        return [_html.line(line) for line in rows]


def late_commits(view: View, source: Source, first: int | None, last: int | None) -> LateCommits:
    """Find the events of a Postgres source that were committed after one of a higher position was.

    Raises
    ------
    ConfigError
        The source is no event table in Postgres.
    SourceUnavailable
        The server cannot be reached.
    """
    if source.kind != "postgres":
        message = f"{source.name} is no table in Postgres: only there commits have timestamps."
        raise ConfigError(
            message, hint="give log.late_commits what log.load was given: wb.postgres(…)"
        )
    from workbench.sources.postgres.forensics import commits
    from workbench.sources.postgres.source import Postgres

    assert isinstance(source, Postgres)
    found = commits(source, first, last)
    result = LateCommits(
        view.database,
        "-- read from the server",
        title=f"Late commits in {source.name}",
        notes=_notes(found),
    )
    kept = view.database.keep_arrow(found.rows, result, "commits")
    result.known = found.tracked
    result.events, result.unknown = view.rows(
        f"SELECT count(*), count(*) - count(committed_at) FROM {kept}"
    )[0]
    if result.unknown:
        result.notes += (
            f"{result.unknown:,} of {counted(result.events, 'event')} have no commit timestamp: they were frozen, or written before "
            "track_commit_timestamp was on; about these nothing is known",
        )
    ahead = "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
    prefix = text(found.label + "/")
    sql = (
        f"SELECT c.position AS source_position, e.position, e.stream_id, e.version, e.event_type, c.committed_at, c.passed_at, "
        "c.passed_by, c.committed_at - c.passed_at AS passable, c.transaction FROM (SELECT *, "
        f"min(committed_at) OVER (ORDER BY position {ahead}) AS passed_at, "
        f"arg_min(position, committed_at) OVER (ORDER BY position {ahead}) AS passed_by FROM {kept}) c "
        f"LEFT JOIN (FROM {EVENTS} WHERE source = {text(source.name)}) e ON e.source_position = {prefix} || c.position "
        "WHERE c.passed_at < c.committed_at ORDER BY c.position"
    )
    result._stored = view.database.keep(sql, result, "late")
    return result


def _notes(found: Commits) -> list[str]:
    if not found.tracked:
        return [
            "track_commit_timestamp is off on this server, so it keeps no commit times: in which order transactions became "
            "visible cannot be known, now or later, and no event is named",
            "switch it on (it wants a restart) to know it of what is written from then on",
        ]
    return [
        "a row that was rewritten since (UPDATE, a masking) has the time of that; times are those of the server's clock"
    ]
