"""Mapping files: shipped ones are right, and every mistake is told with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch import iso8583
from switch.partners import MappingError, load, shipped
from switch.partners.mapping_file import OPERATIONS, REQUEST_PATHS, SHIPPED

TEXT = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")


def mistakes(directory: Path, text: str) -> list[tuple[int | None, str, str]]:
    file = directory / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as raised:
        load(file)
    assert {where for where, _ in raised.value.located} == {file}
    return [tuple(mistake) for mistake in raised.value.mistakes]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if part in line)


def test_every_shipped_mapping_can_be_used() -> None:
    assert "iso87-ascii" in shipped()
    for name in shipped():
        mapping = load(name)
        assert mapping.name == name
        assert {"balance", "earn", "redeem", "reversal"} <= {one.name for one in mapping.operations}


def test_a_partners_own_dialect_may_take_the_place_of_the_mappings(tmp_path: Path) -> None:
    dialect = tmp_path / "bank.toml"
    dialect.write_text(
        '[dialect]\nname = "bank"\nversion = 1\ndescription = { en = "Bank", fa = "بانک" }\n'
        'extends = "iso87-ascii"\nremove = ["fields.62"]\n',
        encoding="utf-8",
    )
    with pytest.raises(MappingError, match=r"request.62: dialect bank has no 62"):
        load("iso87-ascii", iso8583.Dialect.load(dialect))
    copied = tmp_path / "mine.toml"
    text = TEXT.replace('dialect = "iso87-ascii"', 'dialect = "bank.toml"')
    copied.write_text(text.replace('"62" = "62" # the till', "# the till"), encoding="utf-8")
    assert load(copied).dialect.name == "bank"


@pytest.mark.parametrize(
    ("found", "instead", "what"),
    [
        ('name = "iso87-ascii"', 'name = "Mine!"', "can't stand here"),
        ('dialect = "iso87-ascii"', 'dialect = "iso87-asci"', "there is no dialect 'iso87-asci'"),
        ('dialect = "iso87-ascii"', 'dialect = "vafa"', "dialect vafa has no field 32 of 11 digits"),
        ('pin_format = "iso-0"', 'pin_format = "iso-9"', "'iso-9' is unknown"),
        ('pin_format = "iso-0"', 'pin_format = "iso-4"', "field 52 of dialect iso87-ascii isn't 16 bytes"),
        ("[operations.balance]", "[operations.activate]", "no operation 'activate' for partners"),
        ('"0220" = "0220", "0221" = "0221" }', '"0220" = "0420" }', "no message of ours with MTI 0420"),
        ('mti = { "0100" = "0100", "0101" = "0100" }', 'mti = { "0110" = "0100" }', "0110 is no request"),
        ('["21****"]', '["21***"]', "'21***' can't stand here"),
        ('["20****"]', '["0*****"]', "could be redeem as well"),
        ('"4" = "4"', '"4" = "204"', "dialect iso87-ascii has no 204"),
        ('"4" = "4"', '"53" = "53"', "'53' is not for a mapping to fill"),
        ('"42" = "42"', "", "our 42 (Acceptor (merchant)) comes from nowhere"),
        ('default = "000"', 'defualt = "000"', "unknown key 'defualt'"),
        ('unit = "points"', 'unit = "point"', "'point' is unknown"),
        ('echo = ["2",', 'echo = ["52",', "field 52 is never brought back"),
        ('"7", "11"', '"7"', "field 11 is missing"),
        ('"37" = "37"', '"39" = "39"', "field 39 is made by the switch"),
        ('"44" = "48.04"', '"44" = "48.99"', "dialect vafa has no 48.99"),
        ('field = "54"', 'field = "39"', "39 of dialect iso87-ascii can't carry 3 amounts"),
        ('sign = "D"', 'sign = "E"', "'E' is unknown"),
        ('"51" = "51"', "", "nothing for our 51"),
        ('"51" = "51"', '"51" = "051"', "'051' doesn't fit their field 39"),
        ('"14" = "14"', '"14" = "14"\n"99" = "99"', "no response code '99' of ours"),
        ('key_field = "120"', 'key_field = "220"', "dialect iso87-ascii has no 220"),
        ("[network]", "[netwrok]", "unknown key 'netwrok'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, found: str, instead: str, what: str) -> None:
    assert found in TEXT
    text = TEXT.replace(found, instead, 1)
    told = mistakes(tmp_path, text)
    assert any(what in each[1] for each in told), told
    assert all(remedy and line for line, _what, remedy in told)
    if instead and "operations." not in instead and "comes from nowhere" not in what:
        at = line_of(text, instead.split("\n")[-1])
        assert any(what in each[1] and abs((each[0] or 0) - at) <= 2 for each in told), (told, at)


def test_every_mistake_is_told_in_one_run(tmp_path: Path) -> None:
    text = TEXT.replace('"41" = "41"', '"41" = "241"').replace('"94" = "94"', "").replace("[network]", "[n]")
    assert len(mistakes(tmp_path, text)) == 3


def test_a_file_that_is_no_toml_and_one_that_is_not_there(tmp_path: Path) -> None:
    assert "no TOML" in mistakes(tmp_path, "[mapping\n")[0][1]
    with pytest.raises(MappingError, match="No such file"):
        load(tmp_path / "none.toml")


def test_what_a_mapping_may_fill_is_in_our_dialect() -> None:
    ours = iso8583.load("vafa").dictionary
    assert all(ours.field_at(path) is not None for path in REQUEST_PATHS)
    assert set(OPERATIONS) <= {rule.name for rule in ours.messages}
