"""Many messages with a broken one among them, and the ways in which files of messages are wrong."""

from __future__ import annotations

import base64
import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from switch import iso8583
from switch.link.framing import framing_named
from tests.tools.kit import run, vector
from tools.cli import ExitCode

EARN = vector("earn, swiped, odd track 2")
SIGN_ON = vector("sign-on")

# ---------------------------------------------------------------- broken ones among others

VERBS = ("view", "validate", "redact", "convert --to iso87-ascii")
BROKEN_FILES: tuple[tuple[str, bytes, str], ...] = (
    ("cut", b"\n".join(data.hex().encode() for data in (EARN, EARN[:40], SIGN_ON)), ":2: 35 at byte 33"),
    (
        "no hex",
        b"\n".join((EARN.hex().encode(), b"02xy", SIGN_ON.hex().encode())),
        ":2: character 3 is no hex",
    ),
    (
        "odd",
        b"\n".join((EARN.hex().encode(), b"020", SIGN_ON.hex().encode())),
        ":2: 3 hex digits, expected an",
    ),
    (
        "JSON",
        b'{"mti": "0800", "fields": {"11": "000001"}}{"mti": "0800", "fields": {"11": "1"}}'
        b'{"mti": "0800", "fields": {"11": "000002"}}',
        "#2: 11: expected 6 digits, got 1",
    ),
)


@pytest.mark.parametrize(
    ("content", "fault"), [row[1:] for row in BROKEN_FILES], ids=[row[0] for row in BROKEN_FILES]
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_broken_message_is_left_out_and_named(verb: str, content: bytes, fault: str) -> None:
    told = run(*verb.split(), "--skip-broken", "--format", "jsonl", given=content)
    assert told.code == ExitCode.NEGATIVE
    assert len(told.records) == 2
    (error,) = [json.loads(line) for line in told.err.splitlines()]
    assert error["schema"] == "vafa.message.error/1"
    assert f"standard input{fault}" in error["message"]

    in_words = run(*verb.split(), "--skip-broken", given=content)
    assert in_words.code == ExitCode.NEGATIVE
    assert f"left out: standard input{fault}" in in_words.err


@pytest.mark.parametrize("verb", ["redact", "convert --to iso87-ascii"])
def test_without_it_nothing_is_half_done(verb: str) -> None:
    told = run(*verb.split(), given=BROKEN_FILES[0][1])
    assert (told.code, told.out) == (ExitCode.NEGATIVE, "")
    assert "--skip-broken" in told.err


@pytest.mark.parametrize("verb", VERBS)
def test_whole_messages_need_no_leaving_out(verb: str) -> None:
    told = run(*verb.split(), "--skip-broken", given=EARN.hex().encode())
    assert told.code == ExitCode.OK
    assert "left out" not in told.err


def test_pairs_stay_pairs_when_one_is_broken(tmp_path: Path) -> None:
    left, right = tmp_path / "left.hex", tmp_path / "right.hex"
    left.write_text("\n".join((EARN.hex(), "02xy", SIGN_ON.hex())))
    right.write_text("\n".join((EARN.hex(), EARN.hex(), EARN.hex())))
    told = run("diff", str(left), str(right), "--skip-broken", "--format", "jsonl")
    assert told.code == ExitCode.NEGATIVE
    assert [(one["left"], one["equal"]) for one in told.records] == [
        (f"{left}:1", True),
        (f"{left}:3", False),
    ]
    right.write_text("\n".join((EARN.hex(), EARN.hex(), SIGN_ON.hex())))
    alike = run("diff", str(left), str(right), "--skip-broken")
    assert alike.code == ExitCode.NEGATIVE, "what was left out was not compared"
    assert "left out: " in alike.err


def test_a_capture_keeps_the_times_of_what_is_left(tmp_path: Path) -> None:
    file, whole = tmp_path / "some.pcap", tmp_path / "whole.pcap"
    lines = [EARN.hex(), EARN.hex()[:60], SIGN_ON.hex()]
    told = run("pcap", "-o", str(file), "--skip-broken", given="\n".join(lines).encode())
    assert told.code == ExitCode.NEGATIVE
    assert "2 messages" in told.out
    times = ("--time", "2000-01-01T00:00:00Z", "--time", "2000-01-01T00:00:00.2Z")
    assert run("pcap", "-o", str(whole), *times, given="\n".join(lines[::2]).encode()).code == ExitCode.OK
    assert file.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("verb", ["redact -o", "pcap -o", "convert --to iso87-ascii -o"])
def test_nothing_is_written_when_nothing_is_left(verb: str, tmp_path: Path) -> None:
    file = tmp_path / "out"
    told = run(*verb.split(), str(file), "--skip-broken", given=b"0200\n0800")
    assert told.code == ExitCode.NEGATIVE
    assert not file.exists()
    assert told.err.count("left out: ") == 2


def test_frames_before_a_broken_one_are_kept() -> None:
    cut = framing_named("2be")
    stream = cut.frame(SIGN_ON) + cut.frame(EARN) + b"\x00\x40cut"
    told = run("view", "-f", "2be", "-i", "binary", "--skip-broken", "--format", "jsonl", given=stream)
    assert told.code == ExitCode.NEGATIVE
    assert [one["where"] for one in told.records] == ["standard input#1", "standard input#2"]
    assert "frame 3, framing 2be: it ends inside a frame" in told.err


# ---------------------------------------------------------------- JSON

JSON_FAULTS: tuple[tuple[Any, str, str], ...] = (
    ({"mti": "0200", "fields": {"4": 2500}}, "#1: 4: expected a text, got int", "correct 4 in the JSON"),
    ({"mti": "0200", "fields": {"4": "25"}}, "#1: 4: expected 12 digits, got 2", "correct 4 in the JSON"),
    ({"mti": "0200", "fields": {"48": {"01": "x"}}}, "#1: 48.01: expected", "correct 48.01 in the JSON"),
    ({"mti": "0200"}, "#1: message: expected fields as a JSON object, got nothing", 'write like {"mti": '),
    ({"fields": {}}, "#1: mti: expected 4 digits, got nothing", "correct mti in the JSON"),
    (
        {"mti": "0200", "fields": {"2": "936400******1234"}},
        "#1: 2: expected a value that is not masked",
        "--unsafe",
    ),
)


@pytest.mark.parametrize(("document", "what", "try_next"), JSON_FAULTS)
def test_what_is_wrong_in_a_json_message_is_said_by_path(document: Any, what: str, try_next: str) -> None:
    told = run("view", given=json.dumps(document).encode())
    assert told.code == ExitCode.NEGATIVE
    error, hint = told.err.splitlines()
    assert what in error
    assert try_next in hint
    assert ("masked" in hint) == ("masked" in what)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "line 1, column 2: Expecting property name"),
        ('{"mti": "0800",\n "fields": {"11" "1"}}', "line 2, column 18: Expecting ':' delimiter"),
        ('{"mti": "0800", "fields": {}} x', "line 1, column 31: Expecting value"),
    ],
)
def test_where_json_ends_to_be_json(text: str, place: str) -> None:
    told = run("view", given=text.encode())
    assert told.code == ExitCode.USAGE
    assert f"standard input: no JSON: {place}" in told.err


