"""History: every state that a row ever had, with the interval in which it had it."""

from __future__ import annotations

from workbench._sql import ident, literal, text
from workbench.analysis.buckets import choose
from workbench.analysis.definition import Definition, check, history_rows, narrow_to_stream
from workbench.analysis.kept import KeptTable
from workbench.analysis.notes import notes
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Moment, Time, parse_time
from workbench.store.table import Table
from workbench.store.view import View


class History(KeptTable):
    """All states of a definition's rows.

    Columns: the key, ``valid_from`` (inclusive), ``valid_to`` (exclusive; NULL: still so), ``event_type``,
    ``version`` and ``position`` of the event that made the state, the definition's columns, ``events``.
    Times are UTC. A row that ended has no state until its next event. The states of a row follow each other
    without overlap: an event that is earlier than the one before it counts from that one's time. Events that
    say no time on the clock are left out, and a note says how many.
    """

    definition: Definition

    def at(self, time: Time) -> Table:
        """Return all rows as they stood at a time (inclusive)."""
        moment = literal(parse_time(time, "time"))
        sql = f"FROM ({self._query}) WHERE valid_from <= {moment} AND (valid_to IS NULL OR valid_to > {moment})"
        return self._derived(sql, f"{self.definition.name} at {time}")

    def over_time(self, column: str, *, every: str | None = None) -> Table:
        """Sum a column over all rows, as it stood at the end of each bucket of time.

        Parameters
        ----------
        column
            A numeric column of the definition.
        every
            Length of a bucket: ``"1 hour"``, ``"1 day"``; by default a step that gives up to 200 of them.

        Returns
        -------
        Table
            ``moment`` (TIMESTAMPTZ, UTC, ascending: the end of the bucket, or the last change),
            ``total`` (of the column), ``rows`` (how many there were).

        Raises
        ------
        ConfigError
            There is no such column, or ``every`` is no length of time that makes buckets.
        """
        if column not in self.columns:
            message = f"{self.definition.name} has no column {column!r}."
            raise ConfigError(message + did_you_mean(column, self.columns))
        # A state comes in at valid_from and goes out at valid_to: the sum of what came minus what went.
        changes = (
            f"SELECT valid_from AS moment, {ident(column)} AS change, 1 AS row_change FROM states "
            f"WHERE valid_from IS NOT NULL UNION ALL SELECT valid_to, -{ident(column)}, -1 FROM states "
            "WHERE valid_to IS NOT NULL"
        )
        first, last = self._database.rows(
            f"SELECT epoch_us(min(valid_from)), epoch_us(max(greatest(valid_from, valid_to))) FROM ({self._query})"
        )[0]
        step = f"CAST({text(choose(self._database, every, first, last))} AS INTERVAL)"
        sql = f"""
        WITH states AS MATERIALIZED (FROM ({self._query})), changes AS ({changes}),
        buckets AS (SELECT least(time_bucket({step}, moment) + {step}, (SELECT max(moment) FROM changes)) AS moment,
                    sum(change) AS change, sum(row_change) AS row_change FROM changes GROUP BY ALL)
        SELECT moment, sum(change) OVER w AS total, sum(row_change) OVER w AS rows
        FROM buckets WINDOW w AS (ORDER BY moment ROWS UNBOUNDED PRECEDING) ORDER BY moment"""
        return self._derived(sql, f"{column} of {self.definition.name} over time")

    def _derived(self, sql: str, title: str) -> Table:
        table = Table(self._database, sql, title=title)
        table._owner = self  # the rows of this history live as long as what is made from them
        return table


def history(
    view: View,
    definition: Definition,
    moment: Moment,
    *,
    stream: str | None = None,
    only: str | None = None,
) -> History:
    """Return every state of a definition up to a moment, of all rows or of one stream."""
    check(definition)
    scope = narrow_to_stream(view, definition, stream)
    words = "; ".join([*scope.words, str(moment)])
    clock = scope.clock(moment.clock)
    untimed = scope.without_time(clock)
    left_out = []
    if 0 < untimed < scope.count:
        scope = scope.narrowed(f"{clock}_at IS NOT NULL", f"with a time ({clock})")
        left_out = [f"{untimed:,} events do not say when they were {clock}, and are left out"]
    rows = history_rows(definition, scope, moment, only=only)
    result = History.of(
        view.database,
        rows,
        title=f"History of {definition.name}, {words}",
        notes=[*notes(definition, scope, moment, rows.clock), *left_out],
    )
    result.definition = definition
    return result
