"""How a board's software is updated: what its board file says of it, and its two slots."""

import sys

from terminal.hal.files import SlotFiles

RESTART = 75  # exit code by which whoever started the terminal knows that it is to be started again
_KEY_BYTES = 64
_MODEL_LONGEST = 16
_VERSION_MOST = 99999999  # digits of the message


class Update:
    """values: of the board file: "model"; "version" of the software that the board came with; "keys" that
    sign bundles (x and y, 128 hexadecimal digits each); how many of them are "needed". storage: directory of
    the slots. Raises ValueError."""

    def __init__(self, values, storage):
        try:
            self.model = values["model"]
            self.version = values["version"]
            self.needed = values["needed"]
            self.keys = [bytes.fromhex(key) for key in values["keys"]]
            right = 0 < len(self.model) <= _MODEL_LONGEST and 0 <= self.version <= _VERSION_MOST
            right = right and 0 < self.needed <= len(self.keys)
            right = right and not [key for key in self.keys if len(key) != _KEY_BYTES]
        except (KeyError, TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise ValueError("update: expected model, version, keys of 128 hexadecimal digits, needed")
        self._storage = storage

    def slot(self, number):
        """The files of slot 0 or 1."""
        return SlotFiles(self._storage, number)

    def restart(self):
        """Does not return."""
        sys.exit(RESTART)
