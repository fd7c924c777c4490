"""The read model with every cause, and its truth; checked by folds in plain Python that know nothing of the generator."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.cli import well, workbench
from tests.test_generate import contents, read_events
from workbench import samples
from workbench.bundled import account, account_summary, order_summary
from workbench.bundled.guarded import account_guarded
from workbench.bundled.upcasters import upcasters
from workbench.errors import ConfigError

Event = dict[str, Any]
State = dict[str, Any]
Applied = list[tuple[Event, bool]]
"""Events as a projection applied them; True: its payload was read without upcasters."""

SETS = [("bank", 3, 1), ("bank", 2, 5), ("checkout", 3, 2), ("checkout", 2, 9)]
SIZES = {"bank": 9_000, "checkout": 6_000}


# -- reading payloads and folding them, once more ------------------------------------------------


def upcast(kind: str, schema: str, data: dict[str, Any]) -> dict[str, Any]:
    data = dict(data)
    if schema == "1":
        match kind:
            case "DepositMade" if "amount_cents" in data:
                data["amount"] = Decimal(data.pop("amount_cents")).scaleb(-2)
            case "WithdrawalMade" if isinstance(data["amount"], int):
                data["amount"] = Decimal(data["amount"]).scaleb(-2)
            case "OrderCreated" if "total_cents" in data:
                data["total"] = Decimal(data.pop("total_cents")).scaleb(-2)
                data["customerId"] = data.pop("customer")
            case "InventoryReserved" | "InventoryReleased" if "qty" in data:
                data["quantity"] = data.pop("qty")
    return data


def read(applied: Applied) -> Iterator[tuple[Event, str, dict[str, Any]]]:
    """Each event with its type, and its payload as the projection read it."""
    for event, misread in applied:
        kind, data = event["event_type"], event["data"]
        yield event, kind, data if misread else upcast(kind, event["schema_version"], data)


def account_after(applied: Applied) -> State | None:
    state: State | None = None
    for event, kind, data in read(applied):
        if kind == "AccountClosed":
            state = None
            continue
        if state is None:
            state = {"current_balance": Decimal(0), "last_transaction_date": None}
            state |= {"transaction_count": 0, "risk_score": 0}
        amount = data.get("amount") or Decimal(0)
        points = 0
        match kind:
            case "DepositMade":
                state["current_balance"] += amount
            case "WithdrawalMade":
                state["current_balance"] -= amount
                points = 10 if amount > 1000 else 0
            case "AccountFrozen":
                points = 25
            case "WithdrawalRejected":
                points = 5
        if kind in ("DepositMade", "WithdrawalMade"):
            state["transaction_count"] += 1
            state["last_transaction_date"] = event["occurred_at"]
        state["risk_score"] = min(100, state["risk_score"] + points)
    return state


def order_after(applied: Applied) -> State | None:
    if not applied:
        return None
    state: State = dict.fromkeys(["customer_id", "status", "total", "items", "placed_at"])
    state["items"] = 0
    for event, kind, data in read(applied):
        state["status"] = data["status"]
        quantity = data.get("quantity") or 0
        match kind:
            case "OrderCreated":
                new = {"customer_id": data.get("customerId"), "total": data.get("total")}
                new["placed_at"] = event["occurred_at"]
                state |= {name: value for name, value in new.items() if state[name] is None}
            case "InventoryReserved":
                state["items"] += quantity
            case "InventoryReleased":
                state["items"] -= quantity
    return state


def guarded_after(applied: Applied) -> State | None:
    """An account that pays out no more than it has."""
    state: State | None = None
    for event, kind, data in read(applied):
        if kind == "AccountClosed":
            state = None
            continue
        if state is None:
            state = {"current_balance": Decimal(0), "last_transaction_date": None}
            state |= {"transaction_count": 0, "refused": 0}
        if kind not in ("DepositMade", "WithdrawalMade"):
            continue
        change = data.get("amount") or Decimal(0)
        change = -change if kind == "WithdrawalMade" else change
        if change < 0 and state["current_balance"] + change < 0:
            state["refused"] += 1
            continue
        state["current_balance"] += change
        state["transaction_count"] += 1
        state["last_transaction_date"] = event["occurred_at"]
    return state


AFTER: dict[str, Callable[[Applied], State | None]] = {
    "account_summary": account_after,
    "order_summary": order_after,
    "account_guarded": guarded_after,
}
KEYS = {"bank": "account_id", "checkout": "order_id"}


@dataclass
class Set:
    domain: str
    folder: Path
    events: list[Event]
    rows: dict[str, State]
    truth: dict[str, Any]

    def __post_init__(self) -> None:
        self.keyed: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            key = event["stream_id"] if self.domain == "bank" else event["data"]["orderId"]
            self.keyed[key].append(event)
        self.at = {event["position"]: event for event in self.events}
        self.faults = {fault["key"]: fault for fault in self.truth["faults"]}

    def after(self, applied: Iterable[Event], misread: Iterable[int] = ()) -> State | None:
        old = set(misread)
        return AFTER[self.truth["read_model"]](
            [(event, event["position"] in old) for event in applied]
        )

    def stored(self, key: str) -> State | None:
        row = self.rows.get(key)
        return (
            None if row is None else {n: v for n, v in row.items() if n in self.truth["compared"]}
        )


def read_set(domain: str, folder: Path, truth: str = "truth.json") -> Set:
    told = json.loads((folder / truth).read_text())
    rows = pq.read_table(folder / f"{told['read_model']}.parquet").to_pylist()
    keyed = {row.pop(KEYS[domain]): row for row in rows}
    assert len(keyed) == len(rows) == told["rows"]
    return Set(domain, folder, read_events(*sorted(folder.glob("events*"))), keyed, told)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Path]:
    @cache
    def generated(domain: str, versions: int, seed: int) -> Path:
        folder = tmp_path_factory.mktemp(domain)
        samples.generate(
            domain,
            folder,
            events=SIZES[domain],
            seed=seed,
            faults="causes",
            schema_versions=3 if versions == 3 else 2,
        )
        return folder

    return generated


def _named(one: tuple[Any, ...]) -> str:
    return " ".join(map(str, one))


@pytest.fixture(scope="module", params=SETS, ids=_named)
def made(request: pytest.FixtureRequest, make: Callable[[str, int, int], Path]) -> Set:
    """What each domain's read model is."""
    return read_set(request.param[0], make(*request.param))


