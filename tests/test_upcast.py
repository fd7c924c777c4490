"""Reading through upcasters is the same as having loaded the new payloads."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import MakeLog
from tests.oracle import examples, log_of
from workbench.errors import ConfigError, QueryError, ReplayError


def step(kind: str, old: str | None, new: str) -> wb.Upcaster:
    return wb.Upcaster(kind, from_version=old, to_version=new)


def event(
    data: dict[str, Any] | str | None, version: str | None = "1", **more: Any
) -> dict[str, Any]:
    return {
        "stream_id": "a", "event_type": "Paid", "schema_version": version, "data": data,
        "recorded_at": "2026-01-01T00:00Z", **more,
    }  # fmt: skip


def payloads(log: wb.EventLog) -> list[Any]:
    return [
        None if row["data"] is None else json.loads(row["data"], parse_float=Decimal)
        for row in log.sql("SELECT data FROM events ORDER BY position").rows()
    ]


def read(log: wb.EventLog, name: str, type: Any = "text") -> list[Any]:
    values = wb.Projection("p", {"x": wb.collect(name, type=type)})
    return [value for row in log.replay(values).rows() for value in row["x"]]


# -- each operation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upcaster", "old", "new"),
    [
        (step("Paid", "1", "2").add("currency", "EUR"), {}, {"currency": "EUR"}),
        (step("Paid", "1", "2").add("currency", "EUR"), {"currency": None}, {"currency": "EUR"}),
        (step("Paid", "1", "2").add("currency", "EUR"), {"currency": "USD"}, {"currency": "USD"}),
        (step("Paid", "1", "2").add("a.b", 1), {"a": "text"}, {"a": {"b": 1}}),
        (step("Paid", "1", "2").rename("amt", "amount"), {"amt": 1}, {"amount": 1}),
        (step("Paid", "1", "2").rename("amt", "amount"), {"amount": 2}, {"amount": 2}),
        (step("Paid", "1", "2").rename("amt", "amount"), {"amt": 1, "amount": 2}, {"amount": 1}),
        (step("Paid", "1", "2").rename("a.b", "c.d"), {"a": {"b": 1}}, {"a": {}, "c": {"d": 1}}),
        (step("Paid", "1", "2").split("n", ["f", "l"]), {"n": "Ann B C"}, {"f": "Ann", "l": "B C"}),
        (step("Paid", "1", "2").split("n", ["f", "l"]), {"n": "Ann", "l": "x"}, {"f": "Ann", "l": "x"}),
        (step("Paid", "1", "2").merge(["f", "l"], "n"), {"f": "Ann", "l": "B"}, {"n": "Ann B"}),
        (step("Paid", "1", "2").merge(["f", "l"], "n"), {"l": "B"}, {"n": "B"}),
        (step("Paid", "1", "2").merge(["f", "l"], "n"), {"n": "old"}, {"n": "old"}),
        (step("Paid", "1", "2").convert("a", factor=100), {"a": 12}, {"a": 1200}),
        (step("Paid", "1", "2").convert("a", sql="upper(value)"), {"a": "eur"}, {"a": "EUR"}),
        (step("Paid", "1", "2").convert("a", sql="length(value)", result="integer"), {"a": "eur"}, {"a": 3}),
        (step("Paid", "1", "2").remove("a"), {"a": 1, "b": 2}, {"b": 2}),
        (step("Paid", "1", "2").using(lambda data: {**data, "n": 1}), {"b": 2}, {"b": 2, "n": 1}),
        (step("Paid", "1", "2").using(lambda data: data.update(n=1)), {}, {"n": 1}),
    ],
)  # fmt: skip
def test_an_operation_changes_the_payload_that_is_shown_and_each_field_that_is_read(
    make_log: MakeLog, upcaster: wb.Upcaster, old: dict[str, Any], new: dict[str, Any]
) -> None:
    log = make_log([event(old), event(old, "2")]).upcast(upcaster)
    assert payloads(log) == [new, old]
    for name in ("currency", "amt", "amount", "a", "b", "c", "a.b", "c.d", "n", "f", "l"):
        loaded = make_log([event(new), event(old, "2")])
        assert read(log, name) == read(loaded, name), name
        assert read(log, name, "json") == read(loaded, name, "json"), name


def test_money_stays_exact(make_log: MakeLog) -> None:
    log = make_log([event('{"amt": 1234567890123456.78, "fee": 0.10}')])
    old = log.upcast(
        step("Paid", "1", "2").rename("amt", "amount").convert("amount", factor=Decimal("0.01"))
    )
    assert read(old, "amount", "decimal") == [Decimal("12345678901234.5678")]
    (data,) = old.sql("SELECT data::VARCHAR AS data FROM events").rows()
    assert data["data"] == '{"fee":0.10,"amount":12345678901234.5678}'


def test_chains_are_followed_whatever_the_order_in_which_they_are_given(make_log: MakeLog) -> None:
    log = make_log([event({"a": "1"}, None), event({"b": 2}, "1"), event({"c": 3}, "2.1.0")])
    steps = [
        step("Paid", "2.1.0", "3").convert("c", factor=10),
        step("Paid", "1", "2.1.0").rename("b", "c"),
        step("Paid", None, "1").rename("a", "b"),
    ]
    for order in (steps, steps[::-1]):
        through = log.upcast(*order)
        assert read(through, "c", "integer") == [10, 20, 30]
        assert [row["schema_version"] for row in through.sql("FROM events").rows()] == ["3"] * 3
    assert read(log.upcast(steps[2]).upcast(*steps[:2]), "c", "integer") == [10, 20, 30]


def test_the_file_keeps_what_it_received(make_log: MakeLog) -> None:
    log = make_log([event({"a": 1})])
    before = log.fingerprint()
    log.upcast(step("Paid", "1", "2").rename("a", "b")).df()
    assert log.fingerprint() == before
    assert payloads(log) == [{"a": 1}]


def test_conditions_are_about_the_payload_that_the_log_shows(make_log: MakeLog) -> None:
    log = make_log([event({}), event({"currency": "USD"}, "2")])
    upcaster = step("Paid", "1", "2").add("currency", "EUR")
    asked = "data->>'currency' = 'EUR'"
    assert len(log.where(condition=asked).upcast(upcaster)) == 0
    assert len(log.upcast(upcaster).where(condition=asked)) == 1
    assert len(log.upcast(upcaster).where(condition="schema_version = '2'")) == 2


def test_typed_columns_are_used_where_no_upcaster_touches_the_field(make_log: MakeLog) -> None:
    log = make_log([event({"amount": "12.50", "note": "x"}), event({"amount": "1"}, "2")])
    sums = wb.Projection("p", {"sum": wb.total("amount")})
    log.prepare(sums)
    untouched = log.upcast(step("Paid", "1", "2").remove("note")).replay(sums)
    assert "data.amount::decimal" in untouched.sql
    assert "json" not in untouched.sql
    scaled = log.upcast(step("Paid", "1", "2").convert("amount", factor=2)).replay(sums)
    assert scaled.rows()[0]["sum"] == Decimal("26.00")
    (row,) = (
        log.upcast(step("Paid", "1", "2").convert("amount", factor=2))
        .sql('SELECT sum("data.amount::decimal") AS sum FROM events')
        .rows()
    )
    assert row["sum"] == Decimal(26)


def test_what_upcasters_take_a_value_from_is_prepared_too(make_log: MakeLog) -> None:
    log = make_log([event({"cents": 1250}), event({"amount": "1"}, "2")])
    old = step("Paid", "1", "2").rename("cents", "amount").convert("amount", factor=Decimal("0.01"))
    sums = wb.Projection("p", {"sum": wb.total("amount")})
    through = log.upcast(old)
    assert set(through.prepare(sums)) >= {"data.amount::decimal", "data.cents::decimal"}
    replay = through.replay(sums)
    assert "json" not in replay.sql
    assert replay.rows()[0]["sum"] == Decimal("13.50")


# -- what cannot be upcast -----------------------------------------------------------------------


def test_what_cannot_be_converted_is_unknown_and_said(make_log: MakeLog) -> None:
    log = make_log([event({"amount": "oops"}), event({"amount": "1"}, "2")])
    log = log.upcast(step("Paid", "1", "2").convert("amount", factor=Decimal("0.01")))
    replay = log.replay(wb.Projection("p", {"sum": wb.total("amount")}))
    assert replay.rows()[0]["sum"] is None
    assert (
        "1 values of amount are no decimal: columns that need them are NULL there" in replay.notes
    )
    with pytest.raises(QueryError, match=r"Paid 1 → 2 failed on the event at position 1.*'oops'"):
        log.df()

    def paid(total: Decimal, amount: Decimal) -> Decimal:
        return total + amount

    with pytest.raises(ReplayError, match="'oops' is no decimal"):
        log.replay(wb.Fold("sum", Decimal(0), {"Paid": paid}))


def test_a_product_that_would_be_rounded_is_unknown(make_log: MakeLog) -> None:
    log = make_log([event('{"a": 0.123456789012345678}')])
    log = log.upcast(step("Paid", "1", "2").convert("a", factor=Decimal("0.1")))
    assert (
        log.replay(wb.Projection("p", {"x": wb.latest("a", type="decimal")})).rows()[0]["x"] is None
    )


def test_a_function_that_fails_names_the_event(make_log: MakeLog) -> None:
    log = make_log([event({"a": 1}), event({})]).upcast(
        step("Paid", "1", "2").using(lambda data: {"b": data["a"]})
    )
    with pytest.raises(
        QueryError, match="Paid 1 → 2 failed on the event at position 2: KeyError: 'a'"
    ):
        log.replay(wb.Projection("p", {"b": wb.latest("b")})).rows()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda data: {"b": object()}, "TypeError"),
        (lambda data: {"b": "\ud800"}, "UnicodeEncodeError"),
        (lambda data: ["b"], "TypeError: it returned list, and a payload is a dict"),
    ],
)
def test_what_a_function_gives_has_to_be_a_payload(
    make_log: MakeLog, function: Any, said: str
) -> None:
    log = make_log([event({"a": 1})]).upcast(step("Paid", "1", "2").using(function))
    with pytest.raises(QueryError, match=f"Paid 1 → 2 failed on the event at position 1: {said}"):
        log.df()
    assert log.census().rows()[0]["failing"] == 1


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_a_number_beyond_any_double_keeps_its_text(make_log: MakeLog, number: str) -> None:
    log = make_log([event(f'{{"a": {number}, "b": 1}}')])
    log = log.upcast(step("Paid", "1", "2").merge(["a", "b"], "m"))
    assert payloads(log) == [{"m": f"{number} 1"}]
    assert read(log, "m") == [f"{number} 1"]


@pytest.mark.parametrize(
    ("upcasters", "said"),
    [
        ([step("Paid", "1", "2"), step("Paid", "1", "3")], "two upcasters begin at Paid 1: one leads to 2, the other to 3"),
        ([step("Paid", "1", "2"), step("Paid", "2", "1")], "the upcasters of Paid go round in a circle: 1 → 2 → 1"),
        ([step("Paid", "1", "2"), step("Paid", "3", "4")], r"the upcasters of Paid have a gap: 1 leads to 2 and no further; 3 leads to 4(.|\n)*from_version='2', to_version='3'"),
        ([step("Paid", None, "2"), step("Paid", "2", "3"), step("Paid", "3", "2")], "the upcasters of Paid go round in a circle: no version → 2 → 3 → 2"),
    ],
)  # fmt: skip
def test_chains_that_lead_nowhere_are_refused(
    make_log: MakeLog, upcasters: list[wb.Upcaster], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_log([]).upcast(*upcasters)


def test_chains_that_meet_are_fine(make_log: MakeLog) -> None:
    log = make_log([event({}, "1"), event({}, "2")])
    log = log.upcast(step("Paid", "1", "3").add("a", 1), step("Paid", "2", "3").add("a", 2))
    assert read(log, "a", "integer") == [1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: wb.Upcaster("Paid", from_version=1, to_version="2"),  # type: ignore[arg-type]  # the error
        lambda: step("Paid", "1", "1"),
        lambda: step("", "1", "2"),
        lambda: step("Paid", "1", "2").add("currency", 1.5),
        lambda: step("Paid", "1", "2").add("event.actor", "x"),
        lambda: step("Paid", "1", "2").rename("a", "a.b"),
        lambda: step("Paid", "1", "2").split("a", ["b"]),
        lambda: step("Paid", "1", "2").convert("a"),
        lambda: step("Paid", "1", "2").convert("a", factor=0.01),  # type: ignore[arg-type]  # the error
        lambda: step("Paid", "1", "2").convert("a", factor=Decimal(1) / 3),
        lambda: step("Paid", "1", "2").using("lambda"),  # type: ignore[arg-type]  # the error
    ],
)
def test_what_an_upcaster_cannot_do_is_refused_when_it_is_made(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"."):
        wrong()


@pytest.mark.parametrize(
    "sql", ["nonsense(value)", "value), (1", "other", "value; DROP TABLE x", ""]
)
def test_an_expression_is_checked_when_the_log_is_upcast(make_log: MakeLog, sql: str) -> None:
    with pytest.raises(QueryError):
        make_log([]).upcast(step("Paid", "1", "2").convert("a", sql=sql))


# -- laws ----------------------------------------------------------------------------------------

NAMES = ["amount", "status", "note", "who.name", "who.first"]
#: A SQL expression -> what it gives, and the same in Python.
EXPRESSIONS: dict[str, tuple[Any, Any]] = {
    "'<' || value || '>'": ("text", lambda value: f"<{value}>"),
    "length(value)": ("integer", len),
    "length(value) * 1.5": ("decimal", lambda value: len(value) * Decimal("1.5")),
    "value = 'a'": ("boolean", lambda value: value == "a"),
}
names = st.sampled_from(NAMES)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Draw operations, each as a name and arguments."""
    found: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(1, 4))):
        one, two, three = draw(st.permutations(NAMES))[:3]
        found.append(
            draw(
                st.sampled_from(
                    [
                        ("add", one, draw(st.sampled_from(["x", 7, Decimal("1.5"), True]))),
                        ("rename", one, two),
                        ("split", one, [two, three]),
                        ("merge", [one, two], three),
                        ("factor", one, draw(st.sampled_from([10, Decimal("0.5"), -1]))),
                        ("sql", one, draw(st.sampled_from(sorted(EXPRESSIONS)))),
                        ("remove", one),
                        ("call", one),
                    ]
                )
            )
        )
    return found


