"""The power fails at any write of the ledger: what was told is there, once, and nothing is half there.

A story is a real ledger that the real authorizer and engine write to, with everything that reaches the disk
on tape. Each cut makes up what a disk may hold at one moment (writes lost, torn, out of order), opens it with
the real engine and compares it, page by page, with what the ledger was after the last told step or the one
under way. Planted settings that give durability away must be caught, or the campaign fails.

Run: `python -m simulators.campaigns.power_cuts --cuts 1000000 --seed 1`
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from simulators.campaigns.customers import Customers, Wish
from simulators.campaigns.disk import Disk, Event, Tape, Told, move_on, recorded
from simulators.campaigns.owner import Clock, Owner
from simulators.campaigns.requests import Desk
from simulators.cards import Deck
from switch.authorizer import Refusal, Repeat
from switch.authorizer.identity import rrn_of
from switch.defaults import create_defaults
from switch.ledger import Head, LedgerUnavailable, NotSynced, Start, State
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.sqlite import SqliteEngine, failures_at, open_connection
from switch.ledger.verify import verify
from switch.loyalty.program import ROLLING, Rules
from switch.settings import Settings

LEDGER: Final = "ledger.sqlite"
CHECKPOINTS: Final = "ledger.checkpoints"
START_MS: Final = 1_790_000_000_000  # 2026-09-21, Asia/Tehran
DAY_MS: Final = 86_400_000
DESKS: Final = 3
CARDS: Final = 5
BATCHES: Final = 24  # of a story: some turns of the write-ahead log, and still quick to open again
LARGEST_BATCH: Final = 6
MOST_SETTLED: Final = 2
# Weights of what happens next in a story.
HAPPENINGS: Final = {
    "commit": 64,
    "commit, log copied meanwhile": 9,
    "log copied, commit meanwhile": 7,
    "log copied": 7,
    "checkpoint": 4,
    "sync of a commit fails": 5,
    "sync of the copied log fails": 2,
    "killed": 4,
    "stopped": 3,
}
CUTS_PER_STORY: Final = 400
# Every so often the whole engine is opened, its memory and its checkpoints too; the other times the one
# connection that recovers the file, as the engine opens it. Now and then all is verified, and trade goes on.
WHOLE_EVERY: Final = 4
DEEP_EVERY: Final = 200
# Of the cuts, those before anything was told: making a ledger is a tenth of a story, and slow to look into.
FRESH_SHARE: Final = 0.03
# Stories and cuts of each in which what is planted must have been caught.
PLANTED_SEED: Final = 2
PLANTED_STORIES: Final = 12
PLANTED_CUTS: Final = 80
# Memory: the disk is played, nothing has to survive this machine.
MEMORY_DIRECTORY: Final = Path("/dev/shm")
MOST_TOLD: Final = 20
# Known to nobody else, so that a seed tells the same story again.
SEAL_KEY: Final = sha256(b"seals of power cuts").digest()
DIRECTORY_KEY: Final = sha256(b"directory of power cuts").digest()

OpenEngine = Callable[[Path, bytes], SqliteEngine]


def production(path: Path, seal_key: bytes) -> SqliteEngine:
    """The engine as the switch opens it."""
    return SqliteEngine(path, seal_key)


class _Normal(SqliteEngine):
    """Planted: commits don't wait for the disk."""

    SYNCHRONOUS = "NORMAL"

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        connection = super()._connect(read_only=read_only)
        connection.execute(f"PRAGMA synchronous = {self.SYNCHRONOUS}")
        return connection


class _Off(_Normal):
    """Planted: nothing waits for the disk."""

    SYNCHRONOUS = "OFF"


class _Trusting(SqliteEngine):
    """Planted: what the system remembers of the log is taken for what the disk has."""

    def _write_log_anew(self) -> None: ...


class _GoingOn(SqliteEngine):
    """Planted: a failed sync is taken for a failed commit, and tried again."""

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            with failures_at(self._path):
                yield
        except NotSynced as error:
            raise LedgerUnavailable(str(error)) from error


PLANTED: Final[dict[str, OpenEngine]] = {
    "synchronous=NORMAL": _Normal,
    "synchronous=OFF": _Off,
    "log not written anew": _Trusting,
    "going on after a failed sync": _GoingOn,
}


