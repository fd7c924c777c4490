"""The manifest of an evidence pack: what is in it, and the hash of each file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from workbench import _html
from workbench.analysis.audit.chain import Head

PRODUCT: Final = "workbench evidence pack"
FORMAT: Final = 1
NAME: Final = "manifest.json"
SEALED: Final = b'\n,"sha256_of_all_above": "'
"""What stands before the last field of a manifest: the SHA-256 of all bytes before this."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, checked for its types alone: anybody may have written it.

    Attributes
    ----------
    format
        Of the pack.
    head
        Of the chain over its events.
    files
        Name -> size in bytes and SHA-256.
    masks, selection
        What is masked, and what of the log it holds, in words.
    """

    format: int
    head: Head
    files: dict[str, tuple[int, str]]
    masks: tuple[str, ...]
    selection: tuple[str, ...]

    @classmethod
    def read(cls, raw: bytes) -> Manifest | None:
        """Read a manifest; None when it is none."""
        try:
            about = json.loads(raw)
            if about["product"] != PRODUCT:
                return None
            chain = about["chain"]
            return cls(
                _as(int, about["format"]),
                Head(
                    _as(int, chain["position"]),
                    _as(int, chain["events"]),
                    _as(str, chain["sha256"]),
                ),
                {
                    name: (_as(int, said["bytes"]), _as(str, said["sha256"]))
                    for name, said in _as(dict, about["files"]).items()
                },
                tuple(_as(str, words) for words in _as(list, about["masks"])),
                tuple(_as(str, words) for words in _as(list, about["selection"])),
            )
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None


_T = TypeVar("_T")


def _as(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def sealed(about: dict[str, Any]) -> bytes:
    """Write a manifest; its last field is the SHA-256 of all that stands before it."""
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, default=_plain)
    above = text.removesuffix("\n}").encode()
    return above + SEALED + hashlib.sha256(above).hexdigest().encode() + b'"\n}\n'


def is_sealed(raw: bytes) -> bool:
    """Whether the last field of a manifest is the hash of all before it."""
    above, mark, rest = raw.rpartition(SEALED)
    return bool(mark) and rest == hashlib.sha256(above).hexdigest().encode() + b'"\n}\n'


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> str:
    return _html.visible(value, limit=1_000_000)
