"""Starts the software whose turn it is: `-m terminal.boot --board BOARD.json`, instead of `terminal.main`.

It is of the software that the board came with and never replaced, so it does little: counts the start of a
version on trial (`terminal.slots`), puts the slot where modules are imported from and goes. A slot that isn't
whole is never run. Whatever a version on trial dies of, the board starts again, and after the third time the
version before is back. Microcontrollers come here from `terminal.hal.rom`.
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
        if number == 0 and slots.read(storage).newest == 0:
            return None  # the other one was never well
    return None


def start(board_path, put=None):
    """Run it; the exit code. put: see `chosen`; else the slot is put first in the import path."""
    with open(board_path, "rb") as file:
        board = json.loads(str(file.read(), "utf-8"))
    is_on_trial = False
    if board.get("update"):
        place = board["storage"]
        storage = Storage(place)
        chosen(storage, lambda number: SlotFiles(place, number), put or _imported_first)
        is_on_trial = slots.read(storage).is_on_trial
        for name in list(sys.modules):
            if name == "terminal" or name.startswith("terminal."):
                del sys.modules[name]
        gc.collect()
    try:
        from terminal.main import start as run

        code = run(board_path)
    except Exception as error:
        if not is_on_trial:
            raise
        what = "software on trial does not start: " + type(error).__name__
        print(json.dumps({"event": "log", "level": "error", "what": what}))
        return RESTART
    return RESTART if is_on_trial and code == SETTINGS_WRONG else code


def _imported_first(files):
    sys.path.insert(0, files.directory)
    return True


if __name__ == "__main__":
    try:
        sys.exit(start(sys.argv[2]))
    except (IndexError, OSError, ValueError, KeyError) as error:
        sys.stderr.write("usage: -m terminal.boot --board BOARD.json (" + type(error).__name__ + ")\n")
        sys.exit(SETTINGS_WRONG)
