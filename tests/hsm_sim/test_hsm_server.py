"""The listening box: any split or join, many hosts at once, slow and silent ones, TLS, bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from switch.hsm_sim import machine
from switch.hsm_sim.framing import frame
from switch.hsm_sim.server import HsmServer, ServerSettings
from switch.tls import TlsError, server_context
from tests.hsm_sim.boxes import Box, aes_token
from tests.hsm_sim.certificates import Authority

PATIENCE_S = 30.0  # how long a test waits for what must happen; nothing is measured
SECRET = "92389" * 3
TOO_MANY = "too many connections, the longest idle goes"


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def reasons(self) -> list[str]:
        return [fields["reason"] for event, fields in self.lines if "reason" in fields]


@asynccontextmanager
async def serving(
    settings: ServerSettings | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[HsmServer, Lines]]:
    log = Lines()
    server = HsmServer(Box().machine, settings or ServerSettings(port=0), log, tls)
    await server.start()
    try:
        yield server, log
    finally:
        await server.stop()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene()

    asyncio.run(bounded())


async def host(server: HsmServer, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.ports[0], **options)


async def answer(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)


def echo(number: int, size: int = 4) -> bytes:
    data = f"{number:0{size}d}".encode()
    return frame(f"{number % 10000:04d}".encode(), b"B2", f"{len(data):04X}".encode() + data)


async def served(server: HsmServer, **options: Any) -> None:
    """One request of a new host is answered, else OSError or IncompleteReadError."""
    reader, writer = await host(server, **options)
    writer.write(echo(5))
    assert await answer(reader) == b"0005B3000005"
    writer.close()


def test_requests_split_at_every_byte_and_joined_are_answered_in_order() -> None:
    async def scene() -> None:
        async with serving() as (server, _):
            reader, writer = await host(server)
            for byte in echo(1) + echo(2):
                writer.write(bytes((byte,)))
                await writer.drain()
            writer.write(b"".join(echo(number) for number in range(3, 500)))
            for number in range(1, 500):
                assert await answer(reader) == f"{number:04d}B300{number:04d}".encode()
            writer.close()

    play(scene)


@pytest.mark.parametrize("header_bytes", [0, 12])
def test_the_header_length_is_a_setting(header_bytes: int) -> None:
    async def scene() -> None:
        async with serving(ServerSettings(port=0, header_bytes=header_bytes)) as (server, _):
            reader, writer = await host(server)
            header = b"\xff" * header_bytes
            writer.write(frame(header, b"NC", b""))
            assert await answer(reader) == header + b"ND002686040000000000SIMULATED"
            writer.close()

    play(scene)


@pytest.mark.parametrize("garbage", [b"\0\0", b"\0\5HEADN", b"\0\1x", b"\0\4GET ", bytes(200)])
def test_what_can_not_be_a_frame_ends_the_connection_with_one_line(garbage: bytes) -> None:
    async def scene() -> None:
        async with serving() as (server, log):
            reader, writer = await host(server)
            writer.write(echo(7) + garbage)
            assert await answer(reader) == b"0007B3000007"
            assert await reader.read() == b""
            assert len(log.reasons()) == 1
            writer.close()

    play(scene)


def test_an_unknown_command_gets_an_error_answer_and_one_line_without_its_fields() -> None:
    async def scene() -> None:
        async with serving() as (server, log):
            reader, writer = await host(server)
            writer.write(
                frame(b"HEAD", b"ZZ", SECRET.encode()) + frame(b"HEAD", b"\x80\xff", SECRET.encode())
            )
            assert await answer(reader) == b"HEADZ[68"
            assert await answer(reader) == b"HEAD\x80\x0068"
            refused = [fields for event, fields in log.lines if event == "request refused"]
            assert [line["command"] for line in refused] == ["ZZ", "??"]
            assert SECRET not in repr(log.lines)
            writer.close()

    play(scene)


def test_the_longest_frame_is_answered() -> None:
    async def scene() -> None:
        async with serving() as (server, _):
            reader, writer = await host(server)
            writer.write(b"\xff\xffHEADB2FFFF" + b"x" * (0xFFFF - 10))
            assert await answer(reader) == b"HEADB380"
            data = b"y" * (0xFFFF - 10)
            writer.write(frame(b"HEAD", b"B2", f"{len(data):04X}".encode() + data))
            assert await answer(reader) == b"HEADB300" + data
            writer.close()

    play(scene)


def test_a_half_frame_is_let_go_when_its_time_is_up() -> None:
    async def scene() -> None:
        async with serving(ServerSettings(port=0, frame_timeout_s=0.05)) as (server, log):
            reader, writer = await host(server)
            writer.write(echo(1)[:-1])
            assert await reader.read() == b""
            assert log.reasons() == ["a frame did not come to its end"]
            writer.close()

    play(scene)


def test_a_silent_host_is_let_go() -> None:
    async def scene() -> None:
        async with serving(ServerSettings(port=0, idle_timeout_s=0.05)) as (server, log):
            reader, writer = await host(server)
            assert await reader.read() == b""
            assert log.reasons() == ["it was silent for too long"]
            writer.close()

    play(scene)


def test_a_host_that_ends_gets_what_it_asked_before() -> None:
    async def scene() -> None:
        async with serving() as (server, _):
            reader, writer = await host(server)
            writer.write(b"".join(echo(number) for number in range(1000)))
            writer.write_eof()
            everything = await reader.read()
            assert len(everything) == 1000 * 14
            writer.close()

    play(scene)


def test_a_host_that_never_reads_is_not_read_from_and_let_go() -> None:
    async def scene() -> None:
        async with serving(ServerSettings(port=0, write_timeout_s=0.2)) as (server, log):
            _, writer = await host(server, limit=1024)
            sent = 0

            async def push() -> None:
                nonlocal sent
                while True:
                    writer.write(echo(1, 60000))
                    await writer.drain()
                    sent += 60000

            pushing = asyncio.create_task(push())
            with pytest.raises(OSError):
                await pushing
            assert sent < 64 * 1024 * 1024
            assert log.reasons() == ["it does not read its answers"]
            writer.close()

    play(scene)


def test_other_hosts_are_served_while_one_floods() -> None:
    async def scene() -> None:
        async with serving() as (server, _):
            _, flood = await host(server)
            flood.write(echo(1) * 5000)
            reader, writer = await host(server)
            writer.write(echo(9))
            assert await answer(reader) == b"0009B3000009"
            writer.close()
            flood.transport.abort()

    play(scene)


def test_a_thousand_hosts_at_once_and_not_one_more_than_allowed() -> None:
    async def scene() -> None:
        async with serving(ServerSettings(port=0, max_connections=1000)) as (server, log):
            hosts = [await host(server) for _ in range(1000)]
            for number, (_, writer) in enumerate(hosts):
                writer.write(echo(number))
            for number, (reader, _) in enumerate(hosts):
                assert await answer(reader) == f"{number:04d}B300{number:04d}".encode()
            await served(server)
            assert log.reasons() == [TOO_MANY]
            for _, writer in hosts:
                writer.close()

    play(scene)


def test_idle_connections_keep_nobody_out() -> None:
    """Those that never asked anything go first; bytes that are no whole request don't count."""

    async def scene() -> None:
        async with serving(ServerSettings(port=0, max_connections=3)) as (server, log):
            good_reader, good = await host(server)
            good.write(echo(1))
            assert await answer(good_reader) == b"0001B3000001"
            strangers = [await host(server) for _ in range(2)]
            strangers[0][1].write(echo(2)[:-1])
            late = [await host(server) for _ in range(2)]
            for number, (reader, writer) in enumerate(late, 3):
                writer.write(echo(number))
                assert await answer(reader) == f"{number:04d}B300{number:04d}".encode()
            for reader, _ in strangers:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            assert server.connections == 3
            good.write(echo(9))
            assert await answer(good_reader) == b"0009B3000009"
            assert log.reasons() == [TOO_MANY] * 2
            # All have asked: the longest idle of them goes, not the one that asked last.
            await served(server)
            good.write(echo(10))
            assert await answer(good_reader) == b"0010B3000010"

    play(scene)


