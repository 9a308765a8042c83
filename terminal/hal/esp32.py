"""ESP32: wireless network as its modem is now, nothing else of its own."""

from terminal.hal import microcontroller


class Board(microcontroller.Board):
    """file: the board file; its "network" has ssid and password."""

    def __init__(self, file):
        super().__init__(file, microcontroller.Wifi(file.get("network")))
