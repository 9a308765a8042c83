"""The registry's two files as bytes: the sealed registry itself, and the log of all changes that made it.

Pure. Both are lines of JSON. The registry's last line seals all before it; a log line's seal is over the seal
before it and the line. Whatever is not exactly so is refused whole; nothing is read out of a broken file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, NamedTuple

import msgspec

from switch.ledger.seal import Sealer
from switch.registry.downloads import Bundle, Group, as_row, bundle_of, group_of
from switch.registry.errors import ChangeRefused, RegistryError
from switch.registry.records import Merchant, Record, Registry, TerminalRecord

FORMAT = 1
FIRST_SEAL = "0" * 64
_SEAL = re.compile(r',"seal":"([0-9a-f]{64})"\}')
_SEAL_CHARACTERS = len(',"seal":""}') + 64
_MERCHANT_FIELDS = ("name_fa", "name_en", "city", "category", "blocked", "reason")
_TERMINAL_FIELDS = ("merchant", "initial_key_id", "blocked", "reason", "note", "former", "settings")
_CHANGE_FIELDS = ("n", "time", "jalali", "by", "user", "what", "reason", "records")


class RegistryBroken(RegistryError):
    """A file that is not what was written. Text: which line, what is wrong."""


class Change(NamedTuple):
    """One line of the log. number: from 1 up. time: ISO 8601 with its offset; jalali: that day, YYYY/MM/DD.
    by: who is answerable; user: the system's account. records: as they are from now on."""

    number: int
    time: str
    jalali: str
    by: str
    user: str
    what: str
    reason: str
    records: tuple[Record, ...]


class Seals:
    """The registry's two seals, made from the ledger's seal key; neither is ever one of the ledger's."""

    def __init__(self, seal_key: bytes) -> None:
        ledger = Sealer(seal_key)
        self._file = Sealer(ledger.seal(b"registry file"))
        self._log = Sealer(ledger.seal(b"registry log"))

    def of_file(self, content: bytes) -> str:
        return self._file.seal(content).hex()

    def of_line(self, previous: str, content: str) -> str:
        return self._log.seal(previous.encode() + content.encode()).hex()


# ---------------------------------------------------------------- the registry


def registry_bytes(registry: Registry, seals: Seals) -> bytes:
    """The file: a head with the log's last line, a line for each record, the seal."""
    head = {"registry": FORMAT, "changes": registry.changes, "last": registry.last}
    kinds = (registry.merchants, registry.terminals, registry.groups, registry.bundles)
    records = [as_object(record) for kind in kinds for record in kind.values()]
    content = "".join(_dumped(one) + "\n" for one in (head, *records)).encode()
    trailer = {"records": len(records), "seal": seals.of_file(content)}
    return content + _dumped(trailer).encode() + b"\n"


def registry_of(content: bytes, seals: Seals) -> Registry:
    """The registry of a file's bytes. Raises RegistryBroken."""
    *lines, trailer, rest = [b"", *content.split(b"\n")]
    if rest or not trailer:
        raise RegistryBroken("the file is cut off")
    sealed = content[: -len(trailer) - 1]
    end = _object(trailer, len(lines))
    seal = end.get("seal")
    if not isinstance(seal, str) or not seal.isascii() or not compare_digest(seal, seals.of_file(sealed)):
        raise RegistryBroken("the file was changed by hand, cut off, or written under another seal key")
    head, *rows = [_object(line, number) for number, line in enumerate(lines[1:], 1)] or [{}]
    if head.get("registry") != FORMAT:
        raise RegistryBroken(f"this is no registry of format {FORMAT}")
    records = [record_of(row, number) for number, row in enumerate(rows, 2)]
    return Registry().with_records(records, head["changes"], head["last"])


def as_object(record: Record) -> dict[str, Any]:
    """A record for JSON."""
    if isinstance(record, Merchant):
        return {"merchant": record.id, **{name: getattr(record, name) for name in _MERCHANT_FIELDS}}
    if isinstance(record, Group | Bundle):
        return as_row(record)
    fields = {name: getattr(record, name) for name in _TERMINAL_FIELDS}
    if record.group:
        fields["group"] = record.group  # registries that know no groups stay as they are
    fields["initial_key_id"] = record.initial_key_id.hex().upper()
    fields["former"] = [key_id.hex().upper() for key_id in record.former]
    return {"terminal": record.id, **fields}


def record_of(row: dict[str, Any], number: int) -> Record:
    """The reverse of `as_object`. number: of its line, for errors. Raises RegistryBroken."""
    fields = dict(row)
    try:
        if "terminal" in fields:
            names, made = _TERMINAL_FIELDS, fields.pop("terminal")
            key_id = bytes.fromhex(fields.pop("initial_key_id"))
            former = tuple(map(bytes.fromhex, fields.pop("former")))
            terminal = TerminalRecord(made, initial_key_id=key_id, former=former, **fields)
            assert set(row) - {"group"} == {"terminal", *names}
            return terminal
        if "group" in fields:
            return group_of(row)
        if "bundle" in fields:
            return bundle_of(row)
        merchant = Merchant(fields.pop("merchant"), **fields)
        assert set(row) == {"merchant", *_MERCHANT_FIELDS}
        return merchant
    except (KeyError, TypeError, ValueError, AssertionError, ChangeRefused) as error:
        why = error.what if isinstance(error, ChangeRefused) else type(error).__name__
        raise RegistryBroken(f"line {number} is no record ({why})") from None


