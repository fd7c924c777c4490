"""The sending of a plan: what an earlier sender left open is cleared up first, then message by message, noted."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workbench import _html
from workbench._sql import text
from workbench.analysis.dead_letters.base import LETTERS
from workbench.analysis.dead_letters.groups import counted
from workbench.analysis.redrive.plan import FAILING, RedrivePlan, plan
from workbench.errors import ConfigError
from workbench.sources.dead_letters.original import original_headers, original_values
from workbench.store import redrives as journal
from workbench.store.database import Database

if TYPE_CHECKING:
    from workbench.sources.kafka.redrive import Found, Message, Redriver

_MOST: Final = 200
"""Messages between two entries in the journal."""
_SECONDS: Final = 5.0
"""No longer than this does a sender send without an entry."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """What one call of ``plan.send`` did.

    Attributes
    ----------
    redrive_id
        The mark of its messages; None: there was nothing to send.
    sent
        Messages that were sent now.
    found
        Messages of an earlier sender, that broke off, which stood in the topic already.
    before
        Events of the plan that were sent by then, and are not repeated.
    held_back
        Events that were not sent, and will not be: the plan says why.
    topics
        Where to.
    """

    redrive_id: str | None
    sent: int
    found: int
    before: int
    held_back: int
    topics: tuple[str, ...]

    def __repr__(self) -> str:
        where = f" to {', '.join(self.topics)}" if self.topics else ""
        lines = [
            f"Re-drive {self.redrive_id or '(nothing to send)'}: sent {counted(self.sent, 'message')}{where}"
        ]
        if self.found:
            lines.append(
                f"  {self.found:,} more stood there already: an earlier sender had broken off"
            )
        if self.before:
            lines.append(f"  {self.before:,} had been sent before, and were not repeated")
        if self.held_back:
            lines.append(f"  {self.held_back:,} held back: the plan says why")
        lines.append("  log.redrives() tells what became of them, after the next loads")
        return "\n".join(map(_html.line, lines))


def send(
    chosen: RedrivePlan,
    broker: str,
    *,
    rate: float | None,
    failing: bool,
    timeout: float,
    options: Mapping[str, Any],
) -> Redriven:
    """Send a plan; see :meth:`RedrivePlan.send`."""
    from workbench.sources.kafka.redrive import Redriver

    database = chosen._database
    _check(database, rate)
    place = ",".join(host.strip() for host in broker.split(","))
    if "@" in place or not place:
        message = "plan.send wants the broker's address, without a user."
        raise ConfigError(message, hint="plan.send('broker:9092', sasl_plain_username=…)")
    with Redriver(place, timeout=timeout, options=options) as redriver:
        open_runs = journal.unfinished(database, place)
        found, resumed = _clear_up(database, redriver, open_runs)
        if found or resumed:
            chosen = plan(chosen.letters, chosen.definition, chosen.to)
        rows = _to_send(chosen, failing=failing)
        counts = chosen.counts
        topics = sorted({row[2] for row in rows})
        before = counts.get("sent", 0)
        held = sum(counts.values()) - before - len(rows)
        if not rows:
            return Redriven(resumed, 0, len(found), before, held, ())
        redriver.check_topics(topics)
        redrive_id = resumed or uuid.uuid4().hex[:16]
        entries = [(n, source, of, topic) for n, _, topic, source, of, *_ in rows]
        journal.begin(database, redrive_id, place, redriver.ends(topics), entries)
        sent = 0
        for piece, is_last in _pieces(rows, rate):
            arrived, problem = redriver.send(_messages(database, piece), redrive_id, rate)
            sent += len(arrived)
            journal.note(database, redrive_id, _noted(arrived), ended=is_last and problem is None)
            if problem is not None:
                message = f"{problem.args[0]}\n  {sent:,} of {len(rows):,} messages of this re-drive are sent and noted"
                raise type(problem)(message) from problem.__cause__
    return Redriven(redrive_id, sent, len(found), before, held, tuple(topics))


def _check(database: Database, rate: float | None) -> None:
    if database.path is None or database.read_only:
        what = "is in memory" if database.path is None else "was opened read-only"
        message = f"a re-drive keeps a journal in the log's file, and {database.label} {what}."
        raise ConfigError(message, hint="open a file for writing: wb.open('incident.duckdb')")
    if rate is not None and not rate > 0:
        message = f"rate={rate!r} is no number of messages a second."
        raise ConfigError(message, hint="pass a number above 0, or None for no limit")


def _clear_up(
    database: Database, redriver: Redriver, runs: Sequence[journal.Run]
) -> tuple[list[Found], str | None]:
    """Ask the topics what earlier senders, which broke off, had sent; return it, and the re-drive to go on with."""
    now = dt.datetime.now(dt.UTC)
    for run in runs:
        if journal.is_alive(run, now):
            message = f"the re-drive {run.redrive_id} is being sent by {run.sender}."
            raise ConfigError(message, hint="wait for it to end; then plan anew")
    found: list[Found] = []
    for run in runs:
        open_topics = journal.open_topics(database, [run.redrive_id])
        redriver.check_topics(open_topics)
        since = {topic: run.ends[topic] for topic in open_topics}
        stood = redriver.arrived([run.redrive_id], since) if since else []
        journal.settle(database, run.redrive_id, _noted(stood))
        found += stood
    return found, runs[0].redrive_id if runs else None


def _noted(found: Iterable[Found]) -> list[journal.Arrived]:
    return [journal.Arrived(**dataclasses.asdict(one)) for one in found]


def _to_send(chosen: RedrivePlan, *, failing: bool) -> list[tuple[Any, ...]]:
    also = ""
    if failing:
        listed = ", ".join(map(text, FAILING))
        also = f" OR (state = 'held back' AND sendable AND verdict IN ({listed}))"
    return chosen._run(
        "SELECT n, dead_letter_id, to_topic, source, place, origin_partition, origin_topic, stream_id "
        f"FROM {chosen._stored} WHERE state = 'to send'{also} ORDER BY n"
    ).fetchall()


def _pieces(
    rows: Sequence[tuple[Any, ...]], rate: float | None
) -> Iterable[tuple[Sequence[tuple[Any, ...]], bool]]:
    size = _MOST if rate is None else max(1, min(_MOST, int(rate * _SECONDS)))
    for first in range(0, len(rows), size):
        yield rows[first : first + size], first + size >= len(rows)


def _messages(database: Database, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    """Read the dead letters of some rows, and make of each what it was before."""
    from workbench.sources.kafka.redrive import Message

    ids = ", ".join(str(row[1]) for row in rows)
    kept = {
        row[0]: row[1:]
        for row in database.rows(
            f"SELECT dead_letter_id, format, raw, key, headers FROM {LETTERS} WHERE dead_letter_id IN ({ids})"
        )
    }
    values = original_values([kept[row[1]][0] for row in rows], [kept[row[1]][1] for row in rows])
    messages = []
    for (_, letter, topic, _, of, partition, origin, stream), value in zip(
        rows, values, strict=True
    ):
        _, _, key, headers = kept[letter]
        if value is None:  # the plan looked with other eyes than the reader
            message = f"the original event of dead letter {letter} ({of}) cannot be read; nothing of this batch was sent."
            raise ConfigError(
                message, hint="leave it out: letters.where(condition='dead_letter_id <> …')"
            )
        pairs = [(header["name"], header["value"]) for header in headers or ()]
        messages.append(
            Message(
                of=of,
                topic=topic,
                partition=partition if topic == origin else None,
                key=key,
                value=value,
                headers=original_headers(pairs),
                order_by=stream,
            )
        )
    return messages
