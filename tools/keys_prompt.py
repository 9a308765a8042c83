"""How `vafa keys` talks to officers and custodians: questions, hidden answers, letters that leave no trace.

Answers come from the terminal, or as lines of the standard input when that is none. What is hidden is never
echoed; a letter is never written where it would stay: into a file.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import IO, Protocol

import typer

from tools.cli import CommandError, ExitCode

# Clears the screen and what a terminal keeps of the lines that scrolled away (ECMA-48 ED 2, xterm's ED 3).
CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"


class Prompt(Protocol):
    """What the commands need of the people at the keyboard."""

    def ask(self, question: str) -> str: ...

    def ask_hidden(self, question: str) -> str: ...

    def say(self, text: str) -> None: ...

    def clear(self) -> None: ...


class StandardPrompt:
    """The terminal this command runs on. Answers end with the input: a CommandError says so."""

    def ask(self, question: str) -> str:
        """The answer in the clear, without blanks around it."""
        typer.echo(f"{question}: ", nl=False, err=True)
        return self._line()

    def ask_hidden(self, question: str) -> str:
        """An answer that isn't shown. Blanks around it are no part of it."""
        if sys.stdin.isatty():
            return getpass.getpass(f"{question}: ").strip()
        typer.echo(f"{question}: ", nl=False, err=True)
        return self._line()

    def say(self, text: str) -> None:
        typer.echo(text, err=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            typer.echo(CLEAR_SCREEN, nl=False, err=True)

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not sys.stdin.isatty():
            typer.echo("", err=True)
        if not line:
            raise CommandError(
                "the answers ended too early", ExitCode.USAGE, "nothing was changed; begin again"
            )
        return line.strip()


def letter_printer(path: Path | None) -> IO[str]:
    """Where component letters are printed: a printer's device, a pipe, or this terminal (None).

    Raises CommandError for a regular file: nothing of a ceremony stays on a disk.
    """
    if path is None:
        _refuse_file(sys.stdout.fileno(), "the standard output")
        return sys.stdout
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    except OSError as error:
        raise CommandError(
            f"{path}: can't be opened ({error.strerror})", ExitCode.CONFIGURATION, "give a printer's device"
        ) from None
    _refuse_file(descriptor, str(path))
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _refuse_file(descriptor: int, name: str) -> None:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise CommandError(
            f"{name} is a file: a component's letter would stay on the disk",
            ExitCode.USAGE,
            "print to the terminal, or give --letters a printer's device or a pipe to one",
        )
