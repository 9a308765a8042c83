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
from switch.defaults import write_private
from terminal import keys
from terminal.settings import KEY_NAMES
from tools import firmware_source, fw_build, fw_flash, micropython
from tools.cli import CommandError, ExitCode, written_to
from tools.firmware_tree import Names
from tools.fw_profile import Profile

LONGEST_LINE: Final = 16 * 1024  # more without an end is noise
READ_BYTES: Final = 4096
HEAP: Final = "heapsize=512k"  # code and data on a 64-bit machine
MODULE: Final = "terminal.main"
_OTHER: Final = (ExitCode.CONFIGURATION, "stop the other one, or another terminal")
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


def check_free(identity: fw_flash.Identity, data: Path, to: Path) -> fw_flash.Identity:
    """Nothing is built or written for a terminal that runs, or into another one's directory: raises
    CommandError. The identity with what the directory has of it."""
    if Place(data, identity.terminal).is_in_use:
        raise CommandError(
            f"terminal {identity.terminal} of {data} runs; nothing was built or written", *_OTHER
        )
    with written_to(to, fw_flash.OTHER_TO):
        return fw_flash.with_what_is_there(identity, to)


def play(
    profile: Profile, built: Path, to: Path, data: Path, identity: fw_flash.Identity, count: int
) -> None:
    """Run it on this machine with simulated devices, and follow it. Raises CommandError."""
    whole = check_free(identity, data, to)
    settings = fw_flash.settings_for(profile, whole)
    if fw_flash.has_block(settings) and not fw_flash.has_block(identity.settings):
        # It was flashed into the directory; what runs is started from the switch's file, see Terminal.
        block = {name: settings[name] for name in KEY_NAMES}
        write_private(
            identity.source,
            json.dumps({**identity.settings, **block}, ensure_ascii=False, indent=1) + "\n",
        )
    place = Place(data, identity.terminal)
    try:
        given = fw_build.Given(fw_flash.without_block(settings))
        fw_flash.install(profile, built, given, to, typer.echo)
        if not any(held(place)):
            typer.echo(fw_flash.told_without_keys(identity.terminal))
        typer.echo(f"it keeps what it stores in {place.storage}, its ports are in {place.run}")
        asyncio.run(_play(profile, built, to, place, count))
    except (TerminalInUse, NoSuchTerminal) as error:
        raise CommandError(str(error), *_OTHER) from None
    except ProcessEnded as error:
        raise CommandError(str(error), ExitCode.NEGATIVE, "the last lines say why") from None


def held(place: Place) -> Iterator[bool]:
    """Of each place where a terminal that runs here can have its keys: whether they are there."""
    yield (place.storage / keys.FILE).is_file()
    for path in (place.given_settings, place.run / fw_build.SETTINGS_FILE):
        with contextlib.suppress(OSError, ValueError):
            yield fw_flash.has_block(json.loads(path.read_text("utf-8")))


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
