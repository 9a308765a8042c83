"""How a microcontroller starts: the slot whose turn it is, copied into the ROMFS that is run in place.

Stands with `terminal.boot` in /start of the data file system, written when the board is flashed and never
replaced: what is in ROMFS can't replace itself. A slot is a bundle's table and one file, the image. The
image's SHA-256 is looked at in ROMFS before each start; what differs is written again, block by block. The
first block, without which nothing is mounted, goes first and comes last: a cut leaves nothing that the next
start does not put right.
"""

import hashlib
import sys

from terminal import boot

TABLE = "TABLE"  # as terminal.flows.update puts it into its slot
FIRST_NAME = 31  # where its files begin, see terminal.bundle
PLACE = "/rom"
START = "/start"
_BLOCKS, _BLOCK_BYTES, _ERASE = 4, 5, 6  # operations of a block device, extmod/vfs.h


def start(board_path):
    """Run the terminal. It is called by main.py, and returns when there is nothing more to do but to look."""
    import machine
    import vfs

    rom = vfs.rom_ioctl(2, 0)  # the first segment
    if not hasattr(rom, "ioctl"):
        raise OSError("ROMFS is missing, or can't be written by block")

    def put(slot):
        try:
            if not installed(slot, rom):
                return False
        except (OSError, ValueError, IndexError):
            return False  # this slot's files can't be read
        try:
            vfs.umount(PLACE)
        except OSError:
            pass  # nothing was there that could be mounted
        vfs.mount(vfs.VfsRom(rom), PLACE)
        return True

    sys.path[:] = [PLACE] + [path for path in sys.path if path not in (PLACE, START)]
    try:
        code = boot.start(board_path, put)
    except SystemExit as ended:
        code = ended.args[0]
    if code == boot.RESTART:
        machine.reset()


def installed(slot, rom):
    """Whether the slot's image is in ROMFS now. rom: its block device, which can be read as a buffer."""
    name, length, digest = image_of(slot)
    block_bytes = rom.ioctl(_BLOCK_BYTES, 0)
    if not 0 < length <= rom.ioctl(_BLOCKS, 0) * block_bytes:
        return False
    there = memoryview(rom)[:length]
    if hashlib.sha256(there).digest() == digest:
        return True
    if _digest_of(slot, name, block_bytes) != digest:
        return False
    rom.ioctl(_ERASE, 0)
    block = bytearray(block_bytes)
    for number in list(range(1, (length + block_bytes - 1) // block_bytes)) + [0]:
        at = number * block_bytes
        data = slot.piece(name, at, block_bytes)
        if bytes(there[at : at + len(data)]) != data:
            block[: len(data)] = data
            rom.writeblocks(number, block)
    return hashlib.sha256(there).digest() == digest


def image_of(slot):
    """Name, length and SHA-256 of the one file of a slot's table; length 0: it is of another kind."""
    table = slot.piece(TABLE, 0, 256)
    behind = FIRST_NAME + 1 + table[FIRST_NAME]
    if table[FIRST_NAME - 1] != 1:
        return "", 0, b""
    name = str(table[FIRST_NAME + 1 : behind], "ascii")
    return name, int.from_bytes(table[behind : behind + 4], "big"), table[behind + 4 : behind + 36]


def _digest_of(slot, name, piece_bytes):
    digest = hashlib.sha256()
    at = 0
    while True:
        data = slot.piece(name, at, piece_bytes)
        if not data:
            return digest.digest()
        digest.update(data)
        at += len(data)
