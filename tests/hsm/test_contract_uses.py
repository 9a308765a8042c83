"""The contract of the HSM port, on every adapter: a key does what it is for and nothing else, an operation
outside the capabilities is refused as such, and no refusal tells a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.key_blocks import Header
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.port import (
    Capability,
    CardKey,
    Direction,
    DukptPin,
    Fault,
    Hsm,
    HsmError,
    Key,
    KeyAlgorithm,
    KeyUse,
    MacAlgorithm,
    PinFormat,
    ZonePin,
)
from tests.hsm.boxes import Box, for_boxes, some_clear

CARD = "9364001234567890"
SERIAL = bytes.fromhex("123456789012345600000001")
DATA = b"data of a message"
BLOCK = bytes(range(100, 116))
ANY = tuple(KeyUse)
USABLE = tuple(use for use in KeyUse if ALGORITHMS[use])
BLOCK_UNDER_ZONE = key_blocks.wrap(
    some_clear(KeyUse.ZONE), Header("D", "M6", "A", "C", exportability="E"), some_clear(KeyUse.MAC)
)

Keys = dict[str, Key]
Call = Callable[[Hsm, Keys], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Operation:
    """roles: the keys it takes and which uses they may have."""

    name: str
    capability: Capability
    call: Call
    roles: dict[str, tuple[KeyUse, ...]]


def mac(algorithm: MacAlgorithm) -> tuple[Call, Call]:
    return (
        lambda hsm, keys: hsm.mac_generate(keys["key"], DATA, algorithm),
        lambda hsm, keys: hsm.mac_verify(keys["key"], DATA, bytes(8), algorithm),
    )


def dukpt_pin(keys: Keys) -> DukptPin:
    return DukptPin(keys["base"], SERIAL, BLOCK)


def zone_pin(keys: Keys) -> ZonePin:
    return ZonePin(keys["zone"], BLOCK)


BASE = {"base": (KeyUse.BASE_DERIVATION,)}
ZONE_PIN = {"zone": (KeyUse.PIN,)}
CMAC, CMAC_VERIFY = mac(MacAlgorithm.CMAC)
RETAIL, RETAIL_VERIFY = mac(MacAlgorithm.RETAIL)
HMAC, HMAC_VERIFY = mac(MacAlgorithm.HMAC_SHA_256)
OPERATIONS = [
    Operation(
        "import_key",
        Capability.KEY_BLOCKS,
        lambda hsm, keys: hsm.import_key(BLOCK_UNDER_ZONE, keys["under"], KeyUse.MAC),
        {"under": (KeyUse.ZONE,)},
    ),
    Operation(
        "export_key",
        Capability.KEY_BLOCKS,
        lambda hsm, keys: hsm.export_key(keys["key"], keys["under"]),
        {"key": USABLE, "under": (KeyUse.ZONE, KeyUse.TRANSPORT)},
    ),
    Operation(
        "derive_initial_key",
        Capability.INITIAL_KEY,
        lambda hsm, keys: hsm.derive_initial_key(keys["base"], SERIAL[:8], keys["under"]),
        {**BASE, "under": (KeyUse.TRANSPORT,)},
    ),
    Operation("mac_generate", Capability.MAC, CMAC, {"key": (KeyUse.MAC,)}),
    Operation("mac_verify", Capability.MAC, CMAC_VERIFY, {"key": (KeyUse.MAC,)}),
    Operation("mac_generate retail", Capability.MAC_TDES, RETAIL, {"key": (KeyUse.MAC_TDES,)}),
    Operation("mac_verify retail", Capability.MAC_TDES, RETAIL_VERIFY, {"key": (KeyUse.MAC_TDES,)}),
    Operation("mac_generate hmac", Capability.MAC_HMAC, HMAC, {"key": (KeyUse.MAC_HMAC,)}),
    Operation("mac_verify hmac", Capability.MAC_HMAC, HMAC_VERIFY, {"key": (KeyUse.MAC_HMAC,)}),
    Operation(
        "dukpt_mac_generate",
        Capability.DUKPT,
        lambda hsm, keys: hsm.dukpt_mac_generate(keys["base"], SERIAL, DATA, Direction.REQUEST),
        BASE,
    ),
    Operation(
        "dukpt_mac_verify",
        Capability.DUKPT,
        lambda hsm, keys: hsm.dukpt_mac_verify(keys["base"], SERIAL, DATA, bytes(8), Direction.REQUEST),
        BASE,
    ),
    Operation(
        "dukpt_encrypt",
        Capability.DUKPT,
        lambda hsm, keys: hsm.dukpt_encrypt(keys["base"], SERIAL, DATA, Direction.REQUEST),
        BASE,
    ),
    Operation(
        "dukpt_decrypt",
        Capability.DUKPT,
        lambda hsm, keys: hsm.dukpt_decrypt(keys["base"], SERIAL, BLOCK, Direction.REQUEST),
        BASE,
    ),
    Operation(
        "pin_translate from DUKPT",
        Capability.PIN_TRANSLATE,
        lambda hsm, keys: hsm.pin_translate(dukpt_pin(keys), CARD, keys["to"], PinFormat.ISO_4),
        {**BASE, "to": (KeyUse.PIN,)},
    ),
    Operation(
        "pin_translate from zone",
        Capability.PIN_TRANSLATE,
        lambda hsm, keys: hsm.pin_translate(zone_pin(keys), CARD, keys["to"], PinFormat.ISO_4),
        {**ZONE_PIN, "to": (KeyUse.PIN,)},
    ),
    Operation(
        "pin_value_verify",
        Capability.PIN_VALUE,
        lambda hsm, keys: hsm.pin_value_verify(dukpt_pin(keys), CARD, keys["key"], 1, "1234"),
        {**BASE, "key": (KeyUse.PIN_VALUE,)},
    ),
    Operation(
        "pin_value_verify from zone",
        Capability.PIN_VALUE,
        lambda hsm, keys: hsm.pin_value_verify(zone_pin(keys), CARD, keys["key"], 1, "1234"),
        {**ZONE_PIN, "key": (KeyUse.PIN_VALUE,)},
    ),
    Operation(
        "pin_verifier",
        Capability.PIN_VERIFIER,
        lambda hsm, keys: hsm.pin_verifier(dukpt_pin(keys), CARD, keys["key"], b"member"),
        {**BASE, "key": (KeyUse.PIN_VERIFIER,)},
    ),
    Operation(
        "pin_verify",
        Capability.PIN_VERIFIER,
        lambda hsm, keys: hsm.pin_verify(zone_pin(keys), CARD, keys["key"], b"member", bytes(16)),
        {**ZONE_PIN, "key": (KeyUse.PIN_VERIFIER,)},
    ),
    Operation(
        "card_value_generate",
        Capability.CARD_VALUE,
        lambda hsm, keys: hsm.card_value_generate(keys["key"], CARD, "2912", "101"),
        {"key": (KeyUse.CARD_VALUE,)},
    ),
    Operation(
        "card_value_verify",
        Capability.CARD_VALUE,
        lambda hsm, keys: hsm.card_value_verify(keys["key"], CARD, "2912", "101", "000"),
        {"key": (KeyUse.CARD_VALUE,)},
    ),
    Operation(
        "tap_verify",
        Capability.CARD_TAP,
        lambda hsm, keys: hsm.tap_verify(keys["key"], bytes(16), bytes(8)),
        {"key": (KeyUse.CARD_MASTER,)},
    ),
    Operation(
        "tap_open",
        Capability.CARD_TAP,
        lambda hsm, keys: hsm.tap_open(keys["key"], bytes(16), bytes(8), bytes(16)),
        {"key": (KeyUse.CARD_MASTER,)},
    ),
    Operation(
        "chip_verify",
        Capability.CARD_PROOF,
        lambda hsm, keys: hsm.chip_verify(keys["key"], bytes(7), 1, bytes(16), bytes(8)),
        {"key": (KeyUse.CARD_MASTER,)},
    ),
    Operation(
        "card_key",
        Capability.CARD_KEY,
        lambda hsm, keys: hsm.card_key(keys["key"], CardKey.PROOF, bytes(7), keys["under"]),
        {"key": (KeyUse.CARD_MASTER,), "under": (KeyUse.TRANSPORT,)},
    ),
    Operation(
        "card_challenge",
        Capability.CARD_CHALLENGE,
        lambda hsm, keys: hsm.card_challenge(keys["key"], bytes(7), bytes(16)),
        {"key": (KeyUse.CARD_MASTER,)},
    ),
    Operation(
        "card_confirm",
        Capability.CARD_CHALLENGE,
        lambda hsm, keys: hsm.card_confirm(keys["key"], bytes(7), bytes(44), bytes(32)),
        {"key": (KeyUse.CARD_MASTER,)},
    ),
]
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def fault_of(box: Box, operation: Operation, keys: Keys) -> Fault | None:
    """None: it did something."""
    try:
        box.run(operation.call(box.hsm, keys))
    except HsmError as error:
        return error.fault
    return None


def rightful_keys(box: Box, operation: Operation) -> Keys:
    keys = {role: box.a_key(uses[0], exportable=True) for role, uses in operation.roles.items()}
    if operation.name == "export_key":  # nothing goes under a weaker key
        keys["under"] = box.key(KeyUse.ZONE, bytes(range(32)))
    return keys


@for_boxes()
@EVERY_OPERATION
def test_a_key_does_what_it_is_for_and_nothing_else(box: Box, operation: Operation) -> None:
    """The whole matrix: every operation, every key it takes, every use, told rightly or falsely."""
    keys = rightful_keys(box, operation)
    if not box.can(operation.capability):
        assert fault_of(box, operation, keys) is Fault.UNSUPPORTED
        return
    for role, allowed in operation.roles.items():
        for use in KeyUse:
            key = box.a_key(use, exportable=True)
            fault = fault_of(box, operation, {**keys, role: key})
            if use in allowed:
                assert fault not in (Fault.KEY_USE, Fault.UNSUPPORTED, Fault.UNKNOWN_KEY), (role, use)
                continue
            assert fault is Fault.KEY_USE, (role, use)
            for claimed in allowed:
                disguised = Key(key.reference, claimed, key.check_value)
                assert fault_of(box, operation, {**keys, role: disguised}) is Fault.KEY_USE, (role, use)


@for_boxes()
@EVERY_OPERATION
def test_no_refusal_tells_a_secret(box: Box, operation: Operation) -> None:
    """Whatever goes wrong: no reference, block, card or data in what is raised, chained causes included."""
    keys = rightful_keys(box, operation)
    secrets = {CARD, BLOCK.hex(), BLOCK.hex().upper(), DATA.decode(), BLOCK_UNDER_ZONE}
    for role in operation.roles:
        for use in KeyUse:
            wrong = {**keys, role: box.a_key(use)}
            refused = error_of(box, operation, wrong)
            if refused is None:
                continue
            told = all_of(refused)
            for secret in secrets | {key.reference for key in wrong.values()}:
                assert secret not in told


def error_of(box: Box, operation: Operation, keys: Keys) -> HsmError | None:
    try:
        box.run(operation.call(box.hsm, keys))
    except HsmError as error:
        return error
    return None


def all_of(error: BaseException) -> str:
    shown = f"{error} {error!r} {error.args}"
    for more in (error.__cause__, None if error.__suppress_context__ else error.__context__):
        if more is not None:
            shown += all_of(more)
    return shown


@for_boxes()
def test_all_operations_of_the_port_are_in_the_matrix(box: Box) -> None:
    without_keys = {"close", "status", "random", "generate_key", "check_value"}
    port = {name for name in vars(Hsm) if not name.startswith("_") and name != "capabilities"}
    assert {operation.name.split()[0] for operation in OPERATIONS} | without_keys == port
    for name in port:
        assert asyncio.iscoroutinefunction(getattr(box.hsm, name))


@for_boxes()
def test_random_and_keys_are_offered_as_told(box: Box) -> None:
    """A token makes keys and tells check values, but it can't exchange keys."""
    assert box.can(Capability.RANDOM)
    assert box.can(Capability.KEYS)
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    assert box.run(box.hsm.check_value(key)) == key.check_value
    if not box.can(Capability.KEY_BLOCKS):
        for use in (KeyUse.PIN, KeyUse.ZONE, KeyUse.CARD_VALUE):
            call = box.hsm.generate_key(use, ALGORITHMS[use][0])
            assert box.fault_of(call) is Fault.UNSUPPORTED
        call = box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128, exportable=True)
        assert box.fault_of(call) is Fault.UNSUPPORTED


@for_boxes()
def test_what_is_shown_of_a_box_holds_no_key(box: Box) -> None:
    for use in (KeyUse.MAC, KeyUse.BASE_DERIVATION):
        key = box.a_key(use)
        clear = some_clear(use)
        if use is KeyUse.MAC:
            box.run(box.hsm.mac_generate(key, DATA))
        else:
            box.run(box.hsm.dukpt_mac_generate(key, SERIAL, DATA, Direction.REQUEST))
        shown = repr(box.hsm) + str(box.hsm) + repr(vars(box.hsm))
        assert clear.hex() not in shown.lower()
        assert repr(clear) not in shown
