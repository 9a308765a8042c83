"""Barcode scanners on a serial line: the three families of modules that terminals are built with.

Each module is pure: bytes and the time in, bytes out; `ScannerReader` plays it on a pty. They wrong their
host on demand, by `ScannerFaults`. No module knows what a text means, and none logs one.
"""

from __future__ import annotations

import asyncio
import binascii
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Final, Literal

from simulators.serial_port import SerialPort

BOOT_MS: Final = 2000  # nothing is heard for so long after power-on or reset
SLEEPY_MS: Final = 1000  # a GM72 that has nothing to do falls asleep
WAKE_MS: Final = 50  # and needs so long from its wake byte on
CR, CRLF = b"\r", b"\r\n"
BABBLE: Final = b"U-Boot 2016.01 DRAM: 64 MiB\r\n" * 30

Verdict = Literal["done", "damaged", "denied", "unknown"]


@dataclass(frozen=True, slots=True)
class ScannerFaults:
    """How a scanner wrongs its host. Numbers count down, one with each time.

    asleep: a command isn't even heard; mute: done, and not answered; damaged: the answer is spoilt; refuses:
    said no to; babbles: a line of letters instead of an answer; between: the answer comes in the midst of the
    next text; late: a text comes before the answer; bare: the answer without its frame (M3Y);
    cut: the end of a text is missing; spoilt: bytes of a text are; endless: a text without end.
    """

    asleep: int = 0
    mute: int = 0
    damaged: int = 0
    refuses: int = 0
    babbles: int = 0
    between: int = 0
    late: int = 0
    bare: int = 0
    cut: int = 0
    spoilt: int = 0
    endless: int = 0


