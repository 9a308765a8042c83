"""Garbage of one earn request, packed and MACed, on MicroPython: prints it as JSON, in bytes.

garbage: what was allocated from the fields to the frame, with no collection in between; kept: what of it
was still there once the request was dropped and the garbage collected.
"""

import gc
import json
import os

from terminal.dukpt import Transmission
from terminal.hal.crypto import aes
from terminal.line import Request

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


def main():
    request()  # whatever stays from the first time on
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    request()
    garbage = gc.mem_alloc() - before
    gc.enable()
    gc.collect()
    print(json.dumps({"garbage": garbage, "kept": max(0, gc.mem_alloc() - before)}))


if __name__ == "__main__":
    main()
