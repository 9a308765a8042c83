"""AES DUKPT (ANSI X9.24-3:2017): one initial key per terminal, one set of working keys per counter value.

Derivation is AES-ECB over 16-byte derivation data (clause 6.3), so it maps to any HSM. The names of the MAC
and data usages are the terminal's view: it generates under MAC_GENERATION, we verify under the same key.
A counter that no terminal may use is never derived for.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, IntEnum
from functools import cache

from cryptography.hazmat.primitives.ciphers import CipherContext

from switch.hsm.crypto.ciphers import AES_BLOCK_BYTES, AES_KEY_BYTES, AesPlace, aes_block_encryptor

SERIAL_BYTES = 12  # key serial number: BDK id 4, derivation id 4, transaction counter 4
INITIAL_KEY_ID_BYTES = 8
MOST_COUNTER_ONES = 16  # X9.24-3 clause 6.1: bounds the derivation steps of the receiver
UPDATE_COUNTER = 0xFFFFFFFF  # no transaction has it: its key protects the terminal's next initial key
PARENTS_KEPT = 16384  # some 2 live parents each for 8000 terminals, about 16 MiB

_VERSION = 1
_number = int.from_bytes


class Usage(IntEnum):
    """What a derived key is for (X9.24-3 table 2)."""

    KEY_ENCRYPTION = 0x0002
    PIN = 0x1000
    MAC_GENERATION = 0x2000
    MAC_VERIFICATION = 0x2001
    MAC_BOTH = 0x2002
    DATA_ENCRYPT = 0x3000
    DATA_DECRYPT = 0x3001
    DATA_BOTH = 0x3002
    DERIVATION = 0x8000
    INITIAL_KEY = 0x8001


class Algorithm(Enum):
    """What a derived key is made for. Value: X9.24-3 algorithm indicator, key bits."""

    TDES_2 = (0, 128)
    TDES_3 = (1, 192)
    AES_128 = (2, 128)
    AES_192 = (3, 192)
    AES_256 = (4, 256)
    HMAC_128 = (5, 128)
    HMAC_192 = (5, 192)
    HMAC_256 = (5, 256)

    @property
    def indicator(self) -> int:
        return self.value[0]

    @property
    def bits(self) -> int:
        return self.value[1]


_AES_128 = Algorithm.AES_128  # looked up once: every derivation asks for it
_AES_BY_BYTES = {16: Algorithm.AES_128, 24: Algorithm.AES_192, 32: Algorithm.AES_256}
# Bits of security where they differ from the key's bits (NIST SP 800-57 part 1): a working key must not be
# stronger than the key it comes from.
_STRENGTH = {Algorithm.TDES_2: 80, Algorithm.TDES_3: 112}


def valid_counter(counter: int) -> bool:
    """Whether a terminal may use this transaction counter: 32 bits, 1 to 16 of them one."""
    return 0 < counter <= 0xFFFFFFFF and counter.bit_count() <= MOST_COUNTER_ONES


def initial_key(base_key: bytes, initial_key_id: bytes) -> bytes:
    """A terminal's initial key, as long as the base derivation key. initial_key_id: 8 bytes (BDK id,
    derivation id). Raises ValueError."""
    _check_initial_key_id(initial_key_id)
    own = _algorithm_of(base_key)
    return _derive(aes_block_encryptor(base_key), _head(Usage.INITIAL_KEY, own), initial_key_id, own)


def transaction_key(initial: bytes, serial: bytes) -> bytes:
    """The intermediate derivation key that all working keys of this serial come from. Raises ValueError."""
    return _transaction_key(initial, serial[4:8], counter_of(serial))


def working_key(
    initial: bytes, serial: bytes, usage: Usage, algorithm: Algorithm = Algorithm.AES_128
) -> bytes:
    """The key of one use under a terminal's 12-byte serial. Raises ValueError: counter no terminal may use,
    or an algorithm stronger than the initial key."""
    _check_working(usage, algorithm, _algorithm_of(initial))
    key = aes_block_encryptor(transaction_key(initial, serial))
    return _derive(key, _head(usage, algorithm), serial[4:12], algorithm)


def update_key(initial: bytes, initial_key_id: bytes, algorithm: Algorithm | None = None) -> bytes:
    """The DUKPT update key, which protects the terminal's next initial key: usage 0002, counter FFFFFFFF.
    algorithm: the initial key's own unless told. Raises ValueError."""
    _check_initial_key_id(initial_key_id)
    own = _algorithm_of(initial)
    algorithm = algorithm or own
    _check_working(Usage.KEY_ENCRYPTION, algorithm, own)
    derivation_id = initial_key_id[4:8]
    key = aes_block_encryptor(_transaction_key(initial, derivation_id, UPDATE_COUNTER))
    tail = derivation_id + UPDATE_COUNTER.to_bytes(4)
    return _derive(key, _head(Usage.KEY_ENCRYPTION, algorithm), tail, algorithm)


