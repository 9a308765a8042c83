"""A line between a PostgreSQL ledger and its server that breaks at any byte, or loses all of them."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import closing, suppress
from pathlib import Path

from simulators.postgres_server import PostgresServer

LONGEST_JOIN_S = 30.0  # only an end that nobody closed takes so long


class Proxy:
    """Passes bytes between one client and the server; cuts every connection after so many bytes.

    requests, answers: how many bytes may still pass in each direction, None for any number. swallows: every
    byte is lost without a word, as where a host drops packets; a connection that lost some loses all others.
    """

    def __init__(self, server: PostgresServer, directory: Path) -> None:
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen()
        self._directory = directory
        self._stopping = False
        self.requests: int | None = None
        self.answers: int | None = None
        self.passed = [0, 0]
        self.swallows = threading.Event()
        self.swallowed = threading.Event()  # something was
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, schema_url: str) -> str:
        return schema_url.replace(f"host={self._server.directory}", f"host={self._directory}")

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._stopping:
                client.close()
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server.socket))
            self._threads.append(threading.Thread(target=self._pass, args=(client, server)))
            self._threads[-1].start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with closing(client), closing(server), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, 0))
            selector.register(server, selectors.EVENT_READ, (client, 1))
            torn = False
            with suppress(OSError):
                while True:
                    for key, _ in selector.select():
                        to, direction = key.data
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        torn = torn or self.swallows.is_set()
                        if torn and data:
                            self.swallowed.set()
                            continue
                        left = self.answers if direction else self.requests
                        to.sendall(data[:left])
                        self.passed[direction] += len(data)
                        if left is not None:
                            left -= len(data)
                            if direction:
                                self.answers = max(left, 0)
                            else:
                                self.requests = max(left, 0)
                        if not data or (left is not None and left < 0):
                            return

    def limit(self, requests: int | None = None, answers: int | None = None) -> None:
        self.requests, self.answers, self.passed = requests, answers, [0, 0]

    def close(self) -> None:
        self._stopping = True
        with closing(socket.socket(socket.AF_UNIX)) as last:
            last.connect(str(self._directory / ".s.PGSQL.5432"))
        self._threads[0].join()
        self._listener.close()
        for thread in self._threads[1:]:
            thread.join(LONGEST_JOIN_S)
            assert not thread.is_alive(), "a connection was left open"
