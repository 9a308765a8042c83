"""Who a request is: its identity, its fingerprint, its RRN and the bucket it belongs to.

Pure functions over digits. An identity is 19 bytes and sorts by time:
date and time YYYYMMDDhhmmss as BCD (7), MTI class (1, ASCII), terminal DE 41 (8, ASCII), STAN as BCD (3).
Of a partner's transaction the time is DE 7, and its acquirer DE 32 stands in the terminal's place.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b

IDENTITY_BYTES = 19
FINGERPRINT_BYTES = 16
IDENTIFIER_BYTES = 16  # keyed hash of a card or mobile number
CODE_HASH_BYTES = 16
ACQUIRER_DIGITS = 11  # ISO 8583:1987, DE 32: up to so many; shorter ones count as with zeros before them
_ACQUIRER_MARK = bytes(2)  # no terminal's name begins so: its characters are printable
TEHRAN_OFFSET_S = 12_600  # since 2022 without summer time
DUE_CLASS = b"X"  # what expires and begins; letters stand for what no message asks for
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS = tuple(left + right for left in _DIGITS for right in _DIGITS)
_TWO_DIGITS, _FOUR_DIGITS = 36**2, 36**4
_WITHOUT_LAST_DIGIT = tuple(bytes((byte & 0xF0,)) for byte in range(256))  # of two digits as BCD


@lru_cache(maxsize=512)  # a few dates are alive at a time; the local date comes from outside, so bounded
def dated(local_date: str, business_date: date) -> date:
    """The date of DE 13 (MMDD) with the year that brings it nearest to the business date.

    Raises ValueError when no year makes it a date (e.g. 1332).
    """
    month, day = int(local_date[:2]), int(local_date[2:])
    candidates = []
    for year in (business_date.year - 1, business_date.year, business_date.year + 1):
        try:
            candidates.append(date(year, month, day))
        except ValueError:
            continue  # 29 February in a common year
    if not candidates:
        raise ValueError(local_date)
    return min(candidates, key=lambda candidate: abs(candidate - business_date))


def identity_of(day: date, local_time: str, mti_class: str, terminal: str, stan: str) -> bytes:
    """The identity of a transaction. local_time: hhmmss; stan: 6 digits; terminal: 8 ASCII characters."""
    identity = (
        _day_as_bcd(day) + bytes.fromhex(local_time) + _asked_by(mti_class, terminal) + bytes.fromhex(stan)
    )
    assert len(identity) == IDENTITY_BYTES
    return identity


@lru_cache(maxsize=4096)  # some thousand terminals are at work in an hour, each with two or three classes
def _asked_by(mti_class: str, terminal: str) -> bytes:
    return (mti_class + terminal).encode("ascii")


def partner_identity(day: date, sent_time: str, mti_class: str, acquirer: str, stan: str) -> bytes:
    """The identity of a partner's transaction. day, sent_time (hhmmss): of DE 7; acquirer: DE 32, digits."""
    identity = (
        _day_as_bcd(day)
        + bytes.fromhex(sent_time)
        + mti_class.encode("ascii")
        + _ACQUIRER_MARK
        + bytes.fromhex(acquirer.zfill(ACQUIRER_DIGITS + 1))
        + bytes.fromhex(stan)
    )
    assert len(identity) == IDENTITY_BYTES
    return identity


@lru_cache(maxsize=512)
def _day_as_bcd(day: date) -> bytes:
    return bytes.fromhex(f"{day.year:04d}{day.month:02d}{day.day:02d}")


