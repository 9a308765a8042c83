"""`vafa settlement`: totals of a business day, what merchants are owed, from the ledger's sums. Reads only.

JSON has amounts and numbers as strings.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from switch.ledger import Count, Scope
from switch.settlement.totals import Standing, Totals, day_totals, newest_day, standings
from tools.cli import CommandError, ExitCode
from tools.ledger import Format
from tools.ledger_options import Config, Data, Language, parse_date, reading_of
from tools.settlement_words import Words, table

app = typer.Typer(no_args_is_help=True)


@app.callback()
def settlement() -> None:
    """What merchants and terminals did, and what merchants are owed."""


@app.command()
def totals(
    day: Annotated[
        str, typer.Option(help="Business day, 2026-11-22 or 1405-09-01; the newest one when left out.")
    ] = "",
    merchant: Annotated[str, typer.Option(help="Only this merchant (DE 42).")] = "",
    terminal: Annotated[str, typer.Option(help="This terminal (DE 41) instead of merchants.")] = "",
    data: Data = None,
    config: Config = None,
    format: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TEXT,
    language: Annotated[Language, typer.Option(help="Of the text.")] = Language.ENGLISH,
) -> None:
    """Print the totals of a business day by merchant (or of a terminal), and each merchant's rial to date.

    What was approved and belongs to a batch counts. A reversal counts on the day it came, as itself.

    \b
    Example:
      vafa settlement totals --data data --day 2026-11-22
      vafa settlement totals --data data --terminal 10000001 --format json
    """
    if merchant and terminal:
        raise CommandError("a merchant and a terminal are given", ExitCode.USAGE, "give one of them")
    wanted = parse_date(day) if day else ""
    scope, holder = (Scope.TERMINAL, terminal) if terminal else (Scope.ACCEPTOR, merchant)
    with reading_of(data, config) as (_, reading):
        of_day = wanted or newest_day(reading)
        found = day_totals(reading, scope, of_day, holder)
        rial = {} if terminal else standings(reading)
    if merchant:
        rial = {merchant: rial.get(merchant, Standing(0, 0))}
    if format is Format.JSON:
        typer.echo(json.dumps(_document(of_day, scope, found, rial), ensure_ascii=False))
    else:
        typer.echo(_text(of_day, scope, found, rial, Words(language)))


def _document(day: str, scope: Scope, found: Totals, rial: dict[str, Standing]) -> dict[str, Any]:
    kind = "terminal" if scope is Scope.TERMINAL else "merchant"
    holders = []
    for name in sorted({*found, *rial}):
        operations = [
            {"operation": operation, **_strings(count)}
            for operation, count in sorted(found.get(name, {}).items())
        ]
        holder: dict[str, Any] = {kind: name, "operations": operations}
        if name in rial:
            standing = rial[name]
            holder["rial_to_date"] = {
                "owes": str(standing.owes),
                "is_owed": str(standing.is_owed),
                "net": str(standing.net),
            }
        holders.append(holder)
    return {"day": day, f"{kind}s": holders}


def _strings(count: Count) -> dict[str, str]:
    return {"entries": str(count.entries), "amount": str(count.amount), "points": str(count.units)}


def _text(day: str, scope: Scope, found: Totals, rial: dict[str, Standing], words: Words) -> str:
    kind = words.of("terminal" if scope is Scope.TERMINAL else "merchant")
    parts = [f"{words.of('day')} {words.day(day)}" if day else words.of("none")]
    heading = [words.of(name) for name in ("operation", "entries", "amount", "points")]
    for name in sorted({*found, *rial}):
        parts.append(f"\n{kind} {name}")
        rows = [
            [words.operation(operation), *(words.number(value) for value in count)]
            for operation, count in sorted(found.get(name, {}).items())
        ]
        parts.append(table([heading, *rows]) if rows else words.of("none"))
        if name in rial:
            standing = rial[name]
            named = {"owes": standing.owes, "is_owed": standing.is_owed, "net": standing.net}
            parts.append(table([words.of(key), words.number(value)] for key, value in named.items()))
    return "\n".join(parts)
