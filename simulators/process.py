"""A child process of ours: its output line by line, its end awaited, and never outliving its parent.

Used for the switch, the firmware and device processes. What the lines mean is the owner's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

MAXIMUM_LINE_BYTES: Final = 256 * 1024  # a screen event carries its lines; far below this
KEPT_LINES: Final = 200  # of each stream, for failure messages
STOP_SECONDS: Final = 120.0  # how long a polite stop may take before the process is killed; machines are busy
_PR_SET_PDEATHSIG: Final = 1

ROOT: Final = Path(__file__).resolve().parent.parent
# The `vafa` command. Not `-m tools.cli`: as `__main__` its errors would not be the ones its commands raise.
VAFA: Final = (sys.executable, "-c", "from tools.cli import main; main()")


class ProcessEnded(Exception):
    """The process ended while something was expected of it. The text holds its last words."""


class Process:
    """One running child. `on_stdout` and `on_stderr` get each line without its end."""

    def __init__(self, name: str, child: asyncio.subprocess.Process) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._child = child
        self._pumps: list[asyncio.Task[None]] = []

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        directory: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        on_stdout: Callable[[str], None] | None = None,
        on_stderr: Callable[[str], None] | None = None,
    ) -> Process:
        """Start `arguments` in `directory`; `environment` is added to ours."""
        child = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            limit=MAXIMUM_LINE_BYTES,
            # Its own process group keeps Ctrl-C for the parent; not its own session, or the first pty the
            # child opens would become its controlling terminal and hang it up.
            process_group=0,
            preexec_fn=_ended_with_parent(),
        )
        process = cls(name, child)
        assert child.stdout is not None
        assert child.stderr is not None
        process._pumps = [
            asyncio.create_task(process._pump(child.stdout, "", on_stdout)),
            asyncio.create_task(process._pump(child.stderr, "stderr: ", on_stderr)),
        ]
        return process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """False as soon as its end has been noticed."""
        return self._child.returncode is None

    @property
    def returncode(self) -> int | None:
        """Its exit code (minus the signal's number), None while it runs."""
        return self._child.returncode

    async def wait(self) -> int:
        """Its exit code, after its last line was handed over."""
        code = await self._child.wait()
        await asyncio.wait(self._pumps)  # unlike awaiting them, does not cancel them when we are cancelled
        return code

    async def ready(self, said: asyncio.Event, timeout_seconds: float) -> None:
        """Returns when `said` is set. Raises ProcessEnded when the process ends before, or takes too long."""
        ended = asyncio.create_task(self._child.wait())
        is_said = asyncio.create_task(said.wait())
        await asyncio.wait((ended, is_said), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        has_ended = ended.done()
        for task in (ended, is_said):
            task.cancel()
        if said.is_set():
            return
        if has_ended:
            raise ProcessEnded(self.explain(f"ended with code {await self.wait()} before it was ready"))
        await self.kill()
        raise ProcessEnded(self.explain(f"was not ready within {timeout_seconds:g} s"))

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> int:
        """SIGTERM, SIGKILL when it does not obey; its exit code."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.wait()
        except TimeoutError:
            await self.kill()
            raise ProcessEnded(
                self.explain(f"did not stop within {STOP_SECONDS:g} s and was killed")
            ) from None

    def explain(self, what: str) -> str:
        """`what` happened to it, and its last lines."""
        lines = "\n".join(f"    {line}" for line in self.last_lines)
        return f"{self.name} {what}; its last lines:\n{lines or '    (none)'}"

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    async def _pump(
        self, stream: asyncio.StreamReader, prefix: str, hand_over: Callable[[str], None] | None
    ) -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                self.last_lines.append(f"{prefix}(a line longer than {MAXIMUM_LINE_BYTES} bytes was dropped)")
                continue
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.last_lines.append(prefix + line)
            if hand_over is not None:
                hand_over(line)


def _ended_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the program: ask the kernel to be killed when this process dies.

    All our processes survive a kill -9 by design, so the hardest signal loses nothing.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    parent = os.getpid()

    def bind() -> None:
        library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return bind
