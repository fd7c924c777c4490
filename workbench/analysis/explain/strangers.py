"""Rows that were rebuilt on the state of another row: searched among all rows of the log, so it comes last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workbench._sql import DECIMAL, ident, text
from workbench.analysis.definition import history_rows
from workbench.analysis.explain import causes
from workbench.analysis.explain.halves import Halves
from workbench.projections.columns import Aggregate
from workbench.projections.engines.pieces import Piece

MOST: Final = 1_000
"""So many states of other rows are tried for one row."""


class Strangers:
    """The search over one projection's halves, for rows that nothing else explains."""

    def __init__(self, halves: Halves) -> None:
        self.halves, self.suspects = halves, halves.suspects
        self.database = halves.database
        self.cut: list[str] = []
        """Tables of the rows (``wb_k``) for which more states came into question than were tried."""

    def run(self, left: str) -> Iterator[str]:
        """Search; return queries for hypotheses."""
        halves, side, suspects = self.halves, self.halves.side, self.suspects
        open_ = f"(FROM {left} WHERE class = 'corrupted' AND wb_length > 0)"
        if not halves.keys or not self.database.rows(f"SELECT 1 FROM {open_} LIMIT 1"):
            return
        # What another row's state has to come to, for the rest of the row's own events to lead to the stored one.
        needed = "".join(
            f", TRY(y.key_{index} + {halves.base(column)}) AS needed_{index}"
            for index, column in enumerate(halves.keys)
        )
        wanted = self.database.keep(
            f"SELECT y.wb_k, y.i{needed} FROM {side.after} y JOIN {open_} l USING (wb_k) WHERE y.i > 0 AND y.i < l.wb_length",
            self,
            "wanted",
        )
        work = suspects.work
        states = history_rows(halves.projection, work.view, work.moment, ends=True).sql
        same = " AND ".join(
            f"CAST(h.{ident(column.name)} AS {DECIMAL}) = w.needed_{index}"
            for index, column in enumerate(halves.keys)
        )
        # What comes first in a row comes from the snapshot, where that has anything.
        firsts = "".join(
            f" AND (h.{ident(column.name)} IS NULL OR {column.equal_sql('s.' + ident('stored_' + column.name), 'h.' + ident(column.name))})"
            for column in halves.columns
            if isinstance(own := halves.projection.columns[column.name], Aggregate)
            and own.kind == "first"
        )
        keys = ", ".join(f"CAST(h.{ident(name)} AS VARCHAR) AS {ident(name)}" for name in work.keys)
        matched = self.database.keep(
            f"SELECT w.wb_k AS own_k, w.i, {keys} FROM ({states}) h JOIN {wanted} w ON h.nth = w.i AND {same} "
            f"JOIN {suspects.table} s ON s.wb_k = w.wb_k WHERE NOT h.is_end{firsts} QUALIFY row_number() OVER (PARTITION BY w.wb_k ORDER BY w.i, h.position) <= {MOST}",
            self,
            "matched",
        )
        self.cut.append(
            self.database.keep(
                f"SELECT own_k AS wb_k FROM {matched} GROUP BY own_k HAVING count(*) >= {MOST}",
                halves,  # it outlives this search
                "cut",
            )
        )
        others = self.database.keep(
            f"SELECT row_number() OVER (ORDER BY {work.key_list}) AS wb_k, * FROM (SELECT DISTINCT {work.key_list} FROM {matched})",
            self,
            "others",
        )
        events = suspects.events(halves.reading.columns, others)
        units = self.database.keep(
            suspects.numbered(events, others, halves.pieces.units()), self, "units"
        )
        before = self.database.keep(
            f"SELECT wb_k, wb_n AS i, wb_n AS ev, {', '.join(halves.pieces.before())} FROM {units}",
            self,
            "before",
        )
        lists = halves.with_lists(side, "w")
        if halves.pieces.has_lists:
            whole = self.database.keep(halves.pieces.lists(units), self, "lists")
            lists += f" LEFT JOIN {whole} w2 ON w2.wb_k = o.wb_k"
        is_other = " OR ".join(f"o.{ident(name)} <> s.{ident(name)}" for name in work.keys)
        name = " || ', ' || ".join(f"o.{ident(name)}" for name in work.keys)
        columns = (
            f"m.own_k AS wb_k, {text(causes.OTHER_SNAPSHOT)} AS cause, 1 AS lo, m.i AS hi, NULL::BIGINT AS lo2, NULL::BIGINT AS hi2, "
            f"NULL::BIGINT AS other_k, NULL::BIGINT AS other_n, {name} AS detail"
        )
        yield (
            f"SELECT {columns} FROM {matched} m JOIN {others} o USING ({work.key_list}) "
            f"JOIN {before} x ON x.wb_k = o.wb_k AND x.i = m.i JOIN {side.after} y ON y.wb_k = m.own_k AND y.i = m.i "
            f"JOIN {suspects.table} s ON s.wb_k = m.own_k{lists} "
            f"WHERE ({is_other}) AND {halves.is_stored([Piece('x', 'w2'), Piece('y')])}"
        )
