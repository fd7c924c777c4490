"""Checking a log: against its source read again, against a head noted down before, against an evidence pack."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import duckdb

from workbench._sql import ident, text
from workbench.analysis.audit.chain import Head, chain
from workbench.analysis.audit.manifest import NAME, Manifest
from workbench.errors import ConfigError
from workbench.event import COLUMNS
from workbench.sources.base import Source
from workbench.store import ingest
from workbench.store.database import Database
from workbench.store.masked_source import MaskedSource
from workbench.store.masks import Mask, masks
from workbench.store.query import query_error
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

#: What a source says of an event; positions are the log's own, and another source may say it as well.
_SAID: Final = tuple(name for name in COLUMNS if name not in ("position", "event_id", "source"))


class Check(Table):
    """What differs, event by event.

    Columns: ``what`` (``changed``, ``missing``: not there any more, ``added``: not there before), ``stream_id``, ``version``, ``position``, ``event_id``, ``source_position``, ``columns`` (VARCHAR[]: the
    columns that differ). Ordered by position, what the log does not have last.

    Attributes
    ----------
    ok
        Nothing differs.
    counts
        ``compared``, ``changed``, ``missing``, ``added``.
    verdict
        The outcome as a sentence.
    """

    ok: bool
    counts: dict[str, int]
    verdict: str

    def _subtitle(self) -> str:
        return self.verdict


def check(
    view: View, against: Source | Head | str | Path, *, mask: str | Mask | Iterable[str | Mask] = ()
) -> Check:
    """Hold the events of a view against something else; see :meth:`Audit.check`."""
    wanted = masks(mask)
    if not isinstance(against, Head | str | Path):
        if not hasattr(against, "read"):
            message = f"{type(against).__name__} is no source, no head and no folder of a pack."
            raise ConfigError(
                message, hint="pass wb.files(…), the head as text, or the pack's folder"
            )
        return _source(view, MaskedSource(against, wanted) if wanted else against)
    if wanted:
        message = "mask= is for a source that is read again, and this is none."
        raise ConfigError(message)
    if isinstance(against, Head):
        return _head(view, against)
    if isinstance(against, Path) or (
        not Head.is_one(against) and Path(against).is_dir() and against
    ):
        return _pack(view, Path(against))
    return _head(view, Head.parse(against))


# -- the source ----------------------------------------------------------------------------------


def _source(view: View, source: Source) -> Check:
    """Load the source again, into a log of its own that is thrown away, and compare by event id."""
    known = [row[0] for row in view.rows("SELECT DISTINCT source FROM log.main.loads")]
    if source.name not in known:
        message = f"{view.database.label} was not loaded from {source.name!r}."
        listed = f"it was loaded from {', '.join(known)}" if known else "nothing is loaded yet"
        raise ConfigError(message, hint=listed)
    with tempfile.TemporaryDirectory(prefix="workbench-check-") as folder:
        path = Path(folder) / "again.duckdb"
        again = Database(path)
        try:
            loaded = ingest.load(again, source)
        finally:
            again.close()
        con = view.database.cursor()
        con.execute(f"ATTACH {text(str(path))} AS again (READ_ONLY)")
        try:
            result = _compared(
                view,
                "again.main.events",
                _SAID,
                f"source = {text(source.name)}",
                ("missing", "added"),
                title=f"Check against {source.name}",
            )
        finally:
            con.execute("DETACH again")
    notes = []
    if loaded.rejected:
        notes.append(
            f"{loaded.rejected:,} records of the source could not become events, and are not compared"
        )
    if result.counts["added"]:
        notes.append(
            "added: the source has them and this log has not; they may have come after its last load"
        )
    if result.counts["missing"]:
        notes.append(
            "missing: the log has them and the source has not any more: deleted, or beyond its retention"
        )
    result.notes = tuple(notes)
    return result


# -- a head --------------------------------------------------------------------------------------


def _head(view: View, earlier: Head) -> Check:
    now = chain(
        view.narrowed(f"position <= {earlier.position}", f"up to position {earlier.position:,}")
    ).head
    same = (now.events, now.sha256) == (earlier.events, earlier.sha256)
    result = Check(
        view.database, _NOTHING, title=f"Check against the head at position {earlier.position:,}"
    )
    result.ok = same
    result.counts = {"compared": now.events}
    if same:
        result.verdict = f"{now.events:,} events say what they said: the head is the same"
    elif now.events != earlier.events:
        result.verdict = f"altered: there were {earlier.events:,} events up to there, and now there are {now.events:,}"
    else:
        result.verdict = f"altered: of {now.events:,} events at least one does not say what it said"
    if not same:
        result.notes = (
            "a head tells that, not where: check against an evidence pack, or against the source; "
            "a head holds for the same selection of events only",
        )
    return result


_NOTHING: Final = (
    "SELECT NULL::VARCHAR AS what, NULL::VARCHAR AS stream_id, NULL::BIGINT AS version, NULL::BIGINT AS position, "
    "NULL::VARCHAR AS event_id, NULL::VARCHAR AS source_position, NULL::VARCHAR[] AS columns WHERE FALSE"
)


# -- a pack --------------------------------------------------------------------------------------


def _pack(view: View, folder: Path) -> Check:
    from workbench.analysis.audit.verify import verify

    verified = verify(folder)
    if not verified.ok:
        message = f"the pack {folder} does not verify itself: {verified.findings[0]}"
        raise ConfigError(message, hint=f"workbench verify {folder} shows all of it")
    manifest = Manifest.read((folder / NAME).read_bytes())
    if manifest is None or manifest.masks:
        message = f"the pack {folder} is masked: its events are not those of the log."
        raise ConfigError(message, hint="check against an unmasked pack, or against a head")
    last = manifest.head.position
    pack = f"read_parquet({text(str(folder / 'events.parquet'))})"
    columns = tuple(name for name in COLUMNS if name != "event_id")
    # In another view than the pack's own, only the streams of the pack can be compared.
    ours = f"position <= {last} AND stream_id IN (SELECT stream_id FROM {pack})"
    title = f"Check against the pack {folder.name}"
    result = _compared(view, pack, columns, ours, ("added", "missing"), title=title)
    if not result.ok and manifest.selection:
        result.notes = (f"the pack holds {'; '.join(manifest.selection)}: compare the same",)
    return result


# -- comparing -----------------------------------------------------------------------------------


def _compared(
    view: View,
    other: str,
    columns: tuple[str, ...],
    ours: str,
    words: tuple[str, str],
    *,
    title: str,
) -> Check:
    """Compare by event id: the log's events of the view with those of another table.

    ``ours`` says which of the log's events the other side should have; ``words`` what those are called that
    only the log has, and that only the other side has.
    """
    differs = ", ".join(
        f"CASE WHEN {_as_text('a', name)} IS DISTINCT FROM {_as_text('b', name)} THEN {text(name)} END"
        for name in columns
    )
    only_ours, only_theirs = map(text, words)
    # A source loaded again has positions of its own, so conditions on those find none of them.
    rows = (
        other
        if "position" in columns
        else f"(SELECT * REPLACE (NULL::BIGINT AS position) FROM {other})"
    )
    within = f"({view.filter})"
    sql = (
        f"WITH ours AS (SELECT * FROM {EVENTS} WHERE {within}), "
        f"theirs AS (SELECT * FROM {rows} r WHERE {within}), "
        # Changed, an event may lie in the view on one side only.
        f"matched AS (SELECT a.stream_id, a.version, a.position, a.event_id, a.source_position, "
        f"list_filter([{differs}], lambda x: x IS NOT NULL) AS columns FROM {EVENTS} a JOIN {other} b ON a.event_id = b.event_id "
        "SEMI JOIN (SELECT event_id FROM ours UNION ALL SELECT event_id FROM theirs) c ON c.event_id = a.event_id) "
        "SELECT 'changed' AS what, * FROM matched WHERE len(columns) > 0 "
        f"UNION ALL SELECT {only_ours}, stream_id, version, position, event_id, source_position, NULL "
        f"FROM (SELECT * FROM ours WHERE {ours}) ANTI JOIN {other} o USING (event_id) "
        f"UNION ALL SELECT {only_theirs}, stream_id, version, position, event_id, source_position, NULL "
        f"FROM theirs ANTI JOIN (SELECT event_id FROM {EVENTS}) USING (event_id)"
    )
    result = Check(view.database, "", title=title)
    try:
        kept = view.database.keep(sql, result, "check")
        compared = view.rows(
            f"SELECT count(*) FROM (SELECT event_id FROM {EVENTS} WHERE {view.filter}) SEMI JOIN {other} o USING (event_id)"
        )[0][0]
    except duckdb.Error as error:
        raise query_error(error, title) from error
    result.sql = f"FROM {kept} ORDER BY position NULLS LAST, source_position"
    counts = dict(view.rows(f"SELECT what, count(*) FROM {kept} GROUP BY what"))
    result.counts = {
        "compared": int(compared),
        **{what: int(counts.get(what, 0)) for what in ("changed", "missing", "added")},
    }
    result.ok = not counts
    result.verdict = (
        f"{compared:,} events are the same on both sides"
        if result.ok
        else ", ".join(f"{number:,} {what}" for what, number in result.counts.items())
    )
    return result


def _as_text(side: str, column: str) -> str:
    return f"CAST({side}.{ident(column)} AS VARCHAR)"
