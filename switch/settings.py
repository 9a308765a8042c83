"""The switch's settings: one TOML file, checked whole before anything starts.

Tables first: each key is declared once with its kind and default. Keys and secrets are read here and
handed on;
they never appear in an error, a repr or a log. Nothing here opens sockets or databases.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from switch.hsm import StaticKeyHsm

CHECKPOINT_KEY = "ledger/checkpoint"
SETTINGS_FILE = "switch.toml"
DEMO_TERMINALS = 10  # enough for the demo and the kill campaign to run without writing a file
DEMO_ACCEPTOR = "100000000000001"


class SettingsError(Exception):
    """A settings file that can't be used. The text says which file, line and key, what is wrong and what
    to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where terminals connect, and the limits that keep one peer from hurting the others."""

    host: str
    port: int
    max_connections: int
    max_frame_bytes: int
    max_in_flight: int
    idle_timeout_s: int
    frame_timeout_s: int


@dataclass(frozen=True, slots=True)
class Program:
    """The loyalty program of this part: fixed rates. Rial per point; points are whole, rounded down."""

    name: str
    currency: str
    rial_per_earned_point: int
    rial_per_redeemed_point: int
    card_prefixes: tuple[str, ...]
    horizon_days: int


@dataclass(frozen=True, slots=True)
class Terminal:
    """A registered terminal (DE 41) of an acceptor (DE 42) and its static MAC keys (16 bytes each)."""

    id: str
    acceptor: str
    blocked: bool
    mac_request_key: bytes = field(repr=False)
    mac_answer_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the switch is told. `data` is the directory that holds the ledger."""

    source: Path
    environment: str
    data: Path
    listener: Listener
    program: Program
    terminals: tuple[Terminal, ...]
    seal_key: bytes = field(repr=False)
    checkpoint_key: bytes = field(repr=False)
    directory_key: bytes = field(repr=False)

    @property
    def ledger_path(self) -> Path:
        return self.data / "ledger.sqlite"

    @property
    def checkpoint_path(self) -> Path:
        return self.data / "ledger.checkpoints"

    def checkpoint_mac(self, data: bytes) -> bytes:
        """The MAC that stands on a checkpoint of the ledger (AES-CMAC, 8 bytes)."""
        return StaticKeyHsm({CHECKPOINT_KEY: self.checkpoint_key}).mac(CHECKPOINT_KEY, data)

    @property
    def lock_path(self) -> Path:
        """Locked by the switch that serves this directory."""
        return self.data / "switch.lock"

    @property
    def port_path(self) -> Path:
        """Where a running switch writes the port that it listens on."""
        return self.data / "switch.port"


# ---------------------------------------------------------------- what a file may hold


