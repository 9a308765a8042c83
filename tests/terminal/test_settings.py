"""Settings: what is taken, and what an error says."""

from terminal.settings import FIELDS, SettingsError, check

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
    "mac_request_key": "0123456789abcdef0123456789ABCDEF",
    "mac_answer_key": "11" * 16,
    "storage_key": "22" * 16,
    "card_prefixes": ["936400"],
}

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
    ("mac_request_key", ("", "00" * 15, "00" * 17, "zz" * 16, 5)),
    ("mac_answer_key", ("00" * 15,)),
    ("storage_key", ("00" * 15,)),
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
    assert settings.mac_request_key == b"\x01\x23\x45\x67\x89\xab\xcd\xef" * 2
    assert settings.card_prefixes == ("936400",) and settings.receipt_locales == ("en", "fa")
    assert check(dict(GOOD, tpdu=None)).tpdu is None


def test_every_missing_setting_is_named_with_what_is_expected():
    assert sorted(GOOD) == sorted([name for name, _, _ in FIELDS])
    for name, expected, _ in FIELDS:
        values = dict(GOOD)
        del values[name]
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
