"""Who may speak TLS with us, and as whom: handshakes in memory with certificates of `vafa keys ca`."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from switch.tls import Peer, Role, TlsError, client_context, expiry_warning, peer_of, server_context
from tools.keys_authority import Authority, issue, open_authority, paths

NOW = datetime.now(UTC)
TERMINAL = Peer(Role.TERMINAL, "10000001")
SWITCH = Peer(Role.SWITCH, "main")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    authority(tmp_path)
    issue(tmp_path, authority(tmp_path), SWITCH, ["localhost"], NOW, 90)
    issue(tmp_path, authority(tmp_path), TERMINAL, [], NOW, 90)
    return tmp_path


def authority(directory: Path) -> Authority:
    return open_authority(directory, NOW)[0]


def server(directory: Path) -> ssl.SSLContext:
    return server_context(*paths(directory, "switch-main"), paths(directory, "authority")[0])


def client(directory: Path, name: str | None = "terminal-10000001") -> ssl.SSLContext:
    return client_context(paths(directory, "authority")[0], *(paths(directory, name) if name else ()))


def shake_hands(of_server: ssl.SSLContext, of_client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake. Raises ssl.SSLError when either refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = of_server.wrap_bio(to_server, to_client, server_side=True)
    other = of_client.wrap_bio(to_client, to_server, server_hostname="localhost")
    waiting = [other, one]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    other.write(b"x")  # with TLS 1.3 a client learns only now that its certificate was refused
    assert one.read(1) == b"x"
    one.write(b"y")
    assert other.read(1) == b"y"
    return one, other


def test_a_terminal_is_known_by_its_certificate(directory: Path) -> None:
    ours, _ = shake_hands(server(directory), client(directory))
    assert ours.version() == "TLSv1.3"
    assert peer_of(ours.getpeercert()) == TERMINAL


def test_tls_1_2_has_forward_secrecy_and_aead(directory: Path) -> None:
    older = client(directory)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, _ = shake_hands(server(directory), older)
    cipher = ours.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_refused(directory: Path, version: ssl.TLSVersion) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version
    with pytest.raises(ssl.SSLError):
        shake_hands(server(directory), old)


def test_a_cipher_without_forward_secrecy_is_refused(directory: Path) -> None:
    weak = client(directory)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        shake_hands(server(directory), weak)


def test_a_client_without_certificate_is_refused(directory: Path) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(server(directory), client(directory, None))


def test_a_foreign_certificate_is_refused(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = tmp_path_factory.mktemp("foreign")
    issue(foreign, authority(foreign), TERMINAL, [], NOW, 90)
    issue(foreign, authority(foreign), SWITCH, ["localhost"], NOW, 90)
    theirs = client_context(paths(directory, "authority")[0], *paths(foreign, "terminal-10000001"))
    with pytest.raises(ssl.SSLError):
        shake_hands(server(directory), theirs)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server(foreign), client(directory))


def test_an_expired_certificate_is_refused(directory: Path) -> None:
    issue(directory, authority(directory), TERMINAL, [], NOW - timedelta(days=100), 90)
    with pytest.raises(ssl.SSLError):
        shake_hands(server(directory), client(directory))


def test_an_expired_server_is_refused(directory: Path) -> None:
    issue(directory, authority(directory), SWITCH, ["localhost"], NOW - timedelta(days=100), 90)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server(directory), client(directory))


def test_a_server_of_another_name_is_refused(directory: Path) -> None:
    issue(directory, authority(directory), SWITCH, ["elsewhere.example"], NOW, 90)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server(directory), client(directory))


def test_a_terminal_s_certificate_does_not_serve(directory: Path) -> None:
    posing = server_context(*paths(directory, "terminal-10000001"), paths(directory, "authority")[0])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(posing, client(directory))


def test_a_partner_named_as_a_terminal_is_no_terminal(directory: Path) -> None:
    issue(directory, authority(directory), Peer(Role.PARTNER, "10000001"), [], NOW, 90)
    ours, _ = shake_hands(server(directory), client(directory, "partner-10000001"))
    assert peer_of(ours.getpeercert()) == Peer(Role.PARTNER, "10000001")


@pytest.mark.parametrize(
    "names",
    [
        (),
        (("DNS", "urn:vafa:terminal:10000001"),),
        (("URI", "urn:vafa:terminal:"),),
        (("URI", "urn:vafa:cashier:1"),),
        (("URI", "urn:vafa:terminal:10000001"), ("URI", "urn:vafa:terminal:10000002")),
    ],
)
def test_nobody_is_guessed(names: tuple[tuple[str, str], ...]) -> None:
    assert peer_of({"subjectAltName": names}) is None
    assert peer_of(None) is None


@pytest.mark.parametrize(("age", "says"), [(0, None), (61, "expires in 28 days"), (91, "expired on")])
def test_the_end_is_told_a_month_ahead(directory: Path, age: int, says: str | None) -> None:
    told = expiry_warning(paths(directory, "switch-main")[0], NOW + timedelta(days=age))
    assert told is None if says is None else told is not None and says in told


def test_files_that_are_none_are_named(directory: Path) -> None:
    certificate, key = paths(directory, "switch-main")
    authority_path = paths(directory, "authority")[0]
    with pytest.raises(TlsError, match="absent"):
        server_context(directory / "absent", key, None)
    with pytest.raises(TlsError, match="no certificate with its key"):
        server_context(certificate, paths(directory, "terminal-10000001")[1], None)
    with pytest.raises(TlsError, match="no certificate in PEM"):
        client_context(key)
    with pytest.raises(TlsError, match="no such authority"):
        client_context(directory / "none.crt")
    with pytest.raises(TlsError, match="no certificate in PEM"):
        expiry_warning(key, NOW)
    assert client_context(authority_path)
