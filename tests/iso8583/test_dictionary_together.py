"""Many mistakes in one file are all told in one run; what only follows from one of them isn't told at all."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from switch.iso8583 import Dialect, DialectError, dictionary_keys
from switch.iso8583.dictionary_keys import Keys
from tests.iso8583.test_dictionary import SMALL
from tests.iso8583.test_dictionary_format import HEAD

# before a field's class, where SMALL says mask = "hidden"
KIND = 'mask = "hidden"\n[fields.49]\nname = "kind"\ntitle = { en = "a", fa = "آ" }\n'


def told(file: Path, text: str) -> list[tuple[int | None, str]]:
    file.write_text(text, encoding="utf-8")
    try:
        Dialect.load(file)
    except DialectError as error:
        return [(line, what) for line, what, _remedy in error.mistakes]
    return []


def spoiled(*places: tuple[str, str]) -> str:
    text = SMALL
    for good, bad in places:
        assert text.count(good) == 1, good
        text = text.replace(good, bad)
    return text


TEN = (
    ('name = "small"', 'name = "Small!"'),
    ('encoding = "bcd"\nlength = { fixed = 6, unit = "digits" }', 'encoding = "bdc"\nlength = 6\nbogus = 1'),
    ('class = "tlv"', 'class = "tvl"'),
    ('nibble = "F"', 'nibble = "f"'),
    ('name = "mac_2"', 'name = "Mac 2"'),
    ('mti = ["0100", "0120"]', 'mti = ["0100", "012"]\nprocessing_code = "00"'),
    ('mandatory = ["11"]', 'mandatory = ["11", "77"]'),
    ('title.en = "Yes"\ntitle.fa = "آری"\n', 'title.en = "Yes" # and no Persian\ntitle.fa = آری\n'),
)
TEN_TOLD = [
    (2, "dialect.name: 'Small!' can't stand here"),
    (15, "fields.11.encoding: 'bdc' is unknown"),
    (16, "fields.11.length: 'length' is not a table"),
    (17, "fields.11.bogus: unknown key 'bogus'"),
    (22, "fields.48.class: 'tvl' is unknown"),
    (35, "fields.48.tags.0A.pad.nibble: 'f' can't stand here"),
    (46, "fields.128.name: 'Mac 2' can't stand here"),
    (54, "messages.request.mti: '012' is no MTI"),
    (55, "messages.request.processing_code: '00' can't stand here"),
    (58, "messages.request.mandatory: '77' is no field of this dialect"),
    (63, "no TOML: Invalid value (at line 63, column 12)"),
]


def test_ten_mistakes_and_a_slip_in_the_syntax_are_told_at_once(tmp_path: Path) -> None:
    assert told(tmp_path / "small.toml", spoiled(*TEN)) == TEN_TOLD


def test_ten_mistakes_in_a_file_that_extends_another(tmp_path: Path) -> None:
    text = """\