def upcaster_of(operations: list[tuple[Any, ...]], old: str = "1", new: str = "2") -> wb.Upcaster:
    made = step("Paid", old, new)
    for name, *given_ in operations:
        if name == "factor":
            made = made.convert(given_[0], factor=given_[1])
        elif name == "call":
            made = made.using(called(given_[0]))
        elif name == "sql":
            made = made.convert(given_[0], sql=given_[1], result=EXPRESSIONS[given_[1]][0])
        else:
            made = getattr(made, name)(*given_)
    return made


def called(name: str) -> Any:
    return lambda data: put(data, name, "called")


def got(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def put(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Put a value, or take it away with None, in a copy."""
    head, _, rest = path.partition(".")
    if not rest:
        return {
            **{k: v for k, v in data.items() if k != head},
            **({} if value is None else {head: value}),
        }
    inner = data.get(head)
    if not isinstance(inner, dict):
        if value is None:
            return data
        inner = {}
    return {**data, head: put(inner, rest, value)}


def text_of(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def changed(data: dict[str, Any], operations: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Change a payload as the operations say: written anew here, in plain Python."""
    for name, one, *more in operations:
        if name == "add" and got(data, one) is None:
            data = put(data, one, more[0])
        elif name == "rename":
            value, data = got(data, one), put(data, one, None)
            data = data if value is None else put(data, more[0], value)
        elif name == "split":
            value, data = text_of(got(data, one)), put(data, one, None)
            for target, part in zip(
                more[0], (value or "").split(" ", 1) if value is not None else [], strict=False
            ):
                data = put(data, target, part)
        elif name == "merge":
            parts = [text_of(got(data, part)) for part in one]
            for part in one:
                data = put(data, part, None)
            if any(part is not None for part in parts):
                data = put(data, more[0], " ".join(part for part in parts if part is not None))
        elif name == "factor" and got(data, one) is not None:
            product = f"{Decimal(str(got(data, one))) * more[0]:f}"
            # Written without empty places: 392 by 0.5 is 196.
            data = put(
                data, one, Decimal(product.rstrip("0").rstrip(".") if "." in product else product)
            )
        elif name == "sql" and got(data, one) is not None:
            data = put(data, one, EXPRESSIONS[more[0]][1](text_of(got(data, one))))
        elif name == "remove":
            data = put(data, one, None)
        elif name == "call":
            data = put(data, one, "called")
    return data


numbers = st.one_of(
    st.none(),
    st.integers(-50, 2000),
    st.sampled_from([Decimal("12.25"), Decimal("0.5")]),
)
words = st.one_of(st.none(), st.sampled_from(["", "a", "Ann Lee", "x y z", "'; -- \"\\ ü😀"]))


@st.composite
def payload(draw: st.DrawFn) -> dict[str, Any]:
    data = {"amount": draw(numbers), "status": draw(words), "note": draw(words)}
    data = {name: value for name, value in data.items() if value is not None}
    who = {
        name: value
        for name, value in {"name": draw(words), "first": draw(words)}.items()
        if value is not None
    }
    return data | ({"who": who} if draw(st.booleans()) else {})


def jsoned(data: dict[str, Any]) -> str:
    numbered: dict[str, str] = {}

    def mark(value: Any) -> str:
        numbered[f"\x00{len(numbered)}"] = str(value)
        return f"\x00{len(numbered) - 1}"

    written = json.dumps(data, default=mark)
    for key, number in numbered.items():
        written = written.replace(json.dumps(key), number)
    return written


def scalable(data: dict[str, Any], operations: list[tuple[Any, ...]]) -> bool:
    """Whether each conversion finds a number or nothing."""
    for at, (name, *more) in enumerate(operations):
        if name == "factor":
            value = got(changed(data, operations[:at]), more[0])
            if not (
                value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool))
            ):
                return False
    return True


