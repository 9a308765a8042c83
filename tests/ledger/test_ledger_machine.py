"""Any sequence of requests, repeats, reversals, failures and restarts, against a model of twenty lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
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

from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    Engine,
    Entry,
    EntryLoad,
    IdentifierLoad,
    LedgerUnavailable,
    Member,
    MemberLoad,
    MemberStatus,
    State,
    Unit,
)
from switch.ledger.verify import verify
from tests.ledger.book import APPROVED, DECLINED, SEAL_KEY, Book, Request, identifier_of, member_account
from tests.ledger.conftest import ENGINES

CARDS = range(1, 5)
ACCEPTORS = ("100000000000001", "100000000000002")


class Model:
    """What must come out: the outcome of every identity, the status and points of every card."""

    def __init__(self) -> None:
        self.outcomes: dict[bytes, str] = {}
        self.active: dict[int, bool] = {}
        self.points: dict[int, int] = {}
        self.moved: dict[bytes, tuple[int, int]] = {}  # identity: card and points of what can be undone
        self.activations: dict[bytes, int] = {}  # identity of the request that made the member: card
        self.reversed: set[bytes] = set()

    def send(self, request: Request) -> str:
        if request.identity not in self.outcomes:
            self.outcomes[request.identity] = self._decide(request)
        return self.outcomes[request.identity]

    def _decide(self, request: Request) -> str:
        card = request.card
        if request.identity in self.reversed:
            return DECLINED
        if request.operation == "activate":
            if self.active.get(card):
                return DECLINED
            if card not in self.active:
                self.activations[request.identity] = card
            self.active[card] = True
            self.points.setdefault(card, 0)
        elif request.operation == "reverse":
            if request.original not in self.reversed:
                self.reversed.add(request.original)
                self._undo(request.original)
        else:
            points = request.points if request.operation == "earn" else -request.points
            if not self.active.get(card) or self.points[card] + points < 0:
                return DECLINED
            self.points[card] += points
            self.moved[request.identity] = (card, points)
        return APPROVED

    def _undo(self, original: bytes) -> None:
        if original in self.moved:
            card, points = self.moved[original]
            self.points[card] -= points
        elif original in self.activations:
            self.active[self.activations[original]] = False


class LedgerMachine(RuleBasedStateMachine):
    """`engine` is set by the test: which engine plays."""

    open_engine: Callable[[Path], Engine]
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name)
        self._number = 0
        self._model = Model()
        self._uncommitted: list[Request] = []
        self._sent: list[Request] = []

    @initialize()
    def open(self) -> None:
        self.book = Book(lambda: type(self).open_engine(self._path))

    def _send(self, request: Request) -> None:
        entry = self.book.send(request)
        assert entry.response_code == self._model.send(request)
        self._uncommitted.append(request)

    def _new(
        self, operation: str, card: int, points: int = 0, original: bytes = b"", acceptor: str = ACCEPTORS[0]
    ) -> Request:
        self._number += 1
        return Request(operation, self._number, card, points, original, acceptor)

    def _replay(self) -> None:
        """After a lost batch terminals send again what wasn't answered; every answer must be as before."""
        unanswered, self._uncommitted = self._uncommitted, []
        for request in unanswered:
            self._send(request)

    @rule(target=requests, card=st.sampled_from(CARDS))
    def activate(self, card: int) -> Request:
        request = self._new("activate", card)
        self._send(request)
        return request

    @rule(
        target=requests,
        operation=st.sampled_from(["earn", "redeem"]),
        card=st.sampled_from(CARDS),
        points=st.integers(1, 500),
        acceptor=st.sampled_from(ACCEPTORS),
    )
    def move(self, operation: str, card: int, points: int, acceptor: str) -> Request:
        request = self._new(operation, card, points, acceptor=acceptor)
        self._send(request)
        return request

    @rule(original=requests)
    def reverse(self, original: Request) -> None:
        self._send(self._new("reverse", original.card, original=original.identity))

    @rule(target=requests, card=st.sampled_from(CARDS), points=st.integers(1, 500), late=st.booleans())
    def reverse_before(self, card: int, points: int, late: bool) -> Request:
        """The reversal comes first; its original comes late or never."""
        original = self._new("earn", card, points)
        self._send(self._new("reverse", card, original=original.identity))
        if late:
            self._send(original)
        return original

    @rule(request=requests)
    def repeat(self, request: Request) -> None:
        if request.identity not in self._model.outcomes:
            self._uncommitted.append(request)  # only its reversal was sent so far: this is its first sending
        self._send(request)
        assert self.book.send(request) == self.book.send(request)

    @rule()
    def commit(self) -> None:
        for entry in self.book.commit():
            assert self.book.engine.load(EntryLoad(entry.identity)) == entry
        self._uncommitted = []

    @rule(stored=st.booleans())
    def fail_to_commit(self, stored: bool) -> None:
        """The engine breaks while committing; nobody knows whether the batch is stored, so ask the ledger."""
        engine, entries = self.book.engine, self.book.gathered
        self.book.gathered = []
        try:
            engine.stage(entries, self.book.epoch)
            if stored:
                engine.sync()
            raise LedgerUnavailable("broken on purpose")
        except LedgerUnavailable:
            engine.rollback()
            self.book.state = State(engine.start())
        self._replay()

    @rule(clock_ms=st.integers(-10_000, 100_000))
    def restart(self, clock_ms: int) -> None:
        """Killed with a batch staged or not; the clock may be set back meanwhile."""
        if self.book.gathered and clock_ms % 2:
            self.book.engine.stage(self.book.gathered, self.book.epoch)
        self.book.restart()
        self.book.now_ms += clock_ms
        self._replay()

    @invariant()
    def memory_is_as_the_model_says(self) -> None:
        if hasattr(self, "book"):
            for card, points in self._model.points.items():
                assert self.book.balance(card) == points

    def teardown(self) -> None:
        self.commit()
        self._check_stored(self.book.engine)
        self.book.engine.close()
        if (self._path / "ledger.sqlite").exists():
            report = verify(self._path / "ledger.sqlite", SEAL_KEY)
            assert report.problems == []
            assert report.entries == len(self._model.outcomes)
        self._directory.cleanup()

    def _check_stored(self, engine: Engine) -> None:
        model = self._model
        for identity, outcome in model.outcomes.items():
            entry = engine.load(EntryLoad(identity))
            assert isinstance(entry, Entry)
            assert entry.response_code == outcome
        total = 0
        for card, points in model.points.items():
            member = engine.load(IdentifierLoad(identifier_of(card)))
            assert isinstance(member, int)
            assert engine.load(BalanceLoad(member_account(member))) == points
            stored = engine.load(MemberLoad(member))
            assert isinstance(stored, Member)
            assert (stored.status is MemberStatus.ACTIVE) == model.active[card]
            total += points
        for kind in (AccountKind.ISSUED, AccountKind.REDEEMED):
            for acceptor in ACCEPTORS:
                balance = engine.load(BalanceLoad(Account(0, kind, acceptor, "vafa", Unit.POINTS)))
                assert isinstance(balance, int)
                total += balance
        assert total == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ledger_does_what_the_model_does(engine: str) -> None:
    machine = type("Machine", (LedgerMachine,), {"open_engine": staticmethod(ENGINES[engine])})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30))