class Ask(NamedTuple):
    """A message, and its sending."""

    wish: Wish
    key_serial: bytes
    mac: bytes


class Asking(NamedTuple):
    """What one batch is of. settles: also what time brings some members."""

    asks: list[Ask]
    settles: bool


class Asked(NamedTuple):
    """A message and what was answered: bytes of an entry, or a code."""

    ask: Ask
    answer: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """The ledger after something was committed. image: a digest of its pages."""

    now_ms: int
    image: bytes
    start: Start
    heads: tuple[Head, ...]
    asked: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to the disk, and the ledger after each step."""

    settings: Settings
    events: list[Event]
    steps: list[Step]


class Depth(NamedTuple):
    """How far a cut is looked into: the whole engine; everything verified, and gone on with."""

    whole: bool
    deep: bool


@dataclass(slots=True)
class Result:
    """Of some cuts."""

    cuts: int = 0
    deep: int = 0
    under_way: int = 0  # cuts after which the step under way was there
    damages: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Sum up."""
        self.cuts += other.cuts
        self.deep += other.deep
        self.under_way += other.under_way
        for name, count in other.damages.items():
            self.damages[name] = self.damages.get(name, 0) + count
        self.problems += other.problems


# ---------------------------------------------------------------- writing


class Teller:
    """Writes one story."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        tape: Tape,
        open_engine: OpenEngine,
        chance: random.Random,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._path = directory / LEDGER
        self._tape = tape
        self._open_engine = open_engine
        self._chance = chance
        self._clock = Clock(START_MS)
        self._serial = 0
        self._checkpoints = CheckpointFile(directory / CHECKPOINTS, checkpoint_mac)
        desks = [
            Desk(terminal, settings.program, self._clock.local)
            for terminal in settings.terminals[:DESKS]
        ]
        self._customers = Customers(
            desks,
            Deck(chance.getrandbits(32)).hand(CARDS),
            settings.program.rial_per_earned_point,
            chance,
        )
        self.steps: list[Step] = []

    def tell(self) -> None:
        """All of it."""
        self._open()
        chance = self._chance
        while len(self.steps) < BATCHES:
            self._clock.now_ms += chance.choice((1, 500, 4_000_000, 2 * DAY_MS))
            [what] = chance.choices(list(HAPPENINGS), list(HAPPENINGS.values()))
            if what == "commit":
                self._commit(self._asking())
            elif what == "commit, log copied meanwhile":
                self._while_writing(
                    partial(self._commit, self._asking()), f"{LEDGER}-wal", self._copy_log
                )
            elif what == "log copied, commit meanwhile":
                self._while_writing(self._copy_log, LEDGER, lambda: self._commit(self._asking()))
            elif what == "log copied":
                self._copy_log()
            elif what == "checkpoint":
                self._append_checkpoint()
            elif what == "sync of a commit fails":
                self._fail(f"{LEDGER}-wal")
            elif what == "sync of the copied log fails":
                self._fail_to_copy()
            elif what == "killed":
                self._kill()
            else:
                self._close()
                self._open()
        self._close()

    def _open(self) -> None:
        self._engine = self._open_engine(self._path, self._settings.seal_key)
        self._camera = open_connection(self._path, read_only=True)
        self._step(())
        self._owner = Owner(self._settings, self._engine, self._clock)
        self._step(())

    def _close(self) -> None:
        self._camera.close()
        self._engine.close()

    def _kill(self) -> None:
        """kill -9, and a new process on what the system remembers."""
        camera, engine = self._camera, self._engine
        self._directory = self._directory.with_name(f"{self._directory.name}, on")
        self._directory.mkdir()
        self._path = self._directory / LEDGER
        self._checkpoints = CheckpointFile(self._directory / CHECKPOINTS, checkpoint_mac)
        move_on(self._tape, self._directory)
        camera.close()
        engine.close()
        self._open()

    def _asking(self) -> Asking:
        """What the next batch is asked."""
        return Asking(
            [self._ask() for _ in range(self._chance.randint(1, LARGEST_BATCH))],
            self._chance.random() < 0.2,
        )

    def _commit(self, asking: Asking) -> None:
        """Decide, store, and tell. What was stored already is found, and told."""
        asked = tuple(Asked(ask, answered(self._owner, ask, self._customers)) for ask in asking.asks)
        for member in self._owner.due(MOST_SETTLED) if asking.settles else ():
            self._owner.settle(member)
        self._owner.stage()
        if self._chance.random() < 0.1:
            self._copy_log()
        self._owner.sync()
        self._step(asked)

    def _fail(self, name: str) -> None:
        """The disk fails a commit. The switch asks again when it was started again."""
        asking = self._asking()
        self._tape.failing_sync = name
        try:
            self._commit(asking)
        except NotSynced:
            self._kill()
        except LedgerUnavailable:
            self._engine.rollback()
            self._owner.forget()
        else:
            self._tape.failing_sync = ""
        self._commit(asking)

    def _fail_to_copy(self) -> None:
        self._tape.failing_sync = LEDGER
        try:
            self._copy_log()
        except NotSynced:
            self._kill()
        except LedgerUnavailable:
            pass
        self._tape.failing_sync = ""

    def _ask(self) -> Ask:
        self._serial += 1
        return Ask(
            self._customers.next(),
            bytes(8) + self._serial.to_bytes(4, "big"),
            self._serial.to_bytes(8, "big"),
        )

    def _copy_log(self) -> None:
        self._engine.checkpoint()

    def _append_checkpoint(self) -> None:
        made = self._checkpoints.append(self._engine.heads(), self._clock.now_ms)
        if made is not None:
            self._engine.note_checkpoint(made.number, made.mac)

    def _while_writing(self, do: Callable[[], None], name: str, meanwhile: Callable[[], None]) -> None:
        """Do one thing, and in the middle of its writes to a file another, on another connection."""
        left = self._chance.randrange(12)

        def interrupt(written: str) -> None:
            nonlocal left
            if written == name:
                left -= 1
                if left == 0:
                    meanwhile()

        self._tape.during_write = interrupt
        try:
            do()
        finally:
            self._tape.during_write = None

    def _step(self, asked: tuple[Asked, ...]) -> None:
        image = sha256(self._camera.serialize("main")).digest()
        engine = self._engine
        self.steps.append(Step(self._clock.now_ms, image, engine.start(), tuple(engine.heads()), asked))
        self._tape.told(len(self.steps))


def answered(owner: Owner, ask: Ask, customers: Customers | None = None) -> bytes:
    """What a message is answered; customers hear what was approved."""
    outcome = owner.decide(ask.wish.message, ask.key_serial, ask.mac)
    if isinstance(outcome, Refusal):
        return outcome.response_code.encode()
    entry = outcome.entry if isinstance(outcome, Repeat) else outcome
    if customers is not None and entry is outcome and entry.response_code == "00":
        customers.approved(ask.wish, rrn_of(entry.bucket, entry.id))
    return entry.answer


def checkpoint_mac(data: bytes) -> bytes:
    """What stands for the HSM's MAC."""
    return sha256(b"campaign" + data).digest()[:8]


