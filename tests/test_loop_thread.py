"""The loop in a thread of its own, on which Kafka's client runs: nothing of it is left when it ends."""

from __future__ import annotations

import asyncio
import gc
import socket

from workbench.sources.kafka.loop import LoopThread

MORE_THAN_IS_TAKEN = b"x" * 20_000_000


def test_a_connection_that_waits_for_the_other_side_is_closed_at_the_end() -> None:
    """As after a refused login: it is closing, and the other side does not take what is left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with LoopThread("test") as loop:
            loop.run(_closing(silent.getsockname()[1]))
        gc.collect()  # an open transport says so when it goes, and warnings are errors here
        taken, _ = silent.accept()
        taken.close()


async def _closing(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(MORE_THAN_IS_TAKEN)
    writer.close()
