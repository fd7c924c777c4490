"""What all explorers have in common: code, value, errors that are seen, and what stays without a kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.fix_log import MakeLog
from workbench.errors import ConfigError
from workbench.ui.explorer import Explorer, name_of
from workbench.ui.keys import Keys

VIEW = "application/vnd.jupyter.widget-view+json"


class Doubler(Explorer):
    """Doubles a whole number."""

    def __init__(self, title: str = "Twice") -> None:
        self.number = ipywidgets.Text(description="number", continuous_update=False)
        self.again = ipywidgets.Button(description="again")
        super().__init__(title, self.number, self.again)
        self._listen(self.number, self.double)
        self._press(self.again, self.double)
        self._show("2 * 0", 0)

    def double(self) -> None:
        if self.number.value == "stop":
            raise KeyboardInterrupt
        if self.number.value == "<b>":
            message = "<b> is no number."
            raise ConfigError(message, hint="write 7")
        self._show(f"2 * {self.number.value}", 2 * int(self.number.value))

    def _still(self) -> tuple[str, str]:
        return f"it is {self.value}", f"<p>it is {self.value}</p>"


def said(explorer: Explorer) -> str:
    return str(explorer._message.value)


def test_the_code_gives_the_value() -> None:
    explorer = Doubler()
    explorer.number.value = "21"
    assert (explorer.code, explorer.value) == ("2 * 21", 42)
    assert "2 * 21" in explorer._code.value


def test_others_can_listen() -> None:
    explorer, heard = Doubler(), []
    explorer.observe(lambda change: heard.append(change.new), "value")
    explorer.number.value = "4"
    assert heard == [8]


def test_an_error_is_shown_with_its_hint_and_says_that_nothing_changed() -> None:
    explorer = Doubler()
    explorer.number.value = "3"
    explorer.number.value = "<b>"
    assert 'role="alert"' in said(explorer)
    assert "&lt;b&gt; is no number.<br>→ write 7<br>What is shown is from before." in said(explorer)
    assert (explorer.code, explorer.value) == ("2 * 3", 6)


def test_the_next_thing_that_works_takes_the_error_away() -> None:
    explorer = Doubler()
    explorer.number.value = "<b>"
    explorer.number.value = "5"
    assert said(explorer) == ""


def test_a_defect_is_shown_and_not_swallowed() -> None:
    explorer = Doubler()
    with pytest.raises(ValueError, match="invalid literal"):
        explorer.number.value = "seven"
    assert "ValueError: invalid literal" in said(explorer)


def test_an_interrupt_ends_what_takes_too_long() -> None:
    explorer = Doubler()
    explorer.number.value = "stop"
    assert "stopped." in said(explorer)


def test_an_interrupt_of_a_query_is_no_defect() -> None:
    """DuckDB turns the kernel's interrupt into a RuntimeError of these words."""
    explorer = Doubler()

    def interrupted() -> None:
        message = "Query interrupted"
        raise RuntimeError(message)

    explorer._run(interrupted)
    assert "stopped." in said(explorer)
    assert explorer.code == "2 * 0"


def test_buttons_are_heard_too() -> None:
    explorer = Doubler()
    with explorer._quietly():
        explorer.number.value = "8"
    assert explorer.value == 0
    explorer.again.click()
    assert explorer.value == 16


def test_a_display_holds_the_widget_and_what_stays_without_a_kernel() -> None:
    explorer = Doubler("Twice <script>")
    explorer.number.value = "9"
    bundle = explorer._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == explorer.model_id
    assert bundle["text/plain"] == "Twice <script>\nit is 18\n\n2 * 9" == repr(explorer)
    html = bundle["text/html"]
    assert "it is 18" in html
    assert "2 * 9" in html
    assert "<script>" not in html


def test_what_is_said_is_escaped() -> None:
    explorer = Doubler()
    explorer._say("looking for <script>alert(1)</script>")
    assert "<script>" not in said(explorer)
    explorer._show("log.where(stream='<script>')", None)
    assert "<script>" not in explorer._code.value


def test_the_notebook_takes_no_key_from_an_explorer() -> None:
    (keys,) = [child for child in Doubler().children if isinstance(child, Keys)]
    assert "data-lm-suppress-shortcuts" in keys._esm
    assert "import " not in keys._esm  # nothing is fetched


# -- names ---------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    yield InteractiveShell.instance(config=config)
    InteractiveShell.clear_instance()


def test_code_uses_the_name_that_the_notebook_uses(
    shell: InteractiveShell, make_log: MakeLog
) -> None:
    bank, other = make_log([{"stream_id": "a"}]), make_log([{"stream_id": "b"}])
    shell.user_ns.update({"_7": bank, "bank": bank})
    assert (name_of(bank, "log"), name_of(other, "log")) == ("bank", "log")
    explorer = bank.explore()
    explorer.stream.value = "a"
    assert explorer.code == 'bank.where(stream="a")'
    assert eval(explorer.code, {"bank": bank}).fingerprint() == explorer.value.fingerprint()


# -- what it costs -------------------------------------------------------------------------------


def test_only_who_explores_imports_widgets() -> None:
    def loaded(code: str) -> list[str]:
        program = f"import sys, workbench as wb\nlog = wb.open()\n{code}\n"
        program += (
            "print([name for name in ('ipywidgets', 'altair', 'IPython') if name in sys.modules])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        found = eval(ran.stdout)
        assert isinstance(found, list)
        return found

    assert loaded("log.health()") == []
    # Altair takes a second or more to import; only the explorers that draw need it.
    assert "altair" not in loaded("log.explore()")
