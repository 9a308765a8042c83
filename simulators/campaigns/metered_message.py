"""Garbage of one earn request, packed and MACed, on MicroPython: prints it as JSON, in bytes.

garbage: what packing and MACing the fields allocated, with no collection in between; request: the same with
the derivation of its keys, its frame and what checks its answer; kept: what of that was still there once the
request was dropped and the garbage collected.
"""

import gc
import json
import os

from terminal.dukpt import Transmission
from terminal.hal.crypto import aes
from terminal.line import Request
from terminal.message import pack

IDENTIFIER = bytes(range(8))
TPDU = bytes(5)
FIELDS = {
    3: "210060",
    4: "000002500000",
    11: "123456",
    12: "140305",
    13: "0824",
    22: "021",
    35: "9364001234567898=29121010000",
    41: "10000001",
    42: "100000000000001",
    49: "364",
    60: "000001",
}


def request():
    """The frame of one earn request under its own keys."""
    transmission = Transmission(aes, IDENTIFIER, 1, bytearray(16), os.urandom)
    return Request("0200", FIELDS, transmission, TPDU)


def packed():
    """A function that packs and MACs the same fields, its keys being there."""
    transmission = Transmission(aes, IDENTIFIER, 1, bytearray(16), os.urandom)
    sent = dict(FIELDS)
    sent[53] = b"\x01" + transmission.serial
    return lambda: pack("0200", sent, transmission.mac)


def measured(call):
    """(garbage of a call, what of it stays)."""
    call()  # whatever stays from the first time on
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    call()
    garbage = gc.mem_alloc() - before
    gc.enable()
    gc.collect()
    return garbage, gc.mem_alloc() - before


def main():
    garbage, _ = measured(packed())
    whole, kept = measured(request)
    print(json.dumps({"garbage": garbage, "request": whole, "kept": kept}))


if __name__ == "__main__":
    main()
