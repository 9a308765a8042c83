"""Reader, keypad and printer at their serial ports, seen from the firmware's side of the line."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simulators.cards import Deck
from simulators.control import ControlError, ControlServer, ask
from simulators.keypad import Keypad
from simulators.printer import Printer
from simulators.process import Process
from simulators.readers.magstripe import (
    Corruption,
    MagstripeReader,
    SwipeFaults,
    schedule,
    swipe_bytes,
    swipe_request,
)
from simulators.readers.tracks import TRACK_1, TRACK_2, lrc, tracks_of
from simulators.serial_port import SerialPort, forget_unread

GENEROUS_SECONDS = 30
STATUS_REQUEST, PAPER_OK, PAPER_OUT = b"\x10\x04\x04", b"\x12", b"\x7e"  # DLE EOT 4
CARD = Deck(11).draw()


class Line:
    """The firmware's end of a serial line."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._got = bytearray()
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.descriptor, self._readable)

    def _readable(self) -> None:
        self._got += os.read(self.descriptor, 4096)
        self._more.set()

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(GENEROUS_SECONDS):
            while len(self._got) < count:
                self._more.clear()
                await self._more.wait()
        data = bytes(self._got[:count])
        del self._got[:count]
        return data

    @property
    def unread(self) -> bytes:
        return bytes(self._got)

    def write(self, data: bytes) -> None:
        assert os.write(self.descriptor, data) == len(data)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.descriptor)
        os.close(self.descriptor)


