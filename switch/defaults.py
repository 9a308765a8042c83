"""What a fresh data directory gets: settings, a master key, keys, and the files of ten demo terminals.

For tests and first looks only: a production switch has its keys from a ceremony. All files are for their
owner alone, and nothing that is there already is made again.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from switch.card_issuing import DESK, desk_file
from switch.hsm import InProcessHsm, KeyNotFound, KeyStore, KeyStoreError
from switch.hsm.crypto.key_blocks import Header, KeyBlockError
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.port import Hsm, HsmError, Key, KeyAlgorithm, KeyUse
from switch.keys import (
    CARD_MASTER,
    CARD_VALUE,
    CHECKPOINT,
    PIN_VERIFIER,
    KeysError,
    base_key_name,
    open_store,
    read_master_key,
    transport_key_name,
)
from switch.ledger import LedgerUnavailable
from switch.registry import Merchant
from switch.registry import read as read_registry
from switch.settings import IN_PROCESS, SETTINGS_FILE, Settings, SettingsError, Terminal, load

DEMO_TERMINALS = 10  # enough for the demo and the kill campaign to run without writing a file
DEMO_ACCEPTOR = "100000000000001"
FIRST_COUNTER = 1
# A terminal that is keyed again may have used counters that never arrived: it starts at the next multiple of
# this above all that the ledger has seen of its key.
COUNTER_STEP = 1 << 16
LAST_COUNTER = 0xFFFF0000  # none above has few enough ones (X9.24-3)
MADE_BY = ("first start",)  # stands where a ceremony names its officers

Result = TypeVar("Result")


def create_defaults(data: Path) -> Settings:
    """The settings of a data directory: made with fresh random keys and demo terminals when it has none yet.

    Also makes the keys that the settings need and writes `terminals/<id>.json`, what each terminal's firmware
    is told. Raises SettingsError.
    """
    settings = create_settings(data)
    if settings.hsm.adapter == IN_PROCESS and not settings.is_production:
        try:
            make_keys_in_process(settings)
        except (KeysError, KeyStoreError, HsmError, LedgerUnavailable) as error:
            raise SettingsError(str(error)) from None
    write_terminal_settings(settings)
    return settings


def create_settings(data: Path, hsm: Sequence[str] = ()) -> Settings:
    """The settings of a data directory, made when it has none yet. hsm: lines of their table [hsm]; none: the
    in-process adapter. Raises SettingsError."""
    path = data / SETTINGS_FILE
    if not path.exists():
        try:
            data.mkdir(parents=True, exist_ok=True)
            write_private(path, _default_text(hsm))
        except OSError as error:
            raise SettingsError(f"{data}: can't be made ({error.strerror}); choose another --data") from None
    return load(path)


def write_terminal_settings(settings: Settings, port: int | None = None) -> None:
    """Write what each terminal's firmware is told (JSON, `terminals/<id>.json`), with the port that is in
    use. What is in a file already stays, keys above all. Raises SettingsError."""
    directory = settings.data / "terminals"
    directory.mkdir(parents=True, exist_ok=True)
    registered = read_registry(settings)
    for terminal in registered.terminals:
        known = read_terminal_settings(settings, terminal)
        told = {**_told(settings, terminal, registered.registry.merchants), **known}
        if port is not None:
            told["port"] = port
        if told != known:
            write_private(
                terminal_file(settings, terminal), json.dumps(told, ensure_ascii=False, indent=1) + "\n"
            )


def terminal_file(settings: Settings, terminal: Terminal) -> Path:
    """What this terminal's firmware is told."""
    return settings.data / "terminals" / f"{terminal.id}.json"


def read_terminal_settings(settings: Settings, terminal: Terminal) -> dict[str, Any]:
    """The content of a terminal's file; empty when there is none yet. Raises SettingsError."""
    path = terminal_file(settings, terminal)
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise SettingsError(f"{path}: is no JSON object; correct it or remove it")
    return known


