"""The second half of a transfer between members: what one sent away, the other takes in.

Pure. A transaction never leaves its bucket, so a transfer is two entries that meet in the in-transit accounts
of their buckets; those sum to zero. The second entry has an identity made of the first: it is decided once,
in the first one's batch or, where another owner has the receiver, as soon as that one hears of the first.
"""

from __future__ import annotations

from datetime import date

from switch.authorizer.identity import internal_identity
from switch.authorizer.movements import take_in, undo
from switch.authorizer.outcome import APPROVED
from switch.ledger import Entry, SentTo, Side, State, Transfer, TransferKind
from switch.loyalty.program import Rules

TRANSFER_CLASS, TAKEN_BACK_CLASS = b"T", b"U"
TAKE_IN = "take_in"


def second_half(state: State, entry: Entry, rules: Rules, now_ms: int) -> Entry | None:
    """The entry that has to follow this one in the same batch; None when none has to. rules: of today.

    Raises NotLoaded.
    """
    if entry.response_code != APPROVED or not entry.transfers:
        return None
    if entry.operation == "transfer":
        return _taken_in(state, entry, now_ms)
    if entry.operation == "transfer.reversal":
        return _taken_back(state, entry, rules, now_ms)
    return None


def receiver_of(state: State, entry: Entry) -> int:
    """The member that the second half of this entry is of; 0 when nothing has to follow. Raises NotLoaded."""
    if entry.response_code != APPROVED or not entry.transfers:
        return 0
    if entry.operation == "transfer":
        return _receiver(entry)
    return _receiver(_sent(state, entry)) if entry.operation == "transfer.reversal" else 0


def _taken_in(state: State, sent: Entry, now_ms: int) -> Entry | None:
    to = _receiver(sent)
    if state.entry(_identity_of_second(sent, to)) is not None:
        return None
    member = state.member(to)
    [away] = (transfer for transfer in sent.transfers if transfer.kind is TransferKind.TRANSFER_OUT)
    wallet = member.wallet(away.program, away.unit)
    entry_id = state.next_entry_id(now_ms)
    active_day = state.member(sent.member).active_day
    taken = take_in(member, wallet, entry_id, away, sent.id, active_day)
    return _entry(state, sent, to, _identity_of_second(sent, to), TAKE_IN, (taken,), now_ms)


def _taken_back(state: State, reversal: Entry, rules: Rules, now_ms: int) -> Entry | None:
    """The receiver's half of a reversed transfer: what is left of its lots, then others, then debt."""
    sent = _sent(state, reversal)
    to = _receiver(sent)
    taken = state.entry(_identity_of_second(sent, to))
    if taken is None:
        return _taken_in(state, sent, now_ms)  # the reversal was quicker; asked again, it comes next
    identity = _identity_of_taken_back(reversal, to)
    if state.entry(identity) is not None:
        return None
    member = state.member(to)
    [transfer] = taken.transfers
    wallet = member.wallet(transfer.program, transfer.unit)
    today = date.fromisoformat(reversal.business_date).toordinal()
    undone = undo(member, wallet, taken, transfer, today, rules.reopen_days, rules)
    return _entry(state, reversal, to, identity, f"{TAKE_IN}.reversal", (undone,), now_ms)


def _sent(state: State, reversal: Entry) -> Entry:
    sent = state.entry_of_id(reversal.transfers[0].reverses, reversal.bucket)
    assert sent is not None, "what is reversed is there"
    return sent


def _receiver(sent: Entry) -> int:
    [to] = (side.to for side in sent.sides if isinstance(side, SentTo))
    return to


def place_of_second(entry: Entry, sent: Entry) -> tuple[int, bytes]:
    """The member that the second half of this entry is of, and that half's identity. sent: the transfer,
    `entry` itself or what it takes back."""
    to = _receiver(sent)
    return to, _identity_of_second(sent, to) if entry is sent else _identity_of_taken_back(entry, to)


def _identity_of_second(sent: Entry, to: int) -> bytes:
    return internal_identity(TRANSFER_CLASS, sent.business_date, sent.decided_ms, to, sent.id)


def _identity_of_taken_back(reversal: Entry, to: int) -> bytes:
    return internal_identity(TAKEN_BACK_CLASS, reversal.business_date, reversal.decided_ms, to, reversal.id)


def _entry(
    state: State,
    first: Entry,
    member: int,
    identity: bytes,
    operation: str,
    transfers: tuple[Transfer, ...],
    now_ms: int,
    sides: tuple[Side, ...] = (),
) -> Entry:
    return Entry(
        id=state.next_entry_id(now_ms),
        bucket=member >> 40,
        identity=identity,
        fingerprint=b"",
        operation=operation,
        terminal=first.terminal,
        acceptor=first.acceptor,
        business_date=max(first.business_date, state.business_date),
        decided_ms=now_ms,
        member=member,
        previous=state.member(member).last_entry,
        response_code=APPROVED,
        amount=0,
        batch=0,
        answer=b"",
        transfers=transfers,
        sides=sides,
    )
