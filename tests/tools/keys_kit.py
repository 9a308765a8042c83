"""Runs `vafa keys` for the tests, with scripted answers, on data directories of their own."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.process import VAFA
from switch.defaults import create_defaults
from switch.hsm import KeyStore
from switch.settings import load
from tests.tools.kit import CHECKOUT, COMMAND_LINE, Told
from tools import cli, keys, keys_officers

FIRST = ("A. Rahimi", "correct horse battery")
SECOND = ("سارا کریمی", "اسب درست باتری منگنه")
BOTH = (*FIRST, *SECOND)
FOUNDING = (FIRST[0], FIRST[1], FIRST[1], SECOND[0], SECOND[1], SECOND[1])
PATIENCE_S = 60.0  # only ends a hang
ZMK, ZMK_PARTS = bytes(range(32)), (b"\x11" * 32, b"\x2c" * 32)


class Place:
    """A switch's data directory and whoever runs `vafa keys` in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        create_defaults(data)
        self.settings = load(data / "switch.toml")

    def keys(self, *arguments: str | Path, answers: tuple[str, ...] = ()) -> Told:
        """`vafa keys ARGUMENTS` in this process; answers: lines of its standard input."""
        return self.command("keys", *arguments, answers=answers)

    def command(self, *arguments: str | Path, answers: tuple[str, ...] = ()) -> Told:
        """As `keys`, of any group."""
        output, errors = io.BytesIO(), io.StringIO()
        standard = io.TextIOWrapper(output, encoding="utf-8", write_through=True)
        given = "".join(f"{answer}\n" for answer in answers).encode()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
        try:
            with contextlib.redirect_stdout(standard), contextlib.redirect_stderr(errors):
                code = cli.run([*map(str, arguments), "--data", str(self.data)], make=COMMAND_LINE)
        finally:
            sys.stdin = before
        return Told(code, output.getvalue(), errors.getvalue())

    def done(self, *arguments: str | Path, answers: tuple[str, ...] = BOTH) -> Told:
        """The same, which has to work."""
        told = self.keys(*arguments, answers=answers)
        assert told.code == 0, told.err
        return told

    @property
    def store(self) -> KeyStore:
        return KeyStore.load(self.data / "keys.json")

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.done("log", "--format", "json").out.splitlines()]

    def files(self) -> dict[str, bytes]:
        """Every file there is, by its path."""
        return {str(path): path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file()}

    def form_zone_key(self, partner: str = "BANK", key: bytes = ZMK) -> None:
        """A partner's zone key, from letters that give `key`."""
        last = bytes(a ^ b ^ c for a, b, c in zip(key, *ZMK_PARTS, strict=True))
        parts = [answer for part in (*ZMK_PARTS, last) for answer in ("", part.hex(), "yes")]
        zone = f"zone/{partner}/zmk"
        self.done("ceremony", zone, "--enter", *custodians("Z", "Y"), answers=(*BOTH, *parts))


def custodians(*names: str) -> list[str]:
    return [word for name in names for word in ("--custodian", name)]


@contextlib.contextmanager
def quick_and_open() -> Iterator[None]:
    """Passphrases that cost nothing to check, and a test process that stays open to a debugger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys_officers, "SCRYPT_COST", 2)
        patch.setattr(keys, "harden", tuple)
        yield


class Console:
    """`vafa keys ARGUMENTS` as a process on a terminal of its own. `screen`: all that it showed."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self._terminal, inner = os.openpty()
        self.process = subprocess.Popen(
            [*VAFA, "keys", *map(str, arguments)],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=CHECKOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)
        self.screen = ""
        self._seen = 0

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, it is gone."""
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def until(self, text: str) -> str:
        """What it showed since the last call, up to and with `text`."""
        while (found := self.screen.find(text, self._seen)) < 0:
            more = self._read()
            assert more, f"it ended before it said {text!r}: {self.screen!r}"
        since, self._seen = self.screen[self._seen : found + len(text)], found + len(text)
        return since

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def answer(self, question: str, text: str) -> str:
        """Wait for a question and answer it; what it showed up to the question."""
        shown = self.until(question + ": ")
        self.type(text + "\n")
        return shown

    def agree(self, *officers: str) -> None:
        """Two officers: name and passphrase of each."""
        for which, name, passphrase in (("first", *officers[:2]), ("second", *officers[2:])):
            self.answer(f"{which} officer", name)
            self.answer("passphrase", passphrase)

    def end(self) -> int:
        """Its exit code, when it has ended."""
        while self._read():
            continue
        return self.process.wait()

    def _read(self) -> str:
        ready, _, _ = select.select([self._terminal], [], [], PATIENCE_S)
        assert ready, f"it says nothing any more: {self.screen!r}"
        try:
            more = os.read(self._terminal, 65536).decode("utf-8", "replace")
        except OSError:  # nobody holds the other end any more
            return ""
        self.screen += more
        return more