@pytest.fixture(scope="module", params=[*SETS, (*SETS[0], "guarded")], ids=_named)
def each(request: pytest.FixtureRequest, make: Callable[[str, int, int], Path]) -> Set:
    """The same, and what the fold of the bank makes that depends on order."""
    domain, versions, seed, *fold = request.param
    truth = "account_guarded_truth.json" if fold else "truth.json"
    return read_set(domain, make(domain, versions, seed), truth)


# -- what was done, done again -------------------------------------------------------------------


def applied_by(made: Set, fault: dict[str, Any]) -> tuple[list[Event], set[int]]:
    """Do to the row's events what the truth says was injected."""
    key = fault["key"]
    own = list(made.keyed[key])
    misread: set[int] = set()
    for told in fault["injected"]:
        events = [made.at[event["position"]] for event in told["events"]]
        there = [own.index(event) for event in events if event in own]
        match told["cause"]:
            case "skipped" | "stale" | "missing":
                own = [event for event in own if event not in events]
            case "doubled":
                own[there[-1] + 1 : there[-1] + 1] = events
            case "swapped":
                first, second = there
                own[first], own[second] = own[second], own[first]
            case "un-upcast":
                misread = {event["position"] for event in events}
            case "wrong key" if told["role"] == "lost":
                own.remove(events[0])
            case "wrong key":
                own = sorted([*own, *events], key=lambda event: event["position"])
            case "bad snapshot":
                start = made.keyed[told["snapshot_of"]][: told["snapshot_version"]]
                own = start + own[told["continued_at"] - 1 :]
    return own, misread


