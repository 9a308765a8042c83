"""The officers who may change keys: names and salted scrypt hashes of their passphrases, in a JSON file.

Every change of keys takes two of them. The first two found the file together; each later one is let in by
two who are there. A passphrase is checked and forgotten.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tools.cli import CommandError, ExitCode
from tools.keys_prompt import Prompt

OFFICERS_NEEDED = 2
SHORTEST_PASSPHRASE = 12  # characters; what scrypt at this cost makes hopeless to guess
TRIES = 3
# RFC 7914: 2**15 * 8 * 128 bytes = 32 MiB and about 0.1 s a try.
SCRYPT_COST, SCRYPT_BLOCK, SCRYPT_PARALLEL = 2**15, 8, 1
HASH_BYTES = 32
_NAME = re.compile(r"\w[\w .-]{0,47}")


class Officers:
    """The officers of one directory."""

    def __init__(self, path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
        self._path = path
        self._random = random
        self._records: dict[str, dict[str, str]] = {}
        if path.exists():
            self._records = _read(path)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._records))

    def two(self, prompt: Prompt, activity: str) -> tuple[str, str]:
        """Two different officers who gave their passphrases for `activity`. Raises CommandError."""
        if len(self._records) < OFFICERS_NEEDED:
            raise CommandError(
                f"{activity} takes two officers, and none are named yet",
                ExitCode.CONFIGURATION,
                "name the first two: vafa keys officer add",
            )
        prompt.say(f"{activity}: two officers have to agree")
        first = self._one(prompt, "first officer")
        second = self._one(prompt, "second officer", other_than=first)
        return first, second

    def add(self, prompt: Prompt) -> tuple[str, ...]:
        """Name one more officer, or the first two together; returns the new names. Raises CommandError."""
        founding = len(self._records) < OFFICERS_NEEDED
        if not founding:
            self.two(prompt, "naming an officer")
        fresh: dict[str, dict[str, str]] = {}
        for _ in range(OFFICERS_NEEDED if founding else 1):
            name = prompt.ask("new officer's name")
            if not _NAME.fullmatch(name):
                raise CommandError("a name is 1 to 48 letters, digits, blanks, dots, hyphens", ExitCode.USAGE)
            if self._known(name) or name.casefold() in {other.casefold() for other in fresh}:
                raise CommandError(f"{name} is an officer already", ExitCode.USAGE)
            passphrase = prompt.ask_hidden(f"{name}'s passphrase")
            if len(passphrase) < SHORTEST_PASSPHRASE:
                raise CommandError(
                    f"a passphrase has at least {SHORTEST_PASSPHRASE} characters",
                    ExitCode.USAGE,
                    "five or six unrelated words are easy to remember",
                )
            if prompt.ask_hidden(f"{name}'s passphrase again") != passphrase:
                raise CommandError("the two passphrases differ", ExitCode.USAGE)
            salt = self._random(16)
            hashed = _scrypt(salt).derive(passphrase.encode())
            fresh[name] = {"salt": salt.hex(), "hash": hashed.hex()}
        self._records.update(fresh)
        self._save()
        return tuple(fresh)

    def _one(self, prompt: Prompt, which: str, other_than: str | None = None) -> str:
        for _ in range(TRIES):
            given = prompt.ask(which)
            name = self._known(given)
            passphrase = prompt.ask_hidden("passphrase")
            # An unknown name costs the same time as a wrong passphrase and is answered alike.
            record = self._records[name] if name else {"salt": "00" * 16, "hash": "00" * HASH_BYTES}
            try:
                _scrypt(bytes.fromhex(record["salt"])).verify(
                    passphrase.encode(), bytes.fromhex(record["hash"])
                )
            except InvalidKey:
                prompt.say("name or passphrase is wrong")
                continue
            if name is None:
                continue
            if name == other_than:
                prompt.say("one officer can't be both")
                continue
            return name
        raise CommandError("no officer: tried three times", ExitCode.NEGATIVE, "nothing was changed")

    def _known(self, given: str) -> str | None:
        return next((name for name in self._records if name.casefold() == given.casefold()), None)

    def _save(self) -> None:
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._records, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._path)
        except OSError as error:
            raise CommandError(
                f"{self._path}: can't be written ({error.strerror})", ExitCode.CONFIGURATION
            ) from None


def _scrypt(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=HASH_BYTES, n=SCRYPT_COST, r=SCRYPT_BLOCK, p=SCRYPT_PARALLEL)


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        for name, record in content.items():
            if not _NAME.fullmatch(name) or set(record) != {"salt", "hash"}:
                raise ValueError
            bytes.fromhex(record["salt"] + record["hash"])
    except OSError as error:
        raise CommandError(f"{path}: can't be read ({error.strerror})", ExitCode.CONFIGURATION) from None
    except (ValueError, AttributeError, TypeError):
        raise CommandError(
            f"{path}: not a file of officers", ExitCode.CONFIGURATION, "put a copy of it back"
        ) from None
    return dict(content)
