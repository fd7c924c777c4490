"""Audit: the record of what happened, what can be vouched for, and evidence that proves itself elsewhere.

:mod:`~workbench.analysis.audit.canonical` defines the bytes that are hashed.
"""

from __future__ import annotations

from workbench.analysis.audit.chain import Head, Heads, chain
from workbench.analysis.audit.check import Check
from workbench.analysis.audit.completeness import Completeness, Finding
from workbench.analysis.audit.pack import Pack
from workbench.analysis.audit.trail import REASONS, Audit, audit
from workbench.analysis.audit.verify import Verification, verify

__all__ = [
    "REASONS",
    "Audit",
    "Check",
    "Completeness",
    "Finding",
    "Head",
    "Heads",
    "Pack",
    "Verification",
    "audit",
    "chain",
    "verify",
]
