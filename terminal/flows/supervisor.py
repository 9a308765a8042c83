"""Behind the supervisor's code: closing the batch, the state of the terminal, training, another code.

The code is kept as a salted hash only: of the settings until it is changed here, then of the storage until
the settings have another one. Where neither has one, whoever opens the menu first chooses it. It is never
shown, logged, or kept in clear; three wrong ones close the menu for a while, also through a restart.
"""

from hashlib import sha256

from terminal.flows.dialogue import choose, tell
from terminal.flows.proof import ask_secret, ask_twice
from terminal.journal import checked, store, stored, unchecked
from terminal.security import same, wipe
from terminal.ui.strings import pair_of

FILE = "supervisor"
SHORTEST, LONGEST = 4, 8  # digits
TRIES = 3
PAUSE_MS = 300000  # after so many wrong ones; a code of four digits then lasts years of trying
ROUNDS = 1000  # of the hash: 0.1 s on a board
SALT_BYTES, HASH_BYTES = 16, 32
MINUTE_MS = 60000


async def open_menu(app, flow):
    """Ask for the code, then do what is chosen; returns an event that is left to handle, or None."""
    if app.training is not None:
        from terminal.flows.training import end

        return await end(app)
    if not await admitted(app, chooses=True):
        return None
    key = await choose(app, "manager", "1234")
    if key == "1":
        from terminal.flows.batch import close_batch

        return await close_batch(app)
    if key == "2":
        from terminal.flows.diagnostics import show

        return await show(app)
    if key == "3":
        from terminal.flows.training import begin

        return await begin(app)
    return await change(app)


async def admitted(app, chooses=False):
    """Whether the supervisor is there. Raises Cancelled, JournalError.

    chooses: where there is no code yet, whoever is there chooses it; else nobody is the supervisor.
    """
    while True:
        wrong, salt, expected = kept(app)
        if expected is None:
            return chooses and await _choose_code(app)
        now_ms = app.clock.now_ms()
        if wrong >= TRIES:
            if app.supervisor_from_ms is None:  # a restart shortens nothing
                app.supervisor_from_ms = now_ms + PAUSE_MS
            left_ms = app.supervisor_from_ms - now_ms
            if left_ms > 0:
                await tell(app, "manager_closed", -(-left_ms // MINUTE_MS))
                return False
            app.supervisor_from_ms = None
            wrong = 0
        code = await ask_secret(app, "manager_code", pair_of("supervisor"), SHORTEST, LONGEST)
        keep(app, wrong + 1, salt, expected)  # counted before it is looked at: a power cut gives no try back
        if same(hashed(code, salt), expected):
            keep(app, 0, salt, expected)
            app.log("info", "supervisor: admitted")
            return True
        app.log("warning", "supervisor: a wrong code")
        if wrong + 1 < TRIES:
            await tell(app, "manager_wrong", TRIES - wrong - 1)


async def change(app):
    """Another code for the supervisor who is there."""
    await _choose_code(app)
    return await tell(app, "manager_changed")


async def _choose_code(app):
    """Take a new code, keyed in twice; True once it is kept. Raises Cancelled, JournalError."""
    title = pair_of("supervisor")
    code = await ask_twice(app, "manager_new", "manager_new_again", title, SHORTEST, LONGEST)
    salt = app.random(SALT_BYTES)
    keep(app, 0, salt, hashed(code, salt))
    app.log("info", "supervisor: a new code")
    return True


def hashed(code, salt):
    """The hash of a code (digits as numbers in a bytearray), which is overwritten."""
    found = sha256(salt + bytes(code)).digest()
    wipe(code)
    for _ in range(ROUNDS):
        found = sha256(found + salt).digest()
    return found


def kept(app):
    """(wrong tries so far, salt, hash); without salt and hash when none was chosen. Raises JournalError.

    The storage has the count, salt, hash, and the hash that the settings had then. A file that can't be read
    counts as too many tries at the code of the settings.
    """
    given = app.settings.supervisor
    data = stored(app.storage, FILE, "supervisor: the storage")
    if data is None:
        return (0,) + (given or (None, None))
    content = unchecked(data)
    if content is None or len(content) != 1 + SALT_BYTES + 2 * HASH_BYTES:
        app.log("error", "supervisor: the code can't be read")
        return (TRIES,) + (given or (None, None))
    if given and given[1] != content[-HASH_BYTES:]:
        return (content[0],) + given  # the settings have another one since
    return content[0], content[1 : 1 + SALT_BYTES], content[1 + SALT_BYTES : -HASH_BYTES]


def keep(app, wrong, salt, expected):
    """Write what `kept` reads, durably. Raises JournalError."""
    given = app.settings.supervisor
    content = bytes([wrong]) + salt + expected + (given[1] if given else bytes(HASH_BYTES))
    store(app.storage, FILE, checked(content), "supervisor")
