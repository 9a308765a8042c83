"""A key from three components that no one person ever has together: the ceremony's steps and its letters.

Nothing here is written to a disk: a component is in a letter, on its custodian's screen, and in memory until
the ceremony ends. Two of the three tell nothing of the key (it is their exclusive or).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import odd_parity, same
from switch.hsm.port import KeyAlgorithm
from switch.people import all_different
from tools.cli import CommandError, ExitCode
from tools.keys_officers import usable_name
from tools.keys_prompt import LetterPrinter, Prompt

COMPONENTS = 3
CUSTODIANS_NEEDED = 2
TRIES = 3
TDES = (KeyAlgorithm.TDES_2, KeyAlgorithm.TDES_3)
GROUP = 4  # digits; what people read aloud and type back with few slips

LETTER = """\
----------------------------------------------------------------
Key component {number} of {count}    جزء {number_fa} از {count_fa} کلید
Key          کلید          {name}
Custodian    امانت‌دار      {custodian}
Algorithm    الگوریتم      {algorithm}

    {digits}

Check value  مقدار کنترل   {check_value}
Keep it sealed, alone, away from the other components.
جدا از اجزای دیگر و در پاکت مهروموم نگه دارید.
----------------------------------------------------------------
"""
_PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


class Share(NamedTuple):
    """One component and who keeps it."""

    number: int
    custodian: str
    component: bytes

    def __repr__(self) -> str:
        return f"Share(number={self.number}, custodian={self.custodian!r})"


def check_custodians(custodians: Sequence[str]) -> None:
    """Raises CommandError unless two or three different people are named."""
    if not all_different(custodians):
        raise CommandError(
            "a custodian is named twice, or two names look alike",
            ExitCode.USAGE,
            "name different people; who is another one gives a fuller name",
        )
    if not CUSTODIANS_NEEDED <= len(custodians) <= COMPONENTS or not all(map(str.strip, custodians)):
        raise CommandError(
            f"a ceremony takes {CUSTODIANS_NEEDED} or {COMPONENTS} custodians, not {len(custodians)}",
            ExitCode.USAGE,
            "give --custodian once for each",
        )
    for custodian in custodians:
        usable_name(custodian)


def component_owner(custodians: Sequence[str], number: int) -> str:
    """Whose component this is (from 1). Of two custodians the first keeps 1 and 3: never all."""
    return custodians[(number - 1) % len(custodians)]


def make_share(fresh: bytes, algorithm: KeyAlgorithm, number: int, custodian: str) -> Share:
    """A component out of fresh random bytes; of a TDES key with odd parity."""
    return Share(number, custodian, odd_parity(fresh) if algorithm in TDES else fresh)


def letter(name: str, share: Share, algorithm: KeyAlgorithm) -> str:
    """The letter for a component's custodian, in English and Persian."""
    return LETTER.format(
        number=share.number,
        count=COMPONENTS,
        number_fa=str(share.number).translate(_PERSIAN),
        count_fa=str(COMPONENTS).translate(_PERSIAN),
        name=name,
        custodian=share.custodian,
        algorithm=algorithm.name,
        digits=grouped(share.component),
        check_value=check_value(share.component, algorithm.value[0]),
    )


def grouped(component: bytes) -> str:
    """Hex digits in groups, eight groups a line."""
    digits = component.hex().upper()
    groups = [digits[place : place + GROUP] for place in range(0, len(digits), GROUP)]
    return "\n    ".join(" ".join(groups[place : place + 8]) for place in range(0, len(groups), 8))


def hand_out(
    prompt: Prompt, printer: LetterPrinter, name: str, share: Share, algorithm: KeyAlgorithm
) -> None:
    """Give a custodian the letter and have the component typed back: a letter that can't be read is worth
    nothing."""
    prompt.ask(
        f"component {share.number} of {COMPONENTS}: {share.custodian} alone at the screen, press Enter"
    )
    printer.print(letter(name, share, algorithm))
    prompt.ask("when the letter is written down or printed, press Enter")
    prompt.clear()
    for _ in range(TRIES):
        if _typed(prompt.ask_hidden("type the component from the letter")) == share.component:
            return
        prompt.say("that is not what the letter says")
    raise CommandError(
        "a component could not be typed back", ExitCode.NEGATIVE, "nothing was made; begin again"
    )


def take_in(
    prompt: Prompt, algorithm: KeyAlgorithm, number: int, custodian: str, before: Sequence[Share]
) -> Share:
    """A component from a custodian's letter, its check value confirmed. before: those entered already; two
    equal ones would cancel each other out, and the third alone be the key."""
    prompt.ask(f"component {number} of {COMPONENTS}: {custodian} alone at the screen, press Enter")
    for _ in range(TRIES):
        component = _typed(prompt.ask_hidden("component"))
        wanted = algorithm.value[1]
        if component is None or len(component) != wanted:
            prompt.say(f"a component of this key has {2 * wanted} hexadecimal digits")
            continue
        if algorithm in TDES and odd_parity(component) != component:
            prompt.say("the component's parity is wrong: a digit was mistyped")
            continue
        if is_empty(component, algorithm):
            prompt.say("this component is empty: the key would be the others' alone")
            continue
        if any(same(one.component, component) for one in before):
            prompt.say("this component was entered already; each letter has its own")
            continue
        prompt.say(f"check value {check_value(component, algorithm.value[0])}")
        if prompt.ask("does the letter say the same? yes or no").casefold() in ("yes", "y", "بله"):
            prompt.clear()
            return Share(number, custodian, component)
    raise CommandError("a component could not be entered", ExitCode.NEGATIVE, "nothing was made; begin again")


def is_empty(component: bytes, algorithm: KeyAlgorithm) -> bool:
    """Whether a component adds nothing to the key; the parity bits of TDES add nothing ever."""
    return component == (odd_parity(bytes(len(component))) if algorithm in TDES else bytes(len(component)))


def report(shares: Iterable[Share], key_check_value: str, algorithm: KeyAlgorithm) -> list[str]:
    """What goes into the minutes: check values of the components and of the key."""
    letter = algorithm.value[0]
    lines = [
        f"component {share.number}  check value {check_value(share.component, letter)}  {share.custodian}"
        for share in shares
    ]
    return [*lines, f"the key      check value {key_check_value}"]


def _typed(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
