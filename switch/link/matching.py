"""Requests in flight and whose answer a message is. Pure: the clock is passed in, nothing is sent here.

The rule: a request ends once, and never with the answer of another. So a key in flight can't be taken twice,
and a key whose transaction just ended is kept from every other transaction for a while: its answer may still
be on the way, or come a second time.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from switch.iso8583 import Message
from switch.iso8583.message import STANDARD_MASKS
from switch.link.errors import DuplicateInFlight, KeyStillTaken, LinkBusy

# A partner that answers in 100 ms needs 100 in flight for 1 000/s; ten times that is a stall, not a load.
MAXIMUM_IN_FLIGHT = 1_000
# How long an ended request is remembered: longer than any host thinks, shorter than STANs come round.
REMEMBER_S = 300.0
# And how many of them: fewer than the 999 999 STANs of one round, 4 MiB at most.
REMEMBER_MAXIMUM = 4_096

NETWORK_CLASS = "8"

# What may differ between two sendings of one transaction: transmission time, PIN block, security, MAC.
OF_A_TRANSMISSION = frozenset({"7", "52", "53", "64", "128"})

Key = tuple[str | bytes | None, ...]


def is_answer(mti: str) -> bool:
    """Whether a message answers another: functions 1, 3, 5 and 7 (third digit)."""
    return mti[2] in "1357"


def wants_answer(mti: str) -> bool:
    """Whether a message must be answered: requests, advices and instructions (0, 2, 6)."""
    return mti[2] in "026"


def answer_mti(mti: str) -> str:
    """The MTI of the answer: 0200 and 0201 -> 0210, 0421 -> 0430, 1804 -> 1814, 0302 -> 0312."""
    return f"{mti[:2]}{int(mti[2]) + 1}{_original(mti[3])}"


def repeat_mti(mti: str) -> str:
    """The MTI of a repeat: 0220 -> 0221, 0420 -> 0421; a repeat's own stays."""
    return mti if mti[3] in "135" else f"{mti[:3]}{int(mti[3]) + 1}"


def _original(origin: str) -> str:
    return str(int(origin) - 1) if origin in "135" else origin


@dataclass(frozen=True, slots=True)
class MatchKey:
    """Which fields tell requests apart, beside the MTI's class (second digit). Paths: "11", "48.01".

    fields: the answer must bring them back as they were (absent and absent agree).
    network_fields: the same for network management (class 8), whose answers often come without DE 12.

        MatchKey()                                    DE 41, 11, 12: terminals
        MatchKey(("32", "11", "7"), ("32", "11", "7"))   a partner's link
    """

    fields: tuple[str, ...] = ("41", "11", "12")
    network_fields: tuple[str, ...] = ("41", "11")

    def __post_init__(self) -> None:
        assert self.fields, "a key needs a field"
        assert self.network_fields, "a key needs a field"

    def of(self, message: Message) -> Key:
        mti_class = message.mti[1]
        values: list[str | bytes | None] = [mti_class]
        for path in self.network_fields if mti_class == NETWORK_CLASS else self.fields:
            value = message.get(path)
            values.append(value if value is None or isinstance(value, str | bytes) else _canonical(value))
        return tuple(values)

    def describe(self, message: Message) -> str:
        """MTI and key fields of `message`, masked: for errors and logs."""
        fields = self.network_fields if message.mti[1] == NETWORK_CLASS else self.fields
        wanted = {path for path in fields if path not in STANDARD_MASKS}
        shown = " ".join(f"{path}={value}" for path, value in message.masked() if path in wanted)
        return f"{message.mti} {shown}".strip()


class Matched(NamedTuple):
    """The answer of a request in flight, which is in flight no more."""

    ticket: int
    request: Message
    answer: Message


class Late(NamedTuple):
    """The answer of a request that ended without one. It comes once: a second copy is a `Duplicate`."""

    request: Message
    answer: Message


class Duplicate(NamedTuple):
    """A second answer of a request that has one: nothing to be done, least of all a reversal."""

    answer: Message


class Unsolicited(NamedTuple):
    """An answer of no request that is known."""

    answer: Message


class Ended(NamedTuple):
    """A request taken out of flight without an answer."""

    ticket: int
    request: Message


class _Flight(NamedTuple):
    ticket: int
    key: Key
    request: Message
    beyond_limit: bool


class _Memory(NamedTuple):
    """What is kept of an ended request: itself while it has no answer, else only its fingerprint."""

    request: Message | None
    fingerprint: bytes
    mti: str
    until: float


