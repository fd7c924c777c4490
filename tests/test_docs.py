"""What the documents say is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import workbench as wb
from tests.cli import workbench
from workbench import samples
from workbench.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_verb_is_in_the_readme() -> None:
    for command in app.registered_commands:
        assert f"| `workbench {command.name}" in README


@pytest.mark.parametrize("name", wb.__all__)
def test_every_public_name_is_in_the_readme(name: str) -> None:
    assert re.search(rf"`(?:wb\.)?{name}\b", README), name


def test_the_two_commands_stand_on_their_own() -> None:
    assert blocks("sh") == ["python3 run.py tour\n", "python3 run.py test\n"]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    log = names["log"]
    assert isinstance(log, wb.EventLog)
    assert len(log) == samples.BUNDLED["bank"]["events"]
    log.close()


def test_the_output_in_the_readme_is_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets").symlink_to(samples.path("README.md").parent)
    monkeypatch.chdir(tmp_path)
    (session,) = blocks("console")
    shown = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)[1:]
    assert len(shown) >= 4
    for command, expected in zip(shown[::2], shown[1::2], strict=True):
        program, *arguments = command.split(" > ")[0].split()
        assert program == "workbench"
        done = workbench(*arguments)
        assert done.err == ""
        if ">" not in command:
            out = "\n".join(line.rstrip() for line in done.out.splitlines())
            assert out.strip() == expected.strip(), "the README shows another output"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "datasets/README.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" not in target
        assert ((ROOT / document).parent / target).exists(), target


def test_contributing_names_things_that_are_there(tmp_path: Path) -> None:
    for variable in ("WORKBENCH_TEST_POSTGRES", "WORKBENCH_TEST_KAFKA"):
        used = [path for path in (ROOT / "tests").glob("fix_*.py") if variable in path.read_text()]
        assert used
        assert variable in CONTRIBUTING
    for path in re.findall(
        r"`((?:sources|tests|cli|charts|workbench|notebooks)/[\w./]*)`", CONTRIBUTING
    ):
        assert (ROOT / path).exists() or (ROOT / "workbench" / path).exists(), path


def test_the_floors_in_contributing_are_those_that_are_checked() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (floors,) = [
        one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    ]
    checked = {name.strip() for layer in floors["layers"] for name in layer.split("|")}
    table = CONTRIBUTING.partition("| floor |")[2].partition("\n\n")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert told == checked


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, workbench; print([n for n in ('duckdb', 'pandas', 'altair', 'psycopg') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
