"""A real switch process and a terminal's side of the protocol, for tests: plain sockets, one answer at a
time."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from simulators.cards import Deck
from simulators.terminal_keys import TerminalKeys, Transmission
from switch import iso8583
from switch.defaults import create_defaults, read_terminal_settings
from switch.iso8583 import Message
from switch.link.framing import Frame, FrameReader, frame
from switch.settings import Settings, Terminal, load
from tests.server.issued_cards import issued_card
from tests.server.moment import local_moment

ANSWER_DEADLINE_S = 30.0  # only a hanging switch is this slow
DIALECT = iso8583.load("vafa")
DECK = Deck()
STANS = itertools.count(1)  # shared, so that two sides of one terminal never give a number twice


def new_card() -> str:
    """A card number of the program that no test has used."""
    return DECK.draw().number


class RunningSwitch:
    """`vafa switch run` on a directory. `changes`: settings as "section.key" -> TOML text of the value."""

    def __init__(
        self, directory: Path, changes: dict[str, str] | None = None, module: str = "tools.cli"
    ) -> None:
        self.directory = directory
        self.module = module  # what is run with the arguments of `vafa`
        create_defaults(directory)
        for name, value in (changes or {}).items():
            self._change(name, value)
        self.settings: Settings = load(directory / "switch.toml")
        # One for each terminal, whoever plays it: a terminal's key serials only rise.
        self.keys = {
            terminal.id: TerminalKeys.of(read_terminal_settings(self.settings, terminal))
            for terminal in self.settings.terminals
        }
        self.begin()

    def begin(self) -> None:
        self.log: list[dict[str, Any]] = []
        self._grown = threading.Condition()
        self.start()

    def _change(self, name: str, value: str) -> None:
        path = self.directory / "switch.toml"
        section, key = name.split(".")
        text = path.read_text(encoding="utf-8")
        if section.startswith("1000"):  # a terminal's own table
            text = text.replace(f'id = "{section}"\n', f'id = "{section}"\n{key} = {value}\n')
        elif f"[{section}]" in text:
            text = re.sub(rf"^\[{section}\]$", f"[{section}]\n{key} = {value}", text, flags=re.MULTILINE)
        else:
            text = text.replace("[keys]", f"[{section}]\n{key} = {value}\n\n[keys]")
        path.write_text(text, encoding="utf-8")

    def track(self, card: str) -> str:
        """Track 2 of this installation's card of that number."""
        return issued_card(self.settings, card).track_2

    def command(self) -> list[str]:
        run = [sys.executable, "-m", self.module, "switch", "run"]
        return [*run, "--data", str(self.directory), "--port", "0"]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "listening":
                self.port = int(self.log[-1]["port"])
                break
        else:
            raise AssertionError("the switch did not start")
        self._reading = threading.Thread(target=self._read_log, args=(self.process.stderr,), daemon=True)
        self._reading.start()

    def _read_log(self, stream: Any) -> None:
        for line in stream:
            with self._grown:
                self.log.append(json.loads(line))
                self._grown.notify_all()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self._reading.join()
        return code

    def events(self, key: str, value: str, least: int = 1) -> list[dict[str, Any]]:
        """All log lines with this value under this key, waiting for so many: a line may be read here after
        the answer it came before."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.log if event.get(key) == value]

        with self._grown:
            enough = self._grown.wait_for(lambda: len(found()) >= least, ANSWER_DEADLINE_S)
            assert enough, f"the log didn't say {key} {value!r} {least} times"
            return found()


class Line:
    """One TCP connection to the switch."""

    def __init__(self, switch: RunningSwitch) -> None:
        self.socket = socket.create_connection(("127.0.0.1", switch.port), timeout=ANSWER_DEADLINE_S)
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Frame:
        """The next frame; ConnectionError when the switch closed the line instead."""
        while not self._frames:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed by the switch")
            self._frames += self._reader.feed(data, 0.0)
        return self._frames.pop(0)

    def is_closed_by_switch(self) -> bool:
        """Waits for the end of the line; True when it came without another frame."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()


