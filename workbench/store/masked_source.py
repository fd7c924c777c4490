"""A source whose events are masked before the log sees them.

The records are shaped here, masked, and handed on as events that are already canonical. So nothing of a masked
field reaches the log's file; rejects of such a load keep their reason and coordinates, but no bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import duckdb

from workbench._sql import text
from workbench.errors import ConfigError
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.base import Batch, Bookmark, Reading, Report, Shape, Source
from workbench.store.database import Database
from workbench.store.masks import RECORDED, Mask, Masking, masks, words


def masked(database: Database, source: Source, mask: str | Mask | Iterable[str | Mask]) -> Source:
    """Mask a source that is about to be loaded, if masks are asked for.

    Raises
    ------
    ConfigError
        It was loaded with other masks before, or with none.
    """
    wanted = masks(mask)
    noted = [
        RECORDED + words(wanted) if wanted else None,
        *(_noted(notes) for notes in _earlier(database, source)),
    ]
    for before in noted[1:]:
        if before != noted[0]:
            was = (
                "without a mask"
                if before is None
                else f"with other masks ({before.removeprefix(RECORDED)})"
            )
            message = f"{database.label}: {source.name!r} was loaded {was} before."
            raise ConfigError(message, hint="pass the same mask=, or load into a new file")
    return MaskedSource(source, wanted) if wanted else source


def _earlier(database: Database, source: Source) -> list[str | None]:
    """Return the notes of the loads of this source that ended and stored something."""
    sql = f"SELECT notes FROM log.main.loads WHERE source = {text(source.name)} AND stored > 0 AND finished_at IS NOT NULL"
    return [row[0] for row in database.rows(sql)]


def _noted(notes: str | None) -> str | None:
    found = [note for note in json.loads(notes or "[]") if note.startswith(RECORDED)]
    return found[0] if found else None


_SHAPE: Final = Shape({name: name for name in MAPPABLE}, reject="wb_reject")


@dataclass(frozen=True)
class MaskedSource:
    """A source, masked; it has the name and the kind of the source itself."""

    source: Source
    masks: tuple[Mask, ...]

    @property
    def name(self) -> str:
        """The source's own name."""
        return self.source.name

    @property
    def kind(self) -> str:
        """The source's own kind."""
        return self.source.kind

    @contextlib.contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[MaskedReading]:
        """Open a pass over the source."""
        with self.source.read(bookmark) as reading, duckdb.connect() as con:
            if reading.shape.table != "events":
                message = (
                    f"{self.name}: masks are for events; dead letters are kept with their bytes."
                )
                raise ConfigError(message, hint="load it without mask=, into a file of its own")
            con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            yield MaskedReading(reading, self.masks, con)


@dataclass
class MaskedReading:
    """One pass; its batches are canonical events."""

    reading: Reading
    masks: Sequence[Mask]
    con: duckdb.DuckDBPyConnection
    masking: Masking = field(init=False)

    shape = _SHAPE

    def __post_init__(self) -> None:
        self.masking = Masking(self.masks)

    @property
    def total(self) -> int | None:
        """About how many records this pass will read."""
        return self.reading.total

    def batches(self) -> Iterator[Batch]:
        """Shape and mask each batch of the source."""
        for batch in self.reading.batches():
            if not batch.rows.num_rows:
                yield Batch(batch.rows, batch.bookmark)
                continue
            self.con.register("raw_batch", batch.rows)
            try:
                rows = self.con.sql(_shaped(self.reading.shape)).to_arrow_table()
            finally:
                self.con.unregister("raw_batch")
            yield Batch(self.masking.rows(rows), batch.bookmark)

    def report(self) -> Report:
        """What the source reports, and what was masked."""
        report = self.reading.report()
        notes = [RECORDED + words(self.masks)]
        if self.masking.unreadable:
            notes.append(
                f"{self.masking.unreadable:,} payloads could not be read for masking, and were replaced whole"
            )
        return replace(report, notes=(*report.notes, *notes))


def _shaped(shape: Shape) -> str:
    """Shape a raw batch, payloads as text: what is not JSON is no payload, and must not stay as text either."""
    raw = ", ".join(f"({shape.columns.get(name, 'NULL')}) AS wb_{name}" for name in MAPPABLE)
    columns, broken = [], []
    for name in MAPPABLE:
        if COLUMNS[name] != "JSON":
            columns.append(f"CAST(wb_{name} AS {COLUMNS[name]}) AS {name}")
            continue
        columns.append(
            f"CASE WHEN json_valid(wb_{name}) THEN CAST(wb_{name} AS VARCHAR) END AS {name}"
        )
        broken.append(
            f"CASE WHEN wb_{name} IS NOT NULL AND NOT json_valid(wb_{name}) THEN '{name} is not valid JSON' END"
        )
    reject = f"CAST(coalesce(wb_why, {', '.join(broken)}) AS VARCHAR) AS wb_reject"
    return (
        f"SELECT {', '.join(columns)}, {reject} FROM "
        f"(SELECT *, ({shape.reject}) AS wb_why FROM (SELECT *, {raw} FROM raw_batch))"
    )
