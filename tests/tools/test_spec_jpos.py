"""The jPOS packagers read our samples as we do: the classes of jPOS are written down here again, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from switch.iso8583 import Dialect, load, samples, shipped
from tests.tools.spec_samples import EVERYTHING
from tools.cli import run
from tools.spec_jpos import NoTwin, packager, twin_of

# Fields in hex behind four digits of length: jPOS has no class for these.
REFUSED = ("iso2003-ascii",)
EXPORTED = pytest.mark.parametrize("name", [name for name in shipped() if name not in REFUSED])


class Twin(NamedTuple):
    """What a class of org.jpos.iso reads: the length's encoding and bytes, and how content is written."""

    length: str
    length_bytes: int
    content: str


# Read in jPOS's source: interpreter and prefixer of each class.
CLASSES = {
    "IFA_NUMERIC": Twin("", 0, "ascii"),
    "IF_CHAR": Twin("", 0, "ascii"),
    "IFA_AMOUNT": Twin("", 0, "ascii"),
    "IFA_BINARY": Twin("", 0, "hex"),
    "IFA_LLNUM": Twin("ascii", 2, "ascii"),
    "IFA_LLLNUM": Twin("ascii", 3, "ascii"),
    "IFA_LLCHAR": Twin("ascii", 2, "ascii"),
    "IFA_LLLCHAR": Twin("ascii", 3, "ascii"),
    "IFA_LLLLCHAR": Twin("ascii", 4, "ascii"),
    "IFA_LLABINARY": Twin("ascii", 2, "hex"),
    "IFA_LLLABINARY": Twin("ascii", 3, "hex"),
    "IFA_LLBINARY": Twin("ascii", 2, "binary"),
    "IFA_LLLBINARY": Twin("ascii", 3, "binary"),
    "IFB_NUMERIC": Twin("", 0, "bcd"),
    "IFB_FNUMERIC": Twin("", 0, "bcd"),
    "IFB_AMOUNT": Twin("", 0, "amount"),
    "IFB_BINARY": Twin("", 0, "binary"),
    "IFB_LLNUM": Twin("bcd", 1, "bcd"),
    "IFB_FLLNUM": Twin("bcd", 1, "bcd"),
    "IFB_LLLNUM": Twin("bcd", 2, "bcd"),
    "IFB_FLLLNUM": Twin("bcd", 2, "bcd"),
    "IFB_LLCHAR": Twin("bcd", 1, "ascii"),
    "IFB_LLLCHAR": Twin("bcd", 2, "ascii"),
    "IFB_LLBINARY": Twin("bcd", 1, "binary"),
    "IFB_LLLBINARY": Twin("bcd", 2, "binary"),
    "IFE_NUMERIC": Twin("", 0, "ebcdic"),
    "IFE_CHAR": Twin("", 0, "ebcdic"),
    "IFE_AMOUNT": Twin("", 0, "ebcdic"),
    "IFE_LLNUM": Twin("ebcdic", 2, "ebcdic"),
    "IFE_LLLNUM": Twin("ebcdic", 3, "ebcdic"),
    "IFE_LLCHAR": Twin("ebcdic", 2, "ebcdic"),
    "IFE_LLLCHAR": Twin("ebcdic", 3, "ebcdic"),
    "IFE_LLBINARY": Twin("ebcdic", 2, "binary"),
    "IFE_LLLBINARY": Twin("ebcdic", 3, "binary"),
}
BITMAPS = {"IFA_BITMAP": "hex", "IFB_BITMAP": "binary", "IFE_BITMAP": "ebcdic"}


def fields_of(text: str) -> dict[int, ElementTree.Element]:
    root = ElementTree.fromstring(text)
    assert root.tag == "isopackager"
    numbers = [int(field.attrib["id"]) for field in root]
    assert numbers == sorted(set(numbers))
    return {int(field.attrib["id"]): field for field in root}


def class_of(field: ElementTree.Element) -> str:
    package, _dot, name = field.attrib["class"].rpartition(".")
    assert package == "org.jpos.iso"
    return name


def unpacked(fields: dict[int, ElementTree.Element], data: bytes) -> dict[int, str]:
    """Field -> its content as jPOS would give it, bytes as hex; what is left over fails."""
    mti, at = one(fields[0], data, 0)
    form = BITMAPS[class_of(fields[1])]
    width = 8 if form == "binary" else 16

    def half() -> int:
        nonlocal at
        raw, at = data[at : at + width], at + width
        text = raw.hex() if form == "binary" else raw.decode("cp500" if form == "ebcdic" else "ascii")
        return int(text, 16)

    bits = [half()]
    if bits[0] >> 63:
        bits.append(half())
    found = {0: mti}
    for place, half_bits in enumerate(bits):
        for bit in range(1, 65):
            number = place * 64 + bit
            if half_bits >> (64 - bit) & 1 and number not in (1, 65):
                found[number], at = one(fields[number], data, at)
    assert at == len(data)
    return found


