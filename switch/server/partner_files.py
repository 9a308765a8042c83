"""What the settings and mapping files say of partners, followed while the switch runs.

Files are read as a whole: with one mistake in any of them nothing is taken. Reading may be done in a thread;
nothing here knows lines or messages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from switch import iso8583
from switch.iso8583 import Dialect, DialectError
from switch.partners import MappingError, PartnerMapping, load
from switch.settings import Partner, Settings, SettingsError
from switch.settings import load as load_settings

SUFFIX = ".toml"

Stamps = Mapping[Path, tuple[int, int, int] | None]


class Served(NamedTuple):
    """A partner and what its messages mean."""

    partner: Partner
    mapping: PartnerMapping


def mapping_of(partner: Partner) -> PartnerMapping:
    """A partner's mapping with its dialect. Raises SettingsError with every mistake in it."""
    try:
        return load(partner.mapping, _dialect_of(partner))
    except MappingError as error:
        raise SettingsError(f"partner {partner.name}: its mapping can't be used\n{error}") from None


def _dialect_of(partner: Partner) -> Dialect | None:
    if not partner.dialect:
        return None
    try:
        if partner.dialect in iso8583.shipped():
            return iso8583.load(partner.dialect)
        return Dialect.load(Path(partner.dialect))
    except DialectError as error:
        raise SettingsError(f"partner {partner.name}: its dialect can't be used\n{error}") from None


class PartnerFiles:
    """The files of some settings. served: as they said when this was made. Raises SettingsError."""

    def __init__(self, settings: Settings) -> None:
        self._source = settings.source
        self._named = settings.partners
        self._seen = self._stamps()  # first: what changes from now on is read again
        self.served = _served(settings)

    def has_changed(self) -> bool:
        """Whether a file is another one than when it was read, or refused."""
        return self._stamps() != self._seen

    def read(self) -> tuple[Served, ...]:
        """What the files say now. Raises SettingsError when one of them can't be used; `served` stays."""
        before = self._seen = self._stamps()
        settings = load_settings(self._source)
        self._named = settings.partners
        self._seen = {path: before.get(path, found) for path, found in self._stamps().items()}
        self.served = _served(settings)
        return self.served

    def _stamps(self) -> Stamps:
        """What tells whether a file is another one. A dialect may extend one beside it, and a mapping name
        one: all in their directories count."""
        names = {name for one in self._named for name in (one.mapping, one.dialect)}
        named = {Path(name) for name in names if name.endswith(SUFFIX)}
        beside = (path for folder in {one.parent for one in named} for path in folder.glob(f"*{SUFFIX}"))
        return {path: stamp(path) for path in (self._source, *named, *beside)}


def _served(settings: Settings) -> tuple[Served, ...]:
    return tuple(Served(one, mapping_of(one)) for one in settings.partners)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Another one when a file was changed or replaced; None of none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
