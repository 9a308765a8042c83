"""What the firmware takes of a terminal: code by module, heap by flow, garbage of a message, growth.

Everything is measured on the real MicroPython with the firmware loaded from `.mpy`, its devices on serial
ports and a real switch behind its line. Run: `python -m simulators.campaigns.firmware_budget
--transactions 1000`; the report goes to `build/budget`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.campaigns.every_flow import DEVICES, FLOWS, TRADE, Counter, counter
from simulators.campaigns.shop import Shop
from simulators.campaigns.updates import MODEL, PIECE_BYTES
from simulators.campaigns.updates import Counter as Office
from simulators.firmware import ALL_DEVICES, FAULT, Interpreter
from simulators.process import ROOT
from terminal.doors import KINDS
from tools import firmware_modules, firmware_tree, micropython
from tools.firmware_bundle import public_point

KIB: Final = 1024
CODE_BYTES: Final = 150 * 1000  # of a profile's `.mpy`, fonts and strings left out
USUAL: Final = {"reader": "ascii", "keypad": "bytes", "printer": "escpos", "line": "tcp", "service": "keys"}
FONT_BYTES: Final = 40 * 1000
HEAP_BYTES: Final = 512 * KIB  # everything, code too, on 64-bit MicroPython
REST_BYTES: Final = 90 * KIB
PEAK_BYTES: Final = 150 * KIB
GARBAGE_BYTES: Final = 4 * KIB  # of packing and MACing one request
# What differs between two looks at rest: events that the log has gathered and not written yet, some
# hundred bytes each way. A leak adds up.
GROWTH_BYTES: Final = 2 * KIB
METER: Final = Path(__file__).with_name("metered_firmware.py")
MESSAGE: Final = Path(__file__).with_name("metered_message.py")
TREE: Final = ROOT / "build" / "measured"
REPORT: Final = ROOT / "build" / "budget"
IDLE_SHOWN: Final = '"name": "idle"'
# What the short run looks at closely, which takes time.
LOOKED_AT: Final = ("enrol", "earn", "redeem", "register: sale", "register: void")
# What it leaves out: dozens of keys each, and flows that differ from others by a word.
LEFT_OUT: Final = (
    *("return by reference", "refund by reference", "refund", "balance by mobile"),
    *("tap", "chip", "training: redeem", "register: close", "earn before the close"),
)
LINES: Final = ("tcp", "dial", "sim800")
WARM_UP: Final = 3  # transactions until everything that stays has come
ON_TRIAL: Final = "restart: software: version 2 is on trial"


class Row(NamedTuple):
    """A budget in bytes."""

    what: str
    size: int
    most: int

    def __str__(self) -> str:
        return f"{self.what}: {self.size:,} bytes, at most {self.most:,}"


@dataclass(slots=True)
class Report:
    """Bytes everywhere. flows: the most that was in the heap beside code while one of this kind ran."""

    code: dict[str, int] = field(default_factory=dict)
    usual: int = 0
    fonts: dict[str, int] = field(default_factory=dict)
    loaded_at_rest: int = 0
    rest: int = 0
    flows: dict[str, int] = field(default_factory=dict)
    growth: int = 0
    transactions: int = 0
    garbage: int = 0
    request: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Everything that has a budget."""
        return [
            Row("code of the usual profile", self.usual, CODE_BYTES),
            Row("code of the fullest profile", sum(self.code.values()), CODE_BYTES),
            Row("fonts and strings", sum(self.fonts.values()), FONT_BYTES),
            Row("data at rest", self.rest, REST_BYTES),
            Row("data at most", max(self.flows.values(), default=0), PEAK_BYTES),
            Row(f"growth over {self.transactions} transactions", self.growth, GROWTH_BYTES),
            Row("garbage of one request, packed and MACed", self.garbage, GARBAGE_BYTES),
            Row("kept of one request", self.kept, 0),
        ]

    def over(self) -> list[str]:
        """What is over its budget, or went wrong."""
        return [str(row) for row in self.rows() if row.size > row.most] + self.problems


# ---------------------------------------------------------------- code


def fullest(chip: str = "unix") -> dict[str, str]:
    """Every door fitted, with the kind of each that needs the most code."""
    best: dict[str, tuple[int, str]] = {}
    for door, kind, _, _ in KINDS:
        size = sum(sizes(firmware_modules.needed(chip, {door: kind})).values())
        if size >= best.get(door, (0, ""))[0]:
            best[door] = (size, kind)
    return {door: kind for door, (_, kind) in best.items()}


def sizes(modules: tuple[str, ...]) -> dict[str, int]:
    """Bytes of `.mpy` of each module."""
    tree = firmware_tree.build()
    return {name: _compiled(tree, name).stat().st_size for name in modules}


def _compiled(tree: Path, name: str) -> Path:
    source = firmware_modules.path_of(name)
    return (tree / source.relative_to(ROOT)).with_suffix(".mpy")


