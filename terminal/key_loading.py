"""An initial key on its way into the terminal: block, id, serial and check value fit, or nothing happens.

Needed once in a terminal's life, so it is imported when needed and given back. It writes nothing.
"""

import terminal
from terminal.dukpt import (
    FIRST_COUNTER,
    ID_BYTES,
    KEY_BYTES,
    LAST_COUNTER,
    SERIAL_BYTES,
    from_initial_key,
    usable,
)
from terminal.keys import MARK_BYTES, Held, LoadError, hexadecimal
from terminal.security import check_value, same, wipe

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
