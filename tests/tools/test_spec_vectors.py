"""The vectors for other languages' codecs: current, whole, and right both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from switch.iso8583 import DecodeError, Message, load, samples, shipped
from tools import spec
from tools.cli import run
from tools.spec_vectors import vectors_text

EVERY_DIALECT = pytest.mark.parametrize("name", shipped())


def committed(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((spec.VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return content


@EVERY_DIALECT
def test_the_committed_vectors_are_current(name: str) -> None:
    text = (spec.VECTORS / f"{name}.json").read_text(encoding="utf-8")
    assert text == vectors_text(load(name), samples(name)), (
        "a dialect or its samples have changed: run vafa spec vectors"
    )


def test_no_file_is_left_of_a_dialect_that_is_gone() -> None:
    assert sorted(file.stem for file in spec.VECTORS.iterdir()) == sorted(shipped())


@EVERY_DIALECT
def test_good_vectors_decode_to_their_message_and_encode_to_their_bytes(name: str) -> None:
    dialect, vectors = load(name), committed(name)
    assert [vector["name"] for vector in vectors["valid"]] == [sample.name for sample in samples(name)]
    for vector in vectors["valid"]:
        data = bytes.fromhex(vector["hex"])
        message = Message.from_document(vector["message"], dialect)
        assert dialect.decode(data) == message
        assert dialect.encode(message) == data


@EVERY_DIALECT
def test_bad_vectors_are_refused_with_their_error(name: str) -> None:
    dialect = load(name)
    for vector in committed(name)["invalid"]:
        with pytest.raises(DecodeError) as caught:
            dialect.decode(bytes.fromhex(vector["hex"]))
        error = {key: getattr(caught.value, key) for key in vector["error"]}
        assert error == vector["error"], vector["name"]


@EVERY_DIALECT
def test_every_field_of_the_samples_is_cut_off_once(name: str) -> None:
    dialect, vectors = load(name), committed(name)
    fields = {number for sample in samples(name) for number in dialect.decode(sample.data).fields}
    cut = {vector["name"].partition(":")[0] for vector in vectors["invalid"] if "cut off" in vector["name"]}
    assert {"mti", "bitmap"} <= cut
    assert {number for number in fields if number.isdecimal()} <= {path.partition(".")[0] for path in cut}
    for vector in vectors["invalid"]:
        path = vector["name"].partition(":")[0]
        if "cut off" in vector["name"]:  # told of the field itself, or of what holds it
            assert path == vector["error"]["path"] or path.startswith(vector["error"]["path"] + ".")


def test_the_names_of_a_files_vectors_are_all_different() -> None:
    for name in shipped():
        names = [vector["name"] for kind in ("valid", "invalid") for vector in committed(name)[kind]]
        assert len(names) == len(set(names))


def test_the_command_checks_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "vectors", "--check"]) == 0
    to = ["--dialect", "vafa", "--output", str(tmp_path)]
    assert run(["spec", "vectors", "--check", *to]) == 1
    assert "stale: vafa.json" in capsys.readouterr().err
    assert run(["spec", "vectors", *to]) == 0
    assert run(["spec", "vectors", "--check", *to]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["vafa.json"]
