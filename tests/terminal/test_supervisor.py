"""A terminal on a scripted desk: the supervisor's code, what lies behind it, training, state and test."""

from hashlib import sha256

from terminal.flows.supervisor import FILE, PAUSE_MS, ROUNDS
from tests.terminal.desk import CARD, MOBILE, PIN, approve, dead
from tests.terminal.desk import BlindDesk as Desk
from tests.terminal.desk import Desk as SeeingDesk

MANAGER = "73519"
WRONG = "73510"


def settings_code(code):
    """(salt, hash) as the settings have them."""
    salt = bytes(range(16))
    found = sha256(salt + bytes([int(digit) for digit in code])).digest()
    for _ in range(ROUNDS):
        found = sha256(found + salt).digest()
    return salt, found


CODE = settings_code(MANAGER)


def shop(made=Desk, **more):
    return made(supervisor=CODE, **more)


def open_menu(desk, code=MANAGER):
    desk.keys("#0" + code + "#")


# ---------------------------------------------------------------- the code


def test_the_code_of_the_settings_opens_the_menu_and_nothing_shows_or_keeps_it():
    desk = shop()
    told = []
    emit = desk.emit
    desk.app.emit = desk.app.screens._emit = lambda event: (told.append(str(event)), emit(event))
    open_menu(desk)
    assert desk.screens[-1] == "manager"
    assert desk.screens.count("manager_code") == 1 + len(MANAGER)
    for text in told + desk.logs:
        assert MANAGER not in text
    for data in desk.files.values():
        assert MANAGER.encode() not in data and bytes([int(digit) for digit in MANAGER]) not in data


def test_wrong_codes_close_the_menu_for_a_while_also_through_a_restart():
    desk = shop()
    open_menu(desk, WRONG)
    assert desk.lines == ["Manager", "Wrong code", "Tries left 2"]
    desk.keys("*" + WRONG + "#")
    assert desk.lines[2] == "Tries left 1"
    desk.keys("*" + WRONG + "#")
    assert desk.lines == ["Manager", "Wrong too often", "Wait 5 minutes"]
    desk.keys("*")
    desk.keys("#0")
    assert desk.lines[1] == "Wrong too often"
    again = Desk(desk.files, supervisor=CODE)
    again.keys("#0")
    assert again.lines == ["Manager", "Wrong too often", "Wait 5 minutes"]
    again.keys("*")
    again.wait(PAUSE_MS)
    open_menu(again)
    assert again.screens[-1] == "manager"


def test_a_power_cut_gives_no_try_back():
    desk = shop()
    for _ in range(2):
        desk = Desk(desk.files, supervisor=CODE)
        open_menu(desk, WRONG)
    desk = Desk(desk.files, supervisor=CODE)
    open_menu(desk, WRONG)
    assert desk.lines[1] == "Wrong too often"


def test_the_right_code_starts_the_count_over():
    desk = shop()
    open_menu(desk, WRONG)
    desk.keys("*" + MANAGER + "#")
    assert desk.screens[-1] == "manager"
    desk.keys("*")
    open_menu(desk, WRONG)
    assert desk.lines[2] == "Tries left 2"


def test_where_there_is_no_code_the_first_to_come_chooses_it():
    desk = Desk()
    desk.keys("#0")
    assert desk.screens[-1] == "manager_new"
    desk.keys("2468#2469#")
    assert desk.lines[1] == "Not the same"
    desk.keys("*" + "2468#2468#")
    assert desk.screens[-1] == "manager"
    again = Desk(desk.files)
    open_menu(again, "1111")
    assert again.lines[1] == "Wrong code"
    again.keys("*" + "2468#")
    assert again.screens[-1] == "manager"


def test_a_changed_code_counts_until_the_settings_bring_another():
    desk = shop()
    open_menu(desk)
    desk.keys("4" + "8642#8642#")
    assert desk.lines == ["Manager", "Code is changed"]
    again = shop(files=desk.files)
    open_menu(again)
    assert again.lines[1] == "Wrong code"
    again.keys("*" + "8642#")
    assert again.screens[-1] == "manager"
    other = Desk(again.files, supervisor=settings_code("9753"))
    open_menu(other, "9753")
    assert other.screens[-1] == "manager"


def test_a_damaged_code_closes_the_menu_for_a_while():
    desk = shop()
    open_menu(desk, WRONG)
    desk.files[FILE] = desk.files[FILE][:-1] + b"\x00"
    again = shop(files=desk.files)
    again.keys("#0")
    assert again.lines[1] == "Wrong too often"
    assert "supervisor: the code can't be read" in again.logs


def test_a_full_storage_opens_nothing():
    desk = shop()
    desk.full = True
    open_menu(desk)
    assert desk.lines[0] == "Storage error"


def test_a_supervisor_answers_for_a_replacement():
    desk = shop()
    desk.keys("#5" + MOBILE + "#" + "9364009999999909" + "#")
    assert desk.screens[-1] == "proof"
    desk.keys("B" + MANAGER + "#")
    mti, fields = desk.requests[-1]
    assert (mti, fields[3]) == ("0300", "750000")
    assert fields[48][0x17] == "01" and 52 not in fields
    assert desk.transactions[-1]["approved"]
    desk.keys("#")
    desk.keys("#5" + MOBILE + "#" + "9364009999999909" + "#" + "B" + WRONG + "#" + "**")
    assert desk.screens[-1] == "idle" and len(desk.requests) == 2


