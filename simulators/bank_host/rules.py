"""What a bank host is told to do: one TOML file, checked whole, every mistake named with line and remedy.

Only data lives here; what a rule does to a message is decided in `host`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from switch.iso8583 import Dialect, EncodeError, Message, Mistake, Value, mask_text
from switch.iso8583.toml_lines import KeyLines, KeyPath
from switch.link.framing import FramingNameError, framing_named

LONGEST_DELAY_MS: Final = 3_600_000  # an hour: longer than any partner's timeout, short enough to be meant
LATE_MS: Final = 20_000  # terminals and acquirers give up after 10 to 15 s

REFERENCE: Final = re.compile(r"\{([0-9A-Za-z.]+)\}")  # in an answer: a field of the request
ANY_MTI: Final = "0210"  # to see whether a value can be written at all

# What a rule may do with a request: name -> what the client sees.
ACTIONS: Final[Mapping[str, str]] = {
    "answer": "an answer, after delay_ms",
    "late": "an answer when the client has long given up (delay_ms, 20 s when not given)",
    "drop": "nothing; the connection stays",
    "close": "nothing; the connection is closed after delay_ms",
    "duplicate": "the same answer twice",
    "garbage": "a frame that holds no message",
    "noise": "bytes that are no frame",
    "truncate": "the answer without its last byte, in a frame of its own",
}


class RulesError(ValueError):
    """A rules file that can't be used: every mistake, with line and remedy."""

    def __init__(self, file: Path, mistakes: Collection[Mistake]) -> None:
        lines = (
            f"{file}{'' if line is None else f':{line}'}: {what}; {remedy}" for line, what, remedy in mistakes
        )
        super().__init__(mask_text("\n".join(lines)))
        self.file = file
        self.mistakes = tuple(mistakes)


