"""Files as a source: Parquet, NDJSON, CSV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal, get_args

from workbench._sql import ident
from workbench.errors import ConfigError, SourceDataLost, did_you_mean
from workbench.moments import check_zone
from workbench.sources.base import Bookmark, Shape
from workbench.sources.files import names, paths, records
from workbench.sources.files.delimited import Delimited
from workbench.sources.files.marks import Mark
from workbench.sources.files.ndjson import Ndjson
from workbench.sources.files.parquet import Parquet
from workbench.sources.files.reading import Pass, Work
from workbench.sources.files.records import Format, Limits
from workbench.sources.mapping import Epoch, Spec

__all__ = ["Files", "files"]

_FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {paths.PARQUET: Parquet(), paths.NDJSON: Ndjson(), paths.CSV: Delimited()}
)


def files(
    paths: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    format: Literal["parquet", "ndjson", "csv"] | None = None,
    columns: Mapping[str, Spec] | None = None,
    timezone: str | None = None,
    epoch: Epoch | None = None,
) -> Files:
    """Read events from files.

    The events are in the order of the files' names, and in a file in the order of its rows. Loading again
    reads what is new: files that came, and lines that were added to NDJSON and CSV files. A line without a
    newline at the end of a file is read when it is whole (a JSON object; all fields of the header), and
    otherwise left for the next load.

    Parameters
    ----------
    paths
        A path, a pattern (``"bank/*.parquet"``; ``**`` reaches into folders), or a list of these.
    name
        What the log calls this source. By default ``files:`` and the paths as given; to go on after the
        files have moved, give the name that it had.
    format
        By default the suffix tells: ``.parquet``; ``.ndjson``, ``.jsonl``, ``.json``; ``.csv``, ``.tsv``
        (text also with ``.gz`` or ``.zst``). CSV has a header, and commas, semicolons, tabs or bars.
    columns
        Canonical column -> column of the file, ``"metadata.user"`` for a field inside JSON, ``"=text"``
        for a constant, ``"*"`` for the record as a whole (``{"data": "*"}``), or a list of which the first
        that is not NULL counts. By default columns are found by their names: the canonical ones, or
        ``aggregate_id``, ``type``, ``timestamp``, ``id``, ``payload``. ``data`` and ``metadata`` are kept
        as the text that they are.
    timezone
        How to read times without an offset, for example ``"Europe/Madrid"``. Without it such a record is
        rejected, and a Parquet column of such times refused.
    epoch
        The unit of times that are numbers: ``"s"``, ``"ms"``, ``"us"``.

    Returns
    -------
    Files
        A source for :meth:`workbench.EventLog.load`.

    Raises
    ------
    ConfigError
        An argument that cannot be used. What depends on the files themselves is said when they are loaded.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import workbench as wb
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> line = '{"aggregate_id": "acc-1", "type": "DepositMade", "data": {"amount": 1.10}}'
    >>> _ = (folder / "events.ndjson").write_text(line)
    >>> log = wb.open()
    >>> log.load(wb.files(folder / "events.ndjson", name="bank"), progress=False)
    Loaded 1 events from bank (read 1, duplicate 0, rejected 0)
      complete up to 1 of 1 files, 1 records
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        message = "files() got an empty list of paths."
        raise ConfigError(message, hint="name at least one file")
    if format is not None and format not in _FORMATS:
        message = f"files() knows no format {format!r}.{did_you_mean(format, _FORMATS)}"
        raise ConfigError(message)
    if epoch is not None and epoch not in get_args(Epoch):
        message = f"files() knows no epoch {epoch!r}.{did_you_mean(epoch, get_args(Epoch))}"
        raise ConfigError(message)
    check_zone(timezone)
    patterns = tuple(str(path) for path in given)
    return Files(
        patterns=patterns,
        # One name for one place: './events.ndjson' is the source that 'events.ndjson' was.
        name=name or "files:" + ",".join(map(os.path.normpath, patterns)),
        format=format,
        columns=None if columns is None else MappingProxyType(dict(columns)),
        timezone=timezone,
        epoch=epoch,
    )


@dataclass(frozen=True, slots=True)
class Files:
    """Files as a :class:`~workbench.sources.base.Source`; made by :func:`files`."""

    kind: ClassVar[str] = "files"

    patterns: tuple[str, ...]
    name: str
    format: str | None = None
    columns: Mapping[str, Spec] | None = None
    timezone: str | None = None
    epoch: Epoch | None = None
    limits: Limits = field(default=Limits(), repr=False)

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[Pass]:
        """Open one pass that goes on after ``bookmark``.

        Raises
        ------
        ConfigError
            A path or a pattern that leads nowhere, a mapping that does not fit the files.
        SourceError
            A file that cannot be read.
        SourceDataLost
            A file that was read is another one now.
        """
        found = paths.find(self.patterns)
        format_name = paths.one_format(found, self.format)
        format = self._reader(format_name)
        stored: Mapping[str, Mapping[str, object]] = (bookmark or {}).get("files", {})
        marks = {name: Mark.restored(value) for name, value in stored.items()}
        self._check_present(found, marks)

        work = []
        for file in found:
            mark = marks.get(file.name)
            if mark is not None and mark.untouched(file):
                continue
            if mark is not None:
                mark.check(file, source=self.name, grows=format.grows)
            work.append(Work(file, format.survey(file)))
        shape, needed = self._shape(format_name, work)
        yield Pass(self.name, format, shape, needed, found, work, marks, self.limits)

    def _reader(self, format: str) -> Format:
        return _FORMATS[format]

    def _shape(self, format: str, work: Sequence[Work]) -> tuple[Shape, Mapping[str, str]]:
        filled = [item for item in work if item.survey.rows != 0]
        if not filled:  # nothing will be read
            return Shape(columns={"source_position": ident(records.AT)}), {}
        where = f"{self.name} ({filled[0].file.name})"
        have = names.merged([(item.file.name, item.survey.columns) for item in filled], self.name)
        columns = names.automatic(have, where) if self.columns is None else self.columns
        shape = names.shape(
            columns, have, format=format, source=where, timezone=self.timezone, epoch=self.epoch
        )
        return shape, names.heads(columns, have, format)

    def _check_present(self, found: Sequence[paths.File], marks: Mapping[str, Mark]) -> None:
        there = {file.name for file in found}
        for name, mark in marks.items():
            if name not in there and not mark.done:
                message = f"{self.name}: {name} is gone; {mark.rows:,} of its records were read, and not the rest."
                raise SourceDataLost(
                    message,
                    hint="put the file back, or load what is left under another name: name='…'",
                )
