"""Every source under one contract (tests/source_contract.py)."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.source_contract import (
    AppendContract,
    Event,
    EventIdContract,
    MakeSource,
    RejectContract,
    SourceContract,
    Write,
)
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.files import Files
from workbench.sources.files.records import Limits

COLUMN_NAMES = [name for name in MAPPABLE if name != "source_position"]
JSON_COLUMNS = ("data", "metadata")


class FilesContract(SourceContract, AppendContract, EventIdContract):
    pattern: str

    @pytest.fixture
    def source(self, tmp_path: Path) -> MakeSource:
        def make(rows: int | None = None) -> Files:
            made = wb.files(tmp_path / self.pattern, name="bank")
            # Few bytes, too, so that a batch ends in the middle of what was read at a time.
            return made if rows is None else replace(made, limits=Limits(rows, 400 * rows))

        return make


def ndjson(event: Event) -> str:
    """Write an event as a line; its payload stands in it as it is."""
    members = [
        f"{json.dumps(name)}: {value if name in JSON_COLUMNS else json.dumps(value, default=str)}"
        for name, value in event.items()
        if value is not None
    ]
    return "{" + ", ".join(members) + "}\n"


def csv_lines(events: Sequence[Event], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(COLUMN_NAMES)
    writer.writerows([event.get(name) for name in COLUMN_NAMES] for event in events)
    return text.getvalue()


class TestNdjson(FilesContract, RejectContract):
    pattern = "events.ndjson"

    @pytest.fixture
    def write(self, tmp_path: Path) -> Write:
        def write(events: Sequence[Event]) -> None:
            with (tmp_path / "events.ndjson").open("a", encoding="utf-8") as file:
                file.writelines(map(ndjson, events))

        return write

    @pytest.fixture(params=[b'{"stream_id": "acc-1", "data": {"n": 1}', b'{"stream_id": "\xff"}'])
    def write_broken(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], bytes]:
        def write() -> bytes:
            line: bytes = request.param
            with (tmp_path / "events.ndjson").open("ab") as file:
                file.write(line + b"\n")
            return line

        return write


class TestCompressedNdjson(FilesContract):
    pattern = "*.ndjson.gz"

    @pytest.fixture
    def write(self, tmp_path: Path) -> Write:
        def write(events: Sequence[Event]) -> None:
            with gzip.open(tmp_path / "events.ndjson.gz", "at", encoding="utf-8") as file:
                file.writelines(map(ndjson, events))

        return write


class TestCsv(FilesContract, RejectContract):
    pattern = "events.csv"

    @pytest.fixture
    def write(self, tmp_path: Path) -> Write:
        def write(events: Sequence[Event]) -> None:
            path = tmp_path / "events.csv"
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(csv_lines(events, header=not path.exists() or not path.stat().st_size))

        return write

    @pytest.fixture(
        params=[b"acc-1,account", b"acc-1" + b"," * 20, b"\xff" + b"," * 12, b'"acc"-1' + b"," * 12]
    )
    def write_broken(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], bytes]:
        def write() -> bytes:
            line: bytes = request.param
            with (tmp_path / "events.csv").open("ab") as file:
                file.write(line + b"\r\n")
            return line

        return write


class TestParquet(FilesContract):
    """A Parquet file does not grow: what is new is in a new file."""

    pattern = "**/*.parquet"

    @pytest.fixture
    def write(self, tmp_path: Path) -> Write:
        types = {"BIGINT": pa.int64(), "TIMESTAMPTZ": pa.timestamp("us", "UTC")}
        schema = pa.schema([(name, types.get(COLUMNS[name], pa.string())) for name in COLUMN_NAMES])

        def write(events: Sequence[Event]) -> None:
            number = len(list(tmp_path.rglob("*.parquet")))
            path = tmp_path / f"day-{number}" / "part.parquet"
            path.parent.mkdir()
            rows = [{name: event.get(name) for name in COLUMN_NAMES} for event in events]
            pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=6)

        return write
