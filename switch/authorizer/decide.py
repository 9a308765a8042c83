"""One request against the ledger's memory: an entry to book, an earlier answer to repeat, or a refusal.

The rules of identity (seen before, reversed before), of member and of funds are here and nowhere else.
`decide` changes nothing; the caller applies the entry, commits it and only then lets the answer out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from switch.authorizer import movements
from switch.authorizer.batches import CLOSE, OF_BATCHES, Totals, batch_of_reversal, refused_by_batch, settle
from switch.authorizer.corrections import Correction, corrected
from switch.authorizer.following import FOLLOWS, Undone, follow, undo, undo_follower, units_followed
from switch.authorizer.identity import (
    DUE_CLASS,
    bucket_of_terminal,
    internal_identity,
    parse_rrn,
    replaced_proof,
    rrn_of,
    shown_card,
)
from switch.authorizer.limits import check, counters, earned_beside, taken_back
from switch.authorizer.outcome import (
    ALREADY_ACTIVE,
    APPROVED,
    CARD_BLOCKED,
    CARD_NOT_ACTIVE,
    DUPLICATE,
    FORMAT_ERROR,
    INVALID_AMOUNT,
    INVALID_TRANSACTION,
    LARGEST_BALANCE,
    NO_ORIGINAL,
    NOT_ENOUGH_POINTS,
    NOT_NOW,
    OUT_OF_RANGE,
    REASON_CARD_LOCKED,
    REASON_EARNED,
    REASON_MOBILE_TAKEN,
    REASON_NO_MOBILE,
    REASON_OTHER_CARD,
    REASON_OUT_OF_RANGE,
    REASON_PENDING,
    REASON_REDEEMED,
    REASON_REPLACED,
    REASON_REPLACEMENT_STAYS,
    UNKNOWN_CARD,
    Outcome,
    Terms,
    balances,
    ending,
    refused,
    told,
)
from switch.authorizer.proof import (
    LOCKED,
    TOO_MANY,
    WRONG_PIN,
    Found,
    Limits,
    Need,
    Needed,
    NewCode,
    NewPin,
    Proof,
    TooMany,
    answer_to,
    can_prove,
    counted_code,
    is_code_locked,
    prove,
    see_card,
    see_shown,
    sent_code,
)
from switch.authorizer.request import Request
from switch.authorizer.transfers import receiver_of, second_half
from switch.hsm.crypto.ciphers import same
from switch.iso8583 import Dialect, Message
from switch.ledger import (
    LOTS_PER_ENTRY,
    AccountKind,
    BackBefore,
    Basket,
    BookedLate,
    CardShown,
    Counter,
    Entry,
    Followed,
    HoldClosed,
    HoldOpened,
    Identified,
    IdentifierKind,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    Named,
    Naming,
    OriginalReversed,
    PaidInMoney,
    PinSet,
    SentTo,
    Side,
    SpendingDelayed,
    State,
    Transfer,
    Unit,
    Unnamed,
    Wallet,
)
from switch.ledger.book import day_number, moved
from switch.ledger.counting import units_moved
from switch.loyalty.program import Rules

# Looked up once: an enum's member costs as much as a call.
_BLOCKED, _INACTIVE, _POINTS = MemberStatus.BLOCKED, MemberStatus.INACTIVE, Unit.POINTS

# What may move points of a second member; of a reversal its original says whether it does.
_MOVES_OTHERS = frozenset({"transfer", "reversal"})

NOTHING_FOUND: Mapping[Need, object] = MappingProxyType({})

REVERSIBLE_CLASSES = (
    b"123"  # DE 90 may name an authorization, a financial or a file message; no reversal of a reversal
)
_CLASS_PLACE = 7  # of the MTI class in an identity
TERMINAL_CHARACTERS = 8  # of DE 41; a partner's name stands before those of its terminals
# What a member was before one of these changed its status.
STATUS_BEFORE = {
    "activate": MemberStatus.INACTIVE,
    "block": MemberStatus.ACTIVE,
    "unblock": MemberStatus.BLOCKED,
    "replace": MemberStatus.BLOCKED,
}
# What else than points a balance may be asked of, by the first account type of DE 3.
_UNITS = {str(int(unit)): unit for unit in (Unit.STAMPS, Unit.CASH, Unit.TICKETS)}
# Entries of a member looked back at for what set its status, or was done with its new card; a reversal comes
# long before so many more.
STATUS_LOOK = 64
# What a blocked card may still be asked for.
WHILE_BLOCKED = frozenset({"balance", "unit_balance", "unblock", "replace", "code"})


@dataclass(frozen=True, slots=True)
class Repeat:
    """The request was decided before: answer as then. Sent only when that entry is committed."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answered with this code and not remembered."""

    response_code: str


class Elsewhere(NamedTuple):
    """Not this owner's to decide: nothing was done."""

    bucket: int


class Due(NamedTuple):
    """Something of the member expires or begins first: apply this entry, then decide again."""

    entry: Entry


