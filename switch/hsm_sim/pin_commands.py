"""Commands that open PIN blocks: translate, verify, make reference values; TDES DUKPT among them. And the
private ones for AES DUKPT and our own verifier.

A clear PIN lives in local names here and leaves only as a block under another key, a reference value, or a
PIN under the LMK. Which formats may become which stands in one table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from switch.hsm.crypto import dukpt_aes, dukpt_tdes, pin_blocks, verification
from switch.hsm.crypto.ciphers import (
    aes_ecb_decrypt,
    same,
    tdes_ecb_decrypt,
    tdes_ecb_encrypt,
)
from switch.hsm.crypto.macs import algorithm_3
from switch.hsm.crypto.pin_blocks import PinBlockError
from switch.hsm_sim.call import Answer, Call
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.master_key_pins import open_pin, open_table, seal_pin
from switch.hsm_sim.slots import OpenKey

# Format codes of host commands, and the ISO 9564-1 format behind them. 03: the PIN and F's (Diebold, IBM).
ISO_FORMATS: Final = {"01": 0, "05": 1, "34": 2, "47": 3}
ISO_4: Final = "48"
PLAIN: Final = "03"
KNOWN: Final = frozenset({*ISO_FORMATS, ISO_4, PLAIN, "02", "04"})

# Translation. A block of these is bound to its card number; they become each other, for the same card.
BOUND: Final = frozenset({"01", "47", "48"})
# Only when the installation says so: not bound to a card, so a stolen block fits everybody's card.
SOURCES_IF_ALLOWED: Final = frozenset({"05", PLAIN})
DESTINATIONS_IF_ALLOWED: Final = frozenset({PLAIN})
# Verification lets no block out, so the interchange format without a card stays usable there.
VERIFIED: Final = BOUND | {PLAIN}

LONGEST_PIN: Final = pin_blocks.LONGEST_PIN
SHORTEST_PIN: Final = pin_blocks.SHORTEST_PIN
TDES_SERIAL_DIGITS: Final = 20


class _Card(NamedTuple):
    """A card number as far as the command told it: whole, or its 12 digits and a check digit nobody reads."""

    number: str

    def __repr__(self) -> str:
        return "<_Card>"

    @property
    def account(self) -> str:
        """The 12 digits before the check digit."""
        return self.number[:-1][-12:].rjust(12, "0")


def _card(account: str) -> _Card:
    return _Card(account if len(account) != 12 else account + "0")


# ------------------------------------------------------------------ blocks


def _read(key: OpenKey, block: str, code: str, card: _Card) -> str:
    """The clear PIN. Raises Refused 20."""
    data = bytes.fromhex(block)
    try:
        if code == ISO_4:
            if key.algorithm != "A":
                raise Refused("A7", "format 48 needs an AES key")
            return pin_blocks.open_iso_4(key.key, data, card.number)
        clear = aes_ecb_decrypt(key.key, data) if key.algorithm == "A" else tdes_ecb_decrypt(key.key, data)
        if code == PLAIN:
            return _read_plain(clear)
        return pin_blocks.decode(ISO_FORMATS[code], clear, card.number)
    except PinBlockError:
        raise Refused("20") from None
    except ValueError:
        raise Refused("15", "the block is not as long as its key and format ask for") from None


def _read_plain(clear: bytes) -> str:
    digits = clear.hex()
    pin = digits.rstrip("f")
    if not SHORTEST_PIN <= len(pin) <= LONGEST_PIN or not pin.isdigit():
        raise Refused("20")
    return pin


def _write(call: Call, key: OpenKey, pin: str, code: str, card: _Card) -> str:
    if code == ISO_4:
        if key.algorithm != "A":
            raise Refused("A7", "format 48 needs an AES key")
        block = pin_blocks.seal_iso_4(key.key, pin, card.number, call.state.random)
        return block.hex().upper()
    if key.algorithm == "A":
        raise Refused("A7", "an AES key carries format 48 only")
    if code == PLAIN:
        clear = bytes.fromhex(pin.ljust(16, "f"))
    else:
        clear = pin_blocks.encode(ISO_FORMATS[code], pin, card.number, call.state.random)
    return tdes_ecb_encrypt(key.key, clear).hex().upper()


def _check_known(*codes: str) -> None:
    if not KNOWN.issuperset(codes):
        raise Refused("23", "no such format")


def _check_translation(call: Call, source: str, destination: str) -> None:
    """Refuses what would weaken a block."""
    _check_known(source, destination)
    allowed = call.state.limits.allowed_formats
    if source not in BOUND and not (source in SOURCES_IF_ALLOWED and source in allowed):
        raise Refused("69", f"format {source} is not translated")
    if destination not in BOUND and not (destination in DESTINATIONS_IF_ALLOWED and destination in allowed):
        raise Refused("69", f"nothing is translated to format {destination}")


def _check_verified(call: Call, code: str) -> None:
    _check_known(code)
    if code not in VERIFIED | (SOURCES_IF_ALLOWED & call.state.limits.allowed_formats):
        raise Refused("69", f"format {code} is not taken")


# ------------------------------------------------------------------ translate


def translate(call: Call) -> Answer:
    """CA and CC."""
    request = call.request
    _check_translation(call, request.source_format, request.destination_format)
    _check_longest(request.longest)
    source = call.key("source")
    to_base_key = call.code == "CA" and (request.destination_flag or request.destination.usage == "B0")
    destination = call.key("destination", "BDK" if to_base_key else "")
    if to_base_key:
        destination = _dukpt_key(destination, request.serial)
    return _translated(call, source, destination, _card(request.account), int(request.longest))


def translate_dukpt(call: Call) -> Answer:
    """G0."""
    request = call.request
    _check_translation(call, request.source_format, request.destination_format)
    source = _dukpt_key(call.key("source"), request.serial)
    to_base_key = request.destination_flag or request.destination.usage == "B0"
    destination = call.key("destination", "BDK" if to_base_key else "")
    if to_base_key:
        destination = _dukpt_key(destination, request.destination_serial)
    card = _card(request.account)
    if request.new_account is not None and request.new_account != card.account:
        raise Refused("29", "a PIN stays with its card number")
    return _translated(call, source, destination, card)


def _translated(
    call: Call, source: OpenKey, destination: OpenKey, card: _Card, longest: int = LONGEST_PIN
) -> Answer:
    request = call.request
    pin = _read(source, request.block, request.source_format, card)
    if len(pin) > longest:
        raise Refused("24", "the PIN is longer than the request allows")
    block = _write(call, destination, pin, request.destination_format, card)
    return Answer(
        {
            "length": f"{len(pin):02d}",
            "block": block,
            "format": request.destination_format,
            "_digits": len(block),
        }
    )


def translate_private(call: Call) -> Answer:
    """XG."""
    request = call.request
    _check_translation(call, request.source_format, request.destination_format)
    source, card = _private_source(call), _whole_card(request.card)
    destination = call.key("destination")
    pin = _read_private(call, source, card)
    block = _write(call, destination, pin, request.destination_format, card)
    return Answer({"block": block, "format": request.destination_format, "_digits": len(block)})


# ------------------------------------------------------------------ PVV


def verify_pvv(call: Call) -> Answer:
    """DC and EC."""
    request = call.request
    key, pvk = call.key("key"), _pvk(call)
    _check_verified(call, request.format)
    card = _card(request.account)
    pin = _read(key, request.block, request.format, card)
    account = request.verification_account or card.account
    if not verification.pvv_matches(pvk.key, account + "0", int(request.pvki), pin, request.pvv):
        raise Refused("01")
    return Answer({})


def pvv_of_block(call: Call) -> Answer:
    """FW."""
    request = call.request
    key, pvk = call.key("key", key_type=request.type), _pvk(call)
    _check_verified(call, request.format)
    card = _card(request.account)
    pin = _read(key, request.block, request.format, card)
    return Answer({"pvv": _pvv(pvk, card, request.pvki, pin)})


def pvv_of_master_key_pin(call: Call) -> Answer:
    """DG."""
    request = call.request
    pvk = _pvk(call)
    pin = open_pin(call.slot, request.pin, request.account)
    return Answer({"pvv": _pvv(pvk, _card(request.account), request.pvki, pin)})


def change_pvv(call: Call) -> Answer:
    """CU."""
    request = call.request
    key, pvk = call.key("key", key_type=request.type), _pvk(call)
    _check_verified(call, request.format)
    card = _card(request.account)
    pin = _read(key, request.block, request.format, card)
    new = _read(key, request.new_block, request.format, card)
    if not same(_pvv(pvk, card, request.pvki, pin), request.pvv):
        raise Refused("01")
    return Answer({"pvv": _pvv(pvk, card, request.pvki, new)})


def verify_pvv_private(call: Call) -> Answer:
    """XW."""
    request = call.request
    source, pvk = _private_source(call), _pvk(call)
    _check_verified(call, request.source_format)
    card = _whole_card(request.card)
    pin = _read_private(call, source, card)
    if not same(_pvv(pvk, card, request.pvki, pin), request.pvv):
        raise Refused("01")
    return Answer({})


def _pvk(call: Call) -> OpenKey:
    pvk = call.key("pvk")
    if len(pvk.key) < 16:
        raise Refused("27", "a PVK is a key pair")
    return pvk


def _pvv(pvk: OpenKey, card: _Card, index: str, pin: str) -> str:
    return verification.pvv(pvk.key, card.account + "0", int(index), pin)


# ------------------------------------------------------------------ IBM 3624


def verify_offset(call: Call) -> Answer:
    """DA and EA."""
    request = call.request
    key, pvk = call.key("key"), call.key("pvk")
    _check_verified(call, request.format)
    _check_longest(request.longest)
    pin = _read(key, request.block, request.format, _card(request.account))
    if len(pin) > int(request.longest):
        raise Refused("24", "the PIN is longer than the request allows")
    _check_offset(call, pvk, pin)
    return Answer({}, _weak(pvk))


def offset_of_block(call: Call) -> Answer:
    """BK."""
    request = call.request
    key, pvk = call.key("key", key_type=request.type), call.key("pvk")
    _check_verified(call, request.format)
    pin = _read(key, request.block, request.format, _card(request.account))
    return Answer({"offset": _offset(call, pvk, pin)}, _weak(pvk))


def change_offset(call: Call) -> Answer:
    """DU."""
    request = call.request
    key, pvk = call.key("key", key_type=request.type), call.key("pvk")
    _check_verified(call, request.format)
    card = _card(request.account)
    pin = _read(key, request.block, request.format, card)
    new = _read(key, request.new_block, request.format, card)
    _check_offset(call, pvk, pin)
    return Answer({"offset": _offset(call, pvk, new)}, _weak(pvk))


def _weak(pvk: OpenKey) -> str:
    """The algorithm was made for a single length key; a longer one is warned of, as the real box does."""
    return "02" if len(pvk.key) > 8 else "00"


def _offset(call: Call, pvk: OpenKey, pin: str) -> str:
    count = _check_length(call)
    if len(pin) < count:
        raise Refused("81", "the PIN is shorter than the check length")
    validation, table = _validation(call), open_table(call.slot, call.request.table)
    return verification.ibm_3624_offset(pvk.key, pin[:count], validation, table).ljust(12, "F")


def _check_offset(call: Call, pvk: OpenKey, pin: str) -> None:
    """Raises Refused 01."""
    count = _check_length(call)
    offset = call.request.offset.upper().rstrip("F")
    if not offset.isdigit() or len(offset) < count:
        raise Refused("15", "the offset has fewer digits than the check length")
    validation, table = _validation(call), open_table(call.slot, call.request.table)
    if not verification.ibm_3624_matches(pvk.key, pin, offset[:count], validation, table):
        raise Refused("01")


def _check_length(call: Call) -> int:
    count = int(call.request.check_length)
    if not SHORTEST_PIN <= count <= LONGEST_PIN:
        raise Refused("15", f"the check length is {SHORTEST_PIN} to {LONGEST_PIN}")
    return count


def _validation(call: Call) -> str:
    """12 characters of which one is N, the place of the account's last five digits: 16 hex digits."""
    text: str = call.request.validation.upper()
    account = _card(call.request.account).account
    whole = text.replace("N", account[-5:])
    if text.count("N") != 1 or not set(whole) <= set("0123456789ABCDEF"):
        raise Refused("15", "the validation data are 11 hex digits and one N")
    return whole