def measure_code(report: Report) -> None:
    """Sizes of the fullest profile's modules, and how large the usual one is."""
    usual = sizes(firmware_modules.needed("unix", USUAL))
    report.usual = sum(size for name, size in usual.items() if not firmware_modules.is_font_or_string(name))
    for name, size in sizes(firmware_modules.needed("unix", fullest())).items():
        (report.fonts if firmware_modules.is_font_or_string(name) else report.code)[name] = size


# ---------------------------------------------------------------- heap


def metered_tree() -> Path:
    """An import root with the firmware and its meters.

    A meter that stands before each import can't know from where it was asked: all are by their full names.
    """
    firmware_tree.compile_tree(ROOT / "terminal", TREE, firmware_tree.callers(), near=False)
    for meter in (METER, MESSAGE):
        firmware_tree.compile_module(meter, TREE)
    return TREE


def interpreter(heap_bytes: int, *arguments: str) -> Interpreter:
    """MicroPython with this heap and the metered firmware in it."""
    command = (str(micropython.provide()), "-X", f"heapsize={heap_bytes}", "-m", *arguments)
    return Interpreter("micropython", command, metered_tree(), {"MICROPYPATH": ".frozen"})


def software() -> dict[str, bytes]:
    """The modules of a counter that has all devices, as a bundle has them: path -> `.mpy`."""
    tree = metered_tree()  # it may start under a meter
    files = {}
    for name in firmware_modules.needed("unix", {**ALL_DEVICES, "till": "columns", "line": "tcp"}):
        compiled = _compiled(tree, name)
        files[compiled.relative_to(tree).as_posix()] = compiled.read_bytes()
    return files


