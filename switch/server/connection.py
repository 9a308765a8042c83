"""One TCP connection of a terminal: bytes to frames, answers to bytes, and the limits that protect the
others.

Knows framing and flow control; knows nothing of messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from switch.link.framing import Frame, FrameReader, FramingError, answer_tpdu, frame
from switch.server.log import Log
from switch.server.pipeline import Pipeline
from switch.settings import Listener
from switch.tls import Role, peer_of

# Answers that a peer doesn't read wait here; beyond it we stop reading from that peer.
WRITE_BUFFER_BYTES = 64 * 1024

CUT_FRAME = "connection ended inside a frame"


class Connections:
    """All connections of a listener, and the sweep that closes the idle and the stuck ones."""

    def __init__(self, pipeline: Pipeline, limits: Listener, log: Log) -> None:
        self.pipeline = pipeline
        self.limits = limits
        self.log = log
        self._open: dict[Connection, None] = {}
        self.loop = asyncio.get_running_loop()

    def make(self) -> Connection:
        """Protocol factory for `create_server`."""
        return Connection(self)

    def opened(self, connection: Connection) -> None:
        if len(self._open) >= self.limits.max_connections:
            self._make_room()
        self._open[connection] = None

    def closed(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def sweep(self) -> None:
        """Close connections that are idle too long or don't finish a frame. Call about once a second."""
        now = self.loop.time()
        for connection in list(self._open):
            connection.check_age(now)

    def close_all(self) -> None:
        """Close each connection after what is already written to it."""
        for connection in list(self._open):
            connection.close()

    def stop_reading(self) -> None:
        for connection in list(self._open):
            connection.stop_reading()

    def _make_room(self) -> None:
        """Full: let go of the longest idle stranger (no message with a good MAC yet), else of the longest
        idle."""
        victim = min(self._open, key=lambda connection: (connection.is_known, connection.active_at))
        victim.report("connection limit reached, longest idle let go")
        victim.abort()
        self.closed(victim)


class Connection(asyncio.Protocol):
    """asyncio protocol of one peer; a `Peer` for the pipeline."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        limits = connections.limits
        self._reader = FrameReader(max_frame_bytes=limits.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._name = "?"
        self._in_flight = 0
        self._paused_by_us = False
        self._paused_by_peer = False
        self._stopping = False
        self._closing = False
        self._reported: set[str] = set()
        self.is_private = False
        self.certified: str | None = None
        self.active_at = connections.loop.time()
        self.is_known = False

    # ------------------------------------------------------------ asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self._name = f"{peer[0]}:{peer[1]}" if peer else "?"
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.is_private = True
            self.certified = _terminal_of(tls.getpeercert())
        self._connections.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._reader.pending_since is not None:
            self.report(CUT_FRAME)
        self._transport = None
        self._connections.closed(self)

    def data_received(self, data: bytes) -> None:
        now = self.active_at = self._connections.loop.time()
        try:
            frames: Sequence[Frame] = self._reader.feed(data, now)
        except FramingError as error:
            self.report("bad framing", error=str(error))
            self._receive(error.frames)
            self.close_after_fault()
        else:
            self._receive(frames)

    def eof_received(self) -> bool:
        """The peer sends no more; it still gets its answers. True keeps the other direction open, which TLS
        doesn't know."""
        if self._reader.pending_since is not None:
            self.report(CUT_FRAME)
        self.close_after_fault()
        return not self.is_private

    def pause_writing(self) -> None:
        self._paused_by_peer = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._paused_by_peer = False
        self._set_reading()

    # ------------------------------------------------------------ the pipeline calls

    @property
    def name(self) -> str:
        """Where the peer is, for logs."""
        return self._name

    def answer(self, payload: bytes, tpdu: bytes | None) -> None:
        # A transport whose peer has gone complains of every write.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(payload, None if tpdu is None else answer_tpdu(tpdu)))
        self.drop()

    def drop(self) -> None:
        self._in_flight -= 1
        assert self._in_flight >= 0, "a frame is finished once"
        if self._closing and not self._in_flight:
            self.close()
        if self._paused_by_us and self._in_flight < self._connections.limits.max_in_flight:
            self._paused_by_us = False
            self._set_reading()

    def report(self, what: str, **details: str | int) -> None:
        if what not in self._reported and not self._closing:
            self._reported.add(what)
            self._connections.log.warning(what, peer=self._name, **details)

    def alarm(self, what: str, **details: str | int) -> None:
        self._connections.log.error(what, alarm=True, peer=self._name, **details)

    def close_after_fault(self) -> None:
        """Read nothing more; close when all that came before is answered."""
        self._closing = True
        self.stop_reading()
        if not self._in_flight:
            self.close()

    def known(self) -> None:
        self.is_known = True

    # ------------------------------------------------------------ the sweep calls

    def check_age(self, now: float) -> None:
        limits = self._connections.limits
        began = self._reader.pending_since
        if began is not None and now - began > limits.frame_timeout_s:
            self.report("frame not finished in time", seconds=limits.frame_timeout_s)
            self.abort()
        elif now - self.active_at > limits.idle_timeout_s and not self._in_flight:
            self._connections.log.info("idle connection closed", peer=self._name)
            self.abort()

    def stop_reading(self) -> None:
        self._stopping = True
        self._set_reading()

    def close(self) -> None:
        self._stopping = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._stopping = self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _receive(self, frames: Sequence[Frame]) -> None:
        for received in frames:
            if self._closing:
                return
            self._in_flight += 1
            if self._in_flight >= self._connections.limits.max_in_flight and not self._paused_by_us:
                self._paused_by_us = True
                self._set_reading()
            self._connections.pipeline.receive(self, received)

    def _set_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._paused_by_us or self._paused_by_peer or self._stopping:
            transport.pause_reading()
        else:
            transport.resume_reading()


def _terminal_of(certificate: Mapping[str, Any] | None) -> str | None:
    """The terminal that a certificate names; one of somebody else names no terminal there is."""
    if not certificate:
        return None
    holder = peer_of(certificate)
    return holder.name if holder is not None and holder.role is Role.TERMINAL else ""
