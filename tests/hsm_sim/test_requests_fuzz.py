"""Whatever a request holds, it gets one answer with a published code; nothing escapes, none is internal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from switch.hsm_sim.errors import ERRORS
from switch.hsm_sim.fields import Suffix, Token
from switch.hsm_sim.layouts import COMMANDS
from tests.hsm_sim.boxes import Box
from tests.hsm_sim.captures import OTHER_SIMULATOR, REAL_BOX
from tests.whole import WHOLE

REQUESTS = [one.request.encode("latin-1") for one in (*REAL_BOX, *OTHER_SIMULATOR)]
CODES = [code.encode() for code in COMMANDS]
ANY_BOX = Box(authorised=True, allowed_formats=("03", "05"))
FRAGMENTS = st.sampled_from(
    [*b"|%01|%02|%99|;|#|&N|FFF|0000|S1000|R0000|U".split(b"|"), b"\x19", b"\x19\x19END", b"\xff"]
)


def answered(request: bytes) -> None:
    answer = ANY_BOX.ask(request)
    code = answer[2:4]
    assert code in ERRORS, answer
    assert code != "41", answer


@given(st.sampled_from(CODES), st.binary(max_size=400))
def test_any_bytes_behind_a_command(command: bytes, body: bytes) -> None:
    answered(command + body)


@given(st.binary(min_size=2, max_size=2), st.binary(max_size=40))
def test_any_bytes_for_a_command(command: bytes, body: bytes) -> None:
    answered(command + body)


@given(st.sampled_from(CODES), st.text("0123456789ABCDEFUTXYZSR;%#&N", max_size=300))
def test_any_likely_characters_behind_a_command(command: bytes, body: str) -> None:
    answered(command + body.encode())


@settings(max_examples=400 if WHOLE else 200)
@given(st.sampled_from(REQUESTS), st.integers(min_value=0), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_good_request_changed_anywhere(request: bytes, place: int, data: bytes, insert: bool) -> None:
    at = 2 + place % (len(request) - 2) if len(request) > 2 else 2
    answered(request[:at] + data + request[at if insert else at + len(data) :])


@given(st.sampled_from(REQUESTS), FRAGMENTS, FRAGMENTS)
def test_a_good_request_with_something_behind_it(request: bytes, first: bytes, second: bytes) -> None:
    answered(request + first + second)


@given(st.binary(max_size=200))
def test_binary_data_may_hold_the_trailer_mark(data: bytes) -> None:
    body = b"\x19" + data + b"%01\x19"
    request = b"B2" + f"{len(body):04X}".encode() + body
    assert ANY_BOX.ask(request).encode("latin-1") == b"B300" + body
    trailed = ANY_BOX.ask(request + b"\x19T")
    assert trailed.encode("latin-1") == b"B300" + body + b"\x19T"


def test_every_command_of_the_layouts_is_executed_by_something() -> None:
    box = Box()
    for code in COMMANDS:
        assert box.code(code) != "41", code
        assert box.code(code) != "68", code


@given(st.sampled_from([one for one in REAL_BOX if not one.authorised]))
def test_a_parsed_request_builds_the_same_bytes(capture) -> None:  # type: ignore[no-untyped-def]
    layout, body = COMMANDS[capture.request[:2]], capture.request[2:].encode("latin-1")
    fields = layout.parse_request(body)
    named = {name: value for name, value in fields.items() if not name.startswith("_")}
    assert layout.build_request(**named) == body


def test_an_answer_is_parsed_as_it_was_built() -> None:
    layout = COMMANDS["A0"]
    key = Token("U", "0" * 32)
    built = layout.build_answer("00", {"key": key, "exported": None, "kcv": "ABCDEF"})
    code, fields, rest = layout.parse_answer(built + b"\x19T")
    assert (code, rest) == ("00", b"\x19T")
    assert fields is not None
    assert (fields.key, fields.kcv) == (key, "ABCDEF")
    assert layout.parse_answer(b"17") == ("17", None, b"")


def test_the_suffix_may_stand_in_any_order_and_each_part_once() -> None:
    layout = COMMANDS["A8"]
    token = "U" + "0" * 32
    body = f"002{token}{token}S".encode()
    assert layout.parse_request(body + b"&N%01").suffix == Suffix("01", "N")
    assert layout.parse_request(body + b"%01&N").suffix == Suffix("01", "N")
    assert Box(authorised=True).code(b"A8" + body + b"%01%01") == "15"
