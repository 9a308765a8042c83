"""The JSON Schemas accept what the dialect accepts, and refuse what its presence rules refuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from switch.iso8583 import Dialect, Message, load, samples, shipped
from tests.tools.json_schema import accepts, problems
from tests.tools.spec_samples import DATA, EVERYTHING
from tools.cli import run
from tools.spec_schema import schema

SHIPPED = [(load(name), tuple(sample.data for sample in samples(name))) for name in shipped()]
EVERY_DIALECT = pytest.mark.parametrize(
    ("dialect", "messages"), [*SHIPPED, (EVERYTHING, DATA)], ids=lambda part: getattr(part, "name", "")
)


def documents(dialect: Dialect, messages: tuple[bytes, ...]) -> list[dict[str, Any]]:
    return [dialect.decode(data).to_document(reveal=True) for data in messages]


@EVERY_DIALECT
def test_every_sample_is_accepted(dialect: Dialect, messages: tuple[bytes, ...]) -> None:
    root = schema(dialect.dictionary)
    for document in documents(dialect, messages):
        assert list(problems(root, document, root)) == [], document


def variations(document: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The document with one field less, or one more out of the others."""
    for number in document["fields"]:
        less = copy.deepcopy(document)
        del less["fields"][number]
        yield less
        if isinstance(document["fields"][number], dict):
            for tag in document["fields"][number]:
                less = copy.deepcopy(document)
                del less["fields"][number][tag]
                yield less
    spare = {number: value for other in others for number, value in other["fields"].items()}
    for number, value in spare.items():
        if number not in document["fields"]:
            more = copy.deepcopy(document)
            more["fields"][number] = value
            yield more


@EVERY_DIALECT
def test_presence_is_judged_as_the_dialect_judges_it(dialect: Dialect, messages: tuple[bytes, ...]) -> None:
    root = schema(dialect.dictionary)
    known = documents(dialect, messages)
    accepted = refused = 0
    for document in known:
        for varied in variations(document, known):
            message = Message.from_document(varied, dialect)
            if not is_whole(dialect, message):
                continue  # a part of a composite is missing: its format, not its presence
            is_right = dialect.check(message) == []
            found = list(problems(root, varied, root))
            assert (found == []) == is_right, (dialect.check(message), found)
            accepted += is_right
            refused += not is_right
    assert accepted
    assert refused or not dialect.dictionary.messages


def is_whole(dialect: Dialect, message: Message) -> bool:
    """Whether the message can be encoded at all."""
    try:
        dialect.encode(message)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("fields", "4"), "12"),
        (("fields", "4"), "00000000000a"),
        (("fields", "4"), 100),
        (("fields", "37"), "short"),
        (("fields", "64"), "0xA1B2"),
        (("fields", "64"), "A1B2C3D4E5F60718"),
        (("fields", "35"), "4111111111111111D2512"),
        (("fields", "48", "01"), "1"),
        (("fields", "48", "7F"), "not bytes"),
        (("fields", "99"), "no field"),
        (("masked",), True),
        (("mti",), "9999"),
        (("dialect",), "another"),
        (("more",), "key"),
    ],
)
def test_a_wrong_value_is_refused(path: tuple[str, ...], value: object) -> None:
    vafa = load("vafa")
    root = schema(vafa.dictionary)
    document = {
        "schema": "vafa.message/1",
        "dialect": "vafa",
        "mti": "0200",
        "masked": False,
        "fields": {
            "3": "006000",
            "4": "000000010000",
            "11": "000001",
            "12": "204512",
            "13": "1121",
            "22": "021",
            "35": "9364001234567890=29121010000",
            "41": "10000001",
            "42": "100000000000001",
            "48": {"01": "000000000100", "7F": "0x01"},
            "49": "364",
            "53": "0x010102030405060708090A0B0C",
            "60": "000001",
            "64": "0xA1B2C3D4E5F60718",
        },
    }
    assert list(problems(root, document, root)) == []
    holder: Any = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    assert not accepts(root, document, root)


def test_the_command_prints_a_schema_of_the_standard_draft(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "export", "--to", "json-schema", "--dialect", "iso87-ascii"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed["$id"] == "urn:vafa:dialect:iso87-ascii:1"
    assert printed == schema(load("iso87-ascii").dictionary)
