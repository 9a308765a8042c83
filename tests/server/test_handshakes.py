"""Handshakes of a TLS listener: early bytes are not lost, failures are told in a few lines."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from switch.handshakes import LINES_AT_ONCE, SECONDS_A_LINE, Allowance, Handshakes
from switch.tls import Peer, Role, client_context, server_context
from tools.keys_authority import AUTHORITY, issue, open_authority, paths

PATIENCE_S = 60.0
NAME = "127.0.0.1"


def test_a_flood_of_failures_writes_a_few_lines_and_counts_the_rest() -> None:
    allowance = Allowance()
    written = [allowance.take(0.0) for _ in range(1000)]
    assert written == [0] * LINES_AT_ONCE + [None] * (1000 - LINES_AT_ONCE)
    assert allowance.take(SECONDS_A_LINE) == 1000 - LINES_AT_ONCE
    assert allowance.take(SECONDS_A_LINE) is None
    assert allowance.take(2 * SECONDS_A_LINE) == 1
    day = [allowance.take(2 * SECONDS_A_LINE + second) for second in range(86_400)]
    assert sum(one is not None for one in day) <= 86_400 / SECONDS_A_LINE + LINES_AT_ONCE


def test_a_quiet_day_gives_the_whole_allowance_back_and_no_more() -> None:
    allowance = Allowance(at_once=3, seconds_a_line=10.0)
    assert [allowance.take(0.0) for _ in range(4)] == [0, 0, 0, None]
    assert [allowance.take(86_400.0) for _ in range(4)] == [1, 0, 0, None]


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Either event loop: the simulated HSM takes the quicker one where it is installed."""
    chosen: Run = request.param
    return chosen


class Certificates:
    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority, _ = open_authority(directory, now)
        server = issue(directory, authority, Peer(Role.SWITCH, "vafa"), [NAME], now, 30)
        client = issue(directory, authority, Peer(Role.TERMINAL, "10000001"), [], now, 30)
        ca = paths(directory, AUTHORITY)[0]
        self.server = server_context(server, server.with_suffix(".key"), ca)
        self.client = client_context(ca, client, client.with_suffix(".key"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


class Heard(asyncio.Protocol):
    """Keeps in which order asyncio told it what."""

    def __init__(self, all_of_them: list[Heard]) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.over = asyncio.Event()
        all_of_them.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert transport.get_extra_info("ssl_object").getpeercert()
        assert transport.get_extra_info("peername")
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.calls.append("data")
        self.data += data

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append("lost")
        self.over.set()


class Listening:
    def __init__(
        self, certificates: Certificates, timeout_s: float = PATIENCE_S, most_under_way: int = 100
    ) -> None:
        self.heard: list[Heard] = []
        self.failures: list[tuple[str, str]] = []
        self.failed = asyncio.Event()
        self.handshakes = Handshakes(
            certificates.server, timeout_s, lambda: Heard(self.heard), self._failed, most_under_way
        )

    def _failed(self, peer: str, reason: str) -> None:
        self.failures.append((peer, reason))
        self.failed.set()

    async def start(self) -> int:
        listening = socket.create_server((NAME, 0))
        port: int = listening.getsockname()[1]
        self.handshakes.serve(listening)
        return port


def speak_at_once(context: ssl.SSLContext, port: int) -> None:
    """Finish the handshake and send in one segment, as a terminal on a fast line does."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with socket.create_connection((NAME, port), timeout=PATIENCE_S) as line:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                line.sendall(outgoing.read())
                incoming.write(line.recv(65536))
        tls.write(b"with the handshake's last flight")
        line.sendall(outgoing.read())
        line.recv(65536)  # tickets, or the end
        line.shutdown(socket.SHUT_WR)
        while line.recv(65536):
            pass


def test_bytes_behind_the_handshake_reach_the_protocol(certificates: Certificates, run: Run) -> None:
    async def scene() -> None:
        listening = Listening(certificates)
        port = await listening.start()
        for _ in range(20):
            await asyncio.to_thread(speak_at_once, certificates.client, port)
        assert len(listening.heard) == 20
        for heard in listening.heard:
            await heard.over.wait()
            assert heard.calls[0] == "made"
            assert heard.calls[-1] == "lost"
            assert heard.data == b"with the handshake's last flight"
        assert listening.failures == []
        listening.handshakes.close()

    run(asyncio.wait_for(scene(), PATIENCE_S))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "closed by the peer"),
        (b"GET / HTTP/1.1\r\n\r\n", "no TLS: an HTTP request"),
        (b"\x00\x40" + bytes(64), "no TLS"),
    ],
)
def test_who_speaks_no_tls_is_named_with_address_and_reason(
    certificates: Certificates, run: Run, sent: bytes, reason: str
) -> None:
    async def scene() -> None:
        listening = Listening(certificates)
        port = await listening.start()
        _, writer = await asyncio.open_connection(NAME, port)
        own = writer.get_extra_info("sockname")
        writer.write(sent)
        if not sent:
            writer.close()
        await listening.failed.wait()
        assert listening.failures == [(f"{own[0]}:{own[1]}", reason)]
        assert [heard.calls for heard in listening.heard] in ([], [[]])
        writer.close()
        listening.handshakes.close()

    run(asyncio.wait_for(scene(), PATIENCE_S))


def test_a_silent_peer_is_let_go(certificates: Certificates, run: Run) -> None:
    async def scene() -> None:
        listening = Listening(certificates, timeout_s=0.05)
        port = await listening.start()
        reader, writer = await asyncio.open_connection(NAME, port)
        await listening.failed.wait()
        assert listening.failures[0][1] == "not finished in time"
        assert await reader.read() == b""
        writer.close()
        listening.handshakes.close()

    run(asyncio.wait_for(scene(), PATIENCE_S))


def test_many_silent_peers_keep_nobody_out(certificates: Certificates, run: Run) -> None:
    async def scene() -> None:
        listening = Listening(certificates, most_under_way=5)
        port = await listening.start()
        silent = [await asyncio.open_connection(NAME, port) for _ in range(5)]
        served = threading.Thread(target=speak_at_once, args=(certificates.client, port))
        served.start()
        await asyncio.to_thread(served.join)
        assert [heard.data for heard in listening.heard if heard.calls] == [
            b"with the handshake's last flight"
        ]
        assert [reason for _, reason in listening.failures] == [
            "too many handshakes at once, the longest goes"
        ]
        listening.handshakes.close()
        for _, writer in silent:
            writer.close()

    run(asyncio.wait_for(scene(), PATIENCE_S))
