"""Every result and every chart in a browser: what it says, in both themes, and opened again without a kernel."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import checks
from tests.browser.lab import Lab
from tests.browser.reprs import CELLS
from workbench.bundled import sample

pytestmark = pytest.mark.slow

NAME = "reprs.ipynb"
CHARTS = [tag for tag, _ in CELLS if tag.endswith("chart")]
RESULTS = [tag for tag, _ in CELLS if tag and not tag.endswith("chart")]


@pytest.fixture(scope="module")
def all_of_it(lab: Lab) -> Iterator[Lab]:
    """A notebook with one of everything, run to its end and saved."""
    lab.write(NAME, CELLS)
    lab.run()
    lab.save()
    yield lab
    checks.quiet(lab)


def truth(domain: str, name: str = "truth") -> Any:
    return json.loads(sample(domain).truth.with_name(f"{name}.json").read_text())


def numbers(text: str) -> dict[str, int]:
    """The rows of a table that begin with a name and a number, as a reader sees them."""
    found = {}
    for line in text.splitlines():
        name, *rest = line.split("\t")
        if rest and rest[0].replace(",", "").isdecimal():
            found[name] = int(rest[0].replace(",", ""))
    return found


@pytest.mark.parametrize("tag", RESULTS)
def test_each_result_is_a_table_or_a_card(all_of_it: Lab, tag: str) -> None:
    assert all_of_it.cell(tag).locator(".jp-RenderedHTML").count() == 1
    assert len(all_of_it.text(tag)) > 100


@pytest.mark.parametrize("tag", CHARTS)
def test_each_chart_is_drawn(all_of_it: Lab, tag: str) -> None:
    at = [tag for tag, _ in CELLS].index(tag)
    assert all_of_it.shown()[at]["pictures"] == 1


def test_a_diff_counts_what_is_wrong(all_of_it: Lab) -> None:
    expected = Counter(fault["class"] for fault in truth("bank")["faults"])
    seen = numbers(all_of_it.text("diff"))
    assert {name: seen[name] for name in expected} == expected


def test_an_explanation_says_how_many_it_explains(all_of_it: Lab) -> None:
    assert "39 wrong rows, 35 explained exactly, 4 unexplained" in all_of_it.text("explanation")


def test_a_repair_says_that_it_is_a_plan(all_of_it: Lab) -> None:
    assert "nothing has been run" in all_of_it.text("repair")


def test_sagas_count_outcomes(all_of_it: Lab) -> None:
    expected = truth("checkout", "sagas_truth")["outcomes"]
    seen = numbers(all_of_it.text("sagas"))
    assert {name: seen[name] for name in expected} == expected


def test_dead_letters_say_of_how_many_events(all_of_it: Lab) -> None:
    told = truth("checkout", "dead_letters_truth")
    assert f"{told['dead_letters']} of {told['distinct_events']} events" in all_of_it.text(
        "dead letters"
    )


def test_an_audit_shows_the_stream_and_its_head(all_of_it: Lab) -> None:
    assert "acc-000774" in all_of_it.text("audit")
    assert "DepositMade" in all_of_it.text("audit")


def test_a_history_ends_with_what_still_holds(all_of_it: Lab) -> None:
    assert "current_balance" in all_of_it.text("history")
    assert "valid_to" in all_of_it.text("history")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_of_it_can_be_read(all_of_it: Lab, dark: bool) -> None:
    all_of_it.theme(dark)
    checks.readable(all_of_it)


def test_nothing_is_lost_without_a_kernel_and_without_trust(
    all_of_it: Lab, reopened: Callable[[Lab, str], list[dict[str, Any]]]
) -> None:
    all_of_it.theme(False)
    before = all_of_it.shown()
    checks.same_as(before, reopened(all_of_it, NAME))
    checks.quiet(all_of_it)
