"""The files of one software slot: a directory tree that grows file by file and goes as a whole.

Runs on MicroPython and CPython. A name is a path inside the slot, `a/b/c.mpy`, already checked
(`terminal.bundle`); what a call has written is on the disk when it returns. All raise OSError.
"""

import errno
import os
import sys

from terminal.slots import NAMES

RESTART = 75  # exit code by which whoever started the terminal knows that it is to be started again
_DIRECTORY = 0x4000
_KEY_DIGITS = 128
_MODEL_LONGEST = 16
_VERSION_MOST = 99999999  # digits of the message


class Update:
    """How software is updated here. values: of the board file: "model"; "version" of the software that the
    board came with; "keys" that sign bundles (x and y, 128 hexadecimal digits each); how many of them are
    "needed". storage: directory that the slots are in. Raises ValueError."""

    def __init__(self, values, storage, to_disk):
        try:
            self.model = values["model"]
            self.version = values["version"]
            self.needed = values["needed"]
            self.keys = [bytes.fromhex(key) for key in values["keys"]]
            right = 0 < len(self.model) <= _MODEL_LONGEST and 0 <= self.version <= _VERSION_MOST
            right = right and 0 < self.needed <= len(self.keys)
            right = right and not [key for key in values["keys"] if len(key) != _KEY_DIGITS]
        except (KeyError, TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise ValueError("update: expected model, version, keys of 128 hexadecimal digits, needed")
        self._storage = storage
        self._to_disk = to_disk

    def slot(self, number):
        """The SlotFiles of slot 0 or 1."""
        return SlotFiles(self._storage + "/slot_" + NAMES[number], self._to_disk)

    def restart(self):
        """Does not return."""
        sys.exit(RESTART)


class SlotFiles:
    """directory: of the slot; to_disk(file): make it durable; sizes as in `terminal.hal`'s storage."""

    def __init__(self, directory, to_disk):
        self.directory = directory
        self._to_disk = to_disk
        self._made = None  # the last directory that is there for certain

    def size(self, name):
        try:
            return os.stat(self._path(name))[6]
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    def piece(self, name, at, count):
        with open(self._path(name), "rb") as file:
            file.seek(at)
            return file.read(count)

    def append(self, name, data):
        path = self._path(name)
        self._make(path[: path.rfind("/")])
        with open(path, "ab") as file:
            file.write(data)
            self._to_disk(file)

    def remove(self, name):
        try:
            os.remove(self._path(name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def clear(self):
        """Remove all there is. Cut short, the next call does the rest."""
        self._made = None
        _clear(self.directory)

    def _path(self, name):
        return self.directory + "/" + name

    def _make(self, directory):
        if directory == self._made:
            return
        made = ""
        for step in directory.split("/"):
            made += step
            if step:
                try:
                    os.mkdir(made)
                except OSError as error:
                    if error.errno != errno.EEXIST:
                        raise
            made += "/"
        self._made = directory


def _clear(directory):
    try:
        names = os.listdir(directory)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return
    for name in names:
        path = directory + "/" + name
        if os.stat(path)[0] & _DIRECTORY:
            _clear(path)
        else:
            os.remove(path)
    os.rmdir(directory)
