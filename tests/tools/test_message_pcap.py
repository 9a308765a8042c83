"""A capture is what a network card would have seen: read back by an independent parser written here."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.link.framing import Frame, framing_named
from tests.tools.kit import VECTORS, run
from tools.cli import ExitCode
from tools.message_pcap import Ends, Flag, Sent, capture


class Packet(NamedTuple):
    at_us: int
    source: tuple[str, int]
    target: tuple[str, int]
    sequence: int
    acknowledged: int
    flags: int
    data: bytes


def internet_sum(content: bytes) -> int:
    """One's complement sum of 16-bit words; 0xFFFF over content with a right checksum in it."""
    padded = content + b"\0" * (len(content) % 2)
    total = sum(high << 8 | low for high, low in zip(padded[::2], padded[1::2], strict=True))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packets_of(file: bytes) -> list[Packet]:
    magic, major, minor, zone, digits, longest, link = struct.unpack_from("<IHHiIII", file)
    assert (magic, major, minor, zone, digits, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    packets, at = [], 24
    while at < len(file):
        seconds, micros, kept, whole = struct.unpack_from("<IIII", file, at)
        assert kept == whole <= longest
        assert micros < 1_000_000
        ip = file[at + 16 : at + 16 + kept]
        assert len(ip) == kept
        at += 16 + kept
        assert ip[0] == 0x45
        assert ip[9] == 6
        assert struct.unpack_from(">H", ip, 2)[0] == len(ip)
        assert internet_sum(ip[:20]) == 0xFFFF
        tcp = ip[20:]
        assert internet_sum(ip[12:20] + struct.pack(">HH", 6, len(tcp)) + tcp) == 0xFFFF
        source_port, target_port, sequence, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", tcp)
        assert offset >> 4 == 5
        source, target = (".".join(map(str, ip[place : place + 4])) for place in (12, 16))
        moment = seconds * 1_000_000 + micros
        packets.append(
            Packet(
                moment, (source, source_port), (target, target_port), sequence, acknowledged, flags, tcp[20:]
            )
        )
    return packets


def streams_of(packets: list[Packet]) -> dict[tuple[str, int], bytes]:
    """What each end sent, put together by sequence numbers; every byte must be acknowledged."""
    assert [packet.flags for packet in packets[:3]] == [Flag.SYN, Flag.SYN | Flag.ACK, Flag.ACK]
    assert [packet.flags & Flag.FIN for packet in packets[-3:-1]] == [Flag.FIN, Flag.FIN]
    following = {packets[0].source: packets[0].sequence, packets[1].source: packets[1].sequence}
    sent: dict[tuple[str, int], bytes] = dict.fromkeys(following, b"")
    for packet in packets:
        assert packet.sequence == following[packet.source]
        if packet.flags & Flag.ACK:
            assert packet.acknowledged == following[packet.target]
        following[packet.source] += len(packet.data) + bool(packet.flags & (Flag.SYN | Flag.FIN))
        sent[packet.source] += packet.data
    last = {packet.source: packet for packet in packets}
    for end, packet in last.items():
        assert packet.acknowledged == following[packet.target] or end == packets[1].source
    assert all(earlier.at_us <= later.at_us for earlier, later in pairwise(packets))
    return sent


sizes = st.lists(
    st.tuples(st.booleans(), st.binary(min_size=1, max_size=4000), st.integers(0, 10**7)), max_size=6
)


@given(sizes)
def test_both_ends_sent_what_was_given(messages: list[tuple[bool, bytes, int]]) -> None:
    sent = [Sent(10**15 + at, from_client, data) for from_client, data, at in messages]
    ends = Ends("192.0.2.1", 40123, "192.0.2.99", 8583)
    streams = streams_of(packets_of(capture(sent, ends)))
    assert streams == {
        ("192.0.2.1", 40123): b"".join(one.data for one in sent if one.from_client),
        ("192.0.2.99", 8583): b"".join(one.data for one in sent if not one.from_client),
    }


def test_a_message_stands_at_the_time_it_was_given() -> None:
    moments = [1_795_281_312_000_000, 1_795_281_313_250_000]
    packets = packets_of(capture([Sent(moments[0], True, b"one"), Sent(moments[1], False, b"two")], Ends()))
    assert [packet.at_us for packet in packets if packet.data] == moments


@pytest.mark.parametrize("framing", ["2be", "ascii4", "nac", "base24"])
def test_the_command_writes_requests_and_answers_in_their_directions(tmp_path: Path, framing: str) -> None:
    pairs = [vector for vector in VECTORS if vector["name"] in ("sign-on", "sign-on answer")]
    messages = tmp_path / "messages.hex"
    messages.write_text("\n".join(vector["hex"] for vector in pairs))
    file = tmp_path / "out.pcap"
    arguments = ["pcap", str(messages), "-o", str(file), "--framing", framing, "--unsafe"]
    told = run(*arguments, "--time", "2026-11-21T17:15:12Z", "--time", "2026-11-21T17:15:12.250Z")
    assert told.code == ExitCode.OK
    packets = packets_of(file.read_bytes())
    streams = streams_of(packets)
    cut = framing_named(framing)
    expected = [Frame(bytes.fromhex(vector["hex"]), cut.addresses) for vector in pairs]
    assert cut.reader().feed(streams[("10.0.0.1", 40000)], 0.0) == expected[:1]
    assert cut.reader().feed(streams[("10.0.0.2", 8583)], 0.0) == expected[1:]
    assert [packet.at_us for packet in packets if packet.data] == [
        1_795_281_312_000_000,
        1_795_281_312_250_000,
    ]


def test_what_can_not_be_written_is_refused(tmp_path: Path) -> None:
    messages = tmp_path / "messages.hex"
    messages.write_text(VECTORS[0]["hex"])
    output = str(tmp_path / "out.pcap")
    refusals = (
        (["--time", "yesterday"], "'yesterday' is no time"),
        (["--time", "1969-01-01"], "a time before 1970"),
        (["--time", "2026-01-01", "--time", "2026-01-02"], "2 times for 1 messages"),
        (["--client", "localhost:1"], "--client 'localhost:1' is no IPv4 address and port"),
        (["--server", "10.0.0.256:1"], "is no IPv4 address and port"),
        (["--framing", "none"], None),
    )
    for options, words in refusals:
        told = run("pcap", str(messages), "-o", output, *options)
        if words is None:
            assert told.code == ExitCode.OK
        else:
            assert told.code == ExitCode.USAGE
            assert words in told.err
