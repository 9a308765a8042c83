"""Keys on their way into the terminal: a new initial key, or those that the storage holds.

Needed once a start, so it is imported for that moment and given back. It writes nothing.
"""

import terminal
from terminal.dukpt import (
    FIRST_COUNTER,
    ID_BYTES,
    KEY_BYTES,
    LAST_COUNTER,
    SERIAL_BYTES,
    Registers,
    from_initial_key,
    usable,
)
from terminal.keys import COUNTER_BYTES, MARK_BYTES, MASK_BYTES, VERSION, Held, LoadError
from terminal.security import CHECK_VALUE_BYTES, check_value, hexadecimal, same, wipe

RETIRED_MOST = 8  # keys remembered after their time, so that none starts over at a counter it has used
INITIAL_KEY_USAGE = "B1"  # X9.143


def loaded(board, transport_key, held, block, serial, expected):
    """What the terminal is to hold now (keys.Held, without marks); held: what it holds, None at first.

    Arguments as keys.Keys.load(). The initial key itself is overwritten. Raises LoadError.
    """
    identifier, counter = _serial(serial)
    key = _unwrap(board, transport_key, block, identifier)
    try:
        value = check_value(board.aes, key)
        if expected is not None and not same(expected.encode(), value.encode()):
            raise LoadError("KCV", "the key has another check value")
        value = bytes.fromhex(value)
        retired = _retired(held, identifier, value, counter)
        registers = from_initial_key(board.aes, identifier, key, counter)
    finally:
        wipe(key)
    storage_key = held.storage_key if held else board.random(KEY_BYTES)
    return Held(registers, value, storage_key, bytes(MARK_BYTES), bytes(MARK_BYTES), retired)


def _unwrap(board, transport_key, block, identifier):
    from terminal.key_block import KeyBlockError, unwrap

    try:
        key, optional = unwrap(board.aes, transport_key, block, INITIAL_KEY_USAGE)
    except KeyBlockError as error:
        raise LoadError("BLOCK", str(error))
    finally:
        terminal.forget("terminal.key_block")
    if "IK" in optional and optional["IK"] != hexadecimal(identifier):
        wipe(key)
        raise LoadError("KSN", "the key block is of another initial key id")
    return key


def _retired(held, identifier, value, counter):
    """The keys that have served once this one is taken. Raises LoadError: it would start over."""
    if held is None:
        return []
    retired = held.retired + [(held.registers.identifier, held.value, held.registers.counter)]
    others = []
    for other in retired:
        if not (same(other[0], identifier) and same(other[1], value)):
            others.append(other)
        elif counter < other[2]:
            raise LoadError("KSN", "this key has been used beyond this serial")
    return others[-RETIRED_MOST:]


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


# ---------------------------------------------------------------- from the storage


def parsed(aes, plain):
    """keys.Held of the unsealed content of the storage, as keys.Keys writes it. Raises ValueError."""
    reader = _Reader(plain)
    if reader.number(1) != VERSION:
        raise ValueError("keys: version")
    storage_key = reader.take(KEY_BYTES)
    mark = reader.take(MARK_BYTES)
    given = reader.take(MARK_BYTES)
    retired = []
    for _ in range(reader.number(1)):
        retired.append((reader.take(ID_BYTES), reader.take(CHECK_VALUE_BYTES), reader.number(COUNTER_BYTES)))
    identifier = reader.take(ID_BYTES)
    value = reader.take(CHECK_VALUE_BYTES)
    registers = Registers(aes, identifier, reader.number(COUNTER_BYTES))
    mask = reader.number(MASK_BYTES)
    for bit in range(8 * MASK_BYTES):
        if mask >> bit & 1:
            registers.put(bit, reader.take(KEY_BYTES))
    return Held(registers, value, storage_key, mark, given, retired)


class _Reader:
    """Cuts one thing after the other from content whose seal was whole."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, count):
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")
