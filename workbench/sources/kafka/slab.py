"""Records as Arrow: columns of raw bytes, a few thousand records at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from struct import unpack_from
from typing import Any, Final

import pyarrow as pa
from aiokafka.record.memory_records import MemoryRecords

from workbench.sources.kafka.headernames import RecordBatch
from workbench.sources.payload import Cutter

_HEADER = pa.struct([("name", pa.string()), ("value", pa.binary())])
#: What was cut out of JSON is JSON, and need not be parsed again to see that.
_JSON: Final = pa.json_(pa.string())
_APPEND_TIME: Final = 1
_ABORT: Final = 0

#: What the broker says of a record; the members that are cut out of the value follow as ``cut0``, ….
COLUMNS: Final[tuple[tuple[str, pa.DataType], ...]] = (
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("timestamp_ms", pa.int64()),
    ("append_time", pa.bool_()),
    ("key", pa.binary()),
    ("headers", pa.list_(_HEADER)),
    ("text", pa.string()),
    ("raw", pa.binary()),
    ("problem", pa.string()),
)


def schema(cuts: int) -> pa.Schema:
    """Return the columns of a slab from which ``cuts`` members are cut."""
    return pa.schema([*COLUMNS, *((f"cut{number}", _JSON) for number in range(cuts))])


def slab(
    topic: str, partition: int, append_time: bool, records: Sequence[Any], cutter: Cutter
) -> pa.RecordBatch:
    """Turn records of one partition into columns.

    ``text`` is the value where it is a JSON object in UTF-8. Where it is not, ``problem`` says why and
    ``raw`` holds its bytes.
    """
    count = len(records)
    values = [record.value for record in records]
    text, problems, cuts = cutter.cut(values)
    if problems is None:
        raw, problem = pa.nulls(count, pa.binary()), pa.nulls(count, pa.string())
    else:
        unsound = zip(values, problems, strict=True)
        raw = pa.array([value if said else None for value, said in unsound], pa.binary())
        problem = pa.array(problems, pa.string())
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(topic, count),
            pa.repeat(pa.scalar(partition, pa.int32()), count),
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.timestamp for record in records], pa.int64()),
            pa.repeat(append_time, count),
            pa.array([record.key for record in records], pa.binary()),
            _headers([record.headers for record in records]),
            text,
            raw,
            problem,
            *(pa.ExtensionArray.from_storage(_JSON, cut) for cut in cuts),
        ],
        schema=schema(len(cuts)),
    )


def _headers(headers: Sequence[Sequence[tuple[str, bytes | None]]]) -> pa.Array:
    """Return each record's headers as an ordered list: a name may stand there more than once."""
    if not any(headers):
        return pa.nulls(len(headers), pa.list_(_HEADER))
    offsets = [0]
    for given in headers:
        offsets.append(offsets[-1] + len(given))
    pairs = list(chain.from_iterable(headers))
    values = pa.StructArray.from_arrays(
        [
            pa.array([name for name, _ in pairs], pa.string()),
            pa.array([value for _, value in pairs], pa.binary()),
        ],
        fields=list(_HEADER),
    )
    absent = pa.array([begin == end for begin, end in pairwise(offsets)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=absent)


def batches(data: bytes) -> list[Any]:
    """Split a fetched answer into the producers' record batches; the last, cut-off one is left out."""
    memory = MemoryRecords(data)
    found = []
    at = 0
    while memory.has_next():
        # A batch begins with its first offset, eight bytes, and the length of what follows, four.
        end = at + 12 + int(unpack_from(">i", data, at + 8)[0])
        found.append(RecordBatch(memory.next_batch(), memoryview(data)[at:end]))
        at = end
    return found


def visible(
    found: Sequence[Any], aborted: Sequence[tuple[int, int]] | None, *, committed: bool
) -> Iterator[Any]:
    """Yield the batches that hold records: no control batches, and none of an aborted transaction.

    Parameters
    ----------
    found
        Record batches in the order of their offsets.
    aborted
        (producer id, first offset) of each aborted transaction that reaches into them.
    committed
        Whether aborted records are to be left out.
    """
    waiting = sorted(aborted or (), key=lambda pair: pair[1], reverse=True)
    dropped: set[int] = set()
    for batch in found:
        if committed and batch.producer_id is not None:
            while waiting and waiting[-1][1] <= batch.base_offset:
                dropped.add(waiting.pop()[0])
        if batch.is_control_batch:
            # A control record's key: version and kind, two bytes each.
            kinds = {unpack_from(">hh", record.key)[1] for record in batch}
            if _ABORT in kinds:
                dropped.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in dropped):
            yield batch


def is_append_time(batch: Any) -> bool:
    """Tell whether the broker stamped a batch's records when it appended them."""
    return bool(getattr(batch, "timestamp_type", 0) == _APPEND_TIME)