def test_a_name_given_twice_is_no_message() -> None:
    told = run("view", given=b'{"mti": "0800", "fields": {"11": "000001", "11": "000002"}}')
    assert told.code == ExitCode.NEGATIVE
    assert "every name once" in told.err


def test_messages_in_a_json_list() -> None:
    sign_ons = [{"mti": "0800", "fields": {"11": number}} for number in ("000001", "000002")]
    told = run("view", "--format", "jsonl", given=json.dumps(sign_ons).encode())
    assert told.code == ExitCode.OK
    assert [one["where"] for one in told.records] == ["standard input#1", "standard input#2"]


# ---------------------------------------------------------------- what editors and shells leave behind

LINES = f"{EARN.hex()}\n{SIGN_ON.hex()}\n"


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + LINES.encode(),
        codecs.BOM_UTF16_LE + LINES.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + LINES.replace("\n", "\r\n").encode("utf-16-be"),
        codecs.BOM_UTF8 + base64.b64encode(EARN) + b"\r\n" + base64.b64encode(SIGN_ON) + b"\r\n",
        b"\n\n  " + LINES.replace("\n", "  \n\n").encode(),
    ],
    ids=["plain", "CRLF", "mark", "UTF-16", "UTF-16 BE", "base64", "blanks"],
)
def test_line_ends_and_marks_change_nothing(content: bytes) -> None:
    told = run("view", "--format", "jsonl", given=content)
    assert told.code == ExitCode.OK, told.err
    assert [one["bytes"] for one in told.records] == [len(EARN), len(SIGN_ON)]


