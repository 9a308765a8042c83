"""What is built of a profile: compiled modules, ROMFS, data image, bundle, manifest, sizes.

The same bytes each time, and only what the profile's devices need. Nothing here knows a private key or a
terminal's identity.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from terminal.slots import WHOLE
from tools import firmware_bundle, firmware_modules, firmware_tree
from tools.cli import CommandError, ExitCode, written_to
from tools.fw_profile import CHECKOUT, Profile

TREE: Final = "firmware"  # directory of compiled modules
DATA_TREE: Final = "data"  # directory of what goes into the data file system as it is
ROMFS: Final = "firmware.romfs"
DATA: Final = "data.littlefs"
PARTITIONS: Final = "partitions.bin"
BUNDLE: Final = "firmware.bundle"
MANIFEST: Final = "manifest.json"
SIZES: Final = "sizes.json"
NAMES: Final = firmware_tree.NAMES  # what functions are called that a fault is told by; not on the board
SUMS: Final = "SHA256SUMS"
BOARD_FILE: Final = "board.json"
SETTINGS_FILE: Final = "settings.json"
INTERPRETER: Final = "micropython.bin"  # put beside the rest by the vendor, see docs/boards.md
INTERPRETER_AT: Final = 0x1000  # where the ESP32's own loader looks for what comes first
TLS: Final = "/tls"  # directory of a terminal's certificates, on the same
STORAGE: Final = "/storage"  # on a board with a file system of its own
OTHER_OUT: Final = "give --out another directory"
KIB: Final = 1024
LITTLEFS_VERSION: Final = 0x00020001  # what MicroPython 1.25 writes
START: Final = """\
from terminal.main import start
start("/board.json")
"""
# Where software comes over the line: what puts a slot's image into ROMFS stands in the data file system.
START_FROM_SLOT: Final = """\
import sys
sys.path.insert(0, "/start")
from terminal.hal.rom import start
start("/board.json")
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of `.mpy` by module."""

    code: Mapping[str, int]
    fonts: Mapping[str, int]

    @property
    def code_bytes(self) -> int:
        return sum(self.code.values())

    @property
    def font_bytes(self) -> int:
        return sum(self.fonts.values())


@dataclass(frozen=True, slots=True)
class Built:
    """Where everything is, and how large."""

    place: Path
    sizes: Sizes
    files: tuple[Path, ...]


def place_of(profile: Profile, out: Path | None) -> Path:
    """Where a profile is built, unless told otherwise."""
    return out or CHECKOUT / "build" / "fw" / profile.name


def check_built(place: Path, profile: Profile) -> None:
    """Raises CommandError unless what the profile is was built there."""
    if not (place / SUMS).is_file():
        raise CommandError(f"{place}: nothing is built there", ExitCode.USAGE, "vafa fw build")
    report = json.loads((place / SIZES).read_text()) if (place / SIZES).is_file() else {}
    built = report.get("model", profile.model), report.get("version", profile.version)
    if built != (profile.model, profile.version):
        raise CommandError(
            f"{place}: is of {built[0]} version {built[1]}, the profile is {profile.model} version"
            f" {profile.version}",
            ExitCode.USAGE,
            "vafa fw build",
        )


def names_in(place: Path) -> firmware_tree.Names:
    """What functions are called that were built there, for firmware_source.restored."""
    path = place / NAMES
    return json.loads(path.read_text()) if path.is_file() else {}


def last_names() -> firmware_tree.Names:
    """The same of what was built last, for whichever profile: they share it."""
    built = (CHECKOUT / "build" / "fw").glob(f"*/{NAMES}")
    last = max(built, key=lambda path: path.stat().st_mtime_ns, default=None)
    return names_in(last.parent) if last else {}


def compiled(profile: Profile) -> dict[str, bytes]:
    """Path below the import root -> bytes of each module that the profile needs."""
    return _modules(
        firmware_modules.needed(profile.board.chip, profile.kinds, profile.takes_updates, profile.tls)
    )


def _modules(names: Iterable[str]) -> dict[str, bytes]:
    tree = firmware_tree.build()
    files = {}
    for name in names:
        path = firmware_modules.path_of(name).relative_to(CHECKOUT).with_suffix(".mpy")
        files[path.as_posix()] = (tree / path).read_bytes()
    return dict(sorted(files.items()))


def bundled(profile: Profile, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """What a bundle holds of these modules: themselves, or the image that a microcontroller runs."""
    return files if profile.board.loader is None else {ROMFS: romfs(files)}


def first_slot(profile: Profile, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Path in the data file system -> bytes, of a board that takes software over its line: what starts it,
    and its first slot, with which later versions are compared and to which a failed one falls back."""
    if profile.board.loader is None or not profile.takes_updates:
        return {}
    inside = bundled(profile, files)
    bundle = firmware_bundle.unsigned(
        profile.model, profile.version, profile.replaces, inside, profile.signatures_needed
    )
    slot = f"{STORAGE[1:]}/slot_a/"
    started = _modules(firmware_modules.starting())
    return {
        **{f"start/{path}": data for path, data in started.items()},
        slot + "TABLE": bundle[: -len(inside[ROMFS])],
        slot + ROMFS: inside[ROMFS],
        slot + WHOLE: b"%d" % profile.version,
    }


