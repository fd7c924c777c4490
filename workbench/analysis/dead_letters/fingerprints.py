"""In which ways events failed, and which of these ways are new."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from workbench import _html
from workbench._sql import literal, text
from workbench.analysis.buckets import choose
from workbench.analysis.dead_letters.groups import counted
from workbench.moments import Time, parse_time
from workbench.store.table import Table

if TYPE_CHECKING:
    from workbench.analysis.dead_letters.letters import DeadLetters

#: The earliest moment at which a letter can have been given up.
SEEN_FROM: Final = "coalesce(dead_lettered_at, recorded_at, origin_at, occurred_at)"


class Fingerprints(Table):
    """One row for each fingerprint, new ones first, then those with most dead letters.

    Columns: ``fingerprint`` (VARCHAR, twelve digits; NULL: the dead letters tell no error), ``error``, what it
    stands for; ``dead_letters``; ``given_up``, distinct events; ``roots``, dead letters that failed by
    themselves; ``streams``; ``consumers``, ``types`` (lists of VARCHAR); ``first_at``, ``last_at`` (TIMESTAMPTZ,
    UTC, of those that say when they were given up); ``seen_from``, the earliest moment at which the first can
    have been given up: where it does not say when, its event's time; ``new``; ``example``, the
    ``dead_letter_id`` of the first, and its ``message``.

    Attributes
    ----------
    new_since
        Fingerprints that were first seen then or later are new; None: no time is known at all.
    """

    new_since: dt.datetime | None


def fingerprints(letters: DeadLetters, new_since: Time | None, every: str | None) -> Fingerprints:
    """List fingerprints; see :meth:`DeadLetters.fingerprints`."""
    since, how = _since(letters, new_since, every)
    new = "FALSE" if since is None else f"coalesce(seen_from >= {literal(since)}, FALSE)"

    def make(source: str) -> str:
        return (
            "WITH grouped AS (SELECT fingerprint, any_value(error) AS error, count(*) AS dead_letters, "
            "count(DISTINCT event_key) AS given_up, count(*) FILTER (role = 'root') AS roots, "
            "count(DISTINCT stream_id) AS streams, "
            "list_sort(list(DISTINCT consumer) FILTER (consumer IS NOT NULL)) AS consumers, "
            "list_sort(list(DISTINCT event_type) FILTER (event_type IS NOT NULL)) AS types, "
            "min(dead_lettered_at) AS first_at, max(dead_lettered_at) AS last_at, "
            f"min({SEEN_FROM}) AS seen_from, arg_min(dead_letter_id, {_ORDER}) AS example, "
            f"arg_min(error_message, {_ORDER}) AS message FROM {source} GROUP BY fingerprint) "
            "SELECT fingerprint, error, dead_letters, given_up, roots, streams, consumers, types, first_at, "
            f"last_at, seen_from, fingerprint IS NOT NULL AND {new} AS new, example, message FROM grouped "
            "ORDER BY new DESC, fingerprint IS NULL, dead_letters DESC, fingerprint"
        )

    notes = []
    ((without,),) = letters._rows("SELECT count(*) FROM letters WHERE fingerprint IS NULL")
    if without:
        notes.append(f"{counted(without, 'dead letter')} tell no error: their fingerprint is NULL")
    if since is not None:
        notes.append(f"new: first seen at {_html.visible(since)} or later{how}")
    result = letters._made(Fingerprints, make, f"Fingerprints of {letters.named}", notes=notes)
    result.new_since = since
    return result


#: Which dead letter of a fingerprint is the first.
_ORDER: Final = f"(coalesce(epoch_us({SEEN_FROM}), 9223372036854775807), dead_letter_id)"


def _since(
    letters: DeadLetters, given: Time | None, every: str | None
) -> tuple[dt.datetime | None, str]:
    if given is not None:
        return parse_time(given, "new_since"), ""
    ((first, last),) = letters._rows(
        f"SELECT epoch_us(min({SEEN_FROM})), epoch_us(max({SEEN_FROM})) FROM letters"
    )
    if first is None:
        return None, ""
    step = choose(letters._database, every, first, last)
    ((start,),) = letters._database.rows(
        f"SELECT make_timestamptz(epoch_us(time_bucket(INTERVAL {text(step)}, make_timestamp({last}))))"
    )
    per = step.removeprefix("1 ")
    return start.astimezone(
        dt.UTC
    ), f", in the last {per} with a dead letter (new_since= says another moment)"
