"""A magnetic stripe reader on a serial line: keyboard-style ASCII, `%track 1?L;track 2?L` and a carriage
return, at 9600 8N1, torn, late or corrupt on demand.

`SwipeFaults` and `schedule` are pure: a seed gives the same bytes and pauses. `MagstripeReader` plays them
on a pty; run as a module it is a process of its own, told by its control socket when a card passes. It
never logs a card number in clear.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from simulators.cards import Card
from simulators.control import ControlServer, JsonObject
from simulators.readers.tracks import TRACK_1, TRACK_2, Tracks, lrc, tracks_of
from simulators.serial_port import PACE_9600_8N1, SerialPort

END_OF_SWIPE: Final = b"\r"
FAILED_READ: Final = "%E?;E?"
OVER_LONG_CHARACTERS: Final = 300  # several times the longest track, and more than a driver may want to keep
DEFAULT_TEAR_MS: Final = 20


class Corruption(StrEnum):
    """What can be wrong with the bytes of a swipe. Each kind spoils both tracks: none may be accepted."""

    BAD_LRC = "bad_lrc"
    FLIPPED_BIT = "flipped_bit"
    NOISE = "noise"
    GARBAGE = "garbage"
    NO_END_SENTINEL = "no_end_sentinel"
    OVER_LONG = "over_long"
    CUT_SHORT = "cut_short"
    FAILED_READ = "failed_read"


@dataclass(frozen=True, slots=True)
class SwipeFaults:
    """How a swipe goes wrong.

    tear: number of pauses of `tear_ms` at places the seed chooses; delay_ms: before the first byte;
    corrupt: a Corruption, or None.
    """

    tear: int = 0
    tear_ms: int = DEFAULT_TEAR_MS
    delay_ms: int = 0
    corrupt: Corruption | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tear", "tear_ms", "delay_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    @classmethod
    def drawn(cls, seed: int) -> SwipeFaults:
        """Faults chosen by `seed` alone."""
        choice = random.Random(seed)
        return cls(
            tear=choice.randrange(6),
            tear_ms=choice.choice((1, 10, DEFAULT_TEAR_MS)),
            delay_ms=choice.choice((0, 0, 50)),
            corrupt=choice.choice([None, *Corruption]),
            seed=seed,
        )

    @classmethod
    def from_json(cls, options: object) -> SwipeFaults:
        """From a request's "faults" object; ValueError says what is wrong with it."""
        if options is None:
            return cls()
        if not isinstance(options, dict):
            raise ValueError("faults must be an object")
        known = dict(options)
        corrupt = known.pop("corrupt", None)
        numbers: dict[str, int] = {}
        for name in ("tear", "tear_ms", "delay_ms", "seed"):
            value = known.pop(name, None)
            if value is not None:
                if not isinstance(value, int) or isinstance(value, bool):
                    raise ValueError(f"faults.{name} must be a whole number")
                numbers[name] = value
        if known:
            raise ValueError(
                f"unknown fault {sorted(known)[0]!r}; known: tear, tear_ms, delay_ms, corrupt, seed"
            )
        return cls(corrupt=None if corrupt is None else corruption_named(corrupt), **numbers)


class Step(NamedTuple):
    """Wait `pause_ms`, then send `data`."""

    pause_ms: int
    data: bytes


class Swipe(NamedTuple):
    """What went over the line: the masked card number, how many bytes, and the corruption."""

    card: str
    sent_bytes: int
    corrupt: str | None


class Reader(Protocol):
    """A reader a card can be swiped through, in this process or another."""

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe:
        """Pass `card`; returns when the last byte is on the line."""


def corruption_named(name: object) -> Corruption:
    """The Corruption called `name`; ValueError lists the names."""
    try:
        return Corruption(str(name))
    except ValueError:
        known = ", ".join(Corruption)
        raise ValueError(f"unknown corruption {str(name)[:20]!r}; known: {known}") from None


def swipe_bytes(card: Card, corrupt: Corruption | None, choice: random.Random) -> bytes:
    """All bytes of one swipe."""
    tracks = tracks_of(card)
    if corrupt is None:
        return "".join(tracks).encode() + END_OF_SWIPE
    return _spoiled(tracks, corrupt, choice)


def schedule(card: Card, faults: SwipeFaults) -> list[Step]:
    """The swipe as steps; the same card and faults give the same steps."""
    choice = random.Random(faults.seed)
    data = swipe_bytes(card, faults.corrupt, choice)
    cuts = sorted(choice.sample(range(1, len(data)), min(faults.tear, len(data) - 1)))
    steps = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        steps.append(Step(faults.tear_ms if start else faults.delay_ms, data[start:end]))
    return steps


def _spoiled(tracks: Tracks, corrupt: Corruption, choice: random.Random) -> bytes:
    match corrupt:
        case Corruption.FAILED_READ:
            return FAILED_READ.encode() + END_OF_SWIPE
        case Corruption.GARBAGE:
            return _noise(choice, choice.randrange(1, OVER_LONG_CHARACTERS)) + END_OF_SWIPE
        case Corruption.CUT_SHORT:
            return tracks.track_1[: choice.randrange(1, len(tracks.track_1) - 2)].encode()
    return b"".join(_spoiled_track(track, corrupt, choice) for track in tracks) + END_OF_SWIPE


