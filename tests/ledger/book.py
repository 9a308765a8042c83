"""An owner with the smallest program there is: cards earn and redeem points, and anything can be reversed.

It decides like an authorizer would, on `State`, and keeps what it sent so that tests can send it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from switch.ledger import (
    Account,
    AccountKind,
    Engine,
    Entry,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    NotLoaded,
    OriginalReversed,
    Posting,
    Side,
    State,
    Transfer,
    TransferKind,
    Unit,
)

START_MS = 1_790_000_000_000
APPROVED, DECLINED = "00", "51"
SEAL_KEY = bytes(range(32))

Value = TypeVar("Value")


class Request(NamedTuple):
    """What a terminal sends. number: makes the identity; original: identity that a reversal names."""

    operation: str
    number: int
    card: int
    points: int = 0
    original: bytes = b""
    acceptor: str = "100000000000001"
    change: Callable[[int], Sequence[Side]] | None = None  # of "change": what becomes of the card's member

    @property
    def serial(self) -> bytes:
        """Its key serial number: one initial key for every three cards."""
        return b"\xbd\xbd\xbd\xbd" + (self.card % 3).to_bytes(4, "big") + self.number.to_bytes(4, "big")

    @property
    def identity(self) -> bytes:
        return b"\x20\x26" + self.number.to_bytes(5, "big") + b"210000001" + b"\0\0\1"


def identifier_of(card: int) -> bytes:
    return card.to_bytes(16, "big")


def bucket_of_card(card: int) -> int:
    return card * 37 % 256


def masked(card: int) -> str:
    return f"936400******{card:04d}"


def member_account(member: int) -> Account:
    return Account(member >> 40, AccountKind.MEMBER, str(member), "vafa", Unit.POINTS)


class Book:
    """Memory, engine and the batch that gathers. A failed commit drops the memory, as a switch would."""

    def __init__(self, open_engine: Callable[[], Engine], now_ms: int = START_MS) -> None:
        self._open_engine = open_engine
        self.now_ms = now_ms
        self.gathered: list[Entry] = []
        self.unmarked = False  # whether entries are as before there were key serials
        self.open()

    def open(self) -> None:
        self.engine = self._open_engine()
        self.epoch = self.engine.claim("test")
        self.state = State(self.engine.start())

    def restart(self) -> None:
        """Leave what isn't committed and begin anew on what is stored."""
        self.engine.close()
        self.gathered = []
        self.open()

    def ask(self, question: Callable[[], Value]) -> Value:
        """Ask the memory; what it lacks is loaded."""
        while True:
            try:
                return question()
            except NotLoaded as missing:
                self.state.fill(missing.load, self.engine.load(missing.load))

    def send(self, request: Request) -> Entry:
        """Decide a request, or find what was decided before; a new entry joins the gathered batch."""

        def decide() -> Entry:
            seen = self.state.entry(request.identity)
            if seen is not None:
                return seen
            entry = self._decide(request)
            self.state.apply(entry)
            self.gathered.append(entry)
            return entry

        return self.ask(decide)

    def commit(self) -> list[Entry]:
        entries, self.gathered = self.gathered, []
        self.engine.commit(entries, self.epoch)
        self.state.committed(entries)
        return entries

    def book(self, *requests: Request) -> list[Entry]:
        """Send all, commit them as one batch."""
        entries = [self.send(request) for request in requests]
        self.commit()
        return entries

    def knows(self, card: int) -> bool:
        return self.ask(lambda: self.state.member_of(identifier_of(card))) is not None

    def balance(self, card: int) -> int:
        member = self.ask(lambda: self.state.member_of(identifier_of(card)))
        assert member is not None
        return self.ask(lambda: self.state.balance(member_account(member)))

    def _decide(self, request: Request) -> Entry:
        state = self.state
        member = state.member_of(identifier_of(request.card)) or 0
        bucket = member >> 40 if member else bucket_of_card(request.card)
        code = DECLINED
        transfers: Sequence[Transfer] = ()
        sides: Sequence[Side] = ()
        if state.is_reversed(request.identity):
            pass
        elif request.operation == "activate":
            if not member:
                member = state.next_member_id(bucket)
                code, sides = (
                    APPROVED,
                    [MemberAdded(member, identifier_of(request.card), masked(request.card))],
                )
            elif state.member(member).status is MemberStatus.INACTIVE:
                code, sides = APPROVED, [MemberStatusSet(member, MemberStatus.ACTIVE)]
        elif request.operation == "change" and request.change is not None:
            code, sides = APPROVED, request.change(member)
        elif request.operation == "reverse":
            code = APPROVED
            transfers, sides = self._undo(request)
        elif member and state.member(member).status is MemberStatus.ACTIVE:
            points = request.points if request.operation == "earn" else -request.points
            account = member_account(member)
            if state.balance(account) + points >= 0:
                code = APPROVED
                earns = request.operation == "earn"
                kind = AccountKind.ISSUED if earns else AccountKind.REDEEMED
                partner = Account(bucket, kind, request.acceptor, "vafa", Unit.POINTS)
                postings = (Posting(account, points), Posting(partner, -points))
                transfers = [Transfer(TransferKind.EARN if earns else TransferKind.REDEEM, postings)]
        return Entry(
            id=state.next_entry_id(self.now_ms),
            bucket=bucket,
            identity=request.identity,
            fingerprint=bytes(16),
            terminal="10000001",
            acceptor=request.acceptor,
            business_date="2026-09-21",
            decided_ms=self.now_ms,
            member=member,
            response_code=code,
            answer=b"answer " + request.identity,
            transfers=tuple(transfers),
            sides=tuple(sides),
            key_serial=b"" if self.unmarked else request.serial,
            request_mac=b"" if self.unmarked else request.number.to_bytes(8, "big"),
        )

    def _undo(self, request: Request) -> tuple[list[Transfer], list[Side]]:
        if self.state.is_reversed(request.original):
            return [], []
        original = self.state.entry(request.original)
        transfers: list[Transfer] = []
        sides: list[Side] = [OriginalReversed(request.original)]
        if original is not None:
            for transfer in original.transfers:
                for posting in transfer.postings:
                    if posting.account.kind is AccountKind.MEMBER:
                        self.state.balance(posting.account)
                undone = tuple(Posting(account, -amount) for account, amount in transfer.postings)
                transfers.append(Transfer(TransferKind.REVERSAL, undone, original.id))
            for side in original.sides:
                if isinstance(side, MemberAdded):
                    sides.append(MemberStatusSet(side.member, MemberStatus.INACTIVE))
        return transfers, sides
