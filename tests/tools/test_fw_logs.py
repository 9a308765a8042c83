"""What a terminal says live, as `vafa fw logs` shows it."""

from __future__ import annotations

import os
import tty
from pathlib import Path

from tests.tools.fw_kit import fw

SAID = b"""\
{"event": "boot"}\r
MicroPython v1.25\r
{"event": "log", "level": "info", "what": "line: up"}\r
"""


def test_a_console_is_followed() -> None:
    board, ours = os.openpty()
    tty.setraw(ours)
    os.write(board, SAID)
    told = fw("logs", os.ttyname(ours), "--count", "3")
    os.close(board)
    os.close(ours)
    assert told.code == 0, told.err
    assert told.out.splitlines() == ["boot    {}", "MicroPython v1.25", "info    line: up"]
    gone = fw("logs", Path("/dev") / "ttyGone")
    assert gone.code == 3
    assert "can't be opened" in gone.err