def _spoiled_track(track: str, corrupt: Corruption, choice: random.Random) -> bytes:
    alphabet = TRACK_1 if track.startswith(TRACK_1.start_sentinel) else TRACK_2
    body, old_lrc = track[:-1], track[-1]
    match corrupt:
        case Corruption.BAD_LRC:
            wrong = (alphabet.value(old_lrc) + choice.randrange(1, alphabet.values)) % alphabet.values
            return (body + chr(ord(alphabet.first) + wrong)).encode()
        case Corruption.FLIPPED_BIT:
            data = bytearray(track.encode())
            data[choice.randrange(1, len(body) - 1)] ^= 1 << choice.randrange(8)
            return bytes(data)
        case Corruption.NOISE:
            place = choice.randrange(1, len(body))
            return body[:place].encode() + _noise(choice, choice.randrange(1, 8)) + track[place:].encode()
        case Corruption.NO_END_SENTINEL:
            return body[:-1].encode()
        case _:
            assert corrupt is Corruption.OVER_LONG, corrupt
            text = body[:-1] + "0" * OVER_LONG_CHARACTERS + body[-1]
            return (text + lrc(alphabet, text)).encode()


def _noise(choice: random.Random, count: int) -> bytes:
    # The top bit is set: a byte no track can hold, so noise never reads as another card.
    return bytes(0x80 | choice.randrange(128) for _ in range(count))


class MagstripeReader:
    """The reader at its pty, linked at `link`, sending at `bytes_per_second` (0: as fast as possible)."""

    def __init__(self, link: Path, bytes_per_second: int = PACE_9600_8N1) -> None:
        self._port = SerialPort(link)
        self._pace = bytes_per_second
        self._passing = asyncio.Lock()

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe:
        """Pass `card`; a second card waits until the first has passed."""
        faults = faults or SwipeFaults()
        sent_bytes = 0
        async with self._passing:
            for step in schedule(card, faults):
                if step.pause_ms:
                    await asyncio.sleep(step.pause_ms / 1000)
                await self._port.send(step.data, self._pace)
                sent_bytes += len(step.data)
        return Swipe(card.masked, sent_bytes, faults.corrupt)

    async def control(self, request: JsonObject) -> JsonObject:
        """Serve one request of the control socket: {"do": "swipe", "card", "expiry"?, "name"?, "faults"?}."""
        if request.get("do") != "swipe":
            raise ValueError('unknown request; known: {"do": "swipe", "card": "digits"}')
        swipe = await self.swipe(card_of_request(request), SwipeFaults.from_json(request.get("faults")))
        return {"card": swipe.card, "sent_bytes": swipe.sent_bytes, "corrupt": swipe.corrupt}


def swipe_request(card: Card, faults: SwipeFaults | None) -> JsonObject:
    """The control request that passes `card`."""
    request: JsonObject = {
        "do": "swipe",
        "card": card.number,
        "expiry": card.expiry,
        "name": card.name,
        "service_code": card.service_code,
        "discretionary": card.discretionary,
    }
    if faults is not None:
        request["faults"] = {name: value for name, value in asdict(faults).items() if value is not None}
    return request


def card_of_request(request: JsonObject) -> Card:
    """The card of `swipe_request`. Raises ValueError."""
    number = request.get("card")
    if not (isinstance(number, str) and number.isascii() and number.isdigit() and 8 <= len(number) <= 19):
        raise ValueError("card must be a string of 8-19 digits")
    texts: dict[str, str] = {}
    for name in ("expiry", "name", "service_code", "discretionary"):
        value = request.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise ValueError(f"{name} must be a string")
            texts[name] = value
    return Card(number, **texts)


async def serve(link: Path, control: Path, bytes_per_second: int, stopped: asyncio.Event) -> None:
    """Run a reader with its control socket until `stopped`; says on stdout, as JSON lines, when it is ready
    and what passes (masked)."""
    reader = MagstripeReader(link, bytes_per_second)

    async def handle(request: JsonObject) -> JsonObject:
        answer = await reader.control(request)
        _say({"event": "swipe", **answer})
        return answer

    server = ControlServer(control, handle)
    reader.open()
    try:
        await server.start()
        _say({"event": "ready", "link": str(link), "control": str(control)})
        await stopped.wait()
    finally:
        await server.stop()
        reader.close()


def _say(event: JsonObject) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(event), flush=True)


async def _serve_until_signal(link: Path, control: Path, bytes_per_second: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await serve(link, control, bytes_per_second, stopped)


def run(link: Path, control: Path, bytes_per_second: int = PACE_9600_8N1) -> None:
    """Be a reader process until SIGINT or SIGTERM."""
    asyncio.run(_serve_until_signal(link, control, bytes_per_second))


def main(arguments: list[str] | None = None) -> int:
    """Command line of the reader process."""
    parser = argparse.ArgumentParser(prog="simulators.readers.magstripe", description=__doc__)
    parser.add_argument("--link", type=Path, required=True, help="where the firmware opens the serial line")
    parser.add_argument("--control", type=Path, required=True, help="unix socket that takes requests")
    parser.add_argument(
        "--pace", type=int, default=PACE_9600_8N1, help="bytes a second, 0: as fast as possible (default 960)"
    )
    options = parser.parse_args(arguments)
    try:
        run(options.link, options.control, options.pace)
    except OSError as error:
        print(f"the reader cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
