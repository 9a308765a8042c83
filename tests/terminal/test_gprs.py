"""The GPRS modem's driver: start-up, connection, bytes both ways, news in between, and every way it fails."""

from terminal.drivers.gprs import (
    COMMAND_MS,
    FETCH_BYTES,
    M95,
    REGISTER_MS,
    RETRY_MS,
    SEND_BYTES,
    SIM800,
    WAKE_TRIES,
    Closed,
    Failed,
    Gprs,
    Opened,
    Ready,
    Received,
)

OK = b"\r\nOK\r\n"


class Bench:
    """A driver, and a modem that says what the test says to each command."""

    def __init__(self, family=SIM800):
        self.driver = Gprs(family, "vafa", "u", "p")
        self.now_ms = 0

    def says(self, *pieces):
        events = []
        for piece in pieces:
            events += self.driver.feed(piece, self.now_ms)
            self.now_ms += 10
        return events

    def waits(self):
        self.now_ms = self.driver.deadline_ms()
        return self.driver.tick(self.now_ms)

    def talked(self, *talk):
        """Pairs of a command that must come and what is said to it; the events of all."""
        events = []
        for command, said in talk:
            assert self.driver.to_send() == command, command
            events += self.says(said)
        return events


CHECKS = (
    (b"AT\r", b"AT\r" + OK),
    (b"ATE0\r", b"ATE0\r" + OK),
    (b"AT+CPIN?\r", b"\r\n+CPIN: READY\r\n" + OK),
    (b"AT+CSQ\r", b"\r\n+CSQ: 17,0\r\n" + OK),
    (b"AT+CREG?\r", b"\r\n+CREG: 0,5\r\n" + OK),
    (b"AT+CGATT=1\r", OK),
)
SIM800_UP = (
    (b"AT+CIPSHUT\r", b"\r\nSHUT OK\r\n"),
    (b"AT+CIPMUX=1\r", OK),
    (b"AT+CIPQSEND=1\r", OK),
    (b"AT+CIPRXGET=1\r", OK),
    (b'AT+CSTT="vafa","u","p"\r', OK),
    (b"AT+CIICR\r", OK),
    (b"AT+CIFSR\r", b"\r\n10.64.3.7\r\n"),
)
M95_UP = (
    (b"AT+QIDEACT\r", b"\r\nERROR\r\n"),
    (b"AT+QIMUX=0\r", OK),
    (b"AT+QINDI=1\r", OK),
    (b'AT+QICSGP=1,"vafa","u","p"\r', OK),
    (b"AT+QIREGAPP\r", OK),
    (b"AT+QIACT\r", OK),
    (b"AT+QILOCIP\r", b"\r\n10.64.3.7\r\n"),
)


def opened(family=SIM800):
    bench = Bench(family)
    bench.driver.begin(0)
    [ready] = bench.talked(*(CHECKS + (SIM800_UP if family is SIM800 else M95_UP)))
    assert (type(ready), ready.signal) == (Ready, 17)
    bench.driver.open("10.1.1.1", 8583, bench.now_ms)
    if family is SIM800:
        talk = (b'AT+CIPSTART=0,"TCP","10.1.1.1",8583\r', OK + b"\r\n0, CONNECT OK\r\n")
    else:
        talk = (b'AT+QIOPEN="TCP","10.1.1.1",8583\r', OK + b"\r\nCONNECT OK\r\n")
    [event] = bench.talked(talk)
    assert isinstance(event, Opened)
    return bench


def test_bytes_both_ways_sim800():
    bench = opened()
    driver = bench.driver
    driver.send(bytes(range(256)) * 3, bench.now_ms)
    assert bench.talked((b"AT+CIPSEND=0,%d\r" % SEND_BYTES, b"\r\n> ")) == []
    assert bench.talked(((bytes(range(256)) * 2), b"\r\nDATA ACCEPT:0,512\r\n")) == []
    assert bench.talked((b"AT+CIPSEND=0,256\r", b"\r\n> ")) == []
    # News come in between; what they are about is fetched after the sending.
    assert bench.talked((bytes(range(256)), b"\r\n+CIPRXGET: 1,0\r\n\r\nDATA ACCEPT:0,256\r\n")) == []
    said = bytes(range(256)) + b"\r\nOK\r\n0, CLOSED\r\n"
    [received] = bench.talked(
        (b"AT+CIPRXGET=2,0,%d\r" % FETCH_BYTES, b"\r\n+CIPRXGET: 2,0,%d,0\r\n" % len(said) + said + OK)
    )
    assert received.data == said
    assert driver.to_send() == b""
    driver.close(bench.now_ms)
    [closed] = bench.talked((b"AT+CIPCLOSE=0,1\r", b"\r\n0, CLOSE OK\r\n"))
    assert (type(closed), closed.is_lost) == (Closed, False)


