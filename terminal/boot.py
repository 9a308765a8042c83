"""Starts the software whose turn it is: `-m terminal.boot --board BOARD.json`, instead of `terminal.main`.

It is of the software that the board came with and never replaced, so it does little: counts the start of a
version on trial (`terminal.slots`), puts the slot first in the import path and goes. A slot that isn't whole
is never run. Whatever a version on trial dies of, the board starts again, and after the third time the
version before is back.
"""

import gc
import json
import sys

from terminal import slots

SETTINGS_WRONG = 2


def chosen(storage, slot):
    """The slot (0 or 1) to run; None: the software that the board came with. slot(number): its files."""
    try:
        number = slots.started(storage)
    except OSError:
        number = slots.read(storage).slot  # the start could not be counted: the storage is full
    for one in (number, 1 - number):
        if slot(one).size(slots.WHOLE) is not None:
            return one
        if slots.read(storage).newest == 0:
            return None  # the other one was never well
    return None


def start(board_path):
    """Run it; the exit code."""
    from terminal.hal import slot_files, unix

    with open(board_path, "rb") as file:
        board = json.loads(str(file.read(), "utf-8"))
    if not board.get("update"):
        from terminal.main import start as run

        return run(board_path)
    storage = unix.Storage(board["storage"])
    update = slot_files.Update(board["update"], board["storage"], None)
    number = chosen(storage, update.slot)
    is_on_trial = slots.read(storage).is_on_trial
    restart = slot_files.RESTART
    if number is not None:
        sys.path.insert(0, update.slot(number).directory)
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
        return restart
    return restart if is_on_trial and code == SETTINGS_WRONG else code


if __name__ == "__main__":
    try:
        sys.exit(start(sys.argv[2]))
    except (IndexError, OSError, ValueError, KeyError) as error:
        sys.stderr.write("usage: -m terminal.boot --board BOARD.json (" + type(error).__name__ + ")\n")
        sys.exit(SETTINGS_WRONG)
