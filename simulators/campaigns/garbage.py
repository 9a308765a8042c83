"""Garbage on the switch's port: random bytes, half frames, impossible lengths, a forged message, a
thousand idle
connections, while a terminal goes on trading.

Run: `python -m simulators.campaigns.garbage --attacks 200 --idle 1000 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from simulators.cards import Card, Deck, leaks
from simulators.cashier import Cashier
from simulators.faults import framed
from simulators.firmware import Interpreter, Options, Place, Terminal, prepare_micropython
from simulators.issuing import issued
from simulators.switch_process import SwitchProcess
from switch import iso8583
from switch.defaults import DEMO_ACCEPTOR, create_defaults
from switch.iso8583 import Message
from switch.settings import load_for

TRADING_TERMINAL: Final = "10000001"
FORGED_TERMINAL: Final = "10000002"
# Shorter than a real switch's, so that half frames and idle connections are noticed while we watch.
FRAME_TIMEOUT_S: Final = 1
IDLE_TIMEOUT_S: Final = 5
PATIENCE_SECONDS: Final = 120.0
SPARE_DESCRIPTORS: Final = 200
EARN_AMOUNT: Final = 1_000_000


class Attack(NamedTuple):
    """Bytes for one connection, which then stays open and silent, or hangs up."""

    name: str
    data: bytes
    hangs_up: bool = False


@dataclass(slots=True)
class Summary:
    """What happened. `problems` is empty when everything was as it must be."""

    attacks: int = 0
    idle_connections: int = 0
    earns_approved: int = 0
    log_lines: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.attacks} attacks, {self.idle_connections} idle connections,"
            f" {self.earns_approved} earns approved meanwhile, {self.log_lines} log lines,"
            f" {len(self.problems)} problems"
        )


def attacks(seed: int, count: int, card: Card) -> list[Attack]:
    """`count` attacks, the kinds in turn; the same seed gives the same bytes."""
    choice = random.Random(seed)
    kinds: tuple[Callable[[random.Random, Card], Attack], ...] = (
        _random_bytes,
        _half_frame,
        _half_frame_and_gone,
        _longest_length,
        _too_short,
        _other_protocol,
        _broken_message,
        _unknown_terminal,
        _forged_message,
    )
    return [kinds[number % len(kinds)](choice, card) for number in range(count)]


def _random_bytes(choice: random.Random, card: Card) -> Attack:
    # Not two zero bytes in front: that is a keep-alive, and no garbage.
    return Attack(
        "random bytes", bytes((choice.randrange(1, 256),)) + choice.randbytes(choice.randrange(3000))
    )


def _half_frame(choice: random.Random, card: Card) -> Attack:
    whole = framed(_earn(choice, card, FORGED_TERMINAL))
    return Attack("half a frame", whole[: choice.randrange(1, len(whole))])


def _half_frame_and_gone(choice: random.Random, card: Card) -> Attack:
    return Attack("half a frame, then gone", _half_frame(choice, card).data, hangs_up=True)


def _longest_length(choice: random.Random, card: Card) -> Attack:
    return Attack("length 65535", b"\xff\xff" + choice.randbytes(choice.randrange(100)))


def _too_short(choice: random.Random, card: Card) -> Attack:
    return Attack("length 1 to 9", bytes((0, choice.randrange(1, 10))) + choice.randbytes(10))


def _other_protocol(choice: random.Random, card: Card) -> Attack:
    request = f"GET /?card={card.number} HTTP/1.1\r\nHost: switch\r\n\r\n"
    return Attack("another protocol", request.encode())


def _broken_message(choice: random.Random, card: Card) -> Attack:
    message = bytearray(_earn(choice, card, FORGED_TERMINAL))
    message[2:10] = choice.randbytes(8)  # the bitmap: fields that are not there, or not known
    message[2] |= 0x80
    return Attack("a broken message", framed(bytes(message)))


def _unknown_terminal(choice: random.Random, card: Card) -> Attack:
    return Attack("an unknown terminal", framed(_earn(choice, card, "99999999")))


def _forged_message(choice: random.Random, card: Card) -> Attack:
    return Attack("a forged MAC", framed(_earn(choice, card, FORGED_TERMINAL)))


def _earn(choice: random.Random, card: Card, terminal: str) -> bytes:
    """A well-formed earn whose MAC is a guess."""
    fields: dict[str, str | bytes] = {
        "2": card.number,
        "3": "210060",
        "4": f"{EARN_AMOUNT:012d}",
        "11": f"{choice.randrange(1, 1_000_000):06d}",
        "12": "120000",
        "13": "0101",
        "22": "021",
        "41": terminal,
        "42": DEMO_ACCEPTOR,
        "49": "364",
        "60": "000001",
        "64": choice.randbytes(8),
    }
    return iso8583.load("vafa").encode(Message("0200", dict(fields)))


class _Log:
    """The switch's log: all lines, and how many name which peer; warnings also by themselves."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.by_peer: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self._more = asyncio.Event()

    def line(self, line: str) -> None:
        """Take one line."""
        self.lines.append(line)
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "peer" in event:
                self.by_peer[str(event["peer"])] += 1
                self.warnings[str(event["peer"])] += event.get("level") == "warning"
        self._more.set()

    async def names_all(self, peers: set[str]) -> None:
        """Returns when each of the peers has been named."""
        while not peers <= self.by_peer.keys():
            self._more.clear()
            await self._more.wait()


