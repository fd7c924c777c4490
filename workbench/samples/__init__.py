"""Synthetic data with known faults: a generator, and the data sets that come with the workbench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import duckdb

from workbench.errors import ConfigError, WorkbenchError, did_you_mean
from workbench.samples.bank import BANK
from workbench.samples.causes import write_guarded, write_wrong_read_model
from workbench.samples.checkout import CHECKOUT
from workbench.samples.domain import Domain
from workbench.samples.faults import write_read_model, write_truth
from workbench.samples.incident import GivenUp, in_an_incident, write_incident
from workbench.samples.schemas import in_three_versions
from workbench.samples.write import Format, Progress, connect, write_events

__all__ = ["BUNDLED", "DOMAINS", "Generated", "generate", "path"]

DOMAINS: Final[Mapping[str, Domain]] = {domain.name: domain for domain in (BANK, CHECKOUT)}

#: How each data set in ``datasets/`` was made: the arguments of :func:`generate`.
BUNDLED: Final[Mapping[str, Mapping[str, Any]]] = {
    "bank": {"events": 25_000, "seed": 2026, "format": "parquet"},
    "checkout": {"events": 9_000, "seed": 2026, "format": "ndjson.gz"},
}


@dataclass(frozen=True, slots=True)
class Generated:
    """What :func:`generate` wrote.

    Attributes
    ----------
    events
        Number of events.
    files
        The event files, in the order of positions.
    read_model, truth
        The stored read model (Parquet) and the faults in it (JSON).
    rows
        Number of rows in the read model.
    faults
        Name of a fault -> number of rows that have it.
    others
        What else was written.
    counts
        What is in that: sagas by outcome, violations by kind, and so on; empty where a domain has none.
    """

    domain: str
    events: int
    files: tuple[Path, ...]
    read_model: Path
    rows: int
    truth: Path
    faults: Mapping[str, int]
    others: tuple[Path, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def generate(
    domain: str,
    out: str | Path,
    *,
    events: int = 25_000,
    seed: int = 2026,
    faults: bool | Literal["causes", "incident"] = True,
    schema_versions: Literal[2, 3] = 2,
    format: Format = "parquet",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Generated:
    """Write a log of exactly ``events`` events, a read model of it, and the truth about its faults.

    The checkout has more: sagas that go wrong and dead letters in ten formats, each with the truth about them;
    these are there whatever ``faults`` says. ``datasets/README.md`` tells every file and column.

    The same arguments give the same bytes, as long as DuckDB and numpy stay the same. 20 million events
    take less than 1 GB of memory; beyond that it grows with the number of accounts or orders.

    Parameters
    ----------
    domain
        ``"bank"`` or ``"checkout"``.
    out
        A folder; made when absent.
    faults
        Whether the read model has faults. Without them it is right, and the truth lists none. ``"causes"``: rows
        are wrong by every cause that there is, one or two of them on a row, and in bursts. ``"incident"`` (the
        checkout with three schema versions): one bad day with five faults that lead into one another, and
        a log that ends six days later; then nothing is told of sagas and versions.
    schema_versions
        How many versions the payloads have: 2 or 3. With 3 the first ones name and measure things differently, and
        nothing can be read without upcasters.
    format
        Of the event files: ``"parquet"``, ``"ndjson"`` or ``"ndjson.gz"``. More than 250,000 events
        are cut into ``events-0001``, ``events-0002`` and so on.
    overwrite
        Whether to replace a data set that the folder holds.
    progress
        Called as ``progress(done, total)`` with numbers of events, after each file.

    Raises
    ------
    ConfigError
        An unknown domain or format, fewer than one event, a negative seed, or a folder that holds a
        data set already.
    WorkbenchError
        The folder cannot be written to, or the disk is full.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     made = generate("bank", folder, events=500)
    ...     print(made.events, [file.name for file in made.files], made.read_model.name)
    500 ['events.parquet'] account_summary.parquet
    """
    if domain not in DOMAINS:
        message = f"There is no domain {domain!r} to generate."
        raise ConfigError(message + did_you_mean(domain, DOMAINS))
    if format not in ("parquet", "ndjson", "ndjson.gz"):
        message = f"Events cannot be written as {format!r}."
        raise ConfigError(message + did_you_mean(format, ("parquet", "ndjson", "ndjson.gz")))
    if events < 1 or seed < 0:
        message = f"events has to be at least 1 and seed at least 0, not {events} and {seed}."
        raise ConfigError(message)
    if faults not in (True, False, "causes", "incident") or schema_versions not in (2, 3):
        message = f"faults={faults!r} and schema_versions={schema_versions!r} cannot be generated."
        hint = "faults is True, False, 'causes' or 'incident'; schema_versions is 2 or 3"
        raise ConfigError(message, hint=hint)
    if faults == "incident" and (domain != "checkout" or schema_versions != 3):
        message = "faults='incident' is for the checkout with three schema versions."
        raise ConfigError(message, hint="generate('checkout', …, schema_versions=3)")
    folder = Path(out)
    chosen = DOMAINS[domain]
    if faults == "incident":
        chosen = in_an_incident(chosen)
    elif schema_versions == 3:
        chosen = in_three_versions(chosen)
    witnesses = [make(events, seed) for make in chosen.witnesses]
    try:
        _clear(folder, overwrite=overwrite)
        with connect() as con:
            files = write_events(
                con,
                chosen,
                folder,
                events=events,
                seed=seed,
                format=format,
                progress=progress,
                witnesses=witnesses,
            )
            more: dict[str, Any] = {}
            if faults == "causes":
                rows, found, incidents = write_wrong_read_model(
                    con, chosen, DOMAINS[domain].read_model, files, folder, seed=seed
                )
                more = {"incidents": incidents}
            elif faults == "incident":
                letters = next(one for one in witnesses if isinstance(one, GivenUp))
                rows, found, incidents = write_incident(
                    con, chosen, DOMAINS[domain].read_model, files, folder, letters, seed=seed
                )
                more = {"incidents": incidents}
            else:
                rows, found = write_read_model(con, chosen, files, folder, seed=seed, faults=faults)
            told = [witness.write(con, chosen, files, folder) for witness in witnesses]
            if faults == "causes" and domain == "bank":
                head = {"domain": domain, "seed": seed, "events": events}
                head |= {"schema_versions": schema_versions}
                misread = DOMAINS[domain].read_model
                told.append(write_guarded(con, chosen, misread, files, folder, head))
        counts = dict(Counter(fault["fault"] for fault in found))
        model = chosen.read_model
        about = {
            "domain": domain,
            "seed": seed,
            "events": events,
            # Without a word about versions there are two.
            **({} if isinstance(faults, bool) else {"schema_versions": schema_versions}),
            "read_model": model.name,
            "key": model.key,
            "compared": list(model.columns),
            "checkpoint": ["version", "position"],
            "rows": rows,
            "counts": counts,
        }
        write_truth(folder / "truth.json", about, {**more, "faults": found})
    except (OSError, duckdb.Error) as error:
        message = f"The data set could not be written to {folder}: {error}"
        hint = "what is there is not complete: make room, then write again with overwrite=True"
        raise WorkbenchError(message, hint=hint) from error
    return Generated(
        domain=domain,
        events=events,
        files=files,
        read_model=folder / f"{model.name}.parquet",
        rows=rows,
        truth=folder / "truth.json",
        faults=counts,
        others=tuple(file for part in told for file in part.files),
        counts={what: kinds for part in told for what, kinds in part.counts.items()},
    )


def _clear(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, without event files of another run among which the new ones would be lost."""
    folder.mkdir(parents=True, exist_ok=True)
    old = [file for file in folder.iterdir() if file.name.startswith("events") and _is_events(file)]
    if old and not overwrite:
        message = f"{folder} holds a data set already ({old[0].name})."
        raise ConfigError(message, hint="choose an empty folder, or say overwrite=True")
    for file in old:
        file.unlink()


def _is_events(file: Path) -> bool:
    return file.name.endswith((".parquet", ".ndjson", ".ndjson.gz"))


def path(name: str) -> Path:
    """Return where a bundled file is: ``path("bank/events.parquet")``.

    In an installed package the data sets are in ``workbench/datasets``; in a checkout they are beside
    the package.

    Raises
    ------
    ConfigError
        No such file; the message lists those that there are.

    Examples
    --------
    >>> path("bank/truth.json").name
    'truth.json'
    """
    package = Path(__file__).parents[1]
    installed = package / "datasets"
    # Beside an installed package, 'datasets' would be somebody else's.
    root = installed if installed.is_dir() else package.parent / "datasets"
    known = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    if name in known:
        return root / name
    message = f"There is no bundled file {name!r}.{did_you_mean(name, known)}"
    listed = ", ".join(sorted(file for file in known if "/" in file))
    raise ConfigError(
        message, hint=f"there are: {listed or 'none; the data sets are not installed'}"
    )