class Authorizer:
    """Decides requests of one program.

    pin_from_points: redemptions above need a proof from a swiped card too. key: the directory key, which
    one-time codes are hashed under.
    """

    def __init__(
        self,
        dialect: Dialect,
        terms: Terms,
        pin_from_points: int,
        limits: Limits,
        key: bytes,
    ) -> None:
        self._dialect = dialect
        self._terms = terms
        self._program = terms.program
        self._pin_from_points = pin_from_points
        self._limits = limits
        self._key = key
        self._totals = Totals(dialect)
        self._in_batches = frozenset(self._totals.operations)

    def decide(
        self, state: State, request: Request, now_ms: int, found: Found = NOTHING_FOUND
    ) -> Entry | Repeat | Refusal | Elsewhere | Due | Need:
        """Decide one request on the owner's memory. now_ms: milliseconds since 1970, UTC.

        A Due is an entry that comes first: apply it and decide again. A Need is what the HSM has to say
        first: decide again with its answer in `found`. Raises NotLoaded, naming what the memory lacks: fill
        it in and ask again; nothing has changed meanwhile.
        """
        seen = state.entry(request.identity)
        if seen is not None:
            return Repeat(seen) if seen.fingerprint == request.fingerprint else Refusal(DUPLICATE)
        if request.has_pin and request.code:
            return Refusal(FORMAT_ERROR)  # one proof at a time: two would be two guesses
        try:
            return self._decide(state, request, now_ms, found)
        except Needed as needed:
            return needed.need

    def _decide(
        self, state: State, request: Request, now_ms: int, found: Found
    ) -> Entry | Refusal | Elsewhere | Due:
        if request.business_date < state.business_date:  # a closed day never opens again
            request = request._replace(business_date=state.business_date)
        bucket, member_id, original = _place(state, request)
        if not state.owns(bucket):
            # Its reversal came first, when its card led here.
            return Refusal(DUPLICATE) if state.is_reversed(request.identity) else Elsewhere(bucket)
        if request.operation in OF_BATCHES:
            outcome = self._of_batch(state, request)
            return self._entry(state, request, None, bucket, outcome, now_ms)
        member = None if member_id is None else state.member(member_id)
        if member is not None:
            due = self.due(state, member, request.business_date, now_ms)
            if due is not None:
                return Due(due)
            may_move_others = request.operation in _MOVES_OTHERS
            receiver = self._receiver(state, request, member) if may_move_others else None
            if receiver is not None:
                due = self.due(state, receiver, request.business_date, now_ms)
                if due is not None:
                    return Due(due)
        if request.shown is None or request.operation == "reversal":
            outcome = self._outcome(state, request, member, original, bucket, now_ms, found)
        else:
            outcome = self._shown(state, request, member, original, bucket, now_ms, found)
        return self._entry(state, request, member, bucket, outcome, now_ms)

    def _receiver(self, state: State, request: Request, member: Member) -> Member | None:
        """The other member that a transfer, or its reversal, moves points of."""
        to = None
        if request.operation == "transfer":
            to = state.member_of(request.other)
        elif request.operation == "reversal" and request.original_operation == "transfer":
            sent = state.entry(request.original)
            to = next((side.to for side in sent.sides if isinstance(side, SentTo)), None) if sent else None
        if to is None or to == member.id or not state.owns(to >> 40):
            return None
        return state.member(to)

    def counters_of(self, request: Request) -> list[Counter]:
        """Counters that deciding looks at. A batch's have to be read at one moment: others may count in them
        meanwhile."""
        if request.operation == CLOSE:
            return self._totals.counters(request.terminal, request.batch)
        return counters(request, self._terms.checks)

    def _of_batch(self, state: State, request: Request) -> Outcome:
        if state.is_reversed(request.identity):
            return refused(DUPLICATE)
        return settle(state, request, self._totals)

    def _shown(
        self,
        state: State,
        request: Request,
        member: Member | None,
        original: Entry | None,
        bucket: int,
        now_ms: int,
        found: Found,
    ) -> Outcome:
        """The outcome with a card that counts its readings. While nothing was done with a reading its
        terminal may show it again: beside the PIN that it was asked for, say."""
        if state.is_reversed(request.identity):
            return refused(DUPLICATE)
        known = None if member is None else member.id
        seen = see_shown(state, request, known, found, self._limits, self._key)
        if seen.refusal:
            return refused(seen.refusal, sides=seen.sides)
        outcome = self._outcome(state, request, member, original, bucket, now_ms, found)
        for side in outcome.sides:
            if isinstance(side, MemberAdded):
                known = side.member
        if known is None or not seen.card:
            return outcome
        shown = request.shown
        assert shown is not None
        card = shown_card(request.identifier, shown.kind, known, self._key)
        is_done = outcome.response_code == APPROVED and request.operation != "code"
        side_of = CardShown(known, card, shown.counter, "" if is_done else request.terminal)
        return outcome._replace(sides=(*outcome.sides, side_of))

    def _outcome(
        self,
        state: State,
        request: Request,
        member: Member | None,
        original: Entry | None,
        bucket: int,
        now_ms: int,
        found: Found,
    ) -> Outcome:
        operation = request.operation
        if state.is_reversed(request.identity):
            return refused(DUPLICATE)  # its reversal came first
        if operation == "reversal":
            return self._reverse(state, request, member)
        if operation in self._in_batches and (closed := refused_by_batch(state, request)) is not None:
            return closed
        if operation == "activate":
            return self._activate(state, request, member, bucket, now_ms, found)
        if operation in FOLLOWS:
            if member is None or original is None:
                return refused(NO_ORIGINAL)
            return follow(state, request, member, original, self._terms, state.next_entry_id(now_ms))
        if member is None:
            return refused(UNKNOWN_CARD)
        if member.status is _BLOCKED:
            is_over = operation == "earn" and request.mti[2] == "2"  # a queued earn: the sale was before
            if operation not in WHILE_BLOCKED and not is_over:
                return refused(CARD_BLOCKED)
        if member.status is _INACTIVE:
            return refused(CARD_NOT_ACTIVE)
        if operation == "earn":
            return self._earn(state, request, member, now_ms)
        if operation in ("redeem", "hold"):
            return self._spend(state, request, member, now_ms, found)
        if operation == "balance":
            wallet, today = self._wallet(member), request.transaction_day
            return Outcome(APPROVED, balances(wallet) | ending(wallet, today, member.active_day))
        if operation == "unit_balance":
            unit = _UNITS.get(request.accounts[:2])
            if unit is None:
                return refused(INVALID_TRANSACTION)
            return Outcome(APPROVED, balances(member.wallet(self._terms.name, unit)))
        if operation == "block":
            return Outcome(APPROVED, {}, sides=(MemberStatusSet(member.id, MemberStatus.BLOCKED),))
        if operation == "pin_change":
            return self._change_pin(state, request, member.id, now_ms, found)
        if operation == "code":
            return self._send_code(state, request, member.id, now_ms, found)
        if operation == "transfer":
            return self._transfer(state, request, member, now_ms, found)
        if operation in ("unblock", "replace"):
            vouched = operation == "replace" and request.vouched
            proof = self._prove(state, request, member.id, now_ms, found, needed=not vouched)
            if proof.refusal:
                return refused(proof.refusal, sides=proof.sides)
            if operation == "replace":
                return self._replace(state, request, member, now_ms, proof)
            active = MemberStatusSet(member.id, MemberStatus.ACTIVE)
            return Outcome(APPROVED, balances(self._wallet(member)), sides=(*proof.sides, active))
        return refused(INVALID_TRANSACTION)

    def receiver(self, state: State, entry: Entry) -> int:
        """The member that an entry has to follow this decided one at, see `transfers`; or 0. Raises
        NotLoaded."""
        return receiver_of(state, entry) if entry.operation.startswith("transfer") else 0

    def second_half(self, state: State, entry: Entry, now_ms: int) -> Entry | None:
        """The next entry that has to follow this decided one at its receiver, see `transfers`; None when
        all are there.

        Raises NotLoaded.
        """
        if not entry.operation.startswith("transfer"):
            return None
        today = date.fromisoformat(entry.business_date).toordinal()
        return second_half(state, entry, self._program.on(today), now_ms)

    # ------------------------------------------------------------ what time brings

    def due(self, state: State, member: Member, business_date: str, now_ms: int) -> Entry | None:
        """The entry of all that has ended or begun for a member by the business date and the clock: holds
        that have run out, lots that become spendable, lots whose last day is over. None: nothing. Raises
        NotLoaded."""
        today = day_number(business_date)
        over = [hold for hold in member.holds if hold.expires_ms <= now_ms] if member.holds else []
        if member.due > today and not over:
            return None
        entry_id = state.next_entry_id(now_ms)
        transfers: list[Transfer] = []
        sides: list[Side] = []
        after = member

        def take(transfer: Transfer | None) -> None:
            nonlocal after
            if transfer is not None:
                transfers.append(transfer)
                after = moved(after, entry_id, transfer)

        for held in over:
            wallet = after.wallet(held.program, held.unit)
            take(movements.release(after, wallet, held, today, self._program.on(today).reopen_days))
            sides.append(HoldClosed(member.id, held.id))
            opening = state.entry_of_id(held.id, member.id >> 40)
            assert opening is not None, "a hold has the id of the entry that opened it"
            sides += taken_back(opening)
        for wallet in member.wallets:
            take(movements.activate(after, after.wallet(wallet.program, wallet.unit), today))
            take(movements.expire(after, after.wallet(wallet.program, wallet.unit), today))
        return Entry(
            id=entry_id,
            bucket=member.id >> 40,
            identity=internal_identity(DUE_CLASS, business_date, now_ms, member.id, member.last_entry),
            fingerprint=b"",
            operation="due",
            terminal="",
            acceptor="",
            business_date=business_date,
            decided_ms=now_ms,
            member=member.id,
            previous=member.last_entry,
            response_code=APPROVED,
            amount=0,
            batch=0,
            answer=b"",
            transfers=tuple(transfers),
            sides=tuple(sides),
        )

    def corrected(
        self, state: State, correction: Correction, business_date: str, now_ms: int
    ) -> Entry | None:
        """The entry of a correction, see `corrections`. What is due for the member comes first."""
        return corrected(state, correction, self._terms, business_date, now_ms)

    # ------------------------------------------------------------ operations

    def _activate(
        self, state: State, request: Request, member: Member | None, bucket: int, now_ms: int, found: Found
    ) -> Outcome:
        if not request.card_valid:
            return refused(UNKNOWN_CARD)
        if member is not None and member.status is MemberStatus.ACTIVE:
            return refused(ALREADY_ACTIVE)
        if member is not None and member.status is MemberStatus.BLOCKED:
            return refused(CARD_BLOCKED)
        changes: tuple[Side, ...]
        namings: tuple[Naming, ...] = ()
        if member is None:
            wallet = Wallet(self._terms.name, Unit.POINTS)
            member_id = state.next_member_id(bucket)
            changes = (MemberAdded(member_id), Identified(member_id, IdentifierKind.CARD, added=True))
            namings = (Named(request.identifier, member_id, IdentifierKind.CARD, request.masked_card),)
        else:
            wallet = self._wallet(member)
            member_id = member.id
            changes = (MemberStatusSet(member_id, MemberStatus.ACTIVE),)
        mobile = self._first_mobile(state, request, member_id, is_new=member is None)
        if mobile is None:
            return refused(INVALID_TRANSACTION, REASON_MOBILE_TAKEN)
        pin = self._first_pin(state, request, member, member_id, now_ms, found)
        if pin.refusal:
            return refused(pin.refusal, sides=pin.sides)
        if mobile:
            changes += (Identified(member_id, IdentifierKind.MOBILE, added=True),)
        return Outcome(
            APPROVED,
            balances(wallet),
            sides=(*changes, *pin.sides),
            namings=(*namings, *mobile),
        )

    def _first_mobile(
        self, state: State, request: Request, member: int, *, is_new: bool
    ) -> tuple[Naming, ...] | None:
        """What gives a member the mobile number it comes with; None when that can't be its."""
        mobile = request.mobile
        if mobile is None:
            return ()
        owner = state.member_of(mobile.identifier)
        if owner == member:
            return ()
        if owner is not None or (not is_new and state.mobile(member) is not None):
            return None
        return (Named(mobile.identifier, member, IdentifierKind.MOBILE, mobile.masked, mobile.sealed),)

    def _first_pin(
        self, state: State, request: Request, known: Member | None, member: int, now_ms: int, found: Found
    ) -> Proof:
        """The PIN that an activation brings: the member's first one, or the one it has already."""
        if not request.has_pin:
            return Proof("")
        if known is not None and known.credential.verifier:
            return self._prove(state, request, known.id, now_ms, found)
        verifier = answer_to(NewPin(member, in_tag=False), found)
        return Proof("", (PinSet(member, verifier),)) if isinstance(verifier, bytes) else Proof(WRONG_PIN)

    def _prove(
        self, state: State, request: Request, member: int, now_ms: int, found: Found, *, needed: bool = True
    ) -> Proof:
        return prove(state, request, member, now_ms, found, self._limits, self._key, needed=needed)

    def _change_pin(self, state: State, request: Request, member: int, now_ms: int, found: Found) -> Outcome:
        """A new PIN, proved by the old one or a one-time code; unlocks."""
        proof = self._prove(state, request, member, now_ms, found)
        if proof.refusal:
            return refused(proof.refusal, sides=proof.sides)
        verifier = answer_to(NewPin(member, in_tag=True), found)
        if not isinstance(verifier, bytes):
            return Outcome(FORMAT_ERROR, {}, sides=proof.sides)
        changed = PinSet(member, verifier, state.member(member).credential.verifier)
        return Outcome(APPROVED, {}, sides=(*proof.sides, changed))

    def _send_code(self, state: State, request: Request, member: int, now_ms: int, found: Found) -> Outcome:
        if state.mobile(member) is None:
            return refused(INVALID_TRANSACTION, REASON_NO_MOBILE)
        credential = state.member(member).credential
        if is_code_locked(credential, now_ms, self._limits):
            return refused(LOCKED)
        counts = counted_code(state, member, request.terminal, now_ms, self._limits)
        if isinstance(counts, TooMany):
            return Outcome(TOO_MANY, {"04": counts.reason, "05": f"{counts.wait_minutes:012d}"})
        code = answer_to(NewCode(member), found)
        assert isinstance(code, str)
        sent = sent_code(credential, member, code, now_ms, self._limits, self._key)
        return Outcome(APPROVED, {}, sides=(sent, *counts))

    def _earn(self, state: State, request: Request, member: Member, now_ms: int) -> Outcome:
        if request.amount == 0 or request.currency != self._terms.currency:
            return refused(INVALID_AMOUNT)
        wallet, day = self._wallet(member), request.transaction_day
        rules = self._program.on(day)
        points = rules.award(request.amount)
        waits = points > 0 and _waits(rules, request)
        earned: tuple[Transfer, ...] = ()
        if points:
            entry_id = state.next_entry_id(now_ms)
            earned = (movements.earn(member, wallet, entry_id, points, rules, request.acceptor, day, waits),)
        balance, pending = wallet.balance, wallet.pending
        if balance + pending + points > LARGEST_BALANCE:
            return refused(INVALID_AMOUNT)
        declined = check(state, request, member, points, self._terms.checks, now_ms)
        if declined is not None:
            return declined
        if waits:
            pending += points
        else:
            balance += points
        tags = told(balance, pending, wallet.held)
        tags["01"] = f"{points:012d}"
        tags["04"] = REASON_PENDING if waits else REASON_EARNED
        tags["05"] = f"{max(rules.rial_per_earned_point // rules.points_per_step, 1):012d}"
        tags |= ending(wallet, day, self._active(request, member), *earned)
        sides = _sold(request, member.id)
        if request.mti[2] == "2" and day < day_number(request.business_date):
            sides += (BookedLate(member.id, date.fromordinal(day).isoformat()),)
        return Outcome(APPROVED, tags, earned, sides)

    def _award(
        self, state: State, request: Request, member: Member, amount: int, now_ms: int
    ) -> tuple[Transfer, ...]:
        """What a purchase of so many rial earns."""
        day = request.transaction_day
        rules = self._program.on(day)
        points = rules.award(amount)
        if not points:
            return ()
        entry_id = state.next_entry_id(now_ms)
        wallet, waits = self._wallet(member), _waits(rules, request)
        return (movements.earn(member, wallet, entry_id, points, rules, request.acceptor, day, waits),)

    def _spend(self, state: State, request: Request, member: Member, now_ms: int, found: Found) -> Outcome:
        """A redemption, or a hold for one. With a sale amount the money part of the sale earns."""
        points = request.points
        rules = self._program.on(request.transaction_day)
        ratio = rules.rial_per_redeemed_point
        if points == 0 or request.currency != self._terms.currency or request.amount != points * ratio:
            return refused(INVALID_AMOUNT)
        if request.sale_amount and request.sale_amount < request.amount:
            return refused(INVALID_AMOUNT)
        proof = self._permission(state, request, member, points, now_ms, found)
        if isinstance(proof, Outcome):
            return proof
        if points < rules.smallest_redemption or 0 < rules.largest_redemption < points:
            return refused(OUT_OF_RANGE, REASON_OUT_OF_RANGE, proof.sides)
        wallet = self._wallet(member)
        if points > wallet.balance:
            return Outcome(NOT_ENOUGH_POINTS, balances(wallet), sides=proof.sides)
        spent = movements.redeem(member, wallet, points, request.amount, request.acceptor)
        money = max(request.sale_amount - request.amount, 0)
        earned: tuple[Transfer, ...] = ()
        if money:
            after = moved(member, state.next_entry_id(now_ms), spent)
            earned = self._award(state, request, after, money, now_ms)
            if wallet.balance - points + wallet.pending + _gained(earned) > LARGEST_BALANCE:
                return refused(INVALID_AMOUNT, sides=proof.sides)
        checks = self._terms.checks
        beside = 0 if request.operation == "hold" else _gained(earned)  # a hold earns nothing
        declined = check(state, request, member, points, checks, now_ms, proof.sides, beside, money)
        if declined is not None:
            return declined
        tags = {"01": f"{points:012d}", "04": REASON_REDEEMED, "05": f"{ratio:012d}"}
        if request.operation == "hold":
            kept = movements.hold(wallet, points)
            opened = HoldOpened(member.id, now_ms + self._terms.hold_ms)
            return Outcome(APPROVED, tags | balances(wallet, kept), (kept,), (*proof.sides, opened))
        if not money:
            tags |= ending(wallet, request.transaction_day, self._active(request, member), spent)
            tags |= told(wallet.balance - points, wallet.pending, wallet.held)
            return Outcome(APPROVED, tags, (spent,), (*proof.sides, *_sold(request, member.id)))
        tags["0E"] = f"{_gained(earned):012d}"
        tags |= ending(wallet, request.transaction_day, self._active(request, member), spent, *earned)
        sides = (
            *proof.sides,
            *_sold(request, member.id),
            PaidInMoney(member.id, money),
            *earned_beside(request, member.id, money, _gained(earned)),
        )
        return Outcome(APPROVED, tags | balances(wallet, spent, *earned), (spent, *earned), sides)

    def _active(self, request: Request, member: Member) -> int:
        """The last day of activity once this request is booked."""
        before, day = member.active_day, request.transaction_day
        return before if before > day else day

    def _permission(
        self, state: State, request: Request, member: Member, points: int, now_ms: int, found: Found
    ) -> Proof | Outcome:
        """What the member proved to spend so many points, or why it can't."""
        card = see_card(state, request, member.id, found, self._limits)
        if card.refusal:  # a PIN beside it isn't looked at: one guess at a time
            return refused(card.refusal, sides=card.sides)
        if request.has_card and not card.there and not can_prove(state, member.id):
            return refused(NOT_NOW, REASON_CARD_LOCKED)  # to ask for a PIN would lead nowhere
        # A typed number proves nothing; before the proof nobody hears of the balance.
        needed = not card.there or points > self._pin_from_points
        proof = self._prove(state, request, member.id, now_ms, found, needed=needed)
        if proof.refusal:
            return refused(proof.refusal, sides=proof.sides)
        if member.credential.spend_from_ms > now_ms:
            hours = -(-self._terms.replaced_ms // 3_600_000)
            tags = {"04": REASON_REPLACED, "05": f"{hours:012d}"}
            return Outcome(NOT_NOW, tags, sides=proof.sides)
        return proof

    def _transfer(self, state: State, request: Request, member: Member, now_ms: int, found: Found) -> Outcome:
        """Points to another member's card; lots keep issuer, price and last day."""
        points = request.points
        if points == 0:
            return refused(INVALID_AMOUNT)
        proof = self._permission(state, request, member, points, now_ms, found)
        if isinstance(proof, Outcome):
            return proof
        to = state.member_of(request.other)
        receiver = None if to is None or to == member.id else state.member(to)
        if receiver is None or receiver.status is not MemberStatus.ACTIVE:
            return refused(INVALID_TRANSACTION, REASON_OTHER_CARD, proof.sides)
        wallet = self._wallet(member)
        if points > wallet.balance:
            return Outcome(NOT_ENOUGH_POINTS, balances(wallet), sides=proof.sides)
        there = self._wallet(receiver)
        if there.balance + there.pending + points > LARGEST_BALANCE:
            return refused(INVALID_AMOUNT, sides=proof.sides)
        sent = movements.send_away(member, wallet, points)
        if len(sent.lots) > LOTS_PER_ENTRY:  # the receiver's entry could not name them all
            return refused(OUT_OF_RANGE, REASON_OUT_OF_RANGE, proof.sides)
        tags = {"01": f"{points:012d}", **balances(wallet, sent)}
        return Outcome(APPROVED, tags, (sent,), (*proof.sides, SentTo(member.id, receiver.id)))

    def _replace(self, state: State, request: Request, member: Member, now_ms: int, proof: Proof) -> Outcome:
        """Another card takes this one's place; the old ones find nobody any more."""
        if not request.other_valid or state.member_of(request.other) is not None:
            return refused(INVALID_TRANSACTION, REASON_OTHER_CARD, proof.sides)
        sides: list[Side] = [*proof.sides]
        namings: list[Naming] = []
        for identifier, _ in state.cards(member.id):
            known_by = replaced_proof(identifier, request.identity, self._key)
            sides.append(Identified(member.id, IdentifierKind.CARD, added=False, proof=known_by))
            namings.append(Unnamed(identifier, member.id, IdentifierKind.CARD))
        sides.append(Identified(member.id, IdentifierKind.CARD, added=True))
        namings.append(Named(request.other, member.id, IdentifierKind.CARD, request.masked_other))
        until_ms, before_ms = now_ms + self._terms.replaced_ms, member.credential.spend_from_ms
        sides.append(SpendingDelayed(member.id, until_ms, before_ms))
        if member.status is MemberStatus.BLOCKED:
            sides.append(MemberStatusSet(member.id, MemberStatus.ACTIVE))
        return Outcome(APPROVED, balances(self._wallet(member)), sides=tuple(sides), namings=tuple(namings))

    def _reverse(self, state: State, request: Request, member: Member | None) -> Outcome:
        if request.original[_CLASS_PLACE] not in REVERSIBLE_CLASSES:
            return refused(INVALID_TRANSACTION)
        if request.original_operation in OF_BATCHES:
            return refused(INVALID_TRANSACTION)
        original = state.entry(request.original)
        if original is not None and not _is_of(request, original, member):
            return refused(INVALID_TRANSACTION)  # it names another card or operation than its original
        if state.is_reversed(request.original):
            return Outcome(APPROVED, self._known_balances(member))
        reversed_mark = OriginalReversed(request.original)
        if original is None or original.response_code != APPROVED:
            return Outcome(APPROVED, self._known_balances(member), sides=(reversed_mark,))
        if not self._may_undo(state, request, original):
            return refused(INVALID_TRANSACTION)
        assert member is not None, "what was approved has a member"
        if original.operation == "replace":
            return self._bring_back(state, request, member, original)
        today = date.fromisoformat(request.business_date).toordinal()
        undone, is_last = self._undone(state, member, original, today)
        sides: list[Side] = [reversed_mark, *undone.sides]
        namings: list[Naming] = []
        for side in original.sides:
            if isinstance(side, MemberAdded):
                sides.append(MemberStatusSet(side.member, MemberStatus.INACTIVE))
            elif isinstance(side, MemberStatusSet):
                sides.append(MemberStatusSet(side.member, STATUS_BEFORE[original.operation]))
            elif isinstance(side, Followed) and is_last:
                sides.append(_unfollowed(state, original, side))
            elif isinstance(side, PinSet):
                if same(member.credential.verifier, side.verifier):
                    sides.append(PinSet(side.member, side.before, side.verifier))
            elif isinstance(side, Identified) and side.kind == IdentifierKind.MOBILE:
                mobile = state.mobile(side.member)
                if mobile is not None:
                    sides.append(Identified(side.member, IdentifierKind.MOBILE, added=False))
                    namings.append(Unnamed(mobile.identifier, side.member, IdentifierKind.MOBILE))
        return Outcome(
            APPROVED,
            self._known_balances(member, undone.transfers),
            undone.transfers,
            tuple(sides),
            tuple(namings),
            operation=f"{original.operation}.reversal",
            amount=original.amount,
            batch=original.batch,
            receipt=original.receipt,
            cashier=original.cashier,
        )

    def _undone(self, state: State, member: Member, original: Entry, today: int) -> tuple[Undone, bool]:
        """What takes an entry back, and whether nothing else followed what it followed itself since."""
        side = next((side for side in original.sides if isinstance(side, Followed)), None)
        if side is not None:
            now = state.followed(side.original, original.bucket)
            if (now.amount, now.units, now.ended) != (side.amount, side.units, side.ended):
                followed = state.entry_of_id(side.original, original.bucket)
                assert followed is not None, "what was followed is there"
                return undo_follower(member, followed, now, original, self._terms, today), False
        undone = undo(member, original, self._terms, today)
        if undone is None:  # a hold that has run out: what it kept is the member's again
            return Undone((), (BackBefore(member.id, units_moved(original)),)), True
        return undone._replace(sides=(*undone.sides, *taken_back(original))), True

    def _bring_back(self, state: State, request: Request, member: Member, original: Entry) -> Outcome:
        """The old card instead of the one that replaced it, which is free again; while nothing was done with
        that one, and the reversal names the old one by its number."""
        proofs = [side.proof for side in original.sides if isinstance(side, Identified) and not side.added]
        proof = replaced_proof(request.identifier, original.identity, self._key)
        is_known = len(proofs) == 1 and same(proofs[0], proof)
        if not is_known or state.member_of(request.identifier) or not _is_untouched(state, member, original):
            return refused(INVALID_TRANSACTION, REASON_REPLACEMENT_STAYS)
        sides: list[Side] = [OriginalReversed(request.original)]
        namings: list[Naming] = []
        for identifier, _ in state.cards(member.id):
            sides.append(Identified(member.id, IdentifierKind.CARD, added=False))
            namings.append(Unnamed(identifier, member.id, IdentifierKind.CARD))
        sides.append(Identified(member.id, IdentifierKind.CARD, added=True))
        namings.append(Named(request.identifier, member.id, IdentifierKind.CARD, request.masked_card))
        for side in original.sides:
            if isinstance(side, SpendingDelayed):
                sides.append(SpendingDelayed(member.id, side.before_ms, side.until_ms))
            elif isinstance(side, MemberStatusSet):
                sides.append(MemberStatusSet(member.id, STATUS_BEFORE[original.operation]))
        return Outcome(
            APPROVED,
            self._known_balances(member),
            sides=tuple(sides),
            namings=tuple(namings),
            operation=f"{original.operation}.reversal",
        )

    def _may_undo(self, state: State, request: Request, original: Entry) -> bool:
        """Whether taking this back gives nobody a hand on what has become somebody's.

        What was voided, captured, refunded or returned in part stays, or it would be given back twice; a void
        of a hold, too: its points are free. A PIN change stays: the old PIN may be the stolen one, and its
        return would forget the wrong tries. An activation goes only while the member is as it left him:
        without points or debt, his PIN not changed. What blocked a card, or let it go, is undone while it is
        the last that did.
        """
        followed = state.followed(original.id, original.bucket)
        if request.original_operation == "pin_change" or followed.amount or followed.units:
            return False
        if original.operation == "void" and any(transfer.hold for transfer in original.transfers):
            return False
        member = state.member(original.member)
        if request.original_operation in ("block", "unblock"):
            return _is_last_status(state, member, original)
        if request.original_operation != "activate":
            return True
        given = next((side.verifier for side in original.sides if isinstance(side, PinSet)), None)
        untouched = given is None or same(member.credential.verifier, given)
        if any(isinstance(side, MemberAdded) for side in original.sides) and given is None:
            untouched = not member.credential.verifier
        return untouched and not any(
            wallet.balance or wallet.pending or wallet.held for wallet in member.wallets
        )

    # ------------------------------------------------------------ answers

    def _entry(
        self,
        state: State,
        request: Request,
        member: Member | None,
        bucket: int,
        outcome: Outcome,
        now_ms: int,
    ) -> Entry:
        entry_id = state.next_entry_id(now_ms)
        member_id, previous = (0, 0) if member is None else (member.id, member.last_entry)
        for side in outcome.sides:
            if isinstance(side, MemberAdded):
                member_id = side.member
        answer = answer_fields(
            request.stan, request.local_time, request.terminal[-TERMINAL_CHARACTERS:], outcome.response_code
        )
        answer["37"] = rrn_of(bucket, entry_id)
        if outcome.tags:
            tags = outcome.tags
            answer["48"] = {tag: tags[tag] for tag in sorted(tags)}
        if outcome.totals is not None:
            answer["63"] = dict(outcome.totals)
        # In the order of its fields: so many names cost a tenth of a decision.
        return Entry(
            entry_id,
            bucket,
            request.identity,
            request.fingerprint,
            outcome.operation or request.operation,
            request.terminal,
            request.acceptor,
            request.business_date,
            now_ms,
            member_id,
            previous,
            outcome.response_code,
            request.amount if outcome.amount is None else outcome.amount,
            self._batch(state, request, outcome),
            self._dialect.encode_body(Message(answer_mti(request.mti), answer)),
            outcome.transfers,
            outcome.sides,
            request.cashier if outcome.cashier is None else outcome.cashier,
            request.receipt if outcome.receipt is None else outcome.receipt,
            request.key_serial,
            request.request_mac,
            outcome.namings,
        )

    def _batch(self, state: State, request: Request, outcome: Outcome) -> int:
        """The batch that an entry is of, and counts in when approved; what closes batches is in none."""
        batch = request.batch if outcome.batch is None else outcome.batch
        if not batch or request.operation in self._in_batches:
            return batch
        if request.operation == "reversal":
            return batch_of_reversal(state, request.terminal, batch)
        is_open = request.operation not in OF_BATCHES and batch > state.last_batch(request.terminal).number
        return batch if is_open else 0

    def _wallet(self, member: Member) -> Wallet:
        return member.wallet(self._terms.name, _POINTS)

    def _known_balances(self, member: Member | None, transfers: tuple[Transfer, ...] = ()) -> dict[str, str]:
        return {} if member is None else balances(self._wallet(member), *transfers)


def _place(state: State, request: Request) -> tuple[int, int | None, Entry | None]:
    """Where a request is decided: the bucket, the member there that it is about, and the entry that it
    follows by its reference number. What names a bucket is never in another one, found or not."""
    if request.operation in OF_BATCHES:
        return bucket_of_terminal(request.terminal), None, None
    if request.follows:
        with suppress(ValueError):
            bucket, entry_id = parse_rrn(request.follows)
            followed = state.entry_of_id(entry_id, bucket)
            if followed is None or followed.bucket != bucket:
                return bucket, None, None
            return bucket, followed.member or None, followed
    member = state.member_of(request.identifier) if request.identifier else None
    bucket = request.bucket_without_member if member is None else member >> 40
    if request.original_operation == "replace" and request.operation == "reversal" and member is None:
        # The card that it names is nobody's now, and may have led to another bucket before.
        replaced = state.entry_of_any_owner(request.original)
        if replaced is not None and replaced.operation == "replace" and replaced.member:
            return replaced.bucket, replaced.member, None
    if request.original:
        original = state.entry(request.original)
        if original is not None and original.bucket != bucket:  # its card leads elsewhere since
            return original.bucket, None, None
    return bucket, member, None


def _waits(rules: Rules, request: Request) -> bool:
    """Whether the first day of an award has still to come; that of a queued earn may be over."""
    if not rules.pending_days:
        return False
    return rules.first_day(request.transaction_day) > day_number(request.business_date)


def _is_last_status(state: State, member: Member, setting: Entry) -> bool:
    """Whether no later entry set the member's status; False when that is too far back to be seen."""
    entry_id = member.last_entry
    for _ in range(STATUS_LOOK):
        entry = state.entry_of_id(entry_id, setting.bucket)
        if entry is None or entry.id == setting.id:
            return entry is not None
        if any(isinstance(side, MemberStatusSet) for side in entry.sides):
            return False
        entry_id = entry.previous
    return False


def _is_untouched(state: State, member: Member, since: Entry) -> bool:
    """Whether nothing was done for the member after an entry, but for what time brought; False when that is
    too far back to be seen."""
    entry_id = member.last_entry
    for _ in range(STATUS_LOOK):
        entry = state.entry_of_id(entry_id, since.bucket)
        if entry is None or entry.id == since.id:
            return entry is not None
        if entry.operation != "due" and (entry.transfers or entry.sides):
            return False
        entry_id = entry.previous
    return False


def _unfollowed(state: State, follower: Entry, side: Followed) -> Followed:
    """What had followed an original before `follower` did."""
    bucket = follower.bucket
    now, original = state.followed(side.original, bucket), state.entry_of_id(side.original, bucket)
    assert original is not None, "what was followed is there"
    units = now.units - units_followed(original, follower)
    return Followed(side.original, now.amount - follower.amount, units, ended=False)


def _sold(request: Request, member: int) -> tuple[Side, ...]:
    return (Basket(member, request.basket),) if request.basket else ()


def _gained(earned: tuple[Transfer, ...]) -> int:
    """Points of an award."""
    return sum(
        -posting.amount
        for transfer in earned
        for posting in transfer.postings
        if posting.kind is AccountKind.ISSUED
    )


@lru_cache(maxsize=64)
def answer_mti(mti: str) -> str:
    """The MTI that answers `mti`: the function digit rises by one, the repeat digit falls to zero."""
    return f"{mti[:2]}{int(mti[2]) + 1}0"


def answer_fields(
    stan: str, local_time: str, terminal: str, response_code: str
) -> dict[str, str | dict[str, str]]:
    """What every answer echoes, and DE 39."""
    return {"11": stan, "12": local_time, "39": response_code, "41": terminal}


def _is_of(request: Request, original: Entry, member: Member | None) -> bool:
    """Whether a reversal's card and operation are those of the entry that it wants to take back."""
    if original.member not in (0, 0 if member is None else member.id):
        return False
    return original.operation == request.original_operation
