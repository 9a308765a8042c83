"""Corrections that people decide: points given or taken outside of any sale, as an entry like all others.

Pure. Who may ask and who has to approve is decided before (`switch.settlement.corrections`); each correction
has an identity of its own, so it is booked once however often it is handed in.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from switch.authorizer.identity import IDENTITY_BYTES, TEHRAN_OFFSET_S
from switch.authorizer.movements import adjust
from switch.authorizer.outcome import APPROVED, LARGEST_BALANCE, Terms
from switch.ledger import Corrected, Entry, State, Unit

CORRECTION_CLASS = b"C"
OPERATION = "correction"


class Correction(NamedTuple):
    """A correction that may be booked. number: in the list it is kept in; points: of `unit`, above or below
    zero; reason: a code; asked_ms: milliseconds since 1970, UTC."""

    number: int
    member: int
    points: int
    reason: str
    asked_by: str
    approved_by: str
    asked_ms: int
    unit: Unit = Unit.POINTS

    @property
    def identity(self) -> bytes:
        """19 bytes, see `switch.authorizer.identity`: by when it was asked for, not by when it is booked."""
        asked = datetime.fromtimestamp(self.asked_ms / 1000, UTC) + timedelta(seconds=TEHRAN_OFFSET_S)
        data = f"{self.number}:{self.member}:{self.points}:{self.reason}".encode()
        if self.unit is not Unit.POINTS:
            data += f":{self.unit.name}".encode()
        identity = (
            bytes.fromhex(asked.strftime("%Y%m%d%H%M%S"))
            + CORRECTION_CLASS
            + blake2b(data, digest_size=11).digest()
        )
        assert len(identity) == IDENTITY_BYTES
        return identity


def corrected(
    state: State, correction: Correction, terms: Terms, business_date: str, now_ms: int
) -> Entry | None:
    """The entry of a correction; None when it is booked already, or would make more points than a wallet
    holds. What is due for the member comes first. Raises NotLoaded."""
    if state.entry(correction.identity) is not None:
        return None
    member = state.member(correction.member)
    wallet = member.wallet(terms.name, correction.unit)
    if abs(wallet.balance + wallet.pending + correction.points) > LARGEST_BALANCE:
        return None
    today = date.fromisoformat(business_date).toordinal()
    rules = terms.program.of_unit(correction.unit.name.lower(), today)
    entry_id = state.next_entry_id(now_ms)
    moved = adjust(member, wallet, entry_id, correction.points, rules, correction.reason, business_date)
    side = Corrected(
        member.id, correction.number, correction.reason, correction.asked_by, correction.approved_by
    )
    return Entry(
        id=entry_id,
        bucket=member.id >> 40,
        identity=correction.identity,
        fingerprint=b"",
        operation=OPERATION,
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
        transfers=(moved,),
        sides=(side,),
    )
