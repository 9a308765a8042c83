"""A PN532 on a serial line: the chip's frames and commands, and the cards that are laid on it.

NXP UM0701-02. `Pn532Chip` is pure: bytes in, bytes out; `Pn532Reader` plays it on a pty. It wrongs its host
on demand, by `ChipFaults`. It never logs what a card says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from simulators.serial_port import SerialPort

ACK: Final = bytes.fromhex("0000ff00ff00")
NACK: Final = bytes.fromhex("0000ffff0000")
ERROR_FRAME: Final = bytes.fromhex("0000ff01ff7f8100")
FIRMWARE: Final = bytes.fromhex("32010607")  # chip PN532, firmware 1.6, all types
HOST, CHIP = 0xD4, 0xD5
BABBLE: Final = b"Login incorrect\r\n" * 60
LONGEST_BODY: Final = 265  # bytes of a frame's data, TFI with it

_TIMED_OUT, _FRAMING, _AUTHENTICATION, _WRONG_STATE = 0x01, 0x05, 0x14, 0x27
_REGISTERS: Final = 0x10000


class TapCard(Protocol):
    """A card that can be laid on the reader."""

    uid: bytes

    @property
    def sak(self) -> int: ...

    @property
    def atqa(self) -> int: ...

    @property
    def ats(self) -> bytes:
        """Empty for a card that takes no APDUs."""
        ...

    def command(self, apdu: bytes) -> bytes | None:
        """Its answer; None: it says nothing."""
        ...

    def removed(self) -> None:
        """It has left the field."""
        ...


class MifareClassic:
    """A MIFARE Classic 1K as it leaves the factory: block 0 begins with its UID, all keys are FF."""

    sak, atqa, ats = 0x08, 0x0004, b""

    def __init__(self, uid: bytes) -> None:
        assert len(uid) == 4, "a Classic has a UID of 4 bytes"
        self.uid = uid
        self._blocks = {0: uid + bytes((uid[0] ^ uid[1] ^ uid[2] ^ uid[3],)) + bytes(11)}
        self.removed()

    def removed(self) -> None:
        self._open: int | None = None

    def command(self, apdu: bytes) -> bytes | None:
        if len(apdu) == 12 and apdu[0] in (0x60, 0x61):
            good = apdu[2:8] == b"\xff" * 6 and apdu[8:] == self.uid
            self._open = apdu[1] // 4 if good else None
            return b"" if good else None
        if len(apdu) == 2 and apdu[0] == 0x30 and self._open == apdu[1] // 4:
            return self._blocks.get(apdu[1], bytes(16))
        return None


@dataclass(frozen=True, slots=True)
class ChipFaults:
    """How the chip wrongs its host. Numbers count down, one with each time.

    silent: says nothing at all; mute: acknowledges and answers nothing; damaged: answers spoilt; refuses:
    error frames; lies: answers to another command; babbles: letters instead of a frame.
    """

    silent: int = 0
    mute: int = 0
    damaged: int = 0
    refuses: int = 0
    lies: int = 0
    babbles: int = 0


class Pn532Chip:
    """The chip and its field. feed() returns what it says."""

    def __init__(self) -> None:
        self.card: TapCard | None = None
        self._faults: dict[str, int] = {}
        self._received = bytearray()
        self._awake = False
        self._selected: TapCard | None = None
        self._last_answer = b""
        self._registers: dict[int, int] = {}

    def wrong(self, faults: ChipFaults) -> None:
        """From now on, each as often as it says."""
        self._faults = {name: getattr(faults, name) for name in ChipFaults.__slots__}

    def place(self, card: TapCard) -> None:
        """Lay a card on it; one that lay there is taken away."""
        self.take_away()
        self.card = card

    def take_away(self) -> None:
        """No card lies there any more."""
        if self.card is not None:
            self.card.removed()
        self.card = self._selected = None

    def reset(self) -> None:
        """As after a loss of power."""
        self._awake = False
        self._received.clear()
        self._release()

    def feed(self, data: bytes) -> bytes:
        """Bytes of the host; what the chip says to them."""
        if not self._awake:
            place = data.find(b"\x55\x55")
            if place < 0:
                return b""
            self._awake = True
            data = data[place:]
        self._received += data
        return b"".join(self._said())

    # ---------------------------------------------------------------- frames

    def _said(self) -> Iterator[bytes]:
        received = self._received
        while (start := received.find(b"\x00\xff")) >= 0:
            del received[:start]
            if len(received) < 4:
                return
            if received[2:4] == b"\x00\xff":  # the host gives its command up
                del received[:4]
                self._last_answer = b""
                continue
            if received[2:4] == b"\xff\x00":
                del received[:4]
                yield self._spoilt(self._last_answer)
                continue
            extended = received[2:4] == b"\xff\xff"
            head = 7 if extended else 4
            if len(received) < head:
                return
            length = int.from_bytes(received[4:6], "big") if extended else received[2]
            if sum(received[4:7] if extended else received[2:4]) & 0xFF or not 0 < length <= LONGEST_BODY:
                del received[:2]
                continue
            if len(received) < head + length + 1:
                return
            body, check = bytes(received[head : head + length]), received[head + length]
            del received[: head + length + 1]
            if not (sum(body) + check) & 0xFF:
                yield self._framed(body)
        del received[:-1]

    def _framed(self, body: bytes) -> bytes:
        if self._is_wrong("silent"):
            return b""
        if self._is_wrong("babbles"):
            return BABBLE
        if body[0] != HOST or len(body) < 2 or self._is_wrong("refuses"):
            return ACK + ERROR_FRAME
        answer = self._answer(body[1], body[2:])
        if answer is None:
            return ACK + ERROR_FRAME
        if self._is_wrong("mute"):
            return ACK
        code = body[1] + (3 if self._is_wrong("lies") else 1)
        self._last_answer = frame(bytes((CHIP, code & 0xFF)) + answer)
        return ACK + self._spoilt(self._last_answer)

    def _spoilt(self, answer: bytes) -> bytes:
        """The answer, with another check byte when it has to be wrong."""
        if not answer or not self._is_wrong("damaged"):
            return answer
        return answer[:-2] + bytes((answer[-2] ^ 0x55,)) + answer[-1:]

    def _is_wrong(self, fault: str) -> bool:
        left = self._faults.get(fault, 0)
        if left:
            self._faults[fault] = left - 1
        return left > 0

    # ---------------------------------------------------------------- commands (UM0701-02 clause 7)

    def _answer(self, code: int, told: bytes) -> bytes | None:
        """Without its code; None: no such command."""
        command = _COMMANDS.get(code)
        return None if command is None else command(self, told)

    def _diagnose(self, told: bytes) -> bytes | None:
        if told[:1] == b"\x00":  # communication line test: what came goes back
            return told
        return b"\x00" if told else None

    def _firmware(self, told: bytes) -> bytes:
        return FIRMWARE

    def _status(self, told: bytes) -> bytes:
        targets = b"\x01\x01\x00\x00\x00" if self._selected else b"\x00"
        return b"\x00" + (b"\x01" if self.card else b"\x00") + targets + b"\x80"

    def _read_register(self, told: bytes) -> bytes:
        places = (int.from_bytes(told[at : at + 2], "big") for at in range(0, len(told) - 1, 2))
        return bytes(self._registers.get(place, 0) for place in places)

    def _write_register(self, told: bytes) -> bytes:
        for at in range(0, len(told) - 2, 3):
            self._registers[int.from_bytes(told[at : at + 2], "big")] = told[at + 2]
        return b""

    def _nothing(self, told: bytes) -> bytes:
        return b""

    def _power_down(self, told: bytes) -> bytes:
        self._awake = False
        return b"\x00"

    def _look(self, told: bytes) -> bytes | None:
        if len(told) < 2:
            return None
        card = self.card
        wants_uid = told[2:] if told[1] == 0x00 else b""
        if told[1] != 0x00 or card is None or (wants_uid and not _names(wants_uid, card.uid)):
            return b"\x00"
        card.removed()
        self._selected = card
        uid = card.uid
        atqa = card.atqa.to_bytes(2, "big")
        return b"\x01\x01" + atqa + bytes((card.sak, len(uid))) + uid + card.ats

    def _exchange(self, told: bytes) -> bytes | None:
        if not told:
            return None
        card = self._selected
        if card is None or told[0] != 0x01:
            return bytes((_TIMED_OUT if card is None else _WRONG_STATE,))
        answer = card.command(told[1:])
        if answer is None:
            is_authentication = told[1:2] in (b"\x60", b"\x61")
            return bytes((_AUTHENTICATION if is_authentication else _TIMED_OUT,))
        return b"\x00" + answer

    def _through(self, told: bytes) -> bytes:
        return bytes((_TIMED_OUT,))

    def _release(self, told: bytes = b"") -> bytes:
        if self._selected is not None:
            self._selected.removed()
        self._selected = None
        return b"\x00"


_Command = Callable[[Pn532Chip, bytes], bytes | None]
_COMMANDS: Final[dict[int, _Command]] = {
    0x00: Pn532Chip._diagnose,
    0x02: Pn532Chip._firmware,
    0x04: Pn532Chip._status,
    0x06: Pn532Chip._read_register,
    0x08: Pn532Chip._write_register,
    0x12: Pn532Chip._nothing,  # SetParameters
    0x14: Pn532Chip._nothing,  # SAMConfiguration
    0x16: Pn532Chip._power_down,
    0x32: Pn532Chip._nothing,  # RFConfiguration
    0x40: Pn532Chip._exchange,
    0x42: Pn532Chip._through,
    0x44: Pn532Chip._release,  # InDeselect
    0x4A: Pn532Chip._look,
    0x52: Pn532Chip._release,
}


def _names(wanted: bytes, uid: bytes) -> bool:
    """Whether initiator data of InListPassiveTarget name this UID; longer ones have cascade tags (88)."""
    return wanted.replace(b"\x88", b"") == uid.replace(b"\x88", b"")


def frame(body: bytes) -> bytes:
    """A frame with this body, its TFI first."""
    if len(body) > 0xFF:
        length = len(body).to_bytes(2, "big")
        head = b"\x00\x00\xff\xff\xff" + length + bytes((-sum(length) & 0xFF,))
    else:
        head = b"\x00\x00\xff" + bytes((len(body), -len(body) & 0xFF))
    return head + body + bytes((-sum(body) & 0xFF, 0x00))


class Pn532Reader:
    """The chip at its pty, linked at `link`. chip: cards and faults. pause_ms: before each answer."""

    def __init__(self, link: Path, pause_ms: int = 0) -> None:
        self.chip = Pn532Chip()
        self._port = SerialPort(link, self._received)
        self._pause_s = pause_ms / 1000

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()
        self.chip.reset()

    def babble(self) -> None:
        """Something else is on this line for a moment."""
        self._port.write(BABBLE)

    def _received(self, data: bytes) -> None:
        said = self.chip.feed(data)
        if self._pause_s:
            asyncio.get_running_loop().call_later(self._pause_s, self._port.write, said)
        else:
            self._port.write(said)
