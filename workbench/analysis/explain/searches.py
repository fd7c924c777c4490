"""The searches over a projection's halves: each is one query for hypotheses that give the stored row exactly.

A changed run of events is written as pieces: *up to a, on from b* covers one event or several skipped
(b beyond a), applied twice (b before a) and stopped (b the end); between the halves may stand single events,
for two that were swapped, or one of another row.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench._sql import DECIMAL, text
from workbench.analysis.explain import causes
from workbench.analysis.explain.halves import Halves, Side
from workbench.analysis.explain.strangers import Strangers
from workbench.projections.engines.pieces import Piece

_NONE = "NULL::BIGINT"
MOST_PROOFS = 2_000
"""So many changed runs of one row are laid out at most, where its sums leave more than that possible."""


def hypothesis(
    cause: str,
    lo: str,
    hi: str,
    *,
    second: tuple[str, str] = (_NONE, _NONE),
    other: tuple[str, str] = (_NONE, _NONE),
    detail: str = "NULL::VARCHAR",
    k: str = "wb_k",
) -> str:
    """Write the columns of a hypothesis: ``causes.COLUMNS``."""
    names = ("lo", "hi", "lo2", "hi2", "other_k", "other_n", "detail")
    named = zip(names, (lo, hi, *second, *other, detail), strict=True)
    return ", ".join(
        [f"{k} AS wb_k, {cause} AS cause", *(f"{sql} AS {name}" for name, sql in named)]
    )


class Searches:
    """Hypotheses for the suspects of one projection, as tables of the workspace."""

    def __init__(self, halves: Halves) -> None:
        self.halves, self.suspects = halves, halves.suspects
        self.database = halves.database
        self.old: str | None = None
        """The events of each row whose payload upcasters change: ``wb_k``, ``wb_n``."""
        self._cut: list[str] = []

    @property
    def incomplete(self) -> str:
        """A query for the rows (``wb_k``) in which not everything was tried."""
        cut = "".join(f" UNION SELECT wb_k FROM {table}" for table in self._cut)
        return f"SELECT wb_k FROM {self.halves.limits} WHERE reach < wb_length{cut}"

    def run(self) -> list[str]:
        """Search all causes, the simplest first; return queries for hypotheses.

        What is less simple is searched for rows only that nothing simpler explains.
        """
        found = [f"FROM {self._keep(query)}" for query in self._single()]
        left = self._unexplained(found)
        own = " UNION ALL ".join(found)
        more = [f"FROM {self._keep(query)}" for query in self._wrong_key(own, left)]
        more += [f"FROM {self._keep(query)}" for query in self._two(left)]
        found += more
        strangers = Strangers(self.halves)
        states = strangers.run(self._unexplained(found))
        found += [f"FROM {self._keep(query)}" for query in states]
        self._cut += strangers.cut
        return found

    def _unexplained(self, found: list[str]) -> str:
        """Keep the rows that no hypothesis explains so far."""
        return self.database.keep(
            f"SELECT l.* FROM {self.halves.limits} l ANTI JOIN ({' UNION ALL '.join(found)}) USING (wb_k) "
            "WHERE l.class IN ('corrupted', 'orphaned')",
            self,
            "left",
        )

    def _keep(self, query: str) -> str:
        return self.database.keep(f"SELECT {causes.COLUMNS} FROM ({query})", self, "hypotheses")

    def _single(self) -> Iterator[str]:
        yield self._late()
        yield from self._jumps(self.halves.side, self.halves.side)
        if self.halves.pieces.is_ordered or self.halves.projection.ends:
            yield from self._swapped()
        if self.halves.raw is not None:
            yield from self._not_upcast(self.halves.raw)

    # -- what the diff has proven ----------------------------------------------------------------

    def _late(self) -> str:
        """Rows that stopped, and rows that were never written."""
        limits = self.halves.limits
        stopped = hypothesis(text(causes.STOPPED), "wb_stopped + 1", "wb_all")
        missing = hypothesis(text(causes.NOT_WRITTEN), "wb_last_end + 1", "wb_length")
        return (
            f"SELECT {stopped} FROM {limits} WHERE class = 'stale' UNION ALL BY NAME "
            f"SELECT {missing} FROM {limits} WHERE class = 'missing'"
        )

    # -- up to a, on from b ----------------------------------------------------------------------

    def _jumps(self, first: Side, second: Side) -> Iterator[str]:
        """One event or several left out, or had twice."""
        halves = self.halves
        is_stored = halves.is_stored([Piece("x"), Piece("y")])
        # A row that is late by its own checkpoint is proven to be late, and no more is asked of it.
        asked = (
            "l.class IN ('corrupted', 'orphaned') OR (l.class = 'stale' AND l.checkpoint IS NULL)"
        )
        checked = (
            f"JOIN {self.suspects.table} s ON s.wb_k = x.wb_k{halves.with_lists(first)} WHERE x.i <> y.i "
            f"AND x.ev + y.ev > 0 AND {is_stored} AND ({asked}) "
            # 'Up to a and no more' is what a late row is.
            "AND NOT (l.class = 'stale' AND y.i = l.wb_length AND x.i < y.i - 1)"
        )
        keys = "".join(f" AND x.{name} = y.{name}" for name in halves.key_names)
        picked = "SELECT x.wb_k, x.i AS a, y.i AS b, l.wb_length"
        everywhere = (
            f"{picked} FROM {first.before} x JOIN {second.after} y ON x.wb_k = y.wb_k{keys} "
            f"JOIN (FROM {halves.limits} WHERE reach IS NULL) l ON l.wb_k = x.wb_k {checked}"
        )
        nearby = (
            f"{picked} FROM (SELECT *, unnest(generate_series(greatest(i - reach, 0), least(i + reach, wb_length))) AS j "
            f"FROM {first.before} JOIN (FROM {halves.limits} WHERE reach IS NOT NULL) USING (wb_k)) x "
            f"JOIN {second.after} y ON y.wb_k = x.wb_k AND y.i = x.j JOIN {halves.limits} l ON l.wb_k = x.wb_k {checked}"
        )
        jumps = self.database.keep(f"{everywhere} UNION ALL {nearby}", self, "jumps")
        # The least that has to have happened: a run of which a part alone gives the same row is left out.
        inner = (
            "min(greatest(a, b)) OVER (PARTITION BY wb_k, a < b ORDER BY least(a, b) DESC, greatest(a, b) "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )
        least = self.database.keep(
            f"SELECT * FROM {jumps} QUALIFY coalesce({inner} > greatest(a, b), TRUE)", self, "jumps"
        )
        lo, hi = "least(a, b) + 1", "greatest(a, b)"
        cause = (
            f"CASE b - a WHEN 1 THEN {text(causes.SKIPPED)} WHEN -1 THEN {text(causes.TWICE)} "
            f"ELSE CASE WHEN b > a THEN {text(causes.RUN_SKIPPED)} ELSE {text(causes.RUN_TWICE)} END END"
        )
        yield f"SELECT {hypothesis(cause, lo, hi)} FROM {least}"
        # Where the row's checkpoint says otherwise, that it stopped is what the rest looks like, too.
        stopped = hypothesis(text(causes.STOPPED), "a + 1", "j.wb_length")
        yield (
            f"SELECT {stopped} FROM {jumps} j JOIN {halves.limits} l USING (wb_k) "
            "WHERE b = j.wb_length AND b > a AND l.class <> 'stale'"
        )
        # The same is lacking after a rebuild on the state of an earlier event that was taken for a later one.
        snapshot = hypothesis(text(causes.BAD_SNAPSHOT), lo, hi)
        yield f"SELECT {snapshot} FROM {least} WHERE b > a + 1 AND a > 0 AND b < wb_length"

    def _swapped(self) -> Iterator[str]:
        """Two neighbours the other way round; where the second one ends the row, only the first remains."""
        halves, side = self.halves, self.halves.side
        joined = (
            f"FROM {side.units} u JOIN {side.units} v ON v.wb_k = u.wb_k AND v.wb_n = u.wb_n + 1 "
            f"JOIN {side.before} x ON x.wb_k = u.wb_k AND x.i = u.wb_n - 1 "
            f"JOIN {side.after} y ON y.wb_k = u.wb_k AND y.i = v.wb_n "
            f"JOIN {self.suspects.table} s ON s.wb_k = u.wb_k{halves.with_lists(side)} "
            "WHERE (s.class <> 'stale' OR s.checkpoint IS NULL) AND NOT u.wb_is_end"
        )
        swapped = halves.is_stored([Piece("x"), Piece("v"), Piece("u"), Piece("y")])
        ended = halves.is_stored([Piece("u"), Piece("y")])
        columns = hypothesis(text(causes.SWAPPED), "u.wb_n", "v.wb_n", k="u.wb_k")
        yield f"SELECT {columns} {joined} AND NOT v.wb_is_end AND {swapped}"
        if halves.projection.ends:
            yield f"SELECT {columns} {joined} AND v.wb_is_end AND {ended}"

    # -- payloads as they were stored --------------------------------------------------------------

    def _not_upcast(self, raw: Side) -> Iterator[str]:
        """One old payload, or a run of neighbours among them, read as it is stored."""
        halves, side = self.halves, self.halves.side
        units = [f"{kind}{n}" for n in range(len(halves.pieces.aggregates)) for kind in "ab"]
        differs = " OR ".join(f"u.{name} IS DISTINCT FROM r.{name}" for name in units)
        # Number the payloads that upcasters change; what they add to each key, up to there.
        grown = "".join(
            f", sum(TRY({halves.amount(column, 'r')} - {halves.amount(column, 'u')})) OVER (PARTITION BY u.wb_k ORDER BY u.wb_n) AS key_{index}"
            for index, column in enumerate(halves.keys)
        )
        old = self.old = self.database.keep(
            f"SELECT u.wb_k, u.wb_n, row_number() OVER (PARTITION BY u.wb_k ORDER BY u.wb_n) AS m{grown} "
            f"FROM {side.units} u JOIN {raw.units} r USING (wb_k, wb_n) JOIN {self.suspects.table} s USING (wb_k) "
            f"WHERE u.wb_n > u.wb_last_end AND ({differs}) AND (s.class <> 'stale' OR s.checkpoint IS NULL)",
            self,
            "old",
        )
        start = "".join(f", 0 AS {name}" for name in halves.key_names)
        before = f"SELECT wb_k, m{''.join(', ' + name for name in halves.key_names)} FROM {old} UNION ALL SELECT DISTINCT wb_k, 0{start} FROM {old}"
        same = "".join(
            f" AND y.key_{index} - x.key_{index} = o.off_{index}"
            for index in range(len(halves.keys))
        )
        tries = self.database.keep(
            f"SELECT row_number() OVER () AS c, * FROM (SELECT y.wb_k, o.wb_length AS stop, NULL::BIGINT AS n1, NULL::BIGINT AS way1, "
            "NULL::BIGINT AS n2, NULL::BIGINT AS way2, f.wb_n AS raw_lo, y.wb_n AS raw_hi, x.m AS a, y.m AS b "
            f"FROM ({self._off()}) o JOIN {old} y ON y.wb_k = o.wb_k JOIN ({before}) x ON x.wb_k = y.wb_k AND x.m < y.m{same} "
            f"JOIN {old} f ON f.wb_k = y.wb_k AND f.m = x.m + 1 "
            f"QUALIFY row_number() OVER (PARTITION BY y.wb_k ORDER BY y.m - x.m, y.m) <= {MOST_PROOFS})",
            self,
            "tries",
        )
        proven = self.database.keep(self._proven(tries), self, "proven")
        least = f"SELECT j.* FROM {proven} j ANTI JOIN {proven} p ON p.wb_k = j.wb_k AND p.a >= j.a AND p.b <= j.b AND p.b - p.a < j.b - j.a"
        yield f"SELECT {hypothesis(text(causes.NOT_UPCAST), 'raw_lo', 'raw_hi')} FROM ({least})"

    def _off(self) -> str:
        """By how much each key of each row is off, when all that it claims to have applied is."""
        halves, side = self.halves, self.halves.side
        off = "".join(
            f", TRY(y.key_{index} - x.key_{index}) AS off_{index}"
            for index in range(len(halves.keys))
        )
        return (
            f"SELECT l.wb_k, l.wb_length, l.wb_last_end{off} FROM {halves.limits} l JOIN {side.before} x ON x.wb_k = l.wb_k AND x.i = l.wb_length "
            f"JOIN {side.after} y ON y.wb_k = l.wb_k AND y.i = l.wb_length"
        )

    # -- proofs ------------------------------------------------------------------------------------

    def _proven(self, tries: str) -> str:
        """Lay out the changed runs of events that were found, join each from its first event to its last, and compare.

        ``tries`` has ``c`` (a number), ``wb_k``, ``stop``; ``n1``, ``way1`` and ``n2``, ``way2``: an event, and
        how many times more or less it is had (0: as it is stored; 7: after the next one); ``raw_lo`` to
        ``raw_hi``: payloads as they are stored.
        """
        halves, side = self.halves, self.halves.side
        raw = "FALSE AS is_raw"
        units = f"SELECT *, {raw} FROM {side.units}"
        if halves.raw is not None:
            units += f" UNION ALL BY NAME SELECT *, TRUE AS is_raw FROM {halves.raw.units}"
        is_raw = (
            "coalesce(u.wb_n BETWEEN t.raw_lo AND t.raw_hi, FALSE) OR coalesce(u.wb_n = t.n1 AND way1 = 0, FALSE) "
            "OR coalesce(u.wb_n = t.n2 AND way2 = 0, FALSE)"
        )
        # An event that is swapped with the next comes after it.
        place = "u.wb_n + CASE WHEN (u.wb_n = t.n1 AND way1 = 7) OR (u.wb_n = t.n2 AND way2 = 7) THEN 1.5 ELSE 0 END"
        copies = "CASE WHEN u.wb_n = t.n1 AND abs(way1) = 1 THEN way1 WHEN u.wb_n = t.n2 AND abs(way2) = 1 THEN way2 ELSE 0 END"
        laid = self.database.keep(
            f"SELECT t.c AS wb_k, row_number() OVER (PARTITION BY t.c ORDER BY {place}) AS wb_n, 0 AS wb_life, FALSE AS wb_is_end, "
            f"u.* EXCLUDE (wb_k, wb_n, wb_life, wb_is_end) FROM {tries} t JOIN ({units}) u ON u.wb_k = t.wb_k AND u.wb_n <= t.stop "
            f"AND u.wb_n > u.wb_last_end, (VALUES (1), (2)) v(copy) WHERE copy <= 1 + {copies} AND is_raw = ({is_raw})",
            self,
            "run",
        )
        whole = self.database.keep(
            f"SELECT wb_k, {', '.join(halves.pieces.before())} FROM {laid} QUALIFY row_number() OVER (PARTITION BY wb_k ORDER BY wb_n DESC) = 1",
            self,
            "run",
        )
        lists = ""
        if halves.pieces.has_lists:
            kept = self.database.keep(halves.pieces.lists(laid), self, "lists")
            lists = f" LEFT JOIN {kept} w ON w.wb_k = t.c"
        return (
            f"SELECT t.*, l.wb_all FROM {tries} t JOIN {whole} x ON x.wb_k = t.c JOIN {self.suspects.table} s ON s.wb_k = t.wb_k "
            f"JOIN {halves.limits} l ON l.wb_k = t.wb_k{lists} WHERE {halves.is_stored([Piece('x')])}"
        )

    # -- an event of another row -------------------------------------------------------------------

    def _wrong_key(self, own: str, left: str) -> Iterator[str]:
        """An event that one row lacks, and that makes another wrong row what it is: they are paired."""
        halves, side = self.halves, self.halves.side
        if not halves.keys:
            halves.notes.append("events of other rows were not tried: no compared column adds up")
            return
        lost = self.database.keep(
            f"SELECT h.wb_k AS other_k, h.lo AS other_n, u.* FROM ({own}) h "
            f"JOIN {side.units} u ON u.wb_k = h.wb_k AND u.wb_n = h.lo WHERE cause = {text(causes.SKIPPED)}",
            self,
            "lost",
        )
        changes = "".join(
            f", TRY({halves.amount(column, 'u')}) AS key_{index}"
            for index, column in enumerate(halves.keys)
        )
        off = ", ".join(f"off_{index} AS key_{index}" for index in range(len(halves.keys)))
        receivers = f"SELECT wb_k, {off} FROM ({self._off()}) SEMI JOIN {left} USING (wb_k)"
        same = " AND ".join(f"r.{name} = e.{name}" for name in halves.key_names)
        paired = self.database.keep(
            f"SELECT r.wb_k, e.other_k, e.other_n, e.position FROM ({receivers}) r "
            f"JOIN (SELECT u.*{changes} FROM {lost} u) e ON {same} AND r.wb_k <> e.other_k",
            self,
            "paired",
        )
        # It was applied when its turn came, among the events that the row has itself.
        placed = (
            f"SELECT p.wb_k, p.other_k, p.other_n, count(t.wb_n) AS i FROM {paired} p "
            f"LEFT JOIN {side.units} t ON t.wb_k = p.wb_k AND t.position < p.position GROUP BY ALL"
        )
        lists = halves.with_lists(side, "w") + halves.with_lists(side, "w2", "p.other_k")
        is_stored = halves.is_stored([Piece("x"), Piece("u", "w2"), Piece("y")])
        proven = self.database.keep(
            f"SELECT p.wb_k, p.other_k, p.other_n FROM ({placed}) p JOIN {side.before} x ON x.wb_k = p.wb_k AND x.i = p.i "
            f"JOIN {side.after} y ON y.wb_k = p.wb_k AND y.i = p.i "
            f"JOIN {side.units} u ON u.wb_k = p.other_k AND u.wb_n = p.other_n "
            f"JOIN {self.suspects.table} s ON s.wb_k = p.wb_k{lists} WHERE {is_stored}",
            self,
            "paired",
        )
        received = hypothesis(text(causes.WRONG_KEY), _NONE, _NONE, other=("other_k", "other_n"))
        gave = hypothesis(
            text(causes.WRONG_KEY), "other_n", "other_n", other=("wb_k", _NONE), k="other_k"
        )
        yield f"SELECT {received} FROM {proven}"
        yield f"SELECT {gave} FROM {proven}"

    # -- two that went wrong on their own ------------------------------------------------------------

    def _few(self, changes: str, both: str) -> str:
        """Leave out the rows in which too many pairs of events could do what is off; they are said to be incomplete."""
        names = ", ".join(self.halves.key_names)
        counted = f"SELECT wb_k, {names}, count(*) AS n FROM {changes} GROUP BY ALL"
        table = self.database.keep(
            f"SELECT o.wb_k FROM ({self._off()}) o JOIN ({counted}) p ON p.wb_k = o.wb_k "
            f"JOIN ({counted}) q ON q.wb_k = o.wb_k AND {both} GROUP BY o.wb_k HAVING sum(p.n * q.n) > {causes.MOST_TRIES}",
            self,
            "cut",
        )
        (cut,) = self.database.rows(f"SELECT count(*) FROM {table}")[0]
        self._cut.append(table)
        if cut:
            self.halves.notes.append(
                f"{cut:,} rows have too many pairs of events that could each be the cause: none was tried there"
            )
        return f"(FROM {changes} ANTI JOIN {table} USING (wb_k))"

    def _two(self, left: str) -> Iterator[str]:
        """Two events, each skipped, applied twice, swapped with the next or not upcast; or one, in a row that stopped."""
        halves, side = self.halves, self.halves.side
        if not halves.keys:
            return
        open_ = self.database.keep(
            f"SELECT * FROM {left} WHERE reach IS NULL AND wb_length > wb_last_end", self, "open"
        )
        if not self.database.rows(f"SELECT 1 FROM {open_} LIMIT 1"):
            return
        keys = [
            (halves.amount(column, "u"), halves.amount(column, "r"), f"key_{index}")
            for index, column in enumerate(halves.keys)
        ]
        own = f"FROM {side.units} u JOIN {open_} l USING (wb_k) WHERE u.wb_n > l.wb_last_end"
        # What each change of one event would add: left out, had once more, in other places, read as it is stored.
        parts = [
            f"SELECT u.wb_k, u.wb_n, {way} AS way{''.join(f', {way} * TRY({amount}) AS {name}' for amount, _, name in keys)} {own}"
            for way in (-1, 1)
        ]
        if halves.pieces.is_ordered:
            zeros = "".join(f", CAST(0 AS {DECIMAL}) AS {name}" for _, _, name in keys)
            parts.append(f"SELECT u.wb_k, u.wb_n, 7 AS way{zeros} {own} AND u.wb_n < l.wb_length")
        if halves.raw is not None:
            grown = "".join(f", TRY({raw} - {amount}) AS {name}" for amount, raw, name in keys)
            parts.append(
                f"SELECT u.wb_k, u.wb_n, 0 AS way{grown} FROM {side.units} u JOIN {halves.raw.units} r USING (wb_k, wb_n) "
                f"JOIN {open_} l USING (wb_k) SEMI JOIN {self.old} USING (wb_k, wb_n) WHERE u.wb_n > l.wb_last_end"
            )
        both = " AND ".join(
            f"q.key_{index} = o.off_{index} - p.key_{index}" for index in range(len(halves.keys))
        )
        changes = self.database.keep(" UNION ALL ".join(parts), self, "changes")
        changes = self._few(changes, both)
        limit = f"QUALIFY row_number() OVER (PARTITION BY p.wb_k ORDER BY p.wb_n) <= {MOST_PROOFS}"
        nothing = "NULL::BIGINT AS raw_lo, NULL::BIGINT AS raw_hi"
        # What the row stopped at, and by how much it is off there; with a checkpoint that is known.
        stopped = "".join(
            f", TRY(y.key_{index} - x.key_{index}) AS off_{index}"
            for index in range(len(halves.keys))
        )
        stops = (
            f"SELECT l.wb_k, x.i AS stop{stopped} FROM {open_} l JOIN {side.before} x ON x.wb_k = l.wb_k JOIN {side.after} y ON y.wb_k = l.wb_k "
            "AND y.i = l.wb_length WHERE l.checkpoint IS NULL AND x.i > l.wb_last_end AND x.i < l.wb_length"
        )
        one = " AND ".join(f"p.key_{index} = o.off_{index}" for index in range(len(halves.keys)))
        tries = self.database.keep(
            "SELECT row_number() OVER () AS c, * FROM (SELECT p.wb_k, o.wb_length AS stop, p.wb_n AS n1, p.way AS way1, q.wb_n AS n2, q.way AS way2, "
            f"{nothing} FROM ({self._off()}) o JOIN {changes} p ON p.wb_k = o.wb_k JOIN {changes} q ON q.wb_k = o.wb_k AND {both} "
            f"WHERE p.wb_n + (p.way = 7)::INTEGER < q.wb_n {limit} "
            f"UNION ALL SELECT p.wb_k, o.stop, p.wb_n, p.way, NULL, NULL, {nothing} FROM ({stops}) o JOIN {changes} p ON p.wb_k = o.wb_k AND {one} "
            f"WHERE p.wb_n + (p.way = 7)::INTEGER <= o.stop {limit})",
            self,
            "tries",
        )
        way = (
            f"CASE {{0}} WHEN -1 THEN {text(causes.SKIPPED)} WHEN 1 THEN {text(causes.TWICE)} WHEN 7 THEN {text(causes.SWAPPED)} "
            f"ELSE {text(causes.NOT_UPCAST)} END"
        )
        columns = hypothesis(
            text(causes.TWO),
            "n1",
            "n1 + (way1 = 7)::INTEGER",
            second=("coalesce(n2, stop + 1)", "coalesce(n2 + (way2 = 7)::INTEGER, wb_all)"),
            detail=f"{way.format('way1')} || ', ' || CASE WHEN n2 IS NULL THEN {text(causes.STOPPED)} ELSE {way.format('way2')} END",
        )
        yield f"SELECT {columns} FROM ({self._proven(tries)})"
