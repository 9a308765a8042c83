"""Whether it is really the member: what PIN, one-time code and card prove, how tries are counted, what locks.

Pure. Whatever only the HSM can tell is a `Need`, found among the answers the caller brings or else asked for;
a need names the verifier it is about, so an answer never counts for another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from switch.authorizer.identity import code_hash, shown_card
from switch.authorizer.request import Request
from switch.hsm.crypto.ciphers import same
from switch.ledger import (
    CardTried,
    CodesCounted,
    CodeSent,
    CodeSpent,
    CodeTried,
    Credential,
    PinTried,
    Side,
    State,
    of_member,
    of_terminal,
)

WRONG_PIN = "55"
LOCKED = "75"
PROOF_NEEDED = "1A"
WRONG_CARD = "82"  # ISO 8583:1987 as networks use it: the card verification value is wrong
TOO_MANY = "65"  # ISO 8583:1987: exceeds activity count limit
CODE_DIGITS = 6
MINUTE_MS = 60_000

REASON_MEMBERS_CODES = "0303"
REASON_TERMINALS_CODES = "0304"


class PinCheck(NamedTuple):
    """Is the PIN in DE 52 the one of this verifier? Answer: bool, False for a bad block too."""

    member: int
    verifier: bytes

    def __repr__(self) -> str:
        return f"PinCheck(member={self.member})"


class NewPin(NamedTuple):
    """The verifier of the PIN in DE 52 or, with in_tag, in 48.08. Answer: 16 bytes, or None for a bad
    block."""

    member: int
    in_tag: bool


class NewCode(NamedTuple):
    """A random one-time code. Answer: six digits."""

    member: int


class CardCheck(NamedTuple):
    """Is the card verification value of this request's track the right one, or its chip card's cryptogram?
    Answer: bool, or None when the track holds none."""


Need = PinCheck | NewPin | NewCode | CardCheck
Found = Mapping[Need, object]


class Needed(Exception):
    """Raised while deciding: ask the HSM this, then decide again."""

    def __init__(self, need: Need) -> None:
        super().__init__(need)
        self.need = need


class Limits(NamedTuple):
    """How often one may be wrong, and how long a code lives (milliseconds). card_tries: 0 when tracks hold no
    card verification value that could be checked; shown_tries: of chip cards and taps. codes_per_member,
    codes_per_terminal: so many are sent in code_period_ms."""

    pin_tries: int
    code_tries: int
    code_lifetime_ms: int
    card_tries: int
    codes_per_member: int
    codes_per_terminal: int
    code_period_ms: int
    shown_tries: int = 3


class Proof(NamedTuple):
    """refusal: the response code when it failed, or empty; sides: what trying changed."""

    refusal: str
    sides: tuple[Side, ...] = ()


class SeenCard(NamedTuple):
    """there: the card itself was; else it is worth a typed number. refusal, sides: as in a Proof."""

    there: bool
    refusal: str = ""
    sides: tuple[Side, ...] = ()


def see_card(state: State, request: Request, member: int, found: Found, limits: Limits) -> SeenCard:
    """Judge the track that a request brings. Raises as `prove`.

    After too many wrong values no track counts, the right one neither, until the member proves itself: so a
    value can't be found by trying.
    """
    if request.shown is not None:  # genuine, or it would have been refused: see see_shown
        return SeenCard(state.member(member).credential.card_wrong < limits.shown_tries)
    if not request.has_card or not limits.card_tries:
        return SeenCard(request.has_card)
    wrong = state.member(member).credential.card_wrong
    if wrong >= limits.card_tries:
        return SeenCard(False)
    right = answer_to(CardCheck(), found)
    if right:
        return SeenCard(True)
    # No value is no guess.
    return SeenCard(False, WRONG_CARD, () if right is None else (CardTried(member, wrong + 1),))


class SeenShown(NamedTuple):
    """refusal, sides: as in a Proof. card: what the reading is kept under, empty where nothing is kept."""

    refusal: str
    card: bytes = b""
    sides: tuple[Side, ...] = ()


def see_shown(
    state: State, request: Request, member: int | None, found: Found, limits: Limits, key: bytes
) -> SeenShown:
    """Judge the tapped or inserted card of a request: that it is genuine, and this reading a new one, or the
    last one, with which nothing was done yet, at the same terminal. Raises as `prove`.

    member: None when nobody has the card yet. An advice is of a sale that is over: its reading may be an
    older one.
    """
    shown = request.shown
    assert shown is not None
    credential = Credential() if member is None else state.member(member).credential
    genuine = answer_to(CardCheck(), found) if shown.is_genuine is None else shown.is_genuine
    if not genuine:
        return SeenShown(WRONG_CARD, b"", _shown_wrong(credential, member, limits))
    card = shown_card(request.identifier, shown.kind, 0 if member is None else member, key)
    last = next((one for one in credential.shown if one.card == card), None)
    if last is None or shown.counter > last.counter:
        return SeenShown("", card)
    if shown.counter == last.counter and last.terminal == request.terminal:
        return SeenShown("", card)
    if request.mti[2] == "2":
        return SeenShown("")
    return SeenShown(WRONG_CARD, b"", _shown_wrong(credential, member, limits))


def _shown_wrong(credential: Credential, member: int | None, limits: Limits) -> tuple[Side, ...]:
    if member is None or credential.card_wrong >= limits.shown_tries:
        return ()
    return (CardTried(member, credential.card_wrong + 1),)


def prove(
    state: State,
    request: Request,
    member: int,
    now_ms: int,
    found: Found,
    limits: Limits,
    key: bytes,
    *,
    needed: bool,
) -> Proof:
    """Judge what the request brings to prove the member. needed: bringing nothing is refused.

    Raises Needed, and NotLoaded as every look-up does.
    """
    if request.has_pin:
        return _by_pin(member, state.member(member).credential, found, limits)
    if request.code:
        return _by_code(request.code, member, state.member(member).credential, now_ms, limits, key)
    return Proof(PROOF_NEEDED if needed else "")


def can_prove(state: State, member: int) -> bool:
    """Whether the member has a PIN, or a mobile number that a code can be sent to. Raises NotLoaded."""
    return bool(state.member(member).credential.verifier) or state.mobile(member) is not None


def answer_to(need: Need, found: Found) -> object:
    """What the HSM said. Raises Needed."""
    if need not in found:
        raise Needed(need)
    return found[need]


def sent_code(
    credential: Credential, member: int, code: str, now_ms: int, limits: Limits, key: bytes
) -> CodeSent:
    """A new code in place of the one before, whose wrong tries count on while it would have lived."""
    expires_ms = now_ms + limits.code_lifetime_ms
    wrong = credential.code_wrong if _is_live(credential, now_ms) else 0
    return CodeSent(member, code_hash(code, member, expires_ms, key), expires_ms, wrong)


class TooMany(NamedTuple):
    """No further code now. reason: code of the dictionary; wait_minutes: rounded up, at least 1."""

    reason: str
    wait_minutes: int


def counted_code(
    state: State, member: int, terminal: str, now_ms: int, limits: Limits
) -> tuple[CodesCounted, ...] | TooMany:
    """One more code for this member, asked for by this terminal: the counts with it, or why not.

    A period begins with the first code in it. Raises NotLoaded.
    """
    counts = []
    for subject, most, reason in (
        (of_member(member), limits.codes_per_member, REASON_MEMBERS_CODES),
        (of_terminal(terminal), limits.codes_per_terminal, REASON_TERMINALS_CODES),
    ):
        since_ms, sent = state.code_count(subject)
        if not since_ms <= now_ms < since_ms + limits.code_period_ms:
            since_ms, sent = now_ms, 0
        if sent >= most:
            return TooMany(reason, -((now_ms - since_ms - limits.code_period_ms) // MINUTE_MS))
        counts.append(CodesCounted(member, subject, since_ms, sent + 1))
    return tuple(counts)


def is_code_locked(credential: Credential, now_ms: int, limits: Limits) -> bool:
    """Whether no further code may be tried or made until the one that is out expires."""
    return _is_live(credential, now_ms) and credential.code_wrong >= limits.code_tries


def _by_pin(member: int, credential: Credential, found: Found, limits: Limits) -> Proof:
    if not credential.verifier:
        return Proof(PROOF_NEEDED)
    if credential.pin_wrong >= limits.pin_tries:
        return Proof(LOCKED)
    if answer_to(PinCheck(member, credential.verifier), found):
        forgotten = (PinTried(member, 0),) if credential.pin_wrong else ()
        return Proof("", (*forgotten, *_card_again(member, credential)))
    return Proof(WRONG_PIN, (PinTried(member, credential.pin_wrong + 1),))


def _by_code(
    code: str, member: int, credential: Credential, now_ms: int, limits: Limits, key: bytes
) -> Proof:
    if not _is_live(credential, now_ms):
        return Proof(PROOF_NEEDED)
    if is_code_locked(credential, now_ms, limits):
        return Proof(LOCKED)
    if same(code_hash(code, member, credential.code_expires_ms, key), credential.code):
        return Proof("", (CodeSpent(member), *_card_again(member, credential)))
    return Proof(WRONG_PIN, (CodeTried(member, credential.code_wrong + 1),))


def _card_again(member: int, credential: Credential) -> tuple[Side, ...]:
    """A member that proved itself may show its card again."""
    return (CardTried(member, 0),) if credential.card_wrong else ()


def _is_live(credential: Credential, now_ms: int) -> bool:
    return bool(credential.code) and now_ms < credential.code_expires_ms
