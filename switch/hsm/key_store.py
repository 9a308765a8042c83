"""The switch's keys by name: a JSON file of key tokens, each version with its state and who made it.

Only wrapped keys are in here, never a clear one. A version is never forgotten and a revoked one never comes
back; the file is readable by its owner alone and replaced as a whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from switch.hsm.port import Key, KeyAlgorithm, KeyUse
from switch.people import all_different

FORMAT = 1
OWNER_ONLY = 0o600
LARGEST_FILE_BYTES = 16 << 20  # some 30 000 key versions; more is another file by mistake
LONGEST_TOKEN = 2048  # a key block's length field ends at 9999; ours stay below 300


class KeyState(Enum):
    """ACTIVE: used. RETIRED: replaced, answers still under way may need it. REVOKED: never again."""

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyStoreError(Exception):
    """The store can't be read, written or changed so. Text: file, place, what to do; never a token."""


class KeyNotFound(KeyStoreError):
    """No usable key of this name."""


class KeyReused(KeyStoreError):
    """The key was this name's once, is a partner's other key, or was revoked. Told by its check value."""


_MACS = (KeyUse.MAC, KeyUse.MAC_TDES, KeyUse.MAC_HMAC)
_PARTNER = r"zone/[0-9A-Za-z_-]{1,32}/"
# What a key may be called, and what it is then for. First match decides.
NAMES: tuple[tuple[str, str, tuple[KeyUse, ...]], ...] = (
    ("bdk/<BDK id, 8 upper-case hex digits>", r"bdk/[0-9A-F]{8}", (KeyUse.BASE_DERIVATION,)),
    ("transport/<terminal id, DE 41>", r"transport/[0-9A-Za-z]{8}", (KeyUse.TRANSPORT,)),
    ("pin/verifier", r"pin/verifier", (KeyUse.PIN_VERIFIER,)),
    ("pin/value", r"pin/value", (KeyUse.PIN_VALUE,)),
    ("card/value", r"card/value", (KeyUse.CARD_VALUE,)),
    ("card/master", r"card/master", (KeyUse.CARD_MASTER,)),
    ("ledger/checkpoint", r"ledger/checkpoint", (KeyUse.MAC,)),
    ("keys/log", r"keys/log", (KeyUse.MAC,)),
    ("zone/<partner>/zmk", _PARTNER + r"zmk", (KeyUse.ZONE,)),
    ("zone/<partner>/pin-send", _PARTNER + r"pin-send", (KeyUse.PIN,)),
    ("zone/<partner>/pin-receive", _PARTNER + r"pin-receive", (KeyUse.PIN,)),
    ("zone/<partner>/mac-send", _PARTNER + r"mac-send", _MACS),
    ("zone/<partner>/mac-receive", _PARTNER + r"mac-receive", _MACS),
)
# Why a key that was a name's once is none for it again.
_STAYS = {
    KeyState.ACTIVE: "which is in use already; nothing is to be done",
    KeyState.RETIRED: "which was replaced; an old key doesn't come back",
    KeyState.REVOKED: "which is revoked and stays so",
}
_NAMES = tuple((re.compile(pattern), uses) for _, pattern, uses in NAMES)
_TOKEN = re.compile(r"[!-~]+")
_CHECK_VALUE = re.compile(r"[0-9A-F]{6}")
_FIELDS = frozenset(("version", "use", "algorithm", "token", "check_value", "state", "created", "officers"))


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a named key. version: from 1 up. created: UTC, ISO 8601. officers: who did it."""

    name: str
    version: int
    use: KeyUse
    algorithm: KeyAlgorithm
    token: str = field(repr=False)
    check_value: str
    state: KeyState
    created: str
    officers: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key(self.token, self.use, self.check_value)


def _now() -> datetime:
    return datetime.now(UTC)


class KeyStore:
    """Named keys of one file. Changes are kept in memory until `save`. For one thread.

    At most one version of a name is active; `add` retires the one before.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self._path = path
        self._clock = clock
        self._keys: dict[str, list[KeyVersion]] = {}
        self._read: bytes | None = None  # the file as it was read or written last; None: there was none

    @classmethod
    def load(cls, path: str | Path, *, clock: Callable[[], datetime] = _now) -> KeyStore:
        """The store of this file; an empty one when there is none yet. Raises KeyStoreError for a file that
        others may read or write, and for any content that is not exactly a store."""
        store = cls(Path(path), clock=clock)
        store._read = _read_file(store._path)
        if store._read is not None:
            store._keys = _parse(store._path, store._read)
        return store

    def __repr__(self) -> str:
        return f"KeyStore({str(self._path)!r}, {len(self._keys)} names)"

    @property
    def path(self) -> Path:
        return self._path

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._keys))

    def key(self, name: str) -> Key:
        """The active version. Raises KeyNotFound."""
        for version in self._keys.get(name, ()):
            if version.state is KeyState.ACTIVE:
                return version.key
        raise self._not_found(name)

    def versions(self, name: str) -> tuple[KeyVersion, ...]:
        """Every version, oldest first; empty for a name the store doesn't know."""
        return tuple(self._keys.get(name, ()))

    def add(self, name: str, key: Key, algorithm: KeyAlgorithm, officers: Sequence[str]) -> KeyVersion:
        """Make this key the active version of a name; the one active so far is retired. Raises KeyStoreError
        for a name, use or officer that can't be, KeyReused."""
        where = f"{self._path}: {name!r}"
        _check_name(where, name, key.use)
        _check_officers(where, officers)
        if not _TOKEN.fullmatch(key.reference) or len(key.reference) > LONGEST_TOKEN:
            raise KeyStoreError(
                f"{where}: the token is no printable text of up to {LONGEST_TOKEN} characters"
            )
        if not _CHECK_VALUE.fullmatch(key.check_value):
            raise KeyStoreError(f"{where}: a check value has 6 upper-case hex digits")
        self.check_fresh(name, key.check_value)
        before = self._keys.get(name, [])
        added = KeyVersion(
            name=name,
            version=len(before) + 1,
            use=key.use,
            algorithm=algorithm,
            token=key.reference,
            check_value=key.check_value,
            state=KeyState.ACTIVE,
            created=self._clock().astimezone(UTC).isoformat(timespec="seconds"),
            officers=tuple(officers),
        )
        kept = [
            replace(old, state=KeyState.RETIRED) if old.state is KeyState.ACTIVE else old for old in before
        ]
        self._keys[name] = [*kept, added]
        return added

    def check_fresh(self, name: str, check_value: str) -> None:
        """That a key of this check value never was this name's, in whatever state it is now, nor a partner's
        other key, and was revoked under no name. Raises KeyReused, of good keys for one in 16 million."""
        for old in self._of_check_value(check_value):
            if old.name == name:
                raise KeyReused(f"{self._path}: {name!r}: this is version {old.version}, {_STAYS[old.state]}")
            if _partner(old.name) and _partner(old.name) == _partner(name):
                raise KeyReused(
                    f"{self._path}: {name!r}: this is a key of {old.name!r}; each direction and each use has"
                    " its own"
                )
            if old.state is KeyState.REVOKED:
                raise KeyReused(
                    f"{self._path}: {name!r}: this is version {old.version} of {old.name!r},"
                    f" {_STAYS[old.state]}"
                )

    def _of_check_value(self, check_value: str) -> Iterator[KeyVersion]:
        return (
            version
            for versions in self._keys.values()
            for version in versions
            if version.check_value == check_value
        )

    def retire(self, name: str, version: int) -> KeyVersion:
        """No longer used for anything new. Raises KeyNotFound, and KeyStoreError for a revoked version."""
        old = self._version(name, version)
        if old.state is KeyState.REVOKED:
            raise KeyStoreError(f"{self._path}: version {version} of {name!r} is revoked and stays so")
        return self._set_state(old, KeyState.RETIRED)

    def revoke(self, name: str, version: int) -> KeyVersion:
        """Never used again; can't be undone. Raises KeyNotFound."""
        return self._set_state(self._version(name, version), KeyState.REVOKED)

    def save(self) -> None:
        """Replace the file as a whole, durably. Raises KeyStoreError when it can't be written, or when
        somebody else changed it since it was read."""
        content = _render(self._keys)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._path.parent):
                if _read_file(self._path) != self._read:
                    raise KeyStoreError(
                        f"{self._path}: somebody changed the file meanwhile; load it and do it again"
                    )
                _replace_file(self._path, content)
        except OSError as error:
            raise KeyStoreError(f"{self._path}: can't be written: {error.strerror}") from None
        self._read = content

    def _version(self, name: str, number: int) -> KeyVersion:
        for version in self._keys.get(name, ()):
            if version.version == number:
                return version
        known = ", ".join(str(version.version) for version in self._keys.get(name, ())) or "none"
        raise KeyNotFound(f"{self._path}: no version {number} of {name!r} (known: {known})")

    def _set_state(self, old: KeyVersion, state: KeyState) -> KeyVersion:
        changed = replace(old, state=state)
        self._keys[old.name] = [changed if version is old else version for version in self._keys[old.name]]
        return changed

    def _not_found(self, name: str) -> KeyNotFound:
        versions = self._keys.get(name)
        if versions:
            state = versions[-1].state.value
            return KeyNotFound(
                f"{self._path}: no active version of key {name!r}: version {versions[-1].version} is {state};"
                f" make a new one: {how_to_make(name)}"
            )
        missing = " (there is no such file yet)" if self._read is None else ""
        return KeyNotFound(
            f"{self._path}: no key {name!r}{missing}; `vafa keys list` shows what there is,"
            " `vafa keys` how to make or import one"
        )


