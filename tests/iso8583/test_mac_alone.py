"""A dialect with the primary bitmap alone has its MAC in the last field of that, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.iso8583 import Dialect, DialectError, Message, Problem
from switch.link.framing import DEFAULT_FRAMING
from tests.tools.json_schema import accepts
from tools import spec_dissector, spec_docs, spec_jpos, spec_pages, spec_schema

TEXT = """\
[dialect]
name = "pos"
version = 1
description = { en = "POS", fa = "پایانه" }
mti = { encoding = "bcd" }
bitmap = { encoding = "binary" }
mac = { primary = 64, bytes = 8 }

[fields.11]
name = "stan"
title = { en = "Trace", fa = "پیگیری" }
class = "n"
encoding = "bcd"
length = { fixed = 6 }

[fields.64]
name = "mac"
title = { en = "MAC", fa = "اصالت" }
class = "b"
encoding = "binary"
length = { fixed = 8 }

[messages.request]
mti = ["0800"]
title = { en = "Request", fa = "درخواست" }
mandatory = ["11"]
"""
SECOND = """
[fields.128]
name = "mac"
title = { en = "MAC", fa = "اصالت" }
class = "b"
encoding = "binary"
length = { fixed = 8 }
"""
MAC = b"12345678"


def dialect(tmp_path: Path, text: str = TEXT) -> Dialect:
    file = tmp_path / "pos.toml"
    file.write_text(text, encoding="utf-8")
    return Dialect.load(file)


def mistakes(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(DialectError) as caught:
        dialect(tmp_path, text)
    return [tuple(mistake) for mistake in caught.value.mistakes]  # type: ignore[misc]


ALWAYS = TEXT.replace('"binary" }\nmac', '"binary", always = 16 }\nmac')
EMPTY = TEXT.replace('"binary" }\nmac', '"binary", empty_secondary = true }\nmac')


@pytest.mark.parametrize("uses", [1, 300])
@pytest.mark.parametrize("text", [TEXT, ALWAYS, EMPTY], ids=["short", "always", "empty"])
def test_the_mac_closes_the_message(tmp_path: Path, text: str, uses: int) -> None:
    pos = dialect(tmp_path, text)
    bare, whole = Message("0800", {"11": "000001"}), Message("0800", {"11": "000001", "64": MAC})
    for _use in range(uses):
        body = pos.encode_body(bare)
        assert body + MAC == pos.encode(whole)
        assert pos.split_mac(body + MAC) == (body, MAC)
        assert pos.split_mac(pos.encode(bare)) == (pos.encode(bare), None)
        assert pos.encode_body(whole) == body
        assert pos.check(whole) == []
        assert pos.check(bare) == [Problem("64", "the MAC is missing")]
        assert pos.check(bare, mac_required=False) == []


def test_under_an_empty_secondary_bitmap_too(tmp_path: Path) -> None:
    pos = dialect(tmp_path, EMPTY)
    data = bytes.fromhex("0800" + "8020000000000001" + "00" * 8 + "000001") + MAC
    message = pos.decode(data)
    assert message["1"] == bytes(8)
    assert pos.split_mac(data) == (data[:-8], MAC)
    assert pos.encode_body(message) == data[:-8]
    assert pos.check(message) == []


def test_the_field_of_the_other_bitmap_is_asked_where_it_is_one(tmp_path: Path) -> None:
    assert mistakes(tmp_path, TEXT + SECOND) == [
        (7, "dialect.mac.secondary: 'secondary' is missing", "add secondary = 128")
    ]
    with_second = TEXT.replace("primary = 64,", "primary = 64, secondary = 128,")
    assert dialect(tmp_path, with_second + SECOND).dictionary.mac == (64, 128, 8, True)
    assert mistakes(tmp_path, with_second) == [
        (7, "dialect.mac.secondary: there is no field above 64", "take it away")
    ]


def test_a_dialect_may_take_the_other_bitmap_away(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        TEXT.replace("primary = 64,", "primary = 64, secondary = 128,") + SECOND, encoding="utf-8"
    )
    above = (
        '[dialect]\nname = "above"\nversion = 1\ndescription = { en = "A", fa = "آ" }\n'
        'extends = "base.toml"\nremove = ["fields.128"]\n'
    )
    ((_line, what, remedy),) = mistakes(tmp_path, above)
    assert what == "dialect.mac.secondary: there is no field above 64"
    assert remedy == 'add "dialect.mac.secondary" to remove'
    above = above.replace('["fields.128"]', '["fields.128", "dialect.mac.secondary"]')
    assert dialect(tmp_path, above).dictionary.mac == (64, None, 8, True)


def test_what_is_made_of_it(tmp_path: Path) -> None:
    pos = dialect(tmp_path)
    page = spec_pages.markdown(spec_docs.specification(pos, DEFAULT_FRAMING, (), "en"))
    assert "the last field: 64. It covers" in page
    assert "None" not in page
    assert "None" not in spec_dissector.dissector(pos.dictionary, DEFAULT_FRAMING, [8583])
    assert "None" not in spec_jpos.packager(pos.dictionary)
    schema = spec_schema.schema(pos.dictionary)
    document = Message("0800", {"11": "000001", "64": MAC}, pos.dictionary).to_document(reveal=True)
    assert accepts(schema, document, schema)
    del document["fields"]["64"]
    assert not accepts(schema, document, schema)
