"""The stored read model: right by its definition, then broken in known ways.

Each fault takes rows of its own, and only those on which it can be seen and told apart from the others:

=================== =========== ======================================================================
fault               class       how the stored row came about
=================== =========== ======================================================================
stale               stale       the projector stopped at an earlier version; what followed changes the row
missing             missing     the row was never written
orphaned            orphaned    the row's key names a stream that does not exist
skipped_event       corrupted   one event was never applied; version and position say that it was
doubled_event       corrupted   one event was applied twice
close_not_applied   stale       the projector stopped just before the event that ends the row
=================== =========== ======================================================================

A row that is corrupted equals the state at no version; a stale row differs from the state at the head.
Both hold for the business columns alone, so the class is the same with and without the checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import duckdb

from workbench._sql import ident, text
from workbench.samples.domain import Domain, ReadModel
from workbench.samples.write import PARQUET, reader

#: Fault -> class that a diff has to give, and rows for each 1,000 keys.
FAULTS: Final[dict[str, tuple[str, int]]] = {
    "skipped_event": ("corrupted", 8),
    "doubled_event": ("corrupted", 6),
    "stale": ("stale", 12),
    "missing": ("missing", 6),
    "close_not_applied": ("stale", 3),
    "orphaned": ("orphaned", 4),
}
_MOST_PER_FAULT: Final = 250
# Every version of a candidate is computed; that grows with the square of its length.
_LONGEST: Final = 60

Fault = dict[str, Any]


def write_read_model(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    events: tuple[Path, ...],
    folder: Path,
    *,
    seed: int,
    faults: bool,
) -> tuple[int, list[Fault]]:
    """Write the read model of the events; return its number of rows and the faults in it."""
    model = domain.read_model
    prepare(con, model, events)
    found: list[Fault] = []
    excluded, broken = "FALSE", None
    if faults:
        _compute_variants(con, model, seed)
        _pick(con, model, seed)
        excluded = "key IN (SELECT key FROM picks WHERE fault <> 'orphaned')"
        broken = f"SELECT key, {', '.join(model.columns)}, version, position FROM broken"
        found = _truth(con, model)
    return write_rows(con, model, folder, excluded=excluded, instead=broken), found


def prepare(con: duckdb.DuckDBPyConnection, model: ReadModel, events: tuple[Path, ...]) -> None:
    """Make the views ``logged`` and ``applied`` of the events, and the table ``heads``: the clean rows."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW logged AS SELECT * FROM {reader(events)}")
    applied = ", ".join(f"{sql} AS {name}" for name, sql in model.applied.items())
    con.execute(f"CREATE OR REPLACE TEMP VIEW applied AS SELECT {applied} FROM logged")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE heads AS SELECT key, {_aggregates(model)}, "
        f"{model.version} AS version, max(position) AS position, count(*) AS length, "
        f"bool_or({model.ends}) AS ended FROM applied GROUP BY key"
    )


def write_rows(
    con: duckdb.DuckDBPyConnection,
    model: ReadModel,
    folder: Path,
    *,
    excluded: str,
    instead: str | None,
) -> int:
    """Write the clean rows, but for those that are excluded; ``instead`` is a query for the wrong ones."""
    columns = ", ".join(["key", *model.columns, "version", "position"])
    stored = f"SELECT {columns} FROM heads WHERE NOT ended AND NOT ({excluded})"
    if instead is not None:
        stored += f" UNION ALL {instead}"
    target = text(str(folder / f"{model.name}.parquet"))
    ((rows,),) = con.execute(
        f"COPY (SELECT key AS {ident(model.key)}, * EXCLUDE (key) FROM ({stored}) ORDER BY key) "
        f"TO {target} {PARQUET}"
    ).fetchall()
    return int(rows)


def _aggregates(model: ReadModel) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in model.columns.items())


def shuffled(seed: int, *parts: str) -> str:
    """Order rows at random, in the same way each time."""
    return f"md5({' || '.join([text(str(seed)), *(f'CAST({part} AS VARCHAR)' for part in parts)])})"


