"""Every text of screens and receipts, in English and Persian. Only data and how it is found.

One text a line: name, English, Persian. A "/" begins a new line of the screen, whose first line is its title;
{0}, {1} ... stand for values. English screen lines fit 16 letters, because the display draws them until the
Persian font is there. The tables are plain text because a dictionary of so many texts takes three times the
memory.
"""

LOCALES = ("en", "fa")

_SCREENS = """
earn|Earn points|کسب امتیاز
redeem|Redeem points|خرج امتیاز
balance|Balance|ماندهٔ امتیاز
activate|Activate card|فعال‌سازی کارت
pin_change|Change PIN|تغییر رمز
code|One-time code|رمز یک‌بارمصرف
idle|{0}/Swipe card/A earn B redeem/C balance # more/D activate/{1}|{0}/کارت بکشید/A کسب  B خرج/C مانده  # بیشتر/D فعال‌سازی/{1}
amount|{0}/Amount, rial/{1}/# ok  * clear|{0}/مبلغ به ریال/{1}/# تأیید  * پاک
points|{0}/Points/{1}/# ok  * clear|{0}/امتیاز/{1}/# تأیید  * پاک
menu|More/1 change PIN/* back|بیشتر/1 تغییر رمز/* بازگشت
swipe|{0}/Swipe card/or type number/* back|{0}/کارت بکشید/یا شماره را بزنید/* بازگشت
card_number|{0}/Number/{1}/# ok  * clear|{0}/شمارهٔ کارت یا همراه/{1}/# تأیید  * پاک
pin|{0}/PIN/{1}/# ok  * clear/A one-time code|{0}/رمز/{1}/# تأیید  * پاک/A رمز یک‌بارمصرف
one_time_code|{0}/One-time code/{1}/# ok  * clear|{0}/رمز یک‌بارمصرف/{1}/# تأیید  * پاک
new_pin|{0}/New PIN/{1}/# ok  * clear|{0}/رمز تازه/{1}/# تأیید  * پاک
new_pin_again|{0}/New PIN again/{1}/# ok  * clear|{0}/تکرار رمز تازه/{1}/# تأیید  * پاک
first_pin|{0}/PIN of the card/{1}/# ok  * clear/# without a PIN|{0}/رمز کارت/{1}/# تأیید  * پاک/# بدون رمز
swipe_again|Card not read/Swipe again|کارت خوانده نشد/دوباره بکشید
processing|{0}/Please wait|{0}/کمی صبر کنید
approved|{0}/Approved/Points {1}/Balance {2}|{0}/انجام شد/امتیاز {1}/مانده {2}
approved_debt|{0}/Approved/Points {1}/Balance {2}/Debt {3}|{0}/انجام شد/امتیاز {1}/مانده {2}/بدهی {3}
approved_balance|{0}/Approved/Balance {2}|{0}/انجام شد/مانده {2}
approved_balance_debt|{0}/Approved/Balance {2}/Debt {3}|{0}/انجام شد/مانده {2}/بدهی {3}
last|Last transaction/{0}/Approved/Points {1}/Balance {2}|آخرین تراکنش/{0}/انجام شد/امتیاز {1}/مانده {2}
declined|{0}/Declined {1}/{2}|{0}/ناموفق {1}/{2}
reversal|Reversal/No answer to/STAN {0}/Please wait|برگشت تراکنش/بی‌پاسخ، پیگیری/{0}/کمی صبر کنید
reversed|Cancelled/No points moved/Try again|لغو شد/امتیازی جابه‌جا نشد/دوباره تلاش کنید
reversal_refused|Not taken back/STAN {0}/Code {1}/Call support/# ok|برگشت پذیرفته نشد/پیگیری {0}/کد {1}/با پشتیبانی تماس بگیرید/# تأیید
signing_on|Signing on/Please wait/{0}|اتصال به سوییچ/کمی صبر کنید/{0}
paper_out|Printer/Paper out/# retry|چاپگر/کاغذ تمام شده/# تلاش دوباره
printer_silent|Printer/Printer silent/# retry|چاپگر/چاپگر پاسخ نمی‌دهد/# تلاش دوباره
no_keys|No keys/Call service|کلید ندارد/با پشتیبانی تماس بگیرید
keys_damaged|Keys damaged/Call service|کلیدها آسیب دیده/با پشتیبانی تماس بگیرید
keys_spent|Keys used up/Call service|کلیدها تمام شده/با پشتیبانی تماس بگیرید
"""  # noqa: E501

