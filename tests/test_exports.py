"""The names that the package gives, and what it costs to import it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import workbench as wb


def test_the_public_names() -> None:
    assert wb.__all__ == [
        "EventLog", "Fold", "Projection", "Saga", "Step", "Upcaster", "collect", "count", "dead_letters",
        "field", "files", "first", "kafka", "largest", "latest", "mask", "open", "postgres", "read_model",
        "smallest", "total", "verify",
    ]  # fmt: skip


@pytest.mark.parametrize("name", wb.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    assert getattr(wb, name).__doc__
    assert name in dir(wb)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        wb.opne  # type: ignore[attr-defined]  # noqa: B018  (that is the point)


def imported_by(code: str) -> set[str]:
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in json.loads(ran.stdout.splitlines()[-1])}


HEAVY = {
    "pandas",
    "altair",
    "aiokafka",
    "psycopg",
    "adbc_driver_postgresql",
    "ipywidgets",
    "IPython",
}


def test_importing_the_package_is_cheap() -> None:
    assert not imported_by("import workbench") & {*HEAVY, "duckdb", "pyarrow", "numpy"}


def test_a_log_needs_no_driver_and_no_chart() -> None:
    code = """
import workbench as wb
with wb.open() as log:
    log.replay(wb.Projection("p", {"n": wb.count()})).rows()
    repr(log), log._repr_html_()
"""
    assert not imported_by(code) & HEAVY
