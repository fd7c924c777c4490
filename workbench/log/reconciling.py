"""Reconciling: several read models held against the log, explained, and put right when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.analysis.compare import Tolerance
from workbench.analysis.definition import Definition
from workbench.analysis.reconcile import Reconciliation, reconcile
from workbench.analysis.repair import REPAIRED
from workbench.errors import ConfigError
from workbench.log.face import Face
from workbench.moments import Moment, Time
from workbench.projections.fold import Fold
from workbench.projections.projection import Projection
from workbench.sources.read_model import ReadModel


class Reconciling(Face):
    """The verb that may put read models right."""

    def reconcile(
        self,
        definitions: Definition | Iterable[Definition],
        models: ReadModel | Iterable[ReadModel],
        as_of: Time | None = None,
        *,
        apply: Any = None,
        classes: Iterable[str] = REPAIRED,
        tolerance: Mapping[str, Tolerance] | None = None,
        clock: str | None = None,
        position: int | None = None,
    ) -> Reconciliation:
        """Diff and explain several read models, and plan their repair; dry unless ``apply`` is given.

        Parameters
        ----------
        definitions, models
            What each read model should hold, and what it does; in the same order.
        as_of, clock, position
            The moment at which the read models were taken; by default the end of the log.
        apply
            A ``postgresql://`` DSN that may write, or a psycopg connection. The plans of all read models then
            run in one transaction, which touches no other row, is diffed again inside, and rolls back whole
            when anything is not as planned. Stop the projector meanwhile, or let it retry.
        classes
            Whose rows are repaired. Orphaned rows are left for people; name ``"orphaned"`` too to delete them.
        tolerance
            Column -> how far apart values may be.

        Returns
        -------
        Reconciliation
            Rows by class and cause, ``.clusters()``, ``.plans``, ``.script()``.

        Raises
        ------
        ConfigError
            Not as many definitions as read models, or a read model that cannot be repaired.
        RepairError
            The repair was rolled back.

        Examples
        --------
        >>> import workbench as wb
        >>> from workbench.bundled import account_summary, sample
        >>> bank = sample("bank")
        >>> log = wb.open()
        >>> _ = log.load(wb.files(bank.events, name="bank"), progress=False)
        >>> model = wb.read_model(bank.read_model, version="version")
        >>> log.reconcile(account_summary, model).left
        {'account_summary': {'stale': 15, 'missing': 6, 'orphaned': 4, 'corrupted': 14}}
        >>> log.close()
        """
        ours = [definitions] if isinstance(definitions, Projection | Fold) else list(definitions)
        theirs = [models] if isinstance(models, ReadModel) else list(models)
        if len(ours) != len(theirs) or not ours:
            message = f"{len(ours)} definitions and {len(theirs)} read models were given."
            raise ConfigError(
                message, hint="give one definition for each read model, in the same order"
            )
        moment = Moment.of(as_of, clock=clock, position=position)
        return reconcile(
            self._view,
            list(zip(ours, theirs, strict=True)),
            moment,
            apply=apply,
            classes=classes,
            tolerance=tolerance,
        )
