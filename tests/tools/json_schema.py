"""A validator for the part of JSON Schema (draft 2020-12) that ours use; any other word fails loudly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TITLES = {"$schema", "$id", "$defs", "title", "then", "else"}
_TYPES = {"object": dict, "string": str}


def problems(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """What of `value` the schema refuses, as "path: word"; nothing when it is accepted."""
    for word, wanted in schema.items():
        if word in _TITLES:
            continue
        for inner, told in _JUDGES[word](wanted, value, schema, root):
            yield f"{at}{inner}: {told}"


def accepts(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    return next(problems(schema, value, root), None) is None


def _reference(wanted: str, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    target = root
    for step in wanted.removeprefix("#/").split("/"):
        target = target[step]
    yield from _inside("", target, value, root)


def _inside(step: str, schema: Any, value: Any, root: Any) -> Iterator[tuple[str, str]]:
    if schema is False:
        yield step, "not allowed"
        return
    for problem in problems(schema, value, root):
        path, _colon, told = problem.partition(": ")
        yield f"{step}{path}", told


def _type(wanted: str, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, _TYPES[wanted]):
        yield "", f"not of type {wanted}"


def _simple(told: str, is_good: Any) -> Any:
    def judge(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
        if not is_good(wanted, value):
            yield "", f"{told} {wanted}"

    return judge


def _properties(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in wanted.items():
            if name in value:
                yield from _inside(f"/{name}", inner, value[name], root)


def _patterns(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for pattern, inner in wanted.items():
            for name in value:
                if re.search(pattern, name):
                    yield from _inside(f"/{name}", inner, value[name], root)


def _additional(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in value:
            is_known = name in schema.get("properties", {})
            if not is_known and not any(
                re.search(each, name) for each in schema.get("patternProperties", {})
            ):
                yield from _inside(f"/{name}", wanted, value[name], root)


def _names(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in value:
            if not accepts(wanted, name, root):
                yield f"/{name}", "no name here"


def _required(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in wanted:
            if name not in value:
                yield f"/{name}", "missing"


def _all_of(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    for inner in wanted:
        yield from _inside("", inner, value, root)


def _counted(word: str, is_good: Any) -> Any:
    def judge(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
        count = sum(accepts(inner, value, root) for inner in wanted)
        if not is_good(count):
            yield "", f"{word}: {count} fit"

    return judge


def _not(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    if accepts(wanted, value, root):
        yield "", "what must not fit fits"


def _if(wanted: Any, value: Any, schema: Any, root: Any) -> Iterator[tuple[str, str]]:
    branch = schema.get("then" if accepts(wanted, value, root) else "else", {})
    yield from _inside("", branch, value, root)


_JUDGES: dict[str, Any] = {
    "$ref": _reference,
    "type": _type,
    "const": _simple("is not", lambda wanted, value: value == wanted),
    "enum": _simple("is none of", lambda wanted, value: value in wanted),
    "pattern": _simple(
        "does not look like", lambda wanted, value: not isinstance(value, str) or re.search(wanted, value)
    ),
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "required": _required,
    "allOf": _all_of,
    "anyOf": _counted("anyOf", lambda count: count > 0),
    "oneOf": _counted("oneOf", lambda count: count == 1),
    "not": _not,
    "if": _if,
}
