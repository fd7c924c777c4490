"""What all formats hand over: a table of raw records, and the columns that are the same in each.

The names begin with an asterisk, which no sensible file has:

* ``*at``: the coordinates of the record, ``<file>#<line or row>``,
* ``*``: the record as text; NULL when it is not,
* ``*bytes``: the record as bytes, when it is not text,
* ``*problem``: why the record cannot be read, or NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from workbench.sources.files.marks import Mark
from workbench.sources.files.paths import File

AT: Final = "*at"
WHOLE: Final = "*"
BYTES: Final = "*bytes"
PROBLEM: Final = "*problem"

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read at a time."""

    rows: int = 200_000
    bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at a file tells before it is read.

    Attributes
    ----------
    columns
        Name -> DuckDB type of the file's columns; for NDJSON, of the keys in its first records.
    rows
        About how many records there are; None when that cannot be said.
    """

    columns: Mapping[str, str]
    rows: int | None


class Format(Protocol):
    """A file format."""

    #: Whether a file may become longer, and is then read on.
    grows: bool
    #: Whether a file has the same columns in every record.
    fixed: bool

    def survey(self, file: File) -> Survey:
        """Look at a file."""
        ...

    def tables(
        self, file: File, survey: Survey, columns: Mapping[str, str], mark: Mark, limits: Limits
    ) -> Iterator[tuple[pa.Table, Mark]]:
        """Read a file on from ``mark``: records with ``columns``, and where they end."""
        ...


def pieces(buffer: bytes, bounds: Positions, kind: pa.DataType) -> pa.Array:
    """Cut a buffer at ``bounds``, without copying: n bounds give n - 1 pieces."""
    offsets = pa.py_buffer(bounds.astype(np.int32))
    return pa.Array.from_buffers(kind, len(bounds) - 1, [None, offsets, pa.py_buffer(buffer)])


def spans(buffer: bytes, starts: Positions, ends: Positions, kind: pa.DataType) -> pa.Array:
    """Return what stands between ``starts`` and ``ends``, which ascend and do not overlap."""
    bounds = np.empty(2 * len(starts), np.int64)
    bounds[0::2], bounds[1::2] = starts, ends
    if not len(bounds):
        return pa.array([], kind)
    return pieces(buffer, bounds, kind).take(pa.array(np.arange(0, len(bounds) - 1, 2)))


def without_return(buffer: bytes, starts: Positions, ends: Positions) -> Positions:
    """Move each end before a carriage return that stands there."""
    text = np.frombuffer(buffer, np.uint8)
    longer = ends > starts
    returns = np.zeros(len(ends), bool)
    returns[longer] = text[ends[longer] - 1] == ord("\r")
    moved: Positions = ends - returns
    return moved


def texts(buffer: bytes, starts: Positions, ends: Positions) -> tuple[pa.Array, pa.Array]:
    """Return each record as text (NULL when it is not UTF-8), and as bytes (NULL when it is)."""
    raw = spans(buffer, starts, ends, pa.binary())
    try:
        return raw.cast(pa.string()), pa.nulls(len(raw), pa.binary())
    except pa.ArrowInvalid:
        sound = np.array([_is_text(value) for value in raw.to_pylist()])
        mask = pa.array(sound)
        none = pa.scalar(None, pa.binary())
        return pc.if_else(mask, raw, none).cast(pa.string()), pc.if_else(mask, none, raw)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def nothing() -> pa.Table:
    """Return a table without records."""
    return pa.table({AT: pa.array([], pa.string())})


def coordinates(file: File, numbers: Positions) -> pa.Array:
    """Return ``<file>#<number>`` for each record."""
    return pc.binary_join_element_wise(file.name, pa.array(numbers).cast(pa.string()), "#")
