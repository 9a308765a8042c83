"""What every adapter of the HSM port refuses before a key is touched, so that all refuse alike.

Shapes and limits only: what a key may do is decided by whoever holds the key. Nothing of a value gets into
an error, only its size.
"""

from __future__ import annotations

from switch.hsm.port import (
    DukptPin,
    EncipheredPin,
    Fault,
    HsmError,
    Key,
    KeyAlgorithm,
    KeyUse,
    MacAlgorithm,
    PinFormat,
)

MOST_RANDOM_BYTES = 256  # of one call
MOST_DATA_BYTES = 32_000  # of one MAC or cipher call: fits a host command's 2-byte length with all around it
SERIAL_BYTES = 12
INITIAL_KEY_ID_BYTES = 8
MOST_COUNTER_ONES = 16  # ANSI X9.24-3: a counter with more one-bits is skipped by terminals
MOST_CARD_DIGITS = 19  # ISO/IEC 7812-1
PVV_CARD_DIGITS = 12  # 11 and the check digit
TRACK_CARD_DIGITS = 12  # what host commands take
MOST_BINDING_BYTES = 255  # its length travels in one byte
VERIFIER_BYTES = 16
CARD_BLOCK_BYTES = 16  # PICC data, RndB: one AES block
CARD_REPLY_BYTES = 32
CHIP_COUNTER_BYTES = 4
UID_BYTES = 7  # NTAG 424 DNA
MOST_STATE_BYTES = 255  # what a host command can carry
MOST_MIRRORED_BYTES = 256  # an NTAG 424 DNA file has 256 bytes

# Blocks of these formats are bound to a card number. Format 1 is not, so nothing is made of it or to it.
BOUND_FORMATS = (PinFormat.ISO_0, PinFormat.ISO_3, PinFormat.ISO_4)

_ISO_4 = PinFormat.ISO_4  # looked up once: every PIN passes here
_AES = (KeyAlgorithm.AES_128, KeyAlgorithm.AES_192, KeyAlgorithm.AES_256)
_TDES = (KeyAlgorithm.TDES_2, KeyAlgorithm.TDES_3)
ALGORITHMS: dict[KeyUse, tuple[KeyAlgorithm, ...]] = {
    KeyUse.ZONE: (*_AES, *_TDES),
    KeyUse.TRANSPORT: _AES,
    KeyUse.BASE_DERIVATION: _AES,
    KeyUse.INITIAL: (),  # derived for a terminal, never made or brought in here
    KeyUse.PIN: (*_AES, *_TDES),
    KeyUse.MAC: _AES,
    KeyUse.MAC_TDES: _TDES,
    KeyUse.MAC_HMAC: (KeyAlgorithm.HMAC_256,),
    KeyUse.DATA: _AES,
    KeyUse.PIN_VALUE: (KeyAlgorithm.TDES_2,),
    KeyUse.CARD_VALUE: (KeyAlgorithm.TDES_2,),
    KeyUse.PIN_VERIFIER: _AES,
    KeyUse.CARD_MASTER: (KeyAlgorithm.AES_128,),  # the card's own keys are AES-128
}
MAC_USES = {
    MacAlgorithm.CMAC: KeyUse.MAC,
    MacAlgorithm.RETAIL: KeyUse.MAC_TDES,
    MacAlgorithm.HMAC_SHA_256: KeyUse.MAC_HMAC,
}


def refuse(operation: str, detail: str) -> HsmError:
    return HsmError(operation, Fault.BAD_INPUT, detail)


def check_random(operation: str, size: int) -> None:
    if not 1 <= size <= MOST_RANDOM_BYTES:
        raise refuse(operation, f"1 to {MOST_RANDOM_BYTES} bytes can be had, not {size}")


def check_algorithm(operation: str, use: KeyUse, algorithm: KeyAlgorithm) -> None:
    if algorithm not in ALGORITHMS[use]:
        raise refuse(operation, f"a {use.name} key is never {algorithm.name}")


def check_data(operation: str, data: bytes) -> None:
    if len(data) > MOST_DATA_BYTES:
        raise refuse(operation, f"{len(data)} bytes of data, the limit is {MOST_DATA_BYTES}")


def check_serial(operation: str, serial: bytes) -> None:
    """A 12-byte serial whose counter a terminal may use (X9.24-3: 1 to 16 one-bits)."""
    if len(serial) != SERIAL_BYTES:
        raise refuse(operation, f"a serial has {SERIAL_BYTES} bytes, not {len(serial)}")
    if not 0 < int.from_bytes(serial[8:]).bit_count() <= MOST_COUNTER_ONES:
        raise refuse(operation, "no terminal may use this counter")


def check_initial_key_id(operation: str, initial_key_id: bytes) -> None:
    if len(initial_key_id) != INITIAL_KEY_ID_BYTES:
        raise refuse(
            operation, f"an initial key id has {INITIAL_KEY_ID_BYTES} bytes, not {len(initial_key_id)}"
        )


def check_card(operation: str, card: str) -> None:
    if not (0 < len(card) <= MOST_CARD_DIGITS and card.isdigit() and card.isascii()):
        raise refuse(operation, "a card number has 1 to 19 digits")


