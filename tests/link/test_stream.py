"""Links on real sockets, with peers that misbehave. Nothing here waits for time: always for what happens."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from switch.iso8583 import Message
from switch.link.errors import DuplicateInFlight, LinkDown, LinkTimeout
from switch.link.framing import DEFAULT_FRAMING, framing_named
from switch.link.states import State
from switch.link.stream import Client, Peer, Server
from tests.link.exchange import (
    CARD,
    DIALECT,
    TERMINAL,
    answer_to,
    client_settings,
    on_wire,
    purchase,
    server_settings,
)

HANGING_S = 30.0  # only what hangs takes so long


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(HANGING_S):
            await work

    asyncio.run(bounded())


class Host:
    """A host by hand: what it reads and writes is the test's business."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[HostConnection] = asyncio.Queue()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Host:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        self.connections.put_nowait(HostConnection(reader, writer))

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def signed_on(self) -> HostConnection:
        connection = await self.connections.get()
        await connection.approve()
        return connection


class HostConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._bytes = reader
        self.writer = writer
        self._frames = DEFAULT_FRAMING.reader()
        self._messages: list[Message] = []

    async def read(self) -> Message | None:
        """The next message; None at the end."""
        while not self._messages:
            data = await self._bytes.read(4096)
            if not data:
                return None
            self._messages += [DIALECT.decode(one.payload) for one in self._frames.feed(data, 0.0)]
        return self._messages.pop(0)

    async def expect(self) -> Message:
        message = await self.read()
        assert message is not None, "the connection ended"
        return message

    async def approve(self, code: str = "00") -> Message:
        """Answer the next message."""
        message = await self.expect()
        self.write(on_wire(answer_to(message, code)))
        return message

    def write(self, data: bytes) -> None:
        self.writer.write(data)


class Heard:
    """What the handlers of a client are told, to be waited for."""

    def __init__(self) -> None:
        self.late: asyncio.Queue[tuple[Message, Message]] = asyncio.Queue()
        self.unsolicited: asyncio.Queue[Message] = asyncio.Queue()
        self.states: list[State] = []
        self.reports: asyncio.Queue[str] = asyncio.Queue()

    async def on_late(self, request: Message, answer: Message) -> None:
        self.late.put_nowait((request, answer))

    async def on_unsolicited(self, message: Message) -> None:
        self.unsolicited.put_nowait(message)

    def on_state(self, state: State, why: str) -> None:
        self.states.append(state)

    def report(self, what: str, why: str) -> None:
        self.reports.put_nowait(f"{what} {why}")


def client_of(host: Host, heard: Heard | None = None, **changes: Any) -> Client:
    heard = heard or Heard()
    return Client(
        "127.0.0.1",
        host.port,
        client_settings(back_off_first_s=0.001, **changes),
        on_late=heard.on_late,
        on_unsolicited=heard.on_unsolicited,
        on_state=heard.on_state,
        report=heard.report,
    )


async def approve(message: Message, peer: Peer) -> Message:
    return answer_to(message, "00", **{"37": message.text("4")})


def test_many_requests_at_once_over_one_connection_each_get_their_own_answer() -> None:
    async def scene() -> None:
        async with (
            Server(server_settings(), approve) as server,
            Client("127.0.0.1", server.port, client_settings()) as client,
        ):
            await client.up()
            requests = [purchase(stan, amount=stan * 7) for stan in range(1, 501)]
            answers = await asyncio.gather(*(client.request(request) for request in requests))
            assert [answer.text("37") for answer in answers] == [each.text("4") for each in requests]
            assert client.counters.answers == 501
        assert server.peers == ()

    run(scene())


def test_a_client_comes_up_signs_off_and_leaves() -> None:
    async def scene() -> None:
        heard = Heard()
        async with Host() as host:
            client = client_of(host, heard)
            client.start()
            connection = await host.signed_on()
            await client.up()
            stopping = asyncio.ensure_future(client.stop())
            assert (await connection.approve()).text("70") == "002"
            await stopping
            assert await connection.read() is None
        assert heard.states == [
            State.CONNECTING,
            State.SIGNING_ON,
            State.UP,
            State.DRAINING,
            State.STOPPED,
        ]

    run(scene())


