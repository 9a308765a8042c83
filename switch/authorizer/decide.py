"""One request against the ledger's memory: an entry to book, an earlier answer to repeat, or a refusal.

The rules of identity (seen before, reversed before), of member and of funds are here and nowhere else.
`decide` changes nothing; the caller applies the entry, commits it and only then lets the answer out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from switch.authorizer.identity import rrn_of
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
    counted_code,
    is_code_locked,
    prove,
    see_card,
    sent_code,
)
from switch.authorizer.request import Request
from switch.hsm.crypto.ciphers import same
from switch.iso8583 import Dialect, Message
from switch.ledger import (
    Account,
    AccountKind,
    Entry,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    MobileRemoved,
    MobileSet,
    OriginalReversed,
    PinSet,
    Posting,
    Side,
    State,
    Transfer,
    TransferKind,
    Unit,
)

APPROVED = "00"
INVALID_TRANSACTION = "12"
INVALID_AMOUNT = "13"
UNKNOWN_CARD = "14"
ALREADY_ACTIVE = "21"
FORMAT_ERROR = "30"
NOT_ENOUGH_POINTS = "51"
CARD_NOT_ACTIVE = "78"
DUPLICATE = "94"

NOTHING_FOUND: Mapping[Need, object] = MappingProxyType({})

OPERATIONS = {TransferKind.EARN: "earn", TransferKind.REDEEM: "redeem"}  # by the transfer they make

REASON_EARNED = "0101"
REASON_REDEEMED = "0102"
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


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an operation came to: DE 39, DE 48 tags of the answer, and what it changes."""

    response_code: str
    tags: dict[str, str]
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()


