"""`vafa demo`: one scripted visit through the real firmware, line, switch and HSM, each its own process.

Starts them, plays `simulators.visit`, prints what a cashier sees, and on request stays up. It decides nothing
itself: what has to come is the script's, what came is the firmware's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from simulators.cards import Deck
from simulators.drawing import Watcher, heading
from simulators.faults import FaultProxy
from simulators.firmware import ALL_DEVICES, Options, Place, Terminal, prepare_micropython
from simulators.flow_control import FlowControl
from simulators.hsm_process import HsmProcess
from simulators.issuing import issue_of, issued
from simulators.process import VAFA, Process, ProcessEnded
from simulators.switch_process import SwitchProcess
from simulators.visit import Step, play
from simulators.wallet import Wallet
from switch.settings import load_for
from tools import demo_hsm
from tools.cli import CommandError, ExitCode

DEFAULT_PORT: Final = 8583
ANY_PORT: Final = 0
TERMINAL: Final = "10000001"
# The scripted visit waits for one lost answer; fifteen seconds, the default, would only bore.
PROBE_SECONDS: Final = 2.0
# A simulated HSM that died is started again after so long: enough to see what a switch without one does.
HSM_PAUSE_SECONDS: Final = 10.0
ANSWER_TIMEOUT_MS: Final = 5000
REVERSAL_INTERVAL_MS: Final = 1000

TITLES: Final = {
    "activate": "activate the card",
    "earn": "earn on 2 500 000 rial",
    "balance": "balance",
    "redeem": "redeem 100 points",
    "earn_line_pulled": "earn on 2 500 000 rial, and the line is pulled before the answer",
    "reversal": "the line is back: the terminal takes the earn back",
}


# Lines of the switch's log that whoever watches the demo is told.
TOLD_OF_SWITCH: Final = {
    "HSM lost": "the switch has lost its HSM: it says 91 to everything until that is back",
    "HSM connected again": "the switch has its HSM again",
}


class Stack(NamedTuple):
    """What runs. hsm: the simulated one, when this directory's keys are in it, and the watch that starts it
    again."""

    hsm: HsmProcess | None
    hsm_watch: asyncio.Task[int] | None
    switch: SwitchProcess
    line: FaultProxy
    terminal: Terminal


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the visit.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Data directory, kept. Default: a temporary one, removed at the end.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the switch. Default: any with --once, else 8583."),
    ] = None,
) -> None:
    """Play one scripted visit: activate, earn, redeem, and an earn whose line is pulled.

    \b
    Examples:
      vafa demo --once           one visit, then stop
      vafa demo --data data      the same, then stay up for `vafa sim swipe --data data`
    """
    show = _Show(to_stderr=as_json)
    wanted = port if port is not None else ANY_PORT if once else DEFAULT_PORT
    try:
        with _data_directory(data) as directory:
            code = asyncio.run(_demo(directory, wanted, once, as_json, show))
    except ProcessEnded as error:
        raise CommandError(str(error), ExitCode.INTERNAL, "look at its last lines above") from None
    except TimeoutError as error:
        raise CommandError(str(error), ExitCode.NEGATIVE) from None
    raise typer.Exit(code)


class _Show:
    """Prints for people, line by line as it happens."""

    def __init__(self, to_stderr: bool) -> None:
        self._to_stderr = to_stderr

    def line(self, text: str = "") -> None:
        """One line, or a drawing of several."""
        with contextlib.suppress(BrokenPipeError):  # whoever read it has gone; the visit goes on
            typer.echo(text, err=self._to_stderr)

    def indented(self, text: str) -> None:
        """A line of another program's output."""
        self.line(f"    {text}")