def tell_terminal(settings: Settings, terminal: Terminal, merchants: Mapping[str, Merchant]) -> bool:
    """Tell a terminal's firmware whose it is now, when there is a file for it. Raises SettingsError."""
    known = read_terminal_settings(settings, terminal)
    told = {**known, **_acceptor_of(terminal, merchants)}
    if known and told != known:
        write_private(
            terminal_file(settings, terminal), json.dumps(told, ensure_ascii=False, indent=1) + "\n"
        )
    return bool(known)


def _acceptor_of(terminal: Terminal, merchants: Mapping[str, Merchant]) -> dict[str, Any]:
    named = merchants.get(terminal.acceptor)
    names = {"en": "Vafa Shop", "fa": "فروشگاه وفا"}
    if named is not None and (named.name_en or named.name_fa):
        names = {"en": named.name_en or named.name_fa, "fa": named.name_fa or named.name_en}
    return {"acceptor_id": terminal.acceptor, "acceptor_name": names}


def _told(settings: Settings, terminal: Terminal, merchants: Mapping[str, Merchant]) -> dict[str, Any]:
    return {
        "terminal_id": terminal.id,
        **_acceptor_of(terminal, merchants),
        "host": settings.listener.host,
        "port": settings.listener.port,
        "tpdu": "6000030000",
        "answer_timeout_ms": 15000,
        "reversal_interval_ms": 5000,
        "locale": "en",
        "receipt_locales": ["en", "fa"],
        "card_prefixes": list(settings.program.card_prefixes),
    }


def _default_text(hsm: Sequence[str]) -> str:
    lines = [
        "# Settings of this switch, made with random keys at its first start.",
        "# docs/settings.md explains every key.",
        'environment = "test"',
        "",
        *(["[hsm]", *hsm, ""] if hsm else []),
        "[keys]",
        f'seal = "{secrets.token_hex(32)}"',
        f'directory = "{secrets.token_hex(32)}"',
    ]
    bdk_id = secrets.token_hex(4).upper()
    for number in range(1, DEMO_TERMINALS + 1):
        terminal = str(10_000_000 + number)
        lines += [
            "",
            "[[terminals]]",
            f'id = "{terminal}"',
            f'acceptor = "{DEMO_ACCEPTOR}"',
            f'initial_key_id = "{bdk_id}{terminal}"',
        ]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- keys


class TransportKeys(Protocol):
    """How a terminal's transport key, which its firmware is flashed with in clear, gets into the HSM."""

    async def clear(self, key: Key, name: str) -> bytes | None:
        """The clear key, where that can be told again. Raises KeysError."""

    async def take_in(self, clear: bytes) -> Key:
        """16 bytes as a key of the HSM. Raises HsmError."""


def make_keys_in_process(settings: Settings) -> None:
    """Whatever key is missing, where the keys are in this very process and this is a test. Raises KeysError,
    KeyStoreError, HsmError, LedgerUnavailable, SettingsError."""
    _completed(_make_keys_in_process(settings))


async def _make_keys_in_process(settings: Settings) -> None:
    path = settings.hsm.master_key_file
    if not path.exists():
        if settings.hsm.key_store.exists():
            raise KeysError(f"{path}: is missing; no key of {settings.hsm.key_store} opens without it")
        write_private(path, secrets.token_hex(32) + "\n")
    master_key = read_master_key(path)
    hsm = InProcessHsm(master_key)
    await make_keys(settings, hsm, _UnderMasterKey(hsm, BlockMasterKey(master_key)))


