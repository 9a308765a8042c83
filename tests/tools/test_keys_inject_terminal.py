"""`vafa keys inject` against the real firmware on MicroPython, over its service port; then a purchase."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from simulators.cards import Deck
from simulators.cashier import Cashier
from simulators.firmware import INTERPRETERS, Options, Terminal
from simulators.firmware import Place as TerminalPlace
from simulators.serial_port import SerialPort
from simulators.switch_process import SwitchProcess
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.dukpt_aes import initial_key
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.keys import base_key_name, read_master_key, transport_key_name
from tests import forked
from tests.tools.keys_kit import BOTH, FIRST, FOUNDING, SECOND, Place
from tests.tools.kit import Told
from tools import keys_inject

ID = "10000001"
NOBODY_LISTENS = 9  # the discard port: the terminal may want a switch, and finds none
QUIET = Options(settings={"port": NOBODY_LISTENS})

Filter = Callable[[bytes], bytes]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Two officers; terminal 10000001 has no keys yet."""
    monkeypatch.setattr("tools.keys.harden", tuple)  # it would be this process
    place = Place(tmp_path / "data")
    place.done("officer", "add", answers=FOUNDING)
    without_keys(place)
    return place


def without_keys(place: Place) -> None:
    path = place.data / "terminals" / f"{ID}.json"
    told = json.loads(path.read_text("utf-8"))
    del told["key_block"], told["key_serial"]
    path.write_text(json.dumps(told), "utf-8")


async def vafa_keys(place: Place, *arguments: str | Path, answers: tuple[str, ...] = BOTH) -> Told:
    """As a process, so that firmware and lines go on meanwhile."""
    given = "".join(f"{one}\n" for one in answers)
    ended = await asyncio.to_thread(
        forked.vafa, "keys", *map(str, arguments), "--data", str(place.data), given=given
    )
    return Told(ended.returncode, ended.stdout.encode(), ended.stderr)


async def inject(place: Place, port: Path, *options: str, terminal: str = ID) -> Told:
    return await vafa_keys(place, "inject", "--terminal", terminal, "--port", port, *options)


@asynccontextmanager
async def terminal_of(place: Place, options: Options = QUIET) -> AsyncIterator[Terminal]:
    terminal = Terminal(TerminalPlace(place.data, ID), INTERPRETERS["micropython"](), options)
    await terminal.start()
    try:
        yield terminal
    finally:
        await terminal.stop()


class Wire:
    """A cable that does things to what it carries. `path`: the loading tool's end."""

    def __init__(self, bench: Path, path: Path, to_terminal: Filter, to_tool: Filter) -> None:
        self.path = path
        self._to_terminal, self._to_tool = to_terminal, to_tool
        self._tool = SerialPort(path, self._from_tool)
        self._bench = os.open(bench, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def open(self) -> None:
        self._tool.open()
        asyncio.get_running_loop().add_reader(self._bench, self._from_terminal)

    def cut(self) -> None:
        """It is unplugged from the tool."""
        self._tool.close()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._bench)
        os.close(self._bench)
        self._tool.close()

    def _from_tool(self, data: bytes) -> None:
        if passed := self._to_terminal(data):
            os.write(self._bench, passed)

    def _from_terminal(self) -> None:
        if passed := self._to_tool(os.read(self._bench, 4096)):
            self._tool.write(passed)


@asynccontextmanager
async def wire(
    terminal: Terminal, to_terminal: Filter = bytes, to_tool: Filter = bytes
) -> AsyncIterator[Wire]:
    between = Wire(terminal.place.service_bench, terminal.place.run / "tool", to_terminal, to_tool)
    between.open()
    try:
        yield between
    finally:
        between.close()


async def log_of(place: Place, *what: str) -> list[dict[str, Any]]:
    told = await vafa_keys(place, "log", "--format", "json")
    assert told.code == 0, told.err
    return [one for one in map(json.loads, told.out.splitlines()) if one["what"] in what]


def identifier(place: Place) -> str:
    return place.settings.terminals[0].initial_key_id.hex().upper()


