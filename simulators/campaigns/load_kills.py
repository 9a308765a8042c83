"""kill -9 of the switch under full load: thousands of replies a second to terminals that repeat, reverse
early and late, tear their lines and take back what was not answered; at the end every receipt is held against
the ledger, to the point.

Plays the terminals' side of the protocol on plain sockets, many requests at a time on each line. Long
campaigns go over several ledgers, one after the other, so that receipts fit memory.

Run: `python -m simulators.campaigns.load_kills --replies 10000000 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from simulators.campaigns.books import Outcome, Undone, differences, read_books
from simulators.campaigns.customers import Customers, Wish
from simulators.campaigns.requests import Desk
from simulators.campaigns.shop import verify_ledger
from simulators.cards import Card, Deck
from simulators.issuing import issued
from simulators.switch_process import SwitchProcess
from simulators.terminal_keys import TerminalKeys, Transmission
from switch import iso8583
from switch.defaults import create_defaults, read_terminal_settings
from switch.iso8583 import Message
from switch.link.framing import FrameReader, frame
from switch.server.clock import BUSINESS_ZONE
from switch.settings import Settings, Terminal

REPLIES_A_LEDGER: Final = 250_000
REPLIES_A_KILL: Final = 30_000
TERMINALS: Final = 10
OWN_CARDS: Final = 20
SHARED_CARDS: Final = 6  # used at every terminal, so that their movements interleave
LARGEST_BURST: Final = 24  # requests that a terminal has under way
# Of bursts: how many lose their line in the middle of a frame, how many before the answers came.
TORN_SHARE: Final = 0.02
UNHEARD_SHARE: Final = 0.02
# Of frames: how many a bad line delivers twice.
TWICE_SHARE: Final = 0.03
ANSWER_SECONDS: Final = 120.0
PATIENCE_SECONDS: Final = 240.0  # only a switch that hangs is this slow
# Of an advice, each after a pause: a switch that is away so long is none.
MOST_TRIES: Final = 1_000
PAUSE_SECONDS: Final = 0.05
MOST_DELAY_SECONDS: Final = 0.02
MOST_TOLD: Final = 20
KEPT_EVENTS: Final = 100  # of the switch's log
# Wishes of other members' entries are not among them: their second half has no receipt.
WISHES: Final = {
    "earn": 30,
    "redeem": 16,
    "hold": 8,
    "capture": 6,
    "refund": 5,
    "goods_back": 5,
    "void": 3,
    "reverse": 8,
    "reverse_before": 3,
    "balance": 2,
    "repeat": 6,
}
APPROVED: Final = "00"
ACTIVATION: Final = "720000"  # DE 3
# Answers that say nothing about the transaction: ask again.
TRANSIENT: Final = frozenset({"91", "96", "63"})
# Operations whose receipt says by how many points the member's balance changed.
_SAYS_POINTS: Final = frozenset({"earn", "redeem", "refund", "goods_back"})
_ADVICES: Final = ("0220", "0420")
_DIALECT: Final = iso8583.load("vafa")


@dataclass(slots=True)
class Summary:
    """What happened. `problems` is empty when receipts and ledger agree."""

    kills: int = 0
    ledgers: int = 0
    replies: int = 0
    approved: int = 0
    undone: int = 0
    torn_lines: int = 0
    repeated_frames: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Summary) -> None:
        """Sum up."""
        self.kills += other.kills
        self.ledgers += other.ledgers
        self.replies += other.replies
        self.approved += other.approved
        self.undone += other.undone
        self.torn_lines += other.torn_lines
        self.repeated_frames += other.repeated_frames
        self.seconds += other.seconds
        self.problems += other.problems

    def __str__(self) -> str:
        verdict = (
            "lost 0, twice 0, ledgers verified"
            if not self.problems
            else f"{len(self.problems)} PROBLEMS"
        )
        return (
            f"{self.kills} kills, {self.replies} replies on {self.ledgers} ledgers"
            f" ({self.replies / max(self.seconds, 0.001):.0f} a second): {self.approved} approved,"
            f" {self.undone} undone or declined, {self.torn_lines} torn lines, {self.repeated_frames} frames"
            f" repeated; {verdict}"
        )


@dataclass(slots=True)
class _Sent:
    """A transaction under way. frames: sendings that are not answered yet; answer: the first genuine one."""

    wish: Wish
    transmissions: list[Transmission] = field(default_factory=list, repr=False)
    frames: int = 0
    answer: Message | None = None
    raw: dict[bytes, bytes] = field(default_factory=dict, repr=False)  # by key serial

    @property
    def is_answered(self) -> bool:
        return self.answer is not None and self.answer.text("39") not in TRANSIENT


class _Line(asyncio.Protocol):
    """One connection; hands over whole payloads."""

    def __init__(self, till: Till) -> None:
        self.transport: asyncio.Transport
        self._till = till
        self._reader = FrameReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._till.lost(self)

    def data_received(self, data: bytes) -> None:
        for received in self._reader.feed(data, 0.0):
            self._till.answered(self, received.payload)


class Till:
    """A terminal in bursts: sends some requests at once, waits for the answers, takes back or repeats what
    wasn't answered before anything else."""

    patience_seconds = ANSWER_SECONDS

    def __init__(self, shop: LoadedShop, terminal: Terminal, cards: Sequence[Card], seed: str) -> None:
        self._shop = shop
        self.terminal = terminal
        self._keys = TerminalKeys.of(read_terminal_settings(shop.settings, terminal))
        self._chance = random.Random(seed)
        self._desk = Desk(terminal, shop.settings.program, lambda: datetime.now(BUSINESS_ZONE))
        self._customers = Customers(
            [self._desk],
            cards,
            shop.settings.program.rial_per_earned_point,
            self._chance,
            WISHES,
        )
        self._line: _Line | None = None
        self._under_way: dict[str, _Sent] = {}  # by STAN
        self._waiting = 0  # frames without an answer
        self._heard = asyncio.Event()
        self.outcomes: dict[str, Outcome] = {}  # receipts that stand, by STAN
        self.undone: set[str] = set()  # STANs
        self.unheard: set[str] = set()  # of activations that couldn't be taken back
        self.problems: list[str] = []

    async def trade(self, stopped: asyncio.Event) -> None:
        """Burst after burst until `stopped`; nothing is left open then."""
        while not stopped.is_set():
            count = self._chance.randint(1, LARGEST_BURST)
            wishes = [self._customers.next() for _ in range(count)]
            await self._settle(await self._exchange(wishes, may_tear=True))

    async def _settle(self, sent: list[_Sent]) -> None:
        """Note what was answered; repeat the advices and take back the rest."""
        pending: list[Wish] = []
        for one in sorted(sent, key=lambda one: one.wish.wish.startswith("reverse")):
            if one.is_answered:
                self._note(one)
            elif one.wish.message.mti in _ADVICES:
                pending.append(one.wish)
            elif not one.wish.repeated:
                reversal = self._desk.reversal_of(one.wish.message)
                pending.append(Wish(0, "reverse", reversal))
        for _ in range(MOST_TRIES):
            if not pending:
                return
            tried = await self._exchange([_as_repeat(wish) for wish in pending], may_tear=False)
            for one in tried:
                if one.is_answered:
                    self._note(one)
            pending = [one.wish for one in tried if not one.is_answered]
            if pending:
                await self._shop.between_tries()
        self.problems += [
            f"{self._name(wish)} is not answered in {MOST_TRIES} tries" for wish in pending
        ]

    # ---------------------------------------------------------------- sending

    async def _exchange(self, wishes: Sequence[Wish], *, may_tear: bool) -> list[_Sent]:
        """Send all at once; returns when each is answered or the line is lost."""
        line = await self._connected()
        self._under_way = {}
        self._waiting = 0
        frames: list[bytes] = []
        for wish in wishes:
            frames.append(self._frame(wish))
        for data in [data for data in frames if self._chance.random() < TWICE_SHARE]:
            place = self._chance.randint(frames.index(data) + 1, len(frames))
            frames.insert(place, data)
            self._waiting += 1
            self._shop.summary.repeated_frames += 1
        self._heard.clear()
        chance = self._chance.random()
        burst = b"".join(frames)
        if may_tear and chance < TORN_SHARE:
            line.transport.write(burst[: self._chance.randrange(len(burst))])
            self._tear(line)
        else:
            line.transport.write(burst)
            if may_tear and chance < TORN_SHARE + UNHEARD_SHARE:
                self._tear(line)
            try:
                async with asyncio.timeout(self.patience_seconds):
                    await self._heard.wait()
            except TimeoutError:
                self._unheard()
        return list(self._under_way.values())

    def _unheard(self) -> None:
        """The switch says nothing, and its line stands."""
        self.problems.append(f"terminal {self.terminal.id}: no answer in {self.patience_seconds:g} s")
        if self._line is not None:
            self._line.transport.abort()

    def _tear(self, line: _Line) -> None:
        """Close the line after what is written to it; nothing more is heard."""
        self._shop.summary.torn_lines += 1
        self._line = None
        line.transport.close()
        self._heard.set()

    def _frame(self, wish: Wish) -> bytes:
        """A sending of a transaction under a serial of its own."""
        transmission = self._keys.transmission()
        message = wish.message
        body = _DIALECT.encode_body(
            Message(message.mti, {**message.fields, "53": transmission.field_53})
        )
        sent = self._under_way.setdefault(message.text("11"), _Sent(wish))
        sent.transmissions.append(transmission)
        self._waiting += 1
        return frame(body + transmission.request_mac(body))

    async def _connected(self) -> _Line:
        while self._line is None:
            await self._shop.up.wait()
            switch = self._shop.switch
            try:
                loop = asyncio.get_running_loop()
                _, self._line = await loop.create_connection(
                    lambda: _Line(self), switch.host, switch.port
                )
            except OSError:
                await asyncio.sleep(0)  # it was killed in between; `up` is false in a moment
        return self._line

    # ---------------------------------------------------------------- hearing

    def lost(self, line: _Line) -> None:
        """The line is gone."""
        if line is self._line:
            self._line = None
            self._heard.set()

    def answered(self, line: _Line, payload: bytes) -> None:
        """An answer came."""
        if line is not self._line:
            return
        message = _DIALECT.decode(payload)
        sent = self._under_way.get(message.text("11"))
        if sent is None:
            self.problems.append(
                f"terminal {self.terminal.id}: an answer to nothing: {message.text('11')}"
            )
            return
        self._waiting -= 1
        self._shop.summary.replies += 1
        self._shop.replied.set()
        if "64" in message:
            self._genuine(sent, message, payload)
        elif message.text("39") == APPROVED:
            self.problems.append(f"{self._name(sent.wish)} is approved without a MAC")
        if not self._waiting:
            self._heard.set()

    def _genuine(self, sent: _Sent, message: Message, payload: bytes) -> None:
        body, mac = _DIALECT.split_mac(payload)
        for transmission in sent.transmissions:
            if transmission.is_genuine(body, mac):
                break
        else:
            self.problems.append(f"{self._name(sent.wish)}: the answer's MAC is wrong")
            return
        if sent.raw.setdefault(transmission.serial, payload) != payload:
            self.problems.append(
                f"{self._name(sent.wish)}: the same frame was answered with other bytes"
            )
        if not sent.is_answered:
            sent.answer = message
            return
        assert sent.answer is not None
        if message.text("39") not in TRANSIENT and _said(message) != _said(sent.answer):
            self.problems.append(f"{self._name(sent.wish)} is answered in two ways")

    # ---------------------------------------------------------------- keeping

    def _note(self, sent: _Sent) -> None:
        """What an answer makes of a transaction."""
        wish, answer = sent.wish, sent.answer
        assert answer is not None
        stan, is_approved = wish.message.text("11"), answer.text("39") == APPROVED
        if wish.message.mti[1] == "4":
            original = wish.message.text("90")[4:10]
            if is_approved:
                self.outcomes.pop(original, None)
                self.undone.add(original)
            elif wish.message.text("3") == ACTIVATION:
                self.unheard.add(original)
            return
        if not is_approved:
            self._decline(wish, stan)
            return
        rrn = answer.text("37")
        tags = {
            tag: int(answer.text(f"48.{tag}")) for tag in ("01", "02", "03") if f"48.{tag}" in answer
        }
        outcome = Outcome(
            self.terminal.id,
            wish.wish,
            stan,
            rrn,
            tags.get("01", 0) if wish.wish in _SAYS_POINTS else None,
            tags.get("02"),
            tags.get("03", 0),
        )
        if stan in self.undone:
            return
        if self.outcomes.setdefault(stan, outcome) != outcome._replace(flow=self.outcomes[stan].flow):
            self.problems.append(f"{self._name(wish)} is repeated with another answer")
        if not wish.repeated:
            self._customers.approved(wish, rrn)

    def _decline(self, wish: Wish, stan: str) -> None:
        if stan in self.outcomes:
            self.problems.append(f"{self._name(wish)} was approved and is declined when repeated")
        self.undone.add(stan)

    def _name(self, wish: Wish) -> str:
        message = wish.message
        return f"{wish.wish} {message.mti} {message.text('11')} of terminal {self.terminal.id}"


