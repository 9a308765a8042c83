"""docs/dialects.md: its examples load, and what it says of keys is what the reader knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from switch import iso8583
from switch.iso8583 import Dialect, DialectError, Message, dictionary_keys
from switch.iso8583.characters import CODE_PAGES
from switch.iso8583.dictionary_file import ENCODINGS
from switch.iso8583.masks import Mask
from tests.iso8583.test_dictionary import SMALL
from tools.cli import run

DOCUMENT = Path(__file__).parents[2] / "docs" / "dialects.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
EXAMPLES = {
    name: block
    for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    for name in re.findall(r'^name = "([a-z-]+)"', block, re.MULTILINE)[:1]
}


def example(tmp_path: Path, name: str) -> Dialect:
    file = tmp_path / f"{name}.toml"
    file.write_text(EXAMPLES[name], encoding="utf-8")
    return Dialect.load(file)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_loads(tmp_path: Path, name: str) -> None:
    assert example(tmp_path, name).name == name


def test_the_extended_example(tmp_path: Path) -> None:
    acme = example(tmp_path, "acme")
    message = Message("0200", {"2": "6304000000000000003", "48": {"IN": "42", "ZZ": b"\x00"}})
    data = acme.encode(message)
    assert data.hex() == (
        "0200" + "4000000000010000" + "19" + "6304000000000000003f" + "0013" + b"IN00242ZZ001\x00".hex()
    )
    assert acme.decode(data) == message


def test_the_header_is_put_and_held_to_its_value(tmp_path: Path) -> None:
    dialect = example(tmp_path, "with-header")
    data = b"ISO0250000550800" + b"0020000000000000" + b"000001"
    message = dialect.decode(data)
    assert message["header.2"] == "025000055"
    assert dialect.encode(message) == data
    assert dialect.encode(Message("0800", {"header": {"2": "025000055"}, "11": "000001"})) == data
    with pytest.raises(iso8583.DecodeError, match=r"^header\.1 at byte 0: expected ISO, got another value$"):
        dialect.decode(b"OSI" + data[3:])
    with pytest.raises(iso8583.EncodeError, match=r"^header\.2: expected this part of the header, got none$"):
        dialect.encode(Message("0800", {"11": "000001"}))


def test_paths_into_the_nested_example(tmp_path: Path) -> None:
    dialect = example(tmp_path, "nested")
    message = Message(
        "0210",
        {
            "54": {"1": {"1": "60", "2": "C000000000250"}, "2": {"1": "00", "2": "D000000000001"}},
            "55": {"9F36": b"\x00\x1c", "00": b"\x00"},
            "127": {"25": {"3": "000000000250"}},
        },
    )
    decoded = dialect.decode(dialect.encode(message))
    assert decoded == message
    assert decoded["54.2.2"] == "D000000000001"
    assert decoded["55.9F36"] == b"\x00\x1c"
    assert decoded["127.25.3"] == "000000000250"
    assert dialect.dictionary.title_of("54.2.2") == "Amount"


def test_the_rules_of_the_example(tmp_path: Path) -> None:
    dialect = example(tmp_path, "with-rules")
    fields = {"3": "000000", "4": "000000002500", "11": "000001", "22": "051", "41": "10000001"}
    problems = dialect.check(Message("0200", fields))
    assert [(problem.path, problem.what) for problem in problems] == [
        ("55", "missing, condition C3: the chip was read")
    ]
    problems = dialect.check(Message("0200", {**fields, "22": "801", "55": {}}))
    assert [(problem.path, problem.what) for problem in problems] == [
        ("2", "missing, condition C4: typed in, or a fallback"),
        ("55", "not allowed without condition C3: the chip was read"),
    ]
    assert dialect.name_of(Message("0200", fields)) == "purchase"


def test_the_mistakes_shown_are_those_that_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    rule = '[messages.%s]\nmti = ["%s"]\ntitle = { en = "a", fa = "آ" }\nmandatory = ["77"]\n'
    text = SMALL.replace(
        'class = "n"\nencoding = "bcd"\nlength = { fixed = 6, unit = "digits" }',
        'class = "num"\nencoding = "bcd"\n\nlength = 6',
    )
    text = text.replace('mandatory = ["11"]', 'mandatory = ["11", "77"]')
    file.write_text(text + rule % ("a", "0800") + rule % ("b", "0820"), encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    shown = [line for line in TEXT.splitlines() if line.startswith("mine.toml:")]
    told = [f"mine.toml:{line}: {what}; {remedy}" for line, what, remedy in caught.value.mistakes]
    assert [_without_lines(line) for line in told] == [_without_lines(line) for line in shown]


def _without_lines(line: str) -> str:
    """The file shown in the document has other lines."""
    return re.sub(r"(?<=mine\.toml:)[0-9]+|(?<=on line )[0-9, ]+", "", line)


def test_the_document_of_a_check_is_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(EXAMPLES["acme"].replace("version = 1", "version = 0"), encoding="utf-8")
    assert run(["spec", "check", str(file), "--format", "json"]) == 4
    shown = TEXT.split("```json\n")[1].split("```")[0]
    assert capsys.readouterr().out.replace(str(file), "mine.toml") == shown


@pytest.mark.parametrize("key", sorted({key for table in dictionary_keys.EVERY_TABLE for key in table}))
def test_every_key_of_the_format_is_explained(key: str) -> None:
    assert f"`{key}" in TEXT or f"[{key}." in TEXT or f"{key} = " in TEXT


@pytest.mark.parametrize("word", [*ENCODINGS, *CODE_PAGES, *Mask, *iso8583.shipped()])
def test_every_word_of_the_format_is_explained(word: str) -> None:
    assert f"`{word}`" in TEXT
