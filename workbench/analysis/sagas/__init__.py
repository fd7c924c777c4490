"""Sagas: what each instance of a process came to, where it stands, and which rules it broke."""

from __future__ import annotations

from workbench.analysis.sagas.find import sagas
from workbench.analysis.sagas.instance import Instance
from workbench.analysis.sagas.result import Sagas
from workbench.analysis.sagas.tables import Durations, Funnel, Graph, Outcomes, OverTime, Variants
from workbench.analysis.sagas.words import OUTCOMES, VIOLATIONS

__all__ = [
    "OUTCOMES",
    "VIOLATIONS",
    "Durations",
    "Funnel",
    "Graph",
    "Instance",
    "Outcomes",
    "OverTime",
    "Sagas",
    "Variants",
    "sagas",
]
