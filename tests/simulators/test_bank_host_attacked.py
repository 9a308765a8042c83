"""The bank host stays up, answers honest clients and ends in order whatever others do to it."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import socket
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from simulators.bank_host.host import BankHost
from simulators.bank_host.rules import read
from simulators.bank_host.server import READ_BYTES, BankHostServer, Place
from switch import iso8583
from switch.iso8583 import load
from switch.link.framing import framing_named
from tests.simulators.test_bank_host_server import GENEROUS_SECONDS, echo, hosted
from tests.tools.kit import PROGRAM

CUT = framing_named("2be")
MOMENT = datetime(2026, 11, 21, 17, 15, 12)
# Requests whose answers fill the buffers on the way: as many as the host reads at once, twice.
UNREAD = 2 * READ_BYTES // len(CUT.frame(echo(1)))
FLOOD = 1500  # connections: more than the usual limit of open files


def test_when_full_the_longest_silent_makes_room() -> None:
    async def scene() -> None:
        async with hosted(most_connections=3) as host:
            first, second, third = [await host.client() for _ in range(3)]
            for stan, client in enumerate((second, third, first)):
                assert (await client.ask(echo(stan)))["39"] == "00"
            late = await host.client()
            assert (await late.ask(echo(4)))["39"] == "00"
            assert await second.end() == b""
            for client in (first, third):
                assert (await client.ask(echo(5)))["39"] == "00"

    asyncio.run(scene())


def test_a_client_that_never_reads_stops_nobody_nor_the_end() -> None:
    async def scene() -> None:
        async with hosted() as host:
            greedy = socket.socket()
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.connect(("127.0.0.1", host.port))
            greedy.setblocking(False)
            sending = asyncio.ensure_future(
                asyncio.get_running_loop().sock_sendall(greedy, CUT.frame(echo(1)) * (2 * UNREAD))
            )
            async with asyncio.timeout(GENEROUS_SECONDS):
                while sum(event["event"] == "message" for event in host.events) < UNREAD:
                    host.changed.clear()
                    await host.changed.wait()
            assert (await (await host.client()).ask(echo(2)))["11"] == "000002"
            async with asyncio.timeout(GENEROUS_SECONDS):
                await host.server.stop()
            sending.cancel()
            greedy.close()

    asyncio.run(scene())


def test_an_answer_longer_than_its_framing_can_say_leaves_the_line_up(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(f'[rules.long]\ntimes = 1\nanswer.63 = "{"x" * 300}"\n')
    bank = load("iso87-ascii")
    sign_on = iso8583.samples("iso87-ascii")[0].data

    async def scene() -> None:
        events: list[object] = []
        server = BankHostServer(bank, framing_named("1be"), read(file, bank), events.append)
        port = await server.start(Place())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(GENEROUS_SECONDS):
            writer.write(framing_named("1be").frame(sign_on) * 2)
            size = (await reader.readexactly(1))[0]
            assert bank.decode(await reader.readexactly(size)).mti == "0810"
        assert any("answer dropped" in str(event) for event in events)
        await server.stop()

    asyncio.run(scene())


@pytest.mark.parametrize("dialect", iso8583.shipped())
def test_no_bytes_are_too_strange_for_the_host(dialect: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        '[rules.number]\nmatch.4 = { min = 1, max = 5 }\nanswer.38 = "{4}"\n'
        '[rules.text]\nmatch.11 = "0*"\nanswer.mti = "{37}"\n[rules.any]\nchance = 0.5\nanswer.37 = "{41}"\n'
    )
    known = load(dialect)
    host, choice = BankHost(known, read(file, known)), random.Random(dialect)
    for sample in iso8583.samples(dialect):
        for _ in range(60):
            data = bytearray(sample.data)
            for _ in range(choice.randrange(4)):
                data[choice.randrange(len(data))] = choice.randrange(256)
            reaction = host.receive(bytes(data[: choice.randrange(1, len(data) + 1)]), MOMENT)
            assert reaction.decided_by


def test_rules_nested_without_end_are_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        file = tmp_path / "rules.toml"
        file.write_text("")
        async with hosted(file=file) as host:
            file.write_text("[rules.x]\nabsent = " + "[" * 100_000)
            refused = await host.told("rules refused, the old ones stay")
            assert "nested too deep" in refused["error"]
            file.write_text("[rules.x]\nanswer.39 = '05'\nmatch.mti = '0800'\n")
            await host.told("rules read")
            assert (await (await host.client()).ask(echo(1)))["39"] == "05"

    asyncio.run(scene())


# ---------------------------------------------------------------- as a process


class Serving:
    """`vafa message serve` as a process whose standard output is read up to its first line only."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0", "--format", "jsonl", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])

    def ask(self, count: int = 1) -> None:
        """One client whose messages are all answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=GENEROUS_SECONDS) as line:
            frames = CUT.reader()
            answers = 0
            for stan in range(count):
                line.sendall(CUT.frame(echo(stan)))
                while answers <= stan:
                    data = line.recv(4096)
                    assert data, "the host closed the connection"
                    answers += len(frames.feed(data, 0.0))

    def end(self) -> str:
        """Ask it to end; what it said on standard error."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        told = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        assert code == 0, told
        return told


def test_nobody_needs_to_read_what_it_tells() -> None:
    host = Serving()
    host.ask(600)  # events of far more bytes than a pipe holds
    assert host.end() == ""


def test_the_reader_of_what_it_tells_may_leave() -> None:
    host = Serving()
    assert host.process.stdout is not None
    host.process.stdout.close()
    host.ask(3)
    assert host.end() == ""


def test_a_flood_of_connections_garbage_and_half_frames() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, FLOOD + 500)), hard))
    choice = random.Random(1)
    shapes = (
        b"",
        b"\x00",
        b"\x00\x40half",
        choice.randbytes(300),
        CUT.frame(choice.randbytes(80)),
        b"\0\0" * 50,
    )
    host = Serving()
    crowd = []
    try:
        for number in range(FLOOD):
            client = socket.create_connection(("127.0.0.1", host.port), timeout=GENEROUS_SECONDS)
            client.sendall(shapes[number % len(shapes)])
            crowd.append(client)
        host.ask(5)
        for client in crowd[::2]:
            client.close()
        host.ask(5)
        assert host.end() == ""
    finally:
        for client in crowd:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
