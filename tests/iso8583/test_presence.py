"""Which fields a message must and may carry, chosen by MTI and DE 3."""

from __future__ import annotations

from typing import Any

import pytest

from switch.iso8583 import Message, Problem, Value
from tests.iso8583.oracle import sample
from tests.iso8583.strategies import VAFA

EARN = "earn, swiped, odd track 2"
REDEEM = "redeem, typed card number, PIN block, key serial"
REVERSAL = "reversal of an earn"
MAC = bytes(8)


def changed(name: str, mti: str | None = None, **changes: Any) -> Message:
    """The sample with other fields: f22="..." sets field 22, f22=None takes it away."""
    message = VAFA.decode(sample(name))
    fields: dict[str, Value] = {**message.fields, **{key[1:]: value for key, value in changes.items()}}
    return Message(mti or message.mti, {key: value for key, value in fields.items() if value is not None})


ROWS = (
    ("complete", changed(EARN), []),
    ("one missing", changed(EARN, f22=None), [("22", "mandatory, missing", "30")]),
    (
        "several missing, in order",
        changed(EARN, f60=None, f4=None, f11=None),
        [
            ("4", "mandatory, missing", "30"),
            ("11", "mandatory, missing", "30"),
            ("60", "mandatory, missing", "30"),
        ],
    ),
    ("a field too many", changed(EARN, f38="123456"), [("38", "not part of: Earn points", "30")]),
    (
        "card number and track",
        changed(EARN, f2="9364001234567890"),
        [("2", "exactly one of fields 2, 35, 48.07, 48.15, 48.20 must be present; there are 2", "30")],
    ),
    (
        "neither card number nor track",
        changed(EARN, f35=None),
        [("2", "exactly one of fields 2, 35, 48.07, 48.15, 48.20 must be present; there are 0", "30")],
    ),
    ("no MAC", changed(EARN, f64=None), [("64", "the MAC is missing", "30")]),
    (
        "the MAC of a secondary bitmap without one",
        changed(EARN, f64=None, f128=MAC),
        [("64", "the MAC is missing", "30"), ("128", "the MAC stands in 64", "30")],
    ),
    (
        "the MAC of the primary bitmap under a secondary one",
        changed(REVERSAL, f64=MAC, f128=None),
        [("64", "the MAC stands in 128", "30"), ("128", "the MAC is missing", "30")],
    ),
    ("both MACs", changed(REVERSAL, f64=MAC), [("64", "the MAC stands in 128", "30")]),
    ("no such MTI", changed(EARN, mti="0201"), [("mti", "no message of this dialect", "12")]),
    ("no such message", changed(EARN, f3="000000"), [("3", "no message of this MTI", "12")]),
    (
        "a queued redemption is a capture, which names its hold",
        changed(REDEEM, mti="0220", f52=None),
        [("37", "mandatory, missing", "30")],
    ),
    ("no processing code", changed(EARN, f3=None), [("3", "mandatory, missing", "30")]),
    ("a reversal of anything", changed(REVERSAL, f3="999999"), []),
    ("a reversal of what isn't said", changed(REVERSAL, f3=None), [("3", "mandatory, missing", "30")]),
    ("a tag missing", changed(REDEEM, f48={}), [("48.01", "mandatory, missing", "30")]),
    ("its field missing", changed(REDEEM, f48=None), [("48", "mandatory, missing", "30")]),
    (
        "a tag too many",
        changed(REDEEM, f48={"01": "000000000100", "02": "000000000100"}),
        [("48.02", "not part of: Redeem points", "30")],
    ),
    ("an unknown tag beside", changed(REDEEM, f48={"7F": b"", "01": "000000000100"}), []),
    ("any tag where the whole field is named", changed(EARN, f48={"02": "000000000100"}), []),
    (
        "a processing code in an answer",
        changed("advice answer", f3="210060"),
        [("3", "not part of: Answer", "30")],
    ),
    ("an answer without its code", changed("advice answer", f39=None), [("39", "mandatory, missing", "30")]),
)


@pytest.mark.parametrize(("message", "problems"), [pytest.param(row[1], row[2], id=row[0]) for row in ROWS])
def test_problems(message: Message, problems: list[tuple[str, str, str]]) -> None:
    assert VAFA.check(message) == [Problem(*problem) for problem in problems]


def test_a_mac_that_is_still_to_come_is_not_missed() -> None:
    assert VAFA.check(changed(EARN, f64=None), mac_required=False) == []
    assert VAFA.check(changed(REVERSAL, f128=None), mac_required=False) == []


def test_a_field_no_dialect_has_is_a_problem_too() -> None:
    message = Message("0230", {**VAFA.decode(sample("advice answer")).fields, "x": "1"})
    assert VAFA.check(message) == [Problem("x", "not part of: Answer")]


@pytest.mark.parametrize(
    ("name", "rule"), [(EARN, "earn"), (REDEEM, "redeem"), (REVERSAL, "reversal"), ("sign-on", "network")]
)
def test_the_message_has_a_name(name: str, rule: str) -> None:
    assert VAFA.name_of(VAFA.decode(sample(name))) == rule


def test_what_is_no_message_has_none() -> None:
    assert VAFA.name_of(Message("0999", {})) is None
