"""A request that the process stops on twice is not decided a third time; the others are, all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.link.framing import frame
from switch.server.quarantine import PLACES, STOPS, Quarantine, QuarantineError, clear, suspects
from tests.server.planted_switch import POISON_WHEN_DECIDED, POISON_WHEN_STORED
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide

ONE, OTHER = b"1" * 16, b"2" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "under-way"


def stop_on(path: Path, digest: bytes) -> None:
    """A process that ends while it decides this."""
    quarantine = Quarantine(path, now_ms=1)
    quarantine.begin(digest)
    quarantine.close()


def test_what_was_decided_is_no_suspect(path: Path) -> None:
    quarantine = Quarantine(path, 1)
    quarantine.begin(ONE)
    quarantine.nothing_under_way()
    quarantine.close()
    assert Quarantine(path, 2).is_empty
    assert suspects(path) == []


def test_a_first_stop_makes_a_suspect_and_a_second_holds_it(path: Path) -> None:
    stop_on(path, ONE)
    after_one = Quarantine(path, 2)
    assert (after_one.is_suspect(ONE), after_one.is_held(ONE)) == (True, False)
    after_one.tell(ONE, "10000001", "earn")
    after_one.begin(ONE)
    after_one.close()
    after_two = Quarantine(path, 3)
    assert after_two.is_held(ONE)
    assert not after_two.is_suspect(OTHER)
    [suspect] = suspects(path)
    assert (suspect.digest, suspect.stops, suspect.terminal, suspect.operation) == (
        ONE,
        STOPS,
        "10000001",
        "earn",
    )


def test_a_list_that_a_power_cut_left_without_its_bytes_is_begun_anew(path: Path) -> None:
    Quarantine(path, 1).close()
    path.write_bytes(bytes(path.stat().st_size))
    assert Quarantine(path, 2).is_empty
    assert suspects(path) == []


def test_the_list_has_all_its_room_from_the_beginning(path: Path) -> None:
    """Or the disk could be full when something is noted, and that stops the process."""
    Quarantine(path, 1).close()
    assert path.stat().st_blocks * 512 >= path.stat().st_size


def test_a_suspect_that_passes_is_forgotten(path: Path) -> None:
    stop_on(path, ONE)
    quarantine = Quarantine(path, 2)
    quarantine.passed(ONE)
    assert quarantine.is_empty
    quarantine.close()
    stop_on(path, ONE)
    assert not Quarantine(path, 3).is_held(ONE)


def test_an_operator_clears_it_beside_the_process_that_holds_it(path: Path) -> None:
    for _ in range(STOPS):
        stop_on(path, ONE)
    quarantine = Quarantine(path, 3)
    assert quarantine.is_held(ONE)
    assert clear(path, ONE)
    assert not quarantine.is_held(ONE)
    assert not clear(path, ONE)


def test_a_broken_batch_makes_suspects_of_all_of_it_once(path: Path) -> None:
    quarantine = Quarantine(path, 1)
    quarantine.broke([ONE, OTHER, b""], 1)
    quarantine.close()
    assert [suspect.stops for suspect in suspects(path)] == [1, 1]
    again = Quarantine(path, 2)
    again.begin(ONE)
    again.broke([ONE, OTHER], 2)  # it was the one under way
    again.close()
    third = Quarantine(path, 3)
    assert (third.is_held(ONE), third.is_held(OTHER)) == (True, False)


def test_the_list_is_bounded_and_what_is_held_stays(path: Path) -> None:
    for _ in range(STOPS):
        stop_on(path, ONE)
    quarantine = Quarantine(path, 5)
    quarantine.broke([number.to_bytes(16, "big") for number in range(1, 2 * PLACES)], 9)
    assert len(suspects(path)) == PLACES
    assert quarantine.is_held(ONE)


def test_another_file_is_refused(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(QuarantineError, match="move the file away"):
        Quarantine(path, 1)


@pytest.mark.parametrize("amount", [POISON_WHEN_DECIDED, POISON_WHEN_STORED])
def test_a_request_the_process_stops_on_twice_is_answered_96(tmp_path: Path, amount: int) -> None:
    switch = RunningSwitch(tmp_path, module="tests.server.planted_switch")
    side = TerminalSide(switch)
    card = side.activated_card(points=7)
    poison = side.earn(card, amount, mti="0220")
    for _ in range(STOPS):
        side.line.send(frame(side.sealed(poison)) + frame(side.sealed(side.earn(card, 10_000, mti="0220"))))
        assert switch.process.wait(30) == 1, "an assertion that fails stops the process"
        switch.start()
        side = TerminalSide(switch)
    assert side.ask(poison)["39"] == "96"
    points = side.points(card)
    assert points in (7, 8, 9), "what came beside the poison is booked or wasn't answered"
    assert side.ask(side.earn(card, 20_000))["39"] == "00"
    assert side.points(card) == points + 2
    [alarm, *_] = switch.events("event", "request quarantined: the process stopped on it")
    assert (alarm["alarm"], alarm["operation"]) == (True, "earn")
    [held] = [suspect for suspect in suspects(tmp_path / "requests.under-way") if suspect.stops >= STOPS]
    assert (held.terminal, held.operation) == (side.terminal.id, "earn")
    switch.kill()
    switch.module = "tools.cli"  # mended
    switch.start()
    side = TerminalSide(switch)
    assert side.ask(poison)["39"] == "96", "until an operator says so"
    assert clear(tmp_path / "requests.under-way", held.digest)
    assert side.ask(poison)["39"] == "00"
    assert switch.stop() == 0


def test_killing_the_process_under_load_quarantines_nobody(tmp_path: Path) -> None:
    switch = RunningSwitch(tmp_path)
    side = TerminalSide(switch)
    card = side.activated_card()
    advices = [side.earn(card, 10_000, mti="0220") for _ in range(200)]
    for answered in (1, 90, 180):  # another request is under way each time
        side.line.send(b"".join(frame(side.sealed(advice)) for advice in advices))
        for _ in range(answered):
            side.line.receive()
        switch.kill()
        switch.start()
        side = TerminalSide(switch)
    side.line.send(b"".join(frame(side.sealed(advice)) for advice in advices))
    answers = [DIALECT.decode(side.line.receive().payload) for _ in advices]
    assert {answer["39"] for answer in answers} == {"00"}
    assert side.points(card) == 200
    assert switch.stop() == 0
