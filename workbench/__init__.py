"""A Jupyter workbench for event-sourced systems.

>>> import workbench as wb
>>> log = wb.open()                      # in memory; wb.open("incident.duckdb") keeps it in a file
>>> len(log)
0
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.analysis.audit.verify import verify
    from workbench.log import EventLog, open
    from workbench.projections.columns import (
        collect,
        count,
        field,
        first,
        largest,
        latest,
        smallest,
        total,
    )
    from workbench.projections.fold import Fold
    from workbench.projections.projection import Projection
    from workbench.projections.saga import Saga, Step
    from workbench.projections.upcasting import Upcaster
    from workbench.sources.dead_letters.source import dead_letters
    from workbench.sources.files import files
    from workbench.sources.kafka import kafka
    from workbench.sources.postgres import postgres
    from workbench.sources.read_model import read_model
    from workbench.store.masks import mask

#: Public name -> module. Imported when first used: `import workbench` stays cheap.
_WHERE = {
    "EventLog": "workbench.log",
    "Fold": "workbench.projections.fold",
    "Projection": "workbench.projections.projection",
    "Saga": "workbench.projections.saga",
    "Step": "workbench.projections.saga",
    "Upcaster": "workbench.projections.upcasting",
    "collect": "workbench.projections.columns",
    "count": "workbench.projections.columns",
    "dead_letters": "workbench.sources.dead_letters.source",
    "field": "workbench.projections.columns",
    "files": "workbench.sources.files",
    "first": "workbench.projections.columns",
    "kafka": "workbench.sources.kafka",
    "largest": "workbench.projections.columns",
    "latest": "workbench.projections.columns",
    "mask": "workbench.store.masks",
    "open": "workbench.log",
    "postgres": "workbench.sources.postgres",
    "read_model": "workbench.sources.read_model",
    "smallest": "workbench.projections.columns",
    "total": "workbench.projections.columns",
    "verify": "workbench.analysis.audit.verify",
}

__all__ = [
    "EventLog",
    "Fold",
    "Projection",
    "Saga",
    "Step",
    "Upcaster",
    "collect",
    "count",
    "dead_letters",
    "field",
    "files",
    "first",
    "kafka",
    "largest",
    "latest",
    "mask",
    "open",
    "postgres",
    "read_model",
    "smallest",
    "total",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in ("charts", "errors"):
        return importlib.import_module(f"workbench.{name}")
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    message = f"module 'workbench' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext workbench``: magics for notebooks; :mod:`workbench.magics` tells them."""
    importlib.import_module("workbench.magics").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext workbench``."""
    importlib.import_module("workbench.magics").unload(shell)