class GivingUp(Till):
    """A terminal of a switch that may not know what became of a request, and then says nothing."""

    patience_seconds = 5.0

    def _unheard(self) -> None:
        if self._line is not None:
            self._tear(self._line)


def _as_repeat(wish: Wish) -> Wish:
    """The same advice, said to be a repeat."""
    message = wish.message
    return wish._replace(message=Message(message.mti[:3] + "1", message.fields))


def _said(answer: Message) -> dict[str, object]:
    """What an answer says of its transaction, the MAC left out."""
    return {name: value for name, value in answer.fields.items() if name != "64"}


class LoadedShop:
    """One switch on a fresh data directory, and its terminals."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.settings: Settings = create_defaults(data)
        self.switch = SwitchProcess(data, on_log=self._logged, environment=environment)
        self.log: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._logged_more = asyncio.Event()
        self.up = asyncio.Event()
        self.replied = asyncio.Event()
        self.summary = Summary(ledgers=1)

    async def replied_beyond(self, count: int) -> None:
        """Returns when there were so many replies."""
        while self.summary.replies < count:
            self.replied.clear()
            await self.replied.wait()

    async def between_tries(self) -> None:
        """What a terminal waits for before it asks again."""
        await asyncio.sleep(PAUSE_SECONDS)

    async def said(self, event: str) -> dict[str, Any]:
        """Returns the next line of the switch's log with this event."""
        self.log.clear()
        while True:
            for line in list(self.log):
                if line.get("event") == event:
                    return line
            self._logged_more.clear()
            await self._logged_more.wait()

    async def killed(self) -> None:
        """kill -9, and start again."""
        self.up.clear()
        await self.switch.kill()
        self.summary.kills += 1
        await self.switch.start()
        self.up.set()

    async def started_again(self) -> int:
        """Wait until it has ended by itself, then start it; its exit code."""
        code = await self.switch.ended()
        self.up.clear()
        await self.switch.start()
        self.up.set()
        return code

    def _logged(self, line: str) -> None:
        try:
            self.log.append(json.loads(line))
        except ValueError:
            return
        self._logged_more.set()


