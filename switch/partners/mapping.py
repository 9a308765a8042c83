"""A partner's mapping as data: the shapes that a mapping file is read into. Frozen and complete.

"Theirs" is the partner's dialect, "ours" the one of our terminals; paths are as in `switch.iso8583`.
Reading files is `mapping_file`'s work, messages are `translation`'s; nothing here does either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from switch.iso8583 import Dialect, Text

# Theirs, the same in every version of ISO 8583.
PROCESSING_CODE, STAN, ACQUIRER, RESPONSE_CODE, PIN_BLOCK = "3", "11", "32", "39", "52"
REVERSAL = "reversal"


class Unit(Enum):
    """What a number is turned into on the way."""

    SAME = "same"
    POINTS = "points"  # rial divided by what a point pays, rounded down
    RIAL = "rial"  # points times what a point pays


class Source(NamedTuple):
    """Where a value comes from.

    path: of the other side; default: when nothing stands there; at: only the character at this place, from 1,
    0 all; values: what stands there -> the value, nothing else may; last: only so many characters of its end,
    0 all; only_approved: only in an approval.
    """

    path: str
    default: str | None = None
    at: int = 0
    values: Mapping[str, str] | None = None
    last: int = 0
    unit: Unit = Unit.SAME
    only_approved: bool = False


class Mapped(NamedTuple):
    """One of our operations as the partner asks for it.

    mtis: theirs -> ours; codes: of DE 3, "*" for any digit; request: our path -> where it comes from;
    approved: their DE 39 of an approval, where it isn't that of all others.
    """

    name: str
    mtis: Mapping[str, str]
    codes: tuple[str, ...]
    request: Mapping[str, Source]
    approved: str = ""

    def fits(self, mti: str, code: str) -> bool:
        """Whether a message of this MTI and DE 3 asks for it."""
        return mti in self.mtis and any(is_fitting(pattern, code) for pattern in self.codes)


class AmountRow(NamedTuple):
    """One of the additional amounts of an answer (ISO 8583:1987, DE 54: 20 characters each).

    source: our path; account, kind: two digits; currency: three; sign: C or D.
    """

    source: str
    account: str
    kind: str
    currency: str
    sign: str


class Clock(Enum):
    """Whose clock a time is of."""

    UTC = "UTC"
    LOCAL = "local"


class Identity(NamedTuple):
    """What tells transactions apart, beside STAN (DE 11), acquirer (DE 32) and the class of the MTI.

    sent: the field of the time, MMDDhhmmss or YYMMDDhhmmss; clock: whose it is; original: the field where a
    reversal names its original: MTI, STAN, that time, then the acquirer, in 11 digits before a forwarder's
    (1987) or with two digits of length before it (1993).
    """

    sent: str = "7"
    clock: Clock = Clock.UTC
    original: str = "90"


class Network(NamedTuple):
    """Network management: MTI, the field that says what a message is for, its values, the field of a new
    key."""

    mti: str = "0800"
    code_field: str = "70"
    sign_on: str = "001"
    sign_off: str = "002"
    echo: str = "301"
    key_change: str = "161"
    key_field: str = "120"


@dataclass(frozen=True, slots=True)
class PartnerMapping:
    """All that a mapping file says.

    pin_format: of DE 52, by its name, or "" when the partner sends no PINs. echo: fields that an answer
    brings back from its request. answer: their path -> where it comes from. amounts_field: theirs, or "".
    response_codes: ours -> theirs.
    """

    name: str
    description: Text
    dialect: Dialect
    pin_format: str
    operations: tuple[Mapped, ...]
    echo: tuple[str, ...]
    answer: Mapping[str, Source]
    amounts_field: str
    amounts: tuple[AmountRow, ...]
    response_codes: Mapping[str, str]
    network: Network
    identity: Identity

    @property
    def sent_digits(self) -> int:
        """Of the time that tells transactions apart."""
        return self.dialect.dictionary.fields[int(self.identity.sent)].length.maximum

    def operation(self, mti: str, code: str) -> Mapped | None:
        """What a message of this MTI and DE 3 asks for."""
        return next((one for one in self.operations if one.fits(mti, code)), None)


def is_fitting(pattern: str, code: str) -> bool:
    """Whether a DE 3 is one of a pattern's."""
    return len(pattern) == len(code) and all(a in ("*", b) for a, b in zip(pattern, code, strict=True))