def _check_longest(text: str) -> None:
    if not SHORTEST_PIN <= int(text) <= LONGEST_PIN:
        raise Refused("15", f"the maximum PIN length is {SHORTEST_PIN} to {LONGEST_PIN}")


# ------------------------------------------------------------------ TDES DUKPT


def _serial(text: str) -> bytes:
    """10 bytes; shorter serials are filled with F on the left (X9.24-1)."""
    return bytes.fromhex(text.rjust(TDES_SERIAL_DIGITS, "F"))


def working_key(base: OpenKey, serial: str, use: dukpt_tdes.Use) -> bytes:
    """A TDES DUKPT key of a terminal. Raises Refused."""
    if len(serial) > TDES_SERIAL_DIGITS:
        raise Refused("15", "the descriptor describes a key serial number of more than 20 digits")
    if len(base.key) != 16:
        raise Refused("27", "a BDK is a double length key")
    number = _serial(serial)
    try:
        return dukpt_tdes.working_key(dukpt_tdes.initial_key(base.key, number), number, use)
    except ValueError:
        raise Refused("15", "no terminal uses this key serial number") from None


def _dukpt_key(base: OpenKey, serial: str) -> OpenKey:
    return OpenKey(working_key(base, serial, dukpt_tdes.Use.PIN), "T")


