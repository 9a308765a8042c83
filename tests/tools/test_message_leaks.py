"""Card numbers are put everywhere, through every verb and format; without --unsafe nothing shows one."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.cards import luhn_digit
from switch import iso8583
from switch.iso8583 import EncodeError, Message, Value, load
from switch.link.framing import LENGTH_HEADERS, framing_named
from tests.tools.kit import run
from tests.whole import WHOLE

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


FORBIDDEN = sorted({form.lower() for number in CARDS.values() for form in forms_of(number)})


def assert_clean(said: bytes) -> None:
    flat = said.lower()
    for form in FORBIDDEN:
        assert form not in flat


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


MESSAGES_TRIED = 100 if WHOLE else 25  # of each dialect
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


# ---------------------------------------------------------------- everything that is no message

SAMPLE_LINES = b"\n".join(sample.hex.encode() for sample in iso8583.samples("iso87-ascii"))
DIALECT_NAMED_LIKE_A_CARD = f"""
[dialect]
name = "n{CARD}"
version = 1
extends = "iso87-ascii"
description = {{ en = "About {CARD}", fa = "{CARD}" }}

[fields.63]
title = {{ en = "Field {CARD}", fa = "{CARD}" }}

[response_codes.00]
title = {{ en = "Yes {CARD}", fa = "{CARD}" }}
"""


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A directory, a file of messages and a dialect that are named like cards."""
    directory = tmp_path / CARD
    directory.mkdir()
    (directory / f"{CARD}.hex").write_bytes(SAMPLE_LINES)
    (directory / f"{CARD}.toml").write_text(DIALECT_NAMED_LIKE_A_CARD, encoding="utf-8")
    return directory


@pytest.mark.parametrize("form", ["text", "jsonl"])
@pytest.mark.parametrize(
    "line",
    [
        "view FILE -d iso87-ascii",
        "view FILE -d DIALECT",
        "view FILE -d vafa",
        "validate FILE -d DIALECT",
        "validate FILE -d vafa",
        "validate FILE -d vafa --skip-broken",
        "redact FILE -d DIALECT",
        "redact FILE -d DIALECT -o OUT",
        "convert FILE -d DIALECT --to vafa",
        "convert FILE -d iso87-ascii --to DIALECT -o OUT",
        "diff FILE FILE -d DIALECT",
        "diff FILE FILE -d DIALECT --right-dialect iso87-ascii --ignore CARD",
        "doctor FILE",
        "doctor FILE --also DIALECT",
        "pcap FILE -d DIALECT -o OUT",
        "pcap FILE -d DIALECT -o OUT/x",
        "redact FILE -d DIALECT -o OUT/x",
        "send 127.0.0.1:1 FILE -d DIALECT --timeout 0.2",
        "send 127.0.0.1:1 FILE -d DIALECT --timeout 0.2 --server-name CARD --tls",
        "send 127.0.0.1:1 FILE -d DIALECT --ca FILE",
        "send 127.0.0.1:1 FILE -d DIALECT --cert CARD --key CARD",
        "send 127.0.0.1:1 FILE -d DIALECT --terminal FILE",
        "send CARD.invalid:1 FILE -d DIALECT",
        "serve --cert CARD",
        "serve --rules FILE",
        "serve --host CARD --port 0",
    ],
)
def test_names_that_hold_a_card_number_are_masked(named: Path, line: str, form: str) -> None:
    names = {"FILE": f"{CARD}.hex", "DIALECT": f"{CARD}.toml", "OUT": f"out {CARD}"}
    places = {word: str(named / name) for word, name in names.items()}
    arguments = [places.get(word, word.replace("CARD", CARD)) for word in line.split(" ")]
    arguments = [word.replace("OUT/x", f"{named}/none/{CARD}") for word in arguments]
    told = run(*arguments, "--format", form)
    assert told.code != 70, told.err
    assert ".toml:" not in told.err, "the dialect is right"
    assert told.raw or told.err
    assert_clean(told.raw + told.err.encode())


def test_environment_is_masked(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (
        ("VAFA_DIALECT", CARD),
        ("VAFA_DIALECT", str(named / f"{CARD}.toml")),
        ("VAFA_ENVIRONMENT", CARD),
        ("XDG_CONFIG_HOME", str(named)),
    ):
        monkeypatch.setenv(variable, value)
        if variable == "XDG_CONFIG_HOME":
            (named / "vafa").mkdir()
            (named / "vafa" / "switch.toml").write_text(f"environment = {CARD}x")
        for arguments in (["view"], ["view", "--format", "json"]):
            told = run(
                *arguments, "--unsafe" if variable == "XDG_CONFIG_HOME" else "--framing=none", given=b"0800"
            )
            assert told.code != 70, told.err
            assert_clean(told.raw + told.err.encode())
        monkeypatch.delenv(variable)


JSON_WITH_CARDS: tuple[Any, ...] = (
    {"mti": CARD, "fields": {}},
    {"mti": "0200", "fields": {CARD: "1"}},
    {"mti": "0200", "fields": {"2": {CARD: CARD}}},
    {"mti": "0200", "fields": {"48": {CARD: {CARD: CARD}}}},
    {"mti": "0200", "fields": {"4": CARD}},
    {"mti": "0200", "fields": {"11": f"{CARD}x"}},
    {"mti": "0200", "fields": {"64": CARD}},
    {"mti": "0200", "fields": [CARD]},
    {"mti": "0200", "fields": {}, CARD: CARD},
    {"mti": "0200", "fields": {}, "dialect": CARD},
    {"mti": "0200", "fields": {}, "schema": CARD},
    {"mti": "0200", "fields": {}, "masked": CARD},
    [CARD],
)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("document", JSON_WITH_CARDS, ids=lambda document: str(document)[:60])
def test_keys_and_values_of_json_are_masked(document: Any, form: str) -> None:
    text = json.dumps(document)
    for given_text in (text, text[:-1], text.replace('"0200"', CARD), f"{text} {CARD}"):
        for arguments in (["view"], ["redact"], ["view", "-i", "json", "--skip-broken"]):
            told = run(*arguments, "--format", form, given=given_text.encode())
            assert told.code != 70, told.err
            assert_clean(told.raw + told.err.encode())


def test_what_a_broken_frame_held_is_not_shown() -> None:
    digits = CARD.encode()
    for name in (*LENGTH_HEADERS, "nac", "ncc", "vmlh", "base24"):
        for data in (
            digits,
            digits * 3,
            digits.hex().encode(),
            bytes.fromhex(CARD),
            bytes.fromhex(CARD) * 20,
        ):
            for form in ("text", "json"):
                told = run("view", "-f", name, "-i", "binary", "--format", form, given=data)
                assert_clean(told.raw + told.err.encode())
                told = run("view", "-f", name, "-i", "hex", "--format", form, given=data.hex().encode())
                assert_clean(told.raw + told.err.encode())


@pytest.mark.parametrize("kept", range(7, 16))
def test_a_card_number_that_a_wrong_length_cuts_in_two_is_not_shown(kept: int) -> None:
    bitmap = f"{1 << 128 - 104 | 1 << 127:032X}"
    for data in (
        f"0200{bitmap}{kept + 4:03}paid{CARD}".encode(),  # 104 of iso87-ascii is text
        f"0200{bitmap}{kept:03}{CARD} today".encode(),
    ):
        told = run("view", "-d", "iso87-ascii", "-i", "binary", given=data)
        assert "104" in told.out
        assert_clean(told.raw + told.err.encode())