def check_pin(operation: str, pin: EncipheredPin, card: str) -> None:
    """Block, format and card fit each other; the serial is checked by itself. A block of another length is a
    bad PIN block, not bad input: it comes from outside."""
    check_card(operation, card)
    if pin.format is _ISO_4:
        fits = len(pin.block) == 16
    elif pin.format not in BOUND_FORMATS:
        raise HsmError(operation, Fault.KEY_USE, "a block of this format is bound to no card")
    elif isinstance(pin, DukptPin):
        raise refuse(operation, "AES DUKPT enciphers PIN block format 4 only")
    else:
        fits = len(pin.block) == 8
    if not fits:
        raise HsmError(operation, Fault.BAD_PIN_BLOCK)


def check_translation(operation: str, to_format: PinFormat, card: str, to_card: str | None) -> None:
    """ISO 9564-1: bound to the same card before and after."""
    if to_format not in BOUND_FORMATS:
        raise HsmError(operation, Fault.KEY_USE, "a PIN is never translated to this format")
    if to_card is not None and to_card != card:
        raise HsmError(operation, Fault.KEY_USE, "a PIN is never translated to another card")


def block_bytes(pin_format: PinFormat) -> int:
    return 16 if pin_format is PinFormat.ISO_4 else 8


def check_zone_algorithm(operation: str, algorithm: str, pin_format: PinFormat) -> None:
    """algorithm: the zone key's letter. Format 4 is enciphered by AES, the others by TDES."""
    if (algorithm == "A") is not (pin_format is PinFormat.ISO_4):
        raise HsmError(operation, Fault.KEY_USE, "the key's algorithm has no such PIN block format")


def check_binding(operation: str, binding: bytes) -> None:
    if not 1 <= len(binding) <= MOST_BINDING_BYTES:
        raise refuse(operation, f"a binding has 1 to {MOST_BINDING_BYTES} bytes")


def check_pin_value(operation: str, card: str, index: int, value: str) -> None:
    check_card(operation, card)
    if len(card) < PVV_CARD_DIGITS:
        raise refuse(operation, f"a PVV takes a card number of {PVV_CARD_DIGITS} digits or more")
    if not 0 <= index <= 9 or len(value) != 4 or not is_digits(value):
        raise refuse(operation, "a PVV has 4 digits and its key index one")


def check_track(operation: str, card: str, expiry: str, service: str) -> None:
    check_card(operation, card)
    if len(card) < TRACK_CARD_DIGITS:
        raise refuse(operation, f"a card number on a track has {TRACK_CARD_DIGITS} digits or more")
    if len(expiry) != 4 or len(service) != 3 or not is_digits(expiry + service):
        raise refuse(operation, "expiry has 4 digits and service code 3")


def is_card_value(value: str) -> bool:
    return len(value) == 3 and is_digits(value)


def check_tap(operation: str, mirrored: bytes) -> None:
    if len(mirrored) > MOST_MIRRORED_BYTES:
        raise refuse(operation, f"{len(mirrored)} bytes of mirrored data, the limit is {MOST_MIRRORED_BYTES}")


def check_card_identifier(operation: str, identifier: bytes) -> None:
    if len(identifier) != UID_BYTES:
        raise refuse(operation, f"a card's identifier has {UID_BYTES} bytes, not {len(identifier)}")


def check_challenge(operation: str, identifier: bytes, enciphered: bytes) -> None:
    check_card_identifier(operation, identifier)
    if len(enciphered) != CARD_BLOCK_BYTES:
        raise refuse(operation, f"an enciphered RndB has {CARD_BLOCK_BYTES} bytes, not {len(enciphered)}")


def check_cryptogram(operation: str, identifier: bytes, counter: int, challenge: bytes) -> None:
    check_card_identifier(operation, identifier)
    if not 0 <= counter < 1 << 8 * CHIP_COUNTER_BYTES:
        raise refuse(operation, "no counter of a chip card")
    if len(challenge) != CARD_BLOCK_BYTES:
        raise refuse(operation, f"a challenge has {CARD_BLOCK_BYTES} bytes, not {len(challenge)}")


def check_state(operation: str, state: bytes) -> None:
    if not 0 < len(state) <= MOST_STATE_BYTES:
        raise refuse(operation, "the state of a challenge is not one of ours")


def check_verifier(operation: str, verifier: bytes) -> None:
    if len(verifier) != VERIFIER_BYTES:
        raise refuse(operation, f"a verifier has {VERIFIER_BYTES} bytes, not {len(verifier)}")


def check_block_version(operation: str, block: str, algorithm: str) -> None:
    """algorithm: the zone key's letter. The older versions A and C bind too little to be taken."""
    if block[:1] != ("D" if algorithm == "A" else "B"):
        raise HsmError(operation, Fault.KEY_DAMAGED, "a block of another version than its zone key's")


def check_key_block(operation: str, block: str) -> None:
    """Anything but a whole block was changed on its way: KEY_DAMAGED."""
    if not is_key_block(block):
        raise HsmError(operation, Fault.KEY_DAMAGED, "no whole key block")


def is_key_block(text: str) -> bool:
    """Whether a text can be a key block and holds as many characters as it says, so that nothing rides behind
    it."""
    length = text[1:5]
    if not (text.isascii() and text.isprintable() and len(length) == 4 and is_digits(length)):
        return False
    return int(length) == len(text)


def check_declared_use(operation: str, key: Key, *uses: KeyUse) -> None:
    if key.use not in uses or not ALGORITHMS[key.use]:
        raise HsmError(operation, Fault.KEY_USE, f"a {key.use.name} key can't do this")


def is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
