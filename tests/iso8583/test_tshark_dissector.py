"""The generated Wireshark dissectors, run by Debian's tshark, show what our own decode shows.

The dissector is a second implementation of the dictionary in another language: it and the codec are each
other's oracle, good messages and broken ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, load, samples, shipped
from switch.iso8583.message import EMPTY_SECONDARY
from switch.link.framing import DEFAULT_FRAMING, framing_named
from tests.iso8583 import any_dialect
from tests.tools.spec_captures import PORT, Pairs, first, framed, printed, tshark
from tests.tools.spec_samples import DATA, EVERYTHING
from tools.spec_dissector import dissector, item_name, proto_name
from tools.spec_vectors import broken

SHIPPED = [(load(name), tuple(sample.data for sample in samples(name))) for name in shipped()]
EVERY_DIALECT = pytest.mark.parametrize(
    ("dialect", "messages"), [*SHIPPED, (EVERYTHING, DATA)], ids=lambda part: getattr(part, "name", "")
)
TPDU = bytes.fromhex("6000030000")


def dissected(
    directory: Path, dialect: Dialect, segments: list[bytes], framing: str = DEFAULT_FRAMING.name
) -> list[Pairs]:
    """What tshark shows of each packet with the dissector generated for `dialect`."""
    script = directory / f"{dialect.name}.lua"
    script.write_text(dissector(dialect.dictionary, framing_named(framing), [PORT]), encoding="utf-8")
    return tshark(directory, segments, "-X", f"lua_script:{script}", "-J", proto_name(dialect.dictionary))


def ours(message: Message, dialect: Dialect) -> list[tuple[str, str]]:
    """Our decode, named as the dissector names its items: what a person may see of each value, in order."""
    found = []
    for path, text in message.masked():
        field = dialect.dictionary.field_at(path)
        if path == EMPTY_SECONDARY and field is None:
            continue  # a mark of ours that a bitmap without bits was there
        if field is None:
            found.append(("unknown", f"{path}: {text}"))
        elif not field.is_composite:  # an empty group shows nothing
            found.append((item_name(field.path), text))
    return found


def theirs(pairs: Pairs, dialect: Dialect) -> list[tuple[str, str]]:
    """The values tshark shows, in order."""
    prefix = proto_name(dialect.dictionary) + "."
    found = []
    for item, value in pairs:
        name = item.removeprefix(prefix)
        is_value = name.startswith(("de", "header.", "unknown")) and not name.endswith("_tree")
        if item.startswith(prefix) and is_value and value:
            found.append((name, value))
    return found


def without_empty(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """tshark writes nothing where a group or a value is empty."""
    return [pair for pair in found if pair[1]]


@EVERY_DIALECT
def test_every_sample_is_shown_as_we_decode_it(
    tmp_path: Path, dialect: Dialect, messages: tuple[bytes, ...]
) -> None:
    assert messages
    packets = dissected(tmp_path, dialect, [framed(data) for data in messages])
    assert len(packets) == len(messages)
    name = proto_name(dialect.dictionary)
    for data, pairs in zip(messages, packets, strict=True):
        message = dialect.decode(data)
        assert first(pairs, f"{name}.fault.path") is None
        assert theirs(pairs, dialect) == without_empty(ours(message, dialect))
        assert first(pairs, f"{name}.mti") == message.mti


def altered(message: bytes) -> Iterator[bytes]:
    """Six single bytes changed, the same ones every time."""
    source = random.Random(message)
    for _attempt in range(6):
        at = source.randrange(len(message))
        yield message[:at] + bytes((source.randrange(256),)) + message[at + 1 :]


def attempted(dialect: Dialect, data: bytes) -> tuple[Message | None, DecodeError | None]:
    """The message, or as much of it as was decoded and the error."""
    try:
        return dialect.decode(data), None
    except DecodeError as error:
        return error.partial, error


@EVERY_DIALECT
def test_broken_messages_are_refused_at_the_same_place_for_the_same_reason(
    tmp_path: Path, dialect: Dialect, messages: tuple[bytes, ...]
) -> None:
    attempts = [data for message in messages for _rule, data in broken(dialect, message) if data]
    attempts += [data for message in messages for data in altered(message)]
    assert_agreement(tmp_path, dialect, attempts)


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_any_message_of_any_dialect_is_read_alike_whole_and_damaged(tmp_path: Path, name: str) -> None:
    dialect, source = any_dialect.dialect(name), random.Random(8583)
    attempts: list[bytes] = []
    while len(attempts) < 120:
        try:
            data = dialect.encode(any_dialect.message(dialect, source))
        except EncodeError:
            continue  # what was drawn fits no field together
        damaged = bytearray(data)
        for _change in range(source.choice((1, 1, 2, 5))):
            damaged[source.randrange(len(data))] = source.choice((0x00, 0x30, 0xFF, source.randrange(256)))
        attempts += data, bytes(damaged), data[: source.randrange(1, len(data))]
    # the first byte of a TPDU is not the first of a message
    assert_agreement(tmp_path, dialect, [data for data in attempts if data[0] != TPDU[0]])


def assert_agreement(directory: Path, dialect: Dialect, attempts: list[bytes]) -> None:
    """tshark and we find the same values in every attempt, and the same fault where there is one."""
    packets = dissected(directory, dialect, [framed(data) for data in attempts])
    name = proto_name(dialect.dictionary)
    for data, pairs in zip(attempts, packets, strict=True):
        told = tuple(first(pairs, f"{name}.fault.{part}") for part in ("path", "offset", "expected", "got"))
        message, error = attempted(dialect, data)
        if error is None:
            assert told == (None, None, None, None)
        else:
            assert told == (error.path, str(error.offset), error.expected, error.got)
            assert first(pairs, f"{name}.malformed") is not None
        if message is None:  # before the MTI there is no message yet
            assert all(item.startswith("header.") for item, _text in theirs(pairs, dialect))
            continue
        assert theirs(pairs, dialect) == without_empty(ours(message, dialect))


LENIENT = any_dialect.dialect("lenient")


def test_groups_and_repeated_tags_are_labelled_by_their_own_paths(tmp_path: Path) -> None:
    chip = {"9F36": b"\x00\x1c", "9F36#2": b"\x00\x1d"}
    groups = {"1": {"1": "01", "2": "00000250"}, "2": {"1": "02", "2": "00000300"}}
    message = Message("0210", {"54": groups, "55": chip}, LENIENT.dictionary)
    data = LENIENT.encode(message)
    script = tmp_path / "lenient.lua"
    script.write_text(dissector(LENIENT.dictionary, DEFAULT_FRAMING, [PORT]), encoding="utf-8")
    shown = printed(tmp_path, [framed(data)], "-X", f"lua_script:{script}", "-O", "lenient")
    ours = [path for path in LENIENT.decode(data) if path.startswith(("54.", "55."))]
    assert ours == ["54.1.1", "54.1.2", "54.2.1", "54.2.2", "55.9F36", "55.9F36#2"]
    for path in ours:
        assert sum(line.strip().startswith(f"{path} ") for line in shown.splitlines()) == 1, path


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("123FFFF0", ("37", "pad nibble F", "a digit")),
        ("123FFFFA", ("37", "pad nibble F", "nibble A")),
        ("1A3FFFF0", ("34", "digits", "nibble A")),
        ("123F4FFF", ("35", "digits", "nibble F")),
    ],
)
def test_a_pad_and_a_fill_of_the_same_nibble_are_told_apart(
    tmp_path: Path, content: str, fault: tuple[str, ...]
) -> None:
    data = bytes.fromhex("0200") + b"10000000000000000000000000000000" + bytes.fromhex(content)
    with pytest.raises(DecodeError) as caught:
        LENIENT.decode(data)
    error = caught.value
    assert (str(error.offset), error.expected, error.got) == fault
    assert_agreement(tmp_path, LENIENT, [data])


def numbers(seed: int) -> Iterator[str]:
    """Texts full of digits: cards, tracks and near misses."""
    source = random.Random(seed)
    cards = [
        "4111111111111111",
        "5413330089020011",
        "341111111111111",
        "4222222222222",
        "6304000000000000000",
    ]
    joints = ["", " ", "-", "=", "D", "^", "B", "%B", "?", "x", "F"]
    while True:
        pieces = []
        for _piece in range(source.randrange(1, 6)):
            card = source.choice(cards)
            digits = "".join(source.choices("0123456789", k=source.randrange(0, 22)))
            spaced = " ".join(card[at : at + 4] for at in range(0, len(card), 4))
            in_hex = "".join(f"3{digit}" for digit in card)
            pieces += [
                source.choice([card, card[:-1], digits, spaced, in_hex, "2512101"]),
                source.choice(joints),
            ]
        yield "".join(pieces)[:390]


def test_free_text_and_bytes_are_masked_by_the_same_rules(tmp_path: Path) -> None:
    source = numbers(8583)
    texts = [next(source) for _text in range(300)]
    fields = [{"120": text} for text in texts]
    fields += [{"121": text.encode("ascii")} for text in texts[:60]]
    fields += [{"121": text.encode("cp500")} for text in texts[60:120]]
    fields += [
        {"121": bytes.fromhex("".join(filter(str.isdigit, text)) + "0" * 40)[:19]} for text in ["41" * 20]
    ]
    header = {"header": {"1": "ISO", "2": "87"}}
    sent = [EVERYTHING.encode(Message("0800", {**header, **each})) for each in fields]
    packets = dissected(tmp_path, EVERYTHING, [framed(data) for data in sent])
    masked = 0
    for data, pairs in zip(sent, packets, strict=True):
        expected = ours(EVERYTHING.decode(data), EVERYTHING)
        assert theirs(pairs, EVERYTHING) == without_empty(expected)
        masked += any("*" in text or "hidden" in text for _item, text in expected)
    assert masked > 200


def test_no_card_number_of_a_sample_is_shown(tmp_path: Path) -> None:
    packets = dissected(tmp_path, EVERYTHING, [framed(data) for data in DATA])
    for pairs in packets:
        shown = " ".join(value for item, value in pairs if value and item.startswith("every_thing"))
        assert "4111111111111111" not in shown
        assert "5413330089020011" not in shown


# ---------------------------------------------------------------- the line

SIGN_ON = DATA[1]


def messages_in(packets: list[Pairs], name: str = "every_thing") -> list[str]:
    """The MTI of every message shown, packet after packet."""
    return [value for pairs in packets for item, value in pairs if item == f"{name}.mti"]


def test_any_cut_of_the_stream_shows_the_same_messages(tmp_path: Path) -> None:
    stream = b"".join(framed(data) for data in DATA)
    whole = dissected(tmp_path, EVERYTHING, [stream])
    assert messages_in(whole) == ["0200"] * len(DATA)
    shown = theirs([pair for pairs in whole for pair in pairs], EVERYTHING)
    for step in (1, 7, 50, 333):
        cut = [stream[at : at + step] for at in range(0, len(stream), step)]
        packets = dissected(tmp_path, EVERYTHING, cut)
        assert theirs([pair for pairs in packets for pair in pairs], EVERYTHING) == shown


def test_a_tpdu_is_told_apart_and_a_keep_alive_is_no_message(tmp_path: Path) -> None:
    segments = [framed(TPDU + SIGN_ON), framed(b""), framed(SIGN_ON)]
    packets = dissected(tmp_path, EVERYTHING, segments)
    assert [first(pairs, "every_thing.tpdu") for pairs in packets] == ["60:00:03:00:00", None, None]
    assert [first(pairs, "every_thing.keep_alive") is not None for pairs in packets] == [False, True, False]
    assert messages_in(packets) == ["0200", "0200"]


@pytest.mark.parametrize(
    "name",
    [
        "2le",
        "2be-inclusive",
        "4be",
        "ascii4",
        "hex4",
        "ebcdic4",
        "bcd2",
        "vmlh",
        "2be-etx",
        "nac",
        "2be+no-tpdu",
    ],
)
def test_other_framings_are_followed(tmp_path: Path, name: str) -> None:
    framing = framing_named(name)
    stream = b"".join(framing.frame(data) for data in DATA)
    packets = dissected(tmp_path, EVERYTHING, [stream[:9], stream[9:200], stream[200:]], name)
    assert messages_in(packets) == ["0200"] * len(DATA)
    assert not [item for pairs in packets for item, _value in pairs if item.startswith("every_thing.fault")]


def test_a_length_that_is_none_is_told_and_not_taken_for_a_message(tmp_path: Path) -> None:
    packets = dissected(tmp_path, EVERYTHING, [b"0x41" + SIGN_ON], "ascii4")
    assert first(packets[0], "every_thing.fault.path") == "length"
    assert first(packets[0], "every_thing.fault.got") == "bytes 30783431"
    assert messages_in(packets) == []


def test_a_protocol_name_that_wireshark_has_gets_another(tmp_path: Path) -> None:
    text = dissector(EVERYTHING.dictionary, DEFAULT_FRAMING, [PORT]).replace(
        'proto = "every_thing"', 'proto = "http"'
    )
    script = tmp_path / "http.lua"
    script.write_text(text, encoding="utf-8")
    packets = tshark(tmp_path, [framed(SIGN_ON)], "-X", f"lua_script:{script}")
    assert first(packets[0], "http.mti") == "0200"
