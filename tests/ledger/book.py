"""An owner with the smallest program there is: cards earn, spend, hold and give back under terms each names.

It decides like an authorizer would, on `State` and with `switch.ledger.lots`, and knows nothing of messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from switch.ledger import (
    FIRST_DUE,
    LOTS_PER_ENTRY,
    NEVER,
    AccountKind,
    Engine,
    Entry,
    EntryIdLoad,
    Followed,
    Hold,
    HoldClosed,
    HoldOpened,
    Identified,
    IdentifierKind,
    Lot,
    LotKind,
    LotMove,
    LotPart,
    Member,
    MemberAdded,
    MemberLoad,
    MemberStatus,
    MemberStatusSet,
    Named,
    Naming,
    NotLoaded,
    OriginalReversed,
    Posting,
    Recounted,
    Side,
    State,
    Transfer,
    TransferKind,
    Unit,
    Unnamed,
    Wallet,
)
from switch.ledger.book import member_after, moved
from switch.ledger.lots import (
    claw_back,
    debt,
    expired,
    fund_change,
    open_lot,
    restore,
    ripe,
    spend,
    value,
)

START_MS = 1_790_000_000_000  # 2026-09-21, Asia/Tehran
DAY_MS = 86_400_000
HOLD_MS = 3_600_000
APPROVED, DECLINED, NO_SENSE = "00", "51", "12"
SEAL_KEY = bytes(range(32))
PROGRAM = "vafa"
_TEHRAN_MS = 12_600_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MEMBER, _PENDING, _HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD

Value = TypeVar("Value")


class Terms(NamedTuple):
    """The rules of one award (or refund). lasts: days of a lot after its first; 0: for ever; -n: sliding."""

    price: int = 100_000
    kind: LotKind = LotKind.BOUGHT
    priority: int = 0
    pending_days: int = 0
    lasts: int = 0
    reopen_days: int = 30


TERMS = Terms()


class Request(NamedTuple):
    """What a terminal sends. number: makes the identity.

    original: identity that a reversal, refund, return, capture or release names. keeps: a capture leaves the
    rest of the hold open. change: sides of "change"; other: the new card of "replace".
    """

    operation: str
    number: int
    card: int
    points: int = 0
    original: bytes = b""
    acceptor: str = "100000000000001"
    change: Callable[[int], Sequence[Side]] | None = None
    unit: Unit = Unit.POINTS
    program: str = PROGRAM
    terms: Terms = TERMS
    amount: int = 0
    keeps: bool = False
    other: int = 0
    cashier: str = ""
    receipt: str = ""
    batch: int = 1

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


def day_of(now_ms: int) -> int:
    """The day's ordinal, Asia/Tehran."""
    return (now_ms + _TEHRAN_MS) // DAY_MS + _EPOCH_DAY


def stored(entry: Entry) -> Entry:
    """The entry as a store gives it back: without what is personal."""
    return changed(entry, namings=())


def changed(entry: Entry, **changes: object) -> Entry:
    values = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return Entry(**{**values, **changes})


def replayed(engine: Engine, member_id: int) -> Member:
    """The member made again from its entries, each of which names the one before."""
    newest = engine.load(MemberLoad(member_id))
    assert isinstance(newest, Member)
    entries: list[Entry] = []
    entry_id = newest.last_entry
    while entry_id:
        entry = engine.load(EntryIdLoad(entry_id))
        assert isinstance(entry, Entry)
        entries.append(entry)
        entry_id = entry.previous
    member = None
    for entry in reversed(entries):
        member = member_after(member, entry)
    assert member is not None
    return member


