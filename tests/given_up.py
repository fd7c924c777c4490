"""Dead letters that a test writes down, put straight into a log: the analyses do not care where they came from."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

import workbench as wb
from workbench.event import DEAD_LETTER

#: How Arrow has the columns that are not text.
_TYPES = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "BLOB": pa.binary(),
    "STRUCT(name VARCHAR, value BLOB)[]": pa.list_(
        pa.struct([("name", pa.string()), ("value", pa.binary())])
    ),
}


def at(day: int, hour: int = 0, minute: int = 0, second: float = 0) -> dt.datetime:
    """A time in June 2026."""
    start = dt.datetime(2026, 6, day, hour, minute, tzinfo=dt.UTC)
    return start + dt.timedelta(seconds=second)


def give_up(log: wb.EventLog, *letters: Mapping[str, Any]) -> None:
    """Put dead letters into a log; what a test does not say is NULL, but for the ids and the place."""
    (known,) = log.sql("SELECT count(*) AS n FROM log.main.dead_letters").rows()
    rows = []
    for number, letter in enumerate(letters, known["n"] + 1):
        unknown = set(letter) - set(DEAD_LETTER)
        assert not unknown, f"no columns of a dead letter: {unknown}"
        row = {
            "dead_letter_id": number,
            "load_id": 1,
            "source": "dead",
            "source_position": f"events.dlq/0/{number}",
            "format": "spring",
            "raw": b"{}",
        } | dict(letter)
        if isinstance(row.get("data"), dict):
            row["data"] = json.dumps(row["data"])
        rows.append(row)
    table = pa.table(
        {
            name: pa.array([row.get(name) for row in rows], _TYPES.get(kind, pa.string()))
            for name, kind in DEAD_LETTER.items()
        }
    )
    with log._view.database.writing() as con:
        con.register("given_up", table)
        con.execute("INSERT INTO log.main.dead_letters BY NAME FROM given_up")
        con.unregister("given_up")
