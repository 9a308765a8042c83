"""Power cuts: a short, seeded version of the campaign, and that the campaign has teeth."""

from __future__ import annotations

import pytest

from simulators.campaigns import power_cuts

CUTS = 1_600


def test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything() -> None:
    result = power_cuts.run(CUTS, seed=1, processes=1)
    assert result.problems == []
    assert result.cuts == CUTS
    assert len(result.damages) == 6
    assert result.under_way > 0
    assert result.deep > 0


def test_what_is_planted_and_not_shown_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cuts, "PLANTED", {"HARMLESS": power_cuts.production})
    monkeypatch.setattr(power_cuts, "PLANTED_STORIES", 1)
    assert power_cuts.teeth(seed=1) == ["HARMLESS was planted and nothing shows it"]
