"""The HSM port on a PKCS#11 token, as far as that goes: random, MACs, AES DUKPT, keys that stay inside.

Needs the optional package python-pkcs11. Calls of the library block, so they run in a few threads, each with
its own session. No key is read out and none put in: what X9.143 blocks and PINs need, tokens don't offer.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import pkcs11
from pkcs11 import exceptions

from switch.hsm import inputs
from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.dukpt_aes import Algorithm, Usage
from switch.hsm.crypto.macs import pad_2, unpad_2
from switch.hsm.port import (
    MAC_BYTES,
    Capability,
    CardKey,
    Challenge,
    Direction,
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

Result = TypeVar("Result")

SESSIONS = 4  # calls of the library at once; a token of one processor gains nothing from more
MOST_WAITING = 1024  # calls behind those under way; more means the token is slower than the terminals
# DUKPT keys of a session: those that others derive from, and those of transactions under way. Tokens hold a
# bounded number of objects.
PARENTS_KEPT = 512
TRANSACTIONS_KEPT = 512
IDENTIFIER_BYTES = 16
LABEL_PREFIX = "vafa "  # and the use's name: what a key is for stands in its label and in its attributes

# No KEY_BLOCKS: PKCS#11 has no mechanism for X9.143, and what it can wrap in binds no use to a key.
CAPABILITIES = Capability.RANDOM | Capability.KEYS | Capability.MAC | Capability.MAC_HMAC | Capability.DUKPT

# What a key object may do in the token, by use. Uses that are not here have nothing to do in a token.
_ATTRIBUTES: dict[KeyUse, pkcs11.MechanismFlag] = {
    KeyUse.MAC: pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
    KeyUse.MAC_HMAC: pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
    KeyUse.BASE_DERIVATION: pkcs11.MechanismFlag.DERIVE,
}
_KEY_TYPES = {
    KeyUse.MAC: (pkcs11.KeyType.AES, pkcs11.Mechanism.AES_KEY_GEN),
    KeyUse.MAC_HMAC: (pkcs11.KeyType.GENERIC_SECRET, pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN),
    KeyUse.BASE_DERIVATION: (pkcs11.KeyType.AES, pkcs11.Mechanism.AES_KEY_GEN),
}
_MECHANISMS = {
    MacAlgorithm.CMAC: pkcs11.Mechanism.AES_CMAC,
    MacAlgorithm.HMAC_SHA_256: pkcs11.Mechanism.SHA256_HMAC,
}
_CBC: dict[str, Any] = {"mechanism": pkcs11.Mechanism.AES_CBC, "mechanism_param": bytes(16)}
_MAC_USAGE = {Direction.REQUEST: Usage.MAC_GENERATION, Direction.RESPONSE: Usage.MAC_VERIFICATION}
_DATA_USAGE = {Direction.REQUEST: Usage.DATA_ENCRYPT, Direction.RESPONSE: Usage.DATA_DECRYPT}
_DERIVED_BY_BITS = {128: Algorithm.AES_128, 192: Algorithm.AES_192, 256: Algorithm.AES_256}

_FAULTS: tuple[tuple[Fault, tuple[type[exceptions.PKCS11Error], ...]], ...] = (
    (
        Fault.UNKNOWN_KEY,
        (exceptions.NoSuchKey, exceptions.ObjectHandleInvalid, exceptions.KeyHandleInvalid),
    ),
    (
        Fault.KEY_USE,
        (
            exceptions.KeyTypeInconsistent,
            exceptions.KeyUnextractable,
            exceptions.AttributeSensitive,
            exceptions.KeySizeRange,
        ),
    ),
    (Fault.NOT_AUTHORISED, (exceptions.PinIncorrect, exceptions.PinLocked, exceptions.PinExpired)),
    (Fault.BAD_INPUT, (exceptions.DataInvalid, exceptions.DataLenRange)),
    (
        Fault.UNSUPPORTED,
        (
            exceptions.FunctionNotSupported,
            exceptions.MechanismInvalid,
            exceptions.MechanismParamInvalid,
            exceptions.RandomNoRNG,
        ),
    ),
)  # anything else: UNAVAILABLE, and the session is given up
_CLEAN = tuple(kind for _, kinds in _FAULTS for kind in kinds)


class _InitialiseArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS (PKCS#11 v2.40, 3.5)."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("create", "destroy", "lock", "unlock")),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


_CKF_OS_LOCKING_OK = 2
_loading = threading.Lock()
_guards: dict[str, AbstractContextManager[object]] = {}  # by library: what each call of it goes through


def load(module: str, *, again: bool = False) -> AbstractContextManager[object]:
    """Load a library and allow it to be called by several threads at once, which python-pkcs11 itself doesn't
    ask for: two calls at once would break SoftHSM2. Gives what every call has to go through: nothing, or a
    lock for a library that can't do without.

    again: let go of all its sessions and read its configuration anew. Raises PKCS11Error.
    """
    with _loading:
        if again or module not in _guards:
            pkcs11.lib(module)
            _guards[module] = nullcontext() if _initialised_for_threads(module) else threading.Lock()
        return _guards[module]


def _initialised_for_threads(module: str) -> bool:
    library = ctypes.CDLL(module)
    library.C_Finalize(None)
    arguments = _InitialiseArguments(flags=_CKF_OS_LOCKING_OK)
    if library.C_Initialize(ctypes.byref(arguments)) == 0:
        return True
    if library.C_Initialize(None) != 0:
        raise exceptions.GeneralError
    return False


class _Session:
    """A session with the key objects found and the DUKPT keys derived in it."""

    def __init__(self, session: pkcs11.Session) -> None:
        self.session = session
        self.keys: dict[str, tuple[KeyUse, pkcs11.SecretKey]] = {}
        self.parents: OrderedDict[tuple[str, bytes], pkcs11.SecretKey] = OrderedDict()
        self.transactions: OrderedDict[tuple[str, bytes], pkcs11.SecretKey] = OrderedDict()


class _Lane:
    """A thread and its session; its calls follow one another."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="pkcs11")
        self.session: _Session | None = None  # the thread's, as all that libraries do
        self.waiting = 0


