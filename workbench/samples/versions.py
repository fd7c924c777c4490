"""The truth about payloads in several versions: a census of them, and what a change of definition changes.

The census is counted from the events one by one, in Python, and not in SQL as an analysis would.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from workbench._sql import ident, text
from workbench.samples.domain import Domain, ReadModel, Rows, Told
from workbench.samples.parts import PARTS, Part
from workbench.samples.write import PARQUET, reader

_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    Decimal: "decimal",
    str: "text",
    list: "list",
    dict: "object",
    type(None): "null",
}
_BATCH: Final = 50_000

#: The second version of each read model: the columns that differ, and how each event counts for them.
CHANGED: Final[Mapping[str, Mapping[str, Part]]] = {
    "bank": {
        "risk_score": Part(
            "sum",
            "CASE event_type WHEN 'WithdrawalMade' THEN CASE WHEN amount > 500 THEN 10 ELSE 0 END "
            "WHEN 'AccountFrozen' THEN 40 WHEN 'WithdrawalRejected' THEN 5 ELSE 0 END",
            "CAST({} AS INTEGER)",
            high=100,
        ),
    },
    "checkout": {
        "items": Part(
            "sum",
            "CASE event_type WHEN 'InventoryReserved' THEN coalesce(quantity, 0) ELSE 0 END",
        ),
    },
}


@dataclass(slots=True)
class _Stored:
    """What is known about the payloads of one type in one version."""

    count: int = 0
    first: int = 0
    last: int = 0
    seen: list[Any] = field(default_factory=list)
    types: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


class Versions:
    """Writes ``versions.json`` and ``impact.parquet`` beside the events.

    ``misread`` is the read model of one who knows no upcasters; ``steps`` are the upcasters that there were.
    """

    def __init__(self, misread: ReadModel, steps: Sequence[Any]) -> None:
        self._misread, self._steps = misread, steps

    def saw(self, rows: Rows) -> None:
        """Take no note: what matters is what was written."""

    def write(
        self, con: duckdb.DuckDBPyConnection, domain: Domain, events: tuple[Path, ...], folder: Path
    ) -> Told:
        """Write the truth to the folder."""
        self._domain, self._model = domain.name, domain.read_model
        con.execute(f"CREATE OR REPLACE TEMP VIEW payloads AS SELECT * FROM {reader(events)}")
        census = self._census(con)
        impact = self._impact(con, folder / "impact.parquet")
        about = {"domain": self._domain, "upcasters": [asdict(step) for step in self._steps]}
        for step in about["upcasters"]:
            assert isinstance(step, dict)
            step["from"], step["to"] = step.pop("start"), step.pop("end")
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in about.items()]
        lines.append(f'"impact": {json.dumps(impact)}')
        listed = ",\n  ".join(json.dumps(entry) for entry in census)
        lines.append(f'"census": [\n  {listed}\n]')
        (folder / "versions.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        counts = {"rows that a change changes": impact}
        return Told((folder / "versions.json", folder / "impact.parquet"), counts)

    # -- census ----------------------------------------------------------------------------------

    def _census(self, con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        found: dict[tuple[str, str], _Stored] = defaultdict(_Stored)
        decode = json.JSONDecoder(parse_float=Decimal).decode
        batches = con.sql(
            "SELECT event_type, schema_version, position, strftime(recorded_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS at, "
            "CAST(data AS VARCHAR) AS data FROM payloads ORDER BY position"
        ).to_arrow_reader(_BATCH)
        for batch in batches:
            for kind, version, position, at, data in zip(*batch.to_pydict().values(), strict=True):
                one = found[kind, version]
                one.count += 1
                one.first = one.first or position
                one.last = position
                one.seen = [one.seen[0] if one.seen else at, at]
                for name, value in decode(data).items():
                    one.types[name][_TYPES[type(value)]] += 1
        return [
            {
                "event_type": kind,
                "schema_version": version,
                "count": one.count,
                "first_position": one.first,
                "last_position": one.last,
                "first_seen": one.seen[0],
                "last_seen": one.seen[1],
                "decodes": self._decodes(kind, version),
                "fields": [
                    {"field": name, "present": types.total(), "types": dict(sorted(types.items()))}
                    for name, types in sorted(one.types.items())
                ],
            }
            for (kind, version), one in sorted(found.items())
        ]

    def _decodes(self, kind: str, version: str) -> bool:
        """Whether upcasters lead from a version to the last one that there are any for."""
        steps = {step.start: step for step in self._steps if step.event_type == kind}
        while version in steps:
            if not steps[version].at_hand:
                return False
            version = steps[version].end
        return True

    # -- impact ----------------------------------------------------------------------------------

    def _impact(self, con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
        """Write the rows that differ between two versions of the definition, and between two readings of the events."""
        parts = PARTS[self._domain]
        changes = {
            "projection": (self._states(self._model, {**parts, **CHANGED[self._domain]})),
            "upcasters": self._states(self._misread, parts),
        }
        right = self._states(self._model, parts)
        queries = [
            self._differences(change, right, other, list(parts))
            for change, other in changes.items()
        ]
        con.execute(
            f"COPY (SELECT * FROM ({' UNION ALL '.join(queries)}) ORDER BY change, {ident(self._model.key)}) "
            f"TO {text(str(path))} {PARQUET}"
        )
        return dict(
            con.execute(
                f"SELECT change, count(*) FROM read_parquet({text(str(path))}) GROUP BY change ORDER BY change"
            ).fetchall()
        )

    def _states(self, model: ReadModel, parts: Mapping[str, Part]) -> str:
        """SQL for every state of every row: key, position, ends, and the columns."""
        columns = ", ".join(f"{sql} AS {name}" for name, sql in model.applied.items())
        window = "OVER (PARTITION BY key ORDER BY position)"
        shown = []
        for name, part in parts.items():
            match part.kind:
                case "sum":
                    value = f"sum({part.sql}) {window}"
                    value = value if part.high is None else f"least({part.high}, {value})"
                case "first":
                    value = f"first_value({part.sql} IGNORE NULLS) {window}"
                case "last":
                    value = f"last_value({part.sql} IGNORE NULLS) {window}"
            shown.append(f"{value} AS {name}")
        return (
            f"SELECT key, position, {model.ends} AS ends, {', '.join(shown)} "
            f"FROM (SELECT {columns} FROM payloads)"
        )

    def _differences(self, change: str, left: str, right: str, columns: list[str]) -> str:
        names = ", ".join(
            f"CASE WHEN l.{name} IS DISTINCT FROM r.{name} THEN {text(name)} END"
            for name in columns
        )
        # While a row is ended it is in neither version, so nothing differs.
        differ = f"CASE WHEN l.ends THEN [] ELSE list_filter([{names}], lambda name: name IS NOT NULL) END"
        steps = (
            f"SELECT l.key, l.position, {differ} AS differ, "
            "lag(len(differ), 1, 0) OVER (PARTITION BY l.key ORDER BY l.position) AS before "
            f"FROM ({left}) l JOIN ({right}) r USING (position)"
        )
        return (
            f"SELECT {text(change)} AS change, key AS {ident(self._model.key)}, "
            "arg_max(differ, position) AS columns, "
            "min(position) FILTER (len(differ) > 0) AS first_position, "
            "CASE WHEN len(arg_max(differ, position)) > 0 "
            "THEN max(position) FILTER (len(differ) > 0 AND before = 0) END AS since_position "
            f"FROM ({steps}) GROUP BY key HAVING first_position IS NOT NULL"
        )
