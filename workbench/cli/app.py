"""The application: its verbs, what every verb has in common, and the exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Annotated, Final

import typer

from workbench.cli import (
    audit,
    causation,
    census,
    diff,
    dlq,
    doctor,
    explain,
    generate,
    health,
    impact,
    load,
    notebooks,
    reconcile,
    replay,
    report,
    sagas,
    show,
    tour,
    verify,
)
from workbench.errors import WorkbenchError

INTERRUPTED: Final = 130
DEFECT: Final = 3
_DUCKDB_INTERRUPTED: Final = "Query interrupted"
"""What DuckDB raises, as a RuntimeError, when Ctrl-C meets it inside a query."""

app = typer.Typer(
    name="workbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # main() says what went wrong, in one line
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The verbs by what they are for, as the help shows them.
VERBS: Final[Mapping[str, Sequence[ModuleType]]] = {
    "Begin": (tour, load, health, generate, doctor, notebooks),
    "What was so, and is the read model right": (replay, diff, explain, reconcile),
    "What happened": (sagas, dlq, causation),
    "What was recorded, and in which shape": (audit, verify, census, impact),
    "Hand it on": (report,),
}
for panel, modules in VERBS.items():
    for module in modules:
        app.command(
            module.__name__.rpartition(".")[2],
            help=show.paragraphs(module.run.__doc__),
            epilog=show.examples(*module.EXAMPLES),
            rich_help_panel=panel,
        )(module.run)


def _version(wanted: bool) -> None:
    if wanted:
        python = ".".join(map(str, sys.version_info[:3]))
        show.say(f"workbench {version('workbench')} (DuckDB {version('duckdb')}, Python {python})")
        raise typer.Exit


_ABOUT: Final = """
Load event streams into one DuckDB file, replay them to any moment, diff read models against them.

LOG is that file. DEFINITION says how rows are made from events: MODULE:NAME, path/to/file.py:NAME, or one that
comes with the workbench: bank.account_summary, bank.account, checkout.order_summary; checkout.saga for a saga.

Every verb takes --json: then stdout holds one JSON document and nothing else. Decimals are strings, times are
ISO 8601 in UTC, durations are seconds.

Exit status: 0 fine, 1 differences found, or something else amiss that the help of the verb names, 2 an error that the
message explains, 3 a defect of the workbench, 130 interrupted.
"""


@app.callback(
    help=show.paragraphs(_ABOUT),
    epilog=show.examples(
        "workbench tour",
        "workbench load incident.duckdb 'events/*.parquet'",
        "workbench diff incident.duckdb mine.py:accounts accounts.parquet",
        "workbench replay --help",
    ),
)
def _workbench(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say the version."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; so does WORKBENCH_DEBUG=1."),
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process with its exit status."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    given = [arg for arg in args if arg != "--debug"]  # wherever it stands
    debug = len(given) < len(args) or os.environ.get("WORKBENCH_DEBUG", "") not in ("", "0")
    try:
        code = app(args=given, prog_name="workbench", standalone_mode=False)
    except typer.TyperException as error:
        _usage(error)
        return 2
    except WorkbenchError as error:
        return _failed(str(error), error, 2, debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as error:  # the last line of defence: no traceback for people who did not ask
        if str(error) == _DUCKDB_INTERRUPTED:
            return _interrupted()
        said = f"{type(error).__name__}: {error}\n  → this is a defect; --debug shows where"
        return _failed(said, error, DEFECT, debug=debug)
    return _interrupted() if code == INTERRUPTED else code if isinstance(code, int) else 0


def _interrupted() -> int:
    show.error("interrupted\n  → what was committed stays; the same command goes on from there")
    return INTERRUPTED


def _failed(said: str, error: Exception, code: int, *, debug: bool) -> int:
    show.error(said)
    if debug:
        traceback.print_exception(error)
    return code


def _usage(error: typer.TyperException) -> None:
    context = getattr(error, "ctx", None)
    said = error.format_message().strip()
    if not said:  # no verb was given, and its help is on the screen
        return
    path = "workbench" if context is None else context.command_path
    show.error(f"{said}\n  → {path} --help shows what it takes")
