"""A terminal on a scripted desk: without keys, given keys at the service port, at the end of its keys."""

from terminal.injection import frame
from terminal.keys import COUNTER_BLOCK, FILE
from tests.terminal.desk import CARD, LOADED, Desk, dead
from tests.terminal.host_keys import CHECK_VALUE, FIRST_SERIAL, KEY_BLOCK


def inject(desk, serial=FIRST_SERIAL):
    payload = "|".join(("K1", "10000001", serial, CHECK_VALUE, KEY_BLOCK))
    desk.sent.clear()
    desk.hear("service", frame(payload))
    return str(desk.sent["service"][1:-2], "ascii")


def test_without_keys_nothing_is_sent_until_they_are_injected():
    desk = Desk(files={})
    desk.keys("C")
    desk.swipe()
    desk.wait(100000)
    assert desk.screens == ["no_keys"] and desk.requests == []
    assert desk.lines == ["No keys", "Call service"]
    assert set(desk.files) <= {"log.0", "counters"}
    assert inject(desk) == "OK|" + CHECK_VALUE
    assert desk.screens == ["no_keys", "signing_on", "idle"]
    desk.earn()
    assert desk.transactions[0]["approved"]


def test_a_key_block_in_the_settings_does_the_same():
    desk = Desk(files={}, key_block=KEY_BLOCK, key_serial=FIRST_SERIAL)
    assert desk.screens[-1] == "idle" and desk.serials[0][8:] == b"\x00\x00\x00\x01"
    assert desk.forgotten == 1
    again = Desk(desk.files, key_block=KEY_BLOCK, key_serial=FIRST_SERIAL)
    assert int.from_bytes(again.serials[0][8:], "big") == COUNTER_BLOCK
    assert again.forgotten == 1  # the power went between loading and forgetting
    assert Desk(again.files).forgotten == 0


def test_a_key_block_stays_in_the_settings_until_its_key_is_stored():
    desk = Desk(files={}, full=True, key_block=KEY_BLOCK, key_serial=FIRST_SERIAL)
    assert desk.screens == ["no_keys"] and desk.forgotten == 0
    assert desk.logs[0] == "keys: the storage is full or broken"


def test_settings_that_can_not_be_changed_are_told_and_the_terminal_works():
    desk = Desk(files={}, read_only=True, key_block=KEY_BLOCK, key_serial=FIRST_SERIAL)
    assert desk.screens[-1] == "idle"
    assert desk.logs[0].startswith("settings: the key block can't be taken out")


def test_a_wrong_key_block_in_the_settings_is_told():
    desk = Desk(files={}, key_block=KEY_BLOCK[:-1] + "B", key_serial=FIRST_SERIAL)
    assert desk.screens == ["no_keys"] and desk.forgotten == 0
    assert desk.logs[0] == "keys: key block: changed, or under another transport key"


def test_keys_that_were_changed_at_rest():
    data = LOADED[FILE]
    desk = Desk(files={FILE: data[:50] + bytes([data[50] ^ 1]) + data[51:]})
    assert desk.screens == ["keys_damaged"] and desk.requests == []
    assert inject(desk).startswith("OK|")
    assert desk.screens[-1] == "idle"


def test_every_sending_has_a_serial_of_its_own():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    desk.wait(40000)
    assert len(desk.serials) == len(set(desk.serials)) == len(desk.requests) == 4


def test_the_last_counter_stops_the_terminal_and_new_keys_go_on_with_what_was_pending():
    desk = Desk(files={})
    inject(desk, "1234567890123456FFFF0000")  # the last one: the sign-on takes it
    assert desk.mtis() == ["0800"]
    desk.earn()
    assert desk.screens[-1] == "keys_spent" and desk.lines[0] == "Keys used up"
    desk.wait(100000)
    desk.keys("C")
    assert desk.mtis() == ["0800"] and desk.screens[-1] == "keys_spent"
    assert Desk(desk.files).screens == ["keys_spent"]


def test_new_keys_leave_what_is_pending_readable():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    desk.serials = []
    assert inject(desk, "123456789012345600001000").startswith("OK|")
    again = Desk(desk.files)
    again.wait(10000)
    assert again.mtis()[0] == "0420" and again.requests[0][1][35].startswith(CARD)
    assert again.serials[0] > b"\x12\x34\x56\x78\x90\x12\x34\x56\x00\x00\x10"


def test_a_storage_that_fills_up_at_the_end_of_a_block_is_told():
    desk = Desk()
    for _ in range(COUNTER_BLOCK - 2):
        desk.app.keys.transmission()
    desk.full = True
    desk.earn()
    assert desk.lines[0] == "Storage error" and desk.mtis() == ["0800"]
    desk.full = False
    desk.earn()
    assert desk.transactions[0]["approved"]


def test_noise_at_the_service_port_changes_nothing():
    desk = Desk()
    desk.hear("service", bytes(range(256)) * 4)
    assert desk.sent["service"][:5] == b"\x02ERR|"
    assert desk.screens[-1] == "idle"
