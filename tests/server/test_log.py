"""The switch's log, from the side of Python's own libraries."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from switch.server.log import open_log


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    """asyncio's logger, as it was again afterwards."""
    logger = logging.getLogger("asyncio")
    before = logger.handlers, logger.propagate
    yield logger
    logger.handlers, logger.propagate = before


def test_what_a_library_says_is_a_line_without_card_numbers(library: logging.Logger) -> None:
    stream = io.StringIO()
    open_log(stream)
    library.error("a task failed on 9364001234567898")
    said = json.loads(stream.getvalue())
    assert said["event"] == "library"
    assert "a task failed" in said["what"]
    assert "9364001234567898" not in stream.getvalue()


def test_a_log_that_nobody_reads_any_more_stops_no_library(library: logging.Logger) -> None:
    stream = io.StringIO()
    open_log(stream)
    stream.close()
    library.error("a task failed")
