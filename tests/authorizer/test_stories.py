"""Long stories of cards, sales and what takes them back, against the rules as they are written (`plain`).

The random stories here are short; `python -m tests.authorizer.test_stories FIRST LAST` plays more seeds.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import astuple
from datetime import timedelta
from typing import Any

import pytest

from switch.ledger import NEVER, AccountKind, BookedLate, Entry, LotPart, Unit
from switch.loyalty import limits as program_limits
from switch.loyalty.program import NONE, ROLLING, SLIDING, SPLIT_RETURNS, Rules
from tests.authorizer.plain import FOR_EVER, Card, Limit, Sale, Town, Version
from tests.authorizer.shop import ACCEPTOR, FIRST_DAY, OTHER_ACCEPTOR, Shop, rrn, tag

HOLD_MS = 3_600_000
CARDS = tuple(f"93640000000000{number:02d}" for number in range(10, 14))
ACCEPTORS = (ACCEPTOR, OTHER_ACCEPTOR)
FIRST = FIRST_DAY.toordinal()


def rules_of(version: Version) -> Rules:
    expiry = {0: NONE}.get(version.lasts, ROLLING if version.lasts > 0 else SLIDING)
    return Rules(
        number=version.number,
        starts=version.starts,
        rial_per_earned_point=version.step,
        points_per_step=version.per_step,
        smallest_purchase=version.smallest,
        largest_award=version.cap,
        rial_per_redeemed_point=version.ratio,
        price=version.price,
        pending_days=version.pending,
        expiry=expiry,
        expiry_days=abs(version.lasts),
        reopen_days=version.reopen,
        priority=version.priority,
        split_return=version.split_return,
    )


def versions_of(chooser: random.Random) -> list[Version]:
    versions = []
    for number in range(1, chooser.choice([2, 3, 4])):
        pending = chooser.choice([0, 0, 0, 2, 5])
        lasts = chooser.choice([0, 4, 9, 30, -3, -8])
        versions.append(
            Version(
                number=number,
                starts=1 if number == 1 else FIRST + 12 * (number - 1),
                step=chooser.choice([1_000, 10_000, 3_333]),
                per_step=chooser.choice([1, 1, 3]),
                smallest=chooser.choice([0, 0, 20_000]),
                cap=chooser.choice([0, 0, 50]),
                ratio=chooser.choice([1, 100, 130]),
                price=chooser.choice([0, 333, 1_001, 100_000]),
                pending=pending,
                lasts=lasts,
                reopen=chooser.choice([0, 3, 30]),
                priority=chooser.choice([0, 0, 1]),
                split_return=chooser.choice(SPLIT_RETURNS),
            )
        )
    return versions


def limits_of(chooser: random.Random) -> list[Limit]:
    found = []
    for _ in range(chooser.choice([0, 1, 2, 4])):
        scope = chooser.choice(program_limits.SCOPES)
        measure = chooser.choice(["count", "points", "points" if scope == "card" else "amount"])
        period, operation = chooser.choice(["day", "month"]), chooser.choice(["earn", "redeem"])
        most = {"count": 3, "points": 150, "amount": 700_000 if operation == "earn" else 9_000}[measure]
        found.append(Limit(scope, period, operation, measure, most * (4 if period == "month" else 1)))
    return found


class Story:
    """One seed: a shop and a town that hear the same requests, compared after each."""

    def __init__(self, seed: int) -> None:
        self.chooser = random.Random(seed)
        versions = versions_of(self.chooser)
        limits = limits_of(self.chooser)
        of_program = tuple(program_limits.Limit(*astuple(limit)) for limit in limits)
        self.shop = Shop(*map(rules_of, versions), checks=program_limits.Checks(of_program))
        self.town = Town(versions, HOLD_MS, limits)
        self.sales: list[Sale] = []
        self.entries: dict[int, Entry] = {}
        self.blocks: dict[str, Entry] = {}
        self.told: list[str] = []
        self.codes: Counter[tuple[str, str]] = Counter()
        for card in CARDS:
            self.shop.activate(card)
            self.town.cards[card] = Card()

    @property
    def today(self) -> int:
        return FIRST + self.shop.day

    def sale(self, kind: str, card: str, **more: Any) -> Sale:
        sale = Sale(len(self.sales) + 1, kind, card, self.acceptor(), **more)
        sale.batch = self.chooser.choice([1, 1, 1, 2])
        sale.day = self.today
        sale.cashier = self.chooser.choice(["", "00000007", "00000008"])
        self.sales.append(sale)
        return sale

    def acceptor(self) -> str:
        return self.chooser.choice(ACCEPTORS)

    def rrn(self, entry: Entry) -> str:
        return rrn(entry)

    def check(self, what: str, entry: Entry, expected: str) -> None:
        self.told.append(f"{what} -> {entry.response_code} {tag(entry, '04')}")
        self.codes[what.split()[0], entry.response_code] += 1
        assert entry.response_code == expected, f"{what}: {entry.response_code}, expected {expected}"
        for card in CARDS:
            wallet, told = self.shop.wallet(card), self.town.told(card)
            found = {
                "balance": wallet.balance,
                "debt": max(-wallet.balance, 0),
                "held": wallet.held,
                "open": told_of(wallet.lots),
                "waiting": sorted(told_of(wallet.waiting)),
            }
            assert found == told, f"{what}, {card}"
        for (name, acceptor), total in self.town.totals.items():
            kind = {
                "issued": AccountKind.ISSUED,
                "redeemed": AccountKind.REDEEMED,
                "payable": AccountKind.PAYABLE,
                "expired": AccountKind.EXPIRED,
            }[name]
            unit = Unit.RIAL if kind is AccountKind.PAYABLE else Unit.POINTS
            sign = -1 if kind is AccountKind.ISSUED else 1
            assert sign * self.total_of(kind, acceptor, unit) == total, f"{what}, {name} of {acceptor}"
        assert self.shop.total(AccountKind.FUND, Unit.RIAL) == self.town.fund(), what

    def total_of(self, kind: AccountKind, holder: str, unit: Unit) -> int:
        return sum(
            balance
            for account, balance in self.shop.accounts().items()
            if (account.kind, account.holder, account.unit) == (kind, holder, unit)
        )

    # ------------------------------------------------------------ steps

    def step(self) -> None:
        kinds = {
            "earn": 24, "redeem": 14, "split": 8, "hold": 7, "capture": 8, "void": 6, "refund": 10,
            "give": 10, "transfer": 6, "reverse": 9, "days": 7, "minutes": 2, "block": 3, "before": 2,
            "unreverse": 3, "again": 3,
        }  # fmt: skip
        [kind] = self.chooser.choices(list(kinds), list(kinds.values()))
        getattr(self, f"do_{kind}")()

    def settled(self, *cards: str) -> None:
        for card in cards:
            self.town.settle(card, self.today, self.shop.now_ms)

    def do_earn(self) -> None:
        card = self.chooser.choice(CARDS)
        amount = self.chooser.choice([0, 9_999, 20_000, self.chooser.randrange(1, 900_000)])
        sale = self.sale("earn", card, amount=amount)
        back = self.chooser.choice([0, 0, 0, 1, 6])
        advice = bool(back) or self.chooser.random() < 0.2
        self.settled(card)
        expected = self.town.earn(sale, self.today - back, self.today, advice=advice)
        entry = self.shop.decide(
            self.shop.request(
                "earn",
                card,
                amount=amount,
                acceptor=sale.acceptor,
                batch=sale.batch,
                cashier=sale.cashier,
                mti="0220" if advice else "0200",
                transaction_day=self.today - back,
            )
        )
        self.done(sale, entry)
        self.check(f"earn {sale.number} {card} {amount} back {back}", entry, expected)
        self.check_late(entry, back if expected == "00" else 0)

    def check_late(self, entry: Entry, back: int) -> None:
        """A sale of so many days before is marked so."""
        sold = (FIRST_DAY + timedelta(days=self.shop.day - back)).isoformat()
        assert [side.sold for side in entry.sides if isinstance(side, BookedLate)] == ([sold] if back else [])

    def done(self, sale: Sale, entry: Entry) -> None:
        if entry.response_code == "00":
            self.entries[sale.number] = entry
        else:
            self.sales.remove(sale)

    def do_redeem(self, kind: str = "redeem", *, split: bool = False) -> None:
        card = self.chooser.choice(CARDS)
        balance = max(self.town.cards[card].balance, 0)
        points = self.chooser.choice([balance, balance // 2, 1, balance + 1, self.chooser.randrange(0, 60)])
        amount = points * self.town.on(self.today).ratio
        money = self.chooser.randrange(1, 300_000) if split else 0
        sale = self.sale(kind, card, amount=amount, money=money)
        self.settled(card)
        expected = self.town.spend(sale, points, self.today, self.today, self.shop.now_ms)
        entry = self.shop.decide(
            self.shop.request(
                kind,
                card,
                amount=amount,
                points=points,
                acceptor=sale.acceptor,
                batch=sale.batch,
                cashier=sale.cashier,
                sale_amount=amount + money if split else 0,
            )
        )
        self.done(sale, entry)
        self.check(f"{'split' if split else kind} {sale.number} {card} {points} {money}", entry, expected)

    def do_split(self) -> None:
        self.do_redeem(split=True)

    def do_hold(self) -> None:
        self.do_redeem("hold")

    def some(self, *kinds: str) -> Sale | None:
        found = [sale for sale in self.sales[-60:] if sale.kind in kinds and sale.number in self.entries]
        return self.chooser.choice([*found, *found[-1:] * 3]) if found else None  # the newest most often

    def asked(self, operation: str, original: Sale, amount: int, **more: Any) -> tuple[Sale, Entry]:
        sale = self.sale("return" if operation == "return" else operation, original.card, amount=amount)
        sale.acceptor = original.acceptor
        sale.original = original
        self.settled(original.card)
        entry = self.shop.follow(
            operation,
            self.entries[original.number],
            amount,
            acceptor=sale.acceptor,
            batch=more.pop("batch", sale.batch),
            cashier=sale.cashier,
            **more,
        )
        return sale, entry

    def do_capture(self) -> None:
        hold = self.some("hold")
        if hold is None:
            return
        points = self.chooser.choice([hold.spent, hold.spent // 2, hold.spent + 1, 1])
        sale, entry = self.asked("capture", hold, points * (hold.amount // hold.spent), points=points)
        expected = self.town.capture(sale, hold, points, self.today)
        self.done(sale, entry)
        self.check(f"capture {sale.number} of {hold.number} {points}", entry, expected)

    def do_void(self) -> None:
        original = self.some("earn", "redeem", "hold")
        if original is None:
            return
        amount = original.amount + self.chooser.choice([0, 0, 0, 0, 1])
        batch = self.chooser.choice([original.batch] * 4 + [3])
        sale, entry = self.asked("void", original, amount, batch=batch)
        sale.batch = batch
        expected = self.town.void(sale, original, self.today)
        self.done(sale, entry)
        self.check(f"void {sale.number} of {original.number}", entry, expected)

    def do_refund(self) -> None:
        original = self.some("redeem", "capture")
        if original is None:
            return
        amount = self.part_of(original.amount, original.back_rial)
        sale, entry = self.asked("refund", original, amount)
        expected = self.town.refund(sale, original, self.today)
        self.done(sale, entry)
        self.check(f"refund {sale.number} of {original.number} {amount}", entry, expected)

    def do_give(self) -> None:
        original = self.some("earn", "redeem")
        if original is None or (original.kind == "redeem" and not original.money):
            return
        amount = self.part_of(original.amount + original.money, original.back_rial)
        sale, entry = self.asked("return", original, amount)
        expected = self.town.take_back(sale, original, self.today)
        self.done(sale, entry)
        self.check(f"return {sale.number} of {original.number} {amount}", entry, expected)

    def part_of(self, whole: int, gone: int) -> int:
        left = whole - gone
        choices = [left, left // 2, left // 3, left + 1, self.chooser.randrange(1, whole + 2)]
        return max(self.chooser.choice(choices), 1)

    def do_transfer(self) -> None:
        card, other = self.chooser.choice(CARDS), self.chooser.choice(CARDS)
        balance = max(self.town.cards[card].balance, 0)
        points = self.chooser.choice([balance, balance // 2, balance + 1, 3])
        sale = self.sale("transfer", card, other=other)
        self.settled(card, other)
        expected = self.town.transfer(sale, points)
        identifier = self.shop.request("balance", other).identifier
        entry = self.shop.decide(
            self.shop.request(
                "transfer", card, points=points, other=identifier, acceptor=sale.acceptor, batch=sale.batch
            )
        )
        self.done(sale, entry)
        self.check(f"transfer {sale.number} {card} to {other} {points}", entry, expected)

    def do_reverse(self) -> None:
        self.reverse(self.some("earn", "redeem", "hold", "capture", "refund", "return", "void", "transfer"))

    def do_unreverse(self) -> None:
        """The reversal of what took something back comes soon, as a terminal sends it."""
        last = self.sales[-1] if self.sales else None
        if last is not None and last.number in self.entries:
            self.reverse(last)

    def reverse(self, sale: Sale | None) -> None:
        if sale is None:
            return
        follows = {}
        if sale.original is not None and sale.kind != "earn":
            follows = {"follows": self.rrn(self.entries[sale.original.number])}
        card = "" if follows else sale.card
        self.settled(sale.card, *([sale.other] if sale.other else []))
        expected = self.town.reverse(sale, self.today)
        original = self.entries[sale.number]
        entry = self.shop.reverse(original, card, **follows)
        self.check(f"reverse {sale.kind} {sale.number}", entry, expected)

    def do_days(self) -> None:
        self.shop.later(days=self.chooser.choice([1, 1, 2, 5, 12]))
        if self.chooser.random() < 0.7:
            card = self.chooser.choice(CARDS)
            self.settled(card)
            entry = self.shop.decide(self.shop.request("balance", card))
            self.check(f"balance {card}", entry, "00")

    def do_minutes(self) -> None:
        self.shop.later(ms=self.chooser.choice([HOLD_MS - 1, HOLD_MS]))

    def do_block(self) -> None:
        card = self.chooser.choice(CARDS)
        blocked_ones = [one for one in CARDS if self.town.cards[one].status == "blocked"]
        card = blocked_ones[0] if blocked_ones else card
        held = self.town.cards[card]
        self.settled(card)
        if held.status == "active":
            entry = self.blocks[card] = self.shop.decide(self.shop.request("block", card))
            held.status = "blocked"
        else:
            entry = self.shop.reverse(self.blocks[card], card)
            held.status = "active"
        self.check(f"block {card}", entry, "00")

    def do_before(self) -> None:
        """The reversal is first, its original comes late."""
        card = self.chooser.choice(CARDS)
        self.settled(card)
        request = self.shop.request("earn", card, amount=50_000)
        entry = self.shop.decide(
            self.shop.request("reversal", card, original=request.identity, original_operation="earn")
        )
        self.check("before", entry, "00")
        self.check("late", self.shop.decide(request), "94")

    def do_again(self) -> None:
        """What was decided is decided once."""
        if not self.entries:
            return
        entry = self.entries[self.chooser.choice(list(self.entries))]
        request = replace_request(self.shop, entry)
        assert self.shop.again(request).entry is entry  # type: ignore[union-attr]


def replace_request(shop: Shop, entry: Entry) -> Any:
    request = shop.request("balance")
    return request._replace(identity=entry.identity, fingerprint=entry.fingerprint)


def told_of(parts: tuple[LotPart, ...]) -> list[tuple[str, int, int, int, int]]:
    """Parts of lots as a town tells them."""
    return [
        (
            part.lot.issuer,
            part.lot.price,
            part.lot.active_from,
            FOR_EVER if part.lot.expires == NEVER else part.lot.expires,
            part.amount,
        )
        for part in parts
    ]


def play(seed: int, steps: int) -> Counter[tuple[str, str]]:
    story = Story(seed)
    try:
        for _ in range(steps):
            story.step()
    except BaseException:
        print(f"seed {seed}", *story.town.versions, *story.town.limits, *story.told, sep="\n")
        raise
    return story.codes


@pytest.mark.parametrize("seed", range(8))
def test_a_story_goes_as_the_rules_say(seed: int) -> None:
    play(seed, 100)


if __name__ == "__main__":
    codes: Counter[tuple[str, str]] = Counter()
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        codes += play(number, 300)
    print(*sorted(codes.items()), sep="\n")
