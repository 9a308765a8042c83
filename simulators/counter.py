"""What stands on the counter beside reader, keypad and printer, and a customer's hands there: a card is laid
on the contactless reader, put into the chip reader, a code is held under the scanner.

Each device can be told by its control socket. Requests hold card numbers and keys of made-up cards; answers
and errors never do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Protocol

from simulators.control import JsonObject
from simulators.readers.ccid import CcidFaults, CcidReader
from simulators.readers.chip import ChipCard
from simulators.readers.ntag424 import Ntag424, TapKeys
from simulators.readers.pn532 import ChipFaults, MifareClassic, Pn532Reader, TapCard
from simulators.readers.scanner import MODULES, ScannerFaults, ScannerReader

TAP_MS: Final = 1500  # a hand stays so long; several times what a card needs
AWAY_MS: Final = 800  # from one card to the next; a reader looks a few times meanwhile
HELD_MS: Final = 5000  # before a scanner: more than it takes to start
LOOKED_AT_MS: Final = 50
LONGEST_HOLD_MS: Final = 60_000


class CounterDevice(Protocol):
    """A device at its pty that takes requests."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    async def control(self, request: JsonObject) -> JsonObject: ...


class TapPlace:
    """The contactless reader. Requests: tap (lay a card on it for hold_ms, then take it away), lay, lift,
    wrong."""

    def __init__(self, link: Path, kind: str) -> None:
        self.reader = Pn532Reader(link)
        self.open, self.close = self.reader.open, self.reader.close

    async def tap(self, card: TapCard, hold_ms: int = TAP_MS) -> None:
        """Lay a card on it and take it away again; the hand is free for the next one a moment later."""
        self.reader.chip.place(card)
        await asyncio.sleep(hold_ms / 1000)
        self.reader.chip.take_away()
        await asyncio.sleep(AWAY_MS / 1000)

    async def control(self, request: JsonObject) -> JsonObject:
        match request.get("do"):
            case "tap":
                hold_ms = _number(request, "hold_ms", TAP_MS, LONGEST_HOLD_MS)
                card = tap_card(request)
                await self.tap(card, hold_ms)
                return {"counter": getattr(card, "counter", 0)}
            case "lay":
                self.reader.chip.place(tap_card(request))
                return {}
            case "lift":
                self.reader.chip.take_away()
                return {}
            case "wrong":
                self.reader.chip.wrong(ChipFaults(**_faults(request, ChipFaults)))
                return {}
        raise ValueError("unknown request; known: tap, lay, lift, wrong")


class ChipPlace:
    """The contact card reader. Requests: insert, take_out, wrong."""

    def __init__(self, link: Path, kind: str) -> None:
        self.reader = CcidReader(link)
        self.open, self.close = self.reader.open, self.reader.close

    async def control(self, request: JsonObject) -> JsonObject:
        match request.get("do"):
            case "insert":
                self.reader.put_in(chip_card(request))
                return {}
            case "take_out":
                card = self.reader.reader.card
                self.reader.take_out()
                return {"counter": getattr(card, "counter", 0)}
            case "wrong":
                self.reader.reader.wrong(CcidFaults(**_faults(request, CcidFaults)))
                return {}
        raise ValueError("unknown request; known: insert, take_out, wrong")


class ScannerPlace:
    """The scanner. Requests: scan, wrong."""

    def __init__(self, link: Path, kind: str) -> None:
        self.reader = ScannerReader(link, MODULES[kind]())
        self.open, self.close = self.reader.open, self.reader.close

    async def scan(self, text: bytes, hold_ms: int = HELD_MS) -> bool:
        """Hold a code before it until it was read, or the arm gets tired; whether it was."""
        for _ in range(0, hold_ms, LOOKED_AT_MS):
            if self.reader.module.is_reading:
                break
            await asyncio.sleep(LOOKED_AT_MS / 1000)
        is_reading = self.reader.module.is_reading
        self.reader.show(text)
        return is_reading

    async def control(self, request: JsonObject) -> JsonObject:
        match request.get("do"):
            case "scan":
                text = request.get("text")
                if not isinstance(text, str) or not text.isascii() or not text:
                    raise ValueError("text must be ASCII")
                hold_ms = _number(request, "hold_ms", HELD_MS, LONGEST_HOLD_MS)
                return {"read": await self.scan(text.encode("ascii"), hold_ms)}
            case "wrong":
                self.reader.module.wrong(ScannerFaults(**_faults(request, ScannerFaults)))
                return {}
        raise ValueError("unknown request; known: scan, wrong")


PLACES: Final[Mapping[str, Callable[[Path, str], CounterDevice]]] = {
    "tap": TapPlace,
    "chip": ChipPlace,
    "scanner": ScannerPlace,
}


def tap_card(request: JsonObject) -> TapCard:
    """A card with "uid": of 7 bytes with "number", "meta" and "file" (keys) and "counter"; of 4 bytes alone:
    a card that has nothing but its UID."""
    uid = _bytes(request, "uid", 4, 7)
    if len(uid) == 4:
        return MifareClassic(uid)
    number = request.get("number")
    if not (isinstance(number, str) and len(number) == 16 and number.isascii() and number.isdigit()):
        raise ValueError("number must be 16 digits")
    keys = TapKeys(_bytes(request, "meta", 16), _bytes(request, "file", 16))
    return Ntag424(uid, keys, number, counter=_number(request, "counter", 0, (1 << 24) - 2))


def chip_card(request: JsonObject) -> ChipCard:
    """A chip card with "identifier", "track_2", "key", "proof_key", "counter", maybe "pin"."""
    track_2, pin = request.get("track_2"), request.get("pin")
    if not isinstance(track_2, str) or not isinstance(pin, str | None):
        raise ValueError("track_2 must be text, pin text or nothing")
    return ChipCard(
        _bytes(request, "identifier", 7),
        track_2,
        _bytes(request, "key", 16),
        pin,
        proof_key=_bytes(request, "proof_key", 16),
        counter=_number(request, "counter", 0, (1 << 32) - 2),
    )


def _bytes(request: JsonObject, name: str, *lengths: int) -> bytes:
    try:
        value = bytes.fromhex(str(request.get(name)))
    except ValueError:
        value = b""
    if len(value) not in lengths:
        raise ValueError(f"{name} must be {' or '.join(str(2 * length) for length in lengths)} hex digits")
    return value


def _number(request: JsonObject, name: str, default: int, most: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{name} must be a number from 0 to {most}")
    return value


def _faults(request: JsonObject, kind: type[Any]) -> dict[str, int]:
    known = [field.name for field in fields(kind)]
    named = {name: value for name, value in request.items() if name != "do"}
    for name, value in named.items():
        if name not in known:
            raise ValueError(f"unknown fault {name[:20]!r}; known: {', '.join(known)}")
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be how often")
    return {name: int(str(value)) for name, value in named.items()}
