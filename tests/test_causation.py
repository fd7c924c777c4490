"""Causation: who caused what, in one flow and over a whole log."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
import workbench.charts
from tests.fix_log import MakeLog, Written
from workbench.analysis.causation import gap
from workbench.analysis.links import NONE, forest
from workbench.analysis.outline import outline


def event(
    id: str, cause: str | None = None, flow: str | None = "k", **other: Any
) -> dict[str, Any]:
    number = int("".join(char for char in id if char.isdigit()) or 0)
    row = {
        "stream_id": "order-1",
        "event_id": id,
        "event_type": f"Type{id}",
        "causation_id": cause,
        "correlation_id": flow,
        "recorded_at": f"2026-01-01T00:00:{number:02d}Z",
    }
    return row | other


BRANCHES = [
    event("1"),
    event("2", "1", stream_id="stock-1"),
    event("3", "1", stream_id="pay-1"),
    event("4", "2", stream_id="stock-1"),
]


def shown(result: Any) -> list[tuple[Any, ...]]:
    return [(row["event_id"], row["depth"], row["parent"], row["cause"]) for row in result.rows()]


# -- one flow ------------------------------------------------------------------------------------


def test_events_stand_below_their_cause(make_log: MakeLog) -> None:
    result = make_log(BRANCHES).causation("k")
    assert shown(result) == [
        ("1", 0, None, "first"),
        ("2", 1, 1, "known"),
        ("4", 2, 2, "known"),
        ("3", 1, 1, "known"),
    ]
    assert (result.events, result.roots, result.depth, result.by) == (4, 1, 2, "correlation")


def test_rows_say_how_many_are_below_and_how_long_it_took(make_log: MakeLog) -> None:
    rows = {row["event_id"]: row for row in make_log(BRANCHES).causation("k").rows()}
    assert [(rows[id]["effects"], rows[id]["below"]) for id in "1234"] == [
        (2, 3),
        (1, 1),
        (0, 0),
        (0, 0),
    ]
    assert [rows[id]["after"] for id in "1234"] == [
        None, dt.timedelta(seconds=1), dt.timedelta(seconds=2), dt.timedelta(seconds=2),
    ]  # fmt: skip


def test_it_stopped_where_nothing_follows(make_log: MakeLog) -> None:
    stops = make_log(BRANCHES).causation("k").stops()
    assert [row["event_type"] for row in stops.rows()] == ["Type4", "Type3"]


def test_an_event_shows_what_it_comes_from_and_what_comes_from_it(make_log: MakeLog) -> None:
    result = make_log(BRANCHES).causation("2")
    assert [row[0] for row in shown(result)] == ["1", "2", "4"]
    assert result.by == "event"


def test_a_flow_is_followed_into_others(make_log: MakeLog) -> None:
    log = make_log(
        [*BRANCHES, event("5", "4", "other"), event("6", None, "other"), event("7", "5", None)]
    )
    assert [row[0] for row in shown(log.causation("k"))] == ["1", "2", "4", "5", "7", "3"]
    assert [row[0] for row in shown(log.causation("other"))] == ["1", "2", "4", "5", "7", "6"]


def test_an_unknown_cause_makes_an_orphan(make_log: MakeLog) -> None:
    result = make_log(
        [event("1"), event("2", "lost"), event("3", "lost"), event("4", "2")]
    ).causation("k")
    assert shown(result) == [
        ("1", 0, None, "first"),
        ("2", 0, None, "unknown"),
        ("4", 1, 2, "known"),
        ("3", 0, None, "unknown"),
    ]
    assert (result.orphans, result.roots) == (2, 3)
    assert result.tree().splitlines() == [
        "Type1  order-1 v1",
        "? lost  not in this log",
        "  Type2  order-1 v2",
        "    Type4  order-1 v4  +2s",
        "  Type3  order-1 v3",
    ]


def test_a_circle_is_cut_open_at_its_earliest_event(make_log: MakeLog) -> None:
    result = make_log(
        [event("1", "3"), event("2", "1"), event("3", "2"), event("4", "3")]
    ).causation("k")
    assert shown(result) == [
        ("1", 0, None, "cycle"),
        ("2", 1, 1, "known"),
        ("3", 2, 2, "known"),
        ("4", 3, 3, "known"),
    ]
    assert result.cycles == 1
    assert result.notes == (
        "3 events cause each other in a circle: it is cut open at the earliest",
    )


def test_an_event_that_names_itself_is_no_circle(make_log: MakeLog) -> None:
    result = make_log([event("1", "1"), event("2", "1")]).causation("k")
    assert shown(result) == [("1", 0, None, "itself"), ("2", 1, 1, "known")]
    assert (result.cycles, result.itself) == (0, 1)


def test_a_narrowed_log_has_its_own_causes(make_log: MakeLog) -> None:
    log = make_log(BRANCHES).where(stream=["stock-1"])
    assert shown(log.causation("k")) == [("2", 0, None, "unknown"), ("4", 1, 2, "known")]


def test_an_id_that_is_not_there(make_log: MakeLog) -> None:
    log = make_log([event("1", flow="order-flow-17")])
    with pytest.raises(wb.errors.QueryError, match="Did you mean 'order-flow-17'"):
        log.causation("order-flow-71")


def test_hostile_ids_stay_text(make_log: MakeLog) -> None:
    evil = "'; DROP TABLE x; --<script>\x1b[31m"
    log = make_log(
        [event("1", flow=evil, event_type="<script>alert(1)</script>"), event("2", "1", evil)]
    )
    result = log.causation(evil)
    assert len(result) == 2
    assert "<script>" not in result._repr_html_()
    assert "\x1b" not in repr(result)


def test_dead_letters_stand_below_the_event_that_was_given_up(make_log: MakeLog) -> None:
    log = make_log(BRANCHES)
    with log._view.database.writing() as con:
        con.execute(
            "INSERT INTO log.main.dead_letters (dead_letter_id, source, source_position, event_id, event_type, consumer, "
            "dead_lettered_at, correlation_id, error_class, error_message, causation_id) VALUES "
            "(1, 'dlq', 'dlq/0/1', '2', 'Type2', 'billing', '2026-01-01T00:01Z', 'k', 'Timeout', 'too slow', NULL), "
            "(2, 'dlq', 'dlq/0/2', 'unseen', 'Type9', 'billing', NULL, 'k', NULL, NULL, '3'), "
            "(3, 'dlq', 'dlq/0/3', NULL, NULL, NULL, NULL, 'elsewhere', NULL, NULL, NULL)"
        )
    result = log.causation("k")
    assert [
        (row["kind"], row["event_id"], row["depth"], row["parent"]) for row in result.rows()
    ] == [
        ("event", "1", 0, None),
        ("event", "2", 1, 1),
        ("dead letter", "2", 2, 2),
        ("event", "4", 2, 2),
        ("event", "3", 1, 1),
        ("dead letter", "unseen", 2, 3),
    ]
    assert result.dead_letters == 2
    assert result.rows()[2]["after"] == dt.timedelta(seconds=58)
    assert "✗ dead letter of Type2  billing  +58s  Timeout: too slow" in result.tree()


# -- large ones ----------------------------------------------------------------------------------


def test_a_chain_of_100_000_events() -> None:
    events = [
        {
            "stream_id": "s",
            "event_id": str(n),
            "causation_id": str(n - 1) if n else None,
            "correlation_id": "k",
        }
        for n in range(100_000)
    ]
    with wb.open() as log:
        log.load(Written(events), progress=False)
        start = time.perf_counter()
        result = log.causation("k")
        assert time.perf_counter() - start < 20
        assert (result.events, result.depth, result.roots) == (100_000, 99_999, 1)
        assert len(repr(result)) < 20_000
        lines, more = outline(result, 10)
        assert ([line.hidden for line in lines][-1], more) == (99_990, 0)


def test_hidden_events_are_counted(make_log: MakeLog) -> None:
    log = make_log([event("1"), *[event(str(n), "1") for n in range(2, 12)], event("12", "11")])
    lines, _ = outline(log.causation("k"), 4)
    assert [(line.name, line.hidden) for line in lines] == [
        ("Type1", 8), ("Type2", 0), ("Type3", 0), ("Type4", 0),
    ]  # fmt: skip


@given(st.lists(st.integers(-1, 40), max_size=41))
def test_a_forest_is_what_following_each_event_up_finds(given: list[int]) -> None:
    """Against an oracle that walks: the same roots, depths and circles."""
    parents = [p if p < len(given) and p != n else NONE for n, p in enumerate(given)]
    found = forest(np.array(parents, dtype=np.int64))
    for start in range(len(parents)):
        seen = [start]
        while parents[seen[-1]] != NONE and parents[seen[-1]] not in seen:
            seen.append(parents[seen[-1]])
        last = parents[seen[-1]]
        circle = [] if last == NONE else seen[seen.index(last) :]
        assert found.on_cycle[start] == (start in circle)
        root = min(circle) if circle else seen[-1]
        assert found.root[start] == root
        assert found.depth[start] == seen.index(root) if root in seen else True
    assert found.cycles == len({found.root[n] for n in range(len(parents)) if found.on_cycle[n]})


# -- a whole log ---------------------------------------------------------------------------------


def test_a_log_counts_its_links(make_log: MakeLog) -> None:
    log = make_log(
        [
            *BRANCHES,
            event("5", "lost"), event("6", "lost"), event("7", "gone"),
            event("8", "8"),
            event("9", "10"), event("10", "9"),
            event("11", "4", recorded_at="2025-01-01T00:00Z"),
        ]
    )  # fmt: skip
    result = log.causation()
    assert result.counts == {
        "events": 11, "first": 1, "caused": 6, "orphans": 3, "missing_causes": 2, "itself": 1, "cycles": 1,
        "on_cycles": 2, "across_streams": 3, "backwards": 2, "longest_chain": 4,
    }  # fmt: skip
    assert [row["event_id"] for row in result.orphans().rows()] == ["5", "6", "7"]
    assert [row["event_id"] for row in result.cycles().rows()] == ["8", "9", "10"]
    assert {row["what"]: row["number"] for row in result.rows()}["orphans"] == 3


def test_an_empty_log_and_one_without_causes(make_log: MakeLog) -> None:
    assert wb.open().causation().notes == ("no events",)
    assert "does not record causation" in make_log([event("1")]).causation().notes[0]


# -- pictures ------------------------------------------------------------------------------------


def test_the_chart_draws_each_event_and_says_what_is_left_out(
    make_log: MakeLog, tmp_path: Any
) -> None:
    log = make_log([event("1"), *[event(str(n), "1") for n in range(2, 50)], event("50", "lost")])
    chart = log.causation("k").chart(limit=20)
    said = chart.to_dict()["description"]
    assert "the upper 20 of 50 are drawn" in said
    assert "1 name a cause that is not in this log" in said
    workbench.charts.save(chart, tmp_path / "tree.png")
    assert (tmp_path / "tree.png").read_bytes().startswith(b"\x89PNG")


def test_the_chart_of_one_event_without_a_time(make_log: MakeLog, tmp_path: Any) -> None:
    chart = (
        make_log([{"stream_id": "a", "event_id": "1", "correlation_id": "k"}])
        .causation("k")
        .chart()
    )
    workbench.charts.save(chart, tmp_path / "tree.png")
    assert (tmp_path / "tree.png").stat().st_size > 1_000


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (dt.timedelta(), "+0ms"),
        (dt.timedelta(milliseconds=12), "+12ms"),
        (dt.timedelta(seconds=-3), "-3s"),
        (dt.timedelta(hours=23, minutes=46, seconds=9), "+23h 46m"),
        (dt.timedelta(days=3), "+3d"),
    ],
)
def test_gaps_in_words(length: dt.timedelta, said: str) -> None:
    assert gap(length) == said
