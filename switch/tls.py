"""TLS as Vafa uses it: 1.3, or 1.2 with forward secrecy and AEAD; both sides show a certificate.

A leaf: it makes contexts and reads certificates, it opens no connection. Whom a certificate speaks for stands
in it as a URI, `urn:vafa:<role>:<name>`, so that a partner's certificate is never taken for a terminal's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

# RFC 9325, 4.2: with TLS 1.2 only suites with ephemeral keys and AEAD; those of TLS 1.3 all are.
TLS_1_2_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
URI_PREFIX = "urn:vafa:"
# Certificates live 90 days: a month before the end is time for two attempts at renewing them.
WARNING_BEFORE_END = timedelta(days=30)


class TlsError(Exception):
    """TLS can't be set up. The text names the file, what is wrong and what to do; it holds no key."""


class Role(Enum):
    """Whom a certificate speaks for."""

    TERMINAL = "terminal"  # name: DE 41
    PARTNER = "partner"  # a bank's host; name: as in the settings
    SWITCH = "switch"
    HSM = "hsm"


class Peer(NamedTuple):
    """The holder of a certificate that our authority signed."""

    role: Role
    name: str


def server_context(certificate: Path, key: Path, clients: Path | None) -> ssl.SSLContext:
    """For a listener. clients: the authority (PEM) whose certificates clients must show; None: they need
    none. Raises TlsError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, certificate, key)
    if clients is not None:
        _load_authority(context, clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    authority: Path, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For a connection to a server whose certificate `authority` signed, with its name or address in it.
    Raises TlsError."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    _load_authority(context, authority)
    if certificate is not None:
        _load_certificate(context, certificate, certificate if key is None else key)
    return context


def peer_of(certificate: Mapping[str, Any] | None) -> Peer | None:
    """Whom the verified certificate of a connection (`SSLObject.getpeercert()`) speaks for; None: nobody we
    know, or more than one."""
    uris = _uris(certificate)
    if len(uris) != 1:
        return None
    role, _, name = uris[0][len(URI_PREFIX) :].partition(":")
    try:
        return Peer(Role(role), name) if name else None
    except ValueError:
        return None


def says_whose(certificate: Mapping[str, Any] | None) -> bool:
    """Whether a certificate names anybody our way, known or not. Those of other authorities don't."""
    return bool(_uris(certificate))


def _uris(certificate: Mapping[str, Any] | None) -> list[str]:
    names = (certificate or {}).get("subjectAltName", ())
    return [value for kind, value in names if kind == "URI" and value.startswith(URI_PREFIX)]


def peer_uri(peer: Peer) -> str:
    """How a certificate says whom it speaks for."""
    return f"{URI_PREFIX}{peer.role.value}:{peer.name}"


def expiry_warning(certificate: Path, now: datetime) -> str | None:
    """What to tell an operator about the end of a certificate (the first of a PEM file): None while it is
    far. Raises TlsError."""
    from cryptography import x509  # here, for most who import this read no certificate

    try:
        end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise TlsError(f"{certificate}: no certificate in PEM ({_reason(error)}); check the path") from None
    left = end - now.astimezone(UTC)
    if left <= timedelta(0):
        return f"{certificate}: expired on {end:%Y-%m-%d %H:%M} UTC; issue a new one: vafa keys ca"
    if left < WARNING_BEFORE_END:
        days = left.days
        return f"{certificate}: expires in {days} days, on {end:%Y-%m-%d}; issue a new one: vafa keys ca"
    return None


def _context(side: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path, what in ((certificate, "certificate"), (key, "key")):
        if not path.is_file():
            raise TlsError(f"{path}: no such {what} file; issue one: vafa keys ca")
    try:
        # An enciphered key would be asked for on the terminal of a service: refuse it instead.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsError(
            f"{certificate}, {key}: no certificate with its key in PEM ({_reason(error)}); issue both again: "
            "vafa keys ca"
        ) from None


def _load_authority(context: ssl.SSLContext, authority: Path) -> None:
    if not authority.is_file():
        raise TlsError(f"{authority}: no such authority file; make one: vafa keys ca")
    try:
        context.load_verify_locations(cafile=str(authority))
    except (OSError, ValueError) as error:
        raise TlsError(f"{authority}: no certificate in PEM ({_reason(error)}); check the path") from None


def _no_password() -> str:
    raise ValueError("the key is enciphered")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or "unreadable"
    return (
        str(error).splitlines()[0][:80]
        if isinstance(error, ValueError) and "enciphered" in str(error)
        else "not PEM"
    )