def _partner(name: str) -> str:
    """`zone/<partner>` of a partner's key; empty for other names."""
    zone, _, rest = name.partition("/")
    return f"{zone}/{rest.partition('/')[0]}" if zone == "zone" else ""


def how_to_make(name: str) -> str:
    """How a name without a key in use gets one, for people."""
    if name.startswith("transport/") or name.endswith("/zmk"):
        return f"vafa keys ceremony {name}"
    if name.endswith("-receive"):
        return f"vafa keys import {name}, with the partner's block"
    made = f"vafa keys generate {name}"
    if name.startswith("bdk/"):
        return (
            f"{made}, then vafa keys inject for each of its terminals;"
            " or register them with an initial_key_id of another BDK"
        )
    return made


def uses_of(name: str) -> tuple[KeyUse, ...]:
    """What a key of this name may be for, the usual use first; empty when no key is called so."""
    return next((uses for pattern, uses in _NAMES if pattern.fullmatch(name)), ())


def _check_name(where: str, name: str, use: KeyUse) -> None:
    for pattern, uses in _NAMES:
        if pattern.fullmatch(name):
            if use not in uses:
                wanted = " or ".join(allowed.name for allowed in uses)
                raise KeyStoreError(f"{where}: a key of this name is for {wanted}, not for {use.name}")
            return
    raise KeyStoreError(f"{where}: no name for a key; names are {', '.join(text for text, _, _ in NAMES)}")


