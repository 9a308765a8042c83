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

# Theirs, of ISO 8583:1987, the same in every mapping: they make a transaction's identity.
PROCESSING_CODE, SENT, STAN, ACQUIRER = "3", "7", "11", "32"
RESPONSE_CODE, PIN_BLOCK, ORIGINAL = "39", "52", "90"
REVERSAL = "reversal"


class Unit(Enum):
    """What a number is turned into on the way."""

    SAME = "same"
    POINTS = "points"  # rial divided by what a point pays, rounded down
    RIAL = "rial"  # points times what a point pays


class Source(NamedTuple):
    """Where a value comes from.

    path: of the other side; default: when nothing stands there; values: what stands there -> the value,
    nothing else may; last: only so many characters of its end, 0 all; only_approved: only in an approval.
    """

    path: str
    default: str | None = None
    values: Mapping[str, str] | None = None
    last: int = 0
    unit: Unit = Unit.SAME
    only_approved: bool = False


class Mapped(NamedTuple):
    """One of our operations as the partner asks for it.

    mtis: theirs -> ours; codes: of DE 3, "*" for any digit; request: our path -> where it comes from.
    """

    name: str
    mtis: Mapping[str, str]
    codes: tuple[str, ...]
    request: Mapping[str, Source]

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


class Network(NamedTuple):
    """Network management: the field that says what a message is for, its values, the field of a new key."""

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

    def operation(self, mti: str, code: str) -> Mapped | None:
        """What a message of this MTI and DE 3 asks for."""
        return next((one for one in self.operations if one.fits(mti, code)), None)


def is_fitting(pattern: str, code: str) -> bool:
    """Whether a DE 3 is one of a pattern's."""
    return len(pattern) == len(code) and all(a in ("*", b) for a, b in zip(pattern, code, strict=True))
