"""[[partners]] of the settings: what is taken, and what stops the start with a word about why."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.settings import Settings, SettingsError, load

KEYS = f'[keys]\nseal = "{"a" * 64}"\ndirectory = "{"b" * 64}"\n'
BANK = '[[partners]]\nname = "BANK"\nport = 8600\nacquirers = ["581672031"]\n'
OTHER = '[[partners]]\nname = "OTHER"\nport = 8601\nacquirers = ["627412"]\n'


def read(directory: Path, text: str) -> Settings:
    path = directory / "switch.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_a_partner_needs_a_name_a_port_and_acquirers_and_has_the_safe_defaults(tmp_path: Path) -> None:
    [partner] = read(tmp_path, KEYS + BANK).partners
    assert (partner.name, partner.listener.port, partner.acquirers) == ("BANK", 8600, ("581672031",))
    assert (partner.listener.host, partner.mapping, partner.framing) == ("127.0.0.1", "iso87-ascii", "2be")
    assert partner.needs_mac
    assert not partner.blocked
    assert read(tmp_path, KEYS).partners == ()


def test_files_are_seen_from_the_settings(tmp_path: Path) -> None:
    more = 'mapping = "maps/bank.toml"\ndialect = "bank.toml"\ntls_certificate = "a.crt"\ntls_key = "a.key"\n'
    [partner] = read(tmp_path, KEYS + BANK + more).partners
    assert partner.mapping == str(tmp_path / "maps" / "bank.toml")
    assert partner.dialect == str(tmp_path / "bank.toml")
    assert partner.listener.tls_certificate == tmp_path / "a.crt"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BANK.replace("BANK", "THE BANK"), "partners[0].name: expected up to 32 letters"),
        (BANK.replace("port = 8600\n", ""), "partners[0].port is missing"),
        (BANK.replace('["581672031"]', "[]"), "partners[0].acquirers: expected a list of DE 32"),
        (BANK.replace("581672031", "0581672031"), "partners[0].acquirers: expected a list of DE 32"),
        (BANK + 'acceptors = ["7"]\n', "partners[0].acceptors: expected a list of DE 42"),
        (BANK + 'framing = "3xx"\n', "partners[0].framing: no framing '3xx'"),
        (BANK + 'mac = "none"\n', 'partners[0].mac: expected "required" or "off"'),
        (BANK + "speed = 1\n", "unknown key partners[0].speed"),
        (BANK + 'tls_certificate = "a.crt"\n', "partners[0].tls_certificate and partners[0].tls_key"),
        (BANK + 'tls_clients = "ca.crt"\n', "partners[0].tls_clients: needs partners[0].tls_certificate"),
        (BANK + BANK, "partner BANK stands twice"),
        (BANK + OTHER.replace("627412", "581672031"), "partners BANK and OTHER both have 581672031"),
        (f'{BANK}acceptors = ["{"7" * 15}"]\n{OTHER}acceptors = ["{"7" * 15}"]\n', "both have 7777"),
    ],
)
def test_a_mistake_stops_the_start(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, KEYS + text)
    assert told in str(raised.value)
    assert str(tmp_path / "switch.toml") in str(raised.value)


def test_no_production_without_macs_and_without_certificates(tmp_path: Path) -> None:
    production = 'environment = "production"\n' + KEYS + BANK + 'mac = "off"\n'
    with pytest.raises(SettingsError, match=r'mac: "off" in production needs tls_clients'):
        read(tmp_path, production)
    tls = 'tls_certificate = "a.crt"\ntls_key = "a.key"\ntls_clients = "ca.crt"\n'
    assert not read(tmp_path, production + tls).partners[0].needs_mac
    assert not read(tmp_path, production.replace("production", "test")).partners[0].needs_mac
