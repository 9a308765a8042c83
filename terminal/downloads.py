"""What there is to download, what is in use and what was refused: told at sign-on, kept in the storage.

The downloading itself is `terminal.flows.update`'s. An offer is version (4 bytes), length (4), SHA-256 (32),
as the switch tells it under its MAC.
"""

import terminal
from terminal import slots

REFUSED = "refused"  # record: of software, then of parameters: version (4), reason (1)
SOFTWARE, PARAMETERS = 0, 1
_REFUSED_BYTES = 5
OFFER_BYTES = 40
PAUSE_MS = 5000  # after a piece that did not come
REFUSED_PAUSE_MS = 30000  # after one that the switch would not give
LONGEST_PAUSE_MS = 3600000  # doubles up to this
NOTHING, ITS_TABLE, ALL = 0, 1, 2
QUIET_MS = 5000  # nobody touched the terminal for so long before it restarts
NEWS_MS = 3600000  # after a sign-on, while a line stands and nobody is here: is there something new?
TRIAL_MS = 900000  # software on trial that can't sign on for so long starts again, and thrice is a failure

# Why a version was refused, as told at sign-on.
DAMAGED, WRONG_VALUE, NO_BUNDLE, NOT_SIGNED, OTHER_MODEL, NOT_NEWER, STEP_MISSING, NOT_WELL, NO_ROOM = range(
    1, 10
)


class Downloads:
    """board: storage and, where software can be updated, `update` (see `terminal.hal`). Raises OSError."""

    def __init__(self, board, log):
        self._storage = board.storage
        self._log = log
        self.update = getattr(board, "update", None)
        self.version = 0  # of the parameters
        self.offers = [None, None]
        self.work = None  # what `flows.update` is at
        self.checked = NOTHING  # how much of the offered software was found good since the start
        self.faults = 0  # files of it that came damaged
        self.is_stale = False  # the switch has something else by now
        self.percent = None  # of the software that is being fetched
        self._news_ms = None  # when to ask whether there is something new
        self._pause_ms = PAUSE_MS
        self._not_before_ms = 0
        self._trial_until_ms = None
        self.is_on_trial = False
        self._failed = 0  # the version of software that was not well
        if self.update is not None:
            boot = slots.read(self._storage)
            self.is_on_trial = boot.is_on_trial
            self._failed = boot.failed

    # ---------------------------------------------------------------- parameters

    def settings_with(self, settings):
        """The settings, with the parameters in use over them. Raises OSError."""
        from terminal import parameters

        try:
            self.version, values = parameters.in_use(self._storage)
            if values is None:
                self._log("error", "parameters: damaged, or not for this software; back to the settings")
            return parameters.over(settings, values or {})
        finally:
            terminal.forget("terminal.parameters")
            terminal.forget("terminal.settings")

    # ---------------------------------------------------------------- software

    def running(self):
        """The version of the software. Raises OSError."""
        slot = self.update.slot(slots.read(self._storage).slot)
        return int(slot.read(slots.WHOLE) or self.update.version)

    def check_trial(self, now_ms):
        """Start again when software on trial does not get to its first sign-on."""
        if not self.is_on_trial:
            return
        if self._trial_until_ms is None:
            self._trial_until_ms = now_ms + TRIAL_MS
        elif now_ms >= self._trial_until_ms:
            self.restart("software on trial could not sign on")

    def trial_failed(self):
        """Software on trial broke an invariant: start again."""
        if self.is_on_trial:
            self.restart("software on trial failed")

    def is_well(self):
        """The software has signed on: it stays. Raises OSError."""
        if self.is_on_trial:
            slots.is_well(self._storage)
            self.is_on_trial = False
            self._log("info", "software: version %d is well" % self.running())

    def restart(self, why):
        """Start again; does not return."""
        self._log("warning", "restart: " + why)
        self.update.restart()

    # ---------------------------------------------------------------- told and offered

    def told(self):
        """Tags of a sign-on. Raises OSError."""
        from terminal import message_tables as tables

        tags = {tables.TAG_PARAMETERS_VERSION: "%08d" % self.version}
        refused = ((SOFTWARE, tables.TAG_SOFTWARE_REFUSED), (PARAMETERS, tables.TAG_PARAMETERS_REFUSED))
        if self.update is not None:
            tags[tables.TAG_SOFTWARE_VERSION] = "%08d" % self.running()
            tags[tables.TAG_MODEL] = self.update.model
        for kind, tag in refused:
            version, reason = self.refused(kind)
            if kind == SOFTWARE and self._failed > version:
                version, reason = self._failed, NOT_WELL
            if version:
                tags[tag] = "%08d%02d" % (version, reason)
        return tags

    def offered(self, tags):
        """Take what a sign-on's answer offers; what isn't offered any more isn't wanted any more."""
        from terminal import message_tables as tables

        before = list(self.offers)
        self.work = None
        self.checked = NOTHING
        self.faults = 0
        self.percent = self._news_ms = None
        self.is_stale = False
        for kind, tag in ((SOFTWARE, tables.TAG_SOFTWARE_OFFER), (PARAMETERS, tables.TAG_PARAMETERS_OFFER)):
            offer = tags.get(tag)
            if offer is not None and self._is_wanted(kind, int.from_bytes(offer[:4], "big")):
                self.offers[kind] = offer
            else:
                self.offers[kind] = None
        if self.offers != before:
            self.went_on()
            self._not_before_ms = 0

    def _is_wanted(self, kind, version):
        if version == self.refused(kind)[0]:
            return False
        if kind == PARAMETERS:
            return version != self.version
        return self.update is not None and not self.is_on_trial and version != self._failed

    def refused(self, kind):
        """(version, reason) that was refused last; (0, 0) when none was. Raises OSError."""
        data = (self._storage.read(REFUSED) or b"")[kind * _REFUSED_BYTES :][:_REFUSED_BYTES]
        if len(data) < _REFUSED_BYTES:
            return 0, 0
        return int.from_bytes(data[:4], "big"), data[4]

    def refuse(self, kind, version, reason):
        """Remember it, so that it is told and not fetched again. Raises OSError."""
        self.offers[kind] = None
        kept = []
        for one in (SOFTWARE, PARAMETERS):
            number, why = (version, reason) if one == kind else self.refused(one)
            kept.append(number.to_bytes(4, "big") + bytes((why,)))
        self._storage.replace(REFUSED, b"".join(kept))
        self.offers[kind] = None

    # ---------------------------------------------------------------- when

    def wait_ms(self, now_ms):
        """For how long there is nothing to do."""
        if self.wants_news():
            if self._news_ms is None:
                self._news_ms = now_ms + NEWS_MS
            return max(0, self._news_ms - now_ms)
        return max(0, self._not_before_ms - now_ms)

    def wants_news(self):
        """Whether nothing that is there is left to fetch."""
        return self.offers == [None, None]

    def ask_again(self, now_ms, pause_ms):
        """For news, then."""
        self._news_ms = now_ms + pause_ms

    def pause(self, now_ms, least_ms=0):
        """It did not do just now: later again."""
        self._pause_ms = max(self._pause_ms, least_ms)
        self._not_before_ms = now_ms + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS)

    def went_on(self):
        """A piece came: a later trouble is a new one."""
        self._pause_ms = PAUSE_MS
