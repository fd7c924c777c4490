"""``workbench verify``: whether an evidence pack, or the file of a log, is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

import workbench as wb
from workbench.cli import options, show

EXAMPLES: Final = (
    "workbench verify evidence",
    "workbench verify evidence --seal $(cat seal.txt)",
    "workbench verify bank.duckdb || echo 'restore it from a copy'",
)


def run(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|LOG",
            help="The folder of an evidence pack, or the DuckDB file of a log.",
            show_default=False,
        ),
    ],
    seal: Annotated[
        str | None,
        typer.Option(
            "--seal",
            metavar="SHA256",
            help="The seal that was noted down when the pack was written.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Verify an evidence pack, or the file of a log, without the original.

    Of a pack each file, each event and the hash chain are computed anew; without its seal it can only be held
    against itself. Of a log each block of the file is held against its checksum.

    Exits with 1 when anything is not as it was written.
    """
    found = wb.verify(path, seal=seal)
    if json:
        show.document(
            {
                "of": path,
                "kind": found.kind,
                "ok": found.ok,
                "findings": [{"file": item.file, "what": item.what} for item in found.findings],
                **dict(found.facts),
            }
        )
    else:
        show.say(f"{path}: {found.verdict}", style="green" if found.ok else "bold")
        show.facts(found.facts)
        for item in found.findings:
            show.concern(str(item))
        if found.ok and found.kind == "pack" and seal is None:
            show.notes(["held against itself only: --seal also tells a pack that was written anew"])
        if found.ok and found.kind == "log":
            show.notes(
                ["values that were changed by SQL are found by workbench audit LOG --against HEAD"]
            )
    if not found.ok:
        raise typer.Exit(1)
