"""CSV: a header line, then records; a quoted field may hold delimiters and newlines.

Records are cut in whole-buffer steps, by the parity of the quotes before each byte. That is right as long as
quotes stand where RFC 4180 has them. Where they do not, some records are read one by one: a quote in a bare
field is a character, and what cannot be read is a reject, one line long. So a bad record never swallows its
followers.
"""

from __future__ import annotations

import functools
import re
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
#: Records that are read one by one at first; four times as many as long as they are irregular.
_FEW: Final = 16
_QUOTED: Final = re.compile(rb'"([^"]*(?:""[^"]*)*)"(?!")')
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
    fields: list[bytes | None] | None
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
        header = _read_one(text, 0, delimiter, ended=True, whole=True)
        if header is None or header.fields is None:
            message = f"{file.path}: the header cannot be read: {header and header.problem}."
            raise SourceError(message, hint="the first line has to name the columns")
        shown = [(field or b"").decode(errors="replace").strip() for field in header.fields]
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
            at_once, careful = len(window), _FEW
            while len(window):
                text = window.peek(at_once)
                found = cutter.regular(text, mark)
                if found is not None:
                    at_once, careful = at_once * 2, _FEW
                elif not cutter.irregular and len(text) < len(window):
                    at_once *= 2
                    continue
                elif not cutter.irregular and not window.ended and len(window) <= LONGEST:
                    window.grow()
                    at_once = len(window)
                    continue
                else:
                    text = window.peek()
                    whole = window.ended or len(text) > LONGEST
                    found = cutter.one_by_one(text, mark, careful, ended=window.ended, whole=whole)
                    at_once, careful = _CAREFUL, careful * 4
                if found is None and not window.ended:
                    if len(window) > LONGEST:
                        message = f"{file.path}: line {mark.line + 1:,} is longer than {LONGEST >> 20} MiB."
                        raise SourceError(message, hint="take it out of the file, or split it")
                    window.grow()
                    continue
                if found is None:  # half written: the next run sees the rest
                    yield records.nothing(), replace(mark, unread=len(window))
                    return
                table, length = found
                unended = not text.endswith(b"\n", 0, length)
                mark = Mark(
                    rows=mark.rows + table.num_rows,
                    line=mark.line + text.count(b"\n", 0, length) + unended,
                    offset=mark.offset + length,
                    unended=unended,
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
        self._sign = delimiter
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

    def one_by_one(
        self, text: bytes, mark: Mark, most: int, *, ended: bool, whole: bool
    ) -> tuple[pa.Table, int] | None:
        """Read up to ``most`` records at the beginning; None when not even one ends in the text.

        ``ended``: the file ends here; ``whole``: a quote that is not closed here is not waited for.
        """
        starts: list[int] = []
        ends: list[int] = []
        found: list[_Record] = []
        at = 0
        while at < len(text) and len(found) < min(most, self._rows):
            record = _read_one(text, at, self._sign, ended=ended, whole=whole)
            if record is None:
                break
            line = text[at : at + record.length]
            complete = record.fields is not None and len(record.fields) == len(self._names)
            if not line.endswith(b"\n") and not (complete and ended):
                break  # not all of it is there
            if line.strip(b"\r\n"):
                starts.append(at)
                ends.append(at + len(line.rstrip(b"\r\n")))
                found.append(record)
            at += record.length
        if not at:
            return None
        lines, raw = records.texts(text, np.array(starts, np.int64), np.array(ends, np.int64))
        problems = [
            _NOT_TEXT if line is None else record.problem or self._misfit(len(record.fields or []))
            for record, line in zip(found, lines.to_pylist(), strict=True)
        ]
        columns = {
            name: pa.array(
                [
                    record.fields[nth] if problem is None and record.fields else None
                    for record, problem in zip(found, problems, strict=True)
                ],
                pa.binary(),
            ).cast(pa.string())
            for name, nth in self._wanted.items()
        }
        newlines = np.flatnonzero(np.frombuffer(text[:at], np.uint8) == _NEWLINE)
        numbers = mark.line + 1 + np.searchsorted(newlines, starts)
        return self._table(numbers, lines, raw, columns, pa.array(problems, pa.string())), at

    def _first_odd(self, signs: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64]) -> int:
        """Return where the first quote is that neither opens nor closes a field; the length if none."""
        opening, closing = quotes[0::2], quotes[1::2]
        before = signs[opening - 1]
        before[opening == 0] = _NEWLINE
        opens = np.isin(before, [self._delimiter, _NEWLINE, _QUOTE])
        behind = signs.take(closing + 1, mode="clip")
        closes = np.isin(behind, [self._delimiter, _NEWLINE, _QUOTE])
        returns = np.flatnonzero(behind == _RETURN)
        closes[returns] = signs.take(closing[returns] + 2, mode="clip") == _NEWLINE
        return int(min([len(signs), *opening[~opens][:1], *closing[~closes][:1]]))

    def _misfit(self, count: int) -> str | None:
        wanted = len(self._names)
        return None if count == wanted else f"{count} fields where the header has {wanted}"

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


def _read_one(
    text: bytes, start: int, delimiter: str, *, ended: bool, whole: bool
) -> _Record | None:
    """Read the record at ``start``; None when it does not end in ``text`` and there is more."""
    fields: list[bytes | None] = []
    at = start
    while True:
        if text.startswith(b'"', at):
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                return _bad_line(text, start, "a quote is not closed") if whole else None
            at = quoted.end()
            fields.append(quoted[1].replace(b'""', b'"'))
            at += text.startswith((b"\r\n", b"\r"), at) and text[at + 1 : at + 2] in (b"\n", b"")
        else:
            sign = _ends_bare(delimiter).search(text, at)
            end = sign.start() if sign else len(text)
            field = text[at:end]
            if text[end : end + 1] in (b"\n", b""):
                field = field.removesuffix(b"\r")
            fields.append(field or None)
            at = end
        if at == len(text):
            return _Record(at - start, fields) if ended else None
        at += 1
        if text[at - 1] == _NEWLINE:
            return _Record(at - start, fields)
        if text[at - 1] != ord(delimiter):
            return _bad_line(text, start, "text stands behind a closing quote")


@functools.cache
def _ends_bare(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(b"[\n%s]" % re.escape(delimiter.encode()))


def _bad_line(text: bytes, start: int, problem: str) -> _Record:
    end = text.find(b"\n", start) + 1 or len(text)
    return _Record(end - start, None, f"the line is not CSV: {problem}")
