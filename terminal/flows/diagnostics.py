"""What state the terminal is in, page by page, and a test: the display is drawn, a strip printed, the switch
asked for an echo. Nothing of keys but that they are there; nothing of cards.
"""

from terminal.app import SIGN_ON_MS
from terminal.flows.dialogue import ENTRY_MS, choose
from terminal.flows.exchange import ask, line_up
from terminal.flows.outcome import APPROVED_CODE
from terminal.flows.present import printed
from terminal.flows.wait import KEY, Wait
from terminal.message_tables import DICTIONARY_VERSION
from terminal.text import later
from terminal.ui.strings import pair_of

ECHO = "301"  # DE 70
NEXT = "#"
PROBE_FILE = "probe"  # written, read and removed to see that the storage works
PROBE = b"vafa"
STRIP = "Vafa 0123456789"
NONE = "-"


async def show(app):
    """The pages one after the other, then the test when it is wanted. Raises Cancelled, JournalError."""
    await choose(app, "state_line", NEXT, *line_state(app))
    await choose(app, "state_software", NEXT, *_software_state(app))
    await choose(app, "state_devices", NEXT, *_device_state(app))
    return await test(app)


def line_state(app):
    """Line and what carries it, when the last sign-on was (hh:mm), keys."""
    line = tuple([text + app.line_carrier() for text in verdict(app.line_is_up)])
    left_ms = app.sign_on_left_ms()
    signed_on = NONE
    if left_ms:
        signed_on = "%02d:%02d" % later(app.clock.wall(), -((SIGN_ON_MS - left_ms) // 1000))[3:5]
    return line, signed_on, verdict(not app.keys.trouble)


def _software_state(app):
    """Versions of software, parameters and messages, number of the batch, requests that are open or queued,
    storage."""
    pending = app.opened_journal().pending() is not None
    versions = "%s/%d/%d" % (_software_version(app), app.downloads.version, DICTIONARY_VERSION)
    return versions, app.batch.number, int(pending) + len(app.queue), verdict(stores(app))


def _software_version(app):
    """Of the running software; NONE where it can't be updated, or the storage can't say."""
    try:
        return app.downloads.running() if app.downloads.update is not None else NONE
    except OSError:
        return NONE


def _device_state(app):
    """Three rows of devices, each with whether it can be used."""
    told = ["%s %s" % (name, "+" if app.usable(name) else "-") for name in app.doors()]
    per_row = -(-len(told) // 3)
    rows = ["  ".join(told[at : at + per_row]) for at in range(0, len(told), per_row or 1)]
    return rows + [""] * (3 - len(rows))


def stores(app):
    """Whether the storage keeps what is written."""
    try:
        app.storage.replace(PROBE_FILE, PROBE)
        kept = app.storage.read(PROBE_FILE) == PROBE
        app.storage.remove(PROBE_FILE)
        return kept
    except OSError:
        return False


async def test(app):
    """Draw, print, ask for an echo; say what came of it."""
    app.screens.show("test", "", NONE, NONE)
    paper = await strip(app)
    app.screens.show("test", "", NONE, verdict(paper is None))
    took_ms = await echo(app)
    told = NONE if took_ms is None else took_ms
    storage = verdict(stores(app))
    app.log("info", "test: printer %s, echo %s" % (paper or "well", "none" if took_ms is None else took_ms))
    app.screens.show("test", storage, told, verdict(paper is None))
    await Wait((KEY,), ENTRY_MS)


async def strip(app):
    """None when a strip of paper came out, else why not."""
    if not app.fitted("printer"):
        return "missing"
    from terminal.ui.paper import CUT, TITLE

    return await printed(app, ((TITLE, STRIP), (CUT,)), app.settings.locale)


async def echo(app):
    """Milliseconds that an echo of the switch took; None when there was none. Raises JournalError."""
    if not await line_up(app):
        return None
    fields = {41: app.settings.terminal_id, 42: app.settings.acceptor_id, 70: ECHO}
    began_ms = app.clock.now_ms()
    answer, _ = await ask(app, "0800", fields)
    return app.clock.now_ms() - began_ms if answer and answer[39] == APPROVED_CODE else None


def verdict(is_well):
    return pair_of("ok" if is_well else "bad")
