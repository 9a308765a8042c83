"""The legal keys of every table in a dictionary file, each as one writes it, and the forms that texts have.

The reader takes no key that isn't here; remedies and tests are made from these tables and docs/dialects.md is
held to them, so a new key of the format begins in this file. Nothing here reads anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# key -> a statement with it, as a remedy shows it
Keys = Mapping[str, str]


class Form(NamedTuple):
    """How a text must look: for `re.fullmatch`, and in words for a person."""

    pattern: str
    words: str


ANY_TEXT = Form(r"(?s).+", "at least one character")
DIALECT_NAME = Form(r"[a-z][a-z0-9-]*", "small letters, digits and dashes, a letter first")
FIELD_NAME = Form(r"[a-z][a-z0-9_]*", "small letters, digits and _, a letter first")
RESPONSE_CODE = Form(r"[0-9A-Z]{2,4}", "two to four digits or capital letters")
NIBBLE = Form(r"[0-9A-F]", "one hex digit in upper case")
HEX_BYTE = Form(r"[0-9A-F]{2}", "one byte as two hex digits in upper case")
HEX_BYTES = Form(r"\s*(?:[0-9A-Fa-f]{2}\s*)+", "whole bytes in hex digits")
CHARACTER = Form(r"[ -~]", "one printable ASCII character")
PROCESSING_CODE = Form(r"[0-9*]{6}|\*", 'six digits with "*" for any ("21****"), or "*" alone')
CONDITIONAL = Form(r"C[1-9][0-9]{0,2}", "C and the number of a condition, like C3")
PRESENCE = Form(r"M|ME|O|C[1-9][0-9]{0,2}", "M, ME, O, or C and the number of a condition, like C3")

_TITLE = 'title = { en = "Amount", fa = "مبلغ" }'

ROOT: Keys = {
    "dialect": "[dialect]",
    "defaults": "[defaults.n]",
    "header": "[header.1]",
    "fields": "[fields.2]",
    "conditions": "[conditions.1]",
    "messages": "[messages.purchase]",
    "network_codes": "[network_codes.301]",
    "response_codes": "[response_codes.00]",
    "reasons": "[reasons.0101]",
}
DIALECT: Keys = {
    "name": 'name = "acme"',
    "version": "version = 1",
    "description": 'description = { en = "Acme", fa = "آکمه" }',
    "extends": 'extends = "iso87-bcd"',
    "remove": 'remove = ["fields.48.tags.01"]',
    "mti": 'mti = { encoding = "bcd" }',
    "bitmap": 'bitmap = { encoding = "binary" }',
    "mac": "mac = { primary = 64, secondary = 128, bytes = 8 }",
    "format_error": 'format_error = "30"',
    "invalid_transaction": 'invalid_transaction = "12"',
    "code_page": 'code_page = "cp500"',
}
TEXT: Keys = {"en": 'en = "Amount"', "fa": 'fa = "مبلغ"'}
MTI: Keys = {"encoding": 'encoding = "bcd"'}
BITMAP: Keys = {
    "encoding": 'encoding = "binary"',
    "hex_case": 'hex_case = "upper"',
    "always": "always = 16",
    "first_bit": 'first_bit = "announces"',
    "empty_secondary": "empty_secondary = true",
    "tertiary": "tertiary = 65",
    "tertiary_field": "tertiary_field = 65",
}
PART_BITMAP: Keys = {
    "encoding": 'encoding = "binary"',
    "hex_case": 'hex_case = "upper"',
    "bytes": "bytes = 8",
    "first_bit": 'first_bit = "field"',
}
MAC: Keys = {
    "primary": "primary = 64",
    "secondary": "secondary = 128",
    "bytes": "bytes = 8",
    "required": "required = true",
}
DEFAULTS: Keys = {
    "encoding": 'encoding = "bcd"',
    "prefix": 'prefix = "bcd"',
    "pad": 'pad = { side = "left", nibble = "0" }',
    "unit": 'unit = "bytes"',
    "code_page": 'code_page = "cp500"',
    "hex_case": 'hex_case = "upper"',
    "sign": 'sign = "ascii"',
}
FIELD: Keys = {
    "name": 'name = "amount"',
    "title": _TITLE,
    "description": 'description = { en = "In rial", fa = "به ریال" }',
    "class": 'class = "n"',
    "encoding": 'encoding = "bcd"',
    "length": 'length = { fixed = 12 } or { prefix = "bcd", digits = 2, max = 19 }',
    "pad": 'pad = { side = "left", nibble = "0" }',
    "mask": 'mask = "hidden"',
    "only": 'only = ["ISO"]',
    "values": 'values = { 00 = { en = "Yes", fa = "آری" } }',
    "code_page": 'code_page = "cp500"',
}
# Keys of fields in one situation only -> (when, key -> as one writes it)
HEX_CASE_KEYS: Keys = {"hex_case": 'hex_case = "upper"'}
HEX_CASE_WHEN = "values in hex digits: class h, class b, encoding hex"
PART_KEYS: Keys = {"optional": "optional = true"}
PART_WHEN = "the parts of a positional field"
SIGN_KEYS: Keys = {"sign": 'sign = "ascii"'}
SIGN_WHEN = "class x+n in bcd"
TRACK_KEYS: Keys = {"nibbles": 'nibbles = "all"'}
TRACK_WHEN = "class z in bcd"
CLASS_KEYS: Mapping[str, Keys] = {
    "x+n": {"signs": 'signs = ["C", "D"]'},
    "tlv": {"tlv": "tlv = { tag_bytes = 1, length_bytes = 1 }", "tags": "[fields.48.tags.01]"},
    "positional": {"subfields": "[fields.54.subfields.1]", "repeat": "repeat = 6"},
    "bitmapped": {
        "subfields": "[fields.127.subfields.2]",
        "bitmap": 'bitmap = { encoding = "binary", bytes = 8 }',
    },
}
LENGTHS: Mapping[str, Keys] = {
    "fixed": {"fixed": "fixed = 12", "unit": 'unit = "bytes"'},
    "given": {"max": "max = 99", "min": "min = 1", "unit": 'unit = "bytes"', "rest": "rest = true"},
    "prefixed": {
        "prefix": 'prefix = "ascii"',
        "digits": "digits = 2",
        "bytes": "bytes = 1",
        "max": "max = 99",
        "min": "min = 1",
        "inclusive": "inclusive = true",
        "unit": 'unit = "bytes"',
    },
}
LENGTH_WHEN = {
    "fixed": "a fixed length",
    "given": "tags, and the rest of a positional field",
    "prefixed": "a length with a prefix",
}
PAD: Keys = {
    "side": 'side = "left"',
    "nibble": 'nibble = "0"',
    "character": 'character = " "',
    "byte": 'byte = "00"',
}
_TLV: Keys = {
    "form": 'form = "ber"',
    "repeats": "repeats = true",
    "unknown": 'unknown = "keep"',
    "misfits": 'misfits = "keep"',
    "tags": 'tags = "emv"',
}
TLV_FORMS: Mapping[str, Keys] = {
    "ber": {**_TLV, "padding": 'padding = ["00"]', "lengths": 'lengths = "any"'},
    "simple": {
        **_TLV,
        "tag": 'tag = { encoding = "ascii", characters = 2 }',
        "length": 'length = { encoding = "ascii", digits = 3 }',
        "tag_bytes": "tag_bytes = 1",
        "length_bytes": "length_bytes = 1",
        "first": 'first = "length"',
        "length_covers": 'length_covers = "tag and value"',
    },
}
TLV_WHEN = {"ber": 'form = "ber"', "simple": 'form = "simple"'}
TAG: Keys = {
    "encoding": 'encoding = "ascii"',
    "bytes": "bytes = 1",
    "digits": "digits = 2",
    "characters": "characters = 2",
}
TAG_LENGTH: Keys = {"encoding": 'encoding = "ascii"', "bytes": "bytes = 1", "digits": "digits = 3"}
TESTS: Keys = {
    "present": 'present = ["55"]',
    "absent": 'absent = ["35"]',
    "equals": 'equals = { 39 = ["00"] }',
    "not": 'not = { 39 = "00" }',
    "starts": 'starts = { 22 = ["05", "07"] }',
}
CONDITION: Keys = {
    "text": 'text = { en = "the chip was read", fa = "تراشه خوانده شد" }',
    **TESTS,
    "any": 'any = [{ present = ["55"] }, { absent = ["35"] }]',
    "otherwise": 'otherwise = "absent"',
}
MESSAGE: Keys = {
    "mti": 'mti = ["0200"]',
    "processing_code": 'processing_code = "00****"',
    "title": _TITLE,
    "mandatory": 'mandatory = ["3", "48.01"]',
    "optional": 'optional = ["62"]',
    "one_of": 'one_of = [["2", "35"]]',
    "conditional": 'conditional = { 52 = "C3" }',
    "presence": 'presence = { 3 = "M", 62 = "O" }',
}
RESPONSE: Keys = {"title": _TITLE, "transient": "transient = true"}
CODE: Keys = {"title": _TITLE}
# The file of sample messages beside a dialect
SAMPLES_FILE: Keys = {"sample": "[[sample]]"}
SAMPLE: Keys = {
    "name": 'name = "sign-on"',
    "hex": 'hex = "0800202000000080000000000131323334353637"',
    "mti": 'mti = "0800"',
    "fields": "[sample.fields]",
}
EVERY_FIELD_KEY: Keys = {
    **FIELD,
    **HEX_CASE_KEYS,
    **PART_KEYS,
    **SIGN_KEYS,
    **TRACK_KEYS,
    **{key: written for own in CLASS_KEYS.values() for key, written in own.items()},
}
EVERY_LENGTH_KEY: Keys = {key: written for form in LENGTHS.values() for key, written in form.items()}
EVERY_TLV_KEY: Keys = {key: written for form in TLV_FORMS.values() for key, written in form.items()}
# Every table there is, for tests and documents.
EVERY_TABLE: tuple[Keys, ...] = (
    ROOT,
    DIALECT,
    TEXT,
    MTI,
    BITMAP,
    PART_BITMAP,
    MAC,
    DEFAULTS,
    EVERY_FIELD_KEY,
    EVERY_LENGTH_KEY,
    PAD,
    EVERY_TLV_KEY,
    TAG,
    TAG_LENGTH,
    CONDITION,
    MESSAGE,
    RESPONSE,
    CODE,
)
