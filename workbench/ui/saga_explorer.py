"""SagaExplorer: sagas by outcome, those that do not go on, broken rules; one opened as bars in time."""

from __future__ import annotations

from typing import Final

import ipywidgets

from workbench import _html
from workbench._sql import literal, text
from workbench.analysis.sagas import OUTCOMES, VIOLATIONS, Instance, Sagas
from workbench.store.table import Table
from workbench.ui.explorer import PAGE, Explorer, name_of
from workbench.ui.listing import Listing, Rows
from workbench.ui.parts import detail, drawn, excerpt, heading, in_code, scrolled

ALL, STUCK, BROKEN = "all sagas", "not going on", "broken rules"

_LAST: Final = "9223372036854775807"
_EXCERPT: Final = 90
_TIME: Final = "date_trunc('second', {})"


class SagaExplorer(Explorer):
    """Looks at sagas: press outcomes, list those that do not go on, or broken rules; open one.

    *all sagas* are in the order of their start, *not going on* are those that wait without a deadline ahead of
    them, longest idle first, and *broken rules* has a row for each event that breaks one. Opened, a saga is
    shown as bars in time, with the rules that it broke and all events that share its id.

    With the keyboard: Tab goes from control to control, Space presses, the arrow keys move through the rows.

    Parameters
    ----------
    sagas
        What ``log.sagas(…)`` gave.

    Attributes
    ----------
    value : Table
        What is listed: of ``sagas``, of ``sagas.stuck()`` or of ``sagas.violations(…)``.
    instance : Instance or None
        The saga that is open.

    Examples
    --------
    >>> import workbench as wb
    >>> from workbench.bundled import checkout_saga, sample
    >>> log = wb.open()
    >>> _ = log.load(wb.files(sample("checkout").events, name="checkout"), progress=False)
    >>> sagas = log.sagas(checkout_saga)
    >>> explorer = sagas.explore()
    >>> explorer.press("stuck")
    >>> explorer.code
    "sagas.of('stuck')"
    >>> explorer.open_saga(explorer.value.rows(1)[0]["saga_id"])
    >>> explorer.instance.outcome
    'stuck'
    >>> log.close()
    """

    def __init__(self, sagas: Sagas) -> None:
        self.sagas = sagas
        self.instance: Instance | None = None
        self._name = name_of(sagas, "sagas")
        self._counts, self._broken = sagas.counts, sagas.violation_counts
        self._which = ipywidgets.ToggleButtons(
            options=[ALL, STUCK, BROKEN],
            style={"button_width": "auto"},
            tooltips=[
                "in the order of their start",
                "stuck, timed out, or failed without an end; longest idle first",
                "each event that breaks a rule",
            ],
        )
        self._outcomes = _buttons(OUTCOMES, self._counts)
        self._rules = _buttons(VIOLATIONS, self._broken)
        self._part = ipywidgets.Text(
            description="id has", placeholder="part of an id", continuous_update=False
        )
        self._list = Listing("saga", sagas._database.rows)
        self._detail, self._chart = detail(), detail()
        self._opened = ipywidgets.VBox([self._chart, self._detail])
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        self._outcome_row = ipywidgets.HBox(list(self._outcomes.values()), layout=wrap)
        self._rule_row = ipywidgets.HBox(
            list(self._rules.values()), layout=ipywidgets.Layout(flex_flow="row wrap")
        )
        super().__init__(
            sagas.title,
            self._which,
            self._outcome_row,
            self._rule_row,
            self._part,
            self._list.box,
            self._opened,
        )
        for control in (
            self._which,
            self._part,
            *self._outcomes.values(),
            *self._rules.values(),
        ):
            self._listen(control, self._narrow)
        self._list.connect(self, self._open_chosen)
        self._narrow()

    def press(self, *names: str) -> None:
        """Press the buttons of some outcomes, or of some rules, and of no others."""
        with self._quietly():
            for name, button in {**self._outcomes, **self._rules}.items():
                button.value = name in names
            self._which.value = BROKEN if set(names) & set(VIOLATIONS) else ALL
        self._narrow()

    def open_saga(self, saga_id: str) -> None:
        """Open a saga by its id, whether it is among those listed or not.

        Raises
        ------
        ConfigError
            There is no such saga.
        """
        self.instance = self.sagas.instance(saga_id)
        self._fill()

    # -- the list --------------------------------------------------------------------------------

    def _narrow(self) -> None:
        which = self._which.value
        self._outcome_row.layout.display = "" if which == ALL else "none"
        self._rule_row.layout.display = "" if which == BROKEN else "none"
        narrower, code = self._chosen(which)
        if self._part.value:
            query = f"FROM result WHERE contains(saga_id, {text(self._part.value)})"
            narrower, code = narrower.query(query), f"{code}.query({query!r})"
        self._list.read(_rows(which, narrower))
        self.instance = None
        self._fill()
        self._show(code, narrower)

    def _chosen(self, which: str) -> tuple[Table, str]:
        """Return what is chosen by buttons, and the Python that gives it."""
        if which == STUCK:
            return self.sagas.stuck(), f"{self._name}.stuck()"
        buttons = self._outcomes if which == ALL else self._rules
        pressed = [name for name, button in buttons.items() if button.value]
        said = ", ".join(map(repr, pressed))
        if which == BROKEN:
            return self.sagas.violations(*pressed), f"{self._name}.violations({said})"
        if pressed:
            return self.sagas.of(*pressed), f"{self._name}.of({said})"
        return self.sagas, self._name

    def _open_chosen(self) -> None:
        key = self._list.chosen
        if key is not None:
            self.open_saga(*key)

    # -- one saga --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Show the saga that is open."""
        self._opened.layout.display = "none"
        self._chart.value = self._detail.value = ""
        if self.instance is None:
            return
        saga_id = self.instance.saga_id
        call = f"({saga_id!r})"
        self._detail.value = (
            self._facts(saga_id)
            + self._broken_html()
            + self._events(saga_id)
            + in_code(
                f"{self._name}.instance{call}.chart()",
                f"{self._name}.events{call}",
            )
        )
        self._opened.layout.display = ""
        self._chart.value = drawn(self.instance.chart())  # last, since it takes longest

    def _facts(self, saga_id: str) -> str:
        now = "NULL::TIMESTAMPTZ" if self.sagas.now is None else literal(self.sagas.now)
        idle, age = f"{now} - last_at", f"{now} - started_at"
        (row,) = self.sagas.query(
            f"SELECT *, {_length(idle)} AS idle, {_length(age)} AS age FROM result "
            f"WHERE saga_id = {text(saga_id)}"
        ).rows()
        found = [("outcome", row["outcome"])]
        if row["step"]:
            found.append(("at step", _html.visible(row["step"])))
        if row["started_at"] is not None:
            found.append(("started", _html.visible(row["started_at"])))
        if row["ended_at"] is not None:
            found.append(("ended", _html.visible(row["ended_at"])))
        elif row["idle"] is not None:
            found.append(("idle for", f"{row['idle']}, since {_html.visible(row['last_at'])}"))
            found.append(("age", f"{row['age']} at {_html.visible(self.sagas.now)}"))
        return _html.facts(found)

    def _broken_html(self) -> str:
        assert self.instance is not None
        rows = self.instance.query(
            "SELECT unnest(violations) AS rule, step, event_type, until, position FROM result ORDER BY position, rule"
        ).rows(PAGE)
        if not rows:
            return ""
        names = ["broken rule", "step", "shown by", "at (UTC)", "position"]
        return heading("Broken rules") + _html.table(
            names,
            [list(row.values()) for row in rows],
            numeric=[False, False, False, False, True],
        )

    def _events(self, saga_id: str) -> str:
        events = self.sagas.events(saga_id)
        rows = self.sagas._database.rows(
            "SELECT position, event_type, stream_id, version, coalesce(recorded_at, occurred_at), actor, "
            f"left(CAST(data AS VARCHAR), {_EXCERPT + 1}) FROM ({events.sql}) LIMIT {PAGE}"
        )
        count = len(rows) if len(rows) < PAGE else len(events)
        names = ["position", "event type", "stream", "version", "at (UTC)", "actor", "payload"]
        shown = [[*row[:5], row[5] or "", excerpt(row[6], _EXCERPT)] for row in rows]
        left = f"; the first {len(rows)} are shown" if len(rows) < count else ""
        about = f"{count:,} event{'' if count == 1 else 's'} with this id{left}"
        table = _html.table(names, shown, numeric=[True, False, False, True])
        return heading(about) + scrolled(table)

    # -- what stays ------------------------------------------------------------------------------

    def _still(self) -> tuple[str, str]:
        outcomes = [(name, f"{number:,}") for name, number in self._counts.items() if number]
        rules = [(name, f"{number:,}") for name, number in self._broken.items() if number]
        lines = ["   ".join(f"{name} {number}" for name, number in outcomes)]
        if rules:
            lines.append("broken rules: " + ", ".join(f"{name} {n}" for name, n in rules))
        lines.append(self._list.text())
        body = _html.facts([*outcomes, *((f"broken: {name}", number) for name, number in rules)])
        body += self._list.html()
        if self.instance is not None:
            lines.append(repr(self.instance))
            body += self._chart.value + self._detail.value
        return "\n".join(lines), body


