"""The TLS handshakes of a listener: each ends as a connection of the protocol behind it, or as one reason.

asyncio's own TLS listener forgets a failed handshake without a word; here its reason is told. A leaf: it
knows nothing of what is spoken inside, and a reason never holds anything that the peer sent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

# Peers in the middle of their handshake; each costs some ten kilobytes and ends by itself after its timeout.
MOST_UNDER_WAY: Final = 1024
ACCEPT_PAUSE_S: Final = 1.0  # when the system has no descriptor left
# Lines about failures: so many at once, then one whenever so many seconds have passed. 2 MB a day at most.
LINES_AT_ONCE: Final = 20
SECONDS_A_LINE: Final = 10.0

# OpenSSL's codes (X509_V_ERR_…) of what is wrong with a peer's certificate.
_CERTIFICATE_WORDS: Final = {
    9: "certificate not valid yet",
    10: "certificate expired",
    18: "foreign certificate",  # it signed itself
    19: "foreign certificate",
    20: "foreign certificate",  # its issuer is not known here
    21: "foreign certificate",
    26: "certificate for another purpose",
}
_REASON_WORDS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "HTTP_REQUEST": "no TLS: an HTTP request",
    "WRONG_VERSION_NUMBER": "no TLS",
    "UNSUPPORTED_PROTOCOL": "TLS version too old",
    "NO_SHARED_CIPHER": "no cipher suite in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know our authority",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer finds our certificate expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer refuses our certificate",
}

Factory = Callable[[], asyncio.Protocol]
# Hears of a failed handshake: the peer's address, the reason.
Failed = Callable[[str, str], None]


class Allowance:
    """How many lines may be written: some at once, then one every few seconds. Counts those left out."""

    def __init__(self, at_once: int = LINES_AT_ONCE, seconds_a_line: float = SECONDS_A_LINE) -> None:
        self._at_once = at_once
        self._seconds_a_line = seconds_a_line
        self._left = float(at_once)
        self._at: float | None = None
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """For one line at `now` (seconds, monotonic): None when it is left out, else how many were since the
        last one that was written."""
        if self._at is not None:
            self._left = min(self._at_once, self._left + (now - self._at) / self._seconds_a_line)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return None
        self._left -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class Handshakes:
    """Accepts a listening socket's connections into TLS.

    factory: the protocol of a connection whose handshake succeeded. failed: called once for each other one.
    Beyond most_under_way peers at once the one that takes longest is let go.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        timeout_s: float,
        factory: Factory,
        failed: Failed,
        most_under_way: int = MOST_UNDER_WAY,
    ) -> None:
        self._context = context
        self._timeout_s = timeout_s
        self._factory = factory
        self._failed = failed
        self._most_under_way = most_under_way
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    def serve(self, listening: socket.socket) -> None:
        """Accept from now on. listening: bound and listening; closed by `close`."""
        listening.setblocking(False)
        self._listening = listening
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening))

    def close(self) -> None:
        """Accept nobody any more, let go of everybody who is in the middle of a handshake."""
        if self._accepting is not None:
            self._accepting.cancel()
        for task in self._under_way:
            task.cancel()
        if self._listening is not None:
            # Not before the loop has let go of it.
            asyncio.get_running_loop().call_soon(self._listening.close)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except ConnectionError:
                continue  # it had gone before it was taken
            except OSError as error:  # out of descriptors or memory: others may close theirs
                self._failed("unknown", error.strerror or type(error).__name__)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            if len(self._under_way) >= self._most_under_way:
                next(iter(self._under_way)).cancel("too many handshakes at once, the longest goes")
            task = loop.create_task(self._shake(connection, _name_of(address)))
            self._under_way[task] = None
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)

    async def _shake(self, connection: socket.socket, peer: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._factory, connection, ssl=self._context, ssl_handshake_timeout=self._timeout_s
            )
        except asyncio.CancelledError as cancelled:
            connection.close()
            if cancelled.args:
                self._failed(peer, str(cancelled.args[0]))
            raise
        except OSError as error:  # ssl.SSLError is one
            self._failed(peer, reason_of(error))


def reason_of(error: OSError) -> str:
    """Why a handshake failed, in words of ours or OpenSSL's, which never quote the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _CERTIFICATE_WORDS.get(error.verify_code)
        return known or f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "failed"
        return _REASON_WORDS.get(reason, reason.lower().replace("_", " "))
    if isinstance(error, ConnectionAbortedError):
        return "not finished in time"
    if isinstance(error, ConnectionError):
        return "closed by the peer"
    return error.strerror or type(error).__name__


def _name_of(peer: Any) -> str:
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else "unknown"
