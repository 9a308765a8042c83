"""The line between two switch processes: what is sent, what is unknown, what is refused. Real sockets."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.authorizer import Origin, Original
from switch.hsm.port import Key, KeyUse, PinFormat, ZonePin
from switch.server import forwarding_link
from switch.server.forwarding_link import (
    LARGEST_MESSAGE_BYTES,
    LONGEST_PATH_BYTES,
    Answer,
    Asked,
    Decided,
    Done,
    Frame,
    LineError,
    Neighbour,
    Question,
    Reader,
    ReceiverLine,
    Reply,
    Said,
    TakeIn,
    bind,
    packed,
)
from switch.server.log import open_log

TRACK = b"9364001234567890=2912"
NUMBERS = st.integers(0, 2**63 - 1)
CONTENT = st.text() | st.binary(max_size=20) | st.dictionaries(st.text(), st.text(), max_size=2)
FIELDS = st.dictionaries(st.text(), CONTENT, max_size=3)
ORIGINALS = st.builds(Original, st.text(), st.text(), st.text(), st.text())
KEYS = st.builds(Key, st.text(), st.sampled_from(KeyUse), st.text())
PINS = st.builds(ZonePin, KEYS, st.binary(max_size=16), st.sampled_from(PinFormat))
SAID = st.one_of(
    st.builds(
        Frame, NUMBERS, st.binary(max_size=300), NUMBERS, st.booleans(), st.none() | st.text(), st.text()
    ),
    st.builds(
        Asked,
        NUMBERS,
        st.sampled_from(("0100", "0420")),
        FIELDS,
        st.text(),
        st.builds(Origin, st.text(), st.text(), st.text(), st.text(), FIELDS, st.none() | ORIGINALS),
        st.lists(PINS, max_size=2).map(tuple),
        st.booleans(),
    ),
    st.builds(
        Decided,
        NUMBERS,
        st.booleans(),
        st.text(),
        st.binary(max_size=300),
        st.text(),
        st.text(),
        st.none() | NUMBERS,
    ),
    st.builds(TakeIn, NUMBERS, NUMBERS, st.integers(0, 255), NUMBERS),
    st.builds(Answer, NUMBERS, st.none() | st.binary(max_size=300)),
    st.builds(Done, NUMBERS, st.none() | NUMBERS),
)


def handed(number: int) -> Frame:
    return Frame(number, TRACK, 7, False, None, "127.0.0.1:5")


@given(st.lists(SAID, max_size=5), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    said: list[Said], data: st.DataObject
) -> None:
    line = b"".join(map(packed, said))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=5)))
    reader = Reader()
    read: list[Said] = []
    for begin, end in zip([0, *cuts], [*cuts, len(line)], strict=True):
        read += reader.feed(line[begin:end])
    assert read == said


@pytest.mark.parametrize(
    "line",
    [
        (LARGEST_MESSAGE_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\1\xc1",
        b"\0\0\0\2\x92\x09",
        b"POST / HTTP/1.1\r\n",
    ],
)
def test_bytes_of_another_program_are_refused(line: bytes) -> None:
    with pytest.raises(LineError):
        list(Reader().feed(line))


def test_a_frame_shows_nothing_of_its_card() -> None:
    words = {"35": TRACK.decode()}
    origin = Origin("BANK", "581672031", "0200", "0101000000", words)
    asked = Asked(1, "0200", words, "redeem", origin, (), private=False)
    for said in (handed(1), Answer(1, TRACK), asked, Decided(1, known=True, body=TRACK)):
        assert "9364" not in repr(said)


def test_only_this_user_may_connect_and_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    bind(path).close()
    bind(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than"):
        bind(tmp_path / ("x" * LONGEST_PATH_BYTES))


@asynccontextmanager
async def owner(
    path: Path, asked: Callable[[ReceiverLine, Question], None]
) -> AsyncIterator[set[ReceiverLine]]:
    lines: set[ReceiverLine] = set()
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: ReceiverLine(asked, lines, open_log()), sock=bind(path)
    )
    try:
        yield lines
    finally:
        server.close()


class Heard:
    """What became of questions."""

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []
        self.unsent = 0
        self._grown = asyncio.Event()

    def told(self, reply: Reply | None) -> None:
        self.replies.append(reply)
        self._grown.set()

    def never(self) -> None:
        self.unsent += 1
        self._grown.set()

    async def until(self, count: int) -> None:
        while len(self.replies) + self.unsent < count:
            self._grown.clear()
            await self._grown.wait()


def test_answers_find_their_questions_in_any_order(tmp_path: Path) -> None:
    waiting: list[Question] = []

    def asked(line: ReceiverLine, question: Question) -> None:
        waiting.append(question)
        if len(waiting) == 3:
            for one in reversed(waiting):
                line.say(Answer(one.number, bytes([one.number])))

    async def play() -> None:
        async with owner(tmp_path / "s", asked):
            neighbour, heard = Neighbour(tmp_path / "s"), {number: Heard() for number in (1, 2, 3)}
            for number, one in heard.items():
                neighbour.ask(handed(number), one.told, one.never)
            for number, one in heard.items():
                await one.until(1)
                assert one.replies == [Answer(number, bytes([number]))]
            assert neighbour.waiting == 0
            neighbour.close()

    asyncio.run(play())


def test_an_owner_that_is_away_was_sent_nothing(tmp_path: Path) -> None:
    bind(tmp_path / "s").close()  # the socket of a killed process

    async def play() -> None:
        for path in (tmp_path / "s", tmp_path / "none"):
            heard = Heard()
            Neighbour(path).ask(handed(1), heard.told, heard.never)
            await heard.until(1)
            assert (heard.replies, heard.unsent) == ([], 1)

    asyncio.run(play())


def test_what_was_sent_on_a_torn_line_is_unknown_and_never_sent_again(tmp_path: Path) -> None:
    questions: list[Question] = []

    def asked(line: ReceiverLine, question: Question) -> None:
        questions.append(question)
        if question.number == 1:
            line.close()
        else:
            line.say(Answer(question.number, b"later"))

    async def play() -> None:
        async with owner(tmp_path / "s", asked):
            neighbour, first, second = Neighbour(tmp_path / "s"), Heard(), Heard()
            neighbour.ask(handed(1), first.told, first.never)
            await first.until(1)
            assert (first.replies, first.unsent) == ([None], 0)
            neighbour.ask(handed(2), second.told, second.never)
            await second.until(1)
            assert second.replies == [Answer(2, b"later")]
            assert [one.number for one in questions] == [1, 2]
            neighbour.close()

    asyncio.run(play())


def test_an_owner_that_stands_still_is_given_up(tmp_path: Path) -> None:
    async def play() -> None:
        there = asyncio.Event()
        async with owner(tmp_path / "s", lambda line, question: there.set()):
            neighbour, heard = Neighbour(tmp_path / "s"), Heard()
            neighbour.ask(handed(1), heard.told, heard.never)
            await there.wait()
            now = asyncio.get_running_loop().time()
            neighbour.give_up(now + forwarding_link.ANSWER_S - 1)
            await asyncio.sleep(0)
            assert neighbour.waiting == 1
            neighbour.give_up(now + forwarding_link.ANSWER_S + 1)
            await heard.until(1)
            assert (heard.replies, heard.unsent) == ([None], 0)

    asyncio.run(play())


def test_more_than_an_owner_can_take_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding_link, "MOST_HANDED", 2)

    async def play() -> None:
        async with owner(tmp_path / "s", lambda line, question: None):
            neighbour, heard = Neighbour(tmp_path / "s"), Heard()
            for number in (1, 2, 3):
                neighbour.ask(handed(number), heard.told, heard.never)
            assert (heard.replies, heard.unsent) == ([], 1)
            neighbour.close()

    asyncio.run(play())
