"""From hypotheses to the rows of an explanation: capped, ranked, and with the events that they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workbench._sql import ident, text
from workbench.analysis.explain import causes
from workbench.analysis.explain.suspects import Suspects

NEAR: Final = 100
"""Positions within which other rows support a hypothesis."""
LISTED: Final = 100
"""So many events of a hypothesis are listed."""


def ranked(
    suspects: Suspects, hypotheses: Sequence[str], old: str | None, incomplete: str, owner: object
) -> tuple[str, str]:
    """Keep the hypotheses, best first; return the table of them, and a query for the explanation's rows.

    ``old`` has the events whose payload upcasters change, ``incomplete`` the rows in which not all was tried.
    The table adds ``h``, a number, ``class``, ``rank``, ``alike``, ``support``, ``first_position`` and
    ``last_position``.
    """
    database = suspects.database
    given = " UNION ALL ".join(hypotheses)
    counted = (
        f"SELECT *, count(*) OVER (PARTITION BY wb_k, cause) AS alike FROM (SELECT DISTINCT {causes.COLUMNS} FROM ({given})) "
        f"QUALIFY row_number() OVER (PARTITION BY wb_k, cause ORDER BY lo, hi, lo2, other_k, other_n) <= {causes.MOST_SHOWN}"
    )
    capped = database.keep(counted, owner, "capped")
    costs = " ".join(f"WHEN {text(name)} THEN {cost}" for name, cost in causes.COSTS.items())
    # An event that went to another row explains two rows at once; but where any of several rows may have had it,
    # that it fits one of them says little.
    is_pair = f"h.cause = {text(causes.WRONG_KEY)} AND h.alike = 1 AND partner.alike = 1"
    cost = f"CASE WHEN {is_pair} THEN {causes.PAIRED} ELSE CASE h.cause {costs} END END"
    partners = f"SELECT wb_k, any_value(alike) AS alike FROM {capped} WHERE cause = {text(causes.WRONG_KEY)} GROUP BY wb_k"
    placed = (
        f"SELECT h.*, {cost} AS cost, coalesce(first.position, foreign_.position) AS first_position, "
        "coalesce(last.position, first.position, foreign_.position) AS last_position, "
        "coalesce(first.moment, foreign_.moment) AS first_at, coalesce(last.moment, first.moment, foreign_.moment) AS last_at "
        f"FROM {capped} h LEFT JOIN {suspects.tape} first ON first.wb_k = h.wb_k AND first.wb_n = h.lo "
        f"LEFT JOIN {suspects.tape} last ON last.wb_k = h.wb_k AND last.wb_n = coalesce(h.hi2, h.hi) "
        f"LEFT JOIN {suspects.tape} foreign_ ON foreign_.wb_k = h.other_k AND foreign_.wb_n = h.other_n "
        f"LEFT JOIN ({partners}) partner ON partner.wb_k = h.other_k"
    )
    alone = f"SELECT *, count(*) OVER (PARTITION BY wb_k) = 1 AS alone FROM ({placed})"
    supported = (
        "SELECT *, count(*) FILTER (WHERE alone) OVER (PARTITION BY cause ORDER BY first_position "
        f"RANGE BETWEEN {NEAR} PRECEDING AND {NEAR} FOLLOWING) - alone::BIGINT AS support FROM ({alone})"
    )
    kept = database.keep(
        "SELECT row_number() OVER () AS h, *, row_number() OVER (PARTITION BY wb_k ORDER BY cost, support DESC, coalesce(hi - lo, 0), "
        f"first_position, last_position) AS rank FROM ({supported})",
        owner,
        "ranked",
    )
    spans = spans_of(kept)
    each = f"SELECT h, cause, wb_k, unnest(generate_series(first, least(last, first + {LISTED - 1}))) AS wb_n FROM ({spans})"
    lists = ", ".join(
        f"list({column} ORDER BY position) AS {name}"
        for column, name in (
            ("position", "positions"),
            ("stream_version", "versions"),
            ("event_type", "event_types"),
            ("schema_version", "schema_versions"),
        )
    )
    guilty = database.keep(
        f"SELECT h, {lists} FROM ({involved(each, old)}) JOIN {suspects.tape} USING (wb_k, wb_n) GROUP BY h",
        owner,
        "guilty",
    )
    counts = f"SELECT h, sum(last - first + 1) AS events FROM ({spans}) WHERE cause <> {text(causes.NOT_UPCAST)} GROUP BY h"
    if old is not None:
        counts += (
            f" UNION ALL SELECT h, count(*) FROM ({spans}) s JOIN {old} o ON o.wb_k = s.wb_k AND o.wb_n BETWEEN first AND last "
            f"WHERE cause = {text(causes.NOT_UPCAST)} GROUP BY h"
        )
    keys = suspects.work.keys
    listed = ", ".join(f"s.{ident(name)}" for name in keys)
    other = " || ', ' || ".join(f"o.{ident(name)}" for name in keys)
    empty = ", ".join(
        f"coalesce({name}, []) AS {name}"
        for name in ("positions", "versions", "event_types", "schema_versions")
    )
    rows = (
        f"SELECT {listed}, s.class, coalesce(h.cause, {text(causes.UNEXPLAINED)}) AS cause, coalesce(h.rank, 1) AS rank, "
        "h.h IS NOT NULL AS exact, i.wb_k IS NULL AS complete, coalesce(h.alike, 0) AS alike, coalesce(h.support, 0) AS support, "
        f"coalesce(e.events, 0)::BIGINT AS events, {empty}, h.first_at, h.last_at, "
        f"CASE WHEN o.wb_k IS NOT NULL THEN {other} WHEN h.cause = {text(causes.OTHER_SNAPSHOT)} THEN h.detail END AS other, h.detail "
        f"FROM {suspects.table} s LEFT JOIN {kept} h USING (wb_k) LEFT JOIN {guilty} USING (h) LEFT JOIN ({counts}) e USING (h) "
        f"LEFT JOIN {suspects.table} o ON o.wb_k = h.other_k LEFT JOIN ({incomplete}) i ON i.wb_k = s.wb_k ORDER BY s.wb_k, rank"
    )
    return kept, database.keep(rows, owner, "explained")


def spans_of(hypotheses: str) -> str:
    """Write a query for the runs of events that hypotheses name: ``h``, ``cause``, ``row``, ``wb_k``, ``first``, ``last``.

    ``row`` is the wrong row, and ``wb_k`` the one whose events these are: another, where one went to the wrong key.
    """
    return (
        f"SELECT h, cause, wb_k AS row, wb_k, lo AS first, hi AS last FROM {hypotheses} WHERE lo IS NOT NULL UNION ALL "
        f"SELECT h, cause, wb_k, wb_k, lo2, hi2 FROM {hypotheses} WHERE lo2 IS NOT NULL UNION ALL "
        f"SELECT h, cause, wb_k, other_k, other_n, other_n FROM {hypotheses} WHERE other_n IS NOT NULL"
    )


def involved(events: str, old: str | None) -> str:
    """Leave out the events between old payloads that no upcaster changes."""
    if old is None:
        return f"SELECT DISTINCT * FROM ({events})"
    return (
        f"SELECT DISTINCT e.* FROM ({events}) e LEFT JOIN {old} o ON o.wb_k = e.wb_k AND o.wb_n = e.wb_n "
        f"WHERE cause <> {text(causes.NOT_UPCAST)} OR o.wb_n IS NOT NULL"
    )
