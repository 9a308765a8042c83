"""The client's side of payShield host commands: request bodies, reply bodies, and whose reply it is.

Bytes in, values out: no socket, clock or task. A reply belongs to the request whose header it echoes, never
to the oldest one; a header is used once in a connection's life. Whatever doesn't fit ends the conversation.
"""

from __future__ import annotations

from binascii import hexlify, unhexlify
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from switch.hsm.port import Direction, DukptPin, EncipheredPin, Fault, KeyAlgorithm, MacAlgorithm, PinFormat

LENGTH_BYTES = 2
MOST_FRAME_BYTES = 0xFFFF  # what the length can say
CODE_BYTES = 2  # of a command, of a response, of an error
HEADER_ALPHABET = (
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # printable, no `%` or control
)
HEADER_BYTES = range(1, 256)

OK = "00"
VERIFICATION_FAILED = "01"

# What an error code means to the switch. Codes of commands that a box of ours is never sent are left out;
# a code that is not here is UNAVAILABLE: nobody can say what was done.
FAULTS: dict[str, Fault] = {
    "01": Fault.BAD_INPUT,  # where nothing is verified: a length or a mode
    "02": Fault.BAD_INPUT,
    "03": Fault.BAD_INPUT,
    "04": Fault.BAD_INPUT,
    "05": Fault.BAD_INPUT,
    "06": Fault.BAD_INPUT,
    "09": Fault.BAD_INPUT,
    "10": Fault.KEY_DAMAGED,  # parity of the source key
    "11": Fault.KEY_DAMAGED,  # parity of the destination key, or zeros
    "12": Fault.UNAVAILABLE,  # no keys loaded
    "13": Fault.UNKNOWN_KEY,  # no such master key
    "14": Fault.BAD_PIN_BLOCK,
    "15": Fault.BAD_INPUT,
    "17": Fault.NOT_AUTHORISED,
    "20": Fault.BAD_PIN_BLOCK,
    "22": Fault.BAD_INPUT,  # account number
    "23": Fault.BAD_INPUT,  # PIN block format code
    "24": Fault.BAD_PIN_BLOCK,  # PIN of less than 4 or more than 12 digits
    "25": Fault.BAD_INPUT,
    "26": Fault.BAD_INPUT,  # key scheme
    "27": Fault.KEY_USE,  # key length
    "28": Fault.BAD_INPUT,  # key type
    "29": Fault.KEY_USE,
    "30": Fault.UNSUPPORTED,
    "40": Fault.UNAVAILABLE,
    "41": Fault.UNAVAILABLE,
    "42": Fault.UNAVAILABLE,
    "47": Fault.UNSUPPORTED,
    "51": Fault.BAD_INPUT,
    "67": Fault.UNSUPPORTED,
    "68": Fault.UNSUPPORTED,
    "69": Fault.UNSUPPORTED,
    "75": Fault.KEY_DAMAGED,
    "80": Fault.BAD_INPUT,
    "82": Fault.BAD_INPUT,
    "83": Fault.KEY_DAMAGED,
    "84": Fault.KEY_DAMAGED,
    "90": Fault.UNAVAILABLE,
    "91": Fault.UNAVAILABLE,
    "92": Fault.UNAVAILABLE,
    "A1": Fault.UNKNOWN_KEY,
    "A2": Fault.UNKNOWN_KEY,
    "A3": Fault.UNKNOWN_KEY,
    "A4": Fault.KEY_DAMAGED,
    "A5": Fault.KEY_USE,
    "A6": Fault.KEY_USE,
    "A7": Fault.KEY_USE,
    "A8": Fault.KEY_USE,
    "A9": Fault.KEY_DAMAGED,
    "AA": Fault.KEY_USE,  # export is not allowed
    "AB": Fault.KEY_DAMAGED,
    "AC": Fault.KEY_DAMAGED,
    "AD": Fault.KEY_DAMAGED,
    "AE": Fault.KEY_DAMAGED,
    "AF": Fault.KEY_DAMAGED,
    "B0": Fault.BAD_INPUT,
    "B1": Fault.BAD_INPUT,
    "B2": Fault.KEY_DAMAGED,
    "B3": Fault.KEY_DAMAGED,
    "B4": Fault.KEY_DAMAGED,
    "B5": Fault.BAD_INPUT,
    "B6": Fault.KEY_DAMAGED,
    "BB": Fault.KEY_USE,  # what wraps must not be weaker than what is wrapped
    "BC": Fault.KEY_DAMAGED,
    "BD": Fault.KEY_USE,
    "BE": Fault.KEY_DAMAGED,
}
# After these the box itself is ill: its connection is closed, others may be fine.
ILL = frozenset(("12", "40", "41", "42", "90", "91", "92"))


