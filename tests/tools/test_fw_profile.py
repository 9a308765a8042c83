"""Profiles: what `vafa fw init` makes is in order on every board, each mistake is told where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terminal import settings
from tests.tools.fw_kit import KEY, fw, profile
from tools import fw_profile

ESP32 = "reader = { uart = 1 }\nprinter = { uart = 2, baud = 115200 }"


@pytest.mark.parametrize("board", fw_profile.boards())
def test_a_new_profile_is_in_order(board: str, tmp_path: Path) -> None:
    assert fw("init", tmp_path / "till-3", "--board", board).code == 0
    loaded = fw_profile.load(tmp_path / "till-3")
    assert loaded.model == "TILL-3"
    assert {"keypad", "display", "service", "line"} <= set(loaded.devices)
    text = (tmp_path / "till-3" / "terminal.toml").read_text("utf-8")
    for door in {row[0] for row in fw_profile.KINDS}:
        assert f"# {door} = " in text  # everything that may be fitted is told
    again = fw("init", tmp_path / "till-3", "--board", board)
    assert again.code == 2
    assert "is there already" in again.err


@pytest.mark.parametrize("board", fw_profile.boards())
def test_every_example_of_a_new_profile_is_taken(board: str, tmp_path: Path) -> None:
    fw("init", tmp_path / "x", "--board", board)
    path = tmp_path / "x" / "terminal.toml"
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# ") and " = {" in line:
            changed = [*lines[:number], line[2:], *lines[number + 1 :]]
            path.write_text("\n".join(changed), "utf-8")
            assert fw_profile.load(path).devices


# devices of an ESP32; line of the mistake; what is told of it
MISTAKES = [
    ("reader = { uart = 5 }", 8, "uart = 5; expected uart 0, 1, 2 of esp32"),
    ("reader = { uart = 1 }\ntap = { uart = 1, tx = 4, rx = 5 }", 9, "uart 1 is used by reader and tap"),
    ("reader = { uart = 1, tx = 22 }", 8, None),
    ("reader = { uart = 1, tx = 7 }", 8, "tx: pin 7 is the flash's; expected a free pin"),
    ("reader = { uart = 1, tx = 34 }", 8, None),
    ("reader = { uart = 1, tx = 36 }", 8, "tx: pin 36 can only read"),
    ("reader = { uart = 1, tx = 99 }", 8, "tx: 99 is no pin of esp32"),
    ('reader = { kind = "laser", uart = 1 }', 8, "kind = 'laser'; expected ascii, bits"),
    ("toaster = { uart = 1 }", 8, "device 'toaster' is unknown; expected one of"),
    ("reader = { uart = 1, baud = 9601 }", 8, "baud = 9601; expected one of 1200"),
    ("reader = { uart = 1, speed = 9600 }", 8, "speed is unknown"),
    ("reader = {}", 8, "reader hangs on nothing"),
    ('reader = { port = "/dev/ttyS0" }', 8, "reader hangs on nothing"),
    ('reader = { uart = 1, port = "/dev/ttyS0" }', 8, "reader hangs on uart and port"),
    ('display = { kind = "ssd1306", i2c = 7, scl = 22, sda = 21 }', 8, "i2c = 7; expected i2c 0, 1"),
    ('display = { kind = "ssd1306", i2c = 0, scl = 22 }', 8, "display: sda is missing"),
    ("keypad = { rows = [1, 2], columns = [4, 5, 12, 13] }", 8, "rows = [1, 2]; expected 4 pins"),
    ("keypad = false", 7, "no keypad is fitted"),
    ("reader = 3", 8, "reader = 3; expected a table, or false"),
]


@pytest.mark.parametrize(("devices", "line", "told"), MISTAKES)
def test_a_mistake_in_the_devices(devices: str, line: int, told: str | None, tmp_path: Path) -> None:
    path = profile(tmp_path, "esp32", devices)
    answer = fw("check", "--profile", path)
    assert answer.code == 1
    assert f"{path}:{line}: " in answer.err, answer.err
    assert "try: " in answer.err
    if told is None:
        assert "used by" in answer.err  # a pin of the board's own display or keypad
    else:
        assert told.replace("expected ascii", "expected one of ascii") in answer.err, answer.err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('board = "esp32"', 'board = "toaster"', "board = 'toaster'"),
        ('board = "esp32"', "replaced = 3", "replaced is unknown"),
        ('model = "SHOP-1"', 'model = "A TERMINAL FOR SHOPS"', "expected 1 to 16 ASCII letters"),
        ("version = 7", "version = 0", "version = 0; expected a number from 1"),
        ("replaces = 5", "replaces = 7", "replaces = 7; expected a number from 0 to 6"),
        ('locale = "fa"', 'locale = "tlh"', 'locale has a wrong value; expected "en" or "fa"'),
        ('locale = "fa"', 'terminal_id = "10000001"', "terminal_id is of one terminal"),
        ('locale = "fa"', f'transport_key = "{"00" * 16}"', "transport_key is of one terminal"),
        ('locale = "fa"', 'colour = "red"', "colour is unknown"),
        ("code_kib = 146", "code_kib = 0", "code_kib = 0; expected a number from 1"),
        ("keys = []", 'keys = ["00"]', "a key is no public key of P-256"),
        ("needed = 1", "needed = 2", "needed = 2; expected a number from 1 to 1"),
        ("[budget]", "[bugdet]", "[bugdet] is unknown"),
        ("[budget]", "[budget", "not TOML"),
        ("[budget]", "[network]\nssid = 3\n[budget]", "ssid has a wrong value"),
        ("[budget]", "[network]\ntls = 3\n[budget]", "tls = 3; expected true or false"),
    ],
)
def test_a_mistake_elsewhere(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = profile(tmp_path, "esp32", "reader = { uart = 1 }")
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    line = text[: text.index(old)].count("\n") + 1 + new.count("\n") // 2
    path.write_text(text.replace(old, new), "utf-8")
    answer = fw("check", "--profile", path)
    assert answer.code in (1, 4)
    assert told in answer.err, answer.err
    assert f"{path}:{line}: " in answer.err or f"line {line}" in answer.err, answer.err


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = profile(tmp_path, "esp32", "reader = { uart = 9 }\ntap = { uart = 1, tx = 8 }")
    path.write_text(path.read_text("utf-8").replace('"fa"', '"tlh"'), "utf-8")
    answer = fw("check", "--profile", path)
    assert "3 mistakes" in answer.err, answer.err


def test_what_is_over_its_budget_is_told_with_the_largest(tmp_path: Path) -> None:
    path = profile(tmp_path)
    path.write_text(path.read_text("utf-8").replace("code_kib = 146", "code_kib = 20"), "utf-8")
    answer = fw("check", "--profile", path)
    assert answer.code == 1
    assert "over 20 KiB; largest: terminal." in answer.err


def test_a_board_file_of_ones_own(tmp_path: Path) -> None:
    board = (
        (fw_profile.BOARDS / "esp32.toml").read_text("utf-8").replace("tx = 25, rx = 26", "tx = 4, rx = 5")
    )
    (tmp_path / "acme.toml").write_text(board, "utf-8")
    loaded = fw_profile.load(profile(tmp_path, "acme", "reader = { uart = 1 }"))
    assert loaded.board_file("/s", "/t")["devices"]["reader"] == {"kind": "ascii", "path": "uart:1:4:5"}
    (tmp_path / "acme.toml").write_text(board.replace('chip = "esp32"', 'chip = "z80"'), "utf-8")
    answer = fw("check", "--profile", profile(tmp_path, "acme"))
    assert answer.code == 1
    assert "there is no terminal/hal/z80.py" in answer.err


def test_what_a_board_can_not_do_is_told(tmp_path: Path) -> None:
    text = (fw_profile.BOARDS / "esp32.toml").read_text("utf-8")
    for old, new, told in (
        ("tls = true", "tls = false", "the line is to be in TLS, and acme has none; expected a board"),
        (
            "[storage]",
            '[storage]\nsoftware = "files"',
            "software is to come over the line, and acme keeps it",
        ),
        ("data_kib = 1536", "data_kib = 560", "no room for software over the line: with the first slot"),
    ):
        (tmp_path / "acme.toml").write_text(text.replace(old, new), "utf-8")
        path = profile(tmp_path, "acme", "reader = { uart = 1 }", keys=(KEY,), network="tls = true")
        answer = fw("check", "--profile", path)
        assert answer.code == 1
        line = {"tls": 11}.get(old[:3], 21)
        assert answer.err.startswith(f"error: {path}:{line}: {told}"), answer.err
        assert "try: " in answer.err


def test_the_board_file_is_what_the_firmware_takes(tmp_path: Path) -> None:
    for board, devices in (("unix", ""), ("esp32", ESP32), ("rp2", "reader = { uart = 0 }")):
        loaded = fw_profile.load(profile(tmp_path, board, devices))
        ports = {door: f"/dev/{door}" for door in loaded.devices}
        path = tmp_path / "board.json"

        path.write_text(json.dumps(loaded.board_file("/storage", "/settings.json", ports)), "utf-8")
        assert set(settings.board(str(path))["devices"]) == set(loaded.devices)
