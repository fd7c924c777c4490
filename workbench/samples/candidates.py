"""The rows that may become wrong: which they are, and what each of their events adds."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from workbench.samples.domain import ReadModel
from workbench.samples.faults import shuffled
from workbench.samples.injection import Injection, Plan
from workbench.samples.parts import Added, Layout, Row

# A burst for each so many keys, and events for each of them.
_KEYS_PER_BURST: Final = 8_000
_MOST_BURSTS: Final = 4
_BURST_KEYS: Final = 60
_LONGEST_BURST: Final = 40
_BURST_TRIES: Final = 400
_POOL: Final = 6
_SHORTEST: Final = 3
NAMES: Final = ("position", "stream_id", "version", "event_id", "event_type")


class Candidates:
    """The events of those rows that may become wrong."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, layout: Layout, model: ReadModel, misread: ReadModel
    ) -> None:
        self._con, self._layout = con, layout
        self._upcast = model.applied != misread.applied
        clean = self._added("read", model)
        if self._upcast:
            other = self._added("misread", misread)
            clean = f"FROM ({clean}) JOIN (SELECT * EXCLUDE (key, ends) FROM ({other})) USING (position)"
        con.execute(f"CREATE OR REPLACE TEMP TABLE added AS {clean}")
        self._cache: dict[str, Row] = {}

    def _added(self, name: str, model: ReadModel) -> str:
        """SQL for what each event adds to its row."""
        columns = ", ".join(f"{sql} AS {column}" for column, sql in model.applied.items())
        added = ", ".join(
            f"{part.sql} AS {name}_{place}"
            for place, part in enumerate(self._layout.parts.values())
        )
        return f"SELECT key, position, {model.ends} AS ends, {added} FROM (SELECT {columns} FROM logged)"

    # -- which rows ------------------------------------------------------------------------------

    def inject(self, plan: Plan, seed: int) -> Injection:
        """Choose rows, and make them wrong."""
        con = self._con
        ((keys,),) = con.execute("SELECT count(*) FROM heads").fetchall()
        causes = {
            kind: min(plan.most, max(1, round(share * keys / 1000)))
            for kind, share in plan.shares.items()
            if self._upcast or "un-upcast" not in kind
        }
        pool = _POOL * sum(causes.values())
        candidates = [
            key
            for (key,) in con.execute(
                f"SELECT key FROM (SELECT key, ended, {shuffled(seed, 'key')} AS turn FROM heads "
                f"WHERE length BETWEEN {_SHORTEST} AND {plan.longest}) "
                f"QUALIFY row_number() OVER (PARTITION BY ended ORDER BY turn) <= CASE WHEN ended THEN {plan.most} ELSE {pool} END "
                "ORDER BY turn"
            ).fetchall()
        ]
        bursts = self._bursts(seed, keys) if plan.bursts else []
        wanted = {key for _, _, _, hit in bursts for key in hit}
        self.fetch([*candidates, *wanted])
        injection = Injection(self._layout, candidates, self.row, seed)
        for cause, first, last, hit in bursts:
            injection.burst(cause, first, last, hit)
        injection.overlap()
        for kind, count in causes.items():
            injection.rows(kind, count)
        return injection

    def _bursts(self, seed: int, keys: int) -> list[tuple[str, int, int, list[str]]]:
        """Choose ranges of positions, so that no row is hit by two of them."""
        rng = random.Random(f"{seed} bursts")
        order = self._con.sql(
            f"SELECT key, {self._old()} AS old FROM added ORDER BY position"
        ).to_arrow_table()
        encoded = order["key"].combine_chunks().dictionary_encode()
        codes, names = encoded.indices.to_numpy(), encoded.dictionary
        old = np.flatnonzero(order["old"].to_numpy())
        size = min(_LONGEST_BURST, max(4, keys // _BURST_KEYS))
        count = min(_MOST_BURSTS, 1 + keys // _KEYS_PER_BURST)
        found: list[tuple[str, int, int, list[str]]] = []
        hit = np.zeros(len(names), dtype=np.bool_)
        for cause in ("skipped", "doubled", *(["un-upcast"] if len(old) else [])) * count:
            for _ in range(_BURST_TRIES):
                if len(codes) <= 2 * size:
                    break
                first = (
                    int(old[rng.randrange(len(old))])
                    if cause == "un-upcast"
                    else rng.randrange(len(codes) - size)
                )
                last = min(len(codes), first + size) - 1
                there = np.unique(codes[first : last + 1])
                if not hit[there].any():
                    hit[there] = True
                    # Positions count from 1.
                    found.append(
                        (cause, first + 1, last + 1, names.take(pa.array(there)).to_pylist())
                    )
                    break
        return found

    def _old(self) -> str:
        """SQL: whether an event adds something else when it is read without upcasters."""
        places = range(len(self._layout.columns)) if self._upcast else ()
        differs = [f"read_{place} IS DISTINCT FROM misread_{place}" for place in places]
        return f"({' OR '.join(differs) or 'FALSE'})"

    # -- their events ----------------------------------------------------------------------------

    def fetch(self, keys: Sequence[str]) -> None:
        """Read the events of some rows, and keep them packed: only a few rows are looked at in Python."""
        self._table = self._events(keys)
        keyed = self._table["key"].combine_chunks().dictionary_encode()
        lengths = np.bincount(keyed.indices.to_numpy(), minlength=len(keyed.dictionary))
        # The rows are sorted by key, so the dictionary is in their order.
        starts = np.cumsum(lengths) - lengths
        spans = zip(starts.tolist(), lengths.tolist(), strict=True)
        self._spans = dict(zip(keyed.dictionary.to_pylist(), spans, strict=True))

    def _events(self, keys: Sequence[str]) -> Any:
        self._con.register(
            "wanted_keys", pa.table({"key": pa.array(sorted(set(keys)), pa.string())})
        )
        columns = ", ".join(f"l.{name}" for name in NAMES)
        found = self._con.sql(
            f"SELECT a.key, {columns}, a.* EXCLUDE (key, position) FROM added a "
            "SEMI JOIN wanted_keys USING (key) JOIN logged l USING (position) ORDER BY a.key, position"
        ).to_arrow_table()
        self._con.unregister("wanted_keys")
        return found

    def row(self, key: str) -> Row:
        """Return a row by its events."""
        if key not in self._cache:
            start, length = self._spans[key]
            self._cache[key] = self._unpacked(key, self._table.slice(start, length))
        return self._cache[key]

    def _unpacked(self, key: str, table: Any) -> Row:
        columns = {name: table[name].to_pylist() for name in table.column_names}
        events = [
            dict(zip(NAMES, values, strict=True))
            for values in zip(*(columns[name] for name in NAMES), strict=True)
        ]
        read = self._entries(columns, "read")
        return Row(key, events, read, self._entries(columns, "misread") if self._upcast else read)

    def _entries(self, columns: dict[str, list[Any]], name: str) -> list[Added]:
        values = (columns[f"{name}_{place}"] for place in range(len(self._layout.columns)))
        added = zip(*values, strict=True)
        return [None if end else one for end, one in zip(columns["ends"], added, strict=True)]

    def snapshots(
        self, wanted: list[tuple[int, int, tuple[int, ...], tuple[Any, ...]]]
    ) -> list[tuple[int, int, str, list[Added]]]:
        """Find all rows that had these sums and first values at this step."""
        if not wanted or not (self._layout.plain or self._layout.firsts):
            return []  # nothing says what a snapshot would have to hold
        layout = self._layout
        names = [f"sum_{place}" for place in layout.plain] + [
            f"first_{place}" for place in layout.firsts
        ]
        columns: dict[str, list[Any]] = {
            "number": [one[0] for one in wanted],
            "step": [one[1] for one in wanted],
        }
        for index, name in enumerate(names):
            columns[name] = [(*one[2], *one[3])[index] for one in wanted]
        self._con.register("wanted_states", pa.table(columns))
        window = "OVER (PARTITION BY key ORDER BY position)"
        had = [f"sum(read_{place}) {window} AS sum_{place}" for place in layout.plain] + [
            f"first_value(read_{place} IGNORE NULLS) {window} AS first_{place}"
            for place in layout.firsts
        ]
        longest = max(columns["step"])
        found = self._con.execute(
            f"SELECT number, step, key FROM wanted_states JOIN (SELECT key, row_number() {window} AS step, {', '.join(had)} "
            "FROM added "
            f"QUALIFY step <= {longest}) USING (step, {', '.join(names)}) ORDER BY ALL"
        ).fetchall()
        self._con.unregister("wanted_states")
        table = self._events([key for _, _, key in found])
        places: dict[str, list[int]] = defaultdict(list)
        for place, key in enumerate(table["key"].to_pylist()):
            places[key].append(place)
        return [
            (
                number,
                step,
                key,
                self._unpacked(key, table.slice(places[key][0], len(places[key]))).read[:step],
            )
            for number, step, key in found
        ]
