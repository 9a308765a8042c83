"""A dialect ready for work: whole messages <-> bytes, presence, the MAC's place.

Pure: no I/O but reading the dictionary once, no clock, no keys (a MAC is cut off or left out, never made).
For any bytes `decode` returns a message or raises `DecodeError`, nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path

from switch.iso8583 import dictionary_file
from switch.iso8583.codec import DIGITS, Decode, Encode, count_bytes, field_codec
from switch.iso8583.dictionary import Dictionary, ResponseCode, Text
from switch.iso8583.errors import DecodeError, DialectError, EncodeError, Mistake
from switch.iso8583.message import Message, Value
from switch.iso8583.presence import Presence, Problem

SHIPPED = Path(__file__).parent / "dialects"

MTI_BYTES = 2
BITMAP_BYTES = 8
# Prepared loops per bitmap. The bitmap comes from outside, so their number is bounded: honest terminals use a
# few dozen; when strangers fill the table it is emptied, and a message costs a few us more.
PLANS_MAXIMUM = 256

_DecodePlan = tuple[int, tuple[Decode, ...]]
_EncodePlan = tuple[bytes, tuple[tuple[str, Encode], ...]]


class Dialect:
    """Codec of one dictionary. Immutable for its users and safe to share.

    response_codes: DE 39 -> title (en, fa) and whether the refusal is transient.
    reasons, network_codes: code -> title (en, fa).
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self.name: str = dictionary.name
        self.version: int = dictionary.version
        self.response_codes: Mapping[str, ResponseCode] = dictionary.response_codes
        self.reasons: Mapping[str, Text] = dictionary.reasons
        self.network_codes: Mapping[str, Text] = dictionary.network_codes
        self._codecs = {number: field_codec(field) for number, field in dictionary.fields.items()}
        self._presence = Presence(dictionary)
        self._decode_plans: dict[bytes, _DecodePlan] = {}
        self._encode_plans: dict[tuple[str, ...], _EncodePlan] = {}
        self._body_plans: dict[tuple[str, ...], _EncodePlan] = {}

    @classmethod
    def load(cls, path: Path | str) -> Dialect:
        """The dialect of a TOML dictionary; `DialectError` names every mistake with line and remedy."""
        return cls(dictionary_file.read(Path(path)))

    # ------------------------------------------------------------ decode

    def decode(self, data: bytes) -> Message:
        """The message in `data` (from the MTI, without length and TPDU), wholly checked.

        `DecodeError` names the first fault in the order of bytes: MTI, bitmap, fields, then bytes left over.
        Presence is `check`'s business. `encode(decode(data)) == data` for all that decodes.
        """
        hexed = data.hex()
        mti = hexed[:4]
        fields: dict[str, Value] = {}
        if len(mti) < 4 or not mti.isdigit():
            raise _mti_fault(mti)
        try:
            plan = self._decode_plans.get(data[2:18] if len(data) > 2 and data[2] & 0x80 else data[2:10])
            at, decoders = plan or self._plan_decode(data)
            characters = data.decode("latin-1")
            for decode in decoders:
                at = decode(data, hexed, characters, at, fields)
            if at != len(data):
                raise DecodeError("message", at, "the end", f"{count_bytes(len(data) - at)} more")
        except DecodeError as error:
            error.partial = Message(mti, fields, self.dictionary)
            raise
        return Message(mti, fields, self.dictionary)

    def _plan_decode(self, data: bytes) -> _DecodePlan:
        """The decoders of a bitmap seen for the first time; raises when the bitmap is no good."""
        start = MTI_BYTES
        size = BITMAP_BYTES * 2 if len(data) > start and data[start] & 0x80 else BITMAP_BYTES
        bitmap = data[start : start + size]
        if len(bitmap) < size:
            raise DecodeError("bitmap", start, f"{size} bytes", f"{len(bitmap)}")
        decoders = []
        for number in _bits(bitmap):
            codec = self._codecs.get(number)
            if codec is None:
                at = start + (number - 1) // 8
                raise DecodeError(str(number), at, "a field of this dialect", f"bit {number} set")
            decoders.append(codec.decode)
        if size > BITMAP_BYTES and not any(bitmap[BITMAP_BYTES:]):
            at = start + BITMAP_BYTES
            raise DecodeError("bitmap", at, "a field above 64 in the secondary bitmap", "none")
        if len(self._decode_plans) >= PLANS_MAXIMUM:
            self._decode_plans.clear()
        plan = (start + size, tuple(decoders))
        self._decode_plans[bitmap] = plan
        return plan

    # ------------------------------------------------------------ encode

    def encode(self, message: Message) -> bytes:
        """The bytes of `message` with all its fields, the MAC too if it carries one; or `EncodeError`."""
        names = tuple(message.fields)
        plan = self._encode_plans.get(names)
        if plan is None:
            plan = self._plan_encode(names, names)
            _remember(self._encode_plans, names, plan)
        return _encode(message, plan)

    def encode_body(self, message: Message) -> bytes:
        """Everything a MAC covers: from the MTI up to the MAC, the MAC's bit already set in the bitmap.

        The whole message is this body and the MAC's bytes behind it. A MAC the message carries is left out:
        `encode_body(decode(data)) == split_mac(data)[0]` for a message whose MAC stands where it belongs.
        """
        names = tuple(message.fields)
        plan = self._body_plans.get(names)
        if plan is None:
            plan = self._plan_body(names)
            _remember(self._body_plans, names, plan)
        return _encode(message, plan)

    def _plan_body(self, names: tuple[str, ...]) -> _EncodePlan:
        mac = self.dictionary.mac
        if mac is None:
            raise EncodeError("message", "a dialect with a MAC", self.name)
        body = tuple(name for name in names if name not in (str(mac.primary), str(mac.secondary)))
        secondary = any(number > 64 for number in self._numbers(body))
        return self._plan_encode((*body, str(mac.secondary if secondary else mac.primary)), body)

    def _plan_encode(self, in_bitmap: tuple[str, ...], written: tuple[str, ...]) -> _EncodePlan:
        bits = 0
        for number in self._numbers(in_bitmap):
            bits |= 1 << (128 - number)
        if bits & (1 << 64) - 1:
            bitmap = (bits | 1 << 127).to_bytes(BITMAP_BYTES * 2, "big")
        else:
            bitmap = (bits >> 64).to_bytes(BITMAP_BYTES, "big")
        numbers = sorted(self._numbers(written))
        return bitmap, tuple((str(number), self._codecs[number].encode) for number in numbers)

    def _numbers(self, names: Collection[str]) -> list[int]:
        numbers = []
        for name in names:
            number = int(name) if _is_number(name) else 0
            if number not in self._codecs or str(number) != name:
                raise EncodeError("message", "fields of this dialect, by number", "another name")
            numbers.append(number)
        return numbers

    # ------------------------------------------------------------ MAC and presence

    def split_mac(self, data: bytes) -> tuple[bytes, bytes | None]:
        """(what the MAC covers, the MAC); (data, None) when the bitmap shows none or `data` is too short.

        Looks at the bitmap only: neither part is checked otherwise.
        """
        mac = self.dictionary.mac
        if mac is None or len(data) < MTI_BYTES + BITMAP_BYTES:
            return data, None
        number = mac.secondary if data[MTI_BYTES] & 0x80 else mac.primary
        place = MTI_BYTES + (number - 1) // 8
        cut = len(data) - mac.size
        if cut <= place or not data[place] & (0x80 >> (number - 1) % 8):
            return data, None
        return data[:cut], data[cut:]

    def check(self, message: Message, *, mac_required: bool = True) -> list[Problem]:
        """What MTI and DE 3 don't allow: missing, unnamed and excluding fields, a MAC missing or misplaced.

        Each problem has path, words, and the DE 39 to answer with; [] = complete. `mac_required=False` for a
        message whose MAC is still to come.
        """
        return self._presence.problems(message, mac_required)

    def name_of(self, message: Message) -> str | None:
        """What the dictionary calls the message ("earn", "reversal"); None when MTI and DE 3 name none."""
        return self._presence.name_of(message)