def _buttons(names: tuple[str, ...], counts: dict[str, int]) -> dict[str, ipywidgets.ToggleButton]:
    return {
        name: ipywidgets.ToggleButton(
            description=f"{name} {counts[name]:,}",
            disabled=not counts[name],
            layout=ipywidgets.Layout(width="auto"),
        )
        for name in names
    }


def _rows(which: str, value: Table) -> Rows:
    """Say how each of the lists is put in order, and what it shows."""
    broken = "array_to_string(violations, ', ')"
    if which == BROKEN:
        return Rows(
            value._query,
            order=("saga_id", f"coalesce(position, {_LAST})", "violation", "coalesce(step, '')"),
            columns={
                "saga": "saga_id",
                "broken rule": "violation",
                "step": "coalesce(step, '(the end)')",
                "shown by": "event_type",
                "at (UTC)": _TIME.format("event_at"),
                "position": "position",
            },
            keys=("saga_id",),
            what="broken rule",
        )
    if which == STUCK:
        return Rows(
            value._query,
            order=(f"coalesce(epoch_us(last_at), {_LAST})", "saga_id"),
            columns={
                "saga": "saga_id",
                "outcome": "outcome",
                "waits for": "step",
                "idle": _length("idle"),
                "age": _length("age"),
                "last event": "last_event",
                "at (UTC)": _TIME.format("last_at"),
                "broken rules": broken,
            },
            keys=("saga_id",),
        )
    return Rows(
        value._query,
        order=(f"coalesce(epoch_us(started_at), {_LAST})", "saga_id"),
        columns={
            "saga": "saga_id",
            "outcome": "outcome",
            "step": "step",
            "started (UTC)": _TIME.format("started_at"),
            "took": _length("duration"),
            "events": "events",
            "broken rules": broken,
        },
        keys=("saga_id",),
    )


def _length(interval: str) -> str:
    """Write a length of time in SQL, in its two largest units."""
    seconds = f"CAST(floor(epoch({interval})) AS BIGINT)"
    return (
        f"CASE WHEN {seconds} >= 86400 THEN ({seconds} // 86400) || ' d ' || ({seconds} % 86400 // 3600) || ' h' "
        f"WHEN {seconds} >= 3600 THEN ({seconds} // 3600) || ' h ' || ({seconds} % 3600 // 60) || ' min' "
        f"WHEN {seconds} >= 60 THEN ({seconds} // 60) || ' min ' || ({seconds} % 60) || ' s' "
        f"ELSE {seconds} || ' s' END"
    )
