"""What ``diff`` and ``explain`` say about generated read models with every cause, against the truth: a confusion table.

Run by hand: ``python -m tests.benchmarks.truth_explain --events 1_000_000 --seeds 1 2 3`` (``--events 60_000`` takes seconds).
For each data set, with the checkpoint: rows whose class is right; rows for which the named hypotheses are all that the truth lists
(*all*), lack one (*lacks*) or have one more (*invents*); and the injected cause and events against the simplest hypothesis.
The truth is made by another program, which tries every cause on every row (see ``datasets/README.md``, 'Causes').
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import workbench as wb
from workbench import samples
from workbench.analysis.explain import Explanation, causes
from workbench.bundled import account, account_summary, order_summary
from workbench.bundled.guarded import account_guarded
from workbench.bundled.upcasters import upcasters

#: A hypothesis or an explanation of the truth: its parts, each a cause and the positions of its events.
Parts = frozenset[tuple[str, tuple[int, ...]]]

#: Kind -> definition, and its truth.
DEFINITIONS = {
    "bank": {
        "projection": (account_summary, "truth.json"),
        "fold": (account, "truth.json"),
        "fold that refuses": (account_guarded, "account_guarded_truth.json"),
    },
    "checkout": {"projection by a payload field": (order_summary, "truth.json")},
}
_NAMES = {
    causes.SKIPPED: "skipped",
    causes.RUN_SKIPPED: "skipped",
    causes.TWICE: "doubled",
    causes.RUN_TWICE: "doubled",
    causes.SWAPPED: "swapped",
    causes.NOT_UPCAST: "un-upcast",
    causes.WRONG_KEY: "wrong key",
    causes.BAD_SNAPSHOT: "bad snapshot",
    causes.OTHER_SNAPSHOT: "bad snapshot",
}


@dataclass
class Score:
    """The counts of one data set."""

    rows: int = 0
    class_right: int = 0
    all: int = 0
    lacks: int = 0
    invents: int = 0
    top: Counter[tuple[str, str]] = field(default_factory=Counter)
    event_right: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    unexpected: int = 0
    incomplete: int = 0
    cut: int = 0


def told(fault: dict[str, Any]) -> set[Parts]:
    """Return the explanations of the truth that hold before the row's own checkpoint."""
    found = set()
    for explanation in fault["explanations"]:
        parts = [
            (part["cause"], tuple(part.get("positions", ())))
            for part in explanation
            # That a row with a checkpoint behind its head is late, too, is what its class and checkpoint say.
            if not (part["cause"] == "stale" and len(explanation) > 1)
        ]
        found.add(_grouped(parts))
    return found


def _grouped(parts: Sequence[tuple[str, tuple[int, ...]]]) -> Parts:
    by_cause: dict[str, list[int]] = defaultdict(list)
    for cause, positions in parts:
        by_cause[cause] += positions
    return frozenset((cause, tuple(sorted(positions))) for cause, positions in by_cause.items())


def named(row: dict[str, Any]) -> set[Parts]:
    """Return what one of our hypotheses is in the words of the truth."""
    cause, positions = row["cause"], tuple(row["positions"])
    match cause:
        case causes.STOPPED:
            return {_grouped([("stale", positions)]), _grouped([("skipped", positions)])}
        case causes.NOT_WRITTEN:
            return {_grouped([("missing", ())]), _grouped([("skipped", positions)])}
        case causes.UNEXPLAINED if row["class"] == "orphaned":
            return {_grouped([("orphaned", ())])}
        case causes.UNEXPLAINED:
            return set()
        case causes.TWO:
            return {_grouped(_two(row))}
        case _:
            return {_grouped([(_NAMES[cause], positions)])}


