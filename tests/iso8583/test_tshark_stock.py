"""Wireshark's own ISO 8583 dissector, as Debian ships it, reads our ASCII samples as we do, field by field.

It is an oracle that nobody here wrote. What it can't read is left out by name, with the reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.iso8583 import Dialect, Message, load, samples
from tests.tools.spec_captures import PORT, Pairs, first, framed, tshark

# 1993, field 53: LLVAR in the standard, 48 fixed bytes for Wireshark (data_1993 of packet-iso8583.c).
UNREADABLE = {"iso87-ascii": (), "iso93-ascii": ("53",)}
DIALECTS = pytest.mark.parametrize("name", UNREADABLE)

# Bitmaps and binary data as bytes instead of hex digits; the rest as the dialect it extends.
RAW = """
[dialect]
name = "{name}-raw"
version = 1
extends = "{name}"
description = {{ en = "binary data as it is", fa = "دادهٔ دودویی خام" }}
mti = {{ encoding = "ascii" }}
bitmap = {{ encoding = "binary" }}
[defaults.b]
encoding = "binary"
[defaults.tlv]
encoding = "binary"
"""
# Then Wireshark 4.0 takes tracks for nibbles though their digits stay characters, takes field 55 for text
# and puts a stray character behind binary values: these are left out, the raw bitmaps and all else stay.
UNREADABLE_RAW = ("35", "36", "52", "55", "64", "96", "128")


def stock(directory: Path, messages: list[bytes], binary: str) -> list[Pairs]:
    """What tshark's own dissector says of each message, alone in its segment."""
    options = ["iso8583.len_endian:Big endian", f"iso8583.binencode:{binary}"]
    settings = [word for option in options for word in ("-o", option)]
    segments = [framed(data) for data in messages]
    return tshark(directory, segments, "-d", f"tcp.port=={PORT},iso8583", "-J", "iso8583", *settings)


def on_the_line(dialect: Dialect, data: bytes) -> dict[str, str]:
    """Each field's content as we find it: decoded values; groups as the characters they stand in."""
    message = dialect.decode(data)
    found = {}
    for span in dialect.spans(data):
        field = dialect.dictionary.field_at(span.path)
        if field is None or not span.path.isdecimal():
            continue
        value = message.fields[span.path]
        prefix = field.prefix.size if field.prefix is not None else 0
        if isinstance(value, bytes):
            found[span.path] = value.hex().upper()
        elif isinstance(value, str):
            found[span.path] = value
        else:
            content = data[span.start + prefix : span.stop]
            found[span.path] = (
                content.hex().upper() if field.encoding == "binary" else content.decode("ascii")
            )
    return found


def without(dialect: Dialect, data: bytes, numbers: tuple[str, ...]) -> bytes:
    """The message without the fields Wireshark can't read."""
    message = dialect.decode(data)
    kept = {number: value for number, value in message.fields.items() if number not in numbers}
    return dialect.encode(Message(message.mti, kept))


def assert_agreement(dialect: Dialect, messages: list[bytes], packets: list[Pairs]) -> None:
    assert len(packets) == len(messages)
    for data, pairs in zip(messages, packets, strict=True):
        told = {item.removeprefix("iso8583.bit"): value for item, value in pairs if "iso8583.bit" in item}
        assert first(pairs, "iso8583.mti") == dialect.decode(data).mti
        assert told == on_the_line(dialect, data)
        assert not [item for item, _value in pairs if item.startswith("_ws.")]


@DIALECTS
def test_wireshark_agrees_about_every_ascii_sample(tmp_path: Path, name: str) -> None:
    dialect = load(name)
    messages = [without(dialect, sample.data, UNREADABLE[name]) for sample in samples(name)]
    assert len(messages) >= 6
    packets = stock(tmp_path, messages, "Bin data represented as Hex Ascii characters")
    assert_agreement(dialect, messages, packets)


@DIALECTS
def test_wireshark_agrees_when_binary_data_is_raw(tmp_path: Path, name: str) -> None:
    hexadecimal = load(name)
    file = tmp_path / "raw.toml"
    file.write_text(RAW.format(name=name), encoding="utf-8")
    dialect = Dialect.load(file)
    messages = []
    for sample in samples(name):
        message = hexadecimal.decode(without(hexadecimal, sample.data, (*UNREADABLE[name], *UNREADABLE_RAW)))
        messages.append(dialect.encode(Message(message.mti, message.fields)))
    packets = stock(tmp_path, messages, "Bin data not encoded")
    assert_agreement(dialect, messages, packets)
