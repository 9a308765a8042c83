"""The settings of one terminal: loaded from JSON, checked once, then trusted.

An error names the setting and what was expected, never a value: some values are keys.

A key block given here is taken out of the file once its key is sealed in the storage: whoever has it and the
transport key has every key of the terminal. What a replaced file leaves in the cells of a flash is the
board's to prevent: its flash must be closed to reading, or the keys come through the service port only.
"""

import binascii
import json

from terminal.doors import KINDS, WITHOUT_PATH

LOCALES = ("en", "fa")
BOARD_PATHS = ("settings", "storage")

BAUDS = (9600, 1200, 2400, 4800, 19200, 38400, 57600, 115200)

_BLOCK_SHORTEST, _BLOCK_LONGEST = 112, 512  # letters of a key block: the bare one; with optional blocks
KEY_NAMES = ("key_block", "key_serial")
_TEXT_LONGEST = 64
_PATH_LONGEST = 256
_PREFIXES_MOST = 32
_PREFIX_LONGEST = 12  # digits of a 16-digit card number that a program may fix
_LINES_MOST = 2  # one over TCP, one over the modem
_NUMBERS_MOST = 4  # the second and further ones are for when the first is busy
_NUMBER_LONGEST = 32
_COMMANDS_MOST = 4
_DIGITS = "0123456789"
_DIALLED = "0123456789*#,W"
_PRINTABLE = "".join([chr(code) for code in range(0x20, 0x7F)])


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which and what was expected."""


class Settings:
    """Attributes as in FIELDS; keys and TPDU as bytes, texts of two languages as (English, Persian)."""


def board(path):
    """A board file: paths of the settings and of the storage directory, and what is fitted: "devices" of
    door -> {"path", "kind", "baud", "optional"} and what a kind has of its own. The kind is one of
    terminal.doors.KINDS, the first when none is given. A missing device is told unless it is optional.

    Raises SettingsError.
    """
    file = read(path)
    at = path + ": "
    for name in BOARD_PATHS:
        taken(at + name, "a path", _path, file.get(name))
    at += "devices"
    devices = taken(at, "an object", _object, file.get("devices"))
    for name in devices:
        _check_device(at + ": " + name, name, devices[name])
    return file


def _check_device(at, name, device):
    doors = sorted({row[0] for row in KINDS})
    taken(at, "one of " + ", ".join(doors), one_of(doors), name)
    taken(at, "an object", _object, device)
    kinds = [row[1] for row in KINDS if row[0] == name]
    device["kind"] = device.get("kind", kinds[0])
    device_path = optional(_path) if name in WITHOUT_PATH else _path
    taken(at + ": path", "a path", device_path, device.get("path"))
    for option, expected, convert in (
        ("kind", "one of " + ", ".join(kinds), one_of(kinds)),
        ("baud", "one of " + ", ".join([str(baud) for baud in BAUDS]), one_of(BAUDS)),
    ) + DEVICE_OPTIONS:
        if option in device:
            taken(at + ": " + option, expected, convert, device[option])


def check_lines(lines, devices):
    """Whether what is fitted can carry the lines of the settings. Raises SettingsError."""
    fitted = devices.get("modem", {}).get("kind")
    for line in lines:
        if line.kind in MODEMS and fitted not in MODEMS[line.kind]:
            expected = " or ".join(MODEMS[line.kind])
            raise SettingsError(
                "lines: a line of kind %s needs a modem of kind %s in the board file" % (line.kind, expected)
            )


def load(path):
    """Settings of a JSON file. Raises SettingsError."""
    return check(read(path))


def read(path):
    """The JSON object in a file. Raises SettingsError."""
    try:
        with open(path, "rb") as file:
            values = json.loads(str(file.read(), "utf-8"))
    except OSError:
        raise SettingsError(path + ": can't be read")
    except ValueError:  # UnicodeError too
        raise SettingsError(path + ": not JSON")
    if not isinstance(values, dict):
        raise SettingsError(path + ": expected an object")
    return values


def without_keys(data):
    """Content of a settings file with its key block and serial left out; None when it has none of them.

    Everything else stays, unknown names too. Raises ValueError when it is not JSON.
    """
    values = json.loads(str(data, "utf-8"))
    given = [name for name in KEY_NAMES if name in values]
    for name in given:
        del values[name]
    return json.dumps(values).encode() if given else None


def check(values):
    """Settings of a dictionary; names unknown here are left alone. Raises SettingsError."""
    settings = Settings()
    for name, expected, convert in FIELDS:
        value = values.get(name)
        if name not in values and name not in OPTIONAL:
            raise SettingsError(name + ": missing; expected " + expected)
        value = OTHERWISE.get(name) if value is None else value
        setattr(settings, name, taken(name, expected, convert, value))
    if (settings.key_block is None) != (settings.key_serial is None):
        raise SettingsError("key_block, key_serial: expected both or none")
    return settings


def taken(name, expected, convert, value):
    """What a converter makes of the value of this name. Raises SettingsError."""
    try:
        return convert(value)
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(name + ": expected " + expected)


# ---------------------------------------------------------------- converters: the value, or such an error


def text(shortest, longest, letters=None):
    """Of a text of so many letters, of these if they are told."""

    def convert(value):
        if not isinstance(value, str) or not shortest <= len(value) <= longest:
            raise ValueError
        for letter in value if letters else "":
            if letter not in letters:
                raise ValueError
        return value

    return convert


def number(least, most):
    """Of a whole number."""

    def convert(value):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return convert


def one_of(values):
    """Of one of these."""

    def convert(value):
        if value not in values:
            raise ValueError
        return value

    return convert


def each(convert, most):
    """Of a list of one to so many: as a tuple."""

    def convert_all(value):
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise ValueError
        return tuple([convert(one) for one in value])

    return convert_all


def optional(convert):
    """Of what may be None."""
    return lambda value: None if value is None else convert(value)


def _parts(*rows):
    """Of an object: what the converter of each name makes of its value, as a tuple."""
    return lambda value: tuple([convert(value.get(name)) for name, convert in rows])


def _hex(length):
    digits = text(2 * length, 2 * length)
    return lambda value: binascii.unhexlify(digits(value))


def _of_type(kind):
    def convert(value):
        if not isinstance(value, kind):
            raise ValueError
        return value

    return convert


_object = _of_type(dict)
_truth = _of_type(bool)
_path = text(1, _PATH_LONGEST)
_text = text(1, _TEXT_LONGEST)
_locale = one_of(LOCALES)


def _unquoted(value):
    """Printable, without the quote that would end a modem's command."""
    return text(0, _TEXT_LONGEST, _PRINTABLE.replace('"', ""))(value)


