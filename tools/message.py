"""`vafa message`: look at messages, compare, redact, convert and check them, send them and answer them.

Options in, text or JSON out, exit codes; the work is in the modules beside this one. Whatever is printed is
masked unless `--unsafe` asks for the secrets, which a production environment refuses.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import os
import re
import signal
import ssl
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, DialectError, EncodeError, Message, mask_text
from switch.link.framing import Framing
from tools.cli import CommandError, ExitCode
from tools.message_convert import Converted, convert
from tools.message_doctor import Diagnosis, diagnose
from tools.message_input import UNFRAMED, Given, InputFormat, framing_of, messages_in
from tools.message_meaning import response_meaning
from tools.message_pcap import Ends, Sent, capture
from tools.message_redact import Redacted, redact
from tools.message_send import Answered, Line, Target, Timing, tls_context
from tools.message_view import View, field_values, shown, view

app = typer.Typer(
    no_args_is_help=True, help="Look at ISO 8583 messages, check, convert, send and answer them."
)

ENVIRONMENT = "VAFA_ENVIRONMENT"
PRODUCTION = "production"
SCHEMA = "vafa.message.{verb}/1"
DEFAULT_DIALECT = "vafa"
DETECT = "auto"
DEFAULT_FRAMING = "2be"
# Where settings are looked for; the switch's own data directory is the second.
SETTINGS_FILES = ("switch.toml", "data/switch.toml")
BYTES_PER_ROW = 12
VALUE_COLUMNS = 24
FITS_SHOWN = 5
FAILURES_SHOWN = 6

# DE 39 of an answer that says yes: anything of zeros, and these (1987; 1993 and 2003 by class of message).
APPROVALS = ("08", "10", "11", "16", "300", "400", "500", "600", "700", "800")


class Format(StrEnum):
    """What a verb prints: text for people, one JSON document, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Written(StrEnum):
    """How messages are written out."""

    HEX = "hex"
    BASE64 = "base64"
    BINARY = "binary"


Files = Annotated[
    list[str] | None, typer.Argument(help="Files with messages; - is standard input.", show_default="-")
]
DialectName = Annotated[
    str,
    typer.Option(
        "--dialect",
        "-d",
        envvar="VAFA_DIALECT",
        help="A shipped dialect, a TOML file, or auto for the shipped one that fits best.",
    ),
]
InputForm = Annotated[InputFormat, typer.Option("--input-format", "-i", help="How the messages are written.")]
FramingName = Annotated[
    str,
    typer.Option(
        "--framing", "-f", help="How messages are cut: 2be, ascii4, bcd2+tpdu, vmlh, …; none = not framed."
    ),
]
OutputForm = Annotated[Format, typer.Option("--format", help="What is printed.")]
Unsafe = Annotated[
    bool, typer.Option("--unsafe", help="Show card numbers, tracks and keys. Refused in production.")
]
WrittenForm = Annotated[Written, typer.Option("--output-format", "-O", help="How messages are written out.")]


# ---------------------------------------------------------------- view


