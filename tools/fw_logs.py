"""What a terminal says of itself, live: from a board's console, or from one that is a process here.

Events carry no card data; lines that are no events (the interpreter's own) are passed on as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from simulators.firmware import Interpreter, NoSuchTerminal, Options, Place, Terminal, TerminalInUse
from simulators.process import ProcessEnded
from tools import firmware_source, fw_build, fw_flash, micropython
from tools.cli import CommandError, ExitCode
from tools.firmware_tree import Names
from tools.fw_profile import Profile

LONGEST_LINE: Final = 16 * 1024  # more without an end is noise
READ_BYTES: Final = 4096
HEAP: Final = "heapsize=512k"  # code and data on a 64-bit machine
MODULE: Final = "terminal.main"
# Of an event, not shown among the rest of it.
KEPT_BACK: Final = ("frame", "event")


def as_text(line: str) -> str:
    """An event as people read it; other lines as they are."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict) or "event" not in event:
        return line
    match event["event"]:
        case "log":
            return f"{event.get('level', ''):<7} {event.get('what', '')}"
        case "screen":
            shown = " | ".join(str(text) for text in event.get("lines", []) if text)
            return f"screen  {event.get('name', '')}: {shown}"
        case kind:
            rest = {name: value for name, value in event.items() if name not in KEPT_BACK}
            return f"{kind:<7} {json.dumps(rest, ensure_ascii=False)}"


def lines(port: Path) -> Iterator[str]:
    """Whole lines of a board's console as they come. Raises CommandError."""
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise CommandError(
            f"{port}: can't be opened ({error.strerror})",
            ExitCode.NETWORK,
            "`mpremote devs` lists what is there",
        ) from None
    try:
        with contextlib.suppress(termios.error):
            tty.setraw(descriptor, termios.TCSANOW)
            settings = termios.tcgetattr(descriptor)
            settings[2] |= termios.CLOCAL | termios.CREAD
            settings[4] = settings[5] = termios.B115200
            termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        pending = b""
        while True:
            select.select([descriptor], [], [])
            try:
                data = os.read(descriptor, READ_BYTES)
            except OSError:
                data = b""
            if not data:
                raise CommandError(f"{port}: unplugged", ExitCode.NETWORK, "plug it in and begin again")
            *whole, pending = (pending + data).split(b"\n")
            pending = pending[-LONGEST_LINE:]
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")
    finally:
        os.close(descriptor)


def follow(port: Path, as_json: bool, count: int, names: Names) -> None:
    """Print events; `count` of them, or until somebody ends it. names: see firmware_source.restored."""
    for seen, said in enumerate(lines(port), start=1):
        line = firmware_source.restored(said, names)
        typer.echo(line if as_json else as_text(line))
        if seen == count:
            return


def play(profile: Profile, built: Path, to: Path, data: Path, terminal_id: str, count: int) -> None:
    """Run it on this machine with simulated devices, and follow it. Raises CommandError."""
    identity = fw_flash.identity_of(data, terminal_id)
    fw_flash.settings_for(profile, identity)
    try:
        fw_flash.install(profile, built, fw_build.Given(identity.settings), to, typer.echo)
        asyncio.run(_play(profile, built, to, Place(data, terminal_id), count))
    except (TerminalInUse, NoSuchTerminal) as error:
        raise CommandError(
            str(error), ExitCode.CONFIGURATION, "stop the other one, or another terminal"
        ) from None
    except ProcessEnded as error:
        raise CommandError(str(error), ExitCode.NEGATIVE, "the last lines say why") from None


async def _play(profile: Profile, built: Path, to: Path, place: Place, count: int) -> None:
    command = (str(micropython.provide()), "-X", HEAP, "-m", MODULE)
    directory = (to / fw_build.TREE).absolute()
    interpreter = Interpreter("micropython", command, directory, {"MICROPYPATH": ".frozen"})
    update: dict[str, Any] | None = profile.board_file("", "").get("update")
    options = Options(settings=dict(profile.settings), devices=dict(_simulated(profile)), update=update)
    terminal = Terminal(place, interpreter, options)
    names = fw_build.names_in(built)
    seen = 0
    enough = asyncio.Event()

    def said(line: str) -> None:
        nonlocal seen
        typer.echo(as_text(firmware_source.restored(line, names)))
        seen += 1
        if seen == count:
            enough.set()

    terminal.on_line = said
    typer.echo(f"service port: {place.service_bench}; swipe: vafa sim swipe --data {place.data}")
    try:
        await terminal.start()
        ended = asyncio.create_task(terminal.ended())
        stop = asyncio.create_task(enough.wait())
        await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if ended.done():
            raise CommandError(
                f"the firmware ended with {ended.result()}", ExitCode.NEGATIVE, "the last lines say why"
            )
        ended.cancel()
    finally:
        await terminal.stop()


def _simulated(profile: Profile) -> dict[str, str]:
    return {door: kind for door, kind in profile.kinds.items() if door not in ("display", "line")}
