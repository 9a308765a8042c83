"""What the values of a message mean, in words: MTI digits, processing codes, response codes, times, amounts.

Codes are tables; what a dialect's own dictionary says of a code goes before them. Sources: ISO 8583:1987,
:1993 and :2003 (code tables), ISO 4217. Nothing here sees more of a message than one value and what stands
beside it to be read with it: a currency, a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from switch.iso8583 import Dialect, Dictionary, Field, Mask, Message, Text, Value
from tools.message_bytes import plain

RESPONSE_CODE, NETWORK_CODE_1987 = "39", "70"
# What `reasons` and `network_codes` of a dictionary are the values of, by the field's name: its path differs
# from dialect to dialect.
REASON = "reason"
REASON_NUMBER = "reason_number"  # what stands for {0} in a reason's text
NUMBER_PLACE = "{0}"
NETWORK_CODE = "network_code"
# The parts of an amount that says its own currency.
CURRENCY, EXPONENT, AMOUNT = "currency", "exponent", "value"

MTI_VERSIONS: Final = {"0": "1987", "1": "1993", "2": "2003", "9": "private"}
MTI_CLASSES: Final = {
    "1": "authorization",
    "2": "financial",
    "3": "file action",
    "4": "reversal",
    "5": "reconciliation",
    "6": "administrative",
    "7": "fee collection",
    "8": "network management",
}
MTI_FUNCTIONS: Final = {
    "0": "request",
    "1": "answer",
    "2": "advice",
    "3": "answer to an advice",
    "4": "notification",
    "5": "acknowledgement",
    "6": "instruction",
    "7": "answer to an instruction",
}
MTI_ORIGINS: Final = {
    "0": "acquirer",
    "1": "acquirer, repeat",
    "2": "issuer",
    "3": "issuer, repeat",
    "4": "other",
    "5": "other, repeat",
}
PROCESSES: Final = {
    "00": "purchase",
    "01": "cash",
    "02": "void",
    "09": "purchase with cash",
    "17": "cash advance",
    "20": "refund",
    "21": "deposit",
    "22": "refund void",
    "28": "payment",
    "30": "balance inquiry",
    "31": "balance inquiry",
    "33": "verification",
    "38": "mini statement",
    "40": "transfer",
    "50": "bill payment",
    "70": "PIN change",
    "72": "activation",
    "73": "block",
    "74": "unblock",
    "75": "replacement",
    "92": "batch close",
    "96": "batch trailer",
}
ACCOUNTS: Final = {
    "00": "default",
    "10": "savings",
    "20": "cheque",
    "30": "credit",
    "31": "refunds",
    "40": "universal",
    "50": "investment",
    "60": "points",
    "61": "stamps",
    "62": "cash credit",
    "63": "draw tickets",
}
RESPONSES_1987: Final = {
    "00": "approved",
    "01": "refer to issuer",
    "03": "invalid merchant",
    "04": "capture card",
    "05": "do not honour",
    "06": "error",
    "08": "approved with identification",
    "10": "approved for a partial amount",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "invalid card number",
    "15": "no such issuer",
    "19": "re-enter transaction",
    "21": "no action taken",
    "25": "record not found",
    "30": "format error",
    "33": "expired card, capture",
    "34": "suspected fraud, capture",
    "38": "PIN tries exceeded, capture",
    "41": "lost card",
    "43": "stolen card",
    "51": "not sufficient funds",
    "54": "expired card",
    "55": "incorrect PIN",
    "57": "not permitted to cardholder",
    "58": "not permitted to terminal",
    "61": "exceeds amount limit",
    "62": "restricted card",
    "63": "security violation",
    "65": "exceeds frequency limit",
    "68": "response received too late",
    "75": "PIN tries exceeded",
    "76": "unknown account or product",
    "77": "mismatch with the original",
    "78": "card not active",
    "80": "batch not found",
    "91": "issuer inoperative",
    "92": "no route to the issuer",
    "94": "duplicate transmission",
    "95": "reconcile error",
    "96": "system malfunction",
    "97": "MAC key error",
}
RESPONSES_1993: Final = {
    "000": "approved",
    "002": "approved for a partial amount",
    "100": "do not honour",
    "101": "expired card",
    "102": "suspected fraud",
    "106": "PIN tries exceeded",
    "107": "refer to issuer",
    "109": "invalid merchant",
    "110": "invalid amount",
    "111": "invalid card number",
    "114": "no such account",
    "115": "function not supported",
    "116": "not sufficient funds",
    "117": "incorrect PIN",
    "118": "no card record",
    "119": "not permitted to cardholder",
    "120": "not permitted to terminal",
    "121": "exceeds amount limit",
    "122": "security violation",
    "123": "exceeds frequency limit",
    "208": "lost card",
    "209": "stolen card",
    "400": "reversal accepted",
    "500": "reconciled, in balance",
    "501": "reconciled, out of balance",
    "800": "network management accepted",
    "902": "invalid transaction",
    "904": "format error",
    "907": "issuer inoperative",
    "909": "system malfunction",
    "911": "issuer timed out",
    "912": "issuer not available",
    "913": "duplicate transmission",
    "914": "original not found",
    "916": "MAC incorrect",
}
NETWORK_CODES: Final = {
    "001": "sign-on",
    "002": "sign-off",
    "061": "group sign-on",
    "062": "group sign-off",
    "101": "key change",
    "161": "key exchange",
    "162": "new key",
    "201": "cutover",
    "301": "echo",
}
FUNCTION_CODES: Final = {
    "100": "original authorization",
    "108": "inquiry",
    "181": "partial approval allowed",
    "200": "original financial",
    "400": "full reversal",
    "401": "partial reversal",
    "801": "sign-on",
    "802": "sign-off",
    "811": "key change",
    "821": "cutover",
    "831": "echo",
}
ENTRY_MODES: Final = {
    "00": "entry unknown",
    "01": "typed",
    "02": "magnetic stripe",
    "03": "barcode",
    "05": "chip",
    "07": "contactless chip",
    "10": "credential on file",
    "80": "chip failed, stripe",
    "90": "magnetic stripe, whole track",
    "91": "contactless stripe",
    "95": "chip, card data may be unreliable",
}
PIN_CAPABILITIES: Final = {
    "0": "PIN entry unknown",
    "1": "PIN possible",
    "2": "no PIN entry",
    "8": "PIN pad down",
}
CONDITIONS: Final = {
    "00": "normal",
    "01": "customer not present",
    "02": "unattended terminal",
    "03": "merchant suspicious",
    "05": "customer present, card not",
    "06": "completion",
    "08": "mail or telephone order",
    "59": "electronic commerce",
}
# ISO 4217 number: letters, digits behind the point. 364 has none here, as on Iranian receipts.
CURRENCIES: Final = {
    "036": ("AUD", 2),
    "048": ("BHD", 3),
    "124": ("CAD", 2),
    "156": ("CNY", 2),
    "356": ("INR", 2),
    "364": ("IRR", 0),
    "368": ("IQD", 3),
    "392": ("JPY", 0),
    "410": ("KRW", 0),
    "414": ("KWD", 3),
    "512": ("OMR", 3),
    "634": ("QAR", 2),
    "643": ("RUB", 2),
    "682": ("SAR", 2),
    "702": ("SGD", 2),
    "756": ("CHF", 2),
    "784": ("AED", 2),
    "826": ("GBP", 2),
    "840": ("USD", 2),
    "949": ("TRY", 2),
    "971": ("AFN", 2),
    "978": ("EUR", 2),
}
AMOUNT_CURRENCIES: Final = {"4": "49", "5": "50", "6": "51"}


def mti_meaning(mti: str) -> str:
    """The four digits in words."""
    if not re.fullmatch("[0-9]{4}", mti):
        return ""
    tables = (MTI_VERSIONS, MTI_CLASSES, MTI_FUNCTIONS, MTI_ORIGINS)
    return ", ".join(
        table.get(digit, f"reserved ({digit})") for table, digit in zip(tables, mti, strict=True)
    )


def meaning_of(dialect: Dialect, message: Message, path: str, value: Value) -> str:
    """What `value` at `path` means; "" where the value says it itself."""
    if not isinstance(value, str | bytes):
        return ""
    text = plain(value)
    field, said = dialect.dictionary.field_at(path), said_of(dialect.dictionary, path, text)
    if said is not None:
        number = _beside(dialect, message, path).get(REASON_NUMBER, "") if NUMBER_PLACE in said.en else ""
        return said.en.replace(NUMBER_PLACE, _grouped(int(number)) if number.isdecimal() else NUMBER_PLACE)
    if path in AMOUNT_CURRENCIES:
        return amount_meaning(text, message.get(AMOUNT_CURRENCIES[path]))
    if field is not None and field.name in (CURRENCY, AMOUNT) and "." in path:
        beside = _beside(dialect, message, path)
        if field.name == CURRENCY:
            return _currency(text)
        return amount_meaning(text, beside.get(CURRENCY), beside.get(EXPONENT))
    reader = _READERS.get(path)
    return reader(text) if reader is not None and isinstance(value, str) else ""


def said_of(dictionary: Dictionary, path: str, text: str) -> Text | None:
    """What the dictionary itself says a value means, if it does."""
    field = dictionary.field_at(path)
    if field is None:
        return None
    return field.meanings.get(text) or codes_of(dictionary, field).get(text)


def codes_of(dictionary: Dictionary, field: Field) -> Mapping[str, Text]:
    """The dictionary's own list of codes that `field` carries, if it does."""
    if field.path == RESPONSE_CODE:
        return {code: response.title for code, response in dictionary.response_codes.items()}
    if field.name == REASON:
        return dictionary.reasons
    if field.name == NETWORK_CODE or field.path == NETWORK_CODE_1987:
        return dictionary.network_codes
    return {}