def verify_dukpt_offset(call: Call) -> Answer:
    """GO."""
    request = call.request
    base, pvk = call.key("bdk"), call.key("pvk")
    _check_verified(call, request.format)
    mac_result = _mac_result(call, base)
    pin = _read(_dukpt_key(base, request.serial), request.block, request.format, _card(request.account))
    try:
        _check_offset(call, pvk, pin)
    except Refused as error:
        if error.code != "01" or not mac_result:
            raise
        return Answer({"mac_result": mac_result}, "01")
    return Answer({"mac_result": mac_result}, _weak(pvk))


def verify_dukpt_pvv(call: Call) -> Answer:
    """GQ."""
    request = call.request
    base, pvk = call.key("bdk"), _pvk(call)
    _check_verified(call, request.format)
    mac_result = _mac_result(call, base)
    card = _card(request.account)
    pin = _read(_dukpt_key(base, request.serial), request.block, request.format, card)
    account = request.verification_account or card.account
    if not verification.pvv_matches(pvk.key, account + "0", int(request.pvki), pin, request.pvv):
        if not mac_result:
            raise Refused("01")
        return Answer({"mac_result": mac_result}, "01")
    return Answer({"mac_result": mac_result})


def _mac_result(call: Call, base: OpenKey) -> bytes:
    """The second code of GO and GQ, empty when no MAC is to be verified."""
    request = call.request
    if not request.mac_mode:
        return b""
    if request.mac_mode != "1" or request.mac_method != "1":
        raise Refused("15", "MAC mode and method are 1")
    key = working_key(base, request.serial, dukpt_tdes.Use.MAC_REQUEST)
    return b"00" if same(algorithm_3(key, request.data).hex().upper(), request.mac.upper()) else b"01"


