"""What a host keeps under the LMK besides keys: PINs (one digit longer than the PIN), decimalisation tables.

How a real box enciphers PINs under its LMK is not public; this is our own way, so such PINs move to no other
box. The cipher is a Feistel network over decimal digits (12 rounds of AES-CMAC), bound to the account number,
walked until the first digit is not 0.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from switch.hsm.crypto.ciphers import tdes_ecb_decrypt, tdes_ecb_encrypt
from switch.hsm.crypto.macs import KeyedCmac
from switch.hsm.crypto.pin_blocks import LONGEST_PIN, SHORTEST_PIN
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.slots import Slot

_ROUNDS: Final = 12
_GENUINE: Final = "1"  # first digit of what is enciphered: what else comes out was not made here
_CLEAR: Final = "0"  # first digit of the form that other simulators use: 0 and the PIN, under no key at all
_TABLE_MASK: Final = 0x54  # T: found by opening a captured table under the public TDES test LMK
_SAME_DIGIT_MOST: Final = 4  # a table with fewer different digits would give PINs away
_DIFFERENT_DIGITS: Final = 8


def seal_pin(slot: Slot, pin: str, account: str) -> str:
    """A PIN under the LMK: one digit more. account: 12 digits."""
    return _walk(slot, _GENUINE + pin, account, forward=True)


def open_pin(slot: Slot, sealed: str, account: str) -> str:
    """Opposite of seal_pin. Under a public test LMK `0` and a clear PIN is taken too, as other simulators
    give it out. Raises Refused 14."""
    if not SHORTEST_PIN < len(sealed) <= LONGEST_PIN + 1:
        raise Refused("24", "a PIN under the LMK has 5 to 13 digits")
    if sealed[0] == _CLEAR:
        if slot.is_public:
            return sealed[1:]
        raise Refused("14", "a clear PIN")
    opened = _walk(slot, sealed, account, forward=False)
    if opened[0] != _GENUINE:
        raise Refused("14", "not made by this LMK for this account")
    return opened[1:]


def _walk(slot: Slot, digits: str, account: str, *, forward: bool) -> str:
    """A permutation of all digit strings of this length that do not begin with 0."""
    keyed = KeyedCmac(slot.derived(b"PIN under LMK")[:16])
    while True:
        digits = _feistel(keyed, digits, account.encode("ascii"), forward)
        if digits[0] != _CLEAR:
            return digits


def _feistel(keyed: KeyedCmac, digits: str, tweak: bytes, forward: bool) -> str:
    middle = len(digits) // 2
    left, right = digits[:middle], digits[middle:]
    for number in range(_ROUNDS) if forward else range(_ROUNDS - 1, -1, -1):
        # Even rounds change the left half by the right one, odd rounds the other way round.
        source = right if number % 2 == 0 else left
        mask = int.from_bytes(keyed.mac(bytes((number, len(digits))) + tweak + source.encode("ascii")))
        if number % 2 == 0:
            left = _added(left, mask, forward)
        else:
            right = _added(right, mask, forward)
    return left + right


def _added(digits: str, mask: int, forward: bool) -> str:
    size = 10 ** len(digits)
    value = int(digits) + (mask if forward else -mask)
    return str(value % size).rjust(len(digits), "0")


def open_table(slot: Slot, table: str) -> str:
    """The decimalisation table a host sent, in clear: under a key block LMK it travels enciphered, under a
    variant LMK in clear. Raises Refused 25."""
    if slot.kind != "variant":
        table = tdes_ecb_decrypt(_table_key(slot), bytes.fromhex(table)).hex()
    counts = Counter(table)
    if not table.isdigit() or len(counts) < _DIFFERENT_DIGITS or max(counts.values()) > _SAME_DIGIT_MOST:
        raise Refused("25", "not a decimalisation table of this LMK")
    return table


def seal_table(slot: Slot, table: str) -> str:
    """A clear decimalisation table as a host has to send it."""
    if slot.kind == "variant":
        return table
    return tdes_ecb_encrypt(_table_key(slot), bytes.fromhex(table)).hex().upper()


def _table_key(slot: Slot) -> bytes:
    if slot.kind == "tdes":
        return bytes(byte ^ _TABLE_MASK for byte in slot.secret)
    return slot.derived(b"decimalisation table")[:24]
