"""Captured requests get the captured answers; where an answer is random, its structure and check value."""

from __future__ import annotations

import re

import pytest

from tests.hsm_sim.boxes import Box
from tests.hsm_sim.captures import OTHER_SIMULATOR, REAL_BOX, REAL_BOX_2, WITHOUT_CARD, Capture

CAPTURED = (*REAL_BOX, *REAL_BOX_2, *OTHER_SIMULATOR)


def matches(answer: str, expected: str) -> bool:
    pattern = "".join("[0-9A-F]" if character == "." else re.escape(character) for character in expected)
    return re.fullmatch(pattern, answer) is not None


@pytest.mark.parametrize("capture", CAPTURED, ids=lambda one: one.request[:12])
def test_a_captured_request_gets_the_captured_answer(capture: Capture) -> None:
    answer = Box(authorised=capture.authorised).ask(capture.request)
    assert matches(answer, capture.answer), answer


@pytest.mark.parametrize(
    "capture",
    [one for one in CAPTURED if one.authorised],
    ids=lambda one: one.request[:12],
)
def test_key_management_is_refused_until_two_officers_allow_it(capture: Capture) -> None:
    assert Box().code(capture.request) == "17"


@pytest.mark.parametrize("capture", WITHOUT_CARD, ids=lambda one: one.request[:12])
def test_a_format_without_card_number_is_translated_only_where_allowed(capture: Capture) -> None:
    assert Box().code(capture.request) == "69"
    assert Box(allowed_formats=("03",)).ask(capture.request) == capture.answer


@pytest.mark.parametrize("capture", CAPTURED, ids=lambda one: one.request[:12])
def test_a_trailer_comes_back_with_the_answer(capture: Capture) -> None:
    answer = Box(authorised=capture.authorised).ask(capture.request + "\x19END")
    if capture.answer in ("B315", "B380"):
        return  # the trailer is part of what could not be read
    assert answer.endswith("\x19END")
    assert matches(answer.removesuffix("\x19END"), capture.answer)


def test_a_request_cut_short_anywhere_is_refused() -> None:
    box = Box(authorised=True)
    for capture in (*REAL_BOX, *REAL_BOX_2):
        body = capture.request.partition("%")[0].partition("#")[0]
        for end in range(2, len(body)):
            answer = box.ask(body[:end])
            assert answer[2:4] != "41", (capture.request[:2], end)
            assert len(answer) <= len(capture.answer) + 80


def test_the_key_of_a_captured_export_comes_back_by_import() -> None:
    box = Box(authorised=True)
    export = next(one for one in REAL_BOX if one.request.startswith("A8"))
    exported = box.ask(export.request)[4:-6]
    zmk = export.request[5:78]
    answer = box.ask(f"A6FFF{zmk}{exported}S%01")
    assert answer.startswith("A700S00072P0TB00N0001")
    assert answer.endswith("4FE9FD")