async def _demo(data: Path, port: int, once: bool, as_json: bool, show: _Show) -> int:
    """The whole command; its exit code. The first signal ends it in order, in whatever phase it is."""
    task = asyncio.current_task()
    assert task is not None
    asked: list[bool] = []

    def stop() -> None:
        if not asked:
            asked.append(True)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        async with _running(data, port, show) as stack:
            code = await _visit(stack, as_json, show)
            if not once:
                with contextlib.suppress(asyncio.CancelledError):
                    await _stay(stack, show)
                show.line("\nstopping")
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED
    return code


async def _visit(stack: Stack, as_json: bool, show: _Show) -> int:
    settings, wallet = load_for(stack.switch.data, None), Wallet(stack.switch.data)
    [card] = await issued(settings, [Deck().draw()])
    wallet.put(card)
    wallet.keep(card, issue_of(settings))
    show.line(f"card {card.masked}")
    steps = await play(stack.terminal, stack.line, card, lambda name: show.line(heading(TITLES[name])))
    show.line(heading("the ledger audits itself"))
    verified = await _verify_ledger(stack.switch.data, show)
    if as_json:
        result = {"steps": [step.as_json() for step in steps], "ledger_verified": verified}
        typer.echo(json.dumps(result, ensure_ascii=False))
    return _judge(steps, verified, show)


def _judge(steps: Sequence[Step], verified: bool, show: _Show) -> int:
    show.line()
    wrong = [step for step in steps if not step.as_expected]
    for step in wrong:
        said = f"approved {step.approved}, code {step.response_code!r}, points {step.points!r}"
        show.line(f"not as expected: {step.name}: {said}, balance {step.balance!r}")
    if wrong or not verified:
        return ExitCode.NEGATIVE
    show.line(f"all {len(steps)} steps as expected, ledger verified")
    return ExitCode.OK


async def _verify_ledger(data: Path, show: _Show) -> bool:
    process = await Process.start(
        "vafa ledger verify",
        [*VAFA, "ledger", "verify", "--data", str(data)],
        on_stdout=show.indented,
        on_stderr=show.indented,
    )
    return await process.wait() == ExitCode.OK


async def _stay(stack: Stack, show: _Show) -> None:
    """Stay up until cancelled. Raises ProcessEnded when a part ends by itself."""
    data = stack.switch.data
    show.line(heading("staying up, Ctrl-C stops"))
    show.line(f"  switch     {stack.switch.host}:{stack.switch.port}, process {stack.switch.pid}")
    if stack.hsm is not None:
        box = f"{demo_hsm.HOST}:{stack.hsm.port}, process {stack.hsm.pid}, simulated, over TLS"
        show.line(f"  HSM        {box}; vafa hsm status --data {data / demo_hsm.DIRECTORY}")
    show.line(f"  data       {data}")
    show.line(
        f"  terminal   {stack.terminal.place.terminal_id}, ready for the next card; from another window:"
    )
    show.line(f"  swipe      vafa sim swipe --data {data}")
    show.line(f'  keys       vafa sim keys --data {data} "2500000#"')
    ends = {
        asyncio.create_task(stack.switch.ended()): stack.switch.explain,
        asyncio.create_task(stack.terminal.ended()): stack.terminal.explain,
    }
    if stack.hsm is not None and stack.hsm_watch is not None:
        ends[stack.hsm_watch] = stack.hsm.explain
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    for end in done:
        raise ProcessEnded(ends[end](f"ended by itself with code {end.result()}"))