# ---------------------------------------------------------------- the log


def log_line(change: Change, previous: str, seals: Seals) -> str:
    """A change as a line of the log, without its end. previous: the seal of the line before."""
    values = [*change[:-1], [as_object(record) for record in change.records]]
    content = _dumped(dict(zip(_CHANGE_FIELDS, values, strict=True)))[:-1]
    return f'{content},"seal":"{seals.of_line(previous, content)}"}}'


def change_of(line: str, number: int, previous: str, seals: Seals) -> Change:
    """The change of a line, which must be change `number` and follow the seal `previous`. Raises
    RegistryBroken."""
    content, found = line[:-_SEAL_CHARACTERS], _SEAL.fullmatch(line[-_SEAL_CHARACTERS:])
    if found is None:
        raise RegistryBroken(f"line {number} is no change of the registry")
    if not compare_digest(found[1], seals.of_line(previous, content)):
        raise RegistryBroken(f"line {number} was changed, or lines before it are missing or out of order")
    fields = _object(f"{content}}}".encode(), number)
    if fields["n"] != number:
        raise RegistryBroken(f"line {number} says it is change {fields['n']}")
    records = tuple(record_of(row, number) for row in fields["records"])
    time, jalali, by, user, what, reason = (str(fields[name]) for name in _CHANGE_FIELDS[1:-1])
    return Change(number, time, jalali, by, user, what, reason, records)


class NextChange(NamedTuple):
    """The change after one that is known; line: its log line."""

    number: int
    records: tuple[Record, ...]
    line: str


def next_change(head: bytes, before: Registry, seals: Seals) -> NextChange | None:
    """The change that a registry's first line carries, when it is the one that follows `before`; None: it is
    another. Raises RegistryBroken."""
    fields = _object(head.rstrip(b"\n"), 1)
    number, line = fields.get("changes"), fields.get("last")
    if number != before.changes + 1 or not isinstance(line, str) or fields.get("registry") != FORMAT:
        return None
    change = change_of(line, number, seal_of(before.last), seals)
    return NextChange(number, change.records, line)


def seal_of(line: str) -> str:
    """The seal that a line carries; the first one's predecessor for no line."""
    return line[-_SEAL_CHARACTERS:][len(',"seal":"') :][:64] if line else FIRST_SEAL


def changes_of(content: bytes, seals: Seals) -> tuple[list[Change], list[str]]:
    """All changes of a log and its lines. Raises RegistryBroken, which names the first wrong line."""
    changes: list[Change] = []
    lines: list[str] = []
    previous = FIRST_SEAL
    *whole, rest = content.split(b"\n")
    for number, raw in enumerate(whole, 1):
        line = _text(raw, number)
        changes.append(change_of(line, number, previous, seals))
        lines.append(line)
        previous = seal_of(line)
    if rest:
        raise RegistryBroken(f"line {len(whole) + 1} is not finished")
    return changes, lines


class Agreed(NamedTuple):
    """A log that belongs to a registry. missing: the line that is not in it yet, empty when none is. keep:
    bytes of the log that are whole lines."""

    changes: tuple[Change, ...]
    missing: str
    keep: int


def agreed(registry: Registry, log: bytes, seals: Seals) -> Agreed:
    """What a log says of a registry that it belongs to. The registry is written first and carries its last
    change: a command that was stopped then left that line out, or half of it. Raises RegistryBroken."""
    keep = log.rfind(b"\n") + 1
    unfinished = log[keep:]
    changes, lines = changes_of(log[:keep], seals)
    missing = ""
    if len(changes) == registry.changes - 1 and registry.last.encode().startswith(unfinished):
        previous = seal_of(lines[-1]) if lines else FIRST_SEAL
        changes.append(change_of(registry.last, registry.changes, previous, seals))
        missing, unfinished = registry.last, b""
    elif len(changes) < registry.changes:
        raise RegistryBroken(f"lines are cut off at the end: {len(changes)} of {registry.changes} are left")
    elif len(changes) > registry.changes:
        raise RegistryBroken(
            f"it has {len(changes)} changes, the registry only {registry.changes}: that one is an older copy"
        )
    elif registry.changes and lines[-1] != registry.last:
        raise RegistryBroken(f"line {registry.changes} is not the registry's last change")
    if unfinished:
        raise RegistryBroken(f"line {len(changes) + 1} is not finished")
    _check_same(changes, registry)
    return Agreed(tuple(changes), missing, keep)


def _check_same(changes: Sequence[Change], registry: Registry) -> None:
    """That the changes, one after the other, make this registry."""
    made = Registry().with_records((one for change in changes for one in change.records), 0, "")
    for kind, of_log, of_file in (
        ("merchant", made.merchants, registry.merchants),
        ("terminal", made.terminals, registry.terminals),
        ("group", made.groups, registry.groups),
        ("bundle", made.bundles, registry.bundles),
    ):
        for name in {**of_log, **of_file}:
            if of_log.get(name) != of_file.get(name):
                raise RegistryBroken(f"the registry says otherwise than its log of {kind} {name}")


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(raw: bytes, number: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RegistryBroken(f"line {number} is not UTF-8") from None


def _object(raw: bytes, number: int) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RegistryBroken(f"line {number} is no JSON object")
    return value
