"""Reconcile: several read models diffed, explained, and, when asked, repaired in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from workbench import _html
from workbench._sql import text
from workbench.analysis.compare import Tolerance
from workbench.analysis.definition import Definition
from workbench.analysis.diff import diff
from workbench.analysis.explain import Explanation, explain
from workbench.analysis.explain.words import counted
from workbench.analysis.repair import REPAIRED, Repair, plan
from workbench.errors import ConfigError, RepairError
from workbench.moments import Moment
from workbench.projections.projection import Projection
from workbench.sources.read_model import ReadModel
from workbench.store.table import Table
from workbench.store.view import View

LINES: Final = 4
"""So many clusters of each read model are on the card."""


class Reconciliation(Table):
    """Read models held against the log: what is wrong in each, why, and what is to be done.

    Columns: ``model``, ``class``, ``cause`` (the simplest of each row; NULL for rows that match or are ahead),
    ``action``, ``rows``. Read models come in the order in which they were given.

    Attributes
    ----------
    explanations
        Of each read model.
    plans
        What would put each right.
    applied
        Rows that were changed, by read model; None where nothing was written.
    after
        Rows by class and read model after the repair, as they were read inside its transaction; None where
        nothing was written.
    """

    explanations: tuple[Explanation, ...]
    plans: tuple[Repair, ...]
    applied: Mapping[str, int] | None = None
    after: Mapping[str, Mapping[str, int]] | None = None

    @property
    def left(self) -> dict[str, dict[str, int]]:
        """Read model -> class -> rows that do not match: after the repair, where one was run."""
        counts = self.after or {one.diff.model.name: one.diff.counts for one in self.explanations}
        return {
            name: {kind: rows for kind, rows in found.items() if rows and kind != "match"}
            for name, found in counts.items()
        }

    def clusters(self) -> Table:
        """Gather the clusters of all read models: ``model``, then as ``explanation.clusters()`` has them."""
        parts = []
        kept: list[object] = []
        for explanation in self.explanations:
            one = explanation.clusters()
            kept.append(one)
            parts.append(
                f"SELECT {text(explanation.diff.model.name)} AS model, * FROM ({one._query})"
            )
        table = Table(
            self._database,
            f"FROM ({' UNION ALL '.join(parts)}) ORDER BY rows DESC",
            title="What went wrong",
        )
        table._owner = kept
        return table

    def script(self) -> str:
        """Return the plans of all read models as SQL, to be reviewed and run by hand."""
        return "\n".join(
            f"-- {_html.line(one.table)}\n{one.script()}" for one in self.plans if one.changes
        )

    def __repr__(self) -> str:
        lines = [self.title]
        for name, counts, sentences in self._told():
            lines.append(f"  {_html.line(name)}: {counts}")
            lines += [f"    - {_html.line(sentence)}" for sentence in sentences]
        return "\n".join([*lines, *(f"  {_html.line(line)}" for line in self.what_next())])

    def _repr_html_(self) -> str:
        body = ""
        for name, counts, sentences in self._told():
            listed = "".join(f"<li>{_html.escape_text(sentence)}</li>" for sentence in sentences)
            body += f"<div><b>{_html.escape(name)}</b>: {_html.escape_text(counts)}</div>"
            body += f'<ul style="margin:2px 0;padding-left:22px">{listed}</ul>' if listed else ""
        body += "".join(_html.note(line) for line in self.what_next())
        return _html.card(self.title, body)

    def _told(self) -> list[tuple[str, str, list[str]]]:
        told = []
        for one in self.explanations:
            counts = {name: rows for name, rows in one.diff.counts.items() if rows}
            said = ", ".join(f"{rows:,} {name}" for name, rows in counts.items()) or "no rows"
            sentences = [row["says"] for row in one.clusters().rows(LINES)]
            told.append((one.diff.model.name, said, sentences))
        return told

    def what_next(self) -> list[str]:
        """Say what was done, or what could be."""
        if self.applied is not None and self.after is not None:
            lines = [
                f"{counted(rows, 'row')} of {name} repaired" for name, rows in self.applied.items()
            ]
            for name, counts in self.left.items():
                said = ", ".join(f"{rows:,} {kind}" for kind, rows in counts.items())
                lines.append(f"{name} afterwards: {said or 'no differences'}")
            return lines
        if any(one.changes for one in self.plans):
            return [
                "dry: nothing was written; .script() is the SQL, apply='postgresql://…' runs it in one transaction"
            ]
        return ["nothing to repair"]


def reconcile(
    view: View,
    pairs: Sequence[tuple[Definition, ReadModel]],
    moment: Moment,
    *,
    apply: Any = None,
    classes: Iterable[str] = REPAIRED,
    tolerance: Mapping[str, Tolerance] | None = None,
) -> Reconciliation:
    """Diff and explain several read models; with ``apply``, repair them in one transaction.

    Raises
    ------
    ConfigError
        A read model that is no table cannot be repaired.
    RepairError
        The repair was rolled back whole.
    """
    chosen = tuple(classes)
    if apply is not None:
        _check_tables(pairs)
    explanations = [
        explain(diff(view, definition, model, moment, tolerance=_of(tolerance, definition)))
        for definition, model in pairs
    ]
    plans = [plan(one, classes=chosen) for one in explanations]
    applied, after = None, None
    if apply is not None:
        applied, after = _applied(view, explanations, plans, moment, apply, chosen, tolerance)
    result = Reconciliation(
        view.database,
        "-- gathered from several diffs",
        title=f"{counted(len(pairs), 'read model')} against the log",
    )
    result._stored = view.database.keep_arrow(_rows(explanations, plans), result, "reconciled")
    result.explanations, result.plans = tuple(explanations), tuple(plans)
    result.applied, result.after = applied, after
    return result


def _check_tables(pairs: Sequence[tuple[Definition, ReadModel]]) -> None:
    for _, model in pairs:
        is_postgres = isinstance(model.origin, str) and model.origin.startswith(
            ("postgresql://", "postgres://")
        )
        if not is_postgres or model.table is None:
            message = (
                f"{model.name} was not read from a table in Postgres, and is not repaired there."
            )
            raise ConfigError(
                message, hint="leave apply= out, review .script(), and run it where the table is"
            )


def _of(
    tolerance: Mapping[str, Tolerance] | None, definition: Definition
) -> Mapping[str, Tolerance] | None:
    """The tolerances of one definition's columns, where several are reconciled with one mapping."""
    if tolerance is None:
        return None
    names = (
        set(definition.columns)
        if isinstance(definition, Projection)
        else set(definition.row(definition.start()))
    )
    return {name: value for name, value in tolerance.items() if name in names}


