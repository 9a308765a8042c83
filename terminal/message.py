"""Messages of the vafa dialect, packed and unpacked for the wire by the generated tables.

Runs on MicroPython and CPython unchanged. Every length is checked against its limit and against what is left
before anything is cut out, nothing recurses, and errors never carry content. The switch's kit decodes by the
same dictionary; both accept the same bytes and name the same path and offset when they don't.
"""

from binascii import hexlify, unhexlify

from terminal.message_tables import FIELDS, MAC_BYTES, MAC_PRIMARY, MAC_SECONDARY, TAGS

FORMAT_ERROR = "30"  # DE 39

_DIGITS = "0123456789"
_TRACK = "0123456789="
_TRACK_NIBBLES = "0123456789d"
_HEX = "0123456789ABCDEF"
_UNITS = {"n": "digits", "z": "digits", "an": "characters", "ans": "characters", "b": "bytes", "tlv": "bytes"}
_WORDS = {"an": "letters and digits", "ans": "printable ASCII"}
_BITMAP_AT = 2
_BITMAP_BYTES = 8
_RIGHT_PAD = 0x10
_LONGEST_TAG_VALUE = 255  # one length byte


class DecodeError(ValueError):
    """Bytes that are no valid message.

    path: "mti", "bitmap", a field ("35"), a tag ("48.01") or "message"; offset: of the first wrong byte;
    expected, got: words, free of content; response_code: the DE 39 that fits.
    """

    def __init__(self, path, offset, expected, got):
        super().__init__("%s at byte %d: expected %s, got %s" % (path, offset, expected, got))
        self.path = path
        self.offset = offset
        self.expected = expected
        self.got = got
        self.response_code = FORMAT_ERROR


class EncodeError(ValueError):
    """Fields that can't be packed: path as in `DecodeError`, expected and got free of content."""

    def __init__(self, path, expected, got):
        super().__init__("%s: expected %s, got %s" % (path, expected, got))
        self.path = path
        self.expected = expected
        self.got = got


# ---------------------------------------------------------------- pack


def pack(mti, fields, mac=None):
    """The message as bytes, from the MTI on.

    fields: {field number: str | bytes | {tag: str | bytes}}: text for n, an, ans and z (track 2 with "="),
    bytes for b, for DE 48 a dict by tag byte (0x10 is tag "10"), known tags as digits, unknown ones as bytes.
    mac: callable(bytes) -> 8 bytes; the MAC's bit is set (64, or 128 when a field above 64 is present) and
    mac(everything before it) is appended. Fields and tags go out in ascending order. EncodeError otherwise.
    """
    if not isinstance(mti, str) or len(mti) != 4 or _first_stranger(mti, _DIGITS) >= 0:
        raise EncodeError("mti", "4 digits", "something else")
    numbers = sorted(fields)
    secondary = bool(numbers) and numbers[-1] > 64
    bitmap = bytearray(_BITMAP_BYTES * (2 if secondary else 1))
    if secondary:
        bitmap[0] = 0x80
    for number in numbers:
        if number not in FIELDS:
            raise EncodeError("message", "fields of this dialect, by number", "another name")
        if mac is not None and number in (MAC_PRIMARY, MAC_SECONDARY):
            raise EncodeError(str(number), "no MAC beside the one to be made", "one")
        bitmap[(number - 1) >> 3] |= 0x80 >> ((number - 1) & 7)
    mac_number = MAC_SECONDARY if secondary else MAC_PRIMARY
    if mac is not None:
        bitmap[(mac_number - 1) >> 3] |= 0x80 >> ((mac_number - 1) & 7)
    body = bytearray(unhexlify(mti))
    body.extend(bitmap)
    for number in numbers:
        _pack_field(body, number, fields[number])
    if mac is None:
        return bytes(body)
    body = bytes(body)
    code = mac(body)
    if len(code) != MAC_BYTES:
        raise EncodeError(str(mac_number), "%d bytes" % MAC_BYTES, "%d" % len(code))
    return body + code


