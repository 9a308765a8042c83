"""The one door to AES: the board's own `cryptolib` where it has one, plain Python otherwise.

Everything else is handed `aes` from here and never asks which of the two it got. No key is kept here.
"""

try:
    from cryptolib import aes
except ImportError:
    from terminal.hal.aes import aes

ECB = 1  # aes(key, ECB): one direction per object; encrypt(data, out) writes into a bytearray
CBC = 2  # aes(key, CBC, vector): chains on over calls
BLOCK = 16

__all__ = ("BLOCK", "CBC", "ECB", "aes")
