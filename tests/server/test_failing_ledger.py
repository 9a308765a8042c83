"""A ledger whose commits fail, before or after they became durable: no answer lies, nothing is booked
twice."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from switch.iso8583 import Message
from switch.ledger import Engine, Entry, FencedError, LedgerUnavailable, Start
from switch.ledger.sqlite import SqliteEngine
from switch.link.framing import Frame
from switch.server.clock import SystemClock
from switch.server.log import open_log
from switch.server.pipeline import Pipeline, answer_key, request_key
from switch.server.run import hsm_of
from switch.settings import Settings, create_defaults
from tests.server.moment import local_moment
from tests.server.running_switch import DIALECT, new_card


class FailingEngine:
    """A real engine whose `stage` and `sync` fail as the plan says: "stage", "before", "after" the commit,
    or not."""

    def __init__(self, engine: SqliteEngine) -> None:
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

    def stage(self, entries: list[Entry], epoch: int) -> None:
        if self.fenced:
            raise FencedError("planned")
        if self.plan and self.plan[0] == "stage":
            self.plan.pop(0)
            raise LedgerUnavailable("planned: disk full")
        self._engine.stage(entries, epoch)

    def sync(self) -> None:
        failure = self.plan.pop(0) if self.plan else ""
        if failure == "before":
            raise LedgerUnavailable("planned: the disk reports an error")
        self._engine.sync()
        if failure == "after":
            raise LedgerUnavailable("planned: the connection broke after the commit")


SILENCE = Message("0000", {"39": "no answer"})


class OnePeer:
    """Collects answers; counts that every frame is finished once."""

    def __init__(self) -> None:
        self.answers: dict[str, Message] = {}
        self.received = asyncio.Event()
        self.expected = 0

    def answer(self, payload: bytes, tpdu: bytes | None) -> None:
        message = DIALECT.decode(payload)
        assert message.text("11") not in self.answers, "one answer for one request"
        self.answers[message.text("11")] = message
        self.drop()

    def drop(self) -> None:
        self.expected -= 1
        if not self.expected:
            self.received.set()

    def report(self, what: str, **details: str | int) -> None: ...

    def close_after_fault(self) -> None: ...

    def known(self) -> None: ...


class Bench:
    """A pipeline without sockets."""

    def __init__(self, directory: Path) -> None:
        self.settings: Settings = create_defaults(directory)
        self.real = SqliteEngine(self.settings.ledger_path, seal_key=self.settings.seal_key)
        self.engine = FailingEngine(self.real)
        self.hsm = hsm_of(self.settings)
        self.stopped: list[str] = []
        self.stans = itertools.count(1)
        self.writer = ThreadPoolExecutor(max_workers=1)
        engine: Engine = self.engine  # type: ignore[assignment]
        self.pipeline = Pipeline(
            dialect=DIALECT,
            program=self.settings.program,
            terminals=self.settings.terminals,
            directory_key=self.settings.directory_key,
            hsm=self.hsm,
            engine=engine,
            epoch=self.real.claim("test"),
            clock=SystemClock(),
            log=open_log(io.StringIO()),
            writer=self.writer,
            after_commit=lambda: None,
            stop=self.stopped.append,
        )

    def message(self, mti: str, code: str, card: str, **more: Any) -> Message:
        terminal = self.settings.terminals[0]
        moment = local_moment()
        fields = {
            "3": code,
            "11": f"{next(self.stans):06d}",
            "12": moment.strftime("%H%M%S"),
            "13": moment.strftime("%m%d"),
            "22": "021",
            "2": card,
            "41": terminal.id,
            "42": terminal.acceptor,
            **{name[1:]: value for name, value in more.items()},
        }
        return Message(mti, fields)

    def earn(self, card: str, points: int) -> Message:
        amount = points * self.settings.program.rial_per_earned_point
        return self.message("0200", "210060", card, f4=f"{amount:012d}", f49="364", f60="000001")

    def reversal_of(self, original: Message) -> Message:
        fields = dict(original.fields)
        del fields["22"]
        data = original.mti + original.text("11") + original.text("13") + original.text("12") + "0" * 22
        return Message("0420", {**fields, "11": f"{next(self.stans):06d}", "90": data})

    async def ask(self, messages: list[Message]) -> list[Message]:
        """Send all at once; the answers in the same order."""
        peer = OnePeer()
        peer.expected = len(messages)
        key = request_key(self.settings.terminals[0].id)
        for message in messages:
            body = DIALECT.encode_body(message)
            self.pipeline.receive(peer, Frame(body + self.hsm.mac(key, body), None))
        await asyncio.wait_for(peer.received.wait(), 30)
        answers = [peer.answers.get(message.text("11"), SILENCE) for message in messages]
        for answer in peer.answers.values():
            body, mac = DIALECT.split_mac(DIALECT.encode(answer))
            assert mac == self.hsm.mac(answer_key(self.settings.terminals[0].id), body)
        return answers

    async def points(self, card: str) -> int:
        [answer] = await self.ask([self.message("0100", "306000", card)])
        assert answer["39"] == "00"
        return int(answer.text("48.02"))

    async def close(self) -> None:
        await self.pipeline.drain()
        self.writer.shutdown()
        self.real.close()


@pytest.mark.parametrize("failure", ["stage", "before", "after"])
def test_one_failed_commit_is_asked_again_and_nobody_notices(tmp_path: Path, failure: str) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.message("0300", "720000", card)])
        bench.engine.plan = [failure]
        answers = await bench.ask([bench.earn(card, 5) for _ in range(10)])
        assert [answer["39"] for answer in answers] == ["00"] * 10
        assert sorted(int(answer.text("48.02")) for answer in answers) == list(range(5, 55, 5))
        assert await bench.points(card) == 50
        await bench.close()

    asyncio.run(play())


def test_a_ledger_that_stays_away_is_answered_91_and_comes_back(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.message("0300", "720000", card)])
        bench.engine.plan = ["stage"] * 2
        refused = bench.earn(card, 5)
        [answer] = await bench.ask([refused])
        assert answer["39"] == "91"
        assert "37" not in answer
        [again] = await bench.ask([refused])
        assert again["39"] == "00", "91 is not remembered"
        assert await bench.points(card) == 5
        await bench.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    "failures", [["before", "before"], ["after", "before"], ["before", "after"], ["before", "stage"]]
)
def test_where_nobody_knows_whether_it_is_booked_nothing_is_said(tmp_path: Path, failures: list[str]) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.message("0300", "720000", card)])
        bench.engine.plan = list(failures)
        unanswered = bench.earn(card, 5)
        [answer] = await bench.ask([unanswered])
        if failures == ["after", "before"]:
            assert answer["39"] == "00", "the first commit was stored, and found by the second try"
        else:
            assert answer is SILENCE
        bench.engine.plan = []
        [taken_back] = await bench.ask([bench.reversal_of(unanswered)])
        assert taken_back["39"] == "00"
        assert await bench.points(card) == 0
        await bench.close()

    asyncio.run(play())


def test_a_memory_that_cannot_be_read_again_is_not_gone_on_with(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.message("0300", "720000", card)])
        bench.engine.plan = ["before"]
        bench.engine.unreadable = True
        lost = bench.earn(card, 5)
        [answer] = await bench.ask([lost])
        assert answer is SILENCE
        [refused] = await bench.ask([lost])
        assert refused["39"] == "91"
        bench.engine.unreadable = False
        [booked] = await bench.ask([lost])
        assert (booked["39"], booked["48.02"]) == ("00", "000000000005")
        assert await bench.points(card) == 5
        await bench.close()

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(12))
def test_after_reversing_what_was_not_approved_the_balance_is_what_was_approved(
    tmp_path: Path, seed: int
) -> None:
    async def play() -> None:
        drawn = random.Random(seed)
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.message("0300", "720000", card)])
        approved = 0
        for _ in range(15):
            count = drawn.randrange(1, 8)
            bench.engine.plan = [drawn.choice(("", "", "stage", "before", "after")) for _ in range(4)]
            requests = [bench.earn(card, drawn.randrange(1, 9)) for _ in range(count)]
            answers = await bench.ask(requests)
            bench.engine.plan = []
            for request, answer in zip(requests, answers, strict=True):
                if answer["39"] == "00":
                    approved += int(answer.text("48.01"))
                else:
                    assert answer["39"] in ("91", "no answer")
                    if answer["39"] == "91":  # says that nothing was booked: no reversal is needed
                        continue
                    [reversed_] = await bench.ask([bench.reversal_of(request)])
                    assert reversed_["39"] == "00"
        assert await bench.points(card) == approved
        await bench.close()

    asyncio.run(play())


def test_a_fenced_switch_answers_91_and_stops(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        bench.engine.fenced = True
        [answer] = await bench.ask([bench.message("0300", "720000", new_card())])
        assert answer["39"] == "91"
        assert bench.stopped == ["the ledger has another owner"]
        [answer] = await bench.ask([bench.message("0300", "720000", new_card())])
        assert answer["39"] == "91"
        await bench.close()

    asyncio.run(play())