def _beside(dialect: Dialect, message: Message, path: str) -> Mapping[str, str]:
    """The texts that stand with `path` in one composite, by the names of their tags or parts."""
    holder = path.rpartition(".")[0]
    field = dialect.dictionary.field_at(holder)
    found: dict[str, str] = {}
    for key, part in () if field is None else field.children.items():
        value = message.get(f"{holder}.{key}")
        if part.mask is Mask.NONE and isinstance(value, str):
            found[part.name] = value
    return found


def response_meaning(code: str) -> str:
    """DE 39 of any version in words; "" when no standard names it."""
    if len(code) == 4:  # 2003: the 1993 codes with a digit more, most of them
        code = code[0] + code[2:]
    return RESPONSES_1987.get(code) or RESPONSES_1993.get(code, "")


def process_meaning(code: str) -> str:
    """DE 3: what, from which account, to which."""
    if len(code) != 6:
        return ""
    what = PROCESSES.get(code[:2])
    accounts = [ACCOUNTS.get(code[2:4], code[2:4]), ACCOUNTS.get(code[4:], code[4:])]
    return f"{what or 'process ' + code[:2]}, from {accounts[0]} to {accounts[1]}"


def amount_meaning(digits: str, currency: Value | None, exponent: str | None = None) -> str:
    """ "2 500 000 IRR"; "" without a currency we know. exponent: digits behind the point, where told."""
    number = digits[1:] if digits[:1] in ("C", "D") else digits
    known = CURRENCIES.get(currency.lstrip("0").rjust(3, "0")) if isinstance(currency, str) else None
    if known is None or not re.fullmatch("[0-9]+", number):
        return ""
    letters, places = known
    if exponent is not None and len(exponent) == 1 and exponent.isdecimal():
        places = int(exponent)
    whole, part = divmod(int(number), 10**places)
    grouped = _grouped(whole)
    return f"{grouped}.{part:0{places}} {letters}" if places else f"{grouped} {letters}"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _entry_mode(code: str) -> str:
    if len(code) != 3:
        return ""
    mode, pin = ENTRY_MODES.get(code[:2], ""), PIN_CAPABILITIES.get(code[2], "")
    return ", ".join(filter(None, (mode, pin)))


