"""The causes that are searched for: their names, and how simple each is."""

from __future__ import annotations

from typing import Final

STOPPED: Final = "stopped"
NOT_WRITTEN: Final = "not written"
SKIPPED: Final = "skipped"
TWICE: Final = "applied twice"
WRONG_KEY: Final = "wrong key"
SWAPPED: Final = "swapped"
NOT_UPCAST: Final = "not upcast"
RUN_SKIPPED: Final = "run skipped"
RUN_TWICE: Final = "run applied twice"
BAD_SNAPSHOT: Final = "bad snapshot"
TWO: Final = "two events"
OTHER_SNAPSHOT: Final = "snapshot of another row"
UNEXPLAINED: Final = "unexplained"

#: Cause -> its place in a ranking: the fewer events have to have gone wrong on their own, the simpler.
COSTS: Final[dict[str, int]] = {
    STOPPED: 10,
    NOT_WRITTEN: 10,
    SKIPPED: 20,
    TWICE: 20,
    WRONG_KEY: 25,
    SWAPPED: 30,
    NOT_UPCAST: 30,
    RUN_SKIPPED: 40,
    RUN_TWICE: 40,
    BAD_SNAPSHOT: 50,
    TWO: 60,
    OTHER_SNAPSHOT: 70,
    UNEXPLAINED: 100,
}
PAIRED: Final = 15
"""The same of an event at the wrong row, where no other row fits: it explains two rows at once."""
CAUSES: Final = tuple(COSTS)

MEANS: Final[dict[str, str]] = {
    STOPPED: "nothing was applied after some version: late, not damaged",
    NOT_WRITTEN: "none of the row's events was applied, or its row was deleted",
    SKIPPED: "one event was not applied",
    TWICE: "one event was applied twice",
    WRONG_KEY: "one event was applied to another row",
    SWAPPED: "two neighbouring events were applied in the wrong order",
    NOT_UPCAST: "old payloads were read without their upcaster",
    RUN_SKIPPED: "several consecutive events of the row were not applied",
    RUN_TWICE: "several consecutive events of the row were applied twice",
    BAD_SNAPSHOT: "it was rebuilt from a state that did not fit the events applied to it",
    TWO: "two separate events went wrong, or one in a row that also stopped",
    OTHER_SNAPSHOT: "it was rebuilt from another row's state, and went on from there",
    UNEXPLAINED: "no cause that was tried gives the stored row",
}

MOST_TRIES: Final = 200_000
"""So many changed runs of events are tried for one row at most, where its columns do not narrow the search."""
MOST_SHOWN: Final = 50
"""So many hypotheses of one cause are kept for one row; ``alike`` says how many there are."""
COLUMNS: Final = "wb_k, cause, lo, hi, lo2, hi2, other_k, other_n, detail"
"""What a search gives: the guilty events of the row are ``lo`` to ``hi`` and ``lo2`` to ``hi2``."""
