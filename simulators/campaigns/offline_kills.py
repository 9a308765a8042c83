"""Line cut, earns recorded, kill -9 of the firmware at random moments, line back: each point exactly once.

Kills fall while an earn is recorded and while the queue is sent. At the end the batch is closed: terminal and
switch must have the same totals. Run: `python -m simulators.campaigns.offline_kills --rounds 20 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulators import keypad
from simulators.campaigns.scene import Scene, approved, scene
from simulators.faults import Latency
from simulators.firmware import Interpreter, prepare_micropython
from switch.settings import load_for
from switch.settlement.work_list import Closed, Item, closed_batches, differences
from tools import fw_events
from tools.fw_events import Event
from tools.keys_inject import SerialLine

EARN_RIAL: Final = 1_000_000
EARNS_A_ROUND: Final = 2
LINE_MS: Final = 40  # so that kills fall between an advice and its answer
MOST_DELAY_SECONDS: Final = 0.5
CODE: Final = "7351"  # the supervisor's; whoever opens that menu first chooses it
JOURNAL: Final = ("journal.0", "journal.1")


@dataclass(slots=True)
class Summary:
    """What happened. `problems` is empty when everything was as it must be."""

    kills: int = 0
    queued: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.queued} earns recorded offline; {len(self.problems)} problems"


async def play(at: Scene, rounds: int, seed: int, summary: Summary) -> None:
    """So many times: cut the line, sell, kill, mend the line, kill while the queue is sent."""
    choice = random.Random(seed)
    at.line.add(Latency(latency=LINE_MS, jitter=LINE_MS))
    for _ in range(rounds):
        await at.line.unplug()
        for _ in range(EARNS_A_ROUND - 1):
            await at.cashier.earn(at.card, EARN_RIAL)
        await at.cashier.begin_earn(at.card, EARN_RIAL)
        await _kill_soon(at, choice, summary)
        await at.line.plug_in()
        await at.terminal.restart()
        await _kill_soon(at, choice, summary)
        await at.terminal.restart()
        await at.cashier.wait_until_idle()
    summary.queued = len(at.shop.records.queued)


async def _kill_soon(at: Scene, choice: random.Random, summary: Summary) -> None:
    await asyncio.sleep(choice.uniform(0, MOST_DELAY_SECONDS))  # the random moment; nothing waits for it
    await at.terminal.kill()
    summary.kills += 1


async def close_batch(at: Scene) -> str:
    """The supervisor closes the batch; what the terminal says to that. The queue is empty then."""
    terminal = at.terminal
    await at.cashier.wait_until_idle()
    terminal.forget_events()
    await terminal.press(f"{keypad.ENTER}0")
    first = await terminal.screen("manager_new", "manager_code")
    await terminal.press(f"{CODE}{keypad.ENTER}" * (2 if first.name == "manager_new" else 1))
    await terminal.screen("manager")
    await terminal.press("1")
    said = await terminal.screen("message")
    await at.cashier.wait_until_idle()
    at.shop.records.waiting[terminal.place.terminal_id] = "0"
    return " ".join(said.lines)


async def forget_a_sale(at: Scene) -> None:
    """The terminal loses what its journal says of one earn, as with a storage that was put back."""
    storage = at.terminal.place.storage
    await at.terminal.kill()
    kept = {name: (storage / name).read_bytes() for name in JOURNAL if (storage / name).exists()}
    await at.terminal.restart()
    await at.cashier.wait_until_idle()
    approved(await at.cashier.earn(at.card, EARN_RIAL), "earn")
    await at.terminal.kill()
    for name in JOURNAL:
        (storage / name).unlink(missing_ok=True)
    for name, content in kept.items():
        (storage / name).write_bytes(content)
    await at.terminal.restart()
    await at.cashier.wait_until_idle()


def kept_by(port: Path) -> tuple[list[Event], dict[str, int]]:
    """What the terminal tells over its service port."""
    with SerialLine(port) as line:
        return list(fw_events.events(line)), fw_events.counters(line)


def batches(data: Path) -> list[tuple[Closed, list[Item]]]:
    """Closed batches as the switch has them, with what people have to look into."""
    reading = load_for(data, None).ledger_place.store().open()
    try:
        return [(closed, differences(reading, closed)) for closed in closed_batches(reading)]
    finally:
        reading.close()


async def run(data: Path, interpreter: Interpreter, rounds: int, seed: int) -> Summary:
    """On a fresh data directory: the rounds, a close that agrees, one that can't, then the books."""
    summary = Summary()
    async with scene(data, interpreter, seed) as set_up:
        await play(set_up, rounds, seed, summary)
        for expected in ("Totals agree", "Totals differ"):
            if expected == "Totals differ":
                approved(await set_up.cashier.earn(set_up.card, EARN_RIAL), "earn")
                await forget_a_sale(set_up)
            said = await close_batch(set_up)
            if expected not in said:
                summary.problems.append(f"the close said {said!r}, expected {expected!r}")
        shop = set_up.shop
        events, counted = await asyncio.to_thread(kept_by, set_up.terminal.place.service_bench)
        if not any(event.text == "signed on" for event in events) or not counted["boots"]:
            summary.problems.append(f"the terminal keeps {len(events)} events and counted {counted}")
    found = [(one.number, one.state, [item.finding for item in items]) for one, items in batches(data)]
    if found != [(1, "agreed", []), (2, "different", ["not_uploaded"])]:
        summary.problems.append(f"the switch has the batches as {found}")
    summary.problems += await shop.audit()
    return summary


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when everything was as it must be, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.offline_kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    directory = tempfile.mkdtemp(prefix="vafa-offline-kills-")
    try:
        interpreter = prepare_micropython()
        summary = asyncio.run(run(Path(directory), interpreter, options.rounds, options.seed))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(summary)
    for problem in summary.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
