"""Verifying: an evidence pack, or the file of a log, on any machine, without the original."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workbench import _html
from workbench.analysis.audit.canonical import digest_sql
from workbench.analysis.audit.chain import heads
from workbench.analysis.audit.manifest import FORMAT, NAME, Manifest, is_sealed, sha256
from workbench.errors import ConfigError, WorkbenchError
from workbench.store.blocks import damage

NAMED: Final = 20
"""So many events are named, of many that differ."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not verify.

    Attributes
    ----------
    file
        The file.
    what
        What is wrong with it, and where.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, and what does not hold.

    Attributes
    ----------
    of
        The folder or the file.
    kind
        ``pack`` or ``log``.
    findings
        What does not hold; empty: all of it does.
    facts
        What was looked at, as names and values.
    """

    of: Path
    kind: str
    findings: tuple[Problem, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """The outcome as a sentence."""
        if self.ok:
            return "verified: every byte is as it was written"
        return f"NOT as it was written: {len(self.findings):,} finding{'' if len(self.findings) == 1 else 's'}"

    def __repr__(self) -> str:
        lines = [_html.line(f"{self.of}: {self.verdict}")]
        lines += [f"  {name}  {_html.line(value)}" for name, value in self.facts]
        lines += [f"  ✗ {_html.line(str(item))}" for item in self.findings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = _html.facts(self.facts)
        body += "".join(_html.warning(str(item)) for item in self.findings)
        return _html.card(str(self.of), body, subtitle=self.verdict)


def verify(path: str | Path, *, seal: str | None = None) -> Verification:
    """Verify an evidence pack, or the file of a log.

    Of a pack every file is held against the manifest, the manifest against its own hash, each event against
    its hash, and the chain is computed anew. Of a log every block of the file is held against its checksum;
    whether values were changed by way of SQL, a head tells that was noted down before
    (:meth:`Audit.check`).

    Parameters
    ----------
    path
        The folder of a pack, or a DuckDB file.
    seal
        The seal that was noted down when the pack was written. Without it a pack can only be held against
        itself: somebody who writes all of it anew is not found out.

    Returns
    -------
    Verification

    Raises
    ------
    ConfigError
        There is nothing to verify at this path.
    """
    place = Path(path)
    if place.is_file():
        if seal is not None:
            message = "a seal belongs to a pack, and this is the file of a log."
            raise ConfigError(message)
        found = tuple(Problem(place.name, str(item)) for item in damage(place))
        return Verification(place, "log", found, (("bytes", f"{place.stat().st_size:,}"),))
    if not place.is_dir():
        message = f"{place} is no folder of a pack, and no file of a log."
        raise ConfigError(message, hint="check the path")
    try:
        return _Verifying(place, seal).run()
    except OSError as error:
        message = f"{place} cannot be read: {error.strerror or error}"
        raise WorkbenchError(message, hint="check the permissions") from error


class _Verifying:
    """One pass over a pack."""

    def __init__(self, folder: Path, seal: str | None) -> None:
        self.folder = folder
        self.seal = seal
        self.findings: list[Problem] = []
        self.facts: list[tuple[str, str]] = []

    def run(self) -> Verification:
        about = self._manifest()
        if about is not None:
            changed = self._files(about)
            self._contents(about, changed)
        return Verification(self.folder, "pack", tuple(self.findings), tuple(self.facts))

    def _found(self, file: str, what: str) -> None:
        self.findings.append(Problem(file, what))

    def findings_of(self, file: str) -> list[Problem]:
        """Return what was found about one file so far."""
        return [item for item in self.findings if item.file == file]

    # -- the manifest --------------------------------------------------------------------------

    def _manifest(self) -> Manifest | None:
        path = self.folder / NAME
        if not path.is_file():
            self._found(NAME, "is not there: nothing can be verified without it")
            return None
        raw = path.read_bytes()
        if not is_sealed(raw):
            self._found(NAME, "does not match its own hash: it was changed")
        seal = hashlib.sha256(raw).hexdigest()
        if self.seal is not None and seal != self.seal.strip():
            self._found(
                NAME, "is not the one that was sealed: the pack was written anew, or is another"
            )
        about = Manifest.read(raw)
        if about is None:
            if not self.findings:
                self._found(NAME, "is no manifest of an evidence pack")
            return None
        if about.format != FORMAT:
            self._found(NAME, f"has format {about.format}, and this workbench reads {FORMAT}")
            return None
        self.facts += [
            ("events", f"{about.head.events:,}"),
            ("head", str(about.head)),
            ("seal", seal),
            *(("masked", words) for words in about.masks),
        ]
        return about

    # -- the files -----------------------------------------------------------------------------

    def _files(self, about: Manifest) -> set[str]:
        """Hold each file against the manifest; return those that are not as written."""
        changed = set()
        listed = about.files
        for name, (written, digest) in sorted(listed.items()):
            path = self.folder / name
            if Path(name).name != name or not path.is_file():
                self._found(name, "is not there any more")
                changed.add(name)
            elif sha256(path) != digest:
                size = path.stat().st_size
                grown = "" if size == written else f" (it had {written:,} bytes, and has {size:,})"
                doubt = (
                    "; or the manifest, which was changed, is wrong about it"
                    if self.findings_of(NAME)
                    else ""
                )
                self._found(name, f"does not match its hash in the manifest{grown}{doubt}")
                changed.add(name)
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if name not in listed and name != NAME:
                self._found(name, "does not belong to the pack: it was added")
        return changed

    # -- the events ----------------------------------------------------------------------------

    def _contents(self, about: Manifest, changed: set[str]) -> None:
        """Compute all hashes anew, and name the events that differ."""
        paths = {name: self.folder / f"{name}.parquet" for name in ("events", "hashes", "streams")}
        if not all(path.is_file() for path in paths.values()):
            return
        events, unreadable = _read(paths["events"])
        hashes, lost = _read(paths["hashes"])
        for first, end in unreadable:
            self._found("events.parquet", f"{_range(hashes, first, end)} cannot be read any more")
        for first, end in lost:
            self._found(
                "hashes.parquet",
                f"{_range(events, first, end)}: their hashes cannot be read any more",
            )
        if events is None or hashes is None:
            return
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            con.register("events_of_pack", events)
            con.register("hashes_of_pack", hashes)
            try:
                self._events(con, "events.parquet" in changed, bool(unreadable), bool(lost))
                if not unreadable:
                    self._chain(con, about, paths["streams"])
            except duckdb.Error as error:  # a damaged file may lack a column
                self._found("events.parquet", f"cannot be hashed: {str(error).splitlines()[0]}")

    def _events(
        self, con: duckdb.DuckDBPyConnection, damaged: bool, unreadable: bool, lost: bool
    ) -> None:
        rows = con.execute(
            f"SELECT e.position, e.stream_id, e.version, h.position, h.stream_id, h.version "
            f"FROM (SELECT *, {digest_sql()} AS digest FROM events_of_pack) e FULL JOIN hashes_of_pack h "
            "ON e.position = h.position AND e.digest = h.sha256 WHERE e.position IS NULL OR h.position IS NULL "
            "ORDER BY coalesce(e.position, h.position)"
        ).fetchall()
        # What cannot be read is named already.
        rows = [
            row for row in rows if (row[0] if unreadable else row[3] if lost else 0) is not None
        ]
        file = "events.parquet" if damaged else "hashes.parquet"
        named: dict[str, None] = {}
        for row in rows:
            position, stream, version = (
                row[:3]
                if row[0] is not None and not damaged
                else (row[3:] if row[3] is not None else row[:3])
            )
            named.setdefault(f"event at position {position} (stream {stream!r}, version {version})")
        for name in list(named)[:NAMED]:
            self._found(file, f"{name} does not match its hash")
        if len(named) > NAMED:
            self._found(file, f"and {len(named) - NAMED:,} more events do not match their hashes")

    def _chain(self, con: duckdb.DuckDBPyConnection, about: Manifest, streams: Path) -> None:
        found, whole = heads(con, "events_of_pack")
        events = sum(found["events"].to_pylist())
        if (whole, events) != (about.head.sha256, about.head.events):
            self._found("events.parquet", "the head of its chain is not the one in the manifest")
        stored, unreadable = _read(streams)
        if stored is None or unreadable:
            self._found("streams.parquet", "cannot be read any more")
            return
        con.register("heads_found", found)
        con.register("heads_stored", stored)
        differing = con.execute(
            "SELECT coalesce(f.stream_id, s.stream_id) FROM heads_found f FULL JOIN heads_stored s "
            "ON f.stream_id = s.stream_id AND f.events = s.events AND f.sha256 = s.sha256 "
            f"WHERE f.stream_id IS NULL OR s.stream_id IS NULL GROUP BY 1 ORDER BY 1 LIMIT {NAMED}"
        ).fetchall()
        for (stream,) in differing:
            self._found(
                "streams.parquet", f"the head of stream {stream!r} does not match its events"
            )


def _read(path: Path) -> tuple[pa.Table | None, list[tuple[int, int]]]:
    """Read the groups of a Parquet file that can be read; return them, and the rows of the others."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError):
        return None, []
    with file:
        groups: list[pa.Table] = []
        unreadable: list[tuple[int, int]] = []
        first = 0
        for index in range(file.num_row_groups):
            try:
                end = first + file.metadata.row_group(index).num_rows
                table = file.read_row_group(index)
                table.validate(full=True)
                groups.append(table)
            except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError):
                unreadable.append((first, end))
            first = end
        try:
            return pa.concat_tables(
                groups
            ) if groups else file.schema_arrow.empty_table(), unreadable
        except (pa.ArrowException, ValueError):
            return None, unreadable


def _range(others: pa.Table | None, first: int, end: int) -> str:
    """Name the events of some rows by what the other file says of them."""
    if others is None or others.num_rows < end:
        return f"rows {first:,} to {end - 1:,}"
    rows = others.slice(first, end - first)
    positions = rows.column("position").to_pylist()
    streams = rows.column("stream_id").to_pylist()
    return (
        f"{end - first:,} events at positions {min(positions):,} to {max(positions):,} "
        f"(streams {streams[0]!r} to {streams[-1]!r})"
    )
