"""What each verb of `vafa message` finds, prints and ends with, on every shipped dialect."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from switch import iso8583
from switch.iso8583 import Dialect, Message, Sample, Value, load
from switch.link.framing import LENGTH_HEADERS, framing_named
from tests.tools.kit import Told, run, vector
from tests.tools.test_message_bytes import assert_covered
from tools.cli import ExitCode

DIALECTS = iso8583.shipped()
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS)
SAMPLES = [(dialect, sample) for dialect in DIALECTS for sample in iso8583.samples(dialect)]
EVERY_SAMPLE = pytest.mark.parametrize(
    ("dialect", "sample"), SAMPLES, ids=[f"{dialect}: {sample.name}" for dialect, sample in SAMPLES]
)
VAFA = load("vafa")
EARN = vector("earn, swiped, odd track 2")


def lines_of(dialect: str) -> bytes:
    return b"\n".join(sample.hex.encode() for sample in iso8583.samples(dialect))


def view_of(data: bytes, *options: str) -> Any:
    return run("view", "--format", "jsonl", *options, given=data.hex().encode()).records[0]


# ---------------------------------------------------------------- view


@EVERY_SAMPLE
def test_view_covers_every_byte_once(dialect: str, sample: Sample) -> None:
    seen = view_of(sample.data, "-d", dialect)
    assert seen["schema"] == "vafa.message.view/1"
    assert (seen["valid"], seen["masked"], seen["error"], seen["rest"]) == (True, True, None, "")
    assert_covered(sample.data, seen["parts"])
    message = load(dialect).decode(sample.data)
    shown = {part["path"]: part["value"] for part in seen["parts"] if part["value"]}
    for path, value in message.masked():
        assert value == "" or shown[path] == value


@EVERY_SAMPLE
def test_view_shows_the_bytes_themselves_when_asked(dialect: str, sample: Sample) -> None:
    seen = view_of(sample.data, "-d", dialect, "--unsafe")
    assert seen["masked"] is False
    assert b"".join(bytes.fromhex(part["raw"]) for part in seen["parts"]) == sample.data
    message = load(dialect).decode(sample.data)
    shown = {part["path"]: part["value"] for part in seen["parts"]}
    for path, value in message.leaves():
        if isinstance(value, str):
            assert shown[path] == value


def test_view_says_what_codes_mean() -> None:
    meanings = {part["path"]: part["meaning"] for part in view_of(EARN)["parts"]}
    assert meanings["mti"] == "1987, financial, request, acquirer"
    assert meanings["3"] == "deposit, from default to points"
    assert meanings["4"] == "2 500 000 IRR"
    assert meanings["12"] == "20:45:14"
    assert meanings["22"] == "magnetic stripe, PIN possible"
    assert meanings["49"] == "IRR"
    answer = {part["path"]: part["meaning"] for part in view_of(vector("earn answer"))["parts"]}
    assert answer["39"] == "Approved"
    assert answer["48.04"] == "1 point for every 10 000 rial"
    balances = iso8583.samples("iso2003-ascii")[3].data
    told = {part["path"]: part["meaning"] for part in view_of(balances, "-d", "iso2003-ascii")["parts"]}
    assert (told["4.1"], told["4.3"], told["54.1.5"]) == ("IRR", "2 500 IRR", "123 400 IRR")
    sign_on = {part["path"]: part["meaning"] for part in view_of(vector("sign-on"))["parts"]}
    assert sign_on["70"] == "Sign-on"


@pytest.mark.parametrize("size", range(len(EARN)))
def test_view_of_a_cut_message_shows_what_decoded_and_where_it_broke(size: int) -> None:
    told = run("view", "--format", "jsonl", "-i", "binary", given=EARN[:size] or b"\n")
    if size == 0:
        return
    assert told.code == ExitCode.NEGATIVE
    (seen,) = told.records
    assert seen["valid"] is False
    assert 0 <= seen["error"]["offset"] <= size
    assert all(part["stop"] <= size for part in seen["parts"])
    if seen["error"]["path"] not in ("mti", "bitmap"):
        assert seen["parts"][-1]["stop"] == seen["error"]["offset"] or seen["rest"]


def test_view_of_a_broken_message_in_words() -> None:
    told = run("view", given=EARN.hex()[:90].encode())
    assert told.code == ExitCode.NEGATIVE
    assert "fault: 35 at byte 33: expected 19 bytes, got 12; answer with DE 39 = 30" in told.out
    assert "rest: 13 bytes not decoded (--unsafe shows them)" in told.out
    assert "try: vafa message doctor" in told.err


def test_view_names_the_dialect_that_would_have_fitted() -> None:
    sample = iso8583.samples("iso93-ascii")[0]
    told = run("view", given=sample.hex.encode())
    assert told.code == ExitCode.NEGATIVE
    assert "try: --dialect iso93-ascii reads all of it" in told.err


def test_auto_takes_the_dialect_that_fits_best() -> None:
    for dialect in ("ebcdic93", "iso2003-ascii", "vafa"):
        told = run("view", "--dialect", "auto", "--format", "json", given=lines_of(dialect))
        assert told.code == ExitCode.OK
        assert {one["dialect"] for one in told.document["messages"]} == {dialect}


# ---------------------------------------------------------------- input


def written_in(form: str, data: bytes) -> bytes:
    return {
        "hex": data.hex().encode(),
        "upper": data.hex().upper().encode(),
        "spaced": data.hex(" ").encode(),
        "colons": data.hex(":").encode(),
        "0x": b"0x" + data.hex().encode(),
        "commented": b"# captured today\n\n" + data.hex().encode() + b"  # earn\n",
        "wrapped": b"\n".join(data.hex()[at : at + 60].encode() for at in range(0, len(data) * 2, 60)),
        "base64": base64.b64encode(data),
        "base64 wrapped": base64.encodebytes(data),
        "binary": data,
    }[form]


FORMS = (
    "hex",
    "upper",
    "spaced",
    "colons",
    "0x",
    "commented",
    "wrapped",
    "base64",
    "base64 wrapped",
    "binary",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dialect", ["vafa", "iso87-ascii", "ebcdic93"])
def test_auto_reads_every_way_to_write_a_message(dialect: str, form: str) -> None:
    for sample in iso8583.samples(dialect):
        told = run("view", "-d", dialect, "--format", "jsonl", given=written_in(form, sample.data))
        assert told.code == ExitCode.OK, sample.name
        assert [one["bytes"] for one in told.records] == [len(sample.data)]


def test_a_text_message_with_an_editors_line_end() -> None:
    sample = iso8583.samples("iso87-ascii")[0]
    for end in (b"\n", b"\r\n"):
        assert run("validate", "-d", "iso87-ascii", given=sample.data + end).code == ExitCode.OK


def test_json_that_a_message_wrote_is_read_back() -> None:
    message = VAFA.decode(EARN)
    told = run("view", "--format", "jsonl", "--unsafe", given=message.to_json(reveal=True).encode())
    assert "".join(part["raw"].replace(" ", "") for part in told.records[0]["parts"]) == EARN.hex().upper()
    masked = run("view", given=message.to_json().encode())
    assert masked.code == ExitCode.NEGATIVE
    assert "masked" in masked.err


@pytest.mark.parametrize("framing", [*LENGTH_HEADERS, "nac", "vmlh+tpdu=6000030001"])
def test_a_framed_stream_of_many_messages(framing: str, tmp_path: Path) -> None:
    samples = iso8583.samples("iso87-bcd")
    cut = framing_named(framing)
    file = tmp_path / "trace.bin"
    file.write_bytes(b"".join(cut.frame(sample.data) + cut.keep_alive() for sample in samples))
    told = run("view", str(file), "-f", framing, "-d", "iso87-bcd", "--format", "jsonl")
    assert told.code == ExitCode.OK
    assert [one["bytes"] for one in told.records] == [len(sample.data) for sample in samples]
    assert told.records[0]["where"] == f"{file}#1"
    assert {one["tpdu"] for one in told.records} == {None if cut.addresses is None else cut.addresses.hex()}


REFUSALS: tuple[tuple[list[str], bytes, ExitCode, str], ...] = (
    (["view", "none.hex"], b"", ExitCode.USAGE, "none.hex: No such file"),
    (["view"], b"", ExitCode.USAGE, "standard input: no message in it"),
    (["view", "-i", "hex"], b"02zz", ExitCode.USAGE, "standard input:1: character 3 is no hex digit"),
    (
        ["view", "-i", "hex"],
        b"0200\n020",
        ExitCode.USAGE,
        "standard input:2: 3 hex digits, expected an even number",
    ),
    (["view", "-i", "base64"], b"02", ExitCode.USAGE, "standard input:1: no base64"),
    (["view", "-i", "json"], b"{", ExitCode.USAGE, "no JSON: line 1, column 2: Expecting property"),
    (["view", "-d", "mine"], b"0200", ExitCode.CONFIGURATION, "no dialect 'mine'"),
    (["view", "-d", "mine.toml"], b"0200", ExitCode.CONFIGURATION, "mine.toml: No such file"),
    (["view", "-f", "3x"], b"0200", ExitCode.USAGE, "no framing '3x'"),
    (["view", "-f", "2be"], b"00ff02", ExitCode.NEGATIVE, "frame 1, framing 2be: it ends inside a frame"),
    (["view", "-f", "ascii4"], b"0200", ExitCode.NEGATIVE, "frame 1, framing ascii4"),
    (["diff", "-"], b"0200", ExitCode.USAGE, "1 messages, expected 2 to compare"),
    (["redact"], b"0200", ExitCode.NEGATIVE, "standard input:1: bitmap at byte 2: expected 8 bytes, got 0"),
    (["convert", "--to", "none"], b"0200", ExitCode.CONFIGURATION, "no dialect 'none'"),
    (["sample", "none"], b"", ExitCode.USAGE, "no dialect 'none' is shipped"),
    (["sample", "vafa", "none"], b"", ExitCode.USAGE, "vafa has no sample 'none'"),
    (["pcap", "-o", "x.pcap"], b"0200", ExitCode.NEGATIVE, "bitmap at byte 2"),
    (["frobnicate"], b"", ExitCode.USAGE, "frobnicate"),
    (["view", "--format", "xml"], b"", ExitCode.USAGE, "xml"),
)


@pytest.mark.parametrize(("arguments", "given", "code", "words"), REFUSALS, ids=lambda value: str(value)[:40])
def test_what_is_refused_and_how(arguments: list[str], given: bytes, code: ExitCode, words: str) -> None:
    told = run(*arguments, given=given)
    assert told.code == code
    assert words in told.err
    assert told.out == ""


def test_an_error_is_json_where_json_was_asked_for() -> None:
    told = run("view", "--format", "json", "none.hex")
    assert json.loads(told.err) == {
        "schema": "vafa.message.error/1",
        "code": 2,
        "message": "none.hex: No such file or directory",
        "hint": "name a file that can be read, or - for standard input",
    }


# ---------------------------------------------------------------- production

PRODUCTION = 'environment = "production"\n'


@pytest.mark.parametrize(
    ("variable", "file", "text", "refused"),
    [
        ("production", None, "", True),
        ("Production ", None, "", True),
        ("test", None, "", False),
        ("test", "switch.toml", PRODUCTION, True),
        (None, "switch.toml", PRODUCTION, True),
        (None, "data/switch.toml", PRODUCTION, True),
        (None, "data/switch.toml", 'environment = "test"\n', False),
        (None, "switch.toml", "environment = \n", True),
        (None, None, "", False),
    ],
)
def test_unsafe_is_refused_in_production(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    file: str | None,
    text: str,
    refused: bool,
) -> None:
    if file is not None:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "VAFA_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv("VAFA_ENVIRONMENT", variable)
    told = run("view", "--unsafe", given=EARN.hex().encode())
    assert told.code == (ExitCode.CONFIGURATION if refused else ExitCode.OK)
    assert ("--unsafe is refused" in told.err) == refused
    assert (b"9364001234567890" in told.raw) == (not refused)
    assert run("view", given=EARN.hex().encode()).code == ExitCode.OK


# ---------------------------------------------------------------- diff, redact


def changed(data: bytes, **fields: Value) -> bytes:
    message = VAFA.decode(data)
    return VAFA.encode(
        Message(message.mti, message.fields | {name[1:]: value for name, value in fields.items()})
    )


def compare(one: bytes, two: bytes, *options: str) -> Told:
    return run(
        "diff", "-", "--format", "jsonl", *options, given=one.hex().encode() + b"\n" + two.hex().encode()
    )


def test_messages_that_are_the_same() -> None:
    told = compare(EARN, EARN)
    assert told.code == ExitCode.OK
    assert (told.records[0]["equal"], told.records[0]["differences"]) == (True, [])


def test_every_difference_is_named() -> None:
    other = changed(EARN, f4="000000000100", f62="till 7", f48={"01": "000000000250"})
    told = compare(EARN, other)
    assert told.code == ExitCode.NEGATIVE
    found = {one["path"]: (one["left"], one["right"]) for one in told.records[0]["differences"]}
    assert found == {
        "4": ("000002500000", "000000000100"),
        "48.01": ("", "000000000250"),
        "62": ("", "till 7"),
    }
    assert compare(EARN, other, "--ignore", "4,48,62").code == ExitCode.OK
    assert compare(EARN, other, "--ignore", "4,48").code == ExitCode.NEGATIVE


def test_what_is_ignored_is_ignored_with_all_its_parts() -> None:
    message = VAFA.decode(vector("earn answer"))
    other = Message(message.mti, {**message.fields, "48": {"01": "000000000251", "02": "000000000500"}})
    lines = b"\n".join(VAFA.encode(one).hex().encode() for one in (message, other))
    expected: dict[str, set[str]] = {
        "": {"48.01", "48.04", "48.05"},
        "48": set(),
        "48.01": {"48.04", "48.05"},
        "48.04,48.05": {"48.01"},
    }
    for ignored, paths in expected.items():
        told = run("diff", "-", "--ignore", ignored, "--format", "jsonl", given=lines)
        assert {one["path"] for one in told.records[0]["differences"]} == paths


def test_a_difference_behind_the_mask_is_told_not_shown() -> None:
    other = changed(EARN, f35="9364009999997890=29121010000012345678")
    (one,) = compare(EARN, other).records[0]["differences"]
    assert one["left"] == "936400******7890=..."
    assert one["right"] == "936400******7890=... (differs where it is masked)"


def test_messages_of_two_dialects_are_compared_by_field(tmp_path: Path) -> None:
    message = load("iso87-ascii").decode(iso8583.samples("iso87-ascii")[0].data)
    one, two = tmp_path / "one.hex", tmp_path / "two.hex"
    one.write_text(load("iso87-ascii").encode(message).hex())
    two.write_text(load("iso87-bcd").encode(message).hex())
    assert (
        run("diff", str(one), str(two), "-d", "iso87-ascii", "--right-dialect", "iso87-bcd").code
        == ExitCode.OK
    )


@EVERY_SAMPLE
def test_what_is_redacted_stays_valid_and_keeps_its_length(dialect: str, sample: Sample) -> None:
    known = load(dialect)
    told = run("redact", "-d", dialect, "--format", "jsonl", given=sample.hex.encode())
    assert told.code == ExitCode.OK
    made = bytes.fromhex(told.records[0]["message"])
    assert len(made) == len(sample.data)
    before, after = known.decode(sample.data), known.decode(made)
    assert known.check(after) == known.check(before)
    assert list(after) == list(before)
    changed_paths = {change["path"] for change in told.records[0]["changes"]}
    for path, value in before.leaves():
        assert (after[path] != value) == (path in changed_paths)
    card, was = after.get("2"), before.get("2")
    if isinstance(card, str) and isinstance(was, str):
        assert card != was
        assert iso8583.mask_card_number(card) == iso8583.mask_card_number(was)


# ---------------------------------------------------------------- convert


def convert(source: str, target: str, data: bytes, *options: str) -> Any:
    arguments = ("-d", source, "--to", target, "--format", "jsonl", "--unsafe", "--year", "2026", *options)
    return run("convert", *arguments, given=data.hex().encode()).records[0]


@pytest.mark.parametrize(
    "pair", [("iso87-ascii", "iso87-bcd"), ("iso93-ascii", "iso93-bcd"), ("iso93-bcd", "ebcdic93")]
)
def test_between_encodings_of_one_version_nothing_is_lost(pair: tuple[str, str]) -> None:
    for source, target in (pair, pair[::-1]):
        for sample in iso8583.samples(source):
            made = convert(source, target, sample.data)
            lost = {note["path"] for note in made["notes"] if note["outcome"] == "lost"}
            assert lost <= {"64", "128"}, sample.name
            here, there = (
                load(source).decode(sample.data),
                load(target).decode(bytes.fromhex(made["message"])),
            )
            assert there.mti == here.mti
            assert {**there.fields} == {path: here.fields[path] for path in here.fields if path not in lost}


def test_between_versions_everything_is_accounted_for() -> None:
    for source in DIALECTS:
        for target in DIALECTS:
            for sample in iso8583.samples(source):
                made = convert(source, target, sample.data)
                assert made["refused"] == "", (source, target, sample.name)
                here, there = (
                    load(source).decode(sample.data),
                    load(target).decode(bytes.fromhex(made["message"])),
                )
                told = {note["path"].partition(".")[0] for note in made["notes"]}
                for path in {*here.fields, *there.fields}:
                    if here.fields.get(path) != there.fields.get(path):
                        assert path in told, (source, target, sample.name, path)


ASCII_87 = load("iso87-ascii")
PURCHASE: dict[str, Value] = {
    "2": "9364001234567898",
    "3": "000000",
    "4": "000000012345",
    "11": "000123",
    "12": "204512",
    "13": "1121",
    "22": "012",
    "39": "51",
    "41": "10000001",
    "49": "364",
}


def test_the_versions_write_one_thing_differently() -> None:
    data = ASCII_87.encode(Message("0210", PURCHASE))
    made = convert("iso87-ascii", "iso93-ascii", data)
    there = load("iso93-ascii").decode(bytes.fromhex(made["message"]))
    assert (there.mti, there["12"], there["39"], "13" in there, "22" in there) == (
        "1210",
        "261121204512",
        "116",
        False,
        False,
    )
    outcomes = {note["path"]: note["outcome"] for note in made["notes"]}
    assert outcomes == {"mti": "changed", "12": "changed", "13": "moved", "39": "changed", "22": "lost"}
    made = convert("iso87-ascii", "iso2003-ascii", data)
    there = load("iso2003-ascii").decode(bytes.fromhex(made["message"]))
    assert (there.mti, there["12"], there["39"], there["4.1"], there["4.2"], there["4.3"]) == (
        "2210",
        "20261121204512",
        "1016",
        "364",
        "0",
        "000000012345",
    )
    back = convert("iso2003-ascii", "iso87-ascii", bytes.fromhex(made["message"]))
    again = ASCII_87.decode(bytes.fromhex(back["message"]))
    assert {**again.fields} == {path: value for path, value in PURCHASE.items() if path != "22"}


def test_strict_turns_a_loss_into_a_no() -> None:
    data = ASCII_87.encode(Message("0210", PURCHASE)).hex().encode()
    arguments = ("convert", "-d", "iso87-ascii", "--to", "iso93-ascii")
    assert run(*arguments, given=data).code == ExitCode.OK
    assert run(*arguments, "--strict", given=data).code == ExitCode.NEGATIVE
    assert "22 lost: 012 (22 is another thing there: " in run(*arguments, given=data).err


# ---------------------------------------------------------------- validate, doctor, sample


@EVERY_DIALECT
def test_samples_are_valid_and_validate_says_so(dialect: str) -> None:
    told = run("validate", "-d", dialect, "--format", "jsonl", given=lines_of(dialect))
    assert told.code == ExitCode.OK
    assert all(one["valid"] and one["problems"] == [] for one in told.records)
    assert len(told.records) == len(iso8583.samples(dialect))


def test_every_problem_is_named() -> None:
    message = VAFA.decode(EARN)
    fields = {path: value for path, value in message.fields.items() if path not in ("11", "49", "64")}
    data = VAFA.encode(Message("0200", fields | {"52": bytes(16)})).hex().encode()
    told = run("validate", given=data)
    assert told.code == ExitCode.NEGATIVE
    assert [line.split(": ", 1)[1] for line in told.out.splitlines()] == [
        "11: mandatory, missing (DE 39 = 30)",
        "49: mandatory, missing (DE 39 = 30)",
        "52: not part of: Earn points (DE 39 = 30)",
        "64: the MAC is missing (DE 39 = 30)",
    ]
    assert "64" not in run("validate", "--no-mac", given=data).out
    broken = run("validate", "--format", "jsonl", given=EARN[:-1].hex().encode())
    assert broken.records[0]["problems"] == [
        {"path": "64", "offset": 96, "what": "expected 8 bytes, got 7", "response_code": "30"}
    ]


@EVERY_DIALECT
@pytest.mark.parametrize("framing", ["none", "2be", "2le-inclusive", "ascii4", "bcd2+tpdu", "vmlh", "hex4"])
def test_doctor_finds_dialect_and_framing(dialect: str, framing: str) -> None:
    cut = None if framing == "none" else framing_named(framing)
    for sample in iso8583.samples(dialect)[:3]:
        data = sample.data if cut is None else cut.frame(sample.data) * 2
        told = run("doctor", "--format", "json", given=data)
        assert told.code == ExitCode.OK
        assert {"dialect": dialect, "framing": framing} in told.document["messages"][0]["best"], sample.name


def test_doctor_explains_what_does_not_fit() -> None:
    sample = iso8583.samples("iso93-ascii")[0]
    told = run("doctor", given=framing_named("ascii4").frame(sample.data))
    assert told.code == ExitCode.OK
    first, *rest = told.out.splitlines()
    assert first == "standard input (binary): iso93-ascii, framing ascii4"
    assert any("  vafa  " in line and "expected" in line for line in rest)
    assert any("2be  " in line and "longer than what is there" in line for line in rest)
    assert rest[-1].startswith("try: vafa message view - --dialect iso93-ascii --framing ascii4")


def test_doctor_says_when_nothing_fits() -> None:
    told = run("doctor", given=b"\xff" * 40)
    assert told.code == ExitCode.NEGATIVE
    assert "no shipped dialect and framing fit" in told.out


def test_doctor_tries_a_dialect_of_your_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[dialect]\nname = "mine"\nversion = 1\nextends = "iso87-ascii"\n'
        'description = { en = "Mine", fa = "مال من" }\nmti = { encoding = "ebcdic" }\n'
    )
    mine = Dialect.load(file)
    data = mine.encode(Message("0800", {"7": "1121171512", "11": "000001", "70": "301"})).hex().encode()
    assert run("doctor", given=data).code == ExitCode.NEGATIVE
    told = run("doctor", "--also", str(file), "--format", "json", given=data)
    assert told.document["messages"][0]["best"] == [{"dialect": "mine", "framing": "none"}]
    told = run("doctor", "--also", str(file), given=data)
    assert f"try: vafa message view - --dialect {file} --input-format hex" in told.out


@EVERY_DIALECT
def test_samples_can_be_named_listed_and_framed(dialect: str) -> None:
    names = [sample.name for sample in iso8583.samples(dialect)]
    assert names
    assert run("sample", dialect, "--list").out.splitlines() == names
    assert run("sample", dialect).out.split() == [sample.hex.lower() for sample in iso8583.samples(dialect)]
    one = run("sample", dialect, names[0], "-f", "ascii4", "-O", "binary").raw
    assert one == framing_named("ascii4").frame(iso8583.samples(dialect)[0].data)
    assert run("sample", dialect, names[-1], "-O", "base64").out.strip() == base64.b64encode(
        iso8583.samples(dialect)[-1].data
    ).decode("ascii")


VERBS = (
    ["view"],
    ["view", "--unsafe"],
    ["validate"],
    ["redact"],
    ["doctor"],
    ["convert", "--to", "iso2003-ascii"],
)
damaged_samples = st.builds(
    lambda sample, place, change, end: (sample[:place] + change + sample[place + 1 :])[:end],
    st.sampled_from([sample.data for _dialect, sample in SAMPLES]),
    st.integers(0, 60),
    st.binary(max_size=3),
    st.integers(1, 200),
)


@any_of(st.binary(max_size=80) | damaged_samples, st.sampled_from(VERBS), st.sampled_from(DIALECTS))
def test_any_bytes_end_in_an_answer(data: bytes, verb: list[str], dialect: str) -> None:
    """Never an internal error, whatever comes and however it is written."""
    options = [] if verb == ["doctor"] else ["-d", dialect]
    for form in ("hex", "auto", "binary"):
        told = run(*verb, *options, "-i", form, given=data.hex().encode() if form == "hex" else data)
        assert told.code in (ExitCode.OK, ExitCode.NEGATIVE, ExitCode.USAGE), told.err