def test_a_flood_of_refusals_does_not_flood_the_log() -> None:
    async def scene() -> None:
        async with serving() as (server, log):
            reader, writer = await host(server)
            writer.write(frame(b"HEAD", b"ZZ", b"") * 2000)
            for _ in range(2000):
                assert await answer(reader) == b"HEADZ[68"
            assert len(log.lines) < 200
            writer.close()

    play(scene)


def test_each_lmk_may_have_its_port() -> None:
    async def scene() -> None:
        for _ in range(20):  # the ports after a free one need not be free
            try:
                async with serving(ServerSettings(port=0, lmk_ports=True)) as (server, _):
                    shown = []
                    for port in server.ports:
                        reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.write(frame(b"HEAD", b"NC", b""))
                        shown.append((await answer(reader))[8:14])
                        writer.close()
                    assert shown == [b"268604", b"268604", b"8E0EC0", b"DB3FB6"]
                    return
            except OSError:
                continue
        raise AssertionError("no four free ports in a row in twenty attempts")

    play(scene)


def test_an_internal_error_is_an_answer_and_says_nothing_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def broken(call: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setitem(machine.HANDLERS, "NC", broken)

    async def scene() -> None:
        async with serving() as (server, log):
            reader, writer = await host(server)
            writer.write(frame(b"HEAD", b"NC", b"") + echo(3))
            assert await answer(reader) == b"HEADND41"
            assert await answer(reader) == b"0003B3000003"
            assert "RuntimeError" in repr(log.lines)
            assert SECRET not in repr(log.lines)
            writer.close()

    play(scene)


# ------------------------------------------------------------------ TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def box_context(authority: Authority) -> ssl.SSLContext:
    certificate, key = authority.issue("box")
    return server_context(certificate, key, authority.path)


def host_context(authority: Authority, identity: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


def test_a_host_with_a_certificate_is_served(authority: Authority) -> None:
    async def scene() -> None:
        async with serving(tls=box_context(authority)) as (server, _):
            context = host_context(authority, authority.issue("switch"))
            reader, writer = await host(server, ssl=context)
            writer.write(echo(1)[:5])
            await writer.drain()
            writer.write(echo(1)[5:] + echo(2))
            assert await answer(reader) == b"0001B3000001"
            assert await answer(reader) == b"0002B3000002"
            writer.close()

    play(scene)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")  # that is why it is offered
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("none", "no certificate"),
        ("expired", "certificate expired"),
        ("foreign", "foreign certificate"),
        ("old TLS", "TLS version too old"),
        ("plain", "no TLS"),
        ("issued by a host", "certificate refused: invalid CA certificate"),
    ],
)
def test_everybody_else_is_refused_with_one_line(
    authority: Authority, tmp_path: Path, kind: str, reason: str
) -> None:
    identity: tuple[Path, Path] | None = authority.issue("switch")
    if kind == "none":
        identity = None
    if kind == "expired":
        identity = authority.issue("late", days=-1)
    if kind == "foreign":
        (tmp_path / "foreign").mkdir()
        identity = Authority(tmp_path / "foreign", "foreign").issue("switch")
    if kind == "issued by a host":
        identity = authority.issue_by(authority.issue("shop"), "made up", uris=("urn:vafa:switch:main",))

    async def scene() -> None:
        async with serving(tls=box_context(authority)) as (server, log):
            context: ssl.SSLContext | None = host_context(authority, identity)
            assert context is not None
            if kind == "old TLS":
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
                context.set_ciphers("ALL:@SECLEVEL=0")
            if kind == "plain":
                context = None
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await served(server, ssl=context)
            # and the box is still there for the right one
            await served(server, ssl=host_context(authority, authority.issue("right")))
            failed = [fields for event, fields in log.lines if event == "TLS handshake failed"]
            assert [fields["reason"] for fields in failed] == [reason]
            assert failed[0]["peer"].startswith("127.0.0.1:")

    play(scene)


