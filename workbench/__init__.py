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
    from workbench.log import EventLog, open
    from workbench.sources.files import files
    from workbench.sources.kafka import kafka
    from workbench.sources.postgres import postgres

#: Public name -> module. Imported when first used: `import workbench` stays cheap.
_WHERE = {
    "EventLog": "workbench.log",
    "files": "workbench.sources.files",
    "kafka": "workbench.sources.kafka",
    "open": "workbench.log",
    "postgres": "workbench.sources.postgres",
}

__all__ = ["EventLog", "files", "kafka", "open", "postgres"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    message = f"module 'workbench' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
