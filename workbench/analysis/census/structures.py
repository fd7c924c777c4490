"""Counting payloads by their structure: which keys they have, and of which types the values are."""

from __future__ import annotations

from typing import Final

from workbench._sql import text
from workbench.analysis.census.shapes import Row
from workbench.moments import Clock
from workbench.store.view import EVENTS, View

PARTS: Final = 200
"""The log is looked at in so many stretches of equal length, to say since when a field is there."""
MOST: Final = 200_000
"""So many different structures are taken apart, …"""
CHARACTERS: Final = 20_000_000
"""… so long in all; payloads of rarer ones are counted, and said."""
DEEPEST: Final = 127
"""DuckDB fails on the structure of a payload that is nested deeper."""

_TOO_DEEP: Final = '"DEEP"'
_BRACKETS: Final = r"""regexp_replace(regexp_replace(CAST(data AS VARCHAR), '"(\\.|[^"\\])*"', '', 'g'), '[^\[\]{}]+', '', 'g')"""
#: Each round takes away the pairs of brackets with nothing in them: one level.
_IS_TOO_DEEP: Final = (
    f"list_reduce([{_BRACKETS}] || list_transform(range({DEEPEST}), lambda n: ''), "
    r"lambda brackets, n: regexp_replace(brackets, '\{\}|\[\]', '', 'g')) <> ''"
)
_OPENING: Final = "strlen(data) - strlen(replace(replace(CAST(data AS VARCHAR), '{', ''), '[', ''))"
_STRUCTURE: Final = (
    f"CASE WHEN strlen(data) > {2 * DEEPEST} AND {_OPENING} > {DEEPEST} AND {_IS_TOO_DEEP} "
    f"THEN {text(_TOO_DEEP)} ELSE CAST(json_structure(data) AS VARCHAR) END"
)


class Structures:
    """The structures of the payloads of a view, counted in stretches of the log.

    Attributes
    ----------
    notes
        What is not counted; complete once :meth:`rows` was called.
    """

    def __init__(self, view: View, clock: Clock, sample: int | None) -> None:
        self.view, self.clock = view, clock
        total = view.count
        self.looked_at = total if sample is None else min(sample, total)
        self.is_sample = self.looked_at < total
        self.notes: list[str] = []
        if self.is_sample:
            self.notes.append(
                f"fields are those of a sample of {self.looked_at:,} of {total:,} events; a rare one may be missing"
            )

    def rows(self) -> list[Row]:
        """Count, the commonest structures first."""
        counted = self.view.database.keep(self._counted(), self, "structures")
        known = self.view.database.keep(
            f"""SELECT structure, row_number() OVER (ORDER BY events DESC, first) AS nth
            FROM (SELECT structure, sum(events) AS events, min(first_position) AS first FROM {counted}
                WHERE structure IS NOT NULL GROUP BY structure)
            QUALIFY sum(length(structure)) OVER (ORDER BY events DESC, first ROWS UNBOUNDED PRECEDING) <= {CHARACTERS}""",
            self,
            "known",
        )
        # A structure is in up to 200 stretches; its text is fetched once.
        texts = dict(self.view.rows(f"SELECT nth, structure FROM {known}"))
        rows = self.view.rows(
            f"SELECT event_type, schema_version, part, nth, events, first_position, last_position, first_seen, last_seen "
            f"FROM {counted} c LEFT JOIN {known} k ON c.structure = k.structure WHERE c.structure IS NULL OR nth IS NOT NULL "
            f"ORDER BY nth NULLS FIRST, first_position LIMIT {MOST}"
        )
        found = [
            Row(kind, version, part, texts.get(nth), *counts)
            for kind, version, part, nth, *counts in rows
        ]
        rare = self.looked_at - sum(row.events for row in found)
        deep = sum(row.events for row in found if row.structure == _TOO_DEEP)
        for events, words in (
            (rare, "have structures that hardly repeat"),
            (deep, f"are nested more than {DEEPEST} levels deep"),
        ):
            if events:
                self.notes.append(
                    f"the payloads of {events:,} events {words}; their fields are not counted"
                )
        return found

    def _counted(self) -> str:
        """A query: events by type, version, stretch of the log and structure."""
        where, time = self.view.filter, f"{self.clock}_at"
        scope = (
            f"SELECT event_type, schema_version, position, {time}, data FROM {EVENTS} WHERE {where}"
        )
        if self.is_sample:
            scope = f"SELECT * FROM ({scope}) USING SAMPLE reservoir({self.looked_at} ROWS) REPEATABLE (1)"
        first, last = self.view.rows(
            f"SELECT min(position), max(position) FROM {EVENTS} WHERE {where}"
        )[0]
        span = 1 if first is None else last - first + 1
        return (
            f"SELECT event_type, schema_version, CAST((position - {first or 0}) * {PARTS} // {span} AS INTEGER) AS part, "
            f"{_STRUCTURE} AS structure, count(*) AS events, min(position) AS first_position, "
            f"max(position) AS last_position, arg_min({time}, position) AS first_seen, "
            f"arg_max({time}, position) AS last_seen FROM ({scope}) GROUP BY ALL"
        )
