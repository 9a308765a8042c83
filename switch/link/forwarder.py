"""The asyncio shell of the store-and-forward queue: sends what is due over a link, tells how it ended.

Decides nothing about order, repeats and giving up: that is the queue's. One event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from switch.iso8583 import Message
from switch.link.core import Codec
from switch.link.errors import DuplicateInFlight, LinkBusy, LinkDown, LinkTimeout
from switch.link.matching import fingerprint, repeat_mti
from switch.link.network import RESPONSE_CODE
from switch.link.states import State
from switch.link.store_and_forward import Outcome, QueueFull, QueueUnavailable, Sending, StoreAndForward
from switch.link.stream import OnReport, Peer, report_to_log

# A queue that can't be written is tried again after this time.
UNAVAILABLE_PAUSE_S = 5.0
# How often ages are looked at while the link is down.
DOWN_PAUSE_S = 1.0

OnOutcome = Callable[[Outcome], Awaitable[None]]


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Forwarder:
    """Feeds a link from a queue while it is up.

    peer: a `Client` (or a server's peer). codec: how messages stand in the queue, without the MAC: a MAC is
    made when a message is sent, by the codec of the link.
    key_path: messages with the same value there leave in order.
    on_outcome(outcome): awaited for every message that ended; its outcome is acknowledged when it returns, so
    after a crash it may be told twice, never not at all.

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(forwarder.run())
            await forwarder.put(advice)
    """

    def __init__(
        self,
        peer: Peer,
        queue: StoreAndForward,
        codec: Codec,
        on_outcome: OnOutcome,
        *,
        key_path: str = "41",
        timeout_s: float | None = None,
        clock_ms: Callable[[], int] = _wall_clock_ms,
        report: OnReport = report_to_log,
    ) -> None:
        self.queue = queue
        self._peer = peer
        self._codec = codec
        self._on_outcome = on_outcome
        self._key_path = key_path
        self._timeout_s = timeout_s
        self._clock_ms = clock_ms
        self._report = report
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._by_fingerprint: dict[bytes, int] = {}
        self._told: set[int] = set()  # outcomes the handler knows, acknowledged as soon as the disk lets us

    async def put(self, advice: Message) -> int:
        """Store an advice; it is kept when this returns. Waits while the queue is full.

        `ValueError` (`EncodeError`) for a message that can't be sent, `QueueUnavailable`.
        """
        content = self._codec.encode(advice)
        key = advice.get(self._key_path)
        line = "" if key is None or isinstance(key, Mapping) else key if isinstance(key, str) else key.hex()
        while True:
            try:
                number = self.queue.put(line, content, self._clock_ms())
            except QueueFull:
                self._room.clear()
                await self._room.wait()
            else:
                self._wake.set()
                return number

    def take_late(self, request: Message, answer: Message) -> bool:
        """For the link's late-answer handler: whether `request` was a message of the queue.

        Its answer then counts, and there is nothing to reverse.
        """
        number = self._by_fingerprint.get(fingerprint(request))
        if number is None:
            return False
        if self.queue.is_open(number) and not self.queue.is_outstanding(number):
            self._note(number, answer)
        return True

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_link())
            while True:
                self._wake.clear()
                try:
                    await self._step(tasks)
                except QueueUnavailable as error:
                    self._report("queue unavailable", str(error))
                    await self._sleep(UNAVAILABLE_PAUSE_S)
                else:
                    await self._sleep(self._pause_s())

    async def _step(self, tasks: asyncio.TaskGroup) -> None:
        self.queue.expire(self._clock_ms())
        while self._peer.is_up and (sending := self.queue.take(self._clock_ms())) is not None:
            tasks.create_task(self._forward(sending))
        await self._tell_outcomes()

    def _pause_s(self) -> float | None:
        pauses = []
        at_ms = self.queue.next_at()
        if at_ms is not None:
            pause_s = max(at_ms - self._clock_ms(), 0) / 1000
            # While the link is down only ages count; coming up wakes us.
            pauses.append(pause_s if self._peer.is_up else max(pause_s, DOWN_PAUSE_S))
        if self.queue.metrics.outcomes:  # their handler failed
            pauses.append(UNAVAILABLE_PAUSE_S)
        return min(pauses, default=None)

    async def _sleep(self, pause_s: float | None) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _watch_link(self) -> None:
        others = [state for state in State if state is not State.UP]
        while True:
            await self._peer.wait_for(State.UP)
            self._wake.set()
            await self._peer.wait_for(*others)

    async def _forward(self, sending: Sending) -> None:
        """One attempt, until it is known what became of it."""
        try:
            await self._attempt(sending)
        except QueueUnavailable as error:  # it is on record as sent: it goes out again, as a repeat
            self._report("queue unavailable", str(error))
            self.queue.postpone(sending.number, self._clock_ms())
        finally:
            self._wake.set()

    async def _attempt(self, sending: Sending) -> None:
        number = sending.number
        try:
            message = self._codec.decode(sending.content)
            if sending.repeat:
                message = Message(repeat_mti(message.mti), message.fields)
            self._by_fingerprint[fingerprint(message)] = number
            answer = await self._peer.request(message, self._timeout_s)
        except LinkTimeout:
            self.queue.unanswered(number, self._clock_ms())
        except LinkDown as error:
            if error.sent:
                self.queue.unanswered(number, self._clock_ms())
            else:
                self.queue.not_sent(number, self._clock_ms())
        except (LinkBusy, DuplicateInFlight):
            self.queue.not_sent(number, self._clock_ms())
        except ValueError as error:
            self._report("a queued message can't be sent", type(error).__name__)
            self.queue.refuse(number, self._clock_ms())
        else:
            self._note(number, answer)

    def _note(self, number: int, answer: Message) -> None:
        code = answer.get(RESPONSE_CODE)
        self.queue.answered(number, code if isinstance(code, str) else None, self._clock_ms())
        self._wake.set()

    async def _tell_outcomes(self) -> None:
        for outcome in self.queue.outcomes():
            if outcome.number not in self._told:
                try:
                    await self._on_outcome(outcome)
                except Exception as error:  # told again at the next step
                    self._report("outcome handler failed", type(error).__name__)
                    continue
                self._told.add(outcome.number)
        if self._told:
            self.queue.acknowledge(*self._told)
            self._by_fingerprint = {
                mark: number for mark, number in self._by_fingerprint.items() if number not in self._told
            }
            self._told.clear()
            self._room.set()
