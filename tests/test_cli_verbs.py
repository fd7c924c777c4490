"""``workbench health``, ``replay``, ``diff``, ``generate``, ``doctor`` and ``tour``."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.cli import well, workbench
from workbench import samples
from workbench.cli import models, saving
from workbench.errors import ConfigError

CLEAN, FAULTY = "account_summary.clean.parquet", "account_summary.parquet"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small bank: a log, a read model with faults, and the one that is right."""
    folder = tmp_path_factory.mktemp("bank")
    made = samples.generate("bank", folder / "right", events=2_000, seed=5, faults=False)
    made.read_model.rename(folder / CLEAN)
    made = samples.generate("bank", folder, events=2_000, seed=5)
    with wb.open(folder / "bank.duckdb") as log:
        log.load(wb.files(made.files[0], name="bank"), progress=False)
    return folder


@pytest.fixture
def log(bank: Path) -> Path:
    return bank / "bank.duckdb"


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """A file of definitions, with a neighbour that it imports."""
    (tmp_path / "fields.py").write_text("AMOUNT = 'amount'\n")
    (tmp_path / "mine.py").write_text(
        "import workbench as wb\n"
        "from fields import AMOUNT\n"
        "deposits = wb.Projection('deposits', {'total': wb.total(AMOUNT, on='DepositMade')})\n"
        "number = 7\n"
    )
    path = list(sys.path)
    yield tmp_path / "mine.py"
    sys.path[:] = path
    for name in ("fields", "mine"):
        sys.modules.pop(name, None)


# -- health --------------------------------------------------------------------------------------


def test_health_in_words_and_as_json(log: Path) -> None:
    assert "2,000 in" in well("health", log).out
    found = well("health", log, "--json").json
    assert (found["events"], found["concerns"]) == (2_000, [])
    assert found["first"].endswith("Z")
    assert found["sources"][0]["source"] == "bank"


def test_strict_health_fails_on_concerns(log: Path, tmp_path: Path) -> None:
    assert workbench("health", log, "--strict").code == 0
    (tmp_path / "holes.csv").write_text("stream_id,version,event_type\na,1,Opened\na,3,Closed\n")
    holed = tmp_path / "holes.duckdb"
    well("load", holed, tmp_path / "holes.csv")
    assert "! 1 versions are missing" in well("health", holed).out
    assert workbench("health", holed, "--strict").code == 1


def test_health_of_an_empty_log_says_how_to_begin(tmp_path: Path) -> None:
    wb.open(tmp_path / "empty.duckdb").close()
    assert "workbench load" in well("health", tmp_path / "empty.duckdb").out


# -- replay --------------------------------------------------------------------------------------


def test_replay_at_a_moment_is_what_the_package_says(log: Path) -> None:
    moment = "2025-03-01T00:00Z"
    found = well("replay", log, "bank.account_summary", "--as-of", moment, "--json").json
    with wb.open(log, read_only=True) as opened:
        from workbench.bundled import account_summary

        expected = {row["account_id"]: row for row in opened.replay(account_summary, moment).rows()}
    assert found["count"] == len(expected) == len(found["rows"])
    for row in found["rows"]:
        assert Decimal(row["current_balance"]) == expected[row["account_id"]]["current_balance"]
    assert found["columns"] == list(found["rows"][0])


@pytest.mark.parametrize(
    "moment",
    [
        ["--position", "700"],
        ["--version", "3"],
        ["--as-of", "2025-03-01T00:00Z", "--clock", "occurred"],
        ["--as-of", "2025-02-01T00:00Z", "--known-at", "2025-03-01T00:00Z"],
    ],
)
def test_replay_takes_every_kind_of_moment(log: Path, moment: list[str]) -> None:
    ends = well("replay", log, "bank.account_summary", "--json").json
    cut = well("replay", log, "bank.account_summary", *moment, "--json").json
    assert sum(row["events"] for row in cut["rows"]) < sum(row["events"] for row in ends["rows"])


def test_replay_of_one_stream(log: Path) -> None:
    found = well("replay", log, "bank.account", "--stream", "acc-000001", "--json").json
    assert [row["account_id"] for row in found["rows"]] == ["acc-000001"]
    done = workbench("replay", log, "bank.account", "--stream", "acc-00001")
    assert (done.code, "Did you mean" in done.err) == (2, True)


def test_a_table_shows_some_rows_and_says_how_many_there_are(log: Path) -> None:
    out = well("replay", log, "bank.account_summary", "--limit", 3).out
    assert out.count("acc-") == 3
    assert "the first 3 of" in out


