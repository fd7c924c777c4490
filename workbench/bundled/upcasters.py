"""The upcasters of payloads in three schema versions, ready for ``log.upcast``."""

from __future__ import annotations

from decimal import Decimal

from workbench.errors import ConfigError, did_you_mean
from workbench.projections.upcasting import Upcaster
from workbench.samples.schemas import STEPS


def upcasters(domain: str, *, lost: bool = False) -> tuple[Upcaster, ...]:
    """Return the upcasters for data that was generated with ``schema_versions=3``.

    Parameters
    ----------
    domain
        ``"bank"`` or ``"checkout"``.
    lost
        Whether the one that nobody has any more is among them.

    Raises
    ------
    ConfigError
        There is no such domain.

    Examples
    --------
    >>> upcasters("bank")[0]
    Upcaster DepositMade 1 → 2: rename amount_cents to amount, multiply amount by 0.01
    """
    if domain not in STEPS:
        message = f"There is no domain {domain!r}."
        raise ConfigError(message + did_you_mean(domain, STEPS))
    found = []
    for step in STEPS[domain]:
        if not (step.at_hand or lost):
            continue
        one = Upcaster(step.event_type, from_version=step.start, to_version=step.end)
        for rule in step.rules:
            field = rule["field"]
            match rule["rule"]:
                case "rename":
                    one = one.rename(field, rule["to"])
                case "convert":
                    to = rule["to"]
                    one = one if to == field else one.rename(field, to)
                    one = one.convert(to, factor=Decimal(1) / rule["divide"])
                case "split":
                    one = one.split(field, rule["to"], at=rule["at"])
                case "add":
                    one = one.add(field, rule["default"])
        found.append(one)
    return tuple(found)
