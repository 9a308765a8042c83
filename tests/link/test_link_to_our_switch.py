"""An integrator's link against the real switch process: MACs both ways, an advice that is not doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from switch.iso8583 import Message
from switch.link.forwarder import Forwarder
from switch.link.network import NetworkMessages
from switch.link.store_and_forward import UNSEALED, FileStorage, ForwardRules, Outcome, Stage, StoreAndForward
from switch.link.stream import Client
from tests.link.exchange import DIALECT, client_settings
from tests.link.test_stream import run
from tests.server.running_switch import RunningSwitch, TerminalSide, new_card


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TerminalSide]:
    switch = RunningSwitch(tmp_path_factory.mktemp("switch"))
    side = TerminalSide(switch)
    yield side
    side.line.close()
    assert switch.stop() == 0


class MacCodec:
    """The dialect with this terminal's MACs around it; an answer's belongs to its request's serial."""

    def __init__(self, terminal: TerminalSide) -> None:
        self._terminal = terminal
        self._sent: dict[str, bytes] = {}  # by STAN

    def encode(self, message: Message) -> bytes:
        request = self._sent[message.text("11")] = self._terminal.sealed(message)
        return request

    def decode(self, data: bytes) -> Message:
        message = DIALECT.decode(data)
        if not self._terminal.is_genuine(data, self._sent[message.text("11")]):
            raise ValueError("MAC")
        return message


class CutClient(Client):
    """A client whose line can be cut between a request's leaving and its answer's coming."""

    async def cut_after_sending(self) -> None:
        wire = self._wire
        assert wire is not None
        left = asyncio.Event()
        assert wire.transport is not None
        write = wire.transport.write

        def write_and_cut(data: bytes) -> None:
            write(data)
            left.set()
            self._loop.call_soon(self._lost, ConnectionResetError(104, "Connection reset by peer"))
            self._loop.call_soon(wire.transport.close)  # type: ignore[union-attr]

        wire.transport.write = write_and_cut  # type: ignore[method-assign]
        await left.wait()


def client_of(terminal: TerminalSide) -> CutClient:
    network = NetworkMessages(fields={"41": terminal.terminal.id, "42": terminal.terminal.acceptor})
    settings = client_settings(codec=MacCodec(terminal), network=network, back_off_first_s=0.001)
    return CutClient("127.0.0.1", terminal.switch.port, settings)


def test_it_signs_on_and_earns(terminal: TerminalSide) -> None:
    async def scene() -> None:
        async with client_of(terminal) as client:
            await client.up()
            assert client.sign_on_answer is not None
            assert "48.10" in client.sign_on_answer  # the switch's date
            card = new_card()
            assert (await client.request(terminal.activation(card)))["39"] == "00"
            answers = await asyncio.gather(
                *(client.request(terminal.earn(card, amount)) for amount in (100_000, 200_000, 300_000))
            )
            assert [answer["39"] for answer in answers] == ["00"] * 3
            assert client.counters.undecodable == 0

    run(scene())


def test_an_advice_whose_answer_is_lost_counts_once(terminal: TerminalSide, tmp_path: Path) -> None:
    card = terminal.activated_card()
    rate = terminal.switch.settings.program.rial_per_earned_point

    async def scene() -> None:
        ended: asyncio.Queue[Outcome] = asyncio.Queue()
        queue = StoreAndForward(FileStorage(tmp_path / "queue"), UNSEALED, ForwardRules(retry_delay_ms=1))
        async with client_of(terminal) as client:
            await client.up()

            async def note(outcome: Outcome) -> None:
                ended.put_nowait(outcome)

            forwarder = Forwarder(client, queue, DIALECT, note)
            running = asyncio.ensure_future(forwarder.run())
            await forwarder.put(terminal.earn(card, 70 * rate, mti="0220"))
            await client.cut_after_sending()
            outcome = await ended.get()
            assert (outcome.stage, outcome.attempts) == (Stage.ANSWERED, 2)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(scene())
    assert terminal.points(card) == 70
