"""Masking by path: at loading, before anything is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import Written
from workbench.store.masks import Masking, masks

KEY = "0123456789abcdef"
EVENTS: list[dict[str, Any]] = [
    {
        "stream_id": "acc-1",
        "event_id": "e1",
        "actor": "ada",
        "data": '{"owner": "Ada Lovelace", "amount": 12345678901234567.8900, "tags": [1, 2]}',
        "metadata": {"user": "ada", "ip": "10.0.0.1"},
    },
    {"stream_id": "acc-1", "event_id": "e2", "actor": "bob", "data": '{ "amount":1.10 }'},
]


def masked(text: str, *wanted: Any) -> str:
    """One payload, masked."""
    import pyarrow as pa

    rows = pa.table({"data": [text], "metadata": pa.nulls(1, pa.string()), "actor": ["x"]})
    return str(Masking(masks(wanted)).rows(rows).column("data").to_pylist()[0])


# -- payloads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"owner": "Ada", "n": 1.10}', '{"owner":"[masked]","n":1.10}'),
        ('{ "n": 1.10 }', '{ "n": 1.10 }'),  # nothing to mask: byte for byte
        ('{"owner": {"name": "Ada"}}', '{"owner":"[masked]"}'),
        ('{"owner": ["Ada"], "x": {}}', '{"owner":"[masked]","x":{}}'),
        ('{"owner": null}', '{"owner":null}'),
        ('{"owner": "a", "owner": "b"}', '{"owner":"[masked]"}'),
        ('{"\\u006fwner": "Ada"}', '{"owner":"[masked]"}'),
        ('[{"owner": "Ada"}, 3]', '[{"owner":"[masked]"},3]'),
        ('"owner"', '"owner"'),
        ('{"note": "the \\"owner\\": is Ada"}', '{"note": "the \\"owner\\": is Ada"}'),
        ('{"owner": "\\ud800"}', '"[masked: a payload that could not be read]"'),
    ],
)
def test_a_field_of_a_payload(before: str, after: str) -> None:
    assert masked(before, "owner") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"c": {"mail": "x", "n": 1}}', '{"c":{"n":1}}'),
        ('{"c": [{"mail": "x"}, {"n": 2}]}', '{"c":[{},{"n": 2}]}'),
        ('{"c": {"mail": "x"}, "c": {}}', '{"c":{}}'),  # the first one must not slip through
        ('{"c": 3}', '{"c":3}'),
        ('{"mail": "x"}', '{"mail": "x"}'),
    ],
)
def test_a_field_below_another_is_removed(before: str, after: str) -> None:
    assert masked(before, wb.mask("c.mail", by="remove")) == after


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["owner", "c", "mail", "n", 'a"b', "é"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_all_else_in_a_payload_stays(value: Any) -> None:
    """Against an oracle that walks the parsed payload."""

    def expected(item: Any) -> Any:
        if isinstance(item, list):
            return [expected(one) for one in item]
        if isinstance(item, dict):
            return {k: "[masked]" if k == "owner" and v is not None else v for k, v in item.items()}
        return item

    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert json.loads(masked(text, "owner")) == expected(value)


# -- loading -------------------------------------------------------------------------------------


def test_nothing_of_a_masked_field_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    mask = ["owner", wb.mask("metadata.user", by="hash", key=KEY)]
    conflicting = {**EVENTS[0], "event_type": "Other"}
    with wb.open(path) as log:
        loaded = log.load(Written([*EVENTS, conflicting]), mask=mask, progress=False)
        assert (loaded.stored, loaded.rejected) == (2, 1)
        first, second = log.sql("FROM events").rows()
        assert first["data"] == '{"owner":"[masked]","amount":12345678901234567.8900,"tags":[1, 2]}'
        assert second["data"] == '{ "amount":1.10 }'
        # What was copied out of the envelope goes with it, and people stay apart.
        assert first["actor"] == json.loads(first["metadata"])["user"] != "ada"
        assert second["actor"] == "bob"
        assert "Lovelace" not in repr(log.rejects().rows()) + repr(log.audit()) + repr(log)
    raw = path.read_bytes()
    assert b"Lovelace" not in raw
    assert KEY.encode() not in raw


def test_the_mask_is_recorded_without_its_key() -> None:
    with wb.open() as log:
        mask = wb.mask("owner", by="hash", key=KEY)
        log.load(Written(EVENTS), mask=mask, progress=False)
        (load,) = log.loads().rows()
        assert json.loads(load["notes"]) == ["masked before it was stored: owner (keyed hash)"]
        assert KEY not in repr(mask)
        assert any(
            "masked before it was stored: owner" in line
            for line in log.audit().completeness.sentences
        )


@pytest.mark.parametrize(("first", "second"), [((), "owner"), ("owner", ()), ("owner", "amount")])
def test_a_source_is_loaded_with_the_same_masks_always(first: Any, second: Any) -> None:
    with wb.open() as log:
        log.load(Written(EVENTS), mask=first, progress=False)
        with pytest.raises(wb.errors.ConfigError, match="was loaded with"):
            log.load(Written(EVENTS), mask=second, progress=False)
        log.load(Written(EVENTS), mask=first, progress=False)


def test_a_masked_log_is_checked_against_its_source_with_the_same_mask() -> None:
    with wb.open() as log:
        mask = wb.mask("owner", by="hash", key=KEY)
        log.load(Written(EVENTS), mask=mask, progress=False)
        audit = log.audit()
        assert audit.check(Written(EVENTS), mask=mask).ok
        assert [row["columns"] for row in audit.check(Written(EVENTS)).rows()] == [["data"]]


def test_typed_columns_are_of_the_masked_payload() -> None:
    owners = wb.Projection("owners", {"owner": wb.latest("owner")}, key={"id": "event.stream_id"})
    with wb.open() as log:
        log.load(Written(EVENTS), mask="owner", prepare=[owners], progress=False)
        assert log.replay(owners).rows()[0]["owner"] == "[masked]"


def test_columns_of_an_event(tmp_path: Path) -> None:
    with wb.open() as log:
        identities = wb.mask("event.stream_id", "event.event_id", by="hash", key=KEY)
        log.load(
            Written(EVENTS),
            mask=[identities, wb.mask("event.metadata", by="remove")],
            progress=False,
        )
        rows = log.sql("FROM events").rows()
        assert len({row["stream_id"] for row in rows}) == 1
        assert rows[0]["stream_id"].startswith("masked:")
        assert [row["metadata"] for row in rows] == [None, None]


def test_real_files_are_masked_on_the_command_line(tmp_path: Path) -> None:
    from tests.cli import workbench
    from workbench.bundled import sample

    done = workbench(
        "load", tmp_path / "bank.duckdb", sample("bank").events, "--mask", "owner=remove"
    )
    assert done.code == 0
    assert "masked before it was stored: owner (removed)" in done.out
    with wb.open(tmp_path / "bank.duckdb", read_only=True) as log:
        assert len(log) == 25_000
        assert log.sql("SELECT count(data->>'owner') AS n FROM events").rows() == [{"n": 0}]


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: wb.mask(), "needs a field"),
        (lambda: wb.mask("owner", by="rot13"), "no way to mask"),  # type: ignore[arg-type]
        (lambda: wb.mask("owner", key="0123456789abcdef"), "a key is for by='hash'"),
        (lambda: wb.mask("owner", by="hash", key="short"), "too short"),
        (lambda: wb.mask("event.version"), "cannot be masked"),
        (lambda: wb.mask("event.stream_id"), "only by 'hash'"),
        (lambda: masks([3]), "names of fields and masks"),  # type: ignore[list-item]
    ],
)
def test_what_is_no_mask(make: Any, said: str) -> None:
    with pytest.raises(wb.errors.ConfigError, match=said):
        make()
