"""RP2040 and RP2350: wireless network of the Pico W and Pico 2 W, which must know its country."""

from terminal.hal import microcontroller


class Board(microcontroller.Board):
    """file: the board file; its "network" has ssid, password and country (ISO 3166, two letters)."""

    def __init__(self, file):
        values = file.get("network")
        if values and "country" in values:
            import rp2

            rp2.country(values["country"])
        super().__init__(file, microcontroller.Wifi(values))
