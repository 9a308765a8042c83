"""A software bundle as the device sees it: a signed table of files, then the files. Nothing of it
is run from here.

Head: magic "VAFB", format 1, model (16 bytes of ASCII, zeros behind), version, oldest version that
it may replace, both 4 bytes; how many signatures are needed, how many files. Then for each file its
name (1 byte of length), length (4) and SHA-256; then the signatures, each with the number of its
key. Numbers are big-endian. Signed is all before the signatures. `tools.firmware_bundle` makes it
from one declaration; a test holds both against each other.
"""

import hashlib

from terminal.signature import KEY_BYTES, SIGNATURE_BYTES, is_signed

MAGIC = b"VAFB"
FORMAT = 1
MODEL_BYTES = 16
HEAD_BYTES = 4 + 1 + MODEL_BYTES + 4 + 4 + 1 + 1
MOST_FILES = 128
LONGEST_NAME = 48
LONGEST_FILE = 1 << 20
LONGEST_TABLE = HEAD_BYTES + MOST_FILES * (1 + LONGEST_NAME + 4 + 32) + 8 * (1 + SIGNATURE_BYTES)
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789_./"


class BundleError(Exception):
    """This bundle isn't for this device, isn't whole, or isn't ours. what: in a few words."""

    def __init__(self, what):
        super().__init__(what)
        self.what = what


class Part:
    """One file. at: where it begins behind the table; length; digest: its SHA-256."""

    def __init__(self, name, at, length, digest):
        self.name = name
        self.at = at
        self.length = length
        self.digest = digest


class Table:
    """What a bundle is of. version, replaces: numbers that only rise; length: of the whole bundle."""

    def __init__(self, model, version, replaces, parts, table_length):
        self.model = model
        self.version = version
        self.replaces = replaces
        self.parts = parts
        self.table_length = table_length
        last = parts[-1]
        self.length = table_length + last.at + last.length


def table_length(start, most_signatures):
    """Bytes of the table, from as many of its first bytes as there are; None: more are needed. Raises
    BundleError: it can't be a table."""
    if start[:4] != MAGIC[: len(start)]:
        raise BundleError("not a bundle")
    if len(start) < HEAD_BYTES:
        return None
    if start[4] != FORMAT:
        raise BundleError("another format")
    needed, files = start[HEAD_BYTES - 2], start[HEAD_BYTES - 1]
    if not (0 < needed <= most_signatures and 0 < files <= MOST_FILES):
        raise BundleError("head")
    place = HEAD_BYTES
    for _ in range(files):
        if place >= len(start):
            return None
        if not 0 < start[place] <= LONGEST_NAME:
            raise BundleError("name")
        place += 1 + start[place] + 4 + 32
    return place + needed * (1 + SIGNATURE_BYTES)


def read_table(data, model, newest, keys, needed):
    """The Table, when it is for this model, newer than `newest`, and signed by `needed` different
    keys of `keys` (64 bytes each). Raises BundleError."""
    length = table_length(data, len(keys))
    if length is None or length > len(data):
        raise BundleError("cut short")
    if data[HEAD_BYTES - 2] < needed:
        raise BundleError("too few signatures")
    signed_length = length - data[HEAD_BYTES - 2] * (1 + SIGNATURE_BYTES)
    _check_signatures(data[signed_length:length], hashlib.sha256(data[:signed_length]).digest(), keys)
    table = _table(data, signed_length, length)
    if table.model != model:
        raise BundleError("for another model")
    if table.version <= newest:
        raise BundleError("not newer")
    if newest < table.replaces:
        raise BundleError("a version between is needed")
    return table


def _check_signatures(data, digest, keys):
    """All of them have to be good, and none of a key twice."""
    seen = 0
    for place in range(0, len(data), 1 + SIGNATURE_BYTES):
        number = data[place]
        if number >= len(keys) or seen & 1 << number:
            raise BundleError("signature")
        seen |= 1 << number
        assert len(keys[number]) == KEY_BYTES, "keys are given as points"
        if not is_signed(keys[number], digest, bytes(data[place + 1 : place + 1 + SIGNATURE_BYTES])):
            raise BundleError("signature")


def _table(data, end, length):
    model = bytes(data[5 : 5 + MODEL_BYTES])
    used = model.find(b"\x00")
    used = MODEL_BYTES if used < 0 else used
    if model[used:] != bytes(MODEL_BYTES - used):
        raise BundleError("model")
    place = 5 + MODEL_BYTES
    version, replaces = _number(data, place), _number(data, place + 4)
    parts = []
    names = set()
    at = 0
    place = HEAD_BYTES
    while place < end:
        count = data[place]
        name = _name(bytes(data[place + 1 : place + 1 + count]))
        if name in names:
            raise BundleError("a name twice")
        names.add(name)
        place += 1 + count
        size = _number(data, place)
        if size > LONGEST_FILE:
            raise BundleError("file too long")
        parts.append(Part(name, at, size, bytes(data[place + 4 : place + 36])))
        at += size
        place += 36
    return Table(str(model[:used], "ascii"), version, replaces, parts, length)


def _name(raw):
    """A path inside the slot: no way out of it."""
    for byte in raw:
        if byte not in _LETTERS:
            raise BundleError("name")
    name = str(raw, "ascii")
    for step in name.split("/"):
        if step in ("", ".", ".."):
            raise BundleError("name")
    return name


def _number(data, place):
    return int.from_bytes(bytes(data[place : place + 4]), "big")


class PartCheck:
    """Takes a file's bytes as they come; is_right() when all are there."""

    def __init__(self, part):
        self._left = part.length
        self._digest = part.digest
        self._hash = hashlib.sha256()

    def take(self, data):
        """The next bytes. Raises BundleError: more than the table says."""
        self._left -= len(data)
        if self._left < 0:
            raise BundleError("file too long")
        self._hash.update(data)

    def is_right(self):
        """Ends it."""
        return self._left == 0 and self._hash.digest() == self._digest
