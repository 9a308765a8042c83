"""Frames cut out of a stream, requests as bytes, answers matched."""

import os

from terminal.dukpt import Transmission, from_initial_key
from terminal.hal.crypto import aes
from terminal.line import (
    LONGEST_FRAME_BYTES,
    SHORTEST_MESSAGE_BYTES,
    FrameError,
    Frames,
    Ignored,
    Request,
    framed,
)
from terminal.message import pack, pack_tags, split_mac, unpack
from tests.terminal.host_keys import INITIAL_KEY, INITIAL_KEY_ID, HostKeys

TPDU = b"\x60\x00\x03\x00\x00"
MESSAGES = [bytes([65 + place]) * length for place, length in enumerate((10, 11, 100, 255, 256, 395))]


def cut(stream, tpdu, sizes):
    """All messages of a stream that comes in pieces of these sizes, over and over."""
    frames = Frames(tpdu)
    found = []
    at = piece = 0
    while at < len(stream):
        size = sizes[piece % len(sizes)]
        found += frames.feed(stream[at : at + size])
        at += size
        piece += 1
    return found


def test_frames_torn_and_joined_anywhere():
    for tpdu in (TPDU, None):
        stream = b"".join([framed(message, tpdu) for message in MESSAGES])
        for sizes in ((1,), (2,), (3,), (7,), (1, 400), (64,), (len(stream),)):
            assert cut(stream, tpdu, sizes) == MESSAGES


def test_a_frame_cut_at_every_byte_is_no_frame_yet():
    stream = framed(MESSAGES[0], TPDU)
    for place in range(len(stream)):
        frames = Frames(TPDU)
        assert frames.feed(stream[:place]) == []
        assert frames.feed(stream[place:]) == [MESSAGES[0]]


def test_the_length_does_not_count_itself_and_the_tpdu_leads():
    assert framed(b"x" * 10, TPDU) == b"\x00\x0f" + TPDU + b"x" * 10
    assert framed(b"x" * 10, None) == b"\x00\x0a" + b"x" * 10


def test_impossible_lengths_end_the_connection():
    for tpdu, length in (
        (None, 0),
        (None, SHORTEST_MESSAGE_BYTES - 1),
        (TPDU, SHORTEST_MESSAGE_BYTES + 4),
        (None, LONGEST_FRAME_BYTES + 1),
        (None, 65535),
    ):
        try:
            Frames(tpdu).feed(length.to_bytes(2, "big") + b"x")
        except FrameError as error:
            assert str(length) in str(error)
            continue
        raise AssertionError(length)


def both_ends(counter=1):
    """The terminal's keys of one message, and the switch's."""
    registers = from_initial_key(aes, INITIAL_KEY_ID, bytearray(INITIAL_KEY), counter)
    transmission = Transmission(aes, INITIAL_KEY_ID, *registers.take(), os.urandom)
    return transmission, HostKeys(transmission.serial)


def test_answers_by_what_they_must_repeat():
    here, switch = both_ends()
    asked = {3: "306000", 11: "000007", 12: "235959", 13: "1231", 41: "10000001", 42: "1" * 15}
    request = Request("0100", asked, here, TPDU)
    assert request.frame[2:7] == TPDU
    mti, fields = unpack(request.frame[7:])
    assert mti == "0100" and fields[11] == "000007"
    assert fields[53] == b"\x01" + INITIAL_KEY_ID + b"\x00\x00\x00\x01" and 53 not in asked
    body, mac = split_mac(request.frame[7:])
    assert mac == switch.request_mac(body)
    good = {11: "000007", 12: "235959", 39: "00", 41: "10000001"}
    assert request.answered_by(pack("0110", good, switch.answer_mac))[39] == "00"
    rows = (
        ("0110", {11: "000008"}, "another request"),
        ("0110", {12: "235958"}, "another request"),
        ("0110", {41: "10000002"}, "another request"),
        ("0210", {}, "another kind"),
        ("0100", {}, "another kind"),
    )
    for mti, values, why in rows:
        fields = dict(good)
        fields.update(values)
        assert why in ignored(request, pack(mti, fields, switch.answer_mac))
    message = pack("0110", good, switch.answer_mac)
    assert "MAC" in ignored(request, message[:-1] + bytes([message[-1] ^ 1]))
    assert "MAC" in ignored(request, pack("0110", good))
    assert "MAC" in ignored(request, pack("0110", good, switch.request_mac))
    assert "MAC" in ignored(request, pack("0110", good, both_ends(2)[1].answer_mac))
    assert "MAC" in ignored(request, b"")
    del good[39]
    assert "response code" in ignored(request, pack("0110", good, switch.answer_mac))


def test_personal_tags_leave_in_clear_only_where_the_line_hides_them():
    for is_private in (False, True):
        here, switch = both_ends()
        fields = {11: "000007", 48: {1: "000000000005", 7: "989121234567", 6: "123456"}}
        tags = unpack(Request("0100", fields, here, None, is_private).frame[2:])[1][48]
        if is_private:
            assert tags == fields[48]
        else:
            assert sorted(tags) == [1, 0x20]
            assert switch.data_of(tags[0x20]) == pack_tags(48, {6: "123456", 7: "989121234567"})
        assert fields[48][7] == "989121234567"


def ignored(request, message):
    try:
        request.answered_by(message)
    except Ignored as why:
        return str(why)
    return "answered"


def test_a_verified_message_that_is_none_is_ignored():
    here, switch = both_ends()
    request = Request("0800", {11: "000007", 41: "10000001", 42: "1" * 15, 70: "001"}, here, None)
    body = b"\x08\x10" + b"\x00" * 7 + b"\x01" + b"junk"
    assert ignored(request, body + switch.answer_mac(body)) == "it can't be read"
