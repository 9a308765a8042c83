"""The receipt printer's driver: what it asks, what it waits for, and every way a receipt doesn't come out."""

from terminal.drivers.receipt_printer import (
    NEWS_MS,
    PRINT_MS,
    STALL_MS,
    STATE_MS,
    TRIES,
    Done,
    ReceiptPrinter,
    Stopped,
    raster,
)

LINE = b"\x81" + bytes(47)
OFFLINE_OK, PAPER_OK, AFTER_OK = b"\x12", b"\x12", b"\x00"


class Bench:
    def __init__(self, **options):
        self.driver = ReceiptPrinter(**options)
        self.now_ms = 0

    def begun(self, strips=(LINE * 2, LINE)):
        self.driver.print(iter(strips), self.now_ms)
        assert self.driver.to_send() == b"\x10\x04\x02"

    def says(self, data):
        return self.driver.feed(data, self.now_ms)

    def flushed(self):
        """What the first receipt begins with: white, for a picture that was left unfinished."""
        assert self.driver.to_send() == bytes(24 * 48) + b"\x1b@"
        assert self.waits() == []

    def waits(self):
        self.now_ms = self.driver.deadline_ms()
        return self.driver.tick(self.now_ms)


def test_a_strip_has_the_published_form():
    assert raster(LINE * 2, 384) == bytes.fromhex("1d763000 0100 0200 8181".replace(" ", ""))
    full = bytes([255]) * 48
    assert raster(full, 384) == bytes.fromhex("1d763000 3000 0100".replace(" ", "")) + full
    assert raster(bytes(48), 384) == bytes.fromhex("1d763000 0100 0100 00".replace(" ", ""))


def test_a_receipt_from_question_to_answer():
    bench = Bench()
    bench.begun()
    assert bench.says(OFFLINE_OK) == []
    assert bench.driver.to_send() == b"\x10\x04\x04"
    assert bench.says(PAPER_OK) == []
    bench.flushed()
    assert bench.driver.to_send() == raster(LINE * 2, 384)
    assert bench.waits() == []
    assert bench.driver.to_send() == raster(LINE, 384)
    assert bench.waits() == []
    assert bench.driver.to_send() == b"\x1dVB\x00\x1dr\x01"
    assert bench.driver.deadline_ms() == bench.now_ms + PRINT_MS
    [done] = bench.says(AFTER_OK)
    assert (type(done), done.is_near_end) == (Done, False)
    assert bench.driver.deadline_ms() is None
    assert not bench.driver.is_busy


def test_without_cutter_and_with_drawer():
    bench = Bench(cuts=False, has_after=False)
    bench.driver.print(iter([LINE]), 0, True)
    bench.driver.to_send()
    bench.says(OFFLINE_OK)
    bench.driver.to_send()
    bench.says(b"\x1e")  # the roll ends soon
    bench.waits()
    bench.driver.to_send()
    bench.waits()
    assert bench.driver.to_send() == b"\x1bd\x03\x1bp\x00\x19\xfa\x10\x04\x04"
    [done] = bench.says(b"\x1e")
    assert done.is_near_end


def test_what_stops_it_before_it_begins():
    for first, second, reason in (
        (b"\x16", None, "cover open"),
        (b"\x32", None, "paper out"),
        (b"\x52", None, "broken"),
        (OFFLINE_OK, b"\x72", "paper out"),
    ):
        bench = Bench()
        bench.begun()
        events = bench.says(first)
        if second is not None:
            assert events == []
            bench.driver.to_send()
            events = bench.says(second)
        assert (type(events[0]), events[0].reason) == (Stopped, reason)
        assert bench.driver.to_send() == b""


def test_paper_that_ends_in_it_and_at_its_end():
    bench = Bench()
    bench.begun()
    bench.says(OFFLINE_OK)
    bench.says(PAPER_OK)
    [stopped] = bench.says(b"\x72")
    assert stopped.reason == "paper out"
    bench = Bench()
    bench.begun([LINE])
    bench.says(OFFLINE_OK)
    bench.says(PAPER_OK)
    bench.waits()  # for the white that the first receipt begins with
    bench.waits()
    [stopped] = bench.says(b"\x0c")
    assert stopped.reason == "paper out"


