"""Messages of `everything.toml`, the dialect of every form: what its generated things are tried with."""

from __future__ import annotations

from pathlib import Path

from switch.iso8583 import Dialect, Message, Value

# The least that a dialect of one's own may be.
MINE = """\
[dialect]
name = "mine"
version = 1
extends = "iso87-bcd"
description = { en = "Mine", fa = "من" }
"""

EVERYTHING = Dialect.load(Path(__file__).with_name("everything.toml"))

_HEADER: dict[str, Value] = {"1": "ISO", "2": "87"}

MESSAGES: tuple[dict[str, Value], ...] = (
    {
        "2": "4111111111111111",
        "3": {"1": "00", "2": "1020"},
        "4": "12345",
        "5": "C00001234",
        "6": "D00001234",
        "7": "C1234567",
        "8": "D00001234",
        "9": "Cafe bar",
        "10": "42",
        "11": bytes.fromhex("00FFA5"),
        "12": bytes.fromhex("0102AB"),
        "13": "1234567",
        "14": "counts itself",
        "15": "0AF19",
        "16": bytes.fromhex("010203"),
        "17": "nibble",
        "35": "5413330089020011=2512101",
        "36": "5413330089020011=2512101",
        "45": "%B5413330089020011^DOE/JOHN^2512101?",
        "46": "989121234567",
        "48": {"AB": "hello", "or": "0001", "AB#2": "again", "ZZ": b"\x01\x02"},
        "54": {"1": {"1": "01", "2": "C0000001"}, "2": {"1": "02", "2": "D0000002"}},
        "55": {
            "5A": "5413330089020011",
            "9F36": b"\x00\x07",
            "00": b"\x00\x00",
            "70": {"95": bytes(5), "5F34": b"\x01"},
            "9F36#2": b"\x00\x08",
        },
        "60": {"01": "1234", "02": "part", "03": b"\x00\x01\x02"},
        "62": {"017": "123456", "999": b"\xfe"},
        "63": {"1": "123", "9": "nine"},
        "120": "card 4111 1111 1111 1111 and 4111-1111-1111-1112",
        "121": bytes.fromhex("541333008902001100"),
        "130": "3x",
    },
    {"10": "0", "13": "12345678", "15": "0A", "35": "5413330089020011=25121010", "60": {"01": "1234"}},
    {"9": "", "14": "", "48": {}, "55": {}, "62": {}, "63": {"9": ""}, "120": "", "121": b""},
    {"60": {"01": "1234", "02": "x", "03": b""}, "54": {}},
)
DATA = tuple(EVERYTHING.encode(Message("0200", {"header": _HEADER, **fields})) for fields in MESSAGES)
