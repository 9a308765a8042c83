"""How `vafa keys` talks to officers and custodians: questions, hidden answers, letters that leave no trace.

Answers come from the terminal, or as lines of the standard input when that is none. What is hidden is never
echoed; a letter is never written where it would stay: into a file.
"""

from __future__ import annotations

import getpass
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import typer

from tools.cli import CommandError, ExitCode

# Clears the screen and what a terminal keeps of the lines that scrolled away (ECMA-48 ED 2, xterm's ED 3).
CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"
FORM_FEED = "\f"


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
        if not sys.stdin.isatty():
            return self.ask(question)
        try:
            return getpass.getpass(f"{question}: ").strip()
        except (EOFError, UnicodeDecodeError):
            raise _ended() from None

    def say(self, text: str) -> None:
        typer.echo(text, err=True)

    def clear(self) -> None:
        """Nothing of a letter stays on the screen or in what it keeps of the lines above."""
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty():
                stream.write(CLEAR_SCREEN)
                stream.flush()

    def _line(self) -> str:
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            line = ""
        if not sys.stdin.isatty():
            typer.echo("", err=True)
        if not line:
            raise _ended()
        return line.strip()


def _ended() -> CommandError:
    return CommandError("the answers ended too early", ExitCode.USAGE, "nothing was changed; begin again")


class LetterPrinter:
    """Where component letters go. paper: each on a sheet of its own, for a custodian sees only his."""

    def __init__(self, stream: IO[str], *, paper: bool) -> None:
        self._stream = stream
        self._paper = paper

    def print(self, letter: str) -> None:
        """Raises CommandError."""
        try:
            self._stream.write(letter + (FORM_FEED if self._paper else ""))
            self._stream.flush()
        except OSError as error:
            raise CommandError(
                f"the letter can't be printed ({error.strerror})",
                ExitCode.CONFIGURATION,
                "nothing was made; destroy the letters so far, check the printer, begin again",
            ) from None


@contextmanager
def letter_printer(path: Path | None) -> Iterator[LetterPrinter]:
    """A printer's device, a pipe, or the standard output (None). Raises CommandError for a regular file:
    nothing of a ceremony stays on a disk."""
    if path is None:
        with suppress(io.UnsupportedOperation):  # a stream in this process's memory
            _refuse_file(sys.stdout.fileno(), "the standard output")
        yield LetterPrinter(sys.stdout, paper=not sys.stdout.isatty())
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    except OSError as error:
        raise CommandError(
            f"{path}: can't be opened ({error.strerror})", ExitCode.CONFIGURATION, "give a printer's device"
        ) from None
    stream = os.fdopen(descriptor, "w", encoding="utf-8")
    try:
        _refuse_file(descriptor, str(path))
        yield LetterPrinter(stream, paper=True)
    finally:
        with suppress(OSError):  # of a printer that broke, and was told of
            stream.close()


def _refuse_file(descriptor: int, name: str) -> None:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise CommandError(
            f"{name} is a file: a component's letter would stay on the disk",
            ExitCode.USAGE,
            "print to the terminal, or give --letters a printer's device or a pipe to one",
        )
