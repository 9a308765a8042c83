"""LMK slots: several local master keys at once, chosen by `%nn`, and the opening and making of key tokens
under them.

A clear key lives in an OpenKey while a command runs, and in a bounded cache of opened tokens; it never
crosses into an answer, an exception or a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.key_blocks import Header, KeyBlockError, KeyBlockMacError
from switch.hsm.crypto.macs import hmac_sha256
from switch.hsm.crypto.master_keys import (
    TEST_AES_BLOCK_KEY,
    TEST_TDES_BLOCK_KEY,
    TEST_VARIANT_PAIRS,
    BlockMasterKey,
    TokenError,
    TokenParityError,
    VariantMasterKeys,
)
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import Token
from switch.hsm_sim.key_usage import Operand

ZONE_BLOCK_ID: Final = "FF"  # where a block's LMK id stands when it is under a zone key
KEY_BLOCK_TYPE: Final = "FFF"  # the key type of requests that carry key blocks
# Opened tokens kept. Enough for a network's zone keys and its base derivation keys; some MB at most.
MOST_OPEN_KEYS: Final = 4096
_VERSION: Final = re.compile("[0-9A-Za-z]{2}")

Random = Callable[[int], bytes]


class OpenKey(NamedTuple):
    """A key in clear, and what its token says it may do. Keys without a header have usage and mode empty."""

    key: bytes
    algorithm: str
    usage: str = ""
    mode: str = ""
    version: str = "00"
    export: str = ""

    def __repr__(self) -> str:
        return f"<OpenKey {self.algorithm} {self.usage}>"

    @property
    def kcv(self) -> str:
        """6 hex digits."""
        return check_value(self.key, self.algorithm)


@dataclass(frozen=True, slots=True)
class Slot:
    """One LMK. identifier: two digits; kind: variant, tdes or aes; check_value: 6 digits; secret: what other
    keys of this LMK (PINs under it, card challenges, the audit seal) are derived from."""

    identifier: str
    kind: str
    check_value: str
    keys: VariantMasterKeys | BlockMasterKey = field(repr=False)
    secret: bytes = field(repr=False)
    is_public: bool = False

    @property
    def block_version(self) -> str:
        """Version of its key blocks, empty for a variant LMK."""
        return self.keys.scheme if isinstance(self.keys, BlockMasterKey) else ""

    def derived(self, purpose: bytes) -> bytes:
        """32 bytes for a purpose of this simulator's own."""
        return hmac_sha256(self.secret, b"vafa hsm " + purpose)


def variant_slot(identifier: str, pairs: tuple[bytes, ...], *, is_public: bool = False) -> Slot:
    """An LMK of 20 TDES pairs."""
    everything = b"".join(pairs)
    shown = check_value(hmac_sha256(everything, b"vafa hsm check value"), "A")
    if is_public:
        shown = PUBLISHED_CHECK_VALUES["variant"]
    return Slot(identifier, "variant", shown, VariantMasterKeys(pairs), everything, is_public)


def block_slot(identifier: str, key: bytes, *, is_public: bool = False) -> Slot:
    """A key block LMK: 32 bytes AES, 24 bytes TDES."""
    algorithm = "A" if len(key) == 32 else "T"
    kind = "aes" if algorithm == "A" else "tdes"
    return Slot(identifier, kind, check_value(key, algorithm), BlockMasterKey(key), key, is_public)


# What real boxes show for these three: 6 digits known to everybody who tested with them.
PUBLISHED_CHECK_VALUES: Final = {"variant": "268604"}


def public_slot(identifier: str, kind: str) -> Slot:
    """A public test LMK: whoever protects real keys with it has protected nothing."""
    if kind == "variant":
        return variant_slot(identifier, TEST_VARIANT_PAIRS, is_public=True)
    return block_slot(identifier, _TEST_BLOCK_KEYS[kind], is_public=True)


_TEST_BLOCK_KEYS: Final = {"tdes": TEST_TDES_BLOCK_KEY, "aes": TEST_AES_BLOCK_KEY}
TEST_SLOTS: Final = {"00": "variant", "01": "tdes", "02": "aes"}


