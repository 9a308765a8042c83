"""The samples that stand beside the shipped dialects, put together by hand: no code of the codec is used.

`python -m tests.iso8583.sample_oracle` writes switch/iso8583/dialects/samples/*.toml; a test says when a file
is stale. In a file bytes are written "0x...", text as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.iso8583 import oracle

SAMPLES = Path(__file__).parents[2] / "switch" / "iso8583" / "dialects" / "samples"

MAC = bytes.fromhex("A1B2C3D4E5F60718")
PIN_BLOCK = bytes.fromhex("00112233445566AA")
CARD = "4111111111111111"
TRACK = CARD + "=29121010000012345678"

# How the fields used below look: digits fixed ("n"), with a length ("n2": two digits of length), text ("t",
# "t3"), track ("z2"), sign and digits ("x"), bytes ("b", "b2").
KINDS_87 = {
    2: "n2",
    3: "n",
    4: "n",
    7: "n",
    11: "n",
    12: "n",
    13: "n",
    14: "n",
    18: "n",
    22: "n",
    24: "n",
    25: "n",
    28: "x",
    32: "n2",
    35: "z2",
    37: "t",
    38: "t",
    39: "t",
    41: "t",
    42: "t",
    43: "t",
    48: "t3",
    49: "t",
    52: "b",
    54: "t3",
    60: "t3",
    62: "t3",
    64: "b",
    70: "n",
    90: "n",
    95: "t",
    97: "x",
    100: "n2",
    102: "t2",
    128: "b",
}
KINDS_93 = {
    **KINDS_87,
    22: "t",
    23: "n",
    25: "n",
    26: "n",
    30: "n",
    39: "n",
    43: "t2",
    53: "b2",
    56: "n2",
    96: "b3",
}
KINDS_2003 = {**KINDS_93, 3: "t", 42: "t2", 72: "b4", 75: "n"}

EMV = {
    "9F26": "0x1122334455667788",
    "9F10": "0x06010A03A0A800",
    "9F37": "0xDEADBEEF",
    "9F36": "0x001C",
    "95": "0x0000008000",
    "9A": "261121",
    "9C": "00",
    "9F02": "000000002500",
    "5F2A": "364",
    "82": "0x3900",
    "9F1A": "364",
    "57": "4111111111111111=29121010000012345",
    "9F7F": "0x0102",
}
EMV_BYTES = bytes.fromhex(
    "9F26081122334455667788"
    "9F100706010A03A0A800"
    "9F3704DEADBEEF"
    "9F3602001C"
    "95050000008000"
    "9A03261121"
    "9C0100"
    "9F0206000000002500"
    "5F2A020364"
    "82023900"
    "9F1A020364"
    "57114111111111111111D29121010000012345"
    "9F7F020102"
)


class Raw(NamedTuple):
    """A value whose bytes are given outright, its length prefix left out."""

    value: Any
    content: bytes
    length: int
    digits: int


class Wire(NamedTuple):
    """How one dialect writes: MTI, bitmap, a value by its kind, a length."""

    mti: Callable[[str], bytes]
    bitmap: Callable[[bytes], bytes]
    value: Callable[[str, str | bytes], bytes]
    length: Callable[[int, int], bytes]


def ascii_value(kind: str, value: str | bytes) -> bytes:
    text = value.hex().upper() if isinstance(value, bytes) else value
    return prefixed(kind, len(value), text.encode("ascii"), ascii_length)


def ascii_length(number: int, digits: int) -> bytes:
    return str(number).zfill(digits).encode("ascii")


def ebcdic_value(kind: str, value: str | bytes) -> bytes:
    content = value if isinstance(value, bytes) else value.encode("cp500")
    return prefixed(kind, len(value), content, ebcdic_length)


def ebcdic_length(number: int, digits: int) -> bytes:
    return str(number).zfill(digits).encode("cp500")


def bcd_value(kind: str, value: str | bytes) -> bytes:
    return packed(kind, value, card_pad="left")


def pos_value(kind: str, value: str | bytes) -> bytes:
    return packed(kind, value, card_pad="right")


def packed(kind: str, value: str | bytes, card_pad: str) -> bytes:
    if isinstance(value, bytes):
        content = value
    elif kind[0] == "n":
        odd = len(value) % 2
        is_card = kind == "n2" and len(value) > 12
        digits = value + "F" * odd if is_card and card_pad == "right" else "0" * odd + value
        content = bytes.fromhex(digits)
    elif kind[0] == "z":
        content = bytes.fromhex(value.replace("=", "D") + "F" * (len(value) % 2))
    elif kind[0] == "x":
        content = value[0].encode("ascii") + bytes.fromhex("0" * (len(value[1:]) % 2) + value[1:])
    else:
        content = value.encode("ascii")
    return prefixed(kind, len(value), content, bcd_length)


def bcd_length(number: int, digits: int) -> bytes:
    return bytes.fromhex(str(number).zfill(digits + digits % 2))


def prefixed(kind: str, count: int, content: bytes, length: Callable[[int, int], bytes]) -> bytes:
    return (length(count, int(kind[1])) if len(kind) > 1 else b"") + content


ASCII = Wire(
    lambda mti: mti.encode("ascii"),
    lambda bits: bits.hex().upper().encode("ascii"),
    ascii_value,
    ascii_length,
)
BCD = Wire(bytes.fromhex, bytes, bcd_value, bcd_length)
POS = Wire(bytes.fromhex, bytes, pos_value, bcd_length)
EBCDIC = Wire(lambda mti: mti.encode("cp500"), bytes, ebcdic_value, ebcdic_length)


def bitmap(numbers: list[int]) -> bytes:
    bits = ["0"] * (128 if max(numbers) > 64 else 64)
    for number in numbers:
        bits[number - 1] = "1"
    if len(bits) == 128:
        bits[0] = "1"
    return bytes(int("".join(bits[at : at + 8]), 2) for at in range(0, len(bits), 8))


def built(
    wire: Wire, kinds: Mapping[int, str], name: str, mti: str, fields: Mapping[int, Any]
) -> dict[str, Any]:
    data = wire.mti(mti) + wire.bitmap(bitmap(sorted(fields)))
    shown: dict[str, Any] = {}
    for number in sorted(fields):
        value = fields[number]
        if isinstance(value, Raw):
            data += (wire.length(value.length, value.digits) if value.digits else b"") + value.content
            shown[str(number)] = value.value
        else:
            data += wire.value(kinds[number], value)
            shown[str(number)] = "0x" + value.hex().upper() if isinstance(value, bytes) else value
    return {"name": name, "mti": mti, "hex": data.hex().upper(), "fields": shown}


STANDING = {41: "10000001", 42: "100000000000001"}


def iso87(wire: Wire, icc: Raw) -> list[dict[str, Any]]:
    rows: list[tuple[str, str, dict[int, Any]]] = [
        ("sign-on", "0800", {7: "1121171512", 11: "000001", 41: "10000001", 70: "001"}),
        (
            "sign-on answer",
            "0810",
            {7: "1121171512", 11: "000001", 39: "00", 41: "10000001", 70: "001"},
        ),
        (
            "purchase, chip, PIN, MAC",
            "0200",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                7: "1121171513",
                11: "000002",
                12: "204513",
                13: "1121",
                14: "2912",
                18: "5411",
                22: "051",
                24: "003",
                25: "00",
                28: "C00000050",
                32: "12345678901",
                35: TRACK,
                **STANDING,
                43: "Vafa Shop, Valiasr 1    Tehran        IR",
                49: "364",
                52: PIN_BLOCK,
                55: icc,
                64: MAC,
            },
        ),
        (
            "purchase answer",
            "0210",
            {
                3: "000000",
                4: "000000002500",
                7: "1121171513",
                11: "000002",
                37: "632620000002",
                38: "A12345",
                39: "00",
                **STANDING,
                49: "364",
                64: MAC,
            },
        ),
        (
            "balance, typed card number of 19 digits",
            "0100",
            {
                2: "6304000000000000003",
                3: "300000",
                11: "000003",
                14: "2912",
                22: "012",
                25: "00",
                **STANDING,
            },
        ),
        (
            "balance answer",
            "0110",
            {3: "300000", 11: "000003", 39: "00", 41: "10000001", 54: "0001364C000000123400"},
        ),
        (
            "reversal, secondary bitmap",
            "0420",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                7: "1121171520",
                11: "000004",
                32: "12345678901",
                39: "68",
                **STANDING,
                48: "reason=timeout",
                49: "364",
                90: "0200" + "000002" + "1121171513" + "12345678901" + "00000000000",
                128: MAC,
            },
        ),
        (
            "reconciliation",
            "0500",
            {7: "1121203000", 11: "000005", 49: "364", 97: "D0000000000123456", 100: "987654", 102: "IR-1"},
        ),
    ]
    return [built(wire, KINDS_87, *row) for row in rows]


def amounts(wire: Wire, exponent: str) -> Raw:
    """DE 54: ledger and available balance."""
    groups = []
    text = ""
    for kind, sign in (("01", "C"), ("02", "D")):
        parts = ["00", kind, "364", *([exponent] if exponent else []), sign + "000000123400"]
        groups.append(parts)
        text += "".join(parts)
    shown = {
        str(number): {str(place): part for place, part in enumerate(parts, start=1)}
        for number, parts in enumerate(groups, start=1)
    }
    is_ebcdic = wire is EBCDIC
    return Raw(shown, text.encode("cp500" if is_ebcdic else "ascii"), len(text), 3)


def iso93(wire: Wire, icc: Raw) -> list[dict[str, Any]]:
    rows: list[tuple[str, str, dict[int, Any]]] = [
        ("sign-on", "1804", {7: "1121171512", 11: "000001", 12: "261121204512", 24: "801", 41: "10000001"}),
        ("sign-on answer", "1814", {11: "000001", 12: "261121204512", 24: "801", 39: "800", 41: "10000001"}),
        (
            "purchase, chip, PIN, MAC",
            "1200",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                7: "1121171513",
                11: "000002",
                12: "261121204513",
                14: "2912",
                22: "510101513344",
                24: "200",
                26: "5411",
                32: "12345678901",
                35: TRACK,
                **STANDING,
                43: r"Vafa Shop\Valiasr 1\Tehran\1966\IR",
                49: "364",
                52: PIN_BLOCK,
                53: bytes.fromhex("0102030405060708"),
                55: icc,
                64: MAC,
            },
        ),
        (
            "purchase answer",
            "1210",
            {
                3: "000000",
                4: "000000002500",
                11: "000002",
                12: "261121204513",
                37: "632620000002",
                38: "A12345",
                39: "000",
                **STANDING,
                49: "364",
                64: MAC,
            },
        ),
        (
            "balance, card number of 13 digits",
            "1100",
            {
                2: "4222222222222",
                3: "300000",
                11: "000003",
                12: "261121204514",
                22: "010101613344",
                **STANDING,
            },
        ),
        (
            "balance answer",
            "1110",
            {3: "300000", 11: "000003", 12: "261121204514", 39: "000", 54: amounts(wire, "")},
        ),
        (
            "reversal, secondary bitmap",
            "1420",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                11: "000004",
                12: "261121204513",
                23: "001",
                24: "400",
                25: "4021",
                30: "000000002500" + "000000000000",
                **STANDING,
                49: "364",
                56: "1200" + "000002" + "261121204513" + "11" + "12345678901",
                100: "987654",
                128: MAC,
            },
        ),
        (
            "key change",
            "1820",
            {11: "000005", 12: "261121204515", 24: "811", 96: bytes.fromhex("00FF" * 24), 100: "987654"},
        ),
    ]
    return [built(wire, KINDS_93, *row) for row in rows]


def amount2003(value: str) -> Raw:
    digits = "364" + "0" + value
    return Raw({"1": "364", "2": "0", "3": value}, digits.encode("ascii"), 16, 0)


def iso2003() -> list[dict[str, Any]]:
    icc = Raw(EMV, EMV_BYTES.hex().upper().encode("ascii"), len(EMV_BYTES), 4)
    standing = {41: "10000001        ", 42: "100000000000001"}
    rows: list[tuple[str, str, dict[int, Any]]] = [
        ("sign-on", "2800", {7: "1121171512", 11: "000000000001", 12: "20261121204512", 24: "801"}),
        ("sign-on answer", "2810", {11: "000000000001", 12: "20261121204512", 24: "801", 39: "8000"}),
        (
            "purchase, chip",
            "2200",
            {
                2: CARD,
                3: "000060",
                4: amount2003("000000002500"),
                7: "1121171513",
                11: "000000000002",
                12: "20261121204513",
                22: "51010151334400AB",
                24: "200",
                26: "5411",
                32: "12345678901",
                35: TRACK,
                **standing,
                48: "points asked for",
                52: PIN_BLOCK,
                55: icc,
                64: MAC,
            },
        ),
        (
            "purchase answer with balances",
            "2210",
            {
                3: "000060",
                4: amount2003("000000002500"),
                11: "000000000002",
                12: "20261121204513",
                37: "632620000002",
                38: "A12345",
                39: "0000",
                54: amounts(ASCII, "0"),
                64: MAC,
            },
        ),
        (
            "reversal, secondary bitmap",
            "2420",
            {
                2: CARD,
                3: "000060",
                4: amount2003("000000002500"),
                11: "000000000003",
                12: "20261121204513",
                24: "400",
                25: "4021",
                **standing,
                56: "2200" + "000000000002" + "20261121204513" + "0712345",
                100: "987654",
                128: MAC,
            },
        ),
        (
            "reconciliation",
            "2520",
            {
                11: "000000000004",
                12: "20261121230000",
                24: "500",
                72: b"closing",
                75: "0000000000123456" + "0000000002" + "0" * 64,
                97: "C00000000000000123456",
            },
        ),
    ]
    return [built(ASCII, KINDS_2003, *row) for row in rows]


def pos_host() -> list[dict[str, Any]]:
    icc = Raw(EMV, EMV_BYTES, len(EMV_BYTES), 3)
    tables = Raw(
        {"22": "WELCOME", "PB": "000000012500", "ZZ": "0x00FF"},
        b"\x00\x09"
        + b"22WELCOME"
        + b"\x00\x08"
        + b"PB"
        + bytes.fromhex("000000012500")
        + b"\x00\x04ZZ\x00\xff",
        9 + 2 + 8 + 2 + 4 + 2,
        3,
    )
    totals = Raw({"01": "0x" + b"000001000000002500".hex().upper()}, b"\x00\x2001000001000000002500", 22, 3)
    rows: list[tuple[str, str, dict[int, Any]]] = [
        ("logon", "0800", {3: "920000", 11: "000001", 24: "003", 41: "10000001", 42: "100000000000001"}),
        (
            "logon answer",
            "0810",
            {3: "920000", 11: "000001", 12: "204512", 13: "1121", 24: "003", 39: "00", 41: "10000001"},
        ),
        (
            "sale, swiped",
            "0200",
            {
                3: "000000",
                4: "000000002500",
                11: "000002",
                22: "021",
                24: "003",
                25: "00",
                35: TRACK,
                **STANDING,
                62: "000001",
            },
        ),
        (
            "sale, chip, MAC",
            "0200",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                11: "000003",
                14: "2912",
                22: "051",
                24: "003",
                25: "00",
                **STANDING,
                52: PIN_BLOCK,
                55: icc,
                62: "000002",
                64: MAC,
            },
        ),
        (
            "sale answer with tables",
            "0210",
            {
                3: "000000",
                4: "000000002500",
                11: "000003",
                12: "204513",
                13: "1121",
                24: "003",
                37: "632620000003",
                38: "A12345",
                39: "00",
                41: "10000001",
                63: tables,
            },
        ),
        (
            "sale, typed card number of 19 digits",
            "0200",
            {
                2: "6304000000000000003",
                3: "006000",
                4: "000000010000",
                11: "000004",
                14: "2912",
                22: "012",
                24: "003",
                25: "00",
                **STANDING,
                62: "000003",
            },
        ),
        (
            "reversal",
            "0400",
            {
                2: CARD,
                3: "000000",
                4: "000000002500",
                11: "000003",
                22: "051",
                24: "003",
                25: "00",
                **STANDING,
                62: "000002",
            },
        ),
        (
            "settlement",
            "0500",
            {3: "920000", 11: "000005", 24: "003", **STANDING, 60: "000001", 63: totals},
        ),
        ("settlement answer", "0510", {3: "920000", 11: "000005", 24: "003", 39: "95", 41: "10000001"}),
    ]
    return [built(POS, KINDS_87, *row) for row in rows]


def vafa() -> list[dict[str, Any]]:
    return [
        {"name": one.name, "mti": one.mti, "hex": one.hex.upper(), "fields": upper(one.fields)}
        for one in oracle.SAMPLES
    ]


def upper(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: upper(inner) for key, inner in value.items()}
    return "0x" + value[2:].upper() if value.startswith("0x") else value


EMV_HEX = EMV_BYTES.hex().upper().encode("ascii")
DIALECTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "vafa": vafa,
    "iso87-ascii": lambda: iso87(ASCII, Raw(EMV, EMV_HEX, len(EMV_HEX), 3)),
    "iso87-bcd": lambda: iso87(BCD, Raw(EMV, EMV_BYTES, len(EMV_BYTES), 3)),
    "iso93-ascii": lambda: iso93(ASCII, Raw(EMV, EMV_HEX, len(EMV_BYTES), 3)),
    "iso93-bcd": lambda: iso93(BCD, Raw(EMV, EMV_BYTES, len(EMV_BYTES), 3)),
    "iso2003-ascii": iso2003,
    "ebcdic93": lambda: iso93(EBCDIC, Raw(EMV, EMV_BYTES, len(EMV_BYTES), 3)),
    "pos-host-1987": pos_host,
}


def rendered(dialect: str) -> str:
    """The text of one dialect's samples."""
    lines = [f"# Sample messages of {dialect}, bytes and values. Made by tests/iso8583/sample_oracle.py.\n"]
    for entry in DIALECTS[dialect]():
        lines += ["[[sample]]", f"name = {quoted(entry['name'])}", f'mti = "{entry["mti"]}"']
        lines += [f'hex = "{entry["hex"]}"', "[sample.fields]"]
        lines += [f"{key} = {inline(value)}" for key, value in entry["fields"].items()]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{quoted(key)} = {inline(inner)}" for key, inner in value.items()) + " }"
            if value
            else "{}"
        )
    return quoted(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    SAMPLES.mkdir(exist_ok=True)
    for name in DIALECTS:
        (SAMPLES / f"{name}.toml").write_text(rendered(name), encoding="utf-8")
