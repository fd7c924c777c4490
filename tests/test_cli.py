"""What all verbs have in common: help, errors, exit status, JSON on stdout and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.cli import well, workbench
from workbench import samples
from workbench.cli import show
from workbench.cli.app import app

VERBS = [
    "tour", "load", "health", "generate", "doctor", "notebooks",
    "replay", "diff", "explain", "reconcile",
    "sagas", "dlq", "causation",
    "audit", "verify", "census", "impact",
    "report",
]  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small bank: events, read model, truth, and a log of it."""
    folder = tmp_path_factory.mktemp("bank")
    made = samples.generate("bank", folder, events=600, seed=5)
    with wb.open(folder / "bank.duckdb") as log:
        log.load(wb.files(made.files[0], name="bank"), progress=False)
    return folder


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path


# -- help ----------------------------------------------------------------------------------------


def test_the_verbs_are_these() -> None:
    assert [command.name for command in app.registered_commands] == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_with_examples(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = well(verb, "--help").out
    assert f"$ workbench {verb}" in out
    assert "--json" in out
    # None is broken by a terminal of 80 columns: what is shown can be copied.
    examples = out.partition("Examples")[2].rstrip().splitlines()[1:]
    assert all(line.lstrip().startswith(("$ workbench", "-")) for line in examples), examples


def test_help_of_the_whole_says_what_the_exit_status_means() -> None:
    out = " ".join(well("--help").out.split())
    for said in ("0 fine", "1 differences found", "2 an error", "130 interrupted"):
        assert said in out


def test_version() -> None:
    assert well("--version").out.startswith("workbench 0.")


def test_no_verb_shows_the_help() -> None:
    done = workbench()
    assert done.code == 2
    assert all(f" {verb} " in done.out + done.err for verb in VERBS)


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lod"], "Did you mean 'load'?"),
        (["load", "x.duckdb"], "Missing argument 'SOURCE...'"),
        (["generate", "bank", "--events", "many", "-o", "x"], "'many' is no whole number"),
        (["generate", "bnak", "-o", "x"], "Did you mean 'bank'?"),
        (["health", "absent.duckdb"], "absent.duckdb does not exist"),
        (["load", "x.duckdb", "absent/*.parquet"], "absent/*.parquet"),
        (["load", "x.duckdb", "kafka://broker:9092"], "names a broker and topics"),
        (
            ["load", "x.duckdb", "e.parquet", "--table", "events"],
            "--table is for sources of kind postgres",
        ),
        (["load", "x.duckdb", "a.csv", "b.csv", "--name", "both"], "--name names one source"),
        (["load", "x.duckdb", "a.csv", "--column", "stream_id"], "is not CANONICAL=SPEC"),
        (["load", "x.duckdb", "a.csv", "--prepare", "bank.acount"], "Did you mean"),
    ],
)
def test_an_error_is_one_clear_line_and_the_next_step(
    arguments: list[str], said: str, in_folder: Path
) -> None:
    done = workbench(*arguments)
    assert (done.code, done.out) == (2, "")
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ")
    assert said in done.err
    assert all(line.startswith("  ") for line in rest)
    assert "Traceback" not in done.err


def test_debug_shows_the_traceback_wherever_it_stands(in_folder: Path) -> None:
    for arguments in (
        ["--debug", "health", "absent.duckdb"],
        ["health", "absent.duckdb", "--debug"],
    ):
        done = workbench(*arguments)
        assert done.code == 2
        assert "Traceback" in done.err


