"""What terminals download: parameter versions and software bundles, and which group gets which.

The registry holds numbers and SHA-256s of them; the contents lie beside it, each in a file named by its own
SHA-256, written once and never changed. Nothing here looks into a content.
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from switch.registry.errors import ChangeRefused, RegistryError
from switch.settings import Settings

DEFAULT_GROUP: Final = "default"
GROUP_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
MODEL: Final = re.compile(r"[!-~]{1,16}")
KEPT_VERSIONS: Final = 32  # of a group's parameters: so far back a roll-back goes
LAST_VERSION: Final = 99_999_999  # eight digits of the message
LARGEST_SHARE: Final = 100
MOST_NAMED: Final = 1000  # terminals of a roll-out, looked through for each piece
_SET_AGAIN = "put it back from a copy, or set it again"
_OWNER_ONLY = 0o600
_OWNER_ONLY_DIRECTORY = 0o700


class Parameters(NamedTuple):
    """A version of parameters. digest: SHA-256 of its content, in hexadecimal; length: in bytes."""

    version: int
    digest: str
    length: int


class Rollout(NamedTuple):
    """Software for a group's terminals of one model. share: of 100; terminals: these get it in any case."""

    model: str
    version: int
    share: int = LARGEST_SHARE
    terminals: tuple[str, ...] = ()

    def reaches(self, terminal: str) -> bool:
        """Whether this terminal gets it. Who had it at a smaller share has it at a larger one."""
        if terminal in self.terminals:
            return True
        drawn = sha256(f"{self.model}/{self.version} {terminal}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") % LARGEST_SHARE < self.share


@dataclass(frozen=True, slots=True)
class Bundle:
    """A software bundle that was checked. withdrawn: no terminal gets it any more."""

    model: str
    version: int
    replaces: int
    digest: str
    length: int
    withdrawn: bool = False

    def __post_init__(self) -> None:
        if not MODEL.fullmatch(self.model) or "/" in self.model:
            raise ChangeRefused(f"model: expected up to 16 letters, got {self.model!r}", "correct it")
        _check_version(self.version)
        _check_content(self.digest, self.length)

    @property
    def id(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Group:
    """Terminals with the same parameters and software. parameters: the newest last."""

    id: str
    parameters: tuple[Parameters, ...] = ()
    software: tuple[Rollout, ...] = field(default=())

    def __post_init__(self) -> None:
        if not GROUP_ID.fullmatch(self.id):
            raise ChangeRefused(
                f"group: expected 1 to 16 small letters, digits or hyphens, got {self.id!r}", "correct it"
            )
        for one in self.parameters:
            _check_version(one.version)
            _check_content(one.digest, one.length)
        for rollout in self.software:
            _check_version(rollout.version)
            if not 0 <= rollout.share <= LARGEST_SHARE:
                raise ChangeRefused(f"share: expected 0 to 100, got {rollout.share}", "correct it")
            if len(rollout.terminals) > MOST_NAMED:
                raise ChangeRefused(
                    f"{len(rollout.terminals)} terminals, {MOST_NAMED} at most", "make a group of them"
                )

    @property
    def newest(self) -> Parameters | None:
        return self.parameters[-1] if self.parameters else None

    def with_parameters(self, version: Parameters) -> Group:
        return replace(self, parameters=(*self.parameters, version)[-KEPT_VERSIONS:])

    def with_rollout(self, rollout: Rollout) -> Group:
        others = tuple(one for one in self.software if one.model != rollout.model)
        return replace(self, software=tuple(sorted((*others, rollout))))

    def without_rollout(self, model: str, version: int) -> Group:
        kept = tuple(one for one in self.software if (one.model, one.version) != (model, version))
        return replace(self, software=kept)


def _check_version(version: int) -> None:
    if type(version) is not int or not 0 < version <= LAST_VERSION:
        raise ChangeRefused(f"version: expected 1 to {LAST_VERSION}, got {version!r}", "correct it")


def _check_content(digest: str, length: int) -> None:
    if not DIGEST.fullmatch(digest) or type(length) is not int or length <= 0:
        raise ChangeRefused("a content has a SHA-256 and a length", "correct it")


# ---------------------------------------------------------------- as rows of the registry


def as_row(record: Group | Bundle) -> dict[str, Any]:
    """A record for JSON."""
    if isinstance(record, Bundle):
        names = ("model", "version", "replaces", "digest", "length", "withdrawn")
        return {"bundle": record.id, **{name: getattr(record, name) for name in names}}
    return {
        "group": record.id,
        "parameters": [list(one) for one in record.parameters],
        "software": [[*one[:3], list(one.terminals)] for one in record.software],
    }


def group_of(row: dict[str, Any]) -> Group:
    """The reverse of `as_row`. Raises what a row of another shape makes it raise."""
    assert set(row) == {"group", "parameters", "software"}
    return Group(
        row["group"],
        tuple(Parameters(*one) for one in row["parameters"]),
        tuple(
            Rollout(model, version, share, tuple(names)) for model, version, share, names in row["software"]
        ),
    )


def bundle_of(row: dict[str, Any]) -> Bundle:
    """The reverse of `as_row`. Raises what a row of another shape makes it raise."""
    fields = dict(row)
    name = fields.pop("bundle")
    bundle = Bundle(**fields)
    assert bundle.id == name
    return bundle


# ---------------------------------------------------------------- contents


class Content:
    """A content, read where it is: the system's page cache holds what is wanted often."""

    __slots__ = ("_map", "length")

    def __init__(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self.length = len(mapped)

    def piece(self, at: int, most: int) -> bytes:
        """Bytes from `at` on; fewer than `most` only at the end."""
        return self._map[at : at + most]


def directory_of(settings: Settings) -> Path:
    """Where the contents lie: beside the registry, for every switch that uses it."""
    return settings.registry_path.parent / "downloads"


def keep_content(settings: Settings, content: bytes) -> str:
    """Keep a content, durably; its SHA-256 in hexadecimal. Raises RegistryError."""
    digest = sha256(content).hexdigest()
    directory = directory_of(settings)
    path, fresh = directory / digest, directory / f".{digest}.{os.getpid()}"
    try:
        directory.mkdir(mode=_OWNER_ONLY_DIRECTORY, exist_ok=True)
        owner = directory.parent.stat()
        if os.geteuid() == 0:
            os.chown(directory, owner.st_uid, owner.st_gid)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "wb") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        for one in (directory, directory.parent):
            handle = os.open(one, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as error:
        raise RegistryError(
            f"{path}: can't be written ({error.strerror})", "check permissions and space"
        ) from None
    return digest


def open_content(settings: Settings, digest: str, length: int) -> Content:
    """A content, held against its SHA-256. Raises RegistryError: it is gone or another."""
    path = directory_of(settings) / digest
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is empty"
        raise RegistryError(
            f"{path}: can't be read ({why})", "put it back from a copy, or set it again"
        ) from None
    if len(mapped) != length or sha256(mapped).hexdigest() != digest:
        mapped.close()
        raise RegistryError(f"{path}: is not what was kept", _SET_AGAIN)
    return Content(mapped)
