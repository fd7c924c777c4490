"""Sagas as an object-centric event log: OCEL 2.0 in its SQLite form, which process miners read.

The tables are those of the standard: ``event`` and ``object`` hold ids and types, ``event_map_type`` and
``object_map_type`` say in which table the attributes of a type are, ``event_object`` and ``object_object``
relate them. After Berti et al., *OCEL (Object-Centric Event Log) 2.0 Specification*, 2023, section 5.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench._sql import ident, text
from workbench.errors import ConfigError, WorkbenchError
from workbench.projections.saga import START
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.sagas.result import Sagas

BATCH: Final = 20_000
BEGINNING: Final = "1970-01-01T00:00:00Z"
"""The time that the standard gives to what an object is from the start."""

_TIME: Final = "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%fZ')"
_SCHEMA: Final = """
CREATE TABLE event_map_type (ocel_type TEXT NOT NULL PRIMARY KEY, ocel_type_map TEXT NOT NULL UNIQUE);
CREATE TABLE object_map_type (ocel_type TEXT NOT NULL PRIMARY KEY, ocel_type_map TEXT NOT NULL UNIQUE);
CREATE TABLE event (
    ocel_id TEXT NOT NULL PRIMARY KEY,
    ocel_type TEXT NOT NULL,
    FOREIGN KEY (ocel_type) REFERENCES event_map_type (ocel_type)
);
CREATE TABLE object (
    ocel_id TEXT NOT NULL PRIMARY KEY,
    ocel_type TEXT NOT NULL,
    FOREIGN KEY (ocel_type) REFERENCES object_map_type (ocel_type)
);
CREATE TABLE event_object (
    ocel_event_id TEXT NOT NULL,
    ocel_object_id TEXT NOT NULL,
    ocel_qualifier TEXT NOT NULL,
    PRIMARY KEY (ocel_event_id, ocel_object_id, ocel_qualifier),
    FOREIGN KEY (ocel_event_id) REFERENCES event (ocel_id),
    FOREIGN KEY (ocel_object_id) REFERENCES object (ocel_id)
);
CREATE TABLE object_object (
    ocel_source_id TEXT NOT NULL,
    ocel_target_id TEXT NOT NULL,
    ocel_qualifier TEXT NOT NULL,
    PRIMARY KEY (ocel_source_id, ocel_target_id, ocel_qualifier),
    FOREIGN KEY (ocel_source_id) REFERENCES object (ocel_id),
    FOREIGN KEY (ocel_target_id) REFERENCES object (ocel_id)
);
"""
_OF_EVENT: Final = {
    "step": "TEXT",
    "role": "TEXT",
    "actor": "TEXT",
    "version": "INTEGER",
    "position": "INTEGER",
}
_OF_SAGA: Final = {
    "outcome": "TEXT",
    "step": "TEXT",
    "ended_at": "TIMESTAMP",
    "violations": "TEXT",
}


@dataclass(frozen=True, slots=True)
class Ocel:
    """What was written.

    Attributes
    ----------
    path
        The file.
    events, objects
        How many are in it.
    left_out
        Events that do not say when they were: the standard has no place for them.
    """

    path: Path
    events: int
    objects: int
    left_out: int

    def __repr__(self) -> str:
        missing = f"; {self.left_out:,} without a time are left out" if self.left_out else ""
        return f"{self.path}: {self.events:,} events, {self.objects:,} objects{missing}"


def write_ocel(sagas: Sagas, path: Path, *, overwrite: bool = False) -> Ocel:
    """Write the events of sagas, the sagas and their streams; whole, or not at all.

    Raises
    ------
    ConfigError
        The file is there already, or its folder is not.
    WorkbenchError
        The file cannot be written.
    """
    if path.exists() and not overwrite:
        message = f"{path} is there already."
        raise ConfigError(message, hint="choose another name, or say overwrite=True")
    if not path.parent.is_dir():
        message = f"{path} cannot be written: there is no folder {path.parent}."
        raise ConfigError(message, hint="make the folder first")
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(part)) as con:
            # The file counts only once it is complete and renamed: it needs no journal.
            con.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
            written = _Export(sagas).write(con)
            con.commit()
        part.replace(path)
    except (OSError, sqlite3.Error) as error:
        message = f"{path} cannot be written: {error}"
        raise WorkbenchError(message, hint="check the disk and the folder's permissions") from error
    finally:
        part.unlink(missing_ok=True)
    return Ocel(path, *written)


class _Export:
    """The rows of each table, gathered in DuckDB and carried over in batches."""

    def __init__(self, sagas: Sagas) -> None:
        self.sagas = sagas
        self.database = sagas._database
        work = sagas._work
        pack = work.rules.packing
        step = f"CASE step WHEN 0 THEN {text(START)} ELSE {work.rules.name_of('step')} END"
        self.kind = f"{sagas.saga.name} saga"
        self.events = self.database.keep(
            "SELECT CASE WHEN count(*) OVER (PARTITION BY event_id) = 1 THEN event_id "
            "ELSE concat_ws('#', event_id, position) END AS ocel_id, event_type, us, saga_id, stream_id, "
            "coalesce(stream_type, 'stream') AS stream_type, step, role, actor, version, position FROM "
            f"(SELECT saga_id, {step} AS step, role, {pack.us_of('x')} AS us, {pack.position_of('x')} AS position "
            "FROM (SELECT saga_id, variant, unnest(flow) AS x, generate_subscripts(flow, 1) AS n "
            f"FROM {work.tables['rows']}) JOIN {work.tables['moves']} USING (variant, n)) "
            f"JOIN (SELECT position, event_id, event_type, stream_id, stream_type, actor, version FROM {EVENTS}) "
            "USING (position)",
            self,
            "ocel_events",
        )

    def write(self, con: sqlite3.Connection) -> tuple[int, int, int]:
        """Fill the tables; return the numbers of events, objects, and events that were left out."""
        events = f"(SELECT * FROM {self.events} WHERE us IS NOT NULL)"
        saga = f"{text(self.sagas.saga.name + ':')} || saga_id"
        kinds = [
            row[0] for row in self._read(f"SELECT DISTINCT event_type FROM {events} ORDER BY 1")
        ]
        # One stream, one type, even where events of it say different things.
        streams = f"(SELECT stream_id, min(stream_type) AS kind FROM {events} GROUP BY stream_id)"
        types = [row[0] for row in self._read(f"SELECT DISTINCT kind FROM {streams} ORDER BY 1")]
        kind_of_saga = self.kind
        while kind_of_saga in types:
            kind_of_saga += "'"
        taken = f"(SELECT saga_id, {saga} AS ocel_id FROM {self.sagas._work.tables['rows']})"

        of_event = _tables(con, "event", kinds, dict.fromkeys(kinds, _OF_EVENT))
        of_object = _tables(con, "object", [*types, kind_of_saga], {kind_of_saga: _OF_SAGA})
        self._copy(con, "event", f"SELECT ocel_id, event_type FROM {events}")
        self._copy(con, "object", f"SELECT stream_id, kind FROM {streams}")
        self._copy(con, "object", f"SELECT ocel_id, {text(kind_of_saga)} FROM {taken}")
        for kind, table in of_event.items():
            self._copy(
                con,
                table,
                f"SELECT ocel_id, {_TIME.format('make_timestamptz(us)')}, {', '.join(_OF_EVENT)} "
                f"FROM {events} WHERE event_type = {text(kind)} ORDER BY us, position",
            )
        for kind in types:
            self._copy(
                con,
                of_object[kind],
                f"SELECT stream_id, {text(BEGINNING)}, NULL FROM {streams} WHERE kind = {text(kind)} ORDER BY 1",
            )
        self._copy(
            con,
            of_object[kind_of_saga],
            f"SELECT {saga}, {text(BEGINNING)}, NULL, outcome, step, {_TIME.format('ended_at')}, "
            f"array_to_string(violations, ', ') FROM {self.sagas._work.tables['rows']} ORDER BY 1",
        )
        self._copy(
            con,
            "event_object",
            f"SELECT ocel_id, {saga}, 'event of the saga' FROM {events} UNION ALL "
            f"SELECT ocel_id, stream_id, 'event of the stream' FROM {events}",
        )
        self._copy(
            con,
            "object_object",
            f"SELECT DISTINCT {saga}, stream_id, 'runs over' FROM {events} ORDER BY ALL",
        )
        counts = [
            con.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("event", "object")
        ]
        (left_out,) = next(iter(self._read(f"SELECT count(*) FROM {self.events} WHERE us IS NULL")))
        return counts[0], counts[1], int(left_out)

    def _read(self, sql: str) -> Iterator[tuple[Any, ...]]:
        cursor = self.database.cursor().execute(sql)
        while rows := cursor.fetchmany(BATCH):
            yield from rows

    def _copy(self, con: sqlite3.Connection, table: str, sql: str) -> None:
        width = len(con.execute(f"SELECT * FROM {ident(table)} LIMIT 0").description)
        con.executemany(
            f"INSERT INTO {ident(table)} VALUES ({', '.join('?' * width)})", self._read(sql)
        )


def _tables(
    con: sqlite3.Connection, what: str, types: Sequence[str], attributes: dict[str, dict[str, str]]
) -> dict[str, str]:
    """Make a table for each type; return their names."""
    found = {}
    changed = ", ocel_changed_field TEXT" if what == "object" else ""
    key = " PRIMARY KEY" if what == "event" else ""
    for kind, mapped in zip(types, _mapped(types), strict=True):
        table = found[kind] = f"{what}_{mapped}"
        columns = "".join(
            f", {ident(name)} {sort}" for name, sort in attributes.get(kind, {}).items()
        )
        con.execute(
            f"CREATE TABLE {ident(table)} (ocel_id TEXT NOT NULL{key}, ocel_time TIMESTAMP NOT NULL{changed}{columns}, "
            f"FOREIGN KEY (ocel_id) REFERENCES {what} (ocel_id))"
        )
        con.execute(f"INSERT INTO {what}_map_type VALUES (?, ?)", (kind, mapped))
    return found


def _mapped(types: Iterable[str]) -> list[str]:
    """Turn names of types into parts of names of tables, which SQLite does not tell apart by case."""
    found: list[str] = []
    taken = {
        "object",
        "map_type",
    }  # event_object, object_object, event_map_type are tables of the standard
    for kind in types:
        plain = re.sub(r"\W+", "_", kind, flags=re.ASCII).strip("_") or "type"
        name, again = plain, 2
        while name.lower() in taken:
            name, again = f"{plain}_{again}", again + 1
        taken.add(name.lower())
        found.append(name)
    return found
