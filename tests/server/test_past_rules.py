"""Awards are taken back under the rules that made them, whatever becomes of the settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from switch.ledger import NEVER
from switch.loyalty.program import Program, Rules
from switch.server.past_rules import FILE_NAME, bring_over, with_past
from switch.settings import SettingsError
from tests.server.moment import local_moment
from tests.server.running_switch import RunningSwitch, TerminalSide

ONE = Rules()
TWO = Rules(number=2, starts=100, points_per_step=2)


def test_unchanged_settings_leave_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    assert with_past(path, [ONE]) == (ONE,)
    assert with_past(path, [ONE, TWO]) == (ONE, TWO)
    before = path.read_bytes()
    assert with_past(path, [replace(ONE, price=7, expiry="none"), TWO])[0].number == 1, (
        "no award follows of it"
    )
    assert path.read_bytes() == before


def test_a_version_changed_in_place_gets_a_number_of_its_own_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with_past(path, [ONE, TWO])
    changed = replace(ONE, rial_per_earned_point=5_000)
    for _ in range(2):  # once more, as a switch that is started again
        program = Program(with_past(path, [changed, TWO]))
        assert program.on(1).rial_per_earned_point == 5_000
        number = program.on(1).number
        assert number > 10**6
        assert program.version(1).award(100_000) == 10
        assert program.version(number).award(100_000) == 20
        assert program.on(NEVER - 1).number == 2
    back = with_past(path, [ONE, TWO])
    assert [rules.number for rules in back] == [1, 2, number], "back to what it was"
    elsewhere = tmp_path / "another switch"
    with_past(elsewhere, [replace(ONE, rial_per_earned_point=1)])
    assert with_past(elsewhere, [changed])[0].number == number


def test_versions_that_are_changed_to_say_the_same_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with_past(path, [ONE, TWO])
    alike = [replace(ONE, points_per_step=5), replace(TWO, points_per_step=5, rial_per_redeemed_point=7)]
    program = Program(with_past(path, alike))
    assert [program.on(day).rial_per_redeemed_point for day in (1, 200)] == [100, 7]
    assert (program.version(1).points_per_step, program.version(2).points_per_step) == (1, 2)


def test_what_another_file_knows_is_added_once(tmp_path: Path) -> None:
    path, other = tmp_path / FILE_NAME, tmp_path / "other"
    bring_over(path, other)
    assert not path.exists()
    with_past(other, [ONE, TWO])
    with_past(path, [ONE])
    for _ in range(2):
        bring_over(path, other)
    assert path.read_bytes() == other.read_bytes()
    bring_over(tmp_path / "new", path)
    assert (tmp_path / "new").read_bytes() == path.read_bytes()


def test_files_of_two_ledgers_are_not_mixed(tmp_path: Path) -> None:
    path, other = tmp_path / FILE_NAME, tmp_path / "other"
    with_past(path, [ONE])
    with_past(other, [replace(TWO, starts=1), replace(ONE, starts=2, points_per_step=9)])
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=r"version 1 has other rules than in .*other: they are of two"):
        bring_over(path, other)
    assert path.read_bytes() == before


def test_a_version_that_was_taken_out_is_known_still(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with_past(path, [ONE, TWO])
    program = Program(with_past(path, [ONE]))
    assert program.version(2).award(10_000) == 2
    assert program.on(200).number == 1
    new = replace(TWO, points_per_step=9)
    program = Program(with_past(path, [ONE, new]))
    assert program.on(200).award(10_000) == 9
    assert program.version(2).award(10_000) == 2


def test_a_last_line_that_a_power_cut_left_unfinished_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with_past(path, [ONE])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert with_past(path, [ONE]) == (ONE,)
        assert path.read_bytes() == whole


def test_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"{}\n{what\n")
    with pytest.raises(SettingsError, match="restore it"):
        with_past(path, [ONE])


def test_settings_changed_between_sale_and_return(tmp_path: Path) -> None:
    switch = RunningSwitch(tmp_path, {"program.points_per_step": "3"})
    side = TerminalSide(switch)
    card = side.activated_card()
    sale = side.ask(side.earn(card, 100_000))
    assert sale["48.01"] == f"{30:012d}"
    side.line.close()
    assert switch.stop() == 0
    path = tmp_path / "switch.toml"
    text = path.read_text(encoding="utf-8").replace("points_per_step = 3", "points_per_step = 7")
    today = local_moment().date().isoformat()
    version = f'\n[[program.versions]]\nnumber = 2\nstarts = "{today}"\nrial_per_redeemed_point = 250\n'
    path.write_text(text + version, encoding="utf-8")
    switch.start()
    side = TerminalSide(switch)
    assert side.ask(side.sign_on())["48.12"] == f"{250:08d}", "what is in force today"
    for amount, left in ((35_000, 18), (5_000, 18), (50_000, 3), (10_000, 0)):
        message = side.earn(card, amount, f3="206000", f35=None, f22=None, f37=sale.text("37"))
        assert side.ask(message)["39"] == "00"
        assert side.points(card) == left
    assert side.ask(side.earn(card, 100_000))["48.01"] == f"{70:012d}"
    side.line.close()
    assert switch.stop() == 0
