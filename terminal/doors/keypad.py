"""Keypad on a serial line: one byte a key."""

from terminal.doors import Device
from terminal.flows.wait import KEY, KEYS


class Keypad(Device):
    """Events KEY; bytes that are no key are noise."""

    def __init__(self, app, kind):
        pass

    def feed(self, data, now_ms):
        return [(KEY, chr(byte)) for byte in data if chr(byte) in KEYS]
