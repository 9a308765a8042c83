"""Card numbers are put everywhere, through every verb and format; without --unsafe nothing shows one."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.cards import luhn_digit
from switch import iso8583
from switch.iso8583 import EncodeError, Message, Value, load
from switch.link.framing import framing_named
from tests.tools.kit import run

DIALECTS = iso8583.shipped()


def card(start: str, length: int) -> str:
    """A number as one of this length is issued, with a right check digit and a middle no chance hits."""
    choice = random.Random(length)
    body = start + "".join(str(choice.randrange(1, 10)) for _ in range(length - len(start) - 1))
    return body + luhn_digit(body)


CARDS = {13: card("4", 13), 15: card("37", 15), 16: card("9364", 16), 19: card("62", 19)}
CARD = CARDS[16]
TRACK_2 = f"{CARD}=29121010000012345678"
TRACK_1 = f"B{CARD}^MEMBER/VAFA^29121010000000000000"


def forms_of(number: str) -> list[bytes]:
    """Ways in which the middle of a card number could show: digits, hex of ASCII, hex of EBCDIC; spaced."""
    first, last = (6, 4) if len(number) >= 16 else (2, 2)
    middle = number[first:-last]
    shapes = [middle, middle.encode().hex(), middle.encode("cp500").hex()]
    spaced = [" ".join(shape[at : at + 2] for at in range(0, len(shape), 2)) for shape in shapes[1:]]
    pairs = " ".join(number[at : at + 2] for at in range(0, len(number) - 1, 2))
    odd = number[1:]
    pairs_odd = " ".join(odd[at : at + 2] for at in range(0, len(odd) - 1, 2))
    return [shape.encode() for shape in (*shapes, *spaced, pairs, pairs_odd)]


FORBIDDEN = [form for number in CARDS.values() for form in forms_of(number)]


def assert_clean(said: bytes) -> None:
    flat = said.lower()
    for form in FORBIDDEN:
        assert form not in flat
        assert form.lower() not in flat


def values_for(field: iso8583.Field) -> list[Value]:
    """Card numbers and tracks in every shape this field might take; what doesn't fit is refused by encode."""
    texts = [
        *CARDS.values(),
        TRACK_2,
        TRACK_1,
        f"paid with {CARD} today",
        f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}",
    ]
    size = min(field.length.maximum, LONGEST_RUN)
    texts += [text.ljust(size) for text in texts] + [text.ljust(size, "0") for text in texts]
    texts += [text.rjust(size, "0") for text in CARDS.values()]
    packed = [bytes.fromhex(CARD), b"\x16" + bytes.fromhex(CARD), CARD.encode(), CARD.encode("cp500")]
    packed += [TRACK_2.encode(), TRACK_2.encode("cp500"), bytes.fromhex(TRACK_2.replace("=", "D") + "F")]
    packed += [content.ljust(size, b"\0") for content in packed]
    return [*texts, *packed]


MESSAGES_TRIED = 50  # of each dialect
LONGEST_RUN = 120  # digits in one field: several times the longest card number


def messages_with_cards(dialect: str) -> list[bytes]:
    """One message for every field and every way a card number fits in."""
    known = load(dialect)
    mti = {"1": "1200", "2": "2200"}.get(iso8583.samples(dialect)[0].document["mti"][:1], "0200")
    messages = []
    for number, field in known.dictionary.fields.items():
        for value in values_for(field):
            nested: list[Value] = [value]
            if field.is_composite:
                nested = [{key: value} for key in [*field.children, "7F", "DF01", "5A", "57"]]
            for one in nested:
                try:
                    messages.append(known.encode(Message(mti, {str(number): one})))
                except EncodeError as error:
                    assert_clean(str(error).encode())
    # one of each shape for each field is many: some, the same ones every time
    return random.Random(dialect).sample(messages, min(len(messages), MESSAGES_TRIED))


@pytest.fixture(scope="module", params=DIALECTS)
def laden(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, list[bytes]]:
    dialect: str = request.param
    messages = messages_with_cards(dialect)
    assert len(messages) > 20
    file = tmp_path_factory.mktemp(dialect) / "laden.hex"
    file.write_bytes(b"\n".join(data.hex().encode() for data in messages))
    return dialect, file, messages


@pytest.mark.parametrize("form", ["text", "jsonl"])
@pytest.mark.parametrize(
    "verb",
    [
        "view",
        "validate",
        "redact",
        "diff",
        "doctor",
        "convert --to iso87-ascii",
        "convert --to ebcdic93",
        "convert --to vafa",
    ],
)
def test_no_verb_shows_a_card_number(laden: tuple[str, Path, list[bytes]], verb: str, form: str) -> None:
    dialect, file, _messages = laden
    name, *options = verb.split()
    if name == "diff":
        options = [str(file.with_name("shifted.hex"))]
        lines = file.read_bytes().splitlines()
        file.with_name("shifted.hex").write_bytes(b"\n".join([*lines[1:], lines[0]]))
    if name != "doctor":
        options += ["-d", dialect]
    told = run(name, str(file), *options, "--format", form)
    assert told.code in (0, 1), told.err
    assert_clean(told.raw + told.err.encode())


