"""Versions: payloads of old versions, read as new ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from workbench.analysis.census import Census
from workbench.analysis.census import census as take_census
from workbench.analysis.definition import Definition
from workbench.analysis.impact import Impact, against, of_definitions, of_upcasters
from workbench.analysis.migration_rules import Reading, migration_rules
from workbench.analysis.whatif import Which, what_if
from workbench.errors import ConfigError
from workbench.log.face import Face
from workbench.projections.engines.upcast_sql import Upcasters
from workbench.projections.fold import Fold
from workbench.projections.projection import Projection
from workbench.projections.upcasting import Upcaster


class Versions(Face):
    """The verbs for what changed: payloads, definitions, events."""

    def upcast(self, *upcasters: Upcaster) -> Self:
        """Return the log read through upcasters; what comes back has the same face.

        Nothing is written. Replays, histories, diffs and notes read every field as it is after the last
        upcaster of its chain. ``data`` and ``schema_version`` in :meth:`df`, :meth:`sql` and the conditions
        of :meth:`where` are those of the new version; conditions that narrowed the log before stay about
        what is stored. :meth:`health`, :meth:`fingerprint` and :meth:`timeline` tell of events as stored.

        Parameters
        ----------
        upcasters
            :class:`Upcaster` values, in any order; they are chained by version. Those of an earlier
            ``upcast`` are kept.

        Raises
        ------
        ConfigError
            Two begin at one (type, version), or the chains of a type have a gap or go round in a circle.
        """
        known = self._view.upcasters
        more = (
            known.with_more(upcasters) if isinstance(known, Upcasters) else Upcasters.of(upcasters)
        )
        more.check(self._view.database)
        return type(self)(self._view.upcast(more))

    def migration_rules(
        self,
        *,
        versions: Mapping[str, str] | None = None,
        readings: Mapping[str, Reading] | None = None,
    ) -> tuple[Upcaster, ...]:
        """Read the rules that events carry in their metadata, as upcasters for :meth:`upcast`.

        A rule stands in ``migrationRules`` of an event of the new version: ``fromVersion``, ``rule`` and
        ``defaultValue``. Understood are the rules ``add_…`` or ``add_…_field``, ``rename_…_to_…`` and ``remove_…``.
        Where versions carry several ways from one old version, the way to the newest is taken.

        Parameters
        ----------
        versions
            ``fromVersion`` as rules write it -> as ``schema_version`` is stored: ``{"1.0.0": "1"}``.
        readings
            Rule -> what it does: ``lambda upcaster, rule: upcaster.convert("email", sql="lower(value)")``.

        Raises
        ------
        ConfigError
            A rule is not understood, or events of one version carry different ones.
        """
        return migration_rules(self._view, versions=versions, readings=readings)

    def census(self, *, depth: int = 4, sample: int | None = None) -> Census:
        """Count what is stored: each event type and version, its fields, their drift, and whether it decodes.

        Payloads are counted as stored; whether they decode is told under the log's upcasters:
        ``log.upcast(…).census()``.

        Parameters
        ----------
        depth
            Fields are listed down to so many keys (``customer.address.city`` is three).
        sample
            Look for fields in so many events, chosen by chance, instead of in all; a note says so.

        Returns
        -------
        Census
            One row for each type and version; ``.fields()``, ``.drift()`` and ``.over_time()`` say more, and
            ``.chart()`` draws it.
        """
        return take_census(self._view, depth=depth, sample=sample)

    def impact(
        self,
        before: Definition | Upcaster | Sequence[Upcaster],
        after: Definition | Upcaster | Sequence[Upcaster],
        *,
        of: Definition | None = None,
        passing: bool | None = None,
    ) -> Impact:
        """Tell which rows change, in which columns and from which event on, when one version replaces another.

        Both are run over the whole history, and the states of each row compared event by event.

        Parameters
        ----------
        before, after
            Two versions of a definition; or two sets of upcasters (``[]``: none), with ``of=``.
        of
            The definition that is run over the payloads.
        passing
            Look for rows that differed for a time and are the same at the end, too. By default this is done for
            projections, where it is one query; for a fold it takes a few microseconds an event.

        Returns
        -------
        Impact
            One row for each that differs; ``.summary()``, ``.by_column()`` and ``.over_time()`` count them.

        Raises
        ------
        ConfigError
            The two have other keys or no column in common, or are not two of a kind.

        Examples
        --------
        ``log.impact(summary_v1, summary_v2)`` · ``log.impact([], [deposit_1_to_2], of=summary)``
        """
        if isinstance(before, Projection | Fold) and isinstance(after, Projection | Fold):
            if of is not None:
                message = "of= is for upcasters; two definitions are compared as they are."
                raise ConfigError(message)
            return of_definitions(self._view, before, after, passing=passing)
        sets = [[item] if isinstance(item, Upcaster) else item for item in (before, after)]
        if any(
            isinstance(item, Projection | Fold) or not isinstance(item, Sequence) for item in sets
        ):
            message = f"log.impact takes two definitions, or two sets of upcasters; not {type(before).__name__} and {type(after).__name__}."
            raise ConfigError(message, hint="write log.impact([], [upcaster], of=definition)")
        if of is None:
            message = "what upcasters change is told of the rows of a definition."
            raise ConfigError(message, hint="write log.impact([], [upcaster], of=definition)")
        one, other = (list(item) for item in sets if not isinstance(item, Projection | Fold))
        return of_upcasters(self._view, one, other, of, passing=passing)

    def what_if(
        self,
        *,
        drop: Iterable[Which] | Face = (),
        edit: Mapping[Which, Mapping[str, Any]] | None = None,
        add: Sequence[Mapping[str, Any]] = (),
    ) -> Self:
        """Fork the log: the same events but for some that are dropped, edited or added.

        What comes back has the same face, and :meth:`against` holds it against the log as it is. The log's
        file is only read; later loads into it do not reach the fork. (Of a log in memory a copy is made.)

        Parameters
        ----------
        drop
            Positions or event ids; or a narrowed log, all of whose events go: ``log.where(types="FeeCharged")``.
        edit
            Position or event id -> what changes, fields named as in a projection:
            ``{88120: {"amount": Decimal("120.00"), "event.version": 7}}``. None takes a field out.
        add
            New events: ``{"stream_id": …, "event_type": …, "data": {…}}`` and any other column of an event.
            They stand behind the last event of the log, and behind the last of their stream unless ``version``
            says where; with a version that is taken, right behind the event that has it. Without
            ``recorded_at`` and ``occurred_at`` they are at no moment.

        Raises
        ------
        ConfigError
            There is no such event, or a change is not usable.
        """
        dropped = drop._view if isinstance(drop, Face) else drop
        return type(self)(what_if(self._view, drop=dropped, edit=edit, add=add))

    def against(self, definition: Definition) -> Impact:
        """Tell which rows of a definition differ between this fork and the log that it was made from.

        Raises
        ------
        ConfigError
            This log is no fork; :meth:`what_if` makes one.
        """
        return against(self._view, definition)
