"""`vafa message`: look at messages, compare, redact, convert and check them, send them and answer them.

Options in, text or JSON out, exit codes; the work is in the modules beside this one. Whatever is printed is
masked unless `--unsafe` asks for the secrets, which a production environment refuses.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, Message, mask_text
from tools.cli import CommandError, ExitCode
from tools.message_convert import Converted, convert
from tools.message_doctor import Diagnosis, diagnose, diagnose_json
from tools.message_input import (
    LARGEST_INPUT_BYTES,
    UNFRAMED,
    Given,
    InputFormat,
    framing_of,
    json_fields,
    messages_in,
    text_form,
)
from tools.message_line import send, serve
from tools.message_options import (
    DEFAULT_DIALECT,
    DEFAULT_FRAMING,
    DialectName,
    Files,
    Format,
    FramingName,
    InputForm,
    LeftOut,
    Output,
    OutputForm,
    SkipBroken,
    Unsafe,
    Written,
    WrittenForm,
    allow,
    decoded,
    dialect_named,
    encoded,
    framed,
    given_in,
    path_order,
    print_messages,
    print_records,
    reporting,
    written,
)
from tools.message_pcap import Ends, Sent, capture
from tools.message_redact import redact
from tools.message_text import view_record, view_text
from tools.message_view import field_values, shown, view

app = typer.Typer(
    no_args_is_help=True, help="Look at ISO 8583 messages, check, convert, send and answer them."
)

app.command()(send)
app.command()(serve)

FITS_SHOWN = 5
DEFAULT_TIME = "2000-01-01T00:00:00Z"  # the same messages give the same capture
LATEST_MOMENT_US = (1 << 32) * 1_000_000  # libpcap counts seconds in 32 bits
FAILURES_SHOWN = 6


@app.command("view")
def view_messages(
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Annotate every byte of a message: field, raw bytes, value, meaning. Broken messages up to the fault.

    \b
    Example:
      vafa message sample vafa earn | vafa message view
      vafa message view trace.bin --framing 2be+tpdu --dialect iso87-bcd --format jsonl
    """
    with reporting(form):
        allow(unsafe)
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, framing, dialect, left_out, keep_cut=True)
        cut: CommandError | None = None
        if not skip_broken:
            cut = next((one.fault for one in given if one.fault is not None), None)
            given = [one for one in given if one.fault is None]
        records, texts, broken = [], [], False
        for one in given:
            with left_out.unless_broken():
                left_out.refuse(known, one)
                seen = view(known, one.data, reveal=unsafe)
                broken |= seen.error is not None
                records.append(view_record(known, one, seen, unsafe))
                texts.append("\n".join(view_text(known, one, seen, unsafe)))
        print_records("view", form, records, "\n\n".join(texts))
        if broken:
            if form is Format.TEXT:
                typer.echo(f"try: {_remedy([one.data for one in given])}", err=True)
            if cut is None:
                raise typer.Exit(ExitCode.NEGATIVE)
        if cut is not None:
            raise cut
        left_out.end()


