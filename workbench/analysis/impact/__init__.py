"""Impact: which rows another definition, other upcasters or other events would change, and from which event on."""

from __future__ import annotations

from workbench.analysis.impact.find import against, of_definitions, of_upcasters
from workbench.analysis.impact.result import Impact

__all__ = ["Impact", "against", "of_definitions", "of_upcasters"]
