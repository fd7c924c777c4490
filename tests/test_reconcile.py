"""Reconcile: read models in a real Postgres are put right in one transaction, or not at all."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import workbench as wb
from tests.fix_log import MakeLog
from tests.fix_postgres import Database
from workbench.errors import ConfigError, RepairError

pytestmark = pytest.mark.postgres

TABLE = """CREATE TABLE accounts (id text PRIMARY KEY, balance numeric(12, 2) NOT NULL, moves int NOT NULL,
    last timestamptz, version bigint, note text DEFAULT 'made by hand')"""

accounts = wb.Projection(
    "accounts",
    {
        "balance": wb.total("amount", on="Deposited"),
        "moves": wb.count(on="Deposited"),
        "last": wb.latest("event.recorded_at", on="Deposited"),
    },
    key={"id": "event.stream_id"},
)


def deposits(stream: str, *amounts: Any) -> list[dict[str, Any]]:
    return [
        {
            "stream_id": stream, "event_type": "Deposited", "data": f'{{"amount": {amount}}}',
            "recorded_at": f"2026-06-30T14:{minute:02}Z",
        }
        for minute, amount in enumerate(amounts)
    ]  # fmt: skip


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    return make_log(
        [
            *deposits("right", 1, 2),
            *deposits("it's late", 10, 20, 30),
            *deposits("skipped", "5.50", 7, 9),
            *deposits("gone", 4),
        ]
    )


@pytest.fixture
def stored(database: Database) -> Database:
    database.execute(TABLE)
    database.execute(
        """INSERT INTO accounts VALUES
        ('right', 3, 2, '2026-06-30T14:01Z', 2, 'right'),
        ('it''s late', 30, 2, '2026-06-30T14:01Z', 2, 'late'),
        ('skipped', 14.50, 2, '2026-06-30T14:02Z', 3, 'lacks 7'),
        ('nobody', 1, 1, NULL, 1, 'an orphan')"""
    )
    return database


def url(stored: Database) -> str:
    parts = conninfo_to_dict(stored.dsn)
    user, name = parts.pop("user", ""), parts.pop("dbname", "")
    return f"postgresql://{user}@/{name}?{urlencode(parts)}"


def model(stored: Database, **options: Any) -> Any:
    return wb.read_model(url(stored), table="accounts", version="version", **options)


def contents(stored: Database) -> list[tuple[Any, ...]]:
    return stored.execute("SELECT id, balance, moves, version, note FROM accounts ORDER BY id")


def test_it_is_dry_unless_told_otherwise(log: wb.EventLog, stored: Database) -> None:
    before = contents(stored)
    found = log.reconcile(accounts, model(stored))
    assert [(row["class"], row["cause"], row["action"], row["rows"]) for row in found.rows()] == [
        ("match", None, None, 1),
        ("corrupted", "skipped", "reset and rebuild", 1),
        ("missing", "not written", "rebuild", 1),
        ("orphaned", "unexplained", "review", 1),
        ("stale", "stopped", "republish", 1),
    ]
    assert contents(stored) == before
    assert found.applied is None
    assert "dry: nothing was written" in repr(found)
    assert "dry: nothing was written" in found._repr_html_()


def test_applied_it_leaves_no_difference_and_touches_no_other_row(
    log: wb.EventLog, stored: Database
) -> None:
    untouched = "SELECT ctid, xmin, * FROM accounts WHERE id IN ('right', 'nobody') ORDER BY id"
    before = stored.execute(untouched)
    found = log.reconcile(accounts, model(stored), apply=stored.dsn)
    assert found.applied == {"accounts": 3}
    assert stored.execute(untouched) == before
    assert contents(stored) == [
        ("gone", 4, 1, 1, "made by hand"),
        ("it's late", 60, 3, 3, "late"),
        ("nobody", 1, 1, 1, "an orphan"),
        ("right", 3, 2, 2, "right"),
        ("skipped", pytest.approx(21.50), 3, 3, "lacks 7"),
    ]
    assert log.diff(accounts, model(stored)).counts == {
        "match": 4, "stale": 0, "missing": 0, "orphaned": 1, "corrupted": 0, "ahead": 0,
    }  # fmt: skip
    assert found.after == {"accounts": log.diff(accounts, model(stored)).counts}


def test_orphans_are_deleted_when_that_is_asked_for(log: wb.EventLog, stored: Database) -> None:
    classes = ["stale", "missing", "corrupted", "orphaned"]
    found = log.reconcile(accounts, model(stored), apply=stored.dsn, classes=classes)
    assert found.applied == {"accounts": 4}
    counts = log.diff(accounts, model(stored)).counts
    assert counts == {"match": 4} | dict.fromkeys(
        ("stale", "missing", "orphaned", "corrupted", "ahead"), 0
    )


def test_the_script_does_the_same_by_hand(log: wb.EventLog, stored: Database) -> None:
    script = log.reconcile(accounts, model(stored)).script()
    stored.execute(script)
    assert log.reconcile(accounts, model(stored)).left == {"accounts": {"orphaned": 1}}


def test_a_refused_row_rolls_everything_back(log: wb.EventLog, stored: Database) -> None:
    stored.execute("ALTER TABLE accounts ADD CONSTRAINT small CHECK (balance < 50)")
    before = contents(stored)
    with pytest.raises(RepairError, match=r'rolled back: .*"small"'):
        log.reconcile(accounts, model(stored), apply=stored.dsn)
    assert contents(stored) == before


def test_a_table_that_rounds_is_found_out_and_rolled_back(
    make_log: MakeLog, stored: Database
) -> None:
    log = make_log(deposits("skipped", "5.505", 7, 9))
    stored.execute("DELETE FROM accounts WHERE id <> 'skipped'")
    before = contents(stored)
    with pytest.raises(RepairError, match="after the repair 1 rows were corrupted"):
        log.reconcile(accounts, model(stored), apply=stored.dsn)
    assert contents(stored) == before


def test_a_trigger_that_touches_other_rows_is_found_out(log: wb.EventLog, stored: Database) -> None:
    stored.execute(
        """CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE accounts SET note = 'meddled' WHERE id = 'right'; RETURN NULL; END $$;
        CREATE TRIGGER meddle AFTER INSERT ON accounts FOR EACH STATEMENT EXECUTE FUNCTION meddle()"""
    )
    before = contents(stored)
    with pytest.raises(RepairError, match=r"4 rows were written .* where 3 .* planned"):
        log.reconcile(accounts, model(stored), apply=stored.dsn)
    assert contents(stored) == before


def test_a_row_that_changed_meanwhile_is_not_overwritten(
    log: wb.EventLog, stored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.sources.postgres import repairing

    whole = repairing.Writer.change

    def late(self: Any, table: str, changes: Any) -> int:
        stored.execute("UPDATE accounts SET balance = 21.50, moves = 3 WHERE id = 'skipped'")
        return whole(self, table, changes)

    monkeypatch.setattr(repairing.Writer, "change", late)
    with pytest.raises(RepairError, match="no longer what the diff read"):
        log.reconcile(accounts, model(stored), apply=stored.dsn)
    assert ("skipped", pytest.approx(21.50), 3, 3, "lacks 7") in contents(stored)
    assert "gone" not in [row[0] for row in contents(stored)]


def test_two_read_models_are_one_transaction(log: wb.EventLog, stored: Database) -> None:
    counts = wb.Projection(
        "counts", {"moves": wb.count(on="Deposited")}, key={"id": "event.stream_id"}
    )
    stored.execute("CREATE TABLE counts (id text PRIMARY KEY, moves int CHECK (moves <> 3))")
    stored.execute("INSERT INTO counts VALUES ('right', 2), ('it''s late', 1)")
    models = [model(stored), wb.read_model(url(stored), table="counts")]
    before = contents(stored)
    with pytest.raises(RepairError, match="counts_moves_check"):
        log.reconcile([accounts, counts], models, apply=stored.dsn)
    assert contents(stored) == before
    stored.execute("ALTER TABLE counts DROP CONSTRAINT counts_moves_check")
    found = log.reconcile([accounts, counts], models, apply=stored.dsn)
    assert found.applied == {"accounts": 3, "counts": 3}
    assert {row["model"] for row in found.clusters().rows()} == {"accounts", "counts"}


def test_a_connection_of_the_users_own_keeps_its_transaction(
    log: wb.EventLog, stored: Database
) -> None:
    before = contents(stored)
    with psycopg.connect(stored.dsn) as connection:
        connection.execute("SELECT 1")
        found = log.reconcile(accounts, model(stored), apply=connection)
        assert found.after is not None
        assert found.after["accounts"]["corrupted"] == 0
        connection.rollback()
    assert contents(stored) == before


def test_what_is_no_table_is_refused_before_anything_is_read(
    log: wb.EventLog, stored: Database
) -> None:
    asked = wb.read_model(url(stored), query="SELECT * FROM accounts", version="version")
    with pytest.raises(ConfigError, match="not read from a table in Postgres"):
        log.reconcile(accounts, asked, apply=stored.dsn)
    with pytest.raises(ConfigError, match="1 definitions and 2 read models"):
        log.reconcile(accounts, [asked, asked])


def test_columns_with_other_names_and_times_without_zone(
    log: wb.EventLog, database: Database
) -> None:
    database.execute('CREATE TABLE "Odd" ("Id" text, "the ""sum""" numeric, at timestamp, n int)')
    database.execute("INSERT INTO \"Odd\" VALUES ('skipped', 14.5, '2026-06-30T16:02', 3)")
    odd = wb.read_model(
        url(database),
        table="Odd",
        version="n",
        columns={"Id": "id", 'the "sum"': "balance", "at": "last"},
        timezone="Europe/Madrid",
    )
    log.reconcile(accounts, odd, apply=database.dsn)
    rows = database.execute('SELECT *, at::text FROM "Odd" WHERE "Id" = \'skipped\'')
    assert [(row[0], float(row[1]), row[-1]) for row in rows] == [
        ("skipped", 21.5, "2026-06-30 16:02:00")
    ]
    assert log.diff(accounts, odd).counts["match"] == 4
