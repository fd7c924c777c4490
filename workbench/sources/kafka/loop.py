"""An event loop in a thread of its own, so that the package stays synchronous to its user.

A notebook's own loop is already running in the main thread; nothing is nested into it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


_TURNS = 10


class LoopThread:
    """Run coroutines from synchronous code; use it as a context manager."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon: an interpreter that is told to end does not wait for a broker.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while we wait: the coroutine must not go on alone
            raise

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # A connection that is closing waits until the other side has taken what is left, and a broker that refused us
    # may never do so. Nobody is there to wait any more. (asyncio has no public list of what is open.)
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    # A transport that failed (a refused certificate, say) closes its socket a few turns of the loop later.
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_asyncgens()
