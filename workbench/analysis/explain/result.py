"""What an explanation says: each wrong row with the causes that reproduce it exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from workbench import _html
from workbench._sql import ident, text
from workbench.analysis.explain import causes, words
from workbench.analysis.explain.clusters import Clusters, clusters
from workbench.analysis.explain.divergence import Divergence, first_divergence, over_time
from workbench.analysis.explain.histories import Histories, histories
from workbench.errors import ConfigError, did_you_mean
from workbench.store.table import Table

if TYPE_CHECKING:
    from workbench.analysis.diff import Diff
    from workbench.analysis.explain.suspects import Suspects
    from workbench.analysis.repair import Repair

LINES: Final = 8
"""So many clusters are on the card of an explanation."""


class Explanation(Table):
    """Why rows are wrong: one row for each wrong row and hypothesis, best first.

    A hypothesis is a change of the row's run of events (one left out, one had twice, …) that gives the stored
    row *exactly*, in every compared column. Where several do, all are here, and none is asserted.

    Columns: the key; ``class``; ``cause`` (see ``causes()``); ``rank``, 1 for the simplest; ``exact``, FALSE
    only for ``unexplained``; ``complete``, FALSE where a row has too many events, or too many states of other
    rows come into question, for everything to be tried; ``alike``, how many hypotheses of this cause the row has
    (50 at most are listed);
    ``support``, rows near by in the log whose only hypothesis has the same cause; ``events``, how many are
    involved; ``positions``, ``versions``, ``event_types``, ``schema_versions`` of the first hundred of
    these; ``first_at`` and ``last_at`` (UTC, on the clock of the diff); ``other``, the key of the other row where an
    event went to the wrong one; ``detail``. Rows come in the order of the diff, worst classes first.

    Attributes
    ----------
    diff
        What was explained.

    Examples
    --------
    >>> import workbench as wb
    >>> from workbench.bundled import account_summary, sample
    >>> bank = sample("bank")
    >>> log = wb.open()
    >>> _ = log.load(wb.files(bank.events, name="bank"), progress=False)
    >>> model = wb.read_model(bank.read_model, version="version")
    >>> explanation = log.diff(account_summary, model).explain()
    >>> explanation.counts
    {'stopped': 15, 'skipped': 8, 'applied twice': 6, 'not written': 6, 'unexplained': 4}
    >>> [(row["cause"], row["positions"]) for row in explanation.row("acc-000774")]
    [('skipped', [17097])]
    >>> explanation.repair().summary().rows(1)[0]["action"]
    'republish'
    >>> log.close()
    """

    diff: Diff
    suspects: Suspects
    kept: str
    old: str | None

    def summary(self) -> Table:
        """Count rows by class and best cause: ``class``, ``cause``, ``rows``, ``several``.

        ``several`` is how many of these rows have a hypothesis of another cause or event, too.
        """
        sql = (
            f"SELECT class, cause, count(*) AS rows, count(*) FILTER (WHERE hypotheses > 1) AS several FROM "
            f"(SELECT *, count(*) OVER (PARTITION BY {self._keys}) AS hypotheses FROM ({self._query})) WHERE rank = 1 "
            f"GROUP BY ALL ORDER BY rows DESC, class, cause"
        )
        return self._derived(sql, f"Causes of wrong rows in {self.diff.model.name}")

    @property
    def counts(self) -> dict[str, int]:
        """Cause -> number of rows for which it is the best."""
        rows = self._run(
            f"SELECT cause, count(*) FROM ({self._query}) WHERE rank = 1 GROUP BY ALL ORDER BY 2 DESC, 1"
        ).fetchall()
        return dict(rows)

    def of(self, *names: str) -> Table:
        """Return the hypotheses of some causes, whatever their rank.

        Raises
        ------
        ConfigError
            There is no such cause.
        """
        for name in names:
            if name not in causes.CAUSES:
                message = f"there is no cause {name!r}."
                raise ConfigError(message + did_you_mean(name, causes.CAUSES))
        listed = ", ".join(map(text, names))
        return self._derived(
            f"FROM ({self._query}) WHERE cause IN ({listed})",
            f"{', '.join(names)}: rows of {self.diff.model.name}",
        )

    def row(self, *key: str | int) -> list[dict[str, Any]]:
        """Return the hypotheses for one row, best first.

        Raises
        ------
        ConfigError
            The read model has no such row, or it is right.
        """
        values = self.diff._checked(key)
        same = " AND ".join(
            f"{ident(name)} = {text(str(value))}"
            for name, value in zip(self.diff.definition.key, values, strict=True)
        )
        found = self._derived(f"FROM ({self._query}) WHERE {same} ORDER BY rank", "One row").rows()
        if not found:
            shown = ", ".join(map(str, key))
            message = f"{shown} is explained by nothing, since no such row is wrong."
            raise ConfigError(message, hint="diff.row(key) says what it is")
        return found

    def clusters(self) -> Clusters:
        """Gather rows whose causes lie together: in a range of positions, a type, a version of payloads.

        Returns
        -------
        Clusters
            Largest first; each says in a sentence what its rows share.
        """
        return clusters(self)

    def first_divergence(self, *key: str | int) -> dict[str, Any] | None:
        """Return the first event after which a row was not what it should be, by its best hypothesis.

        Both histories of the row are rebuilt, the right one and the one with the cause in it, and the first
        state in which they differ is looked for. ``healed`` is TRUE where they were equal again later on.

        Returns
        -------
        dict or None
            ``position``, ``version``, ``event_type``, ``moment``, ``cause``, ``healed``; None where the row
            is unexplained: then it cannot be known since when it is wrong.
        """
        return first_divergence(self, self.row(*key)[0])

    def histories(self, *key: str | int, rank: int = 1) -> Histories:
        """Rebuild one row's two histories: as it should have been, and as it was by a hypothesis.

        Parameters
        ----------
        *key
            Of the row.
        rank
            Which of its hypotheses.

        Raises
        ------
        ConfigError
            The row is unexplained, or has no such hypothesis.
        """
        found = self.row(*key)
        if not 1 <= rank <= len(found):
            message = f"rank={rank}: there are {len(found)} hypotheses for this row."
            raise ConfigError(message)
        return histories(self, found[rank - 1])

    def over_time(self, *, every: str | None = None) -> Divergence:
        """Count the rows that were wrong at each moment, by cause.

        Parameters
        ----------
        every
            Length of a bucket: ``"1 hour"``, ``"1 day"``; by default a step that gives up to 200 of them.
        """
        return over_time(self, every=every)

    def repair(self, *, table: str | None = None, classes: Iterable[str] | None = None) -> Repair:
        """Plan what puts the rows right: a step for each class, as SQL for the read model's table, to be reviewed.

        Nothing is run.

        Parameters
        ----------
        table
            The read model's table, where it was not read from one.
        classes
            Whose rows get statements; by default stale, missing and corrupted ones. Name ``"orphaned"``, too, to
            have those deleted.

        Raises
        ------
        ConfigError
            There is no such class.
        """
        from workbench.analysis.repair import REPAIRED, plan

        return plan(self, table=table, classes=REPAIRED if classes is None else classes)

    @staticmethod
    def causes() -> Mapping[str, str]:
        """Return each cause with what it means, simplest first."""
        return causes.MEANS

    @property
    def _keys(self) -> str:
        return ", ".join(map(ident, self.diff.definition.key))

    # -- looking ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        head, lines, rest = self._sentences()
        shown = [_html.line(self.title), f"  {_html.line(head)}"]
        shown += [f"  {number}. {_html.line(line)}" for number, line in enumerate(lines, 1)]
        return "\n".join([*shown, *(f"  {_html.line(line)}" for line in [*rest, *self.notes])])

    def _repr_html_(self) -> str:
        head, lines, rest = self._sentences()
        listed = "".join(f"<li>{_html.escape_text(line)}</li>" for line in lines)
        body = f'<ol style="margin:4px 0;padding-left:22px">{listed}</ol>' if lines else ""
        body += "".join(_html.note(line) for line in [*rest, *self.notes])
        return _html.card(self.title, body, subtitle=head)

    def _sentences(self) -> tuple[str, list[str], list[str]]:
        found = self.clusters().rows()
        total = sum(self.suspects.counts.values())
        unexplained = self.counts.get(causes.UNEXPLAINED, 0)
        if not total:
            return "no row is wrong: there is nothing to explain", [], []
        said = f"{words.counted(total, 'wrong row')}, {total - unexplained:,} explained exactly"
        said += f", {unexplained:,} unexplained" if unexplained else ""
        lines = [row["says"] for row in found[:LINES]]
        rest = []
        if len(found) > LINES:
            rest.append(f"and {len(found) - LINES} more: .clusters() lists them")
        several = sum(row["several"] for row in self.summary().rows())
        if several:
            rest.append(
                f"{words.counted(several, 'row')} can be explained in more than one way: .row(key) shows each; the simplest "
                "is counted above"
            )
        rest.append(".df() has every hypothesis; .repair() plans what to do; .chart() draws it")
        return said, lines, rest

    def _derived(self, sql: str, title: str) -> Table:
        table = Table(self._database, sql, title=title)
        table._owner = self
        return table
