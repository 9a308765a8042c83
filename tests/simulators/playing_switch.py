"""A switch that agrees to everything, for the real firmware; keys derived by the HSM's own module.

It holds requests to the dictionary, to their MAC and to rising key serials; what is wrong is kept as a fault.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from switch import iso8583
from switch.hsm.crypto.ciphers import aes_cbc_decrypt
from switch.hsm.crypto.dukpt_aes import Algorithm, Usage, initial_key, working_key
from switch.hsm.crypto.macs import cmac, unpad_2
from switch.hsm.crypto.pin_blocks import open_iso_4
from terminal.message import pack

DIALECT = iso8583.load("vafa")
MOMENT = "20260824140305"
Answer = dict[int, Any]


class Request:
    """A request as it came: the terminal's keys of its serial make its parts readable."""

    def __init__(self, data: bytes, base_key: bytes) -> None:
        self.message = DIALECT.decode(data)
        self.mti = self.message.mti
        serial = self.message["53"]
        assert isinstance(serial, bytes)
        self.serial = serial[1:]
        self._initial = initial_key(base_key, self.serial[:8])
        self._data = data

    def text(self, path: str) -> str:
        value = self.message.get(path)
        return value if isinstance(value, str) else ""

    def _key(self, usage: Usage) -> bytes:
        return working_key(self._initial, self.serial, usage, Algorithm.AES_128)

    def mac_of_answer(self, data: bytes) -> bytes:
        return cmac(self._key(Usage.MAC_VERIFICATION), data)[:8]

    def pin(self, path: str = "52") -> str:
        block = self.message[path]
        assert isinstance(block, bytes)
        return open_iso_4(self._key(Usage.PIN), block, self.text("2") or self.text("35").split("=")[0])

    def code(self) -> str:
        """The one-time code, in clear or alone in the enciphered tag."""
        if code := self.text("48.06"):
            return code
        data = self.message["48.20"]
        assert isinstance(data, bytes)
        inside = unpad_2(aes_cbc_decrypt(self._key(Usage.DATA_ENCRYPT), data), 16)
        assert inside[:2] == bytes.fromhex("0603")
        return inside[2:].hex()

    def faults(self, before: bytes) -> list[str]:
        found = [str(problem) for problem in DIALECT.check(self.message)]
        body, mac = self._data[:-8], self._data[-8:]
        if cmac(self._key(Usage.MAC_GENERATION), body)[:8] != mac:
            found.append("MAC")
        if self.serial <= before:
            found.append("serial")
        return [f"{self.mti}: {fault}" for fault in found]


class PlayingSwitch:
    """decide: DE 39 of a request that would be approved; the default is 00."""

    def __init__(self, base_key: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.decide: Callable[[Request], str] = lambda request: "00"
        self.pin_from_points: int | None = None
        self.handshake_errors = 0
        self._base_key = base_key
        self._tls = tls
        self._last = b""
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback address; returns it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                answer = self._answer(await reader.readexactly(length))
                writer.write(len(answer).to_bytes(2, "big") + answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    def _answer(self, data: bytes) -> bytes:
        request = Request(data, self._base_key)
        self.faults += request.faults(self._last)
        if self._tls is None and request.text("48.06"):
            self.faults.append("one-time code in clear")
        self._last = request.serial
        self.requests.append(request)
        mti = request.mti[:2] + str(int(request.mti[2]) + 1) + "0"
        return pack(mti, self._fields(request), request.mac_of_answer)

    def _fields(self, request: Request) -> Answer:
        fields: Answer = {
            number: request.text(str(number)) for number in (11, 12, 41) if request.text(str(number))
        }
        if request.mti == "0800":
            tags = {0x10: MOMENT, 0x11: "0001", 0x12: "00000100"}
            if self.pin_from_points is not None:
                tags[0x13] = f"{self.pin_from_points:012}"
            return {**fields, 39: "00", 48: tags}
        code = self.decide(request)
        return {**fields, 37: "0A0000012345", 39: code, 48: {1: "0" * 10 + "50", 2: "0" * 9 + "250"}}