@pytest.mark.parametrize(
    ("uris", "is_served"),
    [
        (("urn:vafa:switch:main",), True),
        ((), True),
        (("https://bank.example/hosts/7",), True),
        (("urn:vafa:terminal:10000001",), False),
        (("urn:vafa:partner:BANK",), False),
        (("urn:vafa:hsm:box",), False),
        (("urn:vafa:switch:",), False),
        (("urn:vafa:nobody:main",), False),
        (("urn:vafa:switch:main", "urn:vafa:terminal:10000001"), False),
    ],
)
def test_a_certificate_for_another_role_uses_no_key(
    authority: Authority, uris: tuple[str, ...], is_served: bool
) -> None:
    """A terminal's is of the same authority, and stands in a shop."""

    async def scene() -> None:
        async with serving(tls=box_context(authority)) as (server, log):
            context = host_context(authority, authority.issue("somebody", uris=uris))
            if is_served:
                await served(server, ssl=context)
                return
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await served(server, ssl=context)
            [fields] = [fields for event, fields in log.lines if event == "connection closed"]
            assert fields["reason"] == "not a host's certificate"
            assert server.connections == 0

    play(scene)


def test_a_missing_certificate_is_named(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("box")
    with pytest.raises(TlsError, match="nowhere"):
        server_context(tmp_path / "nowhere", key, authority.path)
    with pytest.raises(TlsError, match="nowhere"):
        server_context(certificate, key, tmp_path / "nowhere")


def test_a_key_made_by_one_host_works_for_another() -> None:
    async def scene() -> None:
        async with serving() as (server, _):
            reader, writer = await host(server)
            writer.write(frame(b"HEAD", b"XY", b"M6A1N%02"))
            made = (await answer(reader))[8:-6].decode()
            other_reader, other = await host(server)
            other.write(frame(b"HEAD", b"M6", f"00160FFF{made}0004data%02".encode()))
            tag = (await answer(other_reader))[8:]
            assert len(tag) == 16
            other.write(frame(b"HEAD", b"M8", f"00160FFF{made}0004data".encode() + tag + b"%02"))
            assert await answer(other_reader) == b"HEADM900"
            assert aes_token(bytes(16), "M6") != made
            writer.close()
            other.close()

    play(scene)
