"""``workbench explain`` and ``workbench reconcile``."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import workbench as wb
from tests.cli import well, workbench
from workbench.bundled import sample

BANK = sample("bank")
OPTIONS = ("bank.account_summary", BANK.read_model, "--version-column", "version")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "bank.duckdb"
    with wb.open(path) as opened:
        opened.load(wb.files(BANK.events, name="bank"), progress=False)
    return path


def test_explain_says_what_happened(log: Path) -> None:
    done = workbench("explain", log, *OPTIONS)
    assert (done.code, done.err) == (1, "")
    assert "8 rows: one event of each never reached the projection" in done.out
    assert "4 rows orphaned and unexplained" in done.out


def test_explain_one_row(log: Path) -> None:
    done = workbench("explain", log, *OPTIONS, "--row", "acc-000774")
    assert "acc-000774: corrupted" in done.out
    assert "17097" in done.out
    (row,) = workbench("explain", log, *OPTIONS, "--row", "acc-000774", "--json").json["rows"]
    assert (row["cause"], row["positions"], row["exact"]) == ("skipped", [17097], True)
    done = workbench("explain", log, *OPTIONS, "--row", "acc-000001")
    assert done.code == 2
    assert "no such row is wrong" in done.err


def test_explain_as_json_and_to_files(log: Path, tmp_path: Path) -> None:
    output, plan = tmp_path / "all.parquet", tmp_path / "repair.sql"
    done = workbench("explain", log, *OPTIONS, "--json", "-o", output, "--repair", plan)
    found = done.json
    assert found["counts"]["skipped"] == 8
    assert len(found["clusters"]) == 5
    assert duckdb.sql(f"SELECT count(*) FROM '{output}'").fetchall() == [(len(found["rows"]),)]
    assert plan.read_text().startswith("BEGIN;")
    assert plan.read_text().endswith("COMMIT;\n")
    done = workbench("explain", log, *OPTIONS, "--repair", tmp_path / "no" / "repair.sql")
    assert "there is no folder" in done.err


def test_explain_of_a_read_model_that_is_right(log: Path, tmp_path: Path) -> None:
    right = tmp_path / "right.parquet"
    well("replay", log, "bank.account_summary", "-o", right)
    done = well("explain", log, "bank.account_summary", right)
    assert "there is nothing to explain" in done.out


def test_reconcile_is_dry(log: Path) -> None:
    before = BANK.read_model.read_bytes()
    done = workbench("reconcile", log, *OPTIONS)
    assert (done.code, done.err) == (1, "")
    assert "dry: nothing was written" in done.out
    assert BANK.read_model.read_bytes() == before
    script = workbench("reconcile", log, *OPTIONS, "--script").out
    assert script.count("UPDATE") == 26  # corrupted and stale rows that the events have not ended
    assert script.count("DELETE") == 3  # those that they have
    deleting = workbench("reconcile", log, *OPTIONS, "--script", "--delete-orphans").out
    assert deleting.count("DELETE") == 7


def test_reconcile_takes_several_and_says_what_it_lacks(log: Path) -> None:
    pair = ("bank.account", BANK.read_model)
    found = workbench(
        "reconcile", log, *OPTIONS[:2], *pair, "--version-column", "version", "--json"
    ).json
    assert {row["model"] for row in found["rows"]} == {"account_summary"}
    assert found["applied"] is None
    for wrong, said in (
        (("bank.account",), "a definition and a read model"),
        ((*OPTIONS, "--table", "a", "--table", "b"), "2 tables were given for 1 read models"),
        ((*OPTIONS, "--apply", "postgresql://x/y"), "not read from a table in Postgres"),
    ):
        done = workbench("reconcile", log, *wrong)
        assert done.code == 2
        assert said in done.err
