"""Each explorer, moved by mouse and by keyboard: what it then shows is what the log says, and so is its code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Locator

import workbench as wb
from tests.browser import checks
from tests.browser.lab import Lab, until
from workbench.bundled import account_summary, checkout_saga, sample

pytestmark = pytest.mark.slow

NAME = "widgets.ipynb"
ACCOUNT = "acc-000774"
SETUP: Final = (
    "import workbench as wb\n"
    "from workbench.bundled import account_summary, checkout_saga, sample\n"
    "bank, shop = sample('bank'), sample('checkout')\n"
    "log, orders = wb.open(), wb.open()\n"
    "_ = log.load(wb.files(bank.events, name='bank'), progress=False)\n"
    "_ = orders.load(wb.files(shop.events, name='checkout'), progress=False)\n"
    "_ = orders.load(wb.dead_letters(shop.events.parent / 'dead_letters.parquet', name='dlq'), progress=False)"
)
EXPLORERS: Final = {
    "travel": "log.time_travel(account_summary)",
    "account": f"log.time_travel(account_summary, {ACCOUNT!r})",
    "events": "log.explore()",
    "diff": "log.diff(account_summary, wb.read_model(bank.read_model, version='version')).explore()",
    "sagas": "orders.sagas(checkout_saga).explore()",
    "letters": "orders.dead_letters().explore()",
    "brush": "log.brush()",
}
CELLS: Final = [("", SETUP)] + [
    cell
    for name, code in EXPLORERS.items()
    for cell in (
        (name, f"{name} = {code}\n{name}"),
        (f"{name} code", f"print({name}.code)\nshown = {name}.value\nprint(len(shown))"),
    )
]
#: What the kernel holds, in KiB.
CELLS.append(
    (
        "memory",
        "import gc, pathlib, re\n_ = gc.collect()\n"
        "print(re.search(r'VmRSS:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])",
    )
)


@pytest.fixture(scope="module")
def log() -> Iterator[wb.EventLog]:
    with wb.open() as log:
        log.load(wb.files(sample("bank").events, name="bank"), progress=False)
        yield log


@pytest.fixture(scope="module")
def widgets(lab: Lab) -> Iterator[Lab]:
    """A notebook with one of each explorer, run to its end."""
    lab.write(NAME, CELLS)
    lab.run()
    yield lab
    checks.quiet(lab)


@pytest.fixture(autouse=True)
def nothing_goes_wrong(widgets: Lab) -> Iterator[None]:
    """After each test, since a callback that raises is heard in the kernel alone."""
    yield
    checks.quiet(widgets)


def shows(lab: Lab, tag: str, words: str | re.Pattern[str]) -> None:
    """Wait until an explorer shows some words."""
    until(
        lab.page, lambda: lab.text(tag), lambda seen: bool(re.search(words, seen)), what=f"{tag}: no {words!r}"
    )  # fmt: skip


def button(lab: Lab, tag: str, name: str) -> Locator:
    return lab.cell(tag).get_by_role("button", name=name)


def field(lab: Lab, tag: str, label: str) -> Locator:
    return lab.cell(tag).get_by_label(label, exact=True)


def went_on(lab: Lab, tag: str) -> tuple[str, str]:
    """What the next cell gets: the code that an explorer shows, and how many rows its value has."""
    *code, rows = lab.run_cell(f"{tag} code").strip().splitlines()
    return "\n".join(code), rows


# -- TimeTravel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def life(log: wb.EventLog) -> list[dict[str, Any]]:
    """The events of one account, in order."""
    return log.where(stream=ACCOUNT).sql("FROM events ORDER BY position").rows()


def told(event: dict[str, Any]) -> str:
    return f"version {event['version']} · position {event['position']:,}"


def test_time_travel_follows_the_keyboard(
    widgets: Lab, life: list[dict[str, Any]], log: wb.EventLog
) -> None:
    shows(widgets, "account", told(life[-1]))
    handle = widgets.cell("account").locator(".noUi-handle")
    for back in (2, 3):
        handle.press("ArrowLeft")
        shows(widgets, "account", told(life[-back]))
    at = life[-3]["position"]
    (row,) = log.replay(account_summary, position=at, stream=ACCOUNT).rows()
    assert f"{row['current_balance']:,}".replace(",", "") in widgets.text("account").replace(
        ",", ""
    )
    code, rows = went_on(widgets, "account")
    assert f"position={at}" in code
    assert rows == "1"


def test_time_travel_goes_where_its_number_is_typed(
    widgets: Lab, life: list[dict[str, Any]]
) -> None:
    number = widgets.cell("account").locator(".widget-readout")
    number.click()
    widgets.page.keyboard.press("Control+A")
    widgets.page.keyboard.type("2")
    widgets.page.keyboard.press("Enter")
    shows(widgets, "account", told(life[1]))


def test_time_travel_follows_the_mouse(widgets: Lab, life: list[dict[str, Any]]) -> None:
    button(widgets, "account", "Next event").click()
    shows(widgets, "account", told(life[2]))
    track = widgets.cell("account").locator(".noUi-target").bounding_box()
    assert track is not None
    middle = [told(event) for event in life[len(life) // 4 : -len(life) // 4]]
    widgets.page.mouse.click(track["x"] + track["width"] / 2, track["y"] + track["height"] / 2)
    until(
        widgets.page,
        lambda: widgets.text("account"),
        lambda seen: any(one in seen for one in middle),
        what="a click in the middle of the slider led elsewhere",
    )


def test_time_travel_over_all_rows_stays_with_one(widgets: Lab, log: wb.EventLog) -> None:
    last = log.sql("FROM events WHERE stream_type = 'account' ORDER BY position DESC").rows(1)[0]
    shows(widgets, "travel", f"position {len(log):,}")
    button(widgets, "travel", "Previous event").click()
    before = log.sql(
        f"FROM events WHERE stream_id = '{last['stream_id']}' ORDER BY position DESC"
    ).rows(2)[1]
    shows(widgets, "travel", told(before))
    assert before["stream_id"] in widgets.text("travel")


# -- LogExplorer ---------------------------------------------------------------------------------


def test_events_are_filtered_by_keyboard_and_opened_with_arrows(
    widgets: Lab, life: list[dict[str, Any]]
) -> None:
    stream = field(widgets, "events", "stream")
    stream.fill(ACCOUNT)
    stream.press("Enter")
    shows(widgets, "events", rf"1 to {min(50, len(life))} of {len(life)} events")
    rows = widgets.cell("events").locator(".workbench-list select")
    rows.focus()
    rows.press("ArrowDown")
    shows(widgets, "events", rf"v1, position {life[0]['position']:,}")
    rows.press("ArrowDown")
    shows(widgets, "events", rf"v2, position {life[1]['position']:,}")
    code, count = went_on(widgets, "events")
    assert f"log.where(stream='{ACCOUNT}')" in code.replace('"', "'")
    assert count == str(len(life))


def test_events_are_filtered_by_mouse(widgets: Lab, life: list[dict[str, Any]]) -> None:
    deposits = [event for event in life if event["event_type"] == "DepositMade"]
    option = widgets.cell("events").locator("option", has_text="DepositMade").first
    widgets.cell("events").locator("select[multiple]").select_option(
        value=option.get_attribute("value") or option.inner_text()
    )
    shows(widgets, "events", rf"of {len(deposits)} events")
    button(widgets, "events", "clear filters").click()
    shows(widgets, "events", r"1 to 50 of 25,000 events")
    button(widgets, "events", "next page").click()
    shows(widgets, "events", r"51 to 100 of 25,000 events")


def test_a_wrong_filter_is_told_in_the_widget(widgets: Lab) -> None:
    start = field(widgets, "events", "from")
    start.fill("yesterday")
    start.press("Enter")
    shows(widgets, "events", "✗ .*yesterday")
    button(widgets, "events", "clear filters").click()
    until(
        widgets.page,
        lambda: widgets.text("events"),
        lambda seen: "✗" not in seen,
        what="still told",
    )


# -- DiffExplorer --------------------------------------------------------------------------------


def test_a_wrong_row_is_opened_and_explained(widgets: Lab) -> None:
    part = field(widgets, "diff", "key has")
    part.fill("774")
    part.press("Enter")
    shows(widgets, "diff", "1 to 1 of 1 row")
    rows = widgets.cell("diff").locator(".workbench-list select")
    rows.focus()
    rows.press("ArrowDown")
    shows(widgets, "diff", "transaction_count")
    button(widgets, "diff", "explain this row").click()
    shows(widgets, "diff", "skipped")
    until(
        widgets.page,
        lambda: widgets.cell("diff").locator("img").count(),
        lambda drawn: drawn >= 1,
        what="no histories were drawn",
    )


def test_classes_are_chosen_with_the_mouse(widgets: Lab) -> None:
    part = field(widgets, "diff", "key has")
    part.fill("")
    part.press("Enter")
    for name in ("orphaned", "missing", "stale"):
        button(widgets, "diff", name).click()
    shows(widgets, "diff", "of 14 rows")
    code, count = went_on(widgets, "diff")
    assert code.endswith(".of('corrupted')")
    assert count == "14"


# -- SagaExplorer --------------------------------------------------------------------------------


def test_sagas_are_listed_by_outcome_and_opened(widgets: Lab) -> None:
    button(widgets, "sagas", "stuck 9").click()
    shows(widgets, "sagas", "of 9 sagas")
    rows = widgets.cell("sagas").locator(".workbench-list select")
    rows.focus()
    rows.press("ArrowDown")
    shows(widgets, "sagas", r"outcome\s+stuck")
    until(
        widgets.page,
        lambda: widgets.cell("sagas").locator("img").count(),
        lambda drawn: drawn >= 1,
        what="no bars were drawn",
    )
    code, count = went_on(widgets, "sagas")
    assert code.endswith(".of('stuck')")
    assert count == "9"


def test_sagas_that_wait_are_listed_with_the_keyboard(widgets: Lab) -> None:
    with wb.open() as orders:
        orders.load(wb.files(sample("checkout").events, name="checkout"), progress=False)
        waiting = len(orders.sagas(checkout_saga).stuck())
    button(widgets, "sagas", "not going on").press("Space")
    shows(widgets, "sagas", f"of {waiting:,} sagas")


# -- DeadLetterExplorer --------------------------------------------------------------------------


def test_dead_letters_are_filtered_and_opened_with_the_keyboard(widgets: Lab) -> None:
    ways = widgets.cell("letters").locator(".workbench-list").first.locator("select")
    first = re.sub(r"\s+", " ", ways.locator("option").nth(1).inner_text()).strip()
    (number,) = re.findall(r"^(?:new )?(\d+) ", first)
    ways.focus()
    ways.press("Home")
    ways.press("ArrowDown")
    shows(widgets, "letters", f"of {number} dead letters")
    rows = widgets.cell("letters").locator(".workbench-list").last.locator("select")
    rows.focus()
    rows.press("ArrowDown")
    shows(widgets, "letters", r"Dead letter \d+: ")
    code, count = went_on(widgets, "letters")
    assert ".where(fingerprint=" in code
    assert count == number


def test_a_dry_run_is_planned_with_the_mouse_and_sends_nothing(widgets: Lab) -> None:
    widgets.cell("letters").locator(".workbench-list").first.locator("option").first.click()
    consumers = field(widgets, "letters", "consumer")
    named = consumers.locator("option", has_text="payment-service").inner_text()
    consumers.select_option(label=named)
    (number,) = re.findall(r"\((\d+)\)", named)
    shows(widgets, "letters", f"of {number} dead letters")
    rows = widgets.cell("letters").locator(".workbench-list").last.locator("select option")
    rows.nth(1).click()
    shows(widgets, "letters", r"role\s+root: failed by itself")
    button(widgets, "letters", "pick dead letter").click()
    button(widgets, "letters", "dry run of a re-drive: 1 picked").click()
    shows(widgets, "letters", r"\.where\(condition=.*\)\.redrive\(\)")
    assert "a dry run: nothing was sent" in widgets.text("letters")


# -- Brush ---------------------------------------------------------------------------------------


def test_a_range_is_brushed_with_the_mouse(widgets: Lab) -> None:
    chart = widgets.cell("brush").locator("svg.marks").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None

    def drag() -> None:
        mouse, height = widgets.page.mouse, box["y"] + 100
        mouse.move(box["x"] + box["width"] * 0.4, height)
        mouse.down()
        mouse.move(box["x"] + box["width"] * 0.6, height, steps=8)
        mouse.up()

    def counted() -> str:
        return re.findall(r"([\d,]+) of 25,000 events", widgets.text("brush"))[0]

    checks.changes(widgets, counted, drag)
    widgets.page.wait_for_timeout(500)  # a brush arrives in steps
    code, rows = went_on(widgets, "brush")
    assert ".between(" in code
    assert f"{int(rows):,}" == counted()
    assert 1_000 < int(rows) < 15_000


def test_a_range_is_typed(widgets: Lab, log: wb.EventLog) -> None:
    start, end = "2026-01-01T00:00Z", "2026-02-01T00:00Z"
    for label, value in (("from", start), ("before", end)):
        field(widgets, "brush", label).fill(value)
        field(widgets, "brush", label).press("Enter")
    shows(widgets, "brush", f"{len(log.between(start, end)):,} of 25,000 events")


# -- all of them ---------------------------------------------------------------------------------


def test_memory_stays_flat_over_200_moves(widgets: Lab, log: wb.EventLog) -> None:
    handle = widgets.cell("travel").locator(".noUi-handle")

    def moved(times: int) -> None:
        for _ in range(times):
            checks.changes(
                widgets, lambda: widgets.text("travel"), lambda: handle.press("ArrowLeft")
            )

    moved(20)
    before = widgets.memory() | {"kernel": int(widgets.run_cell("memory"))}
    moved(200)
    after = widgets.memory() | {"kernel": int(widgets.run_cell("memory"))}
    grown = {name: after[name] / before[name] for name in before}
    assert max(grown.values()) < 1.1, f"grown: {grown}, from {before}"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_of_them_can_be_read(widgets: Lab, dark: bool) -> None:
    widgets.theme(dark)
    checks.readable(widgets)


def test_each_leaves_a_picture_for_who_has_no_kernel(
    widgets: Lab, reopened: Callable[[Lab, str], list[dict[str, Any]]]
) -> None:
    widgets.theme(False)
    widgets.save()
    shown = reopened(widgets, NAME)
    tags = [tag for tag, _ in CELLS]
    for name in EXPLORERS:
        seen = shown[tags.index(name)]
        assert seen["tables"], name
        assert not re.search("Error displaying|Loading widget", seen["text"]), seen["text"][:200]
