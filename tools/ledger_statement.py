"""`vafa ledger statement`, `balance`, `export`: what happened, for members, cashiers, accountants, auditors.

Card numbers go in by a prompt or a file and come out masked; the ledger has no other.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from switch.authorizer.identity import card_identifier, parse_rrn, rrn_of
from switch.ledger.history import (
    KINDS,
    Change,
    Event,
    FoundBy,
    day_text,
    events,
    exported,
    found_by,
    member_at,
    member_of_entry,
    member_of_identifier,
    moment_text,
)
from switch.ledger.lots import last_day
from switch.ledger.model import Basket, BookedLate, Entry, IdentifierKind, LotPart, Member, Unit, Wallet
from switch.ledger.reading import Reading
from switch.settings import Settings
from terminal.text import digits_of, latin_digits, luhn_valid
from tools.cli import CommandError, ExitCode
from tools.keys_prompt import StandardPrompt
from tools.ledger_options import (
    Config,
    Data,
    Language,
    jalali_text,
    parse_date,
    parse_moment,
    reading_of,
)


class Format(StrEnum):
    """How a statement is printed."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Rows(StrEnum):
    """How rows are printed."""

    CSV = "csv"
    JSONL = "jsonl"


class Kind(StrEnum):
    """What is exported."""

    POSTINGS = "postings"
    TRANSFERS = "transfers"
    MOVES = "moves"
    LOTS = "lots"


MemberId = Annotated[int | None, typer.Option("--member", help="Member id.")]
Rrn = Annotated[
    str | None, typer.Option("--rrn", help="Reference number (DE 37) of one of the member's entries.")
]
Card = Annotated[bool, typer.Option("--card", help="Ask for the card number; it isn't shown.")]
CardFile = Annotated[Path | None, typer.Option(help="File with the card number; - is the standard input.")]

_PERSIAN = {
    "member": "عضو",
    "status": "وضعیت",
    "balance": "موجودی",
    "pending": "در انتظار",
    "held": "نگه‌داشته",
    "debt": "بدهی",
    "lots": "بسته‌ها",
    "no entries": "بدون تراکنش",
    "time": "زمان",
    "operation": "عملیات",
    "response": "پاسخ",
    "terminal": "پایانه",
    "change": "تغییر",
    "rrn": "شماره پیگیری",
    "until": "تا",
    "from": "از",
    "active": "فعال",
    "inactive": "غیرفعال",
    "blocked": "مسدود",
    "points": "امتیاز",
    "stamps": "تمبر",
    "cash": "اعتبار نقدی",
    "tickets": "بلیت قرعه‌کشی",
    "activate": "فعال‌سازی",
    "earn": "کسب",
    "redeem": "خرج",
    "hold": "نگه‌داشتن",
    "capture": "برداشت",
    "release": "آزادسازی",
    "refund": "بازگشت خرید",
    "return": "مرجوعی",
    "void": "ابطال",
    "due": "سررسید",
    "reversal": "برگشت",
    "block": "مسدود کردن",
    "unblock": "رفع مسدودی",
    "replace": "تعویض کارت",
    "pin_change": "تغییر رمز",
    "code": "رمز یکبارمصرف",
    "transfer": "انتقال",
    "take_in": "دریافت انتقال",
    "correction": "اصلاح",
    "late, of": "دیر ثبت‌شده، فروش",
}


class _Words:
    """Words, digits and dates of a language."""

    def __init__(self, language: Language) -> None:
        self._persian = language is Language.PERSIAN

    def of(self, word: str) -> str:
        return _PERSIAN.get(word, word) if self._persian else word

    def operation(self, name: str) -> str:
        return " ".join(self.of(part) for part in name.split("."))

    def number(self, value: object) -> str:
        return digits_of(str(value), "fa") if self._persian else str(value)

    def day(self, iso: str) -> str:
        return self.number(jalali_text(iso)) if self._persian and iso else iso

    def moment(self, ms: int) -> str:
        day, _, clock = moment_text(ms).partition("T")
        return f"{self.day(day)} {self.number(clock[:8])}"


