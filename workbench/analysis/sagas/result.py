"""The result of an analysis of sagas: one row for each, and what is asked of them."""

from __future__ import annotations

import datetime as dt
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workbench import _html
from workbench._sql import literal, text
from workbench.analysis.buckets import choose
from workbench.analysis.ocel import Ocel, write_ocel
from workbench.analysis.sagas import aggregates, flow_times
from workbench.analysis.sagas.instance import Instance, instance
from workbench.analysis.sagas.tables import (
    Durations,
    Funnel,
    Graph,
    OfSagas,
    Outcomes,
    OverTime,
    Variants,
)
from workbench.analysis.sagas.words import OUTCOMES, VIOLATIONS
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Clock, Moment
from workbench.projections.saga import Saga
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.analysis.sagas.find import Work

COLUMNS: Final = (
    *("saga_id", "outcome", "step", "started_at", "last_at", "ended_at", "duration", "events"),
    "violations",
)
OF_EACH: Final = 3
"""So many sagas of each outcome are on the card."""
_WORST: Final = ("failed", "stuck", "timed out", "compensating")


About = TypeVar("About", bound=OfSagas)


class Sagas(Table):
    """The sagas of a log at a moment: one row for each.

    Columns: ``saga_id`` (VARCHAR), ``outcome``, ``step`` (the current one; NULL once it has ended), ``started_at``,
    ``last_at``, ``ended_at`` (TIMESTAMPTZ, UTC; of the start, the last event and the end), ``duration``
    (INTERVAL, from start to end), ``events`` (BIGINT) and ``violations`` (VARCHAR[]: the rules it broke, each
    once). In no order.

    The outcome is the first of these that holds. A *part* is a step, or one value of its ``part`` field; it
    *stands* when it has a success and no compensation after that, and it *has failed* when its last success or
    failure is a failure. A saga has *turned back* when a part has failed or there is a compensation. It is
    *idle* since its last event.

    =============  ===============================================================================================
    completed      the last step is done
    failed         it was cancelled, and a part that can be compensated stands
    compensated    it was cancelled, and nothing stands (or nothing cancels it by name, and all has been undone)
    failed         it turned back, and is idle for longer than the ``compensation_deadline``
    compensating   it turned back
    timed out      it started longer ago than the saga's ``deadline``
    stuck          it is idle for longer than the deadline of the current step
    running        none of these
    =============  ===============================================================================================

    The current step of a saga that turned back is the last one that has a failed part (NULL where none has);
    otherwise it is the one that follows the furthest step with a success.

    Attributes
    ----------
    saga
        The definition.
    moment
        The cut-off that was asked for.
    now
        The time at which deadlines were judged: the one asked for, or that of the log's last event.
    clock
        The clock of all times.
    """

    saga: Saga
    moment: Moment
    now: dt.datetime | None
    clock: Clock
    _work: Work
    _view: View

    # -- all of them -----------------------------------------------------------------------------

    def outcomes(self) -> Outcomes:
        """Count sagas by outcome."""
        values = ", ".join(f"({at}, {text(name)})" for at, name in enumerate(OUTCOMES))
        sql = (
            "SELECT outcome, count(r.outcome) AS sagas, "
            "coalesce(count(r.outcome) / nullif(sum(count(r.outcome)) OVER (), 0), 0) AS share "
            f"FROM (VALUES {values}) o(n, outcome) LEFT JOIN {self._work.tables['rows']} r USING (outcome) "
            "GROUP BY n, outcome ORDER BY n"
        )
        return self._about(Outcomes, sql, f"Outcomes of {self.saga.name!r}")

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> number of sagas."""
        return {row["outcome"]: row["sagas"] for row in self.outcomes().rows()}

    def of(self, *outcomes: str) -> Table:
        """Return the sagas of some outcomes, with the columns of this table."""
        for name in outcomes:
            if name not in OUTCOMES:
                message = f"there is no outcome {name!r}."
                raise ConfigError(message + did_you_mean(name, OUTCOMES))
        listed = ", ".join(map(text, outcomes))
        return self._derived(
            f"FROM {self._stored} WHERE outcome IN ({listed or 'NULL'}) ORDER BY started_at, saga_id",
            f"Sagas of {self.saga.name!r}: {', '.join(outcomes)}",
        )

    def over_time(self, every: str | None = None) -> OverTime:
        """Count sagas by outcome over the time at which they started.

        Parameters
        ----------
        every
            Length of a bucket: ``"1 day"``; by default one that gives about 100 to 200 of them.

        Raises
        ------
        ConfigError
            ``every`` is no length of time, or makes too many buckets.
        """
        rows = self._work.tables["rows"]
        first, last, untimed = self._view.rows(
            "SELECT epoch_us(min(started_at)), epoch_us(max(started_at)), count(*) - count(started_at) "
            f"FROM {rows}"
        )[0]
        step = choose(self._database, every, first, last)
        title = f"Outcomes of {self.saga.name!r}, by the time of their start"
        result = self._about(OverTime, aggregates.over_time(rows, step), title)
        result.every, result.clock = step, self.clock
        if untimed:
            result.notes = (f"{untimed:,} sagas do not say when they started, and are left out",)
        return result

    def funnel(self) -> Funnel:
        """Tell how many sagas got how far, and what became of those that got no further."""
        return self._about(Funnel, aggregates.funnel(self._work), f"Steps of {self.saga.name!r}")

    def durations(self) -> Durations:
        """Measure how long steps take, and the whole."""
        sql = flow_times.durations(self._work)
        return self._about(Durations, sql, f"Durations of {self.saga.name!r}")

    def variants(self, *, repeats: bool = False) -> Variants:
        """Count the different ways that sagas went, most frequent first.

        Parameters
        ----------
        repeats
            Whether an event type that comes several times in a row is listed so often. By default it counts
            once, so that an order of three lines goes the same way as one of two.
        """
        sql = aggregates.variants(self._work, repeats=repeats)
        return self._about(Variants, sql, f"Variants of {self.saga.name!r}")

    def graph(self) -> Graph:
        """Count which event directly follows which."""
        sql = flow_times.graph(self._work)
        return self._about(Graph, sql, f"What follows what in {self.saga.name!r}")

    def stuck(self) -> Table:
        """List the sagas that do not go on by themselves, longest idle first.

        Returns
        -------
        Table
            Those that are stuck, timed out, or failed without an end: ``saga_id``, ``outcome``, ``step``,
            ``idle`` and ``age`` (INTERVAL, from the last event and from the start to now), ``last_event``,
            ``last_at``, ``started_at``, ``events``, ``violations``.
        """
        now = "NULL::TIMESTAMPTZ" if self.now is None else literal(self.now)
        pack = self._work.rules.packing
        kind = self._type_of(pack.code_of("flow[-1]"))
        sql = (
            f"SELECT saga_id, outcome, step, to_microseconds(epoch_us({now}) - epoch_us(last_at)) AS idle, "
            f"to_microseconds(epoch_us({now}) - epoch_us(started_at)) AS age, {kind} AS last_event, last_at, "
            f"started_at, events, violations FROM {self._work.tables['rows']} "
            "WHERE outcome IN ('stuck', 'timed out') OR (outcome = 'failed' AND ended_at IS NULL AND ended_n IS NULL) "
            "ORDER BY idle DESC NULLS LAST, saga_id"
        )
        return self._derived(sql, f"Sagas of {self.saga.name!r} that do not go on")

    def violations(self, *names: str) -> Table:
        """List the rules that were broken, each with the event that shows it.

        ==================================== =====================================================================
        missing compensation                 a part that can be compensated stands in a saga that failed; shown by
                                             its last success
        compensation in the wrong order      a part was undone while one stood that was done later, and that was
                                             undone afterwards; shown by the compensation that came too early
        compensation of what never happened  a compensation of a part without a success before it
        duplicate step                       a success of a part that stands already, or a compensation of one that
                                             is undone already; shown by the second one. Failures may repeat
        event after the end                  any event of the saga after its end
        step skipped                         a required step has no success before the first success of a later one;
                                             shown by that
        ==================================== =====================================================================

        Each rule is applied on its own: one event may break two.

        Parameters
        ----------
        *names
            Only these.

        Returns
        -------
        Table
            ``saga_id``, ``violation``, ``step`` (NULL: the end), ``event_type``, ``event_at``, ``stream_id``,
            ``version``, ``position``, ``event_id``; by saga and position.
        """
        for name in names:
            if name not in VIOLATIONS:
                message = f"there is no violation {name!r}."
                raise ConfigError(message + did_you_mean(name, VIOLATIONS))
        only = f": {', '.join(names)}" if names else ""
        return self._derived(
            aggregates.violations(self._work, names or VIOLATIONS),
            f"Violations in {self.saga.name!r}{only}",
        )

    @property
    def violation_counts(self) -> dict[str, int]:
        """Violation -> in how many sagas; all violations, in a fixed order."""
        rows = self._view.rows(
            f"SELECT unnest(violations) AS violation, count(*) FROM {self._work.tables['rows']} GROUP BY 1"
        )
        found = dict(rows)
        return {name: found.get(name, 0) for name in VIOLATIONS}

    # -- one of them -----------------------------------------------------------------------------

    def instance(self, saga_id: str) -> Instance:
        """Return one saga as bars in time: its steps, its compensations, and what it waits for.

        Raises
        ------
        ConfigError
            There is no such saga; the message names close ones.
        """
        self._require(saga_id)
        return instance(self, saga_id)

    def events(self, saga_id: str) -> Table:
        """Return all events that share a saga's id, in order, those of other types too.

        Raises
        ------
        ConfigError
            There is no such saga.
        """
        self._require(saga_id)
        key = self._view.read(self.saga.correlation).value
        order = "position" if self._work.rules.packing.by_position else f"{self.clock}_at, position"
        sql = f"SELECT * FROM {EVENTS} WHERE {self._view.filter} AND {key} = {text(saga_id)} ORDER BY {order}"
        return Table(self._database, sql, title=f"Events of {saga_id}")

    def ocel(self, path: str | Path, *, overwrite: bool = False) -> Ocel:
        """Write the events of these sagas as an object-centric event log (OCEL 2.0, SQLite).

        Objects are the sagas and the streams that their events are in; process miners open the file.

        Returns
        -------
        Ocel
            The path, and how many events and objects are in it.

        Raises
        ------
        ConfigError
            The file is there already, or its folder is not.
        """
        return write_ocel(self, Path(path), overwrite=overwrite)

    def explore(self) -> Any:
        """Look at the sagas with mouse and keyboard, and open one: its bars in time, and its events.

        Returns
        -------
        workbench.ui.saga_explorer.SagaExplorer
            A widget. ``.value`` holds the sagas as filtered, for the next cell; ``.code`` the Python that gives them.
        """
        # By name: widgets stand above the analyses, and none is imported before one is wanted.
        return importlib.import_module("workbench.ui.saga_explorer").SagaExplorer(self)

    def _require(self, saga_id: str) -> None:
        rows = self._work.tables["rows"]
        if self._view.rows(f"SELECT 1 FROM {rows} WHERE saga_id = {text(str(saga_id))} LIMIT 1"):
            return
        near = self._view.rows(
            f"SELECT saga_id FROM {rows} WHERE contains(saga_id, {text(str(saga_id))}) "
            f"OR jaro_winkler_similarity(saga_id, {text(str(saga_id))}) > 0.85 LIMIT 500"
        )
        message = f"there is no saga {saga_id!r} of {self.saga.name!r} here."
        raise ConfigError(
            message + (did_you_mean(str(saga_id), [row[0] for row in near]) if near else ""),
            hint="the column saga_id of the result lists them",
        )

    # -- looking ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        counts, broken = self.counts, self.violation_counts
        lines = [
            _html.line(self.title),
            "  " + ("   ".join(f"{name} {n:,}" for name, n in counts.items() if n) or "none"),
        ]
        if any(broken.values()):
            lines.append(
                "  broken rules: " + ", ".join(f"{name} {n:,}" for name, n in broken.items() if n)
            )
        names, rows = self._worst()
        if rows:
            lines.append(_html.text_table(names, rows, numeric=[False] * 3 + [False, False, True]))
        lines.append(self._how_to_go_on())
        return "\n".join([*lines, *map(_html.line, self.notes)])

    def _repr_html_(self) -> str:
        counts, broken = self.counts, self.violation_counts
        total = sum(counts.values())
        body = _html.table(
            ["outcome", "sagas", "share"],
            [[name, f"{n:,}", f"{n / total:.2%}"] for name, n in counts.items() if n],
            numeric=[False, True, True],
        )
        if any(broken.values()):
            body += _html.table(
                ["broken rule", "sagas"],
                [[name, f"{n:,}"] for name, n in broken.items() if n],
                numeric=[False, True],
            )
        names, rows = self._worst()
        if rows:
            body += _html.table(names, rows, numeric=[False] * 5 + [True])
        body += _html.note(self._how_to_go_on())
        body += "".join(_html.note(line) for line in self.notes)
        return _html.card(self.title, body, subtitle=f"{total:,} sagas")

    def _worst(self) -> tuple[list[str], list[tuple[object, ...]]]:
        rows = self._view.rows(
            "SELECT saga_id, outcome, step, date_trunc('second', last_at), array_to_string(violations, ', '), events "
            f"FROM {self._work.tables['rows']} WHERE outcome IN ({', '.join(map(text, _WORST))}) "
            f"QUALIFY row_number() OVER (PARTITION BY outcome ORDER BY last_at, saga_id) <= {OF_EACH} "
            f"ORDER BY list_position([{', '.join(map(text, _WORST))}], outcome), last_at, saga_id"
        )
        return ["saga_id", "outcome", "step", "last_at", "violations", "events"], rows

    def _how_to_go_on(self) -> str:
        return ".of('stuck'), .stuck(), .violations(), .funnel(), .instance(saga_id) and .chart() show more"

    def _type_of(self, code: str) -> str:
        return f"[{', '.join(map(text, self.saga.types))}][{code}]"

    def _derived(self, sql: str, title: str) -> Table:
        table = Table(self._database, sql, title=title)
        table._owner = self
        return table

    def _about(self, kind: type[About], sql: str, title: str) -> About:
        table = kind(self._database, sql, title=title)
        table._owner, table.saga, table.sagas = self, self.saga, len(self)
        return table