@app.command("view")
def view_messages(
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Annotate every byte of a message: field, raw bytes, value, meaning. Broken messages up to the fault.

    \b
    Example:
      vafa message sample vafa earn | vafa message view
      vafa message view trace.bin --framing 2be+tpdu --dialect iso87-bcd --format jsonl
    """
    with _reporting(form):
        _allow(unsafe)
        known, given = _given(files, input_format, framing, dialect)
        records, texts, broken = [], [], False
        for one in given:
            seen = view(known, one.data, reveal=unsafe)
            broken |= seen.error is not None
            records.append(_view_record(known, one, seen, unsafe))
            texts.append("\n".join(_view_text(known, one, seen, unsafe)))
        _print("view", form, records, "\n\n".join(texts))
        if broken:
            raise typer.Exit(ExitCode.NEGATIVE)


def _view_record(dialect: Dialect, one: Given, seen: View, unsafe: bool) -> dict[str, Any]:
    return {
        "where": one.where,
        "dialect": dialect.name,
        "bytes": len(one.data),
        "tpdu": None if one.tpdu is None else one.tpdu.hex(),
        "mti": None if seen.message is None else mask_text(seen.message.mti),
        "name": seen.name,
        "valid": seen.error is None,
        "masked": not unsafe,
        "parts": [part._asdict() for part in seen.parts],
        "rest": seen.rest,
        "error": None if seen.error is None else _error_record(seen.error),
    }


def _error_record(error: DecodeError) -> dict[str, Any]:
    return {
        "path": mask_text(error.path),
        "offset": error.offset,
        "expected": mask_text(error.expected),
        "got": mask_text(error.got),
        "response_code": error.response_code,
    }


def _view_text(dialect: Dialect, one: Given, seen: View, unsafe: bool) -> Iterator[str]:
    tpdu = f", TPDU {one.tpdu.hex()}" if one.tpdu is not None else ""
    what = "no message" if seen.message is None else mask_text(seen.message.mti)
    name = f" {seen.name}" if seen.name else ""
    yield f"{one.where}: {what}{name}, {len(one.data)} bytes, dialect {dialect.name}{tpdu}"
    path_width = max([6, *(len(part.path) for part in seen.parts)])
    widths = (BYTES_PER_ROW * 3 - 1, path_width, VALUE_COLUMNS)
    yield _row("at", ("bytes", "field", "value"), widths, "meaning")
    for part in seen.parts:
        pairs = part.raw.split()
        rows = max(1, -(-len(pairs) // BYTES_PER_ROW), -(-len(part.value) // VALUE_COLUMNS))
        meaning = ": ".join(filter(None, (part.title, part.meaning)))
        for row in range(rows):
            held = " ".join(pairs[row * BYTES_PER_ROW : (row + 1) * BYTES_PER_ROW])
            at = str(part.start + row * BYTES_PER_ROW) if held or not row else ""
            value = part.value[row * VALUE_COLUMNS : (row + 1) * VALUE_COLUMNS]
            path, words = ("", "") if row else (part.path, meaning)
            yield _row(at, (held, path, value), widths, words)
    if seen.error is not None:
        yield f"fault: {mask_text(str(seen.error))}; answer with DE 39 = {seen.error.response_code}"
        if seen.rest:
            yield f"rest: {seen.rest}{'' if unsafe else ' (--unsafe shows them)'}"
        yield "try: vafa message doctor FILE tells which dialect and framing fit"


def _row(at: str, cells: Sequence[str], widths: Sequence[int], words: str) -> str:
    filled = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{at:>5}  {filled}  {words}".rstrip()


# ---------------------------------------------------------------- diff


class Difference(NamedTuple):
    """One path whose values are not the same; a side without it shows ""."""

    path: str
    left: str
    right: str
    title: str


@app.command()
def diff(
    left: Annotated[str, typer.Argument(help="File with one message, or with both.")],
    right: Annotated[
        str | None, typer.Argument(help="File with the other message.", show_default=False)
    ] = None,
    dialect: DialectName = DEFAULT_DIALECT,
    right_dialect: Annotated[
        str | None, typer.Option("--right-dialect", help="Dialect of the other message.", show_default=False)
    ] = None,
    ignore: Annotated[
        str, typer.Option("--ignore", help="Fields that may differ, as 7,11,12,13,37,64.")
    ] = "",
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Compare messages field by field. Exit code 1 when they differ.

    \b
    Example:
      vafa message diff sent.hex received.hex --ignore 7,11,12,13,37
    """
    with _reporting(form):
        _allow(unsafe)
        known, given = _given([left], input_format, framing, dialect)
        if right is None:
            if len(given) != 2:
                raise CommandError(
                    f"{left}: {len(given)} messages, expected 2 to compare",
                    ExitCode.USAGE,
                    "name two files: vafa message diff ONE OTHER",
                )
            other, lefts, rights = known, given[:1], given[1:]
        else:
            lefts = given
            other, rights = _given([right], input_format, framing, right_dialect or dialect)
        if len(lefts) != len(rights):
            raise CommandError(
                f"{left} has {len(lefts)} messages, {right} has {len(rights)}",
                ExitCode.NEGATIVE,
                "compare files with the same number of messages",
            )
        ignored = frozenset(filter(None, re.split("[ ,]+", ignore)))
        records, texts, differs = [], [], False
        for one, two in zip(lefts, rights, strict=True):
            found = _differences(known, _decoded(known, one), other, _decoded(other, two), ignored, unsafe)
            differs |= bool(found)
            records.append(
                {
                    "left": one.where,
                    "right": two.where,
                    "equal": not found,
                    "masked": not unsafe,
                    "differences": [difference._asdict() for difference in found],
                }
            )
            texts.append("\n".join(_diff_text(one, two, found)))
        _print("diff", form, records, "\n\n".join(texts))
        if differs:
            raise typer.Exit(ExitCode.NEGATIVE)


def _differences(
    left: Dialect, one: Message, right: Dialect, two: Message, ignored: frozenset[str], unsafe: bool
) -> list[Difference]:
    ones, twos = {"mti": one.mti, **field_values(one)}, {"mti": two.mti, **field_values(two)}
    found = []
    for path in sorted({*ones, *twos}, key=_path_order):
        if path in ignored or path.partition(".")[0] in ignored or ones.get(path) == twos.get(path):
            continue
        was = "" if path not in ones else _value_text(left, path, ones[path], unsafe)
        now = "" if path not in twos else _value_text(right, path, twos[path], unsafe)
        if was == now:
            now += " (differs where it is masked)"
        title = left.dictionary.title_of(path) or right.dictionary.title_of(path)
        found.append(Difference(mask_text(path), was, now, mask_text(title)))
    return found


def _value_text(dialect: Dialect, path: str, value: Any, unsafe: bool) -> str:
    if path == "mti":
        return mask_text(str(value))
    return shown(dialect, path, value, reveal=unsafe) if isinstance(value, str | bytes) else "(empty)"


def _diff_text(one: Given, two: Given, found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        yield f"{one.where} and {two.where} are the same"
        return
    yield f"{one.where} and {two.where} differ in {len(found)} {'field' if len(found) == 1 else 'fields'}"
    width = max(len(difference.path) for difference in found)
    for path, was, now, title in found:
        yield f"{path:<{width}}  {title}"
        yield f"{'':<{width}}  - {was or 'absent'}"
        yield f"{'':<{width}}  + {now or 'absent'}"


# ---------------------------------------------------------------- redact, convert


Output = Annotated[str, typer.Option("--output", "-o", help="Write the messages here; - is standard output.")]


@app.command("redact")
def redact_messages(
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    output: Output = "-",
    output_format: WrittenForm = Written.HEX,
    form: OutputForm = Format.TEXT,
) -> None:
    """Replace card numbers, tracks, PIN blocks and keys; the messages stay valid. Changes go to stderr.

    \b
    Example:
      vafa message redact trace.hex > to_send_away.hex
    """
    with _reporting(form):
        known, given = _given(files, input_format, framing, dialect)
        cut = framing_of(framing)
        made: list[bytes] = []
        records: list[dict[str, Any]] = []
        notes: list[str] = []
        for one in given:
            redacted = redact(known, _decoded(known, one))
            data = _bytes(known, one, redacted)
            made.append(_framed(cut, data, one.tpdu))
            records.append(
                {
                    "where": one.where,
                    "message": _written(made[-1], output_format),
                    "changes": [change._asdict() for change in redacted.changes],
                }
            )
            notes += [
                f"{one.where}: {path}: {was} -> {now} ({why})" for path, was, now, why in redacted.changes
            ]
            if not redacted.changes:
                notes.append(f"{one.where}: nothing to redact")
        _print_messages("redact", form, made, records, notes, output, output_format)


@app.command("convert")
def convert_messages(
    files: Files = None,
    to: Annotated[str, typer.Option("--to", help="The dialect wanted: shipped, or a TOML file.")] = ...,  # type: ignore[assignment]
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    to_framing: Annotated[
        str | None, typer.Option("--to-framing", help="Framing of what is written. Default: as it came.")
    ] = None,
    year: Annotated[
        int | None, typer.Option("--year", min=1, max=9999, help="Of dates without one. Default: this year.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when something is lost.")] = False,
    output: Output = "-",
    output_format: WrittenForm = Written.HEX,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Write messages in another dialect; stderr says what is lost or changed. Redacted without --unsafe.

    \b
    Example:
      vafa message sample vafa earn | vafa message convert --to iso87-ascii
    """
    with _reporting(form):
        _allow(unsafe)
        known, given = _given(files, input_format, framing, dialect)
        target = _dialect(to)
        cut = framing_of(to_framing or framing)
        chosen_year = year or datetime.date.today().year
        made: list[bytes] = []
        records: list[dict[str, Any]] = []
        notes: list[str] = []
        failed = False
        for one in given:
            message = _decoded(known, one)
            if not unsafe:
                message = redact(known, message).message
            converted = convert(known, target, message, chosen_year)
            failed |= converted.data is None or (strict and any(n.outcome == "lost" for n in converted.notes))
            if converted.data is not None:
                made.append(_framed(cut, converted.data, one.tpdu))
            records.append(_conversion_record(one, known, target, converted, made, output_format, unsafe))
            notes += _conversion_notes(one, target, converted)
        if not unsafe:
            notes.append("card numbers and secrets were replaced; --unsafe keeps them")
        _print_messages("convert", form, made, records, notes, output, output_format)
        if failed:
            raise typer.Exit(ExitCode.NEGATIVE)


def _conversion_record(
    one: Given,
    source: Dialect,
    target: Dialect,
    converted: Converted,
    made: Sequence[bytes],
    output_format: Written,
    unsafe: bool,
) -> dict[str, Any]:
    return {
        "where": one.where,
        "from": source.name,
        "to": target.name,
        "redacted": not unsafe,
        "message": None if converted.data is None else _written(made[-1], output_format),
        "notes": [note._asdict() for note in converted.notes],
        "refused": mask_text(converted.refused),
    }


def _conversion_notes(one: Given, target: Dialect, converted: Converted) -> Iterator[str]:
    for path, outcome, was, now, why in converted.notes:
        values = f" {was or '(absent)'} -> {now}" if outcome == "changed" else f" {was}" if was else ""
        yield f"{one.where}: {path} {outcome}:{values} ({why})"
    if converted.refused:
        yield f"{one.where}: {target.name} can't carry it: {mask_text(converted.refused)}"
    elif not converted.notes:
        yield f"{one.where}: nothing lost, nothing changed"


# ---------------------------------------------------------------- validate, doctor


@app.command()
def validate(
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    mac: Annotated[bool, typer.Option("--mac/--no-mac", help="Whether the MAC must be there.")] = True,
    form: OutputForm = Format.TEXT,
) -> None:
    """Check that messages decode and carry what they must. Exit code 1 with every problem named.

    \b
    Example:
      vafa message validate trace.hex --dialect iso93-bcd
    """
    with _reporting(form):
        known, given = _given(files, input_format, framing, dialect)
        records, lines, invalid = [], [], False
        for one in given:
            problems, name = _problems(known, one, mac)
            invalid |= bool(problems)
            records.append({"where": one.where, "valid": not problems, "name": name, "problems": problems})
            if not problems:
                lines.append(f"{one.where}: valid{', ' + name if name else ''}")
            lines += [
                f"{one.where}: {problem['path']}{_at(problem['offset'])}: {problem['what']}"
                f" (DE 39 = {problem['response_code']})"
                for problem in problems
            ]
        _print("validate", form, records, "\n".join(lines))
        if invalid:
            raise typer.Exit(ExitCode.NEGATIVE)


def _problems(dialect: Dialect, one: Given, mac: bool) -> tuple[list[dict[str, Any]], str | None]:
    try:
        message = dialect.decode(one.data)
    except DecodeError as error:
        what = f"expected {error.expected}, got {error.got}"
        code = error.response_code
        return [_problem(error.path, error.offset, what, code)], None
    found = dialect.check(message, mac_required=mac)
    return [_problem(path, None, what, code) for path, what, code in found], dialect.name_of(message)


def _problem(path: str, offset: int | None, what: str, code: str) -> dict[str, Any]:
    return {"path": mask_text(path), "offset": offset, "what": mask_text(what), "response_code": code}


def _at(offset: int | None) -> str:
    return "" if offset is None else f" at byte {offset}"


@app.command()
def doctor(
    files: Files = None,
    input_format: InputForm = InputFormat.AUTO,
    also: Annotated[
        list[str] | None, typer.Option("--also", help="A dialect file to try besides the shipped ones.")
    ] = None,
    form: OutputForm = Format.TEXT,
) -> None:
    """Find out what unknown bytes are: every shipped dialect and framing is tried and scored.

    \b
    Example:
      vafa message doctor unknown.bin
    """
    with _reporting(form):
        dialects = [_dialect(name) for name in (*iso8583.shipped(), *(also or ()))]
        records, texts, unknown = [], [], False
        for file in files or ["-"]:
            written, found = _diagnosed(file, input_format, dialects)
            unknown |= not found.best
            records.append(_doctor_record(file, written, found))
            texts.append("\n".join(_doctor_text(file, written, found)))
        _print("doctor", form, records, "\n\n".join(texts))
        if unknown:
            raise typer.Exit(ExitCode.NEGATIVE)


def _diagnosed(file: str, form: InputFormat, dialects: Sequence[Dialect]) -> tuple[str, Diagnosis]:
    """The best diagnosis over the ways the file could be written."""
    forms = [InputFormat.HEX, InputFormat.BASE64, InputFormat.BINARY] if form is InputFormat.AUTO else [form]
    if file == "-":  # read once: the ways share it
        sys.stdin = _Replayed(sys.stdin.buffer.read())  # type: ignore[assignment]
    found: list[tuple[str, Diagnosis]] = []
    refused: CommandError | None = None
    for one in forms:
        try:
            pieces = [given.data for given in messages_in([file], one, None)]
        except CommandError as error:
            refused = refused or error
            continue
        found.append((one.value, diagnose(pieces, dialects)))
    if not found:
        assert refused is not None
        raise refused
    return max(found, key=lambda one: one[1].fits[0].score if one[1].fits else -1)


class _Replayed:
    """Standard input that can be read more than once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def buffer(self) -> _Replayed:
        return self

    def read(self, most: int = -1) -> bytes:
        return self._content if most < 0 else self._content[:most]


def _doctor_record(file: str, written: str, found: Diagnosis) -> dict[str, Any]:
    return {
        "where": mask_text(file),
        "input_format": written,
        "best": [{"dialect": fit.dialect, "framing": fit.framing} for fit in found.best],
        "fits": [
            {
                "dialect": fit.dialect,
                "framing": fit.framing,
                "score": fit.score,
                "messages": fit.messages,
                "decoded": fit.decoded,
                "why": mask_text(fit.why),
            }
            for fit in found.fits
        ],
        "framings": [{"framing": fault.framing, "why": mask_text(fault.why)} for fault in found.framings],
    }


def _doctor_text(file: str, written: str, found: Diagnosis) -> Iterator[str]:
    name = "standard input" if file == "-" else mask_text(file)
    fits = found.fits
    if found.best:
        best = found.best[0]
        yield f"{name} ({written}): {best.dialect}, framing {best.framing}"
        others = [f"{fit.dialect} with {fit.framing}" for fit in found.best[1:]]
        if others:
            yield f"fits as well: {', '.join(others)}"
    else:
        yield f"{name} ({written}): no shipped dialect and framing fit"
    yield ""
    yield f"{'score':>5}  {'dialect':<16}  {'framing':<18}  why"
    for fit in fits[:FITS_SHOWN]:
        yield f"{fit.score:>5}  {fit.dialect:<16}  {fit.framing:<18}  {mask_text(fit.why)}"
    seen = {fit.dialect for fit in fits[:FITS_SHOWN]}
    for fit in fits[FITS_SHOWN:]:
        if fit.dialect not in seen:
            seen.add(fit.dialect)
            yield f"{fit.score:>5}  {fit.dialect:<16}  {fit.framing:<18}  {mask_text(fit.why)}"
    if found.framings:
        yield ""
        yield "framings that can't be:"
        for fault in found.framings[:FAILURES_SHOWN]:
            yield f"  {fault.framing:<18}  {mask_text(fault.why)}"
        if len(found.framings) > FAILURES_SHOWN:
            yield f"  and {len(found.framings) - FAILURES_SHOWN} more; --format json lists them"
    yield ""
    if found.best:
        best = found.best[0]
        framing = "" if best.framing == UNFRAMED else f" --framing {best.framing}"
        source = "-" if file == "-" else mask_text(file)
        yield f"try: vafa message view {source} --dialect {best.dialect}{framing} --input-format {written}"
    else:
        yield "try: write the partner's dialect as a TOML file, then --also FILE; vafa spec check FILE"


# ---------------------------------------------------------------- sample


@app.command()
def sample(
    dialect: Annotated[str, typer.Argument(help="A shipped dialect.")] = DEFAULT_DIALECT,
    names: Annotated[
        list[str] | None, typer.Argument(help="Samples by name. Default: all.", show_default=False)
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Name the samples, print no message.")] = False,
    framing: FramingName = UNFRAMED,
    output: Output = "-",
    output_format: WrittenForm = Written.HEX,
    form: OutputForm = Format.TEXT,
) -> None:
    """Print sample messages of a dialect, made of test cards.

    \b
    Example:
      vafa message sample iso87-ascii --list
      vafa message sample vafa earn | vafa message view
    """
    with _reporting(form):
        if dialect not in iso8583.shipped():
            shipped = ", ".join(iso8583.shipped())
            raise CommandError(f"no dialect {dialect!r} is shipped", ExitCode.USAGE, f"one of {shipped}")
        samples = list(iso8583.samples(dialect))
        chosen = [one for one in samples if not names or one.name in names]
        for name in names or ():
            if name not in {one.name for one in samples}:
                known = ", ".join(one.name for one in samples)
                raise CommandError(f"{dialect} has no sample {name!r}", ExitCode.USAGE, f"one of {known}")
        cut = framing_of(framing)
        made = [_framed(cut, bytes.fromhex(one.hex), None) for one in chosen]
        records = [
            {"dialect": dialect, "name": one.name, "message": _written(data, output_format)}
            for one, data in zip(chosen, made, strict=True)
        ]
        if listing:
            _print("sample", form, records, "\n".join(one.name for one in chosen))
            return
        _print_messages("sample", form, made, records, [], output, output_format)


# ---------------------------------------------------------------- send


@app.command()
def send(
    target: Annotated[str, typer.Argument(help="The host, as HOST:PORT.")],
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    input_framing: Annotated[
        str, typer.Option("--input-framing", help="Framing of the messages in the files.")
    ] = UNFRAMED,
    framing: Annotated[str, typer.Option("--framing", "-f", help="Framing on the line.")] = DEFAULT_FRAMING,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.001, help="Seconds to wait for the connection and each answer."),
    ] = 15.0,
    tls: Annotated[bool, typer.Option("--tls", help="TLS, the host's certificate checked.")] = False,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM of the authority to trust; means TLS.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="PEM of our certificate; means TLS.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="PEM of our certificate's key.")] = None,
    server_name: Annotated[
        str | None, typer.Option("--server-name", help="Name in the host's certificate. Default: the host.")
    ] = None,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Send messages to a host and decode its answers. Exit code 1 for a decline, 3 for no answer.

    \b
    Example:
      vafa message serve --port 8583 &
      vafa message sample vafa echo | vafa message send 127.0.0.1:8583
    """
    with _reporting(form):
        _allow(unsafe)
        known, given = _given(files, input_format, input_framing, dialect)
        line_framing = framing_of(framing)
        if line_framing is None:
            raise CommandError(
                "messages on a line must be framed", ExitCode.USAGE, f"--framing {DEFAULT_FRAMING}"
            )
        context = tls_context(ca, cert, key) if tls or ca or cert else None
        records, texts, refused = [], [], False
        try:
            with Line(_target(target, context, server_name), line_framing, timeout) as line:
                for one in given:
                    answered = line.exchange(one.data, one.tpdu)
                    record, text, approved = _exchange(known, one, answered, unsafe)
                    refused |= not approved
                    records.append(record)
                    texts.append(text)
        finally:
            if records:
                _print("send", form, records, "\n\n".join(texts))
        if refused:
            raise typer.Exit(ExitCode.NEGATIVE)


def _target(text: str, context: ssl.SSLContext | None, server_name: str | None) -> Target:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and port.isascii() and 0 < int(port) < 65536):
        raise CommandError(f"{text!r} is no HOST:PORT", ExitCode.USAGE, "write like 127.0.0.1:8583")
    return Target(host.strip("[]"), int(port), context, server_name)


def _exchange(
    dialect: Dialect, one: Given, answered: Answered, unsafe: bool
) -> tuple[dict[str, Any], str, bool]:
    request = _partial(dialect, one.data)
    seen = view(dialect, answered.payload, reveal=unsafe)
    answer = None if seen.error is not None else seen.message
    code = answer.get("39") if answer is not None else None
    code = code if isinstance(code, str) else None
    strange = _mismatches(request, answer)
    approved = code is not None and _is_approval(code) and not strange
    timing = {name: round(ms, 3) for name, ms in answered.timing._asdict().items()}
    record = {
        "where": one.where,
        "approved": approved,
        "response_code": code,
        "meaning": _code_meaning(dialect, code),
        "mismatches": strange,
        "timing": timing,
        "answer": _view_record(dialect, Given("answer", answered.payload, answered.tpdu), seen, unsafe),
    }
    verdict = "no response code" if code is None else f"{code} {_code_meaning(dialect, code)}".rstrip()
    lines = [f"{one.where}: {'approved' if approved else 'not approved'}: {verdict}"]
    lines.append(_timing_text(answered.timing))
    lines += [f"the answer is to another message: {what}" for what in strange]
    lines += _view_text(dialect, Given("answer", answered.payload, answered.tpdu), seen, unsafe)
    return record, "\n".join(lines), approved


def _timing_text(timing: Timing) -> str:
    tls = f", TLS {timing.tls_ms:.1f} ms" if timing.tls_ms else ""
    return f"connected in {timing.connect_ms:.1f} ms{tls}, answered in {timing.answer_ms:.1f} ms"


def _code_meaning(dialect: Dialect, code: str | None) -> str:
    if code is None:
        return ""
    known = dialect.response_codes.get(code)
    return known.title.en if known is not None else response_meaning(code)


def _is_approval(code: str) -> bool:
    if len(code) == 4:  # 2003
        code = code[0] + code[2:]
    return not code.strip("0") or code in APPROVALS or (len(code) == 3 and code[0] == "0")


def _mismatches(request: Message | None, answer: Message | None) -> list[str]:
    """What shows that an answer belongs to another request: MTI, 11 and 41."""
    if request is None or answer is None:
        return []
    found = []
    if answer.mti[:2] != request.mti[:2] or int(answer.mti[2], 10) != int(request.mti[2], 10) + 1:
        found.append(f"mti {answer.mti} after {request.mti}")
    for path in ("11", "41"):
        ours, theirs = request.get(path), answer.get(path)
        if ours is not None and theirs is not None and ours != theirs:
            found.append(f"{path} is not the request's")
    return found


# ---------------------------------------------------------------- serve


@app.command()
def serve(
    rules: Annotated[
        Path | None, typer.Option("--rules", help="What to answer, as TOML; read again when it changes.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option("--dialect", "-d", help="Default: the rules', else vafa.")
    ] = None,
    framing: Annotated[
        str | None, typer.Option("--framing", "-f", help="Default: the rules', else 2be.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="0 takes any free one.", show_default="8583"),
    ] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="PEM of our certificate; means TLS.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="PEM of our certificate's key.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option("--client-ca", help="PEM of the authority of clients' certificates.")
    ] = None,
    form: OutputForm = Format.TEXT,
) -> None:
    """A bank's host that stays up: approves, unless a rule or the amount says otherwise.

    The last two digits of DE 4 are the answer's DE 39; 68 is never answered. SIGHUP or a change of the rules
    file takes the new rules in force. What happens is told on stdout, one line an event, masked.

    \b
    Example:
      vafa message serve --port 8583 --dialect iso87-ascii --framing ascii4
    """
    with _reporting(form):
        from simulators.bank_host import rules as bank_rules  # only this verb needs them
        from simulators.bank_host.server import BankHostServer, Place

        try:
            names = bank_rules.Names(None, None) if rules is None else bank_rules.names_in(rules)
            known = _dialect(dialect or names.dialect or DEFAULT_DIALECT)
            told = bank_rules.HostRules() if rules is None else bank_rules.read(rules, known)
        except bank_rules.RulesError as error:
            raise CommandError(str(error), ExitCode.CONFIGURATION, "correct the rules file") from None
        cut = framing_of(framing or names.framing or DEFAULT_FRAMING)
        if cut is None:
            raise CommandError(
                "messages on a line must be framed", ExitCode.USAGE, f"--framing {DEFAULT_FRAMING}"
            )
        place = Place(host, _first(port, told.port, 8583), _server_tls(cert, key, client_ca))
        server = BankHostServer(known, cut, told, lambda event: _tell(form, event), rules)
        asyncio.run(_serve(server, place))


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


async def _serve(server: Any, place: Any) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start(place)
    except OSError as error:
        raise CommandError(
            f"{place.host}:{place.port}: can't listen: {error.strerror or error}",
            ExitCode.NETWORK,
            "--port 0 takes any free port",
        ) from None
    await stopped.wait()
    await server.stop()


def _server_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None or client_ca is not None:
            raise CommandError("--key and --client-ca need --cert", ExitCode.USAGE, "--cert FILE")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(str(cert), None if key is None else str(key))
        if client_ca is not None:
            context.load_verify_locations(str(client_ca))
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError, ValueError) as error:
        what = getattr(error, "strerror", None) or getattr(error, "reason", None) or "unreadable"
        raise CommandError(f"{cert}: {what}", ExitCode.CONFIGURATION, "name PEM files") from None
    return context


def _tell(form: Format, event: Mapping[str, object]) -> None:
    if form is not Format.TEXT:
        line = json.dumps({"schema": SCHEMA.format(verb="serve"), **event}, ensure_ascii=False)
    else:
        line = _event_text(event)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _event_text(event: Mapping[str, object]) -> str:
    words = [str(event["event"])]
    for name, value in event.items():
        if name == "event":
            continue
        if isinstance(value, Mapping):
            fields = " ".join(f"{path}={content}" for path, content in value.items() if path != "mti")
            words.append(f"| {name} {value.get('mti')} {fields}")
        elif value is True:
            words.append(name)
        elif value is not False:
            words.append(f"{name}={value}")
    return " ".join(words)


# ---------------------------------------------------------------- pcap


@app.command()
def pcap(
    output: Annotated[Path, typer.Option("--output", "-o", help="The capture to write.")],
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    input_framing: Annotated[
        str, typer.Option("--input-framing", help="Framing of the messages in the files.")
    ] = UNFRAMED,
    framing: Annotated[
        str, typer.Option("--framing", "-f", help="Framing in the capture.")
    ] = DEFAULT_FRAMING,
    times: Annotated[
        list[str] | None,
        typer.Option("--time", help="When a message was sent (ISO 8601); once for each, or for the first."),
    ] = None,
    interval_ms: Annotated[
        int, typer.Option("--interval-ms", min=0, help="Between messages without a time of their own.")
    ] = 100,
    client: Annotated[str, typer.Option("--client", help="IPv4 address and port.")] = "10.0.0.1:40000",
    server: Annotated[str, typer.Option("--server", help="IPv4 address and port.")] = "10.0.0.2:8583",
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Write messages as a capture that Wireshark opens. Redacted without --unsafe.

    Requests come from the client, answers from the server.

    \b
    Example:
      vafa message sample iso87-ascii | vafa message pcap -d iso87-ascii -o samples.pcap
    """
    with _reporting(form):
        _allow(unsafe)
        known, given = _given(files, input_format, input_framing, dialect)
        cut = framing_of(framing)
        moments = _moments(times or [], interval_ms, len(given))
        sent = []
        for at_us, one in zip(moments, given, strict=True):
            message = _decoded(known, one)
            data = one.data if unsafe else _bytes(known, one, redact(known, message))
            sent.append(Sent(at_us, message.mti[2:3] in "0246", _framed(cut, data, one.tpdu)))
        ends = Ends(*_address("--client", client), *_address("--server", server))
        try:
            output.write_bytes(capture(sent, ends))
        except OSError as error:
            raise CommandError(
                f"{output}: {error.strerror}", ExitCode.USAGE, "name a file to write"
            ) from None
        note = "" if unsafe else "; card numbers and secrets were replaced, --unsafe keeps them"
        record = {"file": str(output), "messages": len(sent), "redacted": not unsafe}
        text = f"wrote {output}: {len(sent)} messages, port {ends.server_port}{note}"
        _print("pcap", form, [record], text)


def _moments(times: Sequence[str], interval_ms: int, count: int) -> list[int]:
    """Microseconds since 1970 for each message."""
    if len(times) > count:
        raise CommandError(f"{len(times)} times for {count} messages", ExitCode.USAGE, "one --time a message")
    moments = []
    for text in times or ["1970-01-01T00:00:00Z"]:
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(
                f"{text!r} is no time", ExitCode.USAGE, "write like 2026-11-21T17:15:12Z"
            ) from None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
        moments.append(round(moment.timestamp() * 1_000_000))
    while len(moments) < count:
        moments.append(moments[-1] + interval_ms * 1000)
    if any(not 0 <= moment < 1 << 52 for moment in moments):
        raise CommandError("a time before 1970", ExitCode.USAGE, "write like 2026-11-21T17:15:12Z")
    return moments


def _address(option: str, text: str) -> tuple[str, int]:
    found = re.fullmatch(r"((?:[0-9]{1,3}\.){3}[0-9]{1,3}):([0-9]{1,5})", text)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    if found is None or max(numbers) > 255 or not 0 < int(found[2]) < 65536:
        raise CommandError(f"{option} {text!r} is no IPv4 address and port", ExitCode.USAGE, "10.0.0.1:40000")
    return ".".join(map(str, numbers)), int(found[2])


# ---------------------------------------------------------------- what the verbs share


def _given(
    files: Sequence[str] | None, form: InputFormat, framing: str, dialect: str
) -> tuple[Dialect, list[Given]]:
    """The dialect asked for and all messages; "auto" is the shipped dialect that fits them best."""
    cut = framing_of(framing)
    if dialect != DETECT:
        known = _dialect(dialect)
        return known, list(messages_in(files or [], form, cut, known))
    given = list(messages_in(files or [], form, cut))
    found = diagnose([one.data for one in given], [iso8583.load(name) for name in iso8583.shipped()])
    best = next((fit for fit in found.fits if fit.framing == UNFRAMED), None)
    if best is None or not best.score:
        raise CommandError(
            f"{given[0].where}: no shipped dialect fits", ExitCode.NEGATIVE, "vafa message doctor says why"
        )
    typer.echo(f"dialect {best.dialect} (detected, score {best.score})", err=True)
    return iso8583.load(best.dialect), given


def _dialect(name: str) -> Dialect:
    try:
        if name in iso8583.shipped():
            return iso8583.load(name)
        if name.endswith(".toml") or "/" in name:
            return Dialect.load(Path(name))
    except DialectError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION, f"vafa spec check {name}") from None
    shipped = ", ".join(iso8583.shipped())
    raise CommandError(
        f"no dialect {name!r}",
        ExitCode.CONFIGURATION,
        f"shipped: {shipped}; a file of your own ends in .toml",
    )


def _decoded(dialect: Dialect, one: Given) -> Message:
    try:
        return dialect.decode(one.data)
    except DecodeError as error:
        raise CommandError(
            f"{one.where}: {error}",
            ExitCode.NEGATIVE,
            "vafa message view shows what decodes, doctor what fits",
        ) from None


def _partial(dialect: Dialect, data: bytes) -> Message | None:
    try:
        return dialect.decode(data)
    except DecodeError as error:
        return error.partial


def _bytes(dialect: Dialect, one: Given, redacted: Redacted) -> bytes:
    try:
        return dialect.encode(redacted.message)
    except EncodeError as error:
        raise CommandError(
            f"{one.where}: can't be redacted: {error}",
            ExitCode.NEGATIVE,
            "the dialect hides a field that allows no filler; give it another mask",
        ) from None


def _framed(framing: Framing | None, data: bytes, tpdu: bytes | None) -> bytes:
    if framing is None:
        return data
    try:
        return framing.frame(data, tpdu)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE, "a framing with a longer length") from None


def _written(data: bytes, form: Written) -> str:
    return base64.b64encode(data).decode("ascii") if form is Written.BASE64 else data.hex()


def _path_order(path: str) -> tuple[int, str]:
    number = path.partition(".")[0]
    return (int(number), path) if number.isdecimal() else (-1, path)


def _print(verb: str, form: Format, records: Sequence[Mapping[str, Any]], text: str) -> None:
    schema = SCHEMA.format(verb=verb)
    if form is Format.TEXT:
        typer.echo(text)
    elif form is Format.JSONL:
        for record in records:
            typer.echo(json.dumps({"schema": schema, **record}, ensure_ascii=False))
    else:
        typer.echo(json.dumps({"schema": schema, "messages": list(records)}, ensure_ascii=False, indent=1))


def _print_messages(
    verb: str,
    form: Format,
    made: Sequence[bytes],
    records: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    output: str,
    output_format: Written,
) -> None:
    """Messages to `output`; what is told of them goes to stderr, in JSON it stands beside them."""
    if output_format is Written.BINARY:
        content = b"".join(made)
    else:
        content = "".join(_written(data, output_format) + "\n" for data in made).encode("ascii")
    if output != "-":
        try:
            Path(output).write_bytes(content)
        except OSError as error:
            raise CommandError(
                f"{output}: {error.strerror}", ExitCode.USAGE, "name a file to write"
            ) from None
    if form is Format.TEXT:
        for note in notes:
            typer.echo(note, err=True)
        if output == "-":
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        return
    _print(verb, form, records, "")


def _allow(unsafe: bool) -> None:
    """Refuse `--unsafe` where the environment is production, or can't be known."""
    if not unsafe:
        return
    where = _production()
    if where:
        raise CommandError(
            f"--unsafe is refused: {where}",
            ExitCode.CONFIGURATION,
            "look at the masked message, or copy a redacted one",
        )


def _production() -> str:
    """What says that this is production; "" when nothing does."""
    if os.environ.get(ENVIRONMENT, "").strip().lower() == PRODUCTION:
        return f"{ENVIRONMENT} is {PRODUCTION}"
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for file in (
        *map(Path, SETTINGS_FILES),
        configuration / "vafa/switch.toml",
        Path("/etc/vafa/switch.toml"),
    ):
        try:
            settings = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return f"{file} can't be read, so it may say {PRODUCTION}"
        if str(settings.get("environment", "")).strip().lower() == PRODUCTION:
            return f'{file} says environment = "{PRODUCTION}"'
    return ""


@contextlib.contextmanager
def _reporting(form: Format) -> Iterator[None]:
    """Errors masked, and as JSON on stderr where JSON was asked for."""
    try:
        yield
    except BrokenPipeError:
        # the reader of our output has gone; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.OK) from None
    except CommandError as error:
        what, try_next = mask_text(str(error)), mask_text(error.try_next)
        if form is Format.TEXT:
            raise CommandError(what, error.code, try_next) from None
        record = {
            "schema": SCHEMA.format(verb="error"),
            "code": int(error.code),
            "message": what,
            "hint": try_next,
        }
        typer.echo(json.dumps(record, ensure_ascii=False), err=True)
        raise typer.Exit(error.code) from None
