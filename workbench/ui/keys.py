"""Keys that are pressed in an explorer are the explorer's."""

from __future__ import annotations

import anywidget


class Keys(anywidget.AnyWidget):
    """Keeps JupyterLab's shortcuts out of the explorer that holds it.

    A notebook takes arrow keys, Enter and letters for itself unless one is typing: in a list of an
    explorer the arrow down would go to the next cell, and D twice would delete this one. It leaves alone what
    carries an attribute of Lumino's; keys with Ctrl, Alt or Meta go to it as ever (save, undo).
    """

    _esm = """
    function render({ el }) {
        const heard = event => {
            if (!el.closest(".workbench-explorer")?.contains(event.target)) return;
            const theirs = event.ctrlKey || event.metaKey || event.altKey;
            event.target.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
        };
        window.addEventListener("keydown", heard, true);
        return () => window.removeEventListener("keydown", heard, true);
    }
    export default { render };
    """

    def __init__(self) -> None:
        super().__init__(layout={"display": "none"})
