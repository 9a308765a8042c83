"""Downloads of parameters and software, one piece at a time while the terminal is idle.

A card or a key is never kept waiting: what is on its way then is asked for again later. What came is in the
storage piece by piece, so nothing that is there is fetched twice, whatever happens to line and power. Nothing
counts before it is whole and checked; software starts only when nobody is at the terminal.
"""

import hashlib

import terminal
from terminal import slots
from terminal.downloads import (
    ALL,
    DAMAGED,
    ITS_TABLE,
    NEWS_MS,
    NO_BUNDLE,
    NOT_NEWER,
    NOT_SIGNED,
    OFFER_BYTES,
    OTHER_MODEL,
    PARAMETERS,
    QUIET_MS,
    REFUSED_PAUSE_MS,
    SOFTWARE,
    STEP_MISSING,
    WRONG_VALUE,
)
from terminal.flows.exchange import TRANSIENT
from terminal.flows.outcome import APPROVED_CODE
from terminal.flows.wait import LINE_DOWN, LINE_UP, MESSAGE, Wait
from terminal.journal import JournalError
from terminal.line import Ignored
from terminal.message_tables import (
    TAG_MODEL,
    TAG_PARAMETERS_VERSION,
    TAG_PIECE_AT,
    TAG_PIECE_BYTES,
    TAG_SOFTWARE_VERSION,
)

ASK = ("902", "901")  # DE 70 of a piece: of software, of parameters
VERSION_TAGS = (TAG_SOFTWARE_VERSION, TAG_PARAMETERS_VERSION)
PART_FILE = "parameters.part"  # the offer, then what came of it
OFFER_FILE = "software.offer"  # what the free slot is being filled with
TABLE = "TABLE"  # a bundle's table in its slot; no file of a bundle has capitals
READ_BYTES = 512
FAULTS = 3  # files that came damaged before the bundle is given up

_REASONS = {
    "signature": NOT_SIGNED,
    "too few signatures": NOT_SIGNED,
    "for another model": OTHER_MODEL,
    "not newer": NOT_NEWER,
    "a version between is needed": STEP_MISSING,
}


class Refused(Exception):
    """What was offered can't be taken, ever. reason: of terminal.downloads; what: in a few words."""

    def __init__(self, reason, what):
        super().__init__(what)
        self.reason = reason
        self.what = what


async def step(app, kinds):
    """Do the next thing of a download. Returns an event of `kinds` that came meanwhile, else (None, None)."""
    downloads = app.downloads
    if downloads.is_stale:
        downloads.is_stale = False
        app.sign_on_again()
        return await Wait(kinds, 0)
    kind = SOFTWARE if downloads.offers[PARAMETERS] is None else PARAMETERS
    try:
        if downloads.wants_news():
            return await _news(app, kinds)
        if downloads.work is None or downloads.work.kind != kind:
            downloads.work = (Software, Parameters)[kind](app, downloads.offers[kind])
        work = downloads.work
        if work.left():
            return await _piece(app, kinds, work)
        event = await work.finish(app, kinds)
        if event is not None:
            return event
        downloads.offers[kind] = downloads.work = downloads.percent = None
    except Refused as error:
        _refused(app, kind, error)
    except (OSError, JournalError) as error:
        app.log("error", "download: the storage is full or broken: " + str(error))
        downloads.work = None
        _later(app)
    return None, None


def _number(offer, at):
    return int.from_bytes(offer[at : at + 4], "big")


def _later(app):
    app.downloads.pause(app.clock.now_ms())


def _refused(app, kind, error):
    version = _number(app.downloads.offers[kind], 0)
    app.log("error", "%s: version %d refused: %s" % (("software", "parameters")[kind], version, error.what))
    app.downloads.work = app.downloads.percent = None
    try:
        app.downloads.refuse(kind, version, error.reason)
        (_give_up_software, _give_up_parameters)[kind](app)
    except OSError:
        app.log("error", "download: the storage is full or broken")
        return  # nothing is fetched again before the next sign-on
    app.sign_on_again()  # the switch is told at once


