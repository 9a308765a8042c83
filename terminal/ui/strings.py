"""Every text of screens and receipts, in English and Persian. Only data and how it is found.

One text a line: name, English, Persian. A "/" begins a new line of the screen, whose first line is its title;
{0}, {1} ... stand for values. A mark before a line says how it is drawn:

    ^  a number, large when there is room; what stands before its last space is its label
    @  a secret: a dot for each star
    %  how much of 100 is done, as a bar
    _  what keys do; at the bottom, one such line at most

Three lines have room below the title, and one of keys; or a number, a line and one of keys. Digits become
Persian where the text is. The tables are plain text because a dictionary of so many texts takes three times
the memory.
"""

LOCALES = ("en", "fa")
LARGE, SECRET, PROGRESS, SOFT_KEYS = "^", "@", "%", "_"

_SCREENS = """
earn|Earn points|کسب امتیاز
redeem|Redeem points|خرج امتیاز
balance|Balance|ماندهٔ امتیاز
activate|Activate card|فعال‌سازی کارت
pin_change|Change PIN|تغییر رمز
code|One-time code|رمز یک‌بارمصرف
split|Part in points|پرداخت ترکیبی
void|Void|ابطال
return|Return of goods|مرجوعی کالا
refund|Points back|بازگشت امتیاز
replace|New card|تعویض کارت
block|Block card|مسدود کردن کارت
unblock|Unblock card|رفع مسدودی کارت
transfer|Points to a card|انتقال امتیاز
copy|Last receipt|آخرین رسید
supervisor|Manager|سرپرست
idle|{0}/Swipe card/A earn  B redeem/C balance  D enrol/_# more|{0}/کارت بکشید/A کسب  B خرج/C مانده  D عضویت/_# بیشتر
idle_trouble|{0}/{1}/A earn  B redeem/C balance  D enrol/_# more|{0}/{1}/A کسب  B خرج/C مانده  D عضویت/_# بیشتر
amount|{0}/Amount, rial/^{1}/_# ok  * clear|{0}/مبلغ به ریال/^{1}/_# تأیید  * پاک
points|{0}/Points/^{1}/_# ok  * clear|{0}/امتیاز/^{1}/_# تأیید  * پاک
menu|More/1 void  2 return/3 last receipt  4 split/5 new card  6 PIN/_# more  * back|بیشتر/1 ابطال  2 مرجوعی/3 رسید  4 ترکیبی/5 تعویض کارت  6 رمز/_# بیشتر  * بازگشت
menu_2|More/7 block  8 unblock/9 points to a card/0 manager  A cashier/_# more  * back|بیشتر/7 بستن  8 بازکردن/9 انتقال امتیاز/0 سرپرست  A صندوق/_# بیشتر  * بازگشت
amount_again|{0}/Swipe again/^{1}/_# ok  * clear|{0}/دوباره بکشید/^{1}/_# تأیید  * پاک
cashier|Cashier|صندوق‌دار
cashier_number|{0}/Number, none: off/^{1}/_# ok  * clear|{0}/شماره؛ هیچ: خروج/^{1}/_# تأیید  * پاک
till_receipt|{0}/Receipt of the till/^{1}/_# ok  * clear|{0}/شمارهٔ رسید صندوق/^{1}/_# تأیید  * پاک
double_swipe|{0}/Same card, amount/as just now/_# book it  * back|{0}/همان کارت و مبلغ/تکراری نیست؟/_# ثبت  * بازگشت
mobile|{0}/Mobile, or none/^{1}/_# ok  A with PIN|{0}/شمارهٔ همراه، یا هیچ/^{1}/_# تأیید  A با رمز
rrn|{0}/Reference (RRN)/^{1}/_A abc  # ok  * clear|{0}/شمارهٔ مرجع/^{1}/_A حرف  # تأیید  * پاک
which|{0}/{1}/{2}/{3}/_# more  A reference|{0}/{1}/{2}/{3}/_# بیشتر  A مرجع
void_of|{0}/1 earned points/2 redeemed points/_* back|{0}/1 کسب امتیاز/2 خرج امتیاز/_* بازگشت
return_of|{0}/1 goods come back/2 points back/_* back|{0}/1 مرجوعی کالا/2 بازگشت امتیاز/_* بازگشت
block_sure|{0}/{1}/_# block  * back|{0}/{1}/_# بسته شود  * نه
new_card|{0}/Swipe the new card/or type its number/_* back|{0}/کارت تازه را بکشید/یا شماره‌اش را بزنید/_* بازگشت
other_card|{0}/Card that gets them/swipe or type it/_* back|{0}/کارت گیرنده را بکشید/یا شماره‌اش را بزنید/_* بازگشت
proof|{0}/# PIN/A one-time code/B manager/_* back|{0}/# رمز/A رمز یک‌بارمصرف/B سرپرست/_* بازگشت
manager_code|{0}/Code/@{1}/_# ok  * clear|{0}/کد/@{1}/_# تأیید  * پاک
manager_new|{0}/New code, 4 to 8/@{1}/_# ok  * clear|{0}/کد تازه، 4 تا 8 رقم/@{1}/_# تأیید  * پاک
manager_new_again|{0}/New code again/@{1}/_# ok  * clear|{0}/تکرار کد تازه/@{1}/_# تأیید  * پاک
manager|Manager/1 close batch/2 state, test/3 training  4 code/_* back|سرپرست/1 بستن دسته/2 وضعیت و آزمون/3 آموزش  4 کد/_* بازگشت
state_line|State/Line: {0}/Sign-on {1}/Keys: {2}/_# next  * back|وضعیت/خط: {0}/ورود {1}/کلیدها: {2}/_# بعدی  * بازگشت
state_software|State/Version {0}/Batch {1}: {2}/Storage: {3}/_# next  * back|وضعیت/نسخه {0}/دسته {1}: {2}/حافظه: {3}/_# بعدی  * بازگشت
state_devices|State/{0}/{1}/{2}/_# test  * back|وضعیت/{0}/{1}/{2}/_# آزمون  * بازگشت
test|Test/{0}/Line {1} ms/Printer: {2}/_# ok|آزمون/{0}/خط {1} ms/چاپگر: {2}/_# تأیید
swipe|{0}/Swipe card/or type number/_* back|{0}/کارت بکشید/یا شماره را بزنید/_* بازگشت
card_number|{0}/Number/^{1}/_# ok  * clear|{0}/شمارهٔ کارت یا همراه/^{1}/_# تأیید  * پاک
pin|{0}/PIN/@{1}/_# ok  * clear  A code|{0}/رمز/@{1}/_#تأیید  *پاک  Aپیامک
one_time_code|{0}/One-time code/@{1}/_# ok  * clear|{0}/رمز یک‌بارمصرف/@{1}/_# تأیید  * پاک
new_pin|{0}/New PIN/@{1}/_# ok  * clear|{0}/رمز تازه/@{1}/_# تأیید  * پاک
new_pin_again|{0}/New PIN again/@{1}/_# ok  * clear|{0}/تکرار رمز تازه/@{1}/_# تأیید  * پاک
first_pin|{0}/PIN, or # for none/@{1}/_# ok  * clear|{0}/رمز کارت، یا # بی‌رمز/@{1}/_# تأیید  * پاک
swipe_again|Card not read/Swipe again|کارت خوانده نشد/دوباره بکشید
chip_again|Card not read/Put it in again|کارت خوانده نشد/دوباره بگذارید
processing|{0}/Please wait|{0}/کمی صبر کنید
approved|{0}/Approved/^Points {1}/Balance {2}|{0}/انجام شد/^امتیاز {1}/مانده {2}
approved_debt|{0}/Approved/Points {1}/Balance {2}/Debt {3}|{0}/انجام شد/امتیاز {1}/مانده {2}/بدهی {3}
approved_split|{0}/Points {1}/^To pay {4}/Balance {2}|{0}/امتیاز {1}/^پرداخت {4}/مانده {2}
approved_back|{0}/Pay out {4}/Back {5}/Taken {6}/Balance {2}|{0}/استرداد {4}/بازگشت {5}/کسر {6}/مانده {2}
approved_back_debt|{0}/Pay out {4}/Back {5}/Taken {6}/Debt {3}|{0}/استرداد {4}/بازگشت {5}/کسر {6}/بدهی {3}
approved_done|{0}/Approved|{0}/انجام شد
approved_balance|{0}/Approved/^Balance {2}|{0}/انجام شد/^مانده {2}
approved_balance_debt|{0}/Approved/^Balance {2}/Debt {3}|{0}/انجام شد/^مانده {2}/بدهی {3}
last|Last transaction/{0}/Approved/Points {1}/Balance {2}|آخرین تراکنش/{0}/انجام شد/امتیاز {1}/مانده {2}
declined|{0}/Declined {1}/{2}|{0}/ناموفق {1}/{2}
reversal|Reversal/No answer to/STAN {0}/Please wait|برگشت تراکنش/پیگیری {0} بی‌پاسخ است/کمی صبر کنید
reversed|Cancelled/No points moved/Try again|لغو شد/امتیازی جابه‌جا نشد/دوباره تلاش کنید
reversal_refused|Not taken back/STAN {0}/Code {1}/Call support/_# ok|برگشت پذیرفته نشد/پیگیری {0}/کد {1}/پشتیبانی را خبر کنید/_# تأیید
signing_on|Signing on/Please wait/{0}|اتصال به سوییچ/کمی صبر کنید/{0}
printing|Printer/Please wait|چاپگر/کمی صبر کنید
paper_out|Printer/Paper is out/_# again  * without|چاپگر/کاغذ تمام شده/_# دوباره  * بدون چاپ
printer_silent|Printer/No answer/_# again  * without|چاپگر/پاسخ نمی‌دهد/_# دوباره  * بدون چاپ
cover_open|Printer/Cover is open/_# again  * without|چاپگر/در چاپگر باز است/_# دوباره  * بدون چاپ
printer_broken|Printer/Out of order/_# again  * without|چاپگر/خراب است/_# دوباره  * بدون چاپ
printer_gone|Printer/Not plugged in/_# again  * without|چاپگر/وصل نیست/_# دوباره  * بدون چاپ
no_keys|No keys/Call service|کلید ندارد/با پشتیبانی تماس بگیرید
keys_damaged|Keys damaged/Call service|کلیدها آسیب دیده/با پشتیبانی تماس بگیرید
keys_spent|Keys used up/Call service|کلیدها تمام شده/با پشتیبانی تماس بگیرید
"""  # noqa: E501

