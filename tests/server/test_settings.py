"""Settings files: what a wrong one is told, and that no key is ever shown."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import socket
from pathlib import Path

import pytest

from simulators.terminal_keys import TerminalKeys
from switch.defaults import create_defaults, write_terminal_settings
from switch.hsm.port import Direction
from switch.keys import KeysError, SwitchKeys, open_hsm, open_store
from switch.ledger.sqlite import SqliteEngine
from switch.settings import Settings, SettingsError, load, load_for
from tests.ledger.book import SEAL_KEY, Book, Request

KEYS = "\n".join(["[keys]", *(f'{name} = "{"ab" * 32}"' for name in ("seal", "directory"))])
TERMINAL = """
[[terminals]]
id = "10000001"
acceptor = "100000000000001"
initial_key_id = "0A0B0C0D10000001"
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
        (
            KEYS + TERMINAL.replace("10000001", "1"),
            r"terminals\[0\].id: expected 8 letters or digits \(DE 41\)",
        ),
        (KEYS + TERMINAL + TERMINAL, r"terminal 10000001 stands twice"),
        (
            KEYS + TERMINAL + TERMINAL.replace('"10000001"', '"10000002"'),
            r"terminal 10000002: another one has this initial_key_id",
        ),
        (
            KEYS + TERMINAL.replace("0A0B", "0A0"),
            r"toml:\d+: terminals\[0\].initial_key_id: expected 16 digits or letters A to F",
        ),
        ('[hsm]\nadapter = "none"\n' + KEYS + TERMINAL, r'hsm.adapter: expected "in-process", "payshield"'),
        (
            '[hsm]\nadapter = "pkcs11"\nmodule = "x.so"\ntoken_label = "t"\n' + KEYS + TERMINAL,
            r'hsm.user_pin_file is missing: hsm.adapter "pkcs11" needs it',
        ),
        ("[program]\npin_tries = 0\n" + KEYS + TERMINAL, r"program.pin_tries: expected a whole number"),
        (KEYS + TERMINAL + "key = 1\n", r"unknown key terminals\[0\].key"),
        (
            KEYS + TERMINAL + "mac_request_key = '00'\n",
            r"terminals\[0\].mac_request_key is a key of an earlier version; remove it and give initial_key"
            ".*vafa keys inject",
        ),
        (
            KEYS + TERMINAL + "mac_answer_key = '00'\n",
            r"terminals\[0\].mac_answer_key is a key of an earlier version",
        ),
        (
            KEYS + "\ncheckpoint = '00'\n" + TERMINAL,
            r"keys.checkpoint is a key of an earlier version; remove .*vafa keys generate ledger/check",
        ),
        (
            '[ledger]\nurl = "postgresql://x"\n' + KEYS + TERMINAL,
            r'ledger.url: names a PostgreSQL database and ledger.engine is "sqlite"; set it to',
        ),
        (
            '[ledger]\nengine = "sqlite"\nurl_file = "u"\n' + KEYS + TERMINAL,
            r"ledger.url_file: names a PostgreSQL database",
        ),
        (
            '[ledger]\nengine = "postgres"\n' + KEYS + TERMINAL,
            r'ledger.engine "postgres" needs ledger.url, or ledger.url_file .*: give one of them',
        ),
        (
            '[ledger]\nengine = "postgres"\nurl = "postgresql://x"\nurl_file = "u"\n' + KEYS + TERMINAL,
            r"give one of them",
        ),
        (
            '[ledger]\nengine = "mysql"\n' + KEYS + TERMINAL,
            r'toml:2: ledger.engine: expected "sqlite" or "postgres", got \'mysql\'',
        ),
        ('[ledger]\narchive = "switch.toml"\n' + KEYS + TERMINAL, r"ledger.archive: .*switch.toml is a file"),
        ("port =\n", r"not TOML"),
        ("terminals = 3\n" + KEYS, r"terminals: expected tables, \[\[terminals\]\], or none"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("name", ["seal", "directory"])
def test_a_wrong_key_is_not_shown(tmp_path: Path, name: str) -> None:
    text = re.sub(rf'{name} = "(..)', rf'{name} = "\1zz', KEYS + TERMINAL)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert name in str(caught.value)
    assert "zz" not in str(caught.value)


def test_keys_are_in_no_repr(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, KEYS + TERMINAL))
    assert "abab" not in shown
    assert repr(bytes.fromhex("ab" * 32)) not in shown


