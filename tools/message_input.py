"""Messages from files and standard input: hex, base64 or bytes, one or many, framed or not.

Only bytes come out of here; what they mean is the dialect's business. Errors name file and line, and never
show what stood there: it may be a card number.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, mask_text
from switch.link.framing import (
    SHORTEST_MESSAGE_BYTES,
    TPDU_BYTES,
    TPDU_IDENTIFIER,
    Frame,
    Framing,
    FramingError,
    FramingNameError,
    framing_named,
)
from tools.cli import CommandError, ExitCode

STANDARD_INPUT = "-"
UNFRAMED = "none"
# A day's capture of a busy link; a file beyond it is one that was named by mistake.
LARGEST_INPUT_BYTES = 256 * 1024 * 1024
# What two bytes of length can say; no host's messages are longer.
LONGEST_MESSAGE_BYTES = 0xFFFF
JSON_EXAMPLE = '{"mti": "0800", "fields": {"11": "000001", "70": "001"}}'
_BLANKS = re.compile(r"\s*")
_JSON_BEGINS = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[{\]])')
_NOT_HEX = re.compile(rb"[^0-9A-Fa-f]")
_HEX_LINE = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[ \t:,-]*[0-9A-Fa-f]{2})*")
_NEARLY_HEX_LINE = re.compile(rb"(?:0[xX])?[0-9A-Fa-f \t:,-]+")
_ESCAPED_LINE = re.compile(rb"\s*b?[\"']?(?:\\x[0-9A-Fa-f]{2})+[\"']?[\s,;]*")
# "00000000: 3038 3030  0800" of xxd, "00000000  30 38  |08|" of hexdump -C, whose last line is the length
_DUMP_LINE = re.compile(
    rb"\s*(?P<at>[0-9A-Fa-f]{7,8})(?:"
    rb": (?P<xxd>(?:[0-9A-Fa-f]{2} ?){1,16})(?: .*)?"
    rb"|  (?P<hexdump>(?:[0-9A-Fa-f]{2} {1,2}){1,16}) *(?:\|.*\|)?\s*"
    rb"|)"
)
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class InputFormat(StrEnum):
    """How messages are written in a file."""

    AUTO = "auto"
    HEX = "hex"
    BASE64 = "base64"
    BINARY = "binary"
    JSON = "json"


class BrokenMessage(CommandError):
    """One message among others can't be read; the others may be."""


class CutShort(BrokenMessage):
    """The stream ends inside its last frame; the frames before are whole."""


class Given(NamedTuple):
    """One message as it came. where: "file.hex:3" (line) or "file.bin#2" (frame).

    fault: why there are no bytes of it, where broken messages are kept.
    """

    where: str
    data: bytes
    tpdu: bytes | None = None
    fault: BrokenMessage | None = None


class Bare(NamedTuple):
    """No length, but a TPDU before each message. addresses: the TPDU to write where none came."""

    name: str
    addresses: bytes


Cutting = Framing | Bare | None


def framing_of(name: str) -> Cutting:
    """The framing of a name, None for "none", `Bare` for "none+tpdu"; wrong usage otherwise."""
    spelled = name.strip().lower()
    first, _plus, option = spelled.partition("+")
    if spelled == UNFRAMED:
        return None
    try:
        if first != UNFRAMED:
            return framing_named(name)
        addresses = framing_named(f"2be+{option}").addresses  # the options mean the same there
        return None if addresses is None else Bare(spelled, addresses)
    except FramingNameError as error:
        raise CommandError(str(error), ExitCode.USAGE, "vafa message doctor FILE finds the framing") from None


def messages_in(
    files: Sequence[str],
    form: InputFormat,
    framing: Cutting,
    dialect: Dialect | None = None,
    keep_broken: bool = False,
    keep_cut: bool = False,
) -> Iterator[Given]:
    """All messages of `files` in order. `dialect` settles what "auto" can't see from the text alone.

    A line, frame or object that can't be read is an error, or with `keep_broken` a `Given` with its fault;
    with `keep_cut` only a last frame that is cut, behind whole ones.
    """
    reading = _Reading(form, framing, dialect, keep_broken, keep_cut)
    for file in files or (STANDARD_INPUT,):
        content = _read(file)
        name = "standard input" if file == STANDARD_INPUT else mask_text(file)
        messages = reading.messages(name, content)
        if not messages:
            raise _nothing_in(name)
        yield from messages


