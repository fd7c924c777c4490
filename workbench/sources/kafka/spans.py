"""What is read of each partition: from which offset, up to which, and how far it came."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka import TopicPartition

from workbench.errors import ConfigError, MomentError, SourceDataLost, did_you_mean
from workbench.sources.base import Bookmark
from workbench.sources.kafka.cluster import EARLIEST, LATEST, Cluster

Topics = str | re.Pattern[str] | Sequence[str | re.Pattern[str]]
Bound = Literal["start", "end"] | int | Mapping[TopicPartition, int]
"""``start``, ``end``, a time in ms since 1970, or an offset for each partition."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class Span:
    """One partition in one pass."""

    partition: TopicPartition
    first: int  # the first offset that the broker still holds
    start: int  # where this pass begins
    end: int  # where it stops, exclusive
    stable: int  # behind the last committed transaction
    high: int  # behind the last record
    position: int  # what to ask the broker for next
    read: int  # everything below is decoded
    excluded: int | None = None  # the first offset that ``until`` leaves for a later load
    lost: str | None = None  # what the broker no longer held, and was skipped

    @property
    def done(self) -> bool:
        """Whether the broker has nothing more for us below ``end``."""
        return self.position >= self.end

    @property
    def bookmark(self) -> int:
        """Where the next load goes on once all that is decoded is committed."""
        return self.read if self.excluded is None else min(self.read, self.excluded)

    @property
    def label(self) -> str:
        """How a person writes the partition: ``topic/0``."""
        return f"{self.partition.topic}/{self.partition.partition}"


