"""The modem's driver and the exchange over a dialled line: words, digits, echoes, lost calls, silence."""

from terminal.drivers.dial_line import (
    ACK_MS,
    ANSWER_MS,
    ENQUIRY_MS,
    Answered,
    DialLine,
    framed,
)
from terminal.drivers.dial_line import GAP_MS as FRAME_GAP_MS
from terminal.drivers.dial_line import TRIES as FRAME_TRIES
from terminal.drivers.modem import (
    COMMAND_MS,
    DIAL_MS,
    GUARD_MS,
    TRIES,
    Connected,
    Failed,
    HungUp,
    Modem,
    Ready,
    Received,
)

OK = b"\r\nOK\r\n"


class Bench:
    """A driver, and a modem that says what the test says."""

    def __init__(self, *arguments):
        self.driver = Modem(*arguments)
        self.now_ms = 1000

    def says(self, *pieces):
        events = []
        for piece in pieces:
            events += self.driver.feed(piece, self.now_ms)
            self.now_ms += 10
        return events

    def waits(self):
        self.now_ms = self.driver.deadline_ms()
        return self.driver.tick(self.now_ms)

    def ready(self):
        self.driver.begin(self.now_ms)
        events = self.says(OK, OK, OK)
        assert isinstance(events[0], Ready)
        self.driver.to_send()
        return self.driver

    def online(self):
        driver = self.ready()
        driver.dial(["123"], self.now_ms)
        driver.to_send()
        [event] = self.says(b"\r\nCONNECT 2400\r\n")
        assert isinstance(event, Connected)
        return driver


def test_set_up_with_echo_and_without():
    for echo in (b"AT&F\r", b""):
        bench = Bench(["AT$F2"])
        bench.driver.begin(0)
        assert bench.driver.to_send() == b"AT&F\r"
        assert bench.says(echo + OK) == []
        assert bench.driver.to_send() == b"ATE0V1X4&C1&D2\r"
        assert bench.says(OK) == []
        assert bench.driver.to_send() == b"ATS7=45S0=0\r"
        assert bench.says(b"0\r") == []  # digits, before V1 has counted
        assert bench.driver.to_send() == b"AT$F2\r"
        [event] = bench.says(OK[:3], OK[3:])
        assert isinstance(event, Ready)
        assert bench.driver.deadline_ms() is None


def test_a_command_that_it_does_not_know():
    bench = Bench(["AT$F9"])
    bench.driver.begin(0)
    [event] = bench.says(OK, OK, OK, b"\r\nERROR\r\n")
    assert (type(event), event.reason) == (Failed, "error")


def test_how_calls_end():
    for said, reason in (
        (b"\r\nBUSY\r\n", "busy"),
        (b"7\r", "busy"),
        (b"\r\nNO CARRIER\r\n", "no carrier"),
        (b"3\r", "no carrier"),
        (b"\r\nNO DIALTONE\r\n", "no dial tone"),
        (b"\r\nNO DIAL TONE\r\n", "no dial tone"),
        (b"\r\nNO ANSWER\r\n", "no answer"),
        (b"\r\nERROR\r\n", "error"),
        (b"\r\nDELAYED\r\n", "busy"),  # Actiontec DataLink V.90, result codes
        (b"\r\nBLACKLISTED\r\n", "busy"),
    ):
        bench = Bench()
        bench.ready().dial(["123", "456"], bench.now_ms)
        assert bench.driver.to_send() == b"ATDT123\r"
        assert bench.says(b"\r\nRINGING\r\n", said) == []
        assert bench.driver.to_send() == b"ATDT456\r", said
        [event] = bench.says(said)
        assert (type(event), event.reason, event.number) == (Failed, reason, 1)
        assert bench.driver.deadline_ms() is None