def test_json_behind_a_mark() -> None:
    text = VAFA_JSON.encode()
    for content in (codecs.BOM_UTF8 + text, codecs.BOM_UTF16_LE + VAFA_JSON.encode("utf-16-le")):
        assert run("validate", "--no-mac", given=content).code == run("validate", "--no-mac", given=text).code


VAFA_JSON = '{"mti": "0800", "fields": {"11": "000001"}}'


@pytest.mark.parametrize(
    "content", [b"", b" \n\t\r\n", b"# only words\n", codecs.BOM_UTF8, b"[]", b"\x00\x00"]
)
def test_nothing_in_it(content: bytes) -> None:
    told = run("view", "-f", "2be" if content.startswith(b"\0") else "none", given=content)
    assert told.code == ExitCode.USAGE, told.out
    assert "standard input: no message in it" in told.err


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    told = run("view", str(tmp_path))
    assert told.code == ExitCode.USAGE
    assert f"{tmp_path}: Is a directory" in told.err


def test_a_mistyped_digit_is_found_without_naming_the_format() -> None:
    text = EARN.hex()
    for wrong, what in (
        (text[:-1], f"{len(text) - 1} hex digits"),
        (f"{text}\n{text[:9]}x{text[10:]}\n{text}", ":2: "),
    ):
        told = run("view", given=wrong.encode())
        assert told.code == ExitCode.USAGE
        assert what in told.err


@pytest.mark.parametrize("dialect", iso8583.shipped())
def test_text_messages_are_not_taken_for_mistyped_hex(dialect: str) -> None:
    for sample in iso8583.samples(dialect):
        told = run("view", "-d", dialect, "--format", "jsonl", given=sample.data)
        assert told.code == ExitCode.OK
        assert told.records[0]["bytes"] == len(sample.data)


@pytest.mark.parametrize("dialect", ["vafa", "auto"])
def test_what_is_too_long_to_be_a_message_is_told_at_once(dialect: str) -> None:
    told = run("view", "-d", dialect, given=b"33" * 70_000 + b"\n" + SIGN_ON.hex().encode())
    assert (told.code, told.out) == (ExitCode.NEGATIVE, "")
    assert "standard input:1: 70000 bytes are no one message, which has at most 65535" in told.err
    kept = run("view", "-d", dialect, "--skip-broken", given=b"33" * 70_000 + b"\n" + SIGN_ON.hex().encode())
    assert kept.code == ExitCode.NEGATIVE
    assert "standard input:2: 0800" in kept.out


# ---------------------------------------------------------------- no length, but a TPDU

TPDU = bytes.fromhex("6000030000")


def test_a_tpdu_without_a_length_is_read_and_kept() -> None:
    sample = run("sample", "pos-host-1987").out.splitlines()[0]
    given = f"{TPDU.hex()}{sample}".encode()
    told = run(
        "view", "--dialect", "pos-host-1987", "--framing", "none+tpdu", "--format", "jsonl", given=given
    )
    assert told.code == ExitCode.OK, told.err
    assert told.records[0]["tpdu"] == TPDU.hex().upper()
    redacted = run("redact", "--dialect", "pos-host-1987", "--framing", "none+tpdu", given=given)
    assert redacted.out.startswith(TPDU.hex())
    made = run("sample", "pos-host-1987", "--framing", "none+tpdu=6000050000")
    assert made.out.splitlines()[0] == f"6000050000{sample}"
    assert run("view", "--framing", " None", given=EARN.hex().encode()).code == ExitCode.OK


def test_without_the_tpdu_the_place_is_told_and_doctor_finds_it() -> None:
    told = run("view", "--framing", "none+tpdu", given=EARN.hex().encode())
    assert told.code == ExitCode.NEGATIVE
    assert "standard input:1: " in told.err
    assert "begin with 0x02" in told.err
    assert "--framing none" in told.err
    found = run("doctor", "--format", "json", given=(TPDU + EARN).hex().encode())
    assert found.code == ExitCode.OK
    assert {"dialect": "vafa", "framing": "none+tpdu"} in found.document["messages"][0]["best"]
    assert "--framing none+tpdu reads all of it" in run("view", given=(TPDU + EARN).hex().encode()).err


# ---------------------------------------------------------------- captures that are cut