def bound(value: object, *, name: str, source: str) -> Bound | None:
    """Read a ``from_`` or ``until`` argument.

    Raises
    ------
    MomentError
        A time that says no offset, or is unreadable.
    ConfigError
        Anything else that is no bound.
    """
    if value is None or value in ("start", "end"):
        return value
    if isinstance(value, Mapping):
        return _offsets(value, name=name, source=source)
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            message = f"{source}: {name}={value!r} is no time."
            raise MomentError(
                message, hint="write it as 2026-06-30T14:02Z, or say 'start' or 'end'"
            ) from None
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            message = f"{source}: {name}={value.isoformat()} says no time zone."
            raise MomentError(message, hint="add one, as in 2026-06-30T14:02Z or …+02:00")
        # Rounded up: a record of the millisecond in which the moment lies is not before it.
        return -((_EPOCH - value) // dt.timedelta(milliseconds=1))
    message = f"{source}: {name} cannot be a {type(value).__name__}."
    raise ConfigError(
        message, hint="use an aware time, 'start', 'end', or {('topic', partition): offset}"
    )


def _offsets(value: Mapping[Any, Any], *, name: str, source: str) -> dict[TopicPartition, int]:
    try:
        offsets = {TopicPartition(str(key[0]), int(key[1])): int(at) for key, at in value.items()}
    except (TypeError, ValueError, IndexError):
        message = f"{source}: {name} is no mapping of partitions to offsets."
        raise ConfigError(message, hint="write {('topic', 0): 1200}") from None
    if any(at < 0 for at in offsets.values()):
        message = f"{source}: {name} names a negative offset."
        raise ConfigError(message)
    return offsets


def select(topics: Topics, cluster: Cluster, *, source: str) -> list[str]:
    """Return the names of the topics that are meant, in order.

    Raises
    ------
    ConfigError
        A topic that does not exist, or a pattern that none matches.
    """
    known = cluster.topics()
    internal = cluster.internal()
    chosen: dict[str, None] = {}
    for wanted in [topics] if isinstance(topics, str | re.Pattern) else topics:
        if isinstance(wanted, str) and not is_glob(wanted):
            if wanted not in known:
                message = f"{source}: there is no topic {wanted!r} here, or we may not see it."
                raise ConfigError(message + did_you_mean(wanted, known - internal))
            matching = [wanted]
        else:
            pattern = re.compile(fnmatch.translate(wanted)) if isinstance(wanted, str) else wanted
            matching = sorted(topic for topic in known - internal if pattern.fullmatch(topic))
            if not matching:
                shown = wanted if isinstance(wanted, str) else wanted.pattern
                message = f"{source}: no topic matches {shown!r}."
                raise ConfigError(message + did_you_mean(shown, known - internal))
        chosen |= dict.fromkeys(matching)
    return list(chosen)


def is_glob(topic: str) -> bool:
    """Tell a glob from a name; a topic's name holds letters, digits, dots, dashes and underscores."""
    return any(char in topic for char in "*?[")


async def plan(
    cluster: Cluster,
    topics: Sequence[str],
    bookmark: Bookmark | None,
    from_: Bound | None,
    until: Bound | None,
    *,
    committed: bool,
    lost: Literal["raise", "skip"],
    source: str,
) -> list[Span]:
    """Fix what this pass reads, before it reads anything.

    Raises
    ------
    SourceDataLost
        The broker no longer holds what comes next.
    ConfigError
        ``from_`` or ``until`` name a partition that is not among the topics.
    """
    partitions = [partition for topic in topics for partition in cluster.partitions(topic)]
    for given, name in ((from_, "from_"), (until, "until")):
        if isinstance(given, Mapping):
            _check_partitions(given, partitions, name=name, source=source)
    first = await cluster.offsets(dict.fromkeys(partitions, EARLIEST), committed=committed)
    high = await cluster.offsets(dict.fromkeys(partitions, LATEST), committed=False)
    stable = (
        await cluster.offsets(dict.fromkeys(partitions, LATEST), committed=True)
        if committed
        else high
    )
    by_time = (
        await cluster.offsets(dict.fromkeys(partitions, max(from_, 0)), committed=committed)
        if isinstance(from_, int)
        else {}
    )
    spans = []
    for partition in partitions:
        low, top = first[partition] or 0, high[partition] or 0
        limit = min(stable[partition] or 0, top)
        known = held(bookmark, partition)
        if known is not None:
            start = known
        elif isinstance(from_, Mapping):
            start = from_.get(partition, low)
        elif from_ == "end" and bookmark is None:
            start = limit
        elif isinstance(from_, int):
            at = by_time[partition]
            start = limit if at is None else at
        else:
            # Also what appeared since the first load of 'end': it is all newer than that.
            start = low
        end = limit
        if isinstance(until, Mapping):
            end = min(limit, until.get(partition, limit))
        elif until == "start":
            end = low
        span = Span(partition, low, start, max(start, end), limit, top, position=start, read=start)
        if start < low or start > top:
            _lost(span, lost, source)
        spans.append(span)
    return spans


def held(bookmark: Bookmark | None, partition: TopicPartition) -> int | None:
    """Return the offset at which a bookmark lets a partition go on; None when it does not know it."""
    found = ((bookmark or {}).get(partition.topic) or {}).get(str(partition.partition))
    return None if found is None else int(found)


def _check_partitions(
    given: Mapping[TopicPartition, int],
    partitions: Iterable[TopicPartition],
    *,
    name: str,
    source: str,
) -> None:
    known = {f"{one.topic}/{one.partition}" for one in partitions}
    for one in given:
        label = f"{one.topic}/{one.partition}"
        if label not in known:
            message = (
                f"{source}: {name} names the partition {label}, which is not among those read."
            )
            raise ConfigError(message + did_you_mean(label, known))


def _lost(span: Span, lost: Literal["raise", "skip"], source: str) -> None:
    """Raise for what the broker no longer holds, or go on behind it and keep a note."""
    if span.start < span.first:
        gone = f"the records {span.start:,} to {span.first - 1:,} are no longer there: the topic now begins at {span.first:,}"
    else:
        gone = f"the next record would be {span.start:,}, but the topic ends at {span.high:,}: it was cut short or made anew"
    resume = span.first
    if lost == "raise":
        message = f"{source}: {span.label}: {gone}."
        raise SourceDataLost(
            message,
            hint=f"restore them, or accept the hole with lost='skip' (it goes on from {resume:,} and stays on record)",
        )
    span.lost = gone
    span.start = span.position = span.read = resume
    span.end = max(resume, min(span.end, span.stable))
