"""Captures that Wireshark opens: a TCP conversation around messages, made up whole. Pure: bytes to bytes.

The format is libpcap's (microseconds, little-endian, link type raw IP): one connection with handshake,
sequence and acknowledgement numbers, checksums, both directions, and its end.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence
from enum import IntFlag
from typing import NamedTuple

MAGIC, VERSION, SNAPSHOT_BYTES, LINK_RAW_IP = 0xA1B2C3D4, (2, 4), 262_144, 101
SEGMENT_BYTES = 1460  # Ethernet's 1500 without IP and TCP headers
WINDOW_BYTES = 65_535
TIME_TO_LIVE = 64
TCP = 6
CLIENT_SEQUENCE, SERVER_SEQUENCE = 1_000_000, 5_000_000
ROUND_TRIP_US = 200  # between a segment and its acknowledgement: a quick local network


class Flag(IntFlag):
    """TCP flags (RFC 9293 §3.1)."""

    FIN = 1
    SYN = 2
    PSH = 8
    ACK = 16


class Sent(NamedTuple):
    """One framed message. at_us: microseconds since 1970; from_client: the direction."""

    at_us: int
    from_client: bool
    data: bytes


class Ends(NamedTuple):
    """Addresses (IPv4) and ports of the two ends."""

    client: str = "10.0.0.1"
    client_port: int = 40_000
    server: str = "10.0.0.2"
    server_port: int = 8583


def capture(messages: Sequence[Sent], ends: Ends) -> bytes:
    """The whole file: handshake, every message with its acknowledgement, the end of the connection."""
    header = struct.pack("<IHHiIII", MAGIC, *VERSION, 0, 0, SNAPSHOT_BYTES, LINK_RAW_IP)
    records = [
        struct.pack("<IIII", at // 1_000_000, at % 1_000_000, len(packet), len(packet)) + packet
        for at, packet in _Conversation(ends).packets(messages)
    ]
    return header + b"".join(records)


class _Conversation:
    """One TCP connection as both ends see it: what each sent so far."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._next = {True: CLIENT_SEQUENCE, False: SERVER_SEQUENCE}
        self._packets = 0
        self._now = 0

    def packets(self, messages: Sequence[Sent]) -> Iterator[tuple[int, bytes]]:
        start = messages[0].at_us if messages else 0
        self._now = max(0, start - 4 * ROUND_TRIP_US)
        yield self._packet(True, Flag.SYN)
        yield self._packet(False, Flag.SYN | Flag.ACK)
        yield self._packet(True, Flag.ACK)
        for message in messages:
            # time never runs backwards, whatever timestamps are given
            self._now = max(self._now, message.at_us - ROUND_TRIP_US)
            pieces = [
                message.data[at : at + SEGMENT_BYTES] for at in range(0, len(message.data), SEGMENT_BYTES)
            ]
            for number, piece in enumerate(pieces, start=1):
                flags = Flag.PSH | Flag.ACK if number == len(pieces) else Flag.ACK
                yield self._packet(message.from_client, flags, piece)
            yield self._packet(not message.from_client, Flag.ACK)
        yield self._packet(True, Flag.FIN | Flag.ACK)
        yield self._packet(False, Flag.FIN | Flag.ACK)
        yield self._packet(True, Flag.ACK)

    def _packet(self, from_client: bool, flags: Flag, data: bytes = b"") -> tuple[int, bytes]:
        self._now += ROUND_TRIP_US
        self._packets += 1
        ends = self._ends
        ports = (ends.client_port, ends.server_port)
        addresses = (_address(ends.client), _address(ends.server))
        if not from_client:
            ports, addresses = ports[::-1], addresses[::-1]
        acknowledged = self._next[not from_client] if flags & Flag.ACK else 0
        sequence = self._next[from_client]
        segment = _segment(ports, sequence, acknowledged, flags, data, addresses)
        consumed = len(data) + bool(flags & Flag.SYN) + bool(flags & Flag.FIN)
        self._next[from_client] = (sequence + consumed) % (1 << 32)
        return self._now, _datagram(addresses, self._packets, segment)


def _address(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def _segment(
    ports: tuple[int, int],
    sequence: int,
    acknowledged: int,
    flags: Flag,
    data: bytes,
    addresses: tuple[bytes, bytes],
) -> bytes:
    offset = 5 << 4  # 5 words of header, no options
    head = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, offset, flags, WINDOW_BYTES, 0, 0)
    segment = head + data
    pseudo = b"".join(addresses) + struct.pack(">BBH", 0, TCP, len(segment))
    return segment[:16] + struct.pack(">H", _checksum(pseudo + segment)) + segment[18:]


def _datagram(addresses: tuple[bytes, bytes], identification: int, segment: bytes) -> bytes:
    size = 20 + len(segment)
    version, do_not_fragment = 0x45, 0x4000
    head = struct.pack(
        ">BBHHHBBH", version, 0, size, identification & 0xFFFF, do_not_fragment, TIME_TO_LIVE, TCP, 0
    ) + b"".join(addresses)
    return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + segment


def _checksum(content: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(content) % 2:
        content += b"\0"
    total: int = sum(struct.unpack(f">{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
