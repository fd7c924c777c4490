"""How far each file was read, and whether it is still the same file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from workbench.errors import SourceDataLost
from workbench.sources.files.paths import File
from workbench.sources.files.streams import Window, bom, open_bytes, unreadable

_SAMPLE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was read.

    Attributes
    ----------
    rows
        Records that were handed over.
    line, offset
        For text: lines and (uncompressed) bytes that are done with; for Parquet 0.
    done
        Read to the end, as the end was then.
    unended
        The last record had no newline behind it.
    unread
        Bytes of a half-written record at the end, left for the next run.
    size, mtime
        What the file system said, bytes and nanoseconds.
    head
        A hash of the first and last bytes of what was read.
    """

    rows: int = 0
    line: int = 0
    offset: int = 0
    done: bool = False
    unended: bool = False
    unread: int = 0
    size: int = -1
    mtime: int = -1
    head: str = ""

    @classmethod
    def restored(cls, value: Mapping[str, Any]) -> Mark:
        """Read a mark from a bookmark."""
        return cls(**value)

    def stored(self) -> dict[str, Any]:
        """Return the mark as JSON values."""
        return asdict(self)

    def of(self, file: File, before: os.stat_result, *, grows: bool) -> Mark:
        """Return the mark with what tells the file from another; ``before``: its state when opened."""
        return replace(
            self,
            size=before.st_size,
            mtime=before.st_mtime_ns,
            head=_hash(file, self.offset if grows else before.st_size),
        )

    def untouched(self, file: File) -> bool:
        """Whether all of the file was read, and the file system says that it did not change since."""
        now = stat(file)
        return self.done and (now.st_size, now.st_mtime_ns) == (self.size, self.mtime)

    def check(self, file: File, *, source: str, grows: bool) -> None:
        """Make sure that what was read of the file is still there.

        Raises
        ------
        SourceDataLost
            The file is shorter than what was read, or begins otherwise.
        """
        size = stat(file).st_size
        if not grows and size != self.size:
            self._changed(file, source, f"it had {self.size:,} bytes, now it has {size:,}")
        if grows and file.codec is None and size < self.offset:
            self._changed(
                file, source, f"{self.offset:,} bytes of it were read, now it has {size:,}"
            )
        if _hash(file, self.offset if grows else size) != self.head:
            self._changed(file, source, "what was read is no longer in it")

    def _changed(self, file: File, source: str, how: str) -> None:
        message = (
            f"{source}: {file.name} is not the file any more that was loaded: {how}. "
            f"Its first {self.rows:,} records are in the log."
        )
        raise SourceDataLost(
            message,
            hint="put the former file back, or load the new one under a name of its own: "
            f"wb.files({str(file.path)!r}, name='…')",
        )


def stat(file: File) -> os.stat_result:
    """Ask the file system about a file.

    Raises
    ------
    SourceUnavailable
        The file is gone, or may not be looked at.
    """
    try:
        return file.path.stat()
    except OSError as error:
        raise unreadable(file, error) from error


def skip_bom(file: File, mark: Mark, window: Window) -> Mark:
    """Go behind the byte order mark at the beginning of a file."""
    length = bom(file, window.peek(3))
    window.drop(length)
    return replace(mark, offset=length)


def end_record(file: File, mark: Mark, window: Window) -> Mark:
    """Go behind the newline that meanwhile stands behind the last record that was read.

    Raises
    ------
    SourceDataLost
        What was read as a whole record was written on.
    """
    if not mark.unended or not len(window):
        return mark
    length = {b"\n": 1, b"\r\n": 2}.get(window.peek(2), 1 if window.peek(1) == b"\n" else 0)
    if not length:
        message = (
            f"{file.path}: line {mark.line:,} had no newline and was read as a whole record; "
            "now more stands behind it."
        )
        raise SourceDataLost(
            message, hint="write each record and its newline at once, and load the file anew"
        )
    window.drop(length)
    return replace(mark, offset=mark.offset + length, unended=False)


def _hash(file: File, upto: int) -> str:
    """Hash the first and the last bytes of ``upto`` bytes; of a compressed file, the first."""
    digest = hashlib.sha256()
    with open_bytes(file) as stream:
        digest.update(stream.read(min(_SAMPLE, upto)))
        if file.codec is None and upto > _SAMPLE:
            stream.seek(max(_SAMPLE, upto - _SAMPLE))
            digest.update(stream.read(upto - stream.tell()))
    return digest.hexdigest()[:32]
