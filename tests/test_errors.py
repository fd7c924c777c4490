"""Errors: a tree that can be caught by kind, one clean line in a notebook, and a next step."""

from __future__ import annotations

import inspect
import re

import pytest

from workbench import errors
from workbench.errors import WorkbenchError, did_you_mean

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, WorkbenchError)
]


def tree() -> dict[str, str | None]:
    """Read the tree in the module's docstring: class -> the class above it."""
    found: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<bars>[│├└─ ]*)(?P<name>[A-Z]\w+)(  |$)", line)
        if match:
            depth = len(match["bars"]) // 4
            above = [*above[:depth], match["name"]]
            found[match["name"]] = above[depth - 1] if depth else None
    return found


def test_the_tree_of_the_docstring_is_the_tree_of_the_classes() -> None:
    assert tree() == {
        kind.__name__: None if kind is WorkbenchError else kind.__base__.__name__
        for kind in CLASSES
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_takes_a_hint_and_gives_one_clean_entry(kind: type[WorkbenchError]) -> None:
    error = kind("something is wrong.", hint="do this")
    assert str(error) == "something is wrong.\n  → do this"
    assert error.hint == "do this"
    assert error._render_traceback_() == [f"{kind.__name__}: {error}"]
    assert str(kind("wrong.")) == "wrong."


def test_an_error_in_a_notebook_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # IPython warns when it names another one
    shell = InteractiveShell()
    shell.run_cell("from workbench.errors import LogLocked\nraise LogLocked('held.', hint='wait')")
    out = capsys.readouterr().out
    assert "LogLocked: held.\n  → wait" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("DepositMad", ["DepositMade", "Opened"], " Did you mean 'DepositMade'?"),
        ("amont", ["amount", "amounts"], " Did you mean 'amount' or 'amounts'?"),
        ("xyz", ["b", "a"], " Known: a, b."),
        ("xyz", [], ""),
        ("xyz", [f"name{n}" for n in range(50)], ""),
    ],
)
def test_close_names_are_offered(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said
