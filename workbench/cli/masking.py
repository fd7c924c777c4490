"""The options that mask fields, for the verbs that store events or hand them on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from workbench.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from workbench.store.masks import Mask

_PANEL = "Masking"

Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="FIELD[=HOW]",
        help="Mask a field: owner, metadata.user, event.actor. HOW is text (the default), remove, or hash (needs "
        "--mask-key to be linked with others later). Repeatable.",
        rich_help_panel=_PANEL,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--mask-key",
        metavar="env:NAME",
        help="The environment variable with the key of hashes; the key is never stored.",
        rich_help_panel=_PANEL,
    ),
]


def masks(fields: list[str] | None, key: str | None) -> list[Mask]:
    """Read the options.

    Raises
    ------
    ConfigError
        A field cannot be masked so, or the key is not where it should be.
    """
    from workbench.store.masks import By, mask

    secret = None if key is None else _secret(key)
    found: dict[str, list[str]] = {}
    for given in fields or []:
        name, equals, how = given.rpartition("=")
        if not equals:
            name, how = given, "text"
        if how not in get_args(By):
            message = f"--mask {given}: {how!r} is no way to mask."
            raise ConfigError(message + did_you_mean(how, get_args(By)))
        found.setdefault(how, []).append(name)
    if secret is not None and "hash" not in found:
        message = "--mask-key is for --mask FIELD=hash, and there is none."
        raise ConfigError(message)
    made = [mask(*names, by=how) for how, names in found.items() if how in ("text", "remove")]  # type: ignore[arg-type]  # looked up above
    return [*made, *([mask(*found["hash"], by="hash", key=secret)] if "hash" in found else [])]


def _secret(key: str) -> str:
    variable = key.removeprefix("env:")
    if variable == key:
        # Other users of the machine see command lines, and shells keep them.
        message = "--mask-key: a secret does not belong on a command line."
        raise ConfigError(message, hint="write --mask-key env:VARIABLE, and export it")
    if variable not in os.environ:
        message = f"--mask-key: there is no environment variable {variable!r}."
        raise ConfigError(message, hint=f"export {variable}=… first")
    return os.environ[variable]
