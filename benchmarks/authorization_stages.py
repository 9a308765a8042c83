"""What one authorization costs, stage by stage and whole, without sockets: processor time to compare.

    python -m benchmarks.authorization_stages [--requests 12800] [--rounds 3] [--directory DIR]

Recorded requests go batch by batch through a whole pipeline whose peers throw answers away, then others like
them through its stages, all of a batch through one stage before the next: so the stages find warmer caches.
Commits are durable; their thread's processor time counts, waiting for a disk doesn't. Of the batches the
quickest tenth is told, what a quiet machine takes; other programs only ever add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from benchmarks.switch_authorizations import many_terminals
from simulators.cards import Deck
from simulators.issuing import issued
from simulators.load import Traffic
from switch import iso8583
from switch.authorizer import Authorizer, CardCheck, Request
from switch.authorizer.proof import Found
from switch.authorizer.request import RequestReader
from switch.hsm import InProcessHsm
from switch.hsm.port import Direction, Key
from switch.iso8583 import Message
from switch.keys import BDK_ID_BYTES, SwitchKeys, open_store, read_master_key
from switch.ledger import Entry, NotLoaded, State
from switch.ledger.rows import sealed
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine
from switch.link.framing import LENGTH_BYTES, Frame
from switch.server.clock import BUSINESS_ZONE, SystemClock
from switch.server.log import open_log
from switch.server.pipeline import LARGEST_BATCH, Pipeline, authorizer_of
from switch.server.quarantine import Quarantine

MEMBERS = 27 * LARGEST_BATCH
TERMINALS = 64
STAGES = (
    "decode",
    "request MAC",
    "check",
    "read request",
    "decide",
    "apply",
    "seal and pack",
    "SQL",
    "commit",
    "forget batch",
    "answer MAC",
)
CARD_IS_RIGHT: Found = {CardCheck(): True}


class Nobody:
    """A peer that throws answers away and says when the last one came."""

    is_private = True
    certified = None

    def __init__(self) -> None:
        self.expected = 0
        self.done = asyncio.Event()

    def answer(self, payload: bytes, tpdu: bytes | None) -> None:
        self.drop()

    def drop(self) -> None:
        self.expected -= 1
        if not self.expected:
            self.done.set()

    def report(self, what: str, **details: str | int) -> None:
        raise SystemExit(f"a request was refused: {what} {details}")

    alarm = report

    def close_after_fault(self) -> None: ...

    def known(self) -> None: ...


class Parts:
    """A switch's parts on a ledger in `directory`."""

    def __init__(self, directory: Path) -> None:
        settings = self.settings = many_terminals(directory, TERMINALS)
        self.dialect = iso8583.load("vafa")
        self.hsm = InProcessHsm(read_master_key(settings.hsm.master_key_file))
        checks_cards = settings.program.checks_cards
        self.keys = SwitchKeys.of(open_store(settings), settings.terminals, checks_cards=checks_cards)
        self.engine = SqliteEngine(settings.ledger_path, seal_key=settings.seal_key)
        self.epoch = self.engine.claim("benchmark")
        self.clock = SystemClock()

    def pipeline(self, writer: ThreadPoolExecutor) -> Pipeline:
        """A pipeline over these parts that stops for nothing."""
        settings = self.settings
        return Pipeline(
            dialect=self.dialect,
            program=settings.program,
            terminals=settings.terminals,
            directory_key=settings.directory_key,
            hsm=self.hsm,
            keys=self.keys,
            codes=None,
            clear_codes=True,
            engine=self.engine,
            epoch=self.epoch,
            clock=self.clock,
            log=open_log(io.StringIO()),
            writer=writer,
            quarantine=Quarantine(settings.data / "requests.under-way", self.clock.now_ms()),
            after_commit=lambda: None,
            stop=lambda reason: None,
        )

    def base_key(self, serial: bytes) -> Key:
        return self.keys.base_keys[serial[:BDK_ID_BYTES]]