def _remedy(pieces: Sequence[bytes]) -> str:
    """What to do about messages that don't decode: the reading that fits them, if there is one."""
    found = diagnose(pieces, [iso8583.load(name) for name in iso8583.shipped()]).best
    if not found:
        return "vafa message doctor FILE says how far each dialect and framing gets"
    framing = "" if found[0].framing == UNFRAMED else f" --framing {found[0].framing}"
    return f"--dialect {found[0].dialect}{framing} reads all of it"


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
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Compare messages field by field. Exit code 1 when they differ.

    \b
    Example:
      vafa message diff sent.hex received.hex --ignore 7,11,12,13,37
    """
    with reporting(form):
        allow(unsafe)
        left_out = LeftOut(skip_broken, form)
        known, given = given_in([left], input_format, framing, dialect, left_out)
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
            other, rights = given_in([right], input_format, framing, right_dialect or dialect, left_out)
        if len(lefts) != len(rights):
            raise CommandError(
                f"{left} has {len(lefts)} messages, {right} has {len(rights)}",
                ExitCode.NEGATIVE,
                "compare files with the same number of messages",
            )
        ignored = frozenset(filter(None, re.split("[ ,]+", ignore)))
        records, texts, differs = [], [], False
        for one, two in zip(lefts, rights, strict=True):
            with left_out.unless_broken():
                found = _differences(known, decoded(known, one), other, decoded(other, two), ignored, unsafe)
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
        print_records("diff", form, records, "\n\n".join(texts))
        if differs:
            raise typer.Exit(ExitCode.NEGATIVE)
        left_out.end()


def _differences(
    left: Dialect, one: Message, right: Dialect, two: Message, ignored: frozenset[str], unsafe: bool
) -> list[Difference]:
    ones, twos = {"mti": one.mti, **field_values(one)}, {"mti": two.mti, **field_values(two)}
    found = []
    for path in sorted({*ones, *twos}, key=path_order):
        if ones.get(path) == twos.get(path) or not ignored.isdisjoint(_holders(path)):
            continue
        was = "" if path not in ones else _value_text(left, path, ones[path], unsafe)
        now = "" if path not in twos else _value_text(right, path, twos[path], unsafe)
        if was == now:
            now += " (differs where it is masked)"
        title = left.dictionary.title_of(path) or right.dictionary.title_of(path)
        title = title or ("Message type" if path == "mti" else "")
        found.append(Difference(mask_text(path), was, now, mask_text(title)))
    return found


def _holders(path: str) -> Iterator[str]:
    """The path and all that it stands in: "55.70.9F36", "55.70", "55"."""
    while path:
        yield path
        path = path.rpartition(".")[0]


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
        yield f"{path:<{width}}  {title}".rstrip()
        yield f"{'':<{width}}  - {was or 'absent'}"
        yield f"{'':<{width}}  + {now or 'absent'}"


# ---------------------------------------------------------------- redact, convert


@app.command("redact")
def redact_messages(
    files: Files = None,
    dialect: DialectName = DEFAULT_DIALECT,
    input_format: InputForm = InputFormat.AUTO,
    framing: FramingName = UNFRAMED,
    output: Output = "-",
    output_format: WrittenForm = Written.HEX,
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
) -> None:
    """Replace card numbers, tracks, PIN blocks and keys; the messages stay valid. Changes go to stderr.

    \b
    Example:
      vafa message redact trace.hex > to_send_away.hex
    """
    with reporting(form):
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, framing, dialect, left_out)
        cut = framing_of(framing)
        made: list[bytes] = []
        records: list[dict[str, Any]] = []
        notes: list[str] = []
        for one in given:
            with left_out.unless_broken():
                redacted = redact(known, decoded(known, one))
                data = encoded(known, one, redacted)
                made.append(framed(cut, data, one.tpdu))
                records.append(
                    {
                        "where": one.where,
                        "message": written(made[-1], output_format),
                        "changes": [change._asdict() for change in redacted.changes],
                    }
                )
                notes += [
                    f"{one.where}: {path}: {was} -> {now} ({why})" for path, was, now, why in redacted.changes
                ]
                if not redacted.changes:
                    notes.append(f"{one.where}: nothing to redact")
        if not made:
            left_out.end()
        print_messages("redact", form, made, records, notes, output, output_format)
        left_out.end()


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
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Write messages in another dialect; stderr says what is lost or changed. Redacted without --unsafe.

    \b
    Example:
      vafa message sample vafa earn | vafa message convert --to iso87-ascii
    """
    with reporting(form):
        allow(unsafe)
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, framing, dialect, left_out)
        target = dialect_named(to)
        cut = framing_of(to_framing or framing)
        chosen_year = year or datetime.date.today().year
        made: list[bytes] = []
        records: list[dict[str, Any]] = []
        notes: list[str] = []
        failed = False
        for one in given:
            with left_out.unless_broken():
                message = decoded(known, one)
                if not unsafe:
                    message = redact(known, message).message
                converted = convert(known, target, message, chosen_year)
                is_lossy = any(note.outcome == "lost" for note in converted.notes)
                failed |= converted.data is None or (strict and is_lossy)
                if converted.data is not None:
                    made.append(framed(cut, converted.data, one.tpdu))
                records.append(_conversion_record(one, known, target, converted, made, output_format, unsafe))
                notes += _conversion_notes(one, target, converted)
        if not unsafe:
            notes.append("card numbers and secrets were replaced; --unsafe keeps them")
        if not made:
            left_out.end()
        print_messages("convert", form, made, records, notes, output, output_format)
        if failed:
            raise typer.Exit(ExitCode.NEGATIVE)
        left_out.end()


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
        "from": mask_text(source.name),
        "to": mask_text(target.name),
        "redacted": not unsafe,
        "message": None if converted.data is None else written(made[-1], output_format),
        "notes": [note._replace(why=mask_text(note.why))._asdict() for note in converted.notes],
        "refused": mask_text(converted.refused),
    }


