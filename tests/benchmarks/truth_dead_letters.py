"""Dead letters of generated logs against what the generator did: rates, events, roles, fingerprints, exactly.

Run by hand: ``python -m tests.benchmarks.truth_dead_letters --events 1_000_000 --seeds 1 2 3`` (some minutes). It
generates a checkout for each seed, loads and analyses it, prints the rates beside those of the truth file, then
compares letter by letter. Exits with 1 when anything differs.

``--broker`` sends events and dead letters to a broker first, and loads them from there; without an address, to one
that is started for it. The dumps of the two tables, Axon's and Wolverine's, are loaded from their files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

import workbench as wb
from tests.benchmarks.through_broker import at_broker, load_events
from tests.servers.kafka_client import Client, Record
from workbench import samples
from workbench._sql import text
from workbench.analysis.dead_letters import DeadLetters

RECORDS = "dead_letters"
TABLES = ("dead_letters_axon", "dead_letters_wolverine")
#: What our rows and the truth have to agree on, letter by letter.
_SAME = ("role", "consumer", "error_class", "attempts", "dead_lettered_at", "sequence_index")


def differences(log: wb.EventLog, folder: Path, suffix: str = "") -> list[str]:
    """Say what of a log's dead letters is not as the truth in a folder has it; nothing: all is equal.

    Parameters
    ----------
    suffix
        What the topics' names have at their end, where the records were sent to topics of their own.
    """
    told = json.loads((folder / "dead_letters_truth.json").read_text())
    letters = log.dead_letters()
    found = [
        *_rates(letters, told),
        *_letters(log, letters, folder, suffix),
        *_fingerprints(letters, told),
    ]
    for what, expected, ours in (
        ("dead letters", told["dead_letters"], len(letters)),
        (
            "distinct events",
            told["distinct_events"],
            letters.query("SELECT count(DISTINCT event_key) AS n FROM result").rows()[0]["n"],
        ),
        ("by_format", told["by_format"], _counts(letters, "format")),
        ("by_consumer", told["by_consumer"], _counts(letters, "consumer")),
        ("by_error_class", told["by_error_class"], _counts(letters, "error_class")),
        ("by_role", told["by_role"], _roles(letters)),
        (
            "by_attempts",
            told["by_attempts"],
            {_name(row["attempts"]): row["dead_letters"] for row in letters.attempts().rows()},
        ),
        ("by_day", told["by_day"], _days(letters)),
    ):
        if expected != ours:
            found.append(f"{what}: {ours}, and in truth {expected}")
    return found


def rates(letters: DeadLetters) -> dict[str, tuple[int, int, float | None]]:
    """Return event type -> given up, events, rate."""
    return {
        row["event_type"]: (row["given_up"], row["events"], row["rate"])
        for row in letters.by("event_type").rows()
        if row["event_type"] is not None
    }


def _rates(letters: DeadLetters, told: dict[str, Any]) -> list[str]:
    ours = rates(letters)
    found = []
    for kind, truth in told["rates"].items():
        expected = (truth["dead_lettered"], truth["events"], truth["rate"])
        if truth["dead_lettered"] == 0 and kind not in ours:
            continue
        if ours.get(kind) != expected:
            found.append(f"rate of {kind}: {ours.get(kind)}, and in truth {expected}")
    return found + [f"rate of {kind}: not in truth" for kind in ours if kind not in told["rates"]]


#: The generator knows why a letter failed, and no letter of its roots failed because of another one. Whoever has the
#: letters alone cannot tell, and calls those followers that stand behind an earlier one of their stream and consumer.
_EXPECTED = """
WITH told AS (
    SELECT t.*, coalesce(t.event_id, o.event_id) AS known_id,
        coalesce(t.consumer, split_part(t.source_position, '/', 1)) AS who
    FROM truth t LEFT JOIN (
        SELECT origin_topic, origin_partition, origin_offset, max(event_id) AS event_id FROM truth
        WHERE origin_offset IS NOT NULL GROUP BY ALL
    ) o USING (origin_topic, origin_partition, origin_offset)
), known AS (
    SELECT t.source_position, t.who, t.role, t.sequence_index, coalesce(t.known_id, t.source_position) AS event,
        coalesce(e.stream_id, t.stream_id) AS stream,
        (coalesce(e.version, t.version, 9223372036854775807), coalesce(t.dead_lettered_at, 'infinity')) AS turn
    FROM told t LEFT JOIN events e ON e.event_id = t.known_id
)
SELECT a.source_position, CASE WHEN a.role = 'root' AND a.sequence_index IS NULL AND EXISTS (
    SELECT 1 FROM known b
    WHERE b.who = a.who AND b.stream = a.stream AND b.event <> a.event AND b.turn < a.turn
) THEN 'follower' ELSE a.role END AS role FROM known a
"""


def _letters(log: wb.EventLog, letters: DeadLetters, folder: Path, suffix: str) -> list[str]:
    columns = ", ".join(_SAME)
    place = f"replace(source_position, {text(suffix)}, '')" if suffix else "source_position"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("letters", letters.arrow())
        con.execute(
            f"CREATE TABLE truth AS FROM read_parquet({text(str(folder / 'dead_letters_truth.parquet'))})"
        )
        ids = con.sql(
            "SELECT DISTINCT event_id FROM truth WHERE event_id IS NOT NULL"
        ).to_arrow_table()
        reading = log._view.database.cursor()
        reading.register("ids", ids)
        con.register(
            "events",
            reading.sql(
                "SELECT event_id, stream_id, version FROM log.main.events SEMI JOIN ids USING (event_id)"
            ).to_arrow_table(),
        )
        con.execute(f"CREATE TABLE expected AS {_EXPECTED}")
        ours = f"SELECT {place} AS place, {columns} FROM letters"
        theirs = (
            f"SELECT source_position AS place, {columns.replace('role', 'e.role')} "
            "FROM truth JOIN expected e USING (source_position)"
        )
        rows = con.execute(
            f"SELECT place FROM ({ours} EXCEPT ALL {theirs}) UNION SELECT place FROM ({theirs} EXCEPT ALL {ours}) LIMIT 5"
        ).fetchall()
        # A fingerprint of ours is one of theirs, and the other way round.
        both = f"SELECT l.fingerprint AS ours, t.fingerprint AS truth FROM letters l JOIN truth t ON {place.replace('source_position', 'l.source_position')} = t.source_position"
        mixed = con.execute(
            f"SELECT truth, count(DISTINCT ours), any_value(ours) FROM ({both}) GROUP BY truth HAVING "
            "count(DISTINCT ours) <> (truth IS NOT NULL)::INT OR count(ours) NOT IN (0, count(*)) "
            f"UNION ALL SELECT any_value(truth), count(DISTINCT truth), ours FROM ({both}) WHERE ours IS NOT NULL "
            "GROUP BY ours HAVING count(DISTINCT truth) <> 1"
        ).fetchall()
    return [f"letter {one} differs" for (one,) in rows] + [
        f"fingerprint {one} differs" for one in mixed
    ]


def _fingerprints(letters: DeadLetters, told: dict[str, Any]) -> list[str]:
    ours = sorted((row["dead_letters"], _stamp(row["first_at"])) for row in _ways(letters))
    truth = sorted(
        (one["dead_letters"], _name(one["first_dead_lettered_at"])) for one in told["fingerprints"]
    )
    return [] if ours == truth else [f"fingerprints: {ours}, and in truth {truth}"]


def _ways(letters: DeadLetters) -> list[dict[str, Any]]:
    return [row for row in letters.fingerprints().rows() if row["fingerprint"] is not None]


def _stamp(moment: Any) -> str:
    return "null" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _counts(letters: DeadLetters, by: Any) -> dict[str, int]:
    return {_name(row[by]): row["dead_letters"] for row in letters.by(by).rows()}


def _roles(letters: DeadLetters) -> dict[str, int]:
    """Count roles as the generator has them: what follows in its stream alone failed by itself."""
    found = _counts(letters, "role")
    follows = found.pop("follower", 0)
    return {**found, "root": found.get("root", 0) + follows}


def _days(letters: DeadLetters) -> dict[str, int]:
    rows = letters.query(
        "SELECT CAST(CAST(dead_lettered_at AS DATE) AS VARCHAR) AS day, count(*) AS n FROM result GROUP BY day"
    ).rows()
    return {_name(row["day"]): row["n"] for row in rows}


def _name(value: object) -> str:
    return "null" if value is None else str(value)


def load_files(folder: Path, events: Sequence[Path], log: wb.EventLog) -> None:
    """Load events and dead letters from their files."""
    log.load(wb.files([str(file) for file in events], name="events"), progress=False)
    for file in (RECORDS, *TABLES):
        log.load(wb.dead_letters(folder / f"{file}.parquet", name=file), progress=False)


def load_from_broker(
    folder: Path, events: Sequence[Path], client: Client, suffix: str, log: wb.EventLog
) -> None:
    """Send events and dead letters to topics whose names end with ``suffix``; load them from there."""
    load_events(client, events, suffix, log)
    dead = _send_records(client, folder / f"{RECORDS}.parquet", suffix)
    log.load(wb.dead_letters(wb.kafka(client.bootstrap, dead), name=RECORDS), progress=False)
    for file in TABLES:
        log.load(wb.dead_letters(folder / f"{file}.parquet", name=file), progress=False)


def _send_records(client: Client, file: Path, suffix: str) -> list[str]:
    """Send records as they are, each to its own partition; their offsets are those of the file."""
    names = []
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        source = f"read_parquet({text(str(file))})"
        topics = con.execute(
            f"SELECT topic, max(partition) + 1 FROM {source} GROUP BY topic ORDER BY topic"
        ).fetchall()
        for topic, partitions in topics:
            names.append(client.create(f"{topic}{suffix}", partitions))
            rows = con.execute(
                f"SELECT value, key, partition, headers, epoch_ms(timestamp) FROM {source} "
                f'WHERE topic = {text(topic)} ORDER BY partition, "offset"'
            ).fetchall()
            client.send(
                names[-1],
                [
                    Record(
                        value, key, partition, [(one["name"], one["value"]) for one in headers], at
                    )
                    for value, key, partition, headers, at in rows
                ],
            )
    return names


def main() -> int:
    """Compare, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--broker", nargs="?", const="", metavar="HOST:PORT")
    arguments = parser.parse_args()
    equal = True
    with at_broker(arguments.broker) as client:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as name:
                equal = _compare(Path(name), arguments.events, seed, client) and equal
    print("all equal" if equal else "NOT EQUAL")
    return 0 if equal else 1


