"""The simulated HSM of a demo's data directory: its LMK, officers, certificates, settings, and the keys of
the switch inside it. Whatever is there already is never made again.

For tests and first looks only. Its two officers' passphrases lie in one file: whoever reads that is both.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from simulators.hsm_process import HsmProcess
from simulators.process import ProcessEnded
from switch.defaults import create_settings, make_keys, write_private
from switch.hsm import KeyStoreError
from switch.hsm.crypto.ciphers import xor
from switch.hsm.crypto.key_blocks import Header, wrap
from switch.hsm.port import Hsm, HsmError, Key, KeyUse
from switch.hsm_sim.console import ask
from switch.hsm_sim.service import CONSOLE_FILE
from switch.hsm_sim.settings import TABLE, SettingsError
from switch.hsm_sim.settings import from_file as box_settings
from switch.hsm_sim.vault import FILE as VAULT_FILE
from switch.hsm_sim.vault import MASTER_KEY_BYTES, Officer, VaultError, seal
from switch.keys import KeysError, open_hsm
from switch.ledger import LedgerUnavailable
from switch.settings import PAYSHIELD, SETTINGS_FILE, Settings, load
from switch.tls import Peer, Role, expiry_warning
from tools.cli import CommandError, ExitCode
from tools.hsm import officers_of
from tools.keys_authority import AUTHORITY, issue, open_authority, paths

DIRECTORY: Final = "hsm"
CONFIG_FILE, OFFICERS_FILE, TLS_DIRECTORY = "hsm.toml", "officers.txt", "tls"
NAMES: Final = ("officer-1", "officer-2")
BOX, SWITCH = Peer(Role.HSM, "demo"), Peer(Role.SWITCH, "demo")
HOST: Final = "127.0.0.1"
ADDRESSES: Final = (HOST, "localhost")
CERTIFICATE_DAYS: Final = 365
AUTHORISED_MINUTES: Final = 5  # for the import of a terminal's transport key; taken back right after
ZONE_COMPONENTS: Final = 2
ZONE_BYTES: Final = 32
PASSPHRASE_BYTES: Final = 16
_PORT: Final = re.compile(r"^port = [0-9]+", re.MULTILINE)

_CONFIG: Final = f"""\
# The simulated HSM of this data directory. `vafa demo` starts it; by hand:
#   vafa hsm run --config {DIRECTORY}/{CONFIG_FILE} --officers {DIRECTORY}/{OFFICERS_FILE}
environment = "test"

[{TABLE}]
data = "."
port = 0
tls_certificate = "{TLS_DIRECTORY}/hsm-demo.crt"
tls_key = "{TLS_DIRECTORY}/hsm-demo.key"
tls_clients = "{TLS_DIRECTORY}/{AUTHORITY}.crt"
"""
# The switch's side of it. The port is the box's own, written when it is known.
_SWITCH: Final = (
    f'adapter = "{PAYSHIELD}"  # the simulated HSM in {DIRECTORY}/, a process of its own',
    "port = 1500",
    f'tls_ca = "{DIRECTORY}/{TLS_DIRECTORY}/{AUTHORITY}.crt"',
    f'tls_certificate = "{DIRECTORY}/{TLS_DIRECTORY}/switch-demo.crt"',
    f'tls_key = "{DIRECTORY}/{TLS_DIRECTORY}/switch-demo.key"',
)


def works_here(data: Path) -> bool:
    """Whether the demo runs a simulated HSM for this data directory: a new one, or one that it made so. Else
    the directory's settings keep their keys elsewhere. Raises SettingsError of the switch."""
    if not (data / SETTINGS_FILE).exists():
        return True
    return load(data / SETTINGS_FILE).hsm.adapter == PAYSHIELD and _place(data, CONFIG_FILE).exists()


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[HsmProcess]:
    """The box of a data directory, made when there is none yet, with every key that the switch needs in it.
    Raises CommandError, ProcessEnded, SettingsError of the switch."""
    try:
        await asyncio.to_thread(_prepare, data)
        box = HsmProcess(_place(data, CONFIG_FILE), _place(data, OFFICERS_FILE), _port(data))
    except OSError as error:
        raise CommandError(
            f"{error.filename or data}: can't be written ({error.strerror})",
            ExitCode.CONFIGURATION,
            "another --data",
        ) from None
    except (VaultError, SettingsError) as error:
        raise CommandError(
            str(error), ExitCode.CONFIGURATION, "put the file back, or another --data"
        ) from None
    try:
        await _start(box)
        await _make_keys(data, box.port)
        yield box
    finally:
        if box.is_running:
            await box.stop()


def _place(data: Path, name: str) -> Path:
    return data / DIRECTORY / name


def _port(data: Path) -> int:
    return box_settings(_place(data, CONFIG_FILE)).port


async def _start(box: HsmProcess) -> None:
    """On the port it had, or on any free one when another process has taken that since. Raises CommandError,
    ProcessEnded."""
    try:
        try:
            await box.start()
        except ProcessEnded:
            if box.returncode != ExitCode.NETWORK or not box.port:
                raise
            box.port = 0
            await box.start()
    except ProcessEnded as error:
        if box.returncode != ExitCode.CONFIGURATION:
            raise
        raise CommandError(
            str(error), ExitCode.CONFIGURATION, "its last lines say what is wrong; or another --data"
        ) from None


# ---------------------------------------------------------------- its files