def test_answers_in_half_frames_reversed_and_twice() -> None:
    async def scene() -> None:
        heard = Heard()
        async with Host() as host, client_of(host, heard, drain_timeout_s=0.0) as client:
            connection = await host.signed_on()
            await client.up()
            pending = [asyncio.ensure_future(client.request(purchase(stan))) for stan in (1, 2)]
            asked = [await connection.expect() for _ in pending]
            stream = on_wire(answer_to(asked[1]), answer_to(asked[0]), answer_to(asked[1]))
            for at in range(len(stream)):
                connection.write(stream[at : at + 1])
                await connection.writer.drain()
            assert [answer.text("11") for answer in await asyncio.gather(*pending)] == ["000001", "000002"]
            assert "second answer dropped" in await heard.reports.get()
            assert heard.late.empty()
            assert heard.unsolicited.empty()

    run(scene())


def test_a_dropped_request_times_out_and_its_late_answer_is_reversed() -> None:
    async def scene() -> None:
        reversed_stans: asyncio.Queue[str] = asyncio.Queue()
        async with Host() as host:

            async def reverse(request: Message, answer: Message) -> None:
                reversal = Message("0420", {**request.fields, "90": "0" * 42})
                reversed_stans.put_nowait((await client.request(reversal)).text("39"))

            client = Client("127.0.0.1", host.port, client_settings(drain_timeout_s=0.0), on_late=reverse)
            async with client:
                connection = await host.signed_on()
                await client.up()
                with pytest.raises(LinkTimeout):
                    await client.request(purchase(1), 0.01)
                connection.write(on_wire(answer_to(await connection.expect())))
                assert (await connection.approve()).mti == "0420"
                assert await reversed_stans.get() == "00"

    run(scene())


def test_a_host_that_goes_away_is_found_again() -> None:
    async def scene() -> None:
        heard = Heard()
        async with Host() as host, client_of(host, heard, drain_timeout_s=0.0) as client:
            connection = await host.signed_on()
            await client.up()
            pending = asyncio.ensure_future(client.request(purchase(1)))
            await connection.expect()
            await host.close()
            with pytest.raises(LinkDown) as caught:
                await pending
            assert caught.value.sent
            await client.wait_for(State.DOWN)
            with pytest.raises(LinkDown, match="not sent") as caught:
                await client.request(purchase(2))
            assert not caught.value.sent
            again = Host()
            again.port = host.port
            async with again:
                connection = await again.signed_on()
                await client.up()
                connection.write(on_wire(answer_to(purchase(1))))  # a host may remember what it was asked
                assert (await heard.late.get())[0] == purchase(1)
            assert client.counters.connections == 2

    run(scene())


def test_a_host_that_drops_every_connection_in_the_middle_of_an_answer() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host, drain_timeout_s=0.0) as client:
            for stan in range(1, 6):
                connection = await host.signed_on()
                await client.up()
                pending = asyncio.ensure_future(client.request(purchase(stan)))
                stream = on_wire(answer_to(await connection.expect()))
                connection.write(stream[: stan * 5])
                connection.writer.close()
                with pytest.raises(LinkDown):
                    await pending
            connection = await host.signed_on()
            await client.up()
            pending = asyncio.ensure_future(client.request(purchase(9)))
            await connection.approve()
            assert (await pending).text("39") == "00"

    run(scene())


def test_nobody_listens() -> None:
    async def scene() -> None:
        async with Host() as host:
            pass
        async with client_of(host) as client:
            with pytest.raises(LinkDown, match=r"not up within 0\.05 s"):
                await client.up(0.05)
            assert client.counters.failures > 0

    run(scene())


def test_a_name_that_is_none_is_a_failed_attempt_not_an_error() -> None:
    async def scene() -> None:
        async with Client("a..b", 1, client_settings(back_off_first_s=100.0)) as client:
            await client.wait_for(State.DOWN)
            assert client.why

    run(scene())


def test_a_cancelled_request_is_a_late_answer_when_it_comes() -> None:
    async def scene() -> None:
        heard = Heard()
        async with Host() as host, client_of(host, heard, drain_timeout_s=0.0) as client:
            connection = await host.signed_on()
            await client.up()
            pending = asyncio.ensure_future(client.request(purchase(1)))
            asked = await connection.expect()
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
            connection.write(on_wire(answer_to(asked)))
            assert await heard.late.get() == (purchase(1), answer_to(purchase(1)))

    run(scene())


