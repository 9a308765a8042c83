"""`vafa message view` shows every byte in exactly one row, in order: masked or not, broken or whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch import iso8583
from switch.iso8583 import Dialect, Message, Value
from tests.iso8583 import any_dialect, fuzz
from tests.tools.kit import run
from tests.tools.spec_samples import DATA, EVERYTHING
from tests.whole import WHOLE
from tools.message_view import View, view

SAMPLES = [(iso8583.load(name), one.data) for name in iso8583.shipped() for one in iso8583.samples(name)]
SAMPLES += [(EVERYTHING, data) for data in DATA]
EVERY_SAMPLE = pytest.mark.parametrize(
    ("dialect", "data"), SAMPLES, ids=[f"{dialect.name}-{n}" for n, (dialect, _data) in enumerate(SAMPLES)]
)
# Of each dialect the message with the most bytes to be cut at.
LONGEST = list(
    {dialect.name: (dialect, data) for dialect, data in sorted(SAMPLES, key=lambda one: len(one[1]))}.values()
)
COMPOSED = ("kitchen-sink", "nested", "lenient")  # between them: every kind of composite, in every other
PLACE = re.compile(r"(?:[0-9A-F*]{2} )*[0-9A-F*]{2}|")  # of a row: its bytes
NESTED = any_dialect.dialect("nested")


def assert_covered(data: bytes, parts: Iterable[Any], rest_bytes: int = 0) -> None:
    """Each byte of `data` but the last stands in one of `parts`, in order, as itself or as stars."""
    shown: list[str] = []
    for part in parts:
        assert part["start"] == len(shown), part
        assert PLACE.fullmatch(part["raw"]), part
        shown += part["raw"].split()
        assert part["stop"] == len(shown), part
    assert len(shown) + rest_bytes == len(data)
    for place, pair in enumerate(shown):
        for nibble, real in zip(pair, f"{data[place]:02X}", strict=True):
            assert nibble in ("*", real), place


def parts_of(seen: View) -> list[Any]:
    return [part._asdict() for part in seen.parts]


def assert_shown(dialect: Dialect, data: bytes) -> None:
    """The rows of `data`, whole or broken, masked and not."""
    masked, revealed = view(dialect, data), view(dialect, data, reveal=True)
    told = re.fullmatch("([0-9]+) bytes? not decoded", masked.rest)
    rest_bytes = len(revealed.rest) // 2
    assert (int(told[1]) if told else 0) == rest_bytes
    assert_covered(data, parts_of(masked), rest_bytes)
    assert_covered(data, parts_of(revealed), rest_bytes)
    whole = "".join(part.raw for part in revealed.parts).replace(" ", "") + revealed.rest
    assert whole.upper() == data.hex().upper()
    assert rest_bytes == 0 or revealed.error is not None


@EVERY_SAMPLE
def test_every_byte_of_a_sample_is_shown_once(dialect: Dialect, data: bytes) -> None:
    assert_shown(dialect, data)
    assert_shown(dialect, data + b"\0")


@pytest.mark.parametrize(("dialect", "data"), LONGEST, ids=[dialect.name for dialect, _data in LONGEST])
def test_every_byte_of_a_cut_message_is_shown_or_counted_once(dialect: Dialect, data: bytes) -> None:
    # Elsewhere in each dialect, and closer than the fields: each is cut somewhere.
    for size in range(len(dialect.name) % 3, len(data), 1 if WHOLE else 3):
        assert_shown(dialect, data[:size])


@settings(deadline=None)
@given(st.sampled_from(COMPOSED), st.integers(0, 1 << 32))
def test_every_byte_of_any_composite_is_shown_once(name: str, seed: int) -> None:
    dialect, random = any_dialect.dialect(name), Random(seed)
    data = dialect.encode(any_dialect.message(dialect, random))
    assert_shown(dialect, data)
    assert_shown(dialect, data[: random.randrange(len(data) + 1)])
    assert_shown(dialect, fuzz.damaged(data, random))


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
@pytest.mark.parametrize("unsafe", [(), ("--unsafe",)])
def test_every_format_shows_every_byte_once(form: str, unsafe: tuple[str, ...]) -> None:
    for dialect in (*iso8583.shipped(), str(any_dialect.OWN / "nested.toml")):
        messages = [sample.data for sample in iso8583.samples(dialect)] if "." not in dialect else [FULL]
        given_lines = b"\n".join(data.hex().encode() for data in messages)
        told = run("view", "-d", dialect, "--format", form, *unsafe, given=given_lines)
        assert told.code == 0, told.err
        if form == "text":
            for data, text in zip(messages, told.out.split("\n\n"), strict=True):
                assert_covered(data, rows_of(text))
        else:
            shown = told.records if form == "jsonl" else told.document["messages"]
            for data, one in zip(messages, shown, strict=True):
                assert_covered(data, one["parts"])


def rows_of(text: str) -> Iterator[Any]:
    """The rows of a view in words, as parts of it."""
    for line in text.splitlines()[2:]:
        at, raw = line[:5].strip(), line[7:42].strip()
        if raw:
            start = int(at)
            yield {"start": start, "stop": start + len(raw.split()), "raw": raw}


# ---------------------------------------------------------------- what stands in which row

FULL = NESTED.encode(
    Message(
        "0200",
        {
            "2": "4111111111111111",
            "52": bytes(range(8)),
            "60": {
                "9F36": b"\x00\x1c",
                "E1": {"1": "1234", "2": "text", "3": b"secret"},
                "E1#2": {"1": "5678", "2": ""},
                "00": b"\0",
                "E2": {"2": "4321", "11": "hush"},
                "57": "4111111111111111=29121010000012345678",
            },
            "61": {
                "1": {"1": "01", "2": {"K": bytes(16), "T": "4111111111111111=2912101", "X": b"x"}},
                "2": {"1": "02", "2": {}},
            },
            "127": {
                "2": {"00A1": {"1": "123", "16": b"\xab\xcd"}, "00A1#2": {"1": "456"}, "0102": b""},
                "3": {"1": "0001", "2": b"\xff\xff"},
                "70": "beyond",
            },
            "130": "000130",
            "192": {"01": b"last"},
        },
        NESTED.dictionary,
    )
)


# Path, bytes (as the characters they are here, "*" for hidden ones), value.
ROWS = (
    ("bitmap", "C0000000000010184000000000000002", "2, 52, 60, 61, 127"),
    ("52", "********", "[hidden]"),
    ("60", "0158", ""),
    ("60.9F36", "9F3602001C", "001C"),
    ("60.E1", "E11C", ""),
    ("60.E1.3", "3037" + "*" * 24, "[hidden]"),
    ("60.E1#2", "E106", ""),
    ("60.E1#2.1", "35363738", "5678"),
    ("60.E2", "E20C", ""),
    ("60.E2.bitmap", "43303230", "2, 11"),
    ("60.57", "5713" + "*" * 38, "411111******1111=..."),
    ("61", "\0f", ""),
    ("61.1", "", ""),
    ("61.1.2", "094", ""),
    ("61.1.2.K", "104B" + "*" * 32, "[hidden]"),
    ("bitmap", "4000000000000001", "130, 192"),
    ("127", "000122", ""),
    ("127.bitmap", "E0000000000000000400000000000000", "2, 3, 70"),
    ("127.2", "0032", ""),
    ("127.2.00A1", "00A1000D", ""),
    ("127.2.00A1.bitmap", "F8F0F0F1", "1, 16"),
    ("127.2.00A1#2.bitmap", "F8F0F0F0", "1"),
    ("127.3", "", ""),
    ("192.01", "\x01\x04last", "6C617374"),
)


def test_lengths_tags_and_bitmaps_have_rows_of_their_own() -> None:
    rows = [(part.path, characters(part.raw), part.value) for part in view(NESTED, FULL).parts]
    for row in ROWS:
        assert row in rows


def characters(raw: str) -> str:
    return "".join("*" if pair == "**" else chr(int(pair, 16)) for pair in raw.split())


@pytest.mark.parametrize("size", range(0, len(FULL), 1 if WHOLE else 3))
def test_every_byte_of_a_cut_composite_is_shown_or_counted_once(size: int) -> None:
    assert_shown(NESTED, FULL[:size])


def test_a_length_longer_than_it_need_be_stands_between_tag_and_value() -> None:
    value: dict[str, Value] = {
        "9F36@length": b"\x81\x02",
        "9F36": b"\x00\x1c",
        "E2@length": b"\x81\x04",
        "E2": {"2": "4321"},
        "9A@length": b"\x82\0\0",
        "9A": b"",
    }
    data = NESTED.encode(Message("0200", {"60": value}, NESTED.dictionary))
    assert_shown(NESTED, data)
    rows = [(part.path, characters(part.raw), part.value) for part in view(NESTED, data).parts[3:]]
    assert rows == [
        ("60.9F36", "9F36", ""),
        ("60.9F36@length", "8102", "8102"),
        ("60.9F36", "001C", "001C"),
        ("60.E2", "E2", ""),
        ("60.E2@length", "8104", "8104"),
        ("60.E2.bitmap", "3430", "2"),
        ("60.E2.2", "4321", "4321"),
        ("60.9A", "9A", ""),
        ("60.9A@length", "820000", "820000"),
    ]
    for size in range(len(data)):
        assert_shown(NESTED, data[:size])


def test_a_bitmap_names_what_it_announces_though_the_message_breaks_off() -> None:
    data = iso8583.samples("iso87-ascii")[0].data
    whole, cut = (view(iso8583.load("iso87-ascii"), some).parts for some in (data, data[:50]))
    assert len(cut) < len(whole)
    assert cut[1] == whole[1]
