"""Mapping files (TOML), read and checked as a whole: every mistake with its line and a remedy.

The reader takes no key that isn't in the tables here, and a mapping that was read can be used: what our
dialect demands of a request is mapped, what an answer can say has a place. Nothing here sees a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from types import MappingProxyType

from switch import iso8583
from switch.iso8583 import Dialect, DialectError, Text, toml_text
from switch.iso8583.dictionary import Field, MessageRule
from switch.iso8583.dictionary_keys import DIALECT_NAME, PROCESSING_CODE, Form, Keys
from switch.iso8583.dictionary_tables import Findings, Table, did_you_mean
from switch.partners.mapping import (
    ACQUIRER,
    PIN_BLOCK,
    RESPONSE_CODE,
    REVERSAL,
    STAN,
    AmountRow,
    Clock,
    Identity,
    Mapped,
    Network,
    PartnerMapping,
    Source,
    Unit,
)

SHIPPED = Path(__file__).parent / "mappings"
OURS = "vafa"  # the dialect that everything is decided in

# What a partner may ask for at all: nothing that is a terminal's own (batches, keys, cards handed out).
OPERATIONS = ("balance", "earn", "redeem", "hold", "capture", "refund", "return", REVERSAL)
# Our fields that a mapping fills, with what names the member first. The others are ours to make.
REQUEST_PATHS = (
    *("2", "35", "48.07", "4", "12", "13", "22", "24", "25", "37", "41", "42", "49", "62"),
    *("48.01", "48.06", "48.0A", "48.0F", "48.14"),
)
# Made without a mapping: identity, operation, what belongs to a terminal's sending or batch.
MADE_HERE = frozenset({"3", "7", "11", "52", "53", "60", "64", "90", "128"})
FROM_SENT = frozenset({"12", "13"})  # out of the time of sending, where a mapping doesn't fill them
OF_TERMINALS_ALONE = frozenset({"24", "29"})  # our response codes about downloads: no partner asks for one
PIN_FORMATS = ("iso-0", "iso-3", "iso-4")
PIN_BYTES = {"iso-0": 8, "iso-3": 8, "iso-4": 16}
# Fields of a partner that identity and answers need, and how long they are.
NEEDED = {STAN: (6,), ACQUIRER: (11,), RESPONSE_CODE: (2, 3, 4)}
SENT_DIGITS = (10, 12)  # MMDDhhmmss, YYMMDDhhmmss
# Of the field that names an original, by the digits of its time: ISO 8583:1987 DE 90, 1993 DE 56.
ORIGINAL_DIGITS = {10: 42, 12: 35}
ROW_CHARACTERS = 20  # of an additional amount
ROW_PARTS = 4  # account, kind, currency, sign and value

MTI = Form(r"[0-2][1-8][0-9]{2}", "four digits, version and class first")
FIELD_NUMBER = Form(r"[0-9]{1,3}", "a field's number")
FIELD_PATH = Form(r"[0-9A-Za-z]{1,8}(\.[0-9A-Za-z]{1,8}){0,4}", 'a path, like "48" or "48.01"')
TWO = Form(r"[0-9]{2}", "two digits")
CURRENCY = Form(r"[0-9]{3}", "three digits")
CODE = Form(r"[0-9A-Z]{2,4}", "two to four digits or capital letters")
NETWORK_CODE = Form(r"[0-9]{1,6}", "digits")

ROOT: Keys = {
    "mapping": "[mapping]",
    "operations": "[operations.balance]",
    "request": "[request]",
    "answer": "[answer]",
    "response_codes": "[response_codes]",
    "identity": "[identity]",
    "network": "[network]",
}
HEAD: Keys = {
    "name": 'name = "acme"',
    "description": 'description = { en = "Acme", fa = "آکمه" }',
    "dialect": 'dialect = "iso87-ascii"',
    "pin_format": 'pin_format = "iso-0"',
}
TEXT: Keys = {"en": 'en = "Acme"', "fa": 'fa = "آکمه"'}
OPERATION: Keys = {
    "mti": 'mti = { "0200" = "0200" }',
    "processing_code": 'processing_code = ["00****"]',
    "request": 'request = { "48.01" = "63" }',
    "approved": 'approved = "400"',
}
SOURCE: Keys = {
    "from": 'from = "4"',
    "default": 'default = "012"',
    "at": "at = 7",
    "values": 'values = { "IRR" = "364" }',
    "last": "last = 6",
    "unit": 'unit = "points"',
    "only_approved": "only_approved = true",
}
ANSWER: Keys = {
    "echo": 'echo = ["11", "41"]',
    "fields": "[answer.fields]",
    "amounts": "[answer.amounts]",
}
AMOUNTS: Keys = {"field": 'field = "54"', "rows": "rows = [{ ... }]"}
ROW: Keys = {
    "from": 'from = "48.02"',
    "account": 'account = "60"',
    "type": 'type = "02"',
    "currency": 'currency = "999"',
    "sign": 'sign = "C"',
}
IDENTITY: Keys = {
    "sent": 'sent = "7"',
    "clock": 'clock = "UTC"',
    "original": 'original = "90"',
}
NETWORK: Keys = {
    "mti": 'mti = "0800"',
    "code_field": 'code_field = "70"',
    "sign_on": 'sign_on = "001"',
    "sign_off": 'sign_off = "002"',
    "echo": 'echo = "301"',
    "key_change": 'key_change = "161"',
    "key_field": 'key_field = "120"',
}


class MappingError(DialectError):
    """A mapping that can't be used: every mistake with file, line and remedy."""


