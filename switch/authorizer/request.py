"""A decoded message as a request: what it asks for, from whom, about which member.

Built once from a checked message; immutable. Card and mobile numbers stay out of it: only their keyed hashes
and masked forms; of PIN blocks only that they are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec

from switch.authorizer.identity import (
    bucket_of_identifier,
    bucket_of_terminal,
    card_identifier,
    dated,
    fingerprint_of,
    identity_of,
    partner_identity,
    within_horizon,
)
from switch.authorizer.mobile import Mobiles, masked
from switch.iso8583 import Dialect, Message
from switch.iso8583.masks import luhn_valid, mask_card_number
from switch.ledger import Mobile

CARD_DIGITS = range(16, 20)  # ISO/IEC 7812: our program issues 16, cards of 17 to 19 digits are let in


# 7, PIN blocks, the key serial and the MAC belong to one sending; all other fields to the transaction.
OF_A_TRANSMISSION = frozenset({"7", "52", "53", "64", "128"})
NEW_PIN_BLOCK = "08"  # tag of DE 48
TAP_TAG, CHIP_PROOF_TAG = "15", "16"
CHIP_COUNTER_BYTES = 4
# A PIN block beside a tap is made over so many digits, of the first bytes of 48.15 as a number.
_TAP_DIGITS, _TAP_BYTES = 15, 6
NAMES_ORIGINAL = frozenset({"reversal", "batch_upload"})  # by DE 90
NO_TOTALS: Mapping[str, object] = MappingProxyType({})
# What a partner sends is in no terminal's batch, only in the totals of the day: above every DE 60.
OUTSIDE_BATCHES = 10**6
_pack = msgspec.msgpack.Encoder().encode


class TooOld(ValueError):
    """The transaction's date lies outside the horizon, or is no date: refused before any look-up."""


class Tapped(Message):
    """A message whose tap (48.15) was opened. card: the number that the card said, empty when the tap isn't
    genuine; counter: how often it was read."""

    __slots__ = ("card", "counter")

    def __init__(self, message: Message, card: str, counter: int) -> None:
        super().__init__(message.mti, message.fields)
        self.card = card
        self.counter = counter


class ShownCard(NamedTuple):
    """A card that counts its readings. kind: tap or chip; is_genuine: None while only the HSM can say."""

    kind: str
    counter: int
    is_genuine: bool | None


# Not a tuple: made and read in half the time.
class Request(msgspec.Struct, frozen=True, gc=False):
    """One transaction request.

    operation: the message's name in the dictionary (balance, earn, redeem, activate, reversal, pin_change,
    code). key_serial, request_mac: of this sending. has_card: the card was swiped, tapped or inserted; else a
    number was typed.
    original_operation: the operation that a reversal takes back, by the MTI of DE 90 and its DE 3. Both also
    of an uploaded item. totals: the tags of DE 63. tells_points: points were named, be it 0. confirmed: the
    cashier says that it is no double swipe. vouched: a supervisor of the shop says that it is the member.
    shown: the tapped or inserted card.
    card_valid: False when an activation names a number that is not of the program's cards.
    amount: rial; points: whole points; batch: DE 60; 0 when absent. original: the identity that a reversal
    names, else empty. transaction_day: ordinal of DE 13. follows: the reference number (DE 37) of the
    transaction that this one is about; accounts: the account types of DE 3. sale_amount: rial of the whole
    sale, 0 when DE 4 is all of it. other: keyed hash of the other card. receipt, cashier,
    basket: of the till, or empty.
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
    original_operation: str | None = None
    transaction_day: int = 0
    follows: str = ""
    accounts: str = ""
    sale_amount: int = 0
    other: bytes = b""
    masked_other: str = ""
    other_valid: bool = False
    batch: int = 0
    receipt: str = ""
    cashier: str = ""
    key_serial: bytes = b""
    request_mac: bytes = b""
    has_card: bool = True
    has_pin: bool = False
    code: str = ""
    mobile: Mobile | None = None
    tells_points: bool = False
    confirmed: bool = False
    vouched: bool = False
    totals: Mapping[str, object] = NO_TOTALS
    shown: ShownCard | None = None
    basket: str = ""

    def __repr__(self) -> str:
        return f"Request({self.operation} {self.stan} of terminal {self.terminal})"

    def _replace(self, **changes: Any) -> Request:
        """The same with other values, as a named tuple does it."""
        return msgspec.structs.replace(self, **changes)

    @property
    def bucket_without_member(self) -> int:
        return bucket_of_identifier(self.identifier) if self.identifier else bucket_of_terminal(self.terminal)


class Original(NamedTuple):
    """What a partner's reversal is about, as its DE 90 names it: MTI, STAN, DE 7 (MMDDhhmmss), DE 32."""

    mti: str
    stan: str
    sent: str
    acquirer: str


