"""The message codec beside its peers: one 199-byte 0200, all contenders in one process, slice by slice.

    python -m benchmarks.codec [--slices 60]

Every contender makes the same bytes and reads the same values before anything is measured. A slice is some
milliseconds of one contender; contenders take turns, so that a busy machine troubles all of them alike, and
a ratio compares the medians of one run. Time is the thread's processor time: waiting for a processor counts
for nobody. Ours validate everything; pyiso8583 and construct check less.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import construct  # type: ignore[import-untyped]
import iso8583 as pyiso8583

from benchmarks.slices import Contender, asked_for, measure
from switch.iso8583 import Dialect, Message, load, samples

SLICES = 60
WARM_UP_CALLS = 1000  # more than a shape needs to be compiled

DIALECT = Path(__file__).parent / "reference.toml"

PRIVATE_DATA = bytes.fromhex(
    "0106000000000250" + "0206000000001000" + "030449524E31" + "0410000102030405060708090A0B0C0D0E0F"
)
CHIP_DATA = bytes.fromhex(
    "9F26081122334455667788" + "9F270180" + "9F100706010A03A0A800" + "9F3704A1B2C3D4" + "9F36020001"
    "950500000080009A032611219C01005F2A020364"
)
FIELDS: Mapping[str, str | bytes] = {
    "2": "9364001234567890",
    "3": "210060",
    "4": "000002500000",
    "7": "1121171512",
    "11": "000004",
    "12": "204514",
    "13": "1121",
    "22": "021",
    "24": "003",
    "25": "00",
    "35": "9364001234567890=291210100001234567",
    "41": "10000001",
    "42": "100000000000001",
    "48": PRIVATE_DATA,
    "49": "364",
    "55": CHIP_DATA,
    "64": bytes.fromhex("A1B2C3D4E5F60718"),
}
MESSAGE = Message("0200", FIELDS)
SIZE = 199
PEEKED = ("mti", "2", "3", "4", "11", "41", "42")


# ---------------------------------------------------------------- pyiso8583


def _peer_field(encoding: str, length_bytes: int, longest: int, **more: str) -> dict[str, Any]:
    return {
        "data_enc": encoding,
        "len_enc": "bcd",
        "len_type": length_bytes,
        "max_len": longest,
        "desc": "",
        **more,
    }


_ODD_RIGHT = {"len_count": "nibbles", "right_pad": "F"}
_ODD_LEFT = {"len_count": "nibbles", "left_pad": "0"}
PEER_SPECIFICATION: dict[str, dict[str, Any]] = {
    "h": _peer_field("b", 0, 0),
    "t": _peer_field("b", 0, 2),
    "p": _peer_field("b", 0, 8),
    "1": _peer_field("b", 0, 8),
    "2": _peer_field("b", 1, 19, **_ODD_RIGHT),
    "3": _peer_field("b", 0, 3),
    "4": _peer_field("b", 0, 6),
    "7": _peer_field("b", 0, 5),
    "11": _peer_field("b", 0, 3),
    "12": _peer_field("b", 0, 3),
    "13": _peer_field("b", 0, 2),
    "22": _peer_field("b", 0, 3, **_ODD_LEFT),
    "24": _peer_field("b", 0, 3, **_ODD_LEFT),
    "25": _peer_field("b", 0, 1),
    "35": _peer_field("b", 1, 37, **_ODD_RIGHT),
    "41": _peer_field("ascii", 0, 8),
    "42": _peer_field("ascii", 0, 15),
    "48": _peer_field("b", 2, 999),
    "49": _peer_field("b", 0, 3, **_ODD_LEFT),
    "55": _peer_field("b", 2, 255),
    "64": _peer_field("b", 0, 8),
}


def peer_document() -> dict[str, str]:
    """The message as pyiso8583 wants it: bytes as hex, the track's separator as D."""
    texts = {key: value if isinstance(value, str) else value.hex().upper() for key, value in FIELDS.items()}
    return {"t": MESSAGE.mti, **texts, "35": texts["35"].replace("=", "D")}


# ---------------------------------------------------------------- construct


