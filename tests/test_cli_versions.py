"""``workbench census`` and ``workbench impact``: what they print, write, and exit with."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.cli import well, workbench
from workbench.bundled import sample

MINE = """
import workbench as wb
deposits = wb.Upcaster("DepositMade", from_version="1", to_version="2").add("currency", "EUR")
doubled = wb.Upcaster("DepositMade", from_version="1", to_version="2").convert("amount", factor=2)
sums = {"paid_in": wb.total("amount", on="DepositMade")}
v1 = wb.Projection("v1", {**sums, "moves": wb.count(on="DepositMade")})
v2 = wb.Projection("v2", {**sums, "moves": wb.count(on=["DepositMade", "WithdrawalMade"])})
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bank") / "bank.duckdb"
    with wb.open(file) as opened:
        opened.load(wb.files(sample("bank").events), progress=False)
    return file


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine_versions.py").write_text(MINE)
    before = list(sys.path)
    yield tmp_path / "mine_versions.py"
    sys.path[:] = before
    sys.modules.pop("mine_versions", None)


def test_a_census_exits_with_1_while_a_version_has_no_chain(log: Path, mine: Path) -> None:
    done = workbench("census", log)
    assert (done.code, done.err) == (1, "")
    assert "no chain of upcasters leads to the newest version from DepositMade 1" in done.out
    done = well("census", log, "--upcasters", f"{mine}:deposits")
    assert "upcast" in done.out


def test_a_census_in_json_has_versions_and_fields(log: Path) -> None:
    found = workbench("census", log, "--json").json
    assert sum(row["events"] for row in found["versions"]) == 25_000
    fields = {(row["event_type"], row["schema_version"], row["field"]) for row in found["fields"]}
    assert ("DepositMade", "2", "currency") in fields
    assert ("DepositMade", "1", "currency") not in fields


def test_fields_are_listed_written_and_drawn(log: Path, tmp_path: Path) -> None:
    out, chart = tmp_path / "fields.csv", tmp_path / "fields.png"
    done = workbench("census", log, "--type", "DepositMade", "-o", out, "--chart", chart)
    assert "from          1,225   11.4%" in done.out
    with out.open() as file:
        assert {row["field"] for row in csv.DictReader(file)} >= {"amount", "channel"}
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_an_impact_of_two_definitions(log: Path, mine: Path, tmp_path: Path) -> None:
    chart, out = tmp_path / "impact.html", tmp_path / "rows.parquet"
    done = workbench(
        "impact", log, f"{mine}:v1", f"{mine}:v2", "--limit", 3, "-o", out, "--chart", chart
    )
    assert (done.code, done.err) == (1, "")
    assert "Impact of v2 in place of v1: 931 rows differ" in done.out
    assert "3 of the 931 rows, those that differed first" in done.out
    assert out.exists()
    assert "<html" in chart.read_text()
    assert "none" not in well("impact", log, f"{mine}:v1", f"{mine}:v1").err


def test_an_impact_of_upcasters(log: Path, mine: Path) -> None:
    done = workbench("impact", log, f"{mine}:v1", "--upcasters", f"{mine}:doubled", "--json")
    assert done.code == 1
    assert done.json["columns"][0]["column_name"] == "paid_in"
    assert done.json["counts"]["changed"] == len(
        [r for r in done.json["rows"] if r["class"] == "changed"]
    )
    done = workbench("impact", log, f"{mine}:v1", "--upcasters", f"{mine}:deposits")
    assert (done.code, "0 rows differ" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["census", "LOG", "--upcasters", "MINE"], "two upcasters begin at DepositMade 1"),
        (["census", "LOG", "--upcasters", "MINE:v1"], "holds no upcasters"),
        (["census", "LOG", "--upcasters", "nowhere.py"], "does not exist"),
        (["impact", "LOG", "MINE:v1"], "that of another definition, or that of upcasters"),
        (["impact", "LOG", "MINE:v1", "MINE:v2", "--upcasters", "MINE:doubled"], "that of another definition, or that of upcasters"),
        (["impact", "LOG", "MINE:v1", "MINE:v2", "--instead-of", "MINE:doubled"], "--instead-of says what --upcasters"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    log: Path, mine: Path, arguments: list[str], said: str
) -> None:
    given = [one.replace("LOG", str(log)).replace("MINE", str(mine)) for one in arguments]
    done = workbench(*given)
    assert done.code == 2
    assert said in done.err