def test_no_capture_holds_a_card_number(laden: tuple[str, Path, list[bytes]], tmp_path: Path) -> None:
    dialect, file, _messages = laden
    output = tmp_path / "out.pcap"
    told = run("pcap", str(file), "-d", dialect, "-o", str(output))
    assert told.code == 0
    assert_clean(told.raw + told.err.encode())
    capture = output.read_bytes()
    assert_clean(capture)
    assert_clean(capture.hex().encode())
    assert_clean(capture.decode("cp500").encode())


CARD_FIELDS = ("2", "34", "35", "36", "45")


def messages_of_cards(dialect: str) -> list[bytes]:
    """Samples with each card number in each field that is made for one."""
    known = load(dialect)
    messages = []
    for sample in iso8583.samples(dialect):
        message = known.decode(sample.data)
        for number in (path for path in CARD_FIELDS if int(path) in known.dictionary.fields):
            for value in (*CARDS.values(), TRACK_2, TRACK_1, CARD.encode()):
                with contextlib.suppress(EncodeError):
                    messages.append(known.encode(Message(message.mti, {**message.fields, number: value})))
    return random.Random(dialect).sample(messages, min(len(messages), MESSAGES_TRIED))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_broken_message_shows_a_card_number(dialect: str, tmp_path: Path) -> None:
    """Cut, with other fields announced, and read with other dialects."""
    choice = random.Random(dialect)
    broken = []
    for data in messages_of_cards(dialect):
        broken.append(data[: choice.randrange(1, len(data))])
        damaged = bytearray(data)
        damaged[choice.randrange(2, 12)] ^= 1 << choice.randrange(8)
        broken.append(bytes(damaged))
    assert len(broken) > 20
    file = tmp_path / "broken.hex"
    file.write_bytes(b"\n".join(data.hex().encode() for data in broken))
    for other in (dialect, choice.choice(DIALECTS)):
        for verb in ("view", "validate"):
            told = run(verb, str(file), "-d", other, "-i", "hex", "--format", "jsonl")
            assert told.code in (0, 1), told.err
            assert_clean(told.raw + told.err.encode())


@given(
    st.sampled_from(DIALECTS), st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(sorted(CARDS))
)
def test_no_bytes_around_a_card_number_make_a_view_show_it(
    dialect: str, before: bytes, after: bytes, length: int
) -> None:
    """A card number as fields have it, behind bytes that put the dialect out of step."""
    number = CARDS[length]
    counted = f"{length}{number}"
    packed = bytes.fromhex(f"{length}{number}{'f' * (length % 2)}")
    head = iso8583.samples(dialect)[0].data[:20]
    for shape in (counted.encode(), counted.encode("cp500"), packed):
        data = head + before + shape + after
        told = run("view", "-d", dialect, "-i", "hex", given=data.hex().encode())
        assert_clean(told.raw + told.err.encode())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bytes_that_are_no_message_show_no_card_number(dialect: str) -> None:
    for number in CARDS.values():
        for tail in ("", "0" * 40, number, "ABCDEF" * 8):
            text = number + tail
            for data in (text.encode(), text.encode("cp500"), bytes.fromhex(text[: len(text) // 2 * 2])):
                told = run("view", "-d", dialect, "-i", "hex", given=data.hex().encode())
                assert_clean(told.raw + told.err.encode())


@pytest.mark.parametrize(
    "arguments",
    [
        ["view", f"{CARD}.hex"],
        ["view", "-d", CARD],
        ["view", "-d", f"{CARD}.toml"],
        ["view", "-f", CARD],
        ["view", "-f", f"2be+{CARD}"],
        ["diff", f"{CARD}.hex", f"{CARD}.bin"],
        ["convert", "--to", CARD],
        ["sample", CARD],
        ["sample", "vafa", CARD],
        ["doctor", CARD],
        ["send", f"{CARD}:8583"],
        ["send", CARD],
        ["serve", "--rules", f"{CARD}.toml"],
        ["serve", "--framing", CARD],
        ["pcap", "-o", f"/{CARD}/x.pcap"],
        ["pcap", "-o", "x.pcap", "--time", CARD],
        ["pcap", "-o", "x.pcap", "--client", CARD],
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_error_repeats_a_card_number(arguments: list[str], form: str) -> None:
    told = run(*arguments, "--format", form, given=iso8583.samples("vafa")[0].hex.encode())
    assert told.code != 0
    assert told.code != 70
    assert_clean(told.raw + told.err.encode())


def test_no_card_in_text_or_json_input_is_repeated() -> None:
    for given_bytes in (
        CARD.encode() + b"x",
        f"card {CARD}".encode(),
        json.dumps({"mti": CARD, "fields": {}}).encode(),
    ):
        for verb in ("view", "validate", "redact", "doctor"):
            for form in ("auto", "hex", "base64", "binary", "json"):
                told = run(verb, "-i", form, given=given_bytes)
                assert told.code != 70, told.err
                assert_clean(told.raw + told.err.encode())


def test_the_framing_of_a_card_number_is_not_shown() -> None:
    data = framing_named("ascii4").frame(CARD.encode())
    for framing in ("ascii4", "2be", "nac", "vmlh", "hex4"):
        told = run("view", "-f", framing, "-i", "binary", given=data)
        assert_clean(told.raw + told.err.encode())