class TerminalSide:
    """What a terminal sends: messages with STAN, time and MAC; and what it makes of the answers."""

    def __init__(self, switch: RunningSwitch, number: int = 0) -> None:
        self.switch = switch
        self.terminal: Terminal = switch.settings.terminals[number]
        self._stans = STANS
        self.keys = switch.keys[self.terminal.id]
        self.line = Line(switch)

    def fields(self, card: str, processing_code: str, **more: Any) -> dict[str, Any]:
        """The fields that every transaction has; `more` as f4="..." adds or, with None, removes."""
        fields: dict[str, Any] = {
            "3": processing_code,
            "11": f"{next(self._stans):06d}",
            "12": local_moment().strftime("%H%M%S"),
            "13": local_moment().strftime("%m%d"),
            "22": "021",
            "35": self.switch.track(card),
            "41": self.terminal.id,
            "42": self.terminal.acceptor,
        }
        for name, value in more.items():
            fields[name[1:]] = value
        return {number: value for number, value in fields.items() if value is not None}

    def balance(self, card: str, **more: Any) -> Message:
        return Message("0100", self.fields(card, "306000", **more))

    def activation(self, card: str, **more: Any) -> Message:
        return Message("0300", self.fields(card, "720000", **more))

    def earn(self, card: str, amount: int, mti: str = "0200", **more: Any) -> Message:
        money = {"f4": f"{amount:012d}", "f49": "364", "f60": "000001", **more}
        return Message(mti, self.fields(card, "210060", **money))

    def redemption(self, card: str, points: int, **more: Any) -> Message:
        ratio = self.switch.settings.program.rial_per_redeemed_point
        money = {
            "f4": f"{points * ratio:012d}",
            "f48": {"01": f"{points:012d}"},
            "f49": "364",
            "f60": "000001",
            **more,
        }
        return Message("0200", self.fields(card, "006000", **money))

    def reversal_of(self, original: Message, mti: str = "0420", **more: Any) -> Message:
        kept = {name: value for name, value in original.fields.items() if name != "22"}
        kept["11"] = f"{next(self._stans):06d}"
        data = original.mti + original.text("11") + original.text("13") + original.text("12") + "0" * 22
        kept["90"] = data
        kept |= {name[1:]: value for name, value in more.items()}
        return Message(mti, kept)

    def sign_on(self, code: str = "001") -> Message:
        fields = {"11": f"{next(self._stans):06d}", "41": self.terminal.id, "42": self.terminal.acceptor}
        return Message("0800", {**fields, "70": code})

    def sealed(self, message: Message, at: Transmission | None = None) -> bytes:
        """The message's bytes with key serial and MAC, without frame. A value that is a function gets the
        sending, for PIN blocks and enciphered data."""
        at = at or self.keys.transmission()
        fields = {number: made(value, at) for number, value in message.fields.items()}
        body = DIALECT.encode_body(Message(message.mti, {**fields, "53": at.field_53}))
        return body + at.request_mac(body)

    def exchange(self, message: Message | bytes, tpdu: bytes | None = None) -> bytes:
        """Send, and the answer's bytes as they came."""
        payload = message if isinstance(message, bytes) else self.sealed(message)
        self.line.send(frame(payload, tpdu))
        return self.line.receive().payload

    def ask(self, message: Message | bytes) -> Message:
        """Send, and the answer without its MAC, which must be good and the one of this very sending."""
        payload = message if isinstance(message, bytes) else self.sealed(message)
        answer = self.exchange(payload)
        assert self.is_genuine(answer, payload), "the answer's MAC is wrong or missing"
        message = DIALECT.decode(answer)
        return Message(message.mti, {name: value for name, value in message.fields.items() if name != "64"})

    def is_genuine(self, answer: bytes, request: bytes) -> bool:
        """Whether an answer's MAC is that of the response key of the request's key serial."""
        serial = DIALECT.decode(request)["53"]
        assert isinstance(serial, bytes)
        at = self.keys.at(int.from_bytes(serial[-4:]))
        return at.is_genuine(*DIALECT.split_mac(answer))

    def activated_card(self, points: int = 0) -> str:
        """A new active card that holds `points`."""
        card = new_card()
        assert self.ask(self.activation(card))["39"] == "00"
        if points:
            rate = self.switch.settings.program.rial_per_earned_point
            assert self.ask(self.earn(card, points * rate))["39"] == "00"
        return card

    def points(self, card: str) -> int:
        """The card's balance; a debt is negative."""
        answer = self.ask(self.balance(card))
        assert answer["39"] == "00"
        return int(answer.text("48.02")) - (int(answer.text("48.03")) if "48.03" in answer else 0)


def made(value: Any, at: Transmission) -> Any:
    """A field's value; one that is a function is made for this sending."""
    if isinstance(value, dict):
        return {tag: made(inner, at) for tag, inner in value.items()}
    return value(at) if callable(value) else value