async def _piece(app, kinds, work):
    """Ask for a piece and take it."""
    downloads = app.downloads
    if not app.line_is_up:
        app.ports.connect()
        _later(app)
        kind, value = await Wait(kinds + (LINE_UP,), downloads.wait_ms(app.clock.now_ms()))
        return (kind, value) if kind in kinds else (None, None)
    at = work.at()
    tags = {
        VERSION_TAGS[work.kind]: "%08d" % work.version,
        TAG_PIECE_AT: "%08d" % at,
        TAG_PIECE_BYTES: "%04d" % app.settings.piece_bytes,
    }
    if work.kind == SOFTWARE:
        tags[TAG_MODEL] = downloads.update.model
    fields = {
        11: "%06d" % app.stans.take(),
        41: app.settings.terminal_id,
        42: app.settings.acceptor_id,
        48: tags,
        70: ASK[work.kind],
    }
    event, answer = await _asked(app, kinds, app.request("0800", fields))
    if event is not None:
        return event
    if answer is None or answer[39] in TRANSIENT:
        _later(app)
    elif answer[39] != APPROVED_CODE:
        app.log("warning", "download: refused with " + answer[39])
        downloads.is_stale = True
        downloads.pause(app.clock.now_ms(), REFUSED_PAUSE_MS)
    elif answer.get(48, {}).get(TAG_PIECE_AT) == "%08d" % at and 0 < len(answer.get(61, b"")) <= work.left():
        work.take(answer[61])
        downloads.went_on()
        if work.kind == SOFTWARE:
            downloads.percent = work.percent()
    else:
        app.log("warning", "download: another piece came than was asked for")
        _later(app)
    return None, None


async def _news(app, kinds):
    """A sign-on that nobody sees: tells what there is. No call is made for it. Raises as fields_of()."""
    from terminal.flows.sign_on import fields_of, taken

    downloads = app.downloads
    downloads.ask_again(app.clock.now_ms(), NEWS_MS)
    if not app.line_is_up:
        return None, None
    fields = fields_of(app)
    fields[11] = "%06d" % app.stans.take()
    event, answer = await _asked(app, kinds, app.request("0800", fields))
    if answer is None:
        downloads.ask_again(app.clock.now_ms(), REFUSED_PAUSE_MS)
        return event or (None, None)
    taken(app, answer)
    return None, None


async def _asked(app, kinds, request):
    """(event of `kinds`, None), or (None, the answer); (None, None) when there is none."""
    if app.ports.send(request.frame) < len(request.frame):
        app.drop_line()
        return None, None
    deadline_ms = app.clock.now_ms() + app.settings.answer_timeout_ms
    while True:
        left_ms = max(0, deadline_ms - app.clock.now_ms())
        kind, value = await Wait(kinds + (MESSAGE, LINE_DOWN), left_ms)
        if kind in kinds:
            return (kind, value), None
        if kind != MESSAGE:
            if kind != LINE_DOWN:
                app.drop_line()
            return None, None
        try:
            return None, request.answered_by(value)
        except Ignored as why:
            app.ignored(str(why))


class Parameters:
    """One parameter file on its way. Raises OSError, as all its methods do."""

    kind = PARAMETERS

    def __init__(self, app, offer):
        self._storage = app.storage
        self._offer = bytes(offer)
        self.version, self._length = _number(offer, 0), _number(offer, 4)
        size = self._storage.size(PART_FILE)
        if (
            size is None
            or not OFFER_BYTES <= size <= OFFER_BYTES + self._length
            or self._storage.piece(PART_FILE, 0, OFFER_BYTES) != self._offer
        ):
            self._storage.replace(PART_FILE, self._offer)
            size = OFFER_BYTES
        self._at = size - OFFER_BYTES

    def at(self):
        return self._at

    def left(self):
        return self._length - self._at

    def take(self, data):
        self._storage.append(PART_FILE, data)
        self._at += len(data)

    async def finish(self, app, kinds):
        """Put it in use. Raises Refused."""
        from terminal import parameters

        try:
            content = self._checked(parameters)
            parameters.put_in_use(self._storage, self.version, content)
        finally:
            terminal.forget("terminal.parameters")
            terminal.forget("terminal.settings")
        _give_up_parameters(app)
        app.use_parameters()
        app.log("info", "parameters: version %d in use" % self.version)
        app.sign_on_again()

    def _checked(self, parameters):
        if self._length > parameters.LONGEST_BYTES:
            raise Refused(WRONG_VALUE, "too long")
        content = self._storage.piece(PART_FILE, OFFER_BYTES, self._length)
        if hashlib.sha256(content).digest() != self._offer[8:]:
            raise Refused(DAMAGED, "its SHA-256 is another")
        try:
            parameters.parsed(content)
        except parameters.SettingsError as error:
            raise Refused(WRONG_VALUE, str(error))
        return content


def _give_up_parameters(app):
    """Nothing of what came is kept. Raises OSError."""
    app.storage.remove(PART_FILE)


