"""The real firmware replaces itself through a real switch: with its power cut, and by versions that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.campaigns import updates
from simulators.firmware import Interpreter
from switch.registry.downloads import directory_of
from switch.server.downloads import TOLD_FILE
from switch.server.told import read_told


def test_power_cuts_while_it_updates_itself_and_then_it_runs_the_new_version(
    tmp_path: Path, micropython: Interpreter
) -> None:
    async def acts() -> updates.Summary:
        async with updates.counter(tmp_path, micropython) as at:
            summary = await updates.cut_while_updating(at, cuts=3, seed=1)
        assert read_told(directory_of(at.settings) / TOLD_FILE)[updates.TERMINAL].software == 2
        summary.problems += await at.shop.audit()
        return summary

    summary = asyncio.run(acts())
    assert summary.problems == []
    assert summary.kills == 3


def test_a_version_that_dies_at_its_start_gives_way_and_is_told(
    tmp_path: Path, micropython: Interpreter
) -> None:
    async def acts() -> updates.Summary:
        async with updates.counter(tmp_path, micropython) as at:
            summary = await updates.versions_that_fail(at)
        told = read_told(directory_of(at.settings) / TOLD_FILE)[updates.TERMINAL]
        assert (told.software, told.software_refused) == (1, (2, 8))
        assert (told.parameters, told.parameters_refused) == (1, None)
        summary.problems += await at.shop.audit()
        return summary

    assert asyncio.run(acts()).problems == []
