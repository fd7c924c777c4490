"""Cutting the members of JSON objects out of a buffer as they stand there, many records at once.

DuckDB's own extraction writes a value anew: 1.10 becomes 1.1, 12345678901234567.89 becomes
12345678901234568.0, escapes and spaces change. A payload is kept as received, so it is cut out here, by the
positions of quotes, braces, colons and commas, in whole-buffer steps of numpy and Arrow.

A record that is no valid JSON gives NULLs or nonsense, never an error and never a change to its neighbours;
whether it is valid is for the caller to ask (``json_valid``).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int64]

_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_STEP = np.zeros(256, np.int8)
_STEP[list(b"{[")] = 1
_STEP[list(b"}]")] = -1
_STRUCTURAL = _STEP != 0
_STRUCTURAL[[_QUOTE, _COLON, _COMMA]] = True
#: Bytes that are looked at in one go: the working arrays are several times as large.
_SLICE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of the outermost objects of some records: ``pieces`` holds key, gap, value, gap, …."""

    pieces: pa.StringArray
    record: Positions

    def keys(self) -> pa.DictionaryArray:
        return self.pieces.take(pa.array(np.arange(len(self.record)) * 4)).dictionary_encode()


def members(
    buffer: bytes | memoryview, starts: Positions, ends: Positions, names: Sequence[str]
) -> dict[str, pa.ChunkedArray]:
    r"""Return the text of the named members of each record; NULL where it is absent or ``null``.

    Parameters
    ----------
    buffer
        UTF-8 text, at least where records are.
    starts, ends
        Where each record begins and ends (exclusive), in ascending order. An empty record has no members.
    names
        Keys of the outermost object. Of a key that is there twice, the first counts, as in DuckDB.

    Examples
    --------
    >>> line = b'{"id": 7, "data": {"amount": 1.10, "by": "Zo\\u00eb"}}'
    >>> found = members(line, np.array([0]), np.array([len(line)]), ["data", "id"])
    >>> print(found["data"][0], found["id"][0])
    {"amount": 1.10, "by": "Zo\u00eb"} 7
    """
    found: dict[str, list[pa.Array]] = {name: [] for name in names}
    for first, last in _slices(starts, ends):
        part = _scan(buffer, starts[first:last], ends[first:last])
        keys = part.keys()
        known = [_unescaped(key) for key in keys.dictionary.to_pylist()]
        codes = keys.indices.to_numpy(zero_copy_only=False)
        for name, arrays in found.items():
            here = np.flatnonzero(np.isin(codes, [i for i, key in enumerate(known) if key == name]))
            record, nth = np.unique(part.record[here], return_index=True)
            piece = np.full(last - first, -1, np.int64)
            piece[record] = here[nth] * 4 + 2
            values = pc.ascii_trim(part.pieces.take(pa.array(piece, mask=piece < 0)), " \t\r\n")
            arrays.append(
                pc.if_else(pc.equal(values, "null"), pa.scalar(None, pa.string()), values)
            )
    return {name: pa.chunked_array(arrays, pa.string()) for name, arrays in found.items()}


def keys(buffer: bytes | memoryview, starts: Positions, ends: Positions) -> list[str]:
    """Return the keys of the records' outermost objects, in the order of their first appearance.

    >>> keys(b'{"b": {"x": 1}, "a": 2}', np.array([0]), np.array([23]))
    ['b', 'a']
    """
    seen: dict[str, None] = {}
    for first, last in _slices(starts, ends):
        for key in (
            _scan(buffer, starts[first:last], ends[first:last]).keys().dictionary.to_pylist()
        ):
            seen[_unescaped(key)] = None
    return list(seen)


def strictly_valid(expression: str) -> str:
    """Return SQL that tells whether a text is JSON as RFC 8259 has it.

    ``json_valid`` alone also lets NaN, Infinity and trailing commas pass, which other readers refuse.

    >>> import duckdb
    >>> texts = ['[1]', '[NaN]', '[1,]', '["NaN"]']
    >>> with duckdb.connect() as con:
    ...     sql = f"SELECT {strictly_valid('a')} FROM (SELECT unnest(?) AS a)"
    ...     con.execute(sql, [texts]).fetchall()
    [(True,), (False,), (False,), (True,)]
    """
    odd = r"'(^|[:,\[\s-])(?i:nan|inf)|,\s*[\]}]'"
    without_strings = rf"""regexp_replace({expression}, '"([^"\\]|\\.)*"', '""', 'g')"""
    return (
        f"json_valid({expression}) AND (NOT regexp_matches({expression}, {odd}) "
        f"OR NOT regexp_matches({without_strings}, {odd}))"
    )


