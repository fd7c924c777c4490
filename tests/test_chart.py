"""Charts: each is compiled as JupyterLab does it, with plain, empty, single and hostile data."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import pytest
import vl_convert

import workbench as wb
from tests.fix_log import MakeLog, Written
from workbench import charts
from workbench.charts import renderer, theme
from workbench.charts.data import POINTS
from workbench.charts.renderer import Chart
from workbench.errors import ConfigError
from workbench.store.table import Table

HOSTILE = (
    "<script>alert('type')</script>",
    '</script><img src=x onerror="alert(1)">',
    "He said \"no\" \\ 'and'\nleft\x00",
    "a.b[0]:Q",
    "datum.value",
    "com.example.shop.orders.v2." + "very." * 60 + "LongNameEndingInA",
    "com.example.shop.orders.v2." + "Very." * 60 + "LongNameEndingInA",
    "",
    "other (4 types)",
)

SUMMARY = wb.Projection("summary", {"balance": wb.total("amount"), "events_seen": wb.count()})


def events(count: int, kinds: tuple[str, ...] = ("Opened", "Paid"), stream: str = "s") -> Any:
    return [
        {
            "stream_id": stream,
            "event_type": kinds[number % len(kinds)],
            "recorded_at": f"2026-06-{1 + number // 1440:02d}T{number // 60 % 24:02d}:{number % 60:02d}Z",
            "actor": kinds[-1],
            "data": {"amount": number % 7 - 2},
        }
        for number in range(count)
    ]


def classes(log: wb.EventLog, **rows: int) -> Table:
    """What ``diff.summary()`` gives."""
    total = sum(rows.values()) or 1
    values = ", ".join(
        f"('{name}', {rows.get(name, 0)}, {rows.get(name, 0) / total})" for name in theme.CLASSES
    )
    return log.sql(f"FROM (VALUES {values}) t(class, rows, share)")


def differing(log: wb.EventLog, columns: tuple[str, ...]) -> Table:
    """What ``diff.by_column()`` gives."""
    rows = ["SELECT NULL AS column_name, NULL AS class, 0 AS rows WHERE FALSE"]
    rows += [
        f"SELECT {quoted(name)}, 'corrupted', {number + 1}" for number, name in enumerate(columns)
    ]
    rows += [f"SELECT {quoted(name)}, 'stale', 1000" for name in columns[:1]]
    return log.sql(" UNION ALL ".join(rows))


def quoted(name: str) -> str:
    return "'" + name.replace("'", "''").replace("\x00", "' || chr(0) || '") + "'"


def drawn(log: wb.EventLog, kinds: tuple[str, ...] = ("Opened",)) -> Iterator[Chart]:
    """Every kind of chart there is, of one log."""
    yield log.rates(top=12).chart()
    yield log.rates(by="actor").chart()
    for stream in [
        row["stream_id"] for row in log.sql("SELECT DISTINCT stream_id FROM events").rows()
    ]:
        yield log.timeline(stream).chart()
        yield log.timeline(stream, SUMMARY).chart()
        yield log.timeline(stream, SUMMARY).chart(along="version")
    yield log.history(SUMMARY).chart(column="balance")
    yield log.history(SUMMARY).over_time("events_seen", every="1 hour").chart()
    yield classes(log, match=len(log), corrupted=1 if len(log) else 0).chart()
    yield differing(log, kinds if len(log) else ()).chart()
    if len(log):
        stored = log.replay(SUMMARY).df().drop(columns=["version", "position", "events"])
        stored["balance"] = stored["balance"].map(lambda value: value + 1)
        yield log.diff(SUMMARY, wb.read_model(stored, name="stored")).chart()


def texts(spec: Any) -> Iterator[str]:
    """Every string in a specification."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, dict):
        for key, value in spec.items():
            yield key
            yield from texts(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from texts(value)


def values_of(chart: Chart) -> list[list[dict[str, Any]]]:
    return list(chart.to_dict()["datasets"].values())


def subtitle(chart: Chart) -> str:
    return " ".join(chart.to_dict()["title"]["subtitle"])


# -- all charts ----------------------------------------------------------------------------------

LOGS: dict[str, Any] = {
    "plain": (events(300), ("Opened", "Paid")),
    "empty": ([], ()),
    "one event": (events(1), ("Opened",)),
    "hostile": (events(60, HOSTILE, stream=HOSTILE[1]), HOSTILE),
    "without times": ([{**event, "recorded_at": None} for event in events(3)], ("Opened",)),
    "many": (events(5000), ("Opened",)),
}


@pytest.fixture(scope="module", params=LOGS)
def specs(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """All charts of one log, as Altair writes them."""
    rows, kinds = LOGS[request.param]
    with wb.open() as log:
        log.load(Written(rows), progress=False)
        return [chart.to_dict() for chart in drawn(log, kinds)]


def test_every_chart_compiles_in_the_version_of_jupyterlab(specs: list[dict[str, Any]]) -> None:
    for spec in specs:
        five = renderer.as_version_5(spec)
        assert vl_convert.vegalite_to_png(five, vl_version="5.8").startswith(b"\x89PNG")


def test_every_chart_says_in_words_what_it_shows(specs: list[dict[str, Any]]) -> None:
    for spec in specs:
        assert spec["title"]["text"]
        assert spec["title"]["subtitle"]
        assert len(spec["description"]) > len(spec["title"]["text"])


def test_no_chart_holds_more_than_it_can_show(specs: list[dict[str, Any]]) -> None:
    for spec in specs:
        for values in spec["datasets"].values():
            assert len(values) <= 5000  # Altair refuses more
        assert all(len(text) < 1500 for text in texts(spec))


def test_the_same_result_gives_the_same_bytes(make_log: MakeLog) -> None:
    log = make_log(events(12))
    for one, two in zip(drawn(log), drawn(log), strict=True):
        assert one.to_json() == two.to_json()
    assert renderer.png(one.to_dict()) == renderer.png(two.to_dict())


def test_charts_are_on_paper_of_their_own_so_that_they_read_in_the_dark(make_log: MakeLog) -> None:
    assert make_log(events(3)).rates().chart().to_dict()["background"] == theme.PAPER


# -- into the notebook ---------------------------------------------------------------------------


def bundle_of(chart: Chart) -> tuple[dict[str, Any], dict[str, Any]]:
    found = chart._repr_mimebundle_()
    assert isinstance(found, tuple)
    return found


def test_the_notebook_gets_version_5_a_picture_and_words(make_log: MakeLog) -> None:
    chart = make_log(events(20)).rates().chart()
    bundle, metadata = bundle_of(chart)
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/png", "text/plain"}
    assert bundle["application/vnd.vegalite.v5+json"]["$schema"].endswith("/vega-lite/v5.json")
    assert bundle["text/plain"] == chart.to_dict()["description"]
    # The picture has twice the pixels of the size at which it is shown.
    width = int.from_bytes(bundle["image/png"][16:20], "big")
    assert metadata["image/png"]["width"] == width // 2


def test_nothing_in_the_bundle_is_fetched(make_log: MakeLog) -> None:
    bundle, _ = bundle_of(make_log(events(20)).timeline("s", SUMMARY).chart())
    bundle.pop("image/png")
    written = json.dumps(bundle)
    assert re.findall(r"https?://[^\"]+", written) == [renderer.SCHEMA]  # a name, never opened
    assert "<script" not in written


def test_the_menu_of_a_chart_sends_its_data_nowhere(make_log: MakeLog) -> None:
    bundle, _ = bundle_of(make_log(events(2)).rates().chart())
    actions = bundle[renderer.MIME]["usermeta"]["embedOptions"]["actions"]
    assert actions["editor"] is False


def pixels(picture: bytes) -> bytes:
    """The rows of a PNG, unpacked; its header has to be right for them."""
    found, at = b"", 8
    while at < len(picture):
        size = int.from_bytes(picture[at : at + 4], "big")
        kind, body = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(
            picture[at + 8 + size : at + 12 + size], "big"
        )
        found += body if kind == b"IDAT" else b""
        at += 12 + size
    return zlib.decompress(found)


def test_a_picture_is_packed_again_without_changing_it(make_log: MakeLog) -> None:
    spec = make_log(events(20)).rates().chart().to_dict()
    raw = vl_convert.vegalite_to_png(renderer.as_version_5(spec), vl_version="5.8", scale=2)
    packed = renderer.png(spec)
    assert len(packed) < len(raw) / 2
    assert packed[:33] == raw[:33]  # signature and header
    assert pixels(packed) == pixels(raw)
    assert packed == renderer.png(spec)


def test_a_chart_of_the_users_own_with_data_behind_a_url_still_shows() -> None:
    chart = alt.Chart("https://example.invalid/x.csv").mark_point().encode(x="a:Q")
    bundle, _ = renderer.render(chart.to_dict())
    assert set(bundle) >= {renderer.MIME, "text/plain"}


# -- into files ----------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would run and fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_an_html_file_stands_alone(make_log: MakeLog, tmp_path: Path) -> None:
    path = charts.save(make_log(events(20)).rates().chart(), tmp_path / "rates.html")
    page = Page(path.read_text())
    assert not any({"src", "href"} & set(attributes) for _, attributes in page.tags)
    assert "vegaEmbed" in path.read_text()
    labelled = [
        attributes["aria-label"] for _, attributes in page.tags if "aria-label" in attributes
    ]
    assert labelled[0].startswith("Events per 15 seconds by event type")


def test_hostile_text_stays_text_in_an_html_file(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log(events(60, HOSTILE, stream=HOSTILE[1]))
    path = charts.save(log.timeline(HOSTILE[1], SUMMARY).chart(), tmp_path / "timeline.html")
    page = Page(path.read_text())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2  # the library, and ours
    assert "img" not in tags
    assert path.read_text().count("</script>") == 2


def test_hostile_text_stays_text_in_an_svg_file(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log(events(60, HOSTILE[:2], stream=HOSTILE[1]))
    path = charts.save(log.timeline(HOSTILE[1]).chart(), tmp_path / "timeline.svg")
    tree = ElementTree.parse(path)
    names = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not {"script", "img", "foreignObject"} & names
    assert any("alert('type')" in (element.text or "") for element in tree.iter())


def test_a_png_file_has_twice_the_size(make_log: MakeLog, tmp_path: Path) -> None:
    chart = make_log(events(20)).rates().chart()
    path = charts.save(chart, tmp_path / "RATES.PNG")
    assert path.read_bytes() == renderer.png(chart.to_dict())


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "nowhere/chart.png"])
def test_a_file_that_cannot_be_written_says_what_to_do(
    make_log: MakeLog, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        charts.save(make_log(events(2)).rates().chart(), tmp_path / name)
    assert raised.value.hint


# -- rates ---------------------------------------------------------------------------------------


def test_stacked_bars_add_up_to_the_events_of_a_bucket(make_log: MakeLog) -> None:
    log = make_log(events(300, ("A", "A", "B", "C")))
    bars = values_of(log.rates(every="1 hour").chart())[0]
    assert sum(bar["events"] for bar in bars) == 300
    first = [bar for bar in bars if bar["when"] == "2026-06-01"]
    assert [(bar["label"], bar["base"], bar["top"]) for bar in first] == [
        ("A · 150", 0, 30),
        ("B · 75", 30, 45),
        ("C · 75", 45, 60),
    ]


def test_types_that_look_the_same_when_shortened_keep_their_own_rows(make_log: MakeLog) -> None:
    bars = values_of(make_log(events(30, HOSTILE[5:7])).rates().chart())[0]
    assert len({bar["label"] for bar in bars}) == 2


def test_too_many_buckets_are_drawn_together_and_the_subtitle_says_so(make_log: MakeLog) -> None:
    chart = make_log(events(1000)).rates(every="1 minute").chart()
    bars = values_of(chart)[0]
    assert len({bar["moment"] for bar in bars}) <= POINTS
    assert sum(bar["events"] for bar in bars) == 1000
    assert "3 buckets of 1 minute are drawn as one" in subtitle(chart)


# -- colours of groups ---------------------------------------------------------------------------


def coloured(chart: Chart) -> dict[str, str]:
    """Event type -> its colour."""
    panels = chart.to_dict()["vconcat"]
    scale = next(
        panel["encoding"]["color"]["scale"]
        for panel in panels
        if "color" in panel.get("encoding", {})
    )
    return {
        label.rpartition(" · ")[0]: colour
        for label, colour in zip(scale["domain"], scale["range"], strict=True)
    }


def test_a_type_has_one_colour_in_all_charts_of_a_log(make_log: MakeLog) -> None:
    rows = events(60, ("A", "A", "A", "B", "B", "C"), stream="s")
    rows += events(10, ("C", "C", "B", "D"), stream="other way round")
    log = make_log(rows)
    everywhere = coloured(log.rates().chart())
    assert len(set(everywhere.values())) == 4
    for narrowed in (
        log.timeline("s").chart(),
        log.timeline("other way round").chart(),
        log.where(types=["D", "C"]).rates().chart(),
        log.where(stream="other way round").rates(top=1).chart(),
    ):
        shown = coloured(narrowed)
        rest = {kind: colour for kind, colour in shown.items() if not kind.startswith("other (")}
        assert rest.items() <= everywhere.items()
        assert all(shown[kind] == theme.OTHER for kind in shown.keys() - rest.keys())


def test_a_type_has_one_shape_in_all_timelines(make_log: MakeLog) -> None:
    rows = [*events(9, ("A", "A", "B"), stream="s"), *events(3, ("B", "B", "A"), stream="t")]
    log = make_log(rows)
    shapes = [
        dict(
            zip(
                (label[0] for label in shape["domain"]),
                shape["range"],
                strict=True,
            )
        )
        for shape in (
            log.timeline(stream).chart().to_dict()["vconcat"][0]["encoding"]["shape"]["scale"]
            for stream in ("s", "t")
        )
    ]
    assert shapes[0] == shapes[1] == {"A": "circle", "B": "square"}


def test_rare_types_of_a_rich_log_take_colours_that_are_free(make_log: MakeLog) -> None:
    rows = events(200, tuple(f"T{number:02d}" for number in range(40)))
    rows += events(12, ("T00", "T30", "T31", "T39"), stream="rare")
    log = make_log(rows)
    shown = coloured(log.timeline("rare").chart())
    assert len(set(shown.values())) == 4
    assert shown["T00"] == coloured(log.rates().chart())["T00"]


# -- timeline ------------------------------------------------------------------------------------


def test_few_events_are_drawn_one_by_one_with_their_state(make_log: MakeLog) -> None:
    marks, balance, _ = values_of(make_log(events(10)).timeline("s", SUMMARY).chart())
    assert [mark["version"] for mark in marks] == list(range(1, 11))
    assert [step["value"] for step in balance] == [-2, -3, -3, -2, 0, 3, 7, 5, 4, 4]


def test_many_events_are_gathered_and_the_subtitle_says_so(make_log: MakeLog) -> None:
    log = make_log(events(5000))
    chart = log.timeline("s", SUMMARY).chart()
    marks, balance, _ = values_of(chart)
    assert sum(mark["events"] for mark in marks) == 5000
    assert len(balance) <= POINTS
    assert f"gathered in {POINTS} slices" in subtitle(chart)
    last = log.replay(SUMMARY).rows()[0]["balance"]
    assert Decimal(str(balance[-1]["value"])) == last
    assert all(step["low"] <= step["value"] <= step["high"] for step in balance)


def test_events_without_a_time_are_said_to_be_left_out(make_log: MakeLog) -> None:
    rows = [*events(3), {"stream_id": "s", "recorded_at": None}]
    chart = make_log(rows).timeline("s").chart()
    assert len(values_of(chart)[0]) == 3
    assert "1 event without a time not drawn" in subtitle(chart)


def test_a_stream_with_too_many_types_shares_a_row_among_the_rarest(make_log: MakeLog) -> None:
    kinds = tuple(f"T{number:02d}" for number in range(20))
    chart = make_log(events(60, kinds)).timeline("s").chart()
    assert len({mark["label"] for mark in values_of(chart)[0]}) == 12
    assert "20 types: the 11 most frequent have rows of their own" in subtitle(chart)


def test_columns_that_are_not_drawn_are_named(make_log: MakeLog) -> None:
    many = wb.Projection("many", {f"c{number}": wb.count() for number in range(6)})
    log = make_log(events(3))
    assert "not drawn: c4, c5" in subtitle(log.timeline("s", many).chart())
    assert len(log.timeline("s", many).chart(columns=["c5"]).to_dict()["vconcat"]) == 2


@pytest.mark.parametrize("options", [{"columns": ["balanc"]}, {"along": "space"}])
def test_options_that_mean_nothing_are_refused(make_log: MakeLog, options: Any) -> None:
    with pytest.raises(ConfigError):
        make_log(events(3)).timeline("s", SUMMARY).chart(**options)


# -- portfolio -----------------------------------------------------------------------------------


def balances(log: wb.EventLog, *, low: int, high: int) -> Table:
    """What ``over_time`` gives: 5,000 minutes of 10, but in one `low` and in one `high`."""
    return log.sql(
        "SELECT '2026-06-01T00:00Z'::TIMESTAMPTZ + to_minutes(n::BIGINT) AS moment, "
        f"CASE n WHEN 1234 THEN {low} WHEN 4321 THEN {high} ELSE 10 END::DECIMAL(18, 2) AS total, "
        "1 AS rows FROM range(5000) t(n)"
    )


def test_a_portfolio_gathers_many_moments_and_loses_no_peak(make_log: MakeLog) -> None:
    chart = balances(make_log([]), low=3, high=99).chart()
    slices = values_of(chart)[0]
    assert len(slices) <= POINTS
    assert {row["total"] for row in slices} == {10}  # the line alone would not show them
    assert min(row["low_total"] for row in slices) == 3
    assert max(row["high_total"] for row in slices) == 99
    assert f"5,000 moments, gathered in {POINTS} slices" in subtitle(chart)


def test_a_band_lies_where_its_peak_is(make_log: MakeLog) -> None:
    slices = values_of(balances(make_log([]), low=10, high=99).chart())[0]
    (band,) = [row for row in slices if row["low_total"] < row["high_total"]]
    peak = dt.datetime(2026, 6, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=4321)
    assert band["from"] <= peak.timestamp() * 1000 < band["until"]


def test_a_slice_begins_with_what_the_one_before_it_left(make_log: MakeLog) -> None:
    """A rise between two slices is in the band of the second."""
    over_time = make_log(events(1000)).history(SUMMARY).over_time("events_seen", every="1 minute")
    slices = values_of(over_time.chart())[0]
    assert [row["low_total"] for row in slices[1:]] == [row["total"] for row in slices[:-1]]
    assert slices[-1]["total"] == over_time.rows()[-1]["total"] == 1000


def test_few_moments_are_drawn_one_by_one(make_log: MakeLog) -> None:
    over_time = make_log(events(50)).history(SUMMARY).over_time("balance", every="1 minute")
    points = values_of(over_time.chart())[0]
    assert [Decimal(str(row["total"])) for row in points] == [
        row["total"] for row in over_time.rows()
    ]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 1, None], [0, 1]),
        ([Decimal("2.00"), Decimal(0)], [0, 1, 2]),
        ([-1, 2], [-1, 0, 1, 2]),
        ([0], [0]),
    ],
)
def test_small_counts_have_whole_numbers_on_their_axis(values: Any, ticks: list[int]) -> None:
    assert theme.value_axis(values).to_dict()["values"] == ticks


