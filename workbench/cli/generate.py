"""``workbench generate``: synthetic events, a read model with known faults, and the truth about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from workbench.cli import options, show

EXAMPLES: Final = (
    "workbench generate bank -o data/bank",
    "workbench generate bank --events 20_000_000 --seed 7 -o data/large",
    "workbench generate checkout --no-faults --format ndjson -o data/shop",
    "workbench generate bank --causes --schema-versions 3 -o data/incident",
)


def _number(text: str) -> int:
    """Read a whole number as Python writes it; ``20_000_000`` is easier to get right."""
    try:
        return int(text)
    except ValueError:
        message = f"{text!r} is no whole number"
        raise typer.BadParameter(message) from None


def run(
    domain: Annotated[
        str,
        typer.Argument(
            metavar="DOMAIN",
            help="bank or checkout.",
            show_default=False,
            autocompletion=lambda: ["bank", "checkout"],
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The folder; made when absent.",
            show_default=False,
        ),
    ],
    events: Annotated[
        int, typer.Option("--events", metavar="N", parser=_number, help="How many events.")
    ] = 25_000,
    seed: Annotated[
        int, typer.Option("--seed", metavar="S", help="The same seed gives the same data.")
    ] = 2026,
    format: Annotated[
        Literal["parquet", "ndjson", "ndjson.gz"],
        typer.Option("--format", help="Of the event files."),
    ] = "parquet",
    faults: Annotated[
        bool,
        typer.Option("--faults/--no-faults", help="Whether the read model has faults."),
    ] = True,
    causes: Annotated[
        bool,
        typer.Option(
            "--causes",
            help="Faults by every cause that an explanation can find, overlapping and in bursts.",
        ),
    ] = False,
    schema_versions: Annotated[
        int,
        typer.Option(
            "--schema-versions", min=2, max=3, help="How many versions the payloads have: 2 or 3."
        ),
    ] = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a data set that is there.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write a synthetic log, a read model of it with faults, and the truth about these.

    The checkout also has sagas that go wrong, and dead letters in ten formats.
    """
    from workbench import samples

    if causes and not faults:
        message = "--causes and --no-faults exclude each other"
        raise typer.BadParameter(message)
    with show.progress(f"generating {domain}") as report:
        made = samples.generate(
            domain,
            out,
            events=events,
            seed=seed,
            faults="causes" if causes else faults,
            schema_versions=3 if schema_versions == 3 else 2,
            format=format,
            overwrite=overwrite,
            progress=report,
        )
    if json:
        show.document(
            {
                "domain": made.domain,
                "events": made.events,
                "files": made.files,
                "read_model": made.read_model,
                "rows": made.rows,
                "truth": made.truth,
                "faults": made.faults,
                "others": made.others,
                "counts": made.counts,
            }
        )
        return
    show.facts(
        [
            ("events", f"{made.events:,} in {_span(made.files)}"),
            ("read model", f"{made.rows:,} rows in {made.read_model}"),
            ("truth", f"{sum(made.faults.values()):,} faults in {made.truth}"),
            *((what, f"{sum(kinds.values()):,}") for what, kinds in made.counts.items()),
            *[("beside", str(file)) for file in made.others],
        ]
    )
    if made.faults:
        show.table(["fault", "rows"], list(made.faults.items()))
    for what, kinds in made.counts.items():
        show.table([what, "number"], list(kinds.items()))
    pattern = out / "events*" if len(made.files) > 1 else made.files[0]
    show.say(f"Next: workbench load {made.domain}.duckdb '{pattern}'")


def _span(files: tuple[Path, ...]) -> str:
    first = str(files[0])
    return first if len(files) == 1 else f"{first} to {files[-1].name} ({len(files)} files)"