def test_the_backup_number_answers():
    for said, speed in (
        (b"\r\nCONNECT 2400\r\n", 2400),
        (b"\r\nCONNECT\r\n", 0),
        (b"\r\nCONNECT 1200/V22\r\n", 1200),
        (
            b"\r\nCARRIER 31200\r\n\r\nPROTOCOL: LAP-M\r\n\r\nCONNECT 115200/V34/LAPM/33600:TX/31200:RX\r\n",
            115200,
        ),
        (b"10\r", 2400),
        (b"5\r", 1200),
        (b"1\r", 300),
    ):
        bench = Bench([], False, "0,")
        bench.ready().dial(["123", "456"], bench.now_ms)
        assert bench.driver.to_send() == b"ATDP0,123\r"
        bench.says(b"\r\nBUSY\r\n")
        bench.driver.to_send()
        [event] = bench.says(said[:2], said[2:])
        assert (type(event), event.speed) == (Connected, speed)
        assert bench.driver.is_online


def test_bytes_behind_the_result_belong_to_the_other_side():
    bench = Bench()
    bench.ready().dial(["123"], bench.now_ms)
    connected, received = bench.says(b"\r\nCONNECT 2400\r\n\x05")
    assert isinstance(connected, Connected)
    assert received.data == b"\x05"
    assert repr(received) == "Received(hidden)"


def test_bytes_go_through_as_they_are():
    bench = Bench()
    driver = bench.online()
    driver.send(bytes(range(256)))
    assert driver.to_send() == bytes(range(256))
    events = bench.says(bytes(range(200)), b"OK\r\n", b"NO CARRIER")
    assert b"".join([event.data for event in events]).endswith(bytes(range(200)) + b"OK\r\nNO CARRIER")
    assert driver.is_online


def test_a_lost_call_is_told_torn_anywhere():
    lost = b"\r\nNO CARRIER\r\n"
    for cut in range(len(lost) + 1):
        bench = Bench()
        bench.online()
        events = bench.says(b"\x02abc" + lost[:cut], *([lost[cut:]] if cut < len(lost) else []))
        assert (type(events[-1]), events[-1].is_lost) == (HungUp, True), cut
        carried = b"".join([event.data for event in events if isinstance(event, Received)])
        assert carried.startswith(b"\x02abc")
        assert not bench.driver.is_online


def test_hanging_up_with_silence_around_the_escape():
    bench = Bench()
    driver = bench.online()
    driver.hang_up(bench.now_ms)
    assert driver.to_send() == b""
    assert driver.deadline_ms() == bench.now_ms + GUARD_MS
    assert bench.waits() == []
    assert driver.to_send() == b"+++"
    assert bench.says(OK) == []
    assert driver.to_send() == b"ATH\r"
    [event] = bench.says(OK)
    assert (type(event), event.is_lost) == (HungUp, False)


def test_dialling_is_stopped():
    bench = Bench()
    driver = bench.ready()
    driver.dial(["123"], bench.now_ms)
    driver.to_send()
    driver.hang_up(bench.now_ms)
    assert driver.to_send() == b"\rATH\r"
    [event] = bench.says(b"\r\nNO CARRIER\r\n")
    assert isinstance(event, HungUp)


def test_a_modem_that_is_silent_is_tried_and_told():
    bench = Bench()
    bench.driver.begin(0)
    said = b""
    for _ in range(TRIES):
        assert bench.driver.to_send() == b"AT&F\r"
        events = bench.waits()
    assert events == []
    assert bench.driver.to_send() == b"+++"  # it might be online
    assert bench.waits() == []
    assert bench.driver.to_send() == b"ATH\r"
    for _ in range(TRIES):
        events = bench.waits()
        said += bench.driver.to_send()
    assert said == b"ATH\r"
    [event] = events
    assert (type(event), event.reason) == (Failed, "silent")


def test_a_modem_found_online_is_freed_and_set_up():
    bench = Bench()
    bench.driver.begin(0)
    for _ in range(TRIES):
        bench.waits()
    bench.driver.to_send()
    assert bench.says(OK) == []
    assert bench.driver.to_send() == b"ATH\r"
    [event] = bench.says(OK, OK, OK, OK)
    assert isinstance(event, Ready)