def story_of(
    settings: Settings, seed: str, directory: Path, open_engine: OpenEngine = production
) -> Story:
    """The story of a seed, written in an empty directory of memory."""
    with recorded(directory) as tape:
        teller = Teller(settings, directory, tape, open_engine, random.Random(f"story {seed}"))
        teller.tell()
    return Story(settings, tape.events, teller.steps)


def campaign_settings(directory: Path) -> Settings:
    """Keys that are always the same; points that wait, and that end while a story lasts."""
    settings = create_defaults(directory)
    day = Clock(START_MS).local().date().toordinal()
    versions = (
        Rules(expiry=ROLLING, expiry_days=5),
        Rules(number=2, starts=day + 4, expiry=ROLLING, expiry_days=6, pending_days=1),
    )
    return replace(
        settings,
        program=replace(settings.program, versions=versions),
        seal_key=SEAL_KEY,
        directory_key=DIRECTORY_KEY,
    )


# ---------------------------------------------------------------- cutting


def cut_story(story: Story, seed: str, cuts: int, directory: Path, open_engine: OpenEngine) -> Result:
    """So many cuts of a story, at moments that the seed chooses."""
    result = Result()
    chance = random.Random(f"cuts {seed}")
    first = next(place for place, event in enumerate(story.events) if isinstance(event, Told))
    moments = sorted(
        chance.randint(1, first)
        if chance.random() < FRESH_SHARE
        else chance.randint(first, len(story.events))
        for _ in range(cuts)
    )
    disk, told, taken = Disk(), 0, 0
    for number, moment in enumerate(moments):
        for event in story.events[taken:moment]:
            if isinstance(event, Told):
                told = event.steps
            else:
                disk.take(event)
        taken = moment
        damage, files = disk.after_cut(chance)
        _lay(directory, files, chance)
        depth = Depth(number % WHOLE_EVERY == 0, number % DEEP_EVERY == 0)
        found = _check(story, told, directory, open_engine, result, depth)
        result.cuts += 1
        result.damages[damage.name] = result.damages.get(damage.name, 0) + 1
        if found:
            where = (
                f"seed {seed!r}, cut {number} at event {moment} of {len(story.events)}, {damage.name}"
            )
            result.problems.append(f"{where}: {found}")
    return result