def counter_of(serial: bytes) -> int:
    """The transaction counter of a 12-byte serial. Raises ValueError for one that no terminal may use."""
    if len(serial) != SERIAL_BYTES:
        raise ValueError(f"a key serial number has {SERIAL_BYTES} bytes, not {len(serial)}")
    counter = int.from_bytes(serial[8:])
    if not 0 < counter.bit_count() <= MOST_COUNTER_ONES:
        raise ValueError(f"no terminal uses counter {counter:08X}: 1 to {MOST_COUNTER_ONES} ones are allowed")
    return counter


class Deriver:
    """Derives working keys from one base derivation key and keeps the parents of the latest counters.

    The key of a counter comes from the key of that counter without its lowest one; the counters of a busy
    terminal share those parents. Bounded, least recently used leaves first. For one thread.
    """

    __slots__ = ("_base_key", "_head", "_next", "_own", "_parents", "_parents_kept", "_room")

    def __init__(self, base_key: bytes, parents_kept: int = PARENTS_KEPT) -> None:
        self._base_key = base_key
        self._own = _algorithm_of(base_key)
        self._head = _head(Usage.DERIVATION, self._own)
        # Where each derived key becomes a cipher. A cipher call into a buffer asks for a block more.
        self._room = bytearray(len(base_key) + AES_BLOCK_BYTES)
        self._next = AesPlace(memoryview(self._room)[: len(base_key)])
        # By serial, with counter 0 for the initial key.
        self._parents: OrderedDict[bytes, CipherContext] = OrderedDict()
        self._parents_kept = parents_kept

    def __repr__(self) -> str:
        return "Deriver(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    @property
    def parents(self) -> int:
        """How many keys are kept."""
        return len(self._parents)

    def initial_key(self, initial_key_id: bytes) -> bytes:
        """See the function of this name."""
        return initial_key(self._base_key, initial_key_id)

    def working_keys(self, serial: bytes, usages: tuple[Usage, ...]) -> tuple[bytes, ...]:
        """AES-128 working keys of one serial, in the order asked for, in one cipher call. Raises
        ValueError for a serial that no terminal may use."""
        room = bytearray(AES_BLOCK_BYTES * len(usages) + AES_BLOCK_BYTES - 1)
        self.working_keys_into(room, serial, working_key_heads(usages))
        return tuple(
            [bytes(room[at : at + 16]) for at in range(0, AES_BLOCK_BYTES * len(usages), AES_BLOCK_BYTES)]
        )

    def working_keys_into(self, room: bytearray, serial: bytes, heads: tuple[bytes, ...]) -> None:
        """As `working_keys`, one after another into `room`, which has a block more than they fill, less one
        byte. heads: see `working_key_heads`. Raises ValueError."""
        tail = serial[4:]
        self._transaction_key(serial).update_into(tail.join(heads) + tail, room)

    def working_key(self, serial: bytes, usage: Usage, algorithm: Algorithm = Algorithm.AES_128) -> bytes:
        """See the function of this name."""
        _check_working(usage, algorithm, self._own)
        return _derive(self._transaction_key(serial), _head(usage, algorithm), serial[4:12], algorithm)

    def _transaction_key(self, serial: bytes) -> CipherContext:
        counter = _number(serial[8:])
        if len(serial) != SERIAL_BYTES or not 0 < counter.bit_count() <= MOST_COUNTER_ONES:
            counter_of(serial)  # says what is wrong with it
        if counter & 1:  # an odd counter is nobody's parent
            return self._child(serial, counter)
        return self._parent(serial, counter)

    def _parent(self, serial: bytes, counter: int) -> CipherContext:
        parents = self._parents
        key = parents.get(serial)
        if key is not None:
            parents.move_to_end(serial)
            return key
        if counter:
            key = self._child(serial, counter)
        else:
            self._next.key[:] = self.initial_key(serial[:8])
            key = self._next.block_encryptor()
        parents[serial] = key
        if len(parents) > self._parents_kept:
            parents.popitem(last=False)
        return key

    def _child(self, serial: bytes, counter: int) -> CipherContext:
        above = counter & (counter - 1)
        parent_serial = serial[:8] + above.to_bytes(4, "big")
        parent = self._parents.get(parent_serial)
        if parent is None:
            parent = self._parent(parent_serial, above)
        else:
            self._parents.move_to_end(parent_serial)
        if self._own is _AES_128:
            parent.update_into(self._head + serial[4:], self._room)
        else:
            self._next.key[:] = _derive(parent, self._head, serial[4:], self._own)
        return self._next.block_encryptor()


