"""One slip in a shipped dialect is told as that slip, at its line, and as nothing else.

Each row is one kind of slip; where it happens is drawn from a seed. A slip that a row can't make in a dialect
(no such line) is made in the others, and each row is made in at least one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from switch.iso8583 import Dialect, DialectError, Mistake, shipped
from switch.iso8583.dictionary_file import SHIPPED
from switch.iso8583.dictionary_keys import EVERY_FIELD_KEY

SEEDS = range(1)  # each costs some fifteen seconds; more only says where else it happens
WORDS = ("class", "encoding", "prefix", "mask", "otherwise", "unit", "code_page", "first_bit", "side")


class Slip(NamedTuple):
    """The spoiled lines, where the mistake is (from 1), and what is said of it."""

    lines: list[str]
    line: int
    what: str


Lines = list[str]
Make = Callable[[Lines, random.Random], Slip | None]


def picked(lines: Lines, draw: random.Random, pattern: str) -> tuple[int, re.Match[str]] | None:
    """One of the lines that the pattern fits, as its place from 0."""
    found = [(place, match) for place, line in enumerate(lines) if (match := re.search(pattern, line))]
    return draw.choice(found) if found else None


def replaced(lines: Lines, place: int, line: str, what: str) -> Slip:
    return Slip([*lines[:place], line, *lines[place + 1 :]], place + 1, what)


def substitution(pattern: str, new: Callable[[re.Match[str], random.Random], str], what: str) -> Make:
    """Slips within a line: what the pattern finds is written anew. `what` may hold {old} and {new}."""

    def make(lines: Lines, draw: random.Random) -> Slip | None:
        found = picked(lines, draw, pattern)
        if found is None:
            return None
        place, match = found
        text = new(match, draw)
        line = lines[place][: match.start("it")] + text + lines[place][match.end("it") :]
        return replaced(lines, place, line, what.format(old=match["it"], new=text.strip('"')))

    return make


def mistyped(match: re.Match[str], draw: random.Random) -> str:
    word = match["it"]
    place = draw.randrange(1, len(word))
    slips = [word[:place] + word[place - 1] + word[place:]]
    if len(word) > 4:
        slips.append(word[:place] + word[place + 1 :])
    return draw.choice([slip for slip in slips if slip not in EVERY_FIELD_KEY and slip != word])


def written(text: str) -> Callable[[re.Match[str], random.Random], str]:
    return lambda match, draw: text


def field_around(lines: Lines, place: int) -> int:
    """Where the table that holds a line begins."""
    while not lines[place].startswith("["):
        place -= 1
    return place


def block_at(lines: Lines, start: int) -> int:
    """Where the table that begins at `start` ends."""
    end = start + 1
    while end < len(lines) and not lines[end].startswith("["):
        end += 1
    return end


def is_extended(lines: Lines) -> bool:
    return any(line.startswith("extends") for line in lines)


def second_statement(lines: Lines, draw: random.Random) -> Slip | None:
    found = picked(lines, draw, r"^(?P<it>(?!mti|bitmap)[a-z_]+) = [^\[]*$")
    if found is None:
        return None
    place, match = found
    return Slip(
        [*lines[: place + 1], lines[place], *lines[place + 1 :]], place + 2, f"{match['it']}: stands twice"
    )


def second_table(lines: Lines, draw: random.Random) -> Slip | None:
    found = picked(lines, draw, r"^\[(?P<it>(fields|messages|conditions|response_codes|defaults)\.[^\]]+)\]")
    if found is None:
        return None
    place, match = found
    block = lines[place : block_at(lines, place)]
    return Slip([*lines, *block], len(lines) + 1, f"{match['it'].replace(chr(34), '')}: stands twice")


def missing(key: str) -> Make:
    def make(lines: Lines, draw: random.Random) -> Slip | None:
        found = picked(lines, draw, rf"^{key} = ")
        if found is None or is_extended(lines):
            return None
        place = found[0]
        start = field_around(lines, place)
        return Slip([*lines[:place], *lines[place + 1 :]], start + 1, f"{key!r} is missing")

    return make


def missing_default(lines: Lines, draw: random.Random) -> Slip | None:
    found = [place for place, line in enumerate(lines) if line.startswith(("[defaults.n]", "[defaults.ans]"))]
    if not found or is_extended(lines):
        return None
    start = draw.choice(found)
    place = next(place for place in range(start, len(lines)) if lines[place].startswith("encoding"))
    return Slip([*lines[:place], *lines[place + 1 :]], start + 1, "'encoding' is missing in fields.")


def lost_field(lines: Lines, draw: random.Random) -> Slip | None:
    """A field that messages name is taken out: told where it is named first."""
    named = [
        (place, match[1])
        for place, line in enumerate(lines)
        if line.startswith(("mandatory", "presence", "optional"))
        for match in re.finditer(r'(?<=[ {\["])([0-9]{1,3})(?=" *[,\]]| =)', line)
    ]
    if not named or is_extended(lines):
        return None
    number = draw.choice(named)[1]
    start = lines.index(f"[fields.{number}]") if f"[fields.{number}]" in lines else None
    if start is None or number in ("39", "64"):
        return None
    end = block_at(lines, start)
    while end < len(lines) and lines[end].startswith(f"[fields.{number}."):
        end = block_at(lines, end)
    first = next(place for place, path in named if path == number)
    what = f"'{number}' is no field of this dialect"
    return Slip([*lines[:start], *lines[end:]], first + 1 - (end - start if first > start else 0), what)


def strange_path(lines: Lines, draw: random.Random) -> Slip | None:
    found = picked(lines, draw, r"^(presence = \{|mandatory = \[|optional = \[|one_of = \[\[)(?=.*[\]}]$)")
    if found is None:
        return None
    place, match = found
    more = ' 177 = "M",' if "{" in match[0] else '"177", '
    line = lines[place].replace(match[0], match[0] + more, 1)
    return replaced(lines, place, line, "'177' is no field of this dialect")


def added(text: str, what: str, after: str) -> Make:
    """A line too many in a table: behind a line that `after` fits."""

    def make(lines: Lines, draw: random.Random) -> Slip | None:
        found = picked(lines, draw, after)
        if found is None:
            return None
        place = found[0]
        return Slip([*lines[: place + 1], text, *lines[place + 1 :]], place + 2, what)

    return make


def added_to_field(text: str, what: str, when: str) -> Make:
    """A line too many in a field of one class."""
    inner = added(text, what, when)

    def make(lines: Lines, draw: random.Random) -> Slip | None:
        slip = inner(lines, draw)
        if slip is None:
            return None
        start = field_around(slip.lines, slip.line - 1)
        key = text.partition(" ")[0]
        own = slip.lines[start : block_at(slip.lines, start)]
        is_fit = slip.lines[start].startswith("[fields.") and sum(line.startswith(key) for line in own) == 1
        return slip if is_fit else None

    return make


INLINE = r"^(?:title|length|pad|tlv|mac|text|bitmap) = \{.*[{ ](?P<it>{key}) = "
ROWS: tuple[tuple[str, Make], ...] = (
    (
        "a mistyped key",
        substitution(
            r"^(?P<it>name|title|class|length|mask|description|version|mac|tlv|presence|mandatory|processing_code"
            r"|text|extends|transient|optional|otherwise|starts|absent|pad|remove|bitmap) ?(?==)",
            mistyped,
            "unknown key '{new}'",
        ),
    ),
    ("a mistyped default", substitution(r"^(?P<it>encoding|prefix)(?= =)", mistyped, "unknown key '{new}'")),
    *(
        (f"a mistyped {key}", substitution(INLINE.replace("{key}", key), mistyped, "unknown key '{new}'"))
        for key in ("fixed", "digits", "max", "side", "nibble", "primary", "unit", "tag_bytes")
    ),
    (
        "a title in one language",
        substitution(r"^title = \{ en = \".*\"(?P<it>, fa = \".*\") \}", written(""), "'fa' is missing"),
    ),
    ("a strange key", added("colour = 1", "unknown key 'colour'", r"^(class|mti|version|title) = ")),
    (
        "a text for a table",
        substitution(
            r"^(?:title|length|pad|tlv|mac|text|presence|bitmap) = (?P<it>\{.*\})$",
            written('"x"'),
            "is not a table",
        ),
    ),
    (
        "a number for a text",
        substitution(
            r'^(?:name|class|mask|encoding|prefix|processing_code) = (?P<it>".*")$',
            written("7"),
            "is not a text",
        ),
    ),
    (
        "a text for a list",
        substitution(
            r"^(?:mti|mandatory|optional|one_of|absent|remove) = (?P<it>\[.*\])$",
            written('"x"'),
            "is not a list",
        ),
    ),
    (
        "a number in a list",
        substitution(
            r'^(?:mti|mandatory|optional|absent) = \[(?P<it>"[^"]*")',
            written("7"),
            "not every item is a text",
        ),
    ),
    (
        "a text for a number",
        substitution(
            r"(?:fixed|max|digits|version|primary|bytes) = (?P<it>[0-9]+)",
            written('"6"'),
            "is not a whole number",
        ),
    ),
    (
        "a text for a flag",
        substitution(
            r"(?:transient|required|optional) = (?P<it>true|false)", written('"no"'), "is not true or false"
        ),
    ),
    (
        "an unknown word",
        substitution(rf'^(?:{"|".join(WORDS)}) = "(?P<it>[^"]*)"', written("zzz"), "'zzz' is unknown"),
    ),
    (
        "a mistyped word",
        substitution(rf'^(?:{"|".join(WORDS)}) = "(?P<it>[^"]{{2,}})"', mistyped, "'{new}' is unknown"),
    ),
    (
        "an unknown word inside",
        substitution(r'(?:unit|side|prefix|encoding) = "(?P<it>[^"]*)"', written("zzz"), "'zzz' is unknown"),
    ),
    (
        "a number too small",
        substitution(
            r"(?:fixed|max|digits|bytes|primary|version) = (?P<it>[0-9]+)", written("0"), "0 is out of range"
        ),
    ),
    (
        "a number too great",
        substitution(
            r"(?:fixed|max|digits|bytes|primary|version) = (?P<it>[0-9]+)",
            written("12345678"),
            "12345678 is out of range",
        ),
    ),
    (
        "no name",
        substitution(r'^name = "(?P<it>[^"]*)"', written("Two Words"), "'Two Words' can't stand here"),
    ),
    ("an empty name", substitution(r'^name = "(?P<it>[^"]*)"', written(""), "'' can't stand here")),
    ("no nibble", substitution(r'nibble = "(?P<it>.)"', written("G"), "'G' can't stand here")),
    (
        "a bad processing code",
        substitution(r'^processing_code = "(?P<it>.*)"', written("00"), "'00' can't stand here"),
    ),
    ("a bad MTI", substitution(r'^mti = \["(?P<it>[0-9]{4})"', written("200"), "'200' is no MTI")),
    (
        "a presence that is none",
        substitution(r'^presence = .*[{ ][0-9]+ = "(?P<it>M|O)"', written("X"), "'X' can't stand here"),
    ),
    (
        "a condition that isn't there",
        substitution(
            r'^presence = .*[{ ][0-9]+ = "(?P<it>M|O|C[0-9]+)"', written("C99"), "there is no condition C99"
        ),
    ),
    ("a field that isn't there", strange_path),
    ("a field taken out", lost_field),
    ("a key twice", second_statement),
    ("a table twice", second_table),
    ("no name at all", missing("name")),
    ("no title at all", missing("title")),
    ("no class", missing("class")),
    ("no length", missing("length")),
    ("no MTI", missing("mti")),
    ("no default", missing_default),
    (
        "an impossible value",
        added_to_field('only = ["12A"]', "can't be a value", r'^class = "n"'),
    ),
    (
        "a key of another class",
        added_to_field("repeat = 3", "'repeat' says nothing here", r'^class = "(n|ans|b)"'),
    ),
    (
        "a field of no number",
        substitution(r"^\[fields\.(?P<it>[0-9]+)\]", written("300"), "no field can be number 300"),
    ),
    (
        "a bitmap's bit",
        substitution(r"^\[fields\.(?P<it>1[0-9])\]", written("65"), "no field can be number 65"),
    ),
    (
        "no table",
        substitution(
            r"^\[(?P<it>response_codes|conditions|messages|reasons|network_codes)\.",
            written("colours"),
            "unknown key 'colours'",
        ),
    ),
    (
        "an unknown base",
        substitution(
            r'^extends = "(?P<it>.*)"', written("nothing-near"), "there is no dialect 'nothing-near'"
        ),
    ),
    ("a mistyped base", substitution(r'^extends = "(?P<it>.*)"', mistyped, "there is no dialect '{new}'")),
    (
        "nothing to remove",
        substitution(
            r'"(?P<it>messages\.[a-z_]+)"', written("messages.none"), "'messages.none' is nothing of"
        ),
    ),
    (
        "a text without end",
        substitution(
            r'^(?:name|class|mask|encoding|prefix|processing_code) = ".*(?P<it>")$', written(""), "no TOML: "
        ),
    ),
    (
        "a table without end",
        substitution(
            r"^(?:title|length|pad|text|presence) = \{.*(?P<it>\})$",
            written(""),
            "no TOML: Unclosed inline table",
        ),
    ),
    (
        "a list without end",
        substitution(r"^(?:mti|mandatory|optional|absent) = \[.*(?P<it>\])$", written(""), "no TOML: "),
    ),
    (
        "a text without marks",
        substitution(
            r'^(?:name|class|mask|encoding|prefix) = (?P<it>"[a-z0-9_]*")$',
            written("bare"),
            "no TOML: Invalid value",
        ),
    ),
    (
        "no equals sign",
        substitution(r"^(?:name|title|class|length) (?P<it>=) ", written(":"), "no TOML: Expected '='"),
    ),
    (
        "a header without end",
        substitution(
            r"^\[(?:fields|messages|conditions)\.[^\].]*(?P<it>\])$", written(""), "no TOML: Expected ']'"
        ),
    ),
)


# A slip may take a header away, or the mark that ends a text: what stood under it is out of place then.
FLOOD = 5
MISNAMED = ("a field of no number", "a bitmap's bit", "no table")


def mistakes_of(file: Path) -> tuple[Mistake, ...]:
    try:
        Dialect.load(file)
    except DialectError as error:
        return error.mistakes
    return ()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("row", "make"), [pytest.param(*row, id=row[0]) for row in ROWS])
def test_one_slip_is_one_mistake(tmp_path: Path, row: str, make: Make, seed: int) -> None:
    made = 0
    for name in shipped():
        lines = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        slip = make(lines, random.Random(f"{row} {name} {seed}"))
        if slip is None:
            continue
        made += 1
        file = tmp_path / f"{name}.toml"
        file.write_text("\n".join(slip.lines) + "\n", encoding="utf-8")
        told = mistakes_of(file)
        at_fault = [mistake for mistake in told if mistake.line == slip.line and slip.what in mistake.what]
        assert len(at_fault) == 1, (name, slip.line, slip.what, told)
        # what stands under another name is missing under its own as well
        others = [mistake for mistake in told if mistake not in at_fault]
        assert len(others) <= (row in MISNAMED), (name, slip.line, slip.lines[slip.line - 1], told)
    assert made, "a row that spoils nothing proves nothing"


def test_any_slip_of_the_finger_is_told_near_its_line(tmp_path: Path) -> None:
    """One character more, less or moved, one line less: never another error, never a flood."""
    for name in shipped():
        text = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
        for seed in range(6):
            draw = random.Random(f"{name} {seed}")
            at = draw.randrange(len(text))
            line = text.index("\n", at) + 1 if "\n" in text[at:] else len(text)
            spoiled = draw.choice(
                (
                    text[:at] + text[at + 1 :],
                    text[:at] + draw.choice('x"[]{}=.,#0 \n') + text[at:],
                    text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :],
                    text[: text.rfind("\n", 0, at) + 1] + text[line:],
                )
            )
            file = tmp_path / f"{name}.toml"
            file.write_text(spoiled, encoding="utf-8")
            told = mistakes_of(file)
            assert len(told) <= FLOOD, (name, seed, told)
            assert all(mistake.line for mistake in told), (name, seed, told)
