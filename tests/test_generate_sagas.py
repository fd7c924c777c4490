"""The truth about sagas, checked by the rules of datasets/README.md, applied in plain Python to the events."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from workbench import samples

Event = dict[str, Any]
Saga = list[Event]
Violation = tuple[str, str, int]

SUCCESS = {"InventoryReserved": "reserve", "PaymentProcessed": "pay", "OrderShipped": "ship"}
FAILURE = {
    "InventoryReservationFailed": "reserve",
    "PaymentFailed": "pay",
    "ShipmentFailed": "ship",
}
COMPENSATION = {"InventoryReleased": "reserve", "PaymentRefunded": "pay"}
ENDS = ("OrderCompleted", "OrderCancelled")
STEPS = ["reserve", "pay", "ship", "complete"]


def step_of(event: Event) -> str:
    kind = event["event_type"]
    return (SUCCESS | FAILURE | COMPENSATION | dict.fromkeys(ENDS, "complete"))[kind]


@dataclass
class Part:
    step: str
    succeeded: list[Event] = field(default_factory=list)
    compensated: list[Event] = field(default_factory=list)
    stands: bool = False
    failed: bool = False


@dataclass
class Verdict:
    outcome: str
    current_step: str | None
    violations: list[Violation]


def judge(saga: Saga, cut_off: dt.datetime, hours: dict[str, int]) -> Verdict:
    parts: dict[str, Part] = {}
    violations: list[Violation] = []
    end: str | None = None
    reached: set[str] = set()

    def breaks(violation: str, step: str, event: Event) -> None:
        violations.append((violation, step, event["position"]))

    for event in saga:
        kind = event["event_type"]
        if end is not None:
            breaks("event after the end", step_of(event), event)
        if kind in SUCCESS or kind == "OrderCompleted":
            for step in STEPS[: STEPS.index(step_of(event))]:
                if step not in reached:
                    breaks("step skipped", step, event)
            reached |= set(STEPS[: STEPS.index(step_of(event)) + 1])
        if kind in ENDS:
            end = end or kind
            continue
        if kind == "OrderCreated":
            continue
        part = parts.setdefault(event["stream_id"], Part(step_of(event)))
        if kind in SUCCESS:
            if part.stands:
                breaks("duplicate step", part.step, event)
            part.succeeded.append(event)
            part.stands, part.failed = True, False
        elif kind in FAILURE:
            part.failed = True
        else:
            if not part.succeeded:
                breaks("compensation of what never happened", part.step, event)
            elif not part.stands:
                breaks("duplicate step", part.step, event)
            part.compensated.append(event)
            part.stands = False

    undone = [part for part in parts.values() if part.succeeded and part.compensated]
    for part in undone:
        began, back = part.succeeded[0]["position"], part.compensated[0]["position"]
        if any(
            other.succeeded[0]["position"] > began and other.compensated[0]["position"] > back
            for other in undone
        ):
            breaks("compensation in the wrong order", part.step, part.compensated[0])

    def passed(since: Event, deadline: str) -> bool:
        return cut_off - since["recorded_at"] > dt.timedelta(hours=hours[deadline])

    successful = [STEPS.index(part.step) for part in parts.values() if part.succeeded]
    step: str | None = STEPS[max(successful, default=-1) + 1]
    standing = [part for part in parts.values() if part.stands and part.step != "ship"]
    failed = [part.step for part in parts.values() if part.failed]
    back = failed or any(part.compensated for part in parts.values())
    if end is not None:
        cancelled = "failed" if standing else "compensated"
        outcome, step = "completed" if end == "OrderCompleted" else cancelled, None
    elif back:
        outcome = "failed" if passed(saga[-1], "compensate") else "compensating"
        step = max(failed, key=STEPS.index) if failed else None
    elif passed(saga[0], "saga"):
        outcome = "timed out"
    else:
        outcome = "stuck" if passed(saga[-1], str(step)) else "running"
    if outcome == "failed":
        for part in standing:
            breaks("missing compensation", part.step, part.succeeded[-1])
    return Verdict(outcome, step, sorted(violations, key=lambda one: (one[2], one[0], one[1])))


def read(files: tuple[Path, ...]) -> dict[str, Saga]:
    con = duckdb.connect()
    con.execute("SET timezone = 'UTC'")
    table = con.sql(
        "SELECT correlation_id, stream_id, version, event_id, event_type, recorded_at, position "
        "FROM read_parquet($1) ORDER BY position",
        params=[[str(file) for file in files]],
    ).to_arrow_table()
    sagas: dict[str, Saga] = defaultdict(list)
    for event in table.to_pylist():
        sagas[event["correlation_id"]].append(event)
    return sagas


@dataclass
class Made:
    sagas: dict[str, Saga]
    rows: list[dict[str, Any]]
    about: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def cut_off(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.about["cut_off"])


def make(folder: Path, **arguments: Any) -> Made:
    made = samples.generate("checkout", folder, **arguments)
    rows = pq.read_table(folder / "sagas_truth.parquet").to_pylist()
    about = json.loads((folder / "sagas_truth.json").read_text())
    return Made(read(made.files), rows, about, made.files)


@pytest.fixture(scope="module", params=[3, 5, 2026])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("sagas"), events=30_000, seed=request.param)


def assert_true(made: Made) -> None:
    assert {row["correlation_id"] for row in made.rows} == set(made.sagas)
    for row in made.rows:
        saga = made.sagas[row["correlation_id"]]
        verdict = judge(saga, made.cut_off, made.about["deadline_hours"])
        told = [(one["violation"], one["step"], one["position"]) for one in row["violations"]]
        given = (row["outcome"], row["current_step"], told)
        expected = (verdict.outcome, verdict.current_step, verdict.violations)
        assert given == expected, row["order_id"]


def test_outcomes_steps_and_violations_are_those_of_the_rules(made: Made) -> None:
    assert_true(made)


@pytest.mark.parametrize("events", [1, 2, 3, 17, 60, 400, 2_003])
def test_a_log_that_ends_anywhere_has_a_true_end(events: int, tmp_path: Path) -> None:
    assert_true(make(tmp_path, events=events, seed=8))


def test_every_course_outcome_and_violation_occurs(made: Made) -> None:
    from workbench.samples.checkout_slots import COURSES

    assert {row["course"] for row in made.rows} == set(COURSES)
    assert set(made.about["outcomes"].values()) & {0} == set()
    assert set(made.about["violations"].values()) & {0} == set()


def test_the_counts_are_those_of_the_rows(made: Made) -> None:
    outcomes = Counter(row["outcome"] for row in made.rows)
    violations = Counter(one["violation"] for row in made.rows for one in row["violations"])
    having = Counter(
        name for row in made.rows for name in {one["violation"] for one in row["violations"]}
    )
    assert made.about["outcomes"] == outcomes
    assert made.about["sagas_with"] == having
    assert made.about["violations"] == violations
    assert made.about["sagas"] == len(made.rows)
    assert made.about["events"] == sum(row["events"] for row in made.rows) == 30_000


def test_a_violation_names_the_event_that_shows_it(made: Made) -> None:
    by_position = {event["position"]: event for saga in made.sagas.values() for event in saga}
    for row in made.rows:
        for one in row["violations"]:
            event = by_position[one["position"]]
            assert event["correlation_id"] == row["correlation_id"]
            for name in ("stream_id", "version", "event_id"):
                assert one[name] == event[name]


def test_times_and_sizes_are_those_of_the_events(made: Made) -> None:
    for row in made.rows:
        saga = made.sagas[row["correlation_id"]]
        ends = [event["recorded_at"] for event in saga if event["event_type"] in ENDS]
        assert row["events"] == len(saga)
        assert row["started_at"] == saga[0]["recorded_at"]
        assert row["last_at"] == saga[-1]["recorded_at"]
        assert row["ended_at"] == (ends[0] if ends else None)
    assert made.cut_off == max(row["last_at"] for row in made.rows)


def test_most_orders_go_well_and_have_no_violation(made: Made) -> None:
    good = [row for row in made.rows if row["outcome"] in ("completed", "compensated")]
    assert 0.85 < len(good) / len(made.rows) < 0.97
    assert 0.03 < sum(bool(row["violations"]) for row in made.rows) / len(made.rows) < 0.15


def test_sagas_that_go_well_never_break_a_rule(made: Made) -> None:
    clean = ("completed", "out_of_stock", "payment_failed", "paid_later", "shipment_failed")
    for row in made.rows:
        if row["course"] in clean:
            assert row["violations"] == []


def test_the_cut_into_files_and_the_format_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.samples import checkout_sagas, write

    whole = samples.generate("checkout", tmp_path / "whole", events=2_300)
    samples.generate("checkout", tmp_path / "lines", events=2_300, format="ndjson.gz")
    monkeypatch.setattr(write, "FILE_ROWS", 500)
    monkeypatch.setattr(checkout_sagas, "_PART", 100)
    samples.generate("checkout", tmp_path / "cut", events=2_300)
    for file in whole.others:
        for other in ("cut", "lines"):
            assert (tmp_path / other / file.name).read_bytes() == file.read_bytes()


def test_the_bank_has_no_sagas(tmp_path: Path) -> None:
    made = samples.generate("bank", tmp_path, events=200)
    assert made.others == ()
    assert made.counts == {}


def test_the_summary_counts_sagas(tmp_path: Path) -> None:
    made = samples.generate("checkout", tmp_path, events=3_000)
    about = json.loads((tmp_path / "sagas_truth.json").read_text())
    assert made.counts["sagas"] == about["outcomes"]
    assert made.counts["violations"] == about["violations"]


def test_the_readme_tells_every_rule() -> None:
    from workbench.samples.checkout_sagas import DEADLINES, OUTCOMES, VIOLATIONS
    from workbench.samples.checkout_slots import COURSES

    readme = samples.path("README.md").read_text(encoding="utf-8")
    columns = pq.read_schema(samples.path("checkout/sagas_truth.parquet")).names
    told = [*OUTCOMES, *VIOLATIONS, *COURSES, *columns]
    told += ["sagas_truth.parquet", "sagas_truth.json", "deadline_hours", "cut_off"]
    assert [name for name in told if f"`{name}`" not in readme.replace("checkout/", "")] == []
    for hours in DEADLINES.values():
        assert f" {hours} hour" in readme
