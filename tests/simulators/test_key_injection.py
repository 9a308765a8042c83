"""Keys loaded into the real firmware through its service port, a pty, on MicroPython and CPython."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulators.firmware import INTERPRETERS, Options, Place, Terminal
from switch.defaults import write_private
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.dukpt_aes import initial_key
from switch.hsm.crypto.key_blocks import Header, OptionalBlock, wrap
from terminal.injection import frame

GENEROUS_SECONDS = 60
TERMINAL = "10000001"
BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
TRANSPORT_KEY = bytes.fromhex("33" * 16)
INITIAL_KEY_ID = "1234567890123456"
NOBODY_LISTENS = 9  # the discard port: the terminal may want a switch, and finds none
SETTINGS = {
    "terminal_id": TERMINAL,
    "acceptor_id": "100000000000001",
    "acceptor_name": {"en": "Vafa Shop", "fa": "فروشگاه وفا"},
    "host": "127.0.0.1",
    "port": NOBODY_LISTENS,
    "tpdu": None,
    "answer_timeout_ms": 15000,
    "reversal_interval_ms": 5000,
    "locale": "en",
    "receipt_locales": ["en"],
    "card_prefixes": ["936400"],
    "transport_key": TRANSPORT_KEY.hex(),
}


def key_block(identifier: str = INITIAL_KEY_ID) -> str:
    """The initial key of an id as a `D` block under the transport key."""
    header = Header("D", "B1", "A", "X", optional=(OptionalBlock("IK", identifier),))
    return wrap(TRANSPORT_KEY, header, initial_key(BASE_KEY, bytes.fromhex(identifier)))


def request(counter: int = 1, block: str | None = None, check: str | None = None) -> str:
    key = initial_key(BASE_KEY, bytes.fromhex(INITIAL_KEY_ID))
    first = f"{INITIAL_KEY_ID}{counter:08X}"
    return f"K1|{TERMINAL}|{first}|{check or check_value(key, 'A')}|{block or key_block()}"


class Bench:
    """Whoever sits at the other end of the service cable."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    async def ask(self, payload: str) -> str:
        os.write(self._descriptor, frame(payload))
        got = b""
        async with asyncio.timeout(GENEROUS_SECONDS):
            while b"\x03" not in got[:-1]:
                got += await self._read()
        text = got[1 : got.index(b"\x03")].decode("ascii")
        assert got == frame(text)
        return text

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._descriptor, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, 4096)

    def close(self) -> None:
        os.close(self._descriptor)


@asynccontextmanager
async def terminal_without_keys(
    data: Path, interpreter: str, **settings: object
) -> AsyncIterator[tuple[Terminal, Bench]]:
    (data / "terminals").mkdir(exist_ok=True)
    write_private(data / "terminals" / f"{TERMINAL}.json", json.dumps({**SETTINGS, **settings}))
    async with started(data, interpreter) as terminal:
        yield terminal


@asynccontextmanager
async def started(data: Path, interpreter: str) -> AsyncIterator[tuple[Terminal, Bench]]:
    place = Place(data, TERMINAL)
    terminal = Terminal(place, INTERPRETERS[interpreter](), Options())
    await terminal.start()
    bench = Bench(place.service_bench)
    try:
        yield terminal, bench
    finally:
        bench.close()
        await terminal.stop()


@pytest.mark.parametrize("interpreter", list(INTERPRETERS))
def test_injection_over_the_service_port(tmp_path: Path, interpreter: str) -> None:
    async def play() -> None:
        async with terminal_without_keys(tmp_path, interpreter) as (terminal, bench):
            await terminal.screen("no_keys")
            transport_value = check_value(TRANSPORT_KEY, "A")
            assert await bench.ask("V1?") == f"V1|{TERMINAL}|empty|{transport_value}"
            assert (await bench.ask(request(check="000000"))).startswith("ERR|KCV|")
            changed = key_block()[:-1] + "G"  # no hexadecimal digit
            assert (await bench.ask(request(block=changed))).startswith("ERR|BLOCK|")
            other = key_block("1234567890123457")
            assert (await bench.ask(request(block=other, check="B75C0C"))).startswith("ERR|KSN|")
            assert await bench.ask(request()) == "OK|05EF45"
            await terminal.screen("signing_on")
            assert await bench.ask("V1?") == f"V1|{TERMINAL}|loaded|{transport_value}"
            await terminal.kill()
            await terminal.restart()
            assert (await terminal.screen()).name == "signing_on"
            assert (await bench.ask(request())).startswith("OK|")  # nothing was sent under it yet
            assert (await bench.ask(request(counter=0x1000))).startswith("OK|")
            assert (await bench.ask(request(counter=0x0FFF))).startswith("ERR|KSN|")
        secrets = [initial_key(BASE_KEY, bytes.fromhex(INITIAL_KEY_ID)), TRANSPORT_KEY]
        for path in (tmp_path / "terminals" / TERMINAL).iterdir():
            for secret in secrets:
                assert secret not in path.read_bytes()
                assert secret.hex() not in path.read_bytes().decode("latin-1").lower()

    asyncio.run(play())


