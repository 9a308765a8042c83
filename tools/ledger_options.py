"""What the verbs of `vafa ledger` share: settings, errors, dates as people write them, the switch's lock.

A card number is read from a prompt or a file, never from the command line, and never printed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from switch.hsm.port import HsmError
from switch.keys import KeysError
from switch.ledger.engine import LedgerError
from switch.ledger.history import TEHRAN
from switch.ledger.opening import LedgerInUse
from switch.ledger.reading import Damaged, Reading
from switch.settings import Settings, SettingsError, load_for
from terminal.text import jalali, latin_digits
from tools.cli import CommandError, ExitCode

FIRST_GREGORIAN_YEAR = 1700  # of dates people type: below it they mean Jalali years

Data = Annotated[Path | None, typer.Option(help="Data directory that holds the ledger.")]
Config = Annotated[Path | None, typer.Option(help="Settings file, when not the data directory's own.")]


class Language(StrEnum):
    """Of what people read."""

    PERSIAN = "fa"
    ENGLISH = "en"


@contextmanager
def told() -> Iterator[None]:
    """Turn what the ledger, its keys and its settings say into the command's error."""
    try:
        yield
    except (SettingsError, KeysError, LedgerError, HsmError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    except Damaged as error:
        raise CommandError(
            f"the ledger is damaged: {error}",
            ExitCode.CONFIGURATION,
            "vafa ledger verify, then restore a backup",
        ) from None


@contextmanager
def reading_of(data: Path | None, config: Path | None) -> Iterator[tuple[Settings, Reading]]:
    """The settings and a snapshot of their ledger."""
    with told():
        settings = load_for(data, config)
        reading = settings.ledger_place.store().open()
        try:
            yield settings, reading
        finally:
            reading.close()


@contextmanager
def without_switch(settings: Settings, what: str) -> Iterator[None]:
    """Keep every switch off the data directory meanwhile. Raises CommandError when one is there, or has the
    ledger's database open from elsewhere."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        lock = settings.lock_path.open("a", encoding="ascii")
    except OSError as error:
        raise CommandError(
            f"{settings.data}: can't be written ({error.strerror})",
            ExitCode.CONFIGURATION,
            "check its permissions",
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(
                f"{settings.data}: a switch serves this directory", ExitCode.NEGATIVE, what
            ) from None
        try:
            settings.ledger_place.check_unused()
        except LedgerInUse as error:
            raise CommandError(str(error), ExitCode.NEGATIVE, what) from None
        except LedgerError as error:
            raise CommandError(str(error), ExitCode.CONFIGURATION) from None
        yield


# ---------------------------------------------------------------- dates


class Moment(NamedTuple):
    """A business date (YYYY-MM-DD), or a moment in milliseconds since 1970, UTC."""

    date: str = ""
    ms: int | None = None


def parse_date(text: str) -> str:
    """A date as typed, YYYY-MM-DD of the Gregorian or the Jalali calendar, any digits; Gregorian. Raises
    typer.BadParameter."""
    try:
        year, month, day = (int(part) for part in latin_digits(text.strip()).replace("/", "-").split("-"))
        if year >= FIRST_GREGORIAN_YEAR:
            return date(year, month, day).isoformat()
        return _gregorian(year, month, day).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date: give 2026-09-21 or 1405-06-30") from None


def parse_moment(text: str) -> Moment:
    """A date, or a local time in Tehran behind one (T or a blank between): 2026-09-21T14:05[:09]."""
    typed, _, clock = latin_digits(text.strip()).replace(" ", "T").partition("T")
    day = parse_date(typed)
    if not clock:
        return Moment(date=day)
    try:
        at = time.fromisoformat(clock)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: give 2026-09-21T14:05") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=TEHRAN)
    return Moment(ms=int(datetime.combine(date.fromisoformat(day), at).timestamp() * 1000))


def _gregorian(year: int, month: int, day: int) -> date:
    """The Gregorian date of a Jalali one. Raises ValueError."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(month)
    guess = date(year + 621, 3, 19) + timedelta(days=30 * (month - 1) + day - 1)
    for days in range(10):
        there = guess + timedelta(days=days)
        if jalali(there.year, there.month, there.day) == (year, month, day):
            return there
    raise ValueError(day)


def jalali_text(iso: str) -> str:
    """A Gregorian date YYYY-MM-DD in the Jalali calendar, the same form."""
    there = date.fromisoformat(iso)
    year, month, day = jalali(there.year, there.month, there.day)
    return f"{year:04d}-{month:02d}-{day:02d}"
