"""Progress bars: one look for every long work, in a notebook and in a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tqdm.auto import tqdm

Report = Callable[[int, int | None], None]


@contextlib.contextmanager
def bar(
    title: str, progress: bool | Report = True, *, unit: str = "events"
) -> Iterator[Report | None]:
    """Yield a function to call with (done, about how many); nothing is shown for work of under a second."""
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    with tqdm(desc=title, unit=f" {unit}", unit_scale=True, delay=1.0, leave=False) as shown:

        def report(done: int, total: int | None) -> None:
            if total is not None and shown.total != total:
                shown.total = max(total, done)
            shown.update(done - shown.n)

        yield report