def test_where_nobody_is_the_supervisor_nobody_answers_for_a_member():
    desk = Desk()
    desk.keys("#5" + MOBILE + "#" + "9364009999999909" + "#" + "B")
    assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]


# ---------------------------------------------------------------- state and test


def test_the_state_is_told_page_by_page_and_then_tested():
    desk = shop()
    open_menu(desk)
    desk.keys("2")
    assert desk.screens[-1] == "state_line" and desk.lines[1:3] == ["Line: ok", "Sign-on 14:03"]
    desk.keys("#")
    assert desk.screens[-1] == "state_software" and "Storage: ok" in desk.lines
    desk.keys("#")
    assert desk.screens[-1] == "state_devices" and "keypad +" in " ".join(desk.lines)
    desk.keys("#")
    assert desk.screens[-1] == "test" and "Printer: ok" in desk.lines
    assert desk.requests[-1][0] == "0800" and desk.requests[-1][1][70] == "301"
    assert len(desk.printed) == 1
    desk.keys("#")
    assert desk.screens[-1] == "idle" and "probe" not in desk.files


def test_a_test_says_what_is_broken():
    desk = shop(SeeingDesk)
    desk.switch = dead
    desk.paper = None
    open_menu(desk)
    desk.keys("2###")
    desk.wait(40000)
    assert "Line - ms" in desk.lines and "Printer: bad" in desk.lines


# ---------------------------------------------------------------- training


def trained(desk):
    """Every flow once; the reference is of the first transaction of the list."""
    desk.earn("2500000#")
    desk.keys("#")
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.keys("#")
    desk.keys("C" + CARD + "#")
    desk.keys("#")
    desk.keys("D")
    desk.swipe()
    desk.keys(MOBILE + "A" + PIN + "#" + PIN + "#")
    desk.keys("#")
    desk.keys("#4")
    desk.swipe()
    desk.keys("50000#100#")
    desk.keys("#")
    desk.keys("#11")
    desk.keys("#")
    desk.keys("#211" + "4000#")
    desk.keys("#")
    desk.keys("#5" + CARD + "#" + "9364009999999909" + "#" + "#" + PIN + "#")
    desk.keys("#")
    desk.keys("#6" + CARD + "#" + PIN + "#" + "1357#1357#")
    desk.keys("#")
    desk.keys("#7" + CARD + "##")
    desk.keys("#")
    desk.keys("#8" + CARD + "#" + PIN + "#")
    desk.keys("#")
    desk.keys("#9" + CARD + "#" + "9364009999999909" + "#" + "70#" + PIN + "#")
    desk.keys("#")


def test_training_plays_every_flow_and_touches_nothing():
    desk = shop()
    open_menu(desk)
    desk.keys("3")
    desk.keys("#")
    kept = {name: desk.files[name] for name in desk.files}
    seen = len(desk.screens)
    titles = []
    show = desk.emit

    def emit(event):
        if event["event"] == "screen":
            titles.append(event["lines"][0])
        show(event)

    desk.app.screens._emit = emit
    trained(desk)
    assert [event["flow"] for event in desk.transactions] == [
        "earn",
        "redeem",
        "balance",
        "activate",
        "split",
        "void",
        "return",
        "replace",
        "pin_change",
        "block",
        "unblock",
        "transfer",
    ]
    assert all(event["approved"] and event["training"] for event in desk.transactions)
    assert desk.mtis() == ["0800"] and desk.files == kept
    assert len(desk.screens) > seen and all(title.startswith("TRAINING") for title in titles)
    assert len(desk.printed) >= len(desk.transactions) - 1  # a changed PIN has no receipt
    for receipt in desk.printed:
        assert any("TRAINING" in line for line in receipt[:3])
    desk.keys("#3")
    assert any("COPY" in line for line in desk.printed[-1])
    # What is real goes on as if nothing had been: with the next STAN, and the next key serial.
    desk.keys("#0")
    desk.keys("#")
    desk.earn("10000#")
    other = shop()
    other.earn("10000#")
    assert desk.mtis() == other.mtis() == ["0800", "0200"]
    assert desk.requests[-1][1][11] == other.requests[-1][1][11] and desk.serials == other.serials


def test_training_ends_by_the_menu_or_with_the_power():
    desk = shop()
    open_menu(desk)
    desk.keys("3")
    desk.keys("#")
    desk.keys("#0")
    assert desk.lines[0] == "Training"
    desk.keys("#")
    desk.earn("10000#")
    assert desk.mtis() == ["0800", "0200"] and "training" not in desk.transactions[-1]
    assert not any("TRAINING" in line for line in desk.printed[-1])
    desk.keys("#")
    open_menu(desk)
    desk.keys("3")
    again = shop(files=desk.files)
    again.earn("10000#")
    assert again.mtis() == ["0800", "0200"]


def test_a_day_of_training_sends_nothing_either():
    desk = shop()
    desk.switch = approve
    open_menu(desk)
    desk.keys("3")
    desk.wait(2 * 24 * 3600 * 1000)
    assert desk.mtis() == ["0800"] and desk.screens[-1] == "idle"
