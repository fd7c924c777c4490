"""The rules, in SQL over distinct traces: what stands, what has failed, what is broken.

=============================  ====================================================================================
part                           a step, or one value of its ``part`` field, in one saga
a part *stands*                it has a success, and no compensation after that
a part *has failed*            its last success or failure is a failure
the saga *turned back*         a part has failed, or there is a compensation
*idle*, *age*                  from its last event, and from its start, to the moment
=============================  ====================================================================================

All that follows goes by the order of events. The stages build on each other; each is a query in which the
earlier ones are tables.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workbench._sql import text
from workbench.analysis.sagas.flows import Packing
from workbench.analysis.sagas.words import MISSING, VIOLATIONS
from workbench.projections.saga import Saga

Tables = Mapping[str, str]
Stage = Callable[[Tables], str]

(_, _DISORDER, _UNFOUNDED, _DUPLICATE, _AFTER_END, _SKIPPED) = VIOLATIONS
START_STEP: Final = 0
"""Number of the beginning among the steps; they are counted from 1."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The stages for one saga, at one moment.

    Attributes
    ----------
    now
        The moment, in µs since 1970; None when no time is known.
    """

    saga: Saga
    packing: Packing
    now: int | None

    def stages(self) -> dict[str, Stage]:
        """Return the queries that come after ``flows``, by the names of their tables."""
        return {
            "traces": lambda table: (
                "SELECT row_number() OVER (ORDER BY sagas DESC, trace) AS variant, trace, sagas "
                f"FROM (SELECT trace, count(*) AS sagas FROM {table['flows']} GROUP BY trace)"
            ),
            "moves": self._moves,
            "parts": _parts,
            "ends": self._ends,
            "faults": self._faults,
            "verdicts": self._verdicts,
            "rows": self._rows,
        }

    # -- what is declared, as tables -------------------------------------------------------------

    def roles(self) -> str:
        """Each event type of the saga: ``code``, ``event_type``, ``role``, ``step`` (NULL: the end in failure)."""
        rows = []
        for code, (kind, role, at) in enumerate(self.saga.roles, start=1):
            step = "NULL" if role == "cancelled" else str(START_STEP if at is None else at + 1)
            rows.append(f"({code}, {text(kind)}, {text(role)}, {step})")
        return f"(VALUES {', '.join(rows)}) roles(code, event_type, role, step)"

    def steps(self) -> str:
        """Each step: ``step``, ``name``, whether it is ``compensable`` and ``required``."""
        rows = [
            f"({at}, {text(step.name)}, {bool(step.compensation)}, {not step.optional})"
            for at, step in enumerate(self.saga.steps, start=1)
        ]
        return f"(VALUES {', '.join(rows)}) steps(step, name, compensable, required)"

    def name_of(self, step: str) -> str:
        """Write SQL for the name of a step from its number."""
        return f"{_listed([text(step.name) for step in self.saga.steps])}[{step}]"

    # -- stages ----------------------------------------------------------------------------------

    def _moves(self, table: Tables) -> str:
        """Each event of each trace, with the last success and the last compensation of its part before it."""
        codes = 2**self.packing.code_bits
        before = "(PARTITION BY variant, step, part ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        return (
            "SELECT variant, n, code, event_type, role, step, part, "
            f"max(n) FILTER (role IN ('start', 'success')) OVER {before} AS done_before, "
            f"max(n) FILTER (role = 'compensation') OVER {before} AS undone_before "
            f"FROM (SELECT variant, n, x % {codes} AS code, x // {codes} AS part FROM "
            f"(SELECT variant, unnest(trace) AS x, generate_subscripts(trace, 1) AS n FROM {table['traces']})) "
            f"JOIN {self.roles()} USING (code)"
        )

    def _ends(self, table: Tables) -> str:
        """Each trace: where it started, how far it got, where it ended (NULL: it did not)."""
        last = len(self.saga.steps)
        undone = "NULL"
        if not self.saga.cancelled:
            # It has ended when nothing is left to undo of what was.
            undone = "CASE WHEN undone AND NOT stands THEN last_undone END"
        return (
            "SELECT *, coalesce(least(completed_at, cancelled_at), undone_at) AS ended "
            f"FROM (SELECT *, CASE WHEN completed_at IS NULL AND cancelled_at IS NULL THEN {undone} END AS undone_at "
            "FROM (SELECT variant, max(n) AS events, min(n) FILTER (role = 'start') AS started, "
            f"min(n) FILTER (role = 'success' AND step = {last}) AS completed_at, "
            "min(n) FILTER (role = 'cancelled') AS cancelled_at, "
            "coalesce(max(step) FILTER (role = 'success'), 0) AS furthest, "
            f"max(n) FILTER (role = 'compensation') AS last_undone FROM {table['moves']} GROUP BY variant) "
            "LEFT JOIN (SELECT variant, coalesce(bool_or(stands AND compensable), FALSE) AS stands, "
            "bool_or(first_undone IS NOT NULL) AS undone, max(step) FILTER (failed) AS failed_step "
            f"FROM {table['parts']} JOIN {self.steps()} USING (step) GROUP BY variant) USING (variant))"
        )

    def _faults(self, table: Tables) -> str:
        """Each broken rule of each trace that does not depend on time: which, of which step, shown by which event."""
        stood = "done_before > coalesce(undone_before, 0)"
        found = [
            f"SELECT variant, {text(_DUPLICATE)} AS violation, step, n FROM {table['moves']} "
            f"WHERE (role IN ('start', 'success') AND {stood}) "
            "OR (role = 'compensation' AND undone_before > done_before)",
            f"SELECT variant, {text(_UNFOUNDED)}, step, n FROM {table['moves']} "
            "WHERE role = 'compensation' AND done_before IS NULL",
            # Undone while a part stood that was done later, and that was undone afterwards.
            f"SELECT variant, {text(_DISORDER)}, step, first_undone FROM (SELECT *, max(first_undone) OVER "
            "(PARTITION BY variant ORDER BY first_done RANGE BETWEEN 1 FOLLOWING "
            "AND (first_undone - first_done - 1) FOLLOWING) AS later "
            f"FROM {table['parts']} WHERE first_undone IS NOT NULL) WHERE later > first_undone",
            f"SELECT variant, {text(_AFTER_END)}, step, n FROM {table['moves']} JOIN {table['ends']} USING (variant) "
            "WHERE n > ended",
            f"SELECT variant, {text(_SKIPPED)}, step, reached FROM ({self._skipped(table)})",
        ]
        return " UNION ALL ".join(found)

    def _skipped(self, table: Tables) -> str:
        """Required steps without a success before the first success of a later step."""
        return (
            "SELECT variant, step, reached FROM (SELECT variant, step, required, first_done, min(first_done) OVER "
            "(PARTITION BY variant ORDER BY step ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS reached "
            f"FROM (SELECT variant, step, required FROM {table['traces']} CROSS JOIN {self.steps()}) "
            f"LEFT JOIN (SELECT variant, step, min(n) AS first_done FROM {table['moves']} WHERE role = 'success' "
            "GROUP BY ALL) USING (variant, step)) WHERE required AND reached < coalesce(first_done, reached + 1)"
        )

    def _verdicts(self, table: Tables) -> str:
        """Each trace: all that its sagas have in common; times decide the rest."""
        steps = self.saga.steps
        following = [
            next(at for at in range(done + 1, len(steps) + 1) if not steps[at - 1].optional)
            for done in range(len(steps))
        ]
        waits = [microseconds(step.deadline) for step in steps]
        order = _listed([text(name) for name in VIOLATIONS])
        return (
            "SELECT variant, trace, sagas, events, started, ended, completed_at IS NOT NULL AS completed, "
            "cancelled_at IS NOT NULL AS cancelled, undone_at IS NOT NULL AS undone, "
            "failed_step IS NOT NULL OR last_undone IS NOT NULL AS turned_back, coalesce(stands, FALSE) AS stands, "
            "furthest, CASE WHEN ended IS NOT NULL THEN NULL WHEN failed_step IS NOT NULL OR last_undone IS NOT NULL "
            f"THEN failed_step ELSE {_listed(following)}[furthest + 1] END AS waits_for, "
            f"{_listed(waits)}[{_listed(following)}[furthest + 1]] AS patience, "
            "coalesce(broken, []) AS broken "
            f"FROM {table['traces']} JOIN {table['ends']} USING (variant) LEFT JOIN (SELECT variant, "
            f"list(DISTINCT violation ORDER BY list_position({order}, violation)) AS broken FROM {table['faults']} "
            "GROUP BY variant) USING (variant)"
        )

    def _rows(self, table: Tables) -> str:
        """Each saga; the first line of ``outcome`` that fits is its outcome."""
        at = {name: self.packing.us_of(f"flow[{name}]") for name in ("started", "events", "ended")}
        now = "NULL::BIGINT" if self.now is None else str(self.now)
        whole = microseconds(self.saga.deadline)
        back = microseconds(self.saga.compensation_deadline)
        return (
            "SELECT saga_id, outcome, "
            f"{self.name_of('waits_for')} AS step, make_timestamptz(started_us) AS started_at, "
            "make_timestamptz(last_us) AS last_at, make_timestamptz(ended_us) AS ended_at, "
            "to_microseconds(ended_us - started_us) AS duration, events, "
            f"CASE WHEN outcome = 'failed' AND stands THEN list_prepend({text(MISSING)}, broken) ELSE broken END "
            "AS violations, variant, flow, furthest, ended AS ended_n FROM (SELECT *, CASE "
            "WHEN completed THEN 'completed' "
            "WHEN cancelled AND stands THEN 'failed' "
            "WHEN cancelled OR undone THEN 'compensated' "
            f"WHEN turned_back AND {now} - last_us > {back} THEN 'failed' "
            "WHEN turned_back THEN 'compensating' "
            f"WHEN {now} - started_us > {whole} THEN 'timed out' "
            f"WHEN {now} - last_us > patience THEN 'stuck' "
            "ELSE 'running' END AS outcome FROM (SELECT saga_id, flow, verdicts.* EXCLUDE (trace), "
            f"{at['started']} AS started_us, {at['events']} AS last_us, {at['ended']} AS ended_us "
            f"FROM {table['flows']} JOIN {table['verdicts']} verdicts USING (trace) WHERE started IS NOT NULL))"
        )


def _parts(table: Tables) -> str:
    """Each part of each trace: its first and last success, failure and compensation."""
    return (
        "SELECT *, coalesce(last_done > coalesce(last_undone, 0), FALSE) AS stands, "
        "coalesce(last_failed > coalesce(last_done, 0), FALSE) AS failed FROM (SELECT variant, step, part, "
        "min(n) FILTER (role = 'success') AS first_done, max(n) FILTER (role = 'success') AS last_done, "
        "max(n) FILTER (role = 'failure') AS last_failed, "
        "min(n) FILTER (role = 'compensation' AND done_before IS NOT NULL) AS first_undone, "
        "max(n) FILTER (role = 'compensation') AS last_undone "
        f"FROM {table['moves']} WHERE step > {START_STEP} GROUP BY ALL)"
    )


def microseconds(length: dt.timedelta | None) -> str:
    """Write a length of time in SQL; NULL for none, which nothing is longer than."""
    return "NULL::BIGINT" if length is None else str(length // dt.timedelta(microseconds=1))


def _listed(values: Sequence[object]) -> str:
    return f"[{', '.join(map(str, values))}]"
