"""The scripted visit of the demo: a card is activated, earns, redeems, and an earn loses its line.

Plays it at a terminal whose line goes through a fault proxy, and says step by step what the terminal said and
whether that is what had to come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from simulators.cards import Card
from simulators.cashier import Cashier, Visit
from simulators.faults import FaultProxy, ResetPeer
from simulators.firmware import Terminal, Transaction

PURCHASE_RIAL: Final = 2_500_000
REDEEMED_POINTS: Final = 100
EARN_ANSWER: Final = "0210"

PULLED: Final = "earn_line_pulled"
REVERSAL: Final = "reversal"


class Expected(NamedTuple):
    """What a step must come to. None: the terminal need not say it."""

    approved: bool
    points: str | None
    balance: str | None


# A new card, 1 point per 10 000 rial: the rates of the switch's own defaults.
SCRIPT: Final = (
    ("activate", Expected(True, None, "0")),
    ("earn", Expected(True, "250", "250")),
    ("balance", Expected(True, None, "250")),
    ("redeem", Expected(True, "100", "150")),
    ("balance", Expected(True, None, "150")),
    (PULLED, Expected(False, None, None)),
    (REVERSAL, Expected(True, None, None)),
    ("balance", Expected(True, None, "150")),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it was played. Amounts are digits; what the terminal did not say is empty."""

    name: str
    approved: bool
    response_code: str
    points: str
    balance: str
    rrn: str
    receipts: tuple[str, ...]
    as_expected: bool

    def as_json(self) -> dict[str, str | bool]:
        """The step in the demo's JSON."""
        return {
            "name": self.name,
            "approved": self.approved,
            "response_code": self.response_code,
            "points": self.points,
            "balance": self.balance,
            "rrn": self.rrn,
            "receipt": "".join(self.receipts),
        }


async def play(
    terminal: Terminal, line: FaultProxy, card: Card, before: Callable[[str], None] = lambda name: None
) -> list[Step]:
    """Play the whole visit with a card that no member has yet; `before` hears the name of each step."""
    cashier = Cashier(terminal)
    await cashier.wait_until_idle()
    steps: list[Step] = []
    for name, expected in SCRIPT:
        before(name)
        if name == PULLED:
            await _lose_line(cashier, line, card)
            steps.append(_step(name, expected, None, ()))
        elif name == REVERSAL:
            reversal = await _mend_line(cashier, line)
            steps.append(_step(name, expected, reversal, ()))
        else:
            visit = await _visit(cashier, name, card)
            steps.append(_step(name, expected, visit.of(name), visit.receipts))
    return steps


async def _visit(cashier: Cashier, name: str, card: Card) -> Visit:
    match name:
        case "activate":
            return await cashier.activate(card)
        case "earn":
            return await cashier.earn(card, PURCHASE_RIAL)
        case "redeem":
            return await cashier.redeem(card, REDEEMED_POINTS)
        case _:
            return await cashier.balance(card)


async def _lose_line(cashier: Cashier, line: FaultProxy, card: Card) -> None:
    """An earn whose request passes and whose answer is lost: the line is pulled in between."""
    pull = line.add(ResetPeer(message_types=frozenset({EARN_ANSWER}), times=1))
    await cashier.begin_earn(card, PURCHASE_RIAL)
    await line.toxic_struck(pull)
    await line.pull_line()
    line.remove(pull)
    await cashier.terminal.screen("reversal")


async def _mend_line(cashier: Cashier, line: FaultProxy) -> Transaction:
    """The line is back: the terminal takes the lost earn back before it does anything else."""
    line.mend_line()
    visit = await cashier.wait_until_idle()
    reversal = visit.of("reversal")
    if reversal is None:
        raise TimeoutError(cashier.terminal.explain("the terminal is idle and has not taken the earn back"))
    return reversal


def _step(name: str, expected: Expected, said: Transaction | None, receipts: tuple[str, ...]) -> Step:
    if said is None:
        said = Transaction(name, False, "", "", "", "", "", "", "")
    as_expected = (
        said.approved == expected.approved
        and expected.points in (None, said.points)
        and expected.balance in (None, said.balance)
    )
    return Step(
        name, said.approved, said.response_code, said.points, said.balance, said.rrn, receipts, as_expected
    )
