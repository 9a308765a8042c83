"""A signed bundle's way to the switch: `vafa terminal software add` and, for a group, `assign`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tools import downloads
from tools.fw_profile import Profile
from tools.registry_change import Format
from tools.registry_words import Locale


def hand_over(bundle: Path, profile: Profile, group: str | None, data: Path) -> None:
    """Give it to the switch of this data directory, which checks it as its terminals will."""
    with tempfile.TemporaryDirectory(prefix="vafa-ota-") as directory:
        keys = Path(directory) / "keys.pem"
        keys.write_bytes(b"".join(_pem(key) for key in profile.signers))
        downloads.add_software(
            file=bundle,
            model=profile.model,
            keys=keys,
            needed=profile.signatures_needed,
            reason="vafa fw ota",
            by=None,
            data=data,
            config=None,
            format=Format.TEXT,
            locale=Locale.EN,
        )
    if group is not None:
        downloads.assign_software(
            software=f"{profile.model}/{profile.version}",
            group=group,
            share=100,
            terminals=None,
            reason="vafa fw ota",
            by=None,
            data=data,
            config=None,
            format=Format.TEXT,
            locale=Locale.EN,
        )


def _pem(point: str) -> bytes:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + bytes.fromhex(point))
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
