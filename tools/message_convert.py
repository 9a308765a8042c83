"""A message of one dialect as a message of another, and what that costs: lost, changed or carried as it was.

Fields keep their numbers. What the versions of ISO 8583 write differently under one number is translated
where a table says how; everything else must fit the other dialect's field or is lost, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from switch.iso8583 import Dialect, EncodeError, Message, Value, mask_text
from switch.iso8583.dictionary import HEADER, Field
from tools.message_meaning import CURRENCIES
from tools.message_view import shown

# DE 39 of 1987 and 1993; 2003 has the 1993 codes with a zero behind the first digit.
RESPONSE_CODES: Final[Mapping[str, str]] = {
    "00": "000",
    "01": "107",
    "03": "109",
    "05": "100",
    "10": "002",
    "12": "902",
    "13": "110",
    "14": "111",
    "25": "914",
    "30": "904",
    "41": "208",
    "43": "209",
    "51": "116",
    "54": "101",
    "55": "117",
    "57": "119",
    "58": "120",
    "61": "121",
    "63": "122",
    "65": "123",
    "75": "106",
    "91": "907",
    "94": "913",
    "96": "909",
}
_FROM_1993: Final = {newer: older for older, newer in RESPONSE_CODES.items()}
SIGN_ON_1993: Final = {"001": "801", "002": "802", "161": "811", "201": "821", "301": "831"}
_SIGN_ON_1987: Final = {newer: older for older, newer in SIGN_ON_1993.items()}
# Fields that are the same thing in every version of the standard, whatever a dialect calls them.
SAME_MEANING: Final = frozenset(
    (*range(2, 15), 16, 23, *range(32, 40), 41, 42, 43, 45, 48, 52, 53, 55, 64, 102, 103, 128)
)
CURRENCY_FIELDS: Final = {"4": "49", "5": "50", "6": "51"}  # 2003 has the currency inside the amount
_MTI = "mti"


EMPTY: Final = "(empty)"  # a field that is there, without anything in it


class Note(NamedTuple):
    """What became of one path. outcome: "lost", "moved" or "changed"; was, now: as a person may see them."""

    path: str
    outcome: str
    was: str
    now: str
    why: str


class Converted(NamedTuple):
    """The message in the other dialect. refused: why its bytes can't be made although every field fits."""

    message: Message
    data: bytes | None
    notes: tuple[Note, ...]
    refused: str


def convert(source: Dialect, target: Dialect, message: Message, year: int) -> Converted:
    """`message` in `target`. year: of the messages that don't say theirs."""
    made = _Conversion(source, target, message, year)
    result = Message(made.mti, made.fields, target.dictionary)
    try:
        return Converted(result, target.encode(result), tuple(made.notes), "")
    except EncodeError as error:
        return Converted(result, None, tuple(made.notes), str(error))


def version_of(dialect: Dialect) -> str:
    """First digit of the MTIs a dialect's messages have: "0", "1" or "2"; by its name without messages."""
    digits = Counter(mti[:1] for rule in dialect.dictionary.messages for mti in rule.mtis)
    if digits:
        return digits.most_common(1)[0][0]
    name = dialect.name
    return "1" if "93" in name else "2" if "2003" in name else "0"


