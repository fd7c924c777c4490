"""Opening a log: files that are there, absent, held, damaged, foreign, older and newer."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

import workbench as wb
from tests.fix_log import Written
from workbench.errors import (
    LogCorrupt,
    LogError,
    LogForeign,
    LogLocked,
    LogTooNew,
    SourceUnavailable,
)
from workbench.store import schema

EVENTS = [{"stream_id": f"s{n % 3}", "data": {"n": n}} for n in range(10)]
COUNT = wb.Projection("p", {"n": wb.count()})


def load(log: wb.EventLog, *events: dict[str, object]) -> None:
    log.load(Written([*EVENTS, *events]), progress=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds ten events."""
    with wb.open(tmp_path / "log.duckdb") as log:
        load(log)
    return tmp_path / "log.duckdb"


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside this one; it says 'ready' and waits for a line."""
    program = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.communicate("\n", timeout=60)


HOLD = """
    import sys, workbench as wb
    log = wb.open(sys.argv[1], read_only=sys.argv[2] == "reading")
    if sys.argv[2] == "writing":
        held = log._view.database.writing()
        held.__enter__()
    print("ready", flush=True)
    sys.stdin.readline()
    print(len(log), flush=True)
"""


# -- a log of one's own --------------------------------------------------------------------------


def test_a_file_is_made_when_it_is_absent(tmp_path: Path) -> None:
    with wb.open(tmp_path / "new.duckdb") as log:
        assert len(log) == 0
    assert (tmp_path / "new.duckdb").exists()


@pytest.mark.parametrize("path", [None, ":memory:"])
def test_a_log_in_memory_touches_no_disk(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with wb.open(path) as log:
        load(log)
        assert len(log) == 10
    assert list(tmp_path.iterdir()) == []


def test_what_was_loaded_is_there_when_the_file_is_opened_again(path: Path) -> None:
    with wb.open(str(path)) as log:
        assert len(log) == 10


@pytest.mark.parametrize("name", ["it's.duckdb", 'a"b.duckdb', "ключ é.duckdb", "no suffix"])
def test_odd_names_of_files(tmp_path: Path, name: str) -> None:
    with wb.open(tmp_path / name) as log:
        load(log)
        assert len(log) == 10


def test_any_duckdb_can_read_the_events(path: Path) -> None:
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.sql("SELECT position, stream_id, data FROM events ORDER BY position").fetchall()
    assert rows[3] == (4, "s0", '{"n": 3}')
    assert len(rows) == 10


def test_a_log_that_was_opened_read_only_takes_no_load(path: Path) -> None:
    with wb.open(path, read_only=True) as log:
        assert len(log) == 10
        with pytest.raises(LogError, match="opened read-only"):
            load(log)


def test_read_only_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="does not exist"):
        wb.open(tmp_path / "new.duckdb", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_log_says_so(path: Path) -> None:
    log = wb.open(path)
    table = log.sql("SELECT 1")
    log.close()
    log.close()
    for use in (log.df, table.rows, lambda: len(log), lambda: log.replay(COUNT).rows()):
        with pytest.raises(LogError, match="is closed"):
            use()


# -- several at once -----------------------------------------------------------------------------


def test_several_processes_look_at_one_file(path: Path) -> None:
    with wb.open(path) as log, python(HOLD, path, "reading"), python(HOLD, path, "open") as second:
        assert len(log) == 10
        out, _ = second.communicate("\n", timeout=60)
        assert out == "10\n"


def test_a_load_waits_its_turn_and_says_who_has_the_file(path: Path) -> None:
    with wb.open(path) as log, python(HOLD, path, "reading") as other:
        with pytest.raises(LogLocked) as failure:
            load(log)
        assert f"process {other.pid}" in str(failure.value)
        assert "log.close()" in str(failure.value)
        assert len(log) == 10  # and goes on reading


def test_a_file_that_is_being_written_cannot_be_opened(path: Path) -> None:
    with python(HOLD, path, "writing") as other:
        with pytest.raises(LogLocked, match=f"process {other.pid} .*is writing to it"):
            wb.open(path)
        other.communicate("\n", timeout=60)
        assert len(wb.open(path)) == 10


def test_a_short_write_of_another_is_waited_for(path: Path) -> None:
    with python(HOLD, path, "writing") as other:
        assert other.stdin is not None
        other.stdin.write("\n")  # it ends while we wait
        other.stdin.flush()
        with wb.open(path) as log:
            assert len(log) == 10


def test_two_logs_of_one_process_on_one_file(path: Path) -> None:
    """A notebook's cell that is run again leaves the log of its first run behind."""
    with wb.open(path) as first, wb.open(path) as second:
        assert (len(first), len(second)) == (10, 10)
        load(second, {"stream_id": "new"})
        assert (len(first), len(second)) == (11, 11)
        load(first, {"stream_id": "new"}, {"stream_id": "newer"})
        assert (len(first), len(second)) == (12, 12)
        assert first.fingerprint() == second.fingerprint()


