"""The message as it was before it became a dead letter: its own value, key and headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from workbench.sources.payload import Cutter

#: What each framework adds to the headers of a message that it gives up; names, or prefixes that end with '*'.
_ADDED: Final = (
    "__connect.errors.*",
    "__streams.errors.*",
    "__dlq.errors.*",
    "kafka_dlt-*",
    "kafka_original-*",
    "kafka_exception-*",
    "kafka_key-exception-*",
    "kafka_backoff-timestamp",
    "retry_topic-*",
    *(
        f"dead-letter-{name}"
        for name in (
            "exception-class-name",
            "cause-class-name",
            "reason",
            "cause",
            "topic",
            "partition",
            "offset",
        )
    ),
    "NServiceBus.FailedQ",
    "NServiceBus.TimeOfFailure",
    "NServiceBus.FLRetries",
    "NServiceBus.Retries",
    "NServiceBus.ExceptionInfo.*",
    "MT-Reason",
    "MT-Fault-*",
    "workbench-redrive-*",
)
_NAMES: Final = frozenset(name for name in _ADDED if not name.endswith("*"))
_PREFIXES: Final = tuple(name[:-1] for name in _ADDED if name.endswith("*"))

#: Format -> why its messages cannot go through a broker.
ELSEWHERE: Final = {
    "axon": "Axon's own queue holds it: SequencedDeadLetterProcessor.process… tries it again",
    "wolverine": "Wolverine's own table holds it: set replayable there",
    "marten": "Marten keeps it as an event that a projection skipped: rebuild the projection",
}

_cut = Cutter([("originalEvent",)]).cut


def original_headers(
    headers: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes | None]]:
    """Leave out what was added when the message was given up; what remains keeps its order.

    >>> original_headers([("kafka_dlt-original-topic", b"orders"), ("trace", b"t-1")])
    [('trace', b't-1')]
    """
    return [
        (name, value)
        for name, value in headers
        if name not in _NAMES and not name.startswith(_PREFIXES)
    ]


def original_values(
    formats: Sequence[str | None], raw: Sequence[bytes | None]
) -> list[bytes | None]:
    """Return the original values of dead letters: the message's own, or what its wrapper holds, byte for byte.

    None where there is none to be found.

    >>> original_values(["reference"], [b'{"originalEvent": {"amount": 1.10}, "error": "no"}'])
    [b'{"amount": 1.10}']
    """
    values = list(raw)
    wrapped = [index for index, name in enumerate(formats) if name == "reference"]
    if wrapped:
        _, _, (cut,) = _cut([raw[index] for index in wrapped])
        for index, found in zip(wrapped, cut.to_pylist(), strict=True):
            values[index] = None if found is None else _unwrapped(found)
    return values


def _unwrapped(found: str) -> bytes | None:
    """Read an event that was written as a text; any other is what it is."""
    if not found.startswith('"'):
        return found.encode()
    try:
        return msgspec.json.decode(found, type=str).encode()
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
