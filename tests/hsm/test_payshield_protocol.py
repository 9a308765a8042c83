"""The client's side of payShield framing, without a socket: whose reply is whose, and what ends it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm import payshield_protocol as protocol
from switch.hsm.payshield_protocol import BodyReader, Conversation, Exhausted, ProtocolAnomaly, Reply
from switch.hsm.port import Direction, DukptPin, Fault, Key, KeyAlgorithm, KeyUse, MacAlgorithm, ZonePin

COMMAND = b"M6"


def reply_frame(header: bytes, body: bytes = b"", code: bytes = b"M7", error: bytes = b"00") -> bytes:
    content = header + code + error + body
    return len(content).to_bytes(2) + content


def test_a_request_is_framed_as_length_header_command_body() -> None:
    header, frame = Conversation(4).request(b"NC", b"")
    assert frame == b"\x00\x06" + header + b"NC"


def test_the_published_status_exchange_is_understood() -> None:
    conversation = Conversation(4)
    header, _ = conversation.request(b"NC", b"")
    answer = bytes.fromhex("0021") + header + b"ND005D672700000000001500-0023"
    (reply,) = conversation.receive(answer)
    assert reply == Reply(header, "00", b"5D672700000000001500-0023")


@pytest.mark.parametrize(
    ("command", "code"), [(b"A0", b"A1"), (b"NC", b"ND"), (b"NO", b"NP"), (b"CY", b"CZ"), (b"N0", b"N1")]
)
def test_a_reply_carries_the_next_code(command: bytes, code: bytes) -> None:
    assert protocol.response_code(command) == code


@given(st.data())
def test_every_reply_reaches_its_own_request_however_it_is_cut_and_ordered(data: st.DataObject) -> None:
    conversation = Conversation(4)
    headers = [conversation.request(COMMAND, bytes(n))[0] for n in range(data.draw(st.integers(1, 12)))]
    order = data.draw(st.permutations(headers))
    stream = b"".join(reply_frame(header, b"for " + header) for header in order)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    received = []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        received += list(conversation.receive(stream[start:end]))
    assert [reply.header for reply in received] == list(order)
    assert all(reply.body == b"for " + reply.header for reply in received)
    assert conversation.in_flight == 0


HOSTILE = st.sampled_from(["right", "again", "unknown header", "other code", "bad error", "short", "junk"])


@given(st.lists(HOSTILE, max_size=12), st.integers(1, 4))
def test_a_hostile_peer_never_gives_one_request_anothers_reply(actions: list[str], header_bytes: int) -> None:
    """Whatever the peer does: a request gets the reply that was made for it, once, or none."""
    conversation = Conversation(header_bytes)
    expected = {
        header: b"for " + header for header in (conversation.request(COMMAND, b"")[0] for _ in range(6))
    }
    answered: list[bytes] = []
    waiting = list(expected)
    for action in actions:
        if action == "right" and waiting:
            header = waiting.pop()
            sent = reply_frame(header, expected[header])
            answered.append(header)
        elif action == "again" and answered:
            sent = reply_frame(answered[-1], b"for another")
        elif action == "unknown header":
            sent = reply_frame(b"z" * header_bytes, b"for nobody")
        elif action == "other code" and waiting:
            sent = reply_frame(waiting[-1], b"for another", code=b"M9")
        elif action == "bad error" and waiting:
            sent = reply_frame(waiting[-1], b"for another", error=b"\x00\xff")
        elif action == "short":
            sent = b"\x00\x01\x00"
        else:
            sent = b"\x00\x30" + b"\xff" * 48
        try:
            for reply in conversation.receive(sent):
                assert reply.body == expected.pop(reply.header)
        except ProtocolAnomaly:
            assert action != "right"
            with pytest.raises(ProtocolAnomaly):
                list(conversation.receive(reply_frame(waiting[-1]) if waiting else b""))
            return


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x00",
        b"\x00\x07" + b"0000M70",
        reply_frame(b"0001"),
        reply_frame(b"0000", code=b"M9"),
        reply_frame(b"0000", error=b"0\x80"),
        reply_frame(b"0000") + reply_frame(b"0000"),
    ],
)
def test_what_does_not_fit_ends_the_conversation(answer: bytes) -> None:
    conversation = Conversation(4)
    conversation.request(COMMAND, b"")
    with pytest.raises(ProtocolAnomaly):
        list(conversation.receive(answer))
    with pytest.raises(ProtocolAnomaly, match="over"):
        list(conversation.receive(reply_frame(b"0000")))


def test_a_header_is_never_used_twice() -> None:
    conversation = Conversation(1)
    headers = []
    for _ in range(62):
        header, _ = conversation.request(COMMAND, b"")
        list(conversation.receive(reply_frame(header)))
        headers.append(header)
    assert len(set(headers)) == 62
    assert conversation.headers_left == 0
    with pytest.raises(Exhausted):
        conversation.request(COMMAND, b"")


@pytest.mark.parametrize("header_bytes", [0, 256])
def test_a_header_that_tells_nothing_apart_is_refused(header_bytes: int) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        Conversation(header_bytes)


def test_a_request_that_does_not_fit_a_frame_is_refused() -> None:
    conversation = Conversation(4)
    conversation.request(COMMAND, bytes(0xFFFF - 6))
    with pytest.raises(ValueError, match="can't be framed"):
        conversation.request(COMMAND, bytes(0xFFFF - 5))


# ---------------------------------------------------------------- bodies

TOKEN = "S10022B0AX00N0000ABCDEF"
BLOCK = "D0016P0AE00E0000"
SERIAL = bytes.fromhex("0011223344556677000000AB")
CARD = "9364001234567890"
KEY = Key(TOKEN, KeyUse.BASE_DERIVATION, "A1B2C3")
DUKPT = DukptPin(KEY, SERIAL, bytes(range(16)))
ZONE = ZonePin(KEY, bytes(range(16)))
PIN_HEX = b"000102030405060708090A0B0C0D0E0F"
SERIAL_HEX = b"0011223344556677000000AB"
RAW = b"\x00\xff%19;\x19"
T = TOKEN.encode()


@pytest.mark.parametrize(
    ("built", "body"),
    [
        (protocol.random(8), b"008"),
        (protocol.generate_key("10", KeyAlgorithm.AES_256, False), b"10A3N"),
        (protocol.generate_key("M7", KeyAlgorithm.HMAC_256, True), b"M7H5E"),
        (protocol.import_key(TOKEN, BLOCK), b"FFF" + T + b"R" + BLOCK.encode() + b"S"),
        (protocol.export_key(TOKEN, TOKEN), b"FFF" + T + T + b"R"),
        (protocol.check_value(TOKEN), b"FFF" + T + b";FFF;001"),
        (protocol.derive_initial_key(TOKEN, SERIAL[:8], TOKEN), T + b"0011223344556677" + T),
        (protocol.mac(TOKEN, RAW, MacAlgorithm.CMAC), b"00160FFF" + T + b"0007" + RAW),
        (protocol.mac(TOKEN, RAW, MacAlgorithm.RETAIL), b"00131FFF" + T + b"0007" + RAW),
        (
            protocol.mac(TOKEN, RAW, MacAlgorithm.CMAC, bytes(8)),
            b"00160FFF" + T + b"0007" + RAW + b"0" * 16,
        ),
        (protocol.hmac(TOKEN, RAW), b"4" + T + b"0007" + RAW),
        (protocol.hmac(TOKEN, RAW, bytes(8)), b"1" + T + b"0" * 16 + b"0007" + RAW),
        (
            protocol.dukpt_mac(TOKEN, SERIAL, RAW, Direction.REQUEST),
            b"41" + T + SERIAL_HEX + b"0007" + RAW,
        ),
        (
            protocol.dukpt_mac(TOKEN, SERIAL, RAW, Direction.RESPONSE, bytes(8)),
            b"12" + T + SERIAL_HEX + b"0" * 16 + b"0007" + RAW,
        ),
        (
            protocol.dukpt_data(TOKEN, SERIAL, RAW, Direction.REQUEST, decrypt=False),
            b"01" + T + SERIAL_HEX + b"0007" + RAW,
        ),
        (
            protocol.dukpt_data(TOKEN, SERIAL, RAW, Direction.RESPONSE, decrypt=True),
            b"12" + T + SERIAL_HEX + b"0007" + RAW,
        ),
        (
            protocol.pin_translate(DUKPT, CARD, TOKEN, "48"),
            b"D" + T + SERIAL_HEX + T + b"4848" + PIN_HEX + b"16" + CARD.encode(),
        ),
        (
            protocol.pin_verifier(ZONE, CARD, TOKEN, b"ab"),
            b"Z" + T + T + b"48" + PIN_HEX + b"16" + CARD.encode() + b"026162",
        ),
        (
            protocol.pin_verifier(ZONE, CARD, TOKEN, b"ab", bytes(16)),
            b"Z" + T + T + b"48" + PIN_HEX + b"16" + CARD.encode() + b"026162" + b"0" * 32,
        ),
        (
            protocol.pin_value(ZONE, CARD, TOKEN, 1, "1234"),
            b"Z" + T + T + b"48" + PIN_HEX + b"16" + CARD.encode() + b"11234",
        ),
        (protocol.card_value(TOKEN, CARD, "2912", "101"), T + CARD.encode() + b";2912101"),
        (protocol.card_value(TOKEN, CARD, "2912", "101", "705"), T + b"705" + CARD.encode() + b";2912101"),
        (
            protocol.card_tap(TOKEN, bytes(16), bytes(8), RAW),
            T + b"0" * 32 + b"0" * 16 + b"0007" + RAW,
        ),
        (protocol.card_challenge(TOKEN, bytes(7), bytes(16)), T + b"0" * 14 + b"0" * 32),
        (
            protocol.card_confirm(TOKEN, bytes(7), b"ab", bytes(32)),
            T + b"0" * 14 + b"026162" + b"0" * 64,
        ),
        (protocol.with_master_key(b"body", "07"), b"body%07"),
    ],
)
def test_a_request_is_laid_out_as_published(built: bytes, body: bytes) -> None:
    assert built == body


def test_a_body_is_read_field_by_field() -> None:
    reader = BodyReader(b"S10022B0AX00N0000ABCDEF" + b"a1B2c3" + b"0007" + RAW + b"123")
    assert reader.key("S") == TOKEN
    assert reader.check_digits() == "A1B2C3"
    assert reader.raw(reader.number(4)) == RAW
    assert reader.digits(3) == "123"
    reader.end()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"12", lambda reader: reader.raw(3)),
        (b"\xff2", lambda reader: reader.text(2)),
        (b"1a", lambda reader: reader.digits(2)),
        (b"1g", lambda reader: reader.hexadecimal(1)),
        (b"1 2 ", lambda reader: reader.hexadecimal(2)),
        (b"S10022B0", lambda reader: reader.key("S")),
        (b"S1xx22B0AX00N0000ABCDEF", lambda reader: reader.key("S")),
        (b"R10022B0AX00N0000ABCDEF", lambda reader: reader.key("S")),
        (b"12", lambda reader: reader.end()),
        (b"12", lambda reader: (reader.nothing(), reader.end())),
    ],
)
def test_a_body_that_is_not_as_declared_is_an_anomaly(body: bytes, read: object) -> None:
    assert callable(read)
    with pytest.raises(ProtocolAnomaly):
        read(BodyReader(body))


def test_every_error_the_switch_must_tell_apart_is_mapped() -> None:
    """The codes of crypto facts, by what the switch does about them."""
    expected = {
        Fault.KEY_DAMAGED: "10 11 84 A4",
        Fault.UNKNOWN_KEY: "13 A1 A2 A3",
        Fault.BAD_INPUT: "15 23 80",
        Fault.NOT_AUTHORISED: "17",
        Fault.BAD_PIN_BLOCK: "20 24",
        Fault.KEY_USE: "27 29 A5 A6 A7 A8",
        Fault.UNSUPPORTED: "67 68 69",
        Fault.UNAVAILABLE: "12 41 42",
    }
    for fault, codes in expected.items():
        assert {code: protocol.FAULTS[code] for code in codes.split()} == dict.fromkeys(codes.split(), fault)
    assert protocol.OK not in protocol.FAULTS
    assert {"41", "42"} <= protocol.ILL <= protocol.FAULTS.keys()


def test_a_reply_shows_no_body() -> None:
    assert "secret" not in repr(Reply(b"0000", "00", b"secret"))
