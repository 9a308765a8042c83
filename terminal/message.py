"""Messages of the vafa dialect, packed and unpacked for the wire by the generated tables.

Runs on MicroPython and CPython unchanged. Every length is checked against its limit and against what is left
before anything is cut out, nothing recurses, and errors never carry content. The switch's kit decodes by the
same dictionary; both accept the same bytes and name the same path and offset when they don't. What was
expected there the kit says: a terminal has no use for it.
"""

from binascii import hexlify, unhexlify

from terminal.message_tables import FIELDS, MAC_BYTES, MAC_PRIMARY, MAC_SECONDARY, TAGS

FORMAT_ERROR = "30"  # DE 39

_DIGITS = "0123456789"
_TRACK = "0123456789="
_TRACK_NIBBLES = "0123456789d"
_BITMAP_AT = 2
_BITMAP_BYTES = 8
_RIGHT_PAD = 0x10
# Classes of fields, see message_tables.
_NUMERIC = 0x6E
_TRACK_2 = 0x7A
_PRINTABLE = 0x73
_BINARY = 0x62
_TAGGED = 0x74
_DIGIT_KINDS = (_NUMERIC, _TRACK_2)  # two in a byte
_UNKNOWN_TAG = (_BINARY, 0, 0, 255, 255)  # as long as one byte can say


class DecodeError(ValueError):
    """Bytes that are no valid message.

    path: "mti", "bitmap", a field ("35"), a tag ("48.01") or "message"; offset: of the first wrong byte;
    response_code: the DE 39 that fits.
    """

    response_code = FORMAT_ERROR

    def __init__(self, path, offset):
        super().__init__("%s at byte %d" % (path, offset))
        self.path = path
        self.offset = offset


class EncodeError(ValueError):
    """Fields that can't be packed: path as in `DecodeError`. It shows no content."""

    def __init__(self, number, tag=None):
        self.path = _path(number, tag)
        super().__init__(self.path + " can't be packed")


# ---------------------------------------------------------------- pack


def pack(mti, fields, mac=None):
    """The message as bytes, from the MTI on.

    fields: {field number: str | bytes | {tag: str | bytes}}: text for n, an, ans and z (track 2 with "="),
    bytes for b, for DE 48 a dict by tag byte (0x10 is tag "10"), known tags as digits, unknown ones as bytes.
    mac: callable(bytes) -> 8 bytes; the MAC's bit is set (64, or 128 when a field above 64 is present) and
    mac(everything before it) is appended. Fields and tags go out in ascending order. EncodeError otherwise.
    """
    if not isinstance(mti, str) or len(mti) != 4 or _first_stranger(mti, _DIGITS) >= 0:
        raise EncodeError("mti")
    numbers = sorted(fields)
    secondary = bool(numbers) and numbers[-1] > 64
    bitmap = bytearray(_BITMAP_BYTES * (2 if secondary else 1))
    if secondary:
        bitmap[0] = 0x80
    for number in numbers:
        if number not in FIELDS:
            raise EncodeError("message")
        if mac is not None and number in (MAC_PRIMARY, MAC_SECONDARY):
            raise EncodeError(number)
    mac_number = MAC_SECONDARY if secondary else MAC_PRIMARY
    for number in numbers if mac is None else numbers + [mac_number]:
        bitmap[(number - 1) >> 3] |= 0x80 >> ((number - 1) & 7)
    body = bytearray(unhexlify(mti))
    body.extend(bitmap)
    for number in numbers:
        _pack_field(body, number, fields[number])
    if mac is None:
        return bytes(body)
    body = bytes(body)
    code = mac(body)
    if len(code) != MAC_BYTES:
        raise EncodeError(mac_number)
    return body + code


