"""What `vafa batch` and `vafa settlement` say, in English and Persian. Words and columns; nothing is decided.

Ids stay in Latin digits in both languages: they are typed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from terminal.text import grouped
from tools.ledger_options import Language, jalali_text

WORDS: dict[str, tuple[str, str]] = {
    "terminal": ("terminal", "پایانه"),
    "merchant": ("merchant", "پذیرنده"),
    "batch": ("batch", "دسته"),
    "state": ("state", "وضعیت"),
    "day": ("business day", "روز کاری"),
    "operation": ("operation", "عملیات"),
    "entries": ("number", "تعداد"),
    "amount": ("rial", "ریال"),
    "points": ("points", "امتیاز"),
    "number": ("number", "تعداد"),
    "unit": ("unit", "واحد"),
    "stamps": ("stamps", "تمبر"),
    "cash": ("cash credit", "اعتبار نقدی"),
    "tickets": ("draw tickets", "بلیت قرعه‌کشی"),
    "finding": ("finding", "یافته"),
    "stan": ("STAN", "شمارهٔ پیگیری"),
    "rrn": ("RRN", "شمارهٔ مرجع"),
    "claimed": ("terminal says", "پایانه می‌گوید"),
    "booked": ("switch has", "سوییچ دارد"),
    "owes": ("owes, to date", "بدهکار تاکنون"),
    "is_owed": ("is owed, to date", "بستانکار تاکنون"),
    "net": ("to be paid, to date", "قابل پرداخت تاکنون"),
    "none": ("none", "هیچ"),
    "agreed": ("agreed", "برابر"),
    "uploading": ("differs, upload not ended", "نابرابر؛ ارسال اقلام پایان نیافته"),
    "different": ("closed with differences", "بسته با اختلاف"),
    "unknown": ("the switch doesn't have it", "سوییچ آن را ندارد"),
    "other_batch": ("in another batch", "در دستهٔ دیگر"),
    "declined": ("declined by the switch", "سوییچ نپذیرفته"),
    "reversed": ("reversed", "برگشت خورده"),
    "other_values": ("other values", "مقادیر دیگر"),
    "twice": ("uploaded twice", "دو بار ارسال شده"),
    "not_uploaded": ("the terminal doesn't have it", "پایانه آن را ندارد"),
    "correction": ("correction", "اصلاح"),
    "member": ("member", "عضو"),
    "reason": ("reason", "دلیل"),
    "asked_by": ("asked by", "درخواست‌کننده"),
    "settled_by": ("approved or refused by", "تأیید یا رد به دست"),
    "state pending": ("waits for a second person", "در انتظار نفر دوم"),
    "state released": ("handed to the switch", "سپرده به سوییچ"),
    "state refused": ("refused", "رد شد"),
    "state booked": ("booked", "ثبت شد"),
    "state impossible": ("can't be booked", "ثبت‌شدنی نیست"),
    "earn": ("earn", "کسب"),
    "redeem": ("redeem", "خرج"),
    "hold": ("hold", "نگه‌داشت"),
    "capture": ("capture", "برداشت"),
    "refund": ("refund", "بازگشت"),
    "return": ("return", "مرجوعی"),
    "void": ("void", "ابطال"),
    "transfer": ("transfer", "انتقال"),
    "reversal": ("reversal", "برگشت"),
    "late": ("booked late, of", "دیر ثبت‌شده از"),
    "balance": ("balance", "مانده"),
    "activate": ("activation", "فعال‌سازی"),
}


class Words:
    """Words, numbers and dates of a language."""

    def __init__(self, language: Language) -> None:
        self._persian = language is Language.PERSIAN

    def of(self, name: str) -> str:
        """A word of the table; what it doesn't have as it is."""
        return WORDS.get(name, (name, name))[self._persian]

    def operation(self, name: str) -> str:
        """An operation, what reversed it, or those of it that were booked late."""
        of, _, kind = name.partition(".")
        return f"{self.of(kind)} {self.of(of)}" if kind else self.of(of)

    def number(self, value: int) -> str:
        """A whole number in groups of three."""
        return str(grouped(value, "fa" if self._persian else "en"))

    def day(self, iso: str) -> str:
        """A business date, in Persian of the Jalali calendar."""
        return jalali_text(iso) if self._persian else iso


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows with columns of one width, two blanks between; numbers stand right."""
    lines = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            value.rjust(width) if value[-1:].isdigit() else value.ljust(width)
            for value, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )
