"""``%load_ext workbench``: the log asked in SQL, with completion; nothing of it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import ConfigError, QueryError
from workbench.store.table import Table

EVENTS = [
    {"stream_id": "a", "event_type": "Opened", "actor": "ann", "data": {"owner": "Ann", "amount": 1}},
    {"stream_id": "a", "event_type": "Deposited", "actor": "bob", "data": {"amount": 2}},
    {"stream_id": "b", "event_type": "Deposited", "actor": "bob", "data": {"amount": 3}},
    {"stream_id": "b", "event_type": "It's done", "actor": "it's", "metadata": {"trace": "x"}},
]  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    config.IPCompleter.use_jedi = False
    made = InteractiveShell.instance(config=config)
    made.run_line_magic("load_ext", "workbench")
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def log(shell: InteractiveShell, make_log: MakeLog) -> wb.EventLog:
    made = make_log(EVENTS)
    shell.user_ns["log"] = made
    return made


def complete(shell: InteractiveShell, cell: str) -> list[str]:
    """What is offered at ``|``."""
    at = cell.index("|")
    with provisionalcompleter():
        found = list(shell.Completer.completions(cell.replace("|", ""), at))
    before = cell[:at]
    return [before[: one.start] + one.text for one in found] if found else []


def offered(shell: InteractiveShell, cell: str) -> list[str]:
    """The same without what stands before the place that is completed."""
    whole = complete(shell, cell)
    line = cell[: cell.index("|")]
    cut = max(line.rfind(sign) for sign in " \n'(,=")
    return [one[cut + 1 :] for one in whole]


# -- asking --------------------------------------------------------------------------------------


def test_a_cell_asks_the_only_log(shell: InteractiveShell, log: wb.EventLog) -> None:
    result = shell.run_cell_magic("events", "", "SELECT count(*) AS n FROM events -- all of them")
    assert isinstance(result, Table)
    assert result.rows() == [{"n": 4}]


def test_a_line_asks_too_and_braces_and_dollars_are_sql(
    shell: InteractiveShell, log: wb.EventLog
) -> None:
    ran = shell.run_cell(
        "n = %events SELECT {'n': count(*)} AS n, max(data->>'$.amount') AS m FROM events"
    )
    assert ran.success
    assert shell.user_ns["n"].rows() == [{"n": {"n": 4}, "m": "3"}]


def test_the_query_may_begin_on_the_first_line(shell: InteractiveShell, log: wb.EventLog) -> None:
    result = shell.run_cell_magic("events", "SELECT count(*) AS n", "FROM events")
    assert result.rows() == [{"n": 4}]


def test_a_result_is_kept_under_a_name(shell: InteractiveShell, log: wb.EventLog) -> None:
    result = shell.run_cell_magic("events", "--as counts", "FROM events")
    assert shell.user_ns["counts"] is result
    shell.run_line_magic("events", "--as=again SELECT 1 AS one")
    assert shell.user_ns["again"].rows() == [{"one": 1}]


def test_a_narrowed_log_has_its_events(shell: InteractiveShell, log: wb.EventLog) -> None:
    shell.user_ns["deposits"] = log.where(types="Deposited")
    count = "SELECT count(*) AS n FROM events"
    assert shell.run_cell_magic("events", "--log deposits", count).rows() == [{"n": 2}]
    shell.run_line_magic("workbench", "deposits")
    assert shell.run_cell_magic("events", "", count).rows() == [{"n": 2}]
    # The name is what was chosen: a cell that is run again makes another log.
    shell.user_ns["deposits"] = log.where(types="Opened")
    assert shell.run_cell_magic("events", "", count).rows() == [{"n": 1}]


def test_two_names_of_one_log_are_no_question(shell: InteractiveShell, log: wb.EventLog) -> None:
    shell.user_ns["same"] = log
    assert shell.run_cell_magic("events", "", "FROM events").columns


def test_workbench_says_which_log_is_asked(shell: InteractiveShell, log: wb.EventLog) -> None:
    assert repr(shell.run_line_magic("workbench", "")).startswith("▸ log: 4 events\n")
    shell.user_ns["other"] = log.where(types="Opened")
    told = repr(shell.run_line_magic("workbench", "other")).splitlines()
    assert told[:2] == ["  log: 4 events", "▸ other: 1 events"]


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        ("", "\n", "there is no query"),
        ("--az counts", "FROM events", "no option --az. Did you mean 'as'|Known: as, log"),
        ("--as", "FROM events", "--as wants a name"),
        ("--as 2nd", "FROM events", "kept under a Python name"),
        ("--as class", "FROM events", "kept under a Python name"),
        ("--log lgo", "FROM events", "no log called 'lgo' in this notebook. Did you mean 'log'"),
    ],
)
def test_what_is_no_use_is_said(
    shell: InteractiveShell, log: wb.EventLog, line: str, cell: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        shell.run_cell_magic("events", line, cell)


@pytest.mark.parametrize("query", ["SELECT nme FROM events", "DROP TABLE events", "SELEC 1"])
def test_a_wrong_query_is_told_at_once(
    shell: InteractiveShell, log: wb.EventLog, query: str
) -> None:
    with pytest.raises(QueryError):
        shell.run_cell_magic("events", "", query)


def test_no_log_and_several_logs(shell: InteractiveShell, make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match="no log in this notebook yet"):
        shell.run_cell_magic("events", "", "FROM events")
    assert "no log yet" in repr(shell.run_line_magic("workbench", ""))
    shell.user_ns.update(one=make_log(EVENTS), two=make_log(EVENTS))
    with pytest.raises(ConfigError, match="several logs in this notebook: one, two") as caught:
        shell.run_cell_magic("events", "", "FROM events")
    assert "%workbench one" in str(caught.value)


# -- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%events\nSELECT event|", ["event_id", "event_type", "events"]),
        ("%%events --as x\nSELECT count(*)\nFROM events\nWHERE stream_|", ["stream_id", "stream_type"]),
        ("%events SELECT causa|", ["causation_id"]),
        ("n = %events SELECT causa|", ["causation_id"]),
        ("%%events\nSELECT * FROM events WHERE event_type = '|", ["Deposited", "It''s done", "Opened"]),
        ("%%events\nFROM events WHERE event_type IN ('Opened', 'dep|", ["Deposited"]),
        ("%%events\nFROM events WHERE actor = '|", ["bob", "ann", "it''s"]),
        ("%%events\nSELECT data->>'|", ["amount", "owner"]),
        ("%%events\nSELECT data ->> '$.ow|", ["$.owner"]),
        ("%%events\nSELECT metadata->>'|", ["trace"]),
        ("%%events\nSELECT 'causa|", []),
        ("%%events --log l|", ["log"]),
        ("%workbench l|", ["log"]),
    ],
)  # fmt: skip
def test_names_are_completed(
    shell: InteractiveShell, log: wb.EventLog, cell: str, expected: list[str]
) -> None:
    assert offered(shell, cell) == expected


def test_typed_columns_are_completed_in_quotes(shell: InteractiveShell, log: wb.EventLog) -> None:
    log.prepare(wb.Projection("sums", {"sum": wb.total("amount")}))
    assert offered(shell, '%%events\nSELECT "data.|') == ['"data.amount::decimal"']


def test_python_is_left_alone(shell: InteractiveShell, log: wb.EventLog) -> None:
    shell.user_ns["event_count"] = 7
    assert offered(shell, "print(event_c|") == ["event_count"]


def test_without_a_log_nothing_is_offered(shell: InteractiveShell) -> None:
    assert "event_type" not in offered(shell, "%%events\nSELECT event_t|")


# -- loading -------------------------------------------------------------------------------------


def test_loading_again_and_unloading(shell: InteractiveShell, log: wb.EventLog) -> None:
    shell.run_line_magic("reload_ext", "workbench")
    shell.run_line_magic("load_ext", "workbench")
    assert offered(shell, "%%events\nSELECT causa|") == ["causation_id"]
    shell.run_line_magic("unload_ext", "workbench")
    assert shell.find_cell_magic("events") is None
    assert shell.find_line_magic("workbench") is None
    assert not shell.Completer.custom_matchers


def test_errors_are_one_line_in_a_notebook(
    shell: InteractiveShell, log: wb.EventLog, capsys: Any
) -> None:
    shell.run_cell("%events SELECT nme FROM events")
    out = capsys.readouterr()
    assert "QueryError" in out.out + out.err
    assert "Traceback" not in out.out + out.err
