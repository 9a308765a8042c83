"""The officers' console: a Unix socket that only the process's owner can open. One JSON line in, one out.

Words: status, authorise and form (two officers), cancel, verify-audit. Passphrases and components are used
and forgotten; failures are recorded, counted, and after some in a row the console stops listening to officers
for a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from switch.hsm_sim.audit import AuditError, AuditEvent, verify
from switch.hsm_sim.authorised import AuthorisationError
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.forming import form
from switch.hsm_sim.machine import Machine
from switch.hsm_sim.server import Log
from switch.hsm_sim.vault import Officer, VaultError

LONGEST_LINE: Final = 16 * 1024
MOST_FAILURES: Final = 5  # in a row
LOCKED_S: Final = 60.0
LINE_TIMEOUT_S: Final = 10.0
LONGEST_SOCKET_PATH_BYTES: Final = 107  # the system's limit

# Checks two officers' passphrases together; returns their names. Raises VaultError.
CheckOfficers = Callable[[Officer, Officer], tuple[str, str]]


class AuditPlace:
    """Where the audit log lies and what seals it, for verify-audit."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._key = key

    def verified(self) -> int:
        """Number of records of an unbroken log. Raises AuditError."""
        head = self.path.with_name(self.path.name + ".head").read_text("ascii")
        return verify(self.path.read_text("ascii").splitlines(), self._key, head).records


class Console:
    """Serves officers until closed."""

    def __init__(
        self, machine: Machine, check: CheckOfficers, log: Log, audit: AuditPlace | None = None
    ) -> None:
        self._machine = machine
        self._check = check
        self._log = log
        self._audit = audit
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._failures = 0
        self._locked_until = 0.0
        self._turn = asyncio.Lock()  # one attempt at a time: nobody tries passphrases in parallel

    async def start(self, path: Path) -> None:
        """Listen at `path`; a socket left by a process that is gone is replaced. Raises OSError."""
        _remove_left_over(path)
        with _short(path) as address:
            own = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o177)  # of the whole process: nobody else may run before it is put back
            try:
                own.bind(address)
            except OSError:
                own.close()
                raise
            finally:
                os.umask(mask)
            self._server = await asyncio.start_unix_server(self._serve, sock=own, limit=LONGEST_LINE)
        self._path = path

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(LINE_TIMEOUT_S):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ValueError, OSError, TimeoutError):
            pass  # no line, or nobody there any more
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            word = request["word"]
            if word == "status":
                return self._status()
            if word == "verify-audit":
                return self._verify_audit()
            if word == "cancel":
                return self._cancel()
            if word == "authorise":
                async with self._turn:
                    return await self._authorise(request)
            if word == "form":
                async with self._turn:
                    return await self._form(request)
            return {"error": "unknown word"}
        except Refused as error:
            return {"error": error.detail}
        except (AuthorisationError, VaultError, AuditError) as error:
            return {"error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": "not a console request"}

    def _status(self) -> dict[str, Any]:
        state = self._machine.state
        return {
            "lmk": {slot.identifier: [slot.kind, slot.check_value] for slot in state.slots},
            "default": state.slots.default,
            "authorised": state.authorised.active(state.clock()),
            "counters": dict(sorted(self._machine.counters.items())),
        }

    def _verify_audit(self) -> dict[str, Any]:
        if self._audit is None:
            return {"error": "this box keeps no audit log"}
        try:
            return {"records": self._audit.verified()}
        except OSError as error:
            return {"error": f"the audit log can't be read: {error.strerror}"}

    def _cancel(self) -> dict[str, Any]:
        self._machine.audit(AuditEvent("authorisation cancelled", {"by": "console"}))
        self._machine.state.authorised.cancel()
        return {"cancelled": True}

    async def _officers(self, request: dict[str, Any]) -> tuple[str, str]:
        """The names of the two who are there. Raises VaultError."""
        now = self._machine.state.clock()
        if now < self._locked_until:
            left = int(self._locked_until - now) + 1
            raise VaultError(f"too many wrong passphrases, try again in {left} s")
        given = [Officer(str(one["name"]), str(one["passphrase"])) for one in request["officers"]]
        if len(given) != 2:
            raise VaultError("two officers are needed")
        try:
            names = await asyncio.to_thread(self._check, given[0], given[1])
        except VaultError as error:
            self._failed(error)
            raise
        self._failures = 0
        return names

    async def _form(self, request: dict[str, Any]) -> dict[str, Any]:
        names = await self._officers(request)
        usage = str(request["usage"])
        components = [bytes.fromhex(one) for one in request["components"]]
        formed = form(self._machine.state, usage, str(request["algorithm"]), components)
        details = {
            "officers": ", ".join(names),
            "key": usage,
            "components": str(len(components)),
            "kcv": formed.kcv,
        }
        self._machine.audit(AuditEvent("key formed at the console", details))
        self._log.info("key formed", officers=details["officers"], key=usage, kcv=formed.kcv)
        return {"key": formed.token, "kcv": formed.kcv}

    async def _authorise(self, request: dict[str, Any]) -> dict[str, Any]:
        state = self._machine.state
        names = await self._officers(request)
        allowed = state.authorised.authorise(
            [str(one) for one in request["activities"]], names, int(request["minutes"]), state.clock()
        )
        details = {
            "officers": ", ".join(names),
            "activities": " ".join(allowed),
            "minutes": str(request["minutes"]),
        }
        try:
            self._machine.audit(AuditEvent("authorised", details))
        except AuditError:
            state.authorised.cancel()  # nothing is allowed that is not recorded
            raise
        self._log.info("authorised", officers=details["officers"], activities=details["activities"])
        now = state.clock()
        return {"authorised": {name: state.authorised.seconds_left(name, now) for name in allowed}}

    def _failed(self, error: VaultError) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._failures = 0
            self._locked_until = self._machine.state.clock() + LOCKED_S
        self._log.warning("authorisation refused", reason=str(error))
        self._machine.audit(AuditEvent("authorisation refused", {"reason": str(error)}))


def _remove_left_over(path: Path) -> None:
    if path.is_socket():
        path.unlink()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path itself, or one through its directory's descriptor where it is too long for a socket."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def ask(path: Path, request: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
    """One request to a running box. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        with _short(path) as address:
            connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    if not received:
        raise ConnectionError("the box did not answer")
    answer: dict[str, Any] = json.loads(received)
    return answer
