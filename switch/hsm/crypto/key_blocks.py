"""Key blocks: a key, what it may do, and a MAC over both (ANSI X9.143, TR-31; ISO 20038 for version E).

Versions A, B and C under a TDES protection key, D and E under an AES one. Opening is strict: the header's
fields and optional blocks must mean something together, the protection key must be as strong as what it
protects, and nothing of the inside is looked at before the MAC has matched. No error carries content of the
inside.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import (
    aes_cbc_decrypt,
    aes_cbc_encrypt,
    same,
    tdes_cbc_decrypt,
    tdes_cbc_encrypt,
)
from switch.hsm.crypto.macs import algorithm_1, cmac, tdes_cmac

HEADER_CHARACTERS = 16
LONGEST_BLOCK = 9999  # characters: the length field has four digits
_LONGEST_KEY = 0xFFFF // 8  # bytes: the length inside is 16 bits of bits
MOST_OPTIONAL_BLOCKS = 99

Random = Callable[[int], bytes]


class KeyBlockError(ValueError):
    """A key block can't be made or opened. Text: the field and what was expected, never key material."""


class KeyBlockMacError(KeyBlockError):
    """The MAC doesn't match: another protection key, or something in the block was changed."""


class KeyBlockStrengthError(KeyBlockError):
    """The protection key is weaker than the key it protects."""


# ---------------------------------------------------------------- what a header may say

_SYMMETRIC = frozenset("ADT")
_ASYMMETRIC = frozenset("ERS")
_TDES_ONLY = frozenset("DT")
_CIPHER_MODES = frozenset("BDEN")
_MAC_MODES = frozenset("CGVN")
_SIGN_MODES = frozenset("SVTN")
_DERIVE_MODES = frozenset("XN")
_ALL_MODES = frozenset("BCDEGNSTVXY")
_SYMMETRIC_MODES = _ALL_MODES - frozenset("ST")  # no symmetric key signs

# Key usage: the algorithms and modes of use it can go with (X9.143 tables 2 to 4).
_USAGES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "B0": (_SYMMETRIC, _DERIVE_MODES | {"V"}),  # V: the example of ISO 20038 annex B.2
    "B1": (_SYMMETRIC, _DERIVE_MODES),
    "B2": (_SYMMETRIC, frozenset("XYN")),
    "B3": (_SYMMETRIC | {"H"}, _DERIVE_MODES),
    "C0": (_SYMMETRIC, _MAC_MODES),
    "D0": (_SYMMETRIC, _CIPHER_MODES),
    "D1": (_ASYMMETRIC, _CIPHER_MODES),
    "D2": (_SYMMETRIC, _CIPHER_MODES),
    "D3": (_SYMMETRIC, _CIPHER_MODES),
    **{f"E{number}": (_SYMMETRIC, _SYMMETRIC_MODES) for number in range(7)},
    "E7": (_ASYMMETRIC, _ALL_MODES),
    "I0": (_SYMMETRIC, frozenset("N")),
    "K0": (_SYMMETRIC, _CIPHER_MODES | {"X"}),
    "K1": (_SYMMETRIC, _CIPHER_MODES | {"X"}),
    "K2": (_ASYMMETRIC, _CIPHER_MODES | {"X"}),
    "K3": (_ASYMMETRIC, _CIPHER_MODES | {"X"}),
    "K4": (_SYMMETRIC, _CIPHER_MODES | {"X"}),
    "M0": (_TDES_ONLY, _MAC_MODES),
    "M1": (_SYMMETRIC, _MAC_MODES),
    "M2": (_TDES_ONLY, _MAC_MODES),
    "M3": (_TDES_ONLY, _MAC_MODES),
    "M4": (_TDES_ONLY, _MAC_MODES),
    "M5": (_SYMMETRIC, _MAC_MODES),
    "M6": (_SYMMETRIC, _MAC_MODES),
    "M7": (frozenset("H"), _MAC_MODES),
    "M8": (_SYMMETRIC, _MAC_MODES),
    "P0": (_SYMMETRIC, _CIPHER_MODES),
    "P1": (_SYMMETRIC, frozenset("GN")),
    "S0": (_ASYMMETRIC, _SIGN_MODES),
    "S1": (_ASYMMETRIC, _SIGN_MODES),
    "S2": (_ASYMMETRIC, _SIGN_MODES | _ALL_MODES),
    **{f"V{number}": (_SYMMETRIC, _MAC_MODES) for number in range(6)},
}
_PROPRIETARY = (_SYMMETRIC | {"H"}, _ALL_MODES)  # usages of two digits are everybody's own
_ALGORITHMS = frozenset("ADEHRST")
_EXPORTABILITY = frozenset("ENS")

