"""What must come out of a shop's requests: the rules told a second time, from what is written about them.

Shares no code with the switch. A sale keeps what it did to which lots, so that taking it back is the same
list read the other way round. Amounts are rial and points, days ordinals; nothing is packed or rounded here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

FOR_EVER = 10**9
FIRST_MONTH_ENDS = 739_695  # 29 Esfand 1404; the next six months of the Jalali calendar have 31 days
OPEN, WAITING = "open", "waiting"


@dataclass(frozen=True)
class Version:
    """The rules from a day on. lasts: days of a lot; 0: for ever; -n: n days after the last activity."""

    number: int = 1
    starts: int = 1
    step: int = 10_000
    per_step: int = 1
    smallest: int = 0
    cap: int = 0
    ratio: int = 100
    price: int = 100_000
    pending: int = 0
    lasts: int = 0
    reopen: int = 30
    priority: int = 0
    split_return: str = "proportional"

    def award(self, amount: int) -> int:
        points = amount // self.step * self.per_step if amount >= self.smallest else 0
        return min(points, self.cap) if self.cap else points


@dataclass(frozen=True)
class Limit:
    """At most so many transactions (count), points or rial (amount) of a scope in a period."""

    scope: str
    period: str
    operation: str
    measure: str
    most: int


def month_of(day: int) -> int:
    return -1 if day <= FIRST_MONTH_ENDS else (day - FIRST_MONTH_ENDS - 1) // 31


@dataclass(eq=False)
class Lot:
    issuer: str
    price: int
    priority: int
    begins: int
    ends: int
    born: int

    def last(self, active: int) -> int:
        return self.ends if self.ends > 0 else max(active, self.begins) - self.ends


@dataclass(eq=False)
class Part:
    """So much of a lot in one place; ends: its own, once it was reopened."""

    lot: Lot
    place: str
    left: int
    ends: int

    def last(self, active: int) -> int:
        return self.ends if self.ends > 0 else max(active, self.lot.begins) - self.ends


Took = list[tuple[Lot, str, int, int]]  # lot, place, last day, points: in the order in which they were taken


@dataclass(eq=False)
class Card:
    status: str = "active"
    parts: list[Part] = field(default_factory=list)
    debt: int = 0
    active: int = 0
    holds: dict[int, tuple[int, Took]] = field(default_factory=dict)  # by sale: end (ms), what it keeps

    def ordered(self) -> list[Part]:
        """Open parts in the order of use."""
        return sorted(
            (part for part in self.parts if part.place == OPEN),
            key=lambda part: (part.lot.priority, part.last(self.active), part.lot.begins, part.lot.born),
        )

    def has(self, place: str = OPEN) -> int:
        return sum(part.left for part in self.parts if part.place == place)

    @property
    def balance(self) -> int:
        return self.has() - self.debt

    @property
    def held(self) -> int:
        return sum(points for _, kept in self.holds.values() for *_, points in kept)

    def put(self, lot: Lot, place: str, points: int, ends: int) -> None:
        for part in self.parts:
            if part.lot is lot and part.place == place:
                part.left += points
                part.ends = ends
                return
        self.parts.append(Part(lot, place, points, ends))

    def pay_debt(self, points: int) -> int:
        """What is left of points that become spendable."""
        paid = min(points, self.debt)
        self.debt -= paid
        return points - paid

    def take(self, order: list[Part], points: int) -> Took:
        taken: Took = []
        for part in order:
            now = min(part.left, points)
            if now:
                part.left -= now
                points -= now
                taken.append((part.lot, part.place, part.ends, now))
        self.parts = [part for part in self.parts if part.left]
        return taken

    def claw_back(self, own: dict[Lot, int], points: int) -> Took:
        """own: how much of which lots is first."""
        taken: Took = []
        own = dict(own)
        for place in (WAITING, OPEN):
            mine = self.ordered() if place == OPEN else [part for part in self.parts if part.place == place]
            for part in mine:
                now = self.take([part], min(own.get(part.lot, 0), points, part.left))
                points -= sum(count for *_, count in now)
                if now:
                    own[part.lot] -= now[0][3]
                taken += now
        others = self.take(self.ordered(), points)
        self.debt += points - sum(now for *_, now in others)
        return taken + others

    def give(
        self, taken: Took, points: int, today: int, reopen: int, fresh: Lot | None = None
    ) -> dict[Lot, int]:
        """Back to the same lots, the last taken first; debt takes what would come first, and what it doesn't
        take any more comes into a fresh lot. The lots that got some."""
        got: dict[Lot, int] = defaultdict(int)
        waiting = [one for one in taken if one[1] == WAITING and one[0].begins > today]
        for lot, place, ends, count in reversed(waiting):
            now = min(count, points)
            if now:
                self.put(lot, place, now, ends)
                got[lot] += now
            points -= now
        points = self.pay_debt(points)
        for lot, place, ends, count in reversed(taken):
            if (lot, place, ends, count) in waiting or not points:
                continue
            now = min(count, points)
            points -= now
            there = next((part for part in self.parts if part.lot is lot and part.place == OPEN), None)
            back = Part(lot, OPEN, now, ends)
            if there is not None and there.last(self.active) > back.last(self.active):
                back.ends = there.ends
            if reopen and back.last(self.active) < today:
                back.ends = today + reopen
            self.put(lot, OPEN, now, back.ends)
            got[lot] += now
        if points:
            assert fresh is not None, "only what was owed can have been paid since"
            self.put(fresh, OPEN, points, fresh.ends)
        return got


def fewer(taken: Took, points: int) -> Took:
    """The first `points` of what was taken."""
    kept: Took = []
    for lot, place, ends, count in taken:
        now = min(count, points)
        points -= now
        if now:
            kept.append((lot, place, ends, now))
    return kept


@dataclass(eq=False)
class Sale:
    """An approved request and what it did. back: rial and points that followed it; money, returned: of a
    split sale."""

    number: int
    kind: str
    card: str
    acceptor: str
    amount: int = 0
    batch: int = 1
    day: int = 0
    cashier: str = ""
    version: Version = field(default_factory=Version)
    spent: int = 0
    took: Took = field(default_factory=list)
    owed: int = 0
    earned: int = 0
    opened: int = 0  # of it, what came into the lot
    lot: Lot | None = None
    place: str = OPEN
    money: int = 0
    earned_back: int = 0  # of a split sale
    back_rial: int = 0
    back_points: int = 0
    ended: bool = False
    reversed: bool = False
    original: Sale | None = None
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    other: str = ""
    others_lots: dict[Lot, int] = field(default_factory=dict)
    given: dict[Lot, int] = field(default_factory=dict)
    effects: tuple[int, int, Took, int] = (0, 0, [], 0)  # points given back, rial; taken back: lots, points
    born: int = 0


class Town:
    """Everybody's cards and all sales."""

    def __init__(self, versions: list[Version], hold_ms: int, limits: list[Limit] | None = None) -> None:
        self.versions = versions
        self.limits = limits or []
        self.counted: list[Sale] = []
        self.hold_ms = hold_ms
        self.cards: dict[str, Card] = {}
        self.sales: dict[int, Sale] = {}
        self.totals: dict[tuple[str, str], int] = defaultdict(int)
        self.born = 0

    def on(self, day: int) -> Version:
        return [version for version in self.versions if version.starts <= day or version.number == 1][-1]

    # ------------------------------------------------------------ limits

    def counts(self, sale: Sale, operation: str) -> tuple[int, int, int]:
        """Transactions, points and rial that a sale is worth to limits as it stands now."""
        if sale.ended or sale.reversed:
            return 0, 0, 0
        if sale.kind == "earn" and operation == "earn":
            return 1, sale.earned - sale.back_points, sale.amount - sale.back_rial
        if sale.kind == "hold" and operation == "redeem":
            is_open = sale.number in self.cards[sale.card].holds
            return (1, sale.spent, sale.amount) if is_open else (0, 0, 0)
        if sale.kind not in ("redeem", "capture"):
            return 0, 0, 0
        paid = sale.back_points * (sale.amount // sale.spent)
        if operation == "redeem":
            return 1, sale.spent - sale.back_points, sale.amount - paid
        if not sale.earned:
            return 0, 0, 0
        return 1, sale.earned - sale.earned_back, sale.money - (sale.back_rial - paid)

    def above_limit(self, sale: Sale, asked: dict[str, tuple[int, int]], *, advice: bool = False) -> str:
        """The decline of a sale; asked: points and rial by operation."""
        for limit in self.limits:
            if limit.operation not in asked or (
                advice and (limit.scope, limit.period) != ("terminal", "day")
            ):
                continue
            if limit.scope == "cashier" and not sale.cashier:
                continue
            place = ("count", "points", "amount").index(limit.measure)
            used = 0
            for other in self.counted:
                holders = {
                    "card": other.card == sale.card,
                    "terminal": True,
                    "merchant": other.acceptor == sale.acceptor,
                    "cashier": (other.acceptor, other.cashier) == (sale.acceptor, sale.cashier),
                }
                if limit.period == "day":
                    is_then = other.day == sale.day
                else:
                    is_then = month_of(other.day) == month_of(sale.day)
                if holders[limit.scope] and is_then:
                    used += self.counts(other, limit.operation)[place]
            points, rial = asked[limit.operation]
            more = (1, points, rial)[place]
            if more and used + more > limit.most:
                return "65" if limit.measure == "count" else "61"
        return ""

    # ------------------------------------------------------------ time

    def settle(self, name: str, today: int, now_ms: int) -> None:
        card = self.cards[name]
        for number, (end, kept) in list(card.holds.items()):
            if end <= now_ms:
                del card.holds[number]
                card.give(kept, sum(count for *_, count in kept), today, self.on(today).reopen)
        ripe = [part for part in card.parts if part.place == WAITING and part.lot.begins <= today]
        card.parts = [part for part in card.parts if part not in ripe]
        for part in sorted(ripe, key=lambda part: (part.lot.begins, part.lot.born)):
            left = card.pay_debt(part.left)
            if left:
                card.put(part.lot, OPEN, left, part.ends)
        over = [part for part in card.parts if part.place == OPEN and part.last(card.active) < today]
        self.totals["expired", ""] += sum(part.left for part in over)
        card.parts = [part for part in card.parts if part not in over]

    # ------------------------------------------------------------ what is asked

    def earn(self, sale: Sale, day: int, today: int, *, advice: bool = False) -> str:
        card = self.cards[sale.card]
        if card.status == "blocked" and not advice:
            return "62"
        if not sale.amount:
            return "13"
        declined = self.above_limit(
            sale, {"earn": (self.on(day).award(sale.amount), sale.amount)}, advice=advice
        )
        if declined:
            return declined
        self._award(sale, card, sale.amount, day, today)
        self.counted.append(sale)
        card.active = today
        return "00"

    def _award(self, sale: Sale, card: Card, amount: int, day: int, today: int) -> None:
        sale.version = version = self.on(day)
        sale.earned = points = version.award(amount)
        if not points:
            return
        ends = FOR_EVER if not version.lasts else version.lasts
        if version.lasts > 0:
            ends = day + version.lasts
        self.born += 1
        begins = day + version.pending
        sale.lot = Lot(sale.acceptor, version.price, version.priority, begins, ends, self.born)
        self.totals["issued", sale.acceptor] += points
        sale.place = place = WAITING if begins > today else OPEN
        left = points if place == WAITING else card.pay_debt(points)
        sale.opened = left
        if left:
            card.put(sale.lot, place, left, ends)

    def spend(self, sale: Sale, points: int, day: int, today: int, now_ms: int) -> str:
        """A redemption or hold; sale.money: what of the sale is paid in money."""
        card = self.cards[sale.card]
        if card.status == "blocked":
            return "62"
        if not points or sale.amount != points * self.on(day).ratio:
            return "13"
        if points > card.balance:
            return "51"
        asked = {"redeem": (points, sale.amount)}
        if award := self.on(day).award(sale.money) if sale.money else 0:
            asked["earn"] = award, sale.money
        if declined := self.above_limit(sale, asked):
            return declined
        self.counted.append(sale)
        sale.spent = points
        sale.took = card.take(card.ordered(), points)
        if sale.kind == "redeem":
            card.active = today
        if sale.kind == "hold":
            card.holds[sale.number] = now_ms + self.hold_ms, sale.took
            return "00"
        self.totals["redeemed", sale.acceptor] += points
        self.totals["payable", sale.acceptor] += sale.amount
        if sale.money:
            self._award(sale, card, sale.money, day, today)
        return "00"

    def capture(self, sale: Sale, hold: Sale, points: int, today: int) -> str:
        card = self.cards[hold.card]
        if not points:
            return "13"
        if hold.number not in card.holds:
            return "12"
        if sale.amount != points * (hold.amount // hold.spent):
            return "13"
        if points > hold.spent:
            return "12"
        _, kept = card.holds.pop(hold.number)
        self.counted.append(sale)
        sale.spent, sale.took, sale.card = points, fewer(kept, points), hold.card
        card.active = today
        hold.back_points = points
        rest = hold.spent - points
        card.give(kept, rest, today, self.on(today).reopen)
        self.totals["redeemed", sale.acceptor] += points
        self.totals["payable", sale.acceptor] += sale.amount
        return "00"

    def void(self, sale: Sale, original: Sale, today: int) -> str:
        self.born += 1
        sale.born = self.born
        if original.ended or original.reversed:
            return "12"
        if sale.batch != original.batch or original.back_rial or original.back_points:
            return "12"
        if sale.amount != original.amount:
            return "13"
        if original.kind == "hold" and original.number not in self.cards[original.card].holds:
            return "12"
        sale.original = original
        self._undo(sale, original, today)
        original.ended = True
        return "00"

    def refund(self, sale: Sale, original: Sale, today: int) -> str:
        """Points of a redemption for the rial they paid."""
        if original.ended or original.reversed:
            return "12"
        ratio = original.amount // original.spent
        sale.before = original.back_rial, original.back_points
        if original.money:
            points = sale.amount // ratio
            if original.back_points * ratio + sale.amount > original.amount:
                return "13"
            if original.back_rial + sale.amount > original.amount + original.money:
                return "13"
            self._give_split(sale, original, points, today)
            return "00"
        if original.back_rial + sale.amount > original.amount:
            return "13"
        points = max((original.back_rial + sale.amount) // ratio - original.back_points, 0)
        self._give_back(sale, original, points, points * ratio, today)
        original.back_rial += sale.amount
        original.back_points += points
        sale.after = original.back_rial, original.back_points
        return "00"

    def take_back(self, sale: Sale, original: Sale, today: int) -> str:
        """Goods come back that earned points, or were paid in part with them."""
        self.born += 1
        sale.born = self.born
        if original.ended or original.reversed:
            return "12"
        sale.before = original.back_rial, original.back_points
        whole = original.amount + original.money
        goods = original.back_rial + sale.amount
        if goods > whole:
            return "13"
        if original.kind == "redeem":
            ratio = original.amount // original.spent
            points = {
                "proportional": original.spent * goods // whole,
                "points_first": min(original.spent, goods // ratio),
                "money_first": 0,  # as few as the money allows
            }[self.on(original.day).split_return]
            points = min(points, original.back_points + sale.amount // ratio)
            while goods - points * ratio > original.money:
                points += 1
            points = max(points, original.back_points)
            self._give_split(sale, original, points - original.back_points, today)
            return "00"
        taken = original.earned - original.version.award(whole - goods)
        points = max(taken - original.back_points, 0)
        self._claw(sale, original, points)
        original.back_rial = goods
        original.back_points += points
        sale.after = original.back_rial, original.back_points
        return "00"

    def _give_split(self, sale: Sale, original: Sale, points: int, today: int) -> None:
        """Of a split sale: points for their part, and the award of the money part made again."""
        original.back_rial += sale.amount
        original.back_points += points
        sale.after = original.back_rial, original.back_points
        taken = self.award_gone(original) - original.earned_back
        if points:
            ratio = original.amount // original.spent
            self._give_back(sale, original, points, points * ratio, today, before=sale.before[1])
        if taken > 0:
            self._claw(sale, original, taken)
        elif taken:
            self._award_again(sale, original, -taken, today)
        original.earned_back += taken

    def award_gone(self, sale: Sale) -> int:
        """Of the award of a split sale's money part, what the money that is back has cost."""
        money = sale.back_rial - sale.back_points * (sale.amount // sale.spent)
        money = min(max(money, 0), sale.money)
        return sale.version.award(sale.money) - sale.version.award(sale.money - money)

    def _award_again(self, taking: Sale, sale: Sale, points: int, today: int) -> None:
        """Points of an award again: what `taking` took, the last first; the rest into the award's lot."""
        _, _, took, taken = taking.effects
        of_lots = sum(count for *_, count in took)
        rest = points - min(points, taken - of_lots)
        back = self._without_first(took, of_lots - min(rest, of_lots))
        more = max(points - taken, 0)
        if more and sale.opened and sale.lot is not None:
            ends = next((end for lot, _, end, _ in back if lot is sale.lot), sale.lot.ends)
            back = [(sale.lot, sale.place, ends, more), *back]
        fresh = self._fresh(taking, sale, today)
        self.cards[sale.card].give(back, points, today, self.on(today).reopen, fresh)
        self.totals["issued", sale.acceptor] += points

    def _without_first(self, taken: Took, points: int) -> Took:
        kept: Took = []
        for lot, place, ends, count in taken:
            gone = min(points, count)
            points -= gone
            if count > gone:
                kept.append((lot, place, ends, count - gone))
        return kept

    def _give_back(
        self, sale: Sale, original: Sale, points: int, rial: int, today: int, before: int | None = None
    ) -> None:
        card = self.cards[original.card]
        still = fewer(original.took, original.spent - (original.back_points if before is None else before))
        back = self._without_first(still, sum(count for *_, count in still) - points)
        sale.given = card.give(back, points, today, self.on(today).reopen)
        self.totals["redeemed", original.acceptor] -= points
        self.totals["payable", original.acceptor] -= rial
        sale.effects = (points, rial, sale.effects[2], sale.effects[3])

    def _claw(self, sale: Sale, original: Sale, points: int) -> None:
        card = self.cards[original.card]
        taken = card.claw_back({original.lot: points} if original.lot else {}, points)
        self.totals["issued", original.acceptor] -= points
        sale.effects = (sale.effects[0], sale.effects[1], taken, points)

    def transfer(self, sale: Sale, points: int) -> str:
        card = self.cards[sale.card]
        if card.status == "blocked":
            return "62"
        other = self.cards.get(sale.other)
        if not points:
            return "13"
        if other is None or sale.other == sale.card or other.status != "active":
            return "12"
        if points > card.balance:
            return "51"
        sale.spent = points
        sale.took = card.take(card.ordered(), points)
        left = other.pay_debt(points)
        skip = points - left
        for lot, _, ends, count in sale.took:
            over = min(skip, count)
            skip -= over
            if count > over:
                self.born += 1
                last = ends if ends > 0 else max(card.active, lot.begins) - ends
                copy = Lot(lot.issuer, lot.price, lot.priority, lot.begins, last, self.born)
                sale.others_lots[copy] = count - over
                other.put(copy, OPEN, count - over, last)
        return "00"

    # ------------------------------------------------------------ taking back

    def reverse(self, sale: Sale, today: int) -> str:
        if sale.reversed:
            return "00"
        if sale.back_points or sale.back_rial or sale.ended:
            return "12"
        if sale.kind == "void" and sale.original is not None and sale.original.kind == "hold":
            return "12"
        if sale.kind == "hold" and sale.number not in self.cards[sale.card].holds:
            sale.reversed = True  # it has run out: what it kept is the member's
            return "00"
        self._undo(None, sale, today)
        sale.reversed = True
        return "00"

    def _undo(self, void: Sale | None, sale: Sale, today: int) -> None:
        card = self.cards[sale.card]
        reopen = self.on(today).reopen
        if sale.kind == "hold":
            _, kept = card.holds.pop(sale.number)
            card.give(kept, sale.spent, today, reopen)
        elif sale.kind == "void":
            self._unvoid(sale, today)
        elif sale.kind in ("refund", "return"):
            self._unfollow(sale, today)
        else:
            taken: Took = []
            if sale.earned:
                taken = card.claw_back({sale.lot: sale.opened} if sale.lot else {}, sale.earned)
                self.totals["issued", sale.acceptor] -= sale.earned
            given: dict[Lot, int] = {}
            if sale.spent:
                given = card.give(sale.took, sale.spent, today, reopen)
                if sale.kind != "transfer":
                    self.totals["redeemed", sale.acceptor] -= sale.spent
                    self.totals["payable", sale.acceptor] -= sale.amount
            if sale.kind == "transfer":
                self.cards[sale.other].claw_back(sale.others_lots, sale.spent)
            if sale.kind == "capture" and sale.original is not None:
                sale.original.back_points = 0
            if void is not None:
                void.effects = (sale.spent, sale.amount, taken, sale.earned)
                void.given = given

    def _unvoid(self, void: Sale, today: int) -> None:
        """The sale stands again: what it took is taken again, what was taken from it comes back."""
        sale = void.original
        assert sale is not None
        card = self.cards[sale.card]
        if sale.spent:
            card.claw_back(void.given, sale.spent)
            self.totals["redeemed", sale.acceptor] += sale.spent
            self.totals["payable", sale.acceptor] += sale.amount
        if sale.earned:
            fresh = self._fresh(void, sale, today)
            card.give(void.effects[2], sale.earned, today, self.on(today).reopen, fresh)
            self.totals["issued", sale.acceptor] += sale.earned
        sale.ended = False

    def _unfollow(self, sale: Sale, today: int) -> None:
        original = sale.original
        assert original is not None
        card = self.cards[sale.card]
        points, rial, taken, taken_points = sale.effects
        if (original.back_rial, original.back_points) != sale.after:
            self._unfollow_between(sale, original, today)
            return
        if taken_points:
            card.give(taken, taken_points, today, self.on(today).reopen, self._fresh(sale, original, today))
            self.totals["issued", original.acceptor] += taken_points
        if points:
            card.claw_back(sale.given, points)
            self.totals["redeemed", original.acceptor] += points
            self.totals["payable", original.acceptor] += rial
        if original.kind == "earn":
            original.back_points -= taken_points
        else:
            original.back_points -= points
            original.earned_back -= taken_points
        original.back_rial -= sale.amount

    def _unfollow_between(self, sale: Sale, original: Sale, today: int) -> None:
        """Others came after: the points that it told, from where the last ones went."""
        card = self.cards[original.card]
        original.back_rial -= sale.amount
        points, _, _, taken = sale.effects
        if original.kind == "earn":
            original.back_points -= taken
            self._award_again(sale, original, taken, today)
            return
        ratio = original.amount // original.spent
        given = fewer(original.took, original.spent - original.back_points + points)
        given = self._without_first(given, original.spent - original.back_points)
        original.back_points -= points
        if original.money and original.earned:
            again = original.earned_back - self.award_gone(original)
            original.earned_back -= again
            if again > 0:
                self._award_again(sale, original, again, today)
            elif again:
                card.claw_back({original.lot: -again} if original.lot else {}, -again)
                self.totals["issued", original.acceptor] += again
        got: dict[Lot, int] = defaultdict(int)
        for lot, _, _, count in given:
            got[lot] += count
        card.claw_back(got, points)
        self.totals["redeemed", original.acceptor] += points
        self.totals["payable", original.acceptor] += points * ratio

    def _fresh(self, taking: Sale, sale: Sale, today: int) -> Lot:
        """A lot as the sale's award, as old as what took it, but of today and to be spent at once."""
        version = sale.version
        ends = FOR_EVER if not version.lasts else version.lasts
        ends = today + version.lasts if version.lasts > 0 else ends
        return Lot(sale.acceptor, version.price, version.priority, today, ends, taking.born)

    def fund(self) -> int:
        """Rial for what is left of every lot."""
        left: dict[Lot, int] = defaultdict(int)
        for card in self.cards.values():
            for part in card.parts:
                left[part.lot] += part.left
            for _, kept in card.holds.values():
                for lot, _, _, count in kept:
                    left[lot] += count
        return sum(points * lot.price // 1000 for lot, points in left.items())

    def told(self, name: str) -> dict[str, Any]:
        """A card as it can be compared: open lots in the order of use, those that wait."""
        card = self.cards[name]

        def told_of(parts: list[Part]) -> list[tuple[str, int, int, int, int]]:
            return [
                (part.lot.issuer, part.lot.price, part.lot.begins, part.ends, part.left) for part in parts
            ]

        return {
            "balance": card.balance,
            "debt": card.debt,
            "held": card.held,
            "open": told_of(card.ordered()),
            "waiting": sorted(told_of([part for part in card.parts if part.place == WAITING])),
        }