@cache  # of ten usages, a few sets are ever asked for
def working_key_heads(usages: tuple[Usage, ...]) -> tuple[bytes, ...]:
    """What derivation data of AES-128 working keys begin with. Raises ValueError for what is no working
    key."""
    for usage in usages:
        _check_working(usage, Algorithm.AES_128, Algorithm.AES_128)
    return tuple(_head(usage, Algorithm.AES_128) for usage in usages)


def _check_initial_key_id(initial_key_id: bytes) -> None:
    if len(initial_key_id) != INITIAL_KEY_ID_BYTES:
        raise ValueError(f"an initial key id has {INITIAL_KEY_ID_BYTES} bytes, not {len(initial_key_id)}")


def _transaction_key(initial: bytes, derivation_id: bytes, counter: int) -> bytes:
    """One derivation per one-bit of the counter, from the left (X9.24-3 clause 6.1)."""
    own = _algorithm_of(initial)
    head, key, reached = _head(Usage.DERIVATION, own), initial, 0
    for place in range(31, -1, -1):
        if counter >> place & 1:
            reached |= 1 << place
            key = _derive(aes_block_encryptor(key), head, derivation_id + reached.to_bytes(4), own)
    return key


def _algorithm_of(key: bytes) -> Algorithm:
    if len(key) not in AES_KEY_BYTES:
        raise ValueError(f"AES DUKPT derives from keys of 16, 24 or 32 bytes, not {len(key)}")
    return _AES_BY_BYTES[len(key)]


def _check_working(usage: Usage, algorithm: Algorithm, own: Algorithm) -> None:
    if usage is Usage.INITIAL_KEY:
        raise ValueError("an initial key is no working key")
    if _STRENGTH.get(algorithm, algorithm.bits) > own.bits:
        raise ValueError(f"{algorithm.name} is stronger than the key it would come from")


def _head(usage: Usage, algorithm: Algorithm) -> bytes:
    """Derivation data of the first block without its last 8 bytes (X9.24-3 clause 6.3.2)."""
    return (
        bytes((_VERSION, 1))
        + usage.to_bytes(2)
        + algorithm.indicator.to_bytes(2)
        + algorithm.bits.to_bytes(2)
    )


def _derive(key: CipherContext, head: bytes, tail: bytes, algorithm: Algorithm) -> bytes:
    """X9.24-3 clause 6.3.1: as many blocks as the derived key needs, numbered in their second byte."""
    if algorithm.bits == 128:
        return key.update(head + tail)
    return key.update(head + tail + head[:1] + b"\x02" + head[2:] + tail)[: algorithm.bits // 8]
