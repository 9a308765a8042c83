"""A database that says nothing any more: who asks is refused at once, until it is heard of again."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from switch.ledger import Engine, Start
from switch.ledger import postgres_connection as connecting
from switch.ledger.engine import LedgerSilent
from switch.ledger.postgres import PostgresEngine
from switch.server import pipeline
from tests.ledger.conftest import schema_url, shared_server
from tests.ledger.postgres_proxy import Proxy
from tests.server.bench import ANSWER_DEADLINE_S, SILENCE, UNPROVEN, Bench
from tests.server.playing import play
from tests.server.running_switch import new_card

ANSWER_SECONDS = connecting.ANSWER_SECONDS


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    made = Proxy(shared_server(), tmp_path_factory.mktemp("proxy"))
    gc.disable()  # sockets are closed when they are given up, not when garbage is looked for
    yield made
    made.close()
    gc.enable()


class Listening(PostgresEngine):
    """Counts who is asked in vain."""

    starts = 0
    waits: Callable[[], None] | None = None  # before each start

    def start(self) -> Start:
        self.starts += 1
        if self.waits is not None:
            self.waits()
        return super().start()


class Told(io.StringIO):
    """A log that tells of its lines."""

    def __init__(self, grown: asyncio.Event) -> None:
        super().__init__()
        self._grown = grown

    def write(self, text: str) -> int:
        self._grown.set()
        return super().write(text)


class SilentBench(Bench):
    proxy: Proxy

    def start(self) -> None:
        self.grown = asyncio.Event()
        self.log = Told(self.grown)
        super().start()

    def open_engine(self) -> Engine:
        url = self.proxy.url(schema_url(self.settings.data)) + "&connect_timeout=2"
        self.listening = Listening(url, self.settings.seal_key)
        return self.listening

    def swallow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.2)
        self.proxy.swallows.set()

    def speak(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connecting, "ANSWER_SECONDS", ANSWER_SECONDS)
        self.proxy.swallows.clear()

    async def told(self, event: str) -> None:
        """Until the log says it."""
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            while event not in [line["event"] for line in self.lines]:
                self.grown.clear()
                await self.grown.wait()


Played = Callable[[Callable[[SilentBench], Awaitable[None]]], None]


@pytest.fixture
def played(tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setattr(SilentBench, "proxy", proxy, raising=False)
    monkeypatch.setattr("tests.server.playing.Bench", SilentBench)
    monkeypatch.setattr(pipeline, "LISTEN_INTERVAL_S", 0.0)
    return lambda story: play(tmp_path, story)  # type: ignore[arg-type]


def test_everybody_is_refused_at_once_and_served_when_the_ledger_is_heard_of_again(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bench: SilentBench) -> None:
        card = new_card()
        await bench.ask([bench.activation(card)])
        await bench.ask([bench.earn(card, 5)])
        bench.swallow(monkeypatch)
        lost = bench.earn(card, 7)
        asked = bench.put([bench.sealed(lost)])
        await bench.told("ledger silent: refusing until it answers")
        starts = bench.listening.starts
        # No answer waits for the ledger: not for the next one, not for a thousand.
        answers = await bench.ask([bench.balance(card) for _ in range(1_000)])
        assert set(map(id, answers)) == {id(UNPROVEN)}
        assert bench.listening.starts <= starts + 1, "all were refused while one question was under way"
        assert not await bench.pipeline.settle([1]), "what is due is found again later"
        await bench.finished(asked)
        assert asked.answers == [], "it was on its way: nobody can know"
        bench.speak(monkeypatch)
        await bench.told("ledger heard of again")
        assert (await bench.one(bench.reversal_of(lost)))["39"] == "00"
        assert await bench.points(card) == 5
        assert bench.stopped == []

    played(story)


def test_what_was_on_its_way_is_answered_when_the_ledger_is_heard_of_at_the_first_try(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bench: SilentBench) -> None:
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.swallow(monkeypatch)
        bench.listening.waits = lambda: bench.speak(monkeypatch)
        assert (await bench.one(bench.earn(card, 7)))["39"] == "00"
        assert await bench.points(card) == 7
        events = [line["event"] for line in bench.lines]
        assert "ledger heard of again" in events

    played(story)


def test_a_switch_stops_while_the_ledger_is_silent(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: SilentBench) -> None:
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.swallow(monkeypatch)
        [answer] = await bench.ask([bench.earn(card, 7)])
        assert answer is SILENCE
        bench.speak(monkeypatch)  # closing the bench ends the question that is under way

    played(story)


def test_a_ledger_that_says_nothing_is_told_from_one_that_refuses(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = PostgresEngine(proxy.url(schema_url(tmp_path)) + "&connect_timeout=2", bytes(32))
    engine.claim("test")
    engine.start()
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.2)
    proxy.swallows.set()
    with pytest.raises(LedgerSilent, match="the connection is lost"):
        engine.heads()
    assert proxy.swallowed.is_set()
    with pytest.raises(LedgerSilent, match="the connection is lost"):
        engine.heads()  # by a new connection
    engine.close()