def _command(value):
    if not text(3, _TEXT_LONGEST, _PRINTABLE)(value).startswith("AT"):
        raise ValueError
    return value


def _serial(value):
    binascii.unhexlify(text(24, 24)(value))
    return value


class Line:
    """One line to the switch. kind: "tcp", "dial" or "gprs"; attributes: those of its rows in LINES."""

    def __init__(self, kind):
        self.kind = kind


def _line(value):
    line = Line(one_of(tuple(LINES))(value.get("kind")))
    rows = LINES[line.kind]
    for name in value:
        one_of(["kind"] + [row[0] for row in rows])(name)  # a misspelt limit would be no limit
    for name, convert, otherwise in rows:
        setattr(line, name, convert(value.get(name)) if name in value or otherwise is MUST else otherwise)
    return line


def _lines(value):
    lines = each(_line, _LINES_MOST)(value)
    if len(lines) == 2 and (lines[0].kind == "tcp") == (lines[1].kind == "tcp"):
        raise ValueError
    return lines


# Of the device at a door, beside its path.
DEVICE_OPTIONS = (
    ("optional", "true or false", _truth),
    ("prefix", "the letters that a scanner sets before each text", _of_type(str)),
    ("ends_by_line", "true or false: whether CR or LF ends a scanner's text", _truth),
)

