"""Charts of sagas: each is compiled as JupyterLab does it, with plain, empty and hostile data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import vl_convert

import workbench as wb
from tests.fix_log import MakeLog
from tests.test_chart import HOSTILE, texts
from tests.test_sagas import DONE, at, flow, trip
from workbench import charts
from workbench.analysis.sagas import OUTCOMES, Sagas
from workbench.bundled import checkout_saga
from workbench.charts import renderer, theme
from workbench.charts.lengths import lasting
from workbench.charts.renderer import Chart
from workbench.charts.sagas import COLOURS
from workbench.samples import path


@pytest.fixture(scope="module")
def checkout() -> Sagas:
    log = wb.open()
    log.load(wb.files(path("checkout/events.ndjson.gz")), progress=False)
    return log.sagas(checkout_saga)


def drawn(sagas: Sagas) -> Iterator[Chart]:
    """Every chart there is, of one analysis."""
    for result in (
        sagas, sagas.over_time(), sagas.funnel(), sagas.durations(), sagas.variants(), sagas.graph(),
        *(sagas.instance(row["saga_id"]) for row in sagas.rows(3)),
    ):  # fmt: skip
        yield result.chart()


def data(chart: Chart) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_each_is_drawn_by_the_library_in_jupyterlab(checkout: Sagas) -> None:
    for chart in drawn(checkout):
        spec = renderer.as_version_5(chart.to_dict())
        assert renderer.png(chart.to_dict()).startswith(b"\x89PNG")
        assert vl_convert.vegalite_to_vega(spec, vl_version=renderer.VEGALITE)["marks"]


def test_each_has_a_title_and_says_what_it_shows(checkout: Sagas) -> None:
    for chart in drawn(checkout):
        spec = chart.to_dict()
        assert spec["title"]["text"]
        assert len(spec["description"]) > 60


def test_each_holds_aggregates_alone(checkout: Sagas) -> None:
    for chart in drawn(checkout):
        assert len(data(chart)) < 2_500


def test_an_empty_log_is_drawn(make_log: MakeLog) -> None:
    for chart in drawn(make_log([]).sagas(trip)):
        assert renderer.png(chart.to_dict())


def test_a_log_without_times_is_drawn(make_log: MakeLog) -> None:
    for chart in drawn(make_log(flow(DONE, recorded_at=None)).sagas(trip)):
        assert renderer.png(chart.to_dict())


def test_a_single_moment_is_drawn(make_log: MakeLog) -> None:
    for chart in drawn(make_log(flow(DONE.replace(" ", "@0 ") + "@0")).sagas(trip, at(0))):
        assert renderer.png(chart.to_dict())


def test_hostile_names_stay_text(make_log: MakeLog) -> None:
    names = [name for name in HOSTILE if name]
    saga = wb.Saga(names[0], names[0], [wb.Step(name, name, part=None) for name in names[1:]])
    events = [
        {"stream_id": name, "event_type": name, "correlation_id": names[0], "recorded_at": at(n)}
        for n, name in enumerate(names)
    ]
    for chart in drawn(make_log(events).sagas(saga)):
        assert renderer.png(chart.to_dict())
        assert all(len(text) < 2_000 for text in texts(chart.to_dict()))
        assert b"<script>alert" not in renderer._page(chart.to_dict())


def test_each_outcome_has_a_colour_of_its_own() -> None:
    assert list(COLOURS) == list(OUTCOMES)
    assert len(set(COLOURS.values())) == len(OUTCOMES)


def test_outcomes_stack_to_all_sagas(checkout: Sagas) -> None:
    bars = data(charts.saga_outcomes(checkout.over_time()))
    assert sum(bar["sagas"] for bar in bars) == len(checkout)
    tops: dict[float, int] = {}
    for bar in bars:
        assert bar["base"] == tops.get(bar["moment"], 0)
        tops[bar["moment"]] = bar["top"]


def test_the_funnel_writes_the_loss(checkout: Sagas) -> None:
    written = [
        row["written"] for row in data(charts.saga_funnel(checkout.funnel())) if "written" in row
    ]
    pay = next(row for row in checkout.funnel().rows() if row["step"] == "pay")
    assert f"{pay['done']:,} done · {pay['lost']:,} lost ({pay['loss']:.1%})" in written


def test_variants_are_worded_by_step(checkout: Sagas) -> None:
    blocks = [
        row for row in data(charts.saga_variants(checkout.variants(), most=3)) if "what" in row
    ]
    first = [row["what"] for row in blocks if row["variant"] == "1"]
    assert first == ["start", "reserve", "pay", "ship", "complete"]
    assert {row["variant"] for row in blocks} == {"1", "2", "3"}


def test_a_graph_says_what_it_leaves_out(checkout: Sagas) -> None:
    spec = charts.saga_graph(checkout.graph(), most=5).to_dict()
    assert any("rarer arrows left out" in line for line in spec["title"]["subtitle"])


def test_arrows_point_from_source_to_target(make_log: MakeLog) -> None:
    rows = data(make_log(flow("Asked@0 SeatHeld:1@1")).sagas(trip).graph().chart())
    (head,) = [row for row in rows if "angle" in row]
    assert (head["from"], head["to"], head["median"]) == ("Asked", "SeatHeld", "1 h")
    assert 70 < head["angle"] < 110  # to the right


def test_a_bar_is_as_long_as_its_step(make_log: MakeLog) -> None:
    sagas = make_log(flow("Asked@0 SeatHeld:1@1 Paid@3")).sagas(trip, at(4))
    rows = {row["what"]: row for row in data(sagas.instance("t-1").chart())}
    assert (rows["pay"]["from"], rows["pay"]["to"], rows["pay"]["written"]) == (3600, 10_800, "2 h")
    assert rows["waiting for ticket"]["role"] == "waiting"


def test_seconds_and_days_are_both_seen(make_log: MakeLog) -> None:
    sagas = make_log(flow("Asked@0 SeatHeld:1@0.0001 Paid@0.0005 TicketSent@90")).sagas(trip)
    chart = sagas.instance("t-1").chart()
    lengths = {row["what"]: row["to"] - row["from"] for row in data(chart)}
    assert min(lengths["seat · 1"], lengths["pay"], lengths["ticket"]) > 0.02 * sum(
        lengths.values()
    )
    assert any("stretched" in line for line in chart.to_dict()["title"]["subtitle"])


def test_broken_rules_stand_behind_their_bar(make_log: MakeLog) -> None:
    sagas = make_log(flow("Asked SeatHeld:1 TicketSent")).sagas(trip)
    rows = [row for row in data(sagas.instance("t-1").chart()) if row["is_broken"]]
    assert [(row["what"], row["broken"]) for row in rows] == [("ticket", "step skipped")]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 s"), (0.00002, "20 µs"), (0.0785, "78 ms"), (1, "1 s"), (75, "75 s"), (60, "1 min"), (86_400, "1 d"),
     (129_600, "36 h"), (-3, "-3 s"), (None, "unknown")],
)  # fmt: skip
def test_lengths_are_written_for_people(seconds: float | None, written: str) -> None:
    assert lasting(seconds) == written


def test_the_theme_is_ours(checkout: Sagas) -> None:
    assert checkout.funnel().chart().to_dict()["config"]["font"] == theme.FONT