class Origin(NamedTuple):
    """Of a request that a partner sent: its own words, beside the request in ours.

    partner: its name; acquirer: DE 32; mti: theirs; sent: DE 7, MMDDhhmmss; content: all fields it came with.
    """

    partner: str
    acquirer: str
    mti: str
    sent: str
    content: Mapping[str, object]
    original: Original | None = None

    def __repr__(self) -> str:  # the content may hold a card number
        return f"Origin({self.partner}, {self.mti})"


class RequestReader:
    """Makes requests of messages, for one dialect and one program."""

    def __init__(
        self, dialect: Dialect, horizon_days: int, card_prefixes: tuple[str, ...], key: bytes
    ) -> None:
        self._dialect = dialect
        self._horizon_days = horizon_days
        self._card_prefixes = card_prefixes
        self._key = key
        self._mobiles = Mobiles(key)

    def read(
        self,
        message: Message,
        operation: str,
        now: datetime,
        key_serial: bytes = b"",
        request_mac: bytes = b"",
    ) -> Request:
        """The request in a message that passed its presence check, enciphered tags opened.

        now: local time, Asia/Tehran. key_serial, request_mac: of this sending.
        Raises TooOld for a date outside the horizon, or one that no calendar has.
        """
        # The presence check found the mandatory fields, the codec made them text: no need to ask twice.
        texts = cast("Mapping[str, str]", message.fields)
        tags = cast("Mapping[str, str]", message.fields.get("48") or {})
        business_date = now.date()
        business_day = _iso(business_date)
        mti, stan, local_time, terminal = message.mti, texts["11"], texts["12"], texts["41"]
        day = self._day(texts["13"], local_time, business_date)
        original, original_operation = b"", None
        if operation in NAMES_ORIGINAL:
            data = texts["90"]  # MTI 4, STAN 6, date 4, time 6, zeros 22
            original_operation = self._dialect.name_of(Message(data[:4], {"3": texts["3"]}))
            original_day = self._day(data[10:14], data[14:20], business_date)
            original = identity_of(original_day, data[14:20], data[1], terminal, data[4:10])
        number = identifying_digits(message)
        shown_card = _shown(message, tags)
        has_card = "35" in texts or shown_card is not None
        other = tags.get("0B", "")
        if not number:
            identifier, shown, mobile = b"", "", None  # a follow-up names its member by its original
        elif "2" in texts or has_card:
            identifier, shown = card_identifier(number, self._key), mask_card_number(number)
            mobile = self._mobiles.of(tags["07"]) if "07" in tags else None
        else:
            identifier, shown, mobile = self._mobiles.identifier(number), masked(number), None
        # In the order of its fields: so many names cost as much as the rest.
        return Request(
            operation,
            mti,
            identity_of(day, local_time, mti[1], terminal, stan),
            fingerprint_of(self._of_transaction(message), self._key),
            terminal,
            texts["42"],
            stan,
            local_time,
            business_day,
            identifier,
            shown,
            operation != "activate" or self._is_of_program(number),
            int(texts.get("4", "0")),
            texts.get("49", ""),
            int(tags.get("01", "0")),
            original,
            original_operation,
            day.toordinal(),
            texts.get("37", ""),
            texts["3"][2:],
            int(tags.get("0A", "0")),
            card_identifier(other, self._key) if other else b"",
            mask_card_number(other) if other else "",
            bool(other) and self._is_of_program(other),
            int(texts.get("60", "0")),
            texts.get("62", ""),
            tags.get("0F", ""),
            key_serial,
            request_mac,
            has_card,
            "52" in texts,
            tags.get("06", ""),
            mobile,
            "01" in tags,
            tags.get("14") == "01",
            tags.get("17") == "01",
            cast("Mapping[str, object]", message.fields.get("63") or NO_TOTALS),
            shown_card,
            tags.get("1A", ""),
        )

    def read_partners(self, message: Message, operation: str, now: datetime, origin: Origin) -> Request:
        """The request in a partner's message: `message` as our dialect says it, complete. Raises TooOld.

        The partner's words tell it apart: identity and fingerprint are made of them. Its terminals are named
        after it, so that none is taken for one of ours.
        """
        request = self.read(message, operation, now)
        original = origin.original
        return request._replace(
            identity=self._partners(origin.mti, request.stan, origin.sent, origin.acquirer, now),
            fingerprint=fingerprint_of(_transaction(origin.mti, origin.content), self._key),
            terminal=f"{origin.partner}/{request.terminal}",
            batch=OUTSIDE_BATCHES if request.batch else 0,
            original=b"" if original is None else self._partners(*original, now),
        )

    def _partners(self, mti: str, stan: str, sent: str, acquirer: str, now: datetime) -> bytes:
        day = self._day(sent[:4], sent[4:], now.date())
        return partner_identity(day, sent[4:], mti[1], acquirer, stan)

    def _is_of_program(self, card: str) -> bool:
        return len(card) in CARD_DIGITS and card.startswith(self._card_prefixes) and luhn_valid(card)

    def _of_transaction(self, message: Message) -> bytes:
        """MTI and fields without those of the transmission and the MAC, so that two messages have the same
        bytes only when they say the same."""
        kept = dict(message.fields)
        for number in OF_A_TRANSMISSION:
            kept.pop(number, None)
        tags = kept.get("48")
        if type(tags) is dict and NEW_PIN_BLOCK in tags:
            kept["48"] = {tag: value for tag, value in tags.items() if tag != NEW_PIN_BLOCK}
        return bytes.fromhex(message.mti) + _pack(kept)

    def _day(self, local_date: str, local_time: str, business_date: date) -> date:
        if not (local_time[:2] < "24" and local_time[2:4] < "60" and local_time[4:] < "60"):
            raise TooOld("no time of day")
        day = _day_within(local_date, business_date, self._horizon_days)
        if isinstance(day, str):
            raise TooOld(day)
        return day


