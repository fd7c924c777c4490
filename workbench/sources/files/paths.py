"""Which files are meant: paths and patterns, and the name of each file in the log."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.errors import ConfigError, did_you_mean

PARQUET: Final = "parquet"
NDJSON: Final = "ndjson"
CSV: Final = "csv"
FORMATS: Final = (PARQUET, NDJSON, CSV)

_SUFFIXES: Final = {
    ".parquet": PARQUET, ".ndjson": NDJSON, ".jsonl": NDJSON, ".json": NDJSON, ".csv": CSV, ".tsv": CSV,
}  # fmt: skip
_CODECS: Final = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True)
class File:
    """One file: where it is, and its name relative to the fixed folder of the patterns."""

    path: Path
    name: str

    @property
    def codec(self) -> str | None:
        """How the file is compressed as a whole, by its last suffix."""
        return _CODECS.get(self.path.suffix.lower())

    @property
    def format(self) -> str | None:
        """The format, by its suffix."""
        path = self.path.with_suffix("") if self.codec else self.path
        return _SUFFIXES.get(path.suffix.lower())


def find(patterns: Sequence[str]) -> list[File]:
    """Return the files that are meant, each once, in the order of their names.

    Raises
    ------
    ConfigError
        A path that does not exist, a pattern that matches nothing, or a folder.
    """
    paths = {path for pattern in patterns for path in _matches(pattern)}
    folder = Path(os.path.commonpath([_fixed_folder(pattern).absolute() for pattern in patterns]))
    files = [File(path, Path(os.path.relpath(path, folder)).as_posix()) for path in paths]
    return sorted(files, key=lambda file: file.name)


def one_format(files: Sequence[File], wanted: str | None) -> str:
    """Return the format of all the files.

    Raises
    ------
    ConfigError
        A suffix that says nothing, or files of different formats.
    """
    if wanted is not None:
        return wanted
    found: dict[str, str] = {}
    for file in files:
        if file.format is None:
            message = f"{file.path}: the suffix {file.path.suffix or '(none)'!r} does not say what is in the file."
            raise ConfigError(message, hint="say format='parquet', 'ndjson' or 'csv'")
        found.setdefault(file.format, file.name)
    if len(found) > 1:
        shown = ", ".join(f"{name} ({kind})" for kind, name in sorted(found.items()))
        message = f"one source has one format, but the pattern matches {shown}."
        raise ConfigError(
            message, hint="narrow the pattern, for example to *.parquet, or load each apart"
        )
    return next(iter(found))


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        message = f"{pattern} is a folder."
        raise ConfigError(
            message, hint=f"say which files in it: {Path(pattern, '*.parquet').as_posix()}"
        )
    if path.exists():
        return [path.absolute()]
    if not glob.has_magic(pattern):
        message = f"there is no file {pattern}.{_nearby(path)}"
        raise ConfigError(
            message, hint="correct the path; a relative one begins at the working folder"
        )
    found = [Path(match).absolute() for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207  # Path.glob takes no absolute pattern
    files = [match for match in found if match.is_file()]
    if not files:
        message = f"no file matches {pattern}.{_nearby(path)}"
        raise ConfigError(
            message, hint="correct the pattern; a relative one begins at the working folder"
        )
    return files


def _fixed_folder(pattern: str) -> Path:
    """Return the folder above the first part that holds a wildcard (or above the file itself)."""
    path = Path(pattern).expanduser()
    fixed = path.parent
    if not path.exists():
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
    return fixed


def _nearby(path: Path) -> str:
    """Say what is where the path leads to nowhere."""
    folder, missing = path.parent, path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, missing = folder.parent, folder.name
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    guess = did_you_mean(missing, names)
    if guess or not names:
        return guess or f" The folder {folder} is empty."
    shown = ", ".join(names[:10])
    return f" The folder {folder} holds {shown}{', …' if len(names) > 10 else ''}."