def updatable(key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
    """Of the board file: software that this key signed is taken."""
    keys = [public_point(key.public_key()).hex()]
    return {"model": MODEL, "version": 1, "keys": keys, "needed": 1}


class Meter:
    """What the metered firmware tells of its heap."""

    def __init__(self) -> None:
        self.rest = self.peak = self.code = 0
        self.complaints: list[str] = []
        self.failed = asyncio.Event()
        self._untold = 0  # times at rest that were not told of yet
        self._told = asyncio.Event()

    def heard(self, line: str) -> None:
        """One line of the firmware's output."""
        if line.startswith("stderr:"):
            self.complaints.append(line)
        if FAULT in line:
            self.complaints.append(line)
            self.failed.set()
        if ON_TRIAL in line or (IDLE_SHOWN in line and '"screen"' in line):
            self._untold += 1
        if '"memory"' not in line:
            return
        told = json.loads(line)
        self.rest, self.code = told["rest"], told["code"]
        self.peak = max(self.peak, told["peak"])
        self._untold -= 1
        self._told.set()

    async def after(self, flow: Awaitable[object]) -> int:
        """The most data while this flow ran."""
        self.peak = 0
        await flow
        while self._untold > 0:  # comes behind the idle screen
            self._told.clear()
            await self._told.wait()
        return max(self.peak, self.rest)


Play = Callable[[Counter, Office, Meter], Coroutine[object, object, None]]


class Bench:
    """One switch, and counters of it that are open one after the other."""

    def __init__(self, data: Path) -> None:
        self.shop = Shop(data, interpreter(HEAP_BYTES), terminals=0, seed=1, on_log=self._switch_said)
        self._office: Office | None = None
        self._next = 0

    def _switch_said(self, line: str) -> None:
        if self._office is not None:
            self._office.hear(line)

    async def run(self, with_interpreter: Interpreter, play: Play, line: str = "tcp") -> list[str]:
        """Play at a counter of its own; returns what went wrong."""
        meter, key = Meter(), ec.generate_private_key(ec.SECP256R1())
        number, self._next = self._next, self._next + 1
        try:
            async with counter(self.shop, number, with_interpreter, updatable(key), line) as at:
                self._office = office = Office(self.shop, at.terminal, key)

                def said(line: str) -> None:
                    office.hear(line)
                    meter.heard(line)

                at.terminal.on_line = said
                await at.open()
                await _until_failed(play(at, office, meter), meter)
        except Exception as error:
            meter.complaints.append(f"{type(error).__name__}: {error}")
        return meter.complaints


async def _until_failed(playing: Coroutine[object, object, None], meter: Meter) -> None:
    """Play to the end, or until the firmware told that something of its own broke."""
    tasks = {asyncio.create_task(playing), asyncio.create_task(meter.failed.wait())}
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()


async def _metered(
    report: Report, transactions: int, is_whole: bool, at: Counter, office: Office, meter: Meter
) -> None:
    """Flows with what each takes; then trade until growth shows; then parameters and software come."""
    for name, flow in FLOWS.items():
        if is_whole or name in LOOKED_AT:
            report.flows[name] = await meter.after(flow(at))
    await meter.after(_trade(at, WARM_UP))
    first = meter.rest
    await meter.after(_trade(at, transactions))
    report.rest, report.loaded_at_rest = max(first, meter.rest), meter.code
    report.growth, report.transactions = meter.rest - first, transactions
    if not is_whole:
        return
    report.flows["download"] = await meter.after(_download(at, office))
    await office.hears("software: version 2 is well")
    await at.cashier.wait_until_idle()
    await office.change(lambda draft: draft.withdraw(f"{MODEL}/2"))  # signed for this counter alone


async def _plain(names: Collection[str], at: Counter, office: Office, meter: Meter) -> None:
    for name in names:
        try:
            await FLOWS[name](at)
        except Exception as error:
            raise AssertionError(f"{name}: {error}") from error


async def _download(at: Counter, office: Office) -> None:
    """The next start brings parameters and software, which fills the free slot and is on trial then."""
    await office.set_parameters({"piece_bytes": PIECE_BYTES})
    await office.offer(2, software())
    await at.terminal.kill()
    await at.terminal.restart()
    await office.hears(ON_TRIAL)


async def measure_heap(report: Report, data: Path, transactions: int, is_whole: bool) -> None:
    """Rest, peaks, growth; then all flows with the smallest heap, and with one full of holes.

    Not whole: all but those LEFT_OUT are played once, in HEAP_BYTES, else those of LOOKED_AT alone; nothing
    is downloaded.
    """
    modules = metered_tree() / "modules"
    modules.write_text("".join(f"{name}\n" for name in sorted({*report.code, *report.fonts})))
    bench = Bench(data)
    async with bench.shop.open():
        name = METER.stem
        report.problems += await bench.run(
            interpreter(HEAP_BYTES, name, "meter", "terminal.main"),
            partial(_metered, report, transactions, is_whole),
        )
        smallest = (
            report.loaded_at_rest + PEAK_BYTES if is_whole else HEAP_BYTES
        )  # which tidies up less often
        flows = [name for name in FLOWS if is_whole or name not in LEFT_OUT]
        for line in LINES if is_whole else LINES[:1]:
            # A modem's code comes beside what was measured.
            heap = smallest if line == LINES[0] else HEAP_BYTES
            report.problems += [
                f"with a heap of {heap:,} bytes, line {line}: {problem}"
                for problem in await bench.run(
                    interpreter(heap, "terminal.main"), partial(_plain, flows), line
                )
            ]
        in_holes = interpreter(2 * HEAP_BYTES, name, "holes", modules.name, "terminal.main")
        report.problems += [
            f"with holes of {4 * KIB:,} bytes: {problem}"
            for problem in await bench.run(in_holes, partial(_plain, FLOWS if is_whole else LOOKED_AT))
        ]


async def _trade(at: Counter, transactions: int) -> None:
    flows = tuple({**TRADE, **DEVICES}.values())
    for number in range(transactions):
        await flows[number % len(flows)](at)


def measure_message(report: Report) -> None:
    """Garbage of packing and MACing one earn request, and what of it stays."""
    run = subprocess.run(
        [micropython.provide(), "-X", f"heapsize={HEAP_BYTES}", "-m", MESSAGE.stem],
        cwd=metered_tree(),
        env={**os.environ, "MICROPYPATH": ".frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        report.problems.append(f"{MESSAGE.name}: {run.stderr}{run.stdout}")
        return
    told = json.loads(run.stdout)
    report.garbage, report.kept = told["garbage"], told["kept"]
    report.request = told["request"]


# ---------------------------------------------------------------- report


def measured(data: Path, transactions: int, is_whole: bool = True) -> Report:
    """Everything, or what `make test` has time for, on a fresh data directory."""
    report = Report()
    measure_code(report)
    measure_message(report)
    asyncio.run(measure_heap(report, data, transactions, is_whole))
    return report


def as_text(report: Report) -> str:
    """The report for people."""
    lines = ["| what | bytes | at most |", "|---|---:|---:|"]
    lines += [f"| {row.what} | {row.size:,} | {row.most:,} |" for row in report.rows()]
    lines += ["", "| flow | most data while it runs |", "|---|---:|"]
    lines += [f"| {name} | {size:,} |" for name, size in report.flows.items()]
    lines += ["", "| module | bytes of .mpy |", "|---|---:|"]
    modules = sorted({**report.code, **report.fonts}.items(), key=lambda row: -row[1])
    lines += [f"| {name} | {size:,} |" for name, size in modules]
    return "\n".join(lines) + "\n"


def write(report: Report) -> Path:
    """Keep the report as JSON and as a page; returns the page."""
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n")
    page = REPORT / "report.md"
    page.write_text(as_text(report))
    return page


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when everything is within its budget, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.firmware_budget", description=__doc__)
    parser.add_argument("--transactions", type=int, default=1000)
    parser.add_argument("--sizes", action="store_true", help="only the sizes of the modules")
    options = parser.parse_args(arguments)
    if options.sizes:
        report = Report()
        measure_code(report)
        print(as_text(report), end="")
        return 0
    with tempfile.TemporaryDirectory(prefix="vafa-firmware-budget-") as directory:
        report = measured(Path(directory), options.transactions)
    print(as_text(report), end="")
    print(f"report: {write(report).relative_to(ROOT)}")
    over = report.over()
    for problem in over:
        print(f"over: {problem}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
