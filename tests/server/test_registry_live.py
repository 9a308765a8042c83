"""Terminals and merchants that are registered, blocked and moved while a real switch serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.terminal_keys import TerminalKeys
from switch.defaults import read_terminal_settings
from switch.registry import registered_terminals
from tests.forked import vafa
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide, new_card

SHOP, OTHER, NEW = "100000000000001", "100000000000002", "10000011"


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[RunningSwitch]:
    running = RunningSwitch(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.kill()


class Office:
    """Whoever runs `vafa terminal` and `vafa merchant` beside the switch."""

    def __init__(self, switch: RunningSwitch) -> None:
        self._switch = switch
        self._changes = 0

    def change(self, *words: str) -> None:
        """A command that changes something; returns when the switch says that it knows."""
        ended = vafa(*words, "--data", str(self._switch.directory))
        assert ended.returncode == 0, ended.stderr
        self._changes += 1
        self._switch.events("changes", self._changes)  # type: ignore[arg-type]


@pytest.fixture
def office(switch: RunningSwitch) -> Office:
    return Office(switch)


def side_of(switch: RunningSwitch, name: str) -> TerminalSide:
    """The terminal of that id as it is registered now, on a line of its own."""
    side = TerminalSide(switch)
    [side.terminal] = [one for one in registered_terminals(switch.settings) if one.id == name]
    if name not in switch.keys:
        switch.keys[name] = TerminalKeys.of(read_terminal_settings(switch.settings, side.terminal))
    side.keys = switch.keys[name]
    return side


def refused(side: TerminalSide) -> str:
    """The response code of a sale that gets an answer without MAC."""
    answer = DIALECT.decode(side.exchange(side.earn(new_card(), 10_000)))
    assert "64" not in answer.fields
    return answer.text("39")


def not_started(switch: RunningSwitch) -> str:
    """What it says when it can't start, for its configuration."""
    ended = vafa("switch", "run", "--data", str(switch.directory), "--port", "0")
    assert ended.returncode == 4
    return ended.stderr


def problems(switch: RunningSwitch, least: int) -> list[str]:
    return [one["problem"] for one in switch.events("event", "terminal not permitted", least)]


def test_a_terminal_lives_its_whole_life_beside_a_running_switch(
    switch: RunningSwitch, office: Office
) -> None:
    office.change("merchant", "add", OTHER, "--name-en", "City Books")
    office.change("terminal", "add", NEW, "--merchant", OTHER)
    side = side_of(switch, NEW)
    card = side.activated_card(100)
    office.change("terminal", "block", NEW, "--reason", "stolen")
    assert refused(side) == "58"
    office.change("terminal", "unblock", NEW)
    assert side.points(card) == 100
    office.change("merchant", "block", OTHER)
    assert refused(side) == "58"
    office.change("merchant", "unblock", OTHER)
    assert side.points(card) == 100
    office.change("terminal", "assign", NEW, "--merchant", SHOP)
    assert refused(side) == "58"
    moved = side_of(switch, NEW)
    assert read_terminal_settings(switch.settings, moved.terminal)["acceptor_id"] == SHOP
    assert moved.points(card) == 100
    assert problems(switch, 3) == ["blocked", "acceptor blocked", "another acceptor's"]
    assert switch.events("event", "terminal not permitted")[0]["alarm"] is True
    switch.kill()
    switch.start()
    assert side_of(switch, NEW).points(card) == 100


def test_an_unknown_terminal_and_one_of_the_settings(switch: RunningSwitch, office: Office) -> None:
    side = side_of(switch, "10000001")
    card = side.activated_card(1)
    office.change("terminal", "block", "10000001")
    assert refused(side) == "58"
    office.change("terminal", "unblock", "10000001")
    assert side.points(card) == 1
    side.line.socket.close()
    stranger = side_of(switch, "10000001")
    message = stranger.earn(card, 10_000, f41="77777777")
    assert DIALECT.decode(stranger.exchange(message))["39"] == "58"
    assert problems(switch, 2) == ["blocked", "not registered"]


def test_a_broken_registry_changes_nothing_and_alarms(switch: RunningSwitch, office: Office) -> None:
    office.change("terminal", "add", NEW, "--merchant", SHOP)
    office.change("terminal", "block", "10000002")
    new, blocked = side_of(switch, NEW), side_of(switch, "10000002")
    path = switch.settings.registry_path
    good = path.read_bytes()
    path.write_bytes(good.replace(b"true", b"false"))
    [alarm] = switch.events("event", "registry not usable")
    assert alarm["alarm"] is True
    assert "changed by hand" in alarm["reason"]
    assert refused(blocked) == "58"
    assert new.activated_card(1)
    # It is not started with either; with the true one it is.
    assert switch.stop() == 0
    assert "registry.jsonl: the file was changed by hand" in not_started(switch)
    path.write_bytes(good)
    switch.start()
    assert refused(side_of(switch, "10000002")) == "58"


def test_an_older_registry_put_back_does_not_unblock(switch: RunningSwitch, office: Office) -> None:
    office.change("terminal", "add", NEW, "--merchant", SHOP)
    older = switch.settings.registry_path.read_bytes()
    office.change("terminal", "block", NEW)
    switch.settings.registry_path.write_bytes(older)
    [alarm] = switch.events("event", "registry not usable")
    assert "it is an older copy" in alarm["reason"]
    assert refused(side_of(switch, NEW)) == "58"
    assert switch.stop() == 0
    assert "registry.log: it has 2 changes, the registry only 1" in not_started(switch)


def test_a_terminal_of_a_key_that_came_later(switch: RunningSwitch, office: Office) -> None:
    """A new BDK is found in the key store without a restart."""
    from switch.hsm import InProcessHsm, KeyStore
    from switch.hsm.port import KeyAlgorithm, KeyUse
    from switch.keys import read_master_key

    hsm = InProcessHsm(read_master_key(switch.settings.hsm.master_key_file))
    store = KeyStore.load(switch.settings.hsm.key_store)
    making = hsm.generate_key(KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128)
    with pytest.raises(StopIteration) as made:
        making.send(None)  # the in-process HSM never waits
    store.add("bdk/0A0B0C0D", made.value.value, KeyAlgorithm.AES_128, ("test",))
    store.save()
    office.change("terminal", "add", "KIOSK001", "--merchant", SHOP, "--bdk", "0A0B0C0D")
    side = side_of(switch, "KIOSK001")
    assert side.terminal.initial_key_id[:4].hex() == "0a0b0c0d"
    assert side.activated_card(1)