def test_what_was_injected_gives_what_is_stored(each: Set) -> None:
    for fault in each.faults.values():
        causes = {told["cause"] for told in fault["injected"]}
        if causes == {"orphaned"}:
            assert fault["key"] not in each.keyed
            assert fault["key"] in each.rows
        elif causes == {"missing"}:
            assert fault["key"] not in each.rows
        else:
            assert each.after(*applied_by(each, fault)) == each.stored(fault["key"]), fault


def test_events_are_told_as_they_are_logged(each: Set) -> None:
    named = ["position", "stream_id", "version", "event_id", "event_type"]
    told = [
        event
        for fault in each.faults.values()
        for one in fault["injected"]
        for event in one["events"]
    ]
    assert told
    for event in told:
        assert event == {name: each.at[event["position"]][name] for name in named}


def test_all_other_rows_are_right(each: Set) -> None:
    for key in each.keyed.keys() | each.rows.keys():
        if key in each.faults:
            continue
        events = each.keyed[key]
        assert each.stored(key) == each.after(events), key
        if key in each.rows:
            version = events[-1]["version"] if each.domain == "bank" else len(events)
            assert each.rows[key]["version"] == version
            assert each.rows[key]["position"] == events[-1]["position"]


def test_every_listed_row_is_wrong(each: Set) -> None:
    for key in each.faults:
        assert each.stored(key) != each.after(each.keyed.get(key, [])), key


def step_of(made: Set, fault: dict[str, Any]) -> int:
    """How many events of a row were applied by its checkpoint."""
    own = made.keyed[fault["key"]]
    reached = [step for step, event in enumerate(own, 1) if event["position"] == fault["position"]]
    assert len(reached) == 1
    assert fault["version"] == (
        reached[0] if made.domain == "checkout" else own[reached[0] - 1]["version"]
    )
    return reached[0]


def test_classes_and_columns_are_what_the_states_say(each: Set) -> None:
    for key, fault in each.faults.items():
        stored, own = each.stored(key), each.keyed.get(key, [])
        states = [each.after(own[:step]) for step in range(1, len(own) + 1)]
        if stored is None:
            assert fault["class"] == fault["class_without_checkpoint"] == "missing"
            assert fault["version"] is fault["position"] is None
            continue
        row = each.rows[key]
        assert (row["version"], row["position"]) == (fault["version"], fault["position"])
        if not own:
            assert fault["class"] == fault["class_without_checkpoint"] == "orphaned"
            assert fault["head_version"] is None
            continue
        equals = [step for step, state in enumerate(states, 1) if state == stored]
        assert fault["equals_versions"] == equals
        neither = "orphaned" if states[-1] is None else "corrupted"
        assert fault["class_without_checkpoint"] == ("stale" if equals else neither)
        reached = states[step_of(each, fault) - 1]
        assert fault["class"] == ("stale" if reached == stored else neither)
        head = states[-1]
        differ = [name for name in stored if head is not None and stored[name] != head[name]]
        assert sorted(fault["columns"]) == sorted(differ)


# -- explanations --------------------------------------------------------------------------------


def applied_as(made: Set, key: str, parts: list[dict[str, Any]]) -> tuple[list[Event], set[int]]:
    """Do what an explanation says."""
    own = list(made.keyed[key])
    misread: set[int] = set()
    told = [(part, [made.at[one] for one in part.get("positions", ())]) for part in parts]
    for part, events in told:
        if part["cause"] == "stale":
            assert own[part["version"] :] == events
            own = own[: part["version"]]
    for part, events in told:
        if part["cause"] == "swapped":
            first, second = map(own.index, events)
            assert second == first + 1
            own[first], own[second] = own[second], own[first]
    for part, events in told:
        match part["cause"]:
            case "missing":
                own = []
            case "skipped":
                own = [event for event in own if event not in events]
            case "un-upcast":
                misread = {event["position"] for event in events}
            case "wrong key" if part["role"] == "lost":
                own.remove(events[0])
            case "wrong key":
                own = sorted([*own, *events], key=lambda event: event["position"])
            case "bad snapshot":
                lost = own[: part["continued_at"] - 1]
                own = own[part["continued_at"] - 1 :]
                start = made.keyed[part["snapshot_of"]][: part["snapshot_version"]]
                assert [event for event in lost if event not in start] == events
                own = start + own
    for part, events in told:
        if part["cause"] == "doubled":
            places = [own.index(event) for event in events]
            if places == list(range(places[0], places[-1] + 1)):
                own[places[-1] + 1 : places[-1] + 1] = events
            else:
                for event in events:
                    own.insert(own.index(event), event)
    return own, misread