# ------------------------------------------------------------------ PINs under the LMK


def random_pin(call: Call) -> Answer:
    """JA."""
    request = call.request
    count = int(request.length) if request.length is not None else SHORTEST_PIN
    if not SHORTEST_PIN <= count <= LONGEST_PIN:
        raise Refused("24")
    pin = ""
    while len(pin) < count:  # bytes that would favour some digits are thrown away
        pin += "".join(str(byte % 10) for byte in call.state.random(16) if byte < 250)
    return _sealed(call, pin[:count])


def to_master_key(call: Call) -> Answer:
    """JC and JE."""
    request = call.request
    key = call.key("key")
    _check_verified(call, request.format)
    return _sealed(call, _read(key, request.block, request.format, _card(request.account)))


def _sealed(call: Call, pin: str) -> Answer:
    account = _card(call.request.account).account
    return Answer({"pin": seal_pin(call.slot, pin, account).encode("ascii")})


def from_master_key(call: Call) -> Answer:
    """JG."""
    request = call.request
    key = call.key("key")
    _check_translation(call, "01", request.format)
    card = _card(request.account)
    pin = open_pin(call.slot, request.pin, card.account)
    return Answer({"block": _write(call, key, pin, request.format, card).encode("ascii")})


# ------------------------------------------------------------------ private: AES DUKPT, our own verifier


