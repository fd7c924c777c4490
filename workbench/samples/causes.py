"""A read model with every cause that an explanation has to find, and the truth about it.

What is written, and what is told about it, stands in ``datasets/README.md``, 'Causes'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workbench.samples.candidates import Candidates
from workbench.samples.domain import Domain, ReadModel, Told
from workbench.samples.explanations import Explanations
from workbench.samples.faults import Fault, prepare, write_rows, write_truth
from workbench.samples.guarded import LONGEST, MOST, SHARES, GuardedLayout, guarded
from workbench.samples.injection import Incident, Injection, Plan, Wrong
from workbench.samples.parts import PARTS, Layout


def write_wrong_read_model(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    misread: ReadModel,
    events: tuple[Path, ...],
    folder: Path,
    *,
    seed: int,
) -> tuple[int, list[Fault], list[dict[str, Any]]]:
    """Write the read model; return its number of rows, what is wrong in them, and the incidents.

    ``misread`` is the definition of the read model that knows no upcasters.
    """
    layout = Layout(PARTS[domain.name])
    prepare(con, domain.read_model, events)
    return _make(con, layout, domain.read_model, misread, Plan(), folder, seed)


def write_guarded(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    misread: ReadModel,
    events: tuple[Path, ...],
    folder: Path,
    about: dict[str, Any],
) -> Told:
    """Write the read model of the bank's fold that depends on order, and the truth about it.

    ``about`` is the head of the truth: ``domain``, ``seed``, ``events``, ``schema_versions``.
    """
    model = guarded(domain.read_model)
    plan = Plan(SHARES, MOST, LONGEST, bursts=False)
    prepare(con, model, events)
    rows, faults, incidents = _make(
        con, GuardedLayout(), model, misread, plan, folder, about["seed"]
    )
    counts = dict(Counter(fault["fault"] for fault in faults))
    about = about | {
        "read_model": model.name,
        "key": model.key,
        "compared": list(model.columns),
        "checkpoint": ["version", "position"],
        "rows": rows,
        "counts": counts,
    }
    truth = folder / f"{model.name}_truth.json"
    write_truth(truth, about, {"incidents": incidents, "faults": faults})
    return Told((folder / f"{model.name}.parquet", truth), {"rows of the fold": counts})


def _make(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: ReadModel,
    misread: ReadModel,
    plan: Plan,
    folder: Path,
    seed: int,
) -> tuple[int, list[Fault], list[dict[str, Any]]]:
    candidates = Candidates(con, layout, model, misread)
    return write_wrong(con, layout, model, candidates, candidates.inject(plan, seed), folder)


def write_wrong(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: ReadModel,
    candidates: Candidates,
    injection: Injection,
    folder: Path,
) -> tuple[int, list[Fault], list[dict[str, Any]]]:
    """Write the read model with the rows that were made wrong, and tell about these as the truth does."""
    _name_orphans(con, model, injection.wrong)
    explanations = Explanations(layout, injection.wrong, candidates.snapshots)
    written = _write(con, layout, model, injection.wrong, folder)
    numbers = {id(incident): number for number, incident in enumerate(injection.incidents, 1)}
    faults = [
        _fault(model, layout, one, listed, numbers)
        for one, listed in zip(injection.wrong, explanations.found, strict=True)
    ]
    faults.sort(key=lambda fault: fault["key"])
    seen = _seen(injection.wrong, explanations.found)
    return written, faults, _told(con, injection.incidents, seen)


def _ends(positions: Sequence[int]) -> tuple[int, int]:
    return min(positions), max(positions)


def _told(
    con: duckdb.DuckDBPyConnection, incidents: Sequence[Incident], seen: dict[int, set[int]]
) -> list[dict[str, Any]]:
    """Write incidents as the truth does."""
    ends = sorted({end for one in incidents if one.positions for end in _ends(one.positions)})
    con.register("wanted_positions", pa.table({"position": pa.array(ends, pa.int64())}))
    times = dict(
        con.execute(
            "SELECT position, strftime(recorded_at, '%Y-%m-%dT%H:%M:%S.%fZ') FROM logged "
            "SEMI JOIN wanted_positions USING (position)"
        ).fetchall()
    )
    con.unregister("wanted_positions")
    told = []
    for number, one in enumerate(incidents, 1):
        first, last = _ends(one.positions) if one.positions else (None, None)
        visible = seen.get(id(one), set())
        told.append(
            {
                "incident": number,
                "cause": one.cause,
                "burst": one.burst,
                "first_position": first,
                "last_position": last,
                "first_at": times.get(first),
                "last_at": times.get(last),
                "seen_first_position": min(visible, default=None),
                "seen_last_position": max(visible, default=None),
                "events": one.size,
                "rows": sorted(one.rows),
                "unchanged": sorted(one.unchanged),
            }
        )
    return told


def _seen(
    wrong: Sequence[Wrong], found: Sequence[list[list[dict[str, Any]]]]
) -> dict[int, set[int]]:
    """Return, for each incident, those of its positions that an explanation by its cause names."""
    seen: dict[int, set[int]] = defaultdict(set)
    for one, listed in zip(wrong, found, strict=True):
        for told, incident in zip(one.injected, one.incidents, strict=True):
            own = {event["position"] for event in told["events"]}
            for explanation in listed:
                for part in explanation:
                    if part["cause"] == told["cause"]:
                        seen[id(incident)] |= own & set(part.get("positions", ()))
    return seen


def _name_orphans(con: duckdb.DuckDBPyConnection, model: ReadModel, wrong: Sequence[Wrong]) -> None:
    """Give orphaned rows keys of no stream; they go on where the last key ended."""
    ((last,),) = con.execute(
        r"SELECT max(CAST(regexp_extract(key, '\d+$') AS BIGINT)) FROM heads"
    ).fetchall()
    orphans = [one for one in wrong if one.label == "orphaned"]
    for number, one in enumerate(orphans, 1):
        one.stored_as = model.key_format.format(last + 7 * number)
        one.incidents[0].rows = [one.stored_as]


def _write(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    model: ReadModel,
    wrong: Sequence[Wrong],
    folder: Path,
) -> int:
    kept = [one for one in wrong if one.stored is not None]
    replaced = [one.row.key for one in wrong if not one.stored_as]
    states = [one.stored for one in kept if one.stored is not None]
    columns: dict[str, Any] = {
        "key": pa.array([one.stored_as or one.row.key for one in kept], pa.string())
    }
    for place, (name, part) in enumerate(layout.parts.items()):
        kind = pa.string() if part.is_text else pa.int64()
        columns[name] = pa.array([state[place] for state in states], kind)
    for name in ("version", "position"):
        columns[name] = pa.array([_checkpoint(model, one)[name] for one in kept], pa.int64())
    con.register("wrong_rows", pa.table(columns))
    con.register("replaced_keys", pa.table({"key": pa.array(replaced, pa.string())}))
    stored = ", ".join(
        f"{part.stored.format(name)} AS {name}" for name, part in layout.parts.items()
    )
    rows = write_rows(
        con,
        model,
        folder,
        excluded="key IN (SELECT key FROM replaced_keys)",
        instead=f"SELECT key, {stored}, version, position FROM wrong_rows",
    )
    con.unregister("wrong_rows")
    con.unregister("replaced_keys")
    return rows


def _checkpoint(model: ReadModel, one: Wrong) -> dict[str, int]:
    """What a wrong row says that it has applied."""
    event = one.row.events[one.step - 1]
    version = one.step if model.version == "count(*)" else event["version"]
    return {"version": version, "position": event["position"]}


def _fault(
    model: ReadModel,
    layout: Layout,
    one: Wrong,
    explanations: list[list[dict[str, Any]]],
    numbers: dict[int, int],
) -> Fault:
    """Tell what a diff and an explanation have to find in a wrong row."""
    row, stored = one.row, one.stored
    states = layout.states(row.read)
    head = states[-1]
    checkpoint = {"version": None, "position": None} if stored is None else _checkpoint(model, one)
    fault: Fault = {"fault": one.label, "key": one.stored_as or row.key, **checkpoint}
    fault["head_version"] = (
        None
        if one.stored_as
        else len(row)
        if model.version == "count(*)"
        else row.events[-1]["version"]
    )
    equals = [step for step, state in enumerate(states, 1) if state == stored]
    if one.stored_as:
        kinds, equals = ("orphaned", "orphaned"), []
    elif stored is None:
        kinds, equals = ("missing", "missing"), []
    else:
        neither = "orphaned" if head is None else "corrupted"
        kinds = (
            "stale" if states[one.step - 1] == stored else neither,
            "stale" if equals else neither,
        )
    fault["class"], fault["class_without_checkpoint"] = kinds
    both = head is not None and stored is not None and not one.stored_as
    fault["columns"] = [
        name
        for name, ours, theirs in zip(layout.columns, head or (), stored or (), strict=False)
        if both and ours != theirs
    ]
    fault["equals_versions"] = equals
    fault["injected"] = [
        {"cause": told["cause"], "incident": numbers[id(incident)]}
        | {name: value for name, value in told.items() if name != "cause"}
        for told, incident in zip(one.injected, one.incidents, strict=True)
    ]
    fault["explanations"] = explanations
    return fault