# Bytes a key of this algorithm can have; others are not fixed.
_KEY_BYTES = {"A": (16, 24, 32), "T": (16, 24), "D": (8,)}
_HIDDEN_KEY_BYTES = {
    "A": 32,
    "T": 24,
    "D": 24,
}  # shorter keys are filled up to the longest of their algorithm

# Bits of security by key bytes (NIST SP 800-57 part 1): what protects must have at least those of what it
# protects. An HMAC key counts by its length, up to AES-256; the others' strength is not in their length.
_STRENGTH = {
    "A": {16: 128, 24: 192, 32: 256},
    "T": {8: 56, 16: 80, 24: 112},
    "D": {8: 56},
}
_GREATEST_STRENGTH = 256

# Optional blocks: what their data look like (X9.143 clause 6.3.6); those not listed take any printable text.
_HEX = "[0-9A-F]"
_CHECK_VALUE = re.compile(f"00({_HEX}{{2}}){{1,3}}|01({_HEX}{{2}}){{1,5}}")
_TIME = re.compile(
    r"[0-9]{14}([0-9]{2})?Z|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{2})?Z"
)
_OPTIONAL = {
    "AL": re.compile("01(00|01)"),
    "BI": re.compile(f"00{_HEX}{{10}}|01{_HEX}{{8}}"),
    "CT": re.compile("0[012].+"),
    "DA": re.compile("01([0-9A-Za-z]{5})+"),
    # SHA-1, SHA-2 of five lengths and two cuts, SHA-3 of four, SHAKE of two.
    "HM": re.compile("10|2[0-5]|3[0-3]|4[01]"),
    "IK": re.compile(f"{_HEX}{{16}}"),
    "KC": _CHECK_VALUE,
    "KP": _CHECK_VALUE,
    "KS": re.compile(f"{_HEX}{{20}}|{_HEX}{{16}}"),
    "KV": re.compile("[0-9A-Za-z]{4}"),
    "PK": _CHECK_VALUE,
    "TC": _TIME,
    "TS": _TIME,
    "WP": re.compile("00[0-3]"),
}
_TIME_DIGITS = 14  # year to second; two more are hundredths
_CERTIFICATE_CHAIN = "02"
_CERTIFICATE = re.compile("(0[01])([0-9A-F]{4})")  # of a chain: its format and its length
# An extended length of four digits: X9.143's examples count its bytes (02), others its characters (04).
_EXTENDED_LENGTHS = (2, 4)
_DUKPT_USAGES = ("B0", "B1")
_OPTIONAL_ID = re.compile("[0-9A-Z]{2}")
_PRINTABLE = re.compile("[ -~]*")
_ALPHANUMERIC = re.compile("[0-9A-Za-z]*")


