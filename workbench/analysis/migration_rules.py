"""Upcasters from the rules that events of a new version carry in their metadata.

Some systems write into each event how older ones become like it::

    {"schemaVersion": "2.1.0",
     "migrationRules": [{"fromVersion": "1.0.0", "rule": "add_profile_field", "defaultValue": {"name": "Unknown"}}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from workbench.errors import ConfigError
from workbench.projections.upcasting import Upcaster
from workbench.projections.versions import order_of
from workbench.store.view import EVENTS, View

Reading = Callable[[Upcaster, Mapping[str, Any]], Upcaster]
"""What a rule does: it is given the upcaster so far and the rule, and returns the upcaster with it."""

MOST: Final = 100
"""So many different texts of the rules of one version are looked at."""

_ADD: Final = re.compile(r"add_(?P<name>.+?)(?:_field)?")
_RENAME: Final = re.compile(r"rename_(?P<old>.+?)_to_(?P<new>.+)")
_REMOVE: Final = re.compile(r"(?:remove|drop)_(?P<name>.+?)(?:_field)?")


def migration_rules(
    view: View,
    *,
    versions: Mapping[str, str] | None = None,
    readings: Mapping[str, Reading] | None = None,
) -> tuple[Upcaster, ...]:
    """Read the rules; see ``workbench.migration_rules``."""
    found: dict[tuple[str, str], tuple[str, list[Mapping[str, Any]], int]] = {}
    for kind, to_version, rules, position in _carried(view):
        for from_version, own in _by_version(kind, rules, position, versions or {}).items():
            if from_version == to_version:
                continue
            known = found.get((kind, from_version))
            if known is None or order_of(known[0]) < order_of(to_version):
                # Events of the newest version know best how to come to it.
                found[kind, from_version] = (to_version, own, position)
            elif known[0] == to_version and known[1] != own:
                message = (
                    f"events of {kind} {to_version} carry different rules from {from_version}: "
                    f"at positions {known[2]} and {position}."
                )
                raise ConfigError(message, hint="write the upcaster yourself: wb.Upcaster(…)")
    return tuple(
        _upcaster(kind, from_version, to_version, rules, position, readings or {})
        for (kind, from_version), (to_version, rules, position) in found.items()
    )


def _carried(view: View) -> Iterator[tuple[str, str, list[Any], int]]:
    """The distinct rules: type, version that they lead to, rules, position of the first event with them."""
    rows = view.rows(
        "SELECT event_type, coalesce(schema_version, json_extract_string(metadata, '$.schemaVersion')) AS to_version, "
        "CAST(json_extract(metadata, '$.migrationRules') AS VARCHAR) AS rules, min(position) AS first "
        f"FROM {EVENTS} WHERE {view.filter} AND json_type(metadata, '$.migrationRules') = 'ARRAY' "
        "AND json_array_length(metadata, '$.migrationRules') > 0 GROUP BY event_type, to_version, rules "
        # Rules that differ so often contradict each other, which the first of them show.
        f"QUALIFY row_number() OVER (PARTITION BY event_type, to_version ORDER BY first) <= {MOST} ORDER BY first"
    )
    for kind, to_version, rules, position in rows:
        if to_version is None:
            message = f"the event at position {position} ({kind}) carries migrationRules, but says no version."
            raise ConfigError(message, hint="map schema_version when loading")
        yield kind, to_version, json.loads(rules, parse_float=Decimal), position


def _by_version(
    kind: str, rules: list[Any], position: int, versions: Mapping[str, str]
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for rule in rules:
        if not isinstance(rule, Mapping) or not {"fromVersion", "rule"} <= rule.keys():
            message = f"the event at position {position} ({kind}) carries a rule without fromVersion and rule: {str(rule)[:120]}."
            raise ConfigError(message)
        said = str(rule["fromVersion"])
        found.setdefault(versions.get(said, said), []).append(rule)
    return found


def _upcaster(
    kind: str,
    from_version: str,
    to_version: str,
    rules: list[Mapping[str, Any]],
    position: int,
    readings: Mapping[str, Reading],
) -> Upcaster:
    made = Upcaster(kind, from_version=from_version, to_version=to_version)
    for rule in rules:
        name = str(rule["rule"])
        if name in readings:
            made = readings[name](made, rule)
        elif match := _RENAME.fullmatch(name):
            made = made.rename(match["old"], match["new"])
        elif (match := _ADD.fullmatch(name)) and "defaultValue" in rule:
            made = made.add(match["name"], rule["defaultValue"])
        elif match := _REMOVE.fullmatch(name):
            made = made.remove(match["name"])
        else:
            message = f"{made.name}: what the rule {name!r} does is not known (event at position {position})."
            raise ConfigError(
                message,
                hint=f"say it: wb.migration_rules(log, readings={{{name!r}: lambda upcaster, rule: upcaster.add(…)}})",
            )
    return made
