"""`vafa message send` and `serve`: a client for one message after the other, and a host that stays up."""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from switch.iso8583 import Dialect, Message, mask_text
from tools.cli import CommandError, ExitCode
from tools.message_events import EventLines
from tools.message_input import UNFRAMED, Given, InputFormat
from tools.message_meaning import response_meaning
from tools.message_options import (
    DEFAULT_DIALECT,
    DEFAULT_FRAMING,
    SCHEMA,
    DialectName,
    Files,
    Format,
    InputForm,
    LeftOut,
    OutputForm,
    SkipBroken,
    Unsafe,
    allow,
    decoded,
    dialect_named,
    given_in,
    line_framing,
    partly_decoded,
    print_records,
    reporting,
)
from tools.message_send import Answered, Line, Target, Timing, tls_context
from tools.message_terminal import Terminal, fresh, read_terminal
from tools.message_text import view_record, view_text
from tools.message_view import view

LONGEST_WAIT_S = 86_400  # nobody waits longer than a day for an answer
MOST_FILES = 16_384  # of the host's process: more than it takes connections
# DE 39 of an answer that says yes: anything of zeros, and these (1987; 1993 and 2003 by class of message).
APPROVALS = ("08", "10", "11", "16", "300", "400", "500", "600", "700", "800")


def _number(seconds: float) -> float:
    """NaN is neither below the least nor above the most. Raises typer.BadParameter."""
    if math.isnan(seconds):
        raise typer.BadParameter("nan is no time to wait")
    return seconds


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
        typer.Option(
            "--timeout",
            min=0.001,
            max=LONGEST_WAIT_S,
            callback=_number,
            help="Seconds to wait for the connection and each answer.",
        ),
    ] = 15.0,
    tls: Annotated[bool, typer.Option("--tls", help="TLS, the host's certificate checked.")] = False,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM of the authority to trust; means TLS.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="PEM of our certificate; means TLS.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="PEM of our certificate's key.")] = None,
    server_name: Annotated[
        str | None, typer.Option("--server-name", help="Name in the host's certificate. Default: the host.")
    ] = None,
    terminal: Annotated[
        Path | None,
        typer.Option(
            "--terminal", help="Send as this terminal, with its MAC: terminals/ID.json of a switch."
        ),
    ] = None,
    now: Annotated[
        bool, typer.Option("--fresh", help="A new number in 11, this moment in 7, 12, 13.")
    ] = False,
    skip_broken: SkipBroken = False,
    form: OutputForm = Format.TEXT,
    unsafe: Unsafe = False,
) -> None:
    """Send messages to a host and decode its answers. Exit code 1 for a decline, 3 for no answer.

    \b
    Example:
      vafa message serve --port 8583 &
      vafa message sample vafa sign-on | vafa message send 127.0.0.1:8583
      vafa message sample vafa sign-on | vafa message send 127.0.0.1:8583 --fresh \\
          --terminal data/terminals/10000001.json
    """
    with reporting(form):
        allow(unsafe)
        left_out = LeftOut(skip_broken, form)
        known, given = given_in(files, input_format, input_framing, dialect, left_out)
        cut = line_framing(framing)
        context = tls_context(ca, cert, key) if tls or ca or cert else None
        sender = None if terminal is None else read_terminal(terminal)
        ready: list[Given] = []
        for one in given:
            with left_out.unless_broken():
                left_out.refuse(known, one)
                ready.append(_as_sent(known, one, sender, now))
        if not ready:
            left_out.end()
        records, texts, refused = [], [], False
        try:
            with Line(_target(target, context, server_name), cut, timeout) as line:
                for one in ready:
                    answered = line.exchange(one.data, one.tpdu)
                    record, text, approved = _exchange(known, one, answered, unsafe, sender)
                    refused |= not approved
                    records.append(record)
                    texts.append(text)
        finally:
            if records:
                print_records("send", form, records, "\n\n".join(texts))
        if refused:
            raise typer.Exit(ExitCode.NEGATIVE)
        left_out.end()


