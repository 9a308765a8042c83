"""A chip card as its maker delivers it: our application without anybody's data, and the key of its batch.

GET CHALLENGE, then STORE DATA (80 E2) with a sealed load, as `switch.hsm.crypto.card_loading` makes them;
after the last one it is a `ChipCard`. It knows no reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from simulators.readers.chip import IDENTITY_FILE, MEMBER_FILE, OK, ChipCard
from switch.hsm.crypto.card_loading import CHALLENGE_BYTES, KEY_BYTES, Load, opened

_WRONG_LENGTH, _SECURITY, _CONDITIONS = b"\x67\x00", b"\x69\x82", b"\x69\x85"
_WRONG_DATA, _WRONG_P1P2 = b"\x6a\x80", b"\x6a\x86"
WRONG_LOADS: Final = 10  # in a row: who tries that often is no desk; the blank is dead
_PIN_BLOCK_BYTES, _COUNTER_BYTES = 8, 4


class BlankChip(ChipCard):
    """batch_key: what the maker gave the desk."""

    def __init__(self, batch_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(bytes(7), "0", bytes(KEY_BYTES), random=random)
        self._batch_key = batch_key
        self._files.clear()
        self._challenge = b""
        self._wrong = 0
        self.is_finished = False
        self.loads = 0

    def reset(self) -> None:
        super().reset()
        self._challenge = b""

    def command(self, apdu: bytes) -> bytes:
        if apdu[:2] == b"\x00\x84":
            return self._challenged(apdu)
        if apdu[:2] == b"\x80\xe2":
            return self._store(apdu)
        return super().command(apdu)

    def _challenged(self, apdu: bytes) -> bytes:
        if not self._is_selected or self.is_finished:
            return _CONDITIONS
        if len(apdu) != 5 or apdu[4] != CHALLENGE_BYTES:
            return _WRONG_LENGTH
        self._challenge = self._random(CHALLENGE_BYTES)
        return self._challenge + OK

    def _store(self, apdu: bytes) -> bytes:
        challenge, self._challenge = self._challenge, b""
        if self.is_finished or not challenge or self._wrong >= WRONG_LOADS:
            return _CONDITIONS
        data = self._data(apdu)
        if data is None:
            return _WRONG_LENGTH
        try:
            clear = opened(self._batch_key, challenge, apdu[2], data)
        except ValueError:
            self._wrong += 1
            return _SECURITY
        self._wrong = 0
        return self._loaded(apdu[2], clear)

    def _loaded(self, kind: int, clear: bytes) -> bytes:
        if kind == Load.IDENTITY:
            self._files[IDENTITY_FILE] = clear
            self.identifier = clear[1:8]
        elif kind == Load.MEMBER:
            self._files[MEMBER_FILE] = bytes((len(clear),)) + clear
        elif kind == Load.AUTHENTICATION_KEY and len(clear) == KEY_BYTES:
            self._key = clear
        elif kind == Load.PROOF_KEY and len(clear) == KEY_BYTES:
            self._proof_key = clear
        elif kind == Load.PIN and len(clear) == _PIN_BLOCK_BYTES:
            self._pin = clear.hex()[2 : 2 + (clear[0] & 0x0F)]
        elif kind == Load.COUNTER and len(clear) == _COUNTER_BYTES:
            self.counter = int.from_bytes(clear)
        elif kind == Load.FINISH:
            if IDENTITY_FILE not in self._files or not self._proof_key:
                return _CONDITIONS
            self.is_finished = True
        else:
            return _WRONG_DATA if kind in list(Load) else _WRONG_P1P2
        self.loads += 1
        return OK
