"""The census of a log: counted against the truth, and against what a few lines of Python count."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import MakeLog
from tests.fix_versions import Versioned, three_versions  # noqa: F401  # a fixture
from tests.oracle import examples, log_of
from workbench.errors import ConfigError


def event(data: Any, version: str | None = "1", kind: str = "Paid", **more: Any) -> dict[str, Any]:
    written = data if isinstance(data, str) or data is None else json.dumps(data)
    return {
        "stream_id": "a",
        "event_type": kind,
        "schema_version": version,
        "data": written,
        **more,
    }


def fields(census: Any) -> dict[str, dict[str, Any]]:
    return {row["field"]: row for row in census.fields().rows()}


# -- against the truth ---------------------------------------------------------------------------


def test_it_is_the_truth(three_versions: Versioned) -> None:  # noqa: F811
    census = three_versions.log.upcast(*three_versions.at_hand).census()
    rows = {(row["event_type"], row["schema_version"]): row for row in census.rows()}
    found = [
        {
            "event_type": kind,
            "schema_version": version,
            "count": row["events"],
            "first_position": row["first_position"],
            "last_position": row["last_position"],
            "first_seen": written(row["first_seen"]),
            "last_seen": written(row["last_seen"]),
            "fields": [
                {"field": one["field"], "present": one["present"], "types": one["types"]}
                for one in census.fields().rows()
                if (one["event_type"], one["schema_version"]) == (kind, version)
                and "." not in one["field"]
                and "[]" not in one["field"]
            ],
        }
        for (kind, version), row in rows.items()
    ]
    truth = three_versions.truth["census"]
    assert found == [{k: v for k, v in one.items() if k != "decodes"} for one in truth]
    # The truth asks only of types that there ever were upcasters for.
    known = {item.event_type for item in three_versions.every}
    for one in truth:
        if one["event_type"] in known:
            row = rows[one["event_type"], one["schema_version"]]
            assert row["decodes"] is one["decodes"], one["event_type"]
            assert (row["status"] == "no chain") is not one["decodes"]
            assert row["failing"] == 0
    assert any(not one["decodes"] for one in truth)


def written(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"


payloads = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["a", "b", "", "*", "x.y", 'q"\\', "ü", "d[]"]),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.just("x"), st.just(1.5)),
            lambda inner: st.dictionaries(st.sampled_from(["k", "l"]), inner, min_size=1),
            max_leaves=4,
        ),
    ),
)


@given(st.lists(st.tuples(payloads, st.sampled_from(["1", "2", None])), max_size=12))
@examples(40)
def test_fields_are_those_that_python_finds(events: list[tuple[Any, str | None]]) -> None:
    counted: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
    for data, version in events:
        for path, kind in walked(data or {}, ""):
            counted[version, path][kind] += 1
    with log_of([event(data, version) for data, version in events]) as log:
        found = {
            (row["schema_version"], row["field"]): row["types"]
            for row in log.census().fields().rows()
        }
    assert found == counted


def walked(data: dict[str, Any], above: str) -> Any:
    names = {
        bool: "boolean",
        int: "integer",
        float: "decimal",
        str: "text",
        dict: "object",
        type(None): "null",
    }
    for key, value in data.items():
        path = above + key.replace("\\", "\\\\").replace(".", "\\.")
        yield path, names[type(value)]
        if isinstance(value, dict):
            yield from walked(value, path + ".")


# -- shapes --------------------------------------------------------------------------------------


def test_paths_go_into_objects_and_lists(make_log: MakeLog) -> None:
    log = make_log(
        [
            event(
                {
                    "who": {"name": {"first": "A"}},
                    "lines": [{"sku": "x"}, {"sku": 1}],
                    "tags": ["a"],
                    "none": [],
                }
            )
        ]
    )
    kinds = {name: list(row["types"]) for name, row in fields(log.census()).items()}
    assert kinds == {
        "who": ["object"], "who.name": ["object"], "who.name.first": ["text"], "lines": ["list"],
        "lines[]": ["object"], "lines[].sku": ["mixed"], "tags": ["list"], "tags[]": ["text"], "none": ["list"],
    }  # fmt: skip
    assert set(fields(log.census(depth=1))) == {"who", "lines", "lines[]", "tags", "tags[]", "none"}


def test_an_object_with_many_keys_is_a_map(make_log: MakeLog) -> None:
    log = make_log([event({"by": {f"id-{n}": {"sum": n}}, "n": n}) for n in range(300)])
    found = fields(log.census())
    assert set(found) == {"by", "by.*", "by.*.sum", "n"}
    assert found["by.*"]["present"] == 300


def test_fields_beside_many_keys_stay_fields(make_log: MakeLog) -> None:
    log = make_log([event({"amount": n, f"id-{n}": "x", f"id-{n + 1}": "x"}) for n in range(300)])
    found = fields(log.census())
    assert {name: row["present"] for name, row in found.items()} == {"*": 300, "amount": 300}


def test_a_payload_of_ten_thousand_fields_is_listed_in_part(make_log: MakeLog) -> None:
    log = make_log([event({f"k{n:05}": n for n in range(10_000)})])
    found = fields(log.census())
    assert len(found) == 201
    assert found["*"]["present"] == 1


def test_payloads_too_deep_for_duckdb_are_said(make_log: MakeLog) -> None:
    wide = event({"s": '"{[', "wide": [{"a": [1]}] * 200})
    log = make_log([event(nested(127)), event(nested(128)), event(nested(900)), wide])
    census = log.census()
    assert census.rows()[0]["events"] == 4
    assert fields(census)["a"]["present"] == 1
    assert fields(census)["wide[].a[]"]["types"] == {"integer": 1}
    assert "the payloads of 2 events are nested more than 127 levels deep" in census.notes[0]


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_structures_that_hardly_repeat_are_left_out_and_said(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.analysis.census.structures.CHARACTERS", 60)
    log = make_log([event({"a": 1})] * 5 + [event({f"b{n}": 1}) for n in range(20)])
    census = log.census()
    assert census.rows()[0]["events"] == 25
    assert fields(census)["a"]["present"] == 5
    left = 25 - sum(row["present"] for row in fields(census).values())
    assert f"the payloads of {left} events have structures that hardly repeat" in census.notes[0]


def test_events_without_a_payload_or_a_version_are_counted(make_log: MakeLog) -> None:
    log = make_log([event(None, None), event("5", "1"), event("[1]", "1"), event({"a": 1}, "1")])
    rows = {row["schema_version"]: row for row in log.census().rows()}
    assert {version: row["events"] for version, row in rows.items()} == {None: 1, "1": 3}
    assert fields(log.census())["a"]["share"] == pytest.approx(1 / 3)
    assert (rows[None]["status"], rows["1"]["status"]) == ("no chain", "newest")


def test_of_nothing_it_is_empty(make_log: MakeLog) -> None:
    census = make_log([]).census()
    assert (census.rows(), census.fields().rows(), census.notes) == ([], [], ())
    assert "0 rows" in repr(census)


def test_a_narrowed_log_is_counted_as_narrowed(make_log: MakeLog) -> None:
    log = make_log([event({"a": 1}), event({"b": 1}, kind="Sent")])
    assert [row["event_type"] for row in log.where(types="Sent").census().rows()] == ["Sent"]


def test_a_sample_says_that_it_is_one(make_log: MakeLog) -> None:
    log = make_log([event({"a": n}) for n in range(50)])
    census = log.census(sample=10)
    assert census.rows()[0]["events"] == 50
    assert fields(census)["a"]["present"] == 10
    assert "a sample of 10 of 50 events" in census.notes[0]


@pytest.mark.parametrize("arguments", [{"depth": 0}, {"sample": 0}, {"sample": True}])
def test_numbers_that_are_none_are_refused(make_log: MakeLog, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is no number of"):
        make_log([]).census(**arguments)


# -- drift ---------------------------------------------------------------------------------------


def drift(events: list[Any], make_log: MakeLog) -> list[tuple[Any, ...]]:
    rows = make_log([event(data) for data in events]).census().drift().rows()
    return [
        tuple(row[name] for name in ("field", "drift", "before", "after", "since_position"))
        for row in rows
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"a": "1"}] * 20 + [{"a": 1}] * 20, [("a", "type", "text", "integer", 21)]),
        ([{"a": 100}] * 20 + [{"a": 1.5}] * 20, [("a", "type", "integer", "decimal", 21)]),
        ([{"a": 100}, {"a": 1.5}] * 20, []),
        ([{"a": 100}, {"a": None}] * 20, []),
        ([{}] * 20 + [{"a": 1}] * 20, [("a", "presence", "0 %", "100 %", 21)]),
        ([{"a": 1}] * 30 + [{}] * 10, [("a", "presence", "100 %", "0 %", 31)]),
        ([{}] * 40 + [{"a": 1}], []),
        ([{}, {"a": 1}] * 20, []),
        ([{}, {}, {}, {}, {"a": 1}] * 20 + [{"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}, {}] * 20, [("a", "presence", "19 %", "80 %", 100)]),
    ],
)  # fmt: skip
def test_a_field_that_changes_within_a_version_is_named_with_the_event(
    make_log: MakeLog, events: list[Any], expected: list[Any]
) -> None:
    assert drift(events, make_log) == expected


# -- decoding ------------------------------------------------------------------------------------


def test_how_far_each_version_comes(make_log: MakeLog) -> None:
    log = make_log([event({"a": "x"}, version) for version in ("1", "2", "2", "10", None)])
    two = wb.Upcaster("Paid", from_version="2", to_version="10").convert("a", factor=2)
    rows = {row["schema_version"]: row for row in log.upcast(two).census().rows()}
    assert {version: (row["status"], row["reaches"], row["failing"]) for version, row in rows.items()} == {
        None: ("no chain", None, 0), "1": ("no chain", "1", 0), "2": ("failing", "10", 2), "10": ("newest", "10", 0),
    }  # fmt: skip
    assert list(rows) == [None, "1", "2", "10"]


def test_a_function_that_fails_is_counted(make_log: MakeLog) -> None:
    log = make_log([event({"a": 1}), event({}), event({"a": 2}, "2")])
    step = wb.Upcaster("Paid", from_version="1", to_version="2").using(
        lambda data: {"b": data["a"]}
    )
    rows = {row["schema_version"]: row for row in log.upcast(step).census().rows()}
    assert (rows["1"]["status"], rows["1"]["failing"]) == ("failing", 1)


# -- rules in metadata ---------------------------------------------------------------------------

RULES = {
    "schemaVersion": "2.1.0",
    "migrationRules": [
        {"fromVersion": "1.0.0", "rule": "add_profile_field", "defaultValue": {"name": "Unknown"}}
    ],
}


def registered(version: str, data: Any, metadata: Any = None) -> dict[str, Any]:
    return event(
        data, version, "UserRegistered", metadata=None if metadata is None else json.dumps(metadata)
    )


def test_rules_that_travel_in_metadata_become_upcasters(make_log: MakeLog) -> None:
    log = make_log(
        [
            registered("1.0.0", {"userId": "1"}),
            registered("2.1.0", {"userId": "2", "profile": {"name": "Ann"}}, RULES),
        ]
    )
    rules = log.migration_rules()
    assert rules == (
        wb.Upcaster("UserRegistered", from_version="1.0.0", to_version="2.1.0").add(
            "profile", {"name": "Unknown"}
        ),
    )
    names = wb.Projection("p", {"names": wb.collect("profile.name")})
    assert log.upcast(*rules).replay(names).rows()[0]["names"] == ["Unknown", "Ann"]
    assert all(row["decodes"] for row in log.upcast(*rules).census().rows())
    assert log.migration_rules(versions={"1.0.0": "1"})[0].from_version == "1"


def test_the_rules_of_the_newest_version_count(make_log: MakeLog) -> None:
    def rules(*rows: tuple[str, str]) -> Any:
        return {
            "migrationRules": [
                {"fromVersion": old, "rule": rule, "defaultValue": 1} for old, rule in rows
            ]
        }

    log = make_log([
        registered("2", {}, rules(("1", "add_a"))),
        registered("10", {}, rules(("1", "add_b"), ("2", "remove_c"), ("2", "rename_d_to_e"))),
    ])  # fmt: skip
    assert [repr(one) for one in log.migration_rules()] == [
        "Upcaster UserRegistered 1 → 10: add b 1",
        "Upcaster UserRegistered 2 → 10: remove c, rename d to e",
    ]


def test_a_rule_that_nobody_understands_is_refused_until_it_is_explained(make_log: MakeLog) -> None:
    rules = {"migrationRules": [{"fromVersion": "1", "rule": "lower_email"}]}
    log = make_log([registered("2", {}, rules)])
    with pytest.raises(ConfigError, match="'lower_email' does is not known"):
        log.migration_rules()
    (one,) = log.migration_rules(
        readings={"lower_email": lambda made, rule: made.convert("email", sql="lower(value)")}
    )
    assert repr(one) == "Upcaster UserRegistered 1 → 2: convert email by lower(value)"


def test_rules_that_contradict_each_other_are_refused(make_log: MakeLog) -> None:
    one = {"migrationRules": [{"fromVersion": "1", "rule": "add_a", "defaultValue": 1}]}
    other = {"migrationRules": [{"fromVersion": "1", "rule": "add_a", "defaultValue": Decimal(2)}]}
    log = make_log(
        [registered("2", {}, one), registered("2", {}, json.loads(json.dumps(other, default=int)))]
    )
    with pytest.raises(ConfigError, match="carry different rules from 1: at positions 1 and 2"):
        log.migration_rules()


def test_rules_that_differ_in_each_event_are_refused_at_once(make_log: MakeLog) -> None:
    log = make_log(
        [
            registered("2", {}, {"migrationRules": [{"fromVersion": "1", "rule": "add_a", "defaultValue": n}]})
            for n in range(300)
        ]
    )  # fmt: skip
    with pytest.raises(ConfigError, match="carry different rules from 1: at positions 1 and 2"):
        log.migration_rules()


def test_a_gap_in_rules_that_travel_is_refused(make_log: MakeLog) -> None:
    def rule(old: str) -> Any:
        return {"migrationRules": [{"fromVersion": old, "rule": "remove_x"}]}

    log = make_log([registered("2", {}, rule("1")), registered("4", {}, rule("3"))])
    with pytest.raises(ConfigError, match="have a gap: 1 leads to 2 and no further"):
        log.upcast(*log.migration_rules())