def _compute_variants(con: duckdb.DuckDBPyConnection, model: ReadModel, seed: int) -> None:
    """Compute, for some keys, the state at every version and under every fault at every event."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE wanted AS SELECT fault, "
        f"CAST(least({_MOST_PER_FAULT}, greatest(1, round(share * keys / 1000))) AS BIGINT) AS rows "
        f"FROM (VALUES {', '.join(f'({text(name)}, {share})' for name, (_, share) in FAULTS.items())}) "
        "f(fault, share), (SELECT count(*) AS keys FROM heads)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE candidates AS SELECT key, length, ended, version AS head_version, "
        f"{shuffled(seed, 'key')} AS turn FROM heads WHERE length BETWEEN 4 AND {_LONGEST} QUALIFY "
        "row_number() OVER (PARTITION BY ended ORDER BY turn) <= (SELECT 4 * sum(rows) FROM wanted)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE steps AS SELECT *, row_number() OVER "
        "(PARTITION BY key ORDER BY position) AS step FROM applied SEMI JOIN candidates USING (key)"
    )
    state = ", ".join(f"{name} := {sql}" for name, sql in model.columns.items())
    once, twice = "", ", (VALUES (1), (2)) c(copy)"
    variants = [
        ("none", once, "s.step <= e.step"),
        ("skipped_event", once, "s.step <> e.step"),
        ("doubled_event", twice, "copy = 1 OR s.step = e.step"),
    ]
    selects = [
        f"SELECT {text(name)} AS fault, key, mark, struct_pack({state}) AS state FROM (SELECT s.*, e.step AS mark "
        f"FROM steps s JOIN steps e USING (key){copies} WHERE {condition}) GROUP BY key, mark"
        for name, copies, condition in variants
    ]
    con.execute(f"CREATE OR REPLACE TEMP TABLE variants AS {' UNION ALL '.join(selects)}")


def _pick(con: duckdb.DuckDBPyConnection, model: ReadModel, seed: int) -> None:
    """Choose the rows of each fault, and make the ``broken`` rows that are stored instead."""
    unlike_any_version = (
        "NOT ended AND NOT EXISTS (SELECT 1 FROM variants s WHERE s.fault = 'none' "
        "AND s.key = v.key AND s.state IS NOT DISTINCT FROM v.state)"
    )
    # fault -> the variant that it stores, and where it can be seen
    conditions = {
        "skipped_event": ("skipped_event", f"mark > 1 AND mark < length AND {unlike_any_version}"),
        "doubled_event": ("doubled_event", unlike_any_version),
        "stale": ("none", "mark < length AND NOT ended AND v.state IS DISTINCT FROM h.head"),
        "missing": ("none", "mark = length AND NOT ended"),
        "close_not_applied": ("none", "mark = length - 1 AND ended"),
        "orphaned": ("none", "mark = length AND NOT ended"),
    }
    con.execute(
        "CREATE OR REPLACE TEMP TABLE picks "
        "(fault VARCHAR, variant VARCHAR, key VARCHAR, mark BIGINT, turn VARCHAR)"
    )
    for fault, (variant, condition) in conditions.items():
        con.execute(
            f"INSERT INTO picks SELECT {text(fault)}, fault, key, mark, turn FROM variants v "
            "JOIN candidates USING (key) JOIN (SELECT key, mark AS length, state AS head FROM variants "
            f"WHERE fault = 'none') h USING (key, length) WHERE fault = {text(variant)} AND {condition} "
            "AND key NOT IN (SELECT key FROM picks) QUALIFY row_number() OVER "
            f"(PARTITION BY key ORDER BY {shuffled(seed, 'key', 'mark')}) = 1 "
            f"ORDER BY turn LIMIT (SELECT rows FROM wanted WHERE fault = {text(fault)})"
        )
    # Keys of no stream go on where the last key ended.
    beyond = (
        r"(SELECT max(CAST(regexp_extract(key, '\d+$') AS BIGINT)) FROM heads) "
        "+ 7 * row_number() OVER (PARTITION BY p.fault ORDER BY p.turn)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE broken AS SELECT p.fault, "
        f"CASE p.fault WHEN 'orphaned' THEN format({text(model.key_format)}, {beyond}) ELSE p.key END AS key, "
        "unnest(v.state), s.step AS version, s.position FROM picks p "
        "JOIN variants v ON v.fault = p.variant AND v.key = p.key AND v.mark = p.mark "
        "JOIN candidates c ON c.key = p.key "
        "JOIN steps s ON s.key = p.key "
        # Who skips or doubles an event believes that everything was applied.
        "AND s.step = CASE WHEN p.variant = 'none' THEN p.mark ELSE c.length END "
        "WHERE p.fault <> 'missing'"
    )


def _truth(con: duckdb.DuckDBPyConnection, model: ReadModel) -> list[Fault]:
    """Tell, for each broken row, what was done to it and what a diff has to find."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE involved AS SELECT p.key, l.position, l.stream_id, l.version, "
        "l.event_id, l.event_type FROM logged l JOIN steps s ON s.position = l.position "
        "JOIN picks p ON p.key = s.key WHERE p.fault NOT IN ('missing', 'orphaned') "
        "AND CASE WHEN p.variant = 'none' THEN s.step > p.mark ELSE s.step = p.mark END"
    )
    events: dict[str, list[Fault]] = {}
    names = ("position", "stream_id", "version", "event_id", "event_type")
    for key, *values in con.execute("SELECT * FROM involved ORDER BY key, position").fetchall():
        events.setdefault(key, []).append(dict(zip(names, values, strict=True)))
    alike = con.execute(
        "SELECT p.key, list(v.mark ORDER BY v.mark), list(s.position ORDER BY v.mark) "
        "FROM picks p JOIN candidates c USING (key) JOIN variants v ON v.key = p.key AND v.fault = p.variant "
        "JOIN variants own ON own.key = p.key AND own.fault = p.variant AND own.mark = p.mark "
        "JOIN steps s ON s.key = p.key AND s.step = v.mark "
        "WHERE v.state IS NOT DISTINCT FROM own.state AND NOT (c.ended AND v.mark = c.length) "
        "GROUP BY p.key"
    ).fetchall()
    same = {key: (marks, positions) for key, marks, positions in alike}
    differ = ", ".join(
        f"CASE WHEN v.state.{name} IS DISTINCT FROM h.state.{name} THEN {text(name)} END"
        for name in model.columns
    )
    found = con.execute(
        "SELECT p.fault, p.variant, p.key, b.key, b.version, b.position, c.head_version, "
        f"list_filter([{differ}], lambda name: name IS NOT NULL) FROM picks p "
        "JOIN candidates c USING (key) "
        "JOIN variants v ON v.fault = p.variant AND v.key = p.key AND v.mark = p.mark "
        "JOIN variants h ON h.fault = 'none' AND h.key = p.key AND h.mark = c.length "
        "LEFT JOIN broken b ON b.fault = p.fault AND (b.key = p.key OR p.fault = 'orphaned' "
        "AND b.position = (SELECT max(position) FROM steps WHERE steps.key = p.key)) "
        "ORDER BY p.rowid"
    ).fetchall()
    truths: list[Fault] = []
    for fault, variant, key, stored_as, version, position, head_version, columns in found:
        truth: Fault = {"fault": fault, "class": FAULTS[fault][0], "key": stored_as or key}
        truth |= {"version": version, "position": position, "head_version": head_version}
        if fault == "orphaned":
            truth["head_version"] = None
        if variant != "none":
            # Another event may have the very same effect; no search for a cause can tell them apart.
            truth["same_effect"] = [at for at in same[key][1] if at != events[key][0]["position"]]
        elif FAULTS[fault][0] == "stale":
            truth["equals_versions"] = same[key][0]
        # At the head an account that was closed has no row to compare columns with.
        truth["columns"] = [] if fault == "close_not_applied" else columns
        truth["events"] = events.get(key, [])
        truths.append(truth)
    return truths


def write_truth(path: Path, about: dict[str, Any], lists: dict[str, list[Fault]]) -> None:
    """Write the truth as JSON; lists have one entry a line."""
    lines = [json.dumps(name) + ": " + json.dumps(value) for name, value in about.items()]
    for name, entries in lists.items():
        listed = ",\n  ".join(json.dumps(entry) for entry in entries)
        lines.append(json.dumps(name) + ": [" + (f"\n  {listed}\n" if entries else "") + "]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
