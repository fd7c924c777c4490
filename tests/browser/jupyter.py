"""A JupyterLab of this environment: its own home, its own port, no network, and nothing left of it afterwards."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.notebooks import surroundings

_SETTINGS = {
    # Every cell is in the page, so that it can be looked at.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}
#: Its splash screen, asked for twice at once, is taken away twice, and the second time is an error of the page.
_WITHOUT = {"disabledExtensions": {"@jupyterlab/apputils-extension:splash": True}}
_UNTIL = 60.0


@dataclass(frozen=True)
class Jupyter:
    """A running server.

    Attributes
    ----------
    folder
        Everything that it writes is in here; notebooks are in ``folder/notebooks``.
    """

    folder: Path
    port: int
    token: str
    process: subprocess.Popen[bytes]

    @property
    def notebooks(self) -> Path:
        return self.folder / "notebooks"

    @property
    def calls(self) -> list[str]:
        """What its kernels tried to reach outside this machine; each kernel notes that it is watched."""
        noted = self.folder / "calls"
        return noted.read_text().splitlines() if noted.exists() else []

    def url(self, name: str) -> str:
        """The address of one notebook, alone on its page, in the layout of a first visit."""
        return f"http://127.0.0.1:{self.port}/doc/tree/{name}?token={self.token}&reset"

    def stop(self) -> None:
        """Shut the server and its kernels down.

        Raises
        ------
        AssertionError
            It would not go, or left a process behind; that is killed.
        """
        ask = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/shutdown",
            method="POST",
            headers={"Authorization": f"token {self.token}"},
        )
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(ask, timeout=10).close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        until = time.monotonic() + 20
        while (left := _left(self.folder)) and time.monotonic() < until:
            time.sleep(0.1)  # kernels end behind their server
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self.process.returncode == 0, self.log()
        assert not left, f"processes were left behind: {left}"

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


def start(folder: Path) -> Jupyter:
    """Start JupyterLab in an empty folder; return when it answers.

    Raises
    ------
    AssertionError
        It does not come up; the message holds its log.
    """
    environment = surroundings(folder)
    (folder / "notebooks").mkdir()
    config = Path(environment["JUPYTER_CONFIG_DIR"])
    written = {f"lab/user-settings/{name}": value for name, value in _SETTINGS.items()}
    for name, value in {**written, "labconfig/page_config.json": _WITHOUT}.items():
        path = config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={token}",
        ),
        *(f"--ServerApp.root_dir={folder / 'notebooks'}", "--LabApp.expose_app_in_browser=True"),
        *("--LabApp.extension_manager=readonly", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    server = Jupyter(folder, port, token, process)
    until = time.monotonic() + _UNTIL
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            message = f"JupyterLab did not start:\n{server.log()}"
            raise AssertionError(message)
        time.sleep(0.1)
    return server


def _answers(server: Jupyter) -> bool:
    address = f"http://127.0.0.1:{server.port}/api/status?token={server.token}"
    with (
        suppress(urllib.error.URLError, ConnectionError),
        urllib.request.urlopen(address, timeout=5),
    ):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _left(folder: Path) -> list[int]:
    """Return the processes that still work in a folder: kernels name their connection file in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
