"""Fingerprints: one name for all dead letters that failed in the same way.

The idea is that of ServiceControl (Particular Software), which groups failed messages by the type of the
exception and the first frame of its stack: the message differs from letter to letter, the place does not. The
frame is that of the *root cause*: behind the last ``Caused by:``, since frameworks wrap what went wrong. Line
numbers are left out, so that a fingerprint outlives a release. Where no stack is told, the first line of the
message takes its place, with all that looks like an id, a number, a time or an address written as ``#``.
"""

from __future__ import annotations

from typing import Final

from workbench._sql import text

LONGEST: Final = 200
"""Characters of a message or a frame that count."""

_NUMBERED: Final = r"[\w-]*\d[\w.:+-]*"  # order-0017, 10.3.0.1:5432, 2026-06-30T14:02Z, a UUID
_ADDRESS: Final = r"[\w.+-]+@[\w-]+\.[\w.-]+"
_UUID: Final = r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

#: Java, JavaScript and .NET write '   at here', PHP '#0 here'; in each the first line is the innermost.
_AT: Final = r"(?m)^[ \t]*(?:at|#0)[ \t]+([^\r\n]+)"
#: Python writes the innermost last.
_FILE: Final = r'(?m)^\s*File "([^"]+)", line \d+(, in .+?)?\s*$'
_LINE: Final = r"(?::line |, line |:)\d+(?::\d+)?"
#: Classes made at run time are numbered: '$$Lambda$17/0x00c8', 'EnhancerBySpringCGLIB$$8a7c'.
_MADE: Final = r"\$\$[a-f]*\d[0-9a-f]*|0x[0-9a-f]+|\d+"


def message_sql(message: str) -> str:
    """Normalise the first line of a message; NULL where there is none."""
    sql = f"left(split_part(trim({message}), chr(10), 1), {2 * LONGEST})"
    for pattern in (_ADDRESS, _UUID, _NUMBERED):
        sql = f"regexp_replace({sql}, {text(pattern)}, '#', 'g')"
    sql = f"regexp_replace({sql}, '#(?:\\W{{0,3}}#)+', '#', 'g')"
    return f"nullif(left(trim(regexp_replace({sql}, '\\s+', ' ', 'g')), {LONGEST}), '')"


def frame_sql(stack: str) -> str:
    """Find the first frame of the root cause, without its line; NULL where there is none."""
    cause = f"list_extract(string_split({stack}, 'Caused by: '), -1)"
    python = (
        f"CASE WHEN contains({stack}, 'File \"') THEN "
        f"trim(list_extract(regexp_extract_all({stack}, {text(_FILE)}, 0), -1)) END"
    )
    found = f"coalesce(nullif(trim(regexp_extract({cause}, {text(_AT)}, 1)), ''), {python})"
    bare = f"regexp_replace(left({found}, {2 * LONGEST}), {text(_LINE)}, '', 'g')"
    return f"nullif(left(regexp_replace({bare}, {text(_MADE)}, '#', 'g'), {LONGEST}), '')"


def error_sql(error_class: str, message: str, frame: str) -> str:
    """Write what a fingerprint stands for: the class and the frame, or what of it there is; NULL: nothing is told.

    ``message`` is the message as it came: to normalise it takes long, and it is done only where it counts.
    """
    named, normal = f"nullif(trim({error_class}), '')", message_sql(message)
    return (
        f"nullif(CASE WHEN {named} IS NOT NULL AND {frame} IS NOT NULL THEN {named} || ' at ' || {frame} "
        f"WHEN {frame} IS NOT NULL THEN concat_ws(' at ', {normal}, {frame}) "
        f"ELSE concat_ws(': ', {named}, {normal}) END, '')"
    )


def fingerprint_sql(error: str) -> str:
    """Shorten what an error is to twelve digits, which can be said and typed."""
    return f"left(md5({error}), 12)"
