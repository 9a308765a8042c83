"""What is said to a card that takes APDUs, whatever reader it lies in. ISO/IEC 7816-4.

Each conversation is a generator: it yields a command, is sent the card's answer (with its two status bytes),
and returns what it wanted to know. Raises CardError. It knows no reader, no time and no keys.
"""

from terminal.drivers import Hidden

OK = 0x9000
_MORE, _OTHER_LENGTH = 0x61, 0x6C  # high byte of the status: so much more to get; ask again for so much
LONGEST_ANSWER = 256  # bytes of one answer
LONGEST_FILE = 512  # bytes read of a file: no file of ours is longer, and a lying card ends here
ROUNDS = 8  # of GET RESPONSE: a card that always has more is lying

TAG_APPLICATION = b"\xd2\x76\x00\x00\x85\x01\x01"  # NFC Forum Type 4 tag
_NDEF_FILE = b"\xe1\x04"
_CAPABILITY_FILE = b"\xe1\x03"
_LENGTH_BYTES = 2
_LINK_RECORD, _HEAD_MASK = 0x11, 0x17  # short record, type name format 1 (well known), of one type letter
# The parts of a tap's link: UID and counter, card number, both enciphered; MAC. With the letters of each.
_PARTS = (("e=", 32), ("c=", 32), ("m=", 16))

CHIP_APPLICATION = b"\xf0VAFA\x01"
_IDENTITY_FILE = b"\x00\x01"
_IDENTITY_VERSION = 1
_HEAD_BYTES = 9  # version, identifier (7), length of the packed digits
PROOF_BYTES = 12  # counter (4), cryptogram (8)


class CardError(Exception):
    """The card won't, can't, or says what can't be. what: in a word or two; status: of the card, or 0."""

    def __init__(self, what, status=0):
        super().__init__(what, status)
        self.what = what
        self.status = status


class Tap(Hidden):
    """Who an NTAG 424 DNA says it is (SUN, NXP AN12196): enciphered UID and counter, enciphered card number,
    and their MAC."""

    def __init__(self, picc, data, mac):
        self.picc = picc
        self.data = data
        self.mac = mac


def transmit(command):
    """One command: yields it, and what the card needs to say all; returns (data, status)."""
    data = b""
    answer = yield command
    for _ in range(ROUNDS):
        if len(answer) < 2 or len(answer) > LONGEST_ANSWER + 2:
            raise CardError("answer")
        high, low = answer[-2:]
        data += answer[:-2]
        if len(data) > LONGEST_FILE:
            raise CardError("length")
        if high == _MORE:
            answer = yield b"\x00\xc0\x00\x00" + bytes((low,))
        elif high == _OTHER_LENGTH and not data:
            sent = command[: 5 + command[4]] if len(command) > 5 else command[:4]
            answer = yield sent + bytes((low,))
        else:
            return data, high << 8 | low
    raise CardError("more")


def told(command):
    """As transmit(), for a command that must succeed; returns its data."""
    data, status = yield from transmit(command)
    if status != OK:
        raise CardError("status", status)
    return data


def select_application(name):
    return told(b"\x00\xa4\x04\x00" + bytes((len(name),)) + name + b"\x00")


def select_file(name):
    return told(b"\x00\xa4\x00\x0c\x02" + name)


def read_binary(start, count):
    return told(b"\x00\xb0" + bytes((start >> 8, start & 0xFF, count & 0xFF)))


def read_tap():
    """The conversation with an NTAG 424 DNA; returns a Tap. Reading counts: it is done once a tap."""
    yield from select_application(TAG_APPLICATION)
    yield from select_file(_CAPABILITY_FILE)
    capabilities = yield from read_binary(0, 15)
    longest = _longest_read(capabilities)
    yield from select_file(_NDEF_FILE)
    head = yield from read_binary(0, _LENGTH_BYTES)
    if len(head) != _LENGTH_BYTES:
        raise CardError("length")
    length = head[0] << 8 | head[1]
    if not 0 < length <= LONGEST_FILE:
        raise CardError("length")
    record = b""
    while len(record) < length:
        count = min(longest, length - len(record))
        piece = yield from read_binary(_LENGTH_BYTES + len(record), count)
        if len(piece) != count:
            raise CardError("length")
        record += piece
    return tap_of(link_of(record))


def _longest_read(capabilities):
    """Bytes of one READ BINARY, from the capability file (NFC Forum Type 4 tag, 5.1)."""
    if len(capabilities) != 15:
        raise CardError("capabilities")
    longest = capabilities[3] << 8 | capabilities[4]
    if longest < 15:
        raise CardError("capabilities")
    return min(longest, LONGEST_ANSWER - 1)


def link_of(record):
    """The link of an NDEF message of one short URI record, without what its first byte stands for."""
    if len(record) < 5 or record[0] & _HEAD_MASK != _LINK_RECORD or record[1] != 1 or record[3] != 0x55:
        raise CardError("record")
    letters = record[5 : 4 + record[2]]
    if len(record) != 4 + record[2]:
        raise CardError("record")
    for letter in letters:
        if not 0x20 < letter < 0x7F:
            raise CardError("record")
    return str(letters, "ascii")


def tap_of(link):
    """The Tap of a link `...?e=PICC&c=NUMBER&m=MAC`, with others between or in another order."""
    parts = link[link.find("?") + 1 :].split("&")
    return Tap(*[_part_of(parts, begin, letters) for begin, letters in _PARTS])


def _part_of(parts, begin, letters):
    for part in parts:
        if part.startswith(begin):
            return _bytes_of(part[len(begin) :], letters)
    raise CardError("link")


def _bytes_of(letters, count):
    if len(letters) != count:
        raise CardError("link")
    try:
        return bytes.fromhex(letters)
    except ValueError:
        raise CardError("link")


def read_chip():
    """The conversation with a chip card of the program; returns its card number."""
    yield from select_application(CHIP_APPLICATION)
    yield from select_file(_IDENTITY_FILE)
    head = yield from read_binary(0, _HEAD_BYTES)
    if len(head) != _HEAD_BYTES or head[0] != _IDENTITY_VERSION or not 0 < head[8] <= 20:
        raise CardError("identity")
    packed = yield from read_binary(_HEAD_BYTES, head[8])
    if len(packed) != head[8]:
        raise CardError("length")
    number = "".join(["%02X" % byte for byte in packed]).split("D")[0]
    for digit in number:
        if not "0" <= digit <= "9":
            raise CardError("identity")
    return number


def prove(challenge):
    """Have the chip card that was read prove a request: its counter and cryptogram, 12 bytes."""
    proof = yield from told(b"\x00\x88\x00\x00" + bytes((len(challenge),)) + challenge + b"\x00")
    if len(proof) != PROOF_BYTES:
        raise CardError("length")
    return proof
