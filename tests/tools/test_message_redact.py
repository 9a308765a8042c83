"""Redaction of tracks as cards have them, sentinels and all."""

from __future__ import annotations

import pytest

from switch.iso8583 import Message, load
from switch.iso8583.masks import luhn_valid
from tests.iso8583 import any_dialect
from tools.message_redact import redact

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
