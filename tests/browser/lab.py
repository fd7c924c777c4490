"""A notebook in a real browser: opened, run, saved and looked at as its reader would, and listened to all the while."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, sync_playwright

from tests.browser.jupyter import Jupyter

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ABSENT = (
    "the notebooks are tested in a real browser, and there is no Chromium and no Chrome on the path: "
    "apt-get install --no-install-recommends chromium, or name one in WORKBENCH_TEST_CHROMIUM"
)
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_WAIT = 120_000

_READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return Boolean(panel?.context?.isReady && panel.content?.widgets?.length);
}"""
#: An error in the callback of a widget reaches neither a cell nor the console: only the kernel's own messages tell.
#: (JupyterLab asks every kernel for its widgets as it is opened, and one without ipywidgets says that it has none.)
_LISTEN = """() => {
    window.kernelProblems = [];
    const session = window.jupyterapp.shell.currentWidget.sessionContext;
    session.iopubMessage.connect((_, message) => {
        const content = message.content;
        if (message.header.msg_type === 'error') {
            window.kernelProblems.push(`kernel: ${content.ename}: ${content.evalue}`);
        } else if (message.header.msg_type === 'stream' && content.name === 'stderr'
                   && !content.text.startsWith('No such comm')) {
            window.kernelProblems.push(`kernel, stderr: ${content.text}`);
        }
    });
}"""
_IDLE = """() => {
    const session = window.jupyterapp.shell.currentWidget.sessionContext;
    return session.session?.kernel?.status === 'idle';
}"""
_RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
_RUN_ONE = """index => {
    const panel = window.jupyterapp.shell.currentWidget;
    panel.content.deselectAll();
    panel.content.activeCellIndex = index;
    return window.jupyterapp.commands.execute('notebook:run-cell');
}"""
_CLEAR = """async () => {
    await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs');
    window.kernelProblems = [];
    delete window.pwned;
}"""
_SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
_THEME = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"


