"""Header names that are no text. A client may write any bytes there; aiokafka reads UTF-8 or gives up the batch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy as DefaultRecordBatch


class RecordBatch:
    r"""A record batch as aiokafka reads it; where a name of a header is no UTF-8, its bytes are escaped: ``\xff``.

    Parameters
    ----------
    batch
        The batch.
    data
        Its bytes.
    """

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except UnicodeDecodeError:
            yield from islice(_Escaping(self._data), read, None)


class _Escaping(DefaultRecordBatch):  # type: ignore[misc]  # aiokafka is untyped
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Bytes):
            self._buffer = _Bytes(self._buffer)


class _Bytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
