"""Starts the software whose turn it is: `-m terminal.boot --board BOARD.json`, instead of `terminal.main`.

It is of the software that the board came with and never replaced, so it does little: counts the start of a
version on trial (`terminal.slots`), puts the slot where modules are imported from and goes. A slot that isn't
whole is never run. Whatever a version on trial dies of, the board starts again, and after the third time the
version before is back; so it is when one that was well can't be started any more, because its files were
damaged since. Microcontrollers come here from `terminal.hal.rom`.
"""

import gc
import json
import sys

from terminal import slots
from terminal.hal.files import SlotFiles, Storage

SETTINGS_WRONG = 2
RESTART = 75  # see terminal.hal.update


def chosen(storage, slot, put):
    """Put the slot to run in its place; None: the software that the board came with stays there.
    slot(number): its files; put(files): whether they can be run now."""
    try:
        number = slots.started(storage)
    except OSError:
        number = slots.read(storage).slot  # the start could not be counted: the storage is full
    for one in (number, 1 - number):
        if slot(one).size(slots.WHOLE) is not None and put(slot(one)):
            return one
        if not slots.read(storage).has_other:
            break  # it was never well, or is no more
    return None


def start(board_path, put=None):
    """Run it; the exit code. put: see `chosen`; else the slot is put first in the import path. Raises what
    the software that the board came with dies of."""
    storage = running = None
    is_on_trial = False
    try:
        with open(board_path, "rb") as file:
            board = json.loads(str(file.read(), "utf-8"))
        if board.get("update"):
            storage = Storage(board["storage"])
    except Exception:
        pass  # terminal.main says what is wrong with the board file

    def slot(number):
        return SlotFiles(storage.directory, number)

    if storage:
        running = chosen(storage, slot, put or _imported_first)
        is_on_trial = slots.read(storage).is_on_trial
    try:
        if running is not None and not put:
            _check(slot(running))
        for name in list(sys.modules):
            if name == "terminal" or name.startswith("terminal."):
                del sys.modules[name]
        gc.collect()
        from terminal.main import start as run

        code = run(board_path)
    except Exception as error:
        if running is None and not is_on_trial:
            raise
        what = "does not start: " + repr(error)
        if is_on_trial:
            what = "on trial " + what
        elif slots.not_started(storage, slot(running)):
            what += ", given up"
        print(json.dumps({"event": "log", "level": "error", "what": "software " + what}))
        return RESTART
    return RESTART if is_on_trial and code == SETTINGS_WRONG else code


def _imported_first(files):
    sys.path.insert(0, files.directory)
    return True


def _check(files):
    """A slot's files against its table. Raises ImportError, OSError, BundleError."""
    from terminal import bundle

    name = "TABLE"

    def read(at, count):
        return files.piece(name, at, count)

    for part in list(bundle.parts(read)):
        name = part.name
        if files.size(name) is None or not bundle.is_right(part, read):
            raise ImportError(name + " is damaged")


if __name__ == "__main__":
    sys.exit(start(sys.argv[-1]))
