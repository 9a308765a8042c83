"""Flashing: a directory, a board with MicroPython's prompt by mpremote itself, and all that is refused."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tty
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from switch.tls import Peer, Role
from tests.tools.fw_kit import fw, profile
from tools import firmware_tree, fw_build, fw_flash, fw_profile, micropython
from tools.cli import CommandError
from tools.keys_authority import issue, open_authority

GIVEN = {
    "terminal_id": "10000001",
    "acceptor_id": "100000000000001",
    "acceptor_name": {"en": "Vafa Shop", "fa": "فروشگاه وفا"},
    "host": "127.0.0.1",
    "port": 8583,
    "tpdu": None,
    "answer_timeout_ms": 15000,
    "reversal_interval_ms": 5000,
    "locale": "en",
    "receipt_locales": ["en"],
    "card_prefixes": ["936400"],
    "transport_key": "00112233445566778899AABBCCDDEEFF",
    "key_block": "D" * 112,
    "key_serial": "12" * 12,
}
# A board whose MicroPython has no ROMFS: software goes there as files. Its chip is the unix port's own.
BOARD = """\
chip = "rp2"
platform = "linux"
loader = "mpremote"
tls = true
[serial]
console = true
uarts = {{ 0 = {{ tx = 0, rx = 1 }} }}
[buses]
i2c = [0]
[pins]
usable = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
[storage]
software = "files"
software_kib = 512
data_kib = 512
block_bytes = 4096
free_kib = {free}
[devices]
keypad = {{ rows = [2, 3, 4, 5], columns = [6, 7, 8, 9] }}
display = {{ kind = "ssd1306", i2c = 0, scl = 10, sda = 11 }}
service = {{ port = "console" }}
line = {{}}
"""
PROMPT = Path(__file__).with_name("python_prompt.py")
BLOCKS = 64  # of 4 KiB


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A switch's data directory with one terminal."""
    (tmp_path / "data" / "terminals").mkdir(parents=True)
    (tmp_path / "data" / "terminals" / "10000001.json").write_text(json.dumps(GIVEN), "utf-8")
    return tmp_path / "data"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A directory of `vafa keys ca tls` with the terminal's certificate."""
    place, now = tmp_path / "ca", datetime.now(UTC)
    place.mkdir()
    authority, _ = open_authority(place, now)
    issue(place, authority, Peer(Role.TERMINAL, "10000001"), [], now, 30)
    return place