class Pkcs11Hsm:
    """module: path of the token's library. token_label, user_pin: as the token was initialised. sessions: how
    many calls the library is asked at once.

    timeout_s: of one call. A library can't be interrupted: a call that takes longer fails as UNAVAILABLE and
    holds up those behind it in its session until the library comes back.
    """

    def __init__(
        self,
        module: str | os.PathLike[str],
        token_label: str,
        user_pin: str,
        *,
        timeout_s: float = 2.0,
        sessions: int = SESSIONS,
    ) -> None:
        if sessions < 1:
            raise ValueError("at least one session is needed")
        self._module = os.fspath(module)
        self._token_label = token_label
        self._user_pin = user_pin
        self._timeout_s = timeout_s
        self._lanes = [_Lane() for _ in range(sessions)]
        self._opening = threading.Lock()
        self._refused = False  # a wrong PIN is never tried again: a few of them lock the token
        self._closed = False

    def __repr__(self) -> str:
        return f"Pkcs11Hsm(token_label={self._token_label!r})"

    @property
    def capabilities(self) -> Capability:
        return CAPABILITIES

    async def close(self) -> None:
        """After the calls under way, unless the library keeps one longer than a call may take."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        closing = [loop.run_in_executor(lane.thread, self._give_up, lane) for lane in self._lanes]
        await asyncio.wait(closing, timeout=self._timeout_s)
        for lane in self._lanes:
            lane.thread.shutdown(wait=False)

    async def status(self) -> Status:
        """firmware: of the token, with its model; a software token says so."""

        def ask(own: _Session) -> Status:
            token = own.session.token
            major, minor = token.firmware_version
            simulated = "softhsm" in token.model.lower()
            return Status(f"{token.model} {major}.{minor}", "", simulated)

        return await self._do("status", ask)

    async def random(self, size: int) -> bytes:
        inputs.check_random("random", size)
        return await self._do("random", lambda own: own.session.generate_random(8 * size))

    # -------------------------------------------------- keys

    async def generate_key(self, use: KeyUse, algorithm: KeyAlgorithm, *, exportable: bool = False) -> Key:
        """A key that never leaves the token; exportable ones, and those nothing here can use: UNSUPPORTED."""
        operation = "generate_key"
        inputs.check_algorithm(operation, use, algorithm)
        if exportable or use not in _ATTRIBUTES:
            raise HsmError(operation, Fault.UNSUPPORTED, f"no such {use.name} key in a token")
        key_type, mechanism = _KEY_TYPES[use]

        def make(own: _Session) -> Key:
            identifier = os.urandom(IDENTIFIER_BYTES)
            own.session.generate_key(
                key_type,
                8 * algorithm.value[1],
                id=identifier,
                label=LABEL_PREFIX + use.name,
                store=True,
                capabilities=_ATTRIBUTES[use],
                mechanism=mechanism,
                template=_kept(pkcs11.Attribute.TOKEN),
            )
            reference = identifier.hex()
            return Key(reference, use, self._check_value(operation, own, reference, use))

        return await self._do(operation, make)

    async def check_value(self, key: Key) -> str:
        operation = "check_value"
        return await self._do(
            operation, lambda own: self._check_value(operation, own, key.reference, key.use)
        )

    def _check_value(self, operation: str, own: _Session, reference: str, use: KeyUse) -> str:
        held = self._held(operation, own, reference, use)
        if use is KeyUse.BASE_DERIVATION:
            block = _cmac_of_zeros_by_derivation(held)
        elif use is KeyUse.MAC:
            block = _sign(held, bytes(16), pkcs11.Mechanism.AES_CMAC)
        else:
            block = _sign(held, b"", pkcs11.Mechanism.SHA256_HMAC)
        return block[:3].hex().upper()

    async def import_key(self, block: str, under: Key, use: KeyUse) -> Key:
        raise HsmError("import_key", Fault.UNSUPPORTED)

    async def export_key(self, key: Key, under: Key) -> ExportedKey:
        raise HsmError("export_key", Fault.UNSUPPORTED)

    async def derive_initial_key(self, base_key: Key, initial_key_id: bytes, under: Key) -> ExportedKey:
        raise HsmError("derive_initial_key", Fault.UNSUPPORTED)

    # -------------------------------------------------- MAC and data

    async def mac_generate(self, key: Key, data: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC) -> bytes:
        return await self._mac("mac_generate", key, data, algorithm)

    async def mac_verify(
        self, key: Key, data: bytes, mac: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC
    ) -> bool:
        expected = await self._mac("mac_verify", key, data, algorithm)
        return len(mac) == MAC_BYTES and same(expected, mac)

    async def _mac(self, operation: str, key: Key, data: bytes, algorithm: MacAlgorithm) -> bytes:
        if algorithm not in _MECHANISMS:
            raise HsmError(operation, Fault.UNSUPPORTED)
        inputs.check_data(operation, data)
        inputs.check_declared_use(operation, key, inputs.MAC_USES[algorithm])

        def sign(own: _Session) -> bytes:
            held = self._held(operation, own, key.reference, key.use)
            return _sign(held, data, _MECHANISMS[algorithm])[:MAC_BYTES]

        return await self._do(operation, sign)

    async def dukpt_mac_generate(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        return await self._dukpt_mac("dukpt_mac_generate", base_key, serial, data, direction)

    async def dukpt_mac_verify(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool:
        expected = await self._dukpt_mac("dukpt_mac_verify", base_key, serial, data, direction)
        return len(mac) == MAC_BYTES and same(expected, mac)

    async def _dukpt_mac(
        self, operation: str, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        def sign(key: pkcs11.SecretKey) -> bytes:
            return _sign(key, data, pkcs11.Mechanism.AES_CMAC)[:MAC_BYTES]

        inputs.check_data(operation, data)
        usage, flag = _MAC_USAGE[direction], pkcs11.MechanismFlag.SIGN
        over = operation == "dukpt_mac_generate" and direction is Direction.RESPONSE
        return await self._with_working_key(operation, base_key, serial, usage, flag, sign, over=over)

    async def dukpt_encrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        def encrypt(key: pkcs11.SecretKey) -> bytes:
            assert isinstance(key, pkcs11.EncryptMixin)
            done = key.encrypt(pad_2(data, 16), **_CBC)
            assert isinstance(done, bytes)
            return done

        inputs.check_data("dukpt_encrypt", data)
        usage, flag = _DATA_USAGE[direction], pkcs11.MechanismFlag.ENCRYPT
        return await self._with_working_key("dukpt_encrypt", base_key, serial, usage, flag, encrypt)

    async def dukpt_decrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        operation = "dukpt_decrypt"

        def decrypt(key: pkcs11.SecretKey) -> bytes:
            assert isinstance(key, pkcs11.DecryptMixin)
            done = key.decrypt(data, **_CBC)
            assert isinstance(done, bytes)
            return done

        inputs.check_data(operation, data)
        refused = inputs.refuse(operation, "no enciphered data of this serial")
        if not data or len(data) % 16:
            raise refused
        usage, flag = _DATA_USAGE[direction], pkcs11.MechanismFlag.DECRYPT
        clear = await self._with_working_key(operation, base_key, serial, usage, flag, decrypt)
        try:
            return unpad_2(clear, 16)
        except ValueError:
            raise refused from None

    async def _with_working_key(
        self,
        operation: str,
        base_key: Key,
        serial: bytes,
        usage: Usage,
        flag: pkcs11.MechanismFlag,
        act: Callable[[pkcs11.SecretKey], bytes],
        *,
        over: bool = False,
    ) -> bytes:
        """Derives the serial's working key, which may do one thing, uses it once and destroys it. over:
        nothing more will be asked for this serial."""
        inputs.check_serial(operation, serial)
        inputs.check_declared_use(operation, base_key, KeyUse.BASE_DERIVATION)

        def derive_and_act(own: _Session) -> bytes:
            transaction = self._transaction(operation, own, base_key.reference, serial)
            working = _derive(transaction, usage, Algorithm.AES_128, serial[4:], flag)
            try:
                return act(working)
            finally:
                working.destroy()
                if over and (kept := own.transactions.pop((base_key.reference, serial), None)) is not None:
                    kept.destroy()

        # A terminal's keys are all derived in one session.
        lane = self._lanes[int.from_bytes(serial[4:8]) % len(self._lanes)]
        return await self._do(operation, derive_and_act, lane)

    def _transaction(self, operation: str, own: _Session, reference: str, serial: bytes) -> pkcs11.SecretKey:
        """The key that all working keys of a serial come from: kept until the transaction is over, and where
        later counters' keys come from it too, among the parents."""
        counter = int.from_bytes(serial[8:])
        if not counter & 1:
            return self._parent(operation, own, reference, serial[:8], counter)
        place = (reference, serial)
        transaction = own.transactions.get(place)
        if transaction is None:
            parent = self._parent(operation, own, reference, serial[:8], counter - 1)
            transaction = own.transactions[place] = _derive_next(parent, serial[4:])
            if len(own.transactions) > TRANSACTIONS_KEPT:
                own.transactions.popitem(last=False)[1].destroy()
        return transaction

    def _parent(
        self, operation: str, own: _Session, reference: str, initial_key_id: bytes, counter: int
    ) -> pkcs11.SecretKey:
        """The key that those of the counters with one more bit come from; counter 0: the initial key."""
        place = (reference, initial_key_id + counter.to_bytes(4))
        parent = own.parents.get(place)
        if parent is not None:
            own.parents.move_to_end(place)
            return parent
        if counter:
            before = self._parent(operation, own, reference, initial_key_id, counter & (counter - 1))
            parent = _derive_next(before, initial_key_id[4:] + counter.to_bytes(4))
        else:
            base = self._held(operation, own, reference, KeyUse.BASE_DERIVATION)
            bits = _DERIVED_BY_BITS[base.key_length]
            parent = _derive(base, Usage.INITIAL_KEY, bits, initial_key_id, pkcs11.MechanismFlag.DERIVE)
        own.parents[place] = parent
        if len(own.parents) > PARENTS_KEPT:
            own.parents.popitem(last=False)[1].destroy()
        return parent

    # -------------------------------------------------- what a token can't do

    async def pin_translate(
        self, pin: EncipheredPin, card: str, to: Key, to_format: PinFormat, *, to_card: str | None = None
    ) -> bytes:
        raise HsmError("pin_translate", Fault.UNSUPPORTED)

    async def pin_value_verify(self, pin: EncipheredPin, card: str, key: Key, index: int, value: str) -> bool:
        raise HsmError("pin_value_verify", Fault.UNSUPPORTED)

    async def pin_verifier(self, pin: EncipheredPin, card: str, key: Key, binding: bytes) -> bytes:
        raise HsmError("pin_verifier", Fault.UNSUPPORTED)

    async def pin_verify(
        self, pin: EncipheredPin, card: str, key: Key, binding: bytes, verifier: bytes
    ) -> bool:
        raise HsmError("pin_verify", Fault.UNSUPPORTED)

    async def card_value_generate(self, key: Key, card: str, expiry: str, service: str) -> str:
        raise HsmError("card_value_generate", Fault.UNSUPPORTED)

    async def card_value_verify(self, key: Key, card: str, expiry: str, service: str, value: str) -> bool:
        raise HsmError("card_value_verify", Fault.UNSUPPORTED)

    async def tap_verify(self, key: Key, enciphered: bytes, mac: bytes, mirrored: bytes = b"") -> Tap | None:
        raise HsmError("tap_verify", Fault.UNSUPPORTED)

    async def tap_open(self, key: Key, enciphered: bytes, mac: bytes, file_data: bytes) -> OpenedTap | None:
        raise HsmError("tap_open", Fault.UNSUPPORTED)

    async def chip_verify(
        self, key: Key, identifier: bytes, counter: int, challenge: bytes, said: bytes
    ) -> bool:
        raise HsmError("chip_verify", Fault.UNSUPPORTED)

    async def card_key(self, key: Key, kind: CardKey, identifier: bytes, under: Key) -> ExportedKey:
        raise HsmError("card_key", Fault.UNSUPPORTED)

    async def card_challenge(self, key: Key, identifier: bytes, enciphered: bytes) -> Challenge:
        raise HsmError("card_challenge", Fault.UNSUPPORTED)

    async def card_confirm(self, key: Key, identifier: bytes, state: bytes, enciphered: bytes) -> bool:
        raise HsmError("card_confirm", Fault.UNSUPPORTED)

    # -------------------------------------------------- sessions and threads

    async def _do(
        self, operation: str, act: Callable[[_Session], Result], lane: _Lane | None = None
    ) -> Result:
        if self._closed:
            raise HsmError(operation, Fault.UNAVAILABLE, "closed")
        if sum(one.waiting for one in self._lanes) >= MOST_WAITING:
            raise HsmError(operation, Fault.UNAVAILABLE, "too many calls wait")
        chosen = lane or min(self._lanes, key=lambda one: one.waiting)
        chosen.waiting += 1
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(chosen.thread, self._in_thread, operation, act, chosen)
        call.add_done_callback(partial(_done, chosen))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(call)
        except TimeoutError:
            raise HsmError(operation, Fault.UNAVAILABLE, "no answer in time") from None

    def _in_thread(self, operation: str, act: Callable[[_Session], Result], lane: _Lane) -> Result:
        try:
            with load(self._module):
                if lane.session is None:
                    lane.session = self._open()
                return act(lane.session)
        except exceptions.PKCS11Error as error:
            if not isinstance(error, _CLEAN):
                self._give_up(lane)
            raise HsmError(operation, _fault(error), type(error).__name__) from None

    def _open(self) -> _Session:
        """Logging in is for the whole process: another session on this token may have done it."""
        with self._opening:
            if self._refused:
                raise exceptions.PinIncorrect
            token = pkcs11.lib(self._module).get_token(token_label=self._token_label)
            try:
                return _Session(token.open(rw=True, user_pin=self._user_pin))
            except exceptions.UserAlreadyLoggedIn:
                return _Session(token.open(rw=True))
            except (exceptions.PinIncorrect, exceptions.PinLocked):
                self._refused = True
                raise

    def _give_up(self, lane: _Lane) -> None:
        own, lane.session = lane.session, None
        if own is None:
            return
        with load(self._module):
            try:
                own.session.close()
            except exceptions.PKCS11Error:
                return  # gone already

    def _held(self, operation: str, own: _Session, reference: str, use: KeyUse) -> pkcs11.SecretKey:
        """The key object of this reference, if it is for this use."""
        found = own.keys.get(reference)
        if found is None:
            found = own.keys[reference] = self._found(operation, own, reference)
        if found[0] is not use:
            raise HsmError(operation, Fault.KEY_USE, f"a {use.name} key is needed")
        return found[1]

    def _found(self, operation: str, own: _Session, reference: str) -> tuple[KeyUse, pkcs11.SecretKey]:
        unknown = HsmError(operation, Fault.UNKNOWN_KEY, "the token has no such key")
        try:
            identifier = bytes.fromhex(reference)
        except ValueError:
            raise unknown from None
        if len(identifier) != IDENTIFIER_BYTES:
            raise unknown
        wanted = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.ID: identifier,
            pkcs11.Attribute.TOKEN: True,
        }
        objects = list(own.session.get_objects(wanted))
        if len(objects) != 1:
            raise unknown
        key = objects[0]
        assert isinstance(key, pkcs11.SecretKey)
        prefix, name = key.label[: len(LABEL_PREFIX)], key.label[len(LABEL_PREFIX) :]
        if prefix != LABEL_PREFIX or name not in KeyUse.__members__:
            raise HsmError(operation, Fault.KEY_USE, "the object's label names no use")
        return KeyUse[name], key