def test_every_explanation_gives_exactly_the_stored_row(each: Set) -> None:
    for key, fault in each.faults.items():
        assert fault["explanations"], fault
        assert len({json.dumps(one) for one in fault["explanations"]}) == len(fault["explanations"])
        for parts in fault["explanations"]:
            if parts == [{"cause": "orphaned"}]:
                assert key not in each.keyed
            else:
                assert each.after(*applied_as(each, key, parts)) == each.stored(key), (key, parts)


def test_what_was_injected_is_among_the_explanations(each: Set) -> None:
    for fault in each.faults.values():
        injected = sorted(told["cause"] for told in fault["injected"])
        if injected == ["skipped"] and fault["class"] == "stale":
            continue  # the end of the row was lost: listed as stale and as skipped
        offered = [sorted(part["cause"] for part in parts) for parts in fault["explanations"]]
        assert injected in offered, fault


def single_causes(made: Set, key: str, step: int) -> set[tuple[str, tuple[int, ...]]]:
    """All causes over a row's own events that give the stored row, by trying all of them."""
    own, stored = made.keyed[key][:step], made.stored(key)
    found: set[tuple[str, tuple[int, ...]]] = set()

    def try_it(
        cause: str, events: list[Event], applied: list[Event], old: Iterable[Event] = ()
    ) -> None:
        if made.after(applied, [event["position"] for event in old]) == stored:
            found.add((cause, tuple(event["position"] for event in events)))

    for stop in range(1, step):
        if made.after(own[:stop]) == stored:
            found.add(("stale", (stop,)))
    for first, end in itertools.combinations(range(step + 1), 2):
        run = own[first:end]
        try_it("skipped", run, own[:first] + own[end:])
        try_it("doubled", run, own[:end] + run + own[end:])
    for place in range(step - 1):
        pair = own[place : place + 2]
        try_it("swapped", pair, own[:place] + pair[::-1] + own[place + 2 :])
    read_otherwise = [
        event
        for event in own
        if event["data"] != upcast(event["event_type"], event["schema_version"], event["data"])
    ]
    for first, end in itertools.combinations(range(len(read_otherwise) + 1), 2):
        run = read_otherwise[first:end]
        try_it("un-upcast", run, own, run)
    return {
        (cause, positions)
        for cause, positions in found
        if not any(
            other == cause and cause != "stale" and set(fewer) < set(positions)
            for other, fewer in found
        )
    }


def test_no_single_cause_is_left_out(each: Set) -> None:
    tried = 0
    for key, fault in each.faults.items():
        if each.stored(key) is None or key not in each.keyed or len(each.keyed[key]) > 40:
            continue
        step = step_of(each, fault)
        if each.after(each.keyed[key][:step]) == each.stored(key):
            continue  # right at its checkpoint: it stopped
        tried += 1
        told = set()
        for parts in fault["explanations"]:
            behind = step < len(each.keyed[key])
            own = parts[1:] if behind else parts
            assert not behind or (parts[0]["cause"], parts[0]["version"]) == ("stale", step)
            if len(own) == 1 and own[0]["cause"] not in ("wrong key", "bad snapshot"):
                (part,) = own
                told.add(
                    (
                        part["cause"],
                        (part["version"],)
                        if part["cause"] == "stale"
                        else tuple(part["positions"]),
                    )
                )
        expected = single_causes(each, key, step)
        # With none of these, two of one cause are told together.
        assert told == expected if expected else all(len(places) == 2 for _, places in told), key
    assert tried >= 5


