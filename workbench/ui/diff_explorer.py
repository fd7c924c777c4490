"""DiffExplorer: the rows of a diff by class, one of them opened, and what made it wrong."""

from __future__ import annotations

from typing import Any, Final

import ipywidgets

from workbench import _html
from workbench._sql import ident, text
from workbench.analysis.classify import CLASSES, WORST_FIRST, rank
from workbench.analysis.diff import Diff
from workbench.analysis.explain import Explanation
from workbench.store.table import Table
from workbench.ui import diff_row
from workbench.ui.explorer import Explorer, name_of
from workbench.ui.listing import Listing, Rows, choices
from workbench.ui.parts import detail, drawn, heading, in_code

_RIGHT: Final = ("match", "ahead")
"""Classes of rows that there is nothing to explain about."""


class DiffExplorer(Explorer):
    """Looks at a diff: press classes, choose a column or part of a key, open a row, have it explained.

    Opened, a row is shown as stored beside as replayed, with the fields that differ marked, and the events
    behind it. *explain this row* searches its causes when it is pressed, for this row alone; an event that
    went to another row is found among all wrong rows only, which is the second button.

    With the keyboard: Tab goes from control to control, Space presses, the arrow keys move through the rows.

    Parameters
    ----------
    diff
        What ``log.diff(…)`` gave.

    Attributes
    ----------
    value : Table
        The rows as filtered, with the columns of the diff.
    row : dict or None
        The row that is open.
    explanation : Explanation or None
        What the last search gave.

    Examples
    --------
    >>> import workbench as wb
    >>> from workbench.bundled import account_summary, sample
    >>> bank = sample("bank")
    >>> log = wb.open()
    >>> _ = log.load(wb.files(bank.events, name="bank"), progress=False)
    >>> diff = log.diff(account_summary, wb.read_model(bank.read_model, version="version"))
    >>> explorer = diff.explore()
    >>> explorer.code
    "diff.of('corrupted', 'orphaned', 'missing', 'stale')"
    >>> explorer.open_row("acc-000774")
    >>> explorer.row["class"], explorer.row["columns"]
    ('corrupted', ['current_balance', 'transaction_count'])
    >>> log.close()
    """

    def __init__(self, diff: Diff) -> None:
        self.diff = diff
        self.row: dict[str, Any] | None = None
        self.explanation: Explanation | None = None
        self._whole: Explanation | None = None
        self._name = name_of(diff, "diff")
        self._counts = diff.counts
        self._keys = list(diff.definition.key)
        wrong = [name for name in WORST_FIRST if self._counts[name] and name not in _RIGHT]
        self._classes = {
            name: ipywidgets.ToggleButton(
                description=f"{name} {self._counts[name]:,}",
                value=name in wrong,
                disabled=not self._counts[name],
                tooltip=diff_row.MEANS[name],
                layout=ipywidgets.Layout(width="auto"),
            )
            for name in WORST_FIRST
        }
        columns = diff.by_column().query(
            "SELECT column_name, sum(rows)::BIGINT AS rows FROM result GROUP BY ALL ORDER BY rows DESC, column_name"
        )
        differing = [(row["column_name"], row["rows"]) for row in columns.rows()]
        self._column = ipywidgets.Dropdown(
            options=choices(differing, "any column"), description="differs in"
        )
        self._part = ipywidgets.Text(
            description="key has", placeholder="part of a key", continuous_update=False
        )
        self._list = Listing("row", diff._database.rows)
        self._detail, self._found = detail(), detail()
        wide = ipywidgets.Layout(width="auto")
        self._explain = ipywidgets.Button(description="explain this row", layout=wide)
        self._search = ipywidgets.Button(
            description=f"search with all {sum(self._counts[name] for name in wrong):,} wrong rows",
            tooltip="finds an event that went to another row, too; takes longer",
            layout=wide,
        )
        self._rank = ipywidgets.Dropdown(
            description="histories by", layout=ipywidgets.Layout(max_width="520px", width="100%")
        )
        self._chart = detail()
        self._opened = ipywidgets.VBox(
            [
                self._detail,
                ipywidgets.HBox([self._explain, self._search]),
                self._found,
                self._rank,
                self._chart,
            ]
        )
        super().__init__(
            diff.title,
            ipywidgets.HBox(
                list(self._classes.values()), layout=ipywidgets.Layout(flex_flow="row wrap")
            ),
            ipywidgets.HBox(
                [self._column, self._part], layout=ipywidgets.Layout(flex_flow="row wrap")
            ),
            self._list.box,
            self._opened,
        )
        for button in self._classes.values():
            self._listen(button, self._narrow)
        self._listen(self._column, self._narrow)
        self._listen(self._part, self._narrow)
        self._list.connect(self, self._open_chosen)
        self._press(self._explain, lambda: self._explained(whole=False))
        self._press(self._search, lambda: self._explained(whole=True))
        self._listen(self._rank, self._draw)
        self._narrow()

    def open_row(self, *key: str | int) -> None:
        """Open a row by its key, whether it is among those listed or not.

        Raises
        ------
        ConfigError
            Neither side has such a row.
        """
        self.row = self.diff.row(*key)
        self.explanation = self._whole
        self._fill()

    # -- the list --------------------------------------------------------------------------------

    def _narrow(self) -> None:
        pressed = [name for name, button in self._classes.items() if button.value]
        code, value = self._name, self.diff
        narrower: Table = value
        if pressed and len(pressed) < sum(1 for name in CLASSES if self._counts[name]):
            narrower, code = value.of(*pressed), f"{code}.of({', '.join(map(repr, pressed))})"
        conditions = []
        if self._column.value is not ...:
            conditions.append(f"list_contains(columns, {text(self._column.value)})")
        if self._part.value:
            whole = " || ', ' || ".join(map(ident, self._keys))
            conditions.append(f"contains({whole}, {text(self._part.value)})")
        if conditions:
            query = f"FROM result WHERE {' AND '.join(conditions)}"
            narrower, code = narrower.query(query), f"{code}.query({query!r})"
        self._list.read(
            Rows(
                narrower._query,
                order=(rank("class"), *map(ident, self._keys)),
                columns={
                    **{name: ident(name) for name in self._keys},
                    "class": "class",
                    "differs in": "array_to_string(columns, ', ')",
                    "version": "version",
                    "behind": "lag_events",
                    "stale since": "date_trunc('second', stale_since)",
                },
                keys=tuple(map(ident, self._keys)),
            )
        )
        self.row = self.explanation = None
        self._fill()
        self._show(code, narrower)

    def _open_chosen(self) -> None:
        key = self._list.chosen
        if key is not None:
            self.open_row(*key)

    # -- one row ---------------------------------------------------------------------------------

    @property
    def _key(self) -> tuple[str, ...]:
        assert self.row is not None
        return tuple(self.row[name] for name in self._keys)

    def _fill(self) -> None:
        """Show the row that is open, and what is known of its causes."""
        for control in (self._opened, self._rank):
            control.layout.display = "none"
        self._found.value = self._chart.value = ""
        if self.row is None:
            return
        self._opened.layout.display = ""
        explainable = self.row["class"] not in _RIGHT
        self._explain.disabled = self._search.disabled = not explainable
        self._explain.tooltip = (
            "searches which event made it wrong"
            if explainable
            else f"nothing to explain: {diff_row.MEANS[self.row['class']]}"
        )
        if self.explanation is not None and explainable:
            self._show_causes()
            return
        self._detail.value = self._row_html([])

    def _row_html(self, guilty: list[int]) -> str:
        assert self.row is not None
        key = ", ".join(map(repr, self._key))
        return (
            diff_row.html(self.diff, self._keys, self.row)
            + diff_row.events_html(self.diff, self._key, guilty)
            + in_code(f"{self._name}.row({key})", f"{self._name}.events({key})")
        )

    def _explained(self, *, whole: bool) -> None:
        if self.row is None:
            return
        self._say(
            "searching the events of this row …" if not whole else "searching all wrong rows …"
        )
        if whole:
            self._whole = self._whole or self.diff.explain()
            self.explanation = self._whole
        else:
            self.explanation = self.diff.explain(*self._key)
        self._say("")
        self._show_causes()

    def _show_causes(self) -> None:
        assert self.explanation is not None
        found = self.explanation.row(*self._key)
        guilty = found[0]["positions"] if found[0]["exact"] else []
        self._detail.value = self._row_html(guilty)
        whole = self.explanation is self._whole
        key = ", ".join(map(repr, self._key))
        call = f"{self._name}.explain({'' if whole else key})"
        notes = [] if whole else ["searched in the events of this row alone"]
        self._found.value = (
            heading(
                "Causes that give the stored row exactly, simplest first"
                if found[0]["exact"]
                else "No cause gives the stored row exactly"
            )
            + diff_row.causes_html(found)
            + "".join(map(_html.note, [*notes, *self.explanation.notes]))
            + in_code(f"{call}.row({key})", f"{call}.histories({key}, rank=1).chart()")
        )
        exact = [one for one in found if one["exact"]][: diff_row.MOST_CAUSES]
        with self._quietly():
            self._rank.options = [(diff_row.one_line(one), one["rank"]) for one in exact]
            self._rank.index = 0 if exact else None
        self._rank.layout.display = "" if len(exact) > 1 else "none"
        self._chart.value = ""
        if exact:
            self._draw()

    def _draw(self) -> None:
        """Draw both histories of the row, by the hypothesis that is chosen."""
        if self.explanation is None or self.row is None or self._rank.value is None:
            return
        histories = self.explanation.histories(*self._key, rank=self._rank.value)
        self._chart.value = drawn(histories.chart())

    # -- what stays ------------------------------------------------------------------------------

    def _still(self) -> tuple[str, str]:
        counts = [(name, f"{self._counts[name]:,}") for name in CLASSES if self._counts[name]]
        lines = ["   ".join(f"{name} {number}" for name, number in counts), self._list.text()]
        body = _html.facts(counts) + self._list.html()
        if self.row is not None:
            lines.append(diff_row.text(self._keys, self.row))
            body += self._detail.value + self._found.value + self._chart.value
        return "\n".join(lines), body
