"""Evidence packs: a folder that proves itself on another machine, without the log and without the workbench.

Nothing in a pack depends on when or where it was written: the same events give the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workbench import _html
from workbench._sql import ident
from workbench.analysis.audit import manifest
from workbench.analysis.audit.canonical import RULE, digest_sql
from workbench.analysis.audit.chain import Head
from workbench.analysis.audit.completeness import completeness, loads
from workbench.analysis.audit.page import page
from workbench.analysis.definition import Definition, check
from workbench.analysis.replay import Replay, replay
from workbench.errors import ConfigError, WorkbenchError
from workbench.event import COLUMNS
from workbench.moments import Moment
from workbench.store.database import Database
from workbench.store.masks import Mask, Masking, masks
from workbench.store.schema import code_version
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.analysis.audit.trail import Audit

ROWS: Final = 8_192
"""Rows of a group: what cannot be read any more is named by groups."""


@dataclass(frozen=True, slots=True)
class Pack:
    """An evidence pack that was written.

    Attributes
    ----------
    folder
        Where.
    seal
        SHA-256 of its manifest. Noted down elsewhere, it proves that the pack as a whole is this one:
        ``wb.verify(folder, seal=…)``.
    head
        Head of the chain over the events in it.
    files
        Name -> size in bytes.
    masks
        What is masked, in words.
    """

    folder: Path
    seal: str
    head: Head
    files: dict[str, int]
    masks: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [_html.line(f"Evidence pack {self.folder}: {self.head.events:,} events")]
        lines += [f"  {name:<16} {size:>12,} bytes" for name, size in self.files.items()]
        lines += [f"  masked: {_html.line(words)}" for words in self.masks]
        lines += [f"  head {self.head}", f"  seal {self.seal}"]
        lines.append("  note the seal down elsewhere; wb.verify(folder, seal=…) checks all of it")
        return "\n".join(lines)


def pack(
    audit: Audit,
    folder: str | Path,
    definition: Definition | None = None,
    *,
    mask: str | Mask | Iterable[str | Mask] = (),
) -> Pack:
    """Write an evidence pack; see :meth:`Audit.pack`.

    Raises
    ------
    ConfigError
        The folder is there already and holds something.
    """
    target, wanted = Path(folder), masks(mask)
    if definition is not None:
        check(definition)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} is there already, and holds something."
        raise ConfigError(message, hint="name a folder that is empty, or not there yet")
    if not target.absolute().parent.is_dir():
        message = f"{target} cannot be made: there is no folder {target.absolute().parent}."
        raise ConfigError(message, hint="make the folder first")
    part = target.absolute().with_name(f".{target.absolute().name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        with _masked(audit, wanted) as shown:
            found = _write(audit, shown, part, definition, wanted)
        if target.exists():
            target.rmdir()
        part.rename(target)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror or error}"
        raise WorkbenchError(message, hint="check the disk and the folder's permissions") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(found, folder=target)


def _write(
    audit: Audit,
    shown: Audit,
    part: Path,
    definition: Definition | None,
    wanted: tuple[Mask, ...],
) -> Pack:
    states = None if definition is None else replay(shown._view, definition, Moment())
    _events(shown._view, part)
    _table(shown.heads, part / "streams.parquet")
    if states is not None:
        _table(_ordered(states), part / "states.parquet")
    sources = {
        row[0]
        for row in audit._view.rows(
            f"SELECT DISTINCT source FROM {EVENTS} WHERE {audit._view.filter}"
        )
    }
    here = [load for load in loads(audit._view) if load["source"] in sources]
    # Rejects hold whole records, in which nobody has masked anything.
    rejected = 0 if wanted else _rejects(audit._view, part / "rejects.parquet")
    said = tuple(item.words for item in wanted)
    # Order is that of the whole log, who and why is what a mask has left.
    counts = replace(
        audit.counts,
        without_actor=shown.counts.without_actor,
        without_reason=shown.counts.without_reason,
    )
    about: dict[str, Any] = {
        "product": manifest.PRODUCT,
        "format": manifest.FORMAT,
        "title": shown.title,
        "selection": _selection(audit, wanted),
        "masks": list(said),
        "code": {
            "workbench": code_version(),
            "duckdb": duckdb.__version__,
            "pyarrow": pa.__version__,
        },
        "cut_off": {
            "position": shown.head.position,
            "clock": shown.clock,
            "first": shown.counts.first,
            "last": shown.counts.last,
        },
        "counts": {**asdict(counts), "rejects_in_pack": rejected},
        "chain": {**asdict(shown.head), "rule": RULE},
        "completeness": completeness(audit._view, counts, audit.clock).sentences,
        "sources": here,
        "definition": None if definition is None else _definition(definition, states),
    }
    (part / "audit.html").write_text(
        page(audit, shown, about, here, states), encoding="utf-8", newline="\n"
    )
    names = sorted(path.name for path in part.iterdir())
    about["files"] = {
        name: {"bytes": (part / name).stat().st_size, "sha256": manifest.sha256(part / name)}
        for name in names
    }
    written = manifest.sealed(about)
    (part / manifest.NAME).write_bytes(written)
    sizes = {name: (part / name).stat().st_size for name in [*names, manifest.NAME]}
    return Pack(part, hashlib.sha256(written).hexdigest(), shown.head, sizes, said)


def _selection(audit: Audit, wanted: tuple[Mask, ...]) -> list[str]:
    words = audit._view.words
    if wanted and words:  # a condition may well name what is masked
        return [
            f"narrowed by {len(words)} condition{'s' if len(words) > 1 else ''} (not named: this pack is masked)"
        ]
    return list(words)


def _definition(definition: Definition, states: Replay | None) -> dict[str, Any]:
    return {
        "name": definition.name,
        "columns": [] if states is None else list(states.columns),
        "notes": [] if states is None else list(states.notes),
    }


# -- files ---------------------------------------------------------------------------------------


def _events(view: View, part: Path) -> None:
    """Write the events in the order of the chain, and the hash of each beside them."""
    columns = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}" if kind == "JSON" else name
        for name, kind in COLUMNS.items()
    )
    reader = (
        view.database.cursor()
        .sql(
            f"SELECT {columns}, {digest_sql()} AS sha256 FROM {EVENTS} WHERE {view.filter} "
            "ORDER BY stream_id, version, position"
        )
        .to_arrow_reader(ROWS)
    )
    hashes = ["position", "stream_id", "version", "sha256"]
    with contextlib.ExitStack() as files:
        schema = _in_utc(reader.schema)
        own = schema.remove(schema.get_field_index("sha256"))
        short = pa.schema([schema.field(name) for name in hashes])
        events = files.enter_context(writer(part / "events.parquet", own))
        digests = files.enter_context(writer(part / "hashes.parquet", short))
        for rows in _groups(reader):
            table = rows.cast(schema)
            events.write_table(table.select(own.names), row_group_size=ROWS)
            digests.write_table(table.select(hashes), row_group_size=ROWS)


def _groups(reader: Any) -> Iterator[pa.Table]:
    """Gather batches, so that each group but the last has the same number of rows."""
    held: list[Any] = []
    count = 0
    for batch in reader:
        held.append(batch)
        count += batch.num_rows
        if count >= ROWS:
            table = pa.Table.from_batches(held, reader.schema)
            whole = count - count % ROWS
            yield table.slice(0, whole)
            rest = table.slice(whole)
            held, count = rest.to_batches(), count - whole
    if count:
        yield pa.Table.from_batches(held, reader.schema)


def writer(path: Path, schema: Any) -> Any:
    """Open a Parquet file for writing: compressed, with a checksum on each page."""
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


def _in_utc(schema: Any) -> Any:
    return pa.schema(
        [
            field.with_type(pa.timestamp(field.type.unit, tz="UTC"))
            if pa.types.is_timestamp(field.type) and field.type.tz
            else field
            for field in schema
        ]
    )


def _table(table: Table, path: Path) -> None:
    rows = table.arrow()
    with writer(path, rows.schema) as file:
        file.write_table(rows, row_group_size=ROWS)


def _ordered(states: Replay) -> Table:
    keys = ", ".join(ident(name) for name in states.definition.key)
    return states.query(f"SELECT * FROM result ORDER BY {keys}")


def _rejects(view: View, path: Path) -> int:
    rows = Table(
        view.database,
        f"FROM log.main.rejects SEMI JOIN (SELECT source FROM {EVENTS} WHERE {view.filter}) USING (source) "
        "ORDER BY load_id, source, source_position, reason",
        title="Rejects",
    )
    count = len(rows)
    if count:
        _table(rows, path)
    return count


# -- masks ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _masked(audit: Audit, wanted: tuple[Mask, ...]) -> Iterator[Audit]:
    """Give an audit of the masked events, in a log of their own that is thrown away; all is made from those."""
    from workbench.analysis.audit.trail import audit as audited

    if not wanted:
        yield audit
        return
    with tempfile.TemporaryDirectory(prefix="workbench-mask-") as folder:
        scratch = Database(Path(folder) / "masked.duckdb")
        try:
            with scratch.writing() as con:
                _copy(audit._view, Masking(wanted), con)
            view = View(scratch)
            stream = audit.stream
            if stream is not None:
                # Its name may be masked too.
                found = view.rows(f"SELECT min(stream_id) FROM {EVENTS}")[0][0]
                stream = stream if found is None else found
            shown = audited(view, stream, reason=audit.reasons, clock=audit.clock)
            if stream is None:
                shown.title = "Audit of the events in this pack"
            yield shown
        finally:
            scratch.close()


def _copy(view: View, masking: Masking, con: duckdb.DuckDBPyConnection) -> None:
    texts = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}" if kind == "JSON" else name
        for name, kind in COLUMNS.items()
    )
    names = ", ".join(COLUMNS)
    reader = (
        view.database.cursor()
        .sql(
            f"SELECT {texts} FROM {EVENTS} WHERE {view.filter} ORDER BY stream_id, version, position"
        )
        .to_arrow_reader(ROWS)
    )
    for batch in reader:
        con.register("rows_to_copy", masking.rows(pa.Table.from_batches([batch])))
        con.execute(
            f"INSERT INTO log.main.events_base ({names}, id_hash) "
            f"SELECT {names}, hash(event_id) FROM rows_to_copy"
        )
        con.unregister("rows_to_copy")
