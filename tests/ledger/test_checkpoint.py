"""The checkpoint file: appended to, durable line by line, never going back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from switch.ledger import Head, LedgerUnavailable
from switch.ledger.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointFile,
    RegistryHead,
    read_checkpoints,
)

HEADS = [Head(bucket, bytes([bucket]) * 32, bucket // 2) for bucket in range(256)]


def mac(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8, key=b"checkpoint").digest()


def grown(heads: list[Head], bucket: int) -> list[Head]:
    later = list(heads)
    later[bucket] = Head(heads[bucket].sequence + 1, bytes(32), heads[bucket].members)
    return later


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.checkpoints"


def test_a_line_says_what_the_ledger_looks_like(path: Path) -> None:
    made = CheckpointFile(path, mac).append(HEADS, 1_790_000_000_000)
    line = path.read_bytes()
    body, _, _ = line.partition(b',"mac":"')
    document = json.loads(line)
    assert (document["number"], document["made_ms"], document["previous"]) == (1, 1_790_000_000_000, "")
    assert document["sequences"] == list(range(256))
    assert document["mac"] == mac(body).hex()
    heads = b"".join(
        head.sequence.to_bytes(8, "big") + head.members.to_bytes(8, "big") + head.seal for head in HEADS
    )
    assert document["heads"] == hashlib.sha256(heads).hexdigest()
    assert list(read_checkpoints(path, mac)) == [(1, made)]


def test_lines_follow_each_other_also_after_a_restart(path: Path) -> None:
    file = CheckpointFile(path, mac)
    later = grown(HEADS, 7)
    made = [
        file.append(HEADS, 1),
        file.append(later, 2),
        CheckpointFile(path, mac).append(grown(later, 9), 3),
    ]
    assert list(read_checkpoints(path, mac)) == list(enumerate(made, start=1))
    assert [line.number for line in made if line] == [1, 2, 3]
    assert [line.previous for line in made[1:] if line] == [line.mac for line in made[:2] if line]


def test_a_line_knows_the_newest_state_of_the_registry(path: Path) -> None:
    first, second = RegistryHead(1, "a" * 64), RegistryHead(2, "b" * 64)
    file = CheckpointFile(path, mac)
    file.append(HEADS, 1)
    assert "registry" not in json.loads(path.read_bytes()), "lines of before have none"
    for registry in (first, second):
        made = file.append(HEADS, 2, registry)
        assert made is not None
        assert made.registry == registry
        assert file.append(HEADS, 3, registry) is None
    for older in (first, RegistryHead(2, "c" * 64), None):
        assert file.append(HEADS, 4, older) is None, "the newest one stays"
    file = CheckpointFile(path, mac)
    made = file.append(grown(HEADS, 7), 5)
    assert made is not None
    assert (made.registry, file.registry) == (second, second)
    assert [line.registry for _, line in read_checkpoints(path, mac) if isinstance(line, Checkpoint)] == [
        None,
        first,
        second,
        second,
    ]
    text = path.read_text().replace('"registry":[2,', '"registry":[3,')
    path.write_text(text)
    assert sum(isinstance(line, CheckpointError) for _, line in read_checkpoints(path, mac)) == 2


def test_an_unchanged_ledger_writes_nothing(path: Path) -> None:
    file = CheckpointFile(path, mac)
    file.append(HEADS, 1)
    assert file.append(HEADS, 2) is None
    assert CheckpointFile(path, mac).append(HEADS, 3) is None
    assert len(path.read_bytes().splitlines()) == 1


def test_a_ledger_that_went_back_is_refused(path: Path) -> None:
    CheckpointFile(path, mac).append(grown(HEADS, 7), 1)
    with pytest.raises(
        LedgerUnavailable, match="checkpoint 1 counted 8 entries in bucket 7, the ledger has 7"
    ):
        CheckpointFile(path, mac).append(HEADS, 2)
    assert len(path.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_line_torn_by_a_crash_never_counted(path: Path, kept: int) -> None:
    CheckpointFile(path, mac).append(HEADS, 1)
    whole = path.read_bytes()
    CheckpointFile(path, mac).append(grown(HEADS, 7), 2)
    second = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + second[:kept])
    assert len(list(read_checkpoints(path, mac))) == 1
    made = CheckpointFile(path, mac).append(grown(HEADS, 8), 3)
    assert isinstance(made, Checkpoint)
    assert list(read_checkpoints(path, mac))[1] == (2, made)


@pytest.mark.parametrize("lines_before", [0, 1])
@pytest.mark.parametrize("hole", [slice(0, 512), slice(300, 812), slice(512, -1)])
def test_a_line_with_holes_that_a_power_cut_left_never_counted(
    path: Path, hole: slice, lines_before: int
) -> None:
    if lines_before:
        CheckpointFile(path, mac).append(HEADS, 1)
    before = path.read_bytes() if lines_before else b""
    CheckpointFile(path, mac).append(grown(HEADS, 7), 2)
    torn = bytearray(path.read_bytes()[len(before) :])
    torn[hole] = bytes(len(torn[hole]))
    path.write_bytes(before + torn)
    assert len(list(read_checkpoints(path, mac))) == lines_before
    made = CheckpointFile(path, mac).append(grown(HEADS, 8), 3)
    assert list(read_checkpoints(path, mac))[lines_before:] == [(lines_before + 1, made)]


def test_a_line_with_holes_that_others_follow_is_told(path: Path) -> None:
    file = CheckpointFile(path, mac)
    file.append(HEADS, 1)
    first = len(path.read_bytes())
    file.append(grown(HEADS, 7), 2)
    data = bytearray(path.read_bytes())
    data[first - 200 : first - 100] = bytes(100)
    path.write_bytes(data)
    (_, problem), *_ = read_checkpoints(path, mac)
    assert isinstance(problem, CheckpointError)


def test_a_changed_last_line_is_not_built_upon(path: Path) -> None:
    CheckpointFile(path, mac).append(HEADS, 1)
    path.write_bytes(path.read_bytes().replace(b'"made_ms":1', b'"made_ms":2'))
    with pytest.raises(LedgerUnavailable, match="its MAC does not fit"):
        CheckpointFile(path, mac).append(grown(HEADS, 7), 2)


def test_a_place_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "later" / "ledger.checkpoints"
    file = CheckpointFile(path, mac)
    with pytest.raises(LedgerUnavailable, match=r"can't be written \(No such file or directory\)"):
        file.append(HEADS, 1)
    path.parent.mkdir()
    assert file.append(HEADS, 2) is not None