class Slots:
    """The LMKs of one box."""

    def __init__(self, slots: Iterable[Slot], default: str | None = None) -> None:
        self._slots: dict[str, Slot] = {slot.identifier: slot for slot in slots}
        if not self._slots:
            raise ValueError("a box has at least one LMK")
        self.default = default if default is not None else next(iter(self._slots))
        if self.default not in self._slots:
            raise ValueError(f"no LMK {self.default}: there are {', '.join(self._slots)}")
        self._opened: dict[tuple[str, str, str], OpenKey] = {}

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._slots

    def __getitem__(self, identifier: str) -> Slot:
        return self._slots[identifier]

    @property
    def identifiers(self) -> tuple[str, ...]:
        return tuple(self._slots)

    def choose(self, identifier: str | None, request: Mapping[str, object], default: str) -> Slot:
        """The LMK a request means: the one it names; else that of its first key block (by its LMK id and
        version, or by version alone); else the default. Raises Refused."""
        if identifier is not None:
            if identifier not in self._slots:
                raise Refused("13", f"no LMK {identifier}")
            return self._slots[identifier]
        token = _first_block(request)
        if token is None:
            return self._slots[default]
        version, named = token.value[0], token.value[14:16]
        wanted = self._slots.get(named)
        if wanted is not None and wanted.block_version == version:
            return wanted
        own = self._slots[default]
        for slot in (own, *self._slots.values()):
            if slot.block_version == version:
                return slot
        raise Refused("A1", f"no LMK makes key blocks of version {version}")

    def open(
        self, slot: Slot, token: Token, operand: Operand, key_type: str | None, *, strict: bool
    ) -> OpenKey:
        """The key of a token, if the operand accepts it. key_type: what the request says, None when the
        command has no such field; strict: the request named the LMK, so a block must name it too.
        Raises Refused."""
        if token.is_block:
            if key_type not in (None, KEY_BLOCK_TYPE):
                raise Refused(operand.wrong_type, f"a key block goes with type {KEY_BLOCK_TYPE}")
            opened = self.open_block(slot, token, strict=strict)
            _check_use(opened, operand)
            return opened
        if not operand.types:
            raise Refused("A1", "this operand takes key blocks only")
        if key_type is None or (len(operand.types) == 1 and key_type != KEY_BLOCK_TYPE):
            key_type = operand.types[0]
        if key_type not in operand.types:
            raise Refused(operand.wrong_type, f"key type {key_type} is not for this command")
        return self.open_variant(slot, token, key_type, operand.wrong)

    def open_block(self, slot: Slot, token: Token, *, strict: bool) -> OpenKey:
        """The key of an S block of this slot, whatever it may do. Raises Refused."""
        if token.scheme != "S":
            raise Refused("26", "a key of this box is an S block, not an R block")
        keys = slot.keys
        if not isinstance(keys, BlockMasterKey):
            raise Refused("A1", f"LMK {slot.identifier} is a variant LMK, the key is a key block")
        if token.value[0] != slot.block_version:
            raise Refused("A1", f"LMK {slot.identifier} makes key blocks of version {slot.block_version}")
        if strict and token.value[14:16] != slot.identifier:
            raise Refused("A3", "the key block names another LMK")
        place = (slot.identifier, token.value, "")
        opened = self._opened.get(place)
        if opened is None:
            opened = self._keep(place, unwrapped(keys, token))
        return opened

    def open_variant(self, slot: Slot, token: Token, key_type: str, wrong: str) -> OpenKey:
        """The key of a token under the variant LMK. wrong: the code for bad parity. Raises Refused."""
        if not isinstance(slot.keys, VariantMasterKeys):
            raise Refused("A1", f"LMK {slot.identifier} is a key block LMK, the key is none")
        place = (slot.identifier, token.text, key_type)
        opened = self._opened.get(place)
        if opened is None:
            text = "X" + token.value if token.scheme == "D" else token.text
            try:
                opened = self._keep(place, OpenKey(slot.keys.unwrap(text, key_type), "T"))
            except TokenParityError:
                raise Refused(wrong, "the key has no odd parity") from None
            except TokenError as error:
                raise Refused("28" if "key type" in str(error) else "15", str(error)) from None
        return opened

    def _keep(self, place: tuple[str, str, str], opened: OpenKey) -> OpenKey:
        if len(self._opened) >= MOST_OPEN_KEYS:
            self._opened.clear()
        self._opened[place] = opened
        return opened

    def wrap_block(self, slot: Slot, opened: OpenKey, random: Random) -> Token:
        """A key as an S block of this slot. Raises Refused."""
        return wrap_block(slot.keys, opened, slot.identifier, random)

    def wrap_variant(self, slot: Slot, key: bytes, key_type: str, scheme: str) -> Token:
        """A key as a token under the variant LMK. Raises Refused."""
        if not isinstance(slot.keys, VariantMasterKeys):
            raise Refused("A1", f"LMK {slot.identifier} is a key block LMK")
        try:
            return token_from(slot.keys.wrap(key, key_type, scheme))
        except TokenError as error:
            code = "28" if "key type" in str(error) else "27" if "bytes" in str(error) else "26"
            raise Refused(code, str(error)) from None


def unwrapped(keys: BlockMasterKey, token: Token) -> OpenKey:
    """The key of an S block under an LMK or a zone key. Raises Refused."""
    try:
        header, key = keys.unwrap(token.text)
    except KeyBlockMacError:
        raise Refused("A4", "the key block's MAC is wrong") from None
    except KeyBlockError as error:
        raise Refused("83", str(error)) from None
    return OpenKey(key, header.algorithm, header.usage, header.mode, header.key_version, header.exportability)


def wrap_block(
    keys: VariantMasterKeys | BlockMasterKey, opened: OpenKey, identifier: str, random: Random
) -> Token:
    """A key as an S block under an LMK, or under a zone key (identifier FF). Raises Refused."""
    if not isinstance(keys, BlockMasterKey):
        raise Refused("A1", "the LMK is a variant LMK")
    if keys.scheme == "0" and opened.algorithm != "T":
        raise Refused("A7", "a TDES key can't protect a stronger key")
    if not _VERSION.fullmatch(opened.version):
        raise Refused("A9", "a key version is two letters or digits")
    header = Header(
        keys.scheme,
        opened.usage,
        opened.algorithm,
        opened.mode,
        opened.version,
        opened.export,
        reserved=identifier,
    )
    try:
        return token_from(keys.wrap(header, opened.key, random))
    except KeyBlockError as error:
        raise Refused("83", str(error)) from None


def token_from(text: str) -> Token:
    """A token as the crypto package writes it."""
    return Token(text[0], text[1:]) if text[0] in "UTXYSR" else Token("Z", text)


def _first_block(request: Mapping[str, object]) -> Token | None:
    for value in request.values():
        if type(value) is Token:
            if value.scheme == "S":
                return value
        elif isinstance(value, list):
            for one in value:
                if type(one) is Token and one.scheme == "S":
                    return one
    return None


def _check_use(opened: OpenKey, operand: Operand) -> None:
    if opened.usage not in operand.usages:
        raise Refused("A6", f"usage {opened.usage} is not for this command")
    if opened.algorithm not in operand.algorithms:
        raise Refused("A7", f"algorithm {opened.algorithm} is not for this command")
    if opened.mode not in operand.modes:
        raise Refused("A8", f"mode of use {opened.mode} is not for this command")
