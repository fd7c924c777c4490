"""Run a notebook as its reader would: a fresh kernel of this environment, an empty folder, no network."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
DEAD = "http://127.0.0.1:9"

#: Run by IPython before the first cell. It leaves no name behind, so a notebook has to import what it uses.
OFFLINE = """
def _offline():
    import os
    import socket

    def allowed(host):
        return host in (None, "", "127.0.0.1", "::1", "localhost")

    def note(line):
        with open(os.environ["WORKBENCH_TEST_CALLS"], "a") as file:
            file.write(f"{line}\\n")

    def refuse(where):
        note(where)
        raise OSError(f"no network in this test: {where}")

    def guarded(original):
        def call(self, address, *rest):
            if isinstance(address, tuple) and not allowed(address[0]):
                refuse(address)
            return original(self, address, *rest)

        return call

    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, guarded(getattr(socket.socket, name)))

    resolve = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        if not allowed(host):
            refuse(host)
        return resolve(host, *rest, **options)

    socket.getaddrinfo = getaddrinfo
    note("watching")


_offline()
del _offline
"""


#: Run in a process of its own: the client leaves sockets open, and warns of them.
#: Errors do not stop a notebook; a test of their own reports them all.
CLIENT = """
import sys
import nbformat
from nbclient import NotebookClient

source, target, folder = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
resources = {"metadata": {"path": folder}}
NotebookClient(notebook, resources=resources, timeout=240, allow_errors=True).execute()
nbformat.write(notebook, target)
"""


@dataclass(frozen=True)
class Executed:
    """A notebook after its run."""

    name: str
    notebook: Any
    folder: Path
    """Where it ran."""
    calls: list[str]
    """``watching``, then what it tried to reach outside this machine."""

    @property
    def outputs(self) -> list[Any]:
        return [output for cell in self.notebook.cells for output in cell.get("outputs", [])]

    @property
    def size(self) -> int:
        """Bytes of the notebook as it would be saved, without the state of progress bars."""
        kept = {key: value for key, value in self.notebook.metadata.items() if key != "widgets"}
        return len(json.dumps({**self.notebook, "metadata": kept}))

    def cells(self, tag: str) -> list[Any]:
        return [cell for cell in self.notebook.cells if tag in cell.metadata.get("tags", [])]

    def result(self, tag: str) -> Any:
        """The MIME bundle that the one cell with this tag ends in."""
        (cell,) = self.cells(tag)
        (output,) = [item for item in cell.outputs if item.output_type == "execute_result"]
        return output.data

    def text(self, tag: str) -> str:
        return str(self.result(tag)["text/plain"])

    def value(self, tag: str) -> Any:
        """The result of a cell that ends in plain Python values."""
        return ast.literal_eval(self.text(tag))

    def rows(self, tag: str, table: int = -1) -> list[dict[str, str]]:
        """The rows of a table that a cell ends in, as a reader sees them (the last one of several)."""
        parser = _Tables()
        parser.feed(self.result(tag)["text/html"])
        head, *body = parser.tables[table]
        return [dict(zip(head, row, strict=True)) for row in body]


def execute(name: str, folder: Path) -> Executed:
    """Run a notebook of the repository in an empty folder.

    Parameters
    ----------
    name
        Its file name, without the ending.
    folder
        An empty folder; the notebook runs in ``folder/run``, and its home is ``folder/home``.
    """
    run = folder / "run"
    run.mkdir()
    environment = surroundings(folder)
    source, target = FOLDER / f"{name}.ipynb", folder / f"{name}.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, source, target, run],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(target, as_version=4)
    return Executed(name, notebook, run, (folder / "calls").read_text().splitlines())


def surroundings(folder: Path) -> dict[str, str]:
    """Make a home for Jupyter in a folder, and return the environment in which it has no other and no network.

    What its kernels try to reach outside this machine is refused, and noted in ``folder/calls``.
    """
    home = folder / "home"
    startup = home / "ipython" / "profile_default" / "startup"
    spec = folder / "jupyter" / "kernels" / "python3"
    for path in (startup, spec):
        path.mkdir(parents=True)
    (startup / "offline.py").write_text(OFFLINE)
    kernel = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": kernel, "display_name": "test", "language": "python"})
    )
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    return {
        **{name: value for name, value in os.environ.items() if name.lower() != "no_proxy"},
        **dict.fromkeys([*proxies, *map(str.upper, proxies)], DEAD),
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PATH": str(folder / "jupyter"),
        "TMPDIR": str(folder),
        "WORKBENCH_TEST_CALLS": str(folder / "calls"),
    }


class _Tables(HTMLParser):
    """The tables of a page: rows of cells as text, the head first."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data
