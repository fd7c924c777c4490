"""Explain: causes that give the stored row exactly, by projections and folds alike; all of them, and none besides."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.benchmarks.truth_explain import judged
from tests.fix_log import MakeLog
from workbench import samples
from workbench.analysis.explain import Explanation, causes, snapshots, strangers
from workbench.bundled import account, account_summary, order_summary, sample
from workbench.bundled.guarded import account_guarded
from workbench.bundled.upcasters import upcasters
from workbench.charts.renderer import png
from workbench.errors import ConfigError

COLUMNS = {
    "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew"),
    "moves": wb.count(on=["Deposited", "Withdrew"]),
    "latest": wb.latest("amount", type="decimal", on=["Deposited", "Withdrew"]),
}
projection = wb.Projection("account", COLUMNS, on=["Deposited", "Withdrew", "Noted"], ends="Closed")


def deposited(row: dict[str, Any], amount: Decimal) -> None:
    row.update(balance=row["balance"] + amount, moves=row["moves"] + 1, latest=amount)


def withdrew(row: dict[str, Any], amount: Decimal) -> None:
    row.update(balance=row["balance"] - amount, moves=row["moves"] + 1, latest=amount)


def noted(row: dict[str, Any]) -> None:
    """Nothing changes."""


fold = wb.Fold(
    "account",
    lambda: {"balance": Decimal(0), "moves": 0, "latest": None},
    {"Deposited": deposited, "Withdrew": withdrew, "Noted": noted},
    ends="Closed",
)
BOTH = pytest.mark.parametrize("definition", [projection, fold], ids=["projection", "fold"])

AMOUNTS = [100, "-3.50", 7, 20, "-41", 1000]


def events(stream: str, amounts: Sequence[Any], start: int = 0) -> list[dict[str, Any]]:
    """Deposits, and withdrawals where the amount is negative; a minute apart."""
    return [
        {
            "stream_id": stream,
            "event_type": "Withdrew" if str(amount).startswith("-") else "Deposited",
            "data": f'{{"amount": {str(amount).lstrip("-")}}}',
            "recorded_at": f"2026-06-30T{14 + (start + n) // 60}:{(start + n) % 60:02}Z",
        }
        for n, amount in enumerate(amounts)
    ]


def state(amounts: Sequence[Any]) -> dict[str, Any]:
    """What a row is after these, with money as a table keeps it."""
    found = [Decimal(str(amount)) for amount in amounts]
    return {
        "balance": sum(found, Decimal(0)),
        "moves": len(found),
        "latest": abs(found[-1]) if found else None,
    }


def model(rows: dict[str, dict[str, Any]], **options: Any) -> Any:
    money = pa.decimal128(20, 2)
    schema = {"stream_id": pa.string(), "balance": money, "moves": pa.int64(), "latest": money}
    schema |= {name: pa.int64() for row in rows.values() for name in row if name == "version"}
    listed = [{"stream_id": key, **row} for key, row in rows.items()]
    return wb.read_model(pa.Table.from_pylist(listed, pa.schema(schema)), **options)


def explained(
    log: wb.EventLog, definition: Any, rows: dict[str, Any], **options: Any
) -> Explanation:
    return log.diff(definition, model(rows, **options)).explain()


def named(explanation: Explanation, key: str) -> set[tuple[str, tuple[int, ...]]]:
    return {(row["cause"], tuple(row["positions"])) for row in explanation.row(key)}


# -- one cause each --------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        ([0, 2, 3, 4, 5], {("skipped", (2,))}),
        ([0, 1, 2, 3, 3, 4, 5], {("applied twice", (4,))}),
        ([0, 1, 2, 3, 5, 4], {("swapped", (5, 6))}),
        ([0, 4, 5], {("run skipped", (2, 3, 4)), ("bad snapshot", (2, 3, 4))}),
        ([0, 1, 2, 1, 2, 3, 4, 5], {("run applied twice", (2, 3))}),
        ([0, 1, 3, 4, 4, 5], {("two events", (3, 5))}),
    ],
)
def test_each_cause_is_named_with_its_events(
    make_log: MakeLog, definition: Any, applied: list[int], expected: set[Any]
) -> None:
    log = make_log([*events("a", AMOUNTS), *events("b", [5, 6], 6)])
    rows = {"a": state([AMOUNTS[n] for n in applied]), "b": state([5, 6])}
    explanation = explained(log, definition, rows)
    assert named(explanation, "a") == expected
    assert all(row["exact"] and row["complete"] for row in explanation.rows())
    with pytest.raises(ConfigError, match="no such row is wrong"):
        explanation.row("b")


@BOTH
def test_late_and_unwritten_rows(make_log: MakeLog, definition: Any) -> None:
    log = make_log([*events("late", AMOUNTS), *events("gone", [5, 6], 6)])
    explanation = explained(
        log, definition, {"late": state(AMOUNTS[:4]) | {"version": 4}}, version="version"
    )
    assert named(explanation, "late") == {("stopped", (5, 6))}
    assert named(explanation, "gone") == {("not written", (7, 8))}
    assert explanation.counts == {"not written": 1, "stopped": 1}


@BOTH
def test_an_event_that_went_to_another_row_is_paired(make_log: MakeLog, definition: Any) -> None:
    log = make_log([*events("a", AMOUNTS), *events("b", [5, 6], 6)])
    lost = [amount for n, amount in enumerate(AMOUNTS) if n != 3]
    explanation = explained(log, definition, {"a": state(lost), "b": state([20, 5, 6])})
    assert explanation.row("a")[0]["cause"] == "wrong key"
    assert named(explanation, "a") == {("wrong key", (4,)), ("skipped", (4,))}
    assert named(explanation, "b") == {("wrong key", (4,))}
    assert [row["other"] for row in (explanation.row("a")[0], explanation.row("b")[0])] == [
        "b",
        "a",
    ]


@BOTH
def test_a_row_that_was_rebuilt_on_the_state_of_another(make_log: MakeLog, definition: Any) -> None:
    log = make_log([*events("a", AMOUNTS), *events("b", [77, 13, 5], 6)])
    rows = {"a": state([77, 13, *AMOUNTS[2:]]), "b": state([77, 13, 5])}
    explanation = explained(log, definition, rows)
    (row,) = explanation.row("a")
    assert (row["cause"], row["other"], row["positions"]) == (
        "snapshot of another row",
        "b",
        [1, 2],
    )
    last = explanation.histories("a").rows()[-1]
    assert (last["wrong_balance"], last["right_balance"]) == (
        rows["a"]["balance"],
        state(AMOUNTS)["balance"],
    )


@BOTH
def test_a_row_with_more_states_than_are_tried_says_so(
    make_log: MakeLog, definition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST", 1)
    monkeypatch.setattr(strangers, "MOST", 1)
    others = {name: [77, 13, 5] for name in ("b", "c", "d")}
    log = make_log(
        [*events("a", AMOUNTS), *(one for n in others for one in events(n, others[n], 6))]
    )
    rows = {name: state(amounts) for name, amounts in others.items()}
    rows["a"] = state([77, 13, *AMOUNTS[2:]])
    found = explained(log, definition, rows).row("a")
    assert [(row["cause"], row["other"], row["complete"]) for row in found] == [
        ("snapshot of another row", "b", False)
    ]


def test_states_that_fit_in_one_small_number_do_not_use_up_the_tries(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST", 1)
    # One event of the row is no move, so that a state of two moves is wanted: there are three of these.
    own = events("a", AMOUNTS)
    own[1] |= {"event_type": "Noted"}
    others = {"alike": [1, 2, 4], "alike too": [3, 5, 6], "b": [500, 40, 9]}
    log = make_log(
        [*own, *(one for name, given_ in others.items() for one in events(name, given_, 6))]
    )
    rows = {name: state(amounts) for name, amounts in others.items()}
    rows["a"] = state([500, 40, *AMOUNTS[2:]])
    (row,) = explained(log, fold, rows).row("a")
    assert (row["cause"], row["other"]) == ("snapshot of another row", "b")


@BOTH
def test_an_old_payload_that_was_read_without_its_upcaster(
    make_log: MakeLog, definition: Any
) -> None:
    old = {
        "stream_id": "a",
        "event_type": "Deposited",
        "data": '{"amount": 1250}',
        "schema_version": "1",
    }
    fresh = [one | {"schema_version": "2"} for one in events("a", AMOUNTS)]
    log = make_log([fresh[0], old, *fresh[1:3], old | {"data": '{"amount": 310}'}, *fresh[3:]])
    upcast = log.upcast(
        wb.Upcaster("Deposited", from_version="1", to_version="2").convert(
            "amount", factor=Decimal("0.01")
        )
    )
    amounts = [AMOUNTS[0], 1250, *AMOUNTS[1:3], "3.10", *AMOUNTS[3:]]
    explanation = explained(upcast, definition, {"a": state(amounts)})
    assert named(explanation, "a") == {("not upcast", (2,))}
    both = [AMOUNTS[0], 1250, *AMOUNTS[1:3], 310, *AMOUNTS[3:]]
    assert named(explained(upcast, definition, {"a": state(both)}), "a") == {("not upcast", (2, 5))}


@BOTH
def test_a_row_that_was_not_ended(make_log: MakeLog, definition: Any) -> None:
    closed = {"stream_id": "a", "event_type": "Closed", "recorded_at": "2026-06-30T14:03Z"}
    log = make_log([*events("a", [5, 7, 9]), closed, *events("a", [11, 13], 4)])
    explanation = explained(log, definition, {"a": state([5, 7, 9, 11, 13])})
    assert named(explanation, "a") == {("skipped", (4,))}


@BOTH
def test_what_nothing_explains_is_said(make_log: MakeLog, definition: Any) -> None:
    log = make_log(events("a", AMOUNTS))
    rows = {"a": state(AMOUNTS) | {"balance": Decimal("0.01")}, "nobody": state([1])}
    explanation = explained(log, definition, rows)
    assert explanation.counts == {"unexplained": 2}
    assert [row["exact"] for row in explanation.rows()] == [False, False]
    assert explanation.first_divergence("a") is None
    with pytest.raises(ConfigError, match="no history is known that led to it"):
        explanation.histories("a")
    assert "2 wrong rows, 0 explained exactly, 2 unexplained" in repr(explanation)


@BOTH
def test_causes_that_cannot_be_told_apart_are_all_listed(
    make_log: MakeLog, definition: Any
) -> None:
    log = make_log(events("a", [5, 5, 5, 9]))
    explanation = explained(log, definition, {"a": state([5, 5, 9])})
    assert named(explanation, "a") == {("skipped", (n,)) for n in (1, 2, 3)}
    assert [row["rank"] for row in explanation.rows()] == [1, 2, 3]
    assert {row["alike"] for row in explanation.rows()} == {3}
    assert explanation.summary().rows()[0]["several"] == 1


# -- other kinds of columns, and what stands in the way of sums ------------------------------------------

EVERYTHING = {
    "first": wb.first("amount", type="decimal"),
    "largest": wb.largest("amount"),
    "smallest": wb.smallest("amount"),
    "all": wb.collect("amount", type="decimal"),
    "part": (wb.total("amount") / wb.count()).round(2),
    "capped": wb.total("amount").clip(high=500),
}


@pytest.mark.parametrize(
    "columns",
    [EVERYTHING, {"all": EVERYTHING["all"]}, {"largest": EVERYTHING["largest"], "n": wb.count()}],
)
def test_columns_that_do_not_add_up(make_log: MakeLog, columns: dict[str, Any]) -> None:
    definition = wb.Projection("p", columns, key="who")
    made = [{"stream_id": f"s{n}", "data": {"who": "x", "amount": n * n}} for n in (3, 9, 2, 12, 5)]
    log = make_log(made)
    stored = log.where(condition="position <> 4").replay(definition)
    explanation = log.diff(definition, wb.read_model(stored.arrow())).explain()
    assert ("skipped", (4,)) in named(explanation, "x")
    assert explanation.row("x")[0]["cause"] == "skipped"


@BOTH
def test_a_read_model_of_texts_and_one_with_a_tolerance(make_log: MakeLog, definition: Any) -> None:
    log = make_log(events("a", AMOUNTS))
    row = state([amount for n, amount in enumerate(AMOUNTS) if n != 1])
    texts = pd.DataFrame([{"stream_id": "a", **{name: str(value) for name, value in row.items()}}])
    assert named(log.diff(definition, wb.read_model(texts)).explain(), "a") == {("skipped", (2,))}
    near = row | {"balance": row["balance"] + Decimal("0.01")}
    diff = log.diff(definition, model({"a": near}), tolerance={"balance": Decimal("0.02")})
    assert named(diff.explain(), "a") == {("skipped", (2,))}


def test_values_that_cannot_be_read_stop_no_search(make_log: MakeLog) -> None:
    log = make_log(
        [
            *events("a", [5, 7, 9]),
            {"stream_id": "a", "event_type": "Withdrew", "data": {"amount": "?"}},
        ]
    )
    columns = {"paid": wb.total("amount", on="Deposited"), "left": COLUMNS["balance"]}
    definition = wb.Projection("p", columns)
    stored = log.where(condition="position <> 2").replay(definition)
    explanation = log.diff(definition, wb.read_model(stored.arrow())).explain()
    assert named(explanation, "a") == {("skipped", (2,))}


def test_handlers_that_refuse_a_run_that_never_was(make_log: MakeLog) -> None:
    def picky(total: int, amount: int) -> int:
        if amount < total:
            message = "too small"
            raise ValueError(message)
        return total + amount

    definition = wb.Fold("total", 0, {"Deposited": picky})
    log = make_log(events("a", [1, 2, 4, 8, 16]))
    explanation = log.diff(
        definition, wb.read_model(pd.DataFrame([{"stream_id": "a", "total": 15}]))
    ).explain()
    assert ("stopped", (5,)) in named(explanation, "a")
    assert ("skipped", (5,)) in named(explanation, "a")


# -- long rows ------------------------------------------------------------------------------------------


@BOTH
def test_a_long_row_does_not_blow_it_up(make_log: MakeLog, definition: Any) -> None:
    amounts = [n % 97 + 1 for n in range(3_000)]
    amounts[1_234] = 100_001
    made = [
        {
            "stream_id": "a",
            "event_type": "Deposited",
            "data": f'{{"amount": {amount}}}',
            "recorded_at": "2026-01-01T00:00Z",
        }
        for amount in amounts
    ]
    log = make_log(made)
    explanation = explained(
        log, definition, {"a": state([a for n, a in enumerate(amounts) if n != 1_234])}
    )
    assert named(explanation, "a") == {("skipped", (1_235,))}
    assert explanation.row("a")[0]["complete"] == (definition is projection)
    assert bool(explanation.notes) == (definition is fold)


def test_events_without_any_effect_do_not_blow_it_up(make_log: MakeLog) -> None:
    definition = wb.Projection(
        "p", {"n": wb.count(on="Rare"), "last": wb.latest("x")}, on=["Rare", "Often"]
    )
    often = [{"stream_id": "a", "event_type": "Often", "data": {"x": "same"}}] * 2_000
    log = make_log([{"stream_id": "a", "event_type": "Rare"}, *often])
    lacks_one = pd.DataFrame([{"stream_id": "a", "n": 0, "last": "same"}])
    explanation = log.diff(definition, wb.read_model(lacks_one)).explain()
    assert named(explanation, "a") == {("skipped", (1,))}
    # Here four million runs of events have the right sum.
    another = pd.DataFrame([{"stream_id": "a", "n": 1, "last": "another"}])
    explanation = log.diff(definition, wb.read_model(another)).explain()
    assert explanation.counts == {"unexplained": 1}
    assert explanation.row("a")[0]["complete"] is False
    assert "only short ones were tried" in explanation.notes[0]


# -- clusters, time, histories --------------------------------------------------------------------------


def outage(make_log: MakeLog) -> tuple[wb.EventLog, Explanation]:
    """Sixty accounts, twenty deposits each in turn; 25 events in the middle never arrive, and one elsewhere."""
    made = [
        event
        for turn in range(20)
        for account_ in range(60)
        for event in events(f"acc-{account_:02}", [turn * 60 + account_ + 1], turn)
    ]
    log = make_log(made)
    lost = log.where(condition="position NOT BETWEEN 611 AND 635 AND position <> 45")
    stored = lost.replay(projection).query("SELECT stream_id, balance, moves, latest FROM result")
    return log, log.diff(projection, wb.read_model(stored.arrow(), name="balances")).explain()


def test_an_outage_is_one_cluster(make_log: MakeLog) -> None:
    _, explanation = outage(make_log)
    together, scattered = explanation.clusters().rows()
    assert (together["cause"], together["together"], together["rows"]) == ("skipped", True, 25)
    assert (together["first_position"], together["last_position"], together["share"]) == (
        611,
        635,
        1.0,
    )
    assert (scattered["together"], scattered["keys"]) == (False, ["acc-44"])
    assert together["says"] == (
        "all events at positions 611-635 never reached the projection, at 2026-06-30 14:10:00Z: 25 rows; all of them Deposited"
    )
    assert "1. all events at positions 611-635" in repr(explanation)
    assert "<li>all events at positions 611-635" in explanation._repr_html_()


def test_since_when_rows_are_wrong(make_log: MakeLog) -> None:
    _, explanation = outage(make_log)
    first = explanation.first_divergence("acc-10")
    assert first is not None
    assert (first["position"], first["cause"], first["healed"]) == (611, "skipped", False)
    over_time = explanation.over_time(every="1 minute")
    assert [(row["moment"].minute, row["rows"]) for row in over_time.rows()][:3] == [
        (0, 0),
        (1, 1),
        (2, 1),
    ]
    assert over_time.rows()[-1]["rows"] == 26


def test_a_stop_is_one_cluster(make_log: MakeLog) -> None:
    log, _ = outage(make_log)
    stored = (
        log.as_of(position=900)
        .replay(projection)
        .query("SELECT stream_id, balance, moves, latest FROM result")
    )
    explanation = log.diff(projection, wb.read_model(stored.arrow())).explain()
    (one,) = explanation.clusters().rows()
    assert (one["cause"], one["rows"], one["together"]) == ("stopped", 60, True)
    assert "the projection stopped after position 900 and before 901" in one["says"]


@BOTH
@pytest.mark.parametrize(
    "cause",
    [
        "skipped",
        "applied twice",
        "swapped",
        "run skipped",
        "run applied twice",
        "two events",
        "stopped",
    ],
)
def test_a_history_ends_in_the_stored_row(make_log: MakeLog, definition: Any, cause: str) -> None:
    applied = {
        "skipped": [0, 2, 3, 4, 5], "applied twice": [0, 1, 2, 3, 3, 4, 5], "swapped": [0, 1, 2, 3, 5, 4],
        "run skipped": [0, 4, 5], "run applied twice": [0, 1, 2, 1, 2, 3, 4, 5], "two events": [0, 1, 3, 4, 4, 5],
        "stopped": [0, 1, 2],
    }[cause]  # fmt: skip
    log = make_log(events("a", AMOUNTS))
    rows = {"a": state([AMOUNTS[n] for n in applied])}
    explanation = explained(log, definition, rows)
    rank = next(row["rank"] for row in explanation.row("a") if row["cause"] == cause)
    histories = explanation.histories("a", rank=rank)
    last = histories.rows()[-1]
    assert {name: last[f"wrong_{name}"] for name in COLUMNS} == rows["a"]
    assert {name: last[f"right_{name}"] for name in COLUMNS} == state(AMOUNTS)
    assert [row["position"] for row in histories.rows() if row["guilty"]] == list(
        explanation.row("a")[rank - 1]["positions"]
    )


# -- against everything tried, and against the truth -------------------------------------------------------


@given(
    amounts=st.lists(st.sampled_from(["1", "2", "5", "-1", "-2"]), min_size=1, max_size=7),
    data=st.data(),
)
@oracle.examples(25)
def test_it_says_what_trying_everything_says(amounts: list[str], data: st.DataObject) -> None:
    """All single skips, repeats and swaps, tried one by one; the same by columns and by folding."""
    length = len(amounts)
    order = list(range(length))
    changed = [("skipped", (n + 1,), [*order[:n], *order[n + 1 :]]) for n in order]
    changed += [("applied twice", (n + 1,), [*order[: n + 1], *order[n:]]) for n in order]
    changed += [
        ("swapped", (n + 1, n + 2), [*order[:n], n + 1, n, *order[n + 2 :]])
        for n in order[:-1]
        if amounts[n] != amounts[n + 1]
    ]
    _, _, applied = data.draw(st.sampled_from(changed))
    stored = state([amounts[n] for n in applied])
    if not applied or any(stored == state(amounts[:n]) for n in range(1, length + 1)):
        return
    expected = {
        (cause, at)
        for cause, at, run in changed
        if run and state([amounts[n] for n in run]) == stored
    }
    for definition in (projection, fold):
        with wb.open() as log:
            log.load(_written(events("a", amounts)), progress=False)
            found = named(explained(log, definition, {"a": stored}), "a")
        assert {
            each for each in found if each[0] in ("skipped", "applied twice", "swapped")
        } == expected


def _written(made: list[dict[str, Any]]) -> Any:
    from tests.fix_log import Written

    return Written(made)


@pytest.mark.parametrize("domain", ["bank", "checkout"])
@pytest.mark.parametrize("options", [{"version": "version"}, {"position": "position"}])
def test_the_bundled_faults_are_named(domain: str, options: dict[str, str]) -> None:
    import json

    bundled = sample(domain)
    log = wb.open()
    log.load(wb.files(bundled.events, name=domain), progress=False)
    explanation = log.diff(
        bundled.definition, wb.read_model(bundled.read_model, **options)
    ).explain()
    expected = {
        "skipped_event": "skipped",
        "doubled_event": "applied twice",
        "stale": "stopped",
        "close_not_applied": "stopped",
    }
    for fault in json.loads(bundled.truth.read_text())["faults"]:
        found = named(explanation, fault["key"])
        if fault["fault"] in ("missing", "orphaned"):
            assert {cause for cause, _ in found} == {
                "missing": {"not written"},
                "orphaned": {"unexplained"},
            }[fault["fault"]]
            continue
        cause, positions = (
            expected[fault["fault"]],
            tuple(event["position"] for event in fault["events"]),
        )
        assert any(name == cause and set(at) <= set(positions) for name, at in found)
        if "same_effect" in fault:
            alike = {(cause, (position,)) for position in [*positions, *fault["same_effect"]]}
            assert {each for each in found if each[0] == cause} == alike
    log.close()


@pytest.fixture(scope="module", params=["bank", "checkout"])
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data set with every cause, in three versions of payloads."""
    folder = tmp_path_factory.mktemp(request.param)
    samples.generate(
        request.param, folder, events=12_000, seed=11, faults="causes", schema_versions=3
    )
    with wb.open() as log:
        log.load(wb.files(str(folder / "events*.parquet"), name=request.param), progress=False)
        yield request.param, folder, log.upcast(*upcasters(request.param))


