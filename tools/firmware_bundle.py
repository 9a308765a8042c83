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
    GreedyBytes,
    Int8ub,
    Int32ub,
    PaddedString,
    PascalString,
    Struct,
    this,
)
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MODEL_BYTES: Final = 16
SIGNED: Final = "signed"

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
    if not files or not signers:
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
        "signatures_needed": len(signers),
        "file_count": len(files),
        "files": [
            {"name": name, "length": len(data), "sha256": hashlib.sha256(data).digest()}
            for name, data in files.items()
        ],
    }
    signed = TABLE.build(table)
    signatures = [
        SIGNATURE.build({"key": signer.number, "r_and_s": _signature(signer.key, signed)})
        for signer in signers
    ]
    return bytes(signed + b"".join(signatures) + b"".join(files.values()))


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
