"""`vafa spec export --to json-schema`: what JSON messages of a dialect look like (draft 2020-12).

Describes `Message.to_document(reveal=True)`: fields by number, bytes as "0x" and hex, composites nested. A
document is accepted when the formats fit and the presence rules of its MTI and DE 3 are kept. Tags and parts
are named as in paths. What a schema can't say: bytes in total, check digits, the MAC's worth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from switch.iso8583 import Dialect
from switch.iso8583.characters import CLASSES, HEX_CLASSES
from switch.iso8583.dictionary import HEADER, LENGTH_MARK, Condition, Dictionary, Field, MessageRule
from switch.iso8583.lengths import value_bounds
from switch.iso8583.message import BYTES_MARK, EMPTY_SECONDARY, SCHEMA

DRAFT = "https://json-schema.org/draft/2020-12/schema"
ANY = "*"

Schema = dict[str, Any]


def schema_text(dialect: Dialect) -> str:
    """The schema of all messages of `dialect`, as JSON text; each message also stands alone in `$defs`."""
    return json.dumps(schema(dialect.dictionary), ensure_ascii=False, indent=1) + "\n"


def schema(dictionary: Dictionary) -> Schema:
    """The schema of all messages of `dictionary`."""
    formats = {f"field.{number}": _format(field) for number, field in dictionary.fields.items()}
    messages = {f"message.{rule.name}": _message(dictionary, rule) for rule in dictionary.messages}
    head = {
        "$schema": DRAFT,
        "$id": f"urn:vafa:dialect:{dictionary.name}:{dictionary.version}",
        "title": dictionary.description.en,
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA},
            "dialect": {"const": dictionary.name},
            "mti": {"type": "string", "pattern": "^[0-9]{4}$"},
            "masked": {"const": False},
            "fields": {
                "type": "object",
                "properties": _properties(dictionary),
                "additionalProperties": False,
            },
        },
        "required": ["mti", "fields"],
        "additionalProperties": False,
    }
    if messages:
        head["oneOf"] = [{"$ref": f"#/$defs/{name}"} for name in messages]
    return {**head, "$defs": {**formats, **messages}}


def _properties(dictionary: Dictionary) -> Schema:
    properties: Schema = {str(number): {"$ref": f"#/$defs/field.{number}"} for number in dictionary.fields}
    if dictionary.bitmap.first_bit == "any":
        properties[EMPTY_SECONDARY] = {"enum": [BYTES_MARK, BYTES_MARK + "00" * 8]}
    elif dictionary.bitmap.allows_empty:
        properties[EMPTY_SECONDARY] = {"const": BYTES_MARK + "00" * 8}
    if dictionary.header:
        parts = {key: _format(part) for key, part in dictionary.header.items()}
        required = [key for key, part in dictionary.header.items() if len(part.only) != 1]
        header = {"type": "object", "properties": parts, "additionalProperties": False}
        properties[HEADER] = header | ({"required": required} if required else {})
    return properties


# ---------------------------------------------------------------- formats


def _format(field: Field) -> Schema:
    """What values of `field` look like."""
    if field.is_composite:
        return {"title": field.title.en, **_composite(field)}
    text: Schema = {"title": field.title.en, "type": "string"}
    if field.only:
        mark = BYTES_MARK if field.content == "b" else ""
        return text | {"enum": [mark + value for value in field.only]}
    low, high = value_bounds(field)
    if field.content == "b":
        return text | {"pattern": f"^{BYTES_MARK}(?:[0-9A-F]{{2}}){{{low},{high}}}$"}
    if field.content == "x+n":
        signs = "".join(re.escape(sign) for sign in field.signs)
        empty = "|" if low == 0 else ""
        return text | {"pattern": f"^(?:[{signs}][0-9]{{{max(low - 1, 0)},{max(high - 1, 0)}}}{empty})$"}
    return text | {"pattern": f"^{_characters(field)}{{{low},{high}}}$"}


def _characters(field: Field) -> str:
    """A regular expression's set of the characters a value consists of."""
    if field.content == "z" and field.encoding == "bcd":
        return "[0-9:;<=>?]" if field.all_nibbles else "[0-9=]"
    allowed = HEX_CLASSES[field.hex_case] if field.content == "h" else CLASSES[field.content]
    return f"[{_ranges(sorted(allowed.characters))}]"


