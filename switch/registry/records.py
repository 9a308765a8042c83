"""What is registered: merchants (DE 42) and terminals (DE 41), and every change that can be made to them.

Pure. Nothing here reads files, and no change is half done: a refused one leaves the draft as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count

from switch.registry.downloads import DEFAULT_GROUP, GROUP_ID, Bundle, Group, Parameters, Rollout
from switch.registry.errors import ChangeRefused, RegistryError
from switch.settings import Terminal

BDK_ID_BYTES = 4
KEY_ID_BYTES = 8  # BDK id, derivation id
LONGEST_NAME = 60  # characters; a receipt's line has 32 and wraps once
LONGEST_TEXT = 200  # of a reason or note: a sentence
_JOINER = "\u200c"  # within Persian names; not printable by Unicode's classes

TERMINAL_ID = re.compile(r"[0-9A-Za-z]{8}")
MERCHANT_ID = re.compile(r"[0-9A-Za-z]{15}")
CATEGORY = re.compile(r"(?:[0-9]{4})?")


@dataclass(frozen=True, slots=True)
class Merchant:
    """id: DE 42, 15 letters or digits. category: ISO 18245, four digits, or empty. reason: why it is
    blocked."""

    id: str
    name_fa: str = ""
    name_en: str = ""
    city: str = ""
    category: str = ""
    blocked: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        _check("merchant", self.id, MERCHANT_ID, "15 letters or digits (DE 42)")
        _check("category", self.category, CATEGORY, "four digits (ISO 18245)")
        for name, value in (("name_fa", self.name_fa), ("name_en", self.name_en), ("city", self.city)):
            _check_text(name, value, LONGEST_NAME)
        _check_text("reason", self.reason, LONGEST_TEXT)


@dataclass(frozen=True, slots=True)
class TerminalRecord:
    """id: DE 41, 8 letters or digits. former: initial key ids that it had before, which nobody gets again.
    settings: the acceptor that switch.toml named when this was written, empty when it knew no such terminal.
    group: whose parameters and software it gets; empty is the group of all that have no other.
    """

    id: str
    merchant: str
    initial_key_id: bytes
    blocked: bool = False
    reason: str = ""
    note: str = ""
    former: tuple[bytes, ...] = ()
    settings: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        if self.group:
            _check("group", self.group, GROUP_ID, "1 to 16 small letters, digits or hyphens")
        _check("terminal", self.id, TERMINAL_ID, "8 letters or digits (DE 41)")
        _check("merchant", self.merchant, MERCHANT_ID, "15 letters or digits (DE 42)")
        if self.settings:
            _check("settings", self.settings, MERCHANT_ID, "15 letters or digits (DE 42)")
        for key_id in (self.initial_key_id, *self.former):
            if len(key_id) != KEY_ID_BYTES:
                raise ChangeRefused("an initial_key_id has 16 hexadecimal digits", "BDK id, derivation id")
        _check_text("reason", self.reason, LONGEST_TEXT)
        _check_text("note", self.note, LONGEST_TEXT)


Record = Merchant | TerminalRecord | Group | Bundle


@dataclass(frozen=True, slots=True)
class Registry:
    """All records by id. changes: how many changes made it so; last: the log's line of the last one."""

    merchants: Mapping[str, Merchant] = field(default_factory=dict)
    terminals: Mapping[str, TerminalRecord] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    bundles: Mapping[str, Bundle] = field(default_factory=dict)
    changes: int = 0
    last: str = ""

    def with_records(self, records: Iterable[Record], changes: int, last: str) -> Registry:
        """The registry after a change that set these records."""
        merchants, terminals = dict(self.merchants), dict(self.terminals)
        groups, bundles = dict(self.groups), dict(self.bundles)
        for record in records:
            match record:
                case Merchant():
                    merchants[record.id] = record
                case TerminalRecord():
                    terminals[record.id] = record
                case Group():
                    groups[record.id] = record
                case Bundle():
                    bundles[record.id] = record
        return Registry(merchants, terminals, groups, bundles, changes, last)

    def group_of(self, terminal: str) -> Group:
        """The group that a terminal is in, also one that only switch.toml knows."""
        record = self.terminals.get(terminal)
        name = (record.group if record else "") or DEFAULT_GROUP
        return self.groups.get(name) or Group(name)


