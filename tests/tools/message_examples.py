"""The commands shown in docs/message_kit.md, run for real. `python -m tests.tools.message_examples` writes
their output into the page again; a test says when it is stale.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.tools.kit import CHECKOUT

PAGE = CHECKOUT / "docs" / "message_kit.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN_PORT = "8583"  # in the page; the test takes a free one
# What differs from run to run, and what the page shows instead.
VOLATILE = (
    (re.compile(r"\d+\.\d ms"), "0.5 ms"),
    (re.compile(r"peer=127\.0\.0\.1:\d+"), "peer=127.0.0.1:40000"),
)
MARK = "\x1e"


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    with tempfile.TemporaryDirectory() as directory, _host(Path(directory)) as port:
        return BLOCK.sub(lambda block: _run_block(block[1], Path(directory), port), page)


def _run_block(block: str, directory: Path, port: str) -> str:
    commands = _commands(block)
    script = "\n".join(f"printf '{MARK}'; {command.replace(SHOWN_PORT, port)}" for command in commands)
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=_environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    # the port alone: its digits may also stand within a message's hex
    outputs = re.sub(rf"\b{port}\b", SHOWN_PORT, ended.stdout).split(MARK)[1:]
    assert len(outputs) == len(commands), ended.stdout
    shown = "".join(
        f"$ {command}\n{_settled(output)}" for command, output in zip(commands, outputs, strict=True)
    )
    return f"```console\n{shown}```"


def _commands(block: str) -> list[str]:
    """Commands with the lines that continue them: behind a backslash, and to the END of a here-document."""
    commands: list[str] = []
    in_document = False
    for line in block.splitlines():
        if in_document or (commands and commands[-1].endswith("\\")):
            commands[-1] += "\n" + line
            in_document = in_document and line != "END"
        elif line.startswith("$ "):
            commands.append(line[2:])
            in_document = line.endswith("<<'END'")
    return commands


def _settled(output: str) -> str:
    for pattern, instead in VOLATILE:
        output = pattern.sub(instead, output)
    return output if not output or output.endswith("\n") else output + "\n"


def _environment(directory: Path) -> dict[str, str]:
    command = directory / "bin" / "vafa"
    if not command.exists():
        command.parent.mkdir()
        program = f"exec {shlex.quote(sys.executable)} -c 'from tools.cli import main; main()' \"$@\"\n"
        command.write_text(f"#!/bin/sh\n{program}")
        command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAFA_")}
    return {**kept, "PATH": path, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "100"}


@contextlib.contextmanager
def _host(directory: Path) -> Iterator[str]:
    """The host that the page starts with `vafa message serve`, on a free port."""
    command = [str(directory / "bin" / "vafa"), "message", "serve", "--port", "0", "--dialect", "iso87-ascii"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=directory, env=_environment(directory)
    )
    assert process.stdout is not None
    try:
        listening = process.stdout.readline()
        yield re.findall(r"port=(\d+)", listening)[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        process.stdout.close()


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
