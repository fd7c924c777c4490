"""Events are written by strangers: whatever stands in one is text, in every result and every chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.browser import checks
from tests.browser.lab import Lab, until

pytestmark = pytest.mark.slow

SCRIPT: Final = "<script>window.pwned = 1</script>"
IMAGE: Final = "<img src=x onerror='window.pwned = 2'>"
VECTOR: Final = "<svg onload='window.pwned = 3'><a href='javascript:window.pwned=4'>x</a></svg>"
LINK: Final = "</td></table><iframe srcdoc='<script>parent.pwned = 5</script>'></iframe>"
PAYLOAD: Final = {"note": SCRIPT, "amount": 5, IMAGE: VECTOR, "link": LINK}

#: A log whose types, streams, people, flows and payloads are all hostile, with a gap and a saga in it.
LOG: Final = f"""
import json, pathlib
import workbench as wb
events = [
    {{"stream_id": stream, "version": version, "event_type": kind, "recorded_at": f"2026-01-0{{version}}T00:00:00Z",
      "correlation_id": {IMAGE!r}, "actor": {VECTOR!r}, "event_id": f"{{stream}} {{version}}",
      "causation_id": None if version == 1 else f"{{stream}} {{version - 1}}", "data": {PAYLOAD!r}}}
    for stream in ({IMAGE!r}, {SCRIPT!r})
    for version, kind in ((1, {SCRIPT!r}), (2, {VECTOR!r}), (4, {LINK!r}))
]
path = pathlib.Path("hostile.ndjson")
path.write_text("\\n".join(map(json.dumps, events)))
log = wb.open()
_ = log.load(wb.files(path, name={IMAGE!r}), progress=False)
definition = wb.Projection({SCRIPT!r}, {{"total": wb.total("amount"), "note": wb.latest("note")}})
model = wb.read_model(
    log.replay(definition, version=1).df().assign(note={VECTOR!r}), name={SCRIPT!r})
saga = wb.Saga({IMAGE!r}, start={SCRIPT!r}, steps=[wb.Step({VECTOR!r}, {VECTOR!r})], cancelled={LINK!r})
letters = [
    {{"originalEvent": event, "error": {{"message": {IMAGE!r}, "type": {VECTOR!r}, "stack": {SCRIPT!r}}},
      "attempts": 3, "timestamp": "2026-01-09T00:00:00Z", "consumer": {LINK!r}}}
    for event in events
]
path = pathlib.Path("letters.ndjson")
path.write_text("\\n".join(map(json.dumps, letters)))
_ = log.load(wb.dead_letters(path, name={SCRIPT!r}), progress=False)
"""

CELLS: Final = [
    ("", LOG),
    ("health", "log"),
    ("events", "log.sql('FROM events')"),
    ("rates", "log.rates()"),
    ("rates chart", "log.rates().chart()"),
    ("replay", "log.replay(definition)"),
    ("history", "log.history(definition)"),
    ("timeline chart", f"log.timeline({SCRIPT!r}, definition).chart()"),
    ("diff", "found = log.diff(definition, model)\nfound"),
    ("diff chart", "found.chart()"),
    ("cells", "found.cells()"),
    ("explanation", "found.explain()"),
    ("audit", f"log.audit({IMAGE!r})"),
    ("audit chart", "log.audit().chart()"),
    ("census", "log.census()"),
    ("fields", "log.census().fields()"),
    ("sagas", "log.sagas(saga)"),
    ("causation", f"log.causation({IMAGE!r})"),
    ("causation chart", f"log.causation({IMAGE!r}).chart()"),
    ("dead letters", "log.dead_letters()"),
    ("dead letters chart", "log.dead_letters().chart()"),
    ("fingerprints", "log.dead_letters().fingerprints()"),
    ("log explorer", "log.explore()"),
    ("diff explorer", "found.explore()"),
    ("saga explorer", "log.sagas(saga).explore()"),
    ("dead letter explorer", "log.dead_letters().explore()"),
    ("time travel", "log.time_travel(definition)"),
    ("brush", "log.brush()"),
]
EXPLORERS: Final = ("log explorer", "diff explorer", "saga explorer", "dead letter explorer")


@pytest.fixture(scope="module")
def hostile(lab: Lab) -> Iterator[Lab]:
    """A notebook over a hostile log, run to its end."""
    lab.write("hostile.ipynb", CELLS)
    lab.run()
    yield lab
    checks.quiet(lab)


def test_no_payload_runs(hostile: Lab) -> None:
    checks.quiet(hostile)
    checks.inert(hostile)


@pytest.mark.parametrize(
    "tag", ["events", "replay", "history", "diff", "audit", "rates", "causation"]
)
def test_payloads_are_shown_as_they_are(hostile: Lab, tag: str) -> None:
    assert "<script>window.pwned = 1</script>" in hostile.text(tag)


@pytest.mark.parametrize("tag", [tag for tag, _ in CELLS if tag])
def test_each_cell_shows_something(hostile: Lab, tag: str) -> None:
    at = [tag for tag, _ in CELLS].index(tag)
    shown = hostile.shown()[at]
    assert shown["pictures"] == 1 if tag.endswith("chart") else len(shown["text"]) > 40


@pytest.mark.parametrize("tag", EXPLORERS)
def test_what_an_explorer_opens_is_text(hostile: Lab, tag: str) -> None:
    before = hostile.text(tag).count("window.pwned")
    rows = hostile.cell(tag).locator(".workbench-list").last.locator("select")
    rows.focus()
    rows.press("ArrowDown")
    until(
        hostile.page,
        lambda: hostile.text(tag).count("window.pwned"),
        lambda seen: seen > before,
        what="the payload of the row that was opened is not shown",
    )
    checks.inert(hostile)


def test_where_time_travel_goes_it_shows_text(hostile: Lab) -> None:
    checks.changes(
        hostile,
        lambda: hostile.text("time travel"),
        lambda: hostile.cell("time travel").locator(".noUi-handle").press("ArrowLeft"),
    )
    assert "window.pwned" in hostile.text("time travel")
    checks.inert(hostile)