def test_every_generated_cause_is_named_and_none_invented(generated: Any) -> None:
    import json

    domain, folder, log = generated
    kinds = {
        "bank": [(account_summary, "truth.json"), (account_guarded, "account_guarded_truth.json")],
        "checkout": [(order_summary, "truth.json")],
    }
    for definition, name in kinds[domain]:
        truth = json.loads((folder / name).read_text())
        stored = wb.read_model(folder / f"{truth['read_model']}.parquet", version="version")
        score = judged(log.diff(definition, stored).explain(), truth["faults"], truth["faults"])
        assert score.rows > 10
        assert (score.class_right, score.all, score.lacks, score.invents, score.unexpected) == (
            score.rows,
            score.rows,
            0,
            0,
            0,
        ), score.examples


# -- small things -----------------------------------------------------------------------------------------


def test_nothing_is_wrong(make_log: MakeLog) -> None:
    log = make_log(events("a", AMOUNTS))
    explanation = explained(log, projection, {"a": state(AMOUNTS)})
    assert (len(explanation), explanation.counts, len(explanation.clusters())) == (0, {}, 0)
    assert "no row is wrong" in repr(explanation)
    assert "there is nothing to do" in repr(explanation.repair())


def test_an_empty_log_and_rows_that_are_ahead(make_log: MakeLog) -> None:
    explanation = explained(
        make_log([]), projection, {"a": state([1]) | {"version": 1}}, version="version"
    )
    assert len(explanation) <= 1
    log = make_log(events("a", AMOUNTS))
    explanation = explained(
        log, projection, {"a": state([*AMOUNTS, 4]) | {"version": 7}}, version="version"
    )
    assert len(explanation) == 0
    assert explanation.notes == ("1 rows are ahead of this log: nothing can be said about them",)


