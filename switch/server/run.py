"""Starts and stops a switch: ledger, HSM, pipeline, listener, checkpoints, signals. Nothing is decided
here."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from switch import iso8583
from switch.defaults import write_terminal_settings
from switch.handshakes import Allowance, Handshakes
from switch.hsm.port import HsmError
from switch.keys import KeysError, SwitchKeys, check_capable, open_hsm, open_store
from switch.ledger import Batch, Engine, LedgerError, LedgerUnavailable
from switch.ledger.archive import ArchiveAhead
from switch.ledger.checkpoint import CheckpointFile, RegistryHead
from switch.ledger.sqlite import SqliteEngine
from switch.registry import keep_counters
from switch.server.archiving import Archiving
from switch.server.clock import SystemClock
from switch.server.codes import CodeOutbox
from switch.server.connection import Connections
from switch.server.corrections import CorrectionsJob
from switch.server.jobs import DueJob
from switch.server.log import Log
from switch.server.partner_files import PartnerFiles
from switch.server.partners import Entrance, Partners
from switch.server.past_rules import FILE_NAME as PAST_RULES
from switch.server.past_rules import bring_over, with_past
from switch.server.pipeline import Pipeline, where_of
from switch.server.quarantine import Quarantine, QuarantineError
from switch.server.registered import Registered
from switch.settings import Listener, Settings, SettingsError
from switch.settlement.corrections import FILE_NAME as CORRECTIONS
from switch.tls import TlsError, expiry_warning, server_context

if TYPE_CHECKING:
    from switch.server.forwarding_process import Beside

CHECKPOINT_INTERVAL_S = 60  # how much of the ledger's end is known only to the ledger itself, at most
SWEEP_INTERVAL_S = 1
CERTIFICATE_INTERVAL_S = 86_400
# The memory holds a million small objects: looking through all of them takes 0.1 s, so that is done by the
# clock and not whenever a quarter of them is new. Almost all garbage is freed by reference count anyway.
COLLECT_THRESHOLDS = (10_000, 10, 1_000_000)
COLLECT_INTERVAL_S = 600
# A commit that is done waits for the interpreter this long when the loop is busy; Python's own 5 ms is a
# batch.
SWITCH_INTERVAL_S = 0.0005
# How often an operator is told that the clock is not believed, and how often the confirmation is looked for.
DAY_ALARM_INTERVAL_S = 60
DAY_INTERVAL_S = 1
LISTEN_BACKLOG = 1024  # a power cut in a mall: all terminals connect at once


# In the data directory: what an operator writes to confirm the clock's date.
CONFIRMED_DAY = "business-date"


class StartError(Exception):
    """The switch can't start. The text says what is wrong and what to do."""


class PortError(StartError):
    """It can't listen where it should."""


def serve(settings: Settings, log: Log) -> int:
    """`run` on the quickest event loop that there is: uvloop where it is installed. Raises StartError."""
    with asyncio.Runner(loop_factory=_quick_loop) as runner:
        return runner.run(run(settings, log))


