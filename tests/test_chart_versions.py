"""Charts of a census and of an impact: compiled as JupyterLab does it, with plain, empty and hostile data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import vl_convert

import workbench as wb
from tests.fix_log import MakeLog
from tests.test_chart import HOSTILE, texts
from workbench.bundled import account_summary, sample
from workbench.charts import renderer, theme
from workbench.charts.renderer import Chart


def event(
    stream: str, kind: str, version: str | None, data: Any, minute: int = 0
) -> dict[str, Any]:
    return {
        "stream_id": stream, "event_type": kind, "schema_version": version, "data": json.dumps(data),
        "recorded_at": f"2026-01-01T00:{minute:02d}Z",
    }  # fmt: skip


def counting(over: int) -> wb.Projection:
    return wb.Projection(
        f"over_{over}", {"large": wb.count(where=wb.field("n") > over), "seen": wb.count()}
    )


def drawn(log: wb.EventLog, before: Any, after: Any) -> Iterator[Chart]:
    census = log.census()
    for result in (census, census.fields(), census.drift(), log.impact(before, after)):
        yield result.chart()


def rows(chart: Chart) -> list[dict[str, Any]]:
    return [row for found in chart.to_dict()["datasets"].values() for row in found]


@pytest.fixture(scope="module")
def bank() -> Iterator[wb.EventLog]:
    with wb.open() as log:
        log.load(wb.files(sample("bank").events), progress=False)
        yield log


@pytest.fixture(scope="module")
def plain(bank: wb.EventLog) -> list[Chart]:
    stricter = wb.Projection(
        "stricter",
        {**account_summary.columns, "risk_score": wb.count(on="WithdrawalMade")},
        key={"account_id": "event.stream_id"},
        ends="AccountClosed",
    )
    return list(drawn(bank, account_summary, stricter))


def test_each_is_drawn_by_the_library_in_jupyterlab(plain: list[Chart]) -> None:
    for chart in plain:
        spec = renderer.as_version_5(chart.to_dict())
        assert renderer.png(chart.to_dict()).startswith(b"\x89PNG")
        assert vl_convert.vegalite_to_vega(spec, vl_version=renderer.VEGALITE)["marks"]


def test_each_has_a_title_and_says_what_it_shows(plain: list[Chart]) -> None:
    for chart in plain:
        spec = chart.to_dict()
        assert spec["title"]["text"]
        assert len(spec["description"]) > 60


def test_each_holds_aggregates_alone(plain: list[Chart]) -> None:
    assert max(len(rows(chart)) for chart in plain) < 1_000


def test_a_census_shows_one_version_take_over_from_another(plain: list[Chart]) -> None:
    shares: dict[str, list[float]] = {}
    for row in rows(plain[0]):
        if row["label"].startswith("DepositMade"):
            shares.setdefault(row["label"], []).append(row["share"])
    old, new = shares["DepositMade v1 · 1,737"], shares["DepositMade v2 · 10,781"]
    assert (old[0], new[-1]) == (1, 1)
    assert old[-1] < 0.2
    assert new[0] < 0.3


def test_its_colours_say_what_decodes(plain: list[Chart]) -> None:
    status = {row["label"].partition(" · ")[0]: row["status"] for row in rows(plain[0])}
    assert status["DepositMade v1"] == "no chain"
    assert set(status.values()) == {"newest", "no chain"}


def test_fields_that_changed_within_a_version_are_framed(make_log: MakeLog) -> None:
    log = make_log(
        [event("a", "Paid", "1", {"n": "x"})] * 20 + [event("a", "Paid", "1", {"n": 1})] * 20
    )
    (cell,) = rows(log.census().fields().chart())
    assert cell["drift"] == "type: text → integer"
    assert "text → integer" in log.census().fields().chart().to_dict()["description"]


def test_of_many_versions_the_newest_are_drawn(make_log: MakeLog) -> None:
    log = make_log([event("a", "Paid", str(version), {"n": 1}) for version in range(1, 31)])
    chart = log.census().fields().chart()
    assert {row["version"] for row in rows(chart)} == {f"v{n}" for n in range(23, 31)}
    assert "the newest 8 of 30 versions are drawn" in str(chart.to_dict()["title"]["subtitle"])


def test_an_impact_grows_to_the_number_of_rows_that_differ(make_log: MakeLog) -> None:
    log = make_log([event(f"s{number}", "Paid", "1", {"n": 7}, number) for number in range(5)])
    impact = log.impact(counting(10), counting(5))
    drawn_rows = [row for row in rows(impact.chart()) if "differing" in row]
    assert max(row["differing"] for row in drawn_rows) == 5
    assert {row["class"] for row in drawn_rows} == {"changed"}


def test_of_nothing_they_say_so(make_log: MakeLog) -> None:
    for chart in drawn(make_log([]), counting(10), counting(5)):
        assert renderer.png(chart.to_dict()).startswith(b"\x89PNG")
    assert "none of 0 rows differs" in str(chart.to_dict()["title"]["subtitle"])


def test_hostile_names_are_text(make_log: MakeLog) -> None:
    log = make_log(
        [
            event(kind, kind, version, {name: {"n": number % 20}, "n": number % 20}, number % 60)
            for number, (kind, name, version) in enumerate(
                (kind, name, version) for kind in HOSTILE if kind for name in HOSTILE[:5] for version in (*HOSTILE[:2], None)
            )
        ]
    )  # fmt: skip
    for chart in drawn(log, counting(10), counting(5)):
        assert renderer.png(chart.to_dict()).startswith(b"\x89PNG")
        assert all(len(text) < 2_000 for text in texts(chart.to_dict()))
        assert b"<script>alert" not in renderer._page(chart.to_dict())


def test_theirs_are_the_themes_colours() -> None:
    from workbench.analysis.census.result import STATUSES
    from workbench.analysis.impact.result import CLASSES
    from workbench.charts.census import STATUSES as OF_VERSIONS
    from workbench.charts.impact import CLASSES as OF_ROWS

    assert tuple(OF_VERSIONS) == STATUSES
    assert tuple(OF_ROWS) == CLASSES
    assert len({*OF_VERSIONS.values()}) == len(STATUSES)
    assert {*OF_VERSIONS.values(), *OF_ROWS.values()} <= {*theme.GROUPS, theme.OTHER}
