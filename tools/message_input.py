"""Messages from files and standard input: hex, base64 or bytes, one or many, framed or not.

Only bytes come out of here; what they mean is the dialect's business. Errors name file and line, and never
show what stood there: it may be a card number.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, mask_text
from switch.link.framing import Frame, Framing, FramingError, FramingNameError, framing_named
from tools.cli import CommandError, ExitCode

STANDARD_INPUT = "-"
UNFRAMED = "none"
# A day's capture of a busy link; a file beyond it is one that was named by mistake.
LARGEST_INPUT_BYTES = 256 * 1024 * 1024
LONGEST_FRAME_BYTES = 0xFFFF
_NOT_HEX = re.compile(rb"[^0-9A-Fa-f]")
_HEX_LINE = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[ \t:,-]*[0-9A-Fa-f]{2})*")
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class InputFormat(StrEnum):
    """How messages are written in a file."""

    AUTO = "auto"
    HEX = "hex"
    BASE64 = "base64"
    BINARY = "binary"
    JSON = "json"


class Given(NamedTuple):
    """One message as it came. where: "file.hex:3" (line) or "file.bin#2" (frame)."""

    where: str
    data: bytes
    tpdu: bytes | None = None


def framing_of(name: str) -> Framing | None:
    """The framing of a name, None for "none"; wrong usage otherwise."""
    if name == UNFRAMED:
        return None
    try:
        return framing_named(name)
    except FramingNameError as error:
        raise CommandError(str(error), ExitCode.USAGE, "vafa message doctor FILE finds the framing") from None


def messages_in(
    files: Sequence[str], form: InputFormat, framing: Framing | None, dialect: Dialect | None = None
) -> Iterator[Given]:
    """All messages of `files` in order. `dialect` settles what "auto" can't see from the text alone."""
    for file in files or (STANDARD_INPUT,):
        content = _read(file)
        name = "standard input" if file == STANDARD_INPUT else mask_text(file)
        yield from _messages(name, content, form, framing, dialect)