_MESSAGES = """
pin_changed|Change PIN/PIN is changed|تغییر رمز/رمز تغییر کرد
pin_unknown|No answer/Old or new PIN/is valid now|پاسخی نیامد/رمز پیشین یا تازه/معتبر است
pins_differ|PIN/Not the same/Try again|رمز/یکسان نیست/دوباره تلاش کنید
number_wrong|Number/Not valid/Try again|شماره/نادرست است/دوباره تلاش کنید
no_answer|No answer/Try again|پاسخی نیامد/دوباره تلاش کنید
card_refused|Card/Not of this/program|کارت/عضو این باشگاه نیست
too_much|Points/Too many|امتیاز/بیش از حد
no_line|No line/Nothing was sent/Try again|خط قطع است/چیزی ارسال نشد/دوباره تلاش کنید
certificate|Bad certificate/Nothing was sent/Call service|گواهی نامعتبر/چیزی ارسال نشد/با پشتیبانی تماس بگیرید
storage|Storage error/Call service|خطای حافظه/با پشتیبانی تماس بگیرید
fault|Internal error/Please wait|خطای داخلی/کمی صبر کنید
no_reader|No card reader|کارت‌خوان وصل نیست
no_keypad|No keypad|صفحه‌کلید وصل نیست
no_printer|No printer|چاپگر وصل نیست
no_tap|No tap reader|خوانندهٔ بی‌تماس وصل نیست
no_chip|No chip reader|خوانندهٔ تراشه وصل نیست
no_scanner|No scanner|بارکدخوان وصل نیست
no_till|No till|صندوق وصل نیست
bad_reader|Reader error|خطای کارت‌خوان
bad_keypad|Keypad error|خطای صفحه‌کلید
bad_printer|Printer error|خطای چاپگر
bad_tap|Tap error|خطای خوانندهٔ بی‌تماس
bad_chip|Chip error|خطای خوانندهٔ تراشه
bad_scanner|Scanner error|خطای بارکدخوان
bad_till|Till error|خطای صندوق
line_calling|Calling/Please wait/* back|در حال تماس/کمی صبر کنید/* بازگشت
line_dialling|Dialling/Please wait/* back|شماره‌گیری/کمی صبر کنید/* بازگشت
line_connecting|Connecting/Please wait/* back|اتصال به شبکه/کمی صبر کنید/* بازگشت
line_stands|Connected/Please wait|متصل شد/کمی صبر کنید
line_busy|Number is busy/Nothing was sent|شماره اشغال است/چیزی ارسال نشد
line_no_carrier|No carrier/Nothing was sent|ارتباط برقرار نشد/چیزی ارسال نشد
line_no_dial_tone|No dial tone/Check phone line|بوق آزاد نیست/خط تلفن را ببینید
line_no_answer|Nobody answers/Nothing was sent|پاسخ نمی‌دهد/چیزی ارسال نشد
line_no_sim|No SIM card/Check the SIM|سیم‌کارت نیست/سیم‌کارت را ببینید
line_sim_locked|SIM is locked/Call service|سیم‌کارت قفل است/با پشتیبانی تماس بگیرید
line_wrong_pin|SIM PIN wrong/Call service|رمز سیم‌کارت نادرست/با پشتیبانی تماس بگیرید
line_no_signal|No signal/Nothing was sent|آنتن نمی‌دهد/چیزی ارسال نشد
line_not_registered|No network/Nothing was sent|شبکه نیست/چیزی ارسال نشد
line_denied|SIM refused/Call service|سیم‌کارت پذیرفته نشد/با پشتیبانی تماس بگیرید
line_no_data|No mobile data/Nothing was sent|دادهٔ همراه نیست/چیزی ارسال نشد
line_no_host|No connection/Nothing was sent|اتصال برقرار نشد/چیزی ارسال نشد
line_modem|Modem silent/Nothing was sent|مودم پاسخ نمی‌دهد/چیزی ارسال نشد
no_modem|No modem|مودم وصل نیست
bad_modem|Modem error|خطای مودم
last_transaction|LAST TRANSACTION|آخرین تراکنش
receipt_terminal|Terminal|پایانه
receipt_date|Date|تاریخ
receipt_stan|STAN|شمارهٔ پیگیری
receipt_rrn|RRN|شمارهٔ مرجع
receipt_card|Card|کارت
receipt_amount|Amount|مبلغ
receipt_earned|Points earned|امتیاز کسب‌شده
receipt_redeemed|Points redeemed|امتیاز خرج‌شده
receipt_balance|Balance|ماندهٔ امتیاز
receipt_debt|Debt|بدهی امتیاز
rial|{0} rial|{0} ریال
reason|Reason {0}|دلیل {0}
"""


def pair_of(name):
    """(English, Persian) of the text of this name."""
    for table in (_SCREENS, _MESSAGES):
        at = table.find("\n" + name + "|")
        if at >= 0:
            row = table[at + 1 : table.find("\n", at + 1)]
            return tuple(row.replace("/", "\n").split("|")[1:])
    raise KeyError(name)


def text_of(name, locale):
    """The text of this name in one locale."""
    return pair_of(name)[LOCALES.index(locale)]


def names():
    """Of all texts."""
    return [row.split("|")[0] for table in (_SCREENS, _MESSAGES) for row in table.strip().split("\n")]
