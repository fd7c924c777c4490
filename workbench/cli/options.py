"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from workbench.cli.definitions import BUNDLED
from workbench.errors import ConfigError

Log = Annotated[
    Path,
    typer.Argument(metavar="LOG", help="The DuckDB file of the log.", show_default=False),
]
DefinitionName = Annotated[
    str,
    typer.Argument(
        metavar="DEFINITION",
        help=f"MODULE:NAME, path/to/file.py:NAME, or {', '.join(BUNDLED)}.",
        show_default=False,
        autocompletion=lambda: list(BUNDLED),
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

_MOMENT = "Moment (inclusive)"
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="As it stood then: 2026-06-30T14:02Z.",
        rich_help_panel=_MOMENT,
    ),
]
ClockName = Annotated[
    Literal["recorded", "occurred"] | None,
    typer.Option(
        "--clock",
        help="Which time --as-of means: what was known then, or what was true then. By default the one "
        "that the log knows more of.",
        rich_help_panel=_MOMENT,
    ),
]
KnownAt = Annotated[
    str | None,
    typer.Option(
        "--known-at",
        metavar="TIME",
        help="What was believed then about --as-of.",
        rich_help_panel=_MOMENT,
    ),
]
Position = Annotated[
    int | None,
    typer.Option(
        "--position", metavar="N", help="Up to this position of the log.", rich_help_panel=_MOMENT
    ),
]
Version = Annotated[
    int | None,
    typer.Option(
        "--version", metavar="N", help="Up to this version of each stream.", rich_help_panel=_MOMENT
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="How to read times without an offset: UTC, Europe/Madrid.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write all rows to a .parquet, .csv or .json file.",
        show_default=False,
    ),
]

ROWS: Final = 10
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help=f"So many rows at most; by default {ROWS}, and all of them with --json.",
        show_default=False,
    ),
]


def most(limit: int | None, *, json: bool = False) -> int | None:
    """Return how many rows to show; None: all."""
    return ROWS if limit is None and not json else limit


def pairs(given: list[str], option: str, shape: str) -> list[tuple[str, str]]:
    """Read the values of an option that is ``NAME=VALUE``.

    >>> pairs(["actor=metadata.user"], "--column", "CANONICAL=SPEC")
    [('actor', 'metadata.user')]

    Raises
    ------
    ConfigError
        One has no name or no ``=``.
    """
    found = []
    for item in given:
        name, equals, value = item.partition("=")
        if not name or not equals:
            message = f"{option} {item!r} is not {shape}."
            raise ConfigError(message)
        found.append((name, value))
    return found