def _lay(directory: Path, files: dict[str, bytearray], chance: random.Random) -> None:
    """Put the disk into the directory; shared memory is left as some garbage or not at all."""
    for entry in os.scandir(directory):
        os.unlink(entry.path)
    for name, content in files.items():
        with open(directory / name, "wb", buffering=0) as file:
            file.write(content)
    if LEDGER in files and chance.random() < 0.1:
        (directory / f"{LEDGER}-shm").write_bytes(chance.randbytes(32_768))


def _check(
    story: Story, told: int, directory: Path, open_engine: OpenEngine, result: Result, depth: Depth
) -> str:
    """What is wrong with the ledger in the directory, or nothing."""
    path, steps = directory / LEDGER, story.steps
    found: tuple[Start, tuple[Head, ...]] | None = None
    try:
        if depth.whole or not told:
            found = _opened(path, story.settings.seal_key, open_engine)
        else:
            _recovered(path)
    except LedgerUnavailable as error:
        return f"it can't be opened: {error}".replace(str(directory), "")
    except Exception as error:
        return f"it can't be opened: {type(error).__name__}"
    if found is not None and not told and not any(head.sequence for head in found[1]):
        return ""  # nothing was told, not even that there is a ledger
    # The last connection to close copied the log: the file is all there is.
    image = sha256(path.read_bytes()).digest()
    number = told - 1 if steps[max(told - 1, 0)].image == image else told
    if number == len(steps) or steps[number].image != image:
        return _difference(story, told, path)
    result.under_way += number == told
    if found is not None and found != (steps[number].start, steps[number].heads):
        return "an owner would begin with something else than was there"
    if depth.deep:
        result.deep += 1
        return _deep_problem(story, number, directory)
    return ""


def _opened(path: Path, seal_key: bytes, open_engine: OpenEngine) -> tuple[Start, tuple[Head, ...]]:
    """Start as the switch does: the ledger, its memory, a checkpoint. What an owner begins with."""
    engine = open_engine(path, seal_key)
    try:
        start, heads = engine.start(), tuple(engine.heads())
        State(start)
        CheckpointFile(path.with_name(CHECKPOINTS), checkpoint_mac).append(heads, START_MS)
    finally:
        engine.close()
    return start, heads


def _recovered(path: Path) -> None:
    """Open and close the ledger's file as the engine does."""
    with failures_at(path):
        connection = open_connection(path)
        try:
            connection.execute("SELECT count(*) FROM meta").get  # noqa: B018
        finally:
            connection.close()


def _difference(story: Story, told: int, path: Path) -> str:
    """What a ledger is that isn't as it should be."""
    try:
        connection = open_connection(path, read_only=True)
        entries = int(str(connection.execute("SELECT count(*) FROM entry").get))
        connection.close()
    except (apsw.Error, LedgerUnavailable) as error:
        return f"it can't be read ({type(error).__name__})"
    wanted = sum(head.sequence for head in story.steps[max(told - 1, 0)].heads)
    if entries < wanted:
        return f"{wanted - entries} of {wanted} told entries are lost"
    return f"it has {entries} entries, {wanted} told, and isn't what was committed"


