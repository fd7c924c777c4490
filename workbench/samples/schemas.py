"""Payloads in three schema versions: the same events, the older ones written as an older system wrote them.

What was written at first is renamed, in other units, in one piece, or not there at all; upcasters lead from each version
to the next. Each type changes over within eight days, in which both versions are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from workbench.samples.domain import Domain
from workbench.samples.versions import Versions

_SWITCH_DAYS: Final = 8


@dataclass(frozen=True, slots=True)
class Step:
    """An upcaster from one schema version (``start``) to the next (``end``), as rules.

    Attributes
    ----------
    rules
        Each is a ``rule`` and what it needs: ``rename`` (``field``, ``to``), ``convert`` (``field``, ``to``, ``divide``:
        a number of whole cents becomes an amount), ``split`` (``field``, ``to``: two fields, ``at``: the text between), ``add``
        (``field``, ``default``).
    at_hand
        Whether somebody still has it.
    """

    event_type: str
    start: str
    end: str
    rules: tuple[Mapping[str, Any], ...]
    at_hand: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """How the payload of some types changed.

    Attributes
    ----------
    types
        The event types.
    second, third
        The days (UTC) from which the second and the third version are written.
    payloads
        SQL for the first and for the second version, from ``data`` as it is in the third.
    needs
        A condition without which an event is not in the third version yet.
    """

    types: tuple[str, ...]
    second: str
    third: str
    payloads: tuple[str, str]
    needs: str = "TRUE"

    def version(self) -> str:
        """SQL for the version of an event of these types."""
        # Which of several servers wrote an event: each moved to the next version on a day of its own.
        moved = f"to_days(CAST(position % {_SWITCH_DAYS} AS INTEGER))"
        return (
            f"CASE WHEN recorded_at < TIMESTAMPTZ '{self.second}T00:00Z' + {moved} THEN 1 "
            f"WHEN recorded_at < TIMESTAMPTZ '{self.third}T00:00Z' + {moved} OR NOT ({self.needs}) THEN 2 ELSE 3 END"
        )


def _cents(field: str) -> str:
    amount = f"regexp_extract(data, '\"{field}\":([0-9]+\\.[0-9][0-9])', 1)"
    return f"CAST(CAST(replace({amount}, '.', '') AS BIGINT) AS VARCHAR)"


def _in_cents(field: str, to: str, data: str = "data") -> str:
    """SQL that writes an amount as whole cents."""
    pattern = f'"{field}":[0-9]+\\.[0-9][0-9]'
    return f"regexp_replace({data}, '{pattern}', '\"{to}\":' || {_cents(field)})"


def _without(*fields: str, data: str = "data") -> str:
    """SQL that leaves out fields with a text."""
    for field in fields:
        data = f'regexp_replace({data}, \',"{field}":"[^"]*"\', \'\')'
    return data


def _renamed(field: str, to: str, data: str = "data") -> str:
    return f"replace({data}, '\"{field}\":', '\"{to}\":')"


def _with(text: str, data: str = "data") -> str:
    """SQL that adds fields at the end."""
    return f"concat(left({data}, length({data}) - 1), '{text}}}')"


_NAMES: Final = (
    'regexp_replace(data, \'"owner":"([^" ]*) ([^"]*)"\', \'"first_name":"\\1","last_name":"\\2"\')'
)

CHANGES: Final[Mapping[str, tuple[Changes, ...]]] = {
    "bank": (
        Changes(
            ("DepositMade",),
            "2025-05-15",
            "2025-08-05",
            (
                _in_cents("amount", "amount_cents", _without("currency", "channel")),
                _without("currency", "channel"),
            ),
            needs="schema_version = '2'",
        ),
        Changes(
            ("WithdrawalMade",),
            "2025-06-20",
            "2025-10-01",
            (_in_cents("amount", "amount", _without("currency")), _without("currency")),
        ),
        Changes(
            ("AccountOpened",),
            "2025-04-01",
            "2025-09-01",
            ("data", _NAMES),
        ),
    ),
    "checkout": (
        Changes(
            ("OrderCreated",),
            "2026-04-20",
            "2026-05-15",
            (
                _renamed(
                    "customerId",
                    "customer",
                    _in_cents("total", "total_cents", _without("currency", "salesChannel")),
                ),
                _without("currency", "salesChannel"),
            ),
            needs="schema_version = '2'",
        ),
        Changes(
            ("InventoryReserved", "InventoryReleased", "InventoryReservationFailed"),
            "2026-04-28",
            "2026-05-28",
            (_renamed("quantity", "qty"), "data"),
        ),
    ),
}
#: What the third version of a payload has beside what is written with two versions.
_THIRD: Final[Mapping[str, str]] = {
    "AccountOpened": _renamed("opening_channel", "channel", _NAMES),
    **dict.fromkeys(
        ("InventoryReserved", "InventoryReleased", "InventoryReservationFailed"),
        _with(',"warehouse":"main"'),
    ),
}

_GOODS: Final = ("InventoryReserved", "InventoryReleased", "InventoryReservationFailed")
STEPS: Final[Mapping[str, tuple[Step, ...]]] = {
    "bank": (
        Step(
            "DepositMade",
            "1",
            "2",
            ({"rule": "convert", "field": "amount_cents", "to": "amount", "divide": 100},),
        ),
        Step(
            "DepositMade",
            "2",
            "3",
            (
                {"rule": "add", "field": "currency", "default": "EUR"},
                {"rule": "add", "field": "channel", "default": "unknown"},
            ),
        ),
        Step(
            "WithdrawalMade",
            "1",
            "2",
            ({"rule": "convert", "field": "amount", "to": "amount", "divide": 100},),
        ),
        Step("WithdrawalMade", "2", "3", ({"rule": "add", "field": "currency", "default": "EUR"},)),
        Step(
            "AccountOpened",
            "1",
            "2",
            ({"rule": "split", "field": "owner", "to": ["first_name", "last_name"], "at": " "},),
            at_hand=False,
        ),
        Step(
            "AccountOpened",
            "2",
            "3",
            ({"rule": "rename", "field": "opening_channel", "to": "channel"},),
        ),
    ),
    "checkout": (
        Step(
            "OrderCreated",
            "1",
            "2",
            (
                {"rule": "rename", "field": "customer", "to": "customerId"},
                {"rule": "convert", "field": "total_cents", "to": "total", "divide": 100},
            ),
        ),
        Step(
            "OrderCreated",
            "2",
            "3",
            (
                {"rule": "add", "field": "currency", "default": "EUR"},
                {"rule": "add", "field": "salesChannel", "default": "unknown"},
            ),
        ),
        *(
            Step(
                kind,
                "1",
                "2",
                ({"rule": "rename", "field": "qty", "to": "quantity"},),
                # Nobody needs it for the read model; nobody has it any more.
                at_hand=kind != "InventoryReservationFailed",
            )
            for kind in _GOODS
        ),
        *(
            Step(kind, "2", "3", ({"rule": "add", "field": "warehouse", "default": "main"},))
            for kind in _GOODS
        ),
    ),
}

_OLD: Final = "schema_version = '1'"
#: What ``ReadModel.applied`` has to read in another way where a payload is of the first version.
_UPCAST: Final[Mapping[str, Mapping[str, str]]] = {
    "bank": {
        "amount": f"""CASE
            WHEN {_OLD} AND event_type = 'DepositMade'
                THEN CAST(CAST(json_extract_string(data, '$.amount_cents') AS DECIMAL(18,0)) / 100 AS DECIMAL(18,2))
            WHEN {_OLD} AND event_type = 'WithdrawalMade'
                THEN CAST(CAST(json_extract_string(data, '$.amount') AS DECIMAL(18,0)) / 100 AS DECIMAL(18,2))
            ELSE CAST(json_extract_string(data, '$.amount') AS DECIMAL(18,2)) END""",
    },
    "checkout": {
        "customer": f"""json_extract_string(data,
            CASE WHEN {_OLD} AND event_type = 'OrderCreated' THEN '$.customer' ELSE '$.customerId' END)""",
        "total": f"""CASE WHEN {_OLD} AND event_type = 'OrderCreated'
            THEN CAST(CAST(json_extract_string(data, '$.total_cents') AS DECIMAL(18,0)) / 100 AS DECIMAL(18,2))
            ELSE CAST(json_extract_string(data, '$.total') AS DECIMAL(18,2)) END""",
        "quantity": f"""CAST(json_extract_string(data,
            CASE WHEN {_OLD} AND event_type LIKE 'Inventory%' THEN '$.qty' ELSE '$.quantity' END) AS BIGINT)""",
    },
}


def in_three_versions(domain: Domain) -> Domain:
    """Return a domain whose payloads have three schema versions, and whose read model reads all of them."""
    changes = CHANGES[domain.name]

    def rewrite(query: str) -> str:
        versions = " ".join(
            f"WHEN event_type IN ({_listed(change.types)}) THEN {change.version()}"
            for change in changes
        )
        payloads = " ".join(
            f"WHEN event_type IN ({_listed(change.types)}) THEN CASE wb_schema WHEN 1 THEN {change.payloads[0]} "
            f"WHEN 2 THEN {change.payloads[1]} ELSE {_third(change)} END"
            for change in changes
        )
        return (
            "SELECT * EXCLUDE (wb_schema) REPLACE ("
            "coalesce(CAST(wb_schema AS VARCHAR), schema_version) AS schema_version, "
            f"CASE {payloads} ELSE data END AS data) "
            f"FROM (SELECT *, CASE {versions} END AS wb_schema FROM ({query}))"
        )

    misread = domain.read_model
    model = replace(misread, applied={**misread.applied, **_UPCAST[domain.name]})

    def versions(events: int, seed: int) -> Versions:
        return Versions(misread, STEPS[domain.name])

    return replace(
        domain, rewrite=rewrite, read_model=model, witnesses=(*domain.witnesses, versions)
    )


def _third(change: Changes) -> str:
    return _THIRD.get(change.types[0], "data")


def _listed(types: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in types)
