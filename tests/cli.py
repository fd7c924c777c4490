"""Running the command line inside the test process, as a shell would see it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from workbench.cli.app import run


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def workbench(*args: object) -> Done:
    """Run ``workbench`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(arg) for arg in args])
    return Done(code, out.getvalue(), err.getvalue())


def well(*args: object) -> Done:
    """Run ``workbench``, and expect that it ends well and has nothing to complain about."""
    done = workbench(*args)
    assert (done.code, done.err) == (0, ""), done.err or done.out
    return done
