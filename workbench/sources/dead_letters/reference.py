"""The reference system: ``events.dead-letter``, ``{originalEvent, error, attempts, timestamp}``.

``error`` is a sentence or an object; ``originalEvent`` may be text that no parser took. The time is a number
of milliseconds, as JavaScript's ``Date.now()`` gives it, or ISO text with an offset.
"""

from __future__ import annotations

from typing import Final

from workbench._sql import aware_time, ident, text
from workbench.sources.dead_letters.expressions import Expr, reachable, unless_broken
from workbench.sources.dead_letters.record_format import RECORD_TIME, RecordFormat, member

_ERROR: Final = ident(member("error"))
_ATTEMPTS: Final = ident(member("attempts"))
_TIME: Final = ident(member("timestamp"))

_LAST_MS: Final = 253_402_300_799_999
#: 'TypeError: amount is undefined', 'java.lang.IllegalStateException: …'.
_NAMED: Final = r"^([A-Za-z_$][\w.$]*(?:Error|Exception))(?::|\r?\n|$)"


def _string(column: str) -> str:
    """Return the text of a JSON string; NULL for what is none."""
    return f"CASE WHEN starts_with({column}, '\"') THEN try(json_extract_string({column}, '$')) END"


def _of_error(*keys: str) -> str:
    """Return the first of these members of an error that is an object."""
    members = ", ".join(f"json_extract_string({_ERROR}, {text(f'$.{key}')})" for key in keys)
    return f"CASE WHEN starts_with({_ERROR}, '{{') THEN try(coalesce({members})) END"


_ERROR_TEXT: Final = Expr(_string(_ERROR)).once()
_SAID: Final = _ERROR_TEXT.sql
_MESSAGE: Final = f"coalesce({_SAID}, {_of_error('message', 'msg', 'reason')}, {_ERROR})"
_COUNT: Final = (
    f"CASE WHEN regexp_full_match({_ATTEMPTS}, '\"?\\d{{1,18}}\"?') "
    f"THEN try_cast(trim({_ATTEMPTS}, '\"') AS BIGINT) END"
)
_NUMBER: Final = (
    f"CASE WHEN regexp_full_match({_TIME}, '\\d{{1,15}}(\\.\\d{{1,6}})?') AND "
    f"try_cast({_TIME} AS DOUBLE) <= {_LAST_MS} "
    f"THEN make_timestamptz(CAST(try_cast({_TIME} AS DECIMAL(24,6)) * 1000 AS BIGINT)) END"
)
_ISO: Final = Expr(f"try({aware_time(_string(_TIME))})").once()
_AT: Final = _ISO.then(f"coalesce({_NUMBER}, {reachable(_ISO.sql)})").once()

REFERENCE: Final = RecordFormat(
    name="reference",
    marks=(),
    columns={
        "dead_lettered_at": unless_broken(
            _AT.or_say(Expr(_TIME), f"'timestamp is not a time: ' || left({_TIME}, 80)"),
            RECORD_TIME,
        ),
        "error_class": _ERROR_TEXT.then(
            f"coalesce({_of_error('name', 'type', 'class', 'errorClass', 'exception')}, "
            f"nullif(regexp_extract({{}}, {text(_NAMED)}, 1), ''))"
        ),
        "error_message": _ERROR_TEXT.then(_MESSAGE),
        "error_stack": _ERROR_TEXT.then(
            f"coalesce({_of_error('stack', 'stackTrace', 'stacktrace')}, "
            "CASE WHEN regexp_matches({}, '\\n\\s+at ') THEN {} END)"
        ),
        "attempts": Expr(_COUNT).or_say(
            Expr(_ATTEMPTS), f"'attempts is not a whole number: ' || left({_ATTEMPTS}, 80)"
        ),
    },
    event="originalEvent",
    members=("error", "attempts", "timestamp"),
)
