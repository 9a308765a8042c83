"""What a dictionary can't say, beyond the rows of test_dictionary: each mistake with its line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.iso8583 import Dialect, DialectError, Mistake

HEAD = """\
[dialect]
name = "x"
version = 1
description = { en = "X", fa = "ایکس" }
mti = { encoding = "ascii" }
bitmap = { encoding = "hex" }
"""
FIELD = """\
[fields.48]
name = "it"
title = { en = "It", fa = "آن" }
"""
PART = 'name = "part"\ntitle = { en = "Part", fa = "بخش" }\n'
PLAIN = FIELD + 'class = "ans"\nencoding = "ascii"\nlength = { fixed = 3 }\n'

# what is wrong, the file behind HEAD ("@": FIELD, "#": PART), the mistakes
ROWS = (
    (
        "unknown prefix",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { prefix = "asci", digits = 2, max = 9 }
        """,
        (12, "fields.48.length.prefix: 'asci' is unknown", "did you mean 'ascii'?"),
    ),
    (
        "no prefix",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { digits = 2, max = 9 }
        """,
        (
            12,
            "fields.48.length.prefix: 'prefix' is missing",
            'add prefix = "ascii" or "bcd" or "ebcdic" or "binary" or "hex"',
        ),
    ),
    (
        "binary prefix with neither",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { prefix = "binary", max = 9 }
        """,
        (12, "fields.48.length.bytes: 'bytes' is missing", "add bytes = 1"),
    ),
    (
        "seven digits",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 7, max = 9 }
        """,
        (12, "fields.48.length.digits: 7 is out of range", "write a number from 1 to 6"),
    ),
    (
        "max beyond hex prefix",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { prefix = "hex", digits = 1, max = 16 }
        """,
        (12, "fields.48.length.max: 16 is out of range", "write a number from 1 to 15"),
    ),
    (
        "hex without unit",
        """
        @
        class = "b"
        encoding = "hex"
        length = { fixed = 8 }
        """,
        (
            12,
            "fields.48.length.unit: 'unit' is missing",
            'add unit = "bytes" or "characters" or "digits" or "nibbles"',
        ),
    ),
    (
        "odd nibbles",
        """
        @
        class = "b"
        encoding = "binary"
        length = { fixed = 3, unit = "nibbles" }
        """,
        (12, "fields.48.length.fixed: 3 nibbles are no whole bytes", "write an even number"),
    ),
    (
        "nibble pad on text",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        pad = { side = "left", nibble = "0" }
        """,
        (13, "fields.48.pad.nibble: only BCD has nibbles", "write character, or byte for class b"),
    ),
    (
        "character pad on variable",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 2, max = 3 }
        pad = { side = "left", character = "0" }
        """,
        (13, "fields.48.pad: a pad that never stands", "take it away"),
    ),
    (
        "fill without nibble",
        """
        @
        class = "n"
        encoding = "bcd"
        length = { fixed = 3 }
        pad = { side = "left", character = "0" }
        """,
        (13, "fields.48.pad: an odd number of digits has no nibble", "add nibble to the pad"),
    ),
    (
        "track pad D",
        """
        @
        class = "z"
        encoding = "bcd"
        length = { prefix = "bcd", digits = 2, max = 37 }
        pad = { side = "right", nibble = "D" }
        """,
        (13, "fields.48.pad: D separates the parts of track 2", "use another nibble"),
    ),
    (
        "signs",
        """
        @
        class = "x+n"
        encoding = "ascii"
        length = { fixed = 9 }
        signs = ["C", "C"]
        """,
        (13, "fields.48.signs: not two different characters", 'write signs = ["C", "D"]'),
    ),
    (
        "rest at the top",
        """
        @
        class = "b"
        encoding = "binary"
        length = { rest = true }
        """,
        (
            12,
            "fields.48.length.rest: only a part of a positional field can be its rest",
            "give it a fixed length or a prefix",
        ),
    ),
    (
        "rest not last",
        """
        @
        class = "positional"
        length = { fixed = 4 }
        [fields.48.subfields.1]
        #
        class = "b"
        encoding = "binary"
        length = { rest = true }
        [fields.48.subfields.2]
        #
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        """,
        (17, "fields.48.subfields.1.length: only the last part can be the rest", "move it"),
    ),
    (
        "optional then mandatory",
        """
        @
        class = "positional"
        length = { fixed = 4 }
        [fields.48.subfields.1]
        #
        class = "b"
        encoding = "binary"
        optional = true
        length = { fixed = 1 }
        [fields.48.subfields.2]
        #
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        """,
        (
            19,
            "fields.48.subfields.2: a part that must stand behind one that may be missing",
            "add optional = true",
        ),
    ),
    (
        "a part that is no number",
        """
        @
        class = "positional"
        length = { fixed = 4 }
        [fields.48.subfields.x]
        #
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        """,
        (12, "fields.48.subfields.x: no part can be 'x'", "number the parts: 1, 2, 3 or 01, 02"),
    ),
    (
        "a bit the bitmap hasn't",
        """
        @
        class = "bitmapped"
        length = { prefix = "ascii", digits = 3, max = 99 }
        bitmap = { encoding = "binary", bytes = 1 }
        [fields.48.subfields.9]
        #
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        """,
        (
            13,
            "fields.48.subfields.9: the bitmap has no bit 9",
            "use numbers up to 8, or a bitmap of more bytes",
        ),
    ),
    (
        "a BER tag that is none",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { form = "ber" }
        [fields.48.tags.9F]
        #
        class = "b"
        encoding = "binary"
        length = { max = 1 }
        """,
        (13, "fields.48.tags.9F: no tag can be '9F'", "write the bytes of one BER tag in upper-case hex"),
    ),
    (
        "a tag of another size",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { tag = { encoding = "ascii", characters = 2 }, length = { encoding = "ascii", digits = 2 } }
        [fields.48.tags.ABC]
        #
        class = "b"
        encoding = "binary"
        length = { max = 1 }
        """,
        (13, "fields.48.tags.ABC: no tag can be 'ABC'", "write 2 characters"),
    ),
    (
        "an unknown tag set",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { form = "ber", tags = "emw" }
        """,
        (12, "fields.48.tlv.tags: 'emw' is unknown", "did you mean 'emv'?"),
    ),
    (
        "covers without first",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { tag_bytes = 1, length_bytes = 1, length_covers = "tag and value" }
        """,
        (
            12,
            "fields.48.tlv.length_covers: a length behind the tag can't cover the tag",
            'add first = "length", or take length_covers away',
        ),
    ),
    (
        "padding",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { form = "ber", padding = ["01"] }
        """,
        (12, "fields.48.tlv.padding: only 00 and FF can pad BER-TLV", 'write like ["00"]'),
    ),
    (
        "only in a composite",
        """
        @
        class = "tlv"
        length = { prefix = "ascii", digits = 3, max = 99 }
        tlv = { form = "ber" }
        only = ["A"]
        """,
        (13, "fields.48.only: a composite has no value of its own", "say it of its parts"),
    ),
    (
        "defaults of no class",
        """
        [defaults.q]
        encoding = "ascii"
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        (
            7,
            "defaults.q: 'q' is no class",
            "known here: a, an, anp, ans, as, b, bitmapped, h, n, ns, positional, tlv, x+n, z",
        ),
    ),
    (
        "defaults with another key",
        """
        [defaults.n]
        encodin = "ascii"
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        (8, "defaults.n.encodin: unknown key 'encodin'", "did you mean 'encoding'?"),
    ),
    (
        "a code page",
        """
        @
        class = "ans"
        encoding = "ebcdic"
        code_page = "cp1048"
        length = { fixed = 3 }
        """,
        (12, "fields.48.code_page: 'cp1048' is unknown", "did you mean 'cp1047'?"),
    ),
    (
        "a condition that tests nothing",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        [conditions.1]
        text = { en = "a", fa = "آ" }
        """,
        (13, "conditions.1: the condition tests nothing", "add present, absent, equals or any"),
    ),
    (
        "a condition of a field that isn't there",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        [conditions.1]
        text = { en = "a", fa = "آ" }
        present = ["49"]
        """,
        (15, "conditions.1.present: '49' is no field of this dialect", "define it or take it away"),
    ),
    (
        "a condition that isn't there",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        [messages.a]
        mti = ["0200"]
        title = { en = "a", fa = "آ" }
        presence = { 48 = "C9" }
        """,
        (16, "messages.a.presence.48: there is no condition C9", "add [conditions.9]"),
    ),
    (
        "a presence that is none",
        """
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        [messages.a]
        mti = ["0200"]
        title = { en = "a", fa = "آ" }
        presence = { 48 = "X" }
        """,
        (
            16,
            "messages.a.presence.48: 'X' can't stand here",
            "write M, ME, O, or C and the number of a condition, like C3",
        ),
    ),
    (
        "a header of two parts at once",
        """
        [header.0]
        #
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        (7, "header.0: no part can be '0'", "number the parts: 1, 2, 3 or 01, 02"),
    ),
)

# what is wrong, the line of the bitmap, the mistake
BITMAPS = (
    (
        "twelve bytes",
        'bitmap = { encoding = "hex", always = 12 }',
        (6, "dialect.bitmap.always: 12 bytes are no whole bitmaps", "write 8, 16 or 24"),
    ),
    (
        "first bit of a short one",
        'bitmap = { encoding = "hex", first_bit = "set" }',
        (6, "dialect.bitmap.first_bit: bit 1 always set with a bitmap that may end", "add always = 16"),
    ),
    (
        "empty of a long one",
        'bitmap = { encoding = "hex", always = 16, empty_secondary = true }',
        (6, "dialect.bitmap.empty_secondary: the secondary bitmap always stands", "take it away"),
    ),
    (
        "twice tertiary",
        'bitmap = { encoding = "hex", tertiary = 65, tertiary_field = 65 }',
        (6, "dialect.bitmap.tertiary_field: the tertiary bitmap stands in one place", "keep one of both"),
    ),
    (
        "24 without tertiary",
        'bitmap = { encoding = "hex", always = 24 }',
        (6, "dialect.bitmap.always: 24 bytes without a tertiary bitmap behind", "add tertiary = 65"),
    ),
)


def mistakes(tmp_path: Path, text: str) -> list[Mistake]:
    file = tmp_path / "x.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    return list(caught.value.mistakes)


def laid_out(body: str) -> str:
    lines = (line.strip() for line in body.strip().splitlines())
    return "".join(FIELD if line == "@" else PART if line == "#" else line + "\n" for line in lines)


@pytest.mark.parametrize(("body", "mistake"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_mistake(tmp_path: Path, body: str, mistake: tuple[int, str, str]) -> None:
    assert mistakes(tmp_path, HEAD + laid_out(body)) == [mistake]


@pytest.mark.parametrize(("line", "mistake"), [pytest.param(*row[1:], id=row[0]) for row in BITMAPS])
def test_mistake_of_a_bitmap(tmp_path: Path, line: str, mistake: tuple[int, str, str]) -> None:
    text = HEAD.replace('bitmap = { encoding = "hex" }', line) + PLAIN
    assert mistakes(tmp_path, text) == [mistake]


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    first = mistakes(tmp_path, HEAD + 'extends = "iso88"\n' + PLAIN)[0]
    assert first == (
        7,
        "dialect.extends: there is no dialect 'iso88'",
        "name a shipped dialect or a file ending in .toml, seen from this file",
    )


def test_taking_away_what_is_not_there(tmp_path: Path) -> None:
    text = HEAD + 'extends = "iso87-ascii"\nremove = ["fields.65"]\n' + PLAIN
    assert mistakes(tmp_path, text) == [
        (8, "dialect.remove: 'fields.65' is nothing of iso87-ascii", 'write like "fields.48.tags.01"')
    ]


def test_a_dialect_that_extends_itself(tmp_path: Path) -> None:
    found = mistakes(tmp_path, HEAD + 'extends = "x.toml"\n' + PLAIN)
    what = "dialect.extends: a circle: x.toml extends x.toml"
    assert found == [(7, what, "extend a dialect that doesn't build upon this one")]


def test_mistakes_of_the_base_are_told_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(HEAD + FIELD, encoding="utf-8")
    file = tmp_path / "top.toml"
    file.write_text(HEAD + 'extends = "base.toml"\n', encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    assert caught.value.file.name == "base.toml"


def test_composites_nest_only_so_deep(tmp_path: Path) -> None:
    text, path = HEAD, "fields.48"
    for _ in range(9):
        text += f"[{path}]\n" + PART + 'class = "positional"\nlength = { fixed = 9 }\n'
        path += ".subfields.1"
    text += f"[{path}]\n" + PART + 'class = "b"\nencoding = "binary"\nlength = { fixed = 9 }\n'
    found = mistakes(tmp_path, text)
    assert [(mistake.what.rpartition(": ")[2], mistake.remedy) for mistake in found] == [
        ("composites more than 8 deep", "flatten them")
    ]


def test_what_is_taken_from_the_base_and_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        HEAD.replace('mti = { encoding = "ascii" }\n', "").replace('bitmap = { encoding = "hex" }\n', "")
        + """extends = "iso87-bcd"
remove = ["fields.5", "messages.fee_collection", "response_codes.06"]

[fields.4]
title = { en = "Price", fa = "بها" }
[fields.11]
length = { fixed = 7 }
[fields.48]
class = "b"
length = { digits = 3, max = 10 }
[fields.55.tags.DF01]
name = "own"
title = { en = "Own", fa = "خود" }
class = "b"
encoding = "binary"
length = { max = 4 }
[fields.55.tags.9F36]
class = "n"
encoding = "bcd"
length = { fixed = 4 }
[response_codes.00]
transient = true
""",
        encoding="utf-8",
    )
    dictionary = Dialect.load(file).dictionary
    assert dictionary.mti_encoding == "bcd"
    assert 5 not in dictionary.fields
    assert dictionary.fields[4].title.en == "Price"
    assert dictionary.fields[4].length.maximum == 12
    assert dictionary.fields[11].length.maximum == 7
    assert dictionary.fields[11].pad == ("left", "0"), "the default of the class where it is needed"
    assert dictionary.fields[48].content == "b"
    assert dictionary.fields[48].title.en == "Additional data, private", "names stay"
    assert dictionary.fields[55].tags["DF01"].length.maximum == 4
    assert dictionary.fields[55].tags["9F36"].content == "n"
    assert dictionary.fields[55].tags["9F36"].title.en == "Application transaction counter"
    assert dictionary.response_codes["00"].transient
    assert dictionary.response_codes["00"].title.en == "Approved or completed"
    assert "06" not in dictionary.response_codes
    assert "fee_collection" not in {message.name for message in dictionary.messages}
    assert dictionary.extends == "iso87-bcd"


MAX_4, UP_TO_9 = 'prefix = "ascii", digits = 2, max = 4', 'prefix = "ascii", digits = 2, max = 9'


def row(length: str, more: str = "") -> str:
    return f'{FIELD}class = "positional"\nlength = {{ {length} }}\n{more}'


def part(number: int, length: str, more: str = "", kind: str = "ans") -> str:
    said = f'class = "{kind}"\nencoding = "{"bcd" if kind == "n" else "ascii"}"\n'
    return f"[fields.48.subfields.{number}]\n{PART}{said}length = {{ {length} }}\n{more}\n"


@pytest.mark.parametrize(
    ("length", "more", "parts", "wrong"),
    [
        ("fixed = 5", "", part(1, "fixed = 2"), "its parts have at most 2 bytes, it has at least 5"),
        (
            MAX_4,
            "",
            part(1, "fixed = 2") + part(2, "fixed = 10"),
            "its parts need at least 12 bytes, it has at most 4",
        ),
        (
            "fixed = 4",
            "",
            part(1, "fixed = 2") + part(2, "fixed = 3", "optional = true"),
            "its parts never add up to 4 bytes",
        ),
        ("fixed = 5", "repeat = 9", part(1, "fixed = 2"), "its parts never add up to 5 bytes"),
        (MAX_4, "", part(1, UP_TO_9), ""),
        (MAX_4, "", part(1, "fixed = 4") + part(2, "fixed = 9", "optional = true"), ""),
        ("fixed = 6", "repeat = 3", part(1, "fixed = 2"), ""),
        (
            "fixed = 6",
            "",
            part(1, "fixed = 9", kind="n", more='pad = {side="left",nibble="0"}') + part(2, "fixed = 1"),
            "",
        ),
        ("fixed = 3", "", part(1, "fixed = 3", 'pad = { side = "right", character = " " }'), ""),
        (
            "fixed = 2",
            "",
            part(1, "fixed = 3", 'pad = { side = "right", character = " " }'),
            "its parts need at least 3 bytes, it has at most 2",
        ),
        ("fixed = 3", 'encoding = "hex"', part(1, "fixed = 3"), ""),
        ('fixed = 6, unit = "characters"', 'encoding = "hex"', part(1, "fixed = 3"), ""),
        (
            'fixed = 6, unit = "characters"',
            'encoding = "hex"',
            part(1, "fixed = 6"),
            "its parts need at least 6 bytes, it has at most 3",
        ),
    ],
)
def test_a_length_that_no_parts_add_up_to(
    tmp_path: Path, length: str, more: str, parts: str, wrong: str
) -> None:
    text = HEAD + row(length, f"{more}\n") + parts
    found = [] if not wrong and Dialect.load(_written(tmp_path, text)) else mistakes(tmp_path, text)
    assert [tuple(mistake) for mistake in found] == (
        [(11, f"fields.48.length: {wrong}", "correct it, or the parts")] if wrong else []
    )


def _written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "x.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(("numbers", "bad", "before"), [((1, 3), 3, 2), ((2, 3, 6), 6, 4), ((1, 2, 4), 4, 3)])
def test_parts_are_numbered_in_a_row(tmp_path: Path, numbers: tuple[int, ...], bad: int, before: int) -> None:
    parts = "".join(part(number, "fixed = 2") for number in numbers)
    text = HEAD + row(UP_TO_9) + parts
    line = text.split("\n").index(f"[fields.48.subfields.{bad}]") + 1
    assert [tuple(mistake) for mistake in mistakes(tmp_path, text)] == [
        (
            line,
            f"fields.48.subfields.{bad}: there is no part {before} before it",
            "number the parts in a row: 1, 2, 3",
        )
    ]


def test_what_is_not_for_a_class_is_told_with_what_is(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, HEAD + FIELD + 'class = "b"\nencoding = "bcd"\nlength = { fixed = 8 }\n')
    assert found == (11, "fields.48.encoding: 'bcd' is not for class b", "class b has binary, ebcdic, hex")
    text = HEAD + '[defaults.b]\nencoding = "bcd"\n' + FIELD + 'class = "b"\nlength = { fixed = 8 }\n'
    (found,) = mistakes(tmp_path, text)
    assert found == (8, "defaults.b.encoding: 'bcd' is not for class b", "class b has binary, ebcdic, hex")


def test_a_mask_is_told_as_one_writes_it(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, HEAD + PLAIN + 'mask = "hide"\n')
    assert found == (13, "fields.48.mask: 'hide' is unknown", "did you mean 'hidden'?")


STARTS = (
    (
        'class = "n"\nencoding = "ascii"\nlength = { fixed = 3 }',
        "05X",
        "the field has digits, this is 'X' at 2",
    ),
    (
        'class = "n"\nencoding = "ascii"\nlength = { fixed = 3 }',
        "0512",
        "the field has 3 characters, this is 4",
    ),
    ('class = "n"\nencoding = "ascii"\nlength = { fixed = 3 }', "05", ""),
    ('class = "a"\nencoding = "ascii"\nlength = { fixed = 3 }', "B", ""),
    ('class = "a"\nencoding = "ascii"\nlength = { fixed = 3 }', "B1", "x"),
    ('class = "x+n"\nencoding = "ascii"\nlength = { fixed = 3 }', "C", ""),
    ('class = "x+n"\nencoding = "ascii"\nlength = { fixed = 3 }', "0", "x"),
    ('class = "b"\nencoding = "binary"\nlength = { fixed = 3 }', "9F3", ""),
    ('class = "b"\nencoding = "binary"\nlength = { fixed = 3 }', "9f", "write upper-case hex"),
    ('class = "b"\nencoding = "binary"\nlength = { fixed = 1 }', "9F3", "x"),
    ('class = "ans"\nencoding = "ascii"\nlength = { fixed = 3 }\nonly = ["ISO"]', "IS", ""),
    (
        'class = "ans"\nencoding = "ascii"\nlength = { fixed = 3 }\nonly = ["ISO"]',
        "SI",
        "only allows none that begins so",
    ),
    ('class = "n"\nencoding = "bcd"\nlength = { fixed = 4 }', "051", ""),
    ('class = "z"\nencoding = "ascii"\nlength = { prefix = "ascii", digits = 2, max = 37 }', "9=", ""),
)


@pytest.mark.parametrize(("field", "start", "problem"), STARTS)
def test_what_a_value_can_never_start_with(tmp_path: Path, field: str, start: str, problem: str) -> None:
    rule = f'[conditions.1]\ntext = {{ en = "a", fa = "آ" }}\nstarts = {{ 48 = ["{start}"] }}\n'
    file = _written(tmp_path, HEAD + FIELD + field + "\n" + rule)
    if not problem:
        assert Dialect.load(file).dictionary.conditions["1"].groups == ((("48", "starts", (start,)),),)
        return
    (found,) = mistakes(tmp_path, file.read_text(encoding="utf-8"))
    assert found.what.startswith(f"conditions.1.starts.48: 48 never starts with {start!r}: ")
    assert problem == "x" or found.what.endswith(problem)
    assert found.line == file.read_text(encoding="utf-8").split("\n").index("[conditions.1]") + 3


def test_a_composite_starts_with_nothing(tmp_path: Path) -> None:
    rule = '[conditions.1]\ntext = { en = "a", fa = "آ" }\nstarts = { 48 = "05" }\n'
    (found,) = mistakes(tmp_path, HEAD + row(MAX_4) + part(1, "fixed = 2") + rule)
    assert found.what == "conditions.1.starts.48: a composite has no value of its own"


def test_an_mti_that_stands_twice_is_no_other_message(tmp_path: Path) -> None:
    rule = '[messages.{0}]\nmti = [{1}]\nmandatory = ["48"]\ntitle = {{ en = "a", fa = "آ" }}\n'
    text = HEAD + PLAIN + rule.format("a", '"0200", "0200"')
    assert [tuple(found) for found in mistakes(tmp_path, text)] == [
        (14, "messages.a.mti: '0200' stands twice", "name it once")
    ]
    both = [found.what for found in mistakes(tmp_path, text + rule.format("b", '"0200", "0200"'))]
    assert "messages.b.mti: 0200 with this processing code is also 'a'" in both
    assert "messages.b.mti: '0200' stands twice" in both
