"""What an analysis of sagas gives beside the sagas themselves."""

from __future__ import annotations

from workbench.moments import Clock
from workbench.projections.saga import Saga
from workbench.store.table import Table


class OfSagas(Table):
    """A table about sagas.

    Attributes
    ----------
    saga
        The definition.
    sagas
        How many sagas it is about.
    """

    saga: Saga
    sagas: int


class Outcomes(OfSagas):
    """Sagas by outcome: ``outcome`` (all, in their order), ``sagas``, ``share`` (0 to 1)."""


class OverTime(OfSagas):
    """Sagas by outcome and by the time at which they started.

    Columns: ``moment`` (TIMESTAMPTZ, UTC: the start of the bucket, inclusive; ascending), ``outcome`` (all, in
    their order), ``sagas`` (0 in an empty bucket) and ``share`` of the bucket's sagas (0 to 1; NULL when
    there are none).

    Attributes
    ----------
    every
        The length of a bucket, as DuckDB reads it: ``"1 day"``.
    clock
        The clock of ``moment``.
    """

    every: str
    clock: Clock


class Funnel(OfSagas):
    """How many sagas got how far, and what became of those that got no further.

    One row for each step, in order, and before them the start. Columns: ``step``; ``entered``, sagas that got
    as far as this step, since the one before was done or passed over; ``done``, those that did it; ``skipped``,
    those that did a later step instead; the others by their outcome: ``running`` (still on the way),
    ``compensated``, ``compensating``, ``failed``, ``stuck``, ``timed_out``; ``lost``, the sum of these without
    ``running``; ``loss``, its share of ``entered`` (0 to 1).

    ``entered`` is the sum of all, and ``entered`` of the next row is ``done`` and ``skipped``.
    """


class Durations(OfSagas):
    """How long steps take, and the whole.

    Columns: ``kind`` and ``step``; ``sagas``, how many were measured; ``p50``, ``p90``, ``p99``, ``longest``
    (INTERVAL); ``deadline`` (INTERVAL; NULL: none) and how many were ``late``. Kinds:

    * ``step``: from the moment the step before was done to its first success, that of its last part;
    * ``whole``: completed sagas, from start to end (``step`` is NULL);
    * ``compensation``: compensated sagas, from the first failure or compensation to the end.
    """


class Variants(OfSagas):
    """The different ways that sagas went, most frequent first.

    Columns: ``variant`` (rank, from 1), ``sagas``, ``share`` (0 to 1), ``path`` (VARCHAR[]: event types in
    order), ``outcome`` (the most frequent one), ``violations`` (VARCHAR[], the most frequent), ``median``
    (INTERVAL, from the first to the last event).
    """


class Graph(OfSagas):
    """Which event directly follows which: the directly-follows graph of process mining.

    Columns: ``source`` and ``target`` (event types; NULL for the beginning and behind the last event),
    ``transitions``, ``sagas`` in which there is one, ``p50`` and ``p90`` (INTERVAL) between the two.
    """
