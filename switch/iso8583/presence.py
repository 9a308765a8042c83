"""Which fields a message must and may carry: the presence rules of a dictionary, ready to ask.

Looks at names; at values only to choose the rule (DE 3) and to judge numbered conditions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from switch.iso8583.dictionary import HEADER, Condition, Dictionary, MessageRule
from switch.iso8583.errors import FORMAT_ERROR
from switch.iso8583.masks import mask_text
from switch.iso8583.message import EMPTY_SECONDARY, Message

PROCESSING_CODE = "3"
ANY = "*"
ALWAYS_ALLOWED = frozenset((HEADER, EMPTY_SECONDARY))


class Problem(NamedTuple):
    """One thing wrong with a message that decodes: where, what in words, and the DE 39 to answer with."""

    path: str
    what: str
    response_code: str = FORMAT_ERROR


class _Rule:
    """One `MessageRule` as sets of field numbers and the tags it names."""

    def __init__(self, rule: MessageRule, conditions: Mapping[str, Condition]) -> None:
        self.name = rule.name
        self.title = rule.title.en
        self.processing_code = rule.processing_code
        self.one_of = rule.one_of
        self.mandatory = frozenset(path.partition(".")[0] for path in rule.mandatory)
        self.mandatory_tags = tuple(path for path in rule.mandatory if "." in path)
        self.conditional = tuple((path, conditions[number]) for path, number in rule.conditional.items())
        self.allows_any = ANY in rule.optional
        optional = [path for path in rule.optional if path != ANY]
        named = {*rule.mandatory, *optional, *rule.conditional}.union(*rule.one_of)
        self.allowed = frozenset(path.partition(".")[0] for path in named) | ALWAYS_ALLOWED
        # tagged fields of which only some tags are named
        self.named_tags = {
            number: frozenset(path.partition(".")[2] for path in named if path.startswith(number + "."))
            for number in self.allowed
            if number not in named and number not in ALWAYS_ALLOWED
        }


class Presence:
    """The presence rules of one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._format_error = dictionary.format_error
        self._invalid_transaction = dictionary.invalid_transaction
        self._rules: dict[str, dict[str | None, _Rule]] = {}
        # rules whose processing code holds "*" for single digits, those with the most digits first
        self._patterns: dict[str, list[tuple[str, _Rule]]] = {}
        for message in dictionary.messages:
            rule = _Rule(message, dictionary.conditions)
            code = message.processing_code
            for mti in message.mtis:
                if code is not None and ANY in code and code != ANY:
                    self._rules.setdefault(mti, {})
                    self._patterns.setdefault(mti, []).append((code, rule))
                else:
                    self._rules.setdefault(mti, {})[code] = rule
        for patterns in self._patterns.values():
            patterns.sort(key=lambda pattern: pattern[0].count(ANY))
        self._known_tags = {str(number): frozenset(field.tags) for number, field in dictionary.fields.items()}
        mac = dictionary.mac
        self._mac_names = () if mac is None else mac.names
        self._mac_required = mac is not None and mac.required
        above_64 = frozenset(str(number) for number in dictionary.fields if number > 64)
        self._secondary = above_64.difference(self._mac_names)

    def problems(self, message: Message, mac_required: bool) -> list[Problem]:
        """Everything that MTI and DE 3 don't allow; empty when the message is complete."""
        if not self._rules:
            return []
        rule = self._rule(message)
        if isinstance(rule, Problem):
            return [rule]
        names = message.fields.keys()
        found: list[Problem] = []
        mac_name = self._mac_name(names)
        if mac_required and self._mac_required and mac_name is not None and mac_name not in names:
            found.append(Problem(mac_name, "the MAC is missing"))
        found += [Problem(name, "mandatory, missing") for name in rule.mandatory - names]
        for name in names - rule.allowed:
            if name == mac_name:
                continue
            if name in self._mac_names:
                found.append(Problem(name, f"the MAC stands in {mac_name}"))
            elif not rule.allows_any:
                found.append(Problem(mask_text(str(name)), _stranger(rule)))
        for group in rule.one_of:
            present = [path for path in group if path in message]
            if len(present) != 1:
                what = f"exactly one of fields {', '.join(group)} must be present; there are {len(present)}"
                found.append(Problem(group[0], what))
        found += self._tag_problems(rule, message)
        found += _condition_problems(rule, message)
        if self._format_error != FORMAT_ERROR:
            found = [problem._replace(response_code=self._format_error) for problem in found]
        return sorted(found, key=_place)

    def name_of(self, message: Message) -> str | None:
        """The dictionary's name for the message that MTI and DE 3 choose; None when there is none."""
        rule = self._rule(message)
        return None if isinstance(rule, Problem) else rule.name

    def _rule(self, message: Message) -> _Rule | Problem:
        rules = self._rules.get(message.mti)
        if rules is None:
            return Problem("mti", "no message of this dialect", self._invalid_transaction)
        if None in rules:
            return rules[None]
        code = message.fields.get(PROCESSING_CODE)
        if code is None:
            return Problem(PROCESSING_CODE, "mandatory, missing", self._format_error)
        if not isinstance(code, str) and isinstance(code, Mapping):  # DE 3 cut into its parts
            code = "".join(part for part in code.values() if isinstance(part, str))
        rule = rules.get(code) if isinstance(code, str) else None
        if rule is None and isinstance(code, str):
            rule = next(
                (rule for pattern, rule in self._patterns.get(message.mti, ()) if _fits(pattern, code)), None
            )
        rule = rule or rules.get(ANY)
        return rule or Problem(PROCESSING_CODE, "no message of this MTI", self._invalid_transaction)

    def _mac_name(self, names: Collection[str]) -> str | None:
        if not self._mac_names:
            return None
        return self._mac_names[0 if self._secondary.isdisjoint(names) else -1]

    def _tag_problems(self, rule: _Rule, message: Message) -> list[Problem]:
        found = [
            Problem(path, "mandatory, missing")
            for path in rule.mandatory_tags
            if path.partition(".")[0] in message.fields and path not in message
        ]
        for number, named in rule.named_tags.items():
            tags = message.fields.get(number)
            if isinstance(tags, Mapping) and not rule.allows_any:
                strangers = (tags.keys() & self._known_tags.get(number, frozenset())) - named
                found += [Problem(f"{number}.{tag}", _stranger(rule)) for tag in strangers]
        return found