def _pack_field(body, number, value):
    kind, prefix, shortest, longest, pad = FIELDS[number]
    if kind == "tlv":
        content = _tags_to_bytes(number, value)
        length = len(content)
        if not shortest <= length <= longest:
            raise EncodeError(str(number), _range(kind, shortest, longest), "%d" % length)
    else:
        content = _to_bytes(number, None, kind, shortest, longest, pad, value)
        length = len(value)
    for place in range(prefix - 1, -1, -1):
        two = length // 100**place % 100
        body.append(two // 10 << 4 | two % 10)
    body.extend(content)


def _to_bytes(number, tag, kind, shortest, longest, pad, value):
    """Content of a field, or of one of its tags."""
    if kind == "b":
        if not isinstance(value, bytes):
            raise EncodeError(_path(number, tag), "bytes", type(value).__name__)
        if not shortest <= len(value) <= longest:
            raise EncodeError(_path(number, tag), _range(kind, shortest, longest), "%d" % len(value))
        return value
    words = "digits" if kind == "n" else "digits and =" if kind == "z" else _WORDS[kind]
    if not isinstance(value, str):
        raise EncodeError(_path(number, tag), "a text of " + words, type(value).__name__)
    if not shortest <= len(value) <= longest:
        raise EncodeError(_path(number, tag), _range(kind, shortest, longest), "%d" % len(value))
    if kind == "an" or kind == "ans":
        content = value.encode()
        place = _first_bad_byte(content, kind)
        if place >= 0:
            raise EncodeError(_path(number, tag), words, "another character")
        return content
    if _first_stranger(value, _DIGITS if kind == "n" else _TRACK) >= 0:
        raise EncodeError(_path(number, tag), words, "another character")
    if kind == "z":
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
        raise EncodeError(str(number), "a mapping of tags", type(tags).__name__)
    known = TAGS[number]
    content = bytearray()
    for tag in sorted(tags):
        if not isinstance(tag, int) or not 0 <= tag <= 255:
            raise EncodeError(str(number), "tags from 0 to 255", "another name")
        value = tags[tag]
        if tag in known:
            kind, _prefix, shortest, longest, pad = known[tag]
            value = _to_bytes(number, tag, kind, shortest, longest, pad, value)
        elif not isinstance(value, bytes):
            raise EncodeError(_path(number, tag), "bytes (the tag is unknown)", type(value).__name__)
        elif len(value) > _LONGEST_TAG_VALUE:
            raise EncodeError(_path(number, tag), "at most %d bytes" % _LONGEST_TAG_VALUE, "%d" % len(value))
        content.append(tag)
        content.append(len(value))
        content.extend(value)
    return content


# ---------------------------------------------------------------- unpack


def unpack(data):
    """(mti, fields) as `pack` takes them; DecodeError names the first fault in the order of bytes."""
    mti = _unpack_mti(data)
    numbers, at = _unpack_bitmap(data)
    fields = {}
    for number in numbers:
        kind, prefix, shortest, longest, pad = FIELDS[number]
        path = str(number)
        length = longest
        if prefix:
            length = _length(data, at, path, kind, prefix, shortest, longest)
            at += prefix
        size = _size(kind, length)
        if len(data) - at < size:
            raise _truncated(path, at, size, len(data) - at)
        if kind == "tlv":
            fields[number] = _tags_from_bytes(data, at, at + size, number)
        else:
            fields[number] = _from_bytes(data, at, path, kind, length, pad)
        at += size
    if at != len(data):
        raise DecodeError("message", at, "the end", _count_bytes(len(data) - at) + " more")
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


def _unpack_mti(data):
    if len(data) < _BITMAP_AT:
        raise DecodeError("mti", 0, "2 bytes", "%d" % len(data))
    mti = _hex(data, 0, _BITMAP_AT)
    place = _first_stranger(mti, _DIGITS)
    if place >= 0:
        raise DecodeError("mti", place >> 1, "digits", _nibble(mti[place]))
    return mti


def _unpack_bitmap(data):
    """The numbers of the fields present, ascending, and the offset behind the bitmap."""
    size = _BITMAP_BYTES
    if len(data) > _BITMAP_AT and data[_BITMAP_AT] & 0x80:
        size *= 2
    left = len(data) - _BITMAP_AT
    if left < size:
        raise DecodeError("bitmap", _BITMAP_AT, "%d bytes" % size, "%d" % left)
    numbers = []
    for number in range(2, size * 8 + 1):
        at = _BITMAP_AT + ((number - 1) >> 3)
        if data[at] & (0x80 >> ((number - 1) & 7)):
            if number not in FIELDS:
                raise DecodeError(str(number), at, "a field of this dialect", "bit %d set" % number)
            numbers.append(number)
    if size > _BITMAP_BYTES and (not numbers or numbers[-1] <= 64):
        at = _BITMAP_AT + _BITMAP_BYTES
        raise DecodeError("bitmap", at, "a field above 64 in the secondary bitmap", "none")
    return numbers, _BITMAP_AT + size


def _length(data, at, path, kind, prefix, shortest, longest):
    if len(data) - at < prefix:
        raise _truncated(path, at, prefix, len(data) - at)
    text = _hex(data, at, at + prefix)
    place = _first_stranger(text, _DIGITS)
    if place >= 0:
        raise DecodeError(path, at + (place >> 1), "a length in BCD", _nibble(text[place]))
    length = int(text)
    if not shortest <= length <= longest:
        raise DecodeError(path, at, "a length of " + _range(kind, shortest, longest), "%d" % length)
    return length


def _from_bytes(data, at, path, kind, length, pad):
    """The value of `length` units at `at`; the caller has checked that the bytes are there."""
    if kind == "b":
        return bytes(data[at : at + length])
    if kind == "an" or kind == "ans":
        content = bytes(data[at : at + length])
        place = _first_bad_byte(content, kind)
        if place >= 0:
            raise DecodeError(path, at + place, _WORDS[kind], "byte 0x%02X" % content[place])
        return content.decode()
    text = _hex(data, at, at + _size(kind, length))
    good = _DIGITS if kind == "n" else _TRACK_NIBBLES
    filler_place = -1
    if length & 1:
        filler_place = length if pad & _RIGHT_PAD else 0
    for place in range(len(text)):
        nibble = text[place]
        if place == filler_place:
            if nibble != "%x" % (pad & 15):
                raise DecodeError(path, at + (place >> 1), "pad nibble %X" % (pad & 15), _nibble(nibble))
        elif nibble not in good:
            words = "digits" if kind == "n" else "digits and separators"
            raise DecodeError(path, at + (place >> 1), words, _nibble(nibble))
    if length & 1:
        text = text[:-1] if pad & _RIGHT_PAD else text[1:]
    return text if kind == "n" else text.replace("d", "=")


def _tags_from_bytes(data, at, end, number):
    known = TAGS[number]
    tags = {}
    while at < end:
        if end - at < 2:
            raise DecodeError(str(number), at, "a tag and a length byte", "1 byte")
        tag = data[at]
        size = data[at + 1]
        path = _path(number, tag)
        if tag in tags:
            raise DecodeError(path, at, "each tag once", "a second one")
        start = at + 2
        if size > end - start:
            raise DecodeError(path, at + 1, "at most " + _count_bytes(end - start), "a length of %d" % size)
        if tag in known:
            kind, _prefix, shortest, longest, pad = known[tag]
            least, most = _size(kind, shortest), _size(kind, longest)
            if not least <= size <= most:
                words = _count_bytes(most) if least == most else "%d to %s" % (least, _count_bytes(most))
                raise DecodeError(path, at + 1, "a length of " + words, "%d" % size)
            length = longest
            if shortest != longest:
                length = _count_units(data, start, path, kind, size, shortest, longest, pad)
            tags[tag] = _from_bytes(data, start, path, kind, length, pad)
        else:
            tags[tag] = bytes(data[start : start + size])
        at = start + size
    return tags


def _count_units(data, at, path, kind, size, shortest, longest, pad):
    """The length of a tag that has no fixed one: of digits the filler tells whether they are odd."""
    if kind != "n" and kind != "z":
        return size
    filled = data[at + size - 1] & 15 == pad & 15
    length = 2 * size - 1 if filled else 2 * size
    if not shortest <= length <= longest:
        for place in range(length):  # what is no digit is told first
            nibble = data[at + (place >> 1)] >> (0 if place & 1 else 4) & 15
            if nibble > 9:
                raise DecodeError(path, at + (place >> 1), "digits", _nibble("%x" % nibble))
        raise DecodeError(path, at, _range(kind, shortest, longest), "%d digits" % length)
    return length


# ---------------------------------------------------------------- small parts


def _hex(data, start, stop):
    return hexlify(data[start:stop]).decode()


def _size(kind, length):
    """Bytes of `length` units."""
    return (length + 1) >> 1 if kind == "n" or kind == "z" else length


def _path(number, tag):
    if tag is None:
        return str(number)
    return "%d.%s%s" % (number, _HEX[tag >> 4], _HEX[tag & 15])


def _range(kind, shortest, longest):
    if shortest == longest:
        return "%d %s" % (longest, _UNITS[kind])
    return "%d to %d %s" % (shortest, longest, _UNITS[kind])


def _count_bytes(count):
    return "%d byte" % count if count == 1 else "%d bytes" % count


def _truncated(path, at, wanted, got):
    return DecodeError(path, at, _count_bytes(wanted), "%d" % got)


def _nibble(nibble):
    # a digit may belong to a card number (a pad in the wrong place): not shown
    return "a digit" if nibble in _DIGITS else "nibble " + nibble.upper()


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
        if kind == "ans":
            if not 0x20 <= byte <= 0x7E:
                return place
        elif not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A):
            return place
    return -1