def _compare(folder: Path, events: int, seed: int, client: Client | None) -> bool:
    made = samples.generate("checkout", folder, events=events, seed=seed)
    suffix = f".{uuid.uuid4().hex[:8]}" if client is not None else ""
    with wb.open(folder / "log.duckdb") as log:
        if client is None:
            load_files(folder, made.files, log)
        else:
            load_from_broker(folder, made.files, client, suffix, log)
        begun = time.perf_counter()
        found = differences(log, folder, suffix)
        taken = time.perf_counter() - begun
        letters = log.dead_letters()
        print(f"seed {seed}, {len(log):,} events, {len(letters):,} dead letters, {taken:.1f} s")
        told = json.loads((folder / "dead_letters_truth.json").read_text())
        print(f"{'':30}{'given up':>10}{'events':>10}{'rate':>9}   in truth{'':>2}{'events':>10}")
        for kind, (given_up, of, rate) in rates(letters).items():
            truth = told["rates"][kind]
            print(
                f"  {kind:28}{given_up:>10,}{of:>10,}{rate or 0:>9.3%}   "
                f"{truth['dead_lettered']:>10,}{truth['events']:>10,}"
            )
        for what, ours, expected in (
            ("roots, and what follows them", _roles(letters)["root"], told["by_role"]["root"]),
            ("blocked", _roles(letters)["blocked"], told["by_role"]["blocked"]),
            ("fingerprints", len(_ways(letters)), len(told["fingerprints"])),
            (
                "attempts told",
                letters.query("SELECT count(attempts) AS n FROM result").rows()[0]["n"],
                told["dead_letters"] - told["by_attempts"].get("null", 0),
            ),
        ):
            print(f"  {what:28}{ours:>10,}{'':22}{expected:>10,}")
        follows = _counts(letters, "role").get("follower", 0)
        print(f"  {follows:,} of them stand behind an earlier letter of their stream and consumer")
        for line in found:
            print(f"  DIFFERS: {line}")
    sys.stdout.flush()
    return not found


if __name__ == "__main__":
    sys.exit(main())
