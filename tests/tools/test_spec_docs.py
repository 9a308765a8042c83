"""`vafa spec docs`: the committed specification is current, whole in both languages, shows no card data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from switch.iso8583 import Dialect, Mask, Message, dictionary_file, load, samples, shipped
from switch.link.framing import DEFAULT_FRAMING, framing_named
from tests.tools.spec_samples import DATA, EVERYTHING
from tools import spec
from tools.cli import run
from tools.spec_docs import presence_marks, specification
from tools.spec_examples import annotated, leaves
from tools.spec_pages import FORMATS, Code, Heading, Page, Paragraph, Table, html_page, markdown
from tools.spec_words import CLASSES, ENCODINGS, LANGUAGES, MASKS, UNITS, WORDS

VAFA = load("vafa")
EVERY_DIALECT = pytest.mark.parametrize(
    "dialect", [*map(load, shipped()), EVERYTHING], ids=lambda each: each.name
)
EVERY_LANGUAGE = pytest.mark.parametrize("language", LANGUAGES)


def page_of(dialect: Dialect, language: str) -> Page:
    return specification(dialect, DEFAULT_FRAMING, samples(dialect.name), language)


def cells(page: Page) -> list[str]:
    return [cell for block in page.blocks if isinstance(block, Table) for row in block.rows for cell in row]


# ---------------------------------------------------------------- the committed documents


@EVERY_LANGUAGE
def test_the_committed_specification_is_current(language: str) -> None:
    committed = spec.SPECIFICATION / f"vafa.{language}.md"
    assert committed.read_text(encoding="utf-8") == markdown(page_of(VAFA, language)), (
        "the dictionary or its samples have changed: run vafa spec docs"
    )


def test_current_documents_pass_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "docs", "--check"]) == 0
    assert capsys.readouterr().out == "current: vafa.en.md, vafa.fa.md\n"


def test_stale_documents_fail_the_check_and_are_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--output", str(tmp_path), "--format", "html", "--dialect", "iso87-ascii"]
    assert run(["spec", "docs", "--check", *to]) == 1
    assert "stale: iso87-ascii.en.html, iso87-ascii.fa.html" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert run(["spec", "docs", *to]) == 0
    assert run(["spec", "docs", "--check", *to]) == 0
    (tmp_path / "iso87-ascii.fa.html").write_text("edited by hand")
    assert run(["spec", "docs", "--check", *to]) == 1


def test_a_dialect_of_ones_own_is_documented_from_its_file(tmp_path: Path) -> None:
    mine = Path(__file__).with_name("everything.toml")
    assert run(["spec", "docs", "--dialect", str(mine), "--output", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["every-thing.en.md", "every-thing.fa.md"]


def test_a_dialect_that_is_not_there_is_a_matter_of_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "docs", "--dialect", "nowhere.toml"]) == 4
    assert run(["spec", "docs", "--dialect", "vfaa"]) == 4
    assert "no dialect 'vfaa' is shipped" in capsys.readouterr().err


def test_an_unknown_framing_is_a_matter_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "docs", "--framing", "visaa"]) == 2
    assert "no framing 'visaa'" in capsys.readouterr().err


# ---------------------------------------------------------------- what stands in them


@EVERY_DIALECT
@EVERY_LANGUAGE
def test_every_field_message_and_code_is_told(dialect: Dialect, language: str) -> None:
    page, dictionary = page_of(dialect, language), dialect.dictionary
    place = LANGUAGES.index(language)
    told = set(cells(page))
    for field in dictionary.all_fields():
        assert any(cell.startswith(f"`{field.path}") for cell in told), field.path
        assert any(field.title[place].replace("`", "'") in cell for cell in told), field.path
    for rule in dictionary.messages:
        assert rule.title[place] in told
        assert f"`{rule.name}`" in told
        assert set(presence_marks(rule).values()) <= {cell.strip("`") for cell in told}
    for code in (*dictionary.response_codes, *dictionary.reasons, *dictionary.network_codes):
        assert f"`{code}`" in told
    for number, condition in dictionary.conditions.items():
        assert {f"`C{number}`", condition.text[place]} <= told


@EVERY_DIALECT
def test_both_languages_have_the_same_chapters_and_tables(dialect: Dialect) -> None:
    def shape(page: Page) -> list[object]:
        return [
            (type(block), block.anchor if isinstance(block, Heading) else None)
            if not isinstance(block, Table)
            else (len(block.heads), [row[0] for row in block.rows if row[0].startswith("`")])
            for block in page.blocks
        ]

    english, persian = (shape(page_of(dialect, language)) for language in LANGUAGES)
    assert english == persian


def test_the_words_of_both_languages_ask_for_the_same_values() -> None:
    for words in (WORDS, CLASSES, ENCODINGS, MASKS, UNITS):
        for text in words.values():
            assert text.en
            assert text.fa
            assert sorted(re.findall(r"\{\w+\}", text.en)) == sorted(re.findall(r"\{\w+\}", text.fa))


def test_there_are_words_for_all_that_a_dictionary_may_say() -> None:
    assert set(MASKS) == set(Mask)
    assert set(CLASSES) == set(dictionary_file.ENCODINGS)
    assert set(ENCODINGS) >= {name for names in dictionary_file.ENCODINGS.values() for name in names}
    assert set(ENCODINGS) >= set(dictionary_file.PREFIX_ENCODINGS)


def test_the_framing_is_said_in_words() -> None:
    def told(name: str) -> str:
        page = specification(VAFA, framing_named(name), (), "en")
        return " ".join(block.text for block in page.blocks if isinstance(block, Paragraph))

    assert "2 bytes, binary, big-endian. The length counts what follows it, not itself." in told("2be")
    assert "4 bytes, ASCII. The length counts itself too." in told("ascii4-inclusive")
    assert "Behind the length stands `0000`." in told("vmlh")
    assert "A TPDU stands before every message" in told("bcd2+tpdu")


# ---------------------------------------------------------------- examples


@EVERY_DIALECT
def test_the_parts_of_an_example_are_the_whole_message(dialect: Dialect) -> None:
    messages = DATA if dialect is EVERYTHING else tuple(sample.data for sample in samples(dialect.name))
    for data in messages:
        parts = list(annotated(dialect, data))
        assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
        assert (parts[0].start, parts[-1].stop) == (0, len(data))
        for part in parts:
            raw = data[part.start : part.stop].hex().upper()
            assert len(part.hex) == len(raw)
            shown = [
                there for there, real in zip(part.hex, raw, strict=True) if there != "*" and there != real
            ]
            assert shown == []


def test_a_bitmap_within_a_field_names_the_fields_above_128(tmp_path: Path) -> None:
    file = tmp_path / "third.toml"
    file.write_text(
        """