def _done(lane: _Lane, call: asyncio.Future[Result]) -> None:
    lane.waiting -= 1
    if not call.cancelled():
        call.exception()  # of a call that nobody waits for any more


def _kept(*also: pkcs11.Attribute) -> dict[pkcs11.Attribute, bool]:
    """Attributes of an object that is for logged-in users and never readable."""
    template = {
        pkcs11.Attribute.TOKEN: False,
        pkcs11.Attribute.PRIVATE: True,
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
    }
    return template | dict.fromkeys(also, True)


def _derive_next(parent: pkcs11.SecretKey, tail: bytes) -> pkcs11.SecretKey:
    """X9.24-3: an intermediate derivation key, as long as its parent. tail: derivation id, counter."""
    own = _DERIVED_BY_BITS[parent.key_length]
    return _derive(parent, Usage.DERIVATION, own, tail, pkcs11.MechanismFlag.DERIVE)


def _derive(
    parent: pkcs11.SecretKey, usage: Usage, algorithm: Algorithm, tail: bytes, flag: pkcs11.MechanismFlag
) -> pkcs11.SecretKey:
    """X9.24-3 clause 6.3 inside the token: the enciphered derivation data are the new key. tail: its last 8
    bytes. The new key lives in the session only and may do what `flag` says."""
    count = 1 if algorithm.bits == 128 else 2
    data = b"".join(
        bytes((1, number))
        + usage.to_bytes(2)
        + algorithm.indicator.to_bytes(2)
        + algorithm.bits.to_bytes(2)
        + tail
        for number in range(1, count + 1)
    )
    return _enciphered_into(parent, data, pkcs11.KeyType.AES, algorithm.bits, flag, _kept())