def test_an_answer_that_came_while_its_caller_was_cancelled_is_not_lost() -> None:
    async def scene() -> None:
        heard = Heard()
        async with Host() as host, client_of(host, heard, drain_timeout_s=0.0) as client:
            connection = await host.signed_on()
            await client.up()
            pending = asyncio.ensure_future(client.request(purchase(1)))
            await connection.expect()
            wire = client._wire
            assert wire is not None
            wire.data_received(on_wire(answer_to(purchase(1))))  # in the very moment …
            pending.cancel()  # … in which the caller gives up
            with pytest.raises(asyncio.CancelledError):
                await pending
            assert await heard.late.get() == (purchase(1), answer_to(purchase(1)))

    run(scene())


def test_a_duplicate_key_is_told_to_its_caller_alone() -> None:
    async def scene() -> None:
        async with Host() as host, client_of(host, drain_timeout_s=0.0) as client:
            connection = await host.signed_on()
            await client.up()
            first = asyncio.ensure_future(client.request(purchase(1)))
            asked = await connection.expect()
            with pytest.raises(DuplicateInFlight):
                await client.request(purchase(1, amount=5))
            connection.write(on_wire(answer_to(asked)))
            assert (await first).text("39") == "00"

    run(scene())


def test_the_hosts_own_messages() -> None:
    async def scene() -> None:
        async def on_message(message: Message, peer: Peer) -> Message | None:
            return answer_to(message, "25")

        heard = Heard()
        async with Host() as host:
            client = Client(
                "127.0.0.1",
                host.port,
                client_settings(drain_timeout_s=0.0),
                on_message=on_message,
                on_unsolicited=heard.on_unsolicited,
            )
            async with client:
                connection = await host.signed_on()
                await client.up()
                connection.write(on_wire(purchase(5), answer_to(purchase(6))))
                assert await connection.expect() == answer_to(purchase(5), "25")
                assert await heard.unsolicited.get() == answer_to(purchase(6))
                connection.write(
                    on_wire(Message("0800", {"11": "000001", "41": TERMINAL, "42": "1" * 15, "70": "301"}))
                )
                assert (await connection.expect()).text("39") == "00"

    run(scene())


