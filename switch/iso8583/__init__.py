"""ISO 8583 messages: dictionary (data) -> codec -> message, masked whenever shown. Pure; imports nobody.

dialect = load("vafa")                a shipped dialect; Dialect.load(path) for one of your own
message = dialect.decode(data)        or DecodeError: path, offset, expected, got, response_code, partial
data = dialect.encode(message)        or EncodeError: path, expected, got
dialect.check(message)                list of Problem(path, what, response_code), [] when complete
body, mac = dialect.split_mac(data)   what the MAC covers, and the MAC (None without)
body = dialect.encode_body(message)   what a MAC is to be made over; the message is body + MAC
dialect.spans(data)                   which bytes carry what, up to the fault when there is one
dialect.peek(data, ["mti", "11"])     a few values without the rest
message["55.9F36"]                    values by path; message.describe(), to_json(reveal=False), from_json
shipped(), samples("vafa")            the dialects that come with the kit, and messages of each
samples_beside(file, name)            messages of a dialect of your own
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from switch.iso8583.codec import Span
    from switch.iso8583.dialect import Dialect, load, shipped
    from switch.iso8583.dictionary import Dictionary, Field, ResponseCode, Text
    from switch.iso8583.errors import DecodeError, DialectError, EncodeError, Mistake
    from switch.iso8583.masks import Mask, mask_card_number, mask_text
    from switch.iso8583.message import Message, Scalar, Tags, Value
    from switch.iso8583.presence import Problem
    from switch.iso8583.sample_files import Sample, samples, samples_beside, samples_file

__all__ = [
    "DecodeError",
    "Dialect",
    "DialectError",
    "Dictionary",
    "EncodeError",
    "Field",
    "Mask",
    "Message",
    "Mistake",
    "Problem",
    "ResponseCode",
    "Sample",
    "Scalar",
    "Span",
    "Tags",
    "Text",
    "Value",
    "load",
    "mask_card_number",
    "mask_text",
    "samples",
    "samples_beside",
    "samples_file",
    "shipped",
]

# Where they are. Imported when first asked for: a log needs the masks of here, and no codec.
_HOMES = {
    "codec": ("Span",),
    "dialect": ("Dialect", "load", "shipped"),
    "dictionary": ("Dictionary", "Field", "ResponseCode", "Text"),
    "errors": ("DecodeError", "DialectError", "EncodeError", "Mistake"),
    "masks": ("Mask", "mask_card_number", "mask_text"),
    "message": ("Message", "Scalar", "Tags", "Value"),
    "presence": ("Problem",),
    "sample_files": ("Sample", "samples", "samples_beside", "samples_file"),
}


def __getattr__(name: str) -> Any:
    """One of the above, from its module; kept, so that nobody asks twice."""
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = value = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(name)