class Book:
    """Memory, engine and the batch that gathers. A failed commit drops the memory, as a switch would."""

    def __init__(self, open_engine: Callable[[], Engine], now_ms: int = START_MS) -> None:
        self._open_engine = open_engine
        self.now_ms = now_ms
        self.gathered: list[Entry] = []
        self.open()

    def open(self) -> None:
        self.engine = self._open_engine()
        self.epoch = self.engine.claim("test")
        self.forget()

    def forget(self) -> None:
        """Begin anew on what is stored."""
        self.gathered = []
        self.state = State(self.engine.start())

    def restart(self) -> None:
        """Leave what isn't committed and open the ledger again."""
        self.engine.close()
        self.open()

    def pass_days(self, days: int) -> None:
        self.now_ms += days * DAY_MS

    @property
    def day(self) -> int:
        return day_of(self.now_ms)

    def ask(self, question: Callable[[], Value]) -> Value:
        """Ask the memory; what it lacks is loaded."""
        while True:
            try:
                return question()
            except NotLoaded as missing:
                self.state.fill(missing.load, self.engine.load(missing.load))

    def send(self, request: Request) -> Entry:
        """Decide a request, or find what was decided before; new entries join the gathered batch. What time
        brings the member comes first, as an entry of its own."""

        def decide() -> Entry:
            seen = self.state.entry(request.identity)
            if seen is not None:
                return seen
            member = self._member_of(request.card)
            due = None if member is None else due_entry(self.state, member, self.now_ms)
            if due is not None:
                self._apply(due)
                return decide()
            entry = decision(self.state, request, member, self.now_ms)
            self._apply(entry)
            return entry

        return self.ask(decide)

    def due(self, member_id: int) -> Entry | None:
        """What the nightly job does for a member."""

        def decide() -> Entry | None:
            entry = due_entry(self.state, self.state.member(member_id), self.now_ms)
            if entry is not None:
                self._apply(entry)
            return entry

        return self.ask(decide)

    def _apply(self, entry: Entry) -> None:
        self.state.apply(entry)
        self.gathered.append(entry)

    def stage(self, answered: Mapping[bytes, int] | None = None) -> None:
        self.engine.stage(self.state.batch(answered or {}), self.epoch)

    def commit(self) -> list[Entry]:
        self.stage()
        self.engine.sync()
        self.state.committed()
        entries, self.gathered = self.gathered, []
        return entries

    def book(self, *requests: Request) -> list[Entry]:
        """Send all, commit them as one batch."""
        entries = [self.send(request) for request in requests]
        self.commit()
        return entries

    def _member_of(self, card: int) -> Member | None:
        member = self.state.member_of(identifier_of(card))
        return None if member is None else self.state.member(member)

    def knows(self, card: int) -> bool:
        return self.ask(lambda: self._member_of(card)) is not None

    def member(self, card: int) -> Member:
        member = self.ask(lambda: self._member_of(card))
        assert member is not None
        return member

    def wallet(self, card: int, unit: Unit = Unit.POINTS, program: str = PROGRAM) -> Wallet:
        return self.member(card).wallet(program, unit)

    def balance(self, card: int, unit: Unit = Unit.POINTS, program: str = PROGRAM) -> int:
        return self.wallet(card, unit, program).balance


# ---------------------------------------------------------------- deciding


class Outcome(NamedTuple):
    """What a request comes to. operation: what it counts as, when that isn't what was asked for."""

    code: str
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()
    namings: tuple[Naming, ...] = ()
    operation: str = ""


REFUSED = Outcome(DECLINED)


def decision(state: State, request: Request, member: Member | None, now_ms: int) -> Entry:
    """The entry of a request that was never seen. Raises NotLoaded."""
    member_id, previous = (0, 0) if member is None else (member.id, member.last_entry)
    bucket = bucket_of_card(request.card) if member is None else member_id >> 40
    today = business_day(state, now_ms)
    if state.is_reversed(request.identity):
        outcome = REFUSED
    elif request.operation == "activate":
        outcome = _activated(state, request, member, bucket)
    elif request.operation == "reverse":
        outcome = _reversed(state, request, member, today)
    elif member is None:
        outcome = REFUSED
    elif request.operation in _ADMINISTRATION:
        outcome = _ADMINISTRATION[request.operation](request, member)
    elif member.status is not MemberStatus.ACTIVE:
        outcome = REFUSED
    else:
        outcome = _moving(state, request, member, now_ms, today)
    for side in outcome.sides:
        if isinstance(side, MemberAdded):
            member_id = side.member
    return Entry(
        id=state.next_entry_id(now_ms),
        bucket=bucket,
        identity=request.identity,
        fingerprint=bytes(16),
        operation=outcome.operation or request.operation,
        terminal="10000001",
        acceptor=request.acceptor,
        business_date=date.fromordinal(today).isoformat(),
        decided_ms=now_ms,
        member=member_id,
        previous=previous,
        response_code=outcome.code,
        amount=request.amount,
        batch=request.batch,
        answer=b"answer " + request.identity,
        transfers=outcome.transfers,
        sides=outcome.sides,
        cashier=request.cashier,
        receipt=request.receipt,
        key_serial=request.serial,
        request_mac=request.number.to_bytes(8, "big"),
        namings=outcome.namings,
    )