[dialect]
name = "top"
version = 0
extends = "iso87-bdc"
description = { en = "Top" }
remove = ["fields.5", "messages.none"]
[defaults.n]
prefix = "bdc"
[fields.2]
pad = { side = "middle", nibble = "F" }
[fields.48]
class = "n"
length = { digits = 3, max = 1000 }
[fields.60]
mask = "hiden"
[fields.300]
name = "none"
[messages.own]
mti = ["0900"]
title = { en = "Own", fa = "خود" }
presence = { 11 = "M", 177 = "O", 48 = "C7" }
[response_codes.XYZ]
title = { en = "Odd", fa = "فرد" }
"""
    assert told(tmp_path / "top.toml", text) == [
        (3, "dialect.version: 0 is out of range"),
        (4, "dialect.extends: there is no dialect 'iso87-bdc'"),
        (5, "dialect.description.fa: 'fa' is missing"),
        (6, "dialect.remove: 'messages.none' is nothing of iso87-bdc"),
        (8, "defaults.n.prefix: 'bdc' is unknown"),
        (10, "fields.2.pad.side: 'middle' is unknown"),
        (13, "fields.48.length.max: 1000 is out of range"),
        (15, "fields.60.mask: 'hiden' is unknown"),
        (16, "fields.300: no field can be number 300"),
        (21, "messages.own.presence.177: '177' is no field of this dialect"),
        (21, "messages.own.presence.48: there is no condition C7"),
        (22, "response_codes.XYZ: field 39 can't carry 'XYZ': the field has 2 characters, this is 3"),
    ]


ROWS = (
    (
        "an unknown class hides nothing of its field",
        [
            (
                'class = "n"\nencoding = "bcd"\nlength = { fixed = 6, unit = "digits" }',
                'class = "num"\nencoding = "utf8"\nlength = 6\nbogus = 1',
            )
        ],
        [
            (14, "fields.11.class: 'num' is unknown"),
            (15, "fields.11.encoding: 'utf8' is unknown"),
            (16, "fields.11.length: 'length' is not a table"),
            (17, "fields.11.bogus: unknown key 'bogus'"),
        ],
    ),
    (
        "an unknown class is not followed by what its values would need",
        [
            (
                'class = "n"\nencoding = "bcd"\nlength = { fixed = 6,',
                'class = "q"\nencoding = "bcd"\nlength = { fixed = 7,',
            )
        ],
        [(14, "fields.11.class: 'q' is unknown")],
    ),
    (
        "what is named twice hides nothing that isn't there",
        [('mandatory = ["11"]', 'presence = { 11 = "M", 77 = "O" }\nmandatory = ["11"]')],
        [
            (56, "messages.request.presence: '11' is named twice, in mandatory too"),
            (56, "messages.request.presence.77: '77' is no field of this dialect"),
        ],
    ),
    (
        "bad processing codes are not also each other's",
        [
            ('mandatory = ["11"]', 'processing_code = "00"\nmandatory = ["11"]'),
            (
                "[response_codes.00]",
                '[messages.other]\nmti = ["0100"]\nprocessing_code = "01"\n'
                'title = { en = "a", fa = "آ" }\nmandatory = ["11"]\n[response_codes.00]',
            ),
        ],
        [
            (56, "messages.request.processing_code: '00' can't stand here"),
            (62, "messages.other.processing_code: '01' can't stand here"),
        ],
    ),
    (
        "a dialect that extends itself hides nothing",
        [
            ("version = 3", 'version = 3\nextends = "small.toml"'),
            ('mandatory = ["11"]', 'mandatory = ["11", "77"]'),
            ("fixed = 6,", "fixed = 0,"),
        ],
        [
            (4, "dialect.extends: a circle: small.toml extends small.toml"),
            (17, "fields.11.length.fixed: 0 is out of range"),
            (57, "messages.request.mandatory: '77' is no field of this dialect"),
        ],
    ),
    (
        "an unknown base that is near to none is not followed by what it would have said",
        [
            ("version = 3", 'version = 3\nextends = "acme"'),
            ('bitmap = { encoding = "binary" }\n', ""),
            ("fixed = 6,", "fixed = 0,"),
        ],
        [
            (4, "dialect.extends: there is no dialect 'acme'"),
            (16, "fields.11.length.fixed: 0 is out of range"),
        ],
    ),
    (
        "a mistyped key is not missing as well",
        [('name = "stan"', 'nmae = "stan"'), ("fixed = 6,", "fixd = 6,")],
        [(11, "fields.11.nmae: unknown key 'nmae'"), (16, "fields.11.length.fixd: unknown key 'fixd'")],
    ),
    (
        "a field that isn't there is told once",
        [
            ('mandatory = ["11"]', 'mandatory = ["11", "77"]'),
            (
                "[response_codes.00]",
                '[messages.other]\nmti = ["0800"]\ntitle = { en = "a", fa = "آ" }\n'
                'mandatory = ["77"]\noptional = ["77.01"]\n[response_codes.00]',
            ),
        ],
        [
            (
                56,
                "messages.request.mandatory: '77' is no field of this dialect, named 3 times"
                " (also on line 62, 63)",
            )
        ],
    ),
    (
        "values a binary field can't have",
        [
            (
                'mask = "hidden"',
                KIND + 'class = "b"\n'
                'encoding = "binary"\nlength = { fixed = 2 }\nonly = ["ABC", "zz", "AABBCC", "AABB"]\n'
                'values = { AA00 = { en = "a", fa = "آ" } }',
            )
        ],
        [
            (32, "fields.49.only: 'ABC' can't be a value: write whole bytes in upper-case hex"),
            (32, "fields.49.only: 'zz' can't be a value: write whole bytes in upper-case hex"),
            (32, "fields.49.only: 'AABBCC' can't be a value: the field has 2 bytes, this is 3"),
            (33, "fields.49.values.AA00: 'AA00' is not allowed by only"),
        ],
    ),
    (
        "values a text can't have",
        [
            (
                'mask = "hidden"',
                KIND + 'class = "a"\n'
                'encoding = "ascii"\nlength = { fixed = 3 }\n'
                'values = { AB = { en = "a", fa = "آ" }, A1C = { en = "a", fa = "آ" } }',
            )
        ],
        [
            (32, "fields.49.values.AB: 'AB' can't be a value: the field has 3 characters, this is 2"),
            (32, "fields.49.values.A1C: 'A1C' can't be a value: the field has letters, this is '1' at 1"),
        ],
    ),
    (
        "a value that its own fill would take away",
        [
            (
                'mask = "hidden"',
                KIND + 'class = "ans"\n'
                'encoding = "ascii"\nlength = { fixed = 3 }\npad = { side = "right", character = " " }\n'
                'only = ["A", "B "]',
            )
        ],
        [(33, "fields.49.only: 'B ' can't be a value: its fill ' ' is stripped, so it never comes")],
    ),
    (
        "values a condition can never find",
        [
            (
                "[messages.request]",
                '[conditions.1]\ntext = { en = "a", fa = "آ" }\n'
                'equals = { 11 = ["12345", "000001"], mti = "02X0" }\n'
                "[messages.request]",
            )
        ],
        [
            (54, "conditions.1.equals.11: 11 is never '12345': the field has 6 digits, this is 5"),
            (54, "conditions.1.equals.mti: no MTI is '02X0'"),
        ],
    ),
    (
        "two tags of one name",
        [
            (
                "[fields.64]",
                '[fields.48.tags.0B]\nname = "odd"\ntitle = { en = "a", fa = "آ" }\nclass = "b"\n'
                'encoding = "binary"\nlength = { max = 2 }\n[fields.64]',
            )
        ],
        [(37, "fields.48.tags.0B.name: 'odd' is the name of fields.48.tags.0A too")],
    ),
    (
        "defaults that lack what fields rely on",
        [
            ("[fields.11]", '[defaults.n]\npad = { side = "left", nibble = "0" }\n[fields.11]'),
            ('encoding = "bcd"\nlength = { fixed = 6', "length = { fixed = 6"),
            ('encoding = "bcd"\nlength = { fixed = 3', "length = { fixed = 3"),
        ],
        [(10, "defaults.n: 'encoding' is missing in fields.11, fields.48.tags.0A")],
    ),
    (
        "two tables of one name",
        [("[response_codes.00]", '[fields.11]\nname = "again"\nclass = "zzz"\n[response_codes.00]')],
        [(59, "fields.11: stands twice, first on line 10")],
    ),
    (
        "faults of the syntax in three tables",
        [
            ('name = "small"', 'name = "small'),
            ('length = { fixed = 6, unit = "digits" }', "length = { fixed = 6"),
            ("[response_codes.00]", "[response_codes.00"),
        ],
        [
            (2, "no TOML: Illegal character '\\n' (at line 2, column 14)"),
            (16, "no TOML: Unclosed inline table (at line 16, column 21)"),
            (59, "no TOML: Expected ']' at the end of a table declaration (at line 59, column 19)"),
        ],
    ),
    (
        "parts without the field they are of",
        [("[fields.64]", '[fields.63.tags.01]\nname = "lost"\n[fields.64]')],
        [(36, "fields.63: it has parts, but nothing says what it is")],
    ),
    (
        "a head without its header",
        [("[dialect]\n", "")],
        [(1, "name, version, description, mti, bitmap, mac: outside of any table")],
    ),
    (
        "a default table mistyped",
        [
            ("[fields.11]", '[defualts.n]\nencoding = "bcd"\n[fields.11]'),
            ('encoding = "bcd"\nlength = { fixed = 6', "length = { fixed = 6"),
        ],
        [(10, "defualts: unknown key 'defualts'")],
    ),
    (
        "a title of which a half is mistyped",
        [('title.en = "Trace"', 'itle.en = "Trace"')],
        [(12, "fields.11.itle: unknown key 'itle'")],
    ),
    (
        "nothing extended, and yet taken away",
        [("version = 3", 'version = 3\nremove = ["fields.5"]')],
        [(4, "dialect.remove: there is nothing to take away from")],
    ),
)


@pytest.mark.parametrize(("places", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_all_of_it_and_nothing_more(
    tmp_path: Path, places: list[tuple[str, str]], expected: list[tuple[int, str]]
) -> None:
    assert told(tmp_path / "small.toml", spoiled(*places)) == expected


def test_a_field_taken_away_that_the_base_still_names(tmp_path: Path) -> None:
    text = '[dialect]\nname = "top"\nversion = 1\nextends = "vafa"\ndescription = { en = "T", fa = "ت" }\n'
    text += 'remove = [\n    "reasons.0101",\n    "fields.42",\n]\n'
    found = told(tmp_path / "top.toml", text)
    assert [line for line, _what in found] == [8]
    assert found[0][1].startswith("dialect.remove: fields.42 is taken away, but messages.")


def test_mistakes_of_both_files_are_told_each_in_its_file(tmp_path: Path) -> None:
    base, top = tmp_path / "base.toml", tmp_path / "top.toml"
    base.write_text(spoiled(("fixed = 6,", "fixed = 0,")), encoding="utf-8")
    top.write_text(
        '[dialect]\nname = "top"\nversion = 0\nextends = "base.toml"\ndescription = { en = "T", fa = "ت" }\n',
        encoding="utf-8",
    )
    with pytest.raises(DialectError) as caught:
        Dialect.load(top)
    assert [(file.name, mistake.line) for file, mistake in caught.value.located] == [
        ("top.toml", 3),
        ("base.toml", 16),
    ]


def test_a_circle_of_two_is_told_with_both_names(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(
        SMALL.replace("version = 3", 'version = 3\nextends = "small.toml"'), "utf-8"
    )
    found = told(tmp_path / "small.toml", SMALL.replace("version = 3", 'version = 3\nextends = "other.toml"'))
    assert found == [(4, "dialect.extends: a circle: small.toml extends other.toml extends small.toml")]


# ------------------------------------------------------------ how editors write files


def test_a_byte_order_mark_and_windows_line_ends_are_nobodys_mistake(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode("utf-8"))
    assert Dialect.load(file).name == "small"
    file.write_bytes(
        b"\xef\xbb\xbf" + spoiled(("fixed = 6,", "fixed = 0,")).replace("\n", "\r\n").encode("utf-8")
    )
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    assert caught.value.line == 16


def test_other_encodings_are_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    for data, line, what in (
        (SMALL.encode("utf-16"), 1, "the file is UTF-16, as some Windows editors and shells write"),
        (
            SMALL.replace("Small", "Sm\xe4ll").encode("cp1252", "replace"),
            4,
            "the file is not UTF-8: byte 0xE4",
        ),
    ):
        file.write_bytes(data)
        with pytest.raises(DialectError) as caught:
            Dialect.load(file)
        assert (caught.value.line, caught.value.what, caught.value.remedy) == (
            line,
            what,
            "save the file as UTF-8",
        )


# ------------------------------------------------------------ what extends what


def test_one_key_of_the_bitmap_is_enough_above_another_dialect(tmp_path: Path) -> None:
    file = tmp_path / "top.toml"
    head = HEAD.replace('mti = { encoding = "ascii" }\n', 'extends = "iso87-ascii"\n')
    assert told(file, head.replace('{ encoding = "hex" }', '{ hex_case = "lower" }')) == []
    bitmap = Dialect.load(file).dictionary.bitmap
    assert (bitmap.encoding, bitmap.hex_case) == ("hex", "lower")
    assert (
        told(file, head.replace('{ encoding = "hex" }', "{ always = 16 }") + "mac = { required = true }\n")
        == []
    )
    dictionary = Dialect.load(file).dictionary
    assert (dictionary.bitmap.size, dictionary.mac) == (16, (64, 128, 8, True))


def test_the_case_of_hex_digits_goes_with_the_encoding_it_was_said_with(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        HEAD.replace('bitmap = { encoding = "hex" }', 'bitmap = { encoding = "hex", hex_case = "lower" }')
        + FIELD,
        encoding="utf-8",
    )
    top = HEAD.replace('mti = { encoding = "ascii" }\n', 'extends = "base.toml"\n')
    assert told(tmp_path / "top.toml", top.replace('"hex"', '"binary"')) == []
    found = told(tmp_path / "top.toml", top.replace('"hex"', '"binary", hex_case = "lower"'))
    assert found == [(6, "dialect.bitmap.hex_case: 'hex_case' says nothing here")]


# ------------------------------------------------------------ remedies name every key there is

FIELD = """
[fields.48]
name = "it"
title = { en = "It", fa = "آن" }
class = "ans"
encoding = "ascii"
length = { fixed = 3 }
"""
STRANGER = "qqqqqqqqqq = 1"
TLV = FIELD.replace('class = "ans"', 'class = "tlv"').replace('encoding = "ascii"', 'encoding = "binary"')
BITMAPPED = (
    FIELD.replace('class = "ans"', 'class = "bitmapped"') + 'bitmap = { encoding = "hex", bytes = 8, %s }\n'
)
BITMAPPED += "[fields.48.subfields.2]\n" + FIELD.split("]\n")[1]
RULE = '[messages.a]\nmti = ["0200"]\ntitle = { en = "a", fa = "آ" }\nmandatory = ["48"]\n'
CONDITION = '[conditions.1]\ntext = { en = "a", fa = "آ" }\npresent = ["48"]\n'
# which keys, where a stranger stands among them
PLACES: tuple[tuple[str, Keys, str], ...] = (
    ("the file", dictionary_keys.ROOT, STRANGER + "\n" + HEAD + FIELD),
    ("dialect", dictionary_keys.DIALECT, HEAD + STRANGER + FIELD),
    ("mti", dictionary_keys.MTI, HEAD.replace('"ascii" }', f'"ascii", {STRANGER} }}') + FIELD),
    ("bitmap", dictionary_keys.BITMAP, HEAD.replace('"hex" }', f'"hex", {STRANGER} }}') + FIELD),
    (
        "mac",
        dictionary_keys.MAC,
        HEAD + f"mac = {{ primary = 48, secondary = 128, bytes = 3, {STRANGER} }}" + FIELD,
    ),
    ("a text", dictionary_keys.TEXT, HEAD + FIELD.replace('fa = "آن"', f'fa = "آن", {STRANGER}')),
    ("defaults", dictionary_keys.DEFAULTS, HEAD + "[defaults.n]\n" + STRANGER + FIELD),
    ("a field", dictionary_keys.FIELD, HEAD + FIELD + STRANGER),
    (
        "a fixed length",
        dictionary_keys.LENGTHS["fixed"],
        HEAD + FIELD.replace("fixed = 3", f"fixed = 3, {STRANGER}"),
    ),
    (
        "a length with prefix",
        dictionary_keys.LENGTHS["prefixed"],
        HEAD + FIELD.replace("fixed = 3", f'prefix = "ascii", digits = 2, max = 9, {STRANGER}'),
    ),
    ("a pad", dictionary_keys.PAD, HEAD + FIELD + f'pad = {{ side = "left", character = " ", {STRANGER} }}'),
    (
        "tlv",
        dictionary_keys.TLV_FORMS["simple"],
        HEAD + TLV + f"tlv = {{ tag_bytes = 1, length_bytes = 1, {STRANGER} }}",
    ),
    ("BER", dictionary_keys.TLV_FORMS["ber"], HEAD + TLV + f'tlv = {{ form = "ber", {STRANGER} }}'),
    (
        "a field of tags",
        dictionary_keys.CLASS_KEYS["tlv"],
        HEAD + TLV + f'tlv = {{ form = "ber" }}\n{STRANGER}',
    ),
    ("the bitmap of parts", dictionary_keys.PART_BITMAP, HEAD + BITMAPPED % STRANGER),
    ("a message", dictionary_keys.MESSAGE, HEAD + FIELD + RULE + STRANGER),
    ("a condition", dictionary_keys.CONDITION, HEAD + FIELD + CONDITION + STRANGER),
    (
        "a response code",
        dictionary_keys.RESPONSE,
        HEAD + FIELD + '[response_codes.00]\ntitle = { en = "a", fa = "آ" }\n' + STRANGER,
    ),
    (
        "a reason",
        dictionary_keys.CODE,
        HEAD + FIELD + '[reasons.0001]\ntitle = { en = "a", fa = "آ" }\n' + STRANGER,
    ),
)


@pytest.mark.parametrize(("legal", "text"), [pytest.param(*row[1:], id=row[0]) for row in PLACES])
def test_the_remedy_names_every_key_there_is(tmp_path: Path, legal: Keys, text: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    remedies = [remedy for _line, what, remedy in caught.value.mistakes if "unknown key 'qqqqqqqqqq'" in what]
    assert len(remedies) == 1
    assert remedies[0].startswith("known here: ")
    assert set(legal) <= set(remedies[0].removeprefix("known here: ").split(", "))


def test_keys_are_shown_as_they_are_written() -> None:
    for table in dictionary_keys.EVERY_TABLE:
        for key, statement in table.items():
            parsed = tomllib.loads(statement.partition(" or {")[0])
            assert key in parsed or statement.startswith("["), (key, statement)


def test_no_remedy_is_a_pattern() -> None:
    forms = [form for form in vars(dictionary_keys).values() if isinstance(form, dictionary_keys.Form)]
    assert len(forms) > 5
    for form in forms:
        assert not set(form.words) & set("[]{}|\\^$+"), form
