"""CSV: a header line, then records; a quoted field may hold delimiters and newlines.

Records are cut in whole-buffer steps, by the parity of the quotes before each byte. That is right as long as
quotes stand where RFC 4180 has them. A record in which they do not is read by Python's ``csv``, alone, with
the same rules; what that cannot read is a reject, one line long. So a bad record never swallows its followers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import SourceError
from workbench.sources.files import records
from workbench.sources.files.marks import Mark, end_record, stat
from workbench.sources.files.paths import File
from workbench.sources.files.records import Limits, Survey
from workbench.sources.files.streams import LONGEST, bom, open_bytes, open_window

_SAMPLE: Final = 1 << 20
_DELIMITERS: Final = ",;\t|"
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
#: Bytes that are looked at after an irregular record; doubled as long as all goes well.
_CAREFUL: Final = 64 << 10
_NOT_TEXT: Final = "the record is not UTF-8 text"


@dataclass(frozen=True, slots=True)
class _Header(Survey):
    delimiter: str
    length: int
    lines: int


@dataclass(frozen=True, slots=True)
class _Record:
    """One record that was read alone; ``fields`` None: why it cannot be read is ``problem``."""

    length: int
    fields: list[bytes] | None
    problem: str | None = None


class Delimited:
    """Reads CSV and TSV files."""

    grows = True
    fixed = True

    def survey(self, file: File) -> Survey:
        """Read the header; the delimiter is the one that it holds most of."""
        with open_bytes(file) as stream:
            head = stream.read(_SAMPLE)
        start = bom(file, head)
        text = head[start:]
        if not text.strip():
            return Survey({}, 0)
        first = text.partition(b"\n")[0]
        delimiter = max(_DELIMITERS, key=lambda sign: first.count(sign.encode()))
        header = _read_one(text, delimiter, ended=True)
        if header is None or header.fields is None:
            message = f"{file.path}: the header cannot be read: {header.problem if header else 'no text'}."
            raise SourceError(message, hint="the first line has to name the columns")
        shown = [field.decode(errors="replace").strip() for field in header.fields]
        names = [name or f"column{number}" for number, name in enumerate(shown, 1)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"{file.path}: the header names {', '.join(twice)} more than once."
            raise SourceError(message, hint="rename the columns in the header")
        rows = None
        if file.codec is None:
            rows = round(stat(file).st_size / len(head) * text.count(b"\n"))
        return _Header(
            dict.fromkeys(names, "VARCHAR"), rows, delimiter, start + header.length,
            text.count(b"\n", 0, header.length),
        )  # fmt: skip

    def tables(
        self, file: File, survey: Survey, columns: Mapping[str, str], mark: Mark, limits: Limits
    ) -> Iterator[tuple[pa.Table, Mark]]:
        """Read records; the last one may lack its newline when it has all its fields."""
        if not isinstance(survey, _Header):
            return  # nothing in the file yet
        if mark.offset == 0:
            mark = Mark(line=survey.lines, offset=survey.length)
        cutter = _Cutter(file, survey.delimiter, list(survey.columns), list(columns), limits.rows)
        with open_window(file, offset=mark.offset, size=limits.bytes) as window:
            window.fill()
            mark = end_record(file, mark, window)
            careful = max(len(window), _CAREFUL)
            while len(window):
                text = window.peek(careful)
                found = cutter.regular(text, mark)
                if found is None and not cutter.irregular and len(text) < len(window):
                    careful *= 2
                    continue
                too_long = len(window) > LONGEST
                if found is None and not cutter.irregular and not window.ended and not too_long:
                    window.grow()
                    careful = len(window)
                    continue
                if found is not None:
                    table, length = found
                    careful *= 2
                else:
                    text = window.peek()
                    one = _read_one(text, survey.delimiter, ended=window.ended or too_long)
                    if one is None:
                        window.grow()
                        continue
                    unended = not text[: one.length].endswith(b"\n")
                    if unended and (one.fields is None or len(one.fields) != len(survey.columns)):
                        yield records.nothing(), replace(mark, unread=len(text))
                        return
                    table, length = cutter.single(text[: one.length], one, mark), one.length
                    careful = _CAREFUL
                    mark = replace(mark, unended=unended)
                mark = Mark(
                    rows=mark.rows + table.num_rows,
                    line=mark.line + text.count(b"\n", 0, length) + mark.unended,
                    offset=mark.offset + length,
                    unended=mark.unended,
                )
                window.drop(length)
                yield table, mark
                window.fill()


class _Cutter:
    """Cuts text into records and fields."""

    def __init__(
        self, file: File, delimiter: str, names: list[str], wanted: list[str], rows: int
    ) -> None:
        self._file = file
        self._delimiter = ord(delimiter)
        self._names = names
        self._wanted = {name: names.index(name) for name in wanted if name in names}
        self._rows = rows
        #: Whether the record that ``regular`` stopped at has quotes in odd places.
        self.irregular = False

    def regular(self, text: bytes, mark: Mark) -> tuple[pa.Table, int] | None:
        """Cut the records at the beginning that are regular and ended; None when there is none."""
        signs = np.frombuffer(text, np.uint8)
        separates = (signs == self._delimiter) | (signs == _NEWLINE)
        quotes = signs == _QUOTE
        odd = len(text)
        if quotes.any():
            separates &= np.bitwise_xor.accumulate(quotes.view(np.uint8)) == 0
            odd = self._first_odd(signs, np.flatnonzero(quotes))
        self.irregular = odd < len(text)
        where = np.flatnonzero(separates[:odd])
        last = np.flatnonzero(signs[where] == _NEWLINE)[: self._rows]
        if not len(last):
            return None
        where = where[: last[-1] + 1]
        length = int(where[-1]) + 1

        starts, ends = np.append(0, where[:-1] + 1), where.copy()
        ends[last] = records.without_return(text, starts[last], where[last])
        first = np.append(0, last[:-1] + 1)
        some = ends[last] > starts[first]
        some |= last > first
        first, last = first[some], last[some]
        newlines = np.flatnonzero(signs[:length] == _NEWLINE)
        numbers = mark.line + 1 + np.searchsorted(newlines, starts[first])

        whole, raw = records.texts(text, starts[first], ends[last])
        counts = last - first + 1
        fits = counts == len(self._names)
        is_text = whole.is_valid().to_numpy(zero_copy_only=False)
        sound = fits & is_text
        bounds = np.stack([starts, ends], axis=1).ravel()
        fields = records.pieces(text, bounds, pa.string())
        columns = {
            name: _unquoted(fields.take(pa.array(2 * (first + nth), mask=~sound)))
            for name, nth in self._wanted.items()
        }
        problems = np.full(len(counts), None, object)
        for nth in np.flatnonzero(~fits):
            problems[nth] = self._misfit(int(counts[nth]))
        problems[~is_text] = _NOT_TEXT
        return self._table(numbers, whole, raw, columns, pa.array(problems, pa.string())), length

    def single(self, text: bytes, record: _Record, mark: Mark) -> pa.Table:
        """Make a table of one record that was read alone."""
        start, end = np.array([0]), np.array([len(text.rstrip(b"\r\n"))])
        whole, raw = records.texts(text, start, end)
        problem = record.problem
        if record.fields is not None and len(record.fields) != len(self._names):
            problem = self._misfit(len(record.fields))
        if not whole[0].is_valid:
            problem = _NOT_TEXT
        fields = record.fields if problem is None else None
        columns = {
            name: pa.array([(fields[nth].decode() or None) if fields else None], pa.string())
            for name, nth in self._wanted.items()
        }
        number = np.array([mark.line + 1])
        return self._table(number, whole, raw, columns, pa.array([problem], pa.string()))

    def _first_odd(self, signs: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64]) -> int:
        """Return where the first quote is that neither opens nor closes a field; the length if none."""
        opening, closing = quotes[0::2], quotes[1::2]
        before = np.append(np.uint8(_NEWLINE), signs)[opening]
        opens = np.isin(before, [self._delimiter, _NEWLINE, _QUOTE])
        behind = np.append(signs, np.uint8(_NEWLINE))[closing + 1]
        closes = np.isin(behind, [self._delimiter, _NEWLINE, _RETURN, _QUOTE])
        return int(min([len(signs), *opening[~opens][:1], *closing[~closes][:1]]))

    def _misfit(self, count: int) -> str:
        return f"{count} fields where the header has {len(self._names)}"

    def _table(
        self,
        numbers: records.Positions,
        whole: pa.Array,
        raw: pa.Array,
        columns: Mapping[str, pa.Array],
        problems: pa.Array,
    ) -> pa.Table:
        return pa.table(
            {
                records.AT: records.coordinates(self._file, numbers),
                records.WHOLE: whole,
                records.BYTES: raw,
                records.PROBLEM: problems,
                **columns,
            }
        )


def _unquoted(fields: pa.Array) -> pa.Array:
    """Take the quotes off; an empty field is NULL, an empty text in quotes is not."""
    fields = pc.if_else(pc.equal(fields, ""), pa.scalar(None, pa.string()), fields)
    quoted = pc.starts_with(fields, '"')
    if not pc.any(quoted).as_py():
        return fields
    inner = pc.replace_substring(pc.utf8_slice_codeunits(fields, 1, -1), '""', '"')
    return pc.if_else(quoted, inner, fields)


def _read_one(text: bytes, delimiter: str, *, ended: bool) -> _Record | None:
    """Read the first record; None when it does not end in ``text`` and there is more."""
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        while taken < len(text):
            start, taken = taken, (text.find(b"\n", taken) + 1) or len(text)
            yield text[start:taken].decode("latin-1")

    try:
        fields = next(csv.reader(lines(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        if taken == len(text) and not ended:
            return None
        line = (text.find(b"\n") + 1) or len(text)
        return _Record(line, None, f"the line is not CSV: {error}")
    if taken == len(text) and not ended:
        return None
    return _Record(taken, [field.encode("latin-1") for field in fields])