def test_bytes_both_ways_m95():
    bench = opened(M95)
    driver = bench.driver
    driver.send(b"hello", bench.now_ms)
    assert bench.talked((b"AT+QISEND=5\r", b"> "), (b"hello", b"\r\nSEND OK\r\n")) == []
    assert bench.says(b"\r\n+QIRDI: 0,1,0\r\n") == []
    fetch = b"AT+QIRD=0,1,0,%d\r" % FETCH_BYTES
    [received] = bench.talked((fetch, b"\r\n+QIRD: 10.1.1.1:8583,TCP,4\r\nOK\r\n" + OK))
    assert received.data == b"OK\r\n"
    assert bench.talked((fetch, OK)) == []  # there is no more
    assert driver.to_send() == b""
    driver.close(bench.now_ms)
    [closed] = bench.talked((b"AT+QICLOSE\r", b"\r\nCLOSE OK\r\n"))
    assert isinstance(closed, Closed)


def test_what_is_fetched_torn_at_every_byte():
    said = b"\r\n+CIPRXGET: 2,0,11,3\r\n\x02hello\r\nOK\r\r\nOK\r\n"
    for cut in range(len(said) + 1):
        bench = opened()
        bench.says(b"\r\n+CIPRXGET: 1,0\r\n")
        bench.driver.to_send()
        [received] = bench.says(said[:cut], said[cut:])
        assert received.data == b"\x02hello\r\nOK\r", cut
        assert repr(received) == "Received(hidden)"
        assert bench.driver.to_send().startswith(b"AT+CIPRXGET=2"), "more is left"


def test_the_other_side_and_the_network_let_go():
    for family, said in (
        (SIM800, b"\r\n0, CLOSED\r\n"),
        (SIM800, b"\r\n+PDP: DEACT\r\n"),
        (M95, b"\r\nCLOSED\r\n"),
        (M95, b"\r\n+PDP DEACT\r\n"),
    ):
        bench = opened(family)
        [closed] = bench.says(said)
        assert (type(closed), closed.is_lost) == (Closed, True)
        assert not bench.driver.is_open
        assert bench.driver.deadline_ms() is None


def test_lost_while_sending_it_may_have_left():
    bench = opened()
    bench.driver.send(b"hello", bench.now_ms)
    bench.talked((b"AT+CIPSEND=0,5\r", b"> "))
    bench.driver.to_send()
    [failed] = bench.says(b"\r\n0, CLOSED\r\n")
    assert (failed.reason, failed.was_sent) == ("silent", True)
    bench = opened()
    bench.driver.send(b"hello", bench.now_ms)
    bench.talked((b"AT+CIPSEND=0,5\r", b"> "))
    [failed] = bench.waits()
    assert (failed.reason, failed.was_sent) == ("silent", True)


def begun(talk):
    bench = Bench()
    bench.driver.begin(0)
    return bench, bench.talked(*talk)


def test_start_up_that_can_not_go_on():
    for count, said, reason in (
        (2, b"\r\n+CPIN: SIM PIN\r\n" + OK, "sim locked"),
        (2, b"\r\n+CPIN: SIM PUK\r\n" + OK, "sim locked"),
        (4, b"\r\n+CREG: 0,3\r\n" + OK, "denied"),
        (5, b"\r\n+CME ERROR: 148\r\n", "no data"),
        (1, b"\r\nERROR\r\n", "refused"),
    ):
        bench, events = begun(CHECKS[:count])
        assert events == []
        bench.driver.to_send()
        [failed] = bench.says(said)
        assert (type(failed), failed.reason) == (Failed, reason)
        assert bench.driver.deadline_ms() is None
    bench, _ = begun(CHECKS + SIM800_UP[:5])
    bench.driver.to_send()
    [failed] = bench.says(b"\r\nERROR\r\n")
    assert failed.reason == "no data"