def one(field: ElementTree.Element, data: bytes, at: int) -> tuple[str, int]:
    twin = CLASSES[class_of(field)]
    size = int(field.attrib["length"])
    if twin.length:
        raw, at = data[at : at + twin.length_bytes], at + twin.length_bytes
        size = int(
            raw.hex() if twin.length == "bcd" else raw.decode("cp500" if twin.length == "ebcdic" else "ascii")
        )
        assert size <= int(field.attrib["length"])
    if twin.content == "amount":
        stop = at + 1 + size // 2
        return data[at : at + 1].decode("ascii") + data[at + 1 : stop].hex()[-(size - 1) :], stop
    if twin.content == "bcd":
        stop = at + (size + 1) // 2
        digits = data[at:stop].hex().replace("d", "=")
        if len(digits) == size:
            return digits, stop
        pad, digits = (digits[0], digits[1:]) if field.attrib["pad"] == "true" else (digits[-1], digits[:-1])
        assert pad == ("f" if class_of(field) in ("IFB_FNUMERIC", "IFB_FLLNUM", "IFB_FLLLNUM") else "0")
        return digits, stop
    if twin.content == "hex":
        stop = at + size * 2
        return data[at:stop].decode("ascii"), stop
    stop = at + size
    if twin.content == "binary":
        return data[at:stop].hex().upper(), stop
    return data[at:stop].decode("cp500" if twin.content == "ebcdic" else "ascii"), stop


def ours(dialect: Dialect, data: bytes) -> dict[int, str]:
    """The same of our decode; what stands in a group by its bytes."""
    message = dialect.decode(data)
    found = {0: message.mti}
    for span in dialect.spans(data):
        field = dialect.dictionary.field_at(span.path)
        if field is None or not span.path.isdecimal():
            continue
        value = message.fields[span.path]
        if isinstance(value, str):
            found[int(span.path)] = value
        elif isinstance(value, bytes):
            found[int(span.path)] = value.hex().upper()
        else:
            content = data[span.start + (field.prefix.size if field.prefix else 0) : span.stop]
            text = {"ascii": "ascii", "hex": "ascii", "ebcdic": "cp500"}.get(field.encoding)
            found[int(span.path)] = content.decode(text) if text else content.hex().upper()
    return found


@EXPORTED
def test_a_packager_reads_every_sample_as_we_do(name: str) -> None:
    dialect = load(name)
    fields = fields_of(packager(dialect.dictionary))
    assert set(fields) == {0, 1, *dialect.dictionary.fields}
    for sample in samples(name):
        theirs, mine = unpacked(fields, sample.data), ours(dialect, sample.data)
        for number, content in mine.items():
            filled = dialect.dictionary.fields[number].fill if number else None
            shown = theirs[number]
            if filled is not None:
                shown = (
                    shown.rstrip(filled.character)
                    if filled.side == "right"
                    else shown.lstrip(filled.character)
                )
            assert shown == content, number
        assert set(theirs) == set(mine)


def test_the_classes_of_the_vafa_dialect_are_these() -> None:
    fields = fields_of(packager(load("vafa").dictionary))
    named = {number: (class_of(field), field.attrib.get("pad")) for number, field in fields.items()}
    assert named[0] == ("IFB_NUMERIC", "true")
    assert named[1] == ("IFB_BITMAP", None)
    assert named[2] == ("IFB_FLLNUM", "false")
    assert named[22] == ("IFB_NUMERIC", "true")
    assert named[35] == ("IFB_FLLNUM", "false")
    assert named[37] == ("IF_CHAR", None)
    assert named[48] == ("IFB_LLLBINARY", None)
    assert named[52] == ("IFB_BINARY", None)
    assert named[60] == ("IFB_LLLNUM", "true")
    assert named[62] == ("IFB_LLLCHAR", None)


def test_what_jpos_does_not_take_apart_is_said() -> None:
    text = packager(load("vafa").dictionary)
    assert "<!-- field 48: its tags are not taken apart -->" in text
    assert "<!-- field 62: at least 1 character -->" in text


def test_every_format_without_a_twin_is_named_with_the_reason() -> None:
    with pytest.raises(NoTwin) as caught:
        packager(EVERYTHING.dictionary)
    refused = dict(caught.value.fields)
    assert refused["7"] == "an amount whose sign isn't the ASCII byte C or D"
    assert refused["13"] == "BCD counted in bytes"
    assert refused["14"] == "a length that counts itself"
    assert refused["15"] == "hexadecimal digits in BCD"
    assert refused["16"] == "bytes that are filled up"
    assert "2" not in refused
    for path, why in refused.items():
        assert twin_of(EVERYTHING.dictionary.fields[int(path)]) == why


def test_the_command_writes_a_file_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "vafa.xml"
    assert run(["spec", "export", "--to", "jpos", "--output", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == packager(load("vafa").dictionary)
    capsys.readouterr()
    mine = Path(__file__).with_name("everything.toml")
    assert run(["spec", "export", "--to", "jpos", "--dialect", str(mine)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "jPOS has no field packager that writes these alike:" in told.err
    assert "\n  14: a length that counts itself\n" in told.err