class _Nibbles(construct.Adapter):  # type: ignore[misc]
    """Digits of a field, an odd number behind a nibble 0."""

    def __init__(self, digits: int) -> None:
        super().__init__(construct.Bytes((digits + 1) // 2))
        self._digits = digits

    def _decode(self, content: bytes, context: object, path: object) -> str:
        return content.hex()[-self._digits :]

    def _encode(self, value: str, context: object, path: object) -> bytes:
        return bytes.fromhex(value if self._digits % 2 == 0 else "0" + value)


class _Digits(construct.Construct):  # type: ignore[misc]
    """Digits behind a BCD count of them, an odd number before a nibble F."""

    def _parse(self, stream: Any, context: object, path: object) -> str:
        count = int(stream.read(1).hex())
        return str(stream.read((count + 1) // 2).hex()[:count])

    def _build(self, value: str, stream: Any, context: object, path: object) -> str:
        digits = value if len(value) % 2 == 0 else value + "f"
        stream.write(bytes.fromhex(f"{len(value):02}{digits}"))
        return value


class _Count(construct.Adapter):  # type: ignore[misc]
    def _decode(self, content: bytes, context: object, path: object) -> int:
        return int(content.hex())

    def _encode(self, value: int, context: object, path: object) -> bytes:
        return bytes.fromhex(f"{value:04}")


_COUNTED_BYTES = construct.Prefixed(_Count(construct.Bytes(2)), construct.GreedyBytes)
LAYOUT = construct.Struct(
    "mti" / _Nibbles(4),
    "bitmap" / construct.Bytes(8),
    "2" / _Digits(),
    "3" / _Nibbles(6),
    "4" / _Nibbles(12),
    "7" / _Nibbles(10),
    "11" / _Nibbles(6),
    "12" / _Nibbles(6),
    "13" / _Nibbles(4),
    "22" / _Nibbles(3),
    "24" / _Nibbles(3),
    "25" / _Nibbles(2),
    "35" / _Digits(),
    "41" / construct.PaddedString(8, "ascii"),
    "42" / construct.PaddedString(15, "ascii"),
    "48" / _COUNTED_BYTES,
    "49" / _Nibbles(3),
    "55" / _COUNTED_BYTES,
    "64" / construct.Bytes(8),
)


# ---------------------------------------------------------------- measuring


def contenders() -> tuple[bytes, list[Contender]]:
    """Everything that is measured, after all have shown that they agree."""
    dialect = Dialect.load(DIALECT)
    data = dialect.encode(MESSAGE)
    assert len(data) == SIZE, f"the reference message has {SIZE} bytes, not {len(data)}"
    document = peer_document()
    assert bytes(pyiso8583.encode(dict(document), PEER_SPECIFICATION)[0]) == data
    decoded = pyiso8583.decode(data, PEER_SPECIFICATION)[0]
    assert {**decoded, "p": ""} == {**document, "p": ""}
    laid_out = {"mti": MESSAGE.mti, "bitmap": data[2:10], **FIELDS, "35": document["35"]}
    assert LAYOUT.build(laid_out) == data
    for key, value in LAYOUT.parse(data).items():
        assert key == "_io" or value == laid_out[key] or key == "35", key
    for _ in range(WARM_UP_CALLS):
        assert dialect.encode(MESSAGE) == data
        assert dialect.decode(data) == MESSAGE
        assert dialect.walk(data) == SIZE
        peeked = dialect.peek(data, PEEKED)
    assert peeked == {"mti": MESSAGE.mti, **{key: FIELDS[key] for key in PEEKED[1:]}}
    # The same fields in other lengths than those the shape was made with: all prefixes and pads differ.
    other = dialect.encode(
        Message("0200", {**FIELDS, "2": "9364001234567890123", "35": "93640012345678901=2912"})
    )
    assert dialect.decode(other) == Dialect.decode(dialect, other)
    return data, [
        ("encode", "pyiso8583", lambda: pyiso8583.encode(document, PEER_SPECIFICATION)),
        ("encode", "vafa", lambda: dialect.encode(MESSAGE)),
        ("encode", "construct", lambda: LAYOUT.build(laid_out)),
        ("decode", "pyiso8583", lambda: pyiso8583.decode(data, PEER_SPECIFICATION)),
        ("decode", "vafa", lambda: dialect.decode(data)),
        ("decode", "construct", lambda: LAYOUT.parse(data)),
        ("peek", "vafa", lambda: dialect.peek(data, PEEKED)),
        ("walk", "vafa", lambda: dialect.walk(data)),
        ("decode, other", "vafa", lambda: dialect.decode(other)),
        ("encode by fields", "vafa", lambda: Dialect.encode(dialect, MESSAGE)),
        ("decode by fields", "vafa", lambda: Dialect.decode(dialect, data)),
    ]


def switch_calls() -> list[Contender]:
    """What the switch does with one request of its own terminals: an earn and its answer."""
    dialect = load("vafa")
    data = next(entry.data for entry in samples("vafa") if entry.data[:2] == b"\x02\x00")
    request = dialect.decode(data)
    answer = Message(
        "0210",
        {
            **{name: request.fields[name] for name in ("11", "12", "41")},
            "37": "0A1B2C3D4E60",
            "39": "00",
            "48": {"01": "000000000250", "02": "000000000500", "04": "0101", "05": "000000010000"},
        },
    )
    calls: list[Contender] = [
        ("decode", "request", lambda: dialect.decode(data)),
        ("split_mac", "request", lambda: dialect.split_mac(data)),
        ("name_of", "request", lambda: dialect.name_of(request)),
        ("check", "request", lambda: dialect.check(request)),
        ("encode_body", "answer", lambda: dialect.encode_body(answer)),
        ("decode by fields", "request", lambda: Dialect.decode(dialect, data)),
        ("check by rules", "request", lambda: Dialect.check(dialect, request)),
        ("encode by fields", "answer", lambda: Dialect.encode_body(dialect, answer)),
    ]
    for _what, _on, call in calls:
        for _ in range(WARM_UP_CALLS):
            call()
    return calls


def main() -> None:
    slices = asked_for(__doc__, SLICES)
    data, calls = contenders()
    times = measure(calls, slices)
    peer = {what: times[what, "pyiso8583"] for what in ("encode", "decode")}
    # what reads is compared with the peer's decode: it has no other way to read
    for what, against in (("encode", "encode"), ("decode", "decode"), ("peek", "decode"), ("walk", "decode")):
        print(f"{what} {peer[against] / times[what, 'vafa']:.1f}x pyiso8583")
    print(f"\n{len(data)}-byte 0200, {len(FIELDS)} fields, {len(PEEKED)} peeked, medians of {slices} slices:")
    for (what, who), microseconds in times.items():
        against = "encode" if what.startswith("encode") else "decode"
        print(f"  {what:<16} {who:<10} {microseconds:7.2f} us  {peer[against] / microseconds:6.2f}x")
    print("\nthe switch's own messages, an earn and its answer with four tags:")
    for (what, on), microseconds in measure(switch_calls(), slices).items():
        print(f"  {what:<16} {on:<10} {microseconds:7.2f} us")


if __name__ == "__main__":
    main()