def test_two_causes_are_sought_where_one_is_not_enough(each: Set) -> None:
    double = []
    for fault in each.faults.values():
        moves = [one for one in fault["injected"] if one["cause"] != "stale"]
        two_skipped = fault["fault"] == "skipped" and len(moves[0]["events"]) == 2
        if len(moves) == 2 or two_skipped:
            double.append(fault)
    assert double
    for fault in double:
        step = step_of(each, fault)
        assert single_causes(each, fault["key"], step) == set(), fault


def test_a_run_of_skipped_neighbours_is_a_bad_snapshot_too(each: Set) -> None:
    found = 0
    for fault in each.faults.values():
        for parts in fault["explanations"]:
            own = [part for part in parts if part["cause"] == "bad snapshot"]
            if own and own[0]["snapshot_of"] == fault["key"]:
                found += 1
                (part,) = own
                assert part["continued_at"] - part["snapshot_version"] == len(part["positions"]) + 1
                twin = {"cause": "skipped", "positions": part["positions"]}
                assert any(twin in other for other in fault["explanations"])
    assert found


def test_a_wrong_key_is_told_on_both_sides(made: Set) -> None:
    sides: dict[int, dict[str, str]] = defaultdict(dict)
    for fault in made.faults.values():
        for told in fault["injected"]:
            if told["cause"] == "wrong key":
                sides[told["incident"]][told["role"]] = fault["key"]
                mate = made.faults[told["other"]]
                assert [one["incident"] for one in mate["injected"]] == [told["incident"]]
    assert sides
    assert all(set(one) == {"lost", "received"} for one in sides.values())


# -- incidents -----------------------------------------------------------------------------------


def test_incidents_name_their_rows(each: Set) -> None:
    rows: dict[int, list[str]] = defaultdict(list)
    for fault in each.faults.values():
        for told in fault["injected"]:
            rows[told["incident"]].append(fault["key"])
    incidents = {one["incident"]: one for one in each.truth["incidents"]}
    assert incidents.keys() == rows.keys() == set(range(1, len(incidents) + 1))
    for number, one in incidents.items():
        assert one["rows"] == sorted(rows[number])


def test_a_burst_hits_all_events_in_its_range(made: Set) -> None:
    bursts = [one for one in made.truth["incidents"] if one["burst"]]
    kinds = {"skipped", "doubled"} | (
        {"un-upcast"} if made.truth["schema_versions"] == 3 else set()
    )
    assert {one["cause"] for one in bursts} == kinds
    for one in bursts:
        hit: dict[str, list[int]] = defaultdict(list)
        for position in range(one["first_position"], one["last_position"] + 1):
            event = made.at[position]
            read = upcast(event["event_type"], event["schema_version"], event["data"])
            if one["cause"] != "un-upcast" or read != event["data"]:
                key = event["stream_id"] if made.domain == "bank" else event["data"]["orderId"]
                hit[key].append(position)
        assert hit.keys() >= {*one["rows"], *one["unchanged"]}
        if one["cause"] != "un-upcast":
            assert hit.keys() == {*one["rows"], *one["unchanged"]}
            assert one["events"] == sum(map(len, hit.values()))
        for key in one["rows"]:
            (told,) = [
                told for told in made.faults[key]["injected"] if told["incident"] == one["incident"]
            ]
            assert [event["position"] for event in told["events"]] == hit[key]
        ends = [made.at[one[name]]["recorded_at"] for name in ("first_position", "last_position")]
        assert [dt.datetime.fromisoformat(one[name]) for name in ("first_at", "last_at")] == ends
        seen = (one["seen_first_position"], one["seen_last_position"])
        assert one["first_position"] <= seen[0] <= seen[1] <= one["last_position"]


