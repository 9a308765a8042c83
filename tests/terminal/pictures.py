"""What a terminal can show and print, each as it would look: every screen and a receipt of every kind, in
both languages. For tests of either interpreter; the recorded digests are in tests/vectors/pictures.json.
"""

import hashlib
from binascii import hexlify

from terminal.flows.outcome import Outcome, record_of
from terminal.hal.canvas import Canvas
from terminal.message import pack
from terminal.settings import Settings
from terminal.ui import receipt
from terminal.ui.paper import strips
from terminal.ui.screens import HEIGHT, WIDTH, marked_lines, picture
from terminal.ui.strings import LOCALES, SECRET, names, pair_of

RECORDED = "tests/vectors/pictures.json"
DIGITS = 16  # of a digest that are kept
PAPER_DOTS = 384
MOMENT = (2026, 8, 24, 14, 3, 5)
SHOP = ("City Books", "کتاب‌فروشی شهر")

# Values of a screen where the usual ones would look strange: text, place in it.
VALUES = {
    ("idle", 0): SHOP,
    ("idle_trouble", 0): SHOP,
    ("idle_trouble", 1): ("Paper runs low", "کاغذ رو به پایان است"),
    ("amount", 1): 2500000,
    ("amount_again", 1): 2500000,
    ("points", 1): 1250,
    ("card_number", 1): "9364********",
    ("mobile", 1): "0912*******",
    ("rrn", 1): "5C0X4UDL9HXC",
    ("till_receipt", 1): "4711",
    ("declined", 1): "51",
    ("declined", 2): ("Not enough points", "امتیاز کافی نیست"),
    ("signing_on", 0): ("No line", "خط قطع است"),
    ("last", 0): ("Earn points", "کسب امتیاز"),
    ("reversal", 0): "000012",
    ("reversal_refused", 0): "000012",
    ("reversal_refused", 1): "94",
    ("batch_closing", 0): "000007",
    ("batch_waits", 0): "000007",
    ("batch_closed", 0): "000007",
    ("batch_differs", 0): "000007",
    ("manager_wrong", 0): 2,
    ("manager_closed", 0): 15,
    ("which", 1): "1 earn 2,500,000",
    ("which", 2): "2 redeem 100",
    ("which", 3): "3 earn 990,000",
    ("block_sure", 1): "936400******7898",
    ("state_line", 0): ("ok", "خوب"),
    ("state_line", 1): "23:59",
    ("state_line", 2): ("ok", "خوب"),
    ("state_software", 0): "1",
    ("state_software", 1): "000007",
    ("state_software", 2): 2,
    ("state_software", 3): ("ok", "خوب"),
    ("state_devices", 0): "keypad +  line +",
    ("state_devices", 1): "printer -  reader +",
    ("state_devices", 2): "service +",
    ("test", 0): ("Storage ok", "حافظه خوب"),
    ("test", 1): 35,
    ("test", 2): ("ok", "خوب"),
}
TITLE = ("Redeem points", "خرج امتیاز")
COUNTS = (250, 1250, 2500000)

