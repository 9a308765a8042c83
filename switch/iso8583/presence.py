"""Which fields a message must and may carry: the presence rules of a dictionary, ready to ask.

Looks at names only, never at values (but DE 3, which chooses the rule).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from switch.iso8583.dictionary import Dictionary, MessageRule
from switch.iso8583.errors import FORMAT_ERROR
from switch.iso8583.message import Message

INVALID_TRANSACTION = "12"  # DE 39: no such message
PROCESSING_CODE = "3"


class Problem(NamedTuple):
    """One thing wrong with a message that decodes: where, what in words, and the DE 39 to answer with."""

    path: str
    what: str
    response_code: str = FORMAT_ERROR


class _Rule:
    """One `MessageRule` as sets of field numbers and the tags it names."""

    def __init__(self, rule: MessageRule) -> None:
        self.name = rule.name
        self.title = rule.title.en
        self.one_of = rule.one_of
        self.mandatory = frozenset(path.partition(".")[0] for path in rule.mandatory)
        self.mandatory_tags = tuple(path for path in rule.mandatory if "." in path)
        named = {*rule.mandatory, *rule.optional}.union(*rule.one_of)
        self.allowed = frozenset(path.partition(".")[0] for path in named)
        # tagged fields of which only some tags are named
        self.named_tags = {
            number: frozenset(path.partition(".")[2] for path in named if path.startswith(number + "."))
            for number in self.allowed
            if number not in named
        }


class Presence:
    """The presence rules of one dictionary."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._rules: dict[str, dict[str | None, _Rule]] = {}
        for message in dictionary.messages:
            rule = _Rule(message)
            for mti in message.mtis:
                self._rules.setdefault(mti, {})[message.processing_code] = rule
        self._known_tags = {str(number): frozenset(field.tags) for number, field in dictionary.fields.items()}
        mac = dictionary.mac
        self._mac_names = None if mac is None else (str(mac.primary), str(mac.secondary))
        above_64 = frozenset(str(number) for number in dictionary.fields if number > 64)
        self._secondary = above_64.difference(self._mac_names or ())

    def problems(self, message: Message, mac_required: bool) -> list[Problem]:
        """Everything that MTI and DE 3 don't allow; empty when the message is complete."""
        rule = self._rule(message)
        if isinstance(rule, Problem):
            return [rule]
        names = message.fields.keys()
        found: list[Problem] = []
        mac_name = self._mac_name(names)
        if mac_required and mac_name is not None and mac_name not in names:
            found.append(Problem(mac_name, "the MAC is missing"))
        found += [Problem(name, "mandatory, missing") for name in rule.mandatory - names]
        for name in names - rule.allowed:
            if name == mac_name:
                continue
            is_mac = self._mac_names is not None and name in self._mac_names
            found.append(Problem(name, f"the MAC stands in {mac_name}" if is_mac else _stranger(rule)))
        for group in rule.one_of:
            present = [path for path in group if path in message]
            if len(present) != 1:
                what = f"exactly one of {', '.join(group)} must be present, not {len(present)}"
                found.append(Problem(group[0], what))
        found += self._tag_problems(rule, message)
        return sorted(found, key=_place)

    def name_of(self, message: Message) -> str | None:
        """The dictionary's name for the message that MTI and DE 3 choose; None when there is none."""
        rule = self._rule(message)
        return None if isinstance(rule, Problem) else rule.name

    def _rule(self, message: Message) -> _Rule | Problem:
        rules = self._rules.get(message.mti)
        if rules is None:
            return Problem("mti", "no message of this dialect", INVALID_TRANSACTION)
        if None in rules:
            return rules[None]
        code = message.fields.get(PROCESSING_CODE)
        if code is None:
            return Problem(PROCESSING_CODE, "mandatory, missing")
        rule = rules.get(code) if isinstance(code, str) else None
        rule = rule or rules.get("*")
        return rule or Problem(PROCESSING_CODE, "no message of this MTI", INVALID_TRANSACTION)

    def _mac_name(self, names: Collection[str]) -> str | None:
        if self._mac_names is None:
            return None
        primary, secondary = self._mac_names
        return primary if self._secondary.isdisjoint(names) else secondary

    def _tag_problems(self, rule: _Rule, message: Message) -> list[Problem]:
        found = [
            Problem(path, "mandatory, missing")
            for path in rule.mandatory_tags
            if path.partition(".")[0] in message.fields and path not in message
        ]
        for number, named in rule.named_tags.items():
            tags = message.fields.get(number)
            if isinstance(tags, Mapping):
                strangers = (tags.keys() & self._known_tags[number]) - named
                found += [Problem(f"{number}.{tag}", _stranger(rule)) for tag in strangers]
        return found


def _place(problem: Problem) -> tuple[int, str]:
    number = problem.path.partition(".")[0]
    return len(number), problem.path


def _stranger(rule: _Rule) -> str:
    return f"not part of: {rule.title}"
