"""For data sets with known faults a diff finds exactly these: none missed, none invented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench import samples
from workbench.bundled import DEFINITIONS, account, account_summary, order_summary, sample
from workbench.errors import ConfigError

SETS = ["bank bundled", "checkout bundled", "bank seed 7", "checkout seed 11", "bank no faults"]
DEFINED = {"bank": account_summary, "checkout": order_summary}


@dataclass(frozen=True)
class Case:
    log: wb.EventLog
    definition: wb.Projection
    model: Path
    truth: dict[str, Any]

    @property
    def faults(self) -> dict[str, str]:
        """Key -> class, of the rows that are wrong."""
        return {fault["key"]: fault["class"] for fault in self.truth["faults"]}

    def diff(self, definition: wb.Projection | wb.Fold | None = None, **checkpoint: str) -> Any:
        model = wb.read_model(self.model, **checkpoint)
        return self.log.diff(definition or self.definition, model)

    def found(self, diff: Any) -> dict[str, str]:
        return {
            row[self.truth["key"]]: row["class"] for row in diff.rows() if row["class"] != "match"
        }


@pytest.fixture(scope="module", params=SETS)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    domain, kind, *seed = request.param.split()
    if kind == "bundled":
        given = sample(domain)
        events, model, truth = given.events, given.read_model, given.truth
    else:
        made = samples.generate(
            domain,
            tmp_path_factory.mktemp(domain),
            events=6_000,
            seed=int(seed[0]) if seed[0].isdigit() else 3,
            faults=kind != "no",
        )
        events, model, truth = made.files[0], made.read_model, made.truth
    with wb.open() as log:
        log.load(wb.files(events), progress=False)
        yield Case(log, DEFINED[domain], model, json.loads(truth.read_text()))


@pytest.mark.parametrize("checkpoint", [{}, {"version": "version"}, {"position": "position"}])
def test_exactly_the_faults_are_found(case: Case, checkpoint: dict[str, str]) -> None:
    diff = case.diff(**checkpoint)
    assert case.found(diff) == case.faults
    assert diff.counts["match"] == case.truth["rows"] - sum(
        kind != "missing" for kind in case.faults.values()
    )


def test_everything_is_compared_and_nothing_left_aside(case: Case) -> None:
    diff = case.diff()
    assert list(diff.compared) == case.truth["compared"]
    assert diff.notes == ()


def test_the_columns_that_differ_are_named(case: Case) -> None:
    named = {row[case.truth["key"]]: row["columns"] for row in case.diff().rows()}
    for fault in case.truth["faults"]:
        # A row that only one side has is not compared column by column.
        expected = fault["columns"] if fault["class"] in ("corrupted", "stale") else []
        assert named[fault["key"]] == expected, fault["key"]


def test_a_stale_row_equals_a_version_that_the_truth_names(case: Case) -> None:
    equals = {row[case.truth["key"]]: row["equals_version"] for row in case.diff().rows()}
    for fault in case.truth["faults"]:
        if fault["class"] == "stale":
            assert equals[fault["key"]] in fault["equals_versions"], fault["key"]


def test_the_event_at_fault_is_among_those_behind_the_row(case: Case) -> None:
    diff = case.diff()
    for fault in case.truth["faults"]:
        if fault["class"] == "corrupted":
            behind = {event["event_id"] for event in diff.events(fault["key"]).rows()}
            assert {event["event_id"] for event in fault["events"]} <= behind


def test_bundled_data_has_faults_of_every_kind() -> None:
    for domain in DEFINED:
        faults = json.loads(sample(domain).truth.read_text())["faults"]
        kinds = {fault["fault"] for fault in faults}
        assert {"stale", "missing", "orphaned", "skipped_event", "doubled_event"} <= kinds


def test_the_fold_finds_the_same_faults_as_the_projection() -> None:
    bank = sample("bank")
    truth = json.loads(bank.truth.read_text())
    with wb.open() as log:
        log.load(wb.files(bank.events), progress=False)
        case = Case(log, bank.definition, bank.read_model, truth)
        assert case.found(case.diff(account, version="version")) == case.faults
        assert case.found(case.diff(account)) == case.faults


def test_the_names_on_the_command_line_are_these() -> None:
    from workbench.cli.definitions import BUNDLED

    assert tuple(DEFINITIONS) == BUNDLED


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'bnak'.*'bank'"):
        sample("bnak")
