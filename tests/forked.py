"""`vafa` commands as processes of their own, without the start of an interpreter: most of a short command.

A copy of the test's process becomes the command: its own descriptors, environment, signals and exit code. For
commands that end by themselves and whose start is not what is tested; never for one that is killed or serves.
"""

from __future__ import annotations

import logging
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from tools import cli

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 120.0
SHELL_SYNTAX = frozenset("|&;<>()$`*?[]{}~!#=%\\\n")


def vafa(
    *arguments: str,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path = ROOT,
    together: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. given: its standard input; environment: beside ours; together: what it says
    on standard error stands in its output, where it said it."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(given.encode())
        asked.seek(0)
        process = os.fork()
        if process == 0:
            streams = (asked, out, out if together else err)
            _become(arguments, streams, {**os.environ, **(environment or {})}, directory)
        code = _ended(process)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(["vafa", *arguments], code, *texts)


def shown(command: str, directory: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command of a page as a shell runs it, all that it says together; bash runs what needs a shell."""
    if command.startswith("vafa ") and not SHELL_SYNTAX & set(command):
        _vafa, *words = shlex.split(command)
        return vafa(*words, environment=environment, directory=directory, together=True)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _become(
    arguments: Sequence[str], streams: Sequence[IO[bytes]], environment: Mapping[str, str], directory: Path
) -> NoReturn:
    code: int = cli.ExitCode.INTERNAL
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))  # a line cut by the test is cut for all
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.root.handlers.clear()
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["vafa", *arguments]
        code = cli.run(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(process: int) -> int:
    """Its exit code; one that hangs is killed."""
    watch = os.pidfd_open(process)
    try:
        if not select.select([watch], [], [], PATIENCE_S)[0]:
            os.kill(process, signal.SIGKILL)
    finally:
        os.close(watch)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
