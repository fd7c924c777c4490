"""Naming each row of a read model for what it is; the classes are told in :mod:`workbench.analysis.diff`.

Each step is one query over all rows. Rows that match are done after the first; for the others every state
that they ever had is rebuilt, and the stored row is looked for among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workbench._sql import ident, text
from workbench.analysis.compare import Column, Tolerance, paired, tolerances
from workbench.analysis.definition import Definition, columns_of, history_rows, replay_rows
from workbench.analysis.notes import notes
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Moment
from workbench.sources.read_model import ReadModel
from workbench.store.view import EVENTS, View

CLASSES: Final = ("match", "stale", "missing", "orphaned", "corrupted", "ahead")
WORST_FIRST: Final = ("corrupted", "orphaned", "missing", "stale", "ahead", "match")


def rank(column: str) -> str:
    """The place of a class in the order of a result, as SQL."""
    return f"list_position([{', '.join(map(text, WORST_FIRST))}], {column})"


class Classification:
    """The steps of a diff, each a table in the workspace; see the module for the classes."""

    def __init__(
        self, view: View, definition: Definition, model: ReadModel, moment: Moment
    ) -> None:
        self.view, self.definition, self.model, self.moment = view, definition, model, moment
        self.database = view.database
        self.keys = list(definition.key)
        self.key_list = ", ".join(map(ident, self.keys))
        self.columns: list[Column] = []
        self.notes: list[str] = []

    # -- both sides ------------------------------------------------------------------------------

    def read(self, tolerance: Tolerance | Mapping[str, Tolerance] | None) -> None:
        """Read both sides and pair their columns."""
        rows = replay_rows(self.definition, self.view, self.moment)
        self.notes += notes(self.definition, self.view, self.moment, rows.clock)
        self.replayed = (
            f"({rows.sql})"
            if rows.arrow is None
            else self.database.keep_arrow(rows.arrow, self, "replayed")
        )
        stored = self.model.fetch()
        missing = [name for name in self.keys if name not in stored.schema.names]
        if missing:
            message = f"{self.model.name} has no column {missing[0]!r}, which is in the key of {self.definition.name!r}."
            raise ConfigError(
                message + did_you_mean(missing[0], stored.schema.names),
                hint="name it: columns={'their name': 'our name'}",
            )
        self.stored = self.database.keep_arrow(stored, self, "stored")
        self._check_keys()
        ours = self._types(f"FROM {self.replayed}")
        theirs = self._types(f"FROM {self.stored}")
        wanted = columns_of(self.definition, list(ours))
        self.columns = paired(
            {name: ours[name] for name in wanted},
            theirs,
            model=self.model.name,
            timezone=self.model.timezone,
            tolerances=tolerances(tolerance, wanted),
        )
        self._check_times()
        skipped = [name for name in wanted if name not in theirs]
        if not self.columns:
            message = f"{self.model.name} and {self.definition.name!r} have no column in common."
            raise ConfigError(
                message + f" One has {', '.join(theirs)}; the other {', '.join(wanted)}.",
                hint="name them: columns={'their name': 'our name'}",
            )
        if skipped:
            self.notes.append(
                f"not compared, since {self.model.name} has no such column: {', '.join(skipped)}"
            )
        checkpoints = {
            *self.keys,
            self.model.version,
            self.model.position,
            "version",
            "position",
            "events",
        }
        extra = [name for name in theirs if name not in ours and name not in checkpoints]
        if extra:
            self.notes.append(
                f"not compared, since {self.definition.name!r} does not define them: {', '.join(extra)}"
            )

    def _check_times(self) -> None:
        for column in self.columns:
            naive = column.naive_sql(ident(column.name))
            if naive is None:
                continue
            found = self.view.rows(
                f"SELECT {ident(column.name)} FROM {self.stored} WHERE {naive} LIMIT 1"
            )
            if found:
                message = f"{self.model.name}: column {column.name!r} has {found[0][0]!r}, which says no time zone."
                raise ConfigError(
                    message, hint="say how to read it: wb.read_model(…, timezone='UTC')"
                )

    def _types(self, query: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.view.rows(f"DESCRIBE {query}")}

    def _check_keys(self) -> None:
        unkeyed = " OR ".join(f"{ident(name)} IS NULL" for name in self.keys)
        if self.view.rows(f"SELECT 1 FROM {self.stored} WHERE {unkeyed} LIMIT 1"):
            message = f"{self.model.name} has rows whose key ({', '.join(self.keys)}) is NULL."
            raise ConfigError(
                message, hint="leave them out with query=, and look at them on their own"
            )
        twice = self.view.rows(
            f"SELECT {self.key_list}, count(*) FROM {self.stored} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        )
        if twice:
            message = f"{self.model.name} has {twice[0][-1]} rows with the key {', '.join(map(str, twice[0][:-1]))}."
            raise ConfigError(
                message, hint="give the definition the whole key of the table: key=[…]"
            )

    # -- the checkpoint --------------------------------------------------------------------------

    @property
    def unit(self) -> str | None:
        """In what a checkpoint counts: ``version``, ``position``, or None without one."""
        if self.model.version is not None:
            return "version"
        return None if self.model.position is None else "position"

    @property
    def _whole(self) -> str | None:
        """The one position of the whole read model, in this log; None where rows have their own, or none."""
        given = self.model.position
        if not isinstance(given, int) or self.model.positions == "log":
            return str(given) if isinstance(given, int) else None
        return (
            f"(SELECT CASE WHEN {given} > max(number) THEN max(position) + 1 "
            f"ELSE coalesce(arg_max(position, number) FILTER (number <= {given}), 0) END FROM ({self._numbers}))"
        )

    @property
    def _numbers(self) -> str:
        """A source's own numbers, which stand at the end of its coordinates: events/123."""
        return (
            f"SELECT try_cast(regexp_extract(source_position, '(\\d+)$', 1) AS BIGINT) AS number, position "
            f"FROM {EVENTS} WHERE {self.view.filter}"
        )

    def _checkpointed(self) -> str:
        """The stored rows with their checkpoint, in versions or in positions of this log, as ``checkpoint``."""
        if self.unit is None:
            return f"SELECT *, NULL::BIGINT AS wb_checkpoint FROM {self.stored}"
        if self.unit == "version":
            return f"SELECT *, CAST({ident(str(self.model.version))} AS BIGINT) AS wb_checkpoint FROM {self.stored}"
        if self._whole is not None:
            return f"SELECT *, {self._whole} AS wb_checkpoint FROM {self.stored}"
        value = f"CAST({ident(str(self.model.position))} AS BIGINT)"
        if self.model.positions == "log":
            return f"SELECT *, {value} AS wb_checkpoint FROM {self.stored}"
        numbers = self._numbers
        # A number beyond the last one that is here stands for events that are not.
        place = (
            f"CASE WHEN wb_number > (SELECT max(number) FROM ({numbers})) THEN (SELECT max(position) + 1 FROM ({numbers})) "
            "WHEN wb_number IS NOT NULL THEN coalesce(n.position, 0) END"
        )
        return (
            f"SELECT s.*, {place} AS wb_checkpoint FROM (SELECT *, {value} AS wb_number FROM {self.stored}) s "
            f"ASOF LEFT JOIN (FROM ({numbers}) WHERE number IS NOT NULL) n ON s.wb_number >= n.number"
        )

    def _ends(self, joined: str) -> str:
        """The last version or position of each row in this log: a checkpoint beyond it is ahead of the log."""
        cut = self.view.until(self.moment)
        if self.unit == "position":
            # Of rows that the replay has not, too: they may come from events beyond.
            return f"SELECT {self.key_list}, (SELECT coalesce(max(position), 0) FROM {EVENTS} WHERE {cut.filter}) AS wb_last FROM {joined}"
        if not self.definition.by_stream:
            return f"SELECT {self.key_list}, version AS wb_last FROM {joined} WHERE in_replay"
        suspects = f"SELECT {self.key_list} FROM {joined} WHERE NOT matches"
        return (
            f"SELECT stream_id AS {self.key_list}, max(version) AS wb_last FROM {EVENTS} "
            f"WHERE {cut.filter} AND stream_id IN ({suspects}) GROUP BY 1"
        )

    # -- the join --------------------------------------------------------------------------------

    def _joined(self) -> str:
        same = " AND ".join(
            f"CAST(s.{ident(name)} AS VARCHAR) = CAST(r.{ident(name)} AS VARCHAR)"
            for name in self.keys
        )
        keys = ", ".join(
            f"coalesce(CAST(r.{ident(name)} AS VARCHAR), CAST(s.{ident(name)} AS VARCHAR)) AS {ident(name)}"
            for name in self.keys
        )
        pairs = ", ".join(
            f"{column.stored_sql(f's.{ident(column.name)}')} AS {ident('stored_' + column.name)}, "
            f"r.{ident(column.name)} AS {ident('replayed_' + column.name)}, "
            f"{column.equal_sql(f's.{ident(column.name)}', f'r.{ident(column.name)}')} AS {ident('equal_' + column.name)}"
            for column in self.columns
        )
        both = (
            f"SELECT {keys}, s.{ident(self.keys[0])} IS NOT NULL AS in_stored, r.{ident(self.keys[0])} IS NOT NULL AS in_replay, "
            f"{pairs}, {self._whole or 's.wb_checkpoint'} AS checkpoint, r.version, r.position "
            f"FROM ({self._checkpointed()}) s FULL JOIN {self.replayed} r ON {same}"
        )
        head = f"(checkpoint IS NULL OR checkpoint >= {self.unit})" if self.unit else "TRUE"
        equal = " AND ".join(ident("equal_" + column.name) for column in self.columns)
        # Most rows match and need no second look; everything dearer is done for the others alone.
        return self.database.keep(
            f"SELECT *, in_stored AND in_replay AND {equal} AND {head} AS matches FROM ({both})",
            self,
            "joined",
        )

    def _states(self, joined: str) -> str | None:
        """Every state of the rows that do not simply match; None when all do."""
        # Without a checkpoint a row that is only missing has nothing to be compared with.
        compared = "" if self.unit else " AND in_stored"
        suspects = f"SELECT {self.key_list} FROM {joined} WHERE NOT matches{compared}"
        kept = self.database.keep(suspects, self, "suspects")
        if not self.view.rows(f"SELECT 1 FROM {kept} LIMIT 1"):
            return None
        rows = history_rows(self.definition, self.view, self.moment, only=f"FROM {kept}", ends=True)
        if rows.arrow is not None:
            return (
                self.database.keep_arrow(rows.arrow, self, "states")
                if rows.arrow.num_rows
                else None
            )
        return self.database.keep(rows.sql, self, "states")

    def _judged(self, joined: str, states: str) -> str:
        """For each suspect: the latest state that it equals, and the state at its checkpoint."""
        equal = " AND ".join(
            column.equal_sql(ident(f"stored_{column.name}"), f"h.{ident(column.name)}")
            for column in self.columns
        )
        parts = [
            f"{self.key_list}, max(nth) AS last_nth, min(position) AS first_position, arg_max_null(valid_from, nth) AS last_time, min(valid_from) AS first_time",
            *(
                f"arg_max_null({what}, nth) FILTER (equal) AS equal_{short}"
                for short, what in (
                    ("nth", "nth"),
                    ("version", "version"),
                    ("position", "position"),
                    ("time", "valid_from"),
                    ("until", "valid_to"),
                )
            ),
        ]
        state, reached = "", ""
        if self.unit is not None:
            # What the row should be at its own checkpoint.
            pairs = ", ".join(
                f"{ident(column.name)}: h.{ident(column.name)}" for column in self.columns
            )
            state = f", {{{pairs}}} AS state"
            reached = f", h.{self.unit} <= j.checkpoint AS reached"
            parts += [
                *(
                    f"arg_max_null({what}, nth) FILTER (reached) AS reached_{short}"
                    for short, what in (
                        ("nth", "nth"),
                        ("version", "version"),
                        ("position", "position"),
                        ("time", "valid_from"),
                        ("until", "valid_to"),
                    )
                ),
                "arg_max(is_end, nth) FILTER (reached) AS reached_is_end",
                "coalesce(arg_max(equal, nth) FILTER (reached), FALSE) AS reached_equal",
                "arg_max(state, nth) FILTER (reached AND NOT is_end) AS reached_state",
            ]
        keys = ", ".join(f"j.{ident(name)}" for name in self.keys)
        same = " AND ".join(
            f"CAST(h.{ident(name)} AS VARCHAR) = j.{ident(name)}" for name in self.keys
        )
        return (
            f"SELECT {', '.join(parts)} FROM (SELECT {keys}, h.nth, h.version, h.position, h.valid_from, h.valid_to, h.is_end, "
            f"NOT h.is_end AND j.in_stored AND {equal} AS equal{reached}{state} "
            f"FROM {states} h JOIN (FROM {joined} WHERE NOT matches) j ON {same}) GROUP BY ALL"
        )

    # -- the result ------------------------------------------------------------------------------

    def rows(self) -> str:
        """Return a query for the rows of the diff; it holds for as long as this object lives."""
        joined = self._joined()
        states = self._states(joined)
        if states is None:
            nothing = "NULL::BIGINT"
            judged = (
                f"SELECT {self.key_list}, {nothing} AS last_nth, {nothing} AS first_position, NULL::TIMESTAMPTZ AS last_time, NULL::TIMESTAMPTZ AS first_time, "
                + ", ".join(
                    f"{nothing} AS {what}_nth, {nothing} AS {what}_version, {nothing} AS {what}_position, NULL::TIMESTAMPTZ AS {what}_time, NULL::TIMESTAMPTZ AS {what}_until"
                    for what in ("equal", "reached")
                )
                + f", FALSE AS reached_equal, FALSE AS reached_is_end, NULL AS reached_state FROM {joined} LIMIT 0"
            )
        else:
            judged = self._judged(joined, states)
        unit = self.unit
        # Where a row has a checkpoint, that is what it is held against.
        best = (
            "CASE WHEN checkpoint IS NULL THEN equal_{0} ELSE reached_{0} END"
            if unit
            else "equal_{0}"
        )
        ahead = "checkpoint > wb_last" if unit else "FALSE"
        # The whole read model was taken before the row began, or while it was ended.
        not_yet = "reached_nth IS NULL OR reached_is_end" if self._whole else "FALSE"
        proven = "equal_nth IS NOT NULL"
        if unit:
            proven = f"CASE WHEN checkpoint IS NULL THEN {proven} ELSE reached_equal END"
        classified = f"""
        SELECT *, CASE
            WHEN in_stored AND coalesce({ahead}, FALSE) THEN 'ahead'
            WHEN NOT in_stored THEN CASE WHEN {not_yet} THEN 'stale' ELSE 'missing' END
            WHEN coalesce({proven}, FALSE) THEN CASE WHEN in_replay AND {best.format("nth")} = last_nth THEN 'match' ELSE 'stale' END
            WHEN in_replay THEN 'corrupted' ELSE 'orphaned' END AS class
        FROM (FROM {joined} WHERE NOT matches) LEFT JOIN ({judged}) USING ({self.key_list})
        LEFT JOIN ({self._as_text(self._ends(joined))}) USING ({self.key_list})"""
        fresh = self._fresh(unit)
        replayed = {
            column.name: (
                f"CASE WHEN {fresh} THEN {ident('replayed_' + column.name)} ELSE reached_state[{text(column.name)}] END"
                if unit and states is not None
                else ident("replayed_" + column.name)
            )
            for column in self.columns
        }
        comparable = "(in_replay OR reached_nth IS NOT NULL)" if unit else "in_replay"
        differs = ", ".join(
            f"CASE WHEN in_stored AND {comparable} AND NOT {column.equal_sql(ident('stored_' + column.name), replayed[column.name])} THEN {text(column.name)} END"
            for column in self.columns
        )
        pairs = ", ".join(
            f"{ident('stored_' + column.name)}, {replayed[column.name]} AS {ident('replayed_' + column.name)}"
            for column in self.columns
        )
        stale = "class IN ('stale', 'corrupted')"
        which = (
            f"CASE class WHEN 'corrupted' THEN equal_{{0}} ELSE {best} END" if unit else "equal_{0}"
        )
        sql = f"""
        SELECT {self.key_list}, class, list_filter([{differs}], lambda name: name IS NOT NULL) AS columns,
            CASE WHEN {stale} THEN {which.format("version")} END AS equals_version,
            CASE WHEN {stale} THEN {which.format("position")} END AS equals_position,
            CASE WHEN class = 'stale' THEN coalesce({best.format("until")}, first_time) END AS stale_since,
            CASE WHEN class = 'stale' THEN last_nth - coalesce({best.format("nth")}, 0) END AS lag_events,
            CASE WHEN class = 'stale' THEN last_time - {best.format("time")} END AS lag_time,
            checkpoint, version, position, {pairs}
        FROM ({classified}) ORDER BY {rank("class")}, {self.key_list}"""
        same = ", ".join(
            f"{ident('stored_' + column.name)}, {ident('replayed_' + column.name)}"
            for column in self.columns
        )
        differing = self.database.keep(sql, self, "differing")
        return (
            f"FROM {differing} UNION ALL SELECT {self.key_list}, 'match', [], NULL, NULL, NULL, NULL, NULL, "
            f"checkpoint, version, position, {same} FROM {joined} WHERE matches"
        )

    def _fresh(self, unit: str | None) -> str:
        """Whether a row is compared at the head: it has no checkpoint, or one that has reached it."""
        return (
            "TRUE"
            if unit is None
            else f"(in_replay AND (checkpoint IS NULL OR checkpoint >= {unit}))"
        )

    def _as_text(self, sql: str) -> str:
        keys = ", ".join(f"CAST({ident(name)} AS VARCHAR) AS {ident(name)}" for name in self.keys)
        return f"SELECT {keys}, wb_last FROM ({sql})"