def _ranges(characters: Sequence[str]) -> str:
    """Characters in ascending order as ranges: "0-9A-F"."""
    runs: list[list[str]] = []
    for character in characters:
        if runs and ord(character) == ord(runs[-1][-1]) + 1:
            runs[-1].append(character)
        else:
            runs.append([character])
    return "".join(
        f"{_in_set(run[0])}-{_in_set(run[-1])}" if len(run) > 2 else "".join(map(_in_set, run))
        for run in runs
    )


def _in_set(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[" else character


def _composite(field: Field) -> Schema:
    if field.tlv is not None:
        return _tagged(field)
    parts = {key: _format(part) for key, part in field.subfields.items()}
    group: Schema = {"type": "object", "properties": parts, "additionalProperties": False}
    required = [key for key, part in field.subfields.items() if not part.optional]
    if required and field.bitmap is None:
        group["required"] = required
    if not field.repeat:
        return group
    names = "|".join(str(number) for number in range(1, field.repeat + 1))
    return {"type": "object", "patternProperties": {f"^(?:{names})$": group}, "additionalProperties": False}


def _tagged(field: Field) -> Schema:
    assert field.tlv is not None
    form = field.tlv
    unknown: Schema = {"type": "string", "pattern": f"^{BYTES_MARK}(?:[0-9A-F]{{2}})*$"}
    formats = {name: _format(tag) for name, tag in field.tags.items()}
    if form.keeps_misfits:
        formats = {
            name: own if field.tags[name].is_composite else {"anyOf": [own, unknown]}
            for name, own in formats.items()
        }
    tags: Schema = {"type": "object", "properties": formats}
    patterns: Schema = {}
    if form.repeats:
        patterns |= {f"^{re.escape(name)}#[1-9][0-9]*$": own for name, own in formats.items()}
    if form.any_length:
        patterns[f"{LENGTH_MARK}$"] = unknown
    if patterns:
        tags["patternProperties"] = patterns
    return tags | {"additionalProperties": unknown if form.keeps_unknown or form.padding else False}


# ---------------------------------------------------------------- presence


def _message(dictionary: Dictionary, rule: MessageRule) -> Schema:
    """The rules of one message; the formats are told once, for all."""
    optional = [path for path in rule.optional if path != ANY]
    named = {*rule.mandatory, *optional, *rule.conditional}.union(*rule.one_of)
    allowed = {path.partition(".")[0] for path in named} | {HEADER, EMPTY_SECONDARY}
    mac = dictionary.mac
    mac_names = () if mac is None else mac.names
    fields: Schema = {"type": "object"}
    if ANY not in rule.optional:
        names = sorted(allowed.union(mac_names) & {*map(str, dictionary.fields), HEADER, EMPTY_SECONDARY})
        fields["propertyNames"] = {"enum": sorted(names, key=lambda name: (len(name), name))}
    rules: list[Schema] = [_present(path) for path in rule.mandatory if "." not in path]
    rules += [
        _present(number) for number in sorted({p.partition(".")[0] for p in rule.mandatory if "." in p})
    ]
    rules += [_within(path) for path in rule.mandatory if "." in path]
    rules += [{"oneOf": [_present(path) for path in group]} for group in rule.one_of]
    if ANY not in rule.optional:
        rules += _named_tags(dictionary, named)
    if mac is not None:
        rules.append(_mac(dictionary, mac_names, mac.required))
    fields["allOf"] = rules
    whole: list[Schema] = [
        _conditional(path, dictionary.conditions[number]) for path, number in rule.conditional.items()
    ]
    if rule.processing_code is not None:
        whole += _processing_code(dictionary, rule)
    message: Schema = {
        "title": rule.title.en,
        "type": "object",
        "properties": {"mti": {"enum": list(rule.mtis)}, "fields": fields},
    }
    return message | ({"allOf": whole} if whole else {})


def _present(path: str) -> Schema:
    """Fields in which `path` is there."""
    first, _dot, rest = path.partition(".")
    here: Schema = {"required": [first]}
    return here | {"properties": {first: _present(rest)}} if rest else here


def _within(path: str) -> Schema:
    """Fields in which `path` is there when what holds it is."""
    first, _dot, rest = path.partition(".")
    return {"properties": {first: _present(rest)}}


def _named_tags(dictionary: Dictionary, named: set[str]) -> list[Schema]:
    """Of a field that is named only by some of its tags, the other known ones are refused."""
    rules: list[Schema] = []
    for number in sorted({path.partition(".")[0] for path in named if "." in path} - named):
        field = dictionary.field_at(number)
        tags = {path.partition(".")[2] for path in named if path.startswith(number + ".")}
        strangers = sorted(set(field.tags) - tags) if field is not None else []
        if strangers:
            rules.append({"properties": {number: {"propertyNames": {"not": {"enum": strangers}}}}})
    return rules


def _mac(dictionary: Dictionary, names: Sequence[str], required: bool) -> Schema:
    """The MAC stands in the field that the bitmaps call for, and not in the other."""
    primary, secondary = names[0], names[-1]
    above = [str(number) for number in dictionary.fields if number > 64 and str(number) not in names]
    only_primary: Schema = {"not": {"required": [secondary]}} if len(names) > 1 else {}
    only_secondary: Schema = {"not": {"required": [primary]}}
    if required:
        only_primary["required"] = [primary]
        only_secondary["required"] = [secondary]
    if not above:
        return only_primary
    return {
        "if": {"anyOf": [{"required": [number]} for number in above]},
        "then": only_secondary,
        "else": only_primary,
    }


def _processing_code(dictionary: Dictionary, rule: MessageRule) -> list[Schema]:
    """DE 3 chooses this message: its own code, and none that another message of the MTI claims first."""
    assert rule.processing_code is not None
    codes = [rule.processing_code]
    taken = [
        other.processing_code
        for other in dictionary.messages
        if other is not rule
        and other.processing_code is not None
        and set(other.mtis) & set(rule.mtis)
        and other.processing_code.count(ANY) * (6 if other.processing_code == ANY else 1)
        < rule.processing_code.count(ANY) * (6 if rule.processing_code == ANY else 1)
    ]
    rules: list[Schema] = [{"properties": {"fields": _code_is(dictionary, codes[0])}}]
    rules += [{"not": {"properties": {"fields": _code_is(dictionary, code)}}} for code in taken]
    return rules


def _code_is(dictionary: Dictionary, code: str) -> Schema:
    """Fields whose DE 3 fits `code`, a "*" standing for any character (alone: for all of them)."""
    field = dictionary.fields.get(3)
    if code == ANY:
        return {"required": ["3"]}
    if field is None or not field.is_composite:
        return {"required": ["3"], "properties": {"3": _fits(code)}}
    parts, at = {}, 0
    for key, part in field.subfields.items():
        parts[key] = _fits(code[at : at + part.length.maximum])
        at += part.length.maximum
    return {"required": ["3"], "properties": {"3": {"properties": parts, "required": list(parts)}}}


def _fits(code: str) -> Schema:
    return (
        {"pattern": f"^{re.escape(code).replace(re.escape(ANY), '.')}$"} if ANY in code else {"const": code}
    )


def _conditional(path: str, condition: Condition) -> Schema:
    """`path` must be there when the condition holds, and may not (or may) otherwise."""
    present: Schema = {"properties": {"fields": _present(path)}}
    holder = path.rpartition(".")[0]
    rule: Schema = {"if": {"anyOf": [_group(group) for group in condition.groups]}, "then": present}
    if condition.otherwise == "absent":
        rule["else"] = {"properties": {"fields": {"not": _present(path)}}}
    if holder:  # what holds it is missing: said, or allowed, there
        return {"if": {"properties": {"fields": _present(holder)}}, "then": rule}
    return rule


def _group(tests: Sequence[tuple[str, str, tuple[str, ...]]]) -> Schema:
    return {"allOf": [_test(*test) for test in tests]}


def _test(path: str, how: str, values: tuple[str, ...]) -> Schema:
    if how == "present":
        return _at(path, {})
    if how == "absent":
        return {"not": _at(path, {})}
    if how == "starts":
        starts = "|".join(re.escape(value) for value in values)
        return _at(path, {"pattern": f"^(?:{BYTES_MARK})?(?:{starts})"})
    written = [*values, *(BYTES_MARK + value for value in values)]
    equal = _at(path, {"enum": written})
    return {"not": equal} if how == "not" else equal


def _at(path: str, value: Mapping[str, Any]) -> Schema:
    """Documents that have something at `path`, like `value`."""
    if path == "mti":
        return {"properties": {"mti": dict(value)}}
    inner: Schema = dict(value)
    for step in reversed(path.split(".")):
        inner = {"required": [step], "properties": {step: inner}}
    return {"properties": {"fields": inner}}