def test_a_row_can_be_hit_by_a_burst_and_by_something_else(
    make: Callable[[str, int, int], Path],
) -> None:
    made = read_set("bank", make(*SETS[0]))
    both = [fault for fault in made.faults.values() if "(burst)" in fault["fault"]]
    both = [fault for fault in both if "+" in fault["fault"]]
    assert both
    for fault in both:
        assert len(fault["injected"]) == 2


def test_bursts_hit_several_rows(made: Set) -> None:
    bursts = [one for one in made.truth["incidents"] if one["burst"]]
    assert max(len(one["rows"]) for one in bursts) >= 4


def test_the_counts_add_up(each: Set) -> None:
    counted = Counter(fault["fault"] for fault in each.truth["faults"])
    assert each.truth["counts"] == counted
    assert len(each.faults) == len(each.truth["faults"])


def test_the_fold_is_wrong_in_ways_that_no_sum_tells(make: Callable[[str, int, int], Path]) -> None:
    fold = read_set("bank", make(*SETS[0]), "account_guarded_truth.json")
    refusing = [key for key in fold.faults if (fold.stored(key) or {}).get("refused")]
    assert len(refusing) >= 3
    assert all(state["refused"] == 0 for key, state in fold.rows.items() if key not in fold.faults)


def test_every_cause_is_there(made: Set) -> None:
    causes = {told["cause"] for fault in made.faults.values() for told in fault["injected"]}
    expected = {
        "skipped",
        "doubled",
        "swapped",
        "stale",
        "missing",
        "orphaned",
        "wrong key",
        "bad snapshot",
    }
    if made.truth["schema_versions"] == 3:
        expected |= {"un-upcast"}
    assert causes == expected
    assert any(len(fault["injected"]) == 2 for fault in made.faults.values())
    snapshots = {
        told["snapshot_of"] == fault["key"]
        for fault in made.faults.values()
        for told in fault["injected"]
        if told["cause"] == "bad snapshot"
    }
    assert snapshots == {True, False}


# -- what a diff says ----------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", [{}, {"version": "version"}, {"position": "position"}])
def test_a_diff_finds_these_rows(each: Set, checkpoint: dict[str, str]) -> None:
    definitions: dict[str, list[wb.Projection | wb.Fold]] = {
        "account_summary": [account_summary, account],
        "order_summary": [order_summary],
        "account_guarded": [account_guarded],
    }
    name = each.truth["read_model"]
    model = wb.read_model(each.folder / f"{name}.parquet", **checkpoint)
    which = "class" if checkpoint else "class_without_checkpoint"
    expected = {key: fault[which] for key, fault in each.faults.items()}
    with wb.open() as log:
        log.load(wb.files(each.folder / "events.parquet"), progress=False)
        if each.truth["schema_versions"] == 3:
            log = log.upcast(*upcasters(each.domain))
        for definition in definitions[name]:
            rows = log.diff(definition, model).rows()
            found = {row[KEYS[each.domain]]: row["class"] for row in rows}
            assert {key: kind for key, kind in found.items() if kind != "match"} == expected


# -- payloads in three versions ------------------------------------------------------------------


@pytest.fixture(scope="module", params=["bank", "checkout"])
def versioned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Set:
    folder = tmp_path_factory.mktemp(request.param)
    samples.generate(request.param, folder, events=5_000, seed=4, faults=False, schema_versions=3)
    return read_set(request.param, folder)


def told_of_versions(versioned: Set) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((versioned.folder / "versions.json").read_text())
    return told


def test_the_payloads_differ_in_form_and_in_nothing_else(versioned: Set, tmp_path: Path) -> None:
    samples.generate(versioned.domain, tmp_path, events=5_000, seed=4, faults=False)
    plain = read_set(versioned.domain, tmp_path)
    assert len(plain.events) == len(versioned.events)
    rewritten = 0
    for event, other in zip(plain.events, versioned.events, strict=True):
        rewritten += event["data"] != other["data"]
        same = event.keys() - {"data", "schema_version"}
        assert {name: event[name] for name in same} == {name: other[name] for name in same}
    assert rewritten > 1_000
    assert plain.rows == versioned.rows


