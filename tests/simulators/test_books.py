"""The audit itself: it must see every way in which paper and ledger can disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulators.campaigns.books import Books, Outcome, Row, Undone, differences
from switch.authorizer.identity import rrn_of
from switch.ledger.model import TransferKind

MEMBER = 7
BUCKET = 3
TERMINAL = "10000001"


def row(entry: int, stan: str, points: int, balance: int, **changes: object) -> Row:
    """An approved earn (or, with negative points, redemption) of the member."""
    values: dict[str, object] = {
        "id": entry,
        "bucket": BUCKET,
        "terminal": TERMINAL,
        "mti_class": "2",
        "stan": stan,
        "member": MEMBER,
        "response_code": "00",
        "is_reversed": False,
        "points": points,
        "balance": balance,
        "kinds": [TransferKind.EARN] if points else [],
        "reverses": [0] if points else [],
    }
    return Row(**{**values, **changes})


def receipt(
    entry: int, stan: str, points: int, balance: int, flow: str = "earn", terminal: str = TERMINAL
) -> Outcome:
    return Outcome(terminal, flow, stan, rrn_of(BUCKET, entry), points, balance)


def books(*rows: Row, balance: int) -> Books:
    return Books({row.id: row for row in rows}, {MEMBER: balance})


EARN = row(100, "000001", 250, 250)
REDEEM = row(101, "000003", -100, 150)
LOST = row(102, "000005", 80, 230, is_reversed=True)
REVERSAL = row(103, "000006", -80, 150, mti_class="4", kinds=[TransferKind.REVERSAL], reverses=[102])
DECLINED = row(104, "000007", 0, 150, response_code="51")

PAPER = [receipt(100, "000001", 250, 250), receipt(101, "000003", 100, 150, "redeem")]
UNDONE = [Undone(TERMINAL, "000005"), Undone(TERMINAL, "000007")]
ALL = (EARN, REDEEM, LOST, REVERSAL, DECLINED)


def test_the_same_story_has_no_differences() -> None:
    assert differences(books(*ALL, balance=150), PAPER, UNDONE) == []


def test_a_receipt_printed_twice_counts_once() -> None:
    assert differences(books(*ALL, balance=150), [*PAPER, PAPER[0]], UNDONE) == []


def test_a_request_that_never_arrived_leaves_nothing_to_undo() -> None:
    assert differences(books(EARN, REDEEM, balance=150), PAPER, [Undone(TERMINAL, "000099")]) == []


@pytest.mark.parametrize(
    ("ledger", "paper", "undone", "expected"),
    [
        pytest.param(
            books(REDEEM, balance=-100),
            PAPER,
            [],
            "is not in the ledger",
            id="an approved transaction is lost",
        ),
        pytest.param(
            books(*ALL, row(105, "000008", 250, 400), balance=400),
            PAPER,
            UNDONE,
            "no terminal has its receipt",
            id="a transaction is booked twice",
        ),
        pytest.param(
            books(EARN, REDEEM, row(102, "000005", 80, 230), balance=230),
            PAPER,
            UNDONE,
            "was undone by its terminal and stands",
            id="a reversal had no effect",
        ),
        pytest.param(
            books(*ALL[:3], balance=230),
            PAPER,
            UNDONE,
            "keeps 80 points",
            id="a reversal moved no points back",
        ),
        pytest.param(
            books(row(100, "000001", 250, 250, is_reversed=True), REDEEM, balance=150),
            PAPER,
            [],
            "is reversed in the ledger",
            id="an approved transaction was reversed",
        ),
        pytest.param(
            books(row(100, "000001", 250, 250, response_code="51"), REDEEM, balance=150),
            PAPER,
            [],
            "was answered 51",
            id="an approved receipt of a declined entry",
        ),
        pytest.param(
            books(EARN, row(101, "000003", -101, 149), balance=149),
            PAPER,
            [],
            "says 100 points, the ledger -101",
            id="other points",
        ),
        pytest.param(
            books(EARN, row(101, "000003", -100, 151), balance=150),
            PAPER,
            [],
            "says balance 150, the ledger 151",
            id="another balance on the receipt",
        ),
        pytest.param(
            books(EARN, REDEEM, balance=151),
            PAPER,
            [],
            "has 151 points, its receipts make 150",
            id="a wrong account",
        ),
        pytest.param(
            books(EARN, REDEEM, row(104, "000007", 5, 155, response_code="51"), balance=150),
            PAPER,
            [],
            "was declined (51) and moved 5 points",
            id="a declined entry moved points",
        ),
        pytest.param(
            books(EARN, REDEEM, balance=150),
            [receipt(100, "000001", 250, 250, terminal="10000002"), PAPER[1]],
            [],
            "is entry 100",
            id="another terminal's entry",
        ),
        pytest.param(
            books(EARN, REDEEM, balance=150),
            [receipt(100, "000002", 250, 250), PAPER[1]],
            [],
            "is entry 100",
            id="another STAN",
        ),
    ],
)
def test_every_disagreement_is_told(
    ledger: Books, paper: list[Outcome], undone: list[Undone], expected: str
) -> None:
    assert any(expected in text for text in differences(ledger, paper, undone))


def test_a_debt_is_printed_as_balance_zero() -> None:
    spent = row(101, "000003", -300, -50)
    assert differences(books(EARN, spent, balance=-50), [PAPER[0], receipt(101, "000003", 300, 0)], []) == []


HOLD = row(105, "000009", -48, 102, mti_class="1", kinds=[TransferKind.HOLD])
CAPTURE = row(
    106,
    "000010",
    18,
    120,
    hold=105,
    is_reversed=True,
    kinds=[TransferKind.CAPTURE, TransferKind.RELEASE],
    reverses=[105, 105],
)
CAPTURE_REVERSED = row(107, "000011", 30, 150, mti_class="4", kinds=[TransferKind.REVERSAL], reverses=[106])
HOLD_REVERSED = row(108, "000012", 0, 150, mti_class="4")
TAKEN_BACK = [Undone(TERMINAL, "000010")]


def test_a_reversed_capture_gives_back_what_was_held() -> None:
    held = Outcome(TERMINAL, "hold", "000009", rrn_of(BUCKET, 105), None, 102)
    ledger = books(EARN, REDEEM, HOLD, CAPTURE, CAPTURE_REVERSED, balance=150)
    assert differences(ledger, [*PAPER, held], TAKEN_BACK) == []


def test_a_hold_that_is_reversed_after_its_capture_was_gives_nothing_more() -> None:
    hold = replace(HOLD, is_reversed=True)
    undone = [*TAKEN_BACK, Undone(TERMINAL, "000009")]
    ledger = books(EARN, REDEEM, hold, CAPTURE, CAPTURE_REVERSED, HOLD_REVERSED, balance=150)
    assert differences(ledger, PAPER, undone) == []
    twice = replace(HOLD_REVERSED, points=48, balance=198)
    ledger = books(EARN, REDEEM, hold, CAPTURE, CAPTURE_REVERSED, twice, balance=198)
    assert differences(ledger, PAPER, undone) == [f"member {MEMBER} has 198 points, its receipts make 150"]
