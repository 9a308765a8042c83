"""What the verbs of `vafa message` share: their options, reading messages, and printing what they found.

Errors leave masked, and `--unsafe` is allowed here or nowhere.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, DialectError, EncodeError, Message, mask_text
from switch.link.framing import Framing
from tools.cli import CommandError, ExitCode
from tools.message_doctor import diagnose
from tools.message_input import (
    UNFRAMED,
    Bare,
    BrokenMessage,
    CutShort,
    Cutting,
    Given,
    InputFormat,
    bounded,
    framing_of,
    messages_in,
)
from tools.message_redact import Redacted

ENVIRONMENT = "VAFA_ENVIRONMENT"
PRODUCTION = "production"
SCHEMA = "vafa.message.{verb}/1"
DEFAULT_DIALECT = "vafa"
DETECT = "auto"
DEFAULT_FRAMING = "2be"
# Where settings are looked for; the switch's own data directory is the second.
SETTINGS_FILES = ("switch.toml", "data/switch.toml")


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
        "--framing", "-f", help="How messages are cut: 2be, ascii4, bcd2+tpdu, vmlh, …; none, none+tpdu."
    ),
]
OutputForm = Annotated[Format, typer.Option("--format", help="What is printed.")]
Unsafe = Annotated[
    bool, typer.Option("--unsafe", help="Show card numbers, tracks and keys. Refused in production.")
]
WrittenForm = Annotated[Written, typer.Option("--output-format", "-O", help="How messages are written out.")]
SkipBroken = Annotated[
    bool,
    typer.Option(
        "--skip-broken", help="Leave out messages that can't be read; stderr names them, exit code 1."
    ),
]
Output = Annotated[str, typer.Option("--output", "-o", help="Write the messages here; - is standard output.")]


class LeftOut:
    """Broken messages among others: the first ends the command, or each is told on stderr and left out."""

    def __init__(self, wanted: bool, form: Format) -> None:
        self.wanted = wanted
        self.count = 0
        self._form = form

    @contextlib.contextmanager
    def unless_broken(self) -> Iterator[None]:
        """What is done with one message; left at the fault when broken ones are left out."""
        try:
            yield
        except BrokenMessage as error:
            if not self.wanted:
                raise
            self.count += 1
            if self._form is Format.TEXT:
                typer.echo(f"left out: {mask_text(str(error))}", err=True)
            else:
                _echo_error(error)

    def refuse(self, dialect: Dialect, one: Given) -> None:
        """BrokenMessage for one without bytes, or with bytes that don't decode where such are left out."""
        if one.fault is not None or self.wanted:
            decoded(dialect, one)

    def end(self) -> None:
        """The exit code, once what could be read is done."""
        if self.count:
            raise typer.Exit(ExitCode.NEGATIVE)


def given_in(
    files: Sequence[str] | None,
    form: InputFormat,
    framing: str,
    dialect: str,
    left_out: LeftOut | None = None,
    keep_cut: bool = False,
) -> tuple[Dialect, list[Given]]:
    """The dialect asked for and all messages; "auto" is the shipped dialect that fits them best.

    keep_cut: a last frame that is cut stands among them with its fault.
    """
    cut = framing_of(framing)
    keep_broken = left_out is not None and left_out.wanted
    known = None if dialect == DETECT else dialect_named(dialect)
    given = [bounded(one) for one in messages_in(files or [], form, cut, known, keep_broken, keep_cut)]
    kept = CutShort if keep_cut else ()
    too_long = next((one.fault for one in given if one.fault and not isinstance(one.fault, kept)), None)
    if too_long is not None and not keep_broken:
        raise too_long
    return (known, given) if known is not None else (_detected(given), given)


def _detected(given: Sequence[Given]) -> Dialect:
    found = diagnose(
        [one.data for one in given if one.fault is None],
        [iso8583.load(name) for name in iso8583.shipped()],
    )
    best = next((fit for fit in found.fits if fit.framing == UNFRAMED), None)
    if best is None or not best.score:
        raise CommandError(
            f"{given[0].where}: no shipped dialect fits", ExitCode.NEGATIVE, "vafa message doctor says why"
        )
    typer.echo(f"dialect {best.dialect} (detected, score {best.score})", err=True)
    return iso8583.load(best.dialect)