class ProtocolAnomaly(Exception):
    """The peer broke the protocol: nothing it sends counts any more. Text: what, never bytes of it."""


class Reply(NamedTuple):
    """One reply. header: as sent. error: 2 characters. body: what follows, without an echo of the request."""

    header: bytes
    error: str
    body: bytes

    def __repr__(self) -> str:
        return f"Reply(error={self.error!r}, {len(self.body)} bytes)"


class Exhausted(Exception):
    """Every header was used: the connection has to be replaced."""


class Conversation:
    """One connection's requests under way. After a ProtocolAnomaly it says nothing more.

    A header identifies a request; it is never used again in this conversation, so that a late or doubled
    reply can't be taken for another one's. What can't be seen from here: a peer that answers one open request
    under another open one's header with the same command. Only TLS keeps such a peer out.
    """

    __slots__ = ("_buffer", "_dead", "_header_bytes", "_headers", "_open", "headers_left")

    def __init__(self, header_bytes: int) -> None:
        if header_bytes not in HEADER_BYTES:
            raise ValueError("a header has 1 to 255 bytes: it is what replies are told apart by")
        self._header_bytes = header_bytes
        self.headers_left: int = len(HEADER_ALPHABET) ** header_bytes
        self._headers = product(HEADER_ALPHABET, repeat=header_bytes)  # counts up, last character first
        self._open: dict[bytes, bytes] = {}  # header -> response code, and that all is well
        self._buffer = bytearray()
        self._dead = False

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def request(self, command: bytes, body: bytes) -> tuple[bytes, bytes]:
        """(header, frame to send). Raises Exhausted."""
        size = self._header_bytes + len(command) + len(body)
        if len(command) != CODE_BYTES or size > MOST_FRAME_BYTES:
            raise ValueError(f"a request of {size} bytes can't be framed")
        if self.headers_left <= 0:
            raise Exhausted
        self.headers_left -= 1
        header = bytes(next(self._headers))
        self._open[header] = _GOOD.get(command) or response_code(command) + _OK
        return header, b"".join((size.to_bytes(LENGTH_BYTES, "big"), header, command, body))

    def receive(self, data: bytes) -> Iterator[Reply]:
        """Replies that are whole now. Raises ProtocolAnomaly; replies yielded before are good."""
        if self._dead:
            raise ProtocolAnomaly("the conversation is over")
        if self._buffer:  # the beginning of a reply: rarely
            data = bytes(self._buffer + data)
            self._buffer.clear()
        opened, header_bytes = self._open, self._header_bytes
        at, held, shortest = 0, len(data), LENGTH_BYTES + header_bytes + 2 * CODE_BYTES
        while held - at >= LENGTH_BYTES:
            start = at + LENGTH_BYTES
            end = start + (data[at] << 8 | data[at + 1])
            if end - at < shortest:
                raise self._anomaly("a reply too short for header, code and error")
            if held < end:
                break
            at, code = end, start + header_bytes
            header, body = data[start:code], code + 2 * CODE_BYTES
            expected = opened.pop(header, None)
            if data[code:body] == expected:
                yield tuple.__new__(Reply, (header, OK, data[body:end]))  # at half the price of Reply(...)
            else:
                yield self._refusal(header, expected, data[code:body], data[body:end])
        if at < held:
            self._buffer += data[at:]

    def _refusal(self, header: bytes, expected: bytes | None, codes: bytes, body: bytes) -> Reply:
        """What is no plain answer. codes: of the response and the error."""
        if expected is None:
            raise self._anomaly("a reply to no open request")
        if codes[:CODE_BYTES] != expected[:CODE_BYTES]:
            raise self._anomaly("a reply to another command")
        told = codes[CODE_BYTES:]
        if not (told.isascii() and told.isalnum()):
            raise self._anomaly("an error code that is none")
        return Reply(header, told.decode("ascii"), body)

    def _anomaly(self, what: str) -> ProtocolAnomaly:
        self._dead = True
        self._buffer.clear()
        return ProtocolAnomaly(what)


def response_code(command: bytes) -> bytes:
    """The code a reply carries: the command's with its last character one further."""
    return command[:1] + bytes((command[1] + 1,))


_OK = OK.encode("ascii")
# How answers to the commands of every transaction begin when all is well, made once.
_GOOD = {command: response_code(command) + _OK for command in (b"XA", b"XK", b"CY", b"M6", b"M8")}


