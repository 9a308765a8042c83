"""The keys of one terminal: loaded once, kept sealed under the transport key, spent one counter at a time.

A counter is used only after the storage holds a bound above it, and what the storage holds derives no key
below that bound. So neither a power cut nor a stolen storage brings a used key back. Nothing here sends.
"""

from terminal.dukpt import (
    FIRST_COUNTER,
    ID_BYTES,
    KEY_BYTES,
    LAST_COUNTER,
    SERIAL_BYTES,
    Registers,
    Transmission,
    from_initial_key,
    usable,
)
from terminal.journal import JournalError
from terminal.security import CHECK_VALUE_BYTES, Cmac, Seal, check_value, same, wipe

FILE = "keys"
COUNTER_BLOCK = 64  # counters reserved by one write; so many may be lost by a power cut, of 2 448 023 842
RETIRED_MOST = 8  # keys remembered after their time, so that none starts over at a counter it has used
INITIAL_KEY_USAGE = "B1"  # X9.143

# Why the terminal can't work; also the names of the screens that say so.
NO_KEYS = "no_keys"
DAMAGED = "keys_damaged"
SPENT = "keys_spent"

_VERSION = 1
_PLACE = b"keys"
_MARK_BYTES = 8
_COUNTER_BYTES = 5  # a bound may lie just above the last counter
_MASK_BYTES = 4
_RETIRED_BYTES = ID_BYTES + CHECK_VALUE_BYTES + _COUNTER_BYTES


