"""Declaring a saga: what a definition says of itself, and how a wrong one is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import workbench as wb
from workbench.bundled import SAGAS, checkout_saga
from workbench.errors import ConfigError

PAY = wb.Step("pay", "Paid", failure="NotPaid", compensation="Refunded")
SEND = wb.Step("send", "Sent")


def saga(**changes: Any) -> wb.Saga:
    arguments: dict[str, Any] = {"name": "s", "start": "Asked", "steps": [PAY, SEND]}
    return wb.Saga(**(arguments | changes))


def test_it_reads_as_a_sentence() -> None:
    shown = repr(
        wb.Saga(
            "trip",
            ["Asked", "AskedAgain"],
            [
                wb.Step(
                    "seat", "Held", compensation="Freed", part="seat.number", deadline="90 minutes"
                ),
                wb.Step("meal", "Ordered", optional=True),
                SEND,
            ],
            cancelled="GivenUp",
            correlation="tripId",
            deadline=dt.timedelta(days=2),
            compensation_deadline="36 hours",
        )
    )
    assert shown.splitlines() == [
        "Saga 'trip': Asked or AskedAgain → seat → meal → send, or GivenUp; by tripId",
        "  seat: Held, undone by Freed, one part for each seat.number, within 90 minutes",
        "  meal: Ordered, optional",
        "  send: Sent",
        "  compensation: within 36 hours",
        "  whole: within 2 days",
    ]


def test_it_is_a_value() -> None:
    assert saga() == saga()
    assert saga() != saga(deadline="1 day")
    assert checkout_saga == SAGAS["checkout.saga"]
    with pytest.raises(AttributeError):
        saga().name = "other"  # type: ignore[misc]  # that is the point


def test_it_knows_its_types() -> None:
    assert saga(cancelled=["GivenUp"]).types == (
        "Asked",
        "Paid",
        "NotPaid",
        "Refunded",
        "Sent",
        "GivenUp",
    )
    assert saga().step("pay") is PAY
    with pytest.raises(ConfigError, match=r"has no step 'pya'. Did you mean 'pay'"):
        saga().step("pya")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "a saga cannot be called ''"),
        ({"start": None}, "names no event that begins it"),
        ({"start": []}, "names no event types"),
        ({"steps": []}, "saga 's' has no steps"),
        ({"steps": "pay"}, "its steps are str, not a list"),
        ({"steps": {"pay": "Paid"}}, "'pay' is no step"),
        ({"steps": [PAY, PAY, SEND]}, "two steps 'pay'"),
        ({"steps": [SEND, PAY]}, "its last step, 'pay', completes it, but is undone"),
        ({"steps": [wb.Step("send", "Sent", part="sku")]}, "completes it, but has parts"),
        ({"steps": [wb.Step("send", "Sent", optional=True)]}, "completes it, but is optional"),
        ({"start": "Paid"}, "Paid means two things: it begins the saga, and success of step 'pay'"),
        (
            {"cancelled": "NotPaid"},
            "NotPaid means two things: failure of step 'pay', and it ends the saga",
        ),
        ({"deadline": "soon"}, "'soon' is no length of time"),
        ({"deadline": "3 dayz"}, "Did you mean 'day'"),
        ({"deadline": "0 days"}, "a deadline of '0 days' is none"),
        ({"compensation_deadline": 5}, "5 is no length of time"),
        ({"correlation": "event.corelation_id"}, "Did you mean 'correlation_id'"),
        ({"correlation": None}, "None names no field"),
    ],
)
def test_wrong_ones_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        saga(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "Paid"), "a step cannot be called ''"),
        (("start", "Paid"), "a step cannot be called 'start'"),
        (("pay", None), "names no event that says it was done"),
        (("pay", 3), "3 names no event types"),
    ],
)
def test_wrong_steps_are_refused(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wb.Step(*arguments)