# name of a receipt: MTI, processing code, amount, tags of the request, tags of the answer, mark, copy
RECEIPTS = {
    "earn": (
        "0200",
        "210060",
        2500000,
        {},
        {1: 250, 2: 1250, 4: "0101", 5: 10000, 0x18: "20270320000000000120", 0x19: 2000},
        None,
        receipt.CUSTOMER,
    ),
    "earn_for_later": (
        "0200",
        "210060",
        2500000,
        {},
        {1: 250, 2: 0, 0x0C: 250, 4: "0103", 5: 10000, 0x19: 2000},
        None,
        receipt.CUSTOMER,
    ),
    "earn_last": (
        "0200",
        "210060",
        990000,
        {},
        {1: 99, 2: 2099, 4: "0101", 5: 10000, 0x19: 2000},
        "last_transaction",
        receipt.CUSTOMER,
    ),
    "redeem": (
        "0200",
        "006000",
        10000,
        {1: 100},
        {1: 100, 2: 0, 3: 45, 4: "0102", 5: 100},
        None,
        receipt.CUSTOMER,
    ),
    "redeem_signed": (
        "0200",
        "006000",
        10000,
        {1: 100},
        {1: 100, 2: 150, 4: "0102", 5: 100},
        None,
        receipt.MERCHANT,
    ),
    "redeem_copy": (
        "0200",
        "006000",
        10000,
        {1: 100},
        {1: 100, 2: 150, 4: "0102", 5: 100},
        "receipt_copy",
        receipt.MERCHANT,
    ),
    "split": (
        "0200",
        "006000",
        100000,
        {1: 1000, 0x0A: 2600000},
        {1: 1000, 2: 400, 0x0E: 250, 4: "0102", 5: 100},
        None,
        receipt.CUSTOMER,
    ),
    "balance": (
        "0100",
        "306000",
        None,
        {},
        {2: 1250, 0x0D: 100, 0x18: "20270320000000001250"},
        None,
        receipt.CUSTOMER,
    ),
    "activate": ("0300", "720000", None, {}, {2: 0}, None, receipt.CUSTOMER),
    "void_signed": ("0200", "020060", 2500000, {}, {1: 250, 2: 1000, 4: "0106"}, None, receipt.MERCHANT),
    "return": (
        "0200",
        "206000",
        10000,
        {1: 100},
        {1: 100, 2: 250, 0x0E: 25, 4: "0105"},
        None,
        receipt.CUSTOMER,
    ),
    "transfer": (
        "0200",
        "406060",
        None,
        {1: 500, 0x0B: "9364009999999996"},
        {1: 500, 2: 750},
        None,
        receipt.CUSTOMER,
    ),
    "block": ("0300", "730000", None, {}, {}, None, receipt.CUSTOMER),
    "practice": ("0200", "210060", 2500000, {}, {1: 250, 2: 1250, 4: "0999"}, "training", receipt.CUSTOMER),
}
FOLLOWING = ("void_signed", "return")  # name another transaction


def values_of(name):
    """Values that a screen's text usually has."""
    texts = pair_of(name)
    values = []
    for place in range(9):
        mark = "{%d}" % place
        if (name, place) in VALUES:
            value = VALUES[name, place]
        elif mark in texts[0].split("\n")[0]:
            value = TITLE
        elif SECRET + mark in texts[0]:
            value = "****"
        else:
            value = COUNTS[place % 3]
        values.append(value)
    return values


def screens():
    """Yields (key, locale, canvas) of every text that is a screen; the canvas is used again."""
    canvas = Canvas(WIDTH, HEIGHT)
    for name in names():
        if "\n" not in pair_of(name)[0]:
            continue
        for locale in LOCALES:
            picture(canvas, marked_lines(name, values_of(name), locale), locale == "fa")
            yield "screen/%s/%s" % (name, locale), locale, canvas


def shop():
    settings = Settings()
    settings.terminal_id = "10000001"
    settings.acceptor_name = SHOP
    settings.receipt_header = ("12 Enghelab Street, Tehran", "تهران، خیابان انقلاب، شمارهٔ ۱۲")
    settings.receipt_footer = ("Thank you", "سپاس از خرید شما")
    return settings


def rows_of(name, locale):
    """The rows of a receipt."""
    mti, code, amount, asked, answered, mark, copy = RECEIPTS[name]
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
    if name in FOLLOWING:
        fields[37] = "5C0X4UDL9HXC"
    if asked:
        fields[48] = tags_of(asked)
    answer = {11: "000012", 12: "140305", 37: "5C0X4UDLA0B1", 39: "00", 41: "10000001", 48: tags_of(answered)}
    outcome = Outcome(record_of(mti, fields, 13, MOMENT), pack(mti[:2] + "10", answer))
    return receipt.rows(outcome, shop(), locale, mark, copy)


def tags_of(values):
    return {tag: value if isinstance(value, str) else "%012d" % value for tag, value in values.items()}


def receipts():
    """Yields (key, locale, strips) of every receipt."""
    for name in sorted(RECEIPTS):
        for locale in LOCALES:
            yield (
                "receipt/%s/%s" % (name, locale),
                locale,
                strips(rows_of(name, locale), PAPER_DOTS, locale == "fa"),
            )


def digest(pieces):
    """Of dots, piece by piece."""
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return str(hexlify(state.digest()), "ascii")[:DIGITS]


def digests():
    """Yields (key, digest) of all pictures."""
    for key, _, canvas in screens():
        yield key, digest((canvas.dots,))
    for key, _, pieces in receipts():
        yield key, digest(pieces)
