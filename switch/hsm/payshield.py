"""The HSM port over payShield host commands: a real box or the simulator, behind TCP or TLS.

Sockets and time only: what the bytes say is payshield_protocol's. A connection on which anything odd was
seen, or a reply came late, is closed with all its calls and never used again; no error carries what was sent.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar, cast

from switch.hsm import inputs
from switch.hsm import payshield_protocol as protocol
from switch.hsm.payshield_protocol import BodyReader, Conversation, Exhausted, ProtocolAnomaly, Reply
from switch.hsm.port import (
    MAC_BYTES,
    Capability,
    CardKey,
    Challenge,
    Direction,
    DukptPin,
    EncipheredPin,
    ExportedKey,
    Fault,
    HsmError,
    Key,
    KeyAlgorithm,
    KeyUse,
    MacAlgorithm,
    OpenedTap,
    PinFormat,
    Status,
    Tap,
)
from switch.tls import Role, peer_of, says_whose

Result = TypeVar("Result")

MOST_IN_FLIGHT = 64  # per connection: beyond, a box only queues, and a lost connection loses more
TOGETHER = 8  # calls before the next connection is used: what comes at once costs both sides less
MOST_WAITING = 4096  # calls without a place; more means the box is slower than the terminals
FIRST_PAUSE_S = 0.05  # before connecting again; doubles up to the longest
LONGEST_PAUSE_S = 5.0
HEARTBEAT_S = 5.0  # a connection silent for so long is asked NC
TOKENS_KEPT = 1024  # whose form is known: those in use
RESERVED_HEADERS = 1000  # with so few left a connection is replaced while it still works

# What needs no command of the private range: all that a real box is asked for.
STANDARD = Capability.RANDOM | Capability.MAC | Capability.MAC_TDES | Capability.CARD_VALUE
WITH_PRIVATE_RANGE = ~Capability(0)
SIMULATED = "SIMULATED"
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Command:
    """code: of the host command. repeatable: sending it twice leaves nothing behind in the box, so a call
    whose connection was lost is sent once more on another one, within its own time. The others make or move
    keys; after a loss nobody knows whether they were done, and the caller is told so."""

    code: bytes
    capability: Capability
    repeatable: bool = True
    keyed: bool = True  # the master key's id stands behind the body


_STATUS = _Command(b"NC", Capability(0), keyed=False)
_RANDOM = _Command(b"N0", Capability.RANDOM, keyed=False)
_GENERATE_KEY = _Command(b"XY", Capability.KEYS, repeatable=False)
_IMPORT_KEY = _Command(b"A6", Capability.KEY_BLOCKS, repeatable=False)
_EXPORT_KEY = _Command(b"A8", Capability.KEY_BLOCKS, repeatable=False)
_CHECK_VALUE = _Command(b"BU", Capability.KEYS)
_INITIAL_KEY = _Command(b"XE", Capability.INITIAL_KEY, repeatable=False)
_DUKPT_MAC = _Command(b"XA", Capability.DUKPT)
_DUKPT_DATA = _Command(b"XC", Capability.DUKPT)
_PIN_TRANSLATE = _Command(b"XG", Capability.PIN_TRANSLATE)
_PIN_VERIFIER = _Command(b"XI", Capability.PIN_VERIFIER)
_PIN_VERIFY = _Command(b"XK", Capability.PIN_VERIFIER)
_PIN_VALUE = _Command(b"XW", Capability.PIN_VALUE)
_CARD_VALUE_GENERATE = _Command(b"CW", Capability.CARD_VALUE)
_CARD_VALUE_VERIFY = _Command(b"CY", Capability.CARD_VALUE)
_CARD_TAP = _Command(b"XM", Capability.CARD_TAP)
_TAP_OPEN = _Command(b"XS", Capability.CARD_TAP)
_CHIP_VERIFY = _Command(b"X0", Capability.CARD_PROOF)
_CARD_KEY = _Command(b"X2", Capability.CARD_KEY, repeatable=False)
_CARD_CHALLENGE = _Command(b"XO", Capability.CARD_CHALLENGE)
_CARD_CONFIRM = _Command(b"XQ", Capability.CARD_CHALLENGE)
# Whatever is wrong with a block that comes from outside was done to it on its way.
_IMPORT_FAULTS = {
    **protocol.FAULTS,
    **dict.fromkeys(("01", "15", "26", "A5", "A7", "A8"), Fault.KEY_DAMAGED),
}
_MAC_GENERATE = {
    MacAlgorithm.CMAC: _Command(b"M6", Capability.MAC),
    MacAlgorithm.RETAIL: _Command(b"M6", Capability.MAC_TDES),
    MacAlgorithm.HMAC_SHA_256: _Command(b"XU", Capability.MAC_HMAC),
}
_MAC_VERIFY = {
    MacAlgorithm.CMAC: _Command(b"M8", Capability.MAC),
    MacAlgorithm.RETAIL: _Command(b"M8", Capability.MAC_TDES),
    MacAlgorithm.HMAC_SHA_256: _Command(b"XU", Capability.MAC_HMAC),
}


def _unheard(why: str) -> None:
    """For whoever does not listen to `on_change`."""


class _Lost(Exception):
    """The call's connection is gone. Text: why."""


