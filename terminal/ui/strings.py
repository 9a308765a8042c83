"""Every text of screens and receipts, in English and Persian. Only data; {0}, {1} ... stand for values.

English screen lines fit 16 letters, because the display draws them until the Persian font is there.
"""

LOCALES = ("en", "fa")

# name: (English, Persian); a screen's first line is its title
STRINGS = {
    # flows
    "earn": ("Earn points", "کسب امتیاز"),
    "redeem": ("Redeem points", "خرج امتیاز"),
    "balance": ("Balance", "ماندهٔ امتیاز"),
    "activate": ("Activate card", "فعال‌سازی کارت"),
    "pin_change": ("Change PIN", "تغییر رمز"),
    "code": ("One-time code", "رمز یک‌بارمصرف"),
    # screens
    "idle": (
        "{0}\nSwipe card\nA earn B redeem\nC balance # more\nD activate\n{1}",
        "{0}\nکارت بکشید\nA کسب  B خرج\nC مانده  # بیشتر\nD فعال‌سازی\n{1}",
    ),
    "amount": ("{0}\nAmount, rial\n{1}\n# ok  * clear", "{0}\nمبلغ به ریال\n{1}\n# تأیید  * پاک"),
    "points": ("{0}\nPoints\n{1}\n# ok  * clear", "{0}\nامتیاز\n{1}\n# تأیید  * پاک"),
    "menu": ("More\n1 change PIN\n* back", "بیشتر\n1 تغییر رمز\n* بازگشت"),
    "swipe": (
        "{0}\nSwipe card\nor type number\n* back",
        "{0}\nکارت بکشید\nیا شماره را بزنید\n* بازگشت",
    ),
    "card_number": (
        "{0}\nNumber\n{1}\n# ok  * clear",
        "{0}\nشمارهٔ کارت یا همراه\n{1}\n# تأیید  * پاک",
    ),
    "pin": (
        "{0}\nPIN\n{1}\n# ok  * clear\nA one-time code",
        "{0}\nرمز\n{1}\n# تأیید  * پاک\nA رمز یک‌بارمصرف",
    ),
    "one_time_code": ("{0}\nOne-time code\n{1}\n# ok  * clear", "{0}\nرمز یک‌بارمصرف\n{1}\n# تأیید  * پاک"),
    "new_pin": ("{0}\nNew PIN\n{1}\n# ok  * clear", "{0}\nرمز تازه\n{1}\n# تأیید  * پاک"),
    "new_pin_again": (
        "{0}\nNew PIN again\n{1}\n# ok  * clear",
        "{0}\nتکرار رمز تازه\n{1}\n# تأیید  * پاک",
    ),
    "first_pin": (
        "{0}\nPIN of the card\n{1}\n# ok  * clear\n# without a PIN",
        "{0}\nرمز کارت\n{1}\n# تأیید  * پاک\n# بدون رمز",
    ),
    "swipe_again": ("Card not read\nSwipe again", "کارت خوانده نشد\nدوباره بکشید"),
    "processing": ("{0}\nPlease wait", "{0}\nکمی صبر کنید"),
    "approved": ("{0}\nApproved\nPoints {1}\nBalance {2}", "{0}\nانجام شد\nامتیاز {1}\nمانده {2}"),
    "approved_debt": (
        "{0}\nApproved\nPoints {1}\nBalance {2}\nDebt {3}",
        "{0}\nانجام شد\nامتیاز {1}\nمانده {2}\nبدهی {3}",
    ),
    "approved_balance": ("{0}\nApproved\nBalance {2}", "{0}\nانجام شد\nمانده {2}"),
    "approved_balance_debt": (
        "{0}\nApproved\nBalance {2}\nDebt {3}",
        "{0}\nانجام شد\nمانده {2}\nبدهی {3}",
    ),
    "last": (
        "Last transaction\n{0}\nApproved\nPoints {1}\nBalance {2}",
        "آخرین تراکنش\n{0}\nانجام شد\nامتیاز {1}\nمانده {2}",
    ),
    "declined": ("{0}\nDeclined {1}\n{2}", "{0}\nناموفق {1}\n{2}"),
    "reversal": (
        "Reversal\nNo answer to\nSTAN {0}\nPlease wait",
        "برگشت تراکنش\nبی‌پاسخ، پیگیری\n{0}\nکمی صبر کنید",
    ),
    "reversed": ("Cancelled\nNo points moved\nTry again", "لغو شد\nامتیازی جابه‌جا نشد\nدوباره تلاش کنید"),
    "reversal_refused": (
        "Not taken back\nSTAN {0}\nCode {1}\nCall support\n# ok",
        "برگشت پذیرفته نشد\nپیگیری {0}\nکد {1}\nبا پشتیبانی تماس بگیرید\n# تأیید",
    ),
    "signing_on": ("Signing on\nPlease wait\n{0}", "اتصال به سوییچ\nکمی صبر کنید\n{0}"),
    "paper_out": ("Printer\nPaper out\n# retry", "چاپگر\nکاغذ تمام شده\n# تلاش دوباره"),
    "printer_silent": ("Printer\nPrinter silent\n# retry", "چاپگر\nچاپگر پاسخ نمی‌دهد\n# تلاش دوباره"),
    "no_keys": ("No keys\nCall service", "کلید ندارد\nبا پشتیبانی تماس بگیرید"),
    "keys_damaged": ("Keys damaged\nCall service", "کلیدها آسیب دیده\nبا پشتیبانی تماس بگیرید"),
    "keys_spent": ("Keys used up\nCall service", "کلیدها تمام شده\nبا پشتیبانی تماس بگیرید"),
    # messages
    "pin_changed": ("Change PIN\nPIN is changed", "تغییر رمز\nرمز تغییر کرد"),
    "pin_unknown": (
        "No answer\nOld or new PIN\nis valid now",
        "پاسخی نیامد\nرمز پیشین یا تازه\nمعتبر است",
    ),
    "pins_differ": ("PIN\nNot the same\nTry again", "رمز\nیکسان نیست\nدوباره تلاش کنید"),
    "number_wrong": ("Number\nNot valid\nTry again", "شماره\nنادرست است\nدوباره تلاش کنید"),
    "no_answer": ("No answer\nTry again", "پاسخی نیامد\nدوباره تلاش کنید"),
    "card_refused": ("Card\nNot of this\nprogram", "کارت\nعضو این باشگاه نیست"),
    "too_much": ("Points\nToo many", "امتیاز\nبیش از حد"),
    "no_line": ("No line\nNothing was sent\nTry again", "خط قطع است\nچیزی ارسال نشد\nدوباره تلاش کنید"),
    "storage": ("Storage error\nCall service", "خطای حافظه\nبا پشتیبانی تماس بگیرید"),
    "fault": ("Internal error\nPlease wait", "خطای داخلی\nکمی صبر کنید"),
    "no_reader": ("No card reader", "کارت‌خوان وصل نیست"),
    "no_keypad": ("No keypad", "صفحه‌کلید وصل نیست"),
    "no_printer": ("No printer", "چاپگر وصل نیست"),
    # receipts
    "last_transaction": ("LAST TRANSACTION", "آخرین تراکنش"),
    "receipt_terminal": ("Terminal", "پایانه"),
    "receipt_date": ("Date", "تاریخ"),
    "receipt_stan": ("STAN", "شمارهٔ پیگیری"),
    "receipt_rrn": ("RRN", "شمارهٔ مرجع"),
    "receipt_card": ("Card", "کارت"),
    "receipt_amount": ("Amount", "مبلغ"),
    "receipt_earned": ("Points earned", "امتیاز کسب‌شده"),
    "receipt_redeemed": ("Points redeemed", "امتیاز خرج‌شده"),
    "receipt_balance": ("Balance", "ماندهٔ امتیاز"),
    "receipt_debt": ("Debt", "بدهی امتیاز"),
    "rial": ("{0} rial", "{0} ریال"),
    "reason": ("Reason {0}", "دلیل {0}"),
}


def title_of(flow):
    """(English, Persian) name of a flow."""
    return STRINGS[flow]


def text_of(name, locale):
    """The text of this name in one locale."""
    return STRINGS[name][LOCALES.index(locale)]
