"""The switch as a process: limits against bad peers, stopping and starting, what it says when it can't
start."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from switch.link.framing import frame
from tests import forked
from tests.server.running_switch import DIALECT, Line, RunningSwitch, TerminalSide, new_card

TPDU = bytes.fromhex("6000030001")
SWAPPED = bytes.fromhex("6000010003")

Start = Callable[..., RunningSwitch]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a switch of one's own with changed settings."""
    running: list[RunningSwitch] = []

    def begin(**changes: str) -> RunningSwitch:
        named = {name.replace("__", "."): value for name, value in changes.items()}
        running.append(RunningSwitch(tmp_path / f"switch{len(running)}", named))
        return running[-1]

    yield begin
    for switch in running:
        if switch.process.poll() is None:
            switch.kill()


# ---------------------------------------------------------------- the line


def test_tpdu_addresses_swap_in_the_answer(terminal: TerminalSide) -> None:
    request = terminal.sealed(terminal.sign_on())
    terminal.line.send(frame(request, TPDU))
    answer = terminal.line.receive()
    assert answer.tpdu == SWAPPED
    assert terminal.is_genuine(answer.payload, request)


def test_many_messages_in_one_segment_are_all_answered(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    terminal.line.send(b"".join(frame(terminal.sealed(terminal.earn(card, 10_000))) for _ in range(300)))
    answers = [DIALECT.decode(terminal.line.receive().payload) for _ in range(300)]
    assert {answer["39"] for answer in answers} == {"00"}
    assert terminal.points(card) == 300


def test_a_message_in_single_bytes_is_answered(terminal: TerminalSide) -> None:
    terminal.line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in frame(terminal.sealed(terminal.sign_on()), TPDU):
        terminal.line.send(bytes((byte,)))
    assert DIALECT.decode(terminal.line.receive().payload)["39"] == "00"


def test_keep_alives_of_length_zero_are_ignored(terminal: TerminalSide) -> None:
    terminal.line.send(b"\x00\x00" * 50 + frame(terminal.sealed(terminal.sign_on())))
    assert DIALECT.decode(terminal.line.receive().payload)["39"] == "00"


# ---------------------------------------------------------------- garbage


def garbage(kind: str) -> bytes:
    noise = random.Random(3).randbytes(400)
    return {
        "random bytes": b"\xfe" + noise,
        "a length of 65535": b"\xff\xff" + noise,
        "a length too short": b"\x00\x03abc",
        "a frame of noise": frame(noise),
        "an answer instead of a request": frame(bytes.fromhex("0210") + noise[:30]),
        "a bad TPDU": b"\x00\x08\x60" + noise[:7],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "random bytes",
        "a length of 65535",
        "a length too short",
        "a frame of noise",
        "an answer instead of a request",
        "a bad TPDU",
    ],
)
def test_garbage_ends_its_own_line_only_and_is_logged_once(
    terminal: TerminalSide, switch: RunningSwitch, kind: str
) -> None:
    line = Line(switch)
    mine = "{}:{}".format(*line.socket.getsockname())
    line.send(garbage(kind))
    assert line.is_closed_by_switch()
    assert terminal.ask(terminal.sign_on())["39"] == "00"
    assert len(switch.events("peer", mine)) == 1


def test_messages_before_the_garbage_are_answered(switch: RunningSwitch) -> None:
    side = TerminalSide(switch)
    card = side.activated_card()
    side.line.send(frame(side.sealed(side.earn(card, 10_000))) + b"\xff\xff")
    assert DIALECT.decode(side.line.receive().payload)["39"] == "00"
    assert side.line.is_closed_by_switch()


def test_a_frame_that_is_never_finished_is_given_up(start: Start) -> None:
    switch = start(listener__frame_timeout_s="1")
    line = Line(switch)
    line.send(b"\x00\x50\x02\x00")
    assert line.is_closed_by_switch()
    assert len(switch.events("event", "frame not finished in time")) == 1


def test_a_line_that_ends_inside_a_frame_is_logged_once(
    switch: RunningSwitch, terminal: TerminalSide
) -> None:
    line = Line(switch)
    mine = "{}:{}".format(*line.socket.getsockname())
    line.send(frame(terminal.sealed(terminal.sign_on()))[:20])
    line.close()
    events = switch.events("peer", mine)
    assert [event["event"] for event in events] == ["connection ended inside a frame"]


def test_an_idle_connection_is_closed(start: Start) -> None:
    switch = start(listener__idle_timeout_s="1")
    assert Line(switch).is_closed_by_switch()
    assert len(switch.events("event", "idle connection closed")) == 1


def test_a_thousand_idle_connections_do_not_stop_the_others(start: Start) -> None:
    switch = start()
    idle = [Line(switch) for _ in range(1000)]
    side = TerminalSide(switch)
    assert side.points(side.activated_card(points=5)) == 5
    for line in idle:
        line.close()


def test_past_the_connection_limit_the_longest_idle_stranger_goes(start: Start) -> None:
    switch = start(listener__max_connections="20")
    side = TerminalSide(switch)
    assert side.ask(side.sign_on())["39"] == "00"
    strangers = [Line(switch) for _ in range(40)]
    assert strangers[0].is_closed_by_switch()
    newcomer = TerminalSide(switch, 1)
    assert newcomer.ask(newcomer.sign_on())["39"] == "00"
    assert side.ask(side.sign_on())["39"] == "00", "a peer with a good MAC stays"


