"""A request over the line, and its verified answer or the certainty that there is none."""

from terminal.flows.wait import LINE_DOWN, LINE_REFUSED, LINE_UP, MESSAGE, Wait
from terminal.line import Ignored

CONNECT_MS = 8000  # how long a cashier is kept waiting for a line before anything was sent

# Transient refusals (DE 39): the switch remembers nothing of them, the same request may succeed later.
TRANSIENT = ("63", "86", "91", "96")


class NotSent(Exception):
    """Certainly no byte of the request left the terminal."""


class NoAnswer(Exception):
    """The request left, or part of it, and no verified answer came."""


async def line_up(app):
    """Whether the line is up, after waiting for it at most CONNECT_MS."""
    if app.line_is_up:
        return True
    app.ports.connect()
    kind, _ = await Wait((LINE_UP, LINE_REFUSED), CONNECT_MS)
    return kind == LINE_UP


async def exchange(app, request):
    """Send a line.Request; return (fields, message) of its answer. Raises NotSent or NoAnswer.

    A connection that failed or stayed silent is dropped, so that the next attempt gets a fresh one.
    """
    left = app.ports.send(request.frame)
    if left < len(request.frame):
        app.drop_line()
        if left:
            raise NoAnswer
        raise NotSent
    deadline_ms = app.clock.now_ms() + app.settings.answer_timeout_ms
    while True:
        kind, message = await Wait((MESSAGE, LINE_DOWN), max(0, deadline_ms - app.clock.now_ms()))
        if kind != MESSAGE:
            if kind != LINE_DOWN:
                app.drop_line()
            raise NoAnswer
        try:
            answer = request.answered_by(message)
            app.line_trouble = None
            return answer, message
        except Ignored as why:
            app.ignored(str(why))
