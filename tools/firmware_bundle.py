"""Makes and reads software bundles: one declaration of their bytes, signing, and what a vendor is
told of one.

The device reads the same bytes by hand (`terminal.bundle`). Private keys are PEM files of P-256;
they never leave here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from construct import (  # type: ignore[import-untyped]
    Array,
    Bytes,
    Computed,
    Const,
    Construct,
    ConstructError,
    GreedyBytes,
    Int8ub,
    Int32ub,
    PaddedString,
    PascalString,
    Struct,
    this,
)
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MODEL_BYTES: Final = 16
SIGNED: Final = "signed"
NO_KEY: Final = 0xFF  # the number in a place for a signature that isn't there yet; no device has such a key

FILE: Final[Construct] = Struct(
    "name" / PascalString(Int8ub, "ascii"),
    "length" / Int32ub,
    "sha256" / Bytes(32),
)
SIGNATURE: Final[Construct] = Struct("key" / Int8ub, "r_and_s" / Bytes(64))
TABLE: Final[Construct] = Struct(
    "magic" / Const(b"VAFB"),
    "format" / Const(1, Int8ub),
    "model" / PaddedString(MODEL_BYTES, "ascii"),
    "version" / Int32ub,
    "replaces" / Int32ub,
    "signatures_needed" / Int8ub,
    "file_count" / Int8ub,
    "files" / Array(this.file_count, FILE),
)
BUNDLE: Final[Construct] = Struct(
    "table" / TABLE,
    "signatures" / Array(this.table.signatures_needed, SIGNATURE),
    "content" / GreedyBytes,
    SIGNED / Computed(lambda context: TABLE.build(context.table)),
)


class Signer(NamedTuple):
    """A private key and its number on the devices."""

    number: int
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.number})"


def made(
    model: str, version: int, replaces: int, files: Mapping[str, bytes], signers: Sequence[Signer]
) -> bytes:
    """The bundle of these files, in the order of their names. Raises ValueError for what no device would
    take."""
    bundle = unsigned(model, version, replaces, files, len(signers))
    for place, signer in enumerate(signers):
        bundle = _signed(bundle, place, signer)
    return bundle


def unsigned(model: str, version: int, replaces: int, files: Mapping[str, bytes], needed: int) -> bytes:
    """The same with places for as many signatures as are needed, and none in them. Raises ValueError."""
    if not files or needed < 1:
        raise ValueError("a bundle has files and signatures")
    if len(model) > MODEL_BYTES or not model.isascii():
        raise ValueError(f"a model is named by up to {MODEL_BYTES} ASCII letters")
    if not 0 <= replaces < version < 2**32:
        raise ValueError("a version is above the one it may replace")
    files = dict(sorted(files.items()))
    table = {
        "model": model,
        "version": version,
        "replaces": replaces,
        "signatures_needed": needed,
        "file_count": len(files),
        "files": [
            {"name": name, "length": len(data), "sha256": hashlib.sha256(data).digest()}
            for name, data in files.items()
        ],
    }
    places = SIGNATURE.build({"key": NO_KEY, "r_and_s": bytes(64)}) * needed
    return bytes(TABLE.build(table) + places + b"".join(files.values()))


def with_signature(data: bytes, signer: Signer) -> bytes:
    """The bundle with one more signature. Raises ValueError: this key signed already, or none is missing;
    construct.ConstructError: no bundle."""
    bundle = read(data)
    numbers = [signature.key for signature in bundle.signatures]
    if signer.number in numbers:
        raise ValueError(f"key {signer.number} has signed already")
    if NO_KEY not in numbers:
        raise ValueError("all its signatures are there")
    return _signed(data, numbers.index(NO_KEY), signer)


def _signed(data: bytes, place: int, signer: Signer) -> bytes:
    signed = read(data).signed
    signature = SIGNATURE.build({"key": signer.number, "r_and_s": _signature(signer.key, signed)})
    at = len(signed) + place * len(signature)
    return bytes(data[:at] + signature + data[at + len(signature) :])


def missing(data: bytes) -> int:
    """How many signatures are missing. Raises construct.ConstructError."""
    return sum(signature.key == NO_KEY for signature in read(data).signatures)


def is_signed_of(data: bytes, unsigned: bytes, keys: Sequence[bytes]) -> bool:
    """Whether `data` is that bundle with signatures, and each is of the key with its number. keys: points."""
    try:
        bundle, bare = read(data), read(unsigned)
    except ConstructError:
        return False
    if bundle.signed != bare.signed or bundle.content != bare.content:
        return False
    return all(
        one.key == NO_KEY or (one.key < len(keys) and _is_of(keys[one.key], one.r_and_s, bundle.signed))
        for one in bundle.signatures
    )


def _is_of(point: bytes, r_and_s: bytes, signed: bytes) -> bool:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)
    r, s = int.from_bytes(r_and_s[:32], "big"), int.from_bytes(r_and_s[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _signature(key: ec.EllipticCurvePrivateKey, signed: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def public_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as devices keep it: x and y, 32 bytes each."""
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def read(data: bytes) -> Any:
    """A bundle's parts, by the declaration. Raises construct.ConstructError."""
    return BUNDLE.parse(data)
