"""What scanned texts are: published numbers, every damaged digit, and everything that is none of ours."""

from terminal.drivers.codes import Card, Goods, Refused, Text, code_of, ean_valid, member_code

PREFIXES = ["936400"]
CARD = "9364001234567898"
MEMBER_CODE = "VAFA1:936400123456789828"
EAN = "4006381333931"  # the example of the EAN-13 article of many encyclopaedias


def of(text):
    """What it is as plain values: kind and content, or the reason why not."""
    code = code_of(text if isinstance(text, bytes) else text.encode(), PREFIXES)
    if isinstance(code, Refused):
        return code.reason
    if isinstance(code, Card):
        return ("member" if code.is_member_code else "card", code.number)
    return ("goods", code.number) if isinstance(code, Goods) else ("text", code.text)


def test_every_table_row():
    for text, expected in (
        (EAN, ("goods", EAN)),
        ("5901234123457", ("goods", "5901234123457")),  # GS1's own example
        ("9780201379624", ("goods", "9780201379624")),
        ("4006381333932", "check"),
        (CARD, ("card", CARD)),
        (CARD[:-1] + "4", "check"),
        ("6219861234567898", "foreign"),
        ("4111111111111111", "foreign"),
        (MEMBER_CODE, ("member", CARD)),
        (MEMBER_CODE[:-1] + "7", "check"),
        (MEMBER_CODE + "0", "kind"),
        (MEMBER_CODE[:-1], "kind"),
        ("VAFA2:" + MEMBER_CODE[6:], "version"),
        ("VAFA1:", "kind"),
        ("VAFA1:93640012345678982x", "kind"),
        (member_code("6219861234567898"), "foreign"),
        ("VOUCHER-17", ("text", "VOUCHER-17")),
        ("12345678", ("text", "12345678")),
        ("VAFA", ("text", "VAFA")),
        ("A" * 48, ("text", "A" * 48)),
        ("A" * 49, "long"),
        ("1" * 14, "kind"),
        ("6" * 19, "kind"),
        ("pan=6219861234567898;", "kind"),
        ("https://vafa.example/t?e=1", "kind"),
        ("", "empty"),
        ("   ", "empty"),
        (b"\x00\x01", "letters"),
        ("کد عضو", "letters"),
        ("A\x1d01", "letters"),
        ("  " + EAN + " ", ("goods", EAN)),
    ):
        assert of(text) == expected, text


def test_the_scanner_may_say_what_kind_it_was():
    for text, expected in (
        ("]E0" + EAN, ("goods", EAN)),
        ("]E0" + CARD, "kind"),
        ("]E496385074", "kind"),
        ("]C0" + CARD, ("card", CARD)),
        ("]C0" + EAN, ("text", EAN)),
        ("]C1" + MEMBER_CODE, ("member", CARD)),
        ("]Q1" + MEMBER_CODE, ("member", CARD)),
        ("]Q1HELLO", "kind"),
        ("]A0V17", ("text", "V17")),
        ("]d1" + EAN, "kind"),
        ("]C0", "empty"),
        ("]C", ("text", "]C")),
    ):
        assert of(text) == expected, text


def test_one_wrong_digit_of_a_member_code_is_always_found():
    for place in range(6, len(MEMBER_CODE)):
        for digit in "0123456789":
            if digit != MEMBER_CODE[place]:
                text = MEMBER_CODE[:place] + digit + MEMBER_CODE[place + 1 :]
                assert of(text) == "check", text


def test_two_digits_that_changed_places_are_found():
    for first in range(6, len(MEMBER_CODE)):
        for second in range(first + 1, len(MEMBER_CODE)):
            letters = list(MEMBER_CODE)
            letters[first], letters[second] = letters[second], letters[first]
            text = "".join(letters)
            if text != MEMBER_CODE:
                assert of(text) == "check", text


def test_one_wrong_digit_of_goods_is_always_found():
    for place in range(13):
        for digit in "0123456789":
            if digit != EAN[place]:
                assert not ean_valid(EAN[:place] + digit + EAN[place + 1 :])


def test_nothing_shows_what_was_scanned():
    for text in (CARD, MEMBER_CODE, "VOUCHER-17", "6219861234567898"):
        shown = repr(code_of(text.encode(), PREFIXES))
        assert "9364" not in shown
        assert "17" not in shown
        assert "6219" not in shown
    assert isinstance(code_of(b"VOUCHER-17", PREFIXES), Text)