def test_causes_are_told_and_misspelt_ones_found(make_log: MakeLog) -> None:
    explanation = explained(make_log(events("a", AMOUNTS)), projection, {"a": state(AMOUNTS[1:])})
    assert len(explanation.of("skipped")) == 1
    assert set(explanation.causes()) == set(causes.CAUSES)
    with pytest.raises(ConfigError, match="Did you mean 'skipped'"):
        explanation.of("skiped")
    with pytest.raises(ConfigError, match="the key of 'account' is stream_id"):
        explanation.row("a", "b")
    with pytest.raises(ConfigError, match="rank=9: there are"):
        explanation.histories("a", rank=9)


def test_the_charts(make_log: MakeLog) -> None:
    _, explanation = outage(make_log)
    drawn = explanation.chart().to_dict()
    assert [panel["title"]["text"] for panel in drawn["vconcat"]] == [
        "guilty events by position in the log, and their cause",
        "rows that were wrong, by cause",
    ]
    data = list(drawn["datasets"].values()) if "datasets" in drawn else []
    assert "25 rows" in str([drawn, data])
    histories = explanation.histories("acc-10").chart().to_dict()
    titles = [panel["title"]["text"] for panel in histories["vconcat"]]
    assert titles[0].startswith(("balance: ", "moves: "))
    assert "and should be" in titles[0]
    for result in (
        explanation,
        explanation.clusters(),
        explanation.over_time(),
        explanation.histories("acc-10"),
    ):
        assert result.chart().to_dict()["description"]


