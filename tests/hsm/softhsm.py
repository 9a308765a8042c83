"""A private SoftHSM2 token in a directory of its own, and keys that a test knows inside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pkcs11
import pytest

from switch.hsm.pkcs11 import IDENTIFIER_BYTES, LABEL_PREFIX, load
from switch.hsm.port import Key, KeyUse

LIBRARIES = (  # where Debian, source builds and Homebrew put it
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
LABEL, USER_PIN, OFFICER_PIN = "vafa test", "24681357", "86427531"


def library() -> str:
    """The path of SoftHSM2's library; a test without it fails."""
    for path in LIBRARIES:
        if os.path.exists(path):
            return path
    pytest.fail("SoftHSM2 is not installed: apt-get install softhsm2", pytrace=False)


@contextmanager
def fresh_token(directory: Path) -> Iterator[str]:
    """Initialises a token; gives the library's path. The library reads SOFTHSM2_CONF once per process, so
    there is one of these per test run."""
    module = library()
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    try:
        initialise = ["softhsm2-util", "--init-token", "--free", "--label", LABEL]
        subprocess.run(
            [*initialise, "--so-pin", OFFICER_PIN, "--pin", USER_PIN], check=True, capture_output=True
        )
        load(module, again=True)
        yield module
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before


_CREATED = {
    KeyUse.MAC: (pkcs11.KeyType.AES, (pkcs11.Attribute.SIGN,)),
    KeyUse.MAC_HMAC: (pkcs11.KeyType.GENERIC_SECRET, (pkcs11.Attribute.SIGN,)),
    KeyUse.BASE_DERIVATION: (pkcs11.KeyType.AES, (pkcs11.Attribute.DERIVE,)),
}


def put_key(module: str, use: KeyUse, clear: bytes) -> Key:
    """A known key as the adapter would have made it; of uses it can't make: an object like a MAC key's."""
    key_type, allowed = _CREATED.get(use, _CREATED[KeyUse.MAC])
    identifier = os.urandom(IDENTIFIER_BYTES)
    # The process is logged in as soon as the adapter is; a session of our own needs no PIN then.
    token = pkcs11.lib(module).get_token(token_label=LABEL)
    with token.open(rw=True) as session:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: key_type,
                pkcs11.Attribute.VALUE: clear,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.PRIVATE: True,
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: False,
                pkcs11.Attribute.ID: identifier,
                pkcs11.Attribute.LABEL: LABEL_PREFIX + use.name,
                **dict.fromkeys(allowed, True),
            }
        )
    return Key(identifier.hex(), use, "000000")
