"""PIN, codes and new PINs on the real firmware within its heap, over plain lines and TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulators.cards import Deck
from simulators.cashier import Cashier
from simulators.firmware import INTERPRETERS, Options, Place, Terminal
from tests.simulators.playing_switch import PlayingSwitch
from tests.simulators.test_key_injection import BASE_KEY, INITIAL_KEY_ID, SETTINGS, TERMINAL, key_block

PIN, NEW_PIN, CODE = "8642", "975310", "246813"
CARD = Deck(7).draw()


class Issued(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue(name: str, by: Issued | None, days: int = 30) -> Issued:
    """A certificate for the loopback address; by None: an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


def save(path: Path, issued: Issued) -> Path:
    path.with_suffix(".pem").write_bytes(issued.certificate.public_bytes(serialization.Encoding.PEM))
    private = issued.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_suffix(".key").write_bytes(private)
    return path.with_suffix(".pem")


class Authority:
    """Files of a test authority."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.own = issue("authority", None)
        self.pem = save(place / "authority", self.own)

    def server(self, issued: Issued | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = save(self.place / "switch", issued or issue("switch", self.own))
        context.load_cert_chain(pem, pem.with_suffix(".key"))
        context.load_verify_locations(self.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def settings(self, issued: Issued | None = None) -> dict[str, str]:
        pem = save(self.place / "terminal", issued or issue(TERMINAL, self.own))
        return {"ca": str(self.pem), "certificate": str(pem), "key": str(pem.with_suffix(".key"))}


@asynccontextmanager
async def shop(
    data: Path, interpreter: str, switch: PlayingSwitch, tls: dict[str, str] | None = None
) -> AsyncIterator[Terminal]:
    port = await switch.start()
    (data / "terminals").mkdir()
    keys = {"key_block": key_block(), "key_serial": f"{INITIAL_KEY_ID}00000001"}
    settings = {**SETTINGS, **keys, "port": port, "tls": tls, "answer_timeout_ms": 3000}
    (data / "terminals" / f"{TERMINAL}.json").write_text(json.dumps(settings), "utf-8")
    said: list[str] = []
    terminal = Terminal(Place(data, TERMINAL), INTERPRETERS[interpreter](), Options())
    terminal.on_line = said.append
    await terminal.start()
    try:
        yield terminal
    finally:
        await terminal.stop()
        await switch.stop()
    assert terminal.faults == []
    assert not switch.faults
    for secret in (PIN, NEW_PIN, CODE, CARD.number):
        assert not [line for line in said if secret in line.replace('"frame"', "").split("frame")[0]]


async def visit_with_proofs(terminal: Terminal, switch: PlayingSwitch) -> None:
    cashier = Cashier(terminal)
    await cashier.wait_until_idle()
    await terminal.press("D")
    await terminal.screen("swipe")
    await terminal.swipe(CARD)
    await terminal.screen("mobile")
    await terminal.press(f"A{PIN}#")
    await terminal.screen("new_pin_again")
    await terminal.press(f"{PIN}#")
    assert (await terminal.transaction("activate")).approved
    assert switch.requests[-1].pin() == PIN
    await cashier.wait_until_idle()
    assert (await cashier.redeem(CARD, 101, PIN)).receipts
    assert switch.requests[-1].pin() == PIN
    switch.decide = lambda request: "00" if request.message.get("52") else "1A"
    codes = [one.response_code for one in (await cashier.redeem(CARD, 5, PIN)).transactions]
    assert codes == ["1A", "00"]
    switch.decide = lambda request: "00"
    await terminal.press("B")
    await terminal.screen("swipe")
    await terminal.press(f"{CARD.number}#")
    await terminal.screen("points")
    await terminal.press("5#")
    await terminal.screen("pin")
    await terminal.press("A")
    await terminal.screen("one_time_code")
    await terminal.press(f"{CODE}#")
    assert (await terminal.transaction("redeem")).approved
    assert (switch.requests[-1].code(), switch.requests[-1].text("2")) == (CODE, CARD.number)
    await cashier.wait_until_idle()
    await terminal.press("#")
    await terminal.screen("menu")
    await terminal.press("6")
    await terminal.screen("swipe")
    await terminal.swipe(CARD)
    await terminal.screen("pin")
    await terminal.press(f"{PIN}#")
    await terminal.screen("new_pin")
    await terminal.press(f"{NEW_PIN}#")
    await terminal.screen("new_pin_again")
    await terminal.press(f"{NEW_PIN}#")
    assert (await terminal.transaction("pin_change")).approved
    last = switch.requests[-1]
    assert (last.pin(), last.pin("48.08")) == (PIN, NEW_PIN)
    await cashier.wait_until_idle()
    for _ in range(3):
        assert (await cashier.earn(CARD, 10000)).of("earn") is not None


# The flows run on both interpreters in tests/terminal; this is about the real one on real lines.
@pytest.mark.parametrize("line", ["plain", "tls"])
@pytest.mark.parametrize("interpreter", ["micropython"])
def test_a_visit_with_proofs(tmp_path: Path, interpreter: str, line: str) -> None:
    async def play() -> None:
        authority = Authority(tmp_path)
        switch = PlayingSwitch(BASE_KEY, authority.server() if line == "tls" else None)
        switch.pin_from_points = 100
        tls = authority.settings() if line == "tls" else None
        async with shop(tmp_path, interpreter, switch, tls) as terminal:
            await visit_with_proofs(terminal, switch)
        assert len(switch.requests) == 11

    asyncio.run(play())


@pytest.mark.parametrize("interpreter", list(INTERPRETERS))
@pytest.mark.parametrize("wrong", ["expired", "foreign", "foreign terminal", "no file", "no certificate"])
def test_certificates_that_are_refused(tmp_path: Path, interpreter: str, wrong: str) -> None:
    async def play() -> None:
        authority = Authority(tmp_path)
        stranger = issue("stranger", None)
        served = {"expired": issue("switch", authority.own, -1), "foreign": issue("switch", stranger)}
        switch = PlayingSwitch(BASE_KEY, authority.server(served.get(wrong)))
        own = issue(TERMINAL, stranger) if wrong == "foreign terminal" else None
        tls = authority.settings(own)
        if wrong == "no file":
            tls["ca"] += ".missing"
        if wrong == "no certificate":
            authority.pem.with_name("terminal.pem").write_text("nonsense")
        async with shop(tmp_path, interpreter, switch, tls) as terminal:
            while "Bad certificate" not in (await terminal.screen("signing_on")).lines:
                pass
            assert switch.requests == []

    asyncio.run(play())
