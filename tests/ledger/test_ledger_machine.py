"""Any sequence of requests, repeats, reversals, days, failures and restarts, against a reference model.

HYPOTHESIS_PROFILE=explore plays longer and looks for new examples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

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
    LotPart,
    Member,
    MemberLoad,
    Unit,
    Wallet,
)
from tests.ledger.book import HOLD_MS, Book, Request, Terms, business_day, replayed, stored
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
)
points = st.one_of(st.integers(1, 20), st.integers(1, 200))

Placed = tuple[int, int, int]  # number of the award, last day, what is left


class LedgerMachine(RuleBasedStateMachine):
    """`open_engine` is set by the test: which engine plays."""

    open_engine: Callable[[Path], Engine]
    requests = Bundle("requests")

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
        for card in CARDS:
            self._send(self._new("activate", card))

    def _send(self, request: Request) -> str:
        today = business_day(self.book.state, self.book.now_ms)
        entry = self.book.send(request)
        expected = self._model.send(request, today, self.book.now_ms)
        assert entry.response_code == expected, request
        self._numbers[entry.id] = request.number
        if entry.member:
            self._members[request.card] = entry.member
        self._uncommitted.append(request)
        return expected

    def _new(self, operation: str, card: int, **fields: object) -> Request:
        self._number += 1
        return Request(operation, self._number, card, **fields)  # type: ignore[arg-type]

    def _send_again(self) -> None:
        """After a lost batch terminals send again what wasn't answered."""
        unanswered, self._uncommitted = self._uncommitted, []
        for request in unanswered:
            self._send(request)

    # ------------------------------------------------------------ requests

    @rule(
        target=requests,
        operation=st.sampled_from(["earn", "earn", "redeem", "hold"]),
        card=st.sampled_from(CARDS),
        points=points,
        acceptor=st.sampled_from(ACCEPTORS),
        wallet=st.sampled_from(WALLETS),
        terms=terms,
    )
    def move(
        self, operation: str, card: int, points: int, acceptor: str, wallet: tuple[Unit, str], terms: Terms
    ) -> Request:
        unit, program = wallet
        request = self._new(
            operation, card, points=points, acceptor=acceptor, unit=unit, program=program, terms=terms
        )
        self._send(request)
        return request

    @rule(
        target=requests,
        operation=st.sampled_from(["capture", "release", "refund", "return", "return"]),
        original=requests,
        points=points,
        keeps=st.booleans(),
    )
    def follow(self, operation: str, original: Request, points: int, keeps: bool) -> Request:
        request = self._new(
            operation,
            original.card,
            points=points,
            original=original.identity,
            keeps=keeps,
            unit=original.unit,
            program=original.program,
        )
        self._send(request)
        return request

    @rule(original=requests)
    def reverse(self, original: Request) -> None:
        self._send(self._new("reverse", original.card, original=original.identity))

    @rule(target=requests, card=st.sampled_from(CARDS), points=points, late=st.booleans())
    def reverse_before(self, card: int, points: int, late: bool) -> Request:
        """The reversal comes first; its original comes late or never."""
        original = self._new("earn", card, points=points)
        self._send(self._new("reverse", card, original=original.identity))
        if late:
            self._send(original)
        return original

    @rule(
        operation=st.sampled_from(["earn", "redeem", "hold"]),
        card=st.sampled_from(CARDS),
        points=points,
        wallet=st.sampled_from(WALLETS),
        terms=terms,
    )
    def do_and_undo(
        self, operation: str, card: int, points: int, wallet: tuple[Unit, str], terms: Terms
    ) -> None:
        """A reversal brings back the very state of before."""
        unit, program = wallet
        self._send(self._new("release", card))  # refused, but what is due is done
        before = self.book.member(card)
        request = self._new(operation, card, points=points, unit=unit, program=program, terms=terms)
        self._send(request)
        self._send(self._new("reverse", card, original=request.identity))
        after = self.book.member(card)
        assert sorted_lots(after) == sorted_lots(before)
        assert after.holds == before.holds

    @rule(target=requests, card=st.sampled_from(CARDS), operation=st.sampled_from(["block", "unblock"]))
    def bar(self, card: int, operation: str) -> Request:
        request = self._new(operation, card)
        self._send(request)
        return request

    @rule(target=requests, card=st.sampled_from(CARDS), reversed_=st.booleans())
    def activate(self, card: int, reversed_: bool) -> Request:
        request = self._new("activate", card)
        if self._send(request) == "00" and reversed_:
            self.reverse(request)
        return request

    @rule(request=requests)
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
        due = set(book.engine.due_members(today, 0, 1_000))
        due |= {hold.member for hold in book.engine.due_holds(book.now_ms, 1_000)}
        for card, member in self._members.items():
            assert (book.due(member) is not None) == (member in due)
            self._model.pass_to(card, today, book.now_ms)
        self.commit()
        assert book.engine.due_members(today, 0, 1_000) == []
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
        """What is stored is what memory holds, what the entries make, and balanced."""
        engine = self.book.engine
        members = {card: self.book.member(card) for card in self._members}
        for member in members.values():
            assert engine.load(MemberLoad(member.id)) == member
            assert replayed(engine, member.id) == member
        for unit, program in (*WALLETS, (Unit.RIAL, "vafa"), (Unit.RIAL, "friends")):
            total = 0
            for kind in AccountKind:
                for holder in ("", *ACCEPTORS):
                    balance = engine.load(BalanceLoad(Account(0, kind, holder, program, unit)))
                    assert isinstance(balance, int)
                    total += balance
            for member in members.values():
                wallet = member.wallet(program, unit)
                total += wallet.balance + wallet.pending + wallet.held
            assert total == 0, (unit, program)
        for program in ("vafa", "friends"):
            fund = engine.load(BalanceLoad(Account(0, AccountKind.FUND, "", program, Unit.RIAL)))
            assert fund == self._model.fund(program)

    def teardown(self) -> None:
        try:
            if hasattr(self, "book"):
                self.book.restart()
                self._lose(is_stored=False)
                self.commit()
                due = [member.id for member in map(self.book.member, self._members) if member.due < NEVER]
                assert self.book.engine.due_members(NEVER - 1, 0, 1_000) == sorted(due)
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
    examples = settings().max_examples // 3
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))