def _quick_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def run(settings: Settings, log: Log) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 0 stopped as asked, 1 stopped to protect the
    ledger.

    Raises StartError.
    """
    if settings.ledger.buckets[0]:
        settings = replace(settings, partners=())  # one process of a ledger has the partners' lines
    _raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[str] = loop.create_future()

    def request_stop(reason: str) -> None:
        if not stop.done():
            stop.set_result(reason)

    # First the port and the directory, then the ledger: a switch that can't serve must not fence one that
    # does.
    context = _tls(settings.listener)
    listening = _bind(settings.listener)
    entrances = [
        Entrance(_bind(one.listener, f"partner {one.name}'s "), _tls(one.listener))
        for one in settings.partners
    ]
    lock = _lock(settings)
    try:
        registered = Registered(settings, log)
        partner_files = PartnerFiles(settings)
        hsm = await open_hsm(settings, _hsm_teller(log))
        check_capable(settings, hsm)
        keys = SwitchKeys.of(
            open_store(settings), registered.terminals, checks_cards=settings.program.checks_cards
        )

        def checkpoint_mac(data: bytes) -> bytes:
            """For the thread that writes checkpoints."""
            return asyncio.run_coroutine_threadsafe(hsm.mac_generate(keys.checkpoint, data), loop).result()

        opened = settings.ledger_place.open_engine(settings.seal_key)
        beside = _beside(settings)
        owner = f"switch {os.getpid()}" if beside is None else beside.name
        epoch = opened.claim(owner, *settings.ledger.buckets)
        # A ledger shorter than its last checkpoint lost entries: it is not served from.
        checkpoints = None
        if not settings.ledger.buckets[0]:  # one process writes them
            checkpoints = CheckpointFile(settings.checkpoint_path, checkpoint_mac)
        await write_checkpoint(opened, checkpoints, clock.now_ms(), registered.head)
        if checkpoints is not None:
            registered.check_not_behind(checkpoints.registry)
        quarantine = Quarantine(settings.quarantine_path, clock.now_ms())
        versions = with_past(settings.data / PAST_RULES, settings.program.versions)
        archiving = _archiving(settings, opened, log)
        engine: Engine = opened
        if archiving is not None:
            await asyncio.to_thread(archiving.begin)
            engine = archiving.engine
            _archive_rules(settings, log)
    except (ArchiveAhead, KeysError, LedgerUnavailable, QuarantineError, SettingsError) as error:
        raise StartError(str(error)) from error
    except HsmError as error:
        raise StartError(f"{error}; check [hsm] and its key store") from error
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-writer") as writer,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-checkpoint") as checkpointer,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-search") as search,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-owners") as looker,
    ):
        placing = None if beside is None else beside.place_for(epoch, looker, log, request_stop)
        pipeline = Pipeline(
            dialect=iso8583.load("vafa"),
            program=replace(settings.program, versions=versions),
            terminals=registered.terminals,
            directory_key=settings.directory_key,
            hsm=hsm,
            keys=keys,
            codes=None if settings.is_production else CodeOutbox(settings.code_outbox_path),
            clear_codes=settings.listener.clear_codes,
            engine=engine,
            epoch=epoch,
            clock=clock,
            log=log,
            writer=writer,
            quarantine=quarantine,
            after_commit=_log_pacer(opened, checkpointer, log),
            stop=request_stop,
            placing=placing,
            downloads=registered.downloads,
            keep_counters=partial(keep_counters, settings),
        )
        if beside is not None:
            await beside.begin(pipeline, clock.now_ms, search, log)
        decider = pipeline if placing is None else placing.for_partners()
        partners = Partners(settings, partner_files, hsm, decider, clock, log)
        connections = Connections(pipeline, settings.listener, log)
        handshakes = _handshakes(context, settings.listener, connections, log)
        server = None
        if handshakes is None:
            server = await loop.create_server(connections.make, sock=listening, backlog=LISTEN_BACKLOG)
        else:
            listening.listen(LISTEN_BACKLOG)
            handshakes.serve(listening)
        port = listening.getsockname()[1]
        settings.port_path.write_text(f"{port}\n", encoding="ascii")
        try:
            write_terminal_settings(settings, port)
        except SettingsError as error:
            raise StartError(str(error)) from error
        await partners.listen(entrances)
        background = [
            loop.create_task(_sweep(connections)),
            loop.create_task(partners.run()),
            loop.create_task(_collect()),
            loop.create_task(_checkpoint(engine, checkpoints, registered, clock, log)),
            loop.create_task(_watch_certificates(settings, clock, log)),
            loop.create_task(registered.follow(pipeline, keys.base_keys)),
            loop.create_task(_watch_day(pipeline, settings.data / CONFIRMED_DAY, clock, log)),
        ]
        corrections = CorrectionsJob(
            settings.data / CORRECTIONS, settings.seal_key, placing or pipeline, clock.now_ms, log
        )
        correcting = loop.create_task(corrections.run())
        due_job = loop.create_task(DueJob(pipeline, engine, clock.now_ms, search, log).run())
        loop.set_exception_handler(lambda _loop, context: log_defect(log, context))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, request_stop, signal.Signals(number).name)
        # What was made at start lives as long as the process; the collector needs not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_THRESHOLDS)
        log.info(
            "listening",
            host=settings.listener.host,
            port=port,
            data=str(settings.data),
            epoch=epoch,
            tls=context is not None,
        )

        reason = await stop
        log.info("stopping", reason=reason)
        if server is not None:
            server.close()
        if handshakes is not None:
            handshakes.close()
        connections.stop_reading()
        due_job.cancel()
        correcting.cancel()
        await partners.stop()
        if beside is not None:
            await beside.stop()
        await pipeline.drain()
        connections.close_all()
        if beside is not None:
            await beside.close()
        if server is not None:
            await server.wait_closed()
        for task in background:
            task.cancel()
        await asyncio.gather(due_job, *background, return_exceptions=True)
        code = 0 if reason.startswith("SIG") else 1
        if code == 0:
            with contextlib.suppress(LedgerError, HsmError):
                await write_checkpoint(engine, checkpoints, clock.now_ms())
                engine.stage(Batch([]), epoch)  # the last checkpoint's note: no later batch will carry it
                engine.sync()
    if archiving is not None:
        archiving.close()
    engine.close()
    quarantine.close()
    await hsm.close()
    lock.close()
    with contextlib.suppress(OSError):
        settings.port_path.unlink()
    log.info("stopped", entries=pipeline.committed_entries)
    return code


def _log_pacer(engine: Engine, checkpointer: Executor, log: Log) -> Callable[[], None]:
    """What is called after each commit: SQLite's write-ahead log is copied beside the commits, so that no
    answer waits for all of it."""
    if not isinstance(engine, SqliteEngine):
        return lambda: None
    sqlite = engine
    copying: list[asyncio.Future[None]] = []

    def pace_log() -> None:
        if sqlite.checkpoint_due and not copying:
            copying.append(asyncio.get_running_loop().run_in_executor(checkpointer, sqlite.checkpoint))
            copying[0].add_done_callback(log_copied)

    def log_copied(done: asyncio.Future[None]) -> None:
        copying.clear()
        if (error := done.exception()) is not None:
            log.error("write-ahead log not copied", error=str(error))

    return pace_log


def _beside(settings: Settings) -> Beside | None:
    """What goes with a ledger that others may have a part of. Raises LedgerUnavailable."""
    if not settings.ledger_place.is_postgres:
        return None
    from switch.server.forwarding_process import Beside  # here: it needs PostgreSQL's driver

    return Beside(settings)


def _archive_rules(settings: Settings, log: Log) -> None:
    """Copy what says how awards are taken back to the archive of the entries; the ledger isn't concerned."""
    assert settings.ledger.archive is not None, "there is an archive"
    try:
        bring_over(settings.ledger.archive / PAST_RULES, settings.data / PAST_RULES)
    except SettingsError as error:
        log.error("rules not archived", error=str(error), alarm=True)


