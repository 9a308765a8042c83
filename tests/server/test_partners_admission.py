"""Whom a partner's listener lets in, and how far: certificates, a blocked partner, what one may ask for."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.partner import ACCEPTOR, DIALECT, Bank
from switch.iso8583 import Message
from switch.link.framing import FrameReader, frame
from switch.partners.mapping_file import SHIPPED
from switch.tls import Peer, Role
from tests.server.partner_kit import BANK, COMPONENTS, UP_S, PartneredSwitch, exchange_keys, played
from tests.server.running_switch import ANSWER_DEADLINE_S, TerminalSide
from tests.server.test_tls import ADDRESS, Certificates, context_of

BLOCKED, PLAIN, STRICT = "BLOCKED", "PLAIN", "STRICT"
CARD = "9364001234567897"
OTHERS = """
[[partners]]
name = "BLOCKED"
port = 0
acquirers = ["627001"]
blocked = true

[[partners]]
name = "PLAIN"
port = 0
acquirers = ["627002"]
mac = "off"
framing = "ascii4"
acceptors = ["700000000000007"]

[[partners]]
name = "STRICT"
port = 0
acquirers = ["627003"]
mac = "off"
mapping = "strict.toml"
operations = ["balance"]
"""
MAPPING = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def switch(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartneredSwitch]:
    tls = {
        "tls_certificate": certificates.switch,
        "tls_key": certificates.switch.with_suffix(".key"),
        "tls_clients": certificates.ca,
    }
    lines = "\n".join(f'{name} = "{path}"' for name, path in tls.items())
    directory = tmp_path_factory.mktemp("switch")
    (directory / "strict.toml").write_text(MAPPING, encoding="utf-8")
    running = PartneredSwitch(directory, lines + OTHERS)
    yield running
    assert running.stop() == 0


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path, BANK, COMPONENTS)


def context(certificates: Certificates, peer: Peer, **how: int) -> ssl.SSLContext:
    return context_of(certificates, certificates.of(peer, **how))  # type: ignore[arg-type]


def test_a_bank_trades_over_tls_and_changes_keys(
    switch: PartneredSwitch, certificates: Certificates, bank: Bank
) -> None:
    card = TerminalSide(switch).activated_card(5)

    async def story() -> None:
        own = context(certificates, Peer(Role.PARTNER, BANK))
        async with bank.client(switch.partner_port, own) as link:
            await link.up(UP_S)
            await exchange_keys(bank, switch, link)
            assert (await bank.ask(link, bank.earn(card, 10_000)))["39"] == "00"

    played(story)
    assert TerminalSide(switch).points(card) == 6


@pytest.mark.parametrize("peer", [Peer(Role.PARTNER, BLOCKED), Peer(Role.TERMINAL, BANK)])
def test_a_certificate_of_somebody_else_gets_no_line(
    switch: PartneredSwitch, certificates: Certificates, peer: Peer
) -> None:
    plain = socket.create_connection((ADDRESS, switch.partner_port), timeout=ANSWER_DEADLINE_S)
    with context(certificates, peer).wrap_socket(plain, server_hostname=ADDRESS) as line:
        name = "{}:{}".format(*line.getsockname())
        assert is_let_go(line)
    [told] = switch.events("peer", name)
    assert (told["event"], told["problem"]) == ("partner not permitted", "another's certificate")
    assert (told["partner"], told["alarm"]) == (BANK, True)


def is_let_go(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True


def gets_no_line(switch: PartneredSwitch, using: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client hears of it after its own handshake."""
    try:
        plain = socket.create_connection((ADDRESS, switch.partner_port), timeout=ANSWER_DEADLINE_S)
        with using.wrap_socket(plain, server_hostname=ADDRESS) as line:
            line.sendall(frame(b"0800" + bytes(20)))
            return is_let_go(line)
    except OSError:
        return True


def test_strangers_get_no_line_and_the_log_says_why(
    switch: PartneredSwitch, certificates: Certificates, tmp_path: Path
) -> None:
    foreign = Certificates(tmp_path / "foreign")
    own = Peer(Role.PARTNER, BANK)
    stranger = context_of(certificates, None)
    stranger.load_cert_chain(foreign.of(own), foreign.of(own).with_suffix(".key"))
    for using, reason in (
        (stranger, "foreign certificate"),
        (context_of(certificates, None), "no certificate"),
        (context(certificates, own, days=1, ago=3), "certificate expired"),
    ):
        assert gets_no_line(switch, using)
        assert switch.events("reason", reason)[-1]["partner"] == BANK
    with socket.create_connection((ADDRESS, switch.partner_port)) as plain:
        plain.settimeout(ANSWER_DEADLINE_S)
        plain.sendall(frame(b"0800" + bytes(20)))
        assert is_let_go(plain)
    assert switch.events("reason", "no TLS")


class Plain:
    """Messages without MACs on a plain socket, in a framing of their own."""

    def __init__(
        self, switch: PartneredSwitch, bank: Bank, partner: str, acquirer: str, ascii4: bool
    ) -> None:
        bank.acquirer = acquirer
        self.bank = bank
        self._ascii4 = ascii4
        self._line = socket.create_connection((ADDRESS, switch.port_of(partner)), timeout=ANSWER_DEADLINE_S)

    def ask(self, message: Message) -> Message:
        payload = DIALECT.encode(message)
        self._line.sendall(b"%04d" % len(payload) + payload if self._ascii4 else frame(payload))
        if self._ascii4:
            return DIALECT.decode(self._exactly(int(self._exactly(4))))
        reader = FrameReader()
        while not (frames := reader.feed(self._line.recv(65536), 0.0)):
            continue
        return DIALECT.decode(frames[0].payload)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._line.recv(size - len(data))
            assert more, "closed instead of answered"
            data += more
        return data

    def close(self) -> None:
        self._line.close()