def test_results_live_on_while_a_load_takes_the_file_over(path: Path) -> None:
    fold = wb.Fold("f", 0, {"Happened": lambda n: n + 1})
    with wb.open(path) as log:
        table, relation, fold_rows = (
            log.sql("SELECT count(*) AS n FROM events"),
            log.relation,
            log.replay(fold),
        )
        history = log.history(fold)
        load(log, {"stream_id": "new"})
        assert table.rows() == [{"n": 11}]  # a question: asked anew
        assert len(relation.fetchall()) == 11
        assert len(fold_rows) == 3  # an answer: kept
        assert len(history) == 10


def test_a_result_that_is_still_being_read_is_named_as_the_reason(path: Path) -> None:
    with wb.open(path) as log:
        reader = log.relation.to_arrow_reader(1)
        with pytest.raises(LogError, match="a result of it is still being read"):
            load(log, {"stream_id": "new"})
        assert sum(batch.num_rows for batch in reader) == 10
        del reader
        gc.collect()
        load(log, {"stream_id": "new"})
        assert len(log) == 11


def test_what_was_remembered_is_asked_again_after_a_load(path: Path) -> None:
    with wb.open(path) as log:
        narrowed = log.where(stream="new")
        before = (len(log), log.types, len(narrowed), len(log.replay(COUNT)))
        load(log, {"stream_id": "new", "event_type": "Fresh"})
        assert before == (10, {"Happened": 10}, 0, 3)
        assert (len(log), log.types, len(narrowed), len(log.replay(COUNT))) == (
            11, {"Happened": 10, "Fresh": 1}, 1, 4,
        )  # fmt: skip


@pytest.mark.parametrize("where", ["file", "memory"])
def test_what_a_progress_callback_saw_is_not_remembered(tmp_path: Path, where: str) -> None:
    seen: list[int] = []
    with wb.open(tmp_path / "log.duckdb" if where == "file" else None) as log:
        log.load(Written(EVENTS), progress=lambda read, total: seen.append(len(log)))
        log.load(Written([*EVENTS, {"stream_id": "x"}]), progress=lambda *_: seen.append(len(log)))
        assert (seen, len(log)) == ([10, 11], 11)


# -- files that are no log -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.duckdb"),
        (b"not a database" * 1000, "text.duckdb"),
        (b"x" * 5000, "clock.duckdb"),  # 'lock' is in its name alone
        (b"x" * 5000, "newer storage version.duckdb"),
    ],
)
def test_no_database_at_all(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LogCorrupt, match="is damaged, or no DuckDB file"):
        wb.open(tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_a_file_that_is_cut_off(path: Path) -> None:
    content = path.read_bytes()
    for length in (100, 4096, 5000, 12_288, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises((LogCorrupt, LogForeign)):
            wb.open(path, read_only=True).df()


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute("CREATE TABLE customers (id INT)")
    with pytest.raises(LogForeign, match="It holds: customers"):
        wb.open(tmp_path / "other.duckdb")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE meta (x INT)",
        "CREATE TABLE meta (key VARCHAR, value VARCHAR)",
        "CREATE TABLE meta (key VARCHAR, value VARCHAR); INSERT INTO meta VALUES ('product', 'x')",
        "CREATE TABLE meta AS SELECT 'product' AS key, 'workbench' AS value",
        "CREATE TABLE meta AS SELECT unnest(['product', 'format']) AS key, 'workbench' AS value",
        "CREATE SCHEMA o; CREATE TABLE o.meta (key VARCHAR, value VARCHAR)",
        "CREATE SCHEMA o; CREATE TABLE o.meta (key VARCHAR, value VARCHAR); CREATE TABLE meta (x INT)",
    ],
)
def test_a_foreign_database_with_a_table_called_meta(tmp_path: Path, sql: str) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute(sql)
    before = (tmp_path / "other.duckdb").read_bytes()
    with pytest.raises(LogForeign, match="not a log of the workbench"):
        wb.open(tmp_path / "other.duckdb")
    assert (tmp_path / "other.duckdb").read_bytes() == before