def _two(row: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    ways = row["detail"].split(", ")
    positions = list(row["positions"])
    # Each has its own events, in the order of the log; a swap has two.
    first = 2 if ways[0] == causes.SWAPPED else 1
    return [
        (_NAMES[ways[0]], tuple(positions[:first])),
        (_NAMES.get(ways[1], "stale"), tuple(positions[first:])),
    ]


def judged(
    explanation: Explanation, faults: Sequence[dict[str, Any]], all_faults: Sequence[dict[str, Any]]
) -> Score:
    """Hold an explanation against the truth."""
    score = Score()
    diff = explanation.diff
    (key,) = diff.definition.key
    ours: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in explanation.rows():
        ours[row[key]].append(row)
    score.unexpected = len(ours.keys() - {fault["key"] for fault in all_faults})
    for fault in faults:
        rows = ours.get(fault["key"], [])
        score.rows += 1
        score.class_right += bool(rows) and rows[0]["class"] == fault["class"]
        wanted = told(fault)
        given: set[Parts] = set()
        for row in rows:
            # What can be said in two ways is right when the truth says it in one of them.
            ways = named(row)
            given |= ways & wanted or ways
        lacking, more = wanted - given, given - wanted
        # Of one cause fifty are listed; 'alike' says how many there are.
        cut = {_NAMES[row["cause"]] for row in rows if row["alike"] > causes.MOST_SHOWN}
        lacking = {parts for parts in lacking if not any(cause in cut for cause, _ in parts)}
        if rows and rows[0]["class"] in ("missing", "stale"):
            more = {parts for parts in more if not any(cause == "skipped" for cause, _ in parts)}
        complete = not rows or rows[0]["complete"]
        score.incomplete += not complete
        score.all += not lacking and not more
        if not complete:
            # Such a row says that not everything could be tried: what it lacks is not claimed not to be.
            score.cut += bool(lacking or more)
            lacking, more = set(), set()
        score.lacks += bool(lacking)
        score.invents += bool(more)
        if (lacking or more) and len(score.examples) < 12:
            shown = {"lacks": sorted(map(sorted, lacking)), "invents": sorted(map(sorted, more))}
            score.examples.append(
                f"{fault['fault']} {fault['key']} (version {fault['version']} of {fault['head_version']}): {json.dumps(shown)[:400]}"
            )
        injected = _grouped(
            [
                (each["cause"], tuple(e["position"] for e in each["events"]))
                for each in fault["injected"]
            ]
        )
        score.injected[fault["fault"]] += 1
        best = rows[0]["cause"] if rows else "(not found)"
        score.top[fault["fault"], best] += 1
        # Equal, or one of those that nobody can tell from it; the truth lists these.
        score.event_right[fault["fault"]] += bool(wanted & given) or (
            bool(rows) and injected in given
        )
    return score


def sets(
    folder: Path, events: int, seeds: Sequence[int], domains: Sequence[str]
) -> Iterator[tuple[str, Path, int]]:
    """Generate the data sets."""
    for domain in domains:
        for seed in seeds:
            target = folder / f"{domain}-{seed}"
            samples.generate(
                domain, target, events=events, seed=seed, faults="causes", schema_versions=3
            )
            yield domain, target, seed


def main() -> None:
    """Print the confusion table of each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--domains", nargs="+", default=["bank", "checkout"])
    parser.add_argument(
        "--kinds", nargs="+", default=[kind for kinds in DEFINITIONS.values() for kind in kinds]
    )
    parser.add_argument("--examples", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for domain, target, seed in sets(
            Path(name), arguments.events, arguments.seeds, arguments.domains
        ):
            log = wb.open(target / "log.duckdb")
            log.load(wb.files(str(target / "events*.parquet"), name=domain), progress=False)
            log = log.upcast(*upcasters(domain))
            for kind, (definition, name_of_truth) in DEFINITIONS[domain].items():
                if kind not in arguments.kinds:
                    continue
                truth = json.loads((target / name_of_truth).read_text())
                faults = truth["faults"]
                if definition is account:
                    faults = [_readable(one) for one in faults if "un-upcast" not in one["fault"]]
                model = wb.read_model(target / f"{truth['read_model']}.parquet", version="version")
                start = time.perf_counter()
                diff = log.diff(definition, model)
                middle = time.perf_counter()
                explanation = diff.explain()
                end = time.perf_counter()
                report(
                    f"{domain}, seed {seed}, {kind}: {arguments.events:,} events, diff {middle - start:.1f} s, explain {end - middle:.1f} s",
                    judged(explanation, faults, truth["faults"]),
                    arguments.examples,
                )
            log.close()


def _readable(fault: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the fold fails on: it cannot be given a deposit of version 1 as that is stored."""
    explanations = [
        parts
        for parts in fault["explanations"]
        if all(part["cause"] != "un-upcast" for part in parts)
    ]
    return fault | {"explanations": explanations}


def report(title: str, score: Score, examples: int) -> None:
    """Print one confusion table."""
    print(f"\n== {title}")
    print(
        f"{score.rows} wrong rows: class right {score.class_right}, exactly the explanations of the truth {score.all}, "
        f"lacks one {score.lacks}, invents one {score.invents}; rows that are right and were called wrong {score.unexpected}; "
        f"rows that say that not everything was tried {score.incomplete}, of which {score.cut} differ from the truth"
    )
    for fault, rows in sorted(score.injected.items()):
        best = ", ".join(
            f"{cause} {n}" for (one, cause), n in score.top.most_common() if one == fault
        )
        print(
            f"  {fault:20} {rows:5} rows, cause and events named {score.event_right[fault]:5}; simplest: {best}"
        )
    for line in score.examples[:examples]:
        print(f"  ! {line}")


if __name__ == "__main__":
    main()
