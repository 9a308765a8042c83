"""The settings of one terminal: loaded from JSON, checked once, then trusted.

An error names the setting and what was expected, never a value: some values are keys.

A key block given here is taken out of the file once its key is sealed in the storage: whoever has it and the
transport key has every key of the terminal. What a replaced file leaves in the cells of a flash is the
board's to prevent: its flash must be closed to reading, or the keys come through the service port only.
"""

import binascii
import json

from terminal.doors import KINDS, WITHOUT_PATH
from terminal.text import is_digits

LOCALES = ("en", "fa")
BOARD_PATHS = ("settings", "storage")

BAUDS = (9600, 1200, 2400, 4800, 19200, 38400, 57600, 115200)

# Of the device at a door: name, what is expected, its type.
DEVICE_OPTIONS = (
    ("optional", "true or false", bool),
    ("prefix", "the letters that a scanner sets before each text", str),
    ("ends_by_line", "true or false: whether CR or LF ends a scanner's text", bool),
)

_TERMINAL_ID = 8  # DE 41
_ACCEPTOR_ID = 15  # DE 42
_KEY_BYTES = 16
_SERIAL_BYTES = 12
_BLOCK_SHORTEST, _BLOCK_LONGEST = 112, 512  # letters of a key block: the bare one; with optional blocks
KEY_NAMES = ("key_block", "key_serial")
TLS_PATHS = ("ca", "certificate", "key")
_PATH_LONGEST = 256
_TPDU_BYTES = 5
_SALT_BYTES, _HASH_BYTES = 16, 32
_TEXT_LONGEST = 64
_PREFIXES_MOST = 32
_PREFIX_LONGEST = 12  # digits of a 16-digit card number that a program may fix
_LINES_MOST = 2  # one over TCP, one over the modem
_NUMBERS_MOST = 4  # the second and further ones are for when the first is busy
_NUMBER_LONGEST = 32
_DIALLED = "0123456789*#,W"
_COMMANDS_MOST = 4


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
    for name in BOARD_PATHS:
        if not isinstance(file.get(name), str) or not file[name]:
            raise SettingsError(path + ": " + name + ": expected a path")
    devices = file.get("devices")
    if not isinstance(devices, dict):
        raise SettingsError(path + ": devices: expected an object")
    for name in devices:
        try:
            _check_device(name, devices[name])
        except SettingsError as error:
            raise SettingsError(path + ": devices: " + str(error))
    return file


def _check_device(name, device):
    kinds = [row[1] for row in KINDS if row[0] == name]
    if not kinds:
        raise SettingsError(name + ": expected one of " + ", ".join(sorted({row[0] for row in KINDS})))
    if not isinstance(device, dict):
        raise SettingsError(name + ": expected an object")
    if device.get("kind", kinds[0]) not in kinds:
        raise SettingsError(name + ": kind: expected one of " + ", ".join(kinds))
    device["kind"] = device.get("kind", kinds[0])
    path = device.get("path")
    if not (isinstance(path, str) and path) and not (path is None and name in WITHOUT_PATH):
        raise SettingsError(name + ": path: expected a path")
    if device.get("baud", BAUDS[0]) not in BAUDS:
        raise SettingsError(name + ": baud: expected one of " + ", ".join([str(baud) for baud in BAUDS]))
    for option, expected, kind in DEVICE_OPTIONS:
        if not isinstance(device.get(option, kind()), kind):
            raise SettingsError(name + ": " + option + ": expected " + expected)


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
        try:
            value = values[name] if values.get(name) is not None or name not in OTHERWISE else OTHERWISE[name]
            value = convert(value)
        except KeyError:
            if name not in OPTIONAL:
                raise SettingsError(name + ": missing; expected " + expected)
            value = None
        except (ValueError, TypeError, AttributeError):
            raise SettingsError(name + ": expected " + expected)
        setattr(settings, name, value)
    if (settings.key_block is None) != (settings.key_serial is None):
        raise SettingsError("key_block, key_serial: expected both or none")
    return settings


