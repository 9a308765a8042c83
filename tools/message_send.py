"""One message to a host and its answer back, over TCP or TLS, with the time each step took.

Knows sockets and frames; messages are bytes here.
"""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import NamedTuple

from switch.link.framing import Frame, Framing, FramingError
from tools.cli import CommandError, ExitCode

READ_BYTES = 64 * 1024
LONGEST_FRAME_BYTES = 0xFFFF


class Timing(NamedTuple):
    """Milliseconds of each step. tls: 0.0 without TLS."""

    connect_ms: float
    tls_ms: float
    answer_ms: float


class Answered(NamedTuple):
    """What came back for one message."""

    payload: bytes
    tpdu: bytes | None
    timing: Timing


class NoAnswer(CommandError):
    """The host didn't answer: what was tried and how far it got."""

    def __init__(self, what: str, try_next: str) -> None:
        super().__init__(what, ExitCode.NETWORK, try_next)


class Target(NamedTuple):
    """A host. tls: None for plain TCP; server_name: the name its certificate must bear."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def tls_context(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or better; the certificate is checked against `ca`, else the authorities of the system."""
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            context.load_cert_chain(str(cert), None if key is None else str(key))
    except (OSError, ssl.SSLError, ValueError) as error:
        files = ", ".join(str(file) for file in (ca, cert, key) if file is not None)
        what = getattr(error, "strerror", None) or getattr(error, "reason", None) or "unreadable"
        raise CommandError(
            f"{files}: {what}", ExitCode.CONFIGURATION, "name PEM files; --cert needs its --key"
        ) from None
    return context


class Line:
    """One connection to a host, for one message after the other."""

    def __init__(self, target: Target, framing: Framing, timeout_s: float) -> None:
        self._target = target
        self._framing = framing
        self._timeout_s = timeout_s
        self._reader = framing.reader(LONGEST_FRAME_BYTES)
        self._frames: list[Frame] = []
        started = time.monotonic()
        self._socket = self._connect()
        connected = time.monotonic()
        self.connect_ms = (connected - started) * 1000
        self.tls_ms = 0.0
        if target.tls is not None:
            self._socket = self._shake_hands(target.tls)
            self.tls_ms = (time.monotonic() - connected) * 1000

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def exchange(self, payload: bytes, tpdu: bytes | None = None) -> Answered:
        """Send one message, wait for the next frame. `NoAnswer` says how far it got."""
        started = time.monotonic()
        try:
            self._socket.sendall(self._framing.frame(payload, tpdu))
        except ValueError as error:
            raise CommandError(str(error), ExitCode.USAGE, "--framing with a longer length") from None
        except OSError as error:
            raise NoAnswer(
                f"{self._target}: sending failed: {_words(error)}", "is the host still up?"
            ) from None
        frame = self._next_frame(started + self._timeout_s)
        answer_ms = (time.monotonic() - started) * 1000
        return Answered(frame.payload, frame.tpdu, Timing(self.connect_ms, self.tls_ms, answer_ms))

    def _connect(self) -> socket.socket:
        target = self._target
        try:
            return socket.create_connection((target.host, target.port), timeout=self._timeout_s)
        except TimeoutError:
            raise NoAnswer(
                f"{target}: no connection within {self._timeout_s:g} s",
                "check the address and the firewalls on the way",
            ) from None
        except (socket.gaierror, UnicodeError):  # the second: nothing that could be a name
            raise NoAnswer(
                f"{target}: no host of that name is known", "check the name, or give the address"
            ) from None
        except OSError as error:
            raise NoAnswer(
                f"{target}: no connection: {_words(error)}",
                f"is the host up? vafa message serve --port {target.port} is one",
            ) from None

    def _shake_hands(self, context: ssl.SSLContext) -> socket.socket:
        target = self._target
        try:
            return context.wrap_socket(self._socket, server_hostname=target.server_name or target.host)
        except ssl.SSLCertVerificationError as error:
            self._socket.close()
            raise NoAnswer(
                f"{target}: its certificate is not trusted: {error.verify_message}",
                "--ca FILE names the authority that signed it, --server-name the name it bears",
            ) from None
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise NoAnswer(
                f"{target}: no TLS: {_words(error)}",
                "does the host speak TLS on this port? does it want --cert and --key?",
            ) from None

    def _next_frame(self, deadline: float) -> Frame:
        while not self._frames:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._silence()
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(READ_BYTES)
            except TimeoutError:
                raise self._silence() from None
            except OSError as error:
                raise NoAnswer(
                    f"{self._target}: connection lost before the answer: {_words(error)}",
                    "does the host want another --framing, "
                    + ("or --tls?" if self._target.tls is None else "or --cert and --key?"),
                ) from None
            if not data:
                raise NoAnswer(
                    f"{self._target}: the host closed the connection without an answer",
                    "hosts do that when the framing is wrong: another --framing?"
                    + (" or when they want " + ("--tls" if self._target.tls is None else "--cert and --key")),
                )
            try:
                self._frames = self._reader.feed(data, time.monotonic())
            except FramingError as error:
                if not error.frames:
                    raise NoAnswer(
                        f"{self._target}: the answer is no frame of {self._framing.name}: {error}",
                        "try another --framing" + (", or --tls" if self._target.tls is None else ""),
                    ) from None
                self._frames = list(error.frames)
        return self._frames.pop(0)

    def _silence(self) -> NoAnswer:
        begun = "; part of a frame came" if self._reader.pending_since is not None else ""
        return NoAnswer(
            f"{self._target}: no answer within {self._timeout_s:g} s{begun}",
            "--timeout waits longer; a host that never answers often wants another --framing or --dialect"
            + (", or --tls" if self._target.tls is None else ""),
        )


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").replace("_", " ").lower()
    if isinstance(error, TimeoutError):
        return "it said nothing in time"
    return error.strerror or type(error).__name__
