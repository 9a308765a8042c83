"""The bank host on real sockets: many clients, framings, TLS, delays, rules that change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulators.bank_host.rules import HostRules, read
from simulators.bank_host.server import BankHostServer, Place
from switch.iso8583 import Message, Value, load
from switch.link.framing import Framing, framing_named

VAFA = load("vafa")
GENEROUS_SECONDS = 30.0  # only a hanging host is this slow
NETWORK: dict[str, Value] = {"41": "10000001", "42": "100000000000001", "70": "301"}
CARD = "9364001234567898"


def echo(stan: int) -> bytes:
    return VAFA.encode(Message("0800", {"11": f"{stan:06}", **NETWORK}))


def earn(amount: str) -> bytes:
    fields: dict[str, Value] = {
        "2": CARD,
        "3": "210060",
        "4": amount,
        "11": "000009",
        "12": "204514",
        "13": "1121",
        "22": "012",
        "41": "10000001",
        "42": "100000000000001",
        "49": "364",
        "60": "000001",
    }
    return VAFA.encode(Message("0200", fields))


class Client:
    """One connection; answers are read one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, framing: Framing) -> None:
        self.reader, self.writer, self.framing = reader, writer, framing
        self.frames = framing.reader()
        self.waiting: list[Any] = []

    async def ask(self, payload: bytes, tpdu: bytes | None = None) -> Message:
        self.writer.write(self.framing.frame(payload, tpdu))
        return await self.answer()

    async def answer(self) -> Message:
        async with asyncio.timeout(GENEROUS_SECONDS):
            while not self.waiting:
                data = await self.reader.read(4096)
                assert data, "the host closed the connection"
                self.waiting += self.frames.feed(data, 0.0)
        frame = self.waiting.pop(0)
        self.tpdu = frame.tpdu
        return VAFA.decode(frame.payload)

    async def end(self) -> bytes:
        async with asyncio.timeout(GENEROUS_SECONDS):
            return await self.reader.read()


class Hosted:
    """A running host, what it told, and clients to it."""

    def __init__(self, server: BankHostServer, port: int, framing: Framing, events: list[Any]) -> None:
        self.server, self.port, self.framing, self.events = server, port, framing, events
        self.changed = asyncio.Event()

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port), self.framing)

    async def told(self, event: str) -> Any:
        async with asyncio.timeout(GENEROUS_SECONDS):
            while True:
                found = [one for one in self.events if one["event"] == event]
                if found:
                    return found[-1]
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def hosted(
    rules: HostRules | None = None,
    framing: str = "2be",
    file: Path | None = None,
    most_connections: int | None = None,
) -> AsyncIterator[Hosted]:
    events: list[Any] = []
    cut = framing_named(framing)

    def tell(event: Any) -> None:
        events.append(event)
        running.changed.set()

    server = BankHostServer(VAFA, cut, rules or HostRules(), tell, file, most_connections)
    running = Hosted(server, 0, cut, events)
    running.port = await server.start(Place())
    try:
        yield running
    finally:
        async with asyncio.timeout(GENEROUS_SECONDS):
            await server.stop()


@pytest.mark.parametrize("framing", ["2be", "2le-inclusive", "ascii4", "bcd2", "vmlh", "ebcdic4", "base24"])
def test_every_framing(framing: str) -> None:
    async def scene() -> None:
        async with hosted(framing=framing) as host:
            assert (await (await host.client()).ask(echo(1)))["39"] == "00"

    asyncio.run(scene())


def test_the_tpdu_goes_back_with_its_addresses_swapped() -> None:
    async def scene() -> None:
        async with hosted() as host:
            client = await host.client()
            await client.ask(echo(1), bytes.fromhex("6012345678"))
            assert client.tpdu == bytes.fromhex("6056781234")

    asyncio.run(scene())


def test_many_clients_each_get_their_own_answers() -> None:
    async def one(host: Hosted, number: int) -> None:
        client = await host.client()
        for stan in (number * 2, number * 2 + 1):
            assert (await client.ask(echo(stan)))["11"] == f"{stan:06}"
        client.writer.close()

    async def scene() -> None:
        async with hosted() as host:
            await asyncio.gather(*(one(host, number) for number in range(100)))

    asyncio.run(scene())


def test_a_late_answer_is_overtaken_and_still_comes(tmp_path: Path) -> None:
    async def scene() -> None:
        file = tmp_path / "rules.toml"
        file.write_text('[rules.late]\nmatch.11 = "000001"\naction = "late"\ndelay_ms = 150')
        async with hosted(read(file, VAFA)) as host:
            client = await host.client()
            client.writer.write(host.framing.frame(echo(1)) + host.framing.frame(echo(2)))
            assert [(await client.answer())["11"] for _ in range(2)] == ["000002", "000001"]

    asyncio.run(scene())


def test_an_unanswered_amount_leaves_the_line_up() -> None:
    async def scene() -> None:
        async with hosted() as host:
            client = await host.client()
            client.writer.write(host.framing.frame(earn("000000000068")))
            assert (await client.ask(echo(2)))["11"] == "000002"

    asyncio.run(scene())


def test_closing_and_noise(tmp_path: Path) -> None:
    async def scene() -> None:
        file = tmp_path / "rules.toml"
        file.write_text('[rules.noise]\naction = "noise"\ntimes = 1\n[rules.close]\naction = "close"')
        async with hosted(read(file, VAFA)) as host:
            client = await host.client()
            client.writer.write(host.framing.frame(echo(1)) + host.framing.frame(echo(2)))
            assert (await client.end())[:1] == b"\xff"

    asyncio.run(scene())


def test_a_stream_that_is_no_frames_is_closed_and_the_host_stays() -> None:
    async def scene() -> None:
        async with hosted(framing="ascii4") as host:
            stranger = await host.client()
            stranger.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await stranger.end() == b""
            await host.told("bad framing: length bytes 47455420, expected ASCII digits")
            assert (await (await host.client()).ask(echo(1)))["39"] == "00"

    asyncio.run(scene())


def test_keep_alives_come_back() -> None:
    async def scene() -> None:
        async with hosted() as host:
            client = await host.client()
            client.writer.write(host.framing.keep_alive())
            async with asyncio.timeout(GENEROUS_SECONDS):
                assert await client.reader.readexactly(2) == b"\0\0"

    asyncio.run(scene())


def test_changed_rules_are_taken_without_a_restart_and_bad_ones_are_not(tmp_path: Path) -> None:
    async def scene() -> None:
        file = tmp_path / "rules.toml"
        file.write_text('[rules.one]\nmatch.mti = "0200"\nanswer.39 = "05"')
        async with hosted(read(file, VAFA), file=file) as host:
            client = await host.client()
            assert (await client.ask(earn("000000000000")))["39"] == "05"
            file.write_text('[rules.one]\nanswer = "05"')
            refused = await host.told("rules refused, the old ones stay")
            assert "rules.toml:2: rules.one.answer: not a table" in refused["error"]
            assert (await client.ask(earn("000000000000")))["39"] == "05"
            other = tmp_path / "other.toml"
            other.write_text('[rules.one]\nmatch.mti = "0200"\nanswer.39 = "91"')
            os.replace(other, file)
            await host.told("rules read")
            assert (await client.ask(earn("000000000000")))["39"] == "91"

    asyncio.run(scene())


def test_nothing_told_shows_a_card_number() -> None:
    async def scene() -> None:
        async with hosted() as host:
            client = await host.client()
            await client.ask(earn("000000000000"))
            await host.told("message")
            assert "936400******7898" in str(host.events)
            assert CARD[6:12] not in str(host.events)

    asyncio.run(scene())