@pytest.mark.parametrize("values", [[0, 5], [0.5, 1], [Decimal("0.5")], [float("inf"), 1], []])
def test_other_values_have_ticks_where_they_fall(values: Any) -> None:
    assert theme.value_axis(values).to_dict() == {"tickCount": 4}


def test_a_history_asks_which_column_to_draw(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match="balance, events_seen"):
        make_log(events(3)).history(SUMMARY).chart()


# -- diff ----------------------------------------------------------------------------------------


def test_five_bad_rows_beside_ten_thousand_can_be_seen(make_log: MakeLog) -> None:
    bars = values_of(classes(make_log([]), match=10_000, corrupted=5).chart())[0]
    lengths = {bar["class"]: bar["length"] for bar in bars}
    written = {bar["class"]: bar["written"] for bar in bars}
    assert lengths["corrupted"] > 0.15 * lengths["match"]
    assert lengths["stale"] == 0
    assert (written["match"], written["corrupted"], written["stale"]) == (
        *("10,000  (99.95%)", "5  (0.05%)"),
        "0",
    )


def test_a_share_is_never_rounded_to_all_or_nothing(make_log: MakeLog) -> None:
    bars = values_of(classes(make_log([]), match=1_000_000, stale=1).chart())[0]
    assert [bar["written"] for bar in bars[:2]] == ["1,000,000  (>99.99%)", "1  (<0.01%)"]