def test_silence_is_asked_again_and_told():
    bench = Bench()
    bench.driver.print(iter([LINE]), 0)
    for turn in range(TRIES):
        assert bench.driver.to_send() == b"\x10\x04\x02", turn
        assert bench.driver.deadline_ms() == bench.now_ms + STATE_MS
        events = bench.waits()
    assert events[0].reason == "silent"
    bench = Bench()
    bench.begun([LINE])
    bench.says(OFFLINE_OK)
    bench.says(PAPER_OK)
    bench.waits()  # for the white that the first receipt begins with
    bench.waits()
    [stopped] = bench.waits()
    assert stopped.reason == "silent"


def test_noise_says_nothing():
    bench = Bench()
    bench.begun([LINE])
    assert bench.says(b"\x00\xff\x80A\x01") == []
    bench.says(OFFLINE_OK)
    bench.says(PAPER_OK)
    bench.waits()  # for the white that the first receipt begins with
    bench.waits()
    assert bench.says(b"\x90\xff\x93") == []
    [done] = bench.says(AFTER_OK)
    assert isinstance(done, Done)


def test_what_a_printer_tells_by_itself_is_no_answer():
    # GS a of Epson and Citizen: three of its four bytes look like answers to GS r (Citizen CT-S310, 5.3).
    for news, reason in (
        (b"\x14\x00\x00\x0f", None),
        (b"\x10\x00\x03\x0f", None),  # the roll ends soon
        (b"\x1c\x00\x0c\x0f", "paper out"),
        (b"\x3c\x00\x00\x0f", "cover open"),
        (b"\x1c\x08\x00\x0f", None),  # the cutter: whether it came out, the answer tells
    ):
        for cut in range(len(news)):
            bench = Bench()
            bench.begun([LINE])
            assert bench.says(news) == []
            assert bench.says(OFFLINE_OK) == []
            assert bench.says(PAPER_OK) == []
            bench.waits()  # for the white that the first receipt begins with
            bench.waits()
            events = bench.says(news[:cut]) + bench.says(b"\x13") + bench.says(news[cut:])
            assert [event.reason for event in events] == ([reason] if reason else []), news
            if not reason:
                [done] = bench.says(AFTER_OK)
                assert isinstance(done, Done), news


def test_a_byte_of_noise_before_the_answer():
    bench = Bench()
    bench.begun([LINE])
    bench.says(OFFLINE_OK)
    bench.says(PAPER_OK)
    bench.waits()  # for the white that the first receipt begins with
    bench.waits()
    assert bench.says(b"\x10") == []
    bench.now_ms += NEWS_MS
    [done] = bench.says(AFTER_OK)
    assert isinstance(done, Done)


def test_a_printer_that_holds_its_line_gets_a_strip_whenever_the_line_is_free():
    bench = Bench(baud=None)
    for is_first in (True, False):
        bench.begun()
        bench.says(OFFLINE_OK)
        bench.driver.more(bench.now_ms)
        assert bench.driver.to_send() == b"\x10\x04\x04"
        bench.says(PAPER_OK)
        sent = []
        for _ in range(5):
            bench.driver.more(bench.now_ms)
            sent.append(bench.driver.to_send())
        first = [bytes(24 * 48) + b"\x1b@"] if is_first else []
        begin = b"" if is_first else b"\x1b@"
        strips = [begin + raster(LINE * 2, 384), raster(LINE, 384), b"\x1dVB\x00\x1dr\x01", b"", b""]
        assert sent == (first + strips)[:5]
        [done] = bench.says(AFTER_OK)
        assert type(done) is Done


def test_a_printer_that_holds_its_line_for_ever_is_told():
    bench = Bench(baud=None)
    bench.begun()
    bench.says(OFFLINE_OK)
    bench.driver.to_send()
    bench.says(PAPER_OK)
    assert bench.driver.deadline_ms() == bench.now_ms + STALL_MS
    [stopped] = bench.waits()
    assert stopped.reason == "silent"
    assert bench.driver.to_send() == b""