def _conversion_notes(one: Given, target: Dialect, converted: Converted) -> Iterator[str]:
    for path, outcome, was, now, why in converted.notes:
        values = f" {was or '(absent)'} -> {now}" if outcome == "changed" else f" {was}" if was else ""
        yield f"{one.where}: {path} {outcome}:{values} ({mask_text(why)})"
    if converted.refused:
        yield f"{one.where}: {mask_text(target.name)} can't carry it: {mask_text(converted.refused)}"
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
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
) -> None:
    """Check that messages decode and carry what they must. Exit code 1 with every problem named.

    \b
    Example:
      vafa message validate trace.hex --dialect iso93-bcd
    """
    with reporting(form):
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, framing, dialect, left_out)
        records, lines, invalid = [], [], False
        for one in given:
            with left_out.unless_broken():
                left_out.refuse(known, one)
                problems, name = _problems(known, one, mac)
                invalid |= bool(problems)
                records.append(
                    {"where": one.where, "valid": not problems, "name": name, "problems": problems}
                )
                if not problems:
                    lines.append(f"{one.where}: valid{', ' + name if name else ''}")
                lines += [
                    f"{one.where}: {problem['path']}{_at(problem['offset'])}: {problem['what']}"
                    f" (DE 39 = {problem['response_code']})"
                    for problem in problems
                ]
        print_records("validate", form, records, "\n".join(lines))
        if invalid:
            raise typer.Exit(ExitCode.NEGATIVE)
        left_out.end()


def _problems(dialect: Dialect, one: Given, mac: bool) -> tuple[list[dict[str, Any]], str | None]:
    try:
        message = dialect.decode(one.data)
    except DecodeError as error:
        what = f"expected {error.expected}, got {error.got}"
        code = error.response_code
        return [_problem(error.path, error.offset, what, code)], None
    found = dialect.check(message, mac_required=mac)
    return [_problem(path, None, what, code) for path, what, code in found], mask_text(
        dialect.name_of(message) or ""
    ) or None


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
    with reporting(form):
        named = [(dialect_named(name), name) for name in (*iso8583.shipped(), *(also or ()))]
        dialects = [known for known, _name in named]
        names = {known.name: name for known, name in reversed(named)}
        records, texts, unknown = [], [], False
        for file in files or ["-"]:
            written, found = _diagnosed(file, input_format, dialects)
            unknown |= not found.best
            records.append(_doctor_record(file, written, found))
            texts.append("\n".join(_doctor_text(file, written, found, names)))
        print_records("doctor", form, records, "\n\n".join(texts))
        if unknown:
            raise typer.Exit(ExitCode.NEGATIVE)


