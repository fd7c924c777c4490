"""One pass over files: what is new in each, packed into batches, with a bookmark behind each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from workbench._sql import ident
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.base import Batch, Report, Shape
from workbench.sources.files import records
from workbench.sources.files.marks import Mark, stat
from workbench.sources.files.paths import File
from workbench.sources.files.records import AT, Format, Limits, Survey


@dataclass(frozen=True, slots=True)
class Work:
    """A file that has, or may have, something new."""

    file: File
    survey: Survey


class Pass:
    """The :class:`~workbench.sources.base.Reading` of files."""

    def __init__(
        self,
        source: str,
        format: Format,
        shape: Shape,
        columns: Mapping[str, str],
        files: Sequence[File],
        work: Sequence[Work],
        marks: Mapping[str, Mark],
        limits: Limits,
    ) -> None:
        self._source = source
        self._format = format
        self._shape = shape
        self._columns = columns
        self._files = files
        self._work = work
        self._marks = dict(marks)
        self._began = dict(marks)
        self._limits = limits
        self._types = _arrow_types(columns)
        self._lacking = _lacking(work, columns) if format.fixed else {}
        self._left_out = _left_out(work, columns) if format.fixed else []

    @property
    def shape(self) -> Shape:
        """How records become events."""
        return self._shape

    @property
    def total(self) -> int | None:
        """About how many records there are to read."""
        total = 0
        for item in self._work:
            if item.survey.rows is None:
                return None
            total += max(item.survey.rows - self._began.get(item.file.name, Mark()).rows, 0)
        return total

    def batches(self) -> Iterator[Batch]:
        """Read what is new, file by file."""
        pending: list[pa.Table] = []
        rows = size = 0
        changed: dict[str, tuple[File, os.stat_result]] = {}
        for item in self._work:
            name = item.file.name
            # Taken before the file is read: what is written to it meanwhile is for the next run.
            behind = (item.file, stat(item.file))
            mark = self._marks.get(name, Mark())
            tables = self._format.tables(item.file, item.survey, self._columns, mark, self._limits)
            for table, mark in tables:
                self._marks[name] = mark
                changed[name] = behind
                if table.num_rows:
                    pending.append(self._conform(table))
                    rows += table.num_rows
                    size += table.nbytes
                if rows >= self._limits.rows or size >= self._limits.bytes:
                    yield self._batch(pending, changed)
                    pending, changed, rows, size = [], {}, 0, 0
            self._marks[name] = replace(mark, done=True)
            changed[name] = behind
        if changed:
            yield self._batch(pending, changed)

    def report(self) -> Report:
        """Say how far each file was read."""
        entries = [self._entry(file) for file in self._files]
        whole = sum(bool(entry["complete"]) for entry in entries)
        rows = sum(int(entry["to"]) for entry in entries)
        gone = sorted(set(self._marks) - {file.name for file in self._files})
        notes = [f"{entry['part']}: {entry['note']}" for entry in entries if entry["note"]]
        if self._left_out:
            notes.append(
                f"not loaded, since the mapping names no such column: {', '.join(self._left_out)} "
                "(columns={'data': '*'} keeps whole records)"
            )
        if gone:
            notes.append(
                f"{len(gone)} files that were loaded are not there any more ({gone[0]}, …)"
            )
        return Report(
            watermark=f"{whole} of {len(entries)} files, {rows:,} records",
            completeness=tuple(entries),
            notes=tuple(notes),
        )

    def _entry(self, file: File) -> Mapping[str, Any]:
        mark, began = self._marks.get(file.name, Mark()), self._began.get(file.name, Mark())
        note = ""
        if mark.unread:
            note = f"the last {mark.unread:,} bytes are no whole record yet; they are left for the next load"
        elif not mark.done:
            note = "not read to its end"
        return {
            "part": file.name,
            "from": began.rows + 1 if mark.rows > began.rows else None,
            "to": mark.rows,
            "end": mark.rows if mark.done else None,
            "complete": mark.done and not mark.unread,
            "note": note or self._lacking.get(file.name, ""),
        }

    def _conform(self, table: pa.Table) -> pa.Table:
        """Give every table the same columns; one that a file does not have is NULL."""
        arrays = {name: table[name] for name in table.column_names if name.startswith(AT[0])}
        for name, kind in self._types.items():
            there = name in table.column_names
            arrays[name] = table[name].cast(kind) if there else pa.nulls(table.num_rows, kind)
        return pa.table(arrays)

    def _batch(
        self, pending: Sequence[pa.Table], changed: Mapping[str, tuple[File, os.stat_result]]
    ) -> Batch:
        for name, (file, before) in changed.items():
            self._marks[name] = self._marks[name].of(file, before, grows=self._format.grows)
        return Batch(
            rows=pa.concat_tables(pending) if pending else records.nothing(),
            bookmark={"files": {name: mark.stored() for name, mark in self._marks.items()}},
        )


def _lacking(work: Sequence[Work], columns: Mapping[str, str]) -> dict[str, str]:
    """Say which files do not have a column that is mapped."""
    found = {}
    for item in work:
        names = [name for name in columns if name not in item.survey.columns]
        if names and item.survey.columns:
            found[item.file.name] = f"has no column {', '.join(names)}: unknown in its events"
    return found


def _left_out(work: Sequence[Work], columns: Mapping[str, str]) -> list[str]:
    """List the columns of files that nothing is made of; what a log gives itself is none of them."""
    there = dict.fromkeys(name for item in work for name in item.survey.columns)
    own = COLUMNS.keys() - set(MAPPABLE)
    return [name for name in there if name not in columns and name not in own]


def _arrow_types(columns: Mapping[str, str]) -> dict[str, pa.DataType]:
    if not columns:
        return {}
    listed = ", ".join(f"CAST(NULL AS {kind}) AS {ident(name)}" for name, kind in columns.items())
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        schema = con.sql(f"SELECT {listed}").to_arrow_table().schema
    # JSON comes out as an extension type; it is plain text here.
    return {
        name: pa.string() if columns[name] == "JSON" else schema.field(name).type
        for name in columns
    }