def statement(
    member: MemberId = None,
    rrn: Rrn = None,
    card: Card = False,
    card_file: CardFile = None,
    since: Annotated[str | None, typer.Option("--from", help="First day, Gregorian or Jalali.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many of the newest entries.")] = None,
    format: Annotated[Format, typer.Option(help="How to print it.")] = Format.TEXT,
    language: Annotated[Language, typer.Option(help="Of the text.")] = Language.ENGLISH,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell what happened to one member: every entry, what it changed and what it came to.

    Give one of --member, --rrn, --card, --card-file. Exit code 1: no such member.
    """
    first, final = parse_date(since) if since else "", parse_date(until) if until else ""
    with reading_of(data, config) as (settings, reading):
        member_id = _found(settings, reading, member, rrn, card, card_file)
        history = events(reading, member_id)
        names = found_by(reading, member_id)
    shown = [
        event
        for event in history
        if first <= event.entry.business_date and (not final or event.entry.business_date <= final)
    ]
    shown = shown[-last:] if last else shown
    now = history[-1].member
    if format is Format.TEXT:
        typer.echo("\n".join(_text(now, names, shown, _Words(language))))
    elif format is Format.JSON:
        document = {**_member_document(now), "found_by": [_name_document(name) for name in names]}
        typer.echo(_json({**document, "entries": [_event_document(event) for event in shown]}))
    elif format is Format.JSONL:
        for event in shown:
            typer.echo(_json(_event_document(event)))
    else:
        _write_rows(sys.stdout, Rows.CSV, _CSV, (row for event in shown for row in _csv_rows(event)))


def balance(
    member: MemberId = None,
    rrn: Rrn = None,
    card: Card = False,
    card_file: CardFile = None,
    at: Annotated[
        str | None, typer.Option(help="A day (its end) or a moment, 2026-09-21T14:05 in Tehran; else now.")
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print it.")] = Format.TEXT,
    language: Annotated[Language, typer.Option(help="Of the text.")] = Language.ENGLISH,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell what one member had at a moment: balance, what is pending and held, each lot.

    It is what the entries until then made: a lot that ended counts until the entry that ended it. Exit code
    1: no such member, or not yet.
    """
    moment = parse_moment(at) if at else None
    if format not in (Format.TEXT, Format.JSON):
        raise typer.BadParameter("text or json", param_hint="--format")
    with reading_of(data, config) as (settings, reading):
        member_id = _found(settings, reading, member, rrn, card, card_file)
        history = events(reading, member_id)
    then = history[-1].member
    if moment is not None:
        found = member_at(history, until_ms=moment.ms, until_date=moment.date)
        if found is None:
            raise CommandError(f"member {member_id} was not there yet at {at}", ExitCode.NEGATIVE)
        then = found
    if format is Format.JSON:
        typer.echo(_json(_member_document(then)))
    else:
        words = _Words(language)
        typer.echo("\n".join([*_head(then, [], words), *_lots_text(then, words)]))


def export(
    kind: Annotated[Kind, typer.Argument(help="What: postings, transfers, lot moves, or the lots of now.")],
    since: Annotated[
        str | None, typer.Option("--from", help="First business day, Gregorian or Jalali.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last business day.")] = None,
    format: Annotated[Rows, typer.Option(help="csv, or one JSON object a line.")] = Rows.CSV,
    output: Annotated[
        Path | None, typer.Option(help="File to write, which must not exist; else printed.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write what was booked as rows, for accountants and auditors. Numbers are strings in JSON."""
    first, final = parse_date(since) if since else "", parse_date(until) if until else ""
    with ExitStack() as stack:
        _, reading = stack.enter_context(reading_of(data, config))
        stream: TextIO = sys.stdout
        if output is not None:
            stream = stack.enter_context(_new_file(output))
        rows = exported(reading, kind.value, first, final)
        count = _write_rows(stream, format, KINDS[kind.value], rows)
    if output is not None:
        typer.echo(f"{count} rows in {output}")


def _new_file(path: Path) -> TextIO:
    try:
        return path.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise CommandError(
            f"{path}: can't be written ({error.strerror})", ExitCode.USAGE, "choose another --output"
        ) from None


def _found(
    settings: Settings,
    reading: Reading,
    member: int | None,
    rrn: str | None,
    card: bool,
    card_file: Path | None,
) -> int:
    """The member that is asked for. Raises CommandError."""
    if sum((member is not None, rrn is not None, card, card_file is not None)) != 1:
        raise CommandError(
            "whose? give one of --member, --rrn, --card, --card-file", ExitCode.USAGE, "vafa ledger --help"
        )
    if member is not None:
        if reading.member(member) is None:
            raise CommandError(f"there is no member {member}", ExitCode.NEGATIVE)
        return member
    if rrn is not None:
        try:
            _bucket, entry = parse_rrn(rrn.upper())
        except ValueError as error:
            raise CommandError(f"{rrn!r}: {error}", ExitCode.USAGE, "copy it from the receipt") from None
        found = member_of_entry(reading, entry)
        if found is None:
            raise CommandError(f"no entry has the reference number {rrn}", ExitCode.NEGATIVE)
        if not found:
            raise CommandError(f"the entry {rrn} is of no member", ExitCode.NEGATIVE)
        return found
    number = _card_number(card_file)
    found = member_of_identifier(reading, card_identifier(number, settings.directory_key))
    if found is None:
        raise CommandError("no member has this card", ExitCode.NEGATIVE)
    return found


_CARD_FILLERS = " -\u200c\u200e\u200f"  # between groups of digits


def card_number(text: str) -> str:
    """A typed or printed card number as plain digits: any digits, spaces and dashes dropped.

    Raises ValueError, without the number, when something else is left or Luhn fails.
    """
    number = str(latin_digits(text))
    for filler in _CARD_FILLERS:
        number = number.replace(filler, "")
    if not luhn_valid(number):
        raise ValueError("not a card number")
    return number


def _card_number(path: Path | None) -> str:
    """A card number that was typed, or stands in a file. Raises CommandError, without the number."""
    try:
        if path is None:
            text = StandardPrompt().ask_hidden("card number")
        elif str(path) == "-":
            text = sys.stdin.readline()
        else:
            text = path.read_text(encoding="utf-8")
        return card_number(text.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise CommandError(f"{path}: can't be read ({reason})", ExitCode.USAGE) from None
    except ValueError:
        raise CommandError(
            "that is no card number: its digits or its check digit are wrong", ExitCode.USAGE
        ) from None


# ---------------------------------------------------------------- text


def _head(member: Member, names: Sequence[FoundBy], words: _Words) -> list[str]:
    shown = "".join(f"  {words.number(name.masked)}" for name in names)
    title = f"{words.of('member')} {words.number(member.id)}  {words.of(member.status.name.lower())}{shown}"
    return [title, *(_wallet_text(wallet, words) for wallet in member.wallets)]


def _wallet_text(wallet: Wallet, words: _Words) -> str:
    parts = [f"{wallet.program} {words.of(wallet.unit.name.lower())}:"]
    parts.append(f"{words.of('balance')} {words.number(max(wallet.balance, 0))}")
    for name, amount in (("pending", wallet.pending), ("held", wallet.held), ("debt", -wallet.balance)):
        if amount > 0:
            parts.append(f"{words.of(name)} {words.number(amount)}")
    return "  ".join(parts)


def _lots_text(member: Member, words: _Words) -> Iterator[str]:
    for wallet in member.wallets:
        for state, parts in (("", wallet.lots), ("pending", wallet.waiting)):
            for part in parts:
                ends = _last_day(part, member)
                unit = "" if wallet.unit is Unit.POINTS else words.of(wallet.unit.name.lower())
                words_of = [f"  {words.number(part.amount)}", unit, words.of(state)]
                if state:
                    words_of.append(f"{words.of('from')} {words.day(day_text(part.lot.active_from))}")
                if ends:
                    words_of.append(f"{words.of('until')} {words.day(ends)}")
                yield "  ".join(word for word in words_of if word)


def _last_day(part: LotPart, member: Member) -> str:
    return day_text(last_day(part.lot, member.active_day))


def _text(member: Member, names: Sequence[FoundBy], shown: Sequence[Event], words: _Words) -> Iterator[str]:
    yield from _head(member, names, words)
    yield ""
    if not shown:
        yield words.of("no entries")
        return
    rows = [tuple(map(words.of, ("time", "operation", "response", "terminal", "change", "balance", "rrn")))]
    for event in shown:
        entry = event.entry
        start = (
            words.moment(entry.decided_ms),
            _operation_text(entry, words),
            words.number(entry.response_code),
            words.number(entry.terminal),
        )
        rrn = rrn_of(entry.bucket, entry.id)
        for change in event.changes or (None,):
            if change is None:
                rows.append((*start, "", "", rrn))
            else:
                rows.append((*start, _change_text(change, words), words.number(change.after.balance), rrn))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()


def _operation_text(entry: Entry, words: _Words) -> str:
    sold = _sold_before(entry)
    name = words.operation(entry.operation)
    return f"{name} ({words.of('late, of')} {words.day(sold)})" if sold else name


def _sold_before(entry: Entry) -> str:
    """The day of a sale that was booked on a later one; empty for all else."""
    return next((side.sold for side in entry.sides if isinstance(side, BookedLate)), "")


def _basket(entry: Entry) -> str:
    """What was sold, as the cash register said it; empty where it didn't."""
    return next((side.items for side in entry.sides if isinstance(side, Basket)), "")


def _change_text(change: Change, words: _Words) -> str:
    unit = "" if change.unit is Unit.POINTS else f" {words.of(change.unit.name.lower())}"
    parts = [words.number(f"{change.balance:+d}") + unit] if change.balance else []
    for name, amount in (("pending", change.pending), ("held", change.held)):
        if amount:
            parts.append(f"{words.number(f'{amount:+d}')}{unit} {words.of(name)}")
    return ", ".join(parts)


# ---------------------------------------------------------------- documents and rows

_CSV = (
    "entry",
    "rrn",
    "decided",
    "business_date",
    "operation",
    "response_code",
    "terminal",
    "acceptor",
    "amount",
    "sold",
    "basket",
    "program",
    "unit",
    "change",
    "pending_change",
    "held_change",
    "balance",
    "pending",
    "held",
)


def _csv_rows(event: Event) -> Iterator[tuple[Any, ...]]:
    entry = event.entry
    start = (
        entry.id,
        rrn_of(entry.bucket, entry.id),
        moment_text(entry.decided_ms),
        entry.business_date,
        entry.operation,
        entry.response_code,
        entry.terminal,
        entry.acceptor,
        entry.amount,
        _sold_before(entry),
        _basket(entry),
    )
    for change in event.changes:
        yield (*start, change.program, change.unit.name.lower(), *_numbers(change))
    if not event.changes:
        yield (*start, *[""] * (len(_CSV) - len(start)))


def _numbers(change: Change) -> tuple[int, ...]:
    after = change.after
    return (change.balance, change.pending, change.held, after.balance, after.pending, after.held)


def _event_document(event: Event) -> dict[str, Any]:
    entry = event.entry
    names = ("change", "pending_change", "held_change", "balance", "pending", "held")
    return {
        "entry": str(entry.id),
        "rrn": rrn_of(entry.bucket, entry.id),
        "decided": moment_text(entry.decided_ms),
        "business_date": entry.business_date,
        "operation": entry.operation,
        "response_code": entry.response_code,
        "terminal": entry.terminal,
        "acceptor": entry.acceptor,
        "amount": str(entry.amount),
        "sold": _sold_before(entry),
        "basket": _basket(entry),
        "changes": [
            {
                "program": change.program,
                "unit": change.unit.name.lower(),
                **{name: str(value) for name, value in zip(names, _numbers(change), strict=True)},
            }
            for change in event.changes
        ],
    }


def _member_document(member: Member) -> dict[str, Any]:
    return {
        "member": str(member.id),
        "status": member.status.name.lower(),
        "last_entry": str(member.last_entry),
        "wallets": [
            {
                "program": wallet.program,
                "unit": wallet.unit.name.lower(),
                "balance": str(wallet.balance),
                "pending": str(wallet.pending),
                "held": str(wallet.held),
                "lots": [_lot_document(part, member) for part in wallet.lots],
                "waiting": [_lot_document(part, member) for part in wallet.waiting],
            }
            for wallet in member.wallets
        ],
    }


def _lot_document(part: LotPart, member: Member) -> dict[str, str]:
    return {
        "lot": str(part.lot.id),
        "amount": str(part.amount),
        "issuer": part.lot.issuer,
        "active_from": day_text(part.lot.active_from),
        "last_day": _last_day(part, member),
    }


def _name_document(name: FoundBy) -> dict[str, str]:
    return {"kind": IdentifierKind(name.kind).name.lower(), "masked": name.masked}


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


def _write_rows(stream: TextIO, format: Rows, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    if format is Rows.JSONL:
        for row in rows:
            stream.write(_json(dict(zip(names, map(str, row), strict=True))) + "\n")
            count += 1
        return count
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(row)
        count += 1
        if line.tell() > 1 << 16:
            stream.write(line.getvalue())
            line.seek(0)
            line.truncate()
    stream.write(line.getvalue())
    return count
