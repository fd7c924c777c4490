"""Masking personal data by path: what a field is replaced with, before it is stored or handed on.

A masked payload is written anew: keys keep their order and numbers all their digits, spaces between them go,
and of a key that was there twice the last one stays. Payloads without a masked field stay as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import msgspec
import pyarrow as pa

from workbench import _sql
from workbench.errors import ConfigError, did_you_mean
from workbench.event import COLUMNS
from workbench.store.fields import field as parse_field

By = Literal["text", "hash", "remove"]

TEXT: Final = "[masked]"
UNREADABLE: Final = "[masked: a payload that could not be read]"
RECORDED: Final = "masked before it was stored: "
"""How the note of a load begins that tells what was masked."""

#: Columns of an event that may be masked; identities only by a hash, so that what belongs together stays so.
_COLUMNS: Final[dict[str, tuple[By, ...]]] = {
    "stream_id": ("hash",),
    "event_id": ("hash",),
    "correlation_id": ("hash", "remove"),
    "causation_id": ("hash", "remove"),
    "actor": ("text", "hash", "remove"),
    "data": ("text", "hash", "remove"),
    "metadata": ("text", "hash", "remove"),
}
_SHORTEST_KEY: Final = 16
_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Mask:
    """Fields of events, and what they are replaced with. Made by :func:`mask`; it never shows its key."""

    fields: tuple[str, ...]
    by: By
    text: str
    key: bytes = field(repr=False)

    @property
    def words(self) -> str:
        """What is masked and how: for records, without the key."""
        how = {"text": f"text {self.text!r}", "hash": "keyed hash", "remove": "removed"}[self.by]
        return ", ".join(f"{name} ({how})" for name in self.fields)

    def replace(self, value: str) -> str | None:
        """Return what stands for a value; None: nothing does."""
        if self.by == "remove":
            return None
        if self.by == "text":
            return self.text
        digest = hmac.new(self.key, value.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"masked:{digest.hexdigest()[:_DIGITS]}"


def mask(*fields: str, by: By = "text", text: str = TEXT, key: str | bytes | None = None) -> Mask:
    """Say which fields of events are masked, and how.

    Parameters
    ----------
    *fields
        As everywhere: ``"owner"`` or ``"customer.email"`` in the payload (through lists too: of each item),
        ``"metadata.user"``, ``"event.actor"``.
    by
        ``"text"``: replaced by ``text``. ``"remove"``: taken out. ``"hash"``: replaced by HMAC-SHA-256, so
        that equal values stay equal and nobody without the key can tell them by trying.
    key
        The key of the hash, 16 bytes or more. It is never stored. Without one a key is drawn, and is gone
        with this mask: what was masked then can be linked by nobody.

    Raises
    ------
    ConfigError
        A field cannot be masked, or not in this way; the key is too short.

    Examples
    --------
    >>> mask("owner", "customer.email", by="remove").words
    'owner (removed), customer.email (removed)'
    >>> mask("owner", by="hash", key="correct horse battery").replace("Ada")
    'masked:...'
    """
    if by not in get_args(By):
        message = f"by={by!r} is no way to mask."
        raise ConfigError(message + did_you_mean(str(by), get_args(By)))
    if not fields:
        message = "a mask needs a field."
        raise ConfigError(message, hint="write wb.mask('owner', 'metadata.user')")
    if key is not None and by != "hash":
        message = f"a key is for by='hash', and this mask is by={by!r}."
        raise ConfigError(message)
    secret = (
        secrets.token_bytes(32) if key is None else key.encode() if isinstance(key, str) else key
    )
    if len(secret) < _SHORTEST_KEY:
        message = f"the key of a mask has {len(secret)} bytes: too short, it could be guessed."
        raise ConfigError(message, hint="use 16 bytes or more: secrets.token_bytes(32)")
    for name in fields:
        found = parse_field(name)
        if found.path and found.column in ("data", "metadata"):
            continue
        ways = _COLUMNS.get(found.column, ())
        if by not in ways:
            can = (
                f"can be masked only by {' or '.join(map(repr, ways))}"
                if ways
                else "cannot be masked"
            )
            message = f"{name} {can}: it names or orders events."
            raise ConfigError(message)
    return Mask(tuple(fields), by, text, secret)


def masks(wanted: str | Mask | Iterable[str | Mask]) -> tuple[Mask, ...]:
    """Read what a user passes as ``mask=``: names of fields are masked by text."""
    listed = [wanted] if isinstance(wanted, str | Mask) else list(wanted)
    names = [item for item in listed if isinstance(item, str)]
    given = [item for item in listed if isinstance(item, Mask)]
    if len(names) + len(given) < len(listed):
        message = "mask= takes names of fields and masks."
        raise ConfigError(message, hint="write mask=[wb.mask('owner', by='hash')]")
    return (*given, *([mask(*names)] if names else []))


def words(wanted: Sequence[Mask]) -> str:
    """Say all masks in one sentence, for records."""
    return ", ".join(item.words for item in wanted)


# -- applying ------------------------------------------------------------------------------------

_Tree = dict[str, Any]  # key -> Mask, or the tree below it
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_ENCODE: Final = msgspec.json.Encoder().encode


class Masking:
    """Masks applied to rows of events.

    Attributes
    ----------
    unreadable
        How many payloads could not be read, and were replaced as a whole.
    """

    def __init__(self, wanted: Sequence[Mask]) -> None:
        self.unreadable = 0
        self._columns: dict[str, Mask] = {}
        self._trees: dict[str, _Tree] = {"data": {}, "metadata": {}}
        for item in wanted:
            for name in item.fields:
                found = parse_field(name)
                if not found.path:
                    self._columns[found.column] = item
                    continue
                *above, last = _sql.json_keys(found.path)
                tree = self._trees[found.column]
                for key in above:
                    below = tree.setdefault(key, {})
                    if isinstance(below, Mask):  # all of it is masked already
                        break
                    tree = below
                else:
                    tree[last] = item

    def rows(self, rows: pa.Table) -> pa.Table:
        """Mask rows that have the columns of events, with payloads as text."""
        columns: dict[str, list[str | None]] = {}

        def values(name: str) -> list[str | None]:
            if name not in columns:
                columns[name] = rows.column(name).to_pylist()
            return columns[name]

        actors = values("actor") if "actor" not in self._columns else None
        for name, tree in self._trees.items():
            if tree and name not in self._columns:
                texts = values(name)
                for index, text in enumerate(texts):
                    if text is not None:
                        hidden: dict[str, str | None] = {}
                        texts[index] = self._payload(text, tree, hidden)
                        # What a layout copied out of the envelope must not stay behind beside it.
                        if actors is not None and actors[index] in hidden:
                            actors[index] = hidden[str(actors[index])]
        for name, item in self._columns.items():
            cells = values(name)
            wrap: Callable[[str], str] = _quoted if COLUMNS[name] == "JSON" else str
            for index, cell in enumerate(cells):
                if cell is not None:
                    instead = item.replace(cell)
                    cells[index] = None if instead is None else wrap(instead)
        for name, changed in columns.items():
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, pa.array(changed, pa.string()))
        return rows

    def _payload(self, text: str, tree: _Tree, hidden: dict[str, str | None]) -> str:
        if "\\" not in text and not any(_quoted(key) in text for key in tree):
            return text
        try:
            written = _apply(text.encode(), tree, hidden)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.unreadable += 1
            return _quoted(UNREADABLE)
        return text if written is None else written.decode()


def _quoted(value: str) -> str:
    return _ENCODE(value).decode()


def _apply(raw: bytes, tree: _Tree, hidden: dict[str, str | None]) -> bytes | None:
    """Write a value anew with what the tree names masked; None: there is nothing of it."""
    kind = raw.lstrip()[:1]
    if kind == b"[":
        items = _LIST.decode(raw)
        changed = [_apply(bytes(item), tree, hidden) for item in items]
        if all(item is None for item in changed):
            return None
        both = zip(items, changed, strict=True)
        return b"[" + b",".join(bytes(a) if b is None else b for a, b in both) + b"]"
    if kind != b"{":
        return None
    fields = _OBJECT.decode(raw)
    if tree.keys().isdisjoint(fields):
        return None
    written = []
    # All of it is written anew, also where nothing below is masked: of a key that is there twice only
    # one was looked at.
    for key, value in fields.items():
        below, piece = tree.get(key), bytes(value)
        if isinstance(below, Mask):
            shown = _plain(piece)
            instead: bytes | None = piece
            if shown is not None:
                stands = hidden[shown] = below.replace(shown)
                instead = None if stands is None else _ENCODE(stands)
        else:
            instead = piece if below is None else _apply(piece, below, hidden) or piece
        if instead is not None:
            written.append(_ENCODE(key) + b":" + instead)
    return b"{" + b",".join(written) + b"}"


def _plain(raw: bytes) -> str | None:
    """Read a JSON value as text: a string without its quotes, others as they stand; None for null."""
    stripped = raw.strip()
    if stripped == b"null":
        return None
    if stripped[:1] == b'"':
        return _TEXT.decode(stripped)
    return stripped.decode()
