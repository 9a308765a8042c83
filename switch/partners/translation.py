"""A partner's message in our words, and our answer in the partner's. Pure: no key, MAC, clock or decision.

What comes out as ours has been through our codec, so that nothing of a partner's gets further than a
terminal's would. A PIN block never becomes part of it: only that there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from switch.iso8583 import Dialect, EncodeError, Message, Value
from switch.iso8583.dictionary import Field, MessageRule
from switch.link.matching import answer_mti
from switch.partners.mapping import (
    ACQUIRER,
    PIN_BLOCK,
    PROCESSING_CODE,
    RESPONSE_CODE,
    REVERSAL,
    STAN,
    Clock,
    Identity,
    Mapped,
    PartnerMapping,
    Source,
    Unit,
)

FORMAT_ERROR, INVALID_TRANSACTION = "30", "12"
APPROVED = "00"
TRACK, CARD, FOLLOWED = "35", "2", "37"
LOCAL_TIME, LOCAL_DATE = "12", "13"
TAGGED = "48"  # our field of tags
AMOUNT_DIGITS = 12
NO_CODE = "000000"  # our DE 3 of a reversal whose original is no message of ours
NO_MESSAGE = "0200"  # and its MTI
# What a terminal's message has and a partner's hasn't: stands where our dialect demands it and says nothing.
INSTEAD: Mapping[str, Value] = {"52": bytes(16), "53": bytes(13), "60": "000001"}
# Behind an answer as it is stored, where our codec looks for its MAC.
NO_MAC = bytes(8)
# What names an original: MTI 4, STAN 6, its time; then the acquirer in 11 digits (1987), or with two digits
# of length before it (1993).
_MTI, _STAN, _TIME_AT = slice(4), slice(4, 10), 10
_SENT_DIGITS = 10  # MMDDhhmmss; a year before it counts for nothing
_ACQUIRER_DIGITS, _LENGTH_DIGITS = 11, 2


class Untranslatable(ValueError):
    """A message that says nothing we understand. path: theirs; what: in words, free of content;
    response_code: ours."""

    def __init__(self, path: str, what: str, response_code: str = FORMAT_ERROR) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what
        self.response_code = response_code


class OriginalWords(NamedTuple):
    """What a reversal is about, as DE 90 names it. acquirer: its own when DE 90 names none."""

    mti: str
    stan: str
    sent: str
    acquirer: str


class Asked(NamedTuple):
    """A partner's message. message: in our dialect, with what stands there for a terminal's sake; the rest is
    theirs. pin_block: empty without a PIN."""

    operation: str
    message: Message
    acquirer: str
    sent: str
    original: OriginalWords | None
    pin_block: bytes

    def __repr__(self) -> str:
        return f"Asked({self.operation} of {self.acquirer})"


class Translator:
    """Between one partner's mapping and our dialect."""

    def __init__(self, mapping: PartnerMapping, ours: Dialect) -> None:
        self._mapping = mapping
        self._ours = ours
        self._rules = {rule.name: rule for rule in ours.dictionary.messages}

    # ------------------------------------------------------------ in

    def asked(self, theirs: Message, now: datetime, ratio: Callable[[str], int]) -> Asked:
        """What a message asks for. now: local time with its zone; ratio: rial that a point pays on a local
        date (MMDD). Raises Untranslatable."""
        mapped = self._mapped(theirs)
        stan, acquirer = _digits(theirs, STAN), _digits(theirs, ACQUIRER)
        sent = _sent(theirs, self._mapping.identity)
        fields: dict[str, Value] = {"11": stan, "53": INSTEAD["53"]}
        original = None
        if mapped.name == REVERSAL:
            original = _original(theirs, self._mapping, acquirer)
            fields |= self._reversed(original, _code_of(theirs))
        else:
            code = self._rules[mapped.name].processing_code
            assert code is not None, "an operation has one code of DE 3"
            fields["3"] = code
        fields |= self._filled(mapped, theirs, now, ratio)
        rule = self._rules[mapped.name]
        if "60" in rule.mandatory:
            fields["60"] = INSTEAD["60"]
        pin_block = theirs.get(PIN_BLOCK)
        if pin_block is not None:
            fields["52"] = INSTEAD["52"]
        message = self._through_our_codec(Message(mapped.mtis[theirs.mti], fields), mapped)
        return Asked(
            mapped.name,
            message,
            acquirer,
            sent,
            original,
            pin_block if isinstance(pin_block, bytes) else b"",
        )

    def path_of(self, operation: str, path: str) -> str:
        """Their path of one of ours, for whoever has to correct it; ours when there is none."""
        for mapped in self._mapping.operations:
            if mapped.name == operation and path in mapped.request:
                return mapped.request[path].path
        return path

    def _mapped(self, theirs: Message) -> Mapped:
        mapped = self._mapping.operation(theirs.mti, _code_of(theirs))
        if mapped is not None:
            return mapped
        is_known = any(theirs.mti in one.mtis for one in self._mapping.operations)
        path, what = (
            (PROCESSING_CODE, "no operation of this MTI") if is_known else ("mti", "no request of ours")
        )
        raise Untranslatable(path, what, INVALID_TRANSACTION)

    def _reversed(self, original: OriginalWords, code: str) -> dict[str, Value]:
        """Our DE 3 and 90 of a reversal: by which message of ours the original was."""
        mapped = self._mapping.operation(original.mti, code)
        ours, our_code = NO_MESSAGE, NO_CODE
        if mapped is not None and mapped.name != REVERSAL:
            ours, our_code = mapped.mtis[original.mti], self._rules[mapped.name].processing_code or NO_CODE
        return {"3": our_code, "90": ours + original.stan + original.sent + "0" * 22}

    def _filled(
        self, mapped: Mapped, theirs: Message, now: datetime, ratio: Callable[[str], int]
    ) -> dict[str, Value]:
        """The fields that the mapping fills, as far as our dialect has a place for them in this message."""
        allowed = _allowed(self._rules[mapped.name])
        flat: dict[str, str] = {}
        numbers: list[tuple[str, Source]] = []
        for path, source in mapped.request.items():
            if path not in allowed and path.partition(".")[0] not in allowed:
                continue
            if source.unit is not Unit.SAME:
                numbers.append((path, source))
                continue
            value = _taken(theirs, source)
            if value is not None:
                flat[path] = value
        _name_one_card(flat)
        if mapped.name == REVERSAL and not flat.keys().isdisjoint((CARD, TRACK)):
            flat.pop(FOLLOWED, None)  # the card says whose it is
        if LOCAL_DATE not in flat or LOCAL_TIME not in flat:
            identity = self._mapping.identity
            local_date, local_time = _local(_sent(theirs, identity), now, identity)
            flat.setdefault(LOCAL_DATE, local_date)
            flat.setdefault(LOCAL_TIME, local_time)
        for path, source in numbers:
            value = _taken(theirs, source)
            if value is not None:
                flat[path] = _converted(source, value, ratio(flat[LOCAL_DATE]))
        return self._nested(flat)

    def _nested(self, flat: Mapping[str, str]) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        tags: dict[str, Value] = {}
        for path, value in flat.items():
            field = self._ours.dictionary.field_at(path)
            assert field is not None, "a mapping names our fields"
            number, dot, tag = path.partition(".")
            if dot:
                tags[tag] = _fitted(field, value)
            else:
                fields[number] = _fitted(field, value)
        if tags:
            fields[TAGGED] = tags
        return fields

    def _through_our_codec(self, message: Message, mapped: Mapped) -> Message:
        try:
            return self._ours.decode(self._ours.encode(message))
        except EncodeError as error:
            path = self.path_of(mapped.name, error.path)
            raise Untranslatable(path, f"expected {error.expected}, got {error.got}") from None

    # ------------------------------------------------------------ out

    def answer(self, theirs: Message, body: bytes) -> Message:
        """The answer to their message. body: ours as it is stored, without its MAC."""
        ours = self._ours.decode(body + NO_MAC)
        code = ours.text("39")
        answer = self.refusal(theirs, code)
        fields: dict[str, Value] = dict(answer.fields)
        for path, source in self._mapping.answer.items():
            value = None if source.only_approved and code != APPROVED else _taken(ours, source)
            number, _, part = path.partition(".")
            if value is None or (number in fields and not part):
                continue
            if part:
                inner = fields.get(number)
                fields[number] = {**(inner if isinstance(inner, dict) else {}), part: value}
            else:
                fields[number] = value
        amounts = self._amounts(ours)
        if amounts:
            fields[self._mapping.amounts_field] = amounts
        return Message(answer.mti, fields)

    def refusal(self, theirs: Message, code: str) -> Message:
        """An answer that says no more than why. code: ours."""
        fields = {
            path: value for path in self._mapping.echo if (value := theirs.fields.get(path)) is not None
        }
        fields[RESPONSE_CODE] = self._code(theirs, code)
        return Message(answer_mti(theirs.mti), fields)

    def _code(self, theirs: Message, code: str) -> str:
        """Their DE 39 of a code of ours."""
        if code == APPROVED:
            asked = theirs.get(PROCESSING_CODE)
            mapped = self._mapping.operation(theirs.mti, asked if isinstance(asked, str) else "")
            if mapped is not None and mapped.approved:
                return mapped.approved
        return self._mapping.response_codes[code]

    def _amounts(self, ours: Message) -> Value | None:
        rows = []
        for row in self._mapping.amounts:
            value = ours.get(row.source)
            if isinstance(value, str):
                signed = f"{row.sign}{int(value):0{AMOUNT_DIGITS}d}"
                rows.append((row.account, row.kind, row.currency, signed))
        if not rows:
            return None
        field = self._mapping.dialect.dictionary.field_at(self._mapping.amounts_field)
        if field is not None and field.is_composite:
            parts = tuple(field.subfields)
            return {str(place): dict(zip(parts, row, strict=True)) for place, row in enumerate(rows, 1)}
        return "".join(part for row in rows for part in row)