def test_a_call_that_nobody_ends():
    bench = Bench()
    bench.ready().dial(["123"], bench.now_ms)
    bench.driver.to_send()
    assert bench.driver.deadline_ms() == bench.now_ms + DIAL_MS
    [event] = bench.waits()
    assert (type(event), event.reason) == (Failed, "silent")
    assert bench.driver.to_send() == b"\r"


def test_something_else_on_the_port():
    bench = Bench()
    bench.driver.begin(0)
    [event] = bench.says(b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M*47\r\n" * 12)
    assert (type(event), event.reason) == (Failed, "noise")
    assert COMMAND_MS > 0


# ---------------------------------------------------------------- the exchange

MESSAGE = bytes(range(60, 180))
ANSWER = b"\x02\x03\x04\x05\x06\x15" * 20


class Call:
    def __init__(self):
        self.line = DialLine()
        self.now_ms = 0

    def says(self, *pieces):
        events = []
        for piece in pieces:
            events += self.line.feed(piece, self.now_ms)
            self.now_ms += 10
        return events

    def waits(self):
        self.now_ms = self.line.deadline_ms()
        return self.line.tick(self.now_ms)

    def asked(self):
        self.line.ask(MESSAGE, self.now_ms)
        assert self.says(b"\x05") == []
        assert self.line.to_send() == framed(MESSAGE)


def test_there_and_back_torn_at_every_byte():
    said = b"\x06" + framed(ANSWER)
    for cut in range(len(said) + 1):
        call = Call()
        call.asked()
        [event] = call.says(said[:cut], said[cut:])
        assert event.message == ANSWER
        assert call.line.to_send() == b"\x06"
        call.line.ask(MESSAGE, call.now_ms)  # the host asks for the next one by ENQ
        call.says(b"\x05")
        assert call.line.to_send() == framed(MESSAGE)
        call.line.finish()
        assert call.line.to_send() == b"\x04"


def test_a_damaged_answer_is_asked_for_again_at_every_byte():
    good = framed(ANSWER)
    for place in range(len(good)):
        call = Call()
        call.asked()
        damaged = bytearray(good)
        damaged[place] ^= 0x08
        events = call.says(b"\x06", bytes(damaged))
        call.now_ms += FRAME_GAP_MS + 1
        events += call.line.tick(call.now_ms)
        assert events == [], place
        if place:
            assert call.line.to_send()[:1] == b"\x15", place
        [event] = call.says(good)
        assert isinstance(event, Answered)


def test_the_same_answer_again_is_acknowledged_and_dropped():
    call = Call()
    call.asked()
    call.says(b"\x06", framed(ANSWER))
    call.line.to_send()
    assert call.says(framed(ANSWER)) == []
    assert call.line.to_send() == b"\x06"


def test_a_host_that_says_no_enquiry():
    call = Call()
    call.line.ask(MESSAGE, 0)
    assert call.line.to_send() == b""
    assert call.line.deadline_ms() == ENQUIRY_MS
    assert call.waits() == []
    assert call.line.to_send() == framed(MESSAGE)


def test_not_taken_each_time():
    for nak in (b"\x15", b""):
        call = Call()
        call.asked()
        sent = 1
        while True:
            events = call.says(nak) if nak else call.waits()
            if events:
                break
            assert call.line.to_send() == framed(MESSAGE)
            sent += 1
        assert sent == FRAME_TRIES
        assert (events[0].reason, events[0].was_sent) == ("not taken", True)
        assert call.line.deadline_ms() is None
    assert ACK_MS < ANSWER_MS


def test_no_answer_and_the_end():
    call = Call()
    call.asked()
    call.says(b"\x06")
    [event] = call.waits()
    assert (event.reason, event.was_sent) == ("no answer", True)
    call = Call()
    call.line.ask(MESSAGE, 0)
    [event] = call.says(b"\x04")
    assert (event.reason, event.was_sent) == ("ended", False)
