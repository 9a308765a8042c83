"""What a bank host does with one message: bytes in, actions out. Pure: no socket, no clock, no sleep.

The order: a rule that fits, else sign-on and echo, else the magic amount, else approval.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from simulators.bank_host.rules import REFERENCE, Condition, HostRules, Rule, put_value
from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, Value
from switch.iso8583.dictionary import HEADER

# Fields an answer repeats when the request has them and the dialect lets the answer carry them. Cards'
# tracks, PIN blocks, chip data, MACs and private data are never repeated.
ECHOED: Final = (
    *("2", "3", "4", "5", "6", "7", "11", "12", "13", "15", "17", "23", "24", "28", "32", "33", "37"),
    *("41", "42", "49", "50", "51", "59", "70", "90", "93", "94"),
)
RETRIEVAL_REFERENCE, APPROVAL_CODE, RESPONSE_CODE, AMOUNT = "37", "38", "39", "4"
STANDARD_ANSWER: Final = (*ECHOED, RETRIEVAL_REFERENCE, APPROVAL_CODE, RESPONSE_CODE)

# MTI digits: the class, then the function of a request and of its answer (ISO 8583 all versions). A
# notification (4) has no answer.
AUTHORIZATION, FINANCIAL, NETWORK = "1", "2", "8"
ANSWER_FUNCTIONS: Final[Mapping[str, str]] = {"0": "1", "2": "3", "6": "7"}
ANSWER_ORIGINS: Final[Mapping[str, str]] = {"1": "0", "3": "2", "5": "4"}  # a repeat is answered as its first

# DE 70 of 1987, DE 24 of 1993 and 2003.
SIGN_ON_CODES: Final = ("001", "061", "801")
SIGN_OFF_CODES: Final = ("002", "062", "802")
ECHO_CODES: Final = ("301", "831")

APPROVED: Final = "00"
ISSUER_INOPERATIVE: Final = "91"
MAGIC_SILENCE: Final = "68"  # an amount that ends in it is never answered
# The two digits as DE 39 of each length: 2 (1987), 3 (1993), 4 (2003). Refusals are 1xx and 10xx there.
REFUSAL_PREFIXES: Final[Mapping[int, str]] = {2: "", 3: "1", 4: "10"}
# What the newer versions call a refusal that isn't the card's.
NEWER_CODES: Final[Mapping[int, Mapping[str, str]]] = {
    3: {"00": "000", "30": "904", "91": "907", "96": "909"},
    4: {"00": "0000", "30": "1804", "91": "9107", "96": "9109"},
}
GARBAGE_BYTES: Final = 40
LONGEST_NUMBER: Final = 999  # digits; what is longer is compared with no limit


class Send(NamedTuple):
    """Send `data` after `delay_ms`; framed unless it is noise."""

    data: bytes
    delay_ms: int
    framed: bool = True


class Close(NamedTuple):
    """Close the connection after `delay_ms`."""

    delay_ms: int


Action = Send | Close


class Reaction(NamedTuple):
    """What to do about a message, and what to tell about it: masked by construction.

    request, answer: None when they don't decode or aren't made. rule: its name, or what else decided.
    """

    actions: tuple[Action, ...]
    decided_by: str
    request: Message | None = None
    answer: Message | None = None
    fault: str = ""


class BankHost:
    """The host of one dialect. Knows how often each rule struck and who signed on; nothing of accounts."""

    def __init__(self, dialect: Dialect, rules: HostRules) -> None:
        self.dialect = dialect
        self.signed_on = False
        self._answers = 0
        self.use(rules)

    def use(self, rules: HostRules) -> None:
        """Follow `rules` from now on; their counts and chances begin anew, the sign-on state stays."""
        self._rules = rules
        self._struck: dict[str, int] = {}
        self._choice = random.Random(rules.seed)

    def receive(self, data: bytes, now: datetime) -> Reaction:
        """What the message in `data` gets. `now`: the host's date and time, for fields that need it."""
        try:
            request = self.dialect.decode(data)
        except DecodeError as error:
            return self._refuse_format(error, now)
        if answer_mti(request.mti) is None:
            return Reaction((), "an answer or a notification: nothing to say", request)
        rule = self._rule_for(request)
        if rule is not None:
            return self._obey(rule, request, now)
        if request.mti[1] == NETWORK:
            return self._manage(request, now)
        if self._rules.sign_on_required and not self.signed_on:
            return self._answer(request, ISSUER_INOPERATIVE, "not signed on", now)
        return self._decide(request, now)

    # ------------------------------------------------------------ who decides

    def _rule_for(self, request: Message) -> Rule | None:
        for rule in self._rules.rules:
            if rule.times is not None and self._struck.get(rule.name, 0) >= rule.times:
                continue
            if any(path in request for path in rule.absent):
                continue
            if not all(_holds(condition, request) for condition in rule.conditions):
                continue
            if rule.chance < 1 and self._choice.random() >= rule.chance:
                continue
            self._struck[rule.name] = self._struck.get(rule.name, 0) + 1
            return rule
        return None

    def _obey(self, rule: Rule, request: Message, now: datetime) -> Reaction:
        by = f"rule {rule.name}"
        delay_ms = rule.delay_ms or self._rules.delay_ms
        if rule.action == "drop":
            return Reaction((), by, request)
        if rule.action == "close":
            return Reaction((Close(rule.delay_ms),), by, request)
        if rule.action in ("garbage", "noise"):
            garbage = b"\xff" + self._choice.randbytes(GARBAGE_BYTES - 1)  # no MTI begins with FF
            return Reaction((Send(garbage, delay_ms, rule.action == "garbage"),), by, request)
        if request.mti[1] == NETWORK:
            self._note_network(request)
        code = APPROVED if request.mti[1] == NETWORK else magic_code(request)
        code = APPROVED if code == MAGIC_SILENCE or not self._rules.magic_amounts else code
        reaction = self._answer(request, code, by, now, rule)
        sent = tuple(action for action in reaction.actions if isinstance(action, Send))
        if rule.action == "duplicate":
            sent *= 2
        elif rule.action == "truncate":
            sent = tuple(action._replace(data=action.data[:-1]) for action in sent)
        return reaction._replace(actions=tuple(action._replace(delay_ms=delay_ms) for action in sent))

    def _manage(self, request: Message, now: datetime) -> Reaction:
        return self._answer(request, APPROVED, self._note_network(request), now)

    def _note_network(self, request: Message) -> str:
        code = network_code(request)
        if code in (*SIGN_ON_CODES, *SIGN_OFF_CODES):
            self.signed_on = code in SIGN_ON_CODES
            return "sign-on" if self.signed_on else "sign-off"
        return "echo" if code in ECHO_CODES else "network management"

    def _decide(self, request: Message, now: datetime) -> Reaction:
        code = magic_code(request) if self._rules.magic_amounts else APPROVED
        if code == MAGIC_SILENCE:
            return Reaction((), f"magic amount {MAGIC_SILENCE}: no answer", request)
        by = "approval" if code == APPROVED else f"magic amount {code}"
        return self._answer(request, code, by, now)

    def _refuse_format(self, error: DecodeError, now: datetime) -> Reaction:
        """What decoded before the fault may do for an answer that says what is wrong."""
        partial = error.partial
        if partial is None or answer_mti(partial.mti) is None:
            return Reaction((), "no message", fault=str(error))
        reaction = self._answer(partial, error.response_code, "format error", now)
        return reaction._replace(request=None, fault=str(error))

    # ------------------------------------------------------------ the answer

    def _answer(
        self, request: Message, code: str, by: str, now: datetime, rule: Rule | None = None
    ) -> Reaction:
        answer = self._message(request, code, now, rule)
        try:
            data = self.dialect.encode(answer)
        except EncodeError as error:
            return Reaction((), by, request, fault=f"no answer can be made: {error}")
        return Reaction((Send(data, self._rules.delay_ms),), by, request, answer)

    def _message(self, request: Message, code: str, now: datetime, rule: Rule | None) -> Message:
        mti = answer_mti(request.mti)
        assert mti is not None, "only requests are answered"
        self._answers += 1
        allowed = self._allowed(mti)
        fields: dict[str, Value] = {path: request.fields[path] for path in ECHOED if path in request.fields}
        code = self._code(code)
        fields[RESPONSE_CODE] = code
        approved = not code.strip("0")
        if RETRIEVAL_REFERENCE not in fields and request.mti[1] != NETWORK:
            fields[RETRIEVAL_REFERENCE] = f"{now:%y%j}{self._answers % 10**7:07}"
        if approved and request.mti[1] in (AUTHORIZATION, FINANCIAL):
            fields[APPROVAL_CODE] = f"{self._answers % 10**6:06}"
        fields = {path: value for path, value in fields.items() if path in allowed}
        if HEADER in request.fields:  # the partner's own routing goes back as it came
            fields[HEADER] = request.fields[HEADER]
        for path in () if rule is None else rule.remove:
            fields.pop(path, None)
        for path, text in {} if rule is None else rule.answer.items():
            put_value(self.dialect, fields, path, _filled(text, request))
        changed_mti = fields.pop("mti", mti)
        assert isinstance(changed_mti, str)
        return Message(changed_mti, dict(sorted(fields.items(), key=_place)), self.dialect.dictionary)

    def _allowed(self, mti: str) -> frozenset[str]:
        """Fields an answer may carry: what the dialect says of this MTI, else the usual ones."""
        known = {str(number) for number in self.dialect.dictionary.fields}
        named = {
            path
            for rule in self.dialect.dictionary.messages
            if mti in rule.mtis
            for path in (*rule.mandatory, *rule.optional, *rule.conditional)
        }
        return frozenset(known & (named if named and "*" not in named else set(STANDARD_ANSWER)))

    def _code(self, code: str) -> str:
        """A two-digit code as this dialect's DE 39 has it."""
        field = self.dialect.dictionary.fields.get(int(RESPONSE_CODE))
        size = 2 if field is None else field.length.maximum
        known = NEWER_CODES.get(size, {})
        return known[code] if code in known else REFUSAL_PREFIXES.get(size, "") + code


