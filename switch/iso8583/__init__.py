"""ISO 8583 messages: dictionary (data) -> codec -> message, masked whenever shown. Pure; imports nobody.

dialect = load("vafa")                a shipped dialect; Dialect.load(path) for one of your own
message = dialect.decode(data)        or DecodeError: path, offset, expected, got, response_code, partial
data = dialect.encode(message)        or EncodeError: path, expected, got
dialect.check(message)                list of Problem(path, what, response_code), [] when complete
body, mac = dialect.split_mac(data)   what the MAC covers, and the MAC (None without)
body = dialect.encode_body(message)   what a MAC is to be made over; the message is body + MAC
"""

from switch.iso8583.dialect import Dialect, load
from switch.iso8583.dictionary import Dictionary, ResponseCode, Text
from switch.iso8583.errors import DecodeError, DialectError, EncodeError, Mistake
from switch.iso8583.masks import Mask, mask_card_number, mask_text
from switch.iso8583.message import Message, Scalar, Tags, Value
from switch.iso8583.presence import Problem

__all__ = [
    "DecodeError",
    "Dialect",
    "DialectError",
    "Dictionary",
    "EncodeError",
    "Mask",
    "Message",
    "Mistake",
    "Problem",
    "ResponseCode",
    "Scalar",
    "Tags",
    "Text",
    "Value",
    "load",
    "mask_card_number",
    "mask_text",
]
