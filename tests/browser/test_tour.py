"""The first notebook, driven to its end in a browser, in both themes, and opened again by somebody without a kernel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest

from tests.browser import checks
from tests.browser.lab import Lab
from tests.notebooks import FOLDER
from workbench.bundled import sample

pytestmark = pytest.mark.slow

NAME = "00_start_here.ipynb"


@pytest.fixture(scope="module")
def tour(lab: Lab) -> Iterator[Lab]:
    """The tour, run to its end and saved."""
    lab.server.notebooks.joinpath(NAME).write_bytes((FOLDER / NAME).read_bytes())
    lab.open(NAME)
    lab.run()
    lab.save()
    yield lab
    checks.quiet(lab)


def test_it_runs_to_the_end_without_an_error(tour: Lab) -> None:
    checks.quiet(tour)
    assert len([cell for cell in tour.shown() if cell["text"].strip()]) >= 10


def test_it_shows_the_record(tour: Lab) -> None:
    assert "25,000 in" in tour.text("health")
    assert "0 version gaps, 0 clashes, 0 clock regressions" in tour.text("health")


def test_it_names_the_event_that_explains_a_wrong_row(tour: Lab) -> None:
    faults = json.loads(sample("bank").truth.read_text())["faults"]
    (fault,) = [one for one in faults if one["key"] == "acc-000774"]
    (event,) = fault["events"]
    assert str(event["position"]) in tour.text("suspect")
    assert "'skipped_event'" in tour.text("truth")
    assert "False" not in tour.text("proof")


def test_each_chart_is_drawn(tour: Lab) -> None:
    notebook = nbformat.read(FOLDER / NAME, as_version=4)
    charts = [
        at for at, cell in enumerate(notebook.cells) if "chart" in cell.metadata.get("tags", [])
    ]
    assert len(charts) == 4
    shown = tour.shown()
    assert [shown[at]["pictures"] for at in charts] == [1] * len(charts)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_of_it_can_be_read(tour: Lab, dark: bool) -> None:
    tour.theme(dark)
    checks.readable(tour)


def test_nothing_is_lost_without_a_kernel_and_without_trust(
    tour: Lab, reopened: Callable[[Lab, str], list[dict[str, Any]]]
) -> None:
    tour.theme(False)
    before = tour.shown()
    checks.same_as(before, reopened(tour, NAME))
    checks.quiet(tour)