def _transaction(mti: str, fields: Mapping[str, object]) -> bytes:
    """A partner's message without what belongs to one sending, whatever order its fields are in."""
    kept = [(number, fields[number]) for number in sorted(fields) if number not in OF_A_TRANSMISSION]
    return bytes.fromhex(mti) + _pack(kept)


@lru_cache(maxsize=8)
def _iso(day: date) -> str:
    return day.isoformat()


@lru_cache(maxsize=512)  # a few dates are alive at a time; the local date comes from outside, so bounded
def _day_within(local_date: str, business_date: date, horizon_days: int) -> date | str:
    """The day of DE 13, or what is wrong with it."""
    try:
        day = dated(local_date, business_date)
    except ValueError:
        return "no date of the calendar"
    return day if within_horizon(day, business_date, horizon_days) else "outside the horizon"


def identifying_digits(message: Message) -> str:
    """What names the member: the card number of DE 2, of track 2 (DE 35) or inside an opened tap, or a mobile
    number (48.07). Empty for a message that names none."""
    if isinstance(message, Tapped):
        return message.card
    fields = message.fields
    track = fields.get("35")
    if isinstance(track, str):
        return track.partition("=")[0]
    number = fields.get("2")
    if isinstance(number, str):
        return number
    return message.text("48.07") if "48.07" in message else ""


def pin_digits(message: Message) -> str:
    """What a PIN block of this message is made over: the digits that name the member, as the terminal has
    them; those of a tap, whose card number it hasn't."""
    tap = _tags_of(message).get(TAP_TAG)
    if isinstance(tap, bytes):
        return f"{int.from_bytes(tap[:_TAP_BYTES]):0{_TAP_DIGITS}d}"
    return identifying_digits(message)


def _tags_of(message: Message) -> Mapping[str, object]:
    tags = message.fields.get("48")
    return tags if isinstance(tags, Mapping) else NO_TOTALS


def _shown(message: Message, tags: Mapping[str, object]) -> ShownCard | None:
    """The tapped or inserted card; a tap that nobody opened counts as false."""
    if TAP_TAG in tags:
        if isinstance(message, Tapped):
            return ShownCard("tap", message.counter, bool(message.card))
        return ShownCard("tap", 0, is_genuine=False)
    proof = tags.get(CHIP_PROOF_TAG)
    if isinstance(proof, bytes) and "2" in message.fields:
        return ShownCard("chip", int.from_bytes(proof[:CHIP_COUNTER_BYTES]), None)
    return None