def secrets_of(place: Place) -> tuple[bytes, ...]:
    """The terminal's initial key, its BDK and its transport key, opened and derived outside the HSM."""
    master = BlockMasterKey(read_master_key(place.settings.hsm.master_key_file))
    registered = place.settings.terminals[0].initial_key_id
    base = master.unwrap(place.store.key(base_key_name(registered)).reference).key
    transport = master.unwrap(place.store.key(transport_key_name(ID)).reference).key
    return initial_key(base, registered), base, transport


def left_in_clear(place: Place, told: Told) -> list[str]:
    """Where one of them stands, but for the file that the terminal is flashed with."""
    files = {path: text for path, text in place.files().items() if Path(path).suffix != ".json"}
    files |= {"keys.json": (place.data / "keys.json").read_bytes(), "out": told.raw, "err": told.err.encode()}
    return [
        name
        for name, text in files.items()
        for secret in secrets_of(place)
        if secret in text or secret.hex().encode() in text.lower()
    ]


def stored_keys(place: Place) -> bytes:
    return (place.data / "terminals" / ID / "keys").read_bytes()


def test_an_empty_terminal_is_loaded_and_a_loaded_one_only_when_asked(place: Place) -> None:
    async def play() -> None:
        async with terminal_of(place) as terminal:
            await terminal.screen("no_keys")
            bench = terminal.place.service_bench
            told = await inject(place, bench)
            assert told.code == 0, told.err
            kcv, ksn = check_value(secrets_of(place)[0], "A"), identifier(place) + "00010000"
            assert told.out == f"terminal {ID}: KSN {ksn}, KCV {kcv}, officers {FIRST[0]}, {SECOND[0]}\n"
            assert left_in_clear(place, told) == []
            await terminal.screen("signing_on")
            before, lines = stored_keys(place), await log_of(place, "injected", "inject-offered")
            told = await inject(place, bench)
            assert (told.code, told.raw) == (2, b"")
            assert "give --replace" in told.err
            assert stored_keys(place) == before
            assert await log_of(place, "injected", "inject-offered") == lines
            told = await inject(place, bench, "--replace")
            assert told.code == 0, told.err
            first, second = await log_of(place, "injected")
            assert (first["terminal"], first["ksn"], first["check_value"]) == (ID, ksn, kcv)
            assert (first["officer_1"], first["officer_2"]) == (FIRST[0], SECOND[0])
            assert second["ksn"] == identifier(place) + "00020000"
            await terminal.kill()
            await terminal.restart()
            await terminal.screen("signing_on")

    asyncio.run(play())


def test_another_terminal_is_not_loaded(place: Place) -> None:
    async def play() -> None:
        async with terminal_of(place) as terminal:
            await terminal.screen("no_keys")
            bench = terminal.place.service_bench
            told = await inject(place, bench, terminal="10000002")
            assert told.code == 1
            assert f"is terminal {ID}, not 10000002" in told.err
            told = await inject(place, bench, terminal="99999999")
            assert told.code == 2
            assert "[[terminals]]" in told.err
        strange = Options(settings={"port": NOBODY_LISTENS, "transport_key": "44" * 16})
        async with terminal_of(place, strange) as terminal:
            await terminal.screen("no_keys")
            told = await inject(place, bench)
            assert told.code == 1
            assert "another transport key" in told.err
        assert await log_of(place, "injected", "inject-offered") == []

    asyncio.run(play())


def test_a_noisy_line(place: Place) -> None:
    """Garbage everywhere, and the key damaged on its way the first time."""
    damaged: list[bytes] = []

    def to_terminal(data: bytes) -> bytes:
        if b"K1|" in data and not damaged:
            damaged.append(data)
            return b"\x00\xff" + data.replace(b"K1|", b"K1}")
        return b"\x03\x7f" + data

    def to_tool(data: bytes) -> bytes:
        return b"\xffnoise\x02" + data

    async def play() -> None:
        async with terminal_of(place) as terminal, wire(terminal, to_terminal, to_tool) as line:
            await terminal.screen("no_keys")
            told = await inject(place, line.path)
            assert told.code == 0, told.err
            assert damaged
            assert len(await log_of(place, "inject-offered")) == 2
            (injected,) = await log_of(place, "injected")
            assert injected["ksn"] == identifier(place) + "00020000"
            await terminal.screen("signing_on")

    asyncio.run(play())