[dialect]
name = "third"
version = 1
extends = "iso87-ascii"
description = { en = "Third", fa = "سوم" }
bitmap = { tertiary_field = 65 }
[fields.129]
name = "far"
title = { en = "Far", fa = "دور" }
class = "ans"
length = { fixed = 2 }
""",
        encoding="utf-8",
    )
    dialect = Dialect.load(file)
    near = dialect.encode(Message("0800", {"11": "000001", "129": "OK"}))
    told = [part.shown for part in annotated(dialect, near) if part.path == "bitmap"]
    assert told == ["11", "129"]
    beside = dialect.encode(Message("0800", {"129": "OK"}))  # both bitmaps in one row of bytes
    assert [part.shown for part in annotated(dialect, beside) if part.path == "bitmap"] == ["129"]


def test_what_a_view_masks_is_masked_in_the_bytes_too() -> None:
    data = DATA[0]
    shown = {part.path: part.hex for part in annotated(EVERYTHING, data)}
    assert shown["2"] == "3136" + "**" * 16  # the length stays readable
    assert shown["55.5A"] == "5A08" + "**" * 8  # so does the tag
    assert shown["120"].endswith("**" * 48)
    assert shown["11"] != ""
    assert "*" not in shown["11"]


@EVERY_DIALECT
@pytest.mark.parametrize("page_format", FORMATS)
def test_no_document_shows_a_card_number_a_pin_block_or_a_mac(dialect: Dialect, page_format: str) -> None:
    hidden: set[str] = set()
    for sample in samples(dialect.name):
        message = dialect.decode(sample.data)
        seen = dict(message.masked())
        for path, start, stop in leaves(dialect, sample.data):
            value = message.get(path)
            if seen.get(path) == "[hidden]" or "*" in seen.get(path, ""):
                hidden.add(sample.data[start:stop].hex().upper())
                hidden.add(value.hex().upper() if isinstance(value, bytes) else str(value).partition("=")[0])
    hidden = {text for text in hidden if len(text) >= 12}
    assert hidden or not samples(dialect.name)
    for language in LANGUAGES:
        text = FORMATS[page_format][1](page_of(dialect, language))
        bare = re.sub(r"[\s`]", "", text).upper()
        for secret in hidden:
            assert secret not in bare


# ---------------------------------------------------------------- pages


class _Tags(HTMLParser):
    """Notes what an HTML page consists of; an end tag that doesn't fit fails."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.starts: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@EVERY_LANGUAGE
def test_an_html_page_stands_alone_and_is_well_formed(language: str) -> None:
    parser = _Tags()
    parser.feed(html_page(page_of(VAFA, language)))
    parser.close()
    assert parser.open == []
    names = {tag for tag, _attributes in parser.starts}
    assert names.isdisjoint({"script", "link", "img", "iframe"})
    root = parser.starts[0]
    assert root == ("html", {"lang": language, "dir": "rtl" if language == "fa" else "ltr"})
    anchors = {attributes["id"] for _tag, attributes in parser.starts if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in parser.starts if tag == "a"}
    assert links
    assert links <= anchors


def test_a_persian_page_in_markdown_is_written_from_right_to_left() -> None:
    lines = markdown(page_of(VAFA, "fa")).splitlines()
    assert lines[2] == '<div dir="rtl" lang="fa">'
    assert lines[-1] == "</div>"


def test_markup_in_a_text_is_shown_not_obeyed() -> None:
    page = Page(
        "t", "en", "o", (Heading(2, "<b>", "x"), Paragraph("1 * 2 <i> `a|b`"), Table(("h",), (("`|`",),)))
    )
    assert "1 \\* 2 \\<i\\> `a\\|b`" in markdown(page)
    assert "| `\\|` |" in markdown(page)
    assert "<p>1 * 2 &lt;i&gt; <code>a|b</code></p>" in html_page(page)
    assert Code("x") not in page.blocks
