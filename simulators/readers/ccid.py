"""A contact card reader on a serial line (GemPC Twin), and the card's own side of T=0 and T=1.

CCID messages in frames, echoed, answered; a card that comes or goes is told. `SerialCcid` is pure:
bytes in, bytes out; `CcidReader` plays it on a pty. It wrongs its host on demand, by `CcidFaults`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulators.readers.chip import ChipCard, atr
from simulators.serial_port import SerialPort

SYNC, ACK, NAK = 0x03, 0x06, 0x15
NAK_FRAME: Final = bytes((SYNC, NAK, SYNC ^ NAK))
HEAD_BYTES: Final = 10
FIRMWARE: Final = b"GemTwin-V2.00-VAFA SIMULATED"
_CARD_CAME, _CARD_WENT = b"\x50\x03", b"\x50\x02"
_NO_CARD, _MUTE, _UNKNOWN = 0xFB, 0xFE, 0x00
_SERIAL_BUFFER: Final = 64  # bytes of a T=1 block that the card itself sends, when nobody says otherwise


@dataclass(frozen=True, slots=True)
class CcidFaults:
    """How it goes wrong; counts go down, one with each time.

    silent: no word at all; damaged: answers with a wrong check byte; naks: frames that it didn't hear;
    mute: the card says nothing; slow: asks for time before it answers; block_damage: T=1 blocks of the
    card that are spoilt; waits: the card asks for time by itself (T=1).
    """

    silent: int = 0
    damaged: int = 0
    naks: int = 0
    mute: int = 0
    slow: int = 0
    block_damage: int = 0
    waits: int = 0


class SerialCcid:
    """The reader. protocol: what cards in it speak; field: bytes of a T=1 block that they take and
    send."""

    def __init__(self, protocol: int = 1, field: int = _SERIAL_BUFFER) -> None:
        self.card: ChipCard | None = None
        self._protocol = protocol
        self._limit = field
        self._is_on = False
        self._received = bytearray()
        self._faults: dict[str, int] = {}
        self._parameters = b""

    def wrong(self, faults: CcidFaults) -> None:
        """From now on, each as often as it says."""
        self._faults = {name: getattr(faults, name) for name in CcidFaults.__slots__}

    def put_in(self, card: ChipCard) -> bytes:
        """A card is put in; what the reader says."""
        self.card = card
        self._is_on = False
        return _CARD_CAME

    def take_out(self) -> bytes:
        """The card is taken out; what the reader says."""
        self.card = None
        self._is_on = False
        return _CARD_WENT

    def feed(self, data: bytes) -> bytes:
        """Bytes of the host; what it says to them."""
        self._received += data
        return b"".join(self._said())

    def _said(self) -> Iterator[bytes]:
        received = self._received
        while len(received) >= 2 + HEAD_BYTES + 1:
            if received[0] != SYNC or received[1] != ACK:
                del received[:1]
                continue
            end = 2 + HEAD_BYTES + int.from_bytes(received[3:7], "little")
            if end > 400:
                del received[:1]
                continue
            if len(received) < end + 1:
                return
            frame = bytes(received[: end + 1])
            del received[: end + 1]
            if self._is_wrong("silent"):
                continue
            if _check(frame) or self._is_wrong("naks"):
                yield NAK_FRAME
                continue
            yield frame  # the echo
            while self._is_wrong("slow"):
                yield b"\xc0"
            answer = bytearray(framed(self._answer(frame[2:-1])))
            if self._is_wrong("damaged"):
                answer[-1] ^= 0x21
            yield bytes(answer)

    def _is_wrong(self, fault: str) -> bool:
        left = self._faults.get(fault, 0)
        if left:
            self._faults[fault] = left - 1
        return left > 0

    # ---------------------------------------------------------------- CCID messages (USB CCID 1.1, clause 6)

    def _answer(self, message: bytes) -> bytes:
        kind, slot, sequence, data = message[0], message[5], message[6], message[10:]
        status = 0x02 if self.card is None else 0x00 if self._is_on else 0x01

        def answer(code: int, told: bytes = b"", failure: int | None = None, last: int = 0) -> bytes:
            flags = status if failure is None else status | 0x40
            return (
                bytes((code,))
                + len(told).to_bytes(4, "little")
                + bytes((slot, sequence, flags, failure or 0, last))
                + told
            )

        if kind == 0x65:
            return answer(0x81)
        if kind == 0x6B:  # escape: whose firmware, or a mode of the reader
            return answer(0x83, FIRMWARE if data == b"\x02" else b"\x00")
        if kind in (0x61, 0x6C, 0x6D):
            if kind == 0x61:
                self._parameters = data
            return answer(
                0x82, self._parameters or bytes((0x11, 0x10, 0x00, 0x45, 0x00, 0xFE, 0x00)), None, 1
            )
        if kind == 0x63:
            self._is_on, status = False, 0x02 if self.card is None else 0x01
            return answer(0x81)
        if self.card is None:
            return answer(0x80, b"", _NO_CARD)
        if kind == 0x62:
            if self._is_wrong("mute"):
                return answer(0x80, b"", _MUTE)
            self.card.reset()
            self._is_on, status = True, 0x00
            self._blocks = CardBlocks(self.card, self._limit)
            return answer(0x80, atr(self._protocol))
        if kind == 0x6F:
            if not self._is_on or self._is_wrong("mute"):
                return answer(0x80, b"", _MUTE)
            if self._protocol == 0:
                return answer(0x80, self._command(data))
            block = bytearray(self._blocks.said(data, waits=self._is_wrong("waits")))
            if self._is_wrong("block_damage"):
                block[-1] ^= 0x44
            return answer(0x80, bytes(block))
        return answer(0x81, b"", _UNKNOWN)

    _pending = b""

    def _command(self, command: bytes) -> bytes:
        """T=0: what comes back beside a command with data is fetched by GET RESPONSE."""
        assert self.card is not None
        if command[:2] == b"\x00\xc0":
            data, self._pending = self._pending, b""
            return data + b"\x90\x00" if data else b"\x6a\x86"
        has_data = len(command) > 5
        answer = self.card.command(command)
        if has_data and len(answer) > 2 and answer[-2:] == b"\x90\x00":
            self._pending = answer[:-2]
            return bytes((0x61, len(self._pending) & 0xFF))
        return answer


class CardBlocks:
    """The card's side of T=1 (ISO/IEC 7816-3 clause 11)."""

    def __init__(self, card: ChipCard, field: int) -> None:
        self._card = card
        self._field = field
        self._sent = self._expected = 0
        self._command = b""
        self._left = b""
        self._last = b""
        self._waited = b""

    def said(self, block: bytes, *, waits: bool = False) -> bytes:
        """The card's block to the host's."""
        if len(block) < 4 or len(block) != 4 + block[2] or _check(block):
            return self._say(bytes((0x00, 0x81 | self._expected << 4, 0x00)))
        kind, data = block[1], block[3:-1]
        if kind == 0xE3:  # the host grants the time
            return self._say(self._waited)
        if kind == 0xC0:
            self._sent = self._expected = 0
            self._command = self._left = b""
            return self._say(b"\x00\xe0\x00")
        if kind == 0xC1:
            self._field = min(self._field, data[0])
            return self._say(b"\x00\xe1\x01" + data)
        if kind & 0xC0 == 0x80:
            if kind >> 4 & 1 != self._sent or not self._left:
                return self._last  # the block before once more
            return self._piece()
        if kind >> 6 & 1 != self._expected:
            return self._last  # heard already
        self._expected ^= 1
        self._command += data
        if kind & 0x20:
            return self._say(bytes((0x00, 0x80 | self._expected << 4, 0x00)))
        self._left = self._card.command(self._command)
        self._command = b""
        piece = self._piece()
        if not waits:
            return piece
        self._waited = piece[:-1]
        return self._say(b"\x00\xc3\x01\x05")

    def _piece(self) -> bytes:
        piece, self._left = self._left[: self._field], self._left[self._field :]
        kind = self._sent << 6 | (0x20 if self._left else 0)
        self._sent ^= 1
        return self._say(bytes((0x00, kind, len(piece))) + piece)

    def _say(self, block: bytes) -> bytes:
        self._last = block + bytes((_check(block),))
        return self._last


def _check(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def framed(message: bytes) -> bytes:
    """A CCID message as it goes over the line."""
    head = bytes((SYNC, ACK)) + message
    return head + bytes((_check(head),))


class CcidReader:
    """The reader at its pty, linked at `link`."""

    def __init__(self, link: Path, protocol: int = 1) -> None:
        self.reader = SerialCcid(protocol)
        self._port = SerialPort(link, self._received)

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def put_in(self, card: ChipCard) -> None:
        """A card is put in."""
        self._port.write(self.reader.put_in(card))

    def take_out(self) -> None:
        """The card is taken out."""
        self._port.write(self.reader.take_out())

    def _received(self, data: bytes) -> None:
        self._port.write(self.reader.feed(data))
