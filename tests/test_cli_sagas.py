"""``workbench sagas``: outcomes, lists, one saga, files, and the exit status."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.cli import well, workbench
from tests.fix_log import Written
from tests.test_sagas import DONE, flow
from workbench.samples import path

MINE = """
import workbench as wb
trip = wb.Saga("trip", "Asked", [wb.Step("seat", "SeatHeld", compensation="SeatFreed"), wb.Step("ticket", "TicketSent")],
               cancelled="GivenUp")
number = 7
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sagas") / "checkout.duckdb"
    with wb.open(file) as opened:
        opened.load(wb.files(path("checkout/events.ndjson.gz")), progress=False)
    return file


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine_sagas.py").write_text(MINE)
    before = list(sys.path)
    yield tmp_path / "mine_sagas.py"
    sys.path[:] = before
    sys.modules.pop("mine_sagas", None)


@pytest.fixture
def smooth(tmp_path: Path) -> Path:
    file = tmp_path / "smooth.duckdb"
    with wb.open(file) as opened:
        opened.load(Written(flow(DONE)), progress=False)
    return file


def test_it_tells_outcomes_steps_and_broken_rules(log: Path) -> None:
    done = workbench("sagas", log, "checkout.saga")
    truth = json.loads(path("checkout/sagas_truth.json").read_text())
    assert (done.code, done.err) == (1, "")
    for name, number in truth["outcomes"].items():
        assert any(
            line.split("  ")[0] == name and f"{number:,}" in line for line in done.out.splitlines()
        )
    assert "missing compensation" in done.out
    assert "Do not go on, longest idle first" in done.out


def test_it_exits_with_0_when_all_is_well(smooth: Path, mine: Path) -> None:
    assert "completed" in well("sagas", smooth, mine).out
    assert "completed" in well("sagas", smooth, f"{mine}:trip").out


def test_json_holds_all(log: Path) -> None:
    found = workbench("sagas", log, "checkout.saga", "--json").json
    truth = json.loads(path("checkout/sagas_truth.json").read_text())
    assert found["outcomes"] == truth["outcomes"]
    assert found["now"] == truth["cut_off"]
    assert found["steps"][0] | {"step": "start", "entered": truth["sagas"]} == found["steps"][0]
    concerns = sum(truth["outcomes"][name] for name in ("failed", "stuck", "timed out"))
    assert len(found["rows"]) == concerns


def test_violations_go_to_a_file(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "violations.csv"
    done = workbench("sagas", log, "checkout.saga", "--violations", "--limit", 3, "-o", file)
    truth = json.loads(path("checkout/sagas_truth.json").read_text())
    with file.open() as rows:
        assert len(list(csv.DictReader(rows))) == sum(truth["violations"].values())
    assert f"3 of {sum(truth['violations'].values())} rows" in done.out
    assert f"The rows are in {file}." in done.out


def test_stuck_ones_are_listed_longest_idle_first(log: Path) -> None:
    rows = workbench("sagas", log, "checkout.saga", "--stuck", "--json").json["rows"]
    idle = [row["idle"] for row in rows]
    assert idle == sorted(idle, reverse=True)
    assert {row["outcome"] for row in rows} == {"stuck", "timed out", "failed"}


def test_one_saga_is_shown_and_drawn(log: Path, tmp_path: Path) -> None:
    (first, *_) = workbench("sagas", log, "checkout.saga", "--violations", "--json").json["rows"]
    file = tmp_path / "saga.png"
    done = workbench("sagas", log, "checkout.saga", "--instance", first["saga_id"], "--chart", file)
    assert first["violation"] in done.out
    assert file.read_bytes().startswith(b"\x89PNG")


def test_the_chart_and_the_export(log: Path, tmp_path: Path) -> None:
    page, export = tmp_path / "sagas.html", tmp_path / "sagas.sqlite"
    done = workbench("sagas", log, "checkout.saga", "--chart", page, "--ocel", export)
    assert "Sagas of" in page.read_text()
    assert export.read_bytes().startswith(b"SQLite format 3")
    assert "9,000 events" in done.out


def test_a_moment(log: Path) -> None:
    found = workbench("sagas", log, "checkout.saga", "--as-of", "2026-04-10T00:00Z", "--json").json
    assert found["now"] == "2026-04-10T00:00:00Z"
    assert found["outcomes"]["timed out"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["checkout.sag"], "Did you mean 'checkout.saga'?"),
        (["MINE:number"], "MINE:number is int, no wb.Saga."),
        (["MINE:tripp"], "Did you mean 'trip'?"),
        (["bank.account"], "no definition that comes with the workbench"),
        (["checkout.saga", "--stuck", "--violations"], "only one can be asked for"),
        (["checkout.saga", "--instance", "nobody"], "there is no saga 'nobody'"),
        (["checkout.saga", "-o", "x.txt"], "rows are written as"),
        (["checkout.saga", "--chart", "x.pdf"], "end the name with"),
    ],
)
def test_errors_say_the_next_step(log: Path, mine: Path, arguments: list[str], said: str) -> None:
    done = workbench("sagas", log, *(argument.replace("MINE", str(mine)) for argument in arguments))
    assert done.code == 2
    assert said.replace("MINE", str(mine)) in done.err
