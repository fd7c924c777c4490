"""Dead letters: what consumers gave up, and every question about it that the log can answer."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from workbench import _html
from workbench._sql import any_of, ident
from workbench.analysis.dead_letters import base, fingerprints, rates, summaries
from workbench.analysis.dead_letters.groups import By, counted, percent
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Time
from workbench.store.query import check_query
from workbench.store.table import Table
from workbench.store.view import View

if TYPE_CHECKING:
    from workbench.analysis.definition import Definition
    from workbench.analysis.redrive.plan import RedrivePlan

T = TypeVar("T", bound=Table)

MOST_ON_CARD: Final = 6
"""So many types, and so many fingerprints, are on the card."""

_FILTERS: Final = {
    "consumer": "consumer",
    "types": "event_type",
    "error_class": "error_class",
    "fingerprint": "fingerprint",
    "format": "format",
    "role": "role",
    "stream": "stream_id",
    "source": "source",
}


class DeadLetters(Table):
    """Dead letters, one row each, in the order in which they were loaded.

    Columns: ``dead_letter_id`` (BIGINT); ``dead_lettered_at`` (TIMESTAMPTZ, UTC: when it was given up; NULL
    where the format does not keep it); ``consumer``; ``event_type``, ``stream_id``, ``version`` (as the log has
    them, where it has the event); ``error`` and its ``fingerprint`` (see
    :mod:`~workbench.analysis.dead_letters.fingerprint`), ``error_class``, ``error_message``; ``attempts``;
    ``role`` (``root``, ``blocked`` or ``follower``, see :mod:`~workbench.analysis.dead_letters.base`);
    ``event_id``, and the event's ``position`` in this log, ``occurred_at`` and ``recorded_at`` (NULL: the log
    does not have it); ``origin_topic``, ``origin_partition``, ``origin_offset``, ``origin_at``;
    ``correlation_id``, ``causation_id``; ``sequence_id``, ``sequence_index``; ``redrive_id``, ``redrive_of``,
    ``redrives`` (how often it had been re-driven before); ``format``, ``source``, ``source_position``,
    ``load_id``, ``parse_error``; and ``event_key``, equal for dead letters of one event. NULL means unknown,
    never 0.
    """

    _view: View

    @classmethod
    def of(cls, view: View) -> Self:
        """Read the dead letters of a view."""
        result = cls(view.database, base.letters_sql(view), title=_title(view))
        result._view = view
        whole = base.keep_all(view.database, result)
        shown = ", ".join(map(ident, base.SHOWN))
        if not view.conditions:
            kept = f"SELECT {shown} FROM {whole} ORDER BY dead_letter_id"
            unknown = 0
        else:
            members = view.database.keep(
                f"SELECT dead_letter_id, ({view.filter}) AS is_in FROM ({base.as_events_sql(view, whole)})",
                result,
                "members",
            )
            kept = (
                f"SELECT {shown} FROM {whole} SEMI JOIN (FROM {members} WHERE is_in) "
                "USING (dead_letter_id) ORDER BY dead_letter_id"
            )
            unknown = int(view.rows(f"SELECT count(*) FROM {members} WHERE is_in IS NULL")[0][0])
        result._stored = view.database.keep(kept, result, "dead_letters")
        result.notes = tuple(_notes(result, unknown))
        return result

    # -- narrowing -------------------------------------------------------------------------------

    def where(
        self,
        *,
        consumer: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        error_class: str | Iterable[str] | None = None,
        fingerprint: str | Iterable[str] | None = None,
        format: str | Iterable[str] | None = None,
        role: str | Iterable[str] | None = None,
        stream: str | Iterable[str] | None = None,
        source: str | Iterable[str] | None = None,
        condition: str | None = None,
    ) -> Self:
        """Narrow by any of the columns (one value, or several of which any will do), or by a SQL condition.

        The events that rates are reckoned against stay those of the log, or view, they came from.

        Raises
        ------
        ConfigError
            There is no such role.
        QueryError
            The condition is wrong, or would write.
        """
        given = locals()
        conditions, words = [], []
        for argument, column in _FILTERS.items():
            if given[argument] is None:
                continue
            wanted = given[argument]
            values = [wanted] if isinstance(wanted, str) else list(wanted)
            if argument == "role":
                _check_roles(values)
            conditions.append(any_of(column, values))
            words.append(f"{column} = {' or '.join(values)}")
        if condition is not None:
            # Without the parentheses too: 'TRUE) OR (TRUE' would reach beyond its own pair.
            check_query(f"SELECT CASE WHEN {condition}\nTHEN 1 END FROM letters")
            conditions.append(f"({condition}\n)")
            words.append(condition)
        if not conditions:
            return self
        chosen = " AND ".join(conditions)
        title = f"{self.title}, {'; '.join(words)}"
        narrower = self._made(
            type(self),
            lambda letters: f"FROM {letters} WHERE {chosen} ORDER BY dead_letter_id",
            title,
        )
        narrower._view = self._view
        narrower.notes = tuple(_notes(narrower, 0))
        return narrower

    # -- asking ----------------------------------------------------------------------------------

    def by(self, by: By = "event_type") -> Table:
        """Count dead letters by a column, with the rate and its denominator.

        Parameters
        ----------
        by
            ``"event_type"``, ``"consumer"``, ``"error_class"``, ``"error"``, ``"format"``, ``"origin_topic"``,
            ``"source"`` or ``"role"``.

        Returns
        -------
        Table
            The column; ``dead_letters``; ``given_up``, distinct events among them; ``events``, how many events
            of the same types the log has (NULL where a type is unknown); ``rate`` = ``given_up`` / ``events``;
            ``streams``, ``fingerprints`` (numbers); ``first_at``, ``last_at`` (UTC, of those that say when).
            Most events given up first.
        """
        return rates.summary(self, by)

    def over_time(
        self,
        *,
        every: str | None = None,
        by: By = "event_type",
        top: int = 8,
        clock: str | None = None,
    ) -> rates.DeadLetterRates:
        """Reckon the rate of dead letters in each bucket of time, with its denominator.

        Parameters
        ----------
        every
            Length of a bucket, as ``"1 hour"``; by default one that gives 100 to 200 of them.
        by
            As in :meth:`by`.
        top
            So many of the groups with most dead letters; the others are gathered.
        clock
            ``"recorded"``: dead letters by when they were given up, beside events by when they were recorded.
            ``"occurred"``: both by when the event happened, so that each event given up is among those it is
            divided by. By default recorded, where any dead letter says when it was given up.

        Returns
        -------
        DeadLetterRates
            ``.chart()`` draws it.
        """
        return rates.over_time(self, every=every, by=by, top=top, clock=clock)

    def fingerprints(
        self, new_since: Time | None = None, *, every: str | None = None
    ) -> fingerprints.Fingerprints:
        """List the ways in which events failed, new ones first.

        Parameters
        ----------
        new_since
            A fingerprint first seen at this moment or later is new. By default: in the last bucket of
            ``every`` in which anything was given up.
        every
            Length of that bucket; by default one that gives 100 to 200 of them.
        """
        return fingerprints.fingerprints(self, new_since, every)

    def attempts(self) -> summaries.Attempts:
        """Count dead letters by attempts: ``attempts`` (NULL: unknown, last), ``dead_letters``, ``share``."""
        return summaries.attempts(self)

    def time_to_dead_letter(self, by: By = "consumer") -> Table:
        """Tell how long it took from an event's arrival to giving it up.

        Returns
        -------
        Table
            The column; ``dead_letters``; ``known``, of how many it can be told; ``p50``, ``p90``, ``p99`` and
            ``longest`` (durations; NULL: n/a); ``note``, why it cannot be told of the others.
        """
        return summaries.time_to_dead_letter(self, by)

    def streams(self) -> Table:
        """List the streams that are affected, and what was processed of each since: the risk of a re-drive.

        Returns
        -------
        Table
            ``stream_id``; ``dead_letters``; ``given_up``, distinct events; ``roots``; ``first_version``,
            ``first_position`` of those that the log has; ``later_events``: events of the stream behind the first
            one given up that are no dead letters themselves (NULL: the log does not have the event, nor its
            version); ``last_event_at`` (UTC). Most later events first.
        """
        return summaries.streams(self)

    def messages(self) -> Table:
        """Return what was received: ``dead_letter_id``, ``key``, ``headers``, ``data``, ``error_stack``, ``raw``."""
        return self._made(
            Table,
            lambda letters: (
                "SELECT dead_letter_id, d.key, d.headers, d.data, d.error_stack, d.raw "
                f"FROM {base.LETTERS} d SEMI JOIN {letters} USING (dead_letter_id) ORDER BY dead_letter_id"
            ),
            f"Messages of {self.named}",
            keep=False,
        )

    def redrive(
        self, definition: Definition | None = None, *, to: str | None = None
    ) -> RedrivePlan:
        """Plan to send the events again; nothing is sent before ``plan.send(…)``.

        Parameters
        ----------
        definition
            A Projection or a Fold: each event is tried in it first, in its place among the events of its row
            and behind them, where a re-driven event arrives.
        to
            The topic to send to; by default each event's own. A topic of its own for the one consumer that
            failed spares the others the repetition.

        Returns
        -------
        RedrivePlan
            One row for each event, in the order of origin.
        """
        from workbench.analysis.redrive.plan import plan

        return plan(self, definition, to)

    def explore(
        self,
        definition: Definition | None = None,
        *,
        to: str | None = None,
        new_since: Time | None = None,
    ) -> Any:
        """Look at the dead letters with mouse and keyboard, open one, and see what a re-drive would do.

        Parameters
        ----------
        definition, to
            For the plan of a re-drive, as in :meth:`redrive`. The widget sends nothing.
        new_since
            As in :meth:`fingerprints`.

        Returns
        -------
        workbench.ui.dead_letter_explorer.DeadLetterExplorer
            A widget. ``.value`` holds the dead letters as filtered, for the next cell; ``.code`` the Python that
            gives them.
        """
        # By name: widgets stand above the analyses, and none is imported before one is wanted.
        ui = importlib.import_module("workbench.ui.dead_letter_explorer")
        return ui.DeadLetterExplorer(self, definition, to, new_since)

    # -- looking ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = [
            _html.line(self.title),
            *(f"  {name:<12} {_html.line(said)}" for name, said in self.facts()),
        ]
        for names, numeric, rows in self._tables():
            lines.append(_html.text_table(names, rows, numeric=numeric))
        return "\n".join([*lines, *map(_html.line, self.notes)])

    def _repr_html_(self) -> str:
        body = _html.facts(self.facts())
        for names, numeric, rows in self._tables():
            body += _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(note) for note in self.notes)
        return _html.card(self.title, body)

    def facts(self) -> list[tuple[str, str]]:
        """Return what there is to say about them all: (name, words)."""
        count, events, first, last, consumers, ways = self._rows(
            "SELECT count(*), count(DISTINCT event_key), min(dead_lettered_at), max(dead_lettered_at), "
            "count(DISTINCT consumer), count(DISTINCT fingerprint) FROM letters"
        )[0]
        roles = dict(self._rows("SELECT role, count(*) FROM letters GROUP BY role"))
        span = "none says when"
        if first is not None:
            span = f"{_html.visible(first)} to {_html.visible(last)}"
        return [
            ("letters", f"{count:,} of {counted(events, 'event')}; {counted(ways, 'fingerprint')}"),
            ("roles", ", ".join(f"{roles.get(role, 0):,} {role}" for role in base.ROLES)),
            ("given up", f"{span}; {counted(consumers, 'consumer')} named"),
        ]

    def _tables(self) -> list[tuple[list[str], list[bool], list[list[object]]]]:
        if not len(self):
            return []
        numbers = ["dead_letters", "given_up", "events"]
        by_type = [
            [row["event_type"], *(row[name] for name in numbers), percent(row["rate"])]
            for row in self.by("event_type").rows(MOST_ON_CARD)
        ]
        names = ["fingerprint", "error", "dead_letters", "new"]
        errors = [[row[name] for name in names] for row in self.fingerprints().rows(MOST_ON_CARD)]
        return [
            (["event_type", *numbers, "rate"], [False, True, True, True, True], by_type),
            (names, [False, False, True, False], errors),
        ]

    @property
    def named(self) -> str:
        """The title, as it stands inside a sentence."""
        return self.title[:1].lower() + self.title[1:]

    # -- inside ----------------------------------------------------------------------------------

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask these dead letters, which the query calls ``letters``."""
        return self._database.rows(f"WITH letters AS (FROM {self._stored}) {sql}")

    def _made(
        self,
        kind: type[T],
        make: Callable[[str], str],
        title: str,
        *,
        notes: Iterable[str] = (),
        keep: bool = True,
    ) -> T:
        """Make a result of these rows: computed from what is kept, with a query that needs nothing kept."""
        made = kind(self._database, make(f"(\n{self.sql}\n)"), title=title, notes=tuple(notes))
        if keep:
            made._stored = self._database.keep(make(str(self._stored)), made, "dead_letters")
        else:
            made._owner = self
        return made


