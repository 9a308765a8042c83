"""`vafa batch`: batches that terminals closed, and what is to be settled where totals differed. Reads only.

JSON has amounts, numbers and ids as strings.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn

import typer

from switch.authorizer.identity import rrn_of
from switch.ledger import BatchTotal
from switch.ledger.reading import Reading
from switch.settlement.work_list import (
    Closed,
    Item,
    Line,
    closed_batch,
    closed_batches,
    differences,
    lines,
    points_of,
)
from tools.cli import CommandError, ExitCode
from tools.ledger import Format
from tools.ledger_options import Config, Data, Language, reading_of
from tools.settlement_words import Words, table

app = typer.Typer(no_args_is_help=True)

_STAN = slice(16, 19)  # of an identity: BCD

_Terminal = Annotated[str, typer.Argument(metavar="TERMINAL", help="The terminal's id (DE 41).")]
_Number = Annotated[int, typer.Argument(metavar="BATCH", help="The batch's number (DE 60).")]
_Format = Annotated[Format, typer.Option("--format", help="How to print it.")]
_Language = Annotated[Language, typer.Option(help="Of the text.")]


@app.callback()
def batch() -> None:
    """Look at the batches that terminals closed."""


@app.command("list")
def list_batches(
    data: Data = None,
    config: Config = None,
    terminal: Annotated[str, typer.Option(help="Only this terminal's.")] = "",
    open_only: Annotated[
        bool, typer.Option("--differences", help="Only those whose totals differed.")
    ] = False,
    format: _Format = Format.TEXT,
    language: _Language = Language.ENGLISH,
) -> None:
    """List closed batches by terminal and number.

    \b
    Example:
      vafa batch list --data data --differences
    """
    with reading_of(data, config) as (_, reading):
        found = [one for one in closed_batches(reading, terminal) if one.differs or not open_only]
        days = [_day_of(reading, one) for one in found]
    if format is Format.JSON:
        document = [{**_named(one), "day": day} for one, day in zip(found, days, strict=True)]
        typer.echo(json.dumps({"batches": document}, ensure_ascii=False))
        return
    words = Words(language)
    heading = [words.of(name) for name in ("terminal", "batch", "day", "state")]
    rows = [
        [one.terminal, f"{one.number:06d}", words.day(day), words.of(one.state)]
        for one, day in zip(found, days, strict=True)
    ]
    typer.echo(table([heading, *rows]) if rows else words.of("none"))


@app.command()
def show(
    terminal: _Terminal,
    number: _Number,
    data: Data = None,
    config: Config = None,
    format: _Format = Format.TEXT,
    language: _Language = Language.ENGLISH,
) -> None:
    """Show the totals of a closed batch: what the terminal claims beside what is booked.

    Exit code 0: they agree; 1: they don't, or there is no such batch.

    \b
    Example:
      vafa batch show 10000001 1 --data data
    """
    with reading_of(data, config) as (_, reading):
        closed = _found(reading, terminal, number)
        found = lines(reading, closed)
    if format is Format.JSON:
        totals = [
            {
                "operation": line.operation,
                "agrees": line.agrees,
                "claimed": _as_strings(line.claimed),
                "booked": _as_strings(line.booked),
            }
            for line in found
        ]
        typer.echo(json.dumps({**_named(closed), "totals": totals}, ensure_ascii=False))
    else:
        typer.echo(_totals_text(closed, found, Words(language)))
    if closed.differs:
        raise typer.Exit(ExitCode.NEGATIVE)


@app.command("differences")
def list_differences(
    terminal: _Terminal,
    number: _Number,
    data: Data = None,
    config: Config = None,
    format: _Format = Format.TEXT,
    language: _Language = Language.ENGLISH,
) -> None:
    """List the items of a batch that aren't the same at the terminal and at the switch.

    It reads the whole ledger. Exit code 0: none; 1: some, or there is no such batch.

    \b
    Example:
      vafa batch differences 10000001 2 --data data --format json
    """
    with reading_of(data, config) as (_, reading):
        closed = _found(reading, terminal, number)
        items = differences(reading, closed)
    if format is Format.JSON:
        document = {**_named(closed), "items": [_item(item) for item in items]}
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        typer.echo(_items_text(items, Words(language)))
    if closed.differs:
        raise typer.Exit(ExitCode.NEGATIVE)


def _found(reading: Reading, terminal: str, number: int) -> Closed:
    closed = closed_batch(reading, terminal, number)
    return closed if closed is not None else _missing(terminal, number)


def _missing(terminal: str, number: int) -> NoReturn:
    raise CommandError(
        f"terminal {terminal} closed no batch {number}",
        ExitCode.NEGATIVE,
        "vafa batch list says which batches were closed",
    )


def _day_of(reading: Reading, closed: Closed) -> str:
    row = reading.entry(closed.entry)
    return "" if row is None else str(row[8])


def _named(closed: Closed) -> dict[str, Any]:
    return {"terminal": closed.terminal, "batch": str(closed.number), "state": closed.state}


def _as_strings(total: BatchTotal) -> dict[str, str]:
    return {"entries": str(total.entries), "amount": str(total.amount), "points": str(total.units)}


def _totals_text(closed: Closed, found: list[Line], words: Words) -> str:
    columns = ("entries", "amount", "points")
    heading = ["", words.of("operation")]
    heading += [
        f"{words.of(column)}: {words.of(side)}" for column in columns for side in ("claimed", "booked")
    ]
    rows = []
    for line in found:
        row = ["" if line.agrees else "*", words.operation(line.operation)]
        claimed, booked = line.claimed, line.booked
        for name in ("entries", "amount", "units"):
            row += [words.number(getattr(claimed, name)), words.number(getattr(booked, name))]
        rows.append(row)
    named = (
        f"{words.of('terminal')} {closed.terminal}, {words.of('batch')} {closed.number:06d}:"
        f" {words.of(closed.state)}"
    )
    return "\n".join([named, table([heading, *rows])] if rows else [named, words.of("none")])


def _items_text(items: list[Item], words: Words) -> str:
    names = ("finding", "operation", "stan", "rrn")
    heading = [words.of(name) for name in names]
    heading += [f"{words.of(name)}: {words.of(side)}" for side in ("claimed", "booked") for name in _VALUES]
    rows = []
    for item in items:
        told = _item(item)
        row = [words.of(told["finding"]), words.operation(told["operation"]), told["stan"], told["rrn"]]
        for side in ("claimed", "booked"):
            values = told[side]
            row += ["-" if values is None else words.number(int(values[name])) for name in _VALUES]
        rows.append(row)
    return table([heading, *rows]) if rows else words.of("none")


_VALUES = ("amount", "points")


def _item(item: Item) -> dict[str, Any]:
    """One item of the work list, ready for JSON."""
    claimed, booked = item.claimed, item.booked
    identity = claimed.original if claimed is not None else booked.identity if booked is not None else b""
    rrn = claimed.rrn if claimed is not None else ""
    if booked is not None:
        rrn = rrn_of(booked.bucket, booked.id)
    operation = booked.operation if booked is not None else claimed.operation if claimed is not None else ""
    return {
        "finding": item.finding,
        "operation": operation,
        "stan": identity[_STAN].hex(),
        "rrn": rrn,
        "claimed": None if claimed is None else {"amount": str(claimed.amount), "points": str(claimed.units)},
        "booked": None
        if booked is None
        else {"amount": str(booked.amount), "points": str(points_of(booked))},
    }