async def make_keys(settings: Settings, hsm: Hsm, transports: TransportKeys) -> None:
    """Whatever key is missing, and for each terminal its transport key and first initial key. Raises
    KeysError, KeyStoreError, HsmError, LedgerUnavailable."""
    store = open_store(settings)
    before, versions = store.names(), _versions(store)
    registered = read_registry(settings)
    wanted = {
        base_key_name(terminal.initial_key_id): KeyUse.BASE_DERIVATION for terminal in registered.terminals
    }
    wanted |= {
        PIN_VERIFIER: KeyUse.PIN_VERIFIER,
        CARD_VALUE: KeyUse.CARD_VALUE,
        CARD_MASTER: KeyUse.CARD_MASTER,
        CHECKPOINT: KeyUse.MAC,
    }
    for name, use in wanted.items():
        if name not in before:
            algorithm = ALGORITHMS[use][0]
            key = await hsm.generate_key(use, algorithm)
            store.add(name, key, algorithm, MADE_BY)
    told = {terminal: read_terminal_settings(settings, terminal) for terminal in registered.terminals}
    for terminal, known in told.items():
        # Later its file holds the transport key alone: a terminal's firmware takes the key block out.
        if "transport_key" not in known:
            counter = _first_counter(settings, terminal)
            known |= await _first_keys(store, hsm, transports, terminal, counter)
    desk = None if desk_file(settings).exists() else await _transport_key(store, transports, DESK)
    if _versions(store) != versions:
        store.save()
    if desk is not None:
        desk_file(settings).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(desk_file(settings), json.dumps({"transport_key": desk.hex().upper()}) + "\n")
    for terminal, known in told.items():
        if known != read_terminal_settings(settings, terminal):
            terminal_file(settings, terminal).parent.mkdir(parents=True, exist_ok=True)
            content = {**_told(settings, terminal, registered.registry.merchants), **known}
            write_private(
                terminal_file(settings, terminal), json.dumps(content, ensure_ascii=False, indent=1) + "\n"
            )


def _versions(store: KeyStore) -> int:
    return sum(len(store.versions(name)) for name in store.names())


def _first_counter(settings: Settings, terminal: Terminal) -> int:
    """The first counter that no sending of the terminal has used. Raises KeysError, LedgerUnavailable."""
    last = settings.ledger_place.last_counter(terminal.initial_key_id)
    if not last:
        return FIRST_COUNTER
    counter = (last // COUNTER_STEP + 1) * COUNTER_STEP
    if counter > LAST_COUNTER:
        raise KeysError(
            f"terminal {terminal.id} has used up its key serial numbers;"
            " register another initial_key_id for it"
        )
    return counter


async def _first_keys(
    store: KeyStore, hsm: Hsm, transports: TransportKeys, terminal: Terminal, counter: int
) -> dict[str, str]:
    """What a terminal is loaded with at its making: its transport key, its initial key under that, its first
    key serial number, with this counter."""
    clear = await _transport_key(store, transports, terminal.id)
    transport = store.key(transport_key_name(terminal.id))
    base_key = store.key(base_key_name(terminal.initial_key_id))
    exported = await hsm.derive_initial_key(base_key, terminal.initial_key_id, transport)
    serial = terminal.initial_key_id + counter.to_bytes(4, "big")
    return {
        "transport_key": clear.hex().upper(),
        "key_block": exported.block,
        "key_serial": serial.hex().upper(),
    }


async def _transport_key(store: KeyStore, transports: TransportKeys, terminal: str) -> bytes:
    """The clear transport key of a terminal, which its firmware is flashed with, or of the card desk; made
    when there is none, or none that can be told."""
    name = transport_key_name(terminal)
    try:
        known = await transports.clear(store.key(name), name)
    except KeyNotFound:
        known = None
    if known is not None:
        return known
    clear = secrets.token_bytes(16)
    store.add(name, await transports.take_in(clear), KeyAlgorithm.AES_128, MADE_BY)
    return clear


class _UnderMasterKey:
    """TransportKeys of the in-process adapter: only here does a clear key meet the master key, which this
    adapter has in a file anyway."""

    def __init__(self, hsm: InProcessHsm, master: BlockMasterKey) -> None:
        self._hsm = hsm
        self._master = master

    async def clear(self, key: Key, name: str) -> bytes | None:
        try:
            return self._master.unwrap(key.reference).key
        except KeyBlockError:
            raise KeysError(f"{name} is of another master key; restore the key store's file") from None

    async def take_in(self, clear: bytes) -> Key:
        header = Header(version=self._master.scheme, usage=KeyUse.TRANSPORT.value, algorithm="A", mode="B")
        token = self._master.wrap(header, clear)
        unchecked = Key(token, KeyUse.TRANSPORT, "")
        return Key(token, KeyUse.TRANSPORT, await self._hsm.check_value(unchecked))


def _completed(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits, with or without a running loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    coroutine.close()
    raise AssertionError("the in-process HSM never waits")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
