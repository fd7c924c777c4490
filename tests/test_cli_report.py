"""``workbench report``."""

from __future__ import annotations

from pathlib import Path

import pytest

import workbench as wb
from tests.cli import well, workbench
from workbench import samples

SECRET = "s3cret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bank: a log, and a read model with faults."""
    folder = tmp_path_factory.mktemp("bank")
    made = samples.generate("bank", folder, events=2_000, seed=5)
    with wb.open(folder / "bank.duckdb") as log:
        log.load(wb.files(made.files[0], name="bank"), progress=False)
    return folder


@pytest.fixture
def log(folder: Path) -> Path:
    return folder / "bank.duckdb"


def asked(folder: Path) -> list[object]:
    model = folder / "account_summary.parquet"
    return ["--definition", "bank.account_summary", "--model", model, "--version-column", "version"]


def test_it_writes_a_page_and_says_what_it_found(folder: Path, log: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = well("report", log, "-o", page, *asked(folder))
    assert "2,000 events in" in done.out
    assert "! " in done.out
    assert "differ from the replay" in done.out
    assert str(page) in done.out
    assert page.read_text().startswith("<!doctype html>")


def test_json_says_the_same(folder: Path, log: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    found = well("report", log, "-o", page, *asked(folder), "--json").json
    assert found["file"] == str(page)
    assert found["sections"] == ["record", "vouching", "rates", "read-model", "again"]
    assert [item["holds"] for item in found["findings"]] == [True, True, False, None]


def test_it_names_no_folder_of_this_machine(folder: Path, log: Path, tmp_path: Path) -> None:
    well("report", log, "-o", tmp_path / "report.html", *asked(folder), "--title", "Case 7")
    page = (tmp_path / "report.html").read_text()
    assert str(folder) not in page
    assert "<title>Case 7</title>" in page
    assert "bank.duckdb" in page


def test_a_password_is_not_in_the_page() -> None:
    from workbench.cli.report import _place

    assert (
        _place(f"postgresql://ann:{SECRET}@db.example.org/bank")
        == "postgresql://db.example.org/bank"
    )


def test_as_of_cuts_the_log_first(log: Path, tmp_path: Path) -> None:
    found = well("report", log, "-o", tmp_path / "r.html", "--position", 100, "--json").json
    assert found["findings"][0]["says"].startswith("100 events in")
    assert "log = log.as_of(position=100)" in (tmp_path / "r.html").read_text()


def test_the_date_is_there_only_when_asked_for(log: Path, tmp_path: Path) -> None:
    well("report", log, "-o", tmp_path / "r.html")
    bare = (tmp_path / "r.html").read_text()
    well("report", log, "-o", tmp_path / "r.html", "--dated")
    dated = (tmp_path / "r.html").read_text()
    assert len(dated) == len(bare) + len(", 2026-07-01 12:30:00Z")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "report.pdf"], "a report is an HTML page"),
        (["-o", "absent/report.html"], "there is no folder absent"),
        (["-o", "r.html", "--model", "a.parquet"], "--model was given without --definition"),
        (
            ["-o", "r.html", "--definition", "bank.account"],
            "--definition was given without --model",
        ),
        (["-o", "r.html", "--saga", "checkout.sage"], "Did you mean 'checkout.saga'?"),
        ([], "Missing option"),
    ],
)
def test_what_cannot_be_done_is_said(
    log: Path, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = workbench("report", log, *arguments)
    assert done.code == 2
    assert said in done.err
    assert list(tmp_path.iterdir()) == []
