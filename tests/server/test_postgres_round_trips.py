"""How often a switch asks PostgreSQL for what requests look at; and its event loop never waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from switch.iso8583 import Message
from switch.ledger import Engine, LedgerUnavailable, Load, Loaded, Start
from switch.ledger.postgres import PostgresEngine
from tests.ledger.conftest import schema_url
from tests.server.bench import ANSWER_DEADLINE_S, Bench, OnePeer, pin
from tests.server.playing import play
from tests.server.running_switch import DIALECT, new_card
from tests.server.test_batches import close, item, trailer
from tests.server.test_transfers import transfer

PIN = "4711"
REFUND, RETURN, VOID_OF_EARN, CAPTURE = "200060", "206000", "020060", "006000"
# One for what requests name, one for the members and entries that leads to, one for what these lead to.
MOST_ROUND_TRIPS = 3
OF_BATCHES = ("close", "upload", "trailer")


class Watched(PostgresEngine):
    """Notes what is asked, and that nothing is asked on the thread that may not wait."""

    asked: list[Sequence[Load]]
    loop: int | None = None
    # A look-up waits at the gate as soon as it closes, and fails.
    gate: threading.Event | None = None
    closes: Callable[[], object]

    def _seen(self) -> None:
        assert threading.get_ident() != self.loop, "the event loop doesn't wait for the database"

    def start(self) -> Start:
        self._seen()
        return super().start()

    def load(self, load: Load) -> Loaded:
        self._seen()
        return super().load(load)

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        self._seen()
        self.asked.append(loads)
        if self.gate is not None and self.closes():
            gate, self.gate = self.gate, None
            assert gate.wait(ANSWER_DEADLINE_S)
            raise LedgerUnavailable("planned: the connection broke")
        return super().load_many(loads)

    def sync(self) -> None:
        self._seen()
        super().sync()


class PostgresBench(Bench):
    def open_engine(self) -> Engine:
        self.watched = Watched(schema_url(self.settings.data), self.settings.seal_key)
        self.watched.asked = []
        return self.watched

    def start(self) -> None:
        super().start()
        self.watched.loop = threading.get_ident()

    async def restart(self) -> None:
        """Nothing is in memory any more."""
        self.watched.loop = None
        await super().close()
        self.start()

    async def close(self) -> None:
        self.watched.loop = None
        await super().close()

    @contextmanager
    def counted(self, most: int = MOST_ROUND_TRIPS) -> Iterator[None]:
        self.watched.asked.clear()
        yield
        assert len(self.watched.asked) <= most, self.watched.asked


Played = Callable[[Callable[[PostgresBench], Awaitable[None]]], None]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setattr("tests.server.playing.Bench", PostgresBench)
    return lambda story: play(tmp_path, story, double_swipe_s=60)  # type: ignore[arg-type]


async def member(bench: Bench, mobile: str = "") -> str:
    card = new_card()
    tags = {"f48": {"07": mobile}} if mobile else {}
    activated = await bench.one(bench.activation(card, f52=pin(PIN, card), **tags), private=True)
    assert activated["39"] == "00"
    assert (await bench.one(bench.earn(card, 500)))["39"] == "00"
    return card


def naming(bench: Bench, mti: str, code: str, original: Message, points: int, amount: int) -> Message:
    """What follows an original by its reference number."""
    return bench.message(
        mti,
        code,
        None,
        f22=None,
        f4=f"{amount:012d}",
        f37=original["37"],
        f48={"01": f"{points:012d}"} if code == CAPTURE else None,
        f49="364",
        f60="000001",
    )


def hold(bench: Bench, card: str, points: int) -> Message:
    return Message("0100", bench.redemption(card, points).fields)


async def prepared(bench: Bench) -> list[tuple[str, Message, str]]:
    """One of each operation, on members of their own: its name, the request and the response code."""
    ratio = bench.program.rial_per_redeemed_point
    cards = [await member(bench) for _ in range(15)]
    with_mobile = await member(bench, "989120000001")
    redeemed = [await bench.one(bench.redemption(card, 100)) for card in cards[:2]]
    held = await bench.one(hold(bench, cards[2], 50))
    sales = {card: bench.earn(card, 7) for card in cards[3:6]}
    earned = {card: await bench.one(sale) for card, sale in sales.items()}
    sent = transfer(bench, cards[6], cards[7], 30)
    blocked = bench.message("0300", "730000", cards[8])
    refunded = naming(bench, "0200", REFUND, redeemed[1], 10, 10 * ratio)
    for one in (sent, blocked, refunded):
        assert (await bench.one(one))["39"] == "00"
    differing = close(bench, {}, batch=1)
    fresh, replaced = new_card(), new_card()
    bench.clock.ahead_ms += 61_000  # no sale of these is the same again
    return [
        ("balance", bench.balance(cards[9]), "00"),
        ("purchase", bench.earn(cards[9], 9), "00"),
        ("redemption", bench.redemption(cards[10], 9, f52=pin(PIN, cards[10])), "00"),
        ("refund", naming(bench, "0200", REFUND, redeemed[0], 10, 10 * ratio), "00"),
        ("hold", hold(bench, cards[11], 9), "00"),
        ("capture", naming(bench, "0220", CAPTURE, held, 20, 20 * ratio), "00"),
        ("return", naming(bench, "0200", RETURN, earned[cards[3]], 7, 70_000), "00"),
        ("void", naming(bench, "0200", VOID_OF_EARN, earned[cards[4]], 7, 70_000), "00"),
        ("reversal", bench.reversal_of(sales[cards[5]]), "00"),
        ("reversal of a refund", bench.reversal_of(refunded), "00"),
        ("transfer", transfer(bench, cards[12], cards[13], 5), "00"),
        ("reversal of a transfer", bench.reversal_of(sent), "00"),
        ("reversal of a block", bench.reversal_of(blocked), "00"),
        ("activation", bench.activation(fresh, f48={"07": "989120000002"}), "00"),
        ("PIN change", bench.pin_change(cards[9], "9999", f52=pin(PIN, cards[9])), "00"),
        (
            "replacement",
            bench.message("0300", "750000", cards[14], f48={"0B": replaced}, f52=pin(PIN, cards[14])),
            "00",
        ),
        ("code", bench.code_request(with_mobile), "00"),
        ("close", differing, "95"),
        ("upload", item(bench, sales[cards[5]], earned[cards[5]]), "95"),
        ("trailer", trailer(bench), "00"),
    ]


def test_each_operation_takes_few_round_trips_from_a_cold_memory(played: Played) -> None:
    async def story(bench: PostgresBench) -> None:
        for name, message, code in await prepared(bench):
            await bench.restart()
            with bench.counted():
                answer = await bench.one(message, private=True)
            assert answer["39"] == code, name
            with bench.counted(0):
                assert await bench.one(message, private=True) == answer, f"{name}: a repeat is known"

    played(story)


def test_many_operations_together_take_no_more(played: Played) -> None:
    async def story(bench: PostgresBench) -> None:
        messages = [one[1] for one in await prepared(bench) if one[0] not in OF_BATCHES]
        await bench.restart()
        with bench.counted():
            answers = await bench.ask(messages, private=True)
        assert {answer["39"] for answer in answers} == {"00"}

    played(story)


def test_what_nobody_named_is_asked_for_beside_the_loop_and_nothing_is_decided_twice(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing named beforehand every look-up of a batch comes up while it is decided."""
    for name in ("first_loads", "member_loads", "late_loads"):
        monkeypatch.setattr(f"switch.server.pipeline.{name}", lambda *_: [])

    async def story(bench: PostgresBench) -> None:
        waiting = [one for one in await prepared(bench) if one[0] not in OF_BATCHES]
        await bench.restart()
        before = bench.pipeline.committed_entries
        bench.hsm.late = {"pin_verify"}  # a PIN is looked at while others are looked up
        peer = bench.put([bench.sealed(message) for _, message, _ in waiting], OnePeer(private=True))
        await bench.hsm.waiting(1)
        bench.hsm.let_go()
        bench.hsm.late = set()
        await bench.finished(peer)
        assert len(bench.watched.asked) > MOST_ROUND_TRIPS
        codes = {answered.text("11"): answered.text("39") for answered in decoded(peer.answers)}
        assert codes == {message.text("11"): code for _, message, code in waiting}
        # A transfer and its reversal are two entries each.
        assert bench.pipeline.committed_entries - before == len(waiting) + 2
        assert bench.stopped == []

    played(story)


