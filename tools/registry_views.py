"""How merchants and terminals are shown: as data, as one line, as a page with what was done to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from switch.registry import DEFAULT_GROUP, Change, InForce, Merchant, TerminalRecord, Told, told_by
from switch.registry.records import Draft
from switch.settings import Settings, Terminal
from terminal.text import digits_of
from tools.registry_words import Locale, word

LABEL_COLUMNS = 15
TROUBLES = ("faults", "journal_damages")  # counters that should be 0


class TerminalView(NamedTuple):
    """A terminal as it is in force. record: as the registry has it, or would."""

    in_force: Terminal
    record: TerminalRecord
    source: str
    reason: str
    told: Told | None = None

    @property
    def state(self) -> str:
        if self.in_force.blocked:
            return "blocked" if self.record.blocked else "blocked in settings"
        return "merchant blocked" if self.in_force.acceptor_blocked else "in service"

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "terminal": self.in_force.id,
            "merchant": self.in_force.acceptor,
            "state": self.state,
            "reason": self.reason,
            "initial_key_id": self.in_force.initial_key_id.hex().upper(),
            "former": [key_id.hex().upper() for key_id in self.record.former],
            "note": self.record.note,
            "group": self.record.group or DEFAULT_GROUP,
            "source": self.source,
            "told_at": self.told.at if self.told else "",
            "counters": {name: str(count) for name, count in self.told.counters.items()} if self.told else {},
        }


class MerchantView(NamedTuple):
    """A merchant and how many terminals it has."""

    record: Merchant
    source: str
    terminals: tuple[str, ...]

    @property
    def state(self) -> str:
        return "blocked" if self.record.blocked else "in service"

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        record = self.record
        return {
            "merchant": record.id,
            "name_fa": record.name_fa,
            "name_en": record.name_en,
            "city": record.city,
            "category": record.category,
            "state": self.state,
            "reason": record.reason,
            "terminals": list(self.terminals),
            "source": self.source,
        }


def terminals_of(settings: Settings, found: InForce) -> list[TerminalView]:
    """All registered terminals, by id."""
    draft = Draft(found.registry, settings.terminals)
    configured = {one.id for one in settings.terminals}
    views = []
    for one in sorted(found.terminals, key=_id):
        record = draft.terminal(one.id)
        merchant = found.registry.merchants.get(one.acceptor)
        reason = record.reason or (merchant.reason if merchant and one.acceptor_blocked else "")
        views.append(
            TerminalView(
                one,
                record,
                _source(one.id in configured, one.id in found.registry.terminals),
                reason,
                told_by(settings, one.id),
            )
        )
    return views


def merchants_of(settings: Settings, found: InForce) -> list[MerchantView]:
    """All merchants, those that only terminals of switch.toml name too, by id."""
    configured = {one.acceptor for one in settings.terminals}
    owned: dict[str, list[str]] = {}
    for one in sorted(found.terminals, key=_id):
        owned.setdefault(one.acceptor, []).append(one.id)
    known = found.registry.merchants
    return [
        MerchantView(
            known.get(name, Merchant(name)),
            _source(name in configured, name in known),
            tuple(owned.get(name, ())),
        )
        for name in sorted({*known, *configured, *owned})
    ]


def _id(terminal: Terminal) -> str:
    return terminal.id


def _source(in_settings: bool, in_registry: bool) -> str:
    return "both" if in_settings and in_registry else "settings" if in_settings else "registry"


# ---------------------------------------------------------------- text


def name_of(record: Merchant, locale: Locale) -> str:
    """In the language asked for, or the other one."""
    names = (record.name_fa, record.name_en)
    return next(filter(None, names if locale is Locale.FA else reversed(names)), "")


def terminal_line(view: TerminalView, locale: Locale) -> str:
    """One line of a list."""
    behind = " ".join(
        filter(None, (view.reason and f"({view.reason})", view.record.note, _troubles(view, locale)))
    )
    line = f"{view.in_force.id}  {view.in_force.acceptor}  {word(view.state, locale):16}  {behind}"
    return line.rstrip()


def _troubles(view: TerminalView, locale: Locale) -> str:
    """What a terminal's counters tell that somebody should look at."""
    counters = view.told.counters if view.told else {}
    found = [
        f"{word(name, locale)} {digits_of(str(counters[name]), locale)}"
        for name in TROUBLES
        if counters.get(name)
    ]
    return f"[{', '.join(found)}]" if found else ""


def merchant_line(view: MerchantView, locale: Locale) -> str:
    """One line of a list."""
    record = view.record
    number = digits_of(str(len(view.terminals)), locale)
    what = ", ".join(filter(None, (name_of(record, locale), record.city, record.category)))
    reason = f"({record.reason})" if record.reason else ""
    line = f"{record.id}  {word(view.state, locale):10}  {number:>5} {word('terminals', locale)}  {what}"
    return f"{line}  {reason}".rstrip()


def terminal_page(view: TerminalView, merchant: Merchant | None, locale: Locale) -> Iterable[str]:
    """All that is known of a terminal."""
    name = name_of(merchant, locale) if merchant else ""
    rows = (
        ("terminal", view.in_force.id),
        ("merchant", f"{view.in_force.acceptor}  {name}".rstrip()),
        ("state", word(view.state, locale)),
        ("reason", view.reason),
        ("initial_key_id", view.in_force.initial_key_id.hex().upper()),
        ("former", " ".join(key_id.hex().upper() for key_id in view.record.former)),
        ("note", view.record.note),
        ("group", view.record.group),
        ("source", word(view.source, locale)),
        *_counters(view, locale),
    )
    return _labelled(rows, locale)


def _counters(view: TerminalView, locale: Locale) -> Iterable[tuple[str, str]]:
    """What the terminal told at its last sign-on."""
    if view.told is None:
        return
    yield "told_at", view.told.at
    for name, count in view.told.counters.items():
        yield name, digits_of(str(count), locale)


def merchant_page(view: MerchantView, locale: Locale) -> Iterable[str]:
    """All that is known of a merchant."""
    record = view.record
    rows = (
        ("merchant", record.id),
        ("name", " / ".join(filter(None, (record.name_fa, record.name_en)))),
        ("city", record.city),
        ("category", record.category),
        ("state", word(view.state, locale)),
        ("reason", record.reason),
        ("source", word(view.source, locale)),
        ("terminals", " ".join(view.terminals) or word("none", locale)),
    )
    return _labelled(rows, locale)


def change_object(change: Change) -> dict[str, str]:
    """A change of the log for JSON, without the records."""
    return {
        "change": str(change.number),
        "time": change.time,
        "jalali": change.jalali,
        "by": change.by,
        "user": change.user,
        "what": change.what,
        "reason": change.reason,
    }


def change_lines(changes: Iterable[Change], locale: Locale) -> Iterable[str]:
    """What was done, the oldest first."""
    yield word("history", locale)
    for change in changes:
        day = digits_of(change.jalali, locale)
        moment = f"{day} {digits_of(change.time[11:16], locale)} ({change.time})"
        who = change.by if change.by == change.user else f"{change.by} ({change.user})"
        reason = f": {change.reason}" if change.reason else ""
        yield f"  {moment}  {change.what:16}  {word('by', locale)} {who}{reason}"


def _labelled(rows: Iterable[tuple[str, str]], locale: Locale) -> Iterable[str]:
    return [f"{word(label, locale):{LABEL_COLUMNS}} {value}" for label, value in rows if value]