def test_the_query_that_replay_prints_runs_as_it_is(log: Path) -> None:
    sql = well("replay", log, "bank.account_summary", "--sql").out
    with duckdb.connect() as con:
        con.execute(f"SET TimeZone = 'UTC'; ATTACH '{log}' AS log (READ_ONLY)")
        rows = con.execute(sql).fetchall()
    assert len(rows) == well("replay", log, "bank.account_summary", "--json").json["count"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_all_rows_go_into_a_file(log: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"accounts{suffix}"
    said = well("replay", log, "bank.account_summary", "-o", target, "--json").json
    assert (said["file"], "rows" in said) == (str(target), False)
    if suffix == ".parquet":
        rows = pq.read_table(target).to_pylist()
        assert isinstance(rows[0]["current_balance"], Decimal)
    elif suffix == ".csv":
        with target.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = json.loads(target.read_text())
        assert isinstance(rows[0]["current_balance"], str)
    assert len(rows) == said["count"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_left_alone(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "accounts.parquet"
    target.write_text("precious")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "_write", full)
    done = workbench("replay", log, "bank.account_summary", "-o", target)
    assert (done.code, "No space left" in done.err) == (2, True)
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["accounts.xlsx", "absent/accounts.csv"])
def test_a_file_that_makes_no_sense_is_refused_early(log: Path, tmp_path: Path, name: str) -> None:
    done = workbench("replay", log, "bank.account_summary", "-o", tmp_path / name)
    assert (done.code, str(tmp_path / name) in done.err) == (2, True)


# -- definitions ---------------------------------------------------------------------------------


def test_definitions_from_a_file(log: Path, mine: Path) -> None:
    named = well("replay", log, f"{mine}:deposits", "--json").json
    alone = well("replay", log, mine, "--json").json
    assert named["definition"] == alone["definition"] == "deposits"


def test_definitions_from_a_module_in_the_folder(
    log: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    assert well("replay", log, "mine:deposits", "--json").json["definition"] == "deposits"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{mine}:deposit", "Did you mean 'deposits'?"),
        ("{mine}:number", "is int, no wb.Projection and no wb.Fold"),
        ("absent.py:accounts", "absent.py does not exist"),
        ("no.such.module:accounts", "no module 'no'"),
        ("bank.acount_summary", "Did you mean 'bank.account_summary'"),
        ("{folder}/empty.py", "holds no definitions"),
        ("{folder}/broken.py:x", "ZeroDivisionError"),
        ("{folder}/wrong.py:x", "look at line 2"),
    ],
)
def test_a_name_that_leads_nowhere(log: Path, mine: Path, name: str, said: str) -> None:
    folder = mine.parent
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "broken.py").write_text("x = 1 / 0\n")
    (folder / "wrong.py").write_text("x = 1\ndef (\n")
    done = workbench("replay", log, name.format(mine=mine, folder=folder))
    assert (done.code, said in done.err) == (2, True), done.err


# -- diff ----------------------------------------------------------------------------------------


def test_a_read_model_that_is_right_exits_with_0(log: Path, bank: Path) -> None:
    done = well("diff", log, "bank.account_summary", bank / CLEAN, "--version-column", "version")
    assert "100.00%" in done.out


def test_a_read_model_that_is_wrong_exits_with_1(log: Path, bank: Path) -> None:
    truth = json.loads((bank / "truth.json").read_text())
    checkpoint = ["--version-column", "version"]
    done = workbench("diff", log, "bank.account_summary", bank / FAULTY, *checkpoint, "--json")
    assert (done.code, done.err) == (1, "")
    found = done.json
    assert {row["account_id"]: row["class"] for row in found["rows"]} == {
        fault["key"]: fault["class"] for fault in truth["faults"]
    }
    assert set(found) == {"definition", "model", "title", "counts", "compared", "rows", "notes"}
    assert sum(found["counts"].values()) == found["counts"]["match"] + len(found["rows"])


def test_the_table_shows_rows_of_every_class(log: Path, bank: Path) -> None:
    out = workbench("diff", log, "bank.account_summary", bank / FAULTY, "--limit", 4).out
    shown = out.partition("account_id")[2].partition("differ")[0]
    for name in ("corrupted", "orphaned", "missing", "stale"):
        assert name in shown


def test_all_rows_of_a_diff_go_into_a_file(log: Path, bank: Path, tmp_path: Path) -> None:
    target = tmp_path / "diff.parquet"
    done = workbench("diff", log, "bank.account_summary", bank / FAULTY, "-o", target)
    assert (done.code, str(target) in done.out) == (1, True)
    assert {"match", "stale"} <= set(pq.read_table(target)["class"].to_pylist())


