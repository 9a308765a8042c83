"""AES-128, -192 and -256 in plain Python, for interpreters without `cryptolib`; the same calls as there.

Table-driven and slow. Table look-ups leak timing: not for a place where an attacker
can measure single blocks. FIPS 197; modes ECB and CBC of SP 800-38A.
"""

ECB = 1
CBC = 2
BLOCK = 16


def _double(value):
    """Multiply by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    value <<= 1
    return value ^ 0x11B if value & 0x100 else value


def _substitution():
    """The S-box and its inverse: the inverse in GF(2^8), then the affine map. FIPS 197, 5.1.1."""
    powers = []  # of the generator 3
    value = 1
    for _ in range(255):
        powers.append(value)
        value ^= _double(value)
    forward = bytearray(256)
    backward = bytearray(256)
    forward[0] = 0x63
    for exponent, value in enumerate(powers):
        inverse = powers[(255 - exponent) % 255]
        spread = inverse | inverse << 8
        forward[value] = (spread ^ spread >> 4 ^ spread >> 5 ^ spread >> 6 ^ spread >> 7) & 0xFF ^ 0x63
    for value in range(256):
        backward[forward[value]] = value
    return bytes(forward), bytes(backward)


_FORWARD, _BACKWARD = _substitution()
_TWICE = bytes([_double(value) for value in range(256)])
# Byte i of the shifted state comes from this place of the old one (5.1.2); columns are 4 consecutive bytes.
_SHIFT = (0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11)
_UNSHIFT = (0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3)


def _mix(state):
    """MixColumns (5.1.3) in place."""
    for at in range(0, BLOCK, 4):
        a, b, c, d = state[at : at + 4]
        every = a ^ b ^ c ^ d
        state[at] = a ^ every ^ _TWICE[a ^ b]
        state[at + 1] = b ^ every ^ _TWICE[b ^ c]
        state[at + 2] = c ^ every ^ _TWICE[c ^ d]
        state[at + 3] = d ^ every ^ _TWICE[d ^ a]


def _unmix(state):
    """InvMixColumns (5.3.3) in place: the forward map after adding 4 times a^c and b^d."""
    for at in range(0, BLOCK, 4):
        a, b, c, d = state[at : at + 4]
        even = _TWICE[_TWICE[a ^ c]]
        odd = _TWICE[_TWICE[b ^ d]]
        state[at] = a ^ even
        state[at + 1] = b ^ odd
        state[at + 2] = c ^ even
        state[at + 3] = d ^ odd
    _mix(state)


def _round_keys(key):
    """The expanded key (5.2) as a list of 16-byte round keys."""
    words = [key[at : at + 4] for at in range(0, len(key), 4)]
    count = len(words)
    constant = 1
    for index in range(count, 4 * (count + 7)):
        word = words[-1]
        if index % count == 0:
            word = bytes([_FORWARD[byte] for byte in word[1:] + word[:1]])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _double(constant)
        elif count > 6 and index % count == 4:
            word = bytes([_FORWARD[byte] for byte in word])
        words.append(_xor(word, words[-count]))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def _xor(left, right):
    return bytes([a ^ b for a, b in zip(left, right)])


class aes:
    """aes(key, ECB) or aes(key, CBC, iv), named as in cryptolib: one direction per object, CBC chains on."""

    def __init__(self, key, mode, iv=None):
        if len(key) not in (16, 24, 32):
            raise ValueError("key")
        if mode not in (ECB, CBC) or (mode == CBC and (iv is None or len(iv) != BLOCK)):
            raise ValueError("mode")
        self._keys = _round_keys(bytes(key))
        self._chain = bytes(iv) if mode == CBC else None

    def encrypt(self, data, out=None):
        """Whole blocks in, as many out, or into the buffer `out`. Raises ValueError for a part of a block."""
        return self._through(data, out, self._encrypt_next)

    def decrypt(self, data, out=None):
        """As encrypt(), back."""
        return self._through(data, out, self._decrypt_next)

    def _through(self, data, out, step):
        result = bytearray(len(data)) if out is None else out
        at = 0
        for block in _blocks(data):
            result[at : at + BLOCK] = step(block)
            at += BLOCK
        return bytes(result) if out is None else out

    def _encrypt_next(self, block):
        if self._chain is None:
            return self._encrypt_block(block)
        self._chain = self._encrypt_block(_xor(block, self._chain))
        return self._chain

    def _decrypt_next(self, block):
        plain = self._decrypt_block(block)
        if self._chain is not None:
            plain = _xor(plain, self._chain)
            self._chain = block
        return plain

    def _encrypt_block(self, block):
        state = _xor(block, self._keys[0])
        last = len(self._keys) - 1
        for index in range(1, last + 1):
            state = bytearray([_FORWARD[state[place]] for place in _SHIFT])
            if index != last:
                _mix(state)
            state = _xor(state, self._keys[index])
        return state

    def _decrypt_block(self, block):
        state = _xor(block, self._keys[-1])
        for index in range(len(self._keys) - 2, -1, -1):
            state = bytearray([_BACKWARD[state[place]] for place in _UNSHIFT])
            state = bytearray(_xor(state, self._keys[index]))
            if index:
                _unmix(state)
        return bytes(state)


def _blocks(data):
    if len(data) % BLOCK:
        raise ValueError("blksize % 16")
    return [bytes(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
