"""Load on a switch: many terminals' requests over TCP, in closed loop (saturation) or open loop (a fixed
arrival rate).

In open loop a latency counts from the moment a request was due, so a slow switch can't hide behind a
waiting client.
Requests are made before the clock starts; every answer is matched by STAN and must be approved.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from simulators.cards import Card
from simulators.terminal_keys import TerminalKeys
from switch import iso8583
from switch.defaults import read_terminal_settings
from switch.iso8583 import Message, Value
from switch.link.framing import frame
from switch.settings import Settings

TICK_S = 0.001  # how often an open loop looks what is due; far below the latencies it measures
STANS = 999_999
# Where an approved answer (MTI 2, bitmap 8, then DE 11, 12, 37, 39) carries its STAN and response code.
_STAN = slice(12, 15)
_RESPONSE_CODE = slice(30, 32)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run measured. Latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Traffic:
    """Makes requests of the settings' terminals for issued cards, in the order they have to be sent.
    `moment`: what the terminals' clocks say."""

    def __init__(self, settings: Settings, cards: Sequence[Card], moment: datetime, seed: int = 1) -> None:
        self.settings = settings
        self.cards = cards
        self.moment = moment
        self._stans: dict[str, int] = {}
        self._dialect = iso8583.load("vafa")
        self._keys = [
            TerminalKeys.of(read_terminal_settings(settings, terminal)) for terminal in settings.terminals
        ]
        self._random = random.Random(seed)

    def activations(self) -> list[tuple[int, bytes]]:
        """One activation for each card: (index of the terminal, frame)."""
        return [self._request(number, card, "0300", "720000", {}) for number, card in enumerate(self.cards)]

    def first_earns(self) -> list[tuple[int, bytes]]:
        """A large earn for each card, so that later redemptions are covered in whatever order they arrive."""
        amount = f"{self.settings.program.rial_per_earned_point * 100_000:012d}"
        return [
            self._request(number, card, "0200", "210060", {"4": amount})
            for number, card in enumerate(self.cards)
        ]

    def earns_and_redeems(self, count: int, redeem_share: float = 0.2) -> list[tuple[int, bytes]]:
        """`count` requests over random cards; a redemption takes one point."""
        requests = []
        program = self.settings.program
        for number in range(count):
            card = self._random.choice(self.cards)
            if self._random.random() < redeem_share:
                amount = program.rial_per_redeemed_point
                fields: dict[str, Value] = {"4": f"{amount:012d}", "48": {"01": f"{1:012d}"}}
                requests.append(self._request(number, card, "0200", "006000", fields))
            else:
                amount = self._random.randrange(10, 500) * program.rial_per_earned_point
                requests.append(self._request(number, card, "0200", "210060", {"4": f"{amount:012d}"}))
        return requests

    def _request(
        self, number: int, card: Card, mti: str, processing_code: str, fields: Mapping[str, Value]
    ) -> tuple[int, bytes]:
        index = number % len(self.settings.terminals)
        terminal = self.settings.terminals[index]
        stan = self._stans[terminal.id] = self._stans.get(terminal.id, 0) % STANS + 1
        transmission = self._keys[index].transmission()
        values: dict[str, Value] = {
            "3": processing_code,
            "11": f"{stan:06d}",
            "12": self.moment.strftime("%H%M%S"),
            "13": self.moment.strftime("%m%d"),
            "22": "021",
            "35": card.track_2,
            "41": terminal.id,
            "42": terminal.acceptor,
            "53": transmission.field_53,
            **fields,
        }
        if mti == "0200":
            values |= {"49": self.settings.program.currency, "60": "000001"}
        body = self._dialect.encode_body(Message(mti, values))
        return index, frame(body + transmission.request_mac(body))


class _Line(asyncio.Protocol):
    """One terminal's connection: sends frames, matches answers by STAN, notes latencies."""

    def __init__(self, run: _Run) -> None:
        self.transport: asyncio.Transport
        self._run = run
        self._buffer = b""
        self._due: dict[bytes, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._due:
            self._run.fail(f"the switch closed a line with {len(self._due)} requests unanswered")

    def send(self, request: bytes, stan: bytes, due: float) -> None:
        self._due[stan] = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        now = self._run.loop.time()
        start, size = 0, len(buffer)
        while size - start >= 2:
            end = start + 2 + int.from_bytes(buffer[start : start + 2], "big")
            if end > size:
                break
            answer = buffer[start:end]
            if answer[_RESPONSE_CODE] != b"00":
                self._run.fail(f"answer {answer[_RESPONSE_CODE]!r} to a request that must be approved")
                return
            self._run.answered(self, now - self._due.pop(answer[_STAN]))
            start = end
        self._buffer = buffer[start:]


class _Run:
    """Shared by the lines of one measurement."""

    def __init__(self, requests: Sequence[tuple[int, bytes]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.requests = requests
        self.sent = 0
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.lines: list[_Line] = []
        self.closed_loop = False

    async def connect(self, host: str, port: int, lines: int) -> None:
        for _ in range(lines):
            _transport, line = await self.loop.create_connection(lambda: _Line(self), host, port)
            self.lines.append(line)

    def send_next(self, due: float) -> None:
        index, request = self.requests[self.sent]
        self.sent += 1
        self.lines[index % len(self.lines)].send(request, _stan_of(request), due)

    def answered(self, line: _Line, latency: float) -> None:
        self.latencies.append(latency)
        if self.closed_loop and self.sent < len(self.requests):
            self.send_next(self.loop.time())
        elif len(self.latencies) == len(self.requests) and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))

    def close(self) -> None:
        for line in self.lines:
            line.transport.abort()

    def figures(self, seconds: float) -> Figures:
        ordered = sorted(self.latencies)

        def at(share: float) -> float:
            return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return Figures(len(ordered), seconds, at(0.5), at(0.99), at(0.999), 1000 * ordered[-1])


async def saturate(
    host: str, port: int, requests: Sequence[tuple[int, bytes]], lines: int, in_flight: int
) -> Figures:
    """Closed loop: `in_flight` requests on each line; the next leaves when one is answered."""
    run = _Run(requests)
    await run.connect(host, port, lines)
    run.closed_loop = True
    start = run.loop.time()
    try:
        for _ in range(min(len(requests), lines * in_flight)):
            run.send_next(start)
        await run.done
        return run.figures(run.loop.time() - start)
    finally:
        run.close()


async def arrive(
    host: str, port: int, requests: Sequence[tuple[int, bytes]], lines: int, per_second: float
) -> Figures:
    """Open loop: requests fall due at `per_second`, whatever the switch does; latency counts from then."""
    run = _Run(requests)
    await run.connect(host, port, lines)
    start = run.loop.time()
    try:
        while run.sent < len(requests) and not run.done.done():
            now = run.loop.time()
            while run.sent < len(requests) and (due := start + run.sent / per_second) <= now:
                run.send_next(due)
            await asyncio.sleep(TICK_S)
        await run.done
        return run.figures(run.loop.time() - start)
    finally:
        run.close()


def _stan_of(request: bytes) -> bytes:
    """DE 11 of a request without TPDU: after length 2, MTI 2, bitmap 8, DE 3, and DE 4 when bit 4 is set."""
    offset = 2 + 2 + 8 + 3 + (6 if request[4] & 0x10 else 0)
    return request[offset : offset + 3]