def test_columns_of_other_names_and_tolerances(log: Path, bank: Path, tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT account_id AS acct, current_balance + 0.01 AS balance, "
            f"last_transaction_date + INTERVAL 2 SECONDS AS at FROM '{bank / CLEAN}') "
            f"TO '{tmp_path}/theirs.parquet'"
        )
    names = ["acct=account_id", "balance=current_balance", "at=last_transaction_date"]
    columns = [part for name in names for part in ("--column", name)]
    arguments = ["diff", log, "bank.account_summary", tmp_path / "theirs.parquet", *columns]
    assert workbench(*arguments).code == 1
    assert workbench(*arguments, "--tolerance", "current_balance=0.01").code == 1
    within = ["--tolerance", "current_balance=0.01", "--tolerance", "last_transaction_date=2s"]
    well(*arguments, *within)


def test_tolerances_are_numbers_or_durations() -> None:
    assert models.amount("balance", "0.01") == Decimal("0.01")
    assert models.amount("at", "1.5h") == dt.timedelta(minutes=90)
    assert models.amount("at", "250ms") == dt.timedelta(milliseconds=250)
    for wrong in ("", "much", "nan", "5 parsecs"):
        with pytest.raises(ConfigError, match="no number and no duration"):
            models.amount("balance", wrong)


def test_a_read_model_as_it_was_taken(log: Path, bank: Path) -> None:
    """Against the log as of an earlier moment, rows have applied what that moment does not hold."""
    arguments = ["diff", log, "bank.account_summary", bank / CLEAN, "--version-column", "version"]
    counts = workbench(*arguments, "--position", 1_500, "--json").json["counts"]
    assert counts["ahead"] > 0
    assert counts["corrupted"] == 0


# -- generate ------------------------------------------------------------------------------------


def test_generate_tells_what_it_wrote(tmp_path: Path) -> None:
    arguments = ["generate", "checkout", "--events", "1_000", "--seed", 3]
    made = well(*arguments, "-o", tmp_path / "a", "--format", "ndjson", "--json").json
    assert (made["domain"], made["events"]) == ("checkout", 1_000)
    truth = json.loads(Path(made["truth"]).read_text())
    assert made["faults"] == truth["counts"]
    assert made["rows"] == pq.read_metadata(made["read_model"]).num_rows
    out = well(*arguments, "-o", tmp_path / "b", "--no-faults").out
    assert "0 faults" in out
    assert "Next: workbench load" in out


def test_generate_replaces_nothing_unasked(tmp_path: Path) -> None:
    arguments = ["generate", "bank", "--events", 100, "-o", tmp_path / "bank"]
    well(*arguments)
    assert workbench(*arguments).code == 2
    well(*arguments, "--overwrite")


# -- doctor --------------------------------------------------------------------------------------


def test_doctor_finds_this_machine_well() -> None:
    found = well("doctor", "--json").json
    assert found["ok"] is True
    checks = {check["name"]: check for check in found["checks"]}
    assert {"Python", "duckdb", "log file", "bundled data", "charts", "disk here"} <= set(checks)
    assert "PNG" in checks["charts"]["found"]


def test_doctor_does_not_faint(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.cli import doctor

    def broken() -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(doctor, "_charts", broken)
    done = workbench("doctor")
    assert done.code == 1
    assert "no fonts" in done.out
    assert "! charts: install again" in done.out
    assert "All is well" not in done.out


# -- tour ----------------------------------------------------------------------------------------


def test_the_tour(tmp_path: Path) -> None:
    truth = json.loads(samples.path("bank/truth.json").read_text())
    said = well("tour", "-o", tmp_path / "tour", "--json").json
    assert said["events"] == 25_000
    assert said["diff"]["corrupted"] == sum(f["class"] == "corrupted" for f in truth["faults"])
    # What it says about one row is what was done to that row.
    (fault,) = [f for f in truth["faults"] if f["key"] == said["traced"]["account"]]
    assert fault["fault"] == "skipped_event"
    assert [e["event_id"] for e in fault["events"]] == [said["traced"]["skipped"]["event_id"]]
    for chart in map(Path, said["charts"]):
        content = chart.read_bytes()
        assert content.startswith(b"\x89PNG" if chart.suffix == ".png" else b"<!DOCTYPE html>")
    assert {Path(chart).suffix for chart in said["charts"]} == {".html", ".png"}
    assert said["seconds"] < 60
    # A second tour finds everything there, and tells the same story in words.
    out = well("tour", "-o", tmp_path / "tour").out
    assert said["traced"]["account"] in out
    assert "corrupted" in out
    assert "00_start_here.ipynb" in out
