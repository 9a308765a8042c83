"""Redaction of tracks as cards have them, sentinels and all."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.iso8583 import Mask, Message, load
from switch.iso8583.masks import luhn_valid
from tests.iso8583 import any_dialect
from tests.tools.spec_samples import EVERYTHING
from tests.whole import WHOLE
from tools.message_redact import redact

SECRET = "[1-9A-WYZa-wyz]"  # what filler never is
TRACK = ";4539578763621486=29121010000?"


@pytest.mark.parametrize("name", ["iso87-ascii", "lenient"])
def test_a_track_with_its_sentinels_is_redacted(name: str) -> None:
    one = any_dialect.dialect("lenient") if name == "lenient" else load(name)
    made = redact(one, Message("0200", {"35": TRACK}, one.dictionary)).message.text("35")
    assert made != TRACK
    assert made[:7] == ";453957"
    assert luhn_valid(made[1:17])
    assert len(one.decode(one.encode(Message("0200", {"35": made}))).text("35")) == len(TRACK)


@pytest.mark.parametrize("track", ["=", ";=", ":::=1", "12", ";12?"])
def test_what_is_hardly_a_track_is_redacted_too(track: str) -> None:
    one = any_dialect.dialect("lenient")
    assert len(redact(one, Message("0200", {"35": track}, one.dictionary)).message.text("35")) == len(track)


@settings(max_examples=200 if WHOLE else 100, deadline=None)
@given(st.sampled_from((*any_dialect.NAMES, "everything")), st.integers(0, 1 << 32))
def test_any_message_keeps_its_length_and_none_of_its_secrets(name: str, seed: int) -> None:
    one = EVERYTHING if name == "everything" else any_dialect.dialect(name)
    data = one.encode(any_dialect.message(one, Random(seed)))
    message = one.decode(data)
    made = redact(one, message).message
    redacted = one.encode(made)
    assert len(redacted) == len(data)
    assert one.decode(redacted) == made
    for path, value in message.leaves():
        if one.dictionary.mask_of(path) is Mask.HIDDEN and path != "1":
            assert not re.search(SECRET, made.text(path)) if isinstance(value, str) else not any(made[path])


@pytest.mark.parametrize("number", ["9", "95", "989121", "9891212", "989121234567"])
def test_a_mobile_number_of_any_length_keeps_its_length(number: str) -> None:
    made = redact(EVERYTHING, Message("0200", {"46": number}, EVERYTHING.dictionary)).message.text("46")
    assert len(made) == len(number)
    assert made == (
        number[:4] + "0" * (len(number) - 6) + number[-2:] if len(number) > 6 else "0" * len(number)
    )