# ---------------------------------------------------------------- converters: the value, or ValueError


class Line:
    """One line to the switch. kind: "tcp", "dial" or "gprs"; attributes: those of its rows in LINES."""

    def __init__(self, kind):
        self.kind = kind


def _line(value):
    if not isinstance(value, dict) or value.get("kind") not in LINES:
        raise ValueError
    line = Line(value["kind"])
    rows = LINES[line.kind]
    for name in value:
        if name != "kind" and name not in [row[0] for row in rows]:
            raise ValueError  # a misspelt limit would be no limit
    for name, convert, otherwise in rows:
        if name not in value and otherwise is MUST:
            raise ValueError
        setattr(line, name, convert(value[name]) if name in value else otherwise)
    return line


def _lines(value):
    if not isinstance(value, list) or not 0 < len(value) <= _LINES_MOST:
        raise ValueError
    lines = tuple([_line(one) for one in value])
    if len(lines) == 2 and (lines[0].kind == "tcp") == (lines[1].kind == "tcp"):
        raise ValueError
    return lines


def _letters_of(allowed, longest, shortest=1):
    def convert(value):
        if not isinstance(value, str) or not shortest <= len(value) <= longest:
            raise ValueError
        for letter in value:
            if letter not in allowed:
                raise ValueError
        return value

    return convert


def _each(convert, most):
    def convert_all(value):
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise ValueError
        return tuple([convert(one) for one in value])

    return convert_all


def _check(value):
    if value not in CHECKS:
        raise ValueError
    return value


def _yes_or_no(value):
    if not isinstance(value, bool):
        raise ValueError
    return value


def _unquoted(value):
    """Printable, without the quote that would end a modem's command."""
    if '"' in _printable(0, _TEXT_LONGEST)(value):
        raise ValueError
    return value


def _command(value):
    if not _printable(3, _TEXT_LONGEST)(value).startswith("AT"):
        raise ValueError
    return value


def _identifier(length):
    def convert(value):
        if not isinstance(value, str) or len(value) != length:
            raise ValueError
        for letter in value:
            if not " " <= letter <= "~":
                raise ValueError
        return value

    return convert


def _number(least, most):
    def convert(value):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return convert


def _text_of(longest):
    def convert(value):
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise ValueError
        return value

    return convert


_text = _text_of(_TEXT_LONGEST)


def _both_languages(value):
    if not isinstance(value, dict):
        raise ValueError
    return tuple([_text(value.get(locale)) for locale in LOCALES])


def _locale(value):
    if value not in LOCALES:
        raise ValueError
    return value


def _locales(value):
    if not isinstance(value, list) or not 0 < len(value) <= len(LOCALES):
        raise ValueError
    return tuple([_locale(locale) for locale in value])


def _hex(length):
    def convert(value):
        if not isinstance(value, str) or len(value) != 2 * length:
            raise ValueError
        return binascii.unhexlify(value)

    return convert


def _printable(shortest, longest):
    def convert(value):
        if not isinstance(value, str) or not shortest <= len(value) <= longest:
            raise ValueError
        return _identifier(len(value))(value)

    return convert


def _serial(value):
    _hex(_SERIAL_BYTES)(value)
    return value


def _truth(value):
    if not isinstance(value, bool):
        raise ValueError
    return value


def _supervisor(value):
    """(salt, hash) of the supervisor's code, see flows.supervisor."""
    if not isinstance(value, dict):
        raise ValueError
    return _hex(_SALT_BYTES)(value.get("salt")), _hex(_HASH_BYTES)(value.get("hash"))


def _tls(value):
    if not isinstance(value, dict):
        raise ValueError
    return tuple([_text_of(_PATH_LONGEST)(value.get(name)) for name in TLS_PATHS])


