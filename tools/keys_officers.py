"""The officers who may change keys: names and salted scrypt hashes of their passphrases, in a JSON file.

Every change of keys takes two of them. The first two found the file together; each later one is let in, or
taken out, by two who are there. A passphrase is checked and forgotten. The file is what the sealed log of key
changes says it is, or nobody is an officer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from switch.people import UnusableName, check_name, same_person
from tools.cli import CommandError, ExitCode
from tools.keys_prompt import Prompt

OFFICERS_NEEDED = 2
SHORTEST_PASSPHRASE = 12  # characters; what scrypt at this cost makes hopeless to guess
TRIES = 3
# RFC 7914: 2**15 * 8 * 128 bytes = 32 MiB and about 0.1 s a try.
SCRYPT_COST, SCRYPT_BLOCK, SCRYPT_PARALLEL = 2**15, 8, 1
HASH_BYTES = 32
NOBODY = {"salt": "00" * 16, "hash": "00" * HASH_BYTES}


class NotAgreed(CommandError):
    """Somebody who is no officer tried to be one, for `activity`."""

    def __init__(self, what: str, activity: str) -> None:
        super().__init__(what, ExitCode.NEGATIVE, "nothing was changed")
        self.activity = activity


class Change(NamedTuple):
    """Officers as they are to be. agreed: who let it happen; none when the first two are named."""

    agreed: tuple[str, ...]
    names: tuple[str, ...]
    content: bytes

    def __repr__(self) -> str:
        return f"Change(agreed={self.agreed!r}, names={self.names!r})"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Officers:
    """The officers of one directory. digest: SHA-256 of their file, as the log has it; None: it has none."""

    def __init__(self, path: Path, digest: str | None, random: Callable[[int], bytes] = os.urandom) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".new")
        self._random = random
        self._records = self._read(digest)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._records))

    def two(self, prompt: Prompt, activity: str) -> tuple[str, str]:
        """Two different officers who gave their passphrases for `activity`. Raises CommandError."""
        if not self._records:
            raise CommandError(
                f"{activity} takes two officers, and none are named yet",
                ExitCode.CONFIGURATION,
                "name the first two: vafa keys officer add",
            )
        prompt.say(f"{activity}: two officers have to agree")
        first = self._one(prompt, activity, "first officer")
        second = self._one(prompt, activity, "second officer", other_than=first)
        return first, second

    def added(self, prompt: Prompt) -> Change:
        """One more officer, or the first two together. Nothing is changed yet. Raises CommandError."""
        founding = not self._records
        agreed = () if founding else self.two(prompt, "naming an officer")
        fresh: dict[str, dict[str, str]] = {}
        for _ in range(OFFICERS_NEEDED if founding else 1):
            name = usable_name(prompt.ask("new officer's name"))
            known = self._known(name, {**self._records, **fresh})
            if known:
                raise CommandError(
                    f"{name} is an officer already, or looks like {known}",
                    ExitCode.USAGE,
                    "officers are different people; who is another one gives a fuller name",
                )
            fresh[name] = self._hashed(prompt, name, {**self._records, **fresh})
        return Change(agreed, tuple(fresh), _rendered({**self._records, **fresh}))

    def removed(self, prompt: Prompt, name: str) -> Change:
        """One officer less. Nothing is changed yet. Raises CommandError."""
        known = self._known(name, self._records)
        if known is None:
            raise CommandError(f"{name} is no officer", ExitCode.USAGE, "see: vafa keys officer list")
        if len(self._records) <= OFFICERS_NEEDED:
            raise CommandError(
                f"without {known} fewer than two officers are left", ExitCode.USAGE, "name another one first"
            )
        agreed = self.two(prompt, f"taking {known} out")
        left = {name: record for name, record in self._records.items() if name != known}
        return Change(agreed, (known,), _rendered(left))

    def stage(self, change: Change) -> None:
        """Write the officers beside their file, durably; they count when the log says so."""
        try:
            descriptor = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(change.content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CommandError(
                f"{self._next}: can't be written ({error.strerror})",
                ExitCode.CONFIGURATION,
                "make room on the disk, check its permissions",
            ) from None

    def adopt(self) -> None:
        """Put the staged file in its place."""
        os.replace(self._next, self._path)

    def _hashed(self, prompt: Prompt, name: str, others: dict[str, dict[str, str]]) -> dict[str, str]:
        passphrase = prompt.ask_hidden(f"{name}'s passphrase")
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise CommandError(
                f"a passphrase has at least {SHORTEST_PASSPHRASE} characters",
                ExitCode.USAGE,
                "five or six unrelated words are easy to remember",
            )
        if prompt.ask_hidden(f"{name}'s passphrase again") != passphrase:
            raise CommandError("the two passphrases differ", ExitCode.USAGE, "begin again")
        # Who took two names would most likely give one passphrase.
        if any(_matches(record, passphrase) for record in others.values()):
            raise CommandError(
                "an officer has this passphrase already", ExitCode.USAGE, "each officer has an own one"
            )
        salt = self._random(16)
        return {"salt": salt.hex(), "hash": _scrypt(salt).derive(passphrase.encode()).hex()}

    def _one(self, prompt: Prompt, activity: str, which: str, other_than: str | None = None) -> str:
        for _ in range(TRIES):
            name = self._known(prompt.ask(which), self._records)
            # An unknown name costs the same time as a wrong passphrase and is answered alike.
            good = _matches(self._records[name] if name else NOBODY, prompt.ask_hidden("passphrase"))
            if not good or name is None:
                prompt.say("name or passphrase is wrong")
            elif name == other_than:
                prompt.say("one officer can't be both")
            else:
                return name
        raise NotAgreed(f"no {which}: tried three times", activity)

    def _known(self, given: str, records: dict[str, dict[str, str]]) -> str | None:
        return next((name for name in records if same_person(name, given)), None)

    def _read(self, digest: str | None) -> dict[str, dict[str, str]]:
        if digest is None and not self._path.exists():
            return {}
        for path in (self._path, self._next):  # a stop after the log was written leaves it in `_next`
            try:
                content = path.read_bytes() if path.exists() else b""
            except OSError as error:
                raise CommandError(
                    f"{path}: can't be read ({error.strerror})", ExitCode.CONFIGURATION, "check permissions"
                ) from None
            if hashlib.sha256(content).hexdigest() == digest:
                if path is self._next:
                    self.adopt()
                records: Any = json.loads(content)
                return dict(records)
        raise CommandError(
            f"{self._path}: is not the file that the log of key changes says",
            ExitCode.NEGATIVE,
            "find out who changed it, and put the true copy back",
        )


def usable_name(name: str) -> str:
    """The name as it is kept. Raises CommandError."""
    try:
        return check_name(name)
    except UnusableName as error:
        raise CommandError(str(error), ExitCode.USAGE, "begin again") from None


def _matches(record: dict[str, str], passphrase: str) -> bool:
    try:
        _scrypt(bytes.fromhex(record["salt"])).verify(passphrase.encode(), bytes.fromhex(record["hash"]))
    except InvalidKey:
        return False
    return True


def _scrypt(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=HASH_BYTES, n=SCRYPT_COST, r=SCRYPT_BLOCK, p=SCRYPT_PARALLEL)


def _rendered(records: dict[str, dict[str, str]]) -> bytes:
    return json.dumps(records, ensure_ascii=False, indent=1).encode() + b"\n"
