"""How a link refuses: what its owner did, what its peer did, and what became of a request.

Nothing here carries card data: a text names MTI, key fields as a person may see them, places and times.
"""

from __future__ import annotations


class LinkError(Exception):
    """Everything a link raises or ends a request with."""


class LocalProtocolError(LinkError):
    """We did what the link's state doesn't allow: a mistake in our own program."""


class RemoteProtocolError(LinkError):
    """The peer did what the link's state doesn't allow. `response_code`: the DE 39 to answer with."""

    def __init__(self, what: str, response_code: str) -> None:
        super().__init__(what)
        self.response_code = response_code


class LinkDown(LinkError, ConnectionError):
    """No connection that is signed on. `sent`: the request had left, so its outcome is unknown: reverse it.

    With `sent` false nothing of the request left this process.
    """

    def __init__(self, what: str, *, sent: bool) -> None:
        super().__init__(what)
        self.sent = sent


class LinkTimeout(LinkError, TimeoutError):
    """The answer didn't come in time. The outcome is unknown: reverse it, or wait for the late answer."""


class LinkBusy(LinkError):
    """As many requests are in flight as the settings allow; nothing was sent."""


class DuplicateInFlight(LinkError):
    """A request with the same key is in flight; nothing was sent. Answers could be mixed up."""


class KeyStillTaken(DuplicateInFlight):
    """Another transaction ended under this key so recently that an answer of its may still come.

    The same transaction may be sent again under its key (a repeat), another one may not take it over.
    """