def _cmac_of_zeros_by_derivation(key: pkcs11.SecretKey) -> bytes:
    """The AES-CMAC of a zero block under a key that may only derive: its two encryptions as derived objects
    that can be read. They are no keys of ours; only 3 bytes of the second are ever told."""

    def enciphered(block: bytes) -> bytes:
        readable = _kept() | {pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True}
        nothing = pkcs11.MechanismFlag(0)
        derived = _enciphered_into(key, block, pkcs11.KeyType.GENERIC_SECRET, 128, nothing, readable)
        try:
            value: bytes = derived[pkcs11.Attribute.VALUE]
            return value
        finally:
            derived.destroy()

    subkey = int.from_bytes(enciphered(bytes(16)))
    subkey = (subkey << 1 & (1 << 128) - 1) ^ (0x87 if subkey >> 127 else 0)
    return enciphered(subkey.to_bytes(16))


def _enciphered_into(
    key: pkcs11.SecretKey,
    data: bytes,
    key_type: pkcs11.KeyType,
    bits: int,
    flag: pkcs11.MechanismFlag,
    template: dict[pkcs11.Attribute, bool],
) -> pkcs11.SecretKey:
    """CKM_AES_ECB_ENCRYPT_DATA: a session object whose value is the enciphered data."""
    if not isinstance(key, pkcs11.DeriveMixin):
        raise exceptions.KeyTypeInconsistent
    return key.derive_key(
        key_type,
        bits,
        capabilities=flag,
        mechanism=pkcs11.Mechanism.AES_ECB_ENCRYPT_DATA,
        mechanism_param=data,
        template=template,
    )


def _sign(key: pkcs11.SecretKey, data: bytes, mechanism: pkcs11.Mechanism) -> bytes:
    if not isinstance(key, pkcs11.SignMixin):
        raise exceptions.KeyTypeInconsistent
    return key.sign(data, mechanism=mechanism)


def _fault(error: exceptions.PKCS11Error) -> Fault:
    for fault, kinds in _FAULTS:
        if isinstance(error, kinds):
            return fault
    return Fault.UNAVAILABLE
