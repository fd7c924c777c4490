"""What dead letters are counted by, and how that is said."""

from __future__ import annotations

from typing import Final, Literal, get_args

from workbench._html import visible
from workbench.errors import ConfigError, did_you_mean

By = Literal[
    "event_type", "consumer", "error_class", "error", "format", "origin_topic", "source", "role"
]

PLURAL: Final[dict[str, str]] = {
    "event_type": "types",
    "consumer": "consumers",
    "error_class": "error classes",
    "error": "errors",
    "format": "formats",
    "origin_topic": "topics",
    "source": "sources",
    "role": "roles",
}


def check_by(by: str) -> None:
    """Check what to count by.

    Raises
    ------
    ConfigError
        Dead letters are not counted by that.
    """
    if by not in get_args(By):
        message = f"by={by!r}: dead letters are counted by {', '.join(get_args(By))}."
        raise ConfigError(message + did_you_mean(by, get_args(By)))


def counted(number: int, word: str) -> str:
    """Write a number of things.

    >>> counted(1, "event"), counted(1200, "event")
    ('1 event', '1,200 events')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def percent(rate: float | None) -> str | None:
    """Write a rate; one that is small is not written as none.

    >>> percent(0.0123), percent(0.00000012), percent(None)
    ('1.23%', '0.000012%', None)
    """
    if rate is None:
        return None
    return (
        f"{rate:.2%}"
        if rate == 0 or rate >= 0.001
        else f"{float(f'{rate * 100:.2g}'):f}".rstrip("0") + "%"
    )


def shorter(value: object, limit: int) -> str:
    """Write a value in so many characters at most; a longer one loses its middle, since names differ at their ends.

    >>> shorter("com.example.accounts.events.DepositMade", 24)
    'com.example.…DepositMade'
    """
    text = visible(value, limit=1_000)
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
