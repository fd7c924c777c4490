"""``workbench report``: an investigation as one HTML page, for those who have no notebook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, models, options, show
from workbench.errors import ConfigError, WorkbenchError

if TYPE_CHECKING:
    from workbench.report import Stored

EXAMPLES: Final = (
    "workbench report case.duckdb -o report.html",
    "workbench report case.duckdb -o report.html \\",
    "    --definition bank.account_summary --model accounts.parquet \\",
    "    --version-column version",
    "workbench report shop.duckdb -o shop.html --saga checkout.saga --dated",
)

_ASKED: Final = "What is asked"


def run(
    log: options.Log,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The .html file to write; one that is there is replaced.",
            show_default=False,
        ),
    ],
    definition: Annotated[
        str | None,
        typer.Option(
            "--definition",
            metavar="DEFINITION",
            help="What --model should hold.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A read model to hold against the replay and explain: postgresql://…, or a .parquet, .csv or "
            ".duckdb file.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    saga: Annotated[
        str | None,
        typer.Option(
            "--saga",
            metavar="DEFINITION",
            help=f"A process to follow: MODULE:NAME, path/to/file.py:NAME, or {', '.join(definitions.BUNDLED_SAGAS)}.",
            rich_help_panel=_ASKED,
        ),
    ] = None,
    table: models.Table = None,
    query: models.Query = None,
    column: models.Column = None,
    tolerance: models.Tolerance = None,
    timezone: options.Timezone = None,
    version_column: models.VersionColumn = None,
    position_column: models.PositionColumn = None,
    positions: models.Positions = "log",
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    known_at: options.KnownAt = None,
    position: options.Position = None,
    title: Annotated[
        str | None,
        typer.Option("--title", help="What stands above it all; by default the log's name."),
    ] = None,
    dated: Annotated[
        bool,
        typer.Option(
            "--dated",
            help="Say when it was written.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Write an investigation down: one HTML page, without script, that needs no internet and prints well.

    Always: what is in the log, what can be vouched for, events over time, and dead letters where there are any.
    With --definition and --model: which rows are wrong, because of which events, and a plan of their repair.
    With --saga: what became of a process. Each answer stands beside the code that gives it.

    Exits with 0 whatever it finds.
    """
    _check(output, definition, model)
    from workbench import report as reports  # brings Altair

    stored: Stored | None = None
    if definition is not None and model is not None:
        stored = reports.Stored(
            definitions.find(definition),
            models.read(
                model,
                table=table,
                query=query,
                column=column,
                version=version_column,
                position=position_column,
                positions=positions,
                timezone=timezone,
            ),
            models.tolerances(tolerance),
        )
    followed = None if saga is None else definitions.find_saga(saga)
    moment = {"clock": clock, "known_at": known_at, "position": position}
    model_options = {
        "table": table,
        "query": query,
        "columns": dict(options.pairs(list(column or []), "--column", "THEIRS=OURS")) or None,
        "version": version_column,
        "position": position_column,
        "positions": None if positions == "log" else positions,
        "timezone": timezone,
    }
    with wb.open(log, read_only=True) as opened:
        asked = any(value is not None for value in (as_of, *moment.values()))
        found = reports.report(
            opened.as_of(as_of, clock=clock, known_at=known_at, position=position)
            if asked
            else opened,
            title=title or log.stem,
            stored=stored,
            saga=followed,
            setup=[
                *_opening(log, as_of, moment, definition is not None, saga is not None),
                *_naming("definition", "find", definition),
                *_reading(model, model_options),
                *_naming("saga", "find_saga", saga),
            ],
            written=dt.datetime.now(dt.UTC) if dated else None,
        )
    _write(found.html, output)
    if json:
        show.document(
            {
                "file": output,
                "sections": found.sections,
                "findings": [{"holds": item.holds, "says": item.says} for item in found.findings],
            }
        )
        return
    for item in found.findings:
        (show.concern if item.holds is False else show.say)(item.says)
    show.say(f"The report is in {output}: open it in a browser, or print it.")


def _check(output: Path, definition: str | None, model: str | None) -> None:
    if output.suffix.lower() not in (".html", ".htm"):
        message = f"{output}: a report is an HTML page."
        raise ConfigError(message, hint="end the name with .html")
    if not output.parent.is_dir():
        message = f"{output} cannot be written: there is no folder {output.parent}."
        raise ConfigError(message, hint="make the folder first")
    if (definition is None) != (model is None):
        given, absent = (
            ("--model", "--definition") if definition is None else ("--definition", "--model")
        )
        message = (
            f"{given} was given without {absent}: a read model is held against its definition."
        )
        raise ConfigError(message, hint=f"add {absent}")


def _write(page: str, path: Path) -> None:
    """Write the page: whole, or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise WorkbenchError(message, hint="check the disk and the folder's permissions") from error
    finally:
        part.unlink(missing_ok=True)


# -- the same in Python --------------------------------------------------------------------------


def _opening(
    log: Path, as_of: str | None, moment: Mapping[str, Any], definition: bool, saga: bool
) -> Iterator[str]:
    yield "import workbench as wb"
    finders = [name for name, wanted in (("find", definition), ("find_saga", saga)) if wanted]
    if finders:
        yield f"from workbench.cli.definitions import {', '.join(finders)}"
    yield ""
    yield f"log = wb.open({_place(str(log))!r}, read_only=True)"
    if as_of is not None or any(value is not None for value in moment.values()):
        yield f"log = log.as_of({_call(as_of, moment)})"


def _naming(name: str, finder: str, given: str | None) -> Iterator[str]:
    if given is not None:
        yield f"{name} = {finder}({_place(given)!r})"


def _reading(model: str | None, given: Mapping[str, Any]) -> Iterator[str]:
    if model is not None:
        yield f"model = wb.read_model({_call(_place(model), given)})"


def _call(first: str | None, given: Mapping[str, Any]) -> str:
    named = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    return ", ".join([*([] if first is None else [repr(first)]), *named])


def _place(given: str) -> str:
    """Name a file or a server as a report may: without a password, and without the folders of this machine."""
    if "://" in given:
        from workbench.sources.postgres.dsn import parse

        label = parse(given).label
        return (
            f"postgresql:///?{label}" if label.startswith("service=") else f"postgresql://{label}"
        )
    return Path(given).name if Path(given).is_absolute() else given
