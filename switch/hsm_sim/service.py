"""Puts one box together and runs it: LMKs, audit log, console, listening sockets, until SIGTERM or Ctrl-C.

The process is hardened before the first key is in it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from switch.hsm.crypto.ciphers import same
from switch.hsm_sim.audit import AuditError, AuditEvent, AuditLog
from switch.hsm_sim.call import Limits, State
from switch.hsm_sim.console import AuditPlace, CheckOfficers, Console
from switch.hsm_sim.machine import Audit, Machine
from switch.hsm_sim.process import allow_connections, harden
from switch.hsm_sim.server import HsmServer, Log, ServerSettings
from switch.hsm_sim.settings import Settings
from switch.hsm_sim.slots import TEST_SLOTS, Slot, Slots, block_slot, public_slot
from switch.hsm_sim.vault import FILE, Officer, OpenedVault, VaultError, check_two, read
from switch.tls import TlsError, server_context

AUDIT_FILE: Final = "audit.log"
CONSOLE_FILE: Final = "console.sock"
# As public as the LMKs they stand guard over: to try the authorised state out.
TEST_OFFICERS: Final = (
    Officer("officer-1", "first test officer"),
    Officer("officer-2", "second test officer"),
)


class StartError(Exception):
    """The box can't start; the text says why and what to do."""


class PortError(StartError):
    """The address can't be listened on."""


class Keys(NamedTuple):
    """The box's LMKs, what seals its audit log, and how its officers are checked."""

    slots: Slots
    audit_key: bytes
    check: CheckOfficers

    def __repr__(self) -> str:
        return "<Keys>"


def public_keys(default: str = "") -> Keys:
    """The three public test LMKs and the two test officers. Raises StartError."""
    slots = _slots([public_slot(identifier, kind) for identifier, kind in TEST_SLOTS.items()], default)
    return Keys(slots, slots["02"].derived(b"audit"), _check_test_officers)


def sealed_keys(directory: Path, opened: OpenedVault, default: str = "") -> Keys:
    """The LMK that two officers opened. Raises StartError."""
    vault = read(directory / FILE)

    def check(first: Officer, second: Officer) -> tuple[str, str]:
        return vault.open(first, second).officers

    slot = block_slot(opened.identifier, opened.master_key)
    return Keys(_slots([slot], default), slot.derived(b"audit"), check)


def _slots(slots: list[Slot], default: str) -> Slots:
    try:
        return Slots(slots, default or None)
    except ValueError as error:
        raise StartError(str(error)) from None


def _check_test_officers(first: Officer, second: Officer) -> tuple[str, str]:
    check_two(first, second)
    known = {officer.name: officer.passphrase for officer in TEST_OFFICERS}
    for officer in (first, second):
        if not same(known.get(officer.name, "\0"), officer.passphrase):
            raise VaultError("the two passphrases are not those of two test officers")
    return first.name, second.name


def serve(settings: Settings, keys: Keys, log: Log) -> None:
    """`run` on the quickest event loop that there is: uvloop where it is installed. Raises StartError."""
    with asyncio.Runner(loop_factory=_quick_loop) as runner:
        runner.run(run(settings, keys, log))


def _quick_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def run(settings: Settings, keys: Keys, log: Log) -> None:
    """Serve until told to stop. Raises StartError."""
    for what in harden():
        log.warning("not hardened", reason=what)
    log.warning("simulated", what="no real HSM: keys are in this process's memory")
    if settings.test_lmk:
        log.warning("public test LMKs", what="whatever is under them is known to everybody")
    if settings.data is None:
        log.warning("nothing is kept", what="no audit log and no officers' console without --data")
    audit_log, audit, place = _open_audit(settings, keys)
    state = State(keys.slots, Limits(frozenset(settings.allowed_pin_formats)))
    machine = Machine(state, audit)
    if settings.authorised_minutes:
        names = tuple(officer.name for officer in TEST_OFFICERS)
        state.authorised.authorise(["*"], names, settings.authorised_minutes, state.clock())
        audit(AuditEvent("started authorised", {"minutes": str(settings.authorised_minutes)}))
        log.warning("everything is authorised", minutes=settings.authorised_minutes)
    server = HsmServer(machine, _server_settings(settings), log, _tls(settings))
    console = Console(machine, keys.check, log, place) if settings.data is not None else None
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        audit(AuditEvent("started", {"lmks": " ".join(keys.slots.identifiers)}))
        if console is not None and settings.data is not None:
            await _start(console, settings.data / CONSOLE_FILE)
        await server.start()
        gc.freeze()  # what is here now stays: looking through it again would hold up requests
        log.info("ready", ports=" ".join(str(port) for port in server.ports), firmware="SIMULATED")
        await stopped.wait()
    except OSError as error:
        raise PortError(f"{settings.host}:{settings.port} can't be listened on: {error.strerror}") from None
    finally:
        await server.stop()
        if console is not None:
            await console.stop()
        if audit_log is not None:
            audit_log.record(AuditEvent("stopped", {}))
            audit_log.close()
    log.info("stopped", requests=sum(machine.counters.values()))


async def _start(console: Console, path: Path) -> None:
    """Raises StartError."""
    try:
        await console.start(path)
    except OSError as error:
        raise StartError(f"{path}: no officers' console there ({error.strerror or error})") from None


def _open_audit(settings: Settings, keys: Keys) -> tuple[AuditLog | None, Audit, AuditPlace | None]:
    if settings.data is None:
        return None, lambda event: None, None
    path = settings.data / AUDIT_FILE
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        audit_log = AuditLog(path, keys.audit_key)
    except (AuditError, OSError) as error:
        raise StartError(
            f"{error}; keep the log as it is for whoever looks into it, then move it away"
        ) from None
    return audit_log, audit_log.record, AuditPlace(path, keys.audit_key)


def _server_settings(settings: Settings) -> ServerSettings:
    return ServerSettings(
        host=settings.host,
        port=settings.port,
        header_bytes=settings.header_bytes,
        max_connections=allow_connections(settings.max_connections),
        idle_timeout_s=settings.idle_timeout_s,
        frame_timeout_s=settings.frame_timeout_s,
        lmk_ports=settings.lmk_ports,
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None or settings.tls_clients is None:
        return None
    try:
        return server_context(settings.tls_certificate, settings.tls_key, settings.tls_clients)
    except TlsError as error:
        raise StartError(str(error)) from None