def test_upcasters_lead_to_the_last_version(versioned: Set) -> None:
    """The rules of the truth, carried out, give payloads of the last version, with the values that were written."""
    told = told_of_versions(versioned)
    steps = {(step["event_type"], step["from"]): step for step in told["upcasters"]}
    fields: dict[str, set[str]] = defaultdict(set)
    for event in versioned.events:
        kind, data = event["event_type"], dict(event["data"])
        version = event["schema_version"]
        while (step := steps.get((kind, version))) is not None:
            for rule in step["rules"]:
                match rule["rule"]:
                    case "rename":
                        data[rule["to"]] = data.pop(rule["field"])
                    case "convert":
                        data[rule["to"]] = Decimal(data.pop(rule["field"])) / rule["divide"]
                    case "split":
                        data |= zip(
                            rule["to"], data.pop(rule["field"]).split(rule["at"], 1), strict=True
                        )
                    case "add":
                        assert rule["field"] not in data
                        data[rule["field"]] = rule["default"]
            version = step["to"]
        if any(step["event_type"] == kind for step in told["upcasters"]):
            assert version == "3"
            always = frozenset(data) - {"from", "to"}
            fields[kind].add(",".join(sorted(always)))
            for name, value in upcast(kind, event["schema_version"], event["data"]).items():
                if (
                    name in ("amount", "total", "customerId", "quantity")
                    and kind != "InventoryReservationFailed"
                ):
                    assert data[name] == value
    assert len(fields) >= 3
    assert all(len(forms) == 1 for forms in fields.values()), fields


def test_one_version_has_no_upcaster_at_hand(versioned: Set) -> None:
    told = told_of_versions(versioned)
    lost = [step for step in told["upcasters"] if not step["at_hand"]]
    assert len(lost) == 1
    undecoded = {
        (one["event_type"], one["schema_version"]) for one in told["census"] if not one["decodes"]
    }
    assert undecoded == {(lost[0]["event_type"], lost[0]["from"])}
    versions = {
        one["schema_version"]
        for one in told["census"]
        if one["event_type"] == lost[0]["event_type"]
    }
    assert versions == {"1", "2", "3"}


NAMES = {int: "integer", Decimal: "decimal", str: "text", list: "list", dict: "object"}


def test_the_census_counts_what_is_there(versioned: Set) -> None:
    stored: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in versioned.events:
        stored[event["event_type"], event["schema_version"]].append(event)
    census = {
        (one["event_type"], one["schema_version"]): one
        for one in told_of_versions(versioned)["census"]
    }
    assert census.keys() == stored.keys()
    for which, one in census.items():
        events = stored[which]
        assert one["count"] == len(events)
        assert (one["first_position"], one["last_position"]) == (
            events[0]["position"],
            events[-1]["position"],
        )
        seen = [dt.datetime.fromisoformat(one[name]) for name in ("first_seen", "last_seen")]
        assert seen == [events[0]["recorded_at"], events[-1]["recorded_at"]]
        fields = {entry["field"]: entry for entry in one["fields"]}
        assert fields.keys() == {name for event in events for name in event["data"]}
        for name, entry in fields.items():
            kinds = Counter(
                NAMES[type(event["data"][name])] for event in events if name in event["data"]
            )
            assert entry["types"] == kinds
            assert entry["present"] == kinds.total()


def changed_account(applied: Applied) -> State | None:
    """Version 2 of the account summary: more points for a freeze, and for smaller withdrawals."""
    state = account_after(applied)
    if state is not None:
        points = 0
        for _, kind, data in read(applied):
            points += {"AccountFrozen": 40, "WithdrawalRejected": 5}.get(kind, 0)
            points += 10 if kind == "WithdrawalMade" and data["amount"] > 500 else 0
        state["risk_score"] = min(100, points)
    return state


