"""AES as a board has it, for test modules of either interpreter: MicroPython's own, OpenSSL's under CPython.

The firmware's plain Python is right and slow: held against this one, and used where it is what is meant.
"""

try:
    from cryptolib import aes
except ImportError:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    from terminal.hal.crypto import BLOCK, CBC

    class aes:
        """The calls of `cryptolib`: aes(key, ECB) or aes(key, CBC, iv), one direction per object."""

        def __init__(self, key, mode, iv=None):
            chained = modes.CBC(bytes(iv)) if mode == CBC else modes.ECB()
            self._cipher = Cipher(algorithms.AES(bytes(key)), chained)
            self._through = None

        def encrypt(self, data, out=None):
            return self._pass(data, out, self._cipher.encryptor)

        def decrypt(self, data, out=None):
            return self._pass(data, out, self._cipher.decryptor)

        def _pass(self, data, out, begin):
            if len(data) % BLOCK:
                raise ValueError("blksize % 16")
            if self._through is None:
                self._through = begin()
            result = self._through.update(bytes(data))
            if out is None:
                return result
            out[: len(result)] = result
            return out


__all__ = ("aes",)
