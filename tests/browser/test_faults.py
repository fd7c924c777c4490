"""The checks can fail: each fault that they are for is planted, and has to be found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import checks
from tests.browser.lab import Lab, until

pytestmark = pytest.mark.slow

SLIDER = (
    "import ipywidgets\n"
    "slider = ipywidgets.IntSlider(1, 0, 9, description='position', continuous_update=False)\n"
    "state = ipywidgets.HTML('balance 1')\n"
    "{follow}\n"
    "ipywidgets.VBox([slider, state])"
)
PAYLOADS = {
    "script": "<script>window.pwned = 1</script>",
    "image": "<img src=x onerror='window.pwned = 1'>",
    "vector": "<svg onload='window.pwned = 1'></svg>",
    "link": "<a href='javascript:window.pwned = 1'>x</a>",
}
CELLS = {
    "works": SLIDER.format(
        follow="slider.observe(lambda change, state=state: setattr(state, 'value', f'balance {change.new}'), 'value')"
    ),
    "stale": SLIDER.format(follow="pass"),
    "raising": SLIDER.format(follow="slider.observe(lambda change: 1 / 0, 'value')"),
    "error": "1 / 0",
    "warning": "import warnings\nwarnings.warn('careful')",
    "cdn": (
        "import altair as alt\n"
        "alt.renderers.enable('html')\n"
        "alt.Chart(alt.InlineData([{'n': 1}])).mark_bar().encode(x='n:Q')"
    ),
    "call": (
        "import contextlib, urllib.request\n"
        "with contextlib.suppress(OSError):\n"
        "    urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://192.0.2.1')"
    ),
    "ink": "from IPython.display import HTML\nHTML('<p style=\"color:#212121\">ink</p>')",
    **{
        name: f"from IPython.display import HTML\nHTML({payload!r})"
        for name, payload in PAYLOADS.items()
    },
}


@pytest.fixture(scope="module")
def faulty(lab: Lab) -> Lab:
    """A notebook of faults; each test runs its own."""
    lab.write("faults.ipynb", list(CELLS.items()))
    return lab


@pytest.fixture(autouse=True)
def alone(faulty: Lab) -> Iterator[None]:
    """Begin and end without any fault."""
    checks.quiet(faulty)
    yield
    faulty.clear()


def moved(lab: Lab, tag: str) -> str:
    """Move the slider of a cell as a reader without a mouse does; return what the cell then shows."""
    lab.run_cell(tag)
    slider = lab.cell(tag).locator(".noUi-handle")
    slider.press("ArrowRight")
    until(
        lab.page,
        lambda: slider.get_attribute("aria-valuetext"),
        lambda at: at == "2",
        what="it stays",
    )
    state = lab.cell(tag).locator(".widget-html-content")
    return str(
        checks.changes(
            lab, lambda: state.inner_text(), lambda: slider.press("ArrowRight"), seconds=3
        )
    )


def test_a_view_that_follows_is_found_to(faulty: Lab) -> None:
    assert moved(faulty, "works").startswith("balance")
    checks.quiet(faulty)


def test_a_stale_view_is_found(faulty: Lab) -> None:
    with pytest.raises(AssertionError, match="did not change"):
        moved(faulty, "stale")
    checks.quiet(faulty)


def test_a_callback_that_raises_is_found(faulty: Lab) -> None:
    with pytest.raises(AssertionError, match="did not change"):
        moved(faulty, "raising")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        checks.quiet(faulty)


def test_an_error_of_a_cell_is_found(faulty: Lab) -> None:
    faulty.run_cell("error")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        checks.quiet(faulty)


def test_a_warning_is_found(faulty: Lab) -> None:
    faulty.run_cell("warning")
    with pytest.raises(AssertionError, match="careful"):
        checks.quiet(faulty)


def test_a_chart_that_asks_a_cdn_is_found(faulty: Lab) -> None:
    faulty.run_cell("cdn")
    faulty.page.wait_for_timeout(500)
    with pytest.raises(AssertionError, match="outside: https://"):
        checks.quiet(faulty)


def test_a_kernel_that_calls_out_is_found(faulty: Lab) -> None:
    noted = faulty.server.folder / "calls"
    before = noted.read_text()
    faulty.run_cell("call")
    with pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        checks.quiet(faulty)
    noted.write_text(before)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_that_is_not_escaped_is_found(faulty: Lab, name: str) -> None:
    faulty.run_cell(name)
    with pytest.raises(AssertionError, match="a payload"):
        checks.inert(faulty)


def test_text_that_fades_into_the_dark_is_found(faulty: Lab) -> None:
    faulty.run_cell("ink")
    checks.readable(faulty)
    faulty.theme(True)
    with pytest.raises(AssertionError, match="ink"):
        checks.readable(faulty)
    faulty.theme(False)


def test_a_picture_that_is_lost_is_found() -> None:
    before = [{"tables": ["a"], "pictures": 1, "text": "a"}]
    checks.same_as(before, before)
    for lost in ({"pictures": 0}, {"tables": []}, {"text": " "}):
        with pytest.raises(AssertionError):
            checks.same_as(before, [{**before[0], **lost}])
