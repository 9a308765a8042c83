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
{"event": "log", "level": "error", "what": "fault: KeyError at terminal/app.py, a"}\r
"""


def test_a_console_is_followed(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"app": {"a": "_resume"}}')
    board, ours = os.openpty()
    tty.setraw(ours)
    os.write(board, SAID)
    told = fw("logs", os.ttyname(ours), "--count", "4", "--names", tmp_path)
    os.close(board)
    os.close(ours)
    assert told.code == 0, told.err
    assert told.out.splitlines() == [
        "boot    {}",
        "MicroPython v1.25",
        "info    line: up",
        "error   fault: KeyError at terminal/app.py, _resume",
    ]
    unbuilt = fw("logs", "/dev/ttyGone", "--names", tmp_path / "nowhere")
    assert unbuilt.code == 2
    assert "nothing is built there" in unbuilt.err
    gone = fw("logs", Path("/dev") / "ttyGone")
    assert gone.code == 3
    assert "can't be opened" in gone.err
