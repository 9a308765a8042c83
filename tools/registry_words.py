"""What `vafa merchant` and `vafa terminal` say, in English and Persian. Words only; nothing is decided here.

Ids stay in Latin digits, in both languages: they are typed again.
"""

from __future__ import annotations

from enum import StrEnum

from terminal.text import digits_of


class Locale(StrEnum):
    """The language of what is printed."""

    EN = "en"
    FA = "fa"


WORDS: dict[str, tuple[str, str]] = {
    "terminal": ("terminal", "پایانه"),
    "merchant": ("merchant", "پذیرنده"),
    "name": ("name", "نام"),
    "city": ("city", "شهر"),
    "category": ("category", "صنف"),
    "state": ("state", "وضعیت"),
    "reason": ("reason", "دلیل"),
    "initial_key_id": ("initial key", "شناسهٔ کلید"),
    "former": ("keys before", "کلیدهای پیشین"),
    "note": ("note", "یادداشت"),
    "source": ("known from", "منبع"),
    "terminals": ("terminals", "پایانه‌ها"),
    "history": ("history", "تاریخچه"),
    "by": ("by", "به دست"),
    "in service": ("in service", "در سرویس"),
    "blocked": ("blocked", "مسدود"),
    "merchant blocked": ("merchant blocked", "پذیرنده مسدود"),
    "blocked in settings": ("blocked in switch.toml", "مسدود در switch.toml"),
    "registry": ("registry", "دفتر ثبت"),
    "settings": ("switch.toml", "switch.toml"),
    "both": ("switch.toml and registry", "switch.toml و دفتر ثبت"),
    "add": ("registered", "ثبت شد"),
    "block": ("blocked", "مسدود شد"),
    "unblock": ("in service again", "آزاد شد"),
    "assign": ("assigned", "واگذار شد"),
    "group": ("group", "گروه"),
    "grouped": ("in its group", "در گروه جای گرفت"),
    "told_at": ("last sign-on", "آخرین ورود"),
    "boots": ("starts", "روشن شدن"),
    "swipes_read": ("cards read", "خواندن کارت"),
    "swipes_failed": ("not read", "ناخوانا"),
    "transactions": ("transactions", "تراکنش"),
    "reversals": ("reversals", "برگشت"),
    "printer_faults": ("printer faults", "خطای چاپگر"),
    "line_drops": ("lines broken", "قطع خط"),
    "faults": ("faults", "خطای داخلی"),
    "journal_damages": ("journal damages", "آسیب دفتر"),
    "unchanged": ("nothing to change", "بدون تغییر"),
    "none": ("none", "هیچ"),
    "verified": (
        "{} changes, registry and log are as they were written",
        "{} تغییر؛ دفتر ثبت و گزارش همان‌اند که نوشته شد",
    ),
}


def word(name: str, locale: Locale) -> str:
    """One of WORDS."""
    english, persian = WORDS[name]
    return persian if locale is Locale.FA else english


def counted(name: str, number: int, locale: Locale) -> str:
    """One of WORDS with a number in it."""
    return word(name, locale).format(digits_of(str(number), locale))
