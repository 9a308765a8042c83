"""The HSM port: operations named as the switch means them, and what crosses it. Adapters must answer alike.

Operations are coroutines because a real box is behind a network; the in-process adapter never waits in them.
A key is an opaque reference (a key token under the box's master key, or a label inside it); clear keys and
clear PINs never cross this port, except in `random`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import NamedTuple, Protocol, runtime_checkable

MAC_BYTES = 8  # the length of a message MAC on the wire: the tag cut to its left half


class Capability(Flag):
    """What an adapter can do; an operation outside raises `Unsupported`."""

    RANDOM = auto()
    KEYS = auto()  # generate, for the uses whose operations are offered; check value
    KEY_BLOCKS = auto()  # import and export, as X9.143 blocks
    MAC = auto()  # AES-CMAC
    MAC_TDES = auto()  # ISO/IEC 9797-1 algorithm 3
    MAC_HMAC = auto()  # HMAC-SHA-256
    DUKPT = auto()  # AES DUKPT: MAC both ways, data
    DUKPT_PIN = auto()
    INITIAL_KEY = auto()
    PIN_TRANSLATE = auto()
    PIN_VALUE = auto()  # PVV (Visa), TDES
    PIN_VERIFIER = auto()  # our own AES verifier
    CARD_VALUE = auto()  # CVV of track 2
    CARD_TAP = auto()  # NTAG 424 DNA: SUN
    CARD_CHALLENGE = auto()  # AES challenge of a chip card
    CARD_PROOF = auto()  # cryptogram of a chip card of ours
    CARD_KEY = auto()  # keys of single cards, for whoever issues them


class KeyUse(Enum):
    """What a key may do, and nothing else. Value: the X9.143 key usage, table 2 (digits-first: our own)."""

    ZONE = "K0"  # transports other keys: ZMK
    TRANSPORT = "K1"  # transports one terminal's initial key: KBPK
    BASE_DERIVATION = "B0"  # BDK
    INITIAL = "B1"  # DUKPT initial key of one terminal
    PIN = "P0"  # ZPK
    MAC = "M6"  # AES-CMAC
    MAC_TDES = "M3"  # ISO/IEC 9797-1 algorithm 3
    MAC_HMAC = "M7"
    DATA = "D0"
    PIN_VALUE = "V2"  # PVK
    CARD_VALUE = "C0"  # CVK
    PIN_VERIFIER = "10"
    CARD_MASTER = "11"  # AN10922 master of the cards' keys


class KeyAlgorithm(Enum):
    """Value: X9.143 algorithm letter and key bytes."""

    AES_128 = ("A", 16)
    AES_192 = ("A", 24)
    AES_256 = ("A", 32)
    TDES_2 = ("T", 16)
    TDES_3 = ("T", 24)
    HMAC_256 = ("H", 32)


class MacAlgorithm(Enum):
    CMAC = "cmac"  # NIST SP 800-38B
    RETAIL = "retail"  # ISO/IEC 9797-1 algorithm 3, padding 1
    HMAC_SHA_256 = "hmac-sha-256"


class Direction(Enum):
    """Whose message it is: their keys differ (X9.24-3 usages: MAC 2000 and 2001, data 3000 and 3001)."""

    REQUEST = "request"
    RESPONSE = "response"


class PinFormat(Enum):
    """PIN block formats of ISO 9564-1. Value: the code of payShield host commands."""

    ISO_0 = "01"
    ISO_1 = "05"
    ISO_3 = "47"
    ISO_4 = "48"


class Fault(Enum):
    """Why an operation gave no result, as far as the switch must tell it apart."""

    UNKNOWN_KEY = "unknown key"  # no such key, or a token of another master key
    KEY_DAMAGED = "key damaged"  # the token's own MAC or parity is wrong: tampering
    KEY_USE = "key use"  # the key may not do this
    NOT_AUTHORISED = "not authorised"  # needs two officers
    BAD_INPUT = "bad input"  # refused as malformed: a defect of the caller
    BAD_PIN_BLOCK = "bad PIN block"  # outside never told from a wrong PIN
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"  # no connection, time is up, the box is ill: may pass


class HsmError(Exception):
    """An operation failed. Text: operation and fault, never a key, PIN or block."""

    def __init__(self, operation: str, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{operation}: {fault.value}{detail and f' ({detail})'}")
        self.operation = operation
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Key:
    """A key inside the box. reference: the adapter's own; never printed, it may be a wrapped key."""

    reference: str = field(repr=False)
    use: KeyUse
    check_value: str  # 6 hex digits: AES by CMAC of a zero block, TDES by its encryption (X9.24-1 annex A)