def test_what_may_still_come_is_looked_at_again_until_it_takes_too_long():
    for count, said, reason in (
        (2, b"\r\n+CME ERROR: 10\r\n", "no sim"),
        (2, b"\r\n+CPIN: NOT READY\r\n" + OK, "no sim"),
        (3, b"\r\n+CSQ: 99,99\r\n" + OK, "no signal"),
        (3, b"\r\n+CSQ: 2,0\r\n" + OK, "no signal"),
        (4, b"\r\n+CREG: 0,2\r\n" + OK, "not registered"),
        (4, b"\r\n+CREG: 0,0\r\n" + OK, "not registered"),
    ):
        bench, _ = begun(CHECKS[:count])
        looks = 0
        events = []
        while not events:
            assert bench.driver.to_send() == CHECKS[count][0]
            looks += 1
            events = bench.says(said) or bench.waits()
        assert events[0].reason == reason
        assert REGISTER_MS // RETRY_MS - 3 <= looks <= REGISTER_MS // RETRY_MS, looks
        # The same, but it comes.
        bench, _ = begun(CHECKS[:count])
        bench.driver.to_send()
        bench.says(said)
        assert bench.waits() == []
        assert isinstance(bench.talked(*(CHECKS[count:] + SIM800_UP))[-1], Ready)


def test_registered_whatever_else_is_told_of_it():
    # As modems of other projects said it: gammu 89, TinyGSM 503 and 654.
    for said in (
        b"+CREG: 2,1, 550014, 676",
        b'+CREG: 2,1,"3982","00DF3B03",7',
        b'+CREG: 2,5,"04E3"',
        b"+CREG: 0,5",
        b"+CREG:0,1",
    ):
        bench, _ = begun(CHECKS[:4])
        assert bench.talked((CHECKS[4][0], b"\r\n" + said + b"\r\n" + OK)) == []
        assert bench.driver.to_send() == b"AT+CGATT=1\r", said
    for said in (
        b'+CREG: 2,2,"0001","0005"',
        b'+CREG: 2,0,"3982",1',
        b"+CREG: 1",
        b"+CRE: 0,1",
        b"+CSQ: 0,1",
    ):
        bench, _ = begun(CHECKS[:4])
        assert bench.talked((CHECKS[4][0], b"\r\n" + said + b"\r\n" + OK)) == []
        assert bench.waits() == []
        assert bench.driver.to_send() == CHECKS[4][0], said
    bench, _ = begun(CHECKS[:4])
    [failed] = bench.talked((CHECKS[4][0], b'\r\n+CREG: 2,3,"3982","00DF3B03"\r\n' + OK))
    assert failed.reason == "denied"


def test_a_silent_modem():
    bench = Bench()
    bench.driver.begin(0)
    tries = 0
    events = []
    while not events:
        assert bench.driver.to_send() == b"AT\r"
        tries += 1
        events = bench.waits()
    assert (tries, events[0].reason) == (WAKE_TRIES, "silent")
    for count in range(1, 6):
        bench, _ = begun(CHECKS[:count])
        bench.driver.to_send()
        [failed] = bench.waits()
        assert failed.reason in ("silent", "no data")
    assert COMMAND_MS < RETRY_MS * 2


def test_nobody_takes_the_connection():
    for said in (b"\r\nERROR\r\n", OK + b"\r\n0, CONNECT FAIL\r\n", OK):
        bench = Bench()
        bench.driver.begin(0)
        bench.talked(*(CHECKS + SIM800_UP))
        bench.driver.open("10.1.1.1", 1, bench.now_ms)
        bench.driver.to_send()
        [failed] = bench.says(said) or bench.waits()
        assert failed.reason == "no host"


def test_lying_and_babbling():
    for said in (
        b"\r\n+CIPRXGET: 2,0,9999,0\r\n",
        b"\r\n+CIPRXGET: 2,0,x,0\r\n",
        b"\r\n+CIPRXGET: 2,0,3,0\rxabc",
        b"\r\nERROR\r\n",
    ):
        bench = opened()
        bench.says(b"\r\n+CIPRXGET: 1,0\r\n")
        bench.driver.to_send()
        [failed] = bench.says(said)
        assert (type(failed), failed.was_sent) == (Failed, False)
    bench = Bench()
    bench.driver.begin(0)
    [failed] = bench.says(b"Z" * 2000)
    assert failed.reason == "noise"
    bench = opened()
    assert bench.says(b"\xff\x00\r\n+CMTI: 1\r\nRING\r\n\r\n") == []
    assert bench.driver.is_open
    assert Received(b"").data == b""
