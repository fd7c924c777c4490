"""Payloads cut out of a record's value exactly as they stand there.

DuckDB's own extraction writes a value anew (1.10 becomes 1.1, 12345678901234567.89 becomes
12345678901234568.0), and an event's payload is kept as received. A record comes from the client as a
Python object anyway, so msgspec, which finds a member and leaves its bytes alone, is the fastest way:
0.6 µs a record here, where anything that works on the whole buffer takes several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec
import pyarrow as pa

_Decode = Callable[[bytes], msgspec.Struct]
_ABSENT = msgspec.Raw(b"")
_TEXT = pa.string()


class Cutter:
    """Cut the members at some paths out of many values.

    Parameters
    ----------
    paths
        Each a tuple of keys, outermost first.

    Examples
    --------
    >>> cutter = Cutter([("data",), ("data", "amount")])
    >>> text, problems, (data, amount) = cutter.cut([b'{"data": {"amount": 1.10}}', b"hello"])
    >>> print(data[0], amount[0], problems[1])
    {"amount": 1.10} 1.10 the value is not JSON: JSON is malformed: invalid character (byte 0)
    >>> print(text[0], text[1])
    {"data": {"amount": 1.10}} None
    """

    def __init__(self, paths: Sequence[tuple[str, ...]]) -> None:
        self._paths = paths
        self._keys = list(dict.fromkeys(path[0] for path in paths))
        self._decode = _decoder(self._keys)
        self._inner = [[_decoder([key]) for key in path[1:]] for path in paths]

    def cut(
        self, values: Sequence[bytes | None]
    ) -> tuple[pa.Array, list[str | None] | None, list[pa.Array]]:
        """Return the values as text, what is wrong with each (None: all are sound), the members.

        Text is NULL where a value is no JSON object in UTF-8; a member is NULL where it is absent or
        ``null``.
        """
        problems: list[str | None] | None = None
        try:
            decode = self._decode
            text = pa.array(values, pa.binary()).cast(_TEXT)  # the cast checks the UTF-8
            found = [decode(value) for value in values]  # type: ignore[arg-type]  # a None raises, below
        except (msgspec.DecodeError, RecursionError, TypeError, pa.ArrowInvalid):
            found, problems = self._one_by_one(values)
            sound = [
                value if problem is None else None
                for value, problem in zip(values, problems, strict=True)
            ]
            text = pa.array(sound, pa.binary()).cast(_TEXT)
        members = [
            self._member(found, self._keys.index(path[0]), inner)
            for path, inner in zip(self._paths, self._inner, strict=True)
        ]
        return text, problems, members

    def _one_by_one(
        self, values: Sequence[bytes | None]
    ) -> tuple[list[msgspec.Struct], list[str | None]]:
        found: list[msgspec.Struct] = []
        problems: list[str | None] = []
        for value in values:
            problem = _problem(self._decode, value)
            problems.append(problem)
            found.append(self._decode(b"{}" if value is None or problem is not None else value))
        return found, problems

    def _member(
        self, found: Sequence[msgspec.Struct], key: int, inner: Sequence[_Decode]
    ) -> pa.Array:
        pieces: list[bytes | None] = list(map(bytes, map(attrgetter(f"f{key}"), found)))
        for decode in inner:
            pieces = [_deeper(decode, piece) for piece in pieces]
        if b"" in pieces or b"null" in pieces:
            pieces = [None if piece in (b"", b"null") else piece for piece in pieces]
        return pa.array(pieces, pa.binary()).cast(_TEXT)


def _decoder(keys: Sequence[str]) -> _Decode:
    fields = [(f"f{number}", msgspec.Raw, _ABSENT) for number, _ in enumerate(keys)]
    names = {f"f{number}": key for number, key in enumerate(keys)}
    struct = msgspec.defstruct("Members", fields, rename=names, gc=False)
    return msgspec.json.Decoder(struct).decode


def _problem(decode: _Decode, value: bytes | None) -> str | None:
    """Say why a value is no JSON object in UTF-8; None when it is one."""
    if value is None:
        return "the value is null (a tombstone)"
    try:
        value.decode()
        decode(value)
    except UnicodeDecodeError as error:
        return f"the value is not valid UTF-8 (byte {error.start})"
    except msgspec.ValidationError:
        return "the value is JSON, but not an object"
    except msgspec.DecodeError as error:
        return f"the value is not JSON: {error}"
    except RecursionError:
        return "the value is nested too deeply"
    return None


def _deeper(decode: _Decode, piece: bytes | None) -> bytes | None:
    if not piece or not piece.startswith(b"{"):
        return b""
    return bytes(decode(piece).f0)  # type: ignore[attr-defined]  # the one field of this struct
