"""The requests that a bounded read needs, and no other: metadata, offsets, records.

They go through aiokafka's client rather than its consumer. A consumer that is given a topic asks for it
by name, and a broker may *create* a topic that is asked for by name; and a consumer that meets a broken
record goes on behind it. Here metadata is asked for all topics at once, which creates nothing, and every
answer is seen as the broker gave it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from workbench.errors import ConfigError, SourceUnavailable, did_you_mean

# What goes wrong is raised with its cause; the library's own lines on stderr would say it twice.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())

T = TypeVar("T")
EARLIEST: Final = -2
LATEST: Final = -1
_BACKOFF: Final = 0.2

#: Settings of a fetch, with the values that a user may override.
FETCH: Final[Mapping[str, int]] = {
    "fetch_max_bytes": 16 << 20,
    "max_partition_fetch_bytes": 4 << 20,
    "fetch_max_wait_ms": 500,
}
_NEVER: Final = {
    "group_id": "the workbench never joins a consumer group",
    "group_instance_id": "the workbench never joins a consumer group",
    "enable_auto_commit": "the workbench never commits offsets to the broker",
    "auto_offset_reset": "an offset that is gone is an error, never a jump",
    "isolation_level": "say isolation='read_committed' or 'read_uncommitted'",
    "bootstrap_servers": "it is the first argument",
}
_OURS: Final = ("loop", "bootstrap_servers")
KNOWN: Final[frozenset[str]] = frozenset(
    set(inspect.signature(AIOKafkaClient.__init__).parameters) - {"self", *_OURS} | set(FETCH)
)


def check_options(source: str, options: Mapping[str, Any]) -> None:
    """Refuse client options that do not exist or that would touch the broker."""
    for name in options:
        if name in _NEVER:
            message = f"{source}: the client option {name!r} cannot be set: {_NEVER[name]}."
            raise ConfigError(message)
        if name not in KNOWN:
            message = f"{source}: {name!r} is no option of the Kafka client."
            raise ConfigError(message + did_you_mean(name, KNOWN))


class Cluster:
    """One connection to a Kafka cluster; lives on the loop that opens it."""

    def __init__(
        self, source: str, bootstrap: str, timeout: float, options: Mapping[str, Any]
    ) -> None:
        self._source = source
        self._bootstrap = bootstrap
        self.timeout = timeout
        self._options = {name: value for name, value in options.items() if name not in FETCH}
        self._options.setdefault("client_id", "workbench")
        self._options.setdefault("request_timeout_ms", max(1000, int(timeout * 1000)))
        self._fetch = {name: options.get(name, default) for name, default in FETCH.items()}
        self._client: AIOKafkaClient | None = None

    async def open(self) -> None:
        """Connect and learn the cluster's topics; SourceUnavailable within the timeout."""
        try:
            self._client = AIOKafkaClient(
                loop=asyncio.get_running_loop(),
                bootstrap_servers=self._bootstrap,
                **self._options,
            )
        except (ValueError, TypeError) as error:
            message = f"{self._source}: the client's settings are not usable: {error}"
            raise ConfigError(message) from error
        heard = _Heard()
        logger = logging.getLogger("aiokafka")
        logger.addHandler(heard)
        try:
            async with asyncio.timeout(self.timeout):
                await self._client.bootstrap()
                while not await self._client.force_metadata_update():
                    await asyncio.sleep(_BACKOFF)
        except (KafkaError, OSError, TimeoutError) as error:
            why = heard.cause or (
                f"no answer within {self.timeout:g} s" if isinstance(error, TimeoutError) else error
            )
            message = f"{self._source}: the broker cannot be reached, or refused us: {why}"
            raise SourceUnavailable(
                message,
                hint="check the address, the listener that the broker advertises, and security_protocol / sasl_* / ssl_context",
            ) from error
        finally:
            logger.removeHandler(heard)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()

    @property
    def _open(self) -> AIOKafkaClient:
        if self._client is None:
            raise SourceUnavailable(f"{self._source}: not connected")  # noqa: EM102 -- an internal guard
        return self._client

    async def refresh(self) -> bool:
        """Learn anew which topics there are and who leads them; False when nobody tells."""
        return bool(await self._open.force_metadata_update())

    def topics(self) -> set[str]:
        """Return every topic that we may see, internal ones included."""
        topics: set[str] = set(self._open.cluster.topics(exclude_internal_topics=False))
        return topics

    def internal(self) -> set[str]:
        """Return the broker's own topics."""
        return set(self._open.cluster.internal_topics)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return a topic's partitions, in order."""
        numbers = self._open.cluster.partitions_for_topic(topic) or ()
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    def leader(self, partition: TopicPartition) -> int | None:
        """Return the node that leads a partition, or None while there is none."""
        node = self._open.cluster.leader_for_partition(partition)
        return None if node is None or node == -1 else int(node)

    async def offsets(
        self, at: Mapping[TopicPartition, int], *, committed: bool
    ) -> dict[TopicPartition, int | None]:
        """Look up an offset for each partition: by time in ms, or ``EARLIEST``, or ``LATEST``.

        ``LATEST`` is the last stable offset when ``committed``, else the high watermark. A time behind
        the last record gives None.
        """
        found: dict[TopicPartition, int | None] = {}

        async def ask() -> None:
            by_node: dict[int, dict[str, list[tuple[int, int]]]] = {}
            for partition, when in at.items():
                if partition in found:
                    continue
                node = self.leader(partition)
                if node is None:
                    raise LeaderNotAvailableError(partition)
                by_node.setdefault(node, {}).setdefault(partition.topic, []).append(
                    (partition.partition, when)
                )
            for node, topics in by_node.items():
                request = OffsetRequest(-1, int(committed), list(topics.items()))
                answer = await self._open.send(node, request)
                for topic, rows in answer.topics:
                    for number, code, _, offset in rows:
                        partition = TopicPartition(topic, number)
                        if code != 0:
                            raise for_code(code)(partition)
                        found[partition] = None if offset < 0 else offset

        await self.retry(ask, "the offsets of its partitions")
        return found

    async def retry(self, ask: Callable[[], Awaitable[T]], what: str) -> T:
        """Ask until it is answered; SourceUnavailable once the timeout has passed."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return await ask()
            except TopicAuthorizationFailedError as error:
                raise self.refused(error) from error
            except (KafkaError, OSError) as error:
                if not getattr(error, "retriable", True) or time.monotonic() > deadline:
                    message = f"{self._source}: the broker does not give {what}: {describe(error)}"
                    raise SourceUnavailable(
                        message, hint="load again when the broker is well"
                    ) from error
                await asyncio.sleep(_BACKOFF)
                await self.refresh()

    def refused(self, error: KafkaError) -> SourceUnavailable:
        """Return the error for a topic that we may not read."""
        return SourceUnavailable(
            f"{self._source}: the broker refuses us: {describe(error)}",
            hint="the user needs the Read and Describe rights on these topics",
        )

    async def fetch(
        self,
        node: int,
        positions: Iterable[tuple[TopicPartition, int]],
        *,
        committed: bool,
        partition_bytes: int,
    ) -> Any:
        """Fetch records of the partitions that a node leads, from their positions on."""
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for partition, offset in positions:
            topics.setdefault(partition.topic, []).append(
                (partition.partition, offset, partition_bytes)
            )
        request = FetchRequest(
            self._fetch["fetch_max_wait_ms"],
            1,
            max(self._fetch["fetch_max_bytes"], partition_bytes),
            int(committed),
            list(topics.items()),
        )
        return await self._open.send(node, request)

    @property
    def partition_bytes(self) -> int:
        """How many bytes of one partition a fetch asks for. A larger record comes all the same."""
        return int(self._fetch["max_partition_fetch_bytes"])


class _Heard(logging.Handler):
    """Keeps why a connection failed: aiokafka logs the cause and raises only 'unable to bootstrap'."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.cause: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        causes = [arg for arg in record.args or () if isinstance(arg, BaseException)]
        if causes:
            self.cause = describe(causes[-1])


def describe(error: BaseException) -> str:
    """Name an error for a person; Kafka's own errors often carry no text."""
    text = str(error)
    name = type(error).__name__
    return name if text in ("", name) else f"{name}: {text}"
