"""The line to the switch: frames on a byte stream, and which answer belongs to which request.

A frame is a 2-byte big-endian length (not counting itself), an optional 5-byte TPDU and the message. No I/O,
no clock here. An answer counts only when its MAC is verified and it names the request; whoever waits for it
ignores all others.
"""

from terminal.message import DecodeError, pack, pack_tags, split_mac, unpack
from terminal.message_tables import TAG_ENCIPHERED_DATA, TAG_MOBILE, TAG_ONE_TIME_CODE

LONGEST_FRAME_BYTES = 1024  # an answer with the largest piece (DE 61) has about 960; more is not our switch
SHORTEST_MESSAGE_BYTES = 10  # MTI and primary bitmap
TPDU_BYTES = 5

# What of a request its answer repeats.
_ECHOED = (11, 12, 41)
_KEY_SET = b"\x01"  # DE 53 before the serial
_PERSONAL = (TAG_MOBILE, TAG_ONE_TIME_CODE)  # tags of DE 48 that a line without TLS carries enciphered


class FrameError(Exception):
    """The stream can't be followed any more: the connection has to be dropped."""


class Frames:
    """Cuts a byte stream into messages; one object per connection."""

    def __init__(self, tpdu):
        self._head_bytes = TPDU_BYTES if tpdu else 0
        self._buffer = bytearray()

    def feed(self, data):
        """Messages (bytes, without TPDU) that are complete now. Raises FrameError: an impossible length."""
        messages = []
        view = memoryview(data)
        at = 0
        while at < len(view):
            # Never more than one frame is kept, however much comes at once.
            wanted = self._wanted() - len(self._buffer)
            self._buffer.extend(view[at : at + wanted])
            at += wanted
            if len(self._buffer) == self._wanted() and len(self._buffer) > 2:
                messages.append(bytes(memoryview(self._buffer)[2 + self._head_bytes :]))
                self._buffer = bytearray()
        return messages

    def _wanted(self):
        """Length of what the buffer is to become: the length field first, then the whole frame."""
        if len(self._buffer) < 2:
            return 2
        length = self._buffer[0] << 8 | self._buffer[1]
        if not SHORTEST_MESSAGE_BYTES + self._head_bytes <= length <= LONGEST_FRAME_BYTES:
            raise FrameError("line: a frame of %d bytes" % length)
        return 2 + length


def framed(message, tpdu):
    """The bytes to send for a message; `tpdu` is 5 bytes or None."""
    head = tpdu or b""
    return (len(head) + len(message)).to_bytes(2, "big") + head + message


class Request:
    """A request ready to leave, once: its frame, and what its answer must say.

    fields: of the transaction; key serial, MAC and enciphering belong to the sending and are added here.
    transmission: a dukpt.Transmission nothing was sent under yet; is_private: the line hides by itself (TLS).
    """

    def __init__(self, mti, fields, transmission, tpdu, is_private=False):
        sent = dict(fields)
        sent[53] = _KEY_SET + transmission.serial
        try:
            if not is_private and 48 in sent:
                sent[48] = _without_personal(sent[48], transmission)
            self.frame = framed(pack(mti, sent, transmission.mac), tpdu)
        finally:
            transmission.close()
        self._transmission = transmission
        self._answer_mti = mti[:2] + chr(ord(mti[2]) + 1) + "0"
        self._echoes = [(number, fields[number]) for number in _ECHOED if number in fields]

    def answered_by(self, message):
        """The answer's fields when `message` (bytes) answers this request. Raises Ignored."""
        try:
            body, mac = split_mac(message)
            if not self._transmission.verify(body, mac):
                raise Ignored("its MAC is missing or wrong")
            mti, fields = unpack(message)
        except DecodeError:
            raise Ignored("it can't be read")
        if mti != self._answer_mti:
            raise Ignored("it answers another kind of request")
        for number, value in self._echoes:
            if fields.get(number) != value:
                raise Ignored("it answers another request")
        if 39 not in fields:
            raise Ignored("it has no response code")
        return fields


def _without_personal(tags, transmission):
    """The tags with the personal ones enciphered into one."""
    personal = {tag: tags[tag] for tag in tags if tag in _PERSONAL}
    if not personal:
        return tags
    open_tags = {tag: tags[tag] for tag in tags if tag not in _PERSONAL}
    open_tags[TAG_ENCIPHERED_DATA] = transmission.encipher(pack_tags(48, personal))
    return open_tags


class Ignored(Exception):
    """A message that changes nothing; the text says why, without quoting it."""
