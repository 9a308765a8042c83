"""A terminal's side of the keys on CPython: initial key, serials that only rise, MACs, PIN blocks, ciphers.

For load, tests and tools that stand in for firmware. It takes what a terminal's settings file holds
(`terminals/ID.json`); where a serial was used up to is its caller's to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from switch.hsm.crypto import key_blocks, macs
from switch.hsm.crypto.ciphers import aes_cbc_encrypt, same
from switch.hsm.crypto.dukpt_aes import (
    INITIAL_KEY_ID_BYTES,
    Deriver,
    Usage,
    valid_counter,
)
from switch.hsm.crypto.pin_blocks import seal_iso_4
from switch.hsm.port import MAC_BYTES

KEY_SET = b"\x01"
LARGEST_COUNTER = 0xFFFFFFFF


class TerminalKeysError(ValueError):
    """Settings without usable keys. The text holds none of them."""


class _OfTerminal(Deriver):
    """Derives from a terminal's initial key, and keeps what the next serials come from: a fifth of the time.

    For one thread.
    """

    __slots__ = ()

    def initial_key(self, initial_key_id: bytes) -> bytes:
        """The one there is."""
        return self._base_key


class Transmission:
    """One sending: what a terminal does under one serial."""

    def __init__(self, keys: Deriver, serial: bytes) -> None:
        self._keys = keys
        self.serial = serial

    def __repr__(self) -> str:
        return f"Transmission({self.serial.hex().upper()})"

    @property
    def field_53(self) -> bytes:
        """DE 53: key set and serial."""
        return KEY_SET + self.serial

    def request_mac(self, body: bytes) -> bytes:
        """8 bytes."""
        return macs.cmac(self._key(Usage.MAC_GENERATION), body)[:MAC_BYTES]

    def answer_mac(self, body: bytes) -> bytes:
        """What the switch puts under its answer to this sending."""
        return macs.cmac(self._key(Usage.MAC_VERIFICATION), body)[:MAC_BYTES]

    def is_genuine(self, body: bytes, mac: bytes | None) -> bool:
        """Whether an answer is the switch's, to this very sending."""
        return mac is not None and len(mac) == MAC_BYTES and same(mac, self.answer_mac(body))

    def pin_block(self, pin: str, digits: str) -> bytes:
        """DE 52: format 4 over the digits that name the member."""
        return seal_iso_4(self._key(Usage.PIN), pin, digits)

    def enciphered(self, clear: bytes) -> bytes:
        """Tag 20 of DE 48."""
        return aes_cbc_encrypt(self._key(Usage.DATA_ENCRYPT), macs.pad_2(clear, 16))

    def _key(self, usage: Usage) -> bytes:
        return self._keys.working_key(self.serial, usage)


class TerminalKeys:
    """The keys of one terminal. first: the first counter that it may use."""

    def __init__(self, initial_key: bytes, initial_key_id: bytes, first: int = 1) -> None:
        self._keys = _OfTerminal(initial_key)
        self.initial_key_id = initial_key_id
        self.next_counter = first

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> TerminalKeys:
        """The keys in a terminal's settings. Raises TerminalKeysError."""
        try:
            serial = bytes.fromhex(told["key_serial"])
            unwrapped = key_blocks.unwrap(bytes.fromhex(told["transport_key"]), told["key_block"])
        except (KeyError, TypeError, ValueError):
            raise TerminalKeysError("no transport_key, key_block and key_serial that fit") from None
        counter = int.from_bytes(serial[INITIAL_KEY_ID_BYTES:])
        return cls(unwrapped.key, serial[:INITIAL_KEY_ID_BYTES], counter)

    def __repr__(self) -> str:
        return f"TerminalKeys({self.initial_key_id.hex().upper()})"

    def transmission(self) -> Transmission:
        """The next sending."""
        while not valid_counter(self.next_counter):
            self.next_counter += 1
            if self.next_counter > LARGEST_COUNTER:
                raise TerminalKeysError("all key serials are used up")
        transmission = self.at(self.next_counter)
        self.next_counter += 1
        return transmission

    def at(self, counter: int) -> Transmission:
        """A sending under this counter, whether used before or not."""
        return Transmission(self._keys, self.initial_key_id + counter.to_bytes(4))
