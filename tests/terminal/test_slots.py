"""Which software starts: trials, falls back, stays; and nothing older ever again. A cut at any moment."""

from terminal.slots import RECORD, TRIES, Boot, is_well, put_on_trial, read, started, write


class Flash:
    """Files that are replaced as a whole or not at all; cut: the replacement before which the power
    fails."""

    def __init__(self, cut=-1):
        self.files = {}
        self._cut = cut

    def read(self, name):
        return self.files.get(name)

    def replace(self, name, data):
        if self._cut == 0:
            raise OSError("power")
        self._cut -= 1
        self.files[name] = bytes(data)


def test_a_new_device_runs_the_first_slot():
    flash = Flash()
    assert started(flash) == 0
    assert flash.files == {}
    boot = read(flash)
    assert (boot.free, boot.newest, boot.is_on_trial) == (1, 0, False)


def test_a_version_that_is_well_stays():
    flash = Flash()
    put_on_trial(flash, 7)
    assert started(flash) == 1
    assert read(flash).is_on_trial
    is_well(flash)
    for _ in range(5):
        assert started(flash) == 1
    boot = read(flash)
    assert (boot.newest, boot.version, boot.free, boot.is_on_trial, boot.failed) == (7, 7, 0, False, 0)
    put_on_trial(flash, 8)
    assert started(flash) == 0
    is_well(flash)
    assert (read(flash).newest, started(flash)) == (8, 0)


def test_one_that_is_not_well_gives_way_after_its_third_start():
    flash = Flash()
    put_on_trial(flash, 7)
    started(flash)
    is_well(flash)
    put_on_trial(flash, 8)
    assert [started(flash) for _ in range(TRIES + 3)] == [0] * TRIES + [1] * 3
    boot = read(flash)
    assert (boot.slot, boot.newest, boot.is_on_trial, boot.failed) == (1, 7, False, 8)
    put_on_trial(flash, 9)  # the next one gets the place of the one that failed
    assert started(flash) == 0
    assert read(flash).failed == 0
    is_well(flash)
    assert (read(flash).newest, read(flash).failed) == (9, 0)


def test_nothing_older_is_put_on_trial():
    flash = Flash()
    put_on_trial(flash, 7)
    started(flash)
    is_well(flash)
    for version in (6, 7):
        try:
            put_on_trial(flash, version)
        except AssertionError:
            continue
        raise ValueError(version)


def test_a_record_that_can_not_be_read_means_the_first_slot():
    flash = Flash()
    put_on_trial(flash, 7)
    started(flash)
    is_well(flash)
    good = flash.files[RECORD]
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1
        flash.files[RECORD] = bytes(changed)
        assert started(flash) == 0, place
    flash.files[RECORD] = good[:-1]
    assert started(flash) == 0


def test_the_power_fails_at_each_moment():
    """Whatever was cut: a slot starts that is whole, and the next start goes on from there."""
    for cut in range(8):
        flash = Flash()
        put_on_trial(flash, 7)
        started(flash)
        is_well(flash)
        flash._cut = cut
        try:
            put_on_trial(flash, 8)
            for _ in range(TRIES):
                started(flash)
            is_well(flash)
        except OSError:
            pass
        flash._cut = -1
        slot = started(flash)
        boot = read(flash)
        assert slot == boot.slot
        assert boot.newest in (7, 8)
        if boot.newest == 7 and not boot.is_on_trial:
            assert slot == 1


def test_a_first_version_on_trial_has_nothing_to_go_back_to():
    flash = Flash()
    write(flash, Boot(0, 2, False, 1, 0))
    assert [started(flash) for _ in range(5)] == [0] * 5
