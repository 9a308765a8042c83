"""What `vafa spec` makes of a dialect of your own: from the samples beside it, into the current directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from switch import iso8583
from switch.iso8583 import DialectError
from tests.tools.spec_samples import MINE
from tools import spec
from tools.cli import run

SAMPLES = """\
[[sample]]
name = "sign-on"
hex = "0800 0020000000000000 000001"

[[sample]]
name = "answer"
hex = "0810 0020000002000000 000001 3030"
mti = "0810"
[sample.fields]
11 = "000001"
39 = "00"
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dialect file with samples, seen from an empty current directory."""
    file = tmp_path / "dialects" / "mine.toml"
    (file.parent / "samples").mkdir(parents=True)
    file.write_text(MINE, encoding="utf-8")
    (file.parent / "samples" / "mine.toml").write_text(SAMPLES, encoding="utf-8")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return file


def test_the_samples_beside_a_dialect_are_read(mine: Path) -> None:
    first, second = iso8583.samples_beside(mine, "mine")
    dialect = iso8583.Dialect.load(mine)
    assert (first.name, first.document) == ("sign-on", {})
    assert dialect.decode(first.data)["11"] == "000001"
    assert dialect.decode(second.data).to_document(reveal=True) == second.document
    assert iso8583.samples_beside(iso8583.samples_file(mine), "mine") == ()


@pytest.mark.parametrize("name", ["mine", "iso87-ascii"])
def test_vectors_are_made_of_them_into_the_current_directory(
    mine: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(
        MINE.replace('"mine"', f'"{name}"'), encoding="utf-8"
    )  # a shipped name is no shipped dialect
    assert run(["spec", "vectors", str(mine)]) == 0
    assert capsys.readouterr() == (f"wrote {name}.json\n", "")
    vectors = json.loads(Path(f"{name}.json").read_text(encoding="utf-8"))
    assert [vector["name"] for vector in vectors["valid"]] == ["sign-on", "answer"]
    assert vectors["invalid"]
    assert run(["spec", "vectors", str(mine), "--check"]) == 0


def test_documents_show_them_and_stand_in_the_current_directory(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", "docs", str(mine)]) == 0
    assert capsys.readouterr() == ("wrote mine.en.md\nwrote mine.fa.md\n", "")
    assert "sign-on" in Path("mine.en.md").read_text(encoding="utf-8")
    assert not list(spec.SPECIFICATION.glob("mine*"))


@pytest.mark.parametrize("verb", ["docs", "vectors"])
def test_a_dialect_without_samples_is_told_where_they_belong(
    mine: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = iso8583.samples_file(mine)
    place.unlink()
    assert run(["spec", verb, str(mine)]) == 0
    told = capsys.readouterr().err
    assert told == f"warning: {mine} has no sample messages; write them into {place}\n"


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (
            "000001 3030",
            "000001 30",
            "sample 'answer' is no message of mine: 39 at byte 13: expected 2 bytes, got 1",
        ),
        ('39 = "00"', '39 = "01"', "sample 'answer' says other values than its bytes do"),
        ('name = "answer"', 'nmae = "answer"', "sample.nmae: unknown key 'nmae'; did you mean 'name'?"),
        ('"0800 0020', '"0800 002', "write whole bytes in hex digits"),
        ('name = "answer"', 'name = "sign-on"', "sample: 'sign-on' stands twice; give each its own name"),
        ('mti = "0810"\n', "", "sample.mti: 'mti' is missing; add mti = \"0800\""),
        (
            '[[sample]]\nname = "answer"',
            '[[samples]]\nname = "answer"',
            "unknown key 'samples'; did you mean 'sample'?",
        ),
        ('name = "answer"', "name = ", "no TOML"),
    ],
)
def test_a_wrong_sample_is_told(
    mine: Path, good: str, bad: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SAMPLES.count(good) == 1
    place = iso8583.samples_file(mine)
    place.write_text(SAMPLES.replace(good, bad), encoding="utf-8")
    assert run(["spec", "vectors", str(mine)]) == 4
    error = capsys.readouterr().err
    assert told in error
    assert str(place) in error
    assert list(Path().iterdir()) == []


def test_samples_are_tables(mine: Path) -> None:
    iso8583.samples_file(mine).write_text('sample = ["0800"]\n', encoding="utf-8")
    with pytest.raises(DialectError, match="not every item is a table"):
        iso8583.samples_beside(mine, "mine")


HEADER = """
[header.1]
name = "start"
title = { en = "Start", fa = "آغاز" }
"""


@pytest.mark.parametrize(
    ("header", "framing", "is_warned"),
    [
        ('class = "n"\nlength = { fixed = 2 }\nonly = ["60"]', "2be", True),
        ('class = "b"\nencoding = "binary"\nlength = { fixed = 5 }', "bcd2", True),
        ('class = "b"\nencoding = "binary"\nlength = { fixed = 2 }\nonly = ["6000"]', "2be+no-tpdu", False),
        ('class = "b"\nencoding = "binary"\nlength = { fixed = 2 }\nonly = ["6000"]', "2be+tpdu", False),
        ('class = "n"\nlength = { fixed = 2 }\nonly = ["16"]', "2be", False),
        ('class = "a"\nencoding = "ascii"\nlength = { fixed = 3 }\nonly = ["ISO"]', "2be", False),
    ],
)
def test_a_header_that_looks_like_a_tpdu_is_told(
    mine: Path, header: str, framing: str, is_warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(MINE + HEADER + header + "\n", encoding="utf-8")
    assert run(["spec", "dissector", str(mine), "--framing", framing]) == 0
    printed, told = capsys.readouterr()
    assert printed.startswith("-- Generated")
    what = f"the header may begin with 0x60, which framing {framing} takes for a TPDU"
    assert told == (f"warning: {what}; use --framing {framing}+no-tpdu\n" if is_warned else "")
