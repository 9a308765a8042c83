"""Everything the firmware and the switch talk to, simulated at its real boundary: devices on
pseudo-terminals, lines over TCP, cashiers and cards; and the campaigns that torture the real processes with
them.

Nothing in `terminal` or `switch` may import this package. No card number in clear leaves it except as the
bytes a real card would give to a real reader.
"""