# ---------------------------------------------------------------- request bodies
# The master key's id (`%nn`) stands behind each of those with a key in it.


_ALGORITHMS = {
    KeyAlgorithm.AES_128: b"A1",
    KeyAlgorithm.AES_192: b"A2",
    KeyAlgorithm.AES_256: b"A3",
    KeyAlgorithm.TDES_2: b"T2",
    KeyAlgorithm.TDES_3: b"T3",
    KeyAlgorithm.HMAC_256: b"H5",
}
# Looked up once: every transaction asks for them.
_REQUEST_DIRECTION, _ISO_4 = Direction.REQUEST, PinFormat.ISO_4
_FORMAT_4 = PinFormat.ISO_4.value.encode("ascii")
_GENERATE, _VERIFY = b"4", b"1"
_ENCRYPT, _DECRYPT = b"0", b"1"
# Mode whole message, binary input, 16 hex digits out; algorithm and padding digit by kind.
_MAC_MODES = {MacAlgorithm.CMAC: b"00160", MacAlgorithm.RETAIL: b"00131"}
_KEY_BLOCK_TYPE = b"FFF"
_KEY_BLOCK_SCHEME = b"S"
_X9_143_SCHEME = b"R"


def with_master_key(body: bytes, master_key_id: str) -> bytes:
    return body + b"%" + _ascii(master_key_id)


def random(size: int) -> bytes:
    """N0."""
    return b"%03d" % size


def generate_key(use: str, algorithm: KeyAlgorithm, exportable: bool) -> bytes:
    """XY."""
    return use.encode("ascii") + _ALGORITHMS[algorithm] + (b"E" if exportable else b"N")


def import_key(under: str, block: str) -> bytes:
    """A6 with an X9.143 block."""
    return _KEY_BLOCK_TYPE + _ascii(under) + _X9_143_SCHEME + _ascii(block) + _KEY_BLOCK_SCHEME


def export_key(under: str, key: str) -> bytes:
    """A8 to an X9.143 block."""
    return _KEY_BLOCK_TYPE + _ascii(under) + _ascii(key) + _X9_143_SCHEME


def check_value(key: str) -> bytes:
    """BU, 6 digits."""
    return b"FFF" + _ascii(key) + b";" + _KEY_BLOCK_TYPE + b";001"


def derive_initial_key(base_key: str, initial_key_id: bytes, under: str) -> bytes:
    """XE."""
    return _ascii(base_key) + _hex(initial_key_id) + _ascii(under)


def mac(key: str, data: bytes, algorithm: MacAlgorithm, verified: bytes | None = None) -> bytes:
    """M6, or M8 with the MAC to verify."""
    behind = b"" if verified is None else _hex(verified)
    return _MAC_MODES[algorithm] + _KEY_BLOCK_TYPE + _ascii(key) + _counted(data) + behind


def hmac(key: str, data: bytes, verified: bytes | None = None) -> bytes:
    """XU."""
    mode = _GENERATE if verified is None else _VERIFY
    shown = b"" if verified is None else _hex(verified)
    return mode + _ascii(key) + shown + _counted(data)


def dukpt_mac(
    base_key: str, serial: bytes, data: bytes, direction: Direction, verified: bytes | None = None
) -> bytes:
    """XA."""
    way = b"1" if direction is _REQUEST_DIRECTION else b"2"
    mode, shown = (_GENERATE, serial) if verified is None else (_VERIFY, serial + verified)
    return b"%b%b%b%b%04X%b" % (
        mode,
        way,
        base_key.encode("ascii"),
        hexlify(shown).upper(),
        len(data),
        data,
    )


def dukpt_data(base_key: str, serial: bytes, data: bytes, direction: Direction, decrypt: bool) -> bytes:
    """XC."""
    mode = _DECRYPT if decrypt else _ENCRYPT
    way = b"1" if direction is _REQUEST_DIRECTION else b"2"
    return mode + way + _ascii(base_key) + _hex(serial) + _counted(data)


def pin_translate(pin: EncipheredPin, card: str, to: str, to_format: str) -> bytes:
    """XG."""
    formats = _ascii(pin.format.value) + _ascii(to_format)
    return _source(pin) + _ascii(to) + formats + _hex(pin.block) + _card(card)


def pin_verifier(
    pin: EncipheredPin, card: str, key: str, binding: bytes, verified: bytes | None = None
) -> bytes:
    """XI, or XK with the verifier."""
    bound = binding if verified is None else binding + verified
    return b"%b%02X%b" % (_pin_under(pin, card, key), len(binding), hexlify(bound).upper())