class _Conversion:
    """One message on its way: the fields made so far and the notes."""

    def __init__(self, source: Dialect, target: Dialect, message: Message, year: int) -> None:
        self._source = source
        self._target = target
        self._year = year
        self.notes: list[Note] = []
        self._made: dict[str, Value] = {}  # written by a table: right for the target
        self.mti = self._version(message.mti)
        fields = self._translated(dict(message.fields))
        self.fields: dict[str, Value] = {}
        for number in sorted(fields, key=_order):
            self._carry(number, fields[number])

    def _version(self, mti: str) -> str:
        older, newer = version_of(self._source), version_of(self._target)
        if mti[:1] != older or older == newer:
            return mti
        made = newer + mti[1:]
        self._changed(_MTI, mti, made, "the version's digit")
        return made

    # ------------------------------------------------------------ what the versions write differently

    def _translated(self, fields: dict[str, Value]) -> dict[str, Value]:
        mac = self._source.dictionary.mac
        for number in () if mac is None else (str(mac.primary), str(mac.secondary)):
            if number in fields:
                self._lost(number, fields.pop(number), "a MAC is made over bytes, and these are others")
        older, newer = version_of(self._source), version_of(self._target)
        if older == "0" and newer != "0":
            self._to_1993(fields)
        elif older != "0" and newer == "0":
            self._to_1987(fields)
        if newer == "2" and older != "2":
            self._amounts_to_2003(fields)
        elif older == "2" and newer != "2":
            self._amounts_from_2003(fields)
        if older != newer:
            self._drop_other_meanings(fields)
        code = fields.get("39")
        if isinstance(code, str) and (made := self._response_code(code)) not in (None, code):
            assert made is not None
            fields["39"] = made
            self._changed("39", code, made, "the version's code for the same")
        return fields

    def _to_1993(self, fields: dict[str, Value]) -> None:
        time, date, code = fields.get("12"), fields.get("13"), fields.get("70")
        size = self._size("12")
        if isinstance(time, str) and isinstance(date, str) and len(time) == 6 and size in (12, 14):
            made = f"{self._year:04}"[-(size - 10) :] + date + time
            fields["12"] = made
            self._changed("12", time, made, f"date of 13 in front, year {self._year} assumed")
            self._moved("13", fields.pop("13"), "12")
        if isinstance(code, str) and code in SIGN_ON_1993 and "24" not in fields:
            fields["24"] = self._made["24"] = SIGN_ON_1993[code]
            self._changed("24", "", fields["24"], f"function code for network code {code}")
            self._moved("70", fields.pop("70"), "24")

    def _to_1987(self, fields: dict[str, Value]) -> None:
        moment, code = fields.get("12"), fields.get("24")
        if isinstance(moment, str) and len(moment) in (12, 14) and self._size("12") == 6:
            fields["12"], date = moment[-6:], moment[-10:-6]
            self._changed("12", moment, moment[-6:], "the time alone; its date goes to 13, its year is lost")
            if "13" not in fields:
                fields["13"] = date
                self._changed("13", "", date, "date of 12")
        if isinstance(code, str) and code in _SIGN_ON_1987 and "70" not in fields:
            fields["70"] = self._made["70"] = _SIGN_ON_1987[code]
            self._changed("70", "", _SIGN_ON_1987[code], f"network code for function code {code}")
            self._moved("24", fields.pop("24"), "70")

    def _amounts_to_2003(self, fields: dict[str, Value]) -> None:
        for number, currency_number in CURRENCY_FIELDS.items():
            amount, currency = fields.get(number), fields.get(currency_number)
            parts = self._amount_parts(self._target, number)
            if not isinstance(amount, str) or parts is None:
                continue
            known = CURRENCIES.get(currency) if isinstance(currency, str) else None
            if known is None or not isinstance(currency, str):
                self._lost(
                    number, fields.pop(number), f"{currency_number} names no currency to write with it"
                )
                continue
            fields[number] = dict(zip(parts, (currency, str(known[1]), amount), strict=True))
            self._changed(
                number, amount, f"{currency} {known[1]} {amount}", f"currency of {currency_number} in it"
            )
            self._moved(currency_number, fields.pop(currency_number), number)

    def _amounts_from_2003(self, fields: dict[str, Value]) -> None:
        for number, currency_number in CURRENCY_FIELDS.items():
            amount = fields.get(number)
            parts = self._amount_parts(self._source, number)
            if not isinstance(amount, Mapping) or parts is None or self._size(currency_number) != 3:
                continue
            currency, _exponent, digits = (amount.get(part) for part in parts)
            if isinstance(currency, str) and isinstance(digits, str):
                if currency_number in fields:
                    self._lost(currency_number, fields.pop(currency_number), "the currency stands there now")
                fields[number], fields[currency_number] = digits, currency
                self._changed(
                    number, self._shown(number, amount), digits, f"its currency goes to {currency_number}"
                )
                self._changed(currency_number, "", currency, f"currency of {number}")

    def _amount_parts(self, dialect: Dialect, number: str) -> tuple[str, ...] | None:
        """Keys of currency, exponent and value in an amount of 2003; None for any other amount."""
        field = dialect.dictionary.fields.get(int(number))
        names = {} if field is None else {part.name: key for key, part in field.subfields.items()}
        keys = tuple(names.get(name, "") for name in ("currency", "exponent", "value"))
        return keys if all(keys) and len(names) == len(keys) else None

    def _drop_other_meanings(self, fields: dict[str, Value]) -> None:
        """One number, two things: another version's field of another name takes nothing from here."""
        for number in list(fields):
            if not number.isdecimal() or int(number) in SAME_MEANING:
                continue
            ours = self._source.dictionary.fields.get(int(number))
            theirs = self._target.dictionary.fields.get(int(number))
            carries_currency = number in CURRENCY_FIELDS.values() and self._size(number) == 3
            if ours is None or theirs is None or ours.name == theirs.name or carries_currency:
                continue
            if fields.get(number) == self._made.get(number):
                continue  # translated to what it is there
            self._lost(number, fields.pop(number), f"{number} is another thing there: {theirs.title.en}")

    def _response_code(self, code: str) -> str | None:
        size = self._size("39")
        if len(code) == size:
            return None
        of_1993 = (
            code if len(code) == 3 else code[0] + code[2:] if len(code) == 4 else RESPONSE_CODES.get(code)
        )
        if of_1993 is None:
            return None
        return {2: _FROM_1993.get(of_1993), 3: of_1993, 4: of_1993[0] + "0" + of_1993[1:]}.get(size)

    def _size(self, number: str) -> int:
        field = self._target.dictionary.fields.get(int(number))
        return 0 if field is None else field.length.maximum

    # ------------------------------------------------------------ field by field

    def _carry(self, number: str, value: Value) -> None:
        if number == HEADER:
            if self._target.dictionary.header and _fits(self._target, number, value) is None:
                self.fields[number] = value
            else:
                self._lost(number, value, f"{self._target.name} has no such message header")
            return
        field = self._target.dictionary.fields.get(int(number)) if number.isdecimal() else None
        if field is None:
            self._lost(number, value, f"{self._target.name} has no field {number}")
            return
        refusal = _fits(self._target, number, value)
        if refusal is None:
            self.fields[number] = value
            return
        if isinstance(value, Mapping) and field.is_composite:
            self._carry_inside(number, value)
            return
        for made, why in _forms(self._source, field, number, value):
            if _fits(self._target, number, made) is None:
                self.fields[number] = made
                self._changed(number, self._shown(number, value), shown(self._target, number, made), why)
                return
        self._lost(number, value, refusal)

    def _carry_inside(self, number: str, value: Mapping[str, Value]) -> None:
        """Tags and subfields one by one: what the other dialect's composite can't take is lost alone."""
        kept: dict[str, Value] = {}
        for key, inner in value.items():
            refusal = _fits(self._target, number, {**kept, key: inner})
            if refusal is None:
                kept[key] = inner
            else:
                self._lost(f"{number}.{key}", inner, refusal)
        if kept:
            self.fields[number] = kept

    def _lost(self, path: str, value: Value, why: str) -> None:
        self.notes.append(Note(mask_text(path), "lost", self._shown(path, value), "", mask_text(why)))

    def _moved(self, path: str, value: Value, to: str) -> None:
        self.notes.append(Note(path, "moved", self._shown(path, value), "", f"it stands in {to} now"))

    def _changed(self, path: str, was: str, now: Value, why: str) -> None:
        text = now if isinstance(now, str) else ""
        self.notes.append(Note(mask_text(path), "changed", mask_text(was), mask_text(text), mask_text(why)))

    def _shown(self, path: str, value: Value) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key}={self._shown(f'{path}.{key}', inner)}" for key, inner in value.items())
        return shown(self._source, path, value) or EMPTY


