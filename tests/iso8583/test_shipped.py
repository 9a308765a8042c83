"""The shipped dialects: complete in both languages, and agreeing with samples made apart from the codec."""

from __future__ import annotations

import json
from typing import Any

import iso8583 as peer
import pytest

from switch import iso8583
from switch.iso8583 import Mask, Message
from tests.iso8583 import sample_oracle

SAMPLES = [
    pytest.param(name, sample, id=f"{name}: {sample.name}")
    for name in iso8583.shipped()
    for sample in iso8583.samples(name)
]
STANDARDS = [name for name in iso8583.shipped() if name != "vafa"]


def test_what_is_shipped() -> None:
    assert iso8583.shipped() == (
        "ebcdic93",
        "iso2003-ascii",
        "iso87-ascii",
        "iso87-bcd",
        "iso93-ascii",
        "iso93-bcd",
        "pos-host-1987",
        "vafa",
    )
    assert set(sample_oracle.DIALECTS) == set(iso8583.shipped())


@pytest.mark.parametrize("name", iso8583.shipped())
def test_the_samples_are_what_the_oracle_writes(name: str) -> None:
    file = sample_oracle.SAMPLES / f"{name}.toml"
    assert file.read_text(encoding="utf-8") == sample_oracle.rendered(name), (
        "run python -m tests.iso8583.sample_oracle"
    )


@pytest.mark.parametrize("name", STANDARDS)
def test_every_field_of_the_standard_is_there(name: str) -> None:
    fields = iso8583.load(name).dictionary.fields
    assert sorted(fields) == [number for number in range(2, 129) if number != 65]


@pytest.mark.parametrize("name", iso8583.shipped())
def test_everything_has_titles_in_both_languages(name: str) -> None:
    for field in iso8583.load(name).dictionary.all_fields():
        assert field.title.en.strip()
        assert any("؀" <= letter <= "ۿ" for letter in field.title.fa), field.path


@pytest.mark.parametrize("name", iso8583.shipped())
def test_what_the_standard_makes_sensitive_is_masked(name: str) -> None:
    dictionary = iso8583.load(name).dictionary
    wanted = {
        2: Mask.PAN,
        35: Mask.TRACK2,
        45: Mask.TRACK1,
        52: Mask.HIDDEN,
        64: Mask.HIDDEN,
        128: Mask.HIDDEN,
    }
    for number, mask in wanted.items():
        if number in dictionary.fields:
            assert dictionary.fields[number].mask is mask, number
    if 55 in dictionary.fields:
        assert dictionary.mask_of("55.57") is Mask.TRACK2
        assert dictionary.mask_of("55.5A") is Mask.PAN
        assert dictionary.mask_of("55.5F24") is Mask.HIDDEN


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_a_sample_is_decoded_and_encoded(name: str, sample: iso8583.Sample) -> None:
    dialect = iso8583.load(name)
    message = dialect.decode(sample.data)
    assert message.to_document(reveal=True) == sample.document
    assert dialect.encode(message) == sample.data
    assert dialect.encode(Message.from_document(sample.document, dialect)) == sample.data
    assert dialect.check(message) == []
    assert dialect.name_of(message) is not None


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_spans_cover_every_byte_of_a_sample(name: str, sample: iso8583.Sample) -> None:
    dialect = iso8583.load(name)
    spans = dialect.spans(sample.data)
    top = [span for span in spans if "." not in span.path]
    assert [span.path for span in top[:2]] == ["mti", "bitmap"]
    at = 0
    for span in top:
        assert span.start == at
        at = span.stop
    assert at == len(sample.data)
    named = {span.path for span in spans}
    assert set(dialect.decode(sample.data)) <= named


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_spans_of_a_cut_sample_reach_to_the_fault(name: str, sample: iso8583.Sample) -> None:
    dialect = iso8583.load(name)
    whole = {span.path: span for span in dialect.spans(sample.data)}
    cut = dialect.spans(sample.data[:-1])
    assert len(cut) > 2
    for span in cut[:-1]:
        if span.stop < len(sample.data) - 1:
            assert whole[span.path] == span


# ---------------------------------------------------------------- another codec's opinion

_EBCDIC_OR_ASCII = {"ascii": "ascii", "ebcdic": "cp500", "bcd": "b", "binary": "b"}


def peers_specification(name: str) -> dict[str, Any]:
    """Our dictionary in the peer's words: what it can't say (composites, hex) as opaque bytes."""
    dictionary = iso8583.load(name).dictionary
    mti = _EBCDIC_OR_ASCII[dictionary.mti_encoding]
    bitmap = "ascii" if dictionary.bitmap.encoding == "hex" else "b"
    width = 16 if bitmap == "ascii" else 8
    specification: dict[str, Any] = {
        "h": {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 0, "desc": ""},
        "t": {
            "data_enc": mti,
            "len_enc": "ascii",
            "len_type": 0,
            "max_len": 2 if mti == "b" else 4,
            "desc": "",
        },
        "p": {"data_enc": bitmap, "len_enc": "ascii", "len_type": 0, "max_len": width, "desc": ""},
        "1": {"data_enc": bitmap, "len_enc": "ascii", "len_type": 0, "max_len": width, "desc": ""},
    }
    for number, field in dictionary.fields.items():
        encoding = field.encoding
        data = "ascii" if encoding == "hex" else _EBCDIC_OR_ASCII[encoding]
        if field.content == "x+n" and encoding == "bcd":
            data = "b"
        doubled = 2 if encoding == "hex" and field.unit == "bytes" else 1
        size = field.length.maximum
        if field.content == "x+n" and encoding == "bcd":
            size = 1 + size // 2
        entry: dict[str, Any] = {
            "data_enc": data,
            "len_enc": "ascii",
            "len_type": 0 if field.prefix is None else field.prefix.size,
            "max_len": size * doubled,
            "desc": "",
        }
        if field.prefix is not None:
            entry["len_enc"] = {"ascii": "ascii", "bcd": "bcd", "ebcdic": "cp500"}[field.prefix.encoding]
        if encoding == "bcd" and field.content != "x+n":
            entry["len_count"] = "nibbles"
            if field.pad is not None:
                entry[f"{field.pad.side}_pad"] = field.pad.nibble.upper()
        specification[str(number)] = entry
    return specification


