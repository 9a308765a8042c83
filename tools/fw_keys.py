"""Signing keys of software: P-256 in PEM files. One without a passphrase is a test key and says so.

A private key is read for one signature and goes with the command; nothing of it is ever printed.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final

import typer
from construct import ConstructError  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from switch.defaults import write_private
from terminal import bundle as device
from tools import firmware_bundle
from tools.cli import CommandError, ExitCode, written_to
from tools.fw_profile import Profile
from tools.keys_prompt import StandardPrompt

PASSPHRASE_SHORTEST: Final = 8
BANNER: Final = """\
************************************************************
*  TEST KEY: no passphrase. Never for terminals in shops.  *
************************************************************"""


def read(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of a file; asks for its passphrase when it has one. Raises CommandError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}", ExitCode.CONFIGURATION, "vafa fw key --make"
        ) from None
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:
        key = _opened(path, data)
    except ValueError:
        raise _no_key(path) from None
    else:
        typer.echo(BANNER, err=True)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _no_key(path)
    return key


def _opened(path: Path, data: bytes) -> Any:
    passphrase = StandardPrompt().ask_hidden(f"passphrase of {path}")
    try:
        return serialization.load_pem_private_key(data, passphrase.encode())
    except ValueError:
        raise CommandError(f"{path}: wrong passphrase", ExitCode.NEGATIVE, "try again") from None


def _no_key(path: Path) -> CommandError:
    return CommandError(
        f"{path}: no private key of P-256 in PEM", ExitCode.CONFIGURATION, "vafa fw key --make"
    )


def made(path: Path, is_test: bool) -> ec.EllipticCurvePrivateKey:
    """A new key in a new file. Raises CommandError."""
    if path.exists():
        raise CommandError(
            f"{path}: is there already", ExitCode.USAGE, "another name; a key is never overwritten"
        )
    if not path.parent.is_dir():
        raise CommandError(
            f"{path}: there is no directory {path.parent}", ExitCode.USAGE, "make it, or choose another"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    hiding: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if is_test:
        typer.echo(BANNER, err=True)
    else:
        hiding = serialization.BestAvailableEncryption(_new_passphrase(path).encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hiding)
    with written_to(path, "choose a directory that you may write to"):
        write_private(path, pem.decode())
    return key


def _new_passphrase(path: Path) -> str:
    prompt = StandardPrompt()
    passphrase = prompt.ask_hidden(f"new passphrase of {path}")
    if len(passphrase) < PASSPHRASE_SHORTEST:
        raise CommandError(
            f"a passphrase has {PASSPHRASE_SHORTEST} letters or more", ExitCode.USAGE, "a longer one"
        )
    if prompt.ask_hidden("once more") != passphrase:
        raise CommandError("the two are not the same", ExitCode.USAGE, "try again")
    return passphrase


def signer(path: Path, profile: Profile) -> tuple[int, ec.EllipticCurvePrivateKey]:
    """Number of a key in the profile, and the key. Raises CommandError: wrong key."""
    if not profile.signers:
        raise CommandError(
            f"{profile.where(('signing', 'keys'))}: [signing] names no key, so nobody can sign",
            ExitCode.CONFIGURATION,
            f'put what `vafa fw key {shlex.quote(str(path))}` prints there, keys = ["…"], then vafa fw build',
        )
    key = read(path)
    point = firmware_bundle.public_point(key.public_key()).hex()
    for number, known in enumerate(profile.signers):
        if known.lower() == point:
            return number, key
    raise CommandError(
        f"{path}: wrong key: none of the {len(profile.signers)} in [signing] of {profile.path}",
        ExitCode.NEGATIVE,
        "sign with one of those; `vafa fw key FILE.pem` prints what stands there",
    )


def signed(path: Path, who: firmware_bundle.Signer, profile: Profile) -> bytes:
    """The bundle with one more signature. Raises CommandError."""
    _bundle_of(path, profile)
    try:
        return firmware_bundle.with_signature(path.read_bytes(), who)
    except ValueError as error:
        raise CommandError(
            f"{path}: {error}", ExitCode.NEGATIVE, "another key, or nothing: see `needed`"
        ) from None


def check_signed(path: Path, profile: Profile) -> None:
    """Raises CommandError unless terminals of the profile would take the bundle; their own code looks."""
    _bundle_of(path, profile)
    data = path.read_bytes()
    keys = [bytes.fromhex(key) for key in profile.signers]
    if left := firmware_bundle.missing(data):
        missing = f"{left} signatures are missing" if left > 1 else "a signature is missing"
        raise CommandError(
            f"{path}: {profile.model} version {profile.version}: {missing}", ExitCode.NEGATIVE, "vafa fw sign"
        )
    try:
        device.read_table(
            lambda at, count: data[at : at + count],
            len(data),
            profile.model,
            profile.replaces,
            keys,
            profile.signatures_needed,
        )
    except device.BundleError as error:
        raise CommandError(
            f"{path}: terminals would refuse it: {error.what}", ExitCode.NEGATIVE, "build and sign it again"
        ) from None


def _bundle_of(path: Path, profile: Profile) -> None:
    """Raises CommandError unless there is a bundle of what the profile is."""
    try:
        table = firmware_bundle.read(path.read_bytes()).table
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", ExitCode.CONFIGURATION, "vafa fw build") from None
    except ConstructError:
        raise CommandError(f"{path}: no bundle", ExitCode.NEGATIVE, "vafa fw build") from None
    if table.model != profile.model or table.version != profile.version:
        raise CommandError(
            f"{path}: is of {table.model} version {table.version}, the profile is {profile.model} version"
            f" {profile.version}",
            ExitCode.NEGATIVE,
            "vafa fw build, then vafa fw sign; or --bundle, the one that is meant",
        )