Mishap = Callable[[LoadedShop], Coroutine[None, None, None]]


async def run(
    data: Path,
    replies: int,
    kills: int,
    seed: int,
    *,
    terminals: int = TERMINALS,
    mishaps: Sequence[Mishap] = (),
    environment: Mapping[str, str] | None = None,
) -> Summary:
    """Torture a fresh switch on `data` until it gave so many replies. mishaps: what else happens, at random
    moments; environment: of the switch."""
    choice = random.Random(seed)
    shop = LoadedShop(data, environment)
    summary, settings = shop.summary, shop.settings
    deck = Deck(seed)
    shared = await issued(settings, deck.hand(SHARED_CARDS))
    await shop.switch.start()
    shop.up.set()
    stopped = asyncio.Event()
    tills = []
    for number, terminal in enumerate(settings.terminals[:terminals]):
        own = await issued(settings, deck.hand(OWN_CARDS))
        kind = GivingUp if mishaps else Till
        tills.append(kind(shop, terminal, [*own, *shared], f"{seed} {number}"))
    begun = time.monotonic()
    happening: list[Mishap] = choice.sample(
        [*mishaps, *[LoadedShop.killed] * kills], len(mishaps) + kills
    )
    moments = sorted(choice.randrange(1, replies) for _ in happening)
    trading = [asyncio.create_task(till.trade(stopped)) for till in tills]
    try:
        for moment, mishap in zip(moments, happening, strict=True):
            await _until(shop, shop.replied_beyond(moment), trading)
            await asyncio.sleep(choice.uniform(0, MOST_DELAY_SECONDS))  # the random moment itself
            await _until(shop, mishap(shop), trading)
        await _until(shop, shop.replied_beyond(replies), trading)
        stopped.set()
        await asyncio.gather(*trading)
    finally:
        for task in trading:
            task.cancel()
        await asyncio.gather(*trading, return_exceptions=True)
        summary.seconds = time.monotonic() - begun
        if shop.switch.is_running:
            await shop.switch.stop()
    summary.approved = sum(len(till.outcomes) for till in tills)
    summary.undone = sum(len(till.undone) for till in tills)
    summary.problems += await _audit(shop, tills)
    return summary