class Condition(NamedTuple):
    """What one field must be: text that fits one of `patterns` (`*`, `?`), or a number from low to high."""

    path: str
    patterns: tuple[re.Pattern[str], ...] = ()
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. The first whose conditions all hold and that may still strike decides.

    answer: values that the answer carries instead of the usual; "{11}" in one is the request's field.
    remove: fields that the answer leaves out. times: how often it strikes at all, None for ever.
    chance: of a request that fits, how many are hit, drawn from the seed.
    """

    name: str
    conditions: tuple[Condition, ...] = ()
    absent: tuple[str, ...] = ()
    action: str = "answer"
    answer: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    delay_ms: int = 0
    times: int | None = None
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class HostRules:
    """A whole file. dialect, framing, port: None when the file leaves them to the command line."""

    rules: tuple[Rule, ...] = ()
    magic_amounts: bool = True
    sign_on_required: bool = False
    seed: int = 1
    delay_ms: int = 0
    dialect: str | None = None
    framing: str | None = None
    port: int | None = None


class Names(NamedTuple):
    """What a rules file says about where it is to be used; read before its dialect is known."""

    dialect: str | None
    framing: str | None


def names_in(file: Path) -> Names:
    """Dialect and framing that `file` names; `RulesError` when it is no readable TOML."""
    host = _content(file)[1].get("host", {})
    host = host if isinstance(host, dict) else {}
    dialect, framing = host.get("dialect"), host.get("framing")
    if isinstance(dialect, str) and dialect.endswith(".toml"):
        dialect = str(file.parent / dialect)  # a path stands relative to the file that names it
    return Names(dialect if isinstance(dialect, str) else None, framing if isinstance(framing, str) else None)


def read(file: Path, dialect: Dialect) -> HostRules:
    """The rules in `file`, whose fields are those of `dialect`; `RulesError` with every mistake."""
    text, content = _content(file)
    reader = _Reader(KeyLines(text), dialect)
    rules = reader.host_rules(content)
    if reader.mistakes:
        raise RulesError(file, sorted(reader.mistakes, key=lambda mistake: mistake.line or 0))
    return rules


def _content(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "the file is not UTF-8"
        raise RulesError(file, [Mistake(None, what, "name a readable TOML file in UTF-8")]) from error
    try:
        return text, tomllib.loads(text)
    except RecursionError as error:
        raise RulesError(file, [Mistake(None, "nested too deep", "rules are tables of values")]) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place.group(1)) if place else None
        raise RulesError(file, [Mistake(line, f"no TOML: {error}", "correct the syntax")]) from error


class _Reader:
    """Takes the tables of one file apart and gathers the mistakes."""

    def __init__(self, lines: KeyLines, dialect: Dialect) -> None:
        self._lines = lines
        self._dialect = dialect
        self.mistakes: list[Mistake] = []

    def host_rules(self, content: Mapping[str, Any]) -> HostRules:
        self._only((), content, ("host", "rules"))
        host = self._table((), content, "host")
        keys = ("dialect", "framing", "port", "magic_amounts", "sign_on", "seed", "delay_ms")
        self._only(("host",), host, keys)
        framing = self._text(("host",), host, "framing")
        if framing is not None:
            try:
                framing_named(framing)
            except FramingNameError as error:
                self._refuse(("host", "framing"), str(error), "name one of them")
        sign_on = self._text(("host",), host, "sign_on") or "optional"
        if sign_on not in ("optional", "required"):
            self._refuse(("host", "sign_on"), f"{sign_on!r} is unknown", "write optional or required")
        return HostRules(
            rules=self._rules(content),
            magic_amounts=self._flag(("host",), host, "magic_amounts", True),
            sign_on_required=sign_on == "required",
            seed=self._number(("host",), host, "seed", 1, 0, 1 << 62),
            delay_ms=self._number(("host",), host, "delay_ms", 0, 0, LONGEST_DELAY_MS),
            dialect=self._text(("host",), host, "dialect"),
            framing=framing,
            port=self._number(("host",), host, "port", 0, 0, 65535) if "port" in host else None,
        )

    def _rules(self, content: Mapping[str, Any]) -> tuple[Rule, ...]:
        tables = self._table((), content, "rules")
        return tuple(self._rule(name, self._table(("rules",), tables, name)) for name in tables)

    def _rule(self, name: str, table: Mapping[str, Any]) -> Rule:
        path = ("rules", name)
        self._only(
            path, table, ("match", "absent", "action", "answer", "remove", "delay_ms", "times", "chance")
        )
        action = self._text(path, table, "action") or "answer"
        if action not in ACTIONS:
            self._refuse((*path, "action"), f"no action {action!r}", _near(action, ACTIONS))
        match = self._table(path, table, "match")
        answer = self._answers((*path, "answer"), _flat(self._table(path, table, "answer")))
        late = LATE_MS if action == "late" else 0
        chance = table.get("chance", 1.0)
        if not isinstance(chance, int | float) or isinstance(chance, bool) or not 0 <= chance <= 1:
            self._refuse((*path, "chance"), "not a chance", "write a number from 0.0 to 1.0")
            chance = 1.0
        return Rule(
            name,
            tuple(self._condition((*path, "match"), at, wanted) for at, wanted in _flat(match).items()),
            self._paths(path, table, "absent"),
            action,
            answer,
            self._paths(path, table, "remove"),
            self._number(path, table, "delay_ms", late, 0, LONGEST_DELAY_MS),
            self._number(path, table, "times", 1, 1, 1 << 31) if "times" in table else None,
            float(chance),
        )

    def _condition(self, path: KeyPath, at: str, wanted: Any) -> Condition:
        self._field(path, at)
        if isinstance(wanted, dict):
            self._only((*path, at), wanted, ("min", "max"))
            low, high = wanted.get("min"), wanted.get("max")
            if all(limit is None or type(limit) is int for limit in (low, high)):
                return Condition(at, (), low, high)
        texts = wanted if isinstance(wanted, list) else [wanted]
        if not texts or not all(isinstance(text, str) for text in texts):
            self._refuse(
                (*path, at), "no condition", 'write "text", ["one", "other"] or { min = 1, max = 2 }'
            )
            return Condition(at)
        return Condition(at, tuple(_pattern(text) for text in texts))

    def _answers(self, path: KeyPath, values: Mapping[str, Any]) -> dict[str, str]:
        """Values an answer carries, each one that the dialect can write."""
        mistakes = len(self.mistakes)
        for at, value in values.items():
            self._answer(path, at, value)
        if len(self.mistakes) > mistakes:
            return {}
        self._written(path, values)
        return dict(values)

    def _answer(self, path: KeyPath, at: str, value: Any) -> None:
        if not self._field(path, at):
            return
        if not isinstance(value, str):
            self._refuse((*path, at), "no text", "write the value in quotation marks")
            return
        number, _dot, inner = at.partition(".")
        field = None if at == "mti" else self._dialect.dictionary.fields[int(number)]
        if inner and field is not None and not field.is_composite:
            what = f"{number} has no parts in {self._dialect.name}"
            self._refuse((*path, at), what, f'write answer.{number} = "…"')
        for named in REFERENCE.findall(value):
            self._known((*path, at), named, "name a field of the request, like {11}")

    def _written(self, path: KeyPath, values: Mapping[str, str]) -> None:
        """Refuse what no answer could carry; what is taken from the request is known only then."""
        from_request = {at.partition(".")[0] for at, text in values.items() if REFERENCE.search(text)}
        fields: dict[str, Value] = {}
        for at, text in values.items():
            if at != "mti" and at.partition(".")[0] not in from_request:
                put_value(self._dialect, fields, at, text)
        if "mti" in values and "mti" not in from_request:
            self._try(path, values, "mti", Message(values["mti"], {}, self._dialect.dictionary))
        for number, content in fields.items():
            self._try(path, values, number, Message(ANY_MTI, {number: content}, self._dialect.dictionary))

    def _try(self, path: KeyPath, values: Mapping[str, str], place: str, message: Message) -> None:
        try:
            self._dialect.encode(message)
        except EncodeError as error:
            if error.path.partition(".")[0] != place:  # a header, of which nothing is known yet
                return
            inside = [at for at in values if at.partition(".")[0] == place]
            at = error.path if error.path in inside else inside[0]
            what = f"no answer can carry it: {error}"
            self._refuse((*path, at), what, 'write another value, or the request\'s, like "{11}"')

    def _field(self, path: KeyPath, at: str) -> bool:
        return self._known((*path, at), at, "name a field by its number, or mti")

    def _known(self, place: KeyPath, at: str, remedy: str) -> bool:
        number = at.partition(".")[0]
        known = at == "mti" or (number.isdecimal() and int(number) in self._dialect.dictionary.fields)
        if not known:
            self._refuse(place, f"{self._dialect.name} has no field {at}", remedy)
        return known

    def _paths(self, path: KeyPath, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse((*path, key), "not a list of fields", 'write like ["35", "38"]')
            return ()
        for item in value:
            self._field((*path, key), item)
        return tuple(value)

    # ------------------------------------------------------------ kinds of values

    def _refuse(self, path: KeyPath, what: str, remedy: str) -> None:
        self.mistakes.append(Mistake(self._lines.line_of(path), f"{'.'.join(path)}: {what}", remedy))

    def _only(self, path: KeyPath, table: Mapping[str, Any], known: Collection[str]) -> None:
        for key in table:
            if key not in known:
                self._refuse((*path, key), f"unknown key {key!r}", _near(key, known))

    def _table(self, path: KeyPath, table: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if isinstance(value, dict):
            return value
        self._refuse((*path, key), "not a table", f"write [{'.'.join((*path, key))}]")
        return {}

    def _text(self, path: KeyPath, table: Mapping[str, Any], key: str) -> str | None:
        value = table.get(key)
        if value is None or isinstance(value, str):
            return value
        self._refuse((*path, key), "no text", "write it in quotation marks")
        return None

    def _flag(self, path: KeyPath, table: Mapping[str, Any], key: str, default: bool) -> bool:
        value = table.get(key, default)
        if isinstance(value, bool):
            return value
        self._refuse((*path, key), "neither true nor false", "write true or false")
        return default

    def _number(
        self, path: KeyPath, table: Mapping[str, Any], key: str, default: int, low: int, high: int
    ) -> int:
        value = table.get(key, default)
        if type(value) is int and low <= value <= high:
            return value
        self._refuse((*path, key), "no such number", f"write a whole number from {low} to {high}")
        return default


def put_value(dialect: Dialect, fields: dict[str, Value], path: str, text: str) -> None:
    """Puts what a rule says of `path` among `fields`: hex as bytes where the dialect has bytes there."""
    number, _dot, inner = path.partition(".")
    field = dialect.dictionary.field_at(path)
    content: Value = text
    is_bytes = path != "mti" and (field is None or field.content == "b")
    if is_bytes and re.fullmatch("([0-9A-Fa-f]{2})*", text):
        content = bytes.fromhex(text)
    if not inner:
        fields[number] = content
        return
    holder = fields.get(number)
    fields[number] = {**holder, inner: content} if isinstance(holder, Mapping) else {inner: content}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`match.48.01 = "x"` and `match."48.01" = "x"` are the same; { min, max } stays a condition."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and not value.keys() <= {"min", "max"}:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any text, `?` any one character, everything else itself."""
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", text)
    )
    return re.compile("".join(parts), re.DOTALL)


def _near(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
