"""Charts of dead letters: each is compiled as JupyterLab does it, with plain, empty and hostile data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import vl_convert

import workbench as wb
from tests.fix_log import MakeLog
from tests.given_up import at, give_up
from tests.test_chart import HOSTILE, texts
from tests.test_dead_letters import events, letter
from workbench.analysis.dead_letters import DeadLetters
from workbench.charts import renderer, theme
from workbench.charts.renderer import Chart
from workbench.samples import path


@pytest.fixture(scope="module")
def checkout() -> DeadLetters:
    folder = path("checkout/events.ndjson.gz").parent
    log = wb.open()
    log.load(wb.files(folder / "events.ndjson.gz"), progress=False)
    for name in ("dead_letters", "dead_letters_axon", "dead_letters_wolverine"):
        log.load(wb.dead_letters(folder / f"{name}.parquet", name=name), progress=False)
    return log.dead_letters()


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    return make_log(events())


def drawn(letters: DeadLetters) -> Iterator[Chart]:
    """Every chart there is."""
    yield letters.chart()
    yield letters.over_time(by="error", clock="occurred", top=3).chart()
    yield letters.fingerprints(new_since="2026-06-01T00:00Z").chart()
    yield letters.attempts().chart()


def data(chart: Chart) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_each_is_drawn_by_the_library_in_jupyterlab(checkout: DeadLetters) -> None:
    for chart in drawn(checkout):
        spec = renderer.as_version_5(chart.to_dict())
        assert renderer.png(chart.to_dict()).startswith(b"\x89PNG")
        assert vl_convert.vegalite_to_vega(spec, vl_version=renderer.VEGALITE)["marks"]


def test_each_says_what_it_shows_and_holds_aggregates_alone(checkout: DeadLetters) -> None:
    for chart in drawn(checkout):
        spec = chart.to_dict()
        assert spec["title"]["text"]
        assert len(spec["description"]) > 60
        assert spec["config"]["font"] == theme.FONT
        assert len(data(chart)) < 2_500


def test_without_dead_letters_the_events_are_drawn_and_it_is_said(log: wb.EventLog) -> None:
    rates, *others = drawn(log.dead_letters())
    assert "no dead letters; grey: 12 events" in rates.to_dict()["description"]
    for chart in (rates, *others):
        assert renderer.png(chart.to_dict())
        assert "no dead letters" in chart.to_dict()["description"]


def test_an_empty_log_is_drawn(make_log: MakeLog) -> None:
    for chart in drawn(make_log([]).dead_letters()):
        assert renderer.png(chart.to_dict())


def test_hostile_names_stay_text(log: wb.EventLog) -> None:
    names = [name for name in HOSTILE if name]
    give_up(
        log,
        *[
            letter(
                f"e-{n}", event_type=name, consumer=name, error_class=name, dead_lettered_at=at(2)
            )
            for n, name in enumerate(names)
        ],
    )
    for chart in drawn(log.dead_letters()):
        assert renderer.png(chart.to_dict())
        assert all(len(text) < 2_000 for text in texts(chart.to_dict()))
        assert b"<script>alert" not in renderer._page(chart.to_dict())


def test_a_bar_is_the_rate_of_its_bucket_beside_all_events(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-2", dead_lettered_at=at(2, 5)))
    chart = log.dead_letters().over_time(every="1 day").chart()
    bars = [row for row in data(chart) if "rate" in row]
    assert [(row["given_up"], row["events"], row["written"]) for row in bars] == [
        (0, 3, "0.00%"), (1, 3, "33.33%"), (0, 3, "0.00%"), (0, 3, "0.00%"),
    ]  # fmt: skip


def test_a_triangle_stands_where_a_fingerprint_is_first_seen(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", error_class="X", dead_lettered_at=at(2, 5)),
        letter("e-1-3", error_class="X", dead_lettered_at=at(3, 5)),
    )
    marks = [row for row in data(log.dead_letters().chart()) if "error" in row]
    assert [(row["error"], row["when"]) for row in marks] == [("X", "2026-06-02 05:00Z")]


def test_a_group_that_never_says_when_has_no_rate_of_zero(log: wb.EventLog) -> None:
    give_up(
        log,
        letter("e-1-2", consumer="a", dead_lettered_at=at(2, 5)),
        letter("e-1-3", consumer="a"),
        letter("e-1-4", consumer="sink"),
    )
    spec = log.dead_letters().over_time(by="consumer", every="1 day").chart().to_dict()
    written = set(texts(spec))
    assert "a · 1 of 9 (11.11%), 1 undated" in written
    assert "sink · 1 undated" in written


def test_new_fingerprints_come_first_and_are_marked(checkout: DeadLetters) -> None:
    chart = checkout.fingerprints(new_since="2026-06-01T00:00Z").chart()
    rows = data(chart)
    new = [row for row in rows if row["is_new"] == "new"]
    assert rows[: len(new)] == new
    assert all(", NEW since 2026-06-" in row["written"] for row in new)
    assert len(new) == 3


def test_attempts_that_are_not_told_stand_apart(log: wb.EventLog) -> None:
    give_up(log, letter("e-1-1", attempts=4), letter("e-1-2"), letter("e-1-3"))
    rows = data(log.dead_letters().attempts().chart())
    found = [(row["attempts"], row["dead_letters"], row["is_known"]) for row in rows]
    assert found == [("4", 1, True), ("not told", 2, False)]