class Watch:
    """Processor time of a batch's stages, one after another."""

    def __init__(self) -> None:
        self.batches: list[dict[str, float]] = []

    def begin(self) -> None:
        self.batches.append(dict.fromkeys(STAGES, 0.0))
        self._at = time.process_time()

    def done(self, stage: str) -> None:
        """All since the last stage was this one."""
        now = time.process_time()
        self.batches[-1][stage] += now - self._at
        self._at = now


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=12_800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the ledger is made (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        asyncio.run(measure(Path(directory), options.requests, options.rounds))


async def measure(directory: Path, requests: int, rounds: int) -> None:
    parts = Parts(directory)
    cards = await issued(parts.settings, Deck(seed=7).hand(MEMBERS))
    traffic = Traffic(parts.settings, cards, datetime.now(BUSINESS_ZONE))
    with ThreadPoolExecutor(max_workers=1) as writer:
        pipeline = parts.pipeline(writer)
        await play(pipeline, frames(traffic.activations()))
        await play(pipeline, frames(traffic.first_earns()))
        gc.collect()
        gc.freeze()
        gc.disable()
        whole: list[float] = []
        for _ in range(rounds):
            whole += await play(pipeline, frames(traffic.earns_and_redeems(requests)))
            gc.collect()
    # As a switch that runs, this memory has everything newer than what it began with, and looks up nothing.
    traffic.moment += timedelta(seconds=1)
    state, watch = State(parts.engine.start()), Watch()
    play_stages(parts, state, frames(traffic.first_earns()), Watch())  # loads all members
    play_stages(parts, state, frames(traffic.earns_and_redeems(requests)), watch)
    parts.engine.close()
    together = 0.0
    for stage in STAGES:
        took = quickest(batch[stage] for batch in watch.batches)
        together += took
        print(f"{stage:>15} {took:7.1f} us")
    print(f"{'all of them':>15} {together:7.1f} us")
    print(f"{'whole pipeline':>15} {quickest(whole):7.1f} us of processor time for an authorization")


def quickest(batches: Iterable[float]) -> float:
    """Microseconds an authorization that the quickest tenth of full batches took at most. batches: seconds
    each."""
    ordered = sorted(batches)
    return 1e6 * ordered[len(ordered) // 10] / LARGEST_BATCH


def frames(requests: Sequence[tuple[int, bytes]]) -> list[Frame]:
    """As many as make full batches."""
    whole = len(requests) - len(requests) % LARGEST_BATCH
    return [Frame(request[LENGTH_BYTES:], None) for _terminal, request in requests[:whole]]


def batches_of(recorded: Sequence[Frame]) -> Iterator[list[Frame]]:
    waiting = iter(recorded)
    while batch := list(islice(waiting, LARGEST_BATCH)):
        yield batch


async def play(pipeline: Pipeline, recorded: Sequence[Frame]) -> list[float]:
    """Seconds of processor time of each batch, handed in when the one before is answered."""
    peer = Nobody()
    times = []
    for batch in batches_of(recorded):
        before = time.process_time()
        peer.expected = len(batch)
        peer.done.clear()
        for frame in batch:
            pipeline.receive(peer, frame)
        await peer.done.wait()
        times.append(time.process_time() - before)
    return times


def play_stages(parts: Parts, state: State, recorded: Sequence[Frame], watch: Watch) -> None:
    """The same work by the same parts, a stage at a time."""
    dialect, settings = parts.dialect, parts.settings
    program, key = settings.program, settings.directory_key
    reader = RequestReader(dialect, program.horizon_days, program.card_prefixes, key)
    authorizer = authorizer_of(dialect, program, key)
    sealer = Sealer(settings.seal_key)
    for batch in batches_of(recorded):
        watch.begin()
        messages = [dialect.decode(frame.payload) for frame in batch]
        watch.done("decode")
        serials = [_serial_of(message) for message in messages]
        for frame, serial in zip(batch, serials, strict=True):
            body, mac = dialect.split_mac(frame.payload)
            base_key = parts.base_key(serial)
            assert parts.hsm.dukpt_mac_verify_now(base_key, serial, body, mac or b"", Direction.REQUEST)
        watch.done("request MAC")
        operations = []
        for message in messages:
            operations.append(dialect.name_of(message) or "")
            assert not dialect.check(message), "a terminal's message is complete"
        watch.done("check")
        local = parts.clock.local()
        requests = [
            reader.read(message, operation, local, serial, bytes(8))
            for message, operation, serial in zip(messages, operations, serials, strict=True)
        ]
        watch.done("read request")
        entries = [decided(parts, authorizer, state, request, watch) for request in requests]
        changes, heads = state.batch(), parts.engine.heads()
        watch.done("apply")
        sealed(changes.entries, heads, sealer)
        watch.done("seal and pack")
        parts.engine.stage(changes, parts.epoch)  # seals, too
        watch.done("SQL")
        watch.batches[-1]["SQL"] -= watch.batches[-1]["seal and pack"]
        parts.engine.sync()
        watch.done("commit")
        state.committed()
        watch.done("forget batch")
        for entry in entries:
            serial = entry.key_serial
            base_key = parts.base_key(serial)
            parts.hsm.dukpt_mac_generate_now(base_key, serial, entry.answer, Direction.RESPONSE)
        watch.done("answer MAC")


def decided(parts: Parts, authorizer: Authorizer, state: State, request: Request, watch: Watch) -> Entry:
    """The entry of a request, which the next one sees."""
    now_ms = parts.clock.now_ms()
    while True:
        try:
            entry = authorizer.decide(state, request, now_ms, CARD_IS_RIGHT)
        except NotLoaded as missing:
            state.fill(missing.load, parts.engine.load(missing.load))
        else:
            break
    watch.done("decide")
    assert isinstance(entry, Entry), "nothing is due, nothing repeated"
    assert entry.response_code == "00", "everything is approved"
    state.apply(entry)
    watch.done("apply")
    return entry


def _serial_of(message: Message) -> bytes:
    key_serial = message["53"]
    assert isinstance(key_serial, bytes)
    return key_serial[1:]


if __name__ == "__main__":
    main()
