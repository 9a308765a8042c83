"""`vafa sim`: what it refuses, and how it says so; a reader and a terminal as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

from simulators.process import ROOT, VAFA
from simulators.switch_process import SwitchProcess
from tests.forked import vafa

GENEROUS_SECONDS = 120


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (("swipe",), 3, "no firmware runs with the data directory", "vafa demo --data"),
        (("swipe", "--terminal", "10000004"), 3, "terminal 10000004 does not run", "vafa sim terminal"),
        (("swipe", "--corrupt", "smell"), 2, "unknown corruption 'smell'; known: bad_lrc", "--help"),
        (("swipe", "--card", "12", "--control", "nowhere"), 2, "8-19 digits", "--new"),
        (("swipe", "--value", "12", "--control", "nowhere"), 2, "has 3 digits", "--value 000"),
        (("swipe", "--control", "nowhere"), 3, "nothing listens at nowhere", "vafa sim terminal"),
        (("keys", "12E"), 2, "there is no key 'E'", 'vafa sim keys "2500000#"'),
        (("keys", "1#"), 3, "no firmware runs", "vafa demo"),
        (("till", "last"), 3, "no firmware runs", "vafa demo"),
        (("modem", "busy"), 3, "no firmware runs", "vafa demo"),
        (("terminal", "--line", "isdn"), 2, "unknown line 'isdn'", "--line tcp --line dial"),
        (("terminal", "--till", "abacus"), 2, "unknown register 'abacus'", "columns or fields"),
        (("terminal",), 4, "terminal 10000001 is not registered", "vafa switch run"),
        (
            ("terminal", "--interpreter", "abacus"),
            2,
            "unknown interpreter 'abacus'",
            "micropython or cpython",
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: int, error: str, hint: str
) -> None:
    run = vafa("sim", *arguments, "--data", str(tmp_path))
    assert run.returncode == code, run.stderr
    said, try_next = run.stderr.splitlines()
    assert error in said
    assert hint in try_next
    assert run.stdout == ""


class Output:
    """What a running command prints, read as it comes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([*VAFA, *arguments], cwd=ROOT, stdout=subprocess.PIPE)
        self.text = ""

    def until(self, words: str) -> None:
        assert self.process.stdout is not None
        while words not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], GENEROUS_SECONDS)
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"no {words!r} in the output:\n{self.text}"
            self.text += chunk.decode("utf-8", "replace")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(GENEROUS_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def test_a_reader_that_stands_alone(tmp_path: Path) -> None:
    link, control = tmp_path / "reader", tmp_path / "reader.control"
    reader = Output("sim", "reader", "--link", str(link), "--control", str(control), "--pace", "0")
    reader.until("ready")
    assert link.is_symlink()
    swipe = vafa(
        "sim", "swipe", "--control", str(control), "--data", str(tmp_path), "--corrupt", "noise", "--json"
    )
    assert swipe.returncode == 0, swipe.stderr
    assert re.fullmatch(
        r'\{"card": "936400\*{6}[0-9]{4}", "sent_bytes": [0-9]+, "corrupt": "noise"\}\n', swipe.stdout
    )
    assert reader.stop() == 0
    assert not link.is_symlink()


def test_a_terminal_beside_a_running_switch(tmp_path: Path) -> None:
    async def scene() -> None:
        switch = SwitchProcess(tmp_path)
        await switch.start()
        terminal = Output(
            "sim", "terminal", "--terminal", "10000003", "--data", str(tmp_path), "--locale", "fa"
        )
        try:
            await asyncio.to_thread(terminal.until, "کارت بکشید")
            again = await asyncio.to_thread(
                vafa, "sim", "terminal", "--terminal", "10000003", "--data", str(tmp_path)
            )
            assert again.returncode == 4
            assert "is in use by another process" in again.stderr
            press = await asyncio.to_thread(vafa, "sim", "keys", "D", "--data", str(tmp_path))
            assert press.returncode == 0, press.stderr
            await asyncio.to_thread(terminal.until, "* بازگشت")
            swipe = await asyncio.to_thread(vafa, "sim", "swipe", "--data", str(tmp_path), "--tear", "3")
            assert swipe.returncode == 0, swipe.stderr
            await asyncio.to_thread(terminal.until, "A با رمز")
            no_pin = await asyncio.to_thread(vafa, "sim", "keys", "#", "--data", str(tmp_path))
            assert no_pin.returncode == 0, no_pin.stderr
            await asyncio.to_thread(terminal.until, "Activate card")
            flow = await asyncio.to_thread(
                vafa, "sim", "flow", "earn_amount_first", "amount=2500000", "--data", str(tmp_path)
            )
            assert flow.stdout.splitlines() == ["earn: approved, points 250, balance 250", "receipts: 2"]
            over = await asyncio.to_thread(
                vafa, "sim", "flow", "redeem", "points=251", "--json", "--data", str(tmp_path)
            )
            assert over.returncode == 1
            assert json.loads(over.stdout)["transactions"][0]["response_code"] == "51"
            without = await asyncio.to_thread(
                vafa, "sim", "flow", "balance_by_mobile", "--data", str(tmp_path)
            )
            assert without.returncode == 3
            assert "needs a value for mobile" in without.stderr
        finally:
            assert terminal.stop() == 0
            await switch.stop()

    asyncio.run(scene())