@pytest.fixture(scope="module")
def unix(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A profile of the unix board and where it was built."""
    place = tmp_path_factory.mktemp("unix")
    path = profile(place)
    assert fw("build", "--profile", path, "--out", place / "out").code == 0
    return path, place / "out"


def test_a_directory_gets_software_settings_and_board_file(
    unix: tuple[Path, Path], data: Path, certificates: Path, tmp_path: Path
) -> None:
    path, out = unix
    to = tmp_path / "shop"
    flash = ("flash", "--profile", path, "--out", out, "--terminal", "10000001", "--to", to, "--data", data)
    told = fw(*flash)
    assert told.code == 0, told.err
    settings = json.loads((to / "settings.json").read_text("utf-8"))
    assert settings["locale"] == "fa"  # the profile's word over the switch's
    assert settings["transport_key"] == GIVEN["transport_key"]
    assert settings["key_block"] == GIVEN["key_block"]
    assert (to / "settings.json").stat().st_mode & 0o077 == 0
    assert "key_block" not in json.loads((data / "terminals" / "10000001.json").read_text("utf-8"))
    assert GIVEN["transport_key"] not in told.out + told.err
    board = json.loads((to / "board.json").read_text("utf-8"))
    assert board["devices"]["reader"]["path"] == str(to / "dev" / "reader")
    (to / "storage" / "journal").write_text("kept")
    for name in ("boot", "slot_b/TABLE"):  # software that came over the line: what is flashed runs instead
        (to / "storage" / name).parent.mkdir(exist_ok=True)
        (to / "storage" / name).write_text("old")
    assert fw(*flash, "--tls", certificates).code == 0
    assert [file.name for file in (to / "storage").iterdir()] == ["journal"]
    # The block is nowhere else, and the terminal has not loaded it yet.
    assert json.loads((to / "settings.json").read_text("utf-8"))["key_block"] == GIVEN["key_block"]
    tls = json.loads((to / "settings.json").read_text("utf-8"))["tls"]
    assert Path(tls["key"]).read_bytes() == (certificates / "terminal-10000001.key").read_bytes()
    assert Path(tls["key"]).stat().st_mode & 0o077 == 0
    (certificates / "terminal-10000001.key").unlink()
    lost = fw(*flash, "--tls", certificates)
    assert lost.code == 4
    assert "terminal-10000001.key can't be used" in lost.err
    assert "vafa keys ca tls --terminal 10000001" in lost.err
    run = subprocess.run(
        [micropython.provide(), "-X", "heapsize=512k", "-m", "terminal.main", "--board", to / "missing.json"],
        cwd=to / "firmware",
        env={**os.environ, "MICROPYPATH": ".frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr  # it starts, as far as its board file
    assert "missing.json: can't be read" in run.stdout


def test_a_key_block_is_lost_by_no_flashing(unix: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    path, out = unix
    given, settings = data / "terminals" / "10000001.json", tmp_path / "shop" / "settings.json"
    flash = ("flash", "--profile", path, "--out", out, "--to", tmp_path / "shop", "--data", data)
    first = fw(*flash, "--terminal", "10000001")
    assert first.code == 0, first.err
    assert "no keys" not in first.out
    assert "key_block" not in json.loads(given.read_text("utf-8"))
    again = fw(*flash, "--terminal", "10000001")
    assert "the key block that it has not loaded yet stays" in again.out
    before = settings.read_text("utf-8")
    assert json.loads(before)["key_block"] == GIVEN["key_block"]
    (data / "terminals" / "10000002.json").write_text(json.dumps({**GIVEN, "terminal_id": "10000002"}))
    other = fw(*flash, "--terminal", "10000002")
    assert other.code == 2
    assert "is terminal 10000001's, with what that one keeps; this is 10000002" in other.err
    assert settings.read_text("utf-8") == before
    # Under another transport key the block is worth nothing.
    anew = {name: value for name, value in GIVEN.items() if not name.startswith("key_")}
    given.write_text(json.dumps({**anew, "transport_key": "FF" * 16}), "utf-8")
    without = fw(*flash, "--terminal", "10000001")
    assert without.code == 0
    assert "vafa keys inject --terminal 10000001" in without.out
    assert "key_block" not in json.loads(settings.read_text("utf-8"))
    (tmp_path / "shop" / "storage" / "keys").write_bytes(b"sealed")
    assert "no keys" not in fw(*flash, "--terminal", "10000001").out


def test_paths_that_can_not_be_are_told(unix: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    path, out = unix
    file = tmp_path / "file"
    file.write_text("mine")
    to = ("flash", "--profile", path, "--out", out, "--data", data, "--terminal", "10000001", "--to")
    build = ("build", "--profile", path, "--out")
    for arguments, code, said in (
        (("init", "/proc/xx"), 4, "/proc/xx/terminal.toml: can't be written: No such file or directory"),
        (("init", file), 2, "is no directory"),
        (("key", tmp_path / "no" / "x.pem", "--make", "--test"), 2, f"there is no directory {tmp_path}/no"),
        (("key", "/proc/x.pem", "--make", "--test"), 4, "/proc/x.pem: can't be written"),
        ((*to, file), 2, "is no directory"),
        ((*to, file / "below"), 4, "can't be written: Not a directory"),
        ((*to, "/proc/nix"), 4, "/proc/nix: can't be written"),
        ((*build, file), 2, "is no directory"),
        ((*build, "/proc/q"), 4, "/proc/q: can't be written"),
    ):
        told = fw(*arguments)
        assert (told.code, said in told.err) == (code, True), told.err
    assert file.read_text() == "mine"
    assert json.loads((data / "terminals" / "10000001.json").read_text("utf-8")) == GIVEN


def test_a_terminal_that_runs_is_left_alone(unix: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    (data / "run" / "10000001").mkdir(parents=True)
    with (data / "run" / "10000001" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = fw(
            *("run", "--profile", unix[0], "--terminal", "10000001", "--data", data),
            *("--to", tmp_path / "shop"),
        )
    assert told.code == 4
    assert "terminal 10000001 of" in told.err
    assert "runs; nothing was built or written" in told.err
    assert told.out == ""
    assert not (tmp_path / "shop").exists()


def test_what_is_refused_changes_nothing(unix: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    path, out = unix
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").write_text("mine")
    flash = ("flash", "--profile", path, "--out", out, "--data", data, "--terminal")
    assert "not empty" in fw(*flash, "10000001", "--to", tmp_path / "precious").err
    assert "no settings for terminal 10000009" in fw(*flash, "10000009", "--to", tmp_path / "new").err
    assert "--to, a directory" in fw(*flash, "10000001", "--port", "/dev/null").err
    told = fw(
        "flash", "--profile", path, "--out", tmp_path / "no", "--terminal", "10000001", "--to", tmp_path
    )
    assert "nothing is built there" in told.err
    later = tmp_path / "later.toml"
    later.write_text(path.read_text("utf-8").replace("version = 7", "version = 8"), "utf-8")
    told = fw(*flash, "10000001", "--to", tmp_path / "new", "--profile", later)
    assert told.code == 2
    assert "is of SHOP-1 version 7, the profile is SHOP-1 version 8" in told.err
    assert json.loads((data / "terminals" / "10000001.json").read_text("utf-8")) == GIVEN


@pytest.fixture
def port() -> Iterator[Path]:
    """A board with MicroPython's prompt, on a serial line."""
    ours, board = os.openpty()
    tty.setraw(ours)
    tty.setraw(board)
    command = [micropython.provide(), "-X", "heapsize=4M", str(PROMPT), str(BLOCKS)]
    with subprocess.Popen(command, stdin=ours, stdout=ours, stderr=subprocess.DEVNULL) as process:
        yield Path(os.ttyname(board))
        process.kill()
    os.close(ours)
    os.close(board)


def small_build(directory: Path, path: Path) -> Path:
    """As built, with one small module only: bytes take their time over a serial line."""
    place = directory / "out"
    source = directory / "terminal"
    source.mkdir()
    (source / "__init__.py").write_text('sold = "here"\n')
    firmware_tree.compile_tree(source, place / fw_build.TREE)
    for left in (place / fw_build.TREE / "terminal").glob(".*"):
        left.unlink()
    (place / fw_build.SUMS).write_text("")
    return place


def on_board(port: Path, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", str(port), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_board_with_a_prompt_is_flashed_by_mpremote(
    port: Path, data: Path, certificates: Path, tmp_path: Path
) -> None:
    (tmp_path / "acme.toml").write_text(BOARD.format(free=64), "utf-8")
    path = profile(tmp_path, "acme", network="tls = true")
    out = small_build(tmp_path, path)
    flash = ("flash", "--profile", path, "--out", out, "--terminal", "10000001", "--port", port)
    told = fw(*flash, "--data", data)
    assert told.code == 4
    assert f"{path}:11: the line is to be in TLS, and terminal 10000001 has no certificate" in told.err
    told = fw(*flash, "--data", data, "--tls", certificates)
    assert told.code == 0, told.out + told.err
    assert "$ mpremote connect" in told.out  # what it runs is shown
    assert GIVEN["transport_key"] not in told.out + told.err
    seen = on_board(
        port,
        "exec",
        "import os, terminal; print(sorted(os.listdir('/')), terminal.sold, sorted(os.listdir('/tls')))",
        "fs",
        "cat",
        "board.json",
    )
    first, rest = seen.split("\n", 1)
    files = ["board.json", "main.py", "settings.json", "storage", "terminal", "tls"]
    assert first == f"{files} here ['authority.crt', 'terminal.crt', 'terminal.key']"
    assert json.loads(rest)["devices"]["keypad"]["path"] == "matrix:2,3,4,5:6,7,8,9"
    again = fw(*flash, "--data", data, "--tls", certificates)  # the block is on the board alone now
    assert again.code == 0, again.out + again.err
    assert "no keys" not in told.out + again.out
    assert GIVEN["key_block"] not in again.out + again.err
    settings = json.loads(on_board(port, "fs", "cat", "settings.json"))
    assert (settings["key_block"], settings["acceptor_name"]) == (GIVEN["key_block"], GIVEN["acceptor_name"])
    on_board(port, "fs", "rm", "settings.json")
    assert "has no keys" in fw(*flash, "--data", data, "--tls", certificates).out


def test_a_wrong_or_full_board_is_not_written_to(port: Path, data: Path, tmp_path: Path) -> None:
    flash = ("flash", "--terminal", "10000001", "--port", port, "--data", data, "--out", tmp_path / "out")
    for board, told in (
        (BOARD.replace('platform = "linux"', 'platform = "rp2"').format(free=64), "the board is a linux"),
        (BOARD.replace("data_kib = 512", "data_kib = 8192").format(free=4096), "no space: "),
    ):
        (tmp_path / "acme.toml").write_text(board, "utf-8")
        path = profile(tmp_path, "acme")
        if not (tmp_path / "out").exists():
            small_build(tmp_path, path)
        answer = fw(*flash, "--profile", path)
        assert answer.code == 1
        assert told in answer.err
        assert "nothing was written" in answer.err
    assert on_board(port, "exec", "import os; print(os.listdir('/'))") == "[]\n"
    assert json.loads((data / "terminals" / "10000001.json").read_text("utf-8")) == GIVEN


def test_no_device_is_told(unix: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    path = profile(tmp_path, "esp32", "reader = { uart = 1 }")
    answer = fw(
        "flash",
        "--profile",
        path,
        "--out",
        unix[1],
        "--terminal",
        "10000001",
        "--port",
        tmp_path / "tty",
        "--data",
        data,
    )
    assert answer.code == 3
    assert "no device there" in answer.err


# As esptool 5 says it on a real board.
SAID = """\
esptool v5.6.0
Connected to {name} on /dev/ttyUSB0:
Chip type:          {kind} (revision v3.0)
Features:           Wi-Fi, BT, Dual Core + LP Core, 240MHz
Detected flash size: {flash}
"""


@pytest.mark.parametrize(
    ("name", "kind", "flash", "refused"),
    [
        ("ESP32", "ESP32-D0WD-V3", "4MB", None),
        ("ESP32", "ESP32-PICO-D4", "16MB", None),
        ("ESP32-S3", "ESP32-S3 (QFN56)", "8MB", "the board has ESP32-S3, the profile is for esp32"),
        ("ESP32-C3", "ESP32-C3 (QFN32)", "4MB", "the board has ESP32-C3, the profile is for esp32"),
        ("ESP8266", "ESP8266EX", "4MB", "the board has a chip that esptool does not name"),
        ("ESP32", "ESP32-D0WD-V3", "2MB", "no space: the flash has 2048 KiB, the board's file says 4096"),
        ("ESP32", "ESP32-D0WD-V3", "Unknown", "no space: the flash has 0 KiB"),
    ],
)
def test_what_esptool_found_is_looked_at_first(name: str, kind: str, flash: str, refused: str | None) -> None:
    said = SAID.format(name=name, kind=kind, flash=flash)

    def look() -> None:
        fw_flash.check_chip(said, "esp32")
        fw_flash.check_flash(said, 4096)

    if refused is None:
        look()
    else:
        with pytest.raises(CommandError, match=refused) as told:
            look()
        assert "nothing was written" in told.value.try_next


def test_settings_that_a_terminal_would_refuse_are_not_flashed(data: Path, tmp_path: Path) -> None:
    (data / "terminals" / "10000001.json").write_text(json.dumps({**GIVEN, "card_prefixes": []}), "utf-8")
    loaded = fw_profile.load(profile(tmp_path))
    with pytest.raises(CommandError, match="card_prefixes: expected a list of digit strings"):
        fw_flash.settings_for(loaded, fw_flash.identity_of(data, "10000001"))
