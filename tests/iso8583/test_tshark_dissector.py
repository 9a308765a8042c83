"""The generated Wireshark dissectors, run by Debian's tshark, show what our own decode shows."""

from __future__ import annotations

import json
from pathlib import Path

from switch.iso8583 import Dialect, Message, load
from switch.link.framing import DEFAULT_FRAMING, framing_named
from tests.iso8583 import oracle
from tests.tools.spec_captures import PORT, Pairs, first, framed, tshark
from tools.spec_dissector import dissector, item_name, proto_name

VAFA = load("vafa")
VECTORS = [bytes.fromhex(vector["hex"]) for vector in json.loads(oracle.VECTORS.read_text(encoding="utf-8"))]


def dissected(
    directory: Path, dialect: Dialect, segments: list[bytes], framing: str = DEFAULT_FRAMING.name
) -> list[Pairs]:
    """What tshark shows of each packet with the dissector generated for `dialect`."""
    script = directory / f"{dialect.name}.lua"
    script.write_text(dissector(dialect.dictionary, framing_named(framing), [PORT]), encoding="utf-8")
    return tshark(directory, segments, "-X", f"lua_script:{script}", "-J", proto_name(dialect.dictionary))


def shown(message: Message) -> dict[str, str]:
    """Our decode, named as the dissector names its items; what is unknown by its path."""
    return {item_name(path): text for path, text in message.masked()}


def shown_by_tshark(pairs: Pairs, dialect: Dialect) -> dict[str, str]:
    """The values tshark shows, by item name."""
    name = proto_name(dialect.dictionary)
    found: dict[str, str] = {}
    for item, value in pairs:
        rest = item.removeprefix(name + ".")
        if rest == "unknown":
            path, _colon, text = value.partition(": ")
            rest, value = item_name(path), text
        if rest.startswith("de") and value is not None and not rest.endswith("_tree"):
            assert rest not in found, f"{rest} comes twice"
            found[rest] = value
    return found


def test_every_sample_is_shown_as_we_decode_it(tmp_path: Path) -> None:
    packets = dissected(tmp_path, VAFA, [framed(data) for data in VECTORS])
    assert len(packets) == len(VECTORS)
    for data, pairs in zip(VECTORS, packets, strict=True):
        message = VAFA.decode(data)
        assert shown_by_tshark(pairs, VAFA) == shown(message)
        assert first(pairs, "vafa.mti") == message.mti
