"""The event log and the counters: bounded, gathered, read over the service port, told at sign-on."""

from terminal.event_log import COUNTERS, FILE_BYTES, FILES, GATHERED_BYTES, EventLog
from terminal.injection import frame
from tests.terminal.desk import CARD, LOADED, SWIPE, Desk, dead, silent


class Storage:
    def __init__(self):
        self.files = {}
        self.writes = 0
        self.full = False

    def read(self, name):
        return self.files.get(name)

    def append(self, name, data):
        self.replace(name, self.files.get(name, b"") + data)

    def replace(self, name, data):
        if self.full:
            raise OSError(28)
        self.writes += 1
        self.files[name] = data


class Clock:
    moment = None
    ms = 5000

    def wall(self):
        return self.moment

    def now_ms(self):
        return self.ms


def all_of(log):
    found = []
    line = log.first_from(0)
    while line is not None:
        found.append(line)
        line = log.first_from(int(line.split("|")[0]) + 1)
    return found


def test_events_are_gathered_and_an_error_is_written_at_once():
    storage = Storage()
    log = EventLog(storage, Clock())
    log.add("info", "line: up")
    log.add("warning", "swipe")
    assert storage.writes == 0
    log.add("error", "storage")
    assert storage.writes == 1
    assert all_of(log) == ["0|+5|info|line: up", "1|+5|warning|swipe", "2|+5|error|storage"]
    for _ in range(200):
        log.add("info", "line: up")
    assert storage.writes < 200 * 20 // GATHERED_BYTES + 3


def test_the_log_is_bounded_and_keeps_the_newest_in_their_order():
    storage = Storage()
    log = EventLog(storage, Clock())
    for number in range(400):
        log.add("info", "event %d of many" % number)
    assert set(storage.files) == set(FILES)
    assert sum([len(data) for data in storage.files.values()]) <= 2 * FILE_BYTES
    first = int(log.first_from(0).split("|")[0])
    assert 0 < first < 300
    for number in list(range(first, 400, 37)) + [399]:
        assert log.first_from(number) == "%d|+5|info|event %d of many" % (number, number)
    assert log.first_from(400) is None


def test_numbers_go_on_after_a_restart_and_a_torn_line_is_left_out():
    storage = Storage()
    log = EventLog(storage, Clock())
    for number in range(30):
        log.add("error", "event %d" % number)
    storage.files["log.0"] = storage.files["log.0"][:-4]
    again = EventLog(storage, Clock())
    again.add("error", "after")
    assert all_of(again)[-1].split("|")[3] == "after"
    numbers = [int(line.split("|")[0]) for line in all_of(again)]
    assert numbers == sorted(set(numbers)) and len(numbers) == 30
    storage.files["log.1"] = b"\xff\x00|||\n" * 9
    assert EventLog(storage, Clock()).first_from(0)


def test_a_full_storage_stops_nothing_and_memory_stays_bounded():
    storage = Storage()
    log = EventLog(storage, Clock())
    storage.full = True
    for number in range(200):
        log.add("error", "event %d" % number)
        log.count("boots")
    assert int(log.first_from(0).split("|")[0]) > 50
    storage.full = False
    log.add("error", "back")
    assert log.first_from(200).endswith("|back") and log.counters[0] == 200


def test_texts_are_one_line_of_ascii():
    log = EventLog(Storage(), Clock())
    log.add("info", "a\nb|\u06f1" + "x" * 500)
    (line,) = all_of(log)
    assert line.startswith("0|+5|info|a?b|?xxx") and len(line) < 200


def test_counters_outlive_the_power_and_a_damage_of_their_file():
    storage = Storage()
    log = EventLog(storage, Clock())
    for name in COUNTERS:
        log.count(name)
    log.save()
    assert EventLog(storage, Clock()).digits() == "00000001" * len(COUNTERS)
    storage.files["counters"] = b"junk"
    assert EventLog(storage, Clock()).digits() == "00000000" * len(COUNTERS)


# ---------------------------------------------------------------- in the terminal


def counted(desk):
    return dict(zip(COUNTERS, desk.app.events.counters))


def test_a_day_at_the_desk_is_counted_and_told_at_sign_on():
    desk = Desk()
    assert desk.requests[0][1][48][0x39][:8] == "00000001"
    desk.earn()
    desk.wait(10000)
    desk.swipe(SWIPE[:9] + b"\r")
    desk.wait(10000)
    desk.switch = silent
    desk.earn()
    desk.wait(30000)
    desk.lose_line()
    found = counted(desk)
    assert found["boots"] == 1 and found["swipes_read"] == 2 and found["swipes_failed"] == 1
    assert found["transactions"] == 1 and found["reversals"] == 1 and found["line_drops"] >= 2
    desk.app.events.save()
    again = Desk(desk.files)
    assert again.requests[0][1][48][0x39] == "%08d" % 2 + again.app.events.digits()[8:]
    assert counted(again)["transactions"] == 1


def test_the_service_port_tells_events_and_counters():
    desk = Desk()
    desk.app.log("warning", "printer: out of paper")
    answers = []
    asked = 0
    while True:
        answer = serviced(desk, "E1?|%d" % asked)
        if answer == "E1":
            break
        answers.append(answer)
        asked = int(answer.split("|")[1]) + 1
    assert any(answer.endswith("|info|signed on") for answer in answers)
    assert answers[-1].split("|")[3:] == ["warning", "printer: out of paper"]
    assert "printer_faults=1" in serviced(desk, "C1?") and "boots=1" in serviced(desk, "C1?")
    assert serviced(desk, "E1?|x").startswith("ERR|COMMAND")
    assert serviced(desk, "V1?").startswith("V1|10000001|loaded|")


def serviced(desk, payload):
    before = len(desk.sent.get("service", b""))
    desk.app.heard("service", frame(payload))
    desk.run()
    return str(desk.sent["service"][before + 1 : -2], "ascii")


def test_no_card_data_is_in_the_log():
    desk = Desk(files=dict(LOADED), switch=dead)
    desk.switch = silent
    desk.wait(60000)
    desk.earn()
    desk.wait(60000)
    desk.app.events.write()
    for name in FILES:
        assert CARD.encode() not in desk.files.get(name, b"")