def test_a_key_block_in_the_settings_needs_nobody_at_the_port(tmp_path: Path) -> None:
    async def play() -> None:
        given = {"key_block": key_block(), "key_serial": f"{INITIAL_KEY_ID}00000001"}
        async with terminal_without_keys(tmp_path, "micropython", **given) as (terminal, bench):
            await terminal.screen("signing_on")
            assert (await bench.ask("V1?")).split("|")[2] == "loaded"

    asyncio.run(play())


def kept_in(data: Path) -> set[str]:
    """Files of a data directory that hold a key block."""
    block = key_block()[-40:].encode()
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file() and has(path, block)}


def has(path: Path, text: bytes) -> bool:
    return text in path.read_bytes()


BLOCK_IN_SETTINGS = {"key_block": key_block(), "key_serial": f"{INITIAL_KEY_ID}00000001"}
GIVEN, RUNNING = f"terminals/{TERMINAL}.json", f"run/{TERMINAL}/settings.json"


@pytest.mark.parametrize("interpreter", list(INTERPRETERS))
def test_a_key_block_that_was_loaded_is_kept_nowhere_and_comes_back_at_no_start(
    tmp_path: Path, interpreter: str
) -> None:
    async def play() -> None:
        async with terminal_without_keys(tmp_path, interpreter, **BLOCK_IN_SETTINGS) as (terminal, _):
            await terminal.screen("signing_on")
            assert kept_in(tmp_path) == set()
        for told in (GIVEN, RUNNING):
            assert json.loads((tmp_path / told).read_text("utf-8")) == SETTINGS
        async with started(tmp_path, interpreter) as (terminal, _):
            await terminal.screen("signing_on")
            assert kept_in(tmp_path) == set()

    asyncio.run(play())
    files = [tmp_path / GIVEN, tmp_path / RUNNING, *(tmp_path / "terminals" / TERMINAL).iterdir()]
    assert "keys" in {path.name for path in files}
    assert {path.name for path in files if path.stat().st_mode & 0o077} == set()


def test_a_key_block_that_was_not_loaded_yet_is_given_again(tmp_path: Path) -> None:
    async def play() -> None:
        async with terminal_without_keys(tmp_path, "micropython", **BLOCK_IN_SETTINGS) as (terminal, _):
            await terminal.screen("signing_on")
        # As if the power had gone before the firmware did anything: it has stored nothing.
        (tmp_path / "terminals" / TERMINAL / "keys").unlink()
        running = json.loads((tmp_path / RUNNING).read_text("utf-8"))
        (tmp_path / RUNNING).write_text(json.dumps({**running, **BLOCK_IN_SETTINGS}), "utf-8")
        (tmp_path / RUNNING).with_name(".settings.json.1").write_text(key_block(), "utf-8")  # half written
        async with started(tmp_path, "micropython") as (terminal, _):
            await terminal.screen("signing_on")
            assert kept_in(tmp_path) == set()

    asyncio.run(play())


def test_a_storage_of_another_terminal_gives_no_keys(tmp_path: Path) -> None:
    async def play() -> None:
        async with terminal_without_keys(tmp_path, "micropython") as (terminal, bench):
            await bench.ask(request())
        other = {"transport_key": "44" * 16}
        async with terminal_without_keys(tmp_path, "micropython", **other) as (terminal, bench):
            await terminal.screen("keys_damaged")

    asyncio.run(play())