class OptionalBlock(NamedTuple):
    """identifier: two characters; data: printable ASCII as it stands in the block."""

    identifier: str
    data: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a key block says of its key, in clear. Characters and tables as in X9.143 clause 6.

    optional: without the padding block PB, which comes and goes by itself. reserved: the last two characters
    (X9.143: key context 0 to 2 and 0; S blocks: the master key's id).
    """

    version: str
    usage: str
    algorithm: str
    mode: str
    key_version: str = "00"
    exportability: str = "N"
    optional: tuple[OptionalBlock, ...] = ()
    reserved: str = "00"

    def value_of(self, identifier: str) -> str | None:
        """Data of the optional block of this name."""
        return next((block.data for block in self.optional if block.identifier == identifier), None)


class Unwrapped(NamedTuple):
    header: Header
    key: bytes

    def __repr__(self) -> str:
        return f"Unwrapped(header={self.header!r}, key=hidden)"


# ---------------------------------------------------------------- how a version binds


class _ProtectionKeys(NamedTuple):
    """Derived from a protection key: what enciphers, what authenticates."""

    enciphering: bytes
    authenticating: bytes

    def __repr__(self) -> str:
        return "_ProtectionKeys(hidden)"


@dataclass(frozen=True, slots=True)
class Binding:
    """How one version protects its inside. mac_of_cipher: the MAC covers what is enciphered and the header
    starts the chain (else the MAC covers the clear inside, and starts the chain itself)."""

    cipher_block: int
    mac_bytes: int
    protection_key_bytes: tuple[int, ...]
    derive: Callable[[bytes], tuple[bytes, bytes]] = field(repr=False)
    encrypt: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)
    decrypt: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)
    mac: Callable[[bytes, bytes], bytes] = field(repr=False)
    mac_of_cipher: bool = False
    padded: bool = True  # the inside is filled to whole cipher blocks
    hides_length: bool = True


def _variants(key: bytes) -> tuple[bytes, bytes]:
    return bytes(byte ^ 0x45 for byte in key), bytes(byte ^ 0x4D for byte in key)


_KEY_INDICATORS = {
    False: {16: 0, 24: 1},
    True: {16: 2, 24: 3, 32: 4},
}  # by AES or not and length: 2TDEA to AES-256


def _derived(key: bytes, use: int, aes: bool) -> bytes:
    """CMACs over counter, use, 0, algorithm and bits, as many as the key is long (X9.143 clause 7)."""
    rest = use.to_bytes(2) + b"\0" + _KEY_INDICATORS[aes][len(key)].to_bytes(2) + (len(key) * 8).to_bytes(2)
    mac = cmac if aes else tdes_cmac
    return b"".join(mac(key, bytes((count,)) + rest) for count in (1, 2, 3))[: len(key)]


def _derived_by(encipher_use: int, aes: bool) -> Callable[[bytes], tuple[bytes, bytes]]:
    return lambda key: (_derived(key, encipher_use, aes), _derived(key, 1, aes))


def _aes_ctr(key: bytes, data: bytes, vector: bytes) -> bytes:
    return Cipher(AES(key), CTR(vector)).encryptor().update(data)


_TDES_VARIANT = Binding(
    8,
    4,
    (16, 24),
    _variants,
    tdes_cbc_encrypt,
    tdes_cbc_decrypt,
    lambda key, data: algorithm_1(key, data, 0),
    True,
)
_TDES_DERIVED = Binding(8, 8, (16, 24), _derived_by(0, False), tdes_cbc_encrypt, tdes_cbc_decrypt, tdes_cmac)
_AES_CBC = Binding(16, 16, (16, 24, 32), _derived_by(0, True), aes_cbc_encrypt, aes_cbc_decrypt, cmac)
_AES_CTR = Binding(16, 16, (16, 24, 32), _derived_by(2, True), _aes_ctr, _aes_ctr, cmac, padded=False)

BINDINGS: Mapping[str, Binding] = {
    "A": _TDES_VARIANT,
    "B": _TDES_DERIVED,
    "C": _TDES_VARIANT,
    "D": _AES_CBC,
    "E": _AES_CTR,
}
# Version characters of S blocks under a payShield master key (see master_keys).
MASTER_KEY_BINDINGS: Mapping[str, Binding] = {
    "0": Binding(
        8,
        4,
        (16, 24),
        _variants,
        tdes_cbc_encrypt,
        tdes_cbc_decrypt,
        _TDES_VARIANT.mac,
        True,
        hides_length=False,
    ),
    "1": Binding(
        16,
        8,
        (16, 24, 32),
        _derived_by(0, True),
        aes_cbc_encrypt,
        aes_cbc_decrypt,
        cmac,
        True,
        hides_length=False,
    ),
}


# ---------------------------------------------------------------- wrap and unwrap


def wrap(protection_key: bytes, header: Header, key: bytes, random: Random = os.urandom) -> str:
    """The key as a block, printable ASCII. Keys shorter than the longest of their algorithm are filled up to
    it, so that the block doesn't tell their length. Raises KeyBlockStrengthError, KeyBlockError."""
    check_header(header)
    _check_protection(header, protection_key, key)
    check_optional(header, key, protection_key)
    return seal(BINDINGS[header.version], protection_key, header, key, random)


def unwrap(protection_key: bytes, block: str) -> Unwrapped:
    """Header and key of a block. Raises KeyBlockMacError when the MAC doesn't match, KeyBlockStrengthError
    for a protection key weaker than the key, KeyBlockError for everything else the standard doesn't allow."""
    header, end = parse_header(block)
    opened = open_block(BINDINGS[header.version], protection_key, block, header, end)
    _check_protection(header, protection_key, opened.key)
    check_optional(header, opened.key, protection_key)
    return opened


def parse_header(block: str) -> tuple[Header, int]:
    """The header of a block and where its inside starts. Nothing of it is to be believed before `unwrap`.
    Raises KeyBlockError."""
    header, end = read_header(block, BINDINGS)
    check_header(header)
    return header, end


def seal(binding: Binding, protection_key: bytes, header: Header, key: bytes, random: Random) -> str:
    """A block by this binding; the header is not judged. Raises KeyBlockError."""
    _check_key_bytes(header.algorithm, len(key))
    keys = _protection_keys(binding, protection_key)
    longest = _HIDDEN_KEY_BYTES.get(header.algorithm, 0) if binding.hides_length else 0
    filled = 2 + max(len(key), longest)
    if binding.padded:
        filled += -filled % binding.cipher_block
    inside = (len(key) * 8).to_bytes(2) + key + random(filled - 2 - len(key))
    optional, count = _optional_text(header.optional, binding.cipher_block)
    length = HEADER_CHARACTERS + len(optional) + 2 * (filled + binding.mac_bytes)
    if length > LONGEST_BLOCK:
        raise KeyBlockError(f"the block would have {length} characters; {LONGEST_BLOCK} is the limit")
    text = (
        f"{header.version}{length:04}{header.usage}{header.algorithm}{header.mode}{header.key_version}"
        f"{header.exportability}{count:02}{header.reserved}{optional}"
    )
    clear = text.encode("ascii")
    if binding.mac_of_cipher:
        enciphered = binding.encrypt(keys.enciphering, inside, clear[: binding.cipher_block])
        mac = binding.mac(keys.authenticating, clear + enciphered)[: binding.mac_bytes]
    else:
        mac = binding.mac(keys.authenticating, clear + inside)
        enciphered = binding.encrypt(keys.enciphering, inside, mac)
    return text + (enciphered + mac).hex().upper()


def open_block(binding: Binding, protection_key: bytes, block: str, header: Header, end: int) -> Unwrapped:
    """The key of a block whose header ends at `end`. Raises KeyBlockError."""
    body = _unhex(block[end:])
    enciphered, mac = body[: -binding.mac_bytes], body[-binding.mac_bytes :]
    shortest = binding.cipher_block if binding.padded else 3
    if len(enciphered) < shortest or (binding.padded and len(enciphered) % binding.cipher_block):
        raise KeyBlockError("the inside of the block is no whole number of cipher blocks")
    keys = _protection_keys(binding, protection_key)
    clear = block[:end].encode("ascii")
    if binding.mac_of_cipher:
        covered = enciphered
        inside = binding.decrypt(keys.enciphering, enciphered, clear[: binding.cipher_block])
    else:
        covered = inside = binding.decrypt(keys.enciphering, enciphered, mac)
    if not same(binding.mac(keys.authenticating, clear + covered)[: binding.mac_bytes], mac):
        raise KeyBlockMacError("the block's MAC doesn't match")
    bits = int.from_bytes(inside[:2])
    size = bits // 8
    if bits % 8 or size > len(inside) - 2:
        raise KeyBlockError("the key length inside the block is not possible")
    _check_key_bytes(header.algorithm, size)
    return Unwrapped(header, inside[2 : 2 + size])


# ---------------------------------------------------------------- header


def read_header(block: str, bindings: Mapping[str, Binding]) -> tuple[Header, int]:
    """Splits a block's header, and checks what doesn't depend on the meaning of its fields. Raises
    KeyBlockError."""
    if not _PRINTABLE.fullmatch(block):
        raise KeyBlockError("a key block is printable ASCII")
    if len(block) < HEADER_CHARACTERS:
        raise KeyBlockError(f"a key block has at least {HEADER_CHARACTERS} characters, not {len(block)}")
    version = block[0]
    if version not in bindings:
        raise KeyBlockError(f"version is one of {', '.join(bindings)}, not {version!r}")
    if not _ALPHANUMERIC.fullmatch(block[:HEADER_CHARACTERS]):
        raise KeyBlockError("the header is letters and digits")
    if not block[1:5].isdigit() or int(block[1:5]) != len(block):
        raise KeyBlockError(f"the length field doesn't say {len(block):04}")
    if not block[12:14].isdigit():
        raise KeyBlockError("the number of optional blocks is not two digits")
    optional, end = _read_optional(block, int(block[12:14]), bindings[version].cipher_block)
    header = Header(
        version=version,
        usage=block[5:7],
        algorithm=block[7],
        mode=block[8],
        key_version=block[9:11],
        exportability=block[11],
        optional=optional,
        reserved=block[14:16],
    )
    return header, end


def check_header(header: Header) -> None:
    """Raises KeyBlockError unless the fields mean something together (X9.143 clause 6.3)."""
    if header.version not in BINDINGS:
        raise KeyBlockError(f"version is one of {', '.join(BINDINGS)}, not {header.version!r}")
    _check_purpose(header.usage, header.algorithm, header.mode)
    if not re.fullmatch("[0-9A-Za-z]{2}", header.key_version):
        raise KeyBlockError("the key version is two letters or digits")
    if header.exportability not in _EXPORTABILITY:
        raise KeyBlockError(f"exportability is one of E, N, S, not {header.exportability!r}")
    if not re.fullmatch("[0-2]0", header.reserved):
        raise KeyBlockError("the last two header characters are a key context 0 to 2 and 0")


def _check_purpose(usage: str, algorithm: str, mode: str) -> None:
    if re.fullmatch("[0-9]{2}", usage):
        algorithms, modes = _PROPRIETARY
    elif usage in _USAGES:
        algorithms, modes = _USAGES[usage]
    else:
        raise KeyBlockError(f"key usage {usage!r} is not known")
    if algorithm not in _ALGORITHMS:
        raise KeyBlockError(f"algorithm {algorithm!r} is not known")
    if algorithm not in algorithms:
        raise KeyBlockError(f"a key with usage {usage} can't have algorithm {algorithm}")
    if mode not in modes:
        raise KeyBlockError(f"a key with usage {usage} can't have mode of use {mode!r}")


def strength(algorithm: str, size: int) -> int:
    """Bits of security of a key of so many bytes by its X9.143 algorithm; 0 where bytes don't tell."""
    if algorithm == "H":
        return min(size * 8, _GREATEST_STRENGTH)
    return _STRENGTH.get(algorithm, {}).get(size, 0)


def check_strength(protecting: str, protecting_size: int, algorithm: str, size: int) -> None:
    """Raises KeyBlockStrengthError when the protecting key (its algorithm, bytes) is weaker than the
    protected one (X9.143 clause 5; ANSI X9.24-1)."""
    needed, given = strength(algorithm, size), strength(protecting, protecting_size)
    if given < needed:
        raise KeyBlockStrengthError(f"a key of {needed} bits of security can't go under one of {given}")


def _check_protection(header: Header, protection_key: bytes, key: bytes) -> None:
    _check_protection_key(BINDINGS[header.version], protection_key)
    check_strength(_protecting(header), len(protection_key), header.algorithm, len(key))


def _protecting(header: Header) -> str:
    """The protection key's algorithm."""
    return "A" if header.version in "DE" else "T"


# ---------------------------------------------------------------- optional blocks


def check_optional(header: Header, key: bytes, protection_key: bytes) -> None:
    """Raises KeyBlockError unless the optional blocks fit their own form and the key."""
    for identifier, data in header.optional:
        form = _OPTIONAL.get(identifier)
        if form and not form.fullmatch(data):
            raise KeyBlockError(f"optional block {identifier} has not the form of its kind")
        if identifier in _FOR_KEYS:
            fits, whose = _FOR_KEYS[identifier]
            if not fits(header, data):
                raise KeyBlockError(f"optional block {identifier} is for {whose}")
        if identifier in _CONTENTS:
            _CONTENTS[identifier](identifier, data)
    _check_check_value(header, "KC", key, header.algorithm)
    _check_check_value(header, "KP", protection_key, _protecting(header))


def _is_aes_dukpt(header: Header, _: str) -> bool:
    return header.usage in _DUKPT_USAGES and header.algorithm == "A"


def _is_base_key_of_its_kind(header: Header, data: str) -> bool:
    return header.usage in _DUKPT_USAGES and header.algorithm == {"00": "T", "01": "A"}[data[:2]]


# Which keys an optional block can be about, and how to say it.
_FOR_KEYS: Mapping[str, tuple[Callable[[Header, str], bool], str]] = {
    "AL": (lambda header, _: header.algorithm in _ASYMMETRIC, "asymmetric keys"),
    "BI": (_is_base_key_of_its_kind, "DUKPT keys: 00 with TDES, 01 with AES"),
    "CT": (lambda header, _: header.algorithm in _ASYMMETRIC, "asymmetric keys"),
    "DA": (lambda header, _: header.mode in _DERIVE_MODES, "keys that others are derived from"),
    "HM": (lambda header, _: header.algorithm == "H", "HMAC keys"),
    "IK": (_is_aes_dukpt, "AES DUKPT keys"),
    "KC": (lambda header, _: header.algorithm in _SYMMETRIC, "AES and TDES keys"),
    "KS": (lambda header, _: header.algorithm in _TDES_ONLY, "TDES DUKPT; AES DUKPT keys take IK"),
}


def _check_time(identifier: str, data: str) -> None:
    digits = re.sub("[^0-9]", "", data)[:_TIME_DIGITS]
    try:
        datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        raise KeyBlockError(f"optional block {identifier} is no time that ever was") from None


def _check_derivations(identifier: str, data: str) -> None:
    for at in range(2, len(data), 5):
        usage, algorithm, mode, exportability = data[at : at + 2], *data[at + 2 : at + 5]
        try:
            _check_purpose(usage, algorithm, mode)
        except KeyBlockError as error:
            raise KeyBlockError(f"optional block {identifier}: {error}") from None
        if exportability not in _EXPORTABILITY:
            raise KeyBlockError(f"optional block {identifier}: exportability is one of E, N, S")


def _check_certificates(identifier: str, data: str) -> None:
    kind, rest = data[:2], data[2:]
    if kind != _CERTIFICATE_CHAIN:
        _check_base64(identifier, rest)
        return
    while rest:
        start = _CERTIFICATE.match(rest)
        if start is None:
            raise KeyBlockError(f"optional block {identifier}: a chain's certificate has format and length")
        end = start.end() + int(start.group(2), 16)
        if end > len(rest):
            raise KeyBlockError(f"optional block {identifier}: a chain's certificate is cut off")
        _check_base64(identifier, rest[start.end() : end])
        rest = rest[end:]


def _check_base64(identifier: str, text: str) -> None:
    try:
        decoded = b64decode(text, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise KeyBlockError(f"optional block {identifier}: a certificate is in base64")


# What the form alone doesn't tell.
_CONTENTS: Mapping[str, Callable[[str, str], None]] = {
    "CT": _check_certificates,
    "DA": _check_derivations,
    "TC": _check_time,
    "TS": _check_time,
}


def _check_check_value(header: Header, identifier: str, key: bytes, algorithm: str) -> None:
    stated = header.value_of(identifier)
    if stated is None:
        return
    kind, digits = stated[:2], stated[2:]
    if algorithm == "A" and kind == "00":
        raise KeyBlockError(f"optional block {identifier}: an AES key's check value is of kind 01, by CMAC")
    actual = (
        check_value(key, algorithm, len(digits))
        if kind == "00"
        else _cmac_check_value(key, algorithm, digits)
    )
    if not same(actual, digits):
        raise KeyBlockError(f"optional block {identifier} states another check value than the key has")


def _cmac_check_value(key: bytes, algorithm: str, digits: str) -> str:
    mac = cmac(key, bytes(16)) if algorithm == "A" else tdes_cmac(key, bytes(8))
    return mac.hex().upper()[: len(digits)]


def _read_optional(block: str, count: int, cipher_block: int) -> tuple[tuple[OptionalBlock, ...], int]:
    found: list[OptionalBlock] = []
    at = HEADER_CHARACTERS
    for _ in range(count):
        if found and found[-1].identifier == "PB":
            raise KeyBlockError("optional block PB is the last one")
        optional, at = _read_one_optional(block, at)
        if any(optional.identifier == other.identifier for other in found):
            raise KeyBlockError(f"optional block {optional.identifier} comes twice")
        found.append(optional)
    if (at - HEADER_CHARACTERS) % cipher_block:
        raise KeyBlockError(f"the optional blocks are no multiple of {cipher_block} characters")
    if found and found[-1].identifier == "PB":
        _check_padding(found.pop(), at - HEADER_CHARACTERS, cipher_block)
    return tuple(found), at


def _check_padding(padding: OptionalBlock, total: int, cipher_block: int) -> None:
    """PB is there only where it is needed, and adds one cipher block at most to what that takes."""
    size = 4 + len(padding.data)
    if (total - size) % cipher_block == 0 or size > cipher_block + 4:
        raise KeyBlockError("optional block PB has not the length that fills up the header")


def _read_one_optional(block: str, at: int) -> tuple[OptionalBlock, int]:
    identifier = block[at : at + 2]
    if not _OPTIONAL_ID.fullmatch(identifier):
        raise KeyBlockError(f"optional block at character {at}: its name is two capitals or digits")
    size = _hex_number(block[at + 2 : at + 4], 2, identifier)
    data_at = at + 4
    if size == 0:  # extended: how long the length is, then the length
        digits = _hex_number(block[at + 4 : at + 6], 2, identifier)
        if digits not in _EXTENDED_LENGTHS:
            raise KeyBlockError(f"optional block {identifier}: an extended length has 4 digits")
        size = _hex_number(block[at + 6 : at + 10], 4, identifier)
        data_at = at + 10
    end = at + size
    if end < data_at or end > len(block):
        raise KeyBlockError(f"optional block {identifier} has an impossible length")
    return OptionalBlock(identifier, block[data_at:end]), end


def _optional_text(optional: tuple[OptionalBlock, ...], cipher_block: int) -> tuple[str, int]:
    """The optional blocks as text, with PB where they would not fill cipher blocks, and their number."""
    names = [block.identifier for block in optional]
    if len(set(names)) != len(names) or "PB" in names:
        raise KeyBlockError("every optional block comes once, and PB comes by itself")
    text = "".join(_optional_one(block) for block in optional)
    count = len(optional)
    if len(text) % cipher_block:
        fill = -(len(text) + 4) % cipher_block
        text += f"PB{fill + 4:02X}{'0' * fill}"
        count += 1
    if count > MOST_OPTIONAL_BLOCKS:
        raise KeyBlockError(f"a block has at most {MOST_OPTIONAL_BLOCKS} optional blocks")
    return text, count


def _optional_one(block: OptionalBlock) -> str:
    if not _OPTIONAL_ID.fullmatch(block.identifier) or not _PRINTABLE.fullmatch(block.data):
        raise KeyBlockError("an optional block has a name of two capitals or digits, and printable data")
    if len(block.data) + 4 <= 0xFF:
        return f"{block.identifier}{len(block.data) + 4:02X}{block.data}"
    return f"{block.identifier}0002{len(block.data) + 10:04X}{block.data}"


# ---------------------------------------------------------------- small parts


def _protection_keys(binding: Binding, protection_key: bytes) -> _ProtectionKeys:
    _check_protection_key(binding, protection_key)
    return _ProtectionKeys(*binding.derive(protection_key))


def _check_protection_key(binding: Binding, protection_key: bytes) -> None:
    if len(protection_key) not in binding.protection_key_bytes:
        sizes = ", ".join(map(str, binding.protection_key_bytes))
        raise KeyBlockError(f"this version's protection key has {sizes} bytes, not {len(protection_key)}")


def _check_key_bytes(algorithm: str, size: int) -> None:
    sizes = _KEY_BYTES.get(algorithm)
    if size not in sizes if sizes else not 0 < size <= _LONGEST_KEY:
        raise KeyBlockError(f"a key of algorithm {algorithm} can't have {size} bytes")


def _hex_number(text: str, digits: int, identifier: str) -> int:
    if not re.fullmatch(f"{_HEX}{{{digits}}}", text):
        raise KeyBlockError(f"optional block {identifier}: its length is not {digits} hex digits")
    return int(text, 16)


def _unhex(text: str) -> bytes:
    if len(text) % 2 or not re.fullmatch(f"{_HEX}*", text):
        raise KeyBlockError("behind the header, a key block is pairs of upper case hex digits")
    return bytes.fromhex(text)
