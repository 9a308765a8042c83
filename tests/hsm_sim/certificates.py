"""Throw-away authorities and certificates for the TLS tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ip_address("127.0.0.1"))


class Authority:
    """Signs certificates and writes them into a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _signed(self._name, self._key, self._name, self._key, authority=True, days=1)
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, days: int = 1, uris: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Certificate and key for a name; days -1: expired; uris: whom it speaks for."""
        return self._issued(name, self._name, self._key, days, uris)

    def issue_by(
        self, identity: tuple[Path, Path], name: str, uris: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """As `issue`, signed by the holder of a certificate that may sign none; its own goes along."""
        holder = x509.load_pem_x509_certificate(identity[0].read_bytes())
        key = serialization.load_pem_private_key(identity[1].read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        made = self._issued(name, holder.subject, key, 1, uris)
        made[0].write_bytes(made[0].read_bytes() + identity[0].read_bytes())
        return made

    def _issued(
        self,
        name: str,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        days: int,
        uris: tuple[str, ...],
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = _signed(subject, key, issuer, issuer_key, authority=False, days=days, uris=uris)
        paths = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
    days: int,
    uris: tuple[str, ...] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([LOOPBACK, *map(x509.UniformResourceIdentifier, uris)]),
            critical=False,
        )
    )
    return builder.sign(issuer_key, hashes.SHA256())
