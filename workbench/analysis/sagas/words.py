"""The words for what a saga came to, and for what can be wrong with it."""

from __future__ import annotations

from typing import Final

OUTCOMES: Final = (
    "completed",
    "compensated",
    "compensating",
    "failed",
    "stuck",
    "timed out",
    "running",
)
"""What a saga came to; in this order everywhere."""

OPEN: Final = ("compensating", "stuck", "timed out", "running")
"""Outcomes of sagas that have not ended."""

VIOLATIONS: Final = (
    "missing compensation",
    "compensation in the wrong order",
    "compensation of what never happened",
    "duplicate step",
    "event after the end",
    "step skipped",
)
"""The rules that a saga can break; in this order everywhere."""

MISSING: Final = VIOLATIONS[0]
