"""The authorizer on the ledger's memory alone, against a twenty-line model: no engine, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch import iso8583
from switch.authorizer import (
    Authorizer,
    Due,
    Limits,
    Need,
    NewCode,
    NewPin,
    PinCheck,
    Refusal,
    Repeat,
    Request,
    Terms,
)
from switch.authorizer.identity import card_identifier
from switch.authorizer.mobile import Mobiles
from switch.ledger import (
    Basket,
    CodeCount,
    CodeCountLoad,
    CodesCounted,
    CodeSent,
    CounterLoad,
    Entry,
    FollowedLoad,
    MemberLoad,
    NotLoaded,
    PinSet,
    PinTried,
    Start,
    State,
    Unit,
)
from switch.ledger.counting import NOTHING
from switch.ledger.engine import FollowUp
from switch.loyalty.program import Program, Rules

EARNED, REDEEMED = 10_000, 100
NOW_MS = 1_790_000_000_000
PIN_FROM = 10**12
PROGRAM = Program((Rules(rial_per_earned_point=EARNED, rial_per_redeemed_point=REDEEMED),))
TERMS = Terms("vafa", "364", PROGRAM, hold_ms=3_600_000, replaced_ms=86_400_000)
LIMITS = Limits(
    pin_tries=3,
    code_tries=3,
    code_lifetime_ms=120_000,
    card_tries=0,
    codes_per_member=5,
    codes_per_terminal=60,
    code_period_ms=3_600_000,
)
DIALECT = iso8583.load("vafa")


def new_state() -> State:
    return State(Start(0, b"", b"", "", {}))


def decide(
    state: State, request: Request, found: Mapping[Need, object] | None = None, now_ms: int = NOW_MS
) -> Entry | Repeat | Refusal | Need:
    """Decide and apply; an empty ledger answers every look-up with nothing."""
    authorizer = Authorizer(DIALECT, TERMS, PIN_FROM, LIMITS, b"k")
    while True:
        try:
            outcome = authorizer.decide(state, request, now_ms, found or {})
            if isinstance(outcome, Due):
                state.apply(outcome.entry)
                continue
            if isinstance(outcome, Entry):
                state.apply(outcome)
            return outcome
        except NotLoaded as missing:
            if isinstance(missing.load, MemberLoad):
                raise  # the members of an empty ledger are all in memory
            nothing = {FollowedLoad: FollowUp(), CounterLoad: NOTHING, CodeCountLoad: CodeCount()}
            state.fill(missing.load, nothing.get(type(missing.load)))


def request(
    operation: str,
    number: int,
    card: str,
    *,
    amount: int = 0,
    points: int = 0,
    original: bytes = b"",
    original_operation: str | None = None,
) -> Request:
    mti = {"reversal": "0420", "activate": "0300", "balance": "0100"}.get(operation, "0200")
    return Request(
        operation=operation,
        mti=mti,
        identity=b"\x20\x26\x03\x10\x10\x11\x12" + mti[1].encode() + b"10000001" + number.to_bytes(3, "big"),
        fingerprint=f"{operation}{card}{amount}{points}".encode().ljust(16)[:16] + original,
        terminal="10000001",
        acceptor="100000000000001",
        stan=f"{number:06d}",
        local_time="101112",
        business_date="2026-03-10",
        identifier=card_identifier(card, b"k"),
        masked_card="936400******0001",
        card_valid=True,
        amount=amount,
        currency="364",
        points=points,
        original=original,
        original_operation=original_operation,
        batch=1,
    )


@dataclass
class Model:
    """What the balance must be: nothing but sums."""

    balance: int = 0
    active: bool = False
    activated: bool = False


@st.composite
def visits(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Steps on one card: (operation, points or the number of an earlier step)."""
    steps: list[tuple[str, int]] = [("activate", 0)] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["earn", "redeem", "reverse", "reverse", "repeat", "early", "activate"]))
        steps.append((kind, draw(st.integers(0, 12))))
    return steps


