"""A generated parser reads what its declaration reads, in the same way, or leaves it to the declaration."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import Suffix, Token, Values
from switch.hsm_sim.layouts import COMMANDS, Layout
from tests.hsm_sim.captures import OTHER_SIMULATOR, REAL_BOX

HOT = ("XA", "XC", "XG", "XI", "XK", "XM", "XU", "XW", "M6", "M8")
COMPILED = [layout for layout in COMMANDS.values() if layout.parser is not None]
REQUESTS = [one.request for one in (*REAL_BOX, *OTHER_SIMULATOR) if one.request[:2] in COMMANDS]


def block(algorithm: str, body: str) -> Token:
    return Token("S", f"1{16 + len(body):04d}B0{algorithm}X00N0002{body}")


BLOCKS = st.builds(block, st.sampled_from("AT"), st.text("0123456789ABCDEF", max_size=40))


def declared(layout: Layout, body: bytes) -> Values | str:
    """What the declaration makes of a request, or the code it refuses it with."""
    try:
        return layout.request._parse(io.BytesIO(body), None, "")
    except Refused as refused:
        return refused.code


def agree(layout: Layout, body: bytes) -> bool:
    """Whether the generated parser took the request; whatever it took the declaration takes alike."""
    assert layout.parser is not None
    fast = layout.parser(body)
    if fast is None:
        return False
    assert fast == declared(layout, body)
    return True


def test_the_commands_of_a_switchs_day_have_a_parser() -> None:
    assert {layout.code for layout in COMPILED} >= set(HOT)


HEX = st.text("0123456789ABCDEFabcdef", min_size=32, max_size=32)


@given(
    BLOCKS,
    BLOCKS,
    HEX,
    st.binary(max_size=60),
    st.sampled_from("14"),
    st.sampled_from("12"),
    st.sampled_from((None, "02", "99")),
)
def test_usual_requests_are_taken(
    key: Token, other: Token, text: str, data: bytes, mode: str, direction: str, named: str | None
) -> None:
    suffix = Suffix(named) if named else None
    requests: dict[str, dict[str, Any]] = {
        "XA": {"mode": mode, "direction": direction, "bdk": key, "serial": text[:24], "data": data}
        | ({"mac": text[:16]} if mode == "1" else {}),
        "XK": {
            "source": "D",
            "source_key": key,
            "serial": text[:24],
            "verifier_key": other,
            "source_format": "48",
            "block": text,
            "card": "9364001234567890",
            "binding": data.hex(),
            "verifier": text,
        },
        "M6": {
            "mode": "0",
            "input": "0",
            "size": "1",
            "algorithm": "6",
            "padding": "0",
            "type": "FFF",
            "key": key,
            "data": data,
        },
    }
    for code, fields in requests.items():
        assert agree(COMMANDS[code], COMMANDS[code].build_request(**fields, suffix=suffix)), code


@pytest.mark.parametrize("layout", COMPILED, ids=lambda layout: layout.code)
@given(st.data())
def test_changed_requests_are_read_alike_or_left(layout: Layout, data: st.DataObject) -> None:
    pieces = [key.text for key in (block("A", "00" * 40), block("T", ""))]
    pieces += [
        "0",
        "1",
        "48",
        "D",
        "Z",
        "FFF",
        "0004",
        "%02",
        "\x19T",
        "U" + "0" * 32,
        "12345678" * 3,
        "_1",
        " ",
    ]
    body = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=9))).encode("latin-1")
    agree(layout, body + data.draw(st.binary(max_size=8)))


@given(st.sampled_from(REQUESTS), st.integers(min_value=0), st.binary(max_size=3), st.booleans())
def test_captured_requests_changed_anywhere_are_read_alike_or_left(
    request: str, place: int, change: bytes, insert: bool
) -> None:
    layout, body = COMMANDS[request[:2]], request[2:].encode("latin-1")
    at = place % (len(body) + 1)
    body = body[:at] + change + body[at if insert else at + len(change) :]
    if layout.parser is not None:
        agree(layout, body)