def written_tree(place: Path) -> dict[str, bytes]:
    """The same, of what was built there."""
    tree = place / DATA_TREE
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in paths}


def sizes_of(files: Mapping[str, bytes]) -> Sizes:
    """Code apart from fonts and strings."""
    sizes: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for path, data in files.items():
        name = path.removesuffix(".mpy").removesuffix("/__init__").replace("/", ".")
        sizes[firmware_modules.is_font_or_string(name)][name] = len(data)
    return Sizes(*sizes)


def checked(profile: Profile, files: Mapping[str, bytes]) -> Sizes:
    """The sizes of the profile's firmware. Raises CommandError when it is over its budget, or it and what it
    needs don't fit its board."""
    sizes = sizes_of(files)
    _check_sizes(profile, sizes)
    if profile.board.loader is not None:
        data_image(profile, Given(profile.settings), first_slot(profile, files))
    return sizes


def _check_sizes(profile: Profile, sizes: Sizes) -> None:
    limits = (
        ("code", sizes.code_bytes, profile.budget["code_kib"], "fit fewer devices"),
        ("fonts and strings", sizes.font_bytes, profile.budget["fonts_kib"], "fit fewer fonts"),
        (
            "firmware",
            sizes.code_bytes + sizes.font_bytes,
            profile.storage["software_kib"],
            "a board with more flash, or fewer devices",
        ),
    )
    for what, size, most_kib, try_next in limits:
        if size > most_kib * KIB:
            largest = ", ".join(
                f"{name} {size:,}"
                for name, size in sorted({**sizes.code, **sizes.fonts}.items(), key=lambda row: -row[1])[:5]
            )
            raise CommandError(
                f"{profile.path}: {what}: {size:,} bytes, {size - most_kib * KIB:,} over {most_kib} KiB;"
                f" largest: {largest}",
                ExitCode.NEGATIVE,
                try_next,
            )


def build(profile: Profile, out: Path | None = None) -> Built:
    """Build everything; what was there before goes, but for signatures of the same bundle. Raises
    CommandError."""
    place = place_of(profile, out)
    with written_to(place, OTHER_OUT):
        _check_ours(place)
    files = compiled(profile)
    sizes = checked(profile, files)
    with written_to(place, OTHER_OUT):
        return _written(profile, place, files, sizes)