def _unescaped(key: str) -> str:
    if "\\" not in key:
        return key
    try:
        return str(json.loads(f'"{key}"'))
    except ValueError:  # the record is not valid JSON
        return key


def _slices(starts: Positions, ends: Positions) -> list[tuple[int, int]]:
    """Cut the records into runs of about ``_SLICE`` bytes."""
    cuts = [0]
    while cuts[-1] < len(starts):
        until = starts[cuts[-1]] + _SLICE
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, until, side="right"))))
    return list(itertools.pairwise(cuts))


def _scan(buffer: bytes | memoryview, starts: Positions, ends: Positions) -> _Members:
    base = int(starts[0])
    text = np.frombuffer(buffer, np.uint8)[base : int(ends.max())]
    starts, ends = starts - base, ends - base

    where = np.flatnonzero(_STRUCTURAL[text])
    where = where[~(_escaped(text)[where] & (text[where] == _QUOTE))]
    # Each mark belongs to the record that begins before it; what follows the record's end is nobody's.
    record = np.repeat(
        np.arange(len(starts)), np.diff(np.append(np.searchsorted(where, starts), len(where)))
    )
    ours = where < ends[record]
    where, record = where[ours], record[ours]
    kind = text[where]

    quote = kind == _QUOTE
    in_string = (_running(quote, record, len(starts)) & 1).astype(bool)
    outside = quote | ~in_string
    where, record, kind = where[outside], record[outside], kind[outside]
    step = _STEP[kind]
    depth = _running(step, record, len(starts))

    colon = (kind == _COLON) & (depth == 1)
    ends_value = colon | ((kind == _COMMA) & (depth == 1)) | ((step < 0) & (depth == 0))
    enders = np.flatnonzero(ends_value)
    at = np.flatnonzero(colon)
    follows = np.searchsorted(enders, at) + 1
    usable = (at >= 2) & (follows < len(enders))
    at, follows = at[usable], enders[follows[usable]]
    # A key, a colon, and an end in the same record: all else is malformed, and could overlap.
    sound = (
        (kind[at - 1] == _QUOTE)
        & (kind[at - 2] == _QUOTE)
        & (kind[follows] != _COLON)
        & (record[at - 2] == record[at])
        & (record[follows] == record[at])
    )
    at, follows = at[sound], follows[sound]

    bounds = np.empty((len(at), 4), np.int32)
    bounds[:, 0] = where[at - 2] + 1
    bounds[:, 1] = where[at - 1]
    bounds[:, 2] = where[at] + 1
    bounds[:, 3] = where[follows]
    offsets = np.append(bounds.ravel(), bounds[-1:, 3])
    if not len(offsets):
        offsets = np.zeros(1, np.int32)
    pieces = pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text))
    )
    return _Members(pieces, record[at])


def _escaped(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tell the bytes that stand behind an odd number of backslashes."""
    escaped = np.zeros(len(text), bool)
    slashes = np.flatnonzero(text == _BACKSLASH)
    if len(slashes):
        last = np.flatnonzero(np.append(np.diff(slashes) != 1, True))
        length = np.diff(np.append(-1, last))
        behind = slashes[last[length % 2 == 1]] + 1
        escaped[behind[behind < len(text)]] = True
    return escaped


def _running(
    steps: npt.NDArray[np.int8] | npt.NDArray[np.bool_], record: Positions, records: int
) -> npt.NDArray[np.int32]:
    """Add up ``steps`` within each record."""
    total = np.cumsum(steps, dtype=np.int32)
    first = np.searchsorted(record, np.arange(records))
    before = np.append(np.int32(0), total)[first]
    running: npt.NDArray[np.int32] = total - before[record]
    return running
