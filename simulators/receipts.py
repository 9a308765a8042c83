"""Reads printed receipts back, English or Persian, as a person holding the paper would.

Labels come from the firmware's own tables; everything else from the paper alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from terminal.ui.strings import LOCALES, text_of

FLOWS: Final = ("earn", "redeem", "balance", "activate")
_PERSIAN_DIGITS: Final = str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789")
_LABELS: Final = {
    "terminal": "receipt_terminal",
    "stan": "receipt_stan",
    "rrn": "receipt_rrn",
    "earned": "receipt_earned",
    "redeemed": "receipt_redeemed",
    "balance": "receipt_balance",
    "debt": "receipt_debt",
}


class UnreadableReceipt(ValueError):
    """The paper is not a receipt of the firmware, or a part of it is missing."""


class Receipt(NamedTuple):
    """What stands on one receipt. points: earned or redeemed, 0 for other flows; is_last: printed again;
    is_queued: an earn that the switch hasn't heard of, without reference number and balance;
    is_merchants: the copy that the merchant keeps signed."""

    locale: str
    flow: str
    is_last: bool
    terminal: str
    stan: str
    rrn: str
    points: int
    balance: int
    debt: int
    is_queued: bool = False
    is_merchants: bool = False


def is_report(text: str) -> bool:
    """Whether the paper is the report of a batch that was closed."""
    lines = [line.strip() for line in text.splitlines()]
    return any(text_of("receipt_close", locale) in lines for locale in LOCALES)


def read_receipt(text: str) -> Receipt:
    """The receipt printed as `text`. Raises UnreadableReceipt."""
    lines = [line.strip() for line in text.splitlines()]
    for locale in LOCALES:
        for flow in FLOWS:
            if text_of(flow, locale) in lines:
                return _read(lines, locale, flow)
    raise UnreadableReceipt("the paper names no flow")


def _read(lines: list[str], locale: str, flow: str) -> Receipt:
    values = {name: _value(lines, text_of(label, locale)) for name, label in _LABELS.items()}
    is_queued = text_of("receipt_later", locale) in " ".join(lines)
    for name in ("terminal", "stan") if is_queued else ("terminal", "stan", "rrn", "balance"):
        if not values[name]:
            raise UnreadableReceipt(f"the receipt has no {name}")
    return Receipt(
        locale=locale,
        flow=flow,
        is_last=text_of("last_transaction", locale) in lines,
        terminal=values["terminal"],
        stan=values["stan"],
        rrn=values["rrn"],
        points=_number(values["earned"]) + _number(values["redeemed"]),
        balance=_number(values["balance"]),
        debt=_number(values["debt"]),
        is_queued=is_queued,
        is_merchants=text_of("merchant_copy", locale) in lines,
    )


def _value(lines: list[str], label: str) -> str:
    """What stands at the other end of the label's line, its digits Latin; "" without such a line.

    A flow's title can equal a label; it stands alone on its line.
    """
    for line in lines:
        if line.startswith(label + " "):
            return line[len(label) :].strip().translate(_PERSIAN_DIGITS)
    return ""


def _number(text: str) -> int:
    digits = "".join(character for character in text if character.isdigit())
    return int(digits) if digits else 0
