"""Receipt printer on a serial line: text out, paper status back (ESC/POS, DLE EOT 4).

A receipt goes out as UTF-8 lines followed by a request for the paper status; only the answer says that it
came out. No I/O, no clock and no layout here.
"""

PAPER_STATUS_REQUEST = b"\x10\x04\x04"
_LINE_FEED = 0x0A
LINES_BEFORE_CUT = 3  # between print head and tear bar
LONGEST_ANSWER_BYTES = 64  # looked at per call; a printer says one byte

# The status byte is 0xx1xx10: bits 2-3 paper near its end, bits 5-6 paper out.
_FIXED_MASK, _FIXED_BITS = 0x93, 0x12
_PAPER_OUT = 0x60

OK = "ok"
PAPER_OUT = "paper_out"


def receipt_bytes(lines):
    """What to send for a receipt of these lines (str), status request included."""
    data = bytearray()
    for line in lines:
        data.extend(line.encode())
        data.append(_LINE_FEED)
    data.extend(b"\n" * LINES_BEFORE_CUT)
    data.extend(PAPER_STATUS_REQUEST)
    return data


def paper_status(data):
    """OK or PAPER_OUT of the newest status byte in `data`; None when there is none (noise)."""
    for byte in reversed(data[-LONGEST_ANSWER_BYTES:]):
        if byte & _FIXED_MASK == _FIXED_BITS:
            return PAPER_OUT if byte & _PAPER_OUT else OK
    return None