def spelled(text: str) -> str:
    """A name, note or reason as it is kept: composed letters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


# ---------------------------------------------------------------- what is in force


def in_force(settings: Iterable[Terminal], registry: Registry) -> tuple[Terminal, ...]:
    """The registered terminals: those of switch.toml, then those that only the registry knows. Raises
    RegistryError when the two contradict each other."""
    terminals = [_of_both(one, registry.terminals.get(one.id)) for one in settings]
    known = {one.id for one in terminals}
    terminals += [
        Terminal(one.id, one.merchant, one.blocked, one.initial_key_id)
        for one in registry.terminals.values()
        if one.id not in known
    ]
    owners: dict[bytes, str] = {}
    for one in terminals:
        other = owners.setdefault(one.initial_key_id, one.id)
        if other != one.id:
            raise RegistryError(
                f"terminal {one.id} has the initial_key_id {one.initial_key_id.hex().upper()} of {other}",
                "give the one in switch.toml its own",
            )
    blocked = {one.id for one in registry.merchants.values() if one.blocked}
    return tuple(replace(one, acceptor_blocked=True) if one.acceptor in blocked else one for one in terminals)


def _of_both(configured: Terminal, record: TerminalRecord | None) -> Terminal:
    """A terminal of switch.toml, with what the registry says of it: its merchant; blocked by either."""
    if record is None:
        return configured
    if record.initial_key_id != configured.initial_key_id:
        raise RegistryError(
            f"terminal {record.id}: switch.toml has another initial_key_id than the registry,"
            f" {record.initial_key_id.hex().upper()}",
            "write that one into switch.toml, or remove the [[terminals]] table there",
        )
    if configured.acceptor not in (record.merchant, record.settings):
        raise RegistryError(
            f"terminal {record.id}: acceptor {configured.acceptor} in switch.toml, merchant"
            f" {record.merchant} in the registry",
            "write that one into switch.toml, or remove the [[terminals]] table there",
        )
    return replace(configured, acceptor=record.merchant, blocked=configured.blocked or record.blocked)


# ---------------------------------------------------------------- changes


class Draft:
    """A registry being changed. settings: the terminals of switch.toml, which can be blocked and moved too.

    Each change says whether it changed anything; `changed` are the records to be written.
    """

    def __init__(self, registry: Registry, settings: Iterable[Terminal]) -> None:
        self._before = registry
        self._settings = {one.id: one for one in settings}
        self._merchants = dict(registry.merchants)
        self._terminals = dict(registry.terminals)
        self._groups = dict(registry.groups)
        self._bundles = dict(registry.bundles)
        self._used = {one.initial_key_id: one.id for one in self._settings.values()}
        for record in registry.terminals.values():
            for key_id in (record.initial_key_id, *record.former):
                self._used.setdefault(key_id, record.id)

    @property
    def changed(self) -> tuple[Record, ...]:
        """Merchants first: a terminal's merchant is then there before it."""
        pairs: list[tuple[Record, Record | None]] = [
            (one, self._before.merchants.get(one.id)) for one in self._merchants.values()
        ]
        pairs += [(one, self._before.terminals.get(one.id)) for one in self._terminals.values()]
        pairs += [(one, self._before.groups.get(one.id)) for one in self._groups.values()]
        pairs += [(one, self._before.bundles.get(one.id)) for one in self._bundles.values()]
        return tuple(record for record, before in pairs if record != before)

    def knows_merchant(self, merchant: str) -> bool:
        """Whether it was added, or terminals of switch.toml are its."""
        return merchant in self._merchants or any(one.acceptor == merchant for one in self._settings.values())

    def knows_terminal(self, terminal: str) -> bool:
        """Whether it is registered, here or in switch.toml."""
        return terminal in self._terminals or terminal in self._settings

    def terminal(self, terminal: str) -> TerminalRecord:
        """The record of a registered terminal, one of switch.toml too. Raises ChangeRefused."""
        if (record := self._terminals.get(terminal)) is not None:
            return record
        if (one := self._settings.get(terminal)) is not None:
            return TerminalRecord(one.id, one.acceptor, one.initial_key_id, settings=one.acceptor)
        _check("terminal", terminal, TERMINAL_ID, "8 letters or digits (DE 41)")
        raise ChangeRefused(f"no terminal {terminal} is registered", "add it: vafa terminal add")

    def merchant(self, merchant: str) -> Merchant:
        """The record of a merchant. Raises ChangeRefused."""
        if (record := self._merchants.get(merchant)) is not None:
            return record
        if self.knows_merchant(merchant):
            return Merchant(merchant)
        _check("merchant", merchant, MERCHANT_ID, "15 letters or digits (DE 42)")
        raise ChangeRefused(f"no merchant {merchant} is registered", "add it: vafa merchant add")

    def add_merchant(self, merchant: Merchant, *, update: bool = False) -> bool:
        """update: one that is registered with other names gets these. Whether it is blocked stays."""
        if not (merchant.name_fa or merchant.name_en):
            raise ChangeRefused(f"merchant {merchant.id} has no name", "give --name-fa, --name-en or both")
        before = self._merchants.get(merchant.id)
        if before is not None:
            merchant = replace(merchant, blocked=before.blocked, reason=before.reason)
            named = bool(before.name_fa or before.name_en)
            if merchant != before and named and not update:
                raise ChangeRefused(
                    f"merchant {merchant.id} is registered with other particulars",
                    "vafa merchant show tells them; change them with --update",
                )
        self._merchants[merchant.id] = merchant
        return merchant != before

    def add_terminal(
        self,
        terminal: str,
        merchant: str,
        *,
        initial_key_id: bytes | None = None,
        bdk_id: bytes | None = None,
        note: str = "",
        update: bool = False,
    ) -> bool:
        """initial_key_id: None for one that is allotted under bdk_id. update: note and initial_key_id of a
        registered one are changed."""
        if self.knows_terminal(terminal):
            return self._add_again(self.terminal(terminal), merchant, initial_key_id, note, update)
        _check("terminal", terminal, TERMINAL_ID, "8 letters or digits (DE 41)")
        self.merchant(merchant)
        if initial_key_id is None:
            assert bdk_id is not None, "whoever adds says which BDK"
            initial_key_id = self.allotted(terminal, bdk_id)
        self._check_free(initial_key_id, terminal)
        self._terminals[terminal] = TerminalRecord(terminal, merchant, initial_key_id, note=note)
        self._used[initial_key_id] = terminal
        return True

    def _add_again(
        self, before: TerminalRecord, merchant: str, initial_key_id: bytes | None, note: str, update: bool
    ) -> bool:
        if merchant != before.merchant:
            raise ChangeRefused(
                f"terminal {before.id} is registered, of merchant {before.merchant}",
                f"move it: vafa terminal assign {before.id} --merchant",
            )
        key_id = before.initial_key_id if initial_key_id is None else initial_key_id
        former = before.former
        if key_id != before.initial_key_id:
            if not update:
                raise ChangeRefused(
                    f"terminal {before.id} is registered with another initial_key_id",
                    "leave it away, or give --update and load new keys afterwards",
                )
            if before.id in self._settings:
                raise ChangeRefused(
                    f"terminal {before.id} has its initial_key_id in switch.toml", "change it there"
                )
            self._check_free(key_id, before.id)
            former = (*former, before.initial_key_id)
        if note and note != before.note and not update and before.id in self._terminals:
            raise ChangeRefused(
                f"terminal {before.id} is registered with another note", "change it with --update"
            )
        after = replace(before, initial_key_id=key_id, former=former, note=note or before.note)
        if after == before:
            return False
        self._terminals[after.id] = after
        self._used[key_id] = after.id
        return True

    def block_terminal(self, terminal: str, reason: str) -> bool:
        """reason: empty keeps the one it is blocked for already."""
        before = self.terminal(terminal)
        return self._put_terminal(replace(before, blocked=True, reason=reason or before.reason))

    def unblock_terminal(self, terminal: str) -> bool:
        configured = self._settings.get(terminal)
        if configured is not None and configured.blocked:
            raise ChangeRefused(
                f"terminal {terminal} is blocked in switch.toml",
                "set blocked = false there, or remove the line, and start the switch again",
            )
        return self._put_terminal(replace(self.terminal(terminal), blocked=False, reason=""))

    def assign(self, terminal: str, merchant: str) -> bool:
        """The terminal is another merchant's from now on; its key stays."""
        self.merchant(merchant)
        return self._put_terminal(replace(self.terminal(terminal), merchant=merchant))

    def put_in_group(self, terminal: str, group: str) -> bool:
        """The terminal gets this group's parameters and software from now on."""
        self.group(group)
        return self._put_terminal(
            replace(self.terminal(terminal), group="" if group == DEFAULT_GROUP else group)
        )

    def group(self, name: str) -> Group:
        """A group; every name is one, most are empty. Raises ChangeRefused."""
        _check("group", name, GROUP_ID, "1 to 16 small letters, digits or hyphens")
        return self._groups.get(name) or Group(name)

    def set_parameters(self, group: str, digest: str, length: int) -> int:
        """A new version for the group; its number. The one it has already is no new one."""
        before = self.group(group)
        newest = before.newest
        if newest is not None and newest.digest == digest:
            return newest.version
        version = 1 + max(
            (one.version for other in self._groups.values() for one in other.parameters), default=0
        )
        self._groups[group] = before.with_parameters(Parameters(version, digest, length))
        return version

    def add_bundle(self, bundle: Bundle) -> bool:
        """Take a bundle that was checked."""
        before = self._bundles.get(bundle.id)
        if before is not None and before != bundle:
            what = "withdrawn" if before.withdrawn else "another one"
            raise ChangeRefused(
                f"software {bundle.id} is there: {what}", "give the next one a higher version"
            )
        self._bundles[bundle.id] = bundle
        return before is None

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """All that there are."""
        return tuple(self._bundles.values())

    def bundle(self, name: str) -> Bundle:
        """A bundle by MODEL/VERSION. Raises ChangeRefused."""
        if (found := self._bundles.get(name)) is None:
            raise ChangeRefused(f"no software {name}", "vafa terminal software list tells what there is")
        return found

    def roll_out(self, group: str, rollout: Rollout) -> bool:
        """The group's terminals of that model get this software; a share of them, or those that are named."""
        bundle = self.bundle(f"{rollout.model}/{rollout.version}")
        if bundle.withdrawn:
            raise ChangeRefused(f"software {bundle.id} is withdrawn", "take another version")
        for terminal in rollout.terminals:
            self.terminal(terminal)
        before = self.group(group)
        self._groups[group] = before.with_rollout(rollout)
        return self._groups[group] != before

    def withdraw(self, name: str) -> bool:
        """Nobody gets this bundle any more; whoever runs it goes on."""
        bundle = self.bundle(name)
        self._bundles[name] = replace(bundle, withdrawn=True)
        for group in self._groups.values():
            self._groups[group.id] = group.without_rollout(bundle.model, bundle.version)
        return not bundle.withdrawn

    def block_merchant(self, merchant: str, reason: str) -> bool:
        """With all its terminals. reason: empty keeps the one it is blocked for already."""
        before = self.merchant(merchant)
        return self._put_merchant(replace(before, blocked=True, reason=reason or before.reason))

    def unblock_merchant(self, merchant: str) -> bool:
        return self._put_merchant(replace(self.merchant(merchant), blocked=False, reason=""))

    def allotted(self, terminal: str, bdk_id: bytes) -> bytes:
        """An initial key id that nobody has or had: the BDK id and the terminal's digits, or when that can't
        be, a digest of them."""
        if re.fullmatch("[0-9A-Fa-f]{8}", terminal):
            plain = bdk_id + bytes.fromhex(terminal)
            if plain not in self._used:
                return plain
        for number in count():
            digest = sha256(f"{terminal} {number}".encode()).digest()
            key_id = bdk_id + digest[: KEY_ID_BYTES - BDK_ID_BYTES]
            if key_id not in self._used:
                return key_id
        raise AssertionError("four billion terminals under one BDK")

    def _check_free(self, key_id: bytes, terminal: str) -> None:
        owner = self._used.get(key_id)
        if owner is not None:
            raise ChangeRefused(
                f"initial_key_id {key_id.hex().upper()} is or was that of terminal {owner}",
                "give another one, or none: it is allotted then",
            )

    def _put_terminal(self, record: TerminalRecord) -> bool:
        if self.terminal(record.id) == record:
            return False
        configured = self._settings.get(record.id)
        self._terminals[record.id] = replace(record, settings=configured.acceptor if configured else "")
        return True

    def _put_merchant(self, record: Merchant) -> bool:
        if self.merchant(record.id) == record:
            return False
        self._merchants[record.id] = record
        return True


def _check(name: str, value: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(value):
        raise ChangeRefused(f"{name}: expected {expected}, got {value!r}", "correct it")


def _check_text(name: str, value: str, longest: int) -> None:
    if not value:
        return
    if len(value) > longest:
        raise ChangeRefused(f"{name}: {len(value)} characters, {longest} at most", "shorten it")
    if value != spelled(value) or not all(sign.isprintable() or sign == _JOINER for sign in value):
        raise ChangeRefused(f"{name}: has signs that can't be seen", "write it in letters, digits and blanks")
