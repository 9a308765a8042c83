"""The parameters that the switch may change: JSON, checked as a whole, in use over the settings.

An unknown name is left alone, for an older terminal must take what is made for newer ones; one wrong value
refuses all. A name that is missing stands at its default. Errors name the parameter, never a value.
"""

import hashlib
import json

from terminal.settings import FIELDS as SETTINGS
from terminal.settings import SettingsError, each, number, one_of, optional, taken

FILE = "parameters"
LONGEST_BYTES = 3072  # of the JSON: read at once, and nothing longer than 4 KiB is allocated at once
_CHECK_BYTES = 8
_VERSION_BYTES = 4

ENTRY_MODES = ("swipe", "tap", "chip", "code", "typed")
_MODES_MOST = 64  # one may be named twice
_MOST_RIAL = 999999999999  # DE 4


def check(values):
    """{name: value} of a dictionary, converted, names unknown here left out. Raises SettingsError."""
    if not isinstance(values, dict):
        raise SettingsError("parameters: expected an object")
    rows = [row for row in FIELDS if row[0] in values]
    return {name: taken(name, expected, convert, values[name]) for name, expected, convert, _ in rows}


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


# ---------------------------------------------------------------- which there are

# Those that the settings have too.
OF_SETTINGS = (
    "acceptor_name",
    "answer_timeout_ms",
    "reversal_interval_ms",
    "locale",
    "receipt_locales",
    "card_prefixes",
    "supervisor",
    "till_receipts",
)
_SHARED = {row[0]: row + (None,) for row in SETTINGS if row[0] in OF_SETTINGS}
_, _EXPECTED, _both_languages, _ = _SHARED["acceptor_name"]
_TEXT = (_EXPECTED + ", or null", optional(_both_languages), None)


def _number_row(name, least, most, default, what="a number"):
    return name, "%s from %d to %d" % (what, least, most), number(least, most), default


# name, what is expected, converter, default where the settings have none
FIELDS = tuple([_SHARED[name] for name in OF_SETTINGS]) + (
    ("receipt_copies", "1 or 2", number(1, 2), 2),
    ("receipt_header",) + _TEXT,
    ("receipt_footer",) + _TEXT,
    _number_row("offline_most", 0, 240, 50),
    _number_row("offline_day", 0, 9999, 200),
    _number_row("offline_points", 0, _MOST_RIAL, 5000, "points"),
    _number_row("offline_rial_per_point", 1, _MOST_RIAL, 10000, "rial"),
    _number_row("offline_rial", 0, _MOST_RIAL, 50000000, "rial"),
    _number_row("offline_rial_each", 0, _MOST_RIAL, 20000000, "rial"),
    _number_row("offline_hours", 0, 168, 72),
    ("batch_close_hour", "an hour from 0 to 23, or null", optional(number(0, 23)), None),
    (
        "entry_modes",
        "a list of " + ", ".join(['"' + mode + '"' for mode in ENTRY_MODES]),
        each(one_of(ENTRY_MODES), _MODES_MOST),
        ENTRY_MODES,
    ),
    _number_row("piece_bytes", 64, 900, 512),
)