def _applied(
    view: View,
    explanations: Sequence[Explanation],
    plans: Sequence[Repair],
    moment: Moment,
    target: Any,
    classes: tuple[str, ...],
    tolerance: Mapping[str, Tolerance] | None,
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Run the plans in one transaction, diff again inside it, and roll back unless that is as planned."""
    from workbench.sources.postgres.repairing import transaction

    applied: dict[str, int] = {}
    after: dict[str, dict[str, int]] = {}
    with transaction(target) as writer:
        for explanation, one in zip(explanations, plans, strict=True):
            model = explanation.diff.model
            applied[model.name] = writer.change(str(model.table), one.changes) if one.changes else 0
            inside = replace(model, origin=writer.rows(str(model.table)), table=None)
            again = diff(
                view,
                explanation.diff.definition,
                inside,
                moment,
                tolerance=_of(tolerance, explanation.diff.definition),
            )
            after[model.name] = again.counts
            _check(model.name, explanation.diff.counts, after[model.name], classes)
    return applied, after


def _check(
    name: str, before: Mapping[str, int], after: Mapping[str, int], classes: tuple[str, ...]
) -> None:
    """See that what was to be repaired is, and that nothing else has changed."""
    for kind, rows in after.items():
        expected = 0 if kind in classes else before[kind]
        if kind != "match" and rows != expected:
            message = f"{name}: after the repair {rows:,} rows were {kind}, where {expected:,} were expected."
            raise RepairError(
                message,
                hint="everything was rolled back; a projector may be writing meanwhile, or the table rounds values: diff it again",
            )


def _rows(explanations: Sequence[Explanation], plans: Sequence[Repair]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for explanation, one in zip(explanations, plans, strict=True):
        name = explanation.diff.model.name
        actions = {row["class"]: row["action"] for row in one.summary().rows()}
        counts = explanation.diff.counts
        rows += [
            {"model": name, "class": kind, "cause": None, "action": None, "rows": counts[kind]}
            for kind in ("match", "ahead")
            if counts[kind]
        ]
        rows += [
            {
                "model": name,
                "class": row["class"],
                "cause": row["cause"],
                "action": actions[row["class"]],
                "rows": row["rows"],
            }
            for row in explanation.summary().rows()
        ]
    names = {name: pa.string() for name in ("model", "class", "cause", "action")}
    return pa.Table.from_pylist(rows, pa.schema(names | {"rows": pa.int64()}))
