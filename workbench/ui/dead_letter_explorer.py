"""DeadLetterExplorer: what consumers gave up, by fingerprint; one letter opened; what a re-drive would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ipywidgets

from workbench import _html
from workbench._sql import any_of
from workbench.analysis.dead_letters import DeadLetters
from workbench.analysis.dead_letters.base import ROLES
from workbench.analysis.dead_letters.groups import counted
from workbench.analysis.definition import Definition
from workbench.moments import Time
from workbench.ui import dead_letter_page as page
from workbench.ui.explorer import PAGE, Explorer, name_of
from workbench.ui.listing import Listing, Rows, aligned, choices
from workbench.ui.parts import detail, heading, in_code, scrolled

if TYPE_CHECKING:
    from workbench.analysis.redrive.plan import RedrivePlan

_LAST: Final = "9223372036854775807"
_ERROR: Final = 80
_ANY: Final = "any"


class DeadLetterExplorer(Explorer):
    """Looks at dead letters: choose a fingerprint (new ones first), a consumer, a type, a role; open one letter.

    Opened, a letter shows its error, payload and headers, and what was processed of its stream since. Letters
    can be picked; the dry run says what a re-drive of those (or of all that are listed) would do. **Nothing is
    ever sent from here**: that is ``explorer.plan.send(…)``, in a cell of its own.

    With the keyboard: Tab goes from control to control, Space presses, the arrow keys move through the lists.

    Parameters
    ----------
    letters
        What ``log.dead_letters()`` gave.
    definition, to
        For the plan of a re-drive, as in :meth:`DeadLetters.redrive`.
    new_since
        As in :meth:`DeadLetters.fingerprints`.

    Attributes
    ----------
    value : DeadLetters
        The dead letters as filtered.
    letter : dict or None
        The one that is open.
    picked : DeadLetters or None
        Those that were picked.
    plan : RedrivePlan or None
        What the last dry run gave.

    Examples
    --------
    >>> import workbench as wb
    >>> from workbench.bundled import sample
    >>> folder = sample("checkout").events.parent
    >>> log = wb.open()
    >>> _ = log.load(wb.files(sample("checkout").events, name="checkout"), progress=False)
    >>> _ = log.load(wb.dead_letters(folder / "dead_letters.parquet"), progress=False)
    >>> dead_letters = log.dead_letters()
    >>> explorer = dead_letters.explore()
    >>> explorer.open_letter(1)
    >>> explorer.letter["role"]
    'root'
    >>> log.close()
    """

    def __init__(
        self,
        letters: DeadLetters,
        definition: Definition | None = None,
        to: str | None = None,
        new_since: Time | None = None,
    ) -> None:
        self.letters, self.definition, self.to = letters, definition, to
        self.letter: dict[str, Any] | None = None
        self.picked: DeadLetters | None = None
        self.plan: RedrivePlan | None = None
        self._picks: list[int] = []
        self._name = name_of(letters, "dead_letters")
        ways = letters.fingerprints(new_since)
        self._ways_notes = ways.notes
        self._ways = ways.rows(PAGE)
        self._fingerprint = ipywidgets.Select(
            options=self._fingerprints(len(ways)),
            rows=min(8, len(self._ways) + 1),
            layout=ipywidgets.Layout(width="calc(100% - 4px)"),  # its margins
            tooltip="fingerprints: the ways in which events failed, new ones first",
        )
        self._fingerprint.add_class("workbench-list")
        self._consumer = self._dropdown("consumer", "consumer")
        self._type = self._dropdown("event_type", "type")
        roles = dict(letters._rows("SELECT role, count(*) FROM letters GROUP BY role"))
        self._roles = {
            name: ipywidgets.ToggleButton(
                description=f"{name} {roles.get(name, 0):,}",
                disabled=not roles.get(name),
                tooltip=page.ROLES[name],
                layout=ipywidgets.Layout(width="auto"),
            )
            for name in ROLES
        }
        self._list = Listing("dead letter", letters._database.rows)
        wide = ipywidgets.Layout(width="auto")
        self._detail, self._planned = detail(), detail()
        self._pick = ipywidgets.Button(description="pick for a re-drive", layout=wide)
        self._clear = ipywidgets.Button(description="pick none", layout=wide)
        self._dry = ipywidgets.Button(
            description="dry run", layout=wide, tooltip="plans a re-drive; nothing is sent"
        )
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        super().__init__(
            letters.title,
            ipywidgets.HTML(
                heading("Fingerprints, new ones first: dead letters, error, consumers")
            ),
            self._fingerprint,
            ipywidgets.HBox([self._consumer, self._type, *self._roles.values()], layout=wrap),
            self._list.box,
            ipywidgets.HBox([self._pick, self._clear, self._dry], layout=wrap),
            self._planned,
            self._detail,
        )
        for control in (self._fingerprint, self._consumer, self._type, *self._roles.values()):
            self._listen(control, self._narrow)
        self._list.connect(self, self._open_chosen)
        self._press(self._pick, self._pick_or_drop)
        self._press(self._clear, self._pick_none)
        self._press(self._dry, self._dry_run)
        self._narrow()

    def open_letter(self, dead_letter_id: int) -> None:
        """Open a dead letter, whether it is among those listed or not.

        Raises
        ------
        ConfigError
            There is no such dead letter.
        """
        self.letter = page.letter(self.letters, dead_letter_id)
        self._fill()

    def pick(self, *dead_letter_ids: int) -> None:
        """Pick dead letters for a re-drive, and no others."""
        self._picks = list(dict.fromkeys(dead_letter_ids))
        for one in self._picks:
            page.letter(self.letters, one)
        self._picked()

    # -- controls --------------------------------------------------------------------------------

    def _fingerprints(self, count: int) -> list[tuple[str, Any]]:
        rows = [
            (
                "new" if row["new"] else "",
                row["dead_letters"],
                _html.visible(row["error"] or "(tells no error)", _ERROR),
                ", ".join(row["consumers"] or ["(unknown)"]),
            )
            for row in self._ways
        ]
        every = ("", len(self.letters), f"all, {counted(count, 'fingerprint')}", "")
        lines = aligned([every, *rows], [False, True], _ERROR)
        return list(zip(lines, [..., *(row["fingerprint"] for row in self._ways)], strict=True))

    def _dropdown(self, column: str, word: str) -> ipywidgets.Dropdown:
        found = self.letters._rows(
            f"SELECT {column}, count(*) AS n FROM letters GROUP BY ALL ORDER BY n DESC, 1 LIMIT {PAGE + 1}"
        )
        every = f"{_ANY}" if len(found) <= PAGE else f"{_ANY} (the {PAGE} most frequent are listed)"
        return ipywidgets.Dropdown(options=choices(found[:PAGE], every), description=word)

    # -- the list --------------------------------------------------------------------------------

    def _narrow(self) -> None:
        wanted: dict[str, Any] = {}
        unknown = []
        for name, column, control in (
            ("fingerprint", "fingerprint", self._fingerprint),
            ("consumer", "consumer", self._consumer),
            ("types", "event_type", self._type),
        ):
            if control.value is None:
                unknown.append(f"{column} IS NULL")
            elif control.value is not ...:
                wanted[name] = control.value
        pressed = [name for name, button in self._roles.items() if button.value]
        if pressed and not all(button.value or button.disabled for button in self._roles.values()):
            wanted["role"] = pressed[0] if len(pressed) == 1 else pressed
        if unknown:
            wanted["condition"] = " AND ".join(unknown)
        said = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
        value = self.letters.where(**wanted)
        self._list.read(
            Rows(
                value._query,
                order=(f"coalesce(-epoch_us(dead_lettered_at), {_LAST})", "dead_letter_id"),
                columns={
                    "id": "dead_letter_id",
                    "given up (UTC)": "date_trunc('second', dead_lettered_at)",
                    "consumer": "consumer",
                    "event type": "event_type",
                    "stream": "stream_id",
                    "version": "version",
                    "tries": "attempts",
                    "role": "role",
                    "error": "coalesce(error_class, left(error_message, 60))",
                },
                keys=("dead_letter_id",),
            )
        )
        self.letter = None
        self._fill()
        self._show(f"{self._name}.where({said})" if wanted else self._name, value)
        self._picked()

    def _open_chosen(self) -> None:
        key = self._list.chosen
        if key is not None:
            self.open_letter(*key)

    # -- one letter ------------------------------------------------------------------------------

    def _fill(self) -> None:
        self._detail.value = ""
        if self.letter is not None:
            self._detail.value = page.html(self.letters, self.letter, self._name)
        self._label()

    # -- a re-drive ------------------------------------------------------------------------------

    def _pick_or_drop(self) -> None:
        if self.letter is None:
            return
        one = self.letter["dead_letter_id"]
        if one in self._picks:
            self._picks.remove(one)
        else:
            self._picks.append(one)
        self._picked()

    def _pick_none(self) -> None:
        self._picks = []
        self._picked()

    def _picked(self) -> None:
        """Narrow to what is picked; a plan of something else is no longer shown."""
        self.picked = self.letters.where(condition=self._condition) if self._picks else None
        self.plan, self._planned.value = None, ""
        self._label()

    @property
    def _condition(self) -> str:
        return any_of("dead_letter_id", self._picks)

    def _label(self) -> None:
        one = None if self.letter is None else self.letter["dead_letter_id"]
        self._pick.disabled, self._clear.disabled = one is None, not self._picks
        self._pick.description = (
            "pick for a re-drive"
            if one is None
            else f"{'drop' if one in self._picks else 'pick'} dead letter {one}"
        )
        which = (
            f"{len(self._picks):,} picked" if self._picks else f"all {self._list.count:,} listed"
        )
        self._dry.description = f"dry run of a re-drive: {which}"
        self._dry.disabled = not self._picks and not self._list.count

    def _dry_run(self) -> None:
        chosen = self.value if self.picked is None else self.picked
        self._say("planning …")
        self.plan = chosen.redrive(self.definition, to=self.to)
        self._say("")
        given = []
        if self.definition is not None:
            given.append(name_of(self.definition, "definition"))
        if self.to is not None:
            given.append(f"to={self.to!r}")
        code = (
            self.code
            if self.picked is None
            else f"{self._name}.where(condition={self._condition!r})"
        )
        self._planned.value = page.plan_html(self.plan) + in_code(
            f"{code}.redrive({', '.join(given)})"
        )

    # -- what stays ------------------------------------------------------------------------------

    def _still(self) -> tuple[str, str]:
        names = ["", "fingerprint", "dead letters", "error", "consumers"]
        ways = [
            [
                "new" if row["new"] else "",
                row["fingerprint"],
                row["dead_letters"],
                row["error"],
                ", ".join(row["consumers"] or []),
            ]
            for row in self._ways[:10]
        ]
        numeric = [False, False, True]
        parts = [
            _html.text_table(names, ways, numeric=numeric),
            *self._ways_notes,
            self._list.text(),
        ]
        body = _html.table(names, ways, numeric=numeric)
        body += "".join(map(_html.note, self._ways_notes)) + self._list.html()
        if self.plan is not None:
            parts += [_html.line(self.plan.title), *map(_html.line, self.plan.said())]
        if self.letter is not None:
            parts.append(page.text(self.letter))
        return "\n".join(parts), scrolled(body) + self._planned.value + self._detail.value