def business_day(state: State, now_ms: int) -> int:
    """Today; a clock set back opens no closed day."""
    newest = state.business_date
    return max(day_of(now_ms), date.fromisoformat(newest).toordinal() if newest else 0)


def due_entry(state: State, member: Member, now_ms: int) -> Entry | None:
    """All that has ended or begun for a member: holds that ran out, lots that ripen, lots that end."""
    today = business_day(state, now_ms)
    over = [hold for hold in member.holds if hold.expires_ms <= now_ms]
    if member.due > today and not over:
        return None
    entry_id = state.next_entry_id(now_ms)
    transfers: list[Transfer] = []
    after = member
    steps: list[Callable[[Member], Transfer | None]] = [
        lambda now, hold=hold: released(now, hold, hold.lots, today, TERMS.reopen_days)  # type: ignore[misc]
        for hold in over
    ]
    for wallet in member.wallets:
        name = wallet.program, wallet.unit
        steps.append(lambda now, name=name: ripened(now, now.wallet(*name), today))  # type: ignore[misc]
        steps.append(lambda now, name=name: ended(now, now.wallet(*name), today))  # type: ignore[misc]
    for step in steps:
        transfer = step(after)
        if transfer is not None:
            transfers.append(transfer)
            after = moved(after, entry_id, transfer)
    assert transfers, "what is due moves something"
    what = b"%d %d" % (member.id, member.last_entry)
    return Entry(
        id=entry_id,
        bucket=member.id >> 40,
        identity=b"\x20\x25" + today.to_bytes(4, "big") + blake2b(what, digest_size=13).digest(),
        fingerprint=b"",
        operation="due",
        terminal="",
        acceptor="",
        business_date=date.fromordinal(today).isoformat(),
        decided_ms=now_ms,
        member=member.id,
        previous=member.last_entry,
        response_code=APPROVED,
        amount=0,
        batch=0,
        answer=b"",
        transfers=tuple(transfers),
        sides=tuple(HoldClosed(member.id, hold.id) for hold in over),
    )


def _activated(state: State, request: Request, member: Member | None, bucket: int) -> Outcome:
    if member is None:
        added = state.next_member_id(bucket)
        sides = (MemberAdded(added), Identified(added, IdentifierKind.CARD, added=True))
        naming = Named(identifier_of(request.card), added, IdentifierKind.CARD, masked(request.card))
        return Outcome(APPROVED, (), sides, (naming,))
    if member.status is MemberStatus.INACTIVE:
        return Outcome(APPROVED, (), (MemberStatusSet(member.id, MemberStatus.ACTIVE),))
    return REFUSED


def _replaced(request: Request, member: Member) -> Outcome:
    card = IdentifierKind.CARD
    return Outcome(
        APPROVED,
        (),
        (Identified(member.id, card, added=False), Identified(member.id, card, added=True)),
        (
            Unnamed(identifier_of(request.card), member.id, card),
            Named(identifier_of(request.other), member.id, card, masked(request.other)),
        ),
    )


def _changed(request: Request, member: Member) -> Outcome:
    assert request.change is not None
    return Outcome(APPROVED, (), tuple(request.change(member.id)))


_ADMINISTRATION: dict[str, Callable[[Request, Member], Outcome]] = {
    "change": _changed,
    "replace": _replaced,
    "block": lambda _, member: Outcome(APPROVED, (), (MemberStatusSet(member.id, MemberStatus.BLOCKED),)),
    "unblock": lambda _, member: Outcome(APPROVED, (), (MemberStatusSet(member.id, MemberStatus.ACTIVE),)),
}