def _deep_problem(story: Story, number: int, directory: Path) -> str:
    """Verify all of it, ask again what was asked, and go on with the story; what is wrong then."""
    settings, path = story.settings, directory / LEDGER
    report = verify(path, settings.seal_key, directory / CHECKPOINTS, checkpoint_mac, processes=1)
    if report.problems:
        return f"verify: {report.problems[0]}"
    engine = SqliteEngine(path, settings.seal_key)
    try:
        clock = Clock(START_MS)
        owner = Owner(settings, engine, clock)
        before = sum(head.sequence for head in engine.heads())
        for later, step in enumerate(story.steps[max(number, 0) : number + 3], start=number):
            clock.now_ms = step.now_ms
            for asked in step.asked:
                answer = answered(owner, asked.ask)
                if later == number and answer != asked.answer:
                    return "a told answer is another one now"
            owner.stage()
            owner.sync()
            if later == number and sum(head.sequence for head in engine.heads()) != before:
                return "what was told is booked twice"
    finally:
        engine.close()
    report = verify(path, settings.seal_key, directory / CHECKPOINTS, checkpoint_mac, processes=1)
    return f"verify, after going on: {report.problems[0]}" if report.problems else ""


# ---------------------------------------------------------------- campaign


class Part(NamedTuple):
    """Stories for one process. planted: a setting of PLANTED, or none."""

    seed: int
    first: int
    cuts: int
    planted: str = ""


def play(part: Part) -> Result:
    """One story after the other until there were so many cuts."""
    result = Result()
    open_engine = PLANTED[part.planted] if part.planted else production
    place = MEMORY_DIRECTORY if MEMORY_DIRECTORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="vafa-power-cuts-", dir=place) as made:
        directory = Path(made).resolve()
        settings = campaign_settings(directory / "settings")
        number = part.first
        while result.cuts < part.cuts:
            seed = f"{part.seed} {number}"
            written, cut = directory / f"{number} written", directory / f"{number} cut"
            written.mkdir()
            cut.mkdir()
            cuts = min(CUTS_PER_STORY, part.cuts - result.cuts)
            try:
                story = story_of(settings, seed, written, open_engine)
                result.add(cut_story(story, seed, cuts, cut, open_engine))
            except AssertionError as error:  # of the ledger's own
                result.add(Result(cuts, problems=[f"seed {seed!r}: an invariant broke: {error}"]))
            for used in (cut, *directory.glob(f"{number} written*")):
                shutil.rmtree(used)
            number += 1
    return result


def parts_of(cuts: int, seed: int, stories: int) -> Iterator[Part]:
    """Cuts in portions of so many stories."""
    portion = stories * CUTS_PER_STORY
    for first, start in enumerate(range(0, cuts, portion)):
        yield Part(seed, first * stories, min(portion, cuts - start))


def teeth() -> list[str]:
    """What is wrong with the campaign itself: what was planted and not caught."""
    return [f"{name} was planted and nothing shows it" for name in PLANTED if not caught(name)]


def caught(planted: str) -> str:
    """The first problem that something planted makes, or nothing."""
    for number in range(PLANTED_STORIES):
        for problem in play(Part(PLANTED_SEED, number, PLANTED_CUTS, planted)).problems:
            return problem
    return ""


def run(
    cuts: int, seed: int, processes: int, tell: Callable[[str], None] = lambda text: None
) -> Result:
    """All of it; a planted setting that isn't caught is a problem, too."""
    result = Result(problems=teeth())
    if processes == 1:
        for part in parts_of(cuts, seed, stories=1):
            result.add(play(part))
        return result
    with ProcessPoolExecutor(processes) as pool:
        for done in pool.map(play, parts_of(cuts, seed, stories=5)):
            result.add(done)
            tell("\n".join((f"{result.cuts} cuts, {len(result.problems)} problems", *done.problems)))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when nothing was lost, twice or half there."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.power_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    result = run(
        options.cuts, options.seed, options.processes, lambda text: print(text, file=sys.stderr)
    )
    seconds = time.monotonic() - begun
    told = ", ".join(f"{count} {name}" for name, count in sorted(result.damages.items()))
    print(
        f"{result.cuts} power cuts in {seconds:.0f} s ({result.cuts / seconds:.0f} a second): {told};"
        f" the step under way was there after {result.under_way}, {result.deep} verified and gone on with;"
        f" {len(result.problems)} problems"
    )
    for problem in result.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