class _Source(NamedTuple):
    """Under what an enciphered PIN comes: a zone key, or a base derivation key and a terminal's serial."""

    key: OpenKey
    serial: bytes = b""

    def __repr__(self) -> str:
        return "<_Source>"


def _private_source(call: Call) -> _Source:
    opened = call.key("source_key", call.request.source)
    return _Source(opened) if call.request.source == "Z" else _Source(opened, aes_serial(call))


def aes_serial(call: Call) -> bytes:
    """A request's AES DUKPT serial. Raises Refused for one that no terminal uses."""
    serial = bytes.fromhex(call.request.serial)
    try:
        dukpt_aes.counter_of(serial)
    except ValueError:
        raise Refused("15", "no terminal uses this key serial number") from None
    return serial


def _read_private(call: Call, source: _Source, card: _Card) -> str:
    """The clear PIN of the private range. Raises Refused 20."""
    request = call.request
    if not source.serial:
        return _read(source.key, request.block, request.source_format, card)
    if request.source_format != ISO_4:
        raise Refused("15", "the block is not as long as its key and format ask for")
    keys = call.state.transactions(source.key.key)
    try:
        return keys.open_pin(source.serial, bytes.fromhex(request.block), card.number)
    except PinBlockError:
        raise Refused("20") from None


def _whole_card(digits: str) -> _Card:
    if not 1 <= len(digits) <= pin_blocks.LONGEST_CARD:
        raise Refused("15", "a card number has 1 to 19 digits")
    return _Card(digits)


def make_verifier(call: Call) -> Answer:
    """XI."""
    pin, binding, key = _verifier_inputs(call)
    return Answer({"verifier": call.state.verifier(key.key).make(pin, binding).hex().upper()})


def check_verifier(call: Call) -> Answer:
    """XK."""
    pin, binding, key = _verifier_inputs(call)
    if not call.state.verifier(key.key).matches(pin, binding, bytes.fromhex(call.request.verifier)):
        raise Refused("01")
    return Answer({})


def _verifier_inputs(call: Call) -> tuple[str, bytes, OpenKey]:
    request = call.request
    source, key = _private_source(call), call.key("verifier_key")
    _check_verified(call, request.source_format)
    binding = bytes.fromhex(request.binding)
    if not binding:
        raise Refused("15", "a verifier is bound to something")
    return _read_private(call, source, _whole_card(request.card)), binding, key
