"""Marten: ``mt_doc_deadletterevent``, the events that a projection skipped. The event itself stays in ``mt_events``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workbench._sql import text
from workbench.sources.dead_letters.expressions import Expr, time
from workbench.sources.dead_letters.table_format import Row, TableFormat

_TABLE: Final = "mt_doc_deadletterevent"


def _columns(row: Row) -> Mapping[str, Expr]:
    document = row.json("data")

    def member(name: str) -> Expr:
        return document.then(f"try(json_extract_string({{}}, {text(f'$.{name}')}))")

    return {
        "source_position": Expr(f"{text(_TABLE + '/')} || {row.word('id').sql}"),
        "dead_lettered_at": time(member("Timestamp"), "Timestamp"),
        "origin_offset": member("EventSequence").then("try_cast({} AS BIGINT)"),
        "consumer": member("ProjectionName"),
        "error_class": member("ExceptionType"),
        "error_message": member("ExceptionMessage"),
        "raw": row.blob("data"),
        "headers": row.others("data"),
    }


MARTEN: Final = TableFormat(
    name="marten",
    table=_TABLE,
    needs=("id", "data", "mt_dotnet_type"),
    order=("mt_last_modified", "id"),
    columns=_columns,
)
