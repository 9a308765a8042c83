"""One sending of a terminal: the frame whose key serial and MAC make it, and the marks that only rise.

A serial's counter counts once. The same bytes again are the same sending, answered with the same bytes;
anything else at or below a terminal's mark is a replay. Nothing here knows sockets or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from switch.hsm.crypto.ciphers import same
from switch.hsm.port import Key

INITIAL_KEY_BYTES = 8  # BDK id and derivation id; the counter follows
SERIAL_BYTES = 12
KEY_SET = 1  # first byte of DE 53; the only set there is
MAC_BYTES = 8


class Waiting(Protocol):
    """Whoever waits for an answer. Every received frame is finished exactly once."""

    def answer(self, payload: bytes, tpdu: bytes | None) -> None: ...

    def drop(self) -> None: ...


class Sending:
    """A request whose MAC is to be, or was, found good. mac: empty when the frame has none."""

    __slots__ = ("_answer", "_peers", "base_key", "counter", "initial_key", "mac", "serial", "terminal")

    def __init__(
        self, terminal: str, base_key: Key, serial: bytes, mac: bytes, peer: Waiting, tpdu: bytes | None
    ) -> None:
        self.terminal = terminal
        self.base_key = base_key
        self.serial = serial
        self.initial_key = serial[:INITIAL_KEY_BYTES]
        self.counter = int.from_bytes(serial[INITIAL_KEY_BYTES:])
        self.mac = mac
        self._peers: list[tuple[Waiting, bytes | None]] | None = [(peer, tpdu)]  # None: finished
        self._answer: bytes | None = None

    def is_same(self, serial: bytes, mac: bytes) -> bool:
        """Whether a frame with this serial and this good MAC is this sending once more."""
        return serial == self.serial and same(mac, self.mac)

    def finish(self, answer: bytes) -> None:
        """Answer all who wait; the same bytes go to whoever sends it again."""
        assert self._peers is not None, "a sending is finished once"
        self._answer = answer
        peers, self._peers = self._peers, None
        for peer, tpdu in peers:
            peer.answer(answer, tpdu)

    def drop(self) -> None:
        """Nobody is answered."""
        assert self._peers is not None, "a sending is finished once"
        peers, self._peers = self._peers, None
        for peer, _ in peers:
            peer.drop()

    def joined(self, again: Sending) -> bool:
        """Let those who wait for the same frame share this answer, now or when it comes. False: there will be
        none any more."""
        assert again._peers is not None, "it is not finished yet"
        if self._peers is not None:
            self._peers += again._peers
            again._peers = None
            return True
        if self._answer is None:
            return False
        again.finish(self._answer)
        return True


class Standing(Enum):
    """How a sending with a good MAC stands to the terminal's mark."""

    FRESH = "fresh"  # above the mark, which is now here
    JOINED = "joined"  # the latest one again: it shares that one's answer
    AT_OR_BELOW = "at or below"  # a replay, unless the ledger has just this one


# Looked up once: an enum's member costs as much as a call.
_FRESH, _JOINED, _AT_OR_BELOW = Standing.FRESH, Standing.JOINED, Standing.AT_OR_BELOW


class KeyMarks:
    """The highest counter of each initial key, and its sending. One for a ledger's single owner."""

    def __init__(self, stored: Mapping[bytes, int]) -> None:
        self._counters = dict(stored)
        self._latest: dict[bytes, Sending] = {}

    def learn(self, initial_key: bytes, counter: int) -> None:
        """Another owner has committed this counter of the key."""
        self._counters[initial_key] = max(counter, self._counters.get(initial_key, 0))

    def place(self, sending: Sending) -> Standing:
        """Raise the mark, or say that this one doesn't. Its MAC must have been found good."""
        initial_key = sending.initial_key
        counter = sending.counter
        if counter > self._counters.get(initial_key, 0):
            self._counters[initial_key] = counter
            self._latest[initial_key] = sending
            return _FRESH
        latest = self._latest.get(initial_key)
        if latest is not None and latest.is_same(sending.serial, sending.mac) and latest.joined(sending):
            return _JOINED
        return _AT_OR_BELOW
