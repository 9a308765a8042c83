"""The keys of one terminal: loaded once, kept sealed under the transport key, spent one counter at a time.

A counter is used only after the storage holds a bound above it, and what the storage holds derives no key
below that bound. So neither a power cut nor a stolen storage brings a used key back. Nothing here sends.
"""

import terminal
from terminal.dukpt import LAST_COUNTER, Transmission, usable
from terminal.journal import store, stored
from terminal.security import Cmac, Seal, check_value, hexadecimal, same, wipe

FILE = "keys"
COUNTER_BLOCK = 64  # counters reserved by one write; so many may be lost by a power cut, of 2 448 023 842
MARK_BYTES = 8

# Why the terminal can't work; also the names of the screens that say so.
NO_KEYS = "no_keys"
DAMAGED = "keys_damaged"
SPENT = "keys_spent"

VERSION = 1
PLACE = b"keys"
COUNTER_BYTES = 5  # a bound may lie just above the last counter
MASK_BYTES = 4


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


class Held:
    """What a terminal holds: registers; the key they came from by its check value (3 bytes); the storage key.

    mark: of the key block that was taken last; given: of the one of the settings; retired: keys of before, as
    (initial key id, check value, first counter not used).
    """

    def __init__(self, registers, value, storage_key, mark, given, retired):
        self.registers = registers
        self.value = value
        self.storage_key = storage_key
        self.mark = mark
        self.given = given
        self.retired = retired


class Keys:
    """board: aes, storage, random. Raises JournalError when the storage can't be read."""

    def __init__(self, board, transport_key, log):
        self._board = board
        self._transport_key = transport_key
        self._seal = Seal(board.aes, transport_key, board.random)
        self._log = log
        self._held = None
        self._bound = 0  # counters below it may be used
        self._damaged = False
        self._open()

    @property
    def trouble(self):
        """Why no message can be sent: NO_KEYS, DAMAGED or SPENT; None when one can."""
        if self._held is None:
            return DAMAGED if self._damaged else NO_KEYS
        return SPENT if self._held.registers.counter > LAST_COUNTER else None

    @property
    def storage_key(self):
        """Of the journal's seal; None until keys were loaded."""
        return self._held and self._held.storage_key

    @property
    def transport_check_value(self):
        """6 hexadecimal digits."""
        return check_value(self._board.aes, self._transport_key)

    def transmission(self):
        """The keys of the next message. Raises NoKey; JournalError when no counter can be reserved."""
        if self.trouble:
            raise NoKey(self.trouble)
        registers = self._held.registers
        if registers.counter >= self._bound:
            self._reserve()
        counter, key = registers.take()
        return Transmission(self._board.aes, registers.identifier, counter, key, self._board.random)

    def _reserve(self):
        registers = self._held.registers
        bound = usable((registers.counter // COUNTER_BLOCK + 1) * COUNTER_BLOCK)
        later = registers.later(bound)
        try:
            self._write(self._held, later)
        finally:
            later.wipe()
        self._bound = bound

    # ---------------------------------------------------------------- loading

    def provide(self, block, serial):
        """Load the key block of the settings; one that was taken is not taken again. Raises as load()."""
        given = self._mark(block, serial)
        if self._held is not None and same(given, self._held.given):
            return
        if self._damaged:
            raise LoadError("STORAGE", "the stored keys are damaged; a new start is for service to decide")
        self.load(block, serial, given=given)

    def _mark(self, block, serial):
        return Cmac(self._board.aes, self._transport_key).tag((block + serial).encode())[:MARK_BYTES]

    def load(self, block, serial, expected=None, given=None):
        """Take an initial key; return its check value.

        block: an X9.143 `D` block under the transport key; serial: its first KSN, 24 hexadecimal digits;
        expected: the check value it should have; given: the mark when it is the settings' one. The block
        taken last may come again (its answer was lost) and changes nothing. The random storage key is made
        when there is none yet. Raises LoadError, JournalError.
        """
        mark = self._mark(block, serial)
        if self._held is not None and given is None and same(mark, self._held.mark):
            return hexadecimal(self._held.value)
        from terminal.key_loading import loaded

        try:
            held = loaded(self._board, self._transport_key, self._held, block, serial, expected)
        finally:
            terminal.forget("terminal.key_loading")
        held.mark = mark
        held.given = given or (self._held.given if self._held else bytes(MARK_BYTES))
        self._write(held, held.registers)
        if self._held is not None:
            self._held.registers.wipe()
        self._use(held)
        return hexadecimal(held.value)

    def _use(self, held):
        self._held = held
        self._bound = held.registers.counter
        self._damaged = False

    # ---------------------------------------------------------------- storage

    def _write(self, held, registers):
        """Version, storage key, marks, retired keys, id, check value, bound, which registers, registers."""
        plain = bytearray([VERSION])
        plain.extend(held.storage_key + held.mark + held.given)
        plain.append(len(held.retired))
        for identifier, value, counter in held.retired:
            plain.extend(identifier + value + counter.to_bytes(COUNTER_BYTES, "big"))
        plain.extend(registers.identifier + held.value + registers.counter.to_bytes(COUNTER_BYTES, "big"))
        plain.extend(registers.mask.to_bytes(MASK_BYTES, "big"))
        for bit in registers.held():
            plain.extend(registers.register(bit))
        sealed = self._seal.close(plain, PLACE)
        wipe(plain)
        store(self._board.storage, FILE, sealed, "keys")

    def _open(self):
        sealed = stored(self._board.storage, FILE, "keys: the storage")
        if sealed is None:
            return
        from terminal.key_loading import parsed

        try:
            self._use(parsed(self._board.aes, self._seal.open(sealed, PLACE)))
        except ValueError:
            self._damaged = True
            self._log("error", "keys: changed, or sealed under another transport key")
        finally:
            terminal.forget("terminal.key_loading")
