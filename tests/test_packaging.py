"""What is declared, locked and packed agrees, and names no place but the project's own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
COMPILE = (
    "uv pip compile pyproject.toml --group dev --universal --generate-hashes -o requirements.lock"
)
#: What conda-forge calls a package, where it has another name for it.
CONDA_NAMES = {"duckdb": "python-duckdb"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements(project: dict[str, Any], group: str | None = None) -> list[Requirement]:
    """Those of the project, or of one group with all that it includes."""
    if group is None:
        return [Requirement(one) for one in project["project"]["dependencies"]]
    found = []
    for one in project["dependency-groups"][group]:
        if isinstance(one, dict):
            found += requirements(project, one["include-group"])
        else:
            found.append(Requirement(one))
    return found


# -- the lock ------------------------------------------------------------------------------------


def locked() -> dict[str, list[str]]:
    """Package -> its versions in the lock (several where they differ by Python or platform)."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_the_lock_names_no_host_and_no_path() -> None:
    assert not re.findall(
        r"://|--(?:extra-)?index|--find-links|--trusted|file:|^\s*-e|@ ", LOCK, re.MULTILINE
    )
    assert not re.findall(r"(?<![\w.])/\w", LOCK)


def test_the_lock_was_made_as_contributing_says() -> None:
    assert COMPILE in LOCK.splitlines()[1]
    assert COMPILE in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_package_in_the_lock_has_hashes() -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_fulfils_what_is_declared(project: dict[str, Any]) -> None:
    held = locked()
    for wanted in [*requirements(project), *requirements(project, "dev")]:
        versions = held.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted.name} is not in requirements.lock"
        assert any(wanted.specifier.contains(version) for version in versions), wanted


def test_what_builds_the_package_is_locked_too(project: dict[str, Any]) -> None:
    """`run.py` builds without isolation, so that nothing unlocked is fetched."""
    held = locked()
    for wanted in [
        *map(Requirement, project["build-system"]["requires"]),
        Requirement("editables"),
    ]:
        assert canonicalize_name(wanted.name) in held
        declared = {one.name for one in requirements(project, "dev")}
        assert wanted.name in declared


# -- conda ---------------------------------------------------------------------------------------


def test_conda_has_the_same_names_and_bounds(project: dict[str, Any]) -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    given = dict(line.partition(" ")[::2] for line in environment["dependencies"])
    expected = {
        CONDA_NAMES.get(one.name, one.name): bounds(str(one.specifier))
        for one in [*requirements(project), *requirements(project, "build")]
    }
    expected |= {"python": bounds(project["project"]["requires-python"]), "pip": set()}
    assert {name: bounds(text) for name, text in given.items()} == expected


def bounds(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}


# -- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["workbench", "tests"])
def test_every_import_is_declared(project: dict[str, Any], folder: str) -> None:
    """What we import ourselves is not left to what others happen to bring along."""
    groups = [None] if folder == "workbench" else [None, "dev"]
    declared = {
        canonicalize_name(one.name) for group in groups for one in requirements(project, group)
    }
    of_module = metadata.packages_distributions()
    undeclared = {
        f"{module} ({file.relative_to(ROOT)})"
        for file in (ROOT / folder).rglob("*.py")
        for module in imported(file) - sys.stdlib_module_names - {"workbench", "tests"}
        if not {canonicalize_name(name) for name in of_module.get(module, ())} & declared
    }
    assert not undeclared


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_command_is_installed() -> None:
    (entry,) = metadata.entry_points(group="console_scripts", name="workbench")
    assert entry.value == "workbench.cli:main"


# -- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "workbench/py.typed",
        "workbench/cli/app.py",
        "workbench/datasets/README.md",
        "workbench/datasets/bank/events.parquet",
        "workbench/datasets/checkout/events.ndjson.gz",
        "workbench/notebooks/00_start_here.ipynb",
    } <= names
    assert not [name for name in names if name.startswith(("tests", "notebooks", "seed"))]
    assert sum(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 8 << 20


def test_the_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "import workbench; from workbench.bundled import sample; print(workbench.__file__, sample('bank').events)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    package, events = done.stdout.split()
    assert package.startswith(str(tmp_path))
    assert events.startswith(str(tmp_path))


# -- the scripts ---------------------------------------------------------------------------------


def test_ci_ends_with_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "python3 run.py test" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_run_py_says_what_it_can_do() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py")], capture_output=True, text=True, check=False
    )
    assert "python3 run.py tour" in done.stderr
    assert "python3 run.py test" in done.stderr


def test_run_py_uses_the_environment_that_it_finds(tmp_path: Path) -> None:
    """An environment that fits the lock is not made again: here one whose Python is ours."""
    import hashlib

    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    wanted = hashlib.sha256()
    for name in ("requirements.lock", "pyproject.toml"):
        wanted.update((ROOT / name).read_bytes())
    (venv / "workbench.stamp").write_text(wanted.hexdigest())
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "health", "absent.duckdb"],
        env={"WORKBENCH_VENV": str(venv), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: absent.duckdb does not exist")
