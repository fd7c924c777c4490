"""What is counted over sagas, one saga in time, and their export for process miners."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import r4pm

import workbench as wb
from tests.benchmarks.truth_sagas import compare, generated
from tests.fix_log import MakeLog
from tests.test_sagas import DONE, START, at, flow, trip
from workbench.analysis.ocel import Ocel
from workbench.analysis.sagas import OUTCOMES, Sagas
from workbench.bundled import checkout_saga
from workbench.errors import ConfigError
from workbench.samples import path


@pytest.fixture(scope="module")
def checkout() -> Sagas:
    log = wb.open()
    log.load(wb.files(path("checkout/events.ndjson.gz")), progress=False)
    return log.sagas(checkout_saga)


@pytest.fixture
def some(make_log: MakeLog) -> Sagas:
    return make_log(
        [
            *flow("Asked@0 SeatHeld:1@1 SeatHeld:2@2 Paid@3 TicketSent@5", "done"),
            *flow("Asked@24 SeatHeld:1@25 NotPaid@26 SeatFreed:1@27 GivenUp@28", "undone"),
            *flow("Asked@25 TicketSent@26", "jumped"),
            *flow("Asked@40 SeatHeld:1@41", "waits"),
        ]
    ).sagas(trip, at(60))


def row(table: Any, **wanted: Any) -> dict[str, Any]:
    (found,) = [
        row for row in table.rows() if all(row[name] == value for name, value in wanted.items())
    ]
    return dict(found)


def test_outcomes_are_all_there_in_their_order(some: Sagas) -> None:
    rows = some.outcomes().rows()
    assert [row["outcome"] for row in rows] == list(OUTCOMES)
    assert {row["outcome"]: row["sagas"] for row in rows if row["sagas"]} == {
        "completed": 2,
        "compensated": 1,
        "stuck": 1,
    }
    assert sum(row["share"] for row in rows) == 1


def test_those_of_an_outcome(some: Sagas) -> None:
    assert [row["saga_id"] for row in some.of("stuck", "compensated").rows()] == ["undone", "waits"]
    assert some.of("completed").columns == some.columns
    with pytest.raises(ConfigError, match=r"no outcome 'complete'. Did you mean 'completed'"):
        some.of("complete")


def test_outcomes_over_time_count_by_start(some: Sagas) -> None:
    rows = some.over_time("1 day").rows()
    assert [
        (row["moment"], row["outcome"], row["sagas"], row["share"]) for row in rows if row["sagas"]
    ] == [
        (START, "completed", 1, 1.0),
        (START + dt.timedelta(days=1), "completed", 1, pytest.approx(1 / 3)),
        (START + dt.timedelta(days=1), "compensated", 1, pytest.approx(1 / 3)),
        (START + dt.timedelta(days=1), "stuck", 1, pytest.approx(1 / 3)),
    ]
    assert len(rows) == 2 * len(OUTCOMES)
    with pytest.raises(ConfigError, match="no length of time"):
        some.over_time("a while")


def test_the_funnel(some: Sagas) -> None:
    found = [
        (row["step"], row["entered"], row["done"], row["skipped"], row["lost"])
        for row in some.funnel().rows()
    ]
    assert found == [
        ("start", 4, 4, 0, 0),
        ("seat", 4, 3, 1, 0),
        ("pay", 4, 1, 1, 2),
        ("meal", 2, 0, 2, 0),
        ("ticket", 2, 2, 0, 0),
    ]
    pay = row(some.funnel(), step="pay")
    assert (pay["compensated"], pay["stuck"], pay["loss"]) == (1, 1, 0.5)


def test_the_funnel_adds_up(checkout: Sagas) -> None:
    rows = checkout.funnel().rows()
    parts = (
        "done",
        "skipped",
        "running",
        "compensated",
        "compensating",
        "failed",
        "stuck",
        "timed_out",
    )
    for number, one in enumerate(rows):
        assert one["entered"] == sum(one[name] for name in parts)
        assert one["lost"] == sum(one[name] for name in parts[3:])
        if number:
            assert one["entered"] == rows[number - 1]["done"] + rows[number - 1]["skipped"]
    assert rows[0]["entered"] == len(checkout)
    assert rows[-1]["done"] == checkout.counts["completed"]


def test_durations(some: Sagas) -> None:
    hours = {
        (row["kind"], row["step"]): (row["sagas"], row["p50"] / dt.timedelta(hours=1), row["late"])
        for row in some.durations().rows()
    }
    assert hours == {
        ("step", "seat"): (3, 1, 1),  # the last of its parts; the deadline is one hour
        ("step", "pay"): (1, 1, 0),
        ("step", "ticket"): (2, 1.5, 0),
        ("whole", None): (2, 3, 0),
        ("compensation", None): (1, 2, 0),
    }
    assert row(some.durations(), step="seat")["longest"] == dt.timedelta(hours=2)
    assert row(some.durations(), step="pay")["deadline"] == dt.timedelta(hours=2)


def test_variants_fold_repeats(some: Sagas) -> None:
    paths = [row["path"] for row in some.variants().rows()]
    assert ["Asked", "SeatHeld", "Paid", "TicketSent"] in paths
    assert ["Asked", "SeatHeld", "SeatHeld", "Paid", "TicketSent"] in [
        row["path"] for row in some.variants(repeats=True).rows()
    ]
    assert [row["variant"] for row in some.variants().rows()] == [1, 2, 3, 4]
    assert sum(row["share"] for row in some.variants().rows()) == 1


def test_variants_of_the_checkout(checkout: Sagas) -> None:
    rows = checkout.variants().rows()
    assert rows[0]["path"] == [
        "OrderCreated",
        "InventoryReserved",
        "PaymentProcessed",
        "OrderShipped",
        "OrderCompleted",
    ]
    assert rows[0]["outcome"] == "completed"
    assert sum(row["sagas"] for row in rows) == len(checkout)


def test_the_graph_counts_what_follows_what(some: Sagas) -> None:
    begun = row(some.graph(), source=None)
    assert (begun["target"], begun["transitions"], begun["p50"]) == ("Asked", 4, None)
    held = row(some.graph(), source="Asked", target="SeatHeld")
    assert (held["transitions"], held["sagas"], held["p50"]) == (3, 3, dt.timedelta(hours=1))
    assert row(some.graph(), source="TicketSent", target=None)["transitions"] == 2


def test_each_event_of_the_graph_is_entered_as_often_as_left(checkout: Sagas) -> None:
    came: dict[str, int] = {}
    went: dict[str, int] = {}
    for edge in checkout.graph().rows():
        came[edge["target"]] = came.get(edge["target"], 0) + edge["transitions"]
        went[edge["source"]] = went.get(edge["source"], 0) + edge["transitions"]
    assert came == went
    assert sum(came.values()) - came[None] == 9_000


def test_those_that_do_not_go_on(some: Sagas, make_log: MakeLog) -> None:
    (waits,) = some.stuck().rows()
    assert (waits["saga_id"], waits["step"], waits["last_event"]) == ("waits", "pay", "SeatHeld")
    assert (waits["idle"], waits["age"]) == (dt.timedelta(hours=19), dt.timedelta(hours=20))
    log = make_log(
        [
            *flow("Asked@0", "old"), *flow("Asked@30 SeatHeld:1@30 NotPaid@31", "given up"),
            *flow("Asked@1 GivenUp@2", "ended"), *flow("Asked@59.5", "new"),
        ]
    )  # fmt: skip
    found = [(row["saga_id"], row["outcome"]) for row in log.sagas(trip, at(60)).stuck().rows()]
    assert found == [("old", "timed out"), ("given up", "failed")]


# -- one saga ------------------------------------------------------------------------------------


def test_bars_begin_where_their_cause_was(make_log: MakeLog) -> None:
    events = flow("Asked@0 SeatHeld:1@1 SeatHeld:2@2 NotPaid@3 SeatFreed:2@4")
    events[2]["causation_id"] = "t-1/1"  # not the event before
    events[3]["causation_id"] = "elsewhere"
    found = make_log(events).sagas(trip, at(5)).instance("t-1")
    hours = [
        (row["step"], row["part"], row["role"],
         row["since"] and (row["since"] - START) / dt.timedelta(hours=1), (row["until"] - START) / dt.timedelta(hours=1))
        for row in found.rows()
    ]  # fmt: skip
    assert hours == [
        ("start", None, "start", None, 0),
        ("seat", "1", "success", 0, 1),
        ("seat", "2", "success", 0, 2),
        ("pay", None, "failure", 2, 3),
        ("seat", "2", "compensation", 3, 4),
        ("pay", None, "waiting", 4, 5),
    ]
    assert (found.saga_id, found.outcome) == ("t-1", "compensating")


def test_bars_say_which_rules_their_event_breaks(some: Sagas) -> None:
    assert [row["violations"] for row in some.instance("jumped").rows()] == [[], ["step skipped"]]
    assert [row["role"] for row in some.instance("done").rows()][
        -1
    ] == "success"  # it waits for nothing


def test_all_events_that_share_the_id(make_log: MakeLog) -> None:
    sagas = make_log([*flow("Asked@0 Chatter@2 SeatHeld:1@1"), *flow("Asked", "t-2")]).sagas(trip)
    assert [row["event_type"] for row in sagas.events("t-1").rows()] == [
        "Asked",
        "SeatHeld",
        "Chatter",
    ]


def test_an_unknown_saga_names_close_ones(some: Sagas) -> None:
    for ask in (some.instance, some.events):
        with pytest.raises(ConfigError, match=r"no saga 'don' of 'trip' here. Did you mean 'done'"):
            ask("don")


def test_reprs_say_what_matters(some: Sagas) -> None:
    shown = repr(some)
    assert "completed 2   compensated 1   stuck 1" in shown
    assert "broken rules: step skipped 1" in shown
    assert "waits" in shown
    page = some._repr_html_()
    assert "4 sagas" in page
    assert "step skipped" in page


# -- the truth -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [11, 12])
def test_generated_sagas_are_what_the_generator_did(tmp_path: Path, seed: int) -> None:
    with generated(tmp_path, events=20_000, seed=seed) as log:
        found = compare(log, tmp_path)
    assert found.equal, str(found)
    assert all(count for count, _ in (*found.outcomes.values(), *found.violations.values()))


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    with generated(tmp_path, events=2_000, seed=3) as log:
        lacking = log.where(condition="position <> 1000")
        assert not compare(lacking, tmp_path).equal


# -- OCEL 2.0 ------------------------------------------------------------------------------------

STANDARD = {
    "event": ["ocel_id", "ocel_type"],
    "object": ["ocel_id", "ocel_type"],
    "event_map_type": ["ocel_type", "ocel_type_map"],
    "object_map_type": ["ocel_type", "ocel_type_map"],
    "event_object": ["ocel_event_id", "ocel_object_id", "ocel_qualifier"],
    "object_object": ["ocel_source_id", "ocel_target_id", "ocel_qualifier"],
}
ATTRIBUTE_TYPES = {"TEXT", "TIMESTAMP", "INTEGER", "REAL", "BOOLEAN"}


def check_ocel(file: Path) -> None:
    """Check a file against the published rules: tables, columns, types, keys and references."""
    with closing(sqlite3.connect(file)) as con:

        def ask(sql: str) -> list[Any]:
            return con.execute(sql).fetchall()

        def columns(table: str) -> dict[str, str]:
            return {name: kind for _, name, kind, *_ in ask(f'PRAGMA table_info("{table}")')}

        tables = {name for (name,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, expected in STANDARD.items():
            assert list(columns(table)) == expected
        assert ask("PRAGMA integrity_check") == [("ok",)]
        assert ask("PRAGMA foreign_key_check") == []
        own = set()
        for what, first in (
            ("event", ["ocel_id", "ocel_time"]),
            ("object", ["ocel_id", "ocel_time", "ocel_changed_field"]),
        ):
            mapped = dict(ask(f"SELECT ocel_type, ocel_type_map FROM {what}_map_type"))
            assert len({name.lower() for name in mapped.values()}) == len(mapped)
            assert {kind for (kind,) in ask(f"SELECT DISTINCT ocel_type FROM {what}")} == set(
                mapped
            )
            for kind, name in mapped.items():
                table = f"{what}_{name}"
                own.add(table)
                found = columns(table)
                assert list(found)[: len(first)] == first
                assert set(found.values()) <= ATTRIBUTE_TYPES
                # Each of the type is in its table, and nothing else is.
                listed = f'SELECT ocel_id FROM {what} WHERE ocel_type = ? EXCEPT SELECT ocel_id FROM "{table}"'
                assert con.execute(listed, [kind]).fetchall() == []
                stray = f'SELECT ocel_id FROM "{table}" EXCEPT SELECT ocel_id FROM {what} WHERE ocel_type = ?'
                assert con.execute(stray, [kind]).fetchall() == []
                for (time,) in ask(f'SELECT ocel_time FROM "{table}"'):
                    assert dt.datetime.fromisoformat(time).tzinfo is not None
                if (
                    what == "object"
                ):  # attributes hold from the start unless they say what they change
                    changed = f'SELECT count(*) FROM "{table}" WHERE ocel_changed_field IS NOT NULL'
                    assert ask(changed) == [(0,)]
        assert tables == own | set(STANDARD)


def test_ocel_keeps_the_published_rules(checkout: Sagas, tmp_path: Path) -> None:
    file = tmp_path / "checkout.sqlite"
    assert checkout.ocel(file) == Ocel(file, 9_000, 8_715, 0)
    check_ocel(file)
    assert list(tmp_path.iterdir()) == [file]


def test_ocel_opens_in_a_foreign_reader(checkout: Sagas, tmp_path: Path) -> None:
    file = tmp_path / "checkout.sqlite"
    checkout.ocel(file)
    read = r4pm.bindings.slim_link_ocel(ocel=r4pm.import_item("OCEL", str(file)))
    assert (r4pm.bindings.num_events(ocel=read), r4pm.bindings.num_objects(ocel=read)) == (
        9_000,
        8_715,
    )
    assert set(r4pm.bindings.locel_get_ob_types(ocel=read)) == {
        "order", "inventory", "payment", "shipment", "checkout saga",
    }  # fmt: skip
    assert set(r4pm.bindings.locel_get_ev_types(ocel=read)) == set(checkout_saga.types)


def test_ocel_holds_what_the_log_says(some: Sagas, tmp_path: Path) -> None:
    some.ocel(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as con:
        held = con.execute("SELECT * FROM event_SeatHeld WHERE ocel_id = 'done/2'").fetchall()
        assert held == [("done/2", "2026-06-01T01:00:00.000000Z", "seat", "success", None, 1, 2)]
        saga = con.execute(
            "SELECT * FROM object_trip_saga WHERE ocel_id = 'trip:undone'"
        ).fetchall()
        assert saga == [
            (
                "trip:undone",
                "1970-01-01T00:00:00Z",
                None,
                "compensated",
                None,
                "2026-06-02T04:00:00.000000Z",
                "",
            )
        ]
        tied = con.execute(
            "SELECT ocel_object_id FROM event_object WHERE ocel_event_id = 'done/2'"
        ).fetchall()
        assert sorted(tied) == [("SeatHeld-done-1",), ("trip:done",)]


def test_ocel_takes_hostile_names(make_log: MakeLog, tmp_path: Path) -> None:
    names = ["object", "Paid", "paid", 'x"; DROP TABLE event; --', "map type", "ümlaut"]
    saga = wb.Saga("s", names[0], [wb.Step(name, name) for name in names[1:]])
    events = [
        {
            "stream_id": "s'1",
            "stream_type": kind,
            "event_type": kind,
            "correlation_id": "c",
            "recorded_at": at(n),
        }
        for n, kind in enumerate(names)
    ]
    file = tmp_path / "x.sqlite"
    assert make_log(events).sagas(saga).ocel(file).events == 6
    check_ocel(file)


def test_ocel_says_what_it_leaves_out(make_log: MakeLog, tmp_path: Path) -> None:
    events = flow(DONE)
    events[3]["recorded_at"] = None
    written = make_log(events).sagas(trip).ocel(tmp_path / "x.sqlite")
    assert (written.events, written.left_out) == (4, 1)
    assert repr(written).endswith("4 events, 5 objects; 1 without a time are left out")


def test_ocel_replaces_nothing_unasked(some: Sagas, tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        some.ocel(file)
    assert file.read_text() == "mine"
    some.ocel(file, overwrite=True)
    check_ocel(file)
    with pytest.raises(ConfigError, match="there is no folder"):
        some.ocel(tmp_path / "nowhere" / "x.sqlite")
