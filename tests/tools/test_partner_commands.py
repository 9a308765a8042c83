"""`vafa partner` and `vafa keys change`: what they say of mappings and partners, what a switch does then."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from simulators.partner import Bank
from switch.hsm import KeyStore
from switch.iso8583 import Message
from switch.link.stream import Client
from switch.partners.mapping_file import SHIPPED
from tests.server.partner_kit import BANK, COMPONENTS, UP_S, PartneredSwitch
from tests.tools.keys_kit import BOTH, FIRST, FOUNDING, Place, quick_and_open
from tools.cli import run

Result = TypeVar("Result")
MAPPING = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")
OTHER = '\n[[partners]]\nname = "OTHER"\nport = 0\nacquirers = ["627001"]\nmapping = "mine.toml"\n'


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartneredSwitch]:
    running = PartneredSwitch(tmp_path_factory.mktemp("switch"))
    yield running
    running.stop()


def test_check_names_every_mistake_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MAPPING.replace('"51" = "51"', "").replace('"4" = "4"', '"4" = "204"'), encoding="utf-8")
    assert run(["partner", "check", str(file)]) == 4
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"{file}:")
    assert "request.4: dialect iso87-ascii has no 204" in told[0]
    assert "nothing for our 51" in told[1]
    assert told[2] == f"error: {file}: 2 mistakes"
    file.write_text(MAPPING, encoding="utf-8")
    assert run(["partner", "check", str(file)]) == 0
    assert "good, for messages of iso87-ascii" in capsys.readouterr().out


def test_check_and_list_say_what_the_settings_partners_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Place(tmp_path / "data").data
    settings = data / "switch.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + OTHER, encoding="utf-8")
    assert run(["partner", "check", "--data", str(data)]) == 1
    told = capsys.readouterr().err
    assert f"{data / 'mine.toml'}: No such file" in told
    assert "OTHER: key zone/OTHER/mac-receive is missing" in told
    assert run(["partner", "list", "--data", str(data), "--format", "json"]) == 0
    [partner] = json.loads(capsys.readouterr().out)["partners"]
    assert (partner["name"], partner["state"], partner["acquirers"]) == ("OTHER", "in service", ["627001"])
    assert set(partner["keys"].values()) == {""}
    assert run(["partner", "block", "OTHER", "--data", str(data)]) == 0
    assert run(["partner", "list", "--data", str(data)]) == 0
    assert "blocked" in capsys.readouterr().out
    assert run(["partner", "unblock", "OTHER", "--data", str(data)]) == 0
    assert run(["partner", "block", "NOBODY", "--data", str(data)]) == 2
    assert "partners there: OTHER" in capsys.readouterr().err


def test_a_mapping_that_can_not_be_used_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Place(tmp_path / "data").data
    settings = data / "switch.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + OTHER, encoding="utf-8")
    (data / "mine.toml").write_text(MAPPING.replace('"41" = "41"', '"41" = "241"'), encoding="utf-8")
    assert run(["switch", "run", "--data", str(data), "--port", "0"]) == 4
    told = capsys.readouterr().err
    assert "partner OTHER: its mapping can't be used" in told
    assert f"{data / 'mine.toml'}:" in told
    assert not (data / "ledger.sqlite").exists(), "no ledger is taken over for nothing"


@contextmanager
def bank_at_work(bank: Bank, switch: PartneredSwitch) -> Iterator[Callable[[Message], Message]]:
    """The bank on a thread of its own, so that a command can run in this one; asks the switch."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def done(work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, loop).result(UP_S)

    async def begin() -> Client:
        client = bank.client(switch.partner_port)
        client.start()
        await client.up(UP_S)
        await bank.first_keys(client)
        return client

    try:
        client = done(begin())
        yield lambda message: done(bank.ask(client, message))
        done(client.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_two_officers_have_the_running_switch_change_a_key(switch: PartneredSwitch, tmp_path: Path) -> None:
    bank = Bank(tmp_path, BANK, COMPONENTS)
    place = Place(switch.directory)
    name = f"zone/{BANK}/mac-send"
    with quick_and_open():
        place.done("officer", "add", answers=FOUNDING)
        alone = place.keys("change", name, answers=BOTH)
        assert alone.code == 1
        assert "no line to it is up" in alone.err
        with bank_at_work(bank, switch) as ask:
            for version in (1, 2):
                told = place.done("change", name).out.splitlines()[-1]
                assert told.startswith(f"{name} v{version}: active, KCV ")
                received = KeyStore.load(bank.path).key(f"zone/{BANK}/mac-receive")
                assert told.endswith(received.check_value)
                assert ask(bank.balance("9364001234567897"))["39"] == "14"
        logged = [record for record in place.log() if record["what"] == "change"]
        assert [record["partner_key"] for record in logged] == [name] * 3
        one = place.keys("change", name, answers=FIRST * 2)
        assert one.code == 2, "one officer is not two"
        assert "can't be both" in one.err
        assert place.keys("change", f"zone/{BANK}/mac-receive", answers=BOTH).code == 2
        assert place.keys("change", "zone/NOBODY/mac-send", answers=BOTH).code == 2


def test_without_a_switch_nothing_is_asked(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    path = place.data / "switch.toml"
    path.write_text(path.read_text(encoding="utf-8") + OTHER, encoding="utf-8")
    with quick_and_open():
        place.done("officer", "add", answers=FOUNDING)
        told = place.keys("change", "zone/OTHER/pin-send", answers=BOTH)
    assert told.code == 2
    assert "no switch runs here" in told.err
    assert not (place.data / "zone-changes").exists()
