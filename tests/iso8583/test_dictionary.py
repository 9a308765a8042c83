"""A dictionary is read whole or refused whole: every mistake with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.iso8583 import Dialect, DialectError, Message, load
from switch.iso8583.dictionary_file import SHIPPED

# The smallest dictionary with everything in it; the rows below spoil one line of it each.
SMALL = """\
[dialect]
name = "small"
version = 3
description.en = "Small"
description.fa = "کوچک"
mti = { encoding = "bcd" }
bitmap = { encoding = "binary" }
mac = { primary = 64, secondary = 128, bytes = 4 }

[fields.11]
name = "stan"
title.en = "Trace"
title.fa = "پیگیری"
class = "n"
encoding = "bcd"
length = { fixed = 6, unit = "digits" }

[fields.48] # comment
name = "private"
title = { en = "Private", fa = "ویژه" }
class = "tlv"
encoding = "binary"
length = { prefix = "bcd", digits = 3, max = 99, unit = "bytes" }
tlv = { tag_bytes = 1, length_bytes = 1 }
mask = "hidden"

[fields.48.tags.0A]
name = "odd"
title.en = "Odd"
title.fa = "فرد"
class = "n"
encoding = "bcd"
length = { fixed = 3, unit = "digits" }
pad = { side = "right", nibble = "F" }

[fields.64]
name = "mac"
title.en = "MAC"
title.fa = "کد"
class = "b"
encoding = "binary"
length = { fixed = 4, unit = "bytes" }

[fields.128]
name = "mac_2"
title.en = "MAC"
title.fa = "کد"
class = "b"
encoding = "binary"
length = { fixed = 4, unit = "bytes" }

[messages.request]
mti = ["0100", "0120"]
title.en = "Request"
title.fa = "درخواست"
mandatory = ["11"]
one_of = [["48", "48.0A"]]

