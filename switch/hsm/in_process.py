"""The HSM port inside this process: the fast path, and what tests and a single machine run on.

Keys are `S` tokens (payShield scheme 1) under an AES-256 master key, so a key store moves between this
adapter and a box. No operation ever waits. A process protects no key from whoever may read its memory: not
for production with real PINs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from switch.hsm import inputs
from switch.hsm.crypto import key_blocks, macs, ntag424, pin_blocks, verification
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import odd_parity, same, tdes_ecb_decrypt, tdes_ecb_encrypt
from switch.hsm.crypto.components import ComponentError, combined
from switch.hsm.crypto.key_blocks import Header, KeyBlockError, KeyBlockStrengthError, OptionalBlock
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.crypto.pin_blocks import PinBlockError
from switch.hsm.crypto.pin_verifier import PinVerifier
from switch.hsm.crypto.transaction_keys import TransactionKeys
from switch.hsm.port import (
    MAC_BYTES,
    Capability,
    CardKey,
    Challenge,
    Direction,
    DukptPin,
    EncipheredPin,
    ExportedKey,
    Fault,
    HsmError,
    Key,
    KeyAlgorithm,
    KeyUse,
    MacAlgorithm,
    OpenedTap,
    PinFormat,
    Status,
    Tap,
)

MASTER_KEY_BYTES = 32
LEAST_COMPONENTS = 2
KEYS_KEPT = 1024  # unwrapped keys: BDKs, zone keys and a few of our own; transport keys pass through
FIRMWARE = "IN-PROCESS"

CAPABILITIES = ~Capability(0)

# Mode of use in a fresh key's header (X9.143 table 4): B both ways, C generate and verify, X derive.
_MODES = {
    KeyUse.ZONE: "B",
    KeyUse.TRANSPORT: "B",
    KeyUse.BASE_DERIVATION: "X",
    KeyUse.INITIAL: "X",
    KeyUse.PIN: "B",
    KeyUse.MAC: "C",
    KeyUse.MAC_TDES: "C",
    KeyUse.MAC_HMAC: "C",
    KeyUse.DATA: "B",
    KeyUse.PIN_VALUE: "C",
    KeyUse.CARD_VALUE: "C",
    KeyUse.PIN_VERIFIER: "C",
    KeyUse.CARD_MASTER: "X",
}
# Modes of use that allow an operation (X9.143 table 4: N allows all that the usage allows).
_WRAPPING, _UNWRAPPING = "BEN", "BDN"
_GENERATING, _VERIFYING = "CGN", "CVN"
_DERIVING = "XN"

_CLEAR_FORMATS = {PinFormat.ISO_0: 0, PinFormat.ISO_1: 1, PinFormat.ISO_3: 3}
# Looked up once: an enum's member costs as much as a call, and the fast path asks for many.
_BASE_DERIVATION, _PIN_VERIFIER, _ISO_4 = KeyUse.BASE_DERIVATION, KeyUse.PIN_VERIFIER, PinFormat.ISO_4
_REQUEST, _RESPONSE = Direction.REQUEST, Direction.RESPONSE
_HMAC_HASH = OptionalBlock("HM", "21")  # X9.143: HMAC with SHA-256


class _Held:
    """An unwrapped key with its header, and whatever was set up once for it."""

    __slots__ = (
        "algorithm",
        "card_value",
        "cmac",
        "derives",
        "exportable",
        "header",
        "key",
        "mode",
        "transactions",
        "use",
        "verifier",
    )

    def __init__(self, header: Header, key: bytes, use: KeyUse) -> None:
        self.header = header
        self.key = key
        self.use = use
        self.algorithm = header.algorithm
        self.mode = header.mode
        self.exportable = header.exportability != "N"
        self.cmac = macs.KeyedCmac(key) if use is KeyUse.MAC else None
        self.card_value = verification.KeyedCvv(key) if use is KeyUse.CARD_VALUE else None
        self.verifier = PinVerifier(key) if use is KeyUse.PIN_VERIFIER else None
        self.transactions = TransactionKeys(key) if use is KeyUse.BASE_DERIVATION else None
        self.derives = self.transactions is not None and self.mode in _DERIVING

    def __repr__(self) -> str:
        return f"_Held(use={self.use.name})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")


class InProcessHsm:
    """master_key: 32 bytes. master_key_id: two digits, put into every token; a box with this master key
    knows it by them. random: for tests that need the same bytes twice, never elsewhere."""

    def __init__(
        self,
        master_key: bytes,
        *,
        master_key_id: str = "00",
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError(f"the master key has {MASTER_KEY_BYTES} bytes, not {len(master_key)}")
        if len(master_key_id) != 2 or not inputs.is_digits(master_key_id):
            raise ValueError("a master key's id has two digits")
        self._master_key_id = master_key_id
        self._master = BlockMasterKey(master_key)
        self._master_check_value = check_value(master_key, "A")
        self._random = random
        self._held: dict[str, _Held] = {}  # by token, oldest first
        self._closed = False

    def __repr__(self) -> str:
        return f"InProcessHsm(master_check_value={self._master_check_value!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an HSM is not copied or stored")

    @property
    def capabilities(self) -> Capability:
        return CAPABILITIES

    async def close(self) -> None:
        """Forgets every key; nothing can be asked any more."""
        self._closed = True
        for held in self._held.values():
            if held.transactions is not None:
                held.transactions.close()
        self._held.clear()

    async def status(self) -> Status:
        return Status(FIRMWARE, self._master_check_value, simulated=True)

    async def random(self, size: int) -> bytes:
        inputs.check_random("random", size)
        return self._random(size)

    # -------------------------------------------------- keys

    async def generate_key(self, use: KeyUse, algorithm: KeyAlgorithm, *, exportable: bool = False) -> Key:
        inputs.check_algorithm("generate_key", use, algorithm)
        letter, size = algorithm.value
        clear = self._random(size)
        return self._wrapped(
            "generate_key",
            use,
            letter,
            _MODES[use],
            "E" if exportable else "N",
            odd_parity(clear) if letter == "T" else clear,
        )

    def form_key(self, components: Sequence[bytes], use: KeyUse, algorithm: KeyAlgorithm) -> Key:
        """A key that is the exclusive or of its components, not exportable. Not of the port: a box takes
        components at its own console only."""
        inputs.check_algorithm("form_key", use, algorithm)
        letter, size = algorithm.value
        if len(components) < LEAST_COMPONENTS or any(len(component) != size for component in components):
            raise inputs.refuse("form_key", f"{LEAST_COMPONENTS} or more components of {size} bytes")
        try:
            clear = combined(letter, components)
        except ComponentError as error:
            raise inputs.refuse("form_key", str(error)) from None
        return self._wrapped("form_key", use, letter, _MODES[use], "N", clear)

    async def import_key(self, block: str, under: Key, use: KeyUse) -> Key:
        operation = "import_key"
        zone = self._hold(operation, under, KeyUse.ZONE, _UNWRAPPING)
        inputs.check_key_block(operation, block)
        inputs.check_block_version(operation, block, zone.algorithm)
        try:
            header, clear = key_blocks.unwrap(zone.key, block)
        except KeyBlockStrengthError:
            raise HsmError(operation, Fault.KEY_USE, "no key goes under a weaker one") from None
        except KeyBlockError:
            raise HsmError(operation, Fault.KEY_DAMAGED) from None
        if header.usage != use.value:
            raise HsmError(operation, Fault.KEY_USE, "the block is for another use")
        if (header.algorithm, len(clear)) not in {one.value for one in inputs.ALGORITHMS[use]}:
            raise HsmError(operation, Fault.KEY_USE, f"no key for {use.name}")
        return self._wrapped(operation, use, header.algorithm, header.mode, header.exportability, clear)

    async def export_key(self, key: Key, under: Key) -> ExportedKey:
        operation = "export_key"
        inputs.check_declared_use(operation, under, KeyUse.ZONE, KeyUse.TRANSPORT)
        wrapping = self._hold(operation, under, under.use, _WRAPPING)
        held = self._hold(operation, key, key.use, None)
        if not held.exportable:
            raise HsmError(operation, Fault.KEY_USE, "the key is not exportable")
        if held.algorithm != "T" and wrapping.algorithm == "T":
            raise HsmError(operation, Fault.KEY_USE, "no AES or HMAC key goes under a TDES key")
        return self._exported(operation, held.header, held.key, wrapping)

    async def check_value(self, key: Key) -> str:
        held = self._hold("check_value", key, key.use, None)
        return check_value(held.key, held.algorithm)

    async def derive_initial_key(self, base_key: Key, initial_key_id: bytes, under: Key) -> ExportedKey:
        operation = "derive_initial_key"
        inputs.check_initial_key_id(operation, initial_key_id)
        base = self._hold(operation, base_key, KeyUse.BASE_DERIVATION, _DERIVING)
        transport = self._hold(operation, under, KeyUse.TRANSPORT, _WRAPPING)
        if len(transport.key) < len(base.key):
            raise HsmError(operation, Fault.KEY_USE, "no initial key goes under a shorter transport key")
        assert base.transactions is not None
        header = Header(
            version="D",
            usage=KeyUse.INITIAL.value,
            algorithm="A",
            mode="X",
            exportability="N",
            optional=(OptionalBlock("IK", initial_key_id.hex().upper()),),
        )
        initial = base.transactions.deriver.initial_key(initial_key_id)
        return self._exported(operation, header, initial, transport)

    # -------------------------------------------------- MAC and data

    async def mac_generate(self, key: Key, data: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC) -> bytes:
        return self._mac("mac_generate", key, data, algorithm, _GENERATING)

    async def mac_verify(
        self, key: Key, data: bytes, mac: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC
    ) -> bool:
        expected = self._mac("mac_verify", key, data, algorithm, _VERIFYING)
        return len(mac) == MAC_BYTES and same(expected, mac)

    def _mac(self, operation: str, key: Key, data: bytes, algorithm: MacAlgorithm, modes: str) -> bytes:
        inputs.check_data(operation, data)
        held = self._hold(operation, key, inputs.MAC_USES[algorithm], modes)
        if held.cmac is not None:
            return held.cmac.mac(data)[:MAC_BYTES]
        if algorithm is MacAlgorithm.RETAIL:
            return macs.algorithm_3(held.key, data, 1)
        return macs.hmac_sha256(held.key, data)[:MAC_BYTES]

    async def dukpt_mac_generate(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        return self.dukpt_mac_generate_now(base_key, serial, data, direction)

    def dukpt_mac_generate_now(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        inputs.check_data("dukpt_mac_generate", data)
        transactions = self._transactions("dukpt_mac_generate", base_key)
        try:
            if direction is _REQUEST:
                return transactions.request_mac(serial, data)[:MAC_BYTES]
            mac = transactions.response_mac(serial, data)[:MAC_BYTES]
        except ValueError:
            inputs.check_serial("dukpt_mac_generate", serial)  # says what is wrong with it
            raise
        transactions.forget(serial)  # the transaction is over
        return mac

    async def dukpt_mac_verify(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool:
        return self.dukpt_mac_verify_now(base_key, serial, data, mac, direction)

    def dukpt_mac_verify_now(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool:
        inputs.check_data("dukpt_mac_verify", data)
        transactions = self._transactions("dukpt_mac_verify", base_key)
        try:
            if direction is _REQUEST:
                expected = transactions.request_mac(serial, data)[:MAC_BYTES]
            else:
                expected = transactions.response_mac(serial, data)[:MAC_BYTES]
        except ValueError:
            inputs.check_serial("dukpt_mac_verify", serial)  # says what is wrong with it
            raise
        return len(mac) == MAC_BYTES and same(expected, mac)

    def _transactions(self, operation: str, base_key: Key) -> TransactionKeys:
        held = self._held.get(base_key.reference)
        if held is None or not held.derives or base_key.use is not _BASE_DERIVATION:
            held = self._hold(operation, base_key, _BASE_DERIVATION, _DERIVING)
        assert held.transactions is not None
        return held.transactions

    async def dukpt_encrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        inputs.check_data("dukpt_encrypt", data)
        transactions = self._transactions("dukpt_encrypt", base_key)
        inputs.check_serial("dukpt_encrypt", serial)
        return transactions.encrypt(serial, data, from_terminal=direction is _REQUEST)

    async def dukpt_decrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        inputs.check_data("dukpt_decrypt", data)
        transactions = self._transactions("dukpt_decrypt", base_key)
        inputs.check_serial("dukpt_decrypt", serial)
        try:
            return transactions.decrypt(serial, data, from_terminal=direction is _REQUEST)
        except ValueError:
            raise inputs.refuse("dukpt_decrypt", "no enciphered data of this serial") from None

    # -------------------------------------------------- PIN

    async def pin_translate(
        self, pin: EncipheredPin, card: str, to: Key, to_format: PinFormat, *, to_card: str | None = None
    ) -> bytes:
        operation = "pin_translate"
        inputs.check_translation(operation, to_format, card, to_card)
        target = self._hold(operation, to, KeyUse.PIN, _WRAPPING)
        inputs.check_zone_algorithm(operation, target.algorithm, to_format)
        clear = self._pin(operation, pin, card)
        if to_format is PinFormat.ISO_4:
            return pin_blocks.seal_iso_4(target.key, clear, card, self._random)
        block = pin_blocks.encode(_CLEAR_FORMATS[to_format], clear, card, self._random)
        return tdes_ecb_encrypt(target.key, block)

    async def pin_value_verify(self, pin: EncipheredPin, card: str, key: Key, index: int, value: str) -> bool:
        operation = "pin_value_verify"
        inputs.check_pin_value(operation, card, index, value)
        held = self._hold(operation, key, KeyUse.PIN_VALUE, _VERIFYING)
        clear = self._pin(operation, pin, card)
        return verification.pvv_matches(held.key, card, index, clear, value)

    async def pin_verifier(self, pin: EncipheredPin, card: str, key: Key, binding: bytes) -> bytes:
        operation = "pin_verifier"
        inputs.check_binding(operation, binding)
        verifier = self._hold(operation, key, KeyUse.PIN_VERIFIER, _GENERATING).verifier
        assert verifier is not None
        return verifier.make(self._pin(operation, pin, card), binding)

    async def pin_verify(
        self, pin: EncipheredPin, card: str, key: Key, binding: bytes, verifier: bytes
    ) -> bool:
        operation = "pin_verify"
        inputs.check_verifier(operation, verifier)
        inputs.check_binding(operation, binding)
        own = self._hold(operation, key, _PIN_VERIFIER, _VERIFYING).verifier
        assert own is not None
        return own.matches(self._pin(operation, pin, card), binding, verifier)

    def _pin(self, operation: str, pin: EncipheredPin, card: str) -> str:
        """The clear PIN. It lives in the caller's frame only."""
        inputs.check_pin(operation, pin, card)
        try:
            if isinstance(pin, DukptPin):
                return self._transactions(operation, pin.base_key).open_pin(pin.serial, pin.block, card)
            held = self._hold(operation, pin.key, KeyUse.PIN, _UNWRAPPING)
            inputs.check_zone_algorithm(operation, held.algorithm, pin.format)
            if pin.format is _ISO_4:
                return pin_blocks.open_iso_4(held.key, pin.block, card)
            return pin_blocks.decode(_CLEAR_FORMATS[pin.format], tdes_ecb_decrypt(held.key, pin.block), card)
        except PinBlockError:
            raise HsmError(operation, Fault.BAD_PIN_BLOCK) from None
        except ValueError:
            if isinstance(pin, DukptPin):
                inputs.check_serial(operation, pin.serial)  # says what is wrong with it
            raise

    # -------------------------------------------------- cards

    async def card_value_generate(self, key: Key, card: str, expiry: str, service: str) -> str:
        return self._card_value("card_value_generate", key, card, expiry, service, _GENERATING)

    async def card_value_verify(self, key: Key, card: str, expiry: str, service: str, value: str) -> bool:
        expected = self._card_value("card_value_verify", key, card, expiry, service, _VERIFYING)
        return inputs.is_card_value(value) and same(expected, value)

    def _card_value(self, operation: str, key: Key, card: str, expiry: str, service: str, modes: str) -> str:
        inputs.check_track(operation, card, expiry, service)
        keyed = self._hold(operation, key, KeyUse.CARD_VALUE, modes).card_value
        assert keyed is not None
        return keyed.value(card, expiry, service)

    async def tap_verify(self, key: Key, enciphered: bytes, mac: bytes, mirrored: bytes = b"") -> Tap | None:
        inputs.check_tap("tap_verify", mirrored)
        held = self._hold("tap_verify", key, KeyUse.CARD_MASTER, _DERIVING)
        picc = ntag424.verify_tap(held.key, enciphered, mac, mirrored)
        return None if picc is None else Tap(picc.identifier, picc.counter)

    async def tap_open(self, key: Key, enciphered: bytes, mac: bytes, file_data: bytes) -> OpenedTap | None:
        held = self._hold("tap_open", key, KeyUse.CARD_MASTER, _DERIVING)
        opened = ntag424.open_tap(held.key, enciphered, mac, file_data)
        return None if opened is None else OpenedTap(*opened[0], opened[1])

    async def chip_verify(
        self, key: Key, identifier: bytes, counter: int, challenge: bytes, said: bytes
    ) -> bool:
        inputs.check_cryptogram("chip_verify", identifier, counter, challenge)
        held = self._hold("chip_verify", key, KeyUse.CARD_MASTER, _DERIVING)
        return ntag424.verify_cryptogram(held.key, identifier, counter, challenge, said)

    async def card_key(self, key: Key, kind: CardKey, identifier: bytes, under: Key) -> ExportedKey:
        operation = "card_key"
        inputs.check_card_identifier(operation, identifier)
        held = self._hold(operation, key, KeyUse.CARD_MASTER, _DERIVING)
        transport = self._hold(operation, under, KeyUse.TRANSPORT, _WRAPPING)
        header = Header("D", ntag424.CARD_KEY_USAGE, "A", "N", exportability="N")
        derived = ntag424.card_key(held.key, kind.value, identifier)
        return self._exported(operation, header, derived, transport)

    async def card_challenge(self, key: Key, identifier: bytes, enciphered: bytes) -> Challenge:
        inputs.check_challenge("card_challenge", identifier, enciphered)
        held = self._hold("card_challenge", key, KeyUse.CARD_MASTER, _DERIVING)
        return Challenge(*ntag424.challenge(held.key, identifier, enciphered, self._random))

    async def card_confirm(self, key: Key, identifier: bytes, state: bytes, enciphered: bytes) -> bool:
        inputs.check_card_identifier("card_confirm", identifier)
        inputs.check_state("card_confirm", state)
        held = self._hold("card_confirm", key, KeyUse.CARD_MASTER, _DERIVING)
        try:
            return ntag424.confirm(held.key, identifier, state, enciphered)
        except ValueError:
            raise inputs.refuse("card_confirm", "the state of another challenge") from None

    # -------------------------------------------------- tokens

    def _hold(self, operation: str, key: Key, use: KeyUse, modes: str | None) -> _Held:
        """The key behind a token, if its header says this use and one of these modes (None: any)."""
        held = self._held.get(key.reference)
        if held is None:
            held = self._opened(operation, key.reference)
        if held.use is not use or key.use is not use:
            raise HsmError(operation, Fault.KEY_USE, f"a {use.name} key is needed")
        if modes is not None and held.mode not in modes:
            raise HsmError(operation, Fault.KEY_USE, "the key's mode of use doesn't allow it")
        return held

    def _opened(self, operation: str, token: str) -> _Held:
        if self._closed:
            raise HsmError(operation, Fault.UNAVAILABLE, "closed")
        if token[:1] != "S":
            raise HsmError(operation, Fault.UNKNOWN_KEY, "no token of a master key")
        try:
            header, clear = self._master.unwrap(token)
        except KeyBlockError:
            raise HsmError(operation, Fault.KEY_DAMAGED) from None
        try:
            use = KeyUse(header.usage)
        except ValueError:
            raise HsmError(operation, Fault.KEY_USE, "the token is for none of the uses here") from None
        if (header.algorithm, len(clear)) not in {one.value for one in inputs.ALGORITHMS[use]}:
            raise HsmError(operation, Fault.KEY_USE, f"no key for {use.name}")
        held = self._held[token] = _Held(header, clear, use)
        if len(self._held) > KEYS_KEPT:
            del self._held[next(iter(self._held))]
        return held

    def _wrapped(
        self, operation: str, use: KeyUse, algorithm: str, mode: str, exportability: str, clear: bytes
    ) -> Key:
        header = Header(
            version=self._master.scheme,
            usage=use.value,
            algorithm=algorithm,
            mode=mode,
            exportability=exportability,
            reserved=self._master_key_id,
        )
        try:
            token = self._master.wrap(header, clear, self._random)
        except KeyBlockError as error:
            raise inputs.refuse(operation, str(error)) from None
        return Key(token, use, check_value(clear, algorithm))

    def _exported(self, operation: str, inner: Header, clear: bytes, under: _Held) -> ExportedKey:
        optional = inner.optional
        if inner.algorithm == "H" and inner.value_of("HM") is None:
            optional = (*optional, _HMAC_HASH)
        header = Header(
            version=_block_version(under),
            usage=inner.usage,
            algorithm=inner.algorithm,
            mode=inner.mode,
            key_version=inner.key_version,
            exportability=inner.exportability,
            optional=optional,
        )
        try:
            block = key_blocks.wrap(under.key, header, clear, self._random)
        except KeyBlockStrengthError:
            raise HsmError(operation, Fault.KEY_USE, "no key goes under a weaker one") from None
        except KeyBlockError as error:
            raise inputs.refuse(operation, str(error)) from None
        return ExportedKey(block, check_value(clear, inner.algorithm))


def _block_version(protection: _Held) -> str:
    return "D" if protection.algorithm == "A" else "B"
