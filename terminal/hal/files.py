"""Files in one directory: the terminal's storage, and the files of a software slot. On every board.

What a call has written is on the disk when it returns; on littlefs a closed file is. Runs on MicroPython and
CPython.
"""

import errno
import os

from terminal.slots import NAMES

_DIRECTORY = 0x4000


class Storage:
    """See `terminal.hal`. The directory is made when missing."""

    def __init__(self, directory):
        self.directory = directory.rstrip("/")
        make_directory(self.directory)

    def read(self, name):
        size = self.size(name)
        return None if size is None else self.piece(name, 0, size)

    def size(self, name):
        try:
            return os.stat(self._path(name))[6]
        except OSError as error:
            _must_be_missing(error)

    def piece(self, name, at, count):
        with open(self._path(name), "rb") as file:
            file.seek(at)
            return file.read(count)

    def append(self, name, data):
        self._write(self._path(name), "ab", data)

    def replace(self, name, data):
        path = self._path(name)
        self._write(path + ".new", "wb", data)
        os.rename(path + ".new", path)
        self._to_disk()

    def remove(self, name):
        try:
            os.remove(self._path(name))
        except OSError as error:
            _must_be_missing(error)
        else:
            self._to_disk()

    def _path(self, name):
        return self.directory + "/" + name

    def _write(self, path, mode, data):
        with open(path, mode) as file:
            file.write(data)
            file.flush()  # MicroPython's is an fsync
            if hasattr(os, "fsync"):
                os.fsync(file.fileno())

    def _to_disk(self):
        """Names too must survive a power cut."""
        if hasattr(os, "fsync"):
            descriptor = os.open(self.directory or "/", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return
        try:
            with open(self.directory or "/", "rb") as directory:
                directory.flush()
        except OSError as error:
            if error.errno != errno.EISDIR:
                raise  # littlefs opens none, and needs no more


class SlotFiles(Storage):
    """The files of software slot 0 or 1 below `storage`: a tree that grows file by file and goes as a whole.
    A name is a path inside it, `a/b/c.mpy`, already checked (`terminal.bundle`)."""

    def __init__(self, storage, number):
        self.directory = storage + "/slot_" + NAMES[number]
        self._made = None  # the last directory that is there for certain

    def append(self, name, data):
        path = self._path(name)
        directory = path[: path.rfind("/")]
        if directory != self._made:
            make_directory(directory)
            self._made = directory
        self._write(path, "ab", data)

    def clear(self):
        """Remove all there is. Cut short, the next call does the rest."""
        self._made = None
        _clear(self.directory)


def make_directory(path):
    """With all those above it."""
    made = ""
    for part in path.split("/"):
        made += part
        if part:
            try:
                os.mkdir(made)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
        made += "/"


def _clear(directory):
    try:
        names = os.listdir(directory)
    except OSError as error:
        _must_be_missing(error)
        return
    for name in names:
        path = directory + "/" + name
        if os.stat(path)[0] & _DIRECTORY:
            _clear(path)
        else:
            os.remove(path)
    os.rmdir(directory)


def _must_be_missing(error):
    if error.errno != errno.ENOENT:
        raise error
