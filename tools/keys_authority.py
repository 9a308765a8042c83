"""`vafa keys ca`: a test authority and the certificates it issues, as files in one directory.

For tests, demos and closed networks; a bank's certificates come from the bank's authority. Keys are ECDSA on
P-256, which every TLS stack of a terminal knows; their files are readable by their owner only.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from switch.tls import Peer, Role, TlsError, expiry_warning, peer_uri
from tools.cli import CommandError, ExitCode

AUTHORITY_DAYS = 3650
CLOCK_SKEW = timedelta(minutes=10)  # a terminal's clock may be behind
AUTHORITY = "authority"
_ADDRESS = re.compile(r"[0-9A-Za-z:](?:[0-9A-Za-z.:-]{0,251}[0-9A-Za-z:])?")


class Authority(NamedTuple):
    """The certificate that signs, and its key. Its repr must never be printed."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Authority({self.certificate.subject.rfc4514_string()})"


def open_authority(directory: Path, now: datetime) -> tuple[Authority, bool]:
    """The authority of a directory, made when it has none; True when it was made. Raises CommandError."""
    certificate_path, key_path = paths(directory, AUTHORITY)
    if certificate_path.exists() != key_path.exists():
        missing = key_path if certificate_path.exists() else certificate_path
        raise CommandError(
            f"{missing} is missing, its other half is there",
            ExitCode.CONFIGURATION,
            "put it back, or choose an empty directory for a new authority",
        )
    if certificate_path.exists():
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            raise CommandError(
                f"{directory}: the authority's files can't be read",
                ExitCode.CONFIGURATION,
                "choose an empty directory for a new authority",
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise CommandError(
                f"{directory}: the authority's key is not that of its certificate",
                ExitCode.CONFIGURATION,
                "put the true files back, or choose an empty directory for a new authority",
            )
        return Authority(certificate, key), False
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vafa test authority")])
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(directory, AUTHORITY, certificate, key)
    return Authority(certificate, key), True


def issue(
    directory: Path, authority: Authority, peer: Peer, addresses: Sequence[str], now: datetime, days: int
) -> Path:
    """Issue a certificate with a new key as `<role>-<name>.crt` and `.key`; returns the certificate's path.

    addresses: host names and IP addresses under which a server is reached; those of a client are none.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(peer_uri(peer))]
    for address in addresses:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            names.append(x509.DNSName(address))
    end = authority.certificate.not_valid_after_utc
    if now + timedelta(days=days) > end:
        raise CommandError(
            f"the authority ends on {end:%Y-%m-%d}, before this certificate",
            ExitCode.CONFIGURATION,
            "issue for fewer days, or make a new authority in an empty directory",
        )
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if addresses:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, peer.name)])
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    _write(directory, f"{peer.role.value}-{peer.name}", certificate, key)
    return paths(directory, f"{peer.role.value}-{peer.name}")[0]


def check_name(role: Role, name: str) -> Peer:
    """A name that may stand in a certificate and in a file's name. Raises CommandError."""
    pattern = "[0-9A-Za-z]{8}" if role is Role.TERMINAL else "[0-9A-Za-z][0-9A-Za-z.-]{0,62}"
    if not re.fullmatch(pattern, name):
        expected = (
            "8 letters or digits (DE 41)" if role is Role.TERMINAL else "letters, digits, dots, hyphens"
        )
        raise CommandError(f"--{role.value} {name!r}: expected {expected}", ExitCode.USAGE)
    return Peer(role, name)


def check_address(address: str) -> str:
    """A name or IP address that may stand in a certificate. Raises CommandError."""
    if not _ADDRESS.fullmatch(address):
        raise CommandError(
            f"--address {address!r}: expected a host name or an IP address", ExitCode.USAGE, "check it"
        )
    return address


def listed(directory: Path, now: datetime) -> list[str]:
    """One line for each certificate of a directory: file, name, end, and what to do when the end is near."""
    lines = []
    for path in sorted(directory.glob("*.crt")):
        try:
            warning = expiry_warning(path, now)
        except TlsError as error:
            lines.append(f"{path.name}  WARNING: {error}")
            continue
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        end = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        lines.append(f"{path.name}  until {end}" + (f"  WARNING: {warning}" if warning else ""))
    return lines


def paths(directory: Path, name: str) -> tuple[Path, Path]:
    """Where a certificate and its key stand."""
    return directory / f"{name}.crt", directory / f"{name}.key"


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    now = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """The key first: a certificate whose key is missing would look finished."""
    certificate_path, key_path = paths(directory, name)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, data, mode in (
            (key_path, secret, 0o600),
            (certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644),
        ):
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(partial, path)
    except OSError as error:
        raise CommandError(
            f"{directory}: can't be written ({error.strerror})",
            ExitCode.CONFIGURATION,
            "choose another directory",
        ) from None
