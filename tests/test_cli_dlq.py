"""``workbench dlq``: what it tells, what it plans, and that it sends only when it is told to."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.cli import well, workbench
from tests.fix_kafka import Kafka
from tests.servers.kafka_client import Record, event
from workbench.samples import path

INCIDENT = "c79ba415cb45"
MINE = """
import workbench as wb
def placed(order): pass
def reserved(order):
    if order.get("cancelled"):
        raise ValueError("the order is cancelled")
def cancelled(order): order["cancelled"] = True
orders = wb.Fold("orders", dict, {"OrderCreated": placed, "InventoryReserved": reserved, "OrderCancelled": cancelled},
                 key={"order_id": "orderId"})
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = path("checkout/events.ndjson.gz").parent
    file = tmp_path_factory.mktemp("dlq") / "checkout.duckdb"
    with wb.open(file) as opened:
        opened.load(wb.files(folder / "events.ndjson.gz"), progress=False)
        for name in ("dead_letters", "dead_letters_axon", "dead_letters_wolverine"):
            opened.load(wb.dead_letters(folder / f"{name}.parquet", name=name), progress=False)
    return file


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "mine_orders.py").write_text(MINE)
    before = list(sys.path)
    yield f"{tmp_path / 'mine_orders.py'}:orders"
    sys.path[:] = before
    sys.modules.pop("mine_orders", None)


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = json.loads(
        path("checkout/dead_letters_truth.json").read_text()
    )
    return told


def test_it_tells_rates_with_their_denominator(log: Path, truth: dict[str, dict[str, int]]) -> None:
    out = well("dlq", log).out
    assert f"{truth['dead_letters']} of {truth['distinct_events']} events; 18 fingerprints" in out
    assert f"{truth['by_role']['root']} root, {truth['by_role']['blocked']} blocked" in out
    (line,) = [line for line in out.splitlines() if line.startswith("OrderShipped")]
    assert line.split()[1:5] == ["21", "21", "1,317", "1.59%"]


def test_json_holds_all_rows(log: Path, truth: dict[str, dict[str, int]]) -> None:
    found = well("dlq", log, "--by", "consumer", "--json").json
    assert found["dead_letters"] == truth["dead_letters"]
    by = {
        str(row["consumer"]).replace("None", "null"): row["dead_letters"] for row in found["rows"]
    }
    assert by == truth["by_consumer"]


def test_new_fingerprints_come_first(log: Path) -> None:
    asked = ("dlq", log, "--fingerprints", "--new-since", "2026-06-08T00:00Z", "--json")
    rows = well(*asked).json["rows"]
    assert rows[0]["fingerprint"] == INCIDENT
    assert rows[0]["new"]
    assert [row["new"] for row in rows] == sorted((row["new"] for row in rows), reverse=True)


@pytest.mark.parametrize("view", ["--streams", "--attempts", "--times"])
def test_other_questions_are_answered(log: Path, view: str) -> None:
    rows = well("dlq", log, view, "--json").json["rows"]
    assert sum(row["dead_letters"] for row in rows) in (288, 290)  # of two no stream is known


def test_letters_are_chosen(log: Path) -> None:
    def number(*options: str) -> int:
        return int(well("dlq", log, *options, "--json").json["dead_letters"])

    assert number("--fingerprint", INCIDENT) == 15
    assert number("--consumer", "crm", "--consumer", "warehouse") == 37 + 23
    assert number("--role", "blocked") == 17
    assert number("--type", "OrderShipped") == 21
    assert number("--stream", "inventory-001102-1") == 1
    assert number("--fingerprint", INCIDENT, "--as-of", "2026-06-11T12:00Z") == 4


def test_rows_and_charts_go_to_files(log: Path, tmp_path: Path) -> None:
    rows, chart = tmp_path / "rates.csv", tmp_path / "rates.png"
    done = well("dlq", log, "--by", "error_class", "-o", rows, "--chart", chart)
    with rows.open() as file:
        assert sum(int(row["dead_letters"]) for row in csv.DictReader(file)) == 290
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert f"The chart is in {chart}." in done.out


def test_a_dry_run_says_what_would_fold_and_what_still_fails(log: Path, mine: str) -> None:
    before = log.read_bytes()
    asked = (
        "dlq",
        log,
        "--fingerprint",
        INCIDENT,
        "--redrive",
        "--definition",
        mine,
        "--to",
        "again",
    )
    out = well(*asked).out
    assert "13 to send, 2 held back" in out
    assert "13 folds, 2 fails late" in out
    assert "the order is cancelled" in out
    assert "nothing was sent" in out
    found = well(*asked, "--json").json
    assert found["verdicts"] == {"folds": 13, "fails late": 2}
    assert [row["n"] for row in found["rows"]] == list(range(1, 16))
    assert log.read_bytes() == before


def test_nothing_was_redriven(log: Path) -> None:
    assert "nothing was re-driven from this log" in well("dlq", log, "--redrives").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "consummer"], "Did you mean 'consumer'"),
        (["--role", "victim"], "a dead letter is root, blocked, follower"),
        (["--streams", "--attempts"], "ask for one of them"),
        (["--send", "127.0.0.1:1"], "belong to --redrive"),
        (["--failing"], "belong to --redrive"),
        (["--redrive", "--definition", "bank.acount"], "Did you mean"),
        (["--redrive", "--send", "127.0.0.1:1", "--option", "x"], "KEY=VALUE"),
        (["-o", "x.txt"], "rows are written as"),
    ],
)
def test_errors_say_the_next_step(log: Path, arguments: list[str], said: str) -> None:
    done = workbench("dlq", log, *arguments)
    assert done.code == 2
    assert said in done.err


@pytest.mark.kafka
def test_it_sends_when_it_is_told_to_and_once(kafka: Kafka, tmp_path: Path) -> None:
    topic, dead = kafka.topic(1), kafka.topic(1)
    kafka.send(topic, [Record(event(number), b"acc-1") for number in (1, 2, 3)])
    headers = {"topic": topic, "partition": 0, "connector.name": "sink", "stage": "TASK_PUT"}
    letters = [
        Record(event(offset + 1), b"acc-1", headers=[
            (f"__connect.errors.{name}", str(value).encode())
            for name, value in {**headers, "offset": offset}.items()
        ])
        for offset in (2, 0)
    ]  # fmt: skip
    kafka.send(dead, letters)
    file = tmp_path / "log.duckdb"
    with wb.open(file) as log:
        log.load(wb.kafka(kafka.bootstrap, topic), progress=False)
        log.load(wb.dead_letters(wb.kafka(kafka.bootstrap, dead)), progress=False)

    well("dlq", file, "--redrive")
    assert kafka.offsets(topic) == (0, 3)
    sending = ("dlq", file, "--redrive", "--send", kafka.bootstrap, "--rate", "100", "--json")
    first, second = well(*sending).json, well(*sending).json

    assert (first["sent"]["sent"], second["sent"]["sent"], second["sent"]["before"]) == (2, 0, 2)
    assert [record.value for record in kafka.read(topic)[3:]] == [event(1), event(3)]
    assert well("dlq", file, "--redrives", "--json").json["outcomes"] == {"not seen": 2}