class Software:
    """One bundle on its way into the free slot: its table first, then file after file. Raises OSError,
    Refused, as all its methods do."""

    kind = SOFTWARE

    def __init__(self, app, offer):
        self._app = app
        self._storage = app.storage
        self._update = app.downloads.update
        self.version, self._length = _number(offer, 0), _number(offer, 4)
        boot = slots.read(self._storage)
        assert not boot.is_on_trial, "one trial at a time"
        self._newest = max(boot.newest, self._update.version)
        self._table = None  # its length, once it is there and good
        self._files = self._part = None
        self._have = 0  # bytes of the file that is being filled
        self._before = 0  # bytes of the bundle before it
        if self._storage.read(OFFER_FILE) == bytes(offer):
            self._slot = self._update.slot(boot.free)
        else:
            self._slot = _emptied(app, boot.free)
            self._storage.replace(OFFER_FILE, bytes(offer))
            app.log("info", "software: version %d is fetched" % self.version)
        self._look()

    def _read(self, at, count):
        return self._slot.piece(TABLE, at, count)

    def _look(self):
        """Find how far it is: by the table, and the sizes of the files."""
        there = self._slot.size(TABLE) or 0
        if there and self._is_table_whole(there):
            self._before = self._table
            from terminal import bundle

            self._files = bundle.parts(self._read)
            self._next_file()
        elif there >= self._length:
            raise Refused(NO_BUNDLE, "cut short")
        else:
            self._before, self._have = there, 0

    def _is_table_whole(self, there):
        """Whether the whole table is there and may be taken."""
        from terminal import bundle

        keys = self._update.keys
        try:
            length = bundle.table_length(self._read, there, len(keys))
            if length is None or there < length:
                return False
            if self._app.downloads.checked < ITS_TABLE:
                table = bundle.read_table(
                    self._read, there, self._update.model, self._newest, keys, self._update.needed
                )
                if table.version != self.version or table.length != self._length:
                    raise bundle.BundleError("another bundle than was offered")
                self._app.downloads.checked = ITS_TABLE
        except bundle.BundleError as error:
            raise Refused(_REASONS.get(error.what, NO_BUNDLE), error.what)
        self._table = length
        return True

    def _next_file(self):
        """Go to the first file that isn't whole."""
        for part in self._files:
            have = self._slot.size(part.name)
            if have is not None and have > part.length:
                self._slot.remove(part.name)
                have = None
            if have is None and not part.length:
                self._slot.append(part.name, b"")
                have = 0
            if have != part.length:
                self._part, self._have = part, have or 0
                self._before = self._table + part.at
                return
        self._part, self._have, self._before = None, 0, self._length

    def at(self):
        return self._before + self._have

    def left(self):
        return self._length - self.at()

    def percent(self):
        """How much of it is there, in tenths of the whole as a cashier sees them."""
        return 10 * self.at() // self._length * 10

    def take(self, data):
        if self._table is None:
            self._slot.append(TABLE, data)
            self._look()
            return
        view = memoryview(data)
        while len(view) and self._part is not None:
            room = self._part.length - self._have
            self._slot.append(self._part.name, view[:room])
            self._have += min(room, len(view))
            view = view[room:]
            if self._have == self._part.length:
                done = self._part
                self._check(done)
                self._next_file()
                if self._have or self._before != self._table + done.at + done.length:
                    break  # it goes on elsewhere: a file was there already, or came damaged

    def _check(self, part):
        """A file that came damaged is fetched once more."""
        from terminal import bundle

        if bundle.is_right(part, lambda at, count: self._slot.piece(part.name, at, count)):
            return
        self._app.downloads.faults += 1
        if self._app.downloads.faults > FAULTS:
            raise Refused(DAMAGED, part.name + " is damaged")
        self._app.log("warning", "software: " + part.name + " is damaged, fetched again")
        self._slot.remove(part.name)
        self._files = bundle.parts(self._read)

    async def finish(self, app, kinds):
        """Check all once more, as it is stored; then start it as soon as nobody is at the terminal."""
        if app.downloads.checked < ALL and not self._are_all_right():
            return None, None  # a damaged one is fetched again
        app.downloads.checked = ALL
        if app.has_unsent():
            _later(app)
            return None, None
        kind, value = await Wait(kinds, QUIET_MS)
        if kind in kinds:
            return kind, value
        self._slot.append(slots.WHOLE, b"%d" % self.version)
        slots.put_on_trial(self._storage, self.version)
        self._storage.remove(OFFER_FILE)
        app.downloads.restart("software: version %d is on trial" % self.version)
        return None

    def _are_all_right(self):
        from terminal import bundle

        for part in bundle.parts(self._read):
            self._check(part)
        self._files = bundle.parts(self._read)
        self._next_file()
        return self._part is None


def _give_up_software(app):
    """Nothing of what came is kept. Raises OSError."""
    _emptied(app, slots.read(app.storage).free)
    app.storage.remove(OFFER_FILE)


def _emptied(app, number):
    """A slot without anything in it; what says that it is whole goes first."""
    slot = app.downloads.update.slot(number)
    slot.remove(slots.WHOLE)
    slot.clear()
    return slot