def test_a_blocked_partner_hears_58_whatever_it_sends(switch: PartneredSwitch, bank: Bank) -> None:
    line = Plain(switch, bank, BLOCKED, "627001", ascii4=False)
    for message in (bank.balance(CARD), bank.earn(CARD, 10_000, "0220"), Message("0800", {"7": "0101000000",
                    "11": "000001", "70": "301"})):  # fmt: skip
        answer = line.ask(message)
        assert (answer["39"], answer["11"], "64" in answer) == ("58", message["11"], False)
    line.close()
    assert switch.events("event", "message of a blocked partner")[0]["partner"] == BLOCKED


def test_an_operator_blocks_a_partner_of_a_running_switch(switch: PartneredSwitch, bank: Bank) -> None:
    directory = switch.directory / "blocked-partners"
    directory.mkdir(exist_ok=True)
    line = Plain(switch, bank, STRICT, "627003", ascii4=False)
    assert line.ask(bank.balance(CARD))["39"] == "14"
    (directory / STRICT).touch()
    assert switch.events("event", "partner blocked")[0]["partner"] == STRICT
    assert line.ask(bank.balance(CARD))["39"] == "58"
    (directory / STRICT).unlink()
    assert switch.events("event", "partner unblocked")[0]["partner"] == STRICT
    assert line.ask(bank.balance(CARD))["39"] == "14"
    line.close()


def test_without_macs_messages_are_answered_without_and_only_for_the_listed_acceptors(
    switch: PartneredSwitch, bank: Bank
) -> None:
    card = TerminalSide(switch).activated_card()
    line = Plain(switch, bank, PLAIN, "627002", ascii4=True)
    listed = line.ask(bank.earn(card, 10_000, f42="700000000000007"))
    assert (listed["39"], "64" in listed) == ("00", False)
    assert line.ask(bank.earn(card, 10_000, f42=ACCEPTOR))["39"] == "58"
    line.close()
    assert TerminalSide(switch).points(card) == 1


def test_a_partner_asks_for_what_it_may_and_takes_back_what_it_asked(
    switch: PartneredSwitch, bank: Bank
) -> None:
    card = TerminalSide(switch).activated_card()
    line = Plain(switch, bank, STRICT, "627003", ascii4=False)
    balance = bank.balance(card)
    assert line.ask(balance)["39"] == "00"
    assert line.ask(bank.reversal_of(balance))["39"] == "00"
    assert line.ask(bank.earn(card, 10_000))["39"] == "58"
    assert line.ask(bank.earn(card, 10_000, f42="700000000000007"))["39"] == "58"
    line.close()
    assert switch.events("problem", "operation earn")[0]["partner"] == STRICT


def test_settings_and_mappings_change_while_the_switch_runs_and_a_mistake_changes_nothing(
    switch: PartneredSwitch, bank: Bank
) -> None:
    card = TerminalSide(switch).activated_card()
    line = Plain(switch, bank, STRICT, "627003", ascii4=False)
    settings, mapping = switch.settings.source, switch.directory / "strict.toml"
    text = settings.read_text(encoding="utf-8")

    def changed(path: Path, content: str, event: str) -> None:
        told = len([line for line in switch.log if line["event"] == event])
        path.write_text(content, encoding="utf-8")
        switch.events("event", event, told + 1)

    in_force, unusable = "partners' settings in force", "partners' settings not usable"
    assert line.ask(bank.earn(card, 10_000))["39"] == "58"
    changed(settings, text.replace('operations = ["balance"]', 'operations = ["earn"]'), in_force)
    assert line.ask(bank.earn(card, 10_000))["39"] == "00"
    assert line.ask(bank.balance(card))["39"] == "58"
    other = MAPPING.replace('["21****"]', '["22****"]')
    changed(mapping, other.replace('"14" = "14"', '"14" = "14141"'), unusable)
    assert "strict.toml" in switch.events("event", unusable)[-1]["reason"]
    assert line.ask(bank.earn(card, 10_000))["39"] == "00", "nothing of it counts"
    changed(
        mapping, MAPPING.replace('"14" = "14"', '"14" = "15"').replace('["21****"]', '["22****"]'), in_force
    )
    assert line.ask(bank.earn(card, 10_000))["39"] == "12"
    assert line.ask(bank.earn(CARD, 10_000, f3="220000"))["39"] == "15"
    assert line.ask(bank.earn(card, 10_000, f3="220000"))["39"] == "00"
    changed(settings, "[[partners]]\n", unusable)
    assert line.ask(bank.earn(card, 10_000, f3="220000"))["39"] == "00"
    mapping.write_text(MAPPING, encoding="utf-8")
    changed(settings, text.replace('framing = "ascii4"', 'framing = "2be"'), in_force)
    [told] = switch.events("event", "partner's settings wait for a start")
    assert (told["partner"], told["what"]) == (PLAIN, "framing")
    assert line.ask(bank.earn(card, 10_000))["39"] == "58"
    line.close()
    assert TerminalSide(switch).points(card) == 4


def test_each_listener_serves_its_own_partner(switch: PartneredSwitch, bank: Bank) -> None:
    line = Plain(switch, bank, STRICT, "627002", ascii4=False)
    assert line.ask(bank.balance(CARD))["39"] == "58"
    line.close()
