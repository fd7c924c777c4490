"""How a value is read: SQL, the headers that it needs, and what it says when it cannot be read.

Nothing here may raise on what a record holds: a value that cannot be read is NULL, and a problem says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from workbench._sql import aware_time, ident, text
from workbench.sources.dead_letters.headers import Which

_FIRST_MICROSECOND: Final = (
    -62_135_596_800_000_000
)  # years 1 to 9999, as far as Python's datetime reaches
_LAST_MICROSECOND: Final = 253_402_300_799_999_999
_WHOLE: Final = r"-?\d{1,18}"


@dataclass(frozen=True, slots=True)
class Step:
    """A value that is computed once and used by several expressions: a column of a query of its own."""

    name: str
    sql: str
    depth: int


@dataclass(frozen=True, slots=True)
class Expr:
    """A value.

    Attributes
    ----------
    sql
        The value, or NULL.
    headers
        The headers that it is read from: (name, which).
    problems
        Why it could not be read, or NULL: VARCHAR expressions.
    steps
        What has to be computed before.
    """

    sql: str
    headers: tuple[tuple[str, Which], ...] = ()
    problems: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    def then(self, sql: str) -> Expr:
        """Return an expression over this one, which ``{}`` stands for."""
        return replace(self, sql=sql.replace("{}", self.sql))

    def once(self) -> Expr:
        """Compute this before, and refer to it by a name."""
        depth = 1 + max((step.depth for step in self.steps), default=0)
        name = f"={hashlib.md5(self.sql.encode(), usedforsecurity=False).hexdigest()}"
        return replace(self, sql=ident(name), steps=(*self.steps, Step(name, self.sql, depth)))

    def or_say(self, given: Expr, said: str) -> Expr:
        """Return this value, read from ``given``; where that is there and this is not, say so."""
        problem = f"CASE WHEN {given.sql} IS NOT NULL AND {self.sql} IS NULL THEN {said} END"
        return replace(self, problems=(*self.problems, problem))


def query(columns: Mapping[str, Expr], table: str) -> str:
    """Return the query that computes columns over a table, each step of it once."""
    steps = {step.name: step for given in columns.values() for step in given.steps}
    for depth in sorted({step.depth for step in steps.values()}):
        made = ", ".join(
            f"{step.sql} AS {ident(step.name)}" for step in steps.values() if step.depth == depth
        )
        table = f"(SELECT *, {made} FROM {table})"
    listed = ", ".join(f"{given.sql} AS {ident(name)}" for name, given in columns.items())
    return f"SELECT {listed} FROM {table}"


def all_of(sql: str, *given: Expr) -> Expr:
    """Return an expression that is made of several others."""
    return Expr(
        sql,
        tuple(dict.fromkeys(header for one in given for header in one.headers)),
        tuple(dict.fromkeys(problem for one in given for problem in one.problems)),
        tuple(dict.fromkeys(step for one in given for step in one.steps)),
    )


def first_of(*given: Expr) -> Expr:
    """Return the first value that is known."""
    return all_of(f"coalesce({', '.join(one.sql for one in given)})", *given)


def header_column(name: str, which: Which) -> str:
    """Name the column that holds a header's value."""
    return f"*{which} {name}"


def _header(name: str, which: Which, sql: str, wanted: str) -> Expr:
    given = Expr(ident(header_column(name, which)), ((name, which),))
    return (
        given.then(sql)
        .once()
        .or_say(
            given,
            f"{text(f'header {name} is not {wanted}: ')} || octet_length({given.sql}) || ' bytes 0x' || "
            f"left(hex({given.sql}), 32)",
        )
    )


def word(name: str, which: Which = "last") -> Expr:
    """Read a header as UTF-8 text."""
    return _header(name, which, "try(decode({}))", "UTF-8 text")


def whole(name: str, which: Which = "last") -> Expr:
    """Read a header as a whole number in decimal digits; below 0 it means 'none'."""
    digits = "try(decode({}))"
    read = f"CASE WHEN regexp_full_match({digits}, {text(_WHOLE)}) THEN try_cast({digits} AS BIGINT) END"
    return _header(name, which, read, "a whole number").then("CASE WHEN {} >= 0 THEN {} END")


def big_endian(name: str, which: Which, *lengths: int) -> Expr:
    """Read a header as a big-endian integer, two's complement, of one of these lengths in bytes."""
    cases = {1: "UTINYINT", 4: "INTEGER", 8: "BIGINT"}
    branches = " ".join(
        f"WHEN octet_length({{}}) = {length} THEN CAST(CAST(CAST({{}} AS BIT) AS {cases[length]}) AS BIGINT)"
        for length in lengths
    )
    wanted = f"an integer of {' or '.join(map(str, lengths))} bytes"
    return _header(name, which, f"CASE {branches} END", wanted)


def big_integer(name: str, which: Which) -> Expr:
    """Read a header as Java's ``BigInteger`` writes one: as few bytes as it takes, at most 8 here, not negative."""
    # Below 8 bytes the cast fills up with zeros; a first bit that is set would be a sign.
    read = (
        "CASE WHEN octet_length({}) BETWEEN 1 AND 8 AND get_bit(CAST({} AS BIT), 0) = 0 "
        "THEN CAST(CAST({} AS BIT) AS BIGINT) END"
    )
    return _header(name, which, read, "a positive integer of 1 to 8 bytes")


def millis(given: Expr) -> Expr:
    """Turn milliseconds since 1970 into a time; outside Python's years it is unknown."""
    limit = _LAST_MICROSECOND // 1000
    made = given.then(
        f"CASE WHEN {{}} BETWEEN 0 AND {limit} THEN make_timestamptz({{}} * 1000) END"
    )
    return made.or_say(given, f"'no time: ' || {given.sql} || ' ms'")


def time(given: Expr, what: str) -> Expr:
    """Read text as a time that says its offset."""
    parsed = given.then(f"try({aware_time(given.sql)})").once()
    return (
        parsed.then(reachable(parsed.sql))
        .once()
        .or_say(given, f"{text(f'{what} is not a time with an offset: ')} || left({given.sql}, 80)")
    )


def reachable(moment: str) -> str:
    """Keep a time that Python can hold; NULL for infinity and for years beyond 1 to 9999.

    The first moment of year 1 is what .NET has for a time that was never set.
    """
    return (
        f"CASE WHEN isfinite({moment}) AND epoch_us({moment}) > {_FIRST_MICROSECOND} "
        f"AND epoch_us({moment}) <= {_LAST_MICROSECOND} THEN {moment} END"
    )


def unless_broken(given: Expr, fallback: Expr) -> Expr:
    """Return a value, or where nothing stands in its place another: what is there and unreadable is no reason to guess."""
    said = ", ".join(given.problems)
    other = f"CASE WHEN coalesce({said}) IS NULL THEN {fallback.sql} END" if said else fallback.sql
    return all_of(f"coalesce({given.sql}, {other})", given, fallback)


def total(retries: str, rounds: str) -> str:
    """Count the attempts of rounds of retries: each round begins with a first attempt; absurd numbers are unknown."""
    return f"try(({retries} + 1) * ({rounds} + 1))"
