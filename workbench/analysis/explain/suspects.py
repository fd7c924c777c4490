"""The rows that are wrong, and the events behind them, numbered: what every search for causes starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench._sql import ident
from workbench.analysis.classify import Classification, rank
from workbench.projections.engines.ordering import Applied, applied


class Suspects:
    """Wrong rows (``wb_k``, from 1) and their events (``wb_n``, from 1 in each row), as tables of the workspace.

    Attributes
    ----------
    table
        ``wb_k``, the key (as text), ``class``, ``checkpoint``, ``equals_position``, and each compared column
        as ``stored_…`` and ``replayed_…``.
    tape
        The events of these rows, in the order in which they apply: ``wb_k``, ``wb_n``, ``wb_life``,
        ``wb_is_end``, ``wb_version`` (of the row), ``position``, ``stream_version``, ``event_type``,
        ``schema_version``, ``moment``, and what a search asked for.
    lengths
        ``wb_k``, ``wb_length``: how many events the stored row claims to have applied (all, where it has no
        checkpoint), ``wb_all``, ``wb_last_end``, and ``wb_stopped``, up to which event a stale row has come.
    """

    def __init__(self, work: Classification, rows: str) -> None:
        self.work = work
        self.database, self.definition = work.database, work.definition
        pairs = ", ".join(
            f"{ident(side + column.name)}"
            for column in work.columns
            for side in ("stored_", "replayed_")
        )
        self.table = self.database.keep(
            f"SELECT row_number() OVER (ORDER BY {rank('class')}, {work.key_list}) AS wb_k, {work.key_list}, class, "
            f"checkpoint, equals_position, {pairs} FROM ({rows}) WHERE class NOT IN ('match', 'ahead')",
            self,
            "suspects",
        )
        self.counts: Mapping[str, int] = dict(
            self.database.rows(f"SELECT class, count(*) FROM {self.table} GROUP BY ALL")
        )

    def events(self, columns: Mapping[str, str], table: str | None = None) -> Applied:
        """Select the events of these rows (or of those in another table), with columns that a search needs."""
        definition = self.definition
        return applied(
            self.work.view,
            key=definition.key,
            types=definition.types,
            named=definition.types if definition.types is not None else definition.named,
            stream_type=definition.stream_type,
            moment=self.work.moment,
            columns={"wb_schema": "schema_version", **columns},
            only=f"SELECT {self.work.key_list} FROM {table or self.table}",
        )

    def numbered(self, events: Applied, table: str, extra: Sequence[str] = ()) -> str:
        """Write a query for the events of the rows in a table, numbered in each row."""
        same = " AND ".join(
            f"CAST(e.{ident(name)} AS VARCHAR) = s.{ident(name)}" for name in self.work.keys
        )
        is_end = events.is_one_of(self.definition.ends) if self.definition.ends else "FALSE"
        own = "".join(f", {column}" for column in extra)
        numbered = (
            f"SELECT s.wb_k, row_number() OVER (PARTITION BY s.wb_k ORDER BY e.ord) AS wb_n, e.position, e.stream_version, "
            f"e.event_type, e.wb_schema AS schema_version, e.moment, {is_end} AS wb_is_end{own} "
            f"FROM ({events.sql}) e JOIN {table} s ON {same}"
        )
        life = (
            "coalesce(sum(wb_is_end::INTEGER) OVER (PARTITION BY wb_k ORDER BY wb_n ROWS BETWEEN UNBOUNDED PRECEDING "
            "AND 1 PRECEDING), 0)"
            if self.definition.ends
            else "0"
        )
        return f"SELECT *, {life} AS wb_life FROM ({numbered})"

    def lay_out(self, events: Applied, extra: Sequence[str] = ()) -> None:
        """Keep the events of these rows, numbered."""
        version = (
            "stream_version"
            if self.definition.by_stream
            else "count(*) OVER (PARTITION BY wb_k, wb_life ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
        )
        self.tape = self.database.keep(
            f"SELECT *, {version} AS wb_version FROM ({self.numbered(events, self.table, extra)})",
            self,
            "tape",
        )
        unit = {"version": "wb_version", "position": "position", None: "NULL"}[self.work.unit]
        claimed = (
            "CASE WHEN any_value(s.class) IN ('corrupted', 'orphaned') AND any_value(s.checkpoint) IS NOT NULL "
            f"THEN coalesce(max(wb_n) FILTER (WHERE {unit} <= s.checkpoint), 0) ELSE coalesce(max(wb_n), 0) END"
        )
        self.lengths = self.database.keep(
            f"SELECT *, coalesce((SELECT max(wb_n) FROM {self.tape} t WHERE t.wb_k = l.wb_k AND t.wb_is_end "
            "AND t.wb_n <= l.wb_length), 0) AS wb_last_end FROM (SELECT s.wb_k, any_value(s.class) AS class, "
            f"any_value(s.checkpoint) AS checkpoint, {claimed} AS wb_length, coalesce(max(wb_n), 0) AS wb_all, "
            "CASE WHEN any_value(s.class) = 'stale' THEN coalesce(max(wb_n) FILTER (WHERE t.position = s.equals_position), 0) END "
            f"AS wb_stopped FROM {self.table} s LEFT JOIN {self.tape} t USING (wb_k) GROUP BY s.wb_k) l",
            self,
            "lengths",
        )
