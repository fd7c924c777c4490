"""Loads that are killed: what every source has to survive."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import workbench as wb


def killed_at_random_moments(command: Sequence[str], path: Path) -> list[int]:
    """Run a loader ten times and kill it each time; return how many events the log held after each.

    The loader prints ``loading`` when it begins, and a line for each batch.
    """
    rng = random.Random(17)
    left_off = []
    for _ in range(10):
        loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert loader.stdout is not None
        assert loader.stdout.readline() == "loading\n"
        for _ in range(rng.randint(0, 4)):
            loader.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        loader.send_signal(signal.SIGKILL)
        # 0: it had ended by itself. Anything else is an error of its own.
        assert loader.wait() in (-signal.SIGKILL, 0)
        loader.stdout.close()
        with wb.open(path) as log:
            left_off.append(len(log))
    return left_off
