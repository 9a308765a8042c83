"""What the versions of ISO 8583 write differently under one number: dates, amounts, codes of answers.

Values in, values out, with a note for each that changed; nothing here knows how a dialect writes its bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from switch.iso8583 import Dialect, Message, Value
from tools.message_meaning import AMOUNT, CURRENCIES, CURRENCY, EXPONENT
from tools.message_notes import MTI, Notes

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
    (*range(2, 13), 14, 16, 23, *range(32, 40), 41, 42, 43, 45, 48, 52, 53, 55, 64, 102, 103, 128)
)
# Fields in which each place has a meaning of its own: of another size they are another thing.
_BY_PLACE: Final = frozenset(("22", "30", "56", "90", "95"))
# Dates of which versions write more or less of the year: how many digits stand behind it.
_BEHIND_THE_YEAR: Final = {"12": 10, "13": 2, "15": 4}
CURRENCY_FIELDS: Final = {"4": "49", "5": "50", "6": "51"}  # 2003 has the currency inside the amount


def version_of(dialect: Dialect) -> str:
    """First digit of the MTIs a dialect's messages have: "0", "1" or "2"; by its name without messages."""
    digits = Counter(mti[:1] for rule in dialect.dictionary.messages for mti in rule.mtis)
    if digits:
        return digits.most_common(1)[0][0]
    name = dialect.name
    return "1" if "93" in name else "2" if "2003" in name else "0"


def translated(
    source: Dialect, target: Dialect, message: Message, year: int, notes: Notes
) -> tuple[str, dict[str, Value]]:
    """MTI and fields as the version of `target` writes them; its dialect may still not take all of them."""
    older, newer = version_of(source), version_of(target)
    made = _Translation(source, target, dict(message.fields), year, notes)
    mti = message.mti
    if mti[:1] == older != newer:
        mti = newer + mti[1:]
        notes.changed(MTI, message.mti, mti, "the version's digit")
    made.drop_mac()
    if older != newer:
        if older == "0":
            made.from_1987()
        elif newer == "0":
            made.to_1987()
        made.dates()
        if newer == "2":
            made.amounts_to_2003()
        elif older == "2":
            made.amounts_from_2003()
        made.drop_other_meanings()
    made.response_code()
    return mti, made.fields


