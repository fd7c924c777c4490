"""Generated logs whose payloads have three versions, and the truth about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import workbench as wb
from workbench import samples
from workbench.bundled import account_summary, order_summary


@dataclass(frozen=True)
class Versioned:
    """A log in three versions, the upcasters at hand and those that were lost, and the truth."""

    domain: str
    log: wb.EventLog
    at_hand: list[wb.Upcaster]
    every: list[wb.Upcaster]
    truth: dict[str, Any]
    impact: list[dict[str, Any]]

    @property
    def definition(self) -> wb.Projection:
        return {"bank": account_summary, "checkout": order_summary}[self.domain]


def upcaster(step: dict[str, Any]) -> wb.Upcaster:
    """Write a step of the truth as an upcaster."""
    made = wb.Upcaster(step["event_type"], from_version=step["from"], to_version=step["to"])
    for rule in step["rules"]:
        match rule:
            case {"rule": "rename", "field": old, "to": new}:
                made = made.rename(old, new)
            case {"rule": "convert", "field": old, "to": new, "divide": by}:
                made = made if old == new else made.rename(old, new)
                made = made.convert(new, factor=1 / Decimal(by))
            case {"rule": "split", "field": name, "to": into, "at": at}:
                made = made.split(name, into, at=at)
            case {"rule": "add", "field": name, "default": default}:
                made = made.add(name, default)
            case _:
                raise AssertionError(rule)
    return made


def versioned(domain: str, folder: Path, *, events: int, seed: int) -> Iterator[Versioned]:
    samples.generate(domain, folder, events=events, seed=seed, faults="causes", schema_versions=3)
    truth = json.loads((folder / "versions.json").read_text(), parse_float=Decimal)
    steps = truth["upcasters"]
    with wb.open() as log:
        log.load(wb.files(folder / "events.parquet", name=domain), progress=False)
        yield Versioned(
            domain,
            log,
            [upcaster(step) for step in steps if step["at_hand"]],
            [upcaster(step) for step in steps],
            truth,
            pq.read_table(folder / "impact.parquet").to_pylist(),
        )


@pytest.fixture(scope="module", params=["bank", "checkout"])
def three_versions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Versioned]:
    """A log of each domain in three versions."""
    folder = tmp_path_factory.mktemp(request.param)
    yield from versioned(request.param, folder, events=9_000, seed=11)
