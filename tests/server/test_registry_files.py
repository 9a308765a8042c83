"""The registry on disk: whole or as before, wherever a command is killed; one writer; a switch follows it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from switch.registry import (
    Draft,
    Follower,
    InForce,
    Merchant,
    RegistryBroken,
    RegistryError,
    changing,
    history,
    read,
    read_after,
    registered_terminals,
)
from switch.settings import Settings, load
from tests.server.registered import BDK, OTHER, SHOP, add, change, installation

MOST_CALLS = 40


def killed_at(settings: Settings, call: int) -> bool:
    """Add a terminal in a process that is killed at its system call with this number, a line half written.
    Whether that came; False: it was done before."""
    child = os.fork()
    if child == 0:
        left = itertools.count(call - 1, -1)

        def counted(name: str) -> Callable[..., Any]:
            real = getattr(os, name)

            def make(*arguments: Any, **named: Any) -> Any:
                if next(left) == 0:
                    if name == "write":
                        real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return make

        for name in ("open", "write", "fsync", "replace"):
            setattr(os, name, counted(name))
        try:
            change(settings, add("10000012"))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("first", [True, False])
def test_a_change_killed_anywhere_is_done_or_not_done_and_never_unlogged(tmp_path: Path, first: bool) -> None:
    seen = set()
    for call in range(1, MOST_CALLS):
        settings = installation(tmp_path / str(call))
        if not first:
            change(settings, add("10000011"))
        before = len(registered_terminals(settings))
        killed = killed_at(settings, call)
        done = len(registered_terminals(settings)) - before
        known = history(settings)
        assert len(known.changes) == read(settings).registry.changes == done + (not first)
        seen.add((done, bool(known.missing)))
        after = change(settings, add("10000013"))
        assert len(after.terminals) == before + done + 1
        repaired = history(settings)
        assert not repaired.missing
        assert repaired.changes[: len(known.changes)] == known.changes
        if not killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert seen == {(0, False), (1, True), (1, False)}


def test_what_is_missing_in_the_log_comes_with_the_next_command(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    change(settings, add("10000011"))
    line = settings.registry_log_path.read_bytes()
    settings.registry_log_path.write_bytes(line[:50])
    assert history(settings).missing == line.decode().rstrip("\n")
    with changing(settings) as session:
        assert session.repaired
    assert settings.registry_log_path.read_bytes() == line


def test_files_are_for_their_owner_and_nothing_else_stays(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    change(settings, add("10000011"))
    change(settings, lambda draft: draft.block_terminal("10000011", ""))
    names = {path.name for path in tmp_path.iterdir()} - {"switch.toml"}
    assert names == {"registry.jsonl", "registry.log"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.name in names} == {0o600}


def test_a_change_of_nothing_writes_nothing(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    change(settings, add("10000011"))
    before = settings.registry_path.stat(), settings.registry_log_path.read_bytes()
    change(settings, add("10000011"))
    assert (settings.registry_path.stat(), settings.registry_log_path.read_bytes()) == before


def test_what_was_done_stands_in_the_log(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    change(settings, lambda draft: draft.block_terminal("10000001", "stolen"), "terminal block", "stolen")
    [one] = history(settings).changes
    assert (one.by, one.user, one.what, one.reason) == ("A. Rahimi", "operator", "terminal block", "stolen")
    assert (one.time, one.jalali) == ("2026-10-02T12:00:00+03:30", "1405/07/10")
    assert [record.id for record in one.records] == ["10000001"]


def test_a_registry_that_was_changed_moved_away_or_put_back_is_refused(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    change(settings, lambda draft: draft.block_terminal("10000001", "stolen"))
    older = settings.registry_path.read_bytes()
    change(settings, lambda draft: draft.block_terminal("10000002", "stolen"))
    good = settings.registry_path.read_bytes()
    settings.registry_path.write_bytes(good.replace(b'"blocked":true', b'"blocked":false', 1))
    for use in (read, history, registered_terminals, lambda _: change(settings, add("10000011"))):
        with pytest.raises(
            RegistryBroken, match=r"registry.jsonl: the file was changed by hand.*; find out who"
        ):
            use(settings)
    settings.registry_path.unlink()
    with pytest.raises(RegistryBroken, match=r"registry.jsonl: the file is gone, and its log is there"):
        read(settings)
    settings.registry_path.write_bytes(older)
    for use in (history, lambda _: change(settings, add("10000011"))):
        with pytest.raises(RegistryBroken, match=r"registry.log: it has 2 changes, the registry only 1"):
            use(settings)
    settings.registry_path.write_bytes(good)
    assert len(history(settings).changes) == 2


def test_settings_that_would_not_start_refuse_the_change(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    with pytest.raises(RegistryError, match="no merchant"):
        change(settings, add("10000011", OTHER))
    change(settings, lambda draft: draft.add_merchant(Merchant(OTHER, "کتاب شهر")))
    change(settings, lambda draft: draft.assign("10000001", OTHER))
    before = settings.registry_path.read_bytes()
    moved = installation(tmp_path, settings.source.read_text().split("\n\n", 1)[1].replace(SHOP, "3" * 15))
    with pytest.raises(RegistryError, match=r"10000001: acceptor 333333333333333 in switch.toml"):
        change(moved, add("10000011", OTHER))
    assert settings.registry_path.read_bytes() == before


def test_two_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    settings = installation(tmp_path)

    def add_some(letter: str) -> None:
        for number in range(10):
            change(settings, add(f"{letter}000001{number}"))

    threads = [threading.Thread(target=add_some, args=(letter,)) for letter in "23"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registered_terminals(settings)) == 22
    assert len(history(settings).changes) == 20


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = installation(tmp_path)
    change(settings, add("10000011"))
    before = read(settings)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RegistryError, match="No space left on device"):
            change(settings, add("10000012"))
    assert read(settings) == before
    assert not history(settings).missing


def test_a_log_that_can_t_be_written_is_told_and_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RegistryError, match="the change is in force"):
            change(settings, add("10000011"))
    assert len(registered_terminals(settings)) == 3
    change(settings, add("10000012"))
    assert len(history(settings).changes) == 2


def test_one_registry_for_several_switches(tmp_path: Path) -> None:
    shared = '[registry]\ndirectory = "../shared"\n\n'
    (tmp_path / "shared").mkdir()
    first, second = (installation(tmp_path / name) for name in "ab")
    for one in (first, second):
        one.source.write_text(shared + one.source.read_text())
    first, second = load(first.source), load(second.source)
    change(first, add("10000011"))
    assert registered_terminals(second) == registered_terminals(first)
    assert not (tmp_path / "a" / "registry.jsonl").exists()


# ---------------------------------------------------------------- following


def test_reading_on_is_reading_all(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    known = read(settings)
    steps: list[Callable[[Draft], object]] = [
        add("10000011"),
        lambda draft: draft.block_terminal("10000011", "stolen"),
        lambda draft: draft.block_merchant(SHOP, ""),
        lambda draft: draft.unblock_terminal("10000011"),
    ]
    for step in steps:
        change(settings, step)
        known = read_after(settings, known)
        assert known == read(settings)
    for step in (add("10000012"), add("10000013")):
        change(settings, step)
    assert read_after(settings, known) == read(settings)


def test_reading_on_takes_no_change_that_is_not_the_next_one(tmp_path: Path) -> None:
    settings, other = installation(tmp_path / "a"), installation(tmp_path / "b")
    change(settings, add("10000011"))
    known = read(settings)
    change(other, add("10000012"))
    change(other, add("10000013"))
    settings.registry_path.write_bytes(other.registry_path.read_bytes())
    with pytest.raises(RegistryBroken, match="line 2 was changed, or lines before it"):
        read_after(settings, known)
    head = other.registry_path.read_bytes().replace(b"10000013", b"10000014")
    settings.registry_path.write_bytes(head)
    with pytest.raises(RegistryBroken, match=r"registry\.jsonl"):
        read_after(settings, known)


async def at_once(reading: Callable[[], InForce]) -> InForce:
    return reading()


def test_a_follower_takes_what_is_new_and_nothing_that_is_broken(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    taken: list[InForce] = []
    alarms: list[str] = []
    follower = Follower((settings.registry_path,), lambda: read(settings), taken.append, alarms.append)

    def look() -> bool:
        return asyncio.run(follower.step(at_once))

    assert not look()
    change(settings, add("10000011"))
    assert look()
    assert not look()
    assert [len(one.terminals) for one in taken] == [3]
    good = settings.registry_path.read_bytes()
    settings.registry_path.write_bytes(good[:-9])
    assert not look()
    assert not look()
    settings.registry_path.unlink()
    assert not look()
    assert [("is cut off" in one, "is gone" in one) for one in alarms] == [(True, False), (False, True)]
    settings.registry_path.write_bytes(good)
    assert look()
    assert len(alarms) == 2
    assert taken[-1] == taken[0]


def test_what_changed_before_the_first_look_is_taken(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    taken: list[InForce] = []
    follower = Follower((settings.registry_path,), lambda: read(settings), taken.append, print)
    change(settings, lambda draft: draft.block_terminal("10000001", ""))
    assert asyncio.run(follower.step(at_once))
    assert [one.id for one in taken[0].terminals if one.blocked] == ["10000001"]


def test_ten_thousand_terminals_in_one_change(tmp_path: Path) -> None:
    settings = installation(tmp_path)

    def add_all(draft: Draft) -> None:
        for number in range(10_000):
            draft.add_terminal(f"2{number:07d}", SHOP, bdk_id=BDK)

    change(settings, add_all)
    assert len(registered_terminals(settings)) == 10_002
    assert len(history(settings).changes) == 1
