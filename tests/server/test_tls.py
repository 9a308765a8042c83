"""Terminals over TLS: whose certificate it is decides whom it may speak for; strangers get no line."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from switch.link.framing import FrameReader, frame
from switch.tls import Peer, Role, client_context
from tests.server.running_switch import (
    ANSWER_DEADLINE_S,
    DIALECT,
    Line,
    RunningSwitch,
    TerminalSide,
    new_card,
)
from tools.keys_authority import AUTHORITY, issue, open_authority, paths

ADDRESS = "127.0.0.1"
MOBILE = "989120000001"


class Certificates:
    """An authority, the switch's certificate, and those of terminals."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.now = datetime.now(UTC)
        self.authority, _ = open_authority(directory, self.now)
        self.switch = self.of(Peer(Role.SWITCH, "vafa"), [ADDRESS])

    @property
    def ca(self) -> Path:
        return paths(self.directory, AUTHORITY)[0]

    def of(self, peer: Peer, addresses: list[str] | None = None, days: int = 30, ago: int = 0) -> Path:
        now = self.now - timedelta(days=ago)
        return issue(self.directory, self.authority, peer, addresses or [], now, days)


class SecureLine(Line):
    """As Line, through TLS."""

    def __init__(self, switch: RunningSwitch, context: ssl.SSLContext) -> None:
        plain = socket.create_connection((ADDRESS, switch.port), timeout=ANSWER_DEADLINE_S)
        self.socket = context.wrap_socket(plain, server_hostname=ADDRESS)
        self._reader = FrameReader()
        self._frames = []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def switch(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSwitch]:
    files = {
        "tls_certificate": certificates.switch,
        "tls_key": certificates.switch.with_suffix(".key"),
        "tls_clients": certificates.ca,
    }
    changes = {f"listener.{name}": f'"{path}"' for name, path in files.items()}
    running = RunningSwitch(tmp_path_factory.mktemp("switch"), changes)
    yield running
    assert running.stop() == 0


def context_of(certificates: Certificates, certificate: Path | None) -> ssl.SSLContext:
    key = None if certificate is None else certificate.with_suffix(".key")
    return client_context(certificates.ca, certificate, key)


def secure_side(switch: RunningSwitch, certificates: Certificates, peer: Peer) -> TerminalSide:
    side = TerminalSide(switch)
    side.line.close()
    side.line = SecureLine(switch, context_of(certificates, certificates.of(peer)))
    return side


def test_a_terminal_trades_over_tls_and_may_say_a_mobile_number(
    switch: RunningSwitch, certificates: Certificates
) -> None:
    side = secure_side(switch, certificates, Peer(Role.TERMINAL, "10000001"))
    card = side.activated_card(points=5)
    assert side.points(card) == 5
    assert side.ask(side.activation(new_card(), f48={"07": MOBILE}))["39"] == "00"
    side.line.close()


@pytest.mark.parametrize("peer", [Peer(Role.TERMINAL, "10000002"), Peer(Role.PARTNER, "10000001")])
def test_a_certificate_of_somebody_else_is_refused_with_58(
    switch: RunningSwitch, certificates: Certificates, peer: Peer
) -> None:
    side = secure_side(switch, certificates, peer)
    request = side.sealed(side.sign_on())
    answer = side.exchange(request)
    assert DIALECT.decode(answer)["39"] == "58"
    assert not side.is_genuine(answer, request)
    assert switch.events("problem", "another terminal's certificate")[0]["alarm"] is True
    side.line.close()


def is_refused(switch: RunningSwitch, context: ssl.SSLContext) -> bool:
    """Whether no message gets through; with TLS 1.3 a client hears of it after its own handshake."""
    try:
        line = SecureLine(switch, context)
        line.send(frame(b"\x08\x00"))
        return line.socket.recv(1) == b""
    except OSError:
        return True


def test_strangers_get_no_line(switch: RunningSwitch, certificates: Certificates, tmp_path: Path) -> None:
    own = Peer(Role.TERMINAL, "10000001")
    foreign = Certificates(tmp_path / "foreign")
    stranger = client_context(
        certificates.ca, certificate := foreign.of(own), certificate.with_suffix(".key")
    )
    expired = certificates.of(own, days=1, ago=3)
    for context, reason in (
        (stranger, "foreign certificate"),
        (context_of(certificates, None), "no certificate"),
        (context_of(certificates, expired), "certificate expired"),
    ):
        assert is_refused(switch, context)
        told = switch.events("reason", reason)
        assert [(line["event"], line["left_out"]) for line in told] == [("TLS handshake failed", 0)]
        assert told[0]["peer"].startswith(f"{ADDRESS}:")
    plain = Line(switch)
    plain.send(frame(b"\x08\x00" + bytes(20)))
    assert plain.is_closed_by_switch()
    assert len(switch.events("reason", "no TLS")) == 1
    side = secure_side(switch, certificates, own)
    assert side.ask(side.sign_on())["39"] == "00", "and nobody else noticed"
    side.line.close()