def _optional(convert):
    return lambda value: None if value is None else convert(value)


def _tpdu(value):
    return None if value is None else _hex(_TPDU_BYTES)(value)


def _prefixes(value):
    if not isinstance(value, list) or not 0 < len(value) <= _PREFIXES_MOST:
        raise ValueError
    for prefix in value:
        if not isinstance(prefix, str) or not is_digits(prefix) or len(prefix) > _PREFIX_LONGEST:
            raise ValueError
    return tuple(value)


# How an ECR17 register makes its check byte, see drivers.till.ECR17_CHECKS.
CHECKS = ("message", "message, end", "start, message, end", "start, message")

# Kinds of the modem at the door that carries a line of this kind.
MODEMS = {"dial": ("hayes",), "gprs": ("sim800", "m95")}

# What a line may say: name, converter, what it is otherwise; MUST be there.
MUST = object()
_ATTEMPTS = ("attempts", _number(1, 5), 2)  # of one round, each at all numbers
LINES = {
    "tcp": (),
    "dial": (
        ("numbers", _each(_letters_of(_DIALLED, _NUMBER_LONGEST), _NUMBERS_MOST), MUST),
        ("outside", _letters_of(_DIALLED, 8, 0), ""),  # what gets an outside line
        ("pulse", _yes_or_no, False),
        ("commands", _each(_command, _COMMANDS_MOST), ()),  # of the modem, for fast connect and the like
        ("invites", _yes_or_no, True),  # False: the host never says ENQ
        ("idle_s", _number(5, 3600), 60),  # then the call is ended
        _ATTEMPTS,
    ),
    "gprs": (
        ("access_point", _unquoted, MUST),
        ("user", _unquoted, ""),
        ("password", _unquoted, ""),
        ("pin", _letters_of("0123456789", 8, 4), ""),
        ("host", _text, ""),  # of the switch, as seen from that network; else as on the other lines
        ("port", _number(1, 65535), 0),
        ("idle_s", _number(5, 3600), 240),
        _ATTEMPTS,
    ),
}

# name, what is expected, converter
FIELDS = (
    ("terminal_id", "8 characters", _identifier(_TERMINAL_ID)),
    ("acceptor_id", "15 characters", _identifier(_ACCEPTOR_ID)),
    ("acceptor_name", 'an object with "en" and "fa", up to 64 letters each', _both_languages),
    ("host", "the address of the switch", _text),
    ("port", "a number from 1 to 65535", _number(1, 65535)),
    ("tpdu", "10 hexadecimal digits or null", _tpdu),
    ("answer_timeout_ms", "milliseconds from 100 to 120000", _number(100, 120000)),
    ("reversal_interval_ms", "milliseconds from 10 to 600000", _number(10, 600000)),
    ("locale", '"en" or "fa"', _locale),
    ("receipt_locales", 'a list of "en", "fa"', _locales),
    ("card_prefixes", "a list of digit strings", _prefixes),
    ("transport_key", "32 hexadecimal digits", _hex(_KEY_BYTES)),
    ("key_block", "an X9.143 key block or null", _optional(_printable(_BLOCK_SHORTEST, _BLOCK_LONGEST))),
    ("key_serial", "24 hexadecimal digits or null", _optional(_serial)),
    ("till_receipts", "true or false", _optional(_truth)),
    ("supervisor", 'an object with "salt" and "hash" in hexadecimal, or null', _optional(_supervisor)),
    ("tls", 'an object with the paths "ca", "certificate" and "key", or null', _optional(_tls)),
    ("till_check", "one of " + ", ".join(CHECKS), _check),
    ("lines", 'a list of one or two lines, "tcp", "dial" or "gprs" with what they need', _lines),
)
OPTIONAL = KEY_NAMES + ("till_receipts", "supervisor", "tls", "lines", "till_check")
OTHERWISE = {"lines": [{"kind": "tcp"}], "till_check": CHECKS[0]}