def test_a_peer_that_does_not_read_does_not_stop_the_others(start: Start) -> None:
    switch = start(listener__max_in_flight="4")
    deaf, side = TerminalSide(switch), TerminalSide(switch, 1)
    deaf.line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    echo = frame(deaf.sealed(deaf.sign_on("301")))
    deaf.line.socket.settimeout(1)
    try:
        for _ in range(10_000):
            deaf.line.send(echo * 100)
    except TimeoutError:
        pass  # the switch has stopped reading from it
    else:
        pytest.fail("the switch took a million requests from a peer that reads no answer")
    assert side.points(side.activated_card(points=5)) == 5


# ---------------------------------------------------------------- stopping and starting


def test_sigterm_answers_what_was_accepted(start: Start) -> None:
    switch = start()
    side = TerminalSide(switch)
    card = side.activated_card()
    requests = [frame(side.sealed(side.earn(card, 10_000))) for _ in range(200)]
    side.line.send(b"".join(requests))
    first = side.line.receive()  # so the switch has read; the rest came in the same segment or not at all
    assert DIALECT.decode(first.payload)["39"] == "00"
    assert switch.stop() == 0
    answered = 1
    try:
        while True:
            assert DIALECT.decode(side.line.receive().payload)["39"] == "00"
            answered += 1
    except ConnectionError:
        pass
    switch.start()
    again = TerminalSide(switch)
    assert again.points(card) == answered, "every booked earn was answered, every answered one is booked"


def test_the_same_frame_after_a_restart_gets_the_same_bytes(start: Start) -> None:
    switch = start()
    side = TerminalSide(switch)
    card = side.activated_card()
    payload = side.sealed(side.earn(card, 500_000))
    before = side.exchange(payload)
    switch.kill()
    switch.start()
    again = TerminalSide(switch)
    assert again.exchange(payload) == before
    assert again.points(card) == 50


def test_a_reversal_after_a_restart_finds_its_original(start: Start) -> None:
    switch = start()
    side = TerminalSide(switch)
    card = side.activated_card(points=7)
    original, spent, activated = side.earn(card, 500_000), side.redemption(card, 3), new_card()
    activation = side.activation(activated)
    for message in (original, spent, activation):
        assert side.ask(message)["39"] == "00"
    switch.kill()
    switch.start()
    again = TerminalSide(switch)
    for message in (original, spent, activation):
        assert again.ask(again.reversal_of(message))["39"] == "00"
    assert again.points(card) == 7
    assert again.ask(again.balance(activated))["39"] == "78"


def test_an_early_reversal_is_remembered_over_a_restart(start: Start) -> None:
    switch = start()
    side = TerminalSide(switch)
    card = side.activated_card(points=7)
    original = side.earn(card, 500_000)
    assert side.ask(side.reversal_of(original))["39"] == "00"
    switch.kill()
    switch.start()
    again = TerminalSide(switch)
    assert again.ask(original)["39"] == "94"
    assert again.points(card) == 7


def test_a_second_switch_on_the_directory_is_refused_and_the_first_goes_on(
    start: Start, tmp_path: Path
) -> None:
    first = start()
    side = TerminalSide(first)
    card = side.activated_card(points=7)
    for port in ("0", str(first.port)):
        second = run_vafa("switch", "run", "--data", str(first.directory), "--port", port, cwd=tmp_path)
        assert second.returncode == (4 if port == "0" else 3)
        assert ("another switch serves" if port == "0" else "another process listens") in second.stderr
        assert side.ask(side.earn(card, 10_000))["39"] == "00"
    first.kill()
    first.start()
    assert TerminalSide(first).points(card) == 9


def test_a_peer_that_has_finished_sending_still_gets_its_answers(switch: RunningSwitch) -> None:
    side = TerminalSide(switch)
    card = side.activated_card()
    side.line.send(b"".join(frame(side.sealed(side.earn(card, 10_000))) for _ in range(20)))
    side.line.socket.shutdown(socket.SHUT_WR)
    assert {DIALECT.decode(side.line.receive().payload)["39"] for _ in range(20)} == {"00"}
    assert side.line.is_closed_by_switch()


def test_a_peer_that_resets_its_line_does_not_flood_the_log(switch: RunningSwitch) -> None:
    before = len(switch.log)
    for _ in range(3):
        side = TerminalSide(switch)
        side.line.send(frame(side.sealed(side.sign_on("301"))) * 2000)
        side.line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.line.close()
    other = TerminalSide(switch)
    assert other.ask(other.sign_on())["39"] == "00"
    assert len(switch.log) - before <= 4, "at most a line for each, and the sign-on"


def run_vafa(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.vafa(*arguments, directory=cwd)


def test_a_busy_port_is_named_with_a_remedy(switch: RunningSwitch, tmp_path: Path) -> None:
    result = run_vafa("switch", "run", "--data", "other", "--port", str(switch.port), cwd=tmp_path)
    assert result.returncode == 3
    assert f"127.0.0.1:{switch.port}" in result.stderr
    assert "--port" in result.stderr


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    result = run_vafa("switch", "run", "--data", "data", "--port", "0", cwd=tmp_path)
    assert result.returncode == 4
    assert "ledger.sqlite" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_switch_leaves_no_core_file(start: Start) -> None:
    """Its memory holds the seal key, the directory key and, in process, the master key."""
    limits = Path(f"/proc/{start().process.pid}/limits").read_text(encoding="ascii")
    [row] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert row.split()[4:6] == ["0", "0"]