def answer_mti(mti: str) -> str | None:
    """MTI of the answer to `mti`; None for what isn't answered (answers, notifications, no MTI)."""
    function = ANSWER_FUNCTIONS.get(mti[2]) if len(mti) == 4 and mti.isdecimal() else None
    return None if function is None else mti[:2] + function + ANSWER_ORIGINS.get(mti[3], mti[3])


def magic_code(request: Message) -> str:
    """Last two digits of DE 4 in authorizations and financial messages; approval otherwise."""
    if request.mti[1] not in (AUTHORIZATION, FINANCIAL):
        return APPROVED
    digits = _last_text(request.get(AMOUNT))[-2:]
    return digits if re.fullmatch("[0-9]{2}", digits) else APPROVED


def network_code(request: Message) -> str:
    """DE 70 (1987), else DE 24 (1993 and 2003), else the processing code; "" for none."""
    for path in ("70", "24", "3"):
        value = request.get(path)
        if isinstance(value, str) and value:
            return value
    return ""


def _last_text(value: Value | None) -> str:
    while isinstance(value, Mapping):
        value = list(value.values())[-1] if value else None
    return value if isinstance(value, str) else ""


def _holds(condition: Condition, request: Message) -> bool:
    value = request.mti if condition.path == "mti" else request.get(condition.path)
    text = value.hex().upper() if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return False
    if condition.patterns:
        return any(pattern.fullmatch(text) for pattern in condition.patterns)
    if not re.fullmatch(f"[0-9]{{1,{LONGEST_NUMBER}}}", text):
        return False
    number = int(text)
    return (condition.low is None or number >= condition.low) and (
        condition.high is None or number <= condition.high
    )


def _filled(text: str, request: Message) -> str:
    """`text` with "{path}" replaced by the request's field, by nothing when it has none."""

    def content(place: re.Match[str]) -> str:
        value = request.mti if place[1] == "mti" else request.get(place[1])
        return value.hex() if isinstance(value, bytes) else value if isinstance(value, str) else ""

    return REFERENCE.sub(content, text)


def _place(item: tuple[str, Value]) -> tuple[int, str]:
    return (int(item[0]), "") if item[0].isdecimal() else (-1, item[0])