def test_a_file_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "log.duckdb")).close()  # there, and empty
    with wb.open(tmp_path / "log.duckdb") as log:
        load(log)
        assert len(log) == 10


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="is a folder"):
        wb.open(tmp_path)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no folder"):
        wb.open(tmp_path / "gone" / "log.duckdb")


# -- older and newer -----------------------------------------------------------------------------


def test_a_newer_log_is_refused(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(LogTooNew, match=r"format 99.*reads up to format") as failure:
        wb.open(path)
    assert "pip install --upgrade" in str(failure.value)


@pytest.fixture
def newer_code(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workbench of the next format than the one that made the file."""

    def migration(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE log.main.added (x INT)")

    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT - 1, migration)


@pytest.mark.usefixtures("newer_code")
def test_an_older_log_is_brought_up_to_date(path: Path) -> None:
    with wb.open(path) as log:
        assert len(log) == 10
        assert log.sql("SELECT count(*) AS n FROM log.main.added").rows() == [{"n": 0}]
    with wb.open(path, read_only=True) as log:
        assert len(log) == 10


@pytest.mark.usefixtures("newer_code")
def test_an_older_log_cannot_be_opened_read_only_and_says_what_to_do(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(LogError, match="open it once for writing"):
        wb.open(path, read_only=True)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("newer_code")
def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("DELETE FROM log.main.events_tail; SELECT error('no')")

    with monkeypatch.context() as patch:
        patch.setitem(schema.MIGRATIONS, schema.FORMAT - 1, failing)
        with pytest.raises(duckdb.Error):
            wb.open(path)
    with wb.open(path) as log:
        assert len(log) == 10


SCHEMA = (
    "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
    "ORDER BY table_name, column_index"
)


@pytest.fixture
def format_1(path: Path) -> Path:
    """The file as the first format had it: without dead letters and re-drives."""
    with duckdb.connect(str(path)) as con:
        for table in ("dead_letters", "redrives", "redriven"):
            con.execute(f"DROP TABLE {table}")
        con.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
    return path


def test_a_log_of_format_1_gains_a_table_of_dead_letters(format_1: Path, tmp_path: Path) -> None:
    with wb.open(format_1) as log:
        assert len(log) == 10
    wb.open(tmp_path / "new.duckdb").close()
    with (
        duckdb.connect(str(format_1), read_only=True) as migrated,
        duckdb.connect(str(tmp_path / "new.duckdb"), read_only=True) as new,
    ):
        assert migrated.sql(SCHEMA).fetchall() == new.sql(SCHEMA).fetchall()
        said = "SELECT value FROM meta WHERE key = 'format'"
        assert migrated.sql(said).fetchall() == [("2",)]
        assert migrated.sql("SELECT count(*) FROM dead_letters").fetchall() == [(0,)]


def test_a_log_of_format_1_is_not_changed_by_reading_only(format_1: Path) -> None:
    before = format_1.read_bytes()
    with pytest.raises(LogError, match="has format 1; this workbench reads format 2"):
        wb.open(format_1, read_only=True)
    assert format_1.read_bytes() == before


# -- secrets -------------------------------------------------------------------------------------


def test_a_password_is_nowhere(tmp_path: Path) -> None:
    secret = "hunter2-s3cret"
    dsn = f"postgresql://ann:{secret}@127.0.0.1:1/shop"
    source = wb.postgres(dsn)
    model = wb.read_model(dsn, table="account_summary")
    said = [repr(source), repr(model), str(source), model.name, source.name]
    with wb.open(tmp_path / "log.duckdb") as log:
        with pytest.raises(SourceUnavailable) as failure:
            log.load(source, progress=False)
        said += [str(failure.value), repr(failure.value), repr(log), log._repr_html_()]
        said += [repr(log.loads()), str(log.loads().rows())]
    assert not any(secret in text for text in said)
    assert secret.encode() not in (tmp_path / "log.duckdb").read_bytes()
