"""The generator and the bundled data sets. The read models are checked by folds in plain Python."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from workbench import samples
from workbench.errors import ConfigError, WorkbenchError
from workbench.samples import write

Event = dict[str, Any]
State = dict[str, Any]
Log = list[Event]

COLUMNS = [
    "position", "stream_id", "stream_type", "version", "event_id", "event_type", "schema_version",
    "occurred_at", "recorded_at", "correlation_id", "causation_id", "actor", "data", "metadata",
]  # fmt: skip


def read_events(*files: Path) -> Log:
    """Events in the order of the files, payloads parsed with exact decimals."""
    events: Log = []
    for file in files:
        if file.suffix == ".parquet":
            rows = pq.read_table(file).to_pylist()
            for row in rows:
                row["data"] = json.loads(row["data"], parse_float=Decimal)
                row["metadata"] = json.loads(row["metadata"])
        else:
            content = file.read_bytes()
            content = gzip.decompress(content) if file.suffix == ".gz" else content
            rows = [json.loads(line, parse_float=Decimal) for line in content.splitlines()]
            for row in rows:
                for name in ("occurred_at", "recorded_at"):
                    assert row[name].endswith("Z")
                    row[name] = dt.datetime.fromisoformat(row[name])
        events += rows
    return events


def read_rows(file: Path) -> dict[str, State]:
    rows = pq.read_table(file).to_pylist()
    key = "account_id" if "account_id" in rows[0] else "order_id"
    assert len({row[key] for row in rows}) == len(rows)
    return {row.pop(key): row for row in rows}


def fold_account(state: State | None, event: Event) -> State | None:
    data = event["data"]
    if state is None:
        assert event["event_type"] == "AccountOpened"
        state = {
            "current_balance": Decimal("0.00"),
            "last_transaction_date": None,
            "transaction_count": 0,
            "score": 0,
        }
    state = dict(state)
    match event["event_type"]:
        case "DepositMade":
            state["current_balance"] += data["amount"]
        case "WithdrawalMade":
            state["current_balance"] -= data["amount"]
            state["score"] += 10 if data["amount"] > 1000 else 0
        case "WithdrawalRejected":
            state["score"] += 5
        case "AccountFrozen":
            state["score"] += 25
        case "AccountClosed":
            return None
    if event["event_type"] in ("DepositMade", "WithdrawalMade"):
        state["transaction_count"] += 1
        state["last_transaction_date"] = event["occurred_at"]
    return state


def fold_order(state: State | None, event: Event) -> State | None:
    data = event["data"]
    if state is None:
        assert event["event_type"] == "OrderCreated"
        state = {
            "customer_id": data["customerId"],
            "total": data["total"],
            "items": 0,
            "placed_at": event["occurred_at"],
        }
    state = {**state, "status": data["status"]}
    if event["event_type"] == "InventoryReserved":
        state["items"] += data["quantity"]
    if event["event_type"] == "InventoryReleased":
        state["items"] -= data["quantity"]
    return state


def business(state: State | None) -> State | None:
    """The compared columns of a folded or stored state."""
    if state is None:
        return None
    row = {name: value for name, value in state.items() if name not in ("version", "position")}
    if "score" in row:
        row["risk_score"] = min(100, row.pop("score"))
    return row


FOLDS: dict[str, Callable[[State | None, Event], State | None]] = {
    "bank": fold_account,
    "checkout": fold_order,
}


def states(domain: str, events: Log) -> list[State | None]:
    """The state after each event, of one key."""
    found: list[State | None] = []
    state: State | None = None
    for event in events:
        state = FOLDS[domain](state, event)
        found.append(state)
    return [business(state) for state in found]


def by_key(domain: str, events: Log) -> dict[str, Log]:
    keyed: dict[str, Log] = defaultdict(list)
    for event in events:
        keyed[event["stream_id"] if domain == "bank" else event["data"]["orderId"]].append(event)
    return keyed


class Bundle:
    def __init__(self, domain: str) -> None:
        model = samples.DOMAINS[domain].read_model.name
        suffix = samples.BUNDLED[domain]["format"]
        self.domain = domain
        self.events = read_events(samples.path(f"{domain}/events.{suffix}"))
        self.keyed = by_key(domain, self.events)
        self.rows = read_rows(samples.path(f"{domain}/{model}.parquet"))
        self.truth = json.loads(samples.path(f"{domain}/truth.json").read_text())


@pytest.fixture(scope="module", params=["bank", "checkout"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return Bundle(request.param)


@pytest.fixture(scope="module")
def bank() -> Bundle:
    return Bundle("bank")


@pytest.fixture(scope="module")
def checkout() -> Bundle:
    return Bundle("checkout")


# The log


def test_events_have_the_canonical_columns_in_order(bundle: Bundle) -> None:
    assert list(bundle.events[0]) == COLUMNS
    assert len(bundle.events) == samples.BUNDLED[bundle.domain]["events"]


def test_times_in_parquet_are_utc() -> None:
    schema = pq.read_schema(samples.path("bank/events.parquet"))
    assert str(schema.field("recorded_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("data").type) == "string"


def test_positions_are_dense_and_follow_recorded_at(bundle: Bundle) -> None:
    assert [event["position"] for event in bundle.events] == list(range(1, len(bundle.events) + 1))
    recorded = [event["recorded_at"] for event in bundle.events]
    assert recorded == sorted(recorded)


def test_versions_are_dense_from_one_in_each_stream(bundle: Bundle) -> None:
    last: dict[str, int] = defaultdict(int)
    for event in bundle.events:
        last[event["stream_id"]] += 1
        assert event["version"] == last[event["stream_id"]]


def test_event_ids_are_unique(bundle: Bundle) -> None:
    assert len({event["event_id"] for event in bundle.events}) == len(bundle.events)


def test_a_cause_is_an_earlier_event_of_the_same_flow(bundle: Bundle) -> None:
    flow_of: dict[str, str] = {}
    caused = 0
    for event in bundle.events:
        if event["causation_id"] is not None:
            caused += 1
            assert flow_of[event["causation_id"]] == event["correlation_id"]
        flow_of[event["event_id"]] = event["correlation_id"]
    assert caused > len(bundle.events) / 20


def test_metadata_repeats_actor_and_flow(bundle: Bundle) -> None:
    for event in bundle.events:
        expected = {"user": event["actor"], "correlationId": event["correlation_id"]}
        if event["causation_id"] is not None:
            expected["causationId"] = event["causation_id"]
        assert event["metadata"] == expected


def test_nothing_is_recorded_before_it_occurs_and_little_long_after(bundle: Bundle) -> None:
    lags = [event["recorded_at"] - event["occurred_at"] for event in bundle.events]
    assert min(lags) >= dt.timedelta(0)
    late = sum(lag > dt.timedelta(hours=1) for lag in lags) / len(lags)
    assert 0.002 < late < 0.03


def test_both_schema_versions_occur(bundle: Bundle) -> None:
    versions = {event["schema_version"] for event in bundle.events}
    assert versions == {"1", "2"}


# The bank


def test_first_schema_of_deposits_has_the_amount_alone(bank: Bundle) -> None:
    deposits = [event for event in bank.events if event["event_type"] == "DepositMade"]
    for event in deposits:
        given = {"amount", "reference"}
        if event["schema_version"] == "2":
            given |= {"currency", "channel"}
        assert given <= set(event["data"]) <= given | {"from"}


def test_amounts_are_json_numbers_with_two_places() -> None:
    con = duckdb.connect()
    ((amounts, exact),) = con.execute(
        r"""SELECT count(*), count(*) FILTER (regexp_matches(data, '"amount":\d+\.\d\d[,}]'))
        FROM read_parquet($1) WHERE data LIKE '%"amount"%'""",
        [str(samples.path("bank/events.parquet"))],
    ).fetchall()
    assert amounts == exact > 20_000


def test_nobody_withdraws_more_than_there_is(bank: Bundle) -> None:
    refused = 0
    for events in bank.keyed.values():
        balance = Decimal(0)
        for event in events:
            amount = event["data"].get("amount")
            match event["event_type"]:
                case "DepositMade":
                    balance += amount
                case "WithdrawalMade":
                    balance -= amount
                case "WithdrawalRejected" if event["data"]["reason"] == "insufficient_funds":
                    refused += 1
                    assert amount > balance
            assert balance >= 0
    assert refused > 100


def test_a_frozen_account_pays_out_nothing(bank: Bundle) -> None:
    blocked = 0
    for events in bank.keyed.values():
        frozen = False
        for event in events:
            kind = event["event_type"]
            assert not (frozen and kind in ("WithdrawalMade", "AccountFrozen", "AccountClosed"))
            assert frozen or kind != "AccountUnfrozen"
            if event["data"].get("reason") == "account_frozen":
                blocked += 1
                assert frozen
            frozen = kind == "AccountFrozen" or (frozen and kind != "AccountUnfrozen")
    assert blocked > 0


def test_an_account_opens_once_and_ends_with_its_closing(bank: Bundle) -> None:
    closed = 0
    for events in bank.keyed.values():
        kinds = [event["event_type"] for event in events]
        assert kinds[0] == "AccountOpened"
        assert kinds.count("AccountOpened") == 1
        if "AccountClosed" in kinds:
            closed += 1
            assert kinds.index("AccountClosed") == len(kinds) - 1
    assert closed >= 10


def test_a_transfer_arrives_as_it_left(bank: Bundle) -> None:
    sent = {event["event_id"]: event for event in bank.events if "to" in event["data"]}
    arrived = [event for event in bank.events if "from" in event["data"]]
    assert len(arrived) > 500
    for event in arrived:
        cause = sent[event["causation_id"]]
        assert event["data"]["amount"] == cause["data"]["amount"]
        assert event["data"]["currency"] == cause["data"]["currency"]
        assert event["stream_id"] in (cause["data"]["to"], cause["stream_id"])


def test_few_accounts_have_very_many_events(bank: Bundle) -> None:
    sizes = sorted((len(events) for events in bank.keyed.values()), reverse=True)
    assert sum(sizes[: len(sizes) // 100]) > len(bank.events) * 0.12
    assert sizes[len(sizes) // 2] < 25


def test_days_and_weeks_have_a_rhythm(bank: Bundle) -> None:
    times = [event["occurred_at"] for event in bank.events]
    assert sum(time.hour in (1, 2, 3, 4) for time in times) < len(times) * 0.05
    weekend = sum(time.weekday() >= 5 for time in times) / len(times)
    assert 0.1 < weekend < 0.25


# The checkout


def test_a_flow_is_one_order(checkout: Bundle) -> None:
    for events in checkout.keyed.values():
        assert len({event["correlation_id"] for event in events}) == 1
    types = {event["stream_type"] for event in checkout.events}
    assert types == {"order", "inventory", "payment", "shipment"}


def test_reservations_are_undone_in_reverse_order(checkout: Bundle) -> None:
    sagas = pq.read_table(samples.path("checkout/sagas_truth.parquet")).to_pylist()
    good = [row["order_id"] for row in sagas if row["outcome"] == "compensated"]
    good = [
        key for key in good if key not in {row["order_id"] for row in sagas if row["violations"]}
    ]
    undone = 0
    for events in (checkout.keyed[key] for key in good):
        streams: dict[str, list[str]] = defaultdict(list)
        for event in events:
            streams[event["event_type"]].append(event["stream_id"])
        if streams["InventoryReleased"]:
            undone += 1
            assert streams["InventoryReleased"] == streams["InventoryReserved"][::-1]
            assert not streams["OrderShipped"]
    assert undone > 50


def test_a_payment_is_for_the_total_of_the_lines(checkout: Bundle) -> None:
    for events in checkout.keyed.values():
        created = events[0]["data"]
        assert created["total"] == sum(
            line["quantity"] * line["price"] for line in created["lines"]
        )
        for event in events:
            assert event["data"].get("amount", created["total"]) == created["total"]


# Read models and faults


@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_without_faults_the_read_model_is_the_fold(domain: str, tmp_path: Path) -> None:
    made = samples.generate(domain, tmp_path, events=4_000, seed=5, faults=False)
    expected: dict[str, State] = {}
    for key, events in by_key(domain, read_events(*made.files)).items():
        head = states(domain, events)[-1]
        if head is not None:
            expected[key] = {**head, "version": len(events), "position": events[-1]["position"]}
    assert read_rows(made.read_model) == expected
    assert made.rows == len(expected)
    assert json.loads(made.truth.read_text())["faults"] == []


def classify(bundle: Bundle, key: str) -> dict[str, Any] | None:
    """What a diff has to say about a key, from its events and its stored row alone."""
    events, row = bundle.keyed.get(key, []), bundle.rows.get(key)
    past = states(bundle.domain, events)
    head = past[-1] if past else None
    if row is None:
        return None if head is None else {"class": "missing", "columns": []}
    if not past:
        return {"class": "orphaned", "columns": []}
    stored = business(row)
    assert stored is not None
    differ = sorted(name for name in stored if head is not None and stored[name] != head[name])
    equals = [version for version, state in enumerate(past, 1) if state == stored]
    if stored == head:
        assert (row["version"], row["position"]) == (len(events), events[-1]["position"])
        return None
    if equals:
        return {"class": "stale", "columns": differ, "equals_versions": equals}
    return {"class": "corrupted", "columns": differ}


def test_the_truth_lists_every_fault_and_no_other(bundle: Bundle) -> None:
    found = {
        key: verdict
        for key in bundle.keyed.keys() | bundle.rows.keys()
        if (verdict := classify(bundle, key)) is not None
    }
    told = {
        fault["key"]: {
            "class": fault["class"],
            "columns": sorted(fault["columns"]),
            **({"equals_versions": fault["equals_versions"]} if "equals_versions" in fault else {}),
        }
        for fault in bundle.truth["faults"]
    }
    assert found == told
    assert len(told) == len(bundle.truth["faults"]) >= 35


def faults_named(bundle: Bundle, *names: str) -> Iterator[tuple[dict[str, Any], Log, State]]:
    chosen = [fault for fault in bundle.truth["faults"] if fault["fault"] in names]
    assert chosen
    for fault in chosen:
        yield fault, bundle.keyed[fault["key"]], bundle.rows[fault["key"]]


def test_a_stale_row_is_right_at_its_own_checkpoint(bundle: Bundle) -> None:
    for fault, events, row in faults_named(bundle, "stale", "close_not_applied"):
        assert row["version"] == fault["version"] < fault["head_version"] == len(events)
        assert row["position"] == fault["position"] == events[row["version"] - 1]["position"]
        assert row["version"] in fault["equals_versions"]
        assert business(row) == states(bundle.domain, events)[row["version"] - 1]
        missed = [event["event_id"] for event in events[row["version"] :]]
        assert [event["event_id"] for event in fault["events"]] == missed


def test_a_row_that_outlived_its_account_lacks_the_closing_alone(bank: Bundle) -> None:
    for fault, events, _ in faults_named(bank, "close_not_applied"):
        assert events[-1]["event_type"] == "AccountClosed"
        assert fault["version"] == len(events) - 1


def reproduces(bundle: Bundle, name: str, events: Log, index: int) -> State | None:
    again = 0 if name == "skipped_event" else 2
    return states(
        bundle.domain, events[:index] + events[index : index + 1] * again + events[index + 1 :]
    )[-1]


@pytest.mark.parametrize("name", ["skipped_event", "doubled_event"])
def test_a_corrupted_row_comes_from_the_event_that_the_truth_names(
    bundle: Bundle, name: str
) -> None:
    for fault, events, row in faults_named(bundle, name):
        assert (row["version"], row["position"]) == (len(events), events[-1]["position"])
        assert (fault["version"], fault["position"]) == (row["version"], row["position"])
        (event,) = fault["events"]
        fitting = []
        for index, candidate in enumerate(events):
            if index == 0 and name == "skipped_event":
                continue  # nothing can be folded without the first event
            if reproduces(bundle, name, events, index) == business(row):
                fitting.append(candidate["position"])
        assert sorted([event["position"], *fault["same_effect"]]) == fitting
        (logged,) = (one for one in events if one["position"] == event["position"])
        assert event == {name: logged[name] for name in event}


def test_an_orphaned_row_has_no_stream(bundle: Bundle) -> None:
    orphans = [fault for fault in bundle.truth["faults"] if fault["fault"] == "orphaned"]
    assert orphans
    for fault in orphans:
        assert fault["key"] in bundle.rows
        assert fault["key"] not in bundle.keyed


def test_the_truth_counts_up(bundle: Bundle) -> None:
    counts: dict[str, int] = defaultdict(int)
    for fault in bundle.truth["faults"]:
        counts[fault["fault"]] += 1
    assert bundle.truth["counts"] == counts
    assert bundle.truth["rows"] == len(bundle.rows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_faults_are_true_for_other_seeds_and_sizes(domain: str, seed: int, tmp_path: Path) -> None:
    made = samples.generate(domain, tmp_path, events=1_500, seed=seed)
    bundle = Bundle.__new__(Bundle)
    bundle.domain = domain
    bundle.events = read_events(*made.files)
    bundle.keyed = by_key(domain, bundle.events)
    bundle.rows = read_rows(made.read_model)
    bundle.truth = json.loads(made.truth.read_text())
    verdicts = {
        key: verdict["class"]
        for key in bundle.keyed.keys() | bundle.rows.keys()
        if (verdict := classify(bundle, key)) is not None
    }
    assert verdicts == {fault["key"]: fault["class"] for fault in bundle.truth["faults"]}
    assert sum(made.faults.values()) == len(verdicts) >= 5


# Writing


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("domain", ["bank", "checkout"])
@pytest.mark.parametrize("format", ["parquet", "ndjson", "ndjson.gz"])
def test_same_arguments_give_the_same_bytes(
    domain: str, format: write.Format, tmp_path: Path
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        samples.generate(domain, tmp_path / name, events=1_000, seed=seed, format=format)
    first, second, other = (contents(tmp_path / name) for name in "abc")
    assert first == second
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_formats_hold_the_same_events(domain: str, tmp_path: Path) -> None:
    logs = []
    for format in ("parquet", "ndjson", "ndjson.gz"):
        made = samples.generate(domain, tmp_path / format, events=700, format=format)  # type: ignore[arg-type]  # each is a Format
        assert [file.name for file in made.files] == [f"events.{format}"]
        logs.append(read_events(*made.files))
    assert logs[0] == logs[1] == logs[2]


@pytest.mark.parametrize("domain", ["bank", "checkout"])
def test_a_large_log_is_cut_into_files_without_changing_it(
    domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = samples.generate(domain, tmp_path / "whole", events=2_300)
    monkeypatch.setattr(write, "FILE_ROWS", 1_000)
    seen: list[tuple[int, int]] = []
    cut = samples.generate(
        domain,
        tmp_path / "cut",
        events=2_300,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [file.name for file in cut.files] == [
        "events-0001.parquet",
        "events-0002.parquet",
        "events-0003.parquet",
    ]
    assert seen == [(1_000, 2_300), (2_000, 2_300), (2_300, 2_300)]
    assert read_events(*cut.files) == read_events(*whole.files)
    assert cut.read_model.read_bytes() == whole.read_model.read_bytes()
    assert cut.truth.read_bytes() == whole.truth.read_bytes()


@pytest.mark.parametrize("domain", ["bank", "checkout"])
@pytest.mark.parametrize("events", [1, 2, 40])
def test_tiny_logs_are_exact_too(domain: str, events: int, tmp_path: Path) -> None:
    made = samples.generate(domain, tmp_path, events=events)
    assert len(read_events(*made.files)) == made.events == events


def test_numbers_of_accounts_grow_beyond_six_digits() -> None:
    bank = samples.DOMAINS["bank"]
    rows = {name: column[:1] for name, column in next(bank.slices(5_000, 1)).items()}
    rows["account"][:] = 1_234_566
    drawn = bank.table(rows, np.array([1]))
    con = duckdb.connect()
    con.register("drawn", drawn)
    ((stream, actor),) = con.execute(
        f"SELECT stream_id, actor FROM (SELECT {bank.render} FROM drawn)"
    ).fetchall()
    assert stream == "acc-1234567"
    assert actor.startswith(("cust-1234567", "teller-"))


# The bundle


def test_bundled_data_is_what_the_generator_makes(bundle: Bundle, tmp_path: Path) -> None:
    made = samples.generate(bundle.domain, tmp_path, **samples.BUNDLED[bundle.domain])
    assert read_events(*made.files) == bundle.events
    assert read_rows(made.read_model) == bundle.rows
    assert json.loads(made.truth.read_text()) == bundle.truth
    for name, fresh in contents(tmp_path).items():
        bundled = samples.path(f"{bundle.domain}/{name}")
        if bundled.suffix == ".parquet" and written_by(bundled) != written_by(tmp_path / name):
            continue  # another DuckDB may pack the same content in another way
        if bundled.suffix == ".gz":
            assert gzip.decompress(fresh) == gzip.decompress(bundled.read_bytes())
        else:
            assert fresh == bundled.read_bytes()


def written_by(file: Path) -> str:
    return str(pq.read_metadata(file).created_by)


def test_the_bundle_stays_under_five_megabytes() -> None:
    root = samples.path("README.md").parent
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) < 5_000_000


def test_the_readme_tells_every_column_and_fault(bundle: Bundle) -> None:
    readme = samples.path("README.md").read_text(encoding="utf-8")
    model = samples.DOMAINS[bundle.domain].read_model
    told = [*COLUMNS, model.name, model.key, *model.columns, *bundle.truth["counts"]]
    told += {event["event_type"] for event in bundle.events}
    told += {field for event in bundle.events for field in event["data"]}
    assert [name for name in told if f"`{name}`" not in readme] == []


# Bad input


def test_an_unknown_domain_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'bank'"):
        samples.generate("banks", tmp_path)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Known: ndjson, ndjson\.gz, parquet"):
        samples.generate("bank", tmp_path, format="csv")  # type: ignore[arg-type]  # the error is the point


@pytest.mark.parametrize(("events", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_impossible_sizes_and_seeds_are_refused(events: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least"):
        samples.generate("bank", tmp_path, events=events, seed=seed)


def test_a_data_set_is_replaced_only_on_request(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(write, "FILE_ROWS", 100)
    samples.generate("bank", tmp_path, events=250)
    (tmp_path / "events.txt").write_text("mine")
    with pytest.raises(ConfigError, match="overwrite=True"):
        samples.generate("bank", tmp_path, events=150)
    samples.generate("bank", tmp_path, events=150, overwrite=True)
    assert set(contents(tmp_path)) == {
        "account_summary.parquet",
        "events-0001.parquet",
        "events-0002.parquet",
        "events.txt",
        "truth.json",
    }


@pytest.mark.parametrize("name", ["account_summary.parquet", "truth.json"])
def test_a_file_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(WorkbenchError, match=rf"could not be written[\s\S]*{name}"):
        samples.generate("bank", tmp_path, events=100)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WorkbenchError, match="could not be written to"):
        samples.generate("bank", tmp_path / "out", events=100)


def test_an_unknown_bundled_file_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"bank/events\.parquet"):
        samples.path("bank/event.parquet")
    with pytest.raises(ConfigError, match="no bundled file"):
        samples.path("../pyproject.toml")
