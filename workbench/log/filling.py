"""Filling a log: loads, typed columns, order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workbench.analysis.definition import Definition
from workbench.analysis.definition import check as check_definition
from workbench.errors import ConfigError
from workbench.log.face import Face
from workbench.progress import bar
from workbench.sources.base import Source
from workbench.store import ingest, settle, typed
from workbench.store.fields import Field
from workbench.store.masked_source import masked
from workbench.store.masks import Mask


class Filling(Face):
    """The verbs that write to the log's own file."""

    def load(
        self,
        source: Source,
        *,
        prepare: Iterable[Definition] = (),
        again: bool = False,
        mask: str | Mask | Iterable[str | Mask] = (),
        progress: bool | Callable[[int, int | None], None] = True,
    ) -> ingest.Loaded:
        """Load a source, from where its last load ended.

        Each record is stored once, however often it is read; a load that was killed or interrupted goes
        on when it is run again.

        Parameters
        ----------
        source
            ``wb.postgres(…)``, ``wb.kafka(…)``, ``wb.files(…)``, or any other
            :class:`~workbench.sources.base.Source`.
        prepare
            Definitions whose fields get typed columns right away (see :meth:`prepare`).
        again
            Read from the start, as after a mapping was put right; what the log has is not stored twice.
        mask
            Fields that are masked before they are stored: names, or :func:`workbench.mask` (by a keyed hash,
            or removed). A source is loaded with the same masks always; the load's notes tell them.
        progress
            Show a progress bar, or call a function with (records read, about how many there are).

        Returns
        -------
        Loaded
            Counts (read = stored + duplicate + rejected) and what the source can vouch for.

        Raises
        ------
        SourceError, LoadError
            It broke off; what was committed stays.
        """
        self._require_whole("load")
        if not hasattr(source, "read"):
            message = f"log.load takes a source, and this is {type(source).__name__}."
            raise ConfigError(
                message,
                hint="wrap it: wb.files('events.parquet'), wb.postgres('postgresql://…'), wb.kafka(…)",
            )
        fields = _fields(prepare)
        source = masked(self._view.database, source, mask)
        with bar(source.name, progress) as report:
            return ingest.load(
                self._view.database, source, prepare=fields, again=again, progress=report
            )

    def prepare(self, *definitions: Definition) -> list[str]:
        """Give the fields that definitions read columns of their own, so that replays do not parse JSON.

        Later loads fill them too. Nothing that the log says changes. Columns hold what is stored: on a log with
        upcasters, the fields that they take a value from get one, too.

        Returns
        -------
        list of str
            The names of the columns that are new in ``events``.
        """
        self._require_whole("prepare")
        fields = [
            stored for item in _fields(definitions) for stored in self._view.stored_fields(item)
        ]
        with self._view.database.writing() as con:
            return typed.prepare(con, fields)

    def settle(self) -> bool:
        """Put the events in order of stream and version now; loads do it when it pays."""
        self._require_whole("settle")
        with self._view.database.writing() as con:
            return settle.settle(con, force=True)


def _fields(definitions: Iterable[Definition]) -> list[Field]:
    return [item for definition in definitions for item in check_definition(definition).fields]
