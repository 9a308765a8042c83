"""Any sequence of requests, repeats, reversals, days, failures and restarts, against a reference model.

HYPOTHESIS_PROFILE=explore plays longer and looks for new examples.
"""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs

from switch.ledger import (
    LOTS_PER_ENTRY,
    NEVER,
    Account,
    AccountKind,
    BalanceLoad,
    Engine,
    EntryLoad,
    LedgerUnavailable,
    LotKind,
    LotPart,
    Member,
    MemberLoad,
    Unit,
    Wallet,
)
from tests.ledger.book import HOLD_MS, Book, Request, Terms, business_day, due_ids, replayed, stored
from tests.ledger.conftest import ENGINES
from tests.ledger.reference import Model, Part

CARDS = range(1, 4)
ACCEPTORS = ("100000000000001", "100000000000002")
WALLETS = [(Unit.POINTS, "vafa"), (Unit.STAMPS, "vafa"), (Unit.POINTS, "friends")]
terms = st.builds(
    Terms,
    price=st.sampled_from([0, 333, 1_001, 100_000]),
    priority=st.sampled_from([0, 0, 1]),
    pending_days=st.sampled_from([0, 0, 0, 2]),
    lasts=st.sampled_from([0, 2, 5, -2, -4]),
    kind=st.sampled_from(LotKind),
)
points = st.one_of(st.integers(1, 20), st.integers(1, 200))
shares = st.integers(1, 110)  # hundredths
cards = st.sampled_from(CARDS)
acceptors = st.sampled_from(ACCEPTORS)
wallets = st.sampled_from(WALLETS)

Placed = tuple[int, int, int]  # number of the award, last day, what is left


