"""NDJSON: one JSON object a line.

The members of the object are cut out as they stand, so numbers keep their digits and keys their order. An
empty line is no record, but is counted as a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import SourceError
from workbench.sources.files import records
from workbench.sources.files.marks import Mark, end_record, skip_bom, stat
from workbench.sources.files.paths import File
from workbench.sources.files.records import Limits, Positions, Survey
from workbench.sources.files.streams import LONGEST, bom, open_bytes, open_window
from workbench.sources.payload import Cutter

_SAMPLE: Final = 1 << 20
_KEYS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Ndjson:
    """Reads NDJSON files."""

    grows = True
    fixed = False

    def survey(self, file: File) -> Survey:
        """Collect the keys of the first records."""
        with open_bytes(file) as stream:
            head = stream.read(_SAMPLE)
            while (
                b"\n" not in head and len(head) <= LONGEST and (more := stream.read(len(head) or 1))
            ):
                head += more
        skip = bom(file, head)
        text = head[skip:]
        starts, ends, _ = _lines(text)
        lines = records.spans(text, starts, ends, pa.binary()).to_pylist()
        keys = dict.fromkeys(key for line in lines for key in _keys(line))
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
            cutter = Cutter([(name,) for name in columns])
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
                if unended and cutter.cut([text])[1] is not None:
                    # Half written: the next run sees the rest.
                    yield records.nothing(), replace(mark, unread=len(text))
                    return
                length = length or len(text)
                table = _table(con, cutter, list(columns), file, text[:length], mark)
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
    con: duckdb.DuckDBPyConnection,
    cutter: Cutter,
    names: Sequence[str],
    file: File,
    text: bytes,
    mark: Mark,
) -> pa.Table:
    starts, ends, nth = _lines(text)
    raw = records.spans(text, starts, ends, pa.binary())
    whole, problems, members = cutter.cut(raw.to_pylist())
    shown = [problem and problem.replace("the value", "the line") for problem in problems or []]
    problem = pa.array(shown, pa.string()) if shown else pa.nulls(len(raw), pa.string())
    # DuckDB refuses some of what passed, half a surrogate pair for one; it would fail on its parts.
    lines = pa.table({"line": whole})
    sound = con.from_arrow(lines).project("coalesce(json_valid(line), false) AS sound")
    good = pc.fill_null(sound.to_arrow_table()["sound"], False).combine_chunks()
    if not pc.all(good).as_py():
        nothing = pa.scalar(None, pa.string())
        problem = pc.coalesce(problem, pc.if_else(good, nothing, "the line is not JSON"))
        whole, *members = (pc.if_else(good, column, nothing) for column in (whole, *members))
    return pa.table(
        {
            records.AT: records.coordinates(file, mark.line + 1 + nth),
            records.WHOLE: whole,
            records.BYTES: pc.if_else(good, pa.scalar(None, pa.binary()), raw),
            records.PROBLEM: problem,
            **dict(zip(names, members, strict=True)),
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


def _keys(line: bytes) -> Iterable[str]:
    try:
        return _KEYS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


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
