"""Appending a batch of dead letters: each once, by its coordinates at the source.

A dead letter is evidence, and often a broken one. So nothing that it says can hold it back: what cannot be
read is NULL, and ``parse_error`` says why. Only one that stands where another stood, with other bytes, goes to
``rejects``: the log keeps what it has, and the other is not lost.
"""

from __future__ import annotations

from typing import Final

import duckdb

from workbench._sql import ident, text
from workbench.event import DEAD_LETTER
from workbench.sources.base import Shape

Con = duckdb.DuckDBPyConnection

#: What the log itself gives.
_OURS: Final = ("dead_letter_id", "load_id", "source")
_GIVEN: Final = tuple(name for name in DEAD_LETTER if name not in _OURS)
#: What was received, as opposed to what was made of it.
_RECEIVED: Final = ("raw", "key", "headers")


def store(
    con: Con, load_id: int, source: str, shape: Shape, number: str
) -> tuple[int, int, int, int]:
    """Store the registered ``raw_batch``; ``number`` is its column that counts from 0.

    Returns
    -------
    tuple of int
        Records read, stored, duplicate and rejected.
    """
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE new_places AS SELECT {number} AS n, "
        f"CAST(({shape.columns['source_position']}) AS VARCHAR) AS source_position FROM raw_batch"
    )
    read = _one(con, "SELECT count(*) FROM new_places")
    last = _one(con, "SELECT coalesce(max(dead_letter_id), 0) FROM log.main.dead_letters")
    known = f"log.main.dead_letters SEMI JOIN new_places USING (source_position) WHERE source = {text(source)}"
    distinct = _one(con, "SELECT count(DISTINCT source_position) FROM new_places")
    if distinct == read and not _one(con, f"SELECT count(*) FROM {known}"):
        return read, _insert(con, load_id, source, _shaped(shape, number), last, "n + 1"), 0, 0
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {_shaped(shape, number)}")
    received = ", ".join(("source_position", *_RECEIVED))
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM o.{name}" for name in _RECEIVED)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        WITH others AS (SELECT -1 AS n, {received} FROM {known} UNION ALL SELECT n, {received} FROM staged),
        first AS (SELECT * FROM others QUALIFY row_number() OVER (PARTITION BY source_position ORDER BY n) = 1)
        SELECT s.n, {same} AS same FROM staged s JOIN first o USING (source_position) WHERE s.n <> o.n"""
    )
    con.execute(
        "INSERT INTO log.main.rejects SELECT ?, ?, source_position, "
        "'a dead letter of ' || source_position || ' is in the log with other content', raw "
        "FROM staged JOIN repeated USING (n) WHERE NOT same ORDER BY n",
        [load_id, source],
    )
    duplicate = _one(con, "SELECT count(*) FROM repeated WHERE same")
    rejected = _one(con, "SELECT count(*) FROM repeated WHERE NOT same")
    new = "SELECT * FROM staged ANTI JOIN repeated USING (n)"
    stored = _insert(con, load_id, source, new, last, "row_number() OVER (ORDER BY n)")
    con.execute("DROP TABLE staged")
    return read, stored, duplicate, rejected


def _insert(con: Con, load_id: int, source: str, rows: str, last: int, number: str) -> int:
    listed = ", ".join(map(ident, _GIVEN))
    return _one(
        con,
        f"INSERT INTO log.main.dead_letters (dead_letter_id, load_id, source, {listed}) "
        f"SELECT {last} + {number}, {load_id}, {text(source)}, {listed} FROM ({rows}) ORDER BY n",
    )


def _shaped(shape: Shape, number: str) -> str:
    listed = ", ".join(
        f"CAST(({shape.columns.get(name, 'NULL')}) AS {DEAD_LETTER[name]}) AS {ident(name)}"
        for name in _GIVEN
    )
    return f"SELECT {number} AS n, {listed} FROM raw_batch"


def _one(con: Con, sql: str) -> int:
    return int(con.execute(sql).fetchall()[0][0])
