"""Bytes of a text file: decompressed, from an offset on, through a window that grows when it has to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from workbench.errors import SourceError, SourceUnavailable
from workbench.sources.files.paths import File

#: No record may be longer: one record has to fit in memory, several times.
LONGEST: Final = 64 << 20
_BOMS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_UTF8_BOM: Final = b"\xef\xbb\xbf"


@contextmanager
def open_bytes(file: File) -> Iterator[Any]:
    """Open a file as a stream of (uncompressed) bytes.

    Raises
    ------
    SourceUnavailable
        The file cannot be opened or read.
    SourceError
        Its compression is damaged.
    """
    try:
        with pa.OSFile(str(file.path)) as plain:
            if file.codec is None:
                yield plain
            else:
                with pa.CompressedInputStream(plain, file.codec) as stream:
                    yield stream
    except OSError as error:
        if file.codec is not None and error.errno is None:
            message = f"{file.path}: the {file.codec} compression is damaged or cut off: {error}"
            raise SourceError(
                message,
                hint=f"test it with `{file.codec} -t`; what was read before stays in the log",
            ) from error
        raise unreadable(file, error) from error


def unreadable(file: File, error: OSError) -> SourceUnavailable:
    """Return the error that says so."""
    message = f"{file.path} cannot be read: {error.strerror or error}"
    return SourceUnavailable(message, hint="look at the path, its permissions and the disk")


class Window:
    """What was read of a stream and is not done with yet."""

    def __init__(self, stream: Any, size: int, upto: int | None) -> None:
        self.ended = False
        self._data = b""
        self._start = 0
        self._stream = stream
        self._size = size
        self._left = upto

    def __len__(self) -> int:
        return len(self._data) - self._start

    def peek(self, length: int | None = None) -> bytes:
        """Return the first bytes (all, when not told how many)."""
        return self._data[self._start : None if length is None else self._start + length]

    def fill(self) -> None:
        """Read on when little is left."""
        if len(self) <= self._size // 2:
            self._read(self._size - len(self))

    def grow(self) -> None:
        """Have about twice as many bytes: a record does not end in these."""
        self._read(max(self._size, len(self)))

    def drop(self, length: int) -> None:
        """Be done with the first bytes."""
        self._start += length

    def _read(self, length: int) -> None:
        if self._left is not None:
            length = min(length, self._left)
        more = self._stream.read(length) if length else b""
        if self._left is not None:
            self._left -= len(more)
        self.ended = not more or self._left == 0
        self._data = self._data[self._start :] + more
        self._start = 0


@contextmanager
def open_window(file: File, *, offset: int, size: int) -> Iterator[Window]:
    """Open a window on a file from ``offset`` on, up to the end that the file has now."""
    with open_bytes(file) as stream:
        if file.codec is None:
            upto = file.path.stat().st_size - offset
            stream.seek(offset)
        else:
            upto = None
            left = offset
            while left and (skipped := len(stream.read(min(left, 1 << 20)))):
                left -= skipped
            if left:
                message = f"{file.path} is shorter than what was read of it before."
                raise SourceError(message, hint="put the former file back")
        yield Window(stream, size, upto)


def bom(file: File, head: bytes) -> int:
    """Return the length of the byte order mark that ``head`` begins with.

    Raises
    ------
    SourceError
        The file is not UTF-8.
    """
    if encoding := _BOMS.get(head[:2]):
        message = f"{file.path} is {encoding} text; the workbench reads UTF-8."
        raise SourceError(
            message, hint=f"convert it: iconv -f {encoding} -t UTF-8 {file.path.name}"
        )
    return len(_UTF8_BOM) if head.startswith(_UTF8_BOM) else 0