def shipped() -> tuple[str, ...]:
    """Names of the mappings that come with the switch."""
    return tuple(sorted(file.stem for file in SHIPPED.glob("*.toml")))


def load(name: Path | str, dialect: Dialect | None = None) -> PartnerMapping:
    """The mapping of a file, or a shipped one by its name. dialect: the partner's own, when it isn't the one
    that the mapping names. Raises MappingError."""
    file = Path(name)
    if str(name) in shipped() and not file.exists():
        file = SHIPPED / f"{name}.toml"
    try:
        text = toml_text.read(file)
    except DialectError as error:
        raise MappingError(error.file, error.mistakes) from None
    findings = Findings(text.lines, text.content, text.damaged)
    findings.mistakes += text.mistakes
    mapping = _Reader(file, findings, dialect).mapping(Table(findings, (), text.content, ROOT))
    if findings.mistakes:
        raise MappingError(file, sorted(findings.mistakes, key=lambda mistake: mistake.line or 0))
    assert mapping is not None, "what is read without a mistake is a mapping"
    return mapping


@cache
def _ours() -> Dialect:
    return iso8583.load(OURS)


class _Reader:
    def __init__(self, file: Path, findings: Findings, dialect: Dialect | None) -> None:
        self._file = file
        self._findings = findings
        self._dialect = dialect

    def mapping(self, root: Table) -> PartnerMapping | None:
        head = root.table("mapping", HEAD)
        theirs = self._theirs(head)
        name = head.text("name", DIALECT_NAME)
        described = head.table("description", TEXT)
        description = Text(described.text("en"), described.text("fa"))
        described.close()
        pin_format = head.choice("pin_format", ("", *PIN_FORMATS), default="")
        head.close()
        if theirs is None:
            return None
        identity = self._identity(root.table("identity", IDENTITY, required=False), theirs)
        self._check_needed(head, theirs, pin_format)
        common = self._sources(root.table("request", None), theirs)
        operations = self._operations(root, theirs, common)
        answer = root.table("answer", ANSWER)
        echo = self._echo(answer, theirs, identity)
        fields = self._answers(answer.table("fields", None, required=False), theirs)
        amounts_field, amounts = self._amounts(answer.table("amounts", AMOUNTS, required=False), theirs)
        answer.close()
        codes = self._codes(root.table("response_codes", None), theirs)
        network = self._network(root.table("network", NETWORK, required=False), theirs)
        root.close()
        return PartnerMapping(
            name,
            description,
            theirs,
            pin_format,
            operations,
            echo,
            MappingProxyType(fields),
            amounts_field,
            amounts,
            MappingProxyType(codes),
            network,
            identity,
        )

    # ------------------------------------------------------------ the dialect

    def _theirs(self, head: Table) -> Dialect | None:
        named = head.text("dialect")
        if self._dialect is not None or not named:
            return self._dialect
        try:
            if named in iso8583.shipped():
                return iso8583.load(named)
            file = self._file.parent / named
            if file.is_file():
                return Dialect.load(file)
        except DialectError as error:
            head.refuse("dialect", f"{named} can't be read: {error.what}", error.remedy)
            return None
        head.refuse("dialect", f"there is no dialect {named!r}", did_you_mean(named, iso8583.shipped()))
        return None

    def _check_needed(self, head: Table, theirs: Dialect, pin_format: str) -> None:
        for path, sizes in NEEDED.items():
            field = theirs.dictionary.fields.get(int(path))
            if field is None or field.length.maximum not in sizes:
                what = f"dialect {theirs.name} has no field {path} of {_words(sizes)} digits"
                head.refuse("dialect", what, "a partner's dialect follows ISO 8583")
        if theirs.dictionary.mac is None:
            head.refuse("dialect", f"dialect {theirs.name} has no MAC", "add mac to its [dialect]")
        pin = theirs.dictionary.fields.get(int(PIN_BLOCK))
        if pin_format and (pin is None or pin.length.maximum != PIN_BYTES[pin_format]):
            what = f"field {PIN_BLOCK} of dialect {theirs.name} isn't {PIN_BYTES[pin_format]} bytes"
            head.refuse("pin_format", what, "choose the format that fits, or the dialect")

    def _identity(self, table: Table, theirs: Dialect) -> Identity:
        usual = Identity()
        sent = table.text("sent", FIELD_NUMBER, usual.sent)
        clock = table.choice("clock", [each.value for each in Clock], default=usual.clock.value)
        original = table.text("original", FIELD_NUMBER, usual.original)
        where = table if "sent" in table or "original" in table else None
        digits = _digits_of(theirs, sent)
        if digits not in SENT_DIGITS:
            what = f"dialect {theirs.name} has no field {sent} of {_words(SENT_DIGITS)} digits"
            self._refuse_identity(where, "sent", what, "name the one with month, day and time")
        elif _digits_of(theirs, original) != ORIGINAL_DIGITS[digits]:
            size = ORIGINAL_DIGITS[digits]
            what = f"dialect {theirs.name} has no field {original} of {size} digits"
            self._refuse_identity(where, "original", what, "name the one with MTI, STAN, time and acquirer")
        table.close()
        return Identity(sent, Clock(clock or usual.clock.value), original)

    def _refuse_identity(self, table: Table | None, key: str, what: str, remedy: str) -> None:
        if table is not None and key in table:
            table.refuse(key, what, remedy)
        else:
            self._findings.refuse(("mapping", "dialect"), what, f"{remedy}, in [identity]")

    # ------------------------------------------------------------ requests

    def _sources(self, table: Table, theirs: Dialect) -> dict[str, Source]:
        """Our path -> where it comes from."""
        found = {}
        for path in table:
            if path not in REQUEST_PATHS:
                what = f"{path!r} is not for a mapping to fill"
                made = "is made by the switch" if path.partition(".")[0] in MADE_HERE else ""
                table.refuse(path, what, made or did_you_mean(path, REQUEST_PATHS))
                continue
            found[path] = self._source(table, path, theirs)
        return found

    def _source(self, holder: Table, key: str, side: Dialect) -> Source:
        """One value: a path of `side`, or a table that also says what is done with it."""
        if isinstance(holder.content[key], str):
            return Source(self._path(holder, key, side))
        table = holder.table(key, SOURCE)
        path = self._path(table, "from", side)
        default = table.text("default") if "default" in table else None
        at = table.integer("at", 1, 999) if "at" in table else 0
        values = None
        if "values" in table:
            listed = table.table("values", None)
            values = MappingProxyType({value: listed.text(value) for value in listed})
        last = table.integer("last", 1, 999) if "last" in table else 0
        unit = table.choice("unit", [each.value for each in Unit], default=Unit.SAME.value)
        only_approved = table.flag("only_approved")
        table.close()
        return Source(path, default, at, values, last, Unit(unit or Unit.SAME.value), only_approved)

    def _path(self, table: Table, key: str, side: Dialect) -> str:
        path = table.text(key, FIELD_PATH)
        if not path:
            return path
        field = side.dictionary.field_at(path)
        if field is None:
            table.refuse(key, f"dialect {side.name} has no {path}", "name a field, tag or part that it has")
        elif field.is_composite or field.content == "b":
            what = f"{path} of dialect {side.name} is no text"
            table.refuse(key, what, "name one of its tags or parts, or another field")
        return path

    def _operations(self, root: Table, theirs: Dialect, common: dict[str, Source]) -> tuple[Mapped, ...]:
        found: list[Mapped] = []
        for name, table in root.tables("operations", OPERATION):
            if name not in OPERATIONS:
                remedy = did_you_mean(name, OPERATIONS)
                self._findings.refuse(("operations", name), f"no operation {name!r} for partners", remedy)
                continue
            own = self._sources(table.table("request", None, required=False), theirs)
            mtis = self._mtis(table.table("mti", None), name)
            codes = self._patterns(table)
            approved = table.text("approved", CODE) if "approved" in table else ""
            self._check_code(table, "approved", approved, theirs)
            table.close()
            request = {**common, **own}
            found.append(Mapped(name, MappingProxyType(mtis), codes, MappingProxyType(request), approved))
            for path in self._lacking(name, request):
                what = f"our {path} ({_ours().dictionary.title_of(path)}) comes from nowhere"
                self._findings.refuse(("operations", name), what, f'add "{path}" to [request]')
        for one, other in combinations(found, 2):
            self._refuse_overlap(one, other)
        return tuple(found)

    def _mtis(self, table: Table, name: str) -> dict[str, str]:
        known = _rule(name).mtis
        mtis = {}
        for mti in table:
            ours = table.text(mti, MTI)
            if ours and ours not in known:
                table.refuse(
                    mti, f"{name} is no message of ours with MTI {ours}", f"ours: {', '.join(known)}"
                )
            if not _is_request(mti):
                table.refuse(mti, f"{mti} is no request or advice", "name the message that asks")
            mtis[mti] = ours
        if not mtis:
            self._findings.refuse(table.path, "no message asks for it", f"add {OPERATION['mti']}")
        return mtis

    def _patterns(self, table: Table) -> tuple[str, ...]:
        codes = table.texts("processing_code")
        for code in codes:
            if len(code) != 6 or code.strip("0123456789*"):
                table.refuse(
                    "processing_code", f"{code!r} can't stand here", f"write {PROCESSING_CODE.words}"
                )
        if not codes and "processing_code" in table:
            table.refuse("processing_code", "no code is named", f"add {OPERATION['processing_code']}")
        return codes

    def _lacking(self, name: str, request: dict[str, Source]) -> Iterator[str]:
        """Our mandatory fields that nothing fills."""
        rule = _rule(name)
        given = {*request, *MADE_HERE, *FROM_SENT}
        for path in rule.mandatory:
            if path not in given:
                yield path
        named = {*rule.conditional, *(path for group in rule.one_of for path in group)}
        if named and not named & given:
            yield sorted(named)[0]

    def _refuse_overlap(self, one: Mapped, other: Mapped) -> None:
        for mti in sorted(one.mtis.keys() & other.mtis.keys()):
            if any(_overlap(a, b) for a in one.codes for b in other.codes):
                what = f"a message {mti} could be {one.name} as well"
                path = ("operations", other.name, "processing_code")
                self._findings.refuse(path, what, "let their codes of DE 3 differ")

    # ------------------------------------------------------------ answers

    def _echo(self, table: Table, theirs: Dialect, identity: Identity) -> tuple[str, ...]:
        paths = table.texts("echo")
        for path in paths:
            if not path.isdecimal() or int(path) not in theirs.dictionary.fields:
                table.refuse("echo", f"dialect {theirs.name} has no field {path!r}", "name fields by number")
            elif path in ("35", "52", "53", "64", "128", RESPONSE_CODE):
                table.refuse("echo", f"field {path} is never brought back", "take it away")
        for path in (STAN, ACQUIRER, identity.sent):
            if path not in paths and "echo" in table:
                table.refuse("echo", f"field {path} is missing", "partners know the answer by it: add it")
        return paths

    def _answers(self, table: Table, theirs: Dialect) -> dict[str, Source]:
        found = {}
        for path in table:
            field = theirs.dictionary.field_at(path)
            if field is None or field.is_composite or path.count(".") > 1:
                table.refuse(path, f"dialect {theirs.name} has no plain field {path!r}", "name one it has")
            elif path in (RESPONSE_CODE, STAN, ACQUIRER):
                table.refuse(path, f"field {path} is made by the switch", "take it away")
            else:
                found[path] = self._source(table, path, _ours())
        return found

    def _amounts(self, table: Table, theirs: Dialect) -> tuple[str, tuple[AmountRow, ...]]:
        if not table.content:
            return "", ()
        path = table.text("field", FIELD_PATH)
        field = theirs.dictionary.field_at(path)
        rows = []
        for number, row in enumerate(table.items("rows")):
            inner = Table(self._findings, (*table.path, "rows"), row if isinstance(row, dict) else {}, ROW)
            if not isinstance(row, dict):
                table.refuse("rows", f"row {number + 1} is no table", f"write {ROW['from']} and so on")
                continue
            source = self._path(inner, "from", _ours())
            rows.append(
                AmountRow(
                    source,
                    inner.text("account", TWO),
                    inner.text("type", TWO),
                    inner.text("currency", CURRENCY),
                    inner.choice("sign", ("C", "D")),
                )
            )
            inner.close()
        table.close()
        is_for_rows = field is not None and (not field.is_composite or _row_parts(field) is not None)
        if path and (field is None or not is_for_rows or field.length.maximum < ROW_CHARACTERS * len(rows)):
            what = f"{path} of dialect {theirs.name} can't carry {len(rows)} amounts"
            table.refuse("field", what, f"it takes {ROW_CHARACTERS} characters for each")
        return path, tuple(rows)

    def _codes(self, table: Table, theirs: Dialect) -> dict[str, str]:
        ours = _ours().response_codes
        codes = {}
        for code in table:
            value = table.text(code, CODE)
            if code not in ours:
                table.refuse(code, f"no response code {code!r} of ours", did_you_mean(code, list(ours)))
            else:
                self._check_code(table, code, value, theirs)
            codes[code] = value
        missing = [code for code in ours if code not in codes and code not in OF_TERMINALS_ALONE]
        if missing and not self._findings.is_missing_known(table.path):
            what = f"nothing for our {', '.join(missing)}"
            self._findings.refuse(table.path, what, f'add "{missing[0]}" = "{missing[0]}"')
        return codes

    def _check_code(self, table: Table, key: str, value: str, theirs: Dialect) -> None:
        field = theirs.dictionary.fields.get(int(RESPONSE_CODE))
        if field is not None and value and not _carries(field, value):
            table.refuse(key, f"{value!r} doesn't fit their field {RESPONSE_CODE}", "write one that does")

    def _network(self, table: Table, theirs: Dialect) -> Network:
        usual = Network()
        code_field = table.text("code_field", FIELD_PATH, usual.code_field)
        key_field = table.text("key_field", FIELD_PATH, usual.key_field)
        for key, path in (("code_field", code_field), ("key_field", key_field)):
            if path and theirs.dictionary.field_at(path) is None:
                table.refuse(key, f"dialect {theirs.name} has no {path}", "name a field that it has")
        network = Network(
            table.text("mti", MTI, usual.mti),
            code_field,
            table.text("sign_on", NETWORK_CODE, usual.sign_on),
            table.text("sign_off", NETWORK_CODE, usual.sign_off),
            table.text("echo", NETWORK_CODE, usual.echo),
            table.text("key_change", NETWORK_CODE, usual.key_change),
            key_field,
        )
        table.close()
        return network


def _rule(name: str) -> MessageRule:
    """Our dictionary's rule of an operation."""
    return next(rule for rule in _ours().dictionary.messages if rule.name == name)


def _is_request(mti: str) -> bool:
    return len(mti) == 4 and mti.isdecimal() and mti[0] in "012" and mti[1] in "1234" and mti[2] in "02"


def _digits_of(theirs: Dialect, path: str) -> int:
    field = theirs.dictionary.fields.get(int(path)) if path else None
    return 0 if field is None else field.length.maximum


def _words(sizes: Sequence[int]) -> str:
    return " or ".join(map(str, sizes))


def _row_parts(field: Field) -> tuple[str, ...] | None:
    """The names of a row's parts, where a field of repeated parts can carry such rows; see `translation`."""
    parts = tuple(field.subfields) if field.content == "positional" and field.repeat else ()
    return parts if len(parts) == ROW_PARTS else None


def _overlap(one: str, other: str) -> bool:
    return len(one) == len(other) and all(
        "*" in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )


def _carries(field: Field, value: str) -> bool:
    return field.length.minimum <= len(value) <= field.length.maximum