def _as_sent(dialect: Dialect, one: Given, sender: Terminal | None, now: bool) -> Given:
    """A message as it goes out: its own bytes, unless it is made anew."""
    if sender is None and not now:
        return one
    message = decoded(dialect, one)
    if now:
        message = fresh(message, datetime.now().astimezone())
    data = dialect.encode(message) if sender is None else sender.signed(dialect, message)
    return one._replace(data=data)


def _target(text: str, context: ssl.SSLContext | None, server_name: str | None) -> Target:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and port.isascii() and 0 < int(port) < 65536):
        raise CommandError(f"{text!r} is no HOST:PORT", ExitCode.USAGE, "write like 127.0.0.1:8583")
    return Target(host.strip("[]"), int(port), context, server_name)


def _exchange(
    dialect: Dialect, one: Given, answered: Answered, unsafe: bool, sender: Terminal | None
) -> tuple[dict[str, Any], str, bool]:
    request = partly_decoded(dialect, one.data)
    seen = view(dialect, answered.payload, reveal=unsafe)
    answer = None if seen.error is not None else seen.message
    code = answer.get("39") if answer is not None else None
    code = code if isinstance(code, str) else None
    strange = _mismatches(request, answer)
    if sender is not None and not sender.mac_is_right(dialect, answered.payload):
        strange.append("its MAC is not the answer key's")
    approved = code is not None and _is_approval(code) and not strange
    timing = {name: round(ms, 3) for name, ms in answered.timing._asdict().items()}
    record = {
        "where": one.where,
        "approved": approved,
        "response_code": code,
        "meaning": _code_meaning(dialect, code),
        "mismatches": strange,
        "timing": timing,
        "answer": view_record(dialect, Given("answer", answered.payload, answered.tpdu), seen, unsafe),
    }
    if seen.error is not None:
        verdict = f"the answer can't be decoded as {mask_text(dialect.name)}"
    else:
        verdict = "no response code" if code is None else f"{code} {_code_meaning(dialect, code)}".rstrip()
    lines = [f"{one.where}: {'approved' if approved else 'not approved'}: {verdict}"]
    lines.append(_timing_text(answered.timing))
    lines += [f"the answer can't be trusted: {what}" for what in strange]
    lines += view_text(dialect, Given("answer", answered.payload, answered.tpdu), seen, unsafe)
    return record, "\n".join(lines), approved


def _timing_text(timing: Timing) -> str:
    tls = f", TLS {timing.tls_ms:.1f} ms" if timing.tls_ms else ""
    return f"connected in {timing.connect_ms:.1f} ms{tls}, answered in {timing.answer_ms:.1f} ms"


def _code_meaning(dialect: Dialect, code: str | None) -> str:
    if code is None:
        return ""
    known = dialect.response_codes.get(code)
    return mask_text(known.title.en) if known is not None else response_meaning(code)


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
    with reporting(form):
        import asyncio  # only this verb needs these

        from simulators.bank_host import rules as bank_rules
        from simulators.bank_host.server import BankHostServer, Place

        try:
            names = bank_rules.Names(None, None) if rules is None else bank_rules.names_in(rules)
            known = dialect_named(dialect or names.dialect or DEFAULT_DIALECT)
            told = bank_rules.HostRules() if rules is None else bank_rules.read(rules, known)
        except bank_rules.RulesError as error:
            raise CommandError(str(error), ExitCode.CONFIGURATION, "correct the rules file") from None
        cut = line_framing(framing or names.framing or DEFAULT_FRAMING)
        place = Place(host, _first(port, told.port, 8583), _server_tls(cert, key, client_ca))
        _allow_many_files()
        events = EventLines(None if form is Format.TEXT else SCHEMA.format(verb="serve"))
        try:
            asyncio.run(_serve(BankHostServer(known, cut, told, events.tell, rules), place))
        finally:
            events.close()


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


async def _serve(server: Any, place: Any) -> None:
    import asyncio

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start(place)
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "errno", None)
        is_named = isinstance(error, UnicodeError | socket.gaierror)
        what = "no such address" if is_named or not cause else os.strerror(cause)
        raise CommandError(
            f"{place.host}:{place.port}: can't listen: {what}",
            ExitCode.NETWORK,
            "--port 0 takes any free port",
        ) from None
    await stopped.wait()
    await server.stop()


def _allow_many_files() -> None:
    """As many open files, and so connections, as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
