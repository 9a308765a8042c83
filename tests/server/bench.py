"""A pipeline without sockets: real ledger and keys, commits that fail, an HSM that waits when told so."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.terminal_keys import TerminalKeys, Transmission
from switch.defaults import create_defaults, read_terminal_settings
from switch.hsm import InProcessHsm
from switch.hsm.port import Fault, Hsm, HsmError
from switch.iso8583 import Message
from switch.keys import SwitchKeys, open_store, read_master_key
from switch.ledger import Batch, ConflictError, Engine, FencedError, LedgerUnavailable, Start
from switch.ledger.sqlite import SqliteEngine
from switch.link.framing import Frame
from switch.server.clock import SystemClock
from switch.server.codes import CodeCarrierError
from switch.server.log import open_log
from switch.server.pipeline import Pipeline
from switch.server.quarantine import Quarantine
from switch.settings import Program, Settings
from tests.server.issued_cards import issued_card
from tests.server.moment import local_moment
from tests.server.running_switch import DIALECT, made

UNPROVEN = Message("0000", {"39": "91 without a MAC"})  # for a terminal no answer: it reverses
SILENCE = Message("0000", {"39": "no answer"})
ANSWER_DEADLINE_S = 60.0  # only a hanging pipeline is this slow


class FailingEngine:
    """A real engine whose `stage` and `sync` fail as the plan says: "stage", "before", "after" the commit,
    "conflict", or not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.plan: list[str] = []
        self.fenced = False
        self.unreadable = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def start(self) -> Start:
        if self.unreadable:
            raise LedgerUnavailable("planned: can't be read")
        return self._engine.start()

    def stage(self, batch: Batch, epoch: int) -> None:
        if self.fenced:
            raise FencedError("planned")
        if self.plan and self.plan[0] == "stage":
            self.plan.pop(0)
            raise LedgerUnavailable("planned: disk full")
        self._engine.stage(batch, epoch)

    def sync(self) -> None:
        failure = self.plan.pop(0) if self.plan else ""
        if failure == "conflict":
            self._engine.rollback()
            raise ConflictError("planned: another owner's entry is there")
        if failure == "before":
            raise LedgerUnavailable("planned: the disk reports an error")
        self._engine.sync()
        if failure == "after":
            raise LedgerUnavailable("planned: the connection broke after the commit")


class WaitingHsm:
    """The in-process HSM as one behind a network. late: operations that wait until `let_go`, newest first as
    the worst order; failing: operation -> fault."""

    def __init__(self, hsm: Hsm) -> None:
        self._hsm = hsm
        self.late: set[str] = set()
        self.failing: dict[str, Fault] = {}
        self.calls: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []
        self.grown = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_now"):
            raise AttributeError(name)  # a box behind a network has none
        operation = getattr(self._hsm, name)
        if not asyncio.iscoroutinefunction(operation):
            return operation

        async def asked(*values: Any, **named: Any) -> Any:
            self.calls.append(name)
            if name in self.late:
                place = asyncio.get_running_loop().create_future()
                self._waiting.append(place)
                self.grown.set()
                await place
            if name in self.failing:
                raise HsmError(name, self.failing[name])
            return await operation(*values, **named)

        return asked

    async def waiting(self, count: int) -> None:
        """Until so many operations wait."""
        while len(self._waiting) < count:
            self.grown.clear()
            await asyncio.wait_for(self.grown.wait(), ANSWER_DEADLINE_S)

    def let_go(self) -> None:
        """All that wait, the latest first."""
        waiting, self._waiting = self._waiting, []
        for place in reversed(waiting):
            place.set_result(None)


class Post:
    """A carrier of one-time codes that keeps them, or fails."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.fails = False

    async def send(self, mobile: str, code: str) -> None:
        if self.fails:
            raise CodeCarrierError("planned: no network")
        self.sent.append((mobile, code))


class Clock(SystemClock):
    """The real clock, put forward by a test. Milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class OnePeer:
    """Collects answers in their order; counts that every frame is finished once."""

    def __init__(self, expected: int = 0, private: bool = False, certified: str | None = None) -> None:
        self.expected = expected
        self.is_private = private
        self.certified = certified
        self.answers: list[bytes] = []
        self.received = asyncio.Event()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.alarms: list[tuple[str, dict[str, Any]]] = []

    def answer(self, payload: bytes, tpdu: bytes | None) -> None:
        self.answers.append(payload)
        self.drop()

    def drop(self) -> None:
        self.expected -= 1
        assert self.expected >= 0, "a frame is finished once"
        if not self.expected:
            self.received.set()

    def report(self, what: str, **details: str | int) -> None:
        self.reports.append((what, details))

    def alarm(self, what: str, **details: str | int) -> None:
        self.alarms.append((what, details))

    def close_after_fault(self) -> None: ...

    def known(self) -> None: ...