@given(visits())
def test_any_visit_ends_with_the_balance_of_the_model(steps: list[tuple[str, int]]) -> None:
    state, model = new_state(), Model()
    card = "9364000000000001"
    sent: list[tuple[Request, int]] = []  # financial requests and what they are worth while they stand
    outcomes: list[Entry] = []
    reversed_: set[bytes] = set()
    number = 0
    for kind, value in steps:
        number += 1
        if kind in ("reverse", "repeat") and not sent:
            continue
        if kind == "reverse":
            place = value % len(sent)
            original, worth = sent[place]
            entry = decide(
                state,
                request(
                    "reversal",
                    number,
                    card,
                    original=original.identity,
                    original_operation=original.operation,
                ),
            )
            assert isinstance(entry, Entry)
            assert entry.response_code == "00"
            if original.identity not in reversed_:
                reversed_.add(original.identity)
                model.balance -= worth
        elif kind == "repeat":
            place = value % len(sent)
            outcome = decide(state, sent[place][0])
            assert isinstance(outcome, Repeat)
            assert outcome.entry is outcomes[place]
            changed = sent[place][0]._replace(fingerprint=b"another")
            assert decide(state, changed) == Refusal("94")
        elif kind == "early":
            late = request("earn", number, card, amount=value * EARNED)
            entry = decide(
                state, request("reversal", number, card, original=late.identity, original_operation="earn")
            )
            assert isinstance(entry, Entry)
            assert entry.response_code == "00"
            entry = decide(state, late)
            assert isinstance(entry, Entry)
            assert entry.response_code == "94"
            assert not entry.transfers
        elif kind == "activate":
            entry = decide(state, request("activate", number, card))
            assert isinstance(entry, Entry)
            assert entry.response_code == ("21" if model.active else "00")
            model.active = True
        else:
            amount = value * (EARNED if kind == "earn" else REDEEMED)
            asked = request(kind, number, card, amount=amount, points=value if kind == "redeem" else 0)
            entry = decide(state, asked)
            assert isinstance(entry, Entry)
            worth = value if kind == "earn" else -value
            if not model.active:
                expected = "14"
            elif value == 0:
                expected = "13"
            elif kind == "redeem" and value > model.balance:
                expected = "51"
            else:
                expected = "00"
            assert entry.response_code == expected
            worth = worth if expected == "00" else 0
            model.balance += worth
            sent.append((asked, worth))
            outcomes.append(entry)
    member = state.member_of(card_identifier(card, b"k")) if model.active else None
    if member is not None:
        assert state.member(member).wallet("vafa", Unit.POINTS).balance == model.balance


def test_a_balance_too_large_to_say_is_refused() -> None:
    state, card = new_state(), "9364000000000001"
    decide(state, request("activate", 1, card))
    program = Program((Rules(rial_per_earned_point=1, rial_per_redeemed_point=1),))
    largest = Authorizer(DIALECT, replace(TERMS, program=program), PIN_FROM, LIMITS, b"k")
    for number, expected in ((2, "00"), (3, "13")):
        asked = request("earn", number, card, amount=10**12 - 1)
        outcome = largest.decide(state, asked, NOW_MS)
        assert isinstance(outcome, Entry)
        state.apply(outcome)
        assert outcome.response_code == expected


@pytest.mark.parametrize("operation", ["settle", "gift"])
def test_an_operation_nobody_knows_is_declined(operation: str) -> None:
    state, card = new_state(), "9364000000000001"
    decide(state, request("activate", 1, card))
    outcome = decide(state, request(operation, 2, card))
    assert isinstance(outcome, Entry)
    assert outcome.response_code == "12"


# ---------------------------------------------------------------- what only the HSM can tell

V1, V2 = b"v" * 16, b"w" * 16


def with_pin(operation: str, number: int, card: str, **more: int) -> Request:
    return request(operation, number, card, **more)._replace(has_pin=True)  # type: ignore[arg-type]


def member_with_pin(state: State, card: str) -> int:
    need = decide(state, with_pin("activate", 1, card))
    assert isinstance(need, NewPin)
    entry = decide(state, with_pin("activate", 1, card), {need: V1})
    assert isinstance(entry, Entry)
    assert PinSet(entry.member, V1) in entry.sides
    return entry.member


