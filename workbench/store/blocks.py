"""The blocks of a DuckDB file, held against their checksums without DuckDB: no byte of it is left out.

DuckDB checks a block when it reads one, so a query finds damage only where it looks. The layout (DuckDB's
``storage_info.hpp``, ``checksum.cpp``): three headers of 4,096 bytes, then blocks of the size that the headers
name; each begins with eight bytes of checksum over the rest, which is 5381 and all 64-bit words, each times a
constant, combined by exclusive or. A change to one word always changes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import duckdb
import numpy as np

from workbench._sql import text
from workbench.errors import LogCorrupt, LogError
from workbench.store.query import BLOCK_SIZE, FIRST_BLOCK

HEADERS: Final = 3
HEADER: Final = FIRST_BLOCK // HEADERS
_AT_ONCE: Final = 64
_SEED: Final = np.uint64(5381)
_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
_SIZES: Final = frozenset(2**power for power in range(14, 25))


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file whose bytes do not match their checksum.

    Attributes
    ----------
    name
        ``header 1``, ``block 12``, ``the bytes behind the last block``.
    start, end
        The bytes, counted from 0; ``end`` is exclusive.
    holds
        What lies there, as far as the file still tells.
    """

    name: str
    start: int
    end: int
    holds: str = ""

    def __str__(self) -> str:
        told = f"; it holds {self.holds}" if self.holds else ""
        return f"{self.name} (bytes {self.start:,} to {self.end - 1:,}) does not match its checksum{told}"


def damage(path: Path) -> list[Damage]:
    """Check every block of a DuckDB file.

    Raises
    ------
    LogError
        The file cannot be read.
    LogCorrupt
        It is too short to be a DuckDB file.
    """
    try:
        with path.open("rb") as file:
            found = list(_damaged(file, path))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise LogError(message, hint="check the path and its permissions") from error
    held = _held(path) if any(item.name.startswith("block") for item in found) else {}
    return [Damage(item.name, item.start, item.end, held.get(item.name, "")) for item in found]


def _damaged(file: IO[bytes], path: Path) -> Iterator[Damage]:
    size = BLOCK_SIZE
    count: int | None = None
    latest = -1
    for number in range(HEADERS):
        raw = file.read(HEADER)
        if len(raw) < HEADER:
            message = f"{path} is damaged, or no DuckDB file: it ends within its headers."
            raise LogCorrupt(message, hint="restore it from a copy")
        if not _sound(np.frombuffer(raw, dtype="<u8").reshape(1, -1))[0]:
            yield Damage(f"header {number + 1}", number * HEADER, (number + 1) * HEADER)
        elif number:
            iteration, _, _, blocks, block_size = struct.unpack_from("<5Q", raw, 8)
            if iteration > latest and block_size in _SIZES:
                latest, count, size = iteration, blocks, block_size
    block, place = 0, HEADER * HEADERS
    while raw := file.read(size * _AT_ONCE):
        whole = len(raw) // size
        sound = _sound(np.frombuffer(raw, dtype="<u8", count=whole * size // 8).reshape(whole, -1))
        for index in np.flatnonzero(~sound).tolist():
            start = place + index * size
            yield Damage(f"block {block + index}", start, start + size)
        if whole * size < len(raw):
            yield Damage("the end of the file", place + whole * size, place + len(raw))
        block += whole
        place += len(raw)
    if count is not None and block < count:
        missing = count - block
        yield Damage(
            f"the end of the file, where {missing:,} blocks are missing",
            place,
            place + missing * size,
        )


def _sound(
    words: np.ndarray[tuple[int, int], np.dtype[np.uint64]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Compare each row's checksum, its first word, with the one of the others."""
    if not len(words):
        return np.zeros(0, dtype=bool)
    mixed = np.bitwise_xor.reduce(words[:, 1:] * _FACTOR, axis=1) ^ _SEED
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = mixed == words[:, 0]
    return found


def _held(path: Path) -> dict[str, str]:
    """Say what each block holds, where the file can still be opened."""
    found: dict[str, dict[str, list[int]]] = {}
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH {text(str(path))} AS log (READ_ONLY)")
            tables = con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'log' AND schema_name = 'main'"
            ).fetchall()
            for (table,) in tables:
                rows = con.execute(
                    "SELECT DISTINCT unnest(list_prepend(block_id, additional_block_ids)), column_name, "
                    'row_group_id * 122880 + "start" AS first, first + "count" '
                    f"FROM pragma_storage_info({text(f'log.main.{table}')})"
                ).fetchall()
                for block, column, first, end in rows:
                    at = found.setdefault(f"block {block}", {}).setdefault(
                        f"{table}.{column}", [first, end]
                    )
                    at[:] = [min(at[0], first), max(at[1], end)]
    except duckdb.Error:  # what it holds cannot be told then; that it is damaged is found already
        return {}
    return {
        block: ", ".join(
            f"{column} of rows {first:,} to {end - 1:,}"
            for column, (first, end) in sorted(held.items())
        )
        for block, held in found.items()
    }
