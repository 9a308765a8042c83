"""The board that this is: the HAL file named after MicroPython's platform, `unix` for machines with an
operating system."""

import sys

_UNIX = ("linux", "darwin")  # as both interpreters name them

_NAME = "unix" if sys.platform in _UNIX else sys.platform
Board = __import__("terminal.hal." + _NAME, None, None, ("Board",)).Board