def _moving(state: State, request: Request, member: Member, now_ms: int, today: int) -> Outcome:
    wallet = member.wallet(request.program, request.unit)
    points, entry_id = request.points, state.next_entry_id(now_ms)
    if request.operation == "earn":
        return Outcome(APPROVED, (earned(member, wallet, request, entry_id, today),) if points else ())
    if request.operation in ("redeem", "hold"):
        if points > wallet.balance:
            return REFUSED
        if request.operation == "redeem":
            return Outcome(APPROVED, (redeemed(member, wallet, request),))
        return Outcome(APPROVED, (held(wallet, points),), (HoldOpened(member.id, now_ms + HOLD_MS),))
    original = state.entry(request.original)
    if original is None or original.member != member.id or original.response_code != APPROVED:
        return REFUSED
    if request.operation in ("capture", "release"):
        return _of_hold(request, member, original, entry_id, today)
    followed = state.followed(original.id)
    left = _points_of(original) - followed.units
    if followed.ended or points > left or not points:
        return REFUSED
    if request.operation == "refund" and original.operation in ("redeem", "capture"):
        back = given_back(
            member, original, followed.units, points, request.amount, today, request.terms.reopen_days
        )
    elif request.operation == "return" and original.operation == "earn":
        back = taken_back(member, original, followed.units, points)
    else:
        return REFUSED
    side = Followed(original.id, followed.amount + request.amount, followed.units + points, ended=False)
    return Outcome(APPROVED, (back,), (side, recounted(original, 0, request.amount, points)))


def due_ids(engine: Engine, day: int) -> list[int]:
    """Ids of all members that something is due of by a day."""
    return sorted(due.member for due in engine.due_members(day, FIRST_DUE, 1_000))


def recounted(original: Entry, entries: int, amount: int, points: int) -> Recounted:
    """What limits count of an entry no more."""
    operation = "earn" if original.operation == "earn" else "redeem"
    return Recounted(
        original.member,
        operation,
        original.business_date,
        original.terminal,
        original.acceptor,
        original.cashier,
        entries,
        amount,
        points,
    )


def _of_hold(request: Request, member: Member, original: Entry, entry_id: int, today: int) -> Outcome:
    hold = next((hold for hold in member.holds if hold.id == original.id), None)
    whole = 0 if hold is None else sum(part.amount for part in hold.lots)
    if hold is None or request.points > whole:
        return REFUSED
    reopen_days = request.terms.reopen_days
    if request.operation == "release":
        return _released_whole(member, hold, today, reopen_days)
    if not request.points:
        return REFUSED
    first = captured(member, hold, request)
    if request.points == whole:
        return Outcome(APPROVED, (first,), (HoldClosed(member.id, hold.id),))
    if request.keeps:
        return Outcome(APPROVED, (first,))
    after = moved(member, entry_id, first)
    rest = next(left for left in after.holds if left.id == hold.id)
    second = released(after, rest, rest.lots, today, reopen_days)
    return Outcome(APPROVED, (first, second), (HoldClosed(member.id, hold.id),))


def _released_whole(member: Member, hold: Hold, today: int, reopen_days: int) -> Outcome:
    transfer = released(member, hold, hold.lots, today, reopen_days)
    return Outcome(APPROVED, (transfer,), (HoldClosed(member.id, hold.id),))


def _reversed(state: State, request: Request, member: Member | None, today: int) -> Outcome:
    if state.is_reversed(request.original):
        return Outcome(APPROVED)
    mark = OriginalReversed(request.original)
    original = state.entry(request.original)
    if original is None or original.response_code != APPROVED:
        return Outcome(APPROVED, (), (mark,))
    if member is None or original.member != member.id or original.operation not in _UNDONE:
        return Outcome(NO_SENSE)
    operation = f"{original.operation}.reversal"
    if original.operation == "activate":
        off = MemberStatusSet(member.id, MemberStatus.INACTIVE)
        return Outcome(APPROVED, (), (mark, off), (), operation)
    if original.operation == "hold":
        hold = next((hold for hold in member.holds if hold.id == original.id), None)
        if hold is None:
            return Outcome(APPROVED, (), (mark,), (), operation)
        back = _released_whole(member, hold, today, TERMS.reopen_days)
        return Outcome(APPROVED, back.transfers, (mark, *back.sides), (), operation)
    followed = state.followed(original.id)
    points = _points_of(original) - followed.units
    over = Followed(original.id, original.amount, _points_of(original), ended=True)
    transfers: tuple[Transfer, ...] = ()
    if points and original.operation == "earn":
        transfers = (taken_back(member, original, followed.units, points, TransferKind.REVERSAL),)
    elif points:
        amount = original.amount - followed.amount
        given = given_back(member, original, followed.units, points, amount, today, 30, TransferKind.REVERSAL)
        transfers = (given,)
    counts = recounted(original, 1, original.amount - followed.amount, points)
    return Outcome(APPROVED, transfers, (mark, over, counts), (), operation)