class ExportedKey(NamedTuple):
    """An X9.143 key block under a zone or transport key, printable ASCII, and the key's check value."""

    block: str
    check_value: str

    def __repr__(self) -> str:
        return f"ExportedKey(check_value={self.check_value!r})"


class ZonePin(NamedTuple):
    """An enciphered PIN under a zone key."""

    key: Key
    block: bytes  # 8 bytes, format 4: 16
    format: PinFormat = PinFormat.ISO_4

    def __repr__(self) -> str:
        return f"ZonePin(key={self.key!r}, format={self.format})"


class DukptPin(NamedTuple):
    """An enciphered PIN under the PIN key (usage 1000) of a terminal's key serial number."""

    base_key: Key
    serial: bytes  # 12 bytes: BDK id 4, derivation id 4, counter 4
    block: bytes  # 16 bytes
    format: PinFormat = PinFormat.ISO_4

    def __repr__(self) -> str:
        return f"DukptPin(base_key={self.base_key!r}, serial={self.serial!r}, format={self.format})"


EncipheredPin = ZonePin | DukptPin


class Tap(NamedTuple):
    """What a genuine NTAG 424 DNA said of itself. counter: its read counter, which only rises."""

    identifier: bytes  # 7 bytes
    counter: int


class OpenedTap(NamedTuple):
    """A genuine tap, and the file data that the card enciphered for it: 16 bytes in clear."""

    identifier: bytes
    counter: int
    file: bytes

    def __repr__(self) -> str:  # a card number
        return "OpenedTap(hidden)"


class CardKey(Enum):
    """Which of a card's keys. Value: as host commands name it."""

    TAP_META = "M"  # one for all cards: it opens a tap before the card is known
    TAP_FILE = "F"
    AUTHENTICATION = "A"
    PROOF = "P"


class Challenge(NamedTuple):
    """One step of AuthenticateEV2First with a chip card: what to send to the card, and what to keep for the
    next step (opaque, enciphered)."""

    to_card: bytes
    state: bytes


class Status(NamedTuple):
    """What the box says of itself. master_check_value: of its master key, 6 or 16 hex digits, or empty."""

    firmware: str
    master_check_value: str
    simulated: bool


