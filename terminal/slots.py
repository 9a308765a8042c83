"""Two places for software: the one that runs, and the one that the next version is put in. Which
one starts.

A version counts from its first good self-test on; one that doesn't get there three times gives way
to the other. So does one that was well and could not be started three times since. The state is one
small record, replaced as a whole; a record that can't be read means the first slot. Pure: storage is
handed in (`terminal.hal`).
"""

import hashlib

TRIES = 3  # starts of a version that hasn't said that it is well
RECORD = "boot"
FAILURES = "FAILURES"  # a file of a slot: a byte for each start that failed of a version that was well
_BYTES = 1 + 1 + 1 + 4 + 4
_CHECK_BYTES = 8
NAMES = ("a", "b")
WHOLE = "WHOLE"  # a file of a slot: the last to come, the first to go


class Boot:
    """Which slot runs. slot: 0 or 1; tries: starts left to a version on trial and one, 0 once it is
    well; newest: the highest version that was ever well here: nothing older is taken any more; version:
    what was put in last, whether it was well or not."""

    def __init__(self, slot=0, tries=0, has_other=False, version=0, newest=0):
        self.slot = slot
        self.tries = tries
        self.has_other = has_other  # what is in the other slot was well once
        self.version = version
        self.newest = newest

    @property
    def is_on_trial(self):
        return self.tries > 0

    @property
    def failed(self):
        """The version that had its trial and was not well; 0: none."""
        return 0 if self.is_on_trial or self.version == self.newest else self.version

    @property
    def free(self):
        """The slot that a new version may be put in."""
        return 1 - self.slot


def read(storage):
    """The state; the first slot without history when there is none, or none that can be read."""
    data = storage.read(RECORD)
    if data is None or len(data) != _BYTES + _CHECK_BYTES or _check(data[:_BYTES]) != data[_BYTES:]:
        return Boot()
    version, newest = int.from_bytes(data[3:7], "big"), int.from_bytes(data[7:11], "big")
    if data[0] > 1 or data[1] > TRIES + 1 or data[2] > 1:
        return Boot()
    return Boot(data[0], data[1], bool(data[2]), version, newest)


def write(storage, boot):
    """Durable when it returns. Raises OSError."""
    data = bytes((boot.slot, boot.tries, int(boot.has_other)))
    data += boot.version.to_bytes(4, "big") + boot.newest.to_bytes(4, "big")
    storage.replace(RECORD, data + _check(data))


def started(storage):
    """To be called once at each start, before anything of a slot is run; returns the slot to run.

    Counts the start of a version on trial; one that had all its starts goes, and the other one is
    back. Raises OSError.
    """
    boot = read(storage)
    if not boot.is_on_trial:
        return boot.slot
    if boot.tries > 1 or not boot.has_other:
        boot.tries = max(1, boot.tries - 1)
    else:
        boot = _other(boot)
    write(storage, boot)
    return boot.slot


def not_started(storage, files):
    """A version that was well, with these files, could not be started. True: for the third time, and it is
    never started again. Raises OSError."""
    files.append(FAILURES, b"!")
    if files.size(FAILURES) < TRIES:
        return False
    boot = read(storage)
    if boot.has_other:
        write(storage, _other(boot))
    files.remove(WHOLE)
    return True


def _other(boot):
    """Back to the other slot, and never to this one's version."""
    return Boot(boot.free, 0, False, boot.version, boot.newest)


def put_on_trial(storage, version):
    """The free slot holds this version, whole and checked: it is started next. Raises OSError."""
    boot = read(storage)
    assert version > boot.newest, "nothing older is put in"
    assert not boot.is_on_trial, "one trial at a time"
    write(storage, Boot(boot.free, TRIES + 1, True, version, boot.newest))


def is_well(storage):
    """The version that runs has tested itself: it stays, and older ones are taken no more. Raises
    OSError."""
    boot = read(storage)
    if boot.is_on_trial:
        write(storage, Boot(boot.slot, 0, boot.has_other, boot.version, max(boot.newest, boot.version)))


def _check(data):
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]
