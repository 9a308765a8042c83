"""An NTAG 424 DNA as a reader meets it: its NDEF file says at each tap anew who it is (SUN).

NXP AN12196: file 2 holds a link whose `e=` are the enciphered UID and read counter, whose `c=` is the
enciphered card number, and whose `m=` is a MAC of it all under a key of this card. Keys are made by the
switch's own rules. It knows no reader and no serial line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from switch.hsm.crypto.ciphers import aes_cbc_encrypt
from switch.hsm.crypto.ntag424 import (
    IDENTIFIER_BYTES,
    Picc,
    file_key,
    meta_key,
    mirrored_of,
    seal_file_data,
    sun_mac,
)

SAK: Final = 0x20  # ISO/IEC 14443-4
ATQA: Final = 0x0344
ATS: Final = bytes.fromhex("067777710280")

APPLICATION: Final = bytes.fromhex("D2760000850101")
CAPABILITY_FILE: Final = 0xE103
NDEF_FILE: Final = 0xE104
# Version 2.0, 256 bytes a command, file E104 of 256 bytes, read free, written never (NFC Forum Type 4).
_CAPABILITIES: Final = bytes.fromhex("001720010000FF0406E104010000FF0506E10500808283")

OK: Final = b"\x90\x00"
_WRONG_LENGTH, _NOT_ALLOWED = b"\x67\x00", b"\x69\x86"
_NOT_FOUND, _WRONG_PLACE, _UNKNOWN, _WRONG_CLASS = b"\x6a\x82", b"\x6b\x00", b"\x6d\x00", b"\x6e\x00"
_PICC_TAG: Final = b"\xc7"
_HTTPS: Final = b"\x04"  # NFC Forum URI record: "https://"
NUMBER_DIGITS: Final = 16


class TapKeys(NamedTuple):
    """What is loaded into one card when it is issued: the key of its UID, which all cards share, and of its
    file."""

    meta: bytes
    file: bytes

    def __repr__(self) -> str:
        return "TapKeys(hidden)"


def tap_keys(master: bytes, uid: bytes) -> TapKeys:
    return TapKeys(meta_key(master), file_key(master, uid))


class Ntag424:
    """One card. master: the key that all cards' keys come from, or its own two;
    number: of the card, 16 digits; link: what stands before its own values."""

    sak, atqa, ats = SAK, ATQA, ATS

    def __init__(
        self,
        uid: bytes,
        master: bytes | TapKeys,
        number: str,
        link: str = "vafa.example/t?",
        counter: int = 0,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        assert len(uid) == IDENTIFIER_BYTES, "the card has a UID of 7 bytes"
        assert len(number) == NUMBER_DIGITS, "its number fills one block"
        self.uid = uid
        self.counter = counter
        self._keys = master if isinstance(master, TapKeys) else tap_keys(master, uid)
        self._number = number
        self._link = link
        self._random = random
        self.removed()

    def __repr__(self) -> str:
        return "Ntag424(hidden)"

    def removed(self) -> None:
        """It has left the field: what was selected is forgotten."""
        self._application = False
        self._file = b""

    def command(self, apdu: bytes) -> bytes:
        """The card's answer to a command of ISO/IEC 7816-4."""
        if len(apdu) < 4:
            return _WRONG_LENGTH
        if apdu[0] not in (0x00, 0x90):
            return _WRONG_CLASS
        if apdu[:2] == b"\x00\xa4":
            return self._select(apdu)
        if apdu[:2] == b"\x00\xb0":
            return self._read(apdu)
        return _UNKNOWN

    def _select(self, apdu: bytes) -> bytes:
        if len(apdu) < 5 or len(apdu) < 5 + apdu[4]:
            return _WRONG_LENGTH
        name = apdu[5 : 5 + apdu[4]]
        if apdu[2] == 0x04:
            self._application = name == APPLICATION
            self._file = b""
            return OK if self._application else _NOT_FOUND
        if not self._application or apdu[2] != 0x00 or len(name) != 2:
            return _NOT_FOUND
        file = int.from_bytes(name, "big")
        if file == CAPABILITY_FILE:
            self._file = _CAPABILITIES
        elif file == NDEF_FILE:
            self._file = self._said_now()
        else:
            return _NOT_FOUND
        return OK

    def _read(self, apdu: bytes) -> bytes:
        if not self._file:
            return _NOT_ALLOWED
        if len(apdu) != 5:
            return _WRONG_LENGTH
        start = int.from_bytes(apdu[2:4], "big")
        if start >= len(self._file):
            return _WRONG_PLACE
        return self._file[start : start + (apdu[4] or 256)] + OK

    def _said_now(self) -> bytes:
        """The NDEF file of this tap: each one counts."""
        self.counter += 1
        picc = Picc(self.uid, self.counter)
        clear = _PICC_TAG + self.uid + self.counter.to_bytes(3, "little") + self._random(5)
        enciphered = aes_cbc_encrypt(self._keys.meta, clear).hex().upper()
        mirrored = mirrored_of(seal_file_data(self._keys.file, picc, self._number.encode("ascii")))
        mac = sun_mac(self._keys.file, picc, mirrored).hex().upper()
        link = f"{self._link}e={enciphered}&c=".encode("ascii") + mirrored + mac.encode("ascii")
        record = bytes((0xD1, 0x01, len(link) + 1)) + b"U" + _HTTPS + link
        return len(record).to_bytes(2, "big") + record