def _archiving(settings: Settings, engine: Engine, log: Log) -> Archiving | None:
    directory = settings.ledger.archive
    return None if directory is None else Archiving(engine, settings.ledger_place.store(), directory, log)


async def write_checkpoint(
    engine: Engine,
    checkpoints: CheckpointFile | None,
    now_ms: int,
    registry: RegistryHead | None = None,
) -> None:
    """Append what the ledger looks like now; the ledger notes it, so that a cut file is noticed too. None:
    another process does.

    Raises LedgerUnavailable: the file can't be written, or it knows of more entries than the ledger has.
    Raises HsmError.
    """
    if checkpoints is None:
        return
    is_remote = getattr(engine, "is_remote", False)  # then the loop doesn't wait for it
    heads = await asyncio.to_thread(engine.heads) if is_remote else engine.heads()
    made = await asyncio.to_thread(checkpoints.append, heads, now_ms, registry)
    if made is not None:
        engine.note_checkpoint(made.number, made.mac)


def log_defect(log: Log, context: dict[str, Any]) -> None:
    """Tell what asyncio would print, as one line of the log and without any value."""
    error = context.get("exception")
    at = "" if error is None else where_of(error)
    log.error("defect", what=str(context.get("message", "")), error=type(error).__name__, at=at)


def _bind(listener: Listener, whose: str = "") -> socket.socket:
    """The listening socket, bound but not listening yet. whose: whose lines come there, empty for terminals'.
    Raises PortError."""
    try:
        [(family, kind, protocol, _name, address), *_] = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1)  # so that another process is refused the port from now on
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            choose = f"{whose}port" if whose else "port with --port"
            remedy = f"another process listens there; stop it or choose another {choose}"
        else:
            names = f"{whose}host and port" if whose else "listener.host and listener.port"
            remedy = f"check {names} in the settings"
        where = f"{listener.host}:{listener.port}"
        raise PortError(f"can't listen on {where} ({error.strerror or error}); {remedy}") from error
    bound.setblocking(False)
    return bound


def _tls(listener: Listener) -> ssl.SSLContext | None:
    """The context of a listener with a certificate. Raises StartError."""
    if listener.tls_certificate is None or listener.tls_key is None:
        return None
    try:
        return server_context(listener.tls_certificate, listener.tls_key, listener.tls_clients)
    except TlsError as error:
        raise StartError(str(error)) from error


