"""What a log can vouch for: health, loads, rejects, duplicates, gaps, fingerprint."""

from __future__ import annotations

from workbench.log.face import Face
from workbench.store.fingerprint import fingerprint
from workbench.store.health import Health, health
from workbench.store.table import Table
from workbench.store.view import EVENTS


class Trusting(Face):
    """The verbs that tell how far the log can be relied on."""

    def health(self) -> Health:
        """Examine the log: counts, range of time, sources with their watermark, gaps, clashes, rejects."""
        return health(self._view)

    def loads(self) -> Table:
        """List the loads, latest first: counts, bookmark, watermark, open gaps, completeness, code version."""
        return Table(
            self._view.database, "FROM log.main.loads ORDER BY load_id DESC", title="Loads"
        )

    def rejects(self) -> Table:
        """List the records that could not become events: where they stand, why, and their bytes."""
        sql = "FROM log.main.rejects ORDER BY load_id, source_position"
        return Table(self._view.database, sql, title="Rejects")

    def duplicates(self) -> Table:
        """List records that repeat an event of the log: their coordinates, and the event's position."""
        sql = "FROM log.main.duplicates ORDER BY load_id, source_position"
        return Table(self._view.database, sql, title="Duplicates")

    def gaps(self) -> Table:
        """List holes in the versions of streams: ``stream_id``, ``after_version``, ``before_version``, ``missing``."""
        sql = (
            "SELECT stream_id, before AS after_version, version AS before_version, version - before - 1 AS missing "
            f"FROM (SELECT stream_id, version, lag(version) OVER (PARTITION BY stream_id ORDER BY version) AS before "
            f"FROM {EVENTS} WHERE {self._view.filter}) WHERE version > before + 1 ORDER BY stream_id, after_version"
        )
        return Table(self._view.database, sql, title="Version gaps")

    def fingerprint(self) -> str:
        """Return a hash of all that the events say: equal for two logs that hold the same events.

        The order in which they were loaded plays no part, and neither do typed columns. It finds
        accidents; against tampering a chain of hashes is needed.
        """
        return fingerprint(self._view)