def _fits(target: Dialect, number: str, value: Value) -> str | None:
    """None when `target` can write the field; else why not."""
    try:
        target.encode(Message("0100", {number: value}, target.dictionary))
    except EncodeError as error:
        # a header that is missing says nothing of this field
        return None if error.path.partition(".")[0] == HEADER and number != HEADER else str(error)
    return None


def _forms(source: Dialect, field: Field, number: str, value: Value) -> list[tuple[str | bytes, str]]:
    """Other ways to write a value, the likeliest first, each with what it does to it."""
    forms: list[tuple[str | bytes, str]] = []
    size = field.length.maximum
    if isinstance(value, Mapping):
        content = _content(source, number, value)
        if content is not None:
            forms.append((content, "its parts are plain bytes in this dialect"))
        return forms
    if isinstance(value, bytes):
        forms.append((value.hex().upper(), "bytes written as hex digits"))
        if value.isascii():
            forms.append((value.decode("ascii"), "bytes taken as characters"))
        return forms
    tidies = (*_DIGIT_TIDIES, *_TIDIES) if field.content in ("n", "h", "x+n") else (*_TIDIES, *_DIGIT_TIDIES)
    forms += [(tidy(value, size), why) for tidy, why in tidies]
    if re.fullmatch("(?:[0-9A-Fa-f]{2})+", value):
        forms.append((bytes.fromhex(value), "hex digits written as bytes"))
    if value.isascii():
        forms.append((value.encode("ascii"), "characters written as bytes"))
        forms.append((value.encode("ascii").ljust(size), "characters written as bytes, blanks behind"))
    return forms


_Tidies = tuple[tuple[Callable[[str, int], str], str], ...]
_TIDIES: Final[_Tidies] = (
    (lambda value, size: value.strip(), "blanks around it left out"),
    (lambda value, size: value.ljust(size), "blanks behind"),
    (lambda value, size: value.upper(), "capital letters"),
)
_DIGIT_TIDIES: Final[_Tidies] = (
    (lambda value, size: value.zfill(size) if value.isdigit() else value, "zeros in front"),
    (
        lambda value, size: value.lstrip("0").zfill(size) if value.isdigit() else value,
        "zeros in front left out",
    ),
)


def _content(source: Dialect, number: str, value: Value) -> bytes | None:
    """Bytes of a composite field without its length, as the source writes them."""
    field = source.dictionary.fields[int(number)]
    try:
        whole = source.encode(Message("0100", {number: value}, source.dictionary))
        spans = source.spans(whole)
    except EncodeError:
        return None
    start = next((start for path, start, _stop in spans if path == number), None)
    if start is None:
        return None
    return whole[start + (0 if field.prefix is None else field.prefix.size) :]


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() and number.isascii() else (-1, number)
