"""A report: one page that stands alone, says what is true, and keeps payloads from doing anything."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from workbench.bundled import account_summary, checkout_saga, sample
from workbench.report import Report, Stored, report

BANK, SHOP = sample("bank"), sample("checkout")


class Parts(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]


@pytest.fixture(scope="module")
def bank() -> Iterator[wb.EventLog]:
    with wb.open() as log:
        log.load(wb.files(BANK.events, name="bank"), progress=False)
        yield log


@pytest.fixture(scope="module")
def shop() -> Iterator[wb.EventLog]:
    with wb.open() as log:
        log.load(wb.files(SHOP.events, name="checkout"), progress=False)
        for name in ("dead_letters", "dead_letters_axon", "dead_letters_wolverine"):
            path = SHOP.events.parent / f"{name}.parquet"
            log.load(wb.dead_letters(path, name=name), progress=False)
        yield log


def of_bank(log: wb.EventLog) -> Report:
    model = wb.read_model(BANK.read_model, version="version")
    setup = [
        "import workbench as wb",
        "from workbench.bundled import account_summary as definition, sample",
        "log = wb.open()",
        "_ = log.load(wb.files(sample('bank').events, name='bank'), progress=False)",
        "model = wb.read_model(sample('bank').read_model, version='version')",
    ]
    return report(log, title="The bank", stored=Stored(account_summary, model), setup=setup)


@pytest.fixture(scope="module")
def banks(bank: wb.EventLog) -> Report:
    return of_bank(bank)


@pytest.fixture(scope="module")
def shops(shop: wb.EventLog) -> Report:
    return report(shop, title="The shop", saga=checkout_saga)


# -- what it says --------------------------------------------------------------------------------


def test_what_is_wrong_stands_at_the_top(banks: Report) -> None:
    faults = Counter(fault["class"] for fault in json.loads(BANK.truth.read_text())["faults"])
    record, _, diff, why = banks.findings
    assert record.holds is True
    assert record.says == "25,000 events in 1,000 streams, in order and whole"
    assert diff.holds is False
    for name, rows in faults.items():
        assert f"{rows} {name}" in diff.says
    assert "35 of 39 wrong rows explained exactly" in why.says
    top = banks.html.partition("<section")[0]
    assert html.escape(diff.says) in top


def test_sagas_and_dead_letters_are_those_of_the_truth(shops: Report) -> None:
    sagas = json.loads(SHOP.truth.with_name("sagas_truth.json").read_text())
    letters = json.loads(SHOP.truth.with_name("dead_letters_truth.json").read_text())
    said = " ".join(finding.says for finding in shops.findings)
    for outcome, number in sagas["outcomes"].items():
        assert f"{number:,} {outcome}" in said
    assert f"{letters['dead_letters']} of {letters['distinct_events']} events" in said
    assert shops.sections == ("record", "vouching", "rates", "sagas", "dead-letters")


def test_one_wrong_row_is_followed_to_its_event(banks: Report) -> None:
    assert "One of them: acc-" in banks.html
    assert "from there on the row is not what it should be" in banks.html
    assert "UPDATE " in banks.html
    assert "nothing of it has been run" in banks.html


def test_a_right_read_model_is_said_to_be_right(bank: wb.EventLog) -> None:
    rows = bank.replay(account_summary).df()[["account_id", *account_summary.columns]]
    found = report(
        bank, title="x", stored=Stored(account_summary, wb.read_model(rows, name="copy"))
    )
    assert found.findings[2].holds is True
    assert "rows of copy equal the replay" in found.findings[2].says


def test_what_a_log_cannot_show_is_left_out(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a"}, {"stream_id": "a", "version": 3}])
    found = report(log, title="x")
    assert found.sections == ("record", "vouching")  # no time, no sagas, no dead letters
    assert found.findings[0].holds is False
    assert "Missing versions" in found.html


def test_an_empty_log_is_no_error() -> None:
    with wb.open() as log:
        found = report(log, title="nothing")
    assert found.findings[0].says == "the log is empty"


def test_a_narrowed_log_says_so(bank: wb.EventLog) -> None:
    assert "up to position 100" in report(bank.as_of(position=100), title="x").html


# -- the code ------------------------------------------------------------------------------------


def test_the_code_beside_each_answer_runs(banks: Report) -> None:
    *answers, setup = re.findall(r'<pre class="python">(.*?)</pre>', banks.html, re.DOTALL)
    names: dict[str, Any] = {}
    for block in (setup, *answers):
        exec(compile(html.unescape(block), "report", "exec"), names)
    assert names["found"].counts["corrupted"] == 14
    assert len(answers) >= 6
    names["log"].close()


# -- a page that stands alone --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["banks", "shops"])
def test_it_holds_no_script_and_asks_for_nothing(name: str, request: pytest.FixtureRequest) -> None:
    parts = Parts(request.getfixturevalue(name).html)
    allowed = {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "h3",
            "p",
            "ul",
            "ol",
            "li",
            "b",
            "a",
        ),
        *(
            "section",
            "div",
            "span",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "pre",
            "figure",
            "img",
        ),
    }
    assert set(parts.tags) <= allowed
    assert not [one for one in parts.attributes if one[1].startswith("on") or "://" in one[2]]
    assert {value[:1] for _, name, value in parts.attributes if name == "href"} == {"#"}
    sources = [value for _, name, value in parts.attributes if name == "src"]
    assert all(value.startswith("data:image/png;base64,") for value in sources)


def test_a_browser_is_told_to_run_and_fetch_nothing(banks: Report) -> None:
    assert "Content-Security-Policy" in banks.html
    assert "default-src 'none'" in html.unescape(banks.html)


def test_each_picture_says_what_it_shows(banks: Report) -> None:
    labels = [
        value for tag, name, value in Parts(banks.html).attributes if (tag, name) == ("img", "alt")
    ]
    assert len(labels) == Parts(banks.html).tags["figure"] == 4
    assert min(map(len, labels)) > 40


def test_it_is_small_enough_to_mail(banks: Report, shops: Report) -> None:
    assert max(len(banks.html), len(shops.html)) < 2_000_000


def test_the_time_is_said_when_asked_for(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a"}])
    now = dt.datetime(2026, 7, 1, 12, 30, tzinfo=dt.UTC)
    assert "2026-07-01 12:30:00Z" in report(log, title="x", written=now).html


# -- hostile events ------------------------------------------------------------------------------

EVIL = "<img src=x onerror=alert(1)></style></svg><script>alert(2)</script>\x1b[31m\x00"


@pytest.fixture
def hostile(make_log: MakeLog) -> wb.EventLog:
    return make_log(
        [
            {
                "stream_id": EVIL if version < 3 else "b",
                "version": version,
                "event_type": f"{EVIL}{version}",
                "recorded_at": f"2026-01-0{version}T00:00Z",
                "actor": EVIL,
                "correlation_id": EVIL,
                "data": {"amount": version, "note": EVIL},
            }
            for version in (1, 2, 4)
        ]
    )


def test_a_payload_is_text_wherever_it_stands(hostile: wb.EventLog) -> None:
    named = EVIL.rstrip("\0")  # no name in a query holds a NUL
    definition = wb.Projection(named, {"total": wb.total("amount"), "note": wb.latest("note")})
    rows = hostile.replay(definition, version=1).df()[["stream_id", "total", "note"]]
    stored = Stored(definition, wb.read_model(rows, name=named))
    saga = wb.Saga(named, start=f"{EVIL}1", steps=[wb.Step(named, f"{EVIL}2", deadline="1 hour")])
    found = report(hostile, title=EVIL, stored=stored, saga=saga, setup=[EVIL])
    parts = Parts(found.html)
    assert "script" not in parts.tags
    assert parts.tags["img"] == parts.tags["figure"]
    assert not [one for one in parts.attributes if one[1].startswith("on")]
    assert "&lt;script&gt;alert(2)" in found.html
    assert not [char for char in found.html if not char.isprintable() and char != "\n"]
    assert found.html.count("</style>") == 1


def test_it_reads_in_the_dark_and_on_paper(banks: Report, tmp_path: Path) -> None:
    style = banks.html.partition("<style>")[2].partition("</style>")[0]
    assert "@media screen and (prefers-color-scheme:dark)" in style
    assert "@media print" in style