class _Translation:
    """The fields of one message, translated in place."""

    def __init__(
        self, source: Dialect, target: Dialect, fields: dict[str, Value], year: int, notes: Notes
    ) -> None:
        self._source = source
        self._target = target
        self._year = year
        self._notes = notes
        self._made: dict[str, Value] = {}  # written by a table: right for the target
        self.fields = fields

    def drop_mac(self) -> None:
        mac = self._source.dictionary.mac
        for number in () if mac is None else mac.names:
            self._lose(number, "a MAC is made over bytes, and these are others")

    def from_1987(self) -> None:
        fields = self.fields
        time, date, code = fields.get("12"), fields.get("13"), fields.get("70")
        size = self._size("12")
        if isinstance(time, str) and isinstance(date, str) and len(time) == 6 and size in (12, 14):
            made = f"{self._year:04}"[-(size - 10) :] + date + time
            self._change("12", made, f"date of 13 in front, year {self._year} assumed")
            self._move("13", "12")
        if isinstance(code, str) and code in SIGN_ON_1993 and "24" not in fields:
            self._change("24", SIGN_ON_1993[code], f"function code for network code {code}")
            self._move("70", "24")

    def to_1987(self) -> None:
        moment, code = self.fields.get("12"), self.fields.get("24")
        if isinstance(moment, str) and len(moment) in (12, 14) and self._size("12") == 6:
            self._change("12", moment[-6:], "the time alone; its date goes to 13, its year is lost")
            if self._size("13") == 4:
                self._lose("13", "the date of 12 stands there now")
                self._change("13", moment[-10:-6], "date of 12")
        if isinstance(code, str) and code in _SIGN_ON_1987 and "70" not in self.fields:
            self._change("70", _SIGN_ON_1987[code], f"network code for function code {code}")
            self._move("24", "70")

    def dates(self) -> None:
        """With as much of the year as the target writes."""
        for number, behind in _BEHIND_THE_YEAR.items():
            date, size = self.fields.get(number), self._size(number)
            if not isinstance(date, str) or not self._is_same(number) or len(date) == size:
                continue
            has, wants = len(date) - behind, size - behind
            if not (has in (0, 2, 4) and wants in (0, 2, 4)):
                continue
            if has > wants:
                self._change(number, date[has - wants :], f"{date[: has - wants]} in front of it left out")
            else:
                front = f"{self._year:04}"[4 - wants : 4 - has]
                self._change(number, front + date, f"{front} in front, year {self._year} assumed")

    def amounts_to_2003(self) -> None:
        for number, currency_number in CURRENCY_FIELDS.items():
            amount, currency = self.fields.get(number), self.fields.get(currency_number)
            parts = _amount_parts(self._target, number)
            if not isinstance(amount, str) or parts is None:
                continue
            known = CURRENCIES.get(currency) if isinstance(currency, str) else None
            if known is None or not isinstance(currency, str):
                self._lose(number, f"{currency_number} names no currency to write with it")
                continue
            made = dict(zip(parts, (currency, str(known[1]), amount), strict=True))
            self._change(number, made, f"currency of {currency_number} in it")
            self._move(currency_number, number)

    def amounts_from_2003(self) -> None:
        for number, currency_number in CURRENCY_FIELDS.items():
            amount = self.fields.get(number)
            parts = _amount_parts(self._source, number)
            if not isinstance(amount, Mapping) or parts is None or self._size(currency_number) != 3:
                continue
            currency, exponent, digits = (amount.get(part) for part in parts)
            if not (isinstance(currency, str) and isinstance(exponent, str) and isinstance(digits, str)):
                continue
            made = _in_minor_units(digits, exponent, currency)
            if made is None:
                self._lose(
                    number, f"it has {exponent} digits behind the point, its currency there another number"
                )
                continue
            self._lose(currency_number, "the currency stands there now")
            self._change(number, made, f"its currency goes to {currency_number}")
            self._change(currency_number, currency, f"currency of {number}")

    def drop_other_meanings(self) -> None:
        """One number, two things: another version's field of another name takes nothing from here."""
        for number in list(self.fields):
            if self.fields[number] == self._made.get(number):
                continue  # translated to what it is there
            if self._is_same(number):
                if number in _BY_PLACE and self._size(number) not in (0, _size(self._source, number)):
                    self._lose(number, "its digits stand for other things there")
            elif not (number in CURRENCY_FIELDS.values() and self._size(number) == 3):
                theirs = self._target.dictionary.fields[int(number)]
                self._lose(number, f"{number} is another thing there: {theirs.title.en}")

    def response_code(self) -> None:
        code, size = self.fields.get("39"), self._size("39")
        if not isinstance(code, str) or len(code) == size or size == 0:
            return
        of_1993 = {2: RESPONSE_CODES.get(code), 3: code, 4: code[:1] + code[2:]}.get(len(code))
        if of_1993 is None or (len(code) == 4 and code[1] != "0"):
            made = None
        else:
            made = {2: _FROM_1993.get(of_1993), 3: of_1993, 4: f"{of_1993[0]}0{of_1993[1:]}"}.get(size)
        if made is None:  # with another number of digits it would be another code
            self._lose("39", "the version has no code for the same")
        else:
            self._change("39", made, "the version's code for the same")

    def _is_same(self, number: str) -> bool:
        """Whether both dialects have one thing under `number`, as far as anybody can tell."""
        if not number.isdecimal() or int(number) in SAME_MEANING:
            return True
        ours = self._source.dictionary.fields.get(int(number))
        theirs = self._target.dictionary.fields.get(int(number))
        return ours is None or theirs is None or ours.name == theirs.name

    def _change(self, number: str, made: Value, why: str) -> None:
        self._notes.changed(number, self.fields.get(number), made, why)
        self.fields[number] = self._made[number] = made

    def _move(self, number: str, to: str) -> None:
        self._notes.moved(number, self.fields.pop(number), to)

    def _lose(self, number: str, why: str) -> None:
        if number in self.fields:
            self._notes.lost(number, self.fields.pop(number), why)

    def _size(self, number: str) -> int:
        return _size(self._target, number)


def _size(dialect: Dialect, number: str) -> int:
    """Length of a field at most; 0 where the dialect has none."""
    field = dialect.dictionary.fields.get(int(number))
    return 0 if field is None else field.length.maximum


def _amount_parts(dialect: Dialect, number: str) -> tuple[str, ...] | None:
    """Keys of currency, exponent and value in an amount of 2003; None for any other amount."""
    field = dialect.dictionary.fields.get(int(number))
    names = {} if field is None else {part.name: key for key, part in field.subfields.items()}
    keys = tuple(names.get(name, "") for name in (CURRENCY, EXPONENT, AMOUNT))
    return keys if all(keys) and len(names) == len(keys) else None


def _in_minor_units(digits: str, exponent: str, currency: str) -> str | None:
    """An amount with the digits behind the point that its currency has; None when that would change it."""
    known = CURRENCIES.get(currency)
    if known is None or str(known[1]) == exponent:
        return digits
    shift = known[1] - int(exponent)
    amount, rest = divmod(int(digits) * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    made = f"{amount:0{len(digits)}}"
    return made if rest == 0 and len(made) == len(digits) else None
