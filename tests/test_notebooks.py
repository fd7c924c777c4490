"""The notebooks run from nothing, offline, and what they show is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from tests.fix_notebooks import Run
from tests.notebooks import FOLDER, NAMES, OFFLINE
from workbench.bundled import sample
from workbench.samples import BUNDLED

pytestmark = pytest.mark.slow

VEGALITE = "application/vnd.vegalite.v5+json"
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def faults() -> list[dict[str, Any]]:
    """What is wrong in the bank's read model, as its truth file says."""
    found: list[dict[str, Any]] = json.loads(sample("bank").truth.read_text())["faults"]
    return found


@pytest.fixture(scope="module")
def matches() -> int:
    """How many rows of the bank's read model are right."""
    truth = json.loads(sample("bank").truth.read_text())
    wrong = sum(1 for fault in truth["faults"] if fault["class"] != "missing")
    return int(truth["rows"] - wrong)


# -- all of them ---------------------------------------------------------------------------------


def test_there_are_nine() -> None:
    assert NAMES == [
        "00_start_here",
        "01_load",
        "02_time_travel",
        "03_projection_diff",
        "04_sagas",
        "05_dead_letters",
        "06_schema_evolution",
        "07_audit",
        "08_incident",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_runs_without_an_error_or_a_warning(run: Run, name: str) -> None:
    outputs = run(name).outputs
    assert [item.evalue for item in outputs if item.output_type == "error"] == []
    assert [item.text for item in outputs if item.get("name") == "stderr"] == []


@pytest.mark.parametrize("name", NAMES)
def test_reaches_for_no_network(run: Run, name: str) -> None:
    assert run(name).calls == ["watching"]


def test_the_watch_on_the_network_sees_and_refuses(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    attempt = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", f"{OFFLINE}\n{attempt}"],
        env={**os.environ, "WORKBENCH_TEST_CALLS": str(calls)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no network in this test: 192.0.2.1" in done.stderr
    assert calls.read_text().splitlines() == ["watching", "192.0.2.1"]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_fetch_nothing(run: Run, name: str) -> None:
    executed = run(name)
    shown = [item.get("data", {}) for item in executed.outputs]
    written = json.dumps([shown, executed.notebook.metadata.get("widgets", {})])
    # The schema of a chart is a name: nobody fetches it.
    assert re.findall(r"https?://[^\"\\\s]+", written.replace(SCHEMA, "")) == []
    assert "<script" not in written.lower()


@pytest.mark.parametrize("name", NAMES)
def test_leaves_nothing_where_it_ran(run: Run, name: str) -> None:
    assert list(run(name).folder.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_is_small_when_executed(run: Run, name: str) -> None:
    assert run(name).size < MOST_BYTES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "01_load"])
def test_charts_can_be_seen_without_the_internet(run: Run, name: str) -> None:
    executed = run(name)
    drawn = [
        cell
        for cell in executed.notebook.cells
        if any(VEGALITE in output.get("data", {}) for output in cell.get("outputs", ()))
    ]
    assert drawn == executed.cells("chart") != []
    for cell in drawn:
        (output,) = cell.outputs
        assert output.data[VEGALITE]["$schema"] == SCHEMA
        assert output.data["image/png"].startswith("iVBORw0KGgo")  # a PNG
        assert output.metadata["image/png"]["alt"] == output.data["text/plain"] != ""


# -- as they are committed -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    subprocess.run(
        [sys.executable, "-m", "nbstripout", "--keep-id", "--verify", FOLDER / f"{name}.ipynb"],
        check=True,
    )


@pytest.mark.parametrize("name", NAMES)
def test_has_ids_of_its_own(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_its_script(name: str) -> None:
    """After a change: ``jupytext --to ipynb --update notebooks/*.py``."""
    notebook, script = (jupytext.read(FOLDER / f"{name}{suffix}") for suffix in (".ipynb", ".py"))
    cells, lines = (
        [(cell.cell_type, cell.metadata.get("tags", []), cell.source) for cell in item.cells]
        for item in (notebook, script)
    )
    assert cells == lines


@pytest.mark.parametrize("name", NAMES)
def test_ends_with_what_next(name: str) -> None:
    last = jupytext.read(FOLDER / f"{name}.py").cells[-1].source
    assert last.startswith("## What next")
    linked = re.findall(r"\]\((\w+)\.ipynb\)", last)
    others = set(NAMES) - {name}
    assert set(linked) <= others
    # The first one lists all, the others what follows from them.
    assert set(linked) == others if name == "00_start_here" else 2 <= len(linked) <= 4


# -- 00_start_here -------------------------------------------------------------------------------


def test_start_loads_every_event(run: Run) -> None:
    events = BUNDLED["bank"]["events"]
    assert run("00_start_here").text("loaded").startswith(f"Loaded {events:,} events from bank")


def test_start_finds_what_was_planted(run: Run, faults: list[dict[str, Any]]) -> None:
    planted = Counter(fault["class"] for fault in faults)
    expected = {name: (count, count) for name, count in planted.items()}
    assert run("00_start_here").value("counts") == expected


def test_start_traces_a_row_to_the_event_that_was_skipped(
    run: Run, faults: list[dict[str, Any]]
) -> None:
    executed = run("00_start_here")
    (account,) = {row["account_id"] for row in executed.rows("cells")}
    (fault,) = [fault for fault in faults if fault["key"] == account]
    (event,) = fault["events"]
    assert fault["fault"] == "skipped_event"
    assert [row["column_name"] for row in executed.rows("cells")] == fault["columns"]
    (suspect,) = executed.rows("suspect")
    assert (suspect["position"], suspect["version"], suspect["event_type"]) == (
        str(event["position"]),
        str(event["version"]),
        event["event_type"],
    )
    proof = executed.value("proof")
    assert proof
    assert all(proof.values())
    assert executed.value("truth") == (
        fault["fault"],
        [(event["position"], event["event_type"])],
    )


# -- 01_load -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "stored", "read", "duplicate", "rejected"),
    [
        ("first-load", 3, 3, 0, 0),
        ("second-load", 0, 0, 0, 0),
        ("third-load", 1, 3, 1, 1),
        ("fourth-load", 0, 3, 0, 3),
        ("half-mapping", 0, 2, 0, 2),
        ("mapping", 2, 2, 0, 0),
        ("checkout", 9_000, 9_000, 0, 0),
    ],
)
def test_load_counts(
    run: Run, tag: str, stored: int, read: int, duplicate: int, rejected: int
) -> None:
    first = run("01_load").text(tag).splitlines()[0]
    counts = f"(read {read:,}, duplicate {duplicate}, rejected {rejected})"
    assert first.startswith(f"Loaded {stored:,} events from ")
    assert first.endswith(counts)


def test_load_keeps_payloads_and_says_times_in_utc(run: Run) -> None:
    events = run("01_load").rows("events")
    assert [row["data"] for row in events] == [
        '{"total": 120.50}',
        '{"amount": 120.50}',
        '{"total": 19.90}',
    ]
    assert events[1]["occurred_at"] == "2026-06-30 09:01:10Z"


def test_load_names_the_duplicate(run: Run) -> None:
    (duplicate,) = run("01_load").rows("duplicates")
    assert (duplicate["event_id"], duplicate["position"]) == ("e-1", "1")


def test_load_keeps_what_it_rejects(run: Run) -> None:
    executed = run("01_load")
    assert [row["source_position"] for row in executed.rows("rejects")] == ["orders.ndjson#6"]
    reasons = executed.value("reasons")
    said = ("not JSON", "not a time with an offset", "other content", "not valid UTF-8")
    assert len(reasons) == len(said)
    for (reason, raw), words in zip(reasons, said, strict=True):
        assert words in reason
        assert raw.startswith(b'{"aggregate_id"')
    assert reasons[-1][1].endswith(b'"Order\xff\xfe"}')


def test_load_adds_up(run: Run) -> None:
    rows = run("01_load").rows("sums")
    assert len(rows) == 4
    assert {row["adds_up"] for row in rows} == {"true"}


def test_load_asks_for_a_mapping_and_takes_it(run: Run) -> None:
    executed = run("01_load")
    problem, hint = executed.value("no-mapping")
    assert "konto" in problem
    assert "columns=" in hint
    assert [row["occurred_at"] for row in executed.rows("mapped")] == [
        "2026-06-30 07:15:00Z",
        "2026-06-30 16:40:00Z",
    ]
    assert [row["betrag"] for row in executed.rows("mapped")] == ["250.00", "75.00"]


def test_load_gives_one_fingerprint_for_the_same_events(run: Run) -> None:
    assert run("01_load").value("fingerprint") is True


def test_load_shows_no_password(run: Run) -> None:
    executed = run("01_load")
    assert "db.example" in executed.value("postgres")
    assert "secret" not in json.dumps(executed.outputs)


def test_load_keeps_everything_in_the_file(run: Run) -> None:
    events = 3 + 1 + 2 + BUNDLED["checkout"]["events"]
    assert run("01_load").value("reopened") == (events, 6, 1)


# -- 02_time_travel ------------------------------------------------------------------------------


def test_clocks_give_different_answers(run: Run) -> None:
    executed = run("02_time_travel")
    (late,) = executed.rows("late")
    assert late["occurred_at"].startswith("2026-03-30")
    assert late["recorded_at"].startswith("2026-04-01")
    known, true, first_of_april, second_of_april = executed.value("clocks").values()
    assert known == first_of_april
    assert true == second_of_april
    assert float(true) - float(known) == pytest.approx(float(late["amount"]))
    (affected,) = executed.rows("affected")
    assert affected == {"account_id": late["stream_id"], "known_then": known, "was_true": true}


def test_history_tells_the_account_as_the_prose_does(run: Run) -> None:
    states = run("02_time_travel").rows("history")
    assert [state["event_type"] for state in states][-4:] == [
        "WithdrawalMade",
        "AccountFrozen",
        "WithdrawalRejected",
        "AccountUnfrozen",
    ]
    ends = [state["valid_to"] for state in states]
    assert ends == [state["valid_from"] for state in states[1:]] + ["NULL"]


def test_history_at_a_moment_is_the_replay(run: Run) -> None:
    assert run("02_time_travel").value("same") is True


def test_accounts_are_not_frozen_before_the_event(run: Run) -> None:
    assert run("02_time_travel").value("version") == 0


def test_fold_measures_a_fall_from_the_highest(run: Run) -> None:
    rows = run("02_time_travel").rows("falls")
    falls = [float(row["deepest_fall"]) for row in rows]
    assert falls == sorted(falls, reverse=True)
    assert all(float(row["highest"]) >= float(row["deepest_fall"]) > 0 for row in rows)


def test_prepare_changes_nothing_but_speed(run: Run) -> None:
    added, same = run("02_time_travel").value("prepare")
    assert added == ["data.owner::text", "data.amount::decimal"]
    assert same is True


# -- 03_projection_diff --------------------------------------------------------------------------


def test_diff_rests_on_a_whole_record(run: Run) -> None:
    assert run("03_projection_diff").value("concerns") == []


def test_diff_counts_are_the_truth(run: Run, faults: list[dict[str, Any]], matches: int) -> None:
    executed = run("03_projection_diff")
    counts = {row["class"]: int(row["rows"]) for row in executed.rows("diff", 0)}
    expected = Counter(fault["class"] for fault in faults) + Counter(match=matches)
    assert counts == expected
    assert len(expected) == 1 + 4  # 'wrong in four different ways'
    assert executed.value("blind") is True


def test_diff_names_the_state_of_each_stale_row(run: Run, faults: list[dict[str, Any]]) -> None:
    rows = run("03_projection_diff").rows("stale")
    assert {row["account_id"]: int(row["equals_version"]) for row in rows} == {
        fault["key"]: fault["version"] for fault in faults if fault["class"] == "stale"
    }
    assert all(row["stale_since"].startswith("202") for row in rows)


def test_diff_names_accounts_whose_end_was_not_applied(
    run: Run, faults: list[dict[str, Any]]
) -> None:
    rows = run("03_projection_diff").rows("closed")
    assert {row["stream_id"] for row in rows} == {
        fault["key"] for fault in faults if fault["fault"] == "close_not_applied"
    }


def test_diff_is_not_fooled_with_a_checkpoint(run: Run) -> None:
    assert run("03_projection_diff").value("fooled") == {
        "without its checkpoint": "stale",
        "with its checkpoint": "corrupted",
    }


def test_diff_names_missing_and_orphaned_rows(run: Run, faults: list[dict[str, Any]]) -> None:
    executed = run("03_projection_diff")
    keys = {
        kind: sorted(fault["key"] for fault in faults if fault["class"] == kind)
        for kind in ("missing", "orphaned")
    }
    assert [row["stream_id"] for row in executed.rows("missing")] == keys["missing"]
    assert executed.value("orphaned") == (keys["orphaned"], 0)


def test_diff_counts_columns(run: Run, faults: list[dict[str, Any]]) -> None:
    rows = run("03_projection_diff").rows("columns")
    expected = Counter(
        (column, fault["class"])
        for fault in faults
        if fault["class"] in ("stale", "corrupted")
        for column in fault["columns"]
    )
    assert {(row["column_name"], row["class"]): int(row["rows"]) for row in rows} == expected
    assert {name for name, kind in expected if kind == "corrupted"} == {
        "current_balance",
        "transaction_count",
    }  # as the prose says


def test_diff_finds_the_cause_of_every_corrupted_row(
    run: Run, faults: list[dict[str, Any]]
) -> None:
    executed = run("03_projection_diff")
    words = {"skipped_event": "skipped", "doubled_event": "applied twice"}
    expected = {
        (fault["key"], words[fault["fault"]], fault["events"][0]["position"])
        for fault in faults
        if fault["class"] == "corrupted"
    }
    rows = executed.rows("causes")
    assert {(row["account_id"], row["cause"], int(row["position"])) for row in rows} == expected
    assert len(rows) == len(expected)
    position, proven = executed.value("proof")
    assert (position, proven) in {(at, True) for _, what, at in expected if what == "skipped"}


def test_diff_says_since_when_and_what_to_do(run: Run, faults: list[dict[str, Any]]) -> None:
    executed = run("03_projection_diff")
    position, _ = executed.value("proof")
    assert executed.value("since")[0] == position
    assert f"{len(faults)} wrong rows" in executed.text("explained")
    assert "4 unexplained" in executed.text("explained")  # the orphans, as the prose says
    assert executed.value("script")[0] == "BEGIN;"
    assert "nothing has been run" in executed.text("plan")


def test_diff_tolerates_what_it_is_told_to(run: Run, faults: list[dict[str, Any]]) -> None:
    corrupted = sum(1 for fault in faults if fault["class"] == "corrupted")
    counts = run("03_projection_diff").value("tolerance")
    assert counts["tolerant"] == corrupted < counts["exact"]


def test_diff_is_handed_over(run: Run) -> None:
    assert run("03_projection_diff").value("exported") == [
        "cells.csv",
        "clusters.csv",
        "diff.html",
        "diff.parquet",
        "repair.sql",
    ]
    assert run("03_projection_diff").value("evidence").startswith("25,000 events, fingerprint ")
