"""A decoded message as a request: what it asks for, from whom, about which card.

Built once from a checked message; immutable. The card number itself stays out of it: only its keyed hash
and masked form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from switch.authorizer.identity import (
    NOT_IN_FINGERPRINT,
    bucket_of_identifier,
    card_identifier,
    dated,
    fingerprint_of,
    identity_of,
    within_horizon,
)
from switch.iso8583.masks import luhn_valid, mask_card_number
from switch.iso8583.message import Message

CARD_DIGITS = range(16, 20)  # ISO/IEC 7812: our program issues 16, cards of 17 to 19 digits are let in


class TooOld(ValueError):
    """The transaction's date lies outside the horizon, or is no date: refused before any look-up."""


@dataclass(frozen=True, slots=True)
class Request:
    """One transaction request.

    operation: the message's name in the dictionary (balance, earn, redeem, activate, reversal).
    card_valid: the number passes Luhn and starts with a prefix of the program.
    amount: rial; points: whole points; 0 when absent. original: the identity that a reversal names, else
    empty.
    """

    operation: str
    mti: str
    identity: bytes
    fingerprint: bytes
    terminal: str
    acceptor: str
    stan: str
    local_time: str
    business_date: str
    identifier: bytes
    masked_card: str
    card_valid: bool
    amount: int
    currency: str
    points: int
    original: bytes

    @property
    def bucket_without_member(self) -> int:
        return bucket_of_identifier(self.identifier)


def request_of(
    message: Message, operation: str, now: datetime, horizon_days: int, prefixes: tuple[str, ...], key: bytes
) -> Request:
    """Make a Request of a message that passed its presence check. `now`: local time, Asia/Tehran.

    Raises TooOld for a date outside the horizon, or one that no calendar has.
    """
    business_date = now.date()
    mti, stan, local_time = message.mti, message.text("11"), message.text("12")
    terminal = message.text("41")
    day = _day(message.text("13"), local_time, business_date, horizon_days)
    original = b""
    if operation == "reversal":
        data = message.text("90")  # MTI 4, STAN 6, date 4, time 6, zeros 22
        original_day = _day(data[10:14], data[14:20], business_date, horizon_days)
        original = identity_of(original_day, data[14:20], data[1], terminal, data[4:10])
    card = card_number(message)
    return Request(
        operation=operation,
        mti=mti,
        identity=identity_of(day, local_time, mti[1], terminal, stan),
        fingerprint=fingerprint_of(mti, _transaction_fields(message), key),
        terminal=terminal,
        acceptor=message.text("42"),
        stan=stan,
        local_time=local_time,
        business_date=business_date.isoformat(),
        identifier=card_identifier(card, key),
        masked_card=mask_card_number(card),
        card_valid=len(card) in CARD_DIGITS and card.startswith(prefixes) and luhn_valid(card),
        amount=int(message.text("4")) if "4" in message else 0,
        currency=message.text("49") if "49" in message else "",
        points=int(message.text("48.01")) if "48.01" in message else 0,
        original=original,
    )


def card_number(message: Message) -> str:
    """The card number of DE 2, or of track 2 (DE 35) up to its separator."""
    if "2" in message:
        return message.text("2")
    return message.text("35").partition("=")[0]


def _day(local_date: str, local_time: str, business_date: date, horizon_days: int) -> date:
    try:
        time.fromisoformat(f"{local_time[:2]}:{local_time[2:4]}:{local_time[4:]}")
        day = dated(local_date, business_date)
    except ValueError:
        raise TooOld("no date or time of the calendar") from None
    if not within_horizon(day, business_date, horizon_days):
        raise TooOld("outside the horizon")
    return day


def _transaction_fields(message: Message) -> Iterator[tuple[str, bytes]]:
    for path in message:
        if path not in NOT_IN_FINGERPRINT:
            value = message[path]
            if isinstance(value, str):
                yield path, value.encode("ascii")
            elif isinstance(value, bytes):
                yield path, value
            else:
                yield path, b""  # tagged data without a tag