_UNDONE = frozenset({"activate", "earn", "redeem", "hold", "capture"})


def _points_of(original: Entry) -> int:
    """What an award gave or a redemption took."""
    if not original.transfers:
        return 0
    first = original.transfers[0]
    legs = [posting.amount for posting in first.postings if posting.kind in (_MEMBER, _PENDING, _HELD)]
    return abs(sum(legs))


# ---------------------------------------------------------------- transfers

_Leg = tuple[AccountKind, str, int]


def earned(member: Member, wallet: Wallet, request: Request, entry_id: int, today: int) -> Transfer:
    terms = request.terms
    begins = today + terms.pending_days
    ends = NEVER if terms.lasts == 0 else begins + terms.lasts if terms.lasts > 0 else terms.lasts
    lot = Lot(
        id=entry_id * LOTS_PER_ENTRY,
        issuer=request.acceptor,
        price=terms.price,
        kind=terms.kind,
        priority=terms.priority,
        active_from=begins,
        expires=ends,
        rules=1,
    )
    account = _PENDING if terms.pending_days else _MEMBER
    moves = open_lot(wallet, lot, request.points, account)
    legs = [(account, "", request.points), (AccountKind.ISSUED, request.acceptor, -request.points)]
    bought = [(AccountKind.RECEIVABLE, request.acceptor, -value(lot, request.points))]
    return _transfer(TransferKind.EARN, member, wallet, legs, moves, bought)


def redeemed(member: Member, wallet: Wallet, request: Request) -> Transfer:
    legs = [(_MEMBER, "", -request.points), (AccountKind.REDEEMED, request.acceptor, request.points)]
    sold = [(AccountKind.PAYABLE, request.acceptor, request.amount)]
    return _transfer(TransferKind.REDEEM, member, wallet, legs, spend(wallet, request.points), sold)


def held(wallet: Wallet, points: int) -> Transfer:
    moves = spend(wallet, points)
    kept = tuple(LotMove(_HELD, move.lot, -move.amount) for move in moves)
    postings = (Posting(_MEMBER, "", wallet.unit, -points), Posting(_HELD, "", wallet.unit, points))
    return Transfer(TransferKind.HOLD, wallet.program, wallet.unit, postings, (*moves, *kept))


def captured(member: Member, hold: Hold, request: Request) -> Transfer:
    wallet, points = member.wallet(hold.program, hold.unit), request.points
    moves = tuple(LotMove(_HELD, part.lot, -part.amount) for part in first_of(hold.lots, points))
    legs = [(_HELD, "", -points), (AccountKind.REDEEMED, request.acceptor, points)]
    sold = [(AccountKind.PAYABLE, request.acceptor, request.amount)]
    return _transfer(TransferKind.CAPTURE, member, wallet, legs, moves, sold, hold.id, hold.id)


def released(member: Member, hold: Hold, parts: Sequence[LotPart], today: int, reopen_days: int) -> Transfer:
    wallet = member.wallet(hold.program, hold.unit)
    points = sum(part.amount for part in parts)
    given = restore(wallet, parts, points, today, member.active_day, reopen_days)
    moves = (*(LotMove(_HELD, part.lot, -part.amount) for part in parts), *given)
    legs = [(_HELD, "", -points), (_MEMBER, "", points)]
    return _transfer(TransferKind.RELEASE, member, wallet, legs, moves, (), hold.id, hold.id)


