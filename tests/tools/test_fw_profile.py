"""Profiles: what `vafa fw init` makes is in order on every board, each mistake is told where it is."""

from __future__ import annotations

import ast
import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from terminal import settings
from tests.tools.fw_kit import KEY, fw, profile
from tools import fw_build, fw_profile

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


@pytest.mark.parametrize(
    ("name", "model"), [("a b", "A-B"), ("ü-q.", "U-Q"), ("مغازه", "TERMINAL"), ("x" * 20, "X" * 16)]
)
def test_a_model_is_made_of_any_name(name: str, model: str, tmp_path: Path) -> None:
    told = fw("init", tmp_path / "b c" / ".." / name)
    assert told.code == 0, told.err
    assert fw_profile.load(tmp_path / name).model == model
    assert f"--profile '{tmp_path}/b c/../{name}'" in told.out
    refused = fw("init", tmp_path / "other", "--model", "../x")
    assert refused.code == 2
    assert not (tmp_path / "other").exists()


def test_a_new_profile_finds_a_board_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'ac"me.toml').write_text((fw_profile.BOARDS / "rp2.toml").read_text("utf-8"), "utf-8")
    assert fw("init", "one/two", "--board", 'ac"me').code == 0
    assert fw_profile.load(tmp_path / "one" / "two").board.name == 'ac"me'


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
    ("reader = { uart = 1.0 }", 8, "uart = 1.0; expected uart 0, 1, 2 of esp32"),
    ("reader = { uart = [1] }", 8, "uart = [1]; expected uart 0, 1, 2 of esp32"),
    ("reader = { uart = 1, baud = 9600.0 }", 8, "baud = 9600.0; expected one of 1200"),
    ("reader = { i2c = 0, scl = 4, sda = 5 }", 8, "reader of kind ascii hangs on i2c; expected uart or port"),
    ("tap = { uart = 0 }", 8, "uart 0 is used by service and tap"),
    ('tap = { port = "console" }', 8, "port console is used by service and tap"),
    ("tap = { port = 3 }", 8, "port = 3; expected a path"),
    ("printer = { uart = 2, width = 380 }", 8, "width = 380; expected dots of a line, a multiple of 8 from"),
    ("printer = { uart = 2, width = true }", 8, "width = True; expected dots"),
    ("printer = { uart = 2, cuts = 1 }", 8, "cuts = 1; expected true or false"),
    ("scanner = { uart = 2, prefix = 7 }", 8, "prefix = 7; expected up to 16 letters"),
    ('reader = { uart = 1, prefix = "A" }', 8, "prefix is unknown"),
    ('tap = { uart = 1, optional = "yes" }', 8, "optional = 'yes'; expected true or false"),
    ("line = { uart = 1 }", 8, "line of kind tcp hangs on uart; expected nothing"),
    ('display = { kind = "memory", rows = 5 }', 8, "display of kind memory hangs on rows; expected nothing"),
    ("line = false", 8, "line is not fitted, and there is no modem; expected a way to the switch"),
]


# devices of a Pico W, which wire a pin can't be
WRONG_WIRES = [
    ("reader = { uart = 0, tx = 4 }", "tx: pin 4 can't be tx of uart 0; expected pin 0 or 12 or 16 or 28"),
    ("reader = { uart = 1, rx = 17 }", "rx: pin 17 can't be rx of uart 1; expected pin 5 or 9 or 21"),
    (
        'display = { kind = "ssd1306", i2c = 0, scl = 27, sda = 26 }',
        "scl: pin 27 can't be scl of i2c 0; expected pin 1 or 5 or 9 or 13 or 17 or 21",
    ),
    (
        'display = { kind = "st7920", spi = 0, sck = 18, mosi = 16, cs = 17 }',
        "mosi: pin 16 can't be mosi of spi 0; expected pin 3 or 7 or 19",
    ),
]


