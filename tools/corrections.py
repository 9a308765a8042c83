"""`vafa ledger correct`, `approve`, `refuse`, `corrections`: points given or taken by people, never by one
alone above what the settings allow.

Each step is kept in a sealed list. A switch that runs on the data directory books what is released; without
one it is booked here, under the switch's own lock.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from switch.authorizer.identity import parse_rrn, rrn_of
from switch.ledger import NotLoaded, State, bucket_of_member
from switch.ledger.history import member_of_entry
from switch.settings import Settings, load_for
from switch.settlement.corrections import (
    APPROVED,
    FILE_NAME,
    IMPOSSIBLE,
    PENDING,
    REFUSED,
    RELEASED,
    CorrectionError,
    Listed,
    ask,
    listed,
    note,
    settle,
)
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data, Language, reading_of, told, without_switch
from tools.settlement_words import Words, table

# A running switch looks once a second; past this it is asked to look later.
PATIENCE_S = 15.0
_POLL_S = 0.1
_WAIT = "wait for the switch"

Value = TypeVar("Value")


class Unit(StrEnum):
    """What is corrected."""

    POINTS = "points"
    STAMPS = "stamps"
    CASH = "cash"
    TICKETS = "tickets"


_By = Annotated[str, typer.Option(help="Who does this: a person's name.", show_default=False)]
_Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The correction's number.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Language = Annotated[Language, typer.Option(help="Of the text.")]


def correct(
    points: Annotated[int, typer.Option(help="How many to give, or with - to take.", show_default=False)],
    reason: Annotated[str, typer.Option(help="A code: letters, digits, - _ or .", show_default=False)],
    by: _By,
    member: Annotated[int | None, typer.Option(help="The member's id.")] = None,
    rrn: Annotated[str | None, typer.Option(help="A reference number (DE 37) of the member.")] = None,
    unit: Annotated[Unit, typer.Option(help="Of what; cash credit in rial.")] = Unit.POINTS,
    data: Data = None,
    config: Config = None,
    as_json: _Json = False,
    language: _Language = Language.ENGLISH,
) -> None:
    """Ask for a correction of a member's points, stamps, cash credit or draw tickets; a second person has to
    approve it.

    Up to program.correction_alone_points points a day one person is enough, and it is booked at once.

    \b
    Example:
      vafa ledger correct --rrn 9C0A1B2C3D4E --points -20 --reason wrong-card --by "Sara Karimi" --data data
    """
    if (member is None) == (rrn is None):
        raise CommandError("a correction is of one member", ExitCode.USAGE, "give --member or --rrn")
    with reading_of(data, config) as (settings, reading):
        if rrn is not None:
            member = member_of_entry(reading, _entry_of(rrn))
        if not member or reading.member(member) is None:
            raise CommandError("no such member", ExitCode.NEGATIVE, "copy the number from the receipt")
    alone = settings.program.correction_alone_points
    with _refused():
        one = ask(
            _path(settings), settings.seal_key, member, points, reason, by, _now_ms(), alone, unit.value
        )
    _tell(_booked(settings, one), as_json, Words(language))


def approve(
    number: _Number,
    by: _By,
    data: Data = None,
    config: Config = None,
    as_json: _Json = False,
    language: _Language = Language.ENGLISH,
) -> None:
    """Approve a correction that another person asked for; it is booked then.

    \b
    Example:
      vafa ledger approve 1 --by "Reza Ahmadi" --data data
    """
    _settle(number, APPROVED, by, data, config, as_json, language)


def refuse(
    number: _Number,
    by: _By,
    data: Data = None,
    config: Config = None,
    as_json: _Json = False,
    language: _Language = Language.ENGLISH,
) -> None:
    """Refuse a correction that isn't approved yet, another person's or one's own.

    \b
    Example:
      vafa ledger refuse 1 --by "Reza Ahmadi" --data data
    """
    _settle(number, REFUSED, by, data, config, as_json, language)


def corrections(
    data: Data = None,
    config: Config = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait for approval.")] = False,
    as_json: _Json = False,
    language: _Language = Language.ENGLISH,
) -> None:
    """List all corrections: who asked, who approved or refused, what became of them.

    \b
    Example:
      vafa ledger corrections --data data --json
    """
    with told():
        settings = load_for(data, config)
    with _refused():
        found = [
            one for one in listed(_path(settings), settings.seal_key) if one.state == PENDING or not pending
        ]
    if as_json:
        typer.echo(json.dumps({"corrections": [_document(one) for one in found]}, ensure_ascii=False))
        return
    words = Words(language)
    names = ("correction", "member", "number", "unit", "reason", "asked_by", "settled_by", "state", "rrn")
    rows = []
    for one in found:
        told_of = _document(one)
        rows.append(
            [
                told_of["correction"],
                told_of["member"],
                words.number(one.asked.points),
                words.of(one.asked.unit),
                told_of["reason"],
                told_of["asked_by"],
                told_of["settled_by"] or "-",
                words.of(f"state {one.state}"),
                told_of["rrn"] or "-",
            ]
        )
    typer.echo(table([[words.of(name) for name in names], *rows]) if rows else words.of("none"))


# ---------------------------------------------------------------- steps


def _settle(
    number: int,
    what: str,
    by: str,
    data: Path | None,
    config: Path | None,
    as_json: bool,
    language: Language,
) -> None:
    with told():
        settings = load_for(data, config)
    with _refused():
        one = settle(_path(settings), settings.seal_key, number, what, by, _now_ms())
    _tell(_booked(settings, one), as_json, Words(language))


def _tell(one: Listed, as_json: bool, words: Words) -> None:
    if as_json:
        typer.echo(json.dumps(_document(one), ensure_ascii=False))
    else:
        document = _document(one)
        line = f"{words.of('correction')} {document['correction']}: {words.of(f'state {one.state}')}"
        typer.echo(f"{line}, {words.of('rrn')} {document['rrn']}" if document["rrn"] else line)
    if one.state == IMPOSSIBLE:
        raise typer.Exit(ExitCode.NEGATIVE)


def _document(one: Listed) -> dict[str, Any]:
    asked = one.asked
    return {
        "correction": str(asked.number),
        "member": str(asked.member),
        "points": str(asked.points),
        "unit": asked.unit,
        "reason": asked.reason,
        "asked_by": asked.by,
        "asked_ms": str(asked.at_ms),
        "state": one.state,
        "settled_by": one.settled_by,
        "settled_ms": str(one.settled_ms),
        "rrn": rrn_of(bucket_of_member(asked.member), one.entry) if one.entry else "",
    }


def _entry_of(rrn: str) -> int:
    try:
        return parse_rrn(rrn.upper())[1]
    except ValueError as error:
        raise CommandError(f"{rrn!r}: {error}", ExitCode.USAGE, "copy it from the receipt") from None


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except CorrectionError as error:
        raise CommandError(str(error), ExitCode.NEGATIVE) from None


def _path(settings: Settings) -> Path:
    return settings.data / FILE_NAME


def _now_ms() -> int:
    from switch.server.clock import SystemClock  # the server's parts: not needed to read a ledger

    return SystemClock().now_ms()


# ---------------------------------------------------------------- booking


def _booked(settings: Settings, one: Listed) -> Listed:
    """Have a released correction booked, by the switch that runs or here; as it is then."""
    begun = time.monotonic()
    while one.state == RELEASED and time.monotonic() - begun < PATIENCE_S:
        try:
            with without_switch(settings, _WAIT), told(), _refused():
                return _book(settings, one)
        except CommandError as error:
            if error.try_next != _WAIT:
                raise
        time.sleep(_POLL_S)
        with _refused():
            found = listed(_path(settings), settings.seal_key)
        one = next(there for there in found if there.asked.number == one.asked.number)
    return one


def _book(settings: Settings, one: Listed) -> Listed:
    # The switch's own parts: no other command of a ledger decides anything.
    from switch import iso8583
    from switch.server.clock import SystemClock
    from switch.server.corrections import correction_of
    from switch.server.pipeline import authorizer_of

    correction = correction_of(one)
    authorizer = authorizer_of(iso8583.load("vafa"), settings.program, settings.directory_key)
    clock = SystemClock()
    with closing(settings.ledger_place.open_engine(settings.seal_key)) as engine:
        epoch = engine.claim(f"vafa ledger {os.getpid()}")
        state = State(engine.start())

        def asked(question: Callable[[], Value]) -> Value:
            while True:
                try:
                    return question()
                except NotLoaded as missing:
                    state.fill(missing.load, engine.load(missing.load))

        day = max(clock.local().date().isoformat(), state.business_date)
        now_ms = clock.now_ms()
        member = asked(partial(state.member, correction.member))
        due = asked(partial(authorizer.due, state, member, day, now_ms))
        if due is not None:
            asked(partial(state.apply, due))
        entry = asked(partial(authorizer.corrected, state, correction, day, now_ms))
        if entry is not None:
            asked(partial(state.apply, entry))
        booked = asked(partial(state.entry, correction.identity))
        changes = state.batch()
        if changes.entries:
            engine.stage(changes, epoch)
            engine.sync()
    entry_id = 0 if booked is None else booked.id
    return note(_path(settings), settings.seal_key, one.asked.number, entry_id, now_ms)
