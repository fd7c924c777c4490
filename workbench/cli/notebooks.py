"""``workbench notebooks``: JupyterLab, opened on the notebooks that come with the workbench."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from workbench.cli import options, show
from workbench.errors import ConfigError, WorkbenchError, did_you_mean

EXAMPLES: Final = (
    "workbench notebooks",
    "workbench notebooks 08_incident",
    "workbench notebooks sagas --to ~/learning --no-browser",
    "workbench notebooks --copy --to /tmp/notebooks",
)

FIRST: Final = "00_start_here"
#: JupyterLab asks the internet for news, extensions and newer versions of itself unless it is told not to.
_OFFLINE: Final = (
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
)


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="Which one to open: 08_incident, or 08, or incident.",
            show_default=False,
            autocompletion=lambda: list(known()),
        ),
    ] = FIRST,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="Where the copies are, or are put."),
    ] = Path("workbench-notebooks"),
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Whether to open a browser, or only to print the address.",
        ),
    ] = True,
    copy: Annotated[bool, typer.Option("--copy", help="Copy them, and start nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Open JupyterLab on the notebooks that come with the workbench; by default on the first.

    They are copied into a folder of yours, and you may write in them as you like: a copy that is there already stays
    as it is. Nothing of it needs the internet, and JupyterLab is told not to ask for any. Ctrl-C ends it.

    --json copies, and prints what would be started.
    """
    notebooks = known()
    wanted = find(name, list(notebooks))
    copied, kept = _copy(notebooks, to)
    opened = (to / f"{wanted}.ipynb").resolve()
    command = [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={opened.parent}"),
        # In the address that is printed, too: who asked for no browser opens it by hand.
        f"--LabApp.default_url=/lab/tree/{opened.name}",
        *([] if browser else ["--no-browser"]),
        *_OFFLINE,
    ]
    if json:
        show.document(
            {"folder": to, "notebook": opened, "copied": copied, "kept": kept, "command": command}
        )
        return
    show.say(f"{len(copied)} notebooks were copied to {to}, {len(kept)} were there already.")
    if copy:
        show.say(f"Next: workbench notebooks {wanted} --to {to}")
        return
    sys.stdout.flush()
    os.execv(sys.executable, command)  # JupyterLab takes this process over, and its Ctrl-C


def folder() -> Path:
    """Return where the notebooks are: in an installed package ``workbench/notebooks``, in a checkout beside it."""
    package = Path(__file__).parents[1]
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def known() -> dict[str, Path]:
    """Return the notebooks that come with the workbench: name -> file, in the order in which they are read."""
    found = {path.stem: path for path in sorted(folder().glob("[0-9][0-9]_*.ipynb"))}
    if not found:
        message = "this installation has no notebooks."
        raise WorkbenchError(message, hint="install the workbench again, or clone its repository")
    return found


def find(name: str, names: list[str]) -> str:
    """Return the notebook that a user means: by its name, its number, or what comes behind that.

    >>> find("08", ["07_audit", "08_incident"]), find("audit", ["07_audit", "08_incident"])
    ('08_incident', '07_audit')

    Raises
    ------
    ConfigError
        There is none.
    """
    asked = Path(name).name.removesuffix(".ipynb")
    for one in names:
        number, _, words = one.partition("_")
        if asked in (one, number, words):
            return one
    message = f"there is no notebook {name!r}."
    raise ConfigError(message + did_you_mean(asked, names), hint=f"there are {', '.join(names)}")


def _copy(notebooks: dict[str, Path], to: Path) -> tuple[list[str], list[str]]:
    """Copy those that are not there; return the names of the copied ones, and of those that were."""
    copied: list[str] = []
    kept: list[str] = []
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, path in notebooks.items():
            target = to / path.name
            if target.exists():
                kept.append(name)
                continue
            part = to / f".{path.name}.part"
            shutil.copyfile(path, part)
            part.replace(target)
            copied.append(name)
    except OSError as error:
        message = f"notebooks cannot be copied to {to}: {error.strerror}"
        raise WorkbenchError(message, hint="name another folder with --to") from error
    return copied, kept
