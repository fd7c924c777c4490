"""Recognising a table: the first and the last row that were read, by what they say of themselves.

Where a table was truncated, restarted or restored to an earlier state, its positions mean other events;
going on after the old head would mix two histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from workbench.errors import SourceDataLost
from workbench.sources.postgres.catalog import Relation
from workbench.sources.postgres.snapshot import Control

Row = Mapping[str, str | None]
Named = tuple[str, Sequence[str]]
"""The position column, and the columns that tell one event from another."""


@dataclass(slots=True)
class Anchors:
    """Position -> what its row said: the lowest and the last that were read."""

    rows: dict[int, Row] = field(default_factory=dict)

    def note(self, control: Control, relation: Relation, named: Named, position: int) -> None:
        """Remember the row at a position as the last one; the lowest one stays."""
        kept = {} if not self.rows else {min(self.rows): self.rows[min(self.rows)]}
        wanted = [position] if not kept or position >= min(kept) else []
        self.rows = {**kept, **_rows(control, relation, named, wanted)}

    def check(
        self,
        control: Control,
        relation: Relation,
        named: Named,
        where: str,
        reached: int | None,
    ) -> None:
        """Compare with what is there now.

        ``reached`` is how far the numbering has come, where rows are deleted on purpose: one that is
        gone is then no loss, as long as the numbers go on. Otherwise None.

        Raises
        ------
        SourceDataLost
            A row says something else, or is gone.
        """
        now = _rows(control, relation, named, list(self.rows))
        for position, was in self.rows.items():
            if position not in now:
                if reached is None or reached < position:
                    message = f"{where}: position {position}, which was loaded before, is not there any more: the table was truncated, restarted or restored."
                    raise SourceDataLost(message, hint=_hint(reached is not None))
                continue
            same = was.keys() & now[position].keys()
            if any(was[name] != now[position][name] for name in same):
                said = ", ".join(f"{name} {was[name]!r}" for name in sorted(same))
                says = ", ".join(f"{name} {now[position][name]!r}" for name in sorted(same))
                message = f"{where}: position {position} was {said} and is now {says}: the positions were restarted."
                raise SourceDataLost(message, hint=_hint(told=True))

    def to_json(self) -> list[Any]:
        """Write them for a bookmark."""
        return [[position, dict(row)] for position, row in self.rows.items()]

    @classmethod
    def from_json(cls, bookmark: Mapping[str, Any]) -> Anchors:
        """Read them back."""
        return cls(dict(bookmark.get("anchors", ())))


def _hint(told: bool) -> str:
    fresh = "load what is there now as another source: name='…'"
    return fresh if told else f"{fresh}; if rows are deleted there on purpose, say deletes=True"


def _rows(
    control: Control, relation: Relation, named: Named, positions: list[int]
) -> dict[int, Row]:
    position, columns = named
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY (%s)").format(
        sql.SQL(", ").join(
            [
                sql.Identifier(position),
                *(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns),
            ]
        ),
        relation.quoted,
        sql.Identifier(position),
    )
    return {
        row[0]: dict(zip(columns, row[1:], strict=True))
        for row in control.execute(query, [positions])
    }
