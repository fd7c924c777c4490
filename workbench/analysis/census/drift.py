"""Drift: a field whose type changes, or whose presence jumps, within one version of a payload."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import Final

from workbench.analysis.census.shapes import Pair, Span

JUMP: Final = 0.5
"""Presence has jumped when its share before and after differ by so much or more, …"""
SURE: Final = 10.83
"""… chance gives such a difference less than once in a thousand times (chi square, one degree of freedom), …"""
FEW: Final = 5
"""… and there are so many events on either side."""

Place = tuple[int, dt.datetime | None]
_NUMBERS: Final = {"integer", "decimal"}


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed, and since which event."""

    what: str
    before: str
    after: str
    since: Place


def drift(pair: Pair, path: str) -> Drift | None:
    """Find how a field drifted; a change of type says more than a jump."""
    return _of_type(pair.types[path]) or _of_presence(pair, path)


def _of_type(types: dict[str, Span]) -> Drift | None:
    known = {kind: span for kind, span in types.items() if kind != "null"}
    if len(known) < 2:
        return None
    ordered = sorted(known, key=lambda kind: _first(known[kind]))
    if set(ordered) == _NUMBERS:
        # 12 beside 12.50 is one amount as the other; it has changed when one took over from the other.
        one, other = (known[kind] for kind in ordered)
        took_over = _last(one) < _first(other) and min(one.events, other.events) >= FEW
        if not took_over:
            return None
    since = known[ordered[-1]].first
    assert since is not None
    return Drift("type", " or ".join(ordered[:-1]), ordered[-1], since)


def _of_presence(pair: Pair, path: str) -> Drift | None:
    present, absent = pair.present[path], pair.absent[path]
    if not absent.events:
        return None
    total = pair.all.events
    share = present.events / total
    best = None
    seen = there = 0
    parts = sorted(pair.all.parts)
    for part, following in itertools.pairwise(parts):
        seen += pair.all.parts[part]
        there += present.parts.get(part, 0)
        before, after = there / seen, (present.events - there) / (total - seen)
        chi = seen * (total - seen) / total * (after - before) ** 2 / (share * (1 - share))
        if best is None or chi > best[0]:
            best = (chi, before, after, following, min(seen, total - seen))
    clean = _clean(present, absent)
    if clean is not None:
        return clean
    if best is None or best[0] < SURE or abs(best[2] - best[1]) < JUMP or best[4] < FEW:
        return None
    _, before, after, following, _ = best
    return Drift("presence", _percent(before), _percent(after), pair.starts[following])


def _clean(present: Span, absent: Span) -> Drift | None:
    """A field that was in no event and then in all, or the other way round: the event is known exactly."""
    total = present.events + absent.events
    for before, after, words in (
        (absent, present, ("0 %", "100 %")),
        (present, absent, ("100 %", "0 %")),
    ):
        # The chi square of a clean cut is the number of events.
        if (
            _last(before) < _first(after)
            and min(before.events, after.events) >= FEW
            and total > SURE
        ):
            assert after.first is not None
            return Drift("presence", *words, after.first)
    return None


def _first(span: Span) -> int:
    return span.first[0] if span.first else 0


def _last(span: Span) -> int:
    return span.last[0] if span.last else 0


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