def _check_officers(where: str, officers: Sequence[str]) -> None:
    if isinstance(officers, str) or not all(_is_name(one) for one in officers):
        raise KeyStoreError(f"{where}: officers are names, one text each")
    if not all_different(officers):
        raise KeyStoreError(f"{where}: an officer is named twice, or two names look alike")


def _is_name(officer: object) -> bool:
    return isinstance(officer, str) and bool(officer.strip())


# ---------------------------------------------------------------- the file


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time among those who keep to it. The directory: the file itself is replaced."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise KeyStoreError(f"{path}: others may read or write this file; chmod 600 it")
            if status.st_size > LARGEST_FILE_BYTES:
                raise KeyStoreError(f"{path}: too large for a key store ({status.st_size} bytes)")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyStoreError(f"{path}: can't be read: {error.strerror}") from None


def _replace_file(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _render(keys: dict[str, list[KeyVersion]]) -> bytes:
    document = {
        "format": FORMAT,
        "keys": {
            name: [
                {
                    "version": version.version,
                    "use": version.use.name,
                    "algorithm": version.algorithm.name,
                    "token": version.token,
                    "check_value": version.check_value,
                    "state": version.state.value,
                    "created": version.created,
                    "officers": list(version.officers),
                }
                for version in keys[name]
            ]
            for name in sorted(keys)
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _parse(path: Path, content: bytes) -> dict[str, list[KeyVersion]]:
    try:
        document = json.loads(content, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise KeyStoreError(f"{path}: no key store: {_json_error(error)}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeyStoreError(f"{path}: no key store of format {FORMAT}")
    names = document.get("keys")
    if set(document) != {"format", "keys"} or not isinstance(names, dict):
        raise KeyStoreError(f'{path}: a key store has "format" and "keys" and nothing else')
    return {name: _parse_versions(path, name, rows) for name, rows in names.items()}


def _parse_versions(path: Path, name: str, rows: object) -> list[KeyVersion]:
    where = f"{path}: {name!r}"
    if not isinstance(rows, list) or not rows:
        raise KeyStoreError(f"{where}: a list of versions is expected")
    versions = [_parse_version(where, name, number, row) for number, row in enumerate(rows, 1)]
    if sum(version.state is KeyState.ACTIVE for version in versions) > 1:
        raise KeyStoreError(f"{where}: more than one version is active")
    return versions


def _parse_version(where: str, name: str, number: int, row: object) -> KeyVersion:
    where = f"{where} version {number}"
    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise KeyStoreError(f"{where}: exactly {', '.join(sorted(_FIELDS))} are expected")
    if row["version"] != number or isinstance(row["version"], bool):
        raise KeyStoreError(f"{where}: versions count from 1 without gaps")
    use = _member(where, KeyUse, row["use"])
    _check_name(where, name, use)
    for key, pattern in (("token", _TOKEN), ("check_value", _CHECK_VALUE)):
        if not isinstance(row[key], str) or not pattern.fullmatch(row[key]):
            raise KeyStoreError(f"{where}: {key} is malformed")
    if len(row["token"]) > LONGEST_TOKEN:
        raise KeyStoreError(f"{where}: token is malformed")
    if not isinstance(row["officers"], list):
        raise KeyStoreError(f"{where}: officers are a list")
    _check_officers(where, row["officers"])
    state = row["state"]
    if state not in [one.value for one in KeyState]:
        raise KeyStoreError(f"{where}: state is one of {', '.join(one.value for one in KeyState)}")
    try:
        datetime.fromisoformat(row["created"])
    except (TypeError, ValueError):
        raise KeyStoreError(f"{where}: created is no ISO 8601 time") from None
    return KeyVersion(
        name=name,
        version=number,
        use=use,
        algorithm=_member(where, KeyAlgorithm, row["algorithm"]),
        token=row["token"],
        check_value=row["check_value"],
        state=KeyState(state),
        created=row["created"],
        officers=tuple(row["officers"]),
    )


def _member(where: str, kind: Any, value: object) -> Any:
    if not isinstance(value, str) or value not in kind.__members__:
        raise KeyStoreError(f"{where}: {kind.__name__} is one of {', '.join(kind.__members__)}")
    return kind[value]


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice")
    return document


def _json_error(error: Exception) -> str:
    """Where, but never what: json quotes nothing, yet its cause may."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error) if isinstance(error, ValueError) else "nested too deep"
