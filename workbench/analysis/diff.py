"""Diff: a stored read model against the replay, row by row, each row named for what it is.

* **match**: equal, and up to date.
* **stale**: equal to an earlier state of the row. Lag, not damage.
* **missing**: the replay has the row, the read model does not.
* **orphaned**: the read model has a row that the replay has not, and that equals no earlier state.
* **corrupted**: equal to no state that the row ever had, or not to the one at its own checkpoint.
* **ahead**: the row has applied events that this log does not hold; nothing can be said about it.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workbench import _html
from workbench._sql import ident, text
from workbench.analysis.classify import CLASSES, Classification, rank
from workbench.analysis.compare import Tolerance
from workbench.analysis.definition import Definition, check
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Moment
from workbench.sources.read_model import ReadModel
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.analysis.explain import Explanation

OF_EACH: Final = 3
"""So many rows of each class are on the card of a diff."""


class Diff(Table):
    """A read model against the replay: one row for each key of either.

    Columns: the key; ``class``; ``columns``, the names of those that differ; ``equals_version``,
    ``equals_position`` of the latest state that the stored row equals; for stale rows ``stale_since``, when
    that state ended, ``lag_events``, how many events came since, and ``lag_time``, from the last event
    that the row has applied to the newest; ``checkpoint``, ``version`` and ``position`` (of the replay); then each compared column twice, as
    ``stored_…`` and ``replayed_…`` (at the row's checkpoint where it has one). Worst classes first.

    Attributes
    ----------
    definition, model
        What was compared.
    """

    definition: Definition
    model: ReadModel
    compared: tuple[str, ...]
    _view: View

    def summary(self) -> Table:
        """Count rows by class: ``class``, ``rows``, ``share`` (0 to 1); all classes, in a fixed order."""
        values = ", ".join(f"({index}, {text(name)})" for index, name in enumerate(CLASSES))
        sql = (
            f"SELECT class, count(d.class) AS rows, coalesce(count(d.class) / nullif(sum(count(d.class)) OVER (), 0), 0) "
            f"AS share FROM (VALUES {values}) c(n, class) LEFT JOIN ({self._query}) d USING (class) "
            "GROUP BY n, class ORDER BY n"
        )
        return self._derived(sql, f"Classes of {self.model.name}")

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
            f"FROM ({self._query}) WHERE class IN ({listed})",
            f"{', '.join(classes)} rows of {self.model.name}",
        )

    def by_column(self) -> Table:
        """Count differing rows by column: ``column_name``, ``class``, ``rows``."""
        sql = (
            f"SELECT column_name, class, count(*) AS rows FROM (SELECT unnest(columns) AS column_name, class "
            f"FROM ({self._query})) GROUP BY ALL ORDER BY rows DESC, column_name, class"
        )
        return self._derived(sql, f"Columns of {self.model.name} that differ")

    def cells(self) -> Table:
        """List each cell that differs: the key, ``class``, ``column_name``, ``stored``, ``replayed`` (as text)."""
        keys = ", ".join(ident(name) for name in self.definition.key)
        parts = [
            f"SELECT {keys}, class, {text(name)} AS column_name, {_shown('stored_' + name)} AS stored, "
            f"{_shown('replayed_' + name)} AS replayed FROM ({self._query}) WHERE list_contains(columns, {text(name)})"
            for name in self.compared
        ]
        return self._derived(
            f"{' UNION ALL '.join(parts)} ORDER BY {keys}, column_name",
            f"Cells of {self.model.name} that differ",
        )

    def row(self, *key: str | int) -> dict[str, Any]:
        """Return one row of the diff, by its key.

        Raises
        ------
        ConfigError
            Neither side has such a row.
        """
        found = self._derived(f"FROM ({self._query}) WHERE {self._is_row(key)}", "One row").rows()
        if not found:
            message = (
                f"neither {self.model.name} nor the replay has a row {', '.join(map(str, key))}."
            )
            raise ConfigError(message)
        return found[0]

    def events(self, *key: str | int) -> Table:
        """Return the events behind one row, in order."""
        same = " AND ".join(
            f"CAST({self._view.read(field).value} AS VARCHAR) = {text(str(value))}"
            for field, value in zip(self.definition.key.values(), self._checked(key), strict=True)
        )
        sql = f"SELECT * FROM {EVENTS} WHERE {self._view.filter} AND {same} ORDER BY position"
        return Table(self._database, sql, title=f"Events of {', '.join(map(str, key))}")

    def explain(self, *key: str | int) -> Explanation:
        """Search what made each wrong row wrong; only what gives the stored row exactly counts.

        Parameters
        ----------
        *key
            Only this row: quicker, but an event that went to another row is not found, and there are no rows
            near by that could support a hypothesis.

        Returns
        -------
        Explanation
            One row for each wrong row and hypothesis, simplest first; ``.clusters()`` says what they share,
            ``.row(key)`` shows one, ``.repair()`` plans what to do.
        """
        from workbench.analysis.explain import explain  # which stands on this module

        return explain(self._of_row(key) if key else self)

    def explore(self) -> Any:
        """Look at the rows with mouse and keyboard, open one, and have it explained.

        Returns
        -------
        workbench.ui.diff_explorer.DiffExplorer
            A widget. ``.value`` holds the rows as filtered, for the next cell; ``.code`` the Python that gives them.
        """
        # By name: widgets stand above the analyses, and none is imported before one is wanted.
        return importlib.import_module("workbench.ui.diff_explorer").DiffExplorer(self)

    def _of_row(self, key: tuple[str | int, ...]) -> Diff:
        """Return a diff of this one row."""
        self.row(*key)
        one = copy.copy(self)
        one.sql, one._stored = f"FROM ({self._query}) WHERE {self._is_row(key)}", None
        one.title = f"{', '.join(map(str, key))} in {self.title}"
        return one

    def _is_row(self, key: tuple[str | int, ...]) -> str:
        return " AND ".join(
            f"{ident(name)} = {text(str(value))}"
            for name, value in zip(self.definition.key, self._checked(key), strict=True)
        )

    def _checked(self, key: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if len(key) != len(self.definition.key):
            message = f"the key of {self.definition.name!r} is {', '.join(self.definition.key)}; {len(key)} values were given."
            raise ConfigError(message)
        return key

    def __repr__(self) -> str:
        counts = self.counts
        lines = [
            _html.line(self.title),
            "  " + "   ".join(f"{name} {counts[name]:,}" for name in CLASSES if counts[name]),
        ]
        names, numeric, rows = self._worst()
        if rows:
            lines.append(_html.text_table(names, rows, numeric=numeric))
            lines.append(self._how_to_go_on(counts))
        return "\n".join([*lines, *map(_html.line, self.notes)])

    def _repr_html_(self) -> str:
        counts = self.counts
        total = sum(counts.values())
        body = _html.table(
            ["class", "rows", "share"],
            [
                [name, f"{counts[name]:,}", f"{counts[name] / total:.2%}" if total else ""]
                for name in CLASSES
                if counts[name]
            ],
            numeric=[False, True, True],
        )
        names, numeric, rows = self._worst()
        if rows:
            body += _html.table(names, rows, numeric=numeric) + _html.note(
                self._how_to_go_on(counts)
            )
        body += "".join(_html.note(line) for line in self.notes)
        return _html.card(self.title, body, subtitle=f"{total:,} rows")

    def _worst(self) -> tuple[list[str], list[bool], list[tuple[object, ...]]]:
        keys = list(self.definition.key)
        keyed = ", ".join(map(ident, keys))
        shown = [
            *keys,
            "class",
            "columns",
            "equals_version",
            "stale_since",
            "lag_events",
            "lag_time",
        ]
        # To the second: a card has to fit its column, and the rows have the rest.
        cells = [
            {
                "stale_since": "date_trunc('second', stale_since)",
                "lag_time": "to_seconds(floor(epoch(lag_time)))",
            }.get(name, ident(name))
            for name in shown
        ]
        rows = self._run(
            f"SELECT {', '.join(cells)} FROM ({self._query}) WHERE class <> 'match' "
            f"QUALIFY row_number() OVER (PARTITION BY class ORDER BY {keyed}) <= {OF_EACH} ORDER BY {rank('class')}, {keyed}"
        ).fetchall()
        flat = [
            tuple(", ".join(cell) if isinstance(cell, list) else cell for cell in row)
            for row in rows
        ]
        return shown, [False] * (len(keys) + 2) + [True, False, True, True], flat

    def _how_to_go_on(self, counts: Mapping[str, int]) -> str:
        bad = sum(counts.values()) - counts["match"]
        listed = sum(min(counts[name], OF_EACH) for name in CLASSES if name != "match")
        some = f"{listed} of {bad:,} rows that do not match; " if listed < bad else ""
        return f"{some}.of('corrupted'), .cells(), .events(key) and .chart() show more; .explain() names causes"

    def _derived(self, sql: str, title: str) -> Table:
        table = Table(self._database, sql, title=title)
        table._owner = self
        return table


def diff(
    view: View,
    definition: Definition,
    model: ReadModel,
    moment: Moment,
    *,
    tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
) -> Diff:
    """Compare a stored read model with the replay at a moment."""
    check(definition)
    work = Classification(view, definition, model, moment)
    work.read(tolerance)
    result = Diff(
        view.database,
        work.rows(),
        title=f"{model.name} against the replay of {definition.name}, {'; '.join([*view.words, str(moment)])}",
        notes=[*work.notes, *_checkpoint_note(model)],
    )
    result._owner = work  # its tables in the workspace live as long as the result
    result.definition, result.model, result._view = definition, model, view
    result.compared = tuple(column.name for column in work.columns)
    return result


def _checkpoint_note(model: ReadModel) -> list[str]:
    if model.version is not None:
        return [f"each row was compared at its own checkpoint ({model.version})"]
    if model.position is not None:
        where = (
            "their own checkpoint"
            if isinstance(model.position, str)
            else "its checkpoint, position"
        )
        return [f"rows were compared at {where} ({model.position})"]
    return []


def _shown(column: str) -> str:
    """A value as text; decimals with two places, or more where they say something."""
    value = f"CAST({ident(column)} AS VARCHAR)"
    return (
        f"CASE WHEN typeof({ident(column)}) LIKE 'DECIMAL%' AND contains({value}, '.') "
        f"THEN regexp_replace({value}, '(\\.\\d\\d\\d*?)0+$', '\\1') ELSE {value} END"
    )
