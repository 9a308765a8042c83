"""Numbered conditions and processing codes with open digits: which field must be there, and when not."""

from __future__ import annotations

from typing import Any

import pytest

from switch import iso8583
from switch.iso8583 import Message, Problem
from switch.iso8583.presence import holds
from tests.iso8583 import any_dialect

POS = iso8583.load("pos-host-1987")
SINK = any_dialect.dialect("kitchen-sink")
SALE = {
    "3": "000000",
    "4": "000000002500",
    "11": "000002",
    "22": "021",
    "24": "003",
    "25": "00",
    "35": "4111111111111111=29121010000",
    "41": "10000001",
    "42": "100000000000001",
    "62": "000001",
}


def sale(**changes: Any) -> Message:
    fields = {**SALE, **{key[1:]: value for key, value in changes.items()}}
    return Message("0200", {key: value for key, value in fields.items() if value is not None})


ROWS = (
    ("swiped", sale(), []),
    (
        "swiped without track",
        sale(f35=None, f2="4111111111111111"),
        [("35", "missing, condition C2: the card was swiped (entry mode 02 or 90)")],
    ),
    (
        "neither track nor number",
        sale(f35=None, f22="012", f14="2912"),
        [("2", "missing, condition C1: the card is read from no track and no chip")],
    ),
    (
        "typed without expiry",
        sale(f35=None, f22="012", f2="4111111111111111"),
        [("14", "missing, condition C4: the card number was typed in (entry mode 01)")],
    ),
    (
        "chip without its data",
        sale(f22="051"),
        [("55", "missing, condition C3: the chip was read (entry mode 05 or 07)")],
    ),
    (
        "chip data without a chip",
        sale(f55={"9F36": b"\x00\x01"}),
        [("55", "not allowed without condition C3: the chip was read (entry mode 05 or 07)")],
    ),
    ("chip", sale(f22="051", f35=None, f55={"9F36": b"\x00\x01"}), []),
    ("a field too many", sale(f70="001"), [("70", "not part of: Sale or redemption")]),
)


@pytest.mark.parametrize(("message", "problems"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_problems(message: Message, problems: list[tuple[str, str]]) -> None:
    assert POS.check(message) == [Problem(*problem) for problem in problems]


@pytest.mark.parametrize(
    ("mti", "code", "name"),
    [
        ("0200", "000000", "sale"),
        ("0200", "006000", "sale"),
        ("0200", "020000", "void"),
        ("0200", "210060", "credit"),
        ("0220", "200000", "credit"),
        ("0220", "000000", "advice"),
        ("0200", "300000", "balance"),
        ("0200", "310000", "balance"),
        ("0400", "999999", "reversal"),
        ("0500", "920000", "settlement"),
        ("0500", "960000", "settlement_trailer"),
        ("0200", "990000", None),
        ("0500", "000000", None),
        ("0800", None, "network"),
    ],
)
def test_the_message_is_chosen_by_its_processing_code(mti: str, code: str | None, name: str | None) -> None:
    fields = {} if code is None else {"3": code}
    assert POS.name_of(Message(mti, dict(fields))) == name


@pytest.mark.parametrize(
    ("fields", "is_held"),
    [
        ({}, False),
        ({"35": "1=2"}, True),
        ({"36": "1=2"}, True),
        ({"36": "1=2", "3": "12345"}, True),
        ({"36": "1=2", "3": "00000"}, False),
        ({"35": "1=2", "3": "00000"}, True),
    ],
)
def test_any_group_of_tests_is_enough(fields: dict[str, str], is_held: bool) -> None:
    assert holds(SINK.dictionary.conditions["1"], Message("0200", dict(fields))) is is_held


@pytest.mark.parametrize(
    ("mti", "fields", "is_held"),
    [
        ("0200", {"3": "00123"}, True),
        ("0220", {"3": "00123"}, True),
        ("0210", {"3": "00123"}, False),
        ("0200", {"3": "10123"}, False),
        ("0200", {"3": b"\x00"}, True),
        ("0200", {}, False),
    ],
)
def test_all_tests_of_a_group_must_hold(mti: str, fields: dict[str, Any], is_held: bool) -> None:
    assert holds(SINK.dictionary.conditions["2"], Message(mti, dict(fields))) is is_held


def test_conditions_of_tags_and_open_rules() -> None:
    inner = {"48": {"IN": {"007": "1"}}}
    assert SINK.check(Message("0200", {"3": "99999", "4": "1", **inner})) == [
        Problem("48.IN", "not allowed without condition C1: a track is sent")
    ]
    assert SINK.check(Message("0200", {"3": "99999", "35": "1=2", "48": {"01": "1"}})) == [
        Problem("48.01", "not part of: Other"),
        Problem("48.IN", "missing, condition C1: a track is sent"),
    ]
    assert SINK.check(Message("0200", {"3": "99999", "35": "1=2"})) == [], (
        "what would hold the tag isn't there"
    )


def test_a_dialect_without_messages_has_nothing_to_say() -> None:
    one = any_dialect.dialect("three-bitmaps")
    assert one.check(Message("9999", {"129": "x"})) == []
    assert one.name_of(Message("9999", {})) is None


def test_what_an_answer_echoes_is_told() -> None:
    answer = next(rule for rule in POS.dictionary.messages if rule.name == "answer")
    assert answer.echoed == ("24", "41")
    assert set(answer.echoed) <= set(answer.mandatory)