def test_classes_have_fixed_colours_in_every_chart(make_log: MakeLog) -> None:
    summary = classes(make_log([]), match=1).chart().to_dict()
    columns = differing(make_log([]), ("a", "b")).chart().to_dict()
    for spec in (summary, columns):
        scale = spec["layer"][0]["encoding"]["color"]["scale"]
        assert scale["range"] == [theme.CLASSES[name] for name in scale["domain"]]
    assert len(set(theme.CLASSES.values())) == len(theme.CLASSES)


def test_the_heat_map_has_a_cell_for_each_column_and_class(make_log: MakeLog) -> None:
    cells = values_of(differing(make_log([]), ("a", "b")).chart())[0]
    assert [(cell["column"], cell["class"], cell["written"]) for cell in cells] == [
        ("a", "stale", "1,000"),
        ("a", "corrupted", "1"),
        ("b", "stale", "0"),
        ("b", "corrupted", "2"),
    ]


def test_a_heat_map_of_many_columns_says_how_many_it_shows(make_log: MakeLog) -> None:
    chart = differing(make_log([]), tuple(f"c{number}" for number in range(40))).chart()
    assert "30 of 40 columns are drawn" in subtitle(chart)


# -- finding the chart ---------------------------------------------------------------------------


def test_a_result_without_a_chart_says_which_have_one(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match="no chart of 'Query'") as raised:
        make_log([]).sql("SELECT 1 AS a").chart()
    assert "log.rates()" in str(raised.value.hint)


def test_what_is_no_result_has_no_chart() -> None:
    with pytest.raises(ConfigError, match="no chart of list"):
        charts.draw([])


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (charts.rates, lambda log: log.rates()),
        (charts.timeline, lambda log: log.timeline("s", SUMMARY)),
        (charts.portfolio, lambda log: log.history(SUMMARY).over_time("balance")),
        (charts.diff_summary, lambda log: classes(log, match=3)),
        (charts.diff_columns, lambda log: differing(log, ("a",))),
    ],
)
def test_each_chart_function_can_be_called_by_itself(
    make_log: MakeLog, function: Callable[[Any], Chart], result: Callable[[wb.EventLog], Table]
) -> None:
    log = make_log(events(3))
    assert function(result(log)).to_dict() == result(log).chart().to_dict()


def test_importing_the_workbench_does_not_import_altair() -> None:
    code = "import sys, workbench.log; print('altair' in sys.modules, 'vl_convert' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
