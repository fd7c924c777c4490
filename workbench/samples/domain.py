"""What the two domains have in common: how events are simulated, written as text, and summarised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import numpy.typing as npt

#: Columns of equal length. Events stay numbers until they are written.
Rows = dict[str, npt.NDArray[Any]]


def join(parts: list[Rows]) -> Rows:
    """Put rows with the same columns below each other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def where(rows: Rows, chosen: npt.NDArray[Any]) -> Rows:
    """Choose rows by a mask or by indices."""
    return {name: column[chosen] for name, column in rows.items()}


def numbered(prefix: str, column: str, digits: int = 6) -> str:
    """Write SQL for an identity such as ``acc-000001``; a large number takes more digits.

    >>> numbered("acc-", "n", 2)
    "CASE WHEN n < 100 THEN 'acc-' || substr(CAST(n + 100 AS VARCHAR), 2) ELSE 'acc-' || n END"
    """
    limit = 10**digits
    # Half the time of format('acc-{:06d}', n), and this is written for every event.
    return (
        f"CASE WHEN {column} < {limit} THEN '{prefix}' || substr(CAST({column} + {limit} AS VARCHAR), 2) "
        f"ELSE '{prefix}' || {column} END"
    )


def money(cents: str) -> str:
    """Write SQL for an amount with two places, from whole cents."""
    return f"CAST(CAST({cents} AS DECIMAL(18,0)) * CAST(0.01 AS DECIMAL(3,2)) AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class ReadModel:
    """The clean definition of a read model, as SQL over ``events``.

    Attributes
    ----------
    name, key
        The table and its key column.
    key_format
        How a key is written, from its number.
    applied
        The columns that the aggregates read: name -> expression over the canonical columns of an event.
        ``key`` and ``position`` are there for certain.
    columns
        Business column -> aggregate over ``applied``, for one key.
    version
        Aggregate: the checkpoint of a row that has applied everything.
    ends
        The condition on ``applied`` under which an event ends the row, or ``FALSE``.
    """

    name: str
    key: str
    key_format: str
    applied: Mapping[str, str]
    columns: Mapping[str, str]
    version: str
    ends: str


@dataclass(frozen=True, slots=True)
class Told:
    """What was written beside the events, and how much of each kind is in it.

    Attributes
    ----------
    files
        The files.
    counts
        What is counted -> kind -> how many.
    """

    files: tuple[Path, ...]
    counts: Mapping[str, Mapping[str, int]]


class Witness(Protocol):
    """Sees all rows that are written, and tells the truth about them afterwards."""

    def saw(self, rows: Rows) -> None:
        """Take note of rows, in the order of positions."""

    def write(
        self, con: duckdb.DuckDBPyConnection, domain: Domain, events: tuple[Path, ...], folder: Path
    ) -> Told:
        """Write what it knows to the folder."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One kind of data.

    Attributes
    ----------
    slices
        ``slices(events, seed)`` yields rows without end, in the order in which they were recorded.
    table
        Makes an Arrow table of rows and their positions; it holds what ``render`` reads.
    render
        SELECT list over that table: the canonical columns of an event, data and metadata as JSON text.
    witnesses
        Each makes, from the number of events and the seed, one who sees the rows that are written.
    rewrite
        Makes, from a query for the canonical columns, one that writes payloads in another way.
    """

    name: str
    slices: Callable[[int, int], Iterator[Rows]]
    table: Callable[[Rows, npt.NDArray[np.int64]], Any]
    render: str
    read_model: ReadModel
    witnesses: tuple[Callable[[int, int], Witness], ...] = ()
    rewrite: Callable[[str], str] | None = None