class Bench:
    """A pipeline of terminal 10000001 and its like. Make it inside a running loop. program: changed settings
    of the program."""

    def __init__(
        self, directory: Path, *, codes: bool = True, clear_codes: bool = False, **program: Any
    ) -> None:
        self.settings: Settings = create_defaults(directory)
        self.program = Program(**{**_values(self.settings.program), **program})
        self.keys = [
            TerminalKeys.of(read_terminal_settings(self.settings, terminal))
            for terminal in self.settings.terminals
        ]
        self.hsm = WaitingHsm(InProcessHsm(read_master_key(self.settings.hsm.master_key_file)))
        self.post = Post()
        self._codes = codes
        self._clear_codes = clear_codes
        self.clock = Clock()
        self.log = io.StringIO()
        self.stopped: list[str] = []
        self.stans = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Open the ledger and begin; again after `close`, as a switch that is started again."""
        self.writer = ThreadPoolExecutor(max_workers=1)
        self.real = self.open_engine()
        self.engine = FailingEngine(self.real)
        engine: Engine = self.engine  # type: ignore[assignment]
        hsm: Hsm = self.hsm  # type: ignore[assignment]
        self.pipeline = Pipeline(
            dialect=DIALECT,
            program=self.program,
            terminals=self.settings.terminals,
            directory_key=self.settings.directory_key,
            hsm=hsm,
            keys=SwitchKeys.of(
                open_store(self.settings), self.settings.terminals, checks_cards=self.program.checks_cards
            ),
            codes=self.post if self._codes else None,
            clear_codes=self._clear_codes,
            engine=engine,
            epoch=self.real.claim("test"),
            clock=self.clock,
            log=open_log(self.log),
            writer=self.writer,
            quarantine=Quarantine(self.settings.data / "requests.under-way", self.clock.now_ms()),
            after_commit=lambda: None,
            stop=self.stopped.append,
        )

    def open_engine(self) -> Engine:
        return SqliteEngine(self.settings.ledger_path, seal_key=self.settings.seal_key)

    async def close(self) -> None:
        await self.pipeline.drain()
        self.writer.shutdown()
        self.real.close()

    # ------------------------------------------------------------ messages

    def track(self, card: str, **changes: str) -> str:
        """Track 2 of this installation's card of that number; changes: of the Card before it is issued."""
        return issued_card(replace(self.settings, program=self.program), card, **changes).track_2

    def message(self, mti: str, code: str, card: str | None, number: int = 0, **more: Any) -> Message:
        """A message of terminal `number`; more: f4="..." adds or, with None, removes. card: swiped."""
        terminal = self.settings.terminals[number]
        moment: datetime = local_moment()
        fields: dict[str, Any] = {
            "3": code,
            "11": f"{next(self.stans):06d}",
            "12": moment.strftime("%H%M%S"),
            "13": moment.strftime("%m%d"),
            "22": "021",
            "35": self.track(card) if card else None,
            "41": terminal.id,
            "42": terminal.acceptor,
            **{name[1:]: value for name, value in more.items()},
        }
        return Message(mti, {name: value for name, value in fields.items() if value is not None})

    def earn(self, card: str, points: int, **more: Any) -> Message:
        amount = points * self.program.rial_per_earned_point
        return self.message("0200", "210060", card, f4=f"{amount:012d}", f49="364", f60="000001", **more)

    def redemption(
        self, card: str | None, points: int, tags: dict[str, Any] | None = None, **more: Any
    ) -> Message:
        amount = f"{points * self.program.rial_per_redeemed_point:012d}"
        return self.message(
            "0200",
            "006000",
            card,
            f4=amount,
            f48={"01": f"{points:012d}", **(tags or {})},
            f49="364",
            f60="000001",
            **more,
        )

    def activation(self, card: str, **more: Any) -> Message:
        return self.message("0300", "720000", card, **more)

    def pin_change(self, card: str | None, new: str, digits: str | None = None, **more: Any) -> Message:
        tags = {"08": pin(new, digits or card or ""), **more.pop("tags", {})}
        return self.message("0300", "700000", card, f48=tags, **more)

    def code_request(self, card: str | None, **more: Any) -> Message:
        return self.message("0100", "336000", card, **more)

    def balance(self, card: str) -> Message:
        return self.message("0100", "306000", card)

    def reversal_of(self, original: Message) -> Message:
        fields = {name: value for name, value in original.fields.items() if name not in ("22", "52")}
        data = original.mti + original.text("11") + original.text("13") + original.text("12") + "0" * 22
        return Message("0420", {**fields, "11": f"{next(self.stans):06d}", "90": data})

    # ------------------------------------------------------------ exchange

    def sealed(self, message: Message, at: Transmission | None = None) -> bytes:
        """Under a fresh key serial of the terminal in DE 41, or the one given."""
        if at is None:
            ids = [terminal.id for terminal in self.settings.terminals]
            at = self.keys[ids.index(message.text("41"))].transmission()
        fields = {number: made(value, at) for number, value in message.fields.items()}
        body = DIALECT.encode_body(Message(message.mti, {**fields, "53": at.field_53}))
        return body + at.request_mac(body)

    async def send(self, payloads: Sequence[bytes], peer: OnePeer | None = None) -> OnePeer:
        """Send all at once on one line and wait until each is finished."""
        peer = self.put(payloads, peer)
        await self.finished(peer)
        return peer

    def put(self, payloads: Sequence[bytes], peer: OnePeer | None = None) -> OnePeer:
        """Send without waiting."""
        peer = peer or OnePeer()
        peer.expected += len(payloads)
        peer.received.clear()
        for payload in payloads:
            self.pipeline.receive(peer, Frame(payload, None))
        return peer

    async def finished(self, peer: OnePeer) -> None:
        if peer.expected:
            await asyncio.wait_for(peer.received.wait(), ANSWER_DEADLINE_S)

    async def ask(self, messages: Sequence[Message], private: bool = False) -> list[Message]:
        """Send all at once; the genuine answers without MAC, in the order of the messages."""
        payloads = [self.sealed(message) for message in messages]
        peer = await self.send(payloads, OnePeer(private=private))
        return self.genuine(payloads, peer.answers)

    async def one(self, message: Message, private: bool = False) -> Message:
        [answer] = await self.ask([message], private)
        return answer

    def genuine(self, payloads: Sequence[bytes], answers: Sequence[bytes]) -> list[Message]:
        """Each request's answer, found by terminal and STAN; its MAC must be that of the request's serial."""
        found: dict[tuple[str, str], bytes] = {}
        for answer in answers:
            message = DIALECT.decode(answer)
            name = message.text("41"), message.text("11")
            assert name not in found, "one answer for one request"
            found[name] = answer
        result = []
        for payload in payloads:
            request = DIALECT.decode(payload)
            data = found.get((request.text("41"), request.text("11")))
            if data is None:
                result.append(SILENCE)
                continue
            message = DIALECT.decode(data)
            if "64" not in message and message["39"] == "91":
                result.append(UNPROVEN)
                continue
            assert self.is_genuine(data, payload), "the answer's MAC is wrong or missing"
            result.append(Message(message.mti, {k: v for k, v in message.fields.items() if k != "64"}))
        return result

    def is_genuine(self, answer: bytes, payload: bytes) -> bool:
        serial = DIALECT.decode(payload)["53"]
        assert isinstance(serial, bytes)
        keys = next(keys for keys in self.keys if keys.initial_key_id == serial[1:9])
        return keys.at(int.from_bytes(serial[9:])).is_genuine(*DIALECT.split_mac(answer))

    async def points(self, card: str) -> int:
        answer = await self.one(self.balance(card))
        assert answer["39"] == "00"
        return int(answer.text("48.02"))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What the log says."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def pin(digits: str, card: str) -> Callable[[Transmission], bytes]:
    """A PIN block over the digits that name the member, once the sending is known."""
    return lambda at: at.pin_block(digits, card)


def enciphered(tags: bytes) -> Callable[[Transmission], bytes]:
    """Tag 20: tags as they stand in DE 48, once the sending is known."""
    return lambda at: at.enciphered(tags)


def hidden(code: str) -> dict[str, Callable[[Transmission], bytes]]:
    """Tags of DE 48 that carry a one-time code."""
    return {"20": enciphered(bytes.fromhex("0603" + code))}


def _values(program: Program) -> dict[str, Any]:
    return {name: getattr(program, name) for name in Program.__slots__}
