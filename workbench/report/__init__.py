"""An investigation as one HTML page: for those who have no notebook, on a screen or on paper.

The page has no script and asks nothing of any network.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from workbench import _html
from workbench.report import sections
from workbench.report.page import Finding, Section, code, page, paragraph
from workbench.report.sections import Stored

if TYPE_CHECKING:
    from workbench.log import EventLog
    from workbench.projections.saga import Saga
    from workbench.store.health import Health

__all__ = ["Finding", "Report", "Stored", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """An investigation, written down.

    Attributes
    ----------
    html
        The page.
    sections
        The names of its parts, in order.
    findings
        What stands at its top.
    """

    html: str
    sections: tuple[str, ...]
    findings: tuple[Finding, ...]


def report(
    log: EventLog,
    *,
    title: str,
    stored: Stored | None = None,
    saga: Saga | None = None,
    setup: Sequence[str] = (),
    written: dt.datetime | None = None,
) -> Report:
    """Write an investigation down.

    Parameters
    ----------
    log
        The events, narrowed or not.
    title
        What stands above it all.
    stored
        A read model to hold against the replay, explain, and plan the repair of.
    saga
        A process to follow.
    setup
        Python that makes ``log``, ``definition``, ``model`` and ``saga``: the code beside each answer begins there.
    written
        When, where the page shall say so. Without it nothing in the page depends on the time.

    Returns
    -------
    Report

    Examples
    --------
    >>> import workbench as wb
    >>> from workbench.bundled import account_summary, sample
    >>> bank = sample("bank")
    >>> log = wb.open()
    >>> _ = log.load(wb.files(bank.events, name="bank"), progress=False)
    >>> model = wb.read_model(bank.read_model, version="version")
    >>> found = report(log, title="The bank", stored=Stored(account_summary, model))
    >>> found.sections
    ('record', 'vouching', 'rates', 'read-model')
    >>> found.findings[2].says
    '39 of 969 rows of account_summary differ from the replay: 15 stale, 6 missing, 4 orphaned, 14 corrupted'
    >>> log.close()
    """
    health = sections.health(log)
    parts = [
        sections.record(health),
        sections.vouching(log),
        # Where no event says when it was, the record says so.
        None if health.first is None else sections.rates(log),
        None if stored is None else sections.read_model(log, stored),
        None if saga is None else sections.sagas(log, saga),
        sections.dead_letters(log),
        _again(setup),
    ]
    there = [part for part in parts if part is not None]
    return Report(
        page(title, _about(health, written), there),
        tuple(part.name for part in there),
        tuple(finding for part in there for finding in part.findings),
    )


def _about(health: Health, written: dt.datetime | None) -> list[str]:
    span = "no event says when it was"
    if health.first is not None:
        first, last = (_html.visible(time) for time in (health.first, health.last))
        span = f"{first} to {last} (UTC, {health.clock})"
    lines = [f"{health.label}: {span}"]
    made = f"workbench {version('workbench')}, DuckDB {version('duckdb')}"
    if written is not None:
        made += f", {_html.visible(written.replace(microsecond=0))}"
    return [*lines, made]


def _again(setup: Sequence[str]) -> Section | None:
    """Say how to ask on: what the code beside each answer takes for granted."""
    if not setup:
        return None
    words = "The code beside each answer goes on from these lines, in a notebook or in Python, where the files are."
    return Section("again", "Ask on", (), paragraph(words) + code(*setup))
