"""The result of a census."""

from __future__ import annotations

from typing import Final

from workbench import _html
from workbench._sql import text
from workbench.analysis.buckets import choose
from workbench.moments import Clock
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

STATUSES: Final = ("newest", "upcast", "no chain", "failing")


class Fields(Table):
    """The fields of payloads, by type and version.

    Columns: ``event_type``, ``schema_version``, ``field`` (as a projection names it; elements of lists as
    ``lines[]``; where an object has more than 200 different keys, the 200 commonest that are in a tenth of
    the objects, and the others together as ``*``), ``present`` (events that have it, null included), ``share`` (of the events of this type and version, 0 to 1), ``types`` (type ->
    events: text, integer, decimal, boolean, list, object, null, mixed), and where it drifted ``drift``
    (``type`` or ``presence``), ``before``, ``after``, ``since_position`` and ``since`` (UTC): the event from
    which on it was so. Ordered by type, version, field.
    """


class Versions(Table):
    """Events over time, by type and version.

    Columns: ``moment`` (TIMESTAMPTZ, UTC: the start of the bucket), ``event_type``, ``schema_version``,
    ``events``. Buckets without events have no row. Ordered by moment, type, version.

    Attributes
    ----------
    every
        The length of a bucket.
    clock
        The clock of ``moment``.
    """

    every: str
    clock: Clock


class Census(Table):
    """The payloads of a log, one row for each event type and version.

    Columns: ``event_type``, ``schema_version`` (as stored; NULL: the events say none), ``events``,
    ``first_position``, ``last_position``, ``first_seen``, ``last_seen`` (TIMESTAMPTZ, UTC, of these events),
    ``fields`` (number of them), ``drifting`` (fields whose type or presence changed within the version),
    ``decodes`` (whether every payload reaches the newest version under the log's upcasters), ``status``,
    ``reaches`` (the version at which its chain ends) and ``failing`` (payloads on which an upcaster fails).
    Ordered by type and version.

    ``status`` is ``newest`` (nothing to do), ``upcast`` (a chain leads to the newest version), ``no chain``
    (none does) or ``failing``. The newest version of a type is the last one that is stored or that an upcaster
    leads to; numbers in versions count as numbers (``2`` before ``10``).

    Attributes
    ----------
    clock
        The clock of ``first_seen`` and ``last_seen``.
    view
        The events.
    sampled
        Whether the fields are those of a sample.
    """

    clock: Clock
    view: View
    sampled: bool
    _fields: str

    def fields(self, event_type: str | None = None) -> Fields:
        """List the fields of the payloads, of all types or of one."""
        where = "" if event_type is None else f" WHERE event_type = {text(event_type)}"
        table = Fields(
            self._database,
            f"FROM {self._fields}{where}",
            title="Fields" if event_type is None else f"Fields of {event_type}",
        )
        table._owner = self
        return table

    def drift(self) -> Fields:
        """List the fields whose type or presence changed within a version, the earliest change first."""
        table = Fields(
            self._database,
            f"FROM {self._fields} WHERE drift IS NOT NULL ORDER BY since_position, event_type, field",
            title="Fields that changed within a version",
        )
        table._owner = self
        return table

    def over_time(self, *, every: str | None = None) -> Versions:
        """Count events over time by type and version; ``every`` as in ``log.rates``."""
        time = f"{self.clock}_at"
        timed = f"{self.view.filter} AND isfinite({time})"
        first, last = self.view.rows(
            f"SELECT epoch_us(min({time})), epoch_us(max({time})) FROM {EVENTS} WHERE {timed}"
        )[0]
        step = choose(self._database, every, first, last)
        table = Versions(
            self._database,
            f"SELECT make_timestamptz(epoch_us(time_bucket(INTERVAL {text(step)}, make_timestamp(epoch_us({time}))))) AS moment, "
            f"event_type, schema_version, count(*) AS events FROM {EVENTS} WHERE {timed} "
            "GROUP BY ALL ORDER BY moment, event_type, schema_version",
            title=f"Events per {step} by type and version",
        )
        table.every, table.clock = step, self.clock
        return table

    def __repr__(self) -> str:
        names, numeric, rows = self._shown()
        lines = [_html.line(f"{self.title} — {self._subtitle()}")]
        lines.append(_html.text_table(names, rows, numeric=numeric))
        return "\n".join([*lines, *map(_html.line, [*self._rest(), *self.notes])])

    def _repr_html_(self) -> str:
        names, numeric, rows = self._shown()
        body = _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(line) for line in [*self._rest(), *self.notes])
        return _html.card(self.title, body, subtitle=self._subtitle())

    def _shown(self) -> tuple[list[str], list[bool], list[tuple[object, ...]]]:
        """The columns that fit on a card; the table has the rest."""
        names = [
            "event_type",
            "schema_version",
            "events",
            "first_seen",
            "last_seen",
            "fields",
            "status",
        ]
        rows = self._run(
            "SELECT event_type, coalesce(schema_version, 'no version'), events, strftime(first_seen, '%Y-%m-%d'), "
            "strftime(last_seen, '%Y-%m-%d'), fields, status || "
            "CASE WHEN status = 'no chain' AND reaches <> schema_version THEN ' beyond ' || reaches ELSE '' END || "
            "CASE WHEN failing > 0 THEN ' (' || failing || ')' ELSE '' END || "
            "CASE WHEN drifting > 0 THEN ', ' || drifting || ' drifting' ELSE '' END "
            f"FROM ({self._query}) LIMIT {_LISTED}"
        ).fetchall()
        return names, [False, False, True, False, False, True, False], rows

    def _rest(self) -> list[str]:
        more = len(self) - _LISTED
        return [f"{more:,} more; .df() has them"] if more > 0 else []


_LISTED: Final = 40
