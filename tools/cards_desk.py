"""What the card desk does with a chip card in its reader, and with a stripe in its writer.

Conversations with a chip are generators, as in `terminal.drivers.chip_card`: they yield commands and are sent
answers, and know no reader. Card numbers, PINs and keys are never told or kept.
"""

from __future__ import annotations

import os
import select
import termios
import time
import tty
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from switch.hsm.crypto.card_loading import CHALLENGE_BYTES, Load, sealed
from terminal.drivers.chip_card import (
    CHIP_APPLICATION,
    PROOF_BYTES,
    CardError,
    read_binary,
    read_chip,
    select_application,
    select_file,
    told,
    transmit,
)
from terminal.drivers.stripe_writer import CardRead, Failed, Ready, StripeWriter, SwipeAgain, Verified
from tools.cli import CommandError, ExitCode

Result = TypeVar("Result")
Talk = Generator[bytes, bytes, Result]

_MEMBER_FILE = b"\x00\x02"
_STORE = b"\x80\xe2"
PROOF_CHALLENGE_BYTES = 16
LOOK_S = 0.1  # so often a reader is asked whether a card is in

# What a reader or card that doesn't do it asks of whoever stands before it.
_CARD_NEXT = {
    "identity": "a chip card of the program is needed; a blank one has to be personalized first",
    "length": "put the card in again; when it stays so, take another card",
}


class Personal(NamedTuple):
    """All that one chip card is loaded with. member: what merchants may read; pin: digits, empty for a card
    without; counter: that its cryptograms begin after."""

    identifier: bytes
    track_2: str
    authentication: bytes
    proof: bytes
    pin: str = ""
    member: bytes = b"\x01fa"
    counter: int = 0

    def __repr__(self) -> str:
        return "Personal(hidden)"


class Connection(Protocol):
    """A chip card in a reader. Raises CommandError when it is gone."""

    def exchange(self, command: bytes) -> bytes: ...


# ---------------------------------------------------------------- chip cards


def identity_of(personal: Personal) -> bytes:
    """File 01: version, identifier, packed digits of track 2 with their length."""
    digits = personal.track_2.replace("=", "D")
    packed = bytes.fromhex(digits + "F" * (len(digits) % 2))
    return b"\x01" + personal.identifier + bytes((len(packed),)) + packed


def loads_of(personal: Personal) -> list[tuple[Load, bytes]]:
    """What a blank is loaded with, in this order. What makes it a card comes last: one that is torn out
    before stays a blank."""
    loads = [
        (Load.AUTHENTICATION_KEY, personal.authentication),
        (Load.PROOF_KEY, personal.proof),
        (Load.MEMBER, personal.member),
        (Load.COUNTER, personal.counter.to_bytes(4)),
    ]
    if personal.pin:
        loads.append((Load.PIN, bytes.fromhex(f"2{len(personal.pin):X}{personal.pin}".ljust(16, "F"))))
    return [*loads, (Load.IDENTITY, identity_of(personal)), (Load.FINISH, b"")]


def personalize(batch_key: bytes, personal: Personal) -> Talk[None]:
    """Load a blank. It can be begun again on the same card until the last load is in."""
    yield from select_application(CHIP_APPLICATION)
    for kind, data in loads_of(personal):
        challenge = yield from told(b"\x00\x84\x00\x00" + bytes((CHALLENGE_BYTES,)))
        load = sealed(batch_key, challenge, kind, data)
        yield from told(_STORE + bytes((kind, 0, len(load))) + load)


class Seen(NamedTuple):
    """What anybody may read of a card."""

    number: str
    member: bytes

    def __repr__(self) -> str:
        return "Seen(hidden)"


def read() -> Talk[Seen]:
    """Who a chip card says it is."""
    number: str = yield from read_chip()
    yield from select_file(_MEMBER_FILE)
    head = yield from read_binary(0, 1)
    member = b""
    if head and head[0]:
        member = yield from read_binary(1, head[0])
    return Seen(number, member)


def say(challenge: bytes) -> Talk[tuple[int, bytes]]:
    """The card's counter and cryptogram."""
    yield from read_chip()
    command = b"\x00\x88\x00\x00" + bytes((len(challenge),)) + challenge + b"\x00"
    said = yield from told(command)
    if len(said) != PROOF_BYTES:
        raise CardError("length")
    return int.from_bytes(said[:4]), said[4:]


def first_step() -> Talk[bytes]:
    """The card's enciphered random number: AuthenticateEV2First begins."""
    yield from read_chip()
    enciphered: bytes = yield from told(b"\x00\x88\x00\x00\x00")
    return enciphered


def second_step(to_card: bytes) -> Talk[bytes]:
    """The card's reply to the HSM's answer; empty when the card doesn't believe it."""
    command = b"\x00\x82\x00\x00" + bytes((len(to_card),)) + to_card + b"\x00"
    reply, status = yield from transmit(command)
    return reply if status == 0x9000 else b""


def has(card: Connection, talk: Talk[Result]) -> Result:
    """What a conversation with this card comes to. Raises CommandError."""
    try:
        command = next(talk)
        while True:
            command = talk.send(card.exchange(command))
    except StopIteration as end:
        result: Result = end.value
        return result
    except CardError as error:
        status = f" (status {error.status:04X})" if error.status else ""
        raise CommandError(
            f"the card says what it shouldn't: {error.what}{status}",
            ExitCode.NEGATIVE,
            _CARD_NEXT.get(error.what, "another kind of card, another batch's blank, or one that is done"),
        ) from None


