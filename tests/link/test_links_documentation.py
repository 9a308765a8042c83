"""docs/links.md shows programs that run, names that exist, and figures that are the defaults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import switch.link.framing
import switch.link.matching
import switch.link.network
import switch.link.store_and_forward
from switch.iso8583 import Dialect
from switch.link.client import ClientSettings
from switch.link.forwarder import Forwarder
from switch.link.stream import Client, Server
from tests.link.exchange import DIALECT, answer_to, client_settings, on_wire, purchase, server_settings
from tests.link.test_client_core import client
from tests.link.test_stream import approve, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "links.md"
TEXT = PAGE.read_text(encoding="utf-8")
CLIENT, HOST, QUEUE, CORE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def free_port() -> int:
    """A port nobody listens on, below those that the system hands to whoever connects meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def program(code: str, port: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(
        compile(code.replace("8583,", f"{port},").replace("port=8583", f"port={port}"), str(PAGE), "exec"),
        names,
    )
    return names


def test_the_client_of_the_page_is_answered_by_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()

    async def scene() -> None:
        host = asyncio.ensure_future(program(HOST, port)["main"]())
        await program(CLIENT, port)["main"]()
        host.cancel()
        await asyncio.gather(host, return_exceptions=True)

    run(scene())
    assert capsys.readouterr().out == "answered 00\n"


@pytest.mark.parametrize("code", [CLIENT, HOST])
def test_the_programs_of_the_page_do_their_work_in_twenty_lines(code: str) -> None:
    lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 20


def test_the_queue_of_the_page_delivers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        names: dict[str, Any] = {
            **vars(switch.link.store_and_forward),
            "ADVICE": purchase(1, mti="0220"),
            "AESGCM": AESGCM,
            "Client": Client,
            "Dialect": Dialect,
            "Forwarder": Forwarder,
            "Path": Path,
            "asyncio": asyncio,
            "os": os,
        }
        exec(compile(QUEUE, str(PAGE), "exec"), names)
        noted = asyncio.Event()
        note = names["note"]

        async def note_and_tell(outcome: object) -> None:
            await note(outcome)
            noted.set()

        names["note"] = note_and_tell
        async with (
            Server(server_settings(), approve) as server,
            Client("127.0.0.1", server.port, client_settings()) as link,
        ):
            serving = asyncio.ensure_future(names["serve"](link, DIALECT, bytes(16), tmp_path / "queue"))
            await noted.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(scene())
    assert capsys.readouterr().out == "advice 1 ANSWERED 00\n"


def test_the_core_of_the_page_does_what_the_comments_say() -> None:
    link = client()
    shown = dict(re.findall(r"^(?:ticket, actions = )?link\.(\w+)\(.*# \[(.*)\]$", CORE, flags=re.MULTILINE))

    def check(name: str, actions: list[Any]) -> list[Any]:
        wanted = [word.split("(")[0] for word in re.findall(r"\w+\([^)]*\)", shown.pop(name))]
        assert [type(action).__name__ for action in actions] == wanted
        return actions

    check("start", link.start(0.0))
    [_changed, sign_on] = check("connected", link.connected(0.1))
    message = DIALECT.decode(sign_on.data[2:])
    check("received", link.received(on_wire(answer_to(message)), 0.2))
    _ticket, actions = link.request(purchase(1), 0.3)
    check("request", actions)
    check("tick", link.tick(15.3))
    assert shown == {}


def test_every_setting_that_the_page_names_exists() -> None:
    modules = (switch.link.framing, switch.link.network, switch.link.matching)
    names = {name: value for module in modules for name, value in vars(module).items()}
    names |= {
        "ClientSettings": lambda **more: ClientSettings(DIALECT, **more),
        "zone": None,
        "datetime": None,
    }
    shown = r"`(?:\w+=)?((?:MatchKey|NetworkMessages|ClientSettings|framing_named)\([^`]*\))`"
    calls = re.findall(shown, TEXT)
    assert len(calls) == 6
    for call in calls:
        eval(call, names)
