"""Settings files: what a wrong one is told, and that no key is ever shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from switch.settings import Settings, SettingsError, create_defaults, load, load_for, write_terminal_settings

KEYS = "\n".join(["[keys]", *(f'{name} = "{"ab" * 32}"' for name in ("seal", "checkpoint", "directory"))])
TERMINAL = f"""
[[terminals]]
id = "10000001"
acceptor = "100000000000001"
mac_request_key = "{"01" * 16}"
mac_answer_key = "{"02" * 16}"
"""


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "switch.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_defaults_fill_what_a_file_leaves_out(tmp_path: Path) -> None:
    settings = read(tmp_path, KEYS + TERMINAL)
    assert (settings.listener.host, settings.listener.port) == ("127.0.0.1", 8583)
    assert (settings.program.rial_per_earned_point, settings.program.rial_per_redeemed_point) == (10_000, 100)
    assert settings.data == tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[listener]\nport = 70000\n" + KEYS + TERMINAL,
            r"toml:2: listener.port: expected a port number.*got 70000",
        ),
        ("[listener]\nport = true\n" + KEYS + TERMINAL, r"toml:2: listener.port: expected a port number"),
        ("[listener]\nprot = 1\n" + KEYS + TERMINAL, r"toml:2: unknown key listener.prot; known: host, port"),
        ("[listner]\nport = 1\n" + KEYS + TERMINAL, r"toml:1: unknown key listner"),
        (
            'environment = "live"\n' + KEYS + TERMINAL,
            r'environment: expected "test" or "production", got \'live\'',
        ),
        ("[program]\nrial_per_earned_point = 0\n" + KEYS + TERMINAL, r"program.rial_per_earned_point"),
        ('[program]\ncard_prefixes = ["12a"]\n' + KEYS + TERMINAL, r"program.card_prefixes: expected a list"),
        (TERMINAL, r"keys.seal is missing"),
        (KEYS, r"no terminals; add a \[\[terminals\]\] table"),
        (
            KEYS + TERMINAL.replace("10000001", "1"),
            r"terminals\[0\].id: expected 8 letters or digits \(DE 41\)",
        ),
        (KEYS + TERMINAL + TERMINAL, r"terminal 10000001 stands twice"),
        (KEYS + TERMINAL + "key = 1\n", r"unknown key terminals\[0\].key"),
        ("port =\n", r"not TOML"),
        ("terminals = 3\n" + KEYS, r"no terminals"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("name", ["seal", "mac_request_key"])
def test_a_wrong_key_is_not_shown(tmp_path: Path, name: str) -> None:
    text = re.sub(rf'{name} = "(..)', rf'{name} = "\1zz', KEYS + TERMINAL)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert name in str(caught.value)
    assert "zz" not in str(caught.value)


def test_keys_are_in_no_repr(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, KEYS + TERMINAL))
    assert "0101" not in shown
    assert "abab" not in shown
    assert repr(bytes.fromhex("ab" * 32)) not in shown


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: can't be read"):
        load(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="vafa switch run"):
        load_for(tmp_path, None)


def test_defaults_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = create_defaults(tmp_path / "data")
    assert create_defaults(tmp_path / "data") == first
    assert create_defaults(tmp_path / "other").seal_key != first.seal_key
    files = [tmp_path / "data" / "switch.toml", *(tmp_path / "data" / "terminals").iterdir()]
    assert len(files) == 11
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_terminal_settings_follow_the_port_and_keep_what_a_person_changed(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    path = tmp_path / "terminals" / "10000001.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "locale": "fa"}), encoding="utf-8")
    write_terminal_settings(settings, port=9999)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert (again["port"], again["locale"], again["storage_key"]) == (9999, "fa", told["storage_key"])


def test_a_file_can_serve_another_directory(tmp_path: Path) -> None:
    read(tmp_path, KEYS + TERMINAL)
    settings = load_for(tmp_path / "elsewhere", tmp_path / "switch.toml")
    assert settings.data == tmp_path / "elsewhere"
    assert settings.terminals[0].id == "10000001"
