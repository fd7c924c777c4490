"""Events that consumers gave up: which, why, and the records and tables in which these say so.

The witness draws them as the events are written, by a hash of each event, so that neither the size of the
files nor their format changes anything. The records, and the truth about them, come from what was drawn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench._sql import text
from workbench.samples import draw
from workbench.samples.checkout_slots import FIRST_DAY, KINDS
from workbench.samples.dead_causes import BLOCKED, CAUSES, SERVICES, Cause, Service
from workbench.samples.dead_formats import MALFORMED, RECORDS, TABLES, TOLD
from workbench.samples.domain import Domain, Rows, Told, join, numbered, where
from workbench.samples.write import PARQUET

_PARTITIONS: Final = 3
#: The topics that carry the events, one for each kind of stream.
TOPICS: Final = ("checkout.order", "checkout.inventory", "checkout.payment", "checkout.shipment")
_TOPIC_OF: Final = np.array(
    [0, 1, 1, 2, 2, 1, 3, 0, 0, 2, 3], dtype=np.int64
)  # in the order of KINDS
# Shares are those of a log of this size; in larger ones they fall, since nobody reads a million of them.
_FULL_SHARE: Final = 9_000
_TIMES: Final = ("dead_lettered_at", "origin_at", "given_up_at")
_FIRST: Final = ("first_dead_lettered_at", "first_origin_at", "first_given_up_at")


class DeadLetters:
    """Draws the events that are given up, as they are written."""

    services: tuple[Service, ...] = SERVICES
    causes: tuple[Cause, ...] = CAUSES

    def __init__(self, events: int, seed: int) -> None:
        self.seed = seed
        parking = (service.name for service in self.services if service.format == "axon")
        # Service -> the orders whose sequence it has parked.
        self.parked = {name: np.zeros(0, dtype=np.int64) for name in parking}
        self.scale = min(1.0, (_FULL_SHARE / events) ** 0.4)
        self.salt = draw.salt(seed)
        self.seen = 0
        self.offsets = np.zeros(len(TOPICS) * _PARTITIONS, dtype=np.int64)
        self.kept: list[Rows] = []
        self.read = np.zeros(len(KINDS), dtype=np.int64)  # events of each type

    def saw(self, rows: Rows) -> None:
        """Draw from rows that are written, in the order in which they are."""
        size = len(rows["order"])
        group = _TOPIC_OF[rows["kind"]] * _PARTITIONS + rows["order"] % _PARTITIONS
        counts = np.bincount(group, minlength=len(self.offsets))
        self.read += np.bincount(rows["kind"], minlength=len(KINDS))
        chosen = [self._hits(rows, service) for service in self.services]
        at = np.concatenate([index for index, _ in chosen])
        cause = np.concatenate([which for _, which in chosen])
        kept = where(rows, at)
        kept["cause"] = cause
        kept["position"] = self.seen + 1 + at
        kept["topic"] = group[at] // _PARTITIONS
        kept["partition"] = group[at] % _PARTITIONS
        kept["offset"] = (self.offsets[group] + _rank(group, counts))[at]
        kept["draw"] = self._random(rows, 977)[at]
        self.kept.append(kept)
        self.offsets += counts
        self.seen += size

    def _random(self, rows: Rows, number: int) -> draw.Ids:
        """Return a number for each row that depends on the event and ``number`` alone."""
        serial = rows["order"].astype(np.uint64) * np.uint64(16) + rows["slot"].astype(np.uint64)
        return draw.scramble(draw.scramble(serial + self.salt) + np.uint64(number))

    def _hits(self, rows: Rows, service: Service) -> tuple[draw.Ints, draw.Ints]:
        """Return the rows that a service gives up, and the cause of each."""
        hit = np.full(len(rows["order"]), -1, dtype=np.int64)
        day = rows["recorded"] / draw.DAY - FIRST_DAY
        for number, cause in enumerate(self.causes):
            if cause.service != service.name:
                continue
            kinds = np.isin(rows["kind"], [KINDS.index(name) for name in cause.types])
            there = kinds & (day >= cause.since) & (day < cause.until)
            hit[there & (hit < 0) & self._chosen(rows, cause, number)] = number
        if service.name in self.parked:
            hit = self._park(rows, hit, service)
        at = np.flatnonzero(hit >= 0)
        return at, hit[at]

    def _chosen(self, rows: Rows, cause: Cause, number: int) -> draw.Flags:
        """Return which rows a cause hits, of those that it can."""
        limit = np.uint64(int(cause.share * self.scale * 2**53) << 11)
        return self._random(rows, number) < limit

    def _park(self, rows: Rows, hit: draw.Ints, service: Service) -> draw.Ints:
        """What follows in the sequence of an order that failed is parked behind it."""
        order, parked = rows["order"], self.parked[service.name]
        failed = np.flatnonzero((hit >= 0) & ~np.isin(order, parked))
        roots, first = np.unique(order[failed], return_index=True)
        since = np.full(len(order), len(order), dtype=np.int64)
        at = np.searchsorted(roots, order)
        known = at < len(roots)
        known[known] = roots[at[known]] == order[known]
        since[known] = failed[first][at[known]]
        since[np.isin(order, parked)] = -1
        kinds = np.isin(rows["kind"], [KINDS.index(name) for name in service.types])
        self.parked[service.name] = np.union1d(parked, roots)
        blocked = len(self.causes) + list(self.parked).index(service.name)
        return np.where(kinds & (np.arange(len(order)) > since), blocked, hit)

    def write(
        self, con: duckdb.DuckDBPyConnection, domain: Domain, events: tuple[Path, ...], folder: Path
    ) -> Told:
        """Write the records, the tables, and the truth about them to ``folder``."""
        kept = join(self.kept)
        drawn = domain.table(kept, kept["position"])
        for name, values in (
            ("cause_number", kept["cause"]),
            ("origin_topic", draw.words(kept["topic"], TOPICS)),
            ("origin_partition", kept["partition"]),
            ("origin_offset", kept["offset"]),
            ("draw", kept["draw"]),
            ("number_of_order", kept["order"]),
        ):
            drawn = drawn.append_column(name, pa.array(values))
        con.register("drawn_letters", drawn)
        con.register("drawn_causes", self._causes())
        con.execute(f"CREATE OR REPLACE TEMP TABLE letters AS {_letters(domain)}")
        con.unregister("drawn_letters")
        con.unregister("drawn_causes")
        con.execute(f"CREATE OR REPLACE TEMP TABLE malformed AS {_malformed()}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE records AS {RECORDS}")
        files = [folder / "dead_letters.parquet"]
        con.execute(
            f'COPY (SELECT topic, partition, "offset", timestamp, key, headers, value FROM records '
            f'ORDER BY topic, partition, "offset") TO {text(str(files[0]))} {PARQUET}'
        )
        for name, query in TABLES.items():
            files.append(folder / f"dead_letters_{name}.parquet")
            con.execute(f"COPY ({query}) TO {text(str(files[-1]))} {PARQUET}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE told AS {TOLD}")
        files += [folder / "dead_letters_truth.parquet", folder / "dead_letters_truth.json"]
        con.execute(f"COPY (SELECT * FROM told) TO {text(str(files[-2]))} {PARQUET}")
        about = self._about(con)
        files[-1].write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        for table in ("letters", "malformed", "records", "told", "known"):
            con.execute(f"DROP TABLE {table}")
        return Told(tuple(files), {"dead letters": about["by_written_as"]})

    def _causes(self) -> pa.Table:
        """Return the causes as a table, those of blocked followers last."""
        formats = {service.name: service for service in self.services}
        rows = [
            {
                "cause_number": number,
                "cause": cause.name,
                "service": cause.service,
                "format": formats[cause.service].format,
                "target": formats[cause.service].target,
                "error": cause.error or None,
                "template": cause.message,
                "frame": cause.frame or None,
                "tries": cause.attempts,
                "pause": int(cause.pause * draw.SECOND),
                "poison": cause.poison,
            }
            for number, cause in enumerate(self.causes)
        ]
        blocked = dict.fromkeys(rows[0]) | {"cause": BLOCKED, "format": "axon", "target": ""}
        blocked |= {"tries": 0, "pause": 0, "poison": False}
        for number, name in enumerate(self.parked, len(rows)):
            rows.append(blocked | {"cause_number": number, "service": name})
        return pa.Table.from_pylist(rows)

    def _about(self, con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        """Count what the records tell; ``null`` counts where they do not."""
        about: dict[str, Any] = {"domain": "checkout", "seed": self.seed, "events": self.seen}
        con.execute(f"CREATE OR REPLACE TEMP TABLE known AS {_KNOWN}")
        totals = con.execute("SELECT count(*), count(DISTINCT known_event) FROM known").fetchall()
        ((about["dead_letters"], about["distinct_events"]),) = totals
        for name, sql in (
            ("by_written_as", "written_as"),
            ("by_format", "coalesce(format, 'null')"),
            ("by_service", "service"),
            ("by_consumer", "coalesce(consumer, 'null')"),
            ("by_type", "coalesce(known_type, 'null')"),
            ("by_error_class", "coalesce(error_class, 'null')"),
            ("by_day", "coalesce(CAST(CAST(dead_lettered_at AS DATE) AS VARCHAR), 'null')"),
            ("by_attempts", "coalesce(CAST(attempts AS VARCHAR), 'null')"),
            ("by_role", "role"),
            ("by_cause", "cause"),
        ):
            found = con.execute(
                f"SELECT {sql} AS one, count(*) FROM known GROUP BY one ORDER BY one"
            )
            about[name] = dict(found.fetchall())
        distinct = dict(
            con.execute(
                "SELECT known_type, count(DISTINCT known_event) FROM known "
                "WHERE known_type IS NOT NULL GROUP BY known_type"
            ).fetchall()
        )
        about["rates"] = {
            kind: {
                "dead_lettered": distinct.get(kind, 0),
                "events": int(total),
                "rate": distinct.get(kind, 0) / int(total) if total else None,
            }
            for kind, total in zip(KINDS, self.read, strict=True)
        }
        found = con.execute(
            "SELECT fingerprint, service, written_as, any_value(error_class), count(*), "
            + ", ".join(f"strftime(min({at}), '%Y-%m-%dT%H:%M:%S.%fZ')" for at in _TIMES)
            + " FROM told WHERE fingerprint IS NOT NULL GROUP BY ALL ORDER BY fingerprint"
        )
        names = ("fingerprint", "service", "written_as", "error_class", "dead_letters", *_FIRST)
        about["fingerprints"] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        found = con.execute(
            "SELECT malformed, source_position FROM told WHERE malformed IS NOT NULL ORDER BY ALL"
        )
        about["malformed"] = [
            {"kind": kind, "source_position": place} for kind, place in found.fetchall()
        ]
        return about


def _rank(group: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> draw.Ints:
    """Return which each row is in its group, from 0."""
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


_ENVELOPE: Final = (
    'concat(\'{"eventId":"\', event_id, \'","eventType":"\', event_type, \'","aggregateId":"\', stream_id, '
    '\'","aggregateType":"\', stream_type, \'","version":\', version, \',"schemaVersion":"\', schema_version, '
    '\'","timestamp":"\', strftime(occurred_at, \'%Y-%m-%dT%H:%M:%S.%fZ\'), \'","userId":"\', actor, '
    "'\",\"data\":', data, ',\"metadata\":', metadata, '}')"
)


# An event that one record does not tell is known where another one of the same origin tells it. Where none
# does, each letter counts as an event of its own.
_KNOWN: Final = (
    "SELECT t.*, coalesce(t.event_type, o.event_type) AS known_type, "
    "coalesce(t.event_id, o.event_id, t.source_position) AS known_event FROM told t LEFT JOIN "
    "(SELECT origin_topic, origin_partition, origin_offset, any_value(event_id) AS event_id, "
    "any_value(event_type) AS event_type FROM told "
    "WHERE event_id IS NOT NULL AND origin_offset IS NOT NULL GROUP BY ALL) o "
    "USING (origin_topic, origin_partition, origin_offset)"
)


def _letters(domain: Domain) -> str:
    """Write SQL for one row for each event that one service gave up, in the order in which it did."""
    extra = "cause_number, origin_topic, origin_partition, origin_offset, draw, number_of_order"
    order = numbered("order-", "number_of_order")
    number = "CAST(100 + draw % 900 AS VARCHAR)"
    some_uuid = "CAST(CAST(md5(CAST(draw AS VARCHAR)) AS UUID) AS VARCHAR)"
    return (
        f"WITH events AS (SELECT {domain.render}, {extra} FROM drawn_letters), "
        f"given_up AS (SELECT events.*, c.* EXCLUDE (cause_number), {_ENVELOPE} AS whole, "
        # A consumer lags a little; then it tries, and waits, and tries again.
        "recorded_at + to_microseconds(CAST(20_000 + draw % 400_000 + greatest(tries - 1, 0) * pause AS BIGINT)) "
        "AS given_up_at, "
        f"replace(replace(replace(template, '{{order}}', {order}), '{{number}}', {number}), "
        f"'{{uuid}}', {some_uuid}) AS message "
        "FROM events JOIN drawn_causes c USING (cause_number)) "
        "SELECT row_number() OVER (ORDER BY given_up_at, position, service) AS n, *, "
        "CASE WHEN poison THEN left(whole, CAST(length(whole) * 0.6 AS BIGINT)) ELSE whole END AS sent, "
        f"{order} AS order_id, "
        "CASE WHEN format = 'axon' THEN row_number() OVER (PARTITION BY service, number_of_order "
        "ORDER BY position) - 1 END AS place_in_sequence FROM given_up"
    )


def _malformed() -> str:
    """Write SQL that chooses a few letters of each format to be malformed, each in one way."""
    ways = ", ".join(f"({text(format)}, {text(way)})" for way, format in MALFORMED.items())
    return (
        "SELECT n, way FROM (SELECT n, way, row_number() OVER (PARTITION BY way ORDER BY turn, n) AS nth "
        "FROM (SELECT n, way, md5(concat(draw, way)) AS turn, row_number() OVER "
        "(PARTITION BY n ORDER BY md5(concat(way, draw))) AS first FROM letters "
        f"JOIN (VALUES {ways}) AS w(format, way) USING (format) WHERE NOT poison AND cause <> '{BLOCKED}') "
        "WHERE first = 1) WHERE nth <= 2"
    )
