"""The halves of wrong rows: what a projection gives up to each of their events, and from each of them on."""

from __future__ import annotations

from dataclasses import dataclass

from workbench._sql import DECIMAL, ident
from workbench.analysis.compare import NUMBER, Column
from workbench.analysis.explain import causes
from workbench.analysis.explain.suspects import Suspects
from workbench.projections.engines.duckdb_sql import Reading
from workbench.projections.engines.pieces import Piece, Pieces, adds_up
from workbench.projections.projection import Projection
from workbench.store.fields import Field
from workbench.store.view import View

RAW = "raw_"


@dataclass(frozen=True, slots=True)
class Side:
    """The tables of the halves, with payloads as upcasters give them or as they were stored."""

    units: str
    before: str
    after: str
    lists: str | None


class Halves:
    """Tables of the workspace over the suspects of one projection.

    Each row of ``before`` is a boundary ``i`` in a row's events (0: before the first) and what the projection
    gives up to there; ``after``, from there on. ``ev`` is how many events that is. ``key_…`` are the columns
    that add up: in ``after``, what the first half has to come to for the whole to be the stored row. So the
    two join on equal keys.
    """

    def __init__(self, projection: Projection, suspects: Suspects) -> None:
        self.projection, self.suspects = projection, suspects
        self.database = suspects.database
        self.columns: list[Column] = suspects.work.columns
        reading = Reading(projection, suspects.work.view)
        raw = _as_stored(projection, suspects.work.view)
        self.reading = reading
        events = suspects.events({**reading.columns, **(raw.columns if raw else {})})
        self.pieces = Pieces(projection, reading, events)
        extra = self.pieces.units()
        if raw is not None:
            extra += self.pieces.units(raw, RAW)
        suspects.lay_out(events, extra)
        self.keys = [column for column in self.columns if self._is_key(column)]
        self.side = self._laid_out("*")
        self.raw = (
            None if raw is None else self._laid_out(f"* REPLACE ({self.pieces.unprefixed(RAW)})")
        )
        self.notes: list[str] = []
        self.limits = self._limited()

    def _is_key(self, column: Column) -> bool:
        is_exact = column.theirs not in ("DOUBLE", "FLOAT") and (
            NUMBER.match(column.theirs) or column.theirs == "VARCHAR"
        )
        return (
            column.tolerance is None
            and bool(is_exact)
            and adds_up(self.projection.columns[column.name])
        )

    def _laid_out(self, columns: str) -> Side:
        keep, own, pieces = self.database.keep, self.suspects, self.pieces
        work = (
            f"SELECT t.*, l.wb_length, l.wb_last_end FROM (SELECT {columns} FROM {own.tape}) t "
            f"JOIN {own.lengths} l USING (wb_k) WHERE t.wb_n <= l.wb_length"
        )
        slices = "".join(f", {one}" for one in pieces.unit_slices())
        units = keep(f"SELECT *{slices} FROM ({work})", self, "units")
        in_life = (
            "count(*) OVER (PARTITION BY wb_k, wb_life ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
        )
        before = ", ".join(
            [
                f"wb_k, wb_n AS i, CASE WHEN wb_is_end THEN 0 ELSE {in_life} END AS ev",
                *pieces.before(),
            ]
        )
        nothing = ", ".join(["wb_k, 0 AS i, 0 AS ev", *pieces.nothing()])
        kept_before = keep(
            f"SELECT *{self._own_keys('x')} FROM (SELECT {before} FROM {units} UNION ALL BY NAME "
            f"SELECT {nothing} FROM {own.lengths}) x",
            self,
            "before",
        )
        after = ", ".join(["wb_k, wb_n - 1 AS i, wb_length - wb_n + 1 AS ev", *pieces.after()])
        end = ", ".join(["wb_k, wb_length AS i, 0 AS ev", *pieces.nothing()])
        # Before a row's last end nothing counts: from there on it is what it should be, whatever came before.
        kept_after = keep(
            f"SELECT y.*{self._wanted_keys('y', 's')} FROM (SELECT {after} FROM {units} WHERE wb_n > wb_last_end "
            f"UNION ALL BY NAME SELECT {end} FROM {own.lengths}) y JOIN {own.table} s USING (wb_k)",
            self,
            "after",
        )
        lists = keep(pieces.lists(units), self, "lists") if pieces.has_lists else None
        return Side(units, kept_before, kept_after, lists)

    # -- keys ------------------------------------------------------------------------------------

    def stored(self, column: Column, alias: str) -> str:
        """A stored value of a key column, as an exact number."""
        read = column.read_sql(f"{alias}.{ident('stored_' + column.name)}")
        return f"TRY_CAST({read} AS {DECIMAL})"

    def amount(self, column: Column, alias: str) -> str:
        """What a piece adds to a key column."""
        name = column.name
        return f"CAST({self.pieces.sum_of(name, alias)} - {self.pieces.sum_of_nothing(name)} AS {DECIMAL})"

    def base(self, column: Column) -> str:
        """What a key column is before the first event."""
        return f"CAST({self.pieces.sum_of_nothing(column.name)} AS {DECIMAL})"

    def _own_keys(self, alias: str) -> str:
        return "".join(
            f", TRY({self.amount(column, alias)}) AS key_{index}"
            for index, column in enumerate(self.keys)
        )

    def _wanted_keys(self, alias: str, stored: str) -> str:
        return "".join(
            f", TRY({self.stored(column, stored)} - {self.base(column)} - {self.amount(column, alias)}) AS key_{index}"
            for index, column in enumerate(self.keys)
        )

    @property
    def key_names(self) -> list[str]:
        """The names of the key columns in the halves."""
        return [f"key_{index}" for index in range(len(self.keys))]

    # -- checking --------------------------------------------------------------------------------

    def is_stored(self, pieces: list[Piece]) -> str:
        """A condition: these pieces, one after another, give the stored row (``s``) in every compared column."""
        return " AND ".join(
            column.equal_sql(
                f"s.{ident('stored_' + column.name)}",
                f"({self.pieces.column(column.name, pieces)})",
            )
            for column in self.columns
        )

    def with_lists(self, side: Side, alias: str = "w", key: str = "s.wb_k") -> str:
        """A join that gives the whole lists of the row, where there are any."""
        return (
            "" if side.lists is None else f" LEFT JOIN {side.lists} {alias} ON {alias}.wb_k = {key}"
        )

    # -- bounds ----------------------------------------------------------------------------------

    def _limited(self) -> str:
        """Say for each row how far apart two halves may be: anywhere, unless that would be too many tries."""
        own = "".join(f", {name}" for name in self.key_names)
        counted = f"SELECT wb_k{own}, count(*) AS n FROM {{}} GROUP BY ALL"
        tries = (
            f"SELECT wb_k, sum(x.n * y.n) AS tries FROM ({counted.format(self.side.before)}) x "
            f"JOIN ({counted.format(self.side.after)}) y USING (wb_k{own}) GROUP BY wb_k"
        )
        broken = f"SELECT wb_k, sum({self.pieces.broken('u')}) AS broken FROM {self.side.units} u GROUP BY wb_k"
        table = self.database.keep(
            f"SELECT l.*, CASE WHEN coalesce(broken, 0) > 0 OR coalesce(tries, 0) > {causes.MOST_TRIES} "
            f"THEN greatest(1, {causes.MOST_TRIES} // (l.wb_length + 1)) END AS reach "
            f"FROM {self.suspects.lengths} l LEFT JOIN ({tries}) USING (wb_k) LEFT JOIN ({broken}) USING (wb_k)",
            self,
            "limits",
        )
        (limited,) = self.database.rows(f"SELECT count(*) FROM {table} WHERE reach < wb_length")[0]
        if limited:
            self.notes.append(
                f"{limited:,} rows have events that cannot be told apart by their sums: of runs of events only "
                "short ones were tried there"
            )
        return table


def _as_stored(projection: Projection, view: View) -> RawReading | None:
    """Read payloads as they are stored, where upcasters would change them."""
    if view.upcasters is None:
        return None
    return RawReading(projection, view.without_upcasters())


class RawReading(Reading):
    """A reading whose columns have names of their own, to stand beside another."""

    def __init__(self, projection: Projection, view: View) -> None:
        super().__init__(projection, view)
        self.columns = {RAW + name: sql for name, sql in self.columns.items()}

    def value(self, field: Field) -> str:
        """The column that holds a field's value."""
        return RAW + super().value(field)

    def unusable(self, fields: list[Field]) -> list[str]:
        """The columns that say that a value is there and does not fit."""
        return [RAW + name for name in super().unusable(fields)]