def _written(profile: Profile, place: Path, files: Mapping[str, bytes], sizes: Sizes) -> Built:
    before = place / BUNDLE
    signed = before.read_bytes() if before.is_file() else b""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path, data in files.items():
        _write(place / TREE / path, data)
    _write(place / ROMFS, romfs(files))
    software = first_slot(profile, files)
    for path, data in software.items():
        _write(place / DATA_TREE / path, data)
    if profile.board.loader is not None:
        _write(place / DATA, data_image(profile, Given(profile.settings), software))
    if "partitions" in profile.board.content.get("flash", {}):
        _write(place / PARTITIONS, partition_table(profile.board.content["flash"]["partitions"]))
    bundle = firmware_bundle.unsigned(
        profile.model,
        profile.version,
        profile.replaces,
        bundled(profile, files),
        profile.signatures_needed,
    )
    keys = [bytes.fromhex(key) for key in profile.signers]
    _write(place / BUNDLE, signed if firmware_bundle.is_signed_of(signed, bundle, keys) else bundle)
    if profile.board.loader == "esptool":
        _write(place / MANIFEST, _json(manifest(profile)))
    names = firmware_tree.names_of(firmware_tree.build())
    _write(place / NAMES, _json(names))
    _write(place / SIZES, _json(_report(profile, sizes)))
    return Built(place, sizes, summed(place))


def summed(place: Path) -> tuple[Path, ...]:
    """Write SHA256SUMS of all other files of a built place; returns these."""
    written = [path for path in sorted(place.rglob("*")) if path.is_file() and path != place / SUMS]
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(place).as_posix()}\n"
        for path in written
    )
    _write(place / SUMS, sums.encode())
    return tuple(written)


def romfs(files: Mapping[str, bytes]) -> bytes:
    """A ROMFS image of these files, by mpremote's own writer."""
    from mpremote.romfs import VfsRomWriter  # type: ignore[import-untyped]

    writer = VfsRomWriter()
    open_now: list[str] = []
    for path in sorted(files, key=lambda path: path.split("/")):
        *directories, name = path.split("/")
        while open_now != directories[: len(open_now)]:
            writer.closedir()
            open_now.pop()
        for directory in directories[len(open_now) :]:
            writer.opendir(directory)
            open_now.append(directory)
        writer.mkfile(name, files[path])
    for _ in open_now:
        writer.closedir()
    return bytes(writer.finalise())


@dataclass(frozen=True, slots=True)
class Given:
    """What one terminal is given at flashing. password: of its network; certificates: name -> PEM."""

    settings: Mapping[str, Any]
    password: str = ""
    certificates: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Given()"


