"""A software bundle as the device sees it: a signed table of files, then the files. Nothing of it
is run from here.

Head: magic "VAFB", format 1, model (16 bytes of ASCII, zeros behind), version, oldest version that
it may replace, both 4 bytes; how many signatures are needed, how many files. Then for each file its
name (1 byte of length), length (4) and SHA-256, in the order of names; then the signatures, each with
the number of its key. Numbers are big-endian. Signed is all before the signatures.
`tools.firmware_bundle` makes it from one declaration; a test holds both against each other.

A table is longer than what a board should allocate at once: it is read where it is stored, by
`read(at, count)`, which gives fewer bytes only at its end.
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
READ_BYTES = 512
_BEHIND_NAME = 4 + 32
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
    """What a bundle is of. version, replaces: numbers that only rise; table_length: with its signatures;
    length: of the whole bundle."""

    def __init__(self, model, version, replaces, table_length, length):
        self.model = model
        self.version = version
        self.replaces = replaces
        self.table_length = table_length
        self.length = length


def table_length(read, available, most_signatures):
    """Bytes of the table, from as many of its first bytes as there are; None: more are needed. Raises
    BundleError: it can't be a table."""
    signed = _signed_length(read, available, most_signatures)
    if signed is None:
        return None
    return signed + read(HEAD_BYTES - 2, 1)[0] * (1 + SIGNATURE_BYTES)


def _signed_length(read, available, most_signatures):
    head = read(0, min(available, HEAD_BYTES))
    if head[:4] != MAGIC[: len(head)]:
        raise BundleError("not a bundle")
    if len(head) < HEAD_BYTES:
        return None
    if head[4] != FORMAT:
        raise BundleError("another format")
    needed, files = head[HEAD_BYTES - 2], head[HEAD_BYTES - 1]
    if not (0 < needed <= most_signatures and 0 < files <= MOST_FILES):
        raise BundleError("head")
    place = HEAD_BYTES
    for _ in range(files):
        if place >= available:
            return None
        length = read(place, 1)[0]
        if not 0 < length <= LONGEST_NAME:
            raise BundleError("name")
        place += 1 + length + _BEHIND_NAME
    return place


def read_table(read, available, model, newest, keys, needed):
    """The Table, when it is for this model, newer than `newest`, and signed by `needed` different
    keys of `keys` (64 bytes each). Raises BundleError."""
    length = table_length(read, available, len(keys))
    if length is None or length > available:
        raise BundleError("cut short")
    head = read(0, HEAD_BYTES)
    if head[HEAD_BYTES - 2] < needed:
        raise BundleError("too few signatures")
    signed_length = length - head[HEAD_BYTES - 2] * (1 + SIGNATURE_BYTES)
    _check_signatures(read, signed_length, length, keys)
    version, replaces = _number(head, 5 + MODEL_BYTES), _number(head, 9 + MODEL_BYTES)
    table = Table(_model(head), version, replaces, length, length)
    last = b""
    for part in parts(read, signed_length):
        name = part.name.encode()
        if name <= last:
            raise BundleError("names out of order")
        last = name
        table.length = length + part.at + part.length
    if table.model != model:
        raise BundleError("for another model")
    if table.version <= newest:
        raise BundleError("not newer")
    if newest < table.replaces:
        raise BundleError("a version between is needed")
    return table


def _check_signatures(read, place, end, keys):
    """All of them have to be good, and none of a key twice."""
    signed = hashlib.sha256()
    for at in range(0, place, READ_BYTES):
        signed.update(read(at, min(READ_BYTES, place - at)))
    digest = signed.digest()
    seen = 0
    while place < end:
        number = read(place, 1)[0]
        if number >= len(keys) or seen & 1 << number:
            raise BundleError("signature")
        seen |= 1 << number
        assert len(keys[number]) == KEY_BYTES, "keys are given as points"
        if not is_signed(keys[number], digest, bytes(read(place + 1, SIGNATURE_BYTES))):
            raise BundleError("signature")
        place += 1 + SIGNATURE_BYTES


def _model(head):
    model = bytes(head[5 : 5 + MODEL_BYTES])
    used = model.find(b"\x00")
    used = MODEL_BYTES if used < 0 else used
    if model[used:] != bytes(MODEL_BYTES - used):
        raise BundleError("model")
    return str(model[:used], "ascii")


def parts(read, signed_length=None):
    """The Parts of a table that is stored whole, one after the other. Raises BundleError."""
    place = HEAD_BYTES
    at = 0
    for _ in range(read(HEAD_BYTES - 1, 1)[0]):
        count = read(place, 1)[0]
        row = read(place + 1, count + _BEHIND_NAME)
        name = _name(bytes(row[:count]))
        size = _number(row, count)
        if size > LONGEST_FILE:
            raise BundleError("file too long")
        yield Part(name, at, size, bytes(row[count + 4 :]))
        at += size
        place += 1 + count + _BEHIND_NAME
    assert signed_length is None or place == signed_length


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


def is_right(part, read):
    """Whether a stored file is what the table says, by its SHA-256. read: as above, of the file."""
    digest = hashlib.sha256()
    at = 0
    while True:
        data = read(at, READ_BYTES)
        at += len(data)
        if not data:
            break
        digest.update(data)
    return at == part.length and digest.digest() == part.digest
