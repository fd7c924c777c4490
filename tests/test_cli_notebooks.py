"""``workbench notebooks``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli import well, workbench
from tests.notebooks import FOLDER, NAMES, surroundings


def test_it_copies_them_all(tmp_path: Path) -> None:
    found = well("notebooks", "--to", tmp_path / "mine", "--json").json
    assert found["copied"] == NAMES
    assert found["notebook"] == str(tmp_path / "mine" / "00_start_here.ipynb")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        f"{name}.ipynb" for name in NAMES
    ]
    assert (tmp_path / "mine" / "07_audit.ipynb").read_bytes() == (
        FOLDER / "07_audit.ipynb"
    ).read_bytes()


def test_what_a_user_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "04_sagas.ipynb").write_text("mine")
    found = well("notebooks", "--to", tmp_path, "--json").json
    assert found["kept"] == ["04_sagas"]
    assert (tmp_path / "04_sagas.ipynb").read_text() == "mine"


@pytest.mark.parametrize("name", ["08_incident", "08", "incident", "08_incident.ipynb"])
def test_a_notebook_is_found_by_any_part_of_its_name(tmp_path: Path, name: str) -> None:
    found = well("notebooks", name, "--to", tmp_path, "--json").json
    assert found["notebook"].endswith("/08_incident.ipynb")


def test_a_notebook_that_is_not_there(tmp_path: Path) -> None:
    done = workbench("notebooks", "08_incidents", "--to", tmp_path / "mine")
    assert done.code == 2
    assert "Did you mean '08_incident'?" in done.err
    assert not (tmp_path / "mine").exists()


def test_copying_is_enough_when_that_is_asked_for(tmp_path: Path) -> None:
    done = well("notebooks", "--to", tmp_path, "--copy")
    assert f"{len(NAMES)} notebooks were copied" in done.out
    assert "Next: workbench notebooks 00_start_here" in done.out


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = workbench("notebooks", "--to", tmp_path / "file" / "inside", "--copy")
    assert done.code == 2
    assert "cannot be copied" in done.err


def test_it_is_told_to_ask_the_internet_for_nothing(tmp_path: Path) -> None:
    command = well("notebooks", "--to", tmp_path, "--no-browser", "--json").json["command"]
    assert "--LabApp.news_url=None" in command
    assert "--no-browser" in command


@pytest.mark.slow
def test_jupyterlab_opens_on_the_notebook(tmp_path: Path) -> None:
    environment = surroundings(tmp_path)
    config = Path(environment["JUPYTER_CONFIG_DIR"])
    config.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "ServerApp": {"port": port, "port_retries": 0, "allow_root": True},
        "IdentityProvider": {"token": "t"},
    }
    (config / "jupyter_server_config.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "workbench",
        "notebooks",
        "sagas",
        "--to",
        "mine",
        "--no-browser",
    ]
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while "/lab/tree/04_sagas.ipynb" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port}/api/contents/04_sagas.ipynb?token=t"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert json.load(answer)["type"] == "notebook"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
