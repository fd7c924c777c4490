"""Finding a definition by the name that a user gives it on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from workbench.errors import ConfigError, WorkbenchError, did_you_mean

if TYPE_CHECKING:
    from workbench.analysis.definition import Definition

BUNDLED: Final = ("bank.account_summary", "bank.account", "checkout.order_summary")
"""What comes with the workbench; here too, since a help text should not have to load it."""

_FORMS: Final = f"write MODULE:NAME, path/to/file.py:NAME, or one of {', '.join(BUNDLED)}"


def find(name: str) -> Definition:
    """Return a definition: bundled, in a module, or in a file.

    Parameters
    ----------
    name
        ``bank.account_summary``, ``package.module:name``, or ``path/to/file.py:name``. The part behind the
        colon may be left out where a module holds one definition only. The module is run, as an import
        does.

    Raises
    ------
    ConfigError
        There is no such module, file or name, or what it names is no Projection and no Fold.
    """
    if name in BUNDLED:
        from workbench import bundled

        return bundled.DEFINITIONS[name]
    place, _, attribute = name.rpartition(":")
    if not place or place == name or attribute.endswith(".py"):
        place, attribute = name, ""
    if place.endswith(".py"):
        module = _from_file(Path(place))
    elif attribute:
        module = _imported(place)
    else:
        message = f"{name!r} is no definition that comes with the workbench."
        raise ConfigError(message + did_you_mean(name, BUNDLED), hint=_FORMS)
    return _in_module(module, place, attribute)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        message = f"{path} does not exist, or is no file."
        raise ConfigError(message, hint=_FORMS)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:  # pragma: no cover - a .py file always has a loader
        message = f"{path} cannot be imported."
        raise ConfigError(message)
    module = importlib.util.module_from_spec(spec)
    # As when Python runs a file: its neighbours can be imported, and dataclasses find their module.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except WorkbenchError:
        raise
    except Exception as error:
        raise _broken(str(path), error) from error
    return module


def _imported(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except WorkbenchError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        message = f"there is no module {error.name!r} to take a definition from."
        raise ConfigError(message, hint=_FORMS) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(place: str, error: Exception) -> ConfigError:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    line = error.lineno if isinstance(error, SyntaxError) else traceback and traceback.tb_lineno
    message = f"{place} cannot be imported: {type(error).__name__}: {error}"
    return ConfigError(message, hint=f"look at line {line}; --debug shows the traceback")


def _in_module(module: ModuleType, place: str, attribute: str) -> Definition:
    import workbench as wb

    there = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, wb.Projection | wb.Fold)
    }
    if not attribute:
        if len(there) == 1:
            return next(iter(there.values()))
        message = f"{place} holds {len(there) or 'no'} definitions; one has to be named."
        raise ConfigError(
            message,
            hint=" or ".join(f"{place}:{name}" for name in there) or "make a wb.Projection there",
        )
    if attribute not in there:
        message = f"{place} has no definition {attribute!r}."
        if hasattr(module, attribute):
            kind = type(getattr(module, attribute)).__name__
            message = f"{place}:{attribute} is {kind}, no wb.Projection and no wb.Fold."
        raise ConfigError(message + did_you_mean(attribute, there))
    return there[attribute]