class _Connection(asyncio.Protocol):
    """One connection and the calls under way on it. `over` is set when it is lost or nearly used up."""

    def __init__(self, header_bytes: int, *, has_tls: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_tls = has_tls
        self._conversation = Conversation(header_bytes)
        self._reserve = min(RESERVED_HEADERS, self._conversation.headers_left // 4)
        self.calls: dict[bytes, tuple[asyncio.Future[Reply], float]] = {}  # by header; with its deadline
        self._outgoing: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None  # one for all calls: most are answered long before
        self._timer_at = _NEVER
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None  # for whoever waits for the last call to end
        self.over = asyncio.Event()
        self.lost = False
        self.why_lost = ""
        self.replies = 0

    @property
    def usable(self) -> bool:
        return len(self.calls) < MOST_IN_FLIGHT and not self.lost and self._conversation.headers_left > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # other loops' transports don't inherit from it
        if self._has_tls and not _is_a_boxs(transport.get_extra_info("peercert")):
            self.abandon("TLS: its certificate is not an HSM's; issue one: vafa keys ca --hsm")

    def send(self, command: bytes, body: bytes, deadline: float) -> asyncio.Future[Reply]:
        """The reply, or _Lost. A caller that stops waiting leaves its call open: the reply is still awaited,
        and its absence still closes the connection."""
        transport, conversation = self._transport, self._conversation
        if self.lost or transport is None or transport.is_closing():
            raise _Lost("the connection is gone")
        try:
            header, frame = conversation.request(command, body)
        except Exhausted:
            raise _Lost("the connection is used up") from None
        future: asyncio.Future[Reply] = self._loop.create_future()
        if len(self.calls) < TOGETHER:
            transport.write(frame)
        else:  # with many under way, all that are sent in one turn of the loop leave in one write
            if not self._outgoing:
                self._loop.call_soon(self._flush)
            self._outgoing.append(frame)
        self.calls[header] = (future, deadline)
        if deadline < self._timer_at:
            self._wait_until(deadline)
        if conversation.headers_left <= self._reserve:
            self.over.set()
        return future

    def _wait_until(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._time_is_up)

    def _time_is_up(self) -> None:
        """For the call whose deadline was the next when the timer was set; it may be answered since."""
        self._timer, self._timer_at = None, _NEVER
        if not self.calls:
            return
        first = min(deadline for _future, deadline in self.calls.values())
        if first <= self._loop.time():
            self.abandon("no answer in time")
        else:
            self._wait_until(first)

    def _flush(self) -> None:
        frames, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        if self.lost:  # what was read before the transport noticed
            return
        calls = self.calls
        try:
            for reply in self._conversation.receive(data):
                future, _deadline = calls.pop(reply.header)
                self.replies += 1
                if not future.done():
                    future.set_result(reply)
                if reply.error is not protocol.OK and reply.error in protocol.ILL:
                    self.abandon("the box reports an error of its own")
                    return
        except ProtocolAnomaly as anomaly:
            self.abandon(str(anomaly))
        if self._drained is not None and not calls:
            self._all_ended()

    def _all_ended(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.abandon("the connection was lost")

    def abandon(self, why: str) -> None:
        """Close at once, fail every call under way."""
        if self.lost:
            return
        self.lost, self.why_lost = True, why
        calls, self.calls = self.calls, {}
        if self._timer is not None:
            self._timer.cancel()
        for future, _deadline in calls.values():
            if not future.done():
                future.set_exception(_Lost(why))
                future.exception()  # a caller that went away shall not be called an oversight
        if self._transport is not None:
            self._transport.abort()
        self._all_ended()
        self.over.set()

    async def drain(self, deadline: float) -> None:
        """Let the calls under way end, then close. For one caller."""
        try:
            if self.calls:
                self._drained = self._loop.create_future()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await self._drained
        finally:
            self.abandon("closed")


def _is_a_boxs(certificate: Mapping[str, Any] | None) -> bool:
    """Whether PINs and tokens may go to who holds this verified certificate: a box, or somebody of an
    authority that names nobody our way. A terminal's, a partner's and another switch's are of the same
    authority, and some of them have a server's names in them."""
    if not says_whose(certificate):
        return True
    holder = peer_of(certificate)
    return holder is not None and holder.role is Role.HSM


class PayShieldHsm:
    """A box at host and port. For one event loop: `await start()` first, `await close()` at the end.

    tls: context with the box's CA and our certificate, or None for plain TCP on a trusted wire. A certificate
    that says whom it speaks for (`switch.tls`) must say an HSM.
    header_bytes: as set in the box. timeout_s: of one call with all it waits for, and of connecting.
    master_key_id: two digits, which of the box's master keys our tokens are under. on_change: hears why when
    the last connection went, and an empty text when there is one again.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        connections: int = 2,
        header_bytes: int = 4,
        timeout_s: float = 2.0,
        master_key_id: str = "00",
        heartbeat_s: float = HEARTBEAT_S,
        on_change: Callable[[str], None] = _unheard,
    ) -> None:
        if connections < 1:
            raise ValueError("at least one connection is needed")
        if len(master_key_id) != 2 or not inputs.is_digits(master_key_id):
            raise ValueError("a master key's id has two digits")
        Conversation(header_bytes)  # says what is wrong with it now, not at the first call
        self._host, self._port, self._tls = host, port, tls
        self._header_bytes = header_bytes
        self._timeout_s, self._heartbeat_s = timeout_s, heartbeat_s
        self._master_key_suffix = protocol.with_master_key(b"", master_key_id)
        self._wanted = connections
        self._on_change = on_change
        self._up: list[_Connection] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._drains: set[asyncio.Task[None]] = set()
        self._places = connections * MOST_IN_FLIGHT  # that are free
        self._waiting: deque[asyncio.Future[None]] = deque()  # only while none is
        self._closed = False
        self._now: Callable[[], float] = monotonic  # the loop's clock, once there is one
        self._capabilities = WITH_PRIVATE_RANGE
        self._why_down = "not started"

    def __repr__(self) -> str:
        return f"PayShieldHsm({self._host}:{self._port}, {len(self._up)} of {self._wanted} connections)"

    @property
    def capabilities(self) -> Capability:
        """Known after `start`: without the private range less is offered."""
        return self._capabilities

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return sum(not connection.lost for connection in self._up)

    # -------------------------------------------------- connections

    async def start(self) -> None:
        """Connect and ask who is there. Raises HsmError (UNAVAILABLE) when nobody answers in time; once
        started, lost connections are made again in the background."""
        if self._keepers or self._closed:
            raise RuntimeError("an adapter is started once")
        self._now = asyncio.get_running_loop().time
        try:
            first = await self._connect()
        except _Lost as lost:
            raise HsmError("start", Fault.UNAVAILABLE, f"{self._host}:{self._port}: {lost}") from None
        self._up.append(first)
        try:
            if not (await self.status()).simulated:
                self._capabilities = STANDARD
        except BaseException:
            self._up.remove(first)
            first.abandon("closed")
            raise
        self._keepers = [
            asyncio.create_task(self._keep(first if number == 0 else None)) for number in range(self._wanted)
        ]

    async def close(self) -> None:
        """Takes no more calls, lets those under way end within the timeout, then closes."""
        self._closed = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        deadline = self._now() + self._timeout_s
        await asyncio.gather(*(connection.drain(deadline) for connection in self._up), *self._drains)
        self._up.clear()
        self._why_down = "closed"

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    self._new_connection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise _Lost("no connection in time") from None
        except ssl.SSLError as error:
            raise _Lost(f"TLS: {error.reason or 'failed'}") from None
        except OSError as error:
            raise _Lost(error.strerror or type(error).__name__) from None
        if connection.lost:
            raise _Lost(connection.why_lost)
        return connection

    def _new_connection(self) -> _Connection:
        return _Connection(self._header_bytes, has_tls=self._tls is not None)

    async def _keep(self, connection: _Connection | None) -> None:
        """One place in the pool: connected, watched, connected again. A connection that is nearly used up
        stays in use until its successor is there."""
        pause_s = FIRST_PAUSE_S
        worn: _Connection | None = None
        while True:
            if connection is None:
                try:
                    connection = await self._connect()
                except _Lost as lost:
                    self._why_down = str(lost)
                    await asyncio.sleep(pause_s * (0.5 + random.random() / 2))  # many switches, one box
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    continue
                self._up.append(connection)
                if len(self._up) == 1:
                    self._on_change("")
            if worn is not None:
                self._retire(worn)
            if await self._watch(connection):
                pause_s = FIRST_PAUSE_S
            if connection.lost:
                self._why_down = connection.why_lost
                self._up.remove(connection)
                worn = None
                if not self._up:
                    self._on_change(self._why_down)
                await asyncio.sleep(pause_s * random.random())
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                worn = connection
            connection = None

    def _retire(self, worn: _Connection) -> None:
        self._up.remove(worn)
        drain = asyncio.create_task(worn.drain(self._now() + self._timeout_s))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)

    async def _watch(self, connection: _Connection) -> bool:
        """Until it is over; asks NC whenever it was silent for a while. Whether it ever answered."""
        seen = connection.replies
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await connection.over.wait()
                return connection.replies > 0
            except TimeoutError:
                pass
            if connection.replies == seen and connection.usable:
                deadline = self._now() + self._timeout_s
                with suppress(_Lost):  # the loss itself is noticed above
                    await connection.send(_STATUS.code, b"", deadline)
            seen = connection.replies

    # -------------------------------------------------- calls

    async def _call(self, operation: str, command: _Command, body: bytes = b"") -> tuple[Reply, _Connection]:
        if self._capabilities is not WITH_PRIVATE_RANGE and command.capability not in self._capabilities:
            raise HsmError(operation, Fault.UNSUPPORTED)
        if command.keyed:
            body += self._master_key_suffix
        now = self._now
        deadline = now() + self._timeout_s
        if self._places:
            self._places -= 1
        else:
            await self._wait_for_place(operation, deadline)
        try:
            connection = self._pick(operation)
            try:
                return await connection.send(command.code, body, deadline), connection
            except _Lost as lost:
                if not command.repeatable or now() >= deadline:
                    raise HsmError(operation, Fault.UNAVAILABLE, str(lost)) from None
            connection = self._pick(operation)
            try:
                return await connection.send(command.code, body, deadline), connection
            except _Lost as lost:
                raise HsmError(operation, Fault.UNAVAILABLE, str(lost)) from None
        finally:
            if self._waiting:
                self._give_place()
            else:
                self._places += 1

    async def _wait_for_place(self, operation: str, deadline: float) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise HsmError(operation, Fault.UNAVAILABLE, "too many calls wait")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as ended:
            if place.done() and not place.cancelled():  # it was given while its caller was going away
                self._give_place()
            else:
                place.cancel()
                with suppress(ValueError):  # passed over already
                    self._waiting.remove(place)
            if isinstance(ended, TimeoutError):
                raise HsmError(operation, Fault.UNAVAILABLE, "no place in time") from None
            raise

    def _give_place(self) -> None:
        """To whoever waits longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._places += 1

    def _pick(self, operation: str) -> _Connection:
        """The first connection with little under way, else the least busy one."""
        if self._closed:
            raise HsmError(operation, Fault.UNAVAILABLE, "closed")
        least, least_busy = MOST_IN_FLIGHT, None
        for connection in self._up:
            in_flight = len(connection.calls)
            if in_flight < least and connection.usable:
                least, least_busy = in_flight, connection
                if in_flight < TOGETHER:
                    break
        if least_busy is None:
            why = "all connections are busy" if self.connected else f"no connection: {self._why_down}"
            raise HsmError(operation, Fault.UNAVAILABLE, why)
        return least_busy

    async def _ask(
        self,
        operation: str,
        command: _Command,
        body: bytes,
        read: Callable[[BodyReader], Result],
        faults: Mapping[str, Fault] = protocol.FAULTS,
    ) -> Result:
        """What `read` makes of the reply's body."""
        reply, connection = await self._call(operation, command, body)
        if reply.error != protocol.OK:
            raise _error(operation, reply.error, faults)
        return self._read(operation, reply, connection, read)

    async def _verify(self, operation: str, command: _Command, body: bytes) -> bool:
        reply, connection = await self._call(operation, command, body)
        if reply.error == protocol.VERIFICATION_FAILED:
            return False
        if reply.error != protocol.OK:
            raise _error(operation, reply.error)
        if reply.body:
            self._read(operation, reply, connection, BodyReader.nothing)
        return True

    def _read(
        self, operation: str, reply: Reply, connection: _Connection, read: Callable[[BodyReader], Result]
    ) -> Result:
        """A body that is not what its command gives is an anomaly like any other."""
        reader = BodyReader(reply.body)
        try:
            result = read(reader)
            reader.end()
        except ProtocolAnomaly as anomaly:
            connection.abandon(str(anomaly))
            raise HsmError(operation, Fault.UNAVAILABLE, str(anomaly)) from None
        return result

    async def status(self) -> Status:
        """NC."""
        master, firmware = await self._ask(
            "status", _STATUS, b"", lambda reader: (reader.text(16), reader.rest())
        )
        name = firmware.decode("ascii", "replace").strip()
        return Status(name, master, simulated=SIMULATED in name)

    async def random(self, size: int) -> bytes:
        inputs.check_random("random", size)
        return await self._ask("random", _RANDOM, protocol.random(size), lambda reader: reader.raw(size))

    # -------------------------------------------------- keys

    async def generate_key(self, use: KeyUse, algorithm: KeyAlgorithm, *, exportable: bool = False) -> Key:
        inputs.check_algorithm("generate_key", use, algorithm)
        body = protocol.generate_key(use.value, algorithm, exportable)
        token, check_value = await self._ask("generate_key", _GENERATE_KEY, body, _token_and_check_value)
        return Key(token, use, check_value)

    async def import_key(self, block: str, under: Key, use: KeyUse) -> Key:
        operation = "import_key"
        zone = _reference(operation, under, KeyUse.ZONE)
        inputs.check_key_block(operation, block)
        inputs.check_block_version(operation, block, _algorithm_of(zone))
        token, check_value = await self._ask(
            operation, _IMPORT_KEY, protocol.import_key(zone, block), _token_and_check_value, _IMPORT_FAULTS
        )
        if _usage_of(token) != use.value:
            raise HsmError(operation, Fault.KEY_USE, "the block is for another use")
        return Key(token, use, check_value)

    async def export_key(self, key: Key, under: Key) -> ExportedKey:
        operation = "export_key"
        wrapping = _reference(operation, under, KeyUse.ZONE, KeyUse.TRANSPORT)
        body = protocol.export_key(wrapping, _reference(operation, key, key.use))
        return await self._ask(operation, _EXPORT_KEY, body, _exported)

    async def check_value(self, key: Key) -> str:
        operation = "check_value"
        body = protocol.check_value(_reference(operation, key, key.use))
        return await self._ask(operation, _CHECK_VALUE, body, BodyReader.check_digits)

    async def derive_initial_key(self, base_key: Key, initial_key_id: bytes, under: Key) -> ExportedKey:
        operation = "derive_initial_key"
        inputs.check_initial_key_id(operation, initial_key_id)
        base = _reference(operation, base_key, KeyUse.BASE_DERIVATION)
        transport = _reference(operation, under, KeyUse.TRANSPORT)
        body = protocol.derive_initial_key(base, initial_key_id, transport)
        return await self._ask(operation, _INITIAL_KEY, body, _exported)

    # -------------------------------------------------- MAC and data

    async def mac_generate(self, key: Key, data: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC) -> bytes:
        operation = "mac_generate"
        body = _mac_body(operation, key, data, algorithm, None)
        return await self._ask(operation, _MAC_GENERATE[algorithm], body, _mac)

    async def mac_verify(
        self, key: Key, data: bytes, mac: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC
    ) -> bool:
        operation = "mac_verify"
        shown = mac if len(mac) == MAC_BYTES else bytes(MAC_BYTES)
        body = _mac_body(operation, key, data, algorithm, shown)
        right = await self._verify(operation, _MAC_VERIFY[algorithm], body)
        return right and shown is mac

    async def dukpt_mac_generate(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        operation = "dukpt_mac_generate"
        base = _dukpt(operation, base_key, serial, data)
        body = protocol.dukpt_mac(base, serial, data, direction)
        return await self._ask(operation, _DUKPT_MAC, body, _mac)

    async def dukpt_mac_verify(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool:
        operation = "dukpt_mac_verify"
        base = _dukpt(operation, base_key, serial, data)
        shown = mac if len(mac) == MAC_BYTES else bytes(MAC_BYTES)
        body = protocol.dukpt_mac(base, serial, data, direction, shown)
        return await self._verify(operation, _DUKPT_MAC, body) and shown is mac

    async def dukpt_encrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        operation = "dukpt_encrypt"
        base = _dukpt(operation, base_key, serial, data)
        body = protocol.dukpt_data(base, serial, data, direction, decrypt=False)
        return await self._ask(operation, _DUKPT_DATA, body, _counted)

    async def dukpt_decrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        operation = "dukpt_decrypt"
        base = _dukpt(operation, base_key, serial, data)
        body = protocol.dukpt_data(base, serial, data, direction, decrypt=True)
        return await self._ask(operation, _DUKPT_DATA, body, _counted)

    # -------------------------------------------------- PIN

    async def pin_translate(
        self, pin: EncipheredPin, card: str, to: Key, to_format: PinFormat, *, to_card: str | None = None
    ) -> bytes:
        operation = "pin_translate"
        inputs.check_translation(operation, to_format, card, to_card)
        _check_pin(operation, pin, card)
        target = _reference(operation, to, KeyUse.PIN)
        inputs.check_zone_algorithm(operation, _algorithm_of(target), to_format)
        body = protocol.pin_translate(pin, card, target, to_format.value)

        def block(reader: BodyReader) -> bytes:
            translated = reader.hexadecimal(inputs.block_bytes(to_format))
            if reader.text(2) != to_format.value:
                raise ProtocolAnomaly("a PIN block in another format than asked for")
            return translated

        return await self._ask(operation, _PIN_TRANSLATE, body, block)

    async def pin_value_verify(self, pin: EncipheredPin, card: str, key: Key, index: int, value: str) -> bool:
        operation = "pin_value_verify"
        inputs.check_pin_value(operation, card, index, value)
        _check_pin(operation, pin, card)
        verifying = _reference(operation, key, KeyUse.PIN_VALUE)
        body = protocol.pin_value(pin, card, verifying, index, value)
        return await self._verify(operation, _PIN_VALUE, body)

    async def pin_verifier(self, pin: EncipheredPin, card: str, key: Key, binding: bytes) -> bytes:
        operation = "pin_verifier"
        inputs.check_binding(operation, binding)
        _check_pin(operation, pin, card)
        verifying = _reference(operation, key, KeyUse.PIN_VERIFIER)
        body = protocol.pin_verifier(pin, card, verifying, binding)
        return await self._ask(
            operation, _PIN_VERIFIER, body, lambda reader: reader.hexadecimal(inputs.VERIFIER_BYTES)
        )

    async def pin_verify(
        self, pin: EncipheredPin, card: str, key: Key, binding: bytes, verifier: bytes
    ) -> bool:
        operation = "pin_verify"
        inputs.check_verifier(operation, verifier)
        inputs.check_binding(operation, binding)
        _check_pin(operation, pin, card)
        verifying = _reference(operation, key, KeyUse.PIN_VERIFIER)
        body = protocol.pin_verifier(pin, card, verifying, binding, verifier)
        return await self._verify(operation, _PIN_VERIFY, body)

    # -------------------------------------------------- cards

    async def card_value_generate(self, key: Key, card: str, expiry: str, service: str) -> str:
        operation = "card_value_generate"
        inputs.check_track(operation, card, expiry, service)
        body = protocol.card_value(_reference(operation, key, KeyUse.CARD_VALUE), card, expiry, service)
        return await self._ask(operation, _CARD_VALUE_GENERATE, body, lambda reader: reader.digits(3))

    async def card_value_verify(self, key: Key, card: str, expiry: str, service: str, value: str) -> bool:
        operation = "card_value_verify"
        inputs.check_track(operation, card, expiry, service)
        shown = value if inputs.is_card_value(value) else "000"
        reference = _reference(operation, key, KeyUse.CARD_VALUE)
        body = protocol.card_value(reference, card, expiry, service, shown)
        return await self._verify(operation, _CARD_VALUE_VERIFY, body) and shown is value

    async def tap_verify(self, key: Key, enciphered: bytes, mac: bytes, mirrored: bytes = b"") -> Tap | None:
        operation = "tap_verify"
        inputs.check_tap(operation, mirrored)
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        if len(enciphered) != inputs.CARD_BLOCK_BYTES or len(mac) != MAC_BYTES:
            return None
        reply, connection = await self._call(
            operation, _CARD_TAP, protocol.card_tap(master, enciphered, mac, mirrored)
        )
        if reply.error == protocol.VERIFICATION_FAILED:
            return None
        if reply.error != protocol.OK:
            raise _error(operation, reply.error)
        return self._read(
            operation, reply, connection, lambda reader: Tap(reader.hexadecimal(7), reader.number(6))
        )

    async def tap_open(self, key: Key, enciphered: bytes, mac: bytes, file_data: bytes) -> OpenedTap | None:
        operation = "tap_open"
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        blocks = (len(enciphered), len(file_data))
        if blocks != (inputs.CARD_BLOCK_BYTES, inputs.CARD_BLOCK_BYTES) or len(mac) != MAC_BYTES:
            return None
        body = protocol.tap_open(master, enciphered, mac, file_data)
        reply, connection = await self._call(operation, _TAP_OPEN, body)
        if reply.error == protocol.VERIFICATION_FAILED:
            return None
        if reply.error != protocol.OK:
            raise _error(operation, reply.error)
        return self._read(operation, reply, connection, _opened_tap)

    async def chip_verify(
        self, key: Key, identifier: bytes, counter: int, challenge: bytes, said: bytes
    ) -> bool:
        operation = "chip_verify"
        inputs.check_cryptogram(operation, identifier, counter, challenge)
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        if len(said) != MAC_BYTES:
            return False
        body = protocol.chip_verify(master, identifier, counter, challenge, said)
        return await self._verify(operation, _CHIP_VERIFY, body)

    async def card_key(self, key: Key, kind: CardKey, identifier: bytes, under: Key) -> ExportedKey:
        operation = "card_key"
        inputs.check_card_identifier(operation, identifier)
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        transport = _reference(operation, under, KeyUse.TRANSPORT)
        body = protocol.card_key(master, kind.value, identifier, transport)
        return await self._ask(operation, _CARD_KEY, body, _exported)

    async def card_challenge(self, key: Key, identifier: bytes, enciphered: bytes) -> Challenge:
        operation = "card_challenge"
        inputs.check_challenge(operation, identifier, enciphered)
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        body = protocol.card_challenge(master, identifier, enciphered)

        def challenge(reader: BodyReader) -> Challenge:
            to_card = reader.hexadecimal(inputs.CARD_REPLY_BYTES)
            return Challenge(to_card, reader.hexadecimal(reader.number(2)))

        return await self._ask(operation, _CARD_CHALLENGE, body, challenge)

    async def card_confirm(self, key: Key, identifier: bytes, state: bytes, enciphered: bytes) -> bool:
        operation = "card_confirm"
        inputs.check_card_identifier(operation, identifier)
        inputs.check_state(operation, state)
        master = _reference(operation, key, KeyUse.CARD_MASTER)
        if len(enciphered) != inputs.CARD_REPLY_BYTES:
            return False
        body = protocol.card_confirm(master, identifier, state, enciphered)
        return await self._verify(operation, _CARD_CONFIRM, body)


def _opened_tap(reader: BodyReader) -> OpenedTap:
    return OpenedTap(reader.hexadecimal(7), reader.number(6), reader.hexadecimal(inputs.CARD_BLOCK_BYTES))


def _error(operation: str, code: str, faults: Mapping[str, Fault] = protocol.FAULTS) -> HsmError:
    return HsmError(operation, faults.get(code, Fault.UNAVAILABLE), f"the box says {code}")


def _reference(operation: str, key: Key, *uses: KeyUse) -> str:
    """The token, when it has the form of one, so that nothing rides behind it, and says the use it is taken
    for. Whether it may be believed, the box knows."""
    token = key.reference
    if key.use in uses and _whole_tokens.get(token) is key.use:
        return token
    inputs.check_declared_use(operation, key, *uses)
    if token[:1] != "S":
        raise HsmError(operation, Fault.UNKNOWN_KEY, "no token of a master key")
    if not inputs.is_key_block(token[1:]):
        raise HsmError(operation, Fault.KEY_DAMAGED, "no whole token")
    if _usage_of(token) != key.use.value:
        raise HsmError(operation, Fault.KEY_USE, "the token is for another use")
    if len(_whole_tokens) >= TOKENS_KEPT:
        _whole_tokens.clear()
    _whole_tokens[token] = key.use
    return token


_whole_tokens: dict[str, KeyUse] = {}  # those that passed, with their use


def _check_pin(operation: str, pin: EncipheredPin, card: str) -> None:
    inputs.check_pin(operation, pin, card)
    if isinstance(pin, DukptPin):
        inputs.check_serial(operation, pin.serial)
        _reference(operation, pin.base_key, KeyUse.BASE_DERIVATION)
    else:
        zone = _reference(operation, pin.key, KeyUse.PIN)
        inputs.check_zone_algorithm(operation, _algorithm_of(zone), pin.format)


def _dukpt(operation: str, base_key: Key, serial: bytes, data: bytes) -> str:
    inputs.check_data(operation, data)
    inputs.check_serial(operation, serial)
    return _reference(operation, base_key, KeyUse.BASE_DERIVATION)


def _mac_body(
    operation: str, key: Key, data: bytes, algorithm: MacAlgorithm, verified: bytes | None
) -> bytes:
    inputs.check_data(operation, data)
    token = _reference(operation, key, inputs.MAC_USES[algorithm])
    if algorithm is MacAlgorithm.HMAC_SHA_256:
        return protocol.hmac(token, data, verified)
    return protocol.mac(token, data, algorithm, verified)


def _usage_of(token: str) -> str:
    return token[6:8]


def _algorithm_of(token: str) -> str:
    return token[8]


def _mac(reader: BodyReader) -> bytes:
    return reader.hexadecimal(MAC_BYTES)


def _counted(reader: BodyReader) -> bytes:
    return reader.raw(reader.number(4))


def _token_and_check_value(reader: BodyReader) -> tuple[str, str]:
    return reader.key("S"), reader.check_digits()


def _exported(reader: BodyReader) -> ExportedKey:
    block = reader.key("R")[1:]
    return ExportedKey(block, reader.check_digits())
