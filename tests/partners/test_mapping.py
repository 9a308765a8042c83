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
        ('sent = "7"', 'sent = "4"', "no field 90 of 35 digits"),
        ('sent = "7"', 'sent = "11"', "has no field 11 of 10 or 12 digits"),
        ('clock = "UTC"', 'clock = "utc"', "'utc' is unknown"),
        ('"22" = { from = "22",', '"22" = { at = 0, from = "22",', "at"),
        ('mti = "0800"', 'mti = "80"', "can't stand here"),
        ("[operations.refund]", '[operations.refund]\napproved = "400"', "'400' doesn't fit their field 39"),
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
        ('"4", "7", "11"', '"4", "7"', "field 11 is missing"),
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


def test_what_tells_transactions_apart_may_be_left_out_where_the_dialect_has_it(tmp_path: Path) -> None:
    text = TEXT.replace('[identity]\nsent = "7"\nclock = "UTC"\noriginal = "90"\n', "")
    assert text != TEXT
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file).identity == load("iso87-ascii").identity
    told = mistakes(tmp_path, text.replace('dialect = "iso87-ascii"', 'dialect = "iso93-ascii"'))
    assert told[0][0] == line_of(text, 'dialect = "iso')
    assert "iso93-ascii has no field 90 of 42 digits" in told[0][1]


def test_a_newer_version_names_its_own_time_and_original(tmp_path: Path) -> None:
    text = (SHIPPED / "iso93-bcd.toml").read_text(encoding="utf-8")
    told = mistakes(tmp_path, text.replace('original = "56"', 'original = "90"').replace('"400"', '"4000"'))
    whats = [what for _, what, _ in told]
    expected = ("dialect iso93-bcd has no field 90 of 35 digits", "'4000' doesn't fit their field 39")
    assert len(whats) == len(expected)
    assert all(what.endswith(end) for what, end in zip(whats, expected, strict=True)), whats


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