def _read(file: str) -> bytes:
    try:
        if file == STANDARD_INPUT and sys.stdin is None:
            raise OSError(0, "closed")
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
        raise _nothing_in("standard input" if file == STANDARD_INPUT else file)
    return content


def _nothing_in(name: str) -> CommandError:
    return CommandError(
        f"{name}: no message in it", ExitCode.USAGE, "vafa message sample vafa | vafa message view"
    )


class _Reading(NamedTuple):
    """How the content of a file becomes messages."""

    form: InputFormat
    framing: Cutting
    dialect: Dialect | None
    keep_broken: bool
    keep_cut: bool = False

    def messages(self, name: str, content: bytes) -> list[Given]:
        if self.form is not InputFormat.BINARY:
            content = _as_ascii(content)
            if not content.strip():
                return []
        if self.form in (InputFormat.AUTO, InputFormat.HEX):
            content = _undumped(content)
        if self.form is not InputFormat.AUTO:
            return self._in_format(name, content, self.form)
        if content.lstrip()[:1] in (b"{", b"["):
            return self._json(name, content)
        choices = _plausible(content)
        strict = self._replace(keep_broken=False, keep_cut=False)
        readings = [strict._try(name, content, choice) for choice in choices]
        found = [messages for messages in readings if messages]
        if self.dialect is not None:
            for messages in found:
                if _decodes(self.dialect, messages[0].data):
                    return messages
        if content.isascii() and not any(_lines(content)):  # comments
            return []
        if _is_hex_but_for_some(content):  # say which lines aren't
            choices = [InputFormat.HEX]
            found = []
        # with none found, explain the likeliest
        return found[0] if found else self._in_format(name, content, choices[0])

    def _try(self, name: str, content: bytes, form: InputFormat) -> list[Given] | None:
        try:
            return self._in_format(name, content, form)
        except CommandError:
            return None

    def _in_format(self, name: str, content: bytes, form: InputFormat) -> list[Given]:
        if form is InputFormat.JSON:
            return self._json(name, content)
        if form is InputFormat.BINARY:
            return self._binary(name, content)
        lines = list(_lines(content))
        read = _hex if form is InputFormat.HEX else _base64
        pieces = [self._piece(f"{name}:{number}", line, read) for number, line in lines]
        is_whole = not any(piece.fault for piece in pieces)
        if len(pieces) > 1 and is_whole and _is_wrapped([line for _number, line in lines]):
            # `xxd -p` and `base64` break long messages into lines of one length
            joined = b"".join(piece.data for piece in pieces)
            whole = _unframed(name, joined, self.framing)
            is_cut = bool(whole) and not whole[-1].fault
            if is_cut and self.dialect is not None and _decodes(self.dialect, whole[0].data):
                return whole
        return [message for piece in pieces for message in self._cut(piece)]

    def _piece(self, where: str, line: bytes, read: Callable[[str, bytes], bytes]) -> Given:
        try:
            return Given(where, read(where, line))
        except BrokenMessage as error:
            if not self.keep_broken:
                raise
            return Given(where, b"", None, error)

    def _cut(self, piece: Given) -> list[Given]:
        """The frames of a piece; a fault or an unfinished frame is an error that says where."""
        messages = [piece] if piece.fault else _unframed(piece.where, piece.data, self.framing)
        fault = messages[-1].fault if messages else None
        is_kept = self.keep_broken or (self.keep_cut and isinstance(fault, CutShort))
        if fault is not None and not is_kept:
            raise fault
        return messages

    def _binary(self, name: str, content: bytes) -> list[Given]:
        dialect = self.dialect
        # an editor's line end behind a message of characters
        stripped = content.rstrip(b"\r\n")
        is_bare = self.framing is None and dialect is not None and stripped != content
        if dialect is None or not is_bare or _decodes(dialect, content):
            return self._cut(Given(name, content))
        lines = stripped.splitlines()
        if all(_decodes(dialect, line) for line in lines):
            return [Given(f"{name}:{number}", line) for number, line in enumerate(lines, start=1)]
        return [Given(name, stripped if _reaches_end(dialect, content, len(stripped)) else content)]

    def _json(self, name: str, content: bytes) -> list[Given]:
        """Messages as `Message.to_json(reveal=True)` writes them, one after the other or in a list."""
        if self.dialect is None:
            raise CommandError(f"{name}: JSON needs a dialect", ExitCode.USAGE, "--dialect NAME")
        given: list[Given] = []
        for document in _documents(name, content):
            where = f"{name}#{len(given) + 1}"
            try:
                given.append(Given(where, self.dialect.encode(Message.from_json(document, self.dialect))))
            except EncodeError as error:
                fault = BrokenMessage(f"{where}: {error}", ExitCode.NEGATIVE, _json_remedy(error))
                if not self.keep_broken:
                    raise fault from None
                given.append(Given(where, b"", None, fault))
        return given