# ---------------------------------------------------------------- PC/SC


class PcscCard:
    """A card in a PC/SC reader, through pcscd. Raises CommandError."""

    def __init__(self, reader: str | None, wait_s: float) -> None:
        chosen = _reader_named(reader)
        from smartcard.Exceptions import NoCardException

        self._connection = chosen.createConnection()
        deadline = time.monotonic() + wait_s
        while True:
            try:
                self._connection.connect()
                return
            except NoCardException:
                if time.monotonic() >= deadline:
                    raise CommandError(
                        f"{chosen}: no card in {wait_s:g} s", ExitCode.NETWORK, "put a card in"
                    ) from None
                time.sleep(LOOK_S)
            except Exception as error:  # pyscard has a dozen kinds of its own for a card that doesn't answer
                raise _card_gone(error) from None

    def exchange(self, command: bytes) -> bytes:
        try:
            data, high, low = self._connection.transmit(list(command))
        except Exception as error:  # as above
            raise _card_gone(error) from None
        return bytes((*data, high, low))

    def close(self) -> None:
        self._connection.disconnect()


def readers() -> list[str]:
    """Names of the readers that pcscd knows. Raises CommandError."""
    try:
        from smartcard.Exceptions import SmartcardException
        from smartcard.System import readers as known
    except ImportError:
        raise _not_built() from None
    try:
        return [str(one) for one in known()]
    except SmartcardException:
        raise CommandError(
            "pcscd doesn't answer", ExitCode.CONFIGURATION, "apt-get install pcscd; systemctl start pcscd"
        ) from None


def _reader_named(name: str | None) -> Any:
    known = readers()
    matching = [one for one in known if name is None or name in one]
    if not matching:
        which = f"no reader named {name!r}" if name else "no reader"
        raise CommandError(which, ExitCode.NETWORK, "vafa cards readers")
    if len(matching) > 1:
        raise CommandError(f"several readers: {', '.join(matching)}", ExitCode.USAGE, "choose with --reader")
    from smartcard.System import readers as objects

    return next(one for one in objects() if str(one) == matching[0])


def _not_built() -> CommandError:
    return CommandError(
        "pyscard is not there",
        ExitCode.CONFIGURATION,
        "apt-get install libpcsclite-dev swig gcc python3-dev, then make setup",
    )


def _card_gone(error: Exception) -> CommandError:
    return CommandError(
        f"the card doesn't answer ({type(error).__name__}: {error})",
        ExitCode.NETWORK,
        "put it in again, chip up",
    )


# ---------------------------------------------------------------- stripes


class Port:
    """A serial line to a card writer, 9600 8N1."""

    def __init__(self, path: Path) -> None:
        try:
            self._line = os.open(path, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise CommandError(
                f"{path}: can't be opened ({error.strerror})", ExitCode.NETWORK, "--port of the card writer"
            ) from None
        tty.setraw(self._line)
        settings = termios.tcgetattr(self._line)
        settings[4] = settings[5] = termios.B9600
        termios.tcsetattr(self._line, termios.TCSANOW, settings)

    def write(self, data: bytes) -> None:
        os.write(self._line, data)

    def read(self, wait_s: float) -> bytes:
        ready, _, _ = select.select([self._line], [], [], wait_s)
        return os.read(self._line, 512) if ready else b""

    def close(self) -> None:
        os.close(self._line)


class Stripes:
    """A card writer at a port, asked for one thing after the other. Raises CommandError."""

    def __init__(self, port: Port, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._clock = clock
        self._driver: Any = StripeWriter()
        self._events: list[Any] = []
        self._driver.begin(self._now_ms())
        ready = self._event()
        if not isinstance(ready, Ready):
            raise _stripe_failed(ready)

    def write(self, tracks: tuple[str | None, str | None, str | None], say: Callable[[str], None]) -> None:
        """Write a card, and read it back by another swipe."""
        say("draw the card through the writer")
        self._driver.write(tracks, self._now_ms())
        while True:
            event = self._event()
            if isinstance(event, SwipeAgain):
                say("once more, to read it back")
            elif isinstance(event, Verified):
                return
            else:
                raise _stripe_failed(event)

    def read(self, say: Callable[[str], None]) -> tuple[str | None, ...]:
        """The tracks of a card."""
        say("draw the card through the reader")
        self._driver.read(self._now_ms())
        event = self._event()
        if not isinstance(event, CardRead):
            raise _stripe_failed(event)
        return tuple(event.tracks)

    def _event(self) -> Any:
        while not self._events:
            out = self._driver.to_send()
            if out:
                self._port.write(out)
            deadline_ms = self._driver.deadline_ms()
            wait_s = 1.0 if deadline_ms is None else max(0.0, (deadline_ms - self._now_ms()) / 1000)
            data = self._port.read(wait_s)
            now_ms = self._now_ms()
            self._events += self._driver.feed(data, now_ms) if data else self._driver.tick(now_ms)
        return self._events.pop(0)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _stripe_failed(event: object) -> CommandError:
    reason = event.reason if isinstance(event, Failed) else "lying"
    written = isinstance(event, Failed) and event.written
    held = "; what is on the card now is not known" if written else "; nothing was written"
    return CommandError(f"card writer: {reason}{held}", ExitCode.NEGATIVE, "do it again with this card")
