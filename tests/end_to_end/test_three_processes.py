"""The whole path with three real processes: switch, firmware under MicroPython, reader on a
pseudo-terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.campaigns.shop import verify_ledger
from simulators.cards import Deck
from simulators.faults import FaultProxy
from simulators.firmware import Interpreter, Options, Place, Terminal
from simulators.issuing import issued
from simulators.receipts import read_receipt
from simulators.switch_process import SwitchProcess
from simulators.visit import SCRIPT, play
from switch.settings import load_for


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_a_visit_through_switch_firmware_and_reader(tmp_path: Path, micropython: Interpreter) -> None:
    async def scene() -> None:
        switch = SwitchProcess(tmp_path)
        await switch.start()
        line = FaultProxy(switch.host, switch.port)
        await line.start()
        settings = {"port": line.port, "reversal_interval_ms": 200}
        terminal = Terminal(
            Place(tmp_path, "10000001"), micropython, Options(settings=settings, reader_is_process=True)
        )
        try:
            await terminal.start()
            assert "micropython" in command_line(terminal.pid)
            assert "switch run" in command_line(switch.pid)
            assert "simulators.readers.magstripe" in command_line(terminal.reader_pid)
            [card] = await issued(load_for(tmp_path, None), [Deck().draw()])
            steps = await play(terminal, line, card)
            assert terminal.boots == 1
            assert terminal.faults == []
        finally:
            await terminal.stop()
            await line.stop()
            await switch.stop()

        assert [step.name for step in steps] == [name for name, _ in SCRIPT]
        assert [step for step in steps if not step.as_expected] == []
        printed = [receipt for step in steps for receipt in step.receipts]
        receipts = [read_receipt(receipt) for receipt in printed]
        of_members = [receipt for receipt in receipts if not receipt.is_merchants]
        assert [receipt.locale for receipt in of_members] == ["en", "fa"] * 6
        for english, persian in zip(of_members[::2], of_members[1::2], strict=True):
            assert english._replace(locale="") == persian._replace(locale="")
        [signed] = [receipt for receipt in receipts if receipt.is_merchants]
        assert (signed.locale, signed.flow, signed.points) == ("en", "redeem", 100)
        assert await verify_ledger(tmp_path) == []

    asyncio.run(scene())
