"""Advices reach the host however often it or the line is away, once as new, then as repeats."""

from __future__ import annotations

import asyncio
from typing import Any

from switch.iso8583 import Message
from switch.link.forwarder import Forwarder
from switch.link.store_and_forward import UNSEALED, ForwardRules, Outcome, Stage, StoreAndForward
from switch.link.stream import Client
from tests.link.exchange import DIALECT, answer_to, client_settings, on_wire, purchase
from tests.link.test_store_and_forward import Memory
from tests.link.test_stream import Heard, Host, run


class Office:
    """A queue, its forwarder and a clock that the test moves."""

    def __init__(self, client: Client, storage: Memory | None = None, **rules: Any) -> None:
        self.ended: asyncio.Queue[Outcome] = asyncio.Queue()
        self.fails = 0
        self.heard = Heard()
        self.queue = StoreAndForward(
            storage or Memory(), UNSEALED, ForwardRules(**{"retry_delay_ms": 1, **rules})
        )
        self.forwarder = Forwarder(
            client, self.queue, DIALECT, self.on_outcome, timeout_s=5.0, report=self.heard.report
        )

    async def on_outcome(self, outcome: Outcome) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not now")
        self.ended.put_nowait(outcome)

    async def __aenter__(self) -> Office:
        self._task = asyncio.ensure_future(self.forwarder.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def client_of(host: Host, **more: Any) -> Client:
    settings = client_settings(back_off_first_s=0.001, drain_timeout_s=0.0)
    return Client("127.0.0.1", host.port, settings, report=Heard().report, **more)


def advice(stan: int) -> Message:
    return purchase(stan, mti="0220")


def test_an_advice_put_while_the_host_is_away_is_sent_when_it_comes() -> None:
    async def scene() -> None:
        async with Host() as host:
            client = client_of(host)
            async with Office(client) as office:
                number = await office.forwarder.put(advice(1))
                async with client:
                    connection = await host.signed_on()
                    assert await connection.approve() == advice(1)
                    outcome = await office.ended.get()
                    assert (outcome.number, outcome.stage) == (number, Stage.ANSWERED)
                    assert outcome.key == "10000001"

    run(scene())


def test_a_broken_line_makes_it_a_repeat() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host) as client, Office(client) as office:
            connection = await host.signed_on()
            await office.forwarder.put(advice(1))
            assert await connection.expect() == advice(1)
            connection.writer.transport.abort()
            connection = await host.signed_on()
            repeat = await connection.approve("91")
            assert (repeat.mti, repeat.fields) == ("0221", advice(1).fields)
            assert (await connection.approve()).mti == "0221"
            outcome = await office.ended.get()
            assert (outcome.stage, outcome.attempts) == (Stage.ANSWERED, 3)

    run(scene())


def test_one_terminals_advices_keep_their_order_others_overtake() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host) as client, Office(client) as office:
            connection = await host.signed_on()
            await office.forwarder.put(advice(1))
            await office.forwarder.put(advice(2))
            await office.forwarder.put(purchase(3, mti="0220", terminal="10000002"))
            first, other = await connection.expect(), await connection.expect()
            assert (first.text("11"), other.text("11")) == ("000001", "000003")
            connection.write(on_wire(answer_to(other)))
            assert (await office.ended.get()).key == "10000002"
            connection.write(on_wire(answer_to(first, "58")))
            assert (await office.ended.get()).stage is Stage.REFUSED
            assert (await connection.approve()).text("11") == "000002"
            assert (await office.ended.get()).stage is Stage.ANSWERED

    run(scene())


def test_a_queue_of_an_earlier_life_goes_on() -> None:
    async def scene() -> None:
        storage = Memory()
        earlier = StoreAndForward(storage, UNSEALED)
        earlier.put("10000001", DIALECT.encode(advice(1)), 0)
        earlier.put("10000001", DIALECT.encode(advice(2)), 0)
        earlier.take(0)
        async with Host() as host, client_of(host) as client, Office(client, storage) as office:
            connection = await host.signed_on()
            assert (await connection.approve()).mti == "0221"
            assert (await connection.approve()).mti == "0220"
            assert [(await office.ended.get()).number for _ in range(2)] == [1, 2]

    run(scene())


def test_a_full_queue_holds_its_callers_back() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host) as client, Office(client, capacity=1) as office:
            connection = await host.signed_on()
            await office.forwarder.put(advice(1))
            held = asyncio.ensure_future(office.forwarder.put(advice(2)))
            asked = await connection.expect()
            assert not held.done()
            connection.write(on_wire(answer_to(asked)))
            assert await held == 2
            assert (await connection.approve()).text("11") == "000002"

    run(scene())


def test_a_late_answer_to_an_advice_counts_and_reverses_nothing() -> None:
    async def scene() -> None:
        reversals = 0
        taken: asyncio.Queue[bool] = asyncio.Queue()

        async def on_late(request: Message, answer: Message) -> None:
            taken.put_nowait(office.forwarder.take_late(request, answer))

        async with Host() as host, client_of(host, on_late=on_late) as client:
            office = Office(client, retry_delay_ms=3_600_000, retry_delay_longest_ms=3_600_000)
            async with office:
                connection = await host.signed_on()
                await office.forwarder.put(advice(1))
                asked = await connection.expect()
                connection.writer.transport.abort()
                connection = await host.signed_on()
                connection.write(on_wire(answer_to(asked)))
                assert await taken.get()
                assert (await office.ended.get()).stage is Stage.ANSWERED
                assert reversals == 0
                assert not office.forwarder.take_late(purchase(7), answer_to(purchase(7)))

    run(scene())


def test_what_can_not_be_sent_any_more_ends_as_refused() -> None:
    async def scene() -> None:
        storage = Memory()
        StoreAndForward(storage, UNSEALED).put("10000001", b"of another dialect", 0)
        async with Host() as host, client_of(host) as client, Office(client, storage) as office:
            await host.signed_on()
            assert (await office.ended.get()).stage is Stage.REFUSED

    run(scene())


def test_an_outcome_is_told_again_when_its_handler_failed() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host) as client, Office(client) as office:
            office.fails = 1
            connection = await host.signed_on()
            await office.forwarder.put(advice(1))
            await connection.approve()
            await office.forwarder.put(advice(2))
            await connection.approve()
            assert [(await office.ended.get()).number for _ in range(2)] == [1, 2]

    run(scene())


def test_a_disk_that_is_full_for_a_while_loses_nothing() -> None:
    async def scene() -> None:
        storage = Memory()
        async with Host() as host, client_of(host) as client, Office(client, storage) as office:
            connection = await host.signed_on()
            await office.forwarder.put(advice(1))
            asked = await connection.expect()
            storage.broken = storage.half = True
            connection.write(on_wire(answer_to(asked)))
            assert "queue unavailable" in await office.heard.reports.get()
            storage.broken = False
            await office.forwarder.put(advice(2))
            while (await connection.approve()).text("11") != "000002":
                pass
            assert [(await office.ended.get()).number for _ in range(2)] == [1, 2]

    run(scene())