class LedgerMachine(RuleBasedStateMachine):
    """`open_engine` is set by the test: which engine plays."""

    open_engine: Callable[[Path], Engine]
    awards = Bundle("awards")
    spends = Bundle("spends")
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name)
        self._number = 0
        self._model = Model()
        self._durable = deepcopy(self._model)
        self._uncommitted: list[Request] = []
        self._numbers: dict[int, int] = {}  # by entry id: the request's number
        self._members: dict[int, int] = {}  # by card

    @initialize()
    def open(self) -> None:
        self.book = Book(lambda: type(self).open_engine(self._path))
        self._activations = {card: self._sent("activate", card) for card in CARDS}

    def _send(self, request: Request) -> None:
        today = business_day(self.book.state, self.book.now_ms)
        entry = self.book.send(request)
        expected = self._model.send(request, today, self.book.now_ms)
        assert entry.response_code == expected, request
        self._numbers[entry.id] = request.number
        if entry.member:
            self._members[request.card] = entry.member
        self._uncommitted.append(request)

    def _new(self, operation: str, card: int, **fields: object) -> Request:
        self._number += 1
        return Request(operation, self._number, card, **fields)  # type: ignore[arg-type]

    def _sent(self, operation: str, card: int, **fields: object) -> Request:
        request = self._new(operation, card, **fields)
        self._send(request)
        return request

    def _send_again(self) -> None:
        """After a lost batch terminals send again what wasn't answered."""
        unanswered, self._uncommitted = self._uncommitted, []
        for request in unanswered:
            self._send(request)

    # ------------------------------------------------------------ requests

    @rule(target=awards, card=cards, points=points, acceptor=acceptors, wallet=wallets, terms=terms)
    def earn(self, card: int, points: int, acceptor: str, wallet: tuple[Unit, str], terms: Terms) -> Request:
        unit, program = wallet
        return self._sent(
            "earn", card, points=points, acceptor=acceptor, unit=unit, program=program, terms=terms
        )

    @rule(target=spends, award=awards, share=shares, acceptor=acceptors)
    def redeem(self, award: Request, share: int, acceptor: str) -> Request:
        return self._sent("redeem", award.card, acceptor=acceptor, **self._spending(award, share))

    @rule(target=holds, award=awards, share=shares)
    def hold(self, award: Request, share: int) -> Request:
        return self._sent("hold", award.card, **self._spending(award, share))

    def _spending(self, award: Request, share: int) -> dict[str, object]:
        """So many hundredths of what the award's wallet has, a few more than there are among them."""
        balance = self._model.purses[award.card, award.unit, award.program].balance()
        return {
            "points": max(balance * share // 100, 1),
            "amount": share * 10,
            "unit": award.unit,
            "program": award.program,
        }

    @rule(target=spends, hold=holds, share=shares, keeps=st.booleans())
    def capture(self, hold: Request, share: int, keeps: bool) -> Request:
        held = self._model.holds.get(hold.identity)
        whole = sum(part.left for part in held[2]) if held else 0
        points = max(whole * share // 100, 1)
        return self._sent("capture", hold.card, points=points, original=hold.identity, keeps=keeps)

    @rule(hold=holds)
    def release(self, hold: Request) -> None:
        self._sent("release", hold.card, original=hold.identity)

    @rule(spend=spends, share=shares)
    def refund(self, spend: Request, share: int) -> None:
        points = max(self._model.left(spend.identity) * share // 100, 1)
        self._sent("refund", spend.card, points=points, original=spend.identity, amount=share)

    @rule(award=awards, share=shares)
    def give_back(self, award: Request, share: int) -> None:
        points = max(self._model.left(award.identity) * share // 100, 1)
        self._sent("return", award.card, points=points, original=award.identity)

    @rule(original=st.one_of(awards, spends, holds))
    def reverse(self, original: Request) -> None:
        self._sent("reverse", original.card, original=original.identity)

    @rule(target=awards, card=cards, points=points, late=st.booleans())
    def reverse_before(self, card: int, points: int, late: bool) -> Request:
        """The reversal comes first; its original comes late or never."""
        original = self._new("earn", card, points=points)
        self._sent("reverse", card, original=original.identity)
        if late:
            self._send(original)
        return original

    @rule(award=awards, operation=st.sampled_from(["earn", "redeem", "hold"]), share=shares, terms=terms)
    def do_and_undo(self, award: Request, operation: str, share: int, terms: Terms) -> None:
        """A reversal brings back the very state of before."""
        card = award.card
        self._sent("release", card)  # refused, but what is due is done
        before = self.book.member(card)
        request = self._sent(operation, card, terms=terms, **self._spending(award, share))
        self._sent("reverse", card, original=request.identity)
        after = self.book.member(card)
        assert sorted_lots(after) == sorted_lots(before)
        assert after.holds == before.holds

    @rule(award=awards, operations=st.sampled_from([("block", "unblock"), ("reverse", "activate")]))
    def bar(self, award: Request, operations: tuple[str, str]) -> None:
        """Nothing is earned and spent meanwhile, but what was done can be undone."""
        card, (off, on) = award.card, operations
        self._sent(off, card, original=self._activations[card].identity)
        self._sent("earn", card, points=1)
        self._sent("redeem", card, points=1)
        self._sent("reverse", card, original=award.identity)
        self._activations[card] = self._sent(on, card)

    @rule(request=st.one_of(awards, spends, holds))
    def repeat(self, request: Request) -> None:
        first = request.identity not in self._model.outcomes  # so far only its reversal was sent
        self._send(request)
        if not first:
            self._uncommitted.pop()
        assert self.book.send(request) == self.book.send(request)

    # ------------------------------------------------------------ time

    @rule(days=st.integers(1, 7))
    def pass_days(self, days: int) -> None:
        self.book.pass_days(days)

    @rule()
    def pass_hold(self) -> None:
        self.book.now_ms += HOLD_MS

    @rule()
    def do_what_is_due(self) -> None:
        """The nightly job, over what is stored."""
        self.commit()
        book = self.book
        today = business_day(book.state, book.now_ms)
        due = set(due_ids(book.engine, today))
        due |= {hold.member for hold in book.engine.due_holds(book.now_ms, 1_000)}
        for card, member in self._members.items():
            assert (book.due(member) is not None) == (member in due)
            self._model.pass_to(card, today, book.now_ms)
        self.commit()
        assert due_ids(book.engine, today) == []
        assert book.engine.due_holds(book.now_ms, 1_000) == []

    # ------------------------------------------------------------ storing

    @rule()
    def commit(self) -> None:
        entries = self.book.commit()
        assert self.book.engine.load_many([EntryLoad(entry.identity) for entry in entries]) == [
            stored(entry) for entry in entries
        ]
        self._uncommitted = []
        self._durable = deepcopy(self._model)
        self._check_stored()

    @rule(is_stored=st.booleans())
    def fail_to_commit(self, is_stored: bool) -> None:
        """The engine breaks while committing; nobody knows whether the batch is stored, so ask the ledger."""
        try:
            self.book.stage()
            if is_stored:
                self.book.engine.sync()
            raise LedgerUnavailable("broken on purpose")
        except LedgerUnavailable:
            self.book.engine.rollback()
            self.book.forget()
        self._lose(is_stored)

    @rule(clock_ms=st.integers(-10_000, 100_000), staged=st.booleans())
    def restart(self, clock_ms: int, staged: bool) -> None:
        """Killed with a batch staged or not; the clock may be set back meanwhile."""
        if staged:
            self.book.stage()
        self.book.restart()
        self.book.now_ms += clock_ms
        self._lose(is_stored=False)

    def _lose(self, is_stored: bool) -> None:
        if is_stored:
            self._durable = deepcopy(self._model)
        else:
            self._model = deepcopy(self._durable)
        self._send_again()

    # ------------------------------------------------------------ comparing

    @invariant()
    def memory_is_as_the_model_says(self) -> None:
        for card in self._members:
            self._check(card, self.book.member(card))

    def _check(self, card: int, member: Member) -> None:
        model = self._model
        assert member.status.name.lower() == model.status[card]
        assert structs.astuple(member.usage) == model.usage(card)
        assert member.active_day == model.active[card]
        held = dict.fromkeys(WALLETS, 0)
        holds = {}
        for identity, (name, expires_ms, parts) in model.holds.items():
            if name[0] == card:
                held[Unit(name[1]), name[2]] += sum(part.left for part in parts)
                number = model.requests[identity].number
                holds[number] = expires_ms, [(part.number, part.left) for part in parts]
        assert holds == {
            self._numbers[hold.id]: (
                hold.expires_ms,
                [(self._number_of(part), part.amount) for part in hold.lots],
            )
            for hold in member.holds
        }
        for unit, program in WALLETS:
            wallet, purse = member.wallet(program, unit), model.purses[card, unit, program]
            purse.sort(member.active_day)
            assert wallet.balance == purse.balance()
            assert (purse.debt == 0) or not purse.open
            assert wallet.held == held[unit, program]
            assert wallet.pending == sum(part.left for part in purse.waiting)
            assert self._placed(wallet.lots) == placed(purse.open)
            assert sorted(self._placed(wallet.waiting)) == sorted(placed(purse.waiting))
            assert all(part.amount > 0 for part in (*wallet.lots, *wallet.waiting))

    def _number_of(self, part: LotPart) -> int:
        return self._numbers[part.lot.id // LOTS_PER_ENTRY]

    def _placed(self, parts: tuple[LotPart, ...]) -> list[Placed]:
        return [(self._number_of(part), part.lot.expires, part.amount) for part in parts]

    def _check_stored(self) -> None:
        """What is stored is what memory holds, and balanced."""
        engine = self.book.engine
        members = [self.book.member(card) for card in self._members]
        assert engine.load_many([MemberLoad(member.id) for member in members]) == members
        accounts = [
            Account(0, kind, holder, program, unit)
            for unit, program in (*WALLETS, (Unit.RIAL, "vafa"), (Unit.RIAL, "friends"))
            for kind in AccountKind
            for holder in ("", *ACCEPTORS)
        ]
        balances = engine.load_many([BalanceLoad(account) for account in accounts])
        totals: dict[tuple[str, Unit], int] = defaultdict(int)
        for account, balance in zip(accounts, balances, strict=True):
            assert isinstance(balance, int)
            totals[account.program, account.unit] += balance
            if account.kind is AccountKind.FUND and not account.holder and account.unit is Unit.RIAL:
                assert balance == self._model.fund(account.program)
        for member in members:
            for wallet in member.wallets:
                totals[wallet.program, wallet.unit] += wallet.balance + wallet.pending + wallet.held
        assert set(totals.values()) == {0}, totals

    def teardown(self) -> None:
        try:
            if hasattr(self, "book"):
                self.book.restart()
                self._lose(is_stored=False)
                self.commit()
                for member in map(self.book.member, self._members):
                    assert replayed(self.book.engine, member.id) == member
                due = [member.id for member in map(self.book.member, self._members) if member.due < NEVER]
                assert due_ids(self.book.engine, NEVER - 1) == sorted(due)
                for identity, outcome in self._model.outcomes.items():
                    entry = self.book.ask(lambda identity=identity: self.book.state.entry(identity))  # type: ignore[misc]
                    assert entry is not None
                    assert entry.response_code == outcome
                self.book.engine.close()
        finally:
            self._directory.cleanup()


def placed(parts: list[Part]) -> list[Placed]:
    return [(part.number, part.ends, part.left) for part in parts]


def sorted_lots(member: Member) -> list[Wallet]:
    """Wallets that hold something, open lots by their age: activity may have changed their order."""
    return [
        structs.replace(wallet, lots=tuple(sorted(wallet.lots, key=lambda part: part.lot.id)))
        for wallet in member.wallets
        if wallet.balance or wallet.pending or wallet.held
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ledger_does_what_the_model_does(engine: str) -> None:
    machine = type("Machine", (LedgerMachine,), {"open_engine": staticmethod(ENGINES[engine])})
    examples = settings().max_examples // (
        5 if engine == "sqlite" else 12
    )  # a server takes longer to restart
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))


# How often each thing happens in a long story, out of their sum.
WEIGHTS = {
    "earn": 30,
    "redeem": 15,
    "hold": 14,
    "capture": 10,
    "release": 6,
    "refund": 8,
    "give_back": 8,
    "reverse": 5,
    "reverse_before": 1,
    "do_and_undo": 4,
    "bar": 1,
    "repeat": 3,
    "pass_days": 6,
    "pass_hold": 1,
    "do_what_is_due": 3,
    "commit": 15,
    "fail_to_commit": 3,
    "restart": 2,
}
LONG_AGO = 40  # what is further back isn't followed any more; holds run out


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("engine", ENGINES)
def test_a_long_story_ends_as_the_model_says(engine: str, seed: int) -> None:
    """Hypothesis tries short ones of every kind; here the balances grow."""
    chooser = random.Random(seed)
    machine: LedgerMachine = type(
        "Machine", (LedgerMachine,), {"open_engine": staticmethod(ENGINES[engine])}
    )()
    machine.open()
    awards: list[Any] = [
        machine.earn(card, 50, ACCEPTORS[0], wallet, Terms()) for card in CARDS for wallet in WALLETS
    ]
    spends: list[Any] = [machine.redeem(awards[0], 10, ACCEPTORS[1])]
    holds: list[Any] = [machine.hold(awards[0], 10)]
    for step in range(settings().max_examples * 4):
        (name,) = chooser.choices(list(WEIGHTS), list(WEIGHTS.values()))
        award, spend = chooser.choice(awards[-LONG_AGO:]), chooser.choice(spends[-LONG_AGO:])
        hold = chooser.choice(holds[-3:])
        share, points = chooser.choice([chooser.randrange(1, 111), 50, 100]), chooser.randrange(1, 300)
        acceptor, flag = chooser.choice(ACCEPTORS), step % 2 == 0
        terms = Terms(
            price=chooser.choice([0, 333, 1_001, 100_000]),
            priority=chooser.choice([0, 0, 1]),
            kind=chooser.choice(list(LotKind)),
            pending_days=chooser.choice([0, 0, 0, 2]),
            lasts=chooser.choice([0, 0, 4, 9, -3, -8]),
        )
        if name == "earn":
            awards.append(machine.earn(award.card, points, acceptor, (award.unit, award.program), terms))
        elif name == "redeem":
            spends.append(machine.redeem(award, share, acceptor))
        elif name == "hold":
            holds.append(machine.hold(award, share))
        elif name == "capture":
            spends.append(machine.capture(hold, share, keeps=flag))
        elif name == "reverse_before":
            awards.append(machine.reverse_before(award.card, points, late=flag))
        else:
            values: dict[str, tuple[object, ...]] = {
                "release": (hold,),
                "refund": (spend, share),
                "give_back": (award, share),
                "reverse": (chooser.choice([award, spend, hold]),),
                "do_and_undo": (award, chooser.choice(["earn", "redeem", "hold"]), share, terms),
                "bar": (award, chooser.choice([("block", "unblock"), ("reverse", "activate")])),
                "repeat": (chooser.choice([award, spend, hold]),),
                "pass_days": (chooser.randrange(1, 4),),
                "fail_to_commit": (flag,),
                "restart": (chooser.randrange(-10_000, 100_000), flag),
            }
            getattr(machine, name)(*values.get(name, ()))
        machine.memory_is_as_the_model_says()
    approved = {
        request.operation
        for identity, request in machine._model.requests.items()
        if machine._model.outcomes[identity] == "00"
    }
    assert approved >= {"earn", "redeem", "hold", "capture", "refund", "return", "reverse"}
    machine.teardown()
