"""A contact chip card of the loyalty program: its files, its PIN, and what it proves with its AES key.

ISO/IEC 7816-4. Application F0 56 41 46 41 01 holds: file 01, who it is (the digits of track 2, padded
with F, and a version); file 02, what merchants may read of the member (level, language). SELECT, READ
BINARY, VERIFY, GET CHALLENGE, INTERNAL and EXTERNAL AUTHENTICATE. It knows no reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from switch.hsm.crypto.ciphers import aes_cbc_decrypt, aes_cbc_encrypt
from switch.hsm.crypto.ntag424 import CHALLENGE_BYTES, CHIP_COUNTER_BYTES, cryptogram

APPLICATION: Final = bytes.fromhex("F05641464101")
IDENTITY_FILE, MEMBER_FILE = 0x0001, 0x0002
PIN_TRIES: Final = 3
LAST_COUNT: Final = (1 << 8 * CHIP_COUNTER_BYTES) - 1

OK: Final = b"\x90\x00"
_WRONG_LENGTH, _SECURITY, _BLOCKED, _CONDITIONS = b"\x67\x00", b"\x69\x82", b"\x69\x83", b"\x69\x85"
_NOT_FOUND, _WRONG_PLACE, _WRONG_P1P2, _UNKNOWN = b"\x6a\x82", b"\x6b\x00", b"\x6a\x86", b"\x6d\x00"
_WRONG_CLASS: Final = b"\x6e\x00"


def atr(protocol: int) -> bytes:
    """Answer to reset for T=0 or T=1 (ISO/IEC 7816-3): direct convention, historical bytes `VAFA1`.
    T=1 has an information field of 254 bytes and a check byte at the end."""
    history = b"VAFA1"
    if protocol == 0:
        return bytes((0x3B, len(history))) + history
    body = bytes((0x80 | len(history), 0x81, 0x31, 0xFE, 0x45)) + history
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes((check,))


class ChipCard:
    """One card. track_2: digits as DE 35 has them; key: its own AES key for a mutual authentication; pin:
    digits, or None for a card without; proof_key: its own key for cryptograms, b"" of a card without;
    counter: of the cryptograms that it has made."""

    def __init__(
        self,
        identifier: bytes,
        track_2: str,
        key: bytes,
        pin: str | None = None,
        member: bytes = b"\x01fa",
        random: Callable[[int], bytes] = os.urandom,
        proof_key: bytes = b"",
        counter: int = 0,
    ) -> None:
        assert len(identifier) == 7, "a card has an identifier of 7 bytes"
        self.identifier = identifier
        self._key = key
        self._proof_key = proof_key
        self.counter = counter
        self._pin = pin
        self._tries = PIN_TRIES
        self._random = random
        digits = track_2.replace("=", "D")
        packed = bytes.fromhex(digits + "F" * (len(digits) % 2))
        self._files = {
            IDENTITY_FILE: b"\x01" + identifier + bytes((len(packed),)) + packed,
            MEMBER_FILE: bytes((len(member),)) + member,
        }
        self.reset()

    def __repr__(self) -> str:
        return "ChipCard(hidden)"

    def reset(self) -> None:
        """Power on: nothing is selected, nothing verified."""
        self._is_selected = self._is_verified = False
        self._file: bytes | None = None
        self._nonce = b""

    def command(self, apdu: bytes) -> bytes:
        """Its answer: data and status."""
        if len(apdu) < 4:
            return _WRONG_LENGTH
        if apdu[0] != 0x00:
            return _WRONG_CLASS
        known = {
            0xA4: self._select,
            0xB0: self._read,
            0x20: self._verify,
            0x88: self._prove,
            0x82: self._confirm,
        }
        command = known.get(apdu[1])
        return _UNKNOWN if command is None else command(apdu)

    def _data(self, apdu: bytes) -> bytes | None:
        """Of a command with data, or None when its length is wrong."""
        if len(apdu) < 5 or len(apdu) not in (5 + apdu[4], 6 + apdu[4]):
            return None
        return apdu[5 : 5 + apdu[4]]

    def _select(self, apdu: bytes) -> bytes:
        name = self._data(apdu)
        if name is None:
            return _WRONG_LENGTH
        if apdu[2] == 0x04:
            if name != APPLICATION:
                return _NOT_FOUND
            self.reset()
            self._is_selected = True
            return (
                bytes((0x6F, 2 + len(name), 0x84, len(name))) + name + OK if len(apdu) > 5 + len(name) else OK
            )
        if apdu[2] not in (0x00, 0x02) or len(name) != 2:
            return _WRONG_P1P2
        self._file = self._files.get(int.from_bytes(name, "big")) if self._is_selected else None
        return OK if self._file is not None else _NOT_FOUND

    def _read(self, apdu: bytes) -> bytes:
        if self._file is None:
            return _CONDITIONS
        start = int.from_bytes(apdu[2:4], "big")
        if len(apdu) != 5:
            return _WRONG_LENGTH
        if start >= len(self._file):
            return _WRONG_PLACE
        wanted, there = apdu[4] or 256, len(self._file) - start
        if apdu[4] and wanted > there:
            return bytes((0x6C, there))
        return self._file[start : start + wanted] + OK

    def _verify(self, apdu: bytes) -> bytes:
        if self._pin is None or not self._is_selected:
            return _CONDITIONS
        if self._tries == 0:
            return _BLOCKED
        if len(apdu) == 4:
            return bytes((0x63, 0xC0 | self._tries))
        block = self._data(apdu)
        if block is None or len(block) != 8:
            return _WRONG_LENGTH
        if block != pin_block(self._pin):
            self._tries -= 1
            return bytes((0x63, 0xC0 | self._tries)) if self._tries else _BLOCKED
        self._tries = PIN_TRIES
        self._is_verified = True
        return OK

    def _prove(self, apdu: bytes) -> bytes:
        """INTERNAL AUTHENTICATE: with a challenge, our counter, which rises first, and our cryptogram;
        without one, our random number enciphered, the first step of AuthenticateEV2First."""
        if not self._is_selected:
            return _CONDITIONS
        if len(apdu) > 5:
            return self._cryptogram(self._data(apdu))
        self._nonce = self._random(16)
        return aes_cbc_encrypt(self._key, self._nonce) + OK

    def _cryptogram(self, challenge: bytes | None) -> bytes:
        if not self._proof_key or self.counter >= LAST_COUNT:
            return _CONDITIONS
        if challenge is None or len(challenge) != CHALLENGE_BYTES:
            return _WRONG_LENGTH
        self.counter += 1
        said = cryptogram(self._proof_key, self.counter, challenge)
        return self.counter.to_bytes(CHIP_COUNTER_BYTES) + said + OK

    def _confirm(self, apdu: bytes) -> bytes:
        """EXTERNAL AUTHENTICATE with the host's 32 bytes; the 32 bytes that prove us."""
        data = self._data(apdu)
        if not self._nonce or data is None or len(data) != 32:
            return _CONDITIONS if not self._nonce else _WRONG_LENGTH
        clear = aes_cbc_decrypt(self._key, data)
        theirs, ours = clear[:16], clear[16:]
        if ours != self._nonce[1:] + self._nonce[:1]:
            self._nonce = b""
            return _SECURITY
        reply = self._random(4) + theirs[1:] + theirs[:1] + bytes(12)
        self._nonce = b""
        return aes_cbc_encrypt(self._key, reply) + OK


def pin_block(pin: str) -> bytes:
    """Format 2 (ISO 9564-1): 2, length, digits, filled with F."""
    return bytes.fromhex(f"2{len(pin):X}{pin}".ljust(16, "F"))