def _handshakes(
    context: ssl.SSLContext | None,
    listener: Listener,
    connections: Connections,
    log: Log,
) -> Handshakes | None:
    """What stands before the connections of a listener with TLS: says why a peer got no line."""
    if context is None:
        return None
    lines = Allowance()

    def failed(peer: str, reason: str) -> None:
        left_out = lines.take(asyncio.get_running_loop().time())
        if left_out is not None:
            log.warning("TLS handshake failed", peer=peer, reason=reason, left_out=left_out)

    return Handshakes(context, listener.frame_timeout_s, connections.make, failed)


def _hsm_teller(log: Log) -> Callable[[str], None]:
    """Says when the HSM is gone and when it is back; of one that comes and goes all the time, a few."""
    lines = Allowance()

    def tell(why: str) -> None:
        left_out = lines.take(asyncio.get_running_loop().time())
        if left_out is None:
            return
        if why:
            log.error("HSM lost", reason=why, left_out=left_out)
        else:
            log.info("HSM connected again", left_out=left_out)

    return tell


def _lock(settings: Settings) -> TextIO:
    """The data directory for this process alone; the system lets go of it when the process ends, however it
    ends."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        file = settings.lock_path.open("a", encoding="ascii")
    except OSError as error:
        raise StartError(
            f"{settings.data}: can't be written ({error.strerror}); check its permissions"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StartError(
            f"{settings.data}: another switch serves this directory; stop it first or choose another --data"
        ) from error
    return file


async def _sweep(connections: Connections) -> None:
    while True:
        await asyncio.sleep(SWEEP_INTERVAL_S)
        connections.sweep()


async def _watch_certificates(settings: Settings, clock: SystemClock, log: Log) -> None:
    """Say once a day which of our certificates end soon."""
    listeners = [settings.listener, *(one.listener for one in settings.partners)]
    files = [file for one in listeners for file in (one.tls_certificate, one.tls_clients)]
    files.append(settings.hsm.tls_certificate)
    while True:
        for file in files:
            try:
                warning = None if file is None else expiry_warning(file, clock.local())
            except TlsError as error:
                warning = str(error)
            if warning is not None:
                log.warning("certificate", what=warning)
        await asyncio.sleep(CERTIFICATE_INTERVAL_S)


async def _watch_day(pipeline: Pipeline, confirmed: Path, clock: SystemClock, log: Log) -> None:
    """While the clock is not believed: say so, and look whether an operator says that it is right."""
    told_s = -float(DAY_ALARM_INTERVAL_S)
    while True:
        if pipeline.day_now() is None:
            if clock.monotonic() - told_s >= DAY_ALARM_INTERVAL_S:
                told_s = clock.monotonic()
                today = clock.local().date().isoformat()
                log.error(
                    "clock not believed, every request is refused with 91",
                    alarm=True,
                    clock=today,
                    remedy=f"set the clock; if it is right write {today} into {confirmed}",
                )
            if _confirm(pipeline, confirmed, log):
                told_s = -float(DAY_ALARM_INTERVAL_S)
        await asyncio.sleep(DAY_INTERVAL_S)


def _confirm(pipeline: Pipeline, confirmed: Path, log: Log) -> bool:
    if not confirmed.exists():
        return False
    try:
        text = confirmed.read_text(encoding="ascii").strip()
        confirmed.unlink()  # it counts once
        right = pipeline.confirm_day(date.fromisoformat(text))
    except (OSError, ValueError) as error:
        log.error("confirmed business date can't be read", error=type(error).__name__)
        return False
    log.warning("business date confirmed" if right else "confirmed business date is another", date=text)
    return right


async def _collect() -> None:
    while True:
        await asyncio.sleep(COLLECT_INTERVAL_S)
        gc.collect()


async def _checkpoint(
    engine: Engine,
    checkpoints: CheckpointFile | None,
    registered: Registered,
    clock: SystemClock,
    log: Log,
) -> None:
    while True:
        await asyncio.sleep(CHECKPOINT_INTERVAL_S)
        try:
            await write_checkpoint(engine, checkpoints, clock.now_ms(), registered.head)
        except (LedgerUnavailable, HsmError) as error:
            log.error("checkpoint not written", error=str(error))


def _raise_descriptor_limit() -> None:
    """A thousand connections need more than the usual 1024 descriptors; take what the system allows."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
