"""What a board is made of whatever its chip is: see `terminal.hal`. A chip's own file adds wires and line."""

import os

import terminal
from terminal.hal.crypto import aes
from terminal.hal.display import Display
from terminal.hal.files import Storage
from terminal.hal.report import emit, fault


class Board:
    """file: the board file, see settings.board(). bus_of(path) -> the bus of a display, None for "". Raises
    OSError, ValueError."""

    def __init__(self, file, clock, bus_of):
        self._settings = file["settings"]
        self.devices = file["devices"]
        self.clock = clock
        self.storage = Storage(file["storage"])
        self.random = os.urandom
        self.aes = aes
        display = self.devices.get("display", {})
        bus = bus_of(display.get("path", ""))
        self.display = Display(display["kind"] if bus else "memory", bus)
        self.emit = emit
        self.fault = fault
        self.update = None
        if file.get("update"):
            from terminal.hal.update import Update

            self.update = Update(file["update"], file["storage"])

    def secure(self, paths, clock=None):
        from terminal.hal.tls import secure

        return secure(paths, self.line, clock)

    def forget_given_keys(self):
        from terminal.settings import without_keys

        name = self._settings.rfind("/") + 1
        place = Storage(self._settings[:name] or ".")
        try:
            content = without_keys(place.read(self._settings[name:]) or b"{}")
        finally:
            terminal.forget("terminal.settings")
        if content is not None:
            place.replace(self._settings[name:], content)
