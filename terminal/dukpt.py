"""AES-128 DUKPT, the terminal's side (ANSI X9.24-3): intermediate key registers and the keys of one message.

A register is used once and then forgotten, so what the terminal holds derives no key of a message that was
sent. No storage here: `terminal.keys` makes counters durable before they are used.
"""

from terminal.hal.crypto import CBC, ECB
from terminal.pin import pin_block
from terminal.security import MAC_BYTES, Cmac, padded, same, wipe

KEY_BYTES = 16
ID_BYTES = 8  # initial key id: BDK id 4, derivation id 4
SERIAL_BYTES = 12  # KSN: initial key id, counter 4
LAST_COUNTER = 0xFFFFFFFF
MOST_ONES = 16  # a counter with more one bits is never used: no key needs more derivations
FIRST_COUNTER = 1

# Key usages (X9.24-3 table 2), named as the terminal sees them; "generation" is its own doing.
PIN_ENCRYPTION = 0x1000
MAC_GENERATION = 0x2000
MAC_VERIFICATION = 0x2001
DATA_ENCRYPTION = 0x3000
_DERIVATION = 0x8000
_AES_128 = 2
_INITIAL = 32  # the register of counter 0, which is no transaction's: the initial key


def derive(aes, key, usage, identifier, counter, out=None):
    """The key that `usage` and `counter` make of a derivation key, in `out` or a bytearray; X9.24-3, 6.3.

    identifier: the initial key id, whose second half enters.
    """
    data = bytearray(KEY_BYTES)
    data[0] = data[1] = 1
    data[2], data[3] = usage >> 8, usage & 0xFF
    data[5] = _AES_128
    data[7] = 0x80  # bits of the key
    for place in range(4):
        data[8 + place] = identifier[4 + place]
        data[12 + place] = counter >> 24 - 8 * place & 0xFF
    if out is None:
        out = data
    aes(key, ECB).encrypt(data, out)
    return out


def usable(counter):
    """The first counter from this one on that may be used; above LAST_COUNTER when there is none."""
    while counter <= LAST_COUNTER and ones(counter) > MOST_ONES:
        counter += counter & -counter
    return counter


def ones(number):
    """How many bits are set."""
    count = 0
    while number:
        number &= number - 1
        count += 1
    return count


class Registers:
    """The keys that derive those of every counter from `counter` on, and of none before it.

    Register `bit` holds the key of the next counter whose lowest one is that bit: `counter` itself, and for
    each zero bit above its lowest one the counter that will have it set. mask: the registers that hold one.
    All lie in one buffer: so many small ones would take four times the memory.
    """

    def __init__(self, aes, identifier, counter):
        self._aes = aes
        self.identifier = identifier
        self.counter = counter
        self.mask = 0
        self._keys = memoryview(bytearray((_INITIAL + 1) * KEY_BYTES))

    def put(self, bit, key):
        """Set a register."""
        self.register(bit)[:] = key
        self.mask |= 1 << bit

    def register(self, bit):
        """The bytes of a register, to read or to change."""
        return self._keys[bit * KEY_BYTES : (bit + 1) * KEY_BYTES]

    def held(self):
        """The registers that hold a key, ascending."""
        return [bit for bit in range(_INITIAL) if self.mask >> bit & 1]

    def take(self):
        """(counter, its derivation key as bytearray); the register is forgotten. Not above LAST_COUNTER."""
        counter = self.counter
        bit = _lowest(counter)
        key = bytearray(self.register(bit))
        wipe(self.register(bit))
        self.mask &= ~(1 << bit)
        if ones(counter) < MOST_ONES:
            for lower in range(bit):
                self._derive(key, counter | 1 << lower, self.register(lower))
                self.mask |= 1 << lower
        self.counter = usable(counter + 1)
        return counter, key

    def later(self, counter):
        """Registers as of a later counter that may be used; above LAST_COUNTER: empty ones."""
        later = Registers(self._aes, self.identifier, counter)
        if counter <= LAST_COUNTER:
            lowest = _lowest(counter)
            for bit in range(lowest, _INITIAL):
                wanted = counter >> bit + 1 << bit + 1 | 1 << bit
                if (bit == lowest or not counter >> bit & 1) and ones(wanted) <= MOST_ONES:
                    self._copy_key_of(wanted, later.register(bit))
                    later.mask |= 1 << bit
        return later

    def wipe(self):
        """Forget all."""
        wipe(self._keys)
        self.mask = 0

    def _copy_key_of(self, counter, out):
        """Write the derivation key of a counter that is not older than the present one."""
        # From the register whose counter is the wanted one cut off below a bit, one bit after the other.
        bit = max(_highest(counter & ~self.counter), _lowest(self.counter))
        out[:] = self.register(bit)
        path = counter >> bit << bit
        while path != counter:
            path |= 1 << _highest(counter ^ path)
            self._derive(out, path, out)

    def _derive(self, key, counter, out):
        derive(self._aes, key, _DERIVATION, self.identifier, counter, out)


def from_initial_key(aes, identifier, key, counter):
    """Registers as of the first counter to be used, made of an initial key; the caller then wipes the key."""
    initial = Registers(aes, identifier, 0)
    initial.put(_INITIAL, key)
    registers = initial.later(counter)
    initial.wipe()
    return registers


class Transmission:
    """The keys of one message: its serial (KSN), its MAC, its answer's MAC, its PIN blocks and data.

    close() when the message is packed; afterwards only verify() is left.
    """

    def __init__(self, aes, identifier, counter, key, random):
        self.serial = identifier + counter.to_bytes(4, "big")
        self._aes = aes
        self._counter = counter
        self._key = key
        self._random = random
        self._answer = Cmac(aes, self._working(MAC_VERIFICATION))

    def mac(self, data):
        """The 8 bytes that close the request: the left half of its CMAC."""
        return Cmac(self._aes, self._working(MAC_GENERATION)).tag(data)[:MAC_BYTES]

    def verify(self, data, mac):
        """Whether `mac` closes the answer `data`; takes the same time for every wrong one."""
        return mac is not None and same(self._answer.tag(data)[:MAC_BYTES], mac)

    def pin_block(self, pin, card):
        """The PIN (bytearray of digits as numbers) enciphered over a card number: 16 bytes, format 4."""
        key = self._working(PIN_ENCRYPTION)
        try:
            return pin_block(self._aes, key, pin, card, self._random)
        finally:
            wipe(key)

    def encipher(self, data):
        """`data` under the data key: AES-CBC, zero vector (the key is this message's own), padding 2."""
        key = self._working(DATA_ENCRYPTION)
        try:
            return self._aes(key, CBC, bytes(len(key))).encrypt(padded(data))
        finally:
            wipe(key)

    def close(self):
        """Forget what could make further keys of this serial."""
        if self._key is not None:
            wipe(self._key)
            self._key = None

    def _working(self, usage):
        return derive(self._aes, self._key, usage, self.serial, self._counter)


def _lowest(number):
    """The place of the lowest one bit; _INITIAL for 0."""
    bit = 0
    while bit < _INITIAL and not number >> bit & 1:
        bit += 1
    return bit


def _highest(number):
    """The place of the highest one bit, -1 for 0."""
    bit = -1
    while number:
        number >>= 1
        bit += 1
    return bit
