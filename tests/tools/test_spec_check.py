"""`vafa spec check` and how the verbs of `vafa spec` are told their dialect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from switch.iso8583 import shipped
from switch.iso8583.dictionary_file import SHIPPED
from tests.tools.spec_samples import MINE
from tools.cli import run


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(MINE, encoding="utf-8")
    return file


def test_json_of_a_good_dictionary(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "check", str(mine), "--format", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "schema": "vafa.spec.check/1",
        "file": str(mine),
        "valid": True,
        "dictionary": {"name": "mine", "version": 1, "fields": 126, "messages": 9},
        "mistakes": [],
    }
    assert told.err == ""


def test_json_of_a_bad_dictionary_names_each_mistake_with_its_file(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = tmp_path / "top.toml"
    mine.write_text(MINE + "colour = 1\n", encoding="utf-8")
    top.write_text(
        MINE.replace("iso87-bcd", "mine.toml").replace("version = 1", "version = 0"), encoding="utf-8"
    )
    assert run(["spec", "check", str(top), "--format", "json"]) == 4
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["valid"], document["dictionary"], document["file"]) == (False, None, str(top))
    first, second = document["mistakes"]
    assert first == {
        "file": str(top),
        "line": 3,
        "what": "dialect.version: 0 is out of range",
        "remedy": "write a number from 1 to 9999",
    }
    assert (second["file"], second["line"]) == (str(mine), 6)
    assert second["what"] == "dialect.colour: unknown key 'colour'"
    assert told.err == ""


def test_json_of_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "none.toml"
    assert run(["spec", "check", str(file), "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["mistakes"] == [
        {
            "file": str(file),
            "line": None,
            "what": "No such file or directory",
            "remedy": "name a readable TOML file in UTF-8",
        }
    ]


def test_text_has_a_line_for_each_mistake_as_editors_read_them(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(MINE.replace("version = 1", "version = 0") + "colour = 1\n", encoding="utf-8")
    assert run(["spec", "check", str(mine)]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[0] == f"{mine}:3: dialect.version: 0 is out of range; write a number from 1 to 9999"
    assert lines[1].startswith(
        f"{mine}:6: dialect.colour: unknown key 'colour'; known here: bitmap, code_page, "
    )
    assert lines[2:] == [f"error: {mine}: 2 mistakes"]


@pytest.mark.parametrize("name", shipped())
def test_shipped_dialects_are_checked_by_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "check", name]) == 0
    assert capsys.readouterr().out.startswith(f"{SHIPPED / name}.toml: {name} version ")


VERBS = (
    ("check",),
    ("dissector",),
    ("export", "--to", "json-schema"),
    ("export", "--to", "jpos"),
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_takes_a_file_either_way(
    mine: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", *verb, str(mine)]) == 0
    told = capsys.readouterr().out
    assert run(["spec", *verb, "--dialect", str(mine)]) == 0
    assert capsys.readouterr().out == told
    assert run(["spec", *verb, "vafa"]) == 0
    assert capsys.readouterr().out != told


@pytest.mark.parametrize("verb", ["docs", "vectors"])
def test_verbs_that_write_files_take_a_file_either_way(mine: Path, tmp_path: Path, verb: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(["spec", verb, str(mine), "--output", str(first)]) == 0
    assert run(["spec", verb, "--dialect", str(mine), "--output", str(second)]) == 0
    written = {file.name: file.read_bytes() for file in first.iterdir()}
    assert written
    assert all(name.startswith("mine.") for name in written)
    assert {file.name: file.read_bytes() for file in second.iterdir()} == written


@pytest.mark.parametrize("verb", [*VERBS, ("docs",)], ids=" ".join)
def test_two_dialects_are_one_too_many(
    verb: tuple[str, ...], mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", *verb, "vafa", "--dialect", str(mine)]) == 2
    assert "two dialects are named: vafa and --dialect" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [*VERBS, ("docs",), ("vectors",)], ids=" ".join)
def test_a_name_that_is_none_is_told_what_there_is(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", *verb, "iso87-bdc"]) == 4
    told = capsys.readouterr().err
    assert told.splitlines() == [
        "error: no dialect 'iso87-bdc' is shipped, and there is no such file",
        "try: did you mean iso87-bcd?",
    ]
    assert run(["spec", *verb, "acme"]) == 4
    assert "a file of your own: acme.toml" in capsys.readouterr().err


def test_check_of_nothing_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "check"]) == 2
    assert capsys.readouterr().err == "error: no dictionary is named\ntry: vafa spec check FILE\n"


@pytest.mark.parametrize("verb", [*VERBS[1:], ("docs",), ("vectors",)], ids=" ".join)
def test_a_bad_dictionary_is_told_alike_by_every_verb(
    verb: tuple[str, ...], mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(MINE + "colour = 1\n", encoding="utf-8")
    assert run(["spec", *verb, str(mine)]) == 4
    told = capsys.readouterr().err
    assert f"{mine}:6: dialect.colour: unknown key 'colour'" in told
    assert told.endswith(f"try: vafa spec check {mine}\n")