def test_a_need_changes_nothing_and_names_the_verifier() -> None:
    state, card = new_state(), "9364000000000001"
    member = member_with_pin(state, card)
    guess = with_pin("redeem", 2, card, amount=0, points=1)
    guess = guess._replace(amount=REDEEMED)
    need = decide(state, guess)
    assert need == PinCheck(member, V1)
    assert decide(state, guess) == need
    wrong = decide(state, guess, {PinCheck(member, V1): False})
    assert isinstance(wrong, Entry)
    assert (wrong.response_code, wrong.sides) == ("55", (PinTried(member, 1),))


def test_what_was_sold_is_kept_with_the_points_it_moved() -> None:
    state, card, basket = new_state(), "9364000000000001", "bread=120000;milk=380000"
    decide(state, request("activate", 1, card))
    told = [
        request("earn", 2, card)._replace(amount=100 * EARNED, basket=basket),
        request("redeem", 3, card, points=10)._replace(amount=10 * REDEEMED, basket=basket),
        request("redeem", 4, card, points=10)._replace(
            amount=10 * REDEEMED, sale_amount=50 * EARNED, basket=basket
        ),
        request("earn", 5, card)._replace(amount=100 * EARNED),
        request("redeem", 6, card, points=10**9)._replace(amount=10**9 * REDEEMED, basket=basket),
    ]
    baskets = []
    for one in told:
        entry = decide(state, one)
        assert isinstance(entry, Entry)
        baskets.append([side.items for side in entry.sides if isinstance(side, Basket)])
    assert baskets == [[basket], [basket], [basket], [], []]  # nothing is kept of what was refused


def test_an_answer_about_another_verifier_counts_for_nothing() -> None:
    state, card = new_state(), "9364000000000001"
    member = member_with_pin(state, card)
    change = with_pin("pin_change", 2, card)
    assert decide(state, change) == PinCheck(member, V1)
    need = decide(state, change, {PinCheck(member, V1): True})
    assert need == NewPin(member, in_tag=True)
    changed = decide(state, change, {PinCheck(member, V1): True, need: V2})
    assert isinstance(changed, Entry)
    assert changed.sides == (PinSet(member, V2, V1),)
    late = with_pin("redeem", 3, card, points=1)._replace(amount=REDEEMED)
    assert decide(state, late, {PinCheck(member, V1): True}) == PinCheck(member, V2)


def test_a_locked_pin_asks_the_hsm_nothing() -> None:
    state, card = new_state(), "9364000000000001"
    member = member_with_pin(state, card)
    for number in range(2, 5):
        guess = with_pin("redeem", number, card, points=1)._replace(amount=REDEEMED)
        decide(state, guess, {PinCheck(member, V1): False})
    locked = decide(state, with_pin("redeem", 9, card, points=1)._replace(amount=REDEEMED))
    assert isinstance(locked, Entry)
    assert (locked.response_code, locked.sides) == ("75", ())


def test_a_code_is_asked_for_and_kept_as_a_hash() -> None:
    state, card = new_state(), "9364000000000001"
    mobile = Mobiles(b"k").of("989121234567")
    activated = decide(state, request("activate", 1, card)._replace(mobile=mobile))
    assert isinstance(activated, Entry)
    member = activated.member
    assert decide(state, request("code", 2, card)) == NewCode(member)
    sent = decide(state, request("code", 2, card), {NewCode(member): "123456"})
    assert isinstance(sent, Entry)
    side, *counts = sent.sides
    assert [type(one) for one in counts] == [CodesCounted] * 2
    assert isinstance(side, CodeSent)
    assert (side.expires_ms, side.wrong) == (NOW_MS + 120_000, 0)
    assert b"123456" not in side.hashed
    good = request("redeem", 3, card, points=1)._replace(amount=REDEEMED, code="123456", has_card=False)
    late = decide(state, good, now_ms=NOW_MS + 120_000)
    assert isinstance(late, Entry)
    assert late.response_code == "1A"