class NoKey(Exception):
    """There is no key to send a message under; `reason` is one of the reasons above."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class LoadError(Exception):
    """Keys that were not taken; nothing changed. code: one word for a machine; the text quotes no key."""

    def __init__(self, code, what):
        super().__init__(what)
        self.code = code


class Keys:
    """board: aes, storage, random. Raises JournalError when the storage can't be read."""

    def __init__(self, board, transport_key, log):
        self._board = board
        self._transport_key = transport_key
        self._seal = Seal(board.aes, transport_key, board.random)
        self._log = log
        self._registers = None
        self._bound = 0
        self._check_value = b""
        self._mark = bytes(_MARK_BYTES)
        self._retired = []
        self._damaged = False
        self.storage_key = None  # of the journal's seal; None until keys were loaded
        self._open()

    @property
    def trouble(self):
        """Why no message can be sent: NO_KEYS, DAMAGED or SPENT; None when one can."""
        if self._registers is None:
            return DAMAGED if self._damaged else NO_KEYS
        return SPENT if self._registers.counter > LAST_COUNTER else None

    @property
    def identifier(self):
        """The initial key id, 8 bytes; None without keys."""
        return self._registers.identifier if self._registers else None

    @property
    def transport_check_value(self):
        """6 hexadecimal digits."""
        return check_value(self._board.aes, self._transport_key)

    def transmission(self):
        """The keys of the next message. Raises NoKey; JournalError when no counter can be reserved."""
        if self.trouble:
            raise NoKey(self.trouble)
        registers = self._registers
        if registers.counter >= self._bound:
            self._reserve()
        counter, key = registers.take()
        return Transmission(self._board.aes, registers.identifier, counter, key, self._board.random)

    def _reserve(self):
        bound = usable((self._registers.counter // COUNTER_BLOCK + 1) * COUNTER_BLOCK)
        later = self._registers.later(bound)
        try:
            self._write(later, self._check_value, self._mark, self._retired, self.storage_key)
        finally:
            later.wipe()
        self._bound = bound

    # ---------------------------------------------------------------- loading

    def provide(self, block, serial):
        """Load the key block of the settings; one that was taken is not taken again. Raises as load()."""
        mark = Cmac(self._board.aes, self._transport_key).tag((block + serial).encode())[:_MARK_BYTES]
        if same(mark, self._mark):
            return
        if self._damaged:
            raise LoadError("STORAGE", "the stored keys are damaged; a new start is for service to decide")
        self.load(block, serial, mark=mark)

    def load(self, block, serial, expected=None, mark=None):
        """Take an initial key; return its check value.

        block: an X9.143 `D` block under the transport key; serial: its first KSN, 24 hexadecimal digits;
        expected: the check value it should have. The random storage key is made when there is none yet.
        Raises LoadError, JournalError.
        """
        identifier, counter = _serial(serial)
        key = self._unwrap(block, identifier)
        try:
            value = check_value(self._board.aes, key)
            if expected is not None and not same(expected.encode(), value.encode()):
                raise LoadError("KCV", "the key has another check value")
            value = bytes.fromhex(value)
            retired = self._retired_by(identifier, value, counter)
            registers = from_initial_key(self._board.aes, identifier, key, counter)
        finally:
            wipe(key)
        storage_key = self.storage_key or self._board.random(KEY_BYTES)
        self._write(registers, value, mark or self._mark, retired, storage_key)
        if self._registers is not None:
            self._registers.wipe()
        self._use(registers, value, mark or self._mark, retired, storage_key)
        return "".join(["%02X" % byte for byte in value])

    def _unwrap(self, block, identifier):
        from terminal.key_block import KeyBlockError, unwrap

        try:
            key, optional = unwrap(self._board.aes, self._transport_key, block, INITIAL_KEY_USAGE)
        except KeyBlockError as error:
            raise LoadError("BLOCK", str(error))
        if "IK" in optional and optional["IK"] != "".join(["%02X" % byte for byte in identifier]):
            wipe(key)
            raise LoadError("KSN", "the key block is of another initial key id")
        return key

    def _retired_by(self, identifier, value, counter):
        """The keys that have served once this one is taken: [(id, check value, next counter)]."""
        retired = list(self._retired)
        if self._registers is not None:
            bound = max(self._bound, self._registers.counter)
            retired.append((self._registers.identifier, self._check_value, bound))
        for other in retired:
            if same(other[0], identifier) and same(other[1], value) and counter < other[2]:
                raise LoadError("KSN", "this key has been used beyond this serial")
        others = [other for other in retired if not (same(other[0], identifier) and same(other[1], value))]
        return others[-RETIRED_MOST:]

    def _use(self, registers, value, mark, retired, storage_key):
        self._registers = registers
        self._bound = registers.counter
        self._check_value = value
        self._mark = mark
        self._retired = retired
        self.storage_key = storage_key
        self._damaged = False

    # ---------------------------------------------------------------- storage

    def _write(self, registers, value, mark, retired, storage_key):
        """Version, storage key, mark, retired keys, id, check value, bound, which registers, registers."""
        parts = [bytes([_VERSION]), storage_key, mark, bytes([len(retired)])]
        for identifier, old_value, counter in retired:
            parts.append(identifier + old_value + counter.to_bytes(_COUNTER_BYTES, "big"))
        mask = 0
        for bit in registers.keys:
            mask |= 1 << bit
        parts.append(registers.identifier + value + registers.counter.to_bytes(_COUNTER_BYTES, "big"))
        parts.append(mask.to_bytes(_MASK_BYTES, "big"))
        parts += [registers.keys[bit] for bit in sorted(registers.keys)]
        plain = bytearray(b"".join(parts))
        sealed = self._seal.close(plain, _PLACE)
        wipe(plain)
        try:
            self._board.storage.replace(FILE, sealed)
        except OSError:
            raise JournalError("keys: the storage is full or broken")

    def _open(self):
        try:
            sealed = self._board.storage.read(FILE)
        except OSError:
            raise JournalError("keys: the storage can't be read")
        if sealed is None:
            return
        try:
            plain = self._seal.open(sealed, _PLACE)
            if plain[0] != _VERSION:
                raise ValueError
        except ValueError:
            self._damaged = True
            self._log("error", "keys: changed, or sealed under another transport key")
            return
        self._use(*self._parsed(_Reader(plain)))

    def _parsed(self, reader):
        reader.take(1)
        storage_key = reader.take(KEY_BYTES)
        mark = reader.take(_MARK_BYTES)
        retired = []
        for _ in range(reader.number(1)):
            retired.append(
                (reader.take(ID_BYTES), reader.take(CHECK_VALUE_BYTES), reader.number(_COUNTER_BYTES))
            )
        identifier = reader.take(ID_BYTES)
        value = reader.take(CHECK_VALUE_BYTES)
        counter = reader.number(_COUNTER_BYTES)
        mask = reader.number(_MASK_BYTES)
        keys = {bit: bytearray(reader.take(KEY_BYTES)) for bit in range(32) if mask >> bit & 1}
        return Registers(self._board.aes, identifier, counter, keys), value, mark, retired, storage_key


class _Reader:
    """Cuts one thing after the other from sealed content, which nobody could change."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, count):
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")


def _serial(text):
    """(initial key id, first counter that may be used) of a KSN in hexadecimal digits."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != SERIAL_BYTES:
        raise LoadError("KSN", "expected a serial of 24 hexadecimal digits")
    counter = usable(max(FIRST_COUNTER, int.from_bytes(data[ID_BYTES:], "big")))
    if counter > LAST_COUNTER:
        raise LoadError("KSN", "no counter is left after this serial")
    return data[:ID_BYTES], counter
