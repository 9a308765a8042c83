"""The loading dialogue on a line that behaves badly, without firmware: frames, answers, tries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.port import ExportedKey
from terminal.injection import frame as terminal_frame
from tools.cli import CommandError, ExitCode
from tools.keys_inject import ANSWER_SECONDS, SENDINGS, Answers, Injection, frame, identify, load

TERMINAL, CHECK = "10000001", "05EF45"
EMPTY = f"V1|{TERMINAL}|empty|ABCDEF"
payloads = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200)


class Line:
    """Answers each frame with the next of `answers`; None: with silence. Every look at the clock is a
    second."""

    def __init__(self, *answers: bytes | None) -> None:
        self.sent: list[bytes] = []
        self.waiting: list[bytes] = []
        self._answers: Iterator[bytes | None] = iter(answers)
        self._now = 0.0

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        answer = next(self._answers, None)
        if answer is not None:
            self.waiting.append(answer)

    def read(self) -> bytes:
        return self.waiting.pop(0) if self.waiting else b""

    def clock(self) -> float:
        self._now += 1
        return self._now


def offers() -> Callable[[], object]:
    """Each with a later serial, as `vafa keys` makes them."""
    made: list[Injection] = []

    async def offer() -> Injection:
        made.append(Injection(TERMINAL, f"{len(made) + 1:024X}", ExportedKey("D0112B1AX00N0000", CHECK)))
        return made[-1]

    return offer


def loaded(line: Line) -> Injection:
    return asyncio.run(load(line, offers(), line.clock))  # type: ignore[arg-type]


@given(payloads)
def test_both_sides_frame_alike(payload: str) -> None:
    assert frame(payload) == terminal_frame(payload)
    assert Answers().feed(frame(payload)) == [payload]


@given(
    st.lists(st.tuples(st.binary(max_size=20).map(lambda noise: noise.replace(b"\x02", b"")), payloads)),
    st.data(),
)
def test_frames_are_found_in_noise_however_it_is_cut(
    parts: list[tuple[bytes, str]], data: st.DataObject
) -> None:
    stream = b"".join(noise + frame(payload) for noise, payload in parts)
    answers, found = Answers(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += answers.feed(stream[:size])
        stream = stream[size:]
    assert found == [payload for _, payload in parts]


@given(payloads.filter(bool), st.data())
def test_a_damaged_frame_is_none(payload: str, data: st.DataObject) -> None:
    good = frame(payload)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= 1 << data.draw(st.integers(0, 7))
    assert payload not in Answers().feed(bytes(bad))


@given(st.binary(max_size=3), payloads)
def test_a_frame_behind_the_beginning_of_another(noise: bytes, payload: str) -> None:
    assert payload in Answers().feed(b"\x02" + noise + frame(payload) + frame(payload))


def test_noise_without_end_is_not_kept() -> None:
    answers = Answers()
    for _ in range(1000):
        assert answers.feed(b"\x02" + b"x" * 255) == []
    assert answers.feed(frame("V1?")) == ["V1?"]


def test_who_is_there() -> None:
    line = Line(b"\xff\x00" + frame(EMPTY))
    assert identify(line, line.clock) == (TERMINAL, False, "ABCDEF")
    assert line.sent == [frame("V1?")]


def test_who_is_there_is_asked_again() -> None:
    line = Line(None, frame("ERR|LRC|the frame was damaged; send it again"), frame(EMPTY))
    assert identify(line, line.clock).identifier == TERMINAL
    assert line.sent == [frame("V1?")] * 3


@pytest.mark.parametrize("answer", ["V1|x", "V1|1|2|3", "ERR|COMMAND|what", "V1|1|empty|A|B"])
def test_an_answer_that_is_none(answer: str) -> None:
    line = Line(frame(answer))
    with pytest.raises(CommandError, match="can't be understood") as caught:
        identify(line, line.clock)
    assert caught.value.code == ExitCode.NETWORK


def test_a_silent_line() -> None:
    line = Line()
    with pytest.raises(CommandError, match="no terminal answers") as caught:
        identify(line, line.clock)
    assert caught.value.code == ExitCode.NETWORK
    assert len(line.sent) == SENDINGS
    assert line.clock() >= SENDINGS * ANSWER_SECONDS


def test_taken() -> None:
    line = Line(frame("V1|late|empty|000000") + frame(f"OK|{CHECK.lower()}"))
    assert loaded(line).serial == f"{1:024X}"
    assert line.sent == [frame(f"K1|{TERMINAL}|{1:024X}|{CHECK}|D0112B1AX00N0000")]


@pytest.mark.parametrize(
    "first", [None, b"\x02OK|05", frame("ERR|LRC|damaged"), frame("ERR|LENGTH|long"), frame("ERR|KSN|used")]
)
def test_a_second_try_has_later_counters(first: bytes | None) -> None:
    """The first may have been taken: a terminal that works with it already refuses its counters."""
    line = Line(first, frame(f"OK|{CHECK}"))
    assert loaded(line).serial == f"{2:024X}"


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        (
            [frame("ERR|BLOCK|key block: changed")],
            ExitCode.NEGATIVE,
            "refused the key: BLOCK: key block: changed",
        ),
        ([frame("ERR|TERMINAL|another")], ExitCode.NEGATIVE, "refused the key"),
        ([frame("ERR|KSN|no counter is left")] * 3, ExitCode.NEGATIVE, "no counter is left"),
        ([frame("OK|000000")], ExitCode.NEGATIVE, "another|check value 000000"),
        ([frame("ERR|LRC|damaged"), None, None], ExitCode.NETWORK, "doesn't say whether it took the key"),
        ([], ExitCode.NETWORK, "doesn't say whether it took the key"),
    ],
)
def test_not_taken(answers: list[bytes | None], code: ExitCode, says: str) -> None:
    line = Line(*answers)
    with pytest.raises(CommandError, match=says) as caught:
        loaded(line)
    assert caught.value.code == code
    assert caught.value.try_next