def comparable(name: str, message: Message) -> dict[str, str]:
    """The fields that both codecs show alike."""
    dictionary = iso8583.load(name).dictionary
    shown = {}
    for number, field in dictionary.fields.items():
        value = message.get(str(number))
        if isinstance(value, str) and field.content != "x+n":
            shown[str(number)] = value.replace("=", "D") if field.encoding == "bcd" else value
        elif isinstance(value, bytes) and field.encoding == "binary":
            shown[str(number)] = value.hex().upper()
    return shown


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        row
        for row in SAMPLES
        if row.values[0] in ("iso87-bcd", "iso93-bcd", "ebcdic93", "vafa", "pos-host-1987")
    ],
)
def test_pyiso8583_reads_the_samples_as_we_do(name: str, sample: iso8583.Sample) -> None:
    decoded, _encoded = peer.decode(sample.data, peers_specification(name))
    message = iso8583.load(name).decode(sample.data)
    assert decoded["t"] == message.mti
    numbers = {number for number in decoded if number.isdecimal() and number != "1"}
    assert numbers == set(message.fields)
    for number, value in comparable(name, message).items():
        assert decoded[number].upper() == value.upper(), number


def test_a_sample_without_its_dialect_is_none() -> None:
    assert iso8583.samples("none") == ()


@pytest.mark.parametrize("name", iso8583.shipped())
def test_samples_are_plain_json(name: str) -> None:
    for sample in iso8583.samples(name):
        assert json.loads(json.dumps(sample.document)) == sample.document
        assert bytes.fromhex(sample.hex) == sample.data


@pytest.mark.parametrize(
    ("name", "malformed", "unknown"),
    [
        ("vafa", "30", "12"),
        ("iso87-ascii", "30", "12"),
        ("ebcdic93", "904", "902"),
        ("iso2003-ascii", "9104", "9102"),
    ],
)
def test_the_answer_to_what_is_wrong_is_one_of_the_dialect(name: str, malformed: str, unknown: str) -> None:
    dialect = iso8583.load(name)
    for data in (b"", iso8583.samples(name)[0].data[:-1]):
        with pytest.raises(iso8583.DecodeError) as caught:
            dialect.decode(data)
        assert caught.value.response_code == malformed
    assert dialect.check(Message("0999", {}))[0].response_code == unknown
    if name != "vafa":
        mti = iso8583.samples(name)[0].document["mti"]
        assert {problem.response_code for problem in dialect.check(Message(mti, {}))} == {malformed}
        assert {malformed, unknown} <= set(dialect.response_codes)


# Length and digits of its prefix, as fields stand in the packager of the public jPOS Common Message Format
# (ISO 8583:2003); binary data counts bytes.
COMMON_MESSAGE_FORMAT = {
    "19 by 2": (2,),
    "6": (3, 13, 38),
    "16": (4, 5, 6, 22, 41),
    "10": (7,),
    "12": (8, 11, 37),
    "8": (9, 10, 15, 28, 73),
    "14": (12,),
    "4": (14, 16, 17, 25, 26, 39),
    "140 by 3": (18,),
    "3": (19, 20, 23, 24, 29, 40, 57),
    "27": (27,),
    "32": (30,),
    "23": (31,),
    "11 by 2": (32, 33, 58, 93, 94, 99, 100),
    "9999 by 4": (
        *(34, 43, 44, 49, 50, 51, 55, 71, *range(76, 91)),
        *(*range(104, 109), *range(111, 123), *range(124, 128)),
    ),
    "37 by 2": (35,),
    "104 by 3": (36,),
    "35 by 2": (42,),
    "76 by 2": (45,),
    "216 by 3": (46, 66),
    "999 by 3": (47, 48, 59, 60, 61, 62, 63, 96, 123),
    "48 by 2": (53,),
    "126 by 3": (54,),
    "41 by 2": (56,),
    "2": (67,),
    "9": (68,),
    "40": (69,),
    "18": (70,),
    "156": (74,),
    "90": (75,),
    "99 by 2": (95, 101),
    "21": (97,),
    "25": (98,),
    "28 by 2": (102, 103),
    "144 by 3": (109, 110),
}


def test_the_2003_fields_are_as_long_as_the_common_message_format_has_them() -> None:
    fields = iso8583.load("iso2003-ascii").dictionary.fields
    for words, numbers in COMMON_MESSAGE_FORMAT.items():
        for number in numbers:
            _minimum, maximum, digits = fields[number].length
            assert (f"{maximum} by {digits}" if digits else f"{maximum}") == words, number
