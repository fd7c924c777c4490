"""Late commits on a real Postgres: named where the server keeps commit times, 'cannot be known' where it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.compute as pc
import pytest

import workbench as wb
from tests import fix_postgres
from tests.fix_postgres import Store, open_transaction, packaged_server
from workbench.errors import ConfigError
from workbench.sources.postgres import forensics

pytestmark = pytest.mark.postgres

balances = wb.Projection(
    "balances", {"balance": wb.total("amount"), "moves": wb.count()}, key={"id": "event.stream_id"}
)


@pytest.fixture(scope="module")
def tracking_server() -> Iterator[str]:
    """A server of its own: it has to be started with the setting."""
    config = f"{fix_postgres.CONFIG}track_commit_timestamp = on\n"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wbct")))
        folder.chmod(0o755)
        with patch.object(fix_postgres, "CONFIG", config):
            dsn = stack.enter_context(packaged_server(folder / "data"))
        yield dsn


@pytest.fixture
def tracking_store(tracking_server: str) -> Iterator[Store]:
    yield from fix_postgres._store(tracking_server)


def overtaken(store: Store) -> int:
    """Write an event that commits after a later one did, and one after both; return its position."""
    with store.connect() as connection, open_transaction(store) as slow:
        store.append(connection, "acc-1", 1, '{"amount": 10}')
        late = store.append(slow, "acc-1", 2, '{"amount": 5}')
        store.append(connection, "acc-2", 1, '{"amount": 7}')
        slow.commit()
        store.append(connection, "acc-1", 3, '{"amount": 1}')
    return late


def test_an_event_that_committed_late_is_named(tracking_store: Store) -> None:
    late = overtaken(tracking_store)
    with wb.open() as log:
        log.load(tracking_store.source(), progress=False)
        found = log.late_commits(tracking_store.source())
        (row,) = found.rows()
        assert found.known
        assert (found.events, found.unknown) == (4, 0)
        assert (row["source_position"], row["stream_id"], row["version"]) == (late, "acc-1", 2)
        assert row["passed_by"] == late + 1
        assert row["passed_at"] < row["committed_at"]
        assert "1 event of 4 became visible late" in repr(found)
        assert "acc-1" in found._repr_html_()


def test_it_explains_the_row_that_lacks_it(tracking_store: Store) -> None:
    late = overtaken(tracking_store)
    with wb.open() as log:
        log.load(tracking_store.source(), progress=False)
        stored = log.where(condition=f"NOT ends_with(source_position, '/{late}')").replay(balances)
        model = wb.read_model(stored.query("SELECT id, balance, moves FROM result").arrow())
        explanation = log.diff(balances, model).explain()
        (row,) = log.late_commits(tracking_store.source()).missed_by(explanation).rows()
        assert (row["id"], row["cause"], row["source_position"]) == ("acc-1", "skipped", late)


def test_in_order_nothing_is_late(tracking_store: Store) -> None:
    with tracking_store.connect() as connection:
        for version in range(1, 6):
            tracking_store.append(connection, "acc-1", version)
    with wb.open() as log:
        found = log.late_commits(tracking_store.source(), first=2, last=4)
        assert found.known
        assert (len(found), found.events) == (0, 3)


def test_rows_that_are_older_than_the_setting_are_unknown_and_said(
    tracking_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(tracking_store)
    whole = forensics.commits

    def some(source: Any, first: int | None, last: int | None) -> forensics.Commits:
        found = whole(source, first, last)
        known = pc.if_else(pc.less(found.rows["position"], 3), None, found.rows["committed_at"])
        return replace(found, rows=found.rows.set_column(2, "committed_at", known))

    monkeypatch.setattr(forensics, "commits", some)
    with wb.open() as log:
        found = log.late_commits(tracking_store.source())
        assert (len(found), found.events, found.unknown) == (0, 4, 2)
        assert "2 of 4 events have no commit timestamp" in repr(found)


def test_without_commit_times_it_cannot_be_known(store: Store) -> None:
    overtaken(store)
    with wb.open() as log:
        log.load(store.source(), progress=False)
        found = log.late_commits(store.source())
        assert not found.known
        assert len(found) == 0
        assert "cannot be known" in repr(found)
        assert "no event is named" in repr(found)
        assert "track_commit_timestamp is off" in found._repr_html_()


def test_only_a_table_in_postgres_has_commits(store: Store, tmp_path: Path) -> None:
    store.execute("CREATE VIEW seen AS SELECT * FROM events")
    with wb.open() as log:
        with pytest.raises(ConfigError, match="only there commits have timestamps"):
            log.late_commits(wb.files(tmp_path / "events.parquet"))
        with pytest.raises(ConfigError, match="is no table"):
            log.late_commits(store.source(table="seen"))
