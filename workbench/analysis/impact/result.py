"""The result of an impact analysis."""

from __future__ import annotations

from typing import Final

from workbench import _html
from workbench._sql import ident, text
from workbench.analysis.buckets import choose
from workbench.analysis.definition import Definition
from workbench.errors import ConfigError, did_you_mean
from workbench.store.table import Table

CLASSES: Final = ("changed", "added", "removed", "passing")
_LISTED: Final = 8


class Impact(Table):
    """The rows that differ between two definitions, two sets of upcasters, or a log and a fork of it.

    Columns: the key; ``class``; ``columns``, those that differ at the end of the log; the event from which on
    the row differed for the first time (``first_position``, ``first_version``, ``first_event_type``,
    ``first_at``, UTC); ``since_position`` and ``since``, from which on it has differed until now (NULL when
    passing); ``states_apart`` of its ``states``; then each compared column twice, as ``before_…`` and
    ``after_…`` (NULL where there is no row). Ordered by class, then by ``first_position``.

    Classes: ``changed`` (the row is on both sides, and differs), ``added`` (only after), ``removed`` (only
    before), ``passing`` (it differed for a time, and is the same at the end).

    Attributes
    ----------
    definition
        The definition (after).
    compared
        The columns that both sides have.
    of_rows
        How many rows there are at the end of the log, after.
    """

    definition: Definition
    compared: tuple[str, ...]
    of_rows: int

    def summary(self) -> Table:
        """Count rows by class: ``class``, ``rows``, ``first_position``, ``first_at``; all classes."""
        values = ", ".join(f"({index}, {text(name)})" for index, name in enumerate(CLASSES))
        sql = (
            "SELECT class, count(i.class) AS rows, min(first_position) AS first_position, min(first_at) AS first_at "
            f"FROM (VALUES {values}) c(n, class) LEFT JOIN ({self._query}) i USING (class) GROUP BY n, class ORDER BY n"
        )
        return self._derived(sql, f"Classes: {self.title}")

    @property
    def counts(self) -> dict[str, int]:
        """Class -> number of rows."""
        return {row["class"]: row["rows"] for row in self.summary().rows()}

    def of(self, *classes: str) -> Table:
        """Return the rows of some classes."""
        for name in classes:
            if name not in CLASSES:
                message = f"there is no class {name!r}."
                raise ConfigError(message + did_you_mean(name, CLASSES))
        listed = ", ".join(map(text, classes))
        return self._derived(
            f"FROM ({self._query}) WHERE class IN ({listed})", f"{', '.join(classes)}: {self.title}"
        )

    def by_column(self) -> Table:
        """Count changed rows by column: ``column_name``, ``changed``, ``first_position``, ``first_at``."""
        sql = (
            "SELECT column_name, count(*) AS changed, min(first_position) AS first_position, min(first_at) AS first_at "
            f"FROM (SELECT unnest(columns) AS column_name, first_position, first_at FROM ({self._query})) "
            "GROUP BY ALL ORDER BY changed DESC, column_name"
        )
        return self._derived(sql, f"Columns that differ: {self.title}")

    def by_event_type(self) -> Table:
        """Count rows by the type of the event from which on they differ: ``first_event_type``, ``rows``."""
        sql = f"SELECT first_event_type, count(*) AS rows FROM ({self._query}) GROUP BY ALL ORDER BY rows DESC, 1"
        return self._derived(sql, f"Events from which on rows differ: {self.title}")

    def over_time(self, *, every: str | None = None) -> Table:
        """Count the rows that have come to differ up to the end of each bucket of time.

        Returns
        -------
        Table
            ``moment`` (UTC: the end of the bucket), ``class``, ``differing`` (rows that had begun to differ).
        """
        first, last = self._run(
            f"SELECT epoch_us(min(first_at)), epoch_us(max(first_at)) FROM ({self._query})"
        ).fetchall()[0]
        step = f"INTERVAL {text(choose(self._database, every, first, last))}"
        sql = (
            "WITH counted AS (SELECT time_bucket("
            + step
            + ", make_timestamp(epoch_us(first_at))) AS start, class, "
            f"count(*) AS n FROM ({self._query}) WHERE first_at IS NOT NULL GROUP BY ALL), "
            f"starts AS (SELECT unnest(generate_series(min(start), max(start), {step})) AS start FROM counted) "
            f"SELECT make_timestamptz(epoch_us(start + {step})) AS moment, class, "
            "CAST(sum(coalesce(n, 0)) OVER (PARTITION BY class ORDER BY start ROWS UNBOUNDED PRECEDING) AS BIGINT) AS differing "
            "FROM starts CROSS JOIN (SELECT DISTINCT class FROM counted) LEFT JOIN counted USING (start, class) "
            f"ORDER BY moment, list_position([{', '.join(map(text, CLASSES))}], class)"
        )
        return self._derived(sql, f"Rows that differ, over time: {self.title}")

    def __repr__(self) -> str:
        counts = self.counts
        lines = [_html.line(f"{self.title} — {self._subtitle()}")]
        lines.append(
            "  " + "   ".join(f"{name} {counts[name]:,}" for name in CLASSES if counts[name])
        )
        names, numeric, rows = self._first()
        if rows:
            lines.append(_html.text_table(names, rows, numeric=numeric))
        return "\n".join(
            [line for line in lines if line.strip()]
            + [*map(_html.line, [*self._rest(), *self.notes])]
        )

    def _repr_html_(self) -> str:
        counts = self.counts
        body = _html.table(
            ["class", "rows"],
            [[name, f"{counts[name]:,}"] for name in CLASSES if counts[name]],
            numeric=[False, True],
        )
        names, numeric, rows = self._first()
        if rows:
            body += _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(line) for line in [*self._rest(), *self.notes])
        return _html.card(self.title, body, subtitle=self._subtitle())

    def _subtitle(self) -> str:
        differing = sum(self.counts.values())
        if not differing:
            return f"none of {self.of_rows:,} rows differs"
        return f"{differing:,} rows differ; there are {self.of_rows:,}"

    def _first(self) -> tuple[list[str], list[bool], list[tuple[object, ...]]]:
        keys = list(self.definition.key)
        keyed = ", ".join(map(ident, keys))
        names = [*keys, "class", "columns", "first_position", "first_event_type", "first_at"]
        rows = self._run(
            f"SELECT {keyed}, class, array_to_string(columns, ', '), first_position, first_event_type, "
            f"date_trunc('second', first_at) FROM ({self._query}) LIMIT {_LISTED}"
        ).fetchall()
        return names, [False] * len(keys) + [False, False, True, False, False], rows

    def _rest(self) -> list[str]:
        more = sum(self.counts.values()) - _LISTED
        return [f"{more:,} more; .df() has them"] if more > 0 else []

    def _derived(self, sql: str, title: str) -> Table:
        table = Table(self._database, sql, title=title)
        table._owner = self
        return table
