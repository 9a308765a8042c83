"""How one dialect is made from another: the base's tables with those of the new file laid over them.

Plain dictionaries as TOML gives them, in and out; neither is changed but by `removed`, and nothing is judged.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

# Of the base's head these are never taken over: every dialect says its own.
_OWN = ("name", "version", "description", "extends", "remove")
# A field that names its class anew is a new format: of the base's only what it is called stays.
_NAMES = ("name", "title", "description", "mask")
_CHILDREN = ("tags", "subfields")
# Tables of the head that are laid over key by key, as the head is.
_HEAD_TABLES = ("mti", "bitmap", "mac")
# Tables of entries that are overridden key by key; what isn't named here is replaced whole.
_ENTRIES = ("messages", "defaults", "conditions", "response_codes", "reasons", "network_codes")


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` laid over `base`: heads key by key, fields by `_field`, other tables entry by entry."""
    result: dict[str, Any] = {key: copy.deepcopy(value) for key, value in base.items() if key != "dialect"}
    if "dialect" in base:
        result["dialect"] = {key: value for key, value in base["dialect"].items() if key not in _OWN}
    for key, value in top.items():
        below = result.get(key)
        if not isinstance(value, dict) or not isinstance(below, dict):
            result[key] = value
        elif key == "dialect":
            result[key] = _head(below, value)
        elif key == "fields":
            result[key] = _fields(below, value)
        elif key in _ENTRIES:
            result[key] = {**below, **{name: _over(below.get(name), entry) for name, entry in value.items()}}
        else:
            result[key] = value
    return result


def removed(base: dict[str, Any], names: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """Takes what `names` says ("fields.5") out of `base`; yields what isn't there."""
    for name in names if isinstance(names, list) else []:
        *holders, last = str(name).split(".")
        table: Any = base
        for step in holders:
            table = table.get(step) if isinstance(table, dict) else None
        if holders and isinstance(table, dict) and last in table:
            del table[last]
        else:
            yield ("dialect", "remove"), str(name)


def _head(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = {**below, **above}
    for key in _HEAD_TABLES:
        old, new = below.get(key), above.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            # the case of hex digits belongs to the encoding it was said with
            kept = {each: old[each] for each in old if each != "hex_case" or "encoding" not in new}
            result[key] = {**kept, **new}
    return result


def _over(below: object, entry: object) -> object:
    if isinstance(below, dict) and isinstance(entry, dict):
        return {**below, **entry}
    return entry


def _fields(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, field in above.items():
        old = below.get(name)
        if isinstance(old, dict) and isinstance(field, dict):
            result[name] = _field(old, field)
        else:
            result[name] = field
    return result


def _field(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if "class" in new:
        return {**{key: old[key] for key in _NAMES if key in old}, **new}
    result = {**old, **new}
    for key in _CHILDREN:
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            result[key] = _fields(old[key], new[key])
    return result