[response_codes.00]
title.en = "Yes"
title.fa = "آری"
"""


def refusal(tmp_path: Path, text: str) -> DialectError:
    file = tmp_path / "small.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    return caught.value


def test_what_is_right_is_read(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    dialect = Dialect.load(file)
    assert (dialect.name, dialect.version) == ("small", 3)
    assert dialect.response_codes["00"].title == ("Yes", "آری")
    assert not dialect.response_codes["00"].transient
    message = Message("0100", {"11": "000001", "48": {"0A": "123"}})
    body = dialect.encode_body(message)
    assert body.hex() == "0100" + "0020000000010001" + "000001" + "0004" + "0a02" + "123f"
    assert dialect.split_mac(body + b"mac!") == (body, b"mac!")
    assert dialect.decode(body + b"mac!").fields == {**message.fields, "64": b"mac!"}


def test_the_mask_of_a_field_covers_its_unknown_tags(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    dialect = Dialect.load(file)
    message = dialect.decode(dialect.encode(Message("0100", {"48": {"0A": "123", "0B": b"secret"}})))
    assert repr(message) == "<Message 0100 48.0A=123 48.0B=[hidden]>"


ROWS = (
    (
        "an unknown key of a field",
        'encoding = "bcd"\nlength = { fixed = 6',
        'encoding = "bcd"\nlenght = 1\nlength = { fixed = 6',
        (16, "fields.11.lenght: unknown key 'lenght'", "did you mean 'length'?"),
    ),
    (
        "an unknown key in an inline table",
        "fixed = 6,",
        "fixed = 6, maximum = 7,",
        (16, "fields.11.length.maximum: unknown key 'maximum'", "known here: fixed, unit"),
    ),
    (
        "an unknown table",
        "[response_codes.00]",
        "[response_code.00]",
        (59, "response_code: unknown key 'response_code'", "did you mean 'response_codes'?"),
    ),
    (
        "a key that is missing",
        'name = "stan"\n',
        "",
        (10, "fields.11.name: 'name' is missing", 'add name = "amount"'),
    ),
    (
        "a name that is no name",
        '"stan"',
        '"System Trace"',
        (
            11,
            "fields.11.name: 'System Trace' can't stand here",
            "write small letters, digits and _, a letter first",
        ),
    ),
    (
        "a value of another type",
        "fixed = 6,",
        'fixed = "6",',
        (16, "fields.11.length.fixed: 'fixed' is not a whole number", "write fixed = 12"),
    ),
    (
        "true for a number",
        "version = 3",
        "version = true",
        (3, "dialect.version: 'version' is not a whole number", "write version = 1"),
    ),
    (
        "a number out of range",
        "fixed = 6,",
        "fixed = 0,",
        (16, "fields.11.length.fixed: 0 is out of range", "write a number from 1 to 999"),
    ),
    (
        "a length its prefix can't say",
        "max = 99",
        "max = 1000",
        (23, "fields.48.length.max: 1000 is out of range", "write a number from 1 to 999"),
    ),
    (
        "an unknown class",
        'class = "tlv"',
        'class = "tvl"',
        (21, "fields.48.class: 'tvl' is unknown", "did you mean 'tlv'?"),
    ),
    (
        "an encoding the class hasn't",
        'class = "b"\nencoding = "binary"\nlength = { fixed = 4, unit = "bytes" }\n\n[fields.128]',
        'class = "b"\nencoding = "ascii"\nlength = { fixed = 4, unit = "bytes" }\n\n[fields.128]',
        (41, "fields.64.encoding: 'ascii' is not for class b", "class b has binary, ebcdic, hex"),
    ),
    (
        "an odd number of digits without pad",
        'pad = { side = "right", nibble = "F" }\n',
        "",
        (
            27,
            "fields.48.tags.0A.pad: an odd number of digits has no pad",
            "add pad = { side, nibble }",
        ),
    ),
    (
        "a pad that never stands",
        "fixed = 3,",
        "fixed = 4,",
        (34, "fields.48.tags.0A.pad: a pad that never stands", "take it away"),
    ),
    (
        "a pad that is no nibble",
        'nibble = "F"',
        'nibble = "f"',
        (34, "fields.48.tags.0A.pad.nibble: 'f' can't stand here", "write one hex digit in upper case"),
    ),
    (
        "a tag in lower case",
        "[fields.48.tags.0A]",
        "[fields.48.tags.0a]",
        (
            27,
            "fields.48.tags.0a: no tag can be '0a'",
            "write the byte as two upper-case hex digits",
        ),
    ),
    (
        "a bitmap's bit as a field",
        "[fields.11]",
        "[fields.65]",
        (10, "fields.65: no field can be number 65", "use 2 to 64 and 66 to 128"),
    ),
    (
        "a field number with a zero before it",
        "[fields.11]",
        "[fields.011]",
        (10, "fields.011: no field can be number 011", "use 2 to 64 and 66 to 128"),
    ),
    (
        "a MAC that is not the last field",
        "primary = 64",
        "primary = 48",
        (8, "dialect.mac.primary: the MAC is not the last field", "name the last field of each bitmap"),
    ),
    (
        "a MAC of another size",
        "bytes = 4 }",
        "bytes = 8 }",
        (
            8,
            "dialect.mac.bytes: neither field 64 nor 128 is 8 fixed bytes",
            "write their length, or in both class = b, length fixed = 8",
        ),
    ),
    (
        "an MTI that is none",
        '"0120"',
        '"120"',
        (53, "messages.request.mti: '120' is no MTI", "write four digits"),
    ),
    (
        "a message naming a field that isn't there",
        'mandatory = ["11"]',
        'mandatory = ["12"]',
        (
            56,
            "messages.request.mandatory: '12' is no field of this dialect",
            "define it or take it away",
        ),
    ),
    (
        "a message naming a tag that isn't there",
        '"48.0A"]]',
        '"48.0B"]]',
        (
            57,
            "messages.request.one_of: '48.0B' is no field of this dialect",
            "define it or take it away",
        ),
    ),
    (
        "a message naming a field twice",
        'mandatory = ["11"]',
        'mandatory = ["11", "48"]',
        (57, "messages.request.one_of: '48' is named twice, in mandatory too", "name it once"),
    ),
    (
        "a list of something else",
        'one_of = [["48", "48.0A"]]',
        'one_of = ["48", "48.0A"]',
        (
            57,
            "messages.request.one_of: not every item is a list of texts",
            'write like [["2", "35"]]',
        ),
    ),
    (
        "a processing code that is none",
        'mandatory = ["11"]',
        'processing_code = "00"\nmandatory = ["11"]',
        (
            56,
            "messages.request.processing_code: '00' can't stand here",
            'write six digits with "*" for any ("21****"), or "*" alone',
        ),
    ),
    (
        "an MTI of two messages",
        "[response_codes.00]",
        '[messages.other]\nmti = ["0120"]\ntitle = { en = "Other", fa = "دیگر" }\nmandatory = ["11"]\n'
        "[response_codes.00]",
        (
            60,
            "messages.other.mti: 0120 with this processing code is also 'request'",
            "give each its own processing code",
        ),
    ),
    (
        "an MTI with and without processing code",
        "[response_codes.00]",
        '[messages.other]\nmti = ["0120"]\nprocessing_code = "000000"\n'
        'title = { en = "Other", fa = "دیگر" }\nmandatory = ["11"]\n[response_codes.00]',
        (
            60,
            "messages.other.mti: 0120 with this processing code is also 'request'",
            "give each its own processing code",
        ),
    ),
    (
        "a code without a Persian title",
        'title.en = "Yes"\ntitle.fa = "آری"\n',
        'title.en = "Yes"\n',
        (60, "response_codes.00.title.fa: 'fa' is missing", 'add fa = "مبلغ"'),
    ),
    (
        "no TOML",
        "version = 3",
        "version = = 3",
        (
            3,
            "no TOML: Invalid value (at line 3, column 11)",
            'write texts as "text", lists as ["a", "b"], tables as { key = value }',
        ),
    ),
)


@pytest.mark.parametrize(
    ("good", "bad", "mistake"), [pytest.param(row[1], row[2], row[3], id=row[0]) for row in ROWS]
)
def test_mistake(tmp_path: Path, good: str, bad: str, mistake: tuple[int, str, str]) -> None:
    assert SMALL.count(good) == 1, "a row spoils one place"
    error = refusal(tmp_path, SMALL.replace(good, bad))
    assert (error.line, error.what, error.remedy) == mistake
    line, what, remedy = mistake
    assert str(error).splitlines()[0] == f"{tmp_path / 'small.toml'}:{line}: {what}; {remedy}"


def test_every_mistake_is_told_at_once_in_order(tmp_path: Path) -> None:
    spoiled = SMALL.replace("fixed = 6,", "fixed = 0,").replace('name = "odd"', "").replace('"0120"', '"x"')
    error = refusal(tmp_path, spoiled)
    assert [mistake.line for mistake in error.mistakes] == [16, 27, 53]
    assert len(str(error).splitlines()) == 3


def test_an_empty_file_says_what_it_lacks(tmp_path: Path) -> None:
    error = refusal(tmp_path, "")
    assert ("dialect: 'dialect' is missing", "add [dialect]") in [
        (what, remedy) for _line, what, remedy in error.mistakes
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DialectError) as caught:
        Dialect.load(tmp_path / "none.toml")
    assert (caught.value.line, caught.value.what) == (None, "No such file or directory")


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'name = "\xe9"')
    with pytest.raises(DialectError, match="the file is not UTF-8"):
        Dialect.load(file)


def test_shipped_dialects_load_once_by_name() -> None:
    assert load("vafa") is load("vafa")
    for file in SHIPPED.glob("*.toml"):
        assert load(file.stem).name == file.stem


def test_a_dialect_that_is_not_shipped() -> None:
    with pytest.raises(DialectError) as caught:
        load("../vafa")
    remedy = (
        "use ebcdic93, iso2003-ascii, iso87-ascii, iso87-bcd, iso93-ascii, iso93-bcd, pos-host-1987, vafa"
    )
    assert (caught.value.what, caught.value.remedy) == ("no dialect '../vafa' is shipped", remedy)


def test_the_codes_say_what_may_be_tried_again() -> None:
    codes = load("vafa").response_codes
    assert {code for code, meaning in codes.items() if meaning.transient} == {"63", "86", "91", "96"}
    assert codes["51"].title.fa == "امتیاز کافی نیست"


def test_reasons_have_room_for_one_number() -> None:
    for title in load("vafa").reasons.values():
        assert title.en.format(7)
        assert title.fa.format(7)
        assert ("{0}" in title.en) == ("{0}" in title.fa)


def test_a_shipped_name_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DialectError) as caught:
        Dialect.load("iso87-ascii")
    assert str(caught.value) == (
        'iso87-ascii: no such file, but a shipped dialect; use iso8583.load("iso87-ascii")'
    )
    (tmp_path / "iso87-ascii").write_text(SMALL, encoding="utf-8")
    assert Dialect.load("iso87-ascii").name == "small"