def test_no_log_line_shows_a_card_number(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        caplog.set_level("DEBUG")
        async with Host() as host:
            client = Client("127.0.0.1", host.port, client_settings(drain_timeout_s=0.0))
            async with client:
                connection = await host.signed_on()
                await client.up()
                with pytest.raises(LinkTimeout) as timeout:
                    await client.request(purchase(1), 0.01)
                asked = await connection.expect()
                with_card = {**answer_to(asked).fields, "2": CARD}
                connection.write(on_wire(Message("0210", with_card)) * 2)  # late, then once more
                connection.write(on_wire(purchase(5), Message("0210", {**with_card, "11": "000009"})))
                connection.write(DEFAULT_FRAMING.frame(b"\x02\x00" + bytes.fromhex(CARD) * 2))
                pending = asyncio.ensure_future(client.request(purchase(2)))
                await connection.approve()
                await pending
                shown = [record.getMessage() for record in caplog.records]
                assert len(shown) >= 4
                assert CARD not in "".join([*shown, str(timeout.value), repr(timeout.value), caplog.text])

    run(scene())


# ---------------------------------------------------------------- server


async def talk(port: int) -> HostConnection:
    return HostConnection(*await asyncio.open_connection("127.0.0.1", port))


def test_a_peer_that_sends_half_a_frame_and_leaves_harms_nobody() -> None:
    async def scene() -> None:
        async with Server(server_settings(), approve) as server:
            rude, good = await talk(server.port), await talk(server.port)
            rude.write(on_wire(purchase(1))[:11])
            await rude.writer.drain()
            rude.writer.transport.abort()
            good.write(on_wire(purchase(2)))
            assert (await good.expect()).text("11") == "000002"
            good.write(b"\xff\xff")
            assert await good.read() is None

    run(scene())


def test_a_handler_that_fails_is_answered_and_logged_without_its_words() -> None:
    async def scene() -> None:
        heard = Heard()

        async def fail(message: Message, peer: Peer) -> Message:
            raise RuntimeError(f"no such card {CARD}")

        async with Server(server_settings(), fail, report=heard.report) as server:
            peer = await talk(server.port)
            peer.write(on_wire(purchase(1)))
            assert (await peer.expect()).text("39") == "96"
            assert await heard.reports.get() == "message handler failed RuntimeError"

    run(scene())


def test_a_peer_that_reads_nothing_is_not_read_from() -> None:
    async def scene() -> None:
        release, full = asyncio.Event(), asyncio.Event()
        handled = 0

        async def slow(message: Message, peer: Peer) -> Message:
            nonlocal handled
            handled += 1
            if handled == 10:
                full.set()
            await release.wait()
            return answer_to(message)

        async with Server(server_settings(max_at_handler=10), slow) as server:
            peer = await talk(server.port)
            one = on_wire(purchase(1))
            for stan in range(1, 20_000):
                peer.write(on_wire(purchase(stan)))
            await full.wait()
            for _turn in range(100):  # every chance to read on
                await asyncio.sleep(0)
            assert handled * len(one) < 512 * 1024  # what one read took, not the whole megabyte
            release.set()
            assert [(await peer.expect()).text("11") for _ in range(100)][99] == "000100"
            peer.writer.transport.abort()

    run(scene())


def test_connections_beyond_the_limit_are_turned_away() -> None:
    async def scene() -> None:
        async with Server(server_settings(), approve, maximum_connections=1) as server:
            first = await talk(server.port)
            first.write(on_wire(purchase(1)))
            await first.expect()
            second = await talk(server.port)
            with contextlib.suppress(ConnectionError):
                assert await second.read() is None
            assert server.turned_away == 1
            first.write(on_wire(purchase(2)))
            assert (await first.expect()).text("11") == "000002"

    run(scene())


def test_stopping_a_server_answers_what_it_has() -> None:
    async def scene() -> None:
        began, release = asyncio.Event(), asyncio.Event()

        async def slow(message: Message, peer: Peer) -> Message:
            began.set()
            await release.wait()
            return answer_to(message)

        server = Server(server_settings(), slow)
        await server.start()
        peer = await talk(server.port)
        peer.write(on_wire(purchase(1)))
        await began.wait()
        stopping = asyncio.ensure_future(server.stop())
        waiting = asyncio.ensure_future(server.ended())
        [accepted] = server.peers
        await accepted.wait_for(State.DRAINING)
        peer.write(on_wire(purchase(2)))
        assert (await peer.expect()).text("39") == "91"
        release.set()
        assert await peer.expect() == answer_to(purchase(1))
        assert await peer.read() is None
        await stopping
        await waiting

    run(scene())


def test_a_server_asks_its_peer_over_the_same_connection() -> None:
    async def scene() -> None:
        answers: asyncio.Queue[Message] = asyncio.Queue()

        async def ask_back(message: Message, peer: Peer) -> Message:
            answers.put_nowait(await peer.request(purchase(9)))
            return answer_to(message)

        async with Server(server_settings(), ask_back) as server:
            peer = await talk(server.port)
            peer.write(on_wire(purchase(1)))
            await peer.approve()
            assert (await answers.get()).text("11") == "000009"
            assert await peer.expect() == answer_to(purchase(1))

    run(scene())


def test_a_tpdu_both_ways() -> None:
    async def scene() -> None:
        async with Server(server_settings(framing=framing_named("nac")), approve) as server:
            settings = client_settings(framing=framing_named("2be+tpdu=6000030011"))
            async with Client("127.0.0.1", server.port, settings) as client:
                await client.up()
                assert (await client.request(purchase(1))).text("39") == "00"

    run(scene())


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of a host on this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host.test")])
    now = datetime.now(UTC)
    names = [x509.DNSName("host.test"), x509.IPAddress(ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "host.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_with_the_hosts_name_checked(certificate: Path) -> None:
    async def scene() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        trust = ssl.create_default_context(cafile=str(certificate))
        async with Server(server_settings(), approve, tls=context) as server:
            good = Client("127.0.0.1", server.port, client_settings(), tls=trust, server_hostname="host.test")
            async with good:
                await good.up()
                assert (await good.request(purchase(1))).text("39") == "00"
            settings = client_settings(back_off_first_s=100.0)
            async with Client(
                "127.0.0.1", server.port, settings, tls=trust, server_hostname="other.test"
            ) as bad:
                await bad.wait_for(State.DOWN)
                assert "certificate refused" in bad.why
            strangers = ssl.create_default_context()
            async with Client("127.0.0.1", server.port, settings, tls=strangers) as bad:
                await bad.wait_for(State.DOWN)
                assert "certificate refused" in bad.why

    run(scene())
