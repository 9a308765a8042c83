"""Connections to a box that misbehaves: a server of ours that answers late, twice, wrongly, in halves or not.

Whatever it does, a call gets its own answer or UNAVAILABLE; a connection that was odd is gone for good.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.hsm import PayShieldHsm
from switch.hsm.port import Capability, Fault, HsmError, Key, KeyAlgorithm, KeyUse
from switch.tls import client_context, server_context
from tests.hsm_sim.certificates import Authority

TOKEN = "S10022M6AC00N0000ABCDEF"
KEY = Key(TOKEN, KeyUse.MAC, "A1B2C3")
SECRET = b"what must not be told"
FOREVER_S = 30.0  # only a hanging test is this slow
SHORT_S = 0.5  # a timeout that is meant to pass, and in which a busy machine still connects and answers


class Request:
    """One request as the server sees it."""

    def __init__(self, connection: int, frame: bytes) -> None:
        self.connection = connection
        self.header, self.command, self.body = frame[:4], frame[4:6], frame[6:]

    @property
    def mac(self) -> bytes:
        """Of every request another one, so that an answer shows whose it is."""
        return hashlib.sha256(self.body).digest()[:8]

    def answer(self, error: bytes = b"00", header: bytes | None = None) -> bytes:
        if self.command == b"NC":
            return self.reply(error + b"0" * 16 + b"SIMULATED", header)
        if self.command == b"XY":
            return self.reply(error + b"S10022M6AC00N0000ABCDEF" + b"A1B2C3", header)
        return self.reply(error + self.mac.hex().upper().encode(), header)

    def reply(self, content: bytes, header: bytes | None = None) -> bytes:
        code = self.command[:1] + bytes((self.command[1] + 1,))
        whole = (self.header if header is None else header) + code + content
        return len(whole).to_bytes(2) + whole


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


async def well_behaved(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.answer())


class Box:
    """A payShield-like server; `behaviour` answers everything but the first NC of the first connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.connections = 0
        self.started = False
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                frame = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                request = Request(number, frame)
                if self.started:
                    self.requests.append(request)
                    await self.behaviour(request, writer)
                else:
                    self.started = True
                    await well_behaved(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def box_and_client(
    behaviour: Behaviour,
    *,
    connections: int = 1,
    timeout_s: float = FOREVER_S,
    heartbeat_s: float = FOREVER_S,
) -> AsyncIterator[tuple[Box, PayShieldHsm]]:
    box = Box(behaviour)
    await box.start()
    hsm = PayShieldHsm(
        "127.0.0.1", box.port, connections=connections, timeout_s=timeout_s, heartbeat_s=heartbeat_s
    )
    await hsm.start()
    try:
        yield box, hsm
    finally:
        await hsm.close()
        await box.stop()


async def mac_of(hsm: PayShieldHsm, data: bytes) -> bytes | Fault:
    """The MAC, checked to be this request's own; or the fault."""
    try:
        mac = await hsm.mac_generate(KEY, data)
    except HsmError as error:
        told, fault = str(error), error.fault
    else:
        told, fault = "", None
    assert SECRET.decode() not in told
    assert TOKEN not in told
    if fault is not None:
        return fault
    body = b"00160FFF" + TOKEN.encode() + b"%04X" % len(data) + data + b"%00"
    assert mac == hashlib.sha256(body).digest()[:8]
    return mac


async def why_not(hsm: PayShieldHsm) -> str:
    """What a call is refused with."""
    with pytest.raises(HsmError) as refused:
        await hsm.mac_generate(KEY, b"data")
    return str(refused.value)


async def until(condition: Callable[[], bool]) -> None:
    """The test's own time limit ends a vain wait."""
    async with asyncio.timeout(FOREVER_S):
        for _ in itertools.count():
            if condition():
                return
            await asyncio.sleep(0.001)


async def reconnected(hsm: PayShieldHsm) -> None:
    """Until a call works again."""
    async with asyncio.timeout(FOREVER_S):
        for _ in itertools.count():
            await until(lambda: hsm.connected > 0)
            if isinstance(await mac_of(hsm, b"again?"), bytes):
                return


def run(coroutine: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(coroutine())  # type: ignore[arg-type]


async def never(request: Request, writer: asyncio.StreamWriter) -> None:
    pass


async def half(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.answer()[:-3])


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half_and_hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.answer()[:-3])
    writer.close()


async def unknown_header(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.answer(header=b"zzzz"))


async def other_code(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.answer().replace(b"M7", b"M9"))


async def too_long(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.reply(b"00" + request.mac.hex().encode() + b"00"))


async def too_short(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.reply(b"00" + request.mac.hex().encode()[:-2]))


async def no_hex(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.reply(b"00" + b"X" * 16))


async def junk(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(30_000))


async def ill(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(request.reply(b"41"))


MISBEHAVIOURS = [
    never,
    half,
    hang_up,
    half_and_hang_up,
    unknown_header,
    other_code,
    too_long,
    too_short,
    no_hex,
    junk,
    ill,
]


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_an_odd_connection_fails_its_call_and_is_never_used_again(misbehaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with box_and_client(misbehaviour, timeout_s=SHORT_S) as (box, hsm):
            assert await mac_of(hsm, b"first") is Fault.UNAVAILABLE
            odd = {request.connection for request in box.requests}
            box.behaviour = well_behaved
            box.requests.clear()
            await reconnected(hsm)
            assert odd.isdisjoint(request.connection for request in box.requests)

    run(scenario)


def test_an_answer_that_comes_late_is_nobodys() -> None:
    """The box answers after the caller gave up; the next call must not get that answer."""

    async def scenario() -> None:
        held: list[tuple[Request, asyncio.StreamWriter]] = []

        async def late(request: Request, writer: asyncio.StreamWriter) -> None:
            held.append((request, writer))

        async with box_and_client(late, timeout_s=SHORT_S) as (box, hsm):
            assert await mac_of(hsm, b"first") is Fault.UNAVAILABLE
            box.behaviour = well_behaved
            for request, writer in held:
                writer.write(request.answer())
            await reconnected(hsm)
            assert isinstance(await mac_of(hsm, b"second"), bytes)

    run(scenario)


def test_an_answer_given_twice_ends_the_connection() -> None:
    async def scenario() -> None:
        async def twice(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(request.answer())
            writer.write(request.answer())

        async with box_and_client(twice) as (box, hsm):
            assert isinstance(await mac_of(hsm, b"first"), bytes)
            box.behaviour = well_behaved
            await reconnected(hsm)
            assert box.requests[-1].connection > 1

    run(scenario)


def test_answers_are_told_apart_by_header_not_by_order() -> None:
    async def scenario() -> None:
        held: list[Request] = []

        async def backwards(request: Request, writer: asyncio.StreamWriter) -> None:
            held.append(request)
            if len(held) == 20:
                writer.write(b"".join(one.answer() for one in reversed(held)))

        async with box_and_client(backwards) as (_, hsm):
            macs = await asyncio.gather(*(mac_of(hsm, b"%d" % number) for number in range(20)))
            assert all(isinstance(mac, bytes) for mac in macs)

    run(scenario)


ACTIONS = st.sampled_from(["answer", "hold", "release", "twice", "half", "unknown", "code", "close"])


@settings(max_examples=60)
@given(st.lists(ACTIONS, min_size=1, max_size=16), st.integers(1, 3))
def test_no_call_ever_gets_another_ones_answer(actions: list[str], connections: int) -> None:
    """16 calls at once against a box that does what the example says; mac_of checks whose answer came."""

    async def scenario() -> None:
        script = iter(actions)
        held: list[tuple[Request, asyncio.StreamWriter]] = []

        async def scripted(request: Request, writer: asyncio.StreamWriter) -> None:
            action = next(script, "answer")
            if action == "hold":
                held.append((request, writer))
                return
            if action == "release":
                for old, old_writer in held:
                    old_writer.write(old.answer())
                held.clear()
            if action == "unknown":
                writer.write(request.answer(header=b"zzzz"))
            elif action == "code":
                writer.write(request.answer().replace(b"M7", b"M9"))
            elif action == "half":
                writer.write(request.answer()[:-3])
                writer.close()
            elif action == "close":
                writer.close()
            else:
                writer.write(request.answer())
                if action == "twice":
                    writer.write(request.answer())

        async with box_and_client(scripted, connections=connections, timeout_s=SHORT_S) as (_, hsm):
            results = await asyncio.gather(*(mac_of(hsm, b"%d" % number) for number in range(16)))
            assert all(result is Fault.UNAVAILABLE or isinstance(result, bytes) for result in results)

    run(scenario)


def test_a_lost_call_that_leaves_nothing_behind_is_sent_once_more_elsewhere() -> None:
    async def scenario() -> None:
        async def first_hangs_up(request: Request, writer: asyncio.StreamWriter) -> None:
            if len(box.requests) == 1:
                writer.close()
            else:
                writer.write(request.answer())

        async with box_and_client(first_hangs_up, connections=2) as (box, hsm):
            await until(lambda: hsm.connected == 2)
            assert isinstance(await mac_of(hsm, b"data"), bytes)
            one, other = box.requests
            assert one.connection != other.connection
            assert one.body == other.body

    run(scenario)


def test_a_call_is_never_sent_a_third_time() -> None:
    async def scenario() -> None:
        async with box_and_client(hang_up, connections=2) as (box, hsm):
            await until(lambda: hsm.connected == 2)
            assert await mac_of(hsm, b"data") is Fault.UNAVAILABLE
            assert len(box.requests) == 2

    run(scenario)


def test_a_call_that_makes_a_key_is_not_sent_again() -> None:
    async def scenario() -> None:
        async with box_and_client(hang_up, connections=2) as (box, hsm):
            await until(lambda: hsm.connected == 2)
            with pytest.raises(HsmError, match="generate_key: unavailable"):
                await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)
            assert [request.command for request in box.requests] == [b"XY"]

    run(scenario)


def test_other_calls_of_a_connection_that_times_out_fail_with_it() -> None:
    async def scenario() -> None:
        async with box_and_client(never, timeout_s=SHORT_S) as (_, hsm):
            results = await asyncio.gather(*(mac_of(hsm, b"%d" % number) for number in range(5)))
            assert results == [Fault.UNAVAILABLE] * 5

    run(scenario)


def test_a_caller_that_goes_away_takes_nobodys_answer_with_it() -> None:
    async def scenario() -> None:
        held: list[tuple[Request, asyncio.StreamWriter]] = []
        arrived = asyncio.Event()

        async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
            held.append((request, writer))
            arrived.set()

        async with box_and_client(hold) as (box, hsm):
            gone = asyncio.create_task(hsm.mac_generate(KEY, b"gone"))
            await arrived.wait()
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            box.behaviour = well_behaved
            second = asyncio.create_task(mac_of(hsm, b"second"))
            for request, writer in held:
                writer.write(request.answer())
            assert isinstance(await second, bytes)
            assert {request.connection for request in box.requests} == {1}

    run(scenario)


def test_no_more_than_64_calls_are_under_way_on_a_connection() -> None:
    async def scenario() -> None:
        held: list[tuple[Request, asyncio.StreamWriter]] = []
        full = asyncio.Event()

        async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
            held.append((request, writer))
            if len(held) == 64:
                full.set()

        async with box_and_client(hold) as (box, hsm):
            calls = [asyncio.create_task(mac_of(hsm, b"%d" % number)) for number in range(200)]
            await full.wait()
            beyond = asyncio.create_task(mac_of(hsm, b"one more"))
            await asyncio.sleep(0)
            assert len(held) == 64
            assert not beyond.done()
            box.behaviour = well_behaved
            for request, writer in held:
                writer.write(request.answer())
            results = await asyncio.gather(*calls, beyond)
            assert all(isinstance(result, bytes) for result in results)

    run(scenario)


def test_a_silent_connection_is_asked_whether_it_lives() -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        async def deaf(request: Request, writer: asyncio.StreamWriter) -> None:
            assert request.command == b"NC"
            asked.set()

        async with box_and_client(deaf, timeout_s=SHORT_S, heartbeat_s=0.01) as (box, hsm):
            await asked.wait()
            box.behaviour = well_behaved
            await until(lambda: box.connections > 1)
            await reconnected(hsm)

    run(scenario)


def test_a_worn_connection_is_replaced_without_a_lost_call() -> None:
    """With one header byte a connection lasts for 62 calls."""

    async def scenario() -> None:
        async def one_byte_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    frame = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                    content = b"00" + (b"0" * 16 + b"SIMULATED" if frame[1:3] == b"NC" else bytes(8))
                    reply = frame[:1] + frame[1:2] + bytes((frame[2] + 1,)) + content
                    writer.write(len(reply).to_bytes(2) + reply)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(one_byte_header, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hsm = PayShieldHsm("127.0.0.1", port, connections=1, header_bytes=1, timeout_s=FOREVER_S)
        await hsm.start()
        try:
            for _ in range(500):
                assert await hsm.random(8) == bytes(8)
        finally:
            await hsm.close()
            server.close()

    run(scenario)


def test_closing_lets_calls_end_and_takes_no_more() -> None:
    async def scenario() -> None:
        held: list[tuple[Request, asyncio.StreamWriter]] = []
        arrived = asyncio.Event()

        async def hold(request: Request, writer: asyncio.StreamWriter) -> None:
            held.append((request, writer))
            arrived.set()

        async with box_and_client(hold) as (_, hsm):
            open_call = asyncio.create_task(mac_of(hsm, b"under way"))
            await arrived.wait()
            closing = asyncio.create_task(hsm.close())
            await asyncio.sleep(0)
            assert await mac_of(hsm, b"too late") is Fault.UNAVAILABLE
            for request, writer in held:
                writer.write(request.answer())
            assert isinstance(await open_call, bytes)
            await closing

    run(scenario)


def test_a_box_that_is_not_there_is_named() -> None:
    async def scenario() -> None:
        box = Box(well_behaved)
        await box.start()
        await box.stop()
        hsm = PayShieldHsm("127.0.0.1", box.port)
        with pytest.raises(HsmError, match=f"start: unavailable .127.0.0.1:{box.port}"):
            await hsm.start()
        assert await mac_of(hsm, b"data") is Fault.UNAVAILABLE

    run(scenario)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.mark.parametrize("start", [asyncio.run, uvloop.run])
@pytest.mark.parametrize(
    ("uris", "is_asked"),
    [
        (("urn:vafa:hsm:box",), True),
        ((), True),
        (("https://bank.example/boxes/7",), True),
        (("urn:vafa:switch:main",), False),
        (("urn:vafa:terminal:10000001",), False),
        (("urn:vafa:partner:BANK",), False),
        (("urn:vafa:hsm:",), False),
        (("urn:vafa:nobody:box",), False),
        (("urn:vafa:hsm:box", "urn:vafa:terminal:10000001"), False),
    ],
)
def test_a_certificate_for_another_role_is_asked_nothing(
    authority: Authority,
    uris: tuple[str, ...],
    is_asked: bool,
    start: Callable[[Coroutine[None, None, None]], None],
) -> None:
    """Whoever holds one stands where the box should, under its very address."""
    certificate, key = authority.issue("somebody", uris=uris)

    async def scenario() -> None:
        box = Box(well_behaved)
        box.started = True
        await box.start(server_context(certificate, key, None))
        hsm = PayShieldHsm("127.0.0.1", box.port, tls=client_context(authority.path), timeout_s=FOREVER_S)
        try:
            if is_asked:
                await hsm.start()
                assert isinstance(await mac_of(hsm, b"data"), bytes)
                return
            with pytest.raises(HsmError, match="certificate is not an HSM's") as failure:
                await hsm.start()
            assert failure.value.fault is Fault.UNAVAILABLE
            assert box.requests == []
        finally:
            await hsm.close()
            await box.stop()

    start(scenario())


def test_a_box_that_turns_into_somebody_else_is_asked_nothing_more(authority: Authority) -> None:
    """A new connection is looked at like the first one."""

    async def scenario() -> None:
        box = Box(well_behaved)
        await box.start(server_context(*authority.issue("box", uris=("urn:vafa:hsm:box",)), None))
        hsm = PayShieldHsm(
            "127.0.0.1", box.port, tls=client_context(authority.path), connections=1, timeout_s=FOREVER_S
        )
        await hsm.start()
        try:
            await box.stop()
            await box.start(server_context(*authority.issue("shop", uris=("urn:vafa:terminal:1",)), None))
            box.behaviour = hang_up  # on the old connection; the next one is the other's
            assert await mac_of(hsm, b"last") is Fault.UNAVAILABLE
            asked = len(box.requests)
            async with asyncio.timeout(FOREVER_S):
                for _ in itertools.count():
                    if "certificate is not an HSM's" in await why_not(hsm):
                        break
                    await asyncio.sleep(0.001)
            assert len(box.requests) == asked
        finally:
            await hsm.close()
            await box.stop()

    asyncio.run(scenario())


def test_a_box_that_says_nothing_is_not_waited_for() -> None:
    async def scenario() -> None:
        box = Box(never)
        box.started = True
        await box.start()
        hsm = PayShieldHsm("127.0.0.1", box.port, timeout_s=SHORT_S)
        with pytest.raises(HsmError, match="no answer in time"):
            await hsm.start()
        await box.stop()

    run(scenario)


def test_a_real_box_is_not_asked_for_the_private_range() -> None:
    async def scenario() -> None:
        async def real(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(request.reply(b"005D672700000000001500-0023"))

        box = Box(real)
        box.started = True
        await box.start()
        hsm = PayShieldHsm("127.0.0.1", box.port, connections=1)
        await hsm.start()
        try:
            expected = Capability.RANDOM | Capability.MAC | Capability.MAC_TDES | Capability.CARD_VALUE
            assert hsm.capabilities == expected
            assert (await hsm.status()).firmware == "1500-0023"
            with pytest.raises(HsmError) as refused:
                await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)
            assert refused.value.fault is Fault.UNSUPPORTED
            assert [request.command for request in box.requests] == [b"NC", b"NC"]
        finally:
            await hsm.close()
            await box.stop()

    run(scenario)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("10", Fault.KEY_DAMAGED),
        ("13", Fault.UNKNOWN_KEY),
        ("15", Fault.BAD_INPUT),
        ("17", Fault.NOT_AUTHORISED),
        ("20", Fault.BAD_PIN_BLOCK),
        ("68", Fault.UNSUPPORTED),
        ("A4", Fault.KEY_DAMAGED),
        ("A6", Fault.KEY_USE),
        ("ZZ", Fault.UNAVAILABLE),
    ],
)
def test_an_error_code_becomes_its_fault_and_the_connection_stays(code: str, fault: Fault) -> None:
    async def scenario() -> None:
        async def refusing(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(request.reply(code.encode()))

        async with box_and_client(refusing) as (box, hsm):
            assert await mac_of(hsm, SECRET) is fault
            box.behaviour = well_behaved
            assert isinstance(await mac_of(hsm, SECRET), bytes)
            assert box.connections == 1

    run(scenario)


def test_another_event_loop_does_as_well() -> None:
    async def scenario() -> None:
        async with box_and_client(well_behaved) as (box, hsm):
            assert isinstance(await mac_of(hsm, b"data"), bytes)
            box.behaviour = hang_up
            assert await mac_of(hsm, b"data") is Fault.UNAVAILABLE

    uvloop.run(scenario())


def test_what_is_shown_of_the_adapter_is_its_address() -> None:
    assert repr(PayShieldHsm("box.example", 1500)) == "PayShieldHsm(box.example:1500, 0 of 2 connections)"
