"""Finding a definition by the name that a user gives it on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from workbench.errors import ConfigError, WorkbenchError, did_you_mean

if TYPE_CHECKING:
    from workbench.analysis.definition import Definition
    from workbench.projections.saga import Saga
    from workbench.projections.upcasting import Upcaster

BUNDLED: Final = ("bank.account_summary", "bank.account", "checkout.order_summary")
BUNDLED_SAGAS: Final = ("checkout.saga",)
"""What comes with the workbench; here too, since a help text should not have to load it."""

_FORMS: Final = "write MODULE:NAME, path/to/file.py:NAME, or one that comes with the workbench"


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
    import workbench as wb

    found: Definition = _find(name, BUNDLED, (wb.Projection, wb.Fold))
    return found


def find_saga(name: str) -> Saga:
    """Return the definition of a saga, by a name like those of :func:`find`.

    Raises
    ------
    ConfigError
        There is no such module, file or name, or what it names is no Saga.
    """
    if name in BUNDLED_SAGAS:
        from workbench import bundled

        return bundled.SAGAS[name]
    import workbench as wb

    found: Saga = _find(name, BUNDLED_SAGAS, (wb.Saga,))
    return found


def find_upcasters(name: str) -> list[Upcaster]:
    """Return the upcasters of a module or a file: all of them, or those that a name behind a colon holds.

    Raises
    ------
    ConfigError
        There is no such module, file or name, or no upcaster in it.
    """
    import workbench as wb

    place, _, attribute = name.rpartition(":")
    if not place or attribute.endswith(".py"):
        place, attribute = name, ""
    module = _from_file(Path(place)) if place.endswith(".py") else _imported(place)
    values = [getattr(module, attribute, None)] if attribute else list(vars(module).values())
    found: list[Upcaster] = []
    for value in values:
        listed = value if isinstance(value, list | tuple) else [value]
        found += [item for item in listed if isinstance(item, wb.Upcaster) and item not in found]
    if not found:
        message = f"{name} holds no upcasters."
        raise ConfigError(
            message,
            hint="make one there: deposits = wb.Upcaster('DepositMade', from_version='1', to_version='2')",
        )
    return found


def _find(name: str, bundled: Sequence[str], kinds: tuple[type, ...]) -> Any:
    """Look for a definition of some kinds in a module or a file."""
    place, _, attribute = name.rpartition(":")
    if not place or place == name or attribute.endswith(".py"):
        place, attribute = name, ""
    if place.endswith(".py"):
        module = _from_file(Path(place))
    elif attribute:
        module = _imported(place)
    else:
        message = f"{name!r} is no definition that comes with the workbench."
        raise ConfigError(
            message + did_you_mean(name, bundled),
            hint=f"write MODULE:NAME, path/to/file.py:NAME, or one of {', '.join(bundled)}",
        )
    return _in_module(module, place, attribute, kinds)


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


def _in_module(module: ModuleType, place: str, attribute: str, kinds: tuple[type, ...]) -> Any:
    there = {name: value for name, value in vars(module).items() if isinstance(value, kinds)}
    words = [f"wb.{kind.__name__}" for kind in kinds]
    if not attribute:
        if len(there) == 1:
            return next(iter(there.values()))
        message = f"{place} holds {len(there) or 'no'} definitions; one has to be named."
        raise ConfigError(
            message,
            hint=" or ".join(f"{place}:{name}" for name in there) or f"make a {words[0]} there",
        )
    if attribute not in there:
        message = f"{place} has no definition {attribute!r}."
        if hasattr(module, attribute):
            kind = type(getattr(module, attribute)).__name__
            message = f"{place}:{attribute} is {kind}, no {' and no '.join(words)}."
        raise ConfigError(message + did_you_mean(attribute, there))
    return there[attribute]
