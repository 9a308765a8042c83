"""The page docs/updates.md shows what the commands really print, and knows all parameters, reasons, codes."""

from __future__ import annotations

import re

from switch.registry.downloads import KEPT_VERSIONS
from switch.server.downloads import NO_PIECE, NO_VERSION, REASONS
from switch.server.pipeline import QUEUE_FOR_DOWNLOADS
from terminal import downloads, parameters
from terminal.hal.update import RESTART
from tests.tools.updates_examples import PAGE, rendered


def test_every_command_prints_what_the_page_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run python -m tests.tools.updates_examples"


def test_parameters_reasons_codes_and_limits_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, *_ in parameters.FIELDS:
        assert f"`{name}`" in page, name
    rows = {int(number) for number in re.findall(r"^\| (\d) \|", page, re.MULTILINE)}
    told = {value for name, value in vars(downloads).items() if name.isupper() and value in REASONS}
    assert rows == set(REASONS) >= told
    for code in (NO_VERSION, NO_PIECE):
        assert f"| {code} |" in page
    assert f"more than {QUEUE_FOR_DOWNLOADS} requests" in page
    assert f"its last {KEPT_VERSIONS}." in page
    assert f"code {RESTART}," in page
