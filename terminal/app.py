"""The terminal as one object: takes what devices and line say, runs the flows, says when to be woken.

Pure: what it needs of the outside it was given (the board's clock, storage, random, AES, display, events; the
ports that carry bytes away). It reads nothing by itself, never waits, and calls no asyncio. No call may come
while another one runs. Whatever goes wrong inside a flow is told without card data, and the journal then
decides how to go on.

ports     connect(): a connection is wanted now; hang_up(): drop it, nothing more is said about it;
          send(data) -> count of bytes that left; hold(is_wanted): whether a connection is to be kept, which
          it is until somebody says no. None of them calls back. A modem stands before them, see doors.modem.
"""

import terminal
from terminal.batch import counted
from terminal.doors import KINDS, MISSING, made
from terminal.downloads import Downloads
from terminal.event_log import EventLog
from terminal.flows.idle import run
from terminal.flows.wait import (
    BAD_CARD,
    CARD,
    DEVICE,
    LINE_DOWN,
    LINE_NEWS,
    LINE_REFUSED,
    LINE_UP,
    MESSAGE,
    TIMEOUT,
)
from terminal.journal import Journal, JournalError, Stans
from terminal.keys import Keys, LoadError
from terminal.line import FrameError, Frames, Request
from terminal.queue import Queue
from terminal.security import Seal
from terminal.text import moment_digits
from terminal.ui.screens import Screens

SIGN_ON_MS = 24 * 3600 * 1000  # then date, time and ratio are asked for again
FAULT_PAUSE_MS = 3000
WRITE_EVENTS_MS = 600 * 1000  # what was gathered of the log is written at rest, so often at most
UNSEEN = ("service",)  # doors that a cashier isn't told of
LOGGED_IGNORED = 16  # messages ignored are logged one by one up to here, then at each power of two
CERTIFICATE = "certificate"
LINE_PATIENCE_MS = 8000  # how long a cashier is kept waiting for a line before anything was sent