def pin_value(pin: EncipheredPin, card: str, key: str, index: int, value: str) -> bytes:
    """XW."""
    return _pin_under(pin, card, key) + b"%d" % index + _ascii(value)


def card_value(key: str, card: str, expiry: str, service: str, verified: str = "") -> bytes:
    """CW, or CY with the value to verify."""
    return _ascii(key) + _ascii(verified) + _ascii(card) + b";" + _ascii(expiry) + _ascii(service)


def card_tap(key: str, enciphered: bytes, seen: bytes, mirrored: bytes) -> bytes:
    """XM."""
    return _ascii(key) + _hex(enciphered) + _hex(seen) + _counted(mirrored)


def tap_open(key: str, enciphered: bytes, seen: bytes, file_data: bytes) -> bytes:
    """XS."""
    return _ascii(key) + _hex(enciphered) + _hex(seen) + _hex(file_data)


def chip_verify(key: str, identifier: bytes, counter: int, challenge: bytes, said: bytes) -> bytes:
    """X0."""
    return _ascii(key) + _hex(identifier) + b"%08X" % counter + _hex(challenge) + _hex(said)


def card_key(key: str, kind: str, identifier: bytes, under: str) -> bytes:
    """X2."""
    return _ascii(key) + _ascii(kind) + _hex(identifier) + _ascii(under)


def card_challenge(key: str, identifier: bytes, enciphered: bytes) -> bytes:
    """XO."""
    return _ascii(key) + _hex(identifier) + _hex(enciphered)


def card_confirm(key: str, identifier: bytes, state: bytes, enciphered: bytes) -> bytes:
    """XQ."""
    return _ascii(key) + _hex(identifier) + b"%02X" % len(state) + _hex(state) + _hex(enciphered)


def _source(pin: EncipheredPin) -> bytes:
    if isinstance(pin, DukptPin):
        return b"D%b%b" % (pin.base_key.reference.encode("ascii"), hexlify(pin.serial).upper())
    return b"Z" + _ascii(pin.key.reference)


def _pin_under(pin: EncipheredPin, card: str, key: str) -> bytes:
    return b"%b%b%b%b%02d%b" % (
        _source(pin),
        key.encode("ascii"),
        _FORMAT_4 if pin.format is _ISO_4 else _ascii(pin.format.value),
        hexlify(pin.block).upper(),
        len(card),
        card.encode("ascii"),
    )


def _card(card: str) -> bytes:
    return b"%02d" % len(card) + _ascii(card)


def _counted(data: bytes) -> bytes:
    return b"%04X" % len(data) + data


def _hex(data: bytes) -> bytes:
    return hexlify(data).upper()


def _ascii(text: str) -> bytes:
    return text.encode("ascii")


# ---------------------------------------------------------------- reply bodies


class BodyReader:
    """Takes a reply's body apart from its left. Raises ProtocolAnomaly for anything short, long or not as
    declared: then it is no reply to what was asked."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def raw(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise ProtocolAnomaly("a reply shorter than its command's")
        self._at += size
        return taken

    def text(self, size: int) -> str:
        taken = self.raw(size)
        if not taken.isascii():
            raise ProtocolAnomaly("a reply with other bytes than text")
        return taken.decode("ascii")

    def digits(self, size: int) -> str:
        taken = self.text(size)
        if not taken.isdigit():
            raise ProtocolAnomaly("a reply with other characters than digits")
        return taken

    def hexadecimal(self, size: int) -> bytes:
        """`size` bytes in twice as many hex digits."""
        try:
            return unhexlify(self.raw(2 * size))
        except ValueError:
            raise ProtocolAnomaly("a reply with other characters than hex digits") from None

    def number(self, hex_digits: int) -> int:
        return int.from_bytes(self.hexadecimal(hex_digits // 2))

    def check_digits(self) -> str:
        """6 hex digits."""
        return self.hexadecimal(3).hex().upper()

    def key(self, scheme: str) -> str:
        """A key block behind its scheme letter, with the letter; its length is in its own characters 2-5."""
        head = self.text(6)
        if head[0] != scheme or not head[2:].isdigit():
            raise ProtocolAnomaly("a reply without the key that was asked for")
        return head + self.text(max(int(head[2:]) - 5, 0))

    def nothing(self) -> None:
        """For replies that are a code alone."""

    def rest(self) -> bytes:
        taken = self._body[self._at :]
        self._at = len(self._body)
        return taken

    def end(self) -> None:
        if self._at != len(self._body):
            raise ProtocolAnomaly("a reply longer than its command's")