class _Key(NamedTuple):
    kind: Callable[[Any], Any]
    expected: str
    default: Any = None  # None: the key must be given


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _choice(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return check


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return check


def _hexadecimal(size: int) -> Callable[[Any], bytes]:
    def check(value: Any) -> bytes:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", value):
            raise ValueError
        return bytes.fromhex(value)

    return check


def _characters(size: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9A-Za-z]{{{size}}}", value):
            raise ValueError
        return value

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _prefixes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    for prefix in value:
        if not isinstance(prefix, str) or not re.fullmatch("[0-9]{1,12}", prefix):
            raise ValueError
    return tuple(value)


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{3}", value):
        raise ValueError
    return value


SECRET = "hexadecimal digits"
TABLES: dict[str, dict[str, _Key]] = {
    "": {"environment": _Key(_choice("test", "production"), '"test" or "production"', "test")},
    "ledger": {"directory": _Key(_text, "a directory, relative to this file", ".")},
    "listener": {
        "host": _Key(_text, "an address to listen on", "127.0.0.1"),
        "port": _Key(_integer(0, 65535), "a port number, 0 for any free one", 8583),
        # A peer costs a few kilobytes; past this the longest idle stranger is let go.
        "max_connections": _Key(_integer(1, 100_000), "a whole number from 1 to 100000", 4096),
        # Our longest message is below 400 bytes; more is garbage or another protocol.
        "max_frame_bytes": _Key(_integer(64, 65535), "a whole number from 64 to 65535", 2048),
        # A peer that sends without waiting is paused, so it can't fill our memory.
        "max_in_flight": _Key(_integer(1, 10_000), "a whole number from 1 to 10000", 64),
        "idle_timeout_s": _Key(_integer(1, 86_400), "seconds, 1 to 86400", 300),
        "frame_timeout_s": _Key(_integer(1, 3600), "seconds, 1 to 3600", 10),
    },
    "program": {
        "name": _Key(_text, "a name", "vafa"),
        "currency": _Key(_currency, "three digits, ISO 4217", "364"),
        "rial_per_earned_point": _Key(_integer(1, 10**12), "a whole number from 1", 10_000),
        "rial_per_redeemed_point": _Key(_integer(1, 99_999_999), "a whole number from 1 to 99999999", 100),
        "card_prefixes": _Key(_prefixes, 'a list of digit strings, e.g. ["936400"]', ["936400"]),
        "horizon_days": _Key(_integer(1, 180), "days, 1 to 180", 7),
    },
    "keys": {
        "seal": _Key(_hexadecimal(32), f"64 {SECRET}"),
        "checkpoint": _Key(_hexadecimal(32), f"64 {SECRET}"),
        "directory": _Key(_hexadecimal(32), f"64 {SECRET}"),
    },
}
TERMINAL_KEYS: dict[str, _Key] = {
    "id": _Key(_characters(8), "8 letters or digits (DE 41)"),
    "acceptor": _Key(_characters(15), "15 letters or digits (DE 42)"),
    "blocked": _Key(_boolean, "true or false", False),
    "mac_request_key": _Key(_hexadecimal(16), f"32 {SECRET}"),
    "mac_answer_key": _Key(_hexadecimal(16), f"32 {SECRET}"),
}


def load(path: Path) -> Settings:
    """Read and check a settings file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: can't be read ({error.strerror}); check --config") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None

    reader = _Reader(path, text)
    terminals = document.pop("terminals", [])
    values = {name: reader.table(name, document, keys) for name, keys in TABLES.items()}
    if not isinstance(terminals, list) or not terminals:
        raise SettingsError(f"{path}: no terminals; add a [[terminals]] table for each")
    registered = [
        Terminal(**reader.keys(f"terminals[{i}]", row, TERMINAL_KEYS)) for i, row in enumerate(terminals)
    ]
    seen: set[str] = set()
    for terminal in registered:
        if terminal.id in seen:
            raise SettingsError(f"{path}: terminal {terminal.id} stands twice; remove one")
        seen.add(terminal.id)
    return Settings(
        source=path,
        environment=values[""]["environment"],
        data=(path.parent / values["ledger"]["directory"]).resolve(),
        listener=Listener(**values["listener"]),
        program=Program(**values["program"]),
        terminals=tuple(registered),
        seal_key=values["keys"]["seal"],
        checkpoint_key=values["keys"]["checkpoint"],
        directory_key=values["keys"]["directory"],
    )


class _Reader:
    """Reads declared keys out of parsed tables and says exactly where a wrong one stands."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def table(self, name: str, document: dict[str, Any], keys: dict[str, _Key]) -> dict[str, Any]:
        if name == "":
            table = {key: value for key, value in document.items() if key not in TABLES}
        else:
            table = document.get(name, {})
        return self.keys(name, table, keys)

    def keys(self, name: str, table: Any, keys: dict[str, _Key]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise SettingsError(f"{self._path}: {name}: expected a table, [{name}]")
        for key in table:
            if key not in keys:
                raise SettingsError(
                    f"{self._where(key)}: unknown key {self._dotted(name, key)}; known: {', '.join(keys)}"
                )
        values: dict[str, Any] = {}
        for key, rule in keys.items():
            if key not in table and rule.default is None:
                raise SettingsError(
                    f"{self._path}: {self._dotted(name, key)} is missing: give {rule.expected}"
                )
            value = table.get(key, rule.default)
            try:
                values[key] = rule.kind(value)
            except ValueError:
                got = "" if SECRET in rule.expected else f", got {value!r}"
                raise SettingsError(
                    f"{self._where(key)}: {self._dotted(name, key)}: expected {rule.expected}{got}"
                ) from None
        return values

    def _dotted(self, name: str, key: str) -> str:
        return f"{name}.{key}" if name else key

    def _where(self, key: str) -> str:
        for number, line in enumerate(self._lines, start=1):
            if re.match(rf'\s*\[?\[?"?{re.escape(key)}"?\s*[\]=]', line):
                return f"{self._path}:{number}"
        return str(self._path)


# ---------------------------------------------------------------- embedded defaults


def create_defaults(data: Path) -> Settings:
    """The settings of a data directory: made with fresh random keys and demo terminals when it has none yet.

    Also writes `terminals/<id>.json`, what each terminal's firmware is told. Files are readable by their
    owner only.
    """
    path = data / SETTINGS_FILE
    if not path.exists():
        try:
            data.mkdir(parents=True, exist_ok=True)
            _write_private(path, _default_text())
        except OSError as error:
            raise SettingsError(f"{data}: can't be made ({error.strerror}); choose another --data") from None
    settings = load(path)
    write_terminal_settings(settings)
    return settings


def load_for(data: Path | None, config: Path | None) -> Settings:
    """The settings that `--data` and `--config` mean: a file as given, or those that a data directory holds.

    With both, the file's settings are used on the given directory.
    """
    if config is not None:
        settings = load(config)
        if data is None:
            return settings
        return Settings(
            **{**{name: getattr(settings, name) for name in Settings.__slots__}, "data": data.resolve()}
        )
    directory = data if data is not None else Path("data")
    path = directory / SETTINGS_FILE
    if not path.exists():
        raise SettingsError(f"{path}: no settings here; start with: vafa switch run --data {directory}")
    return load(path)


def write_terminal_settings(settings: Settings, port: int | None = None) -> None:
    """Write what each terminal's firmware is told (JSON, `terminals/<id>.json`), with the port that is in
    use."""
    directory = settings.data / "terminals"
    directory.mkdir(parents=True, exist_ok=True)
    for terminal in settings.terminals:
        path = directory / f"{terminal.id}.json"
        known: dict[str, Any] = {}
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
        told = {
            "terminal_id": terminal.id,
            "acceptor_id": terminal.acceptor,
            "acceptor_name": {"en": "Vafa Shop", "fa": "فروشگاه وفا"},
            "host": settings.listener.host,
            "port": settings.listener.port,
            "tpdu": "6000030000",
            "answer_timeout_ms": 15000,
            "reversal_interval_ms": 5000,
            "locale": "en",
            "receipt_locales": ["en", "fa"],
            "storage_key": secrets.token_hex(16),
            "card_prefixes": list(settings.program.card_prefixes),
            **known,
            "mac_request_key": terminal.mac_request_key.hex(),
            "mac_answer_key": terminal.mac_answer_key.hex(),
        }
        if port is not None:
            told["port"] = port
        if told != known:
            _write_private(path, json.dumps(told, ensure_ascii=False, indent=1) + "\n")


def _default_text() -> str:
    lines = [
        "# Settings of this switch, made with random keys at its first start.",
        "# docs/settings.md explains every key.",
        'environment = "test"',
        "",
        "[keys]",
        f'seal = "{secrets.token_hex(32)}"',
        f'checkpoint = "{secrets.token_hex(32)}"',
        f'directory = "{secrets.token_hex(32)}"',
    ]
    for number in range(1, DEMO_TERMINALS + 1):
        lines += [
            "",
            "[[terminals]]",
            f'id = "{10_000_000 + number}"',
            f'acceptor = "{DEMO_ACCEPTOR}"',
            f'mac_request_key = "{secrets.token_hex(16)}"',
            f'mac_answer_key = "{secrets.token_hex(16)}"',
        ]
    return "\n".join(lines) + "\n"


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