class InFlight:
    """The requests of one link that wait for an answer, by key, with their deadlines.

    `now` and deadlines: one monotonic clock, seconds. Call `expire` first when a deadline may have passed.
    maximum: requests in flight at most. remember_s, remember_maximum: see the module.
    """

    def __init__(
        self,
        key: MatchKey | None = None,
        maximum: int = MAXIMUM_IN_FLIGHT,
        remember_s: float = REMEMBER_S,
        remember_maximum: int = REMEMBER_MAXIMUM,
    ) -> None:
        self.key = key or MatchKey()
        self._maximum = maximum
        self._remember_s = remember_s
        self._remember_maximum = remember_maximum
        self._flights: dict[Key, _Flight] = {}
        self._by_ticket: dict[int, Key] = {}
        self._beyond_limit = 0
        self._deadlines: list[tuple[float, int]] = []
        self._ended: OrderedDict[Key, _Memory] = OrderedDict()
        self._tickets = itertools.count(1)

    def __len__(self) -> int:
        return len(self._flights)

    def add(self, request: Message, deadline: float, now: float, *, beyond_limit: bool = False) -> int:
        """Take `request` in flight; its ticket.

        `DuplicateInFlight` when its key is in flight, `KeyStillTaken` when another transaction just ended
        under it, `LinkBusy` when the limit is reached (the link's own few go `beyond_limit` and don't
        count), and `ValueError` for a message that nothing can answer.
        """
        assert wants_answer(request.mti), "only a request, an advice or an instruction is answered"
        key = self.key.of(request)
        if not any(key[1:]):
            raise ValueError(f"{request.mti} carries none of the fields that its answer is matched by")
        if key in self._flights:
            raise DuplicateInFlight(f"{self.key.describe(request)} is in flight already")
        if len(self._flights) - self._beyond_limit >= self._maximum and not beyond_limit:
            raise LinkBusy(f"{self._maximum} requests in flight, that is the limit")
        self._forget(now)
        ended = self._ended.get(key)
        if ended is not None:
            if ended.fingerprint != fingerprint(request):
                raise KeyStillTaken(
                    f"{self.key.describe(request)}: another transaction ended under this key less than "
                    f"{self._remember_s:g} s ago; give this one its own"
                )
            del self._ended[key]
        ticket = next(self._tickets)
        self._flights[key] = _Flight(ticket, key, request, beyond_limit)
        self._beyond_limit += beyond_limit
        self._by_ticket[ticket] = key
        heapq.heappush(self._deadlines, (deadline, ticket))
        return ticket

    def answer(self, answer: Message, now: float) -> Matched | Late | Duplicate | Unsolicited:
        """Whose answer `answer` is. An answer fits a request when key and function do (0230 fits 0220)."""
        key = self.key.of(answer)
        flight = self._flights.get(key)
        if flight is not None:
            if not _fits(flight.request.mti, answer.mti):
                return Unsolicited(answer)
            self._take_out(flight)
            self._remember(flight, now, answered=True)
            return Matched(flight.ticket, flight.request, answer)
        self._forget(now)
        ended = self._ended.get(key)
        if ended is None or not _fits(ended.mti, answer.mti):
            return Unsolicited(answer)
        if ended.request is None:
            return Duplicate(answer)
        self._ended[key] = ended._replace(request=None)
        return Late(ended.request, answer)

    def expire(self, now: float) -> list[Ended]:
        """Take out every request whose deadline has come, the earliest first."""
        ended = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _deadline, ticket = heapq.heappop(self._deadlines)
            if ticket in self._by_ticket:
                ended.append(self._end(ticket, now))
        return ended

    def abandon(self, ticket: int, now: float) -> Ended | None:
        """Take out one request; its answer will be a late one. None when it has ended already."""
        return self._end(ticket, now) if ticket in self._by_ticket else None

    def end_all(self, now: float) -> list[Ended]:
        """Take out every request, the oldest first."""
        ended = [self._end(ticket, now) for ticket in sorted(self._by_ticket)]
        self._deadlines.clear()
        return ended

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._by_ticket:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _end(self, ticket: int, now: float) -> Ended:
        flight = self._flights[self._by_ticket[ticket]]
        self._take_out(flight)
        self._remember(flight, now, answered=False)
        return Ended(ticket, flight.request)

    def _take_out(self, flight: _Flight) -> None:
        del self._flights[flight.key]
        del self._by_ticket[flight.ticket]
        self._beyond_limit -= flight.beyond_limit
        if len(self._deadlines) > 2 * len(self._by_ticket) + 64:  # answered long before their deadlines
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._by_ticket]
            heapq.heapify(self._deadlines)

    def _remember(self, flight: _Flight, now: float, *, answered: bool) -> None:
        request = flight.request
        memory = _Memory(
            None if answered else request, fingerprint(request), request.mti, now + self._remember_s
        )
        self._ended.pop(flight.key, None)
        self._ended[flight.key] = memory
        self._forget(now)

    def _forget(self, now: float) -> None:
        ended = self._ended
        while ended and (len(ended) > self._remember_maximum or next(iter(ended.values())).until <= now):
            ended.popitem(last=False)


def fingerprint(message: Message) -> bytes:
    """The same for every sending of one transaction, repeats too; another for any other transaction."""
    stays = {path: value for path, value in message.fields.items() if path not in OF_A_TRANSMISSION}
    parts = [message.mti[:3], *(f"{path}={_canonical(stays[path])}" for path in sorted(stays))]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).digest()


def _canonical(value: object) -> str:
    if isinstance(value, Mapping):
        return repr([(name, _canonical(value[name])) for name in sorted(value)])
    return repr(value)


def _fits(request_mti: str, mti: str) -> bool:
    return mti[:3] == answer_mti(request_mti)[:3]
