"""What every group of a log's verbs stands on."""

from __future__ import annotations

from workbench.errors import MomentError
from workbench.store.view import View


class Face:
    """A view of a log's events; the groups of verbs add to it, and :class:`EventLog` is all of them."""

    def __init__(self, view: View) -> None:
        self._view = view

    def _require_whole(self, verb: str) -> None:
        if self._view.conditions:
            message = f"this is a narrowed view ({'; '.join(self._view.words)}); {verb} works on the whole log."
            raise MomentError(message, hint=f"call {verb} on the log that wb.open gave")