def test_a_connection_string_is_never_shown(tmp_path: Path) -> None:
    secret = "postgresql://u:hidden@h/d"
    settings = read(tmp_path, f'[ledger]\nengine = "postgres"\nurl = "{secret}"\n' + KEYS + TERMINAL)
    assert settings.ledger.url == secret
    assert "hidden" not in repr(settings) + repr(settings.ledger_place)
    for wrong in (f'url = ["{secret}"]', f'url = "{secret}"', f'engine = "postgres"\nurl = ["{secret}"]'):
        with pytest.raises(SettingsError, match=r"ledger\.url: ") as caught:
            read(tmp_path, f"[ledger]\n{wrong}\n" + KEYS + TERMINAL)
        assert "hidden" not in str(caught.value)


def test_files_of_the_ledger_are_seen_from_the_settings(tmp_path: Path) -> None:
    text = '[ledger]\nengine = "postgres"\nurl_file = "secrets/url"\narchive = "../copies"\n'
    ledger = read(tmp_path, text + KEYS + TERMINAL).ledger
    assert ledger.url_file == tmp_path / "secrets" / "url"
    assert ledger.archive == tmp_path.parent / "copies"
    assert read(tmp_path, KEYS + TERMINAL).ledger.archive is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: can't be read"):
        load(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="vafa switch run"):
        load_for(tmp_path, None)


PRIVATE = ("switch.toml", "keys.json", "hsm-master.key")


