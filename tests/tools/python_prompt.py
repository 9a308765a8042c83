"""A board with MicroPython's raw prompt, for mpremote: the real MicroPython with a littlefs of its own.

The unix port has no raw prompt, so this is one (docs.micropython.org, "Raw mode" and "Raw-paste mode"); all
that is sent to it is run by MicroPython itself. Program of MicroPython, started by test_fw_flash.
"""

import io
import os
import sys

import vfs

BLOCK = 4096
BANNER = b"raw REPL; CTRL-B to exit\r\n>"


class Memory:
    """A flash of so many blocks."""

    def __init__(self, blocks):
        self._data = bytearray(blocks * BLOCK)

    def readblocks(self, block, buffer, at=0):
        start = block * BLOCK + at
        buffer[:] = self._data[start : start + len(buffer)]

    def writeblocks(self, block, buffer, at=0):
        start = block * BLOCK + at
        self._data[start : start + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        return {4: len(self._data) // BLOCK, 5: BLOCK}.get(operation, 0)


def run(text):
    """Run what was sent; its output, then its error, each ended by EOT."""
    error = io.StringIO()
    try:
        exec(str(text, "utf-8"), names)
    except Exception as failure:
        sys.print_exception(failure, error)
    out.write(b"\x04" + error.getvalue().encode() + b"\x04>")


def prompt():
    text = b""
    while True:
        byte = given.read(1)
        if not byte:
            return
        if byte == b"\x01":
            out.write(BANNER)
            text = b""
        elif byte == b"\x05":
            given.read(2)  # A, 01: raw paste, which isn't offered
            out.write(b"R\x00")
        elif byte in b"\x02\x03":
            text = b""
        elif byte == b"\x04" and not text.strip():
            out.write(b"OK\r\nMPY: soft reboot\r\n" + BANNER)
        elif byte == b"\x04":
            out.write(b"OK")
            run(text)
            text = b""
        else:
            text += byte


memory = Memory(int(sys.argv[1]))
vfs.VfsLfs2.mkfs(memory)
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(memory), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen"]
names = {}
given, out = sys.stdin.buffer, sys.stdout.buffer
prompt()
