"""``workbench load`` from files, from a live Postgres and from a live Kafka topic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

import workbench as wb
from tests.cli import well, workbench
from tests.dead_letters import parquet, reference, spring
from tests.fix_kafka import Kafka
from tests.fix_postgres import Store
from tests.servers.kafka_client import Record, events
from workbench import samples
from workbench.cli.sources import client_settings
from workbench.errors import ConfigError


def url(conninfo: str) -> str:
    """A connection string as the command line takes it."""
    return f"postgresql:///?{urlencode(conninfo_to_dict(conninfo))}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.duckdb"


# -- files ---------------------------------------------------------------------------------------


def test_files_are_loaded_once(log: Path, tmp_path: Path) -> None:
    made = samples.generate("bank", tmp_path / "bank", events=300, seed=1)
    first = well("load", log, made.files[0], "--json").json
    assert first["events"] == 300
    (loaded,) = first["loads"]
    assert (loaded["read"], loaded["stored"], loaded["duplicate"], loaded["rejected"]) == (
        300,
        300,
        0,
        0,
    )
    assert set(loaded) == {
        *("source", "kind", "read", "stored", "duplicate", "rejected"),
        *("watermark", "gaps", "completeness", "notes"),
    }
    again = well("load", log, made.files[0], "--json").json
    assert (again["events"], again["loads"][0]["stored"]) == (300, 0)


def test_several_sources_are_sources_of_their_own(log: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"stream_id,event_type\n{name},Happened\n")
    loads = well("load", log, tmp_path / "a.csv", tmp_path / "b.csv", "--json").json["loads"]
    assert [one["source"] for one in loads] == [f"files:{tmp_path}/{name}.csv" for name in "ab"]


def test_columns_are_mapped(log: Path, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(
        'order_id,kind,at,who,body\n7,Paid,2026-06-30 16:02:00,,"{""by"": ""ann""}"\n'
    )
    mapped = ["stream_id=order_id", "event_type=kind", "occurred_at=at", "data=body"]
    mapped += ["actor=who", "actor=body.by", "stream_type==order"]
    columns = [part for one in mapped for part in ("--column", one)]
    well("load", log, tmp_path / "history.csv", *columns, "--timezone", "Europe/Madrid")
    with wb.open(log, read_only=True) as opened:
        (row,) = opened.sql("SELECT stream_id, stream_type, actor, occurred_at FROM events").rows()
    assert (row["stream_id"], row["stream_type"], row["actor"]) == ("7", "order", "ann")
    assert row["occurred_at"].isoformat() == "2026-06-30T14:02:00+00:00"


def test_prepare_gives_typed_columns(log: Path, tmp_path: Path) -> None:
    made = samples.generate("bank", tmp_path / "bank", events=100, seed=1)
    well("load", log, made.files[0], "--prepare", "bank.account_summary")
    with wb.open(log, read_only=True) as opened:
        names = [row["column_name"] for row in opened.sql("DESCRIBE events").rows()]
    assert any("amount" in name for name in names)


def test_rejects_are_told(log: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.ndjson").write_text('{"stream_id": "a", "event_type": "Ok"}\nno json\n')
    done = well("load", log, tmp_path / "bad.ndjson")
    assert "! 1 records were rejected" in done.out


# -- Postgres ------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_live_postgres(log: Path, store: Store) -> None:
    with store.connect() as connection:
        for version in range(1, 41):
            store.append(connection, f"acc-{version % 4}", version, '{"amount": 1.10}')
    name = ["--name", "bank"]
    assert well("load", log, url(store.dsn), *name, "--json").json["loads"][0]["stored"] == 40
    assert well("load", log, url(store.dsn), *name, "--json").json["loads"][0]["read"] == 0
    with store.connect() as connection:
        store.append(connection, "acc-9", 1)
    after = well("load", log, url(store.dsn), *name, "--json").json
    assert (after["loads"][0]["stored"], after["events"]) == (1, len(store.positions()))


@pytest.mark.postgres
def test_a_read_model_in_postgres(log: Path, store: Store, tmp_path: Path) -> None:
    with store.connect() as connection:
        store.append(connection, "acc-1", 1, '{"amount": 2.50}')
        store.append(connection, "acc-2", 1, '{"amount": 4.00}')
    store.execute("CREATE TABLE accounts (acct text, balance numeric(12, 2))")
    store.execute("INSERT INTO accounts VALUES ('acc-1', 2.50), ('acc-2', 40.00)")
    (tmp_path / "mine.py").write_text(
        "import workbench as wb\n"
        "accounts = wb.Projection('accounts', {'balance': wb.total('amount')}, key={'id': 'event.stream_id'})\n"
    )
    well("load", log, url(store.dsn), "--name", "bank")
    arguments = ["diff", log, f"{tmp_path}/mine.py:accounts", url(store.dsn)]
    done = workbench(*arguments, "--table", "accounts", "--column", "acct=id", "--json")
    assert done.code == 1
    assert {name: n for name, n in done.json["counts"].items() if n} == {"match": 1, "corrupted": 1}
    (row,) = done.json["rows"]
    assert (row["id"], row["stored_balance"], row["replayed_balance"]) == ("acc-2", "40.00", "4.00")


@pytest.mark.postgres
def test_doctor_looks_at_postgres(store: Store) -> None:
    checks = {
        one["name"]: one
        for one in workbench("doctor", "--dsn", url(store.dsn), "--json").json["checks"]
    }
    assert checks["Postgres"]["found"].startswith("PostgreSQL 1")
    # The tests are superuser, which a doctor does not like to see.
    assert (checks["Postgres"]["state"], "SELECT" in checks["Postgres"]["next"]) == ("warn", True)


# -- Kafka ---------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_a_live_topic(log: Path, kafka: Kafka) -> None:
    topic = kafka.topic(partitions=2)
    kafka.send(topic, events(60))
    source = f"kafka://{kafka.bootstrap}/{topic}"
    first = well("load", log, source, "--option", "client_id=audit", "--json").json
    assert (first["events"], first["loads"][0]["kind"]) == (60, "kafka")
    assert well("load", log, source, "--json").json["loads"][0]["read"] == 0
    kafka.send(topic, events(5, start=61))
    after = well("load", log, source, "--json").json
    assert (after["loads"][0]["stored"], after["events"]) == (5, 65)


@pytest.mark.kafka
def test_topics_by_pattern_and_until(log: Path, kafka: Kafka) -> None:
    word = kafka.name("shop")
    for part in ("a", "b"):
        kafka.create(f"{word}.{part}")
        kafka.send(f"{word}.{part}", events(3, stream=part))
    source = f"kafka://{kafka.bootstrap}/{word}.*"
    early = ["--until", "2020-01-01T00:00Z", "--name", "early"]
    assert well("load", log, source, *early, "--json").json["events"] == 0
    assert well("load", log, source, "--from", "start", "--json").json["events"] == 6


@pytest.mark.kafka
def test_doctor_looks_at_kafka(kafka: Kafka) -> None:
    kafka.topic()
    checks = {
        one["name"]: one
        for one in workbench("doctor", "--kafka", kafka.bootstrap, "--json").json["checks"]
    }
    assert checks["Kafka"]["state"] == "ok"
    assert "topics" in checks["Kafka"]["found"]


def test_doctor_tells_of_servers_that_are_not_there() -> None:
    done = workbench(
        "doctor", "--dsn", "postgresql://nobody@127.0.0.1:1/x?connect_timeout=2", "--json"
    )
    assert (done.code, done.json["ok"]) == (1, False)
    (postgres,) = [one for one in done.json["checks"] if one["name"] == "Postgres"]
    assert postgres["state"] == "fail"
    assert postgres["next"]


def test_client_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "s3cret")
    assert client_settings({"sasl_plain_password": "env:KAFKA_PASSWORD"}) == {
        "sasl_plain_password": "s3cret"
    }
    assert "ssl_context" in client_settings({"security_protocol": "SASL_SSL"})
    assert "ssl_context" not in client_settings({"security_protocol": "SASL_PLAINTEXT"})
    with pytest.raises(ConfigError, match="no environment variable 'ABSENT'"):
        client_settings({"sasl_plain_password": "env:ABSENT"})
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"certificates .*ca\.pem"):
        client_settings({"ssl_cafile": str(tmp_path / "ca.pem")})


# -- interruption --------------------------------------------------------------------------------


def test_ctrl_c_leaves_the_log_whole(log: Path, tmp_path: Path) -> None:
    made = samples.generate("bank", tmp_path / "bank", events=200_000, seed=1)
    pattern = f"{tmp_path}/bank/events*"
    started = subprocess.Popen(
        [sys.executable, "-m", "workbench", "load", str(log), pattern, "--name", "bank"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell makes what runs in its background deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    # The load itself has begun once the file is there and grows.
    while (not log.exists() or log.stat().st_size < 1 << 20) and time.monotonic() < deadline:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, "")
    assert err.startswith("error: interrupted")
    with wb.open(log, read_only=True) as opened:
        kept = len(opened)
        assert kept < made.events
        assert opened.health().sources[0].status == "interrupted"
    after = well("load", log, pattern, "--name", "bank", "--json").json
    assert (after["events"], after["loads"][0]["stored"]) == (made.events, made.events - kept)


# -- dead letters ----------------------------------------------------------------------------------


def test_dead_letters_are_loaded_from_files(log: Path, tmp_path: Path) -> None:
    path = parquet(tmp_path / "dead.parquet", [spring(), reference()])
    done = well("load", log, path, "--dead-letters", "any", "--name", "dlq")
    assert f"{log} holds 0 events and 2 dead letters now" in done.out
    again = well("load", log, path, "--dead-letters", "any", "--name", "dlq", "--json").json
    assert (again["events"], again["dead_letters"], again["loads"][0]["read"]) == (0, 2, 0)
    assert again["loads"][0]["kind"] == "dead letters"
    assert "dead letters" in well("health", log).out


def test_dead_letters_are_loaded_from_a_topic(log: Path, kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(reference().value)])
    url = f"kafka://{kafka.bootstrap}/{topic}"
    (loaded,) = well("load", log, url, "--dead-letters", "reference", "--json").json["loads"]
    assert (loaded["source"], loaded["stored"]) == (
        f"dead letters of kafka:{kafka.bootstrap}/{topic}",
        1,
    )


def test_dead_letters_are_loaded_from_a_table(log: Path, store: Store) -> None:
    store.execute(
        "CREATE TABLE wolverine_dead_letters AS SELECT gen_random_uuid() AS id, '{}'::bytea AS body, 'T' AS message_type, "
        "'E' AS exception_type, 'm' AS exception_message, now() AS sent_at"
    )
    arguments = ("--table", "wolverine_dead_letters", "--dead-letters", "wolverine", "--json")
    (loaded,) = well("load", log, url(store.dsn), *arguments).json["loads"]
    assert (loaded["stored"], loaded["watermark"]) == (1, "1 rows of wolverine_dead_letters")


def test_wrong_formats_of_dead_letters_are_refused(log: Path, tmp_path: Path) -> None:
    path = parquet(tmp_path / "dead.parquet", [spring()])
    assert "Did you mean 'spring'" in workbench("load", log, path, "--dead-letters", "sprung").err
    done = workbench("load", log, path, "--dead-letters", "any", "--format", "parquet")
    assert "dead letters are known by their content" in done.err
    done = workbench("load", log, path, "--dead-letters", "any", "--table", "x")
    assert "--table is for sources of kind postgres" in done.err
