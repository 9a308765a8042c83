"""The boxes of the contract suite, each started once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from switch.hsm import InProcessHsm
from switch.hsm.crypto.master_keys import TEST_AES_BLOCK_KEY, BlockMasterKey
from switch.hsm.pkcs11 import Pkcs11Hsm
from switch.hsm.port import Key, KeyUse
from tests.hsm import softhsm
from tests.hsm.boxes import Box, token


@contextmanager
def in_process() -> Iterator[Box]:
    master = BlockMasterKey(TEST_AES_BLOCK_KEY)
    with asyncio.Runner() as runner:
        yield Box(
            "in-process",
            InProcessHsm(TEST_AES_BLOCK_KEY),
            runner,
            partial(token, master),
            tokens=True,
        )


@contextmanager
def on_softhsm(factory: pytest.TempPathFactory) -> Iterator[Box]:
    with softhsm.fresh_token(factory.mktemp("softhsm")) as module, asyncio.Runner() as runner:
        hsm = Pkcs11Hsm(module, softhsm.LABEL, softhsm.USER_PIN, timeout_s=60.0)
        runner.run(hsm.status())  # logs in

        def put(use: KeyUse, clear: bytes, export: str, letter: str) -> Key:
            return softhsm.put_key(module, use, clear)

        try:
            yield Box("pkcs11", hsm, runner, put, tokens=False)
        finally:
            runner.run(hsm.close())


@pytest.fixture(scope="session")
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    name: str = request.param
    if name == "in-process":
        opened = in_process()
    elif name == "pkcs11":
        opened = on_softhsm(tmp_path_factory)
    else:
        raise NotImplementedError(name)
    with opened as box:
        yield box
