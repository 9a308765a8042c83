"""Putting a built firmware on a board: what is there is looked at first, every command run is shown.

Nothing is written to a board that is another chip, has no room, or doesn't answer. What makes a terminal that
very terminal is written with it, readable by its owner alone, and kept nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from switch.defaults import write_private
from terminal import keys, slots
from terminal.settings import KEY_NAMES, SettingsError, check
from tools import fw_build
from tools.cli import CommandError, ExitCode, written_to
from tools.fw_profile import FILES, Profile
from tools.keys_prompt import StandardPrompt

Tell = Callable[[str], None]

COMMAND_SECONDS: Final = 600  # a whole flash at 115200 baud; only ends a hang
BYTECODE: Final = 6  # of the compiled modules, as `sys.implementation._mpy` has it in its low byte
OTHER_TO: Final = "give --to another directory"
MARK: Final = "vafa:"  # before what our own lines on a board print
# Of the settings' "tls" -> the file's name on the terminal.
CERTIFICATES: Final = {"ca": "authority.crt", "certificate": "terminal.crt", "key": "terminal.key"}

# What a board with a Python prompt is asked before anything is written.
LOOK: Final = f"""
import sys, os
s = os.statvfs("/")
print("{MARK}", sys.platform, getattr(sys.implementation, "_mpy", 0) & 255, s[0] * s[3] // 1024)
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one terminal is given: the settings of its switch. source: their file, which loses the key block
    once a terminal has it. certificates: of its line, name -> PEM; none: not in TLS, or elsewhere already."""

    terminal: str
    settings: Mapping[str, Any]
    source: Path
    certificates: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Identity({self.terminal})"


def identity_of(data: Path, terminal: str, tls: Path | None = None) -> Identity:
    """The settings that a switch made for a terminal. tls: directory of its certificates, see
    `vafa keys ca tls`. Raises CommandError."""
    path = data / "terminals" / f"{terminal}.json"
    try:
        given = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}: no settings for terminal {terminal}",
            ExitCode.CONFIGURATION,
            f"give --data; register it: vafa terminal add {terminal}; `vafa switch run` then makes the file",
        ) from None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise CommandError(
            f"{path}: no JSON object", ExitCode.CONFIGURATION, "remove it; the switch makes it anew"
        )
    return Identity(terminal, given, path, {} if tls is None else certificates_of(tls, terminal))


def certificates_of(directory: Path, terminal: str) -> dict[str, bytes]:
    """Authority, certificate and key of a terminal's line. Raises CommandError: they aren't there, or can't
    be used."""
    kept = {
        CERTIFICATES["ca"]: directory / "authority.crt",
        CERTIFICATES["certificate"]: directory / f"terminal-{terminal}.crt",
        CERTIFICATES["key"]: directory / f"terminal-{terminal}.key",
    }
    authority, certificate, key = kept.values()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=authority)
        context.load_cert_chain(certificate, key, password="")
        return {name: path.read_bytes() for name, path in kept.items()}
    except OSError as error:  # ssl's errors are some, too
        raise CommandError(
            f"{directory}: {authority.name}, {certificate.name} and {key.name} can't be used:"
            f" {error.strerror or error}",
            ExitCode.CONFIGURATION,
            f"vafa keys ca tls --terminal {terminal}",
        ) from None


def settings_for(profile: Profile, identity: Identity, tls: str = fw_build.TLS) -> dict[str, Any]:
    """The settings file of one terminal: what its switch told, the profile's over it. tls: the directory that
    its certificates will be in. Raises CommandError."""
    settings = {**identity.settings, **profile.settings}
    if identity.certificates:
        settings["tls"] = {part: f"{tls}/{name}" for part, name in CERTIFICATES.items()}
    has_own = profile.board.loader is None and bool(settings.get("tls"))
    if profile.tls and not identity.certificates and not has_own:
        raise CommandError(
            f"{profile.where(('network', 'tls'))}: the line is to be in TLS, and terminal {identity.terminal}"
            " has no certificate",
            ExitCode.CONFIGURATION,
            f"vafa keys ca tls --terminal {identity.terminal}, then vafa fw flash --tls DIRECTORY",
        )
    if profile.board.loader is not None and bool(settings.get("tls")) != profile.tls:
        raise CommandError(
            f"{identity.source}: the line is to be in TLS, and {profile.path} has none of that",
            ExitCode.CONFIGURATION,
            "write tls = true into [network] of the profile and build it again",
        )
    try:
        check(settings)
    except SettingsError as error:
        raise CommandError(
            f"{identity.source} with {profile.path}: {error}",
            ExitCode.CONFIGURATION,
            "add it to [settings] of the profile, or start the switch once, which completes the file",
        ) from None
    return settings


def has_block(settings: Mapping[str, Any]) -> bool:
    """Whether a key block is among these settings."""
    return all(name in settings for name in KEY_NAMES)


def without_block(settings: Mapping[str, Any]) -> dict[str, Any]:
    """These settings, and no key block."""
    return {name: value for name, value in settings.items() if name not in KEY_NAMES}


def taken(identity: Identity) -> None:
    """The terminal has its key block: whoever has the switch's file shall not have it, too."""
    if any(name in identity.settings for name in KEY_NAMES):
        write_private(identity.source, _json(without_block(identity.settings)))


def with_what_is_there(identity: Identity, to: Path) -> Identity:
    """The same with what the directory of this very terminal has and the switch's file has no more: the key
    block that it did not take yet, and where its certificates are. Raises CommandError: the directory is
    another terminal's, or no terminal's."""
    there = _settings_in(to)
    known = there.get("terminal_id", identity.terminal)
    if known != identity.terminal:
        raise CommandError(
            f"{to}: is terminal {known}'s, with what that one keeps; this is {identity.terminal}",
            ExitCode.USAGE,
            "give --to another directory; or remove this one, when that terminal is out of use",
        )
    if there.get("transport_key") != identity.settings.get("transport_key"):
        there = without_block(there)  # under a key that it has no more
    names = () if has_block(identity.settings) else KEY_NAMES
    kept = {name: there[name] for name in names if name in there}
    certificates = there.get("tls") or {}
    if certificates and all(Path(file).is_file() for file in certificates.values()):
        kept["tls"] = certificates
    return replace(identity, settings={**kept, **identity.settings})


def _settings_in(to: Path) -> dict[str, Any]:
    if to.exists() and not to.is_dir():
        raise CommandError(f"{to}: is no directory", ExitCode.USAGE, OTHER_TO)
    if to.exists() and any(to.iterdir()) and not (to / fw_build.BOARD_FILE).is_file():
        raise CommandError(f"{to}: not empty, and no terminal's", ExitCode.USAGE, OTHER_TO)
    path = to / fw_build.SETTINGS_FILE
    try:
        there = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        there = None
    if not isinstance(there, dict):
        raise CommandError(
            f"{path}: no JSON object", ExitCode.CONFIGURATION, "remove it; its keys are loaded anew"
        )
    return there


def flash(
    profile: Profile, built: Path, identity: Identity, port: Path | None, interpreter: Path | None, tell: Tell
) -> bool:
    """Write it by the board's own loader. port: of the board, or the directory of one that is a process.
    Returns whether the terminal now has its keys, or the block that they are in. Raises CommandError."""
    if port is None:
        raise CommandError("where is the board?", ExitCode.USAGE, "give --port, or --to for a directory")
    if profile.board.loader is None:
        with written_to(port, OTHER_TO):
            whole = with_what_is_there(identity, port)
        tls = str((port / fw_build.TLS[1:]).absolute())
        given = fw_build.Given(settings_for(profile, whole, tls), "", identity.certificates)
    else:
        settings = settings_for(profile, identity)
        given = fw_build.Given(settings, _password(profile), identity.certificates)
    has_keys = has_block(given.settings)
    match profile.board.loader:
        case None:
            install(profile, built, given, port, tell)
            if has_keys and not has_block(identity.settings):
                tell(f"{port}: the key block that it has not loaded yet stays")
            has_keys = has_keys or (port / "storage" / keys.FILE).is_file()
        case "esptool":
            _by_esptool(profile, built, given, _device(port), interpreter, tell)
        case "mpremote":
            has_keys = _by_mpremote(profile, built, given, _device(port), tell)
        case other:
            raise CommandError(
                f"{profile.board.path}: loader = {other!r}", ExitCode.CONFIGURATION, "esptool or mpremote"
            )
    taken(identity)
    return has_keys


def told_without_keys(terminal: str) -> str:
    """What is said of a terminal that can't make a message yet."""
    return (
        f"terminal {terminal} has no keys, and no key block was left for it; next:"
        f" vafa keys inject --terminal {terminal} --port SERVICE-PORT"
    )


def _password(profile: Profile) -> str:
    """Of the profile's wireless network; asked, for it is in no file here."""
    if "ssid" not in profile.network:
        return ""
    return StandardPrompt().ask_hidden(f"password of the network {profile.network['ssid']}")


def _device(port: Path) -> Path:
    if not port.exists():
        raise CommandError(
            f"{port}: no device there", ExitCode.NETWORK, "plug it in; `mpremote devs` lists what is there"
        )
    if not os.access(port, os.R_OK | os.W_OK):
        raise CommandError(f"{port}: not allowed", ExitCode.NETWORK, "be in the group that owns it (dialout)")
    return port


# ---------------------------------------------------------------- a directory


def install(profile: Profile, built: Path, given: fw_build.Given, to: Path, tell: Tell) -> None:
    """Put software and files in a directory: MicroPython's unix port runs them from there. What the terminal
    keeps in `storage` stays, but for software that came over the line: this one runs from now on."""
    with written_to(to, OTHER_TO):
        _install(profile, built, given, to, tell)


def _install(profile: Profile, built: Path, given: fw_build.Given, to: Path, tell: Tell) -> None:
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    needed = sum(path.stat().st_size for path in (built / fw_build.TREE).rglob("*") if path.is_file())
    free = shutil.disk_usage(to).free
    if free < 2 * needed:
        raise CommandError(
            f"{to}: {free:,} bytes free, {2 * needed:,} are needed", ExitCode.NEGATIVE, "make room"
        )
    new = to / f"{fw_build.TREE}.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(built / fw_build.TREE, new)
    shutil.rmtree(to / fw_build.TREE, ignore_errors=True)
    new.rename(to / fw_build.TREE)
    ports = {door: str((to / "dev" / door).absolute()) for door in profile.devices}
    board = profile.board_file(
        str((to / "storage").absolute()), str((to / fw_build.SETTINGS_FILE).absolute()), ports
    )
    for directory in ("dev", "storage", *(("tls",) if given.certificates else ())):
        (to / directory).mkdir(exist_ok=True, mode=0o700)
    (to / "storage" / slots.RECORD).unlink(missing_ok=True)
    for slot in slots.NAMES:
        shutil.rmtree(to / "storage" / f"slot_{slot}", ignore_errors=True)
    for name, data in given.certificates.items():
        write_private(to / "tls" / name, data.decode())
    write_private(to / fw_build.SETTINGS_FILE, _json(given.settings))
    write_private(to / fw_build.BOARD_FILE, _json(board))
    tell(f"{to}: {needed:,} bytes of software, {profile.model} version {profile.version}")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


# ---------------------------------------------------------------- esptool


def _by_esptool(
    profile: Profile,
    built: Path,
    given: fw_build.Given,
    port: Path,
    interpreter: Path | None,
    tell: Tell,
) -> None:
    chip = profile.board.content["name_of_chip"]
    said = _run([*_ESPTOOL, "--port", str(port), "flash-id"], tell)
    check_chip(said, chip)
    check_flash(said, profile.board.content["flash"]["size_kib"])
    with tempfile.TemporaryDirectory(prefix="vafa-flash-") as directory:
        data = Path(directory) / fw_build.DATA
        data.write_bytes(fw_build.data_image(profile, given, fw_build.written_tree(built)))
        place = {fw_build.PARTITIONS: built, fw_build.ROMFS: built, fw_build.DATA: Path(directory)}
        pieces = [f"{at:#x} {shlex.quote(str(place[name] / name))}" for name, at in fw_build.parts(profile)]
        if interpreter is not None:
            pieces.insert(0, f"{fw_build.INTERPRETER_AT:#x} {shlex.quote(str(interpreter))}")
        words = [word for piece in pieces for word in shlex.split(piece)]
        _run(
            [*_ESPTOOL, "--chip", chip, "--port", str(port), "--baud", "460800", "write-flash", *words], tell
        )


_ESPTOOL: Final = (sys.executable, "-m", "esptool")


def check_chip(said: str, chip: str) -> None:
    """Raises CommandError unless esptool found this chip."""
    found = re.search(r"(?:Detecting chip type\.+|Chip type:|Connected to)\s*(ESP32[-A-Z0-9]*)", said)
    # ESP32-S3 and ESP32 are chips; ESP32-D0WD is a package of the second.
    name = re.match(r"ESP32(?:-?[SCHP]\d+)?", found.group(1)) if found else None
    is_right = name is not None and name.group(0).replace("-", "").lower() == chip.replace("-", "").lower()
    if not is_right:
        there = found.group(1) if found else "a chip that esptool does not name"
        raise CommandError(
            f"the board has {there}, the profile is for {chip}",
            ExitCode.NEGATIVE,
            "connect the right board, or name another in the profile; nothing was written",
        )


def check_flash(said: str, needed_kib: int) -> None:
    """Raises CommandError when esptool found a smaller flash than is needed."""
    found = re.search(r"[Ff]lash size: (\d+)\s*(MB|KB)", said)
    size_kib = int(found.group(1)) * (1024 if found.group(2) == "MB" else 1) if found else 0
    if size_kib < needed_kib:
        raise CommandError(
            f"no space: the flash has {size_kib} KiB, the board's file says {needed_kib}",
            ExitCode.NEGATIVE,
            "a board with more, or a board file for this one; nothing was written",
        )


# ---------------------------------------------------------------- mpremote


def _by_mpremote(profile: Profile, built: Path, given: fw_build.Given, port: Path, tell: Tell) -> bool:
    remote = [sys.executable, "-m", "mpremote", "connect", str(port)]
    said = _run([*remote, "exec", LOOK], tell, shown="(what is there?)")
    software_bytes = sum(path.stat().st_size for path in (built / fw_build.TREE).rglob("*") if path.is_file())
    as_files = profile.board.content["storage"].get("software") == FILES
    check_board(said, profile, software_bytes if as_files else 0)
    with tempfile.TemporaryDirectory(prefix="vafa-flash-") as directory:
        if as_files:
            _run([*remote, "fs", "cp", "-r", f"{built / fw_build.TREE}/terminal", ":"], tell)
        else:
            said = _run([*remote, "romfs", "query"], tell)
            place = re.search(r"ROMFS\d+ partition has size (\d+)", said)
            room = int(place.group(1)) if place else 0
            if room < (built / fw_build.ROMFS).stat().st_size:
                raise CommandError(
                    f"no space: this board's MicroPython has {room:,} bytes for ROMFS",
                    ExitCode.NEGATIVE,
                    "build it with one, or keep software as files: docs/boards.md",
                )
            _run([*remote, "romfs", "deploy", str(built / fw_build.ROMFS)], tell)
        _run([*remote, "exec", _MAKE_STORAGE], tell, shown="(a directory for what it keeps, without slots)")
        for name, data in fw_build.data_files(profile, given, fw_build.written_tree(built)).items():
            path = Path(directory) / (NEW_SETTINGS if name == fw_build.SETTINGS_FILE else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for path in sorted(Path(directory).iterdir()):
            to = [str(path), f":{path.name}"] if path.is_file() else ["-r", str(path), ":"]
            _run([*remote, "fs", "cp", *to], tell)
        said = _run([*remote, "exec", _TAKE_SETTINGS], tell, shown="(its settings; a key block there stays)")
        _run([*remote, "soft-reset"], tell)
    return f"{MARK} True" in said


NEW_SETTINGS: Final = "settings.new"
# The key block that the terminal has not loaded yet is on the board only, and is not for this machine.
_TAKE_SETTINGS: Final = f"""
import json, os
def read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {{}}
old, new = read("/{fw_build.SETTINGS_FILE}"), read("/{NEW_SETTINGS}")
names = {KEY_NAMES!r}
if not any(n in new for n in names) and all(old.get(n) == new[n] for n in ("terminal_id", "transport_key")):
    new.update((n, old[n]) for n in names if n in old)
with open("/{NEW_SETTINGS}", "w") as file:
    json.dump(new, file)
os.rename("/{NEW_SETTINGS}", "/{fw_build.SETTINGS_FILE}")
has = names[0] in new
try:
    has = os.stat("{fw_build.STORAGE}/{keys.FILE}")[6] > 0
except OSError:
    pass
print("{MARK}", has)
"""


# Software that came over the line goes: what is written now is to run.
_MAKE_STORAGE: Final = f"""
import os
def gone(path):
    try:
        if os.stat(path)[0] & 0x4000:
            for name in os.listdir(path):
                gone(path + "/" + name)
            os.rmdir(path)
        else:
            os.remove(path)
    except OSError:
        pass
for name in {(slots.RECORD, *(f"slot_{slot}" for slot in slots.NAMES))}:
    gone("{fw_build.STORAGE}/" + name)
try:
    os.mkdir("{fw_build.STORAGE}")
except OSError:
    pass
"""


def check_board(said: str, profile: Profile, needed_bytes: int) -> None:
    """Raises CommandError when what a board said of itself isn't what the profile is for."""
    found = re.search(rf"{MARK} (\S+) (\d+) (\d+)", said)
    if found is None:
        raise CommandError(
            "no MicroPython answers there", ExitCode.NETWORK, "flash MicroPython 1.25 or newer onto it first"
        )
    platform, bytecode, free_kib = found.group(1), int(found.group(2)), int(found.group(3))
    wanted = profile.board.content.get("platform", profile.board.chip)
    if platform != wanted:
        raise CommandError(
            f"the board is a {platform}, the profile is for {wanted}",
            ExitCode.NEGATIVE,
            "connect the right board, or name another in the profile; nothing was written",
        )
    if bytecode != BYTECODE:
        raise CommandError(
            f"the board's MicroPython loads bytecode {bytecode}, this firmware is {BYTECODE}",
            ExitCode.NEGATIVE,
            "flash MicroPython 1.25 or newer onto it first; nothing was written",
        )
    needed_kib = needed_bytes // 1024 + profile.storage.get("free_kib", 0)
    if free_kib < needed_kib:
        raise CommandError(
            f"no space: {free_kib} KiB are free on the board, {needed_kib} are needed",
            ExitCode.NEGATIVE,
            "erase it, or a board with more flash; nothing was written",
        )


def _run(command: Sequence[str], tell: Tell, shown: str | None = None) -> str:
    """Run it and pass on what it says as it says it; returns all of that. Raises CommandError."""
    name = command[2] if list(command[:2]) == [sys.executable, "-m"] else command[0]
    visible = shlex.join([name, *(command[3:] if name == command[2] else command[1:])])
    tell("$ " + (visible if shown is None else f"{name} … {shown}"))
    said: list[str] = []
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                tell("  " + line.rstrip())
            code = process.wait(COMMAND_SECONDS)
    except OSError as error:
        raise CommandError(
            f"{name} can't be run: {error.strerror}", ExitCode.CONFIGURATION, "make setup"
        ) from None
    if code:
        last = next((line.strip() for line in reversed(said) if line.strip()), "nothing")
        raise CommandError(
            f"{name} ended with {code}: {last}",
            ExitCode.NETWORK,
            "check the cable and --port; hold the board's boot button if it has one",
        )
    return "".join(said)
