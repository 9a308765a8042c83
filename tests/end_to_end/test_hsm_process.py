"""A switch whose keys are in a simulated HSM, a process of its own, and what happens when that dies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from simulators.campaigns import hsm_kills
from simulators.campaigns.scene import BEFORE_POINTS, approved, scene
from simulators.campaigns.shop import verify_ledger
from simulators.firmware import Interpreter
from switch.hsm import KeyState, KeyStore
from switch.settings import load_for
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide
from tools import demo_hsm
from tools.cli import CommandError

EARN_RIAL = 1_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose box was started and stopped once, to be looked at."""
    data = tmp_path_factory.mktemp("made")
    asyncio.run(start_once(data))
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be used."""
    return shutil.copytree(made, tmp_path / "data")


async def start_once(data: Path) -> int:
    """Start its box and stop it; the port."""
    async with demo_hsm.running(data) as box:
        return box.port


def told(data: Path, terminal: str) -> dict[str, str]:
    content: dict[str, str] = json.loads((data / "terminals" / f"{terminal}.json").read_text("utf-8"))
    return content


def test_a_dead_hsm_declines_and_one_that_is_back_approves(data: Path, micropython: Interpreter) -> None:
    said: list[str] = []

    async def play() -> list[str]:
        async with demo_hsm.running(data) as box:
            async with scene(data, micropython, seed=1, on_line=said.append) as at:
                assert await at.balance() == BEFORE_POINTS
                await box.kill()
                await at.cashier.begin_earn(at.card, EARN_RIAL)
                await at.terminal.screen("reversal")
                assert at.terminal.printer.receipts == [] or "100" not in at.terminal.printer.receipts[-1]
                await box.start()
                visit = await at.cashier.wait_until_idle()
                reversal = visit.of("reversal")
                assert reversal is not None
                assert reversal.approved
                assert await at.balance() == BEFORE_POINTS
                earned = approved(await at.cashier.earn(at.card, EARN_RIAL), "earn")
                assert (earned.points, earned.balance) == ("100", "150")
            return await at.shop.audit()

    assert asyncio.run(play()) == []
    events = [json.loads(line).get("event") for line in said if line.startswith('{"')]
    assert events.index("HSM lost") < events.index("HSM connected again")


def test_requests_under_way_in_the_hsm_when_it_dies_get_91_and_book_nothing(data: Path) -> None:
    def before(switch: RunningSwitch) -> tuple[list[TerminalSide], list[str]]:
        sides = [TerminalSide(switch, number) for number in range(3)]
        return sides, [side.activated_card(points=7) for side in sides]

    async def play() -> None:
        async with demo_hsm.running(data) as box:
            switch = await asyncio.to_thread(RunningSwitch, data)
            sides, cards = await asyncio.to_thread(before, switch)
            earns = [side.earn(card, EARN_RIAL) for side, card in zip(sides, cards, strict=True)]
            os.kill(box.pid, signal.SIGSTOP)  # it takes requests and answers none
            answers = [
                asyncio.create_task(asyncio.to_thread(side.exchange, side.sealed(earn)))
                for side, earn in zip(sides, earns, strict=True)
            ]
            # One that is refused already shows that the others are at the box or were.
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            await box.kill()
            for answer in await asyncio.gather(*answers):
                message = DIALECT.decode(answer)
                assert message["39"] == "91"
                assert "64" not in message.fields, "it was given out under no key"
            await box.start()
            await asyncio.to_thread(switch.events, "event", "HSM connected again")
            for side, card, earn in zip(sides, cards, earns, strict=True):
                taken_back = await asyncio.to_thread(side.ask, side.reversal_of(earn))
                assert taken_back["39"] == "00"
                assert await asyncio.to_thread(side.points, card) == 7
                again = await asyncio.to_thread(side.ask, side.earn(card, EARN_RIAL))
                assert again["39"] == "00"
                assert await asyncio.to_thread(side.points, card) == 107
            assert await asyncio.to_thread(switch.stop) == 0
            assert await verify_ledger(data) == []

    asyncio.run(play())


def test_kills_of_the_hsm_in_full_trade_lose_nothing_and_book_nothing_twice(
    tmp_path: Path, micropython: Interpreter
) -> None:
    summary = asyncio.run(hsm_kills.run(tmp_path, micropython, kills=2, terminals=2, seed=1))
    assert summary.problems == []
    assert summary.kills == 2
    assert summary.approved > 0


def test_what_is_there_is_not_made_again(data: Path) -> None:
    port = load_for(data, None).hsm.port
    files = [path for path in sorted(data.rglob("*")) if path.is_file() and "audit" not in path.name]
    before = {path: path.read_bytes() for path in files}
    assert asyncio.run(start_once(data)) == port
    assert {path: path.read_bytes() for path in files} == before
    private = [path for path in files if path.suffix != ".crt"]
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    assert load_for(data, None).hsm.port == port


def test_a_port_that_somebody_has_taken_since_is_left_to_him(data: Path) -> None:
    port = load_for(data, None).hsm.port

    async def play() -> int:
        taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
        async with taken:
            return await start_once(data)

    after = asyncio.run(play())
    assert after != port
    assert load_for(data, None).hsm.port == after


def test_a_terminals_file_that_was_lost_gets_a_new_key_from_the_box(data: Path) -> None:
    first = told(data, "10000003")
    (data / "terminals" / "10000003.json").unlink()
    asyncio.run(start_once(data))
    second = told(data, "10000003")
    assert second["transport_key"] != first["transport_key"]
    store = KeyStore.load(data / "keys.json")
    states = [version.state for version in store.versions("transport/10000003")]
    assert states == [KeyState.RETIRED, KeyState.ACTIVE]
    assert [version.state for version in store.versions("transport/10000004")] == [KeyState.ACTIVE]


def test_no_clear_key_of_the_box_lies_anywhere(made: Path) -> None:
    passphrases = (made / "hsm" / "officers.txt").read_text().splitlines()[1::2]
    transport = [told(made, f"100000{number:02d}")["transport_key"] for number in range(1, 11)]
    assert len(set(transport)) == 10
    for path in sorted(made.rglob("*")):
        if not path.is_file():
            continue
        text = path.read_bytes().decode("latin-1").lower()
        if path.name != "officers.txt":
            assert not any(passphrase in text for passphrase in passphrases), path
        if path.parent.name != "terminals":
            assert not any(key.lower() in text for key in transport), path


def test_what_is_broken_in_its_directory_is_told(data: Path) -> None:
    hsm = data / demo_hsm.DIRECTORY
    for name, content, said in (
        ("officers.txt", None, r"officers\.txt is missing"),
        ("officers.txt", "officer-1\n", r"officers\.txt: 1 lines"),
        ("hsm.toml", "[hsm_simulator]\nprot = 1\n", "prot is not known"),
        ("hsm.toml", "[hsm_simulator]\ndata = '.'\n", r"no line `port = …` in \[hsm_simulator\]"),
        ("tls/authority.key", None, r"authority\.key is missing"),
        ("hsm.json", "{}", "is no sealed LMK"),
    ):
        before = (hsm / name).read_bytes()
        if content is None:
            (hsm / name).unlink()
        else:
            (hsm / name).write_text(content)
        with pytest.raises(CommandError, match=said):
            asyncio.run(start_once(data))
        (hsm / name).write_bytes(before)
        (hsm / name).chmod(0o600)
    (hsm / "officers.txt").chmod(0o644)
    with pytest.raises(CommandError, match="others may read it"):
        asyncio.run(start_once(data))


def test_a_directory_that_can_not_be_written_is_told() -> None:
    with pytest.raises(CommandError, match="can't be written"):
        asyncio.run(start_once(Path("/proc/1")))  # nobody makes files there, root neither
