"""Settings: what is taken, and what an error says."""

import json

from terminal.settings import FIELDS, OPTIONAL, SettingsError, check, check_lines, without_keys

GOOD = {
    "terminal_id": "10000001",
    "acceptor_id": "100000000000001",
    "acceptor_name": {"en": "Vafa Shop", "fa": "فروشگاه وفا"},
    "host": "127.0.0.1",
    "port": 8583,
    "tpdu": "6000030000",
    "answer_timeout_ms": 15000,
    "reversal_interval_ms": 5000,
    "locale": "en",
    "receipt_locales": ["en", "fa"],
    "card_prefixes": ["936400"],
    "transport_key": "0123456789abcdef0123456789ABCDEF",
    "key_block": "D0112" + "0" * 107,
    "key_serial": "12" * 12,
    "lines": [
        {"kind": "tcp"},
        {"kind": "dial", "numbers": ["0,2188", "2189"], "outside": "9,", "commands": ["AT$F2"], "idle_s": 30},
    ],
    "till_receipts": True,
    "supervisor": {"salt": "5a" * 16, "hash": "12" * 32},
    "till_check": "start, message",
    "tls": {"ca": "ca.pem", "certificate": "terminal.pem", "key": "terminal.key"},
}
DIAL = {"kind": "dial", "numbers": ["12"]}
GPRS = {"kind": "gprs", "access_point": "vafa"}

WRONG = (
    ("terminal_id", ("", "1234567", "123456789", 10000001, None, "۱۲۳۴۵۶۷۸")),
    ("acceptor_id", ("1" * 14, "1" * 16, 1)),
    ("acceptor_name", ("Vafa", {"en": "Vafa"}, {"en": "", "fa": "وفا"}, {"en": "x" * 65, "fa": "وفا"})),
    ("host", ("", 5, None)),
    ("port", (0, 65536, "8583", True, 1.5)),
    ("tpdu", ("", "60000300", "60000300000", "60000300zz", 6000030000)),
    ("answer_timeout_ms", (0, 99, 120001, "15000")),
    ("reversal_interval_ms", (9, 600001, None)),
    ("locale", ("de", "", None, 1)),
    ("receipt_locales", ([], ["de"], "en", ["en", "fa", "en"], None)),
    ("transport_key", ("", "00" * 15, "00" * 17, "zz" * 16, 5, None)),
    ("key_block", ("", "D" * 111, "D" * 513, "D\n" * 60, 5)),
    ("key_serial", ("", "12" * 11, "12" * 13, "zz" * 12, 5)),
    ("tls", ("", True, {}, {"ca": "ca.pem"}, {"ca": "", "certificate": "c", "key": "k"})),
    ("till_receipts", ("", "true", 1)),
    ("supervisor", ("", {}, {"salt": "5a", "hash": "12"}, {"salt": "5a" * 16})),
    ("till_check", ("", "lrc", 1)),
    (
        "lines",
        (
            [],
            {},
            [{}],
            [{"kind": "isdn"}],
            [{"kind": "dial"}],
            [{"kind": "dial", "numbers": []}],
            [{"kind": "dial", "numbers": ["12\r34"]}],
            [{"kind": "dial", "numbers": ["12"], "attemps": 1}],
            [{"kind": "dial", "numbers": ["12"], "attempts": 0}],
            [{"kind": "dial", "numbers": ["12"], "commands": ["DT12"]}],
            [{"kind": "gprs"}],
            [{"kind": "gprs", "access_point": 'a"b'}],
            [{"kind": "gprs", "access_point": "a", "pin": "12"}],
            [{"kind": "gprs", "access_point": "a", "pin": 1234}],
            [{"kind": "tcp", "numbers": ["12"]}],
            [{"kind": "tcp"}, {"kind": "tcp"}],
            [{"kind": "dial", "numbers": ["12"]}, {"kind": "gprs", "access_point": "a"}],
        ),
    ),
    ("card_prefixes", ([], "936400", ["x"], [""], ["1" * 13], [936400], ["1"] * 33)),
)


def error_of(values):
    try:
        check(values)
    except SettingsError as error:
        return str(error)
    return None


def test_good_settings():
    settings = check(dict(GOOD, newer="left alone"))
    assert settings.acceptor_name == ("Vafa Shop", "فروشگاه وفا")
    assert settings.tpdu == b"\x60\x00\x03\x00\x00"
    assert settings.transport_key == b"\x01\x23\x45\x67\x89\xab\xcd\xef" * 2
    assert settings.card_prefixes == ("936400",) and settings.receipt_locales == ("en", "fa")
    assert settings.tls == ("ca.pem", "terminal.pem", "terminal.key")
    assert check(dict(GOOD, tpdu=None)).tpdu is None
    held, dialled = settings.lines
    assert (held.kind, dialled.kind, dialled.numbers) == ("tcp", "dial", ("0,2188", "2189"))
    assert (dialled.outside, dialled.commands, dialled.idle_s, dialled.attempts) == ("9,", ("AT$F2",), 30, 2)
    [only] = check({name: GOOD[name] for name in GOOD if name != "lines"}).lines
    assert only.kind == "tcp"


def test_lines_that_nothing_fitted_can_carry():
    dial, gprs = [check(dict(GOOD, lines=[line])).lines for line in (DIAL, GPRS)]
    for lines, kind, is_well in (
        (dial, "hayes", True),
        (dial, "m95", False),
        (dial, None, False),
        (gprs, "m95", True),
        (gprs, "sim800", True),
        (gprs, "hayes", False),
        (check(dict(GOOD, lines=[{"kind": "tcp"}])).lines, None, True),
    ):
        try:
            check_lines(lines, {"modem": {"kind": kind}} if kind else {})
            said = ""
        except SettingsError as error:
            said = str(error)
        assert (said == "") == is_well, (kind, said)
        assert is_well or said.startswith("lines: a line of kind ")


def test_every_missing_setting_is_named_with_what_is_expected():
    assert sorted(GOOD) == sorted([name for name, _, _ in FIELDS])
    for name, expected, _ in FIELDS:
        values = dict(GOOD)
        del values[name]
        if name in OPTIONAL:
            continue
        assert error_of(values) == name + ": missing; expected " + expected


def test_every_wrong_setting_is_named_and_not_quoted():
    assert sorted([name for name, _ in WRONG]) == sorted(GOOD)
    for name, wrong in WRONG:
        for value in wrong:
            values = dict(GOOD)
            values[name] = value
            error = error_of(values)
            assert error is not None and error.startswith(name + ": expected "), (name, value)
            assert not isinstance(value, str) or len(value) < 10 or value not in error


def test_what_may_be_left_out():
    for absent in (lambda values, name: values.pop(name), lambda values, name: values.update({name: None})):
        values = dict(GOOD)
        for name in OPTIONAL:
            absent(values, name)
        settings = check(values)
        assert (settings.key_block, settings.key_serial, settings.tls) == (None, None, None)
    for name in ("key_block", "key_serial"):
        values = dict(GOOD)
        del values[name]
        assert error_of(values) == "key_block, key_serial: expected both or none"


def test_a_settings_file_without_its_key_block():
    content = without_keys(json.dumps(GOOD).encode())
    left = json.loads(str(content, "utf-8"))
    assert set(GOOD) - set(left) == {"key_block", "key_serial"}
    assert left == {name: GOOD[name] for name in left}
    assert without_keys(content) is None
    try:
        without_keys(b"no JSON")
    except ValueError:
        return
    raise AssertionError("no JSON, and nobody said so")
