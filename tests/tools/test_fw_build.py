"""What `vafa fw build` makes: the same bytes each time, only what is fitted, and what MicroPython takes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.fw_kit import KEY, fw, profile
from tools import firmware_bundle, fw_build, fw_profile, micropython

ESP32 = "reader = { uart = 1 }\nprinter = { uart = 2, baud = 115200 }"

# The image is a buffer here, on a board flash that is in the address space: both are run in place.
FROM_ROMFS = """\
import sys, vfs
vfs.mount(vfs.VfsRom(open(sys.argv[1], "rb").read()), "/rom")
sys.path[:] = ["/rom", ".frozen"]
import terminal.main
print(terminal.main.__file__, terminal.main.refuse.__name__)
"""
FROM_LITTLEFS = """\
import os, sys, vfs
class Image:
    def __init__(self, data, block):
        self.data, self.block = bytearray(data), block
    def readblocks(self, block, buffer, at=0):
        start = block * self.block + at
        buffer[:] = self.data[start : start + len(buffer)]
    def writeblocks(self, block, buffer, at=0):
        start = block * self.block + at
        self.data[start : start + len(buffer)] = buffer
    def ioctl(self, operation, argument):
        return {4: len(self.data) // self.block, 5: self.block}.get(operation, 0)
image = Image(open(sys.argv[1], "rb").read(), int(sys.argv[2]))
vfs.mount(vfs.VfsLfs2(image), "/flash")
for name in ("main.py", "board.json", "settings.json"):
    print(name, len(open("/flash/" + name).read()))
with open("/flash/storage/kept", "wb") as file:
    file.write(b"x" * 5000)
print(os.stat("/flash/storage/kept")[6])
"""


# An ESP32 is started: its data image is mounted, its ROMFS is empty, its firmware needs an ESP32.
FROM_SLOT = """\
import os, sys, vfs
class Flash(bytearray):
    def readblocks(self, block, buffer, at=0):
        buffer[:] = self[block * 4096 + at : block * 4096 + at + len(buffer)]
    def writeblocks(self, block, buffer, at=0):
        self[block * 4096 + at : block * 4096 + at + len(buffer)] = buffer
    def ioctl(self, operation, argument):
        return {4: len(self) // 4096, 5: 4096}.get(operation, 0)
rom = Flash(b"\xff" * 512 * 1024)
sys.modules["vfs"] = type("vfs", (), {
    "VfsRom": vfs.VfsRom, "mount": vfs.mount, "umount": vfs.umount, "rom_ioctl": lambda *_: rom})
def reset():
    raise KeyboardInterrupt
sys.modules["machine"] = type("machine", (), {"reset": reset})
expected = open(sys.argv[2], "rb").read()
data = Flash(open(sys.argv[1], "rb").read())
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(data), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
try:
    exec(open("main.py").read())
except (ImportError, KeyboardInterrupt) as error:
    print(error)
print(rom[: len(expected)] == expected, "terminal.main" in sys.modules, sys.path[0])
"""


def micropython_says(program: str, *arguments: object) -> str:
    run = subprocess.run(
        [micropython.provide(), "-X", "heapsize=8M", "-c", program, *map(str, arguments)],
        env={**os.environ, "MICROPYPATH": ".frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def esp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ESP32 profile, built."""
    place = tmp_path_factory.mktemp("esp32")
    answer = fw("build", "--profile", profile(place, "esp32", ESP32), "--out", place / "out")
    assert answer.code == 0, answer.err
    return place / "out"


def test_the_same_bytes_each_time(esp32: Path, tmp_path: Path) -> None:
    answer = fw("build", "--profile", profile(tmp_path, "esp32", ESP32), "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert (tmp_path / "out" / fw_build.SUMS).read_bytes() == (esp32 / fw_build.SUMS).read_bytes()


def test_the_sums_are_of_all_files(esp32: Path) -> None:
    rows = dict(reversed(line.split("  ")) for line in (esp32 / fw_build.SUMS).read_text().splitlines())
    files = {path.relative_to(esp32).as_posix() for path in esp32.rglob("*") if path.is_file()}
    assert files - {fw_build.SUMS} == set(rows)
    for name, digest in rows.items():
        assert hashlib.sha256((esp32 / name).read_bytes()).hexdigest() == digest


def test_faults_are_named_by_what_is_kept_beside(esp32: Path) -> None:
    assert "_told" in fw_build.names_in(esp32)["drivers/receipt_printer"].values()


def test_only_what_is_fitted_goes_in(esp32: Path) -> None:
    modules = set(json.loads((esp32 / fw_build.SIZES).read_text())["code"]["modules"])
    assert {"terminal.hal.esp32", "terminal.drivers.ssd1306", "terminal.drivers.keypad"} <= modules
    assert {
        "terminal.doors.reader",
        "terminal.drivers.magstripe",
        "terminal.drivers.receipt_printer",
    } <= modules
    strangers = {
        "unix",
        "rp2",
        "cpython",
        "pn532",
        "scanner",
        "modem",
        "ccid",
        "st7920",
        "stripe_writer",
        "bundle",
    }
    assert not {name for name in modules if name.rpartition(".")[2] in strangers}


def test_micropython_runs_the_romfs(tmp_path: Path) -> None:
    path = profile(tmp_path)
    assert fw("build", "--profile", path, "--out", tmp_path / "out").code == 0
    said = micropython_says(FROM_ROMFS, tmp_path / "out" / fw_build.ROMFS)
    assert said == "/rom/terminal/main.mpy refuse\n"


def test_micropython_mounts_the_data_image(esp32: Path) -> None:
    said = micropython_says(FROM_LITTLEFS, esp32 / fw_build.DATA, 4096).splitlines()
    assert [line.split()[0] for line in said] == ["main.py", "board.json", "settings.json", "5000"]
    assert (esp32 / fw_build.DATA).stat().st_size == 1536 * 1024


def test_a_board_that_takes_software_is_started_from_its_slot(tmp_path: Path) -> None:
    path = profile(tmp_path, "esp32", ESP32, keys=(KEY,))
    assert fw("check", "--profile", path).code == 0
    answer = fw("build", "--profile", path, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    out = tmp_path / "out"
    said = micropython_says(FROM_SLOT, out / fw_build.DATA, out / fw_build.ROMFS)
    assert "no module named 'terminal.hal.unix'" in said
    assert said.splitlines()[-1] == "True False /rom"
    bundle = firmware_bundle.read((out / fw_build.BUNDLE).read_bytes())
    assert [(file.name, file.length) for file in bundle.table.files] == [
        (fw_build.ROMFS, (out / fw_build.ROMFS).stat().st_size)
    ]
    assert bundle.content == (out / fw_build.ROMFS).read_bytes()


def test_the_partition_table_and_the_manifest_agree(esp32: Path) -> None:
    table = (esp32 / fw_build.PARTITIONS).read_bytes()
    assert len(table) == 0xC00
    found = {}
    place = 0
    while table[place : place + 2] == b"\xaa\x50":
        at, size = (int.from_bytes(table[place + n : place + n + 4], "little") for n in (4, 8))
        found[table[place + 12 : place + 28].rstrip(b"\0").decode()] = (at, size)
        place += 32
    assert table[place : place + 2] == b"\xeb\xeb"
    assert table[place + 16 : place + 32] == hashlib.md5(table[:place]).digest()
    ordered = sorted(found.values())
    assert all(at + size <= after for (at, size), (after, _) in itertools.pairwise(ordered))
    [build] = json.loads((esp32 / fw_build.MANIFEST).read_text())["builds"]
    parts = {part["path"]: part["offset"] for part in build["parts"]}
    assert build["chipFamily"] == "ESP32"
    assert parts["firmware.romfs"] == found["romfs"][0]
    assert parts["data.littlefs"] == found["vfs"][0]
    assert (esp32 / "data.littlefs").stat().st_size == found["vfs"][1]
    assert (esp32 / "firmware.romfs").stat().st_size <= found["romfs"][1]


def test_what_was_not_built_here_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    answer = fw("build", "--profile", profile(tmp_path / "p"), "--out", tmp_path)
    assert answer.code == 2
    assert (tmp_path / "precious").read_text() == "mine"


names = st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(names, st.binary(max_size=200), max_size=6))
def test_a_romfs_of_any_files_is_read_as_it_was(files: dict[str, bytes]) -> None:
    files = {
        name: data for name, data in files.items() if not any(one.startswith(name + "/") for one in files)
    }
    assert read_romfs(fw_build.romfs(files)) == files


def read_romfs(image: bytes) -> dict[str, bytes]:
    """By the description of the format (micropython, extmod/vfs_rom.c): records of kind, length, payload."""

    def number(at: int) -> tuple[int, int]:
        value = 0
        while True:
            value = value << 7 | image[at] & 0x7F
            at += 1
            if not image[at - 1] & 0x80:
                return value, at

    def records(at: int, end: int, path: str) -> None:
        while at < end:
            kind, at = number(at)
            length, at = number(at)
            if kind in (4, 5):
                size, name_at = number(at)
                name = path + image[name_at : name_at + size].decode()
                if kind == 4:
                    records(name_at + size, at + length, name + "/")
                else:
                    verbatim, data_at = number(name_at + size)
                    assert verbatim == 2
                    count, data_at = number(data_at)
                    found[name] = image[data_at : data_at + count]
            at += length

    found: dict[str, bytes] = {}
    assert image[:3] == b"\xd2\xcd\x31"
    length, at = number(3)
    records(at, at + length, "")
    return found


# ---------------------------------------------------------------- signatures


def test_two_of_three_sign_and_the_device_takes_it(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.pem" for name in ("a", "b", "c")]
    points = []
    for file in files:
        told = fw("key", file, "--make", given="correct horse\ncorrect horse\n")
        assert told.code == 0, told.err
        assert "TEST KEY" not in told.err
        assert file.stat().st_mode & 0o077 == 0
        points.append(told.out.strip())
    path = profile(tmp_path, keys=tuple(points), needed=2)
    out = tmp_path / "out"
    assert fw("build", "--profile", path, "--out", out).code == 0
    bundle = out / fw_build.BUNDLE
    loaded = fw_profile.load(path)
    assert firmware_bundle.missing(bundle.read_bytes()) == 2
    told = fw("ota", "--profile", path, "--bundle", bundle)
    assert told.code == 1
    assert "2 signatures are missing" in told.err
    sign = ("sign", "--profile", path, "--bundle", bundle, "--key")
    assert "wrong passphrase" in fw(*sign, files[2], given="battery staple\n").err
    assert "signed by key 2; 1 more to come" in fw(*sign, files[2], given="correct horse\n").out
    assert fw("build", "--profile", path, "--out", out).code == 0  # nothing has changed: it stays signed
    assert firmware_bundle.missing(bundle.read_bytes()) == 1
    for line in (out / fw_build.SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest, name
    assert "key 2 has signed already" in fw(*sign, files[2], given="correct horse\n").err
    assert "signed by key 0; complete" in fw(*sign, files[0], given="correct horse\n").out
    assert "all its signatures are there" in fw(*sign, files[1], given="correct horse\n").err
    from tools import fw_keys

    fw_keys.check_signed(bundle, loaded)  # by the device's own code
    complete = bundle.read_bytes()
    later = profile(tmp_path / "later", keys=tuple(points), needed=2)
    later.write_text(later.read_text("utf-8").replace("version = 7", "version = 8"), "utf-8")
    told = fw("ota", "--profile", later, "--bundle", bundle)
    assert told.code == 1
    assert "is of SHOP-1 version 7, the profile is SHOP-1 version 8" in told.err
    assert firmware_bundle.is_signed_of(complete, complete, [bytes.fromhex(point) for point in points])
    others = [bytes.fromhex(point) for point in (points[1], points[0], points[2])]
    assert not firmware_bundle.is_signed_of(complete, complete, others)
    assert not firmware_bundle.is_signed_of(complete[:-1] + b"?", complete, others)
    damaged = bytearray(bundle.read_bytes())
    damaged[40] ^= 1
    bundle.write_bytes(damaged)
    with pytest.raises(Exception, match="terminals would refuse it: signature"):
        fw_keys.check_signed(bundle, loaded)


def test_a_test_key_says_so_and_a_strange_key_is_refused(tmp_path: Path) -> None:
    told = fw("key", tmp_path / "test.pem", "--make", "--test")
    assert "TEST KEY" in told.err
    stranger = firmware_bundle.public_point(ec.generate_private_key(ec.SECP256R1()).public_key()).hex()
    path = profile(tmp_path, keys=(stranger,))
    assert fw("build", "--profile", path, "--out", tmp_path / "out").code == 0
    answer = fw(
        "sign",
        "--profile",
        path,
        "--bundle",
        tmp_path / "out" / fw_build.BUNDLE,
        "--key",
        tmp_path / "test.pem",
    )
    assert answer.code == 1
    assert "TEST KEY" in answer.err
    assert "wrong key: none of the 1" in answer.err
    assert fw("key", tmp_path / "test.pem", "--make").code == 2  # never overwritten
    nobody = fw("sign", "--profile", profile(tmp_path), "--key", tmp_path / "test.pem")
    assert nobody.code == 4
    assert "[signing] names no key" in nobody.err
    assert "prints there, keys =" in nobody.err
