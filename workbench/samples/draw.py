"""Seeded draws that both domains share: identities, times of the day, delays, skew."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR

# Share of a day's events in each hour, UTC: quiet nights, a rush before lunch, a second one after work.
_RHYTHM: Final = np.cumsum(
    [0, 2, 1, 1, 1, 1, 2, 5, 9, 14, 17, 18, 17, 15, 13, 14, 15, 17, 19, 18, 14, 10, 7, 5, 3]
)


def times_of_day(rng: np.random.Generator, size: int) -> Ints:
    """Draw times in microseconds after midnight, by the rhythm of a day."""
    hours = np.interp(rng.random(size) * _RHYTHM[-1], _RHYTHM, np.arange(25))
    times: Ints = np.minimum((hours * HOUR).astype(np.int64), DAY - 1)
    return times


def day_number(date: str) -> int:
    """Count the days since 1970-01-01, a Thursday.

    >>> day_number("1970-01-03")
    2
    """
    return int(np.datetime64(date, "D").astype(np.int64))


def weekday_factor(day: int) -> float:
    """How busy a day is, by its number.

    >>> [weekday_factor(day_number("2026-01-02") + i) for i in range(3)]  # Friday, Saturday, Sunday
    [1.15, 0.55, 0.4]
    """
    return (1.0, 0.95, 1.0, 1.05, 1.15, 0.55, 0.4)[(day + 3) % 7]


def between(rng: np.random.Generator, size: int, low: int, high: int) -> Ints:
    """Draw times in microseconds, evenly between two of them."""
    return low + (rng.random(size) * (high - low)).astype(np.int64)


def delays(rng: np.random.Generator, size: int, median: int) -> Ints:
    """Draw delays in microseconds: a few short, most near the median, a long tail."""
    return (median * np.exp(rng.standard_normal(size) * 0.8)).astype(np.int64) + 1


def pick(rng: np.random.Generator, size: int, shares: tuple[float, ...]) -> Ints:
    """Draw indices of ``shares``, each as often as its share says."""
    limits = np.cumsum(shares) / np.sum(shares)
    limits[-1] = 1.0
    return np.searchsorted(limits, rng.random(size), side="right").astype(np.int64)


def heavy_tail(rng: np.random.Generator, size: int) -> Floats:
    """Return weights of which a few are very large (a Pareto tail), in random order."""
    weights = ((np.arange(size) + 0.5) / size) ** (-1 / 1.35)
    return rng.permutation(weights)


def scramble(numbers: Ids) -> Ids:
    """Turn counters into numbers without a visible order: splitmix64, which is one to one.

    >>> scramble(np.array([1, 2], dtype=np.uint64)).tolist()
    [10451216379200822465, 10905525725756348110]
    """
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def salt(seed: int) -> np.uint64:
    """Return the number that sets the identities of one seed apart from those of another."""
    return np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def event_ids(recorded: Ints, serial: Ids) -> tuple[Ids, Ids]:
    """Return the two halves of version 7 UUIDs: milliseconds first, so that they sort by time."""
    random = scramble(serial)
    milliseconds = (recorded // 1000).astype(np.uint64)
    high = (milliseconds << np.uint64(16)) | np.uint64(0x7000) | (random >> np.uint64(52))
    low = (scramble(random) >> np.uint64(2)) | np.uint64(1 << 63)
    return high, low


def request_ids(serial: Ids) -> tuple[Ids, Ids]:
    """Return the two halves of version 4 UUIDs."""
    high = (scramble(serial) & ~np.uint64(0xF000)) | np.uint64(0x4000)
    low = (scramble(~serial) >> np.uint64(2)) | np.uint64(1 << 63)
    return high, low


def uuids(high: Ids, low: Ids) -> Any:
    """Return an Arrow UUID array; two zero halves are NULL."""
    halves = np.empty((len(high), 2), dtype=">u8")
    halves[:, 0], halves[:, 1] = high, low
    known = np.packbits((high | low) != 0, bitorder="little")
    buffers = [pa.py_buffer(known), pa.py_buffer(halves)]
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(high), buffers)
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def words(codes: npt.NDArray[Any], vocabulary: tuple[str, ...]) -> Any:
    """Return an Arrow text array from codes into a vocabulary; code -1 is NULL."""
    indices = pa.array(codes.astype(np.int16), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(vocabulary, pa.string()))
