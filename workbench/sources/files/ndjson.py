"""NDJSON: one JSON object a line.

The members of the object are cut out as they stand (``raw_json``), so numbers keep their digits and keys
their order. An empty line is no record, but is counted as a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from workbench.errors import SourceError
from workbench.sources import raw_json
from workbench.sources.files import records
from workbench.sources.files.marks import Mark, end_record, skip_bom, stat
from workbench.sources.files.paths import File
from workbench.sources.files.records import Limits, Positions, Survey
from workbench.sources.files.streams import LONGEST, bom, open_bytes, open_window

_SAMPLE: Final = 1 << 20
_PROBLEM: Final = (
    "CASE WHEN line IS NULL THEN 'the line is not UTF-8 text' "
    f"WHEN NOT ({raw_json.strictly_valid('line')}) THEN 'the line is not JSON' "
    r"WHEN NOT regexp_matches(line, '^\s*\{') THEN 'the line is JSON, but not an object' END"
)


class Ndjson:
    """Reads NDJSON files."""

    grows = True
    fixed = False

    def survey(self, file: File) -> Survey:
        """Collect the keys of the first records."""
        with open_bytes(file) as stream:
            head = stream.read(_SAMPLE)
        skip = bom(file, head)
        text = head[skip:]
        starts, ends, _ = _lines(text)
        sound, _ = records.texts(text, starts, ends)
        usable = sound.is_valid().to_numpy(zero_copy_only=False)
        keys = raw_json.keys(text, starts[usable], ends[usable]) if usable.any() else []
        if _opens_array(text):
            message = f"{file.path} holds one JSON array, not one JSON object a line."
            raise SourceError(message, hint="turn it into NDJSON: jq -c '.[]' in.json > out.ndjson")
        rows = None
        if file.codec is None and (len(starts) or len(head) < _SAMPLE):
            rows = round(stat(file).st_size / max(len(head), 1) * len(starts))
        return Survey(dict.fromkeys(keys, "JSON"), rows)

    def tables(
        self, file: File, survey: Survey, columns: Mapping[str, str], mark: Mark, limits: Limits
    ) -> Iterator[tuple[pa.Table, Mark]]:
        """Read lines; one that is not ended is read only when it is a whole object."""
        with (
            duckdb.connect() as con,
            open_window(file, offset=mark.offset, size=limits.bytes) as window,
        ):
            window.fill()
            mark = (
                skip_bom(file, mark, window) if mark.offset == 0 else end_record(file, mark, window)
            )
            while len(window):
                text = window.peek()
                length = _whole_lines(text, limits.rows)
                if not length and not window.ended:
                    if len(text) > LONGEST:
                        message = f"{file.path}: line {mark.line + 1:,} is longer than {LONGEST >> 20} MiB."
                        raise SourceError(message, hint="take it out of the file, or split it")
                    window.grow()
                    continue
                unended = not length
                if unended and not _is_object(con, text):
                    # Half written: the next run sees the rest.
                    yield records.nothing(), replace(mark, unread=len(text))
                    return
                length = length or len(text)
                table = _table(con, file, text[:length], mark, columns)
                mark = Mark(
                    rows=mark.rows + table.num_rows,
                    line=mark.line + text.count(b"\n", 0, length) + unended,
                    offset=mark.offset + length,
                    unended=unended,
                )
                window.drop(length)
                yield table, mark
                window.fill()


def _table(
    con: duckdb.DuckDBPyConnection, file: File, text: bytes, mark: Mark, columns: Mapping[str, str]
) -> pa.Table:
    starts, ends, nth = _lines(text)
    whole, raw = records.texts(text, starts, ends)
    lines = pa.table({"line": whole})
    problems = con.from_arrow(lines).project(f"{_PROBLEM} AS problem").to_arrow_table()["problem"]
    # A line that is no object has no members.
    readable = np.where(problems.is_null().to_numpy(zero_copy_only=False), ends, starts)
    cut = raw_json.members(text, starts, readable, list(columns))
    return pa.table(
        {
            records.AT: records.coordinates(file, mark.line + 1 + nth),
            records.WHOLE: whole,
            records.BYTES: raw,
            records.PROBLEM: problems,
            **cut,
        }
    )


def _lines(text: bytes) -> tuple[Positions, Positions, Positions]:
    """Return where each line that is not empty starts and ends, and how many lines stand before it."""
    newlines = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    starts = np.append(0, newlines + 1)
    ends = records.without_return(text, starts, np.append(newlines, len(text)))
    some = np.flatnonzero(ends > starts)
    return starts[some], ends[some], some


def _whole_lines(text: bytes, most: int) -> int:
    """Return the length of the lines that are ended by a newline, at most so many."""
    newlines = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    return int(newlines[min(most, len(newlines)) - 1]) + 1 if len(newlines) else 0


def _opens_array(text: bytes) -> bool:
    """Whether the text is one JSON array, rather than a line for each record."""
    first, _, rest = text.lstrip().partition(b"\n")
    if not first.startswith(b"["):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not rest.strip()


def _is_object(con: duckdb.DuckDBPyConnection, text: bytes) -> bool:
    try:
        line = text.decode()
    except UnicodeDecodeError:
        return False
    # Not json.loads: Python gives up at a thousand levels.
    return con.execute(f"SELECT {_PROBLEM} FROM (SELECT ? AS line)", [line]).fetchall() == [(None,)]