def _prepare(data: Path) -> None:
    """Raises OSError, VaultError, CommandError."""
    directory = data / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    officers = _place(data, OFFICERS_FILE)
    if not officers.exists():
        if _place(data, VAULT_FILE).exists():
            raise CommandError(
                f"{officers} is missing", ExitCode.CONFIGURATION, "put it back, no LMK opens without it"
            )
        lines = [line for name in NAMES for line in (name, secrets.token_hex(PASSPHRASE_BYTES))]
        write_private(officers, "\n".join(lines) + "\n")
    if not _place(data, VAULT_FILE).exists():
        seal("00", secrets.token_bytes(MASTER_KEY_BYTES), *officers_of(officers)).write(
            _place(data, VAULT_FILE)
        )
    _certify(_place(data, TLS_DIRECTORY))
    if not _place(data, CONFIG_FILE).exists():
        write_private(_place(data, CONFIG_FILE), _CONFIG)


def _certify(directory: Path) -> None:
    """Certificates of box and switch, anew when they are about to end."""
    now = datetime.now(UTC)
    authority, _ = open_authority(directory, now)
    for peer, addresses in ((BOX, ADDRESSES), (SWITCH, ())):
        certificate, _key = paths(directory, f"{peer.role.value}-{peer.name}")
        if not certificate.exists() or expiry_warning(certificate, now):
            issue(directory, authority, peer, addresses, now, CERTIFICATE_DAYS)


def _set_port(path: Path, table: str, port: int) -> None:
    """Write the port into a table of a settings file that was made here. Raises CommandError."""
    text = path.read_text("utf-8")
    head, found, rest = text.partition(f"[{table}]\n")
    body, mark, tail = rest.partition("\n[")
    changed, times = _PORT.subn(f"port = {port}", body)
    if not found or times != 1:
        raise CommandError(
            f"{path}: no line `port = …` in [{table}]", ExitCode.CONFIGURATION, f"write there: port = {port}"
        )
    if changed != body:
        write_private(path, head + found + changed + mark + tail)


# ---------------------------------------------------------------- its keys


async def _make_keys(data: Path, port: int) -> None:
    """The switch's settings, which say where the box is, and every key that is missing in it."""
    try:
        settings = create_settings(data, _SWITCH)
        _set_port(_place(data, CONFIG_FILE), TABLE, port)
        _set_port(data / SETTINGS_FILE, "hsm", port)
        settings = load(data / SETTINGS_FILE)
        await make_missing(settings, data)
    except (KeysError, KeyStoreError, HsmError, LedgerUnavailable) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    except OSError as error:
        raise CommandError(
            f"{data}: can't be written ({error.strerror})", ExitCode.CONFIGURATION, "another --data"
        ) from None


async def make_missing(settings: Settings, data: Path) -> None:
    """Every key that the settings and the registry need and the box, which runs, doesn't have. Raises
    KeysError, KeyStoreError, HsmError, LedgerUnavailable, CommandError."""
    hsm = await open_hsm(settings)
    try:
        async with _Courier(hsm, data) as courier:
            await make_keys(settings, hsm, courier)
    finally:
        await hsm.close()


class _Courier:
    """TransportKeys of the box: brings them in under a zone key, which two officers form at its console and
    which is forgotten afterwards."""

    def __init__(self, hsm: Hsm, data: Path) -> None:
        self._hsm = hsm
        self._console = _place(data, CONSOLE_FILE)
        self._officers = _place(data, OFFICERS_FILE)
        self._zone: tuple[Key, bytes] | None = None

    def __repr__(self) -> str:
        return "<_Courier>"

    async def __aenter__(self) -> _Courier:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._zone is not None:
            self._zone = None
            await self._ask({"word": "cancel"})

    async def clear(self, key: Key, name: str) -> bytes | None:
        """Nobody can tell a key that is in the box."""
        return None

    async def take_in(self, clear: bytes) -> Key:
        if self._zone is None:
            self._zone = await self._agreed_zone()
        zone, zone_key = self._zone
        header = Header("D", KeyUse.TRANSPORT.value, "A", "B", "00", "N")
        return await self._hsm.import_key(wrap(zone_key, header, clear), zone, KeyUse.TRANSPORT)

    async def _agreed_zone(self) -> tuple[Key, bytes]:
        """A zone key that both sides have, and the officers' word that transport keys may come in."""
        officers: list[Officer] = list(officers_of(self._officers))
        named = [officer._asdict() for officer in officers]
        components = [secrets.token_bytes(ZONE_BYTES) for _ in range(ZONE_COMPONENTS)]
        formed = await self._ask(
            {
                "word": "form",
                "usage": KeyUse.ZONE.value,
                "algorithm": "A3",
                "components": [one.hex() for one in components],
                "officers": named,
            }
        )
        await self._ask(
            {
                "word": "authorise",
                "activities": [f"import.{KeyUse.TRANSPORT.value}"],
                "minutes": AUTHORISED_MINUTES,
                "officers": named,
            }
        )
        return Key(formed["key"], KeyUse.ZONE, formed["kcv"]), xor(*components)

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await asyncio.to_thread(ask, self._console, request)
        except OSError as error:
            raise CommandError(
                f"no box answers at {self._console}: {error.strerror or error}", ExitCode.NETWORK
            ) from None
        if "error" in answer:
            raise CommandError(f"the HSM simulator: {answer['error']}", ExitCode.CONFIGURATION)
        return answer
