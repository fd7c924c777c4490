"""A JupyterLab for the whole run, and in each module of tests a browser and a page of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser.jupyter import Jupyter
    from tests.browser.lab import Lab


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Start a server, and see to it that nothing of it stays."""
    from tests.browser.jupyter import start

    server = start(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab(jupyter: Jupyter) -> Iterator[Lab]:
    """Open a page; the browser goes with the module, since Playwright holds the thread's event loop until then."""
    from tests.browser.lab import Lab, browser

    with browser() as chromium:
        context = chromium.new_context(viewport={"width": 1200, "height": 900})
        yield Lab(jupyter, context)
        context.close()


@pytest.fixture(scope="module")
def reopened() -> Callable[[Lab, str], list[dict[str, Any]]]:
    """Open a saved notebook as a colleague would: another file, not trusted, and no kernel for it."""

    def open_again(lab: Lab, name: str) -> list[dict[str, Any]]:
        import nbformat

        notebook = nbformat.read(lab.server.notebooks / name, as_version=4)
        # Another content than the one that was signed when it was saved; and a kernel that is not here.
        # (Of another language, too: JupyterLab would take any kernel that speaks the notebook's.)
        elsewhere = {"name": "elsewhere", "display_name": "Elsewhere", "language": "elsewhere"}
        notebook.metadata.update(kernelspec=elsewhere, language_info={"name": "elsewhere"})
        nbformat.write(notebook, lab.server.notebooks / f"again-{name}")
        lab.open(f"again-{name}", kernel=False)
        lab.page.wait_for_timeout(500)
        return lab.shown()

    return open_again
