"""A magnetic card writer of an issuing desk, MSR605 or MSR206, and the cards that are drawn through it.

MSR605 Programmer's Manual, revision B. `WriterDevice` is pure: bytes in, bytes out, swipes between;
`WriterDesk` plays it on a pty. It wrongs its host on demand, by `WriterFaults`. It never logs a track.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from simulators.readers.tracks import TRACK_1, TRACK_2, TRACK_3, Alphabet, bits_of, text_of, with_sentinels
from simulators.serial_port import SerialPort

ALPHABETS: Final = (TRACK_1, TRACK_2, TRACK_3)
ESC: Final = 0x1B
OK, ERROR, FORMAT, INVALID, BAD_SWIPE, FAIL = b"\x1b0", b"\x1b1", b"\x1b2", b"\x1b4", b"\x1b9", b"\x1bA"
BLOCK_BEGINS, BLOCK_ENDS = b"\x1bs", b"?\x1c"
FIRMWARE: Final = b"REVS2.31"
BABBLE: Final = b"login: \r\nPassword: \r\n" * 8


@dataclass(slots=True)
class StripeCard:
    """A card: the bits of its tracks from the start sentinel on, and whether it is of high coercivity."""

    is_high: bool = True
    stripes: list[list[int]] = field(default_factory=lambda: [[], [], []], repr=False)

    @classmethod
    def holding(cls, *texts: str | None, is_high: bool = True) -> StripeCard:
        """With these texts, without sentinels, on tracks 1, 2 and 3."""
        card = cls(is_high)
        for slot, text in enumerate(texts):
            if text is not None:
                card.stripes[slot] = bits_of(ALPHABETS[slot], with_sentinels(ALPHABETS[slot], text))
        return card

    @property
    def texts(self) -> tuple[str | None, ...]:
        """What the tracks hold, without sentinels."""
        whole = (text_of(alphabet, bits) for alphabet, bits in zip(ALPHABETS, self.stripes, strict=True))
        return tuple(text and text[1:-1] for text in whole)


@dataclass(frozen=True, slots=True)
class WriterFaults:
    """How the device wrongs its host. Numbers count down, one with each time.

    silent: a command isn't answered, nor done; babbles: letters instead of an answer; wrong: an answer that
    doesn't exist; refuses, misunderstands: status 4 and 2; bad_swipe, unreadable: status 9 and 1;
    keeps: says that a card is written, and it isn't; spoils: writes a digit wrong; cut: the end of a card's
    data is missing; garbled: its beginning is.
    """

    silent: int = 0
    babbles: int = 0
    wrong: int = 0
    refuses: int = 0
    misunderstands: int = 0
    bad_swipe: int = 0
    unreadable: int = 0
    keeps: int = 0
    spoils: int = 0
    cut: int = 0
    garbled: int = 0


class WriterDevice:
    """The device. empty_mark: what stands for an empty track; is_clone: knows neither model nor version."""

    def __init__(self, empty_mark: bytes = b"", is_clone: bool = False) -> None:
        self.is_high = True
        self.lamps = b""
        self.zeros = b"\x3d\x16"
        self.bits_per_character = (7, 5, 5)
        self._empty_mark = empty_mark
        self._is_clone = is_clone
        self._received = bytearray()
        self._waiting: Callable[[StripeCard], bytes] | None = None
        self._faults: dict[str, int] = {}

    def wrong(self, faults: WriterFaults) -> None:
        """From now on, each as often as it says."""
        self._faults = {name: getattr(faults, name) for name in WriterFaults.__slots__}

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a card."""
        return self._waiting is not None

    def feed(self, data: bytes) -> bytes:
        """Bytes of the host; what the device says to them."""
        self._received += data
        said = b""
        while (command := self._command()) is not None:
            if command[:1] == b"a":
                self._waiting = None
                continue
            if self._waiting is not None or self._is_wrong("silent"):
                continue  # nothing but a reset takes it out of its wait
            said += BABBLE if self._is_wrong("babbles") else self._told(command)
        return said

    def swipe(self, card: StripeCard) -> bytes:
        """Draw a card through it; what it says."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return b""
        if self._is_wrong("bad_swipe"):
            return BAD_SWIPE
        return waiting(card)

    # ---------------------------------------------------------------- commands

    def _command(self) -> bytes | None:
        """The next whole command without its ESC."""
        received = self._received
        start = received.find(b"\x1b")
        if start < 0 or len(received) < start + 2:
            return None
        code = chr(received[start + 1])
        length = 2 + {"c": 1, "b": 1, "z": 2, "o": 3}.get(code, 0)
        if code == "w":
            end = received.find(BLOCK_ENDS, start)
            length = end + 2 - start if end >= 0 else len(received) + 1
        elif code == "n":
            length = self._raw_length(start)
        if len(received) < start + length:
            return None
        command = bytes(received[start + 1 : start + length])
        del received[: start + length]
        return command

    def _raw_length(self, start: int) -> int:
        place = start + 4
        for _ in range(3):
            if len(self._received) < place + 3:
                return len(self._received) + 1
            place += 3 + self._received[place + 2]
        return place + len(BLOCK_ENDS) - start

    def _told(self, command: bytes) -> bytes:
        for fault, status in (("wrong", b"\x1b\x7e"), ("refuses", INVALID), ("misunderstands", FORMAT)):
            if self._is_wrong(fault):
                return status
        code, arguments = chr(command[0]), command[1:]
        if code in _WAITS:
            self._waiting = _WAITS[code](self, arguments)
            return b"" if self._waiting is not None else FORMAT
        if 0x81 <= command[0] <= 0x85:
            self.lamps = command
            return b""
        return _ANSWERS[code](self, arguments) if code in _ANSWERS else INVALID

    def _is_wrong(self, fault: str) -> bool:
        left = self._faults.get(fault, 0)
        if left:
            self._faults[fault] = left - 1
        return left > 0

    # ---------------------------------------------------------------- without a card

    def _set_coercivity(self, is_high: bool) -> bytes:
        self.is_high = is_high
        return OK

    def _set_bits(self, arguments: bytes) -> bytes:
        if not all(5 <= bits <= 8 for bits in arguments):
            return FAIL
        self.bits_per_character = (arguments[0], arguments[1], arguments[2])
        return OK + arguments

    def _set_zeros(self, arguments: bytes) -> bytes:
        self.zeros = arguments
        return OK

    def _model(self, arguments: bytes) -> bytes:
        return b"" if self._is_clone else b"\x1b3S"

    def _firmware(self, arguments: bytes) -> bytes:
        return b"" if self._is_clone else b"\x1b" + FIRMWARE

    # ---------------------------------------------------------------- with a card

    def _reading(self, arguments: bytes) -> Callable[[StripeCard], bytes]:
        return lambda card: self._read(card, self._formatted)

    def _reading_raw(self, arguments: bytes) -> Callable[[StripeCard], bytes]:
        return lambda card: self._read(card, self._raw)

    def _read(self, card: StripeCard, track: Callable[[StripeCard, int], bytes]) -> bytes:
        if self._is_wrong("unreadable"):
            return BLOCK_BEGINS + BLOCK_ENDS + ERROR
        said = BLOCK_BEGINS + b"".join(bytes((ESC, slot + 1)) + track(card, slot) for slot in range(3))
        said += BLOCK_ENDS + OK
        if self._is_wrong("cut"):
            said = said[: len(said) // 2]
        if self._is_wrong("garbled"):
            said = said[:2] + said[5:]
        return said

    def _formatted(self, card: StripeCard, slot: int) -> bytes:
        text = text_of(ALPHABETS[slot], card.stripes[slot])
        return text.encode() if text else self._empty_mark

    def _raw(self, card: StripeCard, slot: int) -> bytes:
        width, bits = self.bits_per_character[slot], card.stripes[slot]
        groups = [bits[at : at + width] for at in range(0, len(bits), width)]
        values = bytes(sum(bit << place for place, bit in enumerate(group)) for group in groups)
        return bytes((len(values),)) + values

    def _writing(self, arguments: bytes) -> Callable[[StripeCard], bytes] | None:
        if not arguments.startswith(BLOCK_BEGINS) or not arguments.endswith(BLOCK_ENDS):
            return None
        stripes = _stripes_of(arguments[2:-2])
        return None if stripes is None else lambda card: self._write(card, stripes)

    def _writing_raw(self, arguments: bytes) -> Callable[[StripeCard], bytes] | None:
        stripes: list[list[int]] = []
        place = 2
        for slot in range(3):
            count = arguments[place + 2]
            values = arguments[place + 3 : place + 3 + count]
            width = self.bits_per_character[slot]
            stripes.append([value >> bit & 1 for value in values for bit in range(width)])
            place += 3 + count
        return lambda card: self._write(card, stripes)

    def _write(self, card: StripeCard, stripes: list[list[int]]) -> bytes:
        if self._is_wrong("unreadable"):
            return ERROR
        if self._is_wrong("keeps") or (card.is_high and not self.is_high):
            return OK  # too weak a field changes nothing, and the device doesn't look
        spoils = self._is_wrong("spoils")
        for slot, bits in enumerate(stripes):
            if bits:
                card.stripes[slot] = _with_a_wrong_character(slot, bits) if spoils else list(bits)
        return OK

    def _erasing(self, arguments: bytes) -> Callable[[StripeCard], bytes] | None:
        which = arguments[0] or 0x01  # 00 is track 1 alone, too

        def erase(card: StripeCard) -> bytes:
            if self._is_wrong("unreadable"):
                return FAIL
            for slot in range(3):
                if which >> slot & 1 and not (card.is_high and not self.is_high):
                    card.stripes[slot] = []
            return OK

        return erase if which <= 0x07 else None


def _stripes_of(data: bytes) -> list[list[int]] | None:
    """Bits of the three tracks that a block to write holds; None: it holds something else."""
    stripes: list[list[int]] = [[], [], []]
    for part in data.split(bytes((ESC,)))[1:]:
        slot, text = part[0] - 1, part[1:].decode("latin-1")
        if not 0 <= slot < 3:
            return None
        if text:
            try:
                stripes[slot] = bits_of(ALPHABETS[slot], with_sentinels(ALPHABETS[slot], text))
            except ValueError:
                return None
    return stripes


def _with_a_wrong_character(slot: int, bits: list[int]) -> list[int]:
    """The same with its first character another one, and an LRC that holds."""
    alphabet: Alphabet = ALPHABETS[slot]
    text = text_of(alphabet, bits) or ""
    other = "1" if text[1] != "1" else "2"
    return bits_of(alphabet, with_sentinels(alphabet, other + text[2:-1]))


_WAITS: Final[dict[str, Callable[[WriterDevice, bytes], Callable[[StripeCard], bytes] | None]]] = {
    "r": WriterDevice._reading,
    "m": WriterDevice._reading_raw,
    "w": WriterDevice._writing,
    "n": WriterDevice._writing_raw,
    "c": WriterDevice._erasing,
}
_ANSWERS: Final[dict[str, Callable[[WriterDevice, bytes], bytes]]] = {
    "e": lambda device, arguments: b"\x1by",
    "\x87": lambda device, arguments: OK,
    "b": lambda device, arguments: OK if arguments[0] in b"\xd2\x4b\xa0\xa1\xc0\xc1" else FAIL,
    "o": WriterDevice._set_bits,
    "z": WriterDevice._set_zeros,
    "l": lambda device, arguments: b"\x1b" + device.zeros,
    "t": WriterDevice._model,
    "v": WriterDevice._firmware,
    "x": lambda device, arguments: device._set_coercivity(True),
    "y": lambda device, arguments: device._set_coercivity(False),
    "d": lambda device, arguments: b"\x1bH" if device.is_high else b"\x1bL",
}


class WriterDesk:
    """The device at its pty, linked at `link`."""

    def __init__(self, link: Path, device: WriterDevice | None = None) -> None:
        self.device = device or WriterDevice()
        self._port = SerialPort(link, self._received)

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def swipe(self, card: StripeCard) -> None:
        """Draw a card through it."""
        self._port.write(self.device.swipe(card))

    def _received(self, data: bytes) -> None:
        self._port.write(self.device.feed(data))


def once(fault: str, times: int = 1) -> WriterFaults:
    """One fault, so many times."""
    return replace(WriterFaults(), **{fault: times})