# How an ECR17 register makes its check byte, see drivers.till.ECR17_CHECKS.
CHECKS = ("message", "message, end", "start, message, end", "start, message")

# Kinds of the modem at the door that carries a line of this kind.
MODEMS = {"dial": ("hayes",), "gprs": ("sim800", "m95")}

# What a line may say: name, converter, what it is otherwise; MUST be there.
MUST = object()
_ATTEMPTS = ("attempts", number(1, 5), 2)  # of one round, each at all numbers
LINES = {
    "tcp": (),
    "dial": (
        ("numbers", each(text(1, _NUMBER_LONGEST, _DIALLED), _NUMBERS_MOST), MUST),
        ("outside", text(0, 8, _DIALLED), ""),  # what gets an outside line
        ("pulse", _truth, False),
        ("commands", each(_command, _COMMANDS_MOST), ()),  # of the modem, for fast connect and the like
        ("invites", _truth, True),  # False: the host never says ENQ
        ("idle_s", number(5, 3600), 60),  # then the call is ended
        _ATTEMPTS,
    ),
    "gprs": (
        ("access_point", _unquoted, MUST),
        ("user", _unquoted, ""),
        ("password", _unquoted, ""),
        ("pin", text(4, 8, _DIGITS), ""),
        ("host", _text, ""),  # of the switch, as seen from that network; else as on the other lines
        ("port", number(1, 65535), 0),
        ("idle_s", number(5, 3600), 240),
        _ATTEMPTS,
    ),
}

# name, what is expected, converter
FIELDS = (
    ("terminal_id", "8 characters", text(8, 8, _PRINTABLE)),
    ("acceptor_id", "15 characters", text(15, 15, _PRINTABLE)),
    (
        "acceptor_name",
        'an object with "en" and "fa", up to 64 letters each',
        _parts(("en", _text), ("fa", _text)),
    ),
    ("host", "the address of the switch", _text),
    ("port", "a number from 1 to 65535", number(1, 65535)),
    ("tpdu", "10 hexadecimal digits or null", optional(_hex(5))),
    ("answer_timeout_ms", "milliseconds from 100 to 120000", number(100, 120000)),
    ("reversal_interval_ms", "milliseconds from 10 to 600000", number(10, 600000)),
    ("locale", '"en" or "fa"', _locale),
    ("receipt_locales", 'a list of "en", "fa"', each(_locale, len(LOCALES))),
    ("card_prefixes", "a list of digit strings", each(text(1, _PREFIX_LONGEST, _DIGITS), _PREFIXES_MOST)),
    ("transport_key", "32 hexadecimal digits", _hex(16)),
    ("key_block", "an X9.143 key block or null", optional(text(_BLOCK_SHORTEST, _BLOCK_LONGEST, _PRINTABLE))),
    ("key_serial", "24 hexadecimal digits or null", optional(_serial)),
    ("till_receipts", "true or false", optional(_truth)),
    (
        "supervisor",
        'an object with "salt" and "hash" in hexadecimal, or null',
        optional(_parts(("salt", _hex(16)), ("hash", _hex(32)))),
    ),
    (
        "tls",
        'an object with the paths "ca", "certificate" and "key", or null',
        optional(_parts(("ca", _path), ("certificate", _path), ("key", _path))),
    ),
    ("till_check", "one of " + ", ".join(CHECKS), one_of(CHECKS)),
    ("lines", 'a list of one or two lines, "tcp", "dial" or "gprs" with what they need', _lines),
)
OPTIONAL = KEY_NAMES + ("till_receipts", "supervisor", "tls", "lines", "till_check")
OTHERWISE = {"lines": [{"kind": "tcp"}], "till_check": CHECKS[0]}