def _time(digits: str) -> str:
    if re.fullmatch("[0-9]{6}", digits):
        return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
    if re.fullmatch("[0-9]{12}", digits):  # 1993
        return f"20{digits[:2]}-{digits[2:4]}-{digits[4:6]} {_time(digits[6:])}"
    if re.fullmatch("[0-9]{14}", digits):  # 2003
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {_time(digits[8:])}"
    return ""


def _transmission(digits: str) -> str:
    return f"{digits[:2]}-{digits[2:4]} {_time(digits[4:])} UTC" if re.fullmatch("[0-9]{10}", digits) else ""


def _month_day(digits: str) -> str:
    return f"month {digits[:2]}, day {digits[2:]}" if re.fullmatch("[0-9]{4}", digits) else ""


def _currency(code: str) -> str:
    known = CURRENCIES.get(code.lstrip("0").rjust(3, "0"))
    return known[0] if known else ""


def _original(digits: str) -> str:
    if not re.fullmatch("[0-9]{42}", digits):
        return ""
    return f"original {digits[:4]}, STAN {digits[4:10]}, sent {digits[10:14]} {_time(digits[14:20])}"


def _table(table: Mapping[str, str]) -> Callable[[str], str]:
    return lambda code: table.get(code, "")


_READERS: Final[Mapping[str, Callable[[str], str]]] = {
    "mti": mti_meaning,
    "3": process_meaning,
    "7": _transmission,
    "12": _time,
    "13": _month_day,
    "22": _entry_mode,
    "24": _table(FUNCTION_CODES),
    "25": _table(CONDITIONS),
    "39": response_meaning,
    "49": _currency,
    "50": _currency,
    "51": _currency,
    "70": _table(NETWORK_CODES),
    "90": _original,
}
