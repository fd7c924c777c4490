"""Census: which payloads a log holds, by type and version: their fields, their drift, and whether they decode."""

from __future__ import annotations

from workbench.analysis.census.find import census
from workbench.analysis.census.result import Census, Fields, Versions

__all__ = ["Census", "Fields", "Versions", "census"]