@runtime_checkable
class AtOnce(Protocol):
    """What an adapter that never waits has beside the port: the two operations of every message as plain
    calls. Same values, same errors."""

    def dukpt_mac_generate_now(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes: ...

    def dukpt_mac_verify_now(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool: ...


class Hsm(Protocol):
    """Every operation raises HsmError. Card numbers are digits; serial: 12-byte AES KSN."""

    @property
    def capabilities(self) -> Capability: ...

    async def close(self) -> None: ...

    async def status(self) -> Status: ...

    async def random(self, size: int) -> bytes:
        """1 to 256 random bytes."""
        ...

    # -------------------------------------------------- keys

    async def generate_key(
        self, use: KeyUse, algorithm: KeyAlgorithm, *, exportable: bool = False
    ) -> Key: ...

    async def import_key(self, block: str, under: Key, use: KeyUse) -> Key:
        """Take a key from an X9.143 block (`D` under AES, `B` under TDES) that `under` (ZONE) protects.
        Another use than the block's header says: KEY_USE. Any changed bit: KEY_DAMAGED."""
        ...

    async def export_key(self, key: Key, under: Key) -> ExportedKey:
        """The key as an X9.143 block under `under` (ZONE or TRANSPORT). Not exportable: KEY_USE."""
        ...

    async def check_value(self, key: Key) -> str:
        """6 hex digits."""
        ...

    async def derive_initial_key(self, base_key: Key, initial_key_id: bytes, under: Key) -> ExportedKey:
        """A terminal's initial key (X9.24-3) for its 8-byte id (BDK id 4, derivation id 4), as a `D` block
        with usage B1 under the terminal's TRANSPORT key; optional block `IK` carries the id."""
        ...

    # -------------------------------------------------- MAC and data

    async def mac_generate(self, key: Key, data: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC) -> bytes:
        """8 bytes."""
        ...

    async def mac_verify(
        self, key: Key, data: bytes, mac: bytes, algorithm: MacAlgorithm = MacAlgorithm.CMAC
    ) -> bool:
        """False for a wrong MAC, and for one that has not 8 bytes."""
        ...

    async def dukpt_mac_generate(
        self, base_key: Key, serial: bytes, data: bytes, direction: Direction
    ) -> bytes:
        """AES-CMAC under the working key of this serial, left 8 bytes. A counter that no terminal may use
        (zero, more than 16 ones): BAD_INPUT."""
        ...

    async def dukpt_mac_verify(
        self, base_key: Key, serial: bytes, data: bytes, mac: bytes, direction: Direction
    ) -> bool: ...

    async def dukpt_encrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        """AES-CBC with a zero vector under the data key, ISO/IEC 9797-1 padding 2: a serial is used once."""
        ...

    async def dukpt_decrypt(self, base_key: Key, serial: bytes, data: bytes, direction: Direction) -> bytes:
        """Opposite of dukpt_encrypt. Bad padding or length: BAD_INPUT."""
        ...

    # -------------------------------------------------- PIN

    async def pin_translate(
        self, pin: EncipheredPin, card: str, to: Key, to_format: PinFormat, *, to_card: str | None = None
    ) -> bytes:
        """The same PIN as a block under `to` (PIN). Allowed: formats 0, 3, 4 among each other for the same
        card; never to 1; another `to_card`: KEY_USE."""
        ...

    async def pin_value_verify(self, pin: EncipheredPin, card: str, key: Key, index: int, value: str) -> bool:
        """The PVV (4 digits) under a PIN_VALUE key. Raises BAD_PIN_BLOCK."""
        ...

    async def pin_verifier(self, pin: EncipheredPin, card: str, key: Key, binding: bytes) -> bytes:
        """16 bytes that verify this PIN later: AES-CMAC under a PIN_VERIFIER key over PIN and `binding` (who
        it belongs to, not the card, so that it outlives a replaced card). PINs of 4 to 12 digits."""
        ...

    async def pin_verify(
        self, pin: EncipheredPin, card: str, key: Key, binding: bytes, verifier: bytes
    ) -> bool:
        """Whether the PIN belongs to the verifier. Raises BAD_PIN_BLOCK."""
        ...

    # -------------------------------------------------- cards

    async def card_value_generate(self, key: Key, card: str, expiry: str, service: str) -> str:
        """The verification value of track 2 (CVV, 3 digits). expiry as on the track, service: 3 digits."""
        ...

    async def card_value_verify(self, key: Key, card: str, expiry: str, service: str, value: str) -> bool: ...

    async def tap_verify(self, key: Key, enciphered: bytes, mac: bytes, mirrored: bytes = b"") -> Tap | None:
        """The SUN message of an NTAG 424 DNA (AN12196): enciphered PICC data (16 bytes), SDMMAC (8 bytes),
        the mirrored data it covers. Meta key and file key derived from a CARD_MASTER key by AN10922 (see the
        in-process adapter's table of diversification inputs). None: not genuine."""
        ...

    async def tap_open(self, key: Key, enciphered: bytes, mac: bytes, file_data: bytes) -> OpenedTap | None:
        """As tap_verify, of our cards' links, which mirror a block of enciphered file data (16 bytes) that
        the MAC covers; that block in clear as well. None: not genuine, nothing is opened."""
        ...

    async def chip_verify(
        self, key: Key, identifier: bytes, counter: int, challenge: bytes, said: bytes
    ) -> bool:
        """Whether a chip card's cryptogram (8 bytes) over its counter (0 to 2^32-1) and a challenge of 16
        bytes is that of the card with this identifier (7 bytes)."""
        ...

    async def card_key(self, key: Key, kind: CardKey, identifier: bytes, under: Key) -> ExportedKey:
        """A key of one card for whoever issues it, as a `D` block with usage 14 under a TRANSPORT key.
        identifier: 7 bytes; TAP_META is the same for all of them."""
        ...

    async def card_challenge(self, key: Key, identifier: bytes, enciphered: bytes) -> Challenge:
        """First step of AuthenticateEV2First: the card's enciphered RndB (16 bytes) in, the 32-byte answer
        out."""
        ...

    async def card_confirm(self, key: Key, identifier: bytes, state: bytes, enciphered: bytes) -> bool:
        """Second step: whether the card's 32-byte reply proves its key."""
        ...
