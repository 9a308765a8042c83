"""One running switch for the tests that only talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running_switch import RunningSwitch, TerminalSide


@pytest.fixture(scope="session")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSwitch]:
    """A switch with the embedded defaults; terminal 10000010 is blocked."""
    running = RunningSwitch(tmp_path_factory.mktemp("switch"), {"10000010.blocked": "true"})
    yield running
    assert running.stop() == 0


@pytest.fixture
def terminal(switch: RunningSwitch) -> Iterator[TerminalSide]:
    side = TerminalSide(switch)
    yield side
    side.line.close()