@functools.cache
def load(name: str) -> Dialect:
    """A dialect that is shipped with the kit, by name ("vafa"); read once."""
    file = SHIPPED / f"{name}.toml"
    shipped = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    if name not in shipped:
        mistake = Mistake(None, f"no dialect {name!r} is shipped", f"use {', '.join(shipped)}")
        raise DialectError(file, [mistake])
    return Dialect.load(file)


def _encode(message: Message, plan: _EncodePlan) -> bytes:
    mti = message.mti
    if not _is_number(mti) or len(mti) != 4:
        raise EncodeError("mti", "4 digits", "something else")
    bitmap, encoders = plan
    fields = message.fields
    return b"".join([bytes.fromhex(mti), bitmap, *[encode(fields[name]) for name, encode in encoders]])


def _is_number(text: object) -> bool:
    return isinstance(text, str) and text.isdigit() and text.isascii()


def _remember(plans: dict[tuple[str, ...], _EncodePlan], names: tuple[str, ...], plan: _EncodePlan) -> None:
    if len(plans) >= PLANS_MAXIMUM:
        plans.clear()
    plans[names] = plan


def _bits(bitmap: bytes) -> list[int]:
    """Numbers of the fields in a bitmap of 8 or 16 bytes; bit 1 only announces the second half."""
    bits = int.from_bytes(bitmap, "big")
    size = len(bitmap) * 8
    return [number for number in range(2, size + 1) if bits >> (size - number) & 1]


def _mti_fault(mti: str) -> DecodeError:
    if len(mti) < 4:
        return DecodeError("mti", 0, "2 bytes", f"{len(mti) // 2}")
    place = next(place for place, nibble in enumerate(mti) if nibble not in DIGITS)
    return DecodeError("mti", place // 2, "digits", f"nibble {mti[place].upper()}")
