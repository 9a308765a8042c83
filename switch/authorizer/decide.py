"""One request against the ledger's memory: an entry to book, an earlier answer to repeat, or a refusal.

The rules of identity (seen before, reversed before), of member and of funds are here and nowhere else.
`decide` changes nothing; the caller applies the entry, commits it and only then lets the answer out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

from switch.authorizer import movements
from switch.authorizer.identity import DUE_CLASS, internal_identity, rrn_of
from switch.authorizer.proof import (
    LOCKED,
    WRONG_PIN,
    Found,
    Limits,
    Need,
    Needed,
    NewCode,
    NewPin,
    Proof,
    answer_to,
    is_code_locked,
    prove,
    sent_code,
)
from switch.authorizer.request import Request
from switch.hsm.crypto.ciphers import same
from switch.iso8583 import Dialect, Message
from switch.ledger import (
    AccountKind,
    Entry,
    HoldClosed,
    Identified,
    IdentifierKind,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    Named,
    Naming,
    OriginalReversed,
    PinSet,
    Side,
    State,
    Transfer,
    TransferKind,
    Unit,
    Unnamed,
    Wallet,
)
from switch.ledger.book import moved
from switch.loyalty.program import Program

APPROVED = "00"
INVALID_TRANSACTION = "12"
INVALID_AMOUNT = "13"
OUT_OF_RANGE = "61"
UNKNOWN_CARD = "14"
ALREADY_ACTIVE = "21"
FORMAT_ERROR = "30"
NOT_ENOUGH_POINTS = "51"
CARD_NOT_ACTIVE = "78"
DUPLICATE = "94"

NOTHING_FOUND: Mapping[Need, object] = MappingProxyType({})

REASON_EARNED = "0101"
REASON_REDEEMED = "0102"
REASON_PENDING = "0103"
REASON_OUT_OF_RANGE = "0104"
REASON_MOBILE_TAKEN = "0301"
REASON_NO_MOBILE = "0302"

REVERSIBLE_CLASSES = (
    b"123"  # DE 90 may name an authorization, a financial or a file message; no reversal of a reversal
)
LARGEST_BALANCE = 10**12 - 1  # what tag 02 of an answer can say
_CLASS_PLACE = 7  # of the MTI class in an identity


@dataclass(frozen=True, slots=True)
class Repeat:
    """The request was decided before: answer as then. Sent only when that entry is committed."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answered with this code and not remembered."""

    response_code: str


class Due(NamedTuple):
    """Something of the member expires or begins first: apply this entry, then decide again."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an operation came to: DE 39, DE 48 tags of the answer, and what it changes.

    operation, amount, batch: what the entry counts as, where that isn't what was asked for.
    """

    response_code: str
    tags: dict[str, str]
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()
    namings: tuple[Naming, ...] = ()
    operation: str | None = None
    amount: int | None = None
    batch: int | None = None


