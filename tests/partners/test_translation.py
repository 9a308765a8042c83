"""A partner's messages in our words, our answers in theirs."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch import iso8583
from switch.iso8583 import Message
from switch.partners import Translator, Untranslatable, load
from switch.partners.mapping_file import SHIPPED
from switch.partners.translation import Asked

OURS = iso8583.load("vafa")
MAPPING = load("iso87-ascii")
TRANSLATOR = Translator(MAPPING, OURS)
NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=ZoneInfo("Asia/Tehran"))
CARD, TRACK = "9364001234567897", "9364001234567897=30121010000000512"
BASIC: dict[str, Any] = {
    "2": CARD,
    "3": "000000",
    "4": "000000250000",
    "7": "0310083000",
    "11": "000007",
    "12": "120000",
    "13": "0310",
    "22": "021",
    "32": "581672031",
    "41": "70000001",
    "42": "700000000000001",
    "49": "364",
}
CODES = {"balance": "310000", "earn": "210000", "redeem": "000000", "refund": "200000"}


def theirs(mti: str = "0200", **changes: Any) -> Message:
    """A message of theirs; f4="..." changes a field, None takes it away."""
    fields = BASIC | {name[1:]: value for name, value in changes.items()}
    return Message(mti, {path: value for path, value in fields.items() if value is not None})


def asked(message: Message, ratio: int = 100) -> Asked:
    return TRANSLATOR.asked(message, NOW, lambda local_date: ratio)


def refusal(message: Message) -> tuple[str, str]:
    with pytest.raises(Untranslatable) as raised:
        asked(message)
    assert CARD not in str(raised.value)
    return raised.value.path, raised.value.response_code


@pytest.mark.parametrize(
    ("mti", "code", "operation", "ours"),
    [
        ("0100", "300000", "balance", "0100"),
        ("0200", "310000", "balance", "0100"),
        ("0200", "210000", "earn", "0200"),
        ("0201", "219999", "earn", "0200"),
        ("0220", "210000", "earn", "0220"),
        ("0221", "210000", "earn", "0221"),
        ("0200", "000000", "redeem", "0200"),
        ("0201", "000000", "redeem", "0200"),
        ("0100", "000000", "hold", "0100"),
    ],
)
def test_mti_and_processing_code_say_what_is_asked_for(
    mti: str, code: str, operation: str, ours: str
) -> None:
    found = asked(theirs(mti, f3=code, f2=None, f35=TRACK) if operation != "x" else theirs(mti))
    assert (found.operation, found.message.mti) == (operation, ours)
    assert OURS.name_of(found.message) == operation
    assert OURS.check(found.message, mac_required=False) == []
    assert (found.acquirer, found.sent, found.original) == ("581672031", "0310083000", None)


def test_points_are_worked_out_and_a_rest_is_left_to_the_decision() -> None:
    assert asked(theirs(f2=None, f35=TRACK)).message["48.01"] == "000000002500"
    assert asked(theirs(f2=None, f35=TRACK, f4="000000250099")).message["48.01"] == "000000002500"
    assert asked(theirs(f2=None, f35=TRACK), ratio=250).message["48.01"] == "000000001000"


def test_the_ratio_is_that_of_the_transactions_day() -> None:
    days: list[str] = []

    def ratio(local_date: str) -> int:
        days.append(local_date)
        return 100

    TRANSLATOR.asked(theirs(f13="0309"), NOW, ratio)
    assert days == ["0309"]


def test_points_can_travel_in_a_field_of_their_own(tmp_path: Path) -> None:
    text = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")
    text = text.replace('"4" = "4"', '"4" = { from = "4", unit = "rial" }')
    text = text.replace('{ "48.01" = { from = "4", unit = "points" } }', '{ "48.01" = "4" }')
    (tmp_path / "points.toml").write_text(text, encoding="utf-8")
    in_points = Translator(load(tmp_path / "points.toml"), OURS)
    found = in_points.asked(theirs(f2=None, f35=TRACK, f4="000000000025"), NOW, lambda _day: 100)
    assert (found.message["4"], found.message["48.01"]) == ("000000002500", "000000000025")
    with pytest.raises(Untranslatable, match="4: expected 12 digits"):
        in_points.asked(theirs(f4="999999999999"), NOW, lambda _day: 100)


def test_track_two_counts_before_the_typed_number_which_must_be_the_same() -> None:
    found = asked(theirs(f35=TRACK)).message
    assert (found["35"], "2" in found) == (TRACK, False)
    assert refusal(theirs(f35=TRACK, f2="9364001234567899")) == ("2", "30")


def test_local_time_comes_from_the_time_of_sending_where_it_is_missing() -> None:
    found = asked(theirs(f12=None, f13=None, f7="0309213000")).message
    assert (found["13"], found["12"]) == ("0310", "010000")
    new_year = datetime(2027, 1, 1, 2, 0, 0, tzinfo=ZoneInfo("Asia/Tehran"))
    found = TRANSLATOR.asked(theirs(f12=None, f13=None, f7="1231223000"), new_year, lambda _day: 100).message
    assert (found["13"], found["12"]) == ("0101", "020000")


def test_a_pin_block_stays_out_of_our_message() -> None:
    block = bytes(range(8))
    found = asked(theirs(f52=block))
    assert found.pin_block == block
    assert found.message["52"] == bytes(16)
    assert block.hex() not in repr(found)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (theirs("0800"), ("mti", "12")),
        (theirs("0300"), ("mti", "12")),
        (theirs(f3="990000"), ("3", "12")),
        (theirs(f3=None), ("3", "30")),
        (theirs(f7=None), ("7", "30")),
        (theirs(f11=None), ("11", "30")),
        (theirs(f32=None), ("32", "30")),
        (theirs(f12=None, f13=None, f7="9999999999"), ("7", "30")),
        (theirs("0420"), ("90", "30")),
        (theirs(f49="IRR"), ("49", "30")),
    ],
)
def test_what_can_not_be_understood_is_told_with_their_path(
    message: Message, expected: tuple[str, str]
) -> None:
    assert refusal(message) == expected


def test_a_reversal_names_its_original_in_their_words_and_ours() -> None:
    data = "0200" + "000007" + "0310083000" + "00581672031" + "0" * 11
    found = asked(theirs("0420", f90=data, f11="000008", f3="310000"))
    assert found.original == ("0200", "000007", "0310083000", "581672031")
    assert OURS.check(found.message, mac_required=False) == []
    assert (found.message["3"], found.message["90"]) == ("306000", "0100" + "0000070310083000" + "0" * 22)
    assert "37" not in found.message
    unnamed = asked(theirs("0421", f90=data[:20] + "0" * 22))
    assert unnamed.original == ("0200", "000007", "0310083000", "581672031")
    assert unnamed.message.mti == "0421"
    strange = asked(theirs("0400", f90="0200" + data[4:], f3="990000"))
    assert (strange.message.mti, OURS.name_of(strange.message)) == ("0420", "reversal")


def test_a_reversal_without_a_card_goes_by_our_reference() -> None:
    data = "0220" + "000007" + "0310083000" + "00581672031" + "0" * 11
    found = asked(theirs("0420", f90=data, f2=None, f63="1A0000000001"))
    assert found.message["37"] == "1A0000000001"
    assert OURS.check(found.message, mac_required=False) == []


def stored(code: str = "00", **tags: str) -> bytes:
    fields: dict[str, Any] = {
        "11": "000007",
        "12": "120000",
        "37": "1A00000ABCDE",
        "39": code,
        "41": "70000001",
    }
    if tags:
        fields["48"] = {name[1:]: value for name, value in tags.items()}
    return OURS.encode_body(Message("0210", fields))


def test_an_answer_brings_back_what_came_and_says_what_the_switch_decided() -> None:
    body = stored(t01="000000000025", t02="000000000075", t04="0102")
    request = theirs(f35=TRACK, f52=bytes(8), f64=bytes(8), f62="77")
    answer = TRANSLATOR.answer(request, body)
    assert answer.mti == "0210"
    echoed = {"2", "3", "4", "7", "11", "12", "13", "22", "32", "41", "42", "49"}
    assert {path: answer[path] for path in echoed} == {path: request[path] for path in echoed}
    assert {path: answer[path] for path in answer if path not in echoed} == {
        "37": "1A00000ABCDE",
        "38": "0ABCDE",
        "39": "00",
        "44": "0102",
        "54": "6002999C000000000075" + "6040999C000000000025",
        "63": "1A00000ABCDE",
    }
    MAPPING.dialect.encode(answer)


def test_a_reference_that_came_stays_and_ours_stands_beside_it() -> None:
    answer = TRANSLATOR.answer(theirs("0201", f37="606912000007"), stored())
    assert (answer.mti, answer["37"], answer["63"]) == ("0210", "606912000007", "1A00000ABCDE")


def test_a_decline_has_no_approval_code_and_their_response_code() -> None:
    answer = TRANSLATOR.answer(theirs(), stored("1A"))
    assert (answer["39"], "38" in answer) == ("55", False)


def test_debt_is_told_as_owed() -> None:
    answer = TRANSLATOR.answer(theirs(), stored(t02="000000000000", t03="000000000040"))
    assert answer["54"] == "6002999C000000000000" + "6003999D000000000040"


def test_a_refusal_says_no_more_than_why() -> None:
    answer = TRANSLATOR.refusal(theirs("0420"), "63")
    assert (answer.mti, answer["39"]) == ("0430", "63")
    assert {"37", "38", "54"}.isdisjoint(answer.fields)


# ---------------------------------------------------------------- other versions of the standard

NEWER = Translator(load("iso93-bcd"), OURS)
OF_93 = {
    **{path: BASIC[path] for path in ("2", "4", "11", "32", "41", "42", "49")},
    "3": "210000",
    "12": "260310120000",
    "22": "000000200000",
    "24": "200",
}


def newer(mti: str = "1200", **changes: Any) -> Message:
    fields = OF_93 | {name[1:]: value for name, value in changes.items()}
    return Message(mti, {path: value for path, value in fields.items() if value is not None})


def test_a_newer_message_is_known_by_its_local_time() -> None:
    found = NEWER.asked(newer(), NOW, lambda _day: 100)
    assert (found.operation, found.message.mti, found.sent) == ("earn", "0200", "0310120000")
    assert [found.message[path] for path in ("12", "13", "22")] == ["120000", "0310", "020"]
    assert NEWER.asked(newer(f22=None), NOW, lambda _day: 100).message["22"] == "000"
    with pytest.raises(Untranslatable, match="22: none of the values"):
        NEWER.asked(newer(f22="000000900000"), NOW, lambda _day: 100)


def test_a_newer_reversal_names_its_original_and_is_accepted() -> None:
    data = "1200" + "000007" + "260310120000"
    for named in ("", "09581672031", "1100581672031"):
        found = NEWER.asked(newer("1420", f56=data + named), NOW, lambda _day: 100)
        assert found.original == ("1200", "000007", "0310120000", "581672031")
        assert found.message["90"] == "0200" + "0000070310120000" + "0" * 22
    for broken in (data[:-1], data + "08581672031", data + "9"):
        with pytest.raises(Untranslatable, match="56: expected MTI, STAN, time and acquirer"):
            NEWER.asked(newer("1420", f56=broken), NOW, lambda _day: 100)
    assert NEWER.answer(newer("1420"), stored())["39"] == "400"
    assert NEWER.answer(newer("1420"), stored("12"))["39"] == "902"
    assert NEWER.answer(newer(), stored())["39"] == "000"


def test_newer_additional_amounts_are_rows_of_parts() -> None:
    answer = NEWER.answer(newer(), stored(t02="000000000000", t03="000000000040"))
    assert answer.mti == "1210"
    owed = {"1": "60", "2": "03", "3": "999", "4": "D000000000040"}
    assert answer["54"] == {"1": {"1": "60", "2": "02", "3": "999", "4": "C000000000000"}, "2": owed}
    dialect = load("iso93-bcd").dialect
    assert dialect.decode(dialect.encode(answer))["54"] == answer["54"]


def test_a_concentrator_gets_the_balance_as_a_table_and_our_reference_as_its_own() -> None:
    mapping = load("pos-host-1987")
    answer = Translator(mapping, OURS).answer(theirs(f37="606912000007"), stored(t02="000000000075"))
    assert (answer["37"], answer["63"]) == ("1A00000ABCDE", {"PB": "000000000075"})
    assert mapping.dialect.decode(mapping.dialect.encode(answer))["63.PB"] == "000000000075"


FIELDS = {path: st.sampled_from([value, None, "", "0" * len(value), "x"]) for path, value in BASIC.items()}


@given(st.fixed_dictionaries(FIELDS), st.sampled_from(["0100", "0200", "0220", "0420", "0800", "9999"]))
def test_whatever_comes_is_ours_in_full_or_refused(fields: dict[str, Any], mti: str) -> None:
    message = Message(mti, {path: value for path, value in fields.items() if value is not None})
    with suppress(Untranslatable):
        found = asked(message)
        assert OURS.decode(OURS.encode(found.message)) == found.message
