"""Every flow of the terminal as a script: on which screen the cashier does what, and how that is filled in.

Knows screens and keys; who waits and presses is `simulators.cashier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Final, NamedTuple

CARD: Final = "<card>"  # pass the member's card through the reader
OTHER: Final = "<other>"  # the other card

# The letters of a reference number: a digit, then the next-letter key so often.
_NEXT: Final = "A"
_PHONE: Final = ("0", "1", "2ABC", "3DEF", "4GHI", "5JKL", "6MNO", "7PQRS", "8TUV", "9WXYZ")


class Step(NamedTuple):
    """on: the screen to wait for; do: CARD, OTHER, or keys, with values in braces."""

    on: str
    do: str


def _steps(*steps: tuple[str, str]) -> tuple[Step, ...]:
    return tuple(Step(*step) for step in steps)


SCRIPTS: Final[Mapping[str, tuple[Step, ...]]] = {
    "enrol": _steps(("idle", "D"), ("swipe", CARD), ("mobile", "{mobile}#")),
    "enrol_with_pin": _steps(
        ("idle", "D"),
        ("swipe", CARD),
        ("mobile", "{mobile}A"),
        ("new_pin", "{pin}#"),
        ("new_pin_again", "{pin}#"),
    ),
    "earn": _steps(("idle", CARD), ("amount", "{amount}#")),
    "earn_amount_first": _steps(("idle", "{amount}"), ("amount", CARD)),
    "earn_by_mobile": _steps(("idle", "{amount}#"), ("swipe", "{mobile}#")),
    "earn_again": _steps(("idle", CARD), ("amount", "{amount}#"), ("double_swipe", "#")),
    "redeem": _steps(("idle", "B"), ("swipe", CARD), ("points", "{points}#")),
    "redeem_by_number": _steps(
        ("idle", "B"), ("swipe", "{card}#"), ("points", "{points}#"), ("pin", "{pin}#")
    ),
    "split": _steps(("idle", "#4"), ("swipe", CARD), ("amount", "{sale}#"), ("points", "{points}#")),
    "balance": _steps(("idle", "C"), ("swipe", CARD)),
    "balance_by_mobile": _steps(("idle", "C"), ("swipe", "{mobile}#")),
    "void": _steps(("idle", "#1"), ("which", "{item}")),
    "return": _steps(("idle", "#2"), ("return_of", "1"), ("which", "{item}"), ("amount", "{amount}#")),
    "return_by_reference": _steps(
        ("idle", "#2"), ("return_of", "1"), ("which", "A"), ("rrn", "{rrn}#"), ("amount", "{amount}#")
    ),
    "refund": _steps(("idle", "#2"), ("return_of", "2"), ("which", "{item}"), ("amount", "{amount}#")),
    "refund_by_reference": _steps(
        ("idle", "#2"), ("return_of", "2"), ("which", "A"), ("rrn", "{rrn}#"), ("amount", "{amount}#")
    ),
    "copy": _steps(("idle", "#3")),
    "replace": _steps(
        ("idle", "#5"), ("swipe", "{card}#"), ("swipe", OTHER), ("proof", "#"), ("pin", "{pin}#")
    ),
    "replace_by_manager": _steps(
        ("idle", "#5"),
        ("swipe", "{mobile}#"),
        ("swipe", OTHER),
        ("proof", "B"),
        ("manager_code", "{manager}#"),
    ),
    "pin_change": _steps(
        ("idle", "#6"),
        ("swipe", CARD),
        ("pin", "{pin}#"),
        ("new_pin", "{new_pin}#"),
        ("new_pin_again", "{new_pin}#"),
    ),
    "block": _steps(("idle", "#7"), ("swipe", CARD), ("block_sure", "#")),
    "unblock": _steps(("idle", "#8"), ("swipe", CARD), ("pin", "{pin}#")),
    "transfer": _steps(("idle", "#9"), ("swipe", CARD), ("swipe", OTHER), ("points", "{points}#")),
    "cashier": _steps(("idle", "#A"), ("cashier_number", "{cashier}#")),
    "choose_manager": _steps(
        ("idle", "#0"), ("manager_new", "{manager}#"), ("manager_new_again", "{manager}#"), ("manager", "*")
    ),
    "close_batch": _steps(("idle", "#0"), ("manager_code", "{manager}#"), ("manager", "1")),
    "test": _steps(
        ("idle", "#0"),
        ("manager_code", "{manager}#"),
        ("manager", "2"),
        ("state_line", "#"),
        ("state_software", "#"),
        ("state_devices", "#"),
        ("test", ""),  # before the strip, before the echo, and what came of them
        ("test", ""),
        ("test", "#"),
    ),
    "training": _steps(("idle", "#0"), ("manager_code", "{manager}#"), ("manager", "3")),
    "end_training": _steps(("idle", "#0")),
}
# What values are when nobody says; amounts in rial.
DEFAULTS: Final[Mapping[str, str]] = {
    "amount": "1000000",
    "sale": "500000",
    "points": "10",
    "pin": "1234",
    "new_pin": "4321",
    "manager": "123456",
    "cashier": "17",
    "item": "1",
}


def values_of(script: str) -> list[str]:
    """Names of the values that a script's keys need. Raises KeyError: there is no such script."""
    names = [name for step in SCRIPTS[script] for _, name, _, _ in Formatter().parse(step.do) if name]
    return sorted(set(names))


def needs(script: str, what: str) -> bool:
    """Whether a script passes CARD or OTHER through the reader."""
    return any(step.do == what for step in SCRIPTS[script])


def keys_of(step: Step, values: Mapping[str, str]) -> str:
    """The keys of a step. Raises KeyError: the value that is missing."""
    typed = {name: reference_keys(value) if name == "rrn" else value for name, value in values.items()}
    return step.do.format_map(typed)


def reference_keys(rrn: str) -> str:
    """The keys that type a reference number, whose letters stand on the digits as on a telephone."""
    return "".join(_keys_of_letter(letter) for letter in rrn)


def _keys_of_letter(letter: str) -> str:
    group = next((group for group in _PHONE if letter in group), None)
    if group is None:
        raise ValueError("a reference number has digits and capital letters")
    return group[0] + _NEXT * group.index(letter)
