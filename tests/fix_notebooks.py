"""Notebooks run in a fresh kernel, each once for all the tests that look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.notebooks import Executed, execute

Run = Callable[[str], Executed]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a notebook, or return what it was when it ran."""
    done: dict[str, Executed] = {}

    def executed(name: str) -> Executed:
        if name not in done:
            done[name] = execute(name, tmp_path_factory.mktemp(name))
        return done[name]

    return executed