def test_debug_from_the_environment(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    assert "Traceback" in workbench("health", "absent.duckdb").err


def test_a_defect_is_told_apart_from_a_mistake(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(wb.EventLog, "health", broken)
    done = workbench("health", bank / "bank.duckdb")
    assert done.code == 3
    assert "KeyError" in done.err
    assert "Traceback" not in done.err


def test_ctrl_c_is_130(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wb.EventLog, "health", interrupted)
    assert workbench("health", bank / "bank.duckdb").code == 130


def test_a_password_is_in_no_message(in_folder: Path) -> None:
    dsn = "postgresql://ann:s3cret@127.0.0.1:1/bank"
    for arguments in (
        ["load", "x.duckdb", dsn],
        ["doctor", "--dsn", dsn],
        ["--debug", "load", "x.duckdb", dsn],
    ):
        done = workbench(*arguments)
        assert done.code in (1, 2)
        assert "127.0.0.1:1" in done.out + done.err
        assert "s3cret" not in done.out + done.err


def test_a_secret_on_the_command_line_is_refused(in_folder: Path) -> None:
    done = workbench("load", "x.duckdb", "kafka://b:1/t", "--option", "sasl_plain_password=s3cret")
    assert done.code == 2
    assert "env:VARIABLE" in done.err
    assert "s3cret" not in done.err


# -- stdout --------------------------------------------------------------------------------------


def test_json_is_the_only_thing_on_stdout(bank: Path, tmp_path: Path) -> None:
    log = bank / "bank.duckdb"
    for arguments in (
        ["load", tmp_path / "x.duckdb", bank / "events.parquet"],
        ["health", log],
        ["replay", log, "bank.account_summary"],
        ["replay", log, "bank.account_summary", "--sql"],
        ["diff", log, "bank.account_summary", bank / "account_summary.parquet"],
        ["generate", "bank", "--events", "50", "-o", tmp_path / "made"],
    ):
        done = workbench(*arguments, "--json")
        assert isinstance(done.json, dict)
        assert done.out.count("\n") == 1
        assert done.err == ""


def test_json_is_exact() -> None:
    import datetime as dt
    from decimal import Decimal

    written = show.to_json(
        {
            "money": Decimal("12345678901234567.10"),
            "at": dt.datetime(2026, 6, 30, 16, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "lag": dt.timedelta(seconds=90),
            "nan": float("nan"),
            "nested": [{"more": Decimal(3)}],
            "nothing": None,
        }
    )
    assert written == (
        '{"money": "12345678901234567.10", "at": "2026-06-30T14:02:00Z", "lag": 90.0, '
        '"nan": "nan", "nested": [{"more": "3"}], "nothing": null}'
    )


def test_payloads_reach_the_terminal_as_text(tmp_path: Path) -> None:
    """A stream id holds an escape sequence, and markup of the library that prints."""
    hostile = "acc-\x1b[2J[bold red]x[/bold red]"
    (tmp_path / "events.csv").write_text(
        f'stream_id,version,event_type,data\n"{hostile}",1,AccountOpened,"{{}}"\n'
    )
    (tmp_path / "mine.py").write_text(
        "import workbench as wb\nopened = wb.Projection('opened', {'n': wb.count()})\n"
    )
    log = tmp_path / "x.duckdb"
    well("load", log, tmp_path / "events.csv")
    out = well("replay", log, f"{tmp_path / 'mine.py'}:opened").out
    assert "\x1b" not in out
    assert r"acc-\x1b[2J[bold red]x[/bold red]" in out


def test_output_that_nobody_reads_ends_quietly(bank: Path) -> None:
    """As with ``workbench replay … | head -1``; 141 is what a shell calls that."""
    command = [sys.executable, "-m", "workbench", "replay", "--json"]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*command, str(bank / "bank.duckdb"), "bank.account_summary"],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_looking_leaves_the_file_alone(bank: Path) -> None:
    log = bank / "bank.duckdb"
    before = log.read_bytes()
    workbench("health", log)
    workbench("replay", log, "bank.account_summary")
    workbench("diff", log, "bank.account_summary", bank / "account_summary.parquet")
    assert log.read_bytes() == before
    # Two at once can look: the file is held read-only.
    with wb.open(log, read_only=True):
        well("health", log)


def test_starting_is_quick_since_nothing_is_imported_early() -> None:
    code = (
        "import sys, workbench.cli; "
        "print([name for name in ('duckdb', 'pandas', 'pyarrow', 'altair', 'numpy', 'psycopg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shell_completion(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_WORKBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "workbench ge",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'workbench'; from workbench.cli import main; main()"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["generate"]
