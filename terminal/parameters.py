"""The parameters that the switch may change: JSON, checked as a whole, in use over the settings.

An unknown name is left alone, for an older terminal must take what is made for newer ones; one wrong value
refuses all. A name that is missing stands at its default. Errors name the parameter, never a value.
"""

import hashlib
import json

from terminal.settings import FIELDS as SETTINGS
from terminal.settings import SettingsError

FILE = "parameters"
LONGEST_BYTES = 3072  # of the JSON: read at once, and nothing longer than 4 KiB is allocated at once
_CHECK_BYTES = 8
_VERSION_BYTES = 4

ENTRY_MODES = ("swipe", "tap", "chip", "code", "typed")
_MOST_RIAL = 999999999999  # DE 4


def check(values):
    """{name: value} of a dictionary, converted, names unknown here left out. Raises SettingsError."""
    if not isinstance(values, dict):
        raise SettingsError("parameters: expected an object")
    checked = {}
    for name, expected, convert, _ in FIELDS:
        if name in values:
            try:
                checked[name] = convert(values[name])
            except (ValueError, TypeError, AttributeError):
                raise SettingsError(name + ": expected " + expected)
    return checked


def parsed(content):
    """As check(), of a parameter file's bytes. Raises SettingsError."""
    if len(content) > LONGEST_BYTES:
        raise SettingsError("parameters: expected at most %d bytes" % LONGEST_BYTES)
    try:
        if content[-1:] not in b"}]":
            raise ValueError  # MicroPython's reader takes an object without its end
        values = json.loads(str(content, "utf-8"))
    except ValueError:  # UnicodeError too
        raise SettingsError("parameters: expected JSON")
    return check(values)


def put_in_use(storage, version, content):
    """Keep a version whose content was checked; whole or not at all. Raises OSError."""
    data = version.to_bytes(_VERSION_BYTES, "big") + content
    storage.replace(FILE, hashlib.sha256(data).digest()[:_CHECK_BYTES] + data)


def in_use(storage):
    """(version, {name: value}) that is kept; (0, {}) when there is none; (0, None) when what is kept can't be
    used any more. Raises OSError."""
    kept = storage.read(FILE)
    if kept is None:
        return 0, {}
    data = kept[_CHECK_BYTES:]
    if hashlib.sha256(data).digest()[:_CHECK_BYTES] != kept[:_CHECK_BYTES]:
        return 0, None
    try:
        return int.from_bytes(data[:_VERSION_BYTES], "big"), parsed(data[_VERSION_BYTES:])
    except SettingsError:
        return 0, None  # this software is older than the parameters


def over(settings, values):
    """The settings with these parameters instead of theirs; what neither has stands at its default."""
    changed = type(settings)()
    for name in settings.__dict__:
        setattr(changed, name, settings.__dict__[name])
    for name, _, _, default in FIELDS:
        if name in values:
            setattr(changed, name, values[name])
        elif not hasattr(changed, name):
            setattr(changed, name, default)
    return changed


# ---------------------------------------------------------------- converters: the value, or ValueError


def _number(least, most):
    def convert(value):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return convert


def _optional(convert):
    return lambda value: None if value is None else convert(value)


def _modes(value):
    if not isinstance(value, list) or not value:
        raise ValueError
    for mode in value:
        if mode not in ENTRY_MODES:
            raise ValueError
    return tuple(value)


def _of_settings(name):
    """(name, expected, converter, default) of one that the settings have too."""
    for field in SETTINGS:
        if field[0] == name:
            return field[0], field[1], field[2], None
    raise AssertionError(name)


_NAME = _of_settings("acceptor_name")
_TEXT = _NAME[1] + ", or null"

# name, what is expected, converter, default where the settings have none
FIELDS = (
    _NAME,
    _of_settings("answer_timeout_ms"),
    _of_settings("reversal_interval_ms"),
    _of_settings("locale"),
    _of_settings("receipt_locales"),
    _of_settings("card_prefixes"),
    ("receipt_copies", "1 or 2", _number(1, 2), 2),
    ("receipt_header", _TEXT, _optional(_NAME[2]), None),
    ("receipt_footer", _TEXT, _optional(_NAME[2]), None),
    _of_settings("supervisor"),
    _of_settings("till_receipts"),
    ("offline_most", "a number from 0 to 240", _number(0, 240), 50),
    ("offline_day", "a number from 0 to 9999", _number(0, 9999), 200),
    ("offline_points", "points from 0 to 999999999999", _number(0, _MOST_RIAL), 5000),
    ("offline_rial_per_point", "rial from 1 to 999999999999", _number(1, _MOST_RIAL), 10000),
    ("offline_rial", "rial from 0 to 999999999999", _number(0, _MOST_RIAL), 50000000),
    ("offline_rial_each", "rial from 0 to 999999999999", _number(0, _MOST_RIAL), 20000000),
    ("offline_hours", "a number from 0 to 168", _number(0, 168), 72),
    ("batch_close_hour", "an hour from 0 to 23, or null", _optional(_number(0, 23)), None),
    ("entry_modes", 'a list of "swipe", "tap", "chip", "code", "typed"', _modes, ENTRY_MODES),
    ("piece_bytes", "a number from 64 to 900", _number(64, 900), 512),
)
