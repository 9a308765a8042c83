"""The line that goes wrong: what each toxic does to the bytes between two ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.faults import (
    TOXICS,
    Bandwidth,
    Corrupt,
    Drop,
    Duplicate,
    FaultProxy,
    Frames,
    Latency,
    LateResponse,
    LimitData,
    ResetPeer,
    Slicer,
    Stream,
    Timeout,
    Toxic,
    message_type,
)

GENEROUS_SECONDS = 30


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


EARN = frame(bytes.fromhex("0200") + b"earn")
EARN_ANSWER = frame(bytes.fromhex("0210") + b"earn")
BALANCE = frame(bytes.fromhex("0100") + b"balance")
ANSWERS = {EARN: EARN_ANSWER, BALANCE: frame(bytes.fromhex("0110") + b"balance")}


class Ends:
    """A terminal connected through the proxy to a switch that answers known frames and echoes others."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.arrived = bytearray()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def got(self, data: bytes) -> None:
        assert await self._reader.readexactly(len(data)) == data

    async def all_until_end(self) -> bytes:
        return await self._reader.read()

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            await self._reader.read()  # to the end, which must not come

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def line(*toxics: Toxic, seed: int = 0) -> AsyncIterator[Ends]:
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        frames = Frames()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(1000):
                ends.arrived += data
                for request in frames.feed(data):
                    writer.write(ANSWERS.get(request, request))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1], seed)
    await proxy.start()
    for toxic in toxics:
        proxy.add(toxic)
    ends = Ends(proxy)
    async with asyncio.timeout(GENEROUS_SECONDS):
        await ends.connect()
        yield ends
        ends.close()
    await proxy.stop()
    server.close()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections)


@given(st.lists(st.binary(max_size=300), max_size=6), st.randoms(use_true_random=False))
def test_frames_come_whole_however_the_stream_is_torn(messages, choice):
    stream = b"".join(frame(message) for message in messages) + b"\x00"
    frames, found = Frames(), []
    while stream:
        cut = choice.randint(1, len(stream))
        found += frames.feed(stream[:cut])
        stream = stream[cut:]
    assert found == [frame(message) for message in messages]
    assert frames.rest() == b"\x00"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (EARN, "0200"),
        (frame(bytes.fromhex("6000030000") + bytes.fromhex("0420")), "0420"),
        (frame(b""), ""),
        (frame(b"\x02"), ""),
    ],
)
def test_message_type_with_and_without_tpdu(data, expected):
    assert message_type(data) == expected


def test_a_healthy_line_changes_nothing():
    async def scene() -> None:
        async with line() as ends:
            ends.send(EARN + BALANCE)
            await ends.got(ANSWERS[EARN] + ANSWERS[BALANCE])
            assert ends.arrived == EARN + BALANCE
            assert ends.proxy.forwarded == {Stream.UPSTREAM: 2, Stream.DOWNSTREAM: 2}

    asyncio.run(scene())


@pytest.mark.parametrize(
    "toxic",
    [
        Latency(latency=5, jitter=5),
        LateResponse(latency=20),
        Bandwidth(rate=10),
        Slicer(average_size=2, size_variation=1, delay=100),
        Slicer(stream=Stream.UPSTREAM),
    ],
)
def test_slow_lines_still_carry_everything_in_order(toxic):
    async def scene() -> None:
        async with line(toxic) as ends:
            ends.send(EARN + BALANCE)
            await ends.got(ANSWERS[EARN] + ANSWERS[BALANCE])
            assert toxic.struck > 0

    asyncio.run(scene())


def test_the_answer_is_lost_with_the_line_after_the_request_passed():
    async def scene() -> None:
        toxic = ResetPeer(message_types=frozenset({"0210"}), times=1)
        async with line(toxic) as ends:
            ends.send(BALANCE)
            await ends.got(ANSWERS[BALANCE])
            ends.send(EARN)
            await ends.is_reset()
            await ends.proxy.toxic_struck(toxic)
            assert ends.arrived == BALANCE + EARN
            await ends.connect()  # once only: the next line is healthy
            ends.send(EARN)
            await ends.got(ANSWERS[EARN])

    asyncio.run(scene())


def test_limit_data_tears_the_last_frame_and_ends():
    async def scene() -> None:
        async with line(LimitData(bytes=len(ANSWERS[EARN]) + 3)) as ends:
            ends.send(EARN + BALANCE)
            assert await ends.all_until_end() == ANSWERS[EARN] + ANSWERS[BALANCE][:3]

    asyncio.run(scene())


def test_timeout_swallows_and_then_ends():
    async def scene() -> None:
        async with line(Timeout(timeout=1)) as ends:
            ends.send(EARN)
            assert await ends.all_until_end() == b""
            assert ends.arrived == EARN

    asyncio.run(scene())


def test_dropped_frames_leave_the_line_up():
    async def scene() -> None:
        async with line(Drop(times=1)) as ends:
            ends.send(EARN + BALANCE)
            await ends.got(ANSWERS[BALANCE])

    asyncio.run(scene())


def test_duplicate_and_corrupt():
    async def scene() -> None:
        async with line(
            Duplicate(times=1, stream=Stream.UPSTREAM), Corrupt(message_types=frozenset({"0110"}))
        ) as ends:
            ends.send(EARN + BALANCE)
            await ends.got(ANSWERS[EARN] * 2 + ANSWERS[BALANCE][:2])
            damaged = ANSWERS[BALANCE][:2] + await ends._reader.readexactly(len(ANSWERS[BALANCE]) - 2)
            difference = int.from_bytes(damaged) ^ int.from_bytes(ANSWERS[BALANCE])
            assert difference.bit_count() == 1

    asyncio.run(scene())


def test_held_answers_wait_for_their_release():
    async def scene() -> None:
        async with line() as ends:
            ends.proxy.hold_answers()
            ends.send(EARN)
            await ends.proxy.answer_held_after(0)
            assert ends.arrived == EARN
            assert ends.proxy.forwarded[Stream.DOWNSTREAM] == 0
            ends.proxy.release_answers()
            await ends.got(ANSWERS[EARN])

    asyncio.run(scene())


def test_a_held_answer_dies_with_its_line():
    async def scene() -> None:
        async with line() as ends:
            ends.proxy.hold_answers()
            ends.send(EARN)
            await ends.proxy.answer_held_after(0)
            await ends.proxy.pull_line()
            await ends.is_reset()
            await ends.connect()
            await ends.is_reset()
            ends.proxy.mend_line()
            ends.proxy.release_answers()
            await ends.connect()
            ends.send(BALANCE)
            await ends.got(ANSWERS[BALANCE])

    asyncio.run(scene())


def test_nobody_upstream_is_a_reset():
    async def scene() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        proxy = FaultProxy("127.0.0.1", port)
        await proxy.start()
        ends = Ends(proxy)
        async with asyncio.timeout(GENEROUS_SECONDS):
            await ends.connect()
            await ends.is_reset()
        ends.close()
        await proxy.stop()

    asyncio.run(scene())


def test_a_seed_strikes_the_same_frames():
    def struck(seed: int) -> list[bool]:
        choice, toxic = random.Random(seed), Drop(toxicity=0.5)
        return [toxic.strikes(EARN, choice) for _ in range(64)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 0 < sum(struck(1)) < 64


def test_toxics_bear_the_names_everybody_knows():
    names = {"latency", "bandwidth", "slicer", "timeout", "reset_peer", "limit_data"}
    assert names | {"late_response", "duplicate", "corrupt"} <= set(TOXICS)
