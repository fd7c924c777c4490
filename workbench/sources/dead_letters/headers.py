"""Headers of many records at once: each name is looked up in the flat list of all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Which = Literal["first", "last"]
"""A name may stand there more than once; which of its values is meant."""

HEADERS: Final = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
"""An ordered list for each record; a record without headers has NULL or an empty list."""


class Headers:
    """The headers of a batch.

    Examples
    --------
    >>> both = [{"name": "a", "value": b"1"}, {"name": "a", "value": b"2"}]
    >>> headers = Headers(pa.array([both, None, []], HEADERS))
    >>> headers.value("a", "first").to_pylist(), headers.value("a", "last").to_pylist()
    ([b'1', None, None], [b'2', None, None])
    >>> headers.have(["a", "b"]).tolist()
    [True, False, False]
    """

    def __init__(self, headers: pa.Array | pa.ChunkedArray) -> None:
        lists = headers.combine_chunks() if isinstance(headers, pa.ChunkedArray) else headers
        self._rows = len(lists)
        flat = lists.flatten()
        self._parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        self._values = pc.struct_field(flat, [1])
        encoded = pc.struct_field(flat, [0]).dictionary_encode()
        self._codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = encoded.dictionary.to_pylist()
        self._code: dict[str | None, int] = {name: code for code, name in enumerate(names)}

    def value(self, name: str, which: Which) -> pa.Array:
        """Return one value for each record; NULL where there is none."""
        places = np.full(self._rows, -1, np.int64)
        found = self._found(name)
        if which == "first":
            found = found[::-1]
        places[self._parents[found]] = found  # of several for one record the last stays
        return self._values.take(pa.array(places, mask=places < 0))

    def have(self, names: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Tell which records have one of these headers."""
        marked = np.zeros(self._rows, bool)
        for name in names:
            marked[self._parents[self._found(name)]] = True
        return marked

    @property
    def names(self) -> Collection[Any]:
        """Every name that occurs."""
        return self._code.keys()

    def _found(self, name: str) -> npt.NDArray[np.int64]:
        code = self._code.get(name)
        if code is None:
            return np.empty(0, np.int64)
        found: npt.NDArray[np.int64] = np.flatnonzero(self._codes == code)
        return found
