"""Fields of one format each, as integrators write them: what tables of good bytes and bad ones share."""

TEXT_BINARY_LENGTH = """
class = "ans"
encoding = "ascii"
length = { prefix = "binary", bytes = 2, max = 60000 }
"""

TEXT_HEX_LENGTH = """
class = "ans"
encoding = "ascii"
length = { prefix = "hex", digits = 2, max = 255 }
"""

EBCDIC_TEXT = """
class = "ans"
encoding = "ebcdic"
length = { prefix = "ebcdic", digits = 2, max = 99 }
"""

LENGTH_COUNTS_ITSELF = """
class = "b"
encoding = "binary"
length = { prefix = "binary", bytes = 1, max = 30, inclusive = true }
"""

BCD_PAD_LEFT = """
class = "n"
encoding = "bcd"
length = { prefix = "bcd", digits = 2, max = 19 }
pad = { side = "left", nibble = "0" }
"""

BCD_PAD_RIGHT = """
class = "n"
encoding = "bcd"
length = { prefix = "bcd", digits = 2, max = 19 }
pad = { side = "right", nibble = "F" }
"""

BCD_BYTES_PADDED = """
class = "n"
encoding = "bcd"
length = { prefix = "bcd", digits = 2, max = 10, unit = "bytes" }
pad = { side = "right", nibble = "F" }
"""

BCD_BYTES = """
class = "n"
encoding = "bcd"
length = { prefix = "bcd", digits = 2, max = 10, unit = "bytes" }
"""

TRACK_PACKED = """
class = "z"
encoding = "bcd"
length = { prefix = "bcd", digits = 2, max = 37 }
pad = { side = "right", nibble = "F" }
"""

TRACK_TEXT = """
class = "z"
encoding = "ascii"
length = { prefix = "ascii", digits = 2, max = 37 }
"""

BYTES_IN_NIBBLES = """
class = "b"
encoding = "binary"
length = { prefix = "ascii", digits = 2, max = 20, unit = "nibbles" }
"""

HEX_CHARACTERS = """
class = "b"
encoding = "hex"
length = { prefix = "ascii", digits = 2, max = 20, unit = "characters" }
"""

AMOUNT_TEXT = """
class = "x+n"
encoding = "ascii"
length = { fixed = 9 }
"""

AMOUNT_BCD = """
class = "x+n"
encoding = "bcd"
length = { fixed = 9 }
"""

AMOUNT_NIBBLE = """
class = "x+n"
encoding = "bcd"
sign = "nibble"
length = { fixed = 9 }
pad = { side = "left", nibble = "0" }
"""

FILLED_TEXT = """
class = "ans"
encoding = "ascii"
length = { fixed = 3 }
pad = { side = "right", character = " " }
"""

LETTER_TAGS = """
class = "tlv"
length = { prefix = "ascii", digits = 3, max = 999 }
tlv = { tag = { encoding = "ascii", characters = 2 }, length = { encoding = "ascii", digits = 3 } }
[.tags.AB]
@
class = "n"
encoding = "ascii"
length = { min = 1, max = 5 }
"""

REPEATED_TAGS = """
class = "tlv"
length = { prefix = "bcd", digits = 3, max = 999 }
tlv = { tag_bytes = 1, length_bytes = 1, repeats = true }
"""

NESTED_TAGS = """
class = "tlv"
length = { prefix = "binary", bytes = 1, max = 99 }
tlv = { form = "ber" }
[.tags.70]
@
class = "tlv"
length = { max = 50 }
tlv = { form = "ber", tags = "emv" }
"""

PARTS = """
class = "positional"
length = { prefix = "ascii", digits = 2, max = 20 }
[.subfields.1]
@
class = "n"
encoding = "ascii"
length = { fixed = 2 }
[.subfields.2]
@
class = "ans"
encoding = "ascii"
length = { fixed = 3 }
optional = true
"""

BITMAPPED = """
class = "bitmapped"
length = { prefix = "binary", bytes = 1, max = 255 }
bitmap = { encoding = "binary", bytes = 3 }
[.subfields.1]
@
class = "n"
encoding = "bcd"
length = { fixed = 2 }
[.subfields.20]
@
class = "ans"
encoding = "ascii"
length = { prefix = "ascii", digits = 1, max = 9 }
"""

TAGS_IN_HEX = """
class = "tlv"
encoding = "hex"
length = { prefix = "ascii", digits = 3, max = 999, unit = "characters" }
tlv = { form = "ber", tags = "emv" }
"""

TEXT = """
class = "ans"
encoding = "ascii"
length = { prefix = "ascii", digits = 3, max = 999 }
"""

DIGITS = """
class = "n"
encoding = "ascii"
length = { prefix = "ascii", digits = 2, max = 19, min = 2 }
"""

HEX_BYTES = """
class = "b"
encoding = "hex"
length = { fixed = 2, unit = "bytes" }
"""

EBCDIC_FIXED = """
class = "ans"
encoding = "ebcdic"
length = { fixed = 3 }
"""

ONE_VALUE = """
class = "ans"
encoding = "ascii"
length = { fixed = 3 }
only = ["ISO"]
"""

BER_TAGS = """
class = "tlv"
length = { prefix = "binary", bytes = 1, max = 99 }
tlv = { form = "ber", tags = "emv" }
"""

GROUPS = """
class = "positional"
repeat = 2
length = { prefix = "ascii", digits = 2, max = 99 }
[.subfields.1]
@
class = "n"
encoding = "ascii"
length = { fixed = 2 }
[.subfields.2]
@
class = "x+n"
encoding = "ascii"
length = { fixed = 4 }
"""

HEX_BITMAP = """
class = "bitmapped"
length = { prefix = "ascii", digits = 4, max = 999 }
bitmap = { encoding = "hex", bytes = 1, first_bit = "announces" }
[.subfields.3]
@
class = "ans"
encoding = "ascii"
length = { fixed = 2 }
[.subfields.9]
@
class = "ans"
encoding = "ascii"
length = { fixed = 2 }
"""

AMOUNT_SHORT = """
class = "x+n"
encoding = "ascii"
length = { fixed = 4 }
"""

AMOUNT_BCD_SHORT = """
class = "x+n"
encoding = "bcd"
length = { fixed = 5 }
"""