class Application:
    """start() once, then the calls below as things happen, and tick() when deadline_ms() has come.

    Raises journal.JournalError when the storage can't be read.
    """

    till = None  # the doors.till.TillDoor, where there is a cash register

    def __init__(self, board, settings, ports):
        from terminal.flows.cashier import kept

        self._board = board
        self.random = board.random
        self.settings = self._given = settings
        self.clock = board.clock
        self.storage = board.storage
        self.ports = self._tcp = ports
        self.events = EventLog(board.storage, board.clock)
        self.screens = Screens(board.display, board.emit, settings.locale)
        self.keys = Keys(board, settings.transport_key, self.log)
        self._provide_keys()
        self.downloads = self._made_downloads()
        self.use_parameters()
        self.journal = self.batch = self.queue = None  # until there is a key that records are sealed under
        self.stans = Stans(board.storage, board.random, self.log)
        self.line_is_up = False
        self.line_trouble = None  # the screen that tells more of a line that isn't up
        self.line_told = None  # and of one that is being made
        self.line_patience_ms = LINE_PATIENCE_MS
        self.ratio = 0  # rial per point when redeeming; 0 before sign-on
        self.pin_from_points = None  # redemptions above this need a proof; None: none does
        self.batch_close_ms = 0  # before it, the batch is not closed by itself
        self.last = None  # the Outcome that was presented last
        self.receipt_mark = None  # what stands above each receipt, the name of a text
        self.training = None  # what flows run at while nothing is real, see flows.training
        self.cashier = kept(board.storage)  # who has signed in, "" for nobody
        self.supervisor_from_ms = None  # wrong codes have closed the supervisor's menu until then
        self._describe_fault = board.fault
        self._fitted = board.devices
        self._doors = self._made_doors()
        self._plugged = {}  # door -> whether something is there, once it is known
        self._troubles = {}  # door -> why its device can't be used
        self._write_events_ms = WRITE_EVENTS_MS
        self._frames = None
        self._ignored = 0
        self._signed_on_until_ms = None
        self._flow = None
        self._wait = None
        self._deadline_ms = None

    # ---------------------------------------------------------------- what happens outside

    def start(self):
        """Begin; the first screen is shown and the first thing waited for."""
        self.emit({"event": "boot"})
        self.events.count("boots")
        self.events.save()
        self._begin()

    def heard(self, name, data):
        """Bytes of the device at a door."""
        self._happened(name, self._doors[name].feed(data, self.clock.now_ms()))

    def to_send(self, name):
        """Bytes for the device at a door, each once; b"" when there are none."""
        return self._doors[name].to_send()

    def device(self, name, present):
        """The device at a door came or went; told again and again while it stays so."""
        if self._plugged.get(name) != present:
            self._plugged[name] = present
            self._happened(name, self._doors[name].plugged(present, self.clock.now_ms()))

    def received(self, data):
        """Bytes of the line."""
        if not self.line_is_up:
            return
        try:
            messages = self._frames.feed(data)
        except FrameError as error:
            self.log("warning", str(error))
            self.drop_line()
            self._deliver(LINE_DOWN)
            return
        connection = self._frames
        for message in messages:
            if not self.line_is_up or self._frames is not connection:
                break  # given up meanwhile
            if not self._deliver(MESSAGE, message):
                self.ignored("nobody waits for it")

    def line_up(self):
        """A new connection stands."""
        self.line_is_up = True
        self.line_told = None
        if self.line_trouble != CERTIFICATE:
            self.line_trouble = None
        self.log("info", "line: up")
        self._frames = Frames(self.settings.tpdu)
        self._deliver(LINE_UP)

    def line_refused(self, what):
        """TLS does not come about; what: why, without secrets."""
        if self.line_trouble is None:
            self.log("error", "line: " + what)
        self.line_trouble = CERTIFICATE
        if self.ports is self._tcp or not self.ports.tcp_refused():
            self._deliver(LINE_REFUSED)

    def line_carrier(self):
        """What carries the line, and how strong its signal is; "" where there is no modem."""
        return "" if self.ports is self._tcp else self.ports.carrier()

    def line_news(self, text):
        """How far a line is that is being made: the name of a text."""
        self.line_told = text
        self._deliver(LINE_NEWS)

    def line_failed(self, text):
        """No line comes about; the name of a text says why."""
        self.line_told = None
        self.line_trouble = text
        self._deliver(LINE_REFUSED)

    def line_down(self):
        """The connection broke."""
        self.line_is_up = False
        self.log("info", "line: down")
        self._deliver(LINE_DOWN)

    def tick(self):
        """Let time pass at the doors, then end a wait that is over."""
        now_ms = self.clock.now_ms()
        for name in self._doors:
            deadline_ms = self._doors[name].deadline_ms()
            if deadline_ms is not None and now_ms >= deadline_ms:
                self._happened(name, self._doors[name].tick(now_ms))
        if self._deadline_ms is not None and now_ms >= self._deadline_ms:
            if self._flow is None:
                self._begin()
            else:
                self._resume((TIMEOUT, None))

    def deadline_ms(self):
        """When tick() has something to do; None when only an event can change anything."""
        earliest = self._deadline_ms
        for name in self._doors:
            deadline_ms = self._doors[name].deadline_ms()
            if deadline_ms is not None and (earliest is None or deadline_ms < earliest):
                earliest = deadline_ms
        return earliest

    # ---------------------------------------------------------------- what flows ask for

    def log(self, level, what):
        """Tell an event of the log. `what` holds no card data."""
        self.emit({"event": "log", "level": level, "what": what})
        self.events.add(level, what)

    def emit(self, event):
        """Tell an event to whoever watches the terminal. It holds no card data but masked."""
        self._board.emit(event)
        if event["event"] == "transaction" and not event.get("training"):
            self.events.count("reversals" if event["flow"] == "reversal" else "transactions")

    def ignored(self, why):
        """Count and tell a message that changes nothing."""
        self._ignored += 1
        count = self._ignored
        if count <= LOGGED_IGNORED or count & (count - 1) == 0:
            self.log("warning", "message %d ignored: %s" % (count, why))

    def rest(self):
        """Nothing is under way: what was made for a moment may go."""
        for name in self._doors:
            self._doors[name].rest()
        if self.clock.now_ms() >= self._write_events_ms:
            self._write_events_ms = self.clock.now_ms() + WRITE_EVENTS_MS
            self.events.write()

    def drop_line(self):
        """Give up this connection; the ports make a new one."""
        self.line_is_up = False
        self.log("info", "line: dropped")
        self.ports.hang_up()

    def opened_journal(self):
        """The journal; opened when the first keys have come. Raises JournalError."""
        if self.journal is None:
            seal = Seal(self._board.aes, self.keys.storage_key, self._board.random)
            journal = Journal(self._board.storage, seal, self.log, counted)
            batch = journal.batch
            queue = Queue(self._board.storage, seal, self.log, batch.head, batch.shown)
            if queue.tail > batch.shown:
                from terminal.flows.offline import stan_of
                from terminal.journal_reading import rejoin

                rejoin(journal, queue, stan_of)
                terminal.forget("terminal.journal_reading")
            self.journal, self.batch, self.queue = journal, batch, queue
        return self.journal

    def heading(self, processing_code, moment=None):
        """The fields that every request of the terminal has, but for its STAN."""
        digits = moment_digits(moment or self.clock.wall())
        return {
            3: processing_code,
            12: digits[8:],
            13: digits[4:8],
            41: self.settings.terminal_id,
            42: self.settings.acceptor_id,
        }

    def request(self, mti, fields, transmission=None):
        """A line.Request under its own key serial. Raises keys.NoKey, JournalError."""
        transmission = transmission or self.keys.transmission()
        # Nobody knows yet which of several lines will carry it.
        is_private = self.settings.tls is not None and [line.kind for line in self.settings.lines] == ["tcp"]
        return Request(mti, fields, transmission, self.settings.tpdu, is_private)

    def signed_on(self, moment, ratio, pin_from_points):
        """The switch has told date, time, redemption ratio and from how many points on a proof is needed."""
        self.clock.set_wall(moment)
        self.ratio = ratio
        self.pin_from_points = pin_from_points
        self._signed_on_until_ms = self.clock.now_ms() + SIGN_ON_MS
        self.log("info", "signed on")
        self.downloads.is_well()

    def sign_on_again(self):
        """What sign-on brought may be out of date."""
        self._signed_on_until_ms = None

    def sign_on_due(self):
        """Whether a sign-on must come before the next request."""
        return self.sign_on_left_ms() == 0

    def sign_on_left_ms(self):
        """For how long the sign-on still holds."""
        if self._signed_on_until_ms is None:
            return 0
        return max(0, self._signed_on_until_ms - self.clock.now_ms())

    def print(self, strips):
        """Have strips of dots printed; how it went comes as a PRINTER event."""
        self._doors["printer"].print(strips)

    def paper_dots(self):
        """Dots of a printed line."""
        return self._doors["printer"].width

    def is_paper_low(self):
        """Whether the roll will end soon, as the printer said last."""
        return "printer" in self._doors and self._doors["printer"].is_near_end

    def doors(self):
        """Names of what is fitted."""
        return sorted(self._doors)

    def awaits(self, kind):
        """Whether an event of this kind would be taken now."""
        return self._wait is not None and kind in self._wait.kinds

    def fitted(self, name):
        """Whether this terminal has such a device, plugged in or not."""
        return name in self._doors

    def usable(self, name):
        """Whether the device is fitted, plugged in, and as it should be."""
        return name in self._doors and name not in self._troubles

    def options(self, name):
        """What the board file says of the device at a door: "kind", and more that kinds have of their own."""
        return self._fitted[name]

    def prove(self, challenge):
        """Have the chip card that was read prove these bytes; a CHIP event follows."""
        self._doors["chip"].prove(challenge, self.clock.now_ms())

    def trouble(self):
        """(door, why) of a device that can't be used; None when all can. "optional" ones are only logged."""
        for row in KINDS:
            if row[0] in self._troubles and not self._fitted[row[0]].get("optional", row[0] in UNSEEN):
                return row[0], self._troubles[row[0]]
        return None

    def use_parameters(self):
        """Put what the switch changed over the settings that the terminal was given."""
        self.settings = self.downloads.settings_with(self._given)
        self.screens.speak(self.settings.locale)

    def has_unsent(self):
        """Whether something waits for the switch that no other software may have to send."""
        if self.opened_journal().pending() is not None:
            return True
        return len(self.queue) > 0 or self.batch.step is not None

    def _made_downloads(self):
        try:
            return Downloads(self._board, self.log)
        except OSError:
            raise JournalError("downloads: the storage can't be read")

    def _provide_keys(self):
        """Take the key block of the settings, when there is one and it is new; once taken, the block goes."""
        if self.settings.key_block is None:
            return
        try:
            self.keys.provide(self.settings.key_block, self.settings.key_serial)
            self._board.forget_given_keys()
        except LoadError as error:
            self.log("error", "keys: " + str(error))
        except JournalError as error:
            self.log("error", str(error))
        except (OSError, ValueError):
            self.log("error", "settings: the key block can't be taken out; tried again at the next start")
        self.settings.key_block = self.settings.key_serial = None  # taken, or no good

    # ---------------------------------------------------------------- running the flow

    def _made_doors(self):
        doors = {}
        for row in KINDS:
            if row[0] in self._fitted and row[0] not in doors:
                device = made(self, row[0], self._fitted[row[0]]["kind"])
                if device is not None:
                    doors[row[0]] = device
        return doors

    def _happened(self, name, events):
        """What a device told, and whether it can still be used."""
        for kind, value in events:
            if kind in (CARD, BAD_CARD):
                self.events.count("swipes_read" if kind == CARD else "swipes_failed")
            if not self._deliver(kind, value) and kind == CARD:
                self._doors[name].dropped()
        missing = self._plugged.get(name) is False
        self._tell_trouble(name, MISSING if missing else self._doors[name].trouble)

    def _tell_trouble(self, name, trouble):
        if trouble == self._troubles.get(name):
            return
        if trouble is None:
            del self._troubles[name]
        else:
            self._troubles[name] = trouble
        self.log("info" if trouble is None else "warning", name + ": " + (trouble or "back"))
        self._deliver(DEVICE)

    def _deliver(self, kind, value=None):
        """Give an event to the flow when it waits for such; False when not (a key in vain is no fault)."""
        if self._wait is None or kind not in self._wait.kinds:
            return False
        self._resume((kind, value))
        return True

    def _begin(self):
        self._flow = run(self)
        self._resume(None)

    def _resume(self, event):
        wait = self._wait = None  # nothing can be delivered while the flow runs
        self._deadline_ms = None
        try:
            wait = self._flow.send(event)
        except Exception as error:  # whatever it is: the terminal lives on, the journal knows what is pending
            self._failed(error)
            return
        self._wait = wait
        self._tell_wanted(wait.kinds)
        if wait.timeout_ms is not None:
            self._deadline_ms = self.clock.now_ms() + wait.timeout_ms

    def _tell_wanted(self, kinds):
        now_ms = self.clock.now_ms()
        for name in self._doors:
            self._doors[name].wanted(kinds, now_ms)

    def _failed(self, error):
        self._flow = None
        self._tell_wanted(())
        self._deadline_ms = self.clock.now_ms() + FAULT_PAUSE_MS
        try:
            self.log("error", "fault: " + self._describe_fault(error))
            self.screens.show("message", text="fault")
        except Exception:  # out of memory, most likely: the flow's own was freed by now
            self.emit({"event": "log", "level": "error", "what": "fault while telling a fault"})
        self.downloads.trial_failed()
