"""The boxes of the contract suite, each started once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import pytest

from switch.hsm import InProcessHsm, PayShieldHsm
from switch.hsm.crypto.master_keys import TEST_AES_BLOCK_KEY, BlockMasterKey
from switch.hsm.pkcs11 import Pkcs11Hsm
from switch.hsm.port import Key, KeyUse
from switch.tls import client_context
from tests.hsm import softhsm
from tests.hsm.boxes import Box, token
from tests.hsm.simulator import AES_MASTER_KEY_ID, Certificates, RunningSimulator

PATIENCE_S = 60.0  # a box that shares two processors with everything else


@contextmanager
def in_process() -> Iterator[Box]:
    master = BlockMasterKey(TEST_AES_BLOCK_KEY)
    with asyncio.Runner() as runner:
        yield Box("in-process", InProcessHsm(TEST_AES_BLOCK_KEY), runner, partial(token, master), tokens=True)


@contextmanager
def on_payshield(name: str, port: int, tls: ssl.SSLContext | None = None) -> Iterator[Box]:
    put = partial(token, BlockMasterKey(TEST_AES_BLOCK_KEY), master_key_id=AES_MASTER_KEY_ID)
    host = "localhost" if tls else "127.0.0.1"
    with asyncio.Runner() as runner:
        hsm = PayShieldHsm(host, port, tls=tls, timeout_s=PATIENCE_S, master_key_id=AES_MASTER_KEY_ID)
        runner.run(hsm.start())
        try:
            yield Box(name, hsm, runner, put, tokens=True, master_key_id=AES_MASTER_KEY_ID)
        finally:
            runner.run(hsm.close())


@contextmanager
def over_tcp() -> Iterator[Box]:
    with RunningSimulator() as simulator, on_payshield("payshield", simulator.port) as box:
        yield box


@contextmanager
def over_tls(directory: Path) -> Iterator[Box]:
    certificates = Certificates(directory)
    with (
        RunningSimulator(*certificates.of_the_box) as simulator,
        on_payshield(
            "payshield over TLS", simulator.port, client_context(*certificates.of_the_switch)
        ) as box,
    ):
        yield box


@contextmanager
def on_softhsm(directory: Path) -> Iterator[Box]:
    with softhsm.fresh_token(directory) as module, asyncio.Runner() as runner:
        hsm = Pkcs11Hsm(module, softhsm.LABEL, softhsm.USER_PIN, timeout_s=PATIENCE_S)
        runner.run(hsm.status())  # logs in

        @cache  # a token of files gets slow with many objects
        def put(use: KeyUse, clear: bytes, exportability: str, letter: str) -> Key:
            return softhsm.put_key(module, use, clear)

        try:
            yield Box("pkcs11", hsm, runner, put, tokens=False)
        finally:
            runner.run(hsm.close())


@pytest.fixture(scope="session")
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    name: str = request.param
    opened = {
        "in-process": in_process,
        "payshield": over_tcp,
        "payshield over TLS": lambda: over_tls(tmp_path_factory.mktemp("certificates")),
        "pkcs11": lambda: on_softhsm(tmp_path_factory.mktemp("softhsm")),
    }[name]
    with opened() as box:
        yield box