def changed_order(applied: Applied) -> State | None:
    """Version 2 of the order summary: items once reserved are counted for good."""
    state = order_after(applied)
    if state is not None:
        state["items"] = sum(
            data["quantity"] for _, kind, data in read(applied) if kind == "InventoryReserved"
        )
    return state


def test_the_impact_is_what_two_folds_say(versioned: Set) -> None:
    after = AFTER[versioned.truth["read_model"]]
    changed = changed_account if versioned.domain == "bank" else changed_order
    expected: dict[tuple[str, str], dict[str, Any]] = {}
    for key, events in versioned.keyed.items():
        for change, other in (
            ("projection", lambda own: changed([(event, False) for event in own])),
            ("upcasters", lambda own: after([(event, True) for event in own])),
        ):
            steps = []
            for step in range(1, len(events) + 1):
                left, right = (
                    after([(event, False) for event in events[:step]]),
                    other(events[:step]),
                )
                assert (left is None) == (right is None)
                steps.append([name for name in left or {} if left[name] != right[name]])
            differing = [step for step, names in enumerate(steps) if names]
            if differing:
                since = None
                if steps[-1]:
                    equal = [step for step, names in enumerate(steps) if not names]
                    since = events[equal[-1] + 1 if equal else 0]["position"]
                first = events[differing[0]]["position"]
                expected[change, key] = {
                    "columns": steps[-1],
                    "first_position": first,
                    "since_position": since,
                }
    rows = pq.read_table(versioned.folder / "impact.parquet").to_pylist()
    found = {(row.pop("change"), row.pop(KEYS[versioned.domain])): row for row in rows}
    assert found == expected
    assert {change for change, _ in found} == {"projection", "upcasters"}
    assert any(row["since_position"] is not None for row in found.values())


# -- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_same_arguments_give_the_same_bytes(domain: str, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        samples.generate(
            domain, tmp_path / name, events=2_000, seed=seed, faults="causes", schema_versions=3
        )
    first, second, other = (contents(tmp_path / name) for name in "abc")
    assert first == second
    assert first["truth.json"] != other["truth.json"]


@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_formats_tell_the_same_truth(domain: str, tmp_path: Path) -> None:
    for format in ("parquet", "ndjson.gz"):
        samples.generate(
            domain,
            tmp_path / format,
            events=2_000,
            format=format,  # type: ignore[arg-type]  # each is a Format
            faults="causes",
            schema_versions=3,
        )
    left, right = (contents(tmp_path / format) for format in ("parquet", "ndjson.gz"))
    for name in ("truth.json", "versions.json"):
        assert left[name] == right[name]


@pytest.mark.parametrize("events", [1, 2, 40, 150])
@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_tiny_logs_are_true_too(domain: str, events: int, tmp_path: Path) -> None:
    samples.generate(domain, tmp_path, events=events, faults="causes", schema_versions=3)
    if events < 40:
        assert json.loads((tmp_path / "truth.json").read_text())["faults"] == [] or events > 1
        return
    made = read_set(domain, tmp_path)
    test_all_other_rows_are_right(made)
    test_every_explanation_gives_exactly_the_stored_row(made)


@pytest.mark.parametrize(("name", "value"), [("faults", "cause"), ("schema_versions", 4)])
def test_other_faults_and_versions_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(value)):
        samples.generate("bank", tmp_path, **{name: value})


def test_the_command_line_makes_it(tmp_path: Path) -> None:
    arguments = ["generate", "bank", "--events", 1_000, "--causes", "--schema-versions", 3]
    told = well(*arguments, "-o", tmp_path, "--json").json
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert told["faults"] == truth["counts"]
    assert truth["schema_versions"] == 3
    assert {Path(file).name for file in told["others"]} == {
        "account_guarded.parquet",
        "account_guarded_truth.json",
        "impact.parquet",
        "versions.json",
    }
    assert workbench("generate", "bank", "--causes", "--no-faults", "-o", tmp_path / "x").code == 2