def _diagnosed(file: str, form: InputFormat, dialects: Sequence[Dialect]) -> tuple[str, Diagnosis]:
    """The best diagnosis over the ways the file could be written."""
    forms = [InputFormat.HEX, InputFormat.BASE64, InputFormat.BINARY] if form is InputFormat.AUTO else [form]
    if file == "-" and sys.stdin is not None:  # read once: the ways share it
        sys.stdin = _Replayed(sys.stdin.buffer.read(LARGEST_INPUT_BYTES + 1))
    wholly = text_form(file) if form is InputFormat.AUTO else form
    if wholly is InputFormat.JSON:
        return wholly.value, diagnose_json(json_fields(file), dialects)
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
    best = max(found, key=lambda one: one[1].fits[0].score if one[1].fits else -1)
    if not best[1].best and wholly is InputFormat.HEX:  # its digits are not the message, whatever they score
        return found[0]
    return best


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
        "best": [{"dialect": mask_text(fit.dialect), "framing": fit.framing} for fit in found.best],
        "fits": [
            {
                "dialect": mask_text(fit.dialect),
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


def _doctor_text(file: str, written: str, found: Diagnosis, names: Mapping[str, str]) -> Iterator[str]:
    """names: by what name, or file, a dialect is had."""
    name = "standard input" if file == "-" else mask_text(file)
    fits = found.fits
    if found.best:
        best = found.best[0]
        yield f"{name} ({written}): {mask_text(best.dialect)}, framing {best.framing}"
        others = [f"{mask_text(fit.dialect)} with {fit.framing}" for fit in found.best[1:]]
        if others:
            yield f"fits as well: {', '.join(others)}"
    else:
        yield f"{name} ({written}): no shipped dialect and framing fit"
    yield ""
    yield f"{'score':>5}  {'dialect':<16}  {'framing':<18}  why"
    for fit in fits[:FITS_SHOWN]:
        yield f"{fit.score:>5}  {mask_text(fit.dialect):<16}  {fit.framing:<18}  {mask_text(fit.why)}"
    seen = {fit.dialect for fit in fits[:FITS_SHOWN]}
    for fit in fits[FITS_SHOWN:]:
        if fit.dialect not in seen:
            seen.add(fit.dialect)
            yield f"{fit.score:>5}  {mask_text(fit.dialect):<16}  {fit.framing:<18}  {mask_text(fit.why)}"
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
        dialect = mask_text(names[best.dialect])
        yield f"try: vafa message view {source} --dialect {dialect}{framing} --input-format {written}"
    else:
        yield "try: write the partner's dialect as a TOML file, then --also FILE; vafa spec check FILE"


# ---------------------------------------------------------------- sample


@app.command()
def sample(
    dialect: Annotated[str, typer.Argument(help="A shipped dialect, or a TOML file.")] = DEFAULT_DIALECT,
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
    with reporting(form):
        samples = _samples_of(dialect)
        chosen = [one for one in samples if not names or one.name in names]
        for name in names or ():
            if name not in {one.name for one in samples}:
                known = ", ".join(one.name for one in samples)
                raise CommandError(f"{dialect} has no sample {name!r}", ExitCode.USAGE, f"one of {known}")
        cut = framing_of(framing)
        made = [framed(cut, bytes.fromhex(one.hex), None) for one in chosen]
        records = [
            {"dialect": dialect, "name": one.name, "message": written(data, output_format)}
            for one, data in zip(chosen, made, strict=True)
        ]
        if listing:
            print_records("sample", form, records, "\n".join(one.name for one in chosen))
            return
        print_messages("sample", form, made, records, [], output, output_format)


def _samples_of(dialect: str) -> Sequence[iso8583.Sample]:
    """The samples of a shipped dialect, or those beside a dialect file."""
    if dialect in iso8583.shipped():
        return iso8583.samples(dialect)
    file = Path(dialect)
    if file.suffix != ".toml":
        shipped = ", ".join(iso8583.shipped())
        raise CommandError(
            f"no dialect {dialect!r} is shipped", ExitCode.USAGE, f"one of {shipped}; a file ends in .toml"
        )
    known = dialect_named(dialect)
    place = iso8583.samples_file(file)
    try:
        found = iso8583.samples_beside(file, known.name)
    except iso8583.DialectError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION, f"correct {place}") from None
    if not found:
        raise CommandError(
            f"{dialect} has no samples: {place} is not there or has none",
            ExitCode.USAGE,
            'write there: [[sample]], name = "sign-on", hex = "0800…"',
        )
    return found


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
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Write messages as a capture that Wireshark opens. Redacted without --unsafe.

    Requests come from the client, answers from the server.

    \b
    Example:
      vafa message sample iso87-ascii | vafa message pcap -d iso87-ascii -o samples.pcap
    """
    with reporting(form):
        allow(unsafe)
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, input_framing, dialect, left_out)
        cut = framing_of(framing)
        moments = _moments(times or [], interval_ms, len(given))
        sent = []
        for at_us, one in zip(moments, given, strict=True):
            with left_out.unless_broken():
                message = decoded(known, one)
                data = one.data if unsafe else encoded(known, one, redact(known, message))
                sent.append(Sent(at_us, message.mti[2:3] in "0246", framed(cut, data, one.tpdu)))
        if not sent:
            left_out.end()
        ends = Ends(*_address("--client", client), *_address("--server", server))
        try:
            output.write_bytes(capture(sent, ends))
        except OSError as error:
            raise CommandError(
                f"{output}: {error.strerror}", ExitCode.USAGE, "name a file to write"
            ) from None
        note = "" if unsafe else "; card numbers and secrets were replaced, --unsafe keeps them"
        record = {"file": mask_text(str(output)), "messages": len(sent), "redacted": not unsafe}
        text = f"wrote {mask_text(str(output))}: {len(sent)} messages, port {ends.server_port}{note}"
        print_records("pcap", form, [record], text)
        left_out.end()


def _moments(times: Sequence[str], interval_ms: int, count: int) -> list[int]:
    """Microseconds since 1970 for each message."""
    if len(times) > count:
        raise CommandError(f"{len(times)} times for {count} messages", ExitCode.USAGE, "one --time a message")
    moments = []
    for text in times or [DEFAULT_TIME]:
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
    if any(not 0 <= moment < LATEST_MOMENT_US for moment in moments):
        raise CommandError(
            "a time before 1970 or after 2105", ExitCode.USAGE, "write like 2026-11-21T17:15:12Z"
        )
    return moments


def _address(option: str, text: str) -> tuple[str, int]:
    found = re.fullmatch(r"((?:[0-9]{1,3}\.){3}[0-9]{1,3}):([0-9]{1,5})", text)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    if found is None or max(numbers) > 255 or not 0 < int(found[2]) < 65536:
        raise CommandError(f"{option} {text!r} is no IPv4 address and port", ExitCode.USAGE, "10.0.0.1:40000")
    return ".".join(map(str, numbers)), int(found[2])
