"""A GPRS modem and the network behind it: SIM, signal, registration, one TCP connection; both families.

Pure: bytes of the terminal in, bytes out. Behind an address stands whoever takes the connection. What
goes wrong is data: no SIM, weak signal, a network that takes its time or never, drops in the middle,
babble.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulators.modem import Subscriber

FAMILIES: Final = ("sim800", "m95")


@dataclass
class Air:
    """What the network and the SIM are like. Counts go down with each look.

    boots: looks without an answer; sim, weak, searching: looks at which SIM, signal and registration
    aren't there yet; sim_pin: what the SIM takes when its state is SIM PIN, three wrong ones lock it;
    registration: of +CREG; attaches, activates: whether data service and access point
    work; drops_after: bytes to the terminal until the network lets go, 0: never; loses_send: the next
    data handed over get no word.
    """

    boots: int = 0
    sim: int = 0
    sim_state: str = "READY"
    sim_pin: str = ""
    weak: int = 0
    searching: int = 0
    registration: int = 1
    attaches: bool = True
    activates: bool = True
    access_points: tuple[str, ...] = ("vafa",)
    drops_after: int = 0
    loses_send: int = 0
    is_fitted: bool = True
    hosts: Mapping[tuple[str, int], Subscriber] = field(default_factory=dict)


class GprsModem:
    """The modem. commands: each one it was given."""

    def __init__(self, family: str, air: Air) -> None:
        assert family in FAMILIES, family
        self._is_sim800 = family == "sim800"
        self.air = air
        self.commands: list[str] = []
        self._line = bytearray()
        self._echo = True
        self._wants = 0
        self._is_up = False
        self._point = ""
        self._host: Subscriber | None = None
        self._unread = bytearray()
        self._told_news = False
        self._carried = 0
        self._pin_tries = 3

    def feed(self, data: bytes) -> bytes:
        """Bytes of the terminal; what it says to them."""
        if not self.air.is_fitted:
            return b""
        return b"".join(self._take(byte) for byte in data)

    def drop(self) -> bytes:
        """The network lets go of the connection."""
        if self._host is None:
            return b""
        self._host = None
        return _lines("0, CLOSED" if self._is_sim800 else "CLOSED")

    def deactivate(self) -> bytes:
        """The network takes the data service away."""
        self._host = None
        self._is_up = False
        return _lines("+PDP: DEACT" if self._is_sim800 else "+PDP DEACT")

    def say(self, data: bytes) -> bytes:
        """The other side says something by itself."""
        return b"" if self._host is None else self._arrived(data)

    def _take(self, byte: int) -> bytes:
        if self._wants:
            self._line.append(byte)
            self._wants -= 1
            return b"" if self._wants else self._handed_over()
        echo = bytes((byte,)) if self._echo else b""
        if byte != 0x0D:
            self._line.append(byte)
            return echo
        command = self._line.decode("ascii", "replace").strip()
        self._line.clear()
        if self.air.boots:
            self.air.boots -= 1
            return b""
        self.commands.append(command)
        return echo + b"".join(self._obey(command))

    def _handed_over(self) -> bytes:
        data = bytes(self._line)
        self._line.clear()
        if self._host is None:
            return _lines("ERROR")
        if self.air.loses_send:
            self.air.loses_send -= 1
            return b""
        taken = _lines(f"DATA ACCEPT:0,{len(data)}" if self._is_sim800 else "SEND OK")
        return taken + self._arrived(self._host.heard(data))

    def _arrived(self, data: bytes) -> bytes:
        """Bytes for the terminal: it is told that there are some, and fetches them."""
        drops = self.air.drops_after
        if drops and self._carried + len(data) >= drops:
            self._unread += data[: drops - self._carried]
            return self._news() + self.drop()
        self._carried += len(data)
        self._unread += data
        return self._news() if data else b""

    def _news(self) -> bytes:
        return _lines("+CIPRXGET: 1,0" if self._is_sim800 else "+QIRDI: 0,1,0")

    # ---------------------------------------------------------------- commands

    def _obey(self, command: str) -> Iterator[bytes]:
        name, _, rest = command.partition("=")
        if command == "AT":
            yield _lines("OK")
        elif command in ("ATE0", "ATE1"):
            self._echo = command == "ATE1"
            yield _lines("OK")
        elif command == "AT+CPIN?":
            yield self._sim()
        elif name == "AT+CPIN":
            yield self._unlocked(rest.strip('"'))
        elif command == "AT+CSQ":
            weak, self.air.weak = self.air.weak > 0, max(0, self.air.weak - 1)
            yield _lines("+CSQ: 99,99" if weak else "+CSQ: 17,0", "OK")
        elif command == "AT+CREG?":
            searching, self.air.searching = self.air.searching > 0, max(0, self.air.searching - 1)
            yield _lines(f"+CREG: 0,{2 if searching else self.air.registration}", "OK")
        elif command == "AT+CGATT=1":
            yield _lines("OK" if self.air.attaches else "+CME ERROR: 148")
        elif self._is_sim800:
            yield from self._sim800(name, rest)
        else:
            yield from self._m95(name, rest)

    def _sim(self) -> bytes:
        if self.air.sim:
            self.air.sim -= 1
            return _lines("+CME ERROR: 10")  # SIM not inserted
        return _lines(f"+CPIN: {self.air.sim_state}", "OK")

    def _unlocked(self, pin: str) -> bytes:
        if self.air.sim_state != "SIM PIN":
            return _lines("+CME ERROR: 3")
        if pin == self.air.sim_pin:
            self.air.sim_state = "READY"
            return _lines("OK")
        self._pin_tries -= 1
        if not self._pin_tries:
            self.air.sim_state = "SIM PUK"
        return _lines("+CME ERROR: 16")  # incorrect password

    def _sim800(self, name: str, rest: str) -> Iterator[bytes]:
        if name == "AT+CIPSHUT":
            self._shut()
            yield _lines("SHUT OK")
        elif name == "AT+CSTT":
            self._point = _texts(rest)[0]
            yield _lines("OK")
        elif name == "AT+CIICR":
            yield self._activated("OK")
        elif name == "AT+CIFSR":
            yield _lines("10.64.3.7") if self._is_up else _lines("ERROR")
        elif name == "AT+CIPSTART":
            yield from self._connected(rest.partition(",")[2], "0, ")
        elif name == "AT+CIPSEND":
            yield self._prompt(int(rest.split(",")[1]))
        elif name == "AT+CIPRXGET" and rest.startswith("2,0,"):
            data = self._read(int(rest.split(",")[2]))
            head = f"\r\n+CIPRXGET: 2,0,{len(data)},{len(self._unread)}\r\n".encode("ascii")
            yield head + data + _lines("OK")
        elif name == "AT+CIPCLOSE":
            yield _lines("0, CLOSE OK") if self._host is not None else _lines("ERROR")
            self._host = None
        elif name in ("AT+CIPMUX", "AT+CIPQSEND", "AT+CIPRXGET"):
            yield _lines("OK")
        else:
            yield _lines("ERROR")

    def _m95(self, name: str, rest: str) -> Iterator[bytes]:
        if name == "AT+QIDEACT":
            self._shut()
            yield _lines("DEACT OK")
        elif name == "AT+QICSGP":
            self._point = _texts(rest.partition(",")[2])[0]
            yield _lines("OK")
        elif name == "AT+QIACT":
            yield self._activated("OK")
        elif name == "AT+QILOCIP":
            yield _lines("10.64.3.7") if self._is_up else _lines("ERROR")
        elif name == "AT+QIOPEN":
            yield from self._connected(rest, "")
        elif name == "AT+QISEND":
            yield self._prompt(int(rest))
        elif name == "AT+QIRD":
            data = self._read(int(rest.split(",")[3]))
            head = f"\r\n+QIRD: 10.1.1.1:8583,TCP,{len(data)}\r\n".encode("ascii") if data else b""
            yield head + data + _lines("OK")
        elif name == "AT+QICLOSE":
            yield _lines("CLOSE OK")
            self._host = None
        elif name in ("AT+QIMUX", "AT+QINDI", "AT+QIREGAPP"):
            yield _lines("OK")
        else:
            yield _lines("ERROR")

    def _activated(self, good: str) -> bytes:
        self._is_up = self.air.activates and self._point in self.air.access_points
        return _lines(good if self._is_up else "ERROR")

    def _connected(self, where: str, prefix: str) -> Iterator[bytes]:
        kind, host, port = where.split(",")
        assert kind == '"TCP"', kind
        if not self._is_up:
            yield _lines("ERROR")
            return
        yield _lines("OK")
        self._host = self.air.hosts.get((host.strip('"'), int(port)))
        self._unread.clear()
        self._carried = 0
        if self._host is None:
            yield _lines(f"{prefix}CONNECT FAIL")
            return
        yield _lines(f"{prefix}CONNECT OK")
        yield self._arrived(self._host.called())

    def _prompt(self, count: int) -> bytes:
        if self._host is None:
            return _lines("ERROR")
        self._wants = count
        return b"\r\n> "

    def _read(self, count: int) -> bytes:
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def _shut(self) -> None:
        self._host = None
        self._is_up = False


def _lines(*lines: str) -> bytes:
    return "".join(f"\r\n{line}\r\n" for line in lines).encode("ascii")


def _texts(rest: str) -> list[str]:
    return [text.strip('"') for text in rest.split(",")]