def _as_ascii(content: bytes) -> bytes:
    """`content` without the mark that editors and shells of Windows put before text."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        with contextlib.suppress(UnicodeError):
            return content.decode("utf-16").encode("ascii")
    return content.removeprefix(codecs.BOM_UTF8)


def _undumped(content: bytes) -> bytes:
    """Lines of hex from what `xxd` or `hexdump -C` printed, or from \\x escapes; anything else as it is."""
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    if lines and all(_ESCAPED_LINE.fullmatch(line) for line in lines):
        return b"\n".join(re.sub(rb"[^0-9A-Fa-f]", b"", line.replace(b"\\x", b"")) for line in lines)
    pieces: list[bytes] = []
    end = 0
    for line in lines:
        found = _DUMP_LINE.fullmatch(line)
        if found is None:
            return content
        at, digits = int(found["at"], 16), _NOT_HEX.sub(b"", found["xxd"] or found["hexdump"] or b"")
        if at == 0 and digits:
            pieces.append(b"")  # a message begins
        elif at != end:
            return content  # no dump, or one with a piece left out
        end = at + len(digits) // 2
        if pieces:
            pieces[-1] += digits
    return b"\n".join(pieces) if pieces else content


def _documents(name: str, content: bytes) -> Iterator[str]:
    """The text of each JSON object: one after the other, or all in one list."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{name}: no JSON: byte {error.start} is no UTF-8", ExitCode.USAGE, "--input-format binary"
        ) from None
    decoder = json.JSONDecoder()
    at = _after_blanks(text, 0)
    try:
        while at < len(text):
            document, end = decoder.raw_decode(text, at)
            if isinstance(document, list):
                yield from map(json.dumps, document)
            else:
                yield text[at:end]
            at = _after_blanks(text, end)
    except json.JSONDecodeError as error:
        raise CommandError(
            f"{name}: no JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            ExitCode.USAGE,
            f"one object a message: {JSON_EXAMPLE}",
        ) from None
    except RecursionError:
        raise CommandError(
            f"{name}: no JSON message: nested too deep", ExitCode.USAGE, f"write like {JSON_EXAMPLE}"
        ) from None


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()


def _json_remedy(error: EncodeError) -> str:
    if "masked" in error.got:
        return "masked values can't be sent: write the value itself, as view --unsafe shows it"
    if error.path == "message":
        return f"write like {JSON_EXAMPLE}"
    return f"correct {error.path} in the JSON; vafa spec docs says what each field takes"


def text_form(file: str) -> InputFormat | None:
    """What `file` wholly is, whatever it means: JSON or lines of hex; None when it may be anything."""
    content = _as_ascii(_read(file))
    if _JSON_BEGINS.match(content):
        return InputFormat.JSON
    return InputFormat.HEX if InputFormat.HEX in _plausible(_undumped(content)) else None


def json_fields(file: str) -> list[dict[str, Any]]:
    """The JSON messages of `file` before any dialect reads them; CommandError when it is no JSON."""
    content = _as_ascii(_read(file))
    return [json.loads(document) for document in _documents(mask_text(file), content)]