_MESSAGES = """
offline_kept|{0}/Recorded/Points come later|{0}/ثبت شد/امتیاز پس از وصل شدن خط
offline_amount|No line/Amount too high/to record it now|خط قطع است/مبلغ بیش از حد/ثبت بدون خط است
offline_full|No line/Too many recorded/Wait for the line|خط قطع است/ثبت‌ها پر شده/تا وصل خط صبر کنید
offline_day|No line/The day's limit/is reached|خط قطع است/سقف امروز برای/ثبت بدون خط پر شده
offline_age|No line for too long/Nothing recorded|خط مدت‌ها قطع است/چیزی ثبت نشد
batch_full|Batch is full/Close it first|دسته پر است/نخست دسته را ببندید
batch_closing|Batch {0}/Being closed/Please wait|دستهٔ {0}/در حال بستن/کمی صبر کنید
batch_waits|Batch {0}/Being closed/Waits for the line|دستهٔ {0}/در حال بستن/در انتظار خط
batch_no_line|Close batch/No line/Not closed|بستن دسته/خط قطع است/بسته نشد
batch_not_sent|Close batch/Not sent yet: {0}/Try again|بستن دسته/ارسال‌نشده: {0}/دوباره تلاش کنید
batch_closed|Batch {0}/Closed/Totals agree|دستهٔ {0}/بسته شد/جمع‌ها برابر است
batch_differs|Batch {0}/Closed/Totals differ|دستهٔ {0}/بسته شد/جمع‌ها برابر نیست
batch_refused|Close batch/Refused, code {0}|بستن دسته/پذیرفته نشد، کد {0}
receipt_close|BATCH CLOSE|بستن دسته
receipt_batch|Batch|دسته
receipt_points|Points|امتیاز
receipt_refused|Not taken by the switch|نپذیرفتهٔ سوییچ
batch_result_agreed|Totals agree with the switch|جمع‌ها با سوییچ برابر است
batch_result_different|Totals differ: each item was sent|جمع‌ها برابر نیست؛ همهٔ اقلام ارسال شد
batch_result_refused|The switch did not take the totals|سوییچ جمع‌ها را نپذیرفت
receipt_later|Points come later|امتیاز پس از وصل خط
pin_changed|Change PIN/PIN is changed|تغییر رمز/رمز تغییر کرد
card_stays|New card/No answer came/It is valid now|تعویض کارت/پاسخی نیامد/کارت تازه معتبر است
pin_unknown|No answer/Old or new PIN/is valid now|پاسخی نیامد/رمز پیشین یا تازه/معتبر است
manager_wrong|Manager/Wrong code/Tries left {0}|سرپرست/کد نادرست است/بار دیگر {0}
manager_closed|Manager/Wrong too often/Wait {0} minutes|سرپرست/کد نادرست، بیش از حد/{0} دقیقه صبر کنید
manager_changed|Manager/Code is changed|سرپرست/کد تغییر کرد
training|TRAINING|آموزش
training_on|TRAINING/Nothing is sent/# 0 ends it|آموزش/چیزی ارسال نمی‌شود/پایان: # و 0
training_off|Training/has ended|آموزش/پایان یافت
no_receipt|Last receipt/There is none|آخرین رسید/رسیدی نیست
no_original|Void/Not in this batch|ابطال/در این دسته نیست
ok|ok|خوب
bad|bad|خراب
pins_differ|PIN/Not the same/Try again|رمز/یکسان نیست/دوباره تلاش کنید
below_a_point|Points back/Less than one point|بازگشت امتیاز/کمتر از یک امتیاز
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
bad_reader|Reader error|خطای کارت‌خوان
bad_keypad|Keypad error|خطای صفحه‌کلید
bad_printer|Printer error|خطای چاپگر
bad_tap|Tap error|خطای خوانندهٔ بی‌تماس
bad_chip|Chip error|خطای خوانندهٔ تراشه
bad_scanner|Scanner error|خطای بارکدخوان
line_calling|Calling/Please wait/_* back|در حال تماس/کمی صبر کنید/_* بازگشت
line_dialling|Dialling/Please wait/_* back|شماره‌گیری/کمی صبر کنید/_* بازگشت
line_connecting|Connecting/Please wait/_* back|اتصال به شبکه/کمی صبر کنید/_* بازگشت
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
till_sale|Cash register/Swipe card/^{0}/_B points  * cancel|صندوق فروشگاه/کارت بکشید/^{0}/_B امتیاز  * لغو
till_sale_again|Cash register/Swipe again/^{0}/_B points  * cancel|صندوق فروشگاه/دوباره بکشید/^{0}/_B امتیاز  * لغو
no_till|No cash register|صندوق وصل نیست
bad_till|Register error|خطای صندوق
receipt_copy|COPY|رونوشت
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
receipt_rrn_of|Of RRN|به شمارهٔ مرجع
receipt_till|Till receipt|رسید صندوق
receipt_other|Other card|کارت دیگر
receipt_back|Points back|امتیاز بازگشته
receipt_taken|Points taken|امتیاز پس‌گرفته
receipt_money|Money back|پول بازگشتی
receipt_sale|Sale|فروش
receipt_by_points|Paid with points|پرداخت با امتیاز
receipt_to_pay|To pay|پرداختی
receipt_sent|Points sent|امتیاز فرستاده‌شده
receipt_next|To the next reward|تا جایزهٔ بعدی
receipt_reached|A reward is waiting for you|جایزه‌ای در انتظار شماست
receipt_expiring|Expiring {0}|انقضا {0}
receipt_signature|Signature|امضا
merchant_copy|MERCHANT COPY|نسخهٔ فروشنده
paper_low|Paper runs low|کاغذ رو به پایان است
fetching|Update {0} %|به‌روزرسانی: {0} از 100
receipt_pending|Points for later|امتیاز برای بعد
receipt_held|Points held|امتیاز نگه‌داشته
reason|Reason {0}|دلیل {0}
"""  # noqa: E501


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
