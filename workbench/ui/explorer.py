"""What all explorers have in common: the code, the value, errors that are seen, and a picture that stays."""

from __future__ import annotations

import base64
import contextlib
import html
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import ipywidgets
import traitlets

from workbench import _html
from workbench.errors import WorkbenchError
from workbench.ui.keys import Keys

PAGE: Final = 50
"""No more rows than this are in the browser at once."""

_TEXT: Final = "color:var(--jp-ui-font-color1,#212121)"
_MUTED: Final = "color:var(--jp-ui-font-color2,#616161)"
_ERROR: Final = "color:var(--jp-error-color1,#b91c1c)"
_FONT: Final = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5"
)
_CODE: Final = (
    "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.45;margin:6px 0 2px;"
    "padding:4px 8px;background:var(--jp-layout-color2,#eeeeee);white-space:pre-wrap;"
    "overflow-wrap:anywhere;user-select:text"
)

#: ipywidgets gives text lines as tall as its controls; tables are read more easily without.
_STYLE: Final = "<style>.workbench-explorer .widget-html-content {line-height:1.5}</style>"

#: What DuckDB makes of an interrupt of the kernel: a RuntimeError.
_INTERRUPTED: Final = "Query interrupted"


class Explorer(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets publishes no types
    """A widget that looks at a log or at a result, and says how to get what it shows without it.

    It runs in the notebook's kernel; what is typed is heard when it is finished (Enter, or on leaving the
    field). The output that a saved notebook keeps is what the widget looked like when it was displayed.

    A subclass makes its controls, hands them to ``super().__init__(title, *rows)``, connects each by
    :meth:`_listen` or :meth:`_press` to a method without arguments that reads the controls, and ends each
    such method with :meth:`_show`. It says in :meth:`_still` what a reader without a kernel sees.

    Attributes
    ----------
    code
        The Python that gives ``value``; ``explorer.observe(function, "code")`` hears of changes.
    value
        What is shown, to go on with in the next cell.
    """

    code = traitlets.Unicode("")
    value = traitlets.Any(None)

    def __init__(self, title: str, *rows: ipywidgets.Widget) -> None:
        self.title = title
        self._quiet = False
        self._message = ipywidgets.HTML()
        self._code = ipywidgets.HTML()
        heading = f'{_STYLE}<div style="{_FONT};{_TEXT};font-weight:600;font-size:14px">{_html.escape_text(title)}</div>'
        super().__init__([ipywidgets.HTML(heading), self._message, *rows, self._code, Keys()])
        self.add_class("workbench-explorer")

    # -- for subclasses --------------------------------------------------------------------------

    def _listen(
        self, control: ipywidgets.Widget, handler: Callable[[], None], trait: str = "value"
    ) -> None:
        """Call a handler when a control changes; what it raises is shown in the widget."""
        control.observe(lambda _change: self._run(handler), trait)

    def _press(self, button: ipywidgets.Button, handler: Callable[[], None]) -> None:
        """Call a handler when a button is pressed; what it raises is shown in the widget."""
        button.on_click(lambda _button: self._run(handler))

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Set controls from Python: no handler hears of it."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _show(self, code: str, value: object) -> None:
        """Set what is shown, and the Python that gives it."""
        self.code, self.value = code, value
        self._code.value = _pre(code)

    def _say(self, sentence: str) -> None:
        """Write a line below the title, such as what takes a while; "" clears it. Handlers start cleared."""
        said = f'<div role="status" style="{_FONT};{_MUTED}">{_html.escape_text(sentence)}</div>'
        self._message.value = said if sentence else ""

    def _still(self) -> tuple[str, str]:
        """Return what is shown as plain text, and as the HTML between title and code (escaped, no script)."""
        raise NotImplementedError

    # -- inside ----------------------------------------------------------------------------------

    def _run(self, handler: Callable[[], None]) -> None:
        if self._quiet:
            return
        self._say("")
        try:
            handler()
        except WorkbenchError as error:
            self._complain(str(error))
        except KeyboardInterrupt:
            self._complain("stopped.")
        except Exception as error:
            if str(error) == _INTERRUPTED:
                self._complain("stopped.")
                return
            # A defect of ours: the kernel's log gets its traceback, and the reader knows that it happened.
            self._complain(f"{type(error).__name__}: {error}")
            raise

    def _complain(self, message: str) -> None:
        lines = [*message.splitlines(), "What is shown is from before."]
        told = "<br>".join(_html.escape_text(line.strip()) for line in lines)
        self._message.value = f'<div role="alert" style="{_FONT};{_ERROR}">✗ {told}</div>'

    def __repr__(self) -> str:
        text, _ = self._still()
        return "\n".join([_html.line(self.title), text, "", self.code])

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the live widget, and beside it what a notebook without a kernel shows instead."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**options)
        text, body = self._still()
        bundle["text/plain"] = "\n".join([_html.line(self.title), text, "", self.code])
        bundle["text/html"] = _html.card(self.title, body + _pre(self.code))
        return bundle


def picture(png: bytes, about: str) -> str:
    """Return a PNG as HTML that needs nothing but itself, for :meth:`Explorer._still`."""
    data = base64.b64encode(png).decode()
    told = html.escape(about, quote=True)
    return f'<img alt="{told}" src="data:image/png;base64,{data}" style="max-width:100%">'


def name_of(value: object, otherwise: str) -> str:
    """Return the name that the notebook's user gave to a value, so that code which is shown can be run.

    >>> name_of(object(), "log")
    'log'
    """
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if shell is None:
        return otherwise
    for name, held in shell.user_ns.items():
        if held is value and not name.startswith("_"):
            return str(name)
    return otherwise


def _pre(code: str) -> str:
    return f'<pre style="{_CODE};{_TEXT}">{html.escape(code)}</pre>' if code else ""
