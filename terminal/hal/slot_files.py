"""The files of one software slot: a directory tree that grows file by file and goes as a whole.

Runs on MicroPython and CPython. A name is a path inside the slot, `a/b/c.mpy`, already checked
(`terminal.bundle`); what a call has written is on the disk when it returns. All raise OSError.
"""

import errno
import os

_DIRECTORY = 0x4000


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