def _plausible(content: bytes) -> list[InputFormat]:
    lines = [line for _number, line in _lines(content)]
    choices = []
    if lines and all(_HEX_LINE.fullmatch(line) for line in lines):
        choices.append(InputFormat.HEX)
    if lines and all(_BASE64_LINE.fullmatch(line) and len(line) % 4 == 0 for line in lines):
        choices.append(InputFormat.BASE64)
    return [*choices, InputFormat.BINARY]


def _is_hex_but_for_some(content: bytes) -> bool:
    """Whether these are lines of hex, a few of them cut or mistyped."""
    lines = [line for _number, line in _lines(content)]
    right = sum(bool(_HEX_LINE.fullmatch(line)) for line in lines)
    near = sum(bool(_NEARLY_HEX_LINE.fullmatch(line)) for line in lines)
    return content.isascii() and right < len(lines) <= 2 * near


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
    raise BrokenMessage(f"{where}: {what}", ExitCode.USAGE, "--input-format base64 or binary")


def _base64(where: str, line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        what = f"no base64: {str(error).lower()}"
        raise BrokenMessage(f"{where}: {what}", ExitCode.USAGE, "--input-format hex or binary") from None


def bounded(one: Given) -> Given:
    """`one`, with a fault when it is longer than any message."""
    if len(one.data) <= LONGEST_MESSAGE_BYTES:
        return one
    fault = BrokenMessage(
        f"{one.where}: {len(one.data)} bytes are no one message, which has at most {LONGEST_MESSAGE_BYTES}",
        ExitCode.NEGATIVE,
        "--framing cuts a stream into messages; vafa message doctor FILE finds which",
    )
    return Given(one.where, b"", None, fault)


def tpdu_before(data: bytes) -> bool:
    """Whether `data` can be a TPDU and a message behind it."""
    return data[:1] == bytes((TPDU_IDENTIFIER,)) and len(data) >= TPDU_BYTES + SHORTEST_MESSAGE_BYTES


def _behind_tpdu(where: str, data: bytes) -> Given:
    if tpdu_before(data):
        return Given(where, data[TPDU_BYTES:], data[:TPDU_BYTES])
    least = TPDU_BYTES + SHORTEST_MESSAGE_BYTES
    what = f"expected 0x{TPDU_IDENTIFIER:02X}, a TPDU, and {least} bytes or more"
    fault = BrokenMessage(
        f"{where}: {len(data)} bytes that begin with 0x{data[:1].hex().upper()}, {what}",
        ExitCode.NEGATIVE,
        "--framing none when there is no TPDU",
    )
    return Given(where, b"", None, fault)


def _unframed(where: str, data: bytes, framing: Cutting) -> list[Given]:
    """`data` cut into frames; what can't be cut stands last, with its fault."""
    if framing is None:
        return [Given(where, data)]
    if isinstance(framing, Bare):
        return [_behind_tpdu(where, data)]
    reader = framing.reader(LONGEST_MESSAGE_BYTES)
    fault = ""
    try:
        frames: Sequence[Frame] = reader.feed(data, 0.0)
        if reader.pending_since is not None:
            fault = "it ends inside a frame"
    except FramingError as error:
        frames, fault = error.frames, str(error)
    if len(frames) == 1 and not fault:
        return [Given(where, *frames[0])]
    messages = [Given(f"{where}#{number}", *frame) for number, frame in enumerate(frames, start=1)]
    if fault:
        source = where.rpartition(":")[0] or where
        is_cut = bool(frames) and reader.pending_since is not None
        doctor = f"vafa message doctor {'-' if source.startswith('standard input') else source}"
        broken = (CutShort if is_cut else BrokenMessage)(
            f"{where}: frame {len(frames) + 1}, framing {framing.name}: {fault}",
            ExitCode.NEGATIVE,
            f"--skip-broken leaves it out; {doctor}" if is_cut else doctor,
        )
        messages.append(Given(f"{where}#{len(frames) + 1}", b"", None, broken))
    return messages


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