def internal_identity(kind: bytes, business_date: str, now_ms: int, member: int, last_entry: int) -> bytes:
    """The identity of what the ledger does by itself: it follows the member's newest entry once.

    kind: one letter in the place of the MTI class; DE 41 and STAN are taken by a hash.
    """
    seconds = (now_ms // 1000 + TEHRAN_OFFSET_S) % 86_400
    time = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    data = f"{kind.decode()}:{member}:{last_entry}".encode("ascii")
    identity = (
        bytes.fromhex(business_date.replace("-", "") + time) + kind + blake2b(data, digest_size=11).digest()
    )
    assert len(identity) == IDENTITY_BYTES
    return identity


def fingerprint_of(body: bytes, key: bytes) -> bytes:
    """16 bytes over a transaction's message without MAC and without the fields of a single transmission.

    The MTI's last digit (it tells a repeat) is left out. Keyed, because a plain hash of a card number can be
    searched.
    """
    hashed = _keyed(key, FINGERPRINT_BYTES)
    hashed.update(body[:1] + _WITHOUT_LAST_DIGIT[body[1]] + body[2:])
    return hashed.digest()


def card_identifier(card: str, key: bytes) -> bytes:
    """The keyed hash (16 bytes) under which the directory knows a card number."""
    hashed = _keyed(key, IDENTIFIER_BYTES)
    hashed.update(b"card:" + card.encode("ascii"))
    return hashed.digest()


def _keyed(key: bytes, size: int) -> blake2b:
    """A hash to go on with; taking in the key anew each time is half of it."""
    return _begun(key, size).copy()


@lru_cache(maxsize=8)  # of a process's one directory key
def _begun(key: bytes, size: int) -> blake2b:
    return blake2b(digest_size=size, key=key)


def replaced_proof(identifier: bytes, identity: bytes, key: bytes) -> bytes:
    """What an entry (by its identity) keeps of a card that it replaced: enough to know the card again, of no
    use to find it."""
    return blake2b(b"replaced:" + identity + identifier, digest_size=CODE_HASH_BYTES, key=key).digest()


def shown_card(identifier: bytes, kind: str, member: int, key: bytes) -> bytes:
    """The name (8 bytes) under which a member's card that counts its readings is kept: of no use to find the
    card. kind: a plastic may have both, and each counts by itself."""
    data = f"shown:{kind}:{member}:".encode("ascii") + identifier
    return blake2b(data, digest_size=8, key=key).digest()


def code_hash(code: str, member: int, expires_ms: int, key: bytes) -> bytes:
    """The keyed hash (16 bytes) of a member's one-time code: a plain one is found by trying."""
    data = f"code:{member}:{expires_ms}:{code}".encode("ascii")
    return blake2b(data, digest_size=CODE_HASH_BYTES, key=key).digest()


def bucket_of_identifier(identifier: bytes) -> int:
    """The bucket of a card that no member has yet; activation gives the member this bucket."""
    return identifier[0]


def bucket_of_terminal(terminal: str) -> int:
    """The bucket of a message that names no member."""
    return blake2b(terminal.encode("ascii"), digest_size=1).digest()[0]


def rrn_of(bucket: int, entry_id: int) -> str:
    """The retrieval reference number (DE 37, an 12): bucket as 2 hexadecimal digits, entry id as 10
    base-36 digits."""
    first, last = divmod(entry_id, _FOUR_DIGITS)
    left, right = divmod(last, _TWO_DIGITS)
    return f"{bucket:02X}{_first_digits(first)}{_PAIRS[left]}{_PAIRS[right]}"


@lru_cache(maxsize=64)  # the first six digits change every two seconds
def _first_digits(number: int) -> str:
    text = ""
    for _ in range(3):
        number, pair = divmod(number, _TWO_DIGITS)
        text = _PAIRS[pair] + text
    assert number == 0, "an entry id fits ten base-36 digits"
    return text


def parse_rrn(rrn: str) -> tuple[int, int]:
    """Bucket and entry id of an RRN. Raises ValueError."""
    if len(rrn) != 12 or not rrn.isascii() or not rrn.isalnum():
        raise ValueError("an RRN has 12 letters or digits")
    return int(rrn[:2], 16), int(rrn[2:], 36)


def within_horizon(day: date, business_date: date, horizon_days: int) -> bool:
    """Whether a transaction's date is near enough to be looked up. One day ahead allows for clocks and
    midnight."""
    return business_date - timedelta(days=horizon_days) <= day <= business_date + timedelta(days=1)