async def run(
    data: Path, interpreter: Interpreter, attack_count: int = 200, idle_count: int = 1000, seed: int = 1
) -> Summary:
    """Flood a fresh switch on `data` while one terminal trades; what came of it."""
    _raise_descriptor_limit(idle_count + attack_count + SPARE_DESCRIPTORS)
    _write_settings(data)
    log, summary, stopped = _Log(), Summary(), asyncio.Event()
    switch = SwitchProcess(data, on_log=log.line)
    terminal = Terminal(Place(data, TRADING_TERMINAL), interpreter, Options(reader_pace=0))
    victim, customer = await issued(load_for(data, None), Deck(seed).hand(2))
    with contextlib.ExitStack() as open_connections:
        try:
            await switch.start()
            await terminal.start()
            cashier = Cashier(terminal)
            await cashier.wait_until_idle()
            await cashier.activate(customer)
            trading = asyncio.create_task(_trade(cashier, customer, summary, stopped))
            idle = [await _attack(switch, Attack("idle", b""), open_connections) for _ in range(idle_count)]
            summary.idle_connections = len(idle)
            attackers = []
            for attack in attacks(seed, attack_count, victim):
                attackers.append(await _attack(switch, attack, open_connections))
                summary.attacks += 1
            async with asyncio.timeout(PATIENCE_SECONDS):
                await log.names_all({*attackers, *idle})
            stopped.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await trading
        finally:
            await terminal.stop()
            if switch.is_running:
                await switch.stop()
    summary.log_lines = len(log.lines)
    summary.problems += terminal.faults
    summary.problems += _log_problems(log, set(attackers), set(idle), [victim, customer])
    return summary


async def _trade(cashier: Cashier, card: Card, summary: Summary, stopped: asyncio.Event) -> None:
    """Earn after earn, and one more after `stopped`: the switch still serves."""
    ending = False
    while not ending:
        ending = stopped.is_set()
        visit = await cashier.earn(card, EARN_AMOUNT)
        earn = visit.of("earn") or visit.of("last")
        if earn is None or not earn.approved:
            summary.problems.append(f"an earn was not approved during the flood: {visit.transactions}")
        else:
            summary.earns_approved += 1


async def _attack(switch: SwitchProcess, attack: Attack, open_connections: contextlib.ExitStack) -> str:
    """Connect, send, stay or go; the name under which the switch knows the connection."""
    _reader, writer = await asyncio.open_connection(switch.host, switch.port)
    open_connections.callback(writer.close)
    host, port = writer.get_extra_info("sockname")[:2]
    writer.write(attack.data)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    if attack.hangs_up:
        writer.close()
    return f"{host}:{port}"


def _log_problems(log: _Log, attackers: set[str], idle: set[str], cards: list[Card]) -> Iterator[str]:
    """An attack is warned of once; that its connection then ends may be said too. Idle ones are named
    once."""
    for peers, lines, what in ((attackers, log.warnings, "attacker"), (idle, log.by_peer, "idle peer")):
        for peer in sorted(peers):
            if lines[peer] != 1:
                yield f"{what} {peer} stands {lines[peer]} times in the log, expected once"
    for line in log.lines:
        for card in leaks(line.encode(), cards):
            yield f"card {card} stands in clear in the switch's log"


def _write_settings(data: Path) -> None:
    settings = create_defaults(data)
    with settings.source.open("a", encoding="utf-8") as file:
        file.write(f"\n[listener]\nframe_timeout_s = {FRAME_TIMEOUT_S}\nidle_timeout_s = {IDLE_TIMEOUT_S}\n")


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when everything was as it must be, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.garbage", description=__doc__)
    parser.add_argument("--attacks", type=int, default=200)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-garbage-") as directory:
        interpreter = prepare_micropython()
        summary = asyncio.run(run(Path(directory), interpreter, options.attacks, options.idle, options.seed))
    print(summary)
    for problem in summary.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