def holds(condition: Condition, message: Message) -> bool:
    """Whether a numbered condition holds for `message`."""
    return any(all(_passes(message, *test) for test in group) for group in condition.groups)


def _passes(message: Message, path: str, how: str, values: tuple[str, ...]) -> bool:
    value = message.get(path)
    if how == "present":
        return value is not None
    if how == "absent":
        return value is None
    text = value.hex().upper() if isinstance(value, bytes) else value
    if how == "not":
        return text not in values
    if not isinstance(text, str):
        return False
    return text.startswith(values) if how == "starts" else text in values


def _condition_problems(rule: _Rule, message: Message) -> Iterator[Problem]:
    for path, condition in rule.conditional:
        holder, dot, _rest = path.rpartition(".")
        if dot and holder not in message and path not in message:
            continue  # what holds it is missing: said, or allowed, there
        if holds(condition, message):
            if path not in message:
                yield Problem(path, f"missing, condition C{condition.number}: {condition.text.en}")
        elif condition.otherwise == "absent" and path in message:
            yield Problem(path, f"not allowed without condition C{condition.number}: {condition.text.en}")


def _fits(pattern: str, code: str) -> bool:
    return len(pattern) == len(code) and all(
        wanted in (ANY, digit) for wanted, digit in zip(pattern, code, strict=True)
    )


def _place(problem: Problem) -> tuple[int, str]:
    number = problem.path.partition(".")[0]
    return len(number), problem.path


def _stranger(rule: _Rule) -> str:
    return f"not part of: {rule.title}"