@contextlib.asynccontextmanager
async def _running(data: Path, port: int, show: _Show) -> AsyncIterator[Stack]:
    """Everything started; everything stopped again in reverse order, whatever happens."""
    place = Place(data, TERMINAL)
    _refuse_taken_directory(place)
    port = _free_port(port, show)
    interpreter = await asyncio.to_thread(prepare_micropython)
    async with contextlib.AsyncExitStack() as cleanup:
        hsm = await _hsm(cleanup, data)
        watch = None if hsm is None else asyncio.create_task(_keep_up(hsm, show))
        switch = SwitchProcess(data, port, _switch_teller(show))
        cleanup.push_async_callback(switch.stop)
        if watch is not None:
            cleanup.push_async_callback(_cancelled, watch)  # or it would start again what is stopped next
        await switch.start()
        line = FaultProxy(switch.host, switch.port)
        cleanup.push_async_callback(line.stop)
        await line.start()
        settings = {
            "host": "127.0.0.1",
            "port": line.port,
            "answer_timeout_ms": ANSWER_TIMEOUT_MS,
            "reversal_interval_ms": REVERSAL_INTERVAL_MS,
        }
        options = Options(settings, reader_is_process=True, devices=ALL_DEVICES)
        terminal = Terminal(place, interpreter, options)
        watcher = Watcher(show.line, lambda: terminal.printer.picture)
        terminal.on_screen = watcher.screen
        terminal.on_receipt = watcher.receipt
        cleanup.push_async_callback(terminal.stop)
        box = "" if hsm is None else f", HSM simulator on {demo_hsm.HOST}:{hsm.port}"
        show.line(f"switch on {switch.host}:{switch.port}{box}, terminal {TERMINAL} under {interpreter.name}")
        await terminal.start()
        served = FlowControl(terminal)
        cleanup.push_async_callback(served.stop)
        await served.start()
        yield Stack(hsm, watch, switch, line, terminal)


async def _hsm(cleanup: contextlib.AsyncExitStack, data: Path) -> HsmProcess | None:
    """The simulated HSM of this directory, running; None when the directory's keys are elsewhere."""
    if not demo_hsm.works_here(data):
        return None
    return await cleanup.enter_async_context(demo_hsm.running(data))


async def _cancelled(task: asyncio.Task[int]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _keep_up(hsm: HsmProcess, show: _Show) -> int:
    """Say when the box ended, start it again after a pause. Raises ProcessEnded when it doesn't start."""
    while True:
        code = await hsm.ended()
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        show.line(f"the HSM simulator ended {how}; it is started again in {HSM_PAUSE_SECONDS:g} s")
        await asyncio.sleep(HSM_PAUSE_SECONDS)
        await hsm.start()
        show.line(f"the HSM simulator is back on {demo_hsm.HOST}:{hsm.port}, process {hsm.pid}")


def _switch_teller(show: _Show) -> Callable[[str], None]:
    """Hears the switch's log, shows the few lines that say why transactions fail."""

    def hear(line: str) -> None:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") in TOLD_OF_SWITCH:
                show.line(TOLD_OF_SWITCH[event["event"]])

    return hear


def _refuse_taken_directory(place: Place) -> None:
    """A second switch would take the ledger over from the first: look before anything is started."""
    if place.is_in_use:
        raise CommandError(
            f"another demo runs with the data directory {place.data}",
            ExitCode.CONFIGURATION,
            f"vafa sim swipe --data {place.data} talks to it; or choose another --data",
        )
    with contextlib.suppress(OSError, ValueError):
        port = int((place.data / "switch.port").read_text("ascii"))
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS):
            raise CommandError(
                f"a switch runs with the data directory {place.data}, on port {port}",
                ExitCode.CONFIGURATION,
                f"vafa sim terminal --data {place.data} uses it; or choose another --data",
            )


def _free_port(port: int, show: _Show) -> int:
    """The port wanted, or any when the default one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            if port != DEFAULT_PORT:
                raise CommandError(
                    f"port {port} is taken by another process",
                    ExitCode.NETWORK,
                    "another --port; 0 takes any",
                ) from None
            show.line(f"note: port {port} is taken (another switch?), so any free port is used")
            return ANY_PORT
    return port


@contextlib.contextmanager
def _data_directory(data: Path | None) -> Iterator[Path]:
    """The directory given, made when missing; or a temporary one that is removed at the end."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="vafa-demo-") as directory:
            yield Path(directory)
        return
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{data}: can't be made ({error.strerror})", ExitCode.CONFIGURATION, "another --data"
        ) from None
    yield data.absolute()  # the processes started here stand elsewhere