@pytest.mark.parametrize("arrives", [False, True])
def test_unplugged_while_the_key_is_on_its_way(place: Place, arrives: bool) -> None:
    async def play() -> None:
        async with terminal_of(place) as terminal:
            await terminal.screen("no_keys")
            assert (await inject(place, terminal.place.service_bench)).code == 0
            await terminal.screen("signing_on")
            before = stored_keys(place)

            def to_terminal(data: bytes) -> bytes:
                if b"K1|" in data and not arrives:
                    asyncio.get_running_loop().call_soon(line.cut)
                    return data[:20]
                return data

            def to_tool(data: bytes) -> bytes:
                if b"OK|" in data:
                    asyncio.get_running_loop().call_soon(line.cut)
                    return b""
                return data

            async with wire(terminal, to_terminal, to_tool) as line:
                told = await inject(place, line.path, "--replace")
            assert (told.code, told.raw) == (3, b"")
            assert "the line is lost" in told.err
            assert "try: check the cable" in told.err
            assert (stored_keys(place) == before) == (not arrives)
            assert len(await log_of(place, "injected")) == 1
            assert [one["ksn"][16:] for one in await log_of(place, "inject-offered")] == [
                "00010000",
                "00020000",
            ]
            # Whichever keys it has, loading again goes on above whatever it may have used.
            await terminal.kill()
            await terminal.restart()
            await terminal.screen("signing_on")
            told = await inject(place, terminal.place.service_bench, "--replace")
            assert told.code == 0, told.err
            assert identifier(place) + "00030000" in told.out

    asyncio.run(play())


def test_a_purchase_after_every_injection_and_no_counter_twice(place: Place) -> None:
    def mark() -> int:
        with apsw.Connection(
            str(place.data / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY
        ) as connection:
            ((counter,),) = connection.execute(
                "SELECT counter FROM key_mark WHERE initial_key = ?",
                (place.settings.terminals[0].initial_key_id,),
            )
            return int(counter)

    async def play() -> None:
        switch = SwitchProcess(place.data)
        await switch.start()
        card = Deck().draw()
        seen = 0
        async with terminal_of(place, Options()) as terminal:
            await terminal.screen("no_keys")
            cashier = Cashier(terminal)
            for number, points in enumerate(("250", "500", "750")):
                told = await inject(place, terminal.place.service_bench, *["--replace"][:number])
                assert told.code == 0, told.err
                first = int(told.out.split("KSN ")[1][16:24], 16)
                assert first > seen
                await cashier.wait_until_idle()
                if not number:
                    await cashier.activate(card)
                visit = await cashier.earn(card, 2_500_000)
                earned = visit.of("earn")
                assert earned is not None
                assert (earned.approved, earned.balance) == (True, points)
                assert mark() >= first
                seen = mark()
        assert await switch.stop() == 0

    asyncio.run(play())


# ---------------------------------------------------------------- lines without a terminal


@pytest.fixture
def bare_line() -> Iterator[Path]:
    ends = os.openpty()
    yield Path(os.ttyname(ends[1]))
    for end in ends:
        os.close(end)


def test_a_silent_line(place: Place, bare_line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_inject, "ANSWER_SECONDS", 0.01)
    told = place.keys("inject", "--terminal", ID, "--port", bare_line, answers=BOTH)
    assert (told.code, told.raw) == (3, b"")
    assert "no terminal answers" in told.err
    assert "try: check the cable" in told.err


@pytest.mark.parametrize("port", ["absent", "file", "directory"])
def test_a_port_that_is_none(place: Place, tmp_path: Path, port: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    told = place.keys("inject", "--terminal", ID, "--port", tmp_path / port, answers=BOTH)
    assert told.code == 3
    assert "check --port" in told.err
    assert (tmp_path / "file").read_bytes() == b""


def test_a_blocked_terminal(place: Place, bare_line: Path) -> None:
    path = place.data / "switch.toml"
    path.write_text(path.read_text("utf-8").replace(f'id = "{ID}"', f'id = "{ID}"\nblocked = true'), "utf-8")
    told = place.keys("inject", "--terminal", ID, "--port", bare_line, answers=BOTH)
    assert (told.code, "is blocked" in told.err) == (1, True)