async def _until(
    shop: LoadedShop, reached: Coroutine[None, None, None], trading: list[asyncio.Task[None]]
) -> None:
    """Await something, or the first trader that fails; not for ever when there are no replies any more."""
    waiting = asyncio.create_task(reached)
    done: set[asyncio.Task[None]] = set()
    replies = -1
    while not done and shop.summary.replies > replies:
        replies = shop.summary.replies
        done, _ = await asyncio.wait(
            {waiting, *trading}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    waiting.cancel()
    if not done:
        raise TimeoutError(f"nothing happens within {PATIENCE_SECONDS:g} s")
    for task in done:
        task.result()


async def _audit(shop: LoadedShop, tills: list[Till]) -> list[str]:
    """Everything that is wrong between receipts and ledger. The switch must have stopped."""
    found = [problem for till in tills for problem in till.problems]
    outcomes = [outcome for till in tills for outcome in till.outcomes.values()]
    undone = [Undone(till.terminal.id, stan) for till in tills for stan in till.undone]
    unheard = [Undone(till.terminal.id, stan) for till in tills for stan in till.unheard]
    books = await asyncio.to_thread(read_books, shop.settings.ledger_path)
    found += differences(books, outcomes, undone, unheard)
    return found + await verify_ledger(shop.settings.data)


async def campaign(replies: int, seed: int, tell: Callable[[str], None] = lambda text: None) -> Summary:
    """So many replies, on as many ledgers as it takes."""
    total = Summary()
    number = 0
    while total.replies < replies:
        part = min(REPLIES_A_LEDGER, replies - total.replies)
        with tempfile.TemporaryDirectory(prefix="vafa-load-kills-") as directory:
            kills = max(1, round(part / REPLIES_A_KILL))
            total.add(await run(Path(directory), part, kills, seed * 100_000 + number))
        number += 1
        tell(str(total))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when receipts and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.load_kills", description=__doc__)
    parser.add_argument("--replies", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    total = asyncio.run(
        campaign(options.replies, options.seed, lambda text: print(text, file=sys.stderr, flush=True))
    )
    print(total)
    for problem in total.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if total.problems else 0


if __name__ == "__main__":
    sys.exit(main())
