"""What terminals and merchants did on a business day, what a merchant is owed: sums that the ledger keeps.

Reads a snapshot (`switch.ledger.reading`), changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from switch.ledger import AccountKind, Count, Scope, Unit
from switch.ledger.reading import Reading, text_of

Totals = dict[str, dict[str, Count]]
"""By terminal or merchant, then by operation. Reversals stand for themselves: `earn.reversal`. A part of
`earn` is `earn.late`."""


class Standing(NamedTuple):
    """Rial between a merchant and the program, to date. owes: for points it gave; is_owed: for points it
    took."""

    owes: int
    is_owed: int

    @property
    def net(self) -> int:
        """To be paid to the merchant; below zero it has to pay."""
        return self.is_owed - self.owes


def day_totals(reading: Reading, scope: Scope, day: str, holder: str = "") -> Totals:
    """Totals of a business day (YYYY-MM-DD), of all terminals or merchants or of one. Raises Damaged."""
    found: Totals = {}
    for row in reading.table("counter"):
        of_scope, period, name, operation = row[0], text_of(row[1]), text_of(row[2]), text_of(row[3])
        if (of_scope, period) != (scope, day) or holder not in ("", name):
            continue
        of_holder = found.setdefault(name, {})
        count = Count(*row[5:8])
        before = of_holder.get(operation)
        of_holder[operation] = count if before is None else before + count
    return found


def standings(reading: Reading) -> dict[str, Standing]:
    """What each merchant owes and is owed. Raises Damaged."""
    owes: dict[str, int] = {}
    is_owed: dict[str, int] = {}
    for kind, holder, _program, unit, _bucket, balance in reading.table("account"):
        if unit != Unit.RIAL or kind not in (AccountKind.RECEIVABLE, AccountKind.PAYABLE):
            continue
        balances, sign = (owes, -1) if kind == AccountKind.RECEIVABLE else (is_owed, 1)
        name = text_of(holder)
        balances[name] = balances.get(name, 0) + sign * balance
    return {name: Standing(owes.get(name, 0), is_owed.get(name, 0)) for name in sorted({*owes, *is_owed})}


def newest_day(reading: Reading) -> str:
    """The business date of the newest entry; empty in an empty ledger. Raises Damaged."""
    row = reading.entry(reading.newest())
    return "" if row is None else str(row[8])
