"""What is done under the working keys of one AES DUKPT serial: MACs both ways, the PIN, personal data.

A serial's keys are derived together, in one cipher call, at its first use, and kept until its answer has its
MAC: no operation on a transaction under way derives twice. They lie in byte arrays that are written over;
never as `bytes`, which nobody can wipe. The contexts OpenSSL makes of them it cleans itself. For one thread.
"""

from __future__ import annotations

from collections import OrderedDict

from switch.hsm.crypto.ciphers import AES_BLOCK_BYTES, AesPlace
from switch.hsm.crypto.dukpt_aes import Deriver, Usage, working_key_heads
from switch.hsm.crypto.macs import cmac_in, pad_2, unpad_2
from switch.hsm.crypto.pin_blocks import open_iso_4_by

# Twice what a switch lets wait between a request's MAC and its answer's (8 192). Those that get no answer
# (a wrong MAC, a lost connection) stay until they are the oldest: 3 MiB at most.
SERIALS_KEPT = 16384

_USAGES = (
    Usage.PIN,
    Usage.MAC_GENERATION,
    Usage.MAC_VERIFICATION,
    Usage.DATA_ENCRYPT,
    Usage.DATA_DECRYPT,
)
_HEADS = working_key_heads(_USAGES)
# A cipher call into a buffer asks for one block more than it fills, less one byte.
_ROOM_BYTES = len(_USAGES) * AES_BLOCK_BYTES + AES_BLOCK_BYTES - 1
_NOTHING = bytes(_ROOM_BYTES)


class TransactionKeys:
    """Of one base derivation key (16, 24 or 32 bytes). Every operation raises ValueError for a serial that no
    terminal may use. serials_kept: whose keys are kept at once; the oldest leave first."""

    __slots__ = (
        "_from_terminal",
        "_in_place",
        "_kept",
        "_pin",
        "_request",
        "_response",
        "_room",
        "_serials_kept",
        "_to_terminal",
        "deriver",
    )

    def __init__(self, base_key: bytes, serials_kept: int = SERIALS_KEPT) -> None:
        self.deriver = Deriver(base_key)
        self._kept: OrderedDict[bytes, bytearray] = OrderedDict()
        self._serials_kept = serials_kept
        self._room = bytearray(_ROOM_BYTES)  # the keys of the serial that was used last
        self._in_place: bytes | None = None  # that serial
        view = memoryview(self._room)
        self._pin, self._request, self._response, self._from_terminal, self._to_terminal = (
            AesPlace(view[at * AES_BLOCK_BYTES : (at + 1) * AES_BLOCK_BYTES]) for at in range(len(_USAGES))
        )

    def __repr__(self) -> str:
        return "TransactionKeys(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    @property
    def serials(self) -> int:
        """Whose keys are kept now."""
        return len(self._kept)

    def request_mac(self, serial: bytes, data: bytes) -> bytes:
        """The terminal's MAC: 16 bytes of AES-CMAC under usage 2000."""
        if serial != self._in_place:
            self._take(serial)
        return cmac_in(self._request, data)

    def response_mac(self, serial: bytes, data: bytes) -> bytes:
        """The host's MAC: 16 bytes of AES-CMAC under usage 2001."""
        if serial != self._in_place:
            self._take(serial)
        return cmac_in(self._response, data)

    def open_pin(self, serial: bytes, block: bytes, card: str) -> str:
        """The PIN of a format 4 block under usage 1000. Raises PinBlockError."""
        if serial != self._in_place:
            self._take(serial)
        return open_iso_4_by(self._pin.chained_decryptor(), block, card)

    def encrypt(self, serial: bytes, data: bytes, *, from_terminal: bool) -> bytes:
        """AES-CBC with a zero vector under usage 3000 (from the terminal) or 3001, ISO/IEC 9797-1
        padding 2."""
        self._take(serial)
        place = self._from_terminal if from_terminal else self._to_terminal
        return place.chained_encryptor().update(pad_2(data, AES_BLOCK_BYTES))

    def decrypt(self, serial: bytes, data: bytes, *, from_terminal: bool) -> bytes:
        """Opposite of `encrypt`. Raises ValueError for bad padding or length."""
        if len(data) % AES_BLOCK_BYTES:
            raise ValueError(f"{len(data)} bytes are no whole blocks of {AES_BLOCK_BYTES}")
        self._take(serial)
        place = self._from_terminal if from_terminal else self._to_terminal
        return unpad_2(place.chained_decryptor().update(data), AES_BLOCK_BYTES)

    def forget(self, serial: bytes) -> None:
        """The transaction is over: wipe its keys. Another use of the serial derives them again."""
        keys = self._kept.pop(serial, None)
        if keys is not None:
            keys[:] = _NOTHING
        if serial == self._in_place:
            self._room[:] = _NOTHING
            self._in_place = None

    def close(self) -> None:
        """Wipe the keys of every serial."""
        for keys in self._kept.values():
            keys[:] = _NOTHING
        self._kept.clear()
        self._room[:] = _NOTHING
        self._in_place = None

    def _take(self, serial: bytes) -> None:
        """Put the serial's keys in place."""
        kept = self._kept.get(serial)
        if kept is None:
            self._in_place = None
            self.deriver.working_keys_into(self._room, serial, _HEADS)
            self._kept[serial] = self._room[:]
            if len(self._kept) > self._serials_kept:
                self._kept.popitem(last=False)[1][:] = _NOTHING
        else:
            self._room[:] = kept
        self._in_place = serial
