"""A shop floor for tests: requests decided one after another on a memory that nothing is ever lost from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from switch import iso8583
from switch.authorizer import Authorizer, Due, Limits, Need, Refusal, Repeat, Request, Terms
from switch.authorizer.identity import card_identifier, rrn_of
from switch.authorizer.outcome import APPROVED
from switch.ledger import (
    Account,
    AccountKind,
    CardLoad,
    CodeCount,
    CodeCountLoad,
    CounterLoad,
    Entry,
    EntryIdLoad,
    FollowedLoad,
    Member,
    NotLoaded,
    Start,
    State,
    Unit,
    Wallet,
)
from switch.ledger.book import add_to_accounts, fund_of
from switch.ledger.counting import NOTHING
from switch.ledger.engine import FollowUp
from switch.loyalty.limits import NO_CHECKS, Checks
from switch.loyalty.program import Program, Rules

DIALECT = iso8583.load("vafa")
KEY = b"k"
FIRST_DAY = date(2026, 3, 1)
START_MS = 1_772_310_600_000  # 2026-03-01 00:00 in Tehran
DAY_MS = 86_400_000
ACCEPTOR, OTHER_ACCEPTOR = "100000000000001", "100000000000002"
LIMITS = Limits(
    pin_tries=3,
    code_tries=3,
    code_lifetime_ms=120_000,
    card_tries=0,
    codes_per_member=5,
    codes_per_terminal=60,
    code_period_ms=3_600_000,
)
MTI = {
    "reversal": "0420",
    "activate": "0300",
    "block": "0300",
    "unblock": "0300",
    "replace": "0300",
    "balance": "0100",
    "unit_balance": "0100",
    "hold": "0100",
    "capture": "0220",
    "batch_close": "0500",
    "batch_trailer": "0500",
    "batch_upload": "0320",
}
ACCOUNTS = {"earn": "0060", "redeem": "6000", "hold": "6000"}


class Shop:
    """One switch's decisions. Every step holds the books: units balance, the fund is worth the open lots."""

    def __init__(
        self,
        *versions: Rules,
        checks: Checks = NO_CHECKS,
        units: Mapping[str, Rules] | None = None,
        **rules: Any,
    ) -> None:
        program = Program(versions or (replace(Rules(), **rules),), units or {})
        terms = Terms("vafa", "364", program, hold_ms=3_600_000, replaced_ms=DAY_MS, checks=checks)
        self.authorizer = Authorizer(DIALECT, terms, 10**12, LIMITS, KEY)
        self.state = State(Start(0, b"", b"", "", {}))
        self.entries: list[Entry] = []
        self._balances: dict[Account, int] = {}
        self.number = 0
        self.day = 0
        self.now_ms = START_MS + 10 * 3_600_000

    def later(self, days: int = 0, ms: int = 0) -> None:
        self.day += days
        self.now_ms += days * DAY_MS + ms

    # ------------------------------------------------------------ asking

    def request(self, operation: str, card: str = "", **more: Any) -> Request:
        self.number += 1
        mti = MTI.get(operation, "0200")
        today = FIRST_DAY + timedelta(days=self.day)
        identity = bytes.fromhex(today.strftime("%Y%m%d") + "101112") + mti[1].encode() + b"10000001"
        values = {
            "operation": operation,
            "mti": mti,
            "identity": identity + self.number.to_bytes(3, "big"),
            "fingerprint": f"{operation} {card} {more}".encode(),
            "terminal": "10000001",
            "acceptor": ACCEPTOR,
            "stan": f"{self.number % 10**6:06d}",
            "local_time": "101112",
            "business_date": today.isoformat(),
            "identifier": card_identifier(card, KEY) if card else b"",
            "masked_card": "936400******0001",
            "card_valid": True,
            "amount": 0,
            "currency": "364",
            "points": 0,
            "original": b"",
            "transaction_day": today.toordinal(),
            "batch": 1,
            "accounts": ACCOUNTS.get(operation, "0000"),
        }
        return Request(**{**values, **more})

    def decide(self, request: Request, found: Mapping[Need, object] | None = None) -> Entry:
        """Decide and apply; what is due and the second half of a transfer come with it."""
        while True:
            outcome = self._loaded(
                lambda: self.authorizer.decide(self.state, request, self.now_ms, found or {})
            )
            if isinstance(outcome, Due):
                self._apply(outcome.entry)
                continue
            assert isinstance(outcome, Entry), outcome
            self._apply(outcome)
            second = self._loaded(
                lambda: self.authorizer.second_half(self.state, outcome, self.now_ms)  # noqa: B023
            )
            if second is not None:
                self._apply(second)
            self.check()
            return outcome

    def again(self, request: Request) -> Repeat | Refusal:
        outcome = self._loaded(lambda: self.authorizer.decide(self.state, request, self.now_ms, {}))
        assert isinstance(outcome, Repeat | Refusal), outcome
        return outcome

    def _apply(self, entry: Entry) -> None:
        self._loaded(lambda: self.state.apply(entry))
        self.entries.append(entry)
        add_to_accounts(self._balances, entry)

    def _loaded(self, ask: Any) -> Any:
        while True:
            try:
                return ask()
            except NotLoaded as missing:
                if isinstance(missing.load, EntryIdLoad):  # committed entries are looked up by id
                    found = next((one for one in self.entries if one.id == missing.load.entry), None)
                    self.state.fill(missing.load, found)
                    continue
                nothing: dict[type, Any] = {
                    FollowedLoad: FollowUp(),
                    CounterLoad: NOTHING,
                    CardLoad: (),
                    CodeCountLoad: CodeCount(),
                }
                self.state.fill(missing.load, nothing.get(type(missing.load)))

    def activate(self, card: str) -> Entry:
        entry = self.decide(self.request("activate", card))
        assert entry.response_code == APPROVED
        return entry

    def earn(self, card: str, points: int, **more: Any) -> Entry:
        return self.decide(self.request("earn", card, amount=points * 10_000, **more))

    def redeem(self, card: str, points: int, operation: str = "redeem", **more: Any) -> Entry:
        return self.decide(self.request(operation, card, amount=points * 100, points=points, **more))

    def follow(self, operation: str, original: Entry, amount: int | None = None, **more: Any) -> Entry:
        values = {"amount": original.amount if amount is None else amount, "follows": rrn(original), **more}
        if operation == "void":
            values.setdefault("accounts", ACCOUNTS.get(original.operation, "0000"))
        return self.decide(self.request(operation, **values))

    def reverse(self, original: Entry, card: str = "", **more: Any) -> Entry:
        return self.decide(
            self.request(
                "reversal",
                card,
                original=original.identity,
                original_operation=original.operation,
                **more,
            )
        )

    # ------------------------------------------------------------ looking

    def member(self, card: str) -> Member:
        member = self.state.member_of(card_identifier(card, KEY))
        assert member is not None
        return self.state.member(member)

    def wallet(self, card: str) -> Wallet:
        return self.member(card).wallet("vafa", Unit.POINTS)

    def lots(self, card: str) -> list[tuple[int, int]]:
        """(entry that opened it, what is left) of each open lot, in the order of use."""
        return [(part.lot.id // 64, part.amount) for part in self.wallet(card).lots]

    def accounts(self) -> dict[Account, int]:
        return self._balances

    def total(self, kind: AccountKind, unit: Unit = Unit.POINTS) -> int:
        return sum(
            balance
            for account, balance in self.accounts().items()
            if account.kind is kind and account.unit is unit
        )

    def members(self) -> list[Member]:
        return [self.state.member(member) for member in {entry.member for entry in self.entries} - {0}]

    def check(self) -> None:
        """The books: every unit sums to zero, the fund is worth the open lots, nothing stays in transit."""
        balances = self.accounts()
        members = self.members()
        for unit in (Unit.POINTS, Unit.STAMPS, Unit.CASH, Unit.TICKETS):
            wallets = [wallet for member in members for wallet in member.wallets if wallet.unit is unit]
            of_members = sum(wallet.balance + wallet.pending + wallet.held for wallet in wallets)
            others = sum(balance for account, balance in balances.items() if account.unit is unit)
            assert others + of_members == 0
        assert sum(balance for account, balance in balances.items() if account.unit is Unit.RIAL) == 0
        fund = sum(balance for account, balance in balances.items() if account.kind is AccountKind.FUND)
        assert fund == fund_of(members, "vafa")
        transit = [
            sum(
                balance
                for account, balance in balances.items()
                if (account.kind, account.unit) == (AccountKind.IN_TRANSIT, unit)
            )
            for unit in (Unit.POINTS, Unit.RIAL)
        ]
        assert transit == [0, 0]


def rrn(entry: Entry) -> str:
    return rrn_of(entry.bucket, entry.id)


def tag(entry: Entry, name: str) -> str:
    """A tag of DE 48 in the answer, empty when it isn't there."""
    answer = DIALECT.decode(entry.answer + bytes(8))
    return answer.text(f"48.{name}") if f"48.{name}" in answer else ""