def test_defaults_are_made_once_and_kept_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = create_defaults(data)
    files = [*(data / name for name in PRIVATE), *(data / "terminals").iterdir()]
    before = {path: path.read_bytes() for path in files}
    assert create_defaults(data) == first
    assert {path: path.read_bytes() for path in files} == before
    assert create_defaults(tmp_path / "other").seal_key != first.seal_key
    assert len(files) == 13
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_every_terminal_gets_a_key_of_its_own_that_the_switch_knows(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    blocks = set()
    for terminal in settings.terminals:
        told = json.loads((tmp_path / "terminals" / f"{terminal.id}.json").read_text(encoding="utf-8"))
        keys = TerminalKeys.of(told)
        assert keys.initial_key_id == terminal.initial_key_id
        assert told["key_serial"] == terminal.initial_key_id.hex().upper() + "00000001"
        sent = keys.transmission()
        good = asyncio.run(verified(settings, sent.serial, b"text", sent.request_mac(b"text")))
        assert good
        blocks.add(told["key_block"])
    assert len(blocks) == len(settings.terminals)


async def verified(settings: Settings, serial: bytes, data: bytes, mac: bytes) -> bool:
    hsm = await open_hsm(settings)
    base_key = SwitchKeys.of(open_store(settings), settings.terminals).base_keys[serial[:4]]
    return await hsm.dukpt_mac_verify(base_key, serial, data, mac, Direction.REQUEST)


def test_a_terminals_file_that_was_lost_holds_the_same_key_again(tmp_path: Path) -> None:
    create_defaults(tmp_path)
    path = tmp_path / "terminals" / "10000001.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    create_defaults(tmp_path)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["transport_key"] == told["transport_key"]


def test_a_terminal_that_took_its_key_block_is_not_keyed_again(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    path = tmp_path / "terminals" / "10000001.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    del told["key_block"], told["key_serial"]
    path.write_text(json.dumps(told), encoding="utf-8")
    create_defaults(tmp_path)
    write_terminal_settings(settings, port=9999)
    assert json.loads(path.read_text(encoding="utf-8")) == {**told, "port": 9999}


def lose_file_of_terminal_that_used(data: Path, counter: int) -> str:
    """The ledger has a sending under that counter. Returns the initial key id, in digits."""
    create_defaults(data)
    text = (data / "switch.toml").read_text(encoding="utf-8")
    first = load(data / "switch.toml").terminals[0].initial_key_id.hex().upper()
    request = Request("activate", counter, 1)
    (data / "switch.toml").write_text(text.replace(first, request.serial[:8].hex()), encoding="utf-8")
    book = Book(lambda: SqliteEngine(load(data / "switch.toml").ledger_path, SEAL_KEY))
    book.book(request)
    book.engine.close()
    (data / "terminals" / "10000001.json").unlink()
    return request.serial[:8].hex().upper()


@pytest.mark.parametrize(("used", "first"), [(1, 0x10000), (0xFFFF, 0x10000), (0x10000, 0x20000)])
def test_a_terminals_file_made_again_starts_above_every_counter_used(
    tmp_path: Path, used: int, first: int
) -> None:
    identifier = lose_file_of_terminal_that_used(tmp_path, used)
    create_defaults(tmp_path)
    told = json.loads((tmp_path / "terminals" / "10000001.json").read_text(encoding="utf-8"))
    assert told["key_serial"] == f"{identifier}{first:08X}"
    assert TerminalKeys.of(told).transmission().serial.hex().upper() == told["key_serial"]


def test_a_terminal_without_counters_left_is_not_keyed(tmp_path: Path) -> None:
    lose_file_of_terminal_that_used(tmp_path, 0xFFFF0000)
    with pytest.raises(SettingsError, match="10000001 has used up its key serial numbers; register another"):
        create_defaults(tmp_path)


def test_a_ledger_that_can_not_tell_the_counters_keys_nobody(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    settings.ledger_path.write_bytes(b"no ledger at all" * 300)
    path = tmp_path / "terminals" / "10000001.json"
    path.unlink()
    with pytest.raises(SettingsError, match="ledger"):
        create_defaults(tmp_path)
    assert not path.exists()


def test_a_master_key_that_was_lost_is_not_made_anew(tmp_path: Path) -> None:
    create_defaults(tmp_path)
    (tmp_path / "hsm-master.key").unlink()
    with pytest.raises(SettingsError, match=r"hsm-master\.key: is missing; no key of .* opens without it"):
        create_defaults(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [("zz", "64 hexadecimal digits"), ("ab" * 16, "64 hexadecimal")]
)
def test_a_master_key_that_is_none_is_told_and_not_shown(tmp_path: Path, content: str, said: str) -> None:
    create_defaults(tmp_path)
    (tmp_path / "hsm-master.key").write_text(content, encoding="ascii")
    with pytest.raises(SettingsError, match=said) as caught:
        create_defaults(tmp_path)
    assert content not in str(caught.value)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    (tmp_path / "hsm-master.key").chmod(0o644)
    with pytest.raises(KeysError, match="others may read it; chmod 600"):
        asyncio.run(open_hsm(settings))


def test_a_simulated_hsm_is_not_for_production(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    with pytest.raises(KeysError, match="production needs a real box"):
        asyncio.run(open_hsm(dataclasses.replace(settings, environment="production")))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    stranger = dataclasses.replace(settings.terminals[0], initial_key_id=bytes(8))
    with pytest.raises(KeysError, match="no key 'bdk/00000000'"):
        SwitchKeys.of(open_store(settings), [stranger])


def test_a_box_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = f'[hsm]\nadapter = "payshield"\nport = {port}\ntimeout_ms = 500\n'
    settings = read(tmp_path, text + KEYS + TERMINAL)
    with pytest.raises(KeysError, match=r"check that the HSM runs there, or hsm\.host and hsm\.port"):
        asyncio.run(open_hsm(settings))


def test_terminal_settings_follow_the_port_and_keep_what_a_person_changed(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    path = tmp_path / "terminals" / "10000001.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "locale": "fa"}), encoding="utf-8")
    write_terminal_settings(settings, port=9999)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert (again["port"], again["locale"], again["key_block"]) == (9999, "fa", told["key_block"])


def test_a_file_can_serve_another_directory(tmp_path: Path) -> None:
    read(tmp_path, KEYS + TERMINAL)
    settings = load_for(tmp_path / "elsewhere", tmp_path / "switch.toml")
    assert settings.data == tmp_path / "elsewhere"
    assert settings.terminals[0].id == "10000001"
