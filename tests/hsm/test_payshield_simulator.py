"""The payShield adapter and `vafa hsm run`, two processes: TLS that must fail, a box that returns."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from switch.hsm import InProcessHsm, PayShieldHsm
from switch.hsm.crypto.master_keys import TEST_AES_BLOCK_KEY
from switch.hsm.port import Fault, HsmError, KeyAlgorithm, KeyUse
from switch.tls import client_context
from tests.hsm.simulator import AES_MASTER_KEY_ID, Certificates, RunningSimulator

PATIENCE_S = 60.0  # a box that shares two processors with everything else


@asynccontextmanager
async def client(
    port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", timeout_s: float = PATIENCE_S
) -> AsyncIterator[PayShieldHsm]:
    hsm = PayShieldHsm(host, port, tls=tls, timeout_s=timeout_s, master_key_id=AES_MASTER_KEY_ID)
    await hsm.start()
    try:
        yield hsm
    finally:
        await hsm.close()


async def works(hsm: PayShieldHsm) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for _ in itertools.count():
            try:
                assert len(await hsm.random(8)) == 8
                return
            except HsmError as error:
                fault = error.fault
            assert fault is Fault.UNAVAILABLE
            await asyncio.sleep(0.01)


def test_a_box_that_goes_and_returns_is_found_again() -> None:
    async def scenario() -> None:
        with RunningSimulator() as simulator:
            port = simulator.port
            hsm = PayShieldHsm("127.0.0.1", port, timeout_s=PATIENCE_S, master_key_id=AES_MASTER_KEY_ID)
            await hsm.start()
            key = await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)
            mac = await hsm.mac_generate(key, b"before")
        with pytest.raises(HsmError) as gone:
            await hsm.mac_generate(key, b"without")
        assert gone.value.fault is Fault.UNAVAILABLE
        with RunningSimulator(port=port):
            await works(hsm)
            assert await hsm.mac_verify(key, b"before", mac)
            await hsm.close()

    asyncio.run(scenario())


def test_keys_of_the_box_work_in_a_process_with_its_master_key_and_back() -> None:
    async def scenario() -> None:
        with RunningSimulator() as simulator:
            async with client(simulator.port) as box:
                process = InProcessHsm(TEST_AES_BLOCK_KEY, master_key_id=AES_MASTER_KEY_ID)
                for maker, user in ((box, process), (process, box)):
                    for use, algorithm in (
                        (KeyUse.MAC, KeyAlgorithm.AES_256),
                        (KeyUse.MAC_TDES, KeyAlgorithm.TDES_2),
                        (KeyUse.PIN_VERIFIER, KeyAlgorithm.AES_128),
                        (KeyUse.CARD_MASTER, KeyAlgorithm.AES_128),
                    ):
                        key = await maker.generate_key(use, algorithm)
                        assert await user.check_value(key) == key.check_value

    asyncio.run(scenario())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def box_with_tls(certificates: Certificates) -> Iterator[RunningSimulator]:
    with RunningSimulator(*certificates.of_the_box) as simulator:
        yield simulator


async def refused(port: int, tls: ssl.SSLContext | None, host: str = "localhost") -> str:
    with pytest.raises(HsmError) as failure:
        async with client(port, tls, host, timeout_s=5.0):
            pass
    assert failure.value.fault is Fault.UNAVAILABLE
    return str(failure.value)


def test_a_box_of_another_authority_is_not_spoken_to(
    box_with_tls: RunningSimulator, certificates: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "other")
    ours = certificates.of_the_switch
    tls = client_context(other.of_the_switch[0], *ours[1:])
    assert "TLS" in asyncio.run(refused(box_with_tls.port, tls))


def test_a_box_under_another_name_is_not_spoken_to(
    box_with_tls: RunningSimulator, certificates: Certificates
) -> None:
    tls = client_context(*certificates.of_the_switch)
    assert "TLS" in asyncio.run(refused(box_with_tls.port, tls, "127.0.0.1"))


def test_a_client_without_or_with_a_foreign_certificate_gets_nothing(
    box_with_tls: RunningSimulator, certificates: Certificates, tmp_path: Path
) -> None:
    trusted = certificates.of_the_switch[0]
    foreign = Certificates(tmp_path / "other").of_the_switch
    asyncio.run(refused(box_with_tls.port, client_context(trusted)))
    asyncio.run(refused(box_with_tls.port, client_context(trusted, *foreign[1:])))


def test_plain_tcp_gets_nothing_from_a_box_with_tls(box_with_tls: RunningSimulator) -> None:
    asyncio.run(refused(box_with_tls.port, None))


def test_a_switch_with_its_certificate_is_served(
    box_with_tls: RunningSimulator, certificates: Certificates
) -> None:
    async def scenario() -> None:
        tls = client_context(*certificates.of_the_switch)
        async with client(box_with_tls.port, tls, "localhost") as hsm:
            assert len(await hsm.random(32)) == 32

    asyncio.run(scenario())