def data_files(profile: Profile, given: Given, software: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the file system of a board holds before the terminal's first start. software: see first_slot."""
    board = profile.board_file(STORAGE, f"/{SETTINGS_FILE}")
    if given.password:
        board["network"]["password"] = given.password
    return {
        "main.py": (START_FROM_SLOT if profile.takes_updates else START).encode(),
        BOARD_FILE: _json(board),
        SETTINGS_FILE: _json(given.settings),
        **{f"{TLS[1:]}/{name}": data for name, data in given.certificates.items()},
        **software,
    }


def data_image(profile: Profile, given: Given, software: Mapping[str, bytes]) -> bytes:
    """A littlefs image with these files. Raises CommandError: they or a second slot don't fit."""
    from littlefs import LittleFS, LittleFSError

    block_bytes = profile.board.content["storage"]["block_bytes"]
    blocks = profile.storage["data_kib"] * KIB // block_bytes
    file_system = LittleFS(block_size=block_bytes, block_count=blocks, disk_version=LITTLEFS_VERSION)
    try:
        file_system.mkdir(STORAGE)
        for name, data in data_files(profile, given, software).items():
            if "/" in name:
                file_system.makedirs(name.rpartition("/")[0], exist_ok=True)
            with file_system.open(name, "wb") as file:
                file.write(data)
    except LittleFSError as error:
        raise CommandError(
            f"{profile.path}: the data image is full: {error}", ExitCode.NEGATIVE, "a larger data_kib"
        ) from None
    free_kib = (blocks - file_system.used_block_count) * block_bytes // KIB
    wanted_kib = profile.storage.get("free_kib", 0)
    if free_kib < wanted_kib:
        raise CommandError(
            f"{profile.path}: {free_kib} KiB stay free in the data image, the profile wants {wanted_kib}",
            ExitCode.NEGATIVE,
            "a larger data_kib, or a smaller free_kib",
        )
    slot_kib = sum(map(len, software.values())) // KIB + 1
    if software and free_kib < wanted_kib + slot_kib:
        raise CommandError(
            f"{profile.where(('signing', 'keys'))}: no room for software over the line: with the first slot"
            f" {free_kib} KiB stay free in the data image; expected {slot_kib} KiB for the second and"
            f" {wanted_kib} KiB for what the terminal keeps",
            ExitCode.NEGATIVE,
            "a board with a larger data partition, fewer devices, or no keys: then `vafa fw flash` brings it"
            " new software",
        )
    return bytes(file_system.context.buffer)


def partition_table(partitions: list[Mapping[str, Any]]) -> bytes:
    """An ESP32's partition table: 32 bytes each, an MD5 over them, padded to the size of the table.

    ESP-IDF Programming Guide, Partition Tables.
    """
    entries = b"".join(
        b"\xaa\x50"
        + bytes((one["type"], one["subtype"]))
        + (one["at_kib"] * KIB).to_bytes(4, "little")
        + (one["size_kib"] * KIB).to_bytes(4, "little")
        + one["name"].encode().ljust(16, b"\0")
        + bytes(4)
        for one in partitions
    )
    table = entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()
    return table.ljust(0xC00, b"\xff")


def parts(profile: Profile) -> list[tuple[str, int]]:
    """Files of the built place and where in the flash they go, in the order of writing."""
    flash = profile.board.content["flash"]
    at = {one["name"]: one["at_kib"] * KIB for one in flash["partitions"]}
    storage = profile.board.content["storage"]
    return [
        (PARTITIONS, flash["partition_table_kib"] * KIB),
        (ROMFS, at[storage["software_partition"]]),
        (DATA, at[storage["data_partition"]]),
    ]


def manifest(profile: Profile) -> dict[str, Any]:
    """What ESP Web Tools flashes from a browser: https://esphome.github.io/esp-web-tools."""
    offsets = [(INTERPRETER, INTERPRETER_AT), *parts(profile)]
    return {
        "name": profile.model,
        "version": str(profile.version),
        "new_install_prompt_erase": True,
        "builds": [
            {
                "chipFamily": profile.board.content["web_family"],
                "parts": [{"path": name, "offset": at} for name, at in offsets],
            }
        ],
    }


def _report(profile: Profile, sizes: Sizes) -> dict[str, Any]:
    return {
        "model": profile.model,
        "version": profile.version,
        "board": profile.board.name,
        "code": {
            "bytes": sizes.code_bytes,
            "at_most": profile.budget["code_kib"] * KIB,
            "modules": dict(sorted(sizes.code.items())),
        },
        "fonts_and_strings": {
            "bytes": sizes.font_bytes,
            "at_most": profile.budget["fonts_kib"] * KIB,
            "modules": dict(sorted(sizes.fonts.items())),
        },
    }


def as_text(profile: Profile, sizes: Sizes) -> str:
    """The size report for people: the largest first."""
    rows = sorted({**sizes.code, **sizes.fonts}.items(), key=lambda row: -row[1])
    lines = [f"{size:>9,}  {name}" for name, size in rows]
    lines.append(
        f"{sizes.code_bytes:>9,}  code, of {profile.budget['code_kib'] * KIB:,};"
        f" {sizes.font_bytes:,} fonts and strings, of {profile.budget['fonts_kib'] * KIB:,}"
    )
    return "\n".join(lines)


def _json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _check_ours(place: Path) -> None:
    if place.exists() and not place.is_dir():
        raise CommandError(f"{place}: is no directory", ExitCode.USAGE, OTHER_OUT)
    if place.exists() and any(place.iterdir()) and not (place / SUMS).is_file():
        raise CommandError(f"{place}: is not empty and was not built here", ExitCode.USAGE, OTHER_OUT)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