@pytest.mark.parametrize(("devices", "told"), WRONG_WIRES)
def test_a_pin_that_can_not_be_that_wire(devices: str, told: str, tmp_path: Path) -> None:
    path = profile(tmp_path, "rp2", devices)
    answer = fw("check", "--profile", path)
    assert answer.code == 1
    assert f"{path}:8: {told}" in answer.err, answer.err


@pytest.mark.parametrize(
    ("board", "devices", "settings", "told"),
    [
        ("esp32", "", "lines = [{ kind = 'dial', numbers = ['021'] }]", "a line of kind dial, and no modem"),
        (
            "unix",
            'modem = { kind = "hayes" }',
            "lines = [{ kind = 'gprs', access_point = 'x' }]",
            "a line of kind gprs, and a modem of kind hayes; expected a modem of kind sim800 or m95",
        ),
        (
            "unix",
            "line = false\nmodem = {}",
            "lines = [{ kind = 'tcp' }]",
            "a line of kind tcp, and line is not fitted",
        ),
        ("rp2", "", "lines = [{ kind = 'tcp' }]", "the line is over TCP, rp2 has a wireless network"),
        ("rp2", "", "", "the line is over TCP, rp2 has a wireless network, and [network] names none"),
        ("rp2", "modem = { uart = 0 }", "lines = [{ kind = 'dial', numbers = ['021'] }]", ""),
        ("rp2", "modem = { uart = 0 }\nline = false", "", ""),
    ],
)
def test_a_line_that_nothing_carries(
    board: str, devices: str, settings: str, told: str, tmp_path: Path
) -> None:
    path = profile(tmp_path, board, devices)
    text = path.read_text("utf-8").replace('[network]\nssid = "shop"\n', "")
    path.write_text(text.replace('locale = "fa"', f'locale = "fa"\n{settings}'), "utf-8")
    if not told:
        assert fw_profile.load(path)
        return
    with pytest.raises(fw_profile.ProfileError) as error:
        fw_profile.load(path)
    place, what = str(error.value).split(": ", 1)
    assert what.startswith(told)
    line = text.splitlines().index('locale = "fa"') + 2 if settings else 2
    assert place == f"{path}:{line}"


def test_two_devices_on_one_path(tmp_path: Path) -> None:
    ports = 'reader = { port = "/dev/ttyS0" }\nprinter = { port = "/dev/ttyS0" }'
    with pytest.raises(fw_profile.ProfileError, match="port /dev/ttyS0 is used by reader and printer"):
        fw_profile.load(profile(tmp_path, "unix", ports))


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
        ('model = "SHOP-1"', 'model = "../x"', "model = '../x'; expected 1 to 16 ASCII letters"),
        ('model = "SHOP-1"', 'model = ".."', "model = '..'; expected 1 to 16 ASCII letters"),
        ("needed = 1", "neded = 1", "neded is unknown; expected needed, keys"),
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
        ('ssid = "shop"', "ssid = 3", "ssid has a wrong value"),
        ('ssid = "shop"', 'country = "IRAN"', "country = 'IRAN'; expected two capital letters"),
        ('ssid = "shop"', "tls = 3", "tls = 3; expected true or false"),
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
        line = {"tls": 11}.get(old[:3], 22)
        assert answer.err.startswith(f"error: {path}:{line}: {told}"), answer.err
        assert "try: " in answer.err


def test_the_board_file_is_what_the_firmware_takes(tmp_path: Path) -> None:
    for board, devices in (("unix", ""), ("esp32", ESP32), ("rp2", "reader = { uart = 0 }")):
        loaded = fw_profile.load(profile(tmp_path, board, devices))
        ports = {door: f"/dev/{door}" for door in loaded.devices}
        path = tmp_path / "board.json"

        path.write_text(json.dumps(loaded.board_file("/storage", "/settings.json", ports)), "utf-8")
        assert set(settings.board(str(path))["devices"]) == set(loaded.devices)


