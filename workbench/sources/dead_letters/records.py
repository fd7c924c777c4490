"""Messages as dead letters: which format each is of, where the event stands in it, and the SQL that reads both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from workbench._sql import ident, text
from workbench.sources.base import Shape
from workbench.sources.dead_letters.connect import CONNECT
from workbench.sources.dead_letters.expressions import (
    Expr,
    all_of,
    header_column,
    unless_broken,
    word,
)
from workbench.sources.dead_letters.headers import HEADERS, Headers, Which
from workbench.sources.dead_letters.masstransit import MASSTRANSIT
from workbench.sources.dead_letters.nservicebus import NSERVICEBUS
from workbench.sources.dead_letters.record_format import (
    APPENDED,
    FORMAT,
    TEXT,
    TIMESTAMP,
    RecordFormat,
    member,
)
from workbench.sources.dead_letters.reference import REFERENCE
from workbench.sources.dead_letters.smallrye import SMALLRYE
from workbench.sources.dead_letters.spring import SPRING, SPRING_RETRY
from workbench.sources.dead_letters.streams import STREAMS
from workbench.sources.kafka.envelope import Envelope
from workbench.sources.payload import Cutter

#: In the order in which they are asked: a message may carry the headers of a dead-letter topic before the last.
FORMATS: Final = (
    SPRING,
    SPRING_RETRY,
    CONNECT,
    STREAMS,
    SMALLRYE,
    NSERVICEBUS,
    MASSTRANSIT,
    REFERENCE,
)
BY_NAME: Final[Mapping[str, RecordFormat]] = {one.name: one for one in FORMATS}

#: What every origin hands over: messages as they were received. ``place`` is where one stands without a topic.
RAW: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("appended", pa.bool_()),
        ("key", pa.binary()),
        ("headers", HEADERS),
        ("value", pa.binary()),
        ("place", pa.string()),
    ]
)

_ORIGINAL: Final = "originalEvent"
#: Read from the event, by the mapping of its envelope, unless the format knows better.
_OF_EVENT: Final = (
    "event_id", "event_type", "stream_id", "version", "correlation_id", "causation_id",
)  # fmt: skip
_REDRIVE: Final[Mapping[str, Expr]] = {
    "redrive_id": word("workbench-redrive-id"),
    "redrive_of": word("workbench-redrive-of"),
}
_JSON: Final = pa.json_(pa.string())
_UNKNOWN: Final = "no format of dead letters is recognised"

Codes = npt.NDArray[np.int8]
Values = Sequence[bytes | None]


class Decoder:
    """Turns messages into what the SQL of :func:`_shape` reads.

    Parameters
    ----------
    envelope
        Where an event's columns stand.
    forced
        The format that all messages are of; None: each is looked at.
    """

    def __init__(self, envelope: Envelope, forced: RecordFormat | None) -> None:
        self._envelope = envelope
        self._forced = forced
        self._cutter = Cutter(envelope.cuts)
        self._con = duckdb.connect(":memory:")
        self._con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def decode(self, raw: pa.Table) -> tuple[pa.Table, dict[str, Expr]]:
        """Return what is needed of a batch, and how the columns of ``dead_letters`` are read from it."""
        headers = Headers(raw["headers"])
        values: Values = raw["value"].to_pylist()
        members, broken = _members(values) if self._wants_members(headers) else ({}, None)
        codes = self._codes(headers, members, raw.num_rows)
        here = tuple(FORMATS[code].name if code >= 0 else None for code in np.unique(codes))
        formats = [BY_NAME[name] for name in here if name is not None]
        columns: dict[str, pa.Array | pa.ChunkedArray] = {
            "*topic": raw["topic"],
            "*partition": raw["partition"],
            "*offset": raw["offset"],
            FORMAT: pa.DictionaryArray.from_arrays(
                pa.array(codes, mask=codes < 0), [one.name for one in FORMATS]
            ).cast(pa.string()),
            TIMESTAMP: raw["timestamp"],
            APPENDED: raw["appended"],
            "*key": raw["key"],
            "*headers": raw["headers"],
            "*value": raw["value"],
            "*place": raw["place"],
        }
        for one in formats:
            for name in one.members:
                cut = members.get(name)
                columns[member(name)] = pa.nulls(raw.num_rows, pa.string()) if cut is None else cut
        if MASSTRANSIT in formats:
            columns[TEXT] = _text(values)
        for name, which in _headers_of(formats):
            columns[header_column(name, which)] = headers.value(name, which)
        event = self._event(raw, codes, formats, *_events(values, codes, formats, members, broken))
        for name in event.column_names:
            columns[name] = event[name]
        return pa.table(columns), _columns(formats, alone=None not in here and len(here) == 1)

    def close(self) -> None:
        """Let go of the workspace."""
        self._con.close()

    def _wants_members(self, headers: Headers) -> bool:
        if self._forced is not None:
            return self._forced.event in (_ORIGINAL, "message")
        marked = headers.have(
            mark for one in FORMATS if one.event in ("value", "payload") for mark in one.marks
        )
        return not marked.all()

    def _codes(self, headers: Headers, members: Mapping[str, pa.Array], rows: int) -> Codes:
        if self._forced is not None:
            return np.full(rows, FORMATS.index(self._forced), np.int8)
        codes = np.full(rows, -1, np.int8)
        if members:
            codes[_is_reference(members)] = FORMATS.index(REFERENCE)
        for code in reversed(range(len(FORMATS))):
            codes[headers.have(FORMATS[code].marks)] = code
        return codes

    def _event(
        self,
        raw: pa.Table,
        codes: Codes,
        formats: Sequence[RecordFormat],
        events: Values,
        problems: Sequence[str | None] | None,
    ) -> pa.Table:
        """Read the events as the envelope has them, as a load of events does: one column each, and what is wrong."""
        found, broken, cuts = self._cutter.cut(events)
        slab = pa.table(
            {
                "topic": raw["topic"],
                "partition": raw["partition"],
                "offset": raw["offset"],
                "timestamp_ms": _source_time(raw, codes, formats),
                "append_time": pa.repeat(pa.scalar(False), raw.num_rows),
                "key": raw["key"],
                "headers": raw["headers"],
                "text": found,
                "raw": pa.nulls(raw.num_rows, pa.binary()),
                "problem": _problems(broken, problems, raw.num_rows),
                **{
                    f"cut{number}": pa.ExtensionArray.from_storage(_JSON, cut)
                    for number, cut in enumerate(cuts)
                },
            }
        )
        self._con.register("slabs", slab)
        try:
            rows = self._con.sql(self._envelope.select("slabs")).to_arrow_table()
            for name in self._envelope.kept:
                rows = rows.append_column(name, slab[name])
            self._con.register("event", rows)
            return self._con.sql(_event_query(self._envelope.shape)).to_arrow_table()
        finally:
            self._con.unregister("slabs")
            self._con.unregister("event")


def _event_query(shape: Shape) -> str:
    # A reason to reject may refer to the columns that were made, as wb_<column>.
    made = ", ".join(f"({sql}) AS wb_{name}" for name, sql in shape.columns.items())
    listed = [
        f"wb_{name} AS {ident(_event_column(name))}"
        for name in (*_OF_EVENT, "occurred_at")
        if name in shape.columns
    ]
    data = "CAST(wb_data AS VARCHAR)" if "data" in shape.columns else "NULL"
    listed += [
        f"CASE WHEN json_valid({data}) THEN {data} END AS {ident(_event_column('data'))}",
        f"CASE WHEN json_valid(text) THEN text END AS {ident(_event_column('text'))}",
        f"CAST(({shape.reject}) AS VARCHAR) AS {ident(_event_column('problem'))}",
    ]
    return f"SELECT {', '.join(listed)} FROM (SELECT *, {made} FROM event)"


def _event_column(name: str) -> str:
    return f"*event {name}"


def _source_time(raw: pa.Table, codes: Codes, formats: Sequence[RecordFormat]) -> pa.Array:
    """Return the message's time in ms where it is the source's; elsewhere it says nothing of the event."""
    kept = np.isin(codes, [FORMATS.index(one) for one in formats if one.keeps_source_time])
    appended = pc.fill_null(raw["appended"], False).to_numpy(zero_copy_only=False)
    times = pc.divide(raw["timestamp"].cast(pa.int64()), 1000)
    return pc.if_else(pa.array(kept & ~appended), times, pa.scalar(None, pa.int64()))


# -- where the event stands ------------------------------------------------------------------------


def _members(values: Values) -> tuple[dict[str, pa.Array], list[str | None] | None]:
    """Cut out what may make a message a dead letter of the reference, or an envelope; say what is no JSON."""
    names = (_ORIGINAL, *REFERENCE.members, "message")
    _, problems, cuts = Cutter([(name,) for name in names]).cut(values)
    return dict(zip(names, cuts, strict=True)), problems


def _is_reference(members: Mapping[str, pa.Array]) -> npt.NDArray[np.bool_]:
    there = {
        name: members[name].is_valid().to_numpy(zero_copy_only=False)
        for name in (_ORIGINAL, "error", "attempts")
    }
    found: npt.NDArray[np.bool_] = there[_ORIGINAL] | (there["error"] & there["attempts"])
    return found


def _events(
    values: Values,
    codes: Codes,
    formats: Sequence[RecordFormat],
    members: Mapping[str, pa.Array],
    broken: Sequence[str | None] | None,
) -> tuple[Values, list[str | None] | None]:
    """Return the bytes of each event, and why there are none."""
    wanted = {"originalEvent": _ORIGINAL, "message": "message"}
    events: list[bytes | None] | None = None
    problems: list[str | None] | None = None
    for one in formats:
        if one.event not in wanted:
            continue
        name = wanted[one.event]
        cut = members[name].cast(pa.binary()).to_pylist()
        if events is None or problems is None:
            events, problems = list(values), [None] * len(values)
        for row in np.flatnonzero(codes == FORMATS.index(one)).tolist():
            events[row], problems[row] = _unwrapped(cut[row], name, broken[row] if broken else None)
    return (values if events is None else events), problems


def _unwrapped(
    found: bytes | None, name: str, broken: str | None
) -> tuple[bytes | None, str | None]:
    """Return an event that stands in a message; one that was written as a text is read from it."""
    if found is None:
        return None, broken or f"there is no {name}"
    if not found.startswith(b'"'):
        return found, None
    try:
        return msgspec.json.decode(found, type=str).encode(), None
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        return None, f"{name} is not readable: {error}"


def _problems(
    broken: Sequence[str | None] | None, earlier: Sequence[str | None] | None, rows: int
) -> pa.Array:
    if earlier is None and broken is None:
        return pa.nulls(rows, pa.string())
    nothing: list[str | None] = [None] * rows
    said = [
        found and found.replace("the value", "the event", 1)
        for before, now in zip(earlier or nothing, broken or nothing, strict=True)
        for found in (before or now,)
    ]
    return pa.array(said, pa.string())


def _text(values: Values) -> pa.Array:
    found, _, _ = Cutter([]).cut(values)
    return found


# -- SQL -------------------------------------------------------------------------------------------


def _headers_of(formats: Sequence[RecordFormat]) -> list[tuple[str, Which]]:
    expressions = [*_REDRIVE.values(), *(e for one in formats for e in one.columns.values())]
    return list(dict.fromkeys(header for given in expressions for header in given.headers))


def _columns(formats: Sequence[RecordFormat], *, alone: bool) -> dict[str, Expr]:
    """Put the adapters together; ``alone``: all messages are of one format."""
    place = 'coalesce("*topic" || \'/\' || "*partition" || \'/\' || "*offset", "*place")'
    columns = {
        "source_position": Expr(place),
        "format": Expr(ident(FORMAT)),
        "raw": Expr(ident("*value")),
        "key": Expr(ident("*key")),
        "headers": Expr(ident("*headers")),
        **_REDRIVE,
    }
    names = dict.fromkeys(name for one in formats for name in one.columns)
    for name in dict.fromkeys([*names, *_OF_EVENT, "origin_at"]):
        fallback = _fallback(name)
        branches = {
            one.name: unless_broken(one.columns[name], fallback)
            for one in formats
            if name in one.columns
        }
        columns[name] = _case(branches, fallback, alone=alone)
    whole = Expr(ident(_event_column("text")))
    bare = {one.name: whole for one in formats if one.event in ("message", "payload")}
    data = _case(bare, Expr(ident(_event_column("data"))), alone=alone)
    columns["data"] = data.then("CAST({} AS JSON)")
    columns["parse_error"] = _parse_error(formats, alone=alone)
    return columns


def _fallback(name: str) -> Expr:
    """Return what the event itself says."""
    if name in _OF_EVENT:
        return Expr(ident(_event_column(name)))
    # When the event came into being is as near as one gets to when its message did.
    return Expr(ident(_event_column("occurred_at")) if name == "origin_at" else "NULL")


def _parse_error(formats: Sequence[RecordFormat], *, alone: bool) -> Expr:
    unknown = Expr(f"CASE WHEN {ident(FORMAT)} IS NULL THEN {text(_UNKNOWN)} END")
    event = Expr(ident(_event_column("problem")))
    own = {one.name: _said(one.columns.values()) for one in formats}
    return _said([unknown, event, _case(own, Expr("NULL"), alone=alone), *_REDRIVE.values()], 3)


def _said(reads: Iterable[Expr], stated: int = 0) -> Expr:
    """Put problems together; the first of the expressions are themselves what is said."""
    given = list(reads)
    said = [one.sql for one in given[:stated]]
    said += dict.fromkeys(problem for one in given[stated:] for problem in one.problems)
    return all_of(f"nullif(concat_ws('; ', {', '.join(said) or 'NULL'}), '')", *given)


def _case(branches: Mapping[str, Expr], otherwise: Expr, *, alone: bool) -> Expr:
    if not branches:
        return otherwise
    if alone:
        return next(iter(branches.values()))
    whens = " ".join(f"WHEN {text(name)} THEN {one.sql}" for name, one in branches.items())
    return all_of(
        f"CASE {ident(FORMAT)} {whens} ELSE {otherwise.sql} END", *branches.values(), otherwise
    )