class ScannerModule(ABC):
    """A module and what is held before it. end: what it sets after a text; prefix: before it."""

    def __init__(self, end: bytes = CR, prefix: bytes = b"") -> None:
        self.end = end
        self.prefix = prefix
        self.late_text = b"0000000000000"
        self._faults: dict[str, int] = {}
        self._received = bytearray()
        self._kept_answer = b""
        self._boots_until_ms = 0
        self.reset(-BOOT_MS)

    def wrong(self, faults: ScannerFaults) -> None:
        """From now on, each as often as it says."""
        self._faults = {name: getattr(faults, name) for name in ScannerFaults.__slots__}

    def reset(self, now_ms: int) -> None:
        """As after a loss of power: continuous, set-up barcodes obeyed, as it left the factory."""
        self.is_continuous = True
        self.is_reading = True
        self.obeys_set_up_codes = True
        self.settings: dict[int, bytes] = {}
        self._received.clear()
        self._kept_answer = b""
        self._boots_until_ms = now_ms + BOOT_MS

    def feed(self, data: bytes, now_ms: int = 0) -> bytes:
        """Bytes of the host; what the module says to them."""
        if now_ms < self._boots_until_ms:
            return b""
        self._received += data
        return b"".join(self._told(command, now_ms) for command in self._commands(now_ms))

    def show(self, text: bytes) -> bytes:
        """Hold a code before it; what it says, if it looks."""
        kept, self._kept_answer = self._kept_answer, b""
        if not self.is_reading:
            return kept
        self.is_reading = self.is_continuous
        whole = self.prefix + text + self.end
        if self._is_wrong("cut"):
            whole = whole[: len(whole) // 2]
        if self._is_wrong("spoilt"):
            place = len(whole) // 2
            whole = whole[:place] + b"\x00\x12" + whole[place + 2 :]
        if self._is_wrong("endless"):
            whole = text * (2000 // max(1, len(text)))
        place = len(whole) // 2 if kept else 0
        return whole[:place] + kept + whole[place:]

    def show_set_up_code(self) -> None:
        """Hold its maker's barcode for continuous scanning before it."""
        if self.is_reading and self.obeys_set_up_codes:
            self.is_continuous = True

    def _told(self, command: bytes, now_ms: int) -> bytes:
        if self._is_wrong("asleep"):
            return b""
        if self._is_wrong("babbles"):
            return BABBLE
        before = b""
        if self.is_reading and self._is_wrong("late"):
            before = self.show(self.late_text)
        refuses = self._is_wrong("refuses")
        answer = self._answer("denied", b"") if refuses else self._answer(*self._do(command, now_ms))
        if self._is_wrong("mute"):
            return before
        if answer and self._is_wrong("damaged"):
            answer = answer[:-2] + bytes((answer[-2] ^ 0x11,)) + answer[-1:]
        if self._is_wrong("between"):
            self._kept_answer = answer
            return before
        return before + answer

    def _is_wrong(self, fault: str) -> bool:
        left = self._faults.get(fault, 0)
        if left:
            self._faults[fault] = left - 1
        return left > 0

    def _read_on_command(self, begins: bool) -> Verdict:
        if self.is_continuous:
            return "denied"
        self.is_reading = begins
        return "done"

    def _set_continuous(self, is_continuous: bool) -> None:
        self.is_continuous = self.is_reading = is_continuous

    @abstractmethod
    def _commands(self, now_ms: int) -> Iterator[bytes]:
        """Whole commands out of what was received."""

    @abstractmethod
    def _do(self, command: bytes, now_ms: int) -> tuple[Verdict, bytes]:
        """Obey one; what it says besides whether it did."""

    @abstractmethod
    def _answer(self, verdict: Verdict, said: bytes) -> bytes: ...


class Gm65(ScannerModule):
    """Grow GM65 and GM805: zones of settings, CRC-16 or AB CD."""

    VERSION: Final = 0x87
    _NO_CHECK: Final = b"\xab\xcd"

    def _commands(self, now_ms: int) -> Iterator[bytes]:
        received = self._received
        while (start := received.find(b"\x7e\x00")) >= 0:
            del received[:start]
            if len(received) < 4:
                return
            length = 6 + (received[3] if received[2] == 0x08 else 1)
            if len(received) < length + 2:
                return
            command, check = bytes(received[2:length]), bytes(received[length : length + 2])
            del received[: length + 2]
            if check in (self._NO_CHECK, binascii.crc_hqx(command, 0).to_bytes(2, "big")):
                yield command
        del received[:-1]

    def _do(self, command: bytes, now_ms: int) -> tuple[Verdict, bytes]:
        kind, zone, values = command[0], int.from_bytes(command[2:4], "big"), command[4:]
        if kind == 0x07:
            values = bytes((self.VERSION,)) if zone == 0x00E2 else self.settings.get(zone, b"\x00")
            return "done", values
        if kind == 0x09:
            return "done", b"\x00"
        if kind != 0x08:
            return "unknown", b"\x00"
        if zone == 0x0000:
            self._set_continuous(values[0] & 0x03 == 0x02)
        elif zone == 0x0002:
            return self._read_on_command(bool(values[0] & 0x01)), b"\x00"
        elif zone == 0x0003:
            self.obeys_set_up_codes = bool(values[0] & 0x01)
        self.settings[zone] = values
        return "done", b"\x00"

    def _answer(self, verdict: Verdict, said: bytes) -> bytes:
        body = bytes((0x00 if verdict == "done" else 0x01, len(said or b"\x00"))) + (said or b"\x00")
        return b"\x02\x00" + body + binascii.crc_hqx(body, 0).to_bytes(2, "big")


class M3y(ScannerModule):
    """ZhongShan M3Y and its like: commands of letters in a frame; silence means no."""

    VERSION: Final = b"V2.3.0.7"

    def __init__(self, end: bytes = CRLF, prefix: bytes = b"") -> None:
        super().__init__(end, prefix)

    def _commands(self, now_ms: int) -> Iterator[bytes]:
        received = self._received
        while (start := received.find(b"\x5a\x00")) >= 0:
            del received[:start]
            if len(received) < 4:
                return
            length = 6 + int.from_bytes(received[2:4], "big")
            if len(received) < length:
                return
            frame = bytes(received[:length])
            if frame[-1] == 0xA5 and reduce(xor, frame[1:-1]) == 0:
                del received[:length]
                yield frame[4:-2]
            else:
                del received[:1]
        del received[:-1]

    def _do(self, command: bytes, now_ms: int) -> tuple[Verdict, bytes]:
        match command:
            case b"T_OUT_CVER":
                return "done", self.VERSION
            case b"S_CMD_020D" | b"S_CMD_020E":
                self._set_continuous(command.endswith(b"E"))
            case b"SR030301" | b"SR030300":
                return self._read_on_command(command.endswith(b"1")), b""
            case b"S_CMD_0000" | b"S_CMD_0001":
                self.obeys_set_up_codes = command.endswith(b"1")
            case b"S_CMD_059A":
                self.end = CRLF
            case _ if not command.startswith((b"S_CMD_M", b"S_CMD_03", b"SRDF")):
                return "unknown", b""
        return "done", b""

    def _answer(self, verdict: Verdict, said: bytes) -> bytes:
        if verdict != "done":
            return b""
        if not said and self._is_wrong("bare"):
            return b"\x90\x00"
        said = said or b"\x90\x00"
        body = b"\x01" + len(said).to_bytes(2, "big") + said
        return b"\x5a" + body + bytes((reduce(xor, body), 0xA5))


class Gm72(ScannerModule):
    """Grow GM72: frames with the length first, a wake byte before them, and a word for every no."""

    _CAUSES: Final[dict[Verdict, int]] = {"damaged": 0x01, "denied": 0x06, "unknown": 0x06}

    def __init__(self, end: bytes = CRLF, prefix: bytes = b"") -> None:
        super().__init__(end, prefix)

    def reset(self, now_ms: int) -> None:
        super().reset(now_ms)
        self._woken_ms: int | None = None
        self._heard_ms = 0

    def _commands(self, now_ms: int) -> Iterator[bytes]:
        received = self._received
        while received:
            if received[0] == 0x00:
                if self._woken_ms is None or now_ms > self._heard_ms + SLEEPY_MS:
                    self._woken_ms = now_ms
                self._heard_ms = now_ms
                del received[:1]
                continue
            length = received[0] + 2
            if not 6 <= length <= 16:
                del received[:1]
                continue
            if len(received) < length:
                return
            frame = bytes(received[:length])
            del received[:length]
            asleep = self._woken_ms is None or now_ms > self._heard_ms + SLEEPY_MS
            if asleep or self._woken_ms is None or now_ms < self._woken_ms + WAKE_MS:
                continue
            self._heard_ms = now_ms
            yield frame

    def _do(self, command: bytes, now_ms: int) -> tuple[Verdict, bytes]:
        if (sum(command[:-2]) + int.from_bytes(command[-2:], "big")) & 0xFFFF:
            return "damaged", b""
        code, setting = command[1], command[5:-2]
        if code in (0xE4, 0xE5):
            if self.settings.get(0x8A) != b"\x08":
                return "denied", b""
            self.is_reading = code == 0xE4
        elif code != 0xC6:
            return "unknown", b""
        elif setting[:1] == b"\x8a":
            self._set_continuous(setting[1:] == b"\x04")
            self.settings[0x8A] = setting[1:]
        elif setting[:2] == b"\xf2\x05":
            self.end = CRLF if setting[2:] == b"\x01" else b""
        return "done", b""

    def _answer(self, verdict: Verdict, said: bytes) -> bytes:
        body = b"\x04\xd0\x00\x00" if verdict == "done" else bytes((5, 0xD1, 0, 0, self._CAUSES[verdict]))
        return body + (-sum(body) & 0xFFFF).to_bytes(2, "big")


MODULES: Final[dict[str, type[ScannerModule]]] = {"gm65": Gm65, "m3y": M3y, "gm72": Gm72}


class ScannerReader:
    """A module at its pty, linked at `link`; it begins with its boot."""

    def __init__(self, link: Path, module: ScannerModule) -> None:
        self.module = module
        self._port = SerialPort(link, self._received)

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()
        self.module.reset(self._now_ms())

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def show(self, text: bytes) -> None:
        """Hold a code before it."""
        self._port.write(self.module.show(text))

    def babble(self) -> None:
        """Something else is on this line for a moment."""
        self._port.write(BABBLE)

    def _received(self, data: bytes) -> None:
        self._port.write(self.module.feed(data, self._now_ms()))

    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


def once(fault: str, times: int = 1) -> ScannerFaults:
    """One fault, so many times."""
    return replace(ScannerFaults(), **{fault: times})