def _read(file: str) -> bytes:
    try:
        if file == STANDARD_INPUT:
            content = sys.stdin.buffer.read(LARGEST_INPUT_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(LARGEST_INPUT_BYTES + 1)
    except OSError as error:
        raise CommandError(
            f"{file}: {error.strerror}",
            ExitCode.USAGE,
            "name a file that can be read, or - for standard input",
        ) from None
    if len(content) > LARGEST_INPUT_BYTES:
        raise CommandError(
            f"{file}: more than {LARGEST_INPUT_BYTES} bytes", ExitCode.USAGE, "cut it in pieces"
        )
    if not content.strip():
        raise CommandError(
            f"{'standard input' if file == STANDARD_INPUT else file}: no message in it",
            ExitCode.USAGE,
            "vafa message sample vafa | vafa message view",
        )
    return content


def _messages(
    name: str, content: bytes, form: InputFormat, framing: Framing | None, dialect: Dialect | None
) -> list[Given]:
    if form is InputFormat.JSON or (form is InputFormat.AUTO and content.lstrip()[:1] == b"{"):
        return _json(name, content, dialect)
    if form is not InputFormat.AUTO:
        return _in_format(name, content, form, framing, dialect)
    readings = [_try(name, content, choice, framing, dialect) for choice in _plausible(content)]
    found = [messages for messages in readings if messages is not None]
    if not found:  # explain the likeliest
        return _in_format(name, content, _plausible(content)[0], framing, dialect)
    if dialect is not None:
        for messages in found:
            if _decodes(dialect, messages[0].data):
                return messages
    return found[0]


def _json(name: str, content: bytes, dialect: Dialect | None) -> list[Given]:
    """Messages as `Message.to_json(reveal=True)` writes them, one after the other."""
    if dialect is None:
        raise CommandError(f"{name}: JSON needs a dialect", ExitCode.USAGE, "--dialect NAME")
    given: list[Given] = []
    decoder = json.JSONDecoder()
    try:
        text = content.decode("utf-8").strip()
        while text:
            document, end = decoder.raw_decode(text)
            message = Message.from_document(document, dialect)
            given.append(Given(f"{name}#{len(given) + 1}", dialect.encode(message)))
            text = text[end:].lstrip()
    except EncodeError as error:
        raise CommandError(
            f"{name}#{len(given) + 1}: {error}",
            ExitCode.NEGATIVE,
            "correct the message; masked values can't be sent",
        ) from None
    except (ValueError, RecursionError):
        raise CommandError(
            f"{name}#{len(given) + 1}: no JSON", ExitCode.USAGE, "one object a message"
        ) from None
    return given


def _plausible(content: bytes) -> list[InputFormat]:
    lines = list(_lines(content))
    choices = []
    if lines and all(_HEX_LINE.fullmatch(line) for _number, line in lines):
        choices.append(InputFormat.HEX)
    if lines and all(_BASE64_LINE.fullmatch(line) and len(line) % 4 == 0 for _number, line in lines):
        choices.append(InputFormat.BASE64)
    return [*choices, InputFormat.BINARY]


def _try(
    name: str, content: bytes, form: InputFormat, framing: Framing | None, dialect: Dialect | None
) -> list[Given] | None:
    try:
        return _in_format(name, content, form, framing, dialect)
    except CommandError:
        return None


def _in_format(
    name: str, content: bytes, form: InputFormat, framing: Framing | None, dialect: Dialect | None
) -> list[Given]:
    if form is InputFormat.BINARY:
        return _binary(name, content, framing, dialect)
    lines = list(_lines(content))
    decode = _hex if form is InputFormat.HEX else _base64
    pieces = [(f"{name}:{number}", decode(f"{name}:{number}", line)) for number, line in lines]
    if not pieces:
        raise CommandError(f"{name}: no message in it", ExitCode.USAGE, "one message a line")
    joined = b"".join(piece for _where, piece in pieces)
    if len(pieces) > 1 and _is_wrapped([line for _number, line in lines]):
        # `xxd -p` and `base64` break long messages into lines of one length
        whole = _unframed(name, joined, framing, strict=False)
        if whole and dialect is not None and _decodes(dialect, whole[0].data):
            return whole
    return [message for where, piece in pieces for message in _unframed(where, piece, framing)]


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(content.splitlines(), start=1):
        text = line.split(b"#", 1)[0].strip()
        if text:
            yield number, text


def _is_wrapped(lines: Sequence[bytes]) -> bool:
    first = len(lines[0])
    return all(len(line) == first for line in lines[:-1]) and len(lines[-1]) <= first


def _hex(where: str, line: bytes) -> bytes:
    if _HEX_LINE.fullmatch(line):
        return bytes.fromhex(_NOT_HEX.sub(b"", line.removeprefix(b"0x").removeprefix(b"0X")).decode("ascii"))
    digits = re.sub(rb"[ \t:,-]", b"", line)
    if wrong := _NOT_HEX.search(digits):
        what = f"character {wrong.start() + 1} is no hex digit"
    else:
        what = f"{len(digits)} hex digits, expected an even number"
    raise CommandError(f"{where}: {what}", ExitCode.USAGE, "--input-format base64 or binary")


def _base64(where: str, line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise CommandError(f"{where}: no base64", ExitCode.USAGE, "--input-format hex or binary") from None


def _binary(name: str, content: bytes, framing: Framing | None, dialect: Dialect | None) -> list[Given]:
    if framing is not None:
        return _unframed(name, content, framing)
    # an editor's line end behind a message of characters
    stripped = content.rstrip(b"\r\n")
    if stripped != content and dialect is not None and not _decodes(dialect, content):
        lines = stripped.splitlines()
        if all(_decodes(dialect, line) for line in lines):
            return [Given(f"{name}:{number}", line) for number, line in enumerate(lines, start=1)]
        return [Given(name, stripped if _reaches_end(dialect, content, len(stripped)) else content)]
    return [Given(name, content)]


def _unframed(where: str, data: bytes, framing: Framing | None, strict: bool = True) -> list[Given]:
    """`data` cut into frames; a fault or an unfinished frame is an error that says where."""
    if framing is None:
        return [Given(where, data)]
    reader = framing.reader(LONGEST_FRAME_BYTES)
    fault = ""
    try:
        frames: Sequence[Frame] = reader.feed(data, 0.0)
        if reader.pending_since is not None:
            fault = "it ends inside a frame"
    except FramingError as error:
        frames, fault = error.frames, str(error)
    if fault and not strict:
        return []
    if fault:
        raise CommandError(
            f"{where}: frame {len(frames) + 1}, framing {framing.name}: {fault}",
            ExitCode.NEGATIVE,
            f"vafa message doctor {where.partition(':')[0] if where != 'standard input' else '-'}",
        )
    if len(frames) == 1:
        return [Given(where, frames[0].payload, frames[0].tpdu)]
    return [Given(f"{where}#{number}", *frame) for number, frame in enumerate(frames, start=1)]


def _decodes(dialect: Dialect, data: bytes) -> bool:
    try:
        dialect.decode(data)
    except DecodeError:
        return False
    return True


def _reaches_end(dialect: Dialect, data: bytes, end: int) -> bool:
    """Whether the only fault of `data` is what stands behind `end`."""
    try:
        dialect.decode(data)
    except DecodeError as error:
        return error.offset >= end
    return True
