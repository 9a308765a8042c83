"""What must come out: a second, slower telling of the rules, which shares no code with the ledger.

A purse is one unit of one card: open and waiting parts of lots, and debt. Nothing is rounded or packed here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date

from terminal.text import jalali
from tests.ledger.book import HOLD_MS, Request, Terms

REOPEN_DAYS = 30


@dataclass
class Part:
    """So much of the lot that request `number` was awarded."""

    number: int
    terms: Terms
    begins: int
    ends: int  # as a lot's: a day, or -n days after the last activity
    left: int

    def last_day(self, active: int) -> int:
        return self.ends if self.ends > 0 else max(active, self.begins) - self.ends


def pour(parts: list[Part], amount: int) -> list[Part]:
    """Take `amount` out of the first parts."""
    poured = []
    while amount:
        first = parts[0]
        poured.append(replace(first, left=min(first.left, amount)))
        amount -= poured[-1].left
        first.left -= poured[-1].left
        if not first.left:
            parts.pop(0)
    return poured


@dataclass
class Purse:
    open: list[Part] = field(default_factory=list)
    waiting: list[Part] = field(default_factory=list)
    debt: int = 0

    def balance(self) -> int:
        return sum(part.left for part in self.open) - self.debt

    def sort(self, active: int) -> None:
        self.open.sort(
            key=lambda part: (
                part.terms.priority,
                part.last_day(active),
                part.terms.kind,
                part.begins,
                part.number,
            )
        )

    def spend(self, amount: int, active: int) -> list[Part]:
        self.sort(active)
        return pour(self.open, amount)

    def award(self, part: Part) -> None:
        paid = min(self.debt, part.left)
        self.debt -= paid
        if part.left > paid:
            self.open.append(replace(part, left=part.left - paid))

    def give(self, parts: list[Part], today: int, active: int) -> None:
        """Give back, the last taken first; what is owed takes the rest."""
        total = sum(part.left for part in parts)
        paid = min(self.debt, total)
        self.debt -= paid
        for part in pour(parts[::-1], total - paid):
            there = next((one for one in self.open if one.number == part.number), None)
            if there is not None and there.last_day(active) > part.last_day(active):
                part.ends = there.ends
            if part.last_day(active) < today:
                part.ends = today + REOPEN_DAYS
            if there is not None:
                self.open.remove(there)
                part.left += there.left
            self.open.append(part)

    def claw_back(self, number: int, amount: int, active: int) -> None:
        self.sort(active)
        for parts, own in ((self.waiting, True), (self.open, True), (self.open, False)):
            for part in [one for one in parts if (one.number == number) is own]:
                taken = min(part.left, amount)
                part.left -= taken
                amount -= taken
            parts[:] = [part for part in parts if part.left]
        self.debt += amount

    def pass_to(self, today: int, active: int) -> None:
        """What ripens and what ends by a day."""
        ripe = sorted(
            (part for part in self.waiting if part.begins <= today),
            key=lambda part: (part.begins, part.number),
        )
        self.waiting = [part for part in self.waiting if part.begins > today]
        for part in ripe:
            self.award(part)
        self.open = [part for part in self.open if part.last_day(active) >= today]


PurseName = tuple[int, int, str]  # card, unit, program


class Model:
    """The outcome of every identity, and what it left."""

    def __init__(self) -> None:
        self.outcomes: dict[bytes, str] = {}
        self.requests: dict[bytes, Request] = {}
        self.status: dict[int, str] = {}
        self.active: dict[int, int] = defaultdict(int)
        self.purses: dict[PurseName, Purse] = defaultdict(Purse)
        self.given: dict[bytes, int] = {}  # by what it earned: what can be taken back
        self.taken: dict[bytes, list[Part]] = {}  # by what it redeemed: what can be given back
        self.holds: dict[bytes, tuple[PurseName, int, list[Part]]] = {}
        self.reversed: set[bytes] = set()
        self.used: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * 4)  # of card and day
        self.used_on: dict[bytes, int] = {}

    def send(self, request: Request, today: int, now_ms: int) -> str:
        identity = request.identity
        if identity not in self.outcomes:
            self.pass_to(request.card, today, now_ms)
            self.outcomes[identity] = self._decide(request, today, now_ms)
            self.requests[identity] = request
        return self.outcomes[identity]

    def pass_to(self, card: int, today: int, now_ms: int) -> None:
        for identity, (name, expires_ms, _) in list(self.holds.items()):
            if name[0] == card and expires_ms <= now_ms:
                self._release(identity, today)
        for name, purse in self.purses.items():
            if name[0] == card:
                purse.pass_to(today, self.active[card])

    def _decide(self, request: Request, today: int, now_ms: int) -> str:
        card, operation = request.card, request.operation
        status = self.status.get(card)
        if request.identity in self.reversed:
            return "51"
        if operation == "activate":
            if status not in (None, "inactive"):
                return "51"
            self.status[card] = "active"
            return "00"
        if operation == "reverse":
            return self._reverse(request.original, today)
        if status is None:
            return "51"
        if operation in ("block", "unblock"):
            self.status[card] = {"block": "blocked", "unblock": "active"}[operation]
            return "00"
        if status != "active" or not self._move(request, today, now_ms):
            return "51"
        return "00"

    def _move(self, request: Request, today: int, now_ms: int) -> bool:
        card, identity, points, original = request.card, request.identity, request.points, request.original
        purse = self.purses[card, request.unit, request.program]
        active = self.active[card]
        if request.operation == "earn":
            self._earn(request, purse, today)
            return self._use(identity, card, today, 0, points)
        if request.operation in ("redeem", "hold"):
            if points > purse.balance():
                return False
            parts = purse.spend(points, active)
            if request.operation == "hold":
                name = card, request.unit, request.program
                self.holds[identity] = name, now_ms + HOLD_MS, parts
                return True
            self.taken[identity] = parts
            return self._use(identity, card, today, 2, points)
        if original not in self.requests or self.requests[original].card != card:
            return False
        if request.operation in ("capture", "release"):
            return self._of_hold(request, today)
        left = self.left(original)
        if not 0 < points <= left or original in self.reversed:
            return False
        if request.operation == "refund" and original in self.taken:
            self._give(original, points, today)
            return True
        if request.operation == "return" and original in self.given:
            self._take(original, points)
            return True
        return False

    def left(self, original: bytes) -> int:
        """What can still be taken back or given back."""
        return self.given.get(original, 0) or sum(part.left for part in self.taken.get(original, ()))

    def _earn(self, request: Request, purse: Purse, today: int) -> None:
        terms, begins = request.terms, today + request.terms.pending_days
        ends = 2**31 - 1 if terms.lasts == 0 else terms.lasts if terms.lasts < 0 else begins + terms.lasts
        part = Part(request.number, terms, begins, ends, request.points)
        if terms.pending_days:
            purse.waiting.append(part)
        else:
            purse.award(part)
        self.given[request.identity] = request.points

    def _of_hold(self, request: Request, today: int) -> bool:
        card, identity, points, original = request.card, request.identity, request.points, request.original
        if original not in self.holds:
            return False
        parts = self.holds[original][2]
        if request.operation == "capture":
            if not 0 < points <= sum(part.left for part in parts):
                return False
            self.taken[identity] = pour(parts, points)
        if request.operation == "release" or not request.keeps or not parts:
            self._release(original, today)
        return request.operation == "release" or self._use(identity, card, today, 2, points)

    def _release(self, hold: bytes, today: int) -> None:
        name, _, parts = self.holds.pop(hold)
        self.purses[name].give(parts, today, self.active[name[0]])

    def _name(self, identity: bytes) -> PurseName:
        request = self.requests[identity]
        if request.operation == "capture":
            request = self.requests[request.original]
        return request.card, request.unit, request.program

    def _give(self, original: bytes, points: int, today: int) -> None:
        name, parts = self._name(original), self.taken[original][::-1]
        back = pour(parts, points)[::-1]
        self.taken[original] = parts[::-1]
        self.used[name[0], self.used_on[original]][3] -= points
        self.purses[name].give(back, today, self.active[name[0]])

    def _take(self, original: bytes, points: int) -> None:
        name = self._name(original)
        self.given[original] -= points
        self.used[name[0], self.used_on[original]][1] -= points
        self.purses[name].claw_back(self.requests[original].number, points, self.active[name[0]])

    def _reverse(self, original: bytes, today: int) -> str:
        if original in self.reversed:
            return "00"
        if self.outcomes.get(original) == "00":
            request = self.requests[original]
            if request.operation == "activate":
                self.status[request.card] = "inactive"
            elif request.operation == "hold":
                if original in self.holds:
                    self._release(original, today)
            elif original in self.given or original in self.taken:
                place, units = (0 if original in self.given else 2), self.left(original)
                if place == 0:
                    self._take(original, units)
                else:
                    self._give(original, units, today)
                self.used[request.card, self.used_on[original]][place] -= 1
            else:
                return "12"
        self.reversed.add(original)
        return "00"

    def _use(self, identity: bytes, card: int, today: int, place: int, points: int) -> bool:
        self.active[card] = self.used_on[identity] = today
        self.used[card, today][place] += 1
        self.used[card, today][place + 1] += points
        return True

    def usage(self, card: int) -> tuple[int, ...]:
        """Of the last active day and of its month: earns, earned, redemptions, redeemed."""
        active = self.active[card]
        if not active:
            return (0,) * 8
        of_day = date.fromordinal(active)
        month = active - jalali(of_day.year, of_day.month, of_day.day)[2] + 1
        days = [used for (one, day), used in self.used.items() if one == card and month <= day <= active]
        return (*self.used[card, active], *(sum(place) for place in zip(*days, strict=True)))

    def fund(self, program: str) -> int:
        """Rial for all that is left of every lot, wherever it lies."""
        left: dict[int, int] = defaultdict(int)
        prices = {request.number: request.terms.price for request in self.requests.values()}
        parts = [part for name, _, held in self.holds.values() if name[2] == program for part in held]
        for name, purse in self.purses.items():
            if name[2] == program:
                parts += purse.open + purse.waiting
        for part in parts:
            left[part.number] += part.left
        return sum(points * prices[number] // 1_000 for number, points in left.items())