def _allowed(rule: MessageRule) -> frozenset[str]:
    """Every path that our dialect names for a message, fields whole and single tags."""
    return frozenset(
        (*rule.mandatory, *rule.optional, *rule.conditional, *(p for g in rule.one_of for p in g))
    )


def _name_one_card(flat: dict[str, str]) -> None:
    """Track 2 counts before a typed number, which must be the same."""
    track, card = flat.get(TRACK), flat.get(CARD)
    if track is not None and card is not None:
        if track.partition("=")[0] != card:
            raise Untranslatable(CARD, "another card than track 2's")
        del flat[CARD]


def _code_of(theirs: Message) -> str:
    code = theirs.get(PROCESSING_CODE)
    if isinstance(code, Mapping):  # cut into its parts
        code = "".join(part for part in code.values() if isinstance(part, str))
    if not isinstance(code, str):
        raise Untranslatable(PROCESSING_CODE, "mandatory, missing")
    return code


def _digits(theirs: Message, path: str) -> str:
    value = theirs.get(path)
    if not isinstance(value, str):
        raise Untranslatable(path, "mandatory, missing")
    return value


def _sent(theirs: Message, identity: Identity) -> str:
    """MMDDhhmmss."""
    return _digits(theirs, identity.sent)[-_SENT_DIGITS:]