def test_charts_of_nothing_say_so(make_log: MakeLog) -> None:
    log = make_log(events("a", AMOUNTS))
    right = explained(log, projection, {"a": state(AMOUNTS)})
    orphan = explained(log, projection, {"a": state(AMOUNTS), "nobody": state([1])})
    for explanation, words in ((right, "no row is wrong"), (orphan, "1 row is unexplained")):
        assert words in str(explanation.chart().to_dict())
        for result in (explanation, explanation.clusters(), explanation.over_time()):
            assert png(result.chart().to_dict()).startswith(b"\x89PNG")


def test_hostile_text_stays_text(make_log: MakeLog) -> None:
    evil = "<script>alert('x')</script>\n\x1b[2J"
    log = make_log(
        [one | {"event_type": evil} for one in events("a'; DROP TABLE x; --", [1, 2, 3])]
    )
    definition = wb.Projection("p", {"n": wb.count(), "sum": wb.total("amount")})
    stored = pd.DataFrame([{"stream_id": "a'; DROP TABLE x; --", "n": 2, "sum": 4}])
    explanation = log.diff(definition, wb.read_model(stored, name="<b>")).explain()
    assert "<script>" not in explanation._repr_html_() + explanation.repair()._repr_html_()
    assert "\x1b" not in repr(explanation) + explanation.repair().script()
    assert explanation.row("a'; DROP TABLE x; --")[0]["positions"] == [2]
    assert "'a''; DROP TABLE x; --'" in explanation.repair().script()


def test_the_truth_of_bundled_folds_and_projections_is_one() -> None:
    bundled = sample("bank")
    with wb.open() as log:
        log.load(wb.files(bundled.events, name="bank"), progress=False)
        stored = wb.read_model(bundled.read_model)
        first, second = (
            [
                (r["account_id"], r["cause"], tuple(r["positions"]))
                for r in log.diff(d, stored).explain().rows()
            ]
            for d in (account_summary, account)
        )
    assert list(itertools.chain(first)) == second
