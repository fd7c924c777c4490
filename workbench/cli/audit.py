"""``workbench audit``: who did what and why, what can be vouched for, and evidence to hand on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, masking, options, show
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.audit import Audit

EXAMPLES: Final = (
    "workbench audit bank.duckdb --stream acc-000103",
    "workbench audit bank.duckdb --stream acc-000103 -o evidence \\",
    "    --definition bank.account_summary --mask owner --mask event.actor=hash",
    "workbench audit bank.duckdb --json | jq -r .head > head.txt",
    "workbench audit bank.duckdb --against $(cat head.txt)",
    "workbench audit bank.duckdb --against evidence",
)

ROWS: Final = 20


def run(
    log: options.Log,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="Only this stream.", show_default=False),
    ] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option(
            "--reason",
            metavar="FIELD",
            help="Where reasons stand: reason, metadata.comment. Repeatable; the first that is there counts.",
        ),
    ] = None,
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write an evidence pack into this folder.",
            show_default=False,
        ),
    ] = None,
    definition: Annotated[
        str | None,
        typer.Option(
            "--definition",
            metavar="DEFINITION",
            help="Put the states of this definition into the pack.",
        ),
    ] = None,
    mask: masking.Fields = None,
    mask_key: masking.Key = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="HEAD|DIR",
            help="Hold the events against a head that was noted down before, or against an evidence pack.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="So many events at most.")
    ] = ROWS,
    json: options.Json = False,
) -> None:
    """Examine the record: who did what, when and why; what is missing; what can be vouched for.

    The head of the hash chain commits to every byte of every event. Note it down, or mail it to somebody: --against
    shows later whether anything was altered. An evidence pack holds the events, their hashes, a page to read and a
    manifest; workbench verify checks it on any machine.

    Exits with 1 when --against finds a difference.
    """
    chosen = None if definition is None else definitions.find(definition)
    masks = masking.masks(mask, mask_key)
    if output is None and (chosen is not None or masks):
        message = "--definition and --mask are for an evidence pack, and -o names no folder for it."
        raise ConfigError(message, hint="add -o DIR")
    with wb.open(log, read_only=True) as opened:
        scope = opened if as_of is None else opened.as_of(as_of, clock=clock)
        found = scope.audit(stream, clock=clock, **({"reason": reason} if reason else {}))
        checked = None if against is None else found.check(against)
        pack = None if output is None else found.pack(output, chosen, mask=masks)
        document = _plain(found, limit) if json else {}
        if checked is not None:
            document["check"] = {
                "ok": checked.ok,
                "verdict": checked.verdict,
                "counts": checked.counts,
                "differences": checked.rows(),
            }
        if pack is not None:
            document["pack"] = {
                "folder": output,
                "seal": pack.seal,
                "head": str(pack.head),
                "files": pack.files,
                "masks": pack.masks,
            }
        if json:
            show.document(document)
        else:
            _report(found, limit)
            if checked is not None:
                show.heading(checked.title)
                (show.say if checked.ok else show.concern)(checked.verdict)
                if len(checked):
                    show.table(checked.columns, [list(row.values()) for row in checked.rows(ROWS)])
                show.notes(checked.notes)
            if pack is not None:
                show.heading(f"Evidence pack in {output}")
                show.facts([*pack.files.items(), ("seal", pack.seal)])
                show.say(
                    f"Note the seal down elsewhere. Next: workbench verify {output} --seal {pack.seal[:8]}…"
                )
    if checked is not None and not checked.ok:
        raise typer.Exit(1)


def _report(found: Audit, limit: int) -> None:
    show.say(f"{found.title}: {found._subtitle()}", style="bold")
    show.facts([("head", str(found.head))])
    show.say()
    for item, sentence in zip(
        found.completeness.findings, found.completeness.sentences, strict=True
    ):
        show.say(f"  {sentence}", style="yellow" if item.vouched is False else "")
    rows = found.rows(limit)
    if rows:
        names = [
            *([] if found.stream else ["stream_id"]),
            *("version", f"{found.clock}_at", "event_type", "actor", "reason", "missing_before"),
        ]
        show.say()
        show.table(names, [[row[name] for name in names] for row in rows])
    more = found.counts.events - len(rows)
    show.notes([*([f"and {more:,} more events"] if more else []), *found.notes])


def _plain(found: Audit, limit: int) -> dict[str, Any]:
    return {
        "title": found.title,
        "events": found.counts.events,
        "streams": found.counts.streams,
        "clock": found.clock,
        "head": str(found.head),
        "completeness": found.completeness.rows(),
        "gaps": found.gaps().rows(),
        "rows": found.rows(limit),
        "notes": found.notes,
    }