@given(
    st.lists(payload(), min_size=1, max_size=8),
    changes(),
    st.integers(0, 4),
    st.permutations(NAMES),
)
@examples(25)
def test_reading_through_upcasters_is_having_loaded_the_new_payloads(
    data: list[dict[str, Any]], operations: list[tuple[Any, ...]], cut: int, shuffled: list[str]
) -> None:
    data = [one for one in data if scalable(one, operations) and scalable(one, operations[cut:])]
    chance = random.Random(len(data))
    events, new = [], []
    for n, one in enumerate(data):
        version, stream = chance.choice(["1", "1", "2", "3"]), f"s{n % 2}"
        events.append(event(jsoned(one), version, stream_id=stream))
        left = {"1": operations, "2": operations[cut:], "3": []}[version]
        new.append(event(jsoned(changed(one, left)), "3", stream_id=stream))
    one, other, *_ = shuffled
    projection = wb.Projection(
        "p",
        {
            "texts": wb.collect(one),
            "others": wb.collect(other),
            "numbers": wb.collect(one, type="decimal"),
            "who": wb.collect("who", type="json"),
            "schema": wb.latest("event.schema_version"),
        },
    )
    fold = wb.Fold("p", Seen, {"Paid": seen}, fields={"one": one, "other": other})
    with log_of(events) as log, log_of(new) as loaded:
        through = log.upcast(
            upcaster_of(operations[:cut], "1", "2"), upcaster_of(operations[cut:], "2", "3")
        )
        assert payloads(through) == payloads(loaded)
        by_projection, by_fold = rows(through, projection), rows(through, fold)
        assert by_projection == rows(loaded, projection)
        assert [(row["texts"], row["others"]) for row in by_fold] == [
            (row["texts"], row["others"]) for row in by_projection
        ]
        assert by_fold == rows(loaded, fold)


@dataclass
class Seen:
    texts: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def seen(state: Seen, one: str, other: str) -> None:
    state.texts += [] if one is None else [one]
    state.others += [] if other is None else [other]


def rows(log: wb.EventLog, definition: Any) -> list[dict[str, Any]]:
    return sorted(log.replay(definition).rows(), key=lambda row: row["stream_id"])


def test_a_handler_that_takes_the_event_is_given_the_new_payload(make_log: MakeLog) -> None:
    def paid(total: Decimal, event: Any) -> Decimal:
        return total + event.data["amount"] * (2 if event.data["currency"] == "EUR" else 1)

    log = make_log([event('{"amount": 1.50}'), event('{"amount": 4, "currency": "USD"}', "2")])
    through = log.upcast(step("Paid", "1", "2").add("currency", "EUR"))
    assert through.replay(wb.Fold("sum", Decimal(0), {"Paid": paid})).rows()[0]["sum"] == 7