def test_what_the_hsm_answers_while_the_batch_is_away_is_decided_once_though_the_batch_begins_again(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first_loads", "member_loads", "late_loads"):
        monkeypatch.setattr(f"switch.server.pipeline.{name}", lambda *_: [])

    async def story(bench: PostgresBench) -> None:
        messages = {name: message for name, message, _ in await prepared(bench)}
        sent = [messages["redemption"], messages["reversal of a transfer"], messages["reversal of a refund"]]
        await bench.restart()
        bench.hsm.late = {"pin_verify"}
        gate = bench.watched.gate = threading.Event()
        bench.watched.closes = lambda: bench.hsm.calls[-1] == "pin_verify"
        queued, enqueue = asyncio.Event(), bench.pipeline._enqueue
        peer = bench.put([bench.sealed(message) for message in sent])
        monkeypatch.setattr(bench.pipeline, "_enqueue", lambda work: (enqueue(work), queued.set()))
        await bench.hsm.waiting(1)
        bench.hsm.let_go()
        bench.hsm.late = set()
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            await queued.wait()
            gate.set()
            await bench.finished(peer)
            await bench.pipeline.drain()
        assert bench.watched.gate is None
        assert [answered.text("39") for answered in decoded(peer.answers)] == ["00"] * 3

    played(story)


def decoded(answers: list[bytes]) -> list[Message]:
    return [DIALECT.decode(answer) for answer in answers]
