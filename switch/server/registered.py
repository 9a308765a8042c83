"""The terminals that a running switch knows: read at its start, followed while it runs.

A registry that can't be used changes nothing: the switch goes on with what it knew, and alarms. Reading is
done in a thread; the pipeline only gets what was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from switch.hsm.port import Key
from switch.keys import KeysError, base_keys_of, open_store
from switch.ledger.checkpoint import RegistryHead
from switch.registry import Follower, InForce, RegistryError, history, read, read_after
from switch.server.downloads import Downloads, Known
from switch.server.log import Log
from switch.settings import Settings, Terminal

INTERVAL_S = 0.5  # a change is in force within a second; a look is two stats, some 5 µs


class Pipeline(Protocol):
    """Who has to know."""

    def register(self, terminals: Iterable[Terminal], base_keys: Mapping[bytes, Key]) -> None: ...


class _Found(NamedTuple):
    in_force: InForce
    base_keys: Mapping[bytes, Key]
    missing: frozenset[str]
    downloads: Known


class Registered:
    """Raises RegistryError when what is there at the start can't be used. terminals: as they were then;
    downloads: what they are offered, kept up to date here."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._pipeline: Pipeline | None = None
        self._follower = Follower(
            (settings.registry_path, settings.hsm.key_store), self._read, self._adopt, self._alarm
        )
        history(settings)  # an older registry put back is not started with: it would unblock
        found = read(settings)
        self.terminals = found.terminals
        self.downloads = Downloads(settings, log)
        offered = self.downloads.read(found.registry)
        self.downloads.adopt(offered)
        self._in_use = _Found(found, {}, frozenset(), offered)

    @property
    def head(self) -> RegistryHead:
        """The state of what is in force, for checkpoints."""
        registry = self._in_use.in_force.registry
        return RegistryHead(registry.changes, sha256(registry.last.encode()).hexdigest())

    def check_not_behind(self, known: RegistryHead | None) -> None:
        """Alarm when a checkpoint knew of a later state: both files were put back together."""
        if known is not None and self.head.is_behind(known):
            self._log.error(
                "registry older than the last checkpoint",
                alarm=True,
                changes=self.head.changes,
                known=known.changes,
            )

    async def follow(self, pipeline: Pipeline, base_keys: Mapping[bytes, Key]) -> None:
        """For ever. base_keys: those that the switch has; it keeps them, and gets new ones."""
        self._pipeline = pipeline
        self._in_use = self._in_use._replace(base_keys=base_keys)
        await self._follower.run(INTERVAL_S)

    def _read(self) -> _Found:
        before = self._in_use.in_force
        found = read_after(self._settings, before)
        if found.registry.changes < before.registry.changes:
            raise RegistryError(
                f"{self._settings.registry_path}: has {found.registry.changes} changes,"
                f" {before.registry.changes} were in force: it is an older copy",
                "put the newest one back",
            )
        try:
            store = open_store(self._settings)
        except KeysError as error:
            raise RegistryError(str(error)) from None
        base_keys, missing = base_keys_of(store, found.terminals, self._in_use.base_keys)
        return _Found(found, base_keys, frozenset(missing), self.downloads.read(found.registry))

    def _adopt(self, found: _Found) -> None:
        before, self._in_use = self._in_use, found
        assert self._pipeline is not None
        self.downloads.adopt(found.downloads)
        terminals = found.in_force.terminals
        self._pipeline.register(terminals, found.base_keys)
        for name in sorted(found.missing - before.missing):
            self._alarm(
                f"{name} is not in the key store: its terminals are refused; vafa keys generate {name}"
            )
        changes = found.in_force.registry.changes
        if changes != before.in_force.registry.changes or found.base_keys != before.base_keys:
            states = Counter(one.blocked or one.acceptor_blocked for one in terminals)
            self._log.info(
                "registry in force", changes=changes, in_service=states[False], blocked=states[True]
            )

    def _alarm(self, what: str) -> None:
        self._log.error("registry not usable", alarm=True, reason=what)
