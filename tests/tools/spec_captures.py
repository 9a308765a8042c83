"""Captures written byte by byte, and what Debian's tshark makes of them: an oracle sharing no code with us.

One direction of one TCP connection over raw IP; the caller says how the stream is cut into segments.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PORT = 8583
_LINKTYPE_RAW_IP = 101
_LOOPBACK = bytes((127, 0, 0, 1))

Pairs = list[tuple[str, Any]]


def capture(segments: Iterable[bytes], port: int = PORT) -> bytes:
    """A pcap file (version 2.4) with one TCP segment to `port` per item of `segments`."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_RAW_IP)]
    sequence = 1
    for number, payload in enumerate(segments):
        tcp = struct.pack(">HHIIBBHHH", 40000, port, sequence, 1, 5 << 4, 0x18, 8192, 0, 0) + payload
        size = 20 + len(tcp)
        packet = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, number, 0, 64, 6, 0, _LOOPBACK, _LOOPBACK) + tcp
        parts += struct.pack("<IIII", 1_700_000_000 + number, 0, size, size), packet
        sequence += len(payload)
    return b"".join(parts)


def framed(message: bytes) -> bytes:
    """`message` behind its 2-byte big-endian length."""
    return len(message).to_bytes(2, "big") + message


def tshark(directory: Path, segments: Iterable[bytes], *options: str) -> list[Pairs]:
    """Per packet, what tshark prints of it as JSON: all pairs of name and value, in order, flattened.

    An object's own pairs follow it.
    """
    packets = json.loads(printed(directory, segments, "-T", "json", *options), object_pairs_hook=_Pairs)
    return [list(_flat(dict(dict(packet)["_source"])["layers"])) for packet in packets]


def printed(directory: Path, segments: Iterable[bytes], *options: str) -> str:
    """What tshark prints; fails when tshark itself complains of anything."""
    file = directory / "capture.pcap"
    file.write_bytes(capture(segments))
    ran = subprocess.run(
        ["tshark", "-r", str(file), *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "HOME": str(directory)},  # the settings of whoever runs the tests don't count
        timeout=60,
        check=False,
    )
    # the first line of a superuser's stderr is a general warning
    said = [line for line in ran.stderr.splitlines() if not line.startswith("Running as user")]
    assert (ran.returncode, said) == (0, []), ran.stderr
    return ran.stdout


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs: tshark repeats keys."""


def _flat(pairs: _Pairs) -> Iterable[tuple[str, Any]]:
    for name, value in pairs:
        if isinstance(value, _Pairs):
            yield name, None
            yield from _flat(value)
        else:
            yield name, value


def first(pairs: Pairs, name: str) -> str | None:
    """The value of the first item called `name`."""
    return next((value for key, value in pairs if key == name), None)