def _pack_field(body, number, value):
    kind, prefix, shortest, longest, _ = FIELDS[number]
    if kind == _TAGGED:
        content = value = _tags_to_bytes(number, value)
        if not shortest <= len(content) <= longest:
            raise EncodeError(number)
    else:
        content = _to_bytes(number, None, FIELDS[number], value)
    for place in range(prefix - 1, -1, -1):
        two = len(value) // 100**place % 100
        body.append(two // 10 << 4 | two % 10)
    body.extend(content)


def _to_bytes(number, tag, row, value):
    """Content of a field, or of one of its tags; row: of FIELDS or TAGS."""
    kind, _, shortest, longest, pad = row
    if not isinstance(value, bytes if kind == _BINARY else str) or not shortest <= len(value) <= longest:
        raise EncodeError(number, tag)
    if kind == _BINARY:
        return value
    if kind in _DIGIT_KINDS:
        is_good = _first_stranger(value, _DIGITS if kind == _NUMERIC else _TRACK) < 0
    else:
        is_good = _first_bad_byte(value.encode(), kind) < 0
    if not is_good:
        raise EncodeError(number, tag)
    if kind not in _DIGIT_KINDS:
        return value.encode()
    value = value.replace("=", "d")
    if len(value) & 1:
        filler = "%x" % (pad & 15)
        value = value + filler if pad & _RIGHT_PAD else filler + value
    return unhexlify(value)


def pack_tags(number, tags):
    """The content of a tagged field alone, as bytes. Raises EncodeError."""
    return bytes(_tags_to_bytes(number, tags))


def _tags_to_bytes(number, tags):
    if not isinstance(tags, dict):
        raise EncodeError(number)
    known = TAGS[number]
    content = bytearray()
    for tag in sorted(tags):
        if not isinstance(tag, int) or not 0 <= tag <= 255:
            raise EncodeError(number)
        value = _to_bytes(number, tag, known.get(tag, _UNKNOWN_TAG), tags[tag])
        content.append(tag)
        content.append(len(value))
        content.extend(value)
    return content


# ---------------------------------------------------------------- unpack


def unpack(data):
    """(mti, fields) as `pack` takes them; DecodeError names the first fault in the order of bytes."""
    mti = _digits(data, 0, _BITMAP_AT, "mti")
    numbers, at = _unpack_bitmap(data)
    fields = {}
    for number in numbers:
        kind, prefix, shortest, longest, pad = FIELDS[number]
        path = str(number)
        length = longest
        if prefix:
            length = _length(data, at, path, prefix, shortest, longest)
            at += prefix
        size = _size(kind, length)
        if len(data) - at < size:
            raise DecodeError(path, at)
        if kind == _TAGGED:
            fields[number] = _tags_from_bytes(data, at, at + size, number)
        else:
            fields[number] = _from_bytes(data, at, path, kind, length, pad)
        at += size
    if at != len(data):
        raise DecodeError("message", at)
    return mti, fields


def split_mac(data):
    """(what the MAC covers, the MAC); (data, None) when the bitmap shows none or data is too short."""
    if len(data) < _BITMAP_AT + _BITMAP_BYTES:
        return data, None
    number = MAC_SECONDARY if data[_BITMAP_AT] & 0x80 else MAC_PRIMARY
    place = _BITMAP_AT + ((number - 1) >> 3)
    cut = len(data) - MAC_BYTES
    if cut <= place or not data[place] & (0x80 >> ((number - 1) & 7)):
        return data, None
    return data[:cut], data[cut:]


def _unpack_bitmap(data):
    """The numbers of the fields present, ascending, and the offset behind the bitmap."""
    size = _BITMAP_BYTES
    if len(data) > _BITMAP_AT and data[_BITMAP_AT] & 0x80:
        size *= 2
    if len(data) < _BITMAP_AT + size:
        raise DecodeError("bitmap", _BITMAP_AT)
    numbers = []
    for number in range(2, size * 8 + 1):
        at = _BITMAP_AT + ((number - 1) >> 3)
        if data[at] & (0x80 >> ((number - 1) & 7)):
            if number not in FIELDS:
                raise DecodeError(str(number), at)
            numbers.append(number)
    if size > _BITMAP_BYTES and (not numbers or numbers[-1] <= 64):
        raise DecodeError("bitmap", _BITMAP_AT + _BITMAP_BYTES)
    return numbers, _BITMAP_AT + size


def _length(data, at, path, prefix, shortest, longest):
    length = int(_digits(data, at, prefix, path))
    if not shortest <= length <= longest:
        raise DecodeError(path, at)
    return length


def _from_bytes(data, at, path, kind, length, pad):
    """The value of `length` units at `at`; the caller has checked that the bytes are there."""
    content = bytes(data[at : at + _size(kind, length)])
    if kind == _BINARY:
        return content
    if kind not in _DIGIT_KINDS:
        place = _first_bad_byte(content, kind)
        if place >= 0:
            raise DecodeError(path, at + place)
        return content.decode()
    text = hexlify(content).decode()
    good = _DIGITS if kind == _NUMERIC else _TRACK_NIBBLES
    filler_place = -1
    if length & 1:
        filler_place = length if pad & _RIGHT_PAD else 0
    for place in range(len(text)):
        if text[place] not in ("%x" % (pad & 15) if place == filler_place else good):
            raise DecodeError(path, at + (place >> 1))
    if length & 1:
        text = text[:-1] if pad & _RIGHT_PAD else text[1:]
    return text.replace("d", "=")


def _tags_from_bytes(data, at, end, number):
    known = TAGS[number]
    tags = {}
    while at < end:
        if end - at < 2:
            raise DecodeError(str(number), at)
        tag = data[at]
        size = data[at + 1]
        path = _path(number, tag)
        if tag in tags:
            raise DecodeError(path, at)
        start = at + 2
        kind, _, shortest, longest, pad = known.get(tag, _UNKNOWN_TAG)
        if not _size(kind, shortest) <= size <= min(_size(kind, longest), end - start):
            raise DecodeError(path, at + 1)
        length = longest
        if shortest != longest:
            length = _count_units(data, start, path, kind, size, shortest, longest, pad)
        tags[tag] = _from_bytes(data, start, path, kind, length, pad)
        at = start + size
    return tags


def _count_units(data, at, path, kind, size, shortest, longest, pad):
    """The length of a tag that has no fixed one: of digits the filler tells whether they are odd."""
    if kind not in _DIGIT_KINDS:
        return size
    length = 2 * size - (data[at + size - 1] & 15 == pad & 15)
    if not shortest <= length <= longest:
        stranger = _first_stranger(_hex(data, at, size)[:length], _DIGITS)  # what is no digit is told first
        raise DecodeError(path, at + (max(stranger, 0) >> 1))
    return length


# ---------------------------------------------------------------- small parts


def _digits(data, at, size, path):
    """So many bytes as digits."""
    text = _hex(data, at, size)
    if len(text) < 2 * size:
        raise DecodeError(path, at)
    place = _first_stranger(text, _DIGITS)
    if place >= 0:
        raise DecodeError(path, at + (place >> 1))
    return text


def _hex(data, at, size):
    return hexlify(data[at : at + size]).decode()


def _size(kind, length):
    """Bytes of `length` units."""
    return (length + 1) >> 1 if kind in _DIGIT_KINDS else length


def _path(number, tag):
    return str(number) if tag is None else "%d.%02X" % (number, tag)


def _first_stranger(text, good):
    """Place of the first character that is not in `good`, or -1."""
    for place in range(len(text)):
        if text[place] not in good:
            return place
    return -1


def _first_bad_byte(content, kind):
    """Place of the first byte that class `kind` doesn't allow, or -1."""
    for place in range(len(content)):
        byte = content[place]
        if kind == _PRINTABLE:
            if not 0x20 <= byte <= 0x7E:
                return place
        elif not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A):
            return place
    return -1