class Authorizer:
    """Decides requests of one program. The rates are rial per point.

    pin_from_points: redemptions above need a proof from a swiped card too. key: the directory key, which
    one-time codes are hashed under.
    """

    def __init__(
        self,
        dialect: Dialect,
        program: str,
        currency: str,
        rial_per_earned_point: int,
        rial_per_redeemed_point: int,
        pin_from_points: int,
        limits: Limits,
        key: bytes,
    ) -> None:
        self._dialect = dialect
        self._program = program
        self._currency = currency
        self._earned = rial_per_earned_point
        self._redeemed = rial_per_redeemed_point
        self._pin_from_points = pin_from_points
        self._limits = limits
        self._key = key

    def decide(
        self, state: State, request: Request, now_ms: int, found: Found = NOTHING_FOUND
    ) -> Entry | Repeat | Refusal | Need:
        """Decide one request on the owner's memory. now_ms: milliseconds since 1970, UTC.

        A Need is what the HSM has to say first: decide again with its answer in `found`. Raises NotLoaded,
        naming what the memory lacks: fill it in and ask again; nothing has changed meanwhile.
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

    def _decide(self, state: State, request: Request, now_ms: int, found: Found) -> Entry:
        member = state.member_of(request.identifier)
        bucket = request.bucket_without_member if member is None else member >> 40
        if state.is_reversed(request.identity):
            outcome = _Outcome(DUPLICATE, {})  # its reversal came first
        elif request.operation == "reversal":
            outcome = self._reverse(state, request, member)
        elif request.operation == "activate":
            outcome = self._activate(state, request, member, bucket, now_ms, found)
        elif member is None:
            outcome = _Outcome(UNKNOWN_CARD, {})
        elif state.member(member).status is not MemberStatus.ACTIVE:
            outcome = _Outcome(CARD_NOT_ACTIVE, {})
        elif request.operation == "earn":
            outcome = self._earn(state, request, member)
        elif request.operation == "redeem":
            outcome = self._redeem(state, request, member, now_ms, found)
        elif request.operation == "pin_change":
            outcome = self._change_pin(state, request, member, now_ms, found)
        elif request.operation == "code":
            outcome = self._send_code(state, request, member, now_ms, found)
        elif request.operation == "balance":
            outcome = _Outcome(APPROVED, self._balances(state.balance(self._account(member))))
        else:
            outcome = _Outcome(INVALID_TRANSACTION, {})
        return self._entry(state, request, member, bucket, outcome, now_ms)

    # ------------------------------------------------------------ operations

    def _activate(
        self, state: State, request: Request, member: int | None, bucket: int, now_ms: int, found: Found
    ) -> _Outcome:
        if not request.card_valid:
            return _Outcome(UNKNOWN_CARD, {})
        if member is not None and state.member(member).status is MemberStatus.ACTIVE:
            return _Outcome(ALREADY_ACTIVE, {})
        change: MemberAdded | MemberStatusSet
        if member is None:
            balance = 0
            change = MemberAdded(state.next_member_id(bucket), request.identifier, request.masked_card)
        else:
            balance = state.balance(self._account(member))
            change = MemberStatusSet(member, MemberStatus.ACTIVE)
        mobile = self._first_mobile(state, request, change.member)
        if mobile is None:
            return _Outcome(INVALID_TRANSACTION, {"04": REASON_MOBILE_TAKEN})
        pin = self._first_pin(state, request, member, change.member, now_ms, found)
        if pin.refusal:
            return _Outcome(pin.refusal, {}, sides=pin.sides)
        return _Outcome(APPROVED, self._balances(balance), sides=(change, *mobile, *pin.sides))

    def _first_mobile(self, state: State, request: Request, member: int) -> tuple[Side, ...] | None:
        """The side that gives a member the mobile number it comes with; None when that can't be its."""
        mobile = request.mobile
        if mobile is None:
            return ()
        owner = state.member_of(mobile.identifier)
        if owner == member:
            return ()
        if owner is not None or state.mobile(member) is not None:
            return None
        return (MobileSet(member, *mobile),)

    def _first_pin(
        self, state: State, request: Request, known: int | None, member: int, now_ms: int, found: Found
    ) -> Proof:
        """The PIN that an activation brings: the member's first one, or the one it has already."""
        if not request.has_pin:
            return Proof("")
        if known is not None and state.credential(known).verifier:
            return self._prove(state, request, known, now_ms, found)
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
        changed = PinSet(member, verifier, state.credential(member).verifier)
        return _Outcome(APPROVED, {}, sides=(*proof.sides, changed))

    def _send_code(self, state: State, request: Request, member: int, now_ms: int, found: Found) -> _Outcome:
        if state.mobile(member) is None:
            return _Outcome(INVALID_TRANSACTION, {"04": REASON_NO_MOBILE})
        credential = state.credential(member)
        if is_code_locked(credential, now_ms, self._limits):
            return _Outcome(LOCKED, {})
        counts = counted_code(state, member, request.terminal, now_ms, self._limits)
        if isinstance(counts, TooMany):
            return _Outcome(TOO_MANY, {"04": counts.reason, "05": f"{counts.wait_minutes:012d}"})
        code = answer_to(NewCode(member), found)
        assert isinstance(code, str)
        sent = sent_code(credential, member, code, now_ms, self._limits, self._key)
        return _Outcome(APPROVED, {}, sides=(sent, *counts))

    def _earn(self, state: State, request: Request, member: int) -> _Outcome:
        if request.amount == 0 or request.currency != self._currency:
            return _Outcome(INVALID_AMOUNT, {})
        points = request.amount // self._earned
        tags = {"04": REASON_EARNED, "05": f"{self._earned:012d}"}
        return self._move(state, request, member, points, AccountKind.ISSUED, TransferKind.EARN, tags)

    def _redeem(self, state: State, request: Request, member: int, now_ms: int, found: Found) -> _Outcome:
        points = request.points
        if points == 0 or request.currency != self._currency or request.amount != points * self._redeemed:
            return _Outcome(INVALID_AMOUNT, {})
        card = see_card(state, request, member, found, self._limits)
        if card.refusal:  # a PIN beside it isn't looked at: one guess at a time
            return _Outcome(card.refusal, {}, sides=card.sides)
        # A typed number proves nothing; before the proof nobody hears of the balance.
        needed = not card.there or points > self._pin_from_points
        proof = self._prove(state, request, member, now_ms, found, needed=needed)
        if proof.refusal:
            return _Outcome(proof.refusal, {}, sides=proof.sides)
        balance = state.balance(self._account(member))
        if points > balance:
            return _Outcome(NOT_ENOUGH_POINTS, self._balances(balance), sides=proof.sides)
        tags = {"04": REASON_REDEEMED, "05": f"{self._redeemed:012d}"}
        moved = self._move(state, request, member, -points, AccountKind.REDEEMED, TransferKind.REDEEM, tags)
        return replace(moved, sides=proof.sides)

    def _move(
        self,
        state: State,
        request: Request,
        member: int,
        points: int,
        against: AccountKind,
        kind: TransferKind,
        tags: dict[str, str],
    ) -> _Outcome:
        """Move points between the member (plus: to) and the acceptor's sub-account in the member's bucket."""
        account = self._account(member)
        balance = state.balance(account) + points
        if balance > LARGEST_BALANCE:
            return _Outcome(INVALID_AMOUNT, {})
        transfers: tuple[Transfer, ...] = ()
        if points:
            partner = Account(account.bucket, against, request.acceptor, self._program, Unit.POINTS)
            transfers = (Transfer(kind, (Posting(account, points), Posting(partner, -points))),)
        tags = {"01": f"{abs(points):012d}", **self._balances(balance), **tags}
        return _Outcome(APPROVED, tags, transfers)

    def _reverse(self, state: State, request: Request, member: int | None) -> _Outcome:
        if request.original[_CLASS_PLACE] not in REVERSIBLE_CLASSES:
            return _Outcome(INVALID_TRANSACTION, {})
        original = state.entry(request.original)
        if original is not None and not _is_of(request, original, member):
            return _Outcome(INVALID_TRANSACTION, {})  # it names another card or operation than its original
        if state.is_reversed(request.original):
            return _Outcome(APPROVED, self._known_balances(state, member))
        reversed_mark = OriginalReversed(request.original)
        if original is None or original.response_code != APPROVED:
            return _Outcome(APPROVED, self._known_balances(state, member), sides=(reversed_mark,))
        if not self._may_undo(state, request, original):
            return _Outcome(INVALID_TRANSACTION, {})
        transfers = tuple(_undo(transfer, original.id) for transfer in original.transfers)
        sides: list[Side] = [reversed_mark]
        for side in original.sides:
            if isinstance(side, MemberAdded):
                sides.append(MemberStatusSet(side.member, MemberStatus.INACTIVE))
            elif isinstance(side, MemberStatusSet):
                sides.append(MemberStatusSet(side.member, _other(side.status)))
            elif isinstance(side, PinSet):
                if same(state.credential(side.member).verifier, side.verifier):
                    sides.append(PinSet(side.member, side.before, side.verifier))
            elif isinstance(side, MobileSet):
                mobile = state.mobile(side.member)
                if mobile is not None:
                    sides.append(MobileRemoved(side.member, mobile.identifier))
        return _Outcome(APPROVED, self._known_balances(state, member, transfers), transfers, tuple(sides))

    def _may_undo(self, state: State, request: Request, original: Entry) -> bool:
        """Whether taking this back gives nobody a hand on what has become somebody's.

        A PIN change stays: the old PIN may be the stolen one, and its return would forget the wrong tries. An
        activation goes only while the member is as it left him: without points or debt, his PIN not changed.
        """
        if request.original_operation == "pin_change":
            return False
        if request.original_operation != "activate":
            return True
        credential = state.credential(original.member)
        given = next((side.verifier for side in original.sides if isinstance(side, PinSet)), None)
        untouched = given is None or same(credential.verifier, given)
        if any(isinstance(side, MemberAdded) for side in original.sides) and given is None:
            untouched = not credential.verifier
        return untouched and state.balance(self._account(original.member)) == 0

    # ------------------------------------------------------------ answers

    def _entry(
        self, state: State, request: Request, member: int | None, bucket: int, outcome: _Outcome, now_ms: int
    ) -> Entry:
        entry_id = state.next_entry_id(now_ms)
        for side in outcome.sides:
            if isinstance(side, MemberAdded):
                member = side.member
        answer = answer_fields(request.stan, request.local_time, request.terminal, outcome.response_code)
        answer["37"] = rrn_of(bucket, entry_id)
        if outcome.tags:
            answer["48"] = dict(sorted(outcome.tags.items()))
        return Entry(
            id=entry_id,
            bucket=bucket,
            identity=request.identity,
            fingerprint=request.fingerprint,
            terminal=request.terminal,
            acceptor=request.acceptor,
            business_date=request.business_date,
            decided_ms=now_ms,
            member=member or 0,
            response_code=outcome.response_code,
            answer=self._dialect.encode_body(Message(answer_mti(request.mti), answer)),
            transfers=outcome.transfers,
            sides=outcome.sides,
            key_serial=request.key_serial,
            request_mac=request.request_mac,
        )

    def _account(self, member: int) -> Account:
        return Account(member >> 40, AccountKind.MEMBER, str(member), self._program, Unit.POINTS)

    def _balances(self, balance: int) -> dict[str, str]:
        if balance >= 0:
            return {"02": f"{balance:012d}"}
        return {"02": f"{0:012d}", "03": f"{-balance:012d}"}

    def _known_balances(
        self, state: State, member: int | None, transfers: tuple[Transfer, ...] = ()
    ) -> dict[str, str]:
        if member is None:
            return {}
        account = self._account(member)
        moved = sum(
            posting.amount
            for transfer in transfers
            for posting in transfer.postings
            if posting.account == account
        )
        return self._balances(state.balance(account) + moved)