def taken_back(
    member: Member, original: Entry, before: int, points: int, kind: TransferKind = TransferKind.RETURN
) -> Transfer:
    award = original.transfers[0]
    wallet = member.wallet(award.program, award.unit)
    moves = claw_back(wallet, [move.lot.id for move in award.lots], points)
    pending = -sum(move.amount for move in moves if move.account is _PENDING)
    legs = [
        (_PENDING, "", -pending),
        (_MEMBER, "", pending - points),
        (AccountKind.ISSUED, original.acceptor, points),
    ]
    whole = _points_of(original)
    charged = -sum(posting.amount for posting in award.postings if posting.kind is AccountKind.RECEIVABLE)
    left = whole - before
    price = charged * left // whole - charged * (left - points) // whole
    bought = [(AccountKind.RECEIVABLE, original.acceptor, price)]
    return _transfer(kind, member, wallet, legs, moves, bought, original.id)


def given_back(
    member: Member,
    original: Entry,
    before: int,
    points: int,
    amount: int,
    today: int,
    reopen_days: int,
    kind: TransferKind = TransferKind.REFUND,
) -> Transfer:
    spent = original.transfers[0]
    wallet = member.wallet(spent.program, spent.unit)
    taken = [LotPart(move.lot, -move.amount) for move in spent.lots]
    still = first_of(taken, sum(part.amount for part in taken) - before)
    moves = restore(wallet, still, points, today, member.active_day, reopen_days)
    legs = [(_MEMBER, "", points), (AccountKind.REDEEMED, original.acceptor, -points)]
    sold = [(AccountKind.PAYABLE, original.acceptor, -amount)]
    return _transfer(kind, member, wallet, legs, moves, sold, original.id)


def ripened(member: Member, wallet: Wallet, today: int) -> Transfer | None:
    parts = ripe(wallet, today)
    points = sum(part.amount for part in parts)
    if not points:
        return None
    kept = points - min(points, debt(wallet))
    active = tuple(LotMove(_MEMBER, part.lot, part.amount) for part in last_of(parts, kept))
    moves = (*(LotMove(_PENDING, part.lot, -part.amount) for part in parts), *active)
    legs = [(_PENDING, "", -points), (_MEMBER, "", points)]
    return _transfer(TransferKind.ACTIVATION, member, wallet, legs, moves)


def ended(member: Member, wallet: Wallet, today: int) -> Transfer | None:
    parts = expired(wallet, today, member.active_day)
    points = sum(part.amount for part in parts)
    if not points:
        return None
    moves = tuple(LotMove(_MEMBER, part.lot, -part.amount) for part in parts)
    legs = [(_MEMBER, "", -points), (AccountKind.EXPIRED, "", points)]
    return _transfer(TransferKind.EXPIRY, member, wallet, legs, moves, (), rest=AccountKind.BREAKAGE)


def first_of(parts: Sequence[LotPart], amount: int) -> list[LotPart]:
    """The first `amount` of these parts."""
    found = []
    for part in parts:
        taken = min(part.amount, max(amount, 0))
        amount -= taken
        if taken:
            found.append(LotPart(part.lot, taken))
    return found


def last_of(parts: Sequence[LotPart], amount: int) -> list[LotPart]:
    """The last `amount` of these parts, in their order."""
    return first_of(parts[::-1], amount)[::-1]


def _transfer(
    kind: TransferKind,
    member: Member,
    wallet: Wallet,
    legs: Sequence[_Leg],
    moves: Sequence[LotMove],
    rial: Sequence[_Leg] = (),
    reverses: int = 0,
    hold: int = 0,
    rest: AccountKind = AccountKind.MARGIN,
) -> Transfer:
    """Its postings, with the fund's change and what that and the rial legs lack to zero."""
    fund = fund_change(wallet, member.holds, moves)
    lacking = -fund - sum(amount for _, _, amount in rial)
    money = (*rial, (AccountKind.FUND, "", fund), (rest, "", lacking))
    postings = [
        Posting(kind_of, holder, unit, amount)
        for unit, group in ((wallet.unit, legs), (Unit.RIAL, money))
        for kind_of, holder, amount in group
        if amount
    ]
    return Transfer(kind, wallet.program, wallet.unit, tuple(postings), tuple(moves), reverses, hold)