def _original(theirs: Message, mapping: PartnerMapping, acquirer: str) -> OriginalWords:
    path = mapping.identity.original
    data = theirs.get(path)
    if isinstance(data, Mapping):
        data = "".join(part for part in data.values() if isinstance(part, str))
    if not isinstance(data, str):
        raise Untranslatable(path, "mandatory, missing")
    end = _TIME_AT + mapping.sent_digits
    rest = data[end:]
    if mapping.sent_digits == _SENT_DIGITS:
        named = rest[:_ACQUIRER_DIGITS]
    else:
        named = rest[_LENGTH_DIGITS:]
        if len(data) < end or rest[:_LENGTH_DIGITS] not in ("", f"{len(named):0{_LENGTH_DIGITS}d}"):
            raise Untranslatable(path, "expected MTI, STAN, time and acquirer")
    return OriginalWords(
        data[_MTI], data[_STAN], data[end - _SENT_DIGITS : end], named.lstrip("0") or acquirer
    )


def _taken(side: Message, source: Source) -> str | None:
    """A source's value on its side; None when there is none. Raises Untranslatable."""
    value = side.get(source.path)
    if not isinstance(value, str):
        return source.default
    if source.at:
        value = value[source.at - 1 : source.at]
    if source.values is not None:
        if value not in source.values:
            raise Untranslatable(source.path, "none of the values that the mapping knows")
        value = source.values[value]
    return value[-source.last :] if source.last else value


def _converted(source: Source, value: str, ratio: int) -> str:
    if not (value.isascii() and value.isdigit()):
        raise Untranslatable(source.path, "expected digits")
    number = int(value)
    return str(number // ratio if source.unit is Unit.POINTS else number * ratio)


def _fitted(field: Field, value: str) -> str:
    """Digits of a field of fixed length with zeros before them."""
    is_fixed = field.length.minimum == field.length.maximum
    return value.zfill(field.length.maximum) if field.content == "n" and is_fixed else value


def _local(sent: str, now: datetime, identity: Identity) -> tuple[str, str]:
    """Date (MMDD) and time (hhmmss) here of a MMDDhhmmss; of a UTC one with the year nearest to now."""
    if identity.clock is Clock.LOCAL:
        return sent[:4], sent[4:]
    moments = []
    for year in (now.year - 1, now.year, now.year + 1):
        try:
            moments.append(datetime.strptime(f"{year}{sent}", "%Y%m%d%H%M%S").replace(tzinfo=UTC))
        except ValueError:
            continue
    if not moments:
        raise Untranslatable(identity.sent, "no date and time")
    moment = min(moments, key=lambda each: abs(each - now)).astimezone(now.tzinfo)
    return moment.strftime("%m%d"), moment.strftime("%H%M%S")