def _title(view: View) -> str:
    return "Dead letters" + (f", {'; '.join(view.words)}" if view.words else "")


def _notes(letters: DeadLetters, unknown: int) -> Iterator[str]:
    rows, unread, formatless, unlinked = letters._rows(
        "SELECT count(*), count(parse_error), count(*) - count(format), count(*) - count(position) FROM letters"
    )[0]
    if not rows and not letters._view.rows(f"SELECT 1 FROM {base.LETTERS} LIMIT 1"):
        yield "no dead letters are loaded: log.load(wb.dead_letters(…))"
    if unknown:
        one = unknown == 1
        yield (
            f"{counted(unknown, 'dead letter')} {'does' if one else 'do'} not say enough to tell whether "
            f"{'it belongs' if one else 'they belong'} to this view, and {'is' if one else 'are'} left out"
        )
    if formatless:
        yield f"of {formatless:,} no format is recognised"
    if unread:
        yield f"of {unread:,} something could not be read: parse_error says what"
    if unlinked:
        yield f"the events of {unlinked:,} are not in this log, or cannot be told"


def _check_roles(values: Iterable[str]) -> None:
    for value in values:
        if value not in base.ROLES:
            message = f"role={value!r}: a dead letter is {', '.join(base.ROLES)}."
            raise ConfigError(message + did_you_mean(value, base.ROLES))