def test_whole_frames_of_a_cut_capture_are_shown_and_doctor_names_the_fit(tmp_path: Path) -> None:
    file = tmp_path / "cut.bin"
    file.write_bytes(run("sample", "iso87-bcd", "-f", "2be", "-O", "binary").raw[:400])
    told = run("view", str(file), "-f", "2be", "-d", "iso87-bcd", "--format", "jsonl")
    assert told.code == ExitCode.NEGATIVE
    assert [one["where"] for one in told.records] == [f"{file}#{number}" for number in (1, 2, 3)]
    assert "frame 4, framing 2be: it ends inside a frame" in told.err
    assert "--skip-broken" in told.err
    found = run("doctor", str(file))
    assert found.code == ExitCode.OK
    assert found.out.splitlines()[0] == f"{file} (binary): iso87-bcd, framing 2be"
    assert "the last frame is cut" in found.out
    refused = run("redact", str(file), "-f", "2be", "-d", "iso87-bcd")
    assert (refused.code, refused.raw) == (ExitCode.NEGATIVE, b"")
    assert "--skip-broken" in refused.err


# ---------------------------------------------------------------- what is wholly hex or JSON


def test_doctor_takes_hex_that_fits_nothing_for_hex() -> None:
    told = run("doctor", "--format", "json", given=b"99" * 40)
    assert told.code == ExitCode.NEGATIVE
    assert told.document["messages"][0]["input_format"] == "hex"


def test_doctor_reads_json_and_tells_what_is_wrong_in_it() -> None:
    fields = {"7": "1121171512", "11": "000001", "70": "301"}
    right = run("doctor", "--format", "json", given=json.dumps({"mti": "0800", "fields": fields}).encode())
    assert right.code == ExitCode.OK
    assert right.document["messages"][0]["input_format"] == "json"
    wrong = json.dumps({"mti": "0800", "fields": fields | {"11": "1"}}).encode()
    told = run("doctor", given=wrong)
    assert told.code == ExitCode.NEGATIVE
    assert "standard input (json): no shipped dialect" in told.out
    assert "11: expected 6 digits, got 1" in told.out
    assert run("doctor", given=b'{"mti": "0800"').code == ExitCode.USAGE


# ---------------------------------------------------------------- samples of one's own


def test_samples_stand_beside_a_dialect_of_your_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[dialect]\nname = "mine"\nversion = 1\nextends = "iso87-ascii"\n'
        'description = { en = "Mine", fa = "مال من" }\n'
    )
    told = run("sample", str(file))
    assert told.code == ExitCode.USAGE
    assert str(tmp_path / "samples" / "mine.toml") in told.err
    assert "[[sample]]" in told.err
    sample = iso8583.samples("iso87-ascii")[0]
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "mine.toml").write_text(f'[[sample]]\nname = "one"\nhex = "{sample.hex}"\n')
    assert run("sample", str(file)).out.strip() == sample.hex.lower()
    assert run("sample", str(file), "--list").out == "one\n"
    (tmp_path / "samples" / "mine.toml").write_text('[[sample]]\nname = "one"\nhex = "0"\n')
    assert run("sample", str(file)).code == ExitCode.CONFIGURATION


def test_an_empty_field_is_not_absent() -> None:
    data = json.dumps({"mti": "1200", "fields": {"43": ""}}).encode()
    told = run("convert", "-d", "ebcdic93", "--to", "iso87-bcd", given=data)
    assert "43 changed: (empty) -> " in told.err
    assert "(absent)" not in told.err


# ---------------------------------------------------------------- dumps


def xxd(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:08x}: {row.hex(' ', -2):<39}  {text}")
    return "\n".join(lines) + "\n"


def hexdump(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{text}|")
    return "\n".join([*lines, f"{len(data):08x}"]) + "\n"


def escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data) + "\n"


@pytest.mark.parametrize("dump", [xxd, hexdump, escaped])
@pytest.mark.parametrize("form", ["auto", "hex"])
def test_dumps_are_read(dump: Any, form: str) -> None:
    for data in (EARN, SIGN_ON):
        expected = run("view", "--unsafe", "--format", "jsonl", given=data.hex().encode()).records[0]
        told = run("view", "-i", form, "--unsafe", "--format", "jsonl", given=dump(data).encode())
        assert told.code == ExitCode.OK, told.err
        assert told.records[0]["parts"] == expected["parts"]
    two = run("validate", "-i", form, "--format", "jsonl", given=(dump(EARN) + dump(SIGN_ON)).encode())
    assert [one["valid"] for one in two.records] == [True, True]


def test_a_dump_with_a_piece_left_out_is_no_message() -> None:
    lines = xxd(EARN).splitlines()
    told = run("view", "-i", "hex", given="\n".join([lines[0], *lines[2:]]).encode())
    assert told.code == ExitCode.USAGE