class Lab:
    """One page with one notebook at a time."""

    def __init__(self, server: Jupyter, context: BrowserContext) -> None:
        self.server = server
        self._heard: list[str] = []
        self._tags: list[tuple[str, ...]] = []
        context.set_default_timeout(_WAIT)
        context.route("**/*", self._only_here)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self._heard.append(f"page: {error.stack or error}"))
        self.page.on("websocket", lambda socket: self._note_outside(socket.url))
        self.page.on(
            "console",
            lambda said: (
                self._heard.append(f"console: {said.text}") if said.type == "error" else None
            ),
        )

    # -- what is heard ---------------------------------------------------------------------------

    @property
    def problems(self) -> list[str]:
        """Errors of the page, its console and the kernel, and what was asked of other machines."""
        return [*self._heard, *self.page.evaluate("() => window.kernelProblems ?? []")]

    def clear(self) -> None:
        """Begin anew: no outputs, and nothing heard; for tests that cause problems on purpose."""
        self.page.evaluate(_CLEAR)
        self.page.wait_for_timeout(100)
        self._heard.clear()

    def _only_here(self, route: Route) -> None:
        if self._note_outside(route.request.url):
            route.abort()
        else:
            route.continue_()

    def _note_outside(self, url: str) -> bool:
        parts = urlsplit(url)
        outside = parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1"
        if outside:
            self._heard.append(f"outside: {url}")
        return outside

    # -- what a reader does ----------------------------------------------------------------------

    def open(self, name: str, *, kernel: bool = True) -> None:
        """Open a notebook of the server's folder; with ``kernel=False`` one whose kernel this machine lacks."""
        notebook = nbformat.read(self.server.notebooks / name, as_version=4)
        self._tags = [tuple(cell.metadata.get("tags", [])) for cell in notebook.cells]
        self.page.goto(self.server.url(name))
        self.page.wait_for_function(_READY)
        if not kernel:
            dialog = self.page.locator(".jp-Dialog")
            dialog.locator("select").select_option(label="No Kernel")
            dialog.locator("button.jp-mod-accept").click()
            dialog.wait_for(state="detached")
            return
        self.page.evaluate(_LISTEN)
        self.page.wait_for_function(_IDLE)

    def write(self, name: str, cells: Sequence[tuple[str, str]]) -> None:
        """Write a notebook of (tag, code) into the server's folder, and open it."""
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(code, metadata={"tags": [tag]} if tag else {})
                for tag, code in cells
            ],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "test", "language": "python"}
            },
        )
        nbformat.write(notebook, self.server.notebooks / name)
        self.open(name)

    def run(self) -> None:
        """Run all cells; returns when the last one is done and its outputs are there."""
        self.page.evaluate(_RUN)
        self.page.wait_for_function(_IDLE)
        self.page.wait_for_timeout(300)  # charts are drawn after their message has come

    def run_cell(self, tag: str) -> str:
        """Run one cell again, as a reader does who goes on from what a widget shows; return what it shows."""
        self.page.evaluate(_RUN_ONE, self._index(tag))
        self.page.wait_for_function(_IDLE)
        return self.text(tag)

    def save(self) -> None:
        self.page.evaluate(_SAVE)

    def theme(self, dark: bool) -> None:
        """Change the theme as the menu does."""
        self.page.evaluate(_THEME, f"JupyterLab {'Dark' if dark else 'Light'}")
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light", arg="false" if dark else "true"
        )

    # -- what a reader sees ----------------------------------------------------------------------

    def cell(self, tag: str) -> Locator:
        """The outputs of the one cell that has this tag."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        return cells.nth(self._index(tag)).locator(".jp-Cell-outputArea")

    def _index(self, tag: str) -> int:
        (index,) = [at for at, tags in enumerate(self._tags) if tag in tags]
        return index

    def text(self, tag: str) -> str:
        return self.cell(tag).inner_text()

    def shown(self) -> list[dict[str, Any]]:
        """What each cell shows: its tables as text, and how many pictures are really drawn."""
        found: list[dict[str, Any]] = self.page.evaluate(_SHOWN)
        return found

    def memory(self) -> dict[str, float]:
        """What the page holds once its garbage is collected: bytes of JavaScript, and nodes."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        session.send("Performance.enable")
        found = session.send("Performance.getMetrics")["metrics"]
        session.detach()
        metrics = {one["name"]: one["value"] for one in found}
        return {name: metrics[name] for name in ("JSHeapUsedSize", "Nodes")}


#: A canvas counts when it holds more than one colour, an image when it could be decoded.
_SHOWN = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(cell => {
    const area = cell.querySelector('.jp-Cell-outputArea');
    if (!area) return {tables: [], pictures: 0, text: ''};
    const drawn = canvas => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const pixels = new Uint32Array(data.buffer);
        return pixels.some(pixel => pixel !== pixels[0]);
    };
    const canvases = [...area.querySelectorAll('canvas')].filter(drawn).length;
    const images = [...area.querySelectorAll('img')].filter(one => one.complete && one.naturalWidth > 1).length;
    const vectors = [...area.querySelectorAll('svg.marks')].filter(one => one.querySelector('path, text')).length;
    return {
        tables: [...area.querySelectorAll('table')].map(table => table.innerText),
        pictures: canvases + images + vectors,
        text: area.innerText,
    };
})"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium without a window, and end it.

    Raises
    ------
    AssertionError
        There is none; the message says how to get it. The tests are not skipped.
    """
    there = filter(None, (os.environ.get("WORKBENCH_TEST_CHROMIUM"), *map(shutil.which, BROWSERS)))
    executable = next(there, None)
    assert executable is not None, ABSENT
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield started
        finally:
            started.close()


def until(
    page: Page,
    seen: Callable[[], Any],
    wanted: Callable[[Any], bool],
    *,
    what: str,
    seconds: float = 30,
) -> Any:
    """Look again until what is seen is as wanted.

    Raises
    ------
    AssertionError
        It never was; the message shows what was seen last.
    """
    last = seen()
    for _ in range(int(seconds * 20)):
        if wanted(last):
            return last
        page.wait_for_timeout(50)
        last = seen()
    message = f"{what}; last seen: {json.dumps(last, default=str)[:2_000]}"
    raise AssertionError(message)