def dialect_named(name: str) -> Dialect:
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


def decoded(dialect: Dialect, one: Given) -> Message:
    if one.fault is not None:
        raise one.fault
    try:
        return dialect.decode(one.data)
    except DecodeError as error:
        raise BrokenMessage(
            f"{one.where}: {error}",
            ExitCode.NEGATIVE,
            "vafa message view shows what decodes, doctor what fits; --skip-broken leaves it out",
        ) from None


def partly_decoded(dialect: Dialect, data: bytes) -> Message | None:
    try:
        return dialect.decode(data)
    except DecodeError as error:
        return error.partial


def encoded(dialect: Dialect, one: Given, redacted: Redacted) -> bytes:
    try:
        return dialect.encode(redacted.message)
    except EncodeError as error:
        raise BrokenMessage(
            f"{one.where}: can't be redacted: {error}",
            ExitCode.NEGATIVE,
            "the dialect hides a field that allows no filler; give it another mask",
        ) from None


def line_framing(name: str) -> Framing:
    """The framing of a name where messages follow each other on a line."""
    framing = framing_of(name)
    if not isinstance(framing, Framing):
        raise CommandError(
            "messages on a line must be framed", ExitCode.USAGE, f"--framing {DEFAULT_FRAMING}"
        )
    return framing


def framed(framing: Cutting, data: bytes, tpdu: bytes | None) -> bytes:
    if framing is None:
        return data
    if isinstance(framing, Bare):
        return (tpdu or framing.addresses) + data
    try:
        return framing.frame(data, tpdu)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE, "a framing with a longer length") from None


def written(data: bytes, form: Written) -> str:
    return base64.b64encode(data).decode("ascii") if form is Written.BASE64 else data.hex()


def path_order(path: str) -> tuple[int, str]:
    number = path.partition(".")[0]
    return (int(number), path) if number.isdecimal() else (-1, path)


def print_records(verb: str, form: Format, records: Sequence[Mapping[str, Any]], text: str) -> None:
    schema = SCHEMA.format(verb=verb)
    with to_reader():
        if form is Format.TEXT:
            typer.echo(text)
        elif form is Format.JSONL:
            for record in records:
                typer.echo(json.dumps({"schema": schema, **record}, ensure_ascii=False))
        else:
            typer.echo(
                json.dumps({"schema": schema, "messages": list(records)}, ensure_ascii=False, indent=1)
            )


def print_messages(
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
        content = "".join(written(data, output_format) + "\n" for data in made).encode("ascii")
    if output != "-":
        try:
            Path(output).write_bytes(content)
        except OSError as error:
            raise CommandError(
                f"{output}: {error.strerror}", ExitCode.USAGE, "name a file to write"
            ) from None
    if form is not Format.TEXT:
        print_records(verb, form, records, "")
        return
    for note in notes:
        typer.echo(note, err=True)
    if output == "-" and sys.stdout is not None:
        with to_reader():
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.flush()


@contextlib.contextmanager
def to_reader() -> Iterator[None]:
    """What is written to standard output. A reader that has gone changes no exit code; a full disk does."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # what is left in the buffer must not fail a second time when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(
            f"standard output: {error.strerror}", ExitCode.USAGE, "write where there is room"
        ) from None


def allow(unsafe: bool) -> None:
    """Refuse `--unsafe` where the environment is production, or can't be known."""
    if not unsafe:
        return
    where = production()
    if where:
        raise CommandError(
            f"--unsafe is refused: {where}",
            ExitCode.CONFIGURATION,
            "look at the masked message, or copy a redacted one",
        )


def production() -> str:
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
def reporting(form: Format) -> Iterator[None]:
    """Errors masked, and as JSON on stderr where JSON was asked for."""
    try:
        yield
    except CommandError as error:
        what, try_next = mask_text(str(error)), mask_text(error.try_next)
        if form is Format.TEXT:
            raise CommandError(what, error.code, try_next) from None
        _echo_error(error)
        raise typer.Exit(error.code) from None


def _echo_error(error: CommandError) -> None:
    record = {
        "schema": SCHEMA.format(verb="error"),
        "code": int(error.code),
        "message": mask_text(str(error)),
        "hint": mask_text(error.try_next),
    }
    typer.echo(json.dumps(record, ensure_ascii=False), err=True)
