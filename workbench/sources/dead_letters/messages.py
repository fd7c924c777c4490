"""What the origins hand over, brought to one form: :data:`~workbench.sources.dead_letters.records.RAW`."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import ConfigError
from workbench.sources.base import Shape
from workbench.sources.dead_letters.records import RAW
from workbench.sources.files import records as files
from workbench.sources.kafka.envelope import Envelope

_LAST_MS: Final = 253_402_300_799_999

#: Of a reading whose rows are read by somebody else.
NOWHERE: Final = Shape({"source_position": "NULL"}, table="dead_letters")

#: A reading of Kafka topics that gives the records as they are.
AS_RECEIVED: Final = Envelope(
    cuts=(),
    columns={
        "topic": "topic",
        "partition": "partition",
        "offset": '"offset"',
        "timestamp": f"CASE WHEN timestamp_ms BETWEEN 0 AND {_LAST_MS} THEN make_timestamptz(timestamp_ms * 1000) END",
        "appended": "append_time",
        "key": "key",
        "headers": "headers",
        "value": "coalesce(raw, encode(text))",
    },
    kept=(),
    parse="NULL",
    shape=NOWHERE,
)


def are_messages(rows: pa.Table) -> bool:
    """Tell messages from the rows of some table."""
    names = set(rows.column_names)
    return files.WHOLE in names or ("value" in names and bool(names & {"headers", "topic"}))


def conform(rows: pa.Table, where: str) -> pa.Table:
    """Bring messages to one form; a column that is not there is unknown.

    Raises
    ------
    ConfigError
        A column of a file is not of the type that it has to be.
    """
    if files.WHOLE in rows.column_names:
        return _lines(rows)
    given = {name: rows[name] for name in rows.column_names}
    if "timestamp_type" in given:
        given["appended"] = pc.equal(given["timestamp_type"].cast(pa.string()), "LogAppendTime")
    given["place"] = given.get(files.AT)
    columns = []
    for field in RAW:
        column = given.get(field.name)
        if column is None:
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        naive = pa.types.is_timestamp(column.type) and column.type.tz is None
        try:
            if naive:
                raise pa.ArrowInvalid("it has no time zone")  # noqa: EM101, TRY301 -- shown below
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            message = f"{where}: column {field.name} of type {column.type} cannot be read as {field.type}: {error}"
            raise ConfigError(
                message,
                hint="messages are topic, partition, offset, timestamp, key, headers STRUCT(name VARCHAR, value BLOB)[], value",
            ) from error
    return pa.table(columns, schema=RAW)


def _lines(rows: pa.Table) -> pa.Table:
    """Take each line of a file as the value of a message, about which nothing else is known."""
    text = rows[files.WHOLE].cast(pa.binary())
    known = {
        "value": pc.coalesce(rows[files.BYTES], text),
        "place": rows[files.AT],
    }
    return pa.table(
        [known.get(field.name, pa.nulls(rows.num_rows, field.type)) for field in RAW], schema=RAW
    )
