"""What `vafa message convert` makes of composites, dates, amounts, codes: carried, changed or lost alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.iso8583 import Dialect, Message, Value, load
from tests.iso8583 import any_dialect
from tests.whole import WHOLE
from tools.message_convert import Converted, convert

YEAR = 2026
NESTED, LENIENT = any_dialect.dialect("nested"), any_dialect.dialect("lenient")


def converted(source: Dialect, target: Dialect, fields: Mapping[str, Value], mti: str = "0200") -> Converted:
    """The message, as it is after it was decoded."""
    message = source.decode(source.encode(Message(mti, fields, source.dictionary)))
    made = convert(source, target, message, YEAR)
    if made.data is not None:
        assert target.decode(made.data) == made.message
    return made


def outcomes(made: Converted) -> dict[str, str]:
    return {note.path: note.outcome for note in made.notes}


def own(directory: Path, name: str, text: str) -> Dialect:
    file = directory / f"{name}.toml"
    head = f'[dialect]\nname = "{name}"\nversion = 1\ndescription = {{ en = "Own", fa = "خودی" }}\n'
    file.write_text(head + text, encoding="utf-8")
    return Dialect.load(file)


@settings(max_examples=200 if WHOLE else 100, deadline=None)
@given(st.sampled_from(any_dialect.NAMES), st.integers(0, 1 << 32))
def test_into_its_own_dialect_a_message_comes_as_it_was(name: str, seed: int) -> None:
    dialect = any_dialect.dialect(name)
    data = dialect.encode(any_dialect.message(dialect, Random(seed)))
    message = dialect.decode(data)
    made = convert(dialect, dialect, message, YEAR)
    mac = dialect.dictionary.mac
    lost = () if mac is None else mac.names
    assert [note for note in made.notes if note.path not in lost] == []
    assert made.refused == ""
    assert dict(made.message.fields) == {
        path: message.fields[path] for path in message.fields if path not in lost
    }


@settings(max_examples=200 if WHOLE else 100, deadline=None)
@given(st.sampled_from(any_dialect.NAMES), st.sampled_from(any_dialect.NAMES), st.integers(0, 1 << 32))
def test_whatever_differs_is_told(source_name: str, target_name: str, seed: int) -> None:
    source, target = any_dialect.dialect(source_name), any_dialect.dialect(target_name)
    message = source.decode(source.encode(any_dialect.message(source, Random(seed))))
    made = convert(source, target, message, YEAR)
    told = {note.path.partition(".")[0] for note in made.notes}
    for path in {*message.fields, *made.message.fields}:
        assert path in told or message.fields.get(path) == made.message.fields.get(path)
    if made.refused == "":
        assert made.data is not None
        assert target.decode(made.data) == made.message


# ---------------------------------------------------------------- composites

BALANCES: dict[str, Value] = {
    "1": {"1": "00", "2": "01", "3": "840", "4": "C000000123400"},
    "2": {"1": "00", "2": "02", "3": "364", "4": "D000000000077"},
}


def test_parts_become_the_text_they_are_written_as_and_are_read_from_it_again() -> None:
    ascii_93, ascii_87 = load("iso93-ascii"), load("iso87-ascii")
    made = converted(ascii_93, ascii_87, {"54": BALANCES}, "1110")
    assert made.message["54"] == "0001840C0000001234000002364D000000000077"
    assert outcomes(made)["54"] == "changed"
    for source in (ascii_87, load("iso87-bcd")):
        back = converted(source, load("ebcdic93"), {"54": made.message["54"]}, "0110")
        assert back.message["54"] == BALANCES


def test_parts_of_ebcdic_become_text_too() -> None:
    made = converted(load("ebcdic93"), load("iso87-ascii"), {"54": BALANCES}, "1110")
    assert made.message["54"] == "0001840C0000001234000002364D000000000077"


def test_parts_are_matched_by_their_names() -> None:
    of_1993, of_2003 = load("iso93-ascii"), load("iso2003-ascii")
    made = converted(of_1993, of_2003, {"54": BALANCES}, "1110")
    assert made.message["54"] == {
        "1": {"1": "00", "2": "01", "3": "840", "4": "2", "5": "C000000123400"},
        "2": {"1": "00", "2": "02", "3": "364", "4": "0", "5": "D000000000077"},
    }
    back = converted(of_2003, of_1993, {"54": made.message["54"]}, "2110")
    assert back.message["54"] == BALANCES
    odd = {"1": {"1": "00", "2": "01", "3": "840", "4": "3", "5": "C000000123400"}}
    assert outcomes(converted(of_2003, of_1993, {"54": odd}, "2110"))["54.1"] == "lost"


OPAQUE = """
extends = "iso87-bcd"
[fields.55]
name = "icc_data"
title = { en = "Chip data as it comes", fa = "تراشه" }
class = "b"
encoding = "binary"
length = { prefix = "bcd", digits = 3, max = 255 }
"""
UNTAUGHT = """
extends = "iso87-bcd"
[fields.55]
name = "icc_data"
title = { en = "Chip data, tags unknown", fa = "تراشه" }
class = "tlv"
length = { prefix = "bcd", digits = 3, max = 255 }
tlv = { form = "ber" }
"""
CHIP: dict[str, Value] = {"9F36": b"\0\x1c", "9F02": "000000002500", "5F2A": "364", "9A": "261121"}
CHIP_BYTES = bytes.fromhex("9F3602001C9F02060000000025005F2A0203649A03261121")


def test_tags_become_the_bytes_they_are_and_are_read_from_them_again(tmp_path: Path) -> None:
    opaque = own(tmp_path, "opaque", OPAQUE)
    for source in (load("iso87-bcd"), load("iso87-ascii")):  # the second writes them in hex digits
        made = converted(source, opaque, {"55": CHIP})
        assert made.message["55"] == CHIP_BYTES
        assert outcomes(made) == {"55": "changed"}
        assert converted(opaque, source, {"55": CHIP_BYTES}).message["55"] == CHIP


def test_a_tag_that_only_one_dialect_knows_keeps_its_bytes(tmp_path: Path) -> None:
    untaught = own(tmp_path, "untaught", UNTAUGHT)
    made = converted(load("iso87-ascii"), untaught, {"55": CHIP})
    tags = {
        "9F36": b"\0\x1c",
        "9F02": bytes.fromhex("000000002500"),
        "5F2A": b"\3\x64",
        "9A": b"\x26\x11\x21",
    }
    assert made.message["55"] == tags
    assert converted(untaught, load("iso87-ascii"), {"55": tags}).message["55"] == CHIP


def test_what_holds_a_secret_does_not_become_plain_bytes(tmp_path: Path) -> None:
    chip = {**CHIP, "57": "9364001234567898=2912101"}
    shown = own(tmp_path, "shown", OPAQUE + 'mask = "none"\n')
    made = converted(load("iso87-bcd"), shown, {"55": chip})
    assert outcomes(made) == {"55": "lost"}
    assert "9364001234567898" not in repr(made.notes)
    hidden = own(tmp_path, "hidden", OPAQUE)
    made = converted(load("iso87-bcd"), hidden, {"55": chip})
    assert made.message["55"] == CHIP_BYTES + bytes.fromhex("570C9364001234567898D2912101")
    assert [note.now for note in made.notes] == ["[hidden]"]


LESS = """
mti = { encoding = "bcd" }
bitmap = { encoding = "binary" }
[fields.54]
name = "amounts"
title = { en = "Groups of the first kind only", fa = "گروه‌ها" }
class = "positional"
repeat = 3
length = { prefix = "bcd", digits = 2, max = 15 }
[fields.54.subfields.1]
name = "kind"
title = { en = "Kind", fa = "گونه" }
class = "n"
encoding = "bcd"
length = { fixed = 2 }
only = ["01"]
[fields.54.subfields.2]
name = "points"
title = { en = "Points", fa = "امتیاز" }
class = "n"
encoding = "bcd"
length = { fixed = 8 }
[fields.60]
name = "tags"
title = { en = "Tags, of which one has tags", fa = "برچسب‌ها" }
class = "tlv"
length = { prefix = "bcd", digits = 3, max = 255 }
tlv = { form = "ber", tags = "emv", repeats = true, unknown = "refuse" }
[fields.60.tags.E2]
name = "bits"
title = { en = "Parts by a bitmap", fa = "بخش‌ها" }
class = "bitmapped"
length = { max = 100 }
bitmap = { encoding = "binary", bytes = 1, first_bit = "field" }
[fields.60.tags.E2.subfields.2]
name = "two"
title = { en = "Two", fa = "دو" }
class = "n"
encoding = "bcd"
length = { fixed = 4 }
"""


def test_a_part_that_is_refused_is_lost_alone(tmp_path: Path) -> None:
    less = own(tmp_path, "less", LESS)
    tags: dict[str, Value] = {"9F36": b"\0\1", "C1": b"x", "E2": {"2": "4321", "11": "hush"}, "9A": "261121"}
    made = converted(NESTED, less, {"60": tags})
    assert made.message["60"] == {"9F36": b"\0\1", "E2": {"2": "4321"}, "9A": "261121"}
    assert outcomes(made) == {"60.C1": "lost", "60.E2.11": "lost"}
    assert "hush" not in repr(made.notes)


def test_what_follows_a_lost_part_takes_its_place(tmp_path: Path) -> None:
    less = own(tmp_path, "less", LESS)
    groups = {str(number): {"1": kind, "2": "00000007"} for number, kind in enumerate(("02", "01", "01"), 1)}
    made = converted(LENIENT, less, {"54": groups})
    assert made.message["54"] == {number: {"1": "01", "2": "00000007"} for number in ("1", "2")}
    assert outcomes(made) == {"54.1": "lost"}
    tags: dict[str, Value] = {"9A": b"\xff", "9A#2": "261121", "9A#3": "261122"}  # the first is no date
    made = converted(NESTED, less, {"60": tags})
    assert made.message["60"] == {"9A": "261121", "9A#2": "261122"}
    assert outcomes(made) == {"60.9A": "lost"}


def test_a_length_longer_than_it_need_be_goes_with_its_tag_or_is_told_lost(tmp_path: Path) -> None:
    tags: dict[str, Value] = {"9F36@length": b"\x81\2", "9F36": b"\0\1", "C1": b""}
    less = own(tmp_path, "less", LESS)
    made = converted(NESTED, less, {"60": tags})
    assert made.message["60"] == {"9F36": b"\0\1"}
    assert outcomes(made) == {"60.9F36@length": "lost", "60.C1": "lost"}
    keeping = own(tmp_path, "keeping", LESS.replace("repeats = true,", 'repeats = true, lengths = "any",'))
    made = converted(NESTED, keeping, {"60": tags})
    assert made.message["60"] == {"9F36@length": b"\x81\2", "9F36": b"\0\1"}
    assert outcomes(made) == {"60.C1": "lost"}


def test_the_mark_of_a_bitmap_is_kept_or_told_lost() -> None:
    for fields in ({"1": bytes(8), "3": "000000"}, {"1": b"", "3": "000000", "70": "0301"}):
        made = converted(LENIENT, LENIENT, fields)
        assert (dict(made.message.fields), made.notes) == (fields, ())
        assert outcomes(converted(LENIENT, load("iso87-bcd"), fields))["1"] == "lost"


def test_composites_are_told_in_braces() -> None:
    made = converted(
        NESTED, load("iso87-ascii"), {"61": {"1": {"1": "01", "2": {"X": b"x"}}, "2": {"1": "02", "2": {}}}}
    )
    assert made.notes[0].was == "1={1=01, 2={X=78}}, 2={1=02, 2=(empty)}"


# ---------------------------------------------------------------- what versions write differently

Case = tuple[str, str, dict[str, Value], dict[str, Value]]
DATES: tuple[Case, ...] = (
    ("iso93-ascii", "iso2003-ascii", {"12": "261121204513"}, {"12": "20261121204513"}),
    ("iso2003-ascii", "iso93-ascii", {"12": "20261121204513"}, {"12": "261121204513"}),
    ("iso2003-ascii", "iso87-ascii", {"12": "20261121204513"}, {"12": "204513", "13": "1121"}),
    ("iso93-ascii", "iso87-ascii", {"12": "261121204513", "13": "2601"}, {"12": "204513", "13": "1121"}),
    ("iso93-ascii", "iso87-ascii", {"13": "2601"}, {}),  # an effective date, there a local one
    ("iso87-ascii", "iso93-ascii", {"13": "1121"}, {}),
    ("iso93-ascii", "iso2003-ascii", {"13": "2601"}, {"13": "202601"}),
    ("iso87-ascii", "iso93-ascii", {"15": "1121"}, {"15": "261121"}),
    ("iso87-ascii", "iso2003-ascii", {"15": "1121"}, {"15": "20261121"}),
    ("iso93-ascii", "iso2003-ascii", {"15": "261121"}, {"15": "20261121"}),
    ("iso2003-ascii", "iso93-ascii", {"15": "20261121"}, {"15": "261121"}),
    ("iso2003-ascii", "iso87-ascii", {"15": "20261121"}, {"15": "1121"}),
)
CODES: tuple[Case, ...] = (
    ("iso87-ascii", "iso93-ascii", {"39": "51"}, {"39": "116"}),
    ("iso87-ascii", "iso93-ascii", {"39": "15"}, {}),  # 015 would be an approval
    ("iso93-ascii", "iso87-ascii", {"39": "001"}, {}),  # 01 would be a referral
    ("iso93-ascii", "iso2003-ascii", {"39": "116"}, {"39": "1016"}),
    ("iso2003-ascii", "iso93-ascii", {"39": "1016"}, {"39": "116"}),
    ("iso2003-ascii", "iso93-ascii", {"39": "1116"}, {}),
    ("iso93-ascii", "iso2003-ascii", {"22": "510101513344"}, {}),  # each place has its meaning
    ("iso93-ascii", "iso2003-ascii", {"30": "0" * 24}, {}),
)
AMOUNTS: tuple[Case, ...] = (
    (
        "iso2003-ascii",
        "iso93-ascii",
        {"4": {"1": "840", "2": "2", "3": "000000002500"}},
        {"4": "000000002500", "49": "840"},
    ),
    (
        "iso2003-ascii",
        "iso93-ascii",
        {"4": {"1": "840", "2": "3", "3": "000000002500"}},
        {"4": "000000000250", "49": "840"},
    ),
    (
        "iso2003-ascii",
        "iso93-ascii",
        {"4": {"1": "840", "2": "0", "3": "000000000025"}},
        {"4": "000000002500", "49": "840"},
    ),
    ("iso2003-ascii", "iso93-ascii", {"4": {"1": "840", "2": "3", "3": "000000002501"}}, {}),
    ("iso2003-ascii", "iso93-ascii", {"4": {"1": "840", "2": "0", "3": "990000000000"}}, {}),
)


@pytest.mark.parametrize(("source", "target", "fields", "there"), [*DATES, *CODES, *AMOUNTS])
def test_versions_write_it_differently(
    source: str, target: str, fields: dict[str, Value], there: dict[str, Value]
) -> None:
    mti = {"iso93-ascii": "1210", "iso2003-ascii": "2210"}.get(source, "0210")
    made = converted(load(source), load(target), fields, mti)
    assert dict(made.message.fields) == there
    told = {(note.path, note.outcome) for note in made.notes}
    for number in fields:
        assert (number, "changed" if number in there else "lost") in told
