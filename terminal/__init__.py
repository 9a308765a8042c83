"""The firmware of a Vafa terminal: MicroPython, self-contained.

It imports nothing of the other packages and runs unchanged on MicroPython and CPython; what a board can do
is reached through `terminal.hal` only.
"""