class Authorizer:
    """Decides requests of one program.

    pin_from_points: redemptions above need a proof from a swiped card too. key: the directory key, which
    one-time codes are hashed under.
    """

    def __init__(
        self,
        dialect: Dialect,
        name: str,
        currency: str,
        program: Program,
        pin_from_points: int,
        limits: Limits,
        key: bytes,
    ) -> None:
        self._dialect = dialect
        self._name = name
        self._currency = currency
        self._program = program
        self._pin_from_points = pin_from_points
        self._limits = limits
        self._key = key

    def decide(
        self, state: State, request: Request, now_ms: int, found: Found = NOTHING_FOUND
    ) -> Entry | Repeat | Refusal | Due | Need:
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

    def _decide(self, state: State, request: Request, now_ms: int, found: Found) -> Entry | Due:
        if request.business_date < state.business_date:  # a closed day never opens again
            request = request._replace(business_date=state.business_date)
        member_id = state.member_of(request.identifier)
        member = None if member_id is None else state.member(member_id)
        bucket = request.bucket_without_member if member_id is None else member_id >> 40
        if member is not None:
            due = self.due(state, member, request.business_date, now_ms)
            if due is not None:
                return Due(due)
        if state.is_reversed(request.identity):
            outcome = _Outcome(DUPLICATE, {})  # its reversal came first
        elif request.operation == "reversal":
            outcome = self._reverse(state, request, member)
        elif request.operation == "activate":
            outcome = self._activate(state, request, member, bucket, now_ms, found)
        elif member is None:
            outcome = _Outcome(UNKNOWN_CARD, {})
        elif member.status is not MemberStatus.ACTIVE:
            outcome = _Outcome(CARD_NOT_ACTIVE, {})
        elif request.operation == "earn":
            outcome = self._earn(state, request, member, now_ms)
        elif request.operation == "redeem":
            outcome = self._redeem(state, request, member, now_ms, found)
        elif request.operation == "pin_change":
            outcome = self._change_pin(state, request, member.id, now_ms, found)
        elif request.operation == "code":
            outcome = self._send_code(state, member.id, now_ms, found)
        elif request.operation == "balance":
            outcome = _Outcome(APPROVED, self._balances(self._wallet(member).balance))
        else:
            outcome = _Outcome(INVALID_TRANSACTION, {})
        return self._entry(state, request, member, bucket, outcome, now_ms)

    # ------------------------------------------------------------ what time brings

    def due(self, state: State, member: Member, business_date: str, now_ms: int) -> Entry | None:
        """The entry of all that has ended or begun for a member by the business date and the clock: holds
        that have run out, lots that become spendable, lots whose last day is over. None: nothing."""
        today = date.fromisoformat(business_date).toordinal()
        over = [hold for hold in member.holds if hold.expires_ms <= now_ms]
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
            reopen = self._program.on(today).reopen_days
            wallet = after.wallet(held.program, held.unit)
            take(movements.release(after, wallet, held, 0, today, reopen))
            sides.append(HoldClosed(member.id, held.id))
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

    # ------------------------------------------------------------ operations

    def _activate(
        self, state: State, request: Request, member: Member | None, bucket: int, now_ms: int, found: Found
    ) -> _Outcome:
        if not request.card_valid:
            return _Outcome(UNKNOWN_CARD, {})
        if member is not None and member.status is MemberStatus.ACTIVE:
            return _Outcome(ALREADY_ACTIVE, {})
        if member is not None and member.status is MemberStatus.BLOCKED:
            return _Outcome(CARD_NOT_ACTIVE, {})
        changes: tuple[Side, ...]
        namings: tuple[Naming, ...] = ()
        if member is None:
            balance = 0
            member_id = state.next_member_id(bucket)
            changes = (MemberAdded(member_id), Identified(member_id, IdentifierKind.CARD, added=True))
            namings = (Named(request.identifier, member_id, IdentifierKind.CARD, request.masked_card),)
        else:
            balance = self._wallet(member).balance
            member_id = member.id
            changes = (MemberStatusSet(member_id, MemberStatus.ACTIVE),)
        mobile = self._first_mobile(state, request, member_id, is_new=member is None)
        if mobile is None:
            return _Outcome(INVALID_TRANSACTION, {"04": REASON_MOBILE_TAKEN})
        pin = self._first_pin(state, request, member, member_id, now_ms, found)
        if pin.refusal:
            return _Outcome(pin.refusal, {}, sides=pin.sides)
        if mobile:
            changes += (Identified(member_id, IdentifierKind.MOBILE, added=True),)
        return _Outcome(
            APPROVED,
            self._balances(balance),
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

    def _change_pin(self, state: State, request: Request, member: int, now_ms: int, found: Found) -> _Outcome:
        """A new PIN, proved by the old one or a one-time code; unlocks."""
        proof = self._prove(state, request, member, now_ms, found)
        if proof.refusal:
            return _Outcome(proof.refusal, {}, sides=proof.sides)
        verifier = answer_to(NewPin(member, in_tag=True), found)
        if not isinstance(verifier, bytes):
            return _Outcome(FORMAT_ERROR, {}, sides=proof.sides)
        changed = PinSet(member, verifier, state.member(member).credential.verifier)
        return _Outcome(APPROVED, {}, sides=(*proof.sides, changed))

    def _send_code(self, state: State, member: int, now_ms: int, found: Found) -> _Outcome:
        if state.mobile(member) is None:
            return _Outcome(INVALID_TRANSACTION, {"04": REASON_NO_MOBILE})
        credential = state.member(member).credential
        if is_code_locked(credential, now_ms, self._limits):
            return _Outcome(LOCKED, {})
        code = answer_to(NewCode(member), found)
        assert isinstance(code, str)
        sent = sent_code(credential, member, code, now_ms, self._limits, self._key)
        return _Outcome(APPROVED, {}, sides=(sent,))

    def _earn(self, state: State, request: Request, member: Member, now_ms: int) -> _Outcome:
        if request.amount == 0 or request.currency != self._currency:
            return _Outcome(INVALID_AMOUNT, {})
        rules = self._program.on(request.transaction_day)
        points = rules.award(request.amount)
        wallet = self._wallet(member)
        if wallet.balance + wallet.pending + points > LARGEST_BALANCE:
            return _Outcome(INVALID_AMOUNT, {})
        transfers: tuple[Transfer, ...] = ()
        balance = wallet.balance
        if points:
            earned = movements.earn(
                member,
                wallet,
                state.next_entry_id(now_ms),
                points,
                rules,
                request.acceptor,
                request.transaction_day,
            )
            transfers = (earned,)
            balance += spendable(earned)
        tags = {
            "01": f"{points:012d}",
            **self._balances(balance),
            "04": REASON_EARNED if points == balance - wallet.balance else REASON_PENDING,
            "05": f"{rules.rial_per_earned_point:012d}",
        }
        return _Outcome(APPROVED, tags, transfers)

    def _redeem(self, state: State, request: Request, member: Member, now_ms: int, found: Found) -> _Outcome:
        points = request.points
        ratio = self._program.on(request.transaction_day).rial_per_redeemed_point
        if points == 0 or request.currency != self._currency or request.amount != points * ratio:
            return _Outcome(INVALID_AMOUNT, {})
        # A typed number proves nothing; before the proof nobody hears of the balance.
        needed = not request.has_card or points > self._pin_from_points
        proof = self._prove(state, request, member.id, now_ms, found, needed=needed)
        if proof.refusal:
            return _Outcome(proof.refusal, {}, sides=proof.sides)
        rules = self._program.on(request.transaction_day)
        if points < rules.smallest_redemption or 0 < rules.largest_redemption < points:
            return _Outcome(OUT_OF_RANGE, {"04": REASON_OUT_OF_RANGE}, sides=proof.sides)
        wallet = self._wallet(member)
        if points > wallet.balance:
            return _Outcome(NOT_ENOUGH_POINTS, self._balances(wallet.balance), sides=proof.sides)
        spent = movements.redeem(member, wallet, points, request.amount, request.acceptor)
        tags = {
            "01": f"{points:012d}",
            **self._balances(wallet.balance - points),
            "04": REASON_REDEEMED,
            "05": f"{ratio:012d}",
        }
        return _Outcome(APPROVED, tags, (spent,), proof.sides)

    def _reverse(self, state: State, request: Request, member: Member | None) -> _Outcome:
        if request.original[_CLASS_PLACE] not in REVERSIBLE_CLASSES:
            return _Outcome(INVALID_TRANSACTION, {})
        original = state.entry(request.original)
        if original is not None and not _is_of(request, original, member):
            return _Outcome(INVALID_TRANSACTION, {})  # it names another card or operation than its original
        if state.is_reversed(request.original):
            return _Outcome(APPROVED, self._known_balances(member))
        reversed_mark = OriginalReversed(request.original)
        if original is None or original.response_code != APPROVED:
            return _Outcome(APPROVED, self._known_balances(member), sides=(reversed_mark,))
        if not self._may_undo(state, request, original):
            return _Outcome(INVALID_TRANSACTION, {})
        assert member is not None, "what was approved has a member"
        today = date.fromisoformat(request.business_date).toordinal()
        transfers = tuple(self._undone(member, original, transfer, today) for transfer in original.transfers)
        sides: list[Side] = [reversed_mark]
        namings: list[Naming] = []
        for side in original.sides:
            if isinstance(side, MemberAdded):
                sides.append(MemberStatusSet(side.member, MemberStatus.INACTIVE))
            elif isinstance(side, MemberStatusSet):
                sides.append(MemberStatusSet(side.member, _other(side.status)))
            elif isinstance(side, PinSet):
                if same(member.credential.verifier, side.verifier):
                    sides.append(PinSet(side.member, side.before, side.verifier))
            elif isinstance(side, Identified) and side.kind == IdentifierKind.MOBILE:
                mobile = state.mobile(side.member)
                if mobile is not None:
                    sides.append(Identified(side.member, IdentifierKind.MOBILE, added=False))
                    namings.append(Unnamed(mobile.identifier, side.member, IdentifierKind.MOBILE))
        return _Outcome(
            APPROVED,
            self._known_balances(member, transfers),
            transfers,
            tuple(sides),
            tuple(namings),
            operation=f"{original.operation}.reversal",
            amount=original.amount,
            batch=original.batch,
        )

    def _undone(self, member: Member, original: Entry, transfer: Transfer, today: int) -> Transfer:
        """The transfer that takes one of an entry's transfers back."""
        wallet = member.wallet(transfer.program, transfer.unit)
        points = next(abs(posting.amount) for posting in transfer.postings if posting.unit is transfer.unit)
        if transfer.kind is TransferKind.EARN:
            return movements.take_back(member, wallet, original, transfer, 0, points, TransferKind.REVERSAL)
        reopen_days = self._program.on(today).reopen_days
        return movements.give_back(
            member,
            wallet,
            original,
            transfer,
            0,
            points,
            original.amount,
            today,
            reopen_days,
            TransferKind.REVERSAL,
        )

    def _may_undo(self, state: State, request: Request, original: Entry) -> bool:
        """Whether taking this back gives nobody a hand on what has become somebody's.

        A PIN change stays: the old PIN may be the stolen one, and its return would forget the wrong tries. An
        activation goes only while the member is as it left him: without points or debt, his PIN not changed.
        """
        if request.original_operation == "pin_change":
            return False
        if request.original_operation != "activate":
            return True
        member = state.member(original.member)
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
        outcome: _Outcome,
        now_ms: int,
    ) -> Entry:
        entry_id = state.next_entry_id(now_ms)
        member_id, previous = (0, 0) if member is None else (member.id, member.last_entry)
        for side in outcome.sides:
            if isinstance(side, MemberAdded):
                member_id = side.member
        answer = answer_fields(request.stan, request.local_time, request.terminal, outcome.response_code)
        answer["37"] = rrn_of(bucket, entry_id)
        if outcome.tags:
            answer["48"] = dict(sorted(outcome.tags.items()))
        return Entry(
            id=entry_id,
            bucket=bucket,
            identity=request.identity,
            fingerprint=request.fingerprint,
            operation=outcome.operation or request.operation,
            terminal=request.terminal,
            acceptor=request.acceptor,
            business_date=request.business_date,
            decided_ms=now_ms,
            member=member_id,
            previous=previous,
            response_code=outcome.response_code,
            amount=request.amount if outcome.amount is None else outcome.amount,
            batch=request.batch if outcome.batch is None else outcome.batch,
            answer=self._dialect.encode_body(Message(answer_mti(request.mti), answer)),
            transfers=outcome.transfers,
            sides=outcome.sides,
            cashier=request.cashier,
            receipt=request.receipt,
            key_serial=request.key_serial,
            request_mac=request.request_mac,
            namings=outcome.namings,
        )

    def _wallet(self, member: Member) -> Wallet:
        return member.wallet(self._name, Unit.POINTS)

    def _balances(self, balance: int) -> dict[str, str]:
        if balance >= 0:
            return {"02": f"{balance:012d}"}
        return {"02": f"{0:012d}", "03": f"{-balance:012d}"}

    def _known_balances(self, member: Member | None, transfers: tuple[Transfer, ...] = ()) -> dict[str, str]:
        if member is None:
            return {}
        moved = sum(spendable(transfer) for transfer in transfers if transfer.unit is Unit.POINTS)
        return self._balances(self._wallet(member).balance + moved)


def spendable(transfer: Transfer) -> int:
    """What a transfer adds to what the member can spend (or owes)."""
    return sum(posting.amount for posting in transfer.postings if posting.kind is AccountKind.MEMBER)


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


def _other(status: MemberStatus) -> MemberStatus:
    return MemberStatus.INACTIVE if status is MemberStatus.ACTIVE else MemberStatus.ACTIVE
