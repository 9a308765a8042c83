"""The registry's bytes: they hold every record, and no byte or line of file or log changes unseen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.registry import Change, Registry, RegistryBroken
from switch.registry.lines import FIRST_SEAL, Seals, agreed, log_line, registry_bytes, registry_of, seal_of
from switch.registry.records import Record
from tests.server.registered import bundles, groups, merchants, terminals

SEALS = Seals(b"\x5a" * 32)
records = st.lists(merchants | terminals | groups | bundles, max_size=4)
histories = st.lists(records, min_size=1, max_size=4)


def written(history: list[list[Record]]) -> tuple[Registry, list[str]]:
    """The registry that these changes make, and its log's lines."""
    registry, lines = Registry(), []
    for number, changed in enumerate(history, 1):
        change = Change(
            number, "2026-10-02T12:00:00+03:30", "1405/07/10", "ن", "root", "w", "r", tuple(changed)
        )
        lines.append(log_line(change, seal_of(registry.last), SEALS))
        registry = registry.with_records(changed, number, lines[-1])
    return registry, lines


def log_of(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


@given(histories)
def test_what_is_written_is_read(history: list[list[Record]]) -> None:
    registry, lines = written(history)
    assert registry_of(registry_bytes(registry, SEALS), SEALS) == registry
    known = agreed(registry, log_of(lines), SEALS)
    assert [list(change.records) for change in known.changes] == history
    assert (known.missing, known.keep) == ("", len(log_of(lines)))


@given(histories, st.data())
def test_an_edited_byte_of_the_registry_is_found(history: list[list[Record]], data: st.DataObject) -> None:
    content = bytearray(registry_bytes(written(history)[0], SEALS))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RegistryBroken):
        registry_of(bytes(content), SEALS)


@given(histories, st.data())
def test_a_registry_that_ends_early_is_found(history: list[list[Record]], data: st.DataObject) -> None:
    content = registry_bytes(written(history)[0], SEALS)
    with pytest.raises(RegistryBroken):
        registry_of(content[: data.draw(st.integers(0, len(content) - 1))], SEALS)


@given(histories, st.data())
def test_an_edited_byte_of_the_log_is_found(history: list[list[Record]], data: st.DataObject) -> None:
    registry, lines = written(history)
    log = bytearray(log_of(lines))
    place = data.draw(st.integers(0, len(log) - 1))
    log[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RegistryBroken):
        agreed(registry, bytes(log), SEALS)


@given(st.lists(records, min_size=3, max_size=5), st.data())
def test_a_line_that_is_missing_moved_or_twice_is_found(
    history: list[list[Record]], data: st.DataObject
) -> None:
    registry, lines = written(history)
    place = data.draw(st.integers(0, len(lines) - 2))
    taken = lines[:place] + lines[place + 1 :]
    twice = lines[: place + 1] + lines[place:]
    moved = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
    for tampered in (taken, twice, moved, lines[:-2], []):
        with pytest.raises(RegistryBroken):
            agreed(registry, log_of(tampered), SEALS)


@given(histories, st.data())
def test_a_log_cut_inside_its_last_line_only_lacks_that_one(
    history: list[list[Record]], data: st.DataObject
) -> None:
    registry, lines = written(history)
    whole, before = log_of(lines), log_of(lines[:-1])
    known = agreed(registry, whole[: data.draw(st.integers(len(before), len(whole) - 1))], SEALS)
    assert (known.missing, known.keep) == (lines[-1], len(before))
    assert [list(change.records) for change in known.changes] == history


@given(histories, records)
def test_an_older_registry_beside_a_newer_log_is_found(
    history: list[list[Record]], more: list[Record]
) -> None:
    older, _ = written(history)
    _, lines = written([*history, more])
    with pytest.raises(RegistryBroken, match="that one is an older copy"):
        agreed(older, log_of(lines), SEALS)


def test_another_seal_key_and_another_format_are_told() -> None:
    content = registry_bytes(Registry(), SEALS)
    with pytest.raises(RegistryBroken, match="another seal key"):
        registry_of(content, Seals(b"\x5b" * 32))
    head = content.split(b"\n")[0].replace(b'"registry":1', b'"registry":2') + b"\n"
    newer = head + b'{"records":0,"seal":"%s"}\n' % SEALS.of_file(head).encode()
    with pytest.raises(RegistryBroken, match="no registry of format 1"):
        registry_of(newer, SEALS)


def test_the_first_line_follows_nothing_and_the_seals_differ() -> None:
    assert seal_of("") == FIRST_SEAL
    assert SEALS.of_file(b"x") != SEALS.of_line("", "x")
    _, lines = written([[]])
    assert re.fullmatch(r'\{"n":1,.*,"records":\[\],"seal":"[0-9a-f]{64}"\}', lines[0])