def answer_mti(mti: str) -> str:
    """The MTI that answers `mti`: the function digit rises by one, the repeat digit falls to zero."""
    return f"{mti[:2]}{int(mti[2]) + 1}0"


def answer_fields(
    stan: str, local_time: str, terminal: str, response_code: str
) -> dict[str, str | dict[str, str]]:
    """What every answer echoes, and DE 39."""
    return {"11": stan, "12": local_time, "39": response_code, "41": terminal}


def _is_of(request: Request, original: Entry, member: int | None) -> bool:
    """Whether a reversal's card and operation are those of the entry that it wants to take back."""
    if original.member not in (0, member):
        return False
    for transfer in original.transfers:
        return OPERATIONS[transfer.kind] == request.original_operation
    if any(isinstance(side, MemberAdded | MemberStatusSet) for side in original.sides):
        return request.original_operation == "activate"
    changes_pin = any(isinstance(side, PinSet) for side in original.sides)
    return not changes_pin or request.original_operation == "pin_change"


def _undo(transfer: Transfer, original: int) -> Transfer:
    postings = tuple(Posting(posting.account, -posting.amount) for posting in transfer.postings)
    return Transfer(TransferKind.REVERSAL, postings, reverses=original)


def _other(status: MemberStatus) -> MemberStatus:
    return MemberStatus.INACTIVE if status is MemberStatus.ACTIVE else MemberStatus.ACTIVE
