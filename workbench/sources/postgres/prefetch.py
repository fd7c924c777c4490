"""Reading ahead in a thread: the server sends the next batch while the log commits the last."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def prefetched(items: Iterator[T], cancel: Callable[[], None]) -> Generator[T]:
    """Yield what ``items`` yields, one ahead of the consumer; at most three are held at a time.

    ``cancel`` breaks off what the thread waits for, when the consumer stops early.

    >>> list(prefetched(iter("abc"), lambda: None))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[_Item[T] | _End] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(message: _Item[T] | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(message, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(_Item(item)):
                    return
        except BaseException as error:  # raised again in the consumer's thread
            put(_End(error))
        else:
            put(_End(None))

    thread = threading.Thread(target=run, name="workbench-postgres", daemon=True)
    thread.start()
    try:
        while True:
            message = ready.get()
            if isinstance(message, _End):
                if message.error is not None:
                    raise message.error
                return
            yield message.value
            del message  # not to hold a batch while waiting for the next
    finally:
        stop.set()
        if thread.is_alive():
            cancel()
        thread.join()
