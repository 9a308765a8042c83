"""Receipts and screens, letter by letter, in both languages."""

from binascii import unhexlify

from terminal.flows.outcome import Outcome, record_of
from terminal.message import pack
from terminal.settings import Settings
from terminal.ui import receipt
from terminal.ui.strings import LOCALES, names, pair_of

MOMENT = (2026, 8, 24, 14, 3, 5)
EARN = {1: "%012d" % 250, 2: "%012d" % 1250, 4: "0101", 5: "%012d" % 10000}
EARN[0x18], EARN[0x19] = "20270320%012d" % 120, "%012d" % 2000  # what ends first; the next reward

EARN_EN = """\
           Vafa Shop
          Earn points
--------------------------------
Date 2026-08-24         14:03:05
Terminal                10000001
STAN                      000012
RRN                 0A0000012345
Card            936400******7898
--------------------------------
Amount            2,500,000 rial
Points earned                250
1 point for every 10,000 rial
Balance                    1,250
To the next reward           750
Expiring 2027-03-20          120"""

EARN_FA = """\
          فروشگاه وفا
           کسب امتیاز
--------------------------------
تاریخ ۱۴۰۵/۰۶/۰۲        ۱۴:۰۳:۰۵
پایانه                  ۱۰۰۰۰۰۰۱
شمارهٔ پیگیری              ۰۰۰۰۱۲
شمارهٔ مرجع          0A0000012345
کارت            ۹۳۶۴۰۰******۷۸۹۸
--------------------------------
مبلغ              ۲٬۵۰۰٬۰۰۰ ریال
امتیاز کسب‌شده                ۲۵۰
۱ امتیاز برای هر ۱۰٬۰۰۰ ریال
ماندهٔ امتیاز               ۱٬۲۵۰
تا جایزهٔ بعدی                ۷۵۰
انقضا ۱۴۰۵/۱۲/۲۹             ۱۲۰"""

REDEEM_AGAIN_EN = """\
           Vafa Shop
        LAST TRANSACTION
         Redeem points
--------------------------------
Date 2026-08-24         14:03:05
Terminal                10000001
STAN                      000012
RRN                 0A0000012345
Card            936400******7898
--------------------------------
Amount               10,000 rial
Points redeemed              100
1 point pays 100 rial
Balance                        0
Debt                          45"""

REDEEM_AGAIN_FA = """\
          فروشگاه وفا
          آخرین تراکنش
           خرج امتیاز
--------------------------------
تاریخ ۱۴۰۵/۰۶/۰۲        ۱۴:۰۳:۰۵
پایانه                  ۱۰۰۰۰۰۰۱
شمارهٔ پیگیری              ۰۰۰۰۱۲
شمارهٔ مرجع          0A0000012345
کارت            ۹۳۶۴۰۰******۷۸۹۸
--------------------------------
مبلغ                 ۱۰٬۰۰۰ ریال
امتیاز خرج‌شده                ۱۰۰
هر امتیاز ۱۰۰ ریال
ماندهٔ امتیاز                   ۰
بدهی امتیاز                   ۴۵"""

BALANCE_EN = """\
           Vafa Shop
            Balance
--------------------------------
Date 2026-08-24         14:03:05
Terminal                10000001
STAN                      000012
Card            936400******7898
--------------------------------
Reason 0999
Balance                    1,250"""

ACTIVATE_FA = """\
          فروشگاه وفا
         فعال‌سازی کارت
--------------------------------
تاریخ ۱۴۰۵/۰۶/۰۲        ۱۴:۰۳:۰۵
پایانه                  ۱۰۰۰۰۰۰۱
شمارهٔ پیگیری              ۰۰۰۰۱۲
شمارهٔ مرجع          0A0000012345
کارت            ۹۳۶۴۰۰******۷۸۹۸
--------------------------------
ماندهٔ امتیاز                   ۰"""


def shop(english="Vafa Shop", persian="فروشگاه وفا"):
    settings = Settings()
    settings.terminal_id = "10000001"
    settings.acceptor_name = (english, persian)
    settings.receipt_header = settings.receipt_footer = None
    return settings


def outcome(mti, code, tags, amount=None, points=None, rrn="0A0000012345"):
    """What came of a request of STAN 12, made as the terminal makes it: from a record and an answer."""
    fields = {
        3: code,
        11: "000012",
        12: "140305",
        13: "0824",
        35: "9364001234567898=29121010000",
        41: "10000001",
        42: "100000000000001",
    }
    if amount is not None:
        fields[4] = "%012d" % amount
    if points is not None:
        fields[48] = {1: "%012d" % points}
    answer = {11: "000012", 12: "140305", 39: "00", 41: "10000001", 48: tags}
    if rrn:
        answer[37] = rrn
    return Outcome(record_of(mti, fields, 13, MOMENT), pack("0210", answer))


def printed(result, locale, mark=None, settings=None):
    lines = receipt.lines(receipt.rows(result, settings or shop(), locale, mark))
    for line in lines:
        assert receipt.width(line) <= receipt.COLUMNS, line
    return "\n".join(lines)


def test_earn():
    result = outcome("0200", "210060", EARN, amount=2500000)
    assert printed(result, "en") == EARN_EN
    assert printed(result, "fa") == EARN_FA


def test_redeem_as_last_transaction_with_debt():
    tags = {1: "%012d" % 100, 2: "0" * 12, 3: "%012d" % 45, 4: "0102", 5: "%012d" % 100}
    result = outcome("0200", "006000", tags, amount=10000, points=100)
    assert printed(result, "en", mark="last_transaction") == REDEEM_AGAIN_EN
    assert printed(result, "fa", mark="last_transaction") == REDEEM_AGAIN_FA


def test_balance_with_a_reason_unknown_here_and_without_rrn():
    result = outcome("0100", "306000", {2: "%012d" % 1250, 4: "0999"}, rrn="")
    assert printed(result, "en") == BALANCE_EN


def test_activate():
    assert printed(outcome("0300", "720000", {2: "0" * 12}), "fa") == ACTIVATE_FA


def test_a_long_name_is_broken_between_words_and_a_long_word_anywhere():
    settings = shop("The Very Long Name Of A Shop In The Old Bazaar", "ف" * 40)
    result = outcome("0100", "306000", {2: "0" * 12})
    lines = printed(result, "en", settings=settings).split("\n")
    assert [line.strip() for line in lines[:2]] == ["The Very Long Name Of A Shop In", "The Old Bazaar"]
    lines = printed(result, "fa", settings=settings).split("\n")
    assert [line.strip() for line in lines[:2]] == ["ف" * 32, "ف" * 8]


def test_an_outcome_knows_no_card_but_its_mask():
    result = outcome("0200", "210060", EARN, amount=2500000)
    assert "9364001234567898" not in str(result.__dict__)
    assert unhexlify("9364001234567898") not in str(result.__dict__).encode()


def test_every_text_is_there_in_both_languages_with_the_same_values_and_lines():
    assert len(set(names())) == len(names()) > 50
    for name in names():
        texts = pair_of(name)
        assert len(texts) == len(LOCALES), name
        english, persian = texts
        for place in range(6):
            mark = "{%d}" % place
            assert (mark in english) == (mark in persian), name
        assert english and persian