def test_port_is_raw_9600_8n1_and_its_link_goes_with_it(tmp_path):
    async def scene() -> None:
        port = SerialPort(tmp_path / "reader")
        port.open()
        line = Line(tmp_path / "reader")
        settings = termios.tcgetattr(line.descriptor)
        assert settings[4:6] == [termios.B9600, termios.B9600]
        assert not settings[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert settings[2] & termios.CSIZE == termios.CS8
        every_byte = bytes(range(256))
        await port.send(every_byte)
        assert await line.read(256) == every_byte
        line.close()
        port.close()
        assert not (tmp_path / "reader").is_symlink()

    asyncio.run(scene())


def test_port_survives_the_firmware_and_forgets_what_it_did_not_read(tmp_path):
    async def scene() -> None:
        port = SerialPort(tmp_path / "keypad")
        port.open()
        await port.send(b"lost")
        forget_unread(tmp_path / "keypad")
        line = Line(tmp_path / "keypad")
        await port.send(b"1")
        assert await line.read(1) == b"1"
        line.close()
        await port.send(b"lost too")
        port.forget_unread()
        line = Line(tmp_path / "keypad")
        await port.send(b"2")
        assert await line.read(1) == b"2"
        line.close()
        port.close()

    asyncio.run(scene())


def test_port_nobody_reads_never_blocks(tmp_path):
    async def scene() -> None:
        port = SerialPort(tmp_path / "reader")
        port.open()
        for _ in range(40):
            await port.send(b"x" * 10_000)
        assert port.lost_bytes > 0
        port.close()

    asyncio.run(scene())


def test_closing_leaves_a_link_that_another_port_has_taken(tmp_path):
    async def scene() -> None:
        first, second = SerialPort(tmp_path / "reader"), SerialPort(tmp_path / "reader")
        first.open()
        second.open()
        first.close()
        assert (tmp_path / "reader").is_symlink()
        second.close()
        assert not (tmp_path / "reader").is_symlink()

    asyncio.run(scene())


@given(st.integers(min_value=0, max_value=10_000))
def test_any_tear_keeps_the_bytes_and_a_seed_gives_the_same_swipe(seed):
    faults = SwipeFaults.drawn(seed)
    steps = schedule(CARD, faults)
    assert steps == schedule(CARD, faults)
    assert len(steps) == min(faults.tear + 1, sum(len(step.data) for step in steps))
    assert all(step.data for step in steps)
    if faults.corrupt is None:
        assert b"".join(step.data for step in steps) == "".join(tracks_of(CARD)).encode() + b"\r"


def is_good_track(track: str, alphabet: object) -> bool:
    assert alphabet in (TRACK_1, TRACK_2)
    try:
        return len(track) <= alphabet.maximum_characters and lrc(alphabet, track) == alphabet.first
    except ValueError:
        return False


@given(corrupt=st.sampled_from(Corruption), seed=st.integers(min_value=0), card_seed=st.integers(min_value=0))
def test_no_corrupt_swipe_holds_a_good_track(corrupt, seed, card_seed):
    card = Deck(card_seed).draw()
    text = swipe_bytes(card, corrupt, random.Random(seed)).decode("latin-1")
    for alphabet, track in zip((TRACK_1, TRACK_2), tracks_of(card), strict=True):
        assert track not in text
        start = text.find(alphabet.start_sentinel)
        end = text.find("?", start)
        while start >= 0 and end >= 0:
            body = text[start : end + 2]
            complete = "=" in body or body.count("^") == 2
            assert not (complete and is_good_track(body, alphabet))
            end = text.find("?", end + 1)


def test_reader_sends_the_card_whole_at_any_pace(tmp_path):
    async def scene(pace: int, faults: SwipeFaults) -> bytes:
        reader = MagstripeReader(tmp_path / "reader", pace)
        reader.open()
        line = Line(tmp_path / "reader")
        swipe = await reader.swipe(CARD, faults)
        data = await line.read(swipe.sent_bytes)
        line.close()
        reader.close()
        assert swipe.card == CARD.masked
        return data

    expected = "".join(tracks_of(CARD)).encode() + b"\r"
    assert asyncio.run(scene(0, SwipeFaults())) == expected
    assert asyncio.run(scene(960, SwipeFaults())) == expected
    assert asyncio.run(scene(20_000, SwipeFaults(tear=9, tear_ms=1))) == expected


def test_two_cards_do_not_mix_on_the_line(tmp_path):
    async def scene() -> bytes:
        reader = MagstripeReader(tmp_path / "reader", 20_000)
        reader.open()
        line = Line(tmp_path / "reader")
        swipes = await asyncio.gather(*(reader.swipe(card, SwipeFaults(tear=4)) for card in (CARD, other)))
        data = await line.read(sum(swipe.sent_bytes for swipe in swipes))
        line.close()
        reader.close()
        return data

    other = Deck(12).draw()
    lines = ["".join(tracks_of(card)).encode() + b"\r" for card in (CARD, other)]
    assert asyncio.run(scene()) == b"".join(lines)


def test_reader_process_swipes_when_its_socket_says_so(tmp_path):
    async def scene() -> None:
        ready = asyncio.get_running_loop().create_future()
        said: list[str] = []

        def heard(text: str) -> None:
            said.append(text)
            if not ready.done():
                ready.set_result(json.loads(text))

        deep = tmp_path / ("d" * 120)  # a path longer than a socket address can be
        deep.mkdir()
        link, control = deep / "reader", deep / "control"
        arguments = [sys.executable, "-m", "simulators.readers.magstripe", "--pace", "0"]
        process = await Process.start(
            "reader", [*arguments, "--link", str(link), "--control", str(control)], on_stdout=heard
        )
        async with asyncio.timeout(GENEROUS_SECONDS):
            assert (await ready)["event"] == "ready"
        assert stat.S_IMODE(control.stat().st_mode) == 0o600
        line = Line(link)
        answer = await ask(control, swipe_request(CARD, SwipeFaults(tear=2)))
        assert answer == {
            "ok": True,
            "card": CARD.masked,
            "sent_bytes": answer["sent_bytes"],
            "corrupt": None,
        }
        assert await line.read(int(str(answer["sent_bytes"]))) == "".join(tracks_of(CARD)).encode() + b"\r"
        with pytest.raises(ControlError, match="unknown corruption 'smell'"):
            await ask(control, {"do": "swipe", "card": CARD.number, "faults": {"corrupt": "smell"}})
        with pytest.raises(ControlError, match="8-19 digits"):
            await ask(control, {"do": "swipe", "card": "12"})
        with pytest.raises(ControlError, match="unknown request"):
            await ask(control, {"do": "dance"})
        line.close()
        assert await process.stop() == 0
        assert not link.is_symlink()
        assert not control.exists()
        assert CARD.number not in "".join(said)
        assert CARD.masked in "".join(said)

    asyncio.run(scene())


def test_a_child_dies_with_its_parent(tmp_path):
    link = tmp_path / "reader"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(link), str(tmp_path / "control")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    exit_watch = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    async def child_is_gone() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(exit_watch, gone.set)
        async with asyncio.timeout(GENEROUS_SECONDS):
            await gone.wait()

    asyncio.run(child_is_gone())
    os.close(exit_watch)


PARENT = """
import asyncio, sys
from simulators.process import Process

async def main():
    ready = asyncio.Event()
    reader = [sys.executable, "-m", "simulators.readers.magstripe"]
    arguments = [*reader, "--link", sys.argv[1], "--control", sys.argv[2]]
    child = await Process.start("reader", arguments, on_stdout=lambda line: ready.set())
    await ready.wait()
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"nonsense\n", "not JSON"), (b"[1]\n", "not a JSON object"), (b'{"do":"no"}\n', "no such thing")],
)
def test_a_wrong_request_gets_an_error_answer(tmp_path, line, error):
    async def scene() -> dict[str, object]:
        async def handle(request: dict[str, object]) -> dict[str, object]:
            raise ValueError("no such thing")

        server = ControlServer(tmp_path / "control", handle)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control")
        writer.write(line)
        answer = json.loads(await reader.readline())
        writer.close()
        await server.stop()
        return answer

    answer = asyncio.run(scene())
    assert answer["ok"] is False
    assert error in answer["error"]


def test_asking_where_nobody_listens_is_a_clear_error(tmp_path):
    with pytest.raises(ControlError, match="nothing listens at"):
        asyncio.run(ask(tmp_path / "control", {"do": "swipe"}))


def test_keypad_sends_a_byte_a_key_and_knows_its_keys(tmp_path):
    async def scene() -> None:
        keypad = Keypad(tmp_path / "keypad", milliseconds_a_key=1)
        keypad.open()
        line = Line(tmp_path / "keypad")
        await keypad.press("2500000#")
        assert await line.read(8) == b"2500000#"
        assert await keypad.control({"do": "press", "keys": "D*"}) == {"keys": 2}
        assert await line.read(2) == b"D*"
        with pytest.raises(ValueError, match="no key 'E'"):
            await keypad.press("12E")
        assert line.unread == b""
        line.close()
        keypad.close()

    asyncio.run(scene())


DOT_LINE = b"\x1dv0\x00\x01\x00\x01\x00\xf0"
CUT = b"\x1dVB\x00"


def test_printer_collects_receipts_and_says_paper_is_there(tmp_path):
    async def scene() -> None:
        seen: list[str] = []
        pictures = tmp_path / "paper"
        printer = Printer(tmp_path / "printer", seen.append, pictures)
        printer.open()
        line = Line(tmp_path / "printer")
        for number, text in enumerate(("فروشگاه وفا\nVafa\n", "second\n")):
            printer.announce(text)
            for byte in DOT_LINE + CUT + STATUS_REQUEST:  # torn anywhere
                line.write(bytes((byte,)))
            async with asyncio.timeout(GENEROUS_SECONDS):
                assert await printer.receipt_after(number) == text
            assert await line.read(1) == PAPER_OK
            assert printer.picture == pictures / f"{number + 1:06d}.png"
            assert Image.open(printer.picture).size == (384, 1)
        assert seen == list(printer.receipts) == ["فروشگاه وفا\nVafa\n", "second\n"]
        assert [len(receipt.lines) for receipt in printer.paper_of] == [1, 1]
        line.close()
        printer.close()
        next_day = Printer(tmp_path / "printer", pictures=pictures)
        next_day.open()
        line = Line(tmp_path / "printer")
        line.write(DOT_LINE + CUT)
        async with asyncio.timeout(GENEROUS_SECONDS):
            await next_day.receipt_after(0)
        assert sorted(path.stem for path in pictures.iterdir()) == ["000001", "000002", "000003"]
        line.close()
        next_day.close()

    asyncio.run(scene())


def test_printer_out_of_paper_swallows_and_says_so_until_there_is_paper(tmp_path):
    async def scene() -> None:
        printer = Printer(tmp_path / "printer")
        printer.open()
        line = Line(tmp_path / "printer")
        printer.announce("receipt\n")
        printer.paper = False
        line.write(DOT_LINE + CUT + STATUS_REQUEST)
        assert await line.read(1) == PAPER_OUT
        assert not printer.receipts
        printer.paper = True
        printer.cover_is_open = True
        line.write(DOT_LINE + CUT + b"\x10\x04\x02")
        assert await line.read(1) == b"\x16"
        assert not printer.receipts
        printer.cover_is_open = False
        line.write(DOT_LINE + CUT + STATUS_REQUEST)
        assert await line.read(1) == PAPER_OK
        assert list(printer.receipts) == ["receipt\n"]
        line.close()
        printer.close()

    asyncio.run(scene())


def test_silent_printer_prints_and_does_not_answer(tmp_path):
    async def scene() -> None:
        printer = Printer(tmp_path / "printer")
        printer.open()
        line = Line(tmp_path / "printer")
        printer.announce("receipt\n")
        printer.silent = True
        line.write(DOT_LINE + CUT + STATUS_REQUEST)
        async with asyncio.timeout(GENEROUS_SECONDS):
            await printer.status_request_after(0)
        printer.silent = False
        line.write(STATUS_REQUEST)
        assert await line.read(1) == PAPER_OK
        assert list(printer.receipts) == ["receipt\n"]
        assert line.unread == b""
        line.close()
        printer.close()

    asyncio.run(scene())


def test_unfinished_paper_can_be_torn_off(tmp_path):
    async def scene() -> None:
        printer = Printer(tmp_path / "printer")
        printer.open()
        line = Line(tmp_path / "printer")
        printer.announce("whole\n")
        line.write(DOT_LINE + CUT + DOT_LINE * 3)
        async with asyncio.timeout(GENEROUS_SECONDS):
            assert await printer.receipt_after(0) == "whole\n"
        line.write(STATUS_REQUEST)
        assert await line.read(1) == PAPER_OK
        assert printer.tear_off() == 3
        assert printer.tear_off() == 0
        line.close()
        printer.close()

    asyncio.run(scene())
