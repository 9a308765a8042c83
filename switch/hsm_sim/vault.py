"""The LMK at rest: one file, sealed under the passphrases of two officers together (scrypt, AES-256-GCM).

Neither passphrase alone opens it or can be tried alone: the only check is whether both together open the
seal. The same check authorises. Nothing here asks, prints or logs a passphrase.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.macs import hmac_sha256
from switch.people import same_person

FILE: Final = "hsm.json"
FORMAT: Final = 1
MASTER_KEY_BYTES: Final = 32
SHORTEST_PASSPHRASE: Final = 12
# One derivation: 32 MiB and about a tenth of a second; a guess of both passphrases costs two of them.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 15, 8, 1
_SCRYPT_MEMORY: Final = 64 * 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")


class VaultError(Exception):
    """The file or what the officers typed can't be used; the text says why and holds no secret."""


class Officer(NamedTuple):
    """Who, and what only this person knows."""

    name: str
    passphrase: str

    def __repr__(self) -> str:
        return f"<Officer {self.name}>"


class OpenedVault(NamedTuple):
    """The LMK in clear, its slot and who opened it."""

    identifier: str
    master_key: bytes
    officers: tuple[str, str]

    def __repr__(self) -> str:
        return f"<OpenedVault LMK {self.identifier}>"


@dataclass(frozen=True, slots=True)
class Vault:
    """A sealed LMK as it stands in the file."""

    identifier: str
    names: tuple[str, str]
    salts: tuple[bytes, bytes] = field(repr=False)
    nonce: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    cost: tuple[int, int, int] = (SCRYPT_N, SCRYPT_R, SCRYPT_P)

    def open(self, first: Officer, second: Officer) -> OpenedVault:
        """Both officers' passphrases, in either order. Raises VaultError."""
        check_two(first, second)
        given = {officer.name.casefold(): officer for officer in (first, second)}
        try:
            ordered = [given[name.casefold()] for name in self.names]
        except KeyError:
            raise VaultError("these are not the two officers of this LMK") from None
        shares = [
            _share(officer.passphrase, salt, self.cost)
            for officer, salt in zip(ordered, self.salts, strict=True)
        ]
        try:
            key = AESGCM(_wrapping_key(shares)).decrypt(self.nonce, self.sealed, self._associated())
        except InvalidTag:
            raise VaultError("the two passphrases do not open the LMK") from None
        return OpenedVault(self.identifier, key, self.names)

    def _associated(self) -> bytes:
        return json.dumps([FORMAT, self.identifier, self.names, self.cost]).encode()

    def write(self, path: Path) -> None:
        """Make the file, readable by its owner only. Raises VaultError when it exists."""
        content = {
            "format": FORMAT,
            "lmk": self.identifier,
            "officers": [
                {"name": name, "salt": salt.hex()} for name, salt in zip(self.names, self.salts, strict=True)
            ],
            "scrypt": list(self.cost),
            "nonce": self.nonce.hex(),
            "sealed": self.sealed.hex(),
        }
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise VaultError(f"{path} exists: an LMK is never overwritten") from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


def seal(identifier: str, master_key: bytes, first: Officer, second: Officer) -> Vault:
    """An LMK (32 bytes, AES) sealed for two officers. Raises VaultError."""
    if len(master_key) != MASTER_KEY_BYTES:
        raise VaultError(f"the LMK has {MASTER_KEY_BYTES} bytes")
    check_two(first, second)
    for officer in (first, second):
        if len(officer.passphrase) < SHORTEST_PASSPHRASE:
            raise VaultError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters")
    salts = (os.urandom(16), os.urandom(16))
    cost = (SCRYPT_N, SCRYPT_R, SCRYPT_P)
    shares = [
        _share(officer.passphrase, salt, cost) for officer, salt in zip((first, second), salts, strict=True)
    ]
    nonce = os.urandom(12)
    unsealed = Vault(identifier, (first.name, second.name), salts, nonce, b"", cost)
    sealed = AESGCM(_wrapping_key(shares)).encrypt(nonce, master_key, unsealed._associated())
    return Vault(identifier, unsealed.names, salts, nonce, sealed, cost)


def read(path: Path) -> Vault:
    """The vault of a file. Raises VaultError."""
    try:
        content: Any = json.loads(path.read_text("ascii"))
        if content["format"] != FORMAT:
            raise VaultError(f"{path} is of format {content['format']}, known is {FORMAT}")
        first, second = content["officers"]
        n, r, p = (int(number) for number in content["scrypt"])
        if (n, r, p) != (SCRYPT_N, SCRYPT_R, SCRYPT_P):
            raise VaultError(f"{path} asks for another cost of scrypt")
        return Vault(
            str(content["lmk"]),
            (str(first["name"]), str(second["name"])),
            (bytes.fromhex(first["salt"]), bytes.fromhex(second["salt"])),
            bytes.fromhex(content["nonce"]),
            bytes.fromhex(content["sealed"]),
            (n, r, p),
        )
    except OSError as error:
        raise VaultError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise VaultError(f"{path} is no sealed LMK") from None


def check_two(first: Officer, second: Officer) -> None:
    """Raises VaultError unless these are two people, as far as names and passphrases can tell."""
    for officer in (first, second):
        if not _NAME.fullmatch(officer.name):
            raise VaultError("an officer's name is letters, digits, spaces, . _ - (40 at most)")
    if same_person(first.name, second.name):
        raise VaultError(
            "two different officers are needed, the same name came twice, or two that look alike"
        )
    if same(first.passphrase.encode(), second.passphrase.encode()):
        raise VaultError("two different officers are needed, the same passphrase came twice")


def _share(passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY, dklen=32)


def _wrapping_key(shares: list[bytes]) -> bytes:
    return hmac_sha256(shares[0], b"vafa hsm LMK" + shares[1])