def test_a_device_s_options_are_the_firmware_s(tmp_path: Path) -> None:
    doors = fw_profile.CHECKOUT / "terminal" / "doors"
    for door in {row[0] for row in fw_profile.KINDS}:
        modules = {row[2] for row in fw_profile.KINDS if row[0] == door and row[2]}
        asked = {
            node.args[0].value
            for module in modules
            for node in ast.walk(ast.parse((doors / f"{module}.py").read_bytes()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "options.get"
            if isinstance(node.args[0], ast.Constant)
        }
        assert asked - {"baud"} == {option.name for option in fw_profile.OPTIONS.get(door, ())}, door
    printer = {"width": 576, "cuts": False, "handshake": True, "tells_after": False, "optional": True}
    scanner = {"prefix": "AB", "ends_by_line": False}
    told = "\n".join(
        f"{door} = {{ {', '.join(f'{name} = {json.dumps(value)}' for name, value in options.items())} }}"
        for door, options in (("printer", printer), ("scanner", scanner))
    )
    ports = {"printer": "/p", "scanner": "/s"}
    file = fw_profile.load(profile(tmp_path, "unix", told)).board_file("/storage", "/settings.json", ports)
    assert file["devices"]["printer"] == {"kind": "escpos", "path": "/p", **printer}
    assert file["devices"]["scanner"] == {"kind": "gm65", "path": "/s", **scanner}


# ---------------------------------------------------------------- board files

WRONG_BOARDS = [
    (
        "size_kib = 4096",
        "size_kib = 2048",
        "partition vfs ends at 4096 KiB; expected at most size_kib = 2048",
    ),
    ("at_kib = 2560", "at_kib = 2304", "partition vfs begins at 2304 KiB, within romfs; expected 2560"),
    ("at_kib = 36", "at_kib = 32", "partition nvs begins at 32 KiB; expected 36 or more, behind"),
    ("at_kib = 64", "at_kib = 68", "partition factory is 1984 KiB at 68; expected a multiple of 4"),
    ('name = "vfs"', 'name = "romfs"', "partition romfs is there twice"),
    ("software_kib = 512", "software_kib = 900", "software_kib = 900; expected at most 512"),
    ("data_kib = 1536", "data_kib = 1540", "data_kib = 1540; expected at most 1536"),
    ("data_kib = 1536", "data_kib = 1535", "data_kib = 1535; expected whole blocks of 4096 bytes"),
    ("block_bytes = 4096", "block_bytes = 12288", "block_bytes = 12288; expected a power of two from 4096"),
    ("block_bytes = 4096", "block_bytes = 512", "block_bytes = 512; expected a power of two from 4096"),
    (
        '_partition = "romfs"',
        '_partition = "rom"',
        "software_partition = 'rom'; expected a partition of [flash]",
    ),
    ('data_partition = "vfs"', "", "a board file without data_partition"),
    ('loader = "esptool"', 'loader = "jtag"', 'loader = \'jtag\'; expected "esptool" or "mpremote"'),
    ('loader = "esptool"', "", "a board file without loader"),
    ('name_of_chip = "esp32"', "", "a board file without name_of_chip"),
    ("free_kib = 256", "", "a board file without free_kib"),
    ("usable = [", 'usable = "all" # [', "usable = 'all'; expected a list of pins"),
    ("uarts = {", "uarts = 5 # {", "uarts = 5; expected a table of UARTs"),
    ("tx = 25", "tx = 24", "uart 1: tx = 24 is not usable; expected a pin of [pins] usable"),
    ("tls = true", "tls = 5", "tls = 5; expected true or false"),
    ("i2c = [0, 1]", 'i2c = "x"', "i2c = 'x'; expected a list of numbers"),
    ('chip = "esp32"', 'chip = "files"', "chip = 'files': terminal/hal/files.py is no board's; expected"),
    ('chip = "esp32"', 'chip = "../x"', "chip = '../x'; expected the name of a HAL file"),
    ("console = true", "consol = true", "consol is unknown; expected"),
    ("[buses]", "[busses]", "busses is unknown; expected"),
    ("scl = 22", "scl = 99", "scl: 99 is no pin of acme"),
]


@pytest.mark.parametrize(("old", "new", "told"), WRONG_BOARDS)
def test_a_mistake_in_a_board_file(old: str, new: str, told: str, tmp_path: Path) -> None:
    text = (fw_profile.BOARDS / "esp32.toml").read_text("utf-8")
    assert old in text
    board = tmp_path / "acme.toml"
    board.write_text(text.replace(old, new, 1), "utf-8")
    answer = fw("check", "--profile", profile(tmp_path, "acme"))
    assert answer.code == 1
    assert f"{board}:" in answer.err, answer.err
    assert told in answer.err, answer.err
    line = text[: text.index(old)].count("\n") + 1
    assert f"{board}:{line}: " in answer.err or not new or "partition" in told, answer.err


def test_no_board_file_without_its_flash(tmp_path: Path) -> None:
    text = (fw_profile.BOARDS / "esp32.toml").read_text("utf-8")
    before, rest = text.split("[flash]")
    (tmp_path / "acme.toml").write_text(before + rest[rest.index("[storage]") :], "utf-8")
    with pytest.raises(fw_profile.ProfileError, match=r"a board file without \[flash\]"):
        fw_profile.load(profile(tmp_path, "acme"))


def as_toml(value: Any) -> str:
    """A value as TOML has it, all of it inline."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(name)} = {as_toml(one)}" for name, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value)


def paths_in(value: Any) -> Iterator[tuple[Any, ...]]:
    """The path of everything below a value; of a list its first stands for all."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for name, inner in items:
        yield (name,)
        yield from ((name, *path) for path in paths_in(inner))


WRONG: tuple[Any, ...] = (-1, 10**9, 1.5, "x" * 300, True, [], [[]], {"uart": {}})


def written(place: Path, content: dict[str, Any]) -> None:
    place.write_text(
        "\n".join(f"{json.dumps(name)} = {as_toml(one)}" for name, one in content.items()), "utf-8"
    )


def told_or_built(path: Path) -> str:
    """What is told of it; when nothing is, what is made of it without a compiler is made."""
    try:
        loaded = fw_profile.load(path)
    except fw_profile.ProfileError as error:
        return str(error)
    json.dumps(loaded.board_file("/storage", "/settings.json"))
    if loaded.board.loader == "esptool":
        json.dumps(fw_build.manifest(loaded))
        fw_build.partition_table(loaded.board.content["flash"]["partitions"])
    return ""


@pytest.mark.parametrize("name", fw_profile.boards())
def test_nothing_but_mistakes_is_ever_told_of_a_wrong_type(name: str, tmp_path: Path) -> None:
    devices = "" if name == "unix" else "reader = { uart = 1 }\nprinter = { uart = 0, width = 576 }"
    path = profile(tmp_path, "acme", devices, keys=(KEY,), network='country = "IR"\ntls = true')
    for told in (path, tmp_path / "acme.toml"):
        source = path if told == path else fw_profile.BOARDS / f"{name}.toml"
        text = source.read_text("utf-8").replace("uarts = { 0", "uarts = { 3 = { tx = 4, rx = 5 }, 0")
        (tmp_path / "acme.toml").write_text(
            (fw_profile.BOARDS / f"{name}.toml").read_text("utf-8").replace("console_uart = 0", ""), "utf-8"
        )
        content = tomllib.loads(text)
        seen = 0
        for at in paths_in(content):
            for wrong in WRONG:
                changed = copy.deepcopy(content)
                holder = changed
                for step in at[:-1]:
                    holder = holder[step]
                holder[at[-1]] = wrong
                written(told, changed)
                seen += bool(told_or_built(path))
        assert seen > 100
        told.write_text(text, "utf-8")
